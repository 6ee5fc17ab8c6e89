"""What a patched process has to print: the program run as a value, with every version of it that was ever loaded.

A function that runs is an *instance*: a file's function as one generation compiled it, 0 being the host. It calls by
name what the linker bound: the newest definition among its own generation and those before. What it looks up first is
the newest of all. A variable is its generation's own unless stubgen said that the patch uses an earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from adversary.classes import HEADER, bodies
from adversary.frames import Frame, Thrown
from adversary.inline import statics_of
from adversary.model import (
    MASK,
    File,
    Function,
    Program,
    Variable,
    is_plain,
)
from adversary.objects import Objects, Storage
from adversary.scope import definers, largest

STEPS = 6000
"""Statements and expressions of one call; a program that takes more is not used."""


class TooLong(Exception):
    """A call takes more than :data:`STEPS`."""


class WrongCallError(Exception):
    """A function was given another number of arguments than it has parameters."""


class Instance(NamedTuple):
    """A function as one generation has it."""

    file: str
    name: str
    generation: int


class Generation(NamedTuple):
    """A version of the program, and how much of it was loaded."""

    program: Program
    files: frozenset[str]
    """Those whose objects are in the patch; of the host all."""
    inline: frozenset[str] = frozenset()
    """Functions of classes that its objects have although they are the header's."""
    kept: Mapping[tuple[str, str, str], int] = {}
    """File, function and name of a variable -> the generation whose variable the patch uses instead of its own."""
    left_out: frozenset[tuple[str, str]] = frozenset()
    """File and name of functions of which stubgen said that callers are not led to the new one."""


class Machine:
    """A process with its generations, each loaded when it is added.

    Args:
        program: the host.
        complete_tables: whether patches know the earlier ones, and tables lead callers of those too; else each patch
            has all that changed since the host.
        mangled: whether a function's name has its parameters in it, as in C++.
        paths: whether names have their file in them, as in Rust, but for those of ``no_mangle``.
    """

    def __init__(self, program: Program, *, complete_tables: bool, mangled: bool = False, paths: bool = False) -> None:
        everything = frozenset(file.name for file in program.files)
        self.generations = [Generation(program, everything)]
        self.complete_tables = complete_tables
        self.mangled = mangled
        self.paths = paths
        self.memory: dict[tuple[str, str, int], list[Any]] = {}
        self.objects = Objects(self)
        self._steps = 0
        self._functions: dict[Instance, Function] = {}
        self._resolved: dict[tuple[str, str, int], Instance] = {}
        self._variables: dict[tuple[str, str, str, int], tuple[tuple[str, str, int], Variable]] = {}
        self._start(0)

    def load(self, generation: Generation) -> None:
        """A patch is loaded, and its table is the one that counts."""
        self.generations.append(generation)
        self._start(len(self.generations) - 1)

    def _start(self, number: int) -> None:
        """Run the constructors of a generation."""
        self._steps = 0
        generation = self.generations[number]
        for file in generation.program.files:
            for function in file.functions if file.name in generation.files else ():
                if function.starts:
                    self.run(Instance(file.name, function.name, number), ())

    def call(self, name: str, argument: int) -> int:
        """What the runtime gets when it looks up the host's global function *name* and calls it."""
        self._steps = 0
        self._resolved_in = len(self.generations)
        instance = self.function("", name, 0)
        try:
            return self.run(self.newest(instance), [argument & MASK])
        except Thrown as thrown:
            return thrown.value

    def run(self, instance: Instance, arguments: Sequence[int], this: Storage | None = None) -> int:
        """What a function answers."""
        function = self._body(instance)
        if len(function.parameters) != len(arguments):
            raise WrongCallError(instance)
        values = [leaf.stored(value) for leaf, value in zip(function.parameters, arguments, strict=True)]
        frame = Frame(self, instance, values, this)
        frame.execute(function.body)
        return frame.accumulator

    def _body(self, instance: Instance) -> Function:
        if instance not in self._functions:
            program = self.generations[instance.generation].program
            own = (program.file(instance.file).functions, _header(program).functions)
            found = (function for functions in own for function in functions if function.name == instance.name)
            self._functions[instance] = next(found)
        return self._functions[instance]

    def latest(self, file: str, generation: int) -> int:
        """The newest generation up to *generation* that has the file; else, where each patch has all, the host."""
        if not self.complete_tables:
            return generation if file in self.generations[generation].files else 0
        return next(number for number in range(generation, -1, -1) if file in self.generations[number].files)

    def function(self, file: str, name: str, generation: int) -> Instance:
        """What *name* means to code of a file in a generation; "" is a file of the runtime's."""
        key = file, name, generation
        if key not in self._resolved:
            found = self._find_function(*key)
            target = self._body(found).alias  # whose address it has
            self._resolved[key] = self._find_function(found.file, target, found.generation) if target else found
        return self._resolved[key]

    def _find_function(self, file: str, name: str, generation: int) -> Instance:
        program = self.generations[generation].program
        if any(function.name == name for function in _header(program).functions):
            return Instance(file, name, generation)
        defining = [(each, function) for each in program.files for function in each.functions if function.name == name]
        for each, function in defining:
            if each.name == file and function.linkage == "static":
                return Instance(file, name, generation)
        visible = [(each, function) for each, function in defining if function.linkage != "static"]
        owner = chosen(program, visible)[0].name
        return Instance(owner, name, self.latest(owner, generation))

    def newest(self, instance: Instance) -> Instance:
        """What the runtime's table says: a newer generation's, whose function may be left out; nothing leads back."""
        if instance.generation and not self.complete_tables:
            return instance
        last = len(self.generations) - 1
        for number in range(last, instance.generation, -1):
            generation = self.generations[number]
            found = self._replacement(instance, number)
            if found is not None and (found.file, found.name) not in generation.left_out:
                return found
            if not self.complete_tables:
                break
        return instance

    def _replacement(self, instance: Instance, number: int) -> Instance | None:
        """The function of generation *number* that takes the place of *instance*."""
        generation = self.generations[number]
        original = self._body(instance)
        if instance.name in bodies(generation.program) and bodies(generation.program)[instance.name][0] == HEADER:
            return (
                Instance(min(generation.files), instance.name, number) if instance.name in generation.inline else None
            )
        for file in generation.program.files:
            for function in file.functions:
                if function.identity != original.identity or file.name not in generation.files or function.alias:
                    continue
                if self._has_other_name(instance.file, original, file.name, function):
                    continue
                if function.linkage != "static" and file.name != self._find_function("", function.name, number).file:
                    continue  # a weak one, and another file's counts
                both_static = original.linkage == function.linkage == "static"
                if file.name == instance.file or not both_static:
                    return Instance(file.name, function.name, number)
        return None

    def _has_other_name(self, before: str, original: Function, file: str, function: Function) -> bool:
        """Whether mangling tells two functions of one name apart."""
        plain = [self.paths and is_plain(each) for each in (original, function)]
        if any(plain):
            return not all(plain)
        other_parameters = self.mangled and original.parameters != function.parameters
        return other_parameters or (self.paths and before != file)

    def storage(self, file: str, function: str, name: str, generation: int) -> tuple[tuple[str, str, int], Variable]:
        """The variable that *name* means to a function's code, and what it looks like to that code."""
        key = file, function, name, generation
        if key not in self._variables:
            self._variables[key] = self._find_variable(*key)
        return self._variables[key]

    def _find_variable(
        self, file: str, function: str, name: str, generation: int
    ) -> tuple[tuple[str, str, int], Variable]:
        program = self.generations[generation].program
        every = [(each, variable) for each in program.files for variable in each.variables if variable.name == name]
        own = [pair for pair in every if pair[0].name == file and pair[1].function == function and function]
        own = own or [pair for pair in every if pair[0].name == file and not pair[1].function]
        owners = own if own and own[0][1].linkage == "static" else [p for p in every if p[1].linkage != "static"]
        common = definers(program, name)
        if common:
            owners, variable = [(common[0][0], largest(common))], own[0][1] if own else common[0][1]
            latest = max(self.latest(each.name, generation) for each, _ in common)
            return self._place(owners[0], generation if own else latest, variable)
        of_inline = [variable for variable in statics_of(program, function) if variable.name == name]
        if of_inline:
            home = file if of_inline[0].linkage == "static" else HEADER
            owners = [(program.file(home), of_inline[0])]
        owner, variable = chosen(program, owners)
        everywhere = owner.name == HEADER and not self.paths  # which in Rust is a module like any other
        number = generation if everywhere else self.latest(owner.name, generation)
        return self._place((owner, variable), number, variable)

    def _place(
        self, definition: tuple[File, Variable], number: int, seen: Variable
    ) -> tuple[tuple[str, str, int], Variable]:
        """Where a variable of generation *number* is, for code to which it looks like *seen*."""
        owner, variable = definition
        name = variable.name
        kept = (
            self.generations[number].kept.get((owner.name, variable.function, name))
            if number and not variable.constant
            else None
        )
        if kept is not None:
            earlier = self._same_variable(owner.name, variable, kept)
            if earlier is not None:
                cells = self.memory[earlier]  # what is larger now and is kept has what aligned the next one
                cells += [0] * (variable.cells - len(cells)) if variable.linkage == "common" else []
                return earlier, seen
        if variable.alias:
            return self.storage(owner.name, "", variable.alias, number)[0], variable
        place = owner.name, f"{variable.function}.{name}", number
        if place not in self.memory:
            if variable.of:
                self.objects.begin(place, variable.of, owner.name, number)
            self.memory[place] = []  # a variable may lead to itself
            self.memory[place] = self._initial(owner, variable, number)
        return place, seen

    def _same_variable(self, file: str, variable: Variable, generation: int) -> tuple[str, str, int] | None:
        """Where an earlier generation has the variable."""
        program = self.generations[generation].program
        for each in program.files:
            for other in each.variables:
                is_same = (other.identity, other.function) == (variable.identity, variable.function)
                if self.paths and each.name != file and not (is_plain(other) and is_plain(variable)):
                    continue
                if is_same and each.name == HEADER and variable.linkage == other.linkage == "static":
                    return self.storage(file, other.function, other.name, generation)[0]
                if is_same and (each.name == file or "static" not in (other.linkage, variable.linkage)):
                    return self.storage(each.name, other.function, other.name, generation)[0]
        return None

    def _initial(self, owner: File, variable: Variable, generation: int) -> list[Any]:
        """What its cells hold at the start."""
        values = variable.initial or (0,) * variable.cells
        cells: list[Any] = []
        for number, value in enumerate(values):
            cells.append(self.pointed(owner.name, variable.function, generation, variable.leaf(number).kind, value))
            if isinstance(value, int):
                cells[-1] = variable.leaf(number).stored(value)
        return cells

    def pointed(self, file: str, function: str, generation: int, kind: str, target: Any) -> Any:
        """What a place of that kind holds that leads to *target*."""
        if kind == "pointer":
            return self.storage(file, function, target, generation)[0], 0
        if kind == "function":
            return self.function(file, target, generation)
        return self.storage(file, function, target, generation)[0] if kind == "object" else target

    def count(self) -> None:
        """One more step is made."""
        self._steps += 1
        if self._steps > STEPS:
            raise TooLong


Definition = TypeVar("Definition", Function, Variable)


def chosen(program: Program, rivals: list[tuple[File, Definition]]) -> tuple[File, Definition]:
    """The definition that linkers take: the one that is not weak, else the first; archives stand last."""
    return min(rivals, key=lambda pair: (pair[1].linkage == "weak", pair[0].name in program.archived))


def _header(program: Program) -> File:
    return next((file for file in program.files if file.name == HEADER), File(HEADER, (), ()))
