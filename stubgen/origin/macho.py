"""What a linked Mach-O patch defines, where it lies, and what runs when it is loaded. Twin of ``elf``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from stubgen.common.view import uleb128
from stubgen.image import Kind
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.origin.symbols import Constructor, Content, Symbol, Target

_CHAINED_TARGET = (1 << 36) - 1
"""DYLD_CHAINED_PTR_64 and _64_OFFSET: the low 36 bits of a pointer are what it points to."""
_OF_LITERALS = ("__TEXT,__literals", "__TEXT,__const")
"""Where ld64.lld and zig's linker put constants of 4, 8 and 16 bytes, whatever their sections are called."""


def symbols(image: MachOImage) -> Iterator[Symbol]:
    """Every named definition of an object or a linked image but a debugger's entries."""
    table, held = image.file.symbols, image.file.sections
    if table is None:
        return
    for index, n_type in enumerate(table.n_type):
        where, ordinal = n_type & c.N_TYPE, table.n_sect[index]
        common = where == c.N_UNDF and n_type & c.N_EXT and table.n_value[index]
        if n_type & c.N_STAB or (where not in (c.N_SECT, c.N_ABS) and not common):
            continue
        section = held[ordinal - 1] if where == c.N_SECT and 0 < ordinal <= len(held) else None
        flags = section.header.flags if section else 0
        code = flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS)
        thread_local = flags & c.SECTION_TYPE in c.THREAD_LOCAL_TYPES
        plain = Kind.DATA if section or common else Kind.ABSOLUTE
        segment, _, title = section.name.partition(",") if section else ("", "", "")
        name = table.name(index)
        if name and not name.startswith((b"ltmp", b"l_", b"L")):  # the assembler's and the compiler's labels
            yield Symbol(
                name=name,
                section=section.name if section else "",
                address=0 if common else table.n_value[index],
                size=0,
                kind=Kind.THREAD_LOCAL if thread_local else Kind.FUNCTION if code else plain,
                static=not n_type & (c.N_EXT | c.N_PEXT),
                weak=bool(table.n_desc[index] & c.N_WEAK_DEF),
                exported=bool(n_type & c.N_EXT and not n_type & c.N_PEXT),
                file=b"",
                writable=bool(common) or (segment == "__DATA" and title != "__const"),
            )


def sections(image: MachOImage) -> Iterator[tuple[str, int, int, bool]]:
    """Name, virtual address, size in bytes of each section, and whether its content is merged."""
    for section in image.file.sections:
        if section.header.size:
            merged = section.header.flags & c.SECTION_TYPE in c.LITERAL_TYPES or section.name == "__TEXT,__eh_frame"
            yield section.name, section.header.addr, section.header.size, merged


def object_sections(image: MachOImage) -> Iterator[str]:
    """The names of an object's sections in memory that hold something, and of what linkers make of them."""
    for section in image.file.sections:
        if section.header.size and not section.header.flags & c.S_ATTR_DEBUG:
            yield section.name
            if section.header.flags & c.SECTION_TYPE in c.LITERAL_TYPES:
                yield from _OF_LITERALS


def contents(image: MachOImage) -> Iterator[Content]:
    """The bytes of what an object defines, each up to the next symbol."""
    table, held = image.file.symbols, image.file.sections
    if table is None:
        return
    tables = {section.ordinal: rows.r_address for section, rows in image.file.relocations()}
    places = cache(lambda ordinal: sorted(tables.get(ordinal, ())))
    for index, n_type in enumerate(table.n_type):
        ordinal, address = table.n_sect[index], table.n_value[index]
        if n_type & c.N_STAB or n_type & c.N_TYPE != c.N_SECT or not 0 < ordinal <= len(held):
            continue
        section = held[ordinal - 1]
        header, end = section.header, image.maximum_size(address)
        # The linker takes literals apart, and writes Objective-C's tables anew.
        if header.flags & c.SECTION_TYPE in c.LITERAL_TYPES or ",__objc_" in section.name or end is None:
            continue
        start = address - header.addr
        raw = image.file.content(section)[max(start, 0) : start + min(end, header.size - start)]
        if len(raw):
            yield Content(
                name=table.name(index),
                static=not n_type & (c.N_EXT | c.N_PEXT),
                code=bool(header.flags & c.S_ATTR_PURE_INSTRUCTIONS),
                content=bytes(raw),
                start=start,
                relocated=partial(places, ordinal),
            )


def constructors(image: MachOImage) -> Iterator[Constructor]:
    """What dyld calls once it has loaded the image: ``__mod_init_func`` and ``__init_offsets``."""
    base = next((s.vmaddr for s in image.file.segments if s.segname.startswith(b"__TEXT\0")), 0)
    chained = any(command.cmd == c.LC_DYLD_CHAINED_FIXUPS for command in image.file.commands)
    for section in image.file.sections:
        kind, raw = section.header.flags & c.SECTION_TYPE, image.file.content(section)
        width = {c.S_MOD_INIT_FUNC_POINTERS: 8, c.S_INIT_FUNC_OFFSETS: 4}.get(kind, 0)
        for at in range(0, len(raw), width) if width else ():
            value = int.from_bytes(raw[at : at + width], "little")
            if kind == c.S_INIT_FUNC_OFFSETS:
                value += base
            elif chained:
                value &= _CHAINED_TARGET
                value += base if value < base else 0
            yield Constructor(section.header.addr + at, value)


def target(image: MachOImage, symbol: Symbol) -> Target | None:
    """The instructions of an object's function *symbol*, and which of them the linker may change."""
    section = image.file.section(symbol.section)
    end = image.maximum_size(symbol.address)
    if section is None or end is None or not section.header.flags & c.S_ATTR_PURE_INSTRUCTIONS:
        return None
    start = section.header.addr
    size = min(end, start + section.header.size - symbol.address) // 4 * 4
    content = image.file.content(section)[symbol.address - start : symbol.address - start + size]
    changed = {address - symbol.address for address in _hinted(image)}
    for owner, relocations in image.file.relocations():
        if owner.ordinal == section.ordinal:
            changed.update(start + offset - symbol.address & ~3 for offset in relocations.r_address)
    return Target(bytes(content), frozenset(changed))


def _hinted(image: MachOImage) -> Iterator[int]:
    """The addresses of an object's instructions that LC_LINKER_OPTIMIZATION_HINT lets the linker rewrite."""
    for command in image.file.commands:
        if command.cmd == c.LC_LINKER_OPTIMIZATION_HINT:
            offset, size = (
                int.from_bytes(image.file.view.bytes(command.offset + at, 4, "a hint"), "little") for at in (8, 12)
            )
            raw = bytes(image.file.view.bytes(offset, size, "the linker's hints"))
            position, where = 0, f"{image.name}: the linker's hints"
            while position < len(raw):
                kind, position = uleb128(raw, position, where)
                if not kind:
                    return
                count, position = uleb128(raw, position, where)
                for _ in range(count):
                    address, position = uleb128(raw, position, where)
                    yield address
