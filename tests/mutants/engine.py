"""Runs the tests against one changed module after another, each in a process that is forked for it.

pytest and the tests are imported once. A change within a function becomes that function's code in a fork, whoever has
imported it by then; a change of a module's own code, its tables, needs the module and the tests imported again. Which
tests run a line is traced once, and a mutant is given to those alone, the quickest first, until one fails.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import hashlib
import importlib.machinery
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol
from mutants import changes

ROOT = Path(__file__).parents[2]
OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=fd"]
SLOWEST = 2.5
"""Seconds from which a test is left out."""
LONGEST = 20.0
"""Seconds of tests, on the sound code, after which a mutant is given no other; it counts as surviving then."""
GRACE, TIMES = 3.0, 10
"""A test may take so many seconds more, and times as long, as it takes on the sound code."""
MEMORY = 6 << 30
"""Bytes of address space that a mutant has."""
KILLED, SLOW, SURVIVED = 11, 12, 0
"""How a fork ends: a test failed or could not be imported, one took too long, none failed."""
_NO_FAILURE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Trace(NamedTuple):
    """What the sound code did."""

    seconds: dict[str, float]
    """Test -> how long it takes."""
    tests: dict[str, dict[int, list[str]]]
    """Module -> line -> the tests that run it."""
    at_import: dict[str, set[int]]
    """Module -> the lines that run as it is imported."""
    libraries: list[str]
    """The modules of others that the tests import."""


class Fate(NamedTuple):
    """What became of a mutant."""

    outcome: str  # "killed", "too slow", "survived", "never run"
    test: str = ""  # which killed it


def path_of(module: str) -> Path:
    """The file of *module*, a path from the repository's root."""
    return (ROOT / module).resolve()


def in_fork(run: Callable[[Callable[[object], None]], object]) -> Iterator[Any]:
    """What *run*, in a process of its own, hands to its argument, as JSON has it and as soon as it does.

    Raises:
        RuntimeError: that process failed; what it had handed over is here.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiver)
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what pytest prints
            with os.fdopen(sender, "w", buffering=1) as pipe:
                run(lambda said: print(json.dumps(said), file=pipe))
            status = 0
        finally:
            os._exit(status)
    os.close(sender)
    with os.fdopen(receiver) as pipe:
        for line in pipe:
            yield json.loads(line)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the tests' process ended with status {os.waitstatus_to_exitcode(status)}")


def traced(modules: Sequence[str], tests: Sequence[str]) -> Trace:
    """Run the sound code's tests.

    Raises:
        RuntimeError: one of them fails.
    """
    (said,) = in_fork(lambda tell: tell(_Tracer(modules).run(tests)))
    if said["failed"]:
        raise RuntimeError(f"the tests fail on the sound code: {', '.join(said['failed'])}")
    numbered = {name: {int(line): names for line, names in of.items()} for name, of in said["tests"].items()}
    at_import = {name: set(lines) for name, lines in said["import"].items()}
    return Trace(said["seconds"], numbered, at_import, said["libraries"])


class _Tracer:
    """A plugin that notes which test runs which line."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._files = {str(path_of(module)): module for module in modules}
        self._names: dict[str, str | None] = {}
        self._seen: set[tuple[str, int]] = set()
        self.said: dict[str, Any] = {"seconds": {}, "tests": {}, "import": {}, "failed": []}

    def run(self, tests: Sequence[str]) -> object:
        sys.settrace(self._called)
        pytest.main([*OPTIONS, *(str(ROOT / test) for test in tests)], plugins=[self])
        sys.settrace(None)
        own = ("stubgen", "mutants", "tests", "tools", "conftest", "test_", "_pytest", "pytest", "__")
        path = str(ROOT / "tests")
        others = [
            name
            for name, module in list(sys.modules.items())
            if not name.startswith(own) and not str(getattr(module, "__file__", "") or "").startswith(path)
        ]
        return {**self.said, "libraries": [name for name in others if "." not in name]}

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        if name not in self._names:
            self._names[name] = self._files.get(os.path.realpath(name)) if name.endswith(".py") else None
        module = self._names[name]
        if module is None:
            return None
        seen = self._seen
        seen.add((module, frame.f_lineno))

        def line(frame: FrameType, event: str, argument: object) -> Any:
            seen.add((module, frame.f_lineno))
            return line

        return line

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What ran so far ran as the modules were imported."""
        for module, line in self._seen:
            self.said["import"].setdefault(module, []).append(line)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item, following in _followed(session.items):
            self._seen.clear()
            sys.settrace(self._called)
            started = time.monotonic()
            reports = runtestprotocol(item, nextitem=following, log=False)
            self.said["seconds"][item.nodeid] = time.monotonic() - started
            sys.settrace(None)
            if any(report.failed for report in reports):
                self.said["failed"].append(item.nodeid)
            for module, line in self._seen:
                self.said["tests"].setdefault(module, {}).setdefault(line, []).append(item.nodeid)
        return True


def _followed(items: Sequence[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    yield from zip(items, [*items[1:], None], strict=True)


class Work(NamedTuple):
    """A mutant, and the tests for it, in their order."""

    number: int
    module: str
    tests: list[str]


def try_all(
    works: Sequence[Work],
    mutants: dict[str, list[changes.Mutant]],
    trees: dict[str, ast.Module],
    tests: Sequence[str],
    trace: Trace,
    told: Callable[[Work, Fate], None],
) -> None:
    """Try each of *works*; *told* is what hears of its fate."""
    runner = _Runner(mutants, trees, trace, told)
    within = [work for work in works if mutants[work.module][work.number].function]
    left = list(runner.within_functions(within, tests)) if within else []
    runner.as_modules([work for work in works if work not in within] + left)


class _Runner:
    def __init__(
        self,
        mutants: dict[str, list[changes.Mutant]],
        trees: dict[str, ast.Module],
        trace: Trace,
        told: Callable[[Work, Fate], None],
    ) -> None:
        self._mutants, self._trees, self._trace, self._told = mutants, trees, trace, told

    def within_functions(self, works: Sequence[Work], tests: Sequence[str]) -> Iterator[Work]:
        """Those that need their module imported again are left."""
        told = {(work.module, work.number): work for work in works}
        for module, number, outcome, test in in_fork(lambda tell: _Server(self, works, tell).run(tests)):
            if outcome == "again":
                yield told[module, number]
            else:
                self._told(told[module, number], Fate(outcome, test))

    def as_modules(self, works: Sequence[Work]) -> None:
        if not works:
            return

        def run(tell: Callable[[object], None]) -> None:
            for name in self._trace.libraries:
                with contextlib.suppress(Exception):
                    __import__(name)
            for work in works:
                tell(self._imported(work))

        told = {(work.module, work.number): work for work in works}
        for module, number, outcome, test in in_fork(run):
            self._told(told[module, number], Fate(outcome, test))

    def _imported(self, work: Work) -> tuple[str, int, str, str]:
        code = self.compiled(work)

        def run() -> int:
            _put_under_import(path_of(work.module), code)
            files = list(dict.fromkeys(test.partition("::")[0] for test in work.tests))
            child = _Child(self._trace.seconds, work.tests)
            status = pytest.main([*OPTIONS, *(str(ROOT / file) for file in files)], plugins=[child])
            return SURVIVED if status in _NO_FAILURE else KILLED

        outcome, test = _tried(run, [*work.tests], self._trace.seconds, extra=20)
        return work.module, work.number, outcome, test or "as it is imported"

    def compiled(self, work: Work) -> CodeType:
        with changes.applied(self._mutants[work.module][work.number]):
            return compile(self._trees[work.module], str(path_of(work.module)), "exec", dont_inherit=True)

    def code_of_function(self, work: Work) -> tuple[str, CodeType]:
        """The code of the function that is changed, and what it is called."""
        mutant = self._mutants[work.module][work.number]
        code = self.compiled(work)
        for part in mutant.function.split("."):
            code = next(
                one
                for one in code.co_consts
                if isinstance(one, CodeType)
                and one.co_name == part
                and (one.co_firstlineno <= mutant.line <= _last_line(one) or one.co_name != part)
            )
        return mutant.function, code

    @property
    def seconds(self) -> dict[str, float]:
        return self._trace.seconds


def _last_line(code: CodeType) -> int:
    lines = [line for _, _, line in code.co_lines() if line is not None]
    inner = [_last_line(one) for one in code.co_consts if isinstance(one, CodeType)]
    return max([*lines, *inner, code.co_firstlineno]) + 40  # what a dropped statement's line was may be gone


class _Server:
    """A plugin that, with all tests collected, forks for each mutant."""

    def __init__(self, runner: _Runner, works: Sequence[Work], tell: Callable[[object], None]) -> None:
        self._runner, self._works, self._tell = runner, works, tell

    def run(self, tests: Sequence[str]) -> None:
        pytest.main([*OPTIONS, *(str(ROOT / test) for test in tests)], plugins=[self])

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = _functions(path_of(work.module) for work in self._works)
        gc.freeze()
        for work in self._works:
            name, code = self._runner.code_of_function(work)
            held = functions.get((str(path_of(work.module)), name, code.co_firstlineno), [])
            held = [one for one in held if one.__code__.co_freevars == code.co_freevars]
            if not held:
                self._tell((work.module, work.number, "again", ""))
                continue

            def run(work: Work = work, held: list[FunctionType] = held, code: CodeType = code) -> int:
                for function in held:
                    function.__code__ = code
                _forget_cached()
                chosen = [items[test] for test in work.tests if test in items]
                return _run_items(chosen, session.config, self._runner.seconds)

            outcome, test = _tried(run, work.tests, self._runner.seconds, extra=5)
            self._tell((work.module, work.number, outcome, test))
        return True


class _Child:
    """A plugin that runs the tests of one mutant in their order.

    Parameters that are made of the changed table give other tests: one that is gone tells nothing, and those that have
    come in its place are run.
    """

    def __init__(self, seconds: dict[str, float], tests: Sequence[str]) -> None:
        self._seconds, self._tests = seconds, tests

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        gone = {_function_of(test) for test in self._tests if test not in items}
        new = [test for test in items if _function_of(test) in gone and test not in self._seconds]
        chosen = [items[test] for test in (*self._tests, *new) if test in items]
        _run_items(chosen, session.config, self._seconds)
        return True


def _function_of(test: str) -> str:
    return test.partition("[")[0]


def _functions(paths: Iterable[Path]) -> dict[tuple[str, str, int], list[FunctionType]]:
    """File, qualified name and line -> the functions that there are."""
    files = {str(path) for path in paths}
    real: dict[str, str] = {}
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType):
            code = one.__code__
            name = real.setdefault(code.co_filename, os.path.realpath(code.co_filename))
            if name in files:
                found.setdefault((name, code.co_qualname, code.co_firstlineno), []).append(one)
    return found


def _forget_cached() -> None:
    gc.unfreeze()
    for one in gc.get_objects():
        if isinstance(one, functools._lru_cache_wrapper) and one.__module__.startswith("stubgen"):
            one.cache_clear()


def _run_items(items: Sequence[pytest.Item], config: pytest.Config, seconds: dict[str, float]) -> int:
    """Run *items* until one fails; only in a process of their own."""
    for number, (item, following) in enumerate(_followed(items)):
        _note(number)
        signal.setitimer(signal.ITIMER_REAL, GRACE + TIMES * seconds.get(item.nodeid, 1.0))
        reports = runtestprotocol(item, nextitem=following, log=False)
        if any(report.failed for report in reports):
            os._exit(KILLED)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return SURVIVED


_PROGRESS = -1


def _note(number: int) -> None:
    os.pwrite(_PROGRESS, number.to_bytes(4, "little"), 0)


def _tried(run: Callable[[], int], tests: Sequence[str], seconds: dict[str, float], extra: float) -> tuple[str, str]:
    """Run one mutant's tests in a fork: the outcome, and the test that decided it."""
    global _PROGRESS  # noqa: PLW0603  # the forked child inherits it
    with tempfile.TemporaryFile() as progress:
        _PROGRESS = progress.fileno()
        folder = tempfile.mkdtemp(prefix="mutant-")
        child = os.fork()
        if not child:
            _in_child(run, folder)
        limit = time.monotonic() + extra + GRACE + TIMES * sum(seconds.get(test, 1.0) for test in tests)
        status = _waited(child, limit)
        last = int.from_bytes(os.pread(_PROGRESS, 4, 0) or b"\xff\xff\xff\xff", "little")
    shutil.rmtree(folder, ignore_errors=True)
    test = tests[last] if last < len(tests) else ""
    if status == SURVIVED:
        return "survived", ""
    return ("too slow" if status in (SLOW, -1) else "killed"), test


def _in_child(run: Callable[[], int], folder: str) -> None:
    status = KILLED
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.signal(signal.SIGALRM, lambda *_: os._exit(SLOW))
        status = run()
    finally:
        os._exit(status)


def _waited(child: int, limit: float) -> int:
    """The exit status of *child*; -1 where it took too long and was ended."""
    pause = 0.001
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)  # what a test has started
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else KILLED
        if time.monotonic() > limit:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _put_under_import(path: Path, code: CodeType) -> None:
    """Have the file at *path* imported as *code*."""
    loader = importlib.machinery.SourceFileLoader
    usual = loader.get_code

    def get_code(self: Any, fullname: str) -> CodeType | None:
        return code if os.path.realpath(self.path) == str(path) else usual(self, fullname)

    loader.get_code = get_code  # type: ignore[method-assign]  # for the one process


def digest(paths: Iterable[Path]) -> str:
    """Of the files at *paths*."""
    value = hashlib.sha256()
    for path in paths:
        value.update(path.read_bytes())
    return value.hexdigest()[:16]
