"""Each reason for which a variable is not the host's, alone and in its place among the others; no compiler is asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from synthetic import BASE, DATA, SIZE, Sym, elf_host

from stubgen.common.strings import StringTable
from stubgen.elf import constants as e
from stubgen.image import Candidate, DefiningObject, Kind, Reach, Variable
from stubgen.image.elf import ElfImage
from stubgen.macho.reader import Symbols
from stubgen.macho.records import NLIST_64, Nlist64
from stubgen.resolve.candidates import counterparts_of
from stubgen.resolve.keep_state import HOST_RULES, SYMBOL_RULES, Pair, reason_not_kept, reason_not_to_ask
from stubgen.resolve.same_file import Files
from stubgen.resolve.storage import UNSURE

SET, LABELS = 0x7000, 0x8000


class Setting(Reach):
    """What of an object that sets the variable at SET when it is loaded refers to what else."""

    def initialisers(self) -> list[tuple[int, bytes]]:
        """One."""
        return [(1, b"begin")]

    def functions(self) -> dict[int, bytes]:
        """Nobody asks."""
        return {}

    def targets(self, piece: int) -> set[int | bytes]:
        """It refers to the variable by way of another function."""
        return {1: {2}, 2: {b"other"}, 3: {SET}}.get(piece, set())  # type: ignore[return-value]  # sets are invariant

    def piece_at(self, place: int) -> int:
        """The variable's."""
        return place

    def definition(self, name: bytes) -> int | None:
        """That function."""
        return 3 if name == b"other" else None


class PatchImage(ElfImage):
    """An object with that initialiser and a table of labels."""

    reach = Setting()  # type: ignore[assignment]  # a cached property otherwise

    def holds_labels(self, variable: Variable) -> bool:
        """The variable at LABELS does."""
        return variable.place == LABELS


IMAGE = PatchImage(elf_host([]), "patch.o")
AT = BASE + SIZE + 64


def defining(*names: bytes, prefix: bytes = b"") -> DefiningObject:
    """An object with symbols of these names."""
    strings, entries = b"\0", b""
    for name in names:
        entries += NLIST_64.pack(Nlist64(len(strings), 0, 0, 0, 0), "the names")
        strings += name + b"\0"
    table = Symbols(memoryview(entries), StringTable(memoryview(strings), "the names"))
    return DefiningObject(IMAGE, table, prefix)


def variable(**facts: object) -> Variable:
    """A global ``int count`` of ``a.c`` that nothing speaks against, but for *facts*."""
    usual: dict[str, object] = {
        "name": b"count",
        "size": 4,
        "minimum_size": 0,
        "alignment": 4,
        "writable": True,
        "thread_local": False,
        "local": False,
        "hidden": False,
        "file": b"a.c",
        "has_several_names": False,
        "is_part_of_another": False,
        "is_kept_apart": True,
        "defined_in": defining(b"count"),
    }
    return Variable(**{**usual, **facts})  # type: ignore[arg-type]  # each has its own type


def candidate(**facts: object) -> Candidate:
    """The host's, but for *facts*."""
    usual: dict[str, object] = {"size": 4, "local": False, "address": AT}
    return Candidate(name=b"count", kind=Kind.DATA, section=".data", **{**usual, **facts})  # type: ignore[arg-type]


class HostImage(ElfImage):
    """A host that knows how large its variables can be, as Mach-O hosts do."""

    def maximum_size(self, address: int) -> int | None:
        """Bytes."""
        return 4

    def files_called(self, name: bytes) -> int:
        """One of each path."""
        return int(name.startswith(b"/"))


def pair(patch: Sequence[Variable], found: Sequence[Candidate], *others: str) -> Pair:
    """The two, in a host that has *others* too."""
    symbols = [Sym(name, AT + 64, e.STT_OBJECT, section=DATA) for name in ("count", *others)]
    return Pair(patch, found, Files(HostImage(elf_host(symbols), "host"), patch=[IMAGE], left_to_host={b"optind"}))


def guarded_there(patch: Variable, **guards: Sequence[Candidate]) -> Pair:
    """The two, in a host that has *guards*."""
    two = pair([patch], [candidate()])
    two.files.guards = {name.encode(): pool for name, pool in guards.items()}
    return two


def typed_otherwise() -> Pair:
    """The two, of which debug information says that they lie otherwise."""
    two = pair([variable()], [candidate()])
    two.__dict__["why_laid_out_otherwise"] = "int where the host has float"
    return two


LOCAL = {"local": True}
RULES: dict[str, Pair] = {
    "the host has 2 variables of that name": pair([variable()], [candidate(), candidate(address=AT + 4)]),
    "several objects of the patch have one of that name": pair([variable(**LOCAL), variable(**LOCAL)], [candidate()]),
    "another object of the patch uses one of that name that is not this file's": pair(
        [variable(name=b"optind", **LOCAL)], [candidate()]
    ),
    "it is several variables under one name; compile with -mno-global-merge": pair(
        [variable(name=b"__MergedGlobals", defined_in=defining(prefix=b"_"))], [candidate()]
    ),
    "it is count.llvm.123 in the host, renamed by ThinLTO; of which file, nobody can tell": pair(
        [variable()], [candidate()._replace(name=b"count.llvm.123")]
    ),
    "it is initialised at first use, under a guard": pair(
        [variable(name=b"_ZZ1fvE1n", defined_in=defining(b"_ZGVZ1fvE1n"))], [candidate()]
    ),
    "compilers number such variables anew in each build": pair([variable(name=b"n.0")], [candidate()]),
    "thread-locals of its file are initialised at first use, under a guard": pair(
        [variable(thread_local=True, defined_in=defining(b"__tls_guard"))], [candidate()]
    ),
    "the patch has several of that name, which compilers number anew in each build": pair(
        [variable(name=b"f.n", defined_in=defining(b"f.n", b"f.n.1"))], [candidate()]
    ),
    "it has several names": pair([variable(has_several_names=True)], [candidate()]),
    "it is part of a larger variable": pair([variable(is_part_of_another=True)], [candidate()]),
    "its object does not keep variables apart: it lacks MH_SUBSECTIONS_VIA_SYMBOLS": pair(
        [variable(is_kept_apart=False)], [candidate()]
    ),
    "the host's is constant": pair([variable()], [candidate(writable=False)]),
    "its size changed from 4 to 8 bytes": pair([variable(size=8)], [candidate()]),
    "the host's is visible to other files": pair([variable(**LOCAL)], [candidate(file=b"a.c")]),
    "the host's is from a.c, and the patch's object names no file (Mach-O: compile it with -g)": pair(
        [variable(file=b"", **LOCAL)], [candidate(file=b"a.c", **LOCAL)]
    ),
    "the host's is from another file, b.c": pair([variable(**LOCAL)], [candidate(file=b"b.c", **LOCAL)]),
    "it holds addresses of labels, and the host's are in the old function": pair(
        [variable(place=LABELS)], [candidate()]
    ),
    "the host initialises it at first use, under a guard": guarded_there(
        variable(name=b"_ZZ1fvE1n"), _ZGVZ1fvE1n=[candidate()]
    ),
    "begin, which runs when the patch is loaded, may set it again": pair([variable(place=SET)], [candidate()]),
    "the host's is from a file a.c, and nothing says that it is this one; compile host and patch with -g": pair(
        [variable(file=b"a.c", **LOCAL)], [candidate(file=b"a.c", **LOCAL)]
    ),
    UNSURE: pair([variable(file=b"/a.c", size=1, alignment=1, **LOCAL)], [candidate(file=b"/a.c", size=1, **LOCAL)]),
    "it has grown: the patch's has 5 bytes or more, and the host's at most 4": pair(
        [variable(minimum_size=5)], [candidate()]
    ),
    f"the patch may rely on its being at a multiple of 4 bytes, and the host's is at {AT + 2:#x}": pair(
        [variable()], [candidate(address=AT + 2)]
    ),
    "the host has several of that name, which compilers number anew in each build": pair(
        [variable(name=b"f.n")], [candidate()], "f.n.1"
    ),
    "its type is another one: int where the host has float": typed_otherwise(),
}
"""Reason -> a pair about which it is the first, in the order in which they are given."""


def test_what_one_file_keeps_to_itself_is_no_other_files() -> None:
    """A hidden global of the patch would write into a static of any file of the host's, whatever that holds."""
    for facts in ({"hidden": True}, {}):
        reason = "the host's is from another file, b.c, and not visible to others"
        assert reason_not_kept(pair([variable(**facts)], [candidate(file=b"b.c", **LOCAL)])) == reason
        assert not reason_not_kept(pair([variable(**facts)], [candidate(hidden=True, **LOCAL)]))
    reason = "the host's is visible to other files"
    assert reason_not_kept(pair([variable(**LOCAL)], [candidate(hidden=True, **LOCAL)])) == reason


def test_nothing_speaks_against_it() -> None:
    """A variable that is refused for no reason starts afresh, and the state that was to be kept is gone."""
    assert not reason_not_kept(pair([variable()], [candidate()]))


def test_each_rule_has_its_case() -> None:
    """A rule that nothing tests may be lost, and the host's memory be written as what it is not."""
    assert len(RULES) == len(SYMBOL_RULES) + len(HOST_RULES)
    for rule, (reason, asked) in zip((*SYMBOL_RULES, *HOST_RULES), RULES.items(), strict=True):
        assert rule.applies(asked), reason
        assert rule.reason(asked) == reason


@pytest.mark.parametrize("reason", RULES)
def test_each_reason_is_given(reason: str) -> None:
    """What people read must be what helps: of several reasons always the same one, the most telling."""
    assert reason_not_kept(RULES[reason]) == reason


@pytest.mark.parametrize("reason", RULES)
def test_what_nobody_asked_for_takes_no_search(reason: str) -> None:
    """A note about each of thousands of variables would search the host's names for each."""
    from_symbols = list(RULES).index(reason) < len(SYMBOL_RULES)
    assert reason_not_to_ask(RULES[reason]) == (reason if from_symbols else "")


def test_a_type_that_fits_needs_no_more_alignment_than_its_size() -> None:
    """Where nothing says how large the host's is, what it can be bounds what the patch may rely on."""
    asked = pair([variable(alignment=16)], [candidate(address=AT + 4, size=0)])
    assert asked.alignment == 4
    assert not reason_not_kept(asked)


STATIC_OF_A = candidate(local=True, file=b"a.c", address=AT + 4)
STATIC_OF_B = candidate(local=True, file=b"b.c", address=AT + 8)
STATIC_OF_NONE = candidate(local=True, address=AT + 12)
HIDDEN = candidate(local=True, hidden=True, address=AT + 16)
COUNTERPARTS: dict[str, tuple[Variable, list[Candidate], list[Candidate] | None]] = {
    "a static one is its file's": (variable(**LOCAL), [candidate(), STATIC_OF_B, STATIC_OF_A], [STATIC_OF_A]),
    "of a file without a name it may be": (
        variable(**LOCAL),
        [STATIC_OF_NONE, STATIC_OF_A, STATIC_OF_B],
        [STATIC_OF_NONE, STATIC_OF_A],
    ),
    "a hidden one is no file's": (variable(**LOCAL), [HIDDEN, STATIC_OF_A], [STATIC_OF_A]),
    "two at one address": (variable(**LOCAL), [STATIC_OF_B, STATIC_OF_B._replace(file=b"a.c")], None),
    "none is its file's": (variable(**LOCAL), [candidate(), STATIC_OF_B], [candidate(), STATIC_OF_B]),
    "a global one is what others see": (variable(), [STATIC_OF_A, candidate(), STATIC_OF_B], [candidate()]),
    "a hidden one is global": (variable(), [STATIC_OF_A, HIDDEN], [HIDDEN]),
    "the linker made a global one local": (variable(), [STATIC_OF_A, STATIC_OF_B], [STATIC_OF_A]),
    "the only one is judged by the rules": (variable(**LOCAL), [STATIC_OF_B], [STATIC_OF_B]),
}
"""What -> (the patch's variable, the host's of its name, those that it can be)."""


@pytest.mark.parametrize(
    ("patch", "guards", "kept"),
    [
        (variable(name=b"_ZZ1fvE1n"), {"_ZGVZ1fvE1n": [candidate()]}, False),
        (variable(name=b"_ZZ1fvE1n"), {"_ZGVZ1gvE1n": [candidate()]}, True),
        (variable(name=b"depth", thread_local=True), {"_ZTH5depth": [candidate()]}, False),
        (variable(name=b"depth", thread_local=True), {"__tls_guard": [candidate(file=b"a.c")]}, False),
        (variable(name=b"depth", thread_local=True), {"__tls_guard": [candidate(file=b"b.c")]}, True),
        (variable(name=b"depth", thread_local=True), {"__tls_guard": [candidate()]}, False),
        (variable(name=b"depth"), {"__tls_guard": [candidate(file=b"a.c")]}, True),
    ],
)
def test_what_the_host_initialises_at_first_use_is_not_kept_without_its_guard(
    patch: Variable, guards: dict[str, list[Candidate]], *, kept: bool
) -> None:
    """The patch's begins with its value, and would read the zero that the host has not set yet."""
    reason = "" if kept else "the host initialises it at first use, under a guard"
    assert reason_not_kept(guarded_there(patch, **guards)) == reason


@pytest.mark.parametrize(("patch", "found", "left"), COUNTERPARTS.values(), ids=list(COUNTERPARTS))
def test_of_several_of_a_name_those_of_other_files_are_left_out(
    patch: Variable, found: list[Candidate], left: list[Candidate] | None
) -> None:
    """Taken for another file's, a counter goes on in memory that is not its own."""
    assert counterparts_of(patch, found) == (found if left is None else left)
