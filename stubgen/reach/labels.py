"""What an address in a linked image is called: section, symbol and the distance from it."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import compress

from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.elf import constants as elf
from stubgen.elf.reader import Symbols as ElfSymbols
from stubgen.image import Image
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as macho
from stubgen.macho.reader import Symbols as MachOSymbols
from stubgen.symbols.versions import split_version

_ASSEMBLERS = (b"$x", b"$d", b"ltmp", b"l_", b"L")
"""How names begin that mark code and data (AAELF64, "Mapping symbols"), or that Mach-O assemblers make up."""
_IS_FUNCTION = bytes(info & 0xF == elf.STT_FUNC for info in range(256))
"""st_info -> 1 for a function's; what is undefined lies at 0, or at its PLT's entry."""
_TRIED = 64  # symbols before an address that are looked at


class Place(Row):
    """An address, as people find it again."""

    address: int  # static virtual address
    section: str
    symbol: bytes  # empty where none covers it
    offset: int  # bytes from the symbol, or from the section

    @property
    def name(self) -> str:
        """The symbol's, or else the section's."""
        return as_text(self.symbol) or self.section


class Labels:
    """The symbols of an image, by address."""

    def __init__(self, image: Image) -> None:
        self.image = image

    def at(self, address: int) -> Place:
        """What *address* is called."""
        title, start, end = self._section(address)
        indexes, addresses = self._symbols
        place = bisect_right(addresses, address) - 1
        for number in range(place, max(place - _TRIED, -1), -1):
            first, (name, size) = addresses[number], self._entry(indexes[number])
            if first < start:
                break
            if first < end and not name.startswith(_ASSEMBLERS) and (not size or address < first + size):
                return Place(address, title, name, address - first)
        return Place(address, title, b"", address - start)

    def function_bounds(self, address: int) -> tuple[int, int]:
        """First and one-past-last address of the function around *address*: up to the next one, or to a page around."""
        _, start, end = self._section(address)
        place = bisect_right(self._functions, address)
        first = self._functions[place - 1] if place else start
        last = self._functions[place] if place < len(self._functions) else end
        return (first, min(last, end)) if first >= start else (max(start, address - 4096), min(last, end))

    def _section(self, address: int) -> tuple[str, int, int]:
        """Name, first and one-past-last address of the section of *address*."""
        return next((s for s in self._sections if s[1] <= address < s[2]), ("", address, address + 1))

    @cached_property
    def _sections(self) -> list[tuple[str, int, int]]:
        if isinstance(self.image, ElfImage):
            headers = ((s.name, s.header) for s in self.image.file.sections if s.header.sh_flags & elf.SHF_ALLOC)
            return [(name, one.sh_addr, one.sh_addr + one.sh_size) for name, one in headers]
        assert isinstance(self.image, MachOImage)  # noqa: S101  # there is no third format
        sections = self.image.file.sections
        return [(s.name, s.header.addr, s.header.addr + s.header.size) for s in sections]

    @cached_property
    def _symbols(self) -> tuple[list[int], list[int]]:
        """Index of each symbol that is somewhere, by its address; and the addresses, both ascending."""
        table = self.image.symbol_tables[0] if self.image.symbol_tables else None
        if isinstance(table, ElfSymbols):
            named = (elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_GNU_IFUNC)
            rows = enumerate(zip(table.st_info, table.st_shndx, strict=True))
            indexes = [i for i, (info, shndx) in rows if info & 0xF in named and 0 < shndx < table.absolute]
            values = table.st_value
        elif isinstance(table, MachOSymbols):
            kinds = enumerate(table.n_type)
            indexes = [i for i, kind in kinds if not kind & macho.N_STAB and kind & macho.N_TYPE == macho.N_SECT]
            values = table.n_value
        else:
            return [], []
        indexes.sort(key=values.__getitem__)
        return indexes, [values[index] for index in indexes]

    @cached_property
    def _functions(self) -> list[int]:
        """The addresses at which functions begin, ascending; in Mach-O, where nothing tells, at which any symbol is."""
        table = self.image.symbol_tables[0] if self.image.symbol_tables else None
        if not isinstance(table, ElfSymbols):
            return sorted(set(self._symbols[1]))
        return sorted(set(compress(table.st_value, bytes(table.st_info).translate(_IS_FUNCTION))))

    def _entry(self, index: int) -> tuple[bytes, int]:
        """Name, without its version, and bytes of a symbol; 0 bytes where the format does not say."""
        table = self.image.symbol_tables[0]
        size = table.st_size[index] if isinstance(table, ElfSymbols) else 0
        return split_version(table.name(index))[0], size
