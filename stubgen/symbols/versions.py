"""Pinned ELF symbol versions: ``foo@V1``, as ``.symver`` spells it, under a name that linkers take.

None of GNU ld, lld and mold accepts a stub that is called ``foo@V1`` without a version script. Bound copies call it
otherwise; reports go on calling it what people wrote.
"""

from __future__ import annotations

from stubgen.common.text import as_text

PREFIX = b"__stubgen_pinned."


def plain_name(spelling: bytes) -> bytes:
    """What bound copies and the stub object call *spelling*: the same, unless it pins a version.

    The name's length is in it, because names and versions both may hold periods.
    """
    name, mark, version = spelling.partition(b"@")
    return PREFIX + b"%d.%s.%s" % (len(name), name, version.lstrip(b"@")) if mark and name else spelling


def known_name(symbol: bytes) -> bytes:
    """The inverse of :func:`plain_name`, with one ``@``."""
    digits, mark, rest = symbol.removeprefix(PREFIX).partition(b".")
    if not symbol.startswith(PREFIX) or not mark or not digits.isdigit():
        return symbol
    size = int(digits)
    return rest[:size] + b"@" + rest[size + 1 :]


def split_pin(spelling: bytes) -> tuple[bytes, str]:
    """*spelling*'s name, and the version that it pins; empty if none."""
    name, mark, version = spelling.partition(b"@")
    return (name, as_text(version.lstrip(b"@"))) if mark and name else (spelling, "")
