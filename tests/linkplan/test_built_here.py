"""Link commands that build tools issued for one small project, each with the plan that is right for it.

CMake, Meson, libtool, cargo and Go were run for aarch64 through the capture executable, and gcc and clang with it as
their linker; Swift's and Xcode's are from public logs. Every plan was read, word by word, before it was written down.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from stubgen.errors import PlanRefusal
from stubgen.linkplan import build_link_plan


class Built(NamedTuple):
    """One line of the corpus."""

    id: str
    argv: list[str]
    plan: list[str]
    refused: str


def _read() -> list[Built]:
    rows = map(json.loads, Path(__file__).with_name("corpus").joinpath("built_here.jsonl").read_text().splitlines())
    return [Built(row["id"], row["argv"], row.get("plan", []), row.get("refused", "")) for row in rows]


COMMANDS = _read()

ARCHIVE_WORDS = re.compile(
    r"--?(whole-archive|no-whole-archive|start-group|end-group|push-state|pop-state|Bstatic|Bdynamic|as-needed|"
    r"no-as-needed)$"
)
"""What only says how archives are linked: whether it stays where none is left makes no difference."""


def words(argv: list[str] | tuple[str, ...]) -> list[str]:
    """The words of *argv* as the linker sees them, but for those about archives."""
    flat = [piece for word in argv for piece in (word[4:].split(",") if word.startswith("-Wl,") else [word])]
    return [word for word in flat if word != "-Xlinker" and not ARCHIVE_WORDS.match(word)]


@pytest.mark.parametrize("built", COMMANDS, ids=[built.id for built in COMMANDS])
def test_a_build_tools_command_becomes_the_right_plan(built: Built) -> None:
    """What a build system adds by itself is on every user's line, whether or not the user knows it."""
    wishes = {"objects": ["patch.o"], "extra": ["stub.o"], "output": "patch.so", "soname": "patch.so"}
    if built.refused:
        with pytest.raises(PlanRefusal, match=built.refused):
            build_link_plan(built.argv, **wishes)  # type: ignore[arg-type]
        return
    plan = build_link_plan(built.argv, environment={"SDKROOT": "/"}, **wishes)  # type: ignore[arg-type]
    assert words(plan.args) == words(built.plan)


def test_every_tool_is_there() -> None:
    """A corpus that lost half of its lines would pass."""
    kinds = {built.id.partition("-")[0] for built in COMMANDS}
    assert kinds >= {"cmake", "meson", "libtool", "cargo", "go", "raw", "swift3", "swiftpm", "openssl"}
    assert len(COMMANDS) > 35
    assert any("--whole-archive" in word for built in COMMANDS if "cargo" in built.id for word in built.argv)
