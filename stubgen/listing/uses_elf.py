"""Where in an ELF object a symbol is referred to. Twin of ``listing.uses_macho``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from stubgen.elf import constants as c
from stubgen.elf.reader import Section, Symbols
from stubgen.elf.relocations import BRANCHES, NAMES
from stubgen.image.elf import ElfImage
from stubgen.listing.symbols import Use


def uses(image: ElfImage, name: bytes) -> Iterator[Use]:
    """Each relocation of code and data that means symbol *name*, also by its section's symbol or an anchor."""
    table = image.file.symbols
    if table is not None:
        yield from _Places(image, table).uses(name)


def _is_told(section: Section) -> bool:
    """Whether what *section* refers to is code's or data's: loaded, and no table for unwinding."""
    return bool(section.header.sh_flags & c.SHF_ALLOC) and section.name != ".eh_frame"


class _Places:
    """The symbols of one object, by name and by place."""

    def __init__(self, image: ElfImage, table: Symbols) -> None:
        self.image = image
        self.table = table

    def uses(self, name: bytes) -> Iterator[Use]:
        """As the function of that name."""
        named = {index for index, spelling in enumerate(self.table.names()) if spelling == name}
        spans = [
            (self.table.st_shndx[i], self.table.st_value[i], self.table.st_value[i] + self.table.st_size[i])
            for i in named
            if self.table.st_shndx[i] != c.SHN_UNDEF and self.table.st_size[i]
        ]
        sections = self.image.file.sections
        for section, read in self.image.file.relocations():
            home = section.header.sh_info
            if home >= len(sections) or not _is_told(sections[home]):
                continue
            for offset, symbol, kind, addend in zip(read.r_offset, read.symbol, read.kind, read.r_addend, strict=True):
                if symbol in named or (spans and self._is_inside(symbol, addend, spans)):
                    title, relocation = sections[home].name, NAMES.get(kind, f"relocation {kind}")
                    yield Use(title, offset, self._function(home, offset), relocation, addend, kind in BRANCHES)

    def _is_inside(self, symbol: int, addend: int, spans: list[tuple[int, int, int]]) -> bool:
        """Whether *symbol* plus *addend*, a section's symbol or an anchor, is in one of *spans*."""
        if symbol >= len(self.table):
            return False
        shndx, place = self.table.st_shndx[symbol], self.table.st_value[symbol] + addend
        return any(shndx == number and start <= place < end for number, start, end in spans)

    def _function(self, home: int, offset: int) -> bytes:
        """The function of section *home* at byte *offset*; empty where none is."""
        starts = self._functions.get(home, [])
        at = bisect_right(starts, (offset, len(self.table))) - 1
        return self.table.name(starts[at][1]) if at >= 0 else b""

    @cached_property
    def _functions(self) -> dict[int, list[tuple[int, int]]]:
        """Section -> byte offset and index of its functions' symbols, ascending."""
        found: dict[int, list[tuple[int, int]]] = {}
        for index, info in enumerate(self.table.st_info):
            if info & 0xF == c.STT_FUNC:
                found.setdefault(self.table.st_shndx[index], []).append((self.table.st_value[index], index))
        return {home: sorted(starts) for home, starts in found.items()}
