"""Hosts whose link has options that are the host's alone: what each would do to a patch, and does not.

Every host is linked with the option, captured and patched while it runs, by the command line alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, capture_executable, capturing, libraries_of, stubgen
from tools import linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture, newest_capture
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch

MAIN = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
extern long host_entry(long);
extern void *host_anchor(void);
int main(void) {
  char line[4096];
  void *patch = 0;
  setvbuf(stdout, 0, _IOLBF, 0);
  printf("anchor %p\\n", host_anchor());
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\\n")] = 0;
    if (!strncmp(line, "call ", 5)) printf("call %ld\\n", host_entry(atol(line + 5)));
    else if (!strncmp(line, "patch ", 6)) {
      patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      long (*entry)(void) = patch ? (long (*)(void))dlsym(patch, "patch_main") : 0;
      if (entry) printf("patch %ld\\n", entry());
      else printf("dlerror %s\\n", dlerror());
    } else if (!strcmp(line, "close")) printf("close %d\\n", dlclose(patch));
    else { puts("bye"); return 0; }
  }
  return 0;
}
"""

ANCHOR = "void *host_anchor(void) { return (void *)&host_anchor; }\n"

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold", "gold": "gold"}

linkers = pytest.mark.parametrize("linker", ["gnu", "lld", "mold"])


class Host(NamedTuple):
    """A host that was linked through the capture executable."""

    program: Path
    binary: Path
    """What is patched: the program, or its library."""
    records: Path

    def patch(self, live: LiveHost, folder: Path, *objects: Path) -> Path:
        """A patch for *live*, made of *objects*; the test fails if it is refused."""
        output = folder / "patch.so"
        done = stubgen(
            *("link", "--host", self.binary, "--captured", self.records, "--aslr-reference", hex(live.anchor)),
            *("--anchor", "host_anchor", "--export", "patch_main", "-o", output, *objects),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return output


def compiled(folder: Path, name: str, source: str, *options: str) -> Path:
    """The object of C, or where *name* ends in x of C++, *source*."""
    language, compiler = (".cc", "aarch64-linux-gnu-g++") if name.endswith("x") else (".c", "aarch64-linux-gnu-gcc")
    path = folder / (name + language)
    path.write_text(source)
    run([need(compiler), "-c", "-O1", "-fPIC", *options, path, "-o", folder / f"{name}.o"])
    return folder / f"{name}.o"


def host(folder: Path, linker: str, words: Sequence[object], **sources: str) -> Host:
    """A program of MAIN and *sources*, of which *words* of its link are names; others are its options."""
    objects = {name: compiled(folder, name, source) for name, source in sources.items()}
    objects["main"] = compiled(folder, "main", MAIN)
    driver = need("aarch64-linux-gnu-gcc")
    arguments = [
        *("-B", linker_folder(folder / "linkers"), f"-fuse-ld={LINKERS[linker]}", "-pie", "-Wl,--build-id"),
        *(objects.get(str(word), word) for word in words),
        *("-ldl", "-o", folder / "host"),
    ]
    run([capture_executable(folder), *arguments], env=capturing(folder / "captured", str(driver)), cwd=folder)
    return Host(folder / "host", folder / "host", folder / "captured")


@linkers
def test_start_up_code_that_ran_again_would_reset_the_host(linker: str, tmp_path: Path) -> None:
    """-init and -fini name the host's functions: with them, dlopen initialises and dlclose shuts down the program."""
    source = (
        ANCHOR
        + "long n = 40; void up(void) { n += 1; } void down(void) { n += 1000; } long host_entry(long a) { return n; }"
    )
    made = host(tmp_path, linker, ["-Wl,-init,up", "-Xlinker", "--fini=down", "main", "app"], app=source)
    patch = (
        "extern long n; void up(void); void down(void);"
        "void again(void) { up(); down(); } long patch_main(void) { return n; }"
    )
    with LiveHost(made.program) as live:
        assert live.tell("call 0") == "call 41"
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", patch))) == "patch 41"
        assert live.tell("close") == "close 0"
        assert live.tell("call 0") == "call 41"
        live.end()


WRAPPED = {
    "original": "static int n; __attribute__((noinline)) long bump(int k) { n += k; return n; } int level = 5;",
    "wrapper": (
        "long __real_bump(int k); int __wrap_level = 6;long __wrap_bump(int k) { return 1000000 + __real_bump(k); }"
    ),
    "app": ANCHOR + "long bump(int); long host_entry(long a) { return bump(a); }",
}
WRAP = ["-Wl,--wrap=bump", "-Wl,--wrap", "-Wl,level", "main", "original", "wrapper", "app"]


@linkers
def test_a_call_past_the_wrapper_would_miss_what_it_adds(linker: str, tmp_path: Path) -> None:
    """With --wrap=f the host's f is __wrap_f; a patch that calls the bare one skips its locks, counters or checks."""
    made = host(tmp_path, linker, WRAP, **WRAPPED)
    patch = (
        "long bump(int); long __real_bump(int); extern int level, __real_level; long (*const table[])(int) = { bump };"
        "long (*taken(void))(int) { return bump; }"
        "long patch_main(void) {"
        "  return bump(1) - __real_bump(0) + (taken() == table[0]) * 10 + level * 100 + __real_level;"
        "}"
    )
    with LiveHost(made.program) as live:
        assert live.tell("call 3") == "call 1000003"
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", patch))) == "patch 1000615"
        assert live.tell("call 3") == "call 1000007"
        live.end()


@linkers
def test_a_new_wrapper_would_be_left_out_of_the_patchs_calls(linker: str, tmp_path: Path) -> None:
    """The patch replaces __wrap_f: its own calls of f must reach the new one, whose __real_f is the host's f."""
    made = host(tmp_path, linker, WRAP, **WRAPPED)
    wrapper = compiled(
        tmp_path, "w", "long __real_bump(int); long __wrap_bump(int k) { return 2000000 + __real_bump(k); }"
    )
    caller = compiled(tmp_path, "p", "long bump(int); long patch_main(void) { return bump(1); }")
    with LiveHost(made.program) as live:
        assert live.patch(made.patch(live, tmp_path, caller, wrapper)) == "patch 2000001"
        assert live.tell("call 3") == "call 1000004"
        live.end()


@linkers
def test_a_new_function_behind_the_wrapper_would_be_called_past_it(linker: str, tmp_path: Path) -> None:
    """The patch replaces f itself: others of its objects go on calling the wrapper, as in the full build."""
    made = host(tmp_path, linker, WRAP, **WRAPPED)
    new = compiled(
        tmp_path,
        "n",
        "__attribute__((noinline)) long bump(int k) { return 7; } long direct(void) { return bump(1) > 7; }",
    )
    caller = compiled(
        tmp_path, "p", "long bump(int); long direct(void); long patch_main(void) { direct(); return bump(1); }"
    )
    with LiveHost(made.program) as live:
        answer = live.patch(made.patch(live, tmp_path, caller, new))
        assert answer in ("patch 1000001", "patch 1000002")  # lld takes a use in the defining object there as well
        assert (answer == "patch 1000002") == (linker == "lld")
        live.end()


@linkers
def test_an_alias_of_the_host_would_fail_every_link(linker: str, tmp_path: Path) -> None:
    """--defsym=a=b needs b on the command line, where there are only the patch's objects."""
    source = ANCHOR + "long host_entry(long a) { return a; } long helper(long a) { return a + 7; }"
    made = host(tmp_path, linker, ["-Wl,--defsym=other=helper", "-Wl,-defsym,more=helper", "main", "app"], app=source)
    patch = "long other(long); long more(long); long patch_main(void) { return other(1) + more(100); }"
    with LiveHost(made.program) as live:
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", patch))) == "patch 115"
        live.end()


PLAIN = ANCHOR + "long host_entry(long a) { return a; }"
CALLER = "long host_entry(long); long patch_main(void) { return host_entry(1) + 1; }"


@pytest.mark.parametrize("linker", ["lld", "mold"])
def test_a_patch_inside_start_lib_would_be_linked_without_its_code(linker: str, tmp_path: Path) -> None:
    """What stands between --start-lib and --end-lib is linked only where something refers to it."""
    words = ["-Wl,--start-lib", "main", "app", "-Wl,--end-lib", "-u", "main", "-Wl,-u,host_entry"]
    made = host(tmp_path, linker, words, app=PLAIN)
    with LiveHost(made.program) as live:
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", CALLER))) == "patch 2"
        live.end()


@pytest.mark.parametrize(
    ("linker", "option"),
    [
        *((linker, "-Wl,--dynamic-linker=/lib/ld-linux-aarch64.so.1") for linker in LINKERS),
        *((linker, "-Wl,-I,/lib/ld-linux-aarch64.so.1") for linker in LINKERS if linker != "lld"),  # which has no -I
    ],
)
def test_a_patch_with_an_interpreter_would_be_an_executable(linker: str, option: str, tmp_path: Path) -> None:
    """Of whatever has --dynamic-linker mold makes a program, and no loader takes it for a library."""
    made = host(tmp_path, linker, [option, "main", "app"], app=PLAIN)
    with LiveHost(made.program) as live:
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", CALLER))) == "patch 2"
        live.end()


@pytest.mark.parametrize(
    ("linker", "option"),
    [
        *((linker, option) for linker in LINKERS for option in ("-u on_create", "-Wl,--undefined=on_create")),
        ("gnu", "-Wl,--require-defined,on_create"),  # the only one of the three that has it
    ],
)
def test_a_required_symbol_would_bring_its_archive_again(linker: str, option: str, tmp_path: Path) -> None:
    """-u is how Android's glue is linked; its member would be in the patch with a state of its own."""
    glue = compiled(tmp_path, "glue", "static int state; int on_create(void) { return state++; }")
    run([need("aarch64-linux-gnu-ar"), "rcs", tmp_path / "libglue.a", glue])
    made = host(tmp_path, linker, [*option.split(), "main", "app", "-L.", "-lglue"], app=PLAIN)
    with LiveHost(made.program) as live:
        patch = made.patch(live, tmp_path, compiled(tmp_path, "p", CALLER))
        assert live.patch(patch) == "patch 2"
        live.end()
    assert "on_create" not in run([need("llvm-nm-19"), "--defined-only", patch])


@linkers
def test_a_patch_under_notext_would_be_refused_for_what_it_has_not(linker: str, tmp_path: Path) -> None:
    """For -z notext lld writes DT_TEXTREL, also where no relocation writes to code."""
    made = host(tmp_path, linker, ["-Wl,-z,notext", "main", "app"], app=PLAIN)
    with LiveHost(made.program) as live:
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", CALLER))) == "patch 2"
        live.end()


@linkers
def test_a_fixed_build_id_would_make_the_patch_pass_for_the_host(linker: str, tmp_path: Path) -> None:
    """Debuggers and crash reporters find symbols by it: they would show the host's for addresses in the patch."""
    made = host(tmp_path, linker, ["-Wl,--build-id=0x1234567890abcdef", "main", "app"], app=PLAIN)
    with LiveHost(made.program) as live:
        patch = made.patch(live, tmp_path, compiled(tmp_path, "p", CALLER))
        assert live.patch(patch) == "patch 2"
        live.end()
    assert "1234567890abcdef" in run([need("readelf"), "-n", made.program])
    assert "1234567890abcdef" not in run([need("readelf"), "-n", patch])


@pytest.mark.parametrize(
    "script", ["VERSION { HOST_1.0 { global: host_entry; host_anchor; local: *; }; }", "INPUT(app.o)"]
)
def test_a_librarys_script_would_hide_or_double_what_is_linked(script: str, tmp_path: Path) -> None:
    """A script says what is global, and may name files: patch_main would be hidden, or the host be there twice."""
    main, app = (
        compiled(tmp_path, "main", MAIN),
        compiled(tmp_path, "app", "long n; " + PLAIN.replace("return a", "return n += a")),
    )
    default = run([need("aarch64-linux-gnu-ld"), "-shared", "--verbose"]).split("=" * 50)[1]
    (tmp_path / "host.lds").write_text(f"{script}\n{default}")
    inputs = [] if "INPUT" in script else [app]
    words = [*inputs, "-shared", "-Wl,-T,host.lds", "-Wl,-soname,libhost.so", "-o", "libhost.so"]
    driver = str(need("aarch64-linux-gnu-gcc"))
    run([capture_executable(tmp_path), *words], env=capturing(tmp_path / "captured", driver), cwd=tmp_path)
    run([driver, main, "-L", tmp_path, "-lhost", "-ldl", "-o", tmp_path / "program"])
    made = Host(tmp_path / "program", tmp_path / "libhost.so", tmp_path / "captured")
    with LiveHost(made.program, libraries=[tmp_path]) as live:
        assert live.tell("call 5") == "call 5"
        assert live.patch(made.patch(live, tmp_path, compiled(tmp_path, "p", CALLER))) == "patch 7"
        assert live.tell("call 5") == "call 11"
        live.end()


def test_a_library_by_path_would_be_missing_from_the_patch(tmp_path: Path) -> None:
    """A library that the build names by path supplies what the host imports, and the patch as well."""
    run(
        [
            need("aarch64-linux-gnu-gcc"),
            "-shared",
            "-Wl,-soname,libdep.so",
            compiled(tmp_path, "d", "long dep(void) { return 40; }"),
            "-o",
            tmp_path / "libdep.so",
        ]
    )
    source = "long dep(void); " + PLAIN.replace("return a", "return dep() + a")
    made = host(tmp_path, "gnu", ["main", "app", tmp_path / "libdep.so"], app=source)
    patch = "long dep(void); long patch_main(void) { return dep() + 2; }"
    with LiveHost(made.program, libraries=[tmp_path]) as live:
        linked = made.patch(live, tmp_path, compiled(tmp_path, "p", patch))
        assert live.patch(linked) == "patch 42"
        live.end()
    assert "libdep.so" in libraries_of(linked)


@pytest.mark.parametrize("linker", ["gnu", "lld"])
@pytest.mark.parametrize("place", ["-Wl,--defsym=here=table+4", "names.ld"])
def test_a_name_within_a_table_is_no_constant(linker: str, place: str, tmp_path: Path) -> None:
    """GNU ld makes an absolute symbol of it, with the table's type: without the slide the patch reads nowhere."""
    (tmp_path / "names.ld").write_text("here = table + 4;")
    source = "int table[] = {1, 2, 3}; " + PLAIN.replace("return a", "return a + table[1]")
    words = ["main", "app", tmp_path / place if place == "names.ld" else place]
    made = host(tmp_path, linker, words, app=source)
    patch = compiled(tmp_path, "p", "extern int here; long patch_main(void) { return here++ + 100; }")
    with LiveHost(made.program) as live:
        assert live.tell("call 1") == "call 3"
        assert live.patch(made.patch(live, tmp_path, patch)) == "patch 102"
        assert live.tell("call 1") == "call 4"
        live.end()


RAW_LINKERS = {
    "gnu": ["aarch64-linux-gnu-ld"],
    "gold": ["aarch64-linux-gnu-ld.gold"],
    "lld": ["ld.lld-19"],
    "mold": ["mold", "-m", "aarch64linux"],
}

DESTRUCTOR = """
extern "C" long host_entry(long);
struct Told { long v; Told(long v) : v(v) {} ~Told() { host_entry(v); } };
extern "C" long patch_main(void) { static Told told(100); return told.v; }
"""


def file_of_gcc(name: str) -> str:
    """Where the cross compiler keeps its start-up file or library *name*."""
    return run([need("aarch64-linux-gnu-gcc"), f"-print-file-name={name}"]).strip()


@pytest.mark.parametrize("linker", RAW_LINKERS)
@pytest.mark.parametrize("kind", ["pie", "no-pie"])
def test_a_static_destructor_would_run_after_its_code_is_gone(linker: str, kind: str, tmp_path: Path) -> None:
    """Who runs the linker itself names crtbeginS.o, which has __dso_handle: without it, dlclose runs nothing.

    A program at fixed addresses is linked with crtbegin.o, whose __dso_handle is 0: the destructor would run when
    the process ends, in memory that dlclose gave back.
    """
    start, begin, end = (
        ("Scrt1.o", "crtbeginS.o", "crtendS.o") if kind == "pie" else ("crt1.o", "crtbegin.o", "crtend.o")
    )
    source = "static long n; " + PLAIN.replace("return a", "return n += a")
    objects = [compiled(tmp_path, "main", MAIN), compiled(tmp_path, "app", source)]
    program, *options = RAW_LINKERS[linker]
    words = [
        *options,
        *(["-pie"] if kind == "pie" else ["-no-pie"] if linker == "lld" else []),
        *("--eh-frame-hdr", "-dynamic-linker", "/lib/ld-linux-aarch64.so.1", "-o", "host"),
        *(file_of_gcc(name) for name in (start, "crti.o", begin)),
        *objects,
        *(f"-L{Path(file_of_gcc(name)).parent}" for name in ("libc.so", "libgcc.a")),
        *("-lgcc", "-lc", "-lgcc"),
        *(file_of_gcc(name) for name in (end, "crtn.o")),
    ]
    run([capture_executable(tmp_path), *words], env=capturing(tmp_path / "captured", str(need(program))), cwd=tmp_path)
    made = Host(tmp_path / "host", tmp_path / "host", tmp_path / "captured")
    patch = compiled(tmp_path, "px", DESTRUCTOR, "-fno-exceptions", "-fno-threadsafe-statics")
    with LiveHost(made.program) as live:
        assert live.patch(made.patch(live, tmp_path, patch)) == "patch 100"
        assert live.tell("call 1") == "call 1"
        assert live.tell("close") == "close 0"
        assert live.tell("call 1") == "call 102"
        live.end()


MACHO_OPTIONS = (
    ["-init", "_start_up"],
    ["-u", "_main"],
    ["-exported_symbol", "_main"],
    ["-unexported_symbol", "_patch_main"],
    ["-alias", "_helper", "_other"],
    ["-flat_namespace"],
    ["-no_adhoc_codesign"],
    ["-e", "_main", "-no_exported_symbols"],
)


@pytest.mark.parametrize("options", MACHO_OPTIONS, ids=lambda words: words[0])
def test_an_apple_hosts_own_option_would_fail_or_hide_the_patch(options: list[str], tmp_path: Path) -> None:
    """The host's symbols by name are undefined in a patch, looked up at load, or hide what it exports."""
    clang, linker = need("clang-19", "ld64.lld-19")
    objects = {}
    for name, source in (
        ("app", "int helper(int a) { return a; } void start_up(void) {} int main(void) { return helper(1); }"),
        ("patch", "int helper(int); int patch_main(void) { return helper(2); } void start_up(void) {}"),
    ):
        (tmp_path / f"{name}.c").write_text(source)
        objects[name] = tmp_path / f"{name}.o"
        run([clang, "--target=arm64-apple-macos13", "-c", tmp_path / f"{name}.c", "-o", objects[name]])
    command = [
        linker,
        "-arch",
        "arm64",
        "-platform_version",
        "macos",
        "13.0",
        "13.0",
        "-o",
        "host",
        str(objects["app"]),
    ]
    run([*command, *options], cwd=tmp_path)
    record = Capture([*command, *options], tmp_path, {}, output="host")
    linked = link_patch(
        StubBuilder(tmp_path / "host"),
        record,
        [objects["patch"]],
        tmp_path / "p.dylib",
        slide=0x4000,
        exports=["_patch_main"],
    )
    assert linked.checked.ok
    shown = subprocess.run(
        [str(need("llvm-objdump-19")), "--macho", "--all-headers", "--exports-trie", str(tmp_path / "p.dylib")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "_patch_main" in shown.partition("Exports trie")[2]
    assert "LC_CODE_SIGNATURE" in shown
    assert "LC_ROUTINES" not in shown
    assert "TWOLEVEL" in shown


FOLDED = """
__attribute__((noinline)) static long NAME(long x) { return x * 3 + NUMBER; }
long of_NAME(long x) { return NAME(x) + 1; }
"""


@pytest.mark.parametrize("linker", ["gold", "lld", "mold"])
def test_functions_that_a_linker_would_fold_are_each_in_the_patch(linker: str, tmp_path: Path) -> None:
    """Gold leaves one name of several: the others were in no table, and callers went on calling the old ones."""

    def source(name: str, number: int) -> str:
        return FOLDED.replace("NAME", name).replace("NUMBER", str(number))

    entry = "long of_one(long), of_two(long); long host_entry(long a) { return of_one(a) + of_two(a); }"
    words = ["-Wl,--icf=all", "-rdynamic", "main", "app", "one", "two"]
    made = host(tmp_path, linker, words, app=ANCHOR + entry, one=source("one", 1), two=source("two", 2))
    own = [compiled(tmp_path, "one", source("one", 7)), compiled(tmp_path, "two", source("two", 7))]
    anchored = compiled(tmp_path, "patch", "long patch_main(void) { return 1; }")
    with LiveHost(made.program) as live:
        assert live.tell("call 2") == "call 17"
        builder = StubBuilder(made.binary)
        captured = newest_capture(made.records, "host")
        options = {"anchor": "host_anchor", "exports": ["patch_main"], "jump_table": TableOptions()}
        linked = link_patch(builder, captured, [*own, anchored], tmp_path / "p.so", live.anchor, **options)
        assert linked.jump_table is not None
        assert {entry.name for entry in linked.jump_table.entries} == {"one", "two", "of_one", "of_two"}
        assert len({entry.new for entry in linked.jump_table.entries}) == 4
