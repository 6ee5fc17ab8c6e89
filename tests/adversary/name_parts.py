"""Random aliases, and names that are the assembler's alone."""

from __future__ import annotations

from adversary.changes import changed, replaced
from adversary.class_parts import ClassParts
from adversary.classes import HEADER
from adversary.model import Function, Program, Variable
from adversary.names import can_be_aliased, can_be_anonymous, can_be_labelled, can_be_named_again


class NameParts(ClassParts):
    """Gives definitions other names."""

    def with_alias(self, program: Program, file: str, name: str) -> Program | None:
        """*program* with another name for a function of a file; it may be a default, which another file overrides."""
        found = [each for each in program.file(file).functions if can_be_aliased(each)]
        if not found:
            return None
        target = self.random.choice(found)
        by = self.random.choice(("", "", "", "ifunc", "defsym"))
        if by == "defsym" and target.linkage != "global":
            by = ""
        linkage = "global" if by else self.random.choice(("static", "global", "global", "hidden", "weak"))
        made = Function(name, target.parameters, (), linkage, "never", alias=target.name, by=by)
        program = changed(program, file, functions=(*program.file(file).functions, made))
        homes = [each.name for each in program.files if each.name not in (HEADER, file)]
        if linkage != "weak" or not homes or self.chance(50):
            return program
        home = self.random.choice(homes)
        strong = Function(name, target.parameters, (), "global", "never")
        program = changed(program, home, functions=(*program.file(home).functions, strong))
        return replaced(program, home, strong._replace(body=self.body(program, home, strong, 2)))

    def with_variable_alias(self, program: Program, file: str, name: str) -> Program | None:
        """*program* with another name for a static variable, by which other files know it."""
        found = [each for each in program.file(file).variables if can_be_named_again(each)]
        if not found:
            return None
        target = self.random.choice(found)
        made = target._replace(name=name, linkage="global", initial=(), alias=target.name, label="")
        return changed(program, file, variables=(*program.file(file).variables, made))

    def with_labels(self, program: Program, percent: int) -> Program:
        """*program* with names for the assembler in some definitions."""
        names = [each.name for file in program.files for each in (*file.functions, *file.variables)]
        for file in program.files:
            functions = tuple(
                each._replace(label=f"x_{each.name}") if self._is_labelled(each, names, percent) else each
                for each in file.functions
            )
            variables = tuple(
                each._replace(label=f"x_{each.name}") if self._is_labelled(each, names, percent) else each
                for each in file.variables
            )
            program = changed(program, file.name, variables=variables, functions=functions)
        return program

    def with_namespaces(self, program: Program, percent: int) -> Program:
        """*program* with some of its static definitions in namespaces without a name."""
        for file in program.files:
            variables = tuple(each._replace(anonymous=self._is_anonymous(each, percent)) for each in file.variables)
            functions = tuple(each._replace(anonymous=self._is_anonymous(each, percent)) for each in file.functions)
            program = changed(program, file.name, variables=variables, functions=functions)
        return program

    def _is_anonymous(self, definition: Function | Variable, percent: int) -> bool:
        return can_be_anonymous(definition) and self.chance(percent)

    def _is_labelled(self, definition: Function | Variable, names: list[str], percent: int) -> bool:
        return can_be_labelled(definition) and names.count(definition.name) == 1 and self.chance(percent)
