"""The sections of an ELF stub object, as ``emit`` writes them and ``verify`` wants them. Twin of ``sections_macho``."""

from __future__ import annotations

from typing import NamedTuple

from stubgen.common.columns import Content
from stubgen.elf import constants as c
from stubgen.elf.relocations import Relocations
from stubgen.elf.writer import Section


class Row(NamedTuple):
    """What a section's header says."""

    sh_type: int
    sh_flags: int
    sh_addralign: int  # bytes
    slot_size: int = 0  # bytes a slot; 0 where there are none


_CODE = c.SHF_ALLOC | c.SHF_EXECINSTR

TEXT, FRAMES, STACK, PROPERTY = ".text", ".eh_frame", ".note.GNU-stack", ".note.gnu.property"
CONSTANTS, DESCRIPTORS, RESOLVER = ".rodata", ".data.rel.ro", ".text.tlsdesc"

SECTIONS = {
    TEXT: Row(c.SHT_PROGBITS, _CODE, 4),
    FRAMES: Row(c.SHT_PROGBITS, c.SHF_ALLOC, 8),
    STACK: Row(c.SHT_PROGBITS, 0, 1),
    PROPERTY: Row(c.SHT_NOTE, c.SHF_ALLOC, 8),
    CONSTANTS: Row(c.SHT_PROGBITS, c.SHF_ALLOC, 8, slot_size=8),
    DESCRIPTORS: Row(c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_WRITE, 16, slot_size=16),  # the constant is the second half
    RESOLVER: Row(c.SHT_PROGBITS, _CODE, 4),
}
"""Section -> its header. The writer's own, the symbol table and the like, are not among them."""


def section(name: str, content: Content, relocations: Relocations | None = None) -> Section:
    """The section called *name*, to be written."""
    row = SECTIONS[name]
    return Section(name, row.sh_type, row.sh_flags, content, row.sh_addralign, relocations)
