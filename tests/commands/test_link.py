"""``link`` from outside: what it leaves behind when it is ended, and what it says of outputs that cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture import record
from stubgen.commands.link import kept_lines
from stubgen.commands.options import shared_variable_notes
from stubgen.resolve.verdicts import SharedVariable

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host, a patch object and the record of a link whose linker sleeps, in the working directory."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "host.c").write_text("int helper(void) { return 1; } int main(void) { return helper(); }\n")
    (tmp_path / "patch.c").write_text(
        "int helper(void); int changed(void) { return helper(); }\n"
        '__attribute__((visibility("hidden"))) int concealed(void) { return 2; }\n'
    )
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


def is_written(path: Path) -> bool:
    """Whether the line in the file is whole: a shell makes the file before it writes."""
    return path.exists() and path.read_text().endswith("\n")


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.parametrize(("option", "slide"), [("-static", "0"), ("-static-pie", "0x5500000000")])
def test_a_static_host_is_refused_before_its_symbols_are(option: str, slide: str, project: Path) -> None:
    """The advice for memcpy, which is an ifunc there, was to export it."""
    (project / "host.c").write_text(
        "static int one(void) { return 1; } static void *choose(void) { return one; }\n"
        'int helper(void) __attribute__((ifunc("choose"))); int main(void) { return helper(); }\n'
    )
    compiler = str(need("aarch64-linux-gnu-gcc"))
    run([compiler, option, "-fPIE", "-nostdlib", "-Wl,-emain", "host.c", "-o", "host"], cwd=project)
    record([compiler, option, "host.o", "-o", "host"], project / "static", directory=str(project))
    done = subprocess.run(
        [slide if word == "0x5500000000" else word for word in link("static", "patch.so")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{option}: the command links a static executable" in done.stderr
    assert "-rdynamic" not in done.stderr


def test_a_wrong_host_is_said_to_be_wrong(project: Path) -> None:
    """The record is looked up by the host's name: "no captured link wrote it" sends people to look there."""
    command = link("captured", "patch.so")
    command[command.index("host")] = "hots"
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, "hotpatch-stubgen: error: hots: no such file\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_link_that_is_ended_leaves_nothing(project: Path, number: signal.Signals) -> None:
    """An editor that cancels a build ends it by a signal: a folder a save, and a linker that goes on, would pile up."""
    before = set(os.listdir(project))
    process = subprocess.Popen(
        link("slow", "patch.so"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        # Shells have background jobs ignore SIGINT, and nohup has all ignore SIGHUP.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509  # there are no threads
    )
    deadline = time.monotonic() + 60
    while not is_written(project / "child.pid") and time.monotonic() < deadline:
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


def linked(project: Path, *words: str, ending: str = "") -> tuple[int, str]:
    """The exit status of a link to ``patch.so`` whose streams the shell ends so, and what it says."""
    command = [*link("captured", "patch.so", "--export", "changed"), *words]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {ending}', "sh", *command],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("listed", ["all", "others", "none"])
def test_an_answer_lists_the_verdicts_that_are_wanted(project: Path, listed: str) -> None:
    """A short answer that lost the count of what it leaves out would look like a patch that needs nothing."""
    command = link("captured", "patch.so", "--json", "--decisions", listed, "--report", "report")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    document, report = json.loads(done.stdout), json.loads((project / "report").read_text())
    wanted = {"all": lambda row: True, "others": lambda row: row["verdict"] != "trampoline", "none": lambda row: False}
    assert document["decisions"] == [row for row in report["decisions"] if wanted[listed](row)]
    assert document["verdicts"] == dict(Counter(row["verdict"] for row in report["decisions"]))
    assert report["decisions"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    ("words", "ending", "status"),
    [
        (("--report", "/dev/full"), "", 5),
        (("--override-map", "/dev/full"), "", 5),
        (("--map", "/dev/full"), "", 5),
        (("--stub", "/dev/full"), "", 5),
        ((), ">/dev/full", 5),
        (("--json",), ">/dev/full", 5),
        ((), ">&-", 5),
        (("--export", "concealed"), "", 1),
        (("--export", "nothing"), "", 2),
        (("--report", "no/report"), "", 2),
    ],
)
def test_any_other_status_means_that_nothing_was_written(
    project: Path, words: tuple[str, ...], ending: str, status: int
) -> None:
    """A watcher that goes by the exit status loads the patch from before, or none."""
    others = [
        "--report",
        "report",
        "--override-map",
        "map",
        "--map",
        "account",
        "--stub",
        "stub.o",
        "--bound-dir",
        "b/c",
    ]
    options = [word for pair in zip(others[::2], others[1::2], strict=True) if pair[0] not in words for word in pair]
    (project / "patch.so").write_text("the last one")
    before = sorted(os.listdir(project))
    done, complaint = linked(project, *options, *words, ending=ending)
    assert done == status, complaint
    assert (project / "patch.so").read_text() == "the last one"
    assert sorted(os.listdir(project)) == before
    assert linked(project, *options)[0] == 0
    assert (project / "patch.so").read_bytes().startswith(b"\x7fELF")
    assert {"report", "map", "account", "stub.o", "b"} & set(options) <= set(os.listdir(project))


@pytest.mark.parametrize("option", ["-o", "--report", "--override-map", "--map", "--stub"])
@pytest.mark.parametrize("which", ["record", "response file", "link to the record"])
def test_no_output_replaces_the_record(project: Path, option: str, which: str) -> None:
    """The record is made by a build of an hour; an output of its name would cost that build."""
    (project / "x.rsp").write_text("host.o -o host")
    compiler = str(need("aarch64-linux-gnu-gcc"))
    path = Path(record([compiler, "@x.rsp"], project / "one", directory=str(project)))
    victim = next((project / "one").glob("*.rsp")) if which == "response file" else path
    if which == "link to the record":
        victim = project / "alias"
        victim.symlink_to(path)
    before = {file: file.read_bytes() for file in (project / "one").iterdir()}
    words = [option, str(victim)] if option != "-o" else []
    command = link("one", str(victim) if option == "-o" else "patch.so", *words)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "would overwrite the input" in done.stderr
    assert {file: file.read_bytes() for file in (project / "one").iterdir()} == before


@pytest.mark.parametrize("name", ["host", "patch.o"])
@pytest.mark.parametrize("command", ["build", "link"])
def test_no_bound_copy_replaces_an_input(project: Path, command: str, name: str) -> None:
    """Whoever names the project's own folder for the copies keeps the host that runs on the device."""
    kept = project / "kept"
    kept.mkdir()
    (project / name).rename(kept / "000-patch.o")
    (project / name).symlink_to(kept / "000-patch.o")
    before = (kept / "000-patch.o").read_bytes()
    words = ["--host", "host", "--slide", "0x5500000000", "patch.o", "--bound-dir", "kept", "-o", "out"]
    words += ["--captured", "captured"] if command == "link" else []
    done = subprocess.run(
        [sys.executable, "-m", "stubgen", command, *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert "the bound copy kept/000-patch.o would overwrite the input" in done.stderr.replace(f"{project}/", "")
    assert (kept / "000-patch.o").read_bytes() == before
    assert os.listdir(kept) == ["000-patch.o"]
    assert not (project / "out").exists()


def test_a_patch_with_a_name_of_255_bytes(project: Path) -> None:
    """The longest name that a file may have is one like any other: so are the temporary ones made from it."""
    objects = "\U0001d504" * 62 + "patch.o"
    (project / "patch.o").rename(project / objects)
    output = "\U0001d504" * 62 + "host.so"
    assert len(os.fsencode(output)) == 255
    command = [*link("captured", output, "--bound-dir", "bound", "--report", "r" * 255)[:-1], objects]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert (project / output).read_bytes().startswith(b"\x7fELF")
    assert (project / ("r" * 255)).exists()
    (copy,) = os.listdir(project / "bound")
    assert copy.startswith("000-")
    assert copy.endswith(".o")


@pytest.mark.parametrize(
    ("writable", "constant", "lines"),
    [
        (["taken"], [], ["  kept as the host's: taken"]),
        (["taken"], ["LF", "typeinfo for S"], ["  kept as the host's: taken, 2 constants"]),
        ([], ["typeinfo for S"], ["  kept as the host's: 1 constant"]),
        ([], [], []),
    ],
)
def test_state_is_told_by_name_and_constants_by_number(
    writable: list[str], constant: list[str], lines: list[str]
) -> None:
    """Of one C++ file 36 names were told, all of them type information: who looks for a lost counter reads nothing."""
    kept = [SharedVariable(name, 4, name in writable, forwarded=True) for name in (*constant, *writable)]
    assert kept_lines(kept) == lines


def test_kept_variables_whose_type_nothing_tells_are_named() -> None:
    """Without ``-g`` fields that changed places were read as they lay, and nothing in these lines spoke of it."""
    kept = [SharedVariable(name, 4, True, forwarded=True, type_compared=name == "a") for name in "abcde"]
    assert kept_lines(kept) == [
        "  kept as the host's: a, b, c, d, e",
        "  of these no debug information (-g) says whether the type is still the host's: b, c, d and 1 more",
    ]


@pytest.mark.parametrize("prefix", ["", "_"], ids=["elf", "macho"])
def test_what_iostream_puts_into_each_file_starts_nothing_afresh(prefix: str) -> None:
    """``std::ios_base::Init`` is an empty class: a line about it in each patch hid the lines about state."""
    reason = "_GLOBAL__sub_I_a.cpp, which runs when the patch is loaded, may set it again"
    rows = [
        SharedVariable(f"{prefix}{name}", 8, writable=True, forwarded=False, reason_not_kept=reason)
        for name in ("_ZStL8__ioinit", "_ZStL8__ioinits", "_ZL4seen")
    ]
    (note,) = shared_variable_notes(rows)
    assert note.startswith(f"note: each of {prefix}_ZStL8__ioinits, {prefix}_ZL4seen: ")
