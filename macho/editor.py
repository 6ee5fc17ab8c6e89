"""Edits a copy of a relocatable object: symbols, relocations and bytes in place; every other byte stays.

The symbol table and its strings only ever grow, so they move to the end of the copy; sections, their order and
everything that counts by index stay as they are. Linker optimisation hints about changed instructions go.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from macho import constants as c
from macho.reader import MachOFile, Section, Symbols
from macho.records import (
    DYSYMTAB_COMMAND,
    LINKEDIT_DATA_COMMAND,
    NLIST_64,
    SECTION_64,
    SEGMENT_COMMAND_64,
    SYMTAB_COMMAND,
)
from macho.relocations import Relocations, write_relocations
from stubgen.binary import Copy, narrow, uleb128
from stubgen.errors import MalformedInput


class Table:
    """The relocations of one section, under edit."""

    def __init__(self, target: Section, read: Relocations) -> None:
        self.target = target
        """The section that the relocations change."""
        self.r_address = read.r_address
        self.r_word = array("I", read.r_word)
        self.dropped: set[int] = set()
        self.changed = False

    def __len__(self) -> int:
        return len(self.r_address)

    def kind(self, index: int) -> int:
        """ARM64_RELOC_* of relocation *index*."""
        return self.r_word[index] >> 28

    def symbol(self, index: int) -> int:
        """The symbol of relocation *index*; -1 where it names a section."""
        return self.r_word[index] & 0xFFFFFF if self.r_word[index] >> 27 & 1 else -1

    def length(self, index: int) -> int:
        """Log2 bytes of what relocation *index* changes."""
        return self.r_word[index] >> 25 & 3

    def change(self, index: int, *, kind: int, symbol: int) -> None:
        """Make relocation *index* another one at the same place."""
        self.r_word[index] = self.r_word[index] & 0x0F000000 | narrow(symbol, 24, "r_symbolnum", "object") | kind << 28
        self.changed = True

    def drop(self, index: int) -> None:
        """Remove relocation *index*."""
        self.dropped.add(index)
        self.changed = True

    def finish(self) -> Relocations:
        """What is left."""
        left = [index for index in range(len(self)) if index not in self.dropped]
        return Relocations([self.r_address[index] for index in left], [self.r_word[index] for index in left])


class ObjectEditor(Copy[Section]):
    """A copy of an object under edit.

    Raises:
        MalformedInput: the object has no symbol table, or its relocations are broken.
    """

    def __init__(self, file: MachOFile) -> None:
        if file.symbols is None:
            raise MalformedInput(f"{file.name}: has no symbol table")
        super().__init__(file.view, file.symbols.strings.content)
        self.file = file
        self.symbols: Symbols = file.symbols
        self._entries = bytearray(file.symbols.raw)
        self._changed_addresses: set[int] = set()
        self.tables = list(self._tables())

    def _tables(self) -> Iterator[Table]:
        for section, read in self.file.relocations():
            table = Table(section, read)
            if any(table.symbol(index) >= len(self.symbols) for index in range(len(table))):
                raise MalformedInput(f"{self.file.name}: {section.name} names a symbol that does not exist")
            yield table

    def rename(self, symbol: int, name: bytes) -> None:
        """Give *symbol*, an undefined one, another name; it loses its flags."""
        record = (self.add_string(name), c.N_UNDF | c.N_EXT, 0, 0, 0)
        NLIST_64.pack_into(self._entries, NLIST_64.size * symbol, *record)

    def add_undefined(self, name: bytes) -> int:
        """A new undefined symbol; its index."""
        self._entries += NLIST_64.pack(self.add_string(name), c.N_UNDF | c.N_EXT, 0, 0, 0)
        return len(self._entries) // NLIST_64.size - 1

    def place(self, section: Section, offset: int, size: int) -> int:
        """Where in the file those bytes lie."""
        header = section.header
        if header.flags & c.SECTION_TYPE in c.ZEROFILL_TYPES or offset + size > header.size:
            raise MalformedInput(f"{self.file.name}: a relocation at {offset:#x} lies outside {section.name}")
        return int(header.offset + offset)

    def forget_hints(self, section: Section, offset: int) -> None:
        """Remove linker optimisation hints about the instruction at byte *offset* of *section*."""
        self._changed_addresses.add(section.header.addr + offset)

    def finish(self) -> bytes:
        """The edited copy."""
        for table in self.tables:
            if table.changed:
                raw = bytes(write_relocations(table.finish()))
                start, size = table.target.header.reloff, 8 * table.target.header.nreloc
                self.content[start : start + size] = raw.ljust(size, b"\0")
                self._recount(table.target, len(raw) // 8)
        if self.strings_grew:
            self._append_symbols()
        if self._changed_addresses:
            self._rewrite_hints()
        return bytes(self.content)

    def _recount(self, section: Section, nreloc: int) -> None:
        """Change how many relocations *section* has."""
        ordinal = 0
        for command in self.file.commands:
            if command.cmd != c.LC_SEGMENT_64:
                continue
            nsects = SEGMENT_COMMAND_64.unpack_from(self.content, command.offset)[9]
            if ordinal < section.ordinal <= ordinal + nsects:
                place = command.offset + SEGMENT_COMMAND_64.size + SECTION_64.size * (section.ordinal - ordinal - 1)
                record = list(SECTION_64.unpack_from(self.content, place))
                record[7] = nreloc
                SECTION_64.pack_into(self.content, place, *record)
            ordinal += nsects

    def _append_symbols(self) -> None:
        """Move symbols and strings to the end; new symbols are undefined ones, which LC_DYSYMTAB counts last."""
        symoff = narrow(self.append(self._entries, 8), 32, "symoff", self.file.name)
        stroff = narrow(self.append(self.strings, 1), 32, "stroff", self.file.name)
        added = len(self._entries) // NLIST_64.size - len(self.symbols)
        for command in self.file.commands:
            if command.cmd == c.LC_SYMTAB:
                counts = symoff, len(self._entries) // NLIST_64.size, stroff, len(self.strings)
                SYMTAB_COMMAND.pack_into(self.content, command.offset, command.cmd, command.size, *counts)
            elif command.cmd == c.LC_DYSYMTAB:
                record = list(DYSYMTAB_COMMAND.unpack_from(self.content, command.offset))
                record[7] += added
                DYSYMTAB_COMMAND.pack_into(self.content, command.offset, *record)

    def _rewrite_hints(self) -> None:
        """Leave out the hints of LC_LINKER_OPTIMIZATION_HINT that are about changed instructions."""
        for command in self.file.commands:
            if command.cmd == c.LC_LINKER_OPTIMIZATION_HINT:
                _, _, start, size = LINKEDIT_DATA_COMMAND.unpack_from(self.content, command.offset)
                raw = bytes(self.file.view.bytes(start, size, "the linker optimisation hints"))
                kept = b"".join(
                    encoded
                    for encoded, addresses in _hints(raw, f"{self.file.name}: linker optimisation hints")
                    if not self._changed_addresses.intersection(addresses)
                )
                self.content[start : start + size] = kept.ljust(size, b"\0")


def _hints(raw: bytes, where: str) -> Iterator[tuple[bytes, list[int]]]:
    """Each hint as it is encoded, and the addresses that it is about; a kind of 0 ends the list."""
    position = 0
    while position < len(raw):
        start = position
        kind, position = uleb128(raw, position, where)
        if not kind:
            return
        count, position = uleb128(raw, position, where)
        addresses = []
        for _ in range(count):
            address, position = uleb128(raw, position, where)
            addresses.append(address)
        yield raw[start:position], addresses
