"""Random programs whose runtime overwrites where old functions begin: who loses a value by it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from overwriting.trial import attempt, build_of

SEEDS = (*range(24), 187, 199, 323)
"""The last ones have static functions of clang's that took what a pointer led to in the host alone."""


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_loses_a_value_was_told(tmp_path: Path, seed: int) -> None:
    """The patch linked with status 0, and a caller went on with values that the new function had destroyed."""
    found = attempt(seed, tmp_path)
    assert not found.missed
    assert found.together, "each by itself does no harm, and all of them do"
    if "clang" in build_of(seed).driver:
        assert not found.relying, "clang's callers rely on nothing"


def test_programs_are_of_all_kinds() -> None:
    """A kind that no seed has is tried by nobody."""
    builds = [build_of(seed) for seed in SEEDS]
    assert {build.language for build in builds} == {"c", "c++"}
    assert {build.options[0] for build in builds} == {"-O1", "-O2", "-O3", "-Os"}
    assert {"-flto" in build.host for build in builds} == {"-g" in build.options for build in builds} == {False, True}
    assert len({build.driver for build in builds}) == 4
