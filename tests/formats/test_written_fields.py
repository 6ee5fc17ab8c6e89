"""Every field of a written object, held against the specifications' numbers (gABI, AAELF64, <mach-o/loader.h>)."""

from __future__ import annotations

import struct
from array import array

import pytest
from decoded import elf_sections, elf_symbols, macho_commands, macho_sections, macho_symbols, rows

from stubgen.common.columns import Pieces
from stubgen.elf import constants as c
from stubgen.elf import writer as elf
from stubgen.elf.relocations import Relocations as ElfRelocations
from stubgen.errors import FieldOverflow
from stubgen.macho import writer as macho
from stubgen.macho.reader import BuildVersion
from stubgen.macho.relocations import Relocations as MachORelocations

ELF_OBJECT = elf.Object(
    [
        elf.Section(".text", 1, 6, b"\x1f\x20\x03\xd5" * 3, 16, ElfRelocations([4, 8], [2, 4], [283, 282], [-8, 1])),
        elf.Section(".note", 7, 0, b"abc"),
        elf.Section(".data", 1, 3, bytes(range(9)), 8, ElfRelocations([0], [1], [257], [5])),
        elf.Section(".bss", 8, 3, bytes(100), 32),
        elf.Section(".empty", 1, 2, b"", 4, ElfRelocations([], [], [], [])),
    ],
    elf.SymbolColumns([b"", b"$x"], st_info=[3, 0], st_shndx=1),
    [
        elf.SymbolColumns([b"f", b"g"], 0x22, 2, 1, [0, 4], 4),
        elf.SymbolColumns([b"value"], st_info=0x11, st_other=3, st_shndx=[3], st_value=array("Q", [1]), st_size=[8]),
    ],
)

NULL = (0,) * 10
ELF_SECTIONS = [  # name and Elf64_Shdr behind sh_name, of sh_offset what is left after division by sh_addralign
    (b"", *NULL[1:]),
    (b".text", 1, 6, 0, 0, 12, 0, 0, 16, 0),
    (b".note", 7, 0, 0, 0, 3, 0, 0, 1, 0),
    (b".data", 1, 3, 0, 0, 9, 0, 0, 8, 0),
    (b".bss", 8, 3, 0, 0, 100, 0, 0, 32, 0),
    (b".empty", 1, 2, 0, 0, 0, 0, 0, 4, 0),
    (b".rela.text", 4, 0x40, 0, 0, 48, 8, 1, 8, 24),
    (b".rela.data", 4, 0x40, 0, 0, 24, 8, 3, 8, 24),
    (b".symtab", 2, 0, 0, 0, 144, 9, 3, 8, 24),
    (b".strtab", 3, 0, 0, 0, 15, 0, 0, 1, 0),
    (b".shstrtab", 3, 0, 0, 0, 79, 0, 0, 1, 0),
]


def test_every_elf_header_field() -> None:
    """A linker reads each of them; one that GNU ld does not need may be one by which lld or mold refuses the object."""
    raw = elf.write(ELF_OBJECT)
    fields = struct.unpack_from("<16sHHIQQQIHHHHHH", raw)
    table = len(raw) - 64 * 11
    assert fields == (b"\x7fELF\2\1\1" + bytes(9), 1, 183, 1, 0, 0, table, 0, 64, 0, 0, 64, 11, 10)
    assert table % 8 == 0
    sections = elf_sections(raw)
    held = [(name, *row[1:4], row[4] % (row[8] or 1), *row[5:]) for name, row, _ in sections]
    assert held == ELF_SECTIONS
    assert raw[table : table + 64] == bytes(64)


def test_elf_contents_stand_in_order_and_apart() -> None:
    """Two sections that share bytes of the file are both wrong."""
    raw = elf.write(ELF_OBJECT)
    sections = elf_sections(raw)
    end = 64
    for _, row, content in sections[1:]:
        assert end <= row[4] < end + max(row[8], 1)
        end = row[4] + len(content)
    contents = {name: content for name, _, content in sections}
    assert contents[b".text"] == b"\x1f\x20\x03\xd5" * 3
    assert (contents[b".note"], contents[b".data"]) == (b"abc", bytes(range(9)))
    assert rows("<QIIq", contents[b".rela.text"]) == [(4, 283, 2, -8), (8, 282, 4, 1)]
    assert rows("<QIIq", contents[b".rela.data"]) == [(0, 257, 1, 5)]
    assert elf_symbols(raw) == [
        (b"", 0, 0, 0, 0, 0),
        (b"", 3, 0, 1, 0, 0),
        (b"$x", 0, 0, 1, 0, 0),
        (b"f", 0x22, 2, 1, 0, 4),
        (b"g", 0x22, 2, 1, 4, 4),
        (b"value", 0x11, 3, 3, 1, 8),
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (elf.SymbolColumns([b"f", b"g"], st_info=[0, 256]), r"^o: symbol 4 \('g'\): st_info"),
        (elf.SymbolColumns([b"f"], st_value=[-1]), r"^o: symbol 3 \('f'\): st_value"),
    ],
)
def test_an_elf_symbol_that_does_not_fit_is_named_by_its_index(wrong: elf.SymbolColumns, said: str) -> None:
    """The index is what ``readelf`` shows: one off, people look at another symbol."""
    with pytest.raises(FieldOverflow, match=said):
        elf.write(elf.Object([], elf.SymbolColumns([b"a"]), [elf.SymbolColumns([b"b"]), wrong]), "o")


def test_elf_notes_are_padded_to_words() -> None:
    """A note's size counts what is said, and the next note begins at a multiple of four."""
    assert elf.note(b"Stub", 7, b"12345678", ".note") == struct.pack("<III8s", 5, 8, 7, b"Stub") + b"12345678"
    assert elf.note(b"ABCDEFGH", 7, b"", ".note") == struct.pack("<III12s", 9, 0, 7, b"ABCDEFGH")
    assert elf.note(b"GNU", 5, b"", ".note") == struct.pack("<III4s", 4, 0, 5, b"GNU")
    with pytest.raises(FieldOverflow, match=r"^\.note\.x: n_type is 0x100000000"):
        elf.note(b"GNU", 1 << 32, b"", ".note.x")


def test_the_property_note_as_the_psabi_has_it() -> None:
    """A linker that cannot read it takes the object for one without, and strips BTI from the whole patch."""
    for features in (0, 1, 3, 0xFFFFFFFF):
        assert elf.property_note(features) == struct.pack("<III4sIIII", 4, 16, 5, b"GNU", 0xC0000000, 4, features, 0)


def test_an_empty_elf_object() -> None:
    """A patch that needs nothing gets one all the same."""
    sections = elf_sections(elf.write(elf.Object([])))
    assert [name for name, _, _ in sections] == [b"", b".symtab", b".strtab", b".shstrtab"]
    assert sections[1][1][5:] == (24, 2, 1, 8, 24)
    assert sections[1][2] == bytes(24)


MACHO_OBJECT = macho.Object(
    [
        macho.Section(
            "__TEXT", "__text", 0x80000400, b"\x1f\x20\x03\xd5" * 3, 2, MachORelocations([4, 8], [1, 0x2D000002])
        ),
        macho.Section("__DATA", "__const", 0, bytes(range(9)), 4, MachORelocations([0], [0x0E000001])),
        macho.Section("__LD", "__note", 0x02000000, b"abc"),
        macho.Section("__DATA", "__bss", 1, b"", 5, None, 100),
        macho.Section("__DATA", "__empty", 0, b"", 3, MachORelocations([], [])),
    ],
    BuildVersion(7, 0x000D0100, 0x000E0200),
    macho.SymbolColumns([b"ltmp0"], n_type=0x0E, n_sect=1),
    [
        macho.SymbolColumns([b"_f", b"_g"], 0x1F, 1, 0x80, [0, 4]),
        macho.SymbolColumns([b"_value"], n_type=0x0F, n_sect=[2], n_value=array("Q", [16])),
    ],
    macho.SymbolColumns([b"_h", b"_i", b"_j"], n_type=1, n_desc=0x40),
)
COMMANDS = 72 + 5 * 80 + 24 + 24 + 80
"""Bytes of the load commands."""


def test_every_macho_command_field() -> None:
    """ld64 believes each of them; what it finds wrong it calls a malformed object, without saying what."""
    raw = macho.write(MACHO_OBJECT)
    assert struct.unpack_from("<8I", raw) == (0xFEEDFACF, 0x0100000C, 0, 1, 4, COMMANDS, 0x2000, 0)
    commands = dict(macho_commands(raw))
    assert [*commands] == [0x19, 0x32, 0x02, 0x0B]
    segment, build, symtab, dysymtab = commands.values()
    start = (32 + COMMANDS + 31) // 32 * 32
    assert struct.unpack_from("<II16sQQQQIIII", segment) == (
        *(0x19, 72 + 5 * 80, bytes(16), 0, 136, start, 32, 7, 7, 5, 0),
    )
    assert struct.unpack("<6I", build) == (0x32, 24, 7, 0x000D0100, 0x000E0200, 0)
    first = start + 32  # of the relocations
    pad = bytes(10)
    assert [struct.unpack("<16s16sQQ8I", segment[at : at + 80]) for at in range(72, len(segment), 80)] == [
        (b"__text" + pad, b"__TEXT" + pad, 0, 12, start, 2, first, 2, 0x80000400, 0, 0, 0),
        (b"__const" + bytes(9), b"__DATA" + pad, 16, 9, start + 16, 4, first + 16, 1, 0, 0, 0, 0),
        (b"__note" + pad, b"__LD" + bytes(12), 25, 3, start + 25, 0, 0, 0, 0x02000000, 0, 0, 0),
        (b"__bss" + bytes(11), b"__DATA" + pad, 32, 100, 0, 5, 0, 0, 1, 0, 0, 0),
        (b"__empty" + bytes(9), b"__DATA" + pad, 136, 0, start + 32, 3, 0, 0, 0, 0, 0, 0),
    ]
    symbols = first + 24
    strings = symbols + 7 * 16
    assert struct.unpack("<6I", symtab) == (2, 24, symbols, 7, strings, len(raw) - strings)
    assert struct.unpack("<20I", dysymtab) == (0x0B, 80, 0, 1, 1, 3, 4, 3, *(0,) * 12)


def test_macho_contents_stand_where_they_should() -> None:
    """Sections lie in the file as far apart as in memory: ld64 takes differences of either for the other."""
    raw = macho.write(MACHO_OBJECT)
    start = (32 + COMMANDS + 31) // 32 * 32
    assert raw[start : start + 28] == b"\x1f\x20\x03\xd5" * 3 + bytes(4) + bytes(range(9)) + b"abc"
    first = start + 32
    assert rows("<iI", raw[first : first + 24]) == [(4, 1), (8, 0x2D000002), (0, 0x0E000001)]
    assert macho_symbols(raw) == [
        (b"ltmp0", 0x0E, 1, 0, 0),
        (b"_f", 0x1F, 1, 0x80, 0),
        (b"_g", 0x1F, 1, 0x80, 4),
        (b"_value", 0x0F, 2, 0, 16),
        (b"_h", 1, 0, 0x40, 0),
        (b"_i", 1, 0, 0x40, 0),
        (b"_j", 1, 0, 0x40, 0),
    ]


def test_a_macho_symbol_that_does_not_fit_is_named_by_its_index() -> None:
    """The index is what ``nm -a`` and ``otool`` show: one off, people look at another symbol."""
    good, bad = macho.SymbolColumns([b"_a", b"_b"]), macho.SymbolColumns([b"_c", b"_d"], n_sect=[1, 256])
    with pytest.raises(FieldOverflow, match=r"^o: symbol 3 \('_d'\): n_sect is 0x100"):
        macho.write(macho.Object([], BuildVersion(1, 0, 0), good, [bad]), "o")
    with pytest.raises(FieldOverflow, match=r"^o: symbol 5 \('_d'\): n_sect is 0x100"):
        macho.write(macho.Object([], BuildVersion(1, 0, 0), good, [good], bad), "o")


@pytest.mark.parametrize("size", [0, 1, 1 << 12])
def test_macho_zero_fill_has_no_bytes(size: int) -> None:
    """One with an offset would read what lies there as its first values."""
    section = macho.Section("__DATA", "__bss", 1, b"", 3, zeros=size)
    raw = macho.write(macho.Object([section], BuildVersion(1, 0, 0)))
    command = dict(macho_commands(raw))[0x19]
    address, held, offset = struct.unpack_from("<QQI", command, 72 + 32)
    assert (address, held, bool(offset)) == (0, size, size == 0)
    assert struct.unpack_from("<QQQQ", command, 24)[1::2] == (size, 0)
    assert len(raw) < 512


def test_an_empty_macho_object() -> None:
    """A segment of nothing begins where the file's next thing does."""
    raw = macho.write(macho.Object([], BuildVersion(1, 0, 0), flags=0))
    commands = dict(macho_commands(raw))
    (symbols,) = struct.unpack_from("<I", commands[2], 8)
    assert struct.unpack_from("<II16sQQQQIIII", commands[0x19]) == (0x19, 72, bytes(16), 0, 0, symbols, 0, 7, 7, 0, 0)
    assert struct.unpack_from("<I", raw, 24) == (0,)


def test_contents_may_come_in_pieces() -> None:
    """A stub object of a hundred thousand stubs is written without being held twice."""
    pieces = Pieces(6, lambda: [b"abc", b"def"])
    assert elf_sections(elf.write(elf.Object([elf.Section(".s", 1, 2, pieces)])))[1][2] == b"abcdef"
    assert b"abcdef" in macho.write(macho.Object([macho.Section("__A", "__b", 0, pieces)], BuildVersion(1, 0, 0)))


def aligned(value: int, alignment: int) -> int:
    """The next multiple of *alignment* at or above *value*."""
    return -(-value // alignment) * alignment


@pytest.mark.parametrize("size", range(9))
def test_tables_begin_at_a_multiple_of_eight(size: int) -> None:
    """Readers that map the file and take records in place fault on others, or read them slowly."""
    raw = elf.write(elf.Object([elf.Section(".s", 1, 2, bytes(size))], elf.SymbolColumns([b"x" * size])))
    (table,) = struct.unpack_from("<Q", raw, 40)
    _, row, content = elf_sections(raw)[-1]
    assert table == aligned(row[4] + len(content), 8)
    tables = MachORelocations([0], [0])
    raw = macho.write(macho.Object([macho.Section("__A", "__b", 0, bytes(size), 0, tables)], BuildVersion(1, 0, 0)))
    (fields, _), (symbols,) = macho_sections(raw)[0][1:], struct.unpack_from("<I", dict(macho_commands(raw))[2], 8)
    assert fields[4] == aligned(fields[2] + size, 8)
    assert symbols == fields[4] + 8


@pytest.mark.parametrize("align", range(14))
def test_the_first_section_of_a_macho_object_follows_the_commands(align: int) -> None:
    """It is no further away than its alignment asks for: such a hole is in every patch."""
    first = macho.Section("__A", "__b", 0, b"x", align)
    raw = macho.write(macho.Object([first, macho.Section("__A", "__c", 0, b"y")], BuildVersion(1, 0, 0)))
    (_, fields, _), (_, other, _) = macho_sections(raw)
    assert fields[2] == aligned(32 + 72 + 2 * 80 + 24 + 24 + 80, 1 << align)
    assert other[2] == fields[2] + 1


def test_the_offsets_of_a_macho_object_have_32_bits() -> None:
    """What lies behind 4 GB would be read from the file's start."""
    for size, kind, said in (
        (1 << 32, FieldOverflow, "offset of relocations 1"),
        (1 << 31, RuntimeError, "section 1 has 0"),
    ):
        section = macho.Section("__A", "__b", 0, Pieces(size, list))
        with pytest.raises(kind, match=said):
            macho.write(macho.Object([section], BuildVersion(1, 0, 0)))


def test_the_limit_of_elf_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The null section counts as well; a limit of 65,280 takes seconds to reach."""
    monkeypatch.setattr(c, "SHN_LORESERVE", 10)
    sections = [elf.Section(".s", 1, 2, b"")] * 5
    assert len(elf_sections(elf.write(elf.Object(sections)))) == 9
    with pytest.raises(FieldOverflow, match=r"^object: 10 sections reach SHN_LORESERVE \(0xa\)"):
        elf.write(elf.Object([*sections, sections[0]]))
