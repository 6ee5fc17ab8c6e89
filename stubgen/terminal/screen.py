"""Where text is printed to: how wide that is, and whether it takes colours."""

from __future__ import annotations

import os
import sys

from stubgen.common.row import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

USUAL_WIDTH = 80  # columns


class Screen(Row):
    """What standard output, or standard error, is."""

    width: int | None = None
    """Columns of the terminal; None for anything else, where lines stay whole."""
    coloured: bool = False


def screen_of(stream: TextIO | None) -> Screen:
    """What *stream* is."""
    terminal = _is_terminal(stream)
    return Screen(terminal_width(stream) if terminal else None, _takes_colours(terminal))


def terminal_width(stream: TextIO | None = None) -> int:
    """Columns of a terminal: ``COLUMNS`` says it before the terminal does, as in :func:`shutil.get_terminal_size`.

    ``shutil`` itself loads four modules for compression, which a start would pay for.
    """
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size((stream or sys.__stdout__ or sys.stdout).fileno()).columns
        except (OSError, ValueError, AttributeError):
            columns = USUAL_WIDTH
    return columns if columns > 0 else USUAL_WIDTH


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def _takes_colours(terminal: bool) -> bool:
    """By https://no-color.org and https://bixense.com/clicolors."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return terminal and os.environ.get("CLICOLOR") != "0" and os.environ.get("TERM") != "dumb"
