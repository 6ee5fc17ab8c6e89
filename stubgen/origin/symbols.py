"""What ``elf`` and ``macho`` say of a patch's definitions, in one vocabulary."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stubgen.common.row import Row
from stubgen.image import Kind


class Symbol(NamedTuple):
    """One definition."""

    name: bytes
    section: str
    address: int  # virtual address; in an ELF object, byte offset into the section
    size: int  # bytes; 0 where the format does not say
    kind: Kind
    static: bool  # never visible to another object; a hidden one was, before the link
    weak: bool
    exported: bool  # the loader can find it by name, or could if it were linked as it is
    file: bytes  # the source file of a local symbol, where the table says
    writable: bool


class Constructor(NamedTuple):
    """A function that the loader calls when it loads the image, or unloads it."""

    place: int  # virtual address of the pointer to it; where there is none, its own
    address: int  # virtual address
    at_end: bool = False  # when it unloads it


class Content(NamedTuple):
    """The bytes of one definition of an object."""

    name: bytes
    static: bool
    code: bool
    content: bytes
    start: int  # byte offset in its section
    relocated: Callable[[], Sequence[int]]  # byte offsets in the section that relocations change, ascending

    @property
    def fixed(self) -> Iterator[tuple[int, int]]:
        """Byte offsets, from and up to, between which no relocation names a byte."""
        return fixed_ranges(self.start, len(self.content), self.relocated())


WIDTH = 8  # bytes that a relocation changes at most


def fixed_ranges(start: int, size: int, relocated: Sequence[int]) -> Iterator[tuple[int, int]]:
    """What no relocation names of *size* bytes at byte *start* of a section; *relocated*: offsets, ascending."""
    at = 0
    for place in relocated[bisect_left(relocated, start - WIDTH + 1) :]:
        if place >= start + size:
            break
        if place - start > at:
            yield at, place - start
        at = max(at, place - start + WIDTH)
    if at < size:
        yield at, size


class Target(Row):
    """A function's instructions in an object."""

    content: bytes
    changed: frozenset[int]  # byte offsets of the words that the linker may write to
