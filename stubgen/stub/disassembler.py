"""Capstone: reads every distinct word of the stubs, once for as long as it is the same Capstone."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import column_bytes
from stubgen.errors import BrokenLibrary
from stubgen.stub.facts import LibraryFacts, either
from stubgen.stub.libraries import CAPSTONE, broken, load
from stubgen.stub.trampoline import (
    BRANCH,
    BRANCH_NUMBER,
    IMMEDIATE_SHIFT,
    IMMEDIATES,
    LANDING_PAD,
    LANDING_PAD_NUMBER,
    MOVES,
    WORD_NUMBERS,
    Instruction,
)

WORDS_AT_ONCE = 1024
"""Capstone keeps 240 bytes for each word that it is given at once: so many are in the processor's cache."""

_read = bytearray(-(-WORD_NUMBERS // 8))
"""The words that Capstone has read as they must be read in this process: a bit for each word number.

A thread that sets a bit may undo what another one sets in the same byte: that word is read once more.
"""


def forget_words() -> None:
    """Have Capstone read every word again: for benchmarks, which must not count on what it read before."""
    _read[:] = bytes(len(_read))


def confirm_words(numbers: Iterable[int], facts: LibraryFacts | None = None) -> None:
    """Have Capstone read the words with *numbers*, those that it is not known to read as they must be read.

    Args:
        numbers: see :data:`stubgen.stub.trampoline.WORD_NUMBERS`.
        facts: what is known from earlier commands; None: what Capstone read in this process counts.

    Raises:
        BrokenLibrary: it cannot be loaded, or reads a word as something else.
    """
    fresh, known = facts is not None and facts.fresh, bytes(_read)
    if facts is not None:
        known = facts.read_words() if fresh else either(known, facts.read_words())
    unread = [number for number in numbers if not known[number >> 3] >> (number & 7) & 1]
    if not unread:
        return
    try:
        _read_words(unread)
    except BrokenLibrary:
        if facts is not None and fresh:
            facts.forget()
        raise
    learned = bytearray(len(_read))
    for number in unread:
        learned[number >> 3] |= 1 << (number & 7)
    _read[:] = either(_read, learned)
    if facts is not None:
        facts.words_were_read(bytes(learned))


def _read_words(numbers: Sequence[int]) -> None:
    """Hold what Capstone reads against what belongs there."""
    words = [_word(number) for number in numbers]
    texts = _texts(words)
    for number, text, usual in zip(numbers, texts, map(_usual_text, numbers), strict=True):
        if text != usual:
            instruction, immediate = _instruction(number)
            with broken(CAPSTONE, "prints what nobody understands"):
                found = _meaning(*text)
            if found != (instruction.meaning, immediate):
                stands = f"'{' '.join(text).strip()}'" if text[0] else "nothing"
                meant = f"'{instruction.meaning}' with immediate {immediate:#x}"
                word = f"{_word(number):#010x}"
                raise BrokenLibrary(f"Capstone reads {word} as {stands}, not as {meant}: {CAPSTONE.advice}")


def _instruction(number: int) -> tuple[Instruction, int]:
    """Which word it is that has *number*: the instruction and its immediate."""
    fixed = _FIXED.get(number)
    return (fixed, 0) if fixed is not None else (MOVES[number >> _IMMEDIATE_BITS], number % IMMEDIATES)


def _word(number: int) -> int:
    """The word that has *number*."""
    if number < BRANCH_NUMBER:
        return _MOVES[number >> _IMMEDIATE_BITS] | number % IMMEDIATES << IMMEDIATE_SHIFT
    return _FIXED[number].word


def _usual_text(number: int) -> tuple[str, str]:
    """How Capstone prints the word with *number*, but for moves with an immediate below 10; other versions may differ.

    To compare takes a fraction of the time that it takes to tell what a text means.
    """
    if number >= BRANCH_NUMBER:
        return _USUAL_FIXED[number]
    mnemonic, shift = _USUAL_MOVES[number >> _IMMEDIATE_BITS]
    return mnemonic, f"x16, #{number % IMMEDIATES:#x}{shift}"


_IMMEDIATE_BITS = IMMEDIATES.bit_length() - 1
_FIXED = {BRANCH_NUMBER: BRANCH, LANDING_PAD_NUMBER: LANDING_PAD}
_MOVES = [move.word for move in MOVES]
_USUAL_FIXED = {BRANCH_NUMBER: ("br", "x16"), LANDING_PAD_NUMBER: ("hint", "#0x22")}
_USUAL_MOVES = [("mov", ""), *(("movk", f", lsl #{shift}") for shift in (16, 32, 48))]


def text_of(word: int) -> str:
    """*word* as Capstone prints it; empty where it knows none.

    Raises:
        BrokenLibrary: Capstone cannot be loaded.
    """
    ((mnemonic, operands),) = _texts([word])
    return f"{mnemonic} {operands}".strip()


def _texts(words: Sequence[int]) -> list[tuple[str, str]]:
    """Mnemonic and operands of each of *words*; empty where Capstone knows none.

    Raises:
        BrokenLibrary: Capstone cannot be loaded, or fails.
    """
    capstone = load(CAPSTONE)
    with broken(CAPSTONE, "does not disassemble"):
        disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
        disassembler.skipdata = True  # an unknown word becomes data and the next one is still read
        texts = [("", "")] * len(words)
        for first in range(0, len(words), WORDS_AT_ONCE):
            code = bytes(column_bytes(array("I", words[first : first + WORDS_AT_ONCE])))
            for address, _, mnemonic, operands in disassembler.disasm_lite(code, 0):
                if mnemonic[:1] != ".":
                    texts[first + address // WORD] = mnemonic, operands
    return texts


_OPERATIONS = {
    ("mov", ""): "movz x16",  # Capstone prints movz as its preferred alias
    ("movz", ""): "movz x16",
    **{("movk", f"lsl #{shift}"): f"movk x16 lsl {shift}" for shift in (16, 32, 48)},
}
"""Capstone's mnemonic and shift -> the operation in this tool's words."""


def _meaning(mnemonic: str, operands: str) -> tuple[str, int]:
    """Operation and immediate of what Capstone printed."""
    if operands.startswith("x16, #"):
        number, _, shift = operands[6:].partition(", ")
        operation = _OPERATIONS.get((mnemonic, shift))
        if operation is not None:
            return operation, int(number, 0)
    if mnemonic in ("bti", "hint") and operands in ("c", "#0x22"):
        return "bti c", 0
    return f"{mnemonic} {operands}", 0
