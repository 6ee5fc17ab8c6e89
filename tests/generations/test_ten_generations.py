"""A cargo workspace whose files are edited one after the other, while the program and a loop of its first patch run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live.live import stubgen
from live.test_patch_rust import Workspace
from tools import RUST_TARGET, need


class Edits:
    """What the program's text says now: a number in each of three crates."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.own, self.plain, self.model = 5, 200, 0

    def edit(self, crate: str, number: int) -> Path:
        """Change one of them."""
        if crate == "app":
            before, self.own = f"as u32) + {self.own}", number
            return self.workspace.edit("app/src/cart.rs", before, f"as u32) + {number}")
        if crate == "price":
            before, self.plain = f"n + {self.plain}", number
            return self.workspace.edit("price/src/lib.rs", before, f"n + {number}")
        before, self.model = f"{self.model} + hot!" if self.model else "hot!(price", number
        return self.workspace.edit(
            "model/src/lib.rs", before, f"{number} + {'hot!' if before.endswith('!') else before}"
        )

    def answer(self, count: int) -> str:
        """What the program says to 2, for the *count*-th time; the model's thread-local counts from 0."""
        total = self.model + 2 + self.plain + 2000
        return f"{count} plain 0.1.0 7 model 21 {total} {count - 1} {2000 + self.own}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace, built."""
    need("qemu-aarch64")
    return Workspace(tmp_path_factory.mktemp("rust"))


@pytest.mark.parametrize(("profile", "last"), [("debug", 10), ("release", 4)])
def test_many_generations(built: Workspace, profile: str, last: int) -> None:
    """A day's edits: each patch has one crate, and what those before it changed must still be so."""
    workspace = built
    workspace.host = workspace.folder / "target" / RUST_TARGET / profile / "app"
    workspace.restore()
    edits = Edits(workspace)
    folder, session, loaded = workspace.folder, workspace.folder / profile, ""
    with workspace.start() as running:
        assert running.ask("2") == edits.answer(1)
        anchor = running.runtime.anchor()
        for generation in range(1, last + 1):
            changed = edits.edit(("app", "price", "model")[generation % 3 - 1], 1000 + 7 * generation)
            done = stubgen(
                *("patch", "--json", "--captured", workspace.captured, "--host", workspace.host, "--changed", changed),
                *("--aslr-reference", anchor, "--keep-state", "--session", session),
                *(("--loaded", loaded) if loaded else ()),
                *("--jump-table", folder / "table.json", "-o", folder / f"{profile}-{{generation}}.so"),
            )
            document = json.loads(done.stdout)
            assert (document["status"], document.get("generation")) == (0, generation), document
            loaded = running.runtime.take((folder / "table.json").read_bytes())
            assert running.ask("2") == edits.answer(generation + 1)
            if generation == 1:
                assert running.ask("loop") == "looping"
            assert running.ask("latest") == str(1000 + edits.own)
        assert stubgen("session", session, "loaded", loaded).returncode == 0
        undo = ["--jump-table", folder / "table.json", "-o", folder / f"{profile}-{{generation}}.so"]
        done = stubgen("session", session, "undo", *undo)
        assert done.returncode == 0, done.stderr
        running.runtime.take((folder / "table.json").read_bytes())
        edits.own, edits.plain, edits.model = 5, 200, 0
        assert running.ask("2") == edits.answer(last + 2)
        assert running.ask("latest") == "1005"
