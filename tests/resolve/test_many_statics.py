"""Objects with a static variable in each of many functions: work grows as they do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from counting import count_calls
from resolve.test_same_file import Workshop
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.common.strings import StringTable
from stubgen.image.opening import open_image
from stubgen.resolve import renumbered
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


def own_types(number: int, word: str) -> str:
    """Variables of one large type, and functions that use them."""
    members = " ".join(f"int m{n};" for n in range(number))
    uses = (f"{word} struct big *v{n}; struct big *f{n}(void) {{ return v{n}++; }}" for n in range(number))
    return "\n".join([f"struct big {{ {members} struct big *next; }};", *uses, "int enter(void) { return 0; }"])


def new_names(number: int, word: str) -> str:
    """Variables that only one of program and patch has."""
    uses = (f"static __thread int {word}{n}; int f{n}(void) {{ return ++{word}{n}; }}" for n in range(number))
    return "\n".join([*uses, "int enter(void) { return 0; }"])


def members_of_classes(number: int, _: str) -> str:
    """Thread-locals of classes, which are declared in one place and defined in another."""
    uses = (
        f"struct S{n} {{ static thread_local int t; }}; thread_local int S{n}::t; int f{n}() {{ return ++S{n}::t; }}"
        for n in range(number)
    )
    return "\n".join([*uses, 'extern "C" int enter(void) { return 0; }'])


@pytest.mark.parametrize(
    ("source", "words"),
    [(own_types, ("static", "static")), (new_names, ("old", "new")), (members_of_classes, ("", ""))],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_types_and_names_are_looked_at_once(
    tmp_path: Path, source: Callable[[int, str], str], words: tuple[str, str]
) -> None:
    """A large type was compared for each variable of it, and each thread-local or new one searched for among all."""
    work = []
    for number in (FEW // 3, MANY // 3):
        (tmp_path / str(number)).mkdir()
        shop = Workshop(tmp_path / str(number))
        name = "a.cc" if source is members_of_classes else "a.c"
        texts = [source(number, word) for word in words]
        program, patch = (shop.compile(name, text, "-g", output=f"{at}.o") for at, text in enumerate(texts))
        builder = StubBuilder(shop.link(program))
        judge = partial(builder.judge, [patch], slide=0x10000, bind=True, keep_state=True)
        work.append((count_calls(judge), count_calls(judge, StringTable.find)))
    assert work[1][0] < 1.2 * MANY / FEW * work[0][0]
    assert work[1][1] < FEW / 3


def test_a_new_static_with_a_short_name(tmp_path: Path) -> None:
    """Each name of the host that had its letters was taken apart: four seconds for a static ``n``."""
    shop = Workshop(tmp_path)
    program = shop.link(shop.compile("a.c", source(FEW), output="host.o"))
    patch = shop.compile(
        "a.c", source(FEW).replace("int enter", "static int n; int next(void) { return ++n; } int enter")
    )
    judge = partial(StubBuilder(program).judge, [patch], slide=0x10000, bind=True, keep_state=True)
    calls = count_calls(judge, renumbered._key)  # a name's letters that stay
    assert 0 < calls < FEW / 10
