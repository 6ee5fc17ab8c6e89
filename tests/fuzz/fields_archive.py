"""Where the fields of an archive are: the decimal ones of its members' headers, and its index."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fuzz.fields import Place, octet_places

_HEADER = (
    ("ar_name", 16),
    ("ar_date", 12),
    ("ar_uid", 6),
    ("ar_gid", 6),
    ("ar_mode", 8),
    ("ar_size", 10),
    ("ar_fmag", 2),
)
"""<ar.h>: the fields of ``struct ar_hdr`` and their bytes."""
_SIZE = sum(size for _, size in _HEADER)
_TEXTS = (
    b"", b"0", b"1", b"-1", b"9", b"99999999", b"9999999999", b"x", b"/", b"//", b"/0", b"/1", b"/9999", b"/SYM64/",
    b"#1/0", b"#1/8", b"#1/99999", b"__.SYMDEF", b"a.o/", b"\xff\xff", b"`\n",
)  # fmt: skip


def places(content: bytes) -> Iterator[Place]:
    """All fields of a sound archive."""
    yield from octet_places("Archive", "the archive", 0, 8, 8)
    for found in re.finditer(rb"`\n", content):
        at = start = found.end() - _SIZE
        for name, size in _HEADER:
            old = content[at : at + size].strip()
            near = (b"%d" % (int(old) + more) for more in (-1, 1, 60, len(content))) if old.isdigit() else ()
            yield Place("ArHdr", name, f"the member at {start:#x}", at, size, texts=(*_TEXTS, *near))
            at += size
        if start == 8:
            yield from octet_places("ArIndex", "the index", found.end(), len(content) - found.end(), 64)


def of_other_types(content: bytes) -> Iterator[tuple[str, bytes]]:
    """An archive has no type beside its magic."""
    return iter(())
