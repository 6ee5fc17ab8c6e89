"""Real paths of the many files of one folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stubgen.common.files import RealPaths


def test_they_are_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By them an output is told from an input, and an object of the linker's map from another."""
    (tmp_path / "here" / "deep").mkdir(parents=True)
    (tmp_path / "there").symlink_to("here")
    for name in ("here/a.o", "here/deep/b.o"):
        (tmp_path / name).touch()
    for name, target in {"a": "here/a.o", "here/up": "..", "here/loop": "loop", "here/chain": "../a"}.items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path / "there")
    asked = RealPaths()
    for path in (
        *("a.o", "./a.o", "deep/../a.o", "deep/b.o", "up/a", "up/there/a.o", "chain", "loop", "loop/a.o", "none/a.o"),
        *("", ".", "..", "deep/..", "deep/", "/", "/a.o", "//a.o", "///tmp/a.o"),
        *(str(tmp_path / name) for name in ("a", "there/a.o", "there/deep/b.o", "here/chain", "there/none.o")),
    ):
        assert asked.of(path) == os.path.realpath(path), path
        assert asked.of(Path(path)) == os.path.realpath(Path(path)), path


def test_a_folder_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link has hundreds of objects of one folder, and each is looked up several times."""
    calls = []
    monkeypatch.setattr(os.path, "realpath", lambda path: calls.append(path) or str(path))
    asked = RealPaths()
    for number in range(300):
        asked.of(tmp_path / f"{number}.o")
    assert len(calls) == 1
