"""Recording: the capture executable stands in front of a linker in other people's builds."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import macho_host
from tools import need, run

from stubgen import capture
from stubgen.capture import Capture, links, newest_capture, output_of, read_captures, record
from stubgen.capture.json_text import json_text
from stubgen.capture.links import begin_record, complete
from stubgen.common.code_digest import OPENSSL_PAYS, code_digest
from stubgen.errors import MalformedInput, UnreadableInput

ROOT = Path(__file__).parent.parent


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """The capture executable, as pip would install it."""
    path = tmp_path / "bin" / "hotpatch-stubgen-linker"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from stubgen.capture import linker_main\nlinker_main()\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def fake_linker(tmp_path: Path) -> Path:
    """A linker that prints its arguments, writes its output and ends as its environment says."""
    path = tmp_path / "fake-ld"
    path.write_text('#!/bin/sh\necho "linking $*"\necho "a warning" >&2\ncat > /dev/null\nexit "${FAKE_STATUS:-0}"\n')
    path.chmod(0o755)
    return path


def link(
    shim: Path, real: str | Path, folder: Path | None, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the capture executable in front of *real*."""
    variables = {**os.environ, "STUBGEN_REAL_LINKER": str(real), **environment}
    variables.pop("STUBGEN_CAPTURE_DIR", None)
    if folder is not None:
        variables["STUBGEN_CAPTURE_DIR"] = str(folder)
    return subprocess.run(
        [shim, *arguments], env=variables, cwd=cwd, check=False, capture_output=True, text=True, input="", timeout=60
    )


def test_a_link_is_recorded_and_done(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """The build must not notice: same output, same messages, and a record beside it."""
    done = link(shim, fake_linker, tmp_path / "records", "-o", "app", "a b.o", "-lm", cwd=tmp_path, SDKROOT="/sdk")
    assert (done.returncode, done.stdout, done.stderr) == (0, "linking -o app a b.o -lm\n", "a warning\n")
    (capture,) = read_captures(tmp_path / "records")
    assert capture.argv == [str(fake_linker), "-o", "app", "a b.o", "-lm"]
    assert capture.directory == tmp_path
    assert capture.output == "app"
    assert capture.environment["SDKROOT"] == "/sdk"
    assert capture.environment["PATH"] == os.environ["PATH"]
    assert capture.time > 1_500_000_000


def test_a_failing_link_fails_with_its_own_status(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """A build system that retries or reports by status must see the linker's, and the command stays on record."""
    done = link(shim, fake_linker, tmp_path / "records", "-o", "app", FAKE_STATUS="37")
    assert done.returncode == 37
    assert len(read_captures(tmp_path / "records")) == 1


def test_response_files_outlive_the_link(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """CMake and rustc delete their response files right after the link; the plan comes later."""
    (tmp_path / "inner.rsp").write_text("-lm")
    response = tmp_path / "objects.rsp"
    response.write_text("'a b.o' @inner.rsp -o hidden/app")
    link(shim, fake_linker, tmp_path / "records", "@objects.rsp", cwd=tmp_path)
    response.unlink()
    capture = newest_capture(tmp_path / "records", "app")
    assert capture.output == "hidden/app"
    assert capture.response_files["objects.rsp"].read_text() == "'a b.o' @inner.rsp -o hidden/app"
    assert capture.response_files["inner.rsp"].read_text() == "-lm"


def test_many_links_at_once_leave_one_record_each(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """``make -j`` links in parallel; a clash of names would lose one command."""
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(link, shim, fake_linker, tmp_path / "records", "-o", f"out/app{n % 3}") for n in range(12)]
    assert [run.result().returncode for run in runs] == [0] * 12
    assert len(read_captures(tmp_path / "records")) == 12
    assert not list((tmp_path / "records").glob("*.tmp"))


@pytest.mark.parametrize("folder", ["file", "unset", "proc"])
def test_a_record_that_cannot_be_written_does_not_stop_the_build(
    shim: Path, fake_linker: Path, tmp_path: Path, folder: str
) -> None:
    """A full disk or a read-only folder on a build machine must cost a warning, not the build."""
    (tmp_path / "file").write_text("not a folder")
    folders = {"file": tmp_path / "file" / "records", "unset": None, "proc": Path("/proc/nowhere")}
    done = link(shim, fake_linker, folders[folder], "-o", "app")
    assert done.returncode == 0
    assert "linking -o app" in done.stdout
    assert "warning: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_real_linker_is_found_through_path(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """``STUBGEN_REAL_LINKER=cc`` is what people write."""
    path = f"{fake_linker.parent}{os.pathsep}{os.environ['PATH']}"
    done = link(shim, "fake-ld", tmp_path / "records", "-o", "app", PATH=path)
    assert done.stdout == "linking -o app\n"


def test_the_real_linker_may_be_a_command(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """``zig cc -target T`` is no single program."""
    done = link(shim, f"{fake_linker} -target 'a b'", tmp_path / "records", "-o", "app")
    assert done.stdout == "linking -target a b -o app\n"
    assert read_captures(tmp_path / "records")[0].argv[1:3] == ["-target", "a b"]


def run_in_shell(shim: Path, folder: Path, real: str, ending: str, records: str = "records") -> tuple[int, str]:
    """The shim's exit status behind what the shell makes of its streams, and whether the linker ran."""
    script = f'"{shim}" -o app {ending}\necho $? > status\n'
    environment = {**os.environ, "STUBGEN_REAL_LINKER": real, "STUBGEN_CAPTURE_DIR": str(folder / records)}
    subprocess.run(["sh", "-c", script], check=True, cwd=folder, env=environment, timeout=60)
    return int((folder / "status").read_text()), (folder / "ran").read_text() if (folder / "ran").exists() else ""


@pytest.mark.parametrize("ending", [">&-", "2>&-", ">&- 2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full", ">/dev/full"])
@pytest.mark.parametrize("records", ["records", "file/below"])
def test_no_stream_that_is_closed_or_full_breaks_a_build(shim: Path, tmp_path: Path, ending: str, records: str) -> None:
    """Build systems close streams, and disks are full: the linker was not run, and the build broke for a record."""
    (tmp_path / "file").write_text("")
    linker = tmp_path / "fake-ld"
    linker.write_text(f"#!/bin/sh\necho yes > {tmp_path}/ran\nexit 7\n")
    linker.chmod(0o755)
    assert run_in_shell(shim, tmp_path, str(linker), ending, records) == (7, "yes\n")
    assert len(list((tmp_path / "records").glob("*"))) == (records == "records")


@pytest.mark.parametrize(
    ("real", "words"),
    [
        ("   ", "set STUBGEN_REAL_LINKER"),
        ("'/opt/a b/cc -x", 'STUBGEN_REAL_LINKER is "\'/opt/a b/cc -x", which is no command: no closing quotation'),
        ('cc "', "no closing quotation"),
    ],
)
def test_a_real_linker_that_is_no_command_is_one_sentence(shim: Path, tmp_path: Path, real: str, words: str) -> None:
    """A quote that somebody forgot to close is said so; a traceback reads like a bug."""
    done = link(shim, real, tmp_path, "-o", "app")
    assert done.returncode == 4
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGXFSZ], ids=lambda n: n.name)
def test_the_linker_has_the_signals_that_python_ignores(shim: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A linker whose reader is gone went on for ever, because Python ignores SIGPIPE and exec keeps that."""
    linker = tmp_path / "fake-ld"
    linker.write_text(f"#!/bin/sh\nkill -{number.value} $$\nexit 0\n")
    linker.chmod(0o755)
    assert link(shim, linker, tmp_path / "records", "-o", "app").returncode == -number


@pytest.mark.parametrize("while_", ["the record is written", "the linker is looked for"])
def test_an_interrupt_before_the_link_says_nothing(tmp_path: Path, while_: str) -> None:
    """Ctrl-C ends a build; a traceback for each link of it, and half a record, are nobody's wish."""
    written = while_ == "the record is written"
    module, function = ("records", "write_record") if written else ("process", "find_program")
    code = (
        f"import os, signal, stubgen.capture, stubgen.capture.{module} as c\n"
        f"right = c.{function}\n"
        f"def interrupted(*words):\n"
        f"  open({str(tmp_path / 'x')!r}, 'w'); os.kill(os.getpid(), signal.SIGINT); c.os.getpid()\n"
        f"  return right(*words)\n"
        f"c.{function} = interrupted\n"
        "stubgen.capture.linker_main(['-o', 'app', '@objects.rsp'])\n"
    )
    (tmp_path / "objects.rsp").write_text("x.o")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STUBGEN_REAL_LINKER": "true",
            "STUBGEN_CAPTURE_DIR": str(tmp_path / "records"),
        },
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
    assert (tmp_path / "x").exists()
    left = sorted(path.suffix for path in (tmp_path / "records").iterdir())
    assert left == [".json", ".rsp"], "a record that was begun is whole before the signal comes"


def test_a_record_that_fails_leaves_nothing(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """Half a record, or copies that no record names, would lie there for ever."""
    (tmp_path / "one.rsp").write_text("-o app")
    (tmp_path / "two.rsp").write_text("x.o")
    (tmp_path / "two.rsp").chmod(0)
    if os.geteuid() == 0:  # who may read everything
        (tmp_path / "two.rsp").unlink()
        (tmp_path / "two.rsp").symlink_to("/proc/self/mem")
    done = link(shim, fake_linker, tmp_path / "records", "@one.rsp", "@two.rsp", cwd=tmp_path)
    assert done.returncode == 0
    assert "this link is not recorded" in done.stderr
    assert not list((tmp_path / "records").iterdir())


@pytest.mark.parametrize("each", [2, 1])
def test_response_files_without_end_do_not_stop_the_build(
    shim: Path, fake_linker: Path, tmp_path: Path, each: int
) -> None:
    """Such a command fails in the linker, in its own words, and not in front of it for want of memory."""
    for number in range(2_500 if each == 1 else 60):
        (tmp_path / f"r{number}").write_text(f"@r{number + 1}\n" * each)
    done = link(shim, fake_linker, tmp_path / "records", "@r0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "linking @r0\n")


def test_old_records_of_an_output_go(tmp_path: Path) -> None:
    """A program that is linked on every save left a record each time, with its response files, for years."""
    (tmp_path / "x.rsp").write_text("x.o")
    folder = tmp_path / "records"
    others = [
        Path(record(["cc", "-o", name, "x.o"], folder, directory=where))
        for name, where in (("app", "/other"), ("application", str(tmp_path)), ("app.c", str(tmp_path)))
    ]
    foreign = [folder / name for name in ("app.link.json", "app.0.0.link.json", "app.rsp", "app.x.y.link.json")]
    for path in foreign:
        path.write_text("mine")
    argv = ["cc", "-o", "app", "@x.rsp"]
    paths = [Path(record(argv, folder, directory=str(tmp_path))) for _ in range(capture.KEPT + 5)]
    assert [path.exists() for path in paths] == [False] * 5 + [True] * capture.KEPT
    assert len(list(folder.glob("*.0.rsp"))) == capture.KEPT
    assert all(path.exists() for path in (*others, *foreign))
    assert len(list(folder.iterdir())) == 2 * capture.KEPT + len(others) + len(foreign)


def test_an_output_with_a_name_of_255_bytes_is_recorded(tmp_path: Path) -> None:
    """The longest name that a file may have, in letters of four bytes."""
    name = "\U0001d504" * 63 + "app"
    assert len(os.fsencode(name)) == 255
    record(["cc", "-o", name, "x.o"], tmp_path)
    assert newest_capture(tmp_path, name).output == name


def test_compiling_leaves_no_record(shim: Path, fake_linker: Path, tmp_path: Path) -> None:
    """As ``CC`` it compiles a thousand files for each link; their commands would bury the one that counts."""
    cc = fake_linker.rename(tmp_path / "cc")
    done = link(shim, cc, tmp_path / "records", "-c", "x.c", "-o", "x.o")
    assert done.stdout == "linking -c x.c -o x.o\n"
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["gcc", "x.c", "-o", "x"], True),
        (["zig", "cc", "-E", "x.c"], False),
        (["clang-19", "-print-search-dirs"], False),
        (["cc", "--version"], False),
        (["cc"], False),
        (["aarch64-linux-gnu-ld", "-E", "-S", "-M", "x.o"], True),
        (["/usr/bin/ld64.lld-19", "-S", "x.o"], True),
        (["mold", "-M", "x.o"], True),
        (["rust-lld", "-flavor", "gnu", "-S"], True),
    ],
)
def test_which_commands_link(argv: list[str], answer: bool) -> None:
    """``-S`` is "to assembly" for a compiler and "strip" for a linker."""
    assert links(argv) is answer


@pytest.mark.parametrize("route", ["itself", "symlink", "script"])
def test_a_real_linker_that_leads_back_is_refused(shim: Path, tmp_path: Path, route: str) -> None:
    """Two variables that name each other would start processes until the machine stops."""
    symlink = tmp_path / "cc"
    symlink.symlink_to(shim)
    script = tmp_path / "wrapper"
    script.write_text(f'#!/bin/sh\nexec "{shim}" "$@"\n')
    script.chmod(0o755)
    real = {"itself": shim, "symlink": symlink, "script": script}[route]
    done = link(shim, real, tmp_path / "records", "-o", "app")
    assert done.returncode == 4
    assert "leads back to this capture executable" in done.stderr


@pytest.mark.parametrize(("real", "words"), [("", "set STUBGEN_REAL_LINKER"), ("/no/such/ld", "no such linker")])
def test_a_missing_real_linker_is_one_sentence(shim: Path, tmp_path: Path, real: str, words: str) -> None:
    """A half-configured build must say what to set, not print a traceback."""
    done = link(shim, real, tmp_path, "-o", "app")
    assert done.returncode == 4
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (["cc", "-o", "a", "x.o"], "a"),
        (["ld", "--output=a"], "a"),
        (["ld", "--output", "a"], "a"),
        (["cc", "-Wl,-o,a"], "a"),
        (["link.exe", "/OUT:a.dll"], "a.dll"),
        (["cc", "-o", "a", "-o", "b"], "b"),
        (["cc", "x.o"], ""),
        (["cc", "x.o", "-o"], ""),
        (["cc", "x.o", "-oa"], "a"),
        (["aarch64-linux-gnu-ld", "-oa", "x.o"], "a"),
        (["cc", "-object", "x.o"], ""),
        (["cc", "-Wl,-order_file,list", "x.o"], ""),
        (["cc", "-o", "a", "-object"], "a"),
        (["ld64.lld", "-arch", "arm64", "-order_file", "list", "-oa"], ""),
        (["clang", "-target", "arm64-apple-macos", "-object_path_lto", "x", "-oa"], "a"),
        (["mytool", "-oa"], ""),
    ],
)
def test_output_names(argv: list[str], output: str) -> None:
    """A record is found again by its output."""
    assert output_of(argv) == output


def save(folder: Path, *outputs: str) -> None:
    """Record one link for every output, in order."""
    for output in outputs:
        record(["cc", "-o", output, "x.o"], folder)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("app", "out/app"),
        ("out/app", "out/app"),
        ("libx.so", "b/libx.so"),
        ("a/libx.so", "a/libx.so"),
        ("tool", "deps/tool-0123456789abcdef"),
        ("libplug.so", "deps/libplug-fedcba9876543210.so"),
    ],
)
def test_the_newest_record_of_an_output_is_found(tmp_path: Path, wanted: str, found: str) -> None:
    """A build links many things many times; cargo links under a hashed name."""
    save(tmp_path, "out/app", "a/libx.so", "out/app", "b/libx.so", "xapp", "deps/tool-0123456789abcdef")
    save(tmp_path, "deps/libplug-fedcba9876543210.so", "deps/tool-not16hexdigits")
    capture = newest_capture(tmp_path, wanted)
    assert capture.output == found
    same = [other.time for other in read_captures(tmp_path) if other.output == found]
    assert capture.time == max(same)


def test_an_unknown_output_names_the_known_ones(tmp_path: Path) -> None:
    """A typo in ``--output-name`` must show what there is."""
    save(tmp_path, "out/app")
    with pytest.raises(UnreadableInput, match="wrote ap; those that were captured wrote app"):
        newest_capture(tmp_path, "ap")
    with pytest.raises(UnreadableInput, match="no such folder"):
        newest_capture(tmp_path / "none", "app")


def test_the_record_of_a_failed_link_gives_way(tmp_path: Path) -> None:
    """A typo that stopped the newest build's link must not decide how patches are linked."""
    (tmp_path / "app").write_text("linked")
    record(["cc", "-o", "app", "good.o"], tmp_path / "records", directory=str(tmp_path))
    record(["cc", "-o", "gone/app", "bad.o"], tmp_path / "records", directory=str(tmp_path))
    assert newest_capture(tmp_path / "records", "app").argv[-1] == "good.o"
    (tmp_path / "app").unlink()  # moved away by an installer: then the newest is the best guess
    assert newest_capture(tmp_path / "records", "app").argv[-1] == "bad.o"


SOUND: dict[str, object] = {
    "schema": 1,
    "argv": ["cc", "-o", "app"],
    "directory": "/",
    "environment": {"HOME": "/"},
    "time": 1,
    "output": "app",
    "response_files": {},
}
BROKEN: dict[str, dict[str, object]] = {
    "time is infinite": {"time": float("inf")},
    "time is no number": {"time": float("nan")},
    "time has 401 digits": {"time": 10**400},
    "time is beyond the calendar": {"time": 1e300},
    "time is before it": {"time": -1e300},
    "time is a text": {"time": "1"},
    "folder with NUL": {"directory": "/\0"},
    "argument with NUL": {"argv": ["c\0c"]},
    "argument that no system takes": {"argv": ["\ud800"]},
    "value with NUL": {"environment": {"HOME": "a\0"}},
    "variable with NUL": {"environment": {"H\0": "a"}},
    "variable with equals": {"environment": {"A=B": "a"}},
    "variable without a name": {"environment": {"": "a"}},
    "schema is a text": {"schema": "1"},
    "no schema": {"schema": None},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=list(BROKEN))
def test_a_record_that_cannot_be_run_is_malformed(tmp_path: Path, change: dict[str, object]) -> None:
    """What no process or calendar takes is one sentence now, not a traceback when the link starts or a list prints."""
    path = tmp_path / "x.link.json"
    path.write_text(json.dumps(SOUND))
    assert Capture.load(path).output == "app"
    path.write_text(json.dumps({**SOUND, **change}))
    with pytest.raises(MalformedInput, match="not a captured link"):
        Capture.load(path)


def test_another_users_record_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record says which program ``link`` runs: in a shared folder, somebody else's would run theirs."""
    path = record(["cc", "-o", "app", "a.o"], tmp_path)
    owner = os.geteuid()
    os.chmod(path, 0o666)
    with pytest.raises(UnreadableInput, match=r"anybody may write this record.*chmod o-w"):
        Capture.load(path)
    os.chmod(path, 0o664)
    assert Capture.load(path).output == "app"
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        with pytest.raises(UnreadableInput, match=r"is another user's record.*capture the link yourself"):
            Capture.load(path)
        with pytest.raises(UnreadableInput, match="is another user's record"):
            newest_capture(tmp_path, "app")


if os.geteuid() == 0:  # nobody else can give files away; with a skip, CI could not run these tests as an ordinary user

    def test_a_record_that_was_given_away_is_refused_and_roots_is_not(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What root captured, a user may link: root could have replaced this very program."""
        path = record(["cc", "-o", "app", "a.o"], tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 1000)
            assert Capture.load(path).output == "app"
        os.chown(path, 65534, 65534)
        with pytest.raises(UnreadableInput, match=r"is another user's record.*capture the link yourself"):
            newest_capture(tmp_path, "app")
        assert read_captures(tmp_path) == []


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "GCC_COMPARE_DEBUG", "PYTHONPATH", "BASH_ENV"])
def test_a_record_sets_no_other_variables(tmp_path: Path, name: str) -> None:
    """``LD_PRELOAD`` in a record would run a library in every program that a link starts."""
    path = tmp_path / "x.link.json"
    path.write_text(json.dumps({**SOUND, "environment": {"PATH": "/bin", name: "/tmp/x.so"}}))
    with pytest.raises(MalformedInput, match=f"sets {name}, which no capture keeps"):
        Capture.load(path)


@pytest.mark.parametrize("copy", ["/etc/passwd", "../x.rsp", "..", "below/x.rsp", "link.rsp"])
def test_response_files_stay_in_the_records_folder(tmp_path: Path, copy: str) -> None:
    """A record must not have a plan show the words of any file that its reader may read."""
    folder = tmp_path / "records"
    (folder / "below").mkdir(parents=True)
    for path in (tmp_path / "x.rsp", folder / "below" / "x.rsp"):
        path.write_text("secret")
    (folder / "link.rsp").symlink_to(tmp_path / "x.rsp")
    path = folder / "x.link.json"
    path.write_text(json.dumps({**SOUND, "response_files": {"x.rsp": copy}}))
    with pytest.raises(MalformedInput, match="is not beside it"):
        Capture.load(path)


def test_a_record_of_deep_brackets_is_malformed(tmp_path: Path) -> None:
    """JSON that nests deeper than Python follows is no reason for a traceback."""
    path = tmp_path / "x.link.json"
    path.write_text("[" * 200_000)
    with pytest.raises(MalformedInput, match="not a captured link"):
        Capture.load(path)


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    """A field that changed its meaning, read the old way, would link something else than the build did."""
    path = tmp_path / "x.link.json"
    path.write_text(json.dumps({**SOUND, "schema": 2}))
    with pytest.raises(MalformedInput, match="of schema 2, and this version reads schema 1: capture the link again"):
        Capture.load(path)
    assert read_captures(tmp_path) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"argv": 1}', "\xff", '{"argv": ["cc"], "directory": 3}'])
def test_a_broken_record_is_malformed(tmp_path: Path, content: str) -> None:
    """A record cut off by a crash must end in one sentence."""
    path = tmp_path / "x.link.json"
    path.write_text(content, "latin-1")
    with pytest.raises(MalformedInput, match="not a captured link"):
        Capture.load(path)
    assert read_captures(tmp_path) == []


def test_arguments_that_are_no_text_survive(tmp_path: Path) -> None:
    """File names on Linux are bytes; one odd name must not lose a whole command."""
    odd = os.fsdecode(b"caf\xe9.o")
    path = record(["cc", "-o", "app", odd], tmp_path)
    assert Capture.load(path).argv[3] == odd
    assert json.loads(Path(path).read_text())["schema"] == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_records_are_written_as_json_writes(value: object) -> None:
    """A record that ``json`` reads as something else is a link of something else."""
    assert json_text(value) == json.dumps(value, indent=1)


def test_what_is_no_json_is_refused() -> None:
    """A record with Python's words in it is one that nothing reads again."""
    with pytest.raises(TypeError, match="Path is no JSON value"):
        json_text(Path())


def test_a_record_that_later_links_pushed_out_stays_out(tmp_path: Path) -> None:
    """A link that takes long must not bring its record back alone, without its response files."""
    recorded = begin_record(["cc", "-o", "app"], tmp_path)
    Path(recorded.path).unlink()
    complete(recorded, 0)
    assert read_captures(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, OPENSSL_PAYS - 1, OPENSSL_PAYS, (1 << 20) + 1])
def test_both_digests_of_code_are_one(size: int) -> None:
    """A program that grew past a limit, or another Python, must not be taken for another build."""
    code = bytes(range(256)) * (size // 256 + 1)
    expected = hashlib.sha256((4096).to_bytes(8, "little") + size.to_bytes(8, "little") + code[:size]).digest()
    assert code_digest([(4096, 0, size)], lambda offset, count: code[offset : offset + count]) == expected


EXIT_HOOK = """import os, sys
end = os._exit
def ended(status):
    open("modules", "w").write(" ".join(sys.modules))
    end(status)
os._exit = ended
"""
"""Has the executable leave the names of its modules when it ends."""

IDENTITY = {
    "nothing": ("", {"elf", "elf.identity", "macho", "macho.identity"}),
    "a Mach-O program": (
        "macho",
        {"elf", "elf.identity", "macho", "macho.identity", "common", "common.code_digest"},
    ),
    "a build id": ("--build-id=sha1", {"elf", "elf.identity"}),
    "no build id": ("--build-id=none", {"elf", "elf.identity", "common", "common.code_digest"}),
}
"""What a link writes -> how, and what reads which build that is."""


@pytest.mark.parametrize("wrote", IDENTITY)
def test_the_executable_starts_fast(shim: Path, tmp_path: Path, wrote: str) -> None:
    """It runs in front of every link of a build, so it must not load what it does not use, from start to end."""
    option, readers = IDENTITY[wrote]
    program = tmp_path / "program"
    program.write_bytes(macho_host({"_main": 4}) if option == "macho" else b"")
    if option.startswith("--"):
        compiler, source = need("aarch64-linux-gnu-gcc"), tmp_path / "x.c"
        source.write_text("void _start(void) {}\n")
        run([str(compiler), "-nostdlib", "-static", f"-Wl,{option}", "-o", str(program), str(source)])
    hooked = shim.read_text().replace("import sys\n", EXIT_HOOK, 1)
    shim.write_text(hooked.replace(sys.executable, f"{sys.executable} -IS", 1))
    real = script(tmp_path, "cp program app")
    assert link(shim, real, tmp_path / "records", "-o", "app", cwd=tmp_path).returncode == 0
    assert (read_captures(tmp_path / "records")[0].identity is None) == (not option)
    loaded = set((tmp_path / "modules").read_text().split())
    own = {name.removeprefix("stubgen.") for name in loaded if name.partition(".")[0] == "stubgen"}
    recording = {"process", "json_text", "records", "words", "outputs", "links"}
    assert own == {"stubgen", "capture", *(f"capture.{name}" for name in recording), *readers}
    assert not {"enum", "re", "json", "signal", "hashlib", "functools", "collections", "pathlib", "typing"} & loaded


def script(folder: Path, text: str) -> Path:
    """A linker that is a shell script."""
    path = folder / "scripted-ld"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_a_linker_that_a_signal_ends(shim: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Make deletes the output of a command that a signal ended, and keeps that of one that failed."""
    done = link(shim, script(tmp_path, f"kill -{number.value} $$"), tmp_path / "records", "-o", "app", cwd=tmp_path)
    assert done.returncode == -number
    assert done.stderr == ""
    (capture,) = read_captures(tmp_path / "records")
    assert capture.status == -number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_linker(shim: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Ninja and IDEs end the process that they started: its linker must not go on and write."""
    name = number.name.removeprefix("SIG")
    waiting = "for i in $(seq 200); do sleep 0.05; done"  # not for ever, whatever becomes of this test
    real = script(tmp_path, f"trap 'echo {name} > got; exit 9' {name}\ntouch begun\n{waiting}")
    environment = {**os.environ, "STUBGEN_REAL_LINKER": str(real), "STUBGEN_CAPTURE_DIR": str(tmp_path / "records")}
    with subprocess.Popen([shim, "-o", "app"], cwd=tmp_path, env=environment) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(60) == 9
    assert (tmp_path / "got").read_text() == f"{name}\n"
    assert read_captures(tmp_path / "records")[0].status == 9


def test_an_ignored_signal_stays_ignored(shim: Path, tmp_path: Path) -> None:
    """``nohup make`` goes on when the terminal is closed, and so must its links."""
    real = script(tmp_path, "kill -HUP $$; kill -HUP $PPID; echo linked")
    environment = {**os.environ, "STUBGEN_REAL_LINKER": str(real), "STUBGEN_CAPTURE_DIR": str(tmp_path / "records")}
    command = ["sh", "-c", f"trap '' HUP; exec {shim} -o app"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "linked\n")


def test_a_parent_that_ignores_its_children(shim: Path, tmp_path: Path) -> None:
    """A daemon that has the system reap its children hands that on, and every failed link would look like a success."""
    real = script(tmp_path, "exit 7")
    environment = {**os.environ, "STUBGEN_REAL_LINKER": str(real), "STUBGEN_CAPTURE_DIR": str(tmp_path / "records")}
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"os.execv({str(shim)!r}, [{str(shim)!r}, '-o', 'app'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60)
    assert done.returncode == 7
    assert read_captures(tmp_path / "records")[0].status == 7


@pytest.mark.parametrize(("status", "kept"), [(0, 0), (1, 1), (-9, 1)])
def test_a_link_that_failed_is_not_taken_for_one_that_wrote(tmp_path: Path, status: int, kept: int) -> None:
    """A failed link leaves its output of before, which the next command may touch: its record has what broke it."""
    (tmp_path / "app").write_text("")
    for number, ending in enumerate([0, status]):
        argv = ["cc", f"-DROUND={number}", "-o", "app"]
        complete(begin_record(argv, tmp_path / "records", str(tmp_path)), ending)
    os.utime(tmp_path / "app", (time.time() + 60, time.time() + 60))
    assert newest_capture(tmp_path / "records", "app").argv[1] == f"-DROUND={1 - kept}"


def test_what_a_record_says_of_its_output_is_held_to_a_form(tmp_path: Path) -> None:
    """A record that anybody edited must not end in a traceback, and one of a later version says less."""
    path = Path(record(["cc", "-o", "app"], tmp_path))
    document = json.loads(path.read_text())
    assert (Capture.load(path).status, Capture.load(path).identity) == (None, None)
    for field, value in (
        *(("status", odd) for odd in (True, "0", 1.5, 1 << 40)),
        *(("identity", odd) for odd in ([], "x", {"kind": 1, "value": "00"}, {"kind": "UUID", "value": "0g"}, {})),
    ):
        path.write_text(json.dumps({**document, field: value}))
        with pytest.raises(MalformedInput, match="not a captured link"):
            Capture.load(path)
    path.write_text(json.dumps({**document, "identity": {"kind": "a later one", "value": "00"}}))
    identity = Capture.load(path).identity
    assert identity is not None
    assert not identity.kind
