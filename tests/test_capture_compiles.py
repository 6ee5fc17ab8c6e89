"""Recording compiles: the launcher stands in front of the compilers of other people's builds."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stubgen.capture import Compile, newest_capture, read_captures, read_compiles, record_compile
from stubgen.capture.compile_words import compiled
from stubgen.errors import MalformedInput, UnreadableInput

ROOT = Path(__file__).parent.parent
RUSTC = ["/usr/bin/rustc", "--crate-name", "app", "src/main.rs", "-C", "extra-filename=-1f", "--out-dir", "target/deps"]


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """The launcher, as pip would install it."""
    path = tmp_path / "bin" / "hotpatch-stubgen-compiler"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from stubgen.capture import compiler_main\ncompiler_main()\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def cc(tmp_path: Path) -> Path:
    """A compiler that prints its arguments and ends as its environment says."""
    path = tmp_path / "cc"
    path.write_text('#!/bin/sh\necho "compiling $*"\necho "a warning" >&2\nexit "${FAKE_STATUS:-0}"\n')
    path.chmod(0o755)
    return path


def launch(
    launcher: Path, folder: Path | None, *words: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command *words* behind the launcher, in the folder that all of it is in."""
    environment = {**os.environ, **variables}
    environment.pop("STUBGEN_CAPTURE_DIR", None)
    if folder is not None:
        environment["STUBGEN_CAPTURE_DIR"] = str(folder)
    return subprocess.run(
        [launcher, *words],
        env=environment,
        cwd=launcher.parents[1],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


COMMANDS: dict[str, tuple[str, str, str] | None] = {
    "cc -c x.c -o out/x.o": ("x.c", "out/x.o", "C"),
    "cc -c sub/x.cpp": ("sub/x.cpp", "x.o", "C"),
    "cc -ox.o -c x.c": ("x.c", "x.o", "C"),
    "ccache cc -c x.m": ("x.m", "x.o", "C"),
    "zig cc -c x.c": ("x.c", "x.o", "C"),
    "cc main.c -o app -lm": ("main.c", "app", "C"),
    "cc main.c": ("main.c", "a.out", "C"),
    "cc -x c++-header all.hpp -o all.hpp.gch": ("all.hpp", "all.hpp.gch", "C"),
    "cc all.h": ("all.h", "all.h.gch", "C"),
    "cc -include all.h -c x.c": ("x.c", "x.o", "C"),
    "cc -E x.c": None,
    "cc -M x.c": None,
    "cc -S x.c": None,
    "cc -fsyntax-only x.c": None,
    "cc --version": None,
    "cc -v": None,
    "cc -print-prog-name=ld": None,
    "cc main.o -o app": None,
    "cc -c start.S -o start.o": None,
    "cc -c conftest.c": None,
    "cc -c /b/CMakeFiles/CMakeScratch/TryCompile-1/x.c -o x.o": None,
    "cc -c /b/meson-private/tmp1/testfile.c -o x.o": None,
    "rustc --crate-name app src/main.rs --out-dir deps -Cextra-filename=-1f": ("src/main.rs", "deps/app-1f", "Rust"),
    "sccache rustc --crate-name=app src/main.rs --codegen extra-filename=-1f": ("src/main.rs", "app-1f", "Rust"),
    "rustc src/my-app.rs": ("src/my-app.rs", "my_app", "Rust"),
    "rustc src/main.rs -o out/app": ("src/main.rs", "out/app", "Rust"),
    "rustc -vV": None,
    "rustc - --crate-name ___ --print=file-names --crate-type bin": None,
    "rustc --print cfg src/main.rs": None,
}
"""A command -> what it compiles, into what, in which language; None: no object of a program's."""


@pytest.mark.parametrize("command", COMMANDS)
def test_which_commands_are_recorded(command: str) -> None:
    """A build system's questions and trials would bury what counts; what is not recorded cannot be patched."""
    found = compiled(command.split(), "/project")
    told = None if found is None else (found.source, found.output, "Rust" if found.rust else "C")
    assert told == COMMANDS[command]


def test_a_compile_is_recorded_and_done(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """The build must not notice: same output, same messages, same status, and a record beside it."""
    done = launch(launcher, tmp_path / "records", cc, "-c", "a b.c", CPATH="/inc", SECRET="no", FAKE_STATUS="37")
    assert (done.returncode, done.stdout, done.stderr) == (37, "compiling -c a b.c\n", "a warning\n")
    (found,) = read_compiles(tmp_path / "records")
    assert found.argv == [str(cc), "-c", "a b.c"]
    assert (found.directory, found.source, found.output) == (tmp_path, "a b.c", "a b.o")
    assert found.environment["CPATH"] == "/inc"
    assert "SECRET" not in found.environment
    assert found.time > 1_500_000_000


WRITES = """#!/bin/sh
echo object > x.o
printf 'x.o: x.c \\\n a\\ b.h /usr/include/stdio.h new.h gone.h\n' > "$DEPFILE"
touch new.h
"""
DEPFILES = {
    "-MD": "x.d",
    "-MMD -MF deps/one.d": "deps/one.d",
    "-MD -MFdeps/one.d": "deps/one.d",
    "-Wp,-MMD,two.d": "two.d",
}
"""What a compile is told -> the dependency file that it writes."""


@pytest.mark.parametrize("options", DEPFILES)
def test_a_compile_that_ended_has_what_it_made_and_read(options: str, launcher: Path, tmp_path: Path) -> None:
    """A build may move the object; a file may be written anew and be as it was."""
    folder = launcher.parents[1]
    (folder / "deps").mkdir()
    for name in ("x.c", "a b.h", "new.h"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1, 1))
    compiler = folder / "writes"
    compiler.write_text(WRITES)
    compiler.chmod(0o755)
    done = launch(launcher, tmp_path / "records", compiler, *options.split(), "-c", "x.c", DEPFILE=DEPFILES[options])
    assert done.returncode == 0, done.stderr
    (found,) = read_compiles(tmp_path / "records")
    status = (folder / "x.o").stat()
    assert found.made == (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    digests = {name: hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in ("x.c", "a b.h")}
    assert found.read == digests, "what was written since, system headers and what is gone are left out"


def test_a_compile_that_failed_has_made_nothing(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """What lies there is an earlier compile's."""
    (launcher.parents[1] / "x.o").write_text("old")
    launch(launcher, tmp_path / "records", cc, "-c", "x.c", FAKE_STATUS="1")
    (found,) = read_compiles(tmp_path / "records")
    assert (found.made, found.read) == (None, {})


def test_the_newest_compile_of_an_output_stays(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """A program that is built on every save would leave a record of each file each time."""
    for option in ("-O0", "-O1", "-O2"):
        for name in ("x", "y"):
            launch(launcher, tmp_path / "records", cc, option, "-c", f"{name}.c")
    assert [found.argv[1:] for found in read_compiles(tmp_path / "records")] == [
        ["-O2", "-c", "x.c"],
        ["-O2", "-c", "y.c"],
    ]


def test_many_compiles_at_once_leave_one_record_each(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """``make -j`` compiles in parallel; a clash of names would lose a file."""
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(launch, launcher, tmp_path / "records", cc, "-c", f"x{n}.c") for n in range(12)]
    assert [run.result().returncode for run in runs] == [0] * 12
    assert len(read_compiles(tmp_path / "records")) == 12
    assert not list((tmp_path / "records").glob("*.tmp"))


def test_a_compiler_that_links_has_its_link_recorded(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """Make and Meson link with the compiler that they compile with."""
    launch(launcher, tmp_path / "records", cc, "x.o", "-o", "app")
    assert newest_capture(tmp_path / "records", "app").argv == [str(cc), "x.o", "-o", "app"]
    launch(launcher, tmp_path / "records", cc, "conftest.o", "-o", "conftest")
    launch(launcher, tmp_path / "records", cc, "-v")
    assert len(read_captures(tmp_path / "records")) == 1
    assert read_compiles(tmp_path / "records") == []


@pytest.mark.parametrize("folder", ["file/records", "", "/proc/nowhere"])
def test_a_record_that_cannot_be_written_does_not_stop_the_build(
    launcher: Path, cc: Path, tmp_path: Path, folder: str
) -> None:
    """A full disk or a read-only folder on a build machine must cost a warning, not the build."""
    (tmp_path / "file").write_text("not a folder")
    done = launch(launcher, tmp_path / folder if folder else None, cc, "-c", "x.c")
    assert (done.returncode, done.stdout) == (0, "compiling -c x.c\n")
    assert "warning: " in done.stderr
    assert "Traceback" not in done.stderr


def test_response_files_are_read_before_they_go(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """Build systems delete them right after; rustc's have one word in each line."""
    (tmp_path / "x.rsp").write_text("-c 'a b.c' -DX")
    launch(launcher, tmp_path / "records", cc, "@x.rsp")
    assert read_compiles(tmp_path / "records")[0].argv[1:] == ["-c", "a b.c", "-DX"]
    rustc = cc.rename(tmp_path / "rustc")
    (tmp_path / "y.rsp").write_text("--crate-name\nmy\nsrc/a b.rs\n")
    launch(launcher, tmp_path / "records", rustc, "@y.rsp")
    assert read_compiles(tmp_path / "records")[-1].argv[1:] == ["--crate-name", "my", "src/a b.rs"]


def test_a_launcher_in_front_of_itself_records_once(launcher: Path, cc: Path, tmp_path: Path) -> None:
    """Cargo puts RUSTC_WRAPPER in front of RUSTC_WORKSPACE_WRAPPER; both may be this."""
    done = launch(launcher, tmp_path / "records", launcher, cc, "-c", "x.c")
    assert (done.returncode, done.stdout) == (0, "compiling -c x.c\n")
    assert [found.argv[0] for found in read_compiles(tmp_path / "records")] == [str(cc)]


@pytest.mark.parametrize(
    ("words", "told"), [([], "give the compiler"), (["/no/such/cc", "-c", "x.c"], "no such compiler")]
)
def test_a_missing_compiler_is_one_sentence(launcher: Path, tmp_path: Path, words: list[str], told: str) -> None:
    """A half-configured build must say what to set, not print a traceback."""
    done = launch(launcher, tmp_path / "records", *words)
    assert done.returncode == 4
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGTERM], ids=lambda n: n.name)
def test_the_compiler_ends_by_signals_as_ever(launcher: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A compiler that was killed has not failed, and its build system says so."""
    compiler = tmp_path / "cc"
    compiler.write_text(f"#!/bin/sh\nkill -{number.value} $$\nexit 0\n")
    compiler.chmod(0o755)
    assert launch(launcher, tmp_path / "records", compiler, "-c", "x.c").returncode == -number


TOKENS = {
    "CARGO_REGISTRY_TOKEN": False,
    "CARGO_REGISTRIES_MINE_TOKEN": False,
    "CARGO_MAKEFLAGS": False,
    "CARGO_ENCODED_RUSTFLAGS": False,
    "AWS_SECRET_ACCESS_KEY": False,
    "RUSTC_WRAPPER": False,
    "LD_PRELOAD": False,
    "CARGO_PKG_VERSION": True,
    "CARGO_MANIFEST_DIR": True,
    "OUT_DIR": True,
    "SDKROOT": True,
    "CPLUS_INCLUDE_PATH": True,
}
"""A variable of a build -> whether a record has it."""


def test_records_have_what_decides_and_no_secrets(tmp_path: Path) -> None:
    """Records lie in build folders, which are cached, uploaded and shown."""
    environment = dict.fromkeys(TOKENS, "value")
    path = record_compile(RUSTC, tmp_path, directory="/project", environment=environment)
    assert path is not None
    found = Compile.load(path)
    assert set(found.environment) == {name for name, kept in TOKENS.items() if kept}
    assert found.output == "target/deps/app-1f"


SOUND: dict[str, object] = {
    "schema": 1,
    "argv": ["cc", "-c", "x.c"],
    "directory": "/",
    "environment": {"HOME": "/"},
    "time": 1,
    "output": "x.o",
    "source": "x.c",
}


@pytest.mark.parametrize(
    "change",
    [
        *({"time": 1e300}, {"argv": ["c\0c"]}, {"environment": {"A=B": ""}}, {"source": 1}, {"schema": None}),
        *({"made": [1, 2, 3]}, {"made": ["1", 2, 3, 4]}, {"read": {"x.c": 1}}, {"read": ["x.c"]}),
    ],
    ids=["time", "argument", "variable", "source", "schema", "few numbers", "no number", "no digest", "no digests"],
)
def test_a_record_that_cannot_be_run_is_malformed(tmp_path: Path, change: dict[str, object]) -> None:
    """What no process takes is one sentence now, not a traceback when the compiler starts."""
    path = tmp_path / "x.compile.json"
    path.write_text(json.dumps(SOUND))
    assert Compile.load(path).output == "x.o"
    path.write_text(json.dumps({**SOUND, **change}))
    with pytest.raises(MalformedInput, match=r"not a captured compile; give a \*\.compile\.json file"):
        Compile.load(path)
    assert read_compiles(tmp_path) == []


def test_a_record_of_another_version_or_with_other_variables_is_refused(tmp_path: Path) -> None:
    """``LD_PRELOAD`` in a record would run a library in every compiler that a patch starts."""
    path = tmp_path / "x.compile.json"
    path.write_text(json.dumps({**SOUND, "schema": 2}))
    with pytest.raises(MalformedInput, match=r"captured compile of schema 2.*capture the compile again"):
        Compile.load(path)
    path.write_text(json.dumps({**SOUND, "environment": {"LD_PRELOAD": "/tmp/x.so"}}))
    with pytest.raises(MalformedInput, match="sets LD_PRELOAD, which no capture keeps"):
        Compile.load(path)


def test_another_users_record_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record says which program ``patch`` runs: in a shared folder, somebody else's would run theirs."""
    path = record_compile(["cc", "-c", "x.c"], tmp_path)
    assert path is not None
    owner = os.geteuid()
    os.chmod(path, 0o666)
    with pytest.raises(UnreadableInput, match=r"anybody may write this record.*programs a compile runs.*chmod o-w"):
        Compile.load(path)
    os.chmod(path, 0o600)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        with pytest.raises(UnreadableInput, match=r"is another user's record.*capture the compile yourself"):
            Compile.load(path)
