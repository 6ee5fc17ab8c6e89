"""Random statements and expressions.

A call in an expression stands alone beside the accumulator, so that no compiler's order of evaluation decides what is
printed.
"""

from __future__ import annotations

from random import Random

from adversary.model import (
    Accumulator,
    Argument,
    Binary,
    Call,
    CallThrough,
    Catch,
    Constant,
    Expression,
    Function,
    If,
    LeadsTo,
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
from adversary.scope import LEAST_POINTED, WORDS, Scope, rank


class Features:
    """What a language and a format allow."""

    def __init__(
        self,
        *,
        cxx: bool = False,
        cxx_runtime: bool = True,
        thread_locals: bool = True,
        rivals: bool = False,
        libraries: bool = False,
        rust: bool = False,
        classes: bool = False,
        crates: bool = False,
        folders: bool = False,
        inline_statics: bool = False,
        names: bool = False,
        constructors: bool = False,
        forms: bool = False,
        commons: bool = False,
        elf: bool = True,
    ) -> None:
        self.cxx = cxx
        """Templates and variables of headers."""
        self.cxx_runtime = cxx and cxx_runtime
        """Exceptions, and values that are computed at first use or at the start."""
        self.thread_locals = thread_locals
        self.rivals = rivals
        """Names that several files define, all but one of them weak."""
        self.libraries = libraries
        """Files in a shared library, which the program is linked with."""
        self.classes = classes
        """Classes with virtual functions, and objects."""
        self.rust = rust
        """Files are modules of crates: no archives, and what C has volatile is of another type."""
        self.folders = folders
        """Static names that several files have, and more archives."""
        self.inline_statics = inline_statics
        """Static variables of the header's functions."""
        self.names = names
        """Aliases, and names that are the assembler's alone."""
        self.forms = forms
        """What C has that most programs do not need: bit-fields, tables of labels, atomics, unions, ..."""
        self.commons = commons
        """Variables that several files define tentatively (``-fcommon``)."""
        self.constructors = constructors
        """Functions that run at the start, and values that are not computed there: nobody says which is first."""
        self.elf = elf
        self.crates = crates
        """Some of them are a library crate's."""


class Statements:
    """Makes the bodies of functions.

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
        choices += ["throw"] if self.features.cxx_runtime else []
        choices += ["virtual"] * 5 + ["make"] if self.features.classes else []
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
                choices = [name for name in scope.callbacks() if rank(name) < LEAST_POINTED]
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
        has_address = called.linkage != "inline" and called.inlining != "always" and called.by != "ifunc"
        looked_up = has_address and self.chance(30)
        call: Expression = Call(called.name, arguments, looked_up)
        if self.features.cxx_runtime and self.chance(30):
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
        value, by = self.pure(scope, function), ""
        if self.features.forms and function.inlining == "never" and not function.entry and self.chance(70):
            by = self.random.choice(("const", "static") if self.features.cxx else ("const", "static", "distance"))
        return Switch(value, cases, by)

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


def _may_call_through(_scope: Scope, function: Function) -> bool:
    return rank(function.name) >= LEAST_POINTED
