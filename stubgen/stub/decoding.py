"""Reads trampolines back: where each branches to, after Capstone has read every distinct word."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import column
from stubgen.common.view import BytesLike
from stubgen.errors import BrokenLibrary, VerificationRefusal
from stubgen.stub.disassembler import confirm_words, text_of
from stubgen.stub.trampoline import (
    BRANCH_NUMBER,
    CHUNK,
    IMMEDIATE_SHIFT,
    IMMEDIATES,
    LANDING_PAD_NUMBER,
    PARTS,
    Template,
    template,
)

if TYPE_CHECKING:
    from stubgen.stub.facts import LibraryFacts

WORTH_A_WORD = 32  # stubs that take as long to look at as Capstone takes to read one word


def decode(code: BytesLike, *, bti: bool = False, facts: LibraryFacts | None = None) -> array[int]:
    """The address that each trampoline of *code* branches to, after Capstone has read every distinct word.

    Raises:
        VerificationRefusal: an instruction is not the one that belongs in its place; the message says which
            stub (index), what stands there and what should.
        BrokenLibrary: a word must be read and Capstone cannot be loaded, or reads it as something else.
    """
    shape = template(bti)
    stride = len(shape.code)
    count, rest = divmod(len(code), stride)
    if rest:
        raise VerificationRefusal(f"the stubs' code is {len(code)} bytes, not a multiple of {stride}")
    view = memoryview(code)
    addresses = bytearray(8 * count)
    occurring = [(bytearray(), bytearray()) for _ in range(PARTS)]  # different low and high bytes of the immediates
    for first in range(0, count, CHUNK):
        chunk = bytes(view[stride * first : stride * (first + CHUNK)])
        for position in range(shape.words):
            lanes = [chunk[WORD * position + byte :: stride] for byte in range(WORD)]
            fixed = shape.code[WORD * position : WORD * (position + 1)]
            part = position - shape.immediates_at
            has_immediate = 0 <= part < PARTS
            if not _is_instruction(lanes, fixed, has_immediate):
                raise _wrong_instruction(view, shape, first)
            if has_immediate:
                halves = _joined(lanes[0], lanes[1]), _joined(lanes[1], lanes[2])
                for at, (half, known) in enumerate(zip(halves, occurring[part], strict=True), 8 * first + 2 * part):
                    addresses[at : 8 * (first + CHUNK) : 8] = half
                    known.extend(set(half.translate(None, known)))
    if count:
        confirm_words(chain(_fixed_numbers(bti), _move_numbers(addresses, occurring)), facts)
    return column("Q", addresses)


def _fixed_numbers(bti: bool) -> list[int]:
    """The word numbers of the instructions that have no immediate."""
    return [BRANCH_NUMBER, LANDING_PAD_NUMBER] if bti else [BRANCH_NUMBER]


def _move_numbers(addresses: bytearray, occurring: Sequence[tuple[bytearray, bytearray]]) -> Iterator[int]:
    """The word numbers of at least the moves that set *addresses*.

    All pairs of the bytes that occur in a part, where those are few beside the stubs: Capstone reads some words too
    many then, which costs less than to look at each stub for the words that there are.
    """
    for part, (low, high) in enumerate(occurring):
        base = part * IMMEDIATES
        if len(low) * len(high) <= len(addresses) // 8 // WORTH_A_WORD:
            yield from (base | upper << 8 | lower for upper in high for lower in low)
        else:
            yield from map(base.__or__, set(column("H", addresses)[part::PARTS]))


_FIELD = (IMMEDIATES - 1) << IMMEDIATE_SHIFT
_BESIDE = [bytes(byte & ~(_FIELD >> 8 * position) & 0xFF for byte in range(256)) for position in range(WORD)]
"""For each byte of an instruction: what is left of it beside the immediate."""
_LOWER = bytes(byte >> IMMEDIATE_SHIFT for byte in range(256))
_UPPER = bytes(byte << 8 - IMMEDIATE_SHIFT & 0xFF for byte in range(256))
"""What two neighbouring bytes of an instruction hold of a byte of the immediate: its lower and its upper bits."""


def _is_instruction(lanes: Sequence[bytes], fixed: bytes, has_immediate: bool) -> bool:
    """Whether every instruction, given as the lanes of its four bytes, is *fixed* but for the immediate."""
    if has_immediate:  # byte 1 holds nothing else
        beside = (lanes[0].translate(_BESIDE[0]), lanes[2].translate(_BESIDE[2]), lanes[3])
        return all(map(_is_all, beside, (fixed[0], fixed[2], fixed[3])))
    return all(map(_is_all, lanes, fixed))


def _is_all(lane: bytes, value: int) -> bool:
    """Whether every byte of *lane* is *value*."""
    return lane.count(value) == len(lane)


def _joined(before: bytes, behind: bytes) -> bytes:
    """A byte of each immediate, from the two bytes of the instruction that it lies across."""
    halves = int.from_bytes(before.translate(_LOWER), "little") | int.from_bytes(behind.translate(_UPPER), "little")
    return halves.to_bytes(len(before), "little")


def _wrong_instruction(code: memoryview, shape: Template, first: int) -> VerificationRefusal:
    """The complaint about the first instruction, from stub *first* on, that is not the one that belongs there."""
    words = column("I", code[len(shape.code) * first :])
    for index, word in enumerate(words):
        stub, position = divmod(index, shape.words)
        expected = shape.instructions[position]
        field = _FIELD if 0 <= position - shape.immediates_at < PARTS else 0
        if word & ~field != expected.word:
            return VerificationRefusal(
                f"stub {first + stub}: instruction {position} is {word:#010x}{_shown(word)}, not {expected.meaning}"
            )
    raise AssertionError("a stub that is not as it should be has no instruction that is not")


def _shown(word: int) -> str:
    """What *word* is, in brackets; it is wrong whatever it is, so a Capstone that cannot tell stops nobody."""
    try:
        return f" ({text_of(word) or 'nothing Capstone knows'})"
    except BrokenLibrary:
        return ""
