"""Names that linkers define: a patch means the host's tables and bounds by them, and not its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import every_linker, make
from live.test_macho import PATCH_SLIDE, SLIDE
from live.test_meaning import ENTRY, decision, linked_and_run
from live.test_meaning_macho import link
from tools import need_module

from stubgen.build import StubBuilder
from stubgen.errors import SymbolRefusal
from stubgen.resolve.verdicts import Verdict

COMMAND = """
struct command { int value; const char *name; };
#define COMMAND(title, n) \\
  __attribute__((section("commands"), used)) static struct command title = { n, #title }
extern struct command __start_commands[], __stop_commands[] %s;
#define WALK(name) long name(long a) { \\
  long sum = 0; \\
  for (struct command *at = __start_commands; at < __stop_commands; at++) sum += at->value; \\
  return sum; }
"""
HIDDEN = '__attribute__((visibility("hidden")))'

visibilities = pytest.mark.parametrize("visibility", ["", HIDDEN], ids=["default", "hidden"])


@every_linker
@visibilities
@pytest.mark.parametrize("options", ["", "-Wl,--gc-sections,-z,nostart-stop-gc"], ids=["as it is", "gc"])
def test_a_patch_walks_the_hosts_linker_set(tmp_path: Path, linker: str, visibility: str, options: str) -> None:
    """Registries of commands and tests are such sets: the patch has no entry, and saw an empty table or none."""
    head = COMMAND % visibility
    sources = {
        "one.c": f"{head} COMMAND(one, 1); COMMAND(two, 2);",
        "walk.c": f"{head} COMMAND(four, 4); WALK(host_entry)",
        "patch.c": f"{head} WALK(walk) long patch_main(void) {{ return walk(0) + 100; }}",
    }
    program = make(tmp_path, sources, {}, f"one.o walk.o {options}", linker=linker)
    with LiveHost(program.path) as live:
        assert live.tell("call 0") == "call 7"
        assert live.patch(program.link(live).output) == "patch 107"


@every_linker
def test_bounds_that_the_host_never_used_are_those_of_its_section(tmp_path: Path, linker: str) -> None:
    """A linker defines the names for who refers to them: where only the patch does, the host's headers say."""
    head = COMMAND % ""
    sources = {
        "one.c": f"{head} COMMAND(one, 1); COMMAND(two, 2); {ENTRY}",
        "patch.c": f"{head} WALK(walk) long patch_main(void) {{ return walk(0) + 100; }}",
    }
    program = make(tmp_path, sources, {}, "one.o", linker=linker)
    linked_and_run(program, "103")


@every_linker
@visibilities
def test_the_patched_file_may_have_entries_of_the_hosts(tmp_path: Path, linker: str, visibility: str) -> None:
    """The recompiled file has its entries again: its own table has those alone, the host's has all."""
    head = COMMAND % visibility
    sources = {
        "one.c": f"{head} COMMAND(one, 1); COMMAND(two, 2);",
        "walk.c": f"{head} COMMAND(four, 4); COMMAND(eight, 8); WALK(host_entry)",
        "patch.c": "",
    }
    program = make(tmp_path, sources, {}, "one.o walk.o", linker=linker)
    with LiveHost(program.path) as live:
        assert live.tell("call 0") == "call 15"
        (tmp_path / "walk.c").write_text(f"{sources['walk.c']} long patch_main(void) {{ return host_entry(0) + 100; }}")
        compile_walk(tmp_path)
        linked = program.link(live, "walk.o")
        assert live.patch(linked.output) == "patch 115"
    assert "of the host's section commands, not of the patch's" in decision(linked, "__start_commands").reason


def compile_walk(folder: Path, flags: str = "-O1 -fPIC") -> None:
    """Compile ``walk.c`` as the host's was."""
    from tools import need, run

    run([need("aarch64-linux-gnu-gcc"), "-c", *flags.split(), "walk.c"], cwd=folder)


NEW_ENTRIES = {
    "another one": ("COMMAND(four, 4); COMMAND(sixteen, 16);", "sixteen"),
    "another value": ("COMMAND(four, 5);", "four"),
    "without a name": (
        'COMMAND(four, 4); asm(".pushsection commands,\\"aw\\"; .quad 16, 0; .popsection");',
        "bytes without a name",
    ),
    "one that is called like another file's": ("COMMAND(four, 4); COMMAND(one, 1);", "one"),
}


@every_linker
@pytest.mark.parametrize(("entries", "named"), NEW_ENTRIES.values(), ids=list(NEW_ENTRIES))
def test_an_entry_that_the_host_lacks_is_refused(tmp_path: Path, linker: str, entries: str, named: str) -> None:
    """Neither table has all of them: the host's is without the new one, and the patch's without the others."""
    head = COMMAND % ""
    sources = {
        "one.c": f"{head} COMMAND(one, 1);",
        "walk.c": f"{head} COMMAND(four, 4); WALK(host_entry)",
        "patch.c": "",
    }
    program = make(tmp_path, sources, {}, "one.o walk.o", linker=linker)
    (tmp_path / "walk.c").write_text(
        f"{head} {entries} WALK(patch_walk) long patch_main(void) {{ return patch_walk(0); }}"
    )
    compile_walk(tmp_path)
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live, "walk.o")
    message = str(caught.value)
    assert "__start_commands: refused: the patch has an entry of section commands that the host has not" in message
    assert f"({named}" in message


POINTERS = """
struct step { int value; long (*run)(long); const char *name; long *at; long (*there)(const char *); };
long atol(const char *);
extern struct step __start_steps[], __stop_steps[];
static long seen = 5;
static __attribute__((noinline)) long add(long x) { return x + BY; }
long other(long x) { return x * 100; }
long twice(long x) { return x * 2; }
#define STEP(title, ...) \\
  __attribute__((section("steps"), used)) static struct step title = { 1, __VA_ARGS__ }
STEP(one, add, "one", &seen, atol); STEP(two, other, "two", &seen, atol); EXTRA
#define WALK(walker) long walker(long a) { \\
  for (struct step *at = __start_steps; at < __stop_steps; at++) a = at->run(a) + *at->at + at->there(at->name + 3); \\
  return a; }
"""
"""A linker set whose entries point to functions, static and not, to a variable, a string and a library's function."""
EDITED = {
    "a function": ('add, "one"', 'twice, "one"', "one"),
    "a new function": ('add, "one"', 'fresh, "one"', "one"),
    "a string": ('"two"', '"tow"', "two"),
    "a variable": ('"two", &seen', '"two", &more', "two"),
    "a library's function": ('"two", &seen, atol', '"two", &seen, labs_of', "two"),
    "nothing": ("no such text", "", ""),
}


@every_linker
@pytest.mark.parametrize(
    ("pie", "flags"),
    [("", "-O1 -fPIC"), (" -no-pie", "-O1 -fPIC"), ("", "-O0 -fPIC -fdata-sections")],
    ids=["pie", "no pie", "strings that nobody merges"],
)
@pytest.mark.parametrize("case", EDITED)
def test_an_entry_that_points_elsewhere_is_refused(
    tmp_path: Path, linker: str, case: str, pie: str, flags: str
) -> None:
    """The host's entry counts, and has the old pointer: the edit had no effect, without a word."""
    text = POINTERS.replace("EXTRA", "").replace("BY", "1")
    sources = {"walk.c": f"{text} WALK(host_entry)"}
    program = make(tmp_path, sources, {}, f"walk.o -Wl,-u,twice{pie}", linker=linker, flags=flags)
    before, after, named = EDITED[case]
    extra = "long fresh(long x) { return x; } static long more = 7; long labs_of(const char *x) { return *x; }"
    head, tail = POINTERS.replace("BY", "2").replace("EXTRA", "").replace(before, after).split("#define STEP")
    (tmp_path / "walk.c").write_text(
        f"{head} {extra}\n#define STEP{tail} WALK(walk) long patch_main(void) {{ return walk(1) + more; }}"
    )
    compile_walk(tmp_path, flags)
    with LiveHost(program.path) as live:
        if named:
            with pytest.raises(SymbolRefusal, match=rf"the host has not, or has otherwise \({named} in "):
                program.link(live, "walk.o", keep_state=True)
        else:
            assert live.tell("call 1") == live.tell("call 1")
            program.link(live, "walk.o", keep_state=True)


def test_a_set_of_the_patch_alone_is_its_own(tmp_path: Path) -> None:
    """A new registry: the host has no section of that name, and the patch's linker bounds the patch's."""
    head = COMMAND % ""
    patch = f"{head} COMMAND(one, 1); COMMAND(two, 2); WALK(walk) long patch_main(void) {{ return walk(0); }}"
    linked = linked_and_run(make(tmp_path, {"b.c": ENTRY, "patch.c": patch}, {}, "b.o"), "3")
    assert decision(linked, "__start_commands").verdict is Verdict.LINKER


def test_without_bound_copies_entries_of_the_patchs_own_are_refused(tmp_path: Path) -> None:
    """``build`` alone: the linker would bound the patch's own section."""
    head = COMMAND % ""
    sources = {"b.c": f"{head} COMMAND(one, 1); WALK(host_entry)", "patch.c": f"{head} COMMAND(one, 1); WALK(walk)"}
    program = make(tmp_path, sources, {}, "b.o")
    with pytest.raises(SymbolRefusal, match="without bound copies the linker decides: link, --bound-dir"):
        StubBuilder(program.path).build([tmp_path / "patch.o"], slide=0)


BOUNDS = {
    "_end": "char *host_place(void) { extern char _end[]; return _end; }",
    "etext": "char *host_place(void) { extern char etext[]; return etext; }",
    "__bss_start": "char *host_place(void) { extern char __bss_start[]; return __bss_start; }",
    "__init_array_start": "char *host_place(void) { extern char __init_array_start[]; return __init_array_start; }",
    "__ehdr_start": f"char *host_place(void) {{ extern char __ehdr_start[] {HIDDEN}; return __ehdr_start; }}",
}


@every_linker
@pytest.mark.parametrize("name", BOUNDS)
def test_the_bounds_of_the_image_are_the_hosts(tmp_path: Path, linker: str, name: str) -> None:
    """A profiler's or an allocator's code asks where the program ends: the patch's own end is none of its business."""
    host = BOUNDS[name]
    sources = {
        "b.c": f"{host} {ENTRY}",
        "patch.c": f"{host.replace('host_place', 'place')} char *host_place(void);"
        "long patch_main(void) { return place() == host_place(); }",
    }
    linked_and_run(make(tmp_path, sources, {}, "b.o", linker=linker), "1")


@every_linker
def test_variables_and_functions_that_are_called_like_bounds_are_the_programs(tmp_path: Path, linker: str) -> None:
    """__start_time of four bytes is a variable, and so are ``end`` and ``edata`` where they have a size."""
    sources = {
        "b.c": f"int __start_time = 5; int end = 70; int __stop_it(int x) {{ return x + 200; }} "
        f"int etext(int x) {{ return x + 3000; }} {ENTRY}",
        "patch.c": "extern int __start_time, end; int __stop_it(int), etext(int);"
        "long patch_main(void) { return __start_time + end + __stop_it(1000) + etext(4); }",
    }
    linked_and_run(make(tmp_path, sources, {}, "b.o", linker=linker), "4279")


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld"])
def test_an_absolute_symbol_is_what_the_hosts_code_reads(tmp_path: Path, linker: str) -> None:
    """--defsym names a place behind the image, or a number: GNU ld and gold slide both, lld neither of two numbers."""
    names = "extern char place[], number[];"
    sources = {
        "b.c": f"{names} char *host_place(void) {{ return place; }} char *host_number(void) {{ return number; }}"
        + ENTRY,
        "patch.c": f"{names} char *host_place(void); char *host_number(void);"
        "long patch_main(void) { return (place == host_place()) + 2 * (number == host_number()); }",
    }
    link = "b.o -Wl,--defsym=place=_end+16,--defsym=number=0x1234"
    linked_and_run(make(tmp_path, sources, {}, f"{link} -fuse-ld={linker}"), "3")


WALK = """
extern long first[] __asm__("section$start$__DATA$commands");
extern long last[] __asm__("section$end$__DATA$commands");
extern char text[] __asm__("segment$start$__TEXT");
extern struct header { unsigned magic; } _mh_execute_header;
long %(name)s(void) { long sum = 0; for (long *at = first; at < last; at++) sum += *at; return sum; }
char *%(name)s_text(void) { return text; }
unsigned %(name)s_magic(void) { return _mh_execute_header.magic; }
"""
ENTRIES = '__attribute__((section("__DATA,commands"), used)) static long entries[] = { 1, 2, 4 };'


@pytest.mark.parametrize("tools", ["lld", "zig"])
def test_a_macho_patch_walks_the_hosts_section(tmp_path: Path, tools: str) -> None:
    """``section$start$`` of a section that the patch lacks is an empty table, or another image's."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    source = f"{ENTRIES} {WALK % {'name': 'walk'}} int main(void) {{ return walk() + *walk_text() + walk_magic(); }}"
    link(tmp_path, tools, source, WALK % {"name": "patched"}, [])
    emulator = Emulator()
    host = emulator.load(tmp_path / "host", slide=SLIDE)
    patch = emulator.load(tmp_path / "patch.dylib", slide=PATCH_SLIDE)
    assert emulator.call(host.address("walk")).result == emulator.call(patch.address("patched")).result == 7
    assert emulator.call(patch.address("patched_text")).result == emulator.call(host.address("walk_text")).result
    assert emulator.call(patch.address("patched_magic")).result == 0xFEEDFACF


def test_a_macho_patch_with_entries_of_its_own_is_refused(tmp_path: Path) -> None:
    """Its symbols have no sizes, so nobody can tell whether the host has these entries."""
    source = f"{ENTRIES} {WALK % {'name': 'walk'}} int main(void) {{ return walk(); }}"
    with pytest.raises(SymbolRefusal, match="the patch has an entry of section __DATA,commands"):
        link(tmp_path, "lld", source, ENTRIES + WALK % {"name": "patched"}, [])
