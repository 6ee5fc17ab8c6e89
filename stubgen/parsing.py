"""The parser of the command line: as argparse's, with answers to the mistakes that people make.

Objects may stand on both sides of options, ``@FILE`` stands for the words in a file, and what is misspelt is answered
with what it is close to.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from stubgen.errors import UsageError
from stubgen.terminal.screen import terminal_width


class HelpFormatter(argparse.HelpFormatter):
    """Help as wide as the terminal; argparse makes one for each option, and by itself loads ``shutil`` to measure."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns())

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs as argparse has them, and the rows of :func:`described` as options are."""
        title, _, rows = text.partition(_ROWS)
        if not rows:
            return super()._fill_text(text, width, indent)
        words = [row.partition(_ROWS) for row in rows.split("\n")]
        margin = max(len(name) for name, _, _ in words) + 4
        lines = [title]
        for name, _, meaning in words:
            first, *rest = self._split_lines(meaning, max(width - margin, 20))
            lines += [f"  {name}".ljust(margin) + first, *(" " * margin + line for line in rest)]
        return "\n".join(lines)


@cache
def _columns() -> int:
    return terminal_width() - 2


def _takes_files(action: argparse.Action) -> bool:
    """Whether *action* is a list of files."""
    return not action.option_strings and (action.nargs == "+" or (action.nargs == "*" and action.metavar == "FILE"))


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are :class:`UsageError`, so that ``--json`` can carry them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **options)

    def parse_known_args(  # type: ignore[override]  # argparse's overloads are for namespaces of other classes
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but where there is a list of files, it goes on behind an option."""
        words = sys.argv[1:] if args is None else list(args)
        files = next((action for action in self._actions if _takes_files(action)), None)
        if files is not None:
            words = list(_expanded(words))
        self._refuse_unknown(words)
        found, rest = super().parse_known_args(words, namespace)
        if files is None:
            return found, rest
        further = [word for number, word in enumerate(rest) if number != _dashes(rest)]
        setattr(found, files.dest, [*getattr(found, files.dest), *further])
        return found, []

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse what looks like an option and is none, before argparse misses what it was meant to say."""
        known = [option for action in self._actions for option in action.option_strings]
        for word in _before_dashes(words):
            name = word.partition("=")[0]
            is_option = word.startswith("-") and word[1:2].strip("0123456789") != "" and " " not in word
            if is_option and name not in known and not (word[1] != "-" and word[:2] in known):
                self.error(f"there is no option {name}{did_you_mean(name, known)}")
            if self._subparsers and not is_option:
                break  # the command, whose own options follow

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try '{self.prog} --help')")


_ROWS = "\0"
"""Stands in a description where rows begin, and in a row behind its name; no text has it."""


def described(rows: Mapping[str, str], title: str = "environment variables:") -> str:
    """*rows* of names and meanings as a description that :class:`HelpFormatter` puts into columns."""
    return title + _ROWS + "\n".join([f"{name}{_ROWS}{meaning}" for name, meaning in rows.items()])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The words of *known* that are close to *word*, as the end of a sentence; empty where none is."""
    from difflib import get_close_matches

    bare = {name.lstrip("-"): name for name in known}
    close = [bare[name] for name in get_close_matches(word.lstrip("-"), bare, n=2)]
    return f": did you mean {' or '.join(close)}?" if close else ""


def _dashes(words: Sequence[str]) -> int:
    """Where the ``--`` is, behind which nothing is an option; their number where there is none."""
    return words.index("--") if "--" in words else len(words)


def _before_dashes(words: Sequence[str]) -> Sequence[str]:
    return words[: _dashes(words)]


def _expanded(words: Sequence[str], depth: int = 0) -> Iterator[str]:
    """*words* with those of a file in the place of each ``@FILE``, quoted as a shell has them.

    Raises:
        UsageError: there is no such file, or it names itself.
    """
    for number, word in enumerate(words):
        if number < _dashes(words) and len(word) > 1 and word.startswith("@"):
            yield from _expanded(_words_in(word[1:], depth), depth + 1)
        else:
            yield word


def _words_in(path: str, depth: int) -> list[str]:
    import shlex

    from stubgen.common.files import read_input

    if depth > MAX_DEPTH:
        raise UsageError(f"@{path}: response files name each other without end")
    try:
        return shlex.split(os.fsdecode(bytes(read_input(path))))
    except ValueError as error:
        raise UsageError(f"@{path}: a quotation mark in it has no partner") from error


MAX_DEPTH = 16
"""Response files within response files; more is a loop."""
