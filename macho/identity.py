"""What tells a linked file from other builds of it, read from a few of its bytes.

A captured link reads it of each output, so this module imports next to nothing; the reader is for everything else.
Twin of ``elf/identity.py``.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]
    """Byte offset and size -> so many bytes of the file, or fewer at its end."""

MAGIC = b"\xcf\xfa\xed\xfe"  # MH_MAGIC_64, little-endian
_MH_OBJECT, _LC_SEGMENT_64, _LC_UUID = 1, 0x19, 0x1B
_INSTRUCTIONS = 0x80000400  # S_ATTR_PURE_INSTRUCTIONS | S_ATTR_SOME_INSTRUCTIONS


def build_id(read: Read) -> bytes | None:
    """LC_UUID's 16 bytes."""
    for cmd, command in _commands(read):
        if cmd == _LC_UUID:
            return command[8:24]
    return None


def code_ranges(read: Read) -> list[tuple[int, int, int]]:
    """Virtual address, byte offset in the file and size of each section with instructions, by address.

    None of a relocatable object.
    """
    if struct.unpack_from("<I", read(0, 16).ljust(16, b"\0"), 12) == (_MH_OBJECT,):
        return []
    ranges = []
    for cmd, command in _commands(read):
        for at in range(72, len(command) - 79, 80) if cmd == _LC_SEGMENT_64 else ():
            address, size, offset = struct.unpack_from("<QQI", command, at + 32)
            (flags,) = struct.unpack_from("<I", command, at + 64)
            if flags & _INSTRUCTIONS:
                ranges.append((address, offset, size))
    return sorted(ranges)


def _commands(read: Read) -> Iterator[tuple[int, bytes]]:
    """LC_* and the bytes of each load command."""
    header = read(0, 32)
    if len(header) < 32 or not header.startswith(MAGIC):
        return
    (sizeofcmds,) = struct.unpack_from("<I", header, 20)
    raw, position = read(32, sizeofcmds), 0
    while position + 8 <= len(raw):
        cmd, cmdsize = struct.unpack_from("<II", raw, position)
        if cmdsize < 8:
            return
        yield cmd, raw[position : position + cmdsize]
        position += cmdsize
