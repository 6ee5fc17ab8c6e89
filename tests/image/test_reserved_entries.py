"""Room that ``-fpatchable-function-entry`` makes where functions begin: GCC's debug information begins behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.host import open_host
from stubgen.image.dwarf import beginnings
from stubgen.image.dwarf_places import is_of_source
from stubgen.image.dwarf_types import signature_of
from stubgen.image.dwarf_units import subprogram
from stubgen.image.elf import ElfImage
from stubgen.image.opening import open_image
from stubgen.reach import find_reach

SOURCE = """
static int scale(int x, int y) { return x * y; }
__attribute__((noinline)) int price(int x, int y) { return scale(x, y) + 1; }
int main(int n, char **names) { return price(n, n + 2) + scale(n, **names); }
"""


def host(folder: Path, options: str) -> ElfImage:
    """The program of :data:`SOURCE`."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (folder / "a.c").write_text(SOURCE)
    run([gcc, "-g", *options.split(), "-c", "a.c"], cwd=folder)
    run([gcc, "a.o", "-o", "host"], cwd=folder)
    image = open_image((folder / "host").read_bytes(), "host")
    assert isinstance(image, ElfImage)
    return image


ROOM = "-fpatchable-function-entry"


@pytest.mark.parametrize(
    "options",
    [
        "-O1",
        f"-O1 {ROOM}=4",
        f"-O2 {ROOM}=6,2 -ffunction-sections",
        f"-O1 {ROOM}=2,2",
        f"-O1 {ROOM}=3 -mbranch-protection=standard",
        f"-O1 {ROOM}=8 {ROOM}=4 -gdwarf-4",
    ],
)
def test_debug_information_is_found_by_where_a_function_begins(options: str, tmp_path: Path) -> None:
    """A function that takes one more argument was in the table: nothing told what the host's takes."""
    image = host(tmp_path, options)
    debug, path = image.debug_info, image.debug_info.units[-1].path
    for name in (b"price", b"main"):
        address = image.find({name})[name][0].address
        assert subprogram(debug, address) is not None
        assert signature_of(debug, address) is not None
        assert is_of_source(debug, address, path, function=True)
    assert {each.name for each in image.functions_of(path)} == {b"price", b"main"}


@pytest.mark.parametrize("options", ["-O2", f"-O2 {ROOM}=4"])
def test_a_static_function_that_was_inlined_is_told(options: str, tmp_path: Path) -> None:
    """It is told by its address which of several static ones of a name it is."""
    image = host(tmp_path, f"{options} -fkeep-static-functions")
    found = find_reach(open_host(tmp_path / "host", cache=False), ["scale"])
    assert image.find({b"scale"})[b"scale"], "GCC has left it out"
    assert {row.function for row in found.functions[0].inlined} == {"price", "main"}


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ("-O2", (0x100,)),
        (f"{ROOM}=4", (0x100, 0xF0)),
        (f"{ROOM}=4,1", (0x100, 0xF4)),
        (f"{ROOM}=4,4", (0x100,)),
        (f"{ROOM}=0", (0x100,)),
        (f"-mbranch-protection=bti {ROOM}=2", (0x100, 0xF8, 0xF4)),
        (f"{ROOM}=", (0x100,)),
    ],
)
def test_where_a_function_may_begin(options: str, places: tuple[int, ...]) -> None:
    """Four bytes an instruction; clang has its functions begin where their symbols are."""
    assert beginnings(b"GNU C17 12.2.0 -g " + options.encode(), 0x100) == places
    assert beginnings(b"clang version 19 " + options.encode(), 0x100) == (0x100,)
