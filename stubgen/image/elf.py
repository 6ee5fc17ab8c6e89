"""An ELF file in the phases' vocabulary. Twin of ``image.macho``.

What a symbol's type means for a call (function, datum, thread-local, resolver, import) is decided here.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import compress, count
from operator import and_

from stubgen.common.aarch64 import UNTAGGED
from stubgen.common.code_digest import code_digest
from stubgen.common.text import as_text
from stubgen.elf import constants as c
from stubgen.elf.identity import code_ranges
from stubgen.elf.reader import ElfFile, Section, Symbols
from stubgen.elf.records import Sym
from stubgen.elf.relocations import (
    BRANCHES,
    LOCAL_EXEC,
    NAMES,
    R_AARCH64_ABS32,
    R_AARCH64_ABS64,
    R_AARCH64_GLOB_DAT,
    R_AARCH64_JUMP_SLOT,
    R_AARCH64_PREL64,
    R_AARCH64_RELATIVE,
    R_AARCH64_TLSDESC,
    Relocations,
)
from stubgen.errors import InputError, UnsupportedInput
from stubgen.image import (
    PLACE_SHIFT,
    Candidate,
    Code,
    Content,
    Entry,
    FileType,
    Found,
    FunctionSymbol,
    Image,
    Import,
    Kind,
    Pointed,
    Reach,
    References,
    Variable,
    Word,
    common_place,
    names_llvm,
    weak_alone,
)
from stubgen.symbols.versions import split_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stubgen.image.sole import SoleFunctions
    from stubgen.image.static_code import StaticCode
    from stubgen.image.variables_elf import ElfVariables

_DEBUG_SECTIONS = {"debug_str_offs": ".debug_str_offsets"}
"""What Mach-O's 16 bytes cut off."""
_GLOBAL_FUNCTIONS, _LOCAL_FUNCTIONS = (
    bytes(info in [bind << 4 | c.STT_FUNC for bind in binds] for info in range(256))
    for binds in ((c.STB_GLOBAL, c.STB_WEAK), (c.STB_LOCAL,))
)
"""st_info -> whether it is such a symbol's."""
_STATIC_CODE = frozenset({c.STB_LOCAL << 4 | c.STT_FUNC})
"""The st_info of a function that one file alone sees."""
_STATIC_DATA = bytes(info == c.STB_LOCAL << 4 | c.STT_OBJECT for info in range(256))
"""Likewise, of a datum that one file alone sees."""
_FILES = bytes(info & 0xF == c.STT_FILE for info in range(256))
"""Likewise, whether it names a source file."""
_NOT_LOCAL = bytes(info >> 4 != c.STB_LOCAL for info in range(256))
"""Likewise, whether it is one that other files see."""
_WEAK = bytes(info >> 4 == c.STB_WEAK for info in range(256))
OF_LTO = (b"", b"<artificial>", b"ld-temp.o")
"""What GNU ld, GCC and LLVM call the file that link-time optimisation makes of several: static there is also what was
global before, and none of them is a symbol's source file."""
_GIMPLE = b"GNU GIMPLE"
"""How the producer begins, in debug information, of what GCC compiled at link."""
_MAPPING = (b"$x", b"$d")
"""How mapping symbols begin, and a few besides."""
MANY = 64
"""Symbols of a table for each that is asked for, up to which a column of all takes less than a look at each one's."""
_ZLIB, _CHDR_SIZE = 1, 24  # gABI, "Compressed sections": ELFCOMPRESS_ZLIB, the size of Elf64_Chdr


class ElfImage(Image):
    """An ELF file in the phases' vocabulary."""

    format = "elf"
    page_size = 4096  # Linux and Android map at this granularity or a multiple of it

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(name)

        self.file: ElfFile = ElfFile(data, name)
        self._debug_file: ElfImage | None = None
        self.features = self.file.features
        self.intermediate_code = any(section.name.startswith(".gnu.lto_") for section in self.file.sections)
        self.kinds = {
            c.STT_FUNC: Kind.FUNCTION,
            c.STT_OBJECT: Kind.DATA,
            c.STT_COMMON: Kind.DATA,
            c.STT_TLS: Kind.THREAD_LOCAL,
            c.STT_GNU_IFUNC: Kind.IFUNC,
        }
        """STT_* -> kind; STT_NOTYPE (assembly) is decided by where it lies, and no other is a candidate."""

    @property
    def file_type(self) -> FileType:
        e_type = self.file.header.e_type
        if e_type == c.ET_REL:
            return FileType.OBJECT
        if e_type == c.ET_EXEC:
            return FileType.EXECUTABLE
        if e_type == c.ET_DYN:
            return FileType.EXECUTABLE if self._is_program else FileType.LIBRARY
        kind = "a core dump" if e_type == c.ET_CORE else f"an ELF file of type {e_type}"
        raise UnsupportedInput(f"{self.name}: is {kind}, neither a program nor an object")

    @property
    def _is_program(self) -> bool:
        """Whether a position-independent file is a program.

        An interpreter does not make it one: libraries that can also be run (libc.so.6, Qt) have one. GNU ld, gold, lld,
        mold and Go's linker write DT_DEBUG, where debuggers look for the loader's list, into programs alone.
        """
        dynamic = self.file.dynamic
        if dynamic is None:
            return self.file.interpreter is not None
        return c.DT_DEBUG in dynamic.tags or bool(dynamic.tags.get(c.DT_FLAGS_1, 0) & c.DF_1_PIE)

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
        return [note.content for note in self.file.notes if (note.owner, note.kind) == (owner, kind)]

    @property
    def install_name(self) -> str | None:
        return self.file.dynamic.soname if self.file.dynamic else None

    @property
    def needed_libraries(self) -> tuple[str, ...]:
        return self.file.dynamic.needed if self.file.dynamic else ()

    @property
    def position_independent(self) -> bool:
        return self.file.header.e_type == c.ET_DYN

    @property
    def has_symbols(self) -> bool:
        return any(len(table) > 1 for table in self.symbol_tables)

    @cached_property
    def libc(self) -> str:  # type: ignore[override]  # a cached property reads like the attribute that it overrides
        """Which C library the file runs on, from its loader, its needed libraries or Android's note."""
        interpreter = self.file.interpreter or ""
        markers = {interpreter.rpartition("/")[2], *self.needed_libraries}
        if any(n.owner == b"Android" and n.kind == c.NT_ANDROID_TYPE_IDENT for n in self.file.notes):
            return "android"
        for marker, libc in (
            ("linker64", "android"),
            ("ld-linux-aarch64.so.1", "glibc"),
            ("libc.so.6", "glibc"),
            ("ld-musl-aarch64.so.1", "musl"),
            ("libc.musl-aarch64.so.1", "musl"),
        ):
            if marker in markers:
                return libc
        return ""

    @property
    def lost_local_symbols(self) -> bool:
        """Sizes tell them from what linkers define, and a file in front from what mold makes local."""
        table = self.file.symbols
        if table is None:
            return True
        named = table.names_files
        statics = [c.STB_LOCAL << 4 | kind for kind in (c.STT_FUNC, c.STT_OBJECT, c.STT_TLS)]
        return not any(
            table.entry(index).st_size
            and not table.entry(index).st_other & 3
            and (table.file_of(index) if named else not self.hides_globals)
            for index in table.indexes_of(statics)
        )

    @property
    def has_nameless_functions(self) -> bool:
        return self.lost_local_symbols

    @property
    def has_full_symbols(self) -> bool:
        return self.file.symbols is not None

    @property
    def symbol_tables(self) -> list[Symbols]:
        return [table for table in (self.file.symbols, self.file.dynamic_symbols) if table is not None]

    def candidates(self, number: int, indexes: Iterable[int], keep: Callable[[bytes], bool]) -> Iterator[Candidate]:
        table, wanted = self.symbol_tables[number], list(indexes)
        if len(wanted) * MANY > len(table):
            _ = table.st_info  # of which the files of that many are found sooner
        for index in wanted:
            symbol = table.entry(index)
            plain, version, default = split_version(table.strings.at(symbol.st_name))
            if not keep(plain):
                continue
            if not version and index < len(table.versions):
                version, default = self._version(table.versions[index])
            candidate = self._candidate(table, index, symbol, plain, version, default)
            if candidate is not None:
                yield candidate

    def _candidate(
        self, table: Symbols, index: int, symbol: Sym, name: bytes, version: str, default: bool
    ) -> Candidate | None:
        shndx, address, tag = symbol.st_shndx, symbol.st_value, 0
        if shndx < len(self.file.sections) and symbol.st_info & 0xF == c.STT_OBJECT:
            address, tag = address & UNTAGGED, address & ~UNTAGGED
        if shndx == c.SHN_UNDEF:
            return Candidate(name, 0, Kind.IMPORT, False, 0, "", version, default) if name else None
        if names_nothing(symbol.st_info & 0xF, name) or (shndx == table.absolute and _names_version(name, version)):
            return None
        kind = self.kind_of(table, symbol)
        if kind is None or (address == 0 and kind is not Kind.THREAD_LOCAL):
            return None
        local = symbol.st_info >> 4 == c.STB_LOCAL
        exported = table is self.file.dynamic_symbols and not local
        file = self._source_file(table, index) if local else b""
        return Candidate(
            name,
            address,
            kind,
            local,
            symbol.st_size,
            "" if shndx == table.absolute else self._section_name(shndx),
            version,
            default,
            exported=exported,
            file=file,
            writable=kind is not Kind.DATA or self._is_writable(shndx, address),
            weak=symbol.st_info >> 4 in (c.STB_WEAK, c.STB_GNU_UNIQUE),
            hidden=local and self.was_global(table, index, symbol),
            replaceable=exported and kind in (Kind.FUNCTION, Kind.DATA) and self._lets_replace(symbol),
            tag=tag,
        )

    def _lets_replace(self, symbol: Sym) -> bool:
        """Whether another image's definition may take the place of an exported one.

        The program's comes first in the loader's search, a copy that it made of a variable (R_AARCH64_COPY) included;
        of a unique one, whichever was loaded first.
        """
        unique = symbol.st_info >> 4 == c.STB_GNU_UNIQUE
        return self._is_library and not symbol.st_other & 3 and (unique or not self._binds_to_itself)

    @cached_property
    def _is_library(self) -> bool:
        return self.file.header.e_type == c.ET_DYN and self.file_type is FileType.LIBRARY

    @cached_property
    def _binds_to_itself(self) -> bool:
        """Whether it was linked with -Bsymbolic."""
        tags = self.file.dynamic.tags if self.file.dynamic else {}
        return c.DT_SYMBOLIC in tags or bool(tags.get(c.DT_FLAGS, 0) & c.DF_SYMBOLIC)

    def found_by_loader(self, candidate: Candidate) -> Found:
        table = self.file.dynamic_symbols
        words = [
            (place, eager)
            for symbol, place, eager in self._found_words.get(candidate.address, ())
            if table is not None and table.name(symbol) == candidate.name
        ]
        entry = next((self._plt_entries[place] for place, _ in words if place in self._plt_entries), None)
        return Found(next((place for place, eager in words if eager), None), entry)

    @cached_property
    def _found_words(self) -> dict[int, list[tuple[int, int, bool]]]:
        """The own address of dynamic symbols -> which one, where the loader puts what it finds, whether at the start.

        Versions of one name have an address each.
        """
        table = self.file.dynamic_symbols
        if table is None:
            return {}
        count, found = len(table), dict[int, list[tuple[int, int, bool]]]()
        for relocations in self.file.dynamic_relocations():
            symbols = relocations.symbol
            rows = zip(relocations.r_offset, relocations.kind, symbols, relocations.r_addend, strict=True)
            for place, kind, symbol, addend in compress(rows, symbols):
                if kind in (R_AARCH64_GLOB_DAT, R_AARCH64_JUMP_SLOT) and not addend:
                    if symbol >= count:
                        table.entry(symbol)  # raises
                    word = symbol, place, kind == R_AARCH64_GLOB_DAT
                    found.setdefault(table.st_value[symbol], []).append(word)
        return found

    @cached_property
    def _plt_entries(self) -> dict[int, int]:
        """The word that a PLT entry loads its target from -> the entry's virtual address."""
        places = {place for words in self._found_words.values() for _, place, _ in words}
        named = {section.number for section in self.file.sections if section.name.startswith(".plt")}
        found: dict[int, int] = {}
        for code in self.code() if places else ():
            if self.file.sections and code.section not in named:
                continue
            words = memoryview(bytes(code.content[: len(code.content) // 4 * 4])).cast("I")
            for number in range(len(words) - 1):
                page, load = words[number], words[number + 1]
                if page & _PLT_PAGE_MASK == _PLT_PAGE and load & _PLT_LOAD_MASK == _PLT_LOAD:
                    place = _plt_word(code.address + 4 * number, page, load)
                    first = number - 1 if number and words[number - 1] == _LANDING_PAD else number
                    if place in places:
                        found.setdefault(place, code.address + 4 * first)
        return found

    def kind_of(self, table: Symbols, symbol: Sym) -> Kind | None:
        """What a defined symbol is, by its type; without one, by where it lies. None where it is none of these."""
        st_type = symbol.st_info & 0xF
        if symbol.st_shndx == table.absolute:
            # GNU ld gives --defsym=here=table+4 the type of the table, and no section
            typed = st_type in (c.STT_FUNC, c.STT_OBJECT) and _within(symbol.st_value, self._loaded)
            number = Kind.DATA if self._slides_numbers(symbol) else Kind.ABSOLUTE
            return self.kinds[st_type] if typed else number
        return self._kind_by_section(symbol) if st_type == c.STT_NOTYPE else self.kinds.get(st_type)

    def _slides_numbers(self, symbol: Sym) -> bool:
        """Whether the image's own code reads the value of absolute *symbol* with the slide added.

        GNU ld and gold do that to every one of a position-independent program, and of a library to those that the
        loader does not look up; what is no place in the image is useless there. lld and mold never do.
        """
        if not self.position_independent or self._linked_by_llvm_or_mold:
            return False
        looked_up = self.file_type is FileType.LIBRARY and symbol.st_info >> 4 != c.STB_LOCAL
        return not (looked_up and not symbol.st_other & 3)

    @cached_property
    def _linked_by_llvm_or_mold(self) -> bool:
        """Whether lld or mold left its name in the image, or nothing says that another linker made it."""
        return b" LLD " in self._comment or b"mold " in self._comment or not self._comment

    @cached_property
    def _comment(self) -> bytes:
        """What compilers and linkers left of their names; empty where there is nothing."""
        section = self.file.section(".comment")
        return b"" if section is None else bytes(self.file.content(section))

    def _kind_by_section(self, symbol: Sym) -> Kind | None:
        """None: its section is not in memory, as that of GCC's ``price.c.1234`` in debug information (``-flto -g``)."""
        flags = 0
        if symbol.st_shndx < len(self.file.sections):
            flags = self.file.sections[symbol.st_shndx].header.sh_flags
            if not flags & c.SHF_ALLOC:
                return None
        if flags & c.SHF_EXECINSTR or (not flags and _within(symbol.st_value, self.executable_ranges())):
            return Kind.FUNCTION
        return Kind.THREAD_LOCAL if flags & c.SHF_TLS else Kind.DATA

    @cached_property
    def _loaded(self) -> list[tuple[int, int]]:
        """Where the segments of a linked image lie."""
        return [(s.p_vaddr, s.p_vaddr + s.p_memsz) for s in self.file.segments if s.p_type == c.PT_LOAD]

    def _section_name(self, shndx: int) -> str:
        return self.file.sections[shndx].name if shndx < len(self.file.sections) else ""

    def _is_writable(self, shndx: int, address: int) -> bool:
        """Whether the datum at *address* of a linked image, in section *shndx*, is no constant."""
        if _within(address, self._read_only_later):
            return False
        if shndx < len(self.file.sections):
            return self.file.sections[shndx].holds_variables
        return any(
            s.p_type == c.PT_LOAD and s.p_flags & c.PF_W and s.p_vaddr <= address < s.p_vaddr + s.p_memsz
            for s in self.file.segments
        )

    @cached_property
    def _read_only_later(self) -> list[tuple[int, int]]:
        """Where the loader lets nobody write once it has relocated it."""
        return [(s.p_vaddr, s.p_vaddr + s.p_memsz) for s in self.file.segments if s.p_type == c.PT_GNU_RELRO]

    def _source_file(self, table: Symbols, index: int) -> bytes:
        """The file of a local symbol; only the full table has file symbols."""
        file = table.file_of(index) if table is self.file.symbols else b""
        return b"" if file in OF_LTO else file

    def was_global(self, table: Symbols, index: int, symbol: Sym) -> bool:
        """Whether a local symbol of a linked image was one that all its objects could see.

        lld, mold and gold keep the visibility of what they make local; GNU ld lists it at the end, behind a file symbol
        that has no name. No static variable is either. GNU ld takes the name of each object's file that link-time
        optimisation made, too: of a variable there nothing tells whether it was static, a function counts as global.
        """
        if symbol.st_other & 3:
            return True
        file = table.file_symbol_of(index) if table is self.file.symbols else -1
        return file >= 0 and file == self._nameless_last_file

    @cached_property
    def _nameless_last_file(self) -> int:
        """The index of the full table's last file symbol, if that has no name; else -1."""
        table = self.file.symbols
        file = -1 if table is None else table.file_symbol_of(len(table))
        return file if table is not None and file >= 0 and not table.name(file) else -1

    def is_static(self, table: Symbols, index: int, symbol: Sym) -> bool:
        """Whether a local symbol is surely one of its object's own; not where the linker may have made it local."""
        if self.hides_globals or self.was_global(table, index, symbol) or self._forgets_visibility(symbol):
            return False
        file = table.file_symbol_of(index) if table is self.file.symbols else -1
        return file < 0 or table.name(file) not in OF_LTO

    def _forgets_visibility(self, symbol: Sym) -> bool:
        """Whether a local symbol may have been a hidden one: mold 1.10 does not say so of thread-locals."""
        return symbol.st_info & 0xF == c.STT_TLS and b"mold " in self._comment

    @cached_property
    def hides_globals(self) -> bool:
        """As mold does with all that a program does not export, and lld and gold with what a version script hides."""
        full, seen = self.file.symbols, self.file.dynamic_symbols
        if full is None:
            return False
        file = full.file_symbol_of(len(full))
        if file >= 0 and not full.name(file):  # GNU ld: all that it made local stands behind
            return False
        start = self.find([b"_start"]).get(b"_start")
        if start:
            return any(candidate.local for candidate in start)
        exported = set() if seen is None else {seen.name(i) for i, shndx in enumerate(seen.st_shndx) if shndx}
        kinds = (c.STT_FUNC, c.STT_OBJECT)
        return not any(
            info >> 4 != c.STB_LOCAL and info & 0xF in kinds and full.st_shndx[i] and full.name(i) not in exported
            for i, info in enumerate(full.st_info)
        )

    @cached_property
    def reach(self) -> Reach | None:
        """Made where somebody asks, and kept for the next patch with this object."""
        from stubgen.image.reach_elf import ElfReach

        return None if self.file.symbols is None else ElfReach(self.file, self.file.symbols)

    @cached_property
    def may_be_by_llvm(self) -> bool:
        """Whether ``.comment`` names another compiler than GCC, or none; linkers write there, too."""
        entries = self._comment.split(b"\0")
        compilers = [entry for entry in entries if entry and not entry.startswith((b"Linker: ", b"mold "))]
        return not compilers or not all(compiler.startswith(b"GCC: ") for compiler in compilers)

    def is_zero_filled(self, candidate: Candidate) -> bool:
        section = self.file.section(candidate.section)
        return section is None or section.header.sh_type == c.SHT_NOBITS

    def files_called(self, name: bytes) -> int:
        return 0 if self.file.symbols is None else self.file.symbols.files.get(name, 0)

    @cached_property
    def optimised_by_gcc(self) -> bool:
        producers = (unit.producer for unit in self.debug_info.units)
        return self.files_called(b"<artificial>") > 0 or any(each.startswith(_GIMPLE) for each in producers)

    @cached_property
    def is_debug_file(self) -> bool:
        """As ``objcopy --only-keep-debug`` and ``eu-strip -f`` write it: code's sections are there, without content."""
        return self.file.header.e_type in (c.ET_EXEC, c.ET_DYN) and any(
            section.header.sh_type == c.SHT_NOBITS and section.header.sh_flags & c.SHF_EXECINSTR
            for section in self.file.sections
        )

    @property
    def debug_link(self) -> tuple[str, int] | None:
        section = self.file.section(".gnu_debuglink")
        if section is None:
            return None
        name, end, _ = bytes(self.file.content(section)).partition(b"\0")
        raw = bytes(self.file.content(section))[-4:]
        return (os.fsdecode(name), int.from_bytes(raw, "little")) if end and len(raw) == 4 else None

    def use_symbols(self, other: Image, *, names: bool = True) -> None:
        """Likewise; symbols name sections by number, and those in memory have the same one in both files."""
        assert isinstance(other, ElfImage)  # noqa: S101  # whoever asks has held the formats against each other
        own = self.file.sections
        for section in other.file.sections:
            if section.header.sh_flags & c.SHF_ALLOC:
                number, place = section.number, (section.name, section.header.sh_addr, section.header.sh_size)
                header = own[number].header if number < len(own) else None
                if header is None or (own[number].name, header.sh_addr, header.sh_size) != place:
                    raise InputError(f"{other.name}: its section {section.name} is not where {self.name} has it")
        if names:
            self.file.symbols = other.file.symbols
        self._debug_file = other

    @property
    def has_debug_info(self) -> bool:
        holder = self if self._debug_file is None else self._debug_file
        return holder.file.section(".debug_info") is not None

    @cached_property
    def compiled_by_llvm(self) -> bool:
        return any(map(names_llvm, self._comments))

    @cached_property
    def compiled_by_gcc(self) -> bool:
        return not self.compiled_by_llvm or any(b"GCC: " in text for text in self._comments)

    @cached_property
    def _comments(self) -> list[bytes]:
        """``.comment``, where compilers and linkers leave their names, of the file and of its debug file."""
        files = (self.file, self.file if self._debug_file is None else self._debug_file.file)
        sections = ((file, file.section(".comment")) for file in files)
        return [bytes(file.content(section)) for file, section in sections if section is not None]

    def debug_section(self, name: str) -> bytes:
        if self._debug_file is not None:
            return self._debug_file.debug_section(name)
        section = self.file.section(_DEBUG_SECTIONS.get(name, f".{name}"))
        if section is None:
            return b""
        content = bytes(self.file.content(section))
        if section.header.sh_flags & c.SHF_COMPRESSED:
            content = _uncompressed(content)
        return self._relocated(section, content) if self.file.header.e_type == c.ET_REL else content

    def _relocated(self, section: Section, content: bytes) -> bytes:
        """*content* with what a linker would write there: offsets into sections, and the variables' places."""
        symbols, raw = self.file.symbols, bytearray(content)
        if symbols is None:
            return content
        for _, table in self.file.relocations_of(section):
            value, number = symbols.st_value.__getitem__, symbols.st_shndx.__getitem__
            count, end = len(symbols), len(raw)
            for offset, index, kind, addend in zip(
                table.r_offset, table.symbol, table.kind, table.r_addend, strict=True
            ):
                if kind == R_AARCH64_ABS32 and index < count and offset + 4 <= end:
                    raw[offset : offset + 4] = ((value(index) + addend) & 0xFFFFFFFF).to_bytes(4, "little")
                elif kind == R_AARCH64_ABS64 and index < count and offset + 8 <= end:
                    is_common = number(index) == symbols.common
                    start = common_place(index) if is_common else value(index)
                    place = start + addend + (number(index) << PLACE_SHIFT)
                    raw[offset : offset + 8] = (place % (1 << 64)).to_bytes(8, "little")
        return bytes(raw)

    def functions_among(self, places: Mapping[bytes, int], wanted: Mapping[bytes, int]) -> SoleFunctions:
        from stubgen.image.sole import NONE, SoleFunctions

        table, sections = self.file.symbols, len(self.file.sections)
        if table is None or len(table.versions):
            return NONE
        found = SoleFunctions({}, {})
        for name, index in places.items():
            symbol = table.entry(index)
            named = table.strings.is_at(symbol.st_name, name) and not name.startswith(_MAPPING)
            if named and 0 < symbol.st_shndx < sections:
                if _GLOBAL_FUNCTIONS[symbol.st_info]:
                    found.seen[wanted[name]] = symbol.st_value
                elif _LOCAL_FUNCTIONS[symbol.st_info]:
                    found.local[wanted[name]] = symbol.st_value
        return found

    def sole_functions_by_columns(self, wanted: Mapping[bytes, int]) -> SoleFunctions:
        from stubgen.image.sole import NONE, sole_functions

        table, seen = self.file.symbols, self.file.dynamic_symbols
        if table is None or len(table.versions):
            return NONE
        names = table.strings.read(table.st_name)
        elsewhere = set() if seen is None else {split_version(name)[0] for name in seen.names()}
        if b"@" in table.strings.content:
            elsewhere.update(split_version(name)[0] for name in names if b"@" in name)
        held = range(1, len(self.file.sections))
        in_section = bytes([shndx in held for shndx in table.st_shndx])
        functions = (table.st_info.translate(_GLOBAL_FUNCTIONS), table.st_info.translate(_LOCAL_FUNCTIONS))
        seen_by_all, local = (bytes(map(and_, kinds, in_section)) for kinds in functions)
        every = b"\1" * len(names)
        elsewhere.update(name for name in wanted if name.startswith(_MAPPING))
        return sole_functions(names, wanted, elsewhere, table.st_value, every, seen_by_all, local)

    def _version(self, versym: int) -> tuple[str, bool]:
        """Name of the version that entry *versym* of .gnu.version means, and whether it is the default one."""
        dynamic = self.file.dynamic
        default = not versym & c.VERSYM_HIDDEN
        if dynamic is None:
            return "", default
        return dynamic.version_definitions.get(versym & ~c.VERSYM_HIDDEN, ""), default

    def names(self) -> Iterator[bytes]:
        table = self.file.symbols or self.file.dynamic_symbols
        return iter(()) if table is None else table.names()

    def references(self) -> References:
        table = self.file.symbols
        if table is None:
            return References()
        indexes = [index for index, shndx in enumerate(table.st_shndx) if shndx == c.SHN_UNDEF and index]
        starts, weak = table.st_name, table.st_info.translate(_WEAK)
        spellings = table.strings.read(array("I", map(starts.__getitem__, indexes)))
        if not all(spellings):
            indexes, spellings = list(compress(indexes, spellings)), list(filter(None, spellings))
        otherwise = {}
        if b"@" in table.strings.content:
            versioned = ((spelling, split_version(spelling)) for spelling in spellings if b"@" in spelling)
            otherwise = {spelling: (name, version) for spelling, (name, version, _) in versioned if name != spelling}
        return References(spellings, weak_alone(spellings, map(weak.__getitem__, indexes)), otherwise)

    def branches_to(self, spelling: bytes) -> bool:
        table = self.file.symbols
        if table is None:
            return False
        indexes = {i for i, shndx in enumerate(table.st_shndx) if shndx == c.SHN_UNDEF and table.name(i) == spelling}
        return any(
            kind in BRANCHES and symbol in indexes
            for _, read in self.file.relocations()
            for kind, symbol in zip(read.kind, read.symbol, strict=True)
        )

    def definitions(self) -> Iterator[bytes]:
        table = self.file.symbols
        if table is None:
            return
        next(table.names(), None)  # raises where any name lies beyond the string table
        for index in compress(count(), map(and_, map(bool, table.st_shndx), table.st_info.translate(_NOT_LOCAL))):
            name = table.name(index)
            yield split_version(name)[0] if b"@" in name else name

    @property
    def source_file(self) -> bytes:
        table = self.file.symbols
        if table is None:
            return b""
        files = set(map(table.name, compress(count(), table.st_info.translate(_FILES))))
        return files.pop() if len(files) == 1 else b""

    def weak_definitions(self) -> Iterator[bytes]:
        table = self.file.symbols
        if table is None:
            return
        for index in compress(count(), table.st_info.translate(_WEAK)):
            if table.st_shndx[index] != c.SHN_UNDEF and table.st_shndx[index] not in self._shared_sections:
                yield table.name(index)

    @cached_property
    def _shared_sections(self) -> frozenset[int]:
        """The sections of which a linker keeps one where several objects have them: COMDAT groups."""
        return frozenset(number for _, held in self.file.comdat_groups() for number in held)

    @cached_property
    def _variables(self) -> ElfVariables:
        """Loaded where somebody asks: most of what is opened are programs."""
        from stubgen.image.variables_elf import ElfVariables

        return ElfVariables(self, self.file, self._source_file)

    def variables(self) -> Iterator[Variable]:
        return self._variables.all()

    def contents(self, names: Collection[bytes]) -> Iterator[Content]:
        return self._variables.contents(names)

    def holds_labels(self, variable: Variable) -> bool:
        return self._variables.holds_labels(variable)

    def word_at(self, address: int) -> Word | None:
        names = self.file.dynamic_symbols
        for table, numbers in self._loaders_words:
            number = numbers.get(address)
            if number is None:
                continue
            kind, addend = table.kind[number], table.r_addend[number]
            if kind == R_AARCH64_RELATIVE:
                return Word(b"", addend)
            if kind not in (R_AARCH64_ABS64, R_AARCH64_GLOB_DAT) or names is None:
                return None
            return Word(names.name(table.symbol[number]), addend)
        return Word(b"", int.from_bytes(self.read_at(address, 8, "a pointer"), "little"))

    @cached_property
    def _loaders_words(self) -> list[tuple[Relocations, dict[int, int]]]:
        """The loader's relocations: each table, and place -> number in it."""
        tables = list(self.file.dynamic_relocations())
        return [(table, dict(zip(table.r_offset, range(len(table.r_offset)), strict=True))) for table in tables]

    def section_span(self, name: str) -> tuple[int, int] | None:
        section = self.file.section(name)
        if section is None or not section.header.sh_size or not section.header.sh_flags & c.SHF_ALLOC:
            return None
        return section.header.sh_addr, section.header.sh_addr + section.header.sh_size

    def segment_span(self, name: str) -> tuple[int, int] | None:
        spans = ((s.p_vaddr, s.p_vaddr + s.p_memsz) for s in self.file.segments if s.p_type == c.PT_LOAD)
        first = min(spans, default=None)
        return first if not name else None

    def entries_of(self, section: str) -> Iterator[Entry]:
        table = self.file.symbols
        for part in self.file.sections if table is not None else ():
            if part.name != section or table is None or not part.header.sh_flags & c.SHF_ALLOC:
                continue
            content, pointers = self._unrelocated(part), self._pointers_in(part)
            covered = 0
            at = [i for i, shndx in enumerate(table.st_shndx) if shndx == part.number and table.st_size[i]]
            for index in sorted(at, key=lambda index: table.st_value[index]):
                start, size = table.st_value[index], table.st_size[index]
                local = table.st_info[index] >> 4 == c.STB_LOCAL
                file = self._source_file(table, index) if local else b""
                if start <= covered:
                    covered = max(covered, start + size)
                own = {at - start: meant for at, meant in pointers.items() if start <= at < start + size}
                yield Entry(table.name(index), size, local, file, content[start : start + size], own)
            if covered < part.header.sh_size:
                yield Entry(b"", part.header.sh_size - covered, local=False, file=b"", content=(), pointers={})

    def _pointers_in(self, section: Section) -> dict[int, Pointed]:
        """Byte offset in an object's *section* -> what the word there points to, where a name or a string tells."""
        table = self.file.symbols
        found: dict[int, Pointed] = {}
        for _, relocations in self.file.relocations_of(section) if table is not None else ():
            for number, offset in enumerate(relocations.r_offset):
                if relocations.kind[number] == R_AARCH64_ABS64 and table is not None:
                    meant = self._pointed(table, relocations.symbol[number], relocations.r_addend[number])
                    if meant is not None:
                        found[offset] = meant
        return found

    def _pointed(self, table: Symbols, number: int, addend: int) -> Pointed | None:
        symbol = table.entry(number)
        if symbol.st_info & 0xF != c.STT_SECTION and not table.name(number).startswith(b".L"):
            return Pointed(split_version(table.name(number))[0], addend, b"")
        if not 0 < symbol.st_shndx < len(self.file.sections):
            return None
        section, at = self.file.sections[symbol.st_shndx], symbol.st_value + addend
        strings = c.SHF_MERGE | c.SHF_STRINGS
        merged = section.header.sh_flags & strings == strings and section.header.sh_entsize == 1
        for index, shndx in enumerate(() if merged else table.st_shndx):
            start, size = table.st_value[index], table.st_size[index]
            if shndx == symbol.st_shndx and start <= at < start + size:
                return Pointed(table.name(index), at - start, b"")
        if not merged and not section.holds_plain_constants:
            return None
        content = bytes(self.file.content(section))
        return Pointed(b"", 0, content[at : content.find(b"\0", at) + 1]) if 0 <= at < len(content) else None

    def _unrelocated(self, section: Section) -> list[int | None]:
        """The bytes of an object's *section*; None where a relocation changes one, by 8 at most."""
        content: list[int | None] = list(bytes(self.file.content(section)))
        for _, relocations in self.file.relocations_of(section):
            for offset in relocations.r_offset:
                content[offset : offset + 8] = [None] * len(content[offset : offset + 8])
        return content

    def imports(self) -> Iterator[Import]:
        table, dynamic = self.file.dynamic_symbols, self.file.dynamic
        if table is None or dynamic is None:
            return
        for index, shndx in enumerate(table.st_shndx):
            if index and shndx == c.SHN_UNDEF:
                version = table.versions[index] & ~c.VERSYM_HIDDEN if index < len(table.versions) else 0
                library = dynamic.version_needs.get(version, (None, ""))[0]
                yield Import(table.name(index), table.st_info[index] >> 4 == c.STB_WEAK, library)

    def exports(self) -> set[bytes]:
        table = self.file.dynamic_symbols
        if table is None:
            return set()
        return {
            table.name(index)
            for index, shndx in enumerate(table.st_shndx)
            if shndx != c.SHN_UNDEF and table.st_info[index] >> 4 != c.STB_LOCAL
        }

    def looked_up(self) -> set[bytes]:
        return self.file.bound_names()

    def replaceable(self) -> set[bytes]:
        table = self.file.dynamic_symbols
        if table is None:
            return set()
        bound = self.file.bound_names()
        return {
            name
            for shndx, st_other, name in zip(table.st_shndx, table.st_other, table.names(), strict=True)
            if shndx != c.SHN_UNDEF and st_other & 3 == c.STV_DEFAULT and name in bound
        }

    @property
    def branch_targets_guarded(self) -> bool:
        return bool(self.features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)

    def thread_offset(self, value: int) -> int | None:
        """AArch64's variant I: the main program's block lies behind a 16-byte header at its own alignment."""
        if self.file_type is not FileType.EXECUTABLE:
            return None
        for segment in self.file.segments:
            if segment.p_type == c.PT_TLS:
                header = 16
                return value + header + ((segment.p_vaddr - header) & (max(segment.p_align, 1) - 1))
        return None

    def thread_descriptor(self, candidate: Candidate) -> tuple[int, int] | None:
        if self.file_type is not FileType.LIBRARY:
            return None
        named, own, preemptible = self._thread_descriptors
        if not candidate.local and candidate.name in named:  # what the loader bound, also if that is another library's
            address, addend = named[candidate.name]
            return address, -addend
        if own is None or (not candidate.local and candidate.name in preemptible):
            return None
        address, value = own
        return address, candidate.address - value

    @cached_property
    def _thread_descriptors(self) -> tuple[dict[bytes, tuple[int, int]], tuple[int, int] | None, set[bytes]]:
        """The TLS descriptors of a library, which the loader fills in: R_AARCH64_TLSDESC.

        Returns:
            Name of a variable that others may preempt -> address and addend; address of one that is surely of the
            library's own block, and the symbol value it is for; and the names that others may preempt.
        """
        table, dynamic = self.file.dynamic_symbols, self.file.dynamic
        if table is None or dynamic is None:
            return {}, None, set()
        symbolic = c.DT_SYMBOLIC in dynamic.tags or dynamic.tags.get(c.DT_FLAGS, 0) & c.DF_SYMBOLIC

        def is_preemptible(index: int) -> bool:
            bound_here = symbolic or table.st_info[index] >> 4 == c.STB_LOCAL or table.st_other[index] & 3
            return table.st_shndx[index] == c.SHN_UNDEF or not bound_here

        named: dict[bytes, tuple[int, int]] = {}
        own = None
        for relocations in self.file.dynamic_relocations():
            if R_AARCH64_TLSDESC not in relocations.kind:
                continue
            for offset, symbol, kind, addend in relocations.rows():
                if kind != R_AARCH64_TLSDESC or symbol >= len(table):
                    continue
                if symbol and is_preemptible(symbol):
                    named.setdefault(table.name(symbol), (offset, addend))
                elif own is None:
                    own = offset, addend + (table.st_value[symbol] if symbol else 0)
        others = {
            table.name(index)
            for index, info in enumerate(table.st_info)
            if info & 0xF == c.STT_TLS and table.st_shndx[index] != c.SHN_UNDEF and is_preemptible(index)
        }
        return named, own, others

    def local_exec_accesses(self) -> Iterator[str]:
        symbols, sections = self.file.symbols, self.file.sections
        for section, relocations in self.file.relocations():
            home = section.header.sh_info
            if symbols is None or home >= len(sections) or LOCAL_EXEC.isdisjoint(relocations.kind):
                continue
            for offset, symbol, kind in zip(relocations.r_offset, relocations.symbol, relocations.kind, strict=True):
                if kind in LOCAL_EXEC and symbol < len(symbols):
                    place = f"{self.name}: {sections[home].name}+{offset:#x}"
                    yield f"{place}: {NAMES[kind]} against {as_text(symbols.name(symbol))}"

    @property
    def has_text_relocations(self) -> bool:
        tags = self.file.dynamic.tags if self.file.dynamic else {}
        return c.DT_TEXTREL in tags or bool(tags.get(c.DT_FLAGS, 0) & c.DF_TEXTREL)

    def code(self) -> Iterator[Code]:
        for section in self.file.sections:
            header = section.header
            if header.sh_flags & c.SHF_EXECINSTR and header.sh_type == c.SHT_PROGBITS:
                yield Code(section.number, header.sh_addr, self.file.content(section))
        if not self.file.sections:
            for start, end in self.executable_ranges():
                stored = min(end - start, len(self.file.view) - (self.file.offset_of(start) or 0))
                yield Code(0, start, self.file.read_at(start, stored, "an executable segment"))

    def functions(self) -> Iterator[FunctionSymbol]:
        table = self.file.symbols or self.file.dynamic_symbols
        if table is None:
            return
        for index, info in enumerate(table.st_info):
            if info & 0xF == c.STT_FUNC and table.st_shndx[index] not in (c.SHN_UNDEF, table.absolute):
                section = table.st_shndx[index] if self.file.sections else 0
                weak, hidden = info >> 4 == c.STB_WEAK, table.st_other[index] & 3 == c.STV_HIDDEN
                yield FunctionSymbol(table.name(index), section, table.st_value[index], weak, hidden)

    def static_code(self) -> Iterator[StaticCode]:
        from stubgen.image.static_code import Span, code_at

        table, words = self.file.symbols, (R_AARCH64_ABS64, R_AARCH64_PREL64)
        if table is None:
            return
        spans: dict[int, list[Span]] = {}
        for index in table.indexes_of(_STATIC_CODE):
            number, start, size = table.st_shndx[index], table.st_value[index], table.st_size[index]
            if size:
                span = Span(start, start + size, table.name(index), start + (number << PLACE_SHIFT))
                spans.setdefault(number, []).append(span)
        parts: dict[int, list[tuple[int, int]]] = {}
        for section, relocations in self.file.relocations() if spans else ():
            sizes = (8 if kind in words else 4 for kind in relocations.kind)
            parts.setdefault(section.header.sh_info, []).extend(zip(relocations.r_offset, sizes, strict=True))
        for number, own in spans.items():
            if 0 < number < len(self.file.sections):
                content = self.file.content(self.file.sections[number])
                yield from code_at(content, parts.get(number, ()), own)

    def functions_of(self, path: bytes) -> list[Candidate]:
        import posixpath

        from stubgen.image.unit_ranges import ranges_of

        units = [unit for unit in self.debug_info.called(posixpath.basename(path)) if unit.path == path]
        runs = ranges_of(self.debug_section, units[0]) if len(units) == 1 else []
        if not runs or not self.symbol_tables:
            return []
        starts, low, high = [start for start, _ in runs], runs[0][0], max(end for _, end in runs)
        said = self.debug_info.functions(units[0])  # GCC's ranges may begin behind where a function does
        values = self.symbol_tables[0].st_value
        near = [index for index, at in enumerate(values) if low <= at < high or at in said]
        found = self.candidates(0, near, lambda _: True)
        return [
            each
            for each in found
            if each.address in said or each.address < runs[max(bisect_right(starts, each.address) - 1, 0)][1]
        ]

    def in_its_file(self, candidate: Candidate) -> Candidate:
        if candidate.file or not candidate.local or candidate.hidden or candidate.kind is not Kind.FUNCTION:
            return candidate
        from stubgen.image.dwarf_places import function_of_optimised

        said = function_of_optimised(self.debug_info, candidate.address)
        if said is None:
            return candidate
        unit, was_global = said
        return candidate._replace(file=b"" if was_global else os.path.basename(unit.path), hidden=was_global)

    def variables_of(self, file: bytes, path: bytes) -> list[Candidate]:
        from stubgen.image.dwarf_places import places_of

        if not self.symbol_tables:
            return []
        placed = {address for addresses in places_of(self.debug_info, path).values() for address in addresses}
        table, alone = self.symbol_tables[0], self.files_called(file) == 1
        near = [
            index
            for index, info in enumerate(table.st_info)
            if info & 0xF in (c.STT_OBJECT, c.STT_TLS)
            and ((alone and info >> 4 == c.STB_LOCAL) or table.st_value[index] in placed)
        ]
        found = self.candidates(0, near, lambda _: True)
        return [each for each in found if each.file == file or (each.kind is Kind.DATA and each.address in placed)]

    def is_of_source(self, candidate: Candidate, path: bytes) -> bool | None:
        from stubgen.image.dwarf_places import is_of_source

        return is_of_source(self.debug_info, candidate.address, path, function=candidate.kind is Kind.FUNCTION)

    def variables_at(self, addresses: Collection[int]) -> list[Candidate]:
        if not self.symbol_tables:
            return []
        near = [index for index, at in enumerate(self.symbol_tables[0].st_value) if at in addresses]
        return [each for each in self.candidates(0, near, lambda _: True) if each.kind is Kind.DATA]

    def static_variables(self, keep: Callable[[bytes], bool], sections: Collection[str]) -> list[Candidate]:
        if not self.symbol_tables:
            return []
        table = self.symbol_tables[0]
        homes, st_shndx = {each.number for each in self.file.sections if each.name in sections}, table.st_shndx
        there = compress(count(), table.st_info.translate(_STATIC_DATA))
        near = [index for index in there if st_shndx[index] in homes and keep(table.name(index))]
        return [each for each in self.candidates(0, near, lambda _: True) if each.kind is Kind.DATA]

    def names_at(self, addresses: Collection[int]) -> dict[int, set[bytes]]:
        found: dict[int, set[bytes]] = {}
        for table in self.symbol_tables:
            for index in [index for index, address in enumerate(table.st_value) if address in addresses]:
                if table.st_info[index] & 0xF == c.STT_FUNC and table.st_shndx[index] != c.SHN_UNDEF:
                    found.setdefault(table.st_value[index], set()).add(split_version(table.name(index))[0])
        return found

    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        table = self.file.symbols
        if table is not None and prefix in table.strings.content:
            for index, name in enumerate(table.names()):
                if name.startswith(prefix) and table.st_shndx[index] != c.SHN_UNDEF:
                    yield name, table.st_value[index]

    @property
    def first_address(self) -> int:
        return min((start for start, _ in self._loaded), default=0) & -self.page_size

    def file_offset(self, address: int) -> int | None:
        return self.file.offset_of(address)

    def executable_ranges(self) -> list[tuple[int, int]]:
        return self.file.executable_ranges()

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        return self.file.read_at(address, size, what)


def names_nothing(st_type: int, name: bytes) -> bool:
    """Whether a symbol of type STT_* is none that code refers to by name: a section's, a file's, a mapping symbol."""
    return st_type in (c.STT_SECTION, c.STT_FILE) or is_mapping_symbol(name)


def _names_version(name: bytes, version: str) -> bool:
    """Whether an absolute symbol is a version definition's own."""
    return name == version.encode()


def is_mapping_symbol(name: bytes) -> bool:
    """AAELF64, "Mapping symbols": ``$x`` or ``$d``, alone or before a period; ``$destroy`` is a name like any other."""
    return name in (b"$x", b"$d") or name.startswith((b"$x.", b"$d."))


def _uncompressed(content: bytes) -> bytes:
    """What a compressed section holds; empty where it is not zlib's."""
    import zlib

    try:
        return zlib.decompress(content[_CHDR_SIZE:]) if content[:1] == bytes([_ZLIB]) else b""
    except zlib.error:
        return b""


_PLT_PAGE, _PLT_PAGE_MASK = 0x90000010, 0x9F00001F  # adrp x16, page of the word (AAELF64, "PLT")
_PLT_LOAD, _PLT_LOAD_MASK = 0xF9400211, 0xFFC003FF  # ldr x17, [x16, #offset]
_LANDING_PAD = 0xD503245F  # bti c


def _plt_word(at: int, page: int, load: int) -> int:
    """The virtual address that ``adrp`` *page* at *at*, and ``ldr`` *load* behind it, read."""
    pages = (page >> 5 & 0x7FFFF) << 2 | page >> 29 & 3
    pages -= (pages & 1 << 20) << 1  # 21 bits with a sign
    return (at >> 12) + pages << 12 | (load >> 10 & 0xFFF) * 8


def _within(address: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= address < end for start, end in ranges)
