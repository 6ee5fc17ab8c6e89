"""What is made of the words that Capstone prints, in whichever version's spelling."""

from __future__ import annotations

import pytest
from tools import need_module

from stubgen.stub import disassembler
from stubgen.stub.trampoline import BRANCH_NUMBER, LANDING_PAD_NUMBER

MEANINGS = {
    ("mov", "x16, #0"): ("movz x16", 0),
    ("mov", "x16, #0x1234"): ("movz x16", 0x1234),
    ("movz", "x16, #9"): ("movz x16", 9),
    ("movk", "x16, #0x10, lsl #16"): ("movk x16 lsl 16", 16),
    ("movk", "x16, #0x10, lsl #32"): ("movk x16 lsl 32", 16),
    ("movk", "x16, #10, lsl #48"): ("movk x16 lsl 48", 10),
    ("hint", "#0x22"): ("bti c", 0),
    ("bti", "c"): ("bti c", 0),
    ("br", "x16"): ("br x16", 0),
    ("bti", "j"): ("bti j", 0),
    ("nop", "c"): ("nop c", 0),
    ("mov", "x17, #0"): ("mov x17, #0", 0),
    ("movk", "x16, #1"): ("movk x16, #1", 0),
    ("movn", "x16, #1"): ("movn x16, #1", 0),
    ("mov", "x16, #1, lsl #16"): ("mov x16, #1, lsl #16", 0),
}
"""Mnemonic and operands -> the operation in our words, and its immediate."""


@pytest.mark.parametrize("printed", MEANINGS, ids=" ".join)
def test_what_capstone_prints_is_understood_or_left_as_it_is(printed: tuple[str, str]) -> None:
    """A new version's spelling must not stop everybody, nor another instruction pass for ours."""
    assert disassembler._meaning(*printed) == MEANINGS[printed]


def test_a_word_that_is_none_hides_no_other() -> None:
    """Without that the stubs behind a broken one would be read as nothing."""
    need_module("capstone", "capstone")
    texts = disassembler._texts([0xFFFFFFFF, 0xD61F0200, 0x00000000, 0xD2800010])
    assert texts[0] == ("", "")
    assert texts[1] == ("br", "x16")
    assert texts[3] == ("mov", "x16, #0")
    assert disassembler.text_of(0xFFFFFFFF) == ""
    assert disassembler.text_of(0xD65F03C0) == "ret"


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_each_word_has_the_text_of_its_own(beyond: int) -> None:
    """Capstone is given some at a time: behind a wrong seam every word would be another one's."""
    need_module("capstone", "capstone")
    numbers = range(0x1_1000, 0x1_1000 + disassembler.WORDS_AT_ONCE + beyond)
    texts = disassembler._texts([*map(disassembler._word, numbers), 0xFFFFFFFF, 0xD61F0200])
    assert texts == [*map(disassembler._usual_text, numbers), ("", ""), ("br", "x16")]


@pytest.mark.parametrize("number", [0, 9, 10, 0xFFFF, 0x1_0000, 0x2_1234, 0x3_FFFF, BRANCH_NUMBER, LANDING_PAD_NUMBER])
def test_every_number_is_one_word(number: int) -> None:
    """Another word's would be vouched for instead."""
    need_module("capstone", "capstone")
    (text,) = disassembler._texts([disassembler._word(number)])
    instruction, immediate = disassembler._instruction(number)
    assert disassembler._meaning(*text) == (instruction.meaning, immediate)
    if immediate > 9 or number == BRANCH_NUMBER:  # below 10 and of landing pads versions differ
        assert disassembler._usual_text(number) == text
