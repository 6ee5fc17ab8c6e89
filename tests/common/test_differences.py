"""Where two files differ: what is said to be equal is."""

from __future__ import annotations

import random

import pytest

from stubgen.common.differences import BLOCK, BLOCKS, Differences

SIZE = 3 * BLOCK * BLOCKS + 77


@pytest.mark.parametrize("seed", range(8))
def test_no_byte_that_differs_is_called_equal(seed: int) -> None:
    """A section that is taken for unchanged is not looked into again: what was written there would be linked unseen."""
    chance = random.Random(seed)
    one = chance.randbytes(SIZE)
    other = bytearray(one)
    changed = {chance.randrange(SIZE) for _ in range(chance.randrange(1, 9))} | {0, SIZE - 1}
    for place in changed:
        other[place] ^= 1 << chance.randrange(8)
    differences = Differences(one, bytes(other))
    assert all(differences.touch(place, 1) for place in changed)
    ranges = [(chance.randrange(SIZE), chance.randrange(3 * BLOCK)) for _ in range(400)]
    ranges += [(place + off, size) for place in changed for off in (-BLOCK, -1, 0, 1) for size in (1, 2, BLOCK)]
    told = [
        (one[start : start + size] == other[start : start + size], differences.touch(start, size))
        for start, size in ranges
        if start >= 0 and start + size <= SIZE
    ]
    assert (False, False) not in told
    assert (True, False) in told, "nothing was called equal, and the whole file is looked into"


def test_what_only_one_has_differs() -> None:
    """A copy that is cut off, or longer, is not equal there."""
    text = bytes(2 * BLOCK)
    for differences in (Differences(text, text[:-1]), Differences(text[:-1], text)):
        assert differences.touch(len(text) - 1, 1)
        assert differences.touch(len(text), 1)
        assert not differences.touch(0, BLOCK)
        assert not differences.touch(len(text) + 5, 0)


def test_what_is_appended_differs() -> None:
    """A section that was moved to the end of a copy has bytes there that the original does not have."""
    text = bytes(2 * BLOCK)
    assert Differences(text, text + b"\0").touch(len(text), 1)
    assert Differences(text + b"\0", text).touch(len(text), 1)
