"""A Mach-O object as its linker takes it apart: pieces of sections that go, stay and move on their own (atoms).

Under MH_SUBSECTIONS_VIA_SYMBOLS each symbol begins one, unless it is an N_ALT_ENTRY; otherwise a section is one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property

from stubgen.common.aarch64 import WORD, page_offset
from stubgen.common.row import Row
from stubgen.errors import MalformedInput, UnsupportedInput
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.reader import MachOFile, Section, Symbols

UNWIND_SECTIONS = frozenset({"__LD,__compact_unwind", "__TEXT,__eh_frame"})
"""Sections that are taken by the entry, with the code that the entry is about."""


class Atom(Row):
    """One of them."""

    number: int
    section: Section
    start: int  # virtual address in the object
    end: int
    symbols: tuple[int, ...]
    """Indexes of the symbols in it, by address."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def kind(self) -> int:
        """S_*, the type of its section."""
        return self.section.header.flags & c.SECTION_TYPE

    @property
    def is_code(self) -> bool:
        """Whether it lies among instructions."""
        return bool(self.section.header.flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS))


class Use(Row):
    """One reference that an atom makes: a relocation, and what stands in front of it and in its place."""

    address: int  # virtual address in the object of the field
    kind: int  # ARM64_RELOC_*
    word: int  # the relocation's second word: length, whether it is relative
    symbol: int  # index; -1 where it names a section
    target: int  # virtual address in the object of what is meant, without the addend; of an undefined symbol, 0
    addend: int  # bytes
    subtracted: int  # index of the symbol that is subtracted; -1: nothing is
    access: tuple[int, int] | None = None
    """Virtual address of a load or store that linkers may let say it all instead, and its own offset in bytes."""

    @property
    def length(self) -> int:
        """Log2 bytes of the field."""
        return self.word >> 25 & 3


class Atoms:
    """The atoms of one object, and what they refer to.

    Raises:
        InputError: the object has no symbols, or its relocations are broken or in a form that no compiler writes.
    """

    def __init__(self, file: MachOFile, title: str) -> None:
        if file.symbols is None:
            raise MalformedInput(f"{title}: has no symbol table")
        self.file, self.title = file, title
        self.symbols: Symbols = file.symbols
        self.all: list[Atom] = []
        self._starts: dict[int, list[int]] = {}  # ordinal -> starts of its atoms
        self._first: dict[int, int] = {}  # ordinal -> number of its first atom
        for section in file.sections:
            if not section.header.flags & c.S_ATTR_DEBUG and section.name not in UNWIND_SECTIONS:
                self._cut(section)

    def _cut(self, section: Section) -> None:
        header = section.header
        symbols = self._by_section.get(section.ordinal, [])
        starts = {header.addr}
        if self.file.header.flags & c.MH_SUBSECTIONS_VIA_SYMBOLS:
            starts |= {
                value
                for value, index in symbols
                if not self.symbols.n_desc[index] & c.N_ALT_ENTRY and self._is_in(value, section)
            }
        cuts = sorted(starts)
        self._starts[section.ordinal], self._first[section.ordinal] = cuts, len(self.all)
        position = 0
        for start, end in zip(cuts, [*cuts[1:], header.addr + header.size], strict=True):
            inside = []
            while position < len(symbols) and (symbols[position][0] < end or end == header.addr + header.size):
                inside.append(symbols[position][1])
                position += 1
            self.all.append(Atom(len(self.all), section, start, end, tuple(inside)))

    @staticmethod
    def _is_in(address: int, section: Section) -> bool:
        return bool(section.header.addr <= address < section.header.addr + section.header.size)

    @cached_property
    def _by_section(self) -> dict[int, list[tuple[int, int]]]:
        """Ordinal -> (address, index) of its symbols, ascending."""
        found: dict[int, list[tuple[int, int]]] = {}
        for index, n_type in enumerate(self.symbols.n_type):
            if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT:
                found.setdefault(self.symbols.n_sect[index], []).append((self.symbols.n_value[index], index))
        return {ordinal: sorted(listed) for ordinal, listed in found.items()}

    def of_symbol(self, index: int) -> Atom | None:
        """The atom that symbol *index* names or lies in; None where it is not defined in a section."""
        if self.symbols.n_type[index] & c.N_TYPE != c.N_SECT:
            return None
        return self.at(self.symbols.n_sect[index], self.symbols.n_value[index])

    def at(self, ordinal: int, address: int) -> Atom | None:
        """The atom of section *ordinal* that *address* lies in; its end belongs to the last one."""
        starts = self._starts.get(ordinal)
        if not starts or address < starts[0]:
            return None
        return self.all[self._first[ordinal] + bisect_right(starts, address) - 1]

    def content(self, atom: Atom) -> bytes:
        """Its bytes; zeroes where the file has none."""
        if atom.kind in c.ZEROFILL_TYPES:
            return bytes(atom.size)
        start = atom.start - atom.section.header.addr
        return bytes(self.file.content(atom.section)[start : start + atom.size])

    def uses(self, atom: Atom) -> Sequence[Use]:
        """What it refers to, by address."""
        listed, addresses = self._uses.get(atom.section.ordinal, ([], []))
        first, last = bisect_right(addresses, atom.start - 1), bisect_right(addresses, atom.end - 1)
        return listed[first:last]

    def uses_in(self, section: Section) -> Sequence[Use]:
        """What *section* refers to, by address."""
        return self._uses.get(section.ordinal, ([], []))[0]

    @cached_property
    def _uses(self) -> dict[int, tuple[list[Use], list[int]]]:
        found = {}
        for section, table in self.file.relocations():
            if not section.header.flags & c.S_ATTR_DEBUG or section.name in UNWIND_SECTIONS:
                uses = sorted(self._read(section, table), key=lambda use: use.address)
                found[section.ordinal] = uses, [use.address for use in uses]
        return found

    def _read(self, section: Section, table: r.Relocations) -> Iterator[Use]:
        addend, subtracted = 0, -1
        content = self.file.content(section)
        for offset, word in zip(table.r_address, table.r_word, strict=True):
            kind, number, named = word >> 28, word & 0xFFFFFF, bool(word >> 27 & 1)
            if kind == r.ARM64_RELOC_ADDEND:
                addend = number - ((number & 0x800000) << 1)
                continue
            if named and number >= len(self.symbols):
                raise MalformedInput(f"{self.title}: {section.name} names a symbol that does not exist")
            if kind == r.ARM64_RELOC_SUBTRACTOR:
                if not named:
                    raise UnsupportedInput(f"{self.title}: {section.name}+{offset:#x} counts from a section")
                subtracted = number
                continue
            size = 1 << (word >> 25 & 3)
            if not 0 <= offset <= len(content) - size:
                raise MalformedInput(f"{self.title}: a relocation at {offset:#x} lies outside {section.name}")
            if kind == r.ARM64_RELOC_UNSIGNED:
                addend = int.from_bytes(content[offset : offset + size], "little", signed=subtracted >= 0)
            address = section.header.addr + offset
            if named:
                defined = self.symbols.n_type[number] & c.N_TYPE == c.N_SECT
                target = self.symbols.n_value[number] if defined else 0
                yield Use(address, kind, word, number, target, addend, subtracted, self._accesses.get(address))
            elif kind == r.ARM64_RELOC_UNSIGNED and subtracted < 0 and 0 < number <= len(self.file.sections):
                home = self.at(number, addend)
                if home is None:
                    raise MalformedInput(f"{self.title}: {section.name}+{offset:#x} points nowhere")
                yield Use(address, kind, word, -1 - home.number, home.start, addend - home.start, -1)
            else:
                raise UnsupportedInput(f"{self.title}: {section.name}+{offset:#x} counts from a section")
            addend, subtracted = 0, -1

    @cached_property
    def _accesses(self) -> dict[int, tuple[int, int]]:
        """Address of the second of three hinted instructions -> that of the third, and its offset in bytes."""
        found = {}
        for kind, addresses in self.file.hints():
            if kind in c.LOH_THREE and len(addresses) == 3:
                raw = self.file.memory_at(addresses[2], WORD)
                own = None if raw is None else page_offset(int.from_bytes(raw, "little"))
                if own is not None:
                    found[addresses[1]] = addresses[2], own
        return found

    @cached_property
    def earlier_pages(self) -> dict[int, int]:
        """Address of an ``adrp`` -> that of one in front of it which linkers may let do for both."""
        kind_wanted = c.LOH_ARM64_ADRP_ADRP
        return {at[1]: at[0] for kind, at in self.file.hints() if kind == kind_wanted and len(at) == 2}

    def meant(self, use: Use) -> Atom | None:
        """The atom that *use* means; None where it names what is in no section here."""
        return self.all[-1 - use.symbol] if use.symbol < 0 else self.of_symbol(use.symbol)
