"""Where a type is described that a unit only declares.

GCC describes a class with virtual functions in the unit alone that has its virtual table, and clang a class in that of
its constructors (``-fno-standalone-debug``, the default on ELF); C's files know many structures by their names alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from stubgen.common.text import as_bytes
from stubgen.image.dwarf import DebugInfo
from stubgen.image.dwarf_entries import FAULTS, UNIT
from stubgen.image.dwarf_types import DECLARATION, TYPES_AROUND, TypeEntries, VariableType, entries_of
from stubgen.image.dwarf_units import units_naming

_Path = tuple[str, ...]
"""A type's name, after those of what it is in."""
_LANGUAGE = 0x13  # DWARF 5, 7.5.4, DW_AT_language
_C = frozenset({0x01, 0x02, 0x0C, 0x10, 0x1D, 0x2C, 0x3E})
"""7.12, DW_LANG_*: C89, C, C99, Objective-C, C11, C17 and C23."""


def definitions(entries: TypeEntries, offset: int, host: DebugInfo | None = None) -> list[VariableType]:
    """What describes the type at *offset*: itself, or what has its name in this file or the patch's other objects.

    The name of a structure of C is its file's own. Of the patch's objects those count whose file has a type of that
    name in *host* too: what an edit brought is nothing that the host's files mean.
    """
    if not _is_declared(entries, offset):
        return [(entries, offset)]
    path = _path(entries, offset)
    if not path:
        return []
    found = [each for debug in entries.debug.with_companions() for each in _described(debug, path)]
    return [
        each for each in found if host is None or not _is_of_c(each[0]) or _describes(host, each[0].unit.path, path)
    ]


def namesakes(entries: TypeEntries, offset: int, host: DebugInfo) -> list[VariableType]:
    """What *host* has of the name that C only declares at *offset*: several files may each have one of their own."""
    path = _path(entries, offset) if _is_declared(entries, offset) else ()
    found = _described(host, path) if path else []
    return found if any(_is_of_c(each) for each, _ in found) else []


def _is_declared(entries: TypeEntries, offset: int) -> bool:
    return DECLARATION in entries.entries[offset].values


def _is_of_c(entries: TypeEntries) -> bool:
    language = entries.entries[entries.unit.entries - entries.unit.start].values.get(_LANGUAGE, (0, b""))[1]
    return int.from_bytes(language, "little") in _C


def _describes(host: DebugInfo, source: bytes, path: _Path) -> bool:
    """Whether *host*'s unit of the file *source* describes a type; a file that moved is found by its name."""
    called = host.called(posixpath.basename(source))
    units = {unit.start for unit in called if unit.path == source} or {unit.start for unit in called}
    return any(entries.unit.start in units for entries, _ in _described(host, path))


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
