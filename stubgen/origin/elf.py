"""What a linked ELF patch defines, where it lies, and what runs when it is loaded. Twin of ``macho``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from itertools import chain

from stubgen.common.aarch64 import UNTAGGED
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile
from stubgen.elf.relocations import R_AARCH64_ABS64, R_AARCH64_PREL64, R_AARCH64_RELATIVE
from stubgen.image import Kind
from stubgen.image.elf import ElfImage
from stubgen.origin.symbols import Constructor, Content, Symbol, Target

_KINDS = {c.STT_FUNC: Kind.FUNCTION, c.STT_GNU_IFUNC: Kind.IFUNC, c.STT_TLS: Kind.THREAD_LOCAL}
_DOUBLEWORDS = (R_AARCH64_ABS64, R_AARCH64_PREL64)
_WITH_BYTES = (c.STT_OBJECT, c.STT_FUNC)
_NO_DEFINITIONS = (c.STT_SECTION, c.STT_FILE)


def symbols(image: ElfImage) -> Iterator[Symbol]:
    """Every named definition of an object or a linked image but mapping symbols, local ones with their file."""
    file = image.file
    table = file.symbols or file.dynamic_symbols
    if table is None:
        return
    tls = next((s.p_vaddr for s in file.segments if s.p_type == c.PT_TLS), 0)
    source, forced = b"", False
    rows = zip(table.names(), table.st_info, table.st_other, table.st_shndx, table.st_value, table.st_size, strict=True)
    for spelling, info, other, shndx, value, size in rows:
        kind, bind = info & 0xF, info >> 4
        if kind == c.STT_FILE:
            source = spelling
            # GNU ld takes the visibility from hidden symbols that it makes local, and puts a nameless file before them
            forced = not source
        if shndx == c.SHN_UNDEF or kind in _NO_DEFINITIONS:
            continue
        name = spelling.partition(b"@")[0] or spelling
        if not name or (name.startswith((b"$x", b"$d")) and name[2:3] in (b"", b".")):
            continue
        section = file.sections[shndx] if shndx < len(file.sections) else None
        title, flags = (section.name, section.header.sh_flags) if section else ("", 0)
        plain = Kind.FUNCTION if flags & c.SHF_EXECINSTR else Kind.ABSOLUTE if shndx == table.absolute else Kind.DATA
        hidden = other & 3 in (c.STV_INTERNAL, c.STV_HIDDEN)  # GCC's TLS wrappers are internal
        yield Symbol(
            name=name,
            section=title,
            address=(value & UNTAGGED if section else value) + (tls if kind == c.STT_TLS else 0),
            size=size,
            kind=_KINDS.get(kind, plain),
            static=bind == c.STB_LOCAL and not hidden and not forced,
            weak=bind == c.STB_WEAK,
            exported=bind != c.STB_LOCAL and not hidden,
            file=source if bind == c.STB_LOCAL else b"",
            writable=bool(flags & c.SHF_WRITE) and not title.startswith(".data.rel.ro"),
        )


def sections(image: ElfImage) -> Iterator[tuple[str, int, int, bool]]:
    """Name, virtual address, size in bytes of each section in memory, and whether its content is merged."""
    for section in image.file.sections:
        header = section.header
        if header.sh_flags & c.SHF_ALLOC and header.sh_size:
            merged = bool(header.sh_flags & c.SHF_MERGE) or section.name == ".eh_frame"
            yield section.name, header.sh_addr, header.sh_size, merged


def object_sections(image: ElfImage) -> Iterator[str]:
    """The names of an object's sections in memory that hold something."""
    yield from (s.name for s in image.file.sections if s.header.sh_flags & c.SHF_ALLOC and s.header.sh_size)


def contents(image: ElfImage) -> Iterator[Content]:
    """The bytes of what an object defines, where its symbol says how many there are."""
    file, table, held = image.file, image.file.symbols, image.file.sections
    if table is None:
        return
    places = cache(lambda number: sorted(chain.from_iterable(t.r_offset for t in file.relocated.get(number, ()))))
    rows = zip(table.names(), table.st_info, table.st_shndx, table.st_value, table.st_size, strict=True)
    for name, info, number, start, size in rows:
        if info & 0xF not in _WITH_BYTES or not 0 < number < len(held) or not size:
            continue
        flags = held[number].header.sh_flags
        raw = file.content(held[number])[start : start + size]
        if flags & c.SHF_ALLOC and len(raw) == size:
            yield Content(
                name=name,
                static=info >> 4 == c.STB_LOCAL,
                code=bool(flags & c.SHF_EXECINSTR),
                content=bytes(raw),
                start=start,
                relocated=partial(places, number),
            )


def constructors(image: ElfImage) -> Iterator[Constructor]:
    """What the dynamic loader calls: DT_INIT, DT_INIT_ARRAY, and at the end DT_FINI_ARRAY, DT_FINI."""
    tags = image.file.dynamic.tags if image.file.dynamic else {}
    for at_end, single, table, table_size in (
        (False, c.DT_INIT, c.DT_INIT_ARRAY, c.DT_INIT_ARRAYSZ),
        (True, c.DT_FINI, c.DT_FINI_ARRAY, c.DT_FINI_ARRAYSZ),
    ):
        if tags.get(single):
            yield Constructor(tags[single], tags[single], at_end)
        if tags.get(table) and tags.get(table_size):
            yield from _array(image.file, tags[table], tags[table_size], at_end=at_end)


def _array(file: ElfFile, start: int, size: int, *, at_end: bool) -> Iterator[Constructor]:
    """The functions to which the pointers at virtual address *start* lead, *size* bytes of them."""
    relocated = _relocated(file, start, start + size)
    raw = file.read_at(start, size // 8 * 8, "an array of initialisers")
    for at in range(0, len(raw), 8):
        address = relocated.get(start + at, int.from_bytes(raw[at : at + 8], "little"))
        if address not in (0, (1 << 64) - 1):
            yield Constructor(start + at, address, at_end)


def _relocated(file: ElfFile, start: int, end: int) -> dict[int, int]:
    """Place -> what the dynamic loader writes there before it adds the load base, from *start* to *end*."""
    found = {}
    table = file.dynamic_symbols
    for relocations in file.dynamic_relocations():
        rows = zip(relocations.r_offset, relocations.kind, relocations.symbol, relocations.r_addend, strict=True)
        for place, kind, symbol, addend in rows:
            if start <= place < end and kind == R_AARCH64_RELATIVE:
                found[place] = addend
            elif start <= place < end and kind == R_AARCH64_ABS64 and table is not None and symbol < len(table):
                found[place] = table.entry(symbol).st_value + addend
    return found


def target(image: ElfImage, symbol: Symbol) -> Target | None:
    """The instructions of an object's function *symbol*, and which of them the linker may change."""
    file = image.file
    for section in file.sections:
        header = section.header
        code = header.sh_flags & c.SHF_EXECINSTR and header.sh_type == c.SHT_PROGBITS
        if section.name == symbol.section and symbol.size and code:
            content = file.content(section)[symbol.address : symbol.address + symbol.size]
            changed = set[int]()
            for relocations in file.relocated.get(section.number, ()):
                for offset, kind in zip(relocations.r_offset, relocations.kind, strict=True):
                    at = offset - symbol.address
                    changed.update((at & ~3, at + 4 & ~3) if at & 3 or kind in _DOUBLEWORDS else (at,))
            if len(content) == symbol.size:
                return Target(bytes(content), frozenset(changed))
    return None
