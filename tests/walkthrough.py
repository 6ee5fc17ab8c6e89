"""Runs the examples of a page: what a reader would type, in a folder of its own, and what the page says comes back.

Of a page's fenced blocks

- a ``{code-block}`` with a ``:caption:`` is a file of that name;
- ``console`` has commands behind ``$``, each with its output; ``...`` stands for any lines;
- where an output has lines that begin with ``> ``, the command is a program that reads what stands behind them; it goes
  on in the next ``console`` block that begins so;
- ``python`` is a program, and ``text output`` right behind it what it prints.

Addresses, sizes, digests and times are this machine's own: the page's are compared by their places alone, and where a
later command has an address that a page's output had, the real one is put in its place.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools import PACKAGES, need, need_module

HOME = "/home/you"
"""What a page calls the folder that its examples run in."""
ANSWER_TIME = 60.0
"""Seconds that a program gets for one line."""
MACHINE = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{12,40}\b|\b\d+ bytes|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b\d+\.\d+ m?s\b"
    r"|(?<=\.)[0-9a-f.]+(?=\.link\.json)"
)
"""What differs from machine to machine."""
MODULES = {"ziglang": "ziglang"}
STEADY = re.compile(r"export |cd ")
"""Commands that change what later ones see."""


class Block(NamedTuple):
    """A fenced block of a page."""

    info: str  # what stands behind the fence
    lines: list[str]
    line: int  # in the page, from 1
    caption: str


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of *page*."""
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        opened = re.fullmatch(r"(`{3,})([^`]*)", line)
        if not opened:
            continue
        inside: list[str] = []
        for _, each in lines:
            if each == opened[1]:
                break
            inside.append(each)
        caption = ""
        while inside and (option := re.fullmatch(r":(\w+): *(.*)", inside[0])):
            caption = option[2] if option[1] == "caption" else caption
            del inside[0]
        yield Block(opened[2].strip(), inside, number, caption)


class Walkthrough:
    """A reader with a folder, a shell and at most one running program."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._steady: list[str] = []  # export and cd so far
        self._real: dict[str, str] = {}  # the page's addresses -> the real ones
        self._program: _Program | None = None

    def follow(self, page: Path) -> int:
        """Do all that *page* says; how many commands and programs that were."""
        done, printed = 0, ""
        try:
            for block in blocks(page.read_text()):
                where = f"{page.name}:{block.line}"
                if block.info.startswith("{code-block}") and block.caption:
                    self.folder.joinpath(block.caption).write_text("\n".join(block.lines) + "\n")
                elif block.info == "console":
                    done += self._console(block.lines, where)
                elif block.info == "python":
                    printed = self._run([sys.executable, "-c", self._translated("\n".join(block.lines))], where)
                    done += 1
                elif block.info == "text output":
                    self._compare(block.lines, printed, where)
        finally:
            if self._program:
                self._program.stop()
        return done

    def output(self, command: str) -> str:
        """What *command* prints to standard output, whatever its status, with this machine's addresses in it."""
        done = subprocess.run(
            ["bash", "-c", self._translated(command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.stdout

    def _console(self, lines: list[str], where: str) -> int:
        done = 0
        steps: list[tuple[str, list[str]]] = []
        for line in lines:
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif steps and steps[-1][0].endswith("\\"):
                steps[-1] = (f"{steps[-1][0]}\n{line}", [])
            elif steps:
                steps[-1][1].append(line)
            else:
                steps.append(("", [line]))
        for command, output in steps:
            done += 1
            if STEADY.match(command):
                self._steady.append(command)
            elif command and not any(line.startswith("> ") for line in output):
                refused = any("error:" in line or "  NO  " in line or "not sound" in line for line in output)
                printed = self._shell(command.partition("  #")[0], where, fails=refused)
                self._compare(output, printed, f"{where}: {command}")
            else:
                self._converse(command, output, where)
        return done

    def _shell(self, command: str, where: str, *, fails: bool) -> str:
        for word in re.findall(r"[\w./-]+", command):
            if word in PACKAGES:
                need(word)
        for module, package in MODULES.items():
            if module in command:
                need_module(module, package)
        script = "\n".join([*self._steady, self._translated(command)])
        return self._run(["bash", "-c", script], where, fails=fails)

    def _run(self, command: list[str], where: str, *, fails: bool = False) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert bool(done.returncode) == fails, f"{where}: status {done.returncode}\n{command[-1]}\n{done.stdout}"
        return done.stdout

    def _converse(self, command: str, lines: list[str], where: str) -> None:
        """Start the program *command*, if it is one, type what stands behind ``> `` and hear what it answers."""
        if command:
            for word in command.split():
                if word in PACKAGES:
                    need(word)
            if self._program:
                self._program.stop()
            self._program = _Program(self._translated(command), self.folder, self.environment)
        assert self._program, f"{where}: no program runs"
        for line in lines:
            if line.startswith("> "):
                self._program.type(self._translated(line[2:]))
            else:
                self._compare([line], self._program.next_line(), where)

    def _translated(self, text: str) -> str:
        """*text* with this machine's addresses in place of the page's."""
        text = text.replace(HOME, str(self.folder))
        return re.sub(r"0x[0-9a-fA-F]+", lambda found: self._real.get(found[0].lower(), found[0]), text)

    def _compare(self, expected: list[str], printed: str, where: str) -> None:
        actual = printed.replace(str(self.folder), HOME).splitlines()
        wanted = [line for line in expected if line.strip()]
        found = [line for line in actual if line.strip()]
        position = 0
        for number, line in enumerate(wanted):
            if line.strip() == "...":
                rest = wanted[number + 1 :]
                if not rest:
                    return
                while position < len(found) and _plain(found[position]) != _plain(rest[0]):
                    position += 1
                continue
            assert position < len(found), f"{where}: nothing was printed where the page says\n{line}\nall:\n{printed}"
            real = found[position]
            assert _plain(real) == _plain(line), f"{where}: the page says\n{line}\nand this is\n{real}\nall:\n{printed}"
            self._real |= dict(zip(re.findall(r"0x[0-9a-f]+", line), re.findall(r"0x[0-9a-f]+", real), strict=True))
            position += 1
        assert position == len(found), f"{where}: the page does not say\n{found[position]}\nall:\n{printed}"


def _plain(line: str) -> str:
    """*line* without what differs from machine to machine, and with single spaces."""
    return " ".join(MACHINE.sub("#", line).split())


class _Program:
    """A program that answers each line with lines; its prompt is ``> ``."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def type(self, line: str) -> None:
        """Type *line*."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def next_line(self) -> str:
        """What it prints next."""
        return self._lines.get(timeout=ANSWER_TIME)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                continue

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line.rstrip("\n").removeprefix("> "))
        except ValueError:
            pass  # closed by stop()
        self._lines.put("(it ended)")


def reader(folder: Path) -> Walkthrough:
    """A reader who has installed the tool and keeps no cache."""
    tools = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STUBGEN_")},
        "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
        "STUBGEN_CACHE_DIR": "",
        "COLUMNS": "100",
    }
    return Walkthrough(folder, environment)
