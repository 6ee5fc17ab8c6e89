"""The structure of an ELF stub object. Twin of ``verify_macho``.

What decides what a linker makes of the stubs is held against what ``emit_elf`` writes: a relocation that changes
the code, a section that is not executable or a constant that others may preempt is as wrong as a wrong instruction.
"""

from __future__ import annotations

from stubgen.common.columns import field_column
from stubgen.elf import constants as c
from stubgen.elf.reader import Section, Symbols
from stubgen.elf.records import SYM, Sym
from stubgen.elf.relocations import R_AARCH64_ABS64, Relocations, write_relocations
from stubgen.elf.unwind import leaf_frames
from stubgen.errors import VerificationRefusal
from stubgen.image import Image
from stubgen.image.elf import ElfImage
from stubgen.image.identity import identity_in
from stubgen.stub.sections_elf import FRAMES, RESOLVERS, SECTIONS, STACK, TEXT, frames_of
from stubgen.stub.structure import Structure, first_stray, symbol_name
from stubgen.stub.trampoline import template

_SAME_WORDS = (1, 4, 5)
"""Of a symbol's 4-byte words those that all stubs have alike: st_info to st_shndx, and st_size."""


def structure(image: Image, name: str) -> Structure:
    """What the stub object *image* holds.

    Raises:
        VerificationRefusal: something is not as a stub object has it; the message says what.
    """
    assert isinstance(image, ElfImage)  # noqa: S101  # verify() pairs them
    file = image.file
    text, symtab, symbols = file.section(TEXT), file.section_of_type(c.SHT_SYMTAB), file.symbols
    if text is None or symtab is None or symbols is None:
        raise VerificationRefusal(f"{name}: has no .text or no symbol table: it is not a stub object")
    if not file.section(STACK):
        raise VerificationRefusal(f"{name}: has no .note.GNU-stack: the patch would get an executable stack")
    first, bti = symtab.header.sh_info, bool(image.features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    stride = len(template(bti).code)
    stop = len(symbols)
    while stop > first and symbols.entry(stop - 1).st_shndx != text.number:
        stop -= 1
    anchor = Sym(0, c.STB_GLOBAL << 4 | c.STT_FUNC, c.STV_DEFAULT, text.number, 0, stride)
    anchors = stop > first and symbols.entry(stop - 1)._replace(st_name=0, st_value=0) == anchor
    stub = Sym(0, c.STB_WEAK << 4 | c.STT_FUNC, c.STV_HIDDEN, text.number, 0, stride)
    table = symbols.raw[SYM.size * first : SYM.size * stop]
    of_stubs = table[: len(table) - SYM.size * anchors]
    in_reach = text.number < c.SHN_LORESERVE  # of st_shndx, where others mean something else
    stray = first_stray(of_stubs, SYM.pack(stub, name), _SAME_WORDS) if in_reach else 0
    if stray is not None:
        what = f"{symbol_name(symbols, first + stray)} is not a weak hidden function of {stride} bytes"
        raise VerificationRefusal(f"{name}: is not a stub object: {what}")
    for section in file.sections:
        row = SECTIONS.get(section.name)
        held = (section.header.sh_type, section.header.sh_flags, section.header.sh_addralign)
        if row is not None and held != (row.sh_type, row.sh_flags, row.sh_addralign):
            raise VerificationRefusal(f"{name}: {section.name} has another type, flags or alignment than it must")
    slots = _slots(image, symbols, stop, name)
    _check_relocations(image, symtab, text, _resolvers(image, bti, name), name)
    starts = field_column("I", table, SYM.size, SYM.offset("st_name"))
    values = field_column("Q", table, SYM.size, SYM.offset("st_value"))
    return Structure(symbols.strings, starts, values, file.content(text), bti, slots, identity_in(image))


def _slots(image: ElfImage, symbols: Symbols, first: int, name: str) -> dict[bytes, int]:
    """The constants, from symbol *first* on; absolute symbols stand among them."""
    file, slots = image.file, {}
    for index in range(first, len(symbols)):
        number = symbols.st_shndx[index]
        if number == symbols.absolute:
            continue
        home = file.sections[number] if 0 < number < len(file.sections) else None
        size = SECTIONS[home.name].slot_size if home and home.name in SECTIONS else 0
        held = (symbols.st_info[index], symbols.st_other[index], symbols.st_size[index])
        if home is None or not size or held != (c.STB_GLOBAL << 4 | c.STT_OBJECT, c.STV_HIDDEN, size):
            raise VerificationRefusal(f"{name}: {symbol_name(symbols, index)} is neither a stub nor a slot")
        content, start = file.content(home), symbols.st_value[index]
        if start % size or start + size > len(content):
            raise VerificationRefusal(f"{name}: slot {symbol_name(symbols, index)} does not lie in its section")
        first_word = 8 if home.name in RESOLVERS else 0  # a descriptor's resolver, which the linker fills in
        slots[symbols.name(index)] = int.from_bytes(content[start + first_word : start + size], "little")
    return slots


def _resolvers(image: ElfImage, bti: bool, name: str) -> dict[str, Section]:
    """Section of TLS descriptors -> that with their resolver, for those that there are."""
    found = {}
    for title, wanted in RESOLVERS.items():
        resolver, descriptors = image.file.section(wanted.section), image.file.section(title)
        if (resolver is None) != (descriptors is None):
            raise VerificationRefusal(f"{name}: has TLS descriptors without their resolver, or the other way round")
        if resolver is not None:
            if image.file.content(resolver) != wanted.code(bti):
                raise VerificationRefusal(f"{name}: the resolver of its TLS descriptors is not what it must be")
            found[title] = resolver
    return found


def _check_relocations(
    image: ElfImage, symtab: Section, text: Section, resolvers: dict[str, Section], name: str
) -> None:
    """Unwind entries for all the code, and relocations for those and the TLS descriptors alone."""
    file, symbols = image.file, image.file.symbols
    assert symbols is not None  # noqa: S101  # structure() has refused
    beginnings = {symbols.entry(index)[1:5]: index for index in range(min(symtab.header.sh_info, len(symbols)))}

    def number(section: Section) -> int:
        return beginnings.get((c.STT_SECTION, 0, section.number, 0), 0)

    sizes = {number(section): section.header.sh_size for section in (text, *resolvers.values())}
    bti = bool(image.features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    holding = frames_of(((title, number(section)) for title, section in resolvers.items()), bti)
    frames, allowed = leaf_frames(sizes, holding)
    wanted = {FRAMES: allowed}
    for title, resolver in resolvers.items():
        descriptors, size = file.section(title), SECTIONS[title].slot_size
        count = len(file.content(descriptors)) // size if descriptors else 0  # as far as the file has it
        starts = range(0, size * count, size)
        wanted[title] = Relocations(starts, [number(resolver)] * count, [R_AARCH64_ABS64] * count, [0] * count)
    for section in file.sections:
        if section.header.sh_type in (c.SHT_RELA, c.SHT_REL, c.SHT_CREL):
            at = section.header.sh_info
            target = file.sections[at].name if at < len(file.sections) else ""
            expected = wanted.pop(target, None)
            strange = section.header.sh_type != c.SHT_RELA or section.header.sh_link != symtab.number
            if strange or expected is None or file.content(section) != bytes(write_relocations(expected)):
                raise VerificationRefusal(f"{name}: {section.name} changes something that no linker must change")
    held = file.section(FRAMES)
    if held is None or file.content(held) != frames or any(map(len, wanted.values())):
        raise VerificationRefusal(f"{name}: its unwind entries or TLS descriptors are not those of its code")
