"""Where the record of the host's link is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import stubgen
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined


@pytest.mark.parametrize("command", ["link", "patch"])
def test_a_folder_that_is_not_there(tmp_path: Path, command: str) -> None:
    """Whoever forgot to capture the build was told of a missing file, which is not what to look for."""
    put(tmp_path, "host", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140)]))
    put(tmp_path, "patch.o", elf_object([undefined("f")]))
    inputs = ["--host", tmp_path / "host", "--captured", tmp_path / "captured", "--slide", "0x1000"]
    done = stubgen(command, *inputs, "-o", tmp_path / "p.so", *([tmp_path / "patch.o"] if command == "link" else []))
    assert done.returncode == 3
    assert "captured: no such folder; nothing was captured there" in done.stderr


@pytest.mark.parametrize("command", ["link", "patch"])
def test_a_host_that_is_not_there(tmp_path: Path, command: str) -> None:
    """``patch`` said that no captured link wrote it: whoever mistyped the host's name looked among the records."""
    (tmp_path / "captured").mkdir()
    put(tmp_path, "patch.o", elf_object([undefined("f")]))
    inputs = ["--host", tmp_path / "hsot", "--captured", tmp_path / "captured", "--slide", "0x1000"]
    done = stubgen(command, *inputs, "-o", tmp_path / "p.so", *([tmp_path / "patch.o"] if command == "link" else []))
    assert (done.returncode, done.stderr) == (3, f"hotpatch-stubgen: error: {tmp_path / 'hsot'}: no such file\n")


@pytest.mark.parametrize("command", ["link", "patch"])
def test_a_folder_without_records(tmp_path: Path, command: str) -> None:
    """The next step is the build's, and what it needs is said."""
    (tmp_path / "captured").mkdir()
    put(tmp_path, "host", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140)]))
    put(tmp_path, "patch.o", elf_object([undefined("f")]))
    inputs = ["--host", tmp_path / "host", "--captured", tmp_path / "captured", "--slide", "0x1000"]
    done = stubgen(command, *inputs, "-o", tmp_path / "p.so", *([tmp_path / "patch.o"] if command == "link" else []))
    assert done.returncode == 3
    assert "no captured link wrote host; none was captured: build with STUBGEN_CAPTURE_DIR set" in done.stderr
