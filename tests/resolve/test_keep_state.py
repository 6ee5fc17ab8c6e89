"""Which of the patch's own variables are the host's, and why the others are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.commands.options import shared_variable_notes
from stubgen.resolve.resolution import Resolution

COMPILERS = {
    "gcc": ("aarch64-linux-gnu-gcc",),
    "g++": ("aarch64-linux-gnu-g++",),
    "clang": ("clang-19", "--target=aarch64-linux-gnu"),
}


def judge(folder: Path, host: dict[str, str], patch: dict[str, str], *options: str, compiler: str = "") -> Resolution:
    """Judge C or C++ sources as a patch for a host of others, both given as file name -> text."""
    folder.mkdir(exist_ok=True)
    objects = {}
    for role, sources in (("host", host), ("patch", patch)):
        for name, text in sources.items():
            place = folder / role / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            program, *target = COMPILERS[compiler or ("g++" if name.endswith("cc") else "gcc")]
            output = place.with_suffix(".o")
            run([str(need(program)), *target, "-c", "-O1", "-fPIC", "-fdata-sections", *options, place, "-o", output])
            objects.setdefault(role, []).append(output)
    linked = folder / "program"
    run([str(need("aarch64-linux-gnu-g++")), *objects["host"], "-o", linked])
    return StubBuilder(linked).judge(objects["patch"], slide=0x1000, bind=True, keep_state=True)


MAIN = "int main(void) { return 0; }"
USED = "__attribute__((used))"
HIDDEN = '__attribute__((visibility("hidden")))'
F = "int f(void) { return 3; }"
NOT_THIS = "the host's is from a file a.c, and nothing says that it is this one; compile host and patch with -g"

RUST = 'int state __asm__("_ZN6engine7HISTORY17h{digit}123456789abcdefE") {used} = 1;'
ANOTHER_HASH = "the host's has another hash at the end of its name, as where its type was another one"

CASES = {
    "a Rust static of another type": (
        {"a.c": f"{RUST.format(used=USED, digit=0)} {MAIN}"},
        {"a.c": RUST.format(used=USED, digit=1)},
        {"_ZN6engine7HISTORY17h1123456789abcdefE": ANOTHER_HASH},
    ),
    "a Rust static of another module": (
        {"a.c": f"{RUST.format(used=USED, digit=0).replace('6engine', '6renege')} {MAIN}"},
        {"a.c": RUST.format(used=USED, digit=1)},
        {},
    ),
    "another file's static": (
        {"a.c": f"static int {USED} count = 1; {MAIN}"},
        {"b.c": f"static int {USED} count = 1;"},
        {"count": "the host's is from another file, a.c"},
    ),
    "the same file's static": (
        {"a.c": f"static int {USED} count = 1; {F} {MAIN}"},
        {"a.c": f"static int {USED} count = 1; {F}"},
        {"count": ""},
    ),
    "a static of a file of that name": (
        {"a.c": f"static int {USED} count = 1; {F} {MAIN}"},
        {"a.c": f"static int {USED} count = 1; int g(void) {{ return 1; }}"},
        {"count": NOT_THIS},
    ),
    "a static of a file of that name, with a static function in common": (
        {"a.c": f"static int {USED} count = 1; static {USED} {F} {MAIN}"},
        {"a.c": f"static int {USED} count = 1; static {USED} {F}"},
        {"count": NOT_THIS},
    ),
    "a static of a file of that name, with an inline function in common": (
        {"a.cc": f"static int {USED} count = 1; inline {USED} {F} {MAIN}"},
        {"a.cc": f"static int {USED} count = 1; inline {USED} {F}"},
        {"_ZL5count": NOT_THIS.replace("a.c", "a.cc")},
    ),
    "of two files of that name": (
        {"a.c": f"static int {USED} count = 1; {F} {MAIN}", "x/a.c": "int g(void) { return 1; }"},
        {"a.c": f"static int {USED} count = 1; {F}"},
        {"count": NOT_THIS},
    ),
    "a hidden global for a static": (
        {"a.c": f"static int {USED} count = 1; {MAIN}"},
        {"b.c": '__attribute__((visibility("hidden"))) int count = 1;'},
        {"count": "the host's is from another file, a.c, and not visible to others"},
    ),
    "another C++ file's static": (
        {"a.cc": f"static int {USED} count = 1; {MAIN}"},
        {"b.cc": f"static int {USED} count = 1;"},
        {"_ZL5count": "the host's is from another file, a.cc"},
    ),
    "another file's thread-local": (
        {"a.c": f"static __thread int {USED} depth = 1; {MAIN}"},
        {"b.c": f"static __thread int {USED} depth = 1;"},
        {"depth": "the host's is from another file, a.c"},
    ),
    "a static for a global": (
        {"a.c": f"int count = 1; {MAIN}"},
        {"a.c": f"static int {USED} count = 1;"},
        {"count": "the host's is visible to other files"},
    ),
    "a global for a static": (
        {"a.c": f"static int {USED} count = 1; {MAIN}"},
        {"b.c": "int count = 1;"},
        {"count": "the host's is from another file, a.c, and not visible to others"},
    ),
    "a static that became visible": (
        {"a.c": f"static int {USED} count = 1; {F} {MAIN}"},
        {"a.c": f"int count = 1; {F}"},
        {"count": ""},
    ),
    "what ThinLTO took out of its file": (
        {"a.c": f'{HIDDEN} int count __asm__("count.llvm.5"); int count = 1; {MAIN}'},
        {"a.c": f"static int {USED} count = 1; {F}"},
        {"count": "it is count.llvm.5 in the host, renamed by ThinLTO; of which file, nobody can tell"},
    ),
    "what ThinLTO takes out of its file now": (
        {"a.c": f"static int {USED} count = 1; {F} {MAIN}"},
        {"a.c": f'{HIDDEN} int count __asm__("count.llvm.5"); int count = 1; {F}'},
        {"count.llvm.5": "it is count in the host, renamed by ThinLTO; of which file, nobody can tell"},
    ),
    "a global": ({"a.c": f"int count = 1; {MAIN}"}, {"a.c": "int count = 1;"}, {"count": ""}),
    "resized": (
        {"a.c": f"int count[2] = {{1}}; {MAIN}"},
        {"a.c": "int count[3] = {1};"},
        {"count": "its size changed from 8 to 12 bytes"},
    ),
    "a constant": (
        {"a.c": f"const int limit = 7; {MAIN}"},
        {"a.c": "int limit = 7;"},
        {"limit": "the host's is constant"},
    ),
    "a constant pointer": (
        {"a.c": f"int count; int *const where = &count; {MAIN}"},
        {"a.c": "extern int count; int *where = &count;"},
        {"where": "the host's is constant"},
    ),
    "numbered": (
        {"a.c": f"int f(void) {{ static int n = 1; return n++; }} {MAIN}"},
        {"a.c": "int f(void) { static int n = 1; return n++; }"},
        {"n.0": ""},
    ),
    "two files' statics": (
        {"a.c": f"static int {USED} count = 1; {MAIN}"},
        {"a.c": f"static int {USED} count = 1;", "b.c": f"static int {USED} count = 1;"},
        {"count": "several objects of the patch have one of that name"},
    ),
    "several names": (
        {"a.c": f'int count = 1; extern int hits __attribute__((alias("count"))); {MAIN}'},
        {"a.c": 'int count = 1; extern int hits __attribute__((alias("count")));'},
        {"count": "it has several names", "hits": "it has several names"},
    ),
    "initialised when the patch is loaded": (
        {"a.cc": f"int seed(); int seed() {{ return 3; }} int state = seed(); {MAIN}"},
        {"a.cc": "int seed(); int state = seed();"},
        {"state": "_GLOBAL__sub_I_a.cc, which runs when the patch is loaded, may set it again"},
    ),
    "initialised at first use": (
        {"a.cc": f"int seed(); int seed() {{ return 3; }} int &get() {{ static int v = seed(); return v; }} {MAIN}"},
        {"a.cc": "int seed(); int &get() { static int v = seed(); return v; }"},
        {
            "_ZZ3getvE1v": "it is initialised at first use, under a guard",
            "_ZGVZ3getvE1v": "it is initialised at first use, under a guard",
        },
    ),
    "thread-local, initialised at first use": (
        {"a.cc": f"int seed() {{ return 3; }} thread_local int v = seed(); int get() {{ return v; }} {MAIN}"},
        {"a.cc": "int seed(); thread_local int v = seed(); int get() { return v; }"},
        {"v": "thread-locals of its file are initialised at first use, under a guard"},
    ),
}


@pytest.mark.parametrize(("host", "patch", "expected"), CASES.values(), ids=list(CASES))
def test_what_is_the_hosts_variable(
    tmp_path: Path, host: dict[str, str], patch: dict[str, str], expected: dict[str, str]
) -> None:
    """A patch that writes into an unrelated variable of the host, or sets one again, corrupts a running program."""
    found = {d.name: d for d in judge(tmp_path, host, patch).shared_variables}
    for name, reason in expected.items():
        assert found[name].reason_not_kept == reason
        assert found[name].forwarded is (not reason)


ONE = "int f(int c) { if (c) { static int n = 5; return n++; } return 0; }"
TWO = (
    "int f(int c) { if (c > 5) { static int n = 100; return n++; } if (c) { static int n = 5; return n++; } return 0; }"
)
LAMBDA_OF_ONE = "int f(int c) { auto a = [] { static int n = 5; return n++; }; return a(); }"
NUMBERED = "compilers number such variables anew in each build"
PATCHS = "the patch has several of that name, which compilers number anew in each build"
HOSTS = "the host has several of that name, which compilers number anew in each build"
LAMBDA = "it belongs to a lambda, a block or an unnamed type, which compilers number anew in each build"

FAMILIES = {
    "one": ("clang", "a.c", ONE, ONE, {"f.n": ""}),
    "one more in the patch": ("clang", "a.c", ONE, TWO, {"f.n": PATCHS}),
    "one less in the patch": ("clang", "a.c", TWO, ONE, {"f.n": HOSTS}),
    "two": ("clang", "a.c", TWO, TWO, {"f.n": PATCHS, "f.n.1": NUMBERED}),
    "C++: one": ("clang", "a.cc", ONE, ONE, {"_ZZ1fiE1n": ""}),
    "C++: one more in the patch": ("clang", "a.cc", ONE, TWO, {"_ZZ1fiE1n": PATCHS}),
    "C++: one less in the patch": ("clang", "a.cc", TWO, ONE, {"_ZZ1fiE1n": HOSTS}),
    "C++: two": ("clang", "a.cc", TWO, TWO, {"_ZZ1fiE1n": PATCHS, "_ZZ1fiE1n_0": NUMBERED}),
    "g++: one": ("g++", "a.cc", ONE, ONE, {"_ZZ1fiE1n": ""}),
    "g++: one more in the patch": ("g++", "a.cc", ONE, TWO, {"_ZZ1fiE1n": PATCHS}),
    "g++: one less in the patch": ("g++", "a.cc", TWO, ONE, {"_ZZ1fiE1n": HOSTS}),
    "a lambda": ("clang", "a.cc", LAMBDA_OF_ONE, LAMBDA_OF_ONE, {"_ZZZ1fiENK3$_0clEvE1n": LAMBDA}),
    "g++: a lambda": ("g++", "a.cc", LAMBDA_OF_ONE, LAMBDA_OF_ONE, {"_ZZZ1fiENKUlvE_clEvE1n": LAMBDA}),
}


@pytest.mark.parametrize(("compiler", "name", "host", "patch", "expected"), FAMILIES.values(), ids=list(FAMILIES))
def test_statics_of_functions(
    tmp_path: Path, compiler: str, name: str, host: str, patch: str, expected: dict[str, str]
) -> None:
    """A static that somebody puts in front of the old one takes its name: it would go on with the old one's value."""
    found = {
        d.name: d for d in judge(tmp_path, {name: f"{host} {MAIN}"}, {name: patch}, compiler=compiler).shared_variables
    }
    assert {other: found[other].reason_not_kept for other in expected} == expected
    assert {other for other in expected if found[other].forwarded} == {o for o, why in expected.items() if not why}


@pytest.mark.parametrize("stripped", [False, True])
def test_constants_without_section_headers(tmp_path: Path, stripped: bool) -> None:
    """A variable that is bound to a constant of the host faults at the first write."""
    text = f"int count = 1; const int limit = 7; int *const where = &count; {MAIN}"
    objects = {}
    for name, source in (("host", text), ("patch", "int count = 1, limit = 7, *where = &count;")):
        (tmp_path / "a.c").write_text(source)
        objects[name] = tmp_path / f"{name}.o"
        run(
            [
                str(need("aarch64-linux-gnu-gcc")),
                "-c",
                "-fPIC",
                "-fdata-sections",
                tmp_path / "a.c",
                "-o",
                objects[name],
            ]
        )
    program = tmp_path / "program"
    run([str(need("aarch64-linux-gnu-gcc")), "-rdynamic", objects["host"], "-o", program])
    if stripped:
        run([str(need("llvm-objcopy-19")), "--strip-sections", program])
    judged = StubBuilder(program).judge([objects["patch"]], slide=0x1000, bind=True, keep_state=True)
    assert {d.name: d.reason_not_kept for d in judged.shared_variables} == {
        "count": "",
        "limit": "the host's is constant",
        "where": "the host's is constant",
    }


PLACED = """__asm__(".section %s\\n.p2align 3\\n.long 1\\n.globl thing\\n.type thing, %%%s\\n.size thing, 8\\n"
"thing: .long 1, 2\\n.p2align 3\\n.previous");"""
BY_FOUR = PLACED % (r"mine, \"aw\"", "object")
BY_FOUR_OF_THREE = BY_FOUR.replace("thing, 8", "thing, 12").replace("1, 2", "1, 2, 3")
BY_FOUR_IN_THREAD = PLACED % (r".tdata, \"awT\", %progbits", "tls_object")
BY_EIGHT = "struct { int a, b; } thing __attribute__((aligned(8))) = {1};"
SHARED = '__attribute__((section("mine"))) long before = 1; __attribute__((section("mine"))) '

ALIGNED = {
    "an atomic for a structure": (BY_FOUR, "_Atomic long thing = 1;", 8),
    "the same structure": (BY_FOUR, "struct { int a, b; } thing __attribute__((aligned(4))) = {1};", 0),
    "more than its type": (BY_EIGHT, "long thing __attribute__((aligned(1024))) = 1;", 1024),
    "an atomic where others lie too": (BY_FOUR, SHARED + "_Atomic long thing = 1;", 8),
    "two halves where others lie too": (BY_FOUR, SHARED + "int thing[2] = {1};", 8),  # nothing says that it is less
    "three parts where others lie too": (BY_FOUR_OF_THREE, SHARED + "int thing[3] = {1};", 0),
    "a common": (BY_FOUR, "_Atomic long thing __attribute__((common));", 8),
    "aligned": (BY_EIGHT, "_Atomic long thing = 1;", 0),
    "a thread-local": (BY_FOUR_IN_THREAD, "__thread _Atomic long thing = 1;", 8),
}
"""What it is -> (the host's, the patch's, what the patch relies on and the host does not keep)."""


@pytest.mark.parametrize(("host", "patch", "align"), ALIGNED.values(), ids=list(ALIGNED))
def test_alignment(tmp_path: Path, host: str, patch: str, align: int) -> None:
    """An atomic access to an address that is not a multiple of its size faults."""
    judged = judge(tmp_path, {"a.c": f"{host} {MAIN}"}, {"a.c": patch})
    (found,) = (d for d in judged.shared_variables if d.name == "thing")
    assert found.forwarded is not bool(align)
    expected = f"the patch may rely on its being at a multiple of {align} bytes, and the host's is at 0x"
    assert found.reason_not_kept.startswith(expected) if align else not found.reason_not_kept


def test_keep_state_is_not_advised_where_it_would_not_help(tmp_path: Path) -> None:
    """Who follows the advice and gets a fresh counter all the same has lost the state for nothing."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    source = tmp_path / "a.c"
    source.write_text(
        "static int plain; int bump(void) { static int calls; plain++; return ++calls; }\n"
        "int main(void) { return bump(); }\n"
    )
    run([compiler, "-O0", source, "-o", tmp_path / "program"])
    run([compiler, "-O0", "-fPIC", "-fdata-sections", "-c", source, "-o", tmp_path / "a.o"])
    judged = StubBuilder(tmp_path / "program").judge([tmp_path / "a.o"], slide=0x1000)
    notes = "\n".join(shared_variable_notes(judged.shared_variables))
    assert "plain: the patch has its own copy of 4 bytes, which starts afresh: --keep-state may use the host's" in notes
    assert "calls.0: the patch has its own copy of 4 bytes, which starts afresh: compilers number" in notes
