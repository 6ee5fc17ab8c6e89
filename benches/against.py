"""Two revisions in one run: what is ours is measured in this tree and in another one, round by round in turn."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benches.harness import OURS, ROOT, Bench, Case, ChildFailedError, Contender, Row, Step, measure
from benches.tables import duration

ROUNDS = 9
PACKAGES = ("stubgen", "elf", "macho")
_FEW = 5  # rounds at most where a case has fewer than the suite's
_NOISE = 0.02  # of a ratio: what no number of rounds makes a difference
_ODD_ONE = 9  # rounds, of which one may say the opposite of the others
_INPUTS = ("hosts", "wheels", "statics", "packages", "linking")
"""Folders of files that both trees read."""
_THERE = " there"
HEADER = ("what", "here", "there", "here / there", "rounds", "memory", "")


class Compared(NamedTuple):
    """One step in both trees."""

    step: str
    here: Row
    there: Row | None  # None: that revision has no such thing

    @property
    def ratios(self) -> list[float]:
        """The time here in units of the other's, the smallest first."""
        if self.there is None:
            return []
        shared = self.here.times.keys() & self.there.times.keys()
        return sorted(self.here.times[number] / self.there.times[number] for number in shared)

    @property
    def line(self) -> tuple[str, ...]:
        """As :data:`HEADER` says."""
        there, ratios = self.there, self.ratios
        if there is None:
            return self.step, duration(self.here.median), "", "", "", "", "not there"
        middle = f"{statistics.median(ratios):.3f}x" if ratios else ""
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}" if len(ratios) > 1 else ""
        memory = f"{self.here.peak / there.peak:.2f}x" if self.here.peak and there.peak else ""
        times = duration(self.here.median), duration(there.median)
        return self.step, *times, middle, spread, memory, verdict(ratios) if ratios else ""


def verdict(ratios: Sequence[float]) -> str:
    """What *ratios*, one a round, say: a difference is one that at most one round in nine contradicts."""
    if len(ratios) < 3:
        return "too few rounds"
    middle, contrary = statistics.median(ratios), len(ratios) // _ODD_ONE
    if middle < 1 - _NOISE and sum(ratio >= 1 for ratio in ratios) <= contrary:
        return "faster"
    if middle > 1 + _NOISE and sum(ratio <= 1 for ratio in ratios) <= contrary:
        return "slower"
    return "same within noise"


def checkout(revision: str, scratch: Path) -> tuple[str, Path]:
    """The commit that *revision* is, and a folder with its packages and with this tree's benchmarks.

    Raises:
        ValueError: git knows no such revision.
    """
    named = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if named is None:
        raise ValueError(f"git knows no revision {revision!r} here: give a commit, a branch or a tag")
    commit = named.decode().strip()[:12]
    tree = scratch / "against" / commit / "tree"
    if not tree.exists():
        content = _git("archive", commit, *PACKAGES)
        if content is None:
            raise ValueError(f"{revision} has no {', '.join(PACKAGES)}: there is nothing to measure")
        tree.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", tree], input=content, check=True)
    link = tree / "benches"
    if not link.is_symlink():
        link.symlink_to(ROOT / "benches")
    return commit, tree


def _git(*arguments: str) -> bytes | None:
    done = subprocess.run(["git", "-C", ROOT, *arguments], check=False, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def scratch_of(tree: Path, scratch: Path) -> Path:
    """Where the other tree's commands write: a folder of its own, with the inputs that both read."""
    folder = tree.with_name("scratch")
    folder.mkdir(exist_ok=True)
    for name in _INPUTS:
        (scratch / name).mkdir(exist_ok=True)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(scratch / name)
    return folder


def compare(
    cases: Callable[[Bench], Iterator[Case]], here: Bench, there: Bench
) -> Iterator[tuple[Case, list[Compared]]]:
    """Each of *cases*, and its steps in both trees.

    Raises:
        ChildFailedError: one failed in this tree.
        UnequalWorkError: the trees did not make the same.
    """
    theirs = cases(there)
    for case in cases(here):
        other = next(theirs)
        pairs = [
            (ours, twin)
            for ours, twin in zip(case.contenders, other.contenders, strict=True)
            if ours.tool.startswith(OURS)
        ]
        if pairs:
            yield case, _compared(here, case, pairs)


def _compared(bench: Bench, case: Case, pairs: Sequence[tuple[Contender, Contender]]) -> list[Compared]:
    contenders = []
    for ours, twin in pairs:
        twin.tool += _THERE
        contenders += [ours, twin] if _runs(bench, twin) else [ours]
    rounds = bench.rounds if case.rounds is None else min(bench.rounds, _FEW)
    unit = Step(OURS, "")  # which no step is: the ratios are not the case's own
    rows = measure(bench, replace(case, contenders=contenders, rounds=rounds, unit=unit, swapped=True))
    found: Mapping[Step, Row] = {Step(row.tool, row.step): row for row in rows}
    return [
        Compared(step.step, row, found.get(Step(step.tool + _THERE, step.step)))
        for step, row in found.items()
        if not step.tool.endswith(_THERE)
    ]


def _runs(bench: Bench, contender: Contender) -> bool:
    """Whether the other revision has what *contender* measures: an option, a command or a module may be newer."""
    bench.progress.say(f"is there {contender.tool}: {contender.command}")
    contender.prepare()
    try:
        contender.run()
    except ChildFailedError:
        return False
    contender.settle()
    return True
