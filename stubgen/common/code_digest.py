"""A digest of a program's code: what tells one build from others where the linker wrote no build id."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from hashlib import _Hash as Hash

_PIECE = 1 << 20  # bytes read at a time
OPENSSL_PAYS = 1 << 19  # bytes: OpenSSL's is seven times as fast, once it is loaded


def code_digest(ranges: Sequence[tuple[int, int, int]], read: Callable[[int, int], bytes]) -> bytes | None:
    """SHA-256 over *ranges*: of each its virtual address and size, 8 bytes each, and its bytes.

    None if there are none, and where the file ends before their end or they overlap: such a file does not run.

    Args:
        ranges: virtual address, byte offset in the file and size in bytes, by address.
        read: byte offset and size -> so many bytes of the file.
    """
    places = sorted((offset, offset + size) for _, offset, size in ranges)
    ends = [0, *(end for _, end in places)]
    if not places or any(start < before for (start, _), before in zip(places, ends, strict=False)):
        return None
    digest = _sha256(sum(size for _, _, size in ranges))
    for address, offset, size in ranges:
        digest.update(address.to_bytes(8, "little") + size.to_bytes(8, "little"))
        for at in range(0, size, _PIECE):
            piece = read(offset + at, min(_PIECE, size - at))
            if len(piece) < min(_PIECE, size - at):
                return None
            digest.update(piece)
    return digest.digest()


def _sha256(size: int) -> Hash:
    """A SHA-256 of Python's own, or from OPENSSL_PAYS bytes on the one of ``hashlib``, which loads OpenSSL."""
    try:
        if size >= OPENSSL_PAYS:
            from hashlib import sha256
        elif sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found,no-redef]  # as types know 3.12
    except ImportError:  # a Python that was built without its own
        from hashlib import sha256
    return sha256()
