"""Writes an ``MH_OBJECT`` from sections, symbols and relocations: layout first, bytes second."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from stubgen.common.columns import Column, Content, Pieces, joined, records, symbol_labels
from stubgen.common.fields import align_up
from stubgen.common.layout import Layout, LayoutWriter, Span
from stubgen.common.row import Row
from stubgen.common.strings import name_table
from stubgen.common.text import as_bytes
from stubgen.macho import constants as c
from stubgen.macho.reader import BuildVersion
from stubgen.macho.records import (
    BUILD_VERSION_COMMAND,
    DYSYMTAB_COMMAND,
    MACH_HEADER_64,
    NLIST_64,
    SECTION_64,
    SEGMENT_COMMAND_64,
    SYMTAB_COMMAND,
    BuildVersionCommand,
    DysymtabCommand,
    MachHeader64,
    Section64,
    SegmentCommand64,
    SymtabCommand,
)
from stubgen.macho.relocations import Relocations, write_relocations


class Section(Row):
    """A section to write, in the object's one unnamed segment."""

    segname: str  # at most 16 bytes
    sectname: str  # at most 16 bytes
    flags: int  # S_*
    content: Content
    align: int = 0  # log2 bytes
    relocations: Relocations | None = None
    zeros: int = 0  # bytes of a zero-fill section, which has no content

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.content) + self.zeros


class SymbolColumns:
    """Symbols to write, as columns as long as ``names``."""

    __slots__ = ("n_desc", "n_sect", "n_type", "n_value", "names")

    def __init__(
        self,
        names: Sequence[bytes] = (),
        n_type: Column = 0,
        n_sect: Column = 0,
        n_desc: Column = 0,
        n_value: Column = 0,
    ) -> None:
        self.names = names
        self.n_type = n_type  # N_PEXT | N_TYPE | N_EXT
        self.n_sect = n_sect  # section ordinal, 1 for the first; 0 = none
        self.n_desc = n_desc  # N_WEAK_*
        self.n_value = n_value  # virtual address: sections lie one after another from 0

    def __len__(self) -> int:
        return len(self.names)


class Object(Row):
    """A relocatable object: section *n* of ``sections`` has ordinal *n* + 1."""

    sections: Sequence[Section]
    build_version: BuildVersion
    local_symbols: SymbolColumns = SymbolColumns()
    defined_symbols: Sequence[SymbolColumns] = ()
    """Groups written one after another."""
    undefined_symbols: SymbolColumns = SymbolColumns()
    flags: int = c.MH_SUBSECTIONS_VIA_SYMBOLS


def section_addresses(sections: Sequence[Section]) -> list[int]:
    """Virtual address of each section: one after another from 0, as assemblers lay objects out."""
    addresses, position = [], 0
    for section in sections:
        position = align_up(position, 1 << section.align)
        addresses.append(position)
        position += section.size
    return addresses


def write(obj: Object, name: str = "object") -> bytes:
    """The bytes of *obj*; *name* stands for it in complaints.

    Raises:
        FieldOverflow: a value, size, offset, count or name does not fit its field (file offsets are 32-bit, section
            ordinals of symbols 8-bit).
    """
    groups = [obj.local_symbols, *obj.defined_symbols, obj.undefined_symbols]
    strings, n_strx = name_table([group.names for group in groups], name)
    symbols = _symbols(groups, n_strx, name)
    tables = [
        write_relocations(s.relocations, f"{name}: {s.segname},{s.sectname}") if s.relocations else b""
        for s in obj.sections
    ]
    layout = Layout(
        [
            ("header", Span(MACH_HEADER_64.size)),
            ("commands", Span(_commands_size(obj))),
            ("start", Span(0, 1 << max((s.align for s in obj.sections), default=0))),  # as far apart as in memory
            *((f"section {i}", Span(len(s.content), 1 << s.align)) for i, s in enumerate(obj.sections, start=1)),
            *((f"relocations {i}", Span(len(table), 8)) for i, table in enumerate(tables, start=1)),
            ("symbols", Span(len(symbols), 8)),
            ("strings", Span(len(strings))),
        ],
        name,
        offset_bits=32,
    )

    file = LayoutWriter(layout, name)
    file.put("header", _header(_commands_size(obj), obj.flags, name))
    file.put("commands", _commands(obj, layout, name))
    file.put("start", b"")
    for number, section in enumerate(obj.sections, start=1):
        file.put(f"section {number}", section.content)
    for number, table in enumerate(tables, start=1):
        file.put(f"relocations {number}", table)
    file.put("symbols", symbols)
    file.put("strings", strings)
    return file.finish()


def _commands_size(obj: Object) -> int:
    """Bytes of the load commands."""
    others = (SEGMENT_COMMAND_64, BUILD_VERSION_COMMAND, SYMTAB_COMMAND, DYSYMTAB_COMMAND)
    return SECTION_64.size * len(obj.sections) + sum(record.size for record in others)


def _header(commands_size: int, flags: int, name: str) -> bytes:
    header = MachHeader64(
        magic=c.MH_MAGIC_64,
        cputype=c.CPU_TYPE_ARM64,
        cpusubtype=c.CPU_SUBTYPE_ARM64_ALL,
        filetype=c.MH_OBJECT,
        ncmds=4,
        sizeofcmds=commands_size,
        flags=flags,
        reserved=0,
    )
    return MACH_HEADER_64.pack(header, name)


def _commands(obj: Object, layout: Layout, name: str) -> bytes:
    """LC_SEGMENT_64 with its sections, LC_BUILD_VERSION, LC_SYMTAB and LC_DYSYMTAB."""
    return b"".join(
        (
            _segment(obj, layout, name),
            *_section_headers(obj, layout, name),
            _build_version(obj.build_version, name),
            *_symbol_tables(obj, layout, name),
        )
    )


def _segment(obj: Object, layout: Layout, name: str) -> bytes:
    """The object's one segment, around all sections."""
    addresses = section_addresses(obj.sections)
    ends = [address + section.size for address, section in zip(addresses, obj.sections, strict=True)]
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
    return SEGMENT_COMMAND_64.pack(segment, f"{name}: LC_SEGMENT_64")


def _section_headers(obj: Object, layout: Layout, name: str) -> Iterator[bytes]:
    """A header for each section."""
    addresses = section_addresses(obj.sections)
    for number, (section, address) in enumerate(zip(obj.sections, addresses, strict=True), start=1):
        count = len(section.relocations) if section.relocations else 0
        header = Section64(
            sectname=as_bytes(section.sectname),
            segname=as_bytes(section.segname),
            addr=address,
            size=section.size,
            offset=0 if section.zeros else layout.offset(f"section {number}"),
            align=section.align,
            reloff=layout.offset(f"relocations {number}") if count else 0,
            nreloc=count,
            flags=section.flags,
            reserved1=0,
            reserved2=0,
            reserved3=0,
        )
        yield SECTION_64.pack(header, f"{name}: section {number} ({section.segname},{section.sectname})")


def _build_version(version: BuildVersion, name: str) -> bytes:
    command = BuildVersionCommand(
        cmd=c.LC_BUILD_VERSION,
        cmdsize=BUILD_VERSION_COMMAND.size,
        platform=version.platform,
        minos=version.minos,
        sdk=version.sdk,
        ntools=0,
    )
    return BUILD_VERSION_COMMAND.pack(command, f"{name}: LC_BUILD_VERSION")


def _symbol_tables(obj: Object, layout: Layout, name: str) -> tuple[bytes, bytes]:
    """LC_SYMTAB, and LC_DYSYMTAB, by which locals come first, then definitions, then undefined symbols."""
    local, undefined = len(obj.local_symbols), len(obj.undefined_symbols)
    defined = sum(map(len, obj.defined_symbols))
    symtab = SymtabCommand(
        cmd=c.LC_SYMTAB,
        cmdsize=SYMTAB_COMMAND.size,
        symoff=layout.offset("symbols"),
        nsyms=local + defined + undefined,
        stroff=layout.offset("strings"),
        strsize=layout.span("strings").size,
    )
    dysymtab = DysymtabCommand(*(0,) * len(DYSYMTAB_COMMAND.fields))._replace(
        cmd=c.LC_DYSYMTAB,
        cmdsize=DYSYMTAB_COMMAND.size,
        nlocalsym=local,
        iextdefsym=local,
        nextdefsym=defined,
        iundefsym=local + defined,
        nundefsym=undefined,
    )
    return (
        SYMTAB_COMMAND.pack(symtab, f"{name}: LC_SYMTAB"),
        DYSYMTAB_COMMAND.pack(dysymtab, f"{name}: LC_DYSYMTAB"),
    )


def _symbols(groups: Sequence[SymbolColumns], n_strx: Sequence[array[int]], name: str) -> Pieces:
    """*groups* as ``nlist_64`` records."""
    tables = []
    first = 0  # index of the group's first symbol
    for group, starts in zip(groups, n_strx, strict=True):
        columns = (group.n_type, group.n_sect, group.n_desc, group.n_value)
        tables.append(records(NLIST_64, starts, columns, symbol_labels(group.names, first, name)))
        first += len(group)
    return joined(tables)
