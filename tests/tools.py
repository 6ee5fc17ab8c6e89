"""The real tools that tests run: found here or the test skips, and says how to get what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

REQUIRED = os.environ.get("STUBGEN_REQUIRE_TOOLS") == "1"
"""CI sets this: there, a test skipped for a missing tool is a failure."""

PROGRAMS = Path(__file__).parent / "programs"
SYSROOT = Path("/usr/aarch64-linux-gnu")

RUST_TARGET = "aarch64-unknown-linux-gnu"

PACKAGES = {
    "gcc": "gcc",
    "make": "make",
    "cmake": "cmake",
    "meson": "meson",
    "ninja": "ninja-build",
    "cargo": "cargo-web",
    "rustc": "rustc-web",
    "x86_64-linux-gnu-ld": "binutils-x86-64-linux-gnu",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "aarch64-linux-gnu-ld": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-as": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-objcopy": "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-ar": "gcc-aarch64-linux-gnu",
    "readelf": "binutils",
    "llvm-cxxfilt-19": "llvm-19",
    "c++filt": "binutils",
    "clang-19": "clang-19",
    "clang++-19": "clang-19",
    "ld.lld-19": "lld-19",
    "ld64.lld-19": "lld-19",
    "llvm-readobj-19": "llvm-19",
    "llvm-objcopy-19": "llvm-19",
    "llvm-strip-19": "llvm-19",
    "llvm-lipo-19": "llvm-19",
    "llvm-ar-19": "llvm-19",
    "llvm-libtool-darwin-19": "llvm-19",
    "llvm-dwarfdump-19": "llvm-19",
    "llvm-objdump-19": "llvm-19",
    "llvm-nm-19": "llvm-19",
    "dsymutil-19": "llvm-19",
    "mold": "mold",
    "qemu-aarch64": "qemu-user",
    "chromedriver": "chromium-driver",
}
"""Tool -> the Debian package that holds it."""


@cache
def _found(name: str) -> str | None:
    return shutil.which(name)


PROXIES = ("rustc", "cargo")
"""What rustup puts on PATH, and what ends with an error where there is no toolchain behind it."""


@cache
def broken(path: str) -> str:
    """What the tool at *path* says where it does not run; empty if it does."""
    done = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else said[0] if said else f"it ends with status {done.returncode}"


def need(*names: str) -> str | tuple[str, ...]:
    """The paths of the tools called *names* (one: its path); skips the test where one is missing."""
    for name in names:
        if _found(name) is None:
            _missing(f"{name} is not installed (Debian: apt-get install {PACKAGES.get(name, name)})")
        if name in PROXIES and broken(str(_found(name))):
            _missing(f"{_found(name)} does not run: {broken(str(_found(name)))}")
    paths = tuple(str(_found(name)) for name in names)
    return paths[0] if len(paths) == 1 else paths


def need_module(name: str, package: str) -> None:
    """Skip the test where Python module *name* is missing."""
    if find_spec(name) is None:
        _missing(f"Python module {name} is not installed (pip install {package})")


def need_crate(name: str, package: str) -> Path:
    """Debian's folder of Rust crates, from which cargo builds offline; skips the test where *name* is not in it."""
    folder = Path("/usr/share/cargo/registry")
    if not any(folder.glob(f"{name}-[0-9]*")):
        _missing(f"Rust's {name} is not installed (Debian: apt-get install {package})")
    return folder


@cache
def other_pythons() -> dict[str, str]:
    """CPythons of other versions that we are for and that run here: version -> path; on PATH, or pyenv's."""
    found = {}
    for minor in range(11, 15):
        version = f"3.{minor}"
        installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
        for candidate in (*([shutil.which(f"python{version}")] if minor != sys.version_info[1] else []), *installed):
            if candidate and _says(str(candidate), "import sys, venv; print(sys.version_info[1])") == str(minor):
                found[version] = str(candidate)
    found.pop(f"3.{sys.version_info[1]}", None)
    return found


def _says(python: str, program: str) -> str:
    done = subprocess.run([python, "-c", program], check=False, capture_output=True, text=True)
    return done.stdout.strip()


def zig() -> list[str]:
    """The pip-installable toolchain's compiler driver, but for ``cc`` and its arguments."""
    need_module("ziglang", "ziglang")
    return [sys.executable, "-m", "ziglang"]


def rustc() -> list[str]:
    """A Rust compiler with aarch64 Linux's standard library: the command up to its own options.

    ``STUBGEN_RUSTC`` and ``STUBGEN_RUST_SYSROOT`` name the compiler and a folder with the target's
    ``lib/rustlib``, where they are not the system's own; ``.ci/run`` shows how to get both from Debian.
    """
    sysroot = os.environ.get("STUBGEN_RUST_SYSROOT")
    for compiler in [os.environ["STUBGEN_RUSTC"]] if "STUBGEN_RUSTC" in os.environ else ["rustc", "/usr/bin/rustc"]:
        found = _rust_sysroot(compiler, sysroot)
        if found is not None:
            return [compiler, "--sysroot", str(found), "--target", RUST_TARGET]
    named = os.environ.get("STUBGEN_RUSTC", "rustc")
    path = shutil.which(named)
    if path is not None and broken(path):
        _missing(f"{path} does not run: {broken(path)}")
    _missing(f"Rust has no standard library for {RUST_TARGET} (rustup target add {RUST_TARGET}, or see .ci/run)")
    raise AssertionError("not reached")


@cache
def _rust_sysroot(compiler: str, sysroot: str | None) -> Path | None:
    """The sysroot of *compiler*, or *sysroot* instead, if the target's standard library is in it."""
    path = shutil.which(compiler)
    if path is None or broken(path):
        return None
    folder = Path(sysroot or run([compiler, "--print", "sysroot"]).strip())
    return folder if any(folder.glob(f"lib/rustlib/{RUST_TARGET}/lib/libstd-*.rlib")) else None


def need_archive(name: str) -> Path:
    """An aarch64 archive: the cross compiler's own, or one from the folder ``STUBGEN_ARM64_ARCHIVES``."""
    folder = Path(os.environ.get("STUBGEN_ARM64_ARCHIVES", ""), name)
    if folder.is_file():
        return folder
    path = Path(run([str(need("aarch64-linux-gnu-gcc")), f"-print-file-name={name}"]).strip())
    if not path.is_absolute():
        _missing(f"{name} for aarch64 is in no folder (see .ci/run)")
    return path


def rust_peer() -> Path:
    """The benchmarks' Rust program, built with Debian's own cargo and Debian's copy of the object crate."""
    from benches.peers import rust

    if not rust.found():
        _missing(f"the object crate cannot be built ({rust.HINT})")
    return rust.build()


def need_pip_for(version: str) -> None:
    """Skip the test where this environment's pip does not run on Python *version*: Debian 12's, not from 3.12 on."""
    pip = importlib.metadata.version("pip")
    if version != "3.11" and tuple(map(int, pip.split(".")[:2])) < (23, 1):
        _missing(f"pip {pip} does not run on Python {version} ({sys.executable} -m pip install --upgrade pip)")


def _missing(reason: str) -> None:
    if REQUIRED:
        pytest.fail(f"{reason}, and STUBGEN_REQUIRE_TOOLS=1 forbids to skip")
    pytest.skip(reason)


def run(command: Sequence[str | os.PathLike[str]], **options: object) -> str:
    """Standard output of *command*; the test fails with its standard error when it does."""
    words = [os.fspath(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(map(os.fspath, command))}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def linker_folder(folder: Path) -> Path:
    """A folder for ``-B`` in which ``-fuse-ld=lld`` and ``-fuse-ld=mold`` find their linker."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tool in (("ld.lld", "ld.lld-19"), ("ld.mold", "mold")):
        if not (folder / name).exists():
            (folder / name).symlink_to(str(need(tool)))
    return folder
