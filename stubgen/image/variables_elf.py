"""The variables that an ELF object defines, and what is in its constants. Twin of ``image.variables_macho``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from itertools import compress, count
from operator import itemgetter

from stubgen.common.aarch64 import UNTAGGED
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile, Symbols
from stubgen.elf.records import Sym
from stubgen.elf.relocations import R_AARCH64_ABS64, Relocations
from stubgen.image import (
    PLACE_SHIFT,
    Content,
    DefiningObject,
    Image,
    Pointer,
    Variable,
    alignment_at,
    common_place,
)

_VARIABLES = bytes(info & 0xF in (c.STT_OBJECT, c.STT_COMMON, c.STT_TLS) for info in range(256))
"""st_info -> whether it is a variable's, of any binding."""


class ElfVariables:
    """Those of one object.

    Args:
        image: the object.
        file: its content.
        file_of: the source file of a local symbol, by table and index.
    """

    def __init__(self, image: Image, file: ElfFile, file_of: Callable[[Symbols, int], bytes]) -> None:
        self._image = image
        self._file = file
        self._file_of = file_of
        self._sorted: dict[int, list[int]] = {}

    def all(self) -> Iterator[Variable]:
        """See :meth:`stubgen.image.Image.variables`."""
        table = self._file.symbols
        if table is None:
            return
        defining, sections = DefiningObject(self._image, table, b""), self._file.sections
        found = list(self._variables_of(table))
        st_shndx, st_value, st_size = table.st_shndx, table.st_value, table.st_size
        symbols_at = Counter([(st_shndx[index], st_value[index] & UNTAGGED) for index, _ in found])
        for index, name in found:
            shndx, value, info = st_shndx[index], st_value[index] & UNTAGGED, table.st_info[index]
            local = info >> 4 == c.STB_LOCAL
            yield Variable(
                name=name,
                size=st_size[index],
                minimum_size=0,
                alignment=max(self._alignment(shndx, value, st_size[index]), 1),
                writable=shndx >= len(sections) or sections[shndx].holds_variables,
                thread_local=info & 0xF == c.STT_TLS,
                local=local,
                hidden=table.st_other[index] & 3 == c.STV_HIDDEN,
                file=self._file_of(table, index if local else len(table)),
                has_several_names=shndx != table.common and symbols_at[shndx, value] > 1,
                is_part_of_another=False,
                is_kept_apart=True,
                defined_in=defining,
                place=(common_place(index) if shndx == table.common else value) + (shndx << PLACE_SHIFT),
            )

    def _alignment(self, shndx: int, offset: int, size: int) -> int:
        """What the code of an object may rely on: exact for a common and for what has its section to itself."""
        if shndx >= len(self._file.sections):  # a common, whose value is its alignment
            return offset
        header = self._file.sections[shndx].header
        if not offset and size == header.sh_size:
            return int(header.sh_addralign)
        return alignment_at(offset, size, header.sh_addralign)

    def _variables_of(self, table: Symbols) -> Iterator[tuple[int, bytes]]:
        """Index and name of every symbol that is somebody's variable.

        Raises:
            MalformedInput: the name of any symbol lies beyond the string table.
        """
        next(table.names(), None)  # raises
        nowhere = (c.SHN_UNDEF, table.absolute)
        for index in compress(count(), table.st_info.translate(_VARIABLES)):
            # the compiler's pointer for unwinding; labels and anchors; what rustc names for debuggers
            if table.st_shndx[index] not in nowhere:
                name = table.name(index)
                if not name.startswith((b"DW.ref.", b".L", b"$", b"__rustc_debug_gdb_scripts_section__")):
                    yield index, name

    def contents(self, names: Collection[bytes]) -> Iterator[Content]:
        """See :meth:`stubgen.image.Image.contents`."""
        table = self._file.symbols
        if table is None:
            return
        for index, name in self._variables_of(table):
            shndx = table.st_shndx[index]
            if name in names and shndx < len(self._file.sections) and not self._file.sections[shndx].holds_variables:
                yield self._content(table, name, table.entry(index))

    def _content(self, table: Symbols, name: bytes, symbol: Sym) -> Content:
        section = self._file.sections[symbol.st_shndx]
        start, end = symbol.st_value, symbol.st_value + symbol.st_size
        raw, pointers = bytes(self._file.content(section)[start:end]), {}
        opaque = section.header.sh_type == c.SHT_NOBITS or len(raw) != symbol.st_size
        relocations = self._relocations.get(symbol.st_shndx)
        if relocations is not None:
            places = relocations.r_offset
            ascending = self._ascending(symbol.st_shndx, places)
            for at in range(bisect_left(ascending, start, key=places.__getitem__), len(ascending)):
                number = ascending[at]
                if places[number] >= end:
                    break
                opaque |= relocations.kind[number] != R_AARCH64_ABS64
                meant = relocations.symbol[number], relocations.r_addend[number]
                pointers[places[number] - start] = self._pointer(table, *meant)
        return Content(name, raw, pointers, opaque)

    def holds_labels(self, variable: Variable) -> bool:
        """See :meth:`stubgen.image.Image.holds_labels`."""
        table, shndx, start = self._file.symbols, variable.place >> PLACE_SHIFT, variable.place & (1 << PLACE_SHIFT) - 1
        relocations = self._relocations.get(shndx)
        if table is None or relocations is None:
            return False
        places = relocations.r_offset
        ascending = self._ascending(shndx, places)
        first = bisect_left(ascending, start, key=places.__getitem__)
        last = bisect_left(ascending, start + variable.size, key=places.__getitem__)
        return any(
            self._is_within_function(table, relocations.symbol[number], relocations.r_addend[number])
            for number in ascending[first:last]
        )

    def _is_within_function(self, table: Symbols, index: int, addend: int) -> bool:
        """Whether symbol *index* plus *addend* bytes is in this object's code, and no function begins there."""
        symbol = table.entry(index)
        if not 0 < symbol.st_shndx < len(self._file.sections):
            return False
        in_code = self._file.sections[symbol.st_shndx].header.sh_flags & c.SHF_EXECINSTR
        return bool(in_code) and (symbol.st_shndx, symbol.st_value + addend) not in self._function_starts

    @cached_property
    def _function_starts(self) -> set[tuple[int, int]]:
        """Section of an object and byte offset in it of each of its functions."""
        return {(function.section, function.address) for function in self._image.functions()}

    @cached_property
    def _relocations(self) -> dict[int, Relocations]:
        """Section of an object -> its relocations."""
        return {section.header.sh_info: table for section, table in self._file.relocations()}

    def _ascending(self, section: int, places: Sequence[int]) -> list[int]:
        """The numbers of the relocations of *section* of an object, which are at *places*, ascending by those."""
        if section not in self._sorted:
            self._sorted[section] = sorted(range(len(places)), key=places.__getitem__)
        return self._sorted[section]

    def _pointer(self, table: Symbols, index: int, addend: int) -> Pointer:
        """What a relocation to symbol *index* plus *addend* bytes points to."""
        symbol = table.entry(index)
        if symbol.st_info & 0xF not in (c.STT_SECTION, c.STT_NOTYPE) or symbol.st_shndx == c.SHN_UNDEF:
            return Pointer(table.name(index), addend, symbol.st_shndx != c.SHN_UNDEF)
        offset, variables = symbol.st_value + addend, self._placed.get(symbol.st_shndx, [])
        position = bisect_right(variables, offset, key=itemgetter(0)) - 1
        if position >= 0:
            start, size, name = variables[position]
            if offset < start + size:
                return Pointer(name, offset - start, True)
        return Pointer(b"", offset, True)

    @cached_property
    def _placed(self) -> dict[int, list[tuple[int, int, bytes]]]:
        """Section of an object -> (byte offset, size, name) of its variables, ascending."""
        table = self._file.symbols
        found: dict[int, list[tuple[int, int, bytes]]] = {}
        if table is not None:
            for index, name in self._variables_of(table):
                symbol = table.entry(index)
                found.setdefault(symbol.st_shndx, []).append((symbol.st_value, symbol.st_size, name))
        return {number: sorted(variables) for number, variables in found.items()}
