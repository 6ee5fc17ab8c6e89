"""``link`` from outside: what it leaves behind when it is ended, and what it says of outputs that cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture import record

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host, a patch object and the record of a link whose linker sleeps, in the working directory."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "host.c").write_text("int helper(void) { return 1; } int main(void) { return helper(); }\n")
    (tmp_path / "patch.c").write_text("int helper(void); int changed(void) { return helper(); }\n")
    run([compiler, "-fPIE", "-pie", tmp_path / "host.c", "-o", tmp_path / "host"])
    run([compiler, "-fPIC", "-c", tmp_path / "patch.c", "-o", tmp_path / "patch.o"])
    slow = tmp_path / "gcc"
    slow.write_text("#!/bin/sh\necho $$ > linker.pid\nsleep 300 &\necho $! > child.pid\nwait\n")
    slow.chmod(0o755)
    record([str(slow), "host.o", "-o", "host"], tmp_path / "slow", directory=str(tmp_path))
    record([compiler, "host.o", "-o", "host"], tmp_path / "captured", directory=str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def link(captured: str, output: str, *options: str) -> list[str]:
    """The command."""
    inputs = ["--host", "host", "--slide", "0x5500000000", "--captured", captured, "-o", output, "patch.o"]
    return [sys.executable, "-m", "stubgen", "link", *options, *inputs]


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_link_that_is_ended_leaves_nothing(project: Path, number: signal.Signals) -> None:
    """An editor that cancels a build ends it by a signal: a folder a save, and a linker that goes on, would pile up."""
    before = set(os.listdir(project))
    process = subprocess.Popen(
        link("slow", "patch.so"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        # Shells have background jobs ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # there are no threads
    )
    deadline = time.monotonic() + 60
    while not (project / "child.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    pids = [int((project / name).read_text()) for name in ("linker.pid", "child.pid")]
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert complaint == b""
    deadline = time.monotonic() + 60
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(map(gone, pids))
    assert set(os.listdir(project)) - before == {"linker.pid", "child.pid"}


def test_a_signal_that_the_parent_ignored_stays_ignored(project: Path) -> None:
    """``nohup`` is for links that are to outlive the terminal; the link took SIGHUP back, and ended by it."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    (project / "gcc").write_text(f'#!/bin/sh\n[ "$1" = -fPIE ] && kill -HUP $PPID\nsleep 0.2\nexec {compiler} "$@"\n')
    record([str(project / "gcc"), "-fPIE", "host.o", "-o", "host"], project / "nohup", directory=str(project))
    done = subprocess.run(
        link("nohup", "patch.so"),
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (project / "patch.so").exists()


@pytest.mark.parametrize(
    ("output", "status", "complaint"),
    [("", 2, "-o is empty; name a file to write"), ("/dev/full", 5, "cannot be written: No space left on device")],
)
def test_an_output_that_cannot_be(project: Path, output: str, status: int, complaint: str) -> None:
    """One sentence and a document, and no traceback that reads like a bug."""
    done = subprocess.run(
        link("captured", output, "--json"),
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == status
    assert complaint in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr
