"""Writes a relocatable Mach-O object of some atoms of another one. Twin of ``borrow.object``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stubgen.borrow.atoms import Atom
from stubgen.common.fields import align_up, narrow
from stubgen.common.row import Row
from stubgen.errors import UnsupportedInput
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.reader import BuildVersion, Symbols
from stubgen.macho.relocations import Relocations, r_word
from stubgen.macho.writer import Object, Section, SymbolColumns, section_addresses, write

MOST_SECTIONS = 255  # n_sect has 8 bits


class Referent(Row):
    """What a written relocation names."""

    name: bytes = b""  # undefined; empty: defined here
    symbol: int = -1  # of the source
    atom: int = -1  # number of an atom, whose start is meant


class Field(Row):
    """A relocation to write."""

    address: int  # byte offset into the section
    kind: int  # ARM64_RELOC_*
    word: int  # of a relocation whose length and relativity it has
    referent: Referent
    addend: int = 0  # bytes that ARM64_RELOC_ADDEND adds, in code
    subtracted: Referent | None = None


class Piece:
    """A section to write."""

    def __init__(self, segname: str, sectname: str, flags: int, align: int) -> None:
        self.segname, self.sectname, self.flags, self.align = segname, sectname, flags, align
        self.content = bytearray()
        self.zeros = 0
        self.fields: list[Field] = []

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self.content) + self.zeros

    def add(self, content: bytes, *, like: int = 0, zeros: int | None = None) -> int:
        """Byte offset at which *content* is put: alike *like* in all that the section's alignment divides.

        In its place so many *zeros*, which take no room, in a section of those.
        """
        unit = 1 << min(self.align, c.MAX_SECTION_ALIGN)
        offset = align_up(self.size - like % unit, unit) + like % unit
        if zeros is not None:
            self.zeros = offset + zeros
        else:
            self.content += bytes(offset - len(self.content)) + content
        return offset


class Placed(Row):
    """Where an atom of the source is put."""

    piece: Piece
    offset: int  # bytes


class Name(Row):
    """A symbol to write."""

    name: bytes
    n_type: int
    n_desc: int
    piece: Piece | None  # None: in no section
    value: int  # byte offset in the piece, or a value


def write_atoms(
    pieces: Sequence[Piece],
    placed: Mapping[int, Placed],
    names: Mapping[int, Name],
    labels: Sequence[Name],
    undefined: Mapping[bytes, bool],
    version: BuildVersion,
    flags: int,
    title: str,
) -> bytes:
    """An object of *pieces*.

    Args:
        pieces: its sections; those without content in the file come last.
        placed: number of an atom -> where it is.
        names: symbol of the source -> what it becomes; those that are not local are this patch's alone.
        labels: further local symbols.
        undefined: names that are left to others -> whether that is weak.
        version: platform and minimum OS.
        flags: MH_SUBSECTIONS_VIA_SYMBOLS, or none.
        title: for complaints.
    """
    ordered = sorted(pieces, key=lambda piece: bool(piece.zeros))
    if len(ordered) > MOST_SECTIONS:
        raise UnsupportedInput(f"{title}: {len(ordered)} sections of it are needed, more than an object can have")
    plain = [_section(piece, None) for piece in ordered]
    addresses = {id(piece): at for piece, at in zip(ordered, section_addresses(plain), strict=True)}
    ordinals = {id(piece): number for number, piece in enumerate(ordered, 1)}
    table = _Table(names, labels, undefined, _anchors(pieces, placed, names))
    sections = []
    for piece in ordered:
        relocations = table.relocations(piece, title)
        sections.append(_section(piece, relocations if len(relocations) else None))

    def columns(listed: Iterable[Name]) -> SymbolColumns:
        rows = list(listed)
        return SymbolColumns(
            names=[row.name for row in rows],
            n_type=bytes(row.n_type for row in rows),
            n_sect=bytes(0 if row.piece is None else ordinals[id(row.piece)] for row in rows),
            n_desc=[row.n_desc for row in rows],
            n_value=[row.value + (0 if row.piece is None else addresses[id(row.piece)]) for row in rows],
        )

    return write(
        Object(sections, version, columns(table.local), [columns(table.ours)], columns(table.others), flags), title
    )


def _section(piece: Piece, relocations: Relocations | None) -> Section:
    return Section(
        piece.segname, piece.sectname, piece.flags, bytes(piece.content), piece.align, relocations, piece.zeros
    )


def _anchors(pieces: Sequence[Piece], placed: Mapping[int, Placed], names: Mapping[int, Name]) -> dict[int, Placed]:
    """The atoms whose start needs a label: something counts from it, or no other symbol begins it."""
    used = {field.referent.atom for piece in pieces for field in piece.fields}
    begun = {(id(name.piece), name.value) for name in names.values() if not name.n_desc & c.N_ALT_ENTRY}
    return {
        number: place
        for number, place in placed.items()
        if number in used or (id(place.piece), place.offset) not in begun
    }


class _Table:
    """The new symbol table: local symbols, definitions, then what is left to others."""

    def __init__(
        self,
        names: Mapping[int, Name],
        labels: Sequence[Name],
        undefined: Mapping[bytes, bool],
        anchored: Mapping[int, Placed],
    ) -> None:
        self.numbers: dict[Referent, int] = {}
        anchors = [
            (number, Name(b"l_stubgen.atom.%d" % number, c.N_SECT, 0, place.piece, place.offset))
            for number, place in anchored.items()
        ]
        listed = [(Referent(symbol=index), name) for index, name in names.items()]
        local = [item for item in listed if not item[1].n_type & c.N_EXT]
        local += [(Referent(atom=number), name) for number, name in anchors]
        local += [(Referent(atom=-2 - number), name) for number, name in enumerate(labels)]
        ours = [item for item in listed if item[1].n_type & c.N_EXT and item[1].n_type & c.N_TYPE]
        others = [item for item in listed if item[1].n_type & c.N_EXT and not item[1].n_type & c.N_TYPE]
        others += [
            (Referent(name=name), Name(name, c.N_UNDF | c.N_EXT, c.N_WEAK_REF if weak else 0, None, 0))
            for name, weak in undefined.items()
        ]
        for number, (referent, _) in enumerate([*local, *ours, *others]):
            self.numbers[referent] = number
        self.local, self.ours, self.others = ([name for _, name in group] for group in (local, ours, others))

    def relocations(self, piece: Piece, title: str) -> Relocations:
        """Those of one section, by descending address, as assemblers write them."""
        rows = []
        for field in sorted(piece.fields, key=lambda field: -field.address):
            rows += list(self._rows(field, f"{title}: {piece.segname},{piece.sectname}"))
        return Relocations([row[0] for row in rows], [row[1] for row in rows])

    def _rows(self, field: Field, where: str) -> Iterator[tuple[int, int]]:
        length, relative = field.word >> 25 & 3, bool(field.word >> 24 & 1)
        if field.addend:
            narrow(field.addend, 24, "an addend", where, signed=True)
            addend = field.addend & 0xFFFFFF
            yield field.address, r_word(addend, pcrel=False, length=length, extern=False, kind=r.ARM64_RELOC_ADDEND)
        if field.subtracted is not None:
            number = self.numbers[field.subtracted]
            yield field.address, r_word(number, pcrel=False, length=length, extern=True, kind=r.ARM64_RELOC_SUBTRACTOR)
        number = self.numbers[field.referent]
        yield field.address, r_word(number, pcrel=relative, length=length, extern=True, kind=field.kind)


def new_name(symbols: Symbols, index: int, atom: Atom, place: Placed, *, stays_weak: bool, gone: bool) -> Name:
    """What symbol *index* of the source becomes, whose *atom* was put at *place*.

    Global ones become private to the patch, which has them alone; one that is *gone*, because the host's counts, is a
    label that linkers drop.
    """
    n_type, n_desc = symbols.n_type[index], symbols.n_desc[index] & ~c.N_WEAK_REF
    value = symbols.n_value[index] - atom.start + place.offset
    if gone:
        return Name(b"l_stubgen.gone." + symbols.name(index), c.N_SECT, n_desc & c.N_ALT_ENTRY, place.piece, value)
    if n_type & c.N_EXT:
        n_type |= c.N_PEXT
        n_desc = n_desc if stays_weak else n_desc & ~c.N_WEAK_DEF
    return Name(symbols.name(index), n_type, n_desc, place.piece, value)
