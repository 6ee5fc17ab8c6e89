"""Variables of the patch's that the host or earlier patches have too, or may have: whose goes on, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from linked import CODE, CONSTANTS, VARIABLES, Sym
from resolve.test_for_copies import (
    KEPT,
    LOADED,
    LOCAL,
    NOT_ASKED,
    OWN_CONSTANT,
    OWN_THREAD_LOCAL,
    SLIDE,
    address,
    constant,
    function,
    judge,
    own,
    thread,
    variable,
)
from resolve.test_keep_state_rules import variable as a_variable
from synthetic import Sym as OwnSym

from stubgen.build import StubBuilder
from stubgen.elf import constants as e
from stubgen.host.previous import EarlierPatch
from stubgen.image import Candidate, Kind
from stubgen.resolve import other_forms
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.shared_variables import NAMELESS, SharedVariables
from stubgen.resolve.verdicts import SharedVariable


def file(name: str) -> Sym:
    """The symbol of a source file, in front of those of its statics."""
    return Sym(name, 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS)


def static(name: str = "x", at: int = VARIABLES + 8) -> Sym:
    """A static variable of the file in front of it."""
    return variable(name, at, **LOCAL)


OWN_FILE = OwnSym("a.c", 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS)
OWN_STATIC = own(**LOCAL)
STATIC = [OWN_FILE, OWN_STATIC, OwnSym("g", 0)]
"""A patch with a static variable, of a file that a function of its tells."""
HOST = [file("a.c"), static(), file("b.c"), static("y", VARIABLES + 16), function("g")]
"""A host with that."""
WITHOUT = [file("a.c"), function("g")]
"""An earlier patch of that file without it."""


class Case(NamedTuple):
    """What the patch, the host and earlier patches have, and what becomes of the patch's ``x``."""

    patch: Sequence[OwnSym]
    host: Sequence[Sym]
    earlier: Sequence[Sequence[Sym]] = ()
    target: int | None = None  # runtime address of the variable that goes on
    static: int | None = None
    whose: str = ""  # which earlier patch has it
    reason: str = ""
    lost: str = ""
    options: Mapping[str, Any] = KEPT
    library: bool = False


OF_HOST, OF_FIRST, OF_SECOND = (base + VARIABLES + 8 for base in (SLIDE, LOADED, LOADED + 0x100000))
AT = VARIABLES + 8
FIRST, SECOND = "earlier-0.so", "earlier-1.so"
GROWN = f"{{}}/{FIRST} has one of its own, and its size changed from 4 to 8 bytes"
WAS_CALLED = f"if it was called {{}} in {{{{}}}}/{FIRST}, what that has is lost"
DELETED = f"{{}}/{FIRST} is without it"
CASES = {
    "the host's though an earlier patch has one": Case(
        [own()], [variable()], [[variable()]], OF_HOST, AT, lost=f"what {{}}/{FIRST} has in its own is lost"
    ),
    "not asked for, nothing is lost": Case([own()], [variable()], [[variable()]], None, AT, options=NOT_ASKED),
    "an earlier patch's": Case([own()], [], [[variable()]], OF_FIRST, AT, FIRST),
    "the oldest patch's": Case([own()], [], [[variable()], [variable()]], OF_FIRST, AT, FIRST),
    "the newest form": Case([own()], [variable(size=4)], [[variable(size=4)], [variable()]], OF_SECOND, AT, SECOND),
    "an earlier patch's that is not asked for": Case([own()], [], [[variable()]], None, AT, FIRST, options=NOT_ASKED),
    "an earlier patch's of another size": Case([own()], [], [[variable(size=4)]], None, AT, FIRST, GROWN),
    "a constant": Case([OWN_CONSTANT], [], [[constant()]], LOADED + CONSTANTS + 8, None, FIRST, options=NOT_ASKED),
    "the oldest constant": Case(
        [OWN_CONSTANT], [constant()], [[constant()]], SLIDE + CONSTANTS + 8, None, options=NOT_ASKED
    ),
    "the oldest constant of patches": Case(
        [OWN_CONSTANT], [], [[constant()], [constant()]], LOADED + CONSTANTS + 8, None, FIRST, options=NOT_ASKED
    ),
    "a constant of the newer size": Case(
        [OWN_CONSTANT],
        [constant(size=4)],
        [[constant()]],
        LOADED + CONSTANTS + 8,
        None,
        FIRST,
        options=NOT_ASKED,
    ),
    "a constant of an older size": Case(
        [OWN_CONSTANT], [constant(size=4)], [[constant(size=4)]], None, CONSTANTS + 8, FIRST, options=NOT_ASKED
    ),
    "a constant and a thread-local": Case(
        [OWN_CONSTANT], [constant()], [[thread()]], SLIDE + CONSTANTS + 8, None, options=NOT_ASKED
    ),
    "the oldest constant that is the patch's": Case(
        [OWN_CONSTANT],
        [constant(size=4)],
        [[constant()], [constant()]],
        LOADED + CONSTANTS + 8,
        None,
        FIRST,
        options=NOT_ASKED,
    ),
    "a constant that an earlier patch has as a variable": Case(
        [OWN_CONSTANT],
        [],
        [[variable()]],
        None,
        AT,
        FIRST,
        "it is constant here, and the host's is a variable: what the process has in that is lost",
    ),
    "an earlier patch's thread-local of another size": Case(
        [OWN_THREAD_LOCAL],
        [],
        [[thread(size=4)]],
        None,
        8,
        FIRST,
        GROWN,
        options=NOT_ASKED,
    ),
    "an earlier patch's thread-local": Case(
        [OWN_THREAD_LOCAL],
        [],
        [[thread()]],
        None,
        8,
        FIRST,
        f"{{}}/{FIRST} has one of its own, and it is a thread-local of an earlier patch that has no TLS descriptor",
        options=NOT_ASKED,
    ),
    "a thread-local that an earlier patch had as a variable": Case(
        [OWN_THREAD_LOCAL], [], [[variable()]], None, None, FIRST, f"{{}}/{FIRST} has one that is not thread-local"
    ),
    "a variable that an earlier patch had as a thread-local": Case(
        [own()], [], [[thread()]], None, None, FIRST, f"{{}}/{FIRST} has one that is thread-local"
    ),
    "a static one": Case(STATIC, HOST, [], OF_HOST, AT),
    "a static one that an earlier patch began": Case(STATIC, HOST, [[*WITHOUT, static()]], OF_FIRST, AT, FIRST),
    "a static one that the newest patch began": Case(
        STATIC, HOST, [[*WITHOUT, static()], [*WITHOUT, static()]], OF_SECOND, AT, SECOND
    ),
    "a static one that an earlier patch was without": Case(STATIC, HOST, [WITHOUT], OF_HOST, AT, lost=DELETED),
    "a static one that an earlier patch calls otherwise": Case(
        STATIC, HOST, [[file("a.c"), static("z"), function("g")]], OF_HOST, AT, lost=WAS_CALLED.format("z")
    ),
    "a static one that an earlier patch calls in two ways": Case(
        STATIC,
        HOST,
        [[file("a.c"), static("z"), static("w", VARIABLES + 16), function("g")]],
        OF_HOST,
        AT,
        lost=WAS_CALLED.format("z or w"),
    ),
    "what the host has is not what it was called": Case(
        STATIC, HOST, [[file("a.c"), static("y"), function("g")]], OF_HOST, AT, lost=DELETED
    ),
    "what the patch has is not what it was called": Case(
        [*STATIC, own("z")._replace(value=8)],
        HOST,
        [[file("a.c"), static("z"), function("g")]],
        OF_HOST,
        AT,
        lost=DELETED,
    ),
    "what the patch uses is not what it was called": Case(
        [*STATIC, OwnSym("z", 0, e.STT_NOTYPE, section=e.SHN_UNDEF)],
        HOST,
        [[file("a.c"), static("z"), function("g")]],
        OF_HOST,
        AT,
        lost=DELETED,
    ),
    "an earlier patch of another file": Case(STATIC, HOST, [[file("b.c"), static("z"), function("h")]], OF_HOST, AT),
    "a global one that an earlier patch does not use": Case([OWN_FILE, own()], [variable()], [WITHOUT], OF_HOST, AT),
    "a static one that is not asked for": Case(STATIC, HOST, [WITHOUT], None, AT, options=NOT_ASKED),
    "one of its file, of two in the host": Case(
        STATIC, [*HOST[:2], file("b.c"), static("x", VARIABLES + 16), function("g")], [], OF_HOST, AT
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whose_goes_on(tmp_path: Path, name: str) -> None:
    """State is where the process's code went on with it; what is given up is said, and what is not is not."""
    case = CASES[name]
    resolution = judge(tmp_path, case.host, case.patch, *case.earlier, library=case.library, **case.options)
    (shared,) = (each for each in resolution.shared_variables if each.name == "x")
    kept = case.target is not None
    constant = case.patch[0] is OWN_CONSTANT
    assert shared == SharedVariable(
        "x",
        8,
        not constant,
        kept,
        case.reason.format(tmp_path),
        f"{tmp_path}/{case.whose}" if case.whose else "",
        case.static,
        case.lost.format(tmp_path),
        type_compared=not kept or constant,  # these files have no debug information
    )
    assert resolution.bound_targets is not None
    target = resolution.bound_targets.get(b"x")
    assert target == (None if case.target is None else address(case.target, kept=True, constant=constant))


ANOTHER = [file("a.c"), static("k")]
"""A host that has another static of the file."""
START = [function("_start", CODE)]
"""A host without names of statics; to GNU ld what all see stays global."""
IS_NEW = "it is new in a.c, and gone from there is k: if it was called so, what the process has is lost"
NUMBERED = "compilers number such names anew in each build, and nothing tells whether it is the host's {}"
LINKAGE = "its linkage is another one than in the host, which calls it {}"
NEW: dict[str, tuple[Sequence[OwnSym], Sequence[Sym], Mapping[str, Any], str]] = {
    # what -> (the patch's, the host's, options, why it starts afresh, if that is said)
    "a static one of a file that lost another": ([OWN_FILE, OWN_STATIC], ANOTHER, KEPT, IS_NEW),
    "whether or not it is asked for": ([OWN_FILE, OWN_STATIC], ANOTHER, NOT_ASKED, IS_NEW),
    "a global one": ([OWN_FILE, own()], ANOTHER, KEPT, IS_NEW),
    "a constant": ([OWN_FILE, OWN_CONSTANT], ANOTHER, KEPT, ""),
    "a constant of a host without names": ([OWN_FILE, OWN_CONSTANT], START, KEPT, ""),
    "a static constant of a host without names": (
        [OWN_FILE, OWN_CONSTANT._replace(bind=e.STB_LOCAL)],
        START,
        KEPT,
        "",
    ),
    "a hidden one of another linkage and another number": (
        [OWN_FILE, own("count", other=e.STV_HIDDEN)],
        [file("a.c"), static("_ZL5count"), static("count.0", VARIABLES + 16)],
        KEPT,
        LINKAGE.format("_ZL5count"),
    ),
    "another number, and one that is gone": (
        [OWN_FILE, own("s", **LOCAL)],
        [file("a.c"), static("s.0"), static("k", VARIABLES + 16)],
        KEPT,
        NUMBERED.format("s.0"),
    ),
    "a static one of a host without names": ([OWN_FILE, OWN_STATIC], START, KEPT, NAMELESS),
    "a hidden one of a host without names": ([OWN_FILE, own(other=e.STV_HIDDEN)], START, KEPT, NAMELESS),
    "a global one of a host without names": ([OWN_FILE, own()], START, KEPT, ""),
    "a global one of a host that hides all": ([OWN_FILE, own()], [function("_start", CODE, **LOCAL)], KEPT, NAMELESS),
    "a global one of a host that hides all and names them": (
        [OWN_FILE, own()],
        [function("_start", CODE, **LOCAL), *ANOTHER],
        KEPT,
        IS_NEW,
    ),
    "a static one of another linkage": (
        [OWN_FILE, own("count")],
        [file("a.c"), static("_ZL5count"), static("k", VARIABLES + 16)],
        KEPT,
        LINKAGE.format("_ZL5count"),
    ),
    "another number": (
        [OWN_FILE, own("n.1", **LOCAL)],
        [file("a.c"), static("n.0"), static("k", VARIABLES + 16)],
        KEPT,
        NUMBERED.format("n.0"),
    ),
    "a function of its name": ([OWN_FILE, OWN_STATIC], [*ANOTHER, function("x")], KEPT, IS_NEW),
}


@pytest.mark.parametrize("name", NEW)
def test_what_is_new_to_the_host(tmp_path: Path, name: str) -> None:
    """A variable that may be the host's is named once, with the most telling reason; others trouble nobody."""
    patch, host, options, reason = NEW[name]
    resolution = judge(tmp_path, host, patch, **options)
    expected = (SharedVariable(patch[-1].name, 8, True, False, reason),) if reason else ()
    assert resolution.shared_variables == expected
    assert resolution.bound_targets == {}


def one(resolution: Resolution, name: str = "x") -> SharedVariable:
    """What became of it."""
    return next(each for each in resolution.shared_variables if each.name == name)


def test_a_global_one_of_a_stripped_host(tmp_path: Path) -> None:
    """What the loader needs is no full list of a program's variables."""
    names = judge(tmp_path, [function("f")], [OWN_FILE, own()], stripped=True, **KEPT)
    assert one(names).reason_not_kept == NAMELESS


def test_what_the_hosts_link_named(tmp_path: Path) -> None:
    """An object that the host was linked from tells its file, of which a name may tell nothing; no earlier patch's."""
    host, patch = [file("a.c"), static()], [OWN_FILE, OWN_STATIC]
    linked = [str(tmp_path / "patch.o")]
    assert not one(judge(tmp_path, host, patch, **KEPT)).forwarded
    assert one(judge(tmp_path, host, patch, linked=linked, **KEPT)).forwarded
    earlier = one(judge(tmp_path, host, patch, host, linked=linked, **KEPT))
    assert (earlier.forwarded, earlier.patch) == (False, f"{tmp_path}/{FIRST}")
    unbound = StubBuilder(tmp_path / "host", cache=False).judge(linked, slide=SLIDE)
    assert not one(unbound).forwarded


def test_each_variable_is_asked_about_by_itself(tmp_path: Path) -> None:
    """One that an earlier patch has stands in front of one that the host has."""
    patch = [own(), own("y")._replace(value=8)]
    resolution = judge(tmp_path, [variable("y", VARIABLES + 16)], patch, [variable()], **KEPT)
    expected = {b"x": address(OF_FIRST, kept=True), b"y": address(SLIDE + VARIABLES + 16, kept=True)}
    assert resolution.bound_targets == expected


def test_another_kind_is_no_constant(tmp_path: Path) -> None:
    """An earlier patch's thread-local of that name is another thing."""
    assert judge(tmp_path, [], [OWN_CONSTANT], [thread()], **KEPT).shared_variables == ()


@pytest.mark.parametrize("uses", [False, True])
def test_a_constant_that_an_earlier_patch_took_from_another(
    tmp_path: Path, uses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own copy is nobody's: whoever compares addresses has the other."""
    monkeypatch.setattr(EarlierPatch, "uses_anothers", lambda self, name: uses)
    resolution = judge(tmp_path, [], [OWN_CONSTANT], [constant()])
    assert bool(resolution.shared_variables) is not uses
    assert bool(resolution.bound_targets) is not uses


def test_what_an_earlier_patch_took_is_not_what_it_was_called(tmp_path: Path) -> None:
    """By its record it began no ``z``: that one is another's state, and goes on."""
    earlier = [file("a.c"), static("z"), function("g")]
    said = [one(judge(tmp_path, HOST, STATIC, earlier, began=began, **KEPT)).lost for began in (["z"], [])]
    assert said == [WAS_CALLED.format("z").format(tmp_path), DELETED.format(tmp_path)]


FOUND = Candidate(b"other", VARIABLES + 24, Kind.DATA, local=True, size=8, section=".data", file=b"a.c")


@pytest.mark.parametrize("function", ["statics.counterparts", "renamed.told_by_debug_info"])
def test_what_debug_information_tells(tmp_path: Path, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the host's variable by its place, whatever symbols are called; nobody is asked for what is not kept."""
    asked = []

    def told(*arguments: object) -> dict[bytes, Candidate]:
        asked.append(arguments)
        return {b"x": FOUND}

    monkeypatch.setattr(f"stubgen.resolve.{function}", told)
    resolution = judge(tmp_path, HOST, STATIC, **KEPT)
    assert one(resolution).static_address == FOUND.address
    assert resolution.bound_targets == {b"x": address(SLIDE + FOUND.address, kept=True)}
    assert len(asked) == 1
    assert one(judge(tmp_path, HOST, STATIC)).static_address == AT
    assert len(asked) == 1


def test_what_became_a_constant_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No symbol is left of it, and the process's value is lost."""
    monkeypatch.setattr(other_forms, "names_folded", lambda files, known: [b"x"])
    expected = SharedVariable("x", 0, True, False, other_forms.FOLDED)
    assert judge(tmp_path, HOST, [OwnSym("g", 0)], **KEPT).shared_variables == (expected,)
    assert judge(tmp_path, HOST, [OwnSym("g", 0)]).shared_variables == ()


RUST = "_ZN4shop5count17h0123456789abcdefE"
DELETED_BY: dict[str, tuple[dict[str, Any], bytes, list[bytes], int, bool, bool]] = {
    # what -> (facts of the variable, its path, paths of the patch's units of that name, the host's files of it, whether
    # the patch uses another's, whether the patch is surely without it)
    "its file": ({}, b"/a.c", [b"/a.c"], 2, False, True),
    "another folder's file": ({}, b"/a.c", [b"/b/a.c"], 1, False, False),
    "two folders' files": ({}, b"/a.c", [b"/a.c", b"/b/a.c"], 1, False, False),
    "no debug information there": ({}, b"/a.c", [], 1, False, True),
    "no debug information here": ({}, b"", [b"/a.c"], 1, False, True),
    "two files of its name": ({}, b"", [], 2, False, False),
    "a global one": ({"local": False}, b"/a.c", [b"/a.c"], 1, False, True),
    "a global one, and no debug information there": ({"local": False}, b"/a.c", [], 1, False, False),
    "Rust's": ({"name": RUST.encode()}, b"/a.c", [b"/a.c"], 1, False, False),
    "what it uses of another's": ({}, b"/a.c", [b"/a.c"], 1, True, False),
}


class EarlierStandIn:
    """An earlier patch whose objects are gone."""

    objects = ()

    def __init__(self, uses: bool, image: SimpleNamespace) -> None:
        self.image = image
        self.uses_anothers = lambda name: uses


@pytest.mark.parametrize("name", DELETED_BY)
def test_which_patch_is_surely_without_it(name: str) -> None:
    """Nobody is told that state was lost which another file's patch never had."""
    facts, path, units, files, uses, deleted = DELETED_BY[name]
    image = SimpleNamespace(debug_info=SimpleNamespace(source_file=path))
    asked = a_variable(**{"local": True, "file": b"/src/a.c", "defined_in": SimpleNamespace(image=image), **facts})
    called = SimpleNamespace(
        called=lambda base: [SimpleNamespace(path=each) for each in units] if base == b"a.c" else [], units=[]
    )
    without: Any = EarlierStandIn(uses, SimpleNamespace(debug_info=called))
    image_of_host = SimpleNamespace(files_called=lambda file: files if file == b"/src/a.c" else 0)
    resolver: Any = SimpleNamespace(host=SimpleNamespace(image=image_of_host))
    assert SharedVariables._was_deleted(resolver, without, asked) is deleted
