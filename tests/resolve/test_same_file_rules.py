"""What tells whether a file of the host's is the patch's, fact by fact; test_same_file.py has compilers' own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from resolve.test_keep_state_rules import variable
from synthetic import BASE, DATA, SIZE, Sym, elf_host, elf_object, macho_host, undefined

from stubgen.elf import constants as e
from stubgen.image import Candidate, Kind, Variable
from stubgen.image.dwarf import DebugInfo, Stored, Unit
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage
from stubgen.resolve.needed import read_needed
from stubgen.resolve.same_file import Files, guards_of

F, V = BASE + 0x100, BASE + SIZE + 8


def unit(path: str, start: int = 0) -> Unit:
    """A unit of that file."""
    return Unit(path.encode(), start, 0, 0, 0, 0, 0)


class Debug(DebugInfo):
    """Debug information that says of which unit an address is."""

    def __init__(self, *units: Unit, functions: Mapping[int, int] = {}, variables: Mapping[int, int] = {}) -> None:
        super().__init__(lambda name: b"")
        self.units = units  # type: ignore[misc]  # a cached property otherwise
        self._of_functions, self._of_variables = functions, variables

    def functions(self, unit: Unit) -> frozenset[int]:
        """The addresses of the functions of *unit*."""
        return frozenset(address for address, start in self._of_functions.items() if start == unit.start)

    def variables(self, unit: Unit) -> dict[int, Stored]:
        """Likewise of its variables."""
        stored = Stored(None, b"", is_number=False)
        return {address: stored for address, start in self._of_variables.items() if start == unit.start}


def source(name: str) -> Sym:
    """A file symbol."""
    return Sym(name, 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS, size=0)


def image(symbols: Sequence[Sym] = (), *units: Unit, name: str = "host", **places: Any) -> ElfImage:
    """A host of these symbols and debug information."""
    made = ElfImage(elf_host(symbols), name)
    made.debug_info = Debug(*units, **places)  # type: ignore[misc]  # a cached property otherwise
    return made


def patch(*symbols: Sym, path: str = "", name: str = "util.o") -> ElfImage:
    """An object of the patch's, of that source file."""
    made = ElfImage(elf_object(symbols), name)
    made.debug_info = Debug(*([unit(path)] if path else []))  # type: ignore[misc]  # a cached property otherwise
    return made


def static(**facts: Any) -> Candidate:
    """A static of the host's in util.c, but for *facts*."""
    usual = {"kind": Kind.DATA, "local": True, "size": 4, "section": ".data", "file": b"util.c", "address": V}
    return Candidate(name=b"count", **{**usual, **facts})


ONE, TWO = [source("util.c")], [source("util.c"), source("util.c")]
OTHER_FOLDER = "the host's is from another file, /b/util.c"
NOBODY_SAYS = "the host's is from a file util.c, and nothing says that it is this one; compile host and patch with -g"
TWICE = "the host was linked from 2 objects of /a/util.c"
A, B = unit("/a/util.c"), unit("/b/util.c", 100)
RULES: dict[str, tuple[ElfImage, ElfImage, Candidate, str]] = {
    # the host, the patch, the host's symbol, and why it is not told to be this file's
    "the same path": (image(ONE, A), patch(path="/a/util.c"), static(), ""),
    "another path": (image(ONE, B), patch(path="/a/util.c"), static(), OTHER_FOLDER),
    "of two files the one with the variable": (
        image(TWO, A, B, variables={V: 0}),
        patch(path="/a/util.c"),
        static(),
        "",
    ),
    "of two files the other": (image(TWO, A, B, variables={V: 100}), patch(path="/a/util.c"), static(), OTHER_FOLDER),
    "of two files neither": (image(TWO, A, B), patch(path="/a/util.c"), static(), NOBODY_SAYS),
    "of two files both": (
        image(TWO, A, unit("/a/util.c", 100), variables={V: 100}),
        patch(path="/a/util.c"),
        static(),
        TWICE,
    ),
    "one unit of two files": (image(TWO, A), patch(path="/a/util.c"), static(), NOBODY_SAYS),
    "one unit of two files, which has it": (image(TWO, A, variables={V: 0}), patch(path="/a/util.c"), static(), ""),
    "a function's": (
        image(TWO, A, B, functions={F: 100}, variables={F: 0}),
        patch(path="/a/util.c"),
        static(kind=Kind.FUNCTION, address=F),
        OTHER_FOLDER,
    ),
    "a variable's": (
        image(TWO, A, B, functions={V: 0}, variables={V: 100}),
        patch(path="/a/util.c"),
        static(),
        OTHER_FOLDER,
    ),
    "a function that nothing places": (
        image(TWO, A, B),
        patch(path="/a/util.c"),
        static(kind=Kind.FUNCTION, address=F),
        NOBODY_SAYS,
    ),
    "a relative path": (image(ONE, unit("util.c")), patch(path="util.c"), static(), NOBODY_SAYS),
    "no path here": (image(ONE, A), patch(), static(), NOBODY_SAYS),
    "no path there": (image(ONE), patch(path="/a/util.c"), static(), NOBODY_SAYS),
    "another name": (
        image(ONE),
        patch(path="/a/util.c"),
        static(file=b"other.c"),
        "the host's is from another file, other.c",
    ),
    "no name": (image(), patch(), static(file=b""), "the host's is from a file that its symbol table does not name"),
    "a function of both": (image([*ONE, Sym("enter", F)]), patch(Sym("enter")), static(), ""),
    "a function of both, and two files": (image([*TWO, Sym("enter", F)]), patch(Sym("enter")), static(), NOBODY_SAYS),
    "a weak function of both": (
        image([*ONE, Sym("enter", F)]),
        patch(Sym("enter", bind=e.STB_WEAK)),
        static(),
        NOBODY_SAYS,
    ),
    "a static function of both": (
        image([*ONE, Sym("enter", F, bind=e.STB_LOCAL)]),
        patch(Sym("enter")),
        static(),
        NOBODY_SAYS,
    ),
    "a static function here": (
        image([*ONE, Sym("enter", F)]),
        patch(Sym("enter", bind=e.STB_LOCAL)),
        static(),
        NOBODY_SAYS,
    ),
    "a function that is hidden there": (
        image([*ONE, Sym("enter", F, bind=e.STB_LOCAL, other=e.STV_HIDDEN)]),
        patch(Sym("enter")),
        static(),
        "",
    ),
    "a variable there": (
        image([*ONE, Sym("enter", V, e.STT_OBJECT, section=DATA)]),
        patch(Sym("enter")),
        static(),
        NOBODY_SAYS,
    ),
    "a program that hides all": (
        image([*ONE, *(Sym(name, F, bind=e.STB_LOCAL) for name in ("_start", "enter"))]),
        patch(Sym("enter")),
        static(),
        "",
    ),
    "a program that hides all, and another file's": (
        image([*ONE, source("b.c"), *(Sym(name, F, bind=e.STB_LOCAL) for name in ("_start", "enter"))]),
        patch(Sym("enter")),
        static(),
        NOBODY_SAYS,
    ),
    "a program that hides nothing": (
        image([*ONE, Sym("enter", F, bind=e.STB_LOCAL), Sym("_start", F)]),
        patch(Sym("enter")),
        static(),
        NOBODY_SAYS,
    ),
    "another function": (image([*ONE, Sym("enter", F)]), patch(Sym("leave")), static(), NOBODY_SAYS),
}


@pytest.mark.parametrize(("host", "own", "candidate", "reason"), RULES.values(), ids=[*RULES])
def test_what_tells_that_a_file_is_the_same(host: ElfImage, own: ElfImage, candidate: Candidate, reason: str) -> None:
    """A patch of another folder's file would count in a stranger's variable; one of this file would start afresh."""
    files = Files(host)
    assert files.why_not(own, b"util.c", candidate) == reason
    assert files.why_not(own, b"util.c", candidate) == reason  # what was found out is kept
    single = reason == NOBODY_SAYS and host.files_called(b"util.c") == 1
    assert files.why_not(own, b"util.c", candidate, by_name=True) == ("" if single else reason)


def test_what_vouches_for_one_object_does_not_for_another() -> None:
    """What was found out of one object is not said of the next, nor of another file of the host's."""
    files = Files(image([*ONE, Sym("enter", F)]))
    assert files.why_not(patch(Sym("leave")), b"util.c", static()) == NOBODY_SAYS
    assert files.why_not(patch(Sym("enter")), b"util.c", static()) == ""
    hidden = [Sym(name, F, bind=e.STB_LOCAL) for name in ("_start", "enter")]
    files, own = Files(image([source("b.c"), *ONE, *hidden])), patch(Sym("enter"))
    assert files.why_not(own, b"b.c", static(file=b"b.c")) == NOBODY_SAYS.replace("util.c", "b.c")
    assert files.why_not(own, b"util.c", static()) == ""


def test_the_object_that_was_linked(tmp_path: Path) -> None:
    """The host's own object is this file's; of two that are called so, either may be what the linker kept of."""
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    here, there = tmp_path / "here" / "util.o", tmp_path / "util.o"
    own = patch(name=str(here))
    for linked, reason in (
        ([here], ""),
        ([tmp_path / "link" / "util.o"], ""),
        ([here, tmp_path / "main.o"], ""),
        ([there], NOBODY_SAYS),
        ([here, there], NOBODY_SAYS),
        ([], NOBODY_SAYS),
    ):
        assert Files(image(ONE), [str(path) for path in linked]).why_not(own, b"util.c", static()) == reason
    assert Files(image(TWO), [str(here)]).why_not(own, b"util.c", static()) == NOBODY_SAYS


def test_the_objects_of_a_link_are_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each static function of each object it took minutes with thousands of objects without debug information."""
    names = list[str]()
    plain = os.path.basename
    monkeypatch.setattr(os.path, "basename", lambda path: names.append(path) or plain(path))
    files, own = Files(image(ONE), [f"{number}.o" for number in range(300)]), patch(name="util.o")
    for _ in range(300):
        assert files.why_not(own, b"util.c", static()) == NOBODY_SAYS
    assert len(names) < 900


class MachOHost(MachOImage):
    """A host whose debugger's entries name these files."""

    files: Sequence[bytes] = (b"/a/util.c",)

    def files_called(self, name: bytes) -> int:
        """How many objects are of that file."""
        return self.files.count(name)


MACHO: dict[str, tuple[Sequence[bytes], bytes, bytes, str]] = {
    # the host's files, the patch's, the symbol's, and why not
    "the same": ((b"/a/util.c",), b"/a/util.c", b"/a/util.c", ""),
    "another": (
        (b"/b/util.c",),
        b"/a/util.c",
        b"/b/util.c",
        "the host's is from another file, /b/util.c",
    ),
    "twice": ((b"/a/util.c", b"/a/util.c"), b"/a/util.c", b"/a/util.c", TWICE),
    "none there": (
        (),
        b"/a/util.c",
        b"",
        "the host's is from a file that its symbol table does not name (compile the host with -g)",
    ),
    "none at all": (
        (),
        b"",
        b"",
        "the host's is from a file that its symbol table does not name (compile host and patch with -g)",
    ),
}


@pytest.mark.parametrize(("files", "own", "theirs", "reason"), MACHO.values(), ids=[*MACHO])
def test_paths_of_macho_files(files: Sequence[bytes], own: bytes, theirs: bytes, reason: str) -> None:
    """There the symbol table itself has paths."""
    host = MachOHost(macho_host({}), "host")
    host.files = files
    assert Files(host).why_not(patch(path="/elsewhere.c"), own, static(file=theirs)) == reason


@pytest.mark.parametrize(
    ("name", "guard", "initialiser"),
    [
        (b"_ZN4shop5countE", b"_ZGVN4shop5countE", b"_ZTHN4shop5countE"),
        (b"count", b"_ZGV5count", b"_ZTH5count"),
        (b"a_long_name", b"_ZGV11a_long_name", b"_ZTH11a_long_name"),
    ],
)
def test_how_guards_are_spelled(name: bytes, guard: bytes, initialiser: bytes) -> None:
    """Itanium C++ ABI 5.1.5: the encoding of the variable behind GV or TH."""
    assert guards_of(name) == (guard, initialiser)


GUARDS: dict[str, tuple[Variable, list[str], set[bytes]]] = {
    # the patch's variable, what the host has, and which of it are guards
    "C++": (variable(name=b"_Z5countv"), ["_ZGV5countv", "_ZTH5countv"], {b"_ZGV5countv", b"_ZTH5countv"}),
    "a file's": (variable(name=b"_Z5countv"), ["__tls_guard"], {b"__tls_guard"}),
    "C": (variable(), ["_ZGV5count", "__tls_guard"], set()),
    "a thread's in C": (variable(thread_local=True), ["_ZTH5count", "__tls_guard"], {b"_ZTH5count", b"__tls_guard"}),
    "a constant": (variable(name=b"_Z5countv", writable=False), ["_ZGV5countv"], set()),
    "another's": (variable(name=b"_Z5countv"), ["_ZGV5totalv"], set()),
}


@pytest.mark.parametrize(("own", "names", "guards"), GUARDS.values(), ids=[*GUARDS])
def test_what_guards_a_variable(own: Variable, names: list[str], guards: set[bytes]) -> None:
    """A variable that the host initialises at first use would be initialised twice."""
    files = Files(image([Sym(name, V, e.STT_OBJECT, section=DATA) for name in names]))
    files.variables = [own]
    assert {*files.guards} == guards
    assert all(len(pool) == 1 for pool in files.guards.values())


def test_what_a_patch_needs(tmp_path: Path) -> None:
    """The files of a patch know its objects, its variables and what it leaves to the host."""
    path = tmp_path / "patch.o"
    path.write_bytes(elf_object([Sym("count", 0, e.STT_OBJECT, section=DATA), undefined("enter")]))
    needed = read_needed([str(path)])
    files = Files.of_needed(image(), needed, ["main.o"])
    assert (files.linked, files.patch, files.left_to_host) == (["main.o"], needed.images, {b"enter"})
    assert [each.name for each in files.variables] == [b"count"]
    assert [each.name for each in Files(image(), patch=needed.images).variables] == [b"count"]
    assert files.storage is files.storage
    assert files.initialisers is files.initialisers
