"""Names that look like a name: what a person meant who mistyped, renamed or rebuilt it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stubgen.common.text import as_bytes, as_text

_RUST_HASHES = rb"17h[0-9a-f]{16}E|Cs[0-9A-Za-z]+_"
"""What changes in a Rust name from build to build: the legacy mangling's hash, v0's crate disambiguators."""

_ENOUGH = 200  # candidates of the first sieve that are looked at closely


def halves(name: bytes) -> tuple[bytes, bytes]:
    """The beginning and the end of *name*, hashes left out: a name that is close to it has one of them."""
    stem = re.sub(_RUST_HASHES, b"", name)
    return stem[: len(stem) // 2], stem[len(stem) // 2 :]


def close_names(name: bytes, names: Iterable[bytes]) -> tuple[str, ...]:
    """Up to three of *names* that differ little from *name*; at least those with one of its halves in them count."""
    import difflib

    head, tail = halves(name)
    stem = head + tail
    likely: dict[str, str] = {}
    for other in names:
        if abs(len(other) - len(name)) > 4 or not (other.startswith(head) or other.endswith(tail)):
            continue
        spelling = as_text(other.partition(b"@")[0])
        likely.setdefault(as_text(re.sub(_RUST_HASHES, b"", as_bytes(spelling))), spelling)
        if len(likely) >= _ENOUGH:
            break
    return tuple(likely[close] for close in difflib.get_close_matches(as_text(stem), likely, n=3, cutoff=0.7))
