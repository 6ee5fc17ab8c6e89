"""What linkers and compilers add to a name: versions, LLVM's ThinLTO suffix, a part's ending; and what pins a version.

A pinned version is ``foo@V1``, as ``.symver`` spells it. None of GNU ld, lld and mold accepts a stub that is called
``foo@V1`` without a version script. Bound copies call it otherwise; reports go on calling it what people wrote.
"""

from __future__ import annotations

from stubgen.common.text import as_text

THINLTO_SUFFIX = rb"(?:\.llvm\.\d+)?\Z"
"""What LLVM's ThinLTO appends to the name of what it takes out of its file, if it does; the number is a hash of all of
the file, and so another one after each edit."""
_PART = rb"\.(?:cold|unlikely)(?:\.\d+)?\Z|\A_?OUTLINED_FUNCTION_"
PREFIX = b"__stubgen_pinned."


def plain_name(spelling: bytes) -> bytes:
    """What bound copies and the stub object call *spelling*: the same, unless it pins a version.

    The name's length is in it, because names and versions both may hold periods.
    """
    name, mark, version = spelling.partition(b"@")
    return PREFIX + b"%d.%s.%s" % (len(name), name, version.lstrip(b"@")) if mark and name else spelling


def known_name(symbol: bytes) -> bytes:
    """The inverse of :func:`plain_name`, with one ``@``."""
    if not symbol.startswith(PREFIX):
        return symbol
    digits, mark, rest = symbol.removeprefix(PREFIX).partition(b".")
    if not mark or not digits.isdigit():
        return symbol
    size = int(digits)
    return rest[:size] + b"@" + rest[size + 1 :]


def split_pin(spelling: bytes) -> tuple[bytes, str]:
    """*spelling*'s name, and the version that it pins; empty if none."""
    name, mark, version = spelling.partition(b"@")
    return (name, as_text(version.lstrip(b"@"))) if mark and name else (spelling, "")


def split_version(name: bytes) -> tuple[bytes, str, bool]:
    """GNU ld's ``name@@V`` (default) and ``name@V``: name, version, whether it is the default."""
    if b"@" not in name[1:]:
        return name, "", True
    plain, _, version = name.partition(b"@")
    return plain, as_text(version.lstrip(b"@")), version.startswith(b"@")


def base_name(name: bytes) -> bytes:
    """*name* without LLVM's ThinLTO suffix ``.llvm.<digits>``."""
    if b".llvm." not in name:
        return name
    import re

    return re.sub(THINLTO_SUFFIX, b"", name, count=1)


GCC_RENAMED, LLVM_RENAMED = b".lto_priv.", b".llvm."
"""What GCC's link-time optimisation and LLVM's ThinLTO put between a static's name and a number."""


def unrenamed(name: bytes) -> bytes:
    """What the source calls the static that link-time optimisation calls *name*; empty where it does not say so."""
    for mark in (GCC_RENAMED, LLVM_RENAMED):
        plain, found, number = name.rpartition(mark)
        if found and number.isdigit():
            return plain
    return b""


def is_part(name: bytes) -> bool:
    """Whether *name* is of code that compilers took out of functions, and that nobody calls by it.

    ``f.cold`` and ``f.unlikely`` are GCC's for what is seldom executed, ``f.cold.1`` is LLVM's. Its outliner takes
    out what several functions have in common, and numbers that anew in each build.
    """
    if b".cold" not in name and b".unlikely" not in name and b"OUTLINED_FUNCTION_" not in name:
        return False
    import re

    return re.search(_PART, name) is not None
