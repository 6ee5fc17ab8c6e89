"""Reads a bound copy back and holds it against its original, before anybody links it.

The edits are many and small; what they must never do is the same for all: the sections of the copy are those of the
original, data has other bytes where a relocation was and nowhere else, and relocations name symbols that are there.
An ELF section whose header and bytes are the original's is not looked into: a large object has thousands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any

from stubgen.common.differences import Differences
from stubgen.common.row import Row
from stubgen.elf import constants as e
from stubgen.errors import MalformedInput
from stubgen.image import Image
from stubgen.image.opening import open_image

WIDTH = 8  # bytes that a relocation changes at most


class Held(Row):
    """A bound copy, read back."""

    image: Image
    wrote_code: bool
    """Whether a section of code has other bytes than the original's."""


def hold_against(original: Image, content: bytes) -> Held:
    """*content*, a bound copy of *original*, as it was read back.

    Raises:
        MalformedInput: its structure is broken, or it has other data; the message says where.
    """
    copy = open_image(content, original.name)
    before, after = _file(original), _file(copy)
    if [section.name for section in before.sections] != [section.name for section in after.sections]:
        raise MalformedInput(f"{original.name}: its bound copy has other sections: the object cannot be edited")
    alike = _alike(before, after) if original.format == "elf" else frozenset[int]()
    if alike:
        after.share_relocations(before, alike)
    _refuse_outside(original, ())
    _refuse_outside(copy, alike)
    wrote_code = False
    pairs = zip(before.sections, after.sections, strict=True)
    for one, other in (pair for pair in pairs if pair[0].number not in alike) if alike else pairs:
        number = _number(original, one)
        old, new = before.content(one), after.content(other)
        if _is_data(original, one.header) and not _is_same(old, new, _places(original, number)):
            raise MalformedInput(
                f"{original.name}: its bound copy has other bytes in {one.name}: the object cannot be edited"
            )
        wrote_code |= _is_code(original, one.header) and bytes(old) != bytes(new)
    return Held(copy, wrote_code)


def _alike(before: Any, after: Any) -> frozenset[int]:
    """The numbers of the sections that are the same in two ELF files: header, place and bytes."""
    differences = Differences(before.view.data, after.view.data)
    return frozenset(
        one.number
        for one, other in zip(before.sections, after.sections, strict=True)
        if one == other
        and (one.header.sh_type == e.SHT_NOBITS or not differences.touch(one.header.sh_offset, one.header.sh_size))
    )


def _file(image: Image) -> Any:
    """The reader of *image*, of either format."""
    return image.file  # type: ignore[attr-defined]  # which Image does not promise


def _number(image: Image, section: Any) -> int:
    """What relocations and symbols call *section* by."""
    return int(section.number if image.format == "elf" else section.ordinal)


def _refuse_outside(image: Image, alike: Collection[int]) -> None:
    """See that no relocation lies outside of its section, those aside of a table that is *alike* for one that is.

    Raises:
        MalformedInput: one does.
    """
    file, elf = _file(image), image.format == "elf"
    by_number = {_number(image, section): section for section in file.sections}
    for holder, rows in file.relocations():
        section = by_number.get(holder.header.sh_info) if elf else holder
        places = rows.r_offset if elf else rows.r_address
        if section is None or not len(places):
            continue
        if alike and holder.number in alike and section.number in alike:
            continue
        header, last = section.header, max(places)
        if last >= (header.sh_size if elf else header.size) and not _is_compressed(image, header):
            raise MalformedInput(f"{image.name}: a relocation at {last:#x} lies outside {section.name}")


def _places(image: Image, number: int) -> list[int]:
    """Where relocations change section *number*, in any order."""
    file = _file(image)
    tables: Iterable[Sequence[int]]
    if image.format == "elf":
        tables = (rows.r_offset for rows in file.relocated.get(number, ()))
    else:
        tables = (rows.r_address for holder, rows in file.relocations() if holder.ordinal == number)
    return list(chain.from_iterable(tables))


def _is_compressed(image: Image, header: Any) -> bool:
    """Whether relocations count within what the section holds once it is unpacked: debug information under ``-gz``."""
    return image.format == "elf" and bool(header.sh_flags & e.SHF_COMPRESSED)


def _is_data(image: Image, header: Any) -> bool:
    if image.format == "elf":
        in_memory = header.sh_flags & (e.SHF_ALLOC | e.SHF_EXECINSTR) == e.SHF_ALLOC
        return bool(in_memory and header.sh_type == e.SHT_PROGBITS)
    from stubgen.macho import constants as m

    code = m.S_ATTR_PURE_INSTRUCTIONS | m.S_ATTR_SOME_INSTRUCTIONS | m.S_ATTR_DEBUG
    return not header.flags & code


def _is_code(image: Image, header: Any) -> bool:
    if image.format == "elf":
        return bool(header.sh_flags & e.SHF_EXECINSTR)
    from stubgen.macho import constants as m

    return bool(header.flags & m.S_ATTR_PURE_INSTRUCTIONS)


def _is_same(old: memoryview, new: memoryview, relocated: Sequence[int]) -> bool:
    """Whether *new* has the bytes of *old* but where a relocation changes them, and perhaps more at its end."""
    if len(new) < len(old):
        return False
    at = 0
    if not relocated:
        return bytes(old) == bytes(new[: len(old)])
    for place in (*sorted(relocated), len(old)):
        if bytes(old[at:place]) != bytes(new[at:place]):
            return False
        at = max(at, place + WIDTH)
    return True
