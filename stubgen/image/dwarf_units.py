"""Which compilation units say what lies at an address.

The bytes of one address are searched for: units that do not hold them are not read, and a program may have thousands.
A search takes as long as the debug information is, so whoever asks for many addresses has what each unit places read
once instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

from stubgen.image.dwarf import NAME, STRP, DebugInfo, Entries, Sections, Subprogram, Unit, beginnings, occurrences
from stubgen.image.dwarf_entries import FAULTS, STRING, abbreviations_at, fixed_before, number_of

SEARCHES = 64
"""To read what all units place takes as long as about so many searches."""


def units_with(debug: DebugInfo, address: int) -> Iterator[Unit]:
    """The units that may place a function or variable at *address*, in their order."""
    return (debug.units[number] for number in debug.made(_Units).with_address(debug, address))


def subprogram(debug: DebugInfo, address: int) -> Subprogram | None:
    """What is said of the function that begins at virtual *address* of a linked image; None for nothing."""
    found = (debug.subprograms(unit).get(address) for unit in units_with(debug, address))
    return next((said for said in found if said is not None), None)


def units_naming(section: Sections, units: Sequence[Unit], names: Collection[bytes]) -> set[int]:
    """Numbers of the *units* that may have something called one of *names*."""
    starts, strings_of = [unit.start for unit in units], [unit.strings for unit in units]
    info, strings = section("debug_info"), section("debug_str")
    found: set[int] = set()

    def holding(sought: bytes) -> Iterator[int]:
        for at in occurrences(info, sought):
            number = bisect_right(starts, at) - 1
            if number >= 0 and at < units[number].end:
                yield number

    for name in names:
        text = name + b"\0"
        found.update(holding(text))
        for offset in text_offsets(strings, name):
            sought = offset.to_bytes(4, "little")
            found.update(holding(sought))
            for at in occurrences(section("debug_str_offs"), sought):
                found |= owners(strings_of, at)
    return found


def text_offsets(strings: bytes, name: bytes) -> Sequence[int]:
    """Where ``.debug_str`` has *name*; GNU ld lets a string be another's end."""
    text = name + b"\0"
    whole = [at + 1 for at in occurrences(strings, b"\0" + text)]
    whole += [0] if strings.startswith(text) else []
    return whole or list(occurrences(strings, text))


def owners(bases: Sequence[int], at: int) -> set[int]:
    """Numbers of those whose part of a table byte *at* is in, by where each one's begins."""
    before = max((base for base in bases if base <= at), default=-1)
    return {number for number, base in enumerate(bases) if base == before}


class Called:
    """Entries of one name: whether a unit may have some is told by the bytes around its name, without reading them all.

    Args:
        section: the file's.
        name: what they are called.
        tags: each has one of these.
        lacking: an attribute that none has.
    """

    def __init__(self, section: Sections, name: bytes, tags: Collection[int], lacking: int) -> None:
        self._info, self._abbreviations = section("debug_info"), section("debug_abbrev")
        self._spelled = {
            STRING: [name + b"\0"],
            STRP: [offset.to_bytes(4, "little") for offset in text_offsets(section("debug_str"), name)],
        }
        self._tags = tags
        self._lacking = lacking

    def may_be_in(self, unit: Unit) -> bool:
        """Whether *unit* may have one; what numbers its strings apart from its entries may have all."""
        places: dict[int, list[int]] = {}
        for code, (tag, _, values) in abbreviations_at(self._abbreviations, unit.abbreviations):
            forms = {attribute: form for attribute, form, _ in values}
            if tag not in self._tags or NAME not in forms or self._lacking in forms:
                continue
            form, before = forms[NAME], fixed_before(values, NAME)
            if form not in self._spelled or before is None:
                return True
            if form not in places:
                places[form] = self._places(unit, form)
            number = number_of(code)
            if any(self._info[at - before - len(number) : at - before] == number for at in places[form]):
                return True
        return False

    def _places(self, unit: Unit, form: int) -> list[int]:
        """Where the bytes of the name in *form* are, be it by chance."""
        found = []
        for sought in self._spelled[form]:
            at = self._info.find(sought, unit.entries, unit.end)
            while at >= 0:
                found.append(at)
                at = self._info.find(sought, at + 1, unit.end)
        return found


class _Units:
    """The units of one file's debug information, by number."""

    def __init__(self, debug: DebugInfo) -> None:
        self._starts = [unit.start for unit in debug.units]
        self._by_table: dict[int, list[int]] = {}
        for number, unit in enumerate(debug.units):
            self._by_table.setdefault(unit.addresses, []).append(number)
        self._tables = sorted(self._by_table)
        self._searches = 0
        self._placing: dict[int, list[int]] | None = None  # until all are read
        producers = {unit.producer for unit in debug.units}
        self._skipped = sorted({-place for each in producers for place in beginnings(each, 0) if place})

    def with_address(self, debug: DebugInfo, address: int) -> list[int]:
        """Those that may place something at *address*."""
        placing = self._placing
        if placing is None:
            self._searches += 1  # threads may count one for two
            if self._searches <= SEARCHES:
                return sorted(self._holding(debug, address))
            placing = self._placing = self._read_all(debug)
        return placing.get(address, [])

    def _holding(self, debug: DebugInfo, address: int) -> set[int]:
        """Those whose entries, or whose addresses apart from them, have the bytes of *address* in them.

        Or of where GCC has a function begin that begins there.
        """
        found: set[int] = set()
        for place in (address, *(address + skipped for skipped in self._skipped)):
            found |= self._with_bytes(debug, place.to_bytes(8, "little"))
        return found

    def _with_bytes(self, debug: DebugInfo, sought: bytes) -> set[int]:
        found: set[int] = set()
        for at in occurrences(debug.section("debug_info"), sought):
            number = bisect_right(self._starts, at) - 1
            if number >= 0 and at < debug.units[number].end:
                found.add(number)
        for at in occurrences(debug.section("debug_addr"), sought):
            table = bisect_right(self._tables, at) - 1
            if table >= 0:
                found.update(self._by_table[self._tables[table]])
        return found

    def _read_all(self, debug: DebugInfo) -> dict[int, list[int]]:
        """Address -> those that place something there."""
        found: dict[int, list[int]] = {}
        for number, unit in enumerate(debug.units):
            try:
                for address in Entries(debug, unit).addresses():
                    found.setdefault(address, []).append(number)
            except FAULTS:
                continue
        return found
