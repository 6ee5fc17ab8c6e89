"""Of what types a program's variables are in Rust, and how its functions are called there."""

from __future__ import annotations

from adversary.model import Function, Leaf, Variable
from adversary.scope import rank

POINTER = "fn(u64) -> u64"
"""A function of one argument."""


def is_implementation(function: Function) -> bool:
    """Whether the callers that know its name call it as a method of a trait, by a table."""
    return function.takes_one and function.linkage != "inline" and rank(function.name) % 3 == 1


def form(variable: Variable) -> str:
    """What a variable is in Rust: "static mut", "static", "const", "fixed", "atomic", "cell", "thread" or "lazy"."""
    kinds = {leaf.kind for _, leaf in variable.fields}
    if variable.constant:
        if variable.linkage == "hidden":
            return "const"
        return "fixed" if kinds & {"pointer"} else "static"
    if variable.thread_local:
        return "thread"
    if variable.dynamic:
        return "lazy"
    if not variable.volatile:
        return "static mut"
    return "atomic" if len(variable.fields) == 1 and kinds <= {"number", "bool"} else "cell"


def is_computed(variable: Variable) -> bool:
    """Whether it gets its first value at its first use."""
    kind = form(variable)
    return kind == "lazy" or (kind == "thread" and len(variable.initial) == 1)


def atomic(variable: Variable) -> str:
    """The type that holds a variable's number."""
    leaf = variable.fields[0][1]
    name = "Bool" if leaf.kind == "bool" else f"{'I' if leaf.signed else 'U'}{leaf.bits}"
    return f"core::sync::atomic::Atomic{name}"


def leaf_type(leaf: Leaf) -> str:
    """The type of a cell."""
    if leaf.kind == "number":
        return f"{'i' if leaf.signed else 'u'}{leaf.bits}"
    return {"bool": "bool", "double": "f64", "string": "&'static str", "pointer": "*mut u64", "function": POINTER}[
        leaf.kind
    ]


def looked_up_as(kind: str, function: str) -> str:
    """What the runtime's table has for *function*, of type *kind*."""
    return f"core::mem::transmute::<*const (), {kind}>(crate::hot({function} as {kind} as *const ()))"
