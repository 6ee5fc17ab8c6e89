"""Headers that GCC compiled before the edit: its own rule would leave the edit out of the patch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture import record_compile
from stubgen.compileplan.recompile import recompile

GCC = "aarch64-linux-gnu-gcc"


@pytest.mark.parametrize("way", ["-include", "#include", "nested"])
@pytest.mark.parametrize("dependencies", ["-MD", "-MMD", "gone"])
def test_an_edited_header_is_not_taken_from_before(tmp_path: Path, way: str, dependencies: str) -> None:
    """GCC does not look whether a precompiled header is stale: the patch had the old value, and linked."""
    gcc = str(need(GCC))
    options = ["-O1", "-fPIC", "-Winvalid-pch", "-Werror"]
    (tmp_path / "value.h").write_text("#define VALUE 11\n")
    (tmp_path / "all.h").write_text('#include "value.h"\n')
    (tmp_path / "first.h").write_text('#include "all.h"\n')
    start = {"-include": "", "#include": '#include "all.h"\n', "nested": '#include "first.h"\n'}[way]
    (tmp_path / "x.c").write_text(start + "int value(void) { return VALUE; }\n")
    (tmp_path / "other.c").write_text("int other(void) { return 1; }\n")
    header = [gcc, *options, "-c", "all.h", "-o", "all.h.gch"]
    included = ["-include", "all.h"] if way == "-include" else []
    writes = [] if dependencies == "gone" else [dependencies]
    command = [gcc, *options, *included, *writes, "-c", "x.c", "-o", "x.o"]
    for words in (header, command, [gcc, "-c", "other.c", "-o", "other.o"]):
        run(words, cwd=tmp_path)
        record_compile(words, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    (tmp_path / "value.h").write_text("#define VALUE 77\n")
    run([*command[:-1], "stale.o"], cwd=tmp_path)
    made = recompile(tmp_path / "captured", tmp_path / "objects", [tmp_path / "value.h"])
    assert [os.path.basename(path) for path in made.objects] == ["x.o"]
    disassemble = [str(need("llvm-objdump-19")), "-d"]
    stale = "#0x4d" if way == "nested" else "#0xb"  # GCC takes one from the source alone
    assert stale in run([*disassemble, tmp_path / "stale.o"]), "GCC does otherwise by now"
    assert "#0x4d" in run([*disassemble, tmp_path / "objects" / "x.o"])


@pytest.mark.parametrize("form", [["-include-pch", "all.h.pch"], ["-Xclang", "-include-pch", "-Xclang", "all.h.pch"]])
def test_clang_compiles_without_its_precompiled_header(tmp_path: Path, form: list[str]) -> None:
    """It refuses one that was made without -fPIC, and one whose header was edited: no patch came about."""
    clang, target = str(need("clang-19")), "--target=aarch64-linux-gnu"
    (tmp_path / "all.h").write_text("#define VALUE 11\n")
    (tmp_path / "x.c").write_text("int value(void) { return VALUE; }\n")
    header = ["-Xclang", "-include", "-Xclang", "all.h"] if form[0] == "-Xclang" else []
    command = [clang, target, "-O1", "-fno-pic", *form, *header, "-MD", "-c", "x.c", "-o", "x.o"]
    for words in ([clang, target, "-O1", "-fno-pic", "-x", "c-header", "all.h", "-o", "all.h.pch"], command):
        run(words, cwd=tmp_path)
        record_compile(words, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    (tmp_path / "all.h").write_text("#define VALUE 77\n")
    recompile(tmp_path / "captured", tmp_path / "objects", [tmp_path / "all.h"])
    assert "#0x4d" in run([str(need("llvm-objdump-19")), "-d", tmp_path / "objects" / "x.o"])
