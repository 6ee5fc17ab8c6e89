"""The numbers to reach, and whether they were: each is a ratio of two rows of one case, taken round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benches.harness import OURS, Row, ratio
from benches.peers import rust
from benches.workloads import emission, planning, serving, whole_path

Rows = Sequence[Row]


@dataclass(frozen=True)
class Goal:
    """A number that must not be larger."""

    what: str
    limit: float
    measure: Callable[[Rows], float | None]
    unit: str = "x"


@dataclass(frozen=True)
class Outcome:
    """A goal and what was measured; None where this run has not measured it."""

    goal: Goal
    measured: float | None

    @property
    def verdict(self) -> str:
        """Reached, missed, or not measured."""
        if self.measured is None:
            return "not measured"
        return "reached" if self.measured <= self.goal.limit else "MISSED"


def outcomes(rows: Rows) -> list[Outcome]:
    """All goals, held against *rows*."""
    return [Outcome(goal, goal.measure(rows)) for goal in GOALS]


def _find(rows: Rows, workload: str, tool: str, *steps: str, **fields: object) -> Row | None:
    """The row of the first of *steps* that is there."""
    for step in steps:
        for row in rows:
            if (row.workload, row.tool, row.step) == (workload, tool, step) and all(
                getattr(row, field) == value for field, value in fields.items()
            ):
                return row
    return None


def _ratio(row: Row | None, unit: Row | None) -> float | None:
    if row is None or unit is None or row.case != unit.case:
        return None
    return ratio(row.times, unit.times)


def _emission(format_name: str, step: str, tool: str, unit: str) -> Callable[[Rows], float | None]:
    def measure(rows: Rows) -> float | None:
        size = {"format": format_name, "symbols": 1_000_000}
        return _ratio(_find(rows, "emission", OURS, step, **size), _find(rows, "emission", tool, unit, **size))

    return measure


def _memory(format_name: str) -> Callable[[Rows], float | None]:
    def measure(rows: Rows) -> float | None:
        size = {"format": format_name, "symbols": 1_000_000}
        row = _find(rows, "emission", f"{OURS}, memory", emission.PEAK, **size)
        return row.peak_multiple if row else None

    return measure


def _growth(format_name: str) -> Callable[[Rows], float | None]:
    def measure(rows: Rows) -> float | None:
        large, small = (
            _find(rows, "emission", OURS, f"{emission.ALL}, {count:,}", format=format_name, symbols=4_000_000)
            for count in (4_000_000, 1_000_000)
        )
        return _ratio(large, small)

    return measure


def _command(format_name: str, needed: int, tool: str, unit: str, *steps: str) -> Callable[[Rows], float | None]:
    def measure(rows: Rows) -> float | None:
        fields = {"format": format_name, "stubs": needed}
        return _ratio(
            _find(rows, "whole path", OURS, *steps, **fields), _find(rows, "whole path", tool, unit, **fields)
        )

    return measure


def _serve(step: str) -> Callable[[Rows], float | None]:
    def measure(rows: Rows) -> float | None:
        found = [row.median for row in rows if (row.workload, row.step, row.stubs) == ("serve", step, 1_000)]
        return max((1000 * seconds for seconds in found if seconds is not None), default=None)

    return measure


def _plan(rows: Rows) -> float | None:
    return _ratio(
        _find(rows, "planning", OURS, planning.COMMAND, symbols=1_000),
        _find(rows, "planning", planning.UNIT.tool, planning.UNIT.step, symbols=1_000),
    )


def _goals() -> list[Goal]:
    emit, crate, imports = emission.EMIT, rust.NAME, whole_path.UNIT
    found = []
    for name, title in emission.FORMATS.items():
        million, many = f"{title}, 1M symbols, 1,000 needed", f"{title}, 200k symbols, 500 needed"
        warm = [_command(name, needed, imports.tool, imports.step, whole_path.PRESENT) for needed in (1_000, 500)]
        found += [
            Goal(f"emit 1M stubs, {title}, beside the {crate}", 1 / 8, _emission(name, emit, crate, emit)),
            Goal(f"verify 1M stubs, {title}, beside emit", 1 / 2, _emission(name, emission.VERIFY, OURS, emit)),
            Goal(f"peak memory of both, {title}, beside the bytes written", 4, _memory(name)),
            Goal(f"emit, write and verify 4M stubs, {title}, beside 1M", 4.4, _growth(name)),
            Goal(
                f"command, {million}, no index yet, beside the {crate}",
                1 / 4,
                _command(name, 1_000, crate, whole_path.STUB, whole_path.FRESH),
            ),
            Goal(f"command, {million}, index and words known, beside the imports", 0.6, warm[0]),
            Goal(f"command, {many}, index and words known, beside the imports", 0.6, warm[1]),
        ]
    for step in (serving.SAME, serving.MOVED):
        found.append(Goal(f"serve, 1M symbols, 1,000 needed, {step}", 10, _serve(step), "ms"))
    found.append(Goal(f"plan of 1,000 tokens, beside {planning.IMPORT}", 1.5, _plan))
    return found


GOALS = _goals()
