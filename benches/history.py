"""The committed runs, read back: what each of today's goals would have said about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benches import goals
from benches.equal_work import Work
from benches.goals import Outcome
from benches.harness import ROOT, Row

RESULTS = ROOT / "benches" / "results"


class Run(NamedTuple):
    """One run of the suite."""

    name: str  # of its folder, which begins with the date
    date: str
    version: str  # of stubgen, with the commit
    outcomes: Sequence[Outcome]


def runs(folder: Path = RESULTS) -> list[Run]:
    """Those whose results are in *folder*, the oldest first."""
    return [_run(path) for path in sorted(folder.glob("*/results.json"))]


def _run(path: Path) -> Run:
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = [row_of(record) for record in document["rows"]]
    return Run(path.parent.name, document["date"], document["versions"].get("stubgen", ""), goals.outcomes(rows))


def row_of(record: Mapping[str, Any]) -> Row:
    """A row as ``results.json`` has it."""
    return Row(
        workload=record["workload"],
        case=record["case"],
        format=record["format"],
        symbols=record["symbols"],
        tool=record["tool"],
        step=record["step"],
        command=record["command"],
        times={int(number): seconds for number, seconds in record["rounds"].items()},
        unit=record["ratio_unit"],
        ratio=record["ratio"],
        peak=record["peak_bytes"],
        peak_multiple=record["peak_multiple"],
        made=record["bytes_written"],
        stubs=record["stubs"],
        work=None if record["work_digest"] is None else Work(record["names_defined"], record["work_digest"]),
    )
