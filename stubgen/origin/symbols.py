"""What ``elf`` and ``macho`` say of a patch's definitions, in one vocabulary."""

from __future__ import annotations

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


class Target(Row):
    """A function's instructions in an object."""

    content: bytes
    changed: frozenset[int]  # byte offsets of the words that the linker may write to
