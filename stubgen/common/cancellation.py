"""Stops a build that another thread no longer wants: between two phases, or while it waits for the linker.

The thread that builds enters a :class:`Cancellation`; the phases ask :func:`checkpoint`, which does nothing where
no cancellation was entered. Files are written whole or not at all, so what is stopped leaves none half written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from stubgen.errors import Cancelled

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from types import TracebackType

GRACE = 1.0  # seconds between asking a program to end and ending it


class Cancellation:
    """One thing that may be called off; enter it in the thread that does the thing."""

    def __init__(self) -> None:
        import threading

        self._lock = threading.Lock()
        self._wanted = True
        self._program: subprocess.Popen[bytes] | None = None
        self._token: Token[Cancellation | None] | None = None

    def __enter__(self) -> Cancellation:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._token is not None  # noqa: S101  # it was entered
        _current.reset(self._token)

    @property
    def wanted(self) -> bool:
        """Whether nobody has called it off."""
        return self._wanted

    def cancel(self) -> None:
        """Call it off, from any thread: the next checkpoint raises, and a running program is ended."""
        import signal
        import threading

        with self._lock:
            self._wanted = False
            if self._program is not None:
                _signal(self._program, signal.SIGTERM)
                timer = threading.Timer(GRACE, self._kill, [self._program])
                timer.daemon = True
                timer.start()

    def run(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end, or until it is cancelled; see :func:`run`."""
        import signal
        import subprocess

        with self._lock:
            if not self._wanted:
                raise Cancelled("it was cancelled")
            # A group of its own: a compiler driver's linker does not end with the driver.
            program = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            self._program = program
        try:
            output, _ = program.communicate()
        except BaseException:  # Ctrl-C, or a signal that tidy_at_signals() turned into its like
            _signal(program, signal.SIGKILL)
            program.wait()
            raise
        finally:
            with self._lock:
                self._program = None
        if not self._wanted:
            raise Cancelled("it was cancelled")
        return subprocess.CompletedProcess(command, program.returncode, output)

    def _kill(self, program: subprocess.Popen[bytes]) -> None:
        import signal

        with self._lock:
            if self._program is program:
                _signal(program, signal.SIGKILL)


class Ended(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def tidy_at_signals() -> Iterator[None]:
    """In the main thread: while this is entered, SIGTERM and SIGHUP end what is done as Ctrl-C does.

    Temporary folders go, and the linker that runs ends with what it started.
    """
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with Cancellation():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


def checkpoint() -> None:
    """Stop here if nobody wants the result.

    Raises:
        Cancelled: nobody does.
    """
    cancellation = _current.get()
    if cancellation is not None and not cancellation.wanted:
        raise Cancelled("it was cancelled")


def run(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, with both its output streams in ``stdout`` and nothing to read.

    Raises:
        OSError: it cannot be run.
        Cancelled: nobody wants the result any more; the program has been ended.
    """
    return (_current.get() or Cancellation()).run(command, cwd, environment)


def _signal(program: subprocess.Popen[bytes], number: int) -> None:
    """Tell *program* and what it started; its group bears its process id."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)
