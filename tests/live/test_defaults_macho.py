"""Weak defaults of one name in several objects of a Mach-O patch, and what linkers leave of them."""

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


def test_what_a_linker_leaves_behind_a_small_variable_is_not_its_value(tmp_path: Path) -> None:
    """A note said that it begins with another value: zig's linker keeps what it does not use of other objects there."""
    left = ".data\n.globl _small\n.p2align 3\n_small: .byte 5, 0, 0, 0, 65, 0, 0, 0\n.globl _next\n_next: .quad 7\n"
    text = "signed char small = 5; long next = 7; long told(void) { return small + next; }"
    sources = {"main.c": "int main(void) { return 0; }", "unit.s": f"{left}.subsections_via_symbols\n"}
    program = make(tmp_path, sources, {}, "main.o unit.o")
    anchor = symbols(program.path)["_main"] + SLIDE
    changed = {}
    for value in (5, 6):
        (tmp_path / "unit.c").write_text(text.replace("small = 5", f"small = {value}"))
        run([*toolchain("lld").compile, "-O1", "-g", "-c", "unit.c"], cwd=tmp_path)
        builder, output = StubBuilder(program.path), tmp_path / "patch.dylib"
        patch = link_patch(builder, program.captured, [tmp_path / "unit.o"], output, anchor, keep_state=True)
        shared = {each.name: each for each in patch.built.resolution.shared_variables}
        assert shared["_small"].forwarded
        changed[value] = shared["_small"].initial_value_changed
    assert changed == {5: False, 6: True}
