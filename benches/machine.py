"""What the numbers were measured on and with; names no host, no user and no path."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from benches.harness import ROOT
from benches.peers import CAPSTONE, CLANG, GNU_AS, KEYSTONE, LIEF, LLVM_NM, MACHOLIB, PYELFTOOLS, rust
from stubgen import __version__


def kind() -> str:
    """Like ``x86_64-2cpu``."""
    return f"{platform.machine()}-{os.cpu_count()}cpu"


def describe() -> dict[str, str]:
    """The machine, as far as it matters."""
    found = {"kind": kind(), "system": platform.system(), "processor": _processor()}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {**found, "memory": f"{memory / 2**30:.0f} GiB"}


def versions() -> dict[str, str]:
    """Everything that takes part, by name; only what is installed."""
    found = {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "stubgen": f"{__version__}{_commit()}",
    }
    for module in (KEYSTONE, CAPSTONE, PYELFTOOLS, MACHOLIB, LIEF):
        if module.found():
            found[module.name] = module.version()
    for program in (CLANG, GNU_AS, LLVM_NM):
        if program.found():
            found[program.name] = program.version()
    if rust.found():
        rust.build()
        found[rust.NAME] = rust.version()
    return found


def absent() -> list[str]:
    """The peers that are not here, each with the line that installs it."""
    tools = (CLANG, GNU_AS, LLVM_NM, PYELFTOOLS, MACHOLIB, LIEF)
    missing = [f"{tool.name} ({tool.hint})" for tool in tools if not tool.found()]
    return missing + ([] if rust.found() else [f"{rust.NAME} ({rust.HINT})"])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit that was measured, where this is a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return f" at {done.stdout.strip()}" if done.returncode == 0 else ""
