"""Variables that an edit made constant, thread-local, static or visible: kept where certain, named where not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost
from live.test_archives import every_linker, make
from live.test_macho import PATCH_SLIDE, SLIDE, toolchain
from live.test_replaced import EDIT, compiled, linked_host
from live.test_state import COMPILERS
from live.test_state_names import link, recompiled
from tools import need, need_module, run, rustc

from stubgen import StubBuilder, link_patch
from stubgen.capture import Capture
from stubgen.commands.options import shared_variable_notes

MAIN = "long a_next(long); int main(void) { return a_next(1); }"
CONSTANT = "it is constant here, and the host's is a variable: what the process has in that is lost"
OF_THREADS = "the host's is thread-local, and this one is not: what each thread has in that is lost"
THREAD_LOCAL = "it is thread-local here, and the host's is not: what the process has in that is lost"
FOLDED = "the compiler put its first value into the code"
LINKAGE = "its linkage is another one than in the host, which calls it "


class Edit(NamedTuple):
    """What a file's variable was, and what it becomes."""

    old: str
    new: str
    name: str  # of the patch's, as ELF has it
    reason: str
    adds: str = "v += by"
    source: str = "a.c"
    debug: str = "-g0"


EDITS = {
    "thread-local no more": Edit("static _Thread_local int v = 7;", "static int v = 7;", "v", OF_THREADS),
    "thread-local no more, global": Edit("_Thread_local int v = 7;", "int v = 7;", "v", OF_THREADS),
    "thread-local now": Edit("static int v = 7;", "static _Thread_local int v = 7;", "v", THREAD_LOCAL),
    "constant now": Edit("int v = 7;", "const int v = 7;", "v", CONSTANT, "v + by"),
    "constant now, static": Edit("static int v[4] = {7};", "static const int v[4] = {7};", "v", CONSTANT, "v[by] + by"),
    "in the code now": Edit("static int v = 7;", "static const int v = 7;", "v", FOLDED, "v + by", debug="-g"),
    "nobody writes it now": Edit("static int v = 7;", "static int v = 7;", "v", FOLDED, "v + by", debug="-g"),
    "no constant any more": Edit("const int v = 7;", "int v = 7;", "v", "the host's is constant"),
    "C++, static no more": Edit("static int v = 7;", "int v = 7;", "v", LINKAGE + "_ZL1v", source="a.cc"),
    "C++, static now": Edit("int v = 7;", "static int v = 7;", "_ZL1v", LINKAGE + "v", source="a.cc"),
    "C++, in an unnamed namespace now": Edit(
        "int v = 7;", "namespace { int v = 7; }", "_ZN12_GLOBAL__N_11vE", LINKAGE + "v", source="a.cc"
    ),
    "C++, in a namespace": Edit(
        "namespace n { static int v = 7; } using n::v;",
        "namespace n { int v = 7; } using n::v;",
        "_ZN1n1vE",
        LINKAGE + "_ZN1nL1vE",
        source="a.cc",
    ),
    "C++, constant now": Edit(
        "int v[4] = {7};", "const int v[4] = {7};", "_ZL1v", f"{LINKAGE}v; {CONSTANT}", "v[by] + by", "a.cc"
    ),
}
WAYS = {
    "gcc": ("aarch64-linux-gnu-gcc", "-fPIC", "-fdata-sections"),
    "clang": ("clang-19", "--target=aarch64-linux-gnu", "-fPIC", "-fdata-sections"),
}


def tools_of(way: str) -> tuple[list[str], list[str]]:
    """The commands that compile and link, as far as they are the same for all files."""
    if way in WAYS:
        return [str(need(WAYS[way][0])), *WAYS[way][1:]], [str(need("aarch64-linux-gnu-gcc")), "-pie"]
    tools = toolchain(way)
    return [*tools.compile], [*tools.link, *([] if way == "zig" else ["-undefined", "dynamic_lookup"])]


def notes_of_patch(folder: Path, way: str) -> list[str]:
    """What the patch ``patch.o`` of a program of ``a.o`` is told, names without Mach-O's underscore."""
    compiling, linking = tools_of(way)
    (folder / "m.c").write_text(MAIN)
    run([*compiling, "-c", "m.c", "-o", "m.o"], cwd=folder)
    run([*linking, "m.o", "a.o", "-o", "host"], cwd=folder)
    builder = StubBuilder(folder / "host", cache=False)
    judged = builder.judge([folder / "patch.o"], slide=0x5500000000, bind=True, keep_state=True)
    prefix = "" if way in WAYS else "_"
    return [note.replace(f" {prefix}", " ") for note in shared_variable_notes(judged.shared_variables)]


def notes(folder: Path, way: str, edit: Edit) -> list[str]:
    """What a patch of the edited file is told."""
    compiling, _ = tools_of(way)
    language = 'extern "C" ' if edit.source.endswith("cc") else ""
    written = edit.adds.replace("v + ", "v += ").replace("v[by] + ", "v[by] += ").replace(" + w[by]", "")
    written = written.replace(" += ", " + ") if "const " in edit.old else written.replace(" + w++", "")
    for name, variable, value in (("a.o", edit.old, written), ("patch.o", edit.new, edit.adds)):
        text = f"{variable} {language}long a_next(long by) {{ return {value}; }}"
        (folder / edit.source).write_text(text)
        run([*compiling, "-O1", edit.debug, "-c", folder / edit.source, "-o", name], cwd=folder)
    return notes_of_patch(folder, way)


@pytest.mark.parametrize("way", [*WAYS, "lld"])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_each_is_named_with_what_became_of_it(edit: Edit, way: str, tmp_path: Path) -> None:
    """What the process counted was lost with such an edit, and nothing said so."""
    (note,) = notes(tmp_path, way, edit)
    assert note.startswith(f"note: {edit.name}: the patch has its own copy")
    assert edit.reason in note


QUIET = {
    "a constant stays one": Edit("static const int v[4] = {7};", "static const int v[4] = {8};", "", "", "v[by] + by"),
    "one more constant": Edit("int v = 7;", "static const int w[2] = {1}; int v = 7;", "", "", "v += by + w[by]"),
    "one more beside a thread-local": Edit(
        "static _Thread_local int v = 7;", "static int w; static _Thread_local int v = 7;", "", "", "v += by + w++"
    ),
    "another one outside of the unnamed namespace": Edit(
        "int v = 7;", "int v = 7; namespace { int w; }", "", "", "v += by + w++", "a.cc"
    ),
}


@pytest.mark.parametrize("way", [*WAYS, "lld"])
@pytest.mark.parametrize("edit", QUIET.values(), ids=QUIET)
def test_ordinary_edits_are_told_nothing(edit: Edit, way: str, tmp_path: Path) -> None:
    """A note about each constant and counter that is added would soon be read by nobody."""
    assert notes(tmp_path, way, edit._replace(debug="-g")) == []


STATIC = 'static int count = 5; extern "C" long a_next(long by) { return count += by; }'
VISIBLE = STATIC.removeprefix("static ")
HOST = "long a_next(long); long host_entry(long by) { return a_next(by); }"
PATCH_MAIN = ' extern "C" long patch_main() { return a_next(1000); }'


@every_linker
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("old", "new"), [(STATIC, VISIBLE), (VISIBLE, STATIC)], ids=["visible", "static"])
def test_in_cxx_debug_information_tells_it_by_any_name(
    tmp_path: Path, linker: str, compiler: str, old: str, new: str
) -> None:
    """``count`` and ``_ZL5count`` are one variable of the file; the patch's started at 5 again."""
    flags = "-O1 -g -fPIC -fdata-sections"
    program = make(tmp_path, {"a.cc": old, "b.c": HOST}, {}, "a.o b.o", linker=linker, flags=flags)
    patch = recompiled(
        tmp_path, "a.cc", new + PATCH_MAIN, compiler, f"{flags} -fdebug-prefix-map={tmp_path}/again={tmp_path}"
    )
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 8"
        linked = link(program, live, patch)
        assert live.patch(linked.output) == "patch 1008"
        assert live.tell("call 1") == "call 1009"


def test_a_namesake_outside_of_the_unnamed_namespace_is_another(tmp_path: Path) -> None:
    """The file has ``::count``, and now one in an unnamed namespace: both would be the host's one."""
    flags = "-O1 -g -fPIC -fdata-sections"
    program = make(tmp_path, {"a.cc": VISIBLE, "b.c": HOST}, {}, "a.o b.o", flags=flags)
    new = 'namespace { int count; int f() { return ++count; } } int count = 5; extern "C" long a_next(long by) {'
    new += " return ::count += by; }" + PATCH_MAIN.replace("a_next(1000)", "a_next(1) * 10 + f()")
    patch = recompiled(tmp_path, "a.cc", new, "gcc", f"{flags} -fdebug-prefix-map={tmp_path}/again={tmp_path}")
    with LiveHost(program.path) as live:
        linked = link(program, live, patch)
        assert live.patch(linked.output) == "patch 61"


RUST = """
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
mod counting {
    use super::*;
    static COUNT: AtomicU32 = AtomicU32::new(5);
    pub fn bump(by: u32) -> u32 {
        static CALLS: AtomicU32 = AtomicU32::new(1);
        CALLS.fetch_add(by, Relaxed) + COUNT.fetch_add(by, Relaxed)
    }
}
thread_local! { static DEPTH: Cell<u32> = const { Cell::new(3) } }
fn main() { DEPTH.set(DEPTH.get() + counting::bump(1)); println!("{}", DEPTH.get()); }
"""
RENAMED = {"COUNT": "TALLY", "CALLS": "TIMES", "DEPTH": "LEVEL"}


@pytest.mark.parametrize("mangling", ["v0", "legacy"])
def test_a_static_of_rust_that_the_source_calls_otherwise_now(
    tmp_path: Path, mangling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever renames a static loses what the process counted in it: it began at 5 again, and nobody said so."""
    monkeypatch.setenv("RUSTC_BOOTSTRAP", "1")  # or this compiler takes no legacy mangling
    options = [
        *rustc(),
        "-Zunstable-options",
        f"-Csymbol-mangling-version={mangling}",
        "-Copt-level=1",
        "-Ccodegen-units=1",
    ]
    (tmp_path / "a.rs").write_text(RUST)
    run([*options, f"-Clinker={need('aarch64-linux-gnu-gcc')}", "a.rs", "-o", "host"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", cache=False)
    for old, new in RENAMED.items():
        (tmp_path / "a.rs").write_text(RUST.replace(old, new))
        run([*options, "--emit=obj", "a.rs", "-o", "patch.o"], cwd=tmp_path)
        judged = builder.judge([tmp_path / "patch.o"], slide=0x5500000000, bind=True, keep_state=True)
        (note,) = shared_variable_notes(judged.shared_variables)
        assert new in note.partition(": the patch has its own copy")[0]
        assert "it is new in its crate, and gone from there is _" in note
        assert old in note.partition("gone from there")[2]
    (tmp_path / "a.rs").write_text(
        RUST.replace("static COUNT", "static MORE: AtomicU32 = AtomicU32::new(0); static COUNT").replace(
            "COUNT.fetch", "MORE.fetch_add(1, Relaxed) + COUNT.fetch"
        )
    )
    run([*options, "--emit=obj", "a.rs", "-o", "patch.o"], cwd=tmp_path)
    judged = builder.judge([tmp_path / "patch.o"], slide=0x5500000000, bind=True, keep_state=True)
    assert shared_variable_notes(judged.shared_variables) == []


RELINKED = """
#ifdef __clang__
#define KEPT __attribute__((noinline, used))
#else
#define KEPT __attribute__((noipa, used))
#endif
BEGIN KEPT LINKAGE long step(long x) { return x + 1 + EDIT; } END
namespace n { struct T { long v; }; BEGIN KEPT LINKAGE long walk(const T *x) { return x ? x->v : EDIT; } END }
KEPT LINKAGE long of_scopes(const n::T *x, const n::T *y) { return (x == y) + EDIT; }
extern "C" long use(long x) { n::T t = {x}; return step(x) + n::walk(&t) + of_scopes(&t, 0); }
"""
LINKAGES = {
    "seen": ["-DBEGIN=", "-DLINKAGE=", "-DEND="],
    "static": ["-DBEGIN=", "-DLINKAGE=static", "-DEND="],
    "unnamed": ["-DBEGIN=namespace {", "-DLINKAGE=", "-DEND=}"],
}


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    ("before", "after"), [("seen", "static"), ("static", "seen"), ("unnamed", "seen"), ("seen", "unnamed")]
)
def test_the_hosts_callers_are_led_to_a_function_with_another_linkage(
    tmp_path: Path, compiler: str, before: str, after: str
) -> None:
    """In C++ ``static`` makes another name: a loop of the host's went on calling the old function."""
    (tmp_path / "a.cc").write_text(RELINKED)
    way = COMPILERS[compiler]
    driver = (way[0].replace("gcc", "g++"), *way[1:])
    program = linked_host(tmp_path, {"a.cc": compiled(tmp_path, "a.cc", driver, "-g", *LINKAGES[before])}, "gnu")
    with LiveHost(program.host) as live:
        patch = compiled(tmp_path, "a.cc", driver, "-g", *LINKAGES[after], edit=EDIT)
        document = program.link(live, [patch], "a.so")
        base = int(live.tell(f"patch {tmp_path}/a.so"), 16)
        rows = {row["name"]: row for row in document["replaced"]}  # type: ignore[attr-defined]
        (step,) = [row for name, row in rows.items() if "4step" in name]
        assert {int(live.tell(f"call {copy['runtime_address']:x} 1000")) for copy in step["host"]} == {1001}
        assert live.tell(f"call {base + step['address']:x} 1000") == f"{1001 + EDIT}"
    assert len(rows) == 4
    assert document["undecided"] == []


def test_a_static_function_is_not_another_files_visible_one(tmp_path: Path) -> None:
    """Another file's ``step(long)`` is another function: its callers would be led into this file's."""
    (tmp_path / "a.cc").write_text("long other(long x) { return x + 1 + EDIT; }")
    (tmp_path / "b.cc").write_text("long step(long x) { return x + 2 + EDIT; }")
    gxx = ("aarch64-linux-gnu-g++",)
    objects = {name: compiled(tmp_path, name, gxx, "-g") for name in ("a.cc", "b.cc")}
    program = linked_host(tmp_path, objects, "gnu")
    new = "__attribute__((noipa)) static long step(long x) { return x + 3 + EDIT; }"
    new += "long other(long x) { return step(x); }"
    (tmp_path / "a.cc").write_text(new)
    with LiveHost(program.host) as live:
        for debug, left_out in (("-g", []), ("-g0", ["_ZL4stepl"])):
            patch = compiled(tmp_path, "a.cc", gxx, debug, edit=EDIT)
            document = program.link(live, [patch], f"a{debug}.so")
            assert [row["name"] for row in document["replaced"]] == ["_Z5otherl"]  # type: ignore[attr-defined]
            assert [row["name"] for row in document["undecided"]] == left_out  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize(("before", "after"), [("seen", "static"), ("static", "seen"), ("unnamed", "seen")])
def test_the_same_in_macho_files(tmp_path: Path, name: str, before: str, after: str) -> None:
    """Names have one underscore more there; the debugger's entries say which file each is from."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    tools = toolchain(name)
    (tmp_path / "a.cc").write_text(RELINKED)
    (tmp_path / "m.cc").write_text('extern "C" long use(long); int main() { return (int)use(1); }')
    for output, edit, linkage in (("a.o", 0, before), ("patch.o", EDIT, after)):
        words = [*tools.compile, "-O1", "-g", f"-DEDIT={edit}", *LINKAGES[linkage], "-c", "a.cc", "-o", output]
        run(words, cwd=tmp_path)
    run([*tools.compile, "-c", "m.cc", "-o", "m.o"], cwd=tmp_path)
    command = [*tools.link, "-o", "host", "m.o", "a.o"]
    run(command, cwd=tmp_path)
    captured, output = Capture(command, tmp_path, {}, output="host"), tmp_path / "p.dylib"
    patch, bound = tmp_path / "patch.o", tmp_path / "bound"
    linked = link_patch(StubBuilder(tmp_path / "host"), captured, [patch], output, slide=SLIDE, bound_dir=bound)
    emulator = Emulator()
    emulator.load(tmp_path / "host", slide=SLIDE)
    emulator.load(output, slide=PATCH_SLIDE)
    (step,) = [row for row in linked.replaced.functions if "4step" in row.name]
    assert [emulator.call(copy.runtime_address, 1000).signed for copy in step.copies] == [1001]
    assert emulator.call(step.address + PATCH_SLIDE, 1000).signed == 1001 + EDIT
    assert linked.replaced.undecided == ()
