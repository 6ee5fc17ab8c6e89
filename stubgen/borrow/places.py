"""What the host's own code says of places: its relocated fields, read back.

Where an atom of a member lies in the host, each field that the linker filled in there tells where what it refers to
lies, named or not: the page of an ``adrp`` and the offset behind it, a branch, a pointer. Linkers relax within
those fields, by linker optimisation hints and where a GOT entry is not needed, so each is read as what it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stubgen.borrow.atoms import Use
from stubgen.common.aarch64 import ADD, PAGE, PAGE_MASK, page_offset
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.reader import MachOFile

_PAGES = frozenset({r.ARM64_RELOC_PAGE21, r.ARM64_RELOC_GOT_LOAD_PAGE21, r.ARM64_RELOC_TLVP_LOAD_PAGE21})
_OFFSETS = frozenset({r.ARM64_RELOC_PAGEOFF12, r.ARM64_RELOC_GOT_LOAD_PAGEOFF12, r.ARM64_RELOC_TLVP_LOAD_PAGEOFF12})
_POINTER_SECTIONS = frozenset({c.S_NON_LAZY_SYMBOL_POINTERS, c.S_THREAD_LOCAL_VARIABLE_POINTERS})
_ADDITION_MASK = 0xFFC00000  # add xd, xn, #imm
_LITERAL_MASK, _LITERAL = 0x3B000000, 0x18000000  # ldr, literal, of any size (Arm ARM C4.1, "Load register (literal)")
NOP = 0xD503201F
PAGE_SIZE = 4096  # what adrp counts in


def _signed(value: int, bits: int) -> int:
    return value - ((value & 1 << bits - 1) << 1)


class Places:
    """Reads the fields of one host."""

    def __init__(self, file: MachOFile) -> None:
        self.file = file

    def word(self, address: int) -> int:
        """The instruction at virtual *address*; 0 where there is none."""
        raw = self.file.memory_at(address, 4)
        return 0 if raw is None else int.from_bytes(raw, "little")

    def meant(self, uses: Iterable[Use], shift: int, earlier: Mapping[int, int]) -> dict[tuple[int, int], int | None]:
        """What the host means by each of *uses*, which lie *shift* bytes further on there.

        Args:
            uses: what one atom refers to.
            shift: see above.
            earlier: address of an ``adrp`` in the member -> that of the one that may do for both.

        Returns:
            (symbol, addend) -> virtual address of the symbol, without the addend; None where the fields do not say, or
            contradict one another.
        """
        pages: dict[tuple[int, int], set[int]] = {}
        offsets: dict[tuple[int, int], set[tuple[int, bool]]] = {}
        found: dict[tuple[int, int], set[int]] = {}
        for use in uses:
            key = use.symbol, use.addend
            found.setdefault(key, set())
            at = use.address + shift
            if use.kind in _PAGES:
                at = self._standing(use.address, shift, earlier)
                if at != use.address + shift and self.word(at) & PAGE_MASK != PAGE:
                    continue
            if use.kind in _PAGES or use.kind in _OFFSETS:
                self._read_half(use, at, pages.setdefault(key, set()), offsets.setdefault(key, set()), found[key])
                self._read_access(use, shift, offsets[key], found[key])
            elif use.kind == r.ARM64_RELOC_BRANCH26:
                found[key].update(self._branch(at))
            elif use.kind == r.ARM64_RELOC_UNSIGNED and use.length == 3 and use.subtracted < 0:
                pointer = self.file.pointer_at(at)
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

    def _read_half(self, use: Use, at: int, pages: set[int], offsets: set[tuple[int, bool]], found: set[int]) -> None:
        """Note what one instruction of a pair says: a page, an offset and whether it loads, or all of an address."""
        word = self.word(at)
        through = use.kind not in (r.ARM64_RELOC_PAGE21, r.ARM64_RELOC_PAGEOFF12)
        if word & PAGE_MASK == PAGE:
            pages.add(
                (at & -PAGE_SIZE) + _signed(word >> 5 & 0x7FFFF, 19) * 4 * PAGE_SIZE + (word >> 29 & 3) * PAGE_SIZE
            )
        elif word & 0x9F000000 == 0x10000000:  # adr
            found.add(at + _signed(word >> 5 & 0x7FFFF, 19) * 4 + (word >> 29 & 3))
        elif word & _LITERAL_MASK == _LITERAL:
            place = at + _signed(word >> 5 & 0x7FFFF, 19) * 4
            found.update(self._loaded(place) if through else (place,))
        elif use.kind in _OFFSETS:
            low = page_offset(word)
            if low is not None:
                offsets.add((low, through and word & _ADDITION_MASK != ADD))

    def _read_access(self, use: Use, shift: int, offsets: set[tuple[int, bool]], found: set[int]) -> None:
        """Note what a load or store says that took over an address from the instructions in front of it."""
        if use.access is None or self.word(use.address + shift) != NOP:
            return
        address, own = use.access
        at, word = address + shift, self.word(address + shift)
        low = page_offset(word)
        if word & _LITERAL_MASK == _LITERAL:
            found.add(at + _signed(word >> 5 & 0x7FFFF, 19) * 4 - own)
        elif low is not None:
            offsets.add((low - own, False))

    def _loaded(self, place: int) -> Iterator[int]:
        """What a pointer of the host's GOT at *place* holds; nothing of another place."""
        section = self.file.section_at(place)
        if section is not None and section.header.flags & c.SECTION_TYPE in _POINTER_SECTIONS:
            pointer = self.file.pointer_at(place)
            if pointer is not None:
                yield pointer

    def _branch(self, at: int) -> Iterator[int]:
        word = self.word(at)
        if word & 0x7C000000 == 0x14000000:  # b, bl
            yield self._through(at + _signed(word & 0x3FFFFFF, 26) * 4)

    def _through(self, target: int) -> int:
        """Where a branch to *target* ends that passes through a linker's thunk or stub."""
        first, second, third = (self.word(target + 4 * number) for number in range(3))
        if third != 0xD61F0200 or first & 0x9F00001F != 0x90000010 or second & 0x3FF != 0x210:  # x16 alone is used
            return target
        page = (target & -PAGE_SIZE) + (_signed(first >> 5 & 0x7FFFF, 19) * 4 + (first >> 29 & 3)) * PAGE_SIZE
        place = page + (page_offset(second) or 0)
        if second & _ADDITION_MASK == ADD:
            return place
        return self.file.pointer_at(place) or target
