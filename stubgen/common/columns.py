"""Columns: a field of all records at once, as an array, and records packed from them.

Hot paths work on whole columns: one object a symbol would cost more than the symbol is worth.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Literal

from stubgen.common.view import BytesLike

Column = int | Sequence[int]
"""One value an entry, or one value for all of them."""
NAMES_AT_ONCE = 1024
"""Names handled at a time, so that they are still in the processor's cache for the next step."""
RECORDS_AT_ONCE = 1 << 13
"""Records packed at a time, likewise."""
TABLE_AT_ONCE = 1 << 15
"""Bytes of a table cut up or compared at a time, likewise."""


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
