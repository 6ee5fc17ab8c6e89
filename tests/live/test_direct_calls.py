"""Runtimes that overwrite where old functions begin: callers that GCC compiled for the registers of the old ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_state import COMPILERS
from tools import need, run

from stubgen import StubBuilder, link_patch
from stubgen.capture import Capture
from stubgen.commands.jumptable import table_lines
from stubgen.generations.linking import link_generation
from stubgen.generations.opening import SessionOptions
from stubgen.jumptable import Entry, JumpTable, TableOptions

PROGRAMS = Path(__file__).parent.parent / "programs"
RELIED_ON = {
    *("scaled", "counted", "stepped", "ticked", "tocked", "doubled"),
    *("rated", "ninth", "chosen", "turned", "deep", "parted"),
}
"""The functions of relying.c whose callers keep something in GCC's programs; ``plain``, ``emptied`` and ``last`` have
none such."""


class Built:
    """A host of relying.c, and the object of the edited file."""

    def __init__(self, folder: Path, compiler: str, options: str, link_options: str = "") -> None:
        self.folder = folder
        driver, *target = COMPILERS[compiler]
        self.compile_command = compile_command = [
            str(need(driver)),
            *target,
            "-fPIC",
            *options.split(),
            "-falign-functions=16",
            "-c",
        ]
        for name in ("relying", "relying_main"):
            run([*compile_command, *link_options.split(), PROGRAMS / f"{name}.c", "-o", f"{name}.o"], cwd=folder)
        run([*compile_command, "-DEDITED", PROGRAMS / "relying.c", "-o", "edited.o"], cwd=folder)
        command = [compile_command[0], *target, "-pie", *options.split(), *link_options.split()]
        command += ["-Wl,--export-dynamic-symbol=main", "relying_main.o", "relying.o", "-ldl", "-o", "host"]
        run(command, cwd=folder)
        self.host = folder / "host"
        self.captured = Capture(command, folder, {}, output="host")

    def table(self, live: LiveHost, *, direct_calls: bool) -> JumpTable:
        """The table of the patch with the edited file, in which it calls what nobody knows."""
        linked = link_patch(
            StubBuilder(self.host, cache=False),
            self.captured,
            [self.folder / "edited.o"],
            self.folder / "patch.so",
            live.anchor,
            jump_table=TableOptions(direct_calls=direct_calls),
        )
        assert linked.jump_table is not None
        return linked.jump_table

    def after(self, table: JumpTable, entries: list[Entry]) -> tuple[str, str]:
        """What the program says before and after *entries* are led to the patch."""
        with LiveHost(self.host) as live:
            before = live.tell("run")
            loaded = int(live.tell(f"load {self.folder / 'patch.so'}"), 16) - table.patch_anchor
            for entry in entries:
                live.tell(f"lead {entry.old + live.anchor - table.host_anchor:x} {entry.new + loaded:x}")
            try:
                return before, live.tell("run")
            except AssertionError:
                return before, "it died"


HOSTS = {
    "gcc O2": ("gcc", "-O2", ""),
    "gcc O2 g": ("gcc", "-O2 -g", ""),
    "gcc O3": ("gcc", "-O3 -g", ""),
    "gcc Os": ("gcc", "-Os", ""),
    "gcc lto": ("gcc", "-O2 -g", "-flto"),
    "gcc O1": ("gcc", "-O1", ""),
    "gcc O0": ("gcc", "-O0 -g", ""),
    "gcc no ipa-ra": ("gcc", "-O2 -fno-ipa-ra", ""),
    "gcc patchable": ("gcc", "-O2 -fpatchable-function-entry=4", ""),
    "clang O2": ("clang", "-O2", ""),
    "clang O0": ("clang", "-O0 -g", ""),
}
"""Compiler, how everything is compiled, how the host is besides."""


@pytest.mark.parametrize("name", HOSTS)
def test_functions_whose_callers_keep_values_are_told(tmp_path: Path, name: str) -> None:
    """The patch linked with status 0, and callers went on with values that the new function had destroyed.

    Each function by itself is led to one that does the same, and destroys what it may. Where the program says something
    else then, the table has to know; and it has to know no others.
    """
    built = Built(tmp_path, *HOSTS[name])
    with LiveHost(built.host) as live:
        table = built.table(live, direct_calls=False)
    entries = {entry.old: entry for entry in table.entries}
    wrong = set()
    for entry in table.entries:
        before, after = built.after(table, [entry])
        wrong |= {entry.name} if before != after else set()
    sure = {entries[one.old].name for one in table.relying if one.sure}
    told = {entries[one.old].name for one in table.relying}
    assert wrong <= told, f"not told: {wrong - told}"
    assert "lto" in name or sure <= RELIED_ON
    assert bool(wrong) == bool(sure) == name.startswith(("gcc O2", "gcc O3", "gcc Os", "gcc lto"))


@pytest.mark.parametrize("name", ["gcc O2", "gcc lto"])
def test_direct_calls_are_not_led_to_them(tmp_path: Path, name: str) -> None:
    """With ``direct_calls`` they are left out, each with its reason: the program says what it said."""
    built = Built(tmp_path, *HOSTS[name])
    with LiveHost(built.host) as live:
        table = built.table(live, direct_calls=True)
    left_out = {item.name: item.reason for item in table.undecided}
    assert any(reason.endswith("compile the host with -fno-ipa-ra") for reason in left_out.values())
    assert "plain" in {entry.name for entry in table.entries}
    before, after = built.after(table, list(table.entries))
    assert before == after
    assert any(line.startswith("  left out: ") and "while it calls it" in line for line in table_lines(table))


@pytest.mark.parametrize("direct_calls", [False, True])
def test_callers_in_an_earlier_patch_rely_as_well(tmp_path: Path, direct_calls: bool) -> None:
    """The first patch's caller keeps values too, and the table of the second leads the first one's function on."""
    built = Built(tmp_path, *HOSTS["gcc O2"])
    builder, path = StubBuilder(built.host, cache=False), tmp_path / "shop.session"
    first = tmp_path / "first.o"
    text = (PROGRAMS / "relying.c").read_text().replace("x * 3 + 1) ^ (x << 5)", "x * 3 + 2) ^ (x << 5)")
    (tmp_path / "relying.c").write_text(text)
    run([*built.compile_command, "relying.c", "-o", first], cwd=tmp_path)
    options = TableOptions(direct_calls=direct_calls)
    tables: list[JumpTable] = []
    anchors = [0]
    with LiveHost(built.host) as live:
        for number, patch in enumerate((first, tmp_path / "edited.o"), 1):
            output = tmp_path / f"patch{number}.so"
            given = SessionOptions(path, loaded=anchors[-1] or None)
            made = link_generation(given, builder, built.captured, [patch], output, live.anchor, jump_table=options)
            assert made.linked.jump_table is not None
            tables.append(made.linked.jump_table)
            anchors.append(int(live.tell(f"load {output}"), 16))
        slide = live.anchor - tables[0].host_anchor
    shift = anchors[1] - tables[0].patch_anchor - slide
    callers = {one.caller for one in tables[1].relying if one.sure and 0 < one.old - shift < 1 << 32}
    led = {entry.name for entry in tables[1].entries if 0 < entry.old - shift < 1 << 32}
    assert direct_calls or {"kept_for_itself", "loop", "through_another"} <= callers
    assert ("turned" in led) is not direct_calls
    assert "plain" in led
