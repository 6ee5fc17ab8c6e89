"""Planned layouts: offsets are planned first, from sizes alone; bytes are written second and held against the plan."""

from __future__ import annotations

import io
from collections.abc import Sequence

from stubgen.common.columns import Content, pieces
from stubgen.common.fields import align_up, narrow
from stubgen.common.row import Row


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
        self._file = io.BytesIO(bytes(layout.size))  # nobody else has those: they are not copied
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
