"""The tools that ours is held against. What is not installed is named, with the package that brings it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Program:
    """An installed program."""

    name: str  # in tables
    program: str
    hint: str  # how to get it

    def found(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.program) is not None

    def version(self) -> str:
        """Its first line about itself that has a number in it."""
        done = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True)
        return next(line.strip() for line in done.stdout.splitlines() if any(sign.isdigit() for sign in line))


@dataclass(frozen=True)
class Module:
    """An installed Python package."""

    name: str  # of the distribution
    module: str

    @property
    def hint(self) -> str:
        """How to get it."""
        return f"pip install {self.name}"

    def found(self) -> bool:
        """Whether it is installed."""
        return find_spec(self.module) is not None

    def version(self) -> str:
        """The distribution's version."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return "not installed as a package"


CLANG = Program("clang-19", "clang-19", "Debian: apt-get install clang-19")
GNU_AS = Program("GNU as", "aarch64-linux-gnu-as", "Debian: apt-get install binutils-aarch64-linux-gnu")
LLVM_NM = Program("llvm-nm-19", "llvm-nm-19", "Debian: apt-get install llvm-19")
PYELFTOOLS = Module("pyelftools", "elftools")
MACHOLIB = Module("macholib", "macholib")
LIEF = Module("lief", "lief")
KEYSTONE = Module("keystone-engine", "keystone")
CAPSTONE = Module("capstone", "capstone")
