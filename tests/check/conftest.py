"""The folder in which host and patch are."""

from __future__ import annotations

from pathlib import Path

import pytest
from check.bench import Case


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A fresh one."""
    return Case(tmp_path)
