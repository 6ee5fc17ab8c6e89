"""The commands' parsers with all their options, for sphinx-argparse-cli: ``parsers.link()`` is that of ``link``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from stubgen import cli
from stubgen.commands import COMMANDS


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of *command*."""
    whole = cli._parser([command])
    (commands,) = (action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    parser: argparse.ArgumentParser = commands.choices[command]
    for first, second in pairwise(parser._get_positional_actions()):
        if first.metavar == second.metavar:  # FILE [FILE ...]: one row
            first.nargs = "+"
            parser._remove_action(second)
            parser._positionals._group_actions.remove(second)
    return parser


def __getattr__(name: str) -> Callable[[], argparse.ArgumentParser]:
    """What makes the parser of the command called *name*."""
    if name in COMMANDS:
        return partial(parser_of, name)
    raise AttributeError(name)
