"""A program that is started can be ended at any moment, and what it prints and leaves running holds up nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stubgen.common import cancellation
from stubgen.common.cancellation import Cancellation, beside, run
from stubgen.errors import Cancelled

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """Whether process *pid* runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=True).stdout[:1] != b"Z"
    except (ProcessLookupError, subprocess.CalledProcessError):
        return False


def ends(pid: int) -> bool:
    """Whether process *pid* ends soon."""
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


STARTING = """
import os, signal, subprocess, sys, threading, time
from stubgen.common.cancellation import beside, run, tidy_at_signals

class Slow(subprocess.Popen):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        print(self.pid, flush=True)
        os.kill(os.getpid(), int(sys.argv[1]))
        for _ in range(1000):  # a busy machine: many steps between the start and the assignment
            time.sleep(0.0001)

subprocess.Popen = Slow
try:
    if sys.argv[2] == "tidy":
        with tidy_at_signals():
            run(["sleep", "300"], None, os.environ)
    elif sys.argv[2] == "beside":
        with beside(["sleep", "300"], ".", os.environ) as status:
            status()
    else:
        run(["sleep", "300"], None, os.environ)
except BaseException as error:
    print(type(error).__name__)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize(
    ("number", "how", "ended_by"),
    [
        (signal.SIGINT, "tidy", "KeyboardInterrupt"),
        (signal.SIGTERM, "tidy", "Ended"),
        (signal.SIGHUP, "tidy", "Ended"),
        (signal.SIGINT, "library", "KeyboardInterrupt"),
        (signal.SIGINT, "beside", "KeyboardInterrupt"),
    ],
)
def test_a_signal_while_a_program_is_started_ends_it(number: signal.Signals, how: str, ended_by: str) -> None:
    """An editor that cancels a build at the wrong moment left a linker running, which wrote when nobody expected it."""
    done = subprocess.run(
        [sys.executable, "-c", STARTING, str(int(number)), how],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    pid, error, restored = done.stdout.split()
    assert (error, restored) == (ended_by, "True")
    assert ends(int(pid))


READY = "kill -HUP $PPID; while :; do sleep 0.01; done"
TIDY = f"trap 'sleep 0.1; echo > tidied; exit' TERM; {READY}"


@pytest.fixture
def interrupted_when_ready() -> Iterator[None]:
    """Has SIGHUP do in this process what Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGHUP, interrupt)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("interrupted_when_ready")
@pytest.mark.parametrize("script", [TIDY, f"trap exit TERM; ({TIDY}) & wait"], ids=["itself", "what it started"])
def test_what_is_ended_may_tidy_up(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Ctrl-C during a link left three files of GCC's in the folder for temporary ones."""
    for name in ("GRACE", "TIDYING"):
        monkeypatch.setattr(cancellation, name, 30.0)
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", script], tmp_path, os.environ)
    assert (tmp_path / "tidied").exists()


@pytest.mark.usefixtures("interrupted_when_ready")
def test_what_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linker that takes no notice would hold the terminal after Ctrl-C."""
    monkeypatch.setattr(cancellation, "GRACE", 0.2)
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", f"trap '' TERM; echo $$ > pid; {READY}"], tmp_path, os.environ)
    assert ends(int((tmp_path / "pid").read_text()))


def test_a_child_that_keeps_the_pipe_does_not_hold_the_link(tmp_path: Path) -> None:
    """Compilers' caches leave a server behind that inherits the pipe: the link waited until that ended."""
    script = f"sleep 300 & echo $! > {tmp_path}/pid; echo before; echo error >&2; exit 3"
    done = run(["sh", "-c", script], None, os.environ)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert done == (3, b"before\nerror\n")
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_child_that_prints_for_ever_does_not_hold_the_link(tmp_path: Path) -> None:
    """Nor does one that has something to say all the time."""
    done = run(["sh", "-c", f"yes & echo $! > {tmp_path}/pid"], None, os.environ)
    assert done.returncode == 0
    assert ends(int((tmp_path / "pid").read_text()))  # nobody reads its pipe any more


def test_a_program_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    """The end of the output is not the end of the link."""
    done = run(["sh", "-c", f"exec >&- 2>&-; sleep 0.3; echo > {tmp_path}/done; exit 7"], None, os.environ)
    assert done == (7, b"")
    assert (tmp_path / "done").exists()


def test_output_is_bounded() -> None:
    """A linker that repeats one error for ever filled the memory; the first and the last words are what people need."""
    done = run(["sh", "-c", "echo first; head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last"], None, os.environ)
    assert done.stdout.startswith(b"first\nxxx")
    assert done.stdout.endswith(b"xxx\nlast\n")
    kept = done.stdout.replace(b"x", b"")
    left_out = 5_000_012 - 2 * cancellation.MOST_OUTPUT
    assert kept == b"first\n\n[%d bytes are left out here]\n\nlast\n" % left_out
    assert len(done.stdout) < 2 * cancellation.MOST_OUTPUT + 100


def test_short_output_is_whole() -> None:
    """What fits is not touched, and standard error is left out where it is not asked for."""
    done = run(["sh", "-c", "echo out; echo err >&2"], None, os.environ, errors=False)
    assert done == (0, b"out\n")


def test_a_program_gets_no_longer_than_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is asked for its folders and says nothing would hold up the link."""
    started = []

    class Known(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Known)
    with pytest.raises(TimeoutError):
        run(["sleep", "300"], None, os.environ, timeout=0.3)
    monkeypatch.undo()
    assert len(started) == 1
    assert ends(started[0])


BESIDE = ["sh", "-c", "echo $$ > pid; exec sleep 300"]


def started(folder: Path) -> int:
    """The process that :data:`BESIDE` is in *folder*."""
    deadline = time.monotonic() + 30
    while not (folder / "pid").exists() or not (folder / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int((folder / "pid").read_text())


def test_what_runs_beside_something_that_fails_is_ended(tmp_path: Path) -> None:
    """A compiler said what is wrong, and a second one of the same file went on for as long as it liked."""
    with contextlib.suppress(ZeroDivisionError), beside(BESIDE, tmp_path, os.environ):
        pid = started(tmp_path)
        raise ZeroDivisionError
    assert ends(pid)


def test_whoever_waits_for_what_runs_beside_can_be_called_off(tmp_path: Path) -> None:
    """A client of ``serve`` that cancels a patch would wait for a compile that it does not want."""
    with Cancellation() as wanted, beside(BESIDE, tmp_path, os.environ) as status:
        pid = started(tmp_path)
        wanted.cancel()
        with pytest.raises(Cancelled):
            status()
    assert ends(pid)
    with beside(["sh", "-c", "exit 3"], tmp_path, os.environ) as status:
        assert status() == 3


def test_a_program_that_ends_while_it_is_killed() -> None:
    """A server that ended at that moment said its farewell with a traceback."""

    class Ending(Cancellation):
        looks: Iterator[object] = iter(["a program"])  # that runs at the first look, and at no later one

        @property
        def _program(self) -> Any:
            return next(self.looks, None)

        @_program.setter
        def _program(self, _: object) -> None:
            pass

    call_off = Ending()
    call_off.kill()
    assert next(call_off.looks, None) is None
