"""Large files of a process that stays: copies on disk that nobody else can change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from weakref import WeakSet

import pytest

from stubgen.common import files, kept_copy
from stubgen.common.cache import FOLDER_VARIABLE
from stubgen.common.files import read_input
from stubgen.common.kept_copy import let_go_of_pages

pytestmark = pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="the system copies no files by itself")


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large, and a cache folder."""
    monkeypatch.setattr(files, "LARGE", 1 << 16)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "host"
    path.write_bytes(bytes(range(256)) * 1024)
    return path


@pytest.mark.parametrize("change", ["cut short", "overwritten", "replaced", "gone"])
def test_a_copy_stays_what_it_was(large: Path, change: str) -> None:
    """A server reads hosts while a build writes them: a mapping of the file itself ended it with SIGBUS."""
    expected = large.read_bytes()
    content = read_input(large, copied=True)
    assert not isinstance(content, bytes)
    let_go_of_pages()  # read again from here on
    if change == "cut short":
        os.truncate(large, 0)
    elif change == "overwritten":
        large.write_bytes(bytes(len(expected)))
    elif change == "replaced":
        large.with_name("new").write_bytes(b"x")
        large.with_name("new").replace(large)
    else:
        large.unlink()
    assert content[:] == expected


def test_neither_the_file_nor_a_name_is_held(large: Path, tmp_path: Path) -> None:
    """A kept host must not be in the way of whoever replaces it, and what a killed server leaves behind is for ever."""
    content = read_input(large, copied=True)
    maps = Path("/proc/self/maps").read_text()
    assert str(large) not in maps
    assert f"{tmp_path / 'cache'}" in maps
    assert not [name for _, _, names in os.walk(tmp_path / "cache") for name in names]
    assert len(content) == large.stat().st_size


def test_without_a_cache_folder_it_is_in_memory(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants nothing written into the home folder is served all the same."""
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    assert read_input(large, copied=True) == large.read_bytes()


def test_a_full_disk_is_no_failure(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that does not fit on the disk is one in memory."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    assert read_input(large, copied=True) == large.read_bytes()


def test_a_thread_copies_a_file_while_another_lets_go(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose two requests met there answered one of them with a bug: the set of copies had changed."""
    held, others = [read_input(large, copied=True)], []
    copying = Thread(target=lambda: others.append(read_input(large, copied=True)))

    class Slow(WeakSet[Any]):
        def __iter__(self) -> Iterator[Any]:
            for mapping in super().__iter__():
                yield mapping
                if not copying.ident:
                    copying.start()
                    copying.join(0.1)  # as long as it needs where it does not wait for this one

    monkeypatch.setattr(kept_copy, "_mapped", [Slow(held)])
    let_go_of_pages()
    copying.join()
    assert [content[:] for content in (*held, *others)] == [large.read_bytes()] * 2
