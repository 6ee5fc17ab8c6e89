"""ARM64 relocation codes (``<mach-o/arm64/reloc.h>``) and tables of relocations as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import partial

from stubgen.common.columns import RECORDS_AT_ONCE, Pieces, checked_array, column, column_bytes
from stubgen.common.fields import narrow
from stubgen.common.view import BytesLike
from stubgen.macho.records import RELOCATION_INFO

ARM64_RELOC_UNSIGNED = 0
ARM64_RELOC_SUBTRACTOR = 1
ARM64_RELOC_BRANCH26 = 2
ARM64_RELOC_PAGE21 = 3
ARM64_RELOC_PAGEOFF12 = 4
ARM64_RELOC_GOT_LOAD_PAGE21 = 5
ARM64_RELOC_GOT_LOAD_PAGEOFF12 = 6
ARM64_RELOC_POINTER_TO_GOT = 7
ARM64_RELOC_TLVP_LOAD_PAGE21 = 8
ARM64_RELOC_TLVP_LOAD_PAGEOFF12 = 9
ARM64_RELOC_ADDEND = 10

NAMES = {code: name for name, code in globals().items() if name.startswith("ARM64_RELOC_")}
"""Code -> name, for messages."""


class Relocations:
    """A relocation table as columns of equal length."""

    __slots__ = ("r_address", "r_word")

    def __init__(self, r_address: Sequence[int], r_word: Sequence[int]) -> None:
        self.r_address = r_address  # byte offset into the section
        self.r_word = r_word  # symbolnum | pcrel << 24 | length << 25 | extern << 27 | type << 28

    def __len__(self) -> int:
        return len(self.r_address)


def r_word(symbolnum: int, *, pcrel: bool, length: int, extern: bool, kind: int) -> int:
    """The second word of ``relocation_info``; *length* is log2 bytes.

    Raises:
        FieldOverflow: a value does not fit its bits of it.
    """
    narrow(symbolnum, 24, "r_symbolnum", "a relocation")
    narrow(length, 2, "r_length", "a relocation")
    narrow(kind, 4, "r_type", "a relocation")
    return symbolnum | pcrel << 24 | length << 25 | extern << 27 | kind << 28


def read_relocations(raw: BytesLike) -> Relocations:
    """The ``relocation_info`` records of *raw*; a partial record at the end is ignored."""
    words = column("I", raw[: len(raw) // RELOCATION_INFO.size * RELOCATION_INFO.size])
    return Relocations(r_address=words[0::2], r_word=words[1::2])


def write_relocations(relocations: Relocations, where: str = "a relocation table") -> Pieces:
    """The table as ``relocation_info`` records; *where* names it in complaints.

    Raises:
        FieldOverflow: a value does not fit its field.
    """

    def label(index: int) -> str:
        return f"{where}: relocation {index}"

    places = checked_array("I", relocations.r_address, "r_address", label)
    words = checked_array("I", relocations.r_word, "r_word", label)
    return Pieces(RELOCATION_INFO.size * len(relocations), partial(_records, places, words))


def _records(places: array[int], words: array[int]) -> Iterator[BytesLike]:
    """``relocation_info`` records of two columns."""
    for begin in range(0, len(places), RECORDS_AT_ONCE):
        chunk = slice(begin, begin + RECORDS_AT_ONCE)
        records = array("I", bytes(RELOCATION_INFO.size * len(places[chunk])))
        records[0::2], records[1::2] = places[chunk], words[chunk]
        yield column_bytes(records)
