"""Statics of another codegen unit, live in Rust: the link makes them hidden, and code reaches them without the GOT."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from live.live import LiveHost, capture_executable, capturing
from live.test_bound_elf import LINKERS
from tools import PROGRAMS, linker_folder, need, run, rustc

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import link_patch


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
