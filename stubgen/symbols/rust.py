"""Names that rustc made."""

from __future__ import annotations

import re

_MANGLED = rb"(?s:_?_R[A-Za-z]|.*17h[0-9a-f]{16}E)"


def is_rust_name(name: bytes) -> bool:
    """Whether *name* is mangled by rustc: unique in a program, with the crate and module in it."""
    return re.match(_MANGLED, name) is not None
