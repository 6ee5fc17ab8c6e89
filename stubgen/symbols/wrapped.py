"""What ``--wrap`` makes of names: GNU ld, gold, lld and mold read an object's undefined symbols otherwise."""

from __future__ import annotations

from collections.abc import Iterable


def wrapped_meanings(names: Iterable[bytes]) -> dict[bytes, bytes]:
    """Undefined symbol -> the one that the linker looks for, with ``--wrap`` for each of *names*.

    ``f`` means ``__wrap_f``, and ``__real_f`` means ``f`` (GNU ld manual, "Command-line Options"). What an object
    defines is meant by its own name.
    """
    meanings: dict[bytes, bytes] = {}
    for name in names:
        meanings[b"__real_" + name] = name
        meanings[name] = b"__wrap_" + name
    return meanings
