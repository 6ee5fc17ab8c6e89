"""Which functions a patch replaces: each pair is called by its addresses in a living process, and none is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, stubgen
from live.test_elf import LINKERS, link_host
from tools import PROGRAMS, need, run, rustc

EDIT = 500_000
"""What every edited function adds to its answer."""

COMPILERS = {
    "gcc": ("aarch64-linux-gnu-gcc",),
    "clang": ("clang-19", "--target=aarch64-linux-gnu"),
}

SHARED = """
#ifdef __clang__
#define KEPT __attribute__((noinline, used))
#else
#define KEPT __attribute__((noipa, used))
#endif
#define ANSWERS(number) { return x + number + EDIT; }
KEPT static long from_header(long x) ANSWERS(HEADER)
"""

C_FILES = {
    "a.c": """
#define HEADER 110
#include "shared.h"
KEPT long a_global(long x) ANSWERS(111)
KEPT __attribute__((visibility("hidden"))) long a_hidden(long x) ANSWERS(112)
KEPT __attribute__((weak)) long a_weak(long x) ANSWERS(113)
KEPT static long helper(long x) ANSWERS(114)
KEPT static long a_static(long x) ANSWERS(115)
""",
    "b.c": """
#define HEADER 220
#include "shared.h"
KEPT long b_global(long x) ANSWERS(221)
KEPT static long helper(long x) ANSWERS(224)
""",
}

C_ANSWERS = {
    "a.c": {"from_header": 110, "a_global": 111, "a_hidden": 112, "a_weak": 113, "helper": 114, "a_static": 115},
    "b.c": {"from_header": 220, "b_global": 221, "helper": 224},
}


class Program(NamedTuple):
    """A linked host, the record of its link, and the folder of its sources."""

    host: Path
    captured: Path
    folder: Path

    def link(self, live: LiveHost, patch: Sequence[Path], output: str, *options: object) -> dict[str, object]:
        """Link a patch by the command line; its JSON document.

        Each needs an *output* of its own: loaders give back the library that they have by that path.
        """
        done = stubgen(
            *("link", "--json", "--host", self.host, "--captured", self.captured, "--aslr-reference", hex(live.anchor)),
            *(*options, "-o", self.folder / output, *patch),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        document: dict[str, object] = json.loads(done.stdout)
        return document


def compiled(folder: Path, name: str, compiler: Sequence[str], *options: str, edit: int = 0) -> Path:
    """The object of the source called *name*, of an edited one with *edit*."""
    program, *target = compiler
    output = folder / f"{name}.{edit}.o"
    run([str(need(program)), *target, "-c", "-O1", "-fPIC", f"-DEDIT={edit}", *options, name, "-o", output], cwd=folder)
    return output


def linked_host(folder: Path, objects: dict[str, Path], linker: str, *options: str) -> Program:
    """The host, from *objects* and the driver."""
    driver = folder / "driver.o"
    run([str(need("aarch64-linux-gnu-gcc")), "-c", "-fPIC", PROGRAMS / "addressed_host.c", "-o", driver])
    host, captured = link_host(folder, {"driver": driver, **objects}, linker, "-Wl,--no-gc-sections", *options)
    return Program(host, captured, folder)


def called(live: LiveHost, base: int, document: dict[str, object]) -> dict[str, tuple[list[int], int]]:
    """Name of each replaced function -> what the host's copies and the patch's answer to 1000."""
    answers = {}
    for row in document["replaced"]:  # type: ignore[attr-defined]
        old = [int(live.tell(f"call {copy['runtime_address']:x} 1000")) for copy in row["host"]]
        answers[row["name"]] = old, int(live.tell(f"call {base + row['address']:x} 1000"))
    return answers


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("linker", LINKERS)
def test_every_function_of_a_c_file(linker: str, compiler: str, tmp_path: Path) -> None:
    """A table that names another file's function sends its callers into the wrong code; one left out stays old."""
    (tmp_path / "shared.h").write_text(SHARED)
    for name, source in C_FILES.items():
        (tmp_path / name).write_text(source)
    objects = {name: compiled(tmp_path, name, COMPILERS[compiler]) for name in C_FILES}
    program = linked_host(tmp_path, objects, linker)
    with LiveHost(program.host) as live:
        for name, functions in C_ANSWERS.items():
            edited = compiled(tmp_path, name, COMPILERS[compiler], edit=EDIT)
            document = program.link(live, [edited], f"{name}.so")
            base = int(live.tell(f"patch {tmp_path / name}.so"), 16)
            assert called(live, base, document) == {
                function: ([1000 + answer], 1000 + answer + EDIT) for function, answer in functions.items()
            }
            assert document["undecided"] == []
            assert {row["name"] for row in document["replaced"] if row["local"]} == functions.keys() & {
                "from_header",
                "helper",
                "a_static",
            }
        live.end()


CXX = """
#ifdef __clang__
#define KEPT __attribute__((noinline, used))
#else
#define KEPT __attribute__((noipa, used))
#endif
#define ANSWERS(number) { return x + number + EDIT; }
struct Shape { KEPT Shape(); KEPT virtual ~Shape(); KEPT static long area(long x); long side; };
template <int N> struct Row { KEPT static long sum(long x) ANSWERS(N) };
template <class T> KEPT long generic(long x) ANSWERS(302)
inline KEPT long from_header(long x) ANSWERS(303)
"""

CXX_FILES = {
    "a.cc": """
#include "shared.hh"
Shape::Shape() : side(EDIT) {}
Shape::~Shape() {}
long Shape::area(long x) ANSWERS(311)
namespace { KEPT long unnamed(long x) ANSWERS(312) struct Local { KEPT static long of_unnamed(long x) ANSWERS(313) }; }
KEPT static long of_file(long x) ANSWERS(314)
namespace space { KEPT static long of_file(long x) ANSWERS(315) KEPT long visible(long x) ANSWERS(316) }
KEPT long overloaded(long x) ANSWERS(317)
KEPT long overloaded(long x, int) ANSWERS(318)
extern "C" KEPT long plain(long x) { auto add = [](long x) KEPT -> long ANSWERS(319); return add(x) - 319 + 320; }
long take(long x) { struct Inner { KEPT static long of_inner(long x) ANSWERS(321) }; return Inner::of_inner(x); }
template struct Row<301>;
template long generic<int>(long);
template long generic<Shape>(long);
long use(long x) { Shape shape; return from_header(x) + Local::of_unnamed(x) + unnamed(x) + of_file(x); }
""",
    "b.cc": """
#include "shared.hh"
KEPT static long of_file(long x) ANSWERS(414)
template long generic<int>(long);
long use_too(long x) { return from_header(x) + of_file(x); }
""",
}

CXX_ANSWERS = {
    "_ZN5Shape4areaEl": 311,
    "_ZN12_GLOBAL__N_17unnamedEl": 312,
    "_ZN12_GLOBAL__N_15Local10of_unnamedEl": 313,
    "_ZL7of_filel": 314,
    "_ZN5spaceL7of_fileEl": 315,
    "_ZN5space7visibleEl": 316,
    "_Z10overloadedl": 317,
    "_Z10overloadedli": 318,
    "_ZN3RowILi301EE3sumEl": 301,
    "_Z7genericIiEll": 302,
    "_Z7genericI5ShapeEll": 302,
    "_Z11from_headerl": 303,
}
CXX_OTHERS = {
    "_ZN5ShapeC1Ev",
    "_ZN5ShapeC2Ev",
    "_ZN5ShapeD1Ev",
    "_ZN5ShapeD2Ev",
    "_ZN5ShapeD0Ev",
    "plain",
    "_Z4takel",
    "_Z3usel",
}
CXX_NUMBERED = {
    "gcc": {"_ZZ5plainENKUllE_clEl", "_ZZ4takelEN5Inner8of_innerEl"},
    "clang": {"_ZZ5plainENK3$_0clEl", "_ZZ4takelEN5Inner8of_innerEl"},
}


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("linker", LINKERS)
def test_every_function_of_a_cxx_file(linker: str, compiler: str, tmp_path: Path) -> None:
    """Templates and inline functions belong to no file, unnamed namespaces to one; lambdas are numbered anew."""
    (tmp_path / "shared.hh").write_text(CXX)
    for name, source in CXX_FILES.items():
        (tmp_path / name).write_text(source)
    compile_ = (COMPILERS[compiler][0].replace("gcc", "g++"), *COMPILERS[compiler][1:])
    objects = {name: compiled(tmp_path, name, compile_) for name in CXX_FILES}
    program = linked_host(tmp_path, {**objects, "library": Path("-lstdc++")}, linker)
    with LiveHost(program.host) as live:
        document = program.link(live, [compiled(tmp_path, "a.cc", compile_, edit=EDIT)], "patch.so")
        base = int(live.tell(f"patch {tmp_path / 'patch.so'}"), 16)
        rows = {row["name"]: row for row in document["replaced"]}  # type: ignore[attr-defined]
        assert rows.keys() == CXX_ANSWERS.keys() | CXX_OTHERS
        document["replaced"] = [rows[name] for name in CXX_ANSWERS]
        assert called(live, base, document) == {
            name: ([1000 + answer], 1000 + answer + EDIT) for name, answer in CXX_ANSWERS.items()
        }
        live.end()
    assert {row["name"] for row in document["undecided"]} == CXX_NUMBERED[compiler]  # type: ignore[attr-defined]
    assert all("number such functions anew" in row["reason"] for row in document["undecided"])  # type: ignore[attr-defined]


RUST_ANSWERS = {
    "private": 530,
    "visible": 540,
    "generic<A>": 511,
    "generic<B>": 512,
    "A::of_trait": 501,
    "B::of_trait": 503,
}
"""Functions of replaced.rs -> their answers to 0."""
RUST_PATTERNS = {
    "v0": {
        "private": "_RNv.*7private",
        "visible": "_RNv.*7visible",
        "generic<A>": "_RINv.*7generic.*1A.*",
        "generic<B>": "_RINv.*7generic.*1B.*",
        "A::of_trait": "_RNvY.*8of_trait.*",
        "B::of_trait": "_RNvX.*8of_trait",
    },
    "legacy": {
        "private": "_ZN.*7private17h.*",
        "visible": "_ZN.*7visible17h.*",
        "A::of_trait": "_ZN3app3Tag8of_trait.*",
        "B::of_trait": "_ZN35.*8of_trait.*",
    },
}
"""Mangling -> how such functions are called; the hash of two instances of one generic function hides which is which."""


def rust_library(folder: Path, mangling: str, edit: int = 0) -> Path:
    """The crate of replaced.rs, in several objects."""
    folder.mkdir(exist_ok=True)
    source = (PROGRAMS / "replaced.rs").read_text()
    (folder / "app.rs").write_text(source.replace("const EDIT: i64 = 0;", f"const EDIT: i64 = {edit};"))
    options = ["--edition", "2024", "-C", "panic=abort", "-C", "opt-level=1", "-C", "codegen-units=4"]
    if mangling != "legacy":
        options += ["-C", f"symbol-mangling-version={mangling}"]
    run([*rustc(), *options, "--crate-name", "app", "--crate-type", "rlib", "app.rs", "-o", "libapp.rlib"], cwd=folder)
    return folder / "libapp.rlib"


def functions_of(path: Path) -> set[str]:
    """The names of the functions that *path* defines, by ``nm``."""
    lines = run([need("llvm-nm-19"), "--defined-only", path]).splitlines()
    return {line.split()[2] for line in lines if len(line.split()) == 3 and line.split()[1] in "tTwW"}


@pytest.mark.parametrize(("linker", "mangling"), [("gnu", "v0"), ("lld", "v0"), ("mold", "v0"), ("lld", "legacy")])
def test_every_function_of_a_rust_crate(linker: str, mangling: str, tmp_path: Path) -> None:
    """Rustc names its functions so that there is one of each name; but for closures, which it numbers anew."""
    library = rust_library(tmp_path / "old", mangling)
    program = linked_host(tmp_path, {"app": library}, linker, "-Wl,-u,rust_one,-u,rust_two")
    edited = rust_library(tmp_path / "new", mangling, EDIT)
    with LiveHost(program.host) as live:
        document = program.link(live, [edited], "patch.so", "--whole-archive")
        base = int(live.tell(f"patch {tmp_path / 'patch.so'}"), 16)
        rows = {row["name"]: row for row in document["replaced"]}  # type: ignore[attr-defined]
        undecided = {row["name"] for row in document["undecided"]}  # type: ignore[attr-defined]
        assert rows.keys() | undecided == functions_of(edited) & functions_of(program.host)
        for function, pattern in RUST_PATTERNS[mangling].items():
            (name,) = [name for name in rows if re.fullmatch(pattern, name) and "closure" not in name]
            answer = 1000 + RUST_ANSWERS[function]
            assert called(live, base, {"replaced": [rows[name]]})[name] == ([answer], answer + EDIT), function
        live.end()
    closures = {name for name in rows.keys() | undecided if "closure" in name or "NCNv" in name}
    assert len(closures - undecided) <= 2, "one function's only closure, and what calls it by a table"
    numbered = {name for name in closures if "rust_two" in name}
    assert len(numbered) >= 2
    assert numbered <= undecided


def test_identical_code_folding(tmp_path: Path) -> None:
    """Two functions with one address in the host and two in the patch: a call of the address does not say which."""
    source = SHARED + "KEPT long f(long x) ANSWERS(1) KEPT long g(long x) ANSWERS(GAP) KEPT long h(long x) ANSWERS(7)"
    (tmp_path / "a.c").write_text(source.replace("HEADER", "9"))
    gcc = COMPILERS["gcc"]
    host = {"a": compiled(tmp_path, "a.c", gcc, "-ffunction-sections", "-DGAP=1")}
    program = linked_host(tmp_path, host, "lld", "-Wl,--icf=all")
    with LiveHost(program.host) as live:
        document = program.link(live, [compiled(tmp_path, "a.c", gcc, "-DGAP=2", edit=EDIT)], "patch.so")
        live.end()
    reasons = {row["name"]: row["reason"] for row in document["undecided"]}  # type: ignore[attr-defined]
    assert reasons == {"f": "the host has g at the same address", "g": "the host has f at the same address"}
    (places,) = {tuple(copy["names"]) for row in document["undecided"] for copy in row["host"]}  # type: ignore[attr-defined]
    assert places == ("f", "g")
    assert {row["name"] for row in document["replaced"]} == {"h", "from_header"}  # type: ignore[attr-defined]
    assert document["replaces"].keys() == {"f", "g", "h"}, "a name still means one of them"  # type: ignore[attr-defined]


@pytest.mark.parametrize("linker", LINKERS)
def test_another_files_static_is_a_stranger(linker: str, tmp_path: Path) -> None:
    """A static function that a stranger of its name replaces is called with arguments that it does not know."""
    (tmp_path / "shared.h").write_text(SHARED)
    (tmp_path / "b.c").write_text(C_FILES["b.c"])
    program = linked_host(tmp_path, {"b": compiled(tmp_path, "b.c", COMPILERS["gcc"])}, linker)
    (tmp_path / "new.c").write_text(
        "long helper(long x) { return x; } static long b_global(long x) { return x; }\n"
        "long (*of(void))(long) { return b_global; }"
    )
    with LiveHost(program.host) as live:
        document = program.link(live, [compiled(tmp_path, "new.c", COMPILERS["gcc"])], "patch.so")
        live.end()
    assert document["replaced"] == []
    assert document["replaces"] == {}
    reasons = {row["name"]: row["reason"] for row in document["undecided"]}  # type: ignore[attr-defined]
    assert reasons.pop("helper") == "the host's is from another file, b.c"
    if linker != "mold":  # which makes the host's local, of another file
        assert reasons.pop("b_global") == "the host's is visible to other files, and this one is not"
    assert not reasons


def test_a_file_of_the_same_base_name(tmp_path: Path) -> None:
    """Two folders may each have their b.c: a static function of the one is no new version of the other's."""
    (tmp_path / "shared.h").write_text(SHARED)
    (tmp_path / "b.c").write_text(C_FILES["b.c"])
    program = linked_host(tmp_path, {"b": compiled(tmp_path, "b.c", COMPILERS["gcc"])}, "gnu")
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.c").write_text("static long helper(long x) { return x; } long (*of(void))(long) { return helper; }")
    with LiveHost(program.host) as live:
        document = program.link(live, [compiled(other, "b.c", COMPILERS["gcc"])], "patch.so")
        live.end()
    assert document["replaced"] == []
    (row,) = document["undecided"]  # type: ignore[misc]
    assert row["reason"].startswith("the host's is from a file b.c, and nothing says that it is this one")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_two_files_of_the_same_base_name(compiler: str, tmp_path: Path) -> None:
    """Debug information on both sides says which of two static functions is the edited file's."""
    folders = []
    for number in (1, 2):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        (folders[-1] / "shared.h").write_text(SHARED)
        source = C_FILES["b.c"].replace("224", f"{number}24").replace("b_global", f"b_global_{number}")
        (folders[-1] / "b.c").write_text(source)
    objects = {str(folder): compiled(folder, "b.c", COMPILERS[compiler], "-g") for folder in folders}
    program = linked_host(tmp_path, objects, "gnu")
    with LiveHost(program.host) as live:
        edited = compiled(folders[1], "b.c", COMPILERS[compiler], "-g", edit=EDIT)
        document = program.link(live, [edited], "patch.so")
        base = int(live.tell(f"patch {tmp_path / 'patch.so'}"), 16)
        assert called(live, base, document) == {
            name: ([1000 + answer], 1000 + answer + EDIT)
            for name, answer in {"helper": 224, "from_header": 220, "b_global_2": 221}.items()
        }
        live.end()


PROMOTED = """
.text
.global helper.llvm.77
.hidden helper.llvm.77
.type helper.llvm.77, %function
helper.llvm.77: ret
.size helper.llvm.77, . - helper.llvm.77
"""


@pytest.mark.parametrize("linker", LINKERS)
def test_a_promoted_static_is_a_stranger(linker: str, tmp_path: Path) -> None:
    """ThinLTO makes a file's static function hidden, under a name of its own: a new global of that name is another."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "b.s").write_text(PROMOTED)
    run([gcc, "-c", "b.s", "-o", "b.o"], cwd=tmp_path)
    program = linked_host(tmp_path, {"b": tmp_path / "b.o"}, linker)
    (tmp_path / "new.c").write_text("long helper(long x) { return x; }")
    with LiveHost(program.host) as live:
        document = program.link(live, [compiled(tmp_path, "new.c", COMPILERS["gcc"])], "patch.so")
        live.end()
    assert (document["replaced"], document["replaces"]) == ([], {})
    assert [row["name"] for row in document["undecided"]] == ["helper"]  # type: ignore[attr-defined]


COPIES = """
.section .text.{number}, "ax"
.type _RNvCs1_3app3dup, %function
_RNvCs1_3app3dup: add x0, x0, #{answer}
ret
.size _RNvCs1_3app3dup, . - _RNvCs1_3app3dup
"""


def test_every_copy_of_a_rust_function(tmp_path: Path) -> None:
    """Rustc puts copies of one function into several objects: one that is left out runs the old code now and then."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    for number, answer in ((1, 10), (2, 10), (3, 20)):
        (tmp_path / f"{number}.s").write_text(COPIES.format(number=number, answer=answer))
        run([gcc, "-c", f"{number}.s", "-o", f"{number}.o"], cwd=tmp_path)
    program = linked_host(tmp_path, {"1": tmp_path / "1.o", "2": tmp_path / "2.o"}, "gnu")
    with LiveHost(program.host) as live:
        document = program.link(live, [tmp_path / "3.o"], "patch.so")
        base = int(live.tell(f"patch {tmp_path / 'patch.so'}"), 16)
        assert called(live, base, document) == {"_RNvCs1_3app3dup": ([1010, 1010], 1020)}
        live.end()


def test_clones_and_parts(tmp_path: Path) -> None:
    """GCC's clones take other arguments than their name says, and have numbers; a cold part is no function at all."""
    (tmp_path / "a.c").write_text(
        "long sink; void stop(void) __attribute__((cold, noreturn)); void stop(void) { for (;;) sink++; }\n"
        "__attribute__((noinline)) static long scaled(long x, long by) {\n"
        "  for (; x > 9; x -= by) sink += x; return x + EDIT; }\n"
        "long use(long x) { if (x == 77) { sink = 1; stop(); } return scaled(x, 3) + scaled(x + 1, 3); }\n"
    )
    options = ("-O2", "-freorder-blocks-and-partition")
    program = linked_host(tmp_path, {"a": compiled(tmp_path, "a.c", COMPILERS["gcc"], *options)}, "gnu")
    assert {"scaled.constprop.0", "use.cold"} <= functions_of(program.host)
    with LiveHost(program.host) as live:
        edited = compiled(tmp_path, "a.c", COMPILERS["gcc"], *options, edit=EDIT)
        document = program.link(live, [edited], "patch.so")
        live.end()
    assert {row["name"] for row in document["replaced"]} == {"stop", "use"}  # type: ignore[attr-defined]
    (clone,) = document["undecided"]  # type: ignore[misc]
    assert (clone["name"], clone["reason"]) == (
        "scaled.constprop.0",
        "compilers number such functions anew in each build",
    )
