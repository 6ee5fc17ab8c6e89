"""Planned layouts: offsets are planned first, from sizes alone; bytes are written second and held against the plan."""

from __future__ import annotations

import io
from collections.abc import Sequence

from stubgen.common.columns import Content, pieces
from stubgen.common.fields import align_up, narrow
from stubgen.common.row import Row

LARGE = 1 << 25
"""Bytes above which large pages are asked for: so much is a mapping of its own (mallopt(3), M_MMAP_THRESHOLD)."""


class Span(Row):
    """One region of a file to be written."""

    size: int  # bytes
    align: int = 1  # bytes


class Layout:
    """Where each region of a file goes: planned from sizes alone, in the order of the call's arguments."""

    __slots__ = ("_offsets", "_spans", "size")

    def __init__(self, spans: Sequence[tuple[str, Span]], where: str, offset_bits: int) -> None:
        self._spans = dict(spans)
        self._offsets: dict[str, int] = {}
        position = 0
        for name, span in spans:
            position = align_up(position, span.align)
            self._offsets[name] = narrow(position, offset_bits, f"offset of {name}", where)
            position += span.size
        self.size = narrow(position, offset_bits, "file size", where)
        """Bytes."""

    def offset(self, name: str) -> int:
        """Byte offset of region *name*."""
        return self._offsets[name]

    def span(self, name: str) -> Span:
        """Size and alignment of region *name*."""
        return self._spans[name]

    def names(self) -> list[str]:
        """The regions, in file order."""
        return list(self._offsets)


class LayoutWriter:
    """The bytes of a file that follows a layout: each region is put once, whole and in order."""

    def __init__(self, layout: Layout, where: str) -> None:
        self._layout = layout
        self._where = where
        self._file = file_of(layout.size)  # hands out what was written to it without a copy
        self._waiting = layout.names()

    def put(self, name: str, content: Content) -> None:
        """Write region *name*.

        Raises:
            RuntimeError: the region is not the next one, or its size is not the planned one: a bug.
        """
        expected = self._waiting.pop(0) if self._waiting else "nothing"
        planned = self._layout.span(name).size
        if expected != name or len(content) != planned:
            raise RuntimeError(
                f"{self._where}: wrote {len(content)} bytes of {name} where the layout "
                f"planned {planned} bytes of {expected}"
            )
        start = self._layout.offset(name)
        self._file.write(bytes(start - self._file.tell()))
        self._file.writelines(pieces(content))
        written = self._file.tell() - start
        if written != planned:
            raise RuntimeError(f"{self._where}: {name} has {written} bytes, not the {planned} that it said")

    def finish(self) -> bytes:
        """The file.

        Raises:
            RuntimeError: a planned region was never written: a bug.
        """
        if self._waiting:
            raise RuntimeError(f"{self._where}: never wrote {', '.join(self._waiting)}")
        return self._file.getvalue()


def file_of(size: int) -> io.BytesIO:
    """*size* zeros to write a file over.

    By pages of 4 KiB, a hundred megabytes take the system as long to give out as half of what we put there.
    """
    file = io.BytesIO(bytes(size))  # keeps the one reference to them: they are neither copied nor touched
    if size > LARGE:
        with file.getbuffer() as memory:
            _ask_for_large_pages(memory)
    return file


def _ask_for_large_pages(memory: memoryview) -> None:
    """Advise the system (madvise(2)), which changes no byte; it may ignore that, or not be there to ask."""
    try:
        import ctypes
        from mmap import MADV_HUGEPAGE, PAGESIZE

        madvise = ctypes.CDLL(None).madvise
    except (ImportError, AttributeError):
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    first = -(-start // PAGESIZE) * PAGESIZE
    madvise(first, start + len(memory) - first, MADV_HUGEPAGE)
