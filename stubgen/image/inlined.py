"""Where compilers inlined a function, by DWARF 5, 3.3.8 "Inlined Subroutines".

Only units that name the function are read. Where a unit is not as expected, nothing is known of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property

from stubgen.common.row import Row
from stubgen.image.dwarf import Sections, Unit, beginnings, occurrences, read_text
from stubgen.image.dwarf_entries import FAULTS, REF_ADDR, EntryTable, abbreviations_at
from stubgen.image.dwarf_units import owners, units_naming

_INLINED, _SUBPROGRAM = 0x1D, 0x2E  # DWARF 5, 7.5.3, DW_TAG_inlined_subroutine, DW_TAG_subprogram
_NAME, _LOW_PC, _ORIGIN, _EXTERNAL, _SPECIFICATION, _RANGES, _LINKAGE = 0x03, 0x11, 0x31, 0x3F, 0x47, 0x55, 0x6E
_DECLARATION = 0x3C
_OLD_LINKAGE = 0x2007  # DW_AT_MIPS_linkage_name, of compilers before DWARF 4
_ADDRESS = 0x01  # DW_FORM_addr
_REFERENCES = frozenset({0x11, 0x12, 0x13, 0x14, 0x15})  # DW_FORM_ref*: counted from the unit
_ADDRESS_INDEXES = frozenset({0x1B, 0x29, 0x2A, 0x2B, 0x2C})  # DW_FORM_addrx*
_ORIGIN_ELSEWHERE = bytes([_ORIGIN, REF_ADDR])  # in .debug_abbrev: an origin that may be in another unit
_LONGEST_CHAIN = 32  # declarations of declarations that are followed
SEARCHES = 64
"""Functions that are searched for one by one, so that other units need not be read; of more, all are."""


class InlinedInto(Row):
    """A function that has copies of another one."""

    function: bytes  # its symbol's name as DWARF has it, without Mach-O's underscore
    address: int | None  # where it begins; None where it lies in several pieces
    copies: int
    file: bytes  # path of the source file of its unit


class _Function(Row):
    """An entry of a function or of an inlined copy of one; offsets are bytes into ``.debug_info``."""

    offset: int
    linkage: bytes  # its symbol's name, where that has its types in it too
    name: bytes  # as the source has it
    refers_to: int  # the entry that says more; -1: none
    address: int | None
    external: bool
    has_code: bool
    inlined: tuple[int, ...]  # the origin of each copy inside, nested ones too
    is_declaration: bool


class InlinedCopies:
    """The inlined copies that one file's DWARF knows."""

    def __init__(self, sections: Sections, units: list[Unit]) -> None:
        self._read_section = sections
        self._sections: dict[str, bytes] = {}
        self.units = units
        self._starts = [unit.start for unit in units]
        self._functions: dict[int, dict[int, _Function]] = {}

    def _section(self, name: str) -> bytes:
        if name not in self._sections:
            self._sections[name] = self._read_section(name)
        return self._sections[name]

    def find(
        self, wanted: Mapping[bytes, Collection[int]], one_by_name: Callable[[bytes], bool]
    ) -> dict[bytes, list[InlinedInto]]:
        """Where each function is inlined.

        Args:
            wanted: name of a symbol -> where the function begins; nowhere, where all of it was inlined. One that
                is its file's own is told by its address.
            one_by_name: whether a program has but one function of that name.
        """
        meant: dict[int, bytes] = {}  # abstract entry -> name
        homes = {address: name for name, addresses in wanted.items() for address in addresses}
        for unit in self._naming(wanted, homes):
            for function in self._read(unit).values():
                chain = list(self._chain(function))
                linkage, name = self._names(function)
                places = () if function.address is None else beginnings(unit.producer, function.address)
                there = next((homes[place] for place in places if place in homes), b"")
                if there and (linkage == there or (not linkage and name in there)):
                    meant.update((entry.offset, there) for entry in chain)
                elif (linkage or name) in wanted:
                    called = linkage or name
                    shared = one_by_name(called) or any(entry.external for entry in chain) or not wanted[called]
                    meant.update((entry.offset, called) for entry in chain if shared)
        found: dict[bytes, dict[tuple[bytes, int | None, bytes], int]] = {}
        for unit in self._with_copies_of(meant):
            for function in self._read(unit).values():
                names = [meant[origin] for origin in function.inlined if origin in meant]
                for name in names if function.has_code else ():
                    linkage, plain = self._names(function)
                    key = linkage or plain, function.address, unit.path
                    counts = found.setdefault(name, {})
                    counts[key] = counts.get(key, 0) + 1
        return {name: [InlinedInto(*key[:2], n, key[2]) for key, n in counts.items()] for name, counts in found.items()}

    def without_code(self, names: Collection[bytes]) -> set[bytes]:
        """Those of *names* that a unit has as functions for other files to see, and says nowhere to have code.

        What ``--gc-sections`` took has an address still, in the unit of its file. GCC places what it optimises at link
        in units of its own.
        """
        found = set()
        for unit in self._naming(names, ()):
            functions = self._read(unit)
            placed = {entry.offset for each in functions.values() if each.has_code for entry in self._chain(each)}
            for function in functions.values():
                chain = list(self._chain(function))
                linkage, name = self._names(function)
                told = not function.is_declaration and any(entry.external for entry in chain)
                if told and placed.isdisjoint(entry.offset for entry in chain):
                    found.add(linkage or name)
        return found.intersection(names)

    def named(self) -> Iterator[tuple[bytes, bytes]]:
        """Linkage name and source's name, empty where it is not said, of each function that is more than declared."""
        for unit in self.units:
            for function in self._read(unit).values():
                if not function.is_declaration:
                    yield self._names(function)

    def _naming(self, names: Collection[bytes], addresses: Collection[int]) -> list[Unit]:
        """The units that may have a function called one of *names*, or at one of *addresses*."""
        if len(names) + len(addresses) > SEARCHES:
            return self.units
        found = units_naming(self._section, self.units, names)
        addresses_of = [unit.addresses for unit in self.units]
        for address in addresses:
            sought = address.to_bytes(8, "little")
            found.update(self._unit_at(at) for at in occurrences(self._section("debug_info"), sought))
            for at in occurrences(self._section("debug_addr"), sought):
                found |= owners(addresses_of, at)
        return [self.units[number] for number in sorted(found) if number >= 0]

    def _unit_at(self, offset: int) -> int:
        """Number of the unit with byte *offset* of ``.debug_info``; -1 for none."""
        number = bisect_right(self._starts, offset) - 1
        return number if number >= 0 and offset < self.units[number].end else -1

    def _with_copies_of(self, origins: Collection[int]) -> list[Unit]:
        """The units that may have copies of the functions whose entries *origins* are."""
        found = {self._unit_at(origin) for origin in origins}
        info = self._section("debug_info")
        sought = [origin.to_bytes(4, "little") for origin in origins]
        for number in self._with_origins_elsewhere:
            content = info[self.units[number].start : self.units[number].end]
            if len(sought) > SEARCHES or any(each in content for each in sought):
                found.add(number)
        return [self.units[number] for number in sorted(found) if number >= 0]

    @cached_property
    def _with_origins_elsewhere(self) -> set[int]:
        """Numbers of the units with copies whose functions other units may define: those of link-time optimisation."""
        tables = sorted({unit.abbreviations for unit in self.units})
        hits = {
            tables[max(bisect_right(tables, at) - 1, 0)]
            for at in occurrences(self._section("debug_abbrev"), _ORIGIN_ELSEWHERE)
            if tables
        }
        return {number for number, unit in enumerate(self.units) if unit.abbreviations in hits}

    def _entry(self, offset: int) -> _Function | None:
        number = self._unit_at(offset)
        return None if number < 0 else self._read(self.units[number]).get(offset)

    def _chain(self, function: _Function) -> Iterator[_Function]:
        """*function*, its origin, and what that specifies."""
        entry: _Function | None = function
        for _ in range(_LONGEST_CHAIN):
            if entry is None:
                return
            yield entry
            entry = self._entry(entry.refers_to) if entry.refers_to >= 0 else None

    def _names(self, function: _Function) -> tuple[bytes, bytes]:
        """The linkage name, and the source's; each empty where nothing says it."""
        chain = list(self._chain(function))
        linkages, names = (entry.linkage for entry in chain), (entry.name for entry in chain)
        return next(filter(None, linkages), b""), next(filter(None, names), b"")

    def _read(self, unit: Unit) -> dict[int, _Function]:
        known = self._functions.get(unit.start)
        if known is None:
            try:
                known = {function.offset: function for function in self._read_entries(unit)}
            except FAULTS:
                known = {}
            self._functions[unit.start] = known
        return known

    def _read_entries(self, unit: Unit) -> Iterator[_Function]:
        """The functions of *unit*."""
        abbreviations = dict(abbreviations_at(self._section("debug_abbrev"), unit.abbreviations))
        table = EntryTable(self._section("debug_info"), unit.start, unit.entries, unit.end, abbreviations)
        tags = {code: tag for code, (tag, _, _) in abbreviations.items() if tag in (_SUBPROGRAM, _INLINED)}
        parents: list[int] = []  # of each open entry, the function that it is in; -1: none
        functions: list[int] = []
        inlined: dict[int, list[int]] = {}
        for offset, code in zip(table.offsets, table.codes, strict=True):
            if not code:
                if parents:
                    parents.pop()
                continue
            tag, owner = tags.get(code), parents[-1] if parents else -1
            if tag == _SUBPROGRAM:
                functions.append(offset)
            elif tag == _INLINED and owner >= 0:
                inlined.setdefault(owner, []).append(_reference(unit, table[offset].values.get(_ORIGIN)))
            if table.opens[code]:
                parents.append(offset if tag == _SUBPROGRAM else owner)
        for offset in functions:
            yield self._function(unit, unit.start + offset, table[offset].values, tuple(inlined.get(offset, ())))

    def _function(
        self, unit: Unit, offset: int, values: Mapping[int, tuple[int, bytes]], inlined: tuple[int, ...]
    ) -> _Function:
        linkage, name = (
            read_text(self._section, *values[at], unit.strings) if at in values else b""
            for at in (_LINKAGE if _LINKAGE in values else _OLD_LINKAGE, _NAME)
        )
        return _Function(
            offset,
            linkage,
            name,
            max(_reference(unit, values.get(_ORIGIN)), _reference(unit, values.get(_SPECIFICATION))),
            self._address(unit, values.get(_LOW_PC)),
            _EXTERNAL in values,
            _LOW_PC in values or _RANGES in values,
            inlined,
            _DECLARATION in values,
        )

    def _address(self, unit: Unit, said: tuple[int, bytes] | None) -> int | None:
        if said is None:
            return None
        form, value = said[0], int.from_bytes(said[1], "little")
        if form in _ADDRESS_INDEXES:
            at = unit.addresses + 8 * value
            return int.from_bytes(self._section("debug_addr")[at : at + 8], "little")
        return value if form == _ADDRESS else None


def _reference(unit: Unit, said: tuple[int, bytes] | None) -> int:
    """The byte offset into ``.debug_info`` of the entry that an attribute names; -1 for none."""
    if said is None:
        return -1
    form, value = said[0], int.from_bytes(said[1], "little")
    if form == REF_ADDR:
        return value
    return unit.start + value if form in _REFERENCES else -1
