"""Where in a Mach-O object a symbol is referred to. Twin of ``listing.uses_elf``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from stubgen.image.macho import MachOImage
from stubgen.listing.symbols import Use
from stubgen.macho import constants as c
from stubgen.macho.reader import Symbols
from stubgen.macho.relocations import ARM64_RELOC_ADDEND, ARM64_RELOC_BRANCH26, NAMES

_SYMBOL, _EXTERN, _KIND = (
    0xFFFFFF,
    1 << 27,
    28,
)  # of r_word: the symbol's index, whether it is one, the type's first bit


def uses(image: MachOImage, name: bytes) -> Iterator[Use]:
    """Each relocation of code and data that names symbol *name*."""
    table = image.file.symbols
    if table is None:
        return
    named = {index for index, spelling in enumerate(table.names()) if spelling == name}
    functions = _functions(table)
    for section, read in image.file.relocations():
        if section.header.flags & c.S_ATTR_DEBUG or section.name.startswith(("__DWARF,", "__LD,")):
            continue
        addend = 0
        for offset, word in zip(read.r_address, read.r_word, strict=True):
            kind = word >> _KIND
            if kind == ARM64_RELOC_ADDEND:
                addend = (word & _SYMBOL ^ 0x800000) - 0x800000  # 24 bits with a sign
                continue
            if word & _EXTERN and word & _SYMBOL in named:
                title = NAMES.get(kind, f"relocation {kind}")
                function = _at(functions, section.ordinal, section.header.addr + offset)
                yield Use(section.name, offset, function, title, addend, kind == ARM64_RELOC_BRANCH26)
            addend = 0


def _functions(table: Symbols) -> list[tuple[int, int, bytes]]:
    """Section, address and name of every symbol that is no label of the assembler's, ascending."""
    found = []
    for index, n_type in enumerate(table.n_type):
        if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT:
            name = table.name(index)
            if not name.startswith((b"ltmp", b"l_", b"L")):
                found.append((table.n_sect[index], table.n_value[index], name))
    return sorted(found)


def _at(functions: list[tuple[int, int, bytes]], section: int, address: int) -> bytes:
    """What is called at *address* of *section*; empty where nothing is."""
    at = bisect_right(functions, (section, address, b"\xff")) - 1
    return functions[at][2] if at >= 0 and functions[at][0] == section else b""
