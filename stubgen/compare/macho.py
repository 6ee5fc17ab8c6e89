"""A Mach-O object by the part, and what the fields of a Mach-O host lead to. Twin of ``compare.elf``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

from stubgen.common.columns import column
from stubgen.compare.fields import SIZES, Form, Says, read_field
from stubgen.compare.parts import HostPlaces, Imported, ObjectParts, Part, Sort, Target, Use
from stubgen.errors import MalformedInput
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.fixups import Bound, Fixups
from stubgen.macho.reader import Section
from stubgen.macho.relocations import Relocations

FORMS = {
    (r.ARM64_RELOC_BRANCH26, 4): Form.BRANCH26,
    (r.ARM64_RELOC_PAGE21, 4): Form.ADRP,
    (r.ARM64_RELOC_PAGEOFF12, 4): Form.LOW12,
    (r.ARM64_RELOC_GOT_LOAD_PAGE21, 4): Form.GOT_ADRP,
    (r.ARM64_RELOC_GOT_LOAD_PAGEOFF12, 4): Form.GOT_LOW12,
    (r.ARM64_RELOC_TLVP_LOAD_PAGE21, 4): Form.GOT_ADRP,
    (r.ARM64_RELOC_TLVP_LOAD_PAGEOFF12, 4): Form.GOT_LOW12,
    (r.ARM64_RELOC_POINTER_TO_GOT, 4): Form.GOT_RELATIVE32,
    (r.ARM64_RELOC_UNSIGNED, 8): Form.WORD64,
}
"""(Relocation, bytes that it fills) -> the field. A part with another one counts as changed."""
_DIFFERENCES = {4: Form.RELATIVE32, 8: Form.RELATIVE64}
"""Bytes of a difference of two symbols -> the field."""

_UNITS = {0x2: 1, 0x3: 4, 0x4: 8, 0xE: 16}
"""Types of sections that linkers merge -> bytes of an element; S_CSTRING_LITERALS are strings."""
_S_CSTRING_LITERALS = 0x2
_LABELS = (b"ltmp", b"l_", b"L", b"GCC_except_table", b"lCPI")
"""What assembler and compiler call what has no name in the source."""
_REFERRED_TO = (
    *("__const", "__data", "__bss", "__common", "__cstring", "__literal", "__ustring", "__thread_"),
    *("__eh_frame", "__gcc_except_tab"),
)
"""How the names of sections begin in which nothing counts that no code refers to; what unwinds is code's own."""
_COMPACT_UNWIND = "__LD,__compact_unwind"
_ENTRY = 32  # bytes of a compact unwind entry


class MachOParts(ObjectParts):
    """A relocatable Mach-O object, by the part."""

    def __init__(self, number: int, image: MachOImage, given_up: frozenset[bytes] = frozenset()) -> None:
        self.number = number
        self.given_up = given_up
        """Names that it defines, and that mean another object's definition all the same."""
        self.file = image.file
        symbols = image.file.symbols
        if symbols is None:
            raise MalformedInput(f"{image.name}: has no symbol table")
        self.symbols = symbols

    @cached_property
    def _relocations(self) -> dict[int, tuple[list[int], list[int], Relocations]]:
        """Section -> (offsets, ascending; which relocation each is; the table)."""
        found = {}
        for section, table in self.file.relocations():
            order = sorted(range(len(table)), key=lambda index: (table.r_address[index], index))
            found[section.ordinal] = [table.r_address[index] for index in order], order, table
        return found

    @cached_property
    def _covered(self) -> dict[int, list[Part]]:
        """Section -> its atoms, ascending: what lies between one symbol and the next."""
        starts: dict[tuple[int, int], list[int]] = {}
        for index, n_type in enumerate(self.symbols.n_type):
            if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT:
                starts.setdefault((self.symbols.n_sect[index], self.symbols.n_value[index]), []).append(index)
        ordered = sorted(starts)
        covered: dict[int, list[Part]] = {}
        for position, (ordinal, address) in enumerate(ordered):
            if not 0 < ordinal <= len(self.file.sections):
                continue
            section = self.file.sections[ordinal - 1]
            end = section.header.addr + section.header.size
            if position + 1 < len(ordered) and ordered[position + 1][0] == ordinal:
                end = ordered[position + 1][1]
            if address < end:
                part = self._part(section, address - section.header.addr, end - address, starts[ordinal, address])
                covered.setdefault(ordinal, []).append(part)
        return covered

    def _part(self, section: Section, start: int, size: int, indexes: Sequence[int]) -> Part:
        named = [i for i in indexes if not self.symbols.name(i).startswith(_LABELS)]
        local = not any(self.symbols.n_type[index] & (c.N_EXT | c.N_PEXT) for index in named)
        names = tuple(name for index in named if (name := self.symbols.name(index)) not in self.given_up)
        return Part(self.number, section.ordinal, start, size, _sort(section), names, local)

    def all(self) -> Iterable[Part]:
        return [part for parts in self._covered.values() for part in parts]

    def commons(self) -> Iterable[bytes]:
        symbols = self.symbols
        undefined = (i for i, kind in enumerate(symbols.n_type) if kind & (c.N_STAB | c.N_TYPE) == c.N_UNDF)
        return [symbols.name(index) for index in undefined if symbols.n_value[index]]

    def functions(self) -> Sequence[Part]:
        return [part for part in self.all() if part.sort is Sort.FUNCTION and part.names]

    def content(self, part: Part) -> memoryview:
        return self.file.content(self.file.sections[part.section - 1])[part.start : part.start + part.size]

    def uses(self, part: Part) -> Sequence[Use] | None:
        offsets, order, table = self._relocations.get(part.section, ([], [], None))
        if table is None:
            return ()
        found: list[Use] = []
        place, end = bisect_left(offsets, part.start), bisect_left(offsets, part.start + part.size)
        while place < end:
            use, taken = self._use(part, table, order[place : place + 2])
            if use is None or use.at + SIZES.get(use.form, 4) > part.size:
                return None
            found.append(use)
            place += taken
        return found

    def _use(self, part: Part, table: Relocations, indexes: Sequence[int]) -> tuple[Use | None, int]:
        """The field of the first relocation, and how many relocations it takes."""
        first, second = indexes[0], indexes[-1]
        kind, at = _kind(table, first), table.r_address[first] - part.start
        if kind == r.ARM64_RELOC_ADDEND:
            addend = table.r_word[first] & 0xFFFFFF
            addend -= (addend & 0x800000) << 1
            form = FORMS.get((_kind(table, second), _length(table, second)))
            return (None if form is None else Use(at, form, self._target(table, second, addend)), 2)
        if kind == r.ARM64_RELOC_SUBTRACTOR:
            return self._difference(part, table, first, second), 2
        form = FORMS.get((kind, _length(table, first)))
        if form is None:
            return None, 1
        addend = int.from_bytes(self._at(part, at, 8), "little", signed=True) if form is Form.WORD64 else 0
        return Use(at, form, self._target(table, first, addend)), 1

    def _difference(self, part: Part, table: Relocations, first: int, second: int) -> Use | None:
        """A field that holds how far one symbol is from another, which has to be in *part*."""
        size, at = _length(table, first), table.r_address[first] - part.start
        form, origin = _DIFFERENCES.get(size), self._target(table, first, 0)
        if form is None or origin.part != part or not table.r_word[second] >> 27 & 1:
            return None
        addend = int.from_bytes(self._at(part, at, size), "little", signed=True)
        return Use(at, form, self._target(table, second, addend), base=origin.offset - at)

    def _at(self, part: Part, at: int, size: int) -> memoryview:
        return self.content(part)[at : at + size]

    def _target(self, table: Relocations, index: int, addend: int) -> Target:
        number = table.r_word[index] & 0xFFFFFF
        if not table.r_word[index] >> 27 & 1:  # of a section: the whole address stands in place
            return self._at_address(addend)
        symbol = self.symbols.entry(number)
        name = self.symbols.strings.at(symbol.n_strx)
        if symbol.n_type & c.N_TYPE != c.N_SECT or self._is_descriptor(symbol.n_sect) or name in self.given_up:
            return Target(name, None, addend)
        found = self._at_address(symbol.n_value)
        return found._replace(offset=found.offset + addend)

    def _is_descriptor(self, ordinal: int) -> bool:
        """Whether a section holds what thread-locals are reached through; only their names are compared."""
        if not 0 < ordinal <= len(self.file.sections):
            return False
        kind = self.file.sections[ordinal - 1].header.flags & c.SECTION_TYPE
        return kind == c.S_THREAD_LOCAL_VARIABLES

    def _at_address(self, address: int) -> Target:
        for section in self.file.sections:
            if section.header.addr <= address < section.header.addr + section.header.size:
                part = self.part_at(section.ordinal, address - section.header.addr)
                return Target(b"", part, address - section.header.addr - part.start)
        raise MalformedInput(f"{self.file.name}: a relocation leads to {address:#x}, which is in no section")

    def descriptor(self, name: bytes) -> Part | None:
        return self._descriptors.get(name)

    @cached_property
    def _descriptors(self) -> dict[bytes, Part]:
        return {name: part for part in self.all() if self._is_descriptor(part.section) for name in part.names}

    def initial_value(self, part: Part) -> Part:
        if not self._is_descriptor(part.section):
            return part
        found = (use.target.part for use in self.uses(part) or () if use.at == c.TLV_OFFSET and not use.target.offset)
        return next(filter(None, found), part)

    def part_at(self, ordinal: int, offset: int) -> Part:
        """What lies at byte *offset* of section *ordinal*."""
        section = self.file.sections[ordinal - 1]
        kind = section.header.flags & c.SECTION_TYPE
        if kind in _UNITS:
            unit = _UNITS[kind]
            start, size = offset // unit * unit, unit
            if kind == _S_CSTRING_LITERALS:
                end = bytes(self.file.content(section)).find(b"\0", offset)
                size = (end if end >= 0 else section.header.size) + 1 - start
            return Part(self.number, ordinal, start, size, Sort.CONSTANT, (), True)
        parts = self._covered.get(ordinal, [])
        place = bisect_right(parts, offset, key=lambda part: part.start) - 1
        if place >= 0 and offset < parts[place].start + parts[place].size:
            return parts[place]
        return Part(self.number, ordinal, 0, section.header.size, _sort(section), (), True)

    def unreferenced(self) -> Iterable[Part]:
        for section in self.file.sections:
            segment, _, name = section.name.partition(",")
            named = name.startswith(_REFERRED_TO) or segment in ("__DWARF", "__LD")
            if not named and _sort(section) is not Sort.FUNCTION:
                yield Part(self.number, section.ordinal, 0, section.header.size, _sort(section), (), True)

    def neighbours(self, part: Part) -> Sequence[Part]:
        return ()  # each symbol's atom is moved on its own

    def attached(self, part: Part) -> Iterable[Part]:
        return self._exception_tables.get((part.section, part.start), ())

    @cached_property
    def _exception_tables(self) -> dict[tuple[int, int], list[Part]]:
        """Function (section, offset) -> its language-specific data, by ``__compact_unwind``."""
        section = self.file.section(_COMPACT_UNWIND)
        if section is None or section.ordinal not in self._relocations:
            return {}
        content, (_, order, table) = self.file.content(section), self._relocations[section.ordinal]
        functions: dict[int, tuple[int, int]] = {}
        data: dict[int, Part] = {}
        for index in order:
            at = table.r_address[index]
            entry, field = divmod(at, _ENTRY)
            if field in (0, c.COMPACT_UNWIND_LSDA):
                target = self._target(table, index, int.from_bytes(content[at : at + 8], "little", signed=True))
                if target.part is not None and field:
                    data[entry] = target.part
                elif target.part is not None:
                    functions[entry] = target.part.section, target.part.start + target.offset
        return {functions[entry]: [part] for entry, part in data.items() if entry in functions}


def _kind(table: Relocations, index: int) -> int:
    return table.r_word[index] >> 28


def _length(table: Relocations, index: int) -> int:
    """Bytes of the field."""
    return 1 << (table.r_word[index] >> 25 & 3)


def _sort(section: Section) -> Sort:
    flags = section.header.flags
    if flags & (c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS):
        return Sort.FUNCTION
    segment, _, name = section.name.partition(",")
    return Sort.CONSTANT if segment in ("__TEXT", "__DATA_CONST") or name == "__const" else Sort.VARIABLE


_ADRP_X16, _LDR_X16, _ADD_X16, _BR_X16 = 0x90000010, 0xF9400210, 0x91000210, 0xD61F0200
_INDEX_ENTRY = 12  # bytes of unwind_info_section_header_index_entry


class MachOPlaces(HostPlaces):
    """A linked Mach-O image, as far as its fields lead."""

    def __init__(self, image: MachOImage) -> None:
        super().__init__(image)
        self.file = image.file
        self.fixups = Fixups(image.file)

    def read(self, address: int, size: int) -> memoryview | None:
        for segment in self.file.segments:
            if segment.vmaddr <= address and address + size <= segment.vmaddr + segment.filesize:
                return self.file.view.bytes(address - segment.vmaddr + segment.fileoff, size, "what is compared")
        return None

    def initial_value(self, address: int) -> tuple[int, int | None]:
        return self.image.thread_template(address) or super().initial_value(address)

    def pointer(self, address: int) -> int | Imported | None:
        found = self.fixups.pointer(address)
        return Imported(*found) if isinstance(found, Bound) else found

    def holders(self, wanted: Collection[int], names: Collection[bytes]) -> Iterator[tuple[int, int | bytes]]:
        return self.fixups.holders(wanted, names)

    def step(self, address: int) -> int | Imported | None:
        raw = self.read(address, 12)
        return None if raw is None else self._step(address, column("I", raw))

    def _step(self, address: int, words: Sequence[int]) -> int | Imported | None:
        """Where a stub or a thunk of *words* leads; None if it is none."""
        page = read_field(Form.ADRP, _ADRP_X16, words[0], address)
        if page is None or page.says is not Says.PAGE or words[2] != _BR_X16:
            return None
        low = words[1] >> 10 & 0xFFF
        if words[1] & ~(0xFFF << 10) == _LDR_X16:
            return self.pointer(page.value + 8 * low)
        return page.value + low if words[1] & ~(0xFFF << 10) == _ADD_X16 else None

    def thread_entry(self, address: int) -> int | None:
        return None

    @property
    def thread_start(self) -> int:
        return 0

    def thread_template(self, value: int, size: int) -> int | None:
        return None

    def attached(self, address: int) -> Sequence[int]:
        table = self._exception_tables.get(address)
        return () if table is None else (table,)

    @cached_property
    def _exception_tables(self) -> dict[int, int]:
        """Virtual address of a function -> that of its language-specific data.

        ``<mach-o/compact_unwind_encoding.h>``, unwind_info_section_header_lsda_index_entry.
        """
        section = self.file.section("__TEXT,__unwind_info")
        raw = b"" if section is None else bytes(self.file.content(section))
        return dict(self._read_exception_tables(raw)) if len(raw) >= 28 else {}

    def _read_exception_tables(self, raw: bytes) -> Iterator[tuple[int, int]]:
        start, count = column("I", raw[20:28])
        index = column("I", raw[start : start + _INDEX_ENTRY * count])
        if len(index) < 3 * count or not count:
            return
        first, end = index[2], index[3 * count - 1]
        pairs = column("I", raw[first : first + (end - first) // 8 * 8])
        for function, table in zip(pairs[0::2], pairs[1::2], strict=False):
            yield self.fixups.base + function, self.fixups.base + table
