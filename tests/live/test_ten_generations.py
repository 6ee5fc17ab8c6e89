"""A program of three crates is patched ten times in one process, each time by the name of the file that was edited."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import capture_executable, compiling, stubgen
from live.test_examples import cargo_environment
from tools import PROGRAMS, RUST_TARGET, need, run

from examples.driver import EXAMPLES, Running

SOURCES = {"shop": "shop/src/main.rs", "cart": "cart/src/lib.rs", "tax": "tax/src/lib.rs"}
TURNS = ("shop", "cart", "tax", "shop", "cart", "tax", "shop", "cart", "tax", "shop")
"""The crate that each generation edits: the first one's loop goes on through all of them."""
EDITS = {
    3: [("cents / 5", "cents / 4")],
    5: [  # a static that the host has not, with which the eighth generation goes on
        (
            "/// Takes an order.",
            "fn short(line: &str) -> u32 {\n    static SHORT: AtomicU32 = AtomicU32::new(40);\n"
            "    SHORT.fetch_add(u32::from(line.len() < 5), Ordering::Relaxed)\n}\n\n/// Takes an order.",
        ),
        (', {cents}")', ', {cents}, short {}", short(line))'),
    ],
    6: [  # a thread-local that the host has not, with which the ninth goes on
        ("    static MINE", "    static SINCE: Cell<u32> = const { Cell::new(60) };\n    static MINE"),
        ("    MINE.set", "    SINCE.set(SINCE.get() + 1);\n    MINE.set"),
        ('{}", MINE.get())', '{} since {}", MINE.get(), SINCE.get())'),
    ],
    7: [  # a function of which the host has nothing
        (
            "/// Answers until",
            "fn reversed(line: &str) -> String {\n    line.chars().rev().collect()\n}\n\n/// Answers until",
        ),
        ("{}, {order}", "{}, {}, {order}"),
        ("fetch_add(1, Ordering::Relaxed) + 1)", "fetch_add(1, Ordering::Relaxed) + 1, reversed(line))"),
    ],
    9: [("cents / 4", "cents / 2")],
}
"""What else an edit changes, besides the number that each crate says: what stood there, and what stands there then."""


class Workspace(NamedTuple):
    """The sources, the built program and the records of its build."""

    folder: Path
    host: Path
    captured: Path
    environment: dict[str, str]

    def edit(self, generation: int) -> Path:
        """Change the file whose turn it is."""
        path = self.folder / SOURCES[TURNS[generation - 1]]
        text = path.read_text()
        number = text.partition("VERSION: u32 = ")[2].partition(";")[0]
        for before, after in ((f"= {number};", f"= {generation};"), *EDITS.get(generation, [])):
            assert text.count(before) == 1, f"{path.name}: {before}"
            text = text.replace(before, after)
        path.write_text(text)
        return path

    def patch(self, running: Running, changed: Path, generation: int, loaded: str | None) -> str:
        """Patch the process; where it has the patch's anchor."""
        done = stubgen(
            *("patch", "--json", "--captured", self.captured, "--host", self.host, "--keep-state"),
            *("--session", self.folder / "session", "--aslr-reference", running.runtime.anchor()),
            *(("--loaded", loaded) if loaded else ()),
            *("--jump-table", self.folder / "table-{generation}.json", "--changed", changed),
            *("-o", self.folder / "patch-{generation}.so"),
        )
        assert done.returncode == 0, f"generation {generation}: {done.stdout}{done.stderr}"
        document = json.loads(done.stdout)
        assert document["generation"] == generation
        return running.runtime.take((self.folder / f"table-{generation}.json").read_bytes())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The program, built by Cargo with each compile and the link recorded."""
    cargo, linker = need("cargo", "aarch64-linux-gnu-gcc")
    folder, captured = tmp_path / "generations", tmp_path / "captured"
    shutil.copytree(PROGRAMS / "generations", folder)
    shutil.copytree(EXAMPLES / "runtime_rust", tmp_path / "runtime_rust", ignore=shutil.ignore_patterns("target"))
    environment = {
        **os.environ,
        **cargo_environment(),
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": str(capture_executable(tmp_path)),
        "RUSTC_WORKSPACE_WRAPPER": compiling(tmp_path),
        "STUBGEN_CAPTURE_DIR": str(captured),
        "STUBGEN_EXPORT_ANCHOR": "main",
        "STUBGEN_REAL_LINKER": linker,
        "RUST_BACKTRACE": "0",
    }
    run([cargo, "build", "--offline", "--target", RUST_TARGET], cwd=folder, env=environment)
    return Workspace(folder, folder / "target" / RUST_TARGET / "debug" / "shop", captured, environment)


class Expected:
    """What the program has to say: its numbers, as if it had been written so from the start."""

    def __init__(self) -> None:
        self.generation = 0
        self.versions = dict.fromkeys(SOURCES, 0)
        self.answers = self.calls = self.lines = 0
        self.orders, self.short = 100, 40
        self.tax: Counter[str] = Counter()
        self.cart: Counter[str] = Counter()
        self.since: Counter[str] = Counter()

    def patched(self) -> None:
        """The next generation is loaded."""
        self.generation += 1
        self.versions[TURNS[self.generation - 1]] = self.generation

    def answer(self, line: str, thread: str) -> str:
        """What ``answer`` of shop says, in a thread."""
        order = self._order(line, thread)
        self.answers += 1
        backwards = f" {line[::-1]}," if self.generation >= 7 else ""
        return f"shop {self.versions['shop']} {self.answers},{backwards} {order}"

    def _order(self, line: str, thread: str) -> str:
        if not line:
            return f"caught tax {self.versions['tax']} of nothing"
        cents = 10 * len(line)
        cents += cents // (2 if self.generation >= 9 else 4 if self.generation >= 3 else 5)
        self.calls, self.lines, self.orders = self.calls + 1, self.lines + 1, self.orders + 1
        self.tax[thread] += 1
        self.cart[thread] += 1
        tax = f"tax {self.versions['tax']} {self.calls} {self.tax[thread]}"
        if self.generation >= 6:
            self.since[thread] += 1
            tax += f" since {60 + self.since[thread]}"
        cart = f"cart {self.versions['cart']} {self.orders} {self.lines} {self.cart[thread] + 1}, {tax}, {cents}"
        if self.generation >= 5:
            cart += f", short {self.short}"
            self.short += len(line) < 5
        return cart


def test_ten_generations(workspace: Workspace) -> None:
    """What any patch forgets of an earlier one shows: old code, a counter that starts afresh, a loop that is stuck."""
    expected = Expected()
    loaded = None

    def ask(running: Running, loop: str) -> None:
        for line in ("apple", "tea", "", "bread"):
            wanted = [expected.answer(line, thread) for thread in ("main", "loop")]
            assert running.ask(line) == f"main: {wanted[0]}; loop {loop}: {wanted[1]}", (
                f"generation {expected.generation}"
            )

    with Running(workspace.host, workspace.environment) as running:
        running.ask("start")
        ask(running, "0")
        running.ask("stop")
        for generation in range(1, len(TURNS) + 1):
            loaded = workspace.patch(running, workspace.edit(generation), generation, loaded)
            expected.patched()
            if generation == 1:
                running.ask("start")
            ask(running, "1")
        running.ask("stop")
        running.ask("start")
        ask(running, "10")
