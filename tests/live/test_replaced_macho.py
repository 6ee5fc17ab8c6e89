"""Which functions a Mach-O patch replaces: each pair is called by its addresses in an emulated processor."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_macho import PATCH_SLIDE, SLIDE, Toolchain, toolchain
from tools import need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import Linked, link_patch

EDIT = 500_000
KEPT = "__attribute__((noinline, used))"
HEADER = f"{KEPT} static long from_header(long x) {{ return x + HEADER + EDIT; }}\n"
A = f"""
#define HEADER 110
#include "shared.h"
{KEPT} long visible(long x) {{ return x + 111 + EDIT; }}
{KEPT} __attribute__((visibility("hidden"))) long hidden(long x) {{ return x + 112 + EDIT; }}
{KEPT} __attribute__((weak)) long weak(long x) {{ return x + 113 + EDIT; }}
{KEPT} static long helper(long x) {{ return x + 114 + EDIT; }}
long use(long x) {{ return visible(x) + hidden(x) + weak(x) + helper(x) + from_header(x); }}
"""
B = f"""
#define HEADER 220
#include "shared.h"
{KEPT} static long helper(long x) {{ return x + 224 + EDIT; }}
long use(long);
int main(void) {{ return (int)(use(1) + helper(2) + from_header(3)); }}
"""
GLOBALS = {"_visible": 111, "_hidden": 112, "_weak": 113}
LOCALS = {"_helper": 114, "_from_header": 110}


def compiled(folder: Path, tools: Toolchain, name: str, source: str, *options: str, edit: int = 0) -> Path:
    """The object of *source*, compiled as *name*."""
    (folder / "shared.h").write_text(HEADER)
    (folder / name).write_text(source)
    run([*tools.compile, "-O1", f"-DEDIT={edit}", *options, "-c", name, "-o", f"{name}.{edit}.o"], cwd=folder)
    return folder / f"{name}.{edit}.o"


def replacing(folder: Path, tools: Toolchain, *options: str) -> Linked:
    """A host of two files, and the patch that one of them, edited, becomes."""
    objects = [compiled(folder, tools, name, source, *options).name for name, source in (("a.c", A), ("b.c", B))]
    command = [*tools.link, "-o", "host", *objects]
    run(command, cwd=folder)
    captured, patch = (
        Capture(command, folder, {}, output="host"),
        compiled(folder, tools, "a.c", A, *options, edit=EDIT),
    )
    bound = folder / "bound"
    return link_patch(StubBuilder(folder / "host"), captured, [patch], folder / "p.dylib", slide=SLIDE, bound_dir=bound)


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_every_function_of_a_file(name: str, tmp_path: Path) -> None:
    """A table that names another file's function sends its callers into the wrong code; one left out stays old."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    linked = replacing(tmp_path, toolchain(name), "-g")
    emulator = Emulator()
    emulator.load(tmp_path / "host", slide=SLIDE)
    emulator.load(linked.output, slide=PATCH_SLIDE)
    answers = {}
    for row in linked.replaced.functions:
        old = [emulator.call(copy.runtime_address, 1000).signed for copy in row.copies]
        answers[row.name] = old, emulator.call(row.address + PATCH_SLIDE, 1000).signed
    assert answers.pop("_use")
    assert answers == {
        function: ([1000 + answer], 1000 + answer + EDIT) for function, answer in (GLOBALS | LOCALS).items()
    }
    assert linked.replaced.undecided == ()
    assert linked.replaces.keys() == GLOBALS.keys() | {"_use"}


def test_without_debug_information(tmp_path: Path) -> None:
    """Nothing but debug information says which of two static functions is whose: a guess would be wrong for half."""
    replaced = replacing(tmp_path, toolchain("lld")).replaced
    assert {row.name for row in replaced.functions} == GLOBALS.keys() | {"_use"}
    assert {row.name: row.reason for row in replaced.undecided} == dict.fromkeys(
        LOCALS, "the host's is from a file that its symbol table does not name (compile host and patch with -g)"
    )
    assert all(len(row.copies) == 2 for row in replaced.undecided)
