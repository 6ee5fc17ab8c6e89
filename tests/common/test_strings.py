"""Common: string tables are searched by the pass, and nothing in them is overlooked."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stubgen.common import strings as module
from stubgen.common.strings import StringTable
from stubgen.errors import MalformedInput

TEXTS = st.lists(st.binary(min_size=0, max_size=6).map(lambda raw: raw.replace(b"\0", b"\1")), max_size=30)


def slowly(table: bytes, starts: array[int], wanted: set[bytes], markers: list[bytes]) -> list[int]:
    """What ``find`` must say, name by name."""
    names = [table[start:].partition(b"\0")[0] for start in starts]
    return [i for i, name in enumerate(names) if name in wanted or any(marker in name for marker in markers)]


@given(
    texts=TEXTS,
    picks=st.lists(st.integers(0, 200), max_size=40),
    wanted=st.sets(st.binary(max_size=4).map(lambda raw: raw.replace(b"\0", b"\2"))),
    markers=st.lists(st.sampled_from([b"@", b".llvm.", b"\1", b"a"]), max_size=2),
    ends=st.booleans(),
    size=st.integers(2, 40),
    few=st.integers(0, 4),
    lead=st.sampled_from([b"\0", b" \0", b" ", b"\0\0"]),
    many=st.sampled_from([0, 10_000]),
)
@example(
    texts=[b"barfoo", b"foo", b"foo"],
    picks=[3, 8, 12],
    wanted={b"foo"},
    markers=[],
    ends=True,
    size=8,
    few=0,
    lead=b"\0",
    many=0,
)
@example(
    texts=[b"a@V", b"b"], picks=[1, 0, 5], wanted={b"b"}, markers=[b"@"], ends=True, size=4, few=0, lead=b"\0", many=0
)
@example(
    texts=[b"\1\1foo", b"x"],
    picks=[1, 2, 3],
    wanted={b"foo", b"x"},
    markers=[b"\1"],
    ends=False,
    size=3,
    few=0,
    lead=b"\0",
    many=0,
)
def test_find_overlooks_nothing(
    texts: list[bytes],
    picks: list[int],
    wanted: set[bytes],
    markers: list[bytes],
    ends: bool,
    size: int,
    few: int,
    lead: bytes,
    many: int,
) -> None:
    """A name that the search overlooks is "missing in the host", though the host has it.

    Names may begin inside other strings (linkers merge tails), stand twice in the table, be longer than what is
    cut up at a time, hold the byte that marks hits, and lack their NUL at the table's end; Mach-O's
    tables begin with a space.
    """
    table = lead + b"\0".join(texts) + (b"\0" if ends else b"")
    starts = array("I", [pick % len(table) for pick in picks])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TABLE_AT_ONCE", size)
        patch.setattr(module, "NAMES_AT_ONCE", 7)
        patch.setattr(module, "FEW", few)
        patch.setattr(module, "MANY", many)
        strings = StringTable(memoryview(table), "file")
        assert list(strings.find(starts, wanted, markers)) == slowly(table, starts, wanted, markers)
        assert strings.read(starts) == [table[start:].partition(b"\0")[0] for start in starts]
        assert strings.holds(starts, strings.read(starts))


@given(texts=st.lists(st.binary(min_size=1, max_size=6).filter(lambda raw: b"\0" not in raw), min_size=1, max_size=20))
def test_holds_notices_every_difference(texts: list[bytes]) -> None:
    """Verification compares a million names without making a list of them; one that differs must not slip through."""
    table = b"\0" + b"\0".join(texts) + b"\0"
    starts = array("I", [1])
    for text in texts[:-1]:
        starts.append(starts[-1] + len(text) + 1)
    strings = StringTable(memoryview(table), "file")
    assert strings.holds(starts, texts)
    assert not strings.holds(starts, [*texts[:-1], texts[-1] + b"x"])
    assert not strings.holds(starts, [*texts[:-1], texts[-1][:-1]])
    assert not strings.holds(starts[:-1], texts)
    moved = array("I", starts)
    moved[-1] -= 1
    assert not strings.holds(moved, texts)


@pytest.mark.parametrize("start", [5, 6, 100, 0xFFFFFFFF])
def test_a_name_beyond_the_table_is_malformed(start: int) -> None:
    """A corrupt offset must not read as an unnamed symbol that nobody misses."""
    strings = StringTable(memoryview(b"\0foo\0"), "host.so")
    with pytest.raises(MalformedInput, match=r"host\.so: a symbol's name lies beyond the end of the string table"):
        strings.at(start)
    with pytest.raises(MalformedInput, match="beyond the end"):
        list(strings.find(array("I", [1, start]), {b"foo"}))
    with pytest.raises(MalformedInput, match="beyond the end"):
        strings.read(array("I", [1, start]))


def test_nothing_is_overlooked_in_a_large_table() -> None:
    """A host of a million symbols is cut up a thousand times: a name must be found wherever it lies."""
    names = [b"_ZN%d_%s" % (number, b"x" * (number * 7919 % 90)) for number in range(100_000)]
    table = b"\0" + b"\0".join(names) + b"\0"
    starts = array("I", [1])
    for name in names[:-1]:
        starts.append(starts[-1] + len(name) + 1)
    assert len(table) > 100 * module.TABLE_AT_ONCE
    held = StringTable(memoryview(table), "file")
    for step in (1, 3, 997):
        assert list(held.find(starts, set(names[::step]))) == list(range(0, len(names), step))
    tails = array("I", [start + 3 for start in starts])  # as linkers merge them
    wanted = {name[3:] for name in names[5::1009]}
    assert {held.at(tails[index]) for index in held.find(tails, wanted)} == wanted
    assert held.read(starts) == names
