"""Random classes, objects of them, and statements that use them."""

from __future__ import annotations

from adversary.changes import changed, replaced
from adversary.classes import (
    HEADER,
    ancestors,
    bodies,
    class_of,
    derived,
    fields_as_they_are,
    fields_of,
    is_sound,
    is_whole,
    methods_of,
    overrider,
)
from adversary.model import (
    Accumulator,
    Binary,
    CallVirtual,
    Catch,
    Class,
    Expression,
    Fresh,
    Function,
    Leaf,
    Make,
    Place,
    Program,
    Set,
    Statement,
    Variable,
)
from adversary.scope import NUMBERS, U64, Scope, rank
from adversary.statements import Statements

SHAPES: tuple[tuple[tuple[tuple[int, bool], ...], ...], ...] = (
    ((),),
    ((), ((0, False),)),
    ((), ((0, False),), ((0, False),)),
    ((), ((0, False),), ((1, False),)),
    ((), (), ((0, False), (1, False))),
    ((), (), ((0, False), (1, False)), ((2, False),)),
)
"""Hierarchies: for each class its bases, by number, and whether they are virtual."""
VIRTUAL_SHAPES: tuple[tuple[tuple[tuple[int, bool], ...], ...], ...] = (
    ((), ((0, True),)),
    ((), (), ((0, True), (1, True))),
    ((), ((0, True),), ((0, True),), ((1, False), (2, False))),
)
"""Those whose objects are made when the program starts: there must be something that does so."""


class ClassParts(Statements):
    """Makes classes, objects and calls."""

    def with_classes(self, program: Program, files: list[str]) -> Program:
        """*program* with a hierarchy of classes, objects and pointers to them."""
        for _ in range(50):
            made = self._with_hierarchy(program, files)
            if is_sound(made) and any(is_whole(made, each.name) for each in made.classes):
                return self._with_objects(made, files)
        return program

    def _with_hierarchy(self, program: Program, files: list[str]) -> Program:
        shapes = SHAPES + (VIRTUAL_SHAPES if self.features.cxx_runtime else ())
        destructor = self.features.cxx_runtime and self.chance(25)
        for number, bases in enumerate(self.random.choice(shapes)):
            name = f"K{number}"
            inherited = [m for base, _ in bases for m in methods_of(program, f"K{base}")]
            fresh = [f"p{self.random.randint(1, 9)}" for _ in range(self.random.randint(0 if bases else 1, 3))]
            overridden = [m for m in inherited if self.chance(55)]
            methods = list(dict.fromkeys([*overridden, *fresh]))
            self.random.shuffle(methods)
            fields = tuple(
                self._class_field(f"k{number}m{n}") for n in range(self.random.randint(0 if bases else 1, 2))
            )
            above = tuple((f"K{base}", virtual) for base, virtual in bases)
            each = Class(name, above, fields, tuple(methods), (), destructor and not bases)
            program = program._replace(classes=(*program.classes, each))
            pure = number == 0 and self.chance(25)
            for method in methods:
                if not (pure and method == methods[0]):
                    program = self.with_method(program, name, method, self._home(files))
        return program

    def _home(self, files: list[str]) -> str:
        return HEADER if self.chance(25) else self.random.choice(files)

    def _class_field(self, name: str) -> tuple[str, Leaf, int]:
        leaf = self.random.choice(NUMBERS)
        return name, leaf, self.random.randrange(100)

    def with_method(self, program: Program, owner: str, method: str, file: str) -> Program:
        """*program* with a body of a function that a class declares."""
        linkage = "inline" if file == HEADER else "global"
        made = Function(f"{owner}::{method}", (U64,), (), linkage, "free")
        program = changed(program, file, functions=(*program.file(file).functions, made))
        body = self.body(program, file, made, self.random.randint(1, 3))
        return replaced(program, file, made._replace(body=body))

    def _with_objects(self, program: Program, files: list[str]) -> Program:
        whole = [each.name for each in program.classes if is_whole(program, each.name)]
        for number in range(self.random.randint(1, 3)):
            file, of = self.random.choice(files), self.random.choice(whole)
            program = self.with_object(program, file, f"o{number}", of)
        for number in range(self.random.randint(1, 3)):
            program = self._with_pointer(program, self.random.choice(files), f"q{number}") or program
        return program

    def with_object(self, program: Program, file: str, name: str, of: str) -> Program:
        """*program* with an object."""
        fields = tuple((label, leaf) for label, leaf, _ in fields_of(program, of))
        made = Variable(name, fields, linkage=self.random.choice(("static", "global")), of=of)
        return fields_as_they_are(changed(program, file, variables=(*program.file(file).variables, made)))

    def _with_pointer(self, program: Program, file: str, name: str) -> Program | None:
        """*program* with a pointer to one."""
        own = [v for v in program.file(file).variables if v.of]
        own += [v for f in program.files if f.name != file for v in f.variables if v.of and v.linkage != "static"]
        if not own:
            return None
        target = self.random.choice(own)
        known = self.random.choice(ancestors(program, target.of))
        linkage = self.random.choice(("static", "static", "global"))
        made = Variable(name, (("", Leaf("object", of=known)),), 0, (target.name,), linkage)
        return changed(program, file, variables=(*program.file(file).variables, made))

    def _virtual(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        """A call of a function of an object."""
        found = callable_methods(scope, function)
        if not found:
            return None
        place, via, method = self.random.choice(found)
        looked_up = self.chance(50)
        direct = not looked_up and self.chance(15) and f"{via}::{method}" in bodies(scope.program)
        argument = self.pure(scope, function)
        call: Expression = CallVirtual(place, via, method, argument, looked_up, direct)
        whole = [of for of in derived(scope.program, via) if is_whole(scope.program, of)]
        if whole and self.chance(20):
            call = Fresh(self.random.choice(whole), via, method, argument)
        if self.features.cxx_runtime and self.chance(20):
            call = Catch(call, self.random.randrange(99))
        return Set(Binary(self.random.choice("+^"), Accumulator(), call))

    def _make(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        """A pointer gets a new object."""
        places = scope.holding("object", writable=True)
        if not places or (function.name.startswith("K") and scope.program.file(HEADER).functions):
            return None
        variable, field = self.random.choice(places)
        of = variable.fields[field][1].of
        whole = [each for each in derived(scope.program, of) if is_whole(scope.program, each)]
        return Make(Place(variable.name, field), self.random.choice(whole)) if whole else None


def callable_methods(scope: Scope, function: Function) -> list[tuple[Place, str, str]]:
    """Place of an object or pointer, a class as which it may be known, and a function that this class declares."""
    program, found = scope.program, []
    for variable in scope.variables:
        leaf = variable.fields[0][1]
        of = variable.of or (leaf.of if leaf.kind == "object" else "")
        if not of or variable.name == "this":
            continue
        for via in ancestors(program, of):
            for method in class_of(program, via).methods:
                has_body = not variable.of or overrider(program, of, method)
                if has_body and rank(method) < rank(function.name):
                    found.append((Place(variable.name), via, method))
    return found
