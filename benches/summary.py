"""The two tables that the README shows, made from the rows: emission by size, and the command by host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benches.harness import OURS, Row
from benches.peers import CLANG, GNU_AS, rust
from benches.tables import duration, memory
from benches.workloads import emission, whole_path


class Summary(NamedTuple):
    """A table."""

    title: str
    header: tuple[str, ...]
    lines: list[tuple[str, ...]]


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """Those for which there are rows."""
    found = [_emission(rows), _commands(rows)]
    return [summary for summary in found if summary.lines]


def _cases(rows: Sequence[Row], *workloads: str) -> list[dict[tuple[str, str], Row]]:
    """For each case its rows, by tool and step."""
    cases: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row.workload in workloads:
            cases.setdefault((row.workload, row.case), {})[row.tool, row.step] = row
    return list(cases.values())


def _emission(rows: Sequence[Row]) -> Summary:
    header = ("format", "stubs", "bytes", "emit", "spread", "stubs/s", "verify", "peak")
    peers = ((rust.NAME, emission.EMIT), (CLANG.name, emission.WHOLE), (GNU_AS.name, emission.WHOLE))
    lines = []
    for case in _cases(rows, "emission"):
        emit = case.get((OURS, emission.EMIT))
        if emit is None:  # the case that holds two sizes against each other
            continue
        verify, peak = case[OURS, emission.VERIFY], case[f"{OURS}, memory", emission.PEAK]
        lines.append(
            (
                emission.FORMATS[emit.format],
                f"{emit.symbols:,}",
                f"{emit.made:,}",
                duration(emit.median),
                "" if emit.spread is None else f"±{emit.spread:.0%}",
                f"{emit.rate:,.0f}",
                duration(verify.median),
                memory(peak),
                *(_ratio(case.get(peer)) for peer in peers),
            )
        )
    return Summary("Emission", (*header, *(tool for tool, _ in peers)), lines)


def _commands(rows: Sequence[Row]) -> Summary:
    steps = (whole_path.FRESH, whole_path.PRESENT, whole_path.OFF)
    lines = []
    for case in _cases(rows, "whole path", "real hosts"):
        ours = [case.get((OURS, step)) for step in steps]
        known = next(row for row in ours if row is not None)
        imports, crate = case[whole_path.UNIT], case.get((rust.NAME, whole_path.STUB))
        others = [duration(row.median) if row else "" for row in (imports, *ours, crate)]
        lines.append((known.case, *others))
    return Summary("The command, file to file", ("host", "imports alone", *steps, rust.NAME), lines)


def _ratio(row: Row | None) -> str:
    return "" if row is None or row.ratio is None else f"{row.ratio:.1f}x"
