"""A digest of a program's code: what tells one build from others where the linker wrote no build id."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PIECE = 1 << 20  # bytes read at a time


def code_digest(ranges: Sequence[tuple[int, int, int]], read: Callable[[int, int], bytes]) -> bytes | None:
    """SHA-256 over *ranges*: of each its virtual address and size, 8 bytes each, and its bytes. None if there are none.

    Args:
        ranges: virtual address, byte offset in the file and size in bytes, by address.
        read: byte offset and size -> so many bytes of the file.
    """
    if not ranges:
        return None
    from hashlib import sha256

    digest = sha256()
    for address, offset, size in ranges:
        digest.update(address.to_bytes(8, "little") + size.to_bytes(8, "little"))
        for at in range(0, size, _PIECE):
            digest.update(read(offset + at, min(_PIECE, size - at)))
    return digest.digest()
