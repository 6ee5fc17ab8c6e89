"""A later Mach-O patch's calls of an earlier one's functions, held against what that one's objects say of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from generations.test_declarations import CASES
from generations.test_generations_macho import Process
from live.test_macho import toolchain
from tools import need_module, run

from stubgen.errors import SymbolRefusal

COUNTED = ("parameters", "a number of another size", "a layout")
"""Those of functions: clang describes no variable of another file."""


def compiled(process: Process, name: str, source: str) -> Path:
    """The object of C *source*, which describes what it calls."""
    (process.folder / f"{name}.c").write_text(source)
    run([*process.tools.compile, "-O1", "-g", "-c", f"{name}.c", "-o", f"{name}-new.o"], cwd=process.folder)
    return process.folder / f"{name}-new.o"


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("case", COUNTED)
def test_what_an_earlier_patch_takes_otherwise(name: str, case: str, tmp_path: Path) -> None:
    """The patch has no debug information, its objects do: a call with another layout linked, and read anything."""
    need_module("unicorn", "unicorn")
    defined, declared, (old, new), reason = CASES[case]
    reason = reason.replace("long int", "long")  # what clang calls it
    process = Process(tmp_path, toolchain(name))
    process.patch(compiled(process, "first", defined))
    with pytest.raises(SymbolRefusal, match=f"{reason}; compile the file that defines it again"):
        process.patch(compiled(process, "second", declared))
    made = process.patch(compiled(process, "second", declared.replace(old, new)))
    assert made.number == 2


def test_an_object_that_was_compiled_again(tmp_path: Path) -> None:
    """What is there now is not what the process has: it speaks neither for the call nor against it."""
    need_module("unicorn", "unicorn")
    defined, declared, (old, new), _ = CASES["parameters"]
    process = Process(tmp_path, toolchain("lld"))
    process.patch(compiled(process, "first", defined))
    compiled(process, "first", defined.replace("int more", "int more, int most"))
    made = process.patch(compiled(process, "second", declared.replace(old, new)))
    assert made.number == 2
