"""What a person reads of a jump table."""

from __future__ import annotations

import pytest

from stubgen.commands.jumptable import MOST_NAMES, table_lines
from stubgen.compare.changes import Change, FunctionChange
from stubgen.jumptable import Entry, JumpTable
from stubgen.replaced import Replacement
from stubgen.without_code import went_on_without


def table(changed: int) -> JumpTable:
    """One with so many changed functions, and one that is not."""
    rows = [
        FunctionChange((f"f{number}",), "a.o", Change.CHANGED, "an instruction", leads_to_change=False)
        for number in range(changed)
    ]
    same = FunctionChange(("same",), "a.o", Change.UNCHANGED, "", leads_to_change=False)
    entries = tuple(Entry(row.names[0], "a.o", 0x10, 0x20) for row in rows)
    return JumpTable("p.so", "main", 0, 0, entries, (*rows, same), ())


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (0, "  functions: 1 unchanged: the table is empty and leads no call to the patch"),
        (2, "  functions: 2 changed (f0, f1), 1 unchanged"),
        (MOST_NAMES + 2, "  functions: 8 changed (f0, f1, f2, f3, f4, f5 and 2 more), 1 unchanged"),
    ],
)
def test_what_changed_is_named(changed: int, line: str) -> None:
    """Three functions for an edit of one is a question that a count does not answer."""
    assert table_lines(table(changed))[0] == line


@pytest.mark.parametrize("name", ["_GLOBAL__sub_I_a.cpp", "__GLOBAL__sub_I_a.cpp", "_GLOBAL__sub_D_a.cpp"])
def test_what_sets_up_a_cxx_files_variables_is_not_counted_as_added(name: str) -> None:
    """Nobody wrote it, and GCC calls it otherwise in a patch: "1 added" of each file with ``<iostream>``."""
    made = FunctionChange((name,), "a.o", Change.ADDED, "", leads_to_change=False)
    written = made._replace(names=("setup",))
    one = table(1)
    assert table_lines(one._replace(changes=(*one.changes, made)))[0] == "  functions: 1 changed (f0), 1 unchanged"
    both = one._replace(changes=(*one.changes, made, written))
    assert table_lines(both)[0] == "  functions: 1 added, 1 changed (f0), 1 unchanged"
    edited = one._replace(changes=(made._replace(change=Change.CHANGED),))
    assert table_lines(edited)[0] == f"  functions: 1 changed ({name})"


def test_of_functions_that_are_left_out_for_one_reason_there_is_one_line() -> None:
    """Edited structures of Lua's had hundreds of lines; what was edited is named first."""
    reasons = [("same", "its layout"), *((f"f{number}", "its layout") for number in range(7)), ("g", "two of them")]
    undecided = tuple(Replacement(name, "a.o", False, 0, (), False, reason) for name, reason in reasons)
    lines = table_lines(table(7)._replace(undecided=undecided))
    first = ", ".join(f"f{number} (a.o)" for number in range(MOST_NAMES))
    assert lines[1:] == [f"  left out: {first} and 2 more: its layout", "  left out: g (a.o): two of them"]
    of_rust = undecided[0]._replace(object="till-b4255d67b854d41e.8v9q9ae0ic9y6noobw9dn6hv0.1tmtpjv.rcgu.o")
    assert table_lines(table(7)._replace(undecided=(of_rust,)))[1:] == ["  left out: same: its layout"]


def test_what_link_time_optimisation_left_nothing_of_is_one_line_with_all_the_files() -> None:
    """20 files of Lua's had 60 lines, one for each set of files that used the same functions."""
    rows = [("f", ("b.o",)), ("g", ("c.o", "b.o")), ("h", ())]
    undecided = tuple(
        Replacement(name, "a.o", False, 0, (), False, went_on_without(users) if users else "two of them", users)
        for name, users in rows
    )
    lines = table_lines(table(0)._replace(undecided=undecided))[1:]
    assert [line.partition(": link-time")[0] for line in lines] == [
        "  left out: f (a.o), g (a.o)",
        "  left out: h (a.o): two of them",
    ]
    assert "of those names, and b.o, c.o, which used them, go on with what was made of them there" in lines[0]
    (line,) = table_lines(table(0)._replace(undecided=undecided[:1]))[1:]
    assert "of that name, and b.o, which used it, goes on with what was made of it there" in line
