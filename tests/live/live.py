"""A live ARM64 process: started, asked for its anchor, fed with patches, and ended for sure."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tools import SYSROOT, need, run

ANSWER_TIME = 60.0
"""Seconds that a process gets for one line: emulation is slow, and CI machines are busy."""

CAPTURE = Path(sys.executable).with_name("hotpatch-stubgen-linker")
"""The installed capture executable."""

COMPILER = CAPTURE.with_name("hotpatch-stubgen-compiler")
"""The installed launcher of compilers."""


class LiveHost:
    """A program under ``qemu-aarch64`` with the real loader, which answers each line with a line.

    Args:
        program: the executable; its first line must be ``anchor ADDRESS``.
        cpu: what qemu plays (``-cpu``); ``max`` has BTI.
        libraries: folders of libraries that it needs.
    """

    anchor: int
    """The anchor's runtime address, as the process reports it."""

    def __init__(self, program: Path, *, cpu: str | None = None, libraries: Sequence[Path] = ()) -> None:
        command = [str(need("qemu-aarch64")), "-L", str(SYSROOT), *(["-cpu", cpu] if cpu else [])]
        if libraries:
            command += ["-E", "LD_LIBRARY_PATH=" + os.pathsep.join(map(str, libraries))]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors = program.with_name(f"{program.name}.stderr").open("w+")
        self._process = subprocess.Popen(
            [*command, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            word, _, address = self._answer("its start").partition(" ")
            assert word == "anchor", f"the host began with {word!r}"
            self.anchor = int(address, 16)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's number: an emulator's, whose program has the same one for itself."""
        return self._process.pid

    def tell(self, order: str) -> str:
        """The process's answer to *order*; the test fails if it dies or stays silent."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{order}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead; the answer says how
        return self._answer(order)

    def next_line(self) -> str:
        """The next line of an answer that has several."""
        return self._answer("the line before")

    def patch(self, path: Path) -> str:
        """What the patch at *path* answers once it is loaded."""
        return self.tell(f"patch {path}")

    def end(self) -> None:
        """Let it end by itself, and see that it does so soundly."""
        assert self.tell("quit") == "bye"
        assert self._process.wait(ANSWER_TIME) == 0, self.errors()

    def stop(self) -> None:
        """Kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                continue  # an order that it never read

    def errors(self) -> str:
        """What it wrote to its standard error."""
        return Path(self._errors.name).read_text()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line.rstrip("\n"))
        except ValueError:
            pass  # closed by stop()
        self._lines.put(None)

    def _answer(self, order: str) -> str:
        try:
            line = self._lines.get(timeout=ANSWER_TIME)
        except queue.Empty:
            raise AssertionError(f"no answer to {order!r} in {ANSWER_TIME:.0f} s\n{self.errors()}") from None
        if line is None:
            status = self._process.wait(ANSWER_TIME)
            raise AssertionError(f"the host died of {order!r} with status {status}\n{self.errors()}")
        return line


def capture_executable(folder: Path) -> Path:
    """``hotpatch-stubgen-linker``: the installed one, or in a bare checkout one just like it."""
    if CAPTURE.exists():
        return CAPTURE
    script = folder / CAPTURE.name
    root = Path(__file__).parents[2]
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m stubgen.capture "$@"\n')
    script.chmod(0o755)
    return script


def compiling(folder: Path) -> str:
    """``hotpatch-stubgen-compiler``, as a word of a command line: the installed one, or one just like it."""
    if COMPILER.exists():
        return str(COMPILER)
    script = folder / COMPILER.name
    root = Path(__file__).parents[2]
    code = "from stubgen.capture import compiler_main; compiler_main()"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -c "{code}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def capturing(folder: Path, real_linker: str) -> dict[str, str]:
    """The environment in which a build's linker is the capture executable in front of *real_linker*."""
    return {**os.environ, "STUBGEN_CAPTURE_DIR": str(folder), "STUBGEN_REAL_LINKER": real_linker}


def stubgen(*words: object) -> subprocess.CompletedProcess[str]:
    """``python -m stubgen`` as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "stubgen", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def defined_by(program: Path) -> set[str]:
    """Every name that *program* defines, by ``nm``."""
    return {
        line.split()[-1].partition("@")[0] for line in run([need("llvm-nm-19"), "--defined-only", program]).splitlines()
    }


def looked_up_by(patch: Path) -> set[str]:
    """Every name in a dynamic relocation of *patch*, by ``readelf``."""
    names = set()
    for line in run([need("readelf"), "-rW", patch]).splitlines():
        words = line.split()
        if len(words) > 4 and words[2].startswith("R_AARCH64_"):
            names.add(words[4].partition("@")[0])
    return names


def libraries_of(patch: Path, tag: str = "NEEDED") -> list[str]:
    """The DT_NEEDED entries of *patch*, or those of another *tag*, by ``readelf``."""
    lines = run([need("readelf"), "-dW", patch]).splitlines()
    return [line.partition("[")[2].rstrip("]") for line in lines if f"({tag})" in line]
