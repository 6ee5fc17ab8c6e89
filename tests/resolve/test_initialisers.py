"""What of a patch's variables its initialisers may set, and what they have nothing to do with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import need, run

from stubgen.build import StubBuilder

ELF = {
    "gcc -O0": ("aarch64-linux-gnu-g++", "-O0"),
    "gcc -O2": ("aarch64-linux-gnu-g++", "-O2"),
    "gcc -O2 -ffunction-sections": ("aarch64-linux-gnu-g++", "-O2", "-ffunction-sections"),
    "clang -O0": ("clang-19", "--target=aarch64-linux-gnu", "-O0"),
    "clang -O2": ("clang-19", "--target=aarch64-linux-gnu", "-O2"),
}
MACHO = {
    "macho -O0": ("clang-19", "--target=arm64-apple-macos13", "-O0"),
    "macho -O2": ("clang-19", "--target=arm64-apple-macos13", "-O2"),
}
COMPILERS = ELF | MACHO

HOST = "int count = 5, other = 6, third = 7; int main(void) { return count + other + third; }"
COMMON = """
extern "C" long opaque(void *); int count = 5, other = 6, third = 7;
__attribute__((noinline)) int bump() { return ++count; }
__attribute__((noinline)) int touch() { return other += (int)opaque(0); }
struct Init { Init() { opaque(this); } ~Init() { opaque(0); } };
"""

REACHED = {
    "nothing": ([COMMON], set()),
    "its own object": ([COMMON + "static Init own;"], set()),
    "by itself": ([COMMON + "static int made = (other = (int)opaque(0));"], {"other"}),
    "through a function": ([COMMON + "int made = touch();"], {"other"}),
    "through a static function": (
        [COMMON + "__attribute__((noinline)) static int f() { return third += (int)opaque(0); } int made = f() + 1;"],
        {"third"},
    ),
    "by its address": ([COMMON + "static long made = opaque(&other);"], {"other"}),
    "through a table of pointers": (
        [COMMON + "extern int *const table[]; int *const table[] = {&other, &third}; long m = opaque((void *)table);"],
        {"other", "third"},
    ),
    "through a virtual function": (
        [
            COMMON + "struct A { virtual int f(); }; int A::f() { return third += (int)opaque(0); } "
            "__attribute__((noinline)) A *make() { return new A; } int m = make()->f();"
        ],
        {"third"},
    ),
    "by a constructor function": (
        [COMMON + "__attribute__((constructor)) static void begin() { other = (int)opaque(0); }"],
        {"other"},
    ),
    "from another object": (
        [COMMON, "extern int other; int touch(); static int made = (touch(), other = 2);"],
        {"other"},
    ),
    "through another object": (
        [COMMON, "int touch(); int through(); int through() { return touch(); }", "int through(); int m = through();"],
        {"other"},
    ),
}
"""How an initialiser comes to a variable -> the patch's sources, the variables that it reaches."""


def reasons(folder: Path, sources: list[str], compiler: tuple[str, ...], *options: str) -> dict[str, str]:
    """Why each of the variables that host and patch share is not kept; empty if it is."""
    program, *common = compiler
    command = [str(need(program)), *common, "-c", "-fPIC", "-fdata-sections", "-fno-exceptions", *options]
    objects = []
    for name, text in {"host": HOST, **{f"patch{number}": text for number, text in enumerate(sources)}}.items():
        (folder / f"{name}.cc").write_text(text)
        run([*command, f"{name}.cc", "-o", f"{name}.o"], cwd=folder)
        objects.append(folder / f"{name}.o")
    if "apple" in "".join(common):
        link = [need("ld64.lld-19"), "-arch", "arm64", "-platform_version", "macos", "13", "13"]
        run([*link, "-undefined", "dynamic_lookup", "host.o", "-o", "program"], cwd=folder)
    else:
        run([need("aarch64-linux-gnu-g++"), "host.o", "-o", "program"], cwd=folder)
    judged = StubBuilder(folder / "program").judge(objects[1:], slide=0x100000, bind=True, keep_state=True)
    return {found.name.lstrip("_"): found.reason_not_kept for found in judged.shared_variables if found.writable}


@pytest.mark.parametrize("case", REACHED)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_an_initialiser_reaches_is_not_kept(tmp_path: Path, compiler: str, case: str) -> None:
    """A counter would be set back with each patch; and one that no initialiser knows would be lost for nothing."""
    sources, reached = REACHED[case]
    found = reasons(tmp_path, sources, COMPILERS[compiler])
    assert {name for name, reason in found.items() if reason} == reached
    for name in reached:
        assert re.search(r"^\S+, which runs when the patch is loaded, may set it again$", found[name])
    assert set(found) == {"count", "other", "third"}


@pytest.mark.parametrize("compiler", ELF)
def test_headers_with_initialisers(tmp_path: Path, compiler: str) -> None:
    """``#include <iostream>`` brings one, and is in every second file."""
    text = "#include <iostream>\nint count = 5; int bump(); int bump() { std::cout << count; return ++count; }"
    program, *options = ELF[compiler]
    program = "clang++-19" if program.startswith("clang") and Path("/usr/bin/clang++-19").exists() else program
    assert reasons(tmp_path, [text], (program, *options)) == {"count": ""}


@pytest.mark.parametrize("compiler", ["gcc -O0", "macho -O0"])
def test_commons(tmp_path: Path, compiler: str) -> None:
    """A common has no place yet; it is known by its name."""
    program, *options = COMPILERS[compiler]
    text = "long opaque(void *); int count, other; __attribute__((constructor)) void f(void) { other = opaque(0); }"
    found = reasons(tmp_path, [text], (program, *options), "-xc", "-fcommon")
    assert {name for name, reason in found.items() if "when the patch is loaded" in reason} == {"other"}


def test_the_initialiser_is_named(tmp_path: Path) -> None:
    """Who reads that a file runs initialisers has to look for them."""
    text = COMMON + "__attribute__((constructor)) void begin() { other = (int)opaque(0); }"
    assert reasons(tmp_path, [text], ELF["gcc -O2"])["other"] == (
        "_Z5beginv, which runs when the patch is loaded, may set it again"
    )
    assert reasons(tmp_path, [text], MACHO["macho -O2"])["other"].startswith("__Z5beginv, which runs")


def test_variables_that_share_a_section(tmp_path: Path) -> None:
    """What is reached by a section's name may be any of what is in it."""
    text = COMMON + "int made = touch();"
    found = reasons(tmp_path, [text], ELF["gcc -O2"], "-fno-data-sections")
    assert found["count"] == found["other"] != ""
