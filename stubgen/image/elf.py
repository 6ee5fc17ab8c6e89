"""An ELF file in the phases' vocabulary. Twin of ``image_macho``.

What a symbol's type means for a call (function, datum, thread-local, resolver, import) is decided here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from stubgen.common.strings import string_at
from stubgen.common.text import as_text
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile, Section, Symbols
from stubgen.elf.records import Sym
from stubgen.errors import UnsupportedInput
from stubgen.image import (
    Candidate,
    Code,
    Image,
    Import,
    Kind,
    Place,
    Reference,
    Role,
    Static,
    alignment_at,
    state_obstacle,
)


class ElfImage(Image):
    """An ELF file in the phases' vocabulary."""

    format = "elf"
    page_size = 4096  # Linux and Android map at this granularity or a multiple of it

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(name)

        self.file: ElfFile = ElfFile(data, name)
        self.features = self.file.features
        self.intermediate_code = any(section.name.startswith(".gnu.lto_") for section in self.file.sections)
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
        e_type = self.file.header.e_type
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
    def has_full_symbols(self) -> bool:
        return self.file.symbols is not None

    @property
    def symbol_tables(self) -> list[Symbols]:
        return [table for table in (self.file.symbols, self.file.dynamic_symbols) if table is not None]

    def candidates(self, number: int, places: Iterable[int], keep: Callable[[bytes], bool]) -> Iterator[Candidate]:
        table = self.symbol_tables[number]
        for index in places:
            symbol = table.entry(index)
            plain, version, default = _split_version(table.strings.at(symbol.st_name))
            candidate = self._candidate(table, index, symbol, plain, version, default) if keep(plain) else None
            if candidate is not None:
                yield candidate

    def _candidate(
        self, table: Symbols, index: int, symbol: Sym, name: bytes, version: str, default: bool
    ) -> Candidate | None:
        kind_code, bind = symbol.st_info & 0xF, symbol.st_info >> 4
        shndx, address = symbol.st_shndx, symbol.st_value
        if table.versions and index < len(table.versions) and not version:
            version, default = self._version(table.versions[index])
        if shndx == c.SHN_UNDEF:
            return Candidate(name, 0, Kind.IMPORT, False, 0, "", version, default) if name else None
        if kind_code in (c.STT_SECTION, c.STT_FILE) or _is_mapping_symbol(name):
            return None
        section = ""
        if shndx == table.absolute:
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
        file = self._source_file(table, index) if local and kind in (Kind.DATA, Kind.THREAD_LOCAL) else b""
        writable = kind is not Kind.DATA or self._is_writable(shndx, address)
        size = symbol.st_size
        return Candidate(name, address, kind, local, size, section, version, default, exported, file, writable)

    def _is_writable(self, shndx: int, address: int) -> bool:
        """Whether the datum at *address* of a linked image, in section *shndx*, is no constant."""
        if any(s.p_type == c.PT_GNU_RELRO and s.p_vaddr <= address < s.p_vaddr + s.p_memsz for s in self.file.segments):
            return False
        if shndx < len(self.file.sections):
            return _holds_variables(self.file.sections[shndx])
        return any(
            s.p_type == c.PT_LOAD and s.p_flags & c.PF_W and s.p_vaddr <= address < s.p_vaddr + s.p_memsz
            for s in self.file.segments
        )

    def _source_file(self, table: Symbols, index: int) -> bytes:
        """The file of a local symbol; only the full table has file symbols."""
        return table.file_of(index) if table is self.file.symbols else b""

    def _version(self, index: int) -> tuple[str, bool]:
        """Name of version *index* and whether it is the default one."""
        dynamic = self.file.dynamic
        default = not index & c.VERSYM_HIDDEN
        index &= ~c.VERSYM_HIDDEN
        if dynamic is None:
            return "", default
        return dynamic.version_definitions.get(index, ""), default

    def names(self) -> Iterator[bytes]:
        table = self.file.symbols or self.file.dynamic_symbols
        return iter(()) if table is None else table.names()

    def references(self) -> Iterator[Reference]:
        table = self.file.symbols
        if table is None:
            return
        text = table.strings.content
        for index, shndx in enumerate(table.st_shndx):
            if shndx == c.SHN_UNDEF and index:
                spelling = string_at(text, table.st_name[index])
                name, version, _ = _split_version(spelling)
                if name:
                    yield Reference(spelling, name, version, table.st_info[index] >> 4 == c.STB_WEAK)

    def definitions(self) -> Iterator[bytes]:
        table = self.file.symbols
        if table is None:
            return
        for index, shndx in enumerate(table.st_shndx):
            if shndx != c.SHN_UNDEF and table.st_info[index] >> 4 != c.STB_LOCAL:
                yield _split_version(table.name(index))[0]

    def statics(self) -> Iterator[Static]:
        table = self.file.symbols
        if table is None:
            return
        from stubgen.symbols.numbering import SEVERAL, has_sibling

        names = set(table.names())
        initialisers = any(
            s.header.sh_size and s.name.startswith((".init_array", ".ctors")) for s in self.file.sections
        )
        variables = list(self._variables(table))
        homes = Counter((table.st_shndx[index], table.st_value[index]) for index in variables)
        for index in variables:
            name, shndx, info = table.name(index), table.st_shndx[index], table.st_info[index]
            writable, align = True, table.st_value[index]  # a common
            if shndx < len(self.file.sections):
                writable = _holds_variables(self.file.sections[shndx])
                align = self._alignment(table, index)
            local, thread_local = info >> 4 == c.STB_LOCAL, info & 0xF == c.STT_TLS
            obstacle = state_obstacle(name, names, thread_local=thread_local, initialisers=initialisers)
            if not obstacle and has_sibling(name, table):
                obstacle = f"the patch {SEVERAL}"
            if not obstacle and shndx != table.common and homes[shndx, table.st_value[index]] > 1:
                obstacle = "it has several names"
            yield Static(
                name=name,
                size=table.st_size[index],
                writable=writable,
                thread_local=thread_local,
                local=local,
                hidden=table.st_other[index] & 3 == c.STV_HIDDEN,
                file=self._source_file(table, index if local else len(table)),
                obstacle=obstacle,
                align=max(align, 1),
            )

    def _alignment(self, table: Symbols, index: int) -> int:
        """What the code of an object may rely on: exact for a variable that has its section to itself."""
        header = self.file.sections[table.st_shndx[index]].header
        offset, size = table.st_value[index], table.st_size[index]
        if not offset and size == header.sh_size:
            return int(header.sh_addralign)
        return alignment_at(offset, size, header.sh_addralign)

    def _variables(self, table: Symbols) -> Iterator[int]:
        """Index of every symbol that is somebody's variable."""
        kinds = (c.STT_OBJECT, c.STT_COMMON, c.STT_TLS)
        for index, info in enumerate(table.st_info):
            if info & 0xF in kinds and table.st_shndx[index] not in (c.SHN_UNDEF, table.absolute):
                name = table.name(index)
                # the compiler's pointer for unwinding; labels and anchors
                if not name.startswith((b"DW.ref.", b".L", b"$")):
                    yield index

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

    @property
    def branch_targets_guarded(self) -> bool:
        return bool(self.features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)

    def thread_offset(self, value: int) -> int | None:
        """AArch64's variant I: the main program's block lies behind a 16-byte header at its own alignment."""
        if self.role is not Role.EXECUTABLE:
            return None
        for segment in self.file.segments:
            if segment.p_type == c.PT_TLS:
                header = 16
                return value + header + ((segment.p_vaddr - header) & (max(segment.p_align, 1) - 1))
        return None

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

    def functions(self) -> Iterator[Place]:
        table = self.file.symbols or self.file.dynamic_symbols
        if table is None:
            return
        for index, info in enumerate(table.st_info):
            if info & 0xF == c.STT_FUNC and table.st_shndx[index] not in (c.SHN_UNDEF, table.absolute):
                section = table.st_shndx[index] if self.file.sections else 0
                hidden = table.st_other[index] & 3 == c.STV_HIDDEN
                yield Place(table.name(index), section, table.st_value[index], info >> 4 == c.STB_WEAK, hidden)

    def named(self, prefix: bytes) -> Iterator[tuple[bytes, int]]:
        table = self.file.symbols
        if table is not None and prefix in table.strings.content:
            for index, name in enumerate(table.names()):
                if name.startswith(prefix) and table.st_shndx[index] != c.SHN_UNDEF:
                    yield name, table.st_value[index]

    def executable_ranges(self) -> list[tuple[int, int]]:
        return self.file.executable_ranges()

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        return self.file.read_at(address, size, what)


def _is_mapping_symbol(name: bytes) -> bool:
    """AAELF64, "Mapping symbols": ``$x`` or ``$d``, alone or before a period; ``$destroy`` is a name like any other."""
    return name in (b"$x", b"$d") or name.startswith((b"$x.", b"$d."))


def _holds_variables(section: Section) -> bool:
    return bool(section.header.sh_flags & c.SHF_WRITE) and not section.name.startswith(".data.rel.ro")


def _within(address: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= address < end for start, end in ranges)


def _split_version(name: bytes) -> tuple[bytes, str, bool]:
    """GNU ld's ``name@@V`` (default) and ``name@V``: name, version, whether it is the default."""
    if b"@" not in name[1:]:
        return name, "", True
    plain, _, version = name.partition(b"@")
    return plain, as_text(version.lstrip(b"@")), version.startswith(b"@")
