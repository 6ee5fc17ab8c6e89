"""Tentative definitions (``struct s hits;``, ``-fcommon``) whose type an edit changes, and such as it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from live.members_macho import make
from live.test_macho import SLIDE, symbols, toolchain
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.image.opening import open_image
from stubgen.link import Linked, link_patch

MAIN = "int main(void) { return 0; }"
OLD = """
struct s { int first; int second; }; struct s hits; float other[2];
int told(void) { return hits.first + (int)other[0]; }
"""
EDITS = {
    "the body": (("return hits", "return 5 + hits"), {"hits": "", "other": ""}),
    "the fields' order": (("int first; int second", "int second; int first"), {"hits": "s.second", "other": ""}),
    "to the other's type": (("struct s hits; float", "float hits[2]; float"), {"hits": "another one", "other": ""}),
}


def linked_elf(folder: Path, edited: str) -> Linked:
    """The patch of an ELF host."""
    gcc = [str(need("aarch64-linux-gnu-gcc")), "-g", "-O1", "-fcommon"]
    for name, text in (("main", MAIN), ("unit", OLD)):
        (folder / f"{name}.c").write_text(text)
        run([*gcc, "-fPIE", "-c", f"{name}.c"], cwd=folder)
    link = [gcc[0], "-pie", "-Wl,--export-dynamic-symbol=main", "main.o", "unit.o", "-o", "host"]
    run(link, cwd=folder)
    (folder / "unit.c").write_text(edited)
    run([*gcc, "-fPIC", "-c", "unit.c"], cwd=folder)
    anchor = open_image(folder / "host").find({b"main"})[b"main"][0].address + SLIDE
    captured = Capture(link, folder, {}, output="host")
    return link_patch(
        StubBuilder(folder / "host"), captured, [folder / "unit.o"], folder / "p", anchor, keep_state=True
    )


def linked_macho(folder: Path, edited: str) -> Linked:
    """The patch of a Mach-O host with a dSYM."""
    program = make(folder, {"main.c": MAIN, "unit.c": OLD}, {}, "main.o unit.o", flags="-O1 -g -fcommon")
    run([str(need("dsymutil-19")), "host"], cwd=folder)
    (folder / "unit.c").write_text(edited)
    run([*toolchain("lld").compile, "-O1", "-g", "-fcommon", "-c", "unit.c"], cwd=folder)
    builder = StubBuilder(program.path, symbols=folder / "host.dSYM")
    anchor = symbols(program.path)["_main"] + SLIDE
    return link_patch(builder, program.captured, [folder / "unit.o"], folder / "p", anchor, keep_state=True)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("linked", [linked_elf, linked_macho])
def test_a_common_is_kept_unless_its_type_changes(
    tmp_path: Path, linked: Callable[[Path, str], Linked], edit: str
) -> None:
    """Its fields changed places, and the process's bytes went on under the new names (Mach-O).

    In ELF all commons of one alignment were taken for one: what nobody had edited began anew, too.
    """
    (old, new), wanted = EDITS[edit]
    patch = linked(tmp_path, OLD.replace(old, new).replace("hits.first", "hits[0]" if "float" in new else "hits.first"))
    shared = {variable.name.lstrip("_"): variable for variable in patch.built.resolution.shared_variables}
    assert {name: shared[name].forwarded for name in wanted} == {name: not why for name, why in wanted.items()}
    assert all(why in (shared[name].reason_not_kept or "") for name, why in wanted.items())
