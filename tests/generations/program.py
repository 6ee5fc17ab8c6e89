"""A program of two files whose runtime redirects by a jump table, and the patches of one process of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from live.live import LiveHost, stubgen
from live.test_elf import link_host
from tools import PROGRAMS, need, run

A = """
long count = 1; static long own = 1; __thread long local = 1;
void *hot(void *); int next_order(long *); void answer(long);
__attribute__((noinline)) static long rate(long n) { return n * 10 + P; }
__attribute__((noinline)) long price(long n) { return rate(n); }
__attribute__((noinline)) long level(void) { return P; }
long (*volatile pricing)(long) = price;
long step(long n) {
  count++, own++, local++;
  return ((long (*)(long))hot((void *)price))(n) * 1000000 + count * 10000 + own * 100 + local;
}
void loop(void) { long n; while (next_order(&n)) answer(((long (*)(long))hot((void *)step))(n)); }
"""
B = """
void *hot(void *); long price(long); long level(void);
long other(long n) { return ((long (*)(long))hot((void *)price))(n) * 100 + level() * 100000 + Q; }
"""
SOURCES = {"a": A, "b": B}
OPTIONS = ["-O1", "-g", "-fPIC", "-ffunction-sections", "-fdata-sections"]


class Program(NamedTuple):
    """A linked host, the record of its link, and a folder for patches."""

    host: Path
    captured: Path
    folder: Path

    @property
    def session(self) -> Path:
        """The session file of its process."""
        return self.folder / "session.json"

    def object(self, name: str, more: str = "", **numbers: int) -> Path:
        """The object of a file of the program, with other numbers in it, at the same path each time."""
        return compiled(self.folder, name, more, **numbers)

    def link(self, live: LiveHost, *words: object) -> dict[str, object]:
        """Link a patch of the session; the command's JSON document."""
        done = stubgen(
            *("link", "--json", "--host", self.host, "--captured", self.captured, "--session", self.session),
            *("--aslr-reference", hex(live.anchor), "--keep-state", "--jump-table", self.folder / "{generation}.json"),
            *("-o", self.folder / "patch-{generation}.so", *words),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def apply(self, live: LiveHost, generation: int) -> int:
        """Give a table to the process; where it has the library's anchor."""
        assert live.tell(f"apply {self.folder / f'{generation}.json'}") == "applied"
        return int(live.tell("where"), 16)

    def ask(self, *words: object) -> dict[str, object]:
        """The document of the command ``session``."""
        done = stubgen("session", "--json", self.session, *words)
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def undo(self, to: int, generation: int) -> dict[str, object]:
        """Link a patch that leads back."""
        table, output = self.folder / f"{generation}.json", self.folder / "patch-{generation}.so"
        return self.ask("undo", "--to", to, "--jump-table", table, "-o", output)


def compiled(folder: Path, name: str, more: str = "", **numbers: int) -> Path:
    """The object of one of the sources."""
    (folder / f"{name}.c").write_text(SOURCES[name] + more)
    macros = [f"-D{macro}={value}" for macro, value in numbers.items()]
    output = folder / f"{name}.o"
    run([str(need("aarch64-linux-gnu-gcc")), "-c", *OPTIONS, *macros, f"{name}.c", "-o", output], cwd=folder)
    return output


def started(folder: Path, linker: str, *options: str) -> Program:
    """The program, linked."""
    objects = {"a": compiled(folder, "a", P=0), "b": compiled(folder, "b", Q=0)}
    objects["table_runtime"] = folder / "table_runtime.o"
    runtime = [str(need("aarch64-linux-gnu-gcc")), "-c", "-O1", "-fPIC", PROGRAMS / "table_runtime.c"]
    run([*runtime, "-o", objects["table_runtime"]])
    return Program(*link_host(folder, objects, linker, "-Wl,--export-dynamic-symbol=main", *options), folder)
