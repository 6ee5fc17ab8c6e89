"""What of an ELF object refers to what else. Twin of ``image.reach_macho``.

Its pieces are its functions, as far as symbols bound them, and otherwise whole sections: a label or a section's symbol
may be the base of any address in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from stubgen.elf import constants as c
from stubgen.elf import relocations as r
from stubgen.elf.reader import ElfFile, Symbols
from stubgen.image import PLACE_SHIFT, Reach

_CONSTRUCTORS = (".init_array", ".preinit_array", ".ctors")
_EXACT = frozenset(
    {
        r.R_AARCH64_CALL26,
        r.R_AARCH64_JUMP26,
        r.R_AARCH64_CONDBR19,
        r.R_AARCH64_TSTBR14,
        r.R_AARCH64_ABS64,
        r.R_AARCH64_PREL64,
        r.R_AARCH64_PREL32,
    }
)
"""Relocations that mean the very place that they name, and nothing beside it."""


NEAR = (
    (0x7C000000, 0x14000000, 0, 26),  # b, bl
    (0xFF000000, 0x54000000, 5, 19),  # b.cond
    (0x7E000000, 0x34000000, 5, 19),  # cbz, cbnz
    (0x7E000000, 0x36000000, 5, 14),  # tbz, tbnz
    (0x9F000000, 0x10000000, 5, 19),  # adr
    (0x3B000000, 0x18000000, 5, 19),  # ldr, literal
)
"""Arm ARM C4.1: what counts words from itself, by mask and word; the first bit of the count, and its bits."""


class ElfReach(Reach):
    """The pieces of one object: index << PLACE_SHIFT for a section, and one more than its place for a function."""

    def __init__(self, file: ElfFile, symbols: Symbols) -> None:
        self.file = file
        self.symbols = symbols
        self._read: dict[int, dict[int, set[int | bytes]]] = {}  # section -> piece -> what it refers to

    def initialisers(self) -> list[tuple[int, bytes]]:
        found: dict[int, bytes] = {}
        for section in self.file.sections:
            if section.name.startswith(_CONSTRUCTORS):
                for targets in self._section(section.number).values():
                    for target in targets:
                        if isinstance(target, int):
                            found[target] = self._names.get(target, section.name.encode())
        return list(found.items())

    def functions(self) -> dict[int, bytes]:
        return self._names

    def targets(self, piece: int) -> set[int | bytes]:
        number = piece >> PLACE_SHIFT
        found = self._section(number).get(piece, set())
        if piece == number << PLACE_SHIFT:
            return found.union(piece | start + 1 for start, _ in self._functions.get(number, ()))
        return found.union(self._piece(number, offset) for offset in self._near(number, piece))

    def _near(self, number: int, piece: int) -> Iterator[int]:
        """The byte offsets in its own section that a function refers to by what the assembler filled in."""
        start = (piece & (1 << PLACE_SHIFT) - 1) - 1
        functions = self._functions.get(number)
        if functions is None:
            return
        position = bisect_right(functions, (start, 1 << 64)) - 1
        end = functions[position][1] if position >= 0 and functions[position][0] == start else start
        content = bytes(self.file.content(self.file.sections[number])[start:end])
        for place, word in enumerate(memoryview(content[: len(content) & ~3]).cast("I")):
            for mask, wanted, at, bits in NEAR:
                if word & mask == wanted:
                    distance = word >> at & (1 << bits) - 1
                    yield start + 4 * (place + distance - (distance >> bits - 1 << bits))

    def piece_at(self, place: int) -> int:
        return self._piece(place >> PLACE_SHIFT, place & (1 << PLACE_SHIFT) - 1)

    def definition(self, name: bytes) -> int | None:
        return self._definitions.get(name)

    @cached_property
    def _definitions(self) -> dict[bytes, int]:
        symbols = self.symbols
        return {
            symbols.name(index): self._piece(shndx, symbols.st_value[index])
            for index, shndx in enumerate(symbols.st_shndx)
            if shndx not in (c.SHN_UNDEF, symbols.common) and symbols.st_info[index] >> 4 != c.STB_LOCAL
        }

    @cached_property
    def _functions(self) -> dict[int, list[tuple[int, int]]]:
        """Section -> where each of its functions begins and ends, ascending."""
        symbols, sections = self.symbols, range(1, len(self.file.sections))
        found: dict[int, list[tuple[int, int]]] = {}
        for index, info in enumerate(symbols.st_info):
            if info & 0xF == c.STT_FUNC and symbols.st_shndx[index] in sections and symbols.st_size[index]:
                start = symbols.st_value[index]
                found.setdefault(symbols.st_shndx[index], []).append((start, start + symbols.st_size[index]))
        return {section: sorted(set(places)) for section, places in found.items()}

    @cached_property
    def _names(self) -> dict[int, bytes]:
        """Function -> its name."""
        symbols = self.symbols
        return {
            self._piece(symbols.st_shndx[index], symbols.st_value[index]): symbols.name(index)
            for index, info in enumerate(symbols.st_info)
            if info & 0xF == c.STT_FUNC and symbols.st_shndx[index] != c.SHN_UNDEF
        }

    def _piece(self, section: int, offset: int) -> int:
        """The piece that byte *offset* of *section* is in."""
        functions = self._functions.get(section, [])
        position = bisect_right(functions, (offset, 1 << 64)) - 1
        inside = position >= 0 and offset < functions[position][1]
        return section << PLACE_SHIFT | (functions[position][0] + 1 if inside else 0)

    def _section(self, number: int) -> dict[int, set[int | bytes]]:
        """What the pieces of section *number* refer to."""
        found = self._read.get(number)
        if found is None:
            found = {}
            for table in self._tables.get(number, ()):
                for offset, symbol, kind, addend in zip(
                    table.r_offset, table.symbol, table.kind, table.r_addend, strict=True
                ):
                    if symbol < len(self.symbols):
                        meant = self._meant(symbol, kind, addend)
                        found.setdefault(self._piece(number, offset), set()).update(meant)
            self._read[number] = found  # whole: another thread may ask
        return found

    @cached_property
    def _tables(self) -> dict[int, list[r.Relocations]]:
        found: dict[int, list[r.Relocations]] = {}
        for section, table in self.file.relocations():
            found.setdefault(section.header.sh_info, []).append(table)
        return found

    def _meant(self, index: int, kind: int, addend: int) -> set[int | bytes]:
        """What a relocation refers to; what other objects see is meant by its name as well."""
        symbol = self.symbols.entry(index)
        if symbol.st_shndx in (c.SHN_UNDEF, self.symbols.common):
            return {self.symbols.name(index)}
        exact = symbol.st_info & 0xF == c.STT_FUNC
        offset = symbol.st_value if exact else symbol.st_value + addend
        if not exact and kind not in _EXACT:
            meant: set[int | bytes] = {symbol.st_shndx << PLACE_SHIFT}
        else:
            meant = {self._piece(symbol.st_shndx, offset)}
        return meant if symbol.st_info >> 4 == c.STB_LOCAL else meant | {self.symbols.name(index)}
