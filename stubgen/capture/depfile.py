"""Dependency files: what make reads, as gcc, clang and rustc write it."""

from __future__ import annotations

import os
from functools import cache

from stubgen.common.text import BLANK, text_lines
from stubgen.errors import MalformedInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT_LINE = "# env-dep:"
"""rustc's note of a variable that ``env!`` or ``option_env!`` read: ``NAME=VALUE``; ``NAME``: it was not set."""


def prerequisites(text: str) -> list[str]:
    """The files of all rules in *text*, in order, each once.

    Raises:
        MalformedInput: a name has a NUL byte in it, as after a crash of the system that lost the file's end.
    """
    if "\0" in text:
        raise MalformedInput(
            "the list of files that its source includes has NUL bytes in it: compile that source again"
        )
    found: dict[str, None] = {}
    for line in _logical_lines(text):
        if line.startswith("#"):
            continue
        _, colon, files = _split_rule(line)
        if colon:
            found.update(dict.fromkeys(_names(files)))
    return list(found)


def rule(target: str, files: list[str]) -> str:
    r"""The rule that *target* is made from *files*, as :func:`prerequisites` reads it."""
    escaped = [name.replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$") for name in (target, *files)]
    return f"{escaped[0]}: {' '.join(escaped[1:])}\n"


def variables(text: str) -> dict[str, str | None]:
    r"""Variable -> its value, None where it was not set; rustc writes ``\n``, ``\r`` and ``\\`` for what they are."""
    found: dict[str, str | None] = {}
    for line in text_lines(text):
        if line.startswith(ENVIRONMENT_LINE):
            name, equals, value = line[len(ENVIRONMENT_LINE) :].partition("=")
            found[_unescaped(name)] = _unescaped(value) if equals else None
    return found


def real_paths(names: list[str], directory: str) -> set[str]:
    """The real paths of *names*, which count from *directory*; they are looked up once between :func:`forget_paths`."""
    return {_real_path(os.path.join(directory, name)) for name in names}


_real_path = cache(os.path.realpath)  # a thousand units read the same headers


def forget_paths() -> None:
    """Look up real paths anew: links may lead elsewhere by now."""
    _real_path.cache_clear()


def _logical_lines(text: str) -> Iterator[str]:
    yield from text_lines(text.replace("\\\r\n", " ").replace("\\\n", " "))


def _split_rule(line: str) -> tuple[str, str, str]:
    """Target, colon, prerequisites; a colon inside a name has no white space behind it."""
    position = -1
    while True:
        position = line.find(":", position + 1)
        if position < 0:
            return line, "", ""
        if position + 1 == len(line) or line[position + 1] in BLANK:
            return line[:position], ":", line[position + 1 :]


def _names(text: str) -> Iterator[str]:
    r"""File names between white space; ``\ `` and ``\#`` are themselves, ``$$`` is a dollar sign."""
    if "\\" not in text:
        for blank in BLANK:
            text = text.replace(blank, " ")
        yield from (name.replace("$$", "$") for name in text.split(" ") if name)
        return
    name = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            name += following if following in (" ", "\t", "#", ":") else "\\" + following
        elif character in BLANK:
            if name:
                yield name.replace("$$", "$")
            name = ""
        else:
            name += character
    if name:
        yield name.replace("$$", "$")


def _unescaped(text: str) -> str:
    pieces = text.split("\\\\")
    return "\\".join(piece.replace("\\n", "\n").replace("\\r", "\r") for piece in pieces)
