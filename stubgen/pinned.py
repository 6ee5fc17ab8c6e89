"""Pinned ELF symbol versions: ``foo@V1``, as ``.symver`` spells it, under a name that linkers take.

None of GNU ld, lld and mold accepts a stub that is called ``foo@V1`` without a version script. Bound copies call it
otherwise; reports go on calling it what people wrote.
"""

from __future__ import annotations

import re

PREFIX = b"__stubgen_pinned."
_PLAIN = re.compile(re.escape(PREFIX) + rb"(?P<size>\d+)\.(?P<rest>.*)\Z", re.DOTALL)


def plain_name(spelling: bytes) -> bytes:
    """What bound copies and the stub object call *spelling*: the same, unless it pins a version.

    The name's length is in it, because names and versions both may hold periods.
    """
    name, mark, version = spelling.partition(b"@")
    return PREFIX + b"%d.%s.%s" % (len(name), name, version.lstrip(b"@")) if mark and name else spelling


def known_name(symbol: bytes) -> bytes:
    """The inverse of :func:`plain_name`, with one ``@``."""
    match = _PLAIN.match(symbol) if symbol.startswith(PREFIX) else None
    if match is None:
        return symbol
    size = int(match["size"])
    return match["rest"][:size] + b"@" + match["rest"][size + 1 :]


def split_pin(spelling: bytes) -> tuple[bytes, str]:
    """*spelling*'s name, and the version that it pins; empty if none."""
    name, mark, version = spelling.partition(b"@")
    return (name, version.lstrip(b"@").decode("utf-8", "surrogateescape")) if mark and name else (spelling, "")
