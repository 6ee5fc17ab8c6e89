"""Where the fields of an ELF file are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fuzz.fields import Others, Place, bits, each_kind, each_of, index_below, octet_places, record_places

from stubgen.common.record import Record
from stubgen.elf import constants as e
from stubgen.elf.reader import ElfFile, Section
from stubgen.elf.records import (
    DYN,
    EHDR,
    NHDR,
    PHDR,
    RELA,
    SHDR,
    SYM,
    VERDAUX,
    VERDEF,
    VERNAUX,
    VERNEED,
)
from stubgen.elf.relocations import NAMES as RELOCATIONS


def _constants(prefix: str) -> tuple[int, ...]:
    """What elf/constants.py has of a kind."""
    return tuple(value for name, value in vars(e).items() if name.startswith(prefix))


SHT_HASH, SHT_DYNAMIC, SHT_RELR = 5, 6, 19
LOADERS = (1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031, 1032)
"""AAELF64, "Dynamic relocations"."""
FILE_TYPES = (0, e.ET_REL, e.ET_EXEC, e.ET_DYN, e.ET_CORE)
OCTETS = {".debug_info": 160, ".debug_abbrev": 200, ".debug_line": 48, ".eh_frame": 160, ".gnu.hash": 96}
"""Section -> the bytes of it that are tried one by one."""
TABLES = frozenset({e.SHT_SYMTAB, e.SHT_DYNSYM, e.SHT_RELA, SHT_DYNAMIC, e.SHT_NOBITS})
"""Section types whose records are tried."""


def of_other_types(content: bytes) -> Iterator[tuple[str, bytes]]:
    """An object with the header of a linked file; a linked file with that of an object."""
    at = EHDR.offset("e_type")
    for kind in (e.ET_DYN, e.ET_EXEC) if EHDR.read(content).e_type == e.ET_REL else (e.ET_REL,):
        yield f"e_type becomes {kind}", content[:at] + kind.to_bytes(2, "little") + content[at + 2 :]


def places(content: bytes) -> Iterator[Place]:
    """All fields of a sound ELF file; of its long tables the first and last row and one of each kind."""
    file = ElfFile(content, "a seed")
    sections = index_below(len(file.sections))
    header: dict[str, Others] = {
        "e_type": each_of(FILE_TYPES),
        "e_machine": each_of(_constants("EM_")),
        "e_phnum": each_of((e.PN_XNUM,)),
        "e_shnum": sections,
        "e_shstrndx": lambda old: (*sections(old), e.SHN_XINDEX),
    }
    yield from record_places(EHDR, 0, "the file", content, header)
    for number in range(16):
        yield Place("Ehdr", f"e_ident[{number}]", "the file", number, 1)
    for number, segment in enumerate(file.segments):
        segment_fields: dict[str, Others] = {"p_type": each_of(_constants("PT_")), "p_flags": bits(4)}
        at = file.header.e_phoff + PHDR.size * number
        yield from record_places(PHDR, at, f"segment {number}, {segment.p_type:#x}", content, segment_fields)
    for section in file.sections:
        yield from _section_places(file, section, content)
    if not file.sections:
        yield from _dynamic_places(file, content)


def _section_places(file: ElfFile, section: Section, content: bytes) -> Iterator[Place]:
    sections, symbols = index_below(len(file.sections)), index_below(len(file.symbols or ()))
    fields: dict[str, Others] = {
        "sh_type": each_of((0, SHT_HASH, SHT_DYNAMIC, SHT_RELR, *_constants("SHT_"))),
        "sh_flags": bits(13),
        "sh_link": sections,
        "sh_info": lambda old: (*sections(old), *symbols(old)),
    }
    at = file.header.e_shoff + SHDR.size * section.number
    of = f"section {section.number}, {section.name}"
    yield from record_places(SHDR, at, of, content, fields)
    start, size = section.header.sh_offset, file.stored_size(section)
    if section.header.sh_type not in TABLES:
        yield from octet_places(section.name, of, start, size, OCTETS.get(section.name, 8))
    yield from _records(file, section, content, start, size)


def _records(file: ElfFile, section: Section, content: bytes, start: int, size: int) -> Iterator[Place]:
    """Those of a table."""
    of, kind, raw = f"section {section.number}, {section.name}", section.header.sh_type, content[start : start + size]
    sections = index_below(len(file.sections))

    def some(record: Record[Any], key: Any, fields: Mapping[str, Others]) -> Iterator[Place]:
        for number, _ in each_kind(list(record.read_all(raw)), key):
            yield from record_places(record, start + record.size * number, f"{number} of {of}", content, fields)

    if kind in (e.SHT_SYMTAB, e.SHT_DYNSYM):
        symbol: dict[str, Others] = {
            "st_info": lambda old: (*(old & 0xF0 | low for low in range(16)), *(old & 15 | n << 4 for n in range(16))),
            "st_other": each_of(range(4)),
            "st_shndx": lambda old: (*sections(old), e.SHN_LORESERVE, e.SHN_ABS, e.SHN_COMMON, e.SHN_XINDEX),
        }
        yield from some(SYM, lambda row: (row.st_info, row.st_other, min(row.st_shndx, 1), row.st_size > 0), symbol)
    elif kind == e.SHT_RELA:
        count = len(file.symbols or ()) if section.header.sh_link and file.header.e_type == e.ET_REL else 0
        count = count or len(file.dynamic_symbols or ())
        numbers = (0, 1, count - 1, count, count + 1, count + 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        known = {"r_info": lambda old: [old >> 32 << 32 | code for code in (1, *RELOCATIONS, *LOADERS, 0xFFFFFFFF)]}
        yield from record_places(RELA, start, f"0 of {of}", content, known)
        of_symbols = {"r_info": lambda old: [old & 0xFFFFFFFF | number << 32 for number in numbers]}
        yield from some(RELA, lambda row: row.r_info & 0xFFFFFFFF, of_symbols)
    elif kind == SHT_DYNAMIC:
        yield from some(DYN, lambda row: row.d_tag, {"d_tag": each_of(_constants("DT_"))})
    elif kind == e.SHT_NOTE:
        yield from record_places(NHDR, start, of, content, {"n_type": each_of(_constants("NT_"))})
    elif kind == e.SHT_GROUP:
        for at in range(start + 4, start + size, 4):
            yield Place("Group", "section", of, at, 4, tuple(sections(0)))
    elif kind == e.SHT_SYMTAB_SHNDX:
        for at in range(start, start + size, 4):
            yield Place("SymtabShndx", "section", of, at, 4, (len(file.sections), len(file.sections) - 1))
    elif kind == 0x6FFFFFFD:
        yield from _chain(VERDEF, "vd_aux", VERDAUX, start, of, content)
    elif kind == 0x6FFFFFFE:
        yield from _chain(VERNEED, "vn_aux", VERNAUX, start, of, content)


def _chain(record: Record[Any], aux: str, entry: Record[Any], start: int, of: str, content: bytes) -> Iterator[Place]:
    """Records that lead to one another, each with entries of its own."""
    while True:
        row = record.read(content, start)
        yield from record_places(record, start, of, content, {})
        at = start + getattr(row, aux)
        while True:
            yield from record_places(entry, at, of, content, {})
            if not entry.read(content, at)[-1]:
                break
            at += entry.read(content, at)[-1]
        if not row[-1]:
            return
        start += row[-1]


def _dynamic_places(file: ElfFile, content: bytes) -> Iterator[Place]:
    """The dynamic table of a file without section headers, and the head of what it leads to."""
    for segment in file.segments:
        if segment.p_type == e.PT_DYNAMIC:
            for at in range(segment.p_offset, segment.p_offset + segment.p_filesz, DYN.size):
                yield from record_places(DYN, at, "the dynamic table", content, {"d_tag": each_of(_constants("DT_"))})
    leads = {e.DT_HASH, e.DT_SYMTAB, e.DT_GNU_HASH, e.DT_VERSYM, e.DT_VERDEF, e.DT_VERNEED, e.DT_RELR, e.DT_RELA}
    for tag, address in (file.dynamic.tags if file.dynamic else {}).items():
        at = file.offset_of(address)
        if tag in leads and at is not None:
            yield from octet_places(f"DT {tag:#x}", "the dynamic table", at, 48, 48)
