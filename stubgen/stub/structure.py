"""What a stub object's structure says, before its names and its code are read; and how columns are held against it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from stubgen.common.columns import RECORDS_AT_ONCE, column
from stubgen.common.row import Row
from stubgen.common.strings import StringTable
from stubgen.common.text import as_text
from stubgen.image.identity import PatchIdentity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.common.strings import NameTable


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


def first_stray(table: memoryview, expected: bytes, words: Sequence[int]) -> int | None:
    """Index of the first record of *table* that is not as *expected* in *words*, indexes of its 4-byte words.

    Columns of a chunk are compared at once.
    """
    wanted, size = column("I", expected), len(expected)
    for first in range(0, len(table) // size, RECORDS_AT_ONCE):
        held = column("I", table[size * first : size * (first + RECORDS_AT_ONCE)])
        columns = [(held[word :: len(wanted)], wanted[word]) for word in words]
        if all(one == array("I", [value]) * len(one) for one, value in columns):
            continue
        fields = zip(*(one for one, _ in columns), strict=True)
        right = tuple(value for _, value in columns)
        return next(index for index, found in enumerate(fields, start=first) if found != right)
    return None


def symbol_name(symbols: NameTable, index: int) -> str:
    """The name of symbol *index*, for a message."""
    return as_text(symbols.name(index))
