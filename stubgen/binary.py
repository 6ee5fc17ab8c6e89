"""The floor that ``elf/`` and ``macho/`` stand on: bounded reads, planned layouts, checked fields.

Offsets are planned first (:class:`Layout`), bytes are written second (:class:`Image`), and the second step
checks that it agrees with the first. Nothing here knows a file format.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, compress, count
from operator import itemgetter
from struct import Struct
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from stubgen.errors import FieldOverflow, MalformedInput

BytesLike = bytes | bytearray | memoryview
Column = int | Sequence[int]
"""One value an entry, or one value for all of them."""

NAMES_AT_ONCE = 1024
"""Names handled at a time, so that they are still in the processor's cache for the next step."""

RECORDS_AT_ONCE = 1 << 13
"""Records packed at a time, likewise."""

TABLE_AT_ONCE = 1 << 15
"""Bytes of a string table cut up at a time, likewise."""

MANY = 10_000
"""Names looked at one by one from which a copy of the table pays."""

FEW = 4
"""Hits in that many bytes up to which each is looked for again; beyond, the strings are walked through."""


class View:
    """A file's bytes together with its name, so that every read is bounded and every complaint says where."""

    __slots__ = ("data", "name")

    def __init__(self, data: Any, name: str) -> None:  # Any: Buffer (PEP 688) has no name before Python 3.12
        self.data = memoryview(data)
        self.name = name

    def __len__(self) -> int:
        return len(self.data)

    def bytes(self, offset: int, size: int, what: str) -> memoryview:
        """*size* bytes from byte *offset*; *what* names them in the complaint.

        Raises:
            MalformedInput: they reach beyond the end of the file.
        """
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise MalformedInput(
                f"{self.name}: {what} needs bytes {offset:#x} to {offset + size:#x}, "
                f"but the file ends at {len(self.data):#x}: it is truncated or corrupt"
            )
        return self.data[offset : offset + size]

    def unpack(self, record: Struct, offset: int, what: str) -> tuple[Any, ...]:
        """One record at byte *offset*."""
        return record.unpack(self.bytes(offset, record.size, what))

    def slice(self, offset: int, size: int, what: str) -> View:
        """A part of the file as a view of its own, with the same name."""
        return View(self.bytes(offset, size, what), self.name)


def column(typecode: str, raw: BytesLike) -> array[int]:
    """Little-endian integers as an array: ``B`` 1, ``H`` 2, ``I`` 4, ``Q`` (signed: ``q``) 8 bytes each."""
    values = array(typecode)
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def column_bytes(values: array[int]) -> memoryview:
    """The inverse of :func:`column`: the same memory where the machine's byte order is the files'."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return memoryview(values).cast("B")


def same(one: BytesLike, other: BytesLike) -> bool:
    """Whether two runs of bytes are equal, piece by piece: memoryviews compare byte by byte, copies at once."""
    if len(one) != len(other):
        return False
    views = memoryview(one), memoryview(other)
    pieces = (slice(start, start + TABLE_AT_ONCE) for start in range(0, len(one), TABLE_AT_ONCE))
    return all(bytes(views[0][piece]) == bytes(views[1][piece]) for piece in pieces)


def field_column(typecode: Literal["H", "I", "Q"], raw: memoryview, record: int, offset: int) -> array[int]:
    """One field of packed little-endian records as an array; only its own bytes are copied.

    Args:
        typecode: as :func:`column` has it.
        raw: a whole number of records.
        record: bytes a record, a multiple of the field's size.
        offset: of the field, likewise.
    """
    width = array(typecode).itemsize
    return column(typecode, raw.cast(typecode)[offset // width :: record // width].tobytes())


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


def uleb128(raw: BytesLike, position: int, where: str) -> tuple[int, int]:
    """One ULEB128 number at byte *position*, and where the next one starts.

    Raises:
        MalformedInput: the bytes end in the middle of it, or it has more than 64 bits.
    """
    value = shift = 0
    while position < len(raw):
        if shift >= 64:
            raise MalformedInput(f"{where}: hold a number of more than 64 bits")
        octet = raw[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, position
        shift += 7
    raise MalformedInput(f"{where}: ends in the middle of a number")


def progression(typecode: Literal["I", "Q"], count: int, step: int) -> array[int]:
    """0, *step*, 2 * *step* ...: *count* values, the last of which fits.

    A run of them is made one by one, the others by adding to the whole run at once.
    """
    run = array(typecode, range(0, step * min(count, NAMES_AT_ONCE), step))
    if count <= NAMES_AT_ONCE:
        return run
    size = NAMES_AT_ONCE * run.itemsize
    lanes, ones = (int.from_bytes(values, sys.byteorder) for values in (run, array(typecode, [1]) * NAMES_AT_ONCE))
    values = array(typecode)
    for first in range(0, count, NAMES_AT_ONCE):
        values.frombytes((lanes + ones * (step * first)).to_bytes(size, sys.byteorder))
    return values[:count]


def packed_column(fields: Sequence[tuple[Column, int]], count: int) -> Column:
    """Narrow fields as one column of *count* values: each with the number of its lowest bit."""
    packed: Column = 0
    for values, shift in fields:
        if isinstance(packed, int) and isinstance(values, int):
            packed |= values << shift
        else:
            pairs = zip(_each(packed, count), _each(values, count), strict=True)
            packed = array("Q", [word | value << shift for word, value in pairs])
    return packed


def _each(column: Column, count: int) -> Sequence[int]:
    return [column] * count if isinstance(column, int) else column


class Pieces:
    """Bytes that lie one after another in a file and are copied together only there."""

    __slots__ = ("parts", "size")

    def __init__(self, parts: Sequence[BytesLike]) -> None:
        self.parts = parts
        self.size = sum(map(len, parts))

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


Content = BytesLike | Pieces


def records(names: array[int], upper: Column, words: Sequence[Column]) -> Pieces:
    """Little-endian records that begin with a 4-byte name offset, one for each of *names*.

    Args:
        names: array ``I``: the offsets.
        upper: the four bytes behind each, as an integer.
        words: the 8-byte fields that follow, one column a field.
    """
    first = upper << 32 if isinstance(upper, int) else array("Q", [value << 32 for value in upper])
    columns = [column if isinstance(column, int | array) else array("Q", column) for column in (first, *words)]
    record = array("Q", [column if isinstance(column, int) else 0 for column in columns])
    lower = 0 if sys.byteorder == "little" else 1
    parts: list[BytesLike] = []
    for begin in range(0, len(names), RECORDS_AT_ONCE):
        chunk = names[begin : begin + RECORDS_AT_ONCE]
        packed = record * len(chunk)
        for field, column in enumerate(columns):
            if isinstance(column, array):
                packed[field :: len(columns)] = column[begin : begin + RECORDS_AT_ONCE]
        memoryview(packed).cast("B").cast("I")[lower :: 2 * len(columns)] = memoryview(chunk)
        if sys.byteorder == "big":
            packed.byteswap()
        parts.append(memoryview(packed).cast("B"))
    return Pieces(parts)


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


def narrow(value: int, bits: int, field: str, where: str) -> int:
    """*value*, after a check that it fits an unsigned field of *bits* bits.

    Raises:
        FieldOverflow: it does not; the message names field, value, limit and place.
    """
    if not 0 <= value < 1 << bits:
        raise FieldOverflow(f"{where}: {field} is {value:#x}, which does not fit its {bits} bits")
    return value


def align_up(value: int, alignment: int) -> int:
    """The next multiple of *alignment* (bytes, a power of two or 0 for none) at or above *value*."""
    return value if alignment <= 1 else (value + alignment - 1) & -alignment


def counted(number: int, noun: str) -> str:
    """*number* and *noun*, in the plural where that is due."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Span(NamedTuple):
    """One region of a file to be written."""

    size: int  # bytes
    align: int = 1  # bytes


class Layout:
    """Where each region of a file goes: planned from sizes alone, in the order of the call's arguments."""

    __slots__ = ("_offsets", "_spans", "size")

    def __init__(self, spans: Sequence[tuple[str, Span]], where: str, offset_bits: int) -> None:
        self._spans = dict(spans)
        self._offsets: dict[str, int] = {}
        position = 0
        for name, span in spans:
            position = align_up(position, span.align)
            self._offsets[name] = narrow(position, offset_bits, f"offset of {name}", where)
            position += span.size
        self.size = narrow(position, offset_bits, "file size", where)
        """Bytes."""

    def offset(self, name: str) -> int:
        """Byte offset of region *name*."""
        return self._offsets[name]

    def span(self, name: str) -> Span:
        """Size and alignment of region *name*."""
        return self._spans[name]

    def names(self) -> list[str]:
        """The regions, in file order."""
        return list(self._offsets)


class Image:
    """The bytes of a file that follows a layout: each region is put once, whole and in order."""

    def __init__(self, layout: Layout, where: str) -> None:
        self._layout = layout
        self._where = where
        self._parts: list[BytesLike] = []
        self._end = 0  # bytes put so far
        self._waiting = layout.names()

    def put(self, name: str, content: Content) -> None:
        """Write region *name*.

        Raises:
            RuntimeError: the region is not the next one, or its size is not the planned one: a bug.
        """
        expected = self._waiting.pop(0) if self._waiting else "nothing"
        planned = self._layout.span(name).size
        if expected != name or len(content) != planned:
            raise RuntimeError(
                f"{self._where}: wrote {len(content)} bytes of {name} where the layout "
                f"planned {planned} bytes of {expected}"
            )
        start = self._layout.offset(name)
        self._parts.append(bytes(start - self._end))
        self._parts += content.parts if isinstance(content, Pieces) else [content]
        self._end = start + planned

    def finish(self) -> bytes:
        """The file.

        Raises:
            RuntimeError: a planned region was never written: a bug.
        """
        if self._waiting:
            raise RuntimeError(f"{self._where}: never wrote {', '.join(self._waiting)}")
        return b"".join(self._parts)


SectionT = TypeVar("SectionT")


class Copy(ABC, Generic[SectionT]):
    """A copy of an object file under edit: what the editors of both formats share."""

    def __init__(self, view: View, strings: bytes) -> None:
        self.name = view.name
        self.content = bytearray(view.data)
        self.strings = bytearray(strings)
        self.strings_grew = False

    @abstractmethod
    def place(self, section: SectionT, offset: int, size: int) -> int:
        """Where in the file *size* bytes at byte *offset* of *section* lie.

        Raises:
            MalformedInput: not in the section.
        """

    def read(self, section: SectionT, offset: int, size: int) -> bytes:
        """*size* bytes at byte *offset* of *section*, as edited so far."""
        start = self.place(section, offset, size)
        return bytes(self.content[start : start + size])

    def word(self, section: SectionT, offset: int) -> int:
        """The instruction at byte *offset* of *section*."""
        return int.from_bytes(self.read(section, offset, 4), "little")

    def overwrite(self, section: SectionT, offset: int, content: bytes) -> None:
        """Overwrite bytes at byte *offset* of *section*."""
        start = self.place(section, offset, len(content))
        self.content[start : start + len(content)] = content

    def add_string(self, text: bytes) -> int:
        """Byte offset of *text*, appended to the string table."""
        self.strings_grew = True
        offset = narrow(len(self.strings), 32, "a name's offset", self.name)
        self.strings += text + b"\0"
        return offset

    def append(self, content: BytesLike, alignment: int) -> int:
        """Byte offset of *content*, appended to the file."""
        self.content += bytes(align_up(len(self.content), alignment) - len(self.content))
        offset = len(self.content)
        self.content += content
        return offset
