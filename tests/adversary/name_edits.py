"""Edits of names. Each keeps the program whole, callers included; None where it does not fit."""

from __future__ import annotations

from adversary.changes import changed, replaced
from adversary.edit_steps import Edits
from adversary.interpret import HEADER
from adversary.model import Accumulator, Binary, Call, Constant, Function, Program, Set, Variable
from adversary.names import can_be_aliased, can_be_anonymous, can_be_labelled
from adversary.scope import rank

NAME_EDITS = ("add_alias", "move_alias", "alias_to_function", "function_to_alias", "label", "namespace") * 2
"""The edits of programs with aliases."""


class NameEdits(Edits):
    """What people change of names."""

    def _add_alias(self, program: Program) -> Program | None:
        """A function, or a variable, has one more name, and the function's is called."""
        file = self._file(program).name
        if not self.generator.features.elf:
            return None
        if self.generator.chance(25):
            return self.generator.with_variable_alias(program, file, f"w{self._number}")
        made = self.generator.with_alias(program, file, f"q{self._number}")
        if made is None or made.file(file).functions[-1].by == "defsym":
            return None  # which the host's link had to say
        called = made.file(file).functions[-1]
        entry = next((each for each in made.file(file).functions if each.name == f"step_{file}"), None)
        if entry is None:
            return None
        looked_up = called.by != "ifunc" and self.generator.chance(30)
        arguments = tuple(Constant(3) for _ in called.parameters)
        call = Set(Binary("+", Accumulator(), Call(called.name, arguments, looked_up)))
        return replaced(made, file, entry._replace(body=(*entry.body, call)))

    def _alias(self, program: Program) -> tuple[str, Function] | None:
        found = [(file.name, f) for file in program.files for f in file.functions if f.alias and f.by != "defsym"]
        return self.random.choice(found) if found else None

    def _move_alias(self, program: Program) -> Program | None:
        """An alias becomes one of another function."""
        found = self._alias(program)
        if found is None:
            return None
        file, alias = found
        others = self._alike(program, file, alias, alias.alias)
        return replaced(program, file, alias._replace(alias=self.random.choice(others).name)) if others else None

    def _alike(self, program: Program, file: str, function: Function, but: str) -> list[Function]:
        """The functions that *function* can become another name of."""
        functions = program.file(file).functions
        alike = [f for f in functions if can_be_aliased(f) and f.parameters == function.parameters]
        return [each for each in alike if each.name != but and rank(each.name) < rank(function.name)]

    def _alias_to_function(self, program: Program) -> Program | None:
        """An alias becomes a function of its own."""
        found = self._alias(program)
        if found is None:
            return None
        file, alias = found
        function = alias._replace(alias="", by="")
        return replaced(program, file, function._replace(body=self.generator.body(program, file, function, 2)))

    def _function_to_alias(self, program: Program) -> Program | None:
        """A function becomes another name of one that is like it."""
        found = self._function(program, entries=False)
        if found is None or found[0] == HEADER or not self.generator.features.elf:
            return None
        file, function = found
        if not can_be_aliased(function) or any(f.alias == function.name for f in program.file(file).functions):
            return None
        if any(variable.function == function.name for variable in program.file(file).variables):
            return None
        others = self._alike(program, file, function, function.name)
        if not others:
            return None
        return replaced(program, file, function._replace(alias=self.random.choice(others).name, body=()))

    def _namespace(self, program: Program) -> Program | None:
        """What is static is so by a namespace without a name, or no longer."""
        found = self._variable(program) if self.generator.chance(50) else self._function(program, entries=False)
        if found is None or not (self.generator.features.cxx and can_be_anonymous(found[1])):
            return None
        return self._with_definition(program, found[0], found[1]._replace(anonymous=not found[1].anonymous))

    def _with_definition(self, program: Program, file: str, definition: Function | Variable) -> Program:
        if isinstance(definition, Function):
            return replaced(program, file, definition)
        variables = tuple(
            definition if (v.name, v.function) == (definition.name, "") else v for v in program.file(file).variables
        )
        return changed(program, file, variables=variables)

    def _label(self, program: Program) -> Program | None:
        """The assembler's name of something is another one, or its own again."""
        found = self._variable(program) if self.generator.chance(50) else self._function(program, entries=False)
        if found is None or found[0] == HEADER or self._is_ambiguous(program, found[1].name):
            return None
        file, definition = found
        if not can_be_labelled(definition):
            return None
        label = "" if definition.label else f"k_{definition.name}"
        return self._with_definition(program, file, definition._replace(label=label))
