"""``plan`` on the command line."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stubgen.capture import record
from stubgen.cli import main

ROOT = Path(__file__).parent.parent.parent
PATCH = ["--object", "p.o", "--extra", "stub.o", "-o", "p.so", "--soname", "p1.so"]
LINK = ["--", "cc", "-target", "aarch64-linux-gnu", "-o", "app", "x.o", "-Wl,-z,defs,-z,now", "-lm"]
PLANNED = [
    "cc",
    "-target",
    "aarch64-linux-gnu",
    "stub.o",
    "p.o",
    "-Wl,-z,now",
    "-lm",
    "-shared",
    "-Wl,--unresolved-symbols=ignore-all",
    "-Wl,-soname,p1.so",
    "-o",
    "p.so",
]


def test_one_argument_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    r"""The plain output feeds ``xargs -d "\n"``."""
    assert main(["plan", *PATCH, *LINK]) == 0
    assert capsys.readouterr().out.splitlines() == PLANNED


def test_json_for_builders(capsys: pytest.CaptureFixture[str]) -> None:
    """A builder in another language reads this and nothing else."""
    assert main(["plan", "--json", *PATCH, *LINK]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["args"] == PLANNED
    assert document["os"] == "linux"
    assert [argument for edit in document["edits"] for argument in edit["before"]] == LINK[1:]
    assert {edit["action"] for edit in document["edits"]} == {"kept", "dropped", "replaced", "added"}


def test_shell_line_can_be_pasted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The shell must see the very arguments of the plan, in the folder of the captured link."""
    words = ["--", sys.executable, "cc", "a b", "$HOME", "it's"]
    assert main(["plan", "--shell", "--directory", str(tmp_path), *PATCH, *words]) == 0
    line = capsys.readouterr().out
    script = line.replace(f"{sys.executable} cc", "pwd; printf '%s\\n'")
    done = subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True, text=True)
    shown = done.stdout.splitlines()
    assert shown[0] == str(tmp_path)
    assert shown[1:3] == ["a b", "$HOME"]
    assert shown[-1] == str(Path.cwd() / "p.so")


def test_explanation_is_aligned_and_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A person must see at a glance what went; a log must not be full of escape codes."""
    assert main(["plan", "--explain", *PATCH, *LINK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b" not in "".join(lines)
    reasons = ["names the host's file", "links only what was rebuilt", "a patch is a shared library"]
    columns = [next(line.index(word) for line in lines if word in line) for word in reasons]
    assert columns[0] == columns[2] == columns[1] - len("the patch ")
    assert lines[-1] == "3 kept, 2 dropped, 1 replaced, 6 added"


def test_explanation_is_coloured_on_a_terminal() -> None:
    """Colours carry the actions where there are any to be seen, and NO_COLOR is respected."""
    for no_color, coloured in (("", True), ("1", False)):
        parent, child = pty.openpty()
        command = [sys.executable, "-m", "stubgen", "plan", "--explain", *PATCH, *LINK]
        environment = {**os.environ, "NO_COLOR": no_color}
        subprocess.run(command, cwd=ROOT, stdout=child, stderr=subprocess.PIPE, check=True, env=environment)
        os.close(child)
        shown = os.read(parent, 65536)
        os.close(parent)
        assert (b"\x1b[31m- dropped" in shown) is coloured
        assert b"dropped" in shown


def test_captured_record_by_file_and_by_output_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual way: a folder of records, and the name of what the build made."""
    (tmp_path / "objects.rsp").write_text("x.o -lz")
    monkeypatch.chdir(tmp_path)
    path = record(["cc", "-o", "out/app", "@objects.rsp", "-Wl,-z,now"], tmp_path / "records")
    (tmp_path / "objects.rsp").unlink()
    for source in (["--captured", path], ["--captured", "records", "--output-name", "app"]):
        assert main(["plan", "--json", "--os", "linux", *PATCH, *source]) == 0
        document = json.loads(capsys.readouterr().out)
        assert "-lz" in document["args"]
        assert "x.o" not in document["args"]
        assert document["directory"] == str(tmp_path)
        assert str(tmp_path / "p.o") in document["args"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([*PATCH], 2, "give the captured command"),
        (["-o", "p.so", *LINK], 2, "at least one object"),
        (["--object", "p.o", *LINK], 2, "-o/--output"),
        ([*PATCH, "--captured", "x.json", *LINK], 2, "leave out"),
        ([*PATCH, "--captured", "/nowhere.json"], 3, "no such file"),
        ([*PATCH, "--captured", "/tmp"], 2, "--output-name"),
        ([*PATCH, "--", "make", "all"], 2, "not a linker"),
        ([*PATCH, "--", "cc", "-c", "x.c"], 2, "does not link"),
        ([*PATCH, "--", "wasm-ld", "x.o"], 1, "WebAssembly"),
        ([*PATCH, "--", "cc", "-target", "arm64-apple-ios17", "x.o"], 1, "iOS device"),
        ([*PATCH, "--", "cc", "-target", "aarch64-linux-musl", "-static", "x.o"], 1, "static executable"),
    ],
)
def test_wrong_requests_are_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    """Nobody debugs a traceback to learn that a file name was wrong."""
    assert main(["plan", *arguments]) == status
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_shell_quoting_round_trips(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument with a space or a quote must not fall apart in the shell."""
    assert main(["plan", "--shell", *PATCH, "--", "cc", "-L/a b", "-DX='y'"]) == 0
    assert shlex.split(capsys.readouterr().out)[1:3] == ["-L/a b", "-DX='y'"]
