"""Statics of another codegen unit, live in Rust: the link makes them hidden, and code reaches them without the GOT."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from live.live import LiveHost, capture_executable, capturing
from live.test_bound_elf import LINKERS
from tools import PROGRAMS, linker_folder, need, run, rustc

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import link_patch

PROMOTED = """
pub mod promoted {
    static HELD: std::sync::Mutex<u32> = std::sync::Mutex::new(2);
    pub fn held() -> u32 {
        let mut held = HELD.lock().unwrap();
        *held += STEP;
        *held - STEP
    }
}
"""
"""A module with a static that only its own codegen unit has, until ThinLTO takes ``held`` into others."""


def units_of(folder: Path, source: str, linker: str, mangling: str, env: dict[str, str] | None = None) -> list[Path]:
    """The objects of a release build of *source*, which is linked as ``host`` besides."""
    folder.mkdir(exist_ok=True)
    (folder / "host.rs").write_text(source)
    driver = capture_executable(folder) if env else str(need("aarch64-linux-gnu-gcc"))
    options = ["--edition", "2024", "-C", "opt-level=1", "-C", "codegen-units=16", "-A", "warnings", "-C", "save-temps"]
    options += ["-C", "llvm-args=-enable-global-merge=false", "-C", f"linker={driver}"]
    options += ["-Z", "unstable-options", "-C", f"symbol-mangling-version={mangling}"]
    options += ["-C", f"link-arg=-fuse-ld={LINKERS[linker]}", "-C", f"link-arg=-B{linker_folder(folder / 'linkers')}"]
    environment = {**(env or os.environ), "RUSTC_BOOTSTRAP": "1"}
    run([*rustc(), *options, "host.rs", "-o", "host"], env=environment, cwd=folder)
    return sorted(folder.glob("*.rcgu.o"))


def promoted(paths: list[Path]) -> set[str]:
    """How *paths* call the static that ThinLTO took out of its codegen unit."""
    shown = run([need("llvm-nm-19"), *paths])
    return set(re.findall(r" [dD] (\S*HELD\S*\.llvm\.\d+)$", shown, re.MULTILINE))


@pytest.mark.parametrize(("linker", "mangling"), [("lld", "v0"), ("gnu", "legacy")])
def test_statics_that_thinlto_renames_with_each_edit(linker: str, mangling: str, tmp_path: Path) -> None:
    """Cargo's release profile: the counter began anew without a word, because its name has a hash of its unit in it."""
    source = (PROGRAMS / "rust_units.rs").read_text().replace("fetch_add(2,", "fetch_add(crate::promoted::held(),")
    old, edited = tmp_path / "old", tmp_path / "new"
    environment = capturing(tmp_path / "captured", str(need("aarch64-linux-gnu-gcc")))
    names = promoted(units_of(old, source + PROMOTED.replace("STEP", "3"), linker, mangling, environment))
    captured = Capture.load(next((tmp_path / "captured").glob("*.json")))
    with LiveHost(old / "host") as live:
        # 40 and what was held, which is 2 and then 3 more each time
        assert live.tell("call host") == "(8, 4, 5, 7) 42 two 8"
        for number, (step, answer) in enumerate([("10", 47), ("100", 62)]):
            units = units_of(edited, source + PROMOTED.replace("STEP", step), linker, mangling)
            names |= promoted(units)
            patch = tmp_path / f"patch{number}.so"
            linked = link_patch(
                *(StubBuilder(old / "host"), captured, units, patch, live.anchor),
                exports=["patch_main"],
                keep_state=True,
            )
            assert linked.checked.ok
            assert live.patch(patch).split(" | ")[0].split(") ")[1].split()[0] == str(answer)
        assert live.tell("quit") == "bye"
    assert len(names) == 3, "ThinLTO left the static alone, or its name did not change"


@pytest.mark.parametrize(("linker", "level"), [("gnu", 0), ("lld", 0), ("lld", 2), ("lld", 3), ("mold", 1)])
def test_statics_of_another_codegen_unit(linker: str, level: int, tmp_path: Path) -> None:
    """An incremental build splits each crate so: such statics are the state that the user edits a program to keep."""
    driver = str(need("aarch64-linux-gnu-gcc"))
    options = ["--edition", "2024", "-C", f"opt-level={level}", "-C", f"incremental={tmp_path / 'incremental'}"]
    options += ["-A", "warnings", "-C", "save-temps", "-C", f"linker={capture_executable(tmp_path)}"]
    options += ["-C", f"link-arg=-fuse-ld={LINKERS[linker]}", "-C", f"link-arg=-B{linker_folder(tmp_path / 'linkers')}"]
    host = tmp_path / "host"
    command = [*rustc(), *options, PROGRAMS / "rust_units.rs", "-o", host]
    run(command, env=capturing(tmp_path / "captured", driver), cwd=tmp_path)
    (unit,) = [
        path
        for path in tmp_path.glob("*.rcgu.o")
        if re.search(r" T patch_main$", run([need("llvm-nm-19"), path]), re.MULTILINE)
    ]
    shown = run([need("readelf"), "-rW", unit])
    for name in ("COUNT", "TABLE", "ATOMIC"):
        assert re.search(rf"R_AARCH64_ADR_PREL_PG_HI21 \w+ \S*{name}", shown), "rustc put it into the same unit"
    captured = Capture.load(next((tmp_path / "captured").glob("*.json")))
    with LiveHost(host) as live:
        linked = link_patch(
            *(StubBuilder(host), captured, [unit], tmp_path / "patch.so", live.anchor), exports=["patch_main"]
        )
        assert linked.checked.ok
        once = "(8, 4, 5, 7) 42 two 8"
        assert live.patch(tmp_path / "patch.so") == f"{once} | {once}"
        twice = "(9, 5, 7, 7) 44 two 11"
        assert live.tell("call host") == twice
        assert live.tell("quit") == "bye"
