"""Whether patch and host store a variable alike.

LLVM (GlobalOpt) makes a byte of a variable that its file alone sees and that only ever holds two numbers: 0 stands for
the first, 1 for the other. Its name stays, and the size of a ``bool`` as well. Debug information has the type's size
and the two numbers. Without it a variable of more than one byte was left alone, one that is not all zeroes in the file,
and one of which the host's own code moves more than a byte. So were arrays. What rustc
names is an array of bytes to LLVM, which is not made smaller under its name; nor does it do that to thread-locals
(clang 19).
"""

from __future__ import annotations

import posixpath

from stubgen.image import Candidate, Image, Kind, Variable
from stubgen.image.dwarf import Stored

SHRUNK = "clang has made a byte of it that stands for one of two numbers, and in the host it may stand for others"
UNSURE = (
    "in the host clang may have made a byte of it that stands for one of two numbers; compile host and patch with -g "
    "(Mach-O: and make the host's dSYM)"
)

_LONGEST_FUNCTION = 1 << 16  # bytes that are looked at
_LOADS = 0x00C00000  # opc, which is 0 for a store
_LDR = 0x3E5  # ldr xt, [xn, #imm]
_NOP = 0xD503201F  # linkers leave it where one instruction does what two did
_CALLED = 0x4007FFFF
"""Bits of the registers that a call may change: x0 to x18 and x30 (AAPCS64, 6.1.1)."""


class Storage:
    """How one host stores its variables."""

    def __init__(self, host: Image) -> None:
        self.host = host
        self._moves: dict[int, tuple[Image, set[tuple[int, int]]]] = {}

    def why_otherwise(self, variable: Variable, candidate: Candidate) -> str:
        """Why the host may hold the values of the patch's variable in other bytes; empty if it does not."""
        image = variable.defined_in.image
        if not self._may_be_a_byte(variable, candidate):
            return ""
        own, theirs = _stored(image, variable.place), _stored(self.host, candidate.address, candidate.file)
        if own is None:
            return UNSURE
        if theirs is not None or own.how:
            return "" if own == theirs else SHRUNK
        plain = not own.is_number or not self.host.is_zero_filled(candidate)
        return "" if plain or (own.size != 1 and self._is_whole(image, candidate)) else UNSURE

    def small_size(self, variable: Variable) -> int:
        """Bytes of the patch's *variable* where debug information says 1, 2, 4 or 8; else 0.

        No code relies on a larger alignment of such a one, whatever was asked for.
        """
        stored = None if variable.size else _stored(variable.defined_in.image, variable.place)
        return stored.size if stored is not None and stored.size in (1, 2, 4, 8) else 0

    def _may_be_a_byte(self, variable: Variable, candidate: Candidate) -> bool:
        """Whether LLVM may have made one of it: where sizes are known, they are equal."""
        seen = not variable.local and (not candidate.local or candidate.hidden)
        large = self.host.format == "elf" and variable.size != 1
        spared = seen or large or variable.thread_local
        return not spared and (variable.defined_in.image.may_be_by_llvm or self.host.may_be_by_llvm)

    def _is_whole(self, image: Image, candidate: Candidate) -> bool:
        """Whether a function that the host has of *image* moves more than a byte of the variable at once."""
        if id(image) not in self._moves:
            names = {function.name for function in image.functions()}
            found = self.host.find(names)
            starts = {each.address for pool in found.values() for each in pool if each.kind is Kind.FUNCTION}
            moved = set[tuple[int, int]]().union(
                *(moves(self.host, start, self.host.maximum_size(start) or 0) for start in starts)
            )
            self._moves[id(image)] = (image, moved)  # held, so that its identity stays its own
        moved = self._moves[id(image)][1]
        return any((candidate.address, size) in moved for size in (2, 4, 8))


def _stored(image: Image, place: int, file: bytes = b"") -> Stored | None:
    """What debug information says of the variable at *place*; None where it says nothing."""
    debug = image.debug_info
    for unit in debug.called(posixpath.basename(file)) if file else debug.units:
        found = debug.variables(unit).get(place)
        if found is not None:
            return found if found.size else None
    return None


def moves(host: Image, start: int, size: int) -> set[tuple[int, int]]:
    """Address and bytes of each load and store of a function whose address it forms by ``adrp``."""
    size = min(size, _LONGEST_FUNCTION) & ~3
    code = memoryview(bytes(host.read_at(start, size, "a function"))).cast("I") if size else ()
    found, bases = set[tuple[int, int]](), dict[int, int]()
    for place, word in enumerate(code):
        address = start + 4 * place
        base = bases.get(word >> 5 & 31)
        literal = (word >> 5 & 0x7FFFF ^ 0x40000) - 0x40000  # imm19, signed
        target = word & 31
        if word & 0x9F000000 == 0x90000000:  # adrp (Arm ARM C6.2)
            bases[target] = (address & ~0xFFF) + ((literal << 2 | word >> 29 & 3) << 12)
        elif word & 0x9F000000 == 0x10000000:  # adr
            bases[target] = address + (literal << 2 | word >> 29 & 3)
        elif word & 0xFFC00000 == 0x91000000 and base is not None:  # add xd, xn, #imm
            bases[target] = base + (word >> 10 & 0xFFF)
        elif word & 0x3F000000 == 0x39000000:  # a load or a store, unsigned immediate
            if base is not None:
                base += (word >> 10 & 0xFFF) << (word >> 30)
                found.add((base, 1 << (word >> 30)))
            if word & _LOADS:
                _load(host, bases, target, base if word >> 22 == _LDR else None)
        elif word & 0xBF000000 == 0x18000000:  # ldr, literal
            found.add((address + 4 * literal, 4 << (word >> 30)))
            _load(host, bases, target, address + 4 * literal if word >> 30 else None)
        elif word != _NOP:
            if base is not None and (word & 0x3F000000 == 0x08000000 or word & 0x3F200C00 == 0x38200000):
                found.add((base, 1 << (word >> 30)))  # exclusive, ordered or atomic
            changed = 1 << target | 1 << (word >> 5 & 31) | 1 << (word >> 10 & 31)
            if word & 0xFC000000 == 0x94000000 or word & 0xFFFFFC1F == 0xD63F0000:  # bl, blr
                changed = _CALLED
            bases = {register: base for register, base in bases.items() if not changed >> register & 1}
    return found


def _load(host: Image, bases: dict[int, int], target: int, place: int | None) -> None:
    """Let register *target* hold what code loads there; *place*: from where, if that is an address in the GOT."""
    held = None if place is None else host.got_address(place)
    bases.pop(target, None)
    if held is not None:
        bases[target] = held
