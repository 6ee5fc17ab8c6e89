"""Whether a file that the patch was compiled from is one that the host was linked from: judged here and nowhere else.

An ELF file symbol holds a base name, and two folders may each have their ``util.c``. So that name alone only tells
files apart. What makes two one is the path that debug information has on both sides; or that the host names a single
file so, and its link named this very object, or it has a function of this object's of which a program has but one.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from stubgen.common.text import as_text
from stubgen.image import Candidate, Image, Kind, Variable

if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch
    from stubgen.resolve.initialisers import Initialisers
    from stubgen.resolve.needed import Needed
    from stubgen.resolve.storage import Storage

GUARD, THREAD_INITIALISER = b"_ZGV", b"_ZTH"  # Itanium C++ ABI 5.1.5.1 and 5.1.5.2
THREAD_GUARD = b"__tls_guard"
"""GCC's and clang's guard for all thread-locals of a file that are initialised at first use."""

ADVICE = "compile host and patch with -g"

CODEGEN_UNIT = b"-cgu."
"""Before the number in what rustc calls a codegen unit, ``CRATE.HASH-cgu.N``; an edit may give each another number."""


def guards_of(name: bytes) -> tuple[bytes, bytes]:
    """The guard and the thread's initialiser of the C++ variable *name*, of which a dynamic initialiser makes one."""
    mangled = name.removeprefix(b"_Z") if name.startswith(b"_Z") else b"%d%s" % (len(name), name)
    return GUARD + mangled, THREAD_INITIALISER + mangled


def are_of_one_crate(file: bytes, other: bytes) -> bool:
    """Whether both are codegen units of one crate of Rust."""
    crate, mark, number = file.rpartition(CODEGEN_UNIT)
    return bool(mark) and number.isdigit() and other.rpartition(CODEGEN_UNIT)[:2] == (crate, mark)


class Files:
    """The files of one host.

    Args:
        host: its file.
        linked: the paths of the objects that its link named.
        patch: the patch's objects.
        left_to_host: the names that one of those uses and none of them defines for the others.
    """

    def __init__(
        self,
        host: Image,
        linked: Sequence[str] = (),
        patch: Sequence[Image] = (),
        left_to_host: Collection[bytes] = (),
    ) -> None:
        self.host = host
        self.earlier: EarlierPatch | None = None
        """The earlier patch that *host* is; None where it is the program."""
        self.linked = linked
        self.patch = patch
        self.left_to_host = left_to_host
        self.statics: Mapping[bytes, Candidate] = {}
        """The patch's statics of functions -> which of the host's each is, where that was found out."""
        self.renamed: Mapping[bytes, Candidate] = {}
        """Likewise the static variables of files to which link-time optimisation gave other names."""
        self._vouched: dict[tuple[int, bytes], tuple[Image, bool]] = {}
        self._defined: dict[int, tuple[Image, Collection[bytes]]] = {}

    @classmethod
    def of_needed(cls, host: Image, needed: Needed, linked: Sequence[str]) -> Files:
        """The files of *host*, for a patch that needs *needed*."""
        files = cls(host, linked, needed.images, set(needed.references.names))
        files.variables = needed.variables
        return files

    def described(self, candidate: Candidate) -> tuple[Image, int]:
        """The file whose debug information tells of the host's *candidate*, and its address there."""
        if self.earlier is None:
            return self.host, candidate.address
        from stubgen.resolve.described import described

        return described(self.earlier, candidate)

    @cached_property
    def variables(self) -> Sequence[Variable]:
        """Those of the patch's objects."""
        return tuple(variable for image in self.patch for variable in image.variables())

    @cached_property
    def storage(self) -> Storage:
        """How the host stores its variables."""
        from stubgen.resolve.storage import Storage

        return Storage(self.host)

    @cached_property
    def initialisers(self) -> Initialisers:
        """What runs when the patch is loaded, and what it may set."""
        from stubgen.resolve.initialisers import Initialisers

        return Initialisers(self.patch)

    @cached_property
    def guards(self) -> Mapping[bytes, Sequence[Candidate]]:
        """What shows that the host initialises variables of the patch's at first use, as the compiler spells it."""
        spelled: dict[bytes, bytes] = {}
        for variable in self.variables:
            prefix, name = variable.defined_in.prefix, variable.name.removeprefix(variable.defined_in.prefix)
            if variable.writable and (name.startswith(b"_Z") or variable.thread_local):
                spelled.update((prefix + guard, guard) for guard in (*guards_of(name), THREAD_GUARD))
        found = self.host.find(spelled) if spelled else {}
        # who uses another file's thread-local refers to its initialiser weakly, whether there is one or not
        there = {name: [each for each in pool if each.kind is not Kind.IMPORT] for name, pool in found.items()}
        return {spelled[name]: pool for name, pool in there.items() if pool}

    def why_not_by_name(self, file: bytes, candidate: Candidate) -> str:
        """Why the names alone say that a local symbol of the host is not from the patch's *file*; empty if they do not.

        ELF: base names, from the file symbols; Mach-O: paths, from DWARF and N_SO.
        """
        if candidate.file:
            if are_of_one_crate(file, candidate.file):
                return ""
            return "" if file == candidate.file else f"the host's is from another file, {as_text(candidate.file)}"
        advice = f" ({ADVICE if not file else 'compile the host with -g'})" if self.host.format == "macho" else ""
        return f"the host's is from a file that its symbol table does not name{advice}"

    def why_not(self, image: Image, file: bytes, candidate: Candidate, *, by_name: bool = False) -> str:
        """Why a local symbol of the host cannot be told to be from the same file; empty if it can.

        Args:
            image: the patch's object.
            file: its file, as its symbol table or, in Mach-O, its debug information has it.
            candidate: the host's symbol.
            by_name: that nothing but a single file of the host is called so is enough.
        """
        other = self.why_not_by_name(file, candidate)
        if other:
            return other
        if are_of_one_crate(file, candidate.file) and self._defines(image, candidate.name):
            return ""  # the linker made it local, and a crate has one of a name that others see
        is_path = posixpath.isabs(file)
        path = file if is_path else image.debug_info.source_file
        hosts = candidate.file if is_path else self._path_of(candidate)
        if path and hosts and path != hosts:
            return f"the host's is from another file, {as_text(hosts)}"
        if path == hosts and posixpath.isabs(path):
            times = self.host.files_called(file) if is_path else self._units_of(path)
            return "" if times == 1 else f"the host was linked from {times} objects of {as_text(path)}"
        if self.host.files_called(file) == 1 and (
            by_name or self._was_linked(image) or self._vouches(image, candidate)
        ):
            return ""
        return f"the host's is from a file {as_text(file)}, and nothing says that it is this one; {ADVICE}"

    def _defines(self, image: Image, name: bytes) -> bool:
        """Whether a patch's object defines *name* for other objects."""
        if id(image) not in self._defined:
            self._defined[id(image)] = (image, frozenset(image.definitions()))  # held, so that its identity stays
        return name in self._defined[id(image)][1]

    def _path_of(self, candidate: Candidate) -> bytes:
        """The path of the file of a symbol of the host, by its debug information; empty where that does not say."""
        units = self.host.debug_info.called(candidate.file)
        if len(units) == 1 and self.host.files_called(candidate.file) == 1:
            return units[0].path
        debug_info = self.host.debug_info
        places = debug_info.functions if candidate.kind is Kind.FUNCTION else debug_info.variables
        paths = {unit.path for unit in units if candidate.address in places(unit)}
        if not paths and candidate.kind is Kind.FUNCTION:
            from stubgen.image.dwarf_places import function_of_optimised

            said = function_of_optimised(debug_info, candidate.address)
            return b"" if said is None else said[0].path
        return paths.pop() if len(paths) == 1 else b""

    def _units_of(self, path: bytes) -> int:
        """How many objects of this file the host was linked from: each has its own statics."""
        return sum(unit.path == path for unit in self.host.debug_info.called(posixpath.basename(path)))

    def _was_linked(self, image: Image) -> bool:
        """Whether the host's link named this very object, and no other that is called so.

        GNU ld keeps no file symbol of an object of which it kept nothing; of two that are called alike the host's
        one file may be the other's.
        """
        named = self._linked_by_name.get(os.path.basename(image.name), ())
        return len(named) == 1 and os.path.realpath(named[0]) == os.path.realpath(image.name)

    @cached_property
    def _linked_by_name(self) -> dict[str, list[str]]:
        """Base name -> the objects of the host's link that are called so."""
        found: dict[str, list[str]] = {}
        for path in self.linked:
            found.setdefault(os.path.basename(path), []).append(path)
        return found

    def _vouches(self, image: Image, candidate: Candidate) -> bool:
        """Whether the host has a function of this object's of which a program has but one."""
        key = (id(image), candidate.file)
        if key not in self._vouched:
            weak = {function.name for function in image.functions() if function.weak}
            functions = {function.name for function in image.functions()}.intersection(image.definitions()) - weak
            found = self.host.find(functions) if functions else {}
            vouched = any(self._is_the_programs(each, candidate) for pool in found.values() for each in pool)
            self._vouched[key] = (image, vouched)  # held, so that its identity stays its own
        return self._vouched[key][1]

    def _is_the_programs(self, function: Candidate, candidate: Candidate) -> bool:
        """Whether a function of the host is the one that all its files see.

        mold makes those local that a program does not export, and lists each with its file.
        """
        if function.kind is not Kind.FUNCTION:
            return False
        return not function.local or function.hidden or (self._hides_all and function.file == candidate.file)

    @cached_property
    def _hides_all(self) -> bool:
        """Whether the linker made a program's global symbols local."""
        return any(start.local for start in self.host.find({b"_start"}).get(b"_start", ()))
