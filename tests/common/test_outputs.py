"""Files that appear together."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stubgen.common.files import Outputs


class _EndedError(Exception):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise _EndedError

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def test_no_signal_comes_between_two_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new stub object beside an old patch, or the other way round, looks sound and is not."""
    names, plain = ("patch.so", "stub.o", "r.html"), os.replace
    for name in names:
        (tmp_path / name).write_text("old")

    def replace(source: str, target: str) -> None:
        plain(source, target)
        signal.raise_signal(signal.SIGTERM)

    outputs = Outputs()
    for name in names:
        outputs.add(tmp_path / name, b"new")
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(_EndedError):
        outputs.commit()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "new")


def test_no_signal_comes_while_they_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one signal takes back, a second one must not leave behind."""
    plain, outputs = os.unlink, Outputs()
    for name in ("patch.so", "stub.o"):
        outputs.add(tmp_path / name, b"new")

    def unlink(path: str) -> None:
        signal.raise_signal(signal.SIGTERM)
        plain(path)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(_EndedError):
        outputs.discard()
    assert not list(tmp_path.iterdir())
