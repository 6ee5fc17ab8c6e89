"""A weak definition that another object of the patch overrides: what refers to it by its name means the other's."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_macho import toolchain
from tools import need, run

from stubgen.compare.changes import Change, Known, find_changes
from stubgen.image.opening import open_image

DEFAULT = {
    "elf": "__attribute__((weak, noinline)) int taken(int a) { return a + 1; }",
    "elf alias": "__attribute__((noinline)) int own(int a) { return a + 1; } "
    'int taken(int a) __attribute__((weak, alias("own")));',
    "macho": "__attribute__((weak, noinline)) int taken(int a) { return a + 1; }",
}
USER = "int user(int a) { return taken(a) * 2; }"
OVERRIDE = "int taken(int a) { return a + 100; }"


@pytest.mark.parametrize("kind", DEFAULT)
@pytest.mark.parametrize("first", ["default", "override"])
def test_who_uses_an_overridden_default_leads_to_a_change(kind: str, first: str, tmp_path: Path) -> None:
    """The user stayed out of the table: in the process it went on calling the default, and nothing else led it on.

    Callers of the default itself cannot be led to the override where it is another name of a function with callers
    of its own.
    """
    if kind == "macho":
        tools = toolchain("lld")
        compile_, link = [*tools.compile, "-O1", "-c"], [*tools.link, "-o", "host", "main.o", "default.o"]
    else:
        gcc = [str(need("aarch64-linux-gnu-gcc")), "-fPIC"]
        compile_, link = [*gcc, "-O1", "-c"], [*gcc, "-pie", "-o", "host", "main.o", "default.o"]
    texts = {"main": "int main(void) { return 0; }", "default": f"{DEFAULT[kind]}\n{USER}", "override": OVERRIDE}
    for name, text in texts.items():
        (tmp_path / f"{name}.c").write_text(text)
        run([*compile_, f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path)
    run(link, cwd=tmp_path)
    host = open_image(tmp_path / "host")
    names = [first, *({"default", "override"} - {first})]
    objects = [(name, open_image(tmp_path / f"{name}.o")) for name in names]

    def known(_object: str, name: bytes) -> Known:
        if name.endswith(b"taken"):
            return Known((), "the host has another function at that address")
        return Known([candidate.address for candidate in host.find([name])[name]])

    found = {(row.object, row.names[0].lstrip("_")): row for row in find_changes(objects, host, known)}
    assert found["default", "user"].change is Change.UNCHANGED
    assert found["default", "user"].leads_to_change
    assert ("default", "taken") not in found
    assert found["override", "taken"].change is Change.UNDECIDED
