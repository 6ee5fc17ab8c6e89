"""What a linker wrote at a relocated place: the reader of what relocations ask it to write.

A linker writes an address whole, or its page into one instruction and the rest into another. Where it can it relaxes:
``adrp`` and what follows become ``adr`` and a no-operation, and a load from the GOT becomes an addition. A field that
was written tells what it tells of the target; together the fields of one symbol tell where it is.
"""

from __future__ import annotations

from enum import Enum, auto

from stubgen.common.row import Row

PAGE = 4096  # bytes; what adrp counts in, whatever the system's pages are (Arm ARM, ADRP)
NOP = 0xD503201F


class Says(Enum):
    """What a field tells of the address that was written."""

    ADDRESS = auto()
    PAGE = auto()  # the address less its low 12 bits
    LOW = auto()  # the low 12 bits
    GOT_PAGE = auto()  # PAGE, of the address or of its entry in the GOT
    GOT_LOW = auto()  # LOW of the entry in the GOT
    GOT_ENTRY = auto()  # ADDRESS of the entry in the GOT
    IMPORT = auto()  # a pointer to what a library supplies
    THREAD = auto()  # some bits of the distance from the thread pointer
    NOTHING = auto()  # relaxed away: the neighbour tells


class Form(Enum):
    """The kinds of fields that more than one relocation fills."""

    BRANCH26 = auto()
    BRANCH19 = auto()
    BRANCH14 = auto()
    ADRP = auto()
    GOT_ADRP = auto()
    ADR = auto()
    LOW12 = auto()  # add, or a load or store whose immediate counts in its size
    GOT_LOW12 = auto()
    LITERAL = auto()  # ldr of what lies within 1 MiB
    GOT_LITERAL = auto()
    THREAD_HIGH = auto()  # add of bits 12 to 23 of the distance from the thread pointer
    THREAD_LOW = auto()  # add, load or store of bits 0 to 11
    THREAD_ADRP = auto()  # GOT_ADRP of a descriptor or a distance, or movz of bits 16 to 31
    THREAD_GOT_LOW12 = auto()  # GOT_LOW12 of either, or movk of bits 0 to 15
    THREAD_NONE = auto()  # the rest of a call of a descriptor, or a no-operation
    WORD64 = auto()
    RELATIVE64 = auto()
    RELATIVE32 = auto()
    GOT_RELATIVE32 = auto()


SIZES = {Form.WORD64: 8, Form.RELATIVE64: 8}
"""Bytes of a field; 4 for the others."""

BRANCH_MASKS = {
    Form.BRANCH26: (0xFC000000, 0, 26),
    Form.BRANCH19: (0xFF00001F, 5, 19),
    Form.BRANCH14: (0xFFF8001F, 5, 14),
}
"""Form -> the instruction's other bits, the immediate's first bit and its width."""

_BRANCH = 0x14000000
_ADRP_MASK, _ADRP = 0x9F000000, 0x90000000
_ADR = 0x10000000
_ADD_MASK, _ADD = 0xFFC00000, 0x91000000
_LITERAL_MASK, _LITERAL = 0x3B000000, 0x18000000
_UNSIGNED_OFFSET_MASK, _UNSIGNED_OFFSET = 0x3B000000, 0x39000000
_IMMEDIATE12 = 0xFFF << 10
_MOV_MASK, _MOVZ, _MOVK = 0xFFE00000, 0xD2800000, 0xF2800000
_VECTOR, _OPC_HIGH = 1 << 26, 1 << 23


class Field(Row):
    """What one field tells."""

    says: Says
    value: int  # bytes
    mask: int = 0  # THREAD: the bits of the distance that it tells
    name: bytes = b""  # IMPORT
    or_whole: bool = False  # PAGE, GOT_PAGE: or ADDRESS, where no other field tells the low bits


def read_field(form: Form, before: int, after: int, place: int) -> Field | None:
    """What the linker wrote at virtual address *place*; None if it is not the field of that instruction.

    *before* is what the object has there, *after* what the linked image has.
    """
    reader = _READERS.get(form)
    return reader(before, after, place) if reader is not None else _read_branch(form, before, after, place)


def _read_branch(form: Form, before: int, after: int, place: int) -> Field | None:
    others, first, width = BRANCH_MASKS[form]
    if after == NOP:
        return Field(Says.NOTHING, 0)  # GNU ld's call of a weak function that nothing defines
    if (before ^ after) & others:
        return None
    return Field(Says.ADDRESS, place + 4 * signed(after >> first, width))


def _read_adrp(before: int, after: int, place: int) -> Field | None:
    return _read_page(Says.PAGE, before, after, place)


def _read_got_adrp(before: int, after: int, place: int) -> Field | None:
    return _read_page(Says.GOT_PAGE, before, after, place)


def _read_page(says: Says, before: int, after: int, place: int) -> Field | None:
    if after == NOP:
        return Field(Says.NOTHING, 0)
    if (before ^ after) & 0x1F:
        return None
    if after & _ADRP_MASK == _ADRP:
        return Field(says, (place & -PAGE) + PAGE * _adr_immediate(after))
    field = _read_adr(before, after, place)
    if field is not None and not field.value % PAGE:  # GNU ld's way around erratum 843419 of the Cortex-A53
        return Field(says, field.value, or_whole=True)
    return field


def _read_adr(before: int, after: int, place: int) -> Field | None:
    if after & _ADRP_MASK != _ADR or (before ^ after) & 0x1F:
        return None
    return Field(Says.ADDRESS, place + _adr_immediate(after))


def _read_low(before: int, after: int, place: int) -> Field | None:
    if not (before ^ after) & ~_IMMEDIATE12:
        return Field(Says.LOW, (after >> 10 & 0xFFF) << _scale(before))
    if after == NOP:
        return Field(Says.NOTHING, 0)
    return _read_relaxed(before, after, place, Says.ADDRESS)


def _read_got_low(before: int, after: int, place: int) -> Field | None:
    if not (before ^ after) & ~_IMMEDIATE12:
        return Field(Says.GOT_LOW, (after >> 10 & 0xFFF) << 3)
    if after & _ADD_MASK == _ADD and not (before ^ after) & 0x3FF:
        return Field(Says.LOW, after >> 10 & 0xFFF)
    if after == NOP:
        return Field(Says.NOTHING, 0)
    return _read_relaxed(before, after, place, Says.GOT_ENTRY)


def _read_relaxed(before: int, after: int, place: int, loaded: Says) -> Field | None:
    """One instruction where the object has two; *loaded* is what the place is that it loads from."""
    if (before ^ after) & 0x1F:
        return None
    if after & _ADRP_MASK == _ADR:
        return Field(Says.ADDRESS, place + _adr_immediate(after))
    if after & _LITERAL_MASK == _LITERAL and before & _ADD_MASK != _ADD:
        return Field(loaded, place + 4 * signed(after >> 5, 19))
    return None


def _read_thread_high(before: int, after: int, place: int) -> Field | None:
    if (before ^ after) & ~_IMMEDIATE12:
        return None
    return Field(Says.THREAD, (after >> 10 & 0xFFF) << 12, 0xFFF000)


def _read_thread_low(before: int, after: int, place: int) -> Field | None:
    if (before ^ after) & ~_IMMEDIATE12:
        return None
    return Field(Says.THREAD, (after >> 10 & 0xFFF) << _scale(before), 0xFFF)


def _read_thread_adrp(before: int, after: int, place: int) -> Field | None:
    if after & _MOV_MASK == _MOVZ | 1 << 21 and not (before ^ after) & 0x1F:
        return Field(Says.THREAD, (after >> 5 & 0xFFFF) << 16, 0xFFFF0000)
    return _read_page(Says.GOT_PAGE, before, after, place)


def _read_thread_got_low(before: int, after: int, place: int) -> Field | None:
    if after & _MOV_MASK == _MOVK:  # into x0 where the object loads the descriptor's function into another register
        return Field(Says.THREAD, after >> 5 & 0xFFFF, 0xFFFF)
    if (before ^ after) & ~_IMMEDIATE12:
        return None
    return Field(Says.GOT_LOW, (after >> 10 & 0xFFF) << 3)


def _read_thread_none(before: int, after: int, place: int) -> Field | None:
    return Field(Says.NOTHING, 0) if after == NOP or not (before ^ after) & ~_IMMEDIATE12 else None


def _read_literal(before: int, after: int, place: int) -> Field | None:
    if (before ^ after) & 0xFF00001F:
        return None
    return Field(Says.ADDRESS, place + 4 * signed(after >> 5, 19))


def _read_got_literal(before: int, after: int, place: int) -> Field | None:
    field = _read_literal(before, after, place)
    return None if field is None else field._replace(says=Says.GOT_ENTRY)


def _read_relative64(before: int, after: int, place: int) -> Field:
    return Field(Says.ADDRESS, place + signed(after, 64))


def _read_relative32(before: int, after: int, place: int) -> Field:
    return Field(Says.ADDRESS, place + signed(after, 32))


def _read_got_relative32(before: int, after: int, place: int) -> Field:
    return Field(Says.GOT_ENTRY, place + signed(after, 32))


_READERS = {
    Form.ADRP: _read_adrp,
    Form.GOT_ADRP: _read_got_adrp,
    Form.ADR: _read_adr,
    Form.LOW12: _read_low,
    Form.GOT_LOW12: _read_got_low,
    Form.LITERAL: _read_literal,
    Form.GOT_LITERAL: _read_got_literal,
    Form.THREAD_HIGH: _read_thread_high,
    Form.THREAD_LOW: _read_thread_low,
    Form.THREAD_ADRP: _read_thread_adrp,
    Form.THREAD_GOT_LOW12: _read_thread_got_low,
    Form.THREAD_NONE: _read_thread_none,
    Form.RELATIVE64: _read_relative64,
    Form.RELATIVE32: _read_relative32,
    Form.GOT_RELATIVE32: _read_got_relative32,
}


def veneer_of(form: Form, after: int, place: int) -> int | None:
    """Where the instruction is that linkers moved from *place* to get around erratum 843419; None if *after* is none.

    A branch stands in its place, and behind it there is one back (``is_back``). It is the load or the store behind an
    ``adrp`` that ends a page. Measured: GNU ld 2.40, gold, lld 19.
    """
    others, first, width = BRANCH_MASKS[Form.BRANCH26]
    if form not in (Form.LOW12, Form.GOT_LOW12, Form.THREAD_GOT_LOW12) or after & others != _BRANCH:
        return None
    return place + 4 * signed(after >> first, width)


def is_back(word: int, at: int, place: int) -> bool:
    """Whether *word* at virtual address *at* is the branch from a veneer to what is behind *place*."""
    others, first, width = BRANCH_MASKS[Form.BRANCH26]
    return word & others == _BRANCH and at + 4 * signed(word >> first, width) == place + 4


def signed(value: int, bits: int) -> int:
    """The low *bits* of *value* as a signed number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _adr_immediate(word: int) -> int:
    """immhi:immlo of ``adr`` and ``adrp``."""
    return signed((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21)


def _scale(word: int) -> int:
    """log2 of the bytes in which the 12-bit immediate of an addition, a load or a store counts."""
    if word & _UNSIGNED_OFFSET_MASK != _UNSIGNED_OFFSET:
        return 0
    return 4 if word & _VECTOR and word & _OPC_HIGH and not word >> 30 else word >> 30
