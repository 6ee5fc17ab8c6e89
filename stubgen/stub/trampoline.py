"""The trampoline: assembled once by Keystone, filled in bulk, decoded by Capstone.

::

    [bti c]                 only under BTI, as hint #34: Keystone 0.9.2 does not know the mnemonic
    movz x16, #a0           x16 is IP0, which AAPCS64 reserves for veneers: no argument, no saved
    movk x16, #a1, lsl #16  register and no return address is touched
    movk x16, #a2, lsl #32
    movk x16, #a3, lsl #48
    br   x16                with x16 or x17, the one indirect branch that a `bti c` target accepts

Keystone costs 50-100 us a stub and Capstone 2 us an instruction, so neither runs once a stub. An instruction's
meaning depends on its word alone: Keystone assembles the template, whole columns of immediates are inserted
by integer arithmetic, and Capstone decodes each *distinct* word once, against which all stubs are checked.
"""

from __future__ import annotations

from _thread import allocate_lock
from array import array
from collections.abc import Collection, Mapping
from functools import cache, partial
from typing import ClassVar, NamedTuple

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import Pieces, column, column_bytes
from stubgen.common.view import BytesLike
from stubgen.errors import Refusal, VerificationRefusal

IMMEDIATE_SHIFT = 5  # bits; Arm ARM C6.2, MOVZ and MOVK: imm16 is bits 5 to 20
WORTH_A_WORD = 32  # stubs that take as long to look at as Capstone takes to read one word
CHUNK = 65536  # stubs handled at a time, so that scratch bytes stay in cache

_BRANCH = (
    "movz x16, #0",
    "movk x16, #0, lsl #16",
    "movk x16, #0, lsl #32",
    "movk x16, #0, lsl #48",
    "br x16",
)
_RESOLVER = ("ldr x0, [x0, #8]", "ret")
_LANDING_PAD = "hint #34"


class Template(NamedTuple):
    """A trampoline whose address is 0."""

    code: bytes
    immediates_at: int  # index of the first of the four words that hold 16 address bits each

    @property
    def words(self) -> int:
        """Instructions a stub."""
        return len(self.code) // WORD


_KEYSTONE = allocate_lock()
"""Keystone 0.9.2 registers LLVM's targets whenever it is opened: two threads at once end the process with SIGSEGV."""


@cache
def template(bti: bool) -> Template:
    """The trampoline's instructions as Keystone assembles them."""
    lines = (_LANDING_PAD, *_BRANCH) if bti else _BRANCH
    return Template(_assemble(lines), len(lines) - len(_BRANCH))


def _assemble(lines: tuple[str, ...]) -> bytes:
    """One instruction a line, as Keystone encodes it."""
    import keystone

    with _KEYSTONE:
        assembler = keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)
        encoded, count = assembler.asm("\n".join(lines))
        del assembler
    if encoded is None or count != len(lines) or len(encoded) != WORD * len(lines):
        raise VerificationRefusal(f"Keystone did not assemble {lines[-1]} and its like to one word an instruction")
    return bytes(encoded)


@cache
def descriptor_resolver(bti: bool) -> bytes:
    """The resolver of a TLS descriptor whose second half is the offset: called with its address in x0.

    It may change x0 and nothing else (AAELF64, "TLS descriptors").
    """
    return _assemble((_LANDING_PAD, *_RESOLVER) if bti else _RESOLVER)


def encode(addresses: array[int], *, bti: bool = False) -> Pieces:
    """One trampoline for each runtime address (array ``Q``), one after another.

    Raises:
        Refusal: an address is at or above 2^48.
    """
    raw = bytes(column_bytes(addresses))
    if (raw[6::8] + raw[7::8]).strip(b"\0"):  # ADDRESS_LIMIT: the two highest bytes are 0
        raise Refusal(f"runtime address {max(addresses):#x} is at or above 2^48, where user space ends")
    shape = template(bti)
    stride = len(shape.code)
    parts: list[BytesLike] = []
    for first in range(0, len(addresses), CHUNK):
        chunk = raw[8 * first : 8 * (first + CHUNK)]
        count = len(chunk) // 8
        stubs = bytearray(shape.code * count)
        for half in range(4):
            low, high = chunk[2 * half :: 8], chunk[2 * half + 1 :: 8]
            at = WORD * (shape.immediates_at + half)
            fixed = shape.code[at : at + WORD]
            stubs[at::stride] = low.translate(_scattered(fixed[0], 0, 0))
            middle = int.from_bytes(low.translate(_scattered(fixed[1], 0, 1)), "little")
            middle |= int.from_bytes(high.translate(_scattered(fixed[1], 1, 1)), "little")
            stubs[at + 1 :: stride] = middle.to_bytes(count, "little")
            stubs[at + 2 :: stride] = high.translate(_scattered(fixed[2], 1, 2))
        parts.append(stubs)
    return Pieces(parts)


@cache
def _scattered(fixed: int, source: int, position: int) -> bytes:
    """What byte *position* of an instruction becomes for each value of byte *source* of its immediate.

    The immediate begins in the middle of a byte, so its low byte reaches bytes 0 and 1, its high byte 1 and 2.

    Args:
        fixed: the byte's other bits.
        source: 0 or 1.
        position: 0 to 3.
    """
    shift = IMMEDIATE_SHIFT + 8 * source
    return bytes(fixed | (byte << shift >> 8 * position & 0xFF) for byte in range(256))


def decode(code: BytesLike, *, bti: bool = False) -> array[int]:
    """The address that each trampoline of *code* branches to, after Capstone has read every distinct word.

    Raises:
        VerificationRefusal: an instruction is not the one that belongs in its place; the message says which
            stub (index), what stands there and what should.
    """
    shape = template(bti)
    stride = len(shape.code)
    count, rest = divmod(len(code), stride)
    if rest:
        raise VerificationRefusal(f"the stubs' code is {len(code)} bytes, not a multiple of {stride}")
    view = memoryview(code)
    addresses = bytearray(8 * count)
    octets = [(bytearray(), bytearray()) for _ in range(4)]  # the different low and high bytes of the immediates
    for first in range(0, count, CHUNK):
        chunk = bytes(view[stride * first : stride * (first + CHUNK)])
        for position in range(shape.words):
            half = position - shape.immediates_at
            lane = [chunk[WORD * position + byte :: stride] for byte in range(WORD)]
            fixed = shape.code[WORD * position : WORD * (position + 1)]
            if not 0 <= half < 4:
                if not all(map(_is_all, lane, fixed)):
                    raise _stranger(view, shape, first)
                continue
            others = (lane[0].translate(_BESIDE[0]), lane[2].translate(_BESIDE[2]), lane[3])
            if not all(map(_is_all, others, (fixed[0], fixed[2], fixed[3]))):
                raise _stranger(view, shape, first)
            parts = _gathered(lane[0], lane[1]), _gathered(lane[1], lane[2])
            for place, (part, seen) in enumerate(zip(parts, octets[half], strict=True), start=8 * first + 2 * half):
                addresses[place : 8 * (first + CHUNK) : 8] = part
                seen.extend(set(part.translate(None, seen)))
    targets = column("Q", addresses)
    immediates = [_immediates(addresses, half, *octets[half]) for half in range(4)]
    fixed_words = [{0}] * (1 + shape.immediates_at) if count else []  # the branch; the landing pad, where there is one
    if not all(map(partial(_mean, shape), [*immediates, *fixed_words], (0, 1, 2, 3, 4, -1))):
        raise _stranger(view, shape, 0)
    return targets


def _immediates(addresses: bytearray, half: int, low: bytearray, high: bytearray) -> set[int]:
    """At least the immediates that *addresses* have in their 16-bit part *half*.

    All pairs of the bytes that occur, where those are few beside the stubs: Capstone reads some words too many then,
    which costs less than to look at each stub for the words that there are.
    """
    if len(low) * len(high) <= len(addresses) // 8 // WORTH_A_WORD:
        return {lower | upper << 8 for lower in low for upper in high}
    return set(column("H", addresses)[half::4])


_FIELD = 0xFFFF << IMMEDIATE_SHIFT
_BESIDE = [bytes(byte & ~(_FIELD >> 8 * position) & 0xFF for byte in range(256)) for position in range(WORD)]
"""For each byte of an instruction: what is left of it beside the immediate."""
_LOWER = bytes(byte >> IMMEDIATE_SHIFT for byte in range(256))
_UPPER = bytes(byte << 8 - IMMEDIATE_SHIFT & 0xFF for byte in range(256))
"""What two neighbouring bytes of an instruction hold of a byte of the immediate: its lower and its upper bits."""


def _gathered(before: bytes, behind: bytes) -> bytes:
    """A byte of each immediate, from the two bytes of the instruction that it lies across."""
    parts = int.from_bytes(before.translate(_LOWER), "little") | int.from_bytes(behind.translate(_UPPER), "little")
    return parts.to_bytes(len(before), "little")


def _is_all(lane: bytes, value: int) -> bool:
    """Whether every byte of *lane* is *value*."""
    return lane.count(value) == len(lane)


def _mean(shape: Template, immediates: Collection[int], half: int) -> bool:
    """Whether Capstone reads the instruction of *half* as what belongs there, with each of *immediates* in it."""
    at = WORD * (shape.immediates_at + half)
    fixed = int.from_bytes(shape.code[at : at + WORD], "little")
    meanings = _read_words({fixed | immediate << IMMEDIATE_SHIFT for immediate in immediates})
    expected = _expectation(half)
    return all(meanings[fixed | immediate << IMMEDIATE_SHIFT] == (expected, immediate) for immediate in immediates)


def _stranger(code: memoryview, shape: Template, first: int) -> VerificationRefusal:
    """The complaint about the first instruction, from stub *first* on, that is not the one that belongs there."""
    words = column("I", code[len(shape.code) * first :])
    for index, word in enumerate(words):
        stub, position = divmod(index, shape.words)
        half = position - shape.immediates_at
        fixed = int.from_bytes(shape.code[WORD * position : WORD * (position + 1)], "little")
        immediate = _immediate(word) if 0 <= half < 4 else 0
        meaning, expected = _read_words({word})[word], _expectation(half)
        if meaning != (expected, immediate) or word != fixed | immediate << IMMEDIATE_SHIFT:
            stands = "nothing Capstone knows" if meaning is None else str(meaning)
            return VerificationRefusal(
                f"stub {first + stub}: instruction {position} is {word:#010x} ({stands}), not {expected}"
            )
    raise AssertionError("a stub that is not as it should be has no instruction that is not")


def _immediate(word: int) -> int:
    return word >> IMMEDIATE_SHIFT & 0xFFFF


def _expectation(half: int) -> str:
    """What belongs where the address's 16-bit part *half* is set; -1 is the landing pad, 4 the branch."""
    return ("movz x16", "movk x16 lsl 16", "movk x16 lsl 32", "movk x16 lsl 48", "br x16", "bti c")[half]


Meaning = tuple[str, int] | None
"""Operation and immediate; None where Capstone knows none."""


class _Words:
    """The words that Capstone has read in this process: what they mean does not change."""

    known: ClassVar[dict[int, Meaning]] = {}
    limit = 1 << 18  # four positions of 2^16 immediates; beyond that they are strangers' words


def forget_words() -> None:
    """Have Capstone read every word again: for benchmarks, which must not count on what it read before."""
    _Words.known = {}


def _read_words(words: set[int]) -> Mapping[int, Meaning]:
    """What each of *words* means, and others; Capstone reads those that it has not read yet.

    Several threads may ask at once: a word appears with its meaning or not at all.
    """
    known = _Words.known
    unread = words - known.keys()
    if not unread:
        return known
    if len(known) + len(unread) > _Words.limit:
        known, unread = {}, words
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.skipdata = True  # an unknown word becomes data and the next one is still read
    distinct = sorted(unread)
    read: dict[int, Meaning] = dict.fromkeys(distinct)
    for address, _, mnemonic, operands in disassembler.disasm_lite(bytes(column_bytes(array("I", distinct))), 0):
        read[distinct[address // WORD]] = _operation(mnemonic, operands)
    known.update(read)
    _Words.known = known
    return known


_MOVES = {
    ("mov", ""): "movz x16",  # Capstone prints movz as its preferred alias
    ("movz", ""): "movz x16",
    **{("movk", f"lsl #{shift}"): f"movk x16 lsl {shift}" for shift in (16, 32, 48)},
}
"""Capstone's mnemonic and shift -> the operation in this module's words."""


def _operation(mnemonic: str, operands: str) -> Meaning:
    """Capstone's text in this module's words."""
    if operands.startswith("x16, #"):
        number, _, shift = operands[6:].partition(", ")
        operation = _MOVES.get((mnemonic, shift))
        if operation is not None:
            return operation, int(number, 0)
    if mnemonic in ("bti", "hint") and operands in ("c", "#0x22"):
        return "bti c", 0
    return f"{mnemonic} {operands}", 0
