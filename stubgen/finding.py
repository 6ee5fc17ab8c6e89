"""What one check found about a linked patch."""

from __future__ import annotations

from stubgen.common.row import Row


class Finding(Row):
    """What one check found."""

    check: str
    """The check's name."""
    ok: bool
    """Whether nothing speaks against the patch."""
    message: str
    """One sentence."""
    names: tuple[str, ...] = ()
    """Symbols that the message is about, where something speaks against them."""
    note: bool = False
    """Nothing speaks against the patch, but whoever loads it should know; ``ok`` is true."""
