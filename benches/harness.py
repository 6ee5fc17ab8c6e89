"""Rounds: every tool in turn, once a round, and what they took.

A machine's speed drifts; tools that run one after another within a round drift together, so ratios are taken round
by round and their median is what counts.
"""

from __future__ import annotations

import gc
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benches.equal_work import Work, hold_equal
from benches.progress import Progress

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
OURS = "stubgen"
Command = list[str | Path]
BASELINE = "imports alone"
"""The step whose peak memory is what a tool has before it does anything."""


class Step(NamedTuple):
    """A tool and what it did; what a row is about."""

    tool: str
    step: str

    def __str__(self) -> str:
        return f"{self.tool}: {self.step}"


class Sample(NamedTuple):
    """One step of one round."""

    seconds: float | None
    peak: int | None = None  # bytes


class ChildFailedError(RuntimeError):
    """A measured process did not end as it should; the message has its command and its standard error."""


class Child(NamedTuple):
    """A process that has ended."""

    seconds: float  # from its start to its end
    peak: int  # bytes of memory that it had at most
    stdout: str


class Children:
    """Starts, times and measures processes; a context, whose end stops the small process that does it.

    Args:
        environment: variables that each of them is given beside this process's own.
        tree: where they run: the checkout whose packages they import.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, tree: Path = ROOT) -> None:
        self.tree = tree
        self._environment = {**os.environ, **(environment or {})}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
        self._folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Children:
        command = [PYTHON, "-I", "-S", str(Path(__file__).with_name("spawn.py"))]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.tree
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.communicate()
            self._server = None
        shutil.rmtree(self._folder)

    def run(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Child:
        """Run *command* to its end.

        Raises:
            ChildFailedError: its exit status is not 0.
        """
        server = self._server
        assert server is not None
        assert server.stdin is not None
        assert server.stdout is not None
        words = [os.fspath(word) for word in command]
        words[0] = shutil.which(words[0]) or words[0]
        stdout, stderr = self._folder / "stdout", self._folder / "stderr"
        request = {
            "command": words,
            "environment": {**self._environment, **(environment or {})},
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        if answer["status"]:
            said = stderr.read_text(errors="replace")[-2000:]
            raise ChildFailedError(f"{' '.join(words)[:500]}: exit status {answer['status']}\n{said}")
        return Child(answer["seconds"], answer["peak"], stdout.read_text(errors="replace"))


@dataclass
class Contender:
    """A tool in a case: what it runs once a round."""

    tool: str
    run: Callable[[], Mapping[str, Sample]]  # step -> what it took
    prepare: Callable[[], None] = lambda: None  # before each round, not measured
    settle: Callable[[], None] = lambda: None  # after it: wait for what it left running
    work: Callable[[], Work] | None = None  # what it made, read back once
    size: Callable[[], int] | None = None  # bytes of what it made
    command: str = ""  # as a person would type it
    slow: bool = False
    """Takes so long that it runs in the last round alone."""
    units: Mapping[str, Step] = field(default_factory=dict)
    """Step -> what its time is given in units of, where that is not the case's."""


@dataclass(frozen=True)
class Row:
    """One step of one tool in one case."""

    workload: str
    case: str
    format: str
    symbols: int
    tool: str
    step: str
    command: str
    times: Mapping[int, float]  # round -> seconds
    unit: str
    ratio: float | None  # its time in units of that, median of the rounds' ratios
    peak: int | None  # bytes
    peak_multiple: float | None  # what it holds beyond the imports, in units of *made*
    made: int | None  # bytes written; of the host's tables where a host is kept
    stubs: int | None
    work: Work | None

    @property
    def median(self) -> float | None:
        """Seconds."""
        return statistics.median(self.times.values()) if self.times else None

    @property
    def spread(self) -> float | None:
        """Half the distance between the extremes, in units of the median; None for one round."""
        if len(self.times) < 2 or not self.median:
            return None
        return (max(self.times.values()) - min(self.times.values())) / 2 / self.median

    @property
    def rate(self) -> float | None:
        """Stubs a second."""
        return self.stubs / self.median if self.stubs and self.median else None


@dataclass(frozen=True)
class Case:
    """One table: contenders who do the same."""

    workload: str
    title: str
    format: str  # "elf", "macho" or ""
    symbols: int  # of the host, or stubs, or tokens: what the case grows with
    unit: Step  # what times are given in units of
    contenders: Sequence[Contender]
    stubs: int | None = None
    expected: Work | None = None
    rounds: int | None = None  # fewer than the suite's
    swapped: bool = False  # every other round runs the last contender first


@dataclass(frozen=True)
class Bench:
    """What every workload is given."""

    children: Children
    progress: Progress
    scratch: Path
    rounds: int
    python: str = PYTHON
    """The Python that what is measured runs in."""
    quick: bool = False
    large: bool = False
    absent: list[str] = field(default_factory=list)
    """What could not be measured here, and what would bring it."""
    indexed: list[Path] = field(default_factory=list)
    """The hosts whose index is kept ready; the last one's still is."""


def measure(bench: Bench, case: Case) -> list[Row]:
    """The case's rows: one round that is not counted, then the counted ones.

    Raises:
        UnequalWorkError: the contenders did not make the same.
    """
    rounds = min(bench.rounds, case.rounds or bench.rounds)
    times: dict[Step, dict[int, float]] = {}
    peaks: dict[Step, int] = {}
    owners: dict[Step, Contender] = {}
    for number in range(rounds + 1):
        for contender in reversed(case.contenders) if case.swapped and number % 2 else case.contenders:
            if contender.slow and number < rounds:
                continue
            bench.progress.say(f"{case.workload}, {case.title}: {contender.tool}, round {number} of {rounds}")
            contender.prepare()
            gc.collect()
            samples = contender.run()
            contender.settle()
            for name, sample in samples.items():
                step = Step(contender.tool, name)
                owners[step] = contender
                times.setdefault(step, {})
                if number and sample.seconds is not None:
                    times[step][number] = sample.seconds
                if number and sample.peak is not None:
                    peaks[step] = max(sample.peak, peaks.get(step, 0))
    bench.progress.say(f"{case.workload}, {case.title}: reading back what was made")
    works = {id(contender): contender.work() for contender in case.contenders if contender.work}
    done = [(contender.tool, works[id(contender)]) for contender in case.contenders if id(contender) in works]
    if case.expected is not None:
        done.insert(0, ("asked for", case.expected))
    if done:
        hold_equal(done)
    rows = []
    for step, taken in times.items():
        contender = owners[step]
        unit = contender.units.get(step.step, case.unit)
        made = contender.size() if contender.size else None
        peak, baseline = peaks.get(step), peaks.get(Step(step.tool, BASELINE))
        rows.append(
            Row(
                workload=case.workload,
                case=case.title,
                format=case.format,
                symbols=case.symbols,
                tool=step.tool,
                step=step.step,
                command=contender.command,
                times=taken,
                unit=str(unit),
                ratio=ratio(taken, times.get(unit, {})),
                peak=peak,
                peak_multiple=(peak - baseline) / made if made and peak and baseline and peak > baseline else None,
                made=made,
                stubs=case.stubs,
                work=works.get(id(contender)),
            )
        )
    return rows


def ratio(taken: Mapping[int, float], unit: Mapping[int, float]) -> float | None:
    """The median of *taken* in units of *unit*, round by round; None where they share no round."""
    shared = [taken[number] / unit[number] for number in taken.keys() & unit.keys()]
    return statistics.median(shared) if shared else None


def whole_process(
    bench: Bench, step: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Callable[[], dict[str, Sample]]:
    """A contender's ``run``: the whole of *command*, start and end included."""

    def run() -> dict[str, Sample]:
        child = bench.children.run(command, environment)
        return {step: Sample(child.seconds, child.peak)}

    return run


def shown(bench: Bench, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """*command* as a person would type it, with no path of this machine in it."""
    words = ["python" if word in (PYTHON, bench.python) else os.fspath(word) for word in command]
    assigned = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
    line = " ".join([*assigned, *map(shlex.quote, words)])
    for path, name in ((bench.scratch, "SCRATCH"), (ROOT, ".")):
        line = line.replace(str(path), name)
    return line
