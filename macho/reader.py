"""Reads executables, dylibs, bundles and relocatable objects, also the ARM64 slice of a universal file.

Every read is bounded by the file and every structure that does not fit is reported with its name. What a
caller does not ask for is not read.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import compress, count
from operator import and_, or_

from stubgen.common.columns import column, field_column, octet_column
from stubgen.common.record import Record, RowT
from stubgen.common.row import Row
from stubgen.common.strings import StringTable, string_at
from stubgen.common.text import as_text
from stubgen.common.view import View, uleb128
from stubgen.errors import MalformedInput, UnsupportedInput
from stubgen.macho import constants as c
from stubgen.macho.records import (
    BUILD_VERSION_COMMAND,
    CHAINED_FIXUPS_HEADER,
    CHAINED_STARTS_IN_SEGMENT,
    CS_BLOB_INDEX,
    CS_CODE_DIRECTORY,
    CS_CODE_LIMIT_64,
    CS_SUPER_BLOB,
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
    ChainedFixupsHeader,
    DysymtabCommand,
    FatArch,
    FatArch64,
    MachHeader64,
    Nlist64,
    Section64,
    SegmentCommand64,
)
from stubgen.macho.relocations import ARM64_RELOC_ADDEND, Relocations, read_relocations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Section(Row):
    """A section: its names and its header."""

    name: str  # "__TEXT,__text"
    ordinal: int  # 1 for the first, as n_sect counts
    header: Section64


class Command(Row):
    """A load command."""

    cmd: int  # LC_*
    offset: int  # bytes from the header
    size: int  # bytes


class BuildVersion(Row):
    """What LC_BUILD_VERSION or LC_VERSION_MIN_* says."""

    platform: int  # PLATFORM_*
    minos: int  # xxxx.yy.zz in nibbles
    sdk: int  # xxxx.yy.zz in nibbles


class Dylib(Row):
    """A library that the file loads."""

    cmd: int  # LC_LOAD_DYLIB and its kin
    name: str


class CodeDirectory(Row):
    """The part of a code signature that has the hashes of the file's pages (CS_CodeDirectory)."""

    hash_type: int  # CS_HASHTYPE_*
    page_size: int  # bytes; 0: one page as long as the file
    limit: int  # bytes of the file, or slice, that are signed
    hashes: tuple[bytes, ...]  # one a page


_EXTERN = 1 << 27
"""Of ``r_word``: r_symbolnum is a symbol's index."""
_AT_ONCE = 4096
"""Symbols looked through at a time, where one of them may be enough."""


IN_SECTION = bytes(not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT for n_type in range(256))
"""n_type -> whether it is that of a symbol in a section."""
_UNDEFINED_EXTERNAL = bytes(
    not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_UNDF and bool(n_type & c.N_EXT) for n_type in range(256)
)


class Symbols:
    """A symbol table: a record where one is asked for, columns of equal length where all are."""

    def __init__(self, raw: memoryview, strings: StringTable) -> None:
        self.raw = raw
        """The table itself, ``nlist_64`` after ``nlist_64``."""
        self.strings = strings
        """The string table that n_strx points into."""

    def __len__(self) -> int:
        return len(self.raw) // NLIST_64.size

    def entry(self, index: int) -> Nlist64:
        """Symbol *index*.

        Raises:
            MalformedInput: the table has no such symbol, whatever a relocation says.
        """
        if index >= len(self):
            raise MalformedInput(f"{self.strings.where}: symbol {index} is asked for, and there are {len(self)}")
        return NLIST_64.read(self.raw, NLIST_64.size * index)

    @cached_property
    def n_strx(self) -> array[int]:
        """Byte offset into the strings."""
        return field_column("I", self.raw, NLIST_64.size, NLIST_64.offset("n_strx"))

    @cached_property
    def n_type(self) -> bytes:
        """N_STAB | N_PEXT | N_TYPE | N_EXT."""
        return octet_column(self.raw, NLIST_64.size, NLIST_64.offset("n_type"))

    @cached_property
    def n_sect(self) -> bytes:
        """Section ordinal; 0 = none."""
        return octet_column(self.raw, NLIST_64.size, NLIST_64.offset("n_sect"))

    @cached_property
    def n_desc(self) -> array[int]:
        """N_WEAK_*; library ordinal in the high byte."""
        return field_column("H", self.raw, NLIST_64.size, NLIST_64.offset("n_desc"))

    @cached_property
    def n_value(self) -> array[int]:
        """Virtual address."""
        return field_column("Q", self.raw, NLIST_64.size, NLIST_64.offset("n_value"))

    def ordinal(self, index: int) -> int:
        """The ordinal of the section in which symbol *index* is; 0 for a common, whatever its n_sect says."""
        return self.n_sect[index] if self.n_type[index] & c.N_TYPE == c.N_SECT else 0

    def with_commons(self, kinds: bytes) -> Iterator[int]:
        """Index of each symbol whose n_type is one of *kinds* (a flag for each of the 256), and of each common."""
        commons = map(and_, self.n_type.translate(_UNDEFINED_EXTERNAL), map(bool, self.n_value))
        return compress(count(), map(or_, self.n_type.translate(kinds), commons))

    def name(self, index: int) -> bytes:
        """The name of symbol *index*."""
        starts = self.__dict__.get("n_strx")  # the column, if somebody made it
        if starts is None or not 0 <= index < len(starts):
            return self.strings.at(self.entry(index).n_strx)
        return self.strings.at(starts[index])

    def names(self) -> Iterator[bytes]:
        """All names, in the table's order."""
        return self.strings.names(self.n_strx)

    def find_indexes(self, wanted: Collection[bytes], markers: Sequence[bytes]) -> Iterator[int]:
        """Index of each symbol whose name is in *wanted* or has one of *markers* in it, ascending."""
        return self.strings.find(self.n_strx, wanted, markers)

    def indexes_of(self, types: Collection[int]) -> Iterator[int]:
        """Index of each symbol that has one of *types* as n_type, ascending; no more is read than is asked for."""
        others, size, at = bytes(n_type not in types for n_type in range(256)), NLIST_64.size, NLIST_64.offset("n_type")
        for start in range(0, len(self), _AT_ONCE):
            found = self.raw[size * start + at : size * (start + _AT_ONCE) : size].tobytes().translate(others)
            position = found.find(0)
            while position >= 0:
                yield start + position
                position = found.find(0, position + 1)


class MachOFile:
    """A 64-bit little-endian ARM64 Mach-O file, or that slice of a universal file.

    Raises:
        MalformedInput: the header or the load commands are broken or cut off.
        UnsupportedInput: another CPU, or arm64e, whose pointers are signed.
    """

    def __init__(self, data: Any, name: str) -> None:  # Any: Buffer has no name before Python 3.12
        self.name = name
        self.view = thin(View(data, name))
        self.header = self._read_header()
        self.commands = self._read_commands()
        self.segments, self.sections = self._read_segments()

    def _read_header(self) -> MachHeader64:
        magic = int.from_bytes(self.view.bytes(0, 4, "the Mach-O magic"), "little")
        if magic in (c.MH_MAGIC, c.MH_CIGAM):
            raise UnsupportedInput(f"{self.name}: is a 32-bit Mach-O file; only 64-bit ARM is handled")
        if magic == c.MH_CIGAM_64:
            raise UnsupportedInput(f"{self.name}: is a big-endian Mach-O file; only little-endian ARM64 is handled")
        header = MACH_HEADER_64.read_from(self.view, 0, "the Mach-O header")
        _check_cpu(header.cputype, header.cpusubtype, self.name)
        return header

    def _read_commands(self) -> tuple[Command, ...]:
        commands, position = [], MACH_HEADER_64.size
        end = position + self.header.sizeofcmds
        self.view.bytes(position, self.header.sizeofcmds, "the load commands")
        for number in range(self.header.ncmds):
            cmd, size = LOAD_COMMAND.read_from(self.view, position, f"load command {number}")
            if size < LOAD_COMMAND.size or position + size > end:
                raise MalformedInput(f"{self.name}: load command {number} is {size} bytes, beyond sizeofcmds")
            commands.append(Command(cmd, position, size))
            position += size
        return tuple(commands)

    def _read_segments(self) -> tuple[tuple[SegmentCommand64, ...], tuple[Section, ...]]:
        segments: list[SegmentCommand64] = []
        sections: list[Section] = []
        for command in self.commands:
            if command.cmd != c.LC_SEGMENT_64:
                continue
            segment = self.read_command(SEGMENT_COMMAND_64, command, "a segment command")
            segments.append(segment)
            if SEGMENT_COMMAND_64.size + segment.nsects * SECTION_64.size > command.size:
                raise MalformedInput(f"{self.name}: segment {_text(segment.segname)} is too short for its sections")
            for number in range(segment.nsects):
                at = command.offset + SEGMENT_COMMAND_64.size + number * SECTION_64.size
                header = SECTION_64.read_from(self.view, at, "a section header")
                title = f"{_text(header.segname)},{_text(header.sectname)}"
                sections.append(Section(title, len(sections) + 1, header))
        return tuple(segments), tuple(sections)

    # sections

    def section(self, name: str) -> Section | None:
        """The first section called *name*, as ``segment,section``."""
        return next((section for section in self.sections if section.name == name), None)

    def content(self, section: Section) -> memoryview:
        """The bytes of *section*; none for a zero-fill section."""
        if section.header.flags & c.SECTION_TYPE in c.ZEROFILL_TYPES:
            return memoryview(b"")
        return self.view.bytes(section.header.offset, section.header.size, f"section {section.name}")

    def relocations(self) -> Iterator[tuple[Section, Relocations]]:
        """Every section of an object that has relocations with its table.

        A linked file's are in the tables of LC_DYSYMTAB (<mach-o/loader.h>, ``struct dysymtab_command``), and what the
        headers of its sections say of others is nobody's.
        """
        return iter(self._relocation_tables)

    @cached_property
    def _relocation_tables(self) -> tuple[tuple[Section, Relocations], ...]:
        """Read once: several phases ask for them."""
        return tuple(self._read_relocations()) if self.header.filetype == c.MH_OBJECT else ()

    def _read_relocations(self) -> Iterator[tuple[Section, Relocations]]:
        for section in self.sections:
            if section.header.nreloc:
                size = section.header.nreloc * RELOCATION_INFO.size
                raw = self.view.bytes(section.header.reloff, size, f"the relocations of {section.name}")
                yield section, read_relocations(raw)

    def check_places(self) -> None:
        """See that an object has the sections and symbols that its symbols and relocations are of.

        And that its sections lie where linkers take them. A linked file is not looked at.

        Raises:
            MalformedInput: it has not.
        """
        if self.header.filetype != c.MH_OBJECT:
            return
        for section in self.sections:
            header, where = section.header, f"{self.name}: {section.name}"
            if header.align > c.MAX_SECTION_ALIGN:
                raise MalformedInput(f"{where} is aligned to 2^{header.align}; linkers take 2^{c.MAX_SECTION_ALIGN}")
            if header.addr + header.size >= 1 << 64:
                raise MalformedInput(f"{where} ends beyond the last address")
        symbols = self.symbols
        types = b"" if symbols is None else symbols.n_type
        kinds = {
            section.name: self._checked_kinds(f"{self.name}: a relocation of {section.name}", table.r_word, types)
            for section, table in self.relocations()
        }
        if symbols is not None:
            self._check_homes(symbols)
        for name, found in kinds.items():
            if any(n_type & c.N_STAB for n_type in found):
                raise MalformedInput(f"{self.name}: a relocation of {name} is of a debugger's entry")

    def _checked_kinds(self, where: str, r_words: Sequence[int], types: bytes) -> set[int]:
        """The n_type of each symbol that relocations of *r_words* are of; *types* has those of all."""
        named = {word & 0xFFFFFF for word in r_words if word & _EXTERN}
        try:
            kinds = set(map(types.__getitem__, named))
        except IndexError:
            raise MalformedInput(f"{where} is of symbol {max(named)}, and there are {len(types)}") from None
        others = {word for word in r_words if not word & _EXTERN}
        homes = (word & 0xFFFFFF for word in others if word >> 28 != ARM64_RELOC_ADDEND)  # which has what is added
        most, count = max(homes, default=0), len(self.sections)  # R_ABS is 0
        if most > count:
            raise MalformedInput(f"{where} is of section {most}, and there are {count}")
        return kinds

    def _check_homes(self, symbols: Symbols) -> None:
        count = len(self.sections)
        for n_type, home in sorted(set(zip(symbols.n_type, symbols.n_sect, strict=True))):
            if n_type & (c.N_STAB | c.N_TYPE) == c.N_SECT and not 0 < home <= count:
                index = list(zip(symbols.n_type, symbols.n_sect, strict=True)).index((n_type, home))
                name = as_text(symbols.name(index)) or f"symbol {index}"
                raise MalformedInput(f"{self.name}: {name} is in section {home}, and there are {count}")

    # symbols

    @cached_property
    def symbols(self) -> Symbols | None:
        """The symbol table; None where the file has none."""
        command = self._command(c.LC_SYMTAB)
        if command is None:
            return None
        symtab = self.read_command(SYMTAB_COMMAND, command, "LC_SYMTAB")
        raw = self.view.bytes(symtab.symoff, symtab.nsyms * NLIST_64.size, "the symbol table")
        strings = self.view.bytes(symtab.stroff, symtab.strsize, "the string table")
        return Symbols(raw, StringTable(strings, self.name))

    @cached_property
    def dysymtab(self) -> DysymtabCommand | None:
        """LC_DYSYMTAB: which symbols are local, which external definitions, which undefined."""
        command = self._command(c.LC_DYSYMTAB)
        return None if command is None else self.read_command(DYSYMTAB_COMMAND, command, "LC_DYSYMTAB")

    def indirect_places(self, kind: int) -> dict[int, int]:
        """Symbol -> virtual address of what the linker made for it in a section of type *kind*: a GOT word, a stub."""
        found: dict[int, int] = {}
        table = self.dysymtab
        if table is None:
            return found
        symbols = column(
            "I", self.view.bytes(table.indirectsymoff, 4 * table.nindirectsyms, "the indirect symbol table")
        )
        for section in self.sections:
            header = section.header
            size = header.reserved2 if kind == c.S_SYMBOL_STUBS else 8
            if header.flags & c.SECTION_TYPE == kind and size:
                first = header.reserved1
                for number, symbol in enumerate(symbols[first : first + header.size // size]):
                    if not symbol & (c.INDIRECT_SYMBOL_LOCAL | c.INDIRECT_SYMBOL_ABS):
                        found[symbol] = header.addr + size * number
        return found

    # what the loader looks up

    def bound_names(self) -> set[bytes]:
        """The names that dyld looks up when it loads the file: binds, weak and lazy binds, chained imports."""
        names: set[bytes] = set()
        for command in self.commands:
            if command.cmd in (c.LC_DYLD_INFO, c.LC_DYLD_INFO_ONLY):
                info = self.read_command(DYLD_INFO_COMMAND, command, "LC_DYLD_INFO")
                for offset, size in (
                    (info.bind_off, info.bind_size),
                    (info.weak_bind_off, info.weak_bind_size),
                    (info.lazy_bind_off, info.lazy_bind_size),
                ):
                    names |= self._names_in_opcodes(bytes(self.view.bytes(offset, size, "the binding opcodes")))
            elif command.cmd == c.LC_DYLD_CHAINED_FIXUPS:
                chains = self.read_command(LINKEDIT_DATA_COMMAND, command, "LC_DYLD_CHAINED_FIXUPS")
                names |= self._names_in_chains(self.view.slice(chains.dataoff, chains.datasize, "the chained fixups"))
        return names

    def weakly_bound_names(self) -> set[bytes]:
        """Those of them that dyld takes from whichever image has a weak definition of the name first."""
        names: set[bytes] = set()
        for command in self.commands:
            if command.cmd in (c.LC_DYLD_INFO, c.LC_DYLD_INFO_ONLY):
                info = self.read_command(DYLD_INFO_COMMAND, command, "LC_DYLD_INFO")
                raw = self.view.bytes(info.weak_bind_off, info.weak_bind_size, "the binding opcodes")
                names |= self._names_in_opcodes(bytes(raw))
            elif command.cmd == c.LC_DYLD_CHAINED_FIXUPS:
                chains = self.read_command(LINKEDIT_DATA_COMMAND, command, "LC_DYLD_CHAINED_FIXUPS")
                view = self.view.slice(chains.dataoff, chains.datasize, "the chained fixups")
                names |= self._names_in_chains(view, c.BIND_SPECIAL_DYLIB_WEAK_LOOKUP)
        return names

    def _names_in_opcodes(self, raw: bytes) -> set[bytes]:
        names: set[bytes] = set()
        position, where = 0, f"{self.name}: the binding opcodes"
        while position < len(raw):
            operation, immediate = raw[position] & 0xF0, raw[position] & 0x0F
            position += 1
            if operation == c.BIND_OPCODE_SET_SYMBOL_TRAILING_FLAGS_IMM:
                name = string_at(raw, position)
                position += len(name) + 1
                if not immediate & c.BIND_SYMBOL_FLAGS_NON_WEAK_DEFINITION:
                    names.add(name)
            threaded = operation == c.BIND_OPCODE_THREADED and not immediate
            for _ in range(1 if threaded else c.BIND_OPERAND_COUNTS.get(operation, 0)):
                _, position = uleb128(raw, position, where)
        return names

    def _names_in_chains(self, view: View, ordinal: int | None = None) -> set[bytes]:
        """The imports of chained fixups; with *ordinal* those from that library alone."""
        header = self.chains_header(view)
        size, shift, mask = c.CHAINED_IMPORT_FORMATS[header.imports_format]
        strings = view.bytes(header.symbols_offset, len(view) - header.symbols_offset, "the chained fixups' names")
        raw = view.bytes(header.imports_offset, size * header.imports_count, "the chained fixups' imports")
        width = min(size, 8)
        words = (int.from_bytes(raw[at : at + width], "little") for at in range(0, len(raw), size))
        limit = 1 << (16 if shift > 16 else 8)  # lib_ordinal: the lowest bits of each import
        wanted = None if ordinal is None else ordinal % limit
        table = StringTable(strings, f"{self.name}: the chained fixups")
        starts = (word >> shift & mask for word in words if wanted in (None, word % limit))
        return {table.at(start) if start < len(table) else b"" for start in starts}

    def chains_header(self, view: View) -> ChainedFixupsHeader:
        """The header of the chained fixups in *view*, whose imports are of a known form.

        Raises:
            UnsupportedInput: they are not.
        """
        header = CHAINED_FIXUPS_HEADER.read_from(view, 0, "their header")
        if header.imports_format not in c.CHAINED_IMPORT_FORMATS or header.symbols_format:
            raise UnsupportedInput(
                f"{self.name}: its chained fixups have import format {header.imports_format}, which is not known"
            )
        return header

    # load commands

    @cached_property
    def dylibs(self) -> tuple[Dylib, ...]:
        """The libraries that the file loads, in the order that the two-level ordinals count."""
        return tuple(
            Dylib(command.cmd, self._dylib_name(command))
            for command in self.commands
            if command.cmd in c.LOAD_DYLIB_COMMANDS
        )

    @cached_property
    def install_name(self) -> str | None:
        """LC_ID_DYLIB's name."""
        command = self._command(c.LC_ID_DYLIB)
        return None if command is None else self._dylib_name(command)

    @cached_property
    def build_id(self) -> bytes | None:
        """LC_UUID's 16 bytes."""
        command = self._command(c.LC_UUID)
        return None if command is None else self.read_command(UUID_COMMAND, command, "LC_UUID").uuid

    @cached_property
    def build_version(self) -> BuildVersion | None:
        """Platform and minimum OS."""
        for command in self.commands:
            if command.cmd == c.LC_BUILD_VERSION:
                version = self.read_command(BUILD_VERSION_COMMAND, command, "LC_BUILD_VERSION")
                return BuildVersion(version.platform, version.minos, version.sdk)
            if command.cmd in c.VERSION_MIN_PLATFORMS:
                minimum = self.read_command(VERSION_MIN_COMMAND, command, "LC_VERSION_MIN")
                return BuildVersion(c.VERSION_MIN_PLATFORMS[command.cmd], minimum.version, minimum.sdk)
        return None

    @cached_property
    def code_directories(self) -> tuple[CodeDirectory, ...] | None:
        """What LC_CODE_SIGNATURE signs; None where there is no signature."""
        command = self._command(c.LC_CODE_SIGNATURE)
        if command is None:
            return None
        place = self.read_command(LINKEDIT_DATA_COMMAND, command, "LC_CODE_SIGNATURE")
        view = self.view.slice(place.dataoff, place.datasize, "the code signature")
        blob = CS_SUPER_BLOB.read_from(view, 0, "the code signature's header")
        if blob.magic != c.CSMAGIC_EMBEDDED_SIGNATURE:
            raise MalformedInput(f"{self.name}: its code signature begins with {blob.magic:#x}, which is none")
        found = []
        for number in range(blob.entries):
            at = CS_SUPER_BLOB.size + number * CS_BLOB_INDEX.size
            start = CS_BLOB_INDEX.read_from(view, at, "the code signature's index").offset
            magic = bytes(view.bytes(start, 4, "a blob of the code signature"))
            if magic == c.CSMAGIC_CODEDIRECTORY.to_bytes(4, "big"):
                found.append(_code_directory(view, start))
        return tuple(found)

    def _command(self, cmd: int) -> Command | None:
        return next((command for command in self.commands if command.cmd == cmd), None)

    def read_command(self, record: Record[RowT], command: Command, what: str) -> RowT:
        """The fields of *command*; *what* names it in the complaint.

        Raises:
            MalformedInput: the command is shorter than the record.
        """
        if command.size < record.size:
            raise MalformedInput(f"{self.name}: {what} is {command.size} bytes, shorter than {record.size}")
        return record.read_from(self.view, command.offset, what)

    def _dylib_name(self, command: Command) -> str:
        return self._string(
            command, self.read_command(DYLIB_COMMAND, command, "a dylib command").name, "a dylib command"
        )

    def _string(self, command: Command, start: int, what: str) -> str:
        if start >= command.size:
            raise MalformedInput(f"{self.name}: the name of {what} lies beyond the command's end")
        return _text(self.view.bytes(command.offset + start, command.size - start, what))

    def offset_of(self, address: int) -> int | None:
        """Byte offset in the slice of virtual *address*; None where no segment holds it in the file."""
        for segment in self.segments:
            if 0 <= address - segment.vmaddr < segment.filesize:
                return int(address - segment.vmaddr + segment.fileoff)
        return None

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        """*size* bytes at virtual *address*."""
        offset = self.offset_of(address)
        if offset is None:
            raise MalformedInput(f"{self.name}: {what} is at address {address:#x}, which no segment holds")
        return self.view.bytes(offset, size, what)

    def memory_at(self, address: int, size: int) -> bytes | None:
        """*size* bytes as dyld maps them at virtual *address*, zeroes of the file's end included; None outside."""
        for segment in self.segments:
            start = address - segment.vmaddr
            if start >= 0 and start + size <= segment.vmsize:
                held = max(min(size, segment.filesize - start), 0)
                raw = self.view.bytes(segment.fileoff + start, held, "a segment") if held else b""
                return bytes(raw).ljust(size, b"\0")
        return None

    @cached_property
    def base_address(self) -> int:
        """Virtual address of the header."""
        return next((s.vmaddr for s in self.segments if s.filesize and not s.fileoff), 0)

    @cached_property
    def pointer_formats(self) -> dict[int, int] | None:
        """Virtual address of each segment with chained fixups -> DYLD_CHAINED_PTR_*; None where there are no chains."""
        command = self._command(c.LC_DYLD_CHAINED_FIXUPS)
        if command is None:
            return None
        place = self.read_command(LINKEDIT_DATA_COMMAND, command, "LC_DYLD_CHAINED_FIXUPS")
        view = self.view.slice(place.dataoff, place.datasize, "the chained fixups")
        start = CHAINED_FIXUPS_HEADER.read_from(view, 0, "their header").starts_offset
        count = int.from_bytes(view.bytes(start, 4, "the chained starts"), "little")
        raw = view.bytes(start + 4, 4 * count, "the chained starts")
        found = {}
        for number in range(min(count, len(self.segments))):
            offset = int.from_bytes(raw[4 * number : 4 * number + 4], "little")
            if offset:
                starts = CHAINED_STARTS_IN_SEGMENT.read_from(view, start + offset, "the chained starts of a segment")
                found[self.segments[number].vmaddr] = starts.pointer_format
        return found

    def pointer_at(self, address: int) -> int | None:
        """What dyld leaves, less the slide, in the pointer at virtual *address* of a linked image.

        None where it looks a name up instead, and where the form is not known.
        """
        raw = self.memory_at(address, 8)
        if raw is None:
            return None
        word, formats = int.from_bytes(raw, "little"), self.pointer_formats
        home = next((s.vmaddr for s in self.segments if 0 <= address - s.vmaddr < s.vmsize), 0)
        if formats is None or home not in formats:
            return word or None  # a rebase: the address itself; where a name is bound, linkers write zeroes
        if word & c.CHAINED_POINTER_BIND or formats[home] not in (
            c.DYLD_CHAINED_PTR_64,
            c.DYLD_CHAINED_PTR_64_OFFSET,
        ):
            return None
        target = word & c.CHAINED_POINTER_TARGET
        return target + (self.base_address if formats[home] == c.DYLD_CHAINED_PTR_64_OFFSET else 0)

    def section_at(self, address: int) -> Section | None:
        """The section that virtual *address* of a linked image lies in."""
        return next((s for s in self.sections if 0 <= address - s.header.addr < s.header.size), None)

    def function_starts(self) -> set[int] | None:
        """Virtual addresses of all functions of a linked image, by LC_FUNCTION_STARTS; None where it has none."""
        command = self._command(c.LC_FUNCTION_STARTS)
        if command is None:
            return None
        place = self.read_command(LINKEDIT_DATA_COMMAND, command, "LC_FUNCTION_STARTS")
        raw = bytes(self.view.bytes(place.dataoff, place.datasize, "the function starts"))
        found, address, position = set(), self.base_address, 0
        while position < len(raw):
            distance, position = uleb128(raw, position, f"{self.name}: the function starts")
            if not distance:
                break
            address += distance
            found.add(address)
        return found

    def hints(self) -> list[tuple[int, list[int]]]:
        """The linker optimisation hints: LOH_ARM64_*, and the virtual addresses of the instructions it is about."""
        command = self._command(c.LC_LINKER_OPTIMIZATION_HINT)
        if command is None:
            return []
        place = self.read_command(LINKEDIT_DATA_COMMAND, command, "LC_LINKER_OPTIMIZATION_HINT")
        raw = bytes(self.view.bytes(place.dataoff, place.datasize, "the linker optimisation hints"))
        where = f"{self.name}: linker optimisation hints"
        return [(encoded[0], addresses) for encoded, addresses in optimisation_hints(raw, where)]

    def executable_ranges(self) -> list[tuple[int, int]]:
        """First and one-past-last virtual address of each executable segment."""
        return [
            (segment.vmaddr, segment.vmaddr + segment.vmsize)
            for segment in self.segments
            if segment.initprot & c.VM_PROT_EXECUTE
        ]


def _code_directory(view: View, start: int) -> CodeDirectory:
    """The code directory at byte *start* of a code signature."""
    what = "a code directory"
    header = CS_CODE_DIRECTORY.read_from(view, start, what)
    limit, width = header.codeLimit, header.hashSize
    if header.version >= c.CS_SUPPORTSCODELIMIT64:
        limit = CS_CODE_LIMIT_64.read_from(view, start + 56, what).codeLimit64 or limit
    raw = bytes(view.bytes(start + header.hashOffset, header.nCodeSlots * width, f"the hashes of {what}"))
    hashes = tuple(raw[at : at + width] for at in range(0, len(raw), max(width, 1)))
    return CodeDirectory(header.hashType, 1 << header.pageSize if 0 < header.pageSize < 32 else 0, limit, hashes)


def thin(view: View) -> View:
    """The ARM64 slice of a universal file; a thin file as it is.

    Raises:
        MalformedInput: the universal header is broken or cut off.
        UnsupportedInput: there is no such slice; the message says which there are.
    """
    magic = int.from_bytes(view.bytes(0, 4, "the Mach-O magic"), "big")
    if magic not in (c.FAT_MAGIC, c.FAT_MAGIC_64):
        return view
    slices = _slices(view, FAT_ARCH if magic == c.FAT_MAGIC else FAT_ARCH_64)
    arm64 = [s for s in slices if s.cputype == c.CPU_TYPE_ARM64]
    plain = [s for s in arm64 if s.cpusubtype & ~c.CPU_SUBTYPE_MASK != c.CPU_SUBTYPE_ARM64E]
    if not arm64:
        held = ", ".join(c.CPU_NAMES.get(s.cputype, f"CPU {s.cputype:#x}") for s in slices) or "nothing"
        raise UnsupportedInput(f"{view.name}: is a universal file without an ARM64 slice (it holds {held})")
    chosen = (plain or arm64)[0]
    return view.slice(chosen.offset, chosen.size, "the ARM64 slice")


def _slices(view: View, record: Record[FatArch] | Record[FatArch64]) -> list[FatArch | FatArch64]:
    """The slices of a universal file; lipo knows fewer than 64 CPUs, so a larger count is corrupt."""
    count = FAT_HEADER.read_from(view, 0, "the universal header").nfat_arch
    return [
        record.read_from(view, FAT_HEADER.size + number * record.size, f"universal slice {number}")
        for number in range(min(count, 64))
    ]


def _check_cpu(cputype: int, cpusubtype: int, name: str) -> None:
    if cputype != c.CPU_TYPE_ARM64:
        cpu = c.CPU_NAMES.get(cputype, f"CPU {cputype:#x}")
        raise UnsupportedInput(f"{name}: is a Mach-O file for {cpu}; only ARM64 is handled")
    if cpusubtype & ~c.CPU_SUBTYPE_MASK == c.CPU_SUBTYPE_ARM64E:
        raise UnsupportedInput(f"{name}: is arm64e, whose function pointers are signed; build host and patch for arm64")


def _text(raw: bytes | memoryview) -> str:
    """A NUL-padded name."""
    return as_text(bytes(raw).split(b"\0", 1)[0])


def optimisation_hints(raw: bytes, where: str) -> Iterator[tuple[bytes, list[int]]]:
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
