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
    view, addresses = memoryview(code), array("Q")
    absent = [[_OCTETS, _OCTETS] for _ in range(PARTS)]  # what no low, and no high byte of the part's immediates is
    for first in range(0, count, CHUNK):
        chunk = bytes(view[stride * first : stride * (first + CHUNK)])
        size = len(chunk) // stride
        targets = bytearray(8 * size)
        for position, instruction in enumerate(shape.instructions):
            part = position - shape.immediates_at
            field = _FIELD if 0 <= part < PARTS else 0
            octets = [_shortened(chunk[WORD * position + number :: stride]) for number in range(WORD)]
            if not all(map(_are_beside, octets, _octets(instruction.word), _octets(field))):
                raise _wrong_instruction(view, shape, first)
            if field:
                low, high = _halves(octets)
                targets[2 * part :: 8] = low * (size // len(low))
                targets[2 * part + 1 :: 8] = high * (size // len(high))
                absent[part] = list(map(bytes.translate, absent[part], (None, None), (low, high)))
        addresses += column("Q", targets)
    if count:
        confirm_words(_fixed_numbers(bti) + _move_numbers(addresses, absent), facts)
    return addresses


def _fixed_numbers(bti: bool) -> list[int]:
    """The word numbers of the instructions that have no immediate."""
    return [BRANCH_NUMBER, LANDING_PAD_NUMBER] if bti else [BRANCH_NUMBER]


_OCTETS = bytes(range(256))


def _move_numbers(addresses: array[int], absent: Sequence[Sequence[bytes]]) -> list[int]:
    """The word numbers of at least the moves that make up *addresses*.

    All pairs of the bytes that occur in a part, where those are few beside the stubs: Capstone reads some words too
    many then, which costs less than to look at each stub for the words that there are.
    """
    numbers: list[int] = []
    for part, octets in enumerate(absent):
        base = part * IMMEDIATES
        low, high = (_OCTETS.translate(None, missing) for missing in octets)
        if len(low) * len(high) <= len(addresses) // WORTH_A_WORD:
            numbers += [base | upper << 8 | lower for upper in high for lower in low]
        else:
            immediates = column("H", column_bytes(addresses))[part::PARTS]
            numbers += [base | immediate for immediate in set(immediates)]
    return numbers


_FIELD = (IMMEDIATES - 1) << IMMEDIATE_SHIFT


def _octets(word: int) -> bytes:
    return word.to_bytes(WORD, "little")


def _shortened(octets: bytes) -> bytes:
    """One octet instead of many that are the same, such as those of the upper parts of one program's addresses."""
    return octets[:1] if octets == octets[:1] * len(octets) else octets


def _are_beside(octets: bytes, fixed: int, field: int) -> bool:
    """Whether all *octets* are *fixed* but for the bits of *field*."""
    return not octets.translate(None, _choices(fixed, field))


@cache
def _choices(fixed: int, field: int) -> bytes:
    """The octets that are *fixed* but for the bits of *field*, which lie side by side."""
    return bytes(fixed | value for value in range(0, field + 1, field & -field or 1))


def _halves(octets: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The low and the high bytes of immediates, from columns of the bytes of moves; one each where all are the same.

    An immediate begins in the middle of a byte, so each half of it is in two of those.
    """
    size = max(map(len, octets[:3]))
    lowest, middle, highest = (each * (size // len(each)) for each in octets[:3])
    down, up = (lowest + middle).translate(_DOWN), (middle + highest).translate(_UP)
    both = int.from_bytes(down, "little") | int.from_bytes(up, "little")
    raw = both.to_bytes(2 * size, "little")
    return raw[:size], raw[size:]


_DOWN = bytes(octet >> IMMEDIATE_SHIFT for octet in range(256))
_UP = bytes(octet << 8 - IMMEDIATE_SHIFT & 0xFF for octet in range(256))


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
