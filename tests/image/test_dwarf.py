"""Which source file an object's debug information names: the one that llvm-dwarfdump finds, and never a guess."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import need, run

from stubgen.image.dwarf import source_file
from stubgen.macho.reader import MachOFile

CASES = {
    "DWARF 2": ["-gdwarf-2"],
    "DWARF 3": ["-gdwarf-3"],
    "DWARF 4": ["-gdwarf-4"],
    "DWARF 5": ["-gdwarf-5"],
    "lines alone": ["-gline-tables-only"],
    "from elsewhere": ["-g", "-fdebug-compilation-dir=/elsewhere"],
    "remapped": ["-gdwarf-5", "-fdebug-prefix-map={folder}=/mapped"],
    "optimised": ["-g", "-O2"],
}


@pytest.mark.parametrize("spelled", ["sub/a.c", "./sub/../sub/a.c", "{folder}/sub/a.c"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_file_that_another_reader_finds(case: str, spelled: str, tmp_path: Path) -> None:
    """A file read wrong makes strangers of the same variable, or one variable of two."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.c").write_text("static int count; int f(void) { return ++count; }")
    options = [option.format(folder=tmp_path) for option in CASES[case]]
    source = spelled.format(folder=tmp_path)
    run([need("clang-19"), "--target=arm64-apple-macos13", *options, "-c", source, "-o", "a.o"], cwd=tmp_path)
    shown = run([need("llvm-dwarfdump-19"), "--debug-info", "--recurse-depth=0", tmp_path / "a.o"])
    name, folder = (re.search(rf'DW_AT_{what}\s+\("(.*)"\)', shown) for what in ("name", "comp_dir"))
    assert name is not None
    assert folder is not None
    assert read(tmp_path / "a.o") == posixpath.normpath(posixpath.join(folder[1], name[1])).encode()


def debug_section(path: Path, name: str) -> bytes:
    """The bytes of a section of the object at *path*."""
    file = MachOFile(path.read_bytes(), "a.o")
    found = file.section(f"__DWARF,__{name}"[:24])
    return b"" if found is None else bytes(file.content(found))


def read(path: Path) -> bytes:
    """The source file of the object at *path*."""
    return source_file(lambda name: debug_section(path, name))


def test_without_debug_information_it_says_nothing(tmp_path: Path) -> None:
    """Most builds for release are like that."""
    (tmp_path / "a.c").write_text("int f(void) { return 1; }")
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.c", "-o", "a.o"], cwd=tmp_path)
    assert read(tmp_path / "a.o") == b""


def test_several_units_name_no_file(tmp_path: Path) -> None:
    """What ``ld -r`` made of two files has two sources, and a variable may be from either."""
    (tmp_path / "a.c").write_text("int f(void) { return 1; }")
    run([need("clang-19"), "--target=arm64-apple-macos13", "-g", "-c", "a.c", "-o", "a.o"], cwd=tmp_path)

    def section(name: str, times: int) -> bytes:
        return debug_section(tmp_path / "a.o", name) * (times if name == "debug_info" else 1)

    assert source_file(lambda name: section(name, 1)).endswith(b"/a.c")
    assert source_file(lambda name: section(name, 2)) == b""


@given(st.dictionaries(st.sampled_from(["debug_abbrev", "debug_str"]), st.binary(max_size=60)), st.data())
def test_no_bytes_make_it_fail(sections: dict[str, bytes], data: st.DataObject) -> None:
    """Debug information that is broken is none: the patch can be built without it."""
    body = data.draw(st.binary(max_size=60))
    version = data.draw(st.integers(0, 6)).to_bytes(2, "little")
    sections["debug_info"] = (len(body) + 2).to_bytes(4, "little") + version + body
    assert isinstance(source_file(lambda name: sections.get(name, b"")), bytes)
