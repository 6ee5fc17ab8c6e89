"""Where two files differ, by blocks: most of what is edited stays as it was, and need not be read again."""

from __future__ import annotations

from bisect import bisect_left

from stubgen.common.view import BytesLike

BLOCK = 1 << 12
"""Bytes of a block."""
BLOCKS = 1 << 4
"""Blocks that are compared at once: while they are in the processor's cache, and most of them are equal."""


class Differences:
    """Where two runs of bytes differ, in whole blocks; where the shorter one ends, they do from there on."""

    def __init__(self, one: BytesLike, other: BytesLike) -> None:
        first, second = memoryview(one), memoryview(other)
        self._end = min(len(first), len(second))
        self._blocks: list[int] = []  # the numbers of those that differ, ascending
        step = BLOCK * BLOCKS
        for start in range(0, self._end, step):
            held, there = (bytes(view[start : start + step]) for view in (first, second))
            if held != there:
                self._blocks += [
                    (start + at) // BLOCK
                    for at in range(0, len(held), BLOCK)
                    if held[at : at + BLOCK] != there[at : at + BLOCK]
                ]

    def touch(self, start: int, size: int) -> bool:
        """Whether any of the *size* bytes at byte *start* may differ: those that do not are surely equal."""
        if not size:
            return False
        position = bisect_left(self._blocks, start // BLOCK)
        last = (start + size - 1) // BLOCK
        return start + size > self._end or (position < len(self._blocks) and self._blocks[position] <= last)
