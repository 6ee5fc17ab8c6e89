"""What is many times the same is one line for people."""

from __future__ import annotations

from stubgen.commands.options import borrowed_lines, shared_variable_notes
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
    assert len(shared_variable_notes(many[:3])) == 3


def test_members_of_one_archive_are_one() -> None:
    """A stream of C++'s takes sixty members of libstdc++."""
    members = [Borrowed(f"libm.a(m{number}.o)", "", (f"f{number}",), ()) for number in range(9)]
    borrowed = (*members, Borrowed("libx.a(x.o)", "", ("a", "b", "c", "d"), ()))
    needed = Needed("elf", References(), {}, (), 0, (), (), borrowed=borrowed)
    assert borrowed_lines(needed) == [
        "  borrowed 9 members of libm.a: m0.o, m1.o, m2.o and 6 more",
        "  borrowed libx.a(x.o) for a, b, c and 1 more",
    ]
