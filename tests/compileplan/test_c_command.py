"""Real compilers, called again: whatever the build asked of them, they write one object that a patch can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tools import SYSROOT, need, run

from stubgen.capture import record_compile
from stubgen.compileplan.c_command import as_built_command
from stubgen.compileplan.recompile import recompile, recompiled

COMPILERS = {
    "gcc": ["aarch64-linux-gnu-gcc"],
    "clang": ["clang-19", "--target=aarch64-linux-gnu", "-isystem", f"{SYSROOT}/include"],
    "apple": ["clang-19", "--target=arm64-apple-macos11"],
}

OPTIONS = {
    "gcc": [
        "-MD",
        "-MMD -MF deps.d -MT x.o",
        "-Wp,-MD,deps.d",
        "-Wp,-MMD,deps.d,-DSTEP=1",
        "-save-temps",
        "-save-temps=obj",
        "-flto",
        "-flto=2 -fno-fat-lto-objects",
        "-fno-pic",
        "-fpie",
        "-fPIE -fpic",
        "-mcmodel=large -fno-pic",
        "-mcmodel=tiny",
        "-gsplit-dwarf",
        "-fstack-usage",
        "-fdump-tree-optimized",
        "--coverage",
        "-Wa,-ahls=x.lst",
        "-aux-info x.info",
        "-fsave-optimization-record",
        "-dumpdir dumps/",
        "-I include -include extra.h",
        "-x c -std=gnu11",
    ],
    "clang": [
        "-MD -MJ x.json",
        "-save-temps",
        "-flto",
        "-flto=thin -fsplit-lto-unit",
        "-fno-pic",
        "-mcmodel=tiny",
        "-gsplit-dwarf",
        "-fsave-optimization-record",
        "-ftime-trace",
        "--serialize-diagnostics x.dia",
        "-fembed-bitcode",
    ],
    "apple": ["-mdynamic-no-pic", "-mcmodel=large", "-flto", "-MD -MF deps.d"],
}
"""What builds ask of their compilers -> each with a second file, another kind of object or other addresses."""

SOURCE = "#ifndef STEP\n#define STEP 1\n#endif\nextern int far;\nint f(void) { return far += STEP; }\n"


def snapshot(folder: Path) -> dict[str, bytes]:
    """What is in the build's own folder."""
    kept = {path for path in folder.rglob("*") if path.is_file() and "captured" not in path.parts}
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept if "patch" not in path.parts}


@pytest.mark.parametrize(
    ("compiler", "options"), [(compiler, each) for compiler, listed in OPTIONS.items() for each in listed]
)
def test_the_object_is_all_that_is_written(tmp_path: Path, compiler: str, options: str) -> None:
    """A patch that overwrote the build's dependency files or objects would change what the next build does."""
    name, *target = COMPILERS[compiler]
    (tmp_path / "include").mkdir()
    (tmp_path / "dumps").mkdir()
    (tmp_path / "include" / "extra.h").write_text("\n")
    (tmp_path / "x.c").write_text(SOURCE)
    command = [str(need(name)), *target, "-O1", *options.split(), "-c", "x.c", "-o", "x.o"]
    run(command, cwd=tmp_path)
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    before = snapshot(tmp_path)
    (tmp_path / "x.c").write_text(SOURCE.replace("return", "return 0,"))
    made = recompile(tmp_path / "captured", tmp_path / "patch", [tmp_path / "x.c"])
    assert [path.name for path in (tmp_path / "patch").iterdir()] == ["x.o"]
    assert {**before, "x.c": b""} == {**snapshot(tmp_path), "x.c": b""}
    listing = run([str(need("llvm-readobj-19")), "--relocations", *made.objects])
    reference = "ARM64_RELOC_GOT_LOAD_PAGE21" if compiler == "apple" else "R_AARCH64_ADR_GOT_PAGE"
    assert reference in listing, "it is no object with position-independent code"


def test_what_was_compiled_and_linked_at_once(tmp_path: Path) -> None:
    """``cc *.c -o program`` is how small programs are built; of two sources the edited one makes an object."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "x.c").write_text(SOURCE)
    (tmp_path / "main.c").write_text("int far;\nint f(void);\nint main(void) { return f(); }\n")
    command = [gcc, "main.c", "x.c", "-o", "program", "-lm", "-Wl,--gc-sections"]
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    made = recompile(tmp_path / "captured", tmp_path / "patch", [tmp_path / "x.c"])
    assert sorted(os.path.basename(path) for path in made.objects) == ["main.o", "x.o"]


@pytest.mark.parametrize("given", ["", "-g0", "-g", "-ggdb3"])
def test_state_needs_its_options(tmp_path: Path, given: str) -> None:
    """Variables are told apart by sections and debug information: without them state starts afresh in a patch."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "x.c").write_text("static int count; int f(void) { return ++count; }\n")
    command = [gcc, *given.split(), "-c", "x.c"]
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    recompile(tmp_path / "captured", tmp_path / "patch", [tmp_path / "x.c"], keep_state=True)
    sections = run([str(need("llvm-readobj-19")), "--sections", tmp_path / "patch" / "x.o"])
    assert ".bss.count" in sections
    assert ".debug_info" in sections
    recompile(tmp_path / "captured", tmp_path / "plain", [tmp_path / "x.c"])
    sections = run([str(need("llvm-readobj-19")), "--sections", tmp_path / "plain" / "x.o"])
    assert ".bss.count" not in sections
    assert (".debug_info" in sections) == (given in ("-g", "-ggdb3"))


@pytest.mark.parametrize(
    ("given", "bound"),
    [("", True), ("-fPIE", True), ("-fPIC -fno-pic", True), ("-fPIC", False), ("-fno-pic -fpic", False)],
)
def test_what_gcc_inlines_in_a_program_it_inlines_in_the_patch(tmp_path: Path, given: str, bound: bool) -> None:
    """With -fPIC alone it calls the file's own global functions, as a library's callers do.

    Functions that nobody edited were then told as changed, and were replaced. A library is compiled as it was.
    """
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "x.c").write_text("int half(int x) { return x / 2; }\nint f(int x) { return half(x) + 1; }\n")
    command = [gcc, "-O2", *given.split(), "-c", "x.c"]
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    recompile(tmp_path / "captured", tmp_path / "patch", [tmp_path / "x.c"])
    listing = run([str(need("llvm-readobj-19")), "--relocations", tmp_path / "patch" / "x.o"])
    assert ("CALL26 half" in listing) is not bound


MERGED = "static int count, other; int f(void) { return ++count + ++other; }"


@pytest.mark.parametrize("compiler", ["clang", "apple"])
def test_clang_leaves_the_variables_of_a_patch_apart(tmp_path: Path, compiler: str) -> None:
    """An edit that adds a second static made one variable of both, in which what the first had counted is lost."""
    name, *target = COMPILERS[compiler]
    (tmp_path / "x.c").write_text(MERGED)
    command = [str(need(name)), *target, "-O3", "-fdata-sections", "-c", "x.c", "-o", "x.o"]
    run(command, cwd=tmp_path)
    listing = [str(need("llvm-objdump-19")), "--section-headers", "--syms"]
    assert "MergedGlobals" in run([*listing, tmp_path / "x.o"])
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    made = recompile(tmp_path / "captured", tmp_path / "patch", [tmp_path / "x.c"], keep_state=True)
    assert "MergedGlobals" not in run([*listing, *made.objects])


SYSTEMS = {
    "gcc -I/home/apple/include": False,
    "gcc -DVENDOR=apple -c apple.c": False,
    "ccache gcc apple.c": False,
    "/opt/apple/bin/aarch64-linux-gnu-gcc": False,
    "aarch64-linux-gnu-gcc -isysroot /sdk": False,
    "clang --target=aarch64-linux-gnu -isysroot /sdk": False,
    "clang -target arm64-apple-macos11": True,
    "clang --target=arm64-apple-ios17": True,
    "zig cc -target aarch64-macos": True,
    "zig cc -target aarch64-linux-gnu": False,
    "ccache arm64-apple-darwin23-clang": True,
    "clang -arch arm64": True,
    "clang -isysroot /sdk": True,
}


@pytest.mark.parametrize(("command", "is_apple"), SYSTEMS.items(), ids=list(SYSTEMS))
def test_a_systems_name_in_a_path_says_nothing(command: str, is_apple: bool) -> None:
    """Of a project in ``/home/apple`` nothing was compiled as built, and unedited functions were told as changed."""
    as_built = as_built_command([*command.split(), "-fPIE", "-c", "x.c"], "x.c", "/o", "/", "", keep_state=True)
    assert (as_built is None) == is_apple


AS_BUILT = {
    "gcc": [
        "",
        "-fno-pic",
        "-fPIE -fpic",
        "-mcmodel=large -fno-pic",
        "-mcmodel=tiny",
        "-save-temps",
        "-gsplit-dwarf -MD",
    ],
    "clang": ["", "-fpie", "-mcmodel=large -fno-pic", "-ftime-trace"],
}


@pytest.mark.parametrize(
    ("compiler", "options"), [(compiler, each) for compiler, listed in AS_BUILT.items() for each in listed]
)
def test_the_hosts_own_options_make_the_hosts_own_code(tmp_path: Path, compiler: str, options: str) -> None:
    """What changed is told by it: one option more or less, and functions that nobody edited count as changed."""
    name, *target = COMPILERS[compiler]
    (tmp_path / "x.c").write_text(SOURCE)
    command = [str(need(name)), *target, "-O1", *options.split(), "-c", "x.c", "-o", "x.o"]
    run(command, cwd=tmp_path)
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    before = snapshot(tmp_path)
    with recompiled(tmp_path / "captured", [tmp_path / "x.c"], link=None, keep_state=True, as_built=True) as made:
        ((own, twin),) = made.as_built
        assert own == made.objects[0]
        dumps = [run([str(need("llvm-objdump-19")), "-d", "-r", path]) for path in (tmp_path / "x.o", twin, own)]
    there, twice, for_patch = (text.split("Disassembly", 1)[1] for text in dumps)
    assert twice == there
    assert for_patch != there
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("compiler", "options"), [("gcc", "-fPIC -g -fdata-sections -ffunction-sections"), ("apple", "-O1")]
)
def test_what_is_a_patch_anyway_is_compiled_once(tmp_path: Path, compiler: str, options: str) -> None:
    """The second compile takes a processor for as long as the first one."""
    name, *target = COMPILERS[compiler]
    (tmp_path / "x.c").write_text(SOURCE)
    command = [str(need(name)), *target, *options.split(), "-c", "x.c", "-o", "x.o"]
    record_compile(command, tmp_path / "captured", directory=str(tmp_path), environment=dict(os.environ))
    with recompiled(tmp_path / "captured", [tmp_path / "x.c"], link=None, keep_state=True, as_built=True) as made:
        assert len(made.objects) == 1
        assert made.as_built == []
