"""Which addresses the code of a compilation unit has: DWARF 5, 2.17 "Code Addresses, Ranges and Base Addresses".

Its first entry says so, which is read in no time; the entries of its functions take a second for a large one. Where
anything is not as expected, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator

from stubgen.common.view import uleb128
from stubgen.errors import MalformedInput
from stubgen.image.dwarf import Sections, Unit
from stubgen.image.dwarf_entries import FAULTS, abbreviation_of, read_value

_LOW_PC, _HIGH_PC, _RANGES, _LIST_BASE = 0x11, 0x12, 0x55, 0x74  # 7.5.4, DW_AT_*
_ADDRESS, _SECTION_OFFSET, _LIST_INDEX = 0x01, 0x17, 0x23  # 7.5.6, DW_FORM_addr, DW_FORM_sec_offset, DW_FORM_rnglistx
_ADDRESS_INDEXES = frozenset({0x1B, 0x29, 0x2A, 0x2B, 0x2C})  # DW_FORM_addrx*
_BASE_SELECTION = (1 << 64) - 1  # DWARF 4, 2.17.3
_NOWHERE = 64
"""Below is the file's header: linkers leave such addresses for code that they dropped."""

Ranges = list[tuple[int, int]]


def ranges_of(sections: Sections, unit: Unit) -> Ranges:
    """First and one-past-last virtual address of each run of code that *unit* of a linked image has."""
    try:
        found = list(_Reader(sections, unit).ranges())
    except FAULTS:
        return []
    return sorted((start, end) for start, end in found if _NOWHERE <= start < end)


class _Reader:
    def __init__(self, sections: Sections, unit: Unit) -> None:
        self.sections = sections
        self.unit = unit
        info = sections("debug_info")
        code, position = uleb128(info, unit.entries, "debug_info")
        self.values: dict[int, tuple[int, bytes]] = {}
        for attribute, form, implicit in abbreviation_of(sections("debug_abbrev"), unit.abbreviations, code):
            raw, position = read_value(info, position, form, implicit)
            self.values[attribute] = form, raw
        self.is_version_5 = info[unit.start + 4 : unit.start + 6] == b"\5\0"
        low = self.values.get(_LOW_PC)
        self.base = 0 if low is None else self._address(*low)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Each run; some are empty, or of code that the linker dropped."""
        if _RANGES in self.values:
            yield from self._listed() if self.is_version_5 else self._paired()
        elif _HIGH_PC in self.values and _LOW_PC in self.values:
            form, raw = self.values[_HIGH_PC]
            high = self._address(form, raw) if form in (_ADDRESS, *_ADDRESS_INDEXES) else self.base + _number(raw)
            yield self.base, high

    def _address(self, form: int, raw: bytes) -> int:
        return self._indexed(_number(raw)) if form in _ADDRESS_INDEXES else _number(raw)

    def _indexed(self, index: int) -> int:
        at = self.unit.addresses + 8 * index
        return _word(self.sections("debug_addr"), at)

    def _paired(self) -> Iterator[tuple[int, int]]:
        """DWARF 2 to 4: pairs of addresses in ``.debug_ranges``."""
        raw, at, base = self.sections("debug_ranges"), _number(self.values[_RANGES][1]), self.base
        while True:
            first, second = _word(raw, at), _word(raw, at + 8)
            at += 16
            if first == _BASE_SELECTION:
                base = second
            elif not first and not second:
                return
            else:
                yield base + first, base + second

    def _listed(self) -> Iterator[tuple[int, int]]:
        """DWARF 5, 7.25: entries in ``.debug_rnglists``."""
        raw, (form, said) = self.sections("debug_rnglists"), self.values[_RANGES]
        at, base = _number(said), self.base
        if form == _LIST_INDEX:
            start = _number(self.values.get(_LIST_BASE, (0, b"\x0c"))[1])
            at = start + int.from_bytes(raw[start + 4 * at : start + 4 * at + 4], "little")
        while True:
            kind, at = raw[at], at + 1
            if not kind:  # DW_RLE_end_of_list
                return
            operands = []
            for letter in _OPERANDS[kind]:
                if letter == "a":
                    operands.append(_word(raw, at))
                    at += 8
                else:
                    value, at = uleb128(raw, at, "debug_rnglists")
                    operands.append(self._indexed(value) if letter == "x" else value)
            if kind in _BASES:
                base = operands[0]
            elif kind == _OFFSET_PAIR:
                yield base + operands[0], base + operands[1]
            else:
                first, second = operands
                yield first, first + second if kind in _WITH_LENGTH else second


_OFFSET_PAIR = 0x04
_OPERANDS = {0x01: "x", 0x02: "xx", 0x03: "xu", 0x04: "uu", 0x05: "a", 0x06: "aa", 0x07: "au"}
"""7.25: DW_RLE_* -> its operands: x an index of an address, u a number, a an address."""
_BASES, _WITH_LENGTH = frozenset({0x01, 0x05}), frozenset({0x03, 0x07})


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _word(raw: bytes, at: int) -> int:
    """The 8-byte number at byte *at*.

    Raises:
        MalformedInput: it lies beyond the end.
    """
    if not 0 <= at <= len(raw) - 8:
        raise MalformedInput("an address lies beyond the end of its section")
    return _number(raw[at : at + 8])
