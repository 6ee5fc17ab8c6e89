"""Edits of constructors."""

from __future__ import annotations

from adversary.changes import changed
from adversary.edit_steps import Edits
from adversary.model import Program

START_EDITS = ("constructor", "constructor", "no_constructor") * 2
"""The edits of programs with constructors."""


class StartEdits(Edits):
    """What people change of what runs at the start."""

    def _constructor(self, program: Program) -> Program | None:
        """A file has a constructor, or another one."""
        return self.generator.with_constructor(program, self._file(program).name)

    def _no_constructor(self, program: Program) -> Program | None:
        """A file has none any more."""
        file = self._file(program)
        kept = tuple(each for each in file.functions if not each.starts)
        return changed(program, file.name, functions=kept) if len(kept) < len(file.functions) else None
