"""What ``--wrap`` makes of names."""

from __future__ import annotations

from stubgen.symbols.wrapped import wrapped_meanings


def test_what_each_name_means() -> None:
    """A call of f that misses the wrapper, or a wrapper that calls itself for ever."""
    assert wrapped_meanings([b"f"]) == {b"f": b"__wrap_f", b"__real_f": b"f"}
    assert wrapped_meanings([]) == {}


def test_a_wrapped_wrapper() -> None:
    """GNU ld looks a name up once: what __real_f means is not wrapped again."""
    meanings = wrapped_meanings([b"f", b"__wrap_f"])
    assert meanings[b"f"] == b"__wrap_f"
    assert meanings[b"__wrap_f"] == b"__wrap___wrap_f"
    assert meanings[b"__real_f"] == b"f"
