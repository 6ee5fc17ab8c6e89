"""Prints a plan: as a table that a person takes in at a glance, as a shell line."""

from __future__ import annotations

from collections import Counter

from stubgen.common.text import harmless
from stubgen.linkplan.plan import Action, LinkPlan

COLOURS = {
    Action.KEPT: "2",
    Action.DROPPED: "31",
    Action.REPLACED: "33",
    Action.ADDED: "32",
}
"""Action -> SGR parameter: dim, red, yellow, green."""

MARKS = {Action.KEPT: " ", Action.DROPPED: "-", Action.REPLACED: "~", Action.ADDED: "+"}


def explain(plan: LinkPlan, *, colour: bool = False, width: int = 100) -> str:
    """One line for every edit: what became of which arguments, and why.

    *width* is in columns; the arguments take at most six tenths of it, cut in the middle where they are longer,
    so that the reasons line up. The end of a path says more than its folders.
    """
    rows = [(edit.action, _arguments(edit.before, edit.after), edit.why) for edit in plan.edits]
    room = max(20, width * 6 // 10)
    column = min(room, max((len(text) for _, text, _ in rows), default=0))
    lines = []
    for action, text, why in rows:
        line = harmless(f"{MARKS[action]} {action.value:<8}  {_cut(text, column):<{column}}  {why}".rstrip())
        lines.append(f"\x1b[{COLOURS[action]}m{line}\x1b[0m" if colour else line)
    counts = Counter(edit.action for edit in plan.edits)
    lines.append("")
    lines.append(", ".join(f"{counts[action]} {action.value}" for action in Action))
    return "\n".join(lines)


def _arguments(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """What an edit is about, on one line."""
    import shlex

    if before and after and before != after:
        return f"{shlex.join(before)} => {shlex.join(after)}"
    return shlex.join(before or after)


def _cut(text: str, width: int) -> str:
    """*text* in at most *width* columns, its middle left out."""
    if len(text) <= width:
        return text
    head = width // 3
    return f"{text[:head]}...{text[head + 3 - width :]}"


def shell_line(plan: LinkPlan) -> str:
    """The plan as a line to paste into a shell: it changes to the right folder by itself."""
    import shlex

    command = shlex.join(plan.args)
    if plan.localize:
        command += " && " + shlex.join(plan.localize)
    if plan.directory is None:
        return command
    return f"(cd {shlex.quote(str(plan.directory))} && {command})"
