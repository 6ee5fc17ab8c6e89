"""Names as text and back, and numbers with their nouns."""

from __future__ import annotations


def as_text(name: bytes) -> str:
    """A name out of a file, for a person; :func:`as_bytes` gives back the same bytes, whatever they are."""
    return name.decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    """The inverse of :func:`as_text`, which is also how Python passes file names and arguments."""
    return text.encode("utf-8", "surrogateescape")


def counted(number: int, noun: str) -> str:
    """*number* and *noun*, in the plural where that is due."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
