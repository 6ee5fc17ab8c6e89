"""The writers of both formats: limits, and layouts that agree with what is written."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from stubgen.common.columns import Pieces
from stubgen.common.fields import narrow
from stubgen.common.layout import Layout, LayoutWriter, Span
from stubgen.elf import constants as e
from stubgen.elf import reader as elf_reader
from stubgen.elf import writer as elf_writer
from stubgen.elf.reader import ElfFile
from stubgen.elf.relocations import R_AARCH64_ABS64, R_AARCH64_CALL26, Relocations
from stubgen.errors import FieldOverflow
from stubgen.macho import constants as m
from stubgen.macho import reader as macho_reader
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion, MachOFile
from stubgen.macho.relocations import ARM64_RELOC_BRANCH26, ARM64_RELOC_UNSIGNED, r_word
from stubgen.macho.relocations import Relocations as MachORelocations
from stubgen.macho.unwind import leaf_frames

VERSION = BuildVersion(1, 0x000D0000, 0)


def elf_of(sections: list[elf_writer.Section], **options: object) -> ElfFile:
    """An ELF object, written and read back."""
    return ElfFile(elf_writer.write(elf_writer.Object(sections, **options)), "object")  # type: ignore[arg-type]


def macho_of(sections: list[macho_writer.Section], **options: object) -> MachOFile:
    """A Mach-O object, written and read back."""
    return MachOFile(macho_writer.write(macho_writer.Object(sections, VERSION, **options)), "object")  # type: ignore[arg-type]


@pytest.mark.parametrize("align", [1, 2, 8, 16, 4096])
def test_elf_sections_lie_where_their_headers_say(align: int) -> None:
    """A section that is not at its sh_offset, or not aligned, is garbage to the linker."""
    contents = [b"a" * 3, b"b" * 5, b""]
    file = elf_of([elf_writer.Section(f".s{i}", e.SHT_PROGBITS, e.SHF_ALLOC, c, align) for i, c in enumerate(contents)])
    for index, content in enumerate(contents):
        section = file.section(f".s{index}")
        assert section is not None
        assert bytes(file.content(section)) == content
        assert section.header.sh_offset % align == 0


def test_elf_bss_has_a_size_and_no_bytes() -> None:
    """SHT_NOBITS counts memory, not file."""
    file = elf_of([elf_writer.Section(".bss", e.SHT_NOBITS, e.SHF_ALLOC | e.SHF_WRITE, bytes(1 << 20), 8)])
    section = file.section(".bss")
    assert section is not None
    assert section.header.sh_size == 1 << 20
    assert len(file.view) < 4096


def test_elf_relocations_come_back() -> None:
    """Offsets, symbols, kinds and signed addends survive."""
    table = Relocations([0, 8], [1, 2], [R_AARCH64_CALL26, R_AARCH64_ABS64], [-4, 1 << 40])
    section = elf_writer.Section(".text", e.SHT_PROGBITS, e.SHF_ALLOC, bytes(16), 4, table)
    symbols = elf_writer.SymbolColumns([b"f", b"g"], st_info=e.STB_GLOBAL << 4)
    file = elf_of([section], global_symbols=[symbols])
    ((held, read),) = file.relocations()
    assert (held.name, held.header.sh_info) == (".rela.text", 1)
    assert [list(column) for column in (read.r_offset, read.symbol, read.kind, read.r_addend)] == [
        list(column) for column in (table.r_offset, table.symbol, table.kind, table.r_addend)
    ]


@pytest.mark.parametrize("count", [0xFEFC, 0xFEFB])
def test_elf_section_count_stops_below_the_reserved_indexes(count: int) -> None:
    """Index 0xff00 and above mean something else: writing them unescaped corrupts every symbol."""
    sections = [elf_writer.Section(".s", e.SHT_PROGBITS, 0, b"")] * count
    if count + 4 >= e.SHN_LORESERVE:
        with pytest.raises(FieldOverflow, match="SHN_LORESERVE"):
            elf_of(sections)
    else:
        assert len(elf_of(sections).sections) == count + 4


@pytest.mark.parametrize("count", [0, 1, 0xFFFE, 0xFFFF, 0x10000, 0x10001])
def test_symbol_counts_around_16_bits(count: int) -> None:
    """Nothing in a symbol table is 16 bits wide but section indexes; a wrap would lose symbols silently."""
    names = [b"s%d" % number for number in range(count)]
    elf = elf_of([], global_symbols=[elf_writer.SymbolColumns(names, st_value=range(count))]).symbols
    macho = macho_of([], defined_symbols=[macho_writer.SymbolColumns(names, n_value=range(count))]).symbols
    assert elf is not None
    assert macho is not None
    assert list(elf.names())[1:] == list(macho.names()) == names
    assert list(elf.st_value)[1:] == list(macho.n_value) == list(range(count))


@pytest.mark.parametrize("write", [elf_of, macho_of])
def test_a_nul_in_a_name_is_refused(write: object) -> None:
    """It would end the name early and shift every name after it."""
    if write is elf_of:
        with pytest.raises(FieldOverflow, match="NUL byte"):
            elf_of([], global_symbols=[elf_writer.SymbolColumns([b"a\0b"])])
    else:
        with pytest.raises(FieldOverflow, match="NUL byte"):
            macho_of([], defined_symbols=[macho_writer.SymbolColumns([b"a\0b"])])


@pytest.mark.parametrize("length", [15, 16])
def test_macho_section_names_fill_their_field(length: int) -> None:
    """16 bytes are allowed and have no terminator."""
    file = macho_of([macho_writer.Section("__TEXT", "s" * length, m.S_REGULAR, b"x")])
    assert file.sections[0].name == "__TEXT," + "s" * length


@pytest.mark.parametrize(("segment", "section"), [("__TEXT", "s" * 17), ("S" * 17, "__text")])
def test_macho_section_names_are_never_cut(segment: str, section: str) -> None:
    """A name cut to 16 bytes by accident is another section."""
    with pytest.raises(FieldOverflow, match="17 bytes; the field holds 16"):
        macho_of([macho_writer.Section(segment, section, m.S_REGULAR, b"x")])


def test_macho_relocations_come_back() -> None:
    """Addresses and the packed word survive."""
    words = [
        r_word(1, pcrel=True, length=2, extern=True, kind=ARM64_RELOC_BRANCH26),
        r_word(0xFFFFFF, pcrel=False, length=3, extern=False, kind=ARM64_RELOC_UNSIGNED),
    ]
    section = macho_writer.Section("__TEXT", "__text", 0, bytes(16), 2, MachORelocations([0, 8], words))
    ((held, read),) = macho_of([section]).relocations()
    assert held.name == "__TEXT,__text"
    assert (list(read.r_address), list(read.r_word)) == ([0, 8], words)


def test_macho_sections_lie_one_after_another() -> None:
    """Addresses follow file order and alignment: r_symbolnum's section-relative values depend on it."""
    sections = [
        macho_writer.Section("__TEXT", "__text", 0, bytes(5), 2),
        macho_writer.Section("__DATA", "__const", 0, b"12345678", 3),
    ]
    file = macho_of(sections)
    assert [section.header.addr for section in file.sections] == [0, 8]
    assert bytes(file.content(file.sections[1])) == b"12345678"


@pytest.mark.parametrize(("value", "bits", "fits"), [(0xFFFF, 16, True), (0x10000, 16, False), (-1, 16, False)])
def test_narrowing_is_checked(value: int, bits: int, fits: bool) -> None:
    """A value that silently wraps is a wrong address somewhere else."""
    if fits:
        assert narrow(value, bits, "st_shndx", "object") == value
    else:
        with pytest.raises(FieldOverflow, match=r"object: st_shndx is -?0x\w+, which does not fit its 16 bits"):
            narrow(value, bits, "st_shndx", "object")


def test_layout_and_bytes_must_agree() -> None:
    """A writer that strays from its layout must fail at once, not write a file that nearly works."""
    layout = Layout([("a", Span(4)), ("b", Span(4, 8))], "file", offset_bits=32)
    assert (layout.offset("b"), layout.size) == (8, 12)
    with pytest.raises(RuntimeError, match="wrote 3 bytes of a where the layout planned 4 bytes of a"):
        LayoutWriter(layout, "file").put("a", b"abc")
    with pytest.raises(RuntimeError, match="planned 4 bytes of a"):
        LayoutWriter(layout, "file").put("b", b"abcd")
    with pytest.raises(RuntimeError, match="a has 3 bytes, not the 4 that it said"):
        LayoutWriter(layout, "file").put("a", Pieces(4, lambda: [b"ab", b"c"]))
    file = LayoutWriter(layout, "file")
    file.put("a", Pieces(4, lambda: [b"ab", b"cd"]))
    with pytest.raises(RuntimeError, match="never wrote b"):
        file.finish()
    file.put("b", b"efgh")
    assert file.finish() == b"abcd" + bytes(4) + b"efgh"
    assert file.finish() is file.finish(), "a copy of a large file is that much memory more"


def test_offsets_that_do_not_fit_are_errors() -> None:
    """Mach-O's file offsets are 32-bit; a larger object must be refused, not wrapped."""
    with pytest.raises(FieldOverflow, match="offset of symbols is 0x100000000"):
        Layout([("text", Span(1 << 32)), ("symbols", Span(16))], "file", offset_bits=32)


def elf_symbols(**fields: Any) -> elf_writer.SymbolColumns:
    """Two symbols, nothing in them but *fields*."""
    return elf_writer.SymbolColumns([b"f", b"g"], **fields)


def macho_symbols(**fields: Any) -> macho_writer.SymbolColumns:
    """Two symbols of the first section, but for *fields*."""
    return macho_writer.SymbolColumns([b"_f", b"_g"], **{"n_type": m.N_SECT | m.N_EXT, **fields})


@pytest.mark.parametrize("column", [False, True], ids=["one for all", "a column"])
@pytest.mark.parametrize(
    ("field", "bits"), [("st_info", 8), ("st_other", 8), ("st_shndx", 16), ("st_value", 64), ("st_size", 64)]
)
def test_elf_symbol_fields_are_as_wide_as_they_are(field: str, bits: int, *, column: bool) -> None:
    """A symbol's type that is too large becomes the next field: its visibility."""
    for wrong in (1 << bits, -1):
        symbols = elf_symbols(**{field: [0, wrong] if column else wrong})
        which = r"2 \('g'\)" if column else r"1 \('f'\)"
        with pytest.raises(FieldOverflow, match=rf"symbol {which}: {field} is {wrong:#x}, .* {bits} bits"):
            elf_of([], global_symbols=[symbols])
    largest = (1 << bits) - 1
    table = elf_of([], global_symbols=[elf_symbols(**{field: [0, largest]})]).symbols
    assert table is not None
    assert getattr(table.entry(2), field) == largest
    assert sum(table.entry(2)[1:]) == largest


@pytest.mark.parametrize("column", [False, True], ids=["one for all", "a column"])
@pytest.mark.parametrize(("field", "bits"), [("n_type", 8), ("n_sect", 8), ("n_desc", 16), ("n_value", 64)])
def test_macho_symbol_fields_are_as_wide_as_they_are(field: str, bits: int, *, column: bool) -> None:
    """The ordinal of the 256th section becomes another section's, and flags in n_desc."""
    for wrong in (1 << bits, -1):
        symbols = macho_symbols(**{field: [0, wrong] if column else wrong})
        which = r"2 \('_g'\)" if column else r"1 \('_f'\)"
        with pytest.raises(FieldOverflow, match=rf"symbol {which}: {field} is {wrong:#x}, .* {bits} bits"):
            macho_of([], local_symbols=macho_writer.SymbolColumns([b"l"]), defined_symbols=[symbols])
    largest = (1 << bits) - 1
    table = macho_of([], defined_symbols=[macho_symbols(**{field: [0, largest]})]).symbols
    assert table is not None
    assert getattr(table.entry(1), field) == largest


ELF_OVERFLOWS = {
    "r_offset": Relocations([1 << 64], [0], [0], [0]),
    "the symbol of r_info": Relocations([0], [1 << 32], [0], [0]),
    "the type of r_info": Relocations([0], [0], [1 << 32], [0]),
    "r_addend": Relocations([0], [0], [0], [1 << 63]),
}


@pytest.mark.parametrize("field", ELF_OVERFLOWS)
def test_elf_relocations_are_checked(field: str) -> None:
    """A relocation type that is too large names another symbol."""
    section = elf_writer.Section(".text", e.SHT_PROGBITS, 0, bytes(8), 4, ELF_OVERFLOWS[field])
    with pytest.raises(FieldOverflow, match=rf"^object: \.text: relocation 0: {field} is 0x\w+, which does not fit"):
        elf_of([section])


def test_macho_relocations_are_checked() -> None:
    """A symbol number of more than 24 bits makes a relocation of another kind."""
    for field, table in (
        ("r_address", MachORelocations([0, 1 << 32], [0, 0])),
        ("r_word", MachORelocations([0, 0], [0, -1])),
    ):
        section = macho_writer.Section("__TEXT", "__text", 0, bytes(8), 2, table)
        with pytest.raises(FieldOverflow, match=rf"^object: __TEXT,__text: relocation 1: {field} is "):
            macho_of([section])
    for fields in ((1 << 24, 2, 0), (0, 4, 0), (0, 2, 16)):
        symbolnum, length, kind = fields
        with pytest.raises(FieldOverflow, match="a relocation: r_"):
            r_word(symbolnum, pcrel=False, length=length, extern=True, kind=kind)


def test_headers_are_checked() -> None:
    """``struct.error`` does not say which section's which field it was."""
    with pytest.raises(FieldOverflow, match=r"^object: section 1 \(\.s\): sh_type is 0x100000000, .* 32 bits"):
        elf_of([elf_writer.Section(".s", 1 << 32, 0, b"")])
    with pytest.raises(FieldOverflow, match=r"^object: section 1 \(__A,__b\): flags is 0x100000000, .* 32 bits"):
        macho_of([macho_writer.Section("__A", "__b", 1 << 32, b"")])
    with pytest.raises(FieldOverflow, match=r"^object: LC_BUILD_VERSION: minos is 0x100000000"):
        macho_writer.write(macho_writer.Object([], BuildVersion(1, 1 << 32, 0)))
    with pytest.raises(FieldOverflow, match=r"^\.note\.gnu\.property: the property is 0x100000000"):
        elf_writer.property_note(1 << 32)
    with pytest.raises(FieldOverflow, match="the length of a function is 0x100000000"):
        leaf_frames(array("Q", [0]), 1 << 32, text_ordinal=1)


def test_the_headers_of_elf_tables_say_what_they_are_to_linkers() -> None:
    """Without SHF_INFO_LINK or its alignment a table is dropped, or read askew, by some linker and not by another."""
    table = Relocations([0], [1], [R_AARCH64_CALL26], [0])
    section = elf_writer.Section(".text", e.SHT_PROGBITS, e.SHF_ALLOC, bytes(5), 4, table)
    file = elf_of([section], global_symbols=[elf_writer.SymbolColumns([b"f"], st_info=e.STB_GLOBAL << 4)])
    headers = {one.name: one.header for one in file.sections}
    number = {one.name: one.number for one in file.sections}
    rela, symtab = headers[".rela.text"], headers[".symtab"]
    assert (rela.sh_flags, rela.sh_link, rela.sh_info) == (0x40, number[".symtab"], number[".text"])
    assert (rela.sh_addralign, rela.sh_entsize, rela.sh_offset % 8) == (8, 24, 0)
    assert (symtab.sh_flags, symtab.sh_link, symtab.sh_info) == (0, number[".strtab"], 1)
    assert (symtab.sh_addralign, symtab.sh_entsize, symtab.sh_offset % 8) == (8, 24, 0)
    assert headers[".strtab"].sh_addralign == headers[".shstrtab"].sh_addralign == 1


def test_an_objects_relocations_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Rust object has 15,000 tables of them: each phase of a link that reads them anew takes a third of a second."""
    calls, read = [], elf_reader.read_relocations
    monkeypatch.setattr(elf_reader, "read_relocations", lambda raw: calls.append(0) or read(raw))
    table = Relocations([0], [0], [R_AARCH64_ABS64], [0])
    section = elf_writer.Section(".data", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_WRITE, bytes(8), 8, relocations=table)
    file = elf_of([section])
    for _ in range(3):
        assert [list(each.rows()) for _, each in file.relocations()] == [[(0, 0, R_AARCH64_ABS64, 0)]]
        assert list(file.relocated) == [1]
    assert len(calls) == 1


def test_a_mach_o_objects_relocations_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: the code of a large object has hundreds of thousands, which each phase of a link asks for."""
    calls, read = [], macho_reader.read_relocations
    monkeypatch.setattr(macho_reader, "read_relocations", lambda raw: calls.append(0) or read(raw))
    word = r_word(0, pcrel=False, length=3, extern=True, kind=ARM64_RELOC_UNSIGNED)
    file = macho_of([macho_writer.Section("__DATA", "__data", 0, bytes(8), 3, MachORelocations([0], [word]))])
    for _ in range(3):
        assert [list(each.r_address) for _, each in file.relocations()] == [[0]]
    assert len(calls) == 1


def test_a_copys_unchanged_relocations_are_those_of_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound copy has thousands of tables that are as they were: to read them again takes as long as to bind it."""
    table = Relocations([0], [0], [R_AARCH64_ABS64], [0])
    sections = [
        elf_writer.Section(f".data.{n}", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_WRITE, bytes(8), 8, relocations=table)
        for n in range(4)
    ]
    original, copy = elf_of(sections), elf_of(sections)
    held = dict(original.relocations())
    calls, read = [], elf_reader.read_relocations
    monkeypatch.setattr(elf_reader, "read_relocations", lambda raw: calls.append(0) or read(raw))
    alike = {section.number for section in list(held)[1:]}
    copy.share_relocations(original, alike)
    assert len(calls) == 1
    assert [section for section, _ in copy.relocations()] == list(held)
    assert [each is held[section] for section, each in copy.relocations()] == [False, True, True, True]
    assert [list(each.rows()) for _, each in copy.relocations()] == [[(0, 0, R_AARCH64_ABS64, 0)]] * 4
