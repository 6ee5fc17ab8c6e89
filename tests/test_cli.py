"""The command line as a program: what it prints where, its exit statuses, and what it imports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined

from stubgen import __all__ as public_names
from stubgen.commands import COMMANDS

ROOT = Path(__file__).parent.parent
HOST = elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140)])


def stubgen(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m stubgen`` as a child process, as builders do."""
    command = [sys.executable, "-m", "stubgen", *words]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "STUBGEN_CACHE_DIR": ""}
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env=environment,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a host and a patch."""
    put(tmp_path, "host", HOST)
    put(tmp_path, "patch.o", elf_object([undefined("f")]))
    return tmp_path


BUILD = ["build", "--host", "host", "--aslr-reference", str(0x5500000000 + BASE + 0x100), "patch.o", "-o", "stub.o"]


def test_build_verify_inspect(files: Path) -> None:
    """The three commands of a first look, and what each tells a person."""
    built = stubgen(*BUILD, cwd=files)
    assert (built.returncode, built.stderr) == (0, "")
    assert "stub.o: 1 stub," in built.stdout
    assert "slide 0x5500000000 (main: 0x10100 -> 0x5500010100)" in built.stdout
    verified = stubgen("verify", "stub.o", cwd=files)
    assert (verified.returncode, verified.stdout) == (0, "stub.o: sound; 1 stub decoded\n")
    inspected = stubgen("inspect", "stub.o", cwd=files)
    assert inspected.returncode == 0
    assert ["0x0", "->", "0x5500010140", "f"] in [line.split() for line in inspected.stdout.splitlines()]


def test_inspect_filters_by_name(files: Path) -> None:
    """In a patch of a thousand stubs one looks for one; finding none is status 1."""
    assert stubgen(*BUILD, cwd=files).returncode == 0
    assert stubgen("inspect", "stub.o", "--symbol", "f*", cwd=files).returncode == 0
    none = stubgen("inspect", "stub.o", "--symbol", "g*", cwd=files)
    assert (none.returncode, none.stdout) == (1, "")
    assert "has no symbol, stub or slot called 'g*'" in none.stderr


JSON = {
    "build": (BUILD, 0, {"stubs": 1, "slide": 0x5500000000, "anchor": "main", "format": "elf", "bti": False}),
    "verify": (["verify", "stub.o"], 0, {"stubs": 1}),
    "inspect": (["inspect", "stub.o"], 0, {"role": "object", "format": "elf"}),
    "check": (["check", "stub.o", "--host", "host"], 3, {}),
    "usage": (["build"], 2, {}),
}


@pytest.mark.parametrize(("words", "status", "fields"), JSON.values(), ids=list(JSON))
def test_json_is_one_document(files: Path, words: list[str], status: int, fields: dict[str, object]) -> None:
    """Builders parse standard output: one document with a schema number, and nothing else, whatever happens."""
    assert stubgen(*BUILD, cwd=files).returncode == 0
    done = stubgen(*words, "--json", cwd=files)
    document = json.loads(done.stdout)
    assert done.returncode == document["status"] == status
    assert (document["schema"], document["command"]) == (1, words[0])
    assert {key: document[key] for key in fields} == fields
    assert ("error" in document) is (status != 0)


def test_report_has_every_verdict(files: Path) -> None:
    """``--report`` is what an engineer reads after a patch misbehaved."""
    put(files, "patch.o", elf_object([undefined("f"), undefined("gone")]))
    done = stubgen(*BUILD, "--allow-missing", "--report", "report.json", cwd=files)
    assert done.returncode == 0
    verdicts = {d["name"]: d["verdict"] for d in json.loads((files / "report.json").read_text())["decisions"]}
    assert verdicts == {"f": "trampoline", "gone": "missing"}


def test_no_report_of_a_no(files: Path) -> None:
    """Any status but 0 means that nothing was written: the report of the patch before stays. ``--json`` has it all."""
    put(files, "patch.o", elf_object([undefined("f"), undefined("gone")]))
    (files / "report.json").write_text("before")
    before = sorted(path.name for path in files.iterdir())
    done = stubgen(*BUILD, "--report", "report.json", "--json", cwd=files)
    assert done.returncode == 1
    assert (files / "report.json").read_text() == "before"
    assert sorted(path.name for path in files.iterdir()) == before
    verdicts = {d["name"]: d["verdict"] for d in json.loads(done.stdout)["decisions"]}
    assert verdicts == {"f": "trampoline", "gone": "missing"}


def test_allow_missing_says_what_it_left(files: Path) -> None:
    """What is allowed to be missing is still named."""
    put(files, "patch.o", elf_object([undefined("f"), undefined("gone")]))
    done = stubgen(*BUILD, "--allow-missing", cwd=files)
    assert done.returncode == 0
    assert "gone: missing" in done.stderr
    assert "1 missing" in done.stdout


def test_stdout_as_output_file(files: Path) -> None:
    """``-o /dev/stdout`` into a pipe is a device, not a file to be replaced."""
    done = subprocess.run(
        [sys.executable, "-m", "stubgen", *BUILD[:-1], "/dev/stdout"],
        check=True,
        capture_output=True,
        cwd=files,
        env={"PYTHONPATH": str(Path(__file__).parent.parent), "STUBGEN_CACHE_DIR": ""},
    )
    assert done.stdout.startswith(b"\x7fELF")


def test_help_lists_every_command() -> None:
    """Nobody finds a command that ``--help`` hides."""
    text = stubgen("--help").stdout
    for name in COMMANDS:
        assert name in text
        assert stubgen(name, "--help").returncode == 0


@pytest.mark.parametrize(
    "module", ["stubgen.plain_parsing", "gc", "struct", "json", "stubgen.commands", "stubgen.build"]
)
def test_an_interrupt_during_imports_says_nothing(files: Path, module: str) -> None:
    """Whoever thinks better of it right after Enter got a traceback through somebody else's library."""
    trap = (
        "import os, runpy, signal, sys\n"
        "class Trap:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.modules.pop({module!r}, None)\n"
        "sys.meta_path.insert(0, Trap())\n"
        "runpy.run_module('stubgen', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", trap, *BUILD, "--json"],
        check=False,
        capture_output=True,
        cwd=files,
        env={"PYTHONPATH": str(ROOT), "STUBGEN_CACHE_DIR": "", "PATH": ""},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_public_names_exist() -> None:
    """A name in ``__all__`` that fails on first use would break callers, not us."""
    import stubgen

    for name in public_names:
        assert getattr(stubgen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = stubgen.nonsense
