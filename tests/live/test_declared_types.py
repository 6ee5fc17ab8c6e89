"""Types that a file only declares: GCC and clang describe a class with virtual functions where its virtual table is."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_whole_tables import Project
from tools import need, run

CLASS = """
struct Item {{ virtual long price(); {more} virtual long stock(); {fields} }};
struct Known {{ long a; }};
"""
UNIT = '#include "item.h"\nlong Item::price() {{ return tax + {edit}; }}\nKnown known;\n'
USER = '#include "item.h"\nItem *current; Known *other; long ask() {{ return current->stock() + other->a + {edit}; }}\n'
STOCK = '#include "item.h"\nlong Item::stock() { return tax; }\n'

EDITS = {
    "a field": ("", "long rate = 1, tax = 2;", "Item has 24 bytes, and in the host 16"),
    "a virtual function": (
        "virtual long h() { return 1; }",
        "long tax = 2;",
        "Item has other virtual functions than in the host",
    ),
}


def compilers() -> dict[str, list[str]]:
    """Those that leave a class's description out of most files."""
    return {
        "gcc": [str(need("aarch64-linux-gnu-g++"))],
        "clang": [str(need("clang-19")), "--target=aarch64-linux-gnu"],
    }


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_class_that_another_file_describes(
    edit: str, compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pointer to the process's objects was kept: new code read behind their end, or called another function."""
    more, fields, told = EDITS[edit]
    header = tmp_path / "item.h"
    header.write_text(CLASS.format(more="", fields="long tax = 2;"))
    driver = [str(need("aarch64-linux-gnu-g++")), "-Wl,--export-dynamic-symbol=main"]
    project = Project(tmp_path, driver, ("-x", "c++", "-g", "-O1", "-fdata-sections"))
    project.compiling = [*compilers()[compiler], *project.compiling[1:]]
    user, stock = tmp_path / "user.c", tmp_path / "stock.c"
    user.write_text(USER.format(edit=1))
    stock.write_text(STOCK)
    run([*project.compiling, "user.c", "stock.c"], cwd=tmp_path)
    project._link = [*driver, "main.o", "unit.o", "user.o", "stock.o", "-o", "app"]
    project.build(UNIT.format(edit=1))
    user.write_text(USER.format(edit=2))
    run([*project.compiling, "user.c", "stock.c"], cwd=tmp_path)
    others = ("--keep-state", str(tmp_path / "user.o"), str(tmp_path / "stock.o"))
    same = project.patch(UNIT.format(edit=2), capsys, *others)
    assert {row["name"] for row in same["duplicates"] if row["forwarded"] and row["writable"]} >= {"current", "other"}
    assert not same["left_out"]
    header.write_text(CLASS.format(more=more, fields=fields))
    run([*project.compiling, "user.c", "stock.c"], cwd=tmp_path)
    document = project.patch(UNIT.format(edit=2), capsys, *others)
    obstacles = {row["name"]: row["obstacle"] for row in document["duplicates"]}
    assert told in obstacles["current"]
    assert not obstacles["other"]
    left_out = {row["name"]: row["reason"] for row in document["left_out"]}
    assert told in left_out["_ZN4Item5priceEv"]
    assert edit != "a field" or told in left_out["_ZN4Item5stockEv"]
    assert "_ZN4Item5stockEv" not in {row["name"] for row in document["jump_table"]}
