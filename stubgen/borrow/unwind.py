"""``.eh_frame`` by the entry: which belong to which section of code, and a table of some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from stubgen.borrow.object import Piece, Relocation
from stubgen.common.row import Row
from stubgen.common.view import BytesLike
from stubgen.elf.reader import ElfFile
from stubgen.elf.relocations import Relocations
from stubgen.errors import MalformedInput


class Frame(Row):
    """A frame description entry, and the common information entry behind it (LSB Core, "DWARF Extensions")."""

    section: int  # the .eh_frame that it is in
    start: int  # byte offset
    end: int
    cie_start: int
    cie_end: int
    code: int  # index of the relocation that says where its function begins
    relocations: Sequence[int]  # indexes of all relocations of both


def frames(content: BytesLike, section: int, table: Relocations | None, name: str) -> Iterator[Frame]:
    """Every frame description entry of a relocatable ``.eh_frame``.

    Raises:
        MalformedInput: the entries do not fit, or one does not say which function it is about.
    """
    at = {} if table is None else {offset: index for index, offset in enumerate(table.r_offset)}
    ends: dict[int, int] = {}
    position = 0
    while position + 4 <= len(content):
        length = int.from_bytes(content[position : position + 4], "little")
        if not length:
            break
        end = position + 4 + length
        if length == 0xFFFFFFFF or length < 4 or end > len(content):
            raise MalformedInput(f"{name}: .eh_frame+{position:#x}: an entry does not fit")
        back = int.from_bytes(content[position + 4 : position + 8], "little")
        if not back:
            ends[position] = end
        else:
            cie = position + 4 - back
            if cie not in ends or position + 8 not in at:
                raise MalformedInput(f"{name}: .eh_frame+{position:#x}: an entry does not say whose it is")
            both = (*range(cie, ends[cie]), *range(position, end))
            used = tuple([at[offset] for offset in both if offset in at])
            yield Frame(section, position, end, cie, ends[cie], at[position + 8], used)
        position = end


def join_frames(
    live: Sequence[Frame],
    file: ElfFile,
    tables: Mapping[int, Relocations],
    relocation: Callable[[int, int], Relocation],
) -> list[Piece]:
    """A ``.eh_frame`` of the entries *live* for each one that any of them is from."""
    return [
        _joined([frame for frame in live if frame.section == number], file, tables[number], relocation)
        for number in sorted({frame.section for frame in live})
    ]


def _joined(
    live: Sequence[Frame], file: ElfFile, table: Relocations, relocation: Callable[[int, int], Relocation]
) -> Piece:
    """One of them."""
    number = live[0].section
    section = file.sections[number]
    content, made = file.content(section), bytearray()
    relocations: list[Relocation] = []
    at = {offset: index for index, offset in enumerate(table.r_offset)}

    def add(start: int, end: int) -> int:
        place = len(made)
        moved = [(offset, relocation(number, at[offset])) for offset in range(start, end) if offset in at]
        relocations.extend((place + offset - start, *rest[1:]) for offset, rest in moved)
        made.extend(content[start:end])
        return place

    cies: dict[int, int] = {}
    for frame in sorted(live, key=lambda frame: frame.start):
        if frame.cie_start not in cies:
            cies[frame.cie_start] = add(frame.cie_start, frame.cie_end)
        place = add(frame.start, frame.end)
        made[place + 4 : place + 8] = (place + 4 - cies[frame.cie_start]).to_bytes(4, "little")
    return Piece(number, section.name, section.header, bytes(made), relocations)
