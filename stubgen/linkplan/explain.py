"""A plan for people: what became of every argument, equal lines as one; and as a shell line."""

from __future__ import annotations

from collections import Counter

from stubgen.common.row import Row
from stubgen.linkplan.plan import Action, LinkPlan

COLOURS = {
    Action.KEPT: "2",
    Action.DROPPED: "31",
    Action.REPLACED: "33",
    Action.ADDED: "32",
}
"""Action -> SGR parameter: dim, red, yellow, green."""

MARKS = {Action.KEPT: " ", Action.DROPPED: "-", Action.REPLACED: "~", Action.ADDED: "+"}

_SINGLE = 2  # arguments of one reason up to which each has its line


class Line(Row):
    """What became of some arguments, and why."""

    action: Action
    arguments: str
    why: str


def folded(plan: LinkPlan) -> list[Line]:
    """A line for each edit, in the command's order; several of one action and reason are one, where the first is."""
    held: dict[tuple[Action, str], list[str]] = {}
    for edit in plan.edits:
        held.setdefault((edit.action, edit.why), []).append(_arguments(edit.before, edit.after))
    lines = []
    for (action, why), arguments in held.items():
        together = [f"{len(arguments)} arguments: {' '.join(arguments)}"] if len(arguments) > _SINGLE else arguments
        lines += [Line(action, text, why) for text in together]
    return lines


def summary(plan: LinkPlan) -> str:
    """How many edits there are of each kind."""
    counts = Counter(edit.action for edit in plan.edits)
    return ", ".join(f"{counts[action]} {action.value}" for action in Action)


def _arguments(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """What an edit is about, on one line."""
    import shlex

    if before and after and before != after:
        return f"{shlex.join(before)} => {shlex.join(after)}"
    return shlex.join(before or after)


def shell_line(plan: LinkPlan) -> str:
    """The plan as a line to paste into a shell: it changes to the right folder by itself."""
    import shlex

    command = shlex.join(plan.args)
    if plan.localize:
        command += " && " + shlex.join(plan.localize)
    if plan.directory is None:
        return command
    return f"(cd {shlex.quote(str(plan.directory))} && {command})"
