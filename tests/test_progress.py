"""What people see of a command while it runs, and afterwards: phases with their times, a line on the terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined
from tools import need, run

from stubgen import progress
from stubgen.capture import record
from stubgen.cli import main
from stubgen.common.phases import listen, phase, unlisten

BUILD = ["build", "--host", "host", "--slide", "0", "patch.o", "-o", "stub.o"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host and a patch in the working directory."""
    put(tmp_path, "host", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140)]))
    put(tmp_path, "patch.o", elf_object([undefined("f")]))
    put(tmp_path, "wrong.o", elf_object([undefined("nowhere")]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def phases(text: str) -> list[str]:
    """The names in the table of times."""
    return re.findall(r"^hotpatch-stubgen: +[\d.]+ ms  (.*)$", text, re.MULTILINE)


def test_verbose_has_each_phase(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who waits on every save wants to know for what."""
    assert main([*BUILD, "--verbose"]) == 0
    out, err = capsys.readouterr()
    told = phases(err)
    assert told[0] == "starts"
    assert told[-1] == "in all"
    assert {"opens the host", "judges each symbol", "writes the stubs", "reads the stubs back"} <= set(told)
    assert "1 stub" in out


def test_verbose_of_a_refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The times go before the sentence that matters, and the answer stays no."""
    assert main([*BUILD, "wrong.o", "--verbose"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("hotpatch-stubgen:   a library")


@pytest.mark.parametrize(("more", "status", "said"), [([], 0, ""), (["wrong.o"], 1, "cannot be stubbed")])
def test_quiet(folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], status: int, said: str) -> None:
    """A builder's log has what went wrong, and nothing else."""
    assert main([*BUILD, *more, "--quiet"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert bool(err) is bool(said)


def test_listeners_go(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next command in the same process is not told of this one's phases."""
    told: list[str] = []
    listen(told.append)
    main([*BUILD, "--verbose"])
    unlisten(told.append)
    heard = len(told)
    phase("something else")
    assert heard == len(told) > 4
    assert phases(capsys.readouterr().err)


def on_a_terminal(command: list[str]) -> str:
    """What *command* prints on a terminal, both streams."""
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower):
        os.close(follower)
        text = b""
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # Linux says so when the last writer is gone
                break
            if not part:
                break
            text += part
    os.close(leader)
    return text.decode()


def test_a_line_for_who_waits(folder: Path) -> None:
    """A linker that takes its time looks like a tool that hangs."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    Path("app.c").write_text("int f(void) { return 1; } int main(void) { return f(); }\n")
    Path("one.c").write_text("int f(void); int g(void) { return f(); }\n")
    run([compiler, "app.c", "-o", "app"])
    run([compiler, "-fPIC", "-c", "one.c"])
    slow = Path("gcc")
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = app.o ] || sleep {progress.PATIENCE + 3 * progress.EVERY}\nexec {compiler} "$@"\n'
    )
    slow.chmod(0o755)
    record([str(slow.resolve()), "-o", "app"], "captured", directory=str(folder))
    fixed = ["--host", "app", "--captured", "captured", "--slide", "0", "one.o", "-o", "patch.so"]
    text = on_a_terminal([sys.executable, "-m", "stubgen", "link", *fixed])
    assert "\rlink runs the linker (" in text
    assert re.search(r"\r +\r.*patch\.so: \d+ bytes", text, re.DOTALL)
    assert "\rlink" not in on_a_terminal([sys.executable, "-m", "stubgen", "link", "--quiet", *fixed])
