"""The demo, as a person runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import need_module

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints into a pipe."""
    need_module("ziglang", "ziglang")
    need_module("unicorn", "unicorn")
    cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path.home() / ".cache" / "zig")
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=tmp_path_factory.mktemp("demo"),
        env={**os.environ, "PYTHONPATH": str(ROOT), "ZIG_GLOBAL_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo_patches_both_formats(told: str) -> None:
    """The first command that a newcomer types must end with a patched program on both targets."""
    for title in ("aarch64 Linux", "arm64 macOS"):
        chapter = told.split(f"\n{title}")[1].split("\n\n", maxsplit=1)[0]
        assert re.findall(r"order (\d) costs (\S+)", chapter) == [
            ("1", "4.20"),
            ("2", "4.20"),
            ("3", "2.10"),
            ("4", "4.20"),
        ]
        landed = re.findall(r"(\w+)\(\) +(0x\w+)  trampoline -> +(0x\w+)  host", chapter)
        assert [name for name, _, _ in landed] == ["count_order", "price_of", "add_tax"]
        assert len({address for _, *both in landed for address in both}) == 6


def test_demo_is_plain_in_a_pipe(told: str) -> None:
    """Escape codes in a log file or a CI page make it unreadable."""
    assert "\x1b" not in told
    assert "\r" not in told
    assert max(len(line) for line in told.splitlines()) <= 100
