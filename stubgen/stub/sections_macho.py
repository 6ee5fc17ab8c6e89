"""The sections of a Mach-O stub object, as ``emit`` writes them and ``verify`` wants them. Twin of ``sections_elf``."""

from __future__ import annotations

from stubgen.common import row
from stubgen.common.columns import Content
from stubgen.image.identity import MACHO_SECTION
from stubgen.macho import constants as c
from stubgen.macho.relocations import Relocations
from stubgen.macho.writer import Section


class Row(row.Row):
    """What a section's header says."""

    flags: int
    align: int  # log2 bytes
    slot_size: int = 0  # bytes a slot; 0 where there are none


TEXT, UNWIND, CONSTANTS = "__TEXT,__text", "__LD,__compact_unwind", "__TEXT,__const"

SECTIONS = {
    TEXT: Row(c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS, 2),
    UNWIND: Row(c.S_ATTR_DEBUG, 3),
    CONSTANTS: Row(c.S_REGULAR, 3, slot_size=8),
    MACHO_SECTION: Row(c.S_ATTR_NO_DEAD_STRIP, 3),
}
"""Section -> its header; there are no others."""


def section(name: str, content: Content, relocations: Relocations | None = None) -> Section:
    """The section called *name*, to be written."""
    row, (segname, sectname) = SECTIONS[name], name.split(",")
    return Section(segname, sectname, row.flags, content, row.align, relocations)
