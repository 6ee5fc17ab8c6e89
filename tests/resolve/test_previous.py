"""Which definition of several patches' and the host's a name means: each rule alone, on patches that are only said."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from resolve.test_keep_state_pairs import compiled
from resolve.test_keep_state_rules import HostImage, candidate, variable
from synthetic import elf_host

from stubgen.host.previous import EarlierPatch, OpenedPatch
from stubgen.image import Candidate, Kind, Variable
from stubgen.image.elf import ElfImage
from stubgen.resolve.previous import Earlier, Previous

HOST = HostImage(elf_host([]), "host")
FUNCTION = candidate()._replace(kind=Kind.FUNCTION, writable=False)
CONSTANT = candidate(writable=False)
STATE = candidate()
THREAD = candidate()._replace(kind=Kind.THREAD_LOCAL)
STATIC = candidate(local=True, file=b"a.c")
HIDDEN = candidate(local=True, hidden=True)


class Patch(EarlierPatch):
    """A patch that has what is said, under any name.

    Args:
        found: its definitions.
        uses: the names whose addresses its code reads from elsewhere.
        own: the variables that it began, if anybody wrote that down.
        keeps: whether it was linked with ``--keep-state``.
        files: source file -> how many of its objects are from there.
        image: its file.
    """

    def __init__(
        self,
        *found: Candidate,
        uses: Collection[bytes] = (),
        own: Collection[str] | None = None,
        keeps: bool = False,
        files: Mapping[bytes, int] | None = None,
        image: ElfImage | None = None,
    ) -> None:
        of_files, of = files or {}, image or ElfImage(elf_host([]), "earlier.so")
        of.files_called = lambda name: of_files.get(name, 0)  # type: ignore[method-assign]  # what it says
        super().__init__("earlier.so", OpenedPatch(of, {}, frozenset(uses)), 0x1000, own)
        self.keeps_state = keeps  # type: ignore[misc]  # a cached property otherwise
        self._said = list(found)

    def find(self, name: bytes) -> list[Candidate]:
        """What is said."""
        return self._said


def meant(patches: Sequence[Patch], *pool: Candidate, name: bytes = b"count") -> int | None:
    """The number of the patch whose definition a reference means; None for the host's."""
    found = Previous(patches).answer(name, pool, HOST)
    if found is None:
        return None
    assert found.candidate in patches[patches.index(found.patch)]._said  # type: ignore[arg-type]  # it is one of them
    return patches.index(found.patch)  # type: ignore[arg-type]  # likewise


WIDE = STATE._replace(size=8)
UNSIZED = STATE._replace(size=0)
REFERENCES: dict[str, tuple[Sequence[Patch], Sequence[Candidate], int | None]] = {
    # what -> the patches, the host's of that name, and whose a reference means
    "nobody's": ([], [STATE], None),
    "of a patch without it": ([Patch()], [STATE], None),
    "a static one, which other files do not see": ([Patch(STATIC)], [], None),
    "a static function": ([Patch(FUNCTION._replace(local=True))], [FUNCTION], None),
    "one that the linker made local": ([Patch(HIDDEN)], [], 0),
    "the newest function": ([Patch(FUNCTION), Patch(FUNCTION)], [FUNCTION], 1),
    "the newest function of those that have it": ([Patch(FUNCTION), Patch()], [FUNCTION], 0),
    "the newest constant": ([Patch(CONSTANT), Patch(CONSTANT)], [CONSTANT], 1),
    "the newest constant that its own code uses": (
        [Patch(CONSTANT), Patch(CONSTANT, uses=[b"count"])],
        [CONSTANT],
        0,
    ),
    "the host's constant, which all of them use": ([Patch(CONSTANT, uses=[b"count"])], [CONSTANT], None),
    "state that the host has": ([Patch(STATE), Patch(STATE)], [STATE], None),
    "state that the oldest patch has": ([Patch(STATE), Patch(STATE)], [], 0),
    "state whose user is not its owner": ([Patch(STATE, uses=[b"count"]), Patch(STATE)], [], 1),
    "state that goes on in the newest": ([Patch(STATE), Patch(STATE, uses=[b"count"])], [], 0),
    "state that goes on in all of them": ([Patch(STATE, uses=[b"count"]), Patch(STATE, uses=[b"count"])], [], None),
    "state that the newest did not begin by its record": ([Patch(STATE, own=[])], [], None),
    "state that the newest began by its record": ([Patch(STATE, own=["count"])], [], 0),
    "one of two, of which nobody says that it uses another's": ([Patch(STATE, STATIC, own=[])], [], 0),
    "one of two that is older": ([Patch(STATE, STATIC, own=[]), Patch(STATE)], [], 0),
    "one of two that is older and goes on": ([Patch(STATE, STATIC, uses=[b"count"]), Patch(STATE)], [], 1),
    "one of two, of which one goes on": ([Patch(STATE, STATIC, uses=[b"count"])], [], 0),
    "a thread's constant that goes on": (
        [Patch(THREAD._replace(writable=False), uses=[b"count"])],
        [],
        0,
    ),
    "the newest form": ([Patch(STATE), Patch(WIDE)], [STATE], 1),
    "the oldest of the newest form": ([Patch(STATE), Patch(WIDE), Patch(WIDE)], [STATE], 1),
    "of no known size here": ([Patch(UNSIZED)], [STATE], None),
    "of no known size there": ([Patch(STATE)], [UNSIZED], None),
    "another kind in the host": ([Patch(STATE)], [THREAD], 0),
    "a constant in the host": ([Patch(STATE)], [CONSTANT], 0),
    "one of the host's two": ([Patch(STATE)], [CONSTANT, STATE], None),
    "a thread's own": ([Patch(THREAD), Patch(THREAD)], [THREAD], None),
    "a thread's own that the host lacks": ([Patch(THREAD), Patch(THREAD)], [], 0),
    "a thread's constant": ([Patch(THREAD._replace(writable=False))] * 1, [THREAD._replace(writable=False)], None),
    "what a patch began though it keeps others": ([Patch(STATE, keeps=True)], [STATE], 0),
    "what a patch kept": ([Patch(STATE, keeps=True, uses=[b"count"])], [STATE], None),
    "what a patch kept by its record": ([Patch(STATE, keeps=True, own=[])], [STATE], None),
    "what a patch began by its record": ([Patch(STATE, keeps=True, own=["count"])], [STATE], 0),
    "a thread's constant of a patch that keeps": (
        [Patch(THREAD._replace(writable=False), keeps=True)],
        [THREAD._replace(writable=False)],
        None,
    ),
}


@pytest.mark.parametrize(("patches", "pool", "whose"), REFERENCES.values(), ids=[*REFERENCES])
def test_whose_a_reference_means(patches: Sequence[Patch], pool: Sequence[Candidate], whose: int | None) -> None:
    """New code goes on with the state that all code before had, and calls what the program's text now says."""
    assert meant(patches, *pool) == whose


@pytest.mark.parametrize("name", [b"_ZTI4Item", b"_ZTS4Item", b"__ZTI4Item", b"__ZTS4Item"])
def test_a_types_information_stays_one(name: bytes) -> None:
    """An exception is told by its address: code of before would not catch what new code throws."""
    assert meant([Patch(CONSTANT), Patch(CONSTANT)], CONSTANT, name=name) is None
    assert meant([Patch(CONSTANT), Patch(CONSTANT)], name=name) == 0
    assert meant([Patch(CONSTANT, keeps=True)], CONSTANT, name=name) is None
    assert meant([Patch(CONSTANT), Patch(CONSTANT, uses=[name])], name=name) == 0
    assert meant([Patch(CONSTANT, own=[]), Patch(CONSTANT)], name=name) == 0


def test_a_type_that_changed_holds_state_of_its_own(tmp_path: Path) -> None:
    """New code would read a float's bits as a number, where both have four bytes."""
    integer, number = (compiled(tmp_path, f"{kind}.o", "int", "int", kind) for kind in ("int", "float"))
    there = candidate(address=next(each.place for each in integer.variables() if each.name == b"other"))
    bare = ElfImage(elf_host([]), "bare")

    def again(image: ElfImage) -> ElfImage:
        return image if image is bare else ElfImage((tmp_path / image.name).read_bytes(), "earlier.so")

    cases = [(number, integer, 0), (number, number, None), (integer, bare, None), (bare, integer, None)]
    for image, host, whose in cases:
        patch = Patch(there, image=again(image))
        found = Previous([patch]).answer(b"count", [there], host)
        assert (None if found is None else 0) == whose
    patches = [Patch(there, image=again(image)) for image in (integer, number, number)]
    found = Previous(patches).answer(b"count", [], bare)
    assert found is not None
    assert found.patch is patches[1]
    constant, thread = there._replace(writable=False), there._replace(kind=Kind.THREAD_LOCAL)
    for alike in (constant, thread):  # their types are not compared: a constant's may differ, a thread's lies elsewhere
        earlier = Previous([Patch(alike, image=again(number))])
        assert earlier.answer(b"_ZTI4Item", [alike], integer) is None


def began(patches: Sequence[Patch], own: Variable, *pool: Candidate) -> list[int]:
    """The numbers of the patches that began a variable of their own that is *own*, as they are told."""
    return [patches.index(each.patch) for each in Previous(patches).began(own, pool, HOST)]  # type: ignore[arg-type]  # it is one of them


OWN_STATIC = variable(local=True)
BEGUN: dict[str, tuple[Sequence[Patch], Variable, Sequence[Candidate], list[int]]] = {
    # what -> the patches, the patch's variable, the host's of that name, and who began it, the newest first
    "each static one": ([Patch(STATIC), Patch(STATIC)], OWN_STATIC, [STATIC], [1, 0]),
    "a static one of no file": ([Patch(STATIC._replace(file=b""))], OWN_STATIC, [], [0]),
    "another file's": ([Patch(STATIC._replace(file=b"b.c"))], OWN_STATIC, [], []),
    "not a global one for a static one": ([Patch(STATE)], OWN_STATIC, [], []),
    "not a hidden one for a static one": ([Patch(HIDDEN)], OWN_STATIC, [], []),
    "a static one for a global one of its file": ([Patch(STATIC)], variable(), [], [0]),
    "a global one once": ([Patch(STATE), Patch(STATE)], variable(), [], [0]),
    "a hidden one once": ([Patch(HIDDEN), Patch(HIDDEN)], variable(), [], [0]),
    "not what the host has": ([Patch(STATE)], variable(), [STATE], []),
    "each form": ([Patch(STATE), Patch(WIDE), Patch(WIDE), Patch(STATE)], variable(), [STATE], [3, 1]),
    "no constant": ([Patch(CONSTANT)], variable(), [], []),
    "no function": ([Patch(FUNCTION._replace(writable=True))], variable(), [], []),
    "a thread's own": ([Patch(THREAD)], variable(thread_local=True), [], [0]),
    "not what it uses of another's": ([Patch(STATE, uses=[b"count"])], variable(), [], []),
    "not what its record lacks": ([Patch(STATE, own=["other"])], variable(), [], []),
    "the second of two in one patch": ([Patch(CONSTANT, STATIC)], OWN_STATIC, [], [0]),
    "of no form, by its record": ([Patch(UNSIZED, own=["count"])], variable(), [STATE], [0]),
    "of no form, without a record": ([Patch(UNSIZED)], variable(), [STATE], []),
    "of a known form, by its record": ([Patch(STATE, own=["count"])], variable(), [STATE], []),
    "Rust's, whatever file": (
        [Patch(STATIC._replace(file=b"b"))],
        variable(name=b"_ZN4shop5count17h0123456789abcdefE", local=True),
        [],
        [0],
    ),
    "Rust's that its crate made visible": (
        [Patch(STATE)],
        variable(name=b"_ZN4shop5count17h0123456789abcdefE", local=True),
        [],
        [0],
    ),
}


@pytest.mark.parametrize(("patches", "own", "pool", "who"), BEGUN.values(), ids=[*BEGUN])
def test_who_began_a_variable(
    patches: Sequence[Patch], own: Variable, pool: Sequence[Candidate], who: list[int]
) -> None:
    """A patch goes on with what the one before it counted, and with nobody else's."""
    assert began(patches, own, *pool) == who


LEFT: dict[str, tuple[Sequence[Patch], Variable, int | None]] = {
    # what -> the patches, the patch's variable, and whose is given up where an older one goes on
    "the newest": ([Patch(STATE), Patch(STATE)], variable(), 1),
    "the newest that has it": ([Patch(STATE), Patch()], variable(), 0),
    "not a constant": ([Patch(CONSTANT)], variable(), None),
    "not another file's": ([Patch(STATIC._replace(file=b"b.c"))], OWN_STATIC, None),
    "a static one of its file": ([Patch(STATIC)], variable(), 0),
    "not where it keeps": ([Patch(STATE, keeps=True)], variable(), None),
    "where it keeps others by its record": ([Patch(STATE, keeps=True, own=["count"])], variable(), 0),
    "not what it uses of another's": ([Patch(STATE), Patch(STATE, uses=[b"count"])], variable(), 0),
}


@pytest.mark.parametrize(("patches", "own", "whose"), LEFT.values(), ids=[*LEFT])
def test_what_is_left_behind(patches: Sequence[Patch], own: Variable, whose: int | None) -> None:
    """People are told which patch's state is lost, and of none that is not."""
    found = Previous(patches).left_behind(own)
    assert (None if found is None else patches.index(found)) == whose  # type: ignore[arg-type]  # it is one of them


A_C = {b"a.c": 1}
WITHOUT: dict[str, tuple[Sequence[Patch], Variable, int | None]] = {
    # what -> the patches, the patch's variable, and which has its file without it
    "the newest with its file": ([Patch(files=A_C), Patch(files=A_C), Patch()], OWN_STATIC, 1),
    "one has a static one of its file": ([Patch(STATIC, files=A_C)], variable(), None),
    "none has its file": ([Patch(), Patch(files={b"b.c": 1})], OWN_STATIC, None),
    "the newest with its file has it": ([Patch(files=A_C), Patch(STATIC, files=A_C)], OWN_STATIC, None),
    "an older one had it": ([Patch(STATIC, files=A_C), Patch(files=A_C)], OWN_STATIC, 1),
    "a constant of that name": ([Patch(CONSTANT, files=A_C)], variable(), 0),
    "another file's of that name": ([Patch(STATIC._replace(file=b"b.c"), files=A_C)], OWN_STATIC, 0),
    "of no file": ([Patch(files={b"": 1})], variable(file=b"", local=True), None),
}


@pytest.mark.parametrize(("patches", "own", "which"), WITHOUT.values(), ids=[*WITHOUT])
def test_which_patch_is_without_a_variable(patches: Sequence[Patch], own: Variable, which: int | None) -> None:
    """One that was deleted and is back begins anew for its readers; who is told so must have lost it."""
    found = Previous(patches).without(own)
    assert (None if found is None else patches.index(found)) == which  # type: ignore[arg-type]  # it is one of them


def test_whether_any_patch_has_a_name() -> None:
    """The host's is taken where no patch has one that other files see."""
    assert Previous([Patch(), Patch(STATE)]).has(b"count")
    assert not Previous([Patch(), Patch(STATIC)]).has(b"count")
    assert not Previous([]).has(b"count")
    assert Previous([Patch()])
    assert not Previous()
    assert Earlier(Patch(), STATE).candidate is STATE


def test_each_patchs_symbols_are_gone_through_once() -> None:
    """A search of each name alone goes through a patch's symbols for each of thousands."""

    class Learning(Patch):
        def learn(self, names: Collection[bytes]) -> None:
            asked.append(set(names))

    asked: list[set[bytes]] = []
    Previous([Learning(), Learning()]).learn([b"a", b"b"])
    assert asked == [{b"a", b"b"}] * 2


MEMBERS = b"foo.o:count#0x2007c"
USERS = {  # what -> the patch, whether it uses another's count
    "its code reads the address": (Patch(uses=[b"count"]), True),
    "a borrowed member reads it": (Patch(uses=[MEMBERS]), True),
    "a borrowed member reads a thread's": (Patch(uses=[b"libfoo.a(foo.o):count#tls0x10"]), True),
    "a borrowed member reads it, and the patch has another one": (Patch(STATIC, uses=[MEMBERS]), False),
    "its code reads it, and it has one": (Patch(STATIC, uses=[b"count"]), True),
    "a borrowed member reads another one": (Patch(uses=[b"foo.o:discount#0x2007c"]), False),
    "nothing reads it": (Patch(), False),
}


@pytest.mark.parametrize("name", USERS)
def test_who_uses_anothers(name: str) -> None:
    """A patch that borrowed functions of a file's, and then one of that file: "an earlier patch is without it"."""
    patch, uses = USERS[name]
    assert patch.uses_anothers(b"count") is uses
    assert patch.may_have_begun(b"count") is not uses
