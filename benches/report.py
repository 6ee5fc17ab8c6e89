"""The tables, and the files that a run leaves: JSON with every round, CSV with a line a row, Markdown, the plots."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import groupby
from pathlib import Path

from benches.goal_plot import goal_plot
from benches.goals import Outcome
from benches.harness import Row
from benches.history import Run, runs
from benches.plot import plot
from benches.summary import summaries
from benches.tables import duration, markdown, memory

SCHEMA = 1
"""Of the JSON document; a field that changes its meaning raises it."""

_HEADER = ("tool", "what", "median", "spread", "ratio", "in units of", "peak", "bytes", "stubs/s", "work")
LEGEND = """\
ratio        a step's time in units of another's, taken round by round; the median of the rounds
spread       half the distance between the slowest and the fastest round, in units of the median
peak         memory that the process had at most; "4.0x" is what it holds beyond its imports per byte written,
             and beyond a small host per byte of the tables where a host is kept
work         names that the output defines, and a digest over all (name, target address) pairs, read back from it
"""


def case_table(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and lines of one case."""
    return _HEADER, [
        (
            row.tool,
            row.step,
            duration(row.median),
            "" if row.spread is None else f"±{row.spread:.0%}",
            "" if row.ratio is None else f"{row.ratio:.2f}x",
            "" if row.ratio is None else row.unit,
            memory(row),
            "" if row.made is None else f"{row.made:,}",
            "" if row.rate is None else f"{row.rate:,.0f}",
            "" if row.work is None else f"{row.work.names:,} {row.work.digest}",
        )
        for row in rows
    ]


def goal_table(
    outcomes: Sequence[Outcome], earlier: Sequence[Run] = ()
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and lines of the numbers to reach, with what the newest of *earlier* runs has measured."""
    before = {outcome.goal: outcome.measured for run in earlier for outcome in run.outcomes if outcome.measured}
    lines: list[tuple[str, ...]] = []
    for outcome in outcomes:
        goal, measured = outcome.goal, outcome.measured
        earlier_one = before.get(goal)
        lines.append((str(goal), _times(goal.limit), _times(earlier_one), _times(measured) or "-", outcome.verdict))
    return ("goal", "at most", "before", "measured", ""), lines


def _times(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}x"


def write(
    folder: Path,
    rows: Sequence[Row],
    outcomes: Sequence[Outcome],
    about: Mapping[str, object],
) -> list[Path]:
    """Write everything into *folder*; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    date, versions = str(about["date"]), about["versions"]
    earlier = [run for run in runs() if run.name != folder.name and run.date <= date]
    version = str(versions.get("stubgen", "")) if isinstance(versions, Mapping) else ""
    contents = {
        "results.json": json.dumps({"schema": SCHEMA, **about, **_document(rows, outcomes)}, indent=1) + "\n",
        "results.csv": _csv(rows),
        "goals.svg": goal_plot([*earlier, Run(folder.name, date, version, outcomes)]),
        "tables.md": _tables(rows, outcomes, about, earlier),
    }
    if any(row.workload == "emission" for row in rows):
        contents["emission.svg"] = plot(rows)
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def _document(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "goals": [
            {
                "goal": str(outcome.goal),
                "at_most": outcome.goal.limit,
                "unit": "x",
                "measured": outcome.measured,
                "verdict": outcome.verdict,
            }
            for outcome in outcomes
        ],
        "rows": [
            {**_record(row), "command": row.command, "rounds": {str(n): s for n, s in sorted(row.times.items())}}
            for row in rows
        ],
    }


def _record(row: Row) -> dict[str, object]:
    """A row's fields, named with their units."""
    return {
        "workload": row.workload,
        "case": row.case,
        "format": row.format,
        "symbols": row.symbols,
        "stubs": row.stubs,
        "tool": row.tool,
        "step": row.step,
        "median_seconds": row.median,
        "spread": row.spread,
        "ratio": row.ratio,
        "ratio_unit": row.unit,
        "peak_bytes": row.peak,
        "peak_multiple": row.peak_multiple,
        "bytes_written": row.made,
        "stubs_per_second": row.rate,
        "names_defined": row.work.names if row.work else None,
        "work_digest": row.work.digest if row.work else None,
    }


def _csv(rows: Sequence[Row]) -> str:
    text = StringIO()
    records = [_record(row) for row in rows]
    writer = csv.DictWriter(text, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _tables(
    rows: Sequence[Row], outcomes: Sequence[Outcome], about: Mapping[str, object], earlier: Sequence[Run]
) -> str:
    parts = ["# Benchmark results"]
    for name in ("machine", "versions"):
        known = about.get(name)
        if isinstance(known, Mapping):
            parts.append("\n".join(f"- {key}: {value}" for key, value in known.items()))
    for title in ("absent", "failed"):
        listed = about.get(title)
        if isinstance(listed, list) and listed:
            parts.append("\n".join([f"{title.capitalize()}:\n", *(f"- {item}" for item in listed)]))
    parts += [f"Made by `{about.get('command', '')}`.", "## The numbers to reach"]
    parts += [markdown(*goal_table(outcomes, earlier)), "![The numbers to reach, run by run](goals.svg)"]
    for summary in summaries(rows):
        parts += [f"## {summary.title}, in short", markdown(summary.header, summary.lines)]
    for workload, group in groupby(rows, key=lambda row: row.workload):
        parts.append(f"## {workload.capitalize()}")
        for case, members in groupby(group, key=lambda row: row.case):
            parts += [f"### {case}", markdown(*case_table(list(members)))]
    parts += ["## Legend", f"```text\n{LEGEND}```"]
    if rows and any(row.workload == "emission" for row in rows):
        parts.insert(1, "![Time against number of stubs](emission.svg)")
    return "\n\n".join(parts) + "\n"
