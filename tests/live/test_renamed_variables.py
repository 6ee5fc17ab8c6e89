"""Variables that the host has under another name than the patch: kept where that is certain, named where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost
from live.test_macho import toolchain
from live.test_state import COMPILERS
from live.test_undefined import RUNNER
from tools import linker_folder, need, run

from stubgen import StubBuilder, link_patch
from stubgen.capture import Capture
from stubgen.host.previous import PreviousPatch
from stubgen.link import Linked

A_FILE = """
static volatile int calls = 5, last;
__attribute__((noinline)) long a_next(long by) { last = by; return calls += by; }
"""
B_FILE = """
static volatile int calls = 50, last;
__attribute__((noinline)) long b_next(long by) { last = by; return calls += by; }
long a_next(long);
long host_entry(long by) { return a_next(by) * 1000 + b_next(by); }
"""
EDITED = A_FILE + "long patch_main(void) { return a_next(100) * 1000 + last; }"
TWO_FILES = {"a.c": A_FILE, "b.c": B_FILE}
OPTIMISED = {
    "gcc": ("gcc", "-flto", "bfd"),
    "clang-thin": ("clang", "-flto=thin", "lld"),
    "clang-full": ("clang", "-flto", "lld"),
}
"""How a host is optimised as a whole: the compiler, its option, the linker."""


class Program(NamedTuple):
    """A host, the record of its link, and how its files were compiled."""

    folder: Path
    captured: Capture
    compile: tuple[str, ...]

    def recompiled(self, name: str, text: str) -> Path:
        """The object of an edited file."""
        (self.folder / name).write_text(text)
        run([*self.compile, "-fdata-sections", name, "-o", "patch.o"], cwd=self.folder)
        return self.folder / "patch.o"

    def link(
        self, live: LiveHost, patch: Path, *, keep_state: bool = True, previous: Sequence[PreviousPatch] = ()
    ) -> Linked:
        """A patch of it."""
        builder = StubBuilder(self.folder / "host", cache=False)
        options = {"exports": ["patch_main"], "keep_state": keep_state, "previous": previous}
        output = self.folder / "patch.so"
        return link_patch(builder, self.captured, [patch], output, live.anchor, **options)  # type: ignore[arg-type]


NOINLINE = "__attribute__((noinline))"
PLAIN = ("gcc", "-fno-lto", "bfd")


def make(
    folder: Path,
    way: tuple[str, str, str],
    debug: str = "-g",
    *,
    attribute: str = NOINLINE,
    twice: bool = False,
    files: Mapping[str, str] = TWO_FILES,
) -> Program:
    """The host of two files, with static variables of the same names unless others are given."""
    compiler, option, linker = way
    driver, *target = COMPILERS[compiler]
    compiling = (str(need(driver)), *target, *debug.split(), "-O2", "-fPIC", "-c")
    for name, text in {"runner.c": RUNNER, **files}.items():
        (folder / name).write_text(text.replace(NOINLINE, attribute))
        run([*compiling, option, name], cwd=folder)
    run([*compiling, option, "-Da_next=other_next", "a.c", "-o", "c.o"], cwd=folder)
    objects = ["runner.o", "a.o", "b.o", *(["c.o", "-Wl,--export-dynamic-symbol=other_next"] if twice else [])]
    tools = linker_folder(folder / "linkers")
    command = [compiling[0], *target, "-pie", "-O2", option, f"-fuse-ld={linker}", f"-B{tools}", *debug.split()]
    command += ["-Wl,--export-dynamic-symbol=main", *objects, "-ldl", "-o", "host"]
    run(command, cwd=folder)
    return Program(folder, Capture(command, folder, {}, output="host"), compiling)


def shared(linked: Linked) -> dict[str, tuple[bool, str]]:
    """Name -> whether it is kept, and why not, of each variable that patch and host have."""
    variables = linked.built.resolution.shared_variables
    return {variable.name: (variable.forwarded, variable.reason_not_kept) for variable in variables}


@pytest.mark.parametrize("way", OPTIMISED)
def test_statics_that_link_time_optimisation_renamed_are_kept(tmp_path: Path, way: str) -> None:
    """Two files with a ``static int calls``: the linker renames one or both, and each patch started at 5 again."""
    see_them_kept(make(tmp_path, OPTIMISED[way]))


def test_statics_that_other_files_took_are_kept(tmp_path: Path) -> None:
    """ThinLTO inlines a function into another file, and makes its ``calls`` a global ``calls.llvm.HASH``."""
    program = make(tmp_path, OPTIMISED["clang-thin"], attribute="")
    names = run([str(need("llvm-nm-19")), program.folder / "host"])
    assert " calls.llvm." in names
    see_them_kept(program)


def see_them_kept(program: Program) -> None:
    """Patch a process of the program, whose counters go on."""
    with LiveHost(program.folder / "host") as live:
        assert live.tell("call") == f"{8 * 1000 + 53}"
        linked = program.link(live, program.recompiled("a.c", EDITED))
        assert shared(linked) == {"calls": (True, ""), "last": (True, "")}
        assert live.patch(linked.output) == f"{108 * 1000 + 100}"
        assert live.tell("call") == f"{111 * 1000 + 56}"


REASONS = {
    "gcc": (
        "link-time optimisation renamed the host's, calls.lto_priv.0 or calls.lto_priv.1; "
        "compile host and patch with -g"
    ),
    "clang-full": "the host's is from a file that its symbol table does not name",
}


@pytest.mark.parametrize("way", REASONS)
def test_without_debug_information_they_are_named(tmp_path: Path, way: str) -> None:
    """Nothing says which of ``calls.lto_priv.0`` and ``.1`` is this file's: the wrong one would be another's state."""
    program = make(tmp_path, OPTIMISED[way], "-g0")
    with LiveHost(program.folder / "host") as live:
        kept, reason = shared(program.link(live, program.recompiled("a.c", EDITED)))["calls"]
    assert not kept
    assert reason == REASONS[way]


@pytest.mark.parametrize("way", OPTIMISED)
def test_a_file_that_was_compiled_twice_tells_nothing(tmp_path: Path, way: str) -> None:
    """Each of its objects has a ``calls`` of its own; the patch would count in whichever stands first."""
    program = make(tmp_path, OPTIMISED[way], twice=True)
    with LiveHost(program.folder / "host") as live:
        assert not shared(program.link(live, program.recompiled("a.c", EDITED)))["calls"][0]


def test_another_type_of_one_that_was_renamed(tmp_path: Path) -> None:
    """The bytes of an ``int`` read as a ``float`` are nonsense; the type is in the unit of the source file."""
    program = make(tmp_path, OPTIMISED["gcc"])
    edited = EDITED.replace("static volatile int calls = 5", "static volatile float calls = 5")
    edited = edited.replace(", last;", "; static volatile int last;", 1)
    with LiveHost(program.folder / "host") as live:
        kept, reason = shared(program.link(live, program.recompiled("a.c", edited)))["calls"]
    assert not kept
    assert "float where the host has int" in reason


RENAMED = EDITED.replace("calls", "used")


def test_one_that_link_time_optimisation_had_renamed(tmp_path: Path) -> None:
    """``calls.lto_priv.0`` counts as numbered by the compiler: that ``used`` is new beside it was said to nobody."""
    program = make(tmp_path, OPTIMISED["gcc"])
    with LiveHost(program.folder / "host") as live:
        kept, reason = shared(program.link(live, program.recompiled("a.c", RENAMED)))["used"]
    assert not kept
    assert reason.startswith("it is new in a.c, and gone from there is calls.lto_priv.")


@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("keep_state", [True, False])
def test_a_variable_that_the_source_calls_otherwise_now(tmp_path: Path, debug: str, keep_state: bool) -> None:
    """Whoever renames ``calls`` loses what the process counted: it began at 5 again, and nobody said so."""
    program = make(tmp_path, PLAIN, debug)
    with LiveHost(program.folder / "host") as live:
        kept, reason = shared(program.link(live, program.recompiled("a.c", RENAMED), keep_state=keep_state))["used"]
    assert not kept
    assert reason == "it is new in a.c, and gone from there is calls: if it was called so, what the process has is lost"


@pytest.mark.parametrize("tools", ["lld -O1", "zig -O1", "lld -O1 dSYM"])
def test_a_renamed_variable_in_macho_files(tools: str, tmp_path: Path) -> None:
    """The debugger's entries say which file a static variable is from; a dSYM beside them said it a second time."""
    name, level, *dsym = tools.split()
    using = toolchain(name)
    text = A_FILE + "int main(void) { return a_next(1) + last; }"
    (tmp_path / "a.c").write_text(text)
    compiling = [*using.compile, level, "-g", "-c", str(tmp_path / "a.c"), "-o"]
    undefined = [] if using.link[1:] == using.compile[1:] else ["-undefined", "dynamic_lookup"]
    run([*compiling, "host.o"], cwd=tmp_path)
    command = [*using.link, *undefined, "-o", "host", "host.o"]
    run(command, cwd=tmp_path)
    if dsym:
        run([need("dsymutil-19"), "host"], cwd=tmp_path)
    (tmp_path / "a.c").write_text(text.replace("calls", "used"))
    run([*compiling, "patch.o"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", symbols=tmp_path / "host.dSYM" if dsym else None, cache=False)
    judged = builder.judge([tmp_path / "patch.o"], slide=0x4000, bind=True, keep_state=True)
    told = {variable.name: variable.reason_not_kept for variable in judged.shared_variables}
    assert told["_last"] == ""
    assert told["_used"].startswith("it is new in a.c, and gone from there is _calls: if it was called so")


@pytest.mark.parametrize(("compiler", "linker"), [("gcc", "bfd"), ("gcc", "mold"), ("clang", "lld")])
def test_what_a_compiler_made_for_exceptions_is_no_renamed_variable(compiler: str, linker: str, tmp_path: Path) -> None:
    """A function that catches nothing any more was said to have renamed ``DW.ref.__gxx_personality_v0``."""
    command = {"gcc": "aarch64-linux-gnu-g++", "clang": "clang-19 --target=aarch64-linux-gnu -xc++"}[compiler].split()
    compiling = [need(command[0]), *command[1:], "-O1", "-g", "-fPIE", "-c", "a.cc"]
    text = "void other(); int next() { try { other(); } catch (long) { return 1; } return 0; }\n"
    (tmp_path / "a.cc").write_text(text)
    run([*compiling, "-o", "host.o"], cwd=tmp_path)
    (tmp_path / "main.cc").write_text("int next(); void other() { throw 3L; } int main() { return next(); }\n")
    linking = ["-pie", "-B", linker_folder(tmp_path / "linkers"), f"-fuse-ld={linker}"]
    run([need("aarch64-linux-gnu-g++"), *linking, "host.o", "main.cc", "-o", "host"], cwd=tmp_path)
    assert "DW.ref.__gxx_personality_v0" in run([need("llvm-nm-19"), "host"], cwd=tmp_path)
    (tmp_path / "a.cc").write_text("static volatile int added; int next() { return ++added; }\n")
    run([*compiling, "-o", "patch.o"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", cache=False)
    assert not builder.judge([tmp_path / "patch.o"], slide=0, bind=True, keep_state=True).shared_variables


@pytest.mark.parametrize(("way", "attribute"), [("gcc", NOINLINE), ("clang-thin", "")])
def test_a_new_variable_is_no_renamed_one(tmp_path: Path, way: str, attribute: str) -> None:
    """A note about each counter that is added would soon be read by nobody: ``calls.llvm.HASH`` is still there."""
    program = make(tmp_path, OPTIMISED[way], attribute=attribute)
    edited = EDITED.replace("last;", "last, added = 3;", 1).replace("last = by;", "last = by; added++;")
    with LiveHost(program.folder / "host") as live:
        assert "added" not in shared(program.link(live, program.recompiled("a.c", edited)))
