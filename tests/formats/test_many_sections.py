"""Objects with more sections than 16 bits count, as a compiler makes them that gives each function its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import need, run

from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile
from stubgen.image.elf import ElfImage

COUNT = 0xFFFF + 80
"""Variables, each in its section."""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object with an absolute symbol, a common, and so many sections that some have the numbers of those."""
    folder = tmp_path_factory.mktemp("crowded")
    lines = [".set absolute, 5", ".globl absolute", ".comm common, 8, 8"]
    for number in range(COUNT):
        lines += [
            f'.section .data.v{number},"aw"',
            f".type v{number}, %object",
            f".globl v{number}",
            f"v{number}: .byte 1",
        ]
    (folder / "crowded.s").write_text("\n".join(lines) + "\n")
    run([need("clang-19"), "--target=aarch64-linux-gnu", "-c", "crowded.s", "-o", "crowded.o"], cwd=folder)
    return folder / "crowded.o"


def test_a_section_called_0xfff1_is_a_section(crowded: Path) -> None:
    """Taken for absolute or common, a variable is lost or a second one made: readelf says where each lies."""
    rows = run([need("readelf"), "-sW", crowded]).splitlines()
    places = {words[7]: words[6] for words in map(str.split, rows) if len(words) == 8 and words[4] == "GLOBAL"}
    assert (places["absolute"], places["common"]) == ("ABS", "COM")
    file = ElfFile(crowded.read_bytes(), "crowded.o")
    symbols = file.symbols
    assert symbols is not None
    shown = {symbols.absolute: "ABS", symbols.common: "COM"}
    held = {name.decode(): shown.get(at, str(at)) for name, at in zip(symbols.names(), symbols.st_shndx, strict=True)}
    assert {name: held[name] for name in places} == places
    assert {str(c.SHN_ABS), str(c.SHN_COMMON), str(c.SHN_XINDEX), str(c.SHN_LORESERVE)} <= set(places.values())


def test_each_variable_is_told_from_the_special_ones(crowded: Path) -> None:
    """``--keep-state`` goes by what an object defines: a variable that is not listed starts afresh."""
    image = ElfImage(crowded.read_bytes(), "crowded.o")
    names = [variable.name.decode() for variable in image.variables()]
    assert len(names) == len(set(names)) == COUNT + 1
    assert "common" in names
    assert "absolute" not in names
    assert not [variable for variable in image.variables() if variable.has_several_names]
    assert not [name for name in names if name != "common" and not re.fullmatch(r"v\d+", name)]
