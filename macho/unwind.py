"""``__LD,__compact_unwind`` for code that never touches the stack (``<mach-o/compact_unwind_encoding.h>``)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial

from stubgen.common.columns import RECORDS_AT_ONCE, Pieces, column_bytes, progression
from stubgen.common.fields import narrow
from stubgen.common.view import BytesLike
from stubgen.macho import constants as c
from stubgen.macho.records import COMPACT_UNWIND_ENTRY
from stubgen.macho.relocations import ARM64_RELOC_UNSIGNED, Relocations, r_word


def leaf_frames(starts: array[int], function_size: int, text_ordinal: int) -> tuple[Pieces, Relocations]:
    """One entry for each function.

    Under MH_SUBSECTIONS_VIA_SYMBOLS the linker moves each function on its own, so each needs its entry:
    frameless, no stack, return address in lr.

    Args:
        starts: array ``Q``: their addresses.
        function_size: bytes each.
        text_ordinal: ordinal of the code's section.

    Raises:
        FieldOverflow: a size, an offset or the ordinal does not fit its field.
    """
    count = len(starts)
    narrow(function_size, 32, "the length of a function", "__LD,__compact_unwind")
    entry = array("Q", [0, function_size | c.UNWIND_ARM64_MODE_FRAMELESS << 32, 0, 0])
    word = r_word(text_ordinal, pcrel=False, length=3, extern=False, kind=ARM64_RELOC_UNSIGNED)
    offsets = progression("I", count, COMPACT_UNWIND_ENTRY.size)
    entries = Pieces(COMPACT_UNWIND_ENTRY.size * count, partial(_entries, starts, entry))
    return entries, Relocations(offsets, array("I", [word]) * count)


def _entries(starts: array[int], entry: array[int]) -> Iterator[BytesLike]:
    """*entry* for each of *starts*."""
    for begin in range(0, len(starts), RECORDS_AT_ONCE):
        chunk = starts[begin : begin + RECORDS_AT_ONCE]
        words = entry * len(chunk)
        words[0 :: len(entry)] = chunk
        yield column_bytes(words)
