"""Small changes to a module's code, one at a time: each of them is a fault that somebody could have written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
SAID = ("Refusal", "Error", "Input", "Failure", "Overflow", "Library", "Finding")
"""How the names of classes end whose arguments are sentences for people: those stay as they are."""
CHECKS = frozenset({"instance", "number", "optional", "counted", "narrow"})
"""Functions whose arguments that are strings are words of a sentence."""
COMMUTATIVE = frozenset({"max", "min", "suppress"})
"""Functions whose arguments may stand in any order."""
LONGEST = 24
"""Characters of a string that code may look at; longer ones are sentences."""
ANNOTATIONS = frozenset({"annotation", "returns", "decorator_list", "bases", "op", "ops", "ctx", "type_params"})


class Place(NamedTuple):
    """A node where it hangs."""

    parent: ast.AST
    field: str
    index: int | None  # of a list
    node: ast.AST


class Mutant(NamedTuple):
    """One change."""

    function: str
    """The function or method around it, by its qualified name; empty in a module's or class's own code."""
    line: int
    last_line: int
    code: str
    """The line as it stands."""
    change: str
    """Before and after."""
    place: Place
    new: ast.AST | list[Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others, wherever in the file it is."""
        return self.function, self.code, self.change


def mutants_of(tree: ast.Module, source: str) -> list[Mutant]:
    """All changes to a module, in its order; *tree* is its own, parsed."""
    lines = source.splitlines()
    found = []
    for place, function in _places(tree, ""):
        for new in _changes(place, inside=bool(function)):
            node = place.node
            change = f"{_text(node)} -> {_text(new)}"
            found.append(
                Mutant(function, node.lineno, node.end_lineno or 0, lines[node.lineno - 1].strip(), change, place, new)  # type: ignore[attr-defined]  # statements and expressions have lines
            )
    return found


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Make the change in the tree that it was found in, for a while."""
    parent, field, index, node = mutant.place
    if isinstance(mutant.new, list):  # other fields of the same node
        before = [(name, getattr(node, name)) for name, _ in mutant.new]
        for name, value in mutant.new:
            setattr(node, name, value)
        yield
        for name, value in before:
            setattr(node, name, value)
        return
    ast.copy_location(mutant.new, node)
    ast.fix_missing_locations(mutant.new)
    if index is None:
        setattr(parent, field, mutant.new)
        yield
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = mutant.new
        yield
        getattr(parent, field)[index] = node


def _text(node: ast.AST | list[Any]) -> str:
    if isinstance(node, list):
        return ", ".join(f"{name}: {_texts(value)}" for name, value in node)
    if isinstance(node, ast.keyword):
        return ast.unparse(node)
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


def _texts(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) if isinstance(item, ast.AST) else str(item) for item in value) + "]"
    return _text(value) if isinstance(value, ast.AST) else str(value)


def _places(node: ast.AST, function: str, inside: bool = False) -> Iterator[tuple[Place, str]]:
    """Each node that may be changed, with the function that it is in."""
    for field, value in ast.iter_fields(node):
        if field in ANNOTATIONS:
            continue
        held = function if not isinstance(node, ast.FunctionDef) or field == "body" or inside else ""
        items = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in items:
            if not isinstance(child, ast.AST) or _stays(child, node):
                continue
            if hasattr(child, "lineno"):
                yield Place(node, field, index, child), held if inside else ""
            if isinstance(child, ast.Raise | ast.JoinedStr | ast.Assert) or (
                isinstance(child, ast.Call) and _name(child.func).endswith(SAID)
            ):
                continue
            if isinstance(child, ast.ClassDef):
                yield from _places(child, f"{function}{child.name}.", inside)
            elif isinstance(child, ast.FunctionDef) and not inside:
                yield from _in_function(child, f"{function}{child.name}")
            else:
                yield from _places(child, function, inside)


def _in_function(node: ast.FunctionDef, name: str) -> Iterator[tuple[Place, str]]:
    for field in ("defaults", "kw_defaults"):
        for index, child in enumerate(getattr(node.args, field)):
            if child is not None:
                yield Place(node.args, field, index, child), ""
    body = ast.Module(node.body, [])
    for place, function in _places(body, name, inside=True):
        yield (place._replace(parent=node) if place.parent is body else place), function


def _stays(child: ast.AST, parent: ast.AST) -> bool:
    if isinstance(child, ast.Import | ast.ImportFrom | ast.expr_context | ast.Assert):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True  # what a docstring says, and the body of what is only declared
    if isinstance(child, ast.keyword) and child.arg == "strict":
        return True  # an assertion of zip's
    if isinstance(child, ast.Constant) and isinstance(parent, ast.Call) and _name(parent.func) in CHECKS:
        return isinstance(child.value, str)
    if isinstance(child, ast.If) and _name(child.test) == "TYPE_CHECKING":
        return True
    return isinstance(child, ast.Assign) and _name(child.targets[0]) in ("TYPE_CHECKING", "__all__", "__slots__")


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _changes(place: Place, *, inside: bool) -> Iterator[ast.AST | list[Any]]:
    node = place.node
    for kind, of_kind in CHANGES.items():
        if isinstance(node, kind):
            yield from of_kind(node)
    if isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Compare):
        yield [("test", _negated(node.test))]
    if not inside and isinstance(node, ast.Dict | ast.Set | ast.List | ast.Tuple):
        yield from _rows(node)


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    new = ast.UnaryOp(ast.Not(), test)
    ast.copy_location(new, test)
    return new


def _compare(node: ast.Compare) -> Iterator[Any]:
    for position, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            yield ast.Compare(node.left, [*node.ops[:position], other(), *node.ops[position + 1 :]], node.comparators)


def _binary(node: ast.BinOp) -> Iterator[Any]:
    if type(node.op) in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)


def _boolean(node: ast.BoolOp) -> Iterator[Any]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for position in range(len(node.values)):
        left = node.values[:position] + node.values[position + 1 :]
        yield ast.BoolOp(node.op, left) if len(left) > 1 else left[0]


def _unary(node: ast.UnaryOp) -> Iterator[Any]:
    if not isinstance(node.operand, ast.Constant):
        yield node.operand


def _constant(node: ast.Constant) -> Iterator[Any]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        if value:
            yield ast.Constant(value - 1)
    elif isinstance(value, str | bytes) and len(value) <= LONGEST:
        said = value if isinstance(value, bytes) else value.encode()
        if b" " not in said.strip():
            yield ast.Constant(value + (b"x" if isinstance(value, bytes) else "x"))  # type: ignore[operator]  # both are of one type


def _call(node: ast.Call) -> Iterator[Any]:
    args = node.args if _name(node.func) not in {*CHECKS, *COMMUTATIVE} else []
    for position in range(len(args) - 1):
        first, second = args[position : position + 2]
        starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
        if not starred and ast.dump(first) != ast.dump(second):
            yield [("args", [*args[:position], second, first, *args[position + 2 :]])]
    for position, keyword in enumerate(node.keywords):
        if keyword.arg not in (None, "strict"):  # zip's is an assertion
            yield [("keywords", node.keywords[:position] + node.keywords[position + 1 :])]


def _slice(node: ast.Slice) -> Iterator[Any]:
    for name in ("lower", "upper", "step"):
        if getattr(node, name) is not None:
            yield [(name, None)]


def _returned(node: ast.Return) -> Iterator[Any]:
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))


def _dropped(node: ast.stmt) -> Iterator[Any]:
    yield ast.Pass()


def _assigned(node: ast.Assign) -> Iterator[Any]:
    if not isinstance(node.targets[0], ast.Name | ast.Tuple):
        yield ast.Pass()


def _augmented(node: ast.AugAssign) -> Iterator[Any]:
    yield ast.Pass()
    if type(node.op) in OPERATORS:
        yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)


def _comprehension(node: Any) -> Iterator[Any]:
    for position, generator in enumerate(node.generators):
        for number in range(len(generator.ifs)):
            left = generator.ifs[:number] + generator.ifs[number + 1 :]
            new = ast.comprehension(generator.target, generator.iter, left, generator.is_async)
            yield [("generators", [*node.generators[:position], new, *node.generators[position + 1 :]])]


def _rows(node: Any) -> Iterator[Any]:
    """A row of a table gone, or with another row's value."""
    if isinstance(node, ast.Dict):
        for number, key in enumerate(node.keys):
            kept = [row for row in range(len(node.keys)) if row != number]
            if kept and key is not None:
                yield [("keys", [node.keys[row] for row in kept]), ("values", [node.values[row] for row in kept])]
                other = node.values[(number + 1) % len(node.values)]
                if ast.dump(other) != ast.dump(node.values[number]):
                    yield [("values", [*node.values[:number], other, *node.values[number + 1 :]])]
    elif len(node.elts) > 1 and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        for number in range(len(node.elts)):
            yield [("elts", node.elts[:number] + node.elts[number + 1 :])]


CHANGES: dict[Any, Any] = {
    ast.Compare: _compare,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.Constant: _constant,
    ast.Call: _call,
    ast.Slice: _slice,
    ast.Return: _returned,
    ast.Assign: _assigned,
    ast.AugAssign: _augmented,
    (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp): _comprehension,
    (ast.Raise, ast.Expr, ast.Continue, ast.Break): _dropped,
}
"""Kind of node -> what it may become: another node, or other fields of its own."""
