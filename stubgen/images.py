"""Opens a file of either format and gives the phases one vocabulary for what is in it.

:class:`ElfImage` and :class:`MachOImage` are twins; what a format's symbol type means for a call (function,
datum, thread-local, resolver, import) is decided here, from the tables at the top, and nowhere else.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from stubgen.errors import MalformedInput, UnsupportedInput

if TYPE_CHECKING:
    from elf.reader import ElfFile, Symbols
    from macho.reader import BuildVersion, MachOFile


class Kind(Enum):
    """What a symbol is, as far as a caller is concerned."""

    FUNCTION = "function"
    DATA = "data"
    THREAD_LOCAL = "thread-local"
    IFUNC = "ifunc"
    IMPORT = "import"
    ABSOLUTE = "absolute"


class Role(Enum):
    """What a file is for."""

    OBJECT = "object"
    EXECUTABLE = "executable"
    LIBRARY = "shared library"
    BUNDLE = "bundle"


class Candidate(NamedTuple):
    """One symbol that may be what a name means."""

    name: bytes  # without its version, with its ThinLTO suffix
    address: int  # static virtual address; 0 for an import
    kind: Kind
    local: bool  # not visible outside its translation unit
    size: int  # bytes; 0 where the format does not say
    section: str
    version: str = ""  # ELF symbol version
    default: bool = True  # of several versions, the one that an unversioned reference means
    exported: bool = False  # the dynamic loader can find it by name
    file: bytes = b""  # ELF: the source file of a local symbol, where the table says


class Code(NamedTuple):
    """A run of instructions."""

    section: int  # number or ordinal; 0 where section headers are stripped
    address: int  # virtual address of the first byte; in an ELF object, 0
    content: memoryview


class Place(NamedTuple):
    """Where a named function begins."""

    name: bytes
    section: int  # as in Code
    address: int  # virtual address; in an ELF object, byte offset into the section
    weak: bool
    hidden: bool  # ELF: hidden visibility; Mach-O: private extern


class Import(NamedTuple):
    """A name that a linked image leaves to the dynamic loader."""

    name: bytes
    weak: bool
    library: str | None  # the library that the linker found it in, where the image says so


class Static(NamedTuple):
    """A variable that an object defines."""

    name: bytes
    size: int  # bytes; 0 where the format does not say
    writable: bool
    thread_local: bool
    local: bool
    file: bytes = b""  # ELF: the source file of a local symbol, where the table says


class Reference(NamedTuple):
    """One name that an object uses and does not define."""

    spelling: bytes  # as the object has it; the stub must be spelled the same
    name: bytes  # without the version
    version: str  # ELF: the version that the object pins with .symver
    weak: bool


_THINLTO_SUFFIX = re.compile(rb"\.llvm\.\d+\Z")


def base_name(name: bytes) -> bytes:
    """*name* without LLVM's ThinLTO suffix ``.llvm.<digits>``."""
    return _THINLTO_SUFFIX.sub(b"", name) if b".llvm." in name else name


class Image(ABC):
    """A parsed file of either format."""

    format: str  # "elf" or "macho"
    page_size: int  # bytes; every slide is a multiple of it
    features = 0
    """ELF: GNU_PROPERTY_AARCH64_FEATURE_1_* bits."""
    build_version: BuildVersion | None = None
    """Mach-O: platform and minimum OS."""
    libc = ""
    """ELF: "glibc", "musl", "android", or "" where nothing tells."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def role(self) -> Role:
        """What the file is for."""

    @property
    @abstractmethod
    def build_id(self) -> bytes | None:
        """``.note.gnu.build-id`` or LC_UUID."""

    @property
    @abstractmethod
    def install_name(self) -> str | None:
        """DT_SONAME or LC_ID_DYLIB."""

    @property
    @abstractmethod
    def needed_libraries(self) -> tuple[str, ...]:
        """DT_NEEDED or LC_LOAD_DYLIB and its kin."""

    @property
    @abstractmethod
    def position_independent(self) -> bool:
        """Whether the loader may slide it."""

    @property
    @abstractmethod
    def has_symbols(self) -> bool:
        """Whether there is any symbol table to look in."""

    @abstractmethod
    def find(self, bases: Collection[bytes]) -> dict[bytes, list[Candidate]]:
        """Every symbol whose base name is in *bases*, by base name, in the file's order."""

    @abstractmethod
    def names(self) -> Iterator[bytes]:
        """The names of all symbols."""

    @abstractmethod
    def references(self) -> Iterator[Reference]:
        """What an object uses and does not define."""

    @abstractmethod
    def definitions(self) -> Iterator[bytes]:
        """The names that an object defines for other objects."""

    @abstractmethod
    def statics(self) -> Iterator[Static]:
        """The named variables that an object defines, local ones too."""

    @abstractmethod
    def imports(self) -> Iterator[Import]:
        """What a linked image leaves to the dynamic loader."""

    @abstractmethod
    def exports(self) -> set[bytes]:
        """The names under which the dynamic loader can find something in a linked image."""

    @abstractmethod
    def looked_up(self) -> set[bytes]:
        """The names that the dynamic loader looks up when it loads a linked image."""

    @property
    def branch_targets_guarded(self) -> bool:
        """Whether an indirect branch to an instruction that is no landing pad faults (BTI)."""
        return False

    def thread_offset(self, value: int) -> int | None:
        """ELF executables: distance in bytes from the thread pointer to the thread-local of symbol value *value*."""
        return None

    @property
    def has_text_relocations(self) -> bool:
        """Whether the dynamic loader would have to write to code."""
        return False

    @abstractmethod
    def code(self) -> Iterator[Code]:
        """Every executable section, or segment where sections are stripped."""

    @abstractmethod
    def functions(self) -> Iterator[Place]:
        """Every named place in executable sections."""

    @abstractmethod
    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        """Name and virtual address of every defined symbol of a linked image whose name begins with *prefix*."""

    @abstractmethod
    def executable_ranges(self) -> list[tuple[int, int]]:
        """First and one-past-last virtual address of each executable segment."""

    @abstractmethod
    def read_at(self, address: int, size: int, what: str) -> memoryview:
        """*size* bytes at virtual *address*."""


class ElfImage(Image):
    """An ELF file in the phases' vocabulary."""

    format = "elf"
    page_size = 4096  # Linux and Android map at this granularity or a multiple of it

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(name)
        from elf import constants
        from elf.reader import ElfFile

        self._c = constants
        self.file: ElfFile = ElfFile(data, name)
        self.features = self.file.features
        c = constants
        self._kinds = {
            c.STT_FUNC: Kind.FUNCTION,
            c.STT_OBJECT: Kind.DATA,
            c.STT_COMMON: Kind.DATA,
            c.STT_TLS: Kind.THREAD_LOCAL,
            c.STT_GNU_IFUNC: Kind.IFUNC,
        }
        """STT_* -> kind; STT_NOTYPE (assembly) is decided by where it lies, and no other is a candidate."""

    @property
    def role(self) -> Role:
        c, e_type = self._c, self.file.header.e_type
        if e_type == c.ET_REL:
            return Role.OBJECT
        if e_type == c.ET_EXEC:
            return Role.EXECUTABLE
        if e_type == c.ET_DYN:
            dynamic = self.file.dynamic
            pie = dynamic is not None and dynamic.tags.get(c.DT_FLAGS_1, 0) & c.DF_1_PIE
            return Role.EXECUTABLE if self.file.interpreter or pie else Role.LIBRARY
        kind = "a core dump" if e_type == c.ET_CORE else f"an ELF file of type {e_type}"
        raise UnsupportedInput(f"{self.name}: is {kind}, neither a program nor an object")

    @property
    def build_id(self) -> bytes | None:
        return self.file.build_id

    @property
    def install_name(self) -> str | None:
        return self.file.dynamic.soname if self.file.dynamic else None

    @property
    def needed_libraries(self) -> tuple[str, ...]:
        return self.file.dynamic.needed if self.file.dynamic else ()

    @property
    def position_independent(self) -> bool:
        return self.file.header.e_type == self._c.ET_DYN

    @property
    def has_symbols(self) -> bool:
        return any(table is not None and len(table) > 1 for table in (self.file.symbols, self.file.dynamic_symbols))

    @cached_property
    def libc(self) -> str:  # type: ignore[override]  # a cached property reads like the attribute that it overrides
        """Which C library the file runs on, from its loader, its needed libraries or Android's note."""
        interpreter = self.file.interpreter or ""
        markers = {interpreter.rpartition("/")[2], *self.needed_libraries}
        c = self._c
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

    def find(self, bases: Collection[bytes]) -> dict[bytes, list[Candidate]]:
        found: dict[bytes, list[Candidate]] = {}
        for table in (self.file.symbols, self.file.dynamic_symbols):
            if table is None:
                continue
            loose = b".llvm." in table.strings or b"@" in table.strings
            for index, name in enumerate(table.names()):
                if name in bases:
                    candidate = self._candidate(table, index, name, "", True)
                elif loose:
                    plain, version, default = _split_version(name)
                    if base_name(plain) not in bases:
                        continue
                    candidate = self._candidate(table, index, plain, version, default)
                else:
                    continue
                if candidate is not None:
                    found.setdefault(base_name(candidate.name), []).append(candidate)
        return found

    def _candidate(self, table: Any, index: int, name: bytes, version: str, default: bool) -> Candidate | None:
        c = self._c
        kind_code = table.st_info[index] & 0xF
        bind = table.st_info[index] >> 4
        shndx, address = table.st_shndx[index], table.st_value[index]
        if table.versions and index < len(table.versions) and not version:
            version, default = self._version(table.versions[index])
        if shndx == c.SHN_UNDEF:
            return Candidate(name, 0, Kind.IMPORT, False, 0, "", version, default) if name else None
        if kind_code in (c.STT_SECTION, c.STT_FILE) or name.startswith((b"$x", b"$d")):
            return None
        section = ""
        if shndx == c.SHN_ABS:
            if name == version.encode():  # a version definition's own symbol
                return None
            kind: Kind | None = Kind.ABSOLUTE
        else:
            flags = 0
            if shndx < len(self.file.sections):
                section = self.file.sections[shndx].name
                flags = self.file.sections[shndx].header.sh_flags
            executable = bool(flags & c.SHF_EXECINSTR) or (not flags and _within(address, self.executable_ranges()))
            kind = self._kinds.get(kind_code)
            if kind is None and kind_code == c.STT_NOTYPE:
                kind = Kind.FUNCTION if executable else Kind.THREAD_LOCAL if flags & c.SHF_TLS else Kind.DATA
        if kind is None or (address == 0 and kind is not Kind.THREAD_LOCAL):
            return None
        local = bind == c.STB_LOCAL
        exported = table is self.file.dynamic_symbols and not local
        file = self._source_file(table, index) if local and kind is Kind.DATA else b""
        return Candidate(name, address, kind, local, table.st_size[index], section, version, default, exported, file)

    def _source_file(self, table: Symbols, index: int) -> bytes:
        """gABI, "Symbol Table": a file symbol precedes the local symbols of its file."""
        while index > 0:
            index -= 1
            if table.st_info[index] & 0xF == self._c.STT_FILE:
                return table.name(index)
        return b""

    def _version(self, index: int) -> tuple[str, bool]:
        """Name of version *index* and whether it is the default one."""
        dynamic = self.file.dynamic
        default = not index & self._c.VERSYM_HIDDEN
        index &= ~self._c.VERSYM_HIDDEN
        if dynamic is None:
            return "", default
        return dynamic.version_definitions.get(index, ""), default

    def names(self) -> Iterator[bytes]:
        table = self.file.symbols or self.file.dynamic_symbols
        return iter(()) if table is None else table.names()

    def references(self) -> Iterator[Reference]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        for index, shndx in enumerate(table.st_shndx):
            if shndx == c.SHN_UNDEF and index:
                spelling = table.name(index)
                name, version, _ = _split_version(spelling)
                if name:
                    yield Reference(spelling, name, version, table.st_info[index] >> 4 == c.STB_WEAK)

    def definitions(self) -> Iterator[bytes]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        for index, shndx in enumerate(table.st_shndx):
            if shndx != c.SHN_UNDEF and table.st_info[index] >> 4 != c.STB_LOCAL:
                yield _split_version(table.name(index))[0]

    def statics(self) -> Iterator[Static]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        kinds = (c.STT_OBJECT, c.STT_COMMON, c.STT_TLS)
        for index, info in enumerate(table.st_info):
            shndx = table.st_shndx[index]
            if info & 0xF not in kinds or shndx in (c.SHN_UNDEF, c.SHN_ABS):
                continue
            writable = True  # a common
            if shndx < len(self.file.sections):
                section = self.file.sections[shndx]
                writable = bool(section.header.sh_flags & c.SHF_WRITE) and not section.name.startswith(".data.rel.ro")
            if table.name(index).startswith(b"DW.ref."):  # the compiler's pointer for unwinding, nobody's state
                continue
            local = info >> 4 == c.STB_LOCAL
            file = self._source_file(table, index) if local else b""
            yield Static(table.name(index), table.st_size[index], writable, info & 0xF == c.STT_TLS, local, file)

    def imports(self) -> Iterator[Import]:
        c, table, dynamic = self._c, self.file.dynamic_symbols, self.file.dynamic
        if table is None or dynamic is None:
            return
        for index, shndx in enumerate(table.st_shndx):
            if index and shndx == c.SHN_UNDEF:
                version = table.versions[index] & ~c.VERSYM_HIDDEN if index < len(table.versions) else 0
                library = dynamic.version_needs.get(version, (None, ""))[0]
                yield Import(table.name(index), table.st_info[index] >> 4 == c.STB_WEAK, library)

    def exports(self) -> set[bytes]:
        c, table = self._c, self.file.dynamic_symbols
        if table is None:
            return set()
        return {
            table.name(index)
            for index, shndx in enumerate(table.st_shndx)
            if shndx != c.SHN_UNDEF and table.st_info[index] >> 4 != c.STB_LOCAL
        }

    def looked_up(self) -> set[bytes]:
        return self.file.bound_names()

    @property
    def branch_targets_guarded(self) -> bool:
        return bool(self.features & self._c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)

    def thread_offset(self, value: int) -> int | None:
        """AArch64's variant I: the main program's block lies behind a 16-byte header at its own alignment."""
        if self.role is not Role.EXECUTABLE:
            return None
        for segment in self.file.segments:
            if segment.p_type == self._c.PT_TLS:
                header = 16
                return value + header + ((segment.p_vaddr - header) & (max(segment.p_align, 1) - 1))
        return None

    @property
    def has_text_relocations(self) -> bool:
        c, tags = self._c, self.file.dynamic.tags if self.file.dynamic else {}
        return c.DT_TEXTREL in tags or bool(tags.get(c.DT_FLAGS, 0) & c.DF_TEXTREL)

    def code(self) -> Iterator[Code]:
        c = self._c
        for section in self.file.sections:
            header = section.header
            if header.sh_flags & c.SHF_EXECINSTR and header.sh_type == c.SHT_PROGBITS:
                yield Code(section.number, header.sh_addr, self.file.content(section))
        if not self.file.sections:
            for start, end in self.executable_ranges():
                stored = min(end - start, len(self.file.view) - (self.file.offset_of(start) or 0))
                yield Code(0, start, self.file.read_at(start, stored, "an executable segment"))

    def functions(self) -> Iterator[Place]:
        c, table = self._c, self.file.symbols or self.file.dynamic_symbols
        if table is None:
            return
        for index, info in enumerate(table.st_info):
            if info & 0xF == c.STT_FUNC and table.st_shndx[index] not in (c.SHN_UNDEF, c.SHN_ABS):
                section = table.st_shndx[index] if self.file.sections else 0
                hidden = table.st_other[index] & 3 == c.STV_HIDDEN
                yield Place(table.name(index), section, table.st_value[index], info >> 4 == c.STB_WEAK, hidden)

    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        table = self.file.symbols
        if table is not None and prefix in table.strings:
            for index, name in enumerate(table.names()):
                if name.startswith(prefix) and table.st_shndx[index] != self._c.SHN_UNDEF:
                    yield name, table.st_value[index]

    def executable_ranges(self) -> list[tuple[int, int]]:
        return self.file.executable_ranges()

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        return self.file.read_at(address, size, what)


class MachOImage(Image):
    """A Mach-O file in the phases' vocabulary."""

    format = "macho"
    page_size = 16384  # Apple's ARM64 kernels

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(name)
        from macho import constants
        from macho.reader import MachOFile

        self._c = constants
        self.file: MachOFile = MachOFile(data, name)
        self.build_version = self.file.build_version
        c = constants
        self._roles = {
            c.MH_OBJECT: Role.OBJECT,
            c.MH_EXECUTE: Role.EXECUTABLE,
            c.MH_DYLIB: Role.LIBRARY,
            c.MH_BUNDLE: Role.BUNDLE,
        }

    @property
    def role(self) -> Role:
        filetype = self.file.header.filetype
        if filetype not in self._roles:
            kind = {self._c.MH_DSYM: "a dSYM", self._c.MH_DYLIB_STUB: "a dylib stub"}.get(
                filetype, f"a Mach-O file of type {filetype}"
            )
            raise UnsupportedInput(f"{self.name}: is {kind}, neither a program nor an object")
        return self._roles[filetype]

    @property
    def build_id(self) -> bytes | None:
        return self.file.build_id

    @property
    def install_name(self) -> str | None:
        return self.file.install_name

    @property
    def needed_libraries(self) -> tuple[str, ...]:
        return tuple(dylib.name for dylib in self.file.dylibs)

    @property
    def position_independent(self) -> bool:
        return self.role is not Role.EXECUTABLE or bool(self.file.header.flags & self._c.MH_PIE)

    @property
    def has_symbols(self) -> bool:
        return self.file.symbols is not None and len(self.file.symbols) > 0

    def find(self, bases: Collection[bytes]) -> dict[bytes, list[Candidate]]:
        found: dict[bytes, list[Candidate]] = {}
        table = self.file.symbols
        if table is None:
            return found
        loose = b".llvm." in table.strings
        for index, name in enumerate(table.names()):
            if name not in bases and not (loose and base_name(name) in bases):
                continue
            candidate = self._candidate(table, index, name)
            if candidate is not None:
                found.setdefault(base_name(name), []).append(candidate)
        return found

    def _candidate(self, table: Any, index: int, name: bytes) -> Candidate | None:
        c = self._c
        n_type, address, n_sect = table.n_type[index], table.n_value[index], table.n_sect[index]
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
        section = self.file.sections[n_sect - 1]
        flags = section.header.flags
        if flags & c.SECTION_TYPE in c.THREAD_LOCAL_TYPES:
            kind = Kind.THREAD_LOCAL
        elif flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS):
            kind = Kind.FUNCTION
        else:
            kind = Kind.DATA
        exported = bool(n_type & c.N_EXT) and not n_type & c.N_PEXT
        return Candidate(name, address, kind, local, 0, section.name, exported=exported)

    def names(self) -> Iterator[bytes]:
        return iter(()) if self.file.symbols is None else self.file.symbols.names()

    def references(self) -> Iterator[Reference]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_UNDF and not table.n_value[index]:
                name = table.name(index)
                yield Reference(name, name, "", bool(table.n_desc[index] & c.N_WEAK_REF))

    def definitions(self) -> Iterator[bytes]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            if n_type & c.N_STAB or not n_type & c.N_EXT:
                continue
            common = n_type & c.N_TYPE == c.N_UNDF and table.n_value[index]
            if common or n_type & c.N_TYPE in (c.N_SECT, c.N_ABS, c.N_INDR):
                yield table.name(index)

    def statics(self) -> Iterator[Static]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            n_sect = table.n_sect[index]
            if n_type & c.N_STAB or n_type & c.N_TYPE != c.N_SECT or not 0 < n_sect <= len(self.file.sections):
                continue
            section = self.file.sections[n_sect - 1]
            kind = section.header.flags & c.SECTION_TYPE
            thread_local = kind == c.S_THREAD_LOCAL_VARIABLES
            if section.name.startswith("__DATA,") and (thread_local or kind not in c.THREAD_LOCAL_TYPES):
                writable = section.name != "__DATA,__const"
                yield Static(table.name(index), 0, writable, thread_local, not n_type & (c.N_EXT | c.N_PEXT))

    def imports(self) -> Iterator[Import]:
        c, table, dylibs = self._c, self.file.symbols, self.file.dylibs
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            if n_type & c.N_STAB or n_type & c.N_TYPE != c.N_UNDF:
                continue
            ordinal = table.n_desc[index] >> 8  # two-level namespace: 1 for the first dylib
            library = dylibs[ordinal - 1].name if 0 < ordinal <= len(dylibs) else None
            yield Import(table.name(index), bool(table.n_desc[index] & c.N_WEAK_REF), library)

    def exports(self) -> set[bytes]:
        c, table = self._c, self.file.symbols
        if table is None:
            return set()
        return {
            table.name(index)
            for index, n_type in enumerate(table.n_type)
            if not n_type & (c.N_STAB | c.N_PEXT) and n_type & c.N_EXT and n_type & c.N_TYPE != c.N_UNDF
        }

    def looked_up(self) -> set[bytes]:
        return self.file.bound_names()

    def code(self) -> Iterator[Code]:
        c = self._c
        for section in self.file.sections:
            if section.header.flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS):
                yield Code(section.ordinal, section.header.addr, self.file.content(section))

    def functions(self) -> Iterator[Place]:
        c, table = self._c, self.file.symbols
        if table is None:
            return
        for index, n_type in enumerate(table.n_type):
            if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT:
                weak = bool(table.n_desc[index] & c.N_WEAK_DEF)
                hidden = bool(n_type & c.N_PEXT)
                yield Place(table.name(index), table.n_sect[index], table.n_value[index], weak, hidden)

    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        table = self.file.symbols
        if table is not None and prefix in table.strings:
            for index, name in enumerate(table.names()):
                if name.startswith(prefix) and table.n_type[index] & self._c.N_TYPE == self._c.N_SECT:
                    yield name, table.n_value[index]

    def executable_ranges(self) -> list[tuple[int, int]]:
        return self.file.executable_ranges()

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        return self.file.read_at(address, size, what)


def _within(address: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= address < end for start, end in ranges)


def _split_version(name: bytes) -> tuple[bytes, str, bool]:
    """GNU ld's ``name@@V`` (default) and ``name@V``: name, version, whether it is the default."""
    if b"@" not in name[1:]:
        return name, "", True
    plain, _, version = name.partition(b"@")
    return plain, version.lstrip(b"@").decode("utf-8", "surrogateescape"), version.startswith(b"@")


_MACHO_MAGICS = frozenset(
    bytes.fromhex(magic) for magic in ["cffaedfe", "feedfacf", "cefaedfe", "feedface", "cafebabe", "cafebabf"]
)
_OTHER_MAGICS = (
    (b"BC\xc0\xde", "LLVM bitcode (an LTO object): recompile it without -flto"),
    (b"\xde\xc0\x17\x0b", "LLVM bitcode (an LTO object): recompile it without -flto"),
    (b"!<arch>\n", "an archive, not a linked program or library"),
    (b"!<thin>\n", "an archive, not a linked program or library"),
    (b"MZ", "a Windows program; Windows is not handled"),
    (b"\0asm", "WebAssembly, whose code cannot be patched by address"),
)


def has_object_magic(data: Any) -> bool:
    """Whether *data* begins like a file of either format."""
    magic = bytes(data[:4])
    return magic == b"\x7fELF" or magic in _MACHO_MAGICS


def open_image(data: Any, name: str) -> Image:
    """Parse *data*, the content of file *name*.

    Raises:
        MalformedInput: it is empty, cut off or of no known format.
        UnsupportedInput: it is a file of another machine or kind; the message says which.
    """
    magic = bytes(data[:8])
    if not magic:
        raise MalformedInput(f"{name}: is empty")
    if magic[:4] == b"\x7fELF":
        return ElfImage(data, name)
    if magic[:4] in _MACHO_MAGICS:
        return MachOImage(data, name)
    for prefix, what in _OTHER_MAGICS:
        if magic.startswith(prefix):
            raise UnsupportedInput(f"{name}: is {what}")
    raise MalformedInput(f"{name}: is neither an ELF nor a Mach-O file")
