"""Pins functions to an earlier patch's: whatever it replaced is called there, and not in the host.

::

    hotpatch-stubgen link ... --policy examples/policies/pin.py:Pin=first.json@0xffff91a40000

``first.json`` is what ``link --override-map`` wrote for that patch, and the address is where the process loaded it.
"""

from __future__ import annotations

import json
from pathlib import Path

from stubgen import Decision, Policy, UsageError, UseAddress


class Pin(Policy):
    """Calls of a function that the patch of *argument*, ``MAP@ADDRESS``, replaced go to that patch."""

    def __init__(self, argument: str) -> None:
        path, _, base = argument.rpartition("@")
        if not path:
            raise UsageError(f"Pin={argument}: give the map and where that patch is loaded, as MAP@0x7f12340000")
        self._base = int(base, 0)
        self._title = Path(path).stem
        self._functions: dict[str, int] = json.loads(Path(path).read_text())["functions"]

    def verdict(self, proposed: Decision) -> UseAddress | None:
        """The earlier patch's function of that name, if it has one."""
        offset = self._functions.get(proposed.name)
        if offset is None:
            return None
        return UseAddress(self._base + offset, f"pinned to {self._title}")
