"""What an instruction leads to that has no relocation: the assembler filled it in, as both lie in one section.

LLVM's assembler does so for calls of static functions, GNU as for all local symbols.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stubgen.common.columns import column
from stubgen.compare.fields import BRANCH_MASKS, Form, signed

_ADR = (Form.ADR, 5, 19)  # of a multiple of 4
_LITERAL = (Form.LITERAL, 5, 19)
_BRANCHES = {form: (form, first, width) for form, (_, first, width) in BRANCH_MASKS.items()}

FORMS = {
    **dict.fromkeys((0x14, 0x15, 0x16, 0x17, 0x94, 0x95, 0x96, 0x97), _BRANCHES[Form.BRANCH26]),  # b, bl
    **dict.fromkeys((0x54, 0x34, 0x35, 0xB4, 0xB5), _BRANCHES[Form.BRANCH19]),  # b.cond, cbz, cbnz
    **dict.fromkeys((0x36, 0x37, 0xB6, 0xB7), _BRANCHES[Form.BRANCH14]),  # tbz, tbnz
    **dict.fromkeys((0x10, 0x30, 0x50, 0x70), _ADR),
    **dict.fromkeys((0x18, 0x1C, 0x58, 0x5C, 0x98, 0x9C), _LITERAL),  # ldr and ldrsw, of both kinds of registers
}
"""Arm ARM C4.1: an instruction's first byte -> the field that counts words from itself, its first bit and width."""

_BY_BYTE = [FORMS.get(byte) for byte in range(256)]


def filled_in(content: memoryview, data: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[int, Form, int]]:
    """Byte offset, field and byte offset of what it leads to, of each instruction of a section that leads anywhere.

    Args:
        content: the section's.
        data: where it holds none: from a byte offset to another, ascending.
    """
    ranges = iter(data)
    start, end = next(ranges, (len(content), len(content)))
    for number, word in enumerate(column("I", content[: len(content) & ~3])):
        found = _BY_BYTE[word >> 24]
        if found is None:
            continue
        at = 4 * number
        while at >= end and start < len(content):
            start, end = next(ranges, (len(content), len(content)))
        form, first, width = found
        distance = 4 * signed(word >> first, width)
        if distance and not start <= at < end:
            yield at, form, at + distance
