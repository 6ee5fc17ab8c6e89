"""``capture`` and ``captures`` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stubgen.capture import read_captures
from stubgen.cli import main


def test_capture_runs_and_records(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first command that a person types: the link happens and its command is kept."""
    assert main(["capture", "--dir", str(tmp_path), "--", "echo", "-o", "app", "x.o"]) == 0
    assert capfd.readouterr().out == "-o app x.o\n"
    assert [capture.argv for capture in read_captures(tmp_path)] == [["echo", "-o", "app", "x.o"]]


@pytest.mark.parametrize(
    ("words", "status"), [(["false", "-o", "x"], 4), (["/no/such/linker"], 4), ([], 2)], ids=["fails", "absent", "none"]
)
def test_capture_fails_as_documented(tmp_path: Path, words: list[str], status: int) -> None:
    """Exit status 4 is the linker's failure, 2 the user's."""
    assert main(["capture", "--dir", str(tmp_path), "--", *words]) == status


def test_json_is_alone_on_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Linkers print their warnings on either stream; a script that parses ours must not meet them."""
    assert main(["capture", "--dir", str(tmp_path), "--json", "--", "echo", "-o", "app", "x.o"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["output"] == "app"
    assert "-o app x.o\n" in captured.err


def test_captures_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People look here for what their build did; scripts read the JSON."""
    for name in ("one", "two", "one"):
        main(["capture", "--dir", str(tmp_path), "--", "true", "-o", f"out/{name}"])
    assert main(["captures", str(tmp_path)]) == 0
    assert [line.split()[4] for line in capsys.readouterr().out.splitlines()] == ["out/one", "out/two", "out/one"]
    assert main(["captures", str(tmp_path), "--output-name", "two", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["output"] for row in document["captures"]] == ["out/two"]
    assert main(["captures", str(tmp_path / "none")]) == 3


def test_a_capture_that_is_ended_ends_its_linker(tmp_path: Path) -> None:
    """An editor that cancels the build by a signal left the linker running, which wrote its output later."""
    script = f"echo $$ > {tmp_path}/pid; exec sleep 300"
    process = subprocess.Popen(
        [sys.executable, "-m", "stubgen", "capture", "--dir", str(tmp_path), "--", "sh", "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (128 + signal.SIGTERM, b"")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
