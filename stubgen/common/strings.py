"""String tables: read, searched, compared and written by the pass, not by the name.

Both formats keep names in one table of NUL-terminated strings, and a column of byte offsets says where each begins.
A table of a million names is 70 MB, most of which nobody looks at twice.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate, count
from operator import add, itemgetter

from stubgen.common.columns import NAMES_AT_ONCE, TABLE_AT_ONCE, Pieces
from stubgen.common.fields import narrow
from stubgen.common.view import BytesLike
from stubgen.errors import FieldOverflow, MalformedInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

COPY_PAYS = 1 << 11
"""Bytes of a table a name that is looked at, up to which it pays to cut them out of a copy of it."""

FEW = 4
"""Hits in that many bytes up to which each is looked for again; beyond, the strings are walked through."""


_IS_MARKED = bytes(map(bool, range(256)))
"""A byte in front of a name -> 1, unless it is the NUL behind the string before."""

LONG = 1 << 12
"""Bytes of a name from which it counts against :data:`LONG_IN_ALL`; compilers' longest are not much longer."""

LONG_IN_ALL = 1 << 26
"""Bytes that the long names of one table may have in all: names may begin inside another one, but not ever again."""


def string_at(table: BytesLike, offset: int) -> bytes:
    """The NUL-terminated string at byte *offset* of a string table; empty beyond its end."""
    if isinstance(table, bytes):
        end = table.find(b"\0", offset)
        return table[offset:] if end < 0 else table[offset:end]
    size = 256  # bytes; more than most names have
    while True:
        piece = bytes(table[offset : offset + size])
        end = piece.find(b"\0")
        if end >= 0 or len(piece) < size:
            return piece if end < 0 else piece[:end]
        size *= 4


class StringTable:
    """A symbol table's NUL-terminated strings, in the file; columns of byte offsets say where names start.

    What a whole column asks for is done by the pass and not by the name: the table is large, and most of it is
    never looked at.
    """

    def __init__(self, table: memoryview, where: str) -> None:
        self.view = table
        self.where = where
        self._long: dict[int, int] = {}  # where a long name starts -> its bytes
        self._long_in_all = 0

    def __len__(self) -> int:
        return len(self.view)

    @cached_property
    def content(self) -> bytes:
        """The whole table, copied out of the file."""
        return bytes(self.view)

    def at(self, start: int) -> bytes:
        """The name at byte *start*.

        Raises:
            MalformedInput: the table ends before it.
        """
        if start >= len(self.view) and start:
            raise MalformedInput(f"{self.where}: a symbol's name lies beyond the end of the string table")
        table = self.__dict__.get("content")  # the copy, if somebody made one
        if table is None:
            name = string_at(self.view, start)
        else:
            end = table.find(b"\0", start)
            name = table[start:] if end < 0 else table[start:end]
        if len(name) > LONG:
            self._count_long(start, len(name))
        return name

    def is_at(self, start: int, name: bytes) -> bool:
        """Whether the name at byte *start* is *name*; False too where no NUL ends it."""
        return bytes(self.view[start : start + len(name) + 1]) == name + b"\0"

    def _count_long(self, start: int, size: int) -> None:
        """Note a long name; thousands that begin inside one string would take its length each.

        Raises:
            MalformedInput: the long names are too long in all.
        """
        if start not in self._long:
            self._long[start] = size
            self._long_in_all += size
            if self._long_in_all > LONG_IN_ALL + len(self.view):
                raise MalformedInput(f"{self.where}: names overlap again and again: the string table is corrupt")

    @cached_property
    def _has_long(self) -> bool:
        """Whether any string has more than :data:`LONG` bytes."""
        find = self.content.find
        return any(find(b"\0", at, at + LONG) < 0 for at in range(0, len(self.content), LONG))

    def names(self, starts: Sequence[int]) -> Iterator[bytes]:
        """The name at each of *starts*.

        Raises:
            MalformedInput: the table ends before one of them.
        """
        table = self.content
        if starts and max(starts) >= max(len(table), 1):
            raise MalformedInput(f"{self.where}: a symbol's name lies beyond the end of the string table")
        if self._has_long:
            yield from map(self.at, starts)
            return
        find = table.find
        for first in range(0, len(starts), NAMES_AT_ONCE):
            chunk = starts[first : first + NAMES_AT_ONCE]
            ends = [find(b"\0", start) for start in chunk]
            if -1 in ends:
                ends = [end if end >= 0 else len(table) for end in ends]
            yield from [table[start:end] for start, end in zip(chunk, ends, strict=True)]

    def read(self, starts: array[int]) -> list[bytes]:
        """:meth:`names` as a list; by chunks where the strings lie one after another."""
        names: list[bytes] = []
        for first in range(0, len(starts), NAMES_AT_ONCE):
            chunk = starts[first : first + NAMES_AT_ONCE]
            run = self._run(chunk)
            names += run or self.names(chunk)
        return names

    def holds(self, starts: array[int], names: Sequence[bytes]) -> bool:
        """Whether exactly *names* are at *starts*, without making a list of what is there."""
        if len(starts) != len(names):
            return False
        for first in range(0, len(starts), NAMES_AT_ONCE):
            chunk, wanted = starts[first : first + NAMES_AT_ONCE], names[first : first + NAMES_AT_ONCE]
            if not self._holds_run(chunk, wanted) and list(self.names(chunk)) != list(wanted):
                return False
        return True

    def _holds_run(self, starts: array[int], names: Sequence[bytes]) -> bool:
        """Whether *names* lie one after another in the table, each at its start."""
        run = b"\0".join(names)
        begin, end = starts[0], starts[0] + len(run)
        return (
            not has_nul(names)
            and bytes(self.view[begin:end]) == run
            and bytes(self.view[end : end + 1]) == b"\0"
            and _lie_close(starts, names, len(run))
        )

    def find(self, starts: array[int], wanted: Collection[bytes], markers: Sequence[bytes] = ()) -> Iterator[int]:
        """Where in *starts* a name is that is in *wanted* or has one of *markers* in it, ascending.

        Whole strings are looked for in the table, not in the column: the table is cut up while it is in the
        processor's cache, and every hit is marked in the byte before it. One pass over the column then finds the
        marks, and the names that begin inside another string, as linkers merge them; those are looked at one by one.

        Raises:
            MalformedInput: the table ends before a name.
        """
        marked, looked_at = self._marked(set(wanted), markers), 0
        for first in range(0, len(starts), 4 * NAMES_AT_ONCE):
            chunk = starts[first : first + 4 * NAMES_AT_ONCE]
            candidates = self._candidates(marked, chunk)
            looked_at += len(candidates)
            if looked_at * COPY_PAYS > len(self.view):
                _ = self.content  # from here on names are cut out of a copy
            for index in candidates:
                name = self.at(chunk[index])
                if name in wanted or any(marker in name for marker in markers):
                    yield first + index

    def _candidates(self, marked: bytearray, starts: array[int]) -> list[int]:
        """Where in *starts* a string is that was marked, or that begins inside another one."""
        try:
            before = bytes(itemgetter(0, *starts)(marked))[1:]
        except IndexError as error:
            message = f"{self.where}: a symbol's name lies beyond the end of the string table"
            raise MalformedInput(message) from error
        flags, found = before.translate(_IS_MARKED), []
        position = flags.find(1)
        while position >= 0:
            found.append(position)
            position = flags.find(1, position + 1)
        return found

    def _marked(self, wanted: set[bytes], markers: Sequence[bytes]) -> bytearray:
        """The table with one byte in front, where byte *n* is 0 if a string starts at *n* that is not looked for."""
        marked = bytearray().join((b"\0", self.view, b"\0"))  # also behind a last name that has none
        marks = [offset + mark for offset, piece in _whole_strings(marked) for mark in _marks_of_strings(piece, wanted)]
        for marker in markers:
            marks += _marks_of_marker(marked, marker)
        beyond = (len(marked) - 2, len(marked) - 1) if self.view else ()  # no name starts there: at() complains
        if b"" not in wanted and marked[1:3] == b" \0":  # Mach-O: ld64's nameless symbols are called by that
            marked[1] = 0
        for mark in (*marks, *beyond):
            marked[mark] = 1
        return marked

    def _run(self, starts: array[int]) -> list[bytes] | None:
        """The names at *starts* if they lie one after another in the table."""
        last = starts[-1]
        if starts[0] > last:
            return None
        names = bytes(self.view[starts[0] : last]).split(b"\0")
        names[-1] = self.at(last)
        offsets = accumulate([len(name) + 1 for name in names], initial=starts[0])
        return names if len(names) == len(starts) and array("I", offsets)[:-1] == starts else None


def _whole_strings(table: bytearray) -> Iterator[tuple[int, bytes]]:
    """*table*, which begins and ends with NUL, in pieces that do so too, each with its byte offset.

    Neighbours share a NUL. A piece is as long as the processor's cache likes it, or one longer string.
    """
    offset = 0
    while offset < len(table) - 1:
        end = table.rfind(b"\0", offset, offset + TABLE_AT_ONCE)
        if end <= offset:  # a longer string
            end = table.index(b"\0", offset + 1)
        yield offset, bytes(memoryview(table)[offset : end + 1])
        offset = end


def _marks_of_strings(piece: bytes, wanted: set[bytes]) -> Iterator[int]:
    """Byte offset of the NUL in front of each string of *piece* that is one of *wanted*."""
    strings = piece.split(b"\0")  # the NULs at both ends make an empty one each
    hits = wanted.intersection(strings)
    if len(hits) <= FEW:
        for name in hits:
            entry = b"\0" + name + b"\0"
            mark = piece.find(entry)
            while mark >= 0:
                yield mark
                mark = piece.find(entry, mark + 1)
    else:
        mark = -1  # of the NUL in front of the empty string
        for string in strings[:-1]:
            if string in hits:
                yield mark
            mark += len(string) + 1


def _marks_of_marker(table: bytearray, marker: bytes) -> Iterator[int]:
    """Byte offset of the NUL in front of each string of *table* that has *marker* in it."""
    at = table.find(marker) if table.rfind(marker) >= 0 else -1  # rfind is the faster one to say no
    while at >= 0:
        yield table.rfind(b"\0", 0, at)
        at = table.find(marker, table.index(b"\0", at))


def name_table(groups: Sequence[Sequence[bytes]], where: str) -> tuple[Pieces, list[array[int]]]:
    """A string table of all *groups*' names, and for each group the byte offset (array ``I``) of each name in it.

    Both formats keep offset 0 for "no name" and end each name with a NUL byte.

    Args:
        groups: names.
        where: the file, for complaints.

    Raises:
        FieldOverflow: a name contains a NUL byte, or the table outgrows 32-bit offsets.
    """
    columns, end = [], 1
    for names in groups:
        starts, end = _offsets(names, end, where)
        columns.append(starts)
    return Pieces(end, partial(_table, groups, where)), columns


def _offsets(names: Sequence[bytes], first: int, where: str) -> tuple[array[int], int]:
    """The byte offset of each of *names*, the first at *first*, one NUL behind each; and that behind the last one.

    What has no name has offset 0.

    Raises:
        FieldOverflow: that does not fit 32 bits.
    """
    starts = array("I")
    for begin in range(0, len(names), NAMES_AT_ONCE):
        chunk = names[begin : begin + NAMES_AT_ONCE]
        run = _close(chunk, first, where)
        first = run.pop()
        if not all(chunk):
            run = array("I", [start if name else 0 for start, name in zip(run, chunk, strict=True)])
        starts += run
    return starts, first


def _close(names: Sequence[bytes], first: int, where: str) -> array[int]:
    """Where each of at most NAMES_AT_ONCE names, and what follows them, begins, with a NUL behind each.

    The lengths are summed up by themselves; the NULs are added to all sums at once.

    Raises:
        FieldOverflow: that does not fit 32 bits.
    """
    try:
        sums = array("I", accumulate(map(len, names), initial=first))
    except OverflowError:
        narrow(first + sum(map(len, names)), 32, "the size of the string table", where)
        raise
    narrow(sums[-1] + len(names), 32, "the size of the string table", where)
    if len(names) < NAMES_AT_ONCE:
        return array("I", map(add, sums, count()))
    return array("I", (_lanes(sums) + _NULS).to_bytes(len(sums) * sums.itemsize, sys.byteorder))


def _lie_close(starts: array[int], names: Sequence[bytes], size: int) -> bool:
    """Whether *starts* are those of at most NAMES_AT_ONCE names that take *size* bytes, with a NUL between two.

    Each is the one before it with a length and a NUL added, all at once. That the last one is what all lengths make
    of the first says that no sum has run over into the next.
    """
    if starts[-1] != starts[0] + size - len(names[-1]):
        return False
    lengths = array("I", list(map(len, names[:-1])))
    nuls = _NUL_EACH >> 8 * lengths.itemsize * (NAMES_AT_ONCE - len(lengths))
    return _lanes(starts[:-1]) + _lanes(lengths) + nuls == _lanes(starts[1:])


def _lanes(values: array[int]) -> int:
    """All *values* as one number."""
    return int.from_bytes(values, sys.byteorder)


_NULS = _lanes(array("I", range(NAMES_AT_ONCE + 1)))
"""The number of NULs in front of each name, and behind them all."""
_NUL_EACH = _lanes(array("I", [1]) * NAMES_AT_ONCE)


def _table(groups: Sequence[Sequence[bytes]], where: str) -> Iterator[bytes]:
    """The string table, piece by piece."""
    yield b"\0"
    for names in groups:
        for first in range(0, len(names), NAMES_AT_ONCE):
            chunk = names[first : first + NAMES_AT_ONCE]
            if has_nul(chunk):
                raise FieldOverflow(f"{where}: a symbol name contains a NUL byte")
            yield b"\0".join(chunk)
            yield b"\0"


def has_nul(names: Sequence[bytes]) -> bool:
    """Whether any of *names* contains a NUL byte: to join them takes less time than to count NULs between them."""
    return b"\0" in b"".join(names)


if TYPE_CHECKING:

    class NameTable(Protocol):
        """A symbol table, as a column of names."""

        raw: memoryview
        """The table's records."""
        strings: StringTable

        def __len__(self) -> int: ...

        def name(self, index: int) -> bytes:
            """The name of symbol *index*."""

        def names(self) -> Iterator[bytes]:
            """All names, in the table's order."""

        def find_indexes(self, wanted: Collection[bytes], markers: Sequence[bytes]) -> Iterator[int]:
            """Index of each symbol whose name is in *wanted* or has one of *markers* in it, ascending."""
