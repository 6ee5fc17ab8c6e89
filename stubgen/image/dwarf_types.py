"""Whether two DWARF types lie alike in memory: what one build wrote there is what another one reads.

Types are compared by what they are made of, not by their names: a field that only one side has under its name counts by
its place. Where one side does not say what something is, nothing speaks against it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from functools import cached_property

from stubgen.common.text import as_text
from stubgen.image.dwarf import (
    ARRAY,
    BASE,
    BYTE_SIZE,
    ENUMERATION,
    IN_UNIT,
    LOCATION,
    NAME,
    ORIGIN,
    PARAMETER,
    REFERENCES,
    SPECIFICATION,
    SUBPROGRAM,
    SUBRANGE,
    TRANSPARENT,
    VARIABLE,
    DebugInfo,
    Entries,
    Unit,
    extent,
    is_float,
    read_text,
)
from stubgen.image.dwarf_entries import BLOCK, BLOCKS, EXPRESSION, FAULTS, UNIT, Entry, Unknown
from stubgen.image.dwarf_units import units_with

_CLASS, _MEMBER, _STRUCTURE, _SUBROUTINE, _UNION, _INHERITANCE, _ENUMERATOR = (
    0x02,
    0x0D,
    0x13,
    0x15,
    0x17,
    0x1C,
    0x28,
)  # DWARF 5, 7.5.3, DW_TAG_*
_RECORDS = {_CLASS: "structure", _STRUCTURE: "structure", _UNION: "union"}
_MEMBER_PLACE, _BIT_SIZE, _BIT_OFFSET, _OLD_BIT_OFFSET, DECLARATION, _VALUE, _EXTERNAL, _LINKAGE, _VIRTUAL_PLACE = (
    0x38,
    0x0D,
    0x6B,
    0x0C,
    0x3C,
    0x1C,
    0x3F,
    0x6E,
    0x4D,
)  # 7.5.4, DW_AT_*
_STATIC_CXX = re.compile(rb"_ZL(\d+)(.*)")  # Itanium C++ ABI 5.1.2: outside of namespaces
_DEEPEST = 64  # types in types that are followed


class TypeEntries(Entries):
    """All entries of one unit, with what types are made of."""

    @cached_property
    def _around(self) -> dict[int, int]:
        """Offset of a variable -> that of what it is in."""
        return self.entries.parents(VARIABLE)

    @cached_property
    def variable_types(self) -> dict[int, int]:
        """Address of a variable -> offset of what says its type."""
        return {address: offset for offset, address, _ in self.placed()}

    @cached_property
    def functions_at(self) -> dict[int, int]:
        """Address at which a function begins -> offset of what says its type."""
        return {address: offset for offset, address in self.starts()}

    def type_at(self, address: int) -> int:
        """Offset of the type of the variable at *address*; -1 for none."""
        offset = self.variable_types.get(address, -1)
        return -1 if offset < 0 else self._type(self.entries[offset])

    def signature_at(self, address: int) -> int:
        """Offset of what has the parameters of the function that begins at *address*; -1 for none."""
        offset = self.functions_at.get(address, -1)
        origin = -1 if offset < 0 else self._target(self.entries[offset], ORIGIN)
        return origin if origin in self.entries else offset

    def types_of_unplaced(self, symbol: bytes) -> set[int]:
        """Where the types are of the variables of that symbol of which no address is said.

        GCC gives C++'s static variables no linkage name: those of a namespace are not found by it then.
        """
        simple = _STATIC_CXX.fullmatch(symbol)
        name = simple[2][: int(simple[1])] if simple else symbol
        labels = (as_text(symbol), _in_source(as_text(name)))
        offsets = {offset for label in labels for offset in self._called.get(label, ())}
        offsets.update(self.entries.tagged(VARIABLE, having=SPECIFICATION))
        found = ((offset, self.entries[offset]) for offset in offsets)
        return {
            self._type(entry)
            for offset, entry in found
            if DECLARATION not in entry.values and self._is_unplaced(entry)
            if self._is_called(offset, entry, as_text(symbol), as_text(name))
        }

    @cached_property
    def _called(self) -> dict[str, list[int]]:
        """Name, or linkage name -> offset of each variable that has it itself."""
        found: dict[tuple[int, bytes], list[int]] = {}
        for attribute in (NAME, _LINKAGE):
            for offset, form, raw in self.entries.values(VARIABLE, attribute):
                found.setdefault((form, raw), []).append(offset)
        called: dict[str, list[int]] = {}
        for (form, raw), offsets in found.items():
            called.setdefault(as_text(read_text(self.section, form, raw, self.unit.strings)), []).extend(offsets)
        return called

    def _is_unplaced(self, entry: Entry) -> bool:
        form, location = entry.values.get(LOCATION, (0, b""))
        return form in (0, EXPRESSION, BLOCK, *BLOCKS) and self.place(location) is None

    def _is_called(self, offset: int, entry: Entry, symbol: str, name: str) -> bool:
        declared = self.entries.get(self._target(entry, SPECIFICATION)) or entry
        linkage = self.text(declared, _LINKAGE)
        if linkage:
            return linkage == symbol
        if self.text(declared) != _in_source(name):
            return False
        return self.is_of_file(offset) is not ("." in name)

    def is_of_file(self, offset: int) -> bool:
        """Whether the variable at *offset* is in no function and no namespace."""
        around = self.entries.get(self._around.get(offset, -1))
        return around is not None and around.tag == UNIT

    def parts(self, offset: int, tags: Sequence[int]) -> list[Entry]:
        """What the type at *offset* is made of."""
        return [self.entries[part] for part in self.entries.children(offset, tags)]

    def text(self, entry: Entry, attribute: int = NAME) -> str:
        """The name of *entry*."""
        if attribute not in entry.values:
            return ""
        form, raw = entry.values[attribute]
        return as_text(read_text(self.section, form, raw, entry.strings))

    def stripped(self, offset: int) -> int:
        """The type at *offset* without typedefs and qualifiers; -1 for ``void`` and what is not known."""
        for _ in range(_DEEPEST):
            entry = self.entries.get(offset)
            if entry is None:
                return -1
            if entry.tag not in TRANSPARENT:
                return offset
            offset = self.target(entry)
        return -1

    def target(self, entry: Entry) -> int:
        """Offset of the type that *entry* is made with, or its declaration; -1 for none."""
        return self._type(entry)


def _in_source(name: str) -> str:
    """What the source calls a variable: of a function's, ``name.0`` of GCC and ``function.name`` of clang, the name."""
    words = [word for word in name.split(".") if not word.isdigit()]
    return words[-1] if "." in name else name


VariableType = tuple[TypeEntries, int]
"""The entries of a unit, and where in it a type is."""


def type_of_variable(debug: DebugInfo, address: int) -> VariableType | None:
    """The type of the variable at *address*; None where nothing says."""
    return _found_at(debug, address, TypeEntries.type_at)


def type_of_thread_local(debug: DebugInfo, symbol: bytes, path: bytes) -> VariableType | None:
    """The type of a thread-local of the file at *path*; None where nothing says, or several things.

    No address leads to it: neither GCC nor clang says in AArch64's ELF files where a thread-local lies.
    """
    found = []
    for unit in debug.called(posixpath.basename(path)):
        entries = entries_of(debug, unit) if unit.path == path else None
        found += [(entries, each) for each in entries.types_of_unplaced(symbol)] if entries else []
    return found[0] if len(found) == 1 else None


def signature_of(debug: DebugInfo, address: int) -> VariableType | None:
    """What has the parameters of the function that begins at *address*; None where nothing says."""
    return _found_at(debug, address, TypeEntries.signature_at)


def _entries(_: DebugInfo) -> dict[int, TypeEntries | None]:
    """Where a unit begins -> its entries; None where those cannot be read."""
    return {}


def _found_at(debug: DebugInfo, address: int, place_of: Callable[[TypeEntries, int], int]) -> VariableType | None:
    for unit in units_with(debug, address) if address >= 0 else ():  # a common of Mach-O has no place yet
        entries = entries_of(debug, unit)
        place = -1 if entries is None else place_of(entries, address)
        if entries is not None and place >= 0:
            return entries, place
    return None


def entries_of(debug: DebugInfo, unit: Unit) -> TypeEntries | None:
    """What *unit* says; None where it cannot be read."""
    read = debug.made(_entries)
    if unit.start not in read:
        try:
            read[unit.start] = TypeEntries(debug, unit)
        except FAULTS:
            read[unit.start] = None
    return read[unit.start]


def signature_difference(mine: VariableType, theirs: VariableType, whose: str = "the host") -> str:
    """How a function of the patch's takes or returns something else than the host's, in words; likewise."""
    try:
        return _Comparison(mine[0], theirs[0], whose).signatures(mine[1], theirs[1], 0)
    except (Unknown, IndexError, RecursionError, ValueError):
        return ""


def difference(mine: VariableType, theirs: VariableType, whose: str = "the host") -> str:
    """How a type of the patch's lies otherwise in memory than the host's, in words; empty where nothing says so."""
    try:
        return _Comparison(mine[0], theirs[0], whose).types(mine[1], theirs[1], 0)
    except (Unknown, IndexError, RecursionError, ValueError):
        return ""


class _Comparison:
    def __init__(self, mine: TypeEntries, theirs: TypeEntries, whose: str) -> None:
        self.mine = mine
        self.theirs = theirs
        self.whose = whose  # which file *theirs* is, in words
        self._met: set[tuple[int, int]] = set()

    def types(self, first: int, second: int, depth: int) -> str:
        """How the type at *first* differs from the host's at *second*."""
        first, second = self.mine.stripped(first), self.theirs.stripped(second)
        if first < 0 or second < 0 or depth > _DEEPEST or (first, second) in self._met:
            return ""
        self._met.add((first, second))
        own, other = self.mine.entries[first], self.theirs.entries[second]
        if DECLARATION in own.values or DECLARATION in other.values:
            return ""
        kinds = [_RECORDS.get(entry.tag) for entry in (own, other)]
        if any(kinds):
            return self._records(first, second, depth) if kinds[0] == kinds[1] else self._otherwise(own, other)
        if own.tag in REFERENCES and other.tag in REFERENCES:
            return self.types(self.mine.target(own), self.theirs.target(other), depth + 1)
        if own.tag != other.tag:
            numbers = {BASE, ENUMERATION}
            return self._numbers(own, other) if {own.tag, other.tag} == numbers else self._otherwise(own, other)
        rules = {
            BASE: lambda: self._numbers(own, other),
            ENUMERATION: lambda: self._numbers(own, other) or self._enumerators(first, second),
            ARRAY: lambda: self._arrays(first, second, depth),
            _SUBROUTINE: lambda: self.signatures(first, second, depth),
        }
        return rules[own.tag]() if own.tag in rules else ""

    def _otherwise(self, own: Entry, other: Entry) -> str:
        if not self._is_known(own) or not self._is_known(other):
            return ""
        return f"{self._title(self.mine, own)} where {self.whose} has {self._title(self.theirs, other)}"

    @staticmethod
    def _is_known(entry: Entry) -> bool:
        return entry.tag in (*_RECORDS, *REFERENCES, BASE, ENUMERATION, ARRAY)

    @staticmethod
    def _title(entries: TypeEntries, entry: Entry) -> str:
        name = entries.text(entry)
        kinds = {**_RECORDS, ARRAY: "array", ENUMERATION: "enumeration", BASE: "number"}
        kind = "pointer" if entry.tag in REFERENCES else kinds[entry.tag]
        return name or f"a {kind}"

    def _numbers(self, own: Entry, other: Entry) -> str:
        sizes = [_number(entry, BYTE_SIZE) for entry in (own, other)]
        titles = [self._title(self.mine, own), self._title(self.theirs, other)]
        if None not in sizes and sizes[0] != sizes[1]:
            named = titles[0] != titles[1]
            return f"{titles[0]} " + (
                f"where {self.whose} has {titles[1]}" if named else f"of {sizes[0]} bytes, not {sizes[1]}"
            )
        if own.tag == other.tag == BASE and is_float(own) != is_float(other):
            return f"{titles[0]} where {self.whose} has {titles[1]}"
        return ""

    def _enumerators(self, first: int, second: int) -> str:
        own, other = (
            {entries.text(part): _number(part, _VALUE) for part in entries.parts(offset, [_ENUMERATOR])}
            for entries, offset in ((self.mine, first), (self.theirs, second))
        )
        moved = next((name for name in own if name in other and own[name] != other[name]), None)
        return "" if moved is None else f"{moved} is {own[moved]}, and in {self.whose} {other[moved]}"

    def _arrays(self, first: int, second: int, depth: int) -> str:
        lengths = [
            [extent(part) for part in entries.parts(offset, [SUBRANGE])]
            for entries, offset in ((self.mine, first), (self.theirs, second))
        ]
        if lengths[0] != lengths[1] and 0 not in (*lengths[0], *lengths[1]):
            shown = [" by ".join(map(str, each)) for each in lengths]
            return f"an array of {shown[0]} elements, in {self.whose} of {shown[1]}"
        own, other = self.mine.entries[first], self.theirs.entries[second]
        return self.types(self.mine.target(own), self.theirs.target(other), depth + 1)

    def signatures(self, first: int, second: int, depth: int) -> str:
        """How the function at *first* differs from the host's at *second*."""
        own, other = self.mine.parts(first, [PARAMETER]), self.theirs.parts(second, [PARAMETER])
        if len(own) != len(other):
            return f"a function of {len(own)} arguments, in {self.whose} of {len(other)}"
        pairs = [(self.mine.entries[first], self.theirs.entries[second]), *zip(own, other, strict=True)]
        told = (self.types(self.mine.target(a), self.theirs.target(b), depth + 1) for a, b in pairs)
        return next((text for text in told if text), "")

    def _records(self, first: int, second: int, depth: int) -> str:
        own, other = self.mine.entries[first], self.theirs.entries[second]
        title = self.mine.text(own) or self.theirs.text(other) or f"a {_RECORDS[own.tag]}"
        sizes = [_number(entry, BYTE_SIZE) for entry in (own, other)]
        if None not in sizes and sizes[0] != sizes[1]:
            return f"{title} has {sizes[0]} bytes, and in {self.whose} {sizes[1]}"
        own_table, other_table = _virtual_functions(self.mine, first), _virtual_functions(self.theirs, second)
        if own_table != other_table:
            return f"{title} has other virtual functions than in {self.whose}"
        mine, theirs = _members(self.mine, first), _members(self.theirs, second)
        named = {name: (place, part) for name, place, part in theirs if name}
        own_names = {name for name, _, _ in mine if name}
        for name, place, part in mine:
            if name in named:
                if named[name][0] != place:
                    return f"{title}.{name} is {_at(place)}, and in {self.whose} {_at(named[name][0])}"
                counterparts = [named[name][1]]
            else:  # a base class, something without a name, or with another one
                others = [row for row in theirs if row[0] not in own_names]
                counterparts = [each for _, at, each in others if at == place and each.tag == part.tag]
            if len(counterparts) == 1:
                told = self.types(self.mine.target(part), self.theirs.target(counterparts[0]), depth + 1)
                if told:
                    return f"{title}.{name}: {told}" if name else told
        return ""


def _members(entries: TypeEntries, offset: int) -> list[tuple[str, tuple[int, int, int], Entry]]:
    """Name, place (byte, bits from there, bits) and entry of each member that lies in a record."""
    found = []
    for part in entries.parts(offset, [_MEMBER, _INHERITANCE]):
        if _EXTERNAL in part.values or (DECLARATION in part.values):
            continue  # a static one
        place = _number(part, _MEMBER_PLACE)
        bits = _number(part, _BIT_OFFSET)
        if bits is None:
            bits = _number(part, _OLD_BIT_OFFSET) or 0
        if place is None:  # of a union, or of a bit field
            place = 0
        found.append((entries.text(part), (place, bits, _number(part, _BIT_SIZE) or 0), part))
    return found


def _virtual_functions(entries: TypeEntries, offset: int) -> list[tuple[str, bytes]]:
    """Name and place in the table of each virtual function that a class declares."""
    return [
        (entries.text(part, _LINKAGE) or entries.text(part), part.values[_VIRTUAL_PLACE][1])
        for part in entries.parts(offset, [SUBPROGRAM])
        if _VIRTUAL_PLACE in part.values
    ]


def _number(entry: Entry, attribute: int) -> int | None:
    """A number; None where there is none, or it is computed."""
    form, raw = entry.values.get(attribute, (0, b""))
    if not raw or form in (BLOCK, EXPRESSION, *BLOCKS, *IN_UNIT):
        return None
    return int.from_bytes(raw, "little")


def _at(place: tuple[int, int, int]) -> str:
    byte, bits, _ = place
    return f"at byte {byte}" + (f", bit {bits}" if bits else "")
