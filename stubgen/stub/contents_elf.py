"""The contents of an ELF stub object, section by section, each with the symbols that belong to it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from stubgen.common.columns import Content, column, column_bytes, progression
from stubgen.elf import constants as c
from stubgen.elf.relocations import R_AARCH64_ABS64, Relocations
from stubgen.elf.unwind import leaf_frames
from stubgen.elf.writer import Object, Section, SymbolColumns, note, property_note, write
from stubgen.image.identity import ELF_KIND, ELF_OWNER, ELF_SECTION
from stubgen.stub.sections_elf import (
    CONSTANTS,
    FRAMES,
    PROPERTY,
    RESOLVERS,
    SECTIONS,
    STACK,
    TEXT,
    frames_of,
    section,
)

_TEXT = 1
"""Symbol index of the section symbol of the stubs' code; those of the resolvers follow."""

SlotColumns = tuple[Sequence[bytes], Sequence[int]]
"""Symbols and values of slots, one each a slot."""


class ElfContents:
    """What goes into the object, in the order in which it is written.

    Args:
        code: the stubs.
        descriptors: the sections of TLS descriptors that there will be, in the order in which they will be added.
        features: GNU_PROPERTY_AARCH64_FEATURE_1_* bits.
    """

    def __init__(self, code: Content, descriptors: Sequence[str], features: int) -> None:
        bti = bool(features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
        self._resolvers = {title: (number, RESOLVERS[title]) for number, title in enumerate(descriptors, _TEXT + 1)}
        self._bti = bti
        self._sections: list[Section] = []
        self._code: list[int] = []  # sections of code, each with a section symbol
        self._mapping: list[tuple[bytes, int]] = []  # where code and data start (AAELF64, "Mapping symbols")
        self._groups: list[SymbolColumns] = []
        self._add_code(TEXT, code)
        sizes = {number: len(resolver.code(bti)) for number, resolver in self._resolvers.values()}
        holding = frames_of(((title, number) for title, (number, _) in self._resolvers.items()), bti)
        frames, relocations = leaf_frames({_TEXT: len(code), **sizes}, holding)
        self._add_data(FRAMES, frames, relocations)
        self._add(STACK, b"")
        if features:
            self._add(PROPERTY, property_note(features))

    def add_stubs(self, names: Sequence[bytes], stride: int) -> None:
        """The symbols of the stubs, *stride* bytes each."""
        self._groups.append(
            SymbolColumns(
                names=names,
                st_info=c.STB_WEAK << 4 | c.STT_FUNC,
                st_other=c.STV_HIDDEN,
                st_shndx=1,
                st_value=progression("Q", len(names), stride),
                st_size=stride,
            )
        )

    def add_anchor(self, name: bytes, start: int, size: int) -> None:
        """The symbol of the stub at byte *start* of the code that the loader finds by name."""
        info = c.STB_GLOBAL << 4 | c.STT_FUNC
        self._groups.append(SymbolColumns(names=[name], st_info=info, st_shndx=1, st_value=[start], st_size=size))

    def add_constants(self, slots: SlotColumns) -> None:
        """Slots that hold a value."""
        symbols, values = slots
        self._add_slots(CONSTANTS, symbols, array("Q", values))

    def add_descriptors(self, title: str, slots: SlotColumns) -> None:
        """TLS descriptors, of which a value is all behind the first word, and the code of their resolver."""
        number, resolver = self._resolvers[title]
        symbols, values = slots
        count, size = len(symbols), SECTIONS[title].slot_size
        starts = range(0, size * count, size)
        to_resolver = Relocations(starts, [number] * count, [R_AARCH64_ABS64] * count, [0] * count)
        words = column("Q", b"".join([bytes(8) + value.to_bytes(size - 8, "little") for value in values]))
        self._add_slots(title, symbols, words, to_resolver)
        self._add_code(resolver.section, resolver.code(self._bti))

    def add_identity(self, content: bytes) -> None:
        """The note that says whose patch it is."""
        self._add(ELF_SECTION, note(ELF_OWNER, ELF_KIND, content, ELF_SECTION))

    def add_absolutes(self, names: Sequence[bytes], values: Sequence[int], visibility: int) -> None:
        """SHN_ABS symbols."""
        info = c.STB_WEAK << 4 | c.STT_OBJECT
        self._groups.append(
            SymbolColumns(names=names, st_info=info, st_other=visibility, st_shndx=c.SHN_ABS, st_value=values)
        )

    def written(self) -> bytes:
        """The object."""
        symbols = [(b"", c.STT_SECTION, number) for number in self._code]
        symbols += [(name, c.STT_NOTYPE, number) for name, number in self._mapping]
        columns = SymbolColumns(
            names=[name for name, _, _ in symbols],
            st_info=[kind for _, kind, _ in symbols],
            st_shndx=[number for _, _, number in symbols],
        )
        return write(Object(self._sections, columns, self._groups), "the stub object")

    def _add_slots(
        self, title: str, symbols: Sequence[bytes], words: array[int], relocations: Relocations | None = None
    ) -> None:
        size = SECTIONS[title].slot_size
        number = self._add_data(title, column_bytes(words), relocations)
        self._groups.append(
            SymbolColumns(
                names=symbols,
                st_info=c.STB_GLOBAL << 4 | c.STT_OBJECT,
                st_other=c.STV_HIDDEN,
                st_shndx=number,
                st_value=range(0, size * len(symbols), size),
                st_size=size,
            )
        )

    def _add_code(self, name: str, content: Content) -> None:
        number = self._add(name, content)
        self._code.append(number)
        self._mapping.append((b"$x", number))

    def _add_data(self, name: str, content: Content, relocations: Relocations | None = None) -> int:
        number = self._add(name, content, relocations)
        self._mapping.append((b"$d", number))
        return number

    def _add(self, name: str, content: Content, relocations: Relocations | None = None) -> int:
        """The section's index."""
        self._sections.append(section(name, content, relocations))
        return len(self._sections)
