"""Memory that files are written to: in large pages where the system has them."""

from __future__ import annotations

import ctypes
import mmap
from types import SimpleNamespace

import pytest

from stubgen.common import layout
from stubgen.common.layout import file_of

SIZE = 5 * mmap.PAGESIZE


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """What the system was asked: address, bytes and advice; a file of SIZE bytes is a large one."""
    calls: list[tuple[int, int, int]] = []

    class Advice:
        def __call__(self, *arguments: int) -> None:
            calls.append(arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(layout, "LARGE", SIZE - 1)
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 14, raising=False)  # asm-generic/mman-common.h
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(madvise=Advice()))
    return calls


def test_large_pages_are_asked_for(asked: list[tuple[int, int, int]]) -> None:
    """Memory beside the file's is not ours to give advice about, and small pages take a third of all emission."""
    file = file_of(SIZE)
    file.write(bytes(range(251)) * (SIZE // 251))
    file.write(b"end".rjust(SIZE - file.tell()))
    ((start, size, advice),) = asked
    assert ctypes.string_at(start, size) == file.getvalue()[-size:]
    assert (start % mmap.PAGESIZE, size > SIZE - mmap.PAGESIZE, advice) == (0, True, 14)
    file_of(SIZE - 1)
    assert len(asked) == 1


def test_nobody_is_there_to_ask(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[int, int, int]]) -> None:
    """No such advice on macOS, and a Python without libffi no ctypes: the file is written all the same."""
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
    assert file_of(SIZE).getvalue() == bytes(SIZE)
    assert asked == []


def test_a_large_file_is_handed_out_without_a_copy() -> None:
    """A copy of a file of a hundred megabytes is that much memory more."""
    file = file_of(layout.LARGE + 1)
    file.write(b"x")
    assert file.getvalue() is file.getvalue()
    assert file.getvalue()[:2] == b"x\0"
