"""Code of objects that is held against a linked image."""

from __future__ import annotations

from stubgen.image.static_code import Span, StaticCode, code_at


def spans(*places: tuple[int, int]) -> list[Span]:
    """Functions called by where they are."""
    return [Span(start, end, b"%d" % start, start) for start, end in places]


def test_what_linkers_fill_in_counts_for_nothing() -> None:
    """Addresses differ between object and program, and nothing else may."""
    code = StaticCode(b"f", 0, b"abcdefgh", ((2, 4),))
    assert code.is_that_of(b"ab1234gh")
    assert not code.is_that_of(b"ab1234gx")
    assert not code.is_that_of(b"xb1234gh")
    assert not code.is_that_of(b"abcdef")


def test_code_that_a_linker_writes_all_of_tells_nothing() -> None:
    """A function that is one branch looked like any other one."""
    assert not StaticCode(b"f", 0, b"abcd", ((0, 4),)).is_that_of(b"abcd")


def test_functions_have_the_parts_that_are_theirs() -> None:
    """Counted from where each begins, and cut off where it ends."""
    found = list(code_at(memoryview(b"abcdefghijkl"), [(10, 4), (0, 4), (5, 2)], spans((4, 12), (0, 4))))
    assert [(each.content, each.filled) for each in found] == [(b"abcd", ((0, 4),)), (b"efghijkl", ((1, 2), (6, 2)))]


def test_functions_that_overlap_are_left_out() -> None:
    """A crafted object with thousands of them would take memory by the square; one function may have two names."""
    content = memoryview(bytes(range(64)))
    found = list(code_at(content, (), spans((0, 32), (0, 32), (16, 48), (32, 64), (33, 64))))
    assert [each.name for each in found] == [b"0", b"0", b"32"]
    assert found[0].content is found[1].content
