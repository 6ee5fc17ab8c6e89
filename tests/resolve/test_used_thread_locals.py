"""Thread-locals of C++ that other files use: those refer to an initialiser that there need not be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen import StubBuilder

HEADER = "extern thread_local long depth;\nlong other();\n"
FILES = {
    "a.cc": '#include "t.hh"\nthread_local long depth = FIRST;\nlong other() { return ++depth; }\n',
    "b.cc": '#include "t.hh"\nlong twice() { return depth * 2; }\n',
    "main.cc": '#include "t.hh"\nlong twice();\nint main() { return other() + twice(); }\n',
}
LINKERS = {"gcc bfd": ("gcc", "bfd"), "gcc gold": ("gcc", "gold"), "clang lld": ("clang", "lld")}
REASON = "the host initialises it at first use, under a guard"


@pytest.mark.parametrize(("first", "kept"), [("5", True), ("other()", False)])
@pytest.mark.parametrize("way", LINKERS)
def test_a_name_that_only_users_have_is_no_initialiser(tmp_path: Path, way: str, first: str, kept: bool) -> None:
    """Its state was lost in each patch, for a reason that was not true; where there is an initialiser it is one."""
    compiler, linker = LINKERS[way]
    gcc = compiler == "gcc"
    driver = [
        str(need("aarch64-linux-gnu-g++" if gcc else "clang++-19")),
        *([] if gcc else ["--target=aarch64-linux-gnu"]),
    ]
    for name, text in {"t.hh": HEADER, **FILES}.items():
        (tmp_path / name).write_text(text.replace("FIRST", first))
    flags = [*driver, "-g", "-O1", "-fPIC", "-fdata-sections"]
    run([*flags, *FILES, f"-fuse-ld={linker}", "-o", "host"], cwd=tmp_path)
    assert "_ZTH5depth" in run([str(need("llvm-nm-19")), tmp_path / "host"])
    (tmp_path / "a.cc").write_text(FILES["a.cc"].replace("FIRST", "5").replace("++depth", "depth += 2"))
    run([*flags, "-c", "a.cc"], cwd=tmp_path)
    built = StubBuilder(tmp_path / "host", cache=False).build(
        [tmp_path / "a.o"], slide=0x5500000000, bind=True, keep_state=True
    )
    (depth,) = (row for row in built.resolution.shared_variables if row.name == "depth")
    assert (depth.forwarded, depth.reason_not_kept) == ((True, "") if kept else (False, REASON))
