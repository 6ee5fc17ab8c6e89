"""Becomes the real program: what the capture executables do once they have recorded a command, or could not.

Each stands in front of a linker or a compiler in other people's builds, so this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from typing import NoReturn
else:
    import _signal as signal  # which ``signal`` is, less its enumerations: a third of Python's own start

DEPTH = "STUBGEN_CAPTURE_DEPTH"
"""Set to the number of captures around this one, so that a real program that leads back here ends."""

MAX_DEPTH = 4
"""A driver under capture may run a captured linker, and a wrapper may add one of each; more is a loop."""


class Wrapper:
    """What a capture executable is called, and stands in front of."""

    __slots__ = ("hint", "name", "real")

    def __init__(self, name: str, real: str, hint: str) -> None:
        self.name = name
        self.real = real
        """``linker`` or ``compiler``."""
        self.hint = hint
        """What must name the real one, as the end of a sentence."""

    @staticmethod
    def is_self(program: str) -> bool:
        """Whether *program* leads to this executable."""
        found = find_program(program)
        return found is not None and _is_this_executable(found)

    def run(self, body: Callable[[], NoReturn]) -> NoReturn:
        """Run *body*; an interrupt ends it without a word, as it would have ended the real program."""
        try:
            body()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        sys.exit(130)

    def become(self, argv: Sequence[str]) -> NoReturn:
        """Replace this process by the command *argv*: same streams, same exit status, same process id.

        Ends the process with 4 if the command cannot be run, or if it is this executable again.
        """
        program, environment = self._prepared(argv)
        try:
            if os.name == "posix":
                _restore_signals()
                os.execve(program, list(argv), environment)  # noqa: S606 - becoming the user's program is the point
            import subprocess

            sys.exit(subprocess.call(list(argv), executable=program, env=environment))
        except OSError as error:
            self.exit_with_error(f"{program}: cannot be run: {error.strerror}")

    def attend(self, argv: Sequence[str]) -> int:
        """Run the command *argv* on this process's streams; its status.

        That is as :mod:`subprocess` has it: the number of the signal that ended it, negated. Signals that reach this
        process alone are passed on, so a build that ends its linker ends it.

        Ends the process with 4 as :meth:`become` does.
        """
        program, environment = self._prepared(argv)
        try:
            return os.waitstatus_to_exitcode(_wait_for(program, argv, environment))
        except OSError as error:
            self.exit_with_error(f"{program}: cannot be run: {error.strerror}")

    def end_like(self, status: int) -> NoReturn:
        """End the process as the one ended whose status that is."""
        if status < 0:
            _end_by(-status)
        os._exit(status)  # nothing of ours is buffered, and closed streams are the build's business

    def _prepared(self, argv: Sequence[str]) -> tuple[str, dict[str, str]]:
        """The file of the program that *argv* runs, and its environment."""
        program = find_program(argv[0])
        if program is None:
            self.exit_with_error(f"{argv[0]}: no such {self.real}; {self.hint}")
        depth = os.environ.get(DEPTH, "0")
        if _is_this_executable(program) or not depth.isdigit() or int(depth) >= MAX_DEPTH:
            self.exit_with_error(f"{program}: leads back to this capture executable; {self.hint}")
        return program, {**os.environ, DEPTH: str(int(depth) + 1)}

    def print_error(self, sentence: str) -> None:
        """Tell people, where they listen: standard error may be closed, or full."""
        try:
            shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in sentence)
            sys.stderr.write(f"{self.name}: {shown}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # full, closed, or None
            return

    def exit_with_error(self, sentence: str) -> NoReturn:
        """End the process with status 4."""
        self.print_error(f"error: {sentence}")
        os._exit(4)  # what could not be printed is still buffered, and would change the status


PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM")
"""What may be sent to this process alone, and is meant for the linker; those that are ignored stay so in both."""


def _wait_for(program: str, argv: Sequence[str], environment: dict[str, str]) -> int:
    """The wait status of *program*, run with *argv*.

    No signal comes between its start and the handlers that pass signals on.
    """
    known = [getattr(signal, name) for name in PASSED_ON]
    heard = [each for each in known if signal.getsignal(each) != signal.SIG_IGN]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody learns how a child ended
    ignored = [getattr(signal, name) for name in IGNORED_BY_PYTHON if hasattr(signal, name)]
    child = os.posix_spawn(program, list(argv), environment, setsigmask=before, setsigdef=ignored)
    for each in heard:
        signal.signal(each, lambda received, _: _send(child, received))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = os.waitpid(child, 0)[1]
    for each in heard:
        signal.signal(each, signal.SIG_DFL)
    return status


def _send(process: int, received: int) -> None:
    try:
        os.kill(process, received)
    except ProcessLookupError:  # it has just ended
        return


def _end_by(number: int) -> None:
    """End this process by signal *number*, as the program ended; one dump of its memory is enough."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # where this process cannot be ended by it


IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFSZ")


def _restore_signals() -> None:
    """Let the program have the signals that Python ignores, and that stay ignored in the program that it becomes.

    A linker that writes to a pipe without a reader, or beyond the size that a file may have, is to end by them.
    """
    for name in IGNORED_BY_PYTHON:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def find_program(program: str) -> str | None:
    """The file that *program* names, through PATH where it is a bare name."""
    if os.path.dirname(program):
        return program if os.path.isfile(program) else None
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _is_this_executable(program: str) -> bool:
    """Say whether the file *program* is the one that runs now."""
    try:
        return os.path.samefile(program, sys.argv[0])
    except OSError:
        return False
