"""Keeps names out of patches: one that refers to a name on the list is refused, and says on which line.

::

    hotpatch-stubgen link ... --policy examples/policies/keep_out.py:KeepOut=forbidden.txt

A line of the list is a name, or a pattern as a shell has them (``payment_*``), and what is behind a ``#`` says why.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from stubgen import Decision, Policy, RefuseSymbol


class KeepOut(Policy):
    """No patch refers to what the file at *path* lists."""

    def __init__(self, path: str) -> None:
        self._title = Path(path).name
        self._rules: list[tuple[str, str]] = []
        for line in Path(path).read_text().splitlines():
            pattern, _, reason = (part.strip() for part in line.partition("#"))
            if pattern:
                self._rules.append((pattern, reason))

    def verdict(self, proposed: Decision) -> RefuseSymbol | None:
        """A refusal, if the list has the symbol's name."""
        for pattern, reason in self._rules:
            if fnmatchcase(proposed.name, pattern):
                return RefuseSymbol(f"{pattern} is on {self._title}" + (f" ({reason})" if reason else ""))
        return None
