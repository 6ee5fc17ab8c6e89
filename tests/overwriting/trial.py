"""One random program: each function is led to the patch's by itself, and what was told is held against the answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

from live.live import LiveHost
from overwriting.programs import program
from tools import PROGRAMS, need, run

from stubgen import StubBuilder, link_patch
from stubgen.capture import Capture
from stubgen.image.opening import open_image
from stubgen.jumptable import Entry, JumpTable, TableOptions, make_jump_table


class Build(NamedTuple):
    """How a program is compiled."""

    driver: str
    target: tuple[str, ...]
    language: str
    options: tuple[str, ...]
    host: tuple[str, ...]  # of the host besides


class Found(NamedTuple):
    """What came of a program."""

    functions: frozenset[str]
    wrong: frozenset[str]
    """Those with which the answer changed."""
    told: frozenset[str]
    """Those that are left out of a table for direct calls."""
    relying: frozenset[str]
    """Those of them whose callers may keep something in registers."""
    sure: frozenset[str]
    together: bool
    """Whether the answer stays as it was once all that were not told are led to the patch."""

    @property
    def missed(self) -> frozenset[str]:
        """Those of which nobody was told."""
        return self.wrong - self.told


DRIVERS = ("gcc", "g++", "gcc", "clang-19", "gcc", "g++", "gcc", "clang++-19")
"""The compilers, in turn."""
SAME = ("-fwrapv", "-ffp-contract=off", "-fno-builtin", "-falign-functions=16")
"""What has host and patch calculate alike, and leaves a runtime the space to overwrite."""


def build_of(seed: int) -> Build:
    """How the program of *seed* is compiled."""
    random, driver = Random(seed), DRIVERS[seed % len(DRIVERS)]
    language = "c++" if "++" in driver else "c"
    level, debug = random.choice(["-O1", *["-O2", "-O3", "-Os"] * 2]), random.choice([(), ("-g",)])
    options = (level, *debug, *SAME)
    if "clang" in driver:
        return Build(driver, ("--target=aarch64-linux-gnu",), language, options, ("-fPIC",))
    host = random.choice([("-fPIC",), ("-fPIE",), ("-fPIE", "-flto")])
    return Build(f"aarch64-linux-gnu-{driver}", (), language, options, host)


def attempt(seed: int, folder: Path) -> Found:
    """Build the program of *seed* in *folder*, which is empty, patch it and try each function."""
    build = build_of(seed)
    made = program(Random(seed), debug="-g" in build.options)
    source = "relying.cc" if build.language == "c++" else "relying.c"
    (folder / source).write_text(made.source)
    (folder / "driven.h").write_text(made.driver)
    driver = [str(need(build.driver)), *build.target]
    compile_command = [*driver, *build.options, "-w", "-c", source, "-o"]
    run([*compile_command, "relying.o", *build.host], cwd=folder)
    run([*compile_command, "edited.o", "-fPIC", "-DEDITED"], cwd=folder)
    main = [str(need(build.driver.replace("clang++", "clang").replace("g++", "gcc"))), *build.target, *build.options]
    defined = f'-DDRIVEN="{folder / "driven.h"}"'
    run([*main, *build.host, defined, "-c", PROGRAMS / "relying_main.c", "-o", "main.o"], cwd=folder)
    link = [*driver, "-pie", *build.options, *build.host, "-Wl,--export-dynamic-symbol=main", "main.o", "relying.o"]
    link += ["-lm", "-ldl", "-o", "host"]
    run(link, cwd=folder)
    captured = Capture(link, folder, {}, output="host")
    with LiveHost(folder / "host") as live:
        table, direct = _tables(folder, captured, live)
    names = {entry.old: entry.name for entry in table.entries}
    told = frozenset(names.values()) - {entry.name for entry in direct.entries}
    relying = frozenset(names[one.old] for one in table.relying)
    trial = Trial(folder, table)
    wrong = frozenset(entry.name for entry in table.entries if trial.goes_wrong([entry]))
    together = not trial.goes_wrong([entry for entry in table.entries if entry.name not in told])
    trial.end()
    sure = frozenset(names[one.old] for one in table.relying if one.sure)
    return Found(frozenset(names.values()), wrong, told, relying, sure, together)


def _tables(folder: Path, captured: Capture, live: LiveHost) -> tuple[JumpTable, JumpTable]:
    """The patch's table of all functions, and the one for direct calls."""
    builder, wanted, object_path = StubBuilder(folder / "host", cache=False), TableOptions(everything=True), "edited.o"
    linked = link_patch(builder, captured, [folder / object_path], folder / "patch.so", live.anchor, jump_table=wanted)
    assert linked.jump_table is not None
    patch = open_image(linked.jump_table.content, "patch.so")
    objects = [(item.name, item) for item in linked.built.resolution.needed.images]
    direct = make_jump_table(
        patch, builder.host, linked.replaced, objects, "main", wanted._replace(direct_calls=True), set(), set()
    )
    return linked.jump_table, direct


class Trial:
    """Processes of one program, a new one whenever one died."""

    def __init__(self, folder: Path, table: JumpTable) -> None:
        self.folder = folder
        self.table = table
        self._begin()

    def _begin(self) -> None:
        self.live = LiveHost(self.folder / "host")
        self.before = self.live.tell("run")
        self.patch = int(self.live.tell(f"load {self.folder / 'patch.so'}"), 16) - self.table.patch_anchor
        assert self.live.tell("run") == self.before

    def goes_wrong(self, entries: Iterable[Entry]) -> bool:
        """Whether the answer changes while *entries* are led to the patch."""
        slide = self.live.anchor - self.table.host_anchor
        for entry in entries:
            self.live.tell(f"lead {entry.old + slide:x} {entry.new + self.patch:x}")
        try:
            after = self.live.tell("run")
        except AssertionError:
            self.end()
            self._begin()
            return True
        for entry in entries:
            self.live.tell(f"back {entry.old + slide:x}")
        return after != self.before

    def end(self) -> None:
        """End the process."""
        self.live.stop()
