"""Whether the host's variable is the patch's one, and why not: judged here and nowhere else.

A name alone does not make two variables one. A local's file must be the same as well (``same_file``), unless rustc made
the name, and what one file shows to others the other must not keep to itself. Compilers number the variables of
functions anew in every build, and a variable with a dynamic initialiser belongs together with its guard, or is set
again when the patch is loaded. The readers of object files say what is so; the tables below say what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.image import Candidate, Image, Variable
from stubgen.resolve.same_file import GUARD, THREAD_GUARD, Files, guards_of
from stubgen.symbols.numbering import SEVERAL, Siblings, is_merged, numbering
from stubgen.symbols.rust import is_rust_name
from stubgen.symbols.versions import base_name

if TYPE_CHECKING:
    from stubgen.image.dwarf_types import VariableType

_TYPE = (b"_ZTS", b"_ZTI")  # Itanium C++ ABI 5.1.4.1: a type's name and information
_SIBLINGS: WeakKeyDictionary[Files, Siblings] = WeakKeyDictionary()


class Pair:
    """A variable of the patch and the host's of the same name.

    Args:
        variables: the patch's of that name, one or several.
        candidates: the host's, of the same kind and exactly that name; at least one.
        files: the host's files.
    """

    def __init__(self, variables: Sequence[Variable], candidates: Sequence[Candidate], files: Files) -> None:
        self.variables = variables
        self.candidates = candidates
        self.files = files
        self.host: Image = files.host
        self.variable = variables[0]
        self.candidate = candidates[0]

    @cached_property
    def compiler_name(self) -> bytes:
        """Its name as the compiler spells it, without the underscore that Mach-O puts before."""
        return self.variable.name.removeprefix(self.variable.defined_in.prefix)

    @cached_property
    def numbering(self) -> str:
        """Why its name alone says that it is numbered anew in each build; empty if it does not."""
        told = self.files.statics.get(self.variable.name) == self.candidate
        return "" if told else numbering(self.compiler_name)

    @cached_property
    def named_by_rustc(self) -> bool:
        """Whether its name says which file it is from, and that there is but one."""
        return is_rust_name(self.variable.name)

    @cached_property
    def is_by_file(self) -> bool:
        """Whether nothing but a file tells the one variable from others of its name.

        A local symbol is its file's own, unless rustc made its name or the linker made it local. mold does that to a
        type's information; its name says whether it is a file's own.
        """
        if not self.variable.local and self.compiler_name.startswith(_TYPE):
            return False
        own = self.variable.local or (self.candidate.local and not self.candidate.hidden)
        return own and not self.named_by_rustc

    @cached_property
    def why_another_file(self) -> str:
        """Why the host's file, called like the patch's, cannot be told to be the same one; empty if it can."""
        if self.files.renamed.get(self.variable.name) == self.candidate:
            return ""
        return self.files.why_not(self.variable.defined_in.image, self.variable.file, self.candidate)

    @cached_property
    def why_another_files_constant(self) -> str:
        """Likewise for constants, which are alike anyway: that the host names a single file so is enough."""
        image = self.variable.defined_in.image
        return self.files.why_not(image, self.variable.file, self.candidate, by_name=True)

    @cached_property
    def initialiser(self) -> bytes:
        """What runs when the patch is loaded and may set the variable; empty if nothing does."""
        names = (self.files.initialisers.reaching(variable) for variable in self.variables)
        return next((name for name in names if name), b"")

    @cached_property
    def why_stored_otherwise(self) -> str:
        """Why the host may hold the same value in other bytes; empty if it does not, or rustc made the variable."""
        return "" if self.named_by_rustc else self.files.storage.why_otherwise(self.variable, self.candidate)

    @cached_property
    def why_laid_out_otherwise(self) -> str:
        """How debug information says that the patch reads something else where the host wrote; empty for not at all."""
        from stubgen.image.dwarf_differences import difference

        own, theirs = self._types
        place = "the host" if self.files.earlier is None else "the earlier patch"
        return "" if own is None or theirs is None else difference(own, theirs, place)

    @property
    def has_types(self) -> bool:
        """Whether debug information of both sides says the variable's type, so that an edit of that is seen."""
        return None not in self._types

    @cached_property
    def _types(self) -> tuple[VariableType | None, VariableType | None]:
        """The patch's type and the host's, where debug information has both."""
        from stubgen.image.dwarf_types import type_of_thread_local, type_of_variable

        image, address = self.files.described(self.candidate)
        debug, host = self.variable.defined_in.image.debug_info, image.debug_info
        own = type_of_variable(debug, self.variable.place)
        if own is not None or not self.variable.thread_local:
            return own, None if own is None else type_of_variable(host, address)
        path = debug.source_file
        own = type_of_thread_local(debug, self.compiler_name, path)
        return own, None if own is None else type_of_thread_local(host, self.compiler_name, path)

    @cached_property
    def minimum_size(self) -> int:
        """Bytes that the patch's surely has, where the format does not say how many."""
        return max(variable.minimum_size for variable in self.variables)

    @cached_property
    def maximum_size(self) -> int | None:
        """Bytes that the host's can have at most, where the format does not say how many."""
        template = self.host.thread_template(self.candidate.address) if self.variable.thread_local else None
        return self.host.maximum_size(self.candidate.address) if template is None else template[1]

    @cached_property
    def position(self) -> int:
        """What must be a multiple of its alignment: the host's address, or its offset from the thread pointer."""
        offset = self.host.thread_offset(self.candidate.address) if self.variable.thread_local else None
        return self.candidate.address if offset is None else offset

    @cached_property
    def alignment(self) -> int:
        """Bytes: what the patch's code may rely on, no more than the host's variable can be large."""
        alignment = max(variable.alignment for variable in self.variables)
        if self.position % alignment and not self.candidate.size:
            sizes = {self.files.storage.small_size(variable) for variable in self.variables}
            size = 0 if len(sizes) > 1 else sizes.pop()
            return min(alignment, size or 1 << (self.maximum_size or alignment).bit_length() - 1)
        return alignment


class Rule(Row):
    """What speaks against the host's variable, and how that is said."""

    applies: Callable[[Pair], bool]
    reason: Callable[[Pair], str]
    constants: bool = True
    """Whether it speaks against the host's constant as well."""


def reason_not_kept(pair: Pair) -> str:
    """Why the host's variable cannot be told to be the patch's one; empty if it can."""
    return _first(SYMBOL_RULES, pair) or _first(HOST_RULES, pair)


def reasons_not_kept(pair: Pair) -> list[str]:
    """Everything that speaks against it, the deciding reason first."""
    return [rule.reason(pair) for rule in (*SYMBOL_RULES, *HOST_RULES) if rule.applies(pair)]


def reason_not_to_ask(pair: Pair) -> str:
    """What of that the symbols alone say, without a search of the host; for a variable that nobody asked to keep."""
    return _first(SYMBOL_RULES, pair)


def reason_own_constant(pair: Pair) -> str:
    """Why the host's constant of that name cannot be told to be the patch's one; empty if it can, by its name alone."""
    if pair.candidate.writable:
        return "the host's is a variable"
    if pair.is_by_file and pair.why_another_files_constant:
        return pair.why_another_files_constant
    return _first([rule for rule in (*SYMBOL_RULES, *HOST_RULES) if rule.constants], pair)


def _first(rules: Sequence[Rule], pair: Pair) -> str:
    return next((rule.reason(pair) for rule in rules if rule.applies(pair)), "")


def _says(text: str) -> Callable[[Pair], str]:
    return lambda _: text


def _was_renamed(pair: Pair) -> bool:
    """Whether ThinLTO took one of them out of its file, or both by other numbers: the new name tells no file."""
    names = pair.variable.name, pair.candidate.name
    return not pair.named_by_rustc and names[0] != names[1] and base_name(names[0]) == base_name(names[1])


def _has_guard(pair: Pair) -> bool:
    name = pair.compiler_name
    return name.startswith(GUARD) or guards_of(name)[0] in pair.variable.defined_in.names


def _has_thread_guard(pair: Pair) -> bool:
    names = pair.variable.defined_in.names
    return pair.variable.thread_local and (THREAD_GUARD in names or guards_of(pair.compiler_name)[1] in names)


def _is_guarded_in_host(pair: Pair) -> bool:
    """Whether the host's may hold nothing yet, where the patch's begins with its value."""
    guards = pair.files.guards
    if guards.keys() & set(guards_of(pair.compiler_name)):
        return True
    files = {guard.file for guard in guards.get(THREAD_GUARD, ())}  # of a global one that is the patch's
    return pair.variable.thread_local and not files.isdisjoint({pair.candidate.file, pair.variable.file, b""})


def _may_be_initialised_again(pair: Pair) -> bool:
    return not pair.variable.thread_local and bool(pair.initialiser)


def _siblings(files: Files) -> Siblings:
    """Which of the patch's variables are numbered, by the others of their families; the same for all of them."""
    if files not in _SIBLINGS:
        _SIBLINGS[files] = Siblings({variable.name for variable in files.variables})
    return _SIBLINGS[files]


def _has_sibling_in_patch(pair: Pair) -> bool:
    return _siblings(pair.files).has(pair.variable.name, pair.variable.defined_in.symbols)


def _has_sibling_in_host(pair: Pair) -> bool:
    siblings = _siblings(pair.files)
    return any(siblings.has(pair.variable.name, table) for table in pair.host.symbol_tables)


def _was_resized(pair: Pair) -> bool:
    return bool(pair.variable.size and pair.candidate.size and pair.variable.size != pair.candidate.size)


def _is_seen_by_others(pair: Pair) -> bool:
    """Whether the patch's is one file's own, and the host's is not."""
    own = pair.variable.local and not pair.named_by_rustc
    return own and (not pair.candidate.local or pair.candidate.hidden)


def _unseen(pair: Pair) -> str:
    """What else there is to say of a host's variable that is one file's own, where the patch's is not."""
    return "" if pair.variable.local else ", and not visible to others"


def _names_no_file(pair: Pair) -> bool:
    return pair.is_by_file and bool(pair.candidate.file) and not pair.variable.file


def _has_grown(pair: Pair) -> bool:
    """Mach-O says no sizes, only what comes next."""
    return bool(pair.minimum_size) and pair.maximum_size is not None and pair.minimum_size > pair.maximum_size


SYMBOL_RULES = (
    Rule(
        lambda pair: len({candidate.address for candidate in pair.candidates}) > 1,
        lambda pair: f"the host has {len(pair.candidates)} variables of that name",
    ),
    Rule(
        lambda pair: len(pair.variables) > 1 and any(variable.local for variable in pair.variables),
        _says("several objects of the patch have one of that name"),
    ),
    Rule(
        lambda pair: pair.variable.local and pair.variable.name in pair.files.left_to_host,
        _says("another object of the patch uses one of that name that is not this file's"),
    ),
    Rule(
        lambda pair: is_merged(pair.compiler_name),
        _says("it is several variables under one name; compile with -mno-global-merge"),
    ),
    Rule(
        _was_renamed,
        lambda pair: (
            f"it is {as_text(pair.candidate.name)} in the host, renamed by ThinLTO; of which file, nobody can tell"
        ),
    ),
    Rule(_has_guard, _says("it is initialised at first use, under a guard")),
    Rule(lambda pair: bool(pair.numbering), lambda pair: pair.numbering),
    Rule(_has_thread_guard, _says("thread-locals of its file are initialised at first use, under a guard")),
    Rule(_has_sibling_in_patch, _says(f"the patch {SEVERAL}")),
    Rule(lambda pair: pair.variable.has_several_names, _says("it has several names")),
    Rule(lambda pair: pair.variable.is_part_of_another, _says("it is part of a larger variable")),
    Rule(
        lambda pair: not pair.variable.is_kept_apart,
        _says("its object does not keep variables apart: it lacks MH_SUBSECTIONS_VIA_SYMBOLS"),
    ),
    Rule(lambda pair: pair.variable.writable and not pair.candidate.writable, _says("the host's is constant")),
    Rule(
        _was_resized,
        lambda pair: f"its size changed from {pair.candidate.size} to {pair.variable.size} bytes",
    ),
    Rule(_is_seen_by_others, _says("the host's is visible to other files")),
    Rule(
        _names_no_file,
        lambda pair: (
            f"the host's is from {as_text(pair.candidate.file)}, and the patch's object names no file "
            f"(Mach-O: compile it with -g)"
        ),
    ),
    Rule(
        lambda pair: pair.is_by_file and bool(pair.files.why_not_by_name(pair.variable.file, pair.candidate)),
        lambda pair: pair.files.why_not_by_name(pair.variable.file, pair.candidate) + _unseen(pair),
    ),
)
"""What the symbols of both say, in the order in which reasons are given."""

HOST_RULES = (
    Rule(
        lambda pair: any(variable.defined_in.image.holds_labels(variable) for variable in pair.variables),
        _says("it holds addresses of labels, and the host's are in the old function"),
        constants=False,
    ),
    Rule(_is_guarded_in_host, _says("the host initialises it at first use, under a guard"), constants=False),
    Rule(
        _may_be_initialised_again,
        lambda pair: f"{as_text(pair.initialiser)}, which runs when the patch is loaded, may set it again",
        constants=False,
    ),
    Rule(
        lambda pair: pair.is_by_file and bool(pair.why_another_file),
        lambda pair: pair.why_another_file,
        constants=False,
    ),
    Rule(
        lambda pair: bool(pair.why_stored_otherwise),
        lambda pair: pair.why_stored_otherwise,
        constants=False,
    ),
    Rule(
        _has_grown,
        lambda pair: (
            f"it has grown: the patch's has {pair.minimum_size} bytes or more, "
            f"and the host's at most {pair.maximum_size}"
        ),
    ),
    Rule(
        lambda pair: pair.position % pair.alignment != 0,  # atomics fault there
        lambda pair: (
            f"the patch may rely on its being at a multiple of {pair.alignment} bytes, "
            f"and the host's is at {pair.position:#x}"
        ),
    ),
    Rule(_has_sibling_in_host, _says(f"the host {SEVERAL}")),  # any of them may be the patch's one
    Rule(
        lambda pair: bool(pair.why_laid_out_otherwise),
        lambda pair: f"its type is another one: {pair.why_laid_out_otherwise}",
        constants=False,
    ),
)
"""What else of the host's says so, which takes a look at what is around the variable, or a search."""
