"""In which registers a function takes arguments and returns, by its type in debug information (AAPCS64 6.8, 6.9)."""

from __future__ import annotations

from stubgen.common.row import Row
from stubgen.image.dwarf import BASE, BYTE_SIZE, ENUMERATION, PARAMETER, is_complex, is_float
from stubgen.image.dwarf_entries import FAULTS, Entry
from stubgen.image.dwarf_types import TypeEntries, VariableType
from stubgen.registers.access import VECTOR
from stubgen.registers.live import RESULTS

_POINTERS = (0x0F, 0x10, 0x42)  # DWARF 5, 7.5.3: pointers and references of both kinds
_VARIADIC = 0x18  # DW_TAG_unspecified_parameters
_IN_REGISTERS = 8  # of each kind


def arguments_of(function: VariableType | None) -> int | None:
    """The registers in which *function* takes its arguments; None where nothing says, or not of all.

    Structures and what has no fixed number of arguments are not followed.
    """
    if function is None:
        return None
    entries, offset = function
    try:
        if entries.parts(offset, [_VARIADIC]):
            return None
        kinds = [_kind(entries, entries.target(entry)) for entry in entries.parts(offset, [PARAMETER])]
    except FAULTS:
        return None
    if "" in kinds:
        return None
    general, vectors = (min(kinds.count(kind), _IN_REGISTERS) for kind in "xv")
    return (1 << general) - 1 | (1 << vectors) - 1 << VECTOR


class Results(Row):
    """The registers in which a function returns something."""

    surely: int
    perhaps: int  # with these: a structure's are not worked out


def results_of(function: VariableType | None) -> Results | None:
    """Where *function* returns what it returns; None where nothing says."""
    if function is None:
        return None
    entries, offset = function
    try:
        result = entries.target(entries.entries[offset])
        kind = _kind(entries, result) if result >= 0 else "void"
    except FAULTS:
        return None
    known = {"x": 1, "v": 1 << VECTOR, "void": 0}.get(kind)
    return Results(0, RESULTS) if known is None else Results(known, known)


def _kind(entries: TypeEntries, offset: int) -> str:
    """``x`` or ``v`` for what lies in one general or vector register, empty for what takes others, or more."""
    place = entries.stripped(offset)
    entry = entries.entries.get(place)
    if entry is None:
        return ""
    if entry.tag in _POINTERS:
        return "x"
    if entry.tag not in (BASE, ENUMERATION) or _size(entry) > 8 or is_complex(entry):
        return ""
    return "v" if entry.tag == BASE and is_float(entry) else "x"


def _size(entry: Entry) -> int:
    return int.from_bytes(entry.values.get(BYTE_SIZE, (0, b""))[1], "little")
