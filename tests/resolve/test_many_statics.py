"""Objects with a static variable in each of many functions: work grows as they do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from counting import count_calls
from resolve.test_same_file import Workshop
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.image.opening import open_image
from stubgen.resolve.initialisers import Initialisers

FEW, MANY = 300, 900


def source(number: int) -> str:
    """So many functions with a static each, of which there are three names."""
    lines = [f"int f{n}(void) {{ static int n{n % 3} = {n + 1}; return ++n{n % 3}; }}" for n in range(number)]
    return "\n".join([*lines, "int enter(void) { return f0(); }"])


def program_and_patch(folder: Path, compiler: str, number: int) -> tuple[Path, Path]:
    """A program of such a file, and a patch of the same."""
    folder.mkdir()
    if compiler != "apple":
        shop = Workshop(folder, compiler)
        patch = shop.compile("a.c", source(number), "-g")
        return shop.link(patch), patch
    (folder / "a.c").write_text(source(number).replace("enter", "main"))
    target = "--target=arm64-apple-macos13"
    run([need("clang-19"), target, "-O1", "-g", "-c", "a.c", "-o", "a.o"], cwd=folder)
    platform = ["-arch", "arm64", "-platform_version", "macos", "13", "13", "-undefined", "dynamic_lookup"]
    run([need("ld64.lld-19"), *platform, "a.o", "-o", "program"], cwd=folder)
    return folder / "program", folder / "a.o"


def test_an_object_that_nothing_divides(tmp_path: Path) -> None:
    """Without ``.subsections_via_symbols`` an initialiser may reach all: each static followed it anew."""
    calls = []
    for number in (FEW, MANY):
        path = assembled(tmp_path / str(number), number)
        image = open_image(path.read_bytes(), "a.o")
        calls.append(count_calls(partial(Initialisers, [image])))
        variables = list(image.variables())
        assert len(variables) == number
        initialisers = Initialisers([image])
        assert {initialisers.reaching(variable) for variable in variables} == {b"_start"}
    assert calls[1] < 1.2 * MANY / FEW * calls[0]


def assembled(folder: Path, number: int) -> Path:
    """An object of assembly with so many statics, and an initialiser."""
    folder.mkdir()
    lines = [".data", *(f".globl _n{n}\n_n{n}: .quad {n}" for n in range(number))]
    lines += [".text", ".globl _start", "_start: ret", ".section __DATA,__mod_init_func,mod_init_funcs", ".quad _start"]
    (folder / "a.s").write_text("\n".join([*lines, ""]))
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.s", "-o", "a.o"], cwd=folder)
    return folder / "a.o"


@pytest.mark.parametrize("compiler", ["gcc", "clang", "apple"])
def test_three_times_the_statics_are_three_times_the_work(tmp_path: Path, compiler: str) -> None:
    """20,000 functions with a static each took minutes: each was looked for among all the others."""
    calls = []
    for number in (FEW, MANY):
        program, patch = program_and_patch(tmp_path / str(number), compiler, number)
        builder, kept = StubBuilder(program), []

        def judge(builder: StubBuilder = builder, patch: Path = patch, kept: list[bool] = kept) -> None:
            judged = builder.judge([patch], slide=0x10000, bind=True, keep_state=True)
            kept += [variable.forwarded for variable in judged.shared_variables]
            builder.emit(judged)

        calls.append(count_calls(judge))
        assert kept == [True] * number
    assert calls[1] < 1.2 * MANY / FEW * calls[0]
