"""The page of a patch: one self-contained HTML file that shows what a command's JSON documents say.

``page.html`` has the places, ``page.css`` the looks, and ``page.js`` puts the data into the places. Nothing is loaded
from anywhere: the page works from a disk, and behind a policy that allows no other origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stubgen import __version__
from stubgen.linkplan.plan import LinkPlan, document
from stubgen.terminal.names import demangled


def make_page(
    told: Mapping[str, Any],
    account: Mapping[str, Any] | None = None,
    plan: LinkPlan | None = None,
    *,
    mangled: bool = False,
) -> bytes:
    """The page.

    Args:
        told: a command's JSON document.
        account: where everything in the patch comes from, as ``--map`` has it.
        plan: the link.
        mangled: names stay as the files have them.
    """
    import json

    data = {
        "version": __version__,
        "told": told,
        "account": account,
        "plan": None if plan is None else document(plan)["edits"],
        "names": {} if mangled else demangled(_names(told, account)),
    }
    text = json.dumps(data, separators=(",", ":"))
    page = _part("page.html")
    for mark, part in (
        ("/*STYLE*/", _part("page.css")),
        ("/*DATA*/", text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")),
        ("/*SCRIPT*/", _part("page.js")),
    ):
        page = page.replace(mark, part, 1)
    return page.encode("utf-8", "backslashreplace")


def _part(name: str) -> str:
    from importlib.resources import files

    return files(__package__).joinpath(name).read_text("utf-8")


def _names(told: Mapping[str, Any], account: Mapping[str, Any] | None) -> set[str]:
    """Every symbol that the page shows."""
    rows: list[Sequence[Mapping[str, Any]]] = [told.get(key, ()) for key in ("decisions", "duplicates", "jump_table")]
    rows.append((account or {}).get("definitions", ()))
    found = {row["name"] for each in rows for row in each}
    found.update(name for row in told.get("changes", ()) for name in row["names"])
    for one in told.get("reach", ()):
        found.add(one["name"])
        found.update(caller.get("function") or "" for caller in (*one["callers"], *one["taken"], *one["inlined"]))
    return found
