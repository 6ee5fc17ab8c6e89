"""Members of Mach-O archives become part of the patch, less what the host has of them: its state stays the one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from live.members_macho import Program, Running, borrowed, make
from live.test_macho import objdump, symbols
from tools import need, run

from stubgen.errors import SymbolRefusal

LINKERS = ("lld", "lld-opcodes", "zig")

every_linker = pytest.mark.parametrize("linker", LINKERS)

LIBRARY = """
static int count;
static int table[4] = {10, 20, 30, 40};
static const int steps[8] = {1, 2, 3, 4, 5, 6, 7, 8};
int list[16];
int seen = 5;
__attribute__((noinline)) static int helper(int x) { return table[x & 3] + count + steps[x & 7]; }
__attribute__((noinline)) int foo_add(int by) { count += by; seen++; list[3] = by; return helper(count); }
__attribute__((noinline)) int foo_get(void) { return count; }
int foo_helped(int x) { table[1]++; return helper(x) + seen + list[3]; }
int *foo_where(int i) { return &table[i]; }
int (*foo_helper(void))(int) { return helper; }
const char *foo_name(void) { return "foo"; }
int foo_switch(int x) {
  switch (x) { case 0: return foo_get(); case 1: return foo_add(7); case 2: return seen; case 3: return list[3];
               case 4: return table[2]; case 5: return -1; case 6: return 77; }
  return 9;
}
"""
"""A library with state, of which a host uses one function."""

MAIN = "int foo_add(int); int host_call(int by) { return foo_add(by); } int main(void) { return host_call(0); }"


HOSTS = {
    "folded": "-dead_strip --icf=all",
    "a bundle": "-dead_strip -bundle -exported_symbol _main -exported_symbol _foo_add",
    "a library": "-dead_strip -dylib -u _main -u _foo_add -exported_symbol _main -exported_symbol _foo_add",
    "interposable": "-dead_strip -interposable",
    "for an older system": "-dead_strip -platform_version macos 10.13 10.13",
    "with other names": "-dead_strip -rename_section __DATA __data __DATA __mine -no_data_const",
    "without hints": "-dead_strip -ignore_optimization_hints -S",
}
"""What the host is -> how it is linked."""


def with_patch(patch: str, library: str = LIBRARY, main: str = MAIN) -> dict[str, str]:
    """The sources of a host, its library and a patch."""
    return {"main.c": main, "foo.c": library, "patch.c": patch}


def run_patch(program: Program, *calls: tuple[str, int]) -> Running:
    """Host and patch in the emulator, the host after *calls*."""
    running = program.start()
    for name, argument in calls:
        running.call(name, argument)
    running.load(program.link().output)
    return running


@every_linker
@pytest.mark.parametrize("flags", ["-O0", "-O2", "-Os -mcmodel=large", "-O2 -g"])
def test_a_librarys_state_goes_on_when_the_patch_calls_more_of_it(tmp_path: Path, linker: str, flags: str) -> None:
    """The linker would take the member again, with a fresh counter, and its functions would win over the stubs."""
    patch = """
    int foo_add(int), foo_get(void), foo_helped(int), *foo_where(int), foo_switch(int);
    int (*foo_helper(void))(int); const char *foo_name(void);
    int patch_get(void) { foo_add(100); return foo_get(); }
    int patch_helped(int x) { return foo_helped(x); }
    int patch_where(int i) { return *foo_where(i); }
    int patch_helper(int x) { return foo_helper()(x); }
    int patch_name(void) { return foo_name()[1]; }
    int patch_switch(int x) { return foo_switch(x); }
    """
    link = "-dead_strip main.o -L. -lfoo"
    program = make(tmp_path, with_patch(patch), {"libfoo.a": "foo.o"}, link, linker=linker, flags=flags)
    assert "_foo_get" not in symbols(program.path)
    running = run_patch(program, ("main", 0), ("foo_add", 3))
    assert running.call("patch_get") == 103
    assert running.call("foo_add", 1) == 10 + 104 + 1
    assert running.call("patch_helped", 1) == 21 + 104 + 2 + 9 + 1
    assert [running.call("patch_where", i) for i in range(4)] == [10, 21, 30, 40]
    assert running.call("patch_helper", 1) == 21 + 104 + 2
    assert running.call("patch_name") == ord("o")
    assert running.call("patch_switch", 0) == 104
    assert running.call("patch_switch", 1) == 40 + 111 + 8
    assert [running.call("patch_switch", x) for x in range(2, 8)] == [10, 7, 30, -1, 77, 9]
    defined = symbols(tmp_path / "patch.dylib")
    assert not {"_count", "_seen", "_list", "_table"} & defined.keys()
    shown = run([need("llvm-nm-19"), "--extern-only", "--defined-only", tmp_path / "patch.dylib"])
    assert "_foo_get" not in shown.split()  # another image's function of that name must not come first


@pytest.mark.parametrize(
    "option", ["-force_load libfoo.a", "-all_load libfoo.a", "-L. -hidden-lfoo", "-ObjC -L. -lfoo"]
)
def test_what_a_whole_library_lost_to_dead_stripping_comes_back(tmp_path: Path, option: str) -> None:
    """-force_load, -all_load, -ObjC and -hidden-l: the patch's linker would load the library as a whole again."""
    patch = "int foo_get(void), foo_helped(int); int patch_get(int x) { return foo_get() + 0 * foo_helped(x); }"
    sources = with_patch(patch)
    if "ObjC" in option:
        sources["pod.m"] = POD
        sources["main.c"] = MAIN.replace(
            "{ return host_call(0);", "{ extern int pod_made; return pod_made + host_call(0);"
        )
    members = "foo.o pod.o" if "ObjC" in option else "foo.o"
    program = make(tmp_path, sources, {"libfoo.a": members}, f"main.o -dead_strip {option}")
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_get", 1) == 3
    running.call("foo_add", 4)
    assert running.call("patch_get", 1) == 7
    defined = symbols(tmp_path / "patch.dylib")
    assert not {"_count", "_seen", "_pod_made", "_OBJC_CLASS_$_Pod"} & defined.keys()


POD = """
__attribute__((objc_root_class)) @interface Pod { int x; }
+ (int)number; - (int)value;
@end
static int made; int pod_made;
@implementation Pod
+ (int)number { return made += 7; }
- (int)value { return x + made; }
@end
@interface Pod (More) - (int)more; @end
@implementation Pod (More) - (int)more { return ++made; } @end
__attribute__((noinline)) int pod_add(int by) { made += by; return [Pod number]; }
int pod_get(void) { return made; }
void *pod_class(void) { return [Pod class]; }
"""
"""A library with a class and a category."""


@pytest.mark.parametrize("linker", ["lld", "zig"])
@pytest.mark.parametrize("options", ["", "-dead_strip"])
def test_a_class_of_the_hosts_is_not_registered_again(tmp_path: Path, linker: str, options: str) -> None:
    """Two classes of one name: the runtime takes one of them, and the other's methods and state are lost."""
    main = """
    int pod_add(int); void *objc_msgSend(void *self, void *name) { return self; }
    int main(void) { return pod_add(0); }
    """
    patch = "int pod_get(void), pod_class(void); int patch_get(void) { return pod_get() + 0 * pod_class(); }"
    sources = {
        "main.c": main,
        "pod.m": POD.replace("void *pod_class(void) { return [Pod class]; }", "int pod_class(void) { return 1; }"),
        "patch.c": patch,
    }
    if linker == "zig":
        sources["main.c"] = main.replace("void *objc_msgSend(void *self, void *name) { return self; }", "")
    program = make(tmp_path, sources, {"libpod.a": "pod.o"}, f"{options} -ObjC main.o -L. -lpod", linker=linker)
    linked = program.link()
    if linker == "lld":  # whose host has the stand-in for the runtime
        running = program.start()
        running.call("pod_add", 3)
        running.load(linked.output)
        assert running.call("patch_get") == 3
    shown = objdump(linked.output, "--section-headers")
    assert "__objc_classlist" not in shown
    assert "__objc_catlist" not in shown
    if options:
        assert borrowed(linked).keys() == {"libpod.a(pod.o)"}
    assert not {"_made", "_OBJC_CLASS_$_Pod", "+[Pod number]"} & symbols(linked.output).keys()


def test_a_new_members_classes_come_along(tmp_path: Path) -> None:
    """The full build would take the member and register its class: a patch without it sends messages to nobody."""
    patch = "int pod_get(void); void *pod_class(void); int patch_get(void) { return pod_get() + (pod_class() != 0); }"
    main = """
    __attribute__((used)) long _objc_empty_cache;
    __attribute__((used)) void *objc_msgSend(void *self, void *name) { return self; }
    int main(void) { return 0; }
    """
    sources = {"main.c": main, "pod.m": POD, "patch.c": patch}
    program = make(tmp_path, sources, {"libpod.a": "pod.o"}, "-dead_strip main.o -L. -lpod")
    linked = program.link()
    shown = objdump(linked.output, "--objc-meta-data")
    assert re.search(r"__objc_classlist\) section\n\w{16} ", shown)
    assert "__OBJC_$_CATEGORY_Pod_$_More" in shown
    assert {"+[Pod", "-[Pod", "-[Pod(More)"} <= set(run([need("llvm-nm-19"), linked.output]).split())
    assert "__objc_imageinfo" in objdump(linked.output, "--section-headers")


@pytest.mark.parametrize("host", HOSTS)
def test_the_hosts_code_tells_however_it_was_linked(tmp_path: Path, host: str) -> None:
    """Each of these writes the fields otherwise: what is read wrongly is another variable."""
    patch = """
    int foo_get(void), foo_helped(int), *foo_where(int);
    int patch_main(int x) { return foo_get() * 1000 + foo_helped(x) + *foo_where(3); }
    """
    link = f"{HOSTS[host]} main.o -L. -lfoo"
    program = make(tmp_path, with_patch(patch), {"libfoo.a": "foo.o"}, link, flags="-O2")
    assert run_patch(program, ("main", 0), ("foo_add", 3)).call("patch_main", 1) == 3000 + 21 + 3 + 2 + 7 + 3 + 40


def test_a_class_of_exceptions_is_the_hosts(tmp_path: Path) -> None:
    """A handler compares the addresses of type_infos: with its own the patch never catches what the host throws."""
    library = """
    extern "C" { struct Oops { int x; virtual ~Oops() {} }; static int count;
    int foo_add(int by) { if (by > 100) throw Oops(); return count += by; }
    int foo_catch(int by) { try { return foo_add(by); } catch (Oops &oops) { return -1; } catch (int) { return -2; } } }
    """
    main = """
    extern "C" { int foo_add(int); int main(void) { try { return foo_add(0); } catch (int x) { return x; } }
    __attribute__((used, visibility("default"))) long _ZTVN10__cxxabiv117__class_type_infoE[4];
    void _ZdlPv(void *x) {} }
    """
    sources = {
        "main.cc": main.replace("void _ZdlPv", "__attribute__((used)) void _ZdlPv"),
        "foo.cc": library,
        "patch.c": "int foo_catch(int); int patch_main(int x) { return foo_catch(x); }",
    }
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo", flags="-O1 -fexceptions")
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_main", 4) == 7
    shown = objdump(tmp_path / "patch.dylib", "--section-headers")
    match = re.search(r"__gcc_except_tab (\w+) (\w+)", shown)
    assert match is not None, shown
    size, start = (int(word, 16) for word in match.groups())
    base = start + running.address("patch_main") - symbols(tmp_path / "patch.dylib")["_patch_main"]
    meant = set()
    for place in range(base, base + size - 3):
        distance = int.from_bytes(running.emulator.cpu.mem_read(place, 4), "little", signed=True)
        if 0 < distance < 0x10000:
            meant.add(running.emulator.read_word(place + distance))
    assert running.address("_ZTI4Oops") in meant


def test_no_local_symbol_is_needed_where_code_tells(tmp_path: Path) -> None:
    """Linked with -x, the host's code still says where its counter is; and it is the host's all the same."""
    patch = "int foo_get(void), foo_helped(int); int patch_get(void) { return foo_get() + 0 * foo_helped(1); }"
    program = make(tmp_path, with_patch(patch), {"libfoo.a": "foo.o"}, "-dead_strip -x main.o -L. -lfoo")
    assert "_count" not in symbols(program.path)
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_get") == 3
    running.call("foo_add", 4)
    assert running.call("patch_get") == 7


def test_the_linkers_order_decides_which_archive_counts(tmp_path: Path) -> None:
    """Two archives have the name: the one that the full build would take, by -L and by order, or the patch differs."""
    sources = {
        "main.c": "int main(void) { return 0; }",
        "a/foo.c": "int foo(void) { return 1; }",
        "b/foo.c": "int foo(void) { return 2; }",
        "patch.c": "int foo(void); int patch_main(void) { return foo(); }",
    }
    archives = {"a/libfoo.a": "a/foo.o", "b/libfoo.a": "b/foo.o", "libother.a": "a/foo.o"}
    for link, expected in (("-Lb -La -lfoo libother.a", 2), ("libother.a -Lb -lfoo", 1), ("b/libfoo.a -La -lfoo", 2)):
        program = make(tmp_path, sources, archives, f"main.o {link}")
        assert run_patch(program).call("patch_main") == expected
        run([*program.captured.argv[:-1], "whole", "-u", "_foo"], cwd=tmp_path)  # what the linker itself takes
        code = run([need("llvm-objdump-19"), "-d", "--disassemble-symbols=_foo", tmp_path / "whole"])
        assert f"mov\tw0, #0x{expected}" in code


STUB_LIBRARY = """--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '/usr/lib/libshared.dylib'
exports:
  - targets: [ arm64-macos ]
    symbols: [ _foo, '_bar$quoted' ]
...
"""


@pytest.mark.parametrize("text_based", [False, True], ids=["dylib", "tbd"])
def test_a_shared_library_in_front_of_an_archive_counts(tmp_path: Path, *, text_based: bool) -> None:
    """The linker takes the name from the library that comes first: the archive's would be a second implementation."""
    sources = {
        "main.c": "int main(void) { return 0; }",
        "foo.c": "int foo(void) { return 1; }",
        "patch.c": "int foo(void); int patch_main(void) { return foo(); }",
    }
    make(tmp_path, sources, {"libfoo.a": "foo.o"}, "main.o")
    library = tmp_path / ("libshared.tbd" if text_based else "libshared.dylib")
    if text_based:
        library.write_text(STUB_LIBRARY)
    else:
        linker = [need("ld64.lld-19"), "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0"]
        options = ["-dylib", "-undefined", "dynamic_lookup", "-install_name", "/usr/lib/libshared.dylib"]
        run([*linker, *options, "foo.o", "-o", library], cwd=tmp_path)
    for link, taken in (("-L. -lshared -lfoo", False), ("-L. -lfoo -lshared", True)):
        program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, f"main.o {link}")
        linked = program.link()
        assert bool(borrowed(linked)) is taken
        run([*program.captured.argv[:-1], "whole", "-u", "_foo"], cwd=tmp_path)  # what the linker itself takes
        assert ("_foo" in symbols(tmp_path / "whole")) is taken
        shown = run([need("llvm-nm-19"), "-m", "-u", linked.output])
        assert ("_foo (from libshared)" in shown) is not taken


def test_universal_and_thin_archives(tmp_path: Path) -> None:
    """Universal archives hold one for each processor, thin ones only name their members."""
    patch = "int foo_get(void); int patch_get(void) { return foo_get(); }"
    program = make(tmp_path, with_patch(patch), {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo", thin=True)
    assert (tmp_path / "libfoo.a").read_bytes().startswith(b"!<thin>")
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_get") == 3
    (tmp_path / "libfoo.a").unlink()
    run([need("llvm-libtool-darwin-19"), "-static", "-o", "plain.a", "foo.o"], cwd=tmp_path)
    run([need("clang-19"), "--target=x86_64-apple-macos13.0", "-c", "foo.c", "-o", "intel.o"], cwd=tmp_path)
    run([need("llvm-libtool-darwin-19"), "-static", "-o", "intel.a", "intel.o"], cwd=tmp_path)
    run([need("llvm-lipo-19"), "-create", "plain.a", "intel.a", "-output", "libfoo.a"], cwd=tmp_path)
    run(program.captured.argv, cwd=tmp_path)
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_get") == 3


def test_two_archives_that_need_each_other(tmp_path: Path) -> None:
    """Archives are searched until nothing is left; a single pass would leave the second half undefined."""
    sources = {
        "main.c": "int base(int); int main(void) { return base(1); }",
        "base.c": "static int sum; int base(int by) { return sum += by; } int base_sum(void) { return sum; }",
        "one.c": "int two(int); int one(int x) { return two(x) + 1; } int one_more(int x) { return x * 2; }",
        "two.c": "int one_more(int), base(int); int two(int x) { base(x); return one_more(x) + 10; }",
        "patch.c": "int one(int), base_sum(void); int patch_main(int x) { x = one(x); return 1000 * base_sum() + x; }",
    }
    archives = {"libone.a": "one.o", "libtwo.a": "two.o", "libbase.a": "base.o"}
    program = make(tmp_path, sources, archives, "-dead_strip main.o -L. -lone -ltwo -lbase")
    running = program.start()
    running.call("base", 5)
    linked = program.link()
    running.load(linked.output)
    assert running.call("patch_main", 3) == 1000 * 8 + 3 * 2 + 10 + 1
    assert set(borrowed(linked)) == {"libone.a(one.o)", "libtwo.a(two.o)", "libbase.a(base.o)"}
    assert borrowed(linked)["libone.a(one.o)"] == ("_one", "_one_more")


@every_linker
def test_two_members_of_one_name_with_equal_statics(tmp_path: Path, linker: str) -> None:
    """a/util.c and b/util.c each have their counter, alike in name, size and value: the host's own code tells whose."""
    text = """
    static int count, table[2] = {1, 2}; static int helper(int x) { return count += x * table[x & 1]; }
    int %s_add(int by) { return helper(by); } int %s_get(void) { return count; }
    """
    sources = {
        "main.c": "int a_add(int), b_add(int); int main(void) { return a_add(1) + b_add(10); }",
        "a/util.c": text.replace("%s", "a"),
        "b/util.c": text.replace("%s", "b"),
        "patch.c": "int a_get(void), b_get(void); int patch(int b) { return b ? b_get() : a_get(); }",
    }
    archives = {"liba.a": "a/util.o", "libb.a": "b/util.o"}
    program = make(tmp_path, sources, archives, "-dead_strip main.o -L. -la -lb", linker=linker, flags="-O1")
    running = run_patch(program, ("main", 0))
    assert (running.call("patch", 0), running.call("patch", 1)) == (2, 10)


ASSEMBLY = """
.globl _asm_add, _asm_get
.p2align 2
_asm_add: adrp x8, count@PAGE
  ldr w9, [x8, count@PAGEOFF]
  add w0, w0, w9
  str w0, [x8, count@PAGEOFF]
  ret
_asm_get: adrp x8, count@PAGE
  ldr w0, [x8, count@PAGEOFF]
  ret
.data
.p2align 2
count: .long 40
%s
"""


@pytest.mark.parametrize("flag", ["", ".subsections_via_symbols"], ids=["whole", "apart"])
@pytest.mark.parametrize("linker", ["lld", "zig"])
def test_a_counter_of_assembly_goes_on(tmp_path: Path, linker: str, flag: str) -> None:
    """Assembly's sections stay whole unless it says otherwise: then the host has all of it, or nothing."""
    sources = {
        "main.c": "int asm_add(int); static int count = 7; int main(void) { return asm_add(count++); }",
        "low.s": ASSEMBLY % flag,
        "patch.c": "int asm_add(int), asm_get(void); int patch_get(void) { asm_add(100); return asm_get(); }",
    }
    program = make(tmp_path, sources, {"liblow.a": "low.o"}, "-dead_strip main.o -L. -llow", linker=linker)
    running = run_patch(program, ("asm_add", 2))
    assert running.call("patch_get") == 142
    assert running.call("asm_add", 0) == 142


def test_a_constructor_that_the_host_ran_is_not_run_again(tmp_path: Path) -> None:
    """A member that the host has in part: its constructor would set up the host's state a second time."""
    library = """
    static volatile int count; int other;
    __attribute__((constructor)) static void set_up(void) { count = 1000; }
    int foo_add(int by) { return count += by; }
    int foo_get(void) { return count + other; }
    """
    patch = "int foo_get(void); int patch_get(void) { return foo_get(); }"
    for options in ("-dead_strip", "-dead_strip -init_offsets"):
        program = make(tmp_path, with_patch(patch, library), {"libfoo.a": "foo.o"}, f"{options} main.o -L. -lfoo")
        running = run_patch(program, ("set_up", 0), ("foo_add", 3))
        assert running.call("patch_get") == 1003
        headers = objdump(tmp_path / "patch.dylib", "--section-headers")
        assert not re.search("__mod_init_func|__init_offsets", headers)


@every_linker
def test_a_new_members_constructor_comes_along(tmp_path: Path, linker: str) -> None:
    """A member that the host does not have at all is set up when the patch is loaded, as the full build would."""
    library = """
    static volatile int count; __attribute__((constructor)) static void set_up(void) { count = 1000; }
    int foo_get(void) { return count; }
    """
    sources = with_patch(
        "int foo_get(void); int patch_get(void) { return foo_get(); }", library, "int main(void) { return 0; }"
    )
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "main.o -L. -lfoo", linker=linker)
    linked = program.link()
    assert re.search("__mod_init_func|__init_offsets", objdump(linked.output, "--section-headers"))
    running = program.start()
    running.load(linked.output)
    running.call("set_up")
    assert running.call("patch_get") == 1000


def test_a_stripped_host_of_zigs_linker_may_have_functions_unseen(tmp_path: Path) -> None:
    """It lists no function starts, so that each of them seemed to have a name, and a second ``own`` was made."""
    own = "static int own; int foo_own(void) { return own++; }"
    sources = with_patch("int foo_own(void); int patch_own(void) { return foo_own(); }", LIBRARY + own)
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo", linker="zig")
    run([need("llvm-strip-19"), "-x", program.path])
    with pytest.raises(SymbolRefusal, match="_own: the host's symbol table does not name local"):
        program.link()


WAY = """
static volatile int far = 3; extern const int way;
__asm__(".section __TEXT,__const\\n.p2align 2\\n_way: .long _far - _way\\n.text\\n");
int foo_add(int by) { return *(int *)((const char *)&way + way) += by; }
int foo_get(void) { return far; } int foo_helped(int x) { return x; }
"""
"""A library that reaches its variable by a distance that it keeps as data."""

REFUSED = {
    "no local symbols": (
        "-dead_strip -x",
        LIBRARY + "static int own; int foo_own(void) { return own++; }",
        LIBRARY + "static int own; int foo_own(void) { return own++; }",
        "_own: the host's symbol table does not name local",
    ),
    "another build": (
        "-dead_strip",
        LIBRARY,
        LIBRARY.replace("count += by", "count -= by"),
        "_foo_add: the host's is another one: the archive was built anew",
    ),
    "other values": (
        "-dead_strip",
        LIBRARY,
        LIBRARY.replace("{10, 20", "{10, 21"),
        "_table: the host's is another one: the archive was built anew",
    ),
    "a constructor unseen": (
        "-dead_strip -x",
        "static volatile int late; __attribute__((constructor)) static void set_up(void) { late = 3; }" + LIBRARY,
        "static volatile int late; __attribute__((constructor)) static void set_up(void) { late = 4; }" + LIBRARY,
        "_set_up: it is run when the member is loaded, and it is not certain",
    ),
    "a variable that is kept": (
        "-dead_strip",
        LIBRARY + "__attribute__((used)) static int own; int foo_own(void) { return own; }",
        LIBRARY + "__attribute__((used)) static int own; int foo_own(void) { return own; }",
        "_own: the host keeps it although nothing refers to it there",
    ),
    "a way that is not read": (
        "-dead_strip",
        WAY,
        WAY,
        "_far: the host has it, and its code does not say where",
    ),
    "a distance": (
        "-dead_strip",
        LIBRARY,
        LIBRARY + '__asm__(".section __TEXT,__const\\n.p2align 2\\n_far: .long _foo_add - _far");'
        "extern int far; int foo_own(void) { return far; }",
        "__TEXT,__const+0x0: ARM64_RELOC_UNSIGNED against _foo_add: how far the host's is from the patch is not known",
    ),
}
"""What it is -> (the host's options, its library, the library when the patch is made, what is said)."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_the_hosts_is_refused_by_name(tmp_path: Path, case: str) -> None:
    """A second counter, or another build's, would link without a word."""
    options, before, now, message = REFUSED[case]
    own = "foo_own" if "foo_own" in now else "foo_get"
    patch = f"int {own}(void), foo_helped(int); int patch_get(void) {{ return {own}() + foo_helped(1); }}"
    program = make(tmp_path, with_patch(patch, before), {"libfoo.a": "foo.o"}, f"{options} main.o -L. -lfoo")
    again = tmp_path / "again"
    again.mkdir()
    make(again, with_patch(patch, now), {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo")
    (tmp_path / "libfoo.a").write_bytes((again / "libfoo.a").read_bytes())
    with pytest.raises(SymbolRefusal) as caught:
        program.link()
    assert f"libfoo.a(foo.o): {message}" in str(caught.value)


@pytest.mark.parametrize("visibility", ["", "-fvisibility-inlines-hidden"])
def test_a_static_that_only_an_inline_function_uses(tmp_path: Path, visibility: str) -> None:
    """The linker took one of several copies of the function: whose variable that one counts in, nobody can tell."""
    library = """
    static int hits; inline int touch() { return ++hits; }
    extern "C" { int foo_add(int by) { return touch() + by; } int foo_hits(void) { return hits; } }
    """
    sources = {
        "main.cc": f'extern "C" {{ {MAIN} }}',
        "foo.cc": library,
        "patch.c": "int foo_hits(void); int patch_main(void) { return foo_hits(); }",
    }
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo", flags=f"-O0 {visibility}")
    with pytest.raises(SymbolRefusal) as caught:
        program.link()
    assert "libfoo.a(foo.o): __ZL4hits: an inline function of the host's refers to one of that name" in str(
        caught.value
    )


@pytest.mark.parametrize("hidden", [False, True], ids=["", "hidden"])
def test_a_weak_default_that_gave_way_stays_given_way(tmp_path: Path, *, hidden: bool) -> None:
    """A library's weak hook is overridden by the program: its name means the program's, for the whole library."""
    library = """
    static int calls;
    __attribute__((weak)) int hook(int x) { calls++; return x; }
    int foo_add(int by) { return hook(by); }
    int foo_hook(int x) { return hook(x) + 1; }
    int foo_calls(void) { return calls; }
    """
    main = MAIN + " int hook(int x) { return x * 100; }"
    if hidden:  # and -x takes its name from the host
        library, main = (
            t.replace("int hook", '__attribute__((visibility("hidden"))) int hook') for t in (library, main)
        )
        library = library.replace("foo_calls(void) { return calls; }", "foo_calls(void) { return 0; }")
    option = "-x" if hidden else ""
    patch = """
    int foo_hook(int), foo_calls(void);
    int patch_hook(int x) { return foo_hook(x); } int patch_calls(void) { return foo_calls(); }
    """
    program = make(
        tmp_path, with_patch(patch, library, main), {"libfoo.a": "foo.o"}, f"-dead_strip {option} main.o -L. -lfoo"
    )
    running = run_patch(program)
    assert running.call("patch_hook", 3) == 301
    assert running.call("patch_calls") == 0


INLINE = """
struct Log { static inline int lines = 10; };
inline int &calls() { static int n = 100; return n; }
template <class T> struct Box { static T value; }; template <class T> T Box<T>::value = 1000;
extern "C" {
int foo_add(int by) { calls() += by; Log::lines += by; return Box<int>::value += by; }
int foo_calls() { return calls(); } int foo_lines() { return Log::lines; } int foo_box() { return Box<int>::value; }
}
"""


@every_linker
@pytest.mark.parametrize("visibility", ["", "-fvisibility=hidden", "-fvisibility-inlines-hidden"])
def test_inline_variables_are_the_hosts(tmp_path: Path, linker: str, visibility: str) -> None:
    """Weak definitions are one in a program: two of them are a singleton that there is twice."""
    shown = '__attribute__((visibility("default"))) int '
    patch = """
    int foo_calls(void); int foo_lines(void); int foo_box(void);
    int patch_main(void) { return foo_calls() * 1000000 + foo_lines() * 10000 + foo_box(); }
    """
    sources = {"main.cc": f'extern "C" {{ {MAIN} }}', "foo.cc": INLINE, "patch.c": patch}
    sources = {name: re.sub(r"\bint (?=(foo|patch|host)_|main)", shown, text) for name, text in sources.items()}
    flags = f"-O1 -std=c++17 {visibility}"
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo", linker=linker, flags=flags)
    running = run_patch(program, ("main", 0), ("foo_add", 3))
    assert running.call("patch_main") == 103 * 1000000 + 13 * 10000 + 1003


def test_a_thread_local_is_the_hosts(tmp_path: Path) -> None:
    """A patch with a descriptor of its own counts in a second variable, which no thread of the host ever reads."""
    library = """
    static _Thread_local int depth = 3; _Thread_local int level = 1;
    int foo_add(int by) { level += by; return depth += by; }
    int foo_depth(void) { return ++depth; } int foo_level(void) { return level; }
    """
    main = (
        MAIN
        + """
    long thread_storage[512];
    __asm__(".globl _stand_in\\n_stand_in:\\n"
            "ldr x0, [x0, #16]\\n stp x1, x30, [sp, #-16]!\\n"
            "adrp x1, _thread_storage@PAGE\\n add x1, x1, _thread_storage@PAGEOFF\\n add x0, x0, x1\\n"
            "ldp x1, x30, [sp], #16\\n ret\\n"); int stand_in(void); __attribute__((used)) int (*keep)(void) = stand_in;
    """
    )
    patch = """
    int foo_depth(void), foo_level(void);
    int patch_depth(void) { return foo_depth(); } int patch_level(void) { return foo_level(); }
    """
    program = make(tmp_path, with_patch(patch, library, main), {"libfoo.a": "foo.o"}, "-dead_strip main.o -L. -lfoo")
    running = program.start()
    for name in ("depth", "level"):
        running.emulator.write_word(running.address(name), running.address("stand_in"))
    assert running.call("foo_add", 5) == 5
    linked = program.link()
    running.load(linked.output)
    assert running.call("patch_depth") == 6
    assert running.call("patch_level") == 5
    assert running.call("foo_add", 1) == 7
    assert "__thread_vars" not in objdump(linked.output, "--section-headers")


def test_a_new_thread_local_comes_along(tmp_path: Path) -> None:
    """A new member's thread-locals are the patch's own, with the loader's descriptors."""
    library = """
    static _Thread_local int depth = 3, zero;
    int foo_depth(void) { return ++depth + zero++; }
    """
    sources = with_patch(
        "int foo_depth(void); int patch_depth(void) { return foo_depth(); }",
        library,
        "_Thread_local int own; int main(void) { return own++; }",
    )
    program = make(tmp_path, sources, {"libfoo.a": "foo.o"}, "main.o -L. -lfoo")
    headers = objdump(program.link().output, "--section-headers")
    assert {"__thread_vars", "__thread_data", "__thread_bss"} <= set(headers.split())


@every_linker
def test_hidden_names_and_commons_are_the_hosts(tmp_path: Path, linker: str) -> None:
    """What a library keeps to itself, and what lies in no section until the link, the host has once."""
    library = """
    int common; __attribute__((visibility("hidden"))) int hidden = 5;
    __attribute__((visibility("hidden"), noinline)) int inner(int x) { common++; return hidden += x; }
    int foo_add(int by) { return inner(by); }
    int foo_get(void) { return 100 * inner(1) + common; }
    """
    patch = "int foo_get(void); int patch_get(void) { return foo_get(); }"
    program = make(
        tmp_path,
        with_patch(patch, library),
        {"libfoo.a": "foo.o"},
        "-dead_strip main.o -L. -lfoo",
        flags="-O1 -fcommon",
    )
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_get") == 902
    assert running.call("foo_add", 1) == 10


@pytest.mark.parametrize("linker", ["lld", "zig"])
@pytest.mark.parametrize("compiler", ["lld", "zig"])
def test_exceptions_pass_through_what_was_taken(tmp_path: Path, linker: str, compiler: str) -> None:
    """Without its unwind entries an exception that passes through a borrowed function ends the program."""
    library = """
    extern "C" { void may_throw(int); static int count;
    int foo_add(int by) { return count += by; }
    int foo_catch(int x) { try { may_throw(x); } catch (int v) { return v + count; } return 0; }
    int foo_pass(int x) { struct S { ~S() { count++; } } s; may_throw(x); return x; } }
    """
    sources = {
        "main.cc": """
        extern "C" { int foo_add(int); void may_throw(int x); int main(void) { may_throw(0); return foo_add(0); }
        __attribute__((noinline)) void may_throw(int x) { if (x > 100) throw x; }
        __attribute__((used)) int host_catch(int x) { struct S { ~S() { may_throw(0); } } s;
          try { may_throw(x); } catch (int v) { return v; } return 1; } }
        """,
        "foo.cc": library,
        "patch.c": "int foo_catch(int), foo_pass(int); int patch_catch(int x) { return foo_catch(x) + foo_pass(x); }",
    }
    program = make(
        tmp_path,
        sources,
        {"libfoo.a": "foo.o"},
        "-dead_strip main.o -L. -lfoo",
        linker=compiler,
        flags="-O1 -fexceptions",
    )
    if linker != compiler:
        program = make(tmp_path, {}, {}, "-dead_strip main.o -L. -lfoo", linker=linker)
    linked = program.link()
    addresses = symbols(linked.output)
    shown = run([need("llvm-objdump-19"), "--macho", "--unwind-info", linked.output])
    entries = re.findall(r"function offset=0x(\w+), encoding(?:\[\d+\])?=0x(\w+)", shown)
    landing = {int(a, 16) for a in re.findall(r"function offset=0x(\w+), LSDA offset", shown)}
    frames = run([need("llvm-dwarfdump-19"), "--eh-frame", linked.output])
    covered = {int(a, 16) for a in re.findall(r"pc=(\w+)\.\.\.", frames)}
    for name in ("_foo_catch", "_foo_pass"):
        at = addresses.get(name) or addresses[name.removeprefix("_")]
        assert at in {int(offset, 16) for offset, _ in entries} | covered, (name, shown, frames)
        assert at in landing or at in covered
    running = run_patch(program, ("foo_add", 3))
    assert running.call("patch_catch", 8) == 8
    assert running.call("foo_add", 0) == 4
