"""The processor, as far as more than one part needs to know it: words, user space, landing pads."""

from __future__ import annotations

from stubgen.common.row import Row

WORD = 4  # bytes an instruction
ADDRESS_LIMIT = 1 << 48  # user space ends below it (TASK_SIZE with 48-bit virtual addresses)

UNTAGGED = (1 << 56) - 1
"""Mask of an address without its top byte, which the processor ignores and in which Android tags pointers."""

LANDING_PADS = frozenset(
    word.to_bytes(WORD, "little") for word in (0xD503245F, 0xD503249F, 0xD50324DF, 0xD503233F, 0xD503237F)
)
"""bti c, bti j, bti jc, paciasp, pacibsp: where ``br x16`` may land under BTI (Arm ARM, BTypeCompatible).

Compilers leave them out of static functions whose address nobody takes.
"""

ADD = 0x91000000  # add xd, xn, #0 (Arm ARM, ADD (immediate), 64-bit)
LOAD = 0xF9400000  # ldr xd, [xn] (Arm ARM, LDR (immediate), 64-bit, unsigned offset)
LITERAL = 0x58000000  # ldr xt, label (Arm ARM, LDR (literal), 64-bit)
LITERAL_REACH = 1 << 20  # bytes; imm19 counts words, signed
REGISTERS = 0x3FF  # xd and xn: the same bits in both
DESTINATION = 0x1F  # xd
IMMEDIATE_AT = 10  # the first bit of the 12-bit immediate of additions, loads and stores
IMMEDIATE_LIMIT = 1 << 12
PAGE, PAGE_MASK = 0x90000000, 0x9F000000  # adrp xd, label (Arm ARM, ADRP): its bits, and which they are
SUBTRACT = 1 << 30  # add (immediate) with this bit is sub
SHIFTED = 1 << 22  # of both: the immediate counts in units of 4096
SCALED = 1 << 24  # a load or store without this bit is ldur, stur or their kin: bytes, with a sign, 9 bits from bit 12
UNSCALED_AT, UNSCALED_LIMIT = 12, 1 << 8


class Access(Row):
    """An instruction that adds a page offset: which words are meant."""

    mask: int  # the bits that tell it
    word: int  # and what they are
    scale: int  # log2 bytes that its immediate counts in


ADDITION = Access(~REGISTERS, ADD, 0)
ACCESSES = (
    ADDITION,
    Access(0xFFBFFC00, 0x3D800000, 4),  # str and ldr, 128-bit SIMD
    *(Access(0xFB3FFC00, size << 30 | 0x39000000, size) for size in range(4)),  # loads and stores, 8 to 64 bits
)
"""Arm ARM C4.1, "Add/subtract (immediate)" and "Load/store register (unsigned immediate)", with an immediate of 0."""


def scaled(offset: int, scale: int) -> int | None:
    """The 12-bit immediate that stands for *offset* bytes in units of 1 << *scale*; None where there is none."""
    immediate, rest = divmod(offset, 1 << scale)
    return None if rest or not 0 <= immediate < IMMEDIATE_LIMIT else immediate


def access_of(word: int) -> Access | None:
    """What instruction *word* does with a page offset that a linker fills in; None if it is none that does."""
    return next((access for access in ACCESSES if word & access.mask == access.word), None)


def access_scale(word: int) -> int:
    """Log2 bytes that the page offset of *word* counts in; -1 where it is none of :data:`ACCESSES`."""
    access = access_of(word)
    return -1 if access is None else access.scale


def page_offset(word: int) -> int | None:
    """The bytes that instruction *word* adds to a page or a register; None where it is none of :data:`ACCESSES`."""
    scale = access_scale(word & ~((IMMEDIATE_LIMIT - 1) << IMMEDIATE_AT))
    return None if scale < 0 else (word >> IMMEDIATE_AT & IMMEDIATE_LIMIT - 1) << scale


def with_offset(word: int, offset: int) -> int | None:
    """*word*, one of :data:`ACCESSES`, with *offset* bytes for a page offset; None where no instruction adds that."""
    access = access_of(word)
    if access is None:
        return None
    immediate = scaled(offset, access.scale)
    if immediate is not None:
        return word | immediate << IMMEDIATE_AT
    if access is ADDITION:
        opposite = word | SUBTRACT if offset < 0 else word
        small, large = scaled(abs(offset), 0), scaled(abs(offset), 12)
        if small is not None:
            return opposite | small << IMMEDIATE_AT
        return None if large is None else opposite | SHIFTED | large << IMMEDIATE_AT
    if -UNSCALED_LIMIT <= offset < UNSCALED_LIMIT:
        return word & ~SCALED | offset % (2 * UNSCALED_LIMIT) << UNSCALED_AT
    return None


PAGE_SIZE = 4096  # bytes that adrp counts in
INDIRECT_MASK = 0xFFFFFC1F  # br, blr and ret, less their register


def page_of(word: int, place: int) -> int:
    """The page that ``adrp`` *word* at *place* makes."""
    count = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
    return (place & -PAGE_SIZE) + PAGE_SIZE * (count - (count >> 20 << 21))


def writes(word: int, register: int) -> bool:
    """Whether *word* surely leaves another value in *register* (Arm ARM C4.1; AAPCS64 for calls)."""
    if word & 0xFC000000 == 0x94000000 or word & INDIRECT_MASK == 0xD63F0000:  # bl, blr
        return register <= 18 or register == 30
    if any(word & mask == wanted for mask, wanted in _WRITTEN_BACK) and word >> 5 & 0x1F == register:
        return True
    group = word >> 25 & 0xF
    if group >> 1 == 0b100 or (group & 0b0111 == 0b0101 and word & 0x1FE00000 != 0x1A400000):  # but for ccmp, ccmn
        return word & 0x1F == register
    if word & 0x3F000000 == 0x18000000 or (word & 0x3E000000 == 0x38000000 and _is_load(word)):
        return word & 0x1F == register
    return word & 0x3E400000 == 0x28400000 and register in (word & 0x1F, word >> 10 & 0x1F)


_WRITTEN_BACK = ((0x3B200400, 0x38000400), (0x3A800000, 0x28800000))
"""Loads and stores of one and of two registers that change that of their address (``[x0], #4``): mask and word."""


def _is_load(word: int) -> bool:
    """Of a load or store of one register, whether it is a load; not an atomic operation, nor a prefetch."""
    atomic = word & 0x3F200C00 == 0x38200000
    prefetch = word >> 30 == 3 and word >> 22 & 3 == 2
    return bool(word >> 22 & 3) and not atomic and not prefetch
