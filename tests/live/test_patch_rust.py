"""A cargo workspace whose crates are edited one after the other, patched in the living process by the files' names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from live.live import capture_executable, capturing, compiling, stubgen
from tools import PROGRAMS, RUST_TARGET, need, run, rustc

from examples.driver import Running

ROOT = Path(__file__).parents[2]


class Workspace:
    """A copy of the workspace, built by cargo with the launchers in front of rustc and of its linker."""

    def __init__(self, folder: Path, profile: str, *arguments: str) -> None:
        self.folder = folder / "shop"
        self.captured = self.folder / "captured"
        shutil.copytree(PROGRAMS / "patched_rust", self.folder)
        shutil.copytree(ROOT / "examples" / "runtime_rust", folder / "hot", ignore=shutil.ignore_patterns("target"))
        cargo, driver = need("cargo", "aarch64-linux-gnu-gcc")
        compiler, _, sysroot, *_ = rustc()
        flags = f"--sysroot {sysroot} -Clink-dead-code -Clink-arg=-Wl,--export-dynamic-symbol=main"
        self.environment = {
            **capturing(self.captured, str(driver)),
            "RUSTC": compiler,
            "RUSTC_WORKSPACE_WRAPPER": compiling(folder),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": str(capture_executable(folder)),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS": flags,
            "CARGO_REGISTRY_TOKEN": "a secret",
        }
        self.environment.pop("RUSTUP_TOOLCHAIN", None)
        command = [cargo, "build", "--offline", "--quiet", "--target", RUST_TARGET, *arguments]
        run(command, cwd=self.folder, env=self.environment)
        self.host = self.folder / "target" / RUST_TARGET / profile / "app"
        self._originals: dict[Path, str] = {}
        self._patches = 0

    def start(self) -> Running:
        """The program, running; the sources are as they were built."""
        for path, text in self._originals.items():
            path.write_text(text)
        return Running(self.host, dict(os.environ))

    def edit(self, file: str, before: str, after: str) -> Path:
        """Change *file* in place."""
        path = self.folder / file
        text = path.read_text()
        self._originals.setdefault(path, text)
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
        return path

    def patch(self, anchor: str, *changed: Path, options: Sequence[object] = ()) -> dict[str, object]:
        """Link a patch with its jump table; the command's JSON document."""
        self._patches += 1
        done = stubgen(
            *("patch", "--json", "--captured", self.captured, "--host", self.host, "--aslr-reference", anchor),
            *("--keep-state", "--jump-table", self.folder / "table.json"),
            *(word for path in changed for word in ("--changed", path)),
            *(*options, "-o", self.folder / f"patch-{self._patches}.so"),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def apply(self, running: Running, *changed: Path) -> list[str]:
        """Patch the living process; the crates that were compiled, in order."""
        document = self.patch(running.runtime.anchor(), *changed)
        assert document["status"] == 0, document
        running.runtime.take((self.folder / "table.json").read_bytes())
        return [unit["name"].removeprefix("crate ") for unit in document["recompiled"]]  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=["debug", "release"])
def workspace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace, built with opt-level 0 and with 3."""
    need("qemu-aarch64")
    folder = tmp_path_factory.mktemp(request.param)
    return Workspace(folder, request.param, *(["--release"] if request.param == "release" else []))


def test_the_programs_own_file_is_edited(workspace: Workspace) -> None:
    """A module of the binary: what a build script and cargo told the compiler is told to it again."""
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        changed = workspace.edit("app/src/cart.rs", "+ 5", "+ 6")
        assert workspace.apply(running, changed) == ["app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 21 2202 1 2006"
        assert running.ask("x") == "3 caught"
        changed = workspace.edit("app/src/cart.rs", "caught", "was caught")
        assert workspace.apply(running, changed) == ["app"]
        assert running.ask("x") == "4 was caught"


EDITS = {
    "plain": ("n + 200", "n + 300", "2 plain 0.1.0 7 model 21 2302 1 2005"),
    "generic": ("* 1000", "* 2000", "2 plain 0.1.0 7 model 21 4202 1 4005"),
    "inlined": ("n + 10", "n + 20", "2 plain 0.1.0 7 model 41 2202 1 2005"),
}
"""An edit of the library that all others use, and the program's second answer with it."""


@pytest.mark.parametrize("edit", EDITS)
def test_a_library_is_edited_that_others_have_parts_of(workspace: Workspace, edit: str) -> None:
    """Instances of its generics, and its inline functions, lie in its users' crates, and in theirs."""
    before, after, answer = EDITS[edit]
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        assert workspace.apply(running, workspace.edit("price/src/lib.rs", before, after)) == ["price", "model", "app"]
        assert running.ask("2") == answer
        assert running.ask("x") == "3 caught"


def test_two_libraries_are_edited_at_once(workspace: Workspace) -> None:
    """The second is compiled with the first as it is now: by the old one its calls would not even fit."""
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        one = workspace.edit(
            "price/src/lib.rs",
            "pub fn plain(n: u64) -> u64 {\n    n",
            "pub fn plain(n: u64, m: u64) -> u64 {\n    m + n",
        )
        two = workspace.edit("model/src/lib.rs", "hot!(price::plain, n)", "hot!(price::plain, n, 1)")
        assert workspace.apply(running, two, one) == ["price", "model", "app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 21 2203 1 2005"
