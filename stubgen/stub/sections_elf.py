"""The sections of an ELF stub object, as ``emit`` writes them and ``verify`` wants them. Twin of ``sections_macho``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stubgen.common import row
from stubgen.common.columns import Content
from stubgen.elf import constants as c
from stubgen.elf.relocations import Relocations
from stubgen.elf.unwind import Frame
from stubgen.elf.writer import Section
from stubgen.image.identity import ELF_SECTION
from stubgen.stub.trampoline import descriptor_resolver, host_descriptor_resolver, host_resolver_frame


class Row(row.Row):
    """What a section's header says."""

    sh_type: int
    sh_flags: int
    sh_addralign: int  # bytes
    slot_size: int = 0  # bytes a slot; 0 where there are none


_CODE = c.SHF_ALLOC | c.SHF_EXECINSTR

TEXT, FRAMES, STACK, PROPERTY = ".text", ".eh_frame", ".note.GNU-stack", ".note.gnu.property"
CONSTANTS, DESCRIPTORS, HOST_DESCRIPTORS = ".rodata", ".data.rel.ro", ".data.rel.ro.tlshost"
RESOLVER, HOST_RESOLVER = ".text.tlsdesc", ".text.tlshost"

SECTIONS = {
    TEXT: Row(c.SHT_PROGBITS, _CODE, 4),
    FRAMES: Row(c.SHT_PROGBITS, c.SHF_ALLOC, 8),
    STACK: Row(c.SHT_PROGBITS, 0, 1),
    PROPERTY: Row(c.SHT_NOTE, c.SHF_ALLOC, 8),
    ELF_SECTION: Row(c.SHT_NOTE, c.SHF_ALLOC, 4),
    CONSTANTS: Row(c.SHT_PROGBITS, c.SHF_ALLOC, 8, slot_size=8),
    DESCRIPTORS: Row(c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_WRITE, 16, slot_size=16),  # the constant is the second half
    HOST_DESCRIPTORS: Row(c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_WRITE, 8, slot_size=24),  # the last two thirds
    RESOLVER: Row(c.SHT_PROGBITS, _CODE, 4),
    HOST_RESOLVER: Row(c.SHT_PROGBITS, _CODE, 4),
}
"""Section -> its header. The writer's own, the symbol table and the like, are not among them."""


class Resolver(row.Row):
    """The code that TLS descriptors call, in a section of its own."""

    section: str
    code: Callable[[bool], bytes]  # with or without a landing pad
    frame: Callable[[bool], Frame] | None = None


RESOLVERS = {
    DESCRIPTORS: Resolver(RESOLVER, descriptor_resolver),
    HOST_DESCRIPTORS: Resolver(HOST_RESOLVER, host_descriptor_resolver, lambda bti: Frame(*host_resolver_frame(bti))),
}
"""Section of descriptors -> their resolver, to which the first word of each is relocated."""


def frames_of(resolvers: Iterable[tuple[str, int]], bti: bool) -> dict[int, Frame]:
    """Symbol index of a resolver's section -> its frame, for those of *resolvers*, by descriptors, that have one."""
    return {symbol: frame(bti) for title, symbol in resolvers if (frame := RESOLVERS[title].frame)}


def section(name: str, content: Content, relocations: Relocations | None = None) -> Section:
    """The section called *name*, to be written."""
    row = SECTIONS[name]
    return Section(name, row.sh_type, row.sh_flags, content, row.sh_addralign, relocations)
