"""Tools that the tests run: one that is there and does not run is skipped like one that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tools

SAID = "error: rustup could not choose a version of rustc to run"


@pytest.mark.parametrize("name", ["rustc", "cargo"])
def test_a_tool_that_does_not_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rustup's stand-ins without a toolchain made failures of tests that have nothing to do with the change."""
    fake = tmp_path / name
    fake.write_text(f"#!/bin/sh\necho '{SAID}' >&2\necho more >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("STUBGEN_RUSTC", str(fake))
    monkeypatch.setattr(tools, "REQUIRED", False)
    monkeypatch.setattr(tools, "_found", lambda wanted: str(tmp_path / wanted))
    ask: Callable[[], object] = tools.rustc if name == "rustc" else lambda: tools.need(name)
    with pytest.raises(pytest.skip.Exception, match=f"{fake} does not run: {SAID}"):
        ask()
