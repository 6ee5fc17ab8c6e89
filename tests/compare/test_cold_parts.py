"""Parts of functions that are seldom executed, which compilers put elsewhere: GCC's ``f.cold``, LLVM's ``f.cold.1``.

Nobody calls them by their name, so none is a function that a patch replaces; each is part of what its function is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from origin.bench import SLIDE, tools
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch

SOURCE = """
volatile long sink; void note(long) __attribute__((cold, noinline)); void note(long x) { sink += x; }
long work(long x) {
  if (x == 77) { sink = 1; note(x); note(x + 1); note(x + 2); note(3); __builtin_trap(); } return x; }
long other(long x) {
  if (x == 78) { sink = EDIT; note(x); note(x + 4); note(x + 2); note(3); __builtin_trap(); } return x + 1; }
long third(long x) {
  if (x == 79) { sink = 4; note(x); note(x + 5); note(x); note(5); __builtin_trap(); } return other(x) + 1; }
int main(void) { return (int)(work(1) + other(1) + third(1)); }
"""


class Compiler(NamedTuple):
    """What splits functions, and the linker that links them."""

    command: Sequence[str]
    linker: str
    suffix: str  # of the parts' names


LLVM = ("-mno-outline", "-mllvm", "-hot-cold-split=true", "-mllvm", "-hotcoldsplit-threshold=-1")
COMPILERS = {
    "gcc": Compiler(("aarch64-linux-gnu-gcc", "-freorder-blocks-and-partition"), "gnu", ".cold"),
    "clang": Compiler(("clang-19", "--target=aarch64-linux-gnu", *LLVM), "gnu", ".cold.1"),
    "clang, Mach-O": Compiler(("clang-19", "--target=arm64-apple-macos13.0", *LLVM), "ld64.lld", ".cold.1"),
}


@pytest.mark.parametrize("name", COMPILERS)
def test_a_cold_part_is_its_functions(name: str, tmp_path: Path) -> None:
    """A strict table was refused for ``work.cold.1``; or ``work``, which nobody edited, was in it."""
    compiler, kit = COMPILERS[name], tools(COMPILERS[name].linker, tmp_path)
    (tmp_path / "a.c").write_text(SOURCE)
    program, *options = compiler.command
    for edit, output in ((2, "host.o"), (3, "patch.o")):
        words = [str(need(program)), *options, "-O2", "-fPIC", f"-DEDIT={edit}", "-c", "a.c", "-o", output]
        run(words, cwd=tmp_path)
    command = [*kit.executable, *(["-rdynamic"] if compiler.linker == "gnu" else []), "host.o", "-o", "host"]
    run(command, cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", cache=False)
    prefix = "" if compiler.linker == "gnu" else "_"
    main, part = f"{prefix}main".encode(), f"{prefix}work{compiler.suffix}".encode()
    found = builder.host.find({main, part})
    assert found[part], "the compiler did not split it"
    captured, strict = Capture(command, tmp_path, {}, output="host"), TableOptions(strict=True)
    anchor = found[main][0].address + SLIDE
    objects = [tmp_path / "patch.o"]
    linked = link_patch(builder, captured, objects, tmp_path / "p.so", anchor, jump_table=strict, keep_state=True)
    assert linked.jump_table is not None
    rows = {row.name.removeprefix("_") for row in linked.jump_table.entries}
    assert rows - {"main"} == {"other", "third"}
    changed = {row.names[0].removeprefix("_"): row.change.value for row in linked.jump_table.changes}
    inlining = {changed.pop("main"), changed.pop("third")}  # of the other functions: compilers differ
    assert inlining <= {"changed", "unchanged"}
    assert changed == {"note": "unchanged", "work": "unchanged", "other": "changed"}
