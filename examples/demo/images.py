"""What a loader needs of an image, in one shape for both formats: segments, pointers to set, names.

The project's readers read headers and symbols; the pointers that a dynamic loader sets (relocations, rebase and
bind opcodes, chained fixups) concern only who maps an image, so they are read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from
from typing import NamedTuple

from stubgen.elf import constants as elf_c
from stubgen.elf import relocations as elf_r
from stubgen.elf.reader import ElfFile
from stubgen.elf.reader import Symbols as ElfSymbols
from stubgen.macho import constants as macho_c
from stubgen.macho.reader import MachOFile
from stubgen.macho.reader import Symbols as MachOSymbols


class Segment(NamedTuple):
    """A part of an image that occupies memory."""

    address: int  # static virtual address
    size: int  # bytes in memory; what the content lacks is zero
    content: bytes


class Pointer(NamedTuple):
    """An 8-byte word that the loader sets."""

    place: int  # static virtual address of the word
    target: int  # static virtual address that it points to, or with a name the bytes added to that name's address
    name: str  # empty: the image itself
    weak: bool = False  # zero where nothing supplies the name
    coalesced: bool = False  # Mach-O: of all images' definitions of the name the first is meant


@dataclass(frozen=True, slots=True)
class Loadable:
    """An image, ready to be mapped at any slide."""

    segments: tuple[Segment, ...]
    pointers: tuple[Pointer, ...]
    symbols: dict[str, int]
    """Name as C spells it -> static virtual address, of everything that the image defines."""
    external: frozenset[str] = frozenset()
    """Mach-O: those that other images see."""


def read_image(data: bytes, name: str) -> Loadable:
    """The ELF or Mach-O image in *data*; *name* stands for it in complaints."""
    return _read_elf(ElfFile(data, name)) if data[:4] == elf_c.ELFMAG else _read_macho(MachOFile(data, name))


def _read_elf(file: ElfFile) -> Loadable:
    segments = tuple(
        Segment(s.p_vaddr, s.p_memsz, bytes(file.view.bytes(s.p_offset, s.p_filesz, "a segment")))
        for s in file.segments
        if s.p_type == elf_c.PT_LOAD
    )
    tables = [table for table in (file.dynamic_symbols, file.symbols) if table is not None]
    symbols = {name: address for table in tables for name, address in _elf_definitions(table)}
    return Loadable(segments, tuple(_elf_pointers(file)), symbols)


def _elf_definitions(table: ElfSymbols) -> Iterator[tuple[str, int]]:
    no_place = (elf_c.SHN_UNDEF, table.absolute)
    for index, name in enumerate(table.names()):
        if name and table.st_shndx[index] not in no_place and table.st_info[index] & 0xF != elf_c.STT_TLS:
            yield name.decode(), table.st_value[index]


def _elf_pointers(file: ElfFile) -> Iterator[Pointer]:
    table = file.dynamic_symbols
    for relocations in file.dynamic_relocations():
        for place, symbol, kind, addend in zip(
            relocations.r_offset, relocations.symbol, relocations.kind, relocations.r_addend, strict=True
        ):
            if kind == elf_r.R_AARCH64_RELATIVE:
                yield Pointer(place, addend, "")
            elif kind in (elf_r.R_AARCH64_GLOB_DAT, elf_r.R_AARCH64_JUMP_SLOT, elf_r.R_AARCH64_ABS64):
                assert table is not None
                weak = table.st_info[symbol] >> 4 == elf_c.STB_WEAK
                yield Pointer(place, addend, table.name(symbol).decode(), weak)
            else:
                label = elf_r.NAMES.get(kind, f"relocation {kind}")
                raise NotImplementedError(f"{file.name}: {label} at {place:#x} is not one that the demo loads")


def _read_macho(file: MachOFile) -> Loadable:
    segments = tuple(
        Segment(s.vmaddr, s.vmsize, bytes(file.view.bytes(s.fileoff, s.filesize, "a segment")))
        for s in file.segments
        if s.initprot  # __PAGEZERO has none: it only keeps addresses free
    )
    symbols = {} if file.symbols is None else dict(_macho_definitions(file.symbols))
    external = frozenset() if file.symbols is None else frozenset(_macho_external(file.symbols))
    return Loadable(segments, tuple(_macho_pointers(file)), symbols, external)


def _macho_definitions(table: MachOSymbols) -> Iterator[tuple[str, int]]:
    for index, name in enumerate(table.names()):
        kind = table.n_type[index]
        if not kind & macho_c.N_STAB and kind & macho_c.N_TYPE == macho_c.N_SECT:
            yield name.decode().removeprefix("_"), table.n_value[index]


def _macho_external(table: MachOSymbols) -> Iterator[str]:
    for index, name in enumerate(table.names()):
        kind = table.n_type[index]
        if not kind & (macho_c.N_STAB | macho_c.N_PEXT) and kind & macho_c.N_EXT and kind & macho_c.N_TYPE:
            yield name.decode().removeprefix("_")


def _macho_pointers(file: MachOFile) -> Iterator[Pointer]:
    for command in file.commands:
        if command.cmd in (macho_c.LC_DYLD_INFO, macho_c.LC_DYLD_INFO_ONLY):
            # <mach-o/loader.h>, dyld_info_command: offset and size of rebase, bind, weak, lazy, export
            regions = unpack_from("<8I", file.view.bytes(command.offset + 8, 32, "LC_DYLD_INFO"))
            rebase, *binds = (
                bytes(file.view.bytes(regions[at], regions[at + 1], "dyld's opcodes")) for at in range(0, 8, 2)
            )
            yield from _rebases(file, rebase)
            for number, opcodes in enumerate(binds):
                yield from _binds(file, opcodes, coalesced=number == _WEAK_BINDS)
        elif command.cmd == macho_c.LC_DYLD_CHAINED_FIXUPS:
            offset, size = unpack_from("<II", file.view.bytes(command.offset + 8, 8, "LC_DYLD_CHAINED_FIXUPS"))
            yield from _chained(file, bytes(file.view.bytes(offset, size, "the chained fixups")))


class _Opcodes:
    """A stream of dyld's opcodes (``<mach-o/loader.h>``): operation in the high nibble, immediate in the low."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def __bool__(self) -> bool:
        return self.position < len(self.content)

    def operation(self) -> tuple[int, int]:
        byte = self.content[self.position]
        self.position += 1
        return byte & 0xF0, byte & 0x0F

    def uleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.content[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def sleb(self) -> int:
        start = self.position
        value = self.uleb()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> bits - 1 & 1 else value

    def text(self) -> str:
        end = self.content.index(b"\0", self.position)
        text = self.content[self.position : end].decode()
        self.position = end + 1
        return text


def _rebases(file: MachOFile, content: bytes) -> Iterator[Pointer]:
    """REBASE_OPCODE_*: the words hold static addresses and move with the image."""
    opcodes, place, word = _Opcodes(content), 0, Struct("<Q")
    while opcodes:
        operation, immediate = opcodes.operation()
        count, skip = 0, 0
        if operation == 0x00:  # DONE
            return
        if operation == 0x20:  # SET_SEGMENT_AND_OFFSET_ULEB
            place = file.segments[immediate].vmaddr + opcodes.uleb()
        elif operation == 0x30:  # ADD_ADDR_ULEB
            place += opcodes.uleb()
        elif operation == 0x40:  # ADD_ADDR_IMM_SCALED
            place += 8 * immediate
        elif operation == 0x50:  # DO_REBASE_IMM_TIMES
            count = immediate
        elif operation == 0x60:  # DO_REBASE_ULEB_TIMES
            count = opcodes.uleb()
        elif operation == 0x70:  # DO_REBASE_ADD_ADDR_ULEB
            count, skip = 1, opcodes.uleb()
        elif operation == 0x80:  # DO_REBASE_ULEB_TIMES_SKIPPING_ULEB
            count, skip = opcodes.uleb(), opcodes.uleb()
        for _ in range(count):
            yield Pointer(place, word.unpack(file.read_at(place, 8, "a rebased word"))[0], "")
            place = (place + 8 + skip) % (1 << 64)


_WEAK_BINDS = 1  # of bind, weak bind, lazy bind


def _binds(file: MachOFile, content: bytes, *, coalesced: bool) -> Iterator[Pointer]:
    """BIND_OPCODE_*: the words get the addresses of names."""
    opcodes, place, name, addend, weak = _Opcodes(content), 0, "", 0, False
    while opcodes:
        operation, immediate = opcodes.operation()
        count, skip = 0, 0
        if operation == 0x20:  # SET_DYLIB_ORDINAL_ULEB
            opcodes.uleb()
        elif operation == 0x40:  # SET_SYMBOL_TRAILING_FLAGS_IMM
            name, weak = opcodes.text(), bool(immediate & 1)
        elif operation == 0x60:  # SET_ADDEND_SLEB
            addend = opcodes.sleb()
        elif operation == 0x70:  # SET_SEGMENT_AND_OFFSET_ULEB
            place = file.segments[immediate].vmaddr + opcodes.uleb()
        elif operation == 0x80:  # ADD_ADDR_ULEB
            place = (place + opcodes.uleb()) % (1 << 64)
        elif operation == 0x90:  # DO_BIND
            count = 1
        elif operation == 0xA0:  # DO_BIND_ADD_ADDR_ULEB
            count, skip = 1, opcodes.uleb()
        elif operation == 0xB0:  # DO_BIND_ADD_ADDR_IMM_SCALED
            count, skip = 1, 8 * immediate
        elif operation == 0xC0:  # DO_BIND_ULEB_TIMES_SKIPPING_ULEB
            count, skip = opcodes.uleb(), opcodes.uleb()
        for _ in range(count):
            yield Pointer(place, addend, name.removeprefix("_"), weak, coalesced)
            place = (place + 8 + skip) % (1 << 64)


_CHAINED_64 = 2  # <mach-o/fixup-chains.h>, DYLD_CHAINED_PTR_64: targets are static addresses
_CHAINED_64_OFFSET = 6  # DYLD_CHAINED_PTR_64_OFFSET: targets are bytes from the image's start
_CHAIN_NONE = 0xFFFF  # DYLD_CHAINED_PTR_START_NONE
_CHAIN_IMPORTS = {1: 4, 2: 8}
"""DYLD_CHAINED_IMPORT (library ordinal 8 bits, weak 1, offset of the name 23) and DYLD_CHAINED_IMPORT_ADDEND (likewise,
and 32 bits to add) -> bytes."""


def _chained(file: MachOFile, content: bytes) -> Iterator[Pointer]:
    """LC_DYLD_CHAINED_FIXUPS (``<mach-o/fixup-chains.h>``): each word holds its target and how far the next is."""
    _, starts, imports, strings, count, imports_format, _ = unpack_from("<7I", content)
    if count and imports_format not in _CHAIN_IMPORTS:
        raise NotImplementedError(f"{file.name}: chained imports of format {imports_format}")
    names = []
    for index in range(count):
        place = imports + _CHAIN_IMPORTS[imports_format] * index
        (word,) = unpack_from("<I", content, place)
        (more,) = unpack_from("<i", content, place + 4) if _CHAIN_IMPORTS[imports_format] > 4 else (0,)
        at = strings + (word >> 9)
        coalesced = word % 256 == macho_c.BIND_SPECIAL_DYLIB_WEAK_LOOKUP % 256
        name = content[at : content.index(b"\0", at)].decode().removeprefix("_")
        names.append((name, more, bool(word >> 8 & 1), coalesced))
    base = next((segment.vmaddr for segment in file.segments if segment.initprot), 0)
    (segment_count,) = unpack_from("<I", content, starts)
    for offset in unpack_from(f"<{segment_count}I", content, starts + 4):
        if not offset:
            continue
        at = starts + offset
        _, page_size, pointer_format, segment_offset, _, page_count = unpack_from("<IHHQIH", content, at)
        if pointer_format not in (_CHAINED_64, _CHAINED_64_OFFSET):
            raise NotImplementedError(f"{file.name}: chained pointers of format {pointer_format}")
        for page, first in enumerate(unpack_from(f"<{page_count}H", content, at + 22)):
            if first == _CHAIN_NONE:
                continue
            place, step = base + segment_offset + page * page_size + first, 1
            while step:
                word = int.from_bytes(file.read_at(place, 8, "a chained fixup"), "little")
                step = word >> 51 & 0xFFF  # in units of 4 bytes
                if word >> 63:
                    name, more, weak, coalesced = names[word & 0xFFFFFF]
                    yield Pointer(place, (word >> 24 & 0xFF) + more, name, weak, coalesced)
                else:
                    target = word & 0xFFFFFFFFF
                    yield Pointer(place, target + (base if pointer_format == _CHAINED_64_OFFSET else 0), "")
                place += 4 * step
