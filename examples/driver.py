"""What the examples' scripts share: a copy of the project, its running program, and the way of a patch into it."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from types import TracebackType
from typing import Self

EXAMPLES = Path(__file__).parent
NATIVE = platform.machine() == "aarch64"
PREFIX = "" if NATIVE else "aarch64-linux-gnu-"
"""What Debian's cross tools are called, in front of their own name."""
EMULATOR = () if NATIVE else ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
PATIENCE = 60.0
"""Seconds that the program gets for an answer."""


class Example:
    """A copy of an example and of its runtime in a folder, where it is built, edited and patched.

    Args:
        name: the example's folder.
        runtime: the runtime's folder.
        folder: where the copies go; it exists.
    """

    def __init__(self, name: str, runtime: str, folder: Path) -> None:
        self.folder = folder / name
        self.captured = str(self.folder / "captured")
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        for part in (name, runtime):
            shutil.copytree(EXAMPLES / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "target"))

    def export(self, **variables: str) -> None:
        """Environment variables for every later command."""
        say(f"$ export {' '.join(f'{name}={self._quote(value)}' for name, value in variables.items())}")
        self.environment |= variables

    def run(self, *command: str) -> None:
        """Show *command* and what it prints; where it fails, the example ends.

        Raises:
            SystemExit: its status is not 0.
        """
        say(f"$ {' '.join(map(self._quote, command))}")
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        say(done.stdout.rstrip("\n").replace(str(self.folder), "$PWD"))
        if done.returncode:
            raise SystemExit(f"{command[0]} ended with status {done.returncode}")

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Change a source file: in each pair the first stands in it once, and becomes the second."""
        path = self.folder / file
        text = old = path.read_text()
        for before, after in changes:
            if text.count(before) != 1:
                raise SystemExit(f"{file} has {before!r} {text.count(before)} times")
            text = text.replace(before, after)
        path.write_text(text)
        say(f"# {file} is edited:")
        for line in unified_diff(old.splitlines(), text.splitlines(), n=0, lineterm=""):
            if not line.startswith(("---", "+++", "@@")):
                say(line)

    def start(self, program: str) -> Running:
        """The example's program, running."""
        return Running(self.folder / program, self.environment)

    def patch(self, running: Running, host: str, table_format: str, *changed: str) -> None:
        """Patch the running program with what *changed*, its source files; *host* is its file."""
        loaded = ("--loaded", running.patched) if running.patched else ()
        running.generation += 1
        anchor, pid = running.runtime.process()
        self.run(
            *("hotpatch-stubgen", "patch", "--captured", self.captured, "--host", host, "--keep-state"),
            *("--session", "session", "--aslr-reference", anchor, "--pid", pid, *loaded),
            *("--jump-table", "table-{generation}.json", "--table-format", table_format),
            *(word for file in changed for word in ("--changed", file)),
            *("-o", str(self.folder / "patch-{generation}.so")),
        )
        table = self.folder / f"table-{running.generation}.json"
        running.patched = running.runtime.take(table.read_bytes())
        say(f"the patch is at {running.patched}")

    def _quote(self, word: str) -> str:
        """A word of a shell's command line, with the shell's name for the folder."""
        short = word.replace(str(self.folder), "$PWD")
        return shlex.quote(word) if short == word else f'"{short}"'


class Running:
    """A program with a reference runtime, which answers each line with a line."""

    def __init__(self, program: Path, environment: Mapping[str, str]) -> None:
        self.generation = 0  # number of patches that it took
        self.patched = ""  # where it has the newest one's anchor
        self._folder = tempfile.TemporaryDirectory(prefix="hot-")  # a socket's path has 107 bytes at most
        self.runtime = Runtime(str(Path(self._folder.name, "socket")))
        command = [*EMULATOR, str(program)]
        say(f"$ HOT_SOCKET=... {shlex.join([*command[:-1], program.name])}")
        self._process = subprocess.Popen(
            command,
            env={**environment, "HOT_SOCKET": self.runtime.path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate(timeout=PATIENCE)
        self._folder.cleanup()
        if kind is None and self._process.returncode:
            raise SystemExit(f"the program ended with status {self._process.returncode}")

    def ask(self, line: str) -> str:
        """Its answer to *line*."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if not answer:
            raise SystemExit(f"the program ended when it was asked: {line}")
        say(f"{line}  =>  {answer}")
        return answer


class Runtime:
    """A reference runtime at its Unix socket.

    Raises:
        SystemExit: it refuses the patch, or there is no anchor.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def anchor(self) -> str:
        """The anchor's runtime address."""
        return self.process()[0]

    def process(self) -> tuple[str, str]:
        """The anchor's runtime address, and the process's number."""
        with self._connected() as (_, anchor, pid):
            return anchor, pid

    def take(self, table: bytes) -> str:
        """Where the patch of a jump table was loaded: its anchor's runtime address."""
        with self._connected() as (connection, _, _):
            connection.sendall(table)
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile() as lines:
                word, _, rest = lines.readline().rstrip("\n").partition(" ")
        if word != "loaded":
            raise SystemExit(f"the program {word or 'does not answer'} {rest}".rstrip())
        return rest

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, str, str]]:
        """A connection, and what is said first: the anchor's address, and the process's number."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.path)
            with connection.makefile() as lines:
                words = lines.readline().split()
            if words[:1] != ["anchor"] or words[2:3] != ["pid"] or not words[1].startswith("0x"):
                raise SystemExit("the program does not export main, the anchor")
            yield connection, words[1], words[3]


def say(text: str) -> None:
    """Print, if there is anything."""
    if text:
        print(text, flush=True)


@contextmanager
def example(name: str, runtime: str) -> Iterator[Example]:
    """The example in the folder that the command line names, else in a temporary one."""
    parser = argparse.ArgumentParser(description=f"Builds examples/{name}, and patches it while it runs.")
    parser.add_argument("folder", nargs="?", type=Path, help="where to build (default: a temporary folder)")
    folder = parser.parse_args().folder
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Example(name, runtime, folder.resolve())
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Example(name, runtime, Path(temporary).resolve())
