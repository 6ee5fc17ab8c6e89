"""Tests of the sample, which pytest runs only where the runner asks for them."""

from __future__ import annotations

import pytest
from mutants.sample.price import OLD_RATES, endless, price


def test_price() -> None:
    """Says nothing of an amount whose price is exactly 1, where one fault changes nothing."""
    assert price(10) == 10
    assert price(10, "half") == 5
    assert price(0) == 1


def test_endless() -> None:
    """A fault that never ends is one that is found."""
    assert endless(3) == 3


@pytest.mark.parametrize("rate", OLD_RATES)
def test_old_rates(rate: str) -> None:
    """A row that is gone takes its test with it, which tells nothing; a row that has changed brings another test."""
    assert price(10) == 10
    assert rate != "tenthx"
