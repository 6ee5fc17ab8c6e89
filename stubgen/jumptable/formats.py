"""The forms in which runtimes take a jump table: one row each."""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import pack

from stubgen.jumptable import JumpTable


def subsecond(table: JumpTable) -> dict[str, object]:
    """``JumpTable`` of Dioxus' subsecond, as serde writes it: decimal strings are the keys of ``map``."""
    return {
        "lib": table.library,
        "map": {str(entry.old): entry.new for entry in table.entries},
        "aslr_reference": table.host_anchor,
        "new_base_address": table.patch_anchor,
        "ifunc_count": 0,  # sizes a table that only WebAssembly has
    }


def pairs(table: JumpTable) -> dict[str, object]:
    """Old and new address of each function with its name, and the anchor in both files: for any runtime."""
    return {
        "schema": 1,
        "library": table.library,
        "anchor": {"name": table.anchor, "host": table.host_anchor, "patch": table.patch_anchor},
        "functions": [
            {"name": entry.name, "object": entry.object, "old": entry.old, "new": entry.new} for entry in table.entries
        ],
    }


def whisker(table: JumpTable) -> dict[str, object]:
    """The table of Whisker's fork of subsecond: ``map`` is a list of pairs."""
    return {**subsecond(table), "map": [[entry.old, entry.new] for entry in table.entries]}


def devserver(table: JumpTable, pid: int | None = None) -> dict[str, object]:
    """The message with which Dioxus' development server hands a table to its clients."""
    return {
        "HotReload": {
            "templates": [],
            "assets": [],
            "ms_elapsed": 0,
            "jump_table": subsecond(table),
            "for_build_id": None,
            "for_pid": pid,
        }
    }


def whisker_frame(table: JumpTable) -> bytes:
    """What Whisker's device reads: 8 bytes big-endian for the header's length, the header as JSON, the library."""
    header = json.dumps({"kind": "patch", "table": whisker(table)}).encode()
    return pack(">Q", len(header)) + header + table.content


FRAME = "whisker-frame"
DOCUMENTS: dict[str, Callable[[JumpTable], dict[str, object]]] = {
    "subsecond": subsecond,
    "pairs": pairs,
    "whisker": whisker,
    "devserver": devserver,
}
"""Name of a format -> the table in it."""
FORMATS = (*DOCUMENTS, FRAME)


def encode_jump_table(table: JumpTable, name: str, pid: int | None = None) -> bytes:
    """The table in the format *name*.

    Args:
        table: what a runtime is told.
        name: one of ``FORMATS``.
        pid: the process that a development server's message is for.
    """
    if name == FRAME:
        return whisker_frame(table)
    document = devserver(table, pid) if name == "devserver" else DOCUMENTS[name](table)
    return (json.dumps(document, indent=None if name == "devserver" else 2) + "\n").encode()
