"""The goals' plot: for each a line through the runs, beside the most that it may be; plain SVG, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benches.goals import Goal
from benches.history import Run

_LINE = 38  # the height of a goal's line
_TOP, _BOTTOM = 78, 16
_NAMES, _CHART, _NUMBERS = 500, 220, 140  # the widths of the columns
_INSET = 14  # of the first and the last run from the chart's edges
_REACH = 4  # the plot ends at this multiple of the limit, and at its inverse
_STYLE = """\
.goals { --ink: #1f2328; --soft: #59636e; --rule: #d1d9e0; --paper: #ffffff; --good: #0072b2; --bad: #c04a00;
  font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
@media (prefers-color-scheme: dark) {
  .goals { --ink: #e6edf3; --soft: #9198a1; --rule: #3d444d; --paper: #0d1117; --good: #58b4ea; --bad: #ff9a5c; }
}
body[data-theme="light"] .goals { --good: #0072b2; --bad: #c04a00; }
body[data-theme="dark"] .goals { --good: #58b4ea; --bad: #ff9a5c; }
.goals text { fill: var(--color-foreground-primary, var(--ink)); }
.goals .soft { fill: var(--color-foreground-secondary, var(--soft)); }
.goals .small { font-size: 11px; }
.goals .heading { font-weight: 600; font-size: 15px; }
.goals .paper { fill: var(--color-background-primary, var(--paper)); }
.goals .rule { stroke: var(--color-background-border, var(--rule)); }
.goals .limit { stroke: var(--color-foreground-secondary, var(--soft)); stroke-dasharray: 3 3; }
.goals .through { fill: none; stroke: var(--color-foreground-secondary, var(--soft)); stroke-width: 1.5; }
.goals .good { fill: var(--good); }
.goals .bad { fill: var(--bad); }
.goals text.good, .goals text.bad { font-weight: 600; }
"""
"""On the documentation's site the theme's colours, which a reader chooses there; elsewhere the browser's preference."""


class Point(NamedTuple):
    """What a run measured."""

    run: int
    measured: float


def goal_plot(runs: Sequence[Run]) -> str:
    """The SVG document, for *runs* from the oldest to the newest; goals that no run has measured have no line."""
    shown = [(outcome.goal, number) for number, outcome in enumerate(runs[-1].outcomes if runs else ())]
    series = [(goal, _points(runs, number)) for goal, number in shown]
    series = [(goal, points) for goal, points in series if points]
    width, height = _NAMES + _CHART + _NUMBERS, _TOP + _LINE * len(series) + _BOTTOM
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' class='goals' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' role='img' aria-label='The numbers to reach, run by run'>",
        f"<style>\n{_STYLE}</style>",
        f"<rect class='paper' width='{width}' height='{height}'/>",
        "<text class='heading' x='16' y='28'>The numbers to reach, run by run</text>",
        f"<text class='soft' x='16' y='48'>{escape(_legend(runs))}</text>",
    ]
    parts += [_date(run, number, len(runs)) for number, run in enumerate(runs) if _is_labelled(number, len(runs))]
    parts.append(f"<text class='soft' x='{width - 16}' y='{_TOP - 8}' text-anchor='end'>newest / at most</text>")
    for line, (goal, points) in enumerate(series):
        parts += _line(goal, points, runs, _TOP + _LINE * line)
    return "\n".join([*parts, "</svg>", ""])


def _points(runs: Sequence[Run], number: int) -> list[Point]:
    measured = [run.outcomes[number].measured for run in runs]
    return [Point(run, value) for run, value in enumerate(measured) if value is not None]


def _legend(runs: Sequence[Run]) -> str:
    last = runs[-1].date if runs else ""
    return f"{len(runs)} runs up to {last}; lower is better; on the dashed line or below it, a number is reached"


def _is_labelled(number: int, count: int) -> bool:
    """The first and the last run; between them the dates would run into each other."""
    return number in (0, count - 1)


def _date(run: Run, number: int, count: int) -> str:
    anchor = "middle" if count == 1 else "start" if number == 0 else "end"
    edge = 0 if count == 1 else -_INSET if number == 0 else _INSET
    return (
        f"<text class='soft' x='{_across(number, count) + edge:.1f}' y='{_TOP - 8}' text-anchor='{anchor}'>"
        f"{escape(run.date)}</text>"
    )


def _across(number: int, count: int) -> float:
    room = _CHART - 2 * _INSET
    return _NAMES + _INSET + (room / 2 if count == 1 else room * number / (count - 1))


def _up(measured: float, limit: float) -> float:
    """How far above the limit's line, logarithmically."""
    share = math.log(max(measured / limit, 1 / _REACH)) / math.log(_REACH)
    return min(share, 1) * (_LINE / 2 - 6)


def _line(goal: Goal, points: Sequence[Point], runs: Sequence[Run], top: float) -> list[str]:
    middle, right = top + _LINE / 2, _NAMES + _CHART
    placed = [(_across(run, len(runs)), middle - _up(value, goal.limit)) for run, value in points]
    newest = points[-1]
    is_new = newest.run == len(runs) - 1
    kind = ("good" if newest.measured <= goal.limit else "bad") if is_new else "soft"
    parts = [
        f"<path class='rule' d='M16 {top}H{_NAMES + _CHART + _NUMBERS - 16}'/>",
        f"<text x='16' y='{middle - 3}'>{escape(goal.what)}</text>",
        f"<text class='soft small' x='16' y='{middle + 12}'>beside {escape(goal.beside)}</text>",
        f"<path class='limit' d='M{_NAMES} {middle}H{right}'/>",
    ]
    if len(placed) > 1:
        parts.append(f"<path class='through' d='M{'L'.join(f'{x:.1f} {y:.1f}' for x, y in placed)}'/>")
    for (x, y), (run, value) in zip(placed, points, strict=True):
        tip = f"{runs[run].date}, {runs[run].version}: {value:.3g}x"
        mark = "good" if value <= goal.limit else "bad"
        size = 4 if run == len(runs) - 1 else 2.5
        parts.append(
            f"<circle class='{mark}' cx='{x:.1f}' cy='{y:.1f}' r='{size}'><title>{escape(tip)}</title></circle>"
        )
    end = _NAMES + _CHART + _NUMBERS - 16
    parts.append(
        f"<text x='{end}' y='{middle + 4}' text-anchor='end'><tspan class='{kind}'>{newest.measured:.3g}x</tspan>"
        f"<tspan class='soft'> / {goal.limit:.3g}x</tspan></text>"
    )
    return parts
