"""Edits of variables. Each keeps the program whole, users included; None where it does not fit."""

from __future__ import annotations

from typing import Any

from adversary.changes import changed
from adversary.edit_steps import Edits
from adversary.interpret import HEADER
from adversary.model import Place, Program, Variable, variables_in
from adversary.scope import NUMBERS, WORDS, can_be_target


class VariableEdits(Edits):
    """What people change of variables."""

    def _add_variable(self, program: Program) -> Program | None:
        """A new variable, and a use of it."""
        file = self._file(program)
        users = [each for each in file.functions if not each.name.startswith("digest_")]
        if not users:
            return None
        function = self.random.choice(users)
        name, local = f"w{self._number}", function.name if self.generator.chance(25) else ""
        program = self.generator.with_variable(program, file.name, name, local)
        return self._using(program, file.name, function.name, name)

    def _remove_variable(self, program: Program) -> Program | None:
        """A variable goes, with what uses it."""
        found = self._variable(program)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        file, variable = found
        if any(variable.name in each.initial for f in program.files for each in f.variables):
            return None
        program = changed(program, file, variables=tuple(v for v in program.file(file).variables if v != variable))
        for each in program.files:
            functions = tuple(
                f._replace(body=tuple(s for s in f.body if variable.name not in variables_in(s)))
                for f in each.functions
            )
            program = changed(program, each.name, functions=functions)
        return program

    def _initial_value(self, program: Program) -> Program | None:
        """A variable, or a constant, begins with something else."""
        found = self._variable(program, local=True)
        if found is None:
            return None
        file, variable = found
        if variable.linkage == "common":
            return None  # which would make it the one that counts
        at = self.random.randrange(variable.cells)
        values = list(variable.initial or (0,) * variable.cells)
        leaf = variable.leaf(at)
        if leaf.kind in ("pointer", "function"):
            return None  # what it leads to must stand in front of it
        values[at] = self.random.choice(WORDS) if leaf.kind == "string" else leaf.stored(values[at] + 7)
        return self._with(program, file, variable, variable._replace(initial=tuple(values)))

    def _retype(self, program: Program) -> Program | None:
        """A number of a variable has another type."""
        found = self._variable(program)
        if found is None:
            return None
        file, variable = found
        at = self.random.randrange(len(variable.fields))
        label, leaf = variable.fields[at]
        if leaf.kind != "number" or not self._is_alone(program, variable.name):
            return None
        other = self.random.choice([each for each in NUMBERS if each != leaf])
        fields = (*variable.fields[:at], (label, other), *variable.fields[at + 1 :])
        return self._with(program, file, variable, self._refitted(variable._replace(fields=fields)))

    def _refitted(self, variable: Variable) -> Variable:
        if not variable.initial:
            return variable
        pairs = enumerate(variable.initial)
        values = tuple(variable.leaf(n).stored(value) if isinstance(value, int) else value for n, value in pairs)
        return variable._replace(initial=values)

    def _resize(self, program: Program) -> Program | None:
        """An array has more elements, or fewer."""
        found = self._variable(program)
        if found is None or not found[1].count or self._is_ambiguous(program, found[1].name):
            return None
        file, variable = found
        count = self.random.choice([n for n in range(2, 10) if n != variable.count])
        initial = variable.initial
        if initial:
            initial = (initial * 5)[: count * len(variable.fields)]
        return self._with(program, file, variable, variable._replace(count=count, initial=initial))

    def _reorder_fields(self, program: Program) -> Program | None:
        """Fields of a structure change places, or there is one more."""
        found = self._variable(program)
        if found is None or len(found[1].fields) < 2:
            return None
        file, variable = found
        if not self._is_alone(program, variable.name):
            return None
        order = list(range(len(variable.fields)))
        self.random.shuffle(order)
        place_of = {old: new for new, old in enumerate(order)}
        fields = tuple(variable.fields[old] for old in order)
        width = len(fields)
        rows = [variable.initial[at : at + width] for at in range(0, len(variable.initial), width)]
        initial = tuple(row[old] for row in rows for old in order)
        program = self._with(program, file, variable, variable._replace(fields=fields, initial=initial))

        def moved(node: Any) -> Any:
            is_it = type(node) is Place and node.variable == variable.name
            return node._replace(field=place_of[node.field]) if is_it else node

        return self._each_function(program, moved)

    def _rename_variable(self, program: Program) -> Program | None:
        """A variable is called otherwise."""
        found = self._variable(program)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        return self._renamed(program, found[1].name, f"w{self._number}")

    def _variable_linkage(self, program: Program) -> Program | None:
        """Likewise a variable."""
        found = self._variable(program)
        if found is None or found[0] == HEADER or self._is_ambiguous(program, found[1].name):
            return None
        file, variable = found
        if variable.linkage == "static":
            return self._with(program, file, variable, variable._replace(linkage="global"))
        if self._is_used_elsewhere(program, file, variable.name) or variable.linkage == "weak":
            return None
        return self._with(program, file, variable, variable._replace(linkage="static"))

    def _volatile(self, program: Program) -> Program | None:
        """A variable becomes volatile, or is so no longer."""
        found = self._variable(program)
        if found is None or found[1].constant or found[1].thread_local or can_be_target(found[1]):
            return None
        if not self._is_alone(program, found[1].name):
            return None
        file, variable = found
        if any(leaf.kind not in ("number", "bool", "double") for _, leaf in variable.fields):
            return None
        return self._with(program, file, variable, variable._replace(volatile=not variable.volatile))
