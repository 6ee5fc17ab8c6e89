"""Runtimes that overwrite where old functions begin: callers that GCC compiled for the registers of the old ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Unpack

import pytest
from live.live import LiveHost
from live.test_state import COMPILERS
from tools import need, run

from stubgen import StubBuilder, link_patch
from stubgen.capture import Capture
from stubgen.commands.jumptable import table_lines
from stubgen.generations.linking import link_generation
from stubgen.generations.opening import SessionOptions
from stubgen.generations.undoing import link_undo
from stubgen.host.previous import PreviousPatch
from stubgen.image.opening import open_image
from stubgen.jumptable import Entry, JumpTable, TableOptions
from stubgen.keywords import Options
from stubgen.link import Linked

PROGRAMS = Path(__file__).parent.parent / "programs"
RELIED_ON = {
    *("scaled", "counted", "stepped", "ticked", "tocked", "doubled"),
    *("rated", "ninth", "chosen", "turned", "deep", "parted"),
}
"""The functions of relying.c whose callers keep something in GCC's programs; ``plain``, ``emptied`` and ``last`` have
none such."""
KNOWN = RELIED_ON | {"plain", "emptied", "last", "tocked"}
"""Those that a function of the file calls."""


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

    def linked(self, live: LiveHost, table: TableOptions | None = None, **options: Unpack[Options]) -> Linked:
        """The patch with the edited file, in which it calls what nobody knows."""
        builder, objects = StubBuilder(self.host, cache=False), [self.folder / "edited.o"]
        output = self.folder / "patch.so"
        return link_patch(builder, self.captured, objects, output, live.anchor, jump_table=table, **options)

    def table(self, live: LiveHost, *, direct_calls: bool) -> JumpTable:
        """Its table."""
        linked = self.linked(live, TableOptions(direct_calls=direct_calls))
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
    "clang mold": ("clang", "-O2", "-fuse-ld=mold"),
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


@pytest.mark.parametrize(
    ("name", "allow_static"),
    [("clang O2", False), ("clang mold", False), ("clang mold", True), ("clang O2", True), ("clang O0", False)],
)
def test_static_functions_of_llvm_may_take_something_else(tmp_path: Path, name: str, allow_static: bool) -> None:
    """Clang -O3 passed what a pointer led to, in the host and not in the patch, where an edit wrote something first.

    In mold's hosts what was global is local too: there the object tells which functions are static.
    """
    built = Built(tmp_path, *HOSTS[name])
    with LiveHost(built.host) as live:
        linked = built.linked(live, TableOptions(direct_calls=True), allow_static=allow_static)
    assert linked.jump_table is not None
    led = {entry.name for entry in linked.jump_table.entries}
    left_out = {item.name: item.reason for item in linked.jump_table.undecided}
    proven = allow_static or name == "clang O0"
    assert ("plain" in led) is proven
    assert ("a static function of a host that LLVM compiled" in left_out.get("plain", "")) is not proven
    assert "loop" in led, "other files see it"


@pytest.mark.parametrize("name", ["gcc O2", "gcc lto", "gcc O0", "clang O2"])
def test_without_a_table_they_are_told_as_well(tmp_path: Path, name: str) -> None:
    """A runtime may overwrite what ``replaced`` lists and want no table: it learned of no caller."""
    built = Built(tmp_path, *HOSTS[name])
    with LiveHost(built.host) as live:
        alone, table = built.linked(live), built.table(live, direct_calls=False)
    assert alone.relying == table.relying
    assert any(one.sure for one in alone.relying) == (name in ("gcc O2", "gcc lto"))


def test_what_did_not_change_is_not_told(tmp_path: Path) -> None:
    """The same code changes the same registers: a list of all that the file has hides what counts."""
    built = Built(tmp_path, *HOSTS["gcc O2"])
    run([*built.compile_command, PROGRAMS / "relying.c", "-o", "edited.o"], cwd=tmp_path)
    with LiveHost(built.host) as live:
        linked = built.linked(live)
    assert not linked.relying
    assert {item.name for item in linked.replaced.functions} >= RELIED_ON


def test_callers_in_an_earlier_patch_are_told_without_a_table(tmp_path: Path) -> None:
    """``previous`` lists what the patch replaces in earlier ones, where callers keep values just as the host's do."""
    built = Built(tmp_path, *HOSTS["gcc O2"])
    edited = (tmp_path / "edited.o").read_bytes()
    run([*built.compile_command, PROGRAMS / "relying.c", "-o", "edited.o"], cwd=tmp_path)
    with LiveHost(built.host) as live:
        first = built.linked(live).output.rename(tmp_path / "first.so")
        image = open_image(first.read_bytes(), first.name)
        moved = int(live.tell(f"load {first}"), 16) - image.find({b"main"})[b"main"][0].address
        (tmp_path / "edited.o").write_bytes(edited)
        linked = built.linked(live, previous=[PreviousPatch(first, image.first_address + moved)])
    found = dict(linked.replaced_in_previous)[str(first)]
    names = {copy.static_address: item.name for item in found.functions for copy in item.copies}
    assert "turned" in {names[one.old] for one in linked.relying_in_previous[0] if one.sure}


class Patched(NamedTuple):
    """A patch of a process, where that has it, and its table."""

    path: Path
    table: JumpTable
    anchor: int


class Process:
    """A process whose runtime overwrites what its newest table has, and puts back what that has no longer."""

    def __init__(self, built: Built, live: LiveHost, options: TableOptions) -> None:
        self.built = built
        self.live = live
        self.options = options
        self.builder = StubBuilder(built.host, cache=False)
        self.session = built.folder / "shop.session"
        self.patches: list[Patched] = []

    def patch(self, *objects: Path) -> Patched:
        """Link and load the next patch."""
        output = self.built.folder / f"patch{len(self.patches) + 1}.so"
        made = link_generation(
            self._given(),
            self.builder,
            self.built.captured,
            objects,
            output,
            self.live.anchor,
            jump_table=self.options,
        )
        return self._loaded(made.linked)

    def undo(self) -> Patched:
        """Link and load what leads back to the host."""
        output = self.built.folder / f"patch{len(self.patches) + 1}.so"
        made = link_undo(self._given(), self.builder, self.built.captured, output, jump_table=self.options)
        return self._loaded(made.linked)

    def _given(self) -> SessionOptions:
        return SessionOptions(self.session, loaded=self.patches[-1].anchor if self.patches else None)

    def _loaded(self, linked: Linked) -> Patched:
        assert linked.jump_table is not None
        path = linked.output.resolve()
        self.patches.append(Patched(path, linked.jump_table, int(self.live.tell(f"load {path}"), 16)))
        return self.patches[-1]

    def lead(self, patched: Patched, entries: Iterable[Entry]) -> None:
        """Overwrite where *entries* begin."""
        slide, there = self.live.anchor - patched.table.host_anchor, patched.anchor - patched.table.patch_anchor
        for entry in entries:
            self.live.tell(f"lead {(entry.old + slide) % (1 << 64):x} {entry.new + there:x}")

    def apply(self, patched: Patched) -> None:
        """Take the whole table."""
        now = {entry.old for entry in patched.table.entries}
        self.put_back(entry for each in self.patches for entry in each.table.entries if entry.old not in now)
        self.lead(patched, patched.table.entries)

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Put back what was where *entries* begin."""
        for entry in entries:
            self.live.tell(f"back {(entry.old + self.live.anchor - self.patches[0].table.host_anchor) % (1 << 64):x}")

    def goes_wrong(self, entry: Entry) -> bool:
        """Whether code of the first patch says something else once *entry* of the second one's table is applied."""
        first, undo = self.patches
        with LiveHost(self.built.host) as live:
            again = Process(self.built, live, self.options)
            for patched in (first, undo):
                again.patches.append(patched._replace(anchor=int(live.tell(f"load {patched.path}"), 16)))
            before = live.tell("run")
            again.lead(again.patches[0], first.table.entries)
            again.put_back(each for each in first.table.entries if each.name == entry.name)
            again.lead(again.patches[1], [entry])
            try:
                return live.tell("run") != before
            except AssertionError:
                return True

    def key_of(self, patched: Patched) -> int:
        """What is added to an address in a patch, for the table."""
        return patched.anchor - patched.table.patch_anchor - (self.live.anchor - patched.table.host_anchor)


@pytest.mark.parametrize("direct_calls", [False, True])
def test_callers_in_an_earlier_patch_rely_as_well(tmp_path: Path, direct_calls: bool) -> None:
    """The first patch's caller keeps values where no host's does, and the second's table leads its function on.

    So does the third's, which replaces nothing of it: it says the same again.
    """
    built = Built(tmp_path, "gcc", "-O2 -DEDITED")
    text = (PROGRAMS / "relying.c").read_text().replace("EDIT;", "EDIT; destroy_registers();")
    (tmp_path / "relying.c").write_text(text)
    (tmp_path / "other.c").write_text("long other(void) { return 5; }")
    run([*built.compile_command, "-UEDITED", PROGRAMS / "relying.c", "-o", "first.o"], cwd=tmp_path)
    for name in ("relying", "other"):
        run([*built.compile_command, f"{name}.c", "-o", f"new_{name}.o"], cwd=tmp_path)
    with LiveHost(built.host) as live:
        process = Process(built, live, TableOptions(direct_calls=direct_calls))
        tables = [process.patch(tmp_path / f"{name}.o").table for name in ("first", "new_relying", "new_other")]
        shift = process.key_of(process.patches[0])
    assert not tables[0].relying
    for table in tables[1:]:
        callers = {one.caller for one in table.relying if one.sure and 0 < one.old - shift < 1 << 32}
        led = {entry.name for entry in table.entries if 0 < entry.old - shift < 1 << 32}
        assert {"kept_for_itself", "loop", "through_another"} <= callers
        assert ("turned" in led) is not direct_calls
        assert "plain" in led
        assert "turned" in {entry.name for entry in table.entries}, "the host's callers rely on nothing"
        left_out = {item.name: item.reason for item in table.undecided}
        assert ("loop keeps values in" in left_out.get("turned", "")) is direct_calls


@pytest.mark.parametrize("name", ["gcc O2 g", "gcc O3", "clang O2"])
def test_who_is_led_back_is_told(tmp_path: Path, name: str) -> None:
    """The way back is one to other functions too: code of the patch that still ran lost what it kept.

    Here the host's functions destroy what they may, and the patch's do not. While code of the patch runs each of its
    functions is led back by itself.
    """
    compiler, options, _ = HOSTS[name]
    built = Built(tmp_path, compiler, f"{options} -DEDITED")
    run([*built.compile_command, "-UEDITED", PROGRAMS / "relying.c", "-o", "plain.o"], cwd=tmp_path)
    with LiveHost(built.host) as live:
        process = Process(built, live, TableOptions())
        first = process.patch(tmp_path / "plain.o")
        undo = process.undo()
        shift = process.key_of(first)
    in_patch = {entry.old: entry for entry in undo.table.entries if 0 < entry.old - shift < 1 << 32}
    wrong = {entry.name for entry in in_patch.values() if entry.name in KNOWN and process.goes_wrong(entry)}
    told = {in_patch[one.old].name for one in undo.table.relying}
    sure = {in_patch[one.old].name for one in undo.table.relying if one.sure}
    assert not first.table.relying, "the host's callers know that its functions destroy everything"
    assert wrong <= told, f"not told: {wrong - told}"
    assert sure <= RELIED_ON
    assert bool(wrong) == bool(sure) == name.startswith("gcc")


def test_the_way_back_of_direct_calls(tmp_path: Path) -> None:
    """A jump from the host's function to a stub that leads there never ends: what was there before has to be put back.

    What is led back without harm is; the patch's code goes on calling its own where it relies on that.
    """
    built = Built(tmp_path, "gcc", "-O2 -g -DEDITED")
    run([*built.compile_command, "-UEDITED", PROGRAMS / "relying.c", "-o", "plain.o"], cwd=tmp_path)
    with LiveHost(built.host) as live:
        process = Process(built, live, TableOptions(direct_calls=True))
        before = live.tell("run")
        first = process.patch(tmp_path / "plain.o")
        process.apply(first)
        assert live.tell("run") == before
        undo = process.undo()
        shift = process.key_of(first)
        in_patch = [entry for entry in undo.table.entries if 0 < entry.old - shift < 1 << 32]
        process.put_back(entry for entry in first.table.entries if entry.name in KNOWN)
        process.lead(undo, [entry for entry in in_patch if entry.name in KNOWN])
        assert live.tell("run") == before, "code of the patch that still runs"
        process.apply(undo)
        assert live.tell("run") == before
        live.end()
    assert in_patch == list(undo.table.entries)
    assert {"plain", "emptied"} <= {entry.name for entry in in_patch}
    assert "turned" in {item.name for item in undo.table.undecided}
