"""Edits a copy of a relocatable object: symbols, relocations and bytes in place; every other byte stays.

The symbol table and its strings only ever grow, so they move to the end of the copy, as does a section of code that
grows; sections, their order, groups and everything that counts by index stay as they are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from stubgen.common.aarch64 import WORD
from stubgen.common.fields import align_up, narrow
from stubgen.common.object_copy import ObjectCopy
from stubgen.common.row import Row
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile, Section, Symbols
from stubgen.elf.records import EHDR, SHDR, SYM, Sym
from stubgen.elf.relocations import Relocations, write_relocations
from stubgen.errors import MalformedInput, UnsupportedInput


class _Columns(Row):
    """The columns of a table of relocations, to be written to."""

    r_offset: array[int]
    symbol: array[int]
    kind: array[int]
    r_addend: array[int]


_INFO, _OTHER = SYM.offset("st_info"), SYM.offset("st_other")  # of thousands of symbols


class Table:
    """The relocations of one section, under edit."""

    def __init__(self, source: Section, target: Section, read: Relocations) -> None:
        self.source = source
        self.target = target
        """The section that the relocations change."""
        self.r_offset, self.symbol, self.kind, self.r_addend = read.r_offset, read.symbol, read.kind, read.r_addend
        self.dropped: set[int] = set()
        self.changed = False
        self._edited: _Columns | None = None  # the same four once one is written to: thousands of tables never are

    def __len__(self) -> int:
        return len(self.r_offset)

    def change(self, index: int, *, kind: int, symbol: int, addend: int = 0) -> None:
        """Make relocation *index* another one at the same offset."""
        where = f"{self.source.name}: relocation {index}"
        columns = self._own_columns()
        columns.kind[index] = narrow(kind, 32, "the type of r_info", where)
        columns.symbol[index] = narrow(symbol, 32, "the symbol of r_info", where)
        columns.r_addend[index] = narrow(addend, 64, "r_addend", where, signed=True)
        self.changed = True

    def _own_columns(self) -> _Columns:
        """Columns that nobody else has."""
        if self._edited is None:
            columns = self._edited = _Columns(
                array("Q", self.r_offset), array("I", self.symbol), array("I", self.kind), array("q", self.r_addend)
            )
            self.r_offset, self.symbol, self.kind, self.r_addend = columns
        return self._edited

    def add(self, offset: int, *, kind: int, symbol: int, addend: int = 0) -> None:
        """A new relocation, of byte *offset* of the section."""
        columns = self._own_columns()
        columns.r_offset.append(offset)
        columns.kind.append(0)
        columns.symbol.append(0)
        columns.r_addend.append(0)
        self.change(len(self) - 1, kind=kind, symbol=symbol, addend=addend)

    def drop(self, index: int) -> None:
        """Remove relocation *index*."""
        self.dropped.add(index)
        self.changed = True

    def finish(self) -> Relocations:
        """What is left."""
        left = [index for index in range(len(self)) if index not in self.dropped]
        return Relocations(
            [self.r_offset[index] for index in left],
            [self.symbol[index] for index in left],
            [self.kind[index] for index in left],
            [self.r_addend[index] for index in left],
        )


class ObjectEditor(ObjectCopy[Section]):
    """A copy of an object under edit.

    Raises:
        MalformedInput: the object has no symbol table, or its relocations are broken.
        UnsupportedInput: its relocations are in a form that this project does not read.
    """

    def __init__(self, file: ElfFile) -> None:
        symtab = file.section_of_type(c.SHT_SYMTAB)
        if symtab is None or file.symbols is None:
            raise MalformedInput(f"{file.name}: has no symbol table")
        super().__init__(file.view, file.symbols.strings.content)
        self.file = file
        self.symbols: Symbols = file.symbols
        self._check_sections()
        self._symtab = symtab
        self._entries = bytearray(file.content(symtab))
        self.tables = list(self._tables())
        self._grown: dict[int, bytearray] = {}  # section -> what lies behind its content now

    def _check_sections(self) -> None:
        """Refuse sections that lie where the copy's headers are: to edit them would edit those."""
        start = self.file.header.e_shoff
        end = start + SHDR.size * len(self.file.sections)
        for section in self.file.sections:
            first, size = section.header.sh_offset, self.file.stored_size(section)
            if size and (first < EHDR.size or (first < end and start < first + size)):
                raise MalformedInput(f"{self.file.name}: {section.name} overlaps the file's headers")

    def _tables(self) -> Iterator[Table]:
        tables = {section.number: table for section, table in self.file.relocations()}
        for section in self.file.sections:
            if section.header.sh_type in (c.SHT_REL, c.SHT_CREL):
                if self._is_profile(section):
                    continue
                raise UnsupportedInput(f"{self.file.name}: {section.name} is not Elf64_Rela, the one form handled")
            if section.header.sh_type != c.SHT_RELA or section.header.sh_link != self._symtab.number:
                continue
            if not 0 < section.header.sh_info < len(self.file.sections):
                raise MalformedInput(f"{self.file.name}: {section.name} belongs to no section")
            yield Table(section, self.file.sections[section.header.sh_info], tables[section.number])

    def _is_profile(self, section: Section) -> bool:
        """Whether *section* relocates what no program sees: LLVM's call graph profile names functions by REL."""
        target = section.header.sh_info
        return 0 < target < len(self.file.sections) and not self.file.sections[target].header.sh_flags & c.SHF_ALLOC

    def rename(self, symbol: int, name: bytes) -> None:
        """Give *symbol*, an undefined one, another name; it loses its type and becomes hidden."""
        at = SYM.size * symbol
        renamed = SYM.read(self._entries, at)._replace(
            st_name=self.add_string(name), st_info=c.STB_GLOBAL << 4 | c.STT_NOTYPE, st_other=c.STV_HIDDEN
        )
        SYM.write_into(self._entries, at, renamed, f"{self.name}: symbol {symbol}")

    def protect(self, symbol: int) -> None:
        """Make *symbol*, a definition, protected: exported as before, but what refers to it here means this one.

        One that is unique in the process (STB_GNU_UNIQUE) becomes weak: of several in an image there is one then.
        """
        info, other = SYM.size * symbol + _INFO, SYM.size * symbol + _OTHER
        if self._entries[info] >> 4 == c.STB_GNU_UNIQUE:
            self._set(info, c.STB_WEAK << 4 | self._entries[info] & 0xF)
        self._set(other, self._entries[other] & ~3 | c.STV_PROTECTED)

    def _set(self, at: int, value: int) -> None:
        """Change byte *at* of the symbol table, where it lies."""
        self._entries[at] = self.content[self._symtab.header.sh_offset + at] = value

    def undefine(self, symbol: int) -> None:
        """Make *symbol*, a definition, an undefined one of its name; what it named stays, without the name."""
        at = SYM.size * symbol
        undefined = SYM.read(self._entries, at)._replace(
            st_info=c.STB_GLOBAL << 4 | c.STT_NOTYPE, st_shndx=c.SHN_UNDEF, st_value=0, st_size=0
        )
        SYM.write_into(self._entries, at, undefined, f"{self.name}: symbol {symbol}")
        start = self._symtab.header.sh_offset + at
        self.content[start : start + SYM.size] = self._entries[at : at + SYM.size]

    def add_undefined(self, name: bytes) -> int:
        """A new undefined hidden symbol; its index."""
        index = len(self._entries) // SYM.size
        symbol = Sym(
            st_name=self.add_string(name),
            st_info=c.STB_GLOBAL << 4 | c.STT_NOTYPE,
            st_other=c.STV_HIDDEN,
            st_shndx=c.SHN_UNDEF,
            st_value=0,
            st_size=0,
        )
        self._entries += SYM.pack(symbol, f"{self.name}: symbol {index}")
        return index

    def file_offset(self, section: Section, offset: int, size: int) -> int:
        """Byte offset in the file of those bytes."""
        header = section.header
        if header.sh_type == c.SHT_NOBITS or offset + size > header.sh_size:
            raise MalformedInput(f"{self.file.name}: a relocation at {offset:#x} lies outside {section.name}")
        return header.sh_offset + offset

    def end_of(self, section: Section) -> int:
        """Byte offset, in *section*, of the next code that :meth:`grow` adds."""
        return align_up(section.header.sh_size, WORD) + len(self._grown.get(section.number, b""))

    def grow(self, section: Section, code: bytes) -> None:
        """Add *code* behind the content of *section*."""
        self._grown.setdefault(section.number, bytearray()).extend(code)

    def finish(self) -> bytes:
        """The edited copy."""
        for table in self.tables:
            if table.changed:
                self._write_table(table.source, bytes(write_relocations(table.finish())))
        for number, added in self._grown.items():
            section = self.file.sections[number]
            content = self.read(section, 0, section.header.sh_size)
            padded = content + bytes(align_up(len(content), WORD) - len(content))
            self._move(number, padded + added, max(min(section.header.sh_addralign, c.PADDED_TO), WORD))
        if self.strings_grew:
            self._move(self._symtab.number, self._entries, 8)
            self._move(self._symtab.header.sh_link, self.strings, 1)
            self._grow_indexes()
        return bytes(self.content)

    def _write_table(self, source: Section, raw: bytes) -> None:
        """Write the records *raw* of table *source*, where they were if they are not more."""
        start, size = source.header.sh_offset, source.header.sh_size
        if len(raw) > size:
            self._move(source.number, raw, 8)
        else:
            self.content[start : start + size] = raw.ljust(size, b"\0")
            self._resize(source.number, start, len(raw))

    def _move(self, number: int, content: bytes | bytearray, alignment: int) -> None:
        """Move section *number* to the end of the copy, with new content."""
        self._resize(number, self.append(content, alignment), len(content))

    def _resize(self, number: int, offset: int, size: int) -> None:
        """Change where section *number* lies and how large it is."""
        at = self.file.header.e_shoff + SHDR.size * number
        header = SHDR.read(self.content, at)._replace(sh_offset=offset, sh_size=size)
        SHDR.write_into(self.content, at, header, f"{self.name}: section {number}")

    def _grow_indexes(self) -> None:
        """Keep .symtab_shndx, where there is one, as long as the symbol table."""
        extended = self.file.section_of_type(c.SHT_SYMTAB_SHNDX)
        if extended is not None and extended.header.sh_link == self._symtab.number:
            added = len(self._entries) // SYM.size - len(self.symbols)
            self._move(extended.number, bytes(self.file.content(extended)) + bytes(4 * added), 4)
