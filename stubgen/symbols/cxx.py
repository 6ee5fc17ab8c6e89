"""Names that C++ compilers mangle (Itanium C++ ABI 5.1)."""

from __future__ import annotations

import re

_INTERNAL = rb"_GLOBAL__N_|L_?Z|L\d|U[lt]|\$_"
"""Unnamed namespaces, what has internal linkage or is named by such (5.1.2, ``L``), lambdas and unnamed types."""


def is_external_cxx_name(name: bytes) -> bool:
    """Whether *name* has external linkage: a program has one such function (ODR), however often it was compiled."""
    return re.match(rb"__?Z", name) is not None and re.search(_INTERNAL, name[2:]) is None and b"_ZL" not in name
