"""Where a type is described that a unit only declares.

GCC describes a class with virtual functions in the unit alone that has its virtual table, and clang a class in that of
its constructors (``-fno-standalone-debug``, the default on ELF); C's files know many structures by their names alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from stubgen.common.text import as_bytes
from stubgen.image.dwarf import DebugInfo, Unit
from stubgen.image.dwarf_entries import FAULTS, UNIT
from stubgen.image.dwarf_types import (
    CLASS,
    DECLARATION,
    STRUCTURE,
    TYPES_AROUND,
    UNION,
    TypeEntries,
    VariableType,
    entries_of,
)
from stubgen.image.dwarf_units import Called, units_naming

_Path = tuple[str, ...]
"""A type's name, after those of what it is in."""
_LANGUAGE = 0x13  # DWARF 5, 7.5.4, DW_AT_language
_C = frozenset({0x01, 0x02, 0x0C, 0x10, 0x1D, 0x2C, 0x3E})
"""7.12, DW_LANG_*: C89, C, C99, Objective-C, C11, C17 and C23."""


def definitions(entries: TypeEntries, offset: int, host: DebugInfo | None = None) -> Iterator[VariableType]:
    """What describes the type at *offset*: itself, or what has its name in this file or the patch's other objects.

    The name of a structure of C is its file's own. Of the patch's objects those count whose file has a type of that
    name in *host* too, or that have it from a header from which *host* has it: what else an edit brought is nothing
    that the host's files mean.
    """
    if not _is_declared(entries, offset):
        yield entries, offset
        return
    path = path_of(entries, offset)
    for debug in entries.debug.with_companions() if path else ():
        for each in _described(debug, path):
            known = host is None or not _is_of_c(each[0]) or _describes(host, each[0].unit.path, path)
            header = b"" if known else header_of_c(each)
            if known or (header and host and any(header_of_c(other) == header for other in _described(host, path))):
                yield each


def header_of_c(one: VariableType) -> bytes:
    """The header from which a unit of C has a type; empty where that is in none, or of another language."""
    from stubgen.image.dwarf_files import header_of

    return header_of(*one) if _is_of_c(one[0]) else b""


def namesakes(entries: TypeEntries, offset: int, host: DebugInfo) -> list[VariableType]:
    """What *host* has of the name that C only declares at *offset*: several files may each have one of their own."""
    path = path_of(entries, offset) if _is_declared(entries, offset) else ()
    found = list(_described(host, path)) if path else []
    return found if any(_is_of_c(each) for each, _ in found) else []


def _is_declared(entries: TypeEntries, offset: int) -> bool:
    return DECLARATION in entries.entries[offset].values


def _is_of_c(entries: TypeEntries) -> bool:
    language = entries.entries[entries.unit.entries - entries.unit.start].values.get(_LANGUAGE, (0, b""))[1]
    return int.from_bytes(language, "little") in _C


def _describes(host: DebugInfo, source: bytes, path: _Path) -> bool:
    """Whether *host*'s unit of the file *source* describes a type, or there is none of such a file.

    A file that moved is found by its name.
    """
    called = host.called(posixpath.basename(source))
    units = [unit for unit in called if unit.path == source] or called
    return not units or any(True for unit in units for _ in _in_unit(host, unit, path))


class _Described:
    """Where a type is described: units are read as far as somebody asks, as most ask until one is alike.

    Several threads of a server may ask, and be stopped anywhere.
    """

    def __init__(self, debug: DebugInfo, path: _Path) -> None:
        name = as_bytes(path[-1])
        self._debug = debug
        self._path = path
        self._called = Called(debug.section, name, (CLASS, STRUCTURE, UNION), DECLARATION)
        self._numbers = sorted(units_naming(debug.section, debug.units, [name]))
        self._in_units: dict[int, list[VariableType]] = {}

    def __iter__(self) -> Iterator[VariableType]:
        for number in self._numbers:
            if number not in self._in_units:
                self._in_units[number] = self._look_in(self._debug.units[number])
            yield from self._in_units[number]

    def _look_in(self, unit: Unit) -> list[VariableType]:
        try:
            return _in_unit(self._debug, unit, self._path) if self._called.may_be_in(unit) else []
        except FAULTS:
            return []


def _described(debug: DebugInfo, path: _Path) -> _Described:
    known = debug.made(_known)
    if path not in known:
        known[path] = _Described(debug, path)
    return known[path]


def _in_unit(debug: DebugInfo, unit: Unit, path: _Path) -> list[VariableType]:
    entries = entries_of(debug, unit)
    try:
        alike = [] if entries is None else entries.described.get(path[-1], [])
        return [(entries, offset) for offset in alike if entries is not None and path_of(entries, offset) == path]
    except FAULTS:
        return []


def path_of(entries: TypeEntries, offset: int) -> _Path:
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


def _known(_: DebugInfo) -> dict[_Path, _Described]:
    """A type's name -> where it is described."""
    return {}
