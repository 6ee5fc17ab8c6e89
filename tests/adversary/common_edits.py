"""Edits of tentative definitions. None where one does not fit."""

from __future__ import annotations

from adversary.edit_steps import Edits
from adversary.model import Program

COMMON_EDITS = ("more_common", "more_common", "other_common") * 2
"""The edits of programs with such variables."""


class CommonEdits(Edits):
    """What people change of tentative definitions."""

    def _more_common(self, program: Program) -> Program | None:
        """One more file defines such a variable, and uses it."""
        file = self._file(program)
        names = {v.name for each in program.files for v in each.variables if v.linkage == "common"}
        users = [each for each in file.functions if not (each.name.startswith("digest_") or each.alias or each.starts)]
        if not (names and users) or names & {v.name for v in file.variables}:
            return None
        name = self.random.choice(sorted(names))
        made: Program | None = self.generator.with_common(program, file.name, name)
        return made and self._using(made, file.name, self.random.choice(users).name, name)

    def _other_common(self, program: Program) -> Program | None:
        """A file makes one larger, or smaller."""
        file = self._file(program)
        found = [variable for variable in file.variables if variable.linkage == "common"]
        if not found:
            return None
        variable = self.random.choice(found)
        count = self.random.choice([n for n in (2, 3, 5, 8, 9) if n != variable.count])
        return self._with(program, file.name, variable, variable._replace(count=count))
