"""What DWARF says of source files and variables: where a unit was compiled from, and how its variables are stored.

Nothing more of it is read. Where anything is not as expected, nothing is known.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from stubgen.common.strings import string_at
from stubgen.common.view import uleb128
from stubgen.image.dwarf_entries import (
    BLOCK,
    BLOCKS,
    EXPRESSION,
    FAULTS,
    REF_ADDR,
    STRING,
    Entry,
    EntryTable,
    Unknown,
    abbreviation_of,
    abbreviations_at,
    read_value,
)

Made = TypeVar("Made")

ENUMERATION, BASE, ARRAY, _POINTER, SUBRANGE, VARIABLE = 0x04, 0x24, 0x01, 0x0F, 0x21, 0x34  # DWARF 5, 7.5.3, DW_TAG_*
REFERENCES = frozenset({_POINTER, 0x10, 0x42})  # pointer, reference and rvalue reference types: an address
TRANSPARENT = frozenset({0x16, 0x26, 0x35, 0x37, 0x47, 0x4B})  # typedef, const, volatile, restrict, atomic, immutable
LOCATION, NAME, BYTE_SIZE, _FOLDER, _ENCODING, _TYPE = 0x02, 0x03, 0x0B, 0x1B, 0x3E, 0x49  # 7.5.4, DW_AT_*
PARAMETER, _CONVENTION, _PRODUCER = 0x05, 0x36, 0x25
_UPPER_BOUND, _COUNT, ORIGIN, SPECIFICATION, _OFFSETS, _ADDRESSES = 0x2F, 0x37, 0x31, 0x47, 0x72, 0x73
_RESERVING = b"-fpatchable-function-entry="
SUBPROGRAM, _LOW_PC = 0x2E, 0x11  # DW_TAG_subprogram, DW_AT_low_pc
_ADDRESS_FORM = 0x01  # DW_FORM_addr; those behind it are indexes into .debug_addr
_INDEX_FORMS = frozenset({0x1B, 0x29, 0x2A, 0x2B, 0x2C})
_UNIT_HEADERS = {0x01: 12, 0x02: 24, 0x03: 12, 0x04: 20, 0x05: 20, 0x06: 24}
"""7.5.1: DW_UT_* -> bytes in front of the first entry, from version 5 on, in 32-bit DWARF."""
_COMPILE = 0x01  # DW_UT_compile
_ADDRESS_OPERATION, _PLUS = 0x03, 0x23  # 7.7.1, DW_OP_addr, DW_OP_plus_uconst
_ADDRESS_INDEXES = frozenset({0xA1, 0xFB})  # DW_OP_addrx, DW_OP_GNU_addr_index
_NO_CALL = 0x03  # 7.12, DW_CC_nocall
_IN_MEMORY = frozenset({*range(0x70, 0x90), 0x91})  # DW_OP_breg0 to 31, DW_OP_fbreg: a place in the frame
_AS_IT_IS = bytes.fromhex("9401 31 1e 30 22 9f")
"""DW_OP_deref_size 1, lit1, mul, lit0, plus, stack_value: clang's words for a byte that holds its value 0 or 1."""

STRP, _STRX, _LINE_STRP = 0x0E, 0x1A, 0x1F
_INDEXED = frozenset({_STRX, 0x25, 0x26, 0x27, 0x28})
IN_UNIT = frozenset({0x11, 0x12, 0x13, 0x14, 0x15})
"""Forms that name another entry of the unit."""
_LONGEST_CHAIN = 32  # types of types that are followed

Sections = Callable[[str], bytes]
"""The bytes of the section that DWARF calls so, without ``.`` or ``__``, relocated; empty if there is none."""


class Unit(NamedTuple):
    """A compilation unit."""

    path: bytes  # of its source file; empty where it does not say
    start: int  # byte offset of its header
    entries: int  # of its first entry
    end: int
    abbreviations: int  # where its own begin
    strings: int  # DW_AT_str_offsets_base
    addresses: int  # DW_AT_addr_base
    producer: bytes = b""  # the compiler


class Stored(NamedTuple):
    """How a variable lies in memory."""

    size: int | None  # bytes that its type has; None where that is not known
    how: bytes  # the expression behind its address that makes its value of what is there; empty for the value itself
    is_number: bool  # its type is an integer, a truth value or an enumeration, and no array of them


class Subprogram(NamedTuple):
    """What is said of a function's arguments."""

    no_call: bool
    """DW_CC_nocall: it does not obey the calling convention. LLVM marks those of which it dropped something."""
    in_memory: bool
    """Each parameter has one place in the frame, as in code that nobody optimised."""
    producer: bytes  # of its unit


class DebugInfo:
    """One file's DWARF, read as far as somebody asks.

    Several threads of a server may ask: what is kept here is whole.
    """

    def __init__(self, sections: Sections, companions: Callable[[], Iterable[DebugInfo]] = tuple) -> None:
        self._companions = companions
        self._sections: dict[str, bytes] = {}
        self._read_section = sections
        self._variables: dict[int, dict[int, Stored]] = {}
        self._functions: dict[int, frozenset[int]] = {}
        self._subprograms: dict[int, dict[int, Subprogram]] = {}
        self._referred: dict[int, EntryTable | None] = {}
        self._made: dict[object, Any] = {}

    def made(self, make: Callable[[DebugInfo], Made]) -> Made:
        """What *make* makes of it, made once: readers of other modules keep here what goes when it goes."""
        if make not in self._made:
            self._made[make] = make(self)
        found: Made = self._made[make]
        return found

    def section(self, name: str) -> bytes:
        """The bytes of the section that DWARF calls *name*."""
        if name not in self._sections:
            self._sections[name] = self._read_section(name)
        return self._sections[name]

    def with_companions(self) -> list[DebugInfo]:
        """Itself, and that of the objects that are linked with its object."""
        return [self, *(each for each in self._companions() if each is not self)]

    @cached_property
    def units(self) -> list[Unit]:
        """The compilation units; none where one of them cannot be read."""
        try:
            return list(self._read_units())
        except FAULTS:
            return []

    @cached_property
    def source_file(self) -> bytes:
        """Path of the one source file that an object was compiled from; empty where its DWARF does not say."""
        return self.units[0].path if len(self.units) == 1 else b""

    def called(self, base: bytes) -> list[Unit]:
        """The units of files whose path ends in *base*."""
        return self._by_base.get(base, [])

    @cached_property
    def _by_base(self) -> dict[bytes, list[Unit]]:
        found: dict[bytes, list[Unit]] = {}
        for unit in self.units:
            found.setdefault(posixpath.basename(unit.path), []).append(unit)
        return found

    def variables(self, unit: Unit) -> dict[int, Stored]:
        """Address -> how the variable of *unit* there is stored."""
        known = self._variables.get(unit.start)
        if known is None:
            try:
                known = dict(Entries(self, unit).variables())
            except FAULTS:
                known = {}
            self._variables[unit.start] = known
        return known

    def functions(self, unit: Unit) -> frozenset[int]:
        """The addresses at which the functions of *unit* begin."""
        known = self._functions.get(unit.start)
        if known is None:
            try:
                known = frozenset(Entries(self, unit).functions())
            except FAULTS:
                known = frozenset()
            self._functions[unit.start] = known
        return known

    @property
    def is_unoptimised(self) -> bool:
        """Whether all the functions of an object keep each parameter in one place of the frame."""
        said = [each for unit in self.units for each in self.subprograms(unit).values()]
        return bool(said) and all(each.in_memory for each in said)

    def subprograms(self, unit: Unit) -> dict[int, Subprogram]:
        """Address -> what is said of the function of *unit* there; read once, as a crate's unit may take a second."""
        known = self._subprograms.get(unit.start)
        if known is None:
            try:
                known = dict(Entries(self, unit).subprograms())
            except FAULTS:
                known = {}
            self._subprograms[unit.start] = known
        return known

    def entries_around(self, offset: int) -> EntryTable | None:
        """The entries of the unit that has byte *offset* of ``.debug_info``; None where it cannot be read."""
        number = bisect_right(self.units, offset, key=lambda unit: unit.start) - 1
        unit = self.units[number] if number >= 0 else None
        if unit is None or offset >= unit.end:
            return None
        if unit.start not in self._referred:
            try:
                self._referred[unit.start] = read_entries(self.section, unit)
            except FAULTS:
                self._referred[unit.start] = None
        return self._referred[unit.start]

    def _read_units(self) -> Iterator[Unit]:
        info, start = self.section("debug_info"), 0
        while start < len(info):
            length, version = int.from_bytes(info[start : start + 4], "little"), info[start + 4] | info[start + 5] << 8
            end = start + 4 + length
            if end > len(info) or not 2 <= version <= 5:  # cut off, 64-bit DWARF, or not known
                raise Unknown
            kind = info[start + 6] if version == 5 else _COMPILE
            at = start + (8 if version == 5 else 6)
            entries = start + (_UNIT_HEADERS.get(kind, 12) if version == 5 else 11)
            if kind == _COMPILE:
                yield self._unit(start, entries, end, int.from_bytes(info[at : at + 4], "little"))
            start = end

    def _unit(self, start: int, entries: int, end: int, abbreviations: int) -> Unit:
        info = self.section("debug_info")
        code, position = uleb128(info, entries, "debug_info")
        values: dict[int, tuple[int, bytes]] = {}
        for attribute, form, implicit in abbreviation_of(self.section("debug_abbrev"), abbreviations, code):
            raw, position = read_value(info, position, form, implicit)
            values[attribute] = form, raw
        strings = int.from_bytes(values.get(_OFFSETS, (0, b"\x08"))[1], "little")
        addresses = int.from_bytes(values.get(_ADDRESSES, (0, b"\x08"))[1], "little")
        name, folder = (
            read_text(self.section, *values.get(attribute, (STRING, b"")), strings) for attribute in (NAME, _FOLDER)
        )
        path = full_path(folder, name) if name else b""
        producer = read_text(self.section, *values.get(_PRODUCER, (STRING, b"")), strings)
        return Unit(path, start, entries, end, abbreviations, strings, addresses, producer)


def source_file(sections: Sections) -> bytes:
    """Path of the one source file that an object was compiled from; empty where its DWARF does not say."""
    return DebugInfo(sections).source_file


def full_path(folder: bytes, name: bytes) -> bytes:
    """*name*, seen from *folder* if it is relative."""
    return posixpath.normpath(posixpath.join(folder, name))


def read_entries(
    section: Sections, unit: Unit, others: Callable[[int], EntryTable | None] = lambda _: None
) -> EntryTable:
    """Where the entries of *unit* are; those of *others* that they refer to are read when they are asked for."""
    abbreviations = dict(abbreviations_at(section("debug_abbrev"), unit.abbreviations))
    return EntryTable(section("debug_info"), unit.start, unit.entries, unit.end, abbreviations, unit.strings, others)


def reserved(producer: bytes) -> int:
    """Bytes that ``-fpatchable-function-entry=N,M`` reserves where each function of GCC's begins; 0 for none."""
    if not producer.startswith(b"GNU "):
        return 0
    said = [word for word in producer.split() if word.startswith(_RESERVING)]
    both, _, before = said[-1].removeprefix(_RESERVING).partition(b",") if said else (b"0", b"", b"")
    before = before or b"0"
    return 4 * max(int(both) - int(before), 0) if both.isdigit() and before.isdigit() else 0


def beginnings(producer: bytes, start: int) -> tuple[int, ...]:
    """Where a function of *producer*'s may begin whose DW_AT_low_pc is *start*.

    GCC counts from behind what it reserves there, in front of which may be a landing pad.
    """
    skipped = reserved(producer)
    if not skipped:
        return (start,)
    return (start, start - skipped, *([start - skipped - 4] if b" -mbranch-protection=" in producer else []))


class Entries:
    """All entries of one unit, and what they say of variables, functions and types."""

    def __init__(self, debug: DebugInfo, unit: Unit) -> None:
        self.debug = debug
        self.section = debug.section
        self.unit = unit
        self.entries = read_entries(debug.section, unit, debug.entries_around)

    def placed(self) -> Iterator[tuple[int, int, bytes]]:
        """Offset of each variable that has an address, that address, and what its expression has behind it."""
        for offset, form, location in self.entries.values(VARIABLE, LOCATION):
            if form in (EXPRESSION, BLOCK, *BLOCKS):
                place = self.place(location)
                if place is not None:
                    yield offset, *place

    def variables(self) -> Iterator[tuple[int, Stored]]:
        """Address, and how the variable there is stored."""
        for offset, address, behind in self.placed():
            size, kind = self._size(self.entries[offset])
            is_number = not kind.is_element and (kind.tag == ENUMERATION or (kind.tag == BASE and not is_float(kind)))
            how = b"" if size == 1 and behind == _AS_IT_IS else behind
            yield address, Stored(size, how, is_number)

    def starts(self) -> Iterator[tuple[int, int]]:
        """Offset of each function that is there, and its address; of some several, of which one is its symbol's."""
        for offset, form, raw in self.entries.values(SUBPROGRAM, _LOW_PC):
            start = self._start(form, raw)
            if start >= 0:
                yield from ((offset, place) for place in beginnings(self.unit.producer, start))

    def functions(self) -> Iterator[int]:
        """The address of each function that is there."""
        return (start for _, start in self.starts())

    def addresses(self) -> set[int]:
        """Where its functions begin and its variables are."""
        return {*self.functions(), *(address for _, address, _ in self.placed())}

    def subprograms(self) -> Iterator[tuple[int, Subprogram]]:
        """Where each function begins, and what is said of it; the first one counts."""
        any_parameters = next(self.entries.tagged(PARAMETER), None) is not None
        for offset, start in reversed(list(self.starts())):
            entry = self.entries[offset]
            origin = max(self._target(entry, ORIGIN), self._target(entry, SPECIFICATION))
            said = [entry, *([self.entries[origin]] if origin in self.entries else [])]
            no_call = any(e.values.get(_CONVENTION, (0, b""))[1][:1] == bytes([_NO_CALL]) for e in said)
            parameters = [self.entries[each] for each in self.entries.children(offset, [PARAMETER])]
            places = [parameter.values.get(LOCATION, (0, b"")) for parameter in parameters]
            stored = all(form in (EXPRESSION, *BLOCKS) and raw[:1] and raw[0] in _IN_MEMORY for form, raw in places)
            described = any_parameters and (bool(places) or not any(self.entries.children(origin, [PARAMETER])))
            yield start, Subprogram(no_call, stored and described, self.unit.producer)

    def _start(self, form: int, raw: bytes) -> int:
        """Where a function begins whose DW_AT_low_pc is that; -1 where it is in no known form."""
        value = int.from_bytes(raw, "little")
        if form in _INDEX_FORMS:
            return self._address(value)
        return value if form == _ADDRESS_FORM else -1

    def _address(self, index: int) -> int:
        """The unit's address number *index*."""
        at = self.unit.addresses + 8 * index
        return int.from_bytes(self.section("debug_addr")[at : at + 8], "little")

    def place(self, location: bytes) -> tuple[int, bytes] | None:
        """The address with which an expression begins, and what follows it; None for others."""
        if not location:
            return None
        if location[0] == _ADDRESS_OPERATION:
            address, position = int.from_bytes(location[1:9], "little"), 9
        elif location[0] in _ADDRESS_INDEXES:
            index, position = uleb128(location, 1, "debug_info")
            address = self._address(index)
        else:
            return None
        if location[position : position + 1] == bytes([_PLUS]):  # one of several under one symbol
            distance, position = uleb128(location, position + 1, "debug_info")
            address += distance
        return address, location[position:]

    def _size(self, entry: Entry) -> tuple[int | None, Entry]:
        """Bytes that the type of a variable has, and the entry of that type or of an array's elements."""
        times, is_array = 1, False
        for _ in range(_LONGEST_CHAIN):
            offset = self._type(entry)
            found = self.entries.get(offset)
            if found is None:
                break
            entry = found._replace(is_element=is_array)
            if BYTE_SIZE in entry.values:
                return times * int.from_bytes(entry.values[BYTE_SIZE][1], "little"), entry
            if entry.tag in REFERENCES:
                return times * 8, entry
            if entry.tag == ARRAY:
                is_array = True
                for dimension in self.entries.children(offset, [SUBRANGE]):
                    times *= extent(self.entries[dimension])
            elif entry.tag not in TRANSPARENT:
                break
        return None, entry

    def _type(self, entry: Entry) -> int:
        """Where the type of *entry* is, which a definition may leave to its declaration; -1 where nothing says."""
        for _ in range(_LONGEST_CHAIN):
            if _TYPE in entry.values:
                return self._target(entry, _TYPE)
            declared = max(self._target(entry, SPECIFICATION), self._target(entry, ORIGIN))
            found = self.entries.get(declared)
            if found is None:
                break
            entry = found
        return -1

    def _target(self, entry: Entry, attribute: int) -> int:
        """Which entry *attribute* names; -1 for none."""
        form, raw = entry.values.get(attribute, (0, b""))
        if form in IN_UNIT:
            return entry.base + int.from_bytes(raw, "little")
        return self.entries.reference(int.from_bytes(raw, "little")) if form == REF_ADDR else -1


def is_float(entry: Entry) -> bool:
    """Of a base type, whether it is none of integers."""
    return is_complex(entry) or entry.values.get(_ENCODING, (0, b""))[1][:1] == b"\x04"  # 7.8, DW_ATE_float


def is_complex(entry: Entry) -> bool:
    """Of a base type, whether it is made of two floating-point numbers."""
    return entry.values.get(_ENCODING, (0, b""))[1][:1] == b"\x03"  # 7.8, DW_ATE_complex_float


def occurrences(raw: bytes, sought: bytes) -> Iterator[int]:
    """Where *sought* stands in *raw*."""
    at = raw.find(sought)
    while at >= 0:
        yield at
        at = raw.find(sought, at + 1)


def extent(dimension: Entry) -> int:
    """How many elements an array has in one dimension."""
    for attribute, more in ((_COUNT, 0), (_UPPER_BOUND, 1)):
        if attribute in dimension.values:
            form, raw = dimension.values[attribute]
            if form in (BLOCK, EXPRESSION, *BLOCKS, *IN_UNIT):
                raise Unknown
            return int.from_bytes(raw, "little") + more
    return 0


def read_text(sections: Sections, form: int, raw: bytes, base: int) -> bytes:
    """What a string attribute says."""
    if form == STRING:
        return raw.rstrip(b"\0")
    number = int.from_bytes(raw, "little")
    if form == _LINE_STRP:
        return string_at(sections("debug_line_str"), number)
    if form in _INDEXED:
        at = base + 4 * number
        number = int.from_bytes(sections("debug_str_offs")[at : at + 4], "little")
    elif form != STRP:
        raise Unknown
    return string_at(sections("debug_str"), number)
