"""Prints the story: aligned, coloured on a terminal, plain in a pipe."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

LABEL = 9  # columns
PATIENCE = 2.0  # seconds after which a step says why it takes long

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
"""Name -> SGR parameter."""


class Screen:
    """Standard output; https://no-color.org decides before the terminal."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.coloured = self.terminal and not os.environ.get("NO_COLOR")
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 100) if self.terminal else 100

    def paint(self, text: str, *colours: str) -> str:
        """*text* in *colours*, where there are any."""
        if not self.coloured or not colours:
            return text
        return f"\x1b[{';'.join(COLOURS[colour] for colour in colours)}m{text}\x1b[0m"

    def say(self, text: str = "") -> None:
        """One line."""
        self.stream.write(text.rstrip() + "\n")
        self.stream.flush()

    def title(self, text: str, note: str = "") -> None:
        """The head of a chapter."""
        self.say()
        self.say(self.paint(text, "bold") + (f"  {self.paint(note, 'dim')}" if note else ""))

    def line(self, label: str, text: str, *colours: str) -> None:
        """A sentence or command with its label in the left column, wrapped where it is too wide."""
        room = self.width - LABEL - 3
        for part in textwrap.wrap(text, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False):
            self._labelled(label, self.paint(part, *colours))
            label = ""

    def _labelled(self, label: str, painted: str) -> None:
        self.say(f"  {self.paint(label.ljust(LABEL), 'bold')} {painted}")

    @contextmanager
    def waiting(self, label: str, reason: str) -> Iterator[Waiting]:
        """Something that may take long: then *reason* says why, and on a terminal how long already."""
        yield (waiting := Waiting(self, label, reason))
        waiting.done()

    def rows(self, label: str, rows: Sequence[Sequence[str]], colours: Sequence[str] = ()) -> None:
        """Aligned columns below one label; *colours* paint the columns, an empty one not."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for number, row in enumerate(rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            if colours:
                cells = [
                    self.paint(cell, *[colour] if colour and cell.strip() else [])
                    for cell, colour in zip(cells, colours, strict=True)
                ]
            self._labelled(label if number == 0 else "", "  ".join(cells))


class Waiting:
    """A line that counts seconds while something runs."""

    def __init__(self, screen: Screen, label: str, reason: str) -> None:
        self.screen = screen
        self.label = label
        self.reason = reason
        self.start = time.monotonic()
        self.told = False

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    def tick(self) -> None:
        """Show that it goes on; call this a few times a second."""
        if self.seconds < PATIENCE:
            return
        if self.screen.terminal:
            text = f"  {self.label:<{LABEL}} {self.reason} ... {self.seconds:.0f} s"
            self.screen.stream.write("\r" + self.screen.paint(text[: self.screen.width - 1], "dim"))
            self.screen.stream.flush()
        elif not self.told:
            self.screen.line(self.label, f"{self.reason} ...")
        self.told = True

    def done(self) -> None:
        """Take the counter away."""
        if self.told and self.screen.terminal:
            self.screen.stream.write("\r\x1b[K")
            self.screen.stream.flush()
