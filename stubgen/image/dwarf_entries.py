"""The entries of one DWARF unit: where each begins is found in one pass, and what it says is read when somebody asks.

DWARF 5, 7.5. No entry has its length in front (DW_AT_sibling, which jumps over what is in one, is GCC's alone), so
each has to be stepped over; the abbreviations tell how.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stubgen.common.view import sleb128, uleb128
from stubgen.errors import MalformedInput

UNIT = 0x11  # DW_TAG_compile_unit
REF_ADDR = 0x10  # DWARF 5, 7.5.6, DW_FORM_ref_addr: a byte offset into .debug_info

_FIXED = {0x01: 8, 0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x10: 4, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8} | {
    0x0E: 4,
    0x17: 4,
    0x19: 0,
    0x1E: 16,
    0x1F: 4,
    0x20: 8,
    0x21: 0,
    0x25: 1,
    0x26: 2,
    0x27: 3,
    0x28: 4,
    0x29: 1,
    0x2A: 2,
    0x2B: 3,
    0x2C: 4,
}
"""7.5.6: DW_FORM_* -> bytes of the value, in 32-bit DWARF with 8-byte addresses."""
_SIGNED = 0x0D
_NUMBERS = frozenset({_SIGNED, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23})
"""Forms whose value is one LEB128 number."""
BLOCKS = {0x03: 2, 0x04: 4, 0x0A: 1}
"""Forms whose value is as many bytes as a number of so many bytes in front of it says."""
STRING, BLOCK, EXPRESSION, _IMPLICIT = 0x08, 0x09, 0x18, 0x21


class Unknown(Exception):
    """Something that this reader does not know; what it is about stays unknown."""


FAULTS = (MalformedInput, IndexError, ValueError, Unknown)


class Entry(NamedTuple):
    """What one entry says: attribute -> (form, value)."""

    tag: int
    values: dict[int, tuple[int, bytes]]
    is_element: bool = False  # the type of an array's elements
    base: int = 0  # what its references within its unit count from
    strings: int = 0  # DW_AT_str_offsets_base of its unit


Abbreviation = tuple[int, bool, list[tuple[int, int, int]]]
"""Tag, whether it has children, and (attribute, form, implicit value) of each of its values."""


ELSEWHERE = 1 << 40
"""From here on an offset is one of ``.debug_info``, of what another unit has."""


class EntryTable:
    """Where each entry of a unit is, in their order; the end of each list of children is one too, of abbreviation 0.

    Args:
        info: ``.debug_info``, relocated.
        start: byte offset of the unit's header.
        first: of its first entry.
        end: of what follows the unit.
        abbreviations: the unit's.
        strings: its DW_AT_str_offsets_base.
        others: byte offset in ``.debug_info`` -> the table of the unit that has it, if that can be read. What another
            unit has counts from :data:`ELSEWHERE` here: linkers that optimise, and dsymutil for C++, write a type once.

    Raises:
        Unknown: an entry is of no abbreviation or has a value in an unknown form.
        MalformedInput, IndexError, ValueError: it is cut off.
    """

    def __init__(
        self,
        info: bytes,
        start: int,
        first: int,
        end: int,
        abbreviations: dict[int, Abbreviation],
        strings: int = 0,
        others: Callable[[int], EntryTable | None] = lambda _: None,
    ) -> None:
        self.info = info
        self.start = start
        self.end = end
        self.strings = strings
        self._others = others
        self.abbreviations = abbreviations
        self.offsets = array("Q")
        """Of each, bytes from the unit's start."""
        self.codes = array("Q")
        """Its abbreviation; 0 ends a list of children."""
        self.opens = {0: False, **{code: children for code, (_, children, _) in abbreviations.items()}}
        """Abbreviation -> whether what follows is in the entry."""
        self._read: dict[int, Entry] = {}
        self._step_over(first, end)

    def _step_over(self, position: int, end: int) -> None:
        info, start, add_offset, add_code = self.info, self.start, self.offsets.append, self.codes.append
        steps = {code: _steps(values) for code, (_, _, values) in self.abbreviations.items()}
        while position < end:
            add_offset(position - start)
            code = info[position]
            if code < _MORE:
                position += 1
            else:
                code, position = uleb128(info, position, "debug_info")
            add_code(code)
            if not code:
                continue
            if code not in steps:
                raise Unknown
            size, others = steps[code]
            position += size
            for form, size in others:
                if form == EXPRESSION and info[position] < _MORE:
                    position += 1 + info[position] + size
                elif form in _NUMBERS and info[position] < _MORE:
                    position += 1 + size
                else:
                    position = read_value(info, position, form)[1] + size
        if position > len(info):
            raise Unknown

    def __contains__(self, offset: int) -> bool:
        """Whether an entry begins at byte *offset* of the unit."""
        if offset >= ELSEWHERE:
            return self.get(offset) is not None
        return self._number(offset) is not None

    def reference(self, offset: int) -> int:
        """What byte *offset* of ``.debug_info`` is in this table's terms."""
        return offset - self.start if self.start <= offset < self.end else ELSEWHERE + offset

    def __getitem__(self, offset: int) -> Entry:
        entry = self.get(offset)
        if entry is None:
            raise Unknown
        return entry

    def get(self, offset: int) -> Entry | None:
        """What the entry at byte *offset* of the unit says; None where none begins."""
        known = self._read.get(offset)
        if known is None and offset >= ELSEWHERE:
            other = self._others(offset - ELSEWHERE)
            entry = None if other is None else other.get(offset - ELSEWHERE - other.start)
            if other is None or entry is None:
                return None
            known = self._read[offset] = entry._replace(base=ELSEWHERE + other.start, strings=other.strings)
        if known is None:
            number = self._number(offset)
            if number is None:
                return None
            tag, _, attributes = self.abbreviations[self.codes[number]]
            position = _behind_number(self.info, self.start + offset)
            values = {}
            for attribute, form, implicit in attributes:
                raw, position = read_value(self.info, position, form, implicit)
                values[attribute] = form, raw
            known = self._read[offset] = Entry(tag, values, strings=self.strings)
        return known

    def _number(self, offset: int) -> int | None:
        """Which one the entry at byte *offset* of the unit is."""
        number = bisect_left(self.offsets, offset)
        if number == len(self.offsets) or self.offsets[number] != offset or not self.codes[number]:
            return None
        return number

    def tagged(self, *tags: int, having: int | None = None, lacking: int | None = None) -> Iterator[int]:
        """Offset of each entry with one of *tags* that has one attribute and has not the other one."""
        wanted = {
            code
            for code, (tag, _, values) in self.abbreviations.items()
            if tag in tags
            and (having is None or any(value[0] == having for value in values))
            and all(value[0] != lacking for value in values)
        }
        return (offset for offset, code in zip(self.offsets, self.codes, strict=True) if code in wanted)

    def values(self, tag: int, attribute: int) -> Iterator[tuple[int, int, bytes]]:
        """Offset, form and value of each entry with *tag* that has *attribute*; no more of it is read."""
        before = {
            code: _before(values, attribute) for code, (own, _, values) in self.abbreviations.items() if own == tag
        }
        before = {code: values for code, values in before.items() if values}
        for offset, code in zip(self.offsets, self.codes, strict=True):
            if code in before:
                position = _behind_number(self.info, self.start + offset)
                for form, implicit in before[code]:
                    raw, position = read_value(self.info, position, form, implicit)
                yield offset, form, raw

    def children(self, offset: int, tags: Sequence[int]) -> Iterator[int]:
        """Offset of each entry with one of *tags* that is directly in the one at *offset*."""
        if offset >= ELSEWHERE:
            other = self._others(offset - ELSEWHERE)
            if other is not None:
                yield from (
                    other.start + ELSEWHERE + each for each in other.children(offset - ELSEWHERE - other.start, tags)
                )
            return
        parent = self._number(offset)
        if parent is None or not self.opens[self.codes[parent]]:
            return
        depth = 0
        wanted = {code for code, (tag, _, _) in self.abbreviations.items() if tag in tags}
        for number in range(parent + 1, len(self.codes)):
            code = self.codes[number]
            if not code:
                depth -= 1
                if depth < 0:
                    return
            elif not depth and code in wanted:
                yield self.offsets[number]
            depth += self.opens[code]

    def parents(self, tag: int) -> dict[int, int]:
        """Offset of each entry with *tag* -> that of what it is in."""
        found: dict[int, int] = {}
        around: list[int] = []
        wanted = {code for code, (own, _, _) in self.abbreviations.items() if own == tag}
        for offset, code in zip(self.offsets, self.codes, strict=True):
            if not code:
                if around:
                    around.pop()
            elif code in wanted and around:
                found[offset] = around[-1]
            if self.opens[code]:
                around.append(offset)
        return found


_MORE = 0x80
"""7.6: from here on a byte of a LEB128 number is not its last one."""


def _behind_number(info: bytes, position: int) -> int:
    """Where the number at byte *position* ends."""
    while info[position] >= _MORE:
        position += 1
    return position + 1


def _steps(values: Sequence[tuple[int, int, int]]) -> tuple[int, list[tuple[int, int]]]:
    """Bytes up to the first value whose length is not known; its form, and bytes up to the next one; and so on."""
    first, others = 0, []
    for _, form, _ in values:
        if form not in _FIXED:
            others.append((form, 0))
        elif others:
            others[-1] = (others[-1][0], others[-1][1] + _FIXED[form])
        else:
            first += _FIXED[form]
    return first, others


def _before(values: Sequence[tuple[int, int, int]], attribute: int) -> list[tuple[int, int]]:
    """Form and implicit value of what an entry has up to *attribute*; nothing where it has not that."""
    kinds = [value[0] for value in values]
    last = kinds.index(attribute) + 1 if attribute in kinds else 0
    return [(form, implicit) for _, form, implicit in values[:last]]


def fixed_before(values: Sequence[tuple[int, int, int]], attribute: int) -> int | None:
    """Bytes that an entry has between its number and *attribute*; None where they are not always as many."""
    sizes = [_FIXED.get(form) for _, form, _ in values[: [value[0] for value in values].index(attribute)]]
    return None if None in sizes else sum(size or 0 for size in sizes)


def number_of(code: int) -> bytes:
    """The ULEB128 number with which an entry of abbreviation *code* begins."""
    found = bytearray()
    while code >= _MORE:
        found.append(code % _MORE | _MORE)
        code //= _MORE
    return bytes([*found, code])


def abbreviations_at(raw: bytes, position: int) -> Iterator[tuple[int, Abbreviation]]:
    """Code, and (tag, whether it has children, (attribute, form, implicit value) of each of its values)."""
    where = "debug_abbrev"
    while True:
        code, position = uleb128(raw, position, where)
        if not code:
            return
        tag, position = uleb128(raw, position, where)
        has_children = bool(raw[position])
        position += 1
        values = []
        while True:
            attribute, position = uleb128(raw, position, where)
            form, position = uleb128(raw, position, where)
            implicit = 0
            if form == _IMPLICIT:
                implicit, position = uleb128(raw, position, where)
            if not attribute and not form:
                break
            values.append((attribute, form, implicit))
        yield code, (tag, has_children, values)


def abbreviation_of(raw: bytes, position: int, wanted: int) -> list[tuple[int, int, int]]:
    """Attribute, form and implicit value of what a unit's own entry has, whose abbreviation is *wanted*."""
    for code, (tag, _, values) in abbreviations_at(raw, position):
        if code == wanted:
            if tag != UNIT:
                raise Unknown
            return values
    raise Unknown


def read_value(raw: bytes, position: int, form: int, implicit: int = 0) -> tuple[bytes, int]:
    """The bytes of a value, and where the next one starts; of a number its LEB128 is decoded."""
    if form in _NUMBERS:
        decode = sleb128 if form == _SIGNED else uleb128
        number, end = decode(raw, position, "debug_info")
        if form == _SIGNED:
            number %= 1 << 64
        elif number >> 64:
            raise MalformedInput("debug_info: holds a number of more than 64 bits")
        return number.to_bytes(8, "little"), end
    if form == STRING:
        end = raw.index(b"\0", position) + 1
        return raw[position:end], end
    if form == _IMPLICIT:
        return implicit.to_bytes(8, "little"), position
    if form in (BLOCK, EXPRESSION):
        size, position = uleb128(raw, position, "debug_info")
    elif form in BLOCKS:
        width = BLOCKS[form]
        size, position = int.from_bytes(raw[position : position + width], "little"), position + width
    elif form in _FIXED:
        size = _FIXED[form]
    else:
        raise Unknown
    if position + size > len(raw):
        raise Unknown
    return raw[position : position + size], position + size
