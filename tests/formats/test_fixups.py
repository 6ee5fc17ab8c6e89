"""What the pointers of a linked image hold: the words of chained fixups, as dyld reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_macho import toolchain
from tools import run

from stubgen.macho.fixups import Bound, Fixups
from stubgen.macho.reader import MachOFile

SOURCE = """
extern int far[]; int near[4] = {1, 2, 3, 4};
int *pointers[] = {near + 2, far + 1};
__asm__(".data\\n.globl _tagged\\n.p2align 3\\n_tagged: .quad _near + 0x8000000000000004\\n");
int main(void) { return *pointers[0]; }
"""


@pytest.mark.parametrize("name", ["lld", "lld-opcodes"])
def test_pointers_are_read_as_dyld_reads_them(name: str, tmp_path: Path) -> None:
    """Apple's C++ marks a type's name by the pointer's top bit: read without it, each such class would have changed."""
    tools = toolchain(name)
    (tmp_path / "host.c").write_text(SOURCE)
    run([*tools.compile, "-c", "host.c", "-o", "host.o"], cwd=tmp_path)
    run([*tools.link, "-undefined", "dynamic_lookup", "-o", "host", "host.o"], cwd=tmp_path)
    file = MachOFile((tmp_path / "host").read_bytes(), "host")
    table = file.symbols
    assert table is not None
    at = {name: table.n_value[index] for index, name in enumerate(table.names())}
    fixups = Fixups(file)
    assert fixups.pointer(at[b"_pointers"]) == at[b"_near"] + 8
    assert fixups.pointer(at[b"_pointers"] + 8) == Bound(b"_far", 4)
    assert fixups.pointer(at[b"_tagged"]) == at[b"_near"] + 4 | 1 << 63
    assert fixups.pointer(0) is None
