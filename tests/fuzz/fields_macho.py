"""Where the fields of a Mach-O file are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fuzz.fields import Others, Place, bits, each_kind, each_of, index_below, octet_places, record_places

from stubgen.common.record import Record
from stubgen.macho import constants as m
from stubgen.macho.reader import Command, MachOFile, Section
from stubgen.macho.records import (
    BUILD_VERSION_COMMAND,
    CHAINED_FIXUPS_HEADER,
    CHAINED_STARTS_IN_SEGMENT,
    COMPACT_UNWIND_ENTRY,
    CS_BLOB_INDEX,
    CS_CODE_DIRECTORY,
    CS_CODE_LIMIT_64,
    CS_SUPER_BLOB,
    DATA_IN_CODE_ENTRY,
    DYLD_INFO_COMMAND,
    DYLIB_COMMAND,
    DYSYMTAB_COMMAND,
    FAT_ARCH,
    FAT_ARCH_64,
    FAT_HEADER,
    LINKEDIT_DATA_COMMAND,
    LOAD_COMMAND,
    MACH_HEADER_64,
    NLIST_64,
    RELOCATION_INFO,
    SECTION_64,
    SEGMENT_COMMAND_64,
    SYMTAB_COMMAND,
    UUID_COMMAND,
    VERSION_MIN_COMMAND,
)


def _constants(prefix: str) -> tuple[int, ...]:
    """What macho/constants.py has of a kind."""
    return tuple(value for name, value in vars(m).items() if name.startswith(prefix) and isinstance(value, int))


FILE_TYPES = range(1, 12)
LC_DYLD_EXPORTS_TRIE = 0x33 | m.LC_REQ_DYLD
COMMANDS: dict[int, Record[Any]] = {
    m.LC_SYMTAB: SYMTAB_COMMAND,
    m.LC_DYSYMTAB: DYSYMTAB_COMMAND,
    m.LC_UUID: UUID_COMMAND,
    m.LC_BUILD_VERSION: BUILD_VERSION_COMMAND,
    m.LC_ID_DYLIB: DYLIB_COMMAND,
    m.LC_DYLD_INFO: DYLD_INFO_COMMAND,
    m.LC_DYLD_INFO_ONLY: DYLD_INFO_COMMAND,
    m.LC_DYLD_CHAINED_FIXUPS: LINKEDIT_DATA_COMMAND,
    LC_DYLD_EXPORTS_TRIE: LINKEDIT_DATA_COMMAND,
    **dict.fromkeys(m.LOAD_DYLIB_COMMANDS, DYLIB_COMMAND),
    **dict.fromkeys(m.LINKEDIT_DATA_COMMANDS, LINKEDIT_DATA_COMMAND),
    **dict.fromkeys(m.VERSION_MIN_PLATFORMS, VERSION_MIN_COMMAND),
}
"""LC_* -> what it is; of others what all begin with."""
OCTETS = {"__debug_info": 160, "__debug_abbrev": 200, "__debug_line": 48, "__eh_frame": 160}
"""Section -> the bytes of it that are tried one by one."""
RELOCATION_TYPES = range(16)


def of_other_types(content: bytes) -> Iterator[tuple[str, bytes]]:
    """An object with the header of a linked file; a linked file with that of an object."""
    at, old = MACH_HEADER_64.offset("filetype"), MACH_HEADER_64.read(content).filetype
    for kind in (m.MH_DYLIB, m.MH_EXECUTE) if old == m.MH_OBJECT else (m.MH_OBJECT,):
        yield f"filetype becomes {kind}", content[:at] + kind.to_bytes(4, "little") + content[at + 4 :]


def _universal_places(content: bytes) -> Iterator[Place]:
    """Fields of a universal file's headers."""
    big = int.from_bytes(content[:4], "big")
    record: Record[Any] = FAT_ARCH if big == m.FAT_MAGIC else FAT_ARCH_64
    yield from record_places(FAT_HEADER, 0, "the file", content, {}, big=True)
    for number in range(FAT_HEADER.read(content, 0).nfat_arch):
        at = FAT_HEADER.size + record.size * number
        yield from record_places(record, at, f"slice {number}", content, {"cputype": each_of((7, 12))}, big=True)


def places(content: bytes) -> Iterator[Place]:
    """All fields of a sound Mach-O file; of its long tables the first and last row and one of each kind."""
    if content[:4] != m.MH_MAGIC_64.to_bytes(4, "little"):
        yield from _universal_places(content)
        return
    file = MachOFile(content, "a seed")
    header: dict[str, Others] = {"filetype": each_of(FILE_TYPES), "flags": bits(32), "cpusubtype": bits(32)}
    yield from record_places(MACH_HEADER_64, 0, "the file", content, header)
    ordinal = 0
    for number, command in enumerate(file.commands):
        of = f"command {number}, {command.cmd:#x}"
        if command.cmd == m.LC_SEGMENT_64:
            yield from record_places(SEGMENT_COMMAND_64, command.offset, of, content, {"initprot": bits(3)})
            count = SEGMENT_COMMAND_64.read(content, command.offset).nsects
            for section in file.sections[ordinal : ordinal + count]:
                at = command.offset + SEGMENT_COMMAND_64.size + SECTION_64.size * (section.ordinal - ordinal - 1)
                yield from _section_places(file, section, at, content)
            ordinal += count
        else:
            record = COMMANDS.get(command.cmd, LOAD_COMMAND)
            kinds = {"cmd": each_of(_constants("LC_"))}
            yield from record_places(record, command.offset, of, content, kinds)
        yield from TABLES.get(command.cmd, _nothing)(file, command, content)


def _section_places(file: MachOFile, section: Section, at: int, content: bytes) -> Iterator[Place]:
    of, header = f"section {section.ordinal}, {section.name}", section.header
    kinds: dict[str, Others] = {
        "flags": lambda old: (*(old & ~0xFF | kind for kind in range(0x17)), *bits(32)(old)),
        "reserved1": index_below(8),
    }
    yield from record_places(SECTION_64, at, of, content, kinds)
    size = len(file.content(section))
    name = section.name.split(",")[1]
    if name == "__compact_unwind":
        for number in range(size // COMPACT_UNWIND_ENTRY.size):
            start = header.offset + COMPACT_UNWIND_ENTRY.size * number
            yield from record_places(COMPACT_UNWIND_ENTRY, start, of, content, {"encoding": bits(32)})
    else:
        yield from octet_places(name, of, header.offset, size, OCTETS.get(name, 8))
    if file.header.filetype == m.MH_OBJECT and header.nreloc:
        raw = content[header.reloff : header.reloff + RELOCATION_INFO.size * header.nreloc]
        word = {"r_word": _words(len(file.symbols or ()), len(file.sections))}
        for number, _ in each_kind(list(RELOCATION_INFO.read_all(raw)), lambda row: row.r_word >> 24):
            start = header.reloff + RELOCATION_INFO.size * number
            yield from record_places(RELOCATION_INFO, start, f"relocation {number} of {of}", content, word)


def _words(symbols: int, sections: int) -> Others:
    """What ``r_word`` may become: each part of it by itself."""

    def others(old: int) -> Iterator[int]:
        for number in (0, 1, sections, sections + 1, symbols - 1, symbols, symbols + 1, 0x7FFFFF, 0xFFFFFF):
            yield old & ~0xFFFFFF | number
            yield old & ~0xFFFFFF & ~(1 << 27) | number
        for kind in RELOCATION_TYPES:
            yield old & ~(15 << 28) | kind << 28
        for length in range(4):
            yield old & ~(3 << 25) | length << 25
        yield from (old ^ 1 << 24, old ^ 1 << 27)

    return others


def _symbols(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    table = SYMTAB_COMMAND.read(content, command.offset)
    raw = content[table.symoff : table.symoff + NLIST_64.size * table.nsyms]
    fields: dict[str, Others] = {
        "n_type": lambda old: (*range(0, 32), *(old ^ 1 << bit for bit in range(8)), *_constants("N_")),
        "n_sect": index_below(len(file.sections) + 1),
        "n_desc": bits(16),
    }
    for number, _ in each_kind(list(NLIST_64.read_all(raw)), lambda row: (row.n_type, row.n_sect, row.n_desc)):
        yield from record_places(NLIST_64, table.symoff + NLIST_64.size * number, f"symbol {number}", content, fields)


def _indirect(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    table, count = DYSYMTAB_COMMAND.read(content, command.offset), len(file.symbols or ())
    for number in range(min(table.nindirectsyms, 16)):
        others = (count - 1, count, m.INDIRECT_SYMBOL_LOCAL, m.INDIRECT_SYMBOL_ABS)
        yield Place("Indirect", "symbol", "the indirect symbols", table.indirectsymoff + 4 * number, 4, others)


def _chains(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    start, of = LINKEDIT_DATA_COMMAND.read(content, command.offset).dataoff, "the chained fixups"
    header = CHAINED_FIXUPS_HEADER.read(content, start)
    yield from record_places(CHAINED_FIXUPS_HEADER, start, of, content, {"imports_format": each_of(range(5))})
    starts = start + header.starts_offset
    count = int.from_bytes(content[starts : starts + 4], "little")
    yield from octet_places("ChainedStarts", of, starts, 4 + 4 * count, 32)
    for number in range(count):
        offset = int.from_bytes(content[starts + 4 + 4 * number : starts + 8 + 4 * number], "little")
        if offset:
            at = starts + offset
            formats = {"pointer_format": each_of(range(14))}
            yield from record_places(CHAINED_STARTS_IN_SEGMENT, at, of, content, formats)
            segment = CHAINED_STARTS_IN_SEGMENT.read(content, at)
            yield Place("ChainedStarts", "page_start", of, at + CHAINED_STARTS_IN_SEGMENT.size, 2)
            first = int.from_bytes(content[at + 22 : at + 24], "little")
            place = file.offset_of(file.base_address + segment.segment_offset + first)
            if place is not None:
                yield from octet_places("ChainedPointer", of, place, 8, 8)
    yield from octet_places("ChainedImport", of, start + header.imports_offset, 4 * header.imports_count, 12)


def _signature(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    start, of = LINKEDIT_DATA_COMMAND.read(content, command.offset).dataoff, "the code signature"
    yield from record_places(CS_SUPER_BLOB, start, of, content, {}, big=True)
    for number in range(CS_SUPER_BLOB.read(content, start).entries):
        at = start + CS_SUPER_BLOB.size + CS_BLOB_INDEX.size * number
        yield from record_places(CS_BLOB_INDEX, at, of, content, {}, big=True)
        blob = start + CS_BLOB_INDEX.read(content, at).offset
        if content[blob : blob + 4] == m.CSMAGIC_CODEDIRECTORY.to_bytes(4, "big"):
            yield from record_places(CS_CODE_DIRECTORY, blob, of, content, {}, big=True)
            yield from record_places(CS_CODE_LIMIT_64, blob + 56, of, content, {}, big=True)


def _data_in_code(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    place = LINKEDIT_DATA_COMMAND.read(content, command.offset)
    for at in range(place.dataoff, place.dataoff + place.datasize, DATA_IN_CODE_ENTRY.size):
        yield from record_places(DATA_IN_CODE_ENTRY, at, "data in code", content, {})


def _linkedit(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    place = LINKEDIT_DATA_COMMAND.read(content, command.offset)
    yield from octet_places("Linkedit", f"what {command.cmd:#x} leads to", place.dataoff, place.datasize, 48)


def _opcodes(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    info = DYLD_INFO_COMMAND.read(content, command.offset)
    for name in ("rebase", "bind", "weak_bind", "lazy_bind", "export"):
        at, size = getattr(info, f"{name}_off"), getattr(info, f"{name}_size")
        yield from octet_places(name, "the opcodes", at, size, 48)


def _text(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    yield from octet_places("Text", f"what {command.cmd:#x} names", command.offset + DYLIB_COMMAND.size, 8, 8)


def _nothing(file: MachOFile, command: Command, content: bytes) -> Iterator[Place]:
    return iter(())


TABLES: Mapping[int, Callable[[MachOFile, Command, bytes], Iterator[Place]]] = {
    m.LC_SYMTAB: _symbols,
    m.LC_DYSYMTAB: _indirect,
    m.LC_DYLD_CHAINED_FIXUPS: _chains,
    m.LC_CODE_SIGNATURE: _signature,
    m.LC_DATA_IN_CODE: _data_in_code,
    m.LC_FUNCTION_STARTS: _linkedit,
    m.LC_LINKER_OPTIMIZATION_HINT: _linkedit,
    LC_DYLD_EXPORTS_TRIE: _linkedit,
    m.LC_DYLD_INFO: _opcodes,
    m.LC_DYLD_INFO_ONLY: _opcodes,
    m.LC_ID_DYLIB: _text,
}
"""LC_* -> the fields of what it leads to."""
