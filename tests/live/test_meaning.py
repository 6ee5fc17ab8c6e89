"""Which of several definitions of one name a patch means: the host's, a library's, an archive's, its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import SECTIONS, Program, borrowed, every_linker, make, names_in
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.errors import SymbolRefusal
from stubgen.link import Linked
from stubgen.resolve.verdicts import Decision, Verdict

PLAIN = "-O1 -fPIC -fno-builtin -w"
ENTRY = "long host_entry(long a) { return a; }"


def decision(linked: Linked, name: str) -> Decision:
    """What became of *name*."""
    return next(each for each in linked.built.resolution.decisions() if each.name == name)


def linked_and_run(program: Program, answer: str, **options: object) -> Linked:
    """The patch of a host that goes on unchanged; the test fails unless it answers *answer*."""
    with LiveHost(program.path, libraries=[program.folder]) as live:
        assert live.tell("call 3") == "call 3"
        linked = program.link(live, **options)
        assert live.patch(linked.output) == f"patch {answer}"
        assert live.tell("call 3") == "call 3"
    return linked


LIBRARYS = {
    "a function of -lm": (
        f"__attribute__((used)) static int cbrt(int x) {{ return -1; }} {ENTRY}",
        "double cbrt(double); long patch_main(void) { volatile double d = 27; return (long)(cbrt(d) + 0.5); }",
        "-lm",
        "3",
        "cbrt",
    ),
    "a function of the C library, which the driver links by itself": (
        f"__attribute__((used)) static int toupper(int x) {{ return -1; }} {ENTRY}",
        "int toupper(int); long patch_main(void) { return toupper('a'); }",
        "",
        "65",
        "toupper",
    ),
    "a variable of the C library": (
        f"__attribute__((used)) static volatile int optind = 7; {ENTRY}",
        "extern int optind; long patch_main(void) { return optind; }",
        "",
        "1",
        "optind",
    ),
    "a function of a library by path, without versions": (
        f"__attribute__((used)) static int area(int x) {{ return -1; }} {ENTRY}",
        "int area(int); long patch_main(void) { return area(5); }",
        "libown.so",
        "25",
        "area",
    ),
    "a weak reference": (
        f"__attribute__((used)) static int area(int x) {{ return -1; }} {ENTRY}",
        "__attribute__((weak)) int area(int); long patch_main(void) { return area(5); }",
        "-L. -lown",
        "25",
        "area",
    ),
}
"""What -> (the host's file, the patch, the link's library, what the patch answers, the name)."""


@every_linker
@pytest.mark.parametrize(("host", "patch", "library", "answer", "name"), LIBRARYS.values(), ids=list(LIBRARYS))
def test_an_unrelated_static_of_the_host_does_not_answer_for_a_library(
    tmp_path: Path, linker: str, host: str, patch: str, library: str, answer: str, name: str
) -> None:
    """The patch calls a library's function; a static one of another file has its name, and got the call."""
    if "own" in library:
        (tmp_path / "own.c").write_text("int area(int x) { return x * x; }")
        run([need("aarch64-linux-gnu-gcc"), "-shared", "-fPIC", "own.c", "-o", "libown.so"], cwd=tmp_path)
    link = f"b.o -Wl,--no-as-needed {library}"
    program = make(tmp_path, {"b.c": host, "patch.c": patch}, {}, link, linker=linker, flags=PLAIN)
    found = decision(linked_and_run(program, answer), name)
    assert found.verdict is Verdict.LOADER
    assert "supplies it; the host's own, at 0x" in found.reason


def test_a_cxx_drivers_own_libraries_are_asked_too(tmp_path: Path) -> None:
    """g++ links libm by itself: no -lm in the command says so."""
    sources = {
        "b.cc": f'extern "C" {{ __attribute__((used)) static int cbrt(int x) {{ return -1; }} {ENTRY} }}',
        "patch.c": LIBRARYS["a function of -lm"][1],
    }
    program = make(tmp_path, sources, {}, "b.o", flags=PLAIN)
    with LiveHost(program.path) as live:
        assert live.patch(program.link(live).output) == "patch 3"


OWN = {
    "as it is": ("", "-lm"),
    "hidden": ('__attribute__((visibility("hidden"))) ', "-lm"),
    "behind a version script": ("", "-lm -Wl,--version-script=own.map"),
    "exported": ("", "-rdynamic -lm"),
}


@every_linker
@pytest.mark.parametrize(("attribute", "options"), OWN.values(), ids=list(OWN))
def test_the_hosts_own_function_is_meant_before_a_librarys_of_that_name(
    tmp_path: Path, linker: str, attribute: str, options: str
) -> None:
    """Hosts define functions that libm has too; a link makes them local, and local symbols look like static ones."""
    sources = {
        "own.c": f"{attribute}int cbrt(int x) {{ return x + 1000; }}",
        "b.c": "int cbrt(int); long host_entry(long a) { return cbrt(a) - 1000; }",
        "patch.c": "int cbrt(int); long patch_main(void) { return cbrt(5); }",
        "own.map": "{ local: *; };",
    }
    program = make(tmp_path, sources, {}, f"b.o own.o {options}", linker=linker, flags=PLAIN)
    linked = linked_and_run(program, "1005")
    assert decision(linked, "cbrt").verdict is Verdict.TRAMPOLINE
    assert not borrowed(linked)


def test_what_only_the_hosts_lost_objects_could_tell_is_refused(tmp_path: Path) -> None:
    """In a program mold makes globals local: without its objects a static function and its own look alike."""
    host, patch, library, _, _ = LIBRARYS["a function of -lm"]
    program = make(tmp_path, {"b.c": host, "patch.c": patch}, {}, f"b.o {library}", linker="mold", flags=PLAIN)
    (tmp_path / "b.o").unlink()
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    message = str(caught.value)
    assert "libm.so.6 exports it, and the host has a local one, which may be a static one of another file" in message
    assert "cbrt at 0x" in message
    assert "--archive" in message


@pytest.mark.parametrize("linker", ["gnu", "lld"])
def test_a_symbol_table_that_tells_needs_no_objects(tmp_path: Path, linker: str) -> None:
    """GNU ld and lld keep a program's globals global: what is local there is static, objects or not."""
    host, patch, library, answer, _ = LIBRARYS["a function of -lm"]
    program = make(tmp_path, {"b.c": host, "patch.c": patch}, {}, f"b.o {library}", linker=linker, flags=PLAIN)
    (tmp_path / "b.o").unlink()
    linked_and_run(program, answer)


MEMBER = {
    "b.c": f"static int state = 7; __attribute__((used)) static int pick(int x) {{ return state += x; }} {ENTRY}",
    "pick.c": "static int calls; int pick(int x) { return x * 100 + ++calls; }",
    "patch.c": "int pick(int); long patch_main(void) { return pick(1) + pick(1); }",
}


@every_linker
def test_an_archives_function_is_meant_before_an_unrelated_static(tmp_path: Path, linker: str) -> None:
    """The member that has the name was not linked: its function is the one that other files mean."""
    program = make(tmp_path, MEMBER, {"libpick.a": "pick.o"}, "b.o -L. -lpick", linker=linker)
    linked = linked_and_run(program, "203")
    assert borrowed(linked) == {"libpick.a(pick.o)": ("pick",)}


@every_linker
def test_a_function_that_was_linked_from_an_archive_stays_the_hosts(tmp_path: Path, linker: str) -> None:
    """In a program mold makes it local, beside a static one or not: taken again, its state would start afresh."""
    sources = {**MEMBER, "c.c": "int pick(int); long host_entry(long a) { return pick(a) - a * 99 - 1; }"}
    sources["b.c"] = "int nothing;"
    program = make(tmp_path, sources, {"libpick.a": "pick.o"}, "b.o c.o -L. -lpick", linker=linker)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = program.link(live)
        assert live.patch(linked.output) == "patch 205"
    assert not borrowed(linked)


COLLECTED = {
    "foo.c": """
static int count;
int foo_add(int by) { count += by; return count; }
int foo_get(void) { return count; }
""",
    "entry.c": "int foo_add(int); long host_entry(long by) { return foo_add(by); }",
    "patch.c": "int foo_add(int), foo_get(void); long patch_main(void) { foo_add(100); return foo_get(); }",
}
"""The host's own object, of which --gc-sections takes away a function that the patch calls."""


@every_linker
def test_a_function_that_was_collected_from_the_hosts_own_object_is_taken_from_it(tmp_path: Path, linker: str) -> None:
    """The edit begins to use a function that nobody called: it is in the object, and its state is the host's."""
    link = "entry.o foo.o -Wl,--gc-sections"
    program = make(tmp_path, COLLECTED, {}, link, linker=linker, flags=SECTIONS)
    assert "foo_get" not in names_in(program.path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = program.link(live)
        assert borrowed(linked) == {"foo.o": ("foo_get",)}
        assert live.patch(linked.output) == "patch 103"
        assert live.tell("call 3") == "call 106"
    assert "count" not in names_in(linked.output)


@every_linker
def test_a_collected_function_is_meant_before_a_static_one_of_another_file(tmp_path: Path, linker: str) -> None:
    """Two faults in one: the function is gone from the host, and a static one of its name is there."""
    sources = {**COLLECTED, "b.c": "__attribute__((used)) static int foo_get(void) { return -1; }"}
    link = "entry.o b.o foo.o -Wl,--gc-sections"
    program = make(tmp_path, sources, {}, link, linker=linker, flags="-O1 -fPIC -ffunction-sections -fno-ipa-icf")
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        assert live.patch(program.link(live).output) == "patch 103"


def test_an_object_that_was_built_anew_gives_nothing(tmp_path: Path) -> None:
    """Its code counts on what the host does not have: refused with what to do, before the link."""
    program = make(tmp_path, COLLECTED, {}, "entry.o foo.o -Wl,--gc-sections", flags=SECTIONS)
    (tmp_path / "foo.c").write_text(COLLECTED["foo.c"].replace("count += by;", "count += by * 2;"))
    run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "foo.c"], cwd=tmp_path)
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "foo.o: foo_add: the host's foo_add is another one: foo.o was built anew" in str(caught.value)


def test_the_patchs_own_object_under_its_old_path_is_not_asked(tmp_path: Path) -> None:
    """Builds write the new object over the old one: it is the patch, and no witness of what the host has."""
    sources = {**COLLECTED, "entry.c": COLLECTED["entry.c"] + " long patch_main(void) { return foo_add(1); }"}
    program = make(tmp_path, sources, {}, "entry.o foo.o -Wl,--gc-sections", flags=SECTIONS)
    (tmp_path / "entry.c").write_text("int foo_add(int), foo_get(void); long patch_main(void) { return foo_get(); }")
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "entry.c"], cwd=tmp_path)
        assert live.patch(program.link(live, "entry.o").output) == "patch 3"


@every_linker
def test_a_static_that_nobody_else_has_is_still_the_hosts_and_the_report_says_so(tmp_path: Path, linker: str) -> None:
    """Static functions are the host's to call; that a C name was answered by one must be seen in the report."""
    sources = {
        "b.c": f"__attribute__((used)) static int only_here(int x) {{ return x * 7; }} {ENTRY}",
        "patch.c": "int only_here(int); long patch_main(void) { return only_here(6); }",
    }
    linked = linked_and_run(make(tmp_path, sources, {}, "b.o", linker=linker), "42")
    found = decision(linked, "only_here")
    assert found.verdict is Verdict.TRAMPOLINE
    assert ("a local symbol that is static in" in found.reason) is (
        linker != "mold"
    )  # there nearly every name is local


BOARD = """
struct limits { int low, high; };
int rate(void) { return 500; }
int level = 5;
struct limits limits = { 10, 20 };
int (*const chosen)(void) = rate;
"""
PRICE = """
struct limits { int low, high; };
%(weak)s int rate(void) { return 1; }
%(weak)s int level = 1;
%(weak)s struct limits limits = { 1, 2 };
extern int (*const chosen)(void);
int (*const table[])(void) = { rate };
int *const levels[] = { &level };
int (*taken(void))(void) { return rate; }
long price(long n) {
  return n * (rate() + table[0]()) + level * 100000L + limits.high * 1000000L + *levels[0] * 100000000L
       + (taken() == chosen) * 1000000000L + (table[0] == chosen) * 10000000000L;
}
"""
PRICED = 10 * 1000 + 500000 + 20000000 + 500000000 + 1000000000 + 10000000000
"""What price(10) is with the board's definitions; the same name means the same address everywhere."""

WEAK = {"default": "__attribute__((weak))", "hidden": '__attribute__((weak, visibility("hidden")))'}
COMPILERS = {"gcc": "aarch64-linux-gnu-gcc", "clang": "clang-19 --target=aarch64-linux-gnu"}


def compile_patch(program: Program, source: str, *options: str, compiler: str = "gcc", ending: str = "c") -> None:
    """The patch's object, compiled anew with *options*."""
    (program.folder / f"patch.{ending}").write_text(source)
    tool, *target = COMPILERS[compiler].split()
    command = [str(need(tool)), *target, "-c", *options, f"patch.{ending}", "-o", "patch.o"]
    run(command, cwd=program.folder)


@every_linker
@pytest.mark.parametrize("weak", WEAK.values(), ids=list(WEAK))
@pytest.mark.parametrize("options", ["gcc -O0 -fPIC", "gcc -O2 -fPIC", "gcc -O2 -fPIE", "clang -O0 -fPIC", "clang -O2"])
def test_the_hosts_definition_is_meant_before_a_weak_default_of_the_patch(
    tmp_path: Path, linker: str, weak: str, options: str
) -> None:
    """A board's own rate won over the default in the host; the patched file would go back to the default."""
    compiler, *flags = options.split()
    sources = {
        "board.c": BOARD.replace("int rate", '__attribute__((visibility("hidden"))) int rate')
        if "hid" in weak
        else BOARD,
        "price.c": PRICE % {"weak": weak},
        "entry.c": "long price(long); long host_entry(long a) { return price(a); }",
        "patch.c": "",
    }
    program = make(tmp_path, sources, {}, "board.o price.o entry.o", linker=linker)
    compile_patch(
        program, sources["price.c"] + "long patch_main(void) { return price(10) + 7; }", *flags, compiler=compiler
    )
    with LiveHost(program.path) as live:
        assert live.tell("call 10") == f"call {PRICED}"
        linked = program.link(live)
        assert live.patch(linked.output) == f"patch {PRICED + 7}"
        assert live.tell("call 10") == f"call {PRICED}"
    for name in ("rate", "level", "limits"):
        assert "a weak default, which gives way to the host's definition" in decision(linked, name).reason
    assert "rate" not in names_in(linked.output) or decision(linked, "rate").verdict is Verdict.TRAMPOLINE


VTABLE = """
struct Base { virtual long value(); virtual ~Base(); };
%s long Base::value() { return 1; }
Base::~Base() {}
extern "C" long ask(Base *base) { return base->value(); }
"""


@every_linker
def test_a_vtable_of_the_patch_has_the_hosts_function_and_not_the_default(tmp_path: Path, linker: str) -> None:
    """A virtual function with a weak default: objects that the patch makes would answer otherwise than the host's."""
    board = "struct Base { virtual long value(); virtual ~Base(); }; long Base::value() { return 500; }"
    entry = 'extern "C" long host_entry(long a) { return a; }'
    sources = {"board.cc": board, "base.cc": VTABLE % WEAK["default"], "entry.cc": entry, "patch.cc": ""}
    program = make(tmp_path, sources, {}, "board.o base.o entry.o", linker=linker)
    (tmp_path / "patch.cc").write_text(
        VTABLE % WEAK["default"]
        + 'extern "C" long patch_main() { volatile Base base; return ask(const_cast<Base *>(&base)) + 1; }'
    )
    run([need("aarch64-linux-gnu-g++"), "-c", "-O1", "-fPIC", "-fno-devirtualize", "patch.cc"], cwd=tmp_path)
    linked_and_run(program, "501")


@every_linker
def test_a_weak_default_that_the_host_has_as_well_is_the_patchs_to_change(tmp_path: Path, linker: str) -> None:
    """No other file defines it: the edited default is what the patch is about."""
    sources = {
        "price.c": f"{WEAK['default']} int rate(void) {{ return 1; }} long price(long n) {{ return n * rate(); }}",
        "entry.c": "long price(long); long host_entry(long a) { return price(a); }",
        "patch.c": f"{WEAK['default']} int rate(void) {{ return 3; }} long patch_main(void) {{ return 10 * rate(); }}",
    }
    for options in ("", "-Wl,--version-script=none.map"):
        program = make(
            tmp_path, {**sources, "none.map": "{ local: *; };"}, {}, f"price.o entry.o {options}", linker=linker
        )
        linked = linked_and_run(program, "30")
        assert not linked.built.resolution.needed.gave_way


@every_linker
def test_an_inline_function_of_a_header_stays_the_patchs(tmp_path: Path, linker: str) -> None:
    """C++ emits inline functions weakly on both sides: the one that was edited must not give way to the old one."""
    entry = 'extern "C" long host_entry(long a) { return rate() ? a : 0; }'
    sources = {
        "entry.cc": f"__attribute__((noinline)) inline int rate() {{ return 1; }} {entry}",
        "patch.cc": "__attribute__((noinline)) inline int rate() { return 3; } "
        'extern "C" long patch_main() { return 10 * rate(); }',
    }
    linked_and_run(make(tmp_path, sources, {}, "entry.o", linker=linker), "30")


@every_linker
def test_a_weak_default_beside_an_unrelated_static_stays_the_patchs(tmp_path: Path, linker: str) -> None:
    """Another file's static function of that name never won over anything."""
    sources = {
        "b.c": f"__attribute__((used)) static int rate(void) {{ return 500; }} {ENTRY}",
        "patch.c": f"{WEAK['default']} int rate(void) {{ return 3; }} long patch_main(void) {{ return 10 * rate(); }}",
    }
    linked_and_run(make(tmp_path, sources, {}, "b.o", linker=linker), "30")


@every_linker
@pytest.mark.parametrize("options", ["", "-Wl,--version-script=none.map"], ids=["as it is", "behind a version script"])
def test_a_weak_default_gives_way_where_the_objects_are_gone(tmp_path: Path, linker: str, options: str) -> None:
    """What the symbol table still says is enough, or the patch is refused with what to do."""
    sources = {
        "board.c": "int rate(void) { return 500; }",
        "entry.c": f"{WEAK['default']} int rate(void) {{ return 1; }} "
        "long host_entry(long a) { return rate() / 500 * a; }",
        "patch.c": f"{WEAK['default']} int rate(void) {{ return 1; }} long patch_main(void) {{ return 10 * rate(); }}",
        "none.map": "{ local: *; };",
    }
    program = make(tmp_path, sources, {}, f"board.o entry.o {options}", linker=linker)
    (tmp_path / "board.o").unlink()
    (tmp_path / "entry.o").unlink()
    if linker != "mold" and not options:
        linked_and_run(program, "5000")
        return
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "rate: it is weak in the patch, and the host has a local symbol of that name" in str(caught.value)


def test_without_bound_copies_a_weak_default_that_loses_is_refused(tmp_path: Path) -> None:
    """``build`` alone hands the linker the object as it is, whose default would win over the weak stub."""
    sources = {
        "board.c": f"int rate(void) {{ return 500; }} {ENTRY}",
        "patch.c": f"{WEAK['default']} int rate(void) {{ return 1; }} long patch_main(void) {{ return 10 * rate(); }}",
    }
    program = make(tmp_path, sources, {}, "board.o")
    with pytest.raises(SymbolRefusal) as caught:
        StubBuilder(program.path).build([tmp_path / "patch.o"], slide=0)
    assert "rate: refused: the patch's own is a weak default" in str(caught.value)
    assert "bound copies (link, --bound-dir) leave it out" in str(caught.value)


def test_a_default_that_is_reached_by_its_place_is_refused(tmp_path: Path) -> None:
    """Code written by hand may count from the section: it would go on reaching the default, unseen."""
    sources = {
        "board.c": f"int rate(void) {{ return 500; }} {ENTRY}",
        "patch.c": r"""
asm(".text\n .weak rate\n .type rate,%function\n rate: mov w0, #1\n ret\n .size rate, .-rate\n"
    ".data\n .global table\n table: .quad .text\n .text");
extern long (*table)(void);
long patch_main(void) { return table(); }
""",
    }
    program = make(tmp_path, sources, {}, "board.o")
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "reaches the default by its place" in str(caught.value)
