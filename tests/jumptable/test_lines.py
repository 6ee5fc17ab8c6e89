"""What a person reads of a jump table."""

from __future__ import annotations

import pytest

from stubgen.commands.jumptable import MOST_NAMES, table_lines
from stubgen.compare.changes import Change, FunctionChange
from stubgen.jumptable import JumpTable


def table(changed: int) -> JumpTable:
    """One with so many changed functions, and one that is not."""
    rows = [
        FunctionChange((f"f{number}",), "a.o", Change.CHANGED, "an instruction", leads_to_change=False)
        for number in range(changed)
    ]
    same = FunctionChange(("same",), "a.o", Change.UNCHANGED, "", leads_to_change=False)
    return JumpTable("p.so", "main", 0, 0, (), (*rows, same), ())


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (0, "  functions: 1 unchanged"),
        (2, "  functions: 2 changed (f0, f1), 1 unchanged"),
        (MOST_NAMES + 2, "  functions: 8 changed (f0, f1, f2, f3, f4, f5 and 2 more), 1 unchanged"),
    ],
)
def test_what_changed_is_named(changed: int, line: str) -> None:
    """Three functions for an edit of one is a question that a count does not answer."""
    assert table_lines(table(changed))[0] == line
