"""Names for pinned versions: one for each, none with an ``@``, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stubgen.image import Kind
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder, parse_symbol
from stubgen.symbols.versions import is_part, known_name, plain_name, split_pin

PARTS = st.text("abz_.0123456789", min_size=1, max_size=8).map(str.encode)


@given(st.sets(st.tuples(PARTS, PARTS)))
def test_no_two_names_become_one(pins: set[tuple[bytes, bytes]]) -> None:
    """Names and versions may hold periods: ``a.b@c`` and ``a@b.c`` are two symbols, with two addresses."""
    plain = {plain_name(name + b"@" + version): (name, version) for name, version in pins}
    assert len(plain) == len(pins)
    for symbol, (name, version) in plain.items():
        assert b"@" not in symbol
        assert known_name(symbol) == name + b"@" + version


@pytest.mark.parametrize("spelling", [b"foo@V1", b"foo@@V1", b"foo@@@V1"])
def test_each_spelling_of_a_version_is_the_same(spelling: bytes) -> None:
    """Assemblers take one, two or three at-signs."""
    assert plain_name(spelling) == b"__stubgen_pinned.3.foo.V1"
    assert known_name(plain_name(spelling)) == b"foo@V1"
    assert split_pin(spelling) == (b"foo", "V1")


@pytest.mark.parametrize("name", [b"foo", b"@", b"@x", b"__stubgen_pinned.", b"__stubgen_pinned.x.foo.V1", b""])
def test_other_names_stay(name: bytes) -> None:
    """Only what pins a version is renamed; who calls a symbol like one of ours keeps it."""
    assert plain_name(name) == known_name(name) == name
    assert split_pin(name) == (name, "")


@pytest.mark.parametrize("addend", [0, 8, -16])
def test_slots_are_found_again(addend: int) -> None:
    """The check reads from a slot's symbol what should be in it."""
    binder = Binder({})
    symbol = binder.slot(b"limit@V1.0", Target(Kind.DATA, SlotKind.ADDRESS, 0x1000), SlotKind.ADDRESS, addend)
    assert b"@" not in symbol
    assert parse_symbol(symbol) == (b"limit@V1.0", addend, 8)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (b"f.cold", True),
        (b"f.cold.1", True),
        (b"f.unlikely", True),
        (b"f.unlikely.2", True),
        (b"OUTLINED_FUNCTION_3", True),
        (b"_OUTLINED_FUNCTION_3", True),
        (b"f", False),
        (b"f.colder", False),
        (b"f.cold.x", False),
        (b"f.part.0", False),
        (b"my_OUTLINED_FUNCTION_3", False),
    ],
)
def test_a_part_of_a_function_is_told_by_what_compilers_append(name: bytes, part: bool) -> None:
    """A part that counted as a function would be listed as one that the patch replaces, and nobody calls it."""
    assert is_part(name) is part
