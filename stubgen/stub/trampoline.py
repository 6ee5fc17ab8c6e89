"""The trampoline: five recorded instructions, six under BTI, filled in by the column.

::

    [bti c]                 only under BTI, as hint #34: Keystone 0.9.2 does not know the mnemonic
    movz x16, #a0           x16 is IP0, which AAPCS64 reserves for veneers: no argument, no saved
    movk x16, #a1, lsl #16  register and no return address is touched
    movk x16, #a2, lsl #32
    movk x16, #a3, lsl #48
    br   x16                with x16 or x17, the one indirect branch that a `bti c` target accepts

Keystone costs 50-100 us a stub and Capstone 2 us an instruction, so neither runs once a stub. An instruction's
meaning depends on its word alone: the words are recorded here, Keystone assembles the same where it is installed
(:mod:`stubgen.stub.assembler`), whole columns of immediates are inserted by integer arithmetic, and Capstone reads each
*distinct* word once (:mod:`stubgen.stub.disassembler`), against which all stubs are checked.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import cache, partial

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import Pieces, column_bytes
from stubgen.common.row import Row
from stubgen.common.view import BytesLike
from stubgen.errors import Refusal

IMMEDIATE_SHIFT = 5  # bits; Arm ARM C6.2, MOVZ and MOVK: imm16 is bits 5 to 20
IMMEDIATES = 1 << 16
PARTS = 4
"""16-bit parts of an address: part *n* is bits 16 * n to 16 * n + 15, set by one instruction each."""
CHUNK = 8192  # stubs handled at a time, so that scratch bytes stay in cache


class Instruction(Row):
    """An instruction whose immediate is 0, and what assemblers and disassemblers call it."""

    word: int
    assembly: str  # as Keystone takes it
    meaning: str  # as :mod:`stubgen.stub.disassembler` has it


LANDING_PAD = Instruction(0xD503245F, "hint #34", "bti c")
MOVES = (
    Instruction(0xD2800010, "movz x16, #0", "movz x16"),
    Instruction(0xF2A00010, "movk x16, #0, lsl #16", "movk x16 lsl 16"),
    Instruction(0xF2C00010, "movk x16, #0, lsl #32", "movk x16 lsl 32"),
    Instruction(0xF2E00010, "movk x16, #0, lsl #48", "movk x16 lsl 48"),
)
BRANCH = Instruction(0xD61F0200, "br x16", "br x16")
RESOLVER = (
    Instruction(0xF9400400, "ldr x0, [x0, #8]", "ldr x0, [x0, #8]"),
    Instruction(0xD65F03C0, "ret", "ret"),
)
HOST_RESOLVER = (
    Instruction(0xA9BE7BE1, "stp x1, x30, [sp, #-32]!", "stp x1, x30, [sp, #-0x20]!"),
    Instruction(0xF9000BE2, "str x2, [sp, #16]", "str x2, [sp, #0x10]"),
    Instruction(0xAA0003E2, "mov x2, x0", "mov x2, x0"),
    Instruction(0xF9400840, "ldr x0, [x2, #16]", "ldr x0, [x2, #0x10]"),
    Instruction(0xF9400001, "ldr x1, [x0]", "ldr x1, [x0]"),
    Instruction(0xD63F0020, "blr x1", "blr x1"),
    Instruction(0xF9400442, "ldr x2, [x2, #8]", "ldr x2, [x2, #8]"),
    Instruction(0x8B020000, "add x0, x0, x2", "add x0, x0, x2"),
    Instruction(0xF9400BE2, "ldr x2, [sp, #16]", "ldr x2, [sp, #0x10]"),
    Instruction(0xA8C27BE1, "ldp x1, x30, [sp], #32", "ldp x1, x30, [sp], #0x20"),
    Instruction(0xD65F03C0, "ret", "ret"),
)
INSTRUCTIONS = (LANDING_PAD, *MOVES, BRANCH, *RESOLVER, *HOST_RESOLVER)
"""Every instruction that a stub object is made of."""


def _code(*instructions: Instruction) -> bytes:
    return b"".join(instruction.word.to_bytes(WORD, "little") for instruction in instructions)


RECORDED = _code(*INSTRUCTIONS)
"""The words of :data:`INSTRUCTIONS`."""

WORD_NUMBERS = PARTS * IMMEDIATES + 2
"""Different words in stubs. The move of *part* with *immediate* has number part * 2^16 + immediate."""
BRANCH_NUMBER, LANDING_PAD_NUMBER = WORD_NUMBERS - 2, WORD_NUMBERS - 1


class Template(Row):
    """A trampoline whose address is 0."""

    code: bytes
    immediates_at: int  # index of the first of the four words that hold 16 address bits each
    instructions: tuple[Instruction, ...]

    @property
    def words(self) -> int:
        """Instructions a stub."""
        return len(self.instructions)


@cache
def template(bti: bool) -> Template:
    """The trampoline's instructions, with or without a landing pad."""
    instructions = (LANDING_PAD, *MOVES, BRANCH) if bti else (*MOVES, BRANCH)
    return Template(_code(*instructions), instructions.index(MOVES[0]), instructions)


def descriptor_resolver(bti: bool) -> bytes:
    """The resolver of a TLS descriptor whose second half is the offset: called with its address in x0.

    It may change x0 and nothing else (AAELF64, "TLS descriptors").
    """
    return _code(LANDING_PAD, *RESOLVER) if bti else _code(*RESOLVER)


def host_descriptor_resolver(bti: bool) -> bytes:
    """The resolver of a descriptor whose other words are a distance and the address of a descriptor of the host's.

    It asks that one, whose variable is in the same block, and adds the distance. It may change x0 and nothing else.
    """
    return _code(LANDING_PAD, *HOST_RESOLVER) if bti else _code(*HOST_RESOLVER)


def host_resolver_frame(bti: bool) -> tuple[int, int, int, int]:
    """The index of the first instruction of that resolver with a frame, of the first without, its size, x30 in it."""
    return 1 + bti, len(HOST_RESOLVER) - 1 + bti, 32, 8


def encode(addresses: array[int], *, bti: bool = False) -> Pieces:
    """One trampoline for each runtime address (array ``Q``), one after another.

    Raises:
        Refusal: an address is at or above 2^48.
    """
    raw = bytes(column_bytes(addresses))
    if (raw[6::8] + raw[7::8]).strip(b"\0"):  # ADDRESS_LIMIT: the two highest bytes are 0
        raise Refusal(f"runtime address {max(addresses):#x} is at or above 2^48, where user space ends")
    return Pieces(len(template(bti).code) * len(addresses), partial(_trampolines, raw, template(bti)))


def _trampolines(raw: bytes, shape: Template) -> Iterator[BytesLike]:
    """The trampolines to the addresses in *raw*: what all of a chunk have in common goes into its template."""
    for first in range(0, len(raw), 8 * CHUNK):
        chunk = raw[first : first + 8 * CHUNK]
        count, common, others = len(chunk) // 8, bytearray(shape.code), []
        for part in range(PARTS):
            low, high = chunk[2 * part :: 8], chunk[2 * part + 1 :: 8]
            if low == low[:1] * count and high == high[:1] * count:
                _set_immediates(common, shape, part, low[:1], high[:1])
            else:
                others.append((part, low, high))
        stubs = common * count
        for part, low, high in others:
            _set_immediates(stubs, shape, part, low, high)
        yield stubs


def _set_immediates(stubs: bytearray, shape: Template, part: int, low: bytes, high: bytes) -> None:
    """Put the immediates, given as their low and high bytes, into the instruction of *part* of each of *stubs*.

    The immediate begins in the middle of a byte, so its low byte reaches bytes 0 and 1, its high byte 1 and 2.
    """
    at, stride = WORD * (shape.immediates_at + part), len(shape.code)
    fixed = shape.code[at : at + WORD]
    stubs[at::stride] = low.translate(_scattered(fixed[0], 0, 0))
    middle = int.from_bytes(low.translate(_scattered(fixed[1], 0, 1)), "little")
    middle |= int.from_bytes(high.translate(_scattered(fixed[1], 1, 1)), "little")
    stubs[at + 1 :: stride] = middle.to_bytes(len(low), "little")
    stubs[at + 2 :: stride] = high.translate(_scattered(fixed[2], 1, 2))


@cache
def _scattered(fixed: int, source: int, position: int) -> bytes:
    """What byte *position* of an instruction becomes for each value of byte *source* of its immediate.

    Args:
        fixed: the byte's other bits.
        source: 0 or 1.
        position: 0 to 3.
    """
    shift = IMMEDIATE_SHIFT + 8 * source
    return bytes(fixed | (byte << shift >> 8 * position & 0xFF) for byte in range(256))
