"""Records: one definition names the fields, gives their widths, reads them and writes them."""

from __future__ import annotations

import copy
from array import array

import pytest

from stubgen.common.columns import checked_array, checked_column, is_progression, progression
from stubgen.common.record import I32, U8, U64, Bytes16, Record
from stubgen.common.row import Row
from stubgen.common.view import View
from stubgen.errors import FieldOverflow, MalformedInput


class Mixed(Row):
    """One field of each kind."""

    name: Bytes16
    kind: U8
    step: I32
    value: U64


MIXED = Record(Mixed)
ROW = Mixed(name=b"a".ljust(16, b"\0"), kind=255, step=-(1 << 31), value=(1 << 64) - 1)


def test_what_is_packed_is_read() -> None:
    """A field that is read from another offset than it was written to is a wrong address."""
    raw = MIXED.pack(ROW, "here")
    assert (MIXED.size, len(raw), [MIXED.offset(field.name) for field in MIXED.fields]) == (29, 29, [0, 16, 17, 21])
    assert MIXED.read(b"xx" + raw, 2) == ROW == MIXED.read_from(View(raw, "file"), 0, "it")
    assert list(MIXED.read_all(raw + raw + b"partial")) == [ROW, ROW]
    content = bytearray(raw + raw)
    MIXED.write_into(content, 29, ROW._replace(kind=7), "here")
    assert list(MIXED.read_all(content)) == [ROW, ROW._replace(kind=7)]
    assert Record(Mixed, ">").pack(ROW._replace(value=1), "here").endswith(b"\0\1")
    with pytest.raises(MalformedInput, match="file: it needs bytes"):
        MIXED.read_from(View(raw[:-1], "file"), 0, "it")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": 256}, "here: kind is 0x100, which does not fit its 8 bits"),
        ({"kind": -1}, "here: kind is -0x1, which does not fit its 8 bits"),
        ({"step": 1 << 31}, "here: step is 0x80000000, which does not fit its 32 bits"),
        ({"value": 1 << 64}, "here: value is 0x10000000000000000, which does not fit its 64 bits"),
        ({"name": b"n" * 17}, f"here: name '{'n' * 17}' is 17 bytes; the field holds 16"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(changes: dict[str, int], complaint: str) -> None:
    """``struct.error`` names no field, and ends a command with a traceback."""
    content = bytearray(MIXED.size)
    with pytest.raises(FieldOverflow) as error:
        MIXED.write_into(content, 0, ROW._replace(**changes), "here")
    assert str(error.value) == complaint
    assert not any(content)


def test_a_row_is_a_named_tuple() -> None:
    """Type checkers take it for one, so it must do as one does."""
    assert Mixed(b"a", 1, step=2, value=3) == (b"a", 1, 2, 3) == Mixed(b"a", 1, 2, 3)
    assert repr(Mixed(b"a", 1, 2, 3)) == "Mixed(name=b'a', kind=1, step=2, value=3)"
    assert copy.copy(ROW) == ROW
    assert ROW._fields == ("name", "kind", "step", "value")
    for wrong in (lambda: Mixed(b"a", 1, 2), lambda: Mixed(b"a", 1, 2, 3, 4), lambda: Mixed(b"a", 1, 2, 3, kind=1)):
        with pytest.raises(TypeError, match="Mixed takes name, kind, step, value"):
            wrong()
    with pytest.raises(TypeError, match="Mixed has no size"):
        ROW._replace(size=1)
    with pytest.raises(AttributeError):
        ROW.size = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "bits", "signed", "wrong"),
    [
        (256, 8, False, 0),
        ([0, 255, 256], 8, False, 2),
        ([0, -1], 8, False, 1),
        (array("H", [3, 300]), 8, False, 1),
        (array("q", [3, -3]), 64, False, 1),
        (array("Q", [1 << 63]), 64, True, 0),
        (range(0, 512, 256), 8, False, 1),
        (range(3, -3, -1), 8, False, 4),
        (b"\x7f\x80", 8, True, 1),
    ],
)
def test_columns_name_the_first_entry_that_does_not_fit(values: object, bits: int, signed: bool, wrong: int) -> None:
    """The neighbour's bits are written instead, without a word."""
    with pytest.raises(FieldOverflow, match=f"^entry {wrong}: f is .*, which does not fit its {bits} bits"):
        checked_column(values, "f", bits, lambda index: f"entry {index}", signed=signed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "bits", "signed"),
    [(255, 8, False), ([0, 255], 8, False), (b"\xff", 8, False), (range(256), 8, False), ((), 8, False),
     (array("Q", [1 << 63]), 64, False), (array("q", [-1]), 64, True), ([-128, 127], 8, True), (range(0), 8, False)],
)  # fmt: skip
def test_columns_that_fit_stay_what_they_are(values: object, bits: int, signed: bool) -> None:
    """A copy of a million values costs more than the check."""
    kept = checked_column(values, "f", bits, lambda index: f"entry {index}", signed=signed)  # type: ignore[arg-type]
    assert kept is values


def test_arrays_and_progressions_are_checked() -> None:
    """``OverflowError`` is a traceback, and a carry into the next value is worse."""
    assert checked_array("q", [-1], "f", str) == array("q", [-1])
    with pytest.raises(FieldOverflow, match=r"^1: f is 0x100000000, which does not fit its 32 bits"):
        checked_array("I", [0, 1 << 32], "f", str)
    assert progression("I", 3, 0x7FFFFFFF)[-1] == 0xFFFFFFFE
    with pytest.raises(FieldOverflow, match="3 steps of 2147483648: the last value is 0x100000000"):
        progression("I", 3, 1 << 31)


@pytest.mark.parametrize("count", [0, 1, 2, 1023, 1024, 1025, 3000])
def test_a_progression_is_told_from_what_is_none(count: int) -> None:
    """It says that one stub follows the other: one that lies elsewhere must be seen, whichever it is."""
    values = progression("Q", count, 20)
    assert list(values) == list(range(0, 20 * count, 20))
    assert is_progression(values, 20)
    for index in {0, 1, count // 2, 1023, 1024, count - 2, count - 1} & {*range(count)}:
        for change in (1, 20, 1 << 40):
            values[index] ^= change
            assert not is_progression(values, 20)
            values[index] ^= change
