"""What the host's own code says of places: its relocated fields, read back.

Where a piece of a member lies in the host, each field that the linker filled in there tells where what it refers to
lies, named or not: the page of an ``adrp`` and the offset behind it, a branch, a pointer. Linkers relax within
those fields, by linker optimisation hints and where a GOT entry is not needed, so each is read as what it is now.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from stubgen.common.aarch64 import ADD, PAGE, PAGE_MASK, page_offset
from stubgen.common.row import Row

_ADDITION_MASK = 0xFFC00000  # add xd, xn, #imm
_LITERAL_MASK, _LITERAL = 0x3B000000, 0x18000000  # ldr, literal, of any size (Arm ARM C4.1, "Load register (literal)")
NOP = 0xD503201F
PAGE_SIZE = 4096  # what adrp counts in


class FieldKind(Enum):
    """What a field is for, in either format."""

    PAGE = "the page of an adrp"
    OFFSET = "the offset in it"
    POINTERS_PAGE = "the page of a pointer that the linker makes"
    POINTERS_OFFSET = "the offset of one"
    BRANCH = "a branch"
    POINTER = "an address"


class Field(Row):
    """A relocated field of a member."""

    address: int  # in the member, as its symbols' values count
    kind: FieldKind
    symbol: int  # what is meant: equal for equal ones
    addend: int  # bytes
    access: tuple[int, int] | None = None
    """Where a load or store is that linkers may let say it all instead, and its own offset in bytes."""


def _signed(value: int, bits: int) -> int:
    return value - ((value & 1 << bits - 1) << 1)


_PAGES = frozenset({FieldKind.PAGE, FieldKind.POINTERS_PAGE})
_OFFSETS = frozenset({FieldKind.OFFSET, FieldKind.POINTERS_OFFSET})


class Places(ABC):
    """Reads the fields of one host."""

    @abstractmethod
    def memory_at(self, address: int, size: int) -> bytes | None:
        """*size* bytes as the loader maps them at virtual *address*; None where nothing is."""

    @abstractmethod
    def pointer_at(self, address: int) -> int | None:
        """What the loader leaves, less the slide, in the pointer at virtual *address*; None where nothing says."""

    @abstractmethod
    def is_among_pointers(self, address: int) -> bool:
        """Whether the linker keeps there pointers of its own making."""

    def word(self, address: int) -> int:
        """The instruction at virtual *address*; 0 where there is none."""
        raw = self.memory_at(address, 4)
        return 0 if raw is None else int.from_bytes(raw, "little")

    def meant(
        self, fields: Iterable[Field], shift: int, earlier: Mapping[int, int] | None = None
    ) -> dict[tuple[int, int], int | None]:
        """What the host means by each of *fields*, which lie *shift* bytes further on there.

        Args:
            fields: those of one piece of a member, which lies in the host as a whole.
            shift: see above.
            earlier: address of an ``adrp`` in the member -> that of the one that may do for both.

        Returns:
            (symbol, addend) -> virtual address of the symbol, without the addend; None where the fields do not say, or
            contradict one another.
        """
        pages: dict[tuple[int, int], set[int]] = {}
        offsets: dict[tuple[int, int], set[tuple[int, bool]]] = {}
        found: dict[tuple[int, int], set[int]] = {}
        for field in fields:
            key = field.symbol, field.addend
            found.setdefault(key, set())
            at = field.address + shift
            if field.kind in _PAGES:
                at = self._standing(field.address, shift, earlier or {})
                if at != field.address + shift and self.word(at) & PAGE_MASK != PAGE:
                    continue
            if field.kind in _PAGES or field.kind in _OFFSETS:
                self._read_half(field, at, pages.setdefault(key, set()), offsets.setdefault(key, set()), found[key])
                self._read_access(field, shift, offsets[key], found[key])
            elif field.kind is FieldKind.BRANCH:
                found[key].update(self._branch(at))
            else:
                pointer = self.pointer_at(at)
                found[key].update(() if pointer is None else (pointer,))
        for key, lows in offsets.items():
            for page in pages[key]:
                for low, loaded in lows:
                    found[key].update(self._loaded(page + low) if loaded else (page + low,))
        return {key: self._only(addresses, key[1]) for key, addresses in found.items()}

    @staticmethod
    def _only(addresses: set[int], addend: int) -> int | None:
        return next(iter(addresses)) - addend if len(addresses) == 1 else None

    def _standing(self, address: int, shift: int, earlier: Mapping[int, int]) -> int:
        """Where in the host the ``adrp`` is that stands for the member's at *address*."""
        while self.word(address + shift) == NOP and earlier.get(address, address) < address:
            address = earlier[address]
        return address + shift

    def _read_half(
        self, field: Field, at: int, pages: set[int], offsets: set[tuple[int, bool]], found: set[int]
    ) -> None:
        """Note what one instruction of a pair says: a page, an offset and whether it loads, or all of an address."""
        word = self.word(at)
        through = field.kind not in (FieldKind.PAGE, FieldKind.OFFSET)
        if word & PAGE_MASK == PAGE:
            pages.add(
                (at & -PAGE_SIZE) + _signed(word >> 5 & 0x7FFFF, 19) * 4 * PAGE_SIZE + (word >> 29 & 3) * PAGE_SIZE
            )
        elif word & 0x9F000000 == 0x10000000:  # adr
            found.add(at + _signed(word >> 5 & 0x7FFFF, 19) * 4 + (word >> 29 & 3))
        elif word & _LITERAL_MASK == _LITERAL:
            place = at + _signed(word >> 5 & 0x7FFFF, 19) * 4
            found.update(self._loaded(place) if through else (place,))
        elif field.kind in _OFFSETS:
            low = page_offset(word)
            if low is not None:
                offsets.add((low, through and word & _ADDITION_MASK != ADD))

    def _read_access(self, field: Field, shift: int, offsets: set[tuple[int, bool]], found: set[int]) -> None:
        """Note what a load or store says that took over an address from the instructions in front of it."""
        if field.access is None or self.word(field.address + shift) != NOP:
            return
        address, own = field.access
        at, word = address + shift, self.word(address + shift)
        low = page_offset(word)
        if word & _LITERAL_MASK == _LITERAL:
            found.add(at + _signed(word >> 5 & 0x7FFFF, 19) * 4 - own)
        elif low is not None:
            offsets.add((low - own, False))

    def _loaded(self, place: int) -> Iterator[int]:
        """What a pointer of the host's GOT at *place* holds; nothing of another place."""
        pointer = self.pointer_at(place) if self.is_among_pointers(place) else None
        if pointer is not None:
            yield pointer

    def _branch(self, at: int) -> Iterator[int]:
        word = self.word(at)
        if word & 0x7C000000 == 0x14000000:  # b, bl
            yield from self._through(at + _signed(word & 0x3FFFFFF, 26) * 4)

    def _through(self, target: int) -> Iterator[int]:
        """Where a branch to *target* ends that passes through a linker's thunk or stub."""
        first, second, third = (self.word(target + 4 * number) for number in range(3))
        if third != 0xD61F0200 or first & 0x9F00001F != 0x90000010 or second & 0x3FF != 0x210:  # x16 alone is used
            yield target
            return
        page = (target & -PAGE_SIZE) + (_signed(first >> 5 & 0x7FFFF, 19) * 4 + (first >> 29 & 3)) * PAGE_SIZE
        place = page + (page_offset(second) or 0)
        if second & _ADDITION_MASK == ADD:
            yield place
            return
        pointer = self.pointer_at(place)
        if pointer is not None:  # else the loader looks a name up
            yield pointer
