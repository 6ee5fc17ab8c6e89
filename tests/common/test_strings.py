"""Common: string tables are searched by the pass, and nothing in them is overlooked."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stubgen.common import strings as module
from stubgen.common.strings import StringTable, name_table
from stubgen.errors import FieldOverflow, MalformedInput

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
    pays=st.sampled_from([0, 1 << 20]),
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
    pays=1 << 20,
)
@example(
    texts=[b"a@V", b"b"],
    picks=[1, 0, 5],
    wanted={b"b"},
    markers=[b"@"],
    ends=True,
    size=4,
    few=0,
    lead=b"\0",
    pays=1 << 20,
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
    pays=1 << 20,
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
    pays: int,
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
        patch.setattr(module, "COPY_PAYS", pays)
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


@pytest.mark.parametrize("count", [1, 2, 1023, 1024, 1025, 2050])
def test_holds_looks_at_every_start(count: int) -> None:
    """Starts are held against a thousand names at once: one that is off counts, and so do two that make up for it."""
    texts = [b"n%d" % number * (1 + number % 3) for number in range(count)]
    table, (starts,) = name_table([texts], "file")
    strings = StringTable(memoryview(bytes(table)), "file")
    assert strings.holds(starts, texts)
    for index in {0, 1, count // 2, count - 2, count - 1} & set(range(count)):
        for change in (-1, 1, 1 << 31, -1 << 31):
            moved = array("I", starts)
            moved[index] = (moved[index] + change) % (1 << 32)
            assert not held(strings, moved, texts)
            if index + 1 < count:
                moved[index + 1] = (moved[index + 1] - change) % (1 << 32)
                assert not held(strings, moved, texts)


def held(strings: StringTable, starts: array[int], texts: list[bytes]) -> bool:
    """Whether verification goes on: a start beyond the table ends it as well."""
    try:
        return strings.holds(starts, texts)
    except MalformedInput:
        return False


def test_holds_knows_where_names_end() -> None:
    """A linker reads a name up to its NUL: one that was meant to go on behind it is another name."""
    strings = StringTable(memoryview(b"\0a\0b\0c\0"), "file")
    assert strings.holds(array("I", [1, 3, 5]), [b"a", b"b", b"c"])
    assert not strings.holds(array("I", [1, 5]), [b"a\0b", b"c"])


def test_starts_that_run_over_are_no_starts() -> None:
    """All sums are one number: a start that does not fit its 32 bits must not be made up for by the next one."""
    assert module._lie_close(array("I", [5, 9, 11]), [b"abc", b"d", b"e"], 7)
    assert not module._lie_close(array("I", [0xFFFFFFFE, 2, 5]), [b"abc", b"d", b"e"], 7)


LONG = b"x" * (1 << 22)  # one object, however often it stands in a list


@pytest.mark.parametrize("names", [[LONG] * 1024, [LONG] * 1023 + [LONG[6:]]], ids=["names", "with their NULs"])
def test_a_table_beyond_32_bits_is_refused(names: list[bytes]) -> None:
    """An offset that wraps gives a stub the name of another one."""
    with pytest.raises(FieldOverflow, match=r"file: the size of the string table is 0x1\w+, which does not fit its 32"):
        name_table([names], "file")
    assert len(name_table([names[1:]], "file")[0]) > 1023 << 22


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
