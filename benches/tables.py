"""Columns of words and numbers, for a terminal and for a README."""

from __future__ import annotations

from collections.abc import Sequence

from benches.harness import Row

_LEFT = {"tool", "what", "in units of", "work", "goal", "format", "host", ""}
"""Columns of words."""


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns for a terminal."""
    kept = [number for number in range(len(header)) if any(line[number] for line in lines)]
    widths = [max(len(cells[number]) for cells in (header, *lines)) for number in kept]
    shown = []
    for cells in (header, *lines):
        pairs = zip(kept, widths, strict=True)
        words = [cells[n].ljust(w) if header[n] in _LEFT else cells[n].rjust(w) for n, w in pairs]
        shown.append("  ".join(words).rstrip())
    return "\n".join(shown)


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The same for a README."""
    kept = [number for number in range(len(header)) if any(line[number] for line in lines)]
    rows = [[cells[number] for number in kept] for cells in (header, *lines)]
    rows.insert(1, ["---" if header[number] in _LEFT else "--:" for number in kept])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def duration(seconds: float | None) -> str:
    """In the unit that shows three or four digits; nothing for None."""
    if seconds is None:
        return ""
    return (
        f"{seconds * 1000:,.2f} ms"
        if seconds < 0.1
        else f"{seconds * 1000:,.0f} ms"
        if seconds < 1
        else f"{seconds:,.2f} s"
    )


def memory(row: Row) -> str:
    """A row's peak, and what of it there is for each byte written."""
    if row.peak is None:
        return ""
    telling = row.peak_multiple is not None and row.made is not None and row.made >= 1 << 20
    multiple = f"  {row.peak_multiple:.1f}x" if telling else ""
    return f"{row.peak / 2**20:,.0f} MiB{multiple}"
