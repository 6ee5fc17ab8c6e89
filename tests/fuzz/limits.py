"""How much memory and time an input may take; more is a finding."""

from __future__ import annotations

import resource

LARGEST = 1 << 16
"""Bytes of an input."""
MEMORY = 20 * LARGEST + (200 << 20)
"""Bytes that a process may grow by."""
SECONDS = 10
"""That an input may take."""


def bounded() -> None:
    """Refuse this process more memory than that: a ``MemoryError`` is a finding like any other."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
