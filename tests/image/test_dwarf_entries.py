"""Where the entries of a DWARF unit are: as llvm-dwarfdump finds them; and no more is read than is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import need, run

from stubgen.image import dwarf_differences, dwarf_entries, dwarf_types
from stubgen.image.dwarf import Entries
from stubgen.image.dwarf_entries import FAULTS, EntryTable
from stubgen.image.opening import open_image

SOURCE = """
struct shape { virtual ~shape() {} virtual int area(int); int flags : 3; union { int n; float x; }; };
enum color { red, green = 900000 };
static struct shape *last; thread_local int depth; static double grid[3][4];
int shape::area(int by) {
    static int seen;
    struct local { color c; } each = { green };
    return ++seen + by + each.c + flags;
}
int work(shape *s, color c) {
    last = s;
    ++depth;
    auto f = [&](int k) { return k + s->area(c); };
    return f(2) + (int)grid[1][2];
}
"""
COMPILERS = {
    "clang-19": ["--target=aarch64-linux-gnu"],
    "aarch64-linux-gnu-g++": ["-xc++"],
}
_DUMPED = re.compile(r"^0x([0-9a-f]+):(\s+)(DW_TAG_\w+|NULL)(?: \[\d+\].*)?$", re.MULTILINE)


@pytest.mark.parametrize("options", ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -O2"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_entries_are_where_another_reader_finds_them(compiler: str, options: str, tmp_path: Path) -> None:
    """An entry stepped over by a byte too many makes nonsense of all behind it: types are compared no more."""
    entries = _entries(compiler, options.split(), tmp_path, SOURCE)
    table = entries.entries
    shown = run([str(need("llvm-dwarfdump-19")), "--debug-info", "--verbose", str(tmp_path / "a.o")])
    lines = [(int(at, 16) - entries.unit.start, len(indent), tag) for at, indent, tag in _DUMPED.findall(shown)]
    assert lines
    assert list(table.offsets) == [offset for offset, _, _ in lines]
    assert [not code for code in table.codes] == [tag == "NULL" for *_, tag in lines]
    around: list[tuple[int, int]] = []  # indent, offset
    parents = {}
    for offset, indent, tag in lines:
        while around and around[-1][0] >= indent:
            around.pop()
        if tag == "DW_TAG_variable":
            parents[offset] = around[-1][1]
        around.append((indent, offset))
    assert parents
    assert table.parents(0x34) == parents
    assert {each for parent in set(parents.values()) for each in table.children(parent, [0x34])} == parents.keys()


def test_what_nobody_asks_for_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crate's unit has a million entries: to read them all takes seconds, for the type of one variable."""
    functions = "\n".join(f"int f{n}(int a, char *b) {{ int c = a; return c + *b + {n}; }}" for n in range(400))
    source = f"struct kept {{ int n; char *name; }} kept;\n{functions}\nint last(void) {{ return kept.n; }}"
    entries = _entries("clang-19", ["-gdwarf-4", "-xc"], tmp_path, source)
    image = open_image((tmp_path / "a.o").read_bytes(), "a.o")
    kept = next(variable for variable in image.variables() if variable.name == b"kept")
    units, read = image.debug_info.units, 0
    plain = dwarf_entries.read_value

    def counted(raw: bytes, position: int, form: int, implicit: int = 0) -> tuple[bytes, int]:
        nonlocal read
        read += 1
        return plain(raw, position, form, implicit)

    monkeypatch.setattr(dwarf_entries, "read_value", counted)
    found = dwarf_types.type_of_variable(image.debug_info, kept.place)
    assert found is not None
    assert len(units) == 1
    assert dwarf_differences.difference(found, found) == ""
    assert len(entries.entries.offsets) > 1600
    assert read < len(entries.entries.offsets), "of each variable the place is looked at, and of nothing else anything"


def test_a_unit_that_is_cut_off_is_not_known(tmp_path: Path) -> None:
    """Half of a unit says things of the wrong function."""
    table = _entries("clang-19", ["-gdwarf-4"], tmp_path, SOURCE).entries
    first, end = table.start + table.offsets[0], table.start + table.offsets[-1] + 1
    with pytest.raises(FAULTS):
        EntryTable(table.info[: end - 40], table.start, first, end, table.abbreviations)
    with pytest.raises(FAULTS):
        EntryTable(table.info, table.start, first, end, dict(list(table.abbreviations.items())[:-1]))


def _entries(compiler: str, options: list[str], folder: Path, source: str) -> Entries:
    """The entries of *source*, compiled in *folder*."""
    (folder / "a.cc").write_text(source)
    run([str(need(compiler)), *COMPILERS[compiler], *options, "-c", "a.cc", "-o", "a.o"], cwd=folder)
    debug = open_image((folder / "a.o").read_bytes(), "a.o").debug_info
    return Entries(debug, debug.units[0])
