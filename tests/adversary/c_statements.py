"""Statements and expressions as C, or as C++."""

from __future__ import annotations

from collections.abc import Iterator

from adversary.c_declarations import LOOKED_UP, U64, Declarations
from adversary.class_source import made_and_deleted, virtual_call
from adversary.model import (
    Accumulator,
    Argument,
    Binary,
    Call,
    CallThrough,
    CallVirtual,
    Catch,
    Constant,
    Expression,
    Fresh,
    If,
    LeadsTo,
    Leaf,
    Letter,
    Load,
    Make,
    Place,
    Point,
    Repeat,
    Set,
    Statement,
    Store,
    StoreThrough,
    Switch,
    Through,
    Throw,
)


class Statements(Declarations):
    """The statements of one file."""

    def _statement(self, statement: Statement, indent: str) -> Iterator[str]:
        match statement:
            case Set(value):
                yield f"{indent}acc = {self._value(value)};"
            case Store(place, value):
                leaf = self._variable(place.variable).fields[place.field][1]
                yield f"{indent}{self._place(place)} = {self._cut(leaf, value)};"
            case StoreThrough(place, value):
                yield f"{indent}*{self._place(place)} = {self._value(value)};"
            case Point(place, target):
                leaf = self._variable(place.variable).fields[place.field][1]
                yield f"{indent}{self._place(place)} = {self._target(leaf, target)};"
            case If(value, bit, then, otherwise):
                yield f"{indent}if ({self._value(value)} >> {bit} & 1) {{"
                for inner in then:
                    yield from self._statement(inner, indent + "  ")
                yield f"{indent}}}" + (" else {" if otherwise else "")
                for inner in otherwise:
                    yield from self._statement(inner, indent + "  ")
                if otherwise:
                    yield f"{indent}}}"
            case Repeat(count, body):
                counter = "inner" if len(indent) > 2 else "outer"
                yield f"{indent}for ({counter} = 0; {counter} < {count}; {counter}++) {{"
                for inner in body:
                    yield from self._statement(inner, indent + "  ")
                yield f"{indent}}}"
            case Switch(value, cases, by) if by:
                yield from self._jump(value, cases, by, indent)
            case Switch(value, cases):
                yield f"{indent}switch ({self._value(value)} % {len(cases) + 1}) {{"
                for number, more in enumerate(cases):
                    yield f"{indent}  case {number}: acc += {more & ((1 << 64) - 1)}UL; break;"
                yield f"{indent}}}"
            case Make(place, of):
                yield f"{indent}{self._place(place)} = new {of};"
            case Throw(bit, value):
                yield f"{indent}if (acc >> {bit} & 1) throw ({U64}){self._value(value)};"

    def _jump(self, value: Expression, cases: tuple[int, ...], by: str, indent: str) -> Iterator[str]:
        """A switch by a table of labels."""
        self._tables += 1
        name = f"way{self._tables}"
        labels = [f"&&{name}_{number}" for number in range(len(cases) + 1)]
        if by == "distance":
            entries = ", ".join(f"{label} - {labels[0]}" for label in labels)
            table, target = f"static const int {name}[]", f"{labels[0]} + {name}"
        else:
            entries = ", ".join(labels)
            table = "static const void *const" if by == "const" else "static const void *"
            table, target = f"{table} {name}[]", name
        chosen = f"[{self._value(value)} % {len(labels)}]"
        go = f"({target}{chosen})" if by == "distance" else f"{target}{chosen}"
        yield f"{indent}{{ {table} = {{{entries}}}; goto *{go};"
        for number, more in enumerate(cases):
            yield f"{indent}  {name}_{number}: acc += {more & ((1 << 64) - 1)}UL; goto {name}_{len(cases)};"
        yield f"{indent}  {name}_{len(cases)}: ; }}"

    def _cut(self, leaf: Leaf, value: Expression) -> str:
        text = self._value(value)
        if leaf.kind == "double":
            return f"(double)({text} & 0xffff)"
        return f"({text} & 1) != 0" if leaf.kind == "bool" else f"({self._type(leaf)}){text}"

    def _place(self, place: Place) -> str:
        variable = self._variable(place.variable)
        index = ""
        if variable.count:
            index = f"[{self._value(place.index)} % {variable.count}]" if place.index is not None else "[0]"
        if place.variable == "this":
            return f"this->{variable.fields[place.field][0]}"
        field = f".{variable.fields[place.field][0]}" if variable.fields[0][0] else ""
        index = f".m{index}" if variable.form in ("flexible", "union") else index
        return f"{place.variable}{index}{field}"

    def _value(self, expression: Expression) -> str:
        match expression:
            case Constant(value):
                return f"{value & ((1 << 64) - 1)}UL"
            case Argument(number):
                return f"({U64})a{number}"
            case Accumulator():
                return "acc"
            case Load(place):
                return f"({U64}){self._place(place)}"
            case Through(place):
                return f"*{self._place(place)}"
            case Letter(place, index):
                return self._letter(self._place(place), index)
            case Binary(operator, left, right):
                return f"({self._value(left)} {operator} {self._value(right)})"
            case Call(name, arguments, looked_up):
                return self._call(name, arguments, looked_up)
            case CallThrough(place, argument, looked_up):
                pointer = LOOKED_UP.format(self._place(place)) if looked_up else self._place(place)
                return f"(({U64} (*)({U64})){pointer})({self._value(argument)})"
            case CallVirtual(place, via, method, argument, looked_up, direct):
                how = "direct" if direct else "led" if looked_up else ""
                pointer = f"&{place.variable}" if self._variable(place.variable).of else self._place(place)
                return virtual_call(pointer, via, method, self._value(argument), how)
            case Fresh(of, via, method, argument):
                return made_and_deleted(of, via, method, self._value(argument))
            case LeadsTo(place, variable):
                return f"({U64})({self._place(place)} == {self._address(variable)})"
            case Catch(value, more):
                return self._caught(self._value(value), more)
        raise AssertionError(expression)

    @staticmethod
    def _letter(pointer: str, index: int) -> str:
        return f"({U64})(unsigned char){pointer}[{index} % length({pointer})]"

    @staticmethod
    def _caught(value: str, more: int) -> str:
        inner = f"try {{ return {value}; }} catch ({U64} thrown) {{ return thrown + {more}UL; }}"
        return f"[&]() -> {U64} {{ {inner} }}()"

    def _call(self, name: str, arguments: tuple[Expression, ...], looked_up: bool) -> str:
        function = self._callee(name)
        values = [
            f"({self._type(leaf)}){self._value(argument)}"
            for leaf, argument in zip(function.parameters, arguments, strict=True)
        ]
        if function.inlining == "template":
            return f"{name}<{U64}>({values[0]})"
        part = ".m[2]" if function.form == "wide" else ""
        if not looked_up:
            return f"{name}({', '.join(values)}){part}"
        types = ", ".join(self._type(leaf) for leaf in function.parameters) or "void"
        types = f"{self._type(function.parameters[0])}, ..." if function.form == "variadic" else types
        result = "struct wide" if part else U64
        return f"(({result} (*)({types})){LOOKED_UP.format(name)})({', '.join(values)}){part}"
