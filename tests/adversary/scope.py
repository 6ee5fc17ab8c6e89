"""What the functions of a random program can use, and which parts it is made of."""

from __future__ import annotations

from adversary.classes import HEADER, method_of, this
from adversary.model import File, Function, Leaf, Program, Variable, seen_from

U64 = Leaf("number")

NUMBERS = tuple(Leaf("number", bits, signed) for bits in (8, 16, 32, 64) for signed in (False, True))

WORDS = ("nut", "bolt", "a longer text", "x", "screw")


LEAST_POINTED = 6
"""Only functions of a rank below this are pointed to; only those of this rank or more call by a pointer: no circles."""


class Scope:
    """What a function of a file can use.

    Args:
        program: the program so far.
        file: the function's file.
        function: its name; it calls functions that come before it in rank alone.
    """

    def __init__(self, program: Program, file: str, function: str) -> None:
        seen: dict[str, Variable] = {}
        for each in (program.file(file), *seen_from(program, file)):
            for variable in each.variables:
                is_own = each.name == file and variable.function in ("", function)
                if is_own or (variable.linkage != "static" and not variable.function):
                    seen.setdefault(variable.name, variable)
        own = [v for v in program.file(file).variables if v.function == function]
        seen.update({variable.name: variable for variable in own})
        it = this(program, function)
        self.program = program
        if it is not None:
            seen = {**(seen if file != HEADER else {}), "this": it}
        self.variables = list(seen.values())
        called: dict[str, Function] = {}
        for each in (program.file(file), *seen_from(program, file)):
            for other in each.functions:
                visible = (each.name == file or other.linkage != "static") and "::" not in other.name
                if visible and (it is None or file != HEADER) and rank(other.name) < rank(function):
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
    plain = not (variable.constant or variable.thread_local or variable.volatile or variable.of or variable.form)
    return plain and variable.fields[0][1] == U64 and not variable.function


def rank(function: str) -> int:
    """A function calls those of lower rank alone, so that no program runs forever: the number in its name.

    What an edit adds (``g...``) calls nobody, and everybody may call it.
    """
    if method_of(function)[1].lstrip("r_").startswith("g"):
        return -1
    digits = "".join(filter(str.isdigit, method_of(function)[1]))
    return int(digits) if digits else 1 << 30


def targets(program: Program, file: str) -> list[str]:
    """The variables that a pointer of a file's may lead to."""
    own = {variable.name for variable in program.file(file).variables}
    visible = [v for v in program.file(file).variables if can_be_target(v)]
    others = (
        v for each in seen_from(program, file) for v in each.variables if each.name != file and v.linkage != "static"
    )
    return [v.name for v in (*visible, *others) if can_be_target(v) and (v in visible or v.name not in own)]


def callbacks(program: Program, file: str) -> list[str]:
    """The functions that a pointer of a file's may lead to."""
    found = []
    for each in seen_from(program, file):
        for function in each.functions:
            visible = each.name == file or function.linkage != "static"
            allowed = (
                "::" not in function.name
                and function.takes_one
                and function.linkage != "inline"
                and function.inlining != "always"
            )
            if visible and allowed and rank(function.name) < LEAST_POINTED:
                found.append(function.name)
    return found


Definers = list[tuple[File, Variable]]


def definers(program: Program, name: str) -> Definers:
    """The files that define a name tentatively, and what each makes of it; the oracle has it as the first's."""
    found = [(file, variable) for file in program.files for variable in file.variables if variable.name == name]
    return [pair for pair in found if pair[1].linkage == "common"]


def largest(found: Definers) -> Variable:
    """The variable as the linker makes it."""
    return max((variable for _, variable in found), key=lambda variable: variable.count)
