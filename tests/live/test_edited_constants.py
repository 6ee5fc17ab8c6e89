"""Constants that one file of a patch defines and another one reads: who reads an edited one goes into the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_whole_tables import COMPILERS, Project, names
from tools import need, run

TABLE = "struct rate {{ long a, b; }}; const struct rate rates = {{3, {}}};\n"
READER = """
struct rate {{ long a, b; }}; extern const struct rate rates;
__attribute__((noinline)) long price(long x) {{ return x * rates.b; }}
long sum(long x) {{ __asm__(""); return price(x) + 1; }}
long same(long x) {{ return x; }}
long edited(void) {{ return {}; }}
"""


@pytest.mark.parametrize("compiler", COMPILERS)
def test_readers_of_another_files_constant(compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """price() is as it was, and would go on with the old rate, where the patch's own code has the new one."""
    project = Project(tmp_path, COMPILERS[compiler](), ("-g", "-O1", "-fdata-sections"))
    rates, project._link[-2:-2] = tmp_path / "rates.c", ["rates.o"]
    rates.write_text(TABLE.format(100))
    run([*project.compiling, "rates.c"], cwd=tmp_path)
    project.build(READER.format(1))
    assert names(project.patch(READER.format(2), capsys, str(tmp_path / "rates.o"))["jump_table"]) == {"edited"}
    rates.write_text(TABLE.format(107))
    run([*project.compiling, "rates.c"], cwd=tmp_path)
    document = project.patch(READER.format(2), capsys, str(tmp_path / "rates.o"))
    assert names(document["jump_table"]) == {"edited", "price", "sum"}


CLASS = "struct Item { virtual long price(); virtual long stock(); long tax = 1; };\n"
MAKER = f"{CLASS} Item *make() {{ return new Item; }}\nlong edited() {{ return EDIT; }}\n"
ITEM = f"{CLASS} long Item::price() {{ return tax + EDIT; }}\nlong Item::stock() {{ return tax; }}\n"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_who_makes_objects_of_an_edited_class(
    compiler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """make() is as it was: its objects would have the host's table, and old functions, where others have new ones."""
    driver = [str(need("aarch64-linux-gnu-g++")), "-Wl,--export-dynamic-symbol=main"]
    project = Project(tmp_path, driver, ("-x", "c++", "-g", "-O2", "-fdata-sections"))
    compilers = {"gcc": driver[:1], "clang": [str(need("clang-19")), "--target=aarch64-linux-gnu"]}
    project.compiling = [*compilers[compiler], *project.compiling[1:]]
    item, project._link[-2:-2] = tmp_path / "item.c", ["item.o"]
    item.write_text(ITEM.replace("EDIT", "1"))
    run([*project.compiling, "item.c"], cwd=tmp_path)
    project.build(MAKER.replace("EDIT", "1"))
    same = project.patch(MAKER.replace("EDIT", "2"), capsys, str(tmp_path / "item.o"))
    assert names(same["jump_table"]) == {"Z6editedv"}
    item.write_text(ITEM.replace("EDIT", "2"))
    run([*project.compiling, "item.c"], cwd=tmp_path)
    document = project.patch(MAKER.replace("EDIT", "2"), capsys, str(tmp_path / "item.o"))
    assert names(document["jump_table"]) == {"Z6editedv", "ZN4Item5priceEv", "Z4makev"}
