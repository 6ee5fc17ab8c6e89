"""What edits are made of: the part that is chosen, and what an edit may ask of a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adversary.changes import changed, replaced, rewritten, with_name
from adversary.generate import Generator
from adversary.interpret import HEADER
from adversary.model import (
    Accumulator,
    Binary,
    Constant,
    File,
    Function,
    LeadsTo,
    Load,
    Place,
    Point,
    Program,
    Set,
    Store,
    Variable,
    functions_in,
    parts,
    variables_in,
)


def is_of_class(variable: Variable) -> bool:
    """Whether it is an object, or a pointer to one."""
    return bool(variable.of) or variable.fields[0][1].kind == "object"


class Edits:
    """Chooses what is edited.

    Args:
        generator: makes new parts.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.random = generator.random
        self._number = 0

    def _file(self, program: Program) -> File:
        return self.random.choice([file for file in program.files if file.name != HEADER])

    def _function(
        self, program: Program, *, entries: bool = True, methods: bool = False
    ) -> tuple[str, Function] | None:
        found = [
            (file.name, function)
            for file in program.files
            for function in file.functions
            if not (function.name.startswith("digest_") or function.alias or function.starts)
            if entries or not function.entry
            if methods or "::" not in function.name
        ]
        return self.random.choice(found) if found else None

    def _variable(self, program: Program, *, local: bool = False) -> tuple[str, Variable] | None:
        found = [
            (f.name, v) for f in program.files for v in f.variables if (local or not v.function) and not is_of_class(v)
        ]
        return self.random.choice(found) if found else None

    def _is_ambiguous(self, program: Program, name: str) -> bool:
        return sum(each.name == name for file in program.files for each in (*file.functions, *file.variables)) > 1

    def _is_pointed_to(self, program: Program, name: str) -> bool:
        if any(name in each.initial for file in program.files for each in file.variables):
            return True
        named = (part for file in program.files for part in parts(file.functions))
        return any(
            (type(part) is Point and part.target == name) or (type(part) is LeadsTo and part.variable == name)
            for part in named
        )

    def _is_alone(self, program: Program, name: str) -> bool:
        """Whether nothing points to the name, and one file alone defines it."""
        return not (self._is_pointed_to(program, name) or self._is_ambiguous(program, name))

    def _is_used_elsewhere(self, program: Program, file: str, name: str) -> bool:
        for each in program.files:
            uses = functions_in(each.functions) | variables_in(each.functions)
            uses |= {value for v in each.variables for value in v.initial if isinstance(value, str)}
            if each.name not in (file,) and name in uses:
                return True
        return False

    def _each_function(self, program: Program, change: Callable[[Any], Any]) -> Program:
        for file in program.files:
            program = changed(program, file.name, functions=tuple(rewritten(each, change) for each in file.functions))
        return program

    def _using(self, program: Program, file: str, function: str, name: str) -> Program:
        variable = next(each for each in program.file(file).variables if each.name == name)
        user = next(each for each in program.file(file).functions if each.name == function)
        numbers = [n for n, (_, leaf) in enumerate(variable.fields) if leaf.kind in ("number", "bool", "double")]
        if not numbers:
            return program
        place = Place(name, numbers[0], Accumulator() if variable.count else None)
        more: list[Any] = [Set(Binary("+", Accumulator(), Load(place)))]
        if not variable.constant:
            more.insert(0, Store(place, Binary("+", Load(place), Constant(3))))
        return replaced(program, file, user._replace(body=(*user.body, *more)))

    def _with(self, program: Program, file: str, old: Variable, new: Variable) -> Program:
        variables = tuple(new if each == old else each for each in program.file(file).variables)
        return changed(program, file, variables=variables)

    def _renamed(self, program: Program, old: str, new: str) -> Program:
        renamed: Program = with_name(program, old, new)
        return renamed
