"""Random constructors: functions that run when the program, or a patch, is loaded.

Linkers run those of several files in an order that no language says: each adds to numbers of its own file or of others,
and reads nothing else.
"""

from __future__ import annotations

from adversary.changes import changed
from adversary.model import Binary, Constant, Function, Load, Place, Program, Statement, Store, Variable
from adversary.name_parts import NameParts
from adversary.scope import Scope


class StartParts(NameParts):
    """Makes constructors."""

    def with_constructor(self, program: Program, file: str) -> Program | None:
        """*program* with a constructor in a file, in place of the one that it may have."""
        made = Function(f"begin_{file}", (), (), "static", "never", starts=True)
        scope = Scope(program, file, made.name)
        body = [self._addition(each) for each in scope.variables if _can_be_added_to(each) and self.chance(40)]
        if not body:
            return None
        functions = [each for each in program.file(file).functions if each.name != made.name]
        return changed(program, file, functions=(made._replace(body=tuple(body[:4])), *functions))

    def _addition(self, variable: Variable) -> Statement:
        element = Constant(self.random.randrange(9)) if variable.count else None
        number = next(n for n, (_, leaf) in enumerate(variable.fields) if leaf.kind == "number")
        place = Place(variable.name, number, element)
        return Store(place, Binary("+", Load(place), Constant(self.random.randrange(1, 50))))


def _can_be_added_to(variable: Variable) -> bool:
    is_plain = not (variable.constant or variable.thread_local or variable.dynamic or variable.of or variable.function)
    return is_plain and any(leaf.kind == "number" for _, leaf in variable.fields)
