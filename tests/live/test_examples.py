"""The examples, as a person runs them: programs that are built, edited and patched while they run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from live.live import CAPTURE
from tools import need, run, rustc

from examples.driver import NATIVE

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "examples" / "runtime_c"
README = ROOT / "examples" / "README.md"
RUST = ROOT / "examples" / "runtime_rust"
GCC = "aarch64-linux-gnu-gcc"


def transcript(example: str, folder: Path, **environment: str) -> str:
    """What an example prints."""
    need("qemu-aarch64", GCC)
    if not CAPTURE.exists():
        pytest.skip("hotpatch-stubgen is not installed beside this Python (pip install -e .)")
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{example}.patch", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^the patch is at 0x", done.stdout, re.MULTILINE)) == done.stdout.count(" is edited:")
    return done.stdout


def told(example: str, folder: Path, **environment: str) -> list[tuple[str, str]]:
    """What the program of an example was asked in all, and what it answered."""
    return answers(transcript(example, folder, **environment))


def answers(text: str) -> list[tuple[str, str]]:
    """What a transcript says of the program's own words."""
    return re.findall(r"^(.*)  =>  (.*)$", text, re.MULTILINE)


def without_numbers(text: str) -> str:
    """A transcript without what differs from one compiler and linker to the next."""
    return re.sub(r"0x[0-9a-f]+|\d+ bytes|\d+ stubs?|(?<=--pid )\d+", "#", text)


def test_make(tmp_path: Path) -> None:
    """C with plain make: both edits show, receipts and money go on, and examples/README.md shows what is printed."""
    need("make")
    text = transcript("make_c", tmp_path)
    assert answers(text) == [
        ("apples 3", "1: 3 apples, 0.90; taken 0.90"),
        ("apples 3", "2: 3 apples, 0.60; taken 1.50"),
        ("apples 3", "receipt 3: 3 apples, 0.60; taken 2.10"),
        ("tea 1", "receipt 4: 1 tea, 4.50; taken 6.60"),
    ]
    shown = max(re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL), key=len)
    checks = re.compile(r"^  ok .*\n", re.MULTILINE)
    assert NATIVE or without_numbers(shown) == without_numbers(checks.sub("", text))


def test_meson(tmp_path: Path) -> None:
    """C with Meson: a function that the host never had is called, and a thread-local keeps its value."""
    need("meson", "ninja")
    assert told("meson_c", tmp_path) == [("7 * 6", "42"), ("ans / 2", "?"), ("ans / 2", "21"), ("it / 3", "7")]


def test_cmake(tmp_path: Path) -> None:
    """C++ with CMake: the object that the program counts in lives on, in code of both."""
    need("cmake", "ninja", "aarch64-linux-gnu-g++")
    assert told("cmake_cpp", tmp_path) == [
        ("the cat and the dog", "line 1: and 1 cat 1 dog 1 the 2"),
        ("The end", "line 2: the 2"),
        ("The end", "line 3: end 2 the 3"),
    ]


def cargo_environment() -> dict[str, str]:
    """Variables by which Cargo compiles for aarch64, wherever Rust's standard library for that is."""
    need("cargo")
    compiler, _, sysroot, *_ = rustc()
    return {"RUSTC": compiler, "RUSTFLAGS": f"--sysroot={sysroot} -Dwarnings"}


def test_cargo(tmp_path: Path) -> None:
    """Rust with a workspace: each edited crate shows, and statics and thread-locals go on."""
    assert told("cargo_workspace", tmp_path, **cargo_environment()) == [
        ("apple tea", "order 1: 5.76 with tax, taxes so far 0.96"),
        ("apple tea", "order 2: 5.64 with tax, taxes so far 1.90"),
        ("apple tea", "order 3: 5.17 with tax, taxes so far 2.37"),
        ("cake", "there is no cake; there is tea"),
        ("apple tea", "order 4: 5.17 with tax, taxes so far 2.84"),
    ]


def test_the_rust_runtime_reads_json(tmp_path: Path) -> None:
    """Paths of patches have any letters; a message that was cut off is none."""
    need("gcc")
    (compiler, *_) = rustc()
    program = tmp_path / "tests"
    run(
        [compiler, "--edition=2021", "-D", "warnings", "-A", "dead_code", "--test", RUST / "src/json.rs", "-o", program]
    )
    assert "2 passed" in run([program])


@pytest.mark.parametrize("compiler", [GCC, "clang-19"])
def test_the_c_runtime_has_no_warnings(compiler: str, tmp_path: Path) -> None:
    """People add it to programs whose builds make errors of warnings, in C and in C++."""
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    target = [] if compiler == GCC else ["--target=aarch64-linux-gnu"]
    for standard in ("c11", "c17"):
        run([need(compiler), *target, *strict, f"-std={standard}", "-c", RUNTIME / "hot.c", "-o", tmp_path / "hot.o"])
    user = tmp_path / "user.cc"
    user.write_text('#include "hot.h"\nint f(int n) { return n ? HOT(f)(n - 1) : 0; }\n')
    run([need(compiler), *target, *strict, "-I", RUNTIME, "-c", user, "-o", tmp_path / "user.o"])
