"""Names of forwarders: trampolines that a jump table leads to, and no reference of the patch's.

A jump table has one library. Callers that are to be led elsewhere, to a function of an earlier patch or back to the
host's, are led to a forwarder in that library. ``__stubgen_forward.0x7f12340680`` is one, and goes to that address in
the process; so whoever checks a linked patch can tell whether it goes where it was meant to.
"""

from __future__ import annotations

PREFIX = b"__stubgen_forward."


def forwarder_name(address: int) -> bytes:
    """The name of the trampoline to runtime *address*."""
    return PREFIX + b"%#x" % address


def forwarded_address(name: bytes) -> int | None:
    """Where the forwarder called *name* goes; None if it is none."""
    if not name.startswith(PREFIX):
        return None
    try:
        return int(name[len(PREFIX) :], 16)
    except ValueError:
        return None
