"""Reads ``ar`` archives: System V (GNU), BSD and thin ones; an ``.rlib`` is one too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from stubgen.common.files import read_input
from stubgen.common.text import as_text
from stubgen.common.view import View
from stubgen.errors import MalformedInput

MAGIC = b"!<arch>\n"
THIN_MAGIC = b"!<thin>\n"
_HEADER_SIZE = 60  # bytes; <ar.h>: name 16, date 12, uid 6, gid 6, mode 8, size 10, end mark 2
_END_MARK = b"`\n"
_INDEXES = frozenset({"/", "/SYM64/", "__.SYMDEF", "__.SYMDEF SORTED", "__.SYMDEF_64", "__.SYMDEF_64 SORTED"})


class Member(NamedTuple):
    """One file in an archive."""

    name: str
    content: Any  # a buffer


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
    thin = is_thin(view.data)
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
            if title in _INDEXES:
                pass
            elif thin and "\0" in title:
                raise MalformedInput(f"{name}: a member's name has a NUL byte in it: the archive is corrupt")
            elif thin:
                yield Member(title, read_input(os.path.join(os.path.dirname(name), title)))
            else:
                yield Member(title, view.bytes(start + skipped, size - skipped, f"member {title}"))
        stored = size if not thin or raw_name in _INDEXES or raw_name == "//" else 0
        position = start + stored + (stored & 1)


def _member_name(raw_name: str, long_names: bytes, view: View, start: int) -> tuple[str, int]:
    """A member's name, and how many bytes of its content hold it (BSD)."""
    if raw_name.startswith("#1/"):
        length = _decimal(raw_name[3:].encode(), view.name, start)
        return as_text(bytes(view.bytes(start, length, "a BSD member's name")).rstrip(b"\0")), length
    if raw_name.startswith("/") and raw_name[1:].isdecimal():
        rest = long_names[int(raw_name[1:]) :]
        return as_text(rest.partition(b"/\n")[0].partition(b"\n")[0]), 0
    return as_text(raw_name.encode("latin-1").removesuffix(b"/")), 0


def _decimal(field: bytes, name: str, position: int) -> int:
    digits = field.strip() or b"0"
    if not digits.isdigit():  # int() would take a sign, and underscores
        raise MalformedInput(f"{name}: a size at {position:#x} is not a number: the archive is corrupt")
    return int(digits)
