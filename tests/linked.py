"""Linked programs and libraries of either format, made symbol by symbol, for what no linker makes on demand.

An address in the file is its offset, so that nothing has to be laid out twice. They prove what is decided about such
files; that the files of linkers are read rightly, linkers and loaders prove elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stubgen.elf import constants as e
from stubgen.macho import constants as m
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion

TEXT, RODATA, DATA, THREAD = 1, 2, 3, 4
"""Section numbers of ELF files."""
CODE, CONSTANTS, VARIABLES, THREADS = 0x1000, 0x2000, 0x3000, 0x4000
"""Where those sections begin."""
_PAGE = 0x1000
_ENTRIES = {e.SHT_SYMTAB: 24, e.SHT_DYNSYM: 24, e.SHT_RELA: 24, 6: 16}
"""SHT_* -> bytes an entry."""


class Sym(NamedTuple):
    """One symbol."""

    name: str
    value: int = 0
    kind: int = e.STT_FUNC
    bind: int = e.STB_GLOBAL
    section: int = TEXT
    other: int = e.STV_DEFAULT
    size: int = 8
    library: str = ""  # of an import: where its version is from
    version: str = "V1"


def imported(name: str, *, weak: bool = False, library: str = "", version: str = "V1") -> Sym:
    """What is left to the loader; with a version if its library is named."""
    bind = e.STB_WEAK if weak else e.STB_GLOBAL
    return Sym(name, 0, e.STT_NOTYPE, bind, e.SHN_UNDEF, size=0, library=library, version=version)


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.content = b"\0"

    def put(self, text: str) -> int:
        """Where *text* begins."""
        start = len(self.content)
        self.content += text.encode() + b"\0"
        return start if text else 0


class Part(NamedTuple):
    """A section of an ELF file."""

    name: str
    kind: int  # SHT_*
    flags: int  # SHF_*
    content: bytes
    link: str = ""
    info: int = 0
    align: int = 8


class Relocation(NamedTuple):
    """One that the loader applies."""

    place: int  # virtual address
    symbol: str
    kind: int
    addend: int = 0


def elf_linked(
    symbols: Sequence[Sym] = (),
    *,
    needed: Sequence[str] = (),
    soname: str = "",
    program: bool = False,
    code: bytes = b"",
    constants: bytes = b"",
    data: bytes = b"",
    notes: Sequence[tuple[str, bytes]] = (),
    relocations: Sequence[Relocation] = (),
    tags: Sequence[tuple[int, int]] = (),
    stripped: bool = False,
    sections: Mapping[str, str] | None = None,
    versions: Sequence[str] = (),
    interpreter: str = "",
) -> bytes:
    """A shared library, or a position-independent program.

    Args:
        symbols: in ``.symtab``; those that are neither local nor hidden also in ``.dynsym``.
        needed: DT_NEEDED.
        soname: DT_SONAME.
        program: write DT_DEBUG, which linkers write into programs alone.
        code: what is at ``CODE``.
        constants: what is at ``CONSTANTS``.
        data: what is at ``VARIABLES``.
        notes: sections of notes, by name.
        relocations: DT_RELA.
        tags: further entries of the dynamic table.
        stripped: leave ``.symtab`` out.
        sections: what a section is called instead.
        versions: those that it defines, of no symbol.
        interpreter: PT_INTERP.
    """
    alloc, write = e.SHF_ALLOC, e.SHF_ALLOC | e.SHF_WRITE
    ordered = sorted(symbols, key=lambda symbol: symbol.bind != e.STB_LOCAL)
    seen = [symbol for symbol in ordered if symbol.bind != e.STB_LOCAL and not symbol.other & 3]
    strings, names = _Strings(), _Strings()
    needs_of = list(dict.fromkeys((symbol.library, symbol.version) for symbol in seen if symbol.library))
    numbers = {need: number for number, need in enumerate(needs_of, start=2)}
    indexes = [0, *(numbers.get((symbol.library, symbol.version), 1) for symbol in seen)]
    needs = b""
    for number, (library, version) in enumerate(needs_of, start=2):
        needs += struct.pack("<HHIII", 1, 1, strings.put(library), 16, 32 if number <= len(needs_of) else 0)
        needs += struct.pack("<IHHII", 0, 0, number, strings.put(version), 0)
    defined = b""
    for number, version in enumerate(versions, start=100):
        defined += struct.pack("<HHHHIII", 1, 0, number, 1, 0, 20, 28) + struct.pack("<II", strings.put(version), 0)
    dynamic_symbols = _elf_symbols(seen, strings)
    index = {symbol.name: number for number, symbol in enumerate(seen, start=1)}
    table = b"".join(
        struct.pack("<QIIq", each.place, each.kind, index.get(each.symbol, 0), each.addend) for each in relocations
    )
    entries = [(e.DT_NEEDED, strings.put(library)) for library in needed]
    entries += [(e.DT_SONAME, strings.put(soname))] if soname else []
    entries += [(e.DT_DEBUG, 0)] if program else []
    full = _elf_symbols(ordered, names)
    parts = [
        Part(".text", e.SHT_PROGBITS, alloc | e.SHF_EXECINSTR, code.ljust(_PAGE, b"\0"), align=_PAGE),
        Part(".rodata", e.SHT_PROGBITS, alloc, constants.ljust(_PAGE, b"\0"), align=_PAGE),
        Part(".data", e.SHT_PROGBITS, write, data.ljust(_PAGE, b"\0"), align=_PAGE),
        Part(".tdata", e.SHT_PROGBITS, write | e.SHF_TLS, bytes(64), align=_PAGE),
        Part(".dynsym", e.SHT_DYNSYM, alloc, dynamic_symbols, ".dynstr", 1),
        Part(".dynstr", e.SHT_STRTAB, alloc, strings.content),
        Part(".gnu.version", e.SHT_GNU_VERSYM, alloc, struct.pack(f"<{len(indexes)}H", *indexes), ".dynsym"),
        Part(".gnu.version_r", 0x6FFFFFFE, alloc, needs, ".dynstr", len(needs_of)),
        Part(".gnu.version_d", 0x6FFFFFFD, alloc, defined, ".dynstr", len(versions)),
        Part(".interp", e.SHT_PROGBITS, alloc, interpreter.encode() + b"\0"),
        Part(".rela.dyn", e.SHT_RELA, alloc, table, ".dynsym"),
        *(Part(name, e.SHT_NOTE, alloc, content, align=4) for name, content in notes),
        Part(".dynamic", 6, write, bytes(16 * (len(entries) + len(tags) + 10)), ".dynstr"),
    ]
    if not stripped:
        local = 1 + sum(symbol.bind == e.STB_LOCAL for symbol in ordered)
        parts += [Part(".symtab", e.SHT_SYMTAB, 0, full, ".strtab", local)]
        parts += [Part(".strtab", e.SHT_STRTAB, 0, names.content)]
    titles = _Strings()
    starts = [titles.put((sections or {}).get(part.name, part.name)) for part in parts] + [titles.put(".shstrtab")]
    parts.append(Part(".shstrtab", e.SHT_STRTAB, 0, titles.content))
    places, end = {}, 64 + 8 * 56
    for part in parts:
        end = -(-end // part.align) * part.align
        places[part.name] = end
        end += len(part.content)
    entries += [
        (e.DT_SYMTAB, places[".dynsym"]),
        (e.DT_STRTAB, places[".dynstr"]),
        (e.DT_STRSZ, len(strings.content)),
        (e.DT_RELA, places[".rela.dyn"]),
        (e.DT_RELASZ, len(table)),
        (e.DT_VERNEED, places[".gnu.version_r"]),
        (e.DT_VERNEEDNUM, len(needs_of)),
        *([(e.DT_VERDEF, places[".gnu.version_d"]), (e.DT_VERDEFNUM, len(versions))] if versions else []),
        *tags,
    ]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    return _elf_file(parts, starts, places, dynamic)


def _elf_symbols(symbols: Sequence[Sym], strings: _Strings) -> bytes:
    rows = [
        struct.pack("<IBBHQQ", strings.put(s.name), s.bind << 4 | s.kind, s.other, s.section, s.value, s.size)
        for s in symbols
    ]
    return bytes(24) + b"".join(rows)


def _elf_file(parts: Sequence[Part], starts: Sequence[int], places: dict[str, int], dynamic: bytes) -> bytes:
    """The parts behind a header, with their headers at the end."""
    last = max(places[part.name] + len(part.content) for part in parts)
    content = bytearray(-(-last // 8) * 8)
    for part in parts:
        content[places[part.name] : places[part.name] + len(part.content)] = part.content
    content[places[".dynamic"] : places[".dynamic"] + len(dynamic)] = dynamic
    numbers = {part.name: number for number, part in enumerate(parts, start=1)}
    headers = bytes(64)
    for start, part in zip(starts, parts, strict=True):
        at = places[part.name]
        address = at if part.flags & e.SHF_ALLOC else 0
        link, size, entry = numbers.get(part.link, 0), len(part.content), _ENTRIES.get(part.kind, 0)
        headers += struct.pack(
            "<IIQQQQIIQQ", start, part.kind, part.flags, address, at, size, link, part.info, part.align, entry
        )
    segments = [
        (e.PT_LOAD, e.PF_R | e.PF_X, 0, VARIABLES),
        (e.PT_LOAD, e.PF_R | e.PF_W, VARIABLES, last - VARIABLES),
        (e.PT_DYNAMIC, e.PF_R, places[".dynamic"], len(dynamic) + 16),
        (e.PT_TLS, e.PF_R, THREADS, 64),
        (e.PT_GNU_STACK, e.PF_R | e.PF_W, 0, 0),
    ]
    interpreter = next(part.content for part in parts if part.name == ".interp")
    segments += [(e.PT_INTERP, e.PF_R, places[".interp"], len(interpreter))] if len(interpreter) > 1 else []
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, 16) for kind, flags, at, size in segments
    )
    ident = b"\x7fELF\2\1\1" + bytes(9)
    count = len(parts)
    header = (ident, e.ET_DYN, e.EM_AARCH64, 1, 0, 64, len(content), 0, 64, 56, len(segments), 64, count + 1, count)
    content[:64] = struct.pack("<16sHHIQQQIHHHHHH", *header)
    content[64 : 64 + len(table)] = table
    return bytes(content + headers)


class MachOSym(NamedTuple):
    """One symbol; an import's library counts from 1."""

    name: str
    value: int = 0
    kind: int = m.N_SECT | m.N_EXT
    section: int = 1
    library: int = 0
    weak: bool = False


def macho_imported(name: str, *, library: int = 0, weak: bool = False) -> MachOSym:
    """What is left to dyld, from the library of that ordinal or, for 0, from wherever."""
    return MachOSym(name, 0, m.N_UNDF | m.N_EXT, 0, library, weak)


def macho_linked(
    symbols: Sequence[MachOSym] = (),
    *,
    needed: Sequence[str] = (),
    install_name: str = "",
    program: bool = False,
    code: bytes = b"",
    constants: bytes = b"",
    constants_flags: int = m.S_REGULAR,
) -> bytes:
    """A dylib, or a program: code at 0 and constants at ``CODE``, without a name for their segment."""
    sections = [
        macho_writer.Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, code.ljust(_PAGE, b"\0"), 12),
        macho_writer.Section("__TEXT", "__const", constants_flags, constants.ljust(_PAGE, b"\0"), 3),
    ]
    groups = [
        macho_writer.SymbolColumns(
            names=[symbol.name.encode()],
            n_type=symbol.kind,
            n_sect=symbol.section,
            n_desc=symbol.library << 8 | (m.N_WEAK_REF if symbol.weak else 0),
            n_value=symbol.value,
        )
        for symbol in symbols
    ]
    obj = macho_writer.Object(sections, BuildVersion(1, 0x000D0000, 0), defined_symbols=groups, flags=m.MH_PIE)
    content = bytearray(macho_writer.write(obj))
    commands = [(m.LC_ID_DYLIB, install_name)] if install_name else []
    commands += [(m.LC_LOAD_DYLIB, library) for library in needed]
    raw = b""
    for command, name in commands:
        text = name.encode() + bytes(8 - len(name) % 8)
        raw += struct.pack("<IIIIII", command, 24 + len(text), 24, 0, 0, 0) + text
    count, size = struct.unpack_from("<II", content, 16)
    content[32 + size : 32 + size + len(raw)] = raw  # the sections begin at a page
    struct.pack_into("<I", content, 12, m.MH_EXECUTE if program else m.MH_DYLIB)
    struct.pack_into("<II", content, 16, count + len(commands), size + len(raw))
    return bytes(content)
