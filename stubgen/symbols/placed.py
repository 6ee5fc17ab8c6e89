"""Names for places in the host that no name of the host's stands for: they say where the place is.

A borrowed member of an archive refers to a local variable, or to the middle of a section, that the host has too.
``libfoo.a(foo.o):count#0x2007c`` is that: a label for people, and the static address; ``#tls0x10`` is a thread-local's
symbol value. So whoever checks a linked patch against the host can tell whether the right place is meant.
"""

from __future__ import annotations

from stubgen.common.row import Row

LITERAL_PREFIX = b"__stubgen_literal."
"""Mach-O: before the name of what a constant beside the code that loads it is the address of."""

_PLACED = rb"#(?P<tls>tls)?0x(?P<value>[0-9a-f]+)\Z"


class Placed(Row):
    """What such a name says."""

    value: int  # static virtual address; of a thread-local its symbol value
    thread_local: bool


def placed_name(label: str, value: int, *, thread_local: bool = False) -> bytes:
    """The name of what is at *value* in the host's file; no two places share one."""
    mark = "tls" if thread_local else ""
    return f"{label}#{mark}{value:#x}".replace("@", "_").encode("utf-8", "surrogateescape")


def placed(name: bytes) -> Placed | None:
    """What *name* says, if it is such a name."""
    import re

    match = re.search(_PLACED, name)
    return None if match is None else Placed(int(match["value"], 16), bool(match["tls"]))
