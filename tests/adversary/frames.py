"""One call that runs: its statements and expressions, by the memory and the functions of the process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from adversary.classes import this
from adversary.model import (
    MASK,
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
    Variable,
)
from adversary.objects import Storage

if TYPE_CHECKING:
    from adversary.interpret import Instance, Machine

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
}


class Thrown(Exception):
    """An exception of the program's."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class Frame:
    """One call that runs."""

    def __init__(
        self, machine: Machine, instance: Instance, arguments: Sequence[int], this: Storage | None = None
    ) -> None:
        self.machine = machine
        self.this = this
        self.instance = instance
        self.arguments = arguments
        self.accumulator = 0

    def execute(self, body: Sequence[Statement]) -> None:
        """Run statements."""
        for statement in body:
            self.machine.count()
            self._statement(statement)

    def _statement(self, statement: Statement) -> None:
        match statement:
            case Set(value):
                self.accumulator = self.value(value)
            case Store(place, value):
                stored = self.value(value)
                cells, cell, variable = self._cell(place)
                cells[cell] = variable.leaf(cell).stored(stored)
            case StoreThrough(place, value):
                stored = self.value(value)
                storage, cell = self._held(place)
                self.machine.memory[storage][cell] = stored
            case Point(place, target):
                cells, cell, variable = self._cell(place)
                _, name, generation = self.instance
                kind = variable.leaf(cell).kind
                cells[cell] = self.machine.pointed(self.instance.file, name, generation, kind, target)
            case If(value, bit, then, otherwise):
                self.execute(then if self.value(value) >> bit & 1 else otherwise)
            case Repeat(count, inner):
                for _ in range(count):
                    self.execute(inner)
            case Switch(value, cases):
                chosen = self.value(value) % (len(cases) + 1)
                self.accumulator = (self.accumulator + (*cases, 0)[chosen]) & MASK
            case Make(place, of):
                cells, cell, _ = self._cell(place)
                cells[cell] = self.machine.objects.make(of, self.instance.file, self.instance.generation)
            case Throw(bit, value):
                if self.accumulator >> bit & 1:
                    raise Thrown(self.value(value))

    def value(self, expression: Expression) -> int:
        """What an expression is, 64 bits."""
        machine = self.machine
        machine.count()
        match expression:
            case Constant(value):
                return value & MASK
            case Argument(number):
                return self.arguments[number]
            case Accumulator():
                return self.accumulator
            case Load(place):
                cells, cell, variable = self._cell(place)
                return variable.leaf(cell).stored(cells[cell])
            case Through(place):
                storage, cell = self._held(place)
                return int(machine.memory[storage][cell])
            case Letter(place, index):
                text = self._held(place)
                return ord(text[index % len(text)])
            case Binary(operator, left, right):
                return OPERATORS[operator](self.value(left), self.value(right)) & MASK
            case Call(name, arguments, looked_up):
                instance = machine.function(self.instance.file, name, self.instance.generation)
                values = [self.value(argument) for argument in arguments]
                return machine.run(machine.newest(instance) if looked_up else instance, values)
            case CallThrough(place, argument, looked_up):
                instance = self._held(place)
                argument_value = self.value(argument)
                return machine.run(machine.newest(instance) if looked_up else instance, [argument_value])
            case CallVirtual(place, via, method, argument, looked_up, direct):
                storage = self._object(place)
                find = machine.objects.named if direct else partial(machine.objects.function, storage)
                instance, values = find(self.instance, via, method), [self.value(argument)]
                return machine.run(machine.newest(instance) if looked_up else instance, values, storage)
            case Fresh(of, via, method, argument):
                storage = machine.objects.make(of, self.instance.file, self.instance.generation)
                instance = machine.objects.function(storage, self.instance, via, method)
                return machine.run(instance, [self.value(argument)], storage)
            case LeadsTo(place, variable):
                _, name, generation = self.instance
                there = machine.storage(self.instance.file, name, variable, generation)[0]
                return int(self._held(place) == (there, 0))
            case Catch(inner, more):
                before = self.accumulator
                try:
                    return self.value(inner)
                except Thrown as thrown:
                    self.accumulator = before
                    return (thrown.value + more) & MASK
        raise AssertionError(expression)

    def _object(self, place: Place) -> Storage:
        """The object that a place is, or leads to."""
        storage, variable = self.machine.storage(*self.instance[:2], place.variable, self.instance.generation)
        return storage if variable.of else self._held(place)

    def _field(self, storage: Storage, name: str, leaf: Leaf) -> tuple[list[Any], int, Variable]:
        return self.machine.memory[storage], self.machine.objects.cell(storage, name), Variable(name, (("", leaf),))

    def _cell(self, place: Place) -> tuple[list[Any], int, Variable]:
        if place.variable == "this" and self.this is not None:
            fields = this(self.machine.generations[self.instance.generation].program, self.instance.name).fields
            return self._field(self.this, *fields[place.field])
        storage, variable = self.machine.storage(*self.instance[:2], place.variable, self.instance.generation)
        if variable.of:
            return self._field(storage, *variable.fields[place.field])
        element = self.value(place.index) % max(variable.count, 1) if place.index is not None else 0
        return self.machine.memory[storage], element * len(variable.fields) + place.field, variable

    def _held(self, place: Place) -> Any:
        cells, cell, _ = self._cell(place)
        return cells[cell]
