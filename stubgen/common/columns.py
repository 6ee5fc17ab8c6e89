"""Columns: a field of all records at once, as an array, and records packed from them.

Hot paths work on whole columns: one object a symbol would cost more than the symbol is worth.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from stubgen.common.fields import narrow
from stubgen.common.record import Field, Record
from stubgen.common.text import as_text
from stubgen.common.view import BytesLike

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

Column = int | Sequence[int]
"""One value an entry, or one value for all of them."""
NAMES_AT_ONCE = 1024
"""Names handled at a time, so that they are still in the processor's cache for the next step."""
RECORDS_AT_ONCE = 1 << 13
"""Records packed at a time, likewise."""
TABLE_AT_ONCE = 1 << 15
"""Bytes of a table cut up or compared at a time, likewise."""


def column(typecode: str, raw: BytesLike) -> array[int]:
    """Little-endian integers as an array: ``B`` 1, ``H`` 2, ``I`` 4, ``Q`` (signed: ``q``) 8 bytes each.

    A partial one at the end is ignored.
    """
    values = array(typecode)
    partial = len(raw) % values.itemsize
    values.frombytes(raw[:-partial] if partial else raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def column_bytes(values: array[int]) -> memoryview:
    """The inverse of :func:`column`: the same memory where the machine's byte order is the files'."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return memoryview(values).cast("B")


def same(one: BytesLike, other: Content) -> bool:
    """Whether two runs of bytes are equal, piece by piece: memoryviews compare byte by byte, copies at once."""
    if len(one) != len(other):
        return False
    view, at = memoryview(one), 0
    for piece in pieces(other):
        for start in range(0, len(piece), TABLE_AT_ONCE):
            part = memoryview(piece)[start : start + TABLE_AT_ONCE]
            if not bytes(view[at : at + len(part)]).startswith(part):
                return False
            at += len(part)
    return True


def field_column(typecode: Literal["H", "I", "Q"], raw: memoryview, record: int, offset: int) -> array[int]:
    """One field of packed little-endian records as an array.

    Args:
        typecode: as :func:`column` has it.
        raw: a whole number of records.
        record: bytes a record, a multiple of the field's size.
        offset: of the field, likewise.
    """
    values = array(typecode)
    first, step = offset // values.itemsize, record // values.itemsize
    for begin in range(0, len(raw), record * RECORDS_AT_ONCE):
        values += column(typecode, raw[begin : begin + record * RECORDS_AT_ONCE])[first::step]
    return values


def octet_column(raw: memoryview, record: int, offset: int) -> bytes:
    """One field of a byte of packed records."""
    step = record * RECORDS_AT_ONCE
    return b"".join([bytes(raw[begin : begin + step])[offset::record] for begin in range(0, len(raw), step)])


def progression(typecode: Literal["I", "Q"], count: int, step: int) -> array[int]:
    """0, *step*, 2 * *step* ...: *count* values.

    Raises:
        FieldOverflow: the last one does not fit.
    """
    values = array(typecode)
    for run in _runs(typecode, count, step):
        values.frombytes(run)
    del values[count:]
    return values


def is_progression(values: array[int], step: int) -> bool:
    """Whether *values* (array ``Q``) are 0, *step*, 2 * *step* ...

    Raises:
        FieldOverflow: so many would not fit.
    """
    runs = enumerate(_runs("Q", len(values), step))
    return all(run.startswith(values[NAMES_AT_ONCE * at : NAMES_AT_ONCE * (at + 1)].tobytes()) for at, run in runs)


def _runs(typecode: Literal["I", "Q"], count: int, step: int) -> Iterator[bytes]:
    """The bytes of 0, *step*, 2 * *step* ..., NAMES_AT_ONCE values at a time; at least *count* of them.

    The first run is made value by value, the others by adding to the whole run at once.

    Raises:
        FieldOverflow: the last one does not fit.
    """
    narrow(step * max(count - 1, 0), 8 * array(typecode).itemsize, "the last value", f"{count} steps of {step}")
    run = array(typecode, range(0, step * min(count, NAMES_AT_ONCE), step))
    yield run.tobytes()
    if count > NAMES_AT_ONCE:
        size = NAMES_AT_ONCE * run.itemsize
        lanes, ones = (int.from_bytes(values, sys.byteorder) for values in (run, array(typecode, [1]) * NAMES_AT_ONCE))
        for first in range(NAMES_AT_ONCE, count, NAMES_AT_ONCE):
            yield (lanes + ones * (step * first)).to_bytes(size, sys.byteorder)


Label = Callable[[int], str]
"""Which entry of a column a number stands for, for complaints."""


def symbol_labels(names: Sequence[bytes], first: int, where: str) -> Label:
    """The labels of the symbols called *names*, which a file has from index *first* on."""
    return lambda index: f"{where}: symbol {first + index} ('{as_text(names[index])}')"


def checked_column(values: Column, field: str, bits: int, label: Label, *, signed: bool = False) -> Column:
    """*values*, after a check that all of them fit a field of *bits* bits.

    Arrays and bytes whose items are no wider than the field cannot hold anything else, and are not looked through.

    Raises:
        FieldOverflow: one does not; the message names field, value, limit and the first entry that has it.
    """
    if isinstance(values, int):
        low = high = values
    elif not len(values):
        return values
    elif isinstance(values, array):
        if 8 * values.itemsize <= bits and values.typecode.islower() == signed:
            return values
        low, high = min(values), max(values)
    elif isinstance(values, bytes) and bits >= 8 + signed:
        return values
    elif isinstance(values, range):
        low, high = sorted((values[0], values[-1]))
    else:
        low, high = min(values), max(values)
    first, limit = (-1 << bits - 1, 1 << bits - 1) if signed else (0, 1 << bits)
    if low < first or high >= limit:
        entries = enumerate([values] if isinstance(values, int) else values)
        index, value = next((index, value) for index, value in entries if not first <= value < limit)
        narrow(value, bits, field, label(index), signed=signed)
    return values


def checked_array(typecode: Literal["I", "Q", "q"], values: Sequence[int], field: str, label: Label) -> array[int]:
    """*values* as an array, which checks them on its way; the same one, if it is such an array already.

    Raises:
        FieldOverflow: one does not fit, as :func:`checked_column` says.
    """
    if isinstance(values, array) and values.typecode == typecode:
        return values
    try:
        return array(typecode, values)
    except OverflowError:
        checked_column(list(values), field, 8 * array(typecode).itemsize, label, signed=typecode.islower())
        raise


def packed_column(fields: Sequence[tuple[Field, Column]], count: int, label: Label) -> Column:
    """Narrow fields that lie one behind another, as one column of *count* values.

    Raises:
        FieldOverflow: a value does not fit its field.
    """
    packed: Column = 0
    for field, values in fields:
        shift = 8 * (field.offset - fields[0][0].offset)
        checked_column(values, field.name, 8 * field.size, label)
        if isinstance(packed, int) and isinstance(values, int):
            packed |= values << shift
        else:
            pairs = zip(_each(packed, count), _each(values, count), strict=True)
            packed = array("Q", [word | value << shift for word, value in pairs])
    return packed


def _each(column: Column, count: int) -> Sequence[int]:
    return [column] * count if isinstance(column, int) else column


def _words(values: Column, field: str, label: Label) -> int | array[int]:
    """A column of 8-byte fields as an array; one value for all as it is."""
    checked = values if isinstance(values, list) else checked_column(values, field, 64, label)
    return checked if isinstance(checked, int | array) else checked_array("Q", checked, field, label)


class Pieces:
    """Bytes that lie one after another in a file, made where they are copied to, while they are in the cache.

    A million records that are made first and copied then pass through memory twice, and memory that the system has
    to give out first costs as much as what is put there.

    Args:
        size: bytes in all.
        make: the pieces in order, anew at each call.
    """

    __slots__ = ("make", "size")

    def __init__(self, size: int, make: Callable[[], Iterable[BytesLike]]) -> None:
        self.size = size
        self.make = make

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        return b"".join(self.make())


Content = BytesLike | Pieces


def pieces(content: Content) -> Iterable[BytesLike]:
    """The pieces of *content*, in order."""
    return content.make() if isinstance(content, Pieces) else (content,)


def joined(contents: Sequence[Content]) -> Pieces:
    """*contents* one after another."""
    return Pieces(sum(map(len, contents)), lambda: chain.from_iterable(map(pieces, contents)))


def records(record: Record[Any], names: array[int], values: Sequence[Column], label: Label) -> Pieces:
    """Little-endian records as they lie in a file, from a column for each field.

    Args:
        record: a 4-byte field, narrow fields that fill the next 4 bytes, and 8-byte fields: both formats' symbols.
        names: the first field, byte offsets of names, as an array ``I``.
        values: a column for each of the others.
        label: for complaints.

    Raises:
        FieldOverflow: a value does not fit its field.
    """
    if not names:
        return Pieces(0, tuple)
    fields = list(zip(record.fields[1:], values, strict=True))
    upper = packed_column([pair for pair in fields if pair[0].offset < 8], len(names), label)
    columns = [upper << 32 if isinstance(upper, int) else array("Q", [value << 32 for value in upper])]
    for field, column in fields:
        if field.offset >= 8:
            columns.append(_words(column, field.name, label))
    return Pieces(record.size * len(names), partial(_packed, names, columns))


def _packed(names: array[int], columns: Sequence[int | array[int]]) -> Iterator[BytesLike]:
    """Records of *columns* of 8-byte words, the first of which has the *names* in its lower half."""
    packed = array("Q", [column if isinstance(column, int) else 0 for column in columns])
    lower = 0 if sys.byteorder == "little" else 1
    for begin in range(0, len(names), RECORDS_AT_ONCE):
        chunk = names[begin : begin + RECORDS_AT_ONCE]
        piece = packed * len(chunk)
        for number, column in enumerate(columns):
            if isinstance(column, array):
                piece[number :: len(columns)] = column[begin : begin + RECORDS_AT_ONCE]
        memoryview(piece).cast("B").cast("I")[lower :: 2 * len(columns)] = memoryview(chunk)
        if sys.byteorder == "big":
            piece.byteswap()
        yield memoryview(piece).cast("B")
