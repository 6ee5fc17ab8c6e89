"""String tables, on the floor beside ``binary``: read, searched, compared and written by the pass, not by the name.

Both formats keep names in one table of NUL-terminated strings, and a column of byte offsets says where each begins.
A table of a million names is 70 MB, most of which nobody looks at twice.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, compress, count
from operator import itemgetter
from typing import Protocol

from stubgen.common.columns import NAMES_AT_ONCE, TABLE_AT_ONCE, Pieces
from stubgen.common.fields import narrow
from stubgen.common.view import BytesLike
from stubgen.errors import FieldOverflow, MalformedInput

MANY = 10_000
"""Names looked at one by one from which a copy of the table pays."""

FEW = 4
"""Hits in that many bytes up to which each is looked for again; beyond, the strings are walked through."""


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
        return string_at(self.__dict__.get("content", self.view), start)  # the copy, if somebody made one

    def names(self, starts: Sequence[int]) -> Iterator[bytes]:
        """The name at each of *starts*.

        Raises:
            MalformedInput: the table ends before one of them.
        """
        table = self.content
        if starts and max(starts) >= max(len(table), 1):
            raise MalformedInput(f"{self.where}: a symbol's name lies beyond the end of the string table")
        find = table.find
        for start in starts:
            end = find(b"\0", start)
            yield table[start:end] if end >= 0 else table[start:]

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
        if run.count(b"\0") != len(names) - 1:
            return False
        begin = starts[0]
        if bytes(self.view[begin : begin + len(run) + 1]) != run + b"\0":
            return False
        ends = array("I", accumulate([len(name) + 1 for name in names], initial=begin))
        return ends[:-1] == starts

    def find(self, starts: array[int], wanted: Collection[bytes], markers: Sequence[bytes] = ()) -> Iterator[int]:
        """Where in *starts* a name is that is in *wanted* or has one of *markers* in it, ascending.

        Whole strings are looked for in the table, not in the column: the table is cut up while it is in the
        processor's cache, and every hit is marked in the byte before it. One pass over the column then finds the
        marks, and the names that begin inside another string, as linkers merge them; those are looked at one by one.

        Raises:
            MalformedInput: the table ends before a name.
        """
        marked, looked_at = self._marked(wanted, markers), 0
        for first in range(0, len(starts), 4 * NAMES_AT_ONCE):
            chunk = starts[first : first + 4 * NAMES_AT_ONCE]
            try:
                before = bytes(itemgetter(0, *chunk)(marked))[1:]
            except IndexError as error:
                message = f"{self.where}: a symbol's name lies beyond the end of the string table"
                raise MalformedInput(message) from error
            if not before.strip(b"\0"):
                continue
            places = list(compress(count(), before))
            looked_at += len(places)
            if looked_at > MANY:
                _ = self.content  # from here on names are cut out of a copy
            for index in places:
                name = self.at(chunk[index])
                if name in wanted or any(marker in name for marker in markers):
                    yield first + index

    def _marked(self, wanted: Collection[bytes], markers: Sequence[bytes]) -> bytearray:
        """The table with one byte in front, where byte *n* is 0 if a string starts at *n* that is not looked for."""
        marked = bytearray().join((b"\0", self.view, b"\0"))  # also behind a last name that has none
        names = set(wanted)
        marks = []
        position = 0
        while position < len(marked) - 1:
            part = bytes(memoryview(marked)[position : position + TABLE_AT_ONCE])
            end = part.rfind(b"\0")
            if end <= 0:  # a name longer than that
                end = marked.index(b"\0", position + 1) - position
                part = bytes(memoryview(marked)[position : position + end + 1])
            strings = part[: end + 1].split(b"\0")
            hits = names.intersection(strings)
            if len(hits) <= FEW:
                for name in hits:
                    entry = b"\0" + name + b"\0"
                    place = part.find(entry)
                    while place >= 0:
                        marks.append(position + place)
                        place = part.find(entry, place + 1)
            else:
                place = position - 1  # of the NUL before the string; an empty one leads
                for string in strings[:-1]:
                    if string in hits:
                        marks.append(place)
                    place += len(string) + 1
            position += end
        for marker in markers:
            place = marked.find(marker) if marked.rfind(marker) >= 0 else -1  # rfind is the faster one to say no
            while place >= 0:
                marks.append(marked.rfind(b"\0", 0, place))
                place = marked.find(marker, marked.index(b"\0", place))
        beyond = (len(marked) - 2, len(marked) - 1) if self.view else ()  # no name starts there: at() complains
        if b"" not in names and marked[1:3] == b" \0":  # Mach-O: ld64's nameless symbols are called by that
            marked[1] = 0
        for place in (*marks, *beyond):
            marked[place] = 1
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


def name_table(groups: Sequence[Sequence[bytes]], where: str) -> tuple[Pieces, list[array[int]]]:
    """A string table of all *groups*' names, and for each group the byte offset (array ``I``) of each name in it.

    Both formats keep offset 0 for "no name" and end each name with a NUL byte.

    Args:
        groups: names.
        where: the file, for complaints.

    Raises:
        FieldOverflow: a name contains a NUL byte, or the table outgrows 32-bit offsets.
    """
    parts: list[BytesLike] = [b"\0"]
    columns, position = [], 1
    for names in groups:
        starts = array("I")
        for first in range(0, len(names), NAMES_AT_ONCE):
            chunk = names[first : first + NAMES_AT_ONCE]
            joined = b"\0".join(chunk)
            if joined.count(b"\0") != len(chunk) - 1:
                raise FieldOverflow(f"{where}: a symbol name contains a NUL byte")
            narrow(position + len(joined) + 1, 32, "the size of the string table", where)
            starts.extend(accumulate([len(name) + 1 for name in chunk], initial=position))
            position = starts.pop()
            if not all(chunk):  # unnamed: offset 0
                for number, name in enumerate(chunk, start=first):
                    starts[number] = starts[number] if name else 0
            parts += (joined, b"\0")
        columns.append(starts)
    return Pieces(parts), columns


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
