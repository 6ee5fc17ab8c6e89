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
