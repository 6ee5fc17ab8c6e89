"""Every section, symbol and relocation of a stub object, held against the specifications' numbers."""

from __future__ import annotations

import struct
from array import array

import pytest
from decoded import elf_sections, elf_symbols, macho_commands, macho_sections, macho_symbols, rows

from stubgen.image import References
from stubgen.image.identity import BUILD_ID, HostIdentity, PatchIdentity, encode_identity
from stubgen.macho.reader import BuildVersion
from stubgen.resolve.needed import Needed
from stubgen.resolve.resolution import StubColumns
from stubgen.resolve.verdicts import SlotKind
from stubgen.stub import emit as emit_module
from stubgen.stub.emit import Anchor, StubObject, emit, emit_elf, emit_macho
from stubgen.stub.facts import LibraryFacts
from stubgen.stub.slots import Slot

NAMES, ADDRESSES = [b"f", b"g"], array("Q", [0x1000, 0x7B4091FF2C00])
ANCHOR = Anchor(b"main", 0x5555_0000_1234)
IDENTITY = PatchIdentity(0x1000, HostIdentity(BUILD_ID, b"12345"), 2, b"s" * 16, "1.0")
SLOTS = (
    Slot(b"c0", SlotKind.ADDRESS, 0x1122334455667788, b"c0"),
    Slot(b"d0", SlotKind.DESCRIPTOR, 0x10, b"d0"),
    Slot(b"c1", SlotKind.THREAD_OFFSET, (1 << 64) - 16, b"c1"),
    Slot(b"h0", SlotKind.HOST_DESCRIPTOR, 0x20 | 0x7000 << 64, b"h0"),
    Slot(b"d1", SlotKind.DESCRIPTOR, 0x18, b"d1"),
    Slot(b"h1", SlotKind.HOST_DESCRIPTOR, 0x30 | 0x8000 << 64, b"h1"),
)
RESOLVER = struct.pack("<2I", 0xF9400400, 0xD65F03C0)  # ldr x0, [x0, #8]; ret
PAD = struct.pack("<I", 0xD503245F)  # bti c


def stub_to(address: int) -> bytes:
    """``movz x16``, three ``movk x16`` and ``br x16`` (Arm ARM C6.2): imm16 is bits 5 to 20, hw bits 21 and 22."""
    moves = [
        (0xD2800010, 0xF2800010)[part > 0] | part << 21 | (address >> 16 * part & 0xFFFF) << 5 for part in range(4)
    ]
    return struct.pack("<5I", *moves, 0xD61F0200)


def elf_stub(**options: object) -> StubObject:
    """A stub object with everything in it that there can be."""
    return emit_elf(
        NAMES,
        ADDRESSES,
        **{  # type: ignore[arg-type]
            "slots": SLOTS,
            "features": 3,
            "absolute_names": [b"a", b"b"],
            "absolute_addresses": [0x1234, 1 << 56],
            "anchor": ANCHOR,
            "identity": IDENTITY,
            **options,
        },
    )


ELF_SECTIONS = {  # sh_type, sh_flags, sh_link, sh_info, sh_addralign, sh_entsize, as AAELF64 and linkers want them
    b".text": (1, 6, 0, 0, 4, 0),
    b".eh_frame": (1, 2, 0, 0, 8, 0),
    b".note.GNU-stack": (1, 0, 0, 0, 1, 0),
    b".note.gnu.property": (7, 2, 0, 0, 8, 0),
    b".rodata": (1, 2, 0, 0, 8, 0),
    b".data.rel.ro": (1, 3, 0, 0, 16, 0),
    b".text.tlsdesc": (1, 6, 0, 0, 4, 0),
    b".data.rel.ro.tlshost": (1, 3, 0, 0, 8, 0),
    b".text.tlshost": (1, 6, 0, 0, 4, 0),
    b".note.stubgen": (7, 2, 0, 0, 4, 0),
    b".rela.eh_frame": (4, 0x40, 14, 2, 8, 24),
    b".rela.data.rel.ro": (4, 0x40, 14, 6, 8, 24),
    b".rela.data.rel.ro.tlshost": (4, 0x40, 14, 8, 8, 24),
    b".symtab": (2, 0, 15, 11, 8, 24),
    b".strtab": (3, 0, 0, 0, 1, 0),
    b".shstrtab": (3, 0, 0, 0, 1, 0),
}


def test_every_section_of_an_elf_stub_object() -> None:
    """A descriptor that is not writable faults in the loader, code that is not executable in the process."""
    sections = elf_sections(elf_stub().content)
    held = {name: (*row[1:3], *row[6:]) for name, row, _ in sections[1:]}
    assert held == ELF_SECTIONS
    assert [*held] == [*ELF_SECTIONS]
    assert all(row[3] == 0 and row[4] % (row[8] or 1) == 0 for _, row, _ in sections)


@pytest.mark.parametrize(("features", "bti"), [(1, True), (3, True), (2, False), (0, False)])
def test_the_contents_of_an_elf_stub_object(features: int, bti: bool) -> None:
    """A slot that has another's value, or a resolver without its landing pad, is a crash at first use."""
    stub = elf_stub(features=features)
    assert stub.bti is bti
    pad = PAD if bti else b""
    contents = {name: content for name, _, content in elf_sections(stub.content)}
    assert contents[b".text"] == b"".join(pad + stub_to(address) for address in (*ADDRESSES, ANCHOR.address))
    assert contents[b".rodata"] == struct.pack("<Qq", 0x1122334455667788, -16)
    assert contents[b".data.rel.ro"] == struct.pack("<4Q", 0, 0x10, 0, 0x18)
    assert contents[b".data.rel.ro.tlshost"] == struct.pack("<6Q", 0, 0x20, 0x7000, 0, 0x30, 0x8000)
    assert contents[b".text.tlsdesc"] == pad + RESOLVER
    host_resolver = contents[b".text.tlshost"]
    assert host_resolver.startswith(pad + struct.pack("<2I", 0xA9BE7BE1, 0xF9000BE2))
    assert host_resolver.endswith(struct.pack("<I", 0xD65F03C0))
    note = encode_identity(IDENTITY)
    assert contents[b".note.stubgen"] == struct.pack("<III8s", 8, len(note), 1, b"stubgen") + note
    property_note = struct.pack("<III4sIIII", 4, 16, 5, b"GNU", 0xC0000000, 4, features, 0)
    assert contents.get(b".note.gnu.property") == (property_note if features else None)
    assert contents[b".note.GNU-stack"] == b""


def test_every_symbol_of_an_elf_stub_object() -> None:
    """A stub that is 4 bytes off, or not hidden, a slot that is local: each links, with status 0."""
    symbols = elf_symbols(elf_stub().content)
    assert symbols == [
        (b"", 0, 0, 0, 0, 0),
        *((b"", 3, 0, number, 0, 0) for number in (1, 7, 9)),  # STT_SECTION
        *((name, 0, 0, number, 0, 0) for name, number in zip(MAPPING, (1, 2, 5, 6, 7, 8, 9), strict=True)),
        *((b"f", 0x22, 2, 1, 0, 24), (b"g", 0x22, 2, 1, 24, 24), (b"main", 0x12, 0, 1, 48, 24)),
        *((b"c0", 0x11, 2, 5, 0, 8), (b"c1", 0x11, 2, 5, 8, 8)),
        *((b"d0", 0x11, 2, 6, 0, 16), (b"d1", 0x11, 2, 6, 16, 16)),
        *((b"h0", 0x11, 2, 8, 0, 24), (b"h1", 0x11, 2, 8, 24, 24)),
        *((b"a", 0x21, 0, 0xFFF1, 0x1234, 0), (b"b", 0x21, 0, 0xFFF1, 1 << 56, 0)),
    ]
    hidden = elf_symbols(elf_stub(absolute_hidden=True).content)
    assert hidden[-2:] == [(b"a", 0x21, 2, 0xFFF1, 0x1234, 0), (b"b", 0x21, 2, 0xFFF1, 1 << 56, 0)]


MAPPING = (b"$x", b"$d", b"$d", b"$d", b"$x", b"$d", b"$x")
"""Where code and data begin (AAELF64 5.7): without them GNU ld's erratum fixes take one for the other."""


def test_every_relocation_of_an_elf_stub_object() -> None:
    """The first word of a descriptor leads to its kind's resolver (R_AARCH64_ABS64), each FDE to its code (PREL32)."""
    sections = {name: content for name, _, content in elf_sections(elf_stub().content)}
    text, resolver, host_resolver = 1, 2, 3  # symbol indexes of the sections' symbols
    read = {name: rows("<QIIq", content) for name, content in sections.items() if name.startswith(b".rela")}
    assert read[b".rela.data.rel.ro"] == [(0, 257, resolver, 0), (16, 257, resolver, 0)]
    assert read[b".rela.data.rel.ro.tlshost"] == [(0, 257, host_resolver, 0), (24, 257, host_resolver, 0)]
    frames = sections[b".eh_frame"]
    places = [at for at, *_ in read[b".rela.eh_frame"]]
    assert [row[1:] for row in read[b".rela.eh_frame"]] == [
        (261, number, 0) for number in (text, resolver, host_resolver)
    ]
    sizes = [len(sections[name]) for name in (b".text", b".text.tlsdesc", b".text.tlshost")]
    assert [struct.unpack_from("<I", frames, at + 4) for at in places] == [(size,) for size in sizes]
    # bti c, then stp: the frame begins behind the second instruction and ends before ret
    last = frames[places[2] + 8 :]
    assert last[1:4] == bytes([0x40 | 2, 0x0E, 32])
    stop = (sizes[2] - 4) // 4
    assert last[4:10] == bytes([0x80 | 30, 3, 0x40 | (stop - 2), 0x0E, 0, 0xC0 | 30])
    assert set(frames[places[1] + 9 : places[2] - 8]) <= {0}


KINDS = {
    "nothing": ((), {}),
    "a value": (SLOTS[:1], {b".rodata": 0x22}),
    "a descriptor": (SLOTS[1:2], {b".data.rel.ro": 0, b".text.tlsdesc": 0}),
    "a host's descriptor": (SLOTS[3:4], {b".data.rel.ro.tlshost": 0, b".text.tlshost": 0}),
}


@pytest.mark.parametrize(("slots", "more"), KINDS.values(), ids=[*KINDS])
def test_what_is_not_needed_is_not_there(slots: tuple[Slot, ...], more: dict[bytes, int]) -> None:
    """A writable section in a patch without thread-locals costs a page, and a runtime may refuse it."""
    content = emit_elf(NAMES, ADDRESSES, slots=slots).content
    own = {b".text", b".eh_frame", b".note.GNU-stack", b".rela.eh_frame", b".symtab", b".strtab", b".shstrtab", b""}
    assert {name for name, _, _ in elf_sections(content) if not name.startswith(b".rela.data")} == own | {*more}
    named = [name for name, *_ in elf_symbols(content) if name not in (b"", b"$x", b"$d")]
    assert named == [*NAMES, *(slot.symbol for slot in slots)]


def test_an_elf_stub_object_says_what_it_holds() -> None:
    """Verification holds the bytes against these."""
    stub = elf_stub()
    assert (stub.format, stub.names, [*stub.addresses]) == ("elf", [*NAMES, b"main"], [*ADDRESSES, ANCHOR.address])
    assert (stub.slots, stub.identity) == (SLOTS, IDENTITY)
    plain = emit_elf(NAMES, ADDRESSES)
    assert (plain.names, plain.addresses, plain.slots, plain.identity) == (NAMES, ADDRESSES, (), None)


MACHO_SLOTS = tuple(
    Slot(b"_c%d" % number, SlotKind.ADDRESS, value, b"_c%d" % number)
    for number, value in enumerate((1 << 56 | 5, 7, 9))
)
VERSION = BuildVersion(7, 0x000D0100, 0x000E0200)


def test_every_section_of_a_macho_stub_object() -> None:
    """ld64 drops what is not marked as live, and reads entries of compact unwind that are not aligned as others."""
    stub = emit_macho(NAMES, ADDRESSES, VERSION, slots=MACHO_SLOTS, anchor=ANCHOR, identity=IDENTITY)
    found = {name: (fields, content) for name, fields, content in macho_sections(stub.content)}
    note = encode_identity(IDENTITY)
    assert [(name, *fields[:2], fields[3], fields[5], fields[6]) for name, (fields, _) in found.items()] == [
        (b"__TEXT,__text", 0, 60, 2, 0, 0x80000400),
        (b"__LD,__compact_unwind", 64, 96, 3, 3, 0x02000000),
        (b"__TEXT,__const", 160, 24, 3, 0, 0),
        (b"__TEXT,__stubgen_id", 184, len(note), 3, 0, 0x10000000),
    ]
    assert found[b"__TEXT,__text"][1] == b"".join(map(stub_to, (*ADDRESSES, ANCHOR.address)))
    assert found[b"__TEXT,__const"][1] == struct.pack("<3Q", 1 << 56 | 5, 7, 9)
    assert found[b"__TEXT,__stubgen_id"][1] == note
    fields, entries = found[b"__LD,__compact_unwind"]
    assert rows("<QIIQQ", entries) == [(start, 20, 0x02000000, 0, 0) for start in (0, 20, 40)]
    relocations = rows("<iI", stub.content[fields[4] : fields[4] + 24])
    assert relocations == [(at, 1 | 3 << 25) for at in (0, 32, 64)]  # to section 1, 8 bytes, not extern, UNSIGNED
    build = dict(macho_commands(stub.content))[0x32]
    assert struct.unpack("<6I", build) == (0x32, 24, 7, 0x000D0100, 0x000E0200, 0)


def test_every_symbol_of_a_macho_stub_object() -> None:
    """The anchor alone is seen by dyld; the stubs are weak and private, so that a library on the line may win."""
    content = emit_macho(NAMES, ADDRESSES, VERSION, slots=MACHO_SLOTS, anchor=ANCHOR).content
    assert macho_symbols(content) == [
        (b"f", 0x1F, 1, 0x80, 0),
        (b"g", 0x1F, 1, 0x80, 20),
        (b"main", 0x0F, 1, 0, 40),
        (b"_c0", 0x1F, 3, 0, 160),
        (b"_c1", 0x1F, 3, 0, 168),
        (b"_c2", 0x1F, 3, 0, 176),
    ]
    content = emit_macho(NAMES, ADDRESSES, VERSION).content
    assert macho_symbols(content) == [(b"f", 0x1F, 1, 0x80, 0), (b"g", 0x1F, 1, 0x80, 20)]
    assert [name for name, _, _ in macho_sections(content)] == [b"__TEXT,__text", b"__LD,__compact_unwind"]


def test_a_macho_stub_object_without_stubs() -> None:
    """ld64 refuses compact unwind without entries."""
    content = emit_macho([], array("Q"), VERSION, slots=MACHO_SLOTS).content
    assert [name for name, _, _ in macho_sections(content)] == [b"__TEXT,__text", b"__TEXT,__const"]
    assert [row[2] for row in macho_symbols(content)] == [2, 2, 2]
    only_anchor = emit_macho([], array("Q"), VERSION, anchor=ANCHOR).content
    assert macho_symbols(only_anchor) == [(b"main", 0x0F, 1, 0, 0)]


def test_a_macho_stub_object_says_what_it_holds() -> None:
    """Verification holds the bytes against these."""
    stub = emit_macho(NAMES, ADDRESSES, VERSION, slots=list(MACHO_SLOTS), anchor=ANCHOR, identity=IDENTITY)
    assert (stub.format, stub.names, [*stub.addresses]) == ("macho", [*NAMES, b"main"], [*ADDRESSES, ANCHOR.address])
    assert (stub.bti, stub.slots, stub.identity) == (False, MACHO_SLOTS, IDENTITY)
    plain = emit_macho(NAMES, ADDRESSES, VERSION)
    assert (plain.slots, plain.identity, plain.names) == ((), None, NAMES)


def columns(**fields: object) -> StubColumns:
    """Two stubs and an absolute symbol."""
    known = {"spellings": NAMES, "names": NAMES, "addresses": ADDRESSES, "remarks": {}, "absolute_names": [b"a"]}
    return StubColumns(**{**known, "absolute_addresses": [4], "absolute_visibility": "default", **fields})  # type: ignore[arg-type]


def needed(kind: str = "elf", features: int = 0, platforms: tuple[BuildVersion, ...] = ()) -> Needed:
    """What objects ask for."""
    return Needed(kind, References(), {}, (), features, platforms, ())


def test_an_anchor_that_is_a_stub_as_well_is_there_once() -> None:
    """Twice in the table, the weak one and the one for the loader clash in some linkers."""
    stub = emit(columns(), needed(), anchor=Anchor(b"f", 0x9000))
    assert (stub.names, [*stub.addresses]) == ([b"g", b"f"], [ADDRESSES[1], 0x9000])
    stub = emit(columns(), needed(), anchor=Anchor(b"main", 0x9000), forwarded=[0x4000, 0x5000])
    assert stub.names == [b"f", b"g", b"__stubgen_forward.0x4000", b"__stubgen_forward.0x5000", b"main"]
    assert [*stub.addresses] == [*ADDRESSES, 0x4000, 0x5000, 0x9000]


@pytest.mark.parametrize(("visibility", "other"), [("default", 0), ("hidden", 2)])
def test_absolutes_have_the_visibility_that_was_asked_for(visibility: str, other: int) -> None:
    """Hidden, GNU ld makes a RELATIVE relocation of one in the GOT, which moves it by the patch's own slide."""
    content = emit(columns(absolute_visibility=visibility), needed()).content
    assert elf_symbols(content)[-1] == (b"a", 0x21, other, 0xFFF1, 4, 0)


@pytest.mark.parametrize("kind", ["elf", "macho"])
def test_all_that_was_given_is_in_the_object(kind: str) -> None:
    """An object without its note, slots or anchor links, and the patch lacks them."""
    slots = SLOTS if kind == "elf" else MACHO_SLOTS
    stub = emit(
        columns(),
        needed(kind),
        slots=slots,
        build_version=VERSION,
        anchor=ANCHOR,
        identity=IDENTITY,
        forwarded=[0x40],
    )
    assert stub.format == kind
    assert stub.names == [*NAMES, b"__stubgen_forward.0x40", b"main"]
    assert (stub.slots, stub.identity) == (slots, IDENTITY)
    assert encode_identity(IDENTITY) in stub.content


PLATFORMS = {
    "the lowest of all": (BuildVersion(1, 5, 9), (BuildVersion(1, 3, 8), BuildVersion(1, 4, 7)), BuildVersion(1, 3, 8)),
    "the host's": (BuildVersion(1, 2, 9), (BuildVersion(1, 3, 8),), BuildVersion(1, 2, 9)),
    "the patch's": (None, (BuildVersion(1, 3, 8),), BuildVersion(1, 3, 8)),
    "another platform's": (BuildVersion(1, 5, 9), (BuildVersion(7, 4, 8),), BuildVersion(7, 4, 8)),
    "the host's alone": (BuildVersion(1, 2, 9), (), BuildVersion(1, 2, 9)),
}


@pytest.mark.parametrize(("host", "patch", "expected"), PLATFORMS.values(), ids=[*PLATFORMS])
def test_the_platform_is_the_oldest_around(
    host: BuildVersion | None, patch: tuple[BuildVersion, ...], expected: BuildVersion
) -> None:
    """A newer one makes ld64 warn that the object was built for a newer system than is linked."""
    content = emit(columns(), needed("macho", platforms=patch), build_version=host).content
    assert struct.unpack_from("<3I", dict(macho_commands(content))[0x32], 8) == expected


@pytest.mark.parametrize("kind", ["elf", "macho"])
def test_keystone_is_asked_as_the_facts_have_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Keystone that assembles other words than are recorded says that the encoding is not what people think."""
    asked: list[object] = []
    monkeypatch.setattr(emit_module, "confirm_encoding", asked.append)
    facts = LibraryFacts(None)
    emit(columns(), needed(kind), build_version=VERSION, facts=facts)
    assert asked == [facts]
