"""Reads a bound copy back and holds it against its original, before anybody links it.

The edits are many and small; what they must never do is the same for all: the sections of the copy are those of the
original, data has other bytes where a relocation was and nowhere else, and relocations name symbols that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stubgen.elf.constants import SHF_COMPRESSED
from stubgen.errors import MalformedInput
from stubgen.image import Image
from stubgen.image.opening import open_image

WIDTH = 8  # bytes that a relocation changes at most


def hold_against(original: Image, content: bytes) -> None:
    """Refuse *content*, a bound copy of *original*, where it is not one.

    Raises:
        MalformedInput: its structure is broken, or it has other data; the message says where.
    """
    copy = open_image(content, original.name)
    before, after = list(_sections(original)), list(_sections(copy))
    if [name for name, *_ in before] != [name for name, *_ in after]:
        raise MalformedInput(f"{original.name}: its bound copy has other sections: the object cannot be edited")
    for (name, data, old, relocated), (_, _, new, _) in zip(before, after, strict=True):
        if data and not _is_same(old, new, relocated):
            raise MalformedInput(
                f"{original.name}: its bound copy has other bytes in {name}: the object cannot be edited"
            )


def _sections(image: Image) -> Iterator[tuple[str, bool, memoryview, Sequence[int]]]:
    """Of each section its name, whether it is data in memory, its content, and where relocations change it."""
    file: Any = image.file  # type: ignore[attr-defined]  # of either format
    elf = image.format == "elf"
    relocated: dict[int, list[int]] = {}
    for section, rows in file.relocations():
        number = section.header.sh_info if elf else section.ordinal
        relocated.setdefault(number, []).extend(rows.r_offset if elf else rows.r_address)
    for section in file.sections:
        number, header = (section.number, section.header) if elf else (section.ordinal, section.header)
        places = sorted(relocated.get(number, ()))
        if places and not _is_compressed(image, header) and places[-1] >= (header.sh_size if elf else header.size):
            raise MalformedInput(f"{image.name}: a relocation at {places[-1]:#x} lies outside {section.name}")
        yield section.name, _is_data(image, header), file.content(section), places


def _is_compressed(image: Image, header: Any) -> bool:
    """Whether relocations count within what the section holds once it is unpacked: debug information under ``-gz``."""
    return image.format == "elf" and bool(header.sh_flags & SHF_COMPRESSED)


def _is_data(image: Image, header: Any) -> bool:
    if image.format == "elf":
        from stubgen.elf import constants as e

        in_memory = header.sh_flags & (e.SHF_ALLOC | e.SHF_EXECINSTR) == e.SHF_ALLOC
        return bool(in_memory and header.sh_type == e.SHT_PROGBITS)
    from stubgen.macho import constants as m

    code = m.S_ATTR_PURE_INSTRUCTIONS | m.S_ATTR_SOME_INSTRUCTIONS | m.S_ATTR_DEBUG
    return not header.flags & code


def _is_same(old: memoryview, new: memoryview, relocated: Sequence[int]) -> bool:
    """Whether *new* has the bytes of *old* but where a relocation changes them, and perhaps more at its end."""
    if len(new) < len(old):
        return False
    at = 0
    for place in (*relocated, len(old)):
        if at < place and bytes(old[at:place]) != bytes(new[at:place]):
            return False
        at = max(at, place + WIDTH)
    return True
