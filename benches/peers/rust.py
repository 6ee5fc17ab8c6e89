"""The ``object`` crate, with which today's hot-patchers write their stubs: a small program, built here."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

NAME = "object crate"
HINT = "Debian: apt-get install cargo-web rustc-web librust-object-dev"
SOURCE = Path(__file__).with_name("rust")
BUILT = Path(__file__).parent.parent.parent / "build" / "rust-peer"
BUILD = "cd benches/peers/rust && RUSTC=/usr/bin/rustc /usr/bin/cargo build --release --offline"

_CARGO, _RUSTC = Path("/usr/bin/cargo"), Path("/usr/bin/rustc")
_CRATES = Path("/usr/share/cargo/registry")


def found() -> bool:
    """Whether it can be built: Debian's cargo and Debian's copy of the crate; nothing is taken from a network."""
    return _CARGO.exists() and _RUSTC.exists() and any(_CRATES.glob("object-*"))


@cache
def build() -> Path:
    """The program, built if its source changed.

    Raises:
        RuntimeError: it does not build.
    """
    done = subprocess.run(
        [_CARGO, "build", "--release", "--offline", "--quiet"],
        cwd=SOURCE,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "RUSTC": str(_RUSTC),
            "CARGO_HOME": str(BUILT / "cargo"),  # a person's own configuration has no say
        },
        check=False,
        capture_output=True,
        text=True,
    )
    program = BUILT / "release" / "rust-peer"
    if done.returncode or not program.exists():
        raise RuntimeError(f"the Rust peer does not build ({BUILD}):\n{done.stderr}")
    return program


def version() -> str:
    """The crate's and the compiler's."""
    lock = (SOURCE / "Cargo.lock").read_text()
    crate = re.search(r'name = "object"\nversion = "([^"]+)"', lock)
    compiler = subprocess.run([_RUSTC, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    return f"object {crate.group(1) if crate else 'of unknown version'}, rustc {compiler}, opt-level 3, lto"
