"""What a stub object's structure says, before its names and its code are read; and how columns are held against it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from stubgen.common.row import Row
from stubgen.common.strings import NameTable, StringTable
from stubgen.common.text import as_text
from stubgen.image.identity import PatchIdentity


class Structure(Row):
    """What a sound stub object holds, its names and its code still unread."""

    strings: StringTable
    starts: array[int]  # byte offset of each stub's name
    values: array[int]  # byte offset of each stub in the code
    code: memoryview
    bti: bool
    slots: dict[bytes, int]
    """Slot's symbol -> the constant in it."""
    identity: PatchIdentity | None


def first_stray(columns: Sequence[Sequence[int]], first: int, stop: int, expected: Sequence[int]) -> int | None:
    """Index of the first symbol whose fields are not *expected*; whole columns are compared at once."""
    strays = []
    for column, value in zip(columns, expected, strict=True):
        held = column[first:stop]
        if isinstance(held, array):
            same = held == array(held.typecode, [value]) * len(held)
        else:
            same = held.count(value) == len(held)
        if not same:
            strays += [index for index, field in enumerate(held, start=first) if field != value][:1]
    return min(strays, default=None)


def symbol_name(symbols: NameTable, index: int) -> str:
    """The name of symbol *index*, for a message."""
    return as_text(symbols.name(index))
