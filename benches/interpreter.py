"""A Python with Keystone and Capstone and nothing else, as an installed tool runs in.

In a virtual environment with an editable install, which is where the benchmarks run, each start of Python also runs the
import hook of that, which loads a part of the standard library that we would have to load ourselves. Ratios to the
start of Python would look better than they are.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("keystone-engine", "capstone")


def bare_python(scratch: Path) -> Path | None:
    """That Python, from the scratch folder or made now; None where its packages cannot be had."""
    try:
        wanted = [f"{package}=={version(package)}" for package in PACKAGES]
    except PackageNotFoundError:
        return None
    tag = f"{sys.implementation.cache_tag}-{'-'.join(word.partition('==')[2] for word in wanted)}"
    folder = scratch / f"python-{tag}"
    python = folder / "bin" / "python"
    try:
        if not (folder / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
            install: list[str | Path] = [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *wanted,
            ]
            subprocess.run(install, check=True, capture_output=True)
            (folder / "ready").touch()
    except (OSError, subprocess.CalledProcessError):
        return None
    return python
