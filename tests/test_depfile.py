"""Dependency files, as compilers write them for make."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture.depfile import prerequisites, variables
from stubgen.errors import MalformedInput

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


@pytest.mark.parametrize(
    "name",
    [
        "plain.h",
        "a b.h",
        "a#b.h",
        "a$b.h",
        "a:b.h",
        "\u00e4.h",
        "a'b.h",
        "a\u00a0b.h",
        "a\u2028b.h",
        "a\x1fb.h",
    ],
)
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


def test_a_tab_in_a_name() -> None:
    """GCC escapes it; clang does not, and nobody can read what it writes."""
    assert prerequisites("x.o: x.c a\\\tb.h\n") == ["x.c", "a\tb.h"]


def test_a_list_that_a_crash_filled_with_zeros() -> None:
    """A file system that lost the end of a file leaves zeros; a name with one was a traceback."""
    with pytest.raises(MalformedInput, match="has NUL bytes in it: compile that source again"):
        prerequisites("main.o: main.c a\0\0\0")
