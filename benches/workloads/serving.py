"""Requests to ``serve``, a process that stays: the first one, and the same again with other slides."""

from __future__ import annotations

from collections.abc import Iterator

from benches.harness import Bench, Case

FIRST, AGAIN = "first request", "a request after it"


def cases(bench: Bench) -> Iterator[Case]:
    """None yet."""
    return iter(())
