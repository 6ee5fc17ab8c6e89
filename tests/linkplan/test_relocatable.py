"""One merged object instead of a shared library."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools import linker_folder, need, run

from stubgen.linkplan import Action, build_link_plan

SOURCES = {
    "stub.s": ".weak helper\n.hidden helper\nhelper: ret\n.section .note.GNU-stack\n",
    "one.cc": "int helper(int); template <class T> T twice(T x) { return helper(x) * 2; }\n"
    'extern "C" int entry(int x) { return twice(x); }\nint internal(int x) { return twice(x) + 1; }\n',
    "two.cc": "int helper(int); template <class T> T twice(T x) { return helper(x) * 2; }\n"
    'extern "C" int other(int x) { return twice(x); }\n',
}
CAPTURED = "-pie -rdynamic -Wl,--gc-sections -Wl,--icf=none -Wl,--export-dynamic -o app x.o -lm -L. -Wl,-z,now"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stub object and two patch objects that share a COMDAT group."""
    folder = tmp_path_factory.mktemp("objects")
    for name, text in SOURCES.items():
        (folder / name).write_text(text)
        compiler = str(need("aarch64-linux-gnu-g++"))
        run([compiler, "-O0", "-fPIC", "-c", folder / name, "-o", folder / f"{name.partition('.')[0]}.o"])
    return folder


def binding(path: Path) -> dict[str, str]:
    """Symbol -> the letter that nm prints for it."""
    lines = run([str(need("llvm-nm-19")), "--format=posix", path]).splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


@pytest.mark.parametrize("linker", ["gcc", "gcc-lld", "ld.lld-19", "aarch64-linux-gnu-ld"])
def test_chosen_symbols_and_group_signatures_stay_global(objects: Path, tmp_path: Path, linker: str) -> None:
    """A builder that ships one object must not leak its helpers into the next link, nor break its templates."""
    driver = [str(need("aarch64-linux-gnu-g++"))]
    if linker == "gcc-lld":
        driver += ["-fuse-ld=lld", f"-B{linker_folder(tmp_path / 'linkers')}"]
    direct = CAPTURED.replace("-Wl,-z,now", "-z now").replace("-Wl,", "").replace("-rdynamic ", "")
    argv = [*driver, *CAPTURED.split()] if linker.startswith("gcc") else [str(need(linker)), *direct.split()]
    if linker in ("gcc", "aarch64-linux-gnu-ld"):
        argv = [word for word in argv if "icf" not in word]
    merged = tmp_path / "merged.o"
    plan = build_link_plan(
        argv,
        objects=[objects / "one.o", objects / "two.o"],
        extra=[objects / "stub.o"],
        output=merged,
        relocatable=True,
        keep_global=["entry"],
        objcopy=str(need("llvm-objcopy-19")),
    )
    run(plan.args)
    assert run([str(need("readelf")), "-h", merged]).count("REL (Relocatable file)") == 1
    run(plan.localize)
    letters = binding(merged)
    assert letters["entry"] == "T"
    assert letters["_Z5twiceIiET_S0_"] in "WV"
    assert letters["_Z8internali"] == letters["other"] == "t"
    assert not [name for name in letters if name == "m"]


def test_libraries_go_and_the_rest_stays() -> None:
    """Linkers reject ``--export-dynamic`` and ``--icf`` beside ``-r``."""
    argv = ["aarch64-linux-gnu-gcc", *CAPTURED.split()]
    plan = build_link_plan(argv, objects=["p.o"], output="m.o", relocatable=True)
    assert plan.args == (argv[0], "-L.", "-Wl,-z,now", "-r", "-nostdlib", "p.o", "-o", "m.o")
    assert plan.localize == ()
    assert next(edit for edit in plan.edits if edit.before == ("-lm",)).action is Action.DROPPED


def test_the_shell_line_runs_both_commands(objects: Path, tmp_path: Path) -> None:
    """Pasted into a shell, it leaves the finished object."""
    from stubgen.linkplan.explain import shell_line

    merged = tmp_path / "merged.o"
    plan = build_link_plan(
        [str(need("aarch64-linux-gnu-gcc"))],
        objects=[objects / "one.o"],
        output=merged,
        relocatable=True,
        keep_global=["entry"],
        objcopy=str(need("llvm-objcopy-19")),
    )
    subprocess.run(["/bin/sh", "-c", shell_line(plan)], check=True)
    assert binding(merged)["_Z8internali"] == "t"
