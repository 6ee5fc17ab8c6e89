"""Forms of C for what a program has anyhow: bit-fields, atomics, unions, flexible arrays, functions of other shapes."""

from __future__ import annotations

from random import Random

from adversary.model import Function, Leaf, Variable

NUMBER = ("number", "bool", "double")


def shaped(random: Random, variable: Variable, *, cxx: bool, atomics: bool) -> Variable:
    """*variable* in a form that fits it, by chance."""
    if len(variable.fields) > 1:
        fields = tuple((name, _bits(random, leaf)) for name, leaf in variable.fields)
        return variable._replace(fields=fields)
    plain = not (variable.constant or variable.thread_local or variable.volatile or variable.dynamic)
    if not plain or variable.fields[0][1].kind not in NUMBER:
        return variable
    forms = ["", "union"] if not variable.count else [""]
    forms += ["atomic"] if atomics else []
    forms += ["flexible"] * 3 if variable.count and variable.initial and not cxx else []
    return variable._replace(form=random.choice(forms))


def _bits(random: Random, leaf: Leaf) -> Leaf:
    """Perhaps a bit-field in place of a number."""
    if leaf.kind != "number" or random.randrange(3):
        return leaf
    return leaf._replace(bits=random.choice((1, 3, 5, 7, 12, 20, 33)), signed=leaf.signed)


def of_another_shape(random: Random, function: Function) -> Function:
    """*function* with arguments that its type does not say, or a structure for a result, by chance."""
    plain = function.linkage not in ("inline",) and function.inlining in ("never", "free")
    if not plain or random.randrange(3):
        return function
    if random.randrange(2) or len(function.parameters) < 2:
        return function._replace(form="wide")
    return function._replace(parameters=tuple(leaf._replace(bits=64) for leaf in function.parameters), form="variadic")
