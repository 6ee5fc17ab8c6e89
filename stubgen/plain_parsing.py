"""Command lines that have nothing wrong with them, read without argparse, whose import and set-up cost a start.

A :class:`PlainParser` is told of options as an ``argparse.ArgumentParser`` is, and reads full option names, values
behind them or behind ``=``, and words. Of everything else (help, a mistake, ``@FILE``, ``-oFILE``) it says nothing:
argparse is asked then, and what it answers is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = {"store_true": True, "store_false": False}
"""Action of an option without a value -> what it stores."""
_REPEATED = {"append": None, "extend": "+"}
"""Action of an option that may be given again -> how many values it takes each time: one, or as many as there are."""


class _UnreadError(Exception):
    """The command line is argparse's to read."""


class _Argument:
    """An option or a list of words, as ``add_argument`` takes it."""

    def __init__(
        self,
        *names: str,
        group: object = None,
        dest: str = "",
        action: str = "store",
        nargs: str | None = None,
        type: Callable[[str], Any] = str,  # noqa: A002  # argparse's names
        choices: Collection[str] | None = None,
        default: Any = None,
        required: bool = False,
        help: str = "",  # noqa: A002  # likewise
        metavar: str = "",
    ) -> None:
        long = next((name for name in names if name.startswith("--")), names[0])
        self.names = names
        self.dest = dest or long.lstrip("-").replace("-", "_")
        self.group = group
        self.action = action
        self.nargs = nargs
        self.required = required
        self.default = not _FLAGS[action] if action in _FLAGS else default
        self._type = type
        self._choices = choices

    def value(self, word: str) -> Any:
        """What *word* says."""
        try:
            value = self._type(word)
        except Exception as error:  # a type may raise anything; argparse says it in its own words
            raise _UnreadError from error
        if self._choices is not None and value not in self._choices:
            raise _UnreadError
        return value


class _Group:
    """Options that help lists together; where *group* is one, only one of them may be given."""

    def __init__(self, arguments: list[_Argument], group: object = None) -> None:
        self._arguments = arguments
        self._group = group

    def add_argument(self, *names: str, **declared: Any) -> None:
        """As argparse does."""
        self._arguments.append(_Argument(*names, group=self._group, **declared))


class PlainParser(_Group):
    """The parser of one command."""

    def __init__(self) -> None:
        super().__init__([])

    def add_argument_group(self, _: str) -> _Group:
        """As argparse does."""
        return _Group(self._arguments)

    def add_mutually_exclusive_group(self) -> _Group:
        """As argparse does."""
        return _Group(self._arguments, object())

    def parse(self, line: Sequence[str]) -> SimpleNamespace | None:
        """What argparse would make of *line*; None where only argparse knows."""
        try:
            return SimpleNamespace(**_read(line, self._arguments))
        except _UnreadError:
            return None


def _read(line: Sequence[str], arguments: Sequence[_Argument]) -> dict[str, Any]:
    options = {name: argument for argument in arguments for name in argument.names if name.startswith("-")}
    lists = [argument for argument in arguments if not argument.names[0].startswith("-")]
    read: dict[str, Any] = {}
    exclusive: dict[object, _Argument] = {}
    words: list[str] = []
    runs, at = 0, 0  # of words without an option between them
    while at < len(line):
        name, equals, value = line[at].partition("=")
        option = options.get(name)
        if option is not None:
            if equals and not name.startswith("--"):
                raise _UnreadError
            values = [value] if equals else _values_behind(line, at, option)
            at += 1 if equals else 1 + len(values)
            if option.group is not None and exclusive.setdefault(option.group, option) is not option:
                raise _UnreadError
            read[option.dest] = _stored(option, values, read.get(option.dest, option.default))
            continue
        start, at = at, _end_of_words(line, at)
        if at == start:
            raise _UnreadError
        runs += 1
        if line[start] == "--":
            if words or not lists or lists[-1].nargs != "*":
                raise _UnreadError
            words += line[start + 1 :]
            break
        words += line[start:at]
    if runs > 1 and not (lists and lists[-1].nargs == "+"):
        raise _UnreadError
    return _with_defaults(arguments, read) | _words_in_lists(words, lists)


def _end_of_words(line: Sequence[str], start: int) -> int:
    """Where the words end that begin at *start*; the rest of the line are words behind ``--``."""
    if line[start] == "--":
        return len(line)
    return next((at for at in range(start, len(line)) if line[at][:1] in ("-", "@")), len(line))


def _values_behind(line: Sequence[str], at: int, option: _Argument) -> Sequence[str]:
    """The values of *option*, which is the word at *at*."""
    if option.action in _FLAGS:
        return ()
    end = at + 1 if at + 1 == len(line) or line[at + 1] == "--" else _end_of_words(line, at + 1)
    return line[at + 1 : end if option.nargs == "+" else min(end, at + 2)]


def _stored(option: _Argument, values: Sequence[str], before: Any) -> Any:
    """What *option* stands for behind *values* of it, where *before* is what it stood for."""
    given = [option.value(value) for value in values if value]
    if option.action in _FLAGS and not values:
        return _FLAGS[option.action]
    if not given or len(given) != len(values):
        raise _UnreadError
    if option.action == "store" and option.nargs is None:
        return given[0]
    if option.action in _REPEATED and option.nargs == _REPEATED[option.action]:
        return [*before, *given]
    raise _UnreadError


def _with_defaults(arguments: Sequence[_Argument], read: dict[str, Any]) -> dict[str, Any]:
    """What was *read*, and the options that were left out."""
    left = [a for a in arguments if a.names[0].startswith("-") and a.dest not in read]
    if any(option.required for option in left):
        raise _UnreadError
    return {**{option.dest: option.default for option in left}, **read}


def _words_in_lists(words: Sequence[str], lists: Sequence[_Argument]) -> dict[str, Any]:
    """One of *words* for each of *lists*, the rest for the last one if it takes many."""
    found: dict[str, Any] = {}
    for number, argument in enumerate(lists):
        many = argument.nargs in ("+", "*")
        mine = words[number:] if many else words[number : number + 1]
        if (not mine and argument.nargs != "*") or argument.nargs == "?" or (many and number + 1 < len(lists)):
            raise _UnreadError
        values = [argument.value(word) for word in mine]
        found[argument.dest] = values if many else values[0]
    if len(words) > len(lists) and not (lists and lists[-1].nargs in ("+", "*")):
        raise _UnreadError
    return found
