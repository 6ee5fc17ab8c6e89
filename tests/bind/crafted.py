"""Objects of a few sections and symbols, bound: for what compilers do not make on demand."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from synthetic import Sym, elf_columns

from stubgen.bind.elf import bind_object
from stubgen.bind.macho import bind_object as bind_macho
from stubgen.elf import constants as e
from stubgen.elf.reader import Section as ReadSection
from stubgen.elf.relocations import Relocations
from stubgen.elf.writer import Object, Section, write
from stubgen.image import Kind
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as m
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion
from stubgen.macho.relocations import Relocations as MachRelocations
from stubgen.macho.relocations import r_word
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder

HOST = 0x7F12_3456_7000
"""A page of the host's, in which its variables are."""
CODE, DATA, THREAD = (
    e.SHF_ALLOC | e.SHF_EXECINSTR,
    e.SHF_ALLOC | e.SHF_WRITE,
    e.SHF_ALLOC | e.SHF_WRITE | e.SHF_TLS,
)


class Use(NamedTuple):
    """One relocation."""

    offset: int
    symbol: str  # by name; a section's symbol by that of the section
    kind: int
    addend: int = 0


class Part(NamedTuple):
    """One section."""

    name: str
    flags: int = DATA
    content: bytes = bytes(64)
    uses: tuple[Use, ...] = ()
    type: int = e.SHT_PROGBITS


class Bound(NamedTuple):
    """A bound copy, its original, and what was noted."""

    image: ElfImage
    original: ElfImage
    binder: Binder

    def section(self, name: str) -> ReadSection:
        """A section of the copy."""
        found = self.image.file.section(name)
        assert found is not None
        return found

    def content(self, name: str) -> bytes:
        """The bytes of a section of the copy."""
        return bytes(self.image.file.content(self.section(name)))

    def word(self, name: str, offset: int, size: int = 8) -> int:
        """A number in a section of the copy."""
        return int.from_bytes(self.content(name)[offset : offset + size], "little")

    def uses(self, name: str) -> list[tuple[int, bytes, int, int]]:
        """The relocations of a section of the copy: offset, symbol, kind, addend."""
        symbols = self.image.file.symbols
        assert symbols is not None
        return [
            (offset, symbols.name(symbol), kind, addend)
            for table, rows in self.image.file.relocations()
            if table.name == f".rela{name}"
            for offset, symbol, kind, addend in rows.rows()
        ]

    def symbols(self) -> dict[bytes, tuple[int, int, int]]:
        """Name -> binding and type, other, section of each symbol of the copy."""
        symbols = self.image.file.symbols
        assert symbols is not None
        columns = zip(symbols.names(), symbols.st_info, symbols.st_other, symbols.st_shndx, strict=True)
        return {name: (info, other, shndx) for name, info, other, shndx in columns}

    @property
    def refusals(self) -> list[str]:
        """What could not be bound."""
        return self.binder.refusals


def data(value: int = HOST, **more: bool) -> Target:
    """A variable of the host's."""
    return Target(Kind.DATA, SlotKind.ADDRESS, value, **more)


def function(value: int = HOST, **more: bool) -> Target:
    """A function of the host's."""
    return Target(Kind.FUNCTION, SlotKind.ADDRESS, value, **more)


def thread_local(value: int = 0x40, **more: bool) -> Target:
    """A thread-local of the host's, so many bytes from the thread pointer."""
    return Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, value, **more)


def undefined(name: str, kind: int = e.STT_NOTYPE) -> Sym:
    """A reference to what another object has."""
    return Sym(name, 0, kind, e.STB_GLOBAL, e.SHN_UNDEF)


def local(name: str, section: int, value: int = 0, kind: int = e.STT_OBJECT, size: int = 0) -> Sym:
    """A local symbol of a section, 1 for the first; of no size, as in assembly."""
    return Sym(name, value, kind, e.STB_LOCAL, section, size=size)


def elf_object(parts: Sequence[Part], symbols: Sequence[Sym], name: str = "patch.o") -> ElfImage:
    """An object; each of *parts* has a symbol of its own, as compilers make them."""
    labels = [Sym(f"<{part.name}>", 0, e.STT_SECTION, e.STB_LOCAL, n) for n, part in enumerate(parts, start=1)]
    locals_ = [*labels, *(symbol for symbol in symbols if symbol.bind == e.STB_LOCAL)]
    others = [symbol for symbol in symbols if symbol.bind != e.STB_LOCAL]
    numbers = {symbol.name.strip("<>"): number for number, symbol in enumerate([*locals_, *others], start=1)}
    nameless = [symbol._replace(name="") if symbol.kind == e.STT_SECTION else symbol for symbol in locals_]
    sections = []
    for part in parts:
        uses = part.uses
        table = Relocations(
            [use.offset for use in uses],
            [numbers[use.symbol] for use in uses],
            [use.kind for use in uses],
            [use.addend for use in uses],
        )
        sections.append(Section(part.name, part.type, part.flags, part.content, 8, table if uses else None))
    return ElfImage(bytes(write(Object(sections, elf_columns(nameless), [elf_columns(others)]))), name)


def bound(
    parts: Sequence[Part],
    symbols: Sequence[Sym],
    targets: Mapping[str, Target],
    meanings: Mapping[bytes, bytes] | None = None,
) -> Bound:
    """The bound copy of such an object."""
    original = elf_object(parts, symbols)
    binder = Binder({name.encode(): target for name, target in targets.items()}, meanings)
    return Bound(ElfImage(bind_object(original, binder).content, "bound.o"), original, binder)


class MachPart(NamedTuple):
    """One section of a Mach-O object."""

    name: str  # segment,section
    flags: int = 0
    content: bytes = bytes(64)
    uses: tuple[MachUse, ...] = ()


class MachUse(NamedTuple):
    """One relocation of a Mach-O object."""

    offset: int
    symbol: str | int  # the name; the ordinal of a section; what an ADDEND adds
    kind: int
    length: int = 2  # log2 bytes
    pcrel: bool = False


class MachSym(NamedTuple):
    """One symbol of a Mach-O object."""

    name: str
    section: int = 0  # 0: undefined
    value: int = 0  # byte offset in the section; the size of a common
    n_type: int = -1  # -1: N_SECT, or N_UNDF | N_EXT
    n_desc: int = 0

    @property
    def type(self) -> int:
        """The field of the record."""
        if self.n_type >= 0:
            return self.n_type
        return m.N_SECT if self.section else m.N_UNDF | m.N_EXT


class MachBound(NamedTuple):
    """A bound copy, and what was noted."""

    image: MachOImage
    original: MachOImage
    binder: Binder

    def content(self, name: str) -> bytes:
        """The bytes of a section of the copy."""
        found = self.image.file.section(name)
        assert found is not None
        return bytes(self.image.file.content(found))

    def word(self, name: str, offset: int, size: int = 8) -> int:
        """A number in a section of the copy."""
        return int.from_bytes(self.content(name)[offset : offset + size], "little")

    def uses(self, name: str) -> list[tuple[int, str | int, int]]:
        """The relocations of a section of the copy: offset, symbol or section, kind."""
        symbols = self.image.file.symbols
        assert symbols is not None
        found: list[tuple[int, str | int, int]] = []
        for section, rows in self.image.file.relocations():
            for offset, record in zip(rows.r_address, rows.r_word, strict=True):
                number = record & 0xFFFFFF
                means = symbols.name(number).decode() if record >> 27 & 1 else number
                found += [(offset, means, record >> 28)] if section.name == name else []
        return found

    def symbols(self) -> dict[str, tuple[int, int]]:
        """Name -> n_type and n_desc of each symbol of the copy."""
        symbols = self.image.file.symbols
        assert symbols is not None
        return {
            name.decode(): (n_type, n_desc)
            for name, n_type, n_desc in zip(symbols.names(), symbols.n_type, symbols.n_desc, strict=True)
        }

    @property
    def refusals(self) -> list[str]:
        """What could not be bound."""
        return self.binder.refusals


def macho_object(parts: Sequence[MachPart], symbols: Sequence[MachSym], name: str = "patch.o") -> MachOImage:
    """A Mach-O object; its symbols are local, definitions and undefined ones, in that order."""
    shapes = [macho_writer.Section(*part.name.split(","), part.flags, part.content, 3) for part in parts]
    starts = macho_writer.section_addresses(shapes)
    groups = [
        [one for one in symbols if one.section and not one.type & m.N_EXT],
        [one for one in symbols if one.section and one.type & m.N_EXT],
        [one for one in symbols if not one.section],
    ]
    numbers = {one.name: number for number, one in enumerate(one for group in groups for one in group)}
    sections = []
    for part, shape in zip(parts, shapes, strict=True):
        words = []
        for use in part.uses:
            extern = isinstance(use.symbol, str)
            number = numbers[use.symbol] if isinstance(use.symbol, str) else use.symbol & 0xFFFFFF
            words.append(r_word(number, pcrel=use.pcrel, length=use.length, extern=extern, kind=use.kind))
        table = MachRelocations([use.offset for use in part.uses], words) if words else None
        sections.append(shape._replace(relocations=table))
    columns = [
        macho_writer.SymbolColumns(
            [one.name.encode() for one in group],
            array("B", [one.type for one in group]),
            array("B", [one.section for one in group]),
            array("H", [one.n_desc for one in group]),
            array("Q", [one.value + (starts[one.section - 1] if one.section else 0) for one in group]),
        )
        for group in groups
    ]
    obj = macho_writer.Object(sections, BuildVersion(1, 0x000D0000, 0), columns[0], [columns[1]], columns[2])
    return MachOImage(bytes(macho_writer.write(obj)), name)


def macho_bound(
    parts: Sequence[MachPart],
    symbols: Sequence[MachSym],
    targets: Mapping[str, Target],
    exported: Collection[bytes] = (),
    weak: Collection[bytes] = (),
) -> MachBound:
    """The bound copy of such an object."""
    original = macho_object(parts, symbols)
    binder = Binder({name.encode(): target for name, target in targets.items()}, None, exported, weak)
    return MachBound(MachOImage(bind_macho(original, binder).content, "bound.o"), original, binder)
