"""Which functions of a patch are which of the session's, and where callers are led; without a linker."""

from __future__ import annotations

from stubgen.generations.redirections import Target, keys, register, targets_after, targets_of
from stubgen.generations.state import Fate, Generation, PatchSession, SessionAnchor, SessionHost
from stubgen.replaced import HostCopy, Replaced, Replacement

SLIDE = 0x5500000000
EMPTY = PatchSession(
    "0" * 32,
    SessionHost("host", "build id 00"),
    SessionAnchor("main", 0x100, SLIDE + 0x100),
    None,
    relink_earlier=False,
    keep_state=False,
)


def replaced(*rows: tuple[str, int, list[int]]) -> Replaced:
    """Functions of a patch: name, address, and where what they replace is."""
    functions = tuple(
        Replacement(name, "a.o", False, address, tuple(HostCopy(old, old, (name,)) for old in copies), True)
        for name, address, copies in rows
    )
    return Replaced(functions, ())


def after(
    session: PatchSession, new: Replaced, *earlier: tuple[int, Replaced], unchanged: tuple[str, ...] = ()
) -> PatchSession:
    """The session with one more patch, loaded at 0x7f00000000 times its number."""
    number = len(session.generations) + 1
    found = register(session, new, earlier, {("a.o", name): False for name in unchanged})
    slide = 0x7F00000000 + number * 0x10000000
    row = Generation(
        *(number, f"{number}.so", f"{number}.so", "0" * 64, 0.0, Fate.LOADED, 0x10, 0, slide),
        undo_to=None,
        complete=False,
        captured="",
        units=(),
        places=found.places,
        forwarders=(),
        variables=(),
    )
    return found.session._replace(generations=(*found.session.generations, row))


def table(session: PatchSession) -> dict[int, Target]:
    """Runtime address -> where its callers are led."""
    now = targets_after(session, len(session.generations))
    return {(key + SLIDE) % (1 << 64): target for key, _, target in keys(session, now)}


def at(session: PatchSession, number: int, address: int) -> int:
    """The runtime address of what a generation has at a static one."""
    return address + (session.generations[number - 1].slide or 0)


def test_the_newest_from_everywhere() -> None:
    """Host and both patches call one function by three addresses."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000])))
    session = after(session, replaced(("f", 0x50, [0x1000])), (1, replaced(("f", 0x50, [0x40]))))
    assert table(session) == {SLIDE + 0x1000: Target(2, 0x50), at(session, 1, 0x40): Target(2, 0x50)}


def test_what_a_patch_brought() -> None:
    """A function that the host has not is led on from the patch that had it first."""
    session = after(EMPTY, replaced())
    session = after(session, replaced(), (1, replaced(("new", 0x60, [0x44]))))
    assert table(session) == {at(session, 1, 0x44): Target(2, 0x60)}
    assert targets_after(session, 1) == {0: Target(1, 0x44)}


def test_two_that_were_one_for_a_while() -> None:
    """GCC makes one function of two equal ones (-fipa-icf); edited apart again, each must have its own callers."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000]), ("g", 0x40, [0x2000])))
    both = replaced(("f", 0x50, [0x40]), ("g", 0x50, [0x40]))
    session = after(session, replaced(("f", 0x50, [0x1000]), ("g", 0x50, [0x2000])), (1, both))
    assert table(session)[at(session, 1, 0x40)] == Target(2, 0x50)
    session = after(session, replaced(("f", 0x60, [0x1000]), ("g", 0x70, [0x2000])))
    assert table(session) == {SLIDE + 0x1000: Target(3, 0x60), SLIDE + 0x2000: Target(3, 0x70)}


def test_copies_that_come_to_light_later() -> None:
    """A generic function's copies are one instance, and all their callers are led to one."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000])))
    session = after(session, replaced(("g", 0x40, [0x2000])))
    session = after(session, replaced(("f", 0x50, [0x1000, 0x2000])))
    assert len(session.functions) == 1
    assert set(table(session)) == {*(SLIDE + 0x1000, SLIDE + 0x2000, at(session, 1, 0x40), at(session, 2, 0x40))}
    assert set(table(session).values()) == {Target(3, 0x50)}


def test_unchanged_functions_lead_nowhere_and_are_led() -> None:
    """A patch has all functions of its file; those that had not changed have callers of their own all the same."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000])), unchanged=("f",))
    assert table(session) == {}
    session = after(session, replaced(("f", 0x50, [0x1000])), (1, replaced(("f", 0x50, [0x40]))))
    assert table(session) == {SLIDE + 0x1000: Target(2, 0x50), at(session, 1, 0x40): Target(2, 0x50)}
    assert targets_of(1, session.generations[0].places) == {}
