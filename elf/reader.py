"""Reads executables, shared libraries and relocatable objects: headers, symbols, the dynamic table, notes.

Every read is bounded by the file and every structure that does not fit is reported with its name. What a
caller does not ask for is not read.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

from stubgen.common.columns import column, field_column, octet_column
from stubgen.common.fields import align_up
from stubgen.common.record import Record, RowT
from stubgen.common.row import Row
from stubgen.common.strings import StringTable, string_at
from stubgen.common.text import as_text
from stubgen.common.view import View
from stubgen.elf import constants as c
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
    Ehdr,
    Phdr,
    Shdr,
    Sym,
)
from stubgen.elf.relocations import (
    R_AARCH64_RELATIVE,
    Relocations,
    read_android_packed,
    read_relocations,
    read_relr,
)
from stubgen.errors import MalformedInput, UnsupportedInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OUT_OF_BAND = 1 << 32  # above every section's index


class Section(Row):
    """A section: its name and its header."""

    name: str
    number: int  # section index
    header: Shdr

    @property
    def holds_variables(self) -> bool:
        """Whether it can be written to, and not only until the loader has relocated it."""
        return bool(self.header.sh_flags & c.SHF_WRITE) and not self.name.startswith(".data.rel.ro")

    @property
    def holds_plain_constants(self) -> bool:
        """Whether it has constants that the linker neither merges nor relocates, as GCC's strings at ``-O0``."""
        other = c.SHF_WRITE | c.SHF_EXECINSTR | c.SHF_TLS | c.SHF_MERGE
        return self.header.sh_flags & (c.SHF_ALLOC | other) == c.SHF_ALLOC


class Note(Row):
    """One entry of a note section or segment (gABI chapter 5, "Note Section")."""

    owner: bytes
    kind: int  # NT_*, in the owner's name space
    content: memoryview


MOST_SEGMENTS = 1 << 12
"""Every address is looked for in each of them."""


class GnuHash(Row):
    """DT_GNU_HASH, by which the dynamic loader finds what a file defines."""

    symoffset: int  # index of the first symbol that is in it; those before are undefined or local
    bloom: array[int]  # 64 bits each
    shift: int  # bits
    buckets: array[int]  # index of the first symbol with that hash, modulo their number; 0: none
    chain: array[int]  # a hash for each symbol from symoffset on; its bit 0 ends a bucket's run

    def candidates(self, name: bytes) -> Iterator[int]:
        """Index of each symbol whose hash, but for its lowest bit, is that of *name*."""
        value = 5381
        for octet in name:
            value = value * 33 + octet & 0xFFFFFFFF
        word = self.bloom[(value >> 6) % len(self.bloom)]
        if not word >> (value & 63) & word >> (value >> self.shift & 63) & 1:
            return
        position = self.buckets[value % len(self.buckets)] - self.symoffset
        while 0 <= position < len(self.chain):
            entry = self.chain[position]
            if (entry ^ value) >> 1 == 0:
                yield position + self.symoffset
            if entry & 1:
                return
            position += 1


HASH_PAYS = 20
"""Symbols a wanted name from which the hash table is faster than to search all: a hash costs that in Python."""


_AT_ONCE = 4096
"""Symbols looked through at a time, where one of them may be enough."""
NAMES_KEPT = 1 << 16
"""Symbols up to which a table keeps its names once somebody has asked for all of them."""
_INFO = SYM.offset("st_info")
_FILE_NEAR = 64
"""Symbols in front of a local one that are looked through first for its file's, and then twice as many."""


class Symbols:
    """A symbol table: a record where one is asked for, columns of equal length where all are.

    Index 0 is the unnamed null symbol.
    """

    def __init__(
        self,
        raw: memoryview,
        strings: StringTable,
        extended: Sequence[int] = (),
        versions: Sequence[int] = (),
        gnu_hash: GnuHash | None = None,
    ) -> None:
        self.raw = raw
        """The table itself, ``Elf64_Sym`` after ``Elf64_Sym``."""
        self.strings = strings
        """The string table that st_name points into."""
        self.extended = extended
        """SHT_SYMTAB_SHNDX: the section index where st_shndx is SHN_XINDEX."""
        beyond = _OUT_OF_BAND if len(extended) else 0
        self.absolute = c.SHN_ABS + beyond
        """What st_shndx reads as for SHN_ABS: where indexes have 32 bits, 0xfff1 may be a section's."""
        self.common = c.SHN_COMMON + beyond
        """Likewise for SHN_COMMON."""
        self._file = (-1, 0)  # index of a file symbol, -1 for none, and one up to which no other follows it
        self._file_name = (-1, b"")  # of the one that was asked for last, with its index
        self._names: list[bytes] | None = None
        self.versions = versions
        """.gnu.version: one VER_NDX_* | VERSYM_HIDDEN a symbol; empty where the file has none."""
        self.gnu_hash = gnu_hash
        """For the dynamic symbols, where the file has it."""

    def __len__(self) -> int:
        return len(self.raw) // SYM.size

    def entry(self, index: int) -> Sym:
        """Symbol *index*; st_shndx as in the column.

        Raises:
            MalformedInput: the table has no such symbol, whatever a relocation says.
        """
        if index >= len(self):
            raise MalformedInput(f"{self.strings.where}: symbol {index} is asked for, and there are {len(self)}")
        record = SYM.read(self.raw, SYM.size * index)
        if not len(self.extended):
            return record
        return record._replace(st_shndx=self._section(index, record.st_shndx))

    def _section(self, index: int, short: int) -> int:
        """What st_shndx *short* of symbol *index* reads as where there are extended indexes."""
        if short == c.SHN_XINDEX:
            return self.extended[index]
        return short + _OUT_OF_BAND if short >= c.SHN_LORESERVE else short

    @cached_property
    def st_name(self) -> array[int]:
        """Byte offset into the strings."""
        return field_column("I", self.raw, SYM.size, SYM.offset("st_name"))

    @cached_property
    def st_info(self) -> bytes:
        """Bind << 4 | type."""
        return octet_column(self.raw, SYM.size, SYM.offset("st_info"))

    @cached_property
    def st_other(self) -> bytes:
        """Visibility, low 2 bits."""
        return octet_column(self.raw, SYM.size, SYM.offset("st_other"))

    @cached_property
    def st_shndx(self) -> Sequence[int]:
        """Section index with SHN_XINDEX resolved; ``absolute``, ``common`` or another reserved number."""
        short = field_column("H", self.raw, SYM.size, SYM.offset("st_shndx"))
        if not len(self.extended):
            return short
        return [self._section(*entry) for entry in enumerate(short)]

    @cached_property
    def st_value(self) -> array[int]:
        """ET_REL: byte offset into the section; else virtual address."""
        return field_column("Q", self.raw, SYM.size, SYM.offset("st_value"))

    @cached_property
    def st_size(self) -> array[int]:
        """Bytes."""
        return field_column("Q", self.raw, SYM.size, SYM.offset("st_size"))

    def name(self, index: int) -> bytes:
        """The name of symbol *index*."""
        if self._names is not None and 0 <= index < len(self._names):
            return self._names[index]
        starts = self.__dict__.get("st_name")  # the column, if somebody made it
        if starts is None or not 0 <= index < len(starts):
            return self.strings.at(self.entry(index).st_name)
        return self.strings.at(starts[index])

    def names(self) -> Iterator[bytes]:
        """All names, in the table's order; those of an object are kept, for each phase asks."""
        if self._names is None:
            if len(self) > NAMES_KEPT:
                return self.strings.names(self.st_name)
            self._names = list(self.strings.names(self.st_name))
        return iter(self._names)

    def find_indexes(self, wanted: Collection[bytes], markers: Sequence[bytes]) -> Iterator[int]:
        """Index of each symbol whose name is in *wanted* or has one of *markers* in it, ascending."""
        hashed = self.gnu_hash is not None and len(wanted) * HASH_PAYS < len(self)
        if not hashed or any(marker in self.strings.content for marker in markers):
            return self.strings.find(self.st_name, wanted, markers)
        return iter(sorted(self._hashed(wanted)))

    def _hashed(self, wanted: Collection[bytes]) -> Iterator[int]:
        """Index of each symbol whose name is in *wanted*, by the hash table."""
        assert self.gnu_hash is not None  # noqa: S101  # find_indexes() asks only then
        for index in range(1, min(self.gnu_hash.symoffset, len(self))):
            if self.name(index) in wanted:
                yield index
        for name in wanted:
            for index in self.gnu_hash.candidates(name):
                if index < len(self) and self.name(index) == name:
                    yield index

    def file_of(self, index: int) -> bytes:
        """The name of the file symbol before symbol *index*: gABI, "Symbol Table", its file if it is local."""
        file = self.file_symbol_of(index)
        if file != self._file_name[0]:
            self._file_name = file, self.name(file) if file >= 0 else b""
        return self._file_name[1]

    def file_symbol_of(self, index: int) -> int:
        """The index of that file symbol, -1 for none.

        Who asks in ascending order has the table looked through once.
        """
        file, seen = self._file if self._file[0] < index else (-1, 0)
        infos = self.__dict__.get("st_info")  # the column, if somebody made it
        if infos is not None:
            found = infos.rfind(c.STB_LOCAL << 4 | c.STT_FILE, seen, index) if seen < index else -1
            self._file = found if found >= 0 else file, max(index, seen)
            return self._file[0]
        stop, step = index, _FILE_NEAR
        while stop > seen:  # backwards
            start = max(stop - step, seen)
            found = self._infos(start, stop).rfind(c.STB_LOCAL << 4 | c.STT_FILE)
            if found >= 0:
                file = start + found
                break
            stop, step = start, min(2 * step, _AT_ONCE)
        self._file = file, max(index, seen)
        return file

    @cached_property
    def files(self) -> dict[bytes, int]:
        """Name of a file symbol -> how many have it."""
        found: dict[bytes, int] = {}
        infos, position = self._infos(0, len(self)), -1
        while (position := infos.find(c.STB_LOCAL << 4 | c.STT_FILE, position + 1)) >= 0:
            name = self.name(position)
            found[name] = found.get(name, 0) + 1
        return found

    @property
    def names_files(self) -> bool:
        """Whether a file symbol has a name; of a compiler's output the first one has."""
        return any(self.name(index) for index in self.indexes_of((c.STB_LOCAL << 4 | c.STT_FILE,)))

    def indexes_of(self, infos: Collection[int]) -> Iterator[int]:
        """Index of each symbol that has one of *infos* as st_info, ascending; no more is read than is asked for."""
        others = bytes(info not in infos for info in range(256))
        for start in range(0, len(self), _AT_ONCE):
            found = self._infos(start, min(start + _AT_ONCE, len(self))).translate(others)
            position = found.find(0)
            while position >= 0:
                yield start + position
                position = found.find(0, position + 1)

    def _infos(self, start: int, stop: int) -> bytes:
        """The st_info of each symbol from *start* up to *stop*."""
        return self.raw[SYM.size * start + _INFO : SYM.size * stop : SYM.size].tobytes()


class Dynamic(Row):
    """The dynamic table's entries that we use."""

    needed: tuple[str, ...]  # DT_NEEDED, in order
    soname: str | None
    tags: dict[int, int]  # DT_* -> value; of a repeated tag the last
    version_needs: dict[int, tuple[str, str]]  # version index -> (library, version name)
    version_definitions: dict[int, str]  # version index -> version name


class ElfFile:
    """An ELF64 little-endian AArch64 file.

    Raises:
        MalformedInput: the header or the section or program header table is broken or cut off.
        UnsupportedInput: another class, byte order or machine.
    """

    def __init__(self, data: Any, name: str) -> None:  # Any: Buffer has no name before Python 3.12
        self.view = View(data, name)
        self.name = name
        self.header = self._read_header()
        self.segments = self._read_segments()
        self.sections = self._read_sections()

    def _read_header(self) -> Ehdr:
        ident = bytes(self.view.bytes(0, 16, "the ELF identification"))
        if ident[c.EI_CLASS] == c.ELFCLASS32:
            raise UnsupportedInput(f"{self.name}: is a 32-bit ELF file; only 64-bit ARM is handled")
        if ident[c.EI_DATA] == c.ELFDATA2MSB:
            raise UnsupportedInput(f"{self.name}: is a big-endian ELF file; only little-endian ARM64 is handled")
        if ident[c.EI_CLASS] != c.ELFCLASS64 or ident[c.EI_DATA] != c.ELFDATA2LSB:
            raise MalformedInput(f"{self.name}: its ELF class or byte order is not one that exists")
        header = EHDR.read_from(self.view, 0, "the ELF header")
        if header.e_machine != c.EM_AARCH64:
            machine = c.MACHINE_NAMES.get(header.e_machine, f"machine {header.e_machine}")
            raise UnsupportedInput(f"{self.name}: is an ELF file for {machine}; only ARM64 is handled")
        return header

    def _read_segments(self) -> tuple[Phdr, ...]:
        header = self.header
        if not header.e_phoff:
            return ()
        if header.e_phentsize != PHDR.size and header.e_phnum:
            raise MalformedInput(f"{self.name}: e_phentsize is {header.e_phentsize}, not {PHDR.size}")
        count = header.e_phnum
        if count == c.PN_XNUM and header.e_shoff:
            count = SHDR.read_from(self.view, header.e_shoff, "section header 0").sh_info
        if count > MOST_SEGMENTS:
            raise MalformedInput(f"{self.name}: has {count} segments, of which loaders and linkers make a few")
        table = self.view.bytes(header.e_phoff, count * PHDR.size, "the program header table")
        return tuple(PHDR.read_all(table))

    def _read_sections(self) -> tuple[Section, ...]:
        header = self.header
        if not header.e_shoff:
            return ()
        if header.e_shentsize != SHDR.size:
            raise MalformedInput(f"{self.name}: e_shentsize is {header.e_shentsize}, not {SHDR.size}")
        first = SHDR.read_from(self.view, header.e_shoff, "section header 0")
        count = header.e_shnum or first.sh_size
        table = self.view.bytes(header.e_shoff, count * SHDR.size, "the section header table")
        headers = list(SHDR.read_all(table))
        names_index = first.sh_link if header.e_shstrndx == c.SHN_XINDEX else header.e_shstrndx
        names = memoryview(b"")
        if names_index:
            if names_index >= count:
                raise MalformedInput(f"{self.name}: e_shstrndx is {names_index}, but there are {count} sections")
            strings = headers[names_index]
            names = self.view.bytes(strings.sh_offset, strings.sh_size, "the section name table")
        table_of_names = StringTable(names, f"{self.name}: sections")
        size = len(table_of_names.content)  # cut out of a copy: objects have a section for each function
        starts = [shdr.sh_name for shdr in headers]
        if max(starts, default=0) < size:
            found = list(table_of_names.names(starts))
        else:
            found = [table_of_names.at(start) if start < size else b"" for start in starts]
        return tuple(map(Section, map(as_text, found), range(count), headers))

    # sections

    def section(self, name: str) -> Section | None:
        """The first section called *name*."""
        return next((section for section in self.sections if section.name == name), None)

    def section_of_type(self, sh_type: int) -> Section | None:
        """The first section of type *sh_type*."""
        return next((section for section in self.sections if section.header.sh_type == sh_type), None)

    def content(self, section: Section) -> memoryview:
        """The bytes of *section*; none for SHT_NOBITS."""
        if section.header.sh_type == c.SHT_NOBITS:
            return memoryview(b"")
        return self.view.bytes(section.header.sh_offset, section.header.sh_size, f"section {section.name}")

    def stored_size(self, section: Section) -> int:
        """The bytes that *section* has in the file, which has them all.

        Raises:
            MalformedInput: the file is shorter.
        """
        header = section.header
        if header.sh_type == c.SHT_NOBITS:
            return 0
        return header.sh_size if header.sh_offset + header.sh_size <= len(self.view) else len(self.content(section))

    def relocations(self) -> Iterator[tuple[Section, Relocations]]:
        """Every relocation section with its table."""
        return iter(self._relocation_tables) if self.header.e_type == c.ET_REL else self._read_relocations()

    def _read_relocations(self) -> Iterator[tuple[Section, Relocations]]:
        for section in self.sections:
            if section.header.sh_type == c.SHT_RELA:
                yield section, self.relocation_table(section)

    def relocation_table(self, section: Section) -> Relocations:
        """The relocations of *section*; those of an object are of symbols that it has.

        A linked file's may be of either table: who reads them asks the table.

        Raises:
            MalformedInput: they are not.
        """
        found = read_relocations(self.content(section))
        if self.header.e_type == c.ET_REL:
            most, known = max(found.symbol, default=0), 0 if self.symbols is None else len(self.symbols)
            if most >= known and most:
                raise MalformedInput(
                    f"{self.name}: a relocation of {section.name} is of symbol {most}, and there are {known}"
                )
        return found

    @cached_property
    def _relocation_tables(self) -> tuple[tuple[Section, Relocations], ...]:
        """Of an object, whose tables several phases ask for; a linked file's are the loader's, and large."""
        return tuple(self._read_relocations())

    def share_relocations(self, other: ElfFile, alike: Collection[int]) -> None:
        """Take the tables that *other*, an object, has read: of the sections *alike*, whose bytes are the same here."""
        known = {section.number: table for section, table in other.relocations() if section.number in alike}
        self._relocation_tables = tuple(
            (section, known.get(section.number) or self.relocation_table(section))
            for section in self.sections
            if section.header.sh_type == c.SHT_RELA
        )

    @cached_property
    def relocated(self) -> dict[int, list[Relocations]]:
        """Section of an object -> the tables that change it."""
        found: dict[int, list[Relocations]] = {}
        for section, table in self._relocation_tables:
            found.setdefault(section.header.sh_info, []).append(table)
        return found

    def relocations_of(self, target: Section) -> Iterator[tuple[Section, Relocations]]:
        """Every relocation section of an object that changes section *target*, with its table."""
        for section in self.sections:
            if section.header.sh_type == c.SHT_RELA and section.header.sh_info == target.number:
                yield section, self.relocation_table(section)

    def comdat_groups(self) -> Iterator[tuple[Section, Sequence[int]]]:
        """Each group of sections of which a linker keeps one where several objects have it, and the numbers in it.

        Raises:
            MalformedInput: it is of sections that the file has not, or no whole number of words.
        """
        for section in self.sections:
            if section.header.sh_type == c.SHT_GROUP:
                content, where = self.content(section), f"{self.name}: the group in section {section.number}"
                if len(content) % 4:
                    raise MalformedInput(f"{where} is not a whole number of section indexes")
                first, *held = column("I", content) or (0,)
                if first & c.GRP_COMDAT:
                    if max(held, default=0) >= len(self.sections):
                        raise MalformedInput(f"{where} has section {max(held)}, and there are {len(self.sections)}")
                    yield section, held

    def check_places(self) -> None:
        """See that an object has the sections that its symbols and relocations are of, aligned to powers of two.

        A linked file is not looked at.

        Raises:
            MalformedInput: it has not; ld.lld refuses such objects as well.
        """
        if self.header.e_type != c.ET_REL:
            return
        count, symbols = len(self.sections), self.symbols
        for section in self.sections:
            alignment = section.header.sh_addralign
            if alignment & alignment - 1:
                raise MalformedInput(f"{self.name}: {section.name} is aligned to {alignment}, which is no power of two")
            if section.header.sh_type == c.SHT_RELA and section.header.sh_info >= count:
                raise MalformedInput(
                    f"{self.name}: {section.name} changes section {section.header.sh_info}, and there are {count}"
                )
        if symbols is not None:
            reserved = (symbols.absolute, symbols.common)
            for home in sorted(set(symbols.st_shndx)):
                if home >= count and home not in reserved:
                    index = list(symbols.st_shndx).index(home)
                    name = as_text(symbols.name(index)) or f"symbol {index}"
                    raise MalformedInput(f"{self.name}: {name} is in section {home:#x}, and there are {count}")

    # symbols

    @cached_property
    def symbols(self) -> Symbols | None:
        """The full symbol table, ``.symtab``; None where the file is stripped."""
        section = self.section_of_type(c.SHT_SYMTAB)
        if section is None:
            return None
        return self._symbols(self.content(section), self._strings_of(section), section)

    @cached_property
    def dynamic_symbols(self) -> Symbols | None:
        """``.dynsym`` with its versions; also where section headers are stripped."""
        section = self.section_of_type(c.SHT_DYNSYM)
        if section is not None:
            versions = self.section_of_type(c.SHT_GNU_VERSYM)
            raw_versions = memoryview(b"") if versions is None else self.content(versions)
            raw = self.content(section)
            gnu_hash = self._gnu_hash(len(raw) // SYM.size)
            return self._symbols(raw, self._strings_of(section), section, raw_versions, gnu_hash)
        tags = self._dynamic_tags
        if c.DT_SYMTAB not in tags or c.DT_STRTAB not in tags:
            return None
        count = self._dynamic_symbol_count()
        raw_versions = (
            self.read_at(tags[c.DT_VERSYM], 2 * count, "DT_VERSYM") if c.DT_VERSYM in tags else memoryview(b"")
        )
        raw = self.read_at(tags[c.DT_SYMTAB], SYM.size * count, "DT_SYMTAB")
        gnu_hash = self._gnu_hash(count)
        return self._symbols(raw, memoryview(self._dynamic_strings), None, raw_versions, gnu_hash)

    def _gnu_hash(self, count: int) -> GnuHash | None:
        """The hash table of the *count* dynamic symbols, if there is a sound one."""
        start = self._dynamic_tags.get(c.DT_GNU_HASH)
        if start is None:
            return None
        nbuckets, symoffset, bloom_size, shift = column("I", self.read_at(start, 16, "DT_GNU_HASH"))
        if not nbuckets or not bloom_size or symoffset > count:
            return None
        bloom = self.read_at(start + 16, 8 * bloom_size, "DT_GNU_HASH's filter")
        buckets_at = start + 16 + 8 * bloom_size
        buckets = self.read_at(buckets_at, 4 * nbuckets, "DT_GNU_HASH buckets")
        chain_at = buckets_at + 4 * nbuckets
        hashed = count - symoffset
        chain = self.read_at(chain_at, 4 * hashed, "the DT_GNU_HASH chains") if hashed else memoryview(b"")
        return GnuHash(symoffset, column("Q", bloom), shift, column("I", buckets), column("I", chain))

    def _symbols(
        self,
        raw: memoryview,
        strings: memoryview,
        section: Section | None,
        raw_versions: memoryview | None = None,
        gnu_hash: GnuHash | None = None,
    ) -> Symbols:
        if len(raw) % SYM.size:
            raise MalformedInput(f"{self.name}: its symbol table is not a whole number of symbols")
        indexes: Sequence[int] = ()
        extended = self.section_of_type(c.SHT_SYMTAB_SHNDX)
        if section is not None and extended is not None and extended.header.sh_link == section.number:
            content = self.content(extended)
            if len(content) % 4:
                raise MalformedInput(f"{self.name}: .symtab_shndx is not a whole number of section indexes")
            indexes = column("I", content)
            if len(indexes) < len(raw) // SYM.size:
                raise MalformedInput(f"{self.name}: .symtab_shndx is shorter than the symbol table")
        if raw_versions is not None and len(raw_versions) % 2:
            raise MalformedInput(f"{self.name}: its symbol versions are not a whole number of entries")
        versions = column("H", raw_versions) if raw_versions else ()
        return Symbols(raw, StringTable(strings, self.name), indexes, versions, gnu_hash)

    def _strings_of(self, section: Section) -> memoryview:
        link = section.header.sh_link
        if not 0 < link < len(self.sections):
            raise MalformedInput(f"{self.name}: section {section.name} has no string table (sh_link is {link})")
        return self.content(self.sections[link])

    def _dynamic_symbol_count(self) -> int:
        """Number of dynamic symbols where no section header tells: from either hash table."""
        tags = self._dynamic_tags
        if c.DT_HASH in tags:
            return column("I", self.read_at(tags[c.DT_HASH], 8, "DT_HASH"))[1]
        if c.DT_GNU_HASH not in tags:
            raise MalformedInput(f"{self.name}: neither section headers nor a hash table count its symbols")
        start = tags[c.DT_GNU_HASH]
        nbuckets, symoffset, bloom_size, _ = column("I", self.read_at(start, 16, "DT_GNU_HASH"))
        buckets_at = start + 16 + 8 * bloom_size
        buckets = column("I", self.read_at(buckets_at, 4 * nbuckets, "DT_GNU_HASH buckets"))
        last = max(buckets, default=0)
        if last < symoffset:
            return symoffset
        first = buckets_at + 4 * nbuckets + 4 * (last - symoffset)
        offset = self.offset_of(first)
        if offset is None:
            raise MalformedInput(f"{self.name}: a DT_GNU_HASH chain is at address {first:#x}, which no segment holds")
        rest = self.view.data[offset:]
        for position, entry in enumerate(column("I", rest[: len(rest) // 4 * 4])):
            if entry & 1:
                return last + position + 1
        raise MalformedInput(f"{self.name}: a DT_GNU_HASH chain does not end")

    # the dynamic table

    @cached_property
    def dynamic(self) -> Dynamic | None:
        """The dynamic table; None for an object or a static executable."""
        raw = self._dynamic_raw
        if raw is None:
            return None
        entries = list(DYN.read_all(raw))
        tags = self._dynamic_tags

        def strings(*wanted: int) -> tuple[str, ...]:
            strings = StringTable(memoryview(self._dynamic_strings), f"{self.name}: the dynamic table")
            size = len(strings)
            found = (strings.at(value) if value < size else b"" for tag, value in entries if tag in wanted)
            return tuple(as_text(text) for text in found)

        return Dynamic(
            needed=strings(c.DT_NEEDED),
            soname=next(iter(strings(c.DT_SONAME)), None),
            tags=tags,
            version_needs=self._version_needs(),
            version_definitions=self._version_definitions(),
        )

    @cached_property
    def _dynamic_raw(self) -> memoryview | None:
        for segment in self.segments:
            if segment.p_type == c.PT_DYNAMIC and segment.p_filesz:  # none in GNU objcopy's debug files
                return self.view.bytes(segment.p_offset, segment.p_filesz, "the dynamic table")
        return None

    @cached_property
    def _dynamic_tags(self) -> dict[int, int]:
        tags: dict[int, int] = {}
        raw = self._dynamic_raw
        if raw is not None:
            for tag, value in DYN.read_all(raw):
                if tag == c.DT_NULL:
                    break
                tags[tag] = value
        return tags

    @cached_property
    def _dynamic_strings(self) -> bytes:
        tags = self._dynamic_tags
        if c.DT_STRTAB not in tags:
            return b""
        return bytes(self.read_at(tags[c.DT_STRTAB], tags.get(c.DT_STRSZ, 0), "DT_STRTAB"))

    def _version_needs(self) -> dict[int, tuple[str, str]]:
        tags, needs, budget = self._dynamic_tags, {}, self._record_budget(VERNAUX.size)
        start, count = tags.get(c.DT_VERNEED, 0), tags.get(c.DT_VERNEEDNUM, 0)
        for address, need in self._chain(VERNEED, start, count, "a version need", budget):
            library = self._dynamic_string(need.vn_file)
            first = address + need.vn_aux
            for _, entry in self._chain(VERNAUX, first, need.vn_cnt, "a version need's entry", budget):
                needs[entry.vna_other] = (library, self._dynamic_string(entry.vna_name))
        return needs

    def _version_definitions(self) -> dict[int, str]:
        tags, definitions, budget = self._dynamic_tags, {}, self._record_budget(VERDEF.size)
        start, count = tags.get(c.DT_VERDEF, 0), tags.get(c.DT_VERDEFNUM, 0)
        for address, definition in self._chain(VERDEF, start, count, "a version definition", budget):
            raw = self.read_at(address + definition.vd_aux, VERDAUX.size, "a version definition's entry")
            if not definition.vd_flags & c.VER_FLG_BASE:
                definitions[definition.vd_ndx] = self._dynamic_string(VERDAUX.read(raw).vda_name)
        return definitions

    def _record_budget(self, size: int) -> Iterator[int]:
        """One entry for each record of *size* bytes that the file has room for."""
        return iter(range(len(self.view) // size))

    def _chain(
        self, record: Record[RowT], address: int, count: int, what: str, budget: Iterator[int]
    ) -> Iterator[tuple[int, RowT]]:
        """At most *count* records with their addresses; the last field of each leads to the next one, or is 0."""
        for _ in range(count):
            if next(budget, None) is None:
                raise MalformedInput(f"{self.name}: {what} overlaps others: the chain of them is corrupt")
            row = record.read(self.read_at(address, record.size, what))
            yield address, row
            if not row[-1]:
                return
            address += row[-1]

    def _dynamic_string(self, offset: int) -> str:
        return as_text(string_at(self._dynamic_strings, offset))

    def dynamic_relocations(self) -> Iterator[Relocations]:
        """The tables that the dynamic loader applies: DT_RELA, DT_JMPREL, Android's packed ones and DT_RELR."""
        tags, what = self._dynamic_tags, "the dynamic relocations"
        for start, size in ((c.DT_RELA, c.DT_RELASZ), (c.DT_JMPREL, c.DT_PLTRELSZ)):
            if start in tags:
                length = tags.get(size, 0) // RELA.size * RELA.size
                yield read_relocations(self.read_at(tags[start], length, what))
        for start, size in ((c.DT_ANDROID_REL, c.DT_ANDROID_RELSZ), (c.DT_ANDROID_RELA, c.DT_ANDROID_RELASZ)):
            if start in tags:
                raw = self.read_at(tags[start], tags.get(size, 0), what)
                yield read_android_packed(raw, len(self.view), f"{self.name}: {what} packed for Android")
        for start, size in ((c.DT_RELR, c.DT_RELRSZ), (c.DT_ANDROID_RELR, c.DT_ANDROID_RELRSZ)):
            if start in tags:
                places = read_relr(self.read_at(tags[start], tags.get(size, 0), what))
                count = len(places)
                addends = [
                    int.from_bytes(self.read_at(place, 8, "what DT_RELR relocates"), "little") for place in places
                ]
                yield Relocations(places, [0] * count, [R_AARCH64_RELATIVE] * count, addends)

    def bound_names(self) -> set[bytes]:
        """The names that the dynamic loader looks up when it loads the file."""
        table = self.dynamic_symbols
        if table is None:
            return set()
        used = {symbol for relocations in self.dynamic_relocations() for symbol in relocations.symbol}
        return {table.name(symbol) for symbol in used if 0 < symbol < len(table)}

    # notes and segments

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Every note, from the note sections or, where those are stripped, the note segments."""
        regions = [(self.content(s), s.header.sh_addralign) for s in self.sections if s.header.sh_type == c.SHT_NOTE]
        if not regions:
            regions = [
                (self.view.bytes(s.p_offset, s.p_filesz, "a note segment"), s.p_align)
                for s in self.segments
                if s.p_type == c.PT_NOTE
            ]
        return tuple(note for raw, alignment in regions for note in self._notes_in(raw, max(alignment, 4)))

    def _notes_in(self, raw: memoryview, alignment: int) -> Iterator[Note]:
        view, position = View(raw, self.name), 0
        while position + NHDR.size <= len(raw):
            n_namesz, n_descsz, n_type = NHDR.read_from(view, position, "a note's header")
            owner_at = position + NHDR.size
            content_at = align_up(owner_at + n_namesz, alignment)
            owner = bytes(view.bytes(owner_at, n_namesz, "a note's name"))
            yield Note(owner.rstrip(b"\0"), n_type, view.bytes(content_at, n_descsz, "a note's content"))
            position = align_up(content_at + n_descsz, alignment)

    @cached_property
    def build_id(self) -> bytes | None:
        """The content of ``.note.gnu.build-id``."""
        for note in self.notes:
            if note.owner == b"GNU" and note.kind == c.NT_GNU_BUILD_ID:
                return bytes(note.content)
        return None

    @cached_property
    def features(self) -> int:
        """GNU_PROPERTY_AARCH64_FEATURE_1_* bits of ``.note.gnu.property``; 0 where there is none."""
        for note in self.notes:
            if note.owner == b"GNU" and note.kind == c.NT_GNU_PROPERTY_TYPE_0:
                position = 0
                while position + 8 <= len(note.content):
                    kind, size = column("I", note.content[position : position + 8])
                    if kind == c.GNU_PROPERTY_AARCH64_FEATURE_1_AND and size >= 4:
                        return int.from_bytes(note.content[position + 8 : position + 12], "little")
                    position += 8 + align_up(size, 8)
        return 0

    @cached_property
    def interpreter(self) -> str | None:
        """The dynamic loader that PT_INTERP names."""
        for segment in self.segments:
            if segment.p_type == c.PT_INTERP:
                raw = self.view.bytes(segment.p_offset, segment.p_filesz, "PT_INTERP")
                return as_text(string_at(raw, 0))
        return None

    def offset_of(self, address: int) -> int | None:
        """Byte offset in the file of virtual *address*; None where no segment holds it in the file."""
        for segment in self.segments:
            if segment.p_type == c.PT_LOAD and 0 <= address - segment.p_vaddr < segment.p_filesz:
                return address - segment.p_vaddr + segment.p_offset
        return None

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        """*size* bytes at virtual *address*."""
        offset = self.offset_of(address)
        if offset is None:
            raise MalformedInput(f"{self.name}: {what} is at address {address:#x}, which no segment holds")
        return self.view.bytes(offset, size, what)

    def executable_ranges(self) -> list[tuple[int, int]]:
        """First and one-past-last virtual address of each executable segment."""
        return [
            (segment.p_vaddr, segment.p_vaddr + segment.p_memsz)
            for segment in self.segments
            if segment.p_type == c.PT_LOAD and segment.p_flags & c.PF_X
        ]
