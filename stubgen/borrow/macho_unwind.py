"""The unwind entries of a Mach-O object by the function, in both of its tables. Twin of ``borrow.unwind``."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.borrow.atoms import Atoms, Use
from stubgen.common.row import Row
from stubgen.errors import MalformedInput, UnsupportedInput
from stubgen.macho import constants as c
from stubgen.macho.records import COMPACT_UNWIND_ENTRY


class Entry(Row):
    """One entry, and what stands before it in its section and belongs to it."""

    content: bytes
    start: int  # virtual address in the object
    uses: Sequence[Use]
    head: tuple[int, int] = (0, 0)
    """``__eh_frame``: from where to where its common information entry lies (LSB Core, "DWARF Extensions")."""


def compact_entries(atoms: Atoms) -> dict[int, list[Entry]]:
    """Number of an atom -> its entries of ``__LD,__compact_unwind``.

    Raises:
        MalformedInput: one does not say which function it is about.
    """
    section = atoms.file.section("__LD,__compact_unwind")
    found: dict[int, list[Entry]] = {}
    if section is None:
        return found
    raw, size = bytes(atoms.file.content(section)), COMPACT_UNWIND_ENTRY.size
    by_entry: dict[int, list[Use]] = {}
    for use in atoms.uses_in(section):
        by_entry.setdefault((use.address - section.header.addr) // size, []).append(use)
    for number in range(len(raw) // size):
        start = section.header.addr + number * size
        uses = by_entry.get(number, [])
        function = next((atoms.meant(use) for use in uses if use.address == start), None)
        if function is None:
            raise MalformedInput(f"{atoms.title}: {section.name}+{number * size:#x} does not say whose it is")
        found.setdefault(function.number, []).append(Entry(raw[number * size : (number + 1) * size], start, uses))
    return found


def needs_frame(entry: Entry) -> bool:
    """Whether a compact entry says that the one in ``__eh_frame`` counts."""
    encoding = COMPACT_UNWIND_ENTRY.read(entry.content).encoding
    return encoding & c.UNWIND_ARM64_MODE_MASK == c.UNWIND_ARM64_MODE_DWARF


def frame_entries(atoms: Atoms) -> dict[int, list[Entry]]:
    """Number of an atom -> its frame description entries in ``__TEXT,__eh_frame``.

    Raises:
        MalformedInput: the entries do not fit.
        UnsupportedInput: one says without a relocation which function it is about, as compilers did before 2013.
    """
    section = atoms.file.section("__TEXT,__eh_frame")
    found: dict[int, list[Entry]] = {}
    if section is None:
        return found
    raw, base = bytes(atoms.file.content(section)), section.header.addr
    uses = {use.address: use for use in atoms.uses_in(section)}
    ends: dict[int, int] = {}
    position = 0
    while position + 4 <= len(raw):
        length = int.from_bytes(raw[position : position + 4], "little")
        if not length:
            break
        end = position + 4 + length
        if length == 0xFFFFFFFF or length < 4 or end > len(raw):
            raise MalformedInput(f"{atoms.title}: {section.name}+{position:#x}: an entry does not fit")
        back = int.from_bytes(raw[position + 4 : position + 8], "little")
        if not back:
            ends[position] = end
        else:
            cie = position + 4 - back
            function = uses.get(base + position + 8)
            home = None if function is None else atoms.meant(function)
            if cie not in ends or home is None:
                raise UnsupportedInput(
                    f"{atoms.title}: {section.name}+{position:#x} does not say by a relocation whose it is"
                )
            both = (*range(base + cie, base + ends[cie]), *range(base + position, base + end))
            inside = [uses[at] for at in both if at in uses]
            found.setdefault(home.number, []).append(
                Entry(raw[position:end], base + position, inside, (base + cie, base + ends[cie]))
            )
        position = end
    return found
