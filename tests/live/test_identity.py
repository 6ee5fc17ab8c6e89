"""One entity, one address: type information, constants, and the statics of inline functions, in living processes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost
from tools import PROGRAMS, linker_folder, need, run, rustc

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_patch
from stubgen.errors import SymbolRefusal
from stubgen.link import Linked, link_patch

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}
"""What tests call a linker -> what ``-fuse-ld`` does."""

COMPILERS = {"gcc": ["aarch64-linux-gnu-g++"], "clang": ["clang++-19", "--target=aarch64-linux-gnu"]}
"""What tests call a compiler -> its command."""


class Program(NamedTuple):
    """A linked host, and the record of its link."""

    path: Path
    captured: Capture

    def link(self, live: LiveHost, output: Path, *patch: Path, **options: object) -> Linked:
        """The patch, linked for *live*."""
        builder = StubBuilder(self.path)
        return link_patch(builder, self.captured, patch, output, live.anchor, exports=["patch_main"], **options)


def compile_to(output: Path, source: Path, *options: str, compiler: str = "gcc") -> Path:
    """Compile *source* as position-independent code; C++ compilers read C as C where its name says so."""
    command, *target = COMPILERS[compiler]
    if source.suffix == ".c":
        command = {"gcc": "aarch64-linux-gnu-gcc", "clang": "clang-19"}[compiler]
    run([need(command), *target, "-O1", "-fPIC", "-I", PROGRAMS, *options, "-c", source, "-o", output])
    return output


def link_host(folder: Path, linker: str, *options: str, objects: tuple[Path, ...]) -> Program:
    """The objects with ``answering_host.c``, and the record of their link."""
    main = compile_to(folder / "main.o", PROGRAMS / "answering_host.c")
    driver = str(need("aarch64-linux-gnu-g++"))
    argv = [driver, "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={LINKERS[linker]}", "-pie", *options]
    argv += [str(main), *map(str, objects), "-o", str(folder / "host")]
    run(argv)
    return Program(folder / "host", Capture(argv, folder, {}))


SEPARATE = [(), ("-fdata-sections",)]
"""Options with which a compiler puts constants into one section, or each into its own."""


@pytest.mark.parametrize("options", SEPARATE, ids=["together", "apart"])
@pytest.mark.parametrize(("linker", "compiler"), [*itertools.product(LINKERS, COMPILERS)])
def test_a_type_is_one_type(linker: str, compiler: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """The patch's catch missed what the host threw, and the process ended; what the patch changed must stay its own."""
    source = PROGRAMS / "identity_unit.cc"
    host = compile_to(tmp_path / "unit.o", source, *options, compiler=compiler)
    program = link_host(tmp_path, linker, objects=(host,))
    patch = compile_to(tmp_path / "patch.o", source, "-DPATCH", *options, compiler=compiler)
    with LiveHost(program.path) as live:
        linked = program.link(live, tmp_path / "patch.so", patch)
        answer = live.patch(tmp_path / "patch.so")
        live.end()
    assert answer.startswith("caught 5 names 11 "), answer
    assert " casts 1 " in answer, answer
    assert answer.endswith(" limits 40 corners 4 40 40"), answer
    forwarded = {variable.name for variable in linked.built.resolution.shared_variables if variable.forwarded}
    assert {"_ZTS5Shape", "_ZTSN12_GLOBAL__N_15ErrorE"} <= forwarded
    assert not {"limits", "_ZTV5Shape", "_ZTVN12_GLOBAL__N_16SecretE"} & forwarded
    if options:
        assert " infos 1 " in answer
        assert " tag 1 " in answer
        assert {"_ZL3tag", "_ZTI5Shape", "_ZTIN12_GLOBAL__N_15ErrorE"} <= forwarded


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_name_that_code_takes_by_its_section_is_refused(compiler: str, tmp_path: Path) -> None:
    """``typeid(x) == typeid(Local)`` is folded to an address among constants, which is the patch's: never equal."""
    source = PROGRAMS / "identity_unit.cc"
    program = link_host(tmp_path, "gnu", objects=(compile_to(tmp_path / "unit.o", source, compiler=compiler),))
    patch = compile_to(tmp_path / "patch.o", source, "-DPATCH", "-DFOLDED", compiler=compiler)
    with pytest.raises(SymbolRefusal, match=r"against _ZTSN12_GLOBAL__N_16SecretE: .* compile with -fdata-sections"):
        StubBuilder(program.path).build([patch], slide=0, bind=True, allow_missing=True)
    apart = compile_to(tmp_path / "apart.o", source, "-DPATCH", "-DFOLDED", "-fdata-sections", compiler=compiler)
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", apart)
        assert "names 11 " in live.patch(tmp_path / "patch.so")
        live.end()


OTHER_FILE = """
#include "identity.hh"
Inline *other_inline() { return new Inline; }
"""
WATCHING = """
#include "identity.hh"
Inline *other_inline();
extern "C" __attribute__((visibility("default"))) const char *patch_main() {
  static const std::type_info *volatile info = &typeid(Inline);
  return typeid(*other_inline()).name() == info->name() ? "one" : "two";
}
"""


@pytest.mark.parametrize("visibility", ["default", "hidden"])
@pytest.mark.parametrize("linker", LINKERS)
def test_a_type_without_a_file_of_its_own_is_one_type(linker: str, visibility: str, tmp_path: Path) -> None:
    """Whichever file brought its type_info into the host: mold and lld make it look like that file's static one."""
    objects = []
    for name, text in (("other.cc", OTHER_FILE), ("new.cc", WATCHING)):
        (tmp_path / name).write_text(text)
        output = (tmp_path / name).with_suffix(".o")
        objects.append(compile_to(output, tmp_path / name, f"-fvisibility={visibility}"))
    unit = compile_to(tmp_path / "unit.o", PROGRAMS / "identity_unit.cc")
    program = link_host(tmp_path, linker, objects=(objects[0], unit))
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", objects[1])
        assert live.patch(tmp_path / "patch.so") == "one"
        live.end()


def test_another_files_constant_is_not_the_patchs(tmp_path: Path) -> None:
    """Two files may each have a ``static const char tag[]`` of the same bytes: to compare them must say no."""
    text = 'static const char tag[] = "same"; const void *{0}(void) {{ return tag; }}'
    (tmp_path / "one.c").write_text(text.format("one_tag"))
    (tmp_path / "two.c").write_text(
        text.format("two_tag") + " const void *one_tag(void);"
        'const char *patch_main(void) { return one_tag() == two_tag() ? "one" : "two"; }'
    )
    one, two = (
        compile_to(tmp_path / f"{name}.o", tmp_path / f"{name}.c", "-fdata-sections") for name in ("one", "two")
    )
    program = link_host(tmp_path, "gnu", objects=(one,))
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", two)
        assert live.patch(tmp_path / "patch.so") == "two"
        live.end()


@pytest.mark.parametrize("level", [1, 3])
@pytest.mark.parametrize("linker", LINKERS)
def test_a_rust_static_is_one(linker: str, level: int, tmp_path: Path) -> None:
    """A sentinel that is told by its address was never found again; one that the edit changed is the patch's."""
    source = PROGRAMS / "identity_rust" / "unit.rs"
    command = [*rustc(), "--edition", "2024", "--crate-type", "rlib", "-C", f"opt-level={level}", "--emit=obj", source]
    run([*command, "-o", tmp_path / "unit.o"])
    run([*command, "--cfg", "patch", "-o", tmp_path / "patch.o"])
    program = link_host(tmp_path, linker, "-Wl,--no-gc-sections", objects=(tmp_path / "unit.o",))
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "patch.so", tmp_path / "patch.o")
        assert live.patch(tmp_path / "patch.so") == "one canary, own limits"
        live.end()


REGISTER = """
template <class T> struct Register { static inline T words[N] = {5}; };
inline long &counter() { static long count = 100; return count; }
inline int *area() { static int words[N]; return words; }
#ifdef PATCH
extern "C" int snprintf(char *, unsigned long, const char *, ...);
extern "C" const char *patch_main() {
  static char text[64];
  long first = Register<long>::words[0];
  for (int i = 0; i < N; i++) Register<long>::words[i] = area()[i] = -1;
  snprintf(text, sizeof text, "count %ld first %ld", ++counter(), first);
  return text;
}
#else
extern "C" const char *host_answer() {
  static char text[64];
  long others = Register<long>::words[0] + area()[0];
  counter()++;
  __builtin_snprintf(text, sizeof text, "count %ld others %ld", counter(), others);
  return text;
}
#endif
"""


def make_register(folder: Path, linker: str) -> tuple[Program, Path]:
    """A host that exports unique symbols, and the object of a patch whose arrays are longer."""
    (folder / "register.cc").write_text(REGISTER)
    host = compile_to(folder / "register.o", folder / "register.cc", "-std=c++17", "-DN=1", "-fdata-sections")
    options = ("-std=c++17", "-DN=64", "-DPATCH", "-fdata-sections")
    patch = compile_to(folder / "patch.o", folder / "register.cc", *options)
    assert "UNIQUE" in run([need("readelf"), "-sW", patch])
    return link_host(folder, linker, "-rdynamic", objects=(host,)), patch


@pytest.mark.parametrize("linker", LINKERS)
def test_a_grown_static_of_an_inline_function_is_the_patchs(linker: str, tmp_path: Path) -> None:
    """The loader gave the patch the host's shorter array (STB_GNU_UNIQUE), and it wrote over what lies behind."""
    program, patch = make_register(tmp_path, linker)
    with LiveHost(program.path) as live:
        assert live.tell("host") == "count 101 others 5"
        linked = program.link(live, tmp_path / "patch.so", patch)
        assert live.patch(tmp_path / "patch.so") == "count 101 first 5"
        assert live.tell("host") == "count 102 others 5"
        live.end()
    assert "UNIQUE" not in run([need("readelf"), "-sW", linked.output])


@pytest.mark.parametrize("linker", LINKERS)
def test_a_static_of_an_inline_function_is_kept(linker: str, tmp_path: Path) -> None:
    """With ``--keep-state`` its count goes on; what has grown starts afresh all the same."""
    program, patch = make_register(tmp_path, linker)
    with LiveHost(program.path) as live:
        assert live.tell("host") == "count 101 others 5"
        program.link(live, tmp_path / "patch.so", patch, keep_state=True)
        assert live.patch(tmp_path / "patch.so") == "count 102 first 5"
        assert live.tell("host") == "count 103 others 5"
        live.end()


ENGINE = """
int counter = 41, array[4] = {1, 2, 3, 4};
const int limit = 7;
int bump(void) { return ++counter + array[1]; }
__attribute__((noinline)) int chosen(int x) { return x + 1; }
int (*pointer(void))(int) { return chosen; }
int call_chosen(int x) { return chosen(x); }
void *engine_anchor(void) { return (void *)&engine_anchor; }
"""
MAIN_PROGRAM = """
extern int counter, array[4], bump(void), call_chosen(int);
#ifdef CHOSEN
int chosen(int x) { return x + 100; }
#endif
int snprintf(char *, unsigned long, const char *, ...);
const char *host_answer(void) {
  static char text[64];
  snprintf(text, sizeof text, "counter %d array %d bump %d chosen %d", counter, array[1], bump(), call_chosen(0));
  return text;
}
"""
ENGINE_PATCH = """
extern int counter, array[4], bump(void), chosen(int); extern const int limit; extern int (*pointer(void))(int);
int snprintf(char *, unsigned long, const char *, ...);
const char *patch_main(void) {
  static char text[96];
  counter += 100; array[1] += 1000;
  int (*volatile taken)(int) = chosen;
  snprintf(text, sizeof text, "counter %d array %d limit %d bump %d chosen %d %d same %d", counter, array[1], limit,
           bump(), chosen(0), taken(0), taken == pointer());
  return text;
}
"""


def make_engine(folder: Path, linker: str, *options: str) -> Program:
    """A host that is a library, and the record of its link."""
    (folder / "engine.c").write_text(ENGINE)
    engine = compile_to(folder / "engine.o", folder / "engine.c", "-fno-ipa-ra", "-fno-inline")
    driver = str(need("aarch64-linux-gnu-gcc"))
    argv = [driver, "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={LINKERS[linker]}", "-shared", *options]
    argv += ["-Wl,-soname,libengine.so", str(engine), "-o", str(folder / "libengine.so")]
    run(argv)
    return Program(folder / "libengine.so", Capture(argv, folder, {}))


def link_program(folder: Path, *options: str) -> Path:
    """The program that has the library loaded."""
    (folder / "program.c").write_text(MAIN_PROGRAM)
    sources = [folder / "program.c", PROGRAMS / "answering_host.c"]
    libraries = ["-L", folder, "-lengine", "-ldl", "-o", folder / "program"]
    run([need("aarch64-linux-gnu-gcc"), "-DANCHOR=engine_anchor", *options, *sources, *libraries])
    return folder / "program"


PROGRAM_KINDS = {
    "copies": ("-no-pie", "-fno-pie"),
    "shares": ("-pie", "-fPIE", "-mcmodel=small"),
    "replaces": ("-no-pie", "-fno-pie", "-DCHOSEN", "-rdynamic"),
}
"""What a program does with what a library of its exports -> how it is compiled and linked."""


@pytest.mark.parametrize("kind", PROGRAM_KINDS)
@pytest.mark.parametrize("linker", LINKERS)
def test_what_the_program_has_of_a_librarys_is_meant(linker: str, kind: str, tmp_path: Path) -> None:
    """A program copies a library's variables, or has its own function: the library's own were read, dead ones."""
    engine = make_engine(tmp_path, linker)
    program = link_program(tmp_path, *PROGRAM_KINDS[kind])
    (tmp_path / "patch.c").write_text(ENGINE_PATCH)
    patch = compile_to(tmp_path / "patch.o", tmp_path / "patch.c")
    chosen = 100 if kind == "replaces" else 1
    with LiveHost(program, libraries=[tmp_path]) as live:
        assert live.tell("host") == f"counter 41 array 2 bump 44 chosen {chosen}"
        linked = engine.link(live, tmp_path / "patch.so", patch, anchor="engine_anchor")
        answer = live.patch(tmp_path / "patch.so")
        assert answer == f"counter 142 array 1002 limit 7 bump 1145 chosen {chosen} {chosen} same 1"
        assert live.tell("host") == f"counter 143 array 1002 bump 1146 chosen {chosen}"
        live.end()
    resolution = linked.built.resolution
    reasons = {decision.name: decision.reason for decision in resolution.decisions()}
    assert "where the loader put it" in reasons["counter"]
    assert "PLT entry" in reasons["chosen"]
    # the next patch knows those stubs for this process's
    previous, slide = [(tmp_path / "patch.so", 0x7F00000000)], resolution.slide.value
    StubBuilder(engine.path).judge([patch], slide=slide, bind=True, previous=previous)


def test_a_library_that_binds_to_itself_is_meant(tmp_path: Path) -> None:
    """With -Bsymbolic the library uses its own, whatever the program has."""
    engine = make_engine(tmp_path, "gnu", "-Wl,-Bsymbolic")
    program = link_program(tmp_path, "-no-pie", "-fno-pie", "-DCHOSEN", "-rdynamic")
    (tmp_path / "patch.c").write_text(ENGINE_PATCH)
    patch = compile_to(tmp_path / "patch.o", tmp_path / "patch.c")
    with LiveHost(program, libraries=[tmp_path]) as live:
        assert live.tell("host") == "counter 41 array 2 bump 44 chosen 1"
        engine.link(live, tmp_path / "patch.so", patch, anchor="engine_anchor")
        assert live.patch(tmp_path / "patch.so") == "counter 142 array 1002 limit 7 bump 1145 chosen 1 1 same 1"
        live.end()


UNKNOWN = {
    "not looked up": (
        "int unused = 1; int own(void) { return 1; }",
        "extern int unused; int f(void) { return unused; }",
    ),
    "pointer in data": (
        "int used = 1; int own(void) { return used; }",
        "extern int used; int *p = &used; int f(void) { return *p; }",
    ),
}
"""What nobody can tell, or express -> (source of the library, of the patch)."""


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_process_uses_is_not_assumed(name: str, tmp_path: Path) -> None:
    """Nothing says whether the program has a copy of the variable, or how a pointer in data would find it."""
    library, patch = UNKNOWN[name]
    for part, text in (("library", library), ("patch", patch)):
        (tmp_path / f"{part}.c").write_text(text)
        compile_to(tmp_path / f"{part}.o", tmp_path / f"{part}.c")
    run([need("aarch64-linux-gnu-gcc"), "-shared", "library.o", "-o", "library.so"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "library.so")
    with pytest.raises(SymbolRefusal, match=r"(library|host) with -Bsymbolic"):
        builder.build([tmp_path / "patch.o"], slide=0, bind=True)
    with pytest.raises(SymbolRefusal, match="the program may have its own"):
        builder.build([tmp_path / "patch.o"], slide=0)


@pytest.mark.parametrize("linker", LINKERS)
def test_a_link_without_bound_copies_is_found_out(linker: str, tmp_path: Path) -> None:
    """A patch from plain objects goes on calling the host's exported old function: ``check`` has to say it."""
    for name, number in (("host", 1), ("patch", 2)):
        text = f"int edited(void) {{ return {number}; }} int caller(void) {{ return edited(); }}"
        (tmp_path / f"{name}.c").write_text(text)
        compile_to(tmp_path / f"{name}.o", tmp_path / f"{name}.c", "-fno-inline")
    program = link_host(tmp_path, linker, "-rdynamic", objects=(tmp_path / "host.o",))
    driver = [need("aarch64-linux-gnu-gcc"), "-B", tmp_path / "linkers", f"-fuse-ld={LINKERS[linker]}", "-shared"]
    run([*driver, tmp_path / "patch.o", "-o", tmp_path / "patch.so"])
    checked = check_patch(tmp_path / "patch.so", program.path)
    assert [finding.names for finding in checked.findings if finding.check == "own definitions"] == [("edited",)]
    assert not checked.ok
    run([*driver, "-Wl,-Bsymbolic", tmp_path / "patch.o", "-o", tmp_path / "symbolic.so"])
    checked = check_patch(tmp_path / "symbolic.so", program.path)
    assert "own definitions" not in {finding.check for finding in checked.findings}


NEW_TYPE = """
#include <typeinfo>
struct New { virtual int number() { return N; } };
#ifdef FIRST
New *make() { return new New; }
extern "C" const char *patch_main() { return make()->number() == N ? "made" : "not made"; }
#else
New *make();
extern "C" const char *patch_main() {
  static const std::type_info *volatile info = &typeid(New);
  New own;
  New *volatile p = &own;
  bool one = typeid(*make()).name() == info->name();
  return one && p->number() == N ? "one type" : "two types";
}
#endif
"""


@pytest.mark.parametrize("linker", LINKERS)
def test_a_type_of_an_earlier_patch_is_one_type(linker: str, tmp_path: Path) -> None:
    """A class that came with the first save: the second save's catch and dynamic_cast missed its objects."""
    (tmp_path / "new.cc").write_text(NEW_TYPE)
    unit = compile_to(tmp_path / "unit.o", PROGRAMS / "identity_unit.cc")
    program = link_host(tmp_path, linker, objects=(unit,))
    first = compile_to(tmp_path / "first.o", tmp_path / "new.cc", "-DFIRST", "-DN=1")
    second = compile_to(tmp_path / "second.o", tmp_path / "new.cc", "-DN=2")
    with LiveHost(program.path) as live:
        program.link(live, tmp_path / "first.so", first)
        assert live.patch(tmp_path / "first.so") == "made"
        base = int(live.tell(f"base {tmp_path / 'first.so'}"), 16)
        program.link(live, tmp_path / "second.so", second, previous=[(tmp_path / "first.so", base)])
        assert live.patch(tmp_path / "second.so") == "one type"
        live.end()
