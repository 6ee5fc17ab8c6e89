"""Where a type is described that a unit only declares.

GCC describes a class with virtual functions in the unit alone that has its virtual table, and clang a class in that of
its constructors (``-fno-standalone-debug``, the default on ELF); C's files know many structures by their names alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from stubgen.common.text import as_bytes
from stubgen.image.dwarf import DebugInfo
from stubgen.image.dwarf_entries import FAULTS, UNIT
from stubgen.image.dwarf_types import DECLARATION, TYPES_AROUND, TypeEntries, VariableType, entries_of
from stubgen.image.dwarf_units import units_naming

_Path = tuple[str, ...]
"""A type's name, after those of what it is in."""


def definitions(entries: TypeEntries, offset: int) -> list[VariableType]:
    """What describes the type at *offset*: itself, or what has its name in this file or the patch's other objects."""
    if DECLARATION not in entries.entries[offset].values:
        return [(entries, offset)]
    path = _path(entries, offset)
    if not path:
        return []
    return [found for debug in entries.debug.with_companions() for found in _described(debug, path)]


def _described(debug: DebugInfo, path: _Path) -> list[VariableType]:
    known = debug.made(_known)
    if path not in known:
        known[path] = list(_search(debug, path))
    return known[path]


def _search(debug: DebugInfo, path: _Path) -> Iterator[VariableType]:
    for number in sorted(units_naming(debug.section, debug.units, [as_bytes(path[-1])])):
        entries = entries_of(debug, debug.units[number])
        if entries is not None:
            try:
                alike = entries.described.get(path[-1], ())
                yield from [(entries, offset) for offset in alike if _path(entries, offset) == path]
            except FAULTS:
                continue


def _path(entries: TypeEntries, offset: int) -> _Path:
    """Empty where something around it has no name, or is a function: what is declared elsewhere is not the same."""
    names: list[str] = []
    while True:
        entry = entries.entries.get(offset)
        if entry is None or (entry.tag not in TYPES_AROUND and entry.tag != UNIT):
            return ()
        if entry.tag == UNIT:
            return tuple(reversed(names))
        name = entries.text(entry)
        if not name:
            return ()
        names.append(name)
        offset = entries.around_types.get(offset, -1)


def _known(_: DebugInfo) -> dict[_Path, list[VariableType]]:
    """A type's name -> where it is described."""
    return {}
