"""The structure of a Mach-O stub object. Twin of ``verify_elf``."""

from __future__ import annotations

from array import array

from stubgen.common.columns import field_column, same
from stubgen.errors import VerificationRefusal
from stubgen.image import Image
from stubgen.image.identity import identity_in
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho.reader import Section, Symbols
from stubgen.macho.records import NLIST_64, RELOCATION_INFO, Nlist64
from stubgen.macho.relocations import write_relocations
from stubgen.macho.unwind import leaf_frames
from stubgen.stub.sections_macho import CONSTANTS, SECTIONS, TEXT, UNWIND
from stubgen.stub.structure import Structure, first_stray, symbol_name
from stubgen.stub.trampoline import template

_SAME_WORDS = (1,)
"""Of a symbol's 4-byte words that which all stubs have alike: n_type to n_desc."""


def structure(image: Image, name: str) -> Structure:
    """What the stub object *image* holds.

    Raises:
        VerificationRefusal: something is not as a stub object has it; the message says what.
    """
    assert isinstance(image, MachOImage)  # noqa: S101  # verify() pairs them
    file = image.file
    text, symbols, ranges = file.section(TEXT), file.symbols, file.dysymtab
    if text is None or symbols is None or ranges is None:
        raise VerificationRefusal(f"{name}: has no {TEXT} or no symbol table: it is not a stub object")
    if not file.header.flags & c.MH_SUBSECTIONS_VIA_SYMBOLS:
        raise VerificationRefusal(f"{name}: lacks MH_SUBSECTIONS_VIA_SYMBOLS")
    first, count = ranges.iextdefsym, ranges.nextdefsym
    if first + count > len(symbols):
        raise VerificationRefusal(f"{name}: LC_DYSYMTAB counts more symbols than LC_SYMTAB")
    stop = first + count
    while stop > first and symbols.entry(stop - 1).n_sect != text.ordinal:
        stop -= 1
    anchor = Nlist64(0, c.N_SECT | c.N_EXT, text.ordinal, 0, 0)
    anchors = stop > first and symbols.entry(stop - 1)._replace(n_strx=0, n_value=0) == anchor
    stub = Nlist64(0, c.N_SECT | c.N_EXT | c.N_PEXT, text.ordinal, c.N_WEAK_DEF, 0)
    table = symbols.raw[NLIST_64.size * first : NLIST_64.size * stop]
    of_stubs = table[: len(table) - NLIST_64.size * anchors]
    stray = first_stray(of_stubs, NLIST_64.pack(stub, name), _SAME_WORDS)
    if stray is not None:
        what = f"{symbol_name(symbols, first + stray)} is not a weak private function in __text"
        raise VerificationRefusal(f"{name}: is not a stub object: {what}")
    for section in file.sections:
        row = SECTIONS.get(section.name)
        if row is None or (section.header.flags, section.header.align) != (row.flags, row.align):
            raise VerificationRefusal(f"{name}: {section.name} has other flags or another alignment than it must")
    slots = _slots(image, symbols, range(stop, first + count), name)
    starts = field_column("I", table, NLIST_64.size, NLIST_64.offset("n_strx"))
    values = field_column("Q", table, NLIST_64.size, NLIST_64.offset("n_value"))
    _check_unwinding(image, text, values, name)
    return Structure(symbols.strings, starts, values, file.content(text), False, slots, identity_in(image))


def _slots(image: MachOImage, symbols: Symbols, indexes: range, name: str) -> dict[bytes, int]:
    """The constants, whose symbols have *indexes*."""
    file, slots, size = image.file, {}, SECTIONS[CONSTANTS].slot_size
    for index in indexes:
        ordinal = symbols.n_sect[index]
        home = file.sections[ordinal - 1] if 0 < ordinal <= len(file.sections) else None
        held = (symbols.n_type[index], symbols.n_desc[index])
        if home is None or home.name != CONSTANTS or held != (c.N_SECT | c.N_EXT | c.N_PEXT, 0):
            raise VerificationRefusal(f"{name}: {symbol_name(symbols, index)} is neither a stub nor a slot")
        start = symbols.n_value[index] - home.header.addr
        if start % size or not 0 <= start <= home.header.size - size:
            raise VerificationRefusal(f"{name}: slot {symbol_name(symbols, index)} does not lie in its section")
        slots[symbols.name(index)] = int.from_bytes(file.content(home)[start : start + size], "little")
    return slots


def _check_unwinding(image: MachOImage, text: Section, values: array[int], name: str) -> None:
    """An unwind entry for each stub, and relocations for those alone; the code begins at address 0."""
    file = image.file
    entries, wanted = leaf_frames(values, len(template(bti=False).code), text.ordinal)
    unwind = file.section(UNWIND)
    if text.header.addr or not same(b"" if unwind is None else file.content(unwind), entries):
        raise VerificationRefusal(f"{name}: its unwind entries are not those of its code")
    for section in file.sections:
        count = len(wanted) if section == unwind else 0
        start, size = section.header.reloff, RELOCATION_INFO.size * count
        held = file.view.bytes(start, size, f"the relocations of {section.name}")
        if section.header.nreloc != count or (count and not same(held, write_relocations(wanted))):
            raise VerificationRefusal(f"{name}: {section.name} has relocations that it must not have")
