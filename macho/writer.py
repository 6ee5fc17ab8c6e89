"""Writes an ``MH_OBJECT`` from sections, symbols and relocations: layout first, bytes second."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stubgen.common.columns import Column, Content, Pieces, packed_column, records
from stubgen.common.fields import align_up, narrow
from stubgen.common.layout import Layout, LayoutWriter, Span
from stubgen.common.strings import name_table
from stubgen.errors import FieldOverflow
from stubgen.macho import constants as c
from stubgen.macho.reader import BuildVersion
from stubgen.macho.records import (
    BUILD_VERSION_COMMAND,
    DYSYMTAB_COMMAND,
    MACH_HEADER_64,
    SECTION_64,
    SEGMENT_COMMAND_64,
    SYMTAB_COMMAND,
    MachHeader64,
    Section64,
    SegmentCommand64,
)
from stubgen.macho.relocations import Relocations, write_relocations


class Section(NamedTuple):
    """A section to write, in the object's one unnamed segment."""

    segname: str  # at most 16 bytes
    sectname: str  # at most 16 bytes
    flags: int  # S_*
    content: Content
    align: int = 0  # log2 bytes
    relocations: Relocations | None = None


@dataclass(frozen=True, slots=True)
class SymbolColumns:
    """Symbols to write, as columns as long as ``names``."""

    names: Sequence[bytes] = ()
    n_type: Column = 0  # N_PEXT | N_TYPE | N_EXT
    n_sect: Column = 0  # section ordinal, 1 for the first; 0 = none
    n_desc: Column = 0  # N_WEAK_*
    n_value: Column = 0  # virtual address: sections lie one after another from 0

    def __len__(self) -> int:
        return len(self.names)


class Object(NamedTuple):
    """A relocatable object: section *n* of ``sections`` has ordinal *n* + 1."""

    sections: Sequence[Section]
    build_version: BuildVersion
    local_symbols: SymbolColumns = SymbolColumns()
    defined_symbols: Sequence[SymbolColumns] = ()
    """Groups written one after another."""
    undefined_symbols: SymbolColumns = SymbolColumns()


def section_addresses(sections: Sequence[Section]) -> list[int]:
    """Virtual address of each section: one after another from 0, as assemblers lay objects out."""
    addresses, position = [], 0
    for section in sections:
        position = align_up(position, 1 << section.align)
        addresses.append(position)
        position += len(section.content)
    return addresses


def write(obj: Object, name: str = "object") -> bytes:
    """The bytes of *obj*; *name* stands for it in complaints.

    Raises:
        FieldOverflow: a size, offset, count or name does not fit its field (file offsets are 32-bit).
    """
    groups = [obj.local_symbols, *obj.defined_symbols, obj.undefined_symbols]
    strings, n_strx = name_table([group.names for group in groups], name)
    packed = [_pack(group, starts) for group, starts in zip(groups, n_strx, strict=True)]
    symbols = Pieces([part for pieces in packed for part in pieces.parts])
    tables = [write_relocations(s.relocations) if s.relocations else b"" for s in obj.sections]
    commands_size = (
        SEGMENT_COMMAND_64.size
        + SECTION_64.size * len(obj.sections)
        + BUILD_VERSION_COMMAND.size
        + SYMTAB_COMMAND.size
        + DYSYMTAB_COMMAND.size
    )

    layout = Layout(
        [
            ("header", Span(MACH_HEADER_64.size)),
            ("commands", Span(commands_size)),
            *((f"section {i}", Span(len(s.content), 1 << s.align)) for i, s in enumerate(obj.sections, start=1)),
            *((f"relocations {i}", Span(len(table), 8)) for i, table in enumerate(tables, start=1)),
            ("symbols", Span(len(symbols), 8)),
            ("strings", Span(len(strings))),
        ],
        name,
        offset_bits=32,
    )

    file = LayoutWriter(layout, name)
    file.put("header", _header(commands_size))
    file.put("commands", _commands(obj, layout, name))
    for number, section in enumerate(obj.sections, start=1):
        file.put(f"section {number}", section.content)
    for number, table in enumerate(tables, start=1):
        file.put(f"relocations {number}", table)
    file.put("symbols", symbols)
    file.put("strings", strings)
    return file.finish()


def _header(commands_size: int) -> bytes:
    header = MachHeader64(
        magic=c.MH_MAGIC_64,
        cputype=c.CPU_TYPE_ARM64,
        cpusubtype=c.CPU_SUBTYPE_ARM64_ALL,
        filetype=c.MH_OBJECT,
        ncmds=4,
        sizeofcmds=commands_size,
        flags=c.MH_SUBSECTIONS_VIA_SYMBOLS,
        reserved=0,
    )
    return MACH_HEADER_64.pack(*header)


def _commands(obj: Object, layout: Layout, name: str) -> bytes:
    """LC_SEGMENT_64 with its sections, LC_BUILD_VERSION, LC_SYMTAB and LC_DYSYMTAB."""
    addresses = section_addresses(obj.sections)
    ends = [address + len(section.content) for address, section in zip(addresses, obj.sections, strict=True)]
    file_start = layout.offset("section 1") if obj.sections else layout.offset("symbols")
    file_ends = [layout.offset(f"section {i}") + len(s.content) for i, s in enumerate(obj.sections, start=1)]
    protection = c.VM_PROT_READ | c.VM_PROT_WRITE | c.VM_PROT_EXECUTE
    segment = SegmentCommand64(
        cmd=c.LC_SEGMENT_64,
        cmdsize=SEGMENT_COMMAND_64.size + SECTION_64.size * len(obj.sections),
        segname=b"",
        vmaddr=0,
        vmsize=max(ends, default=0),
        fileoff=file_start,
        filesize=max(file_ends, default=file_start) - file_start,
        maxprot=protection,
        initprot=protection,
        nsects=len(obj.sections),
        flags=0,
    )
    rows = [SEGMENT_COMMAND_64.pack(*segment)]
    for number, (section, address) in enumerate(zip(obj.sections, addresses, strict=True), start=1):
        count = len(section.relocations) if section.relocations else 0
        header = Section64(
            sectname=_name16(section.sectname, "sectname", name),
            segname=_name16(section.segname, "segname", name),
            addr=address,
            size=len(section.content),
            offset=layout.offset(f"section {number}"),
            align=section.align,
            reloff=layout.offset(f"relocations {number}") if count else 0,
            nreloc=narrow(count, 32, f"nreloc of {section.sectname}", name),
            flags=section.flags,
            reserved1=0,
            reserved2=0,
            reserved3=0,
        )
        rows.append(SECTION_64.pack(*header))
    rows.append(BUILD_VERSION_COMMAND.pack(c.LC_BUILD_VERSION, BUILD_VERSION_COMMAND.size, *obj.build_version, 0))
    local, undefined = len(obj.local_symbols), len(obj.undefined_symbols)
    defined = sum(map(len, obj.defined_symbols))
    total = narrow(local + defined + undefined, 32, "nsyms", name)
    strings = layout.offset("strings"), layout.span("strings").size
    rows.append(SYMTAB_COMMAND.pack(c.LC_SYMTAB, SYMTAB_COMMAND.size, layout.offset("symbols"), total, *strings))
    ranges = 0, local, local, defined, local + defined, undefined
    rows.append(DYSYMTAB_COMMAND.pack(c.LC_DYSYMTAB, DYSYMTAB_COMMAND.size, *ranges, *(0,) * 12))
    return b"".join(rows)


def _pack(group: SymbolColumns, n_strx: array[int]) -> Pieces:
    """*group* as ``nlist_64`` records."""
    upper = packed_column(((group.n_type, 0), (group.n_sect, 8), (group.n_desc, 16)), len(group))
    return records(n_strx, upper, [group.n_value])


def _name16(name: str, field_name: str, where: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > 16:
        raise FieldOverflow(f"{where}: {field_name} '{name}' is {len(encoded)} bytes; the field holds 16")
    return encoded
