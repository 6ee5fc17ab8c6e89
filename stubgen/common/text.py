"""Names as text and back, and numbers with their nouns."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def as_text(name: bytes) -> str:
    """A name out of a file, for a person; :func:`as_bytes` gives back the same bytes, whatever they are."""
    return name.decode("utf-8", "surrogateescape")


def as_texts(names: Iterable[bytes]) -> list[str]:
    """:func:`as_text` of each name, all at once; no name has a NUL."""
    return as_text(b"\0".join(names)).split("\0")


def as_bytes(text: str) -> bytes:
    """The inverse of :func:`as_text`, which is also how Python passes file names and arguments."""
    return text.encode("utf-8", "surrogateescape")


BLANK = " \t\n\v\f\r"
"""White space in the C locale, by which compilers and linkers split text; Python's has no-break spaces and more."""


def text_lines(text: str) -> list[str]:
    """The lines of *text*, which end with LF or CR LF; ``str.splitlines`` would also end one within some file names."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def counted(number: int, noun: str) -> str:
    """*number* and *noun*, in the plural where that is due."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def told_apart(paths: Collection[str]) -> dict[str, str]:
    """Each of *paths* -> the file's name alone; all of it, where several files are called so."""
    names = {path: path.rpartition("/")[2] for path in paths}
    first: dict[str, str] = {}
    several = {name for path, name in names.items() if first.setdefault(name, path) != path}
    return {path: path if name in several else name for path, name in names.items()}


def harmless(text: str) -> str:
    r"""*text* for a terminal: control characters, but for tabs and line ends, as ``\x1b``.

    Names of symbols and files, and what a linker prints, may hold any; a terminal obeys some of them.
    """
    return text.translate(_CONTROLS)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
