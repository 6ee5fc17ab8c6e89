"""What bound copies read for each kind of symbol, of a program, of a library and of earlier patches; exactly."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from linked import CODE, CONSTANTS, DATA, RODATA, THREAD, VARIABLES, Relocation, Sym, elf_linked
from synthetic import DATA as OWN_DATA
from synthetic import THREAD as OWN_THREAD
from synthetic import Sym as OwnSym
from synthetic import elf_object, macho_object, put, undefined

from stubgen.build import StubBuilder
from stubgen.elf import constants as e
from stubgen.errors import AnchorRefusal
from stubgen.host.previous import PreviousPatch
from stubgen.image import Kind
from stubgen.macho import constants as m
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.verdicts import SharedVariable, SlotKind, Target, Verdict

SLIDE, LOADED = 0x5500000000, 0x7000000000
WORD = VARIABLES + 32
"""Where the host keeps what the loader found."""
GLOB_DAT, TLSDESC = 1025, 1031
HIDDEN = {"other": e.STV_HIDDEN}
NOT_ASKED: Mapping[str, Any] = {}
KEPT: Mapping[str, Any] = {"keep_state": True}
LOCAL = {"bind": e.STB_LOCAL}


def variable(name: str = "x", at: int = VARIABLES + 8, **facts: Any) -> Sym:
    """A host's or earlier patch's variable."""
    return Sym(name, at, e.STT_OBJECT, section=DATA, **facts)


def constant(name: str = "x", at: int = CONSTANTS + 8, **facts: Any) -> Sym:
    """Likewise a constant."""
    return Sym(name, at, e.STT_OBJECT, section=RODATA, **facts)


def thread(name: str = "x", at: int = 8, **facts: Any) -> Sym:
    """Likewise a thread-local."""
    return Sym(name, at, e.STT_TLS, section=THREAD, **facts)


def function(name: str = "x", at: int = CODE + 8, **facts: Any) -> Sym:
    """Likewise a function."""
    return Sym(name, at, **facts)


def own(name: str = "x", **facts: Any) -> OwnSym:
    """A variable of the patch's."""
    return OwnSym(name, 0, e.STT_OBJECT, section=OWN_DATA, **facts)


OWN_CONSTANT = OwnSym("x", 0, e.STT_OBJECT)
OWN_THREAD_LOCAL = OwnSym("x", 0, e.STT_TLS, section=OWN_THREAD)


def judge(
    folder: Path,
    host: Sequence[Sym],
    patch: Sequence[OwnSym],
    *earlier: Sequence[Sym],
    library: bool = False,
    words: Sequence[Relocation] = (),
    stripped: bool = False,
    began: Sequence[str] | None = None,
    **options: Any,
) -> Resolution:
    """What a patch of bound copies becomes for a host, a *library* or a program, and earlier patches.

    Args:
        folder: for the files.
        host: its symbols.
        patch: the object's.
        earlier: those of each earlier patch.
        library: whether the host is one.
        words: where it keeps what the loader found.
        stripped: whether it has only what the loader needs.
        began: the variables that each earlier patch is said to have begun.
        options: of the library's call.
    """
    interpreter = "" if library else "/lib/ld-linux-aarch64.so.1"
    symbols = [*host, Sym("main", CODE + 0x40)]
    path = put(
        folder,
        "host",
        elf_linked(symbols, program=not library, interpreter=interpreter, relocations=words, stripped=stripped),
    )
    previous = [
        PreviousPatch(
            put(folder, f"earlier-{number}.so", elf_linked(symbols)), LOADED + number * 0x100000, variables=began
        )
        for number, symbols in enumerate(earlier)
    ]
    objects = [put(folder, "patch.o", elf_object(patch))]
    builder = StubBuilder(path, cache=False)
    return builder.judge(objects, slide=SLIDE, previous=previous, bind=True, **options)


def address(value: int, **facts: Any) -> Target:
    """A slot with the address of data."""
    return Target(Kind.DATA, SlotKind.ADDRESS, value, **facts)


def offset(value: int, **facts: Any) -> Target:
    """A slot with a distance from the thread pointer."""
    return Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, value, **facts)


def asked(distance: int, **facts: Any) -> Target:
    """A slot with a TLS descriptor of the host's."""
    return Target(Kind.THREAD_LOCAL, SlotKind.HOST_DESCRIPTOR, distance, descriptor=SLIDE + WORD, **facts)


def called(value: int, **facts: Any) -> Target:
    """A slot with a function's address, for pointers to it."""
    return Target(Kind.FUNCTION, SlotKind.ADDRESS, value, **facts)


class Case(NamedTuple):
    """A host's symbol that a patch refers to, and what it becomes."""

    host: Sequence[Sym]
    target: Target | None
    verdict: Verdict
    static: int | None
    runtime: int | None
    reason: str  # words of it
    library: bool = False
    words: Sequence[Relocation] = ()
    options: Mapping[str, Any] = NOT_ASKED
    earlier: Sequence[Sequence[Sym]] = ()
    forwarded: bool = False


FOUND = [Relocation(WORD, "x", GLOB_DAT)]
ASKED = [Relocation(WORD, "x", TLSDESC)]
ASKED_OWN = [Relocation(WORD, "", TLSDESC, 4)]
AT, CONSTANT_AT, CODE_AT, WORD_AT = SLIDE + VARIABLES + 8, SLIDE + CONSTANTS + 8, SLIDE + CODE + 8, SLIDE + WORD
NONE_TLS = "it is thread-local, and --data none refuses all data"
NO_DESCRIPTOR = "it is thread-local in a shared library that has no TLS descriptor"
REFERENCES = {
    "a variable": Case(
        [variable()], address(AT), Verdict.SLOT, VARIABLES + 8, AT, "bound copies read its address from a slot"
    ),
    "a variable by an absolute symbol": Case(
        [variable()],
        None,
        Verdict.ABSOLUTE,
        VARIABLES + 8,
        AT,
        "defined as an absolute symbol",
        options={"data": "absolute"},
    ),
    "a library's variable": Case(
        [variable()],
        address(WORD_AT, indirect=True),
        Verdict.SLOT,
        WORD,
        WORD_AT,
        "bound copies read its address where the loader put it",
        library=True,
        words=FOUND,
    ),
    "a library's variable that it does not look up": Case(
        [variable()],
        None,
        Verdict.REFUSED,
        VARIABLES + 8,
        None,
        "so that nothing says which one is meant",
        library=True,
    ),
    "a library's constant": Case(
        [constant()], address(CONSTANT_AT), Verdict.SLOT, CONSTANTS + 8, CONSTANT_AT, "from a slot", library=True
    ),
    "a library's hidden variable": Case(
        [variable(**HIDDEN)], address(AT), Verdict.SLOT, VARIABLES + 8, AT, "from a slot", library=True
    ),
    "a function": Case([function()], None, Verdict.TRAMPOLINE, CODE + 8, CODE_AT, "one function of that name"),
    "a library's function": Case(
        [function()], called(CODE_AT), Verdict.TRAMPOLINE, CODE + 8, CODE_AT, "one function", library=True
    ),
    "a library's function that it points to": Case(
        [function()],
        called(WORD_AT, indirect=True),
        Verdict.TRAMPOLINE,
        CODE + 8,
        CODE_AT,
        "one function",
        library=True,
        words=FOUND,
    ),
    "a thread-local": Case(
        [thread()], offset(24), Verdict.TLS, 8, None, "0x18 bytes from the thread pointer", forwarded=True
    ),
    "a thread-local without data": Case([thread()], None, Verdict.TLS, 8, None, NONE_TLS, options={"data": "none"}),
    "a library's thread-local without data": Case(
        [thread()], None, Verdict.TLS, 8, None, NONE_TLS, library=True, words=ASKED, options={"data": "none"}
    ),
    "a library's thread-local that nothing asks for": Case(
        [thread()], None, Verdict.TLS, 8, None, NO_DESCRIPTOR, library=True
    ),
    "a library's thread-local": Case(
        [thread()],
        asked(0),
        Verdict.TLS,
        8,
        None,
        f"the host's own TLS descriptor at {WORD_AT:#x}",
        library=True,
        words=ASKED,
        forwarded=True,
    ),
    "a library's hidden thread-local": Case(
        [thread(**HIDDEN)],
        asked(4),
        Verdict.TLS,
        8,
        None,
        f"the host's own TLS descriptor at {WORD_AT:#x}",
        library=True,
        words=ASKED_OWN,
        forwarded=True,
    ),
    "a library's thread-local for the loader": Case(
        [thread()],
        None,
        Verdict.LOADER,
        None,
        None,
        "left to the loader, as asked",
        library=True,
        words=ASKED,
        options={"tls": "loader"},
    ),
    "a hidden one that no loader finds": Case(
        [thread(**HIDDEN)],
        asked(4),
        Verdict.TLS,
        8,
        None,
        "TLS descriptor at",
        library=True,
        words=ASKED_OWN,
        options={"tls": "loader"},
        forwarded=True,
    ),
    "a program's thread-local, whatever was asked": Case(
        [thread()],
        offset(24),
        Verdict.TLS,
        8,
        None,
        "from the thread pointer",
        options={"tls": "loader"},
        forwarded=True,
    ),
    "a thread-local of a pinned version": Case(
        [thread("x@V1"), thread()],
        offset(24),
        Verdict.TLS,
        8,
        None,
        "from the thread pointer",
        options={"data": "absolute"},
        forwarded=True,
    ),
    "an earlier patch's thread-local": Case(
        [],
        None,
        Verdict.TLS,
        8,
        None,
        "it is thread-local in an earlier patch that has no TLS descriptor",
        earlier=[[thread()]],
    ),
    "an earlier patch's variable": Case(
        [],
        address(LOADED + VARIABLES + 8),
        Verdict.SLOT,
        VARIABLES + 8,
        LOADED + VARIABLES + 8,
        "from a slot",
        earlier=[[variable()]],
    ),
    "an earlier patch's function": Case(
        [], None, Verdict.TRAMPOLINE, CODE + 8, LOADED + CODE + 8, "earlier patch", earlier=[[function()]]
    ),
    "an earlier patch's function, of a library's": Case(
        [function()],
        None,
        Verdict.TRAMPOLINE,
        CODE + 8,
        LOADED + CODE + 8,
        "earlier patch",
        earlier=[[function()]],
        library=True,
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_what_a_reference_reads(tmp_path: Path, name: str) -> None:
    """Another word in a slot is another variable, or the library's own where the process uses the program's."""
    case = REFERENCES[name]
    spelling = "x@V1" if "pinned" in name else "x"
    resolution = judge(
        tmp_path,
        case.host,
        [undefined(spelling)],
        *case.earlier,
        library=case.library,
        words=case.words,
        **case.options,
    )
    (decision,) = resolution.decisions()
    assert (decision.verdict, decision.static_address, decision.runtime_address) == case[2:5]
    assert case.reason in decision.reason
    assert decision.forwarded is case.forwarded
    assert resolution.bound_targets == ({} if case.target is None else {spelling.encode(): case.target})
    assert decision.patch == (f"{tmp_path}/earlier-0.so" if case.earlier else "")


def test_a_version_that_an_object_pins(tmp_path: Path) -> None:
    """No linker takes ``x@V1`` from an object: a bound copy calls it otherwise, which an absolute symbol cannot be."""
    resolution = judge(tmp_path, [function("x@V1")], [undefined("x@V1"), undefined("main")])
    assert resolution.stubs.names == [b"__stubgen_pinned.1.x.V1", b"main"]
    refused = judge(tmp_path, [variable("x@V1")], [undefined("x@V1")], data="absolute")
    (decision,) = refused.decisions()
    reason = "it pins version V1, and no linker takes a symbol of that name from an object: drop --data absolute"
    assert (decision.verdict, decision.reason) == (Verdict.REFUSED, reason)
    for symbols, options in (([function("x@V1")], {"data": "absolute"}), ([variable("x@V1")], {})):
        (decision,) = judge(tmp_path, symbols, [undefined("x@V1")], **options).decisions()
        assert decision.verdict in (Verdict.TRAMPOLINE, Verdict.SLOT)


# variables of both


UNFOUND = (
    "the program may have its own, which the loader then gives the library too; the library does not look it up, so "
    "that nothing says which one is meant; give it hidden visibility (ELF: or link the library with -Bsymbolic)"
)


class Both(NamedTuple):
    """A variable of the patch's, the host's of its name, and what becomes of it."""

    own: OwnSym
    host: Sequence[Sym]
    target: Target | None
    static: int | None
    reason: str = ""
    library: bool = False
    words: Sequence[Relocation] = ()
    options: Mapping[str, Any] = KEPT


BOTH = {
    "a variable": Both(own(), [variable()], address(AT, kept=True), VARIABLES + 8),
    "a variable that is not asked for": Both(own(), [variable()], None, VARIABLES + 8, options=NOT_ASKED),
    "a library's variable": Both(
        own(), [variable()], address(WORD_AT, kept=True, indirect=True), VARIABLES + 8, library=True, words=FOUND
    ),
    "a library's variable that it does not look up": Both(own(), [variable()], None, None, UNFOUND, library=True),
    "a library's hidden variable": Both(
        own(), [variable(**HIDDEN)], address(AT, kept=True), VARIABLES + 8, library=True
    ),
    "a constant": Both(
        OWN_CONSTANT, [constant()], address(CONSTANT_AT, kept=True, constant=True), None, options=NOT_ASKED
    ),
    "a constant without data": Both(OWN_CONSTANT, [constant()], None, CONSTANTS + 8, options={"data": "none"}),
    "a constant of another kind": Both(
        OWN_CONSTANT,
        [variable()],
        None,
        VARIABLES + 8,
        "it is constant here, and the host's is a variable: what the process has in that is lost",
    ),
    "a thread-local": Both(OWN_THREAD_LOCAL, [thread()], offset(24, kept=True), 8, options=NOT_ASKED),
    "a thread-local without data": Both(OWN_THREAD_LOCAL, [thread()], None, 8, options={"data": "none"}),
    "a library's thread-local": Both(
        OWN_THREAD_LOCAL, [thread()], asked(0, kept=True), 8, library=True, words=ASKED, options=NOT_ASKED
    ),
    "a library's thread-local that nothing asks for": Both(
        OWN_THREAD_LOCAL, [thread()], None, 8, library=True, options=NOT_ASKED
    ),
    "a thread-local of another size": Both(
        OWN_THREAD_LOCAL, [thread(size=4)], None, 8, "its size changed from 4 to 8 bytes", options=NOT_ASKED
    ),
    "a variable of another size": Both(
        own(), [variable(size=4)], None, VARIABLES + 8, "its size changed from 4 to 8 bytes"
    ),
    "a thread-local that was none": Both(
        OWN_THREAD_LOCAL,
        [variable()],
        None,
        None,
        "it is thread-local here, and the host's is not: what the process has in that is lost",
    ),
    "a thread-local that is none now": Both(
        own(),
        [thread()],
        None,
        None,
        "the host's is thread-local, and this one is not: what each thread has in that is lost",
    ),
}


@pytest.mark.parametrize("name", BOTH)
def test_a_variable_of_both(tmp_path: Path, name: str) -> None:
    """State that goes on must be the very variable that the process uses; what begins anew is told why."""
    case = BOTH[name]
    resolution = judge(tmp_path, case.host, [case.own], library=case.library, words=case.words, **case.options)
    assert resolution.bound_targets == ({} if case.target is None else {b"x": case.target})
    writable = case.own is not OWN_CONSTANT
    kept = case.target is not None
    compared = not kept or not writable  # these files have no debug information
    assert resolution.shared_variables == (
        SharedVariable("x", 8, writable, kept, case.reason, static_address=case.static, type_compared=compared),
    )
    assert list(resolution.decisions()) == []


def test_where_the_loader_keeps_it_is_asked_of_the_exported_one(tmp_path: Path) -> None:
    """Two symbols may be at one address, and only what others see may be another image's."""
    symbols = [variable(**LOCAL, **HIDDEN), variable()]
    resolution = judge(tmp_path, symbols, [own()], library=True, words=FOUND, keep_state=True)
    assert resolution.bound_targets == {b"x": address(WORD_AT, kept=True, indirect=True)}
    (unfound,) = judge(tmp_path, symbols, [own()], library=True, keep_state=True).shared_variables
    assert unfound.reason_not_kept == UNFOUND


def test_user_space_ends(tmp_path: Path) -> None:
    """A stub that branches to 2^48 faults; the anchor's address was wrong."""
    path = put(tmp_path, "host", elf_linked([function(at=CODE)], program=True))
    patch = put(tmp_path, "patch.o", elf_object([undefined("x")]))
    builder = StubBuilder(path, cache=False)
    for slide, refused in ((2**48 - CODE, True), (2**48 - CODE - 0x1000, False)):
        if refused:
            with pytest.raises(AnchorRefusal, match="where user space ends"):
                builder.judge([patch], slide=slide, bind=True)
        else:
            assert list(builder.judge([patch], slide=slide, bind=True).stubs.addresses) == [slide + CODE]


def test_a_thread_local_of_macho(tmp_path: Path) -> None:
    """Its descriptor in the host leads to each thread's own."""
    sections = [
        macho_writer.Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, bytes(16), 2),
        macho_writer.Section("__DATA", "__thread_vars", m.S_THREAD_LOCAL_VARIABLES, bytes(24), 3),
    ]
    symbols = [
        macho_writer.SymbolColumns([name], m.N_SECT | m.N_EXT, section, 0, array("Q", [at]))
        for name, section, at in ((b"_main", 1, 0), (b"_x", 2, 16))
    ]
    obj = macho_writer.Object(sections, BuildVersion(1, 0x000D0000, 0), defined_symbols=symbols)
    content = bytearray(macho_writer.write(obj))
    struct.pack_into("<I", content, 12, m.MH_EXECUTE)
    struct.pack_into("<I", content, 24, m.MH_PIE)
    host, patch = put(tmp_path, "host", bytes(content)), put(tmp_path, "patch.o", macho_object(needed=["_x"]))
    resolution = StubBuilder(host, cache=False).judge([patch], slide=0x4000, bind=True)
    (decision,) = resolution.decisions()
    assert (decision.verdict, decision.forwarded) == (Verdict.TLS, True)
    assert decision.reason == "it is thread-local: bound copies use the host's own descriptor"
    assert resolution.bound_targets == {b"_x": Target(Kind.THREAD_LOCAL, SlotKind.ADDRESS, 0x4000 + 16)}
