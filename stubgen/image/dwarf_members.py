"""Where DWARF says that a member or a base class lies in a record (DWARF 5, 5.7.3 and 5.7.6)."""

from __future__ import annotations

from stubgen.common.view import uleb128
from stubgen.image.dwarf import IN_UNIT
from stubgen.image.dwarf_entries import BLOCK, BLOCKS, EXPRESSION

_DUP, _DEREFERENCE, _PLUS, _MINUS = 0x12, 0x06, 0x22, 0x1C
_PLUS_CONSTANT, _CONSTANT, _CONSTANT_1, _CONSTANT_2, _LITERAL = 0x23, 0x10, 0x08, 0x0A, 0x30  # 7.7.1, DW_OP_*
_LITERALS = 32
_FROM_TABLE, _TO_BASE = bytes((_DUP, _DEREFERENCE)), bytes((_MINUS, _DEREFERENCE, _PLUS))


def member_place(form: int, raw: bytes) -> int | None:
    """Byte offset in the record by a ``DW_AT_data_member_location``; None where it says none, or in another way.

    DWARF 2 and 3 spell it as an expression. That of a virtual base class loads it from the table of virtual functions:
    then what is added to the table's address, a negative number.
    """
    if not raw or form in IN_UNIT:
        return None
    if form not in (BLOCK, EXPRESSION, *BLOCKS):
        return int.from_bytes(raw, "little")
    if raw[0] == _PLUS_CONSTANT:
        return uleb128(raw, 1, "debug_info")[0]
    if raw.startswith(_FROM_TABLE) and raw.endswith(_TO_BASE):
        return _below(raw[len(_FROM_TABLE) : -len(_TO_BASE)])
    return None


def _below(pushed: bytes) -> int | None:
    """What is subtracted, negative: GCC writes it as short as it gets, clang in one form."""
    if not pushed:
        return None
    operation, operand = pushed[0], pushed[1:]
    if _LITERAL <= operation < _LITERAL + _LITERALS:
        return _LITERAL - operation
    if operation == _CONSTANT:
        return -uleb128(pushed, 1, "debug_info")[0]
    return -int.from_bytes(operand, "little") if operation in (_CONSTANT_1, _CONSTANT_2) else None


def place_text(place: tuple[int, int, int]) -> str:
    """A place (byte, bits from there, bits) in words."""
    byte, bits, _ = place
    if byte < 0:
        return f"at the offset that its virtual table has at byte {byte}"
    return f"at byte {byte}" + (f", bit {bits}" if bits else "")
