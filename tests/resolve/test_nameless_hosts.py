"""Hosts that lost the names of their static functions and variables: what nobody can tell is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from origin.bench import ELF, LINKERS, SLIDE, tools
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.errors import PatchRefusal
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch
from stubgen.resolve.shared_variables import NAMELESS

SOURCE = """
static int count; int total, told;
__attribute__((noinline, used)) static int helper(int x) { return x + count++ + EDIT; }
int (*volatile registered)(int) = helper;
int step(int x) { return registered(x) + total++ + told++; }
int main(void) { return step(1); }
"""


def strip(linker: str) -> list[str]:
    """The tool that takes local symbols away."""
    return [str(need("aarch64-linux-gnu-strip" if linker in ELF else "llvm-strip-19")), "-x"]


def make(folder: Path, linker: str, *options: str) -> tuple[Capture, Path]:
    """A host without local symbols, and the edited object."""
    kit = tools(linker, folder)
    (folder / "a.c").write_text(SOURCE)
    for edit, name in ((0, "host.o"), (1, "patch.o")):
        run([*kit.compile, f"-DEDIT={edit}", "-g", "-fdata-sections", "a.c", "-o", name], cwd=folder)
    command = [*kit.executable, *options, "host.o", "-o", "host"]
    run(command, cwd=folder)
    return Capture(command, folder, {}, output="host"), folder / "patch.o"


WAYS = [(linker, "strip") for linker in LINKERS] + [(linker, "-x") for linker in LINKERS if "zig" not in linker]
"""Linker, and what takes the names away; zig's linker takes ``-x`` and does nothing about it."""


@pytest.mark.parametrize(("linker", "way"), WAYS)
def test_a_variable_that_the_host_may_have_is_listed(linker: str, way: str, tmp_path: Path) -> None:
    """With ``--keep-state`` a static counter began again at 0, with exit status 0 and not a word about it."""
    option = "-x" if linker == "ld64.lld" else "-Wl,-x"
    _, patch = make(tmp_path, linker, *([] if way == "strip" else [option]))
    if way == "strip":
        run([*strip(linker), tmp_path / "host"])
    judged = StubBuilder(tmp_path / "host", cache=False).judge([patch], slide=SLIDE, bind=True, keep_state=True)
    found = {v.name.lstrip("_"): (v.forwarded, v.reason_not_kept) for v in judged.shared_variables}
    assert found["count"] == (False, NAMELESS)
    hidden = linker == "mold" and way == "strip"  # to mold all that a program does not export is local
    assert (found["total"][1] == NAMELESS) is hidden


@pytest.mark.parametrize("linker", ["gnu", "lld", "ld64.lld", "zig-macho"])
def test_a_function_that_the_host_may_have_is_left_out_with_a_reason(linker: str, tmp_path: Path) -> None:
    """The host went on calling its old static function by a pointer, and a strict jump table was complete."""
    capture, patch = make(tmp_path, linker, *(["-rdynamic"] if linker in ELF else []))
    run([*strip(linker), tmp_path / "host"])
    builder, output, export = StubBuilder(tmp_path / "host", cache=False), tmp_path / "patch.so", {"exports": ["main"]}
    anchor = next(c.address for pool in builder.host.find({b"main", b"_main"}).values() for c in pool) + SLIDE
    # its constants behind the code are no functions
    linked = link_patch(builder, capture, [patch], output, anchor, jump_table=TableOptions(), keep_state=True, **export)
    assert linked.jump_table is not None
    assert [row.name.lstrip("_") for row in linked.jump_table.undecided] == ["helper"]
    assert "the host names none of its static functions" in linked.jump_table.undecided[0].reason
    with pytest.raises(PatchRefusal, match="1 function would be left out of the table"):
        link_patch(builder, capture, [patch], output, anchor, jump_table=TableOptions(strict=True), **export)
