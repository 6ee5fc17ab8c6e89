"""Whether two DWARF types lie alike in memory: what one build wrote there is what another one reads.

Types are compared by what they are made of, not by their names: a field that only one side has under its name counts by
its place. A type that a unit only declares is looked for in other units. Where one side does not say what something is,
nothing speaks against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from stubgen.image.dwarf import (
    ARRAY,
    BASE,
    BYTE_SIZE,
    ENUMERATION,
    IN_UNIT,
    PARAMETER,
    REFERENCES,
    SUBPROGRAM,
    SUBRANGE,
    extent,
    is_float,
)
from stubgen.image.dwarf_definitions import definitions, header_of_c, namesakes, path_of
from stubgen.image.dwarf_entries import BLOCK, BLOCKS, EXPRESSION, Entry, Unknown
from stubgen.image.dwarf_members import member_place, place_text
from stubgen.image.dwarf_types import CLASS, DECLARATION, DEEPEST, LINKAGE, STRUCTURE, UNION, TypeEntries, VariableType

_MEMBER, _SUBROUTINE, _INHERITANCE, _ENUMERATOR = 0x0D, 0x15, 0x1C, 0x28  # DWARF 5, 7.5.3, DW_TAG_*
_WHICH_BODY, _VIRTUAL_TABLES = "__in_chrg", "__vtt_parm"
"""What GCC lists behind ``this`` for all bodies of a constructor or destructor: none takes the first, some the second.
Debug information of link-time optimisation leads to a body's own entry, which has what that takes."""
_RECORDS = {CLASS: "structure", STRUCTURE: "structure", UNION: "union"}
_MEMBER_PLACE, _BIT_SIZE, _BIT_OFFSET, _OLD_BIT_OFFSET, _VALUE, _EXTERNAL, _VIRTUAL_PLACE = (
    0x38,
    0x0D,
    0x6B,
    0x0C,
    0x1C,
    0x3F,
    0x4D,
)  # 7.5.4, DW_AT_*


def signature_difference(
    mine: VariableType, theirs: VariableType, whose: str = "the host", run: Run | None = None
) -> str:
    """How a function of the patch's takes or returns something else than the host's, in words; likewise.

    *run* spares what a comparison before, with the same files, has found alike.
    """
    try:
        return _Comparison(mine[0], theirs[0], whose, run).told(_Comparison.signatures, mine[1], theirs[1])
    except (Unknown, IndexError, RecursionError, ValueError):
        return ""


def difference(mine: VariableType, theirs: VariableType, whose: str = "the host") -> str:
    """How a type of the patch's lies otherwise in memory than the host's, in words; empty where nothing says so."""
    try:
        return _Comparison(mine[0], theirs[0], whose).told(_Comparison.types, mine[1], theirs[1])
    except (Unknown, IndexError, RecursionError, ValueError):
        return ""


def _differ(first: VariableType, second: VariableType) -> bool:
    """Whether two types of one file are not alike as far as their own units say."""
    comparison = _Comparison(first[0], second[0], "")
    comparison._looks_elsewhere = False
    return bool(comparison.types(first[1], second[1], 0))


Run = dict[tuple[TypeEntries, TypeEntries], set[tuple[int, int]]]
"""Two units -> which types of theirs are alike as far as the files of this patch and the host say.

With types that are only declared that is not so for ever: the next patch may have other files.
"""


class _Comparison:
    def __init__(self, mine: TypeEntries, theirs: TypeEntries, whose: str, run: Run | None = None) -> None:
        self.mine = mine
        self.theirs = theirs
        self.whose = whose  # which file *theirs* is, in words
        self._alike = mine.alike.setdefault(theirs, set())
        self._run = run
        self._alike_here: set[tuple[int, int]] = set() if run is None else run.setdefault((mine, theirs), set())
        self._met: set[tuple[int, int]] = set()
        self._elsewhere: dict[tuple[VariableType, VariableType], str] = {}
        """Two types of other units -> what is told of them; nothing yet while they are compared."""
        self._looks_elsewhere = True
        self._told = ""
        self._of_other_units: list[_Comparison] = []
        self._is_sure = True
        """Whether all that was met is alike if nothing is told: nothing was too deep, or one of several alone alike."""
        self._is_whole = True
        """Whether nothing was too deep."""

    def told(self, compare: Callable[[_Comparison, int, int, int], str], first: int, second: int) -> str:
        """What *compare* says; which types are alike is known from then on."""
        difference = compare(self, first, second, 0)
        if not difference and self._is_sure:
            self._remember()
        elif not difference and self._is_whole:
            self._remember_here()
        return difference

    def _remember(self) -> None:
        self._alike |= self._met
        for other in self._of_other_units:
            other._remember()

    def _remember_here(self) -> None:
        """For the run; of comparisons with other units those that found no difference."""
        self._alike_here |= self._met
        for other in self._of_other_units:
            if not other._told:
                other._remember_here()

    def types(self, first: int, second: int, depth: int) -> str:
        """How the type at *first* differs from the host's at *second*."""
        first, second = self.mine.stripped(first), self.theirs.stripped(second)
        pair = first, second
        is_known = pair in self._alike or pair in self._met or pair in self._alike_here
        self._is_sure = self._is_sure and depth <= DEEPEST
        self._is_whole = self._is_whole and depth <= DEEPEST
        if first < 0 or second < 0 or is_known or depth > DEEPEST:
            return ""
        self._met.add((first, second))
        own, other = self.mine.entries[first], self.theirs.entries[second]
        if DECLARATION in own.values or DECLARATION in other.values:
            return self._defined(first, second, depth)
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

    def _defined(self, first: int, second: int, depth: int) -> str:
        """Likewise of types of which at least one is only declared; those of other units that have its name are meant.

        In C several files may have a type of one name each: one that is alike is enough, and where the host has several
        and the patch describes none here, nothing says which is meant, unless both have it from one header. A session's
        next patch may have other objects that describe it.
        """
        told, of_header, self._is_sure = "", "", False
        for mine in definitions(self.mine, first, self.theirs.debug) if self._looks_elsewhere else ():
            header, is_alike = header_of_c(mine), False
            for theirs in definitions(self.theirs, second):
                told = self._elsewhere.get((mine, theirs)) or self._of_others(mine, theirs, depth)
                is_meant = not header or header_of_c(theirs) == header
                if not told and is_meant:
                    return ""
                is_alike = is_alike or not told
                of_header = of_header or (told if header and is_meant else "")
            if is_alike and not of_header:
                return ""
        return of_header or ("" if told and self._is_ambiguous(first) else told)

    def _of_others(self, mine: VariableType, theirs: VariableType, depth: int) -> str:
        if (mine, theirs) in self._elsewhere:
            return ""
        self._elsewhere[mine, theirs] = ""
        other = _Comparison(mine[0], theirs[0], self.whose, self._run)
        other._elsewhere = self._elsewhere
        self._of_other_units.append(other)
        told = other._told = self._elsewhere[mine, theirs] = other.types(mine[1], theirs[1], depth + 1)
        self._is_sure = self._is_sure and other._is_sure
        self._is_whole = self._is_whole and other._is_whole
        return told

    def _is_ambiguous(self, first: int) -> bool:
        """Whether the host has types of C that differ under the name that the patch declares at *first*."""
        known, *others = namesakes(self.mine, first, self.theirs.debug) or [(self.theirs, -1)]
        return any(_differ(known, each) for each in others)

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
        if self._is_of_all_bodies(self.mine, own) is not self._is_of_all_bodies(self.theirs, other):
            own, other = self._passed_by_source(self.mine, own), self._passed_by_source(self.theirs, other)
            count = min(len(own), len(other))  # one has virtual tables more, behind ``this`` and without a name
            own, other = ([*each[:1], *each[len(each) - count + 1 :]] for each in (own, other))
        if len(own) != len(other):
            return f"a function of {len(own)} arguments, in {self.whose} of {len(other)}"
        pairs = [(self.mine.entries[first], self.theirs.entries[second]), *zip(own, other, strict=True)]
        told = (self.types(self.mine.target(a), self.theirs.target(b), depth + 1) for a, b in pairs)
        return next((text for text in told if text), "")

    @staticmethod
    def _is_of_all_bodies(entries: TypeEntries, parameters: Sequence[Entry]) -> bool:
        """Whether they are those of GCC's entry for all bodies of a constructor or destructor."""
        return any(entries.text(each) == _WHICH_BODY for each in parameters)

    @staticmethod
    def _passed_by_source(entries: TypeEntries, parameters: Sequence[Entry]) -> list[Entry]:
        return [each for each in parameters if entries.text(each) not in (_WHICH_BODY, _VIRTUAL_TABLES)]

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
        named, own_names = _named(theirs), _named(mine)
        for name, place, part in mine:
            key = part.tag, name
            if key in own_names and key in named:
                if named[key][0] != place:
                    return f"{title}.{name} is {place_text(place)}, and in {self.whose} {place_text(named[key][0])}"
                counterparts = [named[key][1]]
            else:  # something without a name, with another one, or with that of another base class
                others = [row for row in theirs if (row[2].tag, row[0]) not in own_names]
                counterparts = [each for _, at, each in others if at == place and each.tag == part.tag]
            if len(counterparts) == 1:
                told = self.types(self.mine.target(part), self.theirs.target(counterparts[0]), depth + 1)
                if told:  # what is within what, down to what differs, is most often a library's own
                    within = told.rpartition(": ")[2]
                    return told if part.tag == _INHERITANCE or not name else f"{title}.{name}: {within}"
        return ""


_Member = tuple[str, tuple[int, int, int], Entry]


def _members(entries: TypeEntries, offset: int) -> list[_Member]:
    """Name, place (byte, bits from there, bits) and entry of each member and base class that lies in a record."""
    found = []
    for part in entries.parts(offset, [_MEMBER, _INHERITANCE]):
        if _EXTERNAL in part.values or (DECLARATION in part.values):
            continue  # a static one
        place = member_place(*part.values.get(_MEMBER_PLACE, (0, b"")))
        bits = _number(part, _BIT_OFFSET)
        if bits is None:
            bits = _number(part, _OLD_BIT_OFFSET) or 0
        if place is None:  # of a union, or of a bit field
            place = 0
        name = entries.text(part)
        if part.tag == _INHERITANCE:
            base = entries.stripped(entries.target(part))
            name = "::".join(path_of(entries, base)) or entries.text(entries.entries.get(base) or part)
        found.append((name, (place, bits, _number(part, _BIT_SIZE) or 0), part))
    return found


def _named(members: list[_Member]) -> dict[tuple[int, str], tuple[tuple[int, int, int], Entry]]:
    """Tag and name -> place and entry of each that alone has its name: bases of several namespaces may share one."""
    count = Counter((part.tag, name) for name, _, part in members)
    return {(part.tag, name): (place, part) for name, place, part in members if name and count[part.tag, name] == 1}


def _virtual_functions(entries: TypeEntries, offset: int) -> list[tuple[str, bytes]]:
    """Name and place in the table of each virtual function that a class declares."""
    return [
        (entries.text(part, LINKAGE) or entries.text(part), part.values[_VIRTUAL_PLACE][1])
        for part in entries.parts(offset, [SUBPROGRAM])
        if _VIRTUAL_PLACE in part.values
    ]


def _number(entry: Entry, attribute: int) -> int | None:
    """A number; None where there is none, or it is computed."""
    form, raw = entry.values.get(attribute, (0, b""))
    if not raw or form in (BLOCK, EXPRESSION, *BLOCKS, *IN_UNIT):
        return None
    return int.from_bytes(raw, "little")
