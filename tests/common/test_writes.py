"""Which registers an instruction surely changes: where it is not seen, a value is taken to live on."""

from __future__ import annotations

import pytest

from stubgen.common.aarch64 import writes

WORDS = {
    "ldr w1, [x20], #4": (0xB8404681, {1, 20}),
    "str x1, [x20, #-8]!": (0xF81F8E81, {20}),
    "ldp x1, x2, [x20], #16": (0xA8C10A81, {1, 2, 20}),
    "stp x1, x2, [x20, #-16]!": (0xA9BF0A81, {20}),
    "ldr x1, [x20, #8]": (0xF9400681, {1}),
    "ldur x1, [x20, #8]": (0xF8408281, {1}),
    "ldtr x1, [x20, #8]": (0xF8408A81, {1}),
    "ldr x1, [x20, x3]": (0xF8636A81, {1}),
    "str x1, [x20, #8]": (0xF9000681, set()),
    "ldp x1, x2, [x20, #16]": (0xA9410A81, {1, 2}),
    "stp x1, x2, [x20, #16]": (0xA9010A81, set()),
    "add x1, x20, #1": (0x91000681, {1}),
    "cmp x1, x20": (0xEB14003F, set()),
}


@pytest.mark.parametrize("text", WORDS)
def test_a_word(text: str) -> None:
    """A loop over a table compares where it has come to, which is not where the table begins."""
    word, changed = WORDS[text]
    assert {register for register in range(31) if writes(word, register)} == changed
