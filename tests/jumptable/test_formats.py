"""The forms of a jump table, byte for byte: a runtime that reads another one jumps anywhere."""

from __future__ import annotations

import json
import struct

import pytest

from stubgen.jumptable import Entry, JumpTable
from stubgen.jumptable.formats import DOCUMENTS, FORMATS, encode_jump_table

TABLE = JumpTable(
    *("/run/patch.so", "main", 0x100, 0x200),
    (Entry("f", "a.o", 0x110, 0x210), Entry("g", "b.o", 0x120, 0x230)),
    (),
    (),
    content=b"\x7fELF...",
)
SUBSECOND = {
    "lib": "/run/patch.so",
    "map": {"272": 0x210, "288": 0x230},
    "aslr_reference": 0x100,
    "new_base_address": 0x200,
    "ifunc_count": 0,
}
WHISKER = {**SUBSECOND, "map": [[0x110, 0x210], [0x120, 0x230]]}
EXPECTED: dict[str, dict[str, object]] = {
    "subsecond": SUBSECOND,
    "whisker": WHISKER,
    "pairs": {
        "schema": 1,
        "library": "/run/patch.so",
        "anchor": {"name": "main", "host": 0x100, "patch": 0x200},
        "functions": [
            {"name": "f", "object": "a.o", "old": 0x110, "new": 0x210},
            {"name": "g", "object": "b.o", "old": 0x120, "new": 0x230},
        ],
    },
    "devserver": {
        "HotReload": {
            "templates": [],
            "assets": [],
            "ms_elapsed": 0,
            "jump_table": SUBSECOND,
            "for_build_id": None,
            "for_pid": 77,
        }
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_document(name: str) -> None:
    """Keys and numbers are the consumer's: serde refuses another key, and takes another number."""
    content = encode_jump_table(TABLE, name, 77)
    assert json.loads(content) == EXPECTED[name]
    assert content.endswith(b"}\n")
    assert (content.count(b"\n") == 1) is (name == "devserver")  # a message is a line
    if name != "devserver":
        assert content.startswith(b'{\n  "')


def test_a_message_for_any_process() -> None:
    """Without a process all clients take it."""
    assert json.loads(encode_jump_table(TABLE, "devserver"))["HotReload"]["for_pid"] is None


def test_the_frame_carries_the_library() -> None:
    """The device reads a length, a header and the patch from one stream."""
    content = encode_jump_table(TABLE, "whisker-frame")
    (size,) = struct.unpack_from(">Q", content)
    assert json.loads(content[8 : 8 + size]) == {"kind": "patch", "table": WHISKER}
    assert content[8 + size :] == b"\x7fELF..."


def test_the_names_of_the_formats() -> None:
    """Those that a command line may have."""
    assert [*DOCUMENTS] == ["subsecond", "pairs", "whisker", "devserver"]
    assert FORMATS == ("subsecond", "pairs", "whisker", "devserver", "whisker-frame")
