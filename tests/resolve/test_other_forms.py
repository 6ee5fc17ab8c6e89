"""Variables that the host has in another form: which are named, with which words; no compiler is asked."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from resolve.test_keep_state_rules import candidate
from resolve.test_renumbered import AT, own, source, static
from synthetic import BASE, DATA, TEXT, THREAD, Sym, elf_host

from stubgen.elf import constants as e
from stubgen.image import Candidate, DefiningObject, Kind, Variable
from stubgen.image.elf import ElfImage
from stubgen.resolve import other_forms as module
from stubgen.resolve.other_forms import (
    CONSTANT,
    THREAD_LOCAL,
    is_of_file,
    is_the_same,
    names_folded,
    reason_now_constant,
    reason_of_another_kind,
    reasons_of_another_linkage,
)
from stubgen.resolve.same_file import Files

HOST = ElfImage(elf_host([]), "host")
STATIC = candidate(local=True, file=b"a.c")
RUST = b"_ZN4shop5count17h0123456789abcdefE"
OF_FILE: dict[str, tuple[Variable, Candidate, bool]] = {
    "a global one": (own("count"), candidate(), True),
    "a global one of another file": (own("count"), candidate(file=b"b.c"), True),
    "one that the linker made local": (own("count"), candidate(local=True, hidden=True, file=b"b.c"), True),
    "its file's": (own("count"), STATIC, True),
    "another file's": (own("count"), STATIC._replace(file=b"b.c"), False),
    "its own file's, whatever its object is called": (own("count", file=b"c.c"), STATIC._replace(file=b"c.c"), True),
    "one of no file": (own("count"), STATIC._replace(file=b""), True),
    "by its object's file": (own("count", file=b""), STATIC, True),
    "not by its object's file": (own("count", file=b""), STATIC._replace(file=b"b.c"), False),
    "Rust's": (own(RUST.decode()), STATIC._replace(file=b"b.c"), True),
}


@pytest.mark.parametrize("name", OF_FILE)
def test_whose_file_it_is(name: str) -> None:
    """A note about another file's variable is a wrong one."""
    patch, there, expected = OF_FILE[name]
    assert is_of_file(HOST, patch, there) is expected


NOW_CONSTANT: dict[str, tuple[Variable, Sequence[Candidate], bool]] = {
    "a variable there": (own("count", writable=False), [STATIC], True),
    "a constant there": (own("count", writable=False), [STATIC._replace(writable=False)], False),
    "a variable here": (own("count"), [STATIC], False),
    "another file's": (own("count", writable=False), [STATIC._replace(file=b"b.c")], False),
    "another file's, of a global one": (
        own("count", local=False, writable=False),
        [STATIC._replace(file=b"b.c")],
        False,
    ),
    "its file's of two": (
        own("count", writable=False),
        [STATIC._replace(writable=False), STATIC._replace(file=b"b.c", address=AT + 64)],
        False,
    ),
}


@pytest.mark.parametrize("name", NOW_CONSTANT)
def test_what_became_a_constant(name: str) -> None:
    """What the process has in a variable that is made constant is lost; what was constant before is not."""
    patch, there, lost = NOW_CONSTANT[name]
    assert reason_now_constant(HOST, patch, there) == (CONSTANT if lost else "")


THREAD_STATIC = STATIC._replace(kind=Kind.THREAD_LOCAL)
OF_ANOTHER_KIND: dict[str, tuple[Variable, Sequence[Candidate], bool]] = {
    "a thread-local there": (own("count"), [THREAD_STATIC], True),
    "a thread-local here": (own("count", thread_local=True), [STATIC], True),
    "on both sides": (own("count", thread_local=True), [THREAD_STATIC], False),
    "on none": (own("count"), [STATIC], False),
    "a constant there": (own("count", thread_local=True), [STATIC._replace(writable=False)], False),
    "another name": (own("count"), [THREAD_STATIC._replace(name=b"count.llvm.1")], False),
    "another file's": (own("count"), [THREAD_STATIC._replace(file=b"b.c")], False),
    "another file's, of a global one": (own("count", local=False), [THREAD_STATIC._replace(file=b"b.c")], False),
    "none": (own("count"), [], False),
}


@pytest.mark.parametrize("name", OF_ANOTHER_KIND)
def test_what_became_a_threads_own(name: str) -> None:
    """Neither can go on as the other, and the state is lost."""
    patch, there, lost = OF_ANOTHER_KIND[name]
    expected = THREAD_LOCAL[patch.thread_local] if lost else ""
    assert reason_of_another_kind(HOST, patch, there) == expected


OBJECT = own("x").defined_in.image


class Sourced(ElfImage):
    """A host whose debug information says of what all files see whose it is."""

    said: bool | None = None

    def is_of_source(self, candidate: Candidate, path: bytes) -> bool | None:
        """What it says."""
        assert (type(candidate), type(path)) == (Candidate, bytes)
        return self.said


def host(*symbols: Sym, said: bool | None = None) -> Files:
    """A host whose ``a.c`` has these; other files begin with symbols of theirs."""
    image = Sourced(elf_host([source("a.c"), *symbols]), "host")
    image.said = said
    return Files(image, patch=[OBJECT])


def linkages(new: Sequence[Variable], files: Files, known: Sequence[bytes] = ()) -> dict[bytes, str]:
    """Name of each of *new* that the host has under another linkage's name -> what is said."""
    found = reasons_of_another_linkage(files, new, {*known, *(each.name for each in new)})
    return {each.name: reason for each, reason in found}


def seen(name: str, at: int = AT, **facts: Any) -> Sym:
    """A variable that all files see."""
    return Sym(name, at, e.STT_OBJECT, section=DATA, **facts)


LINKAGE = "its linkage is another one than in the host, which calls it {}"


def test_another_linkage() -> None:
    """``static`` before an ``int`` of C++ is another name, and the count began again without a word."""
    new = own("count", local=False)
    assert linkages([new], host(static("_ZL5count"))) == {b"count": LINKAGE.format("_ZL5count")}
    constant = new._replace(writable=False)
    assert linkages([constant], host(static("_ZL5count"))) == {b"count": LINKAGE.format("_ZL5count") + f"; {CONSTANT}"}
    two = host(static("_ZL5count"), static("_ZN12_GLOBAL__N_15countE", AT + 4))
    assert linkages([new], two) == {b"count": LINKAGE.format("_ZL5count")}
    assert linkages([own("_ZL5count")], host(seen("count"))) == {b"_ZL5count": LINKAGE.format("count")}
    in_macho = own("_count", local=False, defined_in=DefiningObject(OBJECT, own("x").defined_in.symbols, b"_"))
    assert linkages([in_macho], host(static("__ZL5count"))) == {b"_count": LINKAGE.format("__ZL5count")}
    assert linkages([new], host(static("_ZL5other"))) == {}
    assert linkages([new], host(static("_ZL5count")), [b"_ZL5count"]) == {}  # the patch has that one too
    assert linkages([new], host(source("b.c"), static("_ZL5count"))) == {}
    assert linkages([new], host(static("_ZL5count", BASE)._replace(section=TEXT))) == {}
    assert linkages([new], host(Sym("_ZL5count", BASE, bind=e.STB_LOCAL))) == {}
    assert linkages([new], host(Sym("_ZL5count", 8, e.STT_TLS, e.STB_LOCAL, THREAD))) != {}
    assert linkages([new], host(static("_ZL5count.llvm.5"))) == {}
    assert linkages([own("_ZL5count")], host(seen("count"), said=False)) == {}
    assert linkages([own("_ZL5count")], host(seen("count"), said=True)) != {}
    assert linkages([], host(static("_ZL5count"))) == {}


SAME: dict[str, tuple[Candidate, bool | None, bool, bool]] = {
    # what -> (the host's, what debug information says, whether it may be of the file, whether it surely is)
    "its file's": (STATIC, None, True, False),
    "another file's": (STATIC._replace(file=b"b.c"), None, False, False),
    "of no file": (STATIC._replace(file=b""), None, True, False),
    "what all see": (candidate(), None, True, False),
    "what all see, of its file": (candidate(), True, True, True),
    "what all see, of another": (candidate(), False, False, False),
    "what the linker made local, of its file": (candidate(local=True, hidden=True), True, True, True),
    "what the linker made local, of another": (candidate(local=True, hidden=True), False, False, False),
}


@pytest.mark.parametrize("name", SAME)
def test_whether_it_is_of_the_objects_file(name: str) -> None:
    """Where nothing speaks against it a variable is named; that one was folded is said for certain alone."""
    there, said, may_be, surely = SAME[name]
    files = host(said=said)
    assert is_the_same(files, OBJECT, there) is may_be
    assert is_the_same(files, OBJECT, there, surely=True) is surely


def test_a_static_one_is_surely_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """By all that tells files apart."""
    files = host()
    monkeypatch.setattr(files, "why_not", lambda image, file, there: "" if (image, file) == (OBJECT, b"a.c") else "no")
    assert is_the_same(files, OBJECT, STATIC, surely=True)


def folded(
    monkeypatch: pytest.MonkeyPatch, names: set[bytes], files: Files, known: Sequence[bytes] = ()
) -> list[bytes]:
    """What became constants of the code, where debug information has these without a place."""
    monkeypatch.setattr(module, "unplaced_in", lambda debug: names)
    return list(names_folded(files, known))


def test_what_the_compiler_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that nobody writes any more leaves no symbol; its value in the process is lost."""
    assert folded(monkeypatch, {b"count"}, host(seen("count"), said=True)) == [b"count"]
    assert folded(monkeypatch, {b"_ZL5count"}, host(seen("count"), said=True)) == [b"count"]
    assert folded(monkeypatch, {b"count"}, host(seen("count"))) == []
    assert folded(monkeypatch, {b"count"}, host(seen("count"), said=True), [b"count"]) == []
    assert folded(monkeypatch, {b"count"}, host(seen("count"), said=True), [b"_ZL5count"]) == []
    assert folded(monkeypatch, {b"other"}, host(seen("count"), said=True)) == []
    assert folded(monkeypatch, set(), host(seen("count"), said=True)) == []
    macho: Any = SimpleNamespace(format="macho", debug_info=None, source_file=b"/a.c")
    files = host(seen("_count"), seen("count", AT + 8), said=True)
    files.patch = [SimpleNamespace(**{**vars(macho), "debug_info": SimpleNamespace(source_file=b"/a.c")})]  # type: ignore[list-item]  # an object of Mach-O's
    assert folded(monkeypatch, {b"count"}, files) == [b"_count"]
