"""What people see of a command's phases: how long each took (``--verbose``), and a line while one lasts."""

from __future__ import annotations

import sys
from time import perf_counter

PATIENCE = 1.0
"""Seconds after which a terminal shows what is being done."""

EVERY = 0.2
"""Seconds between two looks at the clock."""


class Watch:
    """Who is told of each phase as it begins, until the :meth:`end`."""

    def __init__(self) -> None:
        from stubgen.common.phases import listen

        self.phase = "starts"
        self.began = perf_counter()
        listen(self.begin)

    def begin(self, phase: str) -> None:
        """Note that *phase* begins."""
        self.phase = phase

    def end(self) -> str:
        """Look no longer; what there is to tell."""
        from stubgen.common.phases import unlisten

        unlisten(self.begin)
        return ""


class Times(Watch):
    """How long each phase took, in the order in which they began."""

    def __init__(self) -> None:
        super().__init__()
        self._since = self.began
        self._seconds: dict[str, float] = {}

    def begin(self, phase: str) -> None:
        now = perf_counter()
        self._seconds[self.phase] = self._seconds.get(self.phase, 0.0) + now - self._since
        self.phase, self._since = phase, now

    def end(self) -> str:
        self.begin("")
        super().end()
        rows = [*self._seconds.items(), ("in all", self._since - self.began)]
        return "\n".join([f"{seconds * 1000:9.1f} ms  {phase}" for phase, seconds in rows])


class Line(Watch):
    """A line on the terminal that says what is being done, once that takes longer than :data:`PATIENCE`.

    A thread of its own writes it, with ``_thread`` alone: ``threading`` takes as long to import as a small patch.
    """

    def __init__(self, command: str) -> None:
        from _thread import allocate_lock, start_new_thread

        super().__init__()
        self._command = command
        self._shown = 0  # columns
        self._over, self._gone = allocate_lock(), allocate_lock()
        self._over.acquire()
        self._gone.acquire()
        start_new_thread(self._tick, ())

    def end(self) -> str:
        self._over.release()
        self._gone.acquire()
        return super().end()

    def _tick(self) -> None:
        wait = PATIENCE
        while not self._over.acquire(timeout=wait):
            self._show(f"{self._command} {self.phase} ({perf_counter() - self.began:.0f} s)")
            wait = EVERY
        if self._shown:
            self._show("")
        self._gone.release()

    def _show(self, text: str) -> None:
        """Put *text* where the one before it was."""
        try:
            sys.stderr.write(f"\r{text[: self._width()].ljust(self._shown)}" + ("" if text else "\r"))
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # the terminal is gone
            pass
        self._shown = len(text)

    @staticmethod
    def _width() -> int:
        import os

        try:
            return (os.get_terminal_size(2).columns or 80) - 1
        except OSError:
            return 79
