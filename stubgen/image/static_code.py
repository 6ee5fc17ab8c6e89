"""The code of an object's static functions, to be held against that of a linked image."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from stubgen.common.row import Row


class StaticCode(Row):
    """A static function of an object."""

    name: bytes
    place: int  # as debug information has it
    content: bytes
    filled: tuple[tuple[int, int], ...]
    """Byte offset and size of each part that a linker fills in, or may write anew."""

    def is_that_of(self, linked: bytes) -> bool:
        """Whether a linker may have made *linked*, as many bytes, of it; code that it wrote all of tells nothing."""
        own, theirs = bytearray(self.content), bytearray(linked)
        for at, size in self.filled:
            own[at : at + size] = theirs[at : at + size] = bytes(size)
        return own == theirs and any(own)


class Span(Row):
    """Where in its section a function is: byte offsets."""

    start: int
    end: int
    name: bytes
    place: int


def code_at(content: memoryview, parts: Iterable[tuple[int, int]], spans: Iterable[Span]) -> Iterator[StaticCode]:
    """The functions of one section: those that overlap another one, which compilers never write, are left out.

    Args:
        content: of the section.
        parts: byte offset and size of each part that a linker fills in.
        spans: where the functions are.
    """
    filled = sorted(parts)
    before = Span(0, 0, b"", 0)
    code, own = b"", tuple[tuple[int, int], ...]()
    for span in sorted(spans):
        if span[:2] != before[:2]:
            if span.start < before.end:
                continue
            first, last = (bisect_left(filled, (at, 0)) for at in span[:2])
            own = tuple((at - span.start, min(size, span.end - at)) for at, size in filled[first:last])
            code, before = bytes(content[span.start : span.end]), span
        yield StaticCode(span.name, span.place, code, own)
