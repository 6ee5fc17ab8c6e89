"""Reads a bound copy back and holds it against its original, before anybody links it.

The edits are many and small; what they must never do is the same for all: the sections of the copy are those of the
original, data has other bytes where a relocation was and nowhere else, and relocations name symbols that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stubgen.elf.constants import SHF_COMPRESSED
from stubgen.errors import MalformedInput
from stubgen.image import Image
from stubgen.image.opening import open_image

WIDTH = 8  # bytes that a relocation changes at most


def hold_against(original: Image, content: bytes) -> Image:
    """*content*, a bound copy of *original*, as it was read back.

    Raises:
        MalformedInput: its structure is broken, or it has other data; the message says where.
    """
    copy = open_image(content, original.name)
    before, after = _file(original), _file(copy)
    if [section.name for section in before.sections] != [section.name for section in after.sections]:
        raise MalformedInput(f"{original.name}: its bound copy has other sections: the object cannot be edited")
    relocated = _relocated(original)
    _relocated(copy)
    for one, other in zip(before.sections, after.sections, strict=True):
        old, new = before.content(one), after.content(other)
        if _is_data(original, one.header) and not _is_same(old, new, relocated.get(_number(original, one), ())):
            raise MalformedInput(
                f"{original.name}: its bound copy has other bytes in {one.name}: the object cannot be edited"
            )
    return copy


def _file(image: Image) -> Any:
    """The reader of *image*, of either format."""
    return image.file  # type: ignore[attr-defined]  # which Image does not promise


def _number(image: Image, section: Any) -> int:
    """What relocations and symbols call *section* by."""
    return int(section.number if image.format == "elf" else section.ordinal)


def _relocated(image: Image) -> dict[int, list[int]]:
    """Where relocations change each section of data in memory, in any order; none of any section lies outside of it."""
    file, elf = _file(image), image.format == "elf"
    by_number = {_number(image, section): section for section in file.sections}
    relocated: dict[int, list[int]] = {}
    for holder, rows in file.relocations():
        section = by_number.get(holder.header.sh_info) if elf else holder
        places = rows.r_offset if elf else rows.r_address
        if section is None or not len(places):
            continue
        header, last = section.header, max(places)
        if last >= (header.sh_size if elf else header.size) and not _is_compressed(image, header):
            raise MalformedInput(f"{image.name}: a relocation at {last:#x} lies outside {section.name}")
        if _is_data(image, header):
            relocated.setdefault(_number(image, section), []).extend(places)
    return relocated


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
    if not relocated:
        return bytes(old) == bytes(new[: len(old)])
    for place in (*sorted(relocated), len(old)):
        if at < place and bytes(old[at:place]) != bytes(new[at:place]):
            return False
        at = max(at, place + WIDTH)
    return True
