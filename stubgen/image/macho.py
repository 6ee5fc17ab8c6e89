"""A Mach-O file in the phases' vocabulary. Twin of ``image.elf``."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress, count
from operator import and_

from stubgen.common.code_digest import code_digest
from stubgen.common.text import as_text
from stubgen.errors import InputError, UnsupportedInput
from stubgen.image import (
    COMMONS,
    Candidate,
    Code,
    Content,
    FileType,
    Found,
    FunctionSymbol,
    Image,
    Import,
    Kind,
    NamedObject,
    Reach,
    References,
    Variable,
    Word,
    common_place,
    names_llvm,
    weak_alone,
)
from stubgen.macho import constants as c
from stubgen.macho.identity import code_ranges
from stubgen.macho.reader import IN_SECTION, MachOFile, Section, Symbols
from stubgen.macho.records import Nlist64
from stubgen.macho.relocations import ARM64_RELOC_UNSIGNED, r_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stubgen.image.sole import SoleFunctions
    from stubgen.image.static_code import StaticCode
    from stubgen.image.variables_macho import MachOVariables
    from stubgen.macho.fixups import Fixups

_SYMBOLS = bytes(not n_type & c.N_STAB for n_type in range(256))
"""n_type -> whether it is a symbol's, and not a debugger's entry's."""
_UNDEFINED = bytes(not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_UNDF for n_type in range(256))
"""n_type -> whether it is that of an undefined symbol, or of a common, external or not."""
_DEFINED_HERE = frozenset(n_type for n_type in range(256) if IN_SECTION[n_type])
"""The n_type of what lies in a section."""
_STATIC = frozenset(n_type for n_type in range(256) if IN_SECTION[n_type] and not n_type & (c.N_EXT | c.N_PEXT))
"""The n_type of what lies in a section and one file alone sees."""
_DEFINED = bytes(
    not n_type & c.N_STAB and n_type & c.N_EXT and n_type & c.N_TYPE in (c.N_SECT, c.N_ABS, c.N_INDR)
    for n_type in range(256)
)
"""n_type -> whether it is that of something that an object defines for others; commons are not among them."""
_SEEN, _LOCAL = (
    bytes(n_type & c.N_TYPE == c.N_SECT and bool(n_type & (c.N_EXT | c.N_PEXT)) is seen for n_type in range(256))
    for seen in (True, False)
)
"""n_type -> whether it is of something in a section that all files see; and that one file alone does."""
_LANGUAGES = (b"__Z", b"__R", b"_$s", b"_$S", b"___clang_call_terminate", b"___swift_", b"_symbolic ", *c.OBJECTIVE_C)
"""How weak definitions are called that compilers emit in each object that uses them: Mach-O has no COMDAT groups."""


_TEMPLATES = frozenset({c.S_THREAD_LOCAL_REGULAR, c.S_THREAD_LOCAL_ZEROFILL})
"""Sections of what thread-locals begin with."""
_LIBRARIES = frozenset({c.MH_DYLIB, c.MH_BUNDLE})
"""Files whose weak definitions may give way to another image's; a program's come first."""


class MachOImage(Image):
    """A Mach-O file in the phases' vocabulary."""

    format = "macho"
    page_size = 16384  # Apple's ARM64 kernels

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(name)

        self.file: MachOFile = MachOFile(data, name)
        self._debug_file: MachOImage | None = None
        self._symbol_file: MachOImage | None = None
        self.build_version = self.file.build_version
        self._file_types = {
            c.MH_OBJECT: FileType.OBJECT,
            c.MH_EXECUTE: FileType.EXECUTABLE,
            c.MH_DYLIB: FileType.LIBRARY,
            c.MH_BUNDLE: FileType.BUNDLE,
        }

    @property
    def file_type(self) -> FileType:
        filetype = self.file.header.filetype
        if filetype not in self._file_types:
            kind = {c.MH_DSYM: "a dSYM", c.MH_DYLIB_STUB: "a dylib stub"}.get(
                filetype, f"a Mach-O file of type {filetype}"
            )
            raise UnsupportedInput(f"{self.name}: is {kind}, neither a program nor an object")
        return self._file_types[filetype]

    @property
    def build_id(self) -> bytes | None:
        return self.file.build_id

    @property
    def code_digest(self) -> bytes | None:
        data = self.file.view.data

        def read(offset: int, size: int) -> bytes:
            return bytes(data[offset : offset + size])

        return code_digest(code_ranges(read), read)

    def notes_of(self, owner: bytes, kind: int, section: str) -> list[memoryview]:
        return [self.file.content(each) for each in self.file.sections if each.name == section]

    @property
    def install_name(self) -> str | None:
        return self.file.install_name

    @property
    def needed_libraries(self) -> tuple[str, ...]:
        return tuple(dylib.name for dylib in self.file.dylibs)

    @property
    def position_independent(self) -> bool:
        return self.file_type is not FileType.EXECUTABLE or bool(self.file.header.flags & c.MH_PIE)

    @property
    def has_symbols(self) -> bool:
        return self.file.symbols is not None and len(self.file.symbols) > 0

    @property
    def has_full_symbols(self) -> bool:
        """``strip`` leaves a program what dyld looks up, and its header's name."""
        table, header = self.file.symbols, b"__mh_execute_header"
        return table is not None and any(
            not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT and table.name(index) != header
            for index, n_type in enumerate(table.n_type)
        )

    @property
    def symbol_tables(self) -> list[Symbols]:
        tables = [table for table in (self._symbols, self.file.symbols) if table is not None]
        return tables if len(tables) > 1 and tables[0] is not tables[1] else tables[:1]

    def candidates(self, number: int, indexes: Iterable[int], keep: Callable[[bytes], bool]) -> Iterator[Candidate]:
        table = self.symbol_tables[number]
        for index in indexes:
            symbol = table.entry(index)
            name = table.strings.at(symbol.n_strx)
            candidate = self._candidate(symbol, name) if keep(name) else None
            if candidate is not None:
                yield candidate

    def _candidate(self, symbol: Nlist64, name: bytes) -> Candidate | None:
        n_type, address, n_sect = symbol.n_type, symbol.n_value, symbol.n_sect
        if n_type & c.N_STAB or not name:
            return None
        local = not n_type & c.N_EXT and not n_type & c.N_PEXT
        where = n_type & c.N_TYPE
        if where in (c.N_UNDF, c.N_PBUD, c.N_INDR):
            return Candidate(name, 0, Kind.IMPORT, False, 0, "")
        if where == c.N_ABS:
            return Candidate(name, address, Kind.ABSOLUTE, local, 0, "") if address else None
        if not 0 < n_sect <= len(self.file.sections) or address == 0:
            return None
        section, kind = self.file.sections[n_sect - 1], self.kind_in(n_sect)
        exported = bool(n_type & c.N_EXT) and not n_type & c.N_PEXT
        file = self._source_files.get((name, address), b"") if local and kind is not Kind.FUNCTION else b""
        writable = kind is not Kind.DATA or self._is_writable[n_sect - 1]
        return Candidate(
            name,
            address,
            kind,
            local,
            0,
            section.name,
            exported=exported,
            file=file,
            writable=writable,
            weak=bool(symbol.n_desc & c.N_WEAK_DEF),
            replaceable=exported and bool(symbol.n_desc & c.N_WEAK_DEF) and self.file.header.filetype in _LIBRARIES,
        )

    def kind_in(self, n_sect: int) -> Kind:
        """What a symbol in section *n_sect*, counted from 1, is."""
        flags = self.file.sections[n_sect - 1].header.flags
        if flags & c.SECTION_TYPE in c.THREAD_LOCAL_TYPES:
            return Kind.THREAD_LOCAL
        code = flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS)
        return Kind.FUNCTION if code else Kind.DATA

    def found_by_loader(self, candidate: Candidate) -> Found:
        return Found(*(places.get(candidate.name) for places in self._found_places))

    @cached_property
    def _found_places(self) -> tuple[dict[bytes, int], dict[bytes, int]]:
        """Name -> the GOT word with its address; and -> the stub through which it is called."""
        table, kinds = self.file.symbols, (c.S_NON_LAZY_SYMBOL_POINTERS, c.S_SYMBOL_STUBS)
        words, stubs = (
            {table.name(index): place for index, place in self.file.indirect_places(kind).items() if index < len(table)}
            if table is not None
            else {}
            for kind in kinds
        )
        return words, stubs

    @cached_property
    def _is_writable(self) -> list[bool]:
        """For each section of a linked image whether what is in it are variables and no constants."""
        segments = [segment for segment in self.file.segments for _ in range(segment.nsects)]
        return [
            bool(segment.initprot & c.VM_PROT_WRITE)
            and not segment.flags & c.SG_READ_ONLY
            and not section.name.endswith(",__const")
            for segment, section in zip(segments, self.file.sections, strict=True)
        ]

    @cached_property
    def _source_files(self) -> dict[tuple[bytes, int], bytes]:
        """What a linked image names (name, address) -> its source file, as the debugger's entries have it.

        N_SO, once with the whole path or first with the folder, stands in front of its file's entries. N_GSYM need not
        have an address (<mach-o/stab.h>): 0.
        """
        return self._debugger_entries[0]

    @cached_property
    def reach(self) -> Reach | None:
        """Made where somebody asks, and kept for the next patch with this object."""
        from stubgen.image.reach_macho import MachOReach

        return None if self.file.symbols is None else MachOReach(self.file, self.file.symbols)

    @property
    def may_be_by_llvm(self) -> bool:
        return True

    def is_zero_filled(self, candidate: Candidate) -> bool:
        section = self.file.section(candidate.section)
        return section is None or section.header.flags & c.SECTION_TYPE in (c.S_ZEROFILL, c.S_GB_ZEROFILL)

    def files_called(self, name: bytes) -> int:
        return self._debugger_entries[1].count(name)

    @cached_property
    def _debugger_entries(self) -> tuple[dict[tuple[bytes, int], bytes], list[bytes]]:
        """The same, and the source file of each object."""
        from stubgen.image.dwarf import full_path

        table = self.file.symbols
        found: dict[tuple[bytes, int], bytes] = {}
        files: list[bytes] = []
        file, before = b"", -1
        for index, n_type in enumerate(table.n_type if table is not None else b""):
            if n_type not in (c.N_SO, c.N_FUN, c.N_GSYM, c.N_STSYM, c.N_LCSYM) or table is None:
                continue
            name = table.name(index)
            if n_type == c.N_SO:
                folder = files.pop() if name and file and before == index - 1 else b""
                file, before = full_path(folder, name) if name else b"", index
                if file:
                    files.append(file)
            elif file:
                found[name, table.n_value[index]] = file
        return found, files

    @cached_property
    def names_objects(self) -> bool:
        table = self.file.symbols
        return table is not None and next(table.indexes_of((c.N_OSO,)), None) is not None

    def objects_of(self, candidate: Candidate) -> Sequence[NamedObject]:
        return self._named_objects.get((candidate.name, candidate.address), ())

    @cached_property
    def _named_objects(self) -> dict[tuple[bytes, int], list[NamedObject]]:
        """Name and address of each function of a linked image that debuggers are told of -> the objects with it.

        N_OSO stands in front of its object's entries, behind N_SO (Apple, "DWARF with Mach-O").
        """
        found: dict[tuple[bytes, int], list[NamedObject]] = {}
        table, home = self.file.symbols, None
        if table is None:
            return found
        for index in table.indexes_of((c.N_SO, c.N_OSO, c.N_FUN)):
            n_type, name = table.n_type[index], table.name(index)
            if n_type == c.N_OSO:
                home = NamedObject(as_text(name), table.n_value[index])
            elif n_type == c.N_SO:
                home = None
            elif name and home is not None:
                found.setdefault((name, table.n_value[index]), []).append(home)
        return found

    @property
    def source_file(self) -> bytes:
        return self.debug_info.source_file if self.has_debug_info else b""

    @property
    def lost_local_symbols(self) -> bool:
        """Many a small program has none: functions and sections without a name at their start tell."""
        return not self._names_statics and (self._has_nameless_functions or self._has_nameless_variables)

    @property
    def has_nameless_functions(self) -> bool:
        return not self._names_statics and self._has_nameless_functions

    @cached_property
    def _has_nameless_functions(self) -> bool:
        starts = self.file.function_starts()  # zig's linker writes none
        return not starts or not starts <= self._defined_places

    @cached_property
    def _has_nameless_variables(self) -> bool:
        """By sections that begin without a name: clang has zeroed static variables apart from others."""
        from stubgen.image.variables_macho import TABLES, VARIABLE_TYPES

        places = self._defined_places
        return any(
            section.name.startswith("__DATA,")
            and section.header.flags & c.SECTION_TYPE in VARIABLE_TYPES
            and section.header.addr not in places
            for section in self.file.sections
            if section.header.size and not section.name.startswith(TABLES)
        )

    @property
    def _defined_places(self) -> set[int]:
        return set() if self._symbols is None else set(self._symbols.n_value)

    @property
    def _names_statics(self) -> bool:
        """Whether a symbol names something that one file alone sees."""
        table = self._symbols
        return table is not None and any(not _is_linkers(table.name(index)) for index in table.indexes_of(_STATIC))

    @property
    def is_debug_file(self) -> bool:
        return self.file.header.filetype == c.MH_DSYM

    @property
    def debug_link(self) -> tuple[str, int] | None:
        return None

    def use_symbols(self, other: Image, *, names: bool = True) -> None:
        """Likewise; a dSYM has the host's sections first, and no imports, for which the host's own table stays."""
        assert isinstance(other, MachOImage)  # noqa: S101  # whoever asks has held the formats against each other
        for section, own in zip(other.file.sections, self.file.sections, strict=False):
            if (section.name, section.header.addr) != (own.name, own.header.addr):
                raise InputError(f"{other.name}: its section {section.name} is not where {self.name} has it")
        if len(other.file.sections) < len(self.file.sections):
            raise InputError(f"{other.name}: lacks sections that {self.name} has")
        self._debug_file = other
        self._symbol_file = other if names else None

    @property
    def _symbols(self) -> Symbols | None:
        """The table that has most names."""
        own = self.file.symbols
        return own if self._symbol_file is None else self._symbol_file.file.symbols or own

    @cached_property
    def compiled_by_llvm(self) -> bool:
        """By its debug information; a linked image without does not say, and Apple's compilers are LLVM's."""
        return not self.has_debug_info or any(names_llvm(unit.producer) for unit in self.debug_info.units)

    @cached_property
    def compiled_by_gcc(self) -> bool:
        """By its debug information; one without may be GCC's too."""
        units = self.debug_info.units if self.has_debug_info else ()
        return not units or not all(names_llvm(unit.producer) for unit in units)

    @property
    def has_debug_info(self) -> bool:
        """Most linked images have it elsewhere: then nothing that reads DWARF needs to be loaded."""
        holder = self if self._debug_file is None else self._debug_file
        return holder.file.section("__DWARF,__debug_info") is not None

    def debug_section(self, name: str) -> bytes:
        if self._debug_file is not None:
            return self._debug_file.debug_section(name)
        section = self.file.section(f"__DWARF,__{name}"[:24])
        if section is None:
            return b""
        content = bytes(self.file.content(section))
        return self._relocated(section, content) if self.file.header.filetype == c.MH_OBJECT else content

    def _relocated(self, section: Section, content: bytes) -> bytes:
        """*content* with the addresses of the symbols that it names; what is added to them stands in place."""
        symbols, raw = self.file.symbols, bytearray(content)
        address = r_word(0, pcrel=False, length=3, extern=True, kind=ARM64_RELOC_UNSIGNED)
        for offset, word in (
            pair
            for at, table in self.file.relocations()
            if at.ordinal == section.ordinal
            for pair in zip(table.r_address, table.r_word, strict=True)
        ):
            index = word & 0xFFFFFF
            if word - index == address and symbols is not None and index < len(symbols) and offset + 8 <= len(raw):
                is_common = symbols.n_type[index] & (c.N_STAB | c.N_TYPE) == c.N_UNDF and symbols.n_value[index]
                start = COMMONS + common_place(index) if is_common else symbols.n_value[index]
                place = int.from_bytes(raw[offset : offset + 8], "little") + start
                raw[offset : offset + 8] = (place % (1 << 64)).to_bytes(8, "little")
        return bytes(raw)

    def names(self) -> Iterator[bytes]:
        return iter(()) if self._symbols is None else self._symbols.names()

    def references(self) -> References:
        table = self.file.symbols
        if table is None:
            return References()
        values, starts, descriptions = table.n_value, table.n_strx, table.n_desc
        indexes = [index for index in compress(count(), table.n_type.translate(_UNDEFINED)) if not values[index]]
        names = table.strings.read(array("I", map(starts.__getitem__, indexes)))
        return References(names, weak_alone(names, (bool(descriptions[index] & c.N_WEAK_REF) for index in indexes)))

    def functions_among(self, places: Mapping[bytes, int], wanted: Mapping[bytes, int]) -> SoleFunctions:
        """What dyld may replace is left out."""
        from stubgen.image.sole import NONE, SoleFunctions

        if len(self.symbol_tables) != 1:
            return NONE
        (table,), code = self.symbol_tables, self._code_sections
        found = SoleFunctions({}, {})
        for name, index in places.items():
            symbol = table.entry(index)
            if table.strings.is_at(symbol.n_strx, name) and code[symbol.n_sect] and not symbol.n_desc & c.N_WEAK_DEF:
                if _SEEN[symbol.n_type]:
                    found.seen[wanted[name]] = symbol.n_value
                elif _LOCAL[symbol.n_type]:
                    found.local[wanted[name]] = symbol.n_value
        return found

    @property
    def _code_sections(self) -> bytes:
        """n_sect -> whether functions are there."""
        count = len(self.file.sections)
        return bytes(0 < n_sect <= count and self.kind_in(n_sect) is Kind.FUNCTION for n_sect in range(256))

    def sole_functions_by_columns(self, wanted: Mapping[bytes, int]) -> SoleFunctions:
        """What a debugger's entries are called counts for nothing; what dyld may replace is left out."""
        from stubgen.image.sole import NONE, sole_functions

        if len(self.symbol_tables) != 1:
            return NONE
        (table,) = self.symbol_tables
        names = table.strings.read(table.n_strx)
        weak, here = c.N_WEAK_DEF, table.n_sect.translate(self._code_sections)
        plain = [in_code and not n_desc & weak for in_code, n_desc in zip(here, table.n_desc, strict=True)]
        symbols, seen, local = (table.n_type.translate(kinds) for kinds in (_SYMBOLS, _SEEN, _LOCAL))
        seen_by_all, by_one = (bytes(map(and_, kind, plain)) for kind in (seen, local))
        return sole_functions(names, wanted, (), table.n_value, symbols, seen_by_all, by_one)

    def definitions(self) -> Iterator[bytes]:
        table = self.file.symbols
        if table is None:
            return
        yield from map(table.name, table.with_commons(_DEFINED))

    def weak_definitions(self) -> Iterator[bytes]:
        table = self.file.symbols
        if table is None:
            return
        weak = c.N_WEAK_DEF | c.N_WEAK_REF  # both: nobody needs to see it, as of inline functions
        for index in compress(count(), table.n_type.translate(IN_SECTION)):
            if table.n_desc[index] & weak == c.N_WEAK_DEF:
                name = table.name(index)
                if not name.startswith(_LANGUAGES):
                    yield name

    @cached_property
    def _variables(self) -> MachOVariables:
        """Loaded where somebody asks: most of what is opened are programs."""
        from stubgen.image.variables_macho import MachOVariables

        return MachOVariables(self, self.file, self._symbols)

    def variables(self) -> Iterator[Variable]:
        return self._variables.all()

    def contents(self, names: Collection[bytes]) -> Iterator[Content]:
        return self._variables.contents(names)

    def holds_labels(self, variable: Variable) -> bool:
        return self._variables.holds_labels(variable)

    def word_at(self, address: int) -> Word | None:
        del address  # a constant that holds pointers is told from none
        return None

    def got_address(self, place: int) -> int | None:
        if not any(first <= place < last for first, last in self._got_ranges):
            return None
        held = self._fixups.pointer(place)
        return held if isinstance(held, int) else None

    @cached_property
    def _got_ranges(self) -> list[tuple[int, int]]:
        """First and one-past-last virtual address of each section of a linked image that is a GOT."""
        headers = (section.header for section in self.file.sections)
        kind = c.S_NON_LAZY_SYMBOL_POINTERS
        return [(each.addr, each.addr + each.size) for each in headers if each.flags & c.SECTION_TYPE == kind]

    @cached_property
    def _fixups(self) -> Fixups:
        from stubgen.macho.fixups import Fixups

        return Fixups(self.file)

    def maximum_size(self, address: int) -> int | None:
        end = self._variables.next_symbol(address)
        return None if end is None else end - address

    def thread_template(self, descriptor: int) -> tuple[int, int] | None:
        start = self._thread_templates.get(descriptor)
        if start is None:
            return None
        following = bisect_right(self._template_ends, start)
        return start, self._template_ends[following] - start if following < len(self._template_ends) else 0

    @cached_property
    def _template_ends(self) -> list[int]:
        """Virtual addresses, ascending: where one template begins another ends, and the last with its section."""
        sections = (s.header for s in self.file.sections if s.header.flags & c.SECTION_TYPE in _TEMPLATES)
        return sorted({*self._thread_templates.values(), *(header.addr + header.size for header in sections)})

    @cached_property
    def _thread_templates(self) -> dict[int, int]:
        """Virtual address of a linked image's descriptor -> that of its template (``<mach-o/loader.h>``).

        A section may be said to be larger than the file: its descriptors end where that does.
        """
        headers = [(section.header.flags & c.SECTION_TYPE, section.header) for section in self.file.sections]
        base = min((header.addr for kind, header in headers if kind in _TEMPLATES), default=0)
        found: dict[int, int] = {}
        for kind, header in headers:
            if kind == c.S_THREAD_LOCAL_VARIABLES:
                for address in range(header.addr, header.addr + header.size, c.TLV_DESCRIPTOR):
                    if self.file.offset_of(address + c.TLV_DESCRIPTOR - 1) is None:
                        break
                    word = self.file.read_at(address + c.TLV_OFFSET, 8, "a thread-local's descriptor")
                    found[address] = base + int.from_bytes(word, "little")
        return found

    def section_span(self, name: str) -> tuple[int, int] | None:
        section = self.file.section(name)
        if section is None or not section.header.size:
            return None
        return section.header.addr, section.header.addr + section.header.size

    def segment_span(self, name: str) -> tuple[int, int] | None:
        title = name or "__TEXT"
        spans = (
            (segment.vmaddr, segment.vmaddr + segment.vmsize)
            for segment in self.file.segments
            if bytes(segment.segname).rstrip(b"\0") == title.encode()
        )
        return next(spans, None)

    def imports(self) -> Iterator[Import]:
        table, dylibs = self.file.symbols, self.file.dylibs
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            if n_type & c.N_STAB or n_type & c.N_TYPE != c.N_UNDF:
                continue
            ordinal = table.n_desc[index] >> 8  # two-level namespace: 1 for the first dylib
            library = dylibs[ordinal - 1].name if 0 < ordinal <= len(dylibs) else None
            yield Import(table.name(index), bool(table.n_desc[index] & c.N_WEAK_REF), library)

    def exports(self) -> set[bytes]:
        table = self.file.symbols
        if table is None:
            return set()
        return {
            table.name(index)
            for index, n_type in enumerate(table.n_type)
            if not n_type & (c.N_STAB | c.N_PEXT) and n_type & c.N_EXT and n_type & c.N_TYPE != c.N_UNDF
        }

    def looked_up(self) -> set[bytes]:
        return self.file.bound_names()

    def replaceable(self) -> set[bytes]:
        table = self.file.symbols
        weak = self.file.weakly_bound_names()
        if table is None or not weak:
            return set()
        return {
            name
            for n_type, name in zip(table.n_type, table.names(), strict=True)
            if name in weak and not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT
        }

    def code(self) -> Iterator[Code]:
        for section in self.file.sections:
            if section.header.flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS):
                yield Code(section.ordinal, section.header.addr, self.file.content(section))

    def functions(self) -> Iterator[FunctionSymbol]:
        table = self.file.symbols
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT:
                weak = bool(table.n_desc[index] & c.N_WEAK_DEF)
                hidden = bool(n_type & c.N_PEXT)
                yield FunctionSymbol(table.name(index), table.n_sect[index], table.n_value[index], weak, hidden)

    def static_code(self) -> Iterator[StaticCode]:
        """A function ends where the next symbol is; hints name instructions that a linker may write anew."""
        from stubgen.image.static_code import Span, code_at

        table = self.file.symbols
        if table is None:
            return
        starts: dict[int, set[int]] = {}
        for index in table.indexes_of(_DEFINED_HERE):
            starts.setdefault(table.n_sect[index], set()).add(table.n_value[index])
        own: dict[int, list[int]] = {}
        for index in table.indexes_of(_STATIC):
            own.setdefault(table.n_sect[index], []).append(index)
        tables = {section.ordinal: relocations for section, relocations in self.file.relocations()}
        hinted = [address for _, addresses in self.file.hints() for address in addresses] if own else []
        for section in self.file.sections:
            number, first = section.ordinal, section.header.addr
            if number not in own or self.kind_in(number) is not Kind.FUNCTION:
                continue
            ends = sorted({first + section.header.size, *starts[number]})
            spans = []
            for index in own[number]:
                start = table.n_value[index]
                following = bisect_right(ends, start)
                if start >= first and following < len(ends):
                    spans.append(Span(start - first, ends[following] - first, table.name(index), start))
            relocations = tables.get(number)
            words = () if relocations is None else zip(relocations.r_address, relocations.r_word, strict=True)
            parts = [(at, 1 << (word >> 25 & 3)) for at, word in words]
            parts += [(address - first, 4) for address in hinted]
            yield from code_at(self.file.content(section), parts, spans)

    def functions_of(self, path: bytes) -> list[Candidate]:
        if self.files_called(path) != 1:
            return []
        places = {place for place, file in self._source_files.items() if file == path}
        found = self.find({name for name, _ in places}) if places else {}
        return [each for pool in found.values() for each in pool if (each.name, each.address) in places]

    def variables_of(self, file: bytes, path: bytes) -> list[Candidate]:
        return [each for each in self.functions_of(file) if each.kind is not Kind.FUNCTION]

    def is_of_source(self, candidate: Candidate, path: bytes) -> bool | None:
        if not self.files_called(path):
            return None
        return path in {self._source_files.get((candidate.name, address)) for address in (candidate.address, 0)}

    def variables_at(self, addresses: Collection[int]) -> list[Candidate]:
        if not self.symbol_tables:
            return []
        near = [index for index, at in enumerate(self.symbol_tables[0].n_value) if at in addresses]
        return [each for each in self.candidates(0, near, lambda _: True) if each.kind is Kind.DATA]

    def static_variables(self, keep: Callable[[bytes], bool], sections: Collection[str]) -> list[Candidate]:
        if not self.symbol_tables:
            return []
        table = self.symbol_tables[0]
        homes, n_sect = {each.ordinal for each in self.file.sections if each.name in sections}, table.n_sect
        near = [index for index in table.indexes_of(_STATIC) if n_sect[index] in homes and keep(table.name(index))]
        kinds = (Kind.DATA, Kind.THREAD_LOCAL)
        return [each for each in self.candidates(0, near, lambda _: True) if each.kind in kinds]

    def names_at(self, addresses: Collection[int]) -> dict[int, set[bytes]]:
        table = self.file.symbols
        found: dict[int, set[bytes]] = {}
        for index, address in enumerate(table.n_value if table is not None else ()):
            if address in addresses and table is not None and self._is_function(table, index):
                found.setdefault(address, set()).add(table.name(index))
        return found

    def in_its_file(self, candidate: Candidate) -> Candidate:
        file = self._source_files.get((candidate.name, candidate.address), b"") if candidate.local else b""
        return candidate._replace(file=file)

    def _is_function(self, table: Symbols, index: int) -> bool:
        """Whether symbol *index* of a linked image names code, and is no label of the assembler's or the linker's."""
        n_type, n_sect = table.n_type[index], table.n_sect[index]
        if n_type & c.N_STAB or n_type & c.N_TYPE != c.N_SECT or not 0 < n_sect <= len(self.file.sections):
            return False
        flags = self.file.sections[n_sect - 1].header.flags
        code = flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS)
        return bool(code) and not table.name(index).startswith((b"ltmp", b"l_", b"L", b"__mh_"))

    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        table = self.file.symbols
        if table is not None and prefix in table.strings.content:
            for index, name in enumerate(table.names()):
                if name.startswith(prefix) and table.n_type[index] & c.N_TYPE == c.N_SECT:
                    yield name, table.n_value[index]

    @property
    def first_address(self) -> int:
        return next((s.vmaddr for s in self.file.segments if not s.fileoff and s.filesize), 0)

    def file_offset(self, address: int) -> int | None:
        return self.file.offset_of(address)

    def executable_ranges(self) -> list[tuple[int, int]]:
        return self.file.executable_ranges()

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        return self.file.read_at(address, size, what)


def _is_linkers(name: bytes) -> bool:
    """Whether a local symbol of a linked image is the linker's own: a label, a veneer, what lazy binding needs."""
    return name.startswith((b"ltmp", b"l_", b"__mh_", b"___dso_handle")) or name.endswith((b"__thunk", b"dyld_private"))
