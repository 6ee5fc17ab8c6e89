"""What an edit took away is named, and nothing else is: not what was inlined, moved, or made by a compiler."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from live.live import capture_executable, capturing, stubgen
from live.test_macho import toolchain
from tools import linker_folder, need, run

from stubgen.compare.removed import find_removed
from stubgen.image.opening import open_image

KEEP = "__attribute__((noinline))"

A = """
#define KEEP __attribute__((noinline))
int outside(int);
KEEP static int helper(int x) { return outside(x) + 1; }
#ifndef EDITED
KEEP int gone(int x) { return outside(x) * 3; }
KEEP static int gone_static(int x) { return outside(x) * 5; }
KEEP int moved(int x) { return outside(x) * 7; }
KEEP static int small(int x) { return outside(x) + outside(x + 1); }
__attribute__((visibility("hidden"))) KEEP int gone_hidden(int x) { return outside(x) * 9; }
__attribute__((weak)) KEEP int gone_weak(int x) { return outside(x) * 11; }
KEEP static int twin(int x) { return outside(x) * 13; }
int use(int x) { return gone(x) + gone_static(x) + moved(x) + small(x) + gone_hidden(x) + gone_weak(x) + twin(x); }
#else
int moved(int x);
static inline __attribute__((always_inline)) int small(int x) { return outside(x) + outside(x + 1); }
int use(int x) { return moved(x) + small(x) + helper(x); }
int added(int x) { return use(x); }
#endif
int other(int x) { return helper(x) + use(x); }
"""
B = """
__attribute__((noinline)) int outside(int x) { return x + 2; }
__attribute__((noinline)) static int twin(int x) { return outside(x) * 17; }
__attribute__((noinline)) static int in_b(int x) { return outside(x) * 19; }
int other(int);
int main(void) { return other(1) + twin(2) + in_b(3); }
"""
GLOBALS, STATICS = {"gone", "gone_hidden", "gone_weak"}, {"gone_static", "twin"}
"""What is gone: seen by other files, and not."""

GCC, CLANG = ["aarch64-linux-gnu-gcc"], ["clang-19", "--target=aarch64-linux-gnu"]


def removed_in(folder: Path, edited: str) -> set[str]:
    """What is found to be gone in the object called *edited*."""
    host = open_image((folder / "host").read_bytes(), "host")
    found = find_removed([(edited, open_image((folder / edited).read_bytes(), edited))], host)
    assert all(host.names_at({row.address})[row.address] == {row.name} for row in found)
    return {row.name.decode() for row in found}


def elf_host(folder: Path, compiler: list[str], linker: str, *options: str, link: tuple[str, ...] = ()) -> None:
    """The host of two files, and the object that one of them becomes by the edit."""
    tool, *words = compiler
    for name, source in (("a.c", A), ("b.c", B)):
        (folder / name).write_text(source)
        run([str(need(tool)), *words, "-c", *options, "-fPIC", name, "-o", f"{name}.o"], cwd=folder)
    run([str(need(tool)), *words, "-c", *options, "-fPIC", "-DEDITED", "a.c", "-o", "edited.o"], cwd=folder)
    driver = [str(need("aarch64-linux-gnu-gcc")), "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={linker}"]
    run([*driver, "-pie", *link, "a.c.o", "b.c.o", "-o", "host"], cwd=folder)


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", [GCC, CLANG], ids=["gcc", "clang"])
@pytest.mark.parametrize("linker", ["bfd", "gold", "lld", "mold"])
def test_a_c_file(linker: str, compiler: list[str], level: str, tmp_path: Path) -> None:
    """A report that calls an inlined function removed sends people to look for a deletion that nobody made."""
    if linker == "gold":
        need("aarch64-linux-gnu-ld.gold")
    elf_host(tmp_path, compiler, linker, level, "-g", "-ffunction-sections", link=("-Wl,--gc-sections",))
    wanted = GLOBALS | STATICS
    if compiler is CLANG and level == "-O2":  # it might have inlined a static function without a trace
        wanted = {"gone_hidden"} if linker == "mold" else GLOBALS  # mold makes the others local like static ones
    assert removed_in(tmp_path, "edited.o") == wanted
    assert removed_in(tmp_path, "a.c.o") == set()
    assert removed_in(tmp_path, "b.c.o") == set()


@pytest.mark.parametrize("options", [("-gdwarf-4",), ("-gdwarf-5", "-gz"), ("-gdwarf-4", "-fno-function-sections")])
@pytest.mark.parametrize("compiler", [GCC, CLANG], ids=["gcc", "clang"])
def test_debug_information_of_all_kinds(compiler: list[str], options: tuple[str, ...], tmp_path: Path) -> None:
    """A unit's addresses are one run, a list of pairs or one of entries, by version and options."""
    elf_host(tmp_path, compiler, "bfd", "-O0", "-ffunction-sections", *options)
    assert removed_in(tmp_path, "edited.o") == GLOBALS | STATICS


@pytest.mark.parametrize(("host", "patch"), [("-g", "-g0"), ("-g0", "-g"), ("-g0", "-g0")])
def test_without_debug_information_nothing_is_said(host: str, patch: str, tmp_path: Path) -> None:
    """Then nobody knows whose a function is, or whether it was inlined."""
    elf_host(tmp_path, GCC, "bfd", "-O0", host)
    run([*GCC, "-c", "-O0", patch, "-fPIC", "-DEDITED", "a.c", "-o", "edited.o"], cwd=tmp_path)
    assert removed_in(tmp_path, "edited.o") == set()


def test_another_file_of_that_name(tmp_path: Path) -> None:
    """Two folders may each have their a.c, and a file that was compiled twice has each function twice."""
    elf_host(tmp_path, GCC, "bfd", "-O0", "-g")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.c").write_text(A)
    run([*GCC, "-c", "-g", "-fPIC", "-DEDITED", "other/a.c", "-o", "edited.o"], cwd=tmp_path)
    assert removed_in(tmp_path, "edited.o") == set()
    first = open_image((tmp_path / "a.c.o").read_bytes(), "a.c.o")
    host = open_image((tmp_path / "host").read_bytes(), "host")
    assert find_removed([("one", first), ("two", first)], host) == []


CC = """
#include <map>
#include <string>
#include "shared.hh"
#define KEEP __attribute__((noinline))
struct Shape { int area(int x); int side(int x); };
KEEP int Shape::side(int x) { return x + 1; }
template <class T> KEEP T twice(T x) { return x + x; }
namespace { KEEP int hidden(int x) { return x * 3; } }
#ifndef EDITED
KEEP int Shape::area(int x) { return x * x; }
KEEP int gone(int x) { std::map<std::string, int> m; m["a"] = x; return m.size(); }
namespace inner { KEEP int gone_too(int x) { return gone(x) + 2; } }
KEEP static int gone_static(int x) { return gone(x) + 7; }
int use(int x) {
  auto lambda = [x](int y) KEEP { return x * y; };
  return Shape().area(x) + inner::gone_too(x) + twice(x) + from_header(x) + lambda(3) + gone_static(x);
}
#else
int use(int x) { return Shape().side(x); }
#endif
int main() { return use(3) + hidden(4) + twice(2.5); }
"""


@pytest.mark.parametrize("linker", ["bfd", "lld", "mold"])
@pytest.mark.parametrize("compiler", [["aarch64-linux-gnu-g++"], ["clang++-19", "--target=aarch64-linux-gnu"]])
def test_a_cxx_file(compiler: list[str], linker: str, tmp_path: Path) -> None:
    """Instances and inline functions are others' as well, and a class goes on declaring what is gone."""
    (tmp_path / "shared.hh").write_text(f"inline {KEEP} int from_header(int x) {{ return x + 5; }}\n")
    (tmp_path / "a.cc").write_text(CC)
    tool, *words = compiler
    for name, options in (("a.o", ()), ("edited.o", ("-DEDITED",))):
        run([str(need(tool)), *words, "-c", "-O0", "-g", "-fPIC", *options, "a.cc", "-o", name], cwd=tmp_path)
    driver = [str(need("aarch64-linux-gnu-g++")), "-B", str(linker_folder(tmp_path / "linkers")), f"-fuse-ld={linker}"]
    run([*driver, "-pie", "a.o", "-o", "host"], cwd=tmp_path)
    globals_ = {"_ZN5Shape4areaEi", "_Z4gonei", "_ZN5inner8gone_tooEi"}
    # mold makes all of them local, as an inline function's copy may be
    assert removed_in(tmp_path, "edited.o") == ({"_ZL11gone_statici"} | (set() if linker == "mold" else globals_))
    assert removed_in(tmp_path, "a.o") == set()


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_a_macho_file(level: str, name: str, tmp_path: Path) -> None:
    """There the debugger's entries of the host say which file, and clang makes all code."""
    tools = toolchain(name)
    for file, source in (("a.c", A), ("b.c", B)):
        (tmp_path / file).write_text(source)
        run([*tools.compile, level, "-g", "-c", file, "-o", f"{file}.o"], cwd=tmp_path)
    run([*tools.compile, level, "-g", "-DEDITED", "-c", "a.c", "-o", "edited.o"], cwd=tmp_path)
    run([*tools.link, "-o", "host", "a.c.o", "b.c.o"], cwd=tmp_path)
    wanted = GLOBALS | STATICS if level == "-O0" else GLOBALS
    wanted = wanted - {"gone_weak"} if name == "zig" else wanted  # whose entries have a wrong address for weak ones
    assert removed_in(tmp_path, "edited.o") == {f"_{name}" for name in wanted}
    assert removed_in(tmp_path, "a.c.o") == set()


def test_the_report_of_a_link_names_it(tmp_path: Path) -> None:
    """People look into the report for why an old function still runs: it is gone from the patch, not from the host."""
    elf_host(tmp_path, GCC, "bfd", "-O0", "-g", link=("-Wl,--export-dynamic-symbol=main",))
    gcc = str(need(GCC[0]))
    link = [gcc, "-pie", "-Wl,--export-dynamic-symbol=main", "a.c.o", "b.c.o", "-o", "host"]
    run([str(capture_executable(tmp_path)), *link[1:]], cwd=tmp_path, env=capturing(tmp_path / "captured", gcc))
    main = next(iter(open_image((tmp_path / "host").read_bytes(), "host").find([b"main"])[b"main"])).address
    words = (
        "link",
        "--host",
        tmp_path / "host",
        "--captured",
        tmp_path / "captured",
        "--jump-table",
        tmp_path / "t.json",
    )
    slide = ("--aslr-reference", hex(main + 0x5500000000), "-o", tmp_path / "p.so", tmp_path / "edited.o")
    done = stubgen(*words, *slide)
    assert done.returncode == 0, done.stderr
    gone = sorted(GLOBALS | STATICS)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  removed: ")]
    assert sorted(re.findall(r"(\w+) \(", line)) == gone
    assert f"{len(gone)} removed" in done.stdout
    document = json.loads(stubgen(*words, "--json", *slide).stdout)
    removed = [row for row in document["changes"] if row["change"] == "removed"]
    assert sorted(row["names"][0] for row in removed) == gone
    assert {row["reason"] for row in removed} == {"the host has it of this file, and the object has it no more"}
    assert not {entry["name"] for entry in document["jump_table"]} & set(gone)
