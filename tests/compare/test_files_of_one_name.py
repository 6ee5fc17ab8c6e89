"""Static functions of one name in files of one name, of which an edit makes one what the other is."""

from __future__ import annotations

from pathlib import Path

import pytest
from origin.bench import SLIDE, tools
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.compare.changes import Change, Known, find_changes
from stubgen.image.opening import open_image
from stubgen.jumptable import JumpTable, TableOptions
from stubgen.link import link_patch

NET = """
static __attribute__((noinline)) long rate(long n) { return n * 3 + 7; }
long first(long n) { return rate(n) + rate(n + 1); }
"""
DISK = """
static __attribute__((noinline)) long rate(long n) { return n * 5 - 9; }
long second(long n) { return rate(n) - rate(n + 1); }
"""
MAIN = "long first(long), second(long); int main(void) { return first(1) + second(2); }\n"


def table_of(folder: Path, linker: str, edited: str) -> JumpTable:
    """The table of a patch with net/util.c as *edited*, in a host without debug information."""
    kit = tools(linker, folder)
    for name, text in (("net", NET), ("disk", DISK), ("main", MAIN)):
        (folder / name).mkdir()
        (folder / name / "util.c").write_text(text)
        run([*kit.compile, "util.c", "-o", "util.o"], cwd=folder / name)
    shown = ["-rdynamic"] if linker == "gnu" else []
    command = [*kit.executable, *shown, "main/util.o", "net/util.o", "disk/util.o", "-o", "host"]
    run(command, cwd=folder)
    (folder / "net" / "util.c").write_text(edited)
    run([*kit.compile, "util.c", "-o", "util.o"], cwd=folder / "net")
    builder, captured = StubBuilder(folder / "host", cache=False), Capture(command, folder, {}, output="host")
    main = b"main" if linker == "gnu" else b"_main"
    anchor = builder.host.find({main})[main][0].address + SLIDE
    objects, wanted = [folder / "net" / "util.o"], TableOptions()
    table = link_patch(builder, captured, objects, folder / "patch", anchor, jump_table=wanted).jump_table
    assert table is not None
    return table


@pytest.mark.parametrize("linker", ["gnu", "ld64.lld"])
def test_the_host_has_it_as_the_other_files(tmp_path: Path, linker: str) -> None:
    """It counted as unchanged, for the other file's: the edit was in no table, and nothing said so."""
    table = table_of(tmp_path, linker, NET.replace("n * 3 + 7", "n * 5 - 9"))
    found = {row.names[0].lstrip("_"): row for row in table.changes}
    assert found["rate"].change is Change.UNDECIDED
    assert [entry.name.lstrip("_") for entry in table.entries] == ["first"]
    assert [item.name.lstrip("_") for item in table.undecided] == ["rate"]


def test_one_that_the_hosts_own_options_alone_leave_there(tmp_path: Path) -> None:
    """Where the patch has it inlined, nothing says where the host has this file's: the name alone does not."""
    gcc = [str(need("aarch64-linux-gnu-gcc")), "-fPIC", "-O2"]
    for name, text in (("net", NET), ("disk", DISK)):
        (tmp_path / f"{name}.c").write_text(text)
    run([*gcc, "-shared", "-nostdlib", "-Wl,-Bsymbolic", "net.c", "disk.c", "-o", "host.so"], cwd=tmp_path)
    edited = NET.replace("n * 3 + 7", "n * 5 - 9")
    (tmp_path / "net.c").write_text(edited)
    run([*gcc, "-c", "net.c", "-o", "twin.o"], cwd=tmp_path)
    (tmp_path / "net.c").write_text(edited.replace("__attribute__((noinline))", "inline"))
    run([*gcc, "-c", "net.c", "-o", "patch.o"], cwd=tmp_path)
    image, own, twin = (open_image(tmp_path / name) for name in ("host.so", "patch.o", "twin.o"))
    place = image.find([b"first"])[b"first"][0].address
    known = {b"first": Known([place])}
    found = find_changes([("net.o", own)], image, lambda _, name: known.get(name, Known()), as_built={"net.o": twin})
    assert [(row.names, row.is_needed) for row in found] == [(("first",), True)]
