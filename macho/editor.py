"""Edits a copy of a relocatable object: symbols, relocations and bytes in place; every other byte stays.

The symbol table and its strings only ever grow, so they move to the end of the copy. A section may grow at its end;
the sections behind it move, in addresses and in the file, and all that counts from them. Linker optimisation hints
about changed instructions go.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from stubgen.common.columns import column, column_bytes
from stubgen.common.fields import align_up, narrow
from stubgen.common.object_copy import ObjectCopy
from stubgen.common.record import Record, RowT
from stubgen.common.text import as_text
from stubgen.errors import MalformedInput
from stubgen.macho import constants as c
from stubgen.macho.reader import MachOFile, Section, Symbols, optimisation_hints
from stubgen.macho.records import (
    COMPACT_UNWIND_ENTRY,
    DATA_IN_CODE_ENTRY,
    DYSYMTAB_COMMAND,
    LINKEDIT_DATA_COMMAND,
    MACH_HEADER_64,
    NLIST_64,
    RELOCATION_INFO,
    SECTION_64,
    SEGMENT_COMMAND_64,
    SYMTAB_COMMAND,
    Nlist64,
    Section64,
    SegmentCommand64,
)
from stubgen.macho.relocations import (
    ARM64_RELOC_ADDEND,
    ARM64_RELOC_SUBTRACTOR,
    ARM64_RELOC_UNSIGNED,
    Relocations,
    write_relocations,
)

_FILE_OFFSETS = {
    c.LC_SYMTAB: tuple(map(SYMTAB_COMMAND.offset, ("symoff", "stroff"))),
    c.LC_DYSYMTAB: tuple(
        map(
            DYSYMTAB_COMMAND.offset,
            ("tocoff", "modtaboff", "extrefsymoff", "indirectsymoff", "extreloff", "locreloff"),
        )
    ),
    **dict.fromkeys(c.LINKEDIT_DATA_COMMANDS, (LINKEDIT_DATA_COMMAND.offset("dataoff"),)),
}
"""LC_* -> where in the command offsets in the file lie, in bytes from its start."""


_UNDEFINED_PREFIX = b"l_stubgen_default."
"""Of a compiler's own names: such a symbol is nobody's variable."""


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

    def section(self, index: int) -> int:
        """The ordinal of the section that relocation *index* names; 0 where it names a symbol or nothing."""
        if self.symbol(index) >= 0 or self.kind(index) == ARM64_RELOC_ADDEND:
            return 0
        return self.r_word[index] & 0xFFFFFF

    def addend(self, index: int) -> int:
        """The bytes that ARM64_RELOC_ADDEND *index* adds: 24 bits with a sign."""
        value = self.r_word[index] & 0xFFFFFF
        return value - ((value & 0x800000) << 1)

    def length(self, index: int) -> int:
        """Log2 bytes of what relocation *index* changes."""
        return self.r_word[index] >> 25 & 3

    def change(self, index: int, *, kind: int, symbol: int) -> None:
        """Make relocation *index* another one at the same address."""
        where = f"{self.target.name}: relocation {index}"
        narrow(symbol, 24, "r_symbolnum", where)
        narrow(kind, 4, "r_type", where)
        self.r_word[index] = self.r_word[index] & 0x0F000000 | symbol | kind << 28
        self.changed = True

    def drop(self, index: int) -> None:
        """Remove relocation *index*."""
        self.dropped.add(index)
        self.changed = True

    def renumber(self, first: int, added: int) -> None:
        """Count for *added* new symbols in front of what was symbol *first*."""
        for index in range(len(self)):
            if self.symbol(index) >= first:
                self.change(index, kind=self.kind(index), symbol=self.symbol(index) + added)

    def finish(self) -> Relocations:
        """What is left."""
        left = [index for index in range(len(self)) if index not in self.dropped]
        return Relocations([self.r_address[index] for index in left], [self.r_word[index] for index in left])


class ObjectEditor(ObjectCopy[Section]):
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
        self._check_sections()
        self._check_symbols()
        self._entries = bytearray(file.symbols.raw)
        self._locals = bytearray()
        self._growth: dict[int, bytearray] = {}
        self._changed_addresses: set[int] = set()
        self.tables = list(self._tables())

    def _check_sections(self) -> None:
        """Refuse sections that lie where the copy's headers are, or beyond what an address or a linker can hold."""
        headers = MACH_HEADER_64.size + self.file.header.sizeofcmds
        for section in self.file.sections:
            header, where = section.header, f"{self.file.name}: {section.name}"
            if header.align > c.MAX_SECTION_ALIGN:
                raise MalformedInput(f"{where} is aligned to 2^{header.align}; linkers take 2^{c.MAX_SECTION_ALIGN}")
            if header.addr + header.size >= 1 << 64:
                raise MalformedInput(f"{where} ends beyond the last address")
            if len(self.file.content(section)) and header.offset < headers:
                raise MalformedInput(f"{where} overlaps the file's headers")

    def _check_symbols(self) -> None:
        """Refuse symbols of sections that are not there, and ranges of symbols that are not."""
        symbols, sections = self.symbols, len(self.file.sections)
        for index, (n_type, n_sect) in enumerate(zip(symbols.n_type, symbols.n_sect, strict=True)):
            if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT and not 0 < n_sect <= sections:
                raise MalformedInput(f"{self.file.name}: symbol {index} is in section {n_sect}, which is not there")
        table = self.file.dysymtab
        if table is None:
            return
        ranges = (
            (table.ilocalsym, table.nlocalsym),
            (table.iextdefsym, table.nextdefsym),
            (table.iundefsym, table.nundefsym),
        )
        if any(count and first + count > len(symbols) for first, count in ranges):
            raise MalformedInput(f"{self.file.name}: LC_DYSYMTAB counts symbols that are not there")

    def _tables(self) -> Iterator[Table]:
        for section, read in self.file.relocations():
            table = Table(section, read)
            if any(table.symbol(index) >= len(self.symbols) for index in range(len(table))):
                raise MalformedInput(f"{self.file.name}: {section.name} names a symbol that does not exist")
            yield table

    def rename(self, symbol: int, name: bytes) -> None:
        """Give *symbol*, an undefined one, another name; it loses its flags."""
        where = f"{self.name}: symbol {symbol}"
        NLIST_64.write_into(self._entries, NLIST_64.size * symbol, self._undefined(name), where)

    def make_private(self, symbol: int) -> None:
        """Make *symbol*, a weak definition, one that no other image sees, and that means no other image's."""
        self._edit(symbol, n_type=self.symbols.n_type[symbol] | c.N_PEXT)

    def make_strong(self, symbol: int) -> None:
        """Make *symbol*, a weak definition, one that no other image's takes the place of; others still see it."""
        self._edit(symbol, n_desc=self.symbols.n_desc[symbol] & ~c.N_WEAK_DEF)

    def _edit(self, symbol: int, **fields: int) -> None:
        """Change the fields of *symbol*, where it lies."""
        at, where = NLIST_64.size * symbol, f"{self.name}: symbol {symbol}"
        edited = NLIST_64.read(self._entries, at)._replace(**fields)
        NLIST_64.write_into(self._entries, at, edited, where)
        for _, symtab in self._commands(SYMTAB_COMMAND, c.LC_SYMTAB):
            NLIST_64.write_into(self.content, symtab.symoff + at, edited, where)

    def undefine(self, symbol: int) -> None:
        """Have what refers to *symbol*, a definition, refer to an undefined one of its name; it becomes private.

        Its new name has the object's checksum in it: linkers see a private one from other objects as well.
        """
        from zlib import crc32  # few patches need it

        object_ = crc32(self.file.name.encode(), crc32(self.content))
        at, name = NLIST_64.size * symbol, self.symbols.name(symbol)
        private = NLIST_64.read(self._entries, at)
        private = private._replace(
            n_strx=self.add_string(_UNDEFINED_PREFIX + b"%08x" % object_ + name),
            n_type=private.n_type | c.N_PEXT,
            n_desc=private.n_desc & ~(c.N_WEAK_DEF | c.N_WEAK_REF),
        )
        NLIST_64.write_into(self._entries, at, private, f"{self.name}: symbol {symbol}")
        undefined = self.add_undefined(name)
        for table in self.tables:
            for index in range(len(table)):
                if table.symbol(index) == symbol and table.kind(index) != ARM64_RELOC_ADDEND:
                    table.change(index, kind=table.kind(index), symbol=undefined)

    def add_undefined(self, name: bytes) -> int:
        """A new undefined symbol; its index."""
        index = len(self._entries) // NLIST_64.size
        self._entries += NLIST_64.pack(self._undefined(name), f"{self.name}: symbol {index}")
        return index

    def _undefined(self, name: bytes) -> Nlist64:
        """An undefined symbol called *name*."""
        return Nlist64(n_strx=self.add_string(name), n_type=c.N_UNDF | c.N_EXT, n_sect=0, n_desc=0, n_value=0)

    def add_local(self, name: bytes, section: Section, offset: int) -> None:
        """A new local symbol at byte *offset* of *section*; nothing refers to it."""
        symbol = Nlist64(
            n_strx=self.add_string(name),
            n_type=c.N_SECT,
            n_sect=section.ordinal,
            n_desc=0,
            n_value=section.header.addr + offset,
        )
        self._locals += NLIST_64.pack(symbol, f"{self.name}: symbol '{as_text(name)}'")

    def grow(self, section: Section, content: bytes) -> int:
        """Byte offset of *content*, which is put at the end of *section*, at a multiple of 4."""
        added = self._growth.setdefault(section.ordinal, bytearray(-section.header.size % 4))
        offset = section.header.size + len(added)
        added += content
        return offset

    def growth_obstacle(self) -> str:
        """What in the object counts from its sections in a way that :meth:`grow` could not follow; empty if nothing."""
        for table in self.tables:
            for index in range(len(table)):
                alone = index == 0 or table.kind(index - 1) != ARM64_RELOC_SUBTRACTOR
                if table.section(index) and not (table.kind(index) == ARM64_RELOC_UNSIGNED and alone):
                    return f"{table.target.name}+{table.r_address[index]:#x} counts from a section"
        frames = self.file.section("__TEXT,__eh_frame")
        if frames is not None:
            relocated = {at for table in self.tables if table.target == frames for at in table.r_address}
            for start in _frame_starts(bytes(self.file.content(frames))):
                if start not in relocated:
                    return f"{frames.name}+{start:#x} says without a relocation how far its function is"
        if self.file.section("__LLVM,__cg_profile") is not None:
            return "__LLVM,__cg_profile counts symbols"
        if any(section.name.endswith(",__objc_const") for section in self.file.sections):
            return "ld64.lld crashes over the Objective-C classes of an object whose sections stay whole"
        if self._has_exception_tables():
            return "ld64.lld confuses the exception tables of an object whose sections stay whole"
        return ""

    def _has_exception_tables(self) -> bool:
        """Whether a function has a language-specific data area: landing pads, and what they catch."""
        if self.file.section("__TEXT,__gcc_except_tab") is not None:
            return True
        unwind = self.file.section("__LD,__compact_unwind")
        if unwind is None:
            return False
        raw = self.file.content(unwind)
        named = {at for table in self.tables if table.target == unwind for at in table.r_address}
        entries = range(c.COMPACT_UNWIND_LSDA, len(raw) - 7, COMPACT_UNWIND_ENTRY.size)
        return any(at in named or any(raw[at : at + 8]) for at in entries)

    def file_offset(self, section: Section, offset: int, size: int) -> int:
        """Byte offset in the file of those bytes."""
        header = section.header
        if header.flags & c.SECTION_TYPE in c.ZEROFILL_TYPES or offset + size > header.size:
            raise MalformedInput(f"{self.file.name}: a relocation at {offset:#x} lies outside {section.name}")
        return header.offset + offset

    def forget_hints(self, section: Section, offset: int) -> None:
        """Remove linker optimisation hints about the instruction at byte *offset* of *section*."""
        self._changed_addresses.add(section.header.addr + offset)

    def finish(self) -> bytes:
        """The edited copy."""
        if self._locals:
            self._insert_locals()
        moves = self._moves()
        if moves:
            self._move_addresses(moves)
        for table in self.tables:
            if table.changed:
                raw = bytes(write_relocations(table.finish()))
                start, size = table.target.header.reloff, RELOCATION_INFO.size * table.target.header.nreloc
                self.content[start : start + size] = raw.ljust(size, b"\0")
                self._recount(table.target, len(raw) // RELOCATION_INFO.size)
        if self.strings_grew:
            self._append_symbols()
        if self._changed_addresses or moves:
            self._rewrite_hints(min(moves, default=1 << 64))
        for section in sorted(self.file.sections, key=lambda s: s.header.offset, reverse=True):
            if section.ordinal in self._growth:
                self._insert(section, moves)
        if self._growth:
            self._keep_sections_whole()
        return bytes(self.content)

    def _insert_locals(self) -> None:
        """Put the new local symbols behind the old ones: the symbols behind them, and what names those, count on."""
        held = self.file.dysymtab
        first = len(self.symbols) if held is None else held.ilocalsym + held.nlocalsym
        if first > len(self.symbols):
            raise MalformedInput(f"{self.file.name}: LC_DYSYMTAB counts more symbols than LC_SYMTAB")
        added = len(self._locals) // NLIST_64.size
        self._entries[NLIST_64.size * first : NLIST_64.size * first] = self._locals
        for table in self.tables:
            table.renumber(first, added)
        for at, dysymtab in self._commands(DYSYMTAB_COMMAND, c.LC_DYSYMTAB):
            counted = dysymtab._replace(
                nlocalsym=dysymtab.nlocalsym + added,
                iextdefsym=dysymtab.iextdefsym + added,
                iundefsym=dysymtab.iundefsym + added,
            )
            DYSYMTAB_COMMAND.write_into(self.content, at, counted, f"{self.name}: LC_DYSYMTAB")
            start, size = dysymtab.indirectsymoff, 4 * dysymtab.nindirectsyms
            raw = self.file.view.bytes(start, size, "the indirect symbol table")
            special = c.INDIRECT_SYMBOL_LOCAL | c.INDIRECT_SYMBOL_ABS
            moved = [i + added if i >= first and not i & special else i for i in column("I", raw)]
            self.content[start : start + size] = column_bytes(array("I", moved))

    def _moves(self) -> dict[int, int]:
        """Address from which on sections move -> by how many bytes, for each that grows; all alignments hold."""
        unit = 1 << max([3, *(section.header.align for section in self.file.sections)])  # symbols lie at multiples of 8
        return {
            section.header.addr + section.header.size: align_up(len(self._growth[section.ordinal]), unit)
            for section in self.file.sections
            if section.ordinal in self._growth
        }

    def _shift(self, section: Section, moves: dict[int, int]) -> int:
        """By how many bytes *section*'s address grows."""
        return sum(size for end, size in moves.items() if section.header.addr >= end)

    def _move_addresses(self, moves: dict[int, int]) -> None:
        """Move the sections behind those that grow, their symbols, and what counts from a section's address."""
        shifts = [0, *(self._shift(section, moves) for section in self.file.sections)]
        self._move_sections(shifts)
        self._move_symbols(shifts)
        self._move_pointers(shifts)
        self._move_data_in_code(moves)

    def _move_sections(self, shifts: list[int]) -> None:
        """Give each section its new address, by *shifts*: ordinal -> bytes; and those that grow their new size."""
        for section, at, header in self._section_headers():
            moved = header._replace(
                addr=header.addr + shifts[section.ordinal],
                size=header.size + len(self._growth.get(section.ordinal, b"")),
            )
            self._write_section_header(section, at, moved)

    def _move_symbols(self, shifts: list[int]) -> None:
        """Symbols lie where their sections do; what a debugger reads is left as it is."""
        for index in range(len(self._entries) // NLIST_64.size):
            symbol = NLIST_64.read(self._entries, NLIST_64.size * index)
            defined = not symbol.n_type & c.N_STAB and symbol.n_type & c.N_TYPE == c.N_SECT
            if defined and symbol.n_sect < len(shifts):
                moved = symbol._replace(n_value=symbol.n_value + shifts[symbol.n_sect])
                NLIST_64.write_into(self._entries, NLIST_64.size * index, moved, f"{self.name}: symbol {index}")

    def _move_pointers(self, shifts: list[int]) -> None:
        """A pointer whose relocation names a section holds an address in it, not a distance from its start."""
        for table in self.tables:
            for index in range(len(table)):
                shift = shifts[table.section(index)] if table.section(index) < len(shifts) else 0
                if shift and index not in table.dropped:
                    size = 1 << table.length(index)
                    value = int.from_bytes(self.read(table.target, table.r_address[index], size), "little") + shift
                    narrow(value, 8 * size, "an address", self.file.name)
                    self.overwrite(table.target, table.r_address[index], value.to_bytes(size, "little"))

    def _move_data_in_code(self, moves: dict[int, int]) -> None:
        """LC_DATA_IN_CODE says by address where among instructions data lies."""
        what = "the table of data in code"
        for _, table in self._commands(LINKEDIT_DATA_COMMAND, c.LC_DATA_IN_CODE):
            self.file.view.bytes(table.dataoff, table.datasize, what)
            stop = table.dataoff + table.datasize - DATA_IN_CODE_ENTRY.size + 1
            for at in range(table.dataoff, stop, DATA_IN_CODE_ENTRY.size):
                entry = DATA_IN_CODE_ENTRY.read(self.content, at)
                shift = sum(size for end, size in moves.items() if entry.offset >= end)
                moved = entry._replace(offset=entry.offset + shift)
                DATA_IN_CODE_ENTRY.write_into(self.content, at, moved, f"{self.name}: {what}")

    def _insert(self, section: Section, moves: dict[int, int]) -> None:
        """Put what *section* grows by into the file; everything behind it moves on, by a multiple of all alignments."""
        end = section.header.offset + section.header.size
        size = moves[section.header.addr + section.header.size]
        self.content[end:end] = self._growth[section.ordinal].ljust(size, b"\0")

        def moved(offset: int) -> int:
            return narrow(offset + size, 32, "a file offset", self.file.name) if offset >= end else offset

        for command in self.file.commands:
            for field in _FILE_OFFSETS.get(command.cmd, ()):
                at = command.offset + field
                offset = int.from_bytes(self.content[at : at + 4], "little")
                self.content[at : at + 4] = moved(offset).to_bytes(4, "little")
        for at, segment in self._segments():
            inside = segment.fileoff <= section.header.offset < segment.fileoff + segment.filesize
            grown = segment._replace(
                vmsize=segment.vmsize + size if inside else segment.vmsize,
                filesize=segment.filesize + size if inside else segment.filesize,
                fileoff=moved(segment.fileoff),
            )
            SEGMENT_COMMAND_64.write_into(self.content, at, grown, f"{self.name}: LC_SEGMENT_64")
        for other, at, header in self._section_headers():
            offset = header.offset if other.ordinal == section.ordinal else moved(header.offset)
            self._write_section_header(other, at, header._replace(offset=offset, reloff=moved(header.reloff)))

    def _keep_sections_whole(self) -> None:
        """Clear MH_SUBSECTIONS_VIA_SYMBOLS: what a section grew by must stay where its code expects it."""
        header = MACH_HEADER_64.read(self.content)
        whole = header._replace(flags=header.flags & ~c.MH_SUBSECTIONS_VIA_SYMBOLS)
        MACH_HEADER_64.write_into(self.content, 0, whole, self.name)

    def _commands(self, record: Record[RowT], cmd: int) -> Iterator[tuple[int, RowT]]:
        """Each command *cmd*, as edited so far: its byte offset in the file, and its fields.

        Raises:
            MalformedInput: it is shorter than its record.
        """
        for command in self.file.commands:
            if command.cmd == cmd:
                self.file.read_command(record, command, f"load command {cmd:#x}")
                yield command.offset, record.read(self.content, command.offset)

    def _segments(self) -> Iterator[tuple[int, SegmentCommand64]]:
        """Each segment command, as edited so far."""
        return self._commands(SEGMENT_COMMAND_64, c.LC_SEGMENT_64)

    def _section_headers(self) -> Iterator[tuple[Section, int, Section64]]:
        """Each section, the byte offset of its header in the file, and that header as edited so far."""
        sections = iter(self.file.sections)
        for (start, _), segment in zip(self._segments(), self.file.segments, strict=True):
            first = start + SEGMENT_COMMAND_64.size
            for at in range(first, first + SECTION_64.size * segment.nsects, SECTION_64.size):
                yield next(sections), at, SECTION_64.read(self.content, at)

    def _write_section_header(self, section: Section, at: int, header: Section64) -> None:
        SECTION_64.write_into(self.content, at, header, f"{self.name}: {section.name}")

    def _recount(self, section: Section, nreloc: int) -> None:
        """Change how many relocations *section* has."""
        for other, at, header in self._section_headers():
            if other.ordinal == section.ordinal:
                self._write_section_header(other, at, header._replace(nreloc=nreloc))

    def _append_symbols(self) -> None:
        """Move symbols and strings to the end; new symbols are undefined ones, which LC_DYSYMTAB counts last."""
        symoff, stroff = self.append(self._entries, 8), self.append(self.strings, 1)
        for at, symtab in self._commands(SYMTAB_COMMAND, c.LC_SYMTAB):
            moved = symtab._replace(
                symoff=symoff,
                nsyms=len(self._entries) // NLIST_64.size,
                stroff=stroff,
                strsize=len(self.strings),
            )
            SYMTAB_COMMAND.write_into(self.content, at, moved, f"{self.name}: LC_SYMTAB")
        added = (len(self._entries) - len(self._locals)) // NLIST_64.size - len(self.symbols)
        for at, dysymtab in self._commands(DYSYMTAB_COMMAND, c.LC_DYSYMTAB):
            counted = dysymtab._replace(nundefsym=dysymtab.nundefsym + added)
            DYSYMTAB_COMMAND.write_into(self.content, at, counted, f"{self.name}: LC_DYSYMTAB")

    def _rewrite_hints(self, limit: int) -> None:
        """Leave out the hints about changed instructions, and about those from address *limit* on, which move."""
        for _, table in self._commands(LINKEDIT_DATA_COMMAND, c.LC_LINKER_OPTIMIZATION_HINT):
            start, size = table.dataoff, table.datasize
            raw = bytes(self.file.view.bytes(start, size, "the linker optimisation hints"))
            kept = b"".join(
                encoded
                for encoded, addresses in optimisation_hints(raw, f"{self.file.name}: linker optimisation hints")
                if not self._changed_addresses.intersection(addresses) and max(addresses, default=0) < limit
            )
            self.content[start : start + size] = kept.ljust(size, b"\0")


def _frame_starts(raw: bytes) -> Iterator[int]:
    """Where in ``__eh_frame`` each FDE says which function it is about (LSB Core, "Exception Frames")."""
    position = 0
    while position + 8 <= len(raw):
        length = int.from_bytes(raw[position : position + 4], "little")
        if not length:  # the end
            return
        if int.from_bytes(raw[position + 4 : position + 8], "little"):  # 0: a CIE
            yield position + 8
        position += 4 + length
