"""Which of several definitions of one name a patch means: the host's, a library's, an archive's, its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import SECTIONS, Program, borrowed, every_linker, make, names_in
from tools import need, run

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
