"""One trial: a command in a fresh copy of its folder, disturbed once, and what must hold afterwards."""

from __future__ import annotations

import compileall
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from faults import scenarios

LAUNCHER = Path(__file__).with_name("launcher.py")
TIME = 60.0
"""Seconds that a command gets."""
ERRORS = ("ENOSPC", "ENOSPC+", "EIO", "EACCES", "EROFS+", "short")
"""What an operation may end with; with a plus it stays so for the rest of the command."""
UNITS = ("op", "read", "call", "wall")
"""Operations, reads, calls of functions, and microseconds since the linker or compiler was started."""
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
GRACE = 20.0
"""Seconds in which what a command started ends after it: it was told to before, and the machine may be busy."""
STATUSES = {"ENOSPC": {5}, "ENOSPC+": {5}, "EIO": {5}, "EACCES": {2, 3, 5}, "EROFS+": {2, 3, 5}, "short": {0}}
"""The exit statuses of ``docs/reference/errors.md`` that a fault may lead to; 0 where it touched the cache alone."""

READ_STATUSES = {3, 4}
"""Where a read fails: an input cannot be read, or what the linker wrote."""

State = dict[str, tuple[str, ...]]
"""A file's name, as :func:`plain_name` has it -> digests of the contents of those that are called so."""


class Trial(NamedTuple):
    """What is done to a command."""

    scenario: str
    fault: str  # one of ERRORS or SIGNALS
    at: int  # the number of an operation or a read from 0; of calls from 1; microseconds
    unit: str = "op"  # what *at* counts: one of UNITS

    def __str__(self) -> str:
        return f"{self.scenario}:{self.fault}:{self.unit}:{self.at}"


def parse(text: str) -> Trial:
    """The trial that :meth:`Trial.__str__` wrote."""
    scenario, fault, unit, number = text.split(":")
    return Trial(scenario, fault, int(number), unit)


class Done(NamedTuple):
    """How a command ended."""

    status: int
    errors: str
    operations: list[str]
    reads: list[str]
    calls: int
    linking: int
    """Microseconds that the first program ran which the command started; 0 where it started none."""


class Undisturbed(NamedTuple):
    """What a command does when nothing happens."""

    before: State
    after: State
    operations: list[str]
    reads: list[str]
    calls: int
    linking: int
    """Microseconds that the first program ran which the command started; 0 where it started none."""


class Launcher:
    """A process that has stubgen loaded, and forks for each command."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(LAUNCHER)], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def run(self, job: dict[str, Any]) -> int:
        """The status that it ended with, as :mod:`subprocess` has it.

        Raises:
            TimeoutError: it took too long, and has been ended.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests
        assert answers
        requests.write(json.dumps(job).encode() + b"\n")
        process = int(answers.readline())
        if not select.select([answers], [], [], TIME)[0]:
            os.kill(process, signal.SIGKILL)
            raise TimeoutError(job["command"])
        return int(answers.readline())

    def end(self) -> None:
        """It ends with its input."""
        with self._process as process:
            assert process.stdin
            process.stdin.close()


class Bench:
    """Folders for trials, all of one kind at one path, so that outputs that hold paths are the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.work = folder / "work"
        self._templates: dict[str, Path] = {}
        self._next_runs: dict[tuple[str, str], list[str]] = {}
        self.undisturbed = cache(self._undisturbed)
        compileall.compile_dir(scenarios.ROOT / "stubgen", quiet=2)  # half of what a command takes otherwise

    @cached_property
    def _launcher(self) -> Launcher:
        return Launcher(scenarios.environment(self.work))

    def end(self) -> None:
        """Nothing is left of it but its folder."""
        self._launcher.end()

    def fresh(self, name: str) -> Path:
        """The folder as it is before the scenario."""
        kind = scenarios.named(name).needs
        if kind not in self._templates:
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
            scenarios.prepare(self.work, kind)
            self._templates[kind] = self._folder / kind
            shutil.copytree(self.work, self._templates[kind], symlinks=True)
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self._templates[kind], self.work, symlinks=True)
        if kind == "many" and name != "cache clear":
            shutil.rmtree(self.work / "cache")
        return self.work

    def execute(self, name: str, **plan: object) -> Done:
        """Run the command once, in the folder as it is."""
        log, errors = self._folder / "log", self._folder / "errors"
        log.unlink(missing_ok=True)
        scenario = scenarios.named(name)
        command = scenarios.command(name, self.work)
        if command[0] == "stubgen.host.index":
            command[-1] = ""
        job = {
            "plan": {**plan, "log": str(log)},
            "command": command,
            "folder": str(self.work),
            "variables": scenarios.environment(self.work),
            "input": str(self.work / scenario.input) if scenario.input else os.devnull,
            "output": os.devnull,
            "errors": str(errors),
        }
        # Calls of functions are counted from the first import on: they need a process that has imported nothing.
        status = (self._one_job if plan.get("unit") == "call" else self._launcher.run)(job)
        try:
            report = json.loads(log.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # it was killed, perhaps while it wrote that
            report = {"operations": [], "reads": [], "calls": 0, "linking": 0}
        return Done(status, errors.read_text("utf-8", "replace"), **report)

    def _one_job(self, job: dict[str, Any]) -> int:
        with open(job["input"], "rb") as given, open(job["errors"], "wb") as errors:
            return subprocess.run(
                [sys.executable, str(LAUNCHER), json.dumps(job["plan"]), *job["command"]],
                cwd=job["folder"],
                env=job["variables"],
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=TIME,
                check=False,
            ).returncode

    def _undisturbed(self, name: str) -> Undisturbed:
        before = state_of(self.fresh(name))
        done = self.execute(name, unit="call")
        assert done.status == 0, f"{name}: {done.errors}"
        after = state_of(self.work)
        self.fresh(name)
        again = self.execute(name)
        assert again.status == 0
        assert state_of(self.work) == after, f"{name}: {differing(after, state_of(self.work))}"
        return Undisturbed(before, after, again.operations, again.reads, done.calls, again.linking)

    def failures(self, trial: Trial) -> list[str]:
        """What is wrong after *trial*; nothing where all is as it must be."""
        expected = self.undisturbed(trial.scenario)
        self.fresh(trial.scenario)
        done = self.execute(trial.scenario, at=trial.at, fault=trial.fault, unit=trial.unit)
        found = self._still_running(trial)
        found += self._after_fault(trial, done, expected, state_of(self.work))
        if (
            trial.scenario.startswith(("link session", "link Mach-O session", "session"))
            and state_of(self.work)["session"] != expected.before["session"]
        ):
            return found  # it is done, and the next run would be another patch's
        key = trial.scenario, _digest(self.work)
        if key not in self._next_runs:
            self._next_runs[key] = self._next_run(trial.scenario, expected)
        return found + self._next_runs[key]

    def _still_running(self, trial: Trial) -> list[str]:
        """The programs that have not ended with the command; those of one that was killed are waited for."""
        end = time.monotonic() + (TIME if trial.fault == "SIGKILL" else GRACE)
        while running := _programs_in(self.work):
            if time.monotonic() > end:
                return [f"{', '.join(running)} still runs"]
            time.sleep(0.005)
        return []

    def _next_run(self, name: str, expected: Undisturbed) -> list[str]:
        """What is wrong with the run after one that was disturbed; it is the same for the same files."""
        again = self.execute(name)
        if again.status:
            return [f"the next run ends with {again.status}: {again.errors.strip()}"]
        end = state_of(self.work)
        wrong = [
            name
            for name, contents in expected.after.items()
            if contents != end.get(name) and not (_is_record(name) and set(contents) <= set(end.get(name, ())))
        ]
        return [f"the next run writes another {name}" for name in wrong]

    def _after_fault(self, trial: Trial, done: Done, expected: Undisturbed, state: State) -> list[str]:
        found = _words(trial, done, expected)
        scenario, may_leave = scenarios.named(trial.scenario), _may_leave(trial, done, expected)
        program = trial.fault in SIGNALS or _disturbed(trial, done, expected).startswith("spawn")
        less = scenario.records and trial.unit == "read"  # what could not be read is not in the record, nor in its name
        for name, contents in state.items():
            right = {*expected.before.get(name, ()), *expected.after.get(name, ())}
            if name in expected.before or name in expected.after:
                sound = self.are_whole_facts(name) or less or (scenario.records and self.is_whole_record(name))
                if (
                    not set(contents) <= right
                    and not sound
                    and not _stays(name)
                    and not (may_leave and is_temporary(name))
                ):
                    found.append(f"{name} is neither the old one nor the new one")
            elif not (
                _stays(name)
                or (less and _is_record(name))
                or (may_leave and is_temporary(name))
                or (program and is_gccs(name))
            ):
                found.append(f"{name} is left behind")
        gone = [name for name in expected.before if name not in state and name in expected.after]
        found += [f"{name} is gone" for name in gone]
        new = {name for name, contents in expected.after.items() if expected.before.get(name) != contents}
        there = {name for name in new if state.get(name) == expected.after[name]}
        needed = {name for name in new if not name.startswith("cache")}
        if (
            scenario.records
            and done.status != 4
            and not needed <= there
            and trial.fault in ERRORS
            and trial.unit != "read"  # as much as can be read is recorded
            and "not recorded" not in done.errors
        ):
            found.append("nobody was told that the link is not recorded")
        optional = scenario.records or trial.scenario == "serve"
        if (done.status == 0 or scenario.first in there) and not needed <= there and not optional:
            found.append(f"status {done.status}, and these are not there: {', '.join(sorted(needed - there))}")
        return found

    def are_whole_facts(self, name: str) -> bool:
        """Whether it is the file of facts, whole: a command that knows two of them writes it twice."""
        if name != "cache/hotpatch-stubgen/libraries.facts":
            return False
        content = (self.work / name).read_bytes()
        return int.from_bytes(content[-4:], "little") == crc32(content[:-4])

    def is_whole_record(self, name: str) -> bool:
        """Whether what is called *name* is a record, whole; of its link nobody knows yet how it ended."""
        files = [path for path in self.work.rglob("*") if plain_name(str(path.relative_to(self.work))) == name]
        try:
            return _is_record(name) and all("argv" in json.loads(path.read_bytes()) for path in files)
        except ValueError:
            return False


def _programs_in(folder: Path) -> list[str]:
    """The programs that run in *folder*; an index is made in the background, and is nobody's to wait for."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.path.realpath(process / "cwd") == str(folder):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if words[0] and b"stubgen.host.index" not in words:
                    found.append(os.fsdecode(words[0]))
        except OSError:
            continue
    return found


def _is_record(name: str) -> bool:
    return name.startswith(("records/", "captured/"))


def _stays(name: str) -> bool:
    """Whether it is a lock, or what ``--keep-temps`` keeps however far it went."""
    return name.endswith(".lock") or ".temps/" in name


def is_gccs(name: str) -> bool:
    """Whether it is a temporary file of GCC's, which leaves some in one of 75 links that SIGTERM ends, also alone.

    A signal that is not counted in microseconds may come while GCC runs as well: the command looks every while whether
    it still does, and a server's other threads go on.
    """
    return bool(re.fullmatch(r"tmp/cc\w{6}\..*", name))


def _disturbed(trial: Trial, done: Done, expected: Undisturbed) -> str:
    """The operation that was disturbed: in a server's threads the order is another one each time."""
    if trial.unit != "op":
        return ""
    seen = done.operations if len(done.operations) > trial.at else expected.operations
    return seen[trial.at]


def _may_leave(trial: Trial, done: Done, expected: Undisturbed) -> bool:
    """Whether temporary files may stay: nobody can remove any after SIGKILL, or where nothing may be removed."""
    removing = _disturbed(trial, done, expected).startswith(("unlink", "rmdir"))
    return trial.fault in ("SIGKILL", "EROFS+") or (removing and trial.fault in ERRORS)


def _words(trial: Trial, done: Done, expected: Undisturbed) -> list[str]:
    """What is wrong with how the command ended, and with what it said."""
    found = []
    swallowed = trial.fault in SIGNALS and done.errors.startswith("Exception ignored in:")  # a finaliser was running
    unseen = trial.scenario == "index" and trial.fault in SIGNALS  # it has no standard error but in these tests
    if "Traceback" in done.errors and not swallowed and not unseen:
        found.append(f"a traceback: {done.errors.strip().splitlines()[-1]}")
    if trial.fault in SIGNALS:
        number = int(getattr(signal, trial.fault))
        if done.status not in (0, -number, 128 + number) and not unseen:
            found.append(f"status {done.status} after {trial.fault}: {done.errors.strip()}")
        return found
    allowed = STATUSES[trial.fault] | ({0, 1} if trial.scenario == "capture" else {0})  # 1: linked, but not recorded
    if trial.unit == "read":
        allowed |= READ_STATUSES
    if _disturbed(trial, done, expected).startswith("spawn"):
        allowed |= {4, 5}  # what is to be run cannot be
    if done.status not in allowed:
        found.append(f"status {done.status} after {trial.fault}: {done.errors.strip()}")
    complaints = [line for line in done.errors.splitlines() if ": error: " in line]
    if trial.scenario not in ("serve", "index") and done.status and len(complaints) != 1:
        found.append(f"{len(complaints)} sentences with status {done.status}: {done.errors.strip()}")
    return found


def plain_name(name: str) -> str:
    """*name* less what differs from run to run: a record's time and process, the number of a host's file."""
    name = re.sub(r"(/)[0-9a-f]+-[0-9a-f]+(\.host|\.lock)$", r"\1host\2", name)
    return re.sub(r"(\.[0-9a-f]{8})\.[0-9a-f]{12,18}\.[0-9a-f]+\.", r"\1.", name)


def is_temporary(name: str) -> bool:
    """Whether a file of that *name* is one that a later run takes for nothing."""
    return bool(
        re.search(
            r"(^|/)\.[^/]*\.[0-9a-f]{8}$|(^|/)\.[^/]+\.[a-z0-9_]{8}(/|$)|^tmp/|\.lock$|\.tmp$|\.rsp$|\.temps/", name
        )
    )


def state_of(folder: Path) -> State:
    """What is in *folder*, less what is the time's or the process's."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = plain_name(str(path.relative_to(folder)))
        if path.is_file():
            if not re.fullmatch(r"linked|\.l\d+", name):  # what the stand-ins for linker and compiler write
                found.setdefault(name, []).append(sha256(_plain(path, path.read_bytes())).hexdigest()[:16])
        elif not name.startswith("cache"):
            found.setdefault(name, []).append("folder")
    return {name: tuple(sorted(contents)) for name, contents in found.items()}


def _digest(folder: Path) -> str:
    """One for all that is in *folder*, byte for byte."""
    found = sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        found.update(f"{path.relative_to(folder)} {path.lstat().st_mode} {len(content)}\n".encode() + content)
    return found.hexdigest()


def _plain(path: Path, content: bytes) -> bytes:
    """*content* with nothing of the time and of chance in it."""
    if path.suffix in (".json", ".host", "") or path.name == "session":
        content = re.sub(rb'("time": ?)[0-9.]+', rb"\1 0", content)
        content = re.sub(rb": \[(\s*\d+,){3}\s*\d+\s*\]", b": []", content)  # what tells a file from others
        content = re.sub(rb'("[^"]+\.[0-9a-f]{8})\.[0-9a-f]{12,18}\.[0-9a-f]+\.', rb"\1.", content)
    if path.suffix == ".host":
        return b""
    return content


def differing(one: State, other: State) -> str:
    """The names that the two have not alike."""
    return ", ".join(sorted(name for name in {*one, *other} if one.get(name) != other.get(name)))


def _can_be(fault: str, operation: str) -> bool:
    """Whether a system may answer so to that *operation*: a full disk removes whatever it is told to."""
    if fault == "short":
        return operation.startswith("write")
    return not (fault.startswith("ENOSPC") and operation.startswith(("unlink", "rmdir")))


def trials(bench: Bench, names: Iterable[str]) -> list[Trial]:
    """Each error and each signal at each operation of the scenarios *names*, and a failure of each read."""
    found = []
    for name in names:
        operations = bench.undisturbed(name).operations
        for number, operation in enumerate(operations):
            faults = [each for each in ERRORS if _can_be(each, operation)]
            found += [Trial(name, fault, number) for fault in (*faults, *SIGNALS)]
        found += [Trial(name, "EIO", number, "read") for number in range(len(bench.undisturbed(name).reads))]
    return found
