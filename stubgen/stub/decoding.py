"""Reads trampolines back: where each branches to, after Capstone has read every distinct word."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import column, column_bytes
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
    Instruction,
    Template,
    template,
)

TYPE_CHECKING = False
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
    immediates = array("H", bytes(2 * PARTS * count))  # of each stub those of its parts, the lowest first
    absent = [[_OCTETS, _OCTETS] for _ in range(PARTS)]  # what no low, and no high byte of the part's immediates is
    for first in range(0, count, CHUNK):
        words = column("I", view[stride * first : stride * (first + CHUNK)])
        for position, instruction in enumerate(shape.instructions):
            there = words[position :: shape.words]
            part = position - shape.immediates_at
            found = _immediates(there, instruction) if 0 <= part < PARTS else None
            if not found and there != array("I", [instruction.word]) * len(there):
                raise _wrong_instruction(view, shape, first)
            if found:
                immediates[PARTS * first + part : PARTS * (first + CHUNK) : PARTS] = found
                absent[part] = list(map(bytes.translate, absent[part], (None, None), _halves(found)))
    addresses = column("Q", column_bytes(immediates))
    if count:
        confirm_words(_fixed_numbers(bti) + _move_numbers(immediates, absent), facts)
    return addresses


def _fixed_numbers(bti: bool) -> list[int]:
    """The word numbers of the instructions that have no immediate."""
    return [BRANCH_NUMBER, LANDING_PAD_NUMBER] if bti else [BRANCH_NUMBER]


_OCTETS = bytes(range(256))


def _move_numbers(immediates: array[int], absent: Sequence[Sequence[bytes]]) -> list[int]:
    """The word numbers of at least the moves that have *immediates*.

    All pairs of the bytes that occur in a part, where those are few beside the stubs: Capstone reads some words too
    many then, which costs less than to look at each stub for the words that there are.
    """
    numbers: list[int] = []
    for part, octets in enumerate(absent):
        base = part * IMMEDIATES
        low, high = (_OCTETS.translate(None, missing) for missing in octets)
        if len(low) * len(high) <= len(immediates) // PARTS // WORTH_A_WORD:
            numbers += [base | upper << 8 | lower for upper in high for lower in low]
        else:
            numbers += [base | immediate for immediate in set(immediates[part::PARTS])]
    return numbers


_FIELD = (IMMEDIATES - 1) << IMMEDIATE_SHIFT


def _immediates(words: array[int], move: Instruction) -> array[int]:
    """The immediate of each of *words* (array ``H``); none if one of them is not *move* but for it."""
    if words == words[:1] * len(words):  # such as those of the upper parts of one program's addresses
        word = words[0]
        right = word & ~_FIELD == move.word
        return array("H", [(word & _FIELD) >> IMMEDIATE_SHIFT]) * (len(words) if right else 0)
    beside = _lanes(words) ^ _lane(move.word, len(words))  # what is left of each: the immediate in its place
    if beside & _lane(~_FIELD & 0xFFFFFFFF, len(words)):
        return array("H")
    return column("H", (beside >> IMMEDIATE_SHIFT).to_bytes(WORD * len(words), "little"))[::2]


def _lanes(words: array[int]) -> int:
    """All *words* as one number, of which each has 32 bits."""
    return int.from_bytes(column_bytes(words), "little")


def _lane(word: int, count: int) -> int:
    """*word* in each of at most CHUNK lanes."""
    return _chunk_of(word) >> 32 * (CHUNK - count)


@cache
def _chunk_of(word: int) -> int:
    """*word* in CHUNK lanes."""
    return _lanes(array("I", [word]) * CHUNK)


def _halves(values: array[int]) -> tuple[bytes, bytes]:
    """The low and the high bytes of 16-bit *values*."""
    raw = bytes(column_bytes(values))
    return raw[0::2], raw[1::2]


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
