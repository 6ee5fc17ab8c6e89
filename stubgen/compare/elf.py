"""An ELF object by the part, and what the fields of an ELF host lead to. Twin of ``compare.macho``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

from stubgen.common.columns import column
from stubgen.compare.fields import SIZES, Form, Says, read_field
from stubgen.compare.near import filled_in
from stubgen.compare.parts import HostPlaces, Imported, ObjectParts, Part, Sort, Target, Use
from stubgen.compare.unwind import LinkedFrames, exception_tables
from stubgen.elf import constants as c
from stubgen.elf import relocations as r
from stubgen.elf.fixups import Bound, Fixups
from stubgen.elf.reader import Section
from stubgen.elf.relocations import Relocations
from stubgen.errors import MalformedInput
from stubgen.image.elf import ElfImage, is_mapping_symbol
from stubgen.symbols.versions import split_version

FORMS = {
    r.R_AARCH64_CALL26: Form.BRANCH26,
    r.R_AARCH64_JUMP26: Form.BRANCH26,
    r.R_AARCH64_CONDBR19: Form.BRANCH19,
    r.R_AARCH64_TSTBR14: Form.BRANCH14,
    r.R_AARCH64_ADR_PREL_PG_HI21: Form.ADRP,
    r.R_AARCH64_ADR_PREL_PG_HI21_NC: Form.ADRP,
    r.R_AARCH64_ADR_PREL_LO21: Form.ADR,
    r.R_AARCH64_ADD_ABS_LO12_NC: Form.LOW12,
    r.R_AARCH64_LDST8_ABS_LO12_NC: Form.LOW12,
    r.R_AARCH64_LDST16_ABS_LO12_NC: Form.LOW12,
    r.R_AARCH64_LDST32_ABS_LO12_NC: Form.LOW12,
    r.R_AARCH64_LDST64_ABS_LO12_NC: Form.LOW12,
    r.R_AARCH64_LDST128_ABS_LO12_NC: Form.LOW12,
    r.R_AARCH64_ADR_GOT_PAGE: Form.GOT_ADRP,
    r.R_AARCH64_LD64_GOT_LO12_NC: Form.GOT_LOW12,
    r.R_AARCH64_LD_PREL_LO19: Form.LITERAL,
    r.R_AARCH64_GOT_LD_PREL19: Form.GOT_LITERAL,
    r.R_AARCH64_ABS64: Form.WORD64,
    r.R_AARCH64_PREL64: Form.RELATIVE64,
    r.R_AARCH64_PREL32: Form.RELATIVE32,
    r.R_AARCH64_PLT32: Form.RELATIVE32,
    r.R_AARCH64_TLSLE_ADD_TPREL_HI12: Form.THREAD_HIGH,
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12: Form.THREAD_LOW,
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC: Form.THREAD_LOW,
    r.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21: Form.THREAD_ADRP,
    r.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: Form.THREAD_GOT_LOW12,
    r.R_AARCH64_TLSDESC_ADR_PAGE21: Form.THREAD_ADRP,
    r.R_AARCH64_TLSDESC_LD64_LO12: Form.THREAD_GOT_LOW12,
    r.R_AARCH64_TLSDESC_ADD_LO12: Form.THREAD_NONE,
    r.R_AARCH64_TLSDESC_CALL: Form.THREAD_NONE,
}
"""Relocation -> the field that it fills. A part with another one counts as changed."""


_REFERRED_TO = (
    *(".data", ".bss", ".rodata", ".tdata", ".tbss", ".lbss", ".ldata", ".lrodata", ".gnu.linkonce."),
    *(".eh_frame", ".gcc_except_table", ".note", ".comment", ".debug"),
)
"""How the names of sections begin in which nothing counts that no code refers to; what unwinds is code's own."""

_PAGE = r.R_AARCH64_ADR_PREL_PG_HI21
_LOADED = {
    _PAGE: 1,  # the page alone: the rest is in the load
    r.R_AARCH64_LDST8_ABS_LO12_NC: 1,
    r.R_AARCH64_LDST16_ABS_LO12_NC: 2,
    r.R_AARCH64_LDST32_ABS_LO12_NC: 4,
    r.R_AARCH64_LDST64_ABS_LO12_NC: 8,
    r.R_AARCH64_LDST128_ABS_LO12_NC: 16,
}
"""Relocations of the instructions of a load that names what it reads -> bytes."""

LITERAL_ALIGNMENT = 8
"""Bytes to which GCC aligns strings on this processor (``aarch64_constant_alignment``), ``-Os`` aside."""


class ElfParts(ObjectParts):
    """A relocatable ELF object, by the part."""

    def __init__(self, number: int, image: ElfImage, given_up: frozenset[bytes] = frozenset()) -> None:
        self.number = number
        self.given_up = given_up
        """Names that it defines, and that mean another object's definition all the same."""
        self.name = image.name
        self.file = image.file
        symbols = image.file.symbols
        if symbols is None:
            raise MalformedInput(f"{image.name}: has no symbol table")
        self.symbols = symbols
        self._filled: dict[int, list[tuple[int, Form, int]]] = {}

    @cached_property
    def _relocations(self) -> dict[int, tuple[list[int], list[int], Relocations]]:
        """Section -> (offsets, ascending; which relocation each is; the table)."""
        found = {}
        for section, table in self.file.relocations():
            order = sorted(range(len(table)), key=table.r_offset.__getitem__)
            found[section.header.sh_info] = [table.r_offset[index] for index in order], order, table
        return found

    @cached_property
    def _covered(self) -> dict[int, list[Part]]:
        """Section -> what its symbols cover, ascending; of those that overlap the first and largest."""
        spans: dict[tuple[int, int], list[int]] = {}
        for index, shndx in enumerate(self.symbols.st_shndx):
            kind = self.symbols.st_info[index] & 0xF
            covers = kind in (c.STT_FUNC, c.STT_OBJECT, c.STT_TLS, c.STT_NOTYPE) and self.symbols.st_size[index]
            if 0 < shndx < len(self.file.sections) and covers:
                spans.setdefault((shndx, self.symbols.st_value[index]), []).append(index)
        covered: dict[int, list[Part]] = {}
        for (shndx, start), indexes in sorted(spans.items()):
            parts = covered.setdefault(shndx, [])
            if not parts or parts[-1].start + parts[-1].size <= start:
                parts.append(self._part(shndx, start, indexes))
        return covered

    def _part(self, shndx: int, start: int, indexes: Sequence[int]) -> Part:
        names = tuple(name for i in indexes if (name := split_version(self.symbols.name(i))[0]) not in self.given_up)
        local = all(self.symbols.st_info[index] >> 4 == c.STB_LOCAL for index in indexes)
        size = max(self.symbols.st_size[index] for index in indexes)
        return Part(self.number, shndx, start, size, _sort(self.file.sections[shndx]), names, local)

    def all(self) -> Iterable[Part]:
        return [part for parts in self._covered.values() for part in parts]

    def commons(self) -> Iterable[bytes]:
        symbols = self.symbols
        common = (index for index, shndx in enumerate(symbols.st_shndx) if shndx == symbols.common)
        return [split_version(symbols.name(index))[0] for index in common]

    def functions(self) -> Sequence[Part]:
        return [part for part in self.all() if part.sort is Sort.FUNCTION]

    def content(self, part: Part) -> memoryview:
        return self.file.content(self.file.sections[part.section])[part.start : part.start + part.size]

    def uses(self, part: Part) -> Sequence[Use] | None:
        offsets, order, table = self._relocations.get(part.section, ([], [], None))
        near = self._near(part)
        if table is None:
            return near
        found: list[Use] = []
        for place in range(bisect_left(offsets, part.start), bisect_left(offsets, part.start + part.size)):
            index, kind = order[place], table.kind[order[place]]
            if kind == r.R_AARCH64_NONE:
                continue
            form = FORMS.get(kind)
            at = offsets[place] - part.start
            if form is None or at + SIZES.get(form, 4) > part.size:
                return None
            found.append(Use(at, form, self._target(table, index, form)))
        return sorted([*found, *near], key=lambda use: use.at) if near else found

    def _near(self, part: Part) -> list[Use]:
        """What *part* refers to outside of itself without a relocation."""
        if part.sort is not Sort.FUNCTION or len(self._covered.get(part.section, ())) < 2:
            return []  # most often a function has a section to itself
        filled = self._filled_in(part.section)
        found = []
        for place in range(bisect_left(filled, (part.start,)), bisect_left(filled, (part.start + part.size,))):
            at, form, there = filled[place]
            if not part.start <= there < part.start + part.size:
                target = self.part_at(part.section, there)
                found.append(Use(at - part.start, form, Target(b"", target, there - target.start)))
        return found

    def _filled_in(self, section: int) -> list[tuple[int, Form, int]]:
        """Offset, field and offset of what it leads to, of each such instruction, ascending."""
        if section not in self._filled:
            content = self.file.content(self.file.sections[section])
            near = filled_in(content, self._data_in(section, len(content)))
            self._filled[section] = [row for row in near if 0 <= row[2] < len(content)]
        return self._filled[section]

    def _data_in(self, section: int, end: int) -> list[tuple[int, int]]:
        """Where a section of code holds data, by the assembler's mapping symbols."""
        marks = sorted(self._marks.get(section, ()))
        ends = [*(at for at, _ in marks[1:]), end][: len(marks)]
        return [(at, after) for (at, is_data), after in zip(marks, ends, strict=True) if is_data]

    @cached_property
    def _marks(self) -> dict[int, list[tuple[int, bool]]]:
        """Section -> where data begins in it, and where instructions do."""
        symbols, found = self.symbols, dict[int, list[tuple[int, bool]]]()
        for index, info in enumerate(symbols.st_info):
            if not info and is_mapping_symbol(symbols.name(index)):
                is_data = symbols.name(index).startswith(b"$d")
                found.setdefault(symbols.st_shndx[index], []).append((symbols.st_value[index], is_data))
        return found

    def _target(self, table: Relocations, index: int, form: Form) -> Target:
        symbol, addend = self.symbols.entry(table.symbol[index]), table.r_addend[index]
        outside = not 0 < symbol.st_shndx < len(self.file.sections)
        if outside or (self.given_up and self.symbols.strings.at(symbol.st_name) in self.given_up):
            return Target(split_version(self.symbols.strings.at(symbol.st_name))[0], None, addend)
        if symbol.st_info & 0xF != c.STT_SECTION and symbol.st_size:
            part = self.part_at(symbol.st_shndx, symbol.st_value)
            return Target(b"", part, symbol.st_value - part.start + addend)
        # an addend of a field that counts from its own place may lead before what is meant
        part = self.part_at(symbol.st_shndx, symbol.st_value + addend)
        return Target(b"", part, symbol.st_value + addend - part.start, by_section=True)

    def part_at(self, shndx: int, offset: int) -> Part:
        """What lies at byte *offset* of section *shndx*."""
        parts = self._covered.get(shndx, [])
        place = bisect_right(parts, offset, key=lambda part: part.start) - 1
        if place >= 0 and offset < parts[place].start + parts[place].size:
            return parts[place]
        section = self.file.sections[shndx]
        flags, size, unit = section.header.sh_flags, section.header.sh_size, section.header.sh_entsize or 1
        start = 0
        if flags & c.SHF_MERGE and 0 <= offset < size:
            start = offset // unit * unit
            size = self._string_size(section, start, unit) if flags & c.SHF_STRINGS else unit
        elif 0 <= offset < size:
            start, size = self._number(shndx, offset) or self._literal(shndx, offset) or (start, size)
        return Part(self.number, shndx, start, size, _sort(section), (), True)

    def _number(self, shndx: int, offset: int) -> tuple[int, int] | None:
        """Start and bytes of the constant at byte *offset*, of those that nobody merges: GCC's numbers at ``-O0``.

        Code has its address nowhere, and reads it by the instructions that name it: these tell how many bytes it has.
        """
        size = self._read_there.get((shndx, offset), 0)
        offsets = self._relocations.get(shndx, ([], [], None))[0]
        has_fields = bisect_left(offsets, offset) != bisect_left(offsets, offset + size)
        return (offset, size) if size and not has_fields else None

    @cached_property
    def _read_there(self) -> dict[tuple[int, int], int]:
        """Section of plain constants and place -> most bytes of it that a load reads; 0: its address is formed too.

        Nothing of a section in which a load has its page from another place's ``adrp``.
        """
        kinds: dict[tuple[int, int], set[int]] = {}
        for shndx, place, kind in self._named_places():
            kinds.setdefault((shndx, place), set()).add(kind)
        shared = {shndx for (shndx, _), own in kinds.items() if own & _LOADED.keys() and _PAGE not in own}
        return {
            (shndx, place): max(_LOADED[kind] for kind in own) if own <= _LOADED.keys() else 0
            for (shndx, place), own in kinds.items()
            if shndx not in shared
        }

    def _literal(self, shndx: int, offset: int) -> tuple[int, int] | None:
        """Start and bytes of the string at byte *offset* of constants that nobody merges: GCC's at ``-O0``.

        It begins at a multiple of 8, as what is referred to next does, and has one zero byte and what fills it up.
        None: it is no such one, and code may reach whatever lies behind *offset*.
        """
        section = self.file.sections[shndx]
        if offset % LITERAL_ALIGNMENT or not section.holds_plain_constants:
            return None
        starts = self._referred_to.get(shndx, [])
        place = bisect_left(starts, offset)
        if place == len(starts) or starts[place] != offset:
            return None
        covered = [part.start for part in self._covered.get(shndx, ()) if part.start > offset]
        end = min([*starts[place + 1 : place + 2], *covered[:1], section.header.sh_size])
        _, zero, filling = bytes(self.file.content(section)[offset:end]).partition(b"\0")
        if not zero or any(filling) or len(filling) >= LITERAL_ALIGNMENT:
            return None
        if end % LITERAL_ALIGNMENT and end < section.header.sh_size:
            return None
        offsets = self._relocations.get(shndx, ([], [], None))[0]
        has_fields = bisect_left(offsets, offset) != bisect_left(offsets, end)
        return None if has_fields else (offset, end - offset)

    @cached_property
    def _referred_to(self) -> dict[int, list[int]]:
        """Section of plain constants -> where in it something is referred to by its place, ascending."""
        found = dict[int, set[int]]()
        for shndx, place, _ in self._named_places():
            found.setdefault(shndx, set()).add(place)
        return {shndx: sorted(places) for shndx, places in found.items()}

    def _named_places(self) -> Iterator[tuple[int, int, int]]:
        """Section of plain constants, place in it and relocation, for each reference to one by its place."""
        plain = [section.holds_plain_constants for section in self.file.sections]
        symbols = self.symbols
        homes = {
            index: shndx
            for index, shndx in enumerate(symbols.st_shndx)
            if 0 < shndx < len(plain) and plain[shndx] and not symbols.st_size[index]
        }
        for section, (_, order, table) in self._relocations.items():
            if not self.file.sections[section].header.sh_flags & c.SHF_ALLOC:
                continue
            for index in order:
                shndx = homes.get(table.symbol[index])
                if shndx is not None:
                    yield shndx, symbols.st_value[table.symbol[index]] + table.r_addend[index], table.kind[index]

    def _string_size(self, section: Section, start: int, unit: int) -> int:
        content, end = self.file.content(section), start
        while end + unit <= len(content) and any(content[end : end + unit]):
            end += unit
        return end + unit - start

    def unreferenced(self) -> Iterable[Part]:
        for index, section in enumerate(self.file.sections):
            flags = section.header.sh_flags
            if flags & c.SHF_ALLOC and not flags & c.SHF_EXECINSTR and not section.name.startswith(_REFERRED_TO):
                yield Part(self.number, index, 0, section.header.sh_size, _sort(section), (), True)

    def neighbours(self, part: Part) -> Sequence[Part]:
        return self._covered.get(part.section, ())

    def attached(self, part: Part) -> Iterable[Part]:
        return [
            Part(self.number, section, start, size, Sort.CONSTANT, (), True)
            for section, start, size in self._exception_tables.get((part.section, part.start), ())
        ]

    @cached_property
    def _exception_tables(self) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
        """Function (section, offset) -> its language-specific data: (section, offset, bytes)."""
        return exception_tables(self.file, self.symbols, {s: t for s, (_, _, t) in self._relocations.items()})


def _sort(section: Section) -> Sort:
    flags = section.header.sh_flags
    if flags & c.SHF_EXECINSTR:
        return Sort.FUNCTION
    if flags & c.SHF_TLS:
        return Sort.THREAD_LOCAL
    constant = not flags & c.SHF_WRITE or section.name.startswith(".data.rel.ro")
    return Sort.CONSTANT if constant else Sort.VARIABLE


_ADRP_X16, _LDR_X17, _BR_X17, _BR_X16 = 0x90000010, 0xF9400211, 0xD61F0220, 0xD61F0200
_ADD_X16, _LITERAL_X16, _B = 0x91000210, 0x58000050, 0x14000000
_BTI_C = 0xD503245F


class ElfPlaces(HostPlaces):
    """A linked ELF image, as far as its fields lead."""

    def __init__(self, image: ElfImage) -> None:
        super().__init__(image)
        self.file = image.file
        self.fixups = Fixups(image.file)
        self.frames = LinkedFrames(image.file)

    def read(self, address: int, size: int) -> memoryview | None:
        for segment in self.file.segments:
            if (
                segment.p_type == c.PT_LOAD
                and segment.p_vaddr <= address
                and address + size <= (segment.p_vaddr + segment.p_filesz)
            ):
                return self.file.view.bytes(address - segment.p_vaddr + segment.p_offset, size, "what is compared")
        return None

    def pointer(self, address: int) -> int | Imported | None:
        found = self.fixups.pointer(address)
        return Imported(*found) if isinstance(found, Bound) else found

    def holders(self, wanted: Collection[int], names: Collection[bytes]) -> Iterator[tuple[int, int | bytes]]:
        return self.fixups.holders(wanted, names)

    def step(self, address: int) -> int | Imported | None:
        raw = self.read(address, 20) or self.read(address, 16)  # the last entry may end the segment
        return None if raw is None else self._step(address, list(column("I", raw)))

    def _step(self, address: int, words: list[int]) -> int | Imported | None:
        """Where a PLT's entry or a veneer of *words* leads; None if it is none."""
        if words[0] == _BTI_C:
            address, words = address + 4, words[1:]
        page = read_field(Form.ADRP, _ADRP_X16, words[0], address)
        if page is not None and page.says is Says.PAGE:
            low = words[1] >> 10 & 0xFFF
            if words[1] & ~(0xFFF << 10) == _LDR_X17 and _BR_X17 in words[2:4]:
                return self.pointer(page.value + 8 * low)
            if words[1] & ~(0xFFF << 10) == _ADD_X16 and words[2] == _BR_X16:
                return page.value + low
        if words[0] == _LITERAL_X16 and words[1] == _BR_X16:
            return self.pointer(address + 8)
        return None

    def thread_entry(self, address: int) -> int | None:
        found = self.fixups.thread_local(address)
        return found if isinstance(found, int) else None

    @property
    def thread_start(self) -> int:
        return self.image.thread_offset(0) or 0

    def thread_template(self, value: int, size: int) -> int | None:
        for segment in self.file.segments:
            if segment.p_type == c.PT_TLS and value + size <= segment.p_filesz:
                return segment.p_vaddr + value
        return None

    def attached(self, address: int) -> Sequence[int]:
        table = self.frames.table_of(address)
        return () if table is None else (table,)
