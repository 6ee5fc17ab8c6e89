"""What is told of a link names the user's files, none of a folder that is gone; what is kept can be linked again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tools import need, run, zig

from stubgen.capture import record

HOST = "int price(void) { return 1; } int main(void) { return price(); }\n"
ONE = "int price(void); int total(void) { return 2 * price(); }\n"
OTHER = "int total(void) { return 3; }\n"

COMPILERS = {
    "elf": lambda: [str(need("aarch64-linux-gnu-gcc"))],
    "macho": lambda: [*zig(), "cc", "-target", "aarch64-macos"],
}


@pytest.fixture(params=list(COMPILERS))
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program, the record of its link, and objects of which two define the same."""
    compiler = COMPILERS[request.param]()
    monkeypatch.chdir(tmp_path)
    for name, text in {"host": HOST, "one": ONE, "other": OTHER}.items():
        Path(f"{name}.c").write_text(text)
        run([*compiler, "-g", "-fPIC", "-c", f"{name}.c", "-o", f"{name}.o"])
    words = [*compiler, "host.o", "-o", "host"]
    run(words)
    record(words, tmp_path / "captured", directory=str(tmp_path))
    return tmp_path


def link(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``link`` on the objects and options *words*."""
    fixed = ["link", "--host", "host", "--captured", "captured", "--slide", "0x5500000000", "-o", "patch.out"]
    return subprocess.run(
        [sys.executable, "-m", "stubgen", *fixed, *words], check=False, capture_output=True, text=True
    )


def test_no_temporary_name_is_told(project: Path) -> None:
    """Whoever looks for /tmp/.patch.so.x8a7/bound/001-one.o finds nothing there."""
    outputs = ["--report", "report", "--map", "map", "--override-map", "overrides"]
    done = link("one.o", "--json", *outputs)
    assert done.returncode == 0, done.stderr
    explained = link("one.o", "--explain", "--report", "page.html")
    assert explained.returncode == 0, explained.stderr
    failed = link("one.o", "other.o")
    assert failed.returncode == 4
    said = [
        done.stdout,
        done.stderr,
        failed.stderr,
        explained.stdout,
        Path("page.html").read_text(),
        *(Path(name).read_text() for name in outputs[1::2]),
    ]
    assert not [text for text in said if ".patch.out." in text or "001-" in text or "000-" in text]
    assert {"stub.o", "one.o", "patch.out"} <= set(json.loads(done.stdout)["link_command"])
    assert "--keep-temps keeps what it read" in failed.stderr
    assert not list(project.glob(".patch*")) + list(project.glob("*.temps"))


def test_names_of_what_is_kept(project: Path) -> None:
    """Who keeps stub object and copies wants the command that links those."""
    done = link("one.o", "--json", "--stub", "kept.o", "--bound-dir", "copies")
    command = json.loads(done.stdout)["link_command"]
    assert "kept.o" in command
    assert all(Path(word).is_file() for word in command if word.endswith(".o"))


def test_a_failed_link_can_be_repeated(project: Path) -> None:
    """A linker's error is understood by trying: with other options, a verbose linker, another order."""
    failed = link("one.o", "other.o", "--keep-temps")
    (line,) = (line for line in failed.stderr.splitlines() if "to repeat it: " in line)
    again = subprocess.run(line.partition("repeat it: ")[2], shell=True, check=False, capture_output=True, text=True)
    assert again.returncode != 0
    duplicate = "multiple definition" if "multiple definition" in failed.stderr else "duplicate symbol"
    assert duplicate in again.stderr
    assert not Path("patch.out").exists()
    assert link("one.o", "--keep-temps").returncode == 0
    assert sorted(path.name for path in Path("patch.out.temps/bound").iterdir()) == ["000-one.o"]


def test_another_folder_of_that_name_stays(project: Path) -> None:
    """Only what an earlier link kept is replaced."""
    Path("patch.out.temps").mkdir()
    Path("patch.out.temps/mine").write_text("mine")
    done = link("one.o", "--keep-temps")
    assert (done.returncode, Path("patch.out.temps/mine").read_text()) == (2, "mine")
    assert "is not what an earlier link kept" in done.stderr
