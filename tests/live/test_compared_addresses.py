"""Addresses of functions and constants that a patch compares: the process has the host's, and a note says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import LINKERS, make
from live.test_macho import SLIDE, toolchain
from live.test_other_forms import HOST
from live.test_state import COMPILERS
from live.test_state_names import link, recompiled
from tools import run

from stubgen import StubBuilder, link_patch
from stubgen.capture import Capture

FLAGS = "-O2 -g -fPIC -fdata-sections"
KEPT = "__attribute__((noinline)) "
WAYS = {
    "a static function": (
        "static long on_click(long n) { return n; } static long (*slot)(long);",
        "if (!slot) slot = on_click; return slot == on_click ? by : -1;",
        ["on_click"],
    ),
    "a global function": (
        f"{KEPT}long on_click(long n) {{ return n; }} static long (*slot)(long);",
        "if (!slot) slot = on_click; return slot == on_click ? by : -1;",
        ["on_click"],
    ),
    "behind another condition": (
        "static long on_click(long n) { return n; } static long (*slot)(long); static long on;",
        "if (!slot) slot = on_click, on = 7; return on == 7 && slot == on_click ? by : -1;",
        ["on_click"],
    ),
    "a table": (
        "static long on_click(long n) { return n; } struct ops { long (*click)(long); };"
        "static const struct ops own_ops = {on_click}; static const struct ops *ops;",
        "if (!ops) ops = &own_ops; return ops == &own_ops ? ops->click(by) : -1;",
        ["own_ops"],
    ),
}

HANDED = "typedef long handler(long); void subscribe(handler *); int is_subscribed(handler *); "
BUS = """typedef long handler(long); struct node { handler *f; struct node *next; };
static struct node nodes[9], *first;
void subscribe(handler *f) {
  struct node *one = nodes;
  while (one->f) one++;
  one->f = f, one->next = first, first = one;
}
static __attribute__((noinline)) struct node *find(handler *f) {
  for (struct node *one = first; one; one = one->next) if (one->f == f) return one;
  return 0;
}
int is_subscribed(handler *f) { return find(f) != 0; }
"""
ASKING = {
    "the host's function": (
        f"{HANDED}static long on_click(long n) {{ return n; }} static long on;",
        "if (!on++) subscribe(on_click); return is_subscribed(on_click) ? by : -1;",
    ),
    "the patch's function": (
        "typedef long handler(long); static long on_click(long n) { return n; } static handler *slot;"
        f"{KEPT}static int is_own(long n, handler *f) {{ return slot == f ? n : 0; }}",
        "if (!slot) slot = on_click; return is_own(1, on_click) ? by : -1;",
    ),
    "far behind": (
        "static long on_click(long n) { return n; } static long (*slot)(long); static volatile long a, b, c;",
        "long (*f)(long) = on_click; if (!slot) slot = f; a += by, b += by, c += by; a *= 3, b *= 5, c *= 7;"
        "a ^= b, b ^= c, c ^= a; a += b, b += c, c += a; return slot == f ? by : -1;",
    ),
}


def source(way: str) -> str:
    """The file."""
    before, body, *_ = (WAYS | ASKING)[way]
    return f"{before} long a_next(long by) {{ {body} }}"


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("way", WAYS)
def test_what_the_host_registered_is_not_the_patchs(way: str, compiler: str, linker: str, tmp_path: Path) -> None:
    """``slot == on_click`` is false for what was registered before: whoever removes a callback so did not find it."""
    program = make(tmp_path, {"a.c": source(way), "b.c": HOST}, {}, "a.o b.o", linker=linker, flags=FLAGS)
    patch = recompiled(
        tmp_path,
        "a.c",
        source(way) + "long patch_main(void) { return a_next(9); }",
        compiler,
        f"{FLAGS} -fdebug-prefix-map={tmp_path}/again={tmp_path}",
    )
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = link(program, live, patch)
        assert list(linked.compared) == WAYS[way][2]
        assert live.patch(linked.output) == "patch -1", "which the note is about"


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_in_macho_files(way: str, name: str, tmp_path: Path) -> None:
    """So is it there."""
    tools = toolchain(name)
    main = tools.object(tmp_path, "m", "long a_next(long); int main(void) { return (int)a_next(1); }")
    (tmp_path / "a.c").write_text(source(way))
    for output in ("a.o", "patch.o"):
        run([*tools.compile, "-O2", "-g", "-c", "a.c", "-o", output], cwd=tmp_path)
    command = [*tools.link, "-o", "host", main.name, "a.o"]
    run(command, cwd=tmp_path)
    captured = Capture(command, tmp_path, {}, output="host")
    builder = StubBuilder(tmp_path / "host")
    linked = link_patch(builder, captured, [tmp_path / "patch.o"], tmp_path / "p.dylib", slide=SLIDE, keep_state=True)
    assert list(linked.compared) == [f"_{each}" for each in WAYS[way][2]]


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("way", ASKING)
def test_what_is_compared_elsewhere(way: str, compiler: str, level: str, tmp_path: Path) -> None:
    """``unsubscribe(on_click)`` finds nothing of what the host subscribed: another function compares."""
    flags = f"{level} -g -fPIC -fdata-sections"
    more = {"a.c": source(way), "b.c": HOST, "c.c": BUS}
    program = make(tmp_path, more, {}, "a.o b.o c.o", flags=flags)
    text = source(way) + "long patch_main(void) { return a_next(9); }"
    patch = recompiled(tmp_path, "a.c", text, compiler, f"{flags} -fdebug-prefix-map={tmp_path}/again={tmp_path}")
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = link(program, live, patch)
        assert linked.compared == ("on_click",)
        assert live.patch(linked.output) == "patch -1", "which the note is about"


ASKED_BEFORE = {
    "by those that call each other": (
        "int is_last(handler *, long), is_even(handler *, long);",
        "int is_even(handler *f, long n) {{ return n ? is_last(f, n - 1) + 1 : 7; }}"
        "int is_last(handler *f, long n) {{ return is_even(f, n & 1) + (slot == f); }}",
        "is_last(first, by) + is_even(second, by)",
    ),
    "from further away": (
        "int is_far(handler *), is_near(handler *);",
        "{0}int a(handler *f) {{ return slot == f; }} {0}int b(handler *f) {{ return a(f) * 3 + taken; }}"
        "{0}int c(handler *f) {{ return b(f) * 5 + taken; }} int is_near(handler *f) {{ return c(f) * 3 + taken; }}"
        "{0}int d(handler *f) {{ return is_near(f) * 7 + taken; }} int is_far(handler *f) {{ return d(f) + taken; }}",
        "is_far(first) + is_near(second)",
    ),
}
"""Who hands two callbacks on -> declarations, what compares, the file's expression."""


@pytest.mark.parametrize("level", ["-O0", "-O1"])
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("way", ASKED_BEFORE)
def test_what_was_found_of_one_callback_is_not_taken_for_another(
    way: str, compiler: str, level: str, tmp_path: Path
) -> None:
    """The functions were looked into for the first one, not as far as for the second, of which no note spoke then."""
    declared, defined, asked = ASKED_BEFORE[way]
    text = f"typedef long handler(long); {declared} static long first(long n) {{ return n; }}"
    text += f"static long second(long n) {{ return n + 1; }} long a_next(long by) {{ return {asked}; }}"
    other = "typedef long handler(long); handler *volatile slot; volatile int taken;"
    other += defined.format("static __attribute__((noinline)) ")
    flags = f"{level} -g -fPIC -fno-inline"
    program = make(tmp_path, {"a.c": text, "b.c": HOST, "c.c": other}, {}, "a.o b.o c.o", flags=flags)
    patch = recompiled(tmp_path, "a.c", text + "long patch_main(void) { return a_next(1); }", compiler, flags)
    with LiveHost(program.path) as live:
        live.tell("call 3")
        assert "second" in link(program, live, patch).compared


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_callback_that_nobody_compares_is_told_nothing(compiler: str, tmp_path: Path) -> None:
    """Most functions call what they are given, and a library's are not looked into."""
    text = (
        "#include <stdlib.h>\nlong each(long (*)(long), long); static long twice(long n) { return 2 * n; }"
        "static int order(const void *a, const void *b) { return *(int *)a - *(int *)b; } static int values[3] = {3};"
        "long a_next(long by) { qsort(values, 3, 4, order); return each(twice, by) + values[0]; }"
    )
    other = "long each(long (*f)(long), long n) { long sum = 0; while (n--) sum += f(n); return f ? sum : 0; }"
    program = make(tmp_path, {"a.c": text, "b.c": HOST, "c.c": other}, {}, "a.o b.o c.o", flags=FLAGS)
    patch = recompiled(tmp_path, "a.c", text + "long patch_main(void) { return a_next(1); }", compiler, FLAGS)
    with LiveHost(program.path) as live:
        live.tell("call 3")
        assert link(program, live, patch).compared == ()


@pytest.mark.parametrize("compiler", COMPILERS)
def test_ordinary_comparisons_are_told_nothing(compiler: str, tmp_path: Path) -> None:
    """A note about each patch with a loop over an array would soon be read by nobody."""
    text = (
        f"static long values[9], sum; extern long other(long); {KEPT}static long twice(long n) {{ return 2 * n; }}"
        "static long (*volatile call)(long) = twice; static long (*chosen)(long);"
        "long a_next(long by) { for (long *p = values; p != values + 9; p++) sum += *p += by;"
        " chosen = by == 5 ? other : call; return sum + call(by) + (by == sum) + (chosen == other); }"
    )
    more = {"a.c": text, "b.c": HOST, "c.c": "long other(long n) { return n; }"}
    program = make(tmp_path, more, {}, "a.o b.o c.o", flags=FLAGS)
    patch = recompiled(tmp_path, "a.c", text + "long patch_main(void) { return a_next(1); }", compiler, FLAGS)
    with LiveHost(program.path) as live:
        live.tell("call 3")
        assert link(program, live, patch).compared == ()


SHAPE = "struct Shape { virtual ~Shape() {} virtual long area(long) const; virtual long more(long by) { return by; } };"
VIRTUAL = f'{SHAPE} extern "C" long a_next(long); __attribute__((noinline)) long of(Shape *s, long by)'
VIRTUAL += (
    "{ return s->area(by) + s->more(by); } long a_next(long by) { Shape *s = new Shape; by = of(s, by); delete s;"
)
VIRTUAL += "return by; }"
KEY = "long Shape::area(long by) const { return by + 1; }"
"""The function whose file has the virtual table."""
PATCH_MAIN = 'extern "C" long patch_main() { return a_next(9); }'


@pytest.mark.parametrize("level", ["-O2", "-O3"])
@pytest.mark.parametrize("table", ["the patch's", "the host's"])
def test_virtual_calls_of_gcc_are_told_nothing(table: str, level: str, tmp_path: Path) -> None:
    """It compares the entry of the table with the likeliest function, and calls by the table where it is another."""
    flags = f"{level} -g -fPIC -fdata-sections"
    text = VIRTUAL + KEY if table == "the patch's" else VIRTUAL
    sources = {"a.cc": text, "b.c": HOST, "c.cc": "" if text != VIRTUAL else SHAPE + KEY}
    program = make(tmp_path, sources, {}, "a.o b.o c.o", flags=flags)
    patch = recompiled(tmp_path, "a.cc", text + PATCH_MAIN, "gcc", flags)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 7"
        linked = link(program, live, patch)
        assert linked.compared == ()
        assert live.patch(linked.output) == "patch 19"


def test_virtual_functions_of_the_library_are_told_nothing(tmp_path: Path) -> None:
    """Its tables are in no file that is looked at: each patch of a file with ``std::endl`` had a note."""
    text = (
        '#include <iostream>\nstatic long sum; extern "C" long a_next(long by) '
        "{ sum += by; std::cerr << sum << std::endl; return sum; }"
    )
    flags = "-O2 -g -fPIC -fdata-sections"
    program = make(tmp_path, {"a.cc": text, "b.c": HOST}, {}, "a.o b.o", flags=flags)
    patch = recompiled(tmp_path, "a.cc", text + PATCH_MAIN, "gcc", flags)
    with LiveHost(program.path) as live:
        linked = link(program, live, patch)
    assert linked.compared == ()
    assert "_ZNKSt5ctypeIcE8do_widenEc" in {item.name for item in linked.replaced.functions}


OF_LIBRARY = {  # header -> a variable, what puts something in, what asks for it, part of the name of what is compared
    "any": ("std::any held", "if (!held.has_value()) held = by;", "std::any_cast<long>(&held)", "_S_manage"),
    "functional": (
        "std::function<long(long)> held",
        "auto next = Next(); if (!held) held = next;",
        "held.target<Next>()",
        "_M_manager",
    ),
}


@pytest.mark.parametrize("header", OF_LIBRARY)
def test_what_the_library_itself_compares_is_told(header: str, tmp_path: Path) -> None:
    """It asks which function manages the value: what the host put in is of no type that it knows."""
    variable, put, ask, compared = OF_LIBRARY[header]
    text = (
        f"#include <{header}>\nstatic long sum; extern {variable}; struct Next {{ long operator()(long n) const "
        '{ return n + 1; } }; extern "C" long a_next(long by) '
        f"{{ sum += by; {put} return {ask} ? sum : -1; }}"
    )
    flags = "-O2 -g -fPIC -fdata-sections -std=c++17 -fno-rtti"
    declared = f"#include <{header}>\nextern {variable}; {variable};"
    program = make(tmp_path, {"a.cc": text, "b.c": HOST, "c.cc": declared}, {}, "a.o b.o c.o", flags=flags)
    patch = recompiled(tmp_path, "a.cc", text + PATCH_MAIN, "gcc", flags)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = link(program, live, patch)
        assert any(compared in name for name in linked.compared)
        assert live.patch(linked.output) == "patch -1", "which the note is about"


TABLE = (
    '{weak}long area(long n) __asm__("{mark}area"); long area(long n) {{ return n; }}'
    'void *const table[] __asm__("{mark}{name}") = {{0, 0, (void *)area}}; void *const *slot;'
    "long a_next(long by) {{ if (!slot) slot = table; return slot[2] == (void *)area ? by : -1; }}"
)
"""What GCC makes of a virtual call, less the other branch."""
CLASS, BASE, PLAIN = "_ZTV5Shape", "_ZTC5Shape0_4Base", "_shapes"
"""A class's virtual table, that of its base while it is made (Itanium C++ ABI 5.1.4.1), and a table of C."""


@pytest.mark.parametrize("form", ["ELF", "Mach-O", "Mach-O, weak"])
@pytest.mark.parametrize("tables", [(CLASS, CLASS), (BASE, BASE), (PLAIN, PLAIN), (CLASS, PLAIN), (PLAIN, CLASS)])
def test_only_tables_of_classes_are_trusted(tables: tuple[str, str], form: str, tmp_path: Path) -> None:
    """A table of functions that C has is of no class: what is compared with its entries is told."""
    mark, weak = "_" if form != "ELF" else "", "__attribute__((weak)) " if "weak" in form else ""
    old, new = (TABLE.format(mark=mark, weak=weak, name=name) for name in tables)
    if form == "ELF":
        program = make(tmp_path, {"a.c": old, "b.c": HOST}, {}, "a.o b.o", flags=FLAGS)
        patch = recompiled(tmp_path, "a.c", new + "long patch_main(void) { return a_next(9); }", "gcc", FLAGS)
        builder, captured, output = StubBuilder(program.path), program.captured, tmp_path / "patch.so"
    else:
        tools = toolchain("lld")
        main = tools.object(tmp_path, "m", "long a_next(long); int main(void) { return (int)a_next(1); }")
        for made, text in (("a.o", old), ("patch.o", new)):
            (tmp_path / "a.c").write_text(text)
            run([*tools.compile, "-O2", "-g", "-c", "a.c", "-o", made], cwd=tmp_path)
        command = [*tools.link, "-o", "host", main.name, "a.o"]
        run(command, cwd=tmp_path)
        captured, builder = Capture(command, tmp_path, {}, output="host"), StubBuilder(tmp_path / "host")
        patch, output = tmp_path / "patch.o", tmp_path / "p.dylib"
    linked = link_patch(builder, captured, [patch], output, slide=SLIDE, keep_state=True)
    assert (f"{mark}area" in linked.compared) == (tables == (PLAIN, PLAIN))
