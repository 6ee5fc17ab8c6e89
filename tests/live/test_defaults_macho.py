"""Weak defaults of one name in several objects of a Mach-O patch."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.members_macho import make
from live.test_macho import SLIDE, symbols, toolchain
from tools import run

from stubgen.build import StubBuilder
from stubgen.link import link_patch

LINKERS = ("lld", "zig")
DEFAULT = {
    "function": "__attribute__((weak)) int hook(void) {{ return {0}; }}",
    "variable": "__attribute__((weak)) int value = {0}; static int hook(void) {{ return value; }}",
}


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("kind", DEFAULT)
def test_three_objects_with_one_default(tmp_path: Path, linker: str, kind: str) -> None:
    """The linker rejected the patch: what is left of the second and the third default had one name in both.

    A variable's was told to be new in its file.
    """
    sources = {
        f"{name}.c": f"{DEFAULT[kind].format(number)} int tell_{name}(void) {{ return hook(); }}"
        for number, name in enumerate("abc", 1)
    }
    program = make(
        tmp_path,
        {"main.c": "int main(void) { return 0; }", **sources},
        {},
        "main.o a.o b.o c.o",
        linker=linker,
    )
    for name, text in sources.items():
        (tmp_path / name).write_text(text.replace("hook(); }", "hook() + 10; }"))
        run([*toolchain(linker).compile, "-O1", "-fno-sanitize=all", "-c", name], cwd=tmp_path)
    anchor = symbols(program.path)["_main"] + SLIDE
    objects = [tmp_path / f"{name}.o" for name in "cba"]
    output = tmp_path / "patch.dylib"
    linked = link_patch(StubBuilder(program.path), program.captured, objects, output, anchor, keep_state=True)
    assert {variable.name for variable in linked.built.resolution.shared_variables} <= {"_value"}
    running = program.start()
    running.load(output)
    assert [running.call(f"tell_{name}") for name in "abc"] == [11, 11, 11]
