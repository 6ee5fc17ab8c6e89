"""Tables that leave nobody with half of an edit: functions that share a variable go together, and callers fit."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tools import PROGRAMS, need, run, zig

import stubgen
from stubgen.capture import record
from stubgen.cli import main

MAIN = "int main(void) { return 0; }\n"

COMPILERS = {
    "gcc": lambda: [str(need("aarch64-linux-gnu-gcc")), "-Wl,--export-dynamic-symbol=main"],
    "zig": lambda: [*zig(), "cc", "-target", "aarch64-macos"],
}


class Project:
    """A program of main.c and unit.c, and what a patch of an edited unit.c comes to."""

    def __init__(self, folder: Path, compiler: list[str], options: tuple[str, ...] = ("-g", "-O1")) -> None:
        self.folder = folder
        self.compiling = [*compiler[: -1 if compiler[-1].startswith("-Wl") else None], *options, "-fPIC", "-c"]
        self._link = [*compiler, "main.o", "unit.o", "-o", "app"]
        (folder / "main.c").write_text(MAIN)
        run([*self.compiling, "main.c"], cwd=folder)

    def build(self, text: str) -> None:
        """Compile and link the program with *text* in unit.c."""
        (self.folder / "unit.c").write_text(text)
        run([*self.compiling, "unit.c"], cwd=self.folder)
        run(self._link, cwd=self.folder)
        record(self._link, self.folder / "captured", directory=str(self.folder))

    def patch(self, text: str, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
        """The document of a patch with *text* in unit.c."""
        (self.folder / "unit.c").write_text(text)
        run([*self.compiling, "unit.c", "-o", "new.o"], cwd=self.folder)
        host = stubgen.open_image(self.folder / "app")
        name = b"_main" if host.format == "macho" else b"main"
        anchor = host.find({name})[name][0]
        words = ["--host", self.folder / "app", "--captured", self.folder / "captured", self.folder / "new.o"]
        words += ["--aslr-reference", hex(anchor.address + 0x5500000000), "-o", self.folder / "patch.out"]
        capsys.readouterr()
        status = main(["link", *map(str, words), "--jump-table", str(self.folder / "table"), "--json", *options])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert status == 0, found
        return found


def names(rows: list[dict[str, Any]]) -> set[str]:
    """Names of functions or variables, without Mach-O's underscore."""
    return {row["name"].lstrip("_") for row in rows}


@pytest.fixture(params=list(COMPILERS))
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """In either format."""
    return Project(tmp_path, COMPILERS[request.param]())


STATE = """
static STORAGE char last[SIZE];
static STORAGE int calls = 1;
__attribute__((noinline)) void put(int at, char value) { last[at % SIZE] = value; calls++; }
__attribute__((noinline)) char get(int at) { return last[at & 7]; }
__attribute__((noinline)) int count(void) { return calls; }
__attribute__((noinline)) int twice(int x) { return 2 * x; }
__attribute__((noinline)) int asked(int at) { return get(at) + twice(at); }
"""


@pytest.mark.parametrize("storage", ["", "__thread"], ids=["static", "thread-local"])
@pytest.mark.parametrize("options", [(), ("--keep-state",)], ids=["afresh", "kept"])
def test_functions_that_share_a_variable_go_together(
    project: Project, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], storage: str
) -> None:
    """get() would go on reading the host's buffer, which nobody fills any more: unchanged, and silently wrong."""
    state = STATE.replace("STORAGE", storage)
    project.build(state.replace("SIZE", "8"))
    document = project.patch(state.replace("SIZE", "32"), capsys, *options)
    kept = names([variable for variable in document["duplicates"] if variable["forwarded"]])
    keeps = bool(options or storage)  # the host's thread-locals are used in any case
    assert kept == ({"calls"} if keeps else set())
    expected = {"put", "get", "asked"} | (set() if keeps else {"count"})
    assert names(document["jump_table"]) == expected
    row = next(row for row in document["changes"] if "get" in names([{"name": name} for name in row["names"]]))
    assert (row["change"], row["leads_to_change"]) == ("unchanged", True)


POINTED_TO = """
static int add(int x) { return x + EDIT; }
static int same(int x) { return x; }
struct { int (*call)(int); } table[] = {{add}, {same}};
int answer(int at, int x) { return table[at & 1].call(x); }
"""


@pytest.mark.parametrize("table", [("--jump-table", "t"), ()], ids=["a table", "no table"])
@pytest.mark.parametrize("edit", ["2", "1"], ids=["edited", "as it was"])
def test_pointers_that_are_kept_lead_to_the_old_function(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: tuple[str, ...], edit: str
) -> None:
    """The edit of a handler has no effect where its table is the host's; that was to be found out by trying."""
    project = Project(tmp_path, COMPILERS["gcc"](), ("-g", "-O1", "-fdata-sections"))
    project.build(POINTED_TO.replace("EDIT", "1"))
    document = project.patch(POINTED_TO.replace("EDIT", edit), capsys, "--keep-state")
    assert names([variable for variable in document["duplicates"] if variable["forwarded"]]) == {"table"}
    words = ["link", "--host", "app", "--captured", "captured", "--keep-state", *table, "-o", "p", "new.o"]
    anchor = document["anchor_runtime_address"]
    done = run([sys.executable, "-m", "stubgen", *words, "--aslr-reference", hex(anchor)], cwd=tmp_path)
    told = [line.strip() for line in done.splitlines() if "leads to" in line]
    assert told == (["table: kept as the host's, leads to the host's add (new.o)"] if edit == "2" else [])


KEPT = {
    "fields that changed places": ("struct s { int a; int b; }", "struct s { int b; int a; }", False),
    "a number of another kind": ("struct s { int a; float b; }", "struct s { int a; int b; }", False),
    "behind a pointer": (
        "struct t { int a, b; }; struct s { struct t *t; }",
        "struct t { int b, a; }; struct s { struct t *t; }",
        False,
    ),
    "a function of other arguments": ("struct s { int (*f)(int); }", "struct s { int (*f)(int, int); }", False),
    "an enumeration in another order": (
        "enum e { A, B }; struct s { enum e e; int i; }",
        "enum e { B, A }; struct s { enum e e; int i; }",
        False,
    ),
    "an array of another shape": ("struct s { char c[2][4]; }", "struct s { char c[4][2]; }", False),
    "a bit field elsewhere": ("struct s { unsigned a : 3, b : 5; }", "struct s { unsigned b : 5, a : 3; }", False),
    "a field with another name": ("struct s { int a; int b; }", "struct s { int a; int c; }", True),
    "another name of the type": (
        "struct s { int a; int b; }",
        "typedef int number; struct s { number a; const int b; }",
        True,
    ),
    "a list of itself": ("struct s { struct s *next; int a; }", "struct s { struct s *next; int a; }", True),
    "a type that is not told": ("struct s { struct u *u; }", "struct u { int i; }; struct s { struct u *u; }", True),
}


@pytest.mark.parametrize(("before", "after", "is_kept"), KEPT.values(), ids=list(KEPT))
def test_a_kept_variable_has_the_type_that_the_host_wrote(
    before: str, after: str, is_kept: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the same name and size, and with its fields in other places: the patch reads garbage, and nobody is told."""
    project = Project(tmp_path, COMPILERS["gcc"](), ("-g", "-O1", "-fdata-sections"))
    text = "{}; struct s value = {{ 0 }}; struct s *look(void) {{ return &value; }}\n"
    project.build(text.format(before))
    document = project.patch(text.format(after), capsys, "--keep-state")
    (variable,) = document["duplicates"]
    assert (variable["forwarded"], "its type is another one" in variable["obstacle"]) == (is_kept, not is_kept)


DESCRIBED = {
    "gcc": {"-g": True, "-g0": False, "-g1": False, "-g -gz": True, "-g -gsplit-dwarf": False, "-g -gdwarf64": False},
    "zig": {"-g": False, "-g dSYM": True, "-g0": False},
}


@pytest.mark.parametrize(("compiler", "debug"), [(each, debug) for each in DESCRIBED for debug in DESCRIBED[each]])
@pytest.mark.parametrize("storage", ["", "static", "__thread"])
def test_whether_debug_information_tells_the_type_is_said(
    compiler: str, debug: str, storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields changed places, nobody described them, and the patch read one for the other: nothing spoke of it."""
    options = (*debug.removesuffix(" dSYM").split(), "-O1", "-fdata-sections")
    project = Project(tmp_path, COMPILERS[compiler](), options)
    text = storage + " struct {{ {} }} value = {{ 1, 2 }}; void *look(void) {{ value.a += value.b; return &value; }}\n"
    project.build(text.format("int a, b;"))
    symbols = ["--symbols", str(tmp_path / "app.dSYM")] if debug.endswith("dSYM") else []
    if symbols:
        run([str(need("dsymutil-19")), "app"], cwd=tmp_path)
    for fields, same in (("int a, b;", True), ("int b, a;", False)):
        document = project.patch(text.format(fields), capsys, "--keep-state", *symbols)
        (row,) = document["duplicates"]
        if row["forwarded"]:
            assert row["type_compared"] == DESCRIBED[compiler][debug]
        else:
            assert row["type_compared"], row
        if DESCRIBED[compiler][debug]:
            assert row["forwarded"] == same


THREAD = {
    "of a file": "static __thread struct s value; struct s *look(void) { return &value; }",
    "that others see": "__thread struct s value; struct s *look(void) { return &value; }",
    "of a function": "struct s *look(void) { static __thread struct s value; return &value; }",
}


@pytest.mark.parametrize(
    ("compiler", "use"),
    [
        (compiler, use)
        for compiler in ("gcc", "clang", "zig")
        for use in THREAD
        if (compiler, use) != ("gcc", "of a function")
    ],
)
def test_a_kept_thread_local_has_the_type_that_the_host_wrote(
    compiler: str, use: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No address in debug information leads to a thread-local, and so its type went unseen."""
    clang = [str(need("clang-19")), "--target=aarch64-linux-gnu", "-Wl,--export-dynamic-symbol=main"]
    driver = clang if compiler == "clang" else COMPILERS[compiler]()
    project = Project(tmp_path, driver, ("-g", "-O0", "-fdata-sections"))
    before, after = "struct s { int a; short b; };\n", "struct s { short b; int a; };\n"
    project.build(before + THREAD[use])
    symbols = ["--symbols", str(tmp_path / "app.dSYM")] if compiler == "zig" else []
    if symbols:
        run([str(need("dsymutil-19")), "app"], cwd=tmp_path)
    assert [
        row["forwarded"] for row in project.patch(before + THREAD[use], capsys, "--keep-state", *symbols)["duplicates"]
    ] == [True]
    (row,) = project.patch(after + THREAD[use], capsys, "--keep-state", *symbols)["duplicates"]
    assert not row["forwarded"]
    assert "its type is another one: s.b is at byte 0, and in the host at byte 4" in row["obstacle"]


SHARED = '#include "s.h"\nstruct s {0}; struct s *look_{0}() {{ return &{0}; }}\n'

OPTIMISED = {
    "dSYM": lambda: [*zig(), "c++", "-target", "aarch64-macos"],
    "gcc -flto": lambda: [str(need("aarch64-linux-gnu-g++")), "-flto", "-rdynamic"],
    "clang -flto": lambda: [
        *(str(need("clang-19")), "--target=aarch64-linux-gnu", "--driver-mode=g++"),
        *(f"--ld-path={need('ld.lld-19')}", "-flto", "-rdynamic"),
    ],
}


@pytest.mark.parametrize("way", OPTIMISED)
def test_a_type_that_is_written_once_for_several_files(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second file's entries refer to the first one's unit: with the type unknown, fields were read as others."""
    project = Project(tmp_path, OPTIMISED[way](), ("-x", "c++", "-g", "-O1", "-fdata-sections"))
    header, text = tmp_path / "s.h", SHARED.format("value")
    header.write_text("struct s { long a; double b; };\n")
    (tmp_path / "main.c").write_text(SHARED.format("first") + "int main() { return look_first()->a; }\n")
    run([*project.compiling, "main.c"], cwd=tmp_path)
    project.build(text)
    project.compiling = [word for word in project.compiling if word != "-flto"]
    symbols = ["--symbols", str(tmp_path / "app.dSYM")] if way == "dSYM" else []
    if symbols:
        run([str(need("dsymutil-19")), "app"], cwd=tmp_path)
    (row,) = project.patch(text, capsys, "--keep-state", *symbols)["duplicates"]
    assert row["forwarded"]
    header.write_text("struct s { double b; long a; };\n")
    (row,) = project.patch(text, capsys, "--keep-state", *symbols)["duplicates"]
    assert not row["forwarded"]
    assert "its type is another one: s." in row["obstacle"]


CXX = """
struct Shape {{ virtual ~Shape() {{}} {} virtual int sides() {{ return 3; }} int size; }};
Shape *current; int ask(Shape *shape) {{ return shape->sides() + {}; }}
"""


def test_a_class_with_another_table_of_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The objects that are there have the old table: the call lands in the function beside the one that is meant."""
    compiler = str(need("aarch64-linux-gnu-g++"))
    project = Project(
        tmp_path, [compiler, "-Wl,--export-dynamic-symbol=main"], ("-x", "c++", "-g", "-O1", "-fdata-sections")
    )
    project.build(CXX.format("", 1))
    document = project.patch(CXX.format("virtual int corners() { return 3; }", 2), capsys, "--keep-state")
    obstacles = {variable["name"]: variable["obstacle"] for variable in document["duplicates"]}
    assert "Shape has other virtual functions than in the host" in obstacles["current"]
    assert not [row for row in document["jump_table"] if "ask" in row["name"]]
    assert "other virtual functions" in next(row["reason"] for row in document["left_out"] if "ask" in row["name"])


BASES = """
struct A {{ virtual long f(); long a = 1; }};
struct B {{ virtual long g(); {more} long b = 2; }};
struct D : {bases} {{ {fields} long f(); long g(); }};
long A::f() {{ return a; }}
long B::g() {{ return b; }}
long D::f() {{ return d; }}
long D::g() {{ return d + {edit}; }}
D *made; B *other;
long ask() {{ return made->g() + other->g() + {edit}; }}
"""
OLD_BASES = {"bases": "A, B", "fields": "long d = 3;", "more": "", "edit": 1}
NEW_BASES = {
    "its fields": ({"fields": "long e = 9, d = 3;"}, "D has "),
    "a base's functions": (
        {"more": "virtual long h() { return 5; }"},
        "B has other virtual functions than in the host",
    ),
    "a virtual base's functions": (
        {"bases": "virtual A, virtual B", "more": "virtual long h() { return 5; }"},
        "B has other virtual functions than in the host",
    ),
    "the order of bases": ({"bases": "B, A"}, "D has other virtual functions than in the host"),
    "the order of virtual bases": (
        {"bases": "virtual B, virtual A"},
        "D.B is at the offset that its virtual table has at byte -24, and in the host at the offset that its virtual "
        "table has at byte -32",
    ),
}


def clang_for_macho(project: Project) -> None:
    """Let *project* make Mach-O files without a library."""
    clang = [str(need("clang-19")), "--target=arm64-apple-macos13", "-fno-stack-protector", "-fno-rtti"]
    project.compiling = [*clang, *project.compiling[1:]]
    run([*project.compiling, "main.c"], cwd=project.folder)
    link = [str(need("ld64.lld-19")), "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-execute"]
    project._link = [*link, "main.o", "unit.o", "-o", "app"]


@pytest.mark.parametrize(
    ("compiler", "edit"),
    [
        *itertools.product(("gcc", "clang"), NEW_BASES),
        *(("macho", edit) for edit in ("its fields", "the order of virtual bases")),
    ],
)
def test_a_class_whose_objects_look_otherwise(
    compiler: str, edit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process's objects would be read as new ones: where a virtual base is stands in the host's table.

    A call by the second base class gets to the function by a thunk, of which no debug information tells.
    """
    driver = str(need("aarch64-linux-gnu-g++"))
    project = Project(
        tmp_path, [driver, "-Wl,--export-dynamic-symbol=main"], ("-x", "c++", "-g", "-O1", "-fdata-sections")
    )
    if compiler == "clang":
        project.compiling = [str(need("clang-19")), "--target=aarch64-linux-gnu", *project.compiling[1:]]
    if compiler == "macho":
        clang_for_macho(project)
    changed, told = NEW_BASES[edit]
    host = OLD_BASES | {"bases": "virtual A, virtual B" if "virtual" in edit else "A, B"}
    symbols = ["--symbols", str(tmp_path / "app.dSYM")] if compiler == "macho" else []
    project.build(BASES.format(**host))
    if symbols:
        run([str(need("dsymutil-19")), "app"], cwd=tmp_path)
    same = project.patch(BASES.format(**host | {"edit": 2}), capsys, "--keep-state", *symbols)
    thunks = {name for name in names(same["jump_table"]) if name.startswith("ZT")}
    assert {"ZN1D1gEv", "Z3askv"} <= names(same["jump_table"])
    assert len(thunks) == 1
    assert not same["left_out"]
    document = project.patch(BASES.format(**host | {"edit": 2} | changed), capsys, "--keep-state", *symbols)
    obstacles = {row["name"].lstrip("_"): row["obstacle"] for row in document["duplicates"]}
    assert told in obstacles["made"]
    left_out = {row["name"].lstrip("_"): row["reason"] for row in document["left_out"]}
    assert told in left_out["ZN1D1gEv"]
    if edit == "its fields":
        assert {name: left_out[name] for name in thunks} == dict.fromkeys(thunks, left_out["ZN1D1gEv"])
    assert not [row for row in document["jump_table"] if "1D1g" in row["name"]]


HANDED_ON = """
struct s {{ long a{}; }};
__attribute__((noinline)) long read(struct s *s) {{ return s->b; }}
long ask(struct s *s) {{ __asm__(""); return read(s) + 1; }}
"""


def test_a_function_that_hands_on_what_is_larger_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is as it was, and calls an edited function with the structure that the host's caller has."""
    project = Project(tmp_path, COMPILERS["gcc"](), ("-g", "-O1"))
    project.build(HANDED_ON.format(", b"))
    document = project.patch(HANDED_ON.format(", c, b"), capsys)
    assert {row["names"][0]: row["change"] for row in document["changes"]} == {"read": "changed", "ask": "unchanged"}
    assert not document["jump_table"]
    assert {row["name"] for row in document["left_out"]} == {"read", "ask"}


@pytest.mark.parametrize("version", [2, 3, 5])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_fields_that_changed_places_in_old_debug_information(
    compiler: str, version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DWARF 2 spells each field's place as an expression: with it unread, any order was the host's."""
    driver = [str(need("clang-19")), "--target=aarch64-linux-gnu", "-Wl,--export-dynamic-symbol=main"]
    driver = driver if compiler == "clang" else COMPILERS["gcc"]()
    project = Project(tmp_path, driver, (f"-gdwarf-{version}", "-O1", "-fdata-sections"))
    text = "struct s {{ int {}; }}; struct s value = {{1, 2}}; int get(void) {{ return value.a + value.b * {}; }}"
    project.build(text.format("a, b", 2))
    (row,) = project.patch(text.format("a, b", 3), capsys, "--keep-state")["duplicates"]
    assert row["forwarded"]
    (row,) = project.patch(text.format("b, a", 3), capsys, "--keep-state")["duplicates"]
    assert "is at byte 0, and in the host at byte 4" in row["obstacle"]


CALLED = {
    "one more": (
        "int f(int a) { return a; }",
        "int f(int a, int b) { return a + b; }",
        "of 2 arguments, in the host of 1",
    ),
    "in another order": (
        "int f(int a, double b) { return a + b; }",
        "int f(double b, int a) { return a - b; }",
        "double where the host has int",
    ),
    "of another size": (
        "int f(char *p, int n) { return p[n]; }",
        "int f(char *p, long n) { return p[n + 1]; }",
        "long int where the host has int",
    ),
    "what is returned": (
        "int f(int a) { return a; }",
        "double f(int a) { return a + 1; }",
        "double where the host has int",
    ),
}


@pytest.mark.parametrize(("before", "after", "reason"), CALLED.values(), ids=list(CALLED))
def test_callers_of_the_host_pass_what_the_old_one_takes(
    before: str, after: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code that is not in the patch calls by the old signature: led to the new one, it ends in a crash."""
    project = Project(tmp_path, COMPILERS["gcc"]())
    same = "\nint g(int a) { return a + %d; }\n"
    project.build(before + same % 1)
    document = project.patch(after + same % 2, capsys)
    assert names(document["jump_table"]) == {"g"}
    (row,) = document["left_out"]
    assert row["name"] == "f"
    assert row["reason"].startswith("the host's callers go on calling the old one: ")
    assert reason in row["reason"]


MANY = (PROGRAMS / "typed.cc").read_text()

CXX_COMPILERS = {
    "gcc": lambda: [str(need("aarch64-linux-gnu-g++"))],
    "clang": lambda: [str(need("clang-19")), "--target=aarch64-linux-gnu", "--driver-mode=g++"],
}


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", CXX_COMPILERS)
def test_the_same_types_are_told_to_be_the_same(
    compiler: str, level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function that is left out for a type that nobody touched keeps an edit from taking effect."""
    words = [*CXX_COMPILERS[compiler](), "-Wl,--export-dynamic-symbol=main"]
    project = Project(tmp_path, words, ("-x", "c++", "-std=c++20", "-g", level, "-fdata-sections"))
    project.build(MANY.replace("EDIT", "1"))
    document = project.patch(MANY.replace("EDIT", "7"), capsys, "--keep-state")
    assert not [row for row in document["left_out"] if "takes" in row["reason"] or "old one" in row["reason"]]
    changed = {name for row in document["changes"] if row["change"] == "changed" for name in row["names"]}
    assert len([name for name in changed if "4shop" in name]) >= 8
    assert not [v for v in document["duplicates"] if "its type is another one" in v["obstacle"]]
