"""Puts the newest committed run's goals and the plot of all runs into the documentation: ``python -m benches.page``."""

from __future__ import annotations

from pathlib import Path

from benches.goal_plot import goal_plot
from benches.harness import ROOT
from benches.history import Run, runs
from benches.report import goal_table
from benches.tables import markdown

PAGE = ROOT / "docs" / "performance.md"
FIGURE = ROOT / "docs" / "figures" / "goals.svg"
BEGIN, END = "<!-- goals: `python -m benches.page` writes these lines -->", "<!-- end of goals -->"


def files() -> dict[Path, str]:
    """What the page and its plot should hold."""
    known = runs()
    before, behind = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, behind = behind.split(END)
    table = f"{before}{BEGIN}\n{_lines(known)}\n{END}{behind}"
    figure = f'<figure class="diagram">\n{goal_plot(known)}</figure>\n'
    return {PAGE: table, FIGURE: figure}


def _lines(known: list[Run]) -> str:
    newest = known[-1]
    tables = f"../benches/results/{newest.name}/tables.md"
    said = f"The run of {newest.date}, stubgen {newest.version}; [its tables]({tables}) have every row."
    return f"{said}\n\n{markdown(*goal_table(newest.outcomes, known[:-1]))}"


def main() -> None:
    """Write them."""
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
