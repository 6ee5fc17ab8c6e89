"""What is many times the same is one line for people."""

from __future__ import annotations

import pytest

from stubgen.commands.options import borrowed_lines, changed_value_notes, shared_variable_notes
from stubgen.image import References
from stubgen.resolve.needed import Borrowed, Needed
from stubgen.resolve.verdicts import SharedVariable


def test_notes_of_one_cause_are_one() -> None:
    """Forty notes of 150 columns hid the one about another cause."""
    many = [SharedVariable(f"state_{number}", 8, writable=True, forwarded=False) for number in range(40)]
    other = SharedVariable(
        "lock", 1, writable=True, forwarded=False, reason_not_kept="its size changed from 8 to 1 bytes"
    )
    assert shared_variable_notes([*many, other]) == [
        "note: 40 variables of the patch's own start afresh: --keep-state may use the host's: "
        "state_0, state_1, state_2 and 37 more",
        "note: lock: the patch has its own copy of 1 byte, which starts afresh: its size changed from 8 to 1 bytes",
    ]
    assert shared_variable_notes([*many[:3], other])[:1] == [
        "note: each of state_0, state_1, state_2: the patch has its own copy, which starts afresh: "
        "--keep-state may use the host's"
    ]


def test_variables_of_which_the_patch_has_none_do_not_start_afresh_there() -> None:
    """Where there were four of them, the line said that they are the patch's own."""
    gone = [
        SharedVariable(name, 0, writable=True, forwarded=False, reason_not_kept="nobody uses it", only_in_host=True)
        for name in "abcde"
    ]
    assert shared_variable_notes(gone) == ["note: each of a, b, c, d, e: nobody uses it"]
    assert shared_variable_notes(gone[:1]) == ["note: a: nobody uses it"]


def test_edited_values_of_one_kind_are_one_line() -> None:
    """A table of tariffs that one edit changed."""
    rows = [SharedVariable(name, 8, writable=name != "c", forwarded=True, initial_value_changed=True) for name in "abc"]
    variables, constants = changed_value_notes(rows)
    assert variables.startswith("note: each of a, b: begins with another value in the patch")
    assert constants.startswith("note: c: is another value in the patch")


def test_what_goes_on_as_it_was_is_one_line_for_each_reason() -> None:
    """A patch that one undid may have had many variables."""
    rows = [SharedVariable(name, 8, writable=True, forwarded=True, lost="one.so is lost") for name in "ab"]
    assert shared_variable_notes(rows) == [
        "note: each of a, b: goes on as the host has it, as it was before: one.so is lost"
    ]


PARTS = {  # what a compiler makes for a variable -> the variable
    "_ZGVZ4nextvE5total": "_ZZ4nextvE5total",
    "_ZGVN4shop5totalE": "_ZN4shop5totalE",
    "_ZGV5total": "total",
    "__ZGVZ4nextvE5total": "__ZZ4nextvE5total",
    "__ZGV5total": "_total",
    "_ZGR4tags_": "tags",
    "_ZGR4tags0_": "tags",
    "_ZGRN4shop4tagsE_": "_ZN4shop4tagsE",
    "__tls_guard": "_ZN4shop5totalE",
    "___tls_guard": "_total",
}


@pytest.mark.parametrize("part", PARTS)
def test_what_belongs_to_a_variable_is_told_with_it(part: str) -> None:
    """Of one ``static`` of a function's there were two notes; where nothing else tells of it, its own does."""
    rows = {name: SharedVariable(name, 8, writable=True, forwarded=False) for name in (PARTS[part], part)}
    (note,) = shared_variable_notes(rows.values())
    assert note.startswith(f"note: {PARTS[part]}: the patch has its own copy")
    (note,) = shared_variable_notes([rows[part]])
    assert note.startswith(f"note: {part}: the patch has its own copy")
    if part.endswith("tls_guard"):
        return
    other = SharedVariable("_ZN4shop7anotherE", 8, writable=True, forwarded=False)
    (note,) = shared_variable_notes([other, rows[part]])
    assert note.startswith(f"note: each of {other.name}, {part}: "), "it is another's"


def test_members_of_one_archive_are_one() -> None:
    """A stream of C++'s takes sixty members of libstdc++."""
    members = [Borrowed(f"libm.a(m{number}.o)", "", (f"f{number}",), ()) for number in range(9)]
    borrowed = (*members, Borrowed("libx.a(x.o)", "", ("a", "b", "c", "d"), ()))
    needed = Needed("elf", References(), {}, (), 0, (), (), borrowed=borrowed)
    assert borrowed_lines(needed) == [
        "  borrowed 9 members of libm.a: m0.o, m1.o, m2.o and 6 more",
        "  borrowed libx.a(x.o) for a, b, c and 1 more",
    ]
