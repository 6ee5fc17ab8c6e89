"""Programs with one part changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adversary.interpret import HEADER
from adversary.model import (
    Accumulator,
    Binary,
    Call,
    Constant,
    Expression,
    File,
    Function,
    LeadsTo,
    Letter,
    Load,
    Place,
    Point,
    Program,
    Set,
    Statement,
    Through,
    Variable,
)
from adversary.scope import U64


def changed(program: Program, file: str, **parts: Any) -> Program:
    """*program* with other variables or functions of a file."""
    files = tuple(each._replace(**parts) if each.name == file else each for each in program.files)
    return program._replace(files=files)


def replaced(program: Program, file: str, function: Function) -> Program:
    """*program* with another form of a function of that name."""
    functions = tuple(function if each.name == function.name else each for each in program.file(file).functions)
    return changed(program, file, functions=functions)


def rewritten(node: Any, change: Callable[[Any], Any]) -> Any:
    """*node* with each part, the innermost first, as *change* has it."""
    if isinstance(node, tuple):
        inner = [rewritten(part, change) for part in node]
        made = tuple(inner) if type(node) is tuple else type(node)(*inner)
        return change(made) if type(node) is not tuple else made
    return node


def with_name(node: Any, old: str, new: str) -> Any:
    """*node* with another name of a function or variable, wherever it stands."""

    def other(node: Any) -> Any:
        if type(node) in (Place, LeadsTo) and node.variable == old:
            return node._replace(variable=new)
        if type(node) is Call and node.function == old:
            return node._replace(function=new)
        if type(node) is Point and node.target == old:
            return node._replace(target=new)
        if type(node) is Variable:
            initial = tuple(new if value == old else value for value in node.initial)
            name, function, alias = (new if each == old else each for each in (node.name, node.function, node.alias))
            return node._replace(name=name, initial=initial, function=function, alias=alias)
        if type(node) is Function:
            name, alias = (new if each == old else each for each in (node.name, node.alias))
            return node._replace(name=name, alias=alias)
        return node

    return rewritten(node, other)


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
                if leaf.kind not in ("function", "object"):
                    read = values.get(leaf.kind, Load(place))
                    body.append(Set(Binary("+", Binary("*", Accumulator(), Constant(31)), read)))
    return Function(f"digest_{file.name}", (U64,), tuple(body), "global", "never", entry=True)
