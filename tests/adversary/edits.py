"""Random edits of a program: what people change between two saves. Each keeps the program whole, callers included."""

from __future__ import annotations

from typing import NamedTuple

from adversary.changes import with_digests
from adversary.class_edits import CLASS_EDITS, CLASS_TYPES, ClassEdits
from adversary.common_edits import COMMON_EDITS, CommonEdits
from adversary.function_edits import FunctionEdits
from adversary.generate import Generator
from adversary.model import Program
from adversary.name_edits import NAME_EDITS, NameEdits
from adversary.start_edits import START_EDITS, StartEdits
from adversary.variable_edits import VariableEdits


class Edited(NamedTuple):
    """A program after an edit."""

    program: Program
    what: str
    """The edit, for people."""


class Editor(ClassEdits, CommonEdits, FunctionEdits, NameEdits, StartEdits, VariableEdits):
    """Makes edits.

    Args:
        generator: makes new parts.
        types: whether a variable may get another type of the same size, and a function other parameters: only debug
            information tells that.
        files: whether there may be new files: a recorded build does not know them.
    """

    def __init__(self, generator: Generator, *, types: bool, files: bool = True) -> None:
        super().__init__(generator)
        untold = (
            frozenset() if types else TYPES | CLASS_TYPES | ({"volatile"} if generator.features.rust else frozenset())
        )
        classes = CLASS_EDITS * 2 if generator.features.classes else ()
        edits = tuple(each for each in (*EDITS, *classes) if each not in untold)
        edits += NAME_EDITS if generator.features.names else ()
        edits += START_EDITS if generator.features.constructors else ()
        edits += COMMON_EDITS if generator.features.commons else ()
        edits = edits if files else tuple(each for each in edits if each != "new_file")
        self._edits = (*edits, *(RIVALS if generator.features.rivals else ()))

    def edit(self, program: Program, generation: int) -> Edited:
        """One to three edits of *program*."""
        told = []
        for number in range(self.random.choice((1, 1, 1, 2, 3))):
            while True:
                name = self.random.choice(self._edits)
                self._number = 1000 * generation + 10 * number
                made: Program | None = getattr(self, f"_{name}")(program)
                if made is not None and with_digests(made) != program:
                    break
            program = with_digests(made)
            told.append(name)
        return Edited(program, ", ".join(told))


EDITS = (
    *("body",) * 5,
    *("number_in_body", "entry_uses") * 3,
    *("add_function", "add_variable", "initial_value") * 2,
    *("remove_function", "remove_variable", "retype", "resize", "reorder_fields", "rename_variable", "rename_function"),
    *("signature", "move_function", "function_linkage", "variable_linkage", "inlining", "volatile", "comment"),
    "new_file",
)
"""The edits, the likelier ones several times."""

RIVALS = ("add_default", "add_override") * 4
"""Those of programs in which several files define a name."""

TYPES = frozenset(("retype", "reorder_fields", "signature"))
"""Those that only debug information tells."""
