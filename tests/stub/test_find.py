"""Stubs are found wherever they lie in a file's code, which is searched in pieces."""

from __future__ import annotations

from array import array

import pytest

from stubgen.common.columns import TABLE_AT_ONCE
from stubgen.image import Code
from stubgen.stub.find import _matches
from stubgen.stub.trampoline import encode, template

NOP = (0xD503201F).to_bytes(4, "little")


@pytest.mark.parametrize("bti", [False, True])
@pytest.mark.parametrize("start", [0, *range(TABLE_AT_ONCE - 24, TABLE_AT_ONCE + 8, 4), 3 * TABLE_AT_ONCE])
def test_a_stub_across_pieces_is_found(start: int, bti: bool) -> None:
    """A stub that lies in two pieces of the code would be missing in what inspect and check say of a patch."""
    stub = bytes(encode(array("Q", [0x5500012340]), bti=bti))
    content = NOP * (start // 4) + stub + NOP * 3 + template(bti=False).code[-4:] + b"\x01"
    assert list(_matches(Code(1, 0x1000, memoryview(content)))) == [(start, bti)]
