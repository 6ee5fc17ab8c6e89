"""The emission plot: time against number of stubs, log-log, a panel a format, a line a tool; plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benches.harness import OURS, Row
from benches.peers import CLANG, GNU_AS, rust
from benches.workloads import emission

_PANEL = (400, 320)  # width and height of the area between the axes
_LEFT, _TOP, _GAP, _BOTTOM = 84, 84, 84, 104
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
_GREY, _INK = "#d9d9d9", "#24292f"


class Line(NamedTuple):
    """A tool's line: which rows it goes through, and how it looks."""

    tool: str
    step: str
    label: str
    colour: str  # of Okabe and Ito's set, which colour-blind people can tell apart
    dash: str
    mark: str  # "circle", "square", "triangle" or "diamond"


LINES = (
    Line(OURS, emission.EMIT, "stubgen, emit", "#0072b2", "", "circle"),
    Line(OURS, emission.ALL, "stubgen, emit + write + verify", "#0072b2", "5 4", "circle"),
    Line(rust.NAME, emission.EMIT, "Rust object crate, emit", "#d55e00", "", "square"),
    Line(rust.NAME, emission.WHOLE, "Rust object crate, whole process", "#d55e00", "5 4", "square"),
    Line(CLANG.name, emission.WHOLE, "generated assembly, clang", "#009e73", "", "triangle"),
    Line(GNU_AS.name, emission.WHOLE, "generated assembly, GNU as", "#cc79a7", "", "diamond"),
)


class _Scale(NamedTuple):
    """One logarithmic axis: whole decades from *low* to *high* (exponents) over *length*."""

    low: int
    high: int
    length: float

    def at(self, value: float) -> float:
        return (math.log10(value) - self.low) / (self.high - self.low) * self.length


def plot(rows: Sequence[Row]) -> str:
    """The SVG document; panels without data say so."""
    points = {
        (name, line): sorted(
            (row.symbols, row.median)
            for row in rows
            if (row.workload, row.format, row.tool, row.step) == ("emission", name, line.tool, line.step) and row.median
        )
        for name in emission.FORMATS
        for line in LINES
    }
    every = [point for series in points.values() for point in series] or [(1, 1.0)]
    across = _scale([stubs for stubs, _ in every], _PANEL[0])
    up = _scale([seconds for _, seconds in every], _PANEL[1])
    width = _LEFT + len(emission.FORMATS) * _PANEL[0] + (len(emission.FORMATS) - 1) * _GAP + 48
    height = _TOP + _PANEL[1] + _BOTTOM
    used = [line for line in LINES if any(points[name, line] for name in emission.FORMATS)]
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"role='img' {_FONT} font-size='13' fill='{_INK}'>",
        "<title>Time to make stub objects, by number of stubs</title>",
        f"<desc>Log-log lines for {escape(', '.join(line.label for line in used) or 'nothing')}.</desc>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",
        f"<text x='{_LEFT}' y='30' font-size='17' font-weight='600'>Time to make an object of that many stubs</text>",
        f"<text x='{_LEFT}' y='50' fill='#57606a'>medians; both axes are logarithmic; lower is better</text>",
    ]
    for number, (name, title) in enumerate(emission.FORMATS.items()):
        left = _LEFT + number * (_PANEL[0] + _GAP)
        parts.append(f"<g transform='translate({left} {_TOP})'>")
        parts += _axes(title, across, up)
        for line in LINES:
            parts += _series(line, points[name, line], across, up)
        parts.append("</g>")
    parts += _legend(used, _TOP + _PANEL[1] + 58)
    return "\n".join([*parts, "</svg>", ""])


def _scale(values: Sequence[float], length: float) -> _Scale:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return _Scale(low, max(high, low + 1), length)


def _axes(title: str, across: _Scale, up: _Scale) -> list[str]:
    width, height = _PANEL
    parts = [f"<text x='{width / 2}' y='-12' text-anchor='middle' font-weight='600'>{escape(title)}</text>"]
    for exponent in range(across.low, across.high + 1):
        for step in range(1, 10 if exponent < across.high else 2):
            x = across.at(step * 10.0**exponent)
            if step == 1:
                parts.append(f"<path d='M{x:.1f} 0V{height}' stroke='{_GREY}'/>")
                label = f"{10**exponent:,}" if exponent >= 0 else f"{10.0**exponent:g}"
                parts.append(f"<text x='{x:.1f}' y='{height + 22}' text-anchor='middle'>{label}</text>")
            parts.append(f"<path d='M{x:.1f} {height}v{7 if step == 1 else 4}' stroke='{_INK}'/>")
    for exponent in range(up.low, up.high + 1):
        for step in range(1, 10 if exponent < up.high else 2):
            y = height - up.at(step * 10.0**exponent)
            if step == 1:
                parts.append(f"<path d='M0 {y:.1f}H{width}' stroke='{_GREY}'/>")
                parts.append(f"<text x='-12' y='{y + 4:.1f}' text-anchor='end'>{_duration(exponent)}</text>")
            parts.append(f"<path d='M0 {y:.1f}h-{7 if step == 1 else 4}' stroke='{_INK}'/>")
    parts.append(f"<path d='M0 0V{height}H{width}' fill='none' stroke='{_INK}'/>")
    parts.append(f"<text x='{width / 2}' y='{height + 42}' text-anchor='middle'>stubs</text>")
    return parts


def _duration(exponent: int) -> str:
    """10^exponent seconds, in the unit that a person would say."""
    for floor, unit in ((0, "s"), (-3, "ms"), (-6, "µs"), (-9, "ns")):
        if exponent >= floor:
            return f"{10 ** (exponent - floor):,} {unit}"
    return f"1e{exponent} s"


def _series(line: Line, points: Sequence[tuple[float, float]], across: _Scale, up: _Scale) -> list[str]:
    if not points:
        return []
    placed = [(across.at(stubs), _PANEL[1] - up.at(seconds)) for stubs, seconds in points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    dash = f" stroke-dasharray='{line.dash}'" if line.dash else ""
    parts = [f"<path d='M{path}' fill='none' stroke='{line.colour}' stroke-width='2'{dash}/>"]
    for (x, y), (stubs, seconds) in zip(placed, points, strict=True):
        tip = f"{line.label}: {stubs:,.0f} stubs in {seconds * 1000:,.1f} ms"
        parts.append(_mark(line, x, y).replace("/>", f"><title>{escape(tip)}</title></path>"))
    return parts


def _mark(line: Line, x: float, y: float) -> str:
    shapes = {
        "circle": f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
        "square": f"M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z",
        "triangle": f"M{x:.1f} {y - 5:.1f}l4.5 8h-9z",
        "diamond": f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
    }
    fill = "#ffffff" if line.dash else line.colour
    return f"<path d='{shapes[line.mark]}' fill='{fill}' stroke='{line.colour}' stroke-width='1.5'/>"


def _legend(lines: Sequence[Line], top: float) -> list[str]:
    parts = []
    for number, line in enumerate(lines):
        x, y = _LEFT + number % 3 * 290, top + number // 3 * 24
        dash = f" stroke-dasharray='{line.dash}'" if line.dash else ""
        parts.append(f"<path d='M{x} {y}h34' stroke='{line.colour}' stroke-width='2'{dash}/>")
        parts.append(_mark(line, x + 17, y))
        parts.append(f"<text x='{x + 44}' y='{y + 4}'>{escape(line.label)}</text>")
    return parts
