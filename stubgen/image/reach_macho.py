"""What of a Mach-O object refers to what else. Twin of ``image.reach_elf``.

Its pieces begin at its symbols, as linkers take it apart; a relocation without a symbol may mean any of a section's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property

from stubgen.image import Reach
from stubgen.macho import constants as c
from stubgen.macho.reader import MachOFile, Symbols
from stubgen.macho.relocations import Relocations

_CONSTRUCTORS = "mod_init_func"
_EXTERN = 1 << 27  # of r_word


class MachOReach(Reach):
    """The pieces of one object, by the address at which each begins."""

    def __init__(self, file: MachOFile, symbols: Symbols) -> None:
        self.file = file
        self.symbols = symbols
        self._read: dict[int, dict[int, set[int | bytes]]] = {}  # section -> piece -> what it refers to

    def initialisers(self) -> list[tuple[int, bytes]]:
        found: dict[int, bytes] = {}
        for section in self.file.sections:
            if _CONSTRUCTORS in section.name:
                for targets in self._section(section.ordinal).values():
                    for target in targets:
                        if isinstance(target, int):
                            found[target] = self._names.get(target, section.name.encode())
        return list(found.items())

    def functions(self) -> dict[int, bytes]:
        return self._names

    @property
    def undivided(self) -> bool:
        """Without MH_SUBSECTIONS_VIA_SYMBOLS references within a section have no relocation."""
        return not self.file.header.flags & c.MH_SUBSECTIONS_VIA_SYMBOLS

    @cached_property
    def _everything(self) -> set[int | bytes]:
        """Each piece, and what any of them refers to."""
        named = (each for section in self.file.sections for each in self._section(section.ordinal).values())
        return set(self._starts).union(*named)

    def targets(self, piece: int) -> set[int | bytes]:
        if self.undivided:
            return self._everything
        section = next((s for s in self.file.sections if self._holds(s.ordinal, piece)), None)
        return set() if section is None else self._section(section.ordinal).get(piece, set())

    def piece_at(self, place: int) -> int:
        position = bisect_right(self._starts, place) - 1
        return self._starts[position] if position >= 0 else place

    def definition(self, name: bytes) -> int | None:
        return self._definitions.get(name)

    @cached_property
    def _defined(self) -> list[int]:
        """Index of each symbol that is somewhere in the object."""
        table = self.symbols
        return [i for i, kind in enumerate(table.n_type) if not kind & c.N_STAB and kind & c.N_TYPE == c.N_SECT]

    @cached_property
    def _definitions(self) -> dict[bytes, int]:
        table = self.symbols
        return {table.name(i): table.n_value[i] for i in self._defined if table.n_type[i] & (c.N_EXT | c.N_PEXT)}

    @cached_property
    def _names(self) -> dict[int, bytes]:
        """Piece -> its name, rather than one that the assembler made."""
        table = self.symbols
        names = sorted(((table.n_value[i], table.name(i)) for i in self._defined), key=_by_assembler, reverse=True)
        return dict(names)

    @cached_property
    def _starts(self) -> list[int]:
        places = {self.symbols.n_value[i] for i in self._defined}
        return sorted(places.union(section.header.addr for section in self.file.sections))

    def _holds(self, ordinal: int, address: int) -> bool:
        header = self.file.sections[ordinal - 1].header
        return bool(header.addr <= address < header.addr + header.size)

    def _all_of(self, ordinal: int) -> set[int | bytes]:
        """The pieces of a section."""
        if not 0 < ordinal <= len(self.file.sections):
            return set()
        header = self.file.sections[ordinal - 1].header
        first = bisect_left(self._starts, header.addr)
        return set(self._starts[first : bisect_left(self._starts, header.addr + header.size)])

    def _section(self, ordinal: int) -> dict[int, set[int | bytes]]:
        """What the pieces of section *ordinal* refer to."""
        found = self._read.get(ordinal)
        if found is None:
            found = {}
            table, start = self._tables.get(ordinal), self.file.sections[ordinal - 1].header.addr
            for address, word in zip(table.r_address, table.r_word, strict=True) if table is not None else ():
                found.setdefault(self.piece_at(start + address), set()).update(self._meant(word))
            self._read[ordinal] = found  # whole: another thread may ask
        return found

    @cached_property
    def _tables(self) -> dict[int, Relocations]:
        return {section.ordinal: table for section, table in self.file.relocations()}

    def _meant(self, word: int) -> set[int | bytes]:
        """What a relocation refers to; what other objects see is meant by its name as well."""
        number, table = word & 0xFFFFFF, self.symbols
        if not word & _EXTERN:
            return self._all_of(number)
        if number >= len(table):
            return set()
        kind = table.n_type[number]
        own: set[int | bytes] = {table.n_value[number]} if kind & c.N_TYPE == c.N_SECT else set()
        return own | {table.name(number)} if kind & (c.N_EXT | c.N_PEXT) else own


def _by_assembler(named: tuple[int, bytes]) -> bool:
    return named[1].startswith(b"ltmp")
