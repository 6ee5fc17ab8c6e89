"""Relocations that Android's packer and DT_RELR squeeze are read as llvm-readobj reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import linker_folder, need, run

from stubgen.elf.reader import ElfFile
from stubgen.elf.relocations import NAMES, read_android_packed, read_relr
from stubgen.errors import MalformedInput

SOURCE = """
extern int elsewhere(int), nowhere(int);
extern int value;
int own(int a) { return elsewhere(a) + value; }
int (*const functions[])(int) = { own, elsewhere, nowhere, own };
int *pointers[200] = { [3] = &value, [77] = &value };
static char text[] = "text", *texts[] = { text, text + 1, text + 3 }, *far[900] = { [899] = text };
"""

PACKINGS = ("none", "android", "relr", "android+relr")


def linked(folder: Path, packing: str) -> Path:
    """A library whose relocations lld packed so."""
    (folder / "library.c").write_text(SOURCE)
    output = folder / f"{packing}.so"
    flags = [f"-B{linker_folder(folder / 'linkers')}", "-fuse-ld=lld", f"-Wl,--pack-dyn-relocs={packing}"]
    run([need("aarch64-linux-gnu-gcc"), "-shared", "-fPIC", *flags, folder / "library.c", "-o", output])
    return output


@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_relocations_are_what_readobj_says(tmp_path: Path, packing: str) -> None:
    """A name in a table that we cannot read would be looked up at load time, and the check would call it no look-up."""
    library = linked(tmp_path, packing)
    file = ElfFile(library.read_bytes(), "library")
    table = file.dynamic_symbols
    assert table is not None
    ours = [
        (offset, NAMES[kind], table.name(symbol).decode() if symbol else "-")
        for relocations in file.dynamic_relocations()
        for offset, kind, symbol in zip(relocations.r_offset, relocations.kind, relocations.symbol, strict=True)
    ]
    text = run([need("llvm-readobj-19"), "--relocations", library])
    theirs = [
        (int(offset, 16), kind, name.partition("@")[0])
        for offset, kind, name in re.findall(r"0x([0-9A-F]+) (R_AARCH64_\w+) (\S+)", text)
    ]
    assert sorted(ours) == sorted(theirs)
    assert len(ours) > 10
    assert {b"elsewhere", b"nowhere", b"value"} <= file.bound_names()


def test_addends_are_those_of_the_unpacked_table(tmp_path: Path) -> None:
    """A constructor is found by what its relocation adds: the same in every packing."""
    found = []
    for packing in PACKINGS:
        file = ElfFile(linked(tmp_path, packing).read_bytes(), "library")
        names = file.symbols
        assert names is not None
        by_address = {value: names.name(index) for index, value in enumerate(names.st_value) if value}
        found.append(
            sorted(
                by_address.get(addend, b"")
                for relocations in file.dynamic_relocations()
                for kind, addend in zip(relocations.kind, relocations.r_addend, strict=True)
                if NAMES[kind] == "R_AARCH64_RELATIVE"
            )
        )
    assert found[1:] == found[:-1]
    assert b"text" in found[0]


def test_the_words_of_a_relr_table() -> None:
    """Each bitmap counts from behind the words that the last one covered."""
    words = (0x1000, 0b101 << 1 | 1, 1 << 63 | 1, 0x9000)
    raw = b"".join(word.to_bytes(8, "little") for word in words)
    assert read_relr(raw) == [0x1000, 0x1008, 0x1018, 0x1008 + 8 * 63 + 8 * 62, 0x9000]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"APS1\x00\x00", "do not begin with APS2"),
        (b"APS2\x80\x80\x80\x04\x00", "more than the file has room for"),
        (b"APS2\x02\x00\x03\x02\x00", "a group of 3 does not fit the 2 in all"),
        (b"APS2\x02\x00\x00\x02\x00", "a group of 0 does not fit"),
        (b"APS2\x02\x00\x02", "ends in the middle of a number"),
    ],
)
def test_broken_packed_tables(raw: bytes, message: str) -> None:
    """A table that lies about its length would keep the check busy for ever, or take all memory."""
    with pytest.raises(MalformedInput, match=message):
        read_android_packed(raw, 1000, "they")
