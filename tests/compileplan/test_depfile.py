"""Dependency files, as compilers write them for make."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.compileplan.depfile import prerequisites, variables

RUSTC = r"""/t/app.d: src/main.rs src/a\ b.rs /t/out/gen.rs

/t/app: src/main.rs

src/main.rs:
src/a\ b.rs:

# env-dep:FLAVOUR=a=b\nc\\d
# env-dep:UNSET
# env-dep:EMPTY=
"""


def test_what_rustc_notes() -> None:
    """A file that is overlooked is one whose edit is in no patch; a variable that is, makes other code."""
    assert prerequisites(RUSTC) == ["src/main.rs", "src/a b.rs", "/t/out/gen.rs"]
    assert variables(RUSTC) == {"FLAVOUR": "a=b\nc\\d", "UNSET": None, "EMPTY": ""}


@pytest.mark.parametrize("name", ["plain.h", "a b.h", "a#b.h", "a$b.h", "a:b.h", "\u00e4.h", "a'b.h"])
@pytest.mark.parametrize("compiler", ["gcc", "clang-19"])
def test_names_come_back_as_compilers_escape_them(tmp_path: Path, name: str, compiler: str) -> None:
    """The compilers themselves say how: a header with a blank in its name would be two that nobody edits."""
    (tmp_path / name).write_text("\n")
    (tmp_path / "x.c").write_text(f'#include "{name}"\n' + "".join(f'#include "long{n:090}.h"\n' for n in range(9)))
    for n in range(9):
        (tmp_path / f"long{n:090}.h").write_text("\n")
    text = run([str(need(compiler)), "-MM", "x.c"], cwd=tmp_path)
    found = prerequisites(text)
    assert found[:2] == ["x.c", name]
    assert len(found) == 11
