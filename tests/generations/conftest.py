"""What most tests of generations begin with; a test that wants another linker has a fixture of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from generations.program import Program, started
from live.live import LiveHost


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program, linked."""
    return started(tmp_path, "gnu")


@pytest.fixture
def live(program: Program) -> Iterator[LiveHost]:
    """Its process, which has to end soundly."""
    with LiveHost(program.host) as process:
        yield process
        process.end()
