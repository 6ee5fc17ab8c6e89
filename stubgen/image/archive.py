"""Reads ``ar`` archives: System V (GNU), BSD and thin ones; an ``.rlib`` is one too."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.common.view import View
from stubgen.errors import MalformedInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"!<arch>\n"
THIN_MAGIC = b"!<thin>\n"
_HEADER_SIZE = 60  # bytes; <ar.h>: name 16, date 12, uid 6, gid 6, mode 8, size 10, end mark 2
_END_MARK = b"`\n"
_INDEXES = frozenset({"/", "/SYM64/", "__.SYMDEF", "__.SYMDEF SORTED", "__.SYMDEF_64", "__.SYMDEF_64 SORTED"})


class Member(Row):
    """One file in an archive."""

    name: str
    content: Any  # a buffer
    modified: int = 0  # when it was last changed, in seconds since 1970; 0 where the archive does not say


def is_archive(data: Any) -> bool:
    """Whether *data* begins like an archive."""
    return bytes(data[:8]) in (MAGIC, THIN_MAGIC)


def is_thin(data: Any) -> bool:
    """Whether *data* begins like an archive that only names its members."""
    return bytes(data[:8]) == THIN_MAGIC


def members(data: Any, name: str) -> Iterator[Member]:
    """Every member of archive *name* but its symbol index and name table.

    Raises:
        MalformedInput: a header or a member is broken or cut off.
        UnreadableInput: a thin archive's member is not where the archive says.
    """
    view = View(data, name)
    return (_read(view, entry) for entry in _entries(view))


class _Entry(Row):
    """Where a member is."""

    position: int  # of its header, in bytes
    title: str
    start: int  # of its content; in a thin archive it is in a file of its own
    size: int  # bytes
    modified: int = 0
    nested: int = 0
    """Thin: the position in the archive of that name, from which it was added (GNU ar, ``/NAME:POSITION``)."""


def _entries(view: View) -> Iterator[_Entry]:
    """Every member but the symbol index and the name table."""
    thin, name = is_thin(view.data), view.name
    long_names = b""
    position = len(MAGIC)
    while position < len(view):
        header = bytes(view.bytes(position, _HEADER_SIZE, "an archive member's header"))
        if header[58:60] != _END_MARK:
            raise MalformedInput(f"{name}: no archive member's header at {position:#x}: it is truncated or corrupt")
        raw_name = header[:16].decode("latin-1").rstrip(" ")
        size = _decimal(header[48:58], name, position)
        start = position + _HEADER_SIZE
        if raw_name == "//":
            long_names = bytes(view.bytes(start, size, "the archive's name table"))
        elif raw_name not in _INDEXES:
            title, skipped = _member_name(raw_name, long_names, view, start)
            if title not in _INDEXES:
                nested = raw_name.partition(":")[2] if thin else ""
                where = int(nested) if nested.isdecimal() else 0
                date = header[16:28].strip()
                modified = int(date) if date.isdigit() else 0
                yield _Entry(position, title, start + skipped, size - skipped, modified, where)
        stored = size if not thin or raw_name in _INDEXES or raw_name == "//" else 0
        position = start + stored + (stored & 1)


def _read(view: View, entry: _Entry) -> Member:
    if not is_thin(view.data):
        return Member(entry.title, view.bytes(entry.start, entry.size, f"member {entry.title}"), entry.modified)
    if "\0" in entry.title:
        raise MalformedInput(f"{view.name}: a member's name has a NUL byte in it: the archive is corrupt")
    path = os.path.join(os.path.dirname(view.name), entry.title)
    content = read_input(path)
    if not entry.nested:
        return Member(entry.title, content, entry.modified)
    inner = View(content, path)
    for candidate in _entries(inner):
        if candidate.position == entry.nested:
            return _read(inner, candidate)
    raise MalformedInput(f"{view.name}: {path} has no member at {entry.nested:#x}: it was changed since")


def symbol_index(data: Any, name: str) -> dict[bytes, int] | None:
    """Name -> position of the first member that defines it, from the archive's index; None where it has none of ours.

    The index is GNU's, ``/`` or ``/SYM64/``: a count and positions, big-endian, and the names behind them.

    Raises:
        MalformedInput: it is cut off.
    """
    view = View(data, name)
    if len(view) < len(MAGIC) + _HEADER_SIZE:
        return None
    header = bytes(view.bytes(len(MAGIC), _HEADER_SIZE, "the archive's index"))
    width = {b"/": 4, b"/SYM64/": 8}.get(header[:16].rstrip(b" "))
    if width is None:
        return None
    raw = view.bytes(len(MAGIC) + _HEADER_SIZE, _decimal(header[48:58], name, len(MAGIC)), "the archive's index")
    count = int.from_bytes(raw[:width], "big")
    names = bytes(raw[width * (count + 1) :]).split(b"\0")
    if width * (count + 1) > len(raw) or len(names) < count:
        raise MalformedInput(f"{name}: its index of symbols is cut off")
    found: dict[bytes, int] = {}
    for number, symbol in enumerate(names[:count], 1):
        found.setdefault(symbol, int.from_bytes(raw[width * number : width * (number + 1)], "big"))
    return found


def members_at(data: Any, name: str, positions: Collection[int]) -> dict[int, Member]:
    """The members whose headers are at *positions*, as :func:`symbol_index` has them.

    Raises:
        MalformedInput, UnreadableInput: as for :func:`members`.
    """
    view = View(data, name)
    return {entry.position: _read(view, entry) for entry in _entries(view) if entry.position in positions}


LONGEST_NAME = 1 << 12
"""Bytes of a member's name, the end apart: PATH_MAX of Linux."""


def _member_name(raw_name: str, long_names: bytes, view: View, start: int) -> tuple[str, int]:
    """A member's name, and how many bytes of its content hold it (BSD)."""
    if raw_name.startswith("#1/"):
        length = _decimal(raw_name[3:].encode(), view.name, start)
        return as_text(bytes(view.bytes(start, length, "a BSD member's name")).rstrip(b"\0")), length
    if raw_name.startswith("/") and raw_name[1:].partition(":")[0].isdecimal():
        at = int(raw_name[1:].partition(":")[0])
        end = long_names.find(b"\n", at, at + LONGEST_NAME)
        if end < 0 and len(long_names) - at > LONGEST_NAME:
            raise MalformedInput(f"{view.name}: a member's name has no end: the archive is corrupt")
        return as_text(long_names[at : end if end >= 0 else None].removesuffix(b"/")), 0
    return as_text(raw_name.encode("latin-1").removesuffix(b"/")), 0


def _decimal(field: bytes, name: str, position: int) -> int:
    digits = field.strip() or b"0"
    if not digits.isdigit():  # int() would take a sign, and underscores
        raise MalformedInput(f"{name}: a size at {position:#x} is not a number: the archive is corrupt")
    return int(digits)
