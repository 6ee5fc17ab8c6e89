"""``inspect`` on real files, held against what llvm-readobj and llvm-nm list of them."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from counting import count_calls
from live.test_bound_macho import make_patch
from live.test_macho import toolchain
from synthetic import BASE, Sym, elf_host, macho_host, put
from tools import need, need_archive, run, rustc

from stubgen.capture import record
from stubgen.cli import main
from stubgen.commands.inspect import _Part
from stubgen.listing.files import open_any
from stubgen.listing.symbols import Listed, Traits, Wanted
from stubgen.macho import constants as m
from stubgen.terminal.screen import Screen
from stubgen.terminal.sheet import render

SOURCE = """
__thread int per_thread = 3;
static __thread int own_per_thread;
int common_int;
int data = 1;
static int counter = 2;
const int constant = 4;
__attribute__((weak)) int weak_data = 5;
__attribute__((visibility("hidden"))) int hidden(void) { return counter++; }
__attribute__((visibility("protected"))) int guarded(void) { return ++own_per_thread; }
__attribute__((weak)) int weak(void) { return constant; }
static int (*choose(void))(void) { return hidden; }
int chosen(void) __attribute__((ifunc("choose")));
extern int elsewhere(int); extern __thread int their_thread; extern int maybe(void) __attribute__((weak));
int main(void) { return elsewhere(their_thread) + (maybe ? maybe() : 0) + guarded() + chosen() + common_int; }
"""
LIBRARY = """
int elsewhere(int n) { return n; } __thread int their_thread;
int old(void) { return 1; } int new(void) { return 2; }
"""
VERSIONS = '__asm__(".symver old,twice@V1"); __asm__(".symver new,twice@@V2");\n'
SCRIPT = "V1 { global: elsewhere; their_thread; local: old; new; }; V2 { } V1;"
KINDS = {
    "Function": "function",
    "Object": "data",
    "TLS": "thread-local",
    "GNU_IFunc": "ifunc",
    "Common": "common",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object with one of everything, a library with versions, and a program of both."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    folder = tmp_path_factory.mktemp("inspected")
    (folder / "all.c").write_text(SOURCE)
    (folder / "two.c").write_text(VERSIONS + LIBRARY)
    (folder / "two.map").write_text(SCRIPT)
    run([compiler, "-fPIC", "-fcommon", "-g", "-c", "all.c"], cwd=folder)
    run([compiler, "-fPIC", "-shared", "two.c", "-Wl,--version-script=two.map", "-o", "libtwo.so"], cwd=folder)
    run([compiler, "all.o", "./libtwo.so", "-rdynamic", "-o", "program"], cwd=folder)
    return folder


def inspected(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    """The ``--json`` document."""
    assert main(["inspect", "--json", *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def listed_by_readobj(path: Path, table: str) -> list[dict]:
    """What llvm-readobj lists of an ELF file: the symbols that are no section, file or mark."""
    (told,) = json.loads(run([need("llvm-readobj-19"), "--elf-output-style=JSON", f"--{table}", path]))
    key = "Symbols" if table == "symbols" else "DynamicSymbols"
    rows = [entry["Symbol"] for entry in told[key]]
    return [
        row
        for row in rows
        if row["Name"]["Name"]
        and row["Type"]["Name"] not in ("Section", "File")
        and not re.match(r"\$[xd](\.|$)", row["Name"]["Name"])
    ]


@pytest.mark.parametrize("name", ["all.o", "program", "libtwo.so"])
def test_what_an_elf_file_lists(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A list that lacks a symbol, or calls a weak one strong, sends whoever reads it in the wrong direction."""
    symbols = inspected(capsys, folder / name)["symbols"]
    expected = listed_by_readobj(folder / name, "symbols")
    by_place = {(s["name"], s["address"] if s["defined"] and s["kind"] != "common" else None): s for s in symbols}
    for row in expected:
        plain = row["Name"]["Name"].partition("@")[0]
        section = row["Section"]["Name"]
        nowhere = section in ("Undefined", "Common")
        found = by_place.get((plain, None if nowhere else row["Value"]))
        assert found is not None, row
        assert found["defined"] == (section != "Undefined")
        assert (found["size"] or 0) == row["Size"]
        assert found["binding"] == row["Binding"]["Name"].lower()
        flags = {flag["Name"] for flag in row["Other"]["Flags"]}
        assert found["visibility"].upper() == next((f[4:] for f in flags if f != "STV_DEFAULT"), "DEFAULT")
        kind = "common" if section == "Common" else KINDS.get(row["Type"]["Name"])
        assert kind is None or found["kind"] == kind
        if found["section"] is not None:
            assert found["section"] == section
    assert len(by_place) == len({(r["Name"]["Name"].partition("@")[0], r["Value"]) for r in expected})


def test_versions_that_only_the_dynamic_table_has(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GNU ld spells versions in both tables; lld, in names that the object's source did not version, in neither."""
    (tmp_path / "a.c").write_text("int one(void) { return 1; } int two(void) { return one(); }")
    (tmp_path / "map").write_text("V1 { global: one; }; V2 { global: two; } V1;")
    run([need("aarch64-linux-gnu-gcc"), "-fPIC", "-c", "a.c"], cwd=tmp_path)
    run([need("ld.lld-19"), "-shared", "a.o", "--version-script=map", "-o", "liba.so"], cwd=tmp_path)
    symbols = inspected(capsys, tmp_path / "liba.so", "--kind", "function")["symbols"]
    assert {(s["name"], s["version"], s["default"]) for s in symbols} == {("one", "V1", True), ("two", "V2", True)}


def test_versions_and_the_loaders_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two versions one is what a reference means that names none; and who supplies what is written down."""
    symbols = inspected(capsys, folder / "libtwo.so", "--symbol", "twice*")["symbols"]
    assert {(s["version"], s["default"]) for s in symbols} == {("V1", False), ("V2", True)}
    exported = {r["Name"]["Name"].partition("@")[0] for r in listed_by_readobj(folder / "program", "dyn-symbols")}
    program = inspected(capsys, folder / "program")
    assert {s["name"] for s in program["symbols"] if s["exported"] or not s["defined"]} == exported
    (elsewhere,) = [s for s in program["symbols"] if s["name"] == "elsewhere"]
    assert (elsewhere["version"], elsewhere["library"]) == ("V1", "./libtwo.so")
    assert program["needed_libraries"] == ["./libtwo.so", "libc.so.6"]
    (counter,) = [s for s in program["symbols"] if s["name"] == "counter"]
    assert (counter["binding"], counter["file"]) == ("local", "all.c")


def test_a_version_that_is_no_text() -> None:
    """A crafted library's version is bytes like its names: it ended in a traceback."""
    traits = Traits("function", "global", "default", ".text", 1, defined=True)
    assert Listed(b"f", 0, 0, traits, "V\udcff").versioned == b"f@@V\xff"


def test_a_stripped_program_lists_what_the_loader_needs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dynamic table is all that is left, and it has the versions apart from the names."""
    run([need("llvm-strip-19"), folder / "program", "-o", tmp_path / "stripped"])
    symbols = inspected(capsys, tmp_path / "stripped")["symbols"]
    assert {s["name"] for s in symbols} == {
        row["Name"]["Name"].partition("@")[0] for row in listed_by_readobj(tmp_path / "stripped", "dyn-symbols")
    }
    assert {s["version"] for s in symbols if s["name"] == "elsewhere"} == {"V1"}


@pytest.mark.parametrize("objcopy", ["aarch64-linux-gnu-objcopy", "llvm-objcopy-19"])
def test_a_debug_file_lists_its_programs_symbols(
    objcopy: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GNU's has headers for what it has no content of: the dynamic table lies beyond its end."""
    run([need(objcopy), "--only-keep-debug", folder / "program", tmp_path / "program.debug"])
    document = inspected(capsys, tmp_path / "program.debug")
    assert (document["role"], document["needed_libraries"]) == ("debug file", [])
    expected = {row["Name"]["Name"].partition("@")[0] for row in listed_by_readobj(folder / "program", "symbols")}
    assert {symbol["name"] for symbol in document["symbols"]} == expected


def test_two_versions_of_one_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As glibc has them by the dozen: one address, and of each version its own row."""
    (tmp_path / "a.c").write_text('__asm__(".symver f,x@V1"); __asm__(".symver f,x@@V2"); int f(void) { return 1; }')
    (tmp_path / "map").write_text("V1 { local: f; }; V2 { } V1;")
    run(
        [need("aarch64-linux-gnu-gcc"), "-fPIC", "-shared", "a.c", "-Wl,--version-script=map", "-o", "a.so", "-s"],
        cwd=tmp_path,
    )
    found = [(s["version"], s["default"]) for s in inspected(capsys, tmp_path / "a.so", "--symbol", "x")["symbols"]]
    assert sorted(found) == [("V1", False), ("V2", True)]


MACHO = """
.globl _shown, _weak, _value, _gone
.weak_definition _weak
.private_extern _hidden
.text
_shown: bl _gone
_weak: ret
_hidden: ret
_own: ret
.data
_value: .quad 1
.zerofill __DATA,__bss,_zeroed,8,3
.comm _common,16,3
.weak_reference _perhaps
.quad _perhaps
.section __DATA,__thread_vars,thread_local_variables
_thread: .quad 0, 0, 0
"""


@pytest.mark.parametrize("name", ["all.o", "all.dylib"])
def test_what_a_macho_file_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Twin of the ELF test: ``llvm-nm -m`` says section, visibility and weakness in words."""
    (tmp_path / "all.s").write_text(MACHO)
    clang, linker, lister = (str(need(tool)) for tool in ("clang-19", "ld64.lld-19", "llvm-nm-19"))
    run([clang, "--target=arm64-apple-macos13", "-c", "all.s"], cwd=tmp_path)
    platform = ["-arch", "arm64", "-platform_version", "macos", "13", "13"]
    run([linker, *platform, "-dylib", "-undefined", "dynamic_lookup", "all.o", "-o", "all.dylib"], cwd=tmp_path)
    symbols = {s["name"]: s for s in inspected(capsys, tmp_path / name)["symbols"]}
    lines = run([lister, "-m", tmp_path / name]).splitlines()
    told = {line.split(" (from ")[0].split()[-1]: line for line in lines if "dynamically looked up" not in line}
    told |= {line.split(" (dynamically")[0].split()[-1]: line for line in lines if "dynamically looked up" in line}
    assert set(symbols) == set(told)
    for symbol, line in told.items():
        found = symbols[symbol]
        assert found["defined"] == ("(undefined)" not in line), line
        assert (found["kind"] == "common") == ("(common)" in line), line
        assert (found["binding"] == "weak") == (" weak " in line), line
        was_private = "(was a private external)" in line
        assert (found["visibility"] == "hidden") == ("private external" in line), line
        assert (found["binding"] == "local") == ("non-external" in line and not was_private), line
        if found["defined"] and found["kind"] != "common":
            assert found["address"] == int(line.split()[0], 16)
            assert f"({found['section']})" in line
    assert symbols["_thread"]["kind"] == "thread-local"
    assert symbols["_shown"]["exported"] == name.endswith(".dylib")


def test_a_debuggers_entries_are_no_symbols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of four entries of a library may be stabs, whose names are those of functions and source files."""
    content = bytearray(macho_host({"_main": 4, "_stab": 8}))
    symoff, count, stroff, _ = struct.unpack_from(
        "<4I", content, content.index(struct.pack("<II", m.LC_SYMTAB, 24)) + 8
    )
    entries = {struct.unpack_from("<I", content, symoff + 16 * n)[0]: symoff + 16 * n for n in range(count)}
    content[entries[content.index(b"_stab\0", stroff) - stroff] + 4] = 0x24  # N_FUN
    path = put(tmp_path, "host", bytes(content))
    assert [symbol["name"] for symbol in inspected(capsys, Path(path))["symbols"]] == ["_main"]


@pytest.mark.parametrize("archive", ["libgcc.a", "rlib"])
def test_an_archive_by_member(archive: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which member has a name is what one looks for in an archive; what is no object is named as what it is."""
    if archive == "rlib":
        folder = Path(rustc()[rustc().index("--sysroot") + 1])
        (path,) = folder.glob("lib/rustlib/aarch64-*/lib/libcfg_if-*.rlib")
    else:
        path = need_archive(archive)
    document = inspected(capsys, path)
    assert (document["format"], document["role"]) == ("archive", "archive")
    found = {(m["member"], s["name"]) for m in document["members"] for s in m.get("symbols", ()) if s["defined"]}
    expected, member = set(), ""
    for line in run([need("llvm-nm-19"), "--format=posix", path]).splitlines():
        if line.endswith(":"):
            member = line[:-1]
        elif len(words := line.split()) > 2 and words[1] not in "Uw" and words[-1] != "symbols":
            expected.add((member, words[0]))
    assert found == expected
    assert len(document["members"]) == len(run([need("llvm-ar-19"), "t", path]).split())


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a host, a patch that keeps a variable of it, and the patch's stub object."""
    compiler, folder = str(need("aarch64-linux-gnu-gcc")), tmp_path_factory.mktemp("patch")
    shared = "#include <stdio.h>\nint total = 7; int helper(void);\n"
    (folder / "a.c").write_text(f"{shared}int changed(void) {{ puts(__FILE__); return total++ + helper(); }}\n")
    (folder / "b.c").write_text(
        "int changed(void); int helper(void) { return 1; } int main(void) { return changed(); }"
    )
    flags = ["-O1", "-g", "-fPIC", "-fdata-sections"]
    run([compiler, *flags, "-c", "a.c", "b.c"], cwd=folder)
    run([compiler, "a.o", "b.o", "-o", "host"], cwd=folder)
    record([compiler, "a.o", "b.o", "-o", "host"], folder / "captured", directory=str(folder))
    where = ["--host", folder / "host", "--captured", folder / "captured", "--aslr-reference", "0x5500010000"]
    symbols = run([need("llvm-nm-19"), folder / "host"])
    place = int(next(line for line in symbols.splitlines() if line.endswith(" main")).split()[0], 16)
    where[-1] = hex(0x5500000000 + place)
    options = ["--keep-state", "--export", "changed", "--stub", folder / "stub.o", "-o", folder / "patch.so"]
    assert main(["link", *map(str, where), *map(str, options), str(folder / "a.o")]) == 0
    return folder


def test_a_patch_is_seen_into(patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``holds no stub``, of a patch that has slots, made people think that nothing had been done."""
    capsys.readouterr()
    document = inspected(capsys, patch / "patch.so")
    assert document["title"] == "patch (shared library)"
    host = {
        line.split()[-1]: int(line.split()[0], 16)
        for line in run([need("llvm-nm-19"), "--defined-only", patch / "host"]).splitlines()
    }
    assert {s["name"]: s["target"] - 0x5500000000 for s in document["stubs"]} == {
        name: host[name] for name in ("helper", "main")
    }
    (slot,) = document["slots"]
    assert (slot["name"], slot["value"] - 0x5500000000, slot["kept"]) == ("total", host["total"], True)
    assert document["identity"]["slide"] == 0x5500000000
    assert document["origins"]["stub object"] == 3
    assert main(["inspect", str(patch / "patch.so")]) == 0
    shown = capsys.readouterr().out
    for line in (
        r"exports +changed, main, total\n",
        r"left to the loader .*puts@GLIBC_2.17",
        r"kept state +total: the host's",
        r"made for +build id \w+ at slide 0x5500000000",
        r"0x[0-9a-f]+ -> 0x55[0-9a-f]+  helper",
        r"0x[0-9a-f]+ = 0x55[0-9a-f]+ +constant  total  \(kept",
    ):
        assert re.search(line, shown), (line, shown)


@pytest.mark.parametrize("name", ["lld", "lld-opcodes", "zig"])
def test_a_macho_patch_is_seen_into(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twin: slots are private symbols of the stub object, or literals beside the code."""
    patched = make_patch(tmp_path, toolchain(name))
    host = {line.split()[-1]: line.split()[0] for line in run([need("llvm-nm-19"), patched.host]).splitlines()}
    capsys.readouterr()
    document = inspected(capsys, patched.linked.output)
    assert document["title"] == "patch (shared library)"
    slide = document["identity"]["slide"]
    assert document["stubs"]
    assert all(stub["target"] - slide == int(host[stub["name"]], 16) for stub in document["stubs"])
    known = [slot for slot in document["slots"] if slot["name"] in host and not slot["addend"]]
    assert known
    assert all(slot["value"] - slide == int(host[slot["name"]], 16) for slot in known)


def test_a_stub_object_is_named_as_one(patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slots of an object have their bytes in a section, not at an address."""
    capsys.readouterr()
    document = inspected(capsys, patch / "stub.o")
    linked = inspected(capsys, patch / "patch.so")
    assert document["title"] == "stub object"
    assert [slot["value"] for slot in document["slots"]] == [slot["value"] for slot in linked["slots"]]


def test_filters_and_orders(patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where did it crash, who is it, how large: one command each."""
    capsys.readouterr()
    path = patch / "patch.so"
    whole = inspected(capsys, path)
    helper = next(stub for stub in whole["stubs"] if stub["name"] == "helper")
    for where in (helper["address"] + 8, helper["target"]):
        assert [s["name"] for s in inspected(capsys, path, "--address", where)["stubs"]] == ["helper"]
    only = inspected(capsys, path, "--kind", "slot")
    assert (len(only["slots"]), only["stubs"], only["symbols"]) == (1, [], [])
    functions = inspected(capsys, path, "--kind", "function", "--sort", "address")["symbols"]
    assert {s["kind"] for s in functions} == {"function"}
    assert [s["address"] for s in functions if s["defined"]] == sorted(s["address"] for s in functions if s["defined"])
    sizes = [s["size"] or 0 for s in inspected(capsys, path, "--sort", "size")["symbols"]]
    assert sizes == sorted(sizes, reverse=True)
    assert main(["inspect", str(path), "--symbol", "no*"]) == 1
    assert capsys.readouterr().err.endswith("has no symbol, stub or slot called 'no*'\n")


def test_a_list_takes_time_in_proportion(tmp_path: Path) -> None:
    """Of a host of a million symbols nobody waits for what grows by their square."""

    def calls(count: int) -> int:
        names = [Sym(f"name_{number}", BASE + 0x100 + 16 * number, kind=1) for number in range(count)]
        path = put(tmp_path, f"host{count}", elf_host(names))
        return count_calls(lambda: render(_Part(path, open_any(path), Wanted(), "name").sheet(True), Screen()))

    calls(10)  # imports
    assert calls(8_000) < 2.2 * calls(4_000)


def test_several_files_in_one_document(patch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A document for each, in the order in which they were given."""
    capsys.readouterr()
    document = inspected(capsys, patch / "stub.o", patch / "host", "--symbol", "helper")
    assert [Path(each["file"]).name for each in document["files"]] == ["stub.o", "host"]
    assert [len(each["symbols"]) for each in document["files"]] == [1, 1]


def test_rust_and_cxx_names_as_people_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody reads ``_ZN4shop5TotalILi3EE3addEi``; ``--mangled`` and ``--json`` have what linkers see."""
    need("c++filt", "aarch64-linux-gnu-g++")
    (tmp_path / "a.cc").write_text(
        "namespace shop { template <int N> struct Total { int add(int n) { return n + N; } };"
    )
    with (tmp_path / "a.cc").open("a") as source:
        source.write("\ntemplate struct Total<3>; }\n")
    run([need("aarch64-linux-gnu-g++"), "-c", "a.cc"], cwd=tmp_path)
    assert main(["inspect", str(tmp_path / "a.o")]) == 0
    assert "  shop::Total<3>::add(int)\n" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "a.o"), "--mangled"]) == 0
    assert "  _ZN4shop5TotalILi3EE3addEi\n" in capsys.readouterr().out
    (symbol,) = inspected(capsys, tmp_path / "a.o", "--symbol", "shop::*add*")["symbols"]
    assert symbol["name"] == "_ZN4shop5TotalILi3EE3addEi"
