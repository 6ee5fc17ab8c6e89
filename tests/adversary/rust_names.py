"""What a symbol of Rust names: the path in it, in either mangling."""

from __future__ import annotations

import re

from adversary.model import Function, Program, is_plain
from adversary.rust_crates import CRATE, LIBRARY, crate_of


def symbol_path(symbol: str) -> list[str]:
    """The identifiers of a symbol's path, the crate's first; [] if it is no symbol of the program's own crates."""
    begin = re.match(r"_ZN", symbol) or re.match(r"_R[A-Za-z]*?Cs[0-9a-zA-Z]*_", symbol)
    if begin is None:
        return []
    at, found = begin.end(), []
    while number := re.compile(r"(?:s[0-9a-zA-Z]*_)?(0|[1-9]\d*)_?").match(symbol, at):
        at = number.end() + int(number[1])
        found.append(symbol[number.end() : at])
    if begin[0] == "_ZN":
        found = found[:-1]  # the hash
    return found if found[:1] in ([CRATE], [LIBRARY]) else []


def part_of(symbol: str) -> str:
    """What LLVM calls a part of a static (``.0``); empty for what is whole, ``.llvm.N`` of another unit's aside."""
    return "".join(re.findall(r"\.\d+", re.sub(r"\.llvm\.\d+", "", symbol)))


def function_of(program: Program, symbol: str) -> tuple[str, str] | None:
    """File and name of the function that a symbol is of."""
    path = symbol_path(symbol)
    for file in program.files:
        for function in file.functions:
            if (
                symbol == function.name
                if is_plain(function)
                else path
                == [
                    crate_of(program, file.name),
                    file.name,
                    function.name,
                ]
            ):
                return file.name, function.name
    return None


def variable_of(program: Program, symbol: str) -> tuple[str, str, str] | None:
    """File, function and name of the static that a symbol is of."""
    _, *path = symbol_path(symbol) or [""]
    plain = symbol.partition(".")[0]
    for file in program.files:
        for variable in file.variables:
            own = [file.name, *([variable.function] if variable.function else []), variable.name]
            if path[: len(own)] == own or (is_plain(variable) and plain == variable.name):
                return file.name, variable.function, variable.name
    return None


def identity(program: Program, file: str, function: Function, *, legacy: bool) -> tuple[object, ...]:
    """What two functions have in common that have one symbol."""
    if is_plain(function):
        return (function.name,)
    return file, function.name, function.parameters if legacy else ()
