"""Pointers to what the loader looks up: an edit that has a function there that the host has not is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare.test_equality import changed
from live.test_macho import toolchain
from tools import linker_folder, need, run

from stubgen.compare import Equality, host_places, object_parts
from stubgen.image.opening import open_image

UNIT = """
int NAME(const char *);
int (*const table[2])(const char *) = {NAME, NAME};
int (*handlers[2])(const char *) = {NAME, NAME};
"""
OLD = {"elf": "puts", "macho": "weak_in_each_image"}
"""What the loader looks up: a library's, and on Mach-O also what is weak."""


def objects(kind: str, folder: Path) -> Path:
    """A host whose pointers lead to the old function; the object of the edit is ``new.o``."""
    if kind == "elf":
        gcc = [str(need("aarch64-linux-gnu-gcc")), "-fPIC"]
        compile_, link = [*gcc, "-O1", "-c"], [*gcc, "-pie", "-o", "host", "main.o", "unit.o"]
        main = "int main(void) { return 0; }"
    else:
        tools = toolchain("lld")
        compile_, link = [*tools.compile, "-O1", "-c"], [*tools.link, "-o", "host", "main.o", "unit.o"]
        main = "__attribute__((weak)) int weak_in_each_image(const char *x) { return !x; } int main(void) { return 0; }"
    for name, text in (
        ("main", main),
        ("unit", UNIT.replace("NAME", OLD[kind])),
        ("new", UNIT.replace("NAME", "fresh")),
    ):
        (folder / f"{name}.c").write_text(text)
        run([*compile_, f"{name}.c", "-o", f"{name}.o"], cwd=folder)
    run(link, cwd=folder)
    return folder / "host"


@pytest.mark.parametrize("kind", OLD)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_pointer_to_a_new_function_is_another_one(kind: str, by_name: bool, tmp_path: Path) -> None:
    """Who reads a constant with it stayed the host's: an import counted as the null of what nothing defines."""
    host = open_image(objects(kind, tmp_path))
    prefix = b"_" if kind == "macho" else b""
    names = {prefix + name for name in (b"table", b"handlers")}
    for unit, same in (("unit.o", True), ("new.o", False)):
        parts = object_parts([open_image(tmp_path / unit)])
        places = host_places(host)
        places.learn({*names, prefix + b"fresh", prefix + OLD[kind].encode()})
        equality = Equality(parts, places, by_name=by_name)
        found = {
            name: equality.difference(part, places.addresses(name)[0][0])
            for part in parts[0].all()
            for name in part.names
            if name in names
        }
        assert found.keys() == names
        assert [not difference for difference in found.values()] == [same, same], found


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld", "mold"])
def test_code_that_has_the_plts_entry_for_an_address(linker: str, tmp_path: Path) -> None:
    """Whoever takes a library function's address in a program without ``-fPIE`` counted as changed in each patch."""
    gcc = [str(need("aarch64-linux-gnu-gcc")), "-O2", "-fno-pie"]
    text = "int puts(const char *); int NAME(const char *);\nint (*taken(void))(const char *) { return NAME; }"
    for unit, name in (("unit", "puts"), ("edited", "putchar")):
        (tmp_path / f"{unit}.c").write_text(text.replace("NAME", name))
        run([*gcc, "-fno-builtin", "-c", f"{unit}.c"], cwd=tmp_path)
    main = 'int (*taken(void))(const char *); int putchar(int);\nint main(void) { taken()("a"); return putchar(1); }'
    (tmp_path / "main.c").write_text(main)
    flags = ["-no-pie", f"-fuse-ld={linker}", f"-B{linker_folder(tmp_path / 'linkers')}"]
    run([*gcc, *flags, "main.c", "unit.o", "-o", "host"], cwd=tmp_path)
    places = host_places(open_image(tmp_path / "host"))
    assert changed(tmp_path / "unit.o", places) == ([], 1)
    assert changed(tmp_path / "edited.o", places) == (["taken"], 1)
