"""The verdicts that policies, earlier patches and other files' definitions bring, and what each says of itself."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from linked import CODE, VARIABLES, Relocation, elf_linked
from linked import DATA as LINKED_DATA
from linked import THREAD as LINKED_THREAD
from linked import Sym as LinkedSym
from synthetic import BASE, DATA, SIZE, THREAD, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined

import stubgen
from stubgen.build import StubBuilder
from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.elf.relocations import Relocations
from stubgen.host import open_host
from stubgen.host.previous import PreviousPatch
from stubgen.host.slide import Slide
from stubgen.image import Candidate, Kind
from stubgen.resolve import judging as module
from stubgen.resolve.judging import described
from stubgen.resolve.needed import read_needed
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.resolver import resolve
from stubgen.resolve.verdicts import Decision, Verdict

F, V = BASE + 0x100, BASE + SIZE + 8
SLIDE, LOADED = 0x5500000000, 0x7000000000
Said = tuple[Verdict, str, int | None, int | None]


def judge(
    folder: Path,
    host: Sequence[Sym],
    patch: Sequence[Sym],
    *earlier: Sequence[LinkedSym],
    features: int = 0,
    **options: Any,
) -> Resolution:
    """What a patch becomes for a host and earlier patches of these symbols."""
    path = put(folder, "host", elf_host([*host, Sym("other", F + 0x40)], features=features))
    objects = [put(folder, "patch.o", elf_object(patch))]
    previous = [
        PreviousPatch(put(folder, f"earlier-{number}.so", elf_linked(symbols)), LOADED + number * 0x100000)
        for number, symbols in enumerate(earlier)
    ]
    builder = StubBuilder(path, cache=False)
    return builder.judge(objects, slide=SLIDE, previous=previous, **options)


def only(resolution: Resolution) -> Decision:
    """The one decision there is."""
    (decision,) = resolution.decisions()
    return decision


def said(resolution: Resolution) -> Said:
    """What it says."""
    decision = only(resolution)
    return decision.verdict, decision.reason, decision.static_address, decision.runtime_address


# earlier patches


def test_an_earlier_patchs_function(tmp_path: Path) -> None:
    """The newest one's is called, in code that moved with that patch, and the host's slide is not added."""
    one, two = [LinkedSym("f", CODE)], [LinkedSym("f", CODE + 16)]
    for host in ([], [Sym("f", F)]):
        resolution = judge(tmp_path, host, [undefined("f")], one, two)
        decision = only(resolution)
        newest = f"{tmp_path}/earlier-1.so"
        assert (decision.verdict, decision.runtime_address) == (Verdict.TRAMPOLINE, LOADED + 0x100000 + CODE + 16)
        assert decision.reason.endswith(f"the earlier patch {newest} has it")
        assert list(resolution.stubs.addresses) == [decision.runtime_address]
        assert (resolution.fixed, resolution.elsewhere) == ({b"f"}, {b"f"})
        patch, candidate = resolution.earlier[b"f"]
        assert (patch.path, candidate.address) == (newest, CODE + 16)


def test_what_an_earlier_patch_does_not_answer(tmp_path: Path) -> None:
    """What it lacks is the host's still, and a pinned version is a library's or the host's."""
    earlier = [LinkedSym("g", CODE)]
    resolution = judge(tmp_path, [Sym("f", F)], [undefined("f")], earlier)
    assert said(resolution)[2:] == (F, SLIDE + F)
    assert (resolution.fixed, resolution.elsewhere, resolution.earlier) == (frozenset(), frozenset(), {})
    pinned = judge(tmp_path, [Sym("g@V1", F)], [undefined("g@V1")], earlier, bind=True)
    assert said(pinned)[2:] == (F, SLIDE + F)
    static = judge(tmp_path, [Sym("g", F)], [undefined("g")], [LinkedSym("g", CODE, bind=e.STB_LOCAL)])
    assert said(static)[2:] == (F, SLIDE + F)


def test_earlier_patches_kinds(tmp_path: Path) -> None:
    """What the loader would find in a program it does not find in a patch, which nobody shares."""
    ifunc = judge(tmp_path, [], [undefined("f")], [LinkedSym("f", CODE, e.STT_GNU_IFUNC)])
    reason = (
        f"it is an ifunc, and nothing there is the function itself (the earlier patch {tmp_path}/earlier-0.so has it)"
    )
    assert said(ifunc) == (Verdict.REFUSED, reason, CODE, None)
    assert only(ifunc).patch == f"{tmp_path}/earlier-0.so"
    thread = [LinkedSym("t", 8, e.STT_TLS, section=LINKED_THREAD)]
    for tls in ("auto", "loader"):
        found = judge(tmp_path, [], [undefined("t")], thread, tls=tls)
        assert only(found).verdict is Verdict.TLS
    odd = judge(tmp_path, [], [undefined("f")], [LinkedSym("f", CODE + 2)])
    assert said(odd)[0] is Verdict.REFUSED
    outside = judge(tmp_path, [], [undefined("f")], [LinkedSym("f", 0x9000)])
    assert "is in no executable segment" in said(outside)[1]
    variable = judge(
        tmp_path, [], [undefined("v")], [LinkedSym("v", 0x3008, e.STT_OBJECT, section=LINKED_DATA)], bind=True
    )
    assert said(variable)[0::3] == (Verdict.SLOT, LOADED + 0x3008)


def test_the_next_reference_is_the_hosts_again(tmp_path: Path) -> None:
    """An answer of an earlier patch's is for one name alone."""
    host = [Sym("g", F + 8)]
    resolution = judge(tmp_path, host, [undefined("f"), undefined("g")], [LinkedSym("f", CODE)])
    found = {decision.name: decision.runtime_address for decision in resolution.decisions()}
    assert found == {"f": LOADED + CODE, "g": SLIDE + F + 8}


# overrides and policies


def test_an_overridden_function(tmp_path: Path) -> None:
    """It is called where the caller says, whatever the host has."""
    resolution = judge(tmp_path, [Sym("f", F)], [undefined("f")], overrides={"f": LOADED})
    decision = only(resolution)
    assert (decision.verdict, decision.runtime_address) == (Verdict.TRAMPOLINE, LOADED)
    assert "an earlier patch replaced the host's" in decision.reason
    assert (resolution.fixed, resolution.elsewhere) == ({b"f"}, {b"f"})


class Says(stubgen.Policy):
    """One answer for one name."""

    def __init__(self, name: str, ruling: object) -> None:
        self.of, self.ruling = name, ruling

    def verdict(self, proposed: stubgen.Decision) -> object:  # type: ignore[override]  # any answer
        """That one."""
        return self.ruling if proposed.name == self.of else None


RULINGS: dict[str, tuple[object, dict[str, Any], Verdict, str, int | None]] = {
    # what a policy says, options, and what becomes of a reference to f
    "an address": (
        stubgen.UseAddress(LOADED, "it is there"),
        {},
        Verdict.TRAMPOLINE,
        "policy Says: it is there",
        LOADED,
    ),
    "a variable's address": (
        stubgen.UseAddress(LOADED, data=True),
        {},
        Verdict.ABSOLUTE,
        "policy Says: it is at another address; it is data: defined as an absolute symbol, default visibility",
        LOADED,
    ),
    "a variable's address, of bound copies": (
        stubgen.UseAddress(LOADED, data=True),
        {"bind": True},
        Verdict.SLOT,
        "",
        LOADED,
    ),
    "another name": (stubgen.UseName("g", "it moved"), {}, Verdict.TRAMPOLINE, "policy Says: it moved", SLIDE + F + 8),
    "a static one's name": (
        stubgen.UseName("s", "it moved"),
        {},
        Verdict.TRAMPOLINE,
        "policy Says: it moved; "
        "the host has one function of that name, a local symbol that is static in one of its files",
        SLIDE + F + 16,
    ),
    "a name that nobody has": (
        stubgen.UseName("nobody", "it moved"),
        {},
        Verdict.MISSING,
        "policy Says: it moved; the host has no such symbol",
        None,
    ),
    "the loader": (stubgen.UseLoader("it knows"), {}, Verdict.LOADER, "policy Says: it knows", None),
    "no": (stubgen.RefuseSymbol("not that one"), {}, Verdict.REFUSED, "policy Says: not that one", None),
}


@pytest.mark.parametrize(("ruling", "options", "verdict", "reason", "address"), RULINGS.values(), ids=[*RULINGS])
def test_what_policies_say(
    tmp_path: Path, ruling: object, options: dict[str, Any], verdict: Verdict, reason: str, address: int | None
) -> None:
    """A policy decides, and the report says that it did, and what it came to."""
    host = [Sym("f", F), Sym("g", F + 8), Sym("s", F + 16, bind=e.STB_LOCAL)]
    resolution = judge(tmp_path, host, [undefined("f")], policies=[Says("f", ruling)], **options)
    decision = only(resolution)
    assert (decision.verdict, decision.runtime_address, decision.policy) == (verdict, address, "Says")
    assert decision.reason == reason or (not reason and decision.reason.startswith("policy Says"))
    there = {b"f"} if address == LOADED else set()
    assert (resolution.fixed, resolution.elsewhere) == (there, there)
    assert resolution.policies == {b"f": "Says"}


def test_a_pinned_version_at_an_address(tmp_path: Path) -> None:
    """The stub object cannot define such a name, wherever it is."""
    for data in (False, True):
        ruling = stubgen.UseAddress(LOADED, data=data)
        resolution = judge(tmp_path, [], [undefined("f@V1")], policies=[Says("f@V1", ruling)])
        decision = only(resolution)
        assert (decision.verdict, decision.runtime_address) == (Verdict.REFUSED, None)
        assert "pins version V1" in decision.reason


# other files' definitions


def resolved(folder: Path, host: Sequence[Sym], patch: Sequence[Sym], **facts: Any) -> Decision:
    """The verdict where somebody has found these facts about the host's link."""
    path = put(folder, "host", elf_host([*host, Sym("other", F + 0x40)]))
    needed = read_needed([put(folder, "patch.o", elf_object(patch))])
    for name, value in facts.items():
        if name != "supplied":
            needed = needed._replace(**{name: value})
    supplied = facts.get("supplied", {})
    return only(resolve(needed, open_host(path, cache=False), Slide(SLIDE, None, None, None), supplied=supplied))


def test_what_libraries_have(tmp_path: Path) -> None:
    """A static of the host's of that name may be another file's; the library's is what others mean."""
    local, wanted = [Sym("f", F, bind=e.STB_LOCAL)], [undefined("f")]
    decision = resolved(tmp_path, [], wanted, supplied={b"f": "libf.so"})
    assert (decision.verdict, decision.reason) == (Verdict.LOADER, "libf.so supplies it")
    decision = resolved(tmp_path, [Sym("f", F)], wanted, supplied={b"f": "libf.so"})
    assert decision.verdict is Verdict.TRAMPOLINE
    decision = resolved(tmp_path, local, wanted, suppliers={b"f": "libf.so"})
    reason = f"libf.so supplies it; the host's own, at {F:#x}, is a static one of another file"
    assert (decision.verdict, decision.reason) == (Verdict.LOADER, reason)
    assert resolved(tmp_path, [], wanted, suppliers={b"f": "libf.so"}).verdict is Verdict.MISSING
    decision = resolved(tmp_path, local, wanted, doubts={b"f": "libf.so"})
    assert decision.verdict is Verdict.AMBIGUOUS
    assert decision.reason.startswith("libf.so exports it, and the host has a local one")
    assert decision.candidates == (f"f at {F:#x} (local function, .text)", "f in libf.so")
    assert resolved(tmp_path, [], wanted, doubts={b"f": "libf.so"}).verdict is Verdict.MISSING


def test_a_weak_default_that_gives_way(tmp_path: Path) -> None:
    """Only a bound copy can give its own up; elsewhere it would win over the host's without a word."""
    decision = resolved(tmp_path, [Sym("f", F)], [undefined("f")], gave_way=frozenset({b"f"}))
    assert decision.verdict is Verdict.REFUSED
    assert decision.reason.startswith("the patch's own is a weak default, which gives way to the host's definition: ")
    decision = resolved(tmp_path, [Sym("f", F)], [undefined("f")], gave_way=frozenset({b"g"}))
    assert decision.verdict is Verdict.TRAMPOLINE


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (
            Candidate(b"f", 0x40, Kind.FUNCTION, local=True, size=8, section=".text"),
            "f at 0x40 (local function, .text)",
        ),
        (
            Candidate(b"f", 0x40, Kind.FUNCTION, local=True, size=8, section=".text", file=b"a.c"),
            "f at 0x40 (local function, .text, a.c)",
        ),
        (Candidate(b"v", 0x40, Kind.DATA, local=False, size=8, section=".bss"), "v at 0x40 (global data, .bss)"),
        (
            Candidate(b"f", 0x40, Kind.FUNCTION, local=False, size=8, section=".text", version="V1"),
            "f@V1 at 0x40 (global function, .text)",
        ),
    ],
)
def test_how_a_choice_is_described(candidate: Candidate, text: str) -> None:
    """What a person chooses by."""
    assert described(candidate) == text


# kinds of symbols


IFUNC = f"it is an ifunc: {F:#x} is its resolver, not the function"
KINDS: dict[str, tuple[Sym, dict[str, Any], Said]] = {
    # the host's symbol, options, and what is said of a reference to it
    "the first instruction": (
        Sym("x", BASE),
        {},
        (Verdict.TRAMPOLINE, "the host has one function of that name", BASE, SLIDE + BASE),
    ),
    "behind the last instruction": (
        Sym("x", BASE + SIZE),
        {},
        (Verdict.REFUSED, f"its address {BASE + SIZE:#x} is in no executable segment", BASE + SIZE, None),
    ),
    "between instructions": (
        Sym("x", F + 1),
        {},
        (Verdict.REFUSED, f"its address {F + 1:#x} is not a multiple of 4: no instruction is there", F + 1, None),
    ),
    "with landing pads": (
        Sym("x", F),
        {"features": 1},
        (Verdict.TRAMPOLINE, "the host has one function of that name", F, SLIDE + F),
    ),
    "data": (
        Sym("x", V, e.STT_OBJECT, section=DATA),
        {},
        (Verdict.ABSOLUTE, "it is data in .data: defined as an absolute symbol, default visibility", V, SLIDE + V),
    ),
    "no data": (
        Sym("x", V, e.STT_OBJECT, section=DATA),
        {"data": "none"},
        (Verdict.REFUSED, "it is data in .data, and --data none refuses all data", V, None),
    ),
    "an absolute value": (
        Sym("x", 0x1234, e.STT_NOTYPE, section=e.SHN_ABS),
        {},
        (
            Verdict.ABSOLUTE,
            "it is an absolute value: defined as an absolute symbol, default visibility",
            0x1234,
            0x1234,
        ),
    ),
    "a local ifunc": (
        Sym("x", F, e.STT_GNU_IFUNC, other=e.STV_HIDDEN),
        {},
        (Verdict.REFUSED, f"{IFUNC}, and the host does not export it: link the host with -rdynamic", F, None),
    ),
    "an import": (
        undefined("x"),
        {},
        (Verdict.LOADER, "the host imports it itself: the loader finds it in the same library", None, None),
    ),
    "an import of a version": (
        undefined("x@V1"),
        {},
        (
            Verdict.LOADER,
            "the host imports it itself (version V1): the loader finds it in the same library",
            None,
            None,
        ),
    ),
}


@pytest.mark.parametrize(("host", "options", "expected"), KINDS.values(), ids=[*KINDS])
def test_what_each_kind_becomes(tmp_path: Path, host: Sym, options: dict[str, Any], expected: Said) -> None:
    """The sentence that a user acts on, and the address that a stub has."""
    resolution = judge(tmp_path, [host], [undefined("x")], **options)
    assert said(resolution) == expected
    columns = resolution.stubs
    assert list(columns.addresses) == ([expected[3]] if expected[0] is Verdict.TRAMPOLINE else [])
    absolute = expected[0] is Verdict.ABSOLUTE
    assert columns.absolute_names == ([b"x"] if absolute else [])
    assert list(columns.absolute_addresses) == ([expected[3]] if absolute else [])


def test_a_function_without_a_landing_pad(tmp_path: Path) -> None:
    """Its page is guarded: a branch through a register would end the process."""
    content = bytearray(elf_host([Sym("x", F)], features=1))
    at = content.index(bytes.fromhex("5f2403d5") * 16) + 0x100
    struct.pack_into("<I", content, at, 0xD503201F)
    host = put(tmp_path, "host", bytes(content))
    patch = put(tmp_path, "patch.o", elf_object([undefined("x")]))
    decision = only(StubBuilder(host, cache=False).judge([patch], slide=SLIDE))
    assert (decision.verdict, decision.static_address) == (Verdict.REFUSED, F)
    assert decision.reason.startswith("the host has BTI and this function no landing pad")


def test_thread_locals_without_copies(tmp_path: Path) -> None:
    """No constant reaches one, and the loader only finds what is exported."""
    thread = Sym("x", 8, e.STT_TLS, section=THREAD)
    verdict, reason, static, runtime = said(judge(tmp_path, [thread], [undefined("x")]))
    assert (verdict, static is not None, runtime) == (Verdict.TLS, True, None)
    assert "every thread has its own copy" in reason
    hidden = judge(tmp_path, [thread._replace(other=e.STV_HIDDEN)], [undefined("x")], tls="loader")
    assert only(hidden).verdict is Verdict.TLS


def test_what_the_loader_gets_of_an_exported_one(tmp_path: Path) -> None:
    """As asked, or because nobody else can call an ifunc's resolver."""
    patch = put(tmp_path, "patch.o", elf_object([undefined("t"), undefined("f")]))
    symbols = [
        LinkedSym("t", 8, e.STT_TLS, section=LINKED_THREAD),
        LinkedSym("f", CODE, e.STT_GNU_IFUNC),
        LinkedSym("main", CODE + 8),
    ]
    host = put(tmp_path, "host", elf_linked(symbols, program=True))
    found = {
        decision.name: (decision.verdict, decision.reason)
        for decision in StubBuilder(host, cache=False).judge([patch], slide=SLIDE, tls="loader").decisions()
    }
    assert found["t"] == (Verdict.LOADER, "it is thread-local and exported: left to the loader, as asked")
    resolver = f"it is an ifunc: {CODE:#x} is its resolver, not the function"
    assert found["f"] == (Verdict.LOADER, f"{resolver}; the host exports it, so the loader resolves it")


def test_data_of_a_macho_host(tmp_path: Path) -> None:
    """Nothing of Mach-O's reads an absolute symbol's value, whatever was asked for."""
    host = put(tmp_path, "host", macho_host({"_main": 16}))
    patch = put(tmp_path, "patch.o", macho_object(needed=["_x"]))
    for data in ("auto", "absolute"):
        builder = StubBuilder(host, cache=False)
        ruling = stubgen.UseAddress(0x1_0000_0000, data=True)
        decision = only(builder.judge([patch], slide=0, data=data, policies=[Says("_x", ruling)]))
        assert decision.verdict is Verdict.REFUSED
        assert decision.reason.endswith("on Mach-O an absolute symbol would be read at a wrong address")


def test_the_patch_that_does_nothing(tmp_path: Path) -> None:
    """Nothing is needed, nothing is said."""
    resolution = judge(tmp_path, [Sym("f", F)], [Sym("f", 0)])
    assert list(resolution.decisions()) == []
    assert resolution.policies == {}


# what a linker left nothing of, or lets others replace


def gcc_object(*seen: str, static: Sequence[str] = ()) -> bytes:
    """An object of GCC's for link-time optimisation: what it has for all files, and its own functions."""
    table = b"".join(name.encode() + b"\0\0" + bytes(14) for name in seen)
    sections = [elf_writer.Section(".gnu.lto_.symtab.1", 1, 0, table)]
    sections += [elf_writer.Section(f".gnu.lto_{name}.2.1ab", 1, 0, b"code") for name in (*seen, *static)]
    return bytes(elf_writer.write(elf_writer.Object(sections)))


LEFT_OUT: dict[str, tuple[Sym, str, Sequence[str], Sequence[str], bool]] = {
    # the host's, the name that is wanted, what one object of its link has for all files, for itself, and whether that
    # is what is meant
    "a renamed one": (Sym("f.llvm.1", F, bind=e.STB_LOCAL), "f", ["f"], [], True),
    "a renamed one, of no object's": (Sym("f.llvm.1", F, bind=e.STB_LOCAL), "f", ["g"], [], False),
    "a renamed one of C++'s": (Sym("_Z1f.llvm.1", F, bind=e.STB_LOCAL), "_Z1f", ["_Z1f"], [], False),
    "a static one": (Sym("f", F, bind=e.STB_LOCAL), "f", ["f"], ["f"], True),
    "a static one, of which no object says that": (Sym("f", F, bind=e.STB_LOCAL), "f", ["f"], [], False),
    "a global one": (Sym("f", F), "f", ["f"], ["f"], False),
}


@pytest.mark.parametrize(("own", "name", "seen", "static", "refused"), LEFT_OUT.values(), ids=[*LEFT_OUT])
def test_what_link_time_optimisation_left_nothing_of(
    tmp_path: Path, own: Sym, name: str, seen: Sequence[str], static: Sequence[str], refused: bool
) -> None:
    """All calls of a function were inlined, and another file's static one has its name in the host."""
    one, two = put(tmp_path, "one.o", gcc_object(*seen)), put(tmp_path, "two.o", gcc_object(static=static))
    decision = only(judge(tmp_path, [own], [undefined(name)], bind=True, linked=[two, one]))
    assert decision.static_address == F
    assert decision.verdict is (Verdict.REFUSED if refused else Verdict.TRAMPOLINE)
    assert (f"may be static in another file; {one} has the one that all files see" in decision.reason) is refused
    for options in ({"bind": True}, {"bind": True, "linked": [two]}, {}):
        assert only(judge(tmp_path, [own], [undefined(name)], **options)).verdict is Verdict.TRAMPOLINE


ADRP, LDR, ADD, BR, BTI = 0x90000010, 0xF9400611, 0x91002210, 0xD61F0220, 0xD503245F
"""A PLT entry of GNU ld's for the word at ``VARIABLES`` + 8, seen from the page of ``CODE``, but for the page."""


@pytest.mark.parametrize(
    ("pads", "features", "through"),
    [(False, False, True), (True, False, True), (True, True, True), (False, True, False)],
)
def test_a_library_calls_what_the_loader_found(tmp_path: Path, pads: bool, features: bool, through: bool) -> None:
    """The program may have its own function of that name, and then it is what the library calls."""
    page = (VARIABLES - CODE) >> 12
    entry = [ADRP | (page & 3) << 29, LDR, ADD, BR]
    words = [BTI, *entry] if pads else entry
    code = struct.pack("<2I", BTI, 0xD65F03C0).ljust(0x40, b"\0") + struct.pack(f"<{len(words)}I", *words)
    note = [(".note.gnu.property", elf_writer.property_note(1))] if features else []
    symbols = [LinkedSym("f", CODE), LinkedSym("main", CODE + 4)]
    content = elf_linked(
        symbols, code=code, notes=note, sections={".text": ".plt"}, relocations=[Relocation(VARIABLES + 8, "f", 1026)]
    )
    host = put(tmp_path, "libhost.so", content)
    patch = put(tmp_path, "patch.o", elf_object([undefined("f")]))
    decision = only(StubBuilder(host, cache=False).judge([patch], slide=SLIDE))
    assert decision.verdict is Verdict.TRAMPOLINE
    assert decision.runtime_address == SLIDE + (CODE + 0x40 if through else CODE)
    assert decision.reason.endswith("through the library's PLT entry or stub, as its own calls go") is through


@pytest.mark.parametrize("kind", [283, 282, 257])
@pytest.mark.parametrize("bind", [False, True])
def test_code_that_is_typed_as_data(tmp_path: Path, kind: int, bind: bool) -> None:
    """GHC's functions have the type of a datum, and what the patch branches to is no datum."""
    table = Relocations([0], [1], [kind], [0])
    sections = [
        elf_writer.Section(".text", 1, e.SHF_ALLOC | e.SHF_EXECINSTR, struct.pack("<2I", 0x94000000, 0), 4, table)
    ]
    symbols = elf_writer.SymbolColumns([b"x"], 1 << 4, 0, 0, 0, 0)
    patch = put(tmp_path, "patch.o", bytes(elf_writer.write(elf_writer.Object(sections, global_symbols=[symbols]))))
    branched = kind != 257
    for address, section in ((F, 1), (V, DATA)):
        host = put(tmp_path, "host", elf_host([Sym("x", address, e.STT_OBJECT, section=section), Sym("other", F + 8)]))
        decision = only(StubBuilder(host, cache=False).judge([patch], slide=SLIDE, bind=bind))
        is_code = branched and address == F
        assert (decision.verdict in (Verdict.ABSOLUTE, Verdict.SLOT)) is not is_code


def test_few_names_and_many_are_judged_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What constants point to is held against the host's symbols, so that they are looked up."""
    host = [Sym("f", F), Sym("count", V, e.STT_OBJECT, section=DATA)]
    for patch in ([undefined("f")], [undefined("f"), Sym("count", 0, e.STT_OBJECT, section=DATA)]):
        found = []
        for few in (module.FEW_NEEDED, 0):
            monkeypatch.setattr(module, "FEW_NEEDED", few)
            resolution = judge(tmp_path, host, patch, bind=True)
            found.append((list(resolution.decisions()), [v.name for v in resolution.shared_variables]))
        assert found[0] == found[1]
        assert found[0][0][0].runtime_address == SLIDE + F
        monkeypatch.undo()


def test_a_variable_of_both_is_the_hosts(tmp_path: Path) -> None:
    """One that is not looked up in the host begins anew, and the program's count is lost."""
    host = [Sym("count", V, e.STT_OBJECT, section=DATA)]
    own = Sym("count", 0, e.STT_OBJECT, section=DATA)
    for variable, forwarded in ((own, True), (own._replace(name="fresh"), False)):
        resolution = judge(tmp_path, host, [variable], bind=True, keep_state=True)
        assert [(row.name, row.forwarded) for row in resolution.shared_variables] == [(variable.name, True)] * forwarded


def test_what_was_found_in_an_archives_member(tmp_path: Path) -> None:
    """Of several of a name in the host it is the member's own."""
    host = [Sym("f", F, bind=e.STB_LOCAL), Sym("f", F + 8, bind=e.STB_LOCAL)]
    assert resolved(tmp_path, host, [undefined("f")]).verdict is Verdict.AMBIGUOUS
    member = Candidate(b"f", F + 8, Kind.FUNCTION, local=True, size=8, section=".text")
    decision = resolved(tmp_path, host, [undefined("f")], located={b"f": member})
    assert (decision.verdict, decision.static_address) == (Verdict.TRAMPOLINE, F + 8)
