"""Bound copies, live in Rust: statics, trait objects, function pointers and thread-locals are the host's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, capture_executable, capturing, defined_by, looked_up_by
from tools import PROGRAMS, linker_folder, need, run, rustc

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import Linked, link_patch

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}
"""What tests call a linker -> what ``-fuse-ld`` does."""

SOURCES = PROGRAMS / "bound_rust"

SPOKEN = '["CAT!", "DOG {0}!", "DOG {0}!", "CAT!"]'
"""What the four trait objects say, two of the patch's table and two of the host's, when the count is {0} - 7."""


class Program(NamedTuple):
    """A linked host and the record of its link."""

    path: Path
    captured: Path
    crates: Path

    def object(self, output: Path, crate_type: str, level: int) -> Path:
        """The patch's object."""
        options = ["--edition", "2024", "--crate-type", crate_type, "--emit=obj", "-C", "codegen-units=1"]
        options += ["-C", f"opt-level={level}", "--extern", f"state={self.crates / 'libstate.rlib'}"]
        run([*rustc(), *options, SOURCES / "patch.rs", "-o", output])
        return output

    def link(self, live: LiveHost, patch: Path, output: Path) -> Linked:
        """The patch, linked for *live*."""
        captured = Capture.load(self.captured)
        return link_patch(StubBuilder(self.path), captured, [patch], output, live.anchor, exports=["patch_main"])


@pytest.fixture(scope="module", params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The host as rustc links it, with each linker."""
    folder = tmp_path_factory.mktemp(request.param)
    options = ["--edition", "2024", "-C", "opt-level=1"]
    run([*rustc(), *options, "--crate-type", "rlib", "--out-dir", folder, SOURCES / "state.rs"])
    options += ["-C", f"linker={capture_executable(folder)}", "-C", f"link-arg=-fuse-ld={LINKERS[request.param]}"]
    options += ["-C", f"link-arg=-B{linker_folder(folder / 'linkers')}"]
    options += ["--extern", f"state={folder / 'libstate.rlib'}", "-o", str(folder / "host")]
    driver = str(need("aarch64-linux-gnu-gcc"))
    run([*rustc(), *options, SOURCES / "host.rs"], env=capturing(folder / "captured", driver), cwd=folder)
    return Program(folder / "host", next((folder / "captured").glob("*.json")), folder)


@pytest.mark.parametrize(("crate_type", "level"), [("rlib", 1), ("rlib", 3), ("dylib", 1)])
def test_host_and_patch_share_everything(program: Program, tmp_path: Path, crate_type: str, level: int) -> None:
    """A patch that counts, registers or remembers in copies of the host's state applies and changes nothing."""
    patch = program.object(tmp_path / "patch.o", crate_type, level)
    with LiveHost(program.path) as live:
        assert live.tell("state") == '40 [0, 10, 20, 30] 100 [] [2, 43] ["DOG 47", "CAT"]'
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == f"40 101 111 {SPOKEN.format(47)}"
        assert live.tell("state") == '42 [0, 10, 20, 75] 101 [patch 40] [2, 45] ["DOG 49", "CAT"]'
        # another thread begins with thread-locals of its own, and shares them with the host's code that runs on it
        answer, _, seen = live.tell("thread").partition(" | ")
        assert answer == f"42 101 111 {SPOKEN.format(49)}"
        assert seen == '44 [0, 10, 20, 122] 101 [patch 42] [2, 47] ["DOG 51", "CAT"]'
        assert live.tell("again").startswith("44 102 ")
        assert live.tell("state").startswith("46 [0, 10, 20, 171] 102 [patch 40,patch 44] ")
        live.end()


def test_the_linker_finds_nothing_of_the_host_to_look_up(program: Program, tmp_path: Path) -> None:
    """A name left to the loader binds to another library's symbol, or fails on Android and under RTLD_LOCAL."""
    patch = program.object(tmp_path / "patch.o", "rlib", 1)
    with LiveHost(program.path) as live:
        linked = program.link(live, patch, tmp_path / "patch.so")
    verdicts = {decision.name: decision.verdict.value for decision in linked.built.resolution.decisions()}
    assert verdicts["RAW"] == "slot"
    assert {"slot", "tls", "trampoline", "loader"} <= set(verdicts.values())
    looked_up = looked_up_by(tmp_path / "patch.so")
    assert "_Unwind_Resume" in looked_up, "the relocations were not read"
    own = defined_by(patch)
    assert not (looked_up & defined_by(program.path)) - own
    shown = run([need("readelf"), "-rW", tmp_path / "patch.so"])
    assert not re.findall(r"R_AARCH64_TLS\w*", shown)
