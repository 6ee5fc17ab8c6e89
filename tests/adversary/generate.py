"""Random programs; the same seed makes the same one.

A call in an expression stands alone beside the accumulator, so that no compiler's order of evaluation decides what is
printed.
"""

from __future__ import annotations

from random import Random
from typing import Any

from adversary.interpret import HEADER
from adversary.model import (
    Accumulator,
    Argument,
    Binary,
    Call,
    CallThrough,
    Catch,
    Constant,
    Expression,
    File,
    Function,
    If,
    LeadsTo,
    Leaf,
    Letter,
    Load,
    Place,
    Point,
    Program,
    Repeat,
    Set,
    Statement,
    Store,
    StoreThrough,
    Switch,
    Through,
    Throw,
    Variable,
)

U64 = Leaf("number")
NUMBERS = tuple(Leaf("number", bits, signed) for bits in (8, 16, 32, 64) for signed in (False, True))
SCALARS = (*NUMBERS, Leaf("bool"), Leaf("double"))
WORDS = ("nut", "bolt", "a longer text", "x", "screw")
PURE = (Constant, Accumulator, Argument, Load, Through, Letter, LeadsTo)


class Features:
    """What a language and a format allow."""

    def __init__(self, *, cxx: bool = False, thread_locals: bool = True) -> None:
        self.cxx = cxx
        """Exceptions, templates, variables of headers, values that are computed at first use or at the start."""
        self.thread_locals = thread_locals


class Scope:
    """What a function of a file can use.

    Args:
        program: the program so far.
        file: the function's file.
        function: its name; it calls functions that come before it in rank alone.
    """

    def __init__(self, program: Program, file: str, function: str) -> None:
        seen: dict[str, Variable] = {}
        for each in (program.file(file), *program.files):
            for variable in each.variables:
                is_own = each.name == file and variable.function in ("", function)
                if is_own or (variable.linkage != "static" and not variable.function):
                    seen.setdefault(variable.name, variable)
        own = [v for v in program.file(file).variables if v.function == function]
        seen.update({variable.name: variable for variable in own})
        self.variables = list(seen.values())
        called: dict[str, Function] = {}
        for each in (program.file(file), *program.files):
            for other in each.functions:
                visible = each.name == file or other.linkage != "static"
                if visible and rank(other.name) < rank(function):
                    called.setdefault(other.name, other)
        self.functions = list(called.values())

    def holding(self, *kinds: str, writable: bool = False) -> list[tuple[Variable, int]]:
        """Variable and field of every place of these kinds."""
        return [
            (variable, number)
            for variable in self.variables
            for number, (_, leaf) in enumerate(variable.fields)
            if leaf.kind in kinds and not (writable and variable.constant)
        ]

    def targets(self) -> list[str]:
        """The variables that a pointer may lead to."""
        return [v.name for v in self.variables if can_be_target(v)]

    def callbacks(self) -> list[str]:
        """The functions that a pointer to one may lead to."""
        return [function.name for function in self.functions if function.takes_one and function.linkage != "inline"]


def can_be_target(variable: Variable) -> bool:
    """Whether a pointer to a number may lead to it for as long as the program runs."""
    plain = not (variable.constant or variable.thread_local or variable.volatile)
    return plain and variable.fields[0][1] == U64 and not variable.function


def rank(function: str) -> int:
    """A function calls those of lower rank alone, so that no program runs forever: the number in its name.

    What an edit adds (``g...``) calls nobody, and everybody may call it.
    """
    if function.lstrip("r_").startswith("g"):
        return -1
    digits = "".join(filter(str.isdigit, function))
    return int(digits) if digits else 1 << 30


class Generator:
    """Makes parts of a program.

    Args:
        random: decides.
        features: what may be in it.
    """

    def __init__(self, random: Random, features: Features) -> None:
        self.random = random
        self.features = features

    def chance(self, percent: int) -> bool:
        """True in *percent* of all cases."""
        return self.random.randrange(100) < percent

    def program(self) -> Program:
        """A whole program."""
        names = ["a", "b", "c", "d"][: self.random.choice((1, 2, 2, 3, 3, 4))]
        program = Program((File(HEADER, (), ()), *(File(name, (), ()) for name in names)))
        kinds = ["variable"] * self.random.randint(5, 16) + ["function"] * self.random.randint(5, 14)
        self.random.shuffle(kinds)
        for number, kind in enumerate(kinds):
            if kind == "variable" and self.features.cxx and self.chance(7):
                program = self._with_header_variable(program, f"v{number}")
            elif kind == "variable":
                program = self.with_variable(program, self.random.choice(names), f"v{number}")
            else:
                file = HEADER if self.chance(8) else self.random.choice(names)
                program = self.with_function(program, file, f"f{kinds[:number].count(kind)}")
        for file in names:
            program = self._with_entry(program, file)
        if len(names) > 1 and self.chance(25):
            program = program._replace(
                archived=tuple(self.random.sample(names, self.random.randint(1, len(names) - 1)))
            )
        return with_digests(program)

    def _with_header_variable(self, program: Program, name: str) -> Program:
        """*program* with a variable that each file that uses it defines, and of which there is one."""
        leaf = self.random.choice(NUMBERS)
        made = Variable(name, (("", leaf),), 0, (leaf.stored(self.random.randrange(300)),), "inline")
        return changed(program, HEADER, variables=(*program.file(HEADER).variables, made))

    def with_variable(self, program: Program, file: str, name: str, function: str = "") -> Program:
        """*program* with one more variable."""
        made = self.variable(program, file, name, function)
        return changed(program, file, variables=(*program.file(file).variables, made))

    def variable(self, program: Program, file: str, name: str, function: str = "") -> Variable:
        """A variable."""
        shape = self.random.choice(("scalar",) * 4 + ("array", "array", "struct", "structs"))
        width = self.random.randint(2, 4) if shape.startswith("struct") else 1
        fields = tuple((f"m{number}" if width > 1 else "", self._leaf(program, file)) for number in range(width))
        count = self.random.randint(2, 9) if shape in ("array", "structs") else 0
        linkage = "static" if function else self.random.choice(("static",) * 5 + ("global",) * 4 + ("hidden",))
        if linkage == "global" and self.chance(6):
            linkage = "weak"
        constant = self.chance(15)
        thread = self.features.thread_locals and not constant and self.chance(8)
        numbers = all(leaf.kind in ("number", "bool", "double") for _, leaf in fields)
        volatile = numbers and not constant and not thread and self.chance(5)
        made = Variable(name, fields, count, (), linkage, constant, thread, function, volatile=volatile)
        if thread:
            fields = tuple((label, leaf if leaf.kind not in ("pointer", "function") else U64) for label, leaf in fields)
            made = made._replace(fields=fields)
        needs = any(leaf.kind in ("string", "pointer", "function") for _, leaf in made.fields)
        if constant or needs or self.chance(60):
            made = made._replace(initial=tuple(self.initial(program, file, made.leaf(n)) for n in range(made.cells)))
        is_number = made.cells == 1 and made.fields[0][1].kind == "number" and not (constant or thread)
        if self.features.cxx and is_number and linkage != "weak" and made.initial:
            made = made._replace(dynamic=self.chance(50 if function else 8))
        return made

    def initial(self, program: Program, file: str, leaf: Leaf) -> Any:
        """What a cell begins with."""
        match leaf.kind:
            case "string":
                return self.random.choice(WORDS)
            case "pointer":
                return self.random.choice(_targets(program, file))
            case "function":
                return self.random.choice(_callbacks(program, file))
        return leaf.stored(self.random.choice((0, 1, 1, 2, 3, 7, 100, 255, self.random.getrandbits(62))))

    def _leaf(self, program: Program, file: str) -> Leaf:
        kinds = ["number"] * 6 + ["u64", "u64", "bool", "double", "string"]
        kinds += ["pointer", "pointer"] if _targets(program, file) else []
        kinds += ["function", "function"] if _callbacks(program, file) else []
        kind = self.random.choice(kinds)
        if kind == "number":
            return self.random.choice(NUMBERS)
        return U64 if kind == "u64" else Leaf(kind)

    def with_function(self, program: Program, file: str, name: str) -> Program:
        """*program* with one more function, and perhaps a static variable of it."""
        linkage = "inline" if file == HEADER else self.random.choice(("static",) * 3 + ("global",) * 4 + ("hidden",))
        if linkage == "global" and self.chance(6):
            linkage = "weak"
        parameters = (U64,)
        if self.chance(25):
            parameters = tuple(self.random.choice(NUMBERS) for _ in range(self.random.randint(0, 3)))
        inlining = self.random.choice(("never", "never", "free"))
        if linkage == "static" and self.chance(8):
            inlining = "always"
        if linkage == "inline":
            inlining = "template" if self.features.cxx and parameters == (U64,) and self.chance(50) else "free"
        made = Function(name, parameters, (), linkage, inlining)
        program = changed(program, file, functions=(*program.file(file).functions, made))
        if file != HEADER and linkage not in ("weak",) and self.chance(25):
            local = self.random.choice(("n", "calls", f"s{rank(name)}", f"s{rank(name)}"))
            program = self.with_variable(program, file, local, name)
        body = self.body(program, file, made, self.random.randint(1, 5))
        return replaced(program, file, made._replace(body=body))

    def _with_entry(self, program: Program, file: str) -> Program:
        entry = Function(f"step_{file}", (U64,), (), "global", "never", entry=True)
        program = changed(program, file, functions=(*program.file(file).functions, entry))
        return replaced(program, file, entry._replace(body=self.body(program, file, entry, self.random.randint(3, 6))))

    def body(self, program: Program, file: str, function: Function, count: int) -> tuple[Statement, ...]:
        """Statements for *function*."""
        scope = Scope(program, file, function.name)
        begin = [Set(Argument(number)) for number in range(min(len(function.parameters), 1))]
        more = [Set(Binary("^", Accumulator(), Argument(number))) for number in range(1, len(function.parameters))]
        return (*begin, *more, *(self.statement(scope, function, 0) for _ in range(count)))

    def statement(self, scope: Scope, function: Function, depth: int) -> Statement:
        """One statement, which uses something."""
        choices = ["set", "store", "store", "store", "load", "load", "load", "call", "call", "call", "through", "point"]
        choices += ["if", "repeat", "switch"] if depth < 2 else []
        choices += ["throw"] if self.features.cxx else []
        made = getattr(self, f"_{self.random.choice(choices)}")(scope, function, depth)
        return made or self._set(scope, function, depth)

    def _set(self, scope: Scope, function: Function, _depth: int) -> Statement:
        operator = self.random.choice("+-*^|")
        return Set(Binary(operator, Accumulator(), self.pure(scope, function)))

    def _load(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        places = scope.holding("number", "bool", "double", "string")
        if not places:
            return None
        variable, field = self.random.choice(places)
        place = self._place(variable, field)
        if variable.fields[field][1].kind == "string":
            return Set(Binary("+", Accumulator(), Letter(place, self.random.randrange(9))))
        return Set(Binary(self.random.choice("+-^"), Accumulator(), Load(place)))

    def _store(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        places = scope.holding("number", "bool", "double", writable=True)
        if not places:
            return None
        variable, field = self.random.choice(places)
        place = self._place(variable, field)
        more = self.pure(scope, function)
        return Store(place, Binary(self.random.choice("+-^"), Load(place), more) if self.chance(75) else more)

    def _through(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        places = scope.holding("pointer", "function")
        if not places:
            return None
        variable, field = self.random.choice(places)
        place = self._place(variable, field)
        if variable.fields[field][1].kind == "function":
            if not _may_call_through(scope, function):
                return None
            argument = self.pure(scope, function)
            return Set(Binary("+", Accumulator(), CallThrough(place, argument, self.chance(50))))
        match self.random.randrange(4):
            case 0:
                return Set(Binary("+", Accumulator(), Through(place)))
            case 1 if scope.targets():
                return Set(Binary("+", Accumulator(), LeadsTo(place, self.random.choice(scope.targets()))))
        return StoreThrough(place, Binary("+", Through(place), self.pure(scope, function)))

    def _point(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        places = scope.holding("pointer", "function", "string", writable=True)
        if not places:
            return None
        variable, field = self.random.choice(places)
        match variable.fields[field][1].kind:
            case "pointer":
                choices = scope.targets()
            case "function":
                choices = [name for name in scope.callbacks() if rank(name) < _LEAST_POINTED]
            case _:
                choices = list(WORDS)
        if not choices:
            return None
        point = Point(self._place(variable, field), self.random.choice(choices))
        return If(Accumulator(), self.random.randrange(4), (point,)) if self.chance(60) else point

    def _call(self, scope: Scope, function: Function, _depth: int) -> Statement | None:
        if not scope.functions:
            return None
        called = self.random.choice(scope.functions)
        arguments = tuple(self.pure(scope, function) for _ in called.parameters)
        looked_up = called.linkage != "inline" and called.inlining != "always" and self.chance(30)
        call: Expression = Call(called.name, arguments, looked_up)
        if self.features.cxx and self.chance(30):
            call = Catch(call, self.random.randrange(99))
        return Set(Binary(self.random.choice("+^"), Accumulator(), call))

    def _if(self, scope: Scope, function: Function, depth: int) -> Statement:
        then = tuple(self.statement(scope, function, depth + 1) for _ in range(self.random.randint(1, 2)))
        otherwise = (self.statement(scope, function, depth + 1),) if self.chance(40) else ()
        return If(self.pure(scope, function), self.random.randrange(5), then, otherwise)

    def _repeat(self, scope: Scope, function: Function, depth: int) -> Statement:
        return Repeat(self.random.randint(2, 4), (self.statement(scope, function, depth + 1),))

    def _switch(self, scope: Scope, function: Function, _depth: int) -> Statement:
        cases = tuple(self.random.randrange(1000) for _ in range(self.random.choice((2, 3, 6, 9))))
        return Switch(self.pure(scope, function), cases)

    def _throw(self, scope: Scope, function: Function, _depth: int) -> Statement:
        return Throw(self.random.randrange(2, 6), self.pure(scope, function))

    def pure(self, scope: Scope, function: Function) -> Expression:
        """An expression without a call."""
        places = [pair for pair in scope.holding("number", "bool", "double") if not pair[0].count or self.chance(50)]
        choices: list[Expression] = [Constant(self.random.randrange(1, 1000)), Accumulator()]
        choices += [Argument(number) for number in range(len(function.parameters))]
        if places:
            choices.append(Load(self._place(*self.random.choice(places))))
        return self.random.choice(choices)

    def _place(self, variable: Variable, field: int) -> Place:
        if not variable.count:
            return Place(variable.name, field)
        return Place(variable.name, field, self.random.choice((Accumulator(), Constant(self.random.randrange(9)))))


_LEAST_POINTED = 6
"""Only functions of a rank below this are pointed to; only those of this rank or more call by a pointer: no circles."""


def _may_call_through(_scope: Scope, function: Function) -> bool:
    return rank(function.name) >= _LEAST_POINTED


def _targets(program: Program, file: str) -> list[str]:
    own = {variable.name for variable in program.file(file).variables}
    visible = [v for v in program.file(file).variables if can_be_target(v)]
    others = (v for each in program.files for v in each.variables if each.name != file and v.linkage != "static")
    return [v.name for v in (*visible, *others) if can_be_target(v) and (v in visible or v.name not in own)]


def _callbacks(program: Program, file: str) -> list[str]:
    found = []
    for each in program.files:
        for function in each.functions:
            visible = each.name == file or function.linkage != "static"
            allowed = function.takes_one and function.linkage != "inline" and function.inlining != "always"
            if visible and allowed and rank(function.name) < _LEAST_POINTED:
                found.append(function.name)
    return found


def changed(program: Program, file: str, **parts: Any) -> Program:
    """*program* with other variables or functions of a file."""
    files = tuple(each._replace(**parts) if each.name == file else each for each in program.files)
    return program._replace(files=files)


def replaced(program: Program, file: str, function: Function) -> Program:
    """*program* with another form of a function of that name."""
    functions = tuple(function if each.name == function.name else each for each in program.file(file).functions)
    return changed(program, file, functions=functions)


def with_digests(program: Program) -> Program:
    """*program* with a function in each file that reads all of its numbers, as they are now."""
    for file in program.files:
        if file.name == HEADER:
            continue
        functions = tuple(function for function in file.functions if function.name != f"digest_{file.name}")
        program = changed(program, file.name, functions=(*functions, _digest(file)))
    return program


def _digest(file: File) -> Function:
    body: list[Statement] = [Set(Constant(0))]
    for variable in file.variables:
        if variable.function:
            continue
        for field, (_, leaf) in enumerate(variable.fields):
            for element in range(max(variable.count, 1)):
                place = Place(variable.name, field, Constant(element) if variable.count else None)
                values: dict[str, Expression] = {"string": Letter(place, 1), "pointer": Through(place)}
                if leaf.kind != "function":
                    read = values.get(leaf.kind, Load(place))
                    body.append(Set(Binary("+", Binary("*", Accumulator(), Constant(31)), read)))
    return Function(f"digest_{file.name}", (U64,), tuple(body), "global", "never", entry=True)
