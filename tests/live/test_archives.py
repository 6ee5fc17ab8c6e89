"""What the host lacks comes from its archives, and nothing that the host has is there twice: in living processes."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from elftools.elf.elffile import ELFFile
from live.live import LiveHost, libraries_of, stubgen
from tools import PROGRAMS, linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.errors import PatchRefusal, SymbolRefusal
from stubgen.link import Linked, link_patch
from stubgen.resolve.verdicts import SlotKind

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}

every_linker = pytest.mark.parametrize("linker", LINKERS)


class Program(NamedTuple):
    """A linked host, the record of its link, and the folder with the objects."""

    folder: Path
    captured: Capture

    @property
    def path(self) -> Path:
        """The host's file."""
        return self.folder / self.captured.output

    def link(self, live: LiveHost, patch: str = "patch.o", **options: object) -> Linked:
        """The patch, linked for *live*."""
        builder = StubBuilder(self.path)
        exports = ["patch_main"]
        output = self.folder / "patch.so"
        return link_patch(
            builder,
            self.captured,
            [self.folder / name for name in patch.split()],
            output,
            live.anchor,
            exports=exports,
            **options,  # type: ignore[arg-type]  # a test's own
        )

    def answers(self, live: LiveHost) -> str:
        """What the patch answers, once it is linked and loaded."""
        return live.patch(self.link(live).output)


def make(
    folder: Path,
    sources: Mapping[str, str],
    archives: Mapping[str, str],
    link: str,
    *,
    linker: str = "gnu",
    flags: str = "-O1 -fPIC",
    thin: bool = False,
) -> Program:
    """Compile *sources* (name -> text), make *archives* (name -> members) and link the host with *link*'s arguments."""
    gcc, gxx, ar = need("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "aarch64-linux-gnu-ar")
    (folder / "answers.c").write_text((PROGRAMS / "answers.c").read_text())
    for name, text in sources.items():
        (folder / name).write_text(text)
    for name in ["answers.c", *(name for name in sources if not name.endswith(".map"))]:
        driver = gxx if name.endswith(".cc") else gcc
        run([driver, "-c", *flags.split(), name], cwd=folder)
    for name, members in archives.items():
        run([ar, "rcsT" if thin else "rcs", name, *members.split()], cwd=folder)
    driver = gxx if any(name.endswith(".cc") for name in sources) else gcc
    words = [f"-fuse-ld={LINKERS[linker]}", f"-B{linker_folder(folder / 'linkers')}", *shlex.split(link)]
    command = [driver, "-pie", "answers.o", *words, "-ldl", "-o", "host"]
    run(command, cwd=folder)
    return Program(folder, Capture(command, folder, {}, output="host"))


def names_in(path: Path) -> set[str]:
    """The defined names of *path*, by pyelftools."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name}


def borrowed(linked: Linked) -> dict[str, tuple[str, ...]]:
    """The members that became part of the patch -> the names for which."""
    return {member.name: member.wanted for member in linked.built.resolution.needed.borrowed}


COUNTER = {
    "foo.c": """
static int count;
int foo_add(int by) { count += by; return count; }
int foo_get(void) { return count; }
""",
    "entry.c": "int foo_add(int); long host_entry(long by) { return foo_add(by); }",
    "patch.c": "int foo_add(int), foo_get(void); long patch_main(void) { foo_add(100); return foo_get(); }",
}
"""A library with state; the host uses one function of it, and the patch another one that is gone from the host."""

SECTIONS = "-O1 -fPIC -ffunction-sections"


@every_linker
@pytest.mark.parametrize("thin", [False, True], ids=["archive", "thin"])
def test_a_librarys_counter_goes_on_when_the_patch_calls_more_of_it(tmp_path: Path, linker: str, *, thin: bool) -> None:
    """The linker would take the member again, with a fresh counter, and its functions would win over the stubs."""
    link = "entry.o -L. -lfoo -Wl,--gc-sections"
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS, thin=thin)
    assert "foo_get" not in names_in(program.path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = program.link(live)
        assert borrowed(linked) == {"libfoo.a(foo.o)": ("foo_get",)}
        assert linked.built.resolution.needed.borrowed[0].stepped_back == ("count",)
        assert live.patch(linked.output) == "patch 103"
        assert live.tell("call 3") == "call 106"
    assert not names_in(linked.output) & {"count"}


@every_linker
def test_a_library_linked_as_a_whole_does_not_register_itself_twice(tmp_path: Path, linker: str) -> None:
    """DPDK, plug-in registries, rustc's +whole-archive: constructors of the whole library would run again."""
    sources = {
        "foo.c": """
int counter;
__attribute__((constructor)) static void enlist(void) { counter += 100; }
int foo_add(int by) { counter += by; return counter; }
""",
        "entry.c": COUNTER["entry.c"],
        "patch.c": "int foo_add(int); long patch_main(void) { return foo_add(10); }",
    }
    link = "entry.o -L. -Wl,--whole-archive -lfoo -Wl,--no-whole-archive"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, link, linker=linker)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 103"
        assert program.answers(live) == "patch 113"
        assert live.tell("call 3") == "call 116"


@every_linker
def test_what_the_hosts_link_had_to_contain_is_not_linked_again(tmp_path: Path, linker: str) -> None:
    """``-u NAME`` took an archive's member into the patch, and a library's start-up state with it."""
    sources = {
        "entry.c": "int glue_main(int a) { return a; } long host_entry(long a) { return a + 1; }",
        "glue.c": "static int state; int glue_main(int); int on_create(void) { return glue_main(state++); }",
        "patch.c": "long host_entry(long); long patch_main(void) { return host_entry(1) + 1; }",
    }
    link = "-u on_create entry.o -L. -lglue"
    program = make(tmp_path, sources, {"libglue.a": "glue.o"}, link, linker=linker)
    with LiveHost(program.path) as live:
        linked = program.link(live)
        assert live.patch(linked.output) == "patch 3"
    assert not {"on_create", "state"} & names_in(linked.output)


@every_linker
def test_exceptions_in_flight_are_seen_with_a_static_cxx_runtime(tmp_path: Path, linker: str) -> None:
    """-static-libstdc++: the patch's own copy of the runtime knew nothing of the exception that the host caught."""
    sources = {
        "entry.cc": """
#include <stdexcept>
extern "C" long host_entry(long a) { try { throw std::runtime_error("x"); } catch (std::exception &) { return a; } }
extern "C" long in_catch(long (*f)(void)) { try { throw std::runtime_error("boom"); } catch (...) { return f(); } }
""",
        "patch.cc": """
#include <exception>
#include <stdexcept>
extern "C" long in_catch(long (*f)(void));
static long rethrow() {
  try { std::rethrow_exception(std::current_exception()); }
  catch (std::runtime_error &error) { return error.what()[0]; }
}
extern "C" long patch_main() { return in_catch(rethrow); }
""",
    }
    link = "-static-libstdc++ -static-libgcc entry.o"
    program = make(tmp_path, sources, {}, link, linker=linker)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = program.link(live)
        assert live.patch(linked.output) == f"patch {ord('b')}"
        assert live.tell("call 3") == "call 3"
    assert not {"libstdc++.so.6", "libgcc_s.so.1"} & set(libraries_of(linked.output)), "a second runtime is loaded"


def test_a_new_member_brings_along_what_it_needs_and_the_state_is_the_hosts(tmp_path: Path) -> None:
    """The patch starts to use a member that the host never linked: what that one calls must be the host's."""
    sources = {
        "entry.c": "int next(void); long host_entry(long a) { return a + next(); }",
        "state.c": "static int counter; int next(void) { return ++counter; }",
        "twice.c": "int next(void), skip(int); int twice(void) { next(); return skip(next()); }",
        "skip.c": "static int skipped; int skip(int a) { return a + 10 * ++skipped; }",
        "patch.c": "int twice(void); long patch_main(void) { return twice() + twice(); }",
    }
    program = make(tmp_path, sources, {"libfoo.a": "state.o twice.o", "libbar.a": "skip.o"}, "entry.o -L. -lfoo -lbar")
    with LiveHost(program.path) as live:
        assert live.tell("call 0") == "call 1"
        linked = program.link(live)
        assert set(borrowed(linked)) == {"libfoo.a(twice.o)", "libbar.a(skip.o)"}
        assert live.patch(linked.output) == f"patch {3 + 10 + 5 + 20}"
        assert live.tell("call 0") == "call 6"


def test_two_archives_that_need_each_other(tmp_path: Path) -> None:
    """A group is searched until nothing is left; a single pass would leave the second half undefined."""
    sources = {
        "entry.c": "int one(int); long host_entry(long a) { return one(a); }",
        "one.c": "static int calls; int one(int a) { return a + ++calls; }",
        "ping.c": "int pong(int); int ping(int a) { return a ? pong(a - 1) + 1 : 0; }",
        "pong.c": "int ping(int), one(int); int pong(int a) { return a ? ping(a - 1) + 10 : one(1000); }",
        "patch.c": "int ping(int); long patch_main(void) { return ping(5); }",
    }
    link = "entry.o -L. -Wl,--start-group -lping -lpong -Wl,--end-group"
    program = make(tmp_path, sources, {"libping.a": "one.o ping.o", "libpong.a": "pong.o"}, link)
    with LiveHost(program.path) as live:
        assert live.tell("call 0") == "call 1"
        linked = program.link(live)
        assert set(borrowed(linked)) == {"libping.a(ping.o)", "libpong.a(pong.o)"}
        assert live.patch(linked.output) == f"patch {3 * 1 + 2 * 10 + 1000 + 2}"


def test_an_archive_that_the_host_was_not_linked_with_is_named(tmp_path: Path) -> None:
    """--archive: a library that the edit starts to use, before the next full build."""
    program = make(
        tmp_path, {**COUNTER, "entry.c": "long host_entry(long a) { return a; }"}, {"foo.a": "foo.o"}, "entry.o"
    )
    with LiveHost(program.path) as live:
        linked = program.link(live, archives=[tmp_path / "foo.a"])
        assert borrowed(linked) == {"foo.a(foo.o)": ("foo_add", "foo_get")}
        assert live.patch(linked.output) == "patch 100"


def test_the_linkers_order_decides_which_archive_counts(tmp_path: Path) -> None:
    """Two archives have the name: the one that the full build would take, by -L and by order, or the patch differs."""
    sources = {
        "entry.c": "long host_entry(long a) { return a; }",
        "first.c": "int pick(void) { return 1; }",
        "second.c": "int pick(void) { return 2; }",
        "patch.c": "int pick(void); long patch_main(void) { return pick(); }",
    }
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    archives = {"near/libpick.a": "second.o", "far/libpick.a": "first.o", "far/libother.a": "first.o"}
    program = make(tmp_path, sources, archives, "entry.o -L near -lpick -L far -lother")
    with LiveHost(program.path) as live:
        linked = program.link(live)
        assert [os.path.relpath(item.path, tmp_path) for item in linked.plan.archives] == [
            "near/libpick.a",
            "far/libother.a",
        ]
        assert live.patch(linked.output) == "patch 2"


def test_a_member_of_another_build_is_refused(tmp_path: Path) -> None:
    """The archive was built anew since the host was linked: its offsets are not the host's."""
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo -Wl,--gc-sections", flags=SECTIONS)
    changed = COUNTER["foo.c"].replace("count += by;", "count += by + 1;")
    (tmp_path / "foo.c").write_text(changed.replace("int foo_get(void) {", "int foo_get(void) { foo_add(0);"))
    run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "foo.c"], cwd=tmp_path)
    run([need("aarch64-linux-gnu-ar"), "rcs", "libfoo.a", "foo.o"], cwd=tmp_path)
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "libfoo.a(foo.o): foo_add: the host's foo_add is another one: libfoo.a(foo.o) was built anew" in str(
        caught.value
    )
    assert not (tmp_path / "patch.so").exists()


@pytest.mark.parametrize("linker", ["gnu", "lld"])
def test_a_member_of_which_the_host_has_its_own_is_no_matter_of_relinking(tmp_path: Path, linker: str) -> None:
    """The host's own foo_add took the member's place: to link the host anew, as was advised, changes nothing."""
    sources = {**COUNTER, "own.c": "int own; int foo_add(int by) { return own += 2 * by; }"}
    link = "entry.o own.o -L. -lfoo"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS)
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "libfoo.a(foo.o): foo_add: the host has its own, from own.o, so that its linker could not take" in str(
        caught.value
    )
    assert "relink" not in str(caught.value)


@every_linker
def test_a_counter_that_no_symbol_names_is_found_by_the_hosts_code(tmp_path: Path, linker: str) -> None:
    """Linked with -x, the host has the counter without its name, and its code still reaches it."""
    link = "entry.o -L. -lfoo -Wl,--gc-sections,-x"
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS)
    assert "count" not in names_in(program.path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        assert program.answers(live) == "patch 103"
        assert live.tell("call 3") == "call 106"


def test_state_that_the_hosts_symbols_do_not_name_is_refused(tmp_path: Path) -> None:
    """Linked with -x, nobody can tell whether the host has what its code does not lead to: the copy may be a second."""
    link = "entry.o -L. -lfoo -Wl,--gc-sections,-x"
    foo = COUNTER["foo.c"].replace("int foo_get(void) { return", "static int own; int foo_get(void) { return own++ +")
    program = make(
        tmp_path, {**COUNTER, "foo.c": foo}, {"libfoo.a": "foo.o"}, link, flags=f"{SECTIONS} -fdata-sections"
    )
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "libfoo.a(foo.o): own: the host's symbol table does not name local symbols" in str(caught.value)


UTIL = """
static int count, table[2] = {1, 2};
int %s_add(int by) { return count += by * table[by & 1]; }
int %s_get(void) { return count; }
"""


@every_linker
def test_two_members_of_one_name_with_equal_statics(tmp_path: Path, linker: str) -> None:
    """Both are called util.o, and have a counter alike in name, size and value: the host's own code tells whose."""
    sources = {
        "entry.c": "int a_add(int), b_add(int); long host_entry(long by) { return a_add(by) + 100 * b_add(by + 1); }",
        "patch.c": "int a_get(void), b_get(void); long patch_main(void) { return a_get() + 1000 * b_get(); }",
    }
    gcc, ar = need("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ar")
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "util.c").write_text(UTIL.replace("%s", name))
        run([gcc, "-c", *SECTIONS.split(), "util.c"], cwd=folder)
        run([ar, "rcs", f"../lib{name}.a", "util.o"], cwd=folder)
    link = "entry.o -L. -la -lb -Wl,--gc-sections"
    program = make(tmp_path, sources, {}, link, linker=linker, flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 406"
        assert program.answers(live) == "patch 4006"
        assert live.tell("call 3") == "call 812"


@every_linker
def test_a_counter_beside_an_equal_one_of_assembly(tmp_path: Path, linker: str) -> None:
    """Assembly names no source file: behind a C file its counter seems to be that one's, and is its equal."""
    assembly = ASSEMBLY.replace("foo_", "asm_").replace("count: .word 0", COUNT)
    sources = {
        "foo.c": COUNTER["foo.c"],
        "low.s": assembly,
        "entry.c": "int foo_add(), asm_add(); long host_entry(int x) { return foo_add(x) + 1000 * asm_add(x+1); }",
        "patch.c": "int foo_get(void), asm_get(void); long patch_main(void) { return foo_get() + 1000 * asm_get(); }",
    }
    link = "entry.o -L. -lfoo -Wl,--gc-sections"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o low.o"}, link, linker=linker, flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 4003"
        assert program.answers(live) == "patch 4003"
        assert live.tell("call 3") == "call 8006"


def test_a_counter_of_another_file_of_that_name_is_not_taken(tmp_path: Path) -> None:
    """Two files are called util.c, and only the other one is in the host: its counter is not the member's."""
    sources = {
        "entry.c": "int foo_add(int); int other(void); long host_entry(long a) { return other() + a; }",
        "patch.c": "int foo_get(void); long patch_main(void) { return foo_get(); }",
    }
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a/util.c").write_text("static int count = 7; int other(void) { return count++; }")
    (tmp_path / "b/util.c").write_text("static int count = 7; int foo_get(void) { return count += 100; }")
    gcc = str(need("aarch64-linux-gnu-gcc"))
    for folder in ("a", "b"):
        run([gcc, "-c", *SECTIONS.split(), "util.c"], cwd=tmp_path / folder)
    program = make(tmp_path, sources, {"libb.a": "b/util.o"}, "entry.o a/util.o -L. -lb", flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 0") == "call 7"
        assert program.answers(live) == "patch 107"
        assert live.tell("call 0") == "call 8"


CONSTRUCTED = {
    "foo.c": """
static int count;
__attribute__((constructor)) static void enlist(void) { count += 1000; }
int foo_add(int by) { count += by; return count; }
int foo_get(void) { return count; }
""",
    "entry.c": COUNTER["entry.c"],
    "patch.c": COUNTER["patch.c"],
}


@every_linker
def test_a_constructor_that_the_host_ran_is_not_run_again(tmp_path: Path, linker: str) -> None:
    """A member that the host has in part: its constructor would set up the host's state a second time."""
    link = "entry.o -L. -lfoo -Wl,--gc-sections"
    program = make(tmp_path, CONSTRUCTED, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 1003"
        linked = program.link(live)
        assert live.patch(linked.output) == "patch 1103"
    assert "enlist" not in names_in(linked.output)


def test_check_says_what_to_give_it_for_a_patch_with_borrowed_members(tmp_path: Path) -> None:
    """``check --object patch.o`` cannot know the members that link took: it says where to find them."""
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo -Wl,--gc-sections", flags=SECTIONS)
    with LiveHost(program.path) as live:
        linked = program.link(live, bound_dir=tmp_path / "bound", stub=tmp_path / "stub.o")
    words = ["check", linked.output, "--host", program.path, "--stub", tmp_path / "stub.o"]
    done = stubgen(*words, "--object", tmp_path / "patch.o")
    assert done.returncode == 1
    assert (
        "nothing says where foo_get comes from; where link took it from an archive, give its bound copies"
        in done.stdout
    )
    copies = [word for path in sorted((tmp_path / "bound").iterdir()) for word in ("--object", path)]
    assert stubgen(*words, *copies).returncode == 0


def test_a_constructor_that_nobody_can_tell_about_is_refused(tmp_path: Path) -> None:
    """Without local symbols nobody can tell whether the host ran it: it must not run on a guess."""
    sources = {**CONSTRUCTED, "foo.c": CONSTRUCTED["foo.c"].replace("static int", "int")}
    link = "entry.o -L. -lfoo -Wl,--gc-sections,-x"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, link, flags=SECTIONS)
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "libfoo.a(foo.o): enlist: it is run when the member is loaded" in str(caught.value)


def test_a_new_members_constructor_runs_once(tmp_path: Path) -> None:
    """A member that the host does not have at all is set up when the patch is loaded, as the full build would."""
    sources = {**CONSTRUCTED, "entry.c": "long host_entry(long a) { return a; }"}
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo", flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert program.answers(live) == "patch 1100"


def test_a_members_thread_local_is_a_library_hosts(tmp_path: Path) -> None:
    """Its offset differs from process to process: a constant would be another library's thread-local."""
    sources = {
        "foo.c": """
static __thread int depth;
int foo_add(int by) { depth += by; return depth; }
int foo_get(void) { return depth; }
""",
        "patch.c": COUNTER["patch.c"],
    }
    make(
        tmp_path, {**sources, "entry.c": COUNTER["entry.c"]}, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo", flags=SECTIONS
    )
    gcc = str(need("aarch64-linux-gnu-gcc"))
    run([gcc, "-shared", "entry.o", "-L.", "-lfoo", "-Wl,--gc-sections", "-o", "library.so"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "library.so")
    archives = [tmp_path / "libfoo.a"]
    if "foo_get" in names_in(tmp_path / "library.so"):  # a library exports all that it has: take it away
        (tmp_path / "map").write_text("{ global: host_entry; local: *; };")
        options = ["-Wl,--gc-sections", "-Wl,--version-script=map"]
        run([gcc, "-shared", "entry.o", "-L.", "-lfoo", *options, "-o", "library.so"], cwd=tmp_path)
        builder = StubBuilder(tmp_path / "library.so")
    built = builder.build([tmp_path / "patch.o"], slide=0x5500000000, bind=True, archives=archives)
    (slot,) = [slot for slot in built.bound.slots if slot.kind is SlotKind.HOST_DESCRIPTOR]
    assert slot.name.startswith(b"libfoo.a(foo.o):depth")
    shown = run([need("readelf"), "-rW", tmp_path / "library.so"])
    (descriptor,) = re.findall(r"^(\w+) .* R_AARCH64_TLSDESC +0$", shown, re.MULTILINE)
    assert slot.value == 0x5500000000 + int(descriptor, 16) << 64


def test_an_archive_in_an_archive_and_thin_ones_of_thin_ones(tmp_path: Path) -> None:
    """GNU ar puts the members of an archive into a thin one by their place in it."""
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo -Wl,--gc-sections", flags=SECTIONS)
    ar = need("aarch64-linux-gnu-ar")
    run([ar, "rcsT", "outer.a", "libfoo.a"], cwd=tmp_path)
    run([ar, "rcS", "boxed.a", "libfoo.a"], cwd=tmp_path)
    for name in ("outer.a", "boxed.a"):
        builder = StubBuilder(program.path)
        built = builder.build([tmp_path / "patch.o"], slide=0x5500000000, bind=True, archives=[tmp_path / name])
        assert [member.wanted for member in built.resolution.needed.borrowed] == [("foo_get",)]


def test_a_weak_default_that_gave_way_stays_given_way(tmp_path: Path) -> None:
    """A library's weak hook is overridden by the program: its code is in the host, and its name means the program's."""
    sources = {
        "foo.c": """
__attribute__((weak)) int hook(void) { return 1; }
static int calls;
int foo_add(int by) { calls += by; return calls + hook(); }
""",
        "more.c": "int hook(void), foo_add(int); int more(void) { return foo_add(10) + 100 * hook(); }",
        "entry.c": "int foo_add(int); int hook(void) { return 5; } long host_entry(long a) { return foo_add(a); }",
        "patch.c": "int more(void); long patch_main(void) { return more(); }",
    }
    program = make(tmp_path, sources, {"libfoo.a": "foo.o more.o"}, "entry.o -L. -lfoo", flags="-O1 -fPIC")
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 8"
        assert program.answers(live) == f"patch {13 + 5 + 500}"
    # and where the member with the hook is itself the one that is taken
    sources["foo.c"] += "int foo_twice(void) { return 2 * hook() + calls; }"
    sources["patch.c"] = "int foo_twice(void); long patch_main(void) { return foo_twice(); }"
    link = "entry.o -L. -lfoo -Wl,--gc-sections"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o more.o"}, link, flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 8"
        assert program.answers(live) == "patch 13"


@pytest.mark.parametrize("definition", ["int hook(void) { return 2; }", "int hook = 2;", "int hook = 7;"])
@pytest.mark.parametrize(("linker", "script"), [("gnu", True), ("lld", False), ("lld", True), ("mold", False)])
def test_a_default_that_gave_way_does_not_come_back(tmp_path: Path, linker: str, script: bool, definition: str) -> None:
    """Mold, and a version script, make the program's own definition local, as if it were another file's static one."""
    value = "hook()" if "void" in definition else "hook"
    before = "int hook;" if "7" in definition else definition.replace("2", "1").replace("int", "int weak", 1)
    sources = {
        "foo.c": f"""
{before.replace("weak", "__attribute__((weak))")}
int foo_add(int by) {{ return {value} * by; }}
int foo_get(void) {{ return {value} + 100; }}
""",
        "entry.c": f"{COUNTER['entry.c']} {definition}",
        "patch.c": COUNTER["patch.c"],
        "hide.map": "{ global: main; local: *; };",
    }
    hide = " -Wl,--version-script=hide.map" if script else ""
    link = f"entry.o -L. -lfoo -Wl,--gc-sections{hide}"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, link, linker=linker, flags=f"{SECTIONS} -fcommon")
    right = 7 if "7" in definition else 2
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == f"call {3 * right}"
        if linker == "mold" or (linker, script) == ("lld", True):
            with pytest.raises(
                SymbolRefusal, match="hook: the host has a function or variable of that name from entry"
            ):
                program.link(live)
        else:
            assert program.answers(live) == f"patch {100 + right}"


CAME_ALONG = {
    "default.c": """
__attribute__((weak)) int hook(void) { return 1; }
int tell(void) { return hook(); }
""",
    "second.c": "int hook(void) { return 2; } int second(int by) { return by; }",
    "entry.c": """
int hook(void), tell(void), second(int);
long host_entry(long by) { return second(by) * hook() + tell(); }
""",
}
"""A default, and a definition that won over it because its member was taken for another name."""


@pytest.mark.parametrize("place", ["object", "member"])
@pytest.mark.parametrize("patched", ["caller", "default"])
@pytest.mark.parametrize(("linker", "script"), [("gnu", True), ("lld", True), ("mold", False)])
def test_a_definition_that_came_along_with_its_member_wins_over_a_default(
    tmp_path: Path, linker: str, script: bool, patched: str, place: str
) -> None:
    """The patch went on with the default: the host's, which the linker made local, was taken for a static function."""
    patch = {
        "caller": "int hook(void); long patch_main(void) { return hook() + 10; }",
        "default": f"{CAME_ALONG['default.c']} long patch_main(void) {{ return hook() + 10; }}",
    }[patched]
    sources = {**CAME_ALONG, "patch.c": patch, "hide.map": "{ global: main; local: *; };"}
    archives = {"libfoo.a": "second.o" if place == "object" else "default.o second.o"}
    link = f"entry.o {'default.o ' if place == 'object' else ''}-L. -lfoo"
    link += " -Wl,--version-script=hide.map" if script else ""
    program = make(tmp_path, sources, archives, link, linker=linker, flags=SECTIONS)
    if patched == "default" and place == "object":
        (tmp_path / "patch.o").rename(tmp_path / "default.o")
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 8"
        linked = program.link(live, "default.o" if (patched, place) == ("default", "object") else "patch.o")
        assert live.patch(linked.output) == "patch 12"


@pytest.mark.parametrize("kind", ["variable", "function"])
@pytest.mark.parametrize(("linker", "script"), [("gnu", True), ("lld", True), ("mold", False), ("gnu", False)])
def test_of_two_defaults_the_one_that_was_linked_first_is_meant(
    tmp_path: Path, linker: str, script: bool, kind: str
) -> None:
    """The patch's file went on with its own, which the linker had passed over, and the rest of the program did not."""
    hook = "__attribute__((weak)) int hook" + (" = {0};" if kind == "variable" else "(void) {{ return {0}; }}")
    value, declared = ("hook", "extern int hook;") if kind == "variable" else ("hook()", "int hook(void);")
    sources = {
        "first.c": hook.format(1),
        "second.c": f"{hook.format(2)} int tell(void) {{ return {value}; }}",
        "entry.c": f"{declared} int tell(void); long host_entry(long by) {{ return by * {value} + tell(); }}",
        "hide.map": "{ global: main; local: *; };",
    }
    link = f"entry.o first.o second.o{' -Wl,--version-script=hide.map' if script else ''}"
    program = make(tmp_path, sources, {}, link, linker=linker, flags=SECTIONS + " -fdata-sections")
    edited = f"{sources['second.c']} long patch_main(void) {{ return tell() + 10; }}"
    (tmp_path / "second.c").write_text(edited)
    run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "-fdata-sections", "second.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 4"
        assert live.patch(program.link(live, "second.o", keep_state=True).output) == "patch 11"


@pytest.mark.parametrize("linker", ["gnu", "mold"])
@pytest.mark.parametrize("fat", ["", " -ffat-lto-objects"], ids=["slim", "fat"])
@pytest.mark.parametrize("shown", ["", " -rdynamic"], ids=["", "-rdynamic"])
@pytest.mark.parametrize("strong", [False, True], ids=["the default", "another file's"])
def test_a_default_of_a_host_that_gcc_optimised_at_link(
    tmp_path: Path, linker: str, fat: str, shown: str, *, strong: bool
) -> None:
    """GCC makes the one that counts global, or local: the patch's edit had no effect, or won over another file's."""
    default = "__attribute__((weak, noinline)) int hook(void) {{ return {0}; }} int tell(void) {{ return hook(); }}"
    sources = {
        "first.c": default.format(1),
        "second.c": "__attribute__((noinline)) int hook(void) { return 2; }" if strong else "int unused;",
        "entry.c": "int hook(void), tell(void); long host_entry(long by) { return by * hook() + tell(); }",
    }
    link = "entry.o first.o second.o -flto -O1"
    program = make(tmp_path, sources, {}, link + shown, linker=linker, flags=f"{SECTIONS} -flto{fat}")
    (tmp_path / "first.c").write_text(f"{default.format(5)} long patch_main(void) {{ return tell() + 10; }}")
    run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "first.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == ("call 8" if strong else "call 4")
        assert live.patch(program.link(live, "first.o").output) == ("patch 12" if strong else "patch 15")


@pytest.mark.parametrize("linker", ["gnu", "mold"])
@pytest.mark.parametrize("shown", ["", " -rdynamic"], ids=["", "-rdynamic"])
def test_a_member_that_was_compiled_at_link_may_have_come_along(tmp_path: Path, linker: str, shown: str) -> None:
    """Its definition wins over the default, and nothing says that it was linked: the patch went on with its own."""
    default = "__attribute__((weak, noinline)) int hook(void) {{ return {0}; }} int tell(void) {{ return hook(); }}"
    sources = {
        "first.c": default.format(1),
        "second.c": "__attribute__((noinline)) int hook(void) { return 2; } int come(void) { return 0; }",
        "entry.c": "int hook(void), tell(void), come(void);"
        "long host_entry(long by) { return by * hook() + tell() + come(); }",
    }
    link = "entry.o first.o -L. -lfoo -flto -O1"
    archive = {"libfoo.a": f"second.o --plugin {plugin_of(need('aarch64-linux-gnu-gcc'))}"}
    program = make(tmp_path, sources, archive, link + shown, linker=linker, flags=f"{SECTIONS} -flto")
    (tmp_path / "first.c").write_text(f"{default.format(5)} long patch_main(void) {{ return tell() + 10; }}")
    run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "first.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 8"
        with pytest.raises(
            SymbolRefusal, match=r"hook: it is weak in the patch, and libfoo\.a\(second\.o\) has the def"
        ):
            program.link(live, "first.o")


def plugin_of(gcc: Path) -> str:
    """What ar indexes the archives of GCC's objects with."""
    return run([gcc, "-print-file-name=liblto_plugin.so"]).strip()


@pytest.mark.parametrize("flags", ["-flto", "-flto=thin"])
@pytest.mark.parametrize("shown", ["", " -rdynamic"], ids=["", "-rdynamic"])
@pytest.mark.parametrize("strong", [False, True], ids=["the default", "another file's"])
def test_a_default_of_a_host_that_llvm_optimised_at_link(
    tmp_path: Path, flags: str, shown: str, *, strong: bool
) -> None:
    """LLVM makes both local, or neither."""
    body = '{{ int x = {0}; __asm__("" : "+r"(x)); return x; }}'  # or every call has the number alone
    default = f"__attribute__((weak, noinline)) int hook(void) {body} int tell(void) {{{{ return hook(); }}}}"
    sources = {
        "first.c": default.format(1),
        "second.c": f"__attribute__((noinline)) int hook(void) {body.format(2)}" if strong else "int unused;",
        "entry.c": "int hook(void), tell(void); long host_entry(long by) { return by * hook() + tell(); }",
    }
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    clang = [need("clang-19"), "--target=aarch64-linux-gnu", "-fPIC", "-O1"]
    run([*clang, flags, "-c", *sources], cwd=tmp_path)
    program = make(tmp_path, {}, {}, f"entry.o first.o second.o{shown}", linker="lld")
    (tmp_path / "first.c").write_text(f"{default.format(5)} long patch_main(void) {{ return tell() + 10; }}")
    run([*clang, "-c", "first.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == ("call 8" if strong else "call 4")
        patched = live.patch(
            program.link(live, "first.o", allow_static=True).output
        )  # full LTO may change any function
        assert patched == ("patch 12" if strong else "patch 15")


@every_linker
def test_a_hidden_thread_local_of_an_object_that_was_linked_is_the_hosts(tmp_path: Path, linker: str) -> None:
    """Mold does not say that it was hidden: as a static one it was taken again, from the object of the link."""
    hidden = '__attribute__((visibility("hidden"))) __thread long seen'
    sources = {
        "state.c": f"{hidden} = 3; long see(long by) {{ return seen += by; }}",
        "entry.c": "long see(long); long host_entry(long by) { return see(by); }",
        "patch.c": f"extern {hidden}; long patch_main(void) {{ return ++seen; }}",
    }
    program = make(tmp_path, sources, {}, "entry.o state.o -rdynamic", linker=linker, flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 4") == "call 7"
        assert program.answers(live) == "patch 8"
        assert live.tell("call 1") == "call 9"


@every_linker
@pytest.mark.parametrize("order", ["first.o second.o", "second.o first.o"])
def test_of_two_defaults_in_the_patch_the_one_that_the_host_linked_first_is_meant(
    tmp_path: Path, linker: str, order: str
) -> None:
    """The order in which the patch's objects are given decided; with --relink-earlier that in which they changed."""
    hook = "__attribute__((weak)) int hook(void) {{ return {0}; }}"
    sources = {
        "first.c": hook.format(1),
        "second.c": f"{hook.format(2)} int tell(void) {{ return hook(); }}",
        "entry.c": "int hook(void), tell(void); long host_entry(long by) { return by * hook() + tell(); }",
    }
    program = make(tmp_path, sources, {}, "entry.o first.o second.o", linker=linker, flags=SECTIONS)
    (tmp_path / "first.c").write_text(hook.format(5))
    edited = f"{sources['second.c']} long patch_main(void) {{ return tell() + 10; }}"
    (tmp_path / "second.c").write_text(edited)
    run([need("aarch64-linux-gnu-gcc"), "-c", *SECTIONS.split(), "first.c", "second.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 4"
        assert live.patch(program.link(live, order).output) == "patch 15"


@every_linker
@pytest.mark.parametrize("debug", ["", " -g"], ids=["", "-g"])
@pytest.mark.parametrize("order", ["first.o second.o", "second.o first.o"])
def test_of_two_defaults_nothing_but_debug_information_tells_which_an_archive_has_first(
    tmp_path: Path, linker: str, order: str, debug: str
) -> None:
    """The order in which the patch's objects are given decided, without a word."""
    hook = "__attribute__((weak)) int hook(void) {{ return {0}; }}"
    sources = {
        "first.c": f"{hook.format(1)} int one(void) {{ return 1; }}",
        "second.c": f"{hook.format(2)} int tell(void) {{ return hook(); }}",
        "entry.c": "int one(void), tell(void); long host_entry(long by) { return by * one() + tell(); }",
    }
    flags = SECTIONS + debug
    archive = {"libfoo.a": "first.o second.o"}
    program = make(tmp_path, sources, archive, "entry.o -L. -lfoo", linker=linker, flags=flags)

    def write(first: int, second: int) -> None:
        (tmp_path / "first.c").write_text(sources["first.c"].replace("return 1; }", f"return {first}; }}", 1))
        edited = sources["second.c"].replace("return 2", f"return {second}")
        (tmp_path / "second.c").write_text(f"{edited} long patch_main(void) {{ return tell() + 10; }}")
        run([need("aarch64-linux-gnu-gcc"), "-c", *flags.split(), "first.c", "second.c"], cwd=tmp_path)

    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 4"
        write(5, 7)
        if debug:
            assert live.patch(program.link(live, order).output) == "patch 15"
        else:
            with pytest.raises(SymbolRefusal, match=r"hook: .* define it, each otherwise"):
                program.link(live, order)
            write(6, 6)
            assert live.patch(program.link(live, order).output) == "patch 16"


@pytest.mark.parametrize("linker", LINKERS)
def test_a_stronger_definition_that_the_host_was_linked_without(tmp_path: Path, linker: str) -> None:
    """Nothing used hook(), and so nobody has it: the patch that begins to would call its own default."""
    default = "__attribute__((weak)) int hook(void) { return 1; }"
    sources = {
        "strong.c": "int hook(void) { return 2; } int other(void) { return 3; }",
        "second.c": f"{default} int tell(void) {{ return 0; }}",
        "entry.c": "int tell(void), other(void); long host_entry(long by) { return by + tell() + other(); }",
    }
    program = make(tmp_path, sources, {}, "entry.o strong.o second.o -Wl,--gc-sections", linker=linker, flags=SECTIONS)
    edited = f"{default} int tell(void) {{ return hook(); }} long patch_main(void) {{ return tell() + 10; }}"
    (tmp_path / "second.c").write_text(edited)
    run([need("aarch64-linux-gnu-gcc"), "-c", "-fPIC", *SECTIONS.split(), "second.c", "strong.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        with pytest.raises(SymbolRefusal, match=r"hook: it is weak in the patch, strong.o of the host's link has"):
            program.link(live, "second.o")
        run([need("aarch64-linux-gnu-ld"), "-r", "second.o", "strong.o", "-o", "both.o"], cwd=tmp_path)
        assert live.patch(program.link(live, "both.o").output) == "patch 12"


UNUSED = "int tell(void) { return 1; } long patch_main(void) { return tell() + 10; }"
RUNS = {
    "what nobody calls uses it": "int idle(void) { return hook(); } int tell(void) { return 1; }",
    "assembly uses it": """
int tell(void) { return 0; }
__asm__(".pushsection hooks, \\"aw\\"; .quad hook; .popsection");
""",
    "a new function calls it": "int fresh(void) { return hook(); } int tell(void) { return fresh(); }",
    "a pointer leads to it": "int (*fresh)(void) = hook; int tell(void) { return fresh(); }",
    "by a static function": """
static __attribute__((noinline)) int fresh(void) { return hook(); }
int tell(void) { return fresh(); }
""",
    "it runs at the load": """
int tell(void) { return 0; }
__attribute__((constructor)) static void begin(void) { hook(); }
""",
    "it runs at the end": """
int tell(void) { return 0; }
__attribute__((destructor)) static void end(void) { hook(); }
""",
}


def program_without_defaults(folder: Path) -> Program:
    """Two files have a weak default of a header's, or a stronger definition, and the host has none of them."""
    default = "__attribute__((weak)) int hook(void) { return 1; }"
    sources = {
        "first.c": "int hook(void) { return 2; } int other(void) { return 3; }",
        "second.c": f"{default} int tell(void) {{ return 0; }}",
        "entry.c": "int tell(void), other(void); long host_entry(long by) { return by + tell() + other(); }",
    }
    return make(folder, sources, {}, "entry.o first.o second.o -Wl,--gc-sections", flags=SECTIONS)


@pytest.mark.parametrize("sections", [SECTIONS, ""], ids=["a section each", "one section"])
@pytest.mark.parametrize("case", ["nobody uses it", *RUNS])
def test_a_default_that_nothing_refers_to(tmp_path: Path, case: str, sections: str) -> None:
    """Every patch of a file was refused that includes a header with a default which the program does not use."""
    program = program_without_defaults(tmp_path)
    default = "__attribute__((weak)) int hook(void) { return 1; }"
    (tmp_path / "second.c").write_text(f"{default} {RUNS.get(case, UNUSED)}")
    run([need("aarch64-linux-gnu-gcc"), "-c", "-O1", "-fPIC", *sections.split(), "second.c"], cwd=tmp_path)
    with LiveHost(program.path) as live:
        if case in RUNS or not sections:
            with pytest.raises(SymbolRefusal, match=r"hook: it is weak in the patch"):
                program.link(live, "second.o")
        else:
            assert live.patch(program.link(live, "second.o").output) == "patch 11"


def test_a_default_that_another_object_of_the_patch_refers_to(tmp_path: Path) -> None:
    """The default's own object has no reference to it, and the other's table leads to it."""
    program = program_without_defaults(tmp_path)
    default = "__attribute__((weak)) int hook(void) { return 1; }"
    (tmp_path / "second.c").write_text(f"{default} {UNUSED}")
    (tmp_path / "table.c").write_text("int hook(void); int (*table[])(void) = {hook};")
    run([need("aarch64-linux-gnu-gcc"), "-c", "-O1", "-fPIC", *SECTIONS.split(), "second.c", "table.c"], cwd=tmp_path)
    objects = [tmp_path / "second.o", tmp_path / "table.o"]
    with pytest.raises(SymbolRefusal, match=r"hook: it is weak in the patch"):
        link_patch(StubBuilder(program.path), program.captured, objects, tmp_path / "patch.so", slide=0x5500000000)


def test_a_hidden_default_that_gave_way_does_not_come_back(tmp_path: Path) -> None:
    """Lld makes hidden symbols local and keeps their visibility, by which no static one is taken for them."""
    sources = {
        "foo.c": """
__attribute__((weak)) int hook(void) { return 1; }
int foo_add(int by) { return hook() * by; }
int foo_get(void) { return hook() + 100; }
""",
        "entry.c": f"{COUNTER['entry.c']} int hook(void) {{ return 2; }}",
        "patch.c": '__attribute__((visibility("default"))) long patch_main(void);' + COUNTER["patch.c"],
    }
    for linker in LINKERS:
        folder = tmp_path / linker
        folder.mkdir()
        link, flags = "entry.o -L. -lfoo -Wl,--gc-sections", f"{SECTIONS} -fvisibility=hidden"
        program = make(folder, sources, {"libfoo.a": "foo.o"}, link, linker=linker, flags=flags)
        with LiveHost(program.path) as live:
            assert live.tell("call 3") == "call 6"
            assert program.answers(live) == "patch 102"


def test_a_static_ifunc_is_not_its_resolver(tmp_path: Path) -> None:
    """The resolver's name is at the same place: a stub to it would answer an address for what the function answers."""
    sources = {
        "foo.c": """
static int one(int by) { return by + 1; }
static void *choose(void) { return (void *)one; }
static int chosen(int) __attribute__((ifunc("choose")));
static int count;
int foo_add(int by) { count += chosen(by); return count; }
int foo_get(void) { return chosen(count); }
""",
        **{name: COUNTER[name] for name in ("entry.c", "patch.c")},
    }
    for linker in ("gnu", "lld"):
        folder = tmp_path / linker
        folder.mkdir()
        link = "entry.o -L. -lfoo -Wl,--gc-sections"
        program = make(folder, sources, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS)
        with LiveHost(program.path) as live, pytest.raises(SymbolRefusal, match=r"chosen.*: it is an ifunc"):
            program.link(live)


ASSEMBLY = """
.section .text.foo_get, "ax", %progbits
.globl foo_get
.type foo_get, %function
foo_get: adrp x0, count
 ldr w0, [x0, :lo12:count]
 ret
.section .text.foo_add, "ax", %progbits
.globl foo_add
.type foo_add, %function
foo_add: adrp x1, count
 ldr w2, [x1, :lo12:count]
 add w0, w0, w2
 str w0, [x1, :lo12:count]
 ret
.bss
.balign 4
count: .word 0
.section .note.GNU-stack, "", %progbits
"""


COUNT = """.type count, %object
.size count, 4
count: .word 0"""
"""The counter as C has it, for :data:`ASSEMBLY`."""


@every_linker
def test_a_counter_of_assembly_goes_on(tmp_path: Path, linker: str) -> None:
    """Assembly names no source file, so that its symbols seem to be of the file in front of it."""
    sources = {"foo.s": ASSEMBLY, "entry.c": COUNTER["entry.c"], "patch.c": COUNTER["patch.c"]}
    link = "entry.o -L. -lfoo -Wl,--gc-sections"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        assert program.answers(live) == "patch 103"
        assert live.tell("call 3") == "call 106"


@pytest.mark.parametrize("linker", ["lld", "mold"])
def test_a_counter_is_found_beside_the_compilers_helpers(tmp_path: Path, linker: str) -> None:
    """The members of libgcc.a name no file, so that its atomics seem to belong to the library's last one."""
    count = "__atomic_add_fetch(&count, by, __ATOMIC_SEQ_CST)"
    foo = COUNTER["foo.c"].replace("count += by; return count;", f"return {count};")
    assert foo != COUNTER["foo.c"]
    link = "entry.o -L. -lfoo -Wl,--gc-sections"
    program = make(tmp_path, {**COUNTER, "foo.c": foo}, {"libfoo.a": "foo.o"}, link, linker=linker, flags=SECTIONS)
    assert "init_have_lse_atomics" in names_in(program.path)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        assert program.answers(live) == "patch 103"
        assert live.tell("call 3") == "call 106"


def test_gold_reads_a_slot_at_the_wrong_place(tmp_path: Path) -> None:
    """Gold shifts the distance of a literal load twice: the patch would read elsewhere, and crash at best."""
    need("aarch64-linux-gnu-ld.gold")
    link = "entry.o -L. -lfoo -Wl,--gc-sections -fuse-ld=gold"
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, link, flags=SECTIONS)
    with LiveHost(program.path) as live, pytest.raises(PatchRefusal, match="gold encodes a load of an address"):
        program.link(live)


def test_the_commands_name_what_they_borrowed(tmp_path: Path) -> None:
    """Code of an archive in the patch must not be there unsaid."""
    program = make(tmp_path, COUNTER, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo -Wl,--gc-sections", flags=SECTIONS)
    words = ["build", "--host", program.path, "--slide", "0x5500000000", "--archive", tmp_path / "libfoo.a"]
    words += ["-o", tmp_path / "stub.o", tmp_path / "patch.o"]
    done = stubgen(*words)
    assert done.returncode == 2
    assert "say where to write them with --bound-dir" in done.stderr
    done = stubgen(*words, "--json", "--bound-dir", tmp_path / "bound")
    document = json.loads(done.stdout)
    assert [Path(item["path"]).name for item in document["borrowed"]] == ["libfoo.a(foo.o)"]
    assert document["borrowed"][0]["wanted"] == ["foo_get"]
    assert document["borrowed"][0]["stepped_back"] == ["count"]
    assert len(document["bound"]) == 2


def test_one_of_two_statics_that_fits_is_not_enough(tmp_path: Path) -> None:
    """Two variables in one section, of which the host has one: it is another build, whose state cannot be shared."""
    other = "static int count; static long total; int foo_add(int by) { count += by; total += by; return total; }"
    sources = {**COUNTER, "foo.c": other}
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "entry.o -L. -lfoo", flags="-O1 -fPIC")
    changed = "static int count, spare; int foo_get(void) { return count += ++spare; }"
    (tmp_path / "foo.c").write_text(changed + "int foo_add(int by) { return count += by; }")
    run([need("aarch64-linux-gnu-gcc"), "-c", "-O1", "-fPIC", "foo.c"], cwd=tmp_path)
    run([need("aarch64-linux-gnu-ar"), "rcs", "libfoo.a", "foo.o"], cwd=tmp_path)
    with LiveHost(program.path) as live, pytest.raises(SymbolRefusal) as caught:
        program.link(live)
    assert "libfoo.a(foo.o): foo_get: the host's foo_add is another one" in str(caught.value)
