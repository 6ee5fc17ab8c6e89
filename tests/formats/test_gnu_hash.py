"""The dynamic loader's own hash table finds what a search of the dynamic symbols finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import linker_folder, need, run

from stubgen.elf import reader
from stubgen.elf.reader import ElfFile

SOURCE = """
#include <stdio.h>
#define F(n) int function_##n(void) { return n; } int variable_##n = n;
#define TEN(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
#define HUNDRED(n) TEN(n##0) TEN(n##1) TEN(n##2) TEN(n##3) TEN(n##4) TEN(n##5) TEN(n##6) TEN(n##7) TEN(n##8) TEN(n##9)
HUNDRED(1) HUNDRED(2) HUNDRED(3)
int old(void) { return 1; }
int new(void) { return 2; }
__asm__(".symver old, both@V1\\n.symver new, both@@V2");
int main(void) { return printf("%d", puts("")); }
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same library from three linkers, stripped to its dynamic symbols."""
    folder = tmp_path_factory.mktemp("gnu-hash")
    (folder / "library.c").write_text(SOURCE)
    (folder / "library.map").write_text("V1 { global: *; };\nV2 { global: both; } V1;\n")
    compiler, strip = str(need("aarch64-linux-gnu-gcc")), str(need("llvm-strip-19"))
    made = {}
    for linker in ("bfd", "lld", "mold"):
        output = folder / f"{linker}.so"
        options = [f"-fuse-ld={linker}", f"-B{linker_folder(folder / 'linkers')}"] if linker != "bfd" else []
        script = f"-Wl,--version-script={folder / 'library.map'}"
        hashes = "-Wl,--hash-style=gnu"
        run([compiler, "-shared", "-fPIC", *options, script, hashes, folder / "library.c", "-o", output])
        run([strip, output])
        made[linker] = output
    return made


@pytest.mark.parametrize("linker", ["bfd", "lld", "mold"])
@pytest.mark.parametrize("headers", [True, False], ids=["sections", "no sections"])
def test_the_hash_table_finds_every_dynamic_symbol(
    libraries: dict[str, Path], linker: str, headers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbol that the hash table overlooks would be "missing in the host": imports and versions count too."""
    content = bytearray(libraries[linker].read_bytes())
    if not headers:  # as some packers leave it
        content[40:48] = bytes(8)
        content[58:64] = bytes(6)
    table = ElfFile(content, linker).dynamic_symbols
    assert table is not None
    assert table.gnu_hash is not None
    names = list(dict.fromkeys(name for name in table.names() if name))
    assert len(names) > 600
    absent = [name + b"_" for name in names] + [b"f", b"function_", b"x" * 300]
    searched = [list(table.strings.find(table.st_name, [name])) for name in names]
    monkeypatch.setattr(reader, "HASH_PAYS", 0)
    monkeypatch.setattr(table.strings, "find", None)  # it must not be asked
    assert [list(table.find_indexes([name], ())) for name in names] == searched
    assert list(table.find_indexes(absent, ())) == []
    assert list(table.find_indexes(names, (b".llvm.", b"@"))) == [i for i in range(1, len(table)) if table.name(i)]


def test_a_broken_hash_table_ends(libraries: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain without an end, or one that leads beyond the table, is the end of the search and not of the program."""
    table = ElfFile(libraries["bfd"].read_bytes(), "library").dynamic_symbols
    assert table is not None
    assert table.gnu_hash is not None
    monkeypatch.setattr(reader, "HASH_PAYS", 0)
    for position, value in enumerate(table.gnu_hash.chain):
        table.gnu_hash.chain[position] = value & ~1
    assert list(table.find_indexes([b"function_101"], ())) == list(table.strings.find(table.st_name, [b"function_101"]))
    for position in range(len(table.gnu_hash.buckets)):
        table.gnu_hash.buckets[position] = 0xFFFFFFFF
    assert list(table.find_indexes([b"function_101"], ())) == []
