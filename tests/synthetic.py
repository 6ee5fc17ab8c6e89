"""Hosts and patch objects made symbol by symbol, for cases that no compiler makes on demand.

They are written by the project's own writers, so they prove what the phases decide, not that the formats are
right: other readers, linkers and loaders prove that elsewhere.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.elf.records import EHDR, PHDR
from stubgen.macho import constants as m
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion

TEXT, DATA, THREAD = 1, 2, 3
"""Section numbers of the synthetic ELF files; an executable, a writable and a thread-local section."""

BASE = 0x10000
SIZE = 0x8000
"""The executable segment of a synthetic ELF host: virtual addresses BASE to BASE + SIZE."""


class Sym(NamedTuple):
    """One symbol of a synthetic file."""

    name: str
    value: int = 0
    kind: int = e.STT_FUNC
    bind: int = e.STB_GLOBAL
    section: int = TEXT
    other: int = e.STV_DEFAULT
    size: int = 8  # bytes; assembly says none


def undefined(name: str, *, weak: bool = False) -> Sym:
    """An undefined reference."""
    return Sym(name, 0, e.STT_NOTYPE, e.STB_WEAK if weak else e.STB_GLOBAL, e.SHN_UNDEF)


def elf_columns(symbols: Sequence[Sym]) -> elf_writer.SymbolColumns:
    """*symbols* as the writer takes them."""
    return elf_writer.SymbolColumns(
        names=[symbol.name.encode() for symbol in symbols],
        st_info=[symbol.bind << 4 | symbol.kind for symbol in symbols],
        st_other=[symbol.other for symbol in symbols],
        st_shndx=[symbol.section for symbol in symbols],
        st_value=[symbol.value for symbol in symbols],
        st_size=[0 if symbol.kind == e.STT_NOTYPE else symbol.size for symbol in symbols],
    )


def elf_object(symbols: Sequence[Sym], *, features: int = 0) -> bytes:
    """A relocatable object with *symbols*."""
    sections = [
        elf_writer.Section(".text", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_EXECINSTR, bytes(16), 4),
        elf_writer.Section(".data", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_WRITE, bytes(16), 8),
        elf_writer.Section(".tdata", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_WRITE | e.SHF_TLS, bytes(16), 8),
    ]
    if features:
        note = elf_writer.property_note(features)
        sections.append(elf_writer.Section(".note.gnu.property", e.SHT_NOTE, e.SHF_ALLOC, note, 8))
    local = [symbol for symbol in symbols if symbol.bind == e.STB_LOCAL]
    others = [symbol for symbol in symbols if symbol.bind != e.STB_LOCAL]
    return bytes(elf_writer.write(elf_writer.Object(sections, elf_columns(local), [elf_columns(others)])))


def elf_host(
    symbols: Sequence[Sym], *, e_type: int = e.ET_DYN, interpreter: str = "/lib/ld-linux-aarch64.so.1", **options: int
) -> bytes:
    """A linked program with *symbols*: an object turned into one by its header and three segments."""
    content = bytearray(elf_object(symbols, **options))
    text = interpreter.encode() + b"\0"
    interpreter_at = len(content)
    content += text + bytes(-len(text) % 8)
    code_at = len(content)
    content += bytes.fromhex("5f2403d5") * (SIZE // 4)  # bti c: every address is a landing pad
    segments = [
        (e.PT_INTERP, e.PF_R, interpreter_at, 0, 0, len(text), len(text), 1),
        (e.PT_LOAD, e.PF_R | e.PF_X, code_at, BASE, BASE, SIZE, SIZE, 4),
        (e.PT_LOAD, e.PF_R | e.PF_W, 0, BASE + SIZE, BASE + SIZE, 64, SIZE, 4096),
    ]
    table_at = len(content)
    content += b"".join(PHDR.struct.pack(*segment) for segment in segments)
    header = list(EHDR.struct.unpack_from(content))
    header[1], header[5], header[9], header[10] = e_type, table_at, PHDR.size, len(segments)
    EHDR.struct.pack_into(content, 0, *header)
    return bytes(content)


MACHO_BASE = 0x1_0000_0000


def macho_object(defined: dict[str, int] | None = None, needed: Sequence[str] = (), *, platform: int = 1) -> bytes:
    """A relocatable object that defines and needs names in ``__text``."""
    defined = defined or {}
    code = macho_writer.Section(
        "__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, bytes(max(defined.values(), default=0) + 16), 2
    )
    obj = macho_writer.Object(
        [code],
        BuildVersion(platform, 0x000D0000, 0),
        defined_symbols=[
            macho_writer.SymbolColumns(
                [name.encode() for name in defined], m.N_SECT | m.N_EXT, 1, 0, array("Q", defined.values())
            )
        ],
        undefined_symbols=macho_writer.SymbolColumns([name.encode() for name in needed], m.N_UNDF | m.N_EXT),
    )
    return bytes(macho_writer.write(obj))


def macho_host(defined: dict[str, int], *, filetype: int = m.MH_EXECUTE, platform: int = 1) -> bytes:
    """A linked program with *defined* in its executable segment, which starts at address 0."""
    content = bytearray(macho_object(defined, platform=platform))
    struct.pack_into("<I", content, 12, filetype)
    struct.pack_into("<I", content, 24, m.MH_PIE)
    return bytes(content)


def ar_member(name: bytes, content: bytes) -> bytes:
    """One archive member by the letter of ``<ar.h>``."""
    header = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o644, len(content))
    return header + content + b"\n" * (len(content) % 2)


def put(folder: Path, name: str, content: bytes) -> str:
    """*content* as a file; its path."""
    path = folder / name
    path.write_bytes(content)
    return str(path)
