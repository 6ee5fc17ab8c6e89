"""Which file describes a type: a header, whose structures several units of C share, or the unit's own source.

The line table of a unit begins with its files (DWARF 5, 6.2.4; DWARF 4, 6.2.4), by whose number entries say where they
were declared.
"""

from __future__ import annotations

from stubgen.common.view import uleb128
from stubgen.errors import MalformedInput
from stubgen.image.dwarf import DebugInfo, Unit, full_path, read_text
from stubgen.image.dwarf_entries import FAULTS, Unknown, read_value
from stubgen.image.dwarf_types import TypeEntries

_FILE, _LINES, _FOLDER = 0x3A, 0x10, 0x1B  # DWARF 5, 7.5.4, DW_AT_decl_file, stmt_list, comp_dir
_PATH, _DIRECTORY = 0x01, 0x02  # 7.22, DW_LNCT_*
_STRING = 0x08  # DW_FORM_string
_NUMBERED_FROM_0 = 5
"""The version from which on a unit's own source is file 0; before, files count from 1."""
_WITH_OPERATIONS = 4
"""The version from which on the header says how many operations an instruction may have."""
_VERSIONS = range(2, 6)


def header_of(entries: TypeEntries, offset: int) -> bytes:
    """Path of the header that has the entry at *offset*; empty for the unit's own source, or where nothing says."""
    number = int.from_bytes(entries.entries[offset].values.get(_FILE, (0, b""))[1], "little")
    known = entries.debug.made(_known)
    if entries.unit not in known:
        try:
            known[entries.unit] = _files(entries)
        except (*FAULTS, MalformedInput):
            known[entries.unit] = {}
    path = known[entries.unit].get(number, b"")
    return b"" if path == entries.unit.path else path


def _known(_: DebugInfo) -> dict[Unit, dict[int, bytes]]:
    """A unit -> its files by their numbers."""
    return {}


def _files(entries: TypeEntries) -> dict[int, bytes]:
    """The files of a unit by their numbers: whole paths."""
    own = entries.entries[entries.unit.entries - entries.unit.start]
    if _LINES not in own.values or _FOLDER not in own.values:
        return {}
    position = int.from_bytes(own.values[_LINES][1], "little")
    raw, form = entries.debug.section("debug_line"), own.values[_FOLDER][0]
    folder = read_text(entries.debug.section, form, own.values[_FOLDER][1], entries.unit.strings)
    version = int.from_bytes(raw[position + 4 : position + 6], "little")
    if version not in _VERSIONS or raw[position : position + 4] == b"\xff\xff\xff\xff":  # 64-bit DWARF
        raise Unknown
    position += 4 + 2 + (2 if version >= _NUMBERED_FROM_0 else 0) + 4
    position += 5 if version >= _WITH_OPERATIONS else 4
    position += raw[position]  # the lengths of opcodes, and in front of them how many there are
    return _named(entries, raw, position, folder) if version >= _NUMBERED_FROM_0 else _listed(raw, position, folder)


def _named(entries: TypeEntries, raw: bytes, position: int, folder: bytes) -> dict[int, bytes]:
    """Those of version 5, whose tables say which forms they have."""
    folders, position = _table(entries, raw, position)
    files, _ = _table(entries, raw, position)
    paths = [full_path(folder, path) for path, _ in folders]
    return {number: full_path(paths[place], path) for number, (path, place) in enumerate(files) if place < len(paths)}


def _table(entries: TypeEntries, raw: bytes, position: int) -> tuple[list[tuple[bytes, int]], int]:
    """Path and directory of each row of a table, and where it ends."""
    columns, position = raw[position], position + 1
    forms = []
    for _ in range(columns):
        kind, position = uleb128(raw, position, "debug_line")
        form, position = uleb128(raw, position, "debug_line")
        forms.append((kind, form))
    count, position = uleb128(raw, position, "debug_line")
    rows = []
    for _ in range(count if forms else 0):
        path, place = b"", 0
        for kind, form in forms:
            value, position = read_value(raw, position, form)
            if kind == _PATH:
                path = read_text(entries.debug.section, form, value, entries.unit.strings)
            elif kind == _DIRECTORY:
                place = int.from_bytes(value, "little")
        rows.append((path, place))
    return rows, position


def _listed(raw: bytes, position: int, folder: bytes) -> dict[int, bytes]:
    """Those of older versions: lists that an empty name ends."""
    paths = [folder]
    while raw[position]:
        name, position = read_value(raw, position, _STRING)
        paths.append(full_path(folder, name.rstrip(b"\0")))
    position += 1
    found: dict[int, bytes] = {}
    while raw[position]:
        name, position = read_value(raw, position, _STRING)
        place, position = uleb128(raw, position, "debug_line")
        for _ in ("time", "length"):
            _, position = uleb128(raw, position, "debug_line")
        found[len(found) + 1] = full_path(paths[place], name.rstrip(b"\0"))
    return found
