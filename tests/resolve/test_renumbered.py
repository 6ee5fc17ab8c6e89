"""Statics whose names differ in what compilers add: which of the host's a new one may be, and which it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from resolve.test_keep_state_rules import variable
from synthetic import BASE, DATA, SIZE, TEXT, THREAD, Sym, elf_host, elf_object

from stubgen.elf import constants as e
from stubgen.image import Candidate, DefiningObject, Variable
from stubgen.image.elf import ElfImage
from stubgen.resolve.renumbered import NUMBERED, OF_OTHER_PARAMETERS, reasons_of_another_number
from stubgen.resolve.same_file import Files

AT = BASE + SIZE + 8


def source(name: str) -> Sym:
    """The symbol of a source file, in front of those of its statics."""
    return Sym(name, 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS)


def static(name: str, address: int = AT) -> Sym:
    """A static variable of the file in front of it."""
    return Sym(name, address, e.STT_OBJECT, e.STB_LOCAL, DATA, size=4)


OBJECT = ElfImage(elf_object([source("a.c")]), "patch.o")
assert OBJECT.file.symbols is not None
DEFINED_IN = DefiningObject(OBJECT, OBJECT.file.symbols, b"")


def own(name: str, **facts: object) -> Variable:
    """A static variable of the patch's ``a.c``, but for *facts*."""
    return variable(**{"name": name.encode(), "local": True, "defined_in": DEFINED_IN, **facts})


def reasons(
    new: Sequence[Variable], there: Sequence[Sym], known: Sequence[str] = (), kept: Sequence[int] = ()
) -> dict[str, str]:
    """Name of each of *new* that starts afresh for this reason -> that.

    Args:
        new: the patch's.
        there: what ``a.c`` has in the host, of which other files begin with symbols of theirs.
        known: the names that the patch has, besides.
        kept: where the host has those that others of the patch are.
    """
    files = Files(ElfImage(elf_host([source("a.c"), *there]), "host"), patch=[OBJECT])
    names = {each.encode() for each in known} | {each.name for each in new}
    others = {
        b"other%d" % at: next(iter(c for c in files.host.variables_at([at]) if c.address == at), None) for at in kept
    }
    held: dict[bytes, Candidate] = {name: each for name, each in others.items() if each is not None}
    assert len(held) == len(kept)
    found = reasons_of_another_number(files, new, names, held)
    return {each.name.decode(): reason for each, reason in found}


class Case(NamedTuple):
    """A question, and what is answered."""

    new: Variable
    there: Sequence[Sym]
    names: str  # of the host's that it may be, empty: none
    known: Sequence[str] = ()
    kept: Sequence[int] = ()
    text: str = NUMBERED


LEGACY = "_ZN4shop5count17h0123456789abcdefE"
CASES = {
    "another number": Case(own("n.1"), [static("n.0")], "n.0"),
    "of LLVM's, whose first has none": Case(own("f.n.1"), [static("f.n")], "f.n"),
    "a first one": Case(own("f.n"), [static("f.n.1")], "f.n.1"),
    "a part of a structure": Case(own("s"), [static("s.0")], "s.0"),
    "numbers behind numbers": Case(own("s.1"), [static("s.0.2")], "s.0.2"),
    "with a dollar": Case(own("a$b.1"), [static("a$b.0")], "a$b.0"),
    "of several": Case(own("n.1"), [static("n.2"), static("n.0", AT + 4)], "n.0 or n.2"),
    "of a name twice": Case(own("n.1"), [static("n.0"), static("n.0", AT + 4)], "n.0"),
    "a hidden one": Case(own("n.1", local=False, hidden=True), [static("n.0")], "n.0"),
    "a global one": Case(own("n.1", local=False), [static("n.0")], ""),
    "a longer name": Case(own("n.1"), [static("nn.0"), static("n0")], ""),
    "another name": Case(own("n.1"), [static("m.0")], ""),
    "no compiler's name": Case(own(".n.1"), [static(".n.0")], ""),
    "what others see": Case(own("n.1"), [Sym("n.0", AT, e.STT_OBJECT, section=DATA)], ""),
    "another file's": Case(own("n.1"), [source("b.c"), static("n.0")], ""),
    "a constant": Case(own("n.1"), [static("n.0", BASE)._replace(section=TEXT)], ""),
    "a function": Case(own("n.1"), [Sym("n.0", BASE, bind=e.STB_LOCAL)], ""),
    "a thread's": Case(own("n.1"), [Sym("n.0", 8, e.STT_TLS, e.STB_LOCAL, THREAD)], ""),
    "a thread's here": Case(own("n.1", thread_local=True), [static("n.0")], ""),
    "a thread's on both sides": Case(
        own("n.1", thread_local=True), [Sym("n.0", 8, e.STT_TLS, e.STB_LOCAL, THREAD)], "n.0"
    ),
    "what another one is": Case(own("n.1"), [static("n.0")], "", kept=[AT]),
    "what another one is not": Case(own("n.1"), [static("n.0"), static("m", AT + 4)], "n.0", kept=[AT + 4]),
    "what the patch has": Case(own("n.1"), [static("n")], "", known=["n"]),
    "what the patch has by another number": Case(own("n.2"), [static("n.1")], "n.1", known=["n.1"]),
    "a number that the patch has": Case(own("n"), [static("n.1")], "", known=["n.1"]),
    "ThinLTO's": Case(own("n.1"), [static("n.llvm.5")], ""),
    "Rust's": Case(own("_RNvCs_4shop5COUNT"), [static("_RNvCs_4shop5COUNT.0")], ""),
    "Rust's of before": Case(own(LEGACY), [static(LEGACY.replace("0123", "4567"))], ""),
    "no static of a function": Case(own("_ZL5count"), [static("_ZL5count.0")], ""),
    "no static of a function in Mach-O": Case(own("__ZL5count"), [static("__ZL5count.0")], ""),
    "C++'s": Case(own("_ZZ1fiE1n_0"), [static("_ZZ1fiE1n")], "_ZZ1fiE1n"),
    "C++'s of another function": Case(own("_ZZ1fiE1n_0"), [static("_ZZ1giE1n")], ""),
    "C++'s of another name": Case(own("_ZZ1fiE1n_0"), [static("_ZZ1fiE1m")], ""),
    "C++'s of another class": Case(own("_ZZN1A1fEiE1n_0"), [static("_ZZN1B1fEiE1n")], ""),
    "other parameters": Case(own("_ZZ1fiE1n"), [static("_ZZ1flE1n")], "_ZZ1flE1n", text=OF_OTHER_PARAMETERS),
    "other parameters in Mach-O": Case(
        own("__ZZ1fiE1n"), [static("__ZZ1flE1n")], "__ZZ1flE1n", text=OF_OTHER_PARAMETERS
    ),
    "another number in Mach-O": Case(own("__ZZ1fiE1n_0"), [static("__ZZ1fiE1n")], "__ZZ1fiE1n"),
    "other parameters of one of two": Case(
        own("_ZZ1fiE1n_0"),
        [static("_ZZ1fiE1n"), static("_ZZ1flE1n", AT + 4)],
        "_ZZ1fiE1n or _ZZ1flE1n",
        text=OF_OTHER_PARAMETERS,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_new_static_may_be(name: str) -> None:
    """A count that began again without a word is lost; a note about each new variable is read by nobody."""
    case = CASES[name]
    expected = {case.new.name.decode(): case.text.format(case.names)} if case.names else {}
    assert reasons([case.new], case.there, case.known, case.kept) == expected


def test_each_is_told_by_itself() -> None:
    """One whose name says nothing stands beside those that may be the host's."""
    new = [own("n.1"), own("fresh"), own("m.1"), own("m.2", local=False)]
    assert reasons(new, [static("n.0"), static("m.0", AT + 4)]) == {
        "n.1": NUMBERED.format("n.0"),
        "m.1": NUMBERED.format("m.0"),
    }


def test_what_is_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name's own letters are in each second name of a large host, each of which is then taken apart."""
    asked: list[bytes] = []
    monkeypatch.setattr(ElfImage, "names_with", lambda self, parts: asked.extend(parts) or [])
    assert reasons([own("n.1"), own("_ZZ3addiE5count"), own("m.2"), own("m.3")], []) == {}
    assert sorted(asked) == [b"E5count", b"m.", b"n."]
    reasons([own("fresh", local=False), own("_ZL1x")], [])
    assert sorted(asked) == [b"E5count", b"m.", b"n."]
