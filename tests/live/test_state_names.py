"""Variables whose name alone does not make them the host's, live: each file's state goes on, and no other's."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import Program, every_linker, make
from live.test_state import COMPILERS
from tools import need, run

from stubgen.link import Linked, link_patch

FLAGS = "-O1 -fPIC -fdata-sections"
A_FILE = """
#include <stdio.h>
static int count = 5;
static _Thread_local int depth = 7;
__attribute__((noinline)) long a_next(long by) { depth += by; return (count += by) * 100 + depth; }
"""
B_FILE = """
static int count = 50;
static _Thread_local int depth = 70;
__attribute__((noinline)) long b_next(long by) { depth += by; return (count += by) * 100 + depth; }
long a_next(long);
long host_entry(long by) { return a_next(by) * 100000 + b_next(by); }
"""
GLOBAL_FILE = "int count = 500; _Thread_local int depth = 700; int *c_count(void) { return depth ? &count : 0; }"
PATCH_MAIN = "long patch_main(void) { return a_next(1000); }"


COMPUTED = """
extern "C" long compute(void);
inline long shared() { static long value = compute(); return value += 1; }
__attribute__((noinline)) static long own() { static long value = compute(); return value += 1; }
thread_local long seen = compute();
static thread_local long unseen = compute();
extern "C" long a_next(long by) { return by < 0 ? by : shared() * 1000 + own() * 100 + ++seen * 10 + ++unseen; }
"""


def recompiled(folder: Path, name: str, text: str, compiler: str = "gcc", flags: str = FLAGS) -> Path:
    """The object of an edited file, which is called as it was: another folder's, as a build's copy may be."""
    (folder / "again").mkdir(exist_ok=True)
    (folder / "again" / name).write_text(text)
    output = folder / "again" / f"{name}.o"
    program, *target = COMPILERS[compiler]
    run([need(program), *target, "-c", *flags.split(), folder / "again" / name, "-o", output])
    return output


def link(program: Program, live: LiveHost, *patch: Path) -> Linked:
    """The patch that keeps the host's state."""
    from stubgen import StubBuilder

    output, options = program.folder / "patch.so", {"exports": ["patch_main"], "keep_state": True}
    return link_patch(StubBuilder(program.path), program.captured, patch, output, live.anchor, **options)  # type: ignore[arg-type]


@every_linker
@pytest.mark.parametrize("patched", ["static", "global"])
def test_of_several_variables_of_a_name_the_files_own_goes_on(tmp_path: Path, linker: str, patched: str) -> None:
    """Many files have their ``static int count``: each started afresh with every patch, because there were others."""
    program = make(
        tmp_path, {"a.c": A_FILE, "b.c": B_FILE, "c.c": GLOBAL_FILE}, {}, "a.o b.o c.o", linker=linker, flags=FLAGS
    )
    edited = {
        "static": ("a.c", A_FILE + PATCH_MAIN),
        "global": ("c.c", GLOBAL_FILE + "long patch_main(void) { count += 1000; return count * 10000 + depth; }"),
    }
    answer = {"static": f"{(6 + 1000) * 100 + 8 + 1000}", "global": f"{1500 * 10000 + 700}"}
    with LiveHost(program.path) as live:
        assert live.tell("call 1") == f"call {608 * 100000 + 5171}"
        linked = link(program, live, recompiled(tmp_path, *edited[patched]))
        assert live.patch(linked.output) == f"patch {answer[patched]}"
        a_side = 608 + (patched == "static") * 101000
        assert live.tell("call 1") == f"call {(a_side + 101) * 100000 + 5272}"
    kept = {variable.name: variable.forwarded for variable in linked.built.resolution.shared_variables}
    assert kept == {"count": True, "depth": True}


@every_linker
def test_a_static_variable_is_not_what_another_object_of_the_patch_means(tmp_path: Path, linker: str) -> None:
    """One file has a static ``optind``, another uses the C library's: both became the static one."""
    own = "static int optind = 5; __attribute__((noinline)) long a_next(long by) { return optind += by; }"
    other = "extern int optind; long a_next(long); long patch_main(void) { return a_next(0) * 100 + optind; }"
    host = "long a_next(long); long host_entry(long by) { return a_next(by); }"
    program = make(tmp_path, {"a.c": own, "b.c": host}, {}, "a.o b.o", linker=linker, flags=FLAGS)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 8"
        linked = link(program, live, recompiled(tmp_path, "a.c", own), recompiled(tmp_path, "b.c", host + other))
        assert live.patch(linked.output) == "patch 501"
    (variable,) = [each for each in linked.built.resolution.shared_variables if each.name == "optind"]
    assert "another object of the patch uses one of that name" in variable.reason_not_kept


@every_linker
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_nobody_initialised_yet_is_not_kept_once_its_value_is_constant(
    tmp_path: Path, linker: str, compiler: str
) -> None:
    """``static long value = compute();`` becomes ``= 1``: the host's is still zero, and no code would ever set it."""
    sources = {
        "a.cc": COMPUTED,
        "b.c": "long compute(void) { return 4; } long a_next(long); long host_entry(long by) { return a_next(by); }",
    }
    program = make(tmp_path, sources, {}, "a.o b.o -Wl,--gc-sections", linker=linker, flags=FLAGS)
    constant = COMPUTED.replace("compute();", "1;").replace('extern "C" long compute(void);', "")
    patch = recompiled(tmp_path, "a.cc", constant + 'extern "C" long patch_main() { return a_next(0); }', compiler)
    with LiveHost(program.path) as live:
        assert live.tell("call -1") == "call -1"
        linked = link(program, live, patch)
        assert live.patch(linked.output) == "patch 2222"
    reasons = {variable.reason_not_kept for variable in linked.built.resolution.shared_variables}
    assert reasons == {"the host initialises it at first use, under a guard"}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_compressed_debug_information_is_no_malformed_object(tmp_path: Path, compiler: str) -> None:
    """Its relocations count within what it holds once it is unpacked, which lies beyond the section's bytes."""
    program = make(tmp_path, {"a.c": A_FILE, "b.c": B_FILE}, {}, "a.o b.o", flags=FLAGS)
    text = A_FILE + "".join(f"long more_{n}(long by) {{ return by * {n}; }}" for n in range(200)) + PATCH_MAIN
    with LiveHost(program.path) as live:
        linked = link(program, live, recompiled(tmp_path, "a.c", text, compiler, f"{FLAGS} -g -gz=zlib"))
        assert live.patch(linked.output) == f"patch {1005 * 100 + 1007}"


INTERPRETER = """
int total;
static int doubled(int x) { return 2 * x; }
static int (*volatile handler[1])(int) = {doubled};
long run(const char *code) {
  static void *table[] = {&&end, &&add, &&twice};
  volatile int locals[LOCALS];
  locals[LOCALS - 1] = 0;
  goto *table[(int)*code];
add: locals[LOCALS - 1] += 1 + EDIT; total++; goto *table[(int)*++code];
twice: locals[LOCALS - 1] = handler[0](locals[LOCALS - 1]); total++; goto *table[(int)*++code];
end: return locals[LOCALS - 1] * 100 + total;
}
long host_entry(long by) { return run(by == 1 ? (char[]){1, 2, 0} : (char[]){1, 0}); }
"""


@every_linker
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_table_of_labels_is_the_functions_own(tmp_path: Path, linker: str, compiler: str) -> None:
    """An interpreter's ``goto *table[op]`` went on in the host's old function, with the new one's stack."""
    flags = "-O0 -fPIC -fdata-sections"
    old, new = (INTERPRETER.replace("LOCALS", size).replace("EDIT", edit) for size, edit in (("2", "0"), ("40", "10")))
    program = make(tmp_path, {"a.c": old}, {}, "a.o", linker=linker, flags=flags)
    driver, *target = COMPILERS[compiler]
    run([need(driver), *target, "-c", *flags.split(), "a.c"], cwd=tmp_path)
    run(program.captured.argv, cwd=tmp_path)
    with LiveHost(program.path) as live:
        assert live.tell("call 1") == "call 202"
        linked = link(
            program,
            live,
            recompiled(tmp_path, "a.c", new + "long patch_main(void) { return host_entry(1); }", compiler, flags),
        )
        assert live.patch(linked.output) == "patch 2204"
        assert live.tell("call 1") == "call 206"
    kept = {
        variable.name: variable.forwarded for variable in linked.built.resolution.shared_variables if variable.writable
    }
    assert kept["total"]
    assert kept["handler"]
    assert not any(forwarded for name, forwarded in kept.items() if "table" in name)


LABELLED = """
static int count HIDDEN = 5; int total SEEN = 50;
__attribute__((noinline)) long a_next(long by) { count += by; total += by; return count * 1000 + total; }
"""
LABELS = {"HIDDEN": '__asm__("own_count")', "SEEN": '__asm__("own_total")'}
ENTRY = "long a_next(long); long host_entry(long by) { return a_next(by); }"


def labelled(*labels: str) -> str:
    """The file, its variables with these of the labels."""
    return "".join(f"#define {name} {LABELS[name] if name in labels else ''}\n" for name in LABELS) + LABELLED


@every_linker
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_label_that_was_removed_renames_no_variable(compiler: str, tmp_path: Path, linker: str) -> None:
    """Debug information has the name in the source. The patch was linked with the host's, and then refused."""
    flags = f"{FLAGS} -g"
    program = make(tmp_path, {"a.c": labelled(*LABELS), "b.c": ENTRY}, {}, "a.o b.o", linker=linker, flags=flags)
    patch = recompiled(
        tmp_path, "a.c", labelled() + PATCH_MAIN, compiler, f"{flags} -fdebug-prefix-map={tmp_path}/again={tmp_path}"
    )
    with LiveHost(program.path) as live:
        assert live.tell("call 1") == "call 6051"
        linked = link(program, live, patch)
        assert live.patch(linked.output) == f"patch {1006 * 1000 + 1051}"
        assert live.tell("call 1") == f"call {1007 * 1000 + 1052}"
    rows = {variable.name: variable.forwarded for variable in linked.built.resolution.shared_variables}
    assert rows == {"count": True, "total": True}


def test_a_label_that_was_added_is_told(tmp_path: Path) -> None:
    """The patch's object has the label alone as the variable's name in its symbols."""
    flags = f"{FLAGS} -g"
    program = make(tmp_path, {"a.c": labelled(), "b.c": ENTRY}, {}, "a.o b.o", flags=flags)
    options = f"{flags} -fdebug-prefix-map={tmp_path}/again={tmp_path}"
    patch = recompiled(tmp_path, "a.c", labelled(*LABELS) + PATCH_MAIN, "gcc", options)
    with LiveHost(program.path) as live:
        linked = link(program, live, patch)
    said = {row.name: row.reason_not_kept for row in linked.built.resolution.shared_variables}
    for name in ("own_count", "own_total"):
        assert "it is new in a.c, and gone from there is " in said[name]
