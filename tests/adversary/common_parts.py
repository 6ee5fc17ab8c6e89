"""Tentative definitions of one name in several files, of which linkers make one variable, as large as the largest."""

from __future__ import annotations

from adversary.changes import changed
from adversary.model import Program, Variable
from adversary.scope import NUMBERS, definers
from adversary.start_parts import StartParts


class CommonParts(StartParts):
    """Makes tentative definitions."""

    def with_common(self, program: Program, file: str, name: str) -> Program | None:
        """*program* with one more tentative definition of *name*."""
        known = definers(program, name)
        if any(each.name == file for each, _ in known):
            return None
        leaf = known[0][1].fields[0][1] if known else self.random.choice(NUMBERS)
        made = Variable(name, (("", leaf),), self.random.choice((2, 3, 5, 8)), (), "common")
        return changed(program, file, variables=(*program.file(file).variables, made))

    def with_commons(self, program: Program, files: list[str]) -> Program:
        """*program* with several such variables, of some of *files*."""
        for number in range(self.random.randint(1, 3)):
            for file in self.random.sample(files, self.random.randint(1, len(files))):
                program = self.with_common(program, file, f"v{70 + number}") or program
        return program
