"""Which functions of a patch are which of the session's, and where callers are led; without a linker."""

from __future__ import annotations

from typing import Any

import pytest

from stubgen.errors import PatchRefusal
from stubgen.generations.redirections import (
    Target,
    counted,
    holding,
    in_process,
    key_of,
    keys,
    loaded,
    register,
    runtime_address,
    targets_after,
    targets_of,
    undone,
)
from stubgen.generations.state import (
    Fate,
    Forwarder,
    Function,
    Generation,
    PatchSession,
    Place,
    SessionAnchor,
    SessionHost,
)
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


def changed(session: PatchSession, number: int, **fields: Any) -> PatchSession:
    """The session with other facts about a generation."""
    rows = list(session.generations)
    rows[number - 1] = rows[number - 1]._replace(**fields)
    return session._replace(generations=tuple(rows))


def three() -> PatchSession:
    """Three generations: f; f and g; g and a new one."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000])))
    session = after(session, replaced(("f", 0x50, [0x1000]), ("g", 0x58, [0x2000])), (1, replaced(("f", 0x50, [0x40]))))
    return after(session, replaced(("g", 0x60, [0x2000]), ("new", 0x68, [])), (2, replaced(("g", 0x60, [0x58]))))


def test_which_generations_count() -> None:
    """Code of a patch that was undone, or is nowhere, answers nobody."""
    session = three()
    assert [row.number for row in in_process(session)] == [1, 2, 3]
    for fate in (Fate.LINKED, Fate.NOT_LOADED):
        other = changed(session, 2, fate=fate, slide=None)
        assert [row.number for row in loaded(other)] == [1, 3]
        assert [row.number for row in holding(other)] == [1, 3]
        relinked = other._replace(relink_earlier=True)
        linked = fate is Fate.LINKED
        assert [row.number for row in counted(relinked)] == ([1, 2, 3] if linked else [1, 3])
        assert [row.number for row in counted(other)] == [1, 3]
        assert [row.number for row in in_process(relinked)] == ([1, 2, 3] if linked else [1, 3])
        assert [row.number for row in holding(relinked)] == [1, 3]
    for number, left in ((0, []), (1, [1]), (2, [1, 2])):
        assert [row.number for row in holding(changed(session, 3, undo_to=number))] == left
    assert [row.number for row in holding(changed(session, 2, undo_to=0))] == [3]


def test_where_callers_are_led_after_each() -> None:
    """Each table is complete: what an earlier patch replaced stays replaced."""
    session = three()
    assert targets_after(session, 0) == {}
    assert targets_after(session, 1) == {0: Target(1, 0x40)}
    assert targets_after(session, 2) == {0: Target(2, 0x50), 1: Target(2, 0x58)}
    assert targets_after(session, 3) == {0: Target(2, 0x50), 1: Target(3, 0x60), 2: Target(3, 0x68)}
    complete = changed(session, 3, complete=True)
    assert targets_after(complete, 3) == {1: Target(3, 0x60), 2: Target(3, 0x68)}
    lost = changed(session, 2, fate=Fate.NOT_LOADED)
    assert targets_after(lost, 3) == {0: Target(1, 0x40), 1: Target(3, 0x60), 2: Target(3, 0x68)}


def test_what_an_undo_leads_back_to() -> None:
    """The host's own again, or the patch before; a function that only a later patch has stays there."""
    session = three()
    now = targets_after(session, 3)
    assert undone(session, now, 2) == {0: Target(2, 0x50), 1: Target(2, 0x58)}
    assert undone(session, now, 1) == {0: Target(1, 0x40), 1: Target(0, 0x2000)}
    assert undone(session, now, 0) == {0: Target(0, 0x1000), 1: Target(0, 0x2000)}
    back = changed(session, 3, undo_to=1, places=())
    assert targets_after(back, 3) == {0: Target(1, 0x40), 1: Target(0, 0x2000)}
    assert table(back) == {
        SLIDE + 0x1000: Target(1, 0x40),
        at(session, 2, 0x50): Target(1, 0x40),
        at(session, 2, 0x58): Target(0, 0x2000),
    }
    own = {(key, target) for key, _, target in keys(back, targets_after(back, 3), back=True)}
    assert (0x2000, Target(0, 0x2000)) in own
    assert {key for key, _, _ in keys(back, targets_after(back, 3))} == {key for key, _ in own} - {0x2000}


def test_where_a_target_is_in_the_process() -> None:
    """The host's slide, or that of the patch; one that may be anywhere is asked for."""
    session = three()
    assert runtime_address(session, Target(0, 0x1000)) == SLIDE + 0x1000
    assert runtime_address(session, Target(2, 0x50)) == at(session, 2, 0x50)
    assert runtime_address(session, Target(3, 0x60)) == at(session, 3, 0x60)
    with pytest.raises(PatchRefusal, match=r"generation 2 may be anywhere in the process: .*session FILE loaded 2 "):
        runtime_address(changed(session, 2, slide=None), Target(2, 0x50))


def test_the_keys_of_a_table() -> None:
    """As if in the host's file: a consumer adds the host's slide to all of them."""
    session = three()
    first = session.generations[0]
    assert key_of(session, first, 0x40) == 0x7F10000000 + 0x40 - SLIDE
    assert key_of(session, first._replace(slide=SLIDE), 0x40) == 0x40
    assert key_of(session, first._replace(slide=None), 0x40) == 0x40 - SLIDE + (1 << 64)


def test_what_was_led_on_before_is_led_on() -> None:
    """Somebody may have kept an address of an earlier table's: code that only branches on."""
    session = three()
    forwarders = (Forwarder(0, 0x90, 1, 0x40), Forwarder(1, 0x98, 3, 0x60))
    session = changed(session, 2, forwarders=forwarders)
    rows = table(session)
    assert rows[at(session, 2, 0x90)] == Target(2, 0x50)  # the newest is another than what it branches to
    assert at(session, 2, 0x98) not in rows
    assert at(changed(session, 2, forwarders=(Forwarder(1, 0x98, 2, 0x60),)), 2, 0x98) in table(
        changed(session, 2, forwarders=(Forwarder(1, 0x98, 2, 0x60),))
    )


def test_functions_that_one_patch_made_one_are_told_by_name() -> None:
    """What the new patch has at the address of two is the one of its name; without one of that name it is new."""
    session = after(EMPTY, replaced(), unchanged=())
    both = [Place(0, 0x40, True), Place(1, 0x40, True)]
    session = changed(session, 1, places=tuple(both))._replace(functions=(Function("f", ()), Function("g", ())))
    for name, functions in (("g", ["f", "g"]), ("f", ["f", "g"]), ("h", ["f", "g", "h"])):
        found = register(session, replaced(), [(1, replaced((name, 0x60, [0x40])))], {})
        assert [function.name for function in found.session.functions] == functions
        assert found.places == (Place(functions.index(name), 0x60, True),)


def test_a_function_of_the_hosts_is_not_another_one_of_its() -> None:
    """A patch folded two; the new one's is that at the host's address, whatever lies at the patch's."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000])))
    found = register(session, replaced(("g", 0x60, [0x2000])), [(1, replaced(("g", 0x60, [0x40])))], {})
    assert found.session.functions == (Function("f", (0x1000,)), Function("g", (0x2000,)))
    assert found.places == (Place(1, 0x60, True),)
    assert found.session.generations[0].places == (Place(0, 0x40, True), Place(1, 0x40, False))


def test_who_replaced_a_new_function_first() -> None:
    """What an earlier patch brought its own generation led there; of the host's it led nobody."""
    session = after(EMPTY, replaced())
    found = register(session, replaced(), [(1, replaced(("new", 0x60, [0x44])))], {("a.o", "new"): False})
    assert found.session.generations[0].places == (Place(0, 0x44, True),)
    assert found.places == (Place(0, 0x60, False),)
    found = register(session, replaced(("f", 0x60, [0x1000])), [(1, replaced(("f", 0x60, [0x44])))], {})
    assert found.session.generations[0].places == (Place(0, 0x44, False),)


def test_functions_that_turn_out_to_be_one_are_numbered_anew() -> None:
    """The rows of earlier generations and what they lead on keep meaning the same functions."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000]), ("h", 0x48, [0x3000])))
    session = after(session, replaced(("g", 0x40, [0x2000]), ("i", 0x48, [0x4000])))
    session = changed(session, 2, forwarders=(Forwarder(2, 0x90, 2, 0x40), Forwarder(3, 0x98, 2, 0x48)))
    session = after(session, replaced(("f", 0x50, [0x2000, 0x1000])))
    assert session.functions == (
        *(Function("f", (0x1000, 0x2000)), Function("h", (0x3000,)), Function("i", (0x4000,))),
    )
    assert session.generations[1].places == (Place(0, 0x40, True), Place(2, 0x48, True))
    assert session.generations[1].forwarders == (Forwarder(0, 0x90, 2, 0x40), Forwarder(2, 0x98, 2, 0x48))
    assert session.generations[2].places == (Place(0, 0x50, True),)


def test_the_first_of_several_copies_counts() -> None:
    """One function of the patch at two addresses: callers are led to one of them."""
    places = (Place(0, 0x40, False), Place(0, 0x50, True), Place(0, 0x60, True), Place(1, 0x70, True))
    assert targets_of(4, places) == {0: Target(4, 0x50), 1: Target(4, 0x70)}


def test_which_function_of_an_earlier_patch_it_is() -> None:
    """By its address there, whatever it is called now; the host's own address tells too, where it is new."""
    session = after(EMPTY, replaced(("f", 0x40, [0x1000])))
    found = register(session, replaced(), [(1, replaced(("renamed", 0x60, [0x40])))], {})
    assert (found.session.functions, found.places) == ((Function("f", (0x1000,)),), (Place(0, 0x60, True),))
    session = after(EMPTY, replaced())
    session = after(session, replaced(), (1, replaced(("new", 0x60, [0x44]))))
    found = register(session, replaced(("new", 0x70, [0x1000])), [(1, replaced(("new", 0x70, [0x44])))], {})
    assert (found.session.functions, found.places) == ((Function("new", (0x1000,)),), (Place(0, 0x70, True),))


def test_what_is_at_one_address_of_the_hosts_is_one() -> None:
    """Two names of a new patch, and all copies of functions that turn out to be one."""
    session = after(EMPTY, replaced(("f", 0x50, [0x1000]), ("alias", 0x58, [0x1000]), ("g", 0x60, [0x2000, 0x2100])))
    assert session.functions == (Function("f", (0x1000,)), Function("g", (0x2000, 0x2100)))
    session = after(session, replaced(("f", 0x70, [0x1000, 0x2000])))
    assert session.functions == (Function("f", (0x1000, 0x2000, 0x2100)),)


def test_what_was_led_on_to_what_nobody_leads_anywhere() -> None:
    """A complete patch without that function has no row for it."""
    forwarders = (Forwarder(0, 0x90, 1, 0x40),)
    session = changed(changed(three(), 2, forwarders=forwarders), 3, complete=True)
    assert at(session, 2, 0x90) not in table(session)
