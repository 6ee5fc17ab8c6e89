"""The inline functions of a program's header, which each file has that uses them, and their static variables.

Such a variable is one for the whole program in C++ (linkage "inline"), and one for each file in C (linkage "static").
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from adversary.classes import HEADER
from adversary.model import Function, Program, Variable, functions_in


def used_inline(program: Program, file: str) -> list[Function]:
    """The header's functions that a file needs, those that are called first."""
    known = {function.name: function for each in program.files if each.name == HEADER for function in each.functions}
    wanted, found = [*program.file(file).functions], list[Function]()
    while wanted:
        for name in sorted(functions_in(wanted.pop())):
            if name in known and known[name] not in found:
                found.append(known[name])
                wanted.append(known[name])
    return sorted(found, key=lambda function: list(known).index(function.name))


@lru_cache(maxsize=1 << 10)
def statics_of(program: Program, function: str) -> tuple[Variable, ...]:
    """The static variables of a function of the header; none for others."""
    header = (file for file in program.files if file.name == HEADER)
    return tuple(v for file in header for v in file.variables if v.function == function and function)


def own_variables(program: Program, file: str) -> Iterator[Variable]:
    """The variables that a file has for itself, those of the header's functions that it uses among them."""
    yield from program.file(file).variables
    if file != HEADER:
        for function in used_inline(program, file):
            yield from (v for v in statics_of(program, function.name) if v.linkage == "static")
