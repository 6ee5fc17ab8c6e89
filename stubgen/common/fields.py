"""Checked fields: a value that does not fit raises, and names field, value and limit."""

from __future__ import annotations

from stubgen.errors import FieldOverflow


def narrow(value: int, bits: int, field: str, where: str, *, signed: bool = False) -> int:
    """*value*, after a check that it fits a field of *bits* bits.

    Raises:
        FieldOverflow: it does not; the message names file, field, value and limit.
    """
    low, high = (-1 << bits - 1, 1 << bits - 1) if signed else (0, 1 << bits)
    if not low <= value < high:
        raise FieldOverflow(f"{where}: {field} is {value:#x}, which does not fit its {bits} bits")
    return value


def align_up(value: int, alignment: int) -> int:
    """The next multiple of *alignment* (bytes, a power of two or 0 for none) at or above *value*."""
    return value if alignment <= 1 else (value + alignment - 1) & -alignment
