"""Bounded reads: a file's bytes with its name, so that every complaint says where."""

from __future__ import annotations

from stubgen.errors import MalformedInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BytesLike = bytes | bytearray | memoryview


class View:
    """A file's bytes together with its name, so that every read is bounded and every complaint says where."""

    __slots__ = ("data", "name")

    def __init__(self, data: Any, name: str) -> None:  # Any: Buffer (PEP 688) has no name before Python 3.12
        self.data = memoryview(data)
        self.name = name

    def __len__(self) -> int:
        return len(self.data)

    def bytes(self, offset: int, size: int, what: str) -> memoryview:
        """*size* bytes from byte *offset*; *what* names them in the complaint.

        Raises:
            MalformedInput: they reach beyond the end of the file.
        """
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise MalformedInput(
                f"{self.name}: {what} needs bytes {offset:#x} to {offset + size:#x}, "
                f"but the file ends at {len(self.data):#x}: it is truncated or corrupt"
            )
        return self.data[offset : offset + size]

    def slice(self, offset: int, size: int, what: str) -> View:
        """A part of the file as a view of its own, with the same name."""
        return View(self.bytes(offset, size, what), self.name)


def uleb128(raw: BytesLike, position: int, where: str) -> tuple[int, int]:
    """One ULEB128 number at byte *position*, and where the next one starts.

    Raises:
        MalformedInput: the bytes end in the middle of it, or it has more than 64 bits.
    """
    value = shift = 0
    while position < len(raw):
        if shift >= 64:
            raise MalformedInput(f"{where}: hold a number of more than 64 bits")
        octet = raw[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, position
        shift += 7
    raise MalformedInput(f"{where}: ends in the middle of a number")


def sleb128(raw: BytesLike, position: int, where: str) -> tuple[int, int]:
    """One SLEB128 number at byte *position*, and where the next one starts.

    Raises:
        MalformedInput: as :func:`uleb128` does.
    """
    value, end = uleb128(raw, position, where)
    bits = 7 * (end - position)
    return (value - (1 << bits) if value >> (bits - 1) & 1 else value), end
