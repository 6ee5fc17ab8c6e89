"""The floor that ``elf/`` and ``macho/`` stand on: bounded reads, planned layouts, checked fields.

Offsets are planned first (:class:`Layout`), bytes are written second (:class:`Image`), and the second step
checks that it agrees with the first. Nothing here knows a file format.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
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
"""Bytes of a table cut up or compared at a time, likewise."""


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
