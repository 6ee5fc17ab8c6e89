"""What the runner tries itself on: one fault that its tests see for each row, and some that they do not."""

from __future__ import annotations

RATES = {"half": 2, "whole": 1}
OLD_RATES = ("third", "tenth")


def price(amount: int, rate: str = "whole") -> int:
    """*amount* over its rate, at least 1."""
    value = amount // RATES[rate]
    return 1 if value < 1 else value


def unseen(amount: int) -> int:
    """No test calls it."""
    return amount + 1


def endless(count: int) -> int:
    """Ends only because it counts down."""
    steps = 0
    while count > 0:
        count -= 1
        steps += 1
    return steps
