"""The numbers to reach, and whether they were: each is a ratio of rows of one case, taken round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benches.harness import OURS, Row, Step, ratio
from benches.peers import rust
from benches.workloads import capturing, emission, large_files, linking, planning, serving, statics_files, whole_path

Rows = Sequence[Row]
Fields = Mapping[str, object]
Measure = Callable[[Rows], float | None]


@dataclass(frozen=True)
class Goal:
    """A number that must not be larger."""

    what: str
    beside: str  # what it is given in units of
    limit: float
    measure: Measure

    def __str__(self) -> str:
        return f"{self.what}, beside {self.beside}"


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


def _find(rows: Rows, workload: str, step: Step, fields: Fields) -> Row | None:
    """The row of *step* whose *fields* are as given."""
    for row in rows:
        if (row.workload, row.tool, row.step) == (workload, *step) and all(
            getattr(row, field) == value for field, value in fields.items()
        ):
            return row
    return None


def _ratio(row: Row | None, unit: Row | None) -> float | None:
    if row is None or unit is None or row.case != unit.case:
        return None
    return ratio(row.times, unit.times)


def _beside(workload: str, step: str, unit: Step, fields: Fields) -> Measure:
    """Our *step*, in units of *unit*."""

    def measure(rows: Rows) -> float | None:
        ours, other = (_find(rows, workload, each, fields) for each in (Step(OURS, step), unit))
        return _ratio(ours, other)

    return measure


def _memory(workload: str, step: str, fields: Fields) -> Measure:
    def measure(rows: Rows) -> float | None:
        row = _find(rows, workload, Step(f"{OURS}, memory", step), fields)
        return row.peak_multiple if row else None

    return measure


def _captured(rows: Rows) -> float | None:
    """What capturing adds to each link, in starts of Python."""
    steps = (capturing.UNIT, capturing.LINKER, Step(OURS, capturing.CAPTURED))
    start, alone, captured = (_find(rows, "capturing", step, {"symbols": capturing.LINKS}) for step in steps)
    if start is None or alone is None or captured is None:
        return None
    shared = captured.times.keys() & alone.times.keys()
    return ratio({number: captured.times[number] - alone.times[number] for number in shared}, start.times)


_STUB, _WHOLE = Step(rust.NAME, whole_path.STUB), Step(rust.NAME, emission.WHOLE)
_CRATE = f"the {rust.NAME}"


def _stub_goals() -> Iterator[Goal]:
    """From names and addresses to an object, in a process that runs."""
    for name, title in emission.FORMATS.items():
        for stubs in (1_000, 10_000):
            what = f"emit, write and verify {stubs:,} stubs, {title}"
            fields = {"format": name, "symbols": stubs}
            yield Goal(f"{what}, words known", _CRATE, 0.8, _beside("emission", emission.KNOWN, _WHOLE, fields))
            yield Goal(f"{what}, the first time", _CRATE, 2, _beside("emission", emission.FIRST, _WHOLE, fields))
    for name, title in emission.FORMATS.items():
        emit, verify, fields = emission.EMIT, emission.VERIFY, {"format": name, "symbols": 1_000_000}
        crate, ours = Step(rust.NAME, emit), Step(OURS, emit)
        yield Goal(f"emit 1M stubs, {title}", _CRATE, 1 / 10, _beside("emission", emit, crate, fields))
        yield Goal(f"verify 1M stubs, {title}", "emit", 1 / 2, _beside("emission", verify, ours, fields))
        held = _memory("emission", emission.PEAK, fields)
        yield Goal(f"peak memory of both, {title}", "the bytes written", 4, held)
        million, four = (f"{emission.ALL}, {count:,}" for count in (1_000_000, 4_000_000))
        growth = _beside("emission", four, Step(OURS, million), {"format": name, "symbols": 4_000_000})
        yield Goal(f"emit, write and verify 4M stubs, {title}", "1M", 4.4, growth)


def _command_goals() -> Iterator[Goal]:
    """The command, from host and patch to a stub object."""

    def beside(step: str, unit: Step, name: str, needed: int) -> Measure:
        return _beside("whole path", step, unit, {"format": name, "stubs": needed})

    fresh, present, imports = whole_path.FRESH, whole_path.PRESENT, whole_path.UNIT
    for name, title in emission.FORMATS.items():
        few, many = (f"command, {title}, {size} needed" for size in ("200k symbols, 500", "1M symbols, 1,000"))
        yield Goal(f"{few}, index and words known", "the imports", 0.6, beside(present, imports, name, 500))
        yield Goal(f"{few}, index and words known", _CRATE, 0.5, beside(present, _STUB, name, 500))
        yield Goal(f"{many}, index and words known", "the imports", 0.6, beside(present, imports, name, 1_000))
        yield Goal(f"{many}, no index yet", _CRATE, 1 / 4, beside(fresh, _STUB, name, 1_000))
    for step in (fresh, present):
        yield Goal(f"command, ELF, 1M symbols, 1M needed, {step}", _CRATE, 1, beside(step, _STUB, "elf", 1_000_000))


def _start_goals() -> Iterator[Goal]:
    """What is mostly a start of Python, or saves one."""
    plan = _beside("planning", planning.COMMAND, planning.UNIT, {"symbols": 1_000})
    yield Goal("plan of 1,000 tokens", planning.IMPORT, 1.25, plan)
    start = f"python {capturing.UNIT.step}"
    for name, title in emission.FORMATS.items():
        what, fields = f"serve, {title}, 1M symbols, 1,000 needed", {"format": name, "stubs": 1_000}
        short = next(iter(serving.FORMS))
        for step in (serving.SAME + short, serving.MOVED + short):
            yield Goal(f"{what}, {step}", start, 1 / 4, _beside("serve", step, capturing.UNIT, fields))
        yield Goal(f"{what}, memory of a kept host", "its tables", 1, _memory("serve", serving.HELD, fields))
    yield Goal(f"{capturing.LINKS} captured links, what each takes longer", start, 1.5, _captured)


def _file_goals() -> Iterator[Goal]:
    """What reads large real files."""
    unit, fields = statics_files.UNIT, {"symbols": statics_files.STATICS}
    for step in (statics_files.INSPECT, statics_files.NEEDED):
        what = f"an object of {statics_files.STATICS:,} statics, {step}"
        yield Goal(what, unit.tool, 2, _beside("files", step, unit, fields))
    checked, step = str(statics_files.CHECKED), statics_files.CHECK
    yield Goal(f"{checked}, {step}", unit.tool, 2, _beside("files", step, unit, {"case": checked}))
    for listed in large_files.LISTED:
        yield Goal(
            f"the slowest of the large files, {listed.step}", listed.tool, 2, _slowest("large files", listed.step)
        )


def _slowest(workload: str, step: str) -> Measure:
    """The largest ratio of our *step* over the cases."""

    def measure(rows: Rows) -> float | None:
        ratios = [row.ratio for row in rows if (row.workload, row.tool, row.step) == (workload, OURS, step)]
        return max((each for each in ratios if each is not None), default=None)

    return measure


def _link_goals() -> Iterator[Goal]:
    """All of ``link`` but the linker's own time."""
    linker = Step(linking.LINKER, linking.LINK)
    sizes = {f"{linking.OBJECTS} objects of C": linking.OBJECTS, "a large object of Rust": linking.MODULES}
    for title, size in sizes.items():
        for unit, beside, limit in ((linking.COPY, linking.COPY.tool, 1.5), (linker, "the linker itself", 1)):
            what = f"link of {title}, all but the linker"
            yield Goal(what, beside, limit, _linked(unit, linker, {"symbols": size}))


def _linked(unit: Step, linker: Step, fields: Fields) -> Measure:
    def measure(rows: Rows) -> float | None:
        ours, alone, other = (_find(rows, "linking", step, fields) for step in (Step(OURS, linking.LINK), linker, unit))
        if ours is None or alone is None or other is None:
            return None
        shared = ours.times.keys() & alone.times.keys()
        return ratio({number: ours.times[number] - alone.times[number] for number in shared}, other.times)

    return measure


GOALS = [*_stub_goals(), *_command_goals(), *_start_goals(), *_file_goals(), *_link_goals()]
