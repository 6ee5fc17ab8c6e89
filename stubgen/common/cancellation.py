"""Stops a build that another thread no longer wants: between two phases, or while it waits for the linker.

The thread that builds enters a :class:`Cancellation`; the phases ask :func:`checkpoint`, which does nothing where
no cancellation was entered. Files are written whole or not at all, so what is stopped leaves none half written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar, Token

from stubgen.common.arguments import StrPath
from stubgen.common.row import Row
from stubgen.errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from types import FrameType, TracebackType
    from typing import Any

GRACE = 1.0  # seconds between asking a program to end and ending it
TIDYING = 0.3  # seconds that what an ended program started gets besides
LOOK = 0.05  # seconds between two looks whether a program that prints nothing has ended
PIPE = 1 << 16  # bytes that a pipe may hold
MOST_OUTPUT = 1 << 19
"""Bytes of a program's output that are kept from its beginning, and as many from its end."""


class Finished(Row):
    """A program that ended."""

    returncode: int
    """Its exit status; a signal's number, negative."""
    stdout: bytes


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
        self,
        command: Sequence[str],
        cwd: StrPath | None,
        environment: Mapping[str, str],
        *,
        errors: bool = True,
        timeout: float | None = None,
    ) -> Finished:
        """Run a program to its end, or until it is cancelled; see :func:`run`."""
        try:
            program = self._start(command, cwd, environment, errors=errors)
            output = _output_of(program, timeout)
        except BaseException:  # Ctrl-C, or a signal that tidy_at_signals() turned into its like
            if self._program is not None:
                _end(self._program)
            raise
        finally:
            with self._lock:
                ended, self._program = self._program, None
            if ended is not None and ended.stdout is not None:
                ended.stdout.close()  # no sooner: a closed pipe ends whoever writes to it, and that tidies up no more
        if not self._wanted:
            raise Cancelled("it was cancelled")
        return Finished(program.returncode, output)

    def _start(
        self, command: Sequence[str], cwd: StrPath | None, environment: Mapping[str, str], *, errors: bool
    ) -> subprocess.Popen[bytes]:
        import subprocess

        with signals_held(), self._lock:
            if not self._wanted:
                raise Cancelled("it was cancelled")
            # A group of its own: a compiler driver's linker does not end with the driver.
            self._program = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
                process_group=0,
            )
            return self._program

    def kill(self) -> None:
        """End a running program now."""
        program = self._program
        if program is not None:  # it may end meanwhile
            self._kill(program)

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

    What is half done is taken back, temporary folders go, and a linker that runs ends with what it started. A signal
    that this process was started to ignore stays ignored (``nohup``).
    """
    import signal

    def end(number: int, _: object) -> None:
        raise Ended(number)

    before: dict[int, Any] = {}
    try:
        for number in (int(signal.SIGTERM), int(signal.SIGHUP)):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    except ValueError:  # another thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _HeldSignals:
    """A handler that keeps signals back until it is released, and from then on hands them to who had them before.

    A handler runs between any two steps of Python's, so also between the start of a program and the assignment that
    makes it known to whoever would end it.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._came: list[tuple[int, FrameType | None]] = []
        self._held = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._held or number not in self._before:
            self._came.append((number, frame))
        else:
            self._before[number](number, frame)

    def hold(self) -> None:
        """Take the signals that have a handler of Python's; the system acts upon the others as ever."""
        import signal

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if callable(handler):
                signal.signal(number, self)
                self._before[number] = handler

    def release(self) -> None:
        """Give them back, and act upon those that came; whatever a handler raises comes from here."""
        import signal

        self._held = False
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for number, frame in self._came:
            self._before[number](number, frame)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """In the main thread: signals act when this is left, and not in the middle of it."""
    signals = _HeldSignals()
    try:
        with contextlib.suppress(ValueError):  # another thread, and Python calls handlers in none but the main one
            signals.hold()
        yield
    finally:
        signals.release()


_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


def checkpoint() -> None:
    """Stop here if nobody wants the result.

    Raises:
        Cancelled: nobody does.
    """
    cancellation = _current.get()
    if cancellation is not None and not cancellation.wanted:
        raise Cancelled("it was cancelled")


def run(
    command: Sequence[str],
    cwd: StrPath | None,
    environment: Mapping[str, str],
    *,
    errors: bool = True,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end, with nothing to read, and keep what it prints: no more than twice ``MOST_OUTPUT``.

    Args:
        command: its words.
        cwd: the folder to run it in.
        environment: its variables.
        errors: keep what it prints on standard error as well, where it stands between the rest.
        timeout: seconds that it gets; None for as many as it takes.

    Raises:
        OSError: it cannot be run.
        TimeoutError: it took longer; it has been ended.
        Cancelled: nobody wants the result any more; it has been ended.
    """
    return (_current.get() or Cancellation()).run(command, cwd, environment, errors=errors, timeout=timeout)


@contextlib.contextmanager
def beside(command: Sequence[str], cwd: StrPath, environment: Mapping[str, str]) -> Iterator[Callable[[], int]]:
    """Run a program while something else is done; what it prints is read by nobody. It has ended when this is left.

    Yields what waits for its end and returns its exit status, or raises ``Cancelled`` where nobody
    wants the result any more.

    Raises:
        OSError: it cannot be run.
    """
    import subprocess

    program: subprocess.Popen[bytes] | None = None

    def status() -> int:
        assert program is not None  # noqa: S101  # it was started
        while True:
            checkpoint()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return program.wait(LOOK)

    nobody = subprocess.DEVNULL
    try:
        with signals_held():  # a group of its own, as in _start()
            program = subprocess.Popen(
                command, cwd=cwd, env=environment, stdin=nobody, stdout=nobody, stderr=nobody, process_group=0
            )
        yield status
    finally:
        if program is not None and program.poll() is None:
            _end(program)


def attend(command: Sequence[str], stdout: int | None) -> int:
    """Run a program on this process's own streams, standard output apart, and wait for it; its exit status.

    Raises:
        OSError: it cannot be run.
    """
    import subprocess

    program = None
    try:
        with signals_held():
            program = subprocess.Popen(command, stdout=stdout)
        return program.wait()
    except BaseException:
        if program is not None:
            program.terminate()
            try:
                program.wait(GRACE)
            except subprocess.TimeoutExpired:
                program.kill()
        raise


class _Output:
    """The beginning and the end of what a program prints."""

    def __init__(self) -> None:
        self._first = bytearray()
        self._last = bytearray()
        self._left_out = 0  # bytes between the two

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        taken = piece[: max(MOST_OUTPUT - len(self._first), 0)]
        self._first += taken
        self._last += piece[len(taken) :]
        if len(self._last) > 2 * MOST_OUTPUT:
            self._drop()

    def _drop(self) -> None:
        surplus = max(len(self._last) - MOST_OUTPUT, 0)
        del self._last[:surplus]
        self._left_out += surplus

    def content(self) -> bytes:
        """What was kept, and in the middle how much was not."""
        self._drop()
        middle = b"\n[%d bytes are left out here]\n" % self._left_out if self._left_out else b""
        return bytes(self._first) + middle + bytes(self._last)


def _output_of(program: subprocess.Popen[bytes], timeout: float | None) -> bytes:
    """What *program* prints until it ends; what it started may keep the pipe open for longer, and holds up nobody.

    Raises:
        TimeoutError: it takes longer than *timeout* seconds.
    """
    import select
    import time

    output = _Output()
    deadline = None if timeout is None else time.monotonic() + timeout
    rest = PIPE  # bytes that are read once the program has ended
    assert program.stdout is not None  # noqa: S101  # it is a pipe
    pipe = program.stdout
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    while rest > 0:
        ended = program.poll() is not None
        if poller.poll(0 if ended else LOOK * 1000):
            piece = os.read(pipe.fileno(), PIPE)
            if not piece:
                break
            output.add(piece)
            rest -= len(piece) if ended else 0
        elif ended:
            break
        _check_deadline(deadline)
    while program.poll() is None:  # it closed its output, and goes on
        time.sleep(LOOK)
        _check_deadline(deadline)
    return output.content()


def _check_deadline(deadline: float | None) -> None:
    import time

    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError("it took too long")


def _end(program: subprocess.Popen[bytes]) -> None:
    """End *program* and what it started, which are asked first: a compiler driver removes its temporary files then."""
    import signal
    import subprocess
    import time

    with signals_held():
        _signal(program, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(GRACE)
            end = time.monotonic() + TIDYING
            while _has_group(program) and time.monotonic() < end:
                time.sleep(LOOK / 10)
        _signal(program, signal.SIGKILL)
        program.wait()


def _has_group(program: subprocess.Popen[bytes]) -> bool:
    """Whether something that *program* started may still run."""
    try:
        os.killpg(program.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _signal(program: subprocess.Popen[bytes], number: int) -> None:
    """Tell *program* and what it started; its group bears its process id."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)
