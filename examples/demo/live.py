"""The same patch in a living process, through the real loader, where this machine can run ARM64 Linux programs."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.demo.toolchain import DemoFailed

SYSROOTS = ("/usr/aarch64-linux-gnu", "/")
LOADER = "lib/ld-linux-aarch64.so.1"
LIFETIME = 60.0  # seconds after which a process that does not answer is ended


def runner() -> tuple[list[str], str]:
    """The command that runs an ARM64 Linux program here, and its name; or nothing, and what is missing."""
    if sys.platform == "linux" and platform.machine() == "aarch64":
        return [], "this machine" if Path("/", LOADER).exists() else ""
    qemu = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    sysroot = next((root for root in SYSROOTS if Path(root, LOADER).exists()), None)
    if qemu is None or sysroot is None:
        return [], ""
    return [qemu, "-L", sysroot], "qemu-aarch64"


class Process:
    """The program, alive: it answers each line that it gets with one line."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._watchdog = threading.Timer(LIFETIME, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The process id; the same before and after a patch."""
        return self._process.pid

    def answer(self) -> list[str]:
        """The words of the next line that it prints.

        Raises:
            DemoFailed: it has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DemoFailed(f"the process ended with status {self._process.wait()}")
        return line.split()

    def ask(self, line: str) -> list[str]:
        """Its answer to *line*, in words."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise DemoFailed(f"the process ended before it was told: {line}") from error
        return self.answer()
