"""What runs now: one line that rewrites itself on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import TextIO


class Progress:
    """Says on *stream* what runs now."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._started = time.monotonic()
        self._told: set[str] = set()

    def say(self, text: str) -> None:
        """*text* runs now; in a log, rounds of one tool are told once."""
        if self._terminal:
            width = shutil.get_terminal_size().columns
            self._stream.write(f"\r\x1b[K{self._line(text)[: width - 1]}")
        else:
            text = text.partition(", round ")[0]
            if text in self._told:
                return
            self._told.add(text)
            self._stream.write(self._line(text) + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Make room for a table."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _line(self, text: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"[{minutes}:{seconds:02}] {text}"
