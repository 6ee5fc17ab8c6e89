"""What tells one build from others where the linker wrote no build id."""

from __future__ import annotations

from hashlib import sha256

import pytest

from stubgen.common.code_digest import code_digest

CONTENT = bytes(range(200)) * 10


def read(offset: int, size: int) -> bytes:
    """So many bytes of the file, fewer at its end."""
    return CONTENT[offset : offset + size]


def test_each_range_counts_with_its_place_and_its_bytes() -> None:
    """A runtime in another language computes the same from the documented bytes."""
    places = b"".join(number.to_bytes(8, "little") for number in (0x1000, 16))
    others = b"".join(number.to_bytes(8, "little") for number in (0x2000, 8))
    expected = sha256(places + CONTENT[64:80] + others + CONTENT[80:88]).digest()
    assert code_digest([(0x1000, 64, 16), (0x2000, 80, 8)], read) == expected


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        [(0x1000, 64, len(CONTENT))],
        [(0x1000, 64, 1 << 60)],
        [(0x1000, 64, 16), (0x2000, 79, 8)],
        [(0x1000, 100, 50), (0x2000, 64, 40)],
    ],
    ids=["no code", "cut off", "endless", "overlapping", "overlapping backwards"],
)
def test_a_file_that_cannot_run_has_none(ranges: list[tuple[int, int, int]]) -> None:
    """A size that nobody could load kept a captured link from ever ending."""
    reads = 0

    def counted(offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        assert reads < 10
        return read(offset, size)

    assert code_digest(ranges, counted) is None
