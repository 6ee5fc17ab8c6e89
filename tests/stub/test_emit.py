"""The stub object as a whole: what it holds, and that it is the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined

from stubgen.build import StubBuilder
from stubgen.elf import constants as e
from stubgen.elf.reader import ElfFile
from stubgen.errors import InputError
from stubgen.macho import constants as m
from stubgen.macho.reader import BuildVersion, MachOFile
from stubgen.stub.emit import emit_elf, emit_macho

NAMES = [b"alpha", b"beta", b"gamma"]
ADDRESSES = array("Q", [0x1000, 0x7B4091FF2C00, 0xFFFFFFFFFFFC])
BTI, PAC = e.GNU_PROPERTY_AARCH64_FEATURE_1_BTI, e.GNU_PROPERTY_AARCH64_FEATURE_1_PAC


def elf_stub(features: int = 0) -> ElfFile:
    """A stub object of three stubs, read back."""
    return ElfFile(emit_elf(NAMES, ADDRESSES, features=features).content, "stub.o")


def test_elf_stubs_are_weak_hidden_functions_with_sizes() -> None:
    """Strong, a stub clashes with a library's own; visible, each call is looked up when the patch loads."""
    symbols = elf_stub().symbols
    assert symbols is not None
    stubs = [index for index in range(len(symbols)) if symbols.name(index) in NAMES]
    assert [symbols.name(index) for index in stubs] == NAMES
    assert {symbols.st_info[index] for index in stubs} == {e.STB_WEAK << 4 | e.STT_FUNC}
    assert {symbols.st_other[index] for index in stubs} == {e.STV_HIDDEN}
    assert [symbols.st_value[index] for index in stubs] == [0, 20, 40]
    assert {symbols.st_size[index] for index in stubs} == {20}


def test_elf_sections_are_complete() -> None:
    """Without .note.GNU-stack the patch asks for an executable stack; without .eh_frame nobody can unwind."""
    names = [section.name for section in elf_stub().sections]
    assert names == [
        "",
        ".text",
        ".eh_frame",
        ".note.GNU-stack",
        ".rela.eh_frame",
        ".symtab",
        ".strtab",
        ".shstrtab",
    ]
    stack = elf_stub().section(".note.GNU-stack")
    assert stack is not None
    assert stack.header.sh_flags & e.SHF_EXECINSTR == 0


def test_locals_come_first_and_are_counted() -> None:
    """gABI: sh_info is the first non-local symbol; linkers reject or misread a table that disagrees."""
    file = elf_stub()
    symtab, symbols = file.section(".symtab"), file.symbols
    assert symtab is not None
    assert symbols is not None
    binds = [info >> 4 for info in symbols.st_info]
    first = symtab.header.sh_info
    assert set(binds[:first]) == {e.STB_LOCAL}
    assert e.STB_LOCAL not in binds[first:]
    mapping = {symbols.name(index): symbols.st_shndx[index] for index in range(first)}
    assert (mapping[b"$x"], mapping[b"$d"]) == (1, 2)


@pytest.mark.parametrize("features", [BTI, PAC, BTI | PAC])
def test_the_property_note_is_carried(features: int) -> None:
    """The linker ANDs the bits of all inputs: a stub without them silently strips them from the patch."""
    file = elf_stub(features)
    assert file.features == features
    symbols = file.symbols
    assert symbols is not None
    assert symbols.st_size[len(symbols) - 1] == (24 if features & BTI else 20)


FEATURES = {
    "none": (0, 0, "auto", 0),
    "host": (BTI, 0, "auto", BTI),
    "patch": (0, BTI, "auto", BTI),
    "patch with both": (0, BTI | PAC, "auto", BTI | PAC),
    "host PAC alone": (PAC, 0, "auto", 0),
    "on": (0, 0, "on", BTI),
    "off": (BTI, BTI | PAC, "off", PAC),
}


@pytest.mark.parametrize(("host", "patch", "bti", "expected"), FEATURES.values(), ids=list(FEATURES))
def test_bti_follows_host_and_patch(tmp_path: Path, host: int, patch: int, bti: str, expected: int) -> None:
    """A patch for a BTI host without landing pads faults on its first call through a pointer."""
    host_path = put(tmp_path, "host", elf_host([Sym("f", BASE + 0x100)], features=host))
    patch_path = put(tmp_path, "patch.o", elf_object([undefined("f")], features=patch))
    built = StubBuilder(host_path).build([patch_path], slide=0, bti=bti)
    assert ElfFile(built.stub.content, "stub.o").features == expected
    assert built.verified.bti is bool(expected & BTI)


def test_absolute_symbols_stand_beside_the_stubs() -> None:
    """Data that is answered by an absolute symbol keeps its address and its visibility."""
    stub = emit_elf(
        NAMES, ADDRESSES, absolute_names=[b"counter"], absolute_addresses=[0x5500001234], absolute_hidden=True
    )
    symbols = ElfFile(stub.content, "stub.o").symbols
    assert symbols is not None
    last = len(symbols) - 1
    assert symbols.name(last) == b"counter"
    assert (symbols.st_shndx[last], symbols.st_value[last]) == (e.SHN_ABS, 0x5500001234)
    assert (symbols.st_info[last], symbols.st_other[last]) == (e.STB_WEAK << 4 | e.STT_OBJECT, e.STV_HIDDEN)


def test_macho_stubs_are_weak_private_and_unwindable() -> None:
    """Weak and private extern leaves no weak bind; without its own entry an atom has no unwind information."""
    stub = emit_macho([b"_a", b"_b"], array("Q", [0x1000, 0x2000]), BuildVersion(7, 0x00110000, 0x00120000))
    file = MachOFile(stub.content, "stub.o")
    symbols = file.symbols
    assert symbols is not None
    assert list(symbols.names()) == [b"_a", b"_b"]
    assert set(symbols.n_type) == {m.N_SECT | m.N_EXT | m.N_PEXT}
    assert set(symbols.n_desc) == {m.N_WEAK_DEF}
    assert file.build_version == BuildVersion(7, 0x00110000, 0x00120000)
    assert file.header.flags == m.MH_SUBSECTIONS_VIA_SYMBOLS
    assert file.dysymtab is not None
    assert file.dysymtab[2:8] == (0, 0, 0, 2, 2, 0)
    unwind = file.section("__LD,__compact_unwind")
    assert unwind is not None
    assert len(file.content(unwind)) == 2 * 32
    assert unwind.header.nreloc == 2


def test_no_stub_at_all_is_a_sound_object(tmp_path: Path) -> None:
    """A patch that needs nothing must still link: builders always put stub.o in its slot."""
    elf_path = put(tmp_path, "host", elf_host([Sym("f", BASE + 0x100)]))
    built = StubBuilder(elf_path).build([put(tmp_path, "patch.o", elf_object([Sym("g", 0)]))], slide=0)
    assert built.verified.names == []
    macho_path = put(tmp_path, "mhost", macho_host({"_main": 16}))
    built = StubBuilder(macho_path).build([put(tmp_path, "m.o", macho_object({"_g": 0}))], slide=0)
    assert built.verified.names == []


def test_the_platform_comes_from_the_host_or_the_patch(tmp_path: Path) -> None:
    """A simulator link fails without the right platform, and a host too old to say it must not stop the build."""
    host = bytearray(macho_host({"_main": 16, "_f": 32}, platform=1))
    patch = put(tmp_path, "m.o", macho_object(needed=["_f"], platform=7))
    command = host.find((0x32).to_bytes(4, "little") + (24).to_bytes(4, "little"))
    host[command] = 0x7F  # no longer LC_BUILD_VERSION
    built = StubBuilder(put(tmp_path, "mhost", bytes(host))).build([patch], slide=0)
    assert MachOFile(built.stub.content, "stub.o").build_version == BuildVersion(7, 0x000D0000, 0)


def test_no_platform_anywhere_is_said(tmp_path: Path) -> None:
    """Guessing macOS would fail at link time with a sentence about something else."""
    paths = []
    for name, content in (("mhost", macho_host({"_f": 32})), ("m.o", macho_object(needed=["_f"]))):
        raw = bytearray(content)
        raw[raw.find((0x32).to_bytes(4, "little") + (24).to_bytes(4, "little"))] = 0x7F
        paths.append(put(tmp_path, name, bytes(raw)))
    with pytest.raises(InputError, match="which Apple platform"):
        StubBuilder(paths[0]).build([paths[1]], slide=0)


@pytest.mark.parametrize("kind", ["elf", "macho"])
def test_same_input_same_bytes(tmp_path: Path, kind: str) -> None:
    """Builds are cached and compared by content; set order must not leak into the object."""
    names = [f"{'_' if kind == 'macho' else ''}function_{number}" for number in range(200)]
    if kind == "elf":
        host = elf_host([Sym(name, BASE + 0x100 + 8 * number) for number, name in enumerate(names)])
        patch = elf_object([undefined(name) for name in reversed(names)])
    else:
        host = macho_host({name: 16 * (number + 1) for number, name in enumerate(names)})
        patch = macho_object(needed=list(reversed(names)))
    host_path, patch_path = put(tmp_path, "host", host), put(tmp_path, "patch.o", patch)
    contents = []
    for seed in ("0", "1", "4242"):
        output = tmp_path / f"stub-{seed}.o"
        command = [sys.executable, "-m", "stubgen", "build", "--host", host_path, "--slide", "0x4000", patch_path]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([*command, "-o", str(output)], check=True, capture_output=True, env=environment)
        contents.append(output.read_bytes())
    assert contents[0] == contents[1] == contents[2]
