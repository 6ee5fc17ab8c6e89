"""Thread-locals, live: a patch's own ones in code made for an executable, and those of hosts that are libraries.

Local-exec code counts from the thread pointer by a constant. GNU ld links it into a patch without a word, where it
means the program's memory; so no bound copy has any.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, capture_executable, capturing
from live.test_bound_elf import COMPILERS, Program, compile_c, link_host
from tools import PROGRAMS, linker_folder, need, run, rustc, zig

from stubgen.bind.local_exec import OPENINGS, RESTS
from stubgen.build import StubBuilder
from stubgen.capture import Capture, newest_capture
from stubgen.check import check_patch
from stubgen.errors import SymbolRefusal
from stubgen.host import open_host
from stubgen.host.slide import slide_from_value
from stubgen.link import link_patch

LINKERS = ("bfd", "gold", "lld", "mold", "zig")
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
SIZES = ("", "-mtls-size=12", "-mtls-size=24", "-mtls-size=32", "-mtls-size=48")

HOSTS_OWN = "host 100 9 9 0"
"""How the answer of a new thread ends: the host's thread-locals, which no patch here touches."""


def link_program(folder: Path, linker: str) -> Program:
    """``bound_host.c``, linked by *linker*."""
    if linker in ("lld", "mold"):
        return link_host(folder, linker)
    compiled = compile_c(PROGRAMS / "bound_host.c", folder / "host.o")
    driver = [*zig(), "cc", "-target", "aarch64-linux-gnu.2.36"] if linker == "zig" else [need("aarch64-linux-gnu-gcc")]
    if linker == "gold":
        need("aarch64-linux-gnu-ld.gold")
    choice = [] if linker == "zig" else [f"-fuse-ld={linker}"]
    argv = [*map(str, driver), *choice, "-pie", str(compiled), "-rdynamic", "-o", str(folder / "host")]
    run(argv)
    return Program(folder / "host", Capture(argv, folder, {}))


@pytest.fixture(scope="module", params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program with thread-locals, linked by each linker in turn."""
    return link_program(tmp_path_factory.mktemp(request.param), request.param)


DRIVER = """
#include <stdio.h>
{declarations}
static __thread int calls;
const char *patch_main(void) {{
  static char text[64];
  const char *wrong;
  {calls}
  calls++;
  return "right";
}}
"""


class Kind(NamedTuple):
    """How a file of a patch is compiled."""

    compiler: str
    options: tuple[str, ...]


def asking(folder: Path, units: Sequence[str]) -> Path:
    """The object of ``patch_main``, which asks each of *units* what is wrong."""
    declarations = "".join(f"const char *{unit}(int);" for unit in units)
    calls = "".join(
        f'if ((wrong = {unit}(calls))) {{ snprintf(text, sizeof text, "{unit}: %s", wrong); return text; }}'
        for unit in units
    )
    (folder / "driver.c").write_text(DRIVER.format(declarations=declarations, calls=calls))
    return compile_c(folder / "driver.c", folder / "driver.o")


def patch_of(folder: Path, kinds: Sequence[Kind]) -> list[Path]:
    """The objects of a patch whose thread-locals are its own: a file of each kind, and one that asks them in turn."""
    folder.mkdir(exist_ok=True)
    objects = [asking(folder, [f"unit{number}" for number in range(len(kinds))])]
    for number, kind in enumerate(kinds):
        names = [f"-DUNIT=unit{number}", f"-DSHARED=shared{number}", f"-DNEIGHBOUR=shared{(number + 1) % len(kinds)}"]
        output = folder / f"{number}.o"
        objects.append(compile_c(PROGRAMS / "own_thread.c", output, *kind.options, *names, compiler=kind.compiler))
    return objects


def own_on_every_thread(program: Program, patch: list[Path], output: Path) -> None:
    """Load the patch, and see that its thread-locals are its own on each thread, and the host's untouched."""
    with LiveHost(program.path) as live:
        linking = (StubBuilder(program.path), program.captured, patch, output, live.anchor)
        link_patch(*linking, exports=["patch_main"])
        assert live.patch(output) == "right"
        assert [live.tell("again") for _ in range(2)] == ["right"] * 2
        for _ in range(3):
            assert live.tell("thread") == f"right {HOSTS_OWN}"
        assert live.tell("again") == "right"
        assert "tls 100 9 9 0" in live.tell("state")
        live.end()


@pytest.fixture(scope="module")
def local_exec_patches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """For each compiler a patch with a file of each level and each size that it makes local-exec code for."""
    options = [(level, "-fPIE", "-ftls-model=local-exec", *size.split()) for level in LEVELS for size in SIZES]
    return {
        name: patch_of(tmp_path_factory.mktemp(name), [Kind(name, words) for words in options]) for name in COMPILERS
    }


@pytest.fixture(params=COMPILERS)
def local_exec(request: pytest.FixtureRequest, local_exec_patches: dict[str, list[Path]]) -> list[Path]:
    """That of one of the compilers."""
    return local_exec_patches[request.param]


def test_a_patch_has_its_own_thread_locals(program: Program, local_exec: list[Path], tmp_path: Path) -> None:
    """GNU ld laid them on the host's, whose values changed under it; lld and mold linked no such patch at all."""
    own_on_every_thread(program, local_exec, tmp_path / "patch.so")
    assert "R_AARCH64_TLSDESC" in run([need("readelf"), "-rW", tmp_path / "patch.so"])


def test_every_form_of_a_local_exec_access_is_rewritten(program: Program, tmp_path: Path) -> None:
    """Assembly, and compilers of other years, use forms that those of this test do not: each is right or refused."""
    forms = compile_c(PROGRAMS / "own_forms.S", tmp_path / "forms.o", compiler="clang")
    shown = run([need("readelf"), "-rW", forms])
    done = {*OPENINGS, *RESTS} - {int(code, 16) & 0xFFFF for code in re.findall(r"^\w+ +(\w+) R_AARCH64", shown, re.M)}
    assert not done, f"forms that the program does not use: {done}"
    unit = compile_c(PROGRAMS / "own_forms.c", tmp_path / "unit.o", "-DUNIT=unit")
    own_on_every_thread(program, [asking(tmp_path, ["unit"]), unit, forms], tmp_path / "patch.so")


def test_without_bound_copies_such_a_patch_is_refused(program: Program, local_exec: list[Path]) -> None:
    """The objects go to the linker as they are, and GNU ld says nothing of what it makes of them."""
    with pytest.raises(
        SymbolRefusal, match=r"link bound copies \(link, --bound-dir\), or compile with -fPIC"
    ) as refused:
        StubBuilder(program.path).build(local_exec, slide=0x40_0000_0000, allow_missing=True)
    assert re.search(
        r"^  .*/0\.o: \.text\+0x\w+: R_AARCH64_TLSLE_ADD_TPREL_HI12 against first$", str(refused.value), re.M
    )


GENERAL = [
    *itertools.product(["gcc"], ["-mtls-dialect=desc", "-mtls-dialect=trad"], ["global-dynamic", "local-dynamic"]),
    *itertools.product(["clang"], ["-DNONE", "-mllvm=-aarch64-elf-ldtls-generation"], ["local-dynamic"]),
]
"""Compiler, option and ``-ftls-model``."""
UNKNOWN = {
    "lld": ("-mtls-dialect=trad", "-mllvm=-aarch64-elf-ldtls-generation"),
    "zig": ("-mtls-dialect=trad", "-mllvm=-aarch64-elf-ldtls-generation"),
    "mold": ("-mllvm=-aarch64-elf-ldtls-generation",),
}
"""Linker -> the options whose code it rejects on AArch64, with an error."""


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_every_other_model_is_the_linkers_own(program: Program, static: bool, tmp_path: Path) -> None:
    """What position-independent code has stays as it is; thread-locals of two objects are the same in both models."""
    models = [kind for kind in GENERAL if kind[1] not in UNKNOWN.get(program.path.parent.name.rstrip("0123456789"), ())]
    if static:  # then all of the patch's must fit into what glibc keeps for that
        models = [("gcc", "-DGAP=10", "initial-exec"), ("clang", "-DGAP=10", "initial-exec")]
    kinds = [Kind(compiler, ("-O2", "-fPIC", f"-ftls-model={model}", option)) for compiler, option, model in models]
    kinds.append(Kind("gcc", ("-O2", "-fPIE", "-ftls-model=local-exec", "-DGAP=10")))
    patch = patch_of(tmp_path / "patch", kinds)
    shown = run([need("readelf"), "-rW", *patch])
    assert all(f"R_AARCH64_TLS{kind}" in shown for kind in ("LE_ADD", "IE_LD64" if static else "DESC_CALL"))
    own_on_every_thread(program, patch, tmp_path / "patch.so")


CXX_COMPILERS = {
    "g++": ["aarch64-linux-gnu-g++"],
    "clang++": ["clang-19", "--driver-mode=g++", "--target=aarch64-linux-gnu"],
}

CXX_DRIVER = """
#include <stdio.h>
DECLARED
const char *patch_main(void) {
  static char text[64];
  long all[] = {CALLED};
  int dropped = DROPPED;
  for (unsigned i = 1; i < sizeof all / sizeof *all; i++)
    if (all[i] != all[0]) { snprintf(text, sizeof text, "unit %u: %ld, not %ld", i, all[i], all[0]); return text; }
  snprintf(text, sizeof text, "%ld dropped %d", all[0], dropped);
  return text;
}
"""
TYPES = (
    "char",
    "short",
    "int",
    "long",
    "float",
    "double",
    "unsigned char",
    "unsigned short",
    "unsigned",
    "unsigned long",
)


@pytest.mark.parametrize("linker", ["bfd", "lld", "mold"])
def test_initialisers_and_destructors_of_own_thread_locals_run(linker: str, tmp_path: Path) -> None:
    """A C++ thread-local is made at its first use on each thread and torn down with it: in memory of its own."""
    units = list(itertools.product(CXX_COMPILERS, LEVELS))
    objects = []
    for number, (compiler, level) in enumerate(units):
        command, *target = CXX_COMPILERS[compiler]
        names = [f"-DUNIT=unit{number}", f"-DUNIT_DROPPED=dropped{number}", f"-DUNIT_TYPE={TYPES[number]}"]
        names += [f"-DOTHER=other{number}", f"-DUSED=other{(number + 1) % len(units)}"]
        options = ["-std=c++17", level, "-fPIE", "-ftls-model=local-exec", *names]
        objects.append(tmp_path / f"{number}.o")
        run([need(command), *target, *options, "-c", PROGRAMS / "own_thread.cc", "-o", objects[-1]])
    declared = "".join(f"long unit{n}(void); int dropped{n}(void);" for n in range(len(units)))
    called = ", ".join(f"unit{n}()" for n in range(len(units)))
    dropped = " + ".join(f"dropped{n}()" for n in range(len(units)))
    source = tmp_path / "driver.c"
    source.write_text(CXX_DRIVER.replace("DECLARED", declared).replace("CALLED", called).replace("DROPPED", dropped))
    host = link_program(tmp_path, linker)
    captured = Capture([*host.captured.argv, "-lstdc++"], tmp_path, {})
    with LiveHost(host.path) as live:
        patch = [compile_c(source, tmp_path / "driver.o"), *objects]
        linking = (StubBuilder(host.path), captured, patch, tmp_path / "patch.so", live.anchor)
        link_patch(*linking, exports=["patch_main"])
        first, second = "11019904 dropped 0", "12020305 dropped 0"
        assert live.patch(tmp_path / "patch.so") == first
        assert live.tell("again") == second
        assert live.tell("thread").startswith(first)
        each = 11 + 21  # what the thread left in the two counters of a unit
        assert live.tell("thread") == f"11019904 dropped {each * len(units)} {HOSTS_OWN}"
        live.end()


RUST_LEVELS = ("0", "1", "2", "3", "s", "z")


@pytest.fixture(scope="module", params=["bfd", "lld", "mold"])
def rust_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a program of one crate, as rustc links it, and of the record of that link."""
    folder = tmp_path_factory.mktemp(f"rust-{request.param}")
    options = ["--edition", "2024", "-C", "opt-level=1", "-C", f"linker={capture_executable(folder)}"]
    options += ["-C", f"link-arg=-fuse-ld={request.param}", "-C", f"link-arg=-B{linker_folder(folder / 'linkers')}"]
    environment = capturing(folder / "captured", str(need("aarch64-linux-gnu-gcc")))
    run([*rustc(), *options, PROGRAMS / "own_thread.rs", "-o", folder / "own_thread"], env=environment, cwd=folder)
    return folder


@pytest.mark.parametrize("level", RUST_LEVELS)
def test_an_edit_adds_thread_locals_to_a_program_in_rust(rust_program: Path, level: str, tmp_path: Path) -> None:
    """Every crate that is a program is local-exec: ``thread_local!`` in an edit wrote over the program's own."""
    host, patch = rust_program / "own_thread", tmp_path / "patch.o"
    options = [
        "--edition",
        "2024",
        "--cfg",
        "edited",
        "--emit=obj",
        "-C",
        "codegen-units=1",
        "-C",
        f"opt-level={level}",
    ]
    run([*rustc(), *options, PROGRAMS / "own_thread.rs", "-o", patch])
    assert re.search(r"R_AARCH64_TLSLE_\w+ .*(PLAIN|WIDE|LAZY)", run([need("readelf"), "-rW", patch]))
    captured = newest_capture(rust_program / "captured", "own_thread")
    with LiveHost(host) as live:
        assert live.tell("again") == "hits 6 own none guard [1, 2, 3, 4]"
        linking = (StubBuilder(host), captured, [patch], tmp_path / "patch.so", live.anchor)
        link_patch(*linking, exports=["answer"])
        assert live.patch(tmp_path / "patch.so") == "hits 7 own 71 [9, 9, 10] 8 1 guard [1, 2, 3, 4]"
        assert live.tell("again") == "hits 8 own 72 [9, 9, 11] 9 2 guard [1, 2, 3, 4]"
        for _ in range(2):
            assert live.tell("thread") == "dropped 1"
            assert live.next_line() == "hits 6 own 71 [9, 9, 10] 8 1 guard [1, 2, 3, 4]"
        assert live.tell("again") == "hits 9 own 73 [9, 9, 12] 10 3 guard [1, 2, 3, 4]"
        live.end()


LIBRARIES = {
    "plain": ["-Wl,-soname,libhost.so"],
    "symbolic": ["-Wl,-Bsymbolic"],
    "lazy": ["-Wl,-z,lazy"],
    "now": ["-Wl,-z,now", "-Wl,-soname,libhost.so"],
    "interpreter": ["-DINTERPRETER"],
}
"""How a library is linked; with an interpreter it can be run as well, as libc.so.6 and Qt's can."""
INTERPRETER = 'const char interpreter[] __attribute__((section(".interp"))) = "/lib/ld-linux-aarch64.so.1";'


def link_library(
    folder: Path, linker: str, *options: str, host: Sequence[str] = (), loader: Sequence[str] = ()
) -> Program:
    """``thread_library.c`` as a library that a program loads by dlopen, and the record of its link."""
    objects = [compile_c(PROGRAMS / "thread_library.c", folder / "library.o", *host)]
    if "-DINTERPRETER" in options:
        (folder / "interpreter.c").write_text(INTERPRETER)
        objects.append(compile_c(folder / "interpreter.c", folder / "interpreter.o"))
    driver = [*zig(), "cc", "-target", "aarch64-linux-gnu.2.36"] if linker == "zig" else [need("aarch64-linux-gnu-gcc")]
    choice = [] if linker == "zig" else [f"-fuse-ld={linker}", f"-B{linker_folder(folder / 'linkers')}"]
    words = [option for option in options if option.startswith("-Wl")]
    argv = [*map(str, driver), *choice, "-shared", *words, *map(str, objects), "-o", str(folder / "libhost.so")]
    run(argv)
    words = [f'-DLIBRARY="{folder / "libhost.so"}"', *loader]
    program = compile_c(PROGRAMS / "thread_loader.c", folder / "loader.o", *words)
    run([need("aarch64-linux-gnu-gcc"), program, "-rdynamic", "-o", folder / "host"])
    return Program(folder / "libhost.so", Capture(argv, folder, {}))


def patch_library(library: Program, live: LiveHost, generation: int, output: Path, *options: str, **more: str) -> None:
    """A patch of the library, linked for the process that loaded it."""
    words = ["-O2", f"-DGENERATION={generation}", *options]
    words += ["-fno-section-anchors"] if more.get("compiler") != "clang" else []  # or one is old's and new's
    patch = compile_c(PROGRAMS / "thread_library.c", output.with_suffix(".o"), *words, **more)
    linking = (StubBuilder(library.path), library.captured, [patch], output, live.anchor)
    link_patch(*linking, anchor="library_main", exports=["patch_main"])


def two_generations(library: Program, folder: Path, *options: str, **more: str) -> None:
    """Two patches in turn use the library's thread-locals on several threads, and each has its own besides."""
    with LiveHost(library.path.with_name("host")) as live:
        assert live.tell("again") == "100084000"
        patch_library(library, live, 1, folder / "one.so", *options, **more)
        assert live.patch(folder / "one.so") == "shared 11"
        assert live.tell("state") == "101094101"
        for _ in range(3):  # a new thread begins with what the library says
            assert live.tell("thread") == "shared 21 host 102104202"
        assert live.tell("again") == "shared 21"
        patch_library(library, live, 2, folder / "two.so", *options, **more)
        assert live.patch(folder / "two.so") == "shared 12"
        assert live.tell("state") == "103114303", "the count went on"
        assert live.tell("thread") == "shared 22 host 102104202"
        assert live.tell("again") == "shared 22"
        live.end()


@pytest.mark.parametrize("kind", LIBRARIES)
@pytest.mark.parametrize("linker", LINKERS)
def test_thread_locals_of_a_library_are_shared(linker: str, kind: str, tmp_path: Path) -> None:
    """In a library they are elsewhere in every process, and an interpreter does not make a program of it.

    Taken for a program's, they would be the memory of the real one: its thread-locals are looked at in the end.
    """
    two_generations(link_library(tmp_path, linker, *LIBRARIES[kind]), tmp_path)


@pytest.mark.parametrize(
    "options", [["-fPIC"], ["-fPIC", "-ftls-model=initial-exec"], ["-fPIE"], ["-fPIE", "-mtls-size=32"]]
)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_patch_in_any_model_shares_a_librarys(compiler: str, options: list[str], tmp_path: Path) -> None:
    """What asks for a constant asks a descriptor instead, whichever registers it has."""
    model = ["-ftls-model=local-exec"] if "-fPIE" in options else []
    two_generations(link_library(tmp_path, "lld"), tmp_path, *options, *model, compiler=compiler)


@pytest.mark.parametrize("linker", ["bfd", "lld", "mold"])
def test_a_thread_local_that_the_program_preempts_is_the_programs(linker: str, tmp_path: Path) -> None:
    """The loader binds what others may define to the first that does; the library's own then is what nobody uses."""
    library = link_library(tmp_path, linker, loader=["-DPREEMPTING"])
    with LiveHost(library.path.with_name("host")) as live:
        assert live.tell("again") == "900084000"
        patch_library(library, live, 1, tmp_path / "patch.so", "-DELSEWHERE")
        assert live.patch(tmp_path / "patch.so") == "shared 11"
        assert live.tell("state") == "901094101"
        assert live.tell("thread") == "shared 21 host 902104202"
        live.end()


@pytest.mark.parametrize("options", [["-ftls-model=initial-exec"], ["-mtls-dialect=trad"]])
def test_a_library_without_descriptors_is_refused(options: list[str], tmp_path: Path) -> None:
    """Its code finds its thread-locals by what only the loader knows; there is nothing that a patch could ask."""
    library = link_library(tmp_path, "bfd", host=options)
    with LiveHost(library.path.with_name("host")) as live:
        assert live.tell("again") == "100084000"
        with pytest.raises(SymbolRefusal) as refused:
            patch_library(library, live, 1, tmp_path / "patch.so", "-DELSEWHERE")
        live.end()
    assert "within: tls: it is thread-local in a shared library that has no TLS descriptor" in str(refused.value)
    assert str(refused.value).count("--tls loader") == 3


def test_check_reads_descriptors_of_the_hosts(tmp_path: Path) -> None:
    """A patch for another build asks something that is no descriptor: the first access jumps to nowhere."""
    library = link_library(tmp_path, "lld")
    words = ["-DGENERATION=1", "-DELSEWHERE", "-fno-section-anchors"]
    patch = compile_c(PROGRAMS / "thread_library.c", tmp_path / "patch.o", *words)
    linking = (StubBuilder(library.path), library.captured, [patch], tmp_path / "patch.so")
    link_patch(*linking, slide=0x55_0000_0000, exports=["patch_main"])
    content = bytearray((tmp_path / "patch.so").read_bytes())
    shown = run([need("readelf"), "-rW", library.path])
    (descriptor,) = re.findall(r"^(\w+) .* R_AARCH64_TLSDESC .* shown \+ 0$", shown, re.MULTILINE)
    right = 0x55_0000_0000 + int(descriptor, 16)
    at = content.index(right.to_bytes(8, "little"))
    host = open_host(library.path)
    for distance, address in ((0, right + 16), (8, right)):
        content[at - 8 : at + 8] = distance.to_bytes(8, "little") + address.to_bytes(8, "little")
        (tmp_path / "changed.so").write_bytes(content)
        checked = check_patch(tmp_path / "changed.so", host, slide=slide_from_value(host, 0x55_0000_0000))
        (finding,) = [finding for finding in checked.findings if not finding.ok]
        assert finding.message == (
            f"shown is read at {distance:#x} from the descriptor at {address:#x}, "
            f"but the host's is at 0x0 from the descriptor at {right:#x}"
        )


def test_check_sees_local_exec_code_in_the_objects(tmp_path: Path) -> None:
    """GNU ld links it in silence, and nothing in what it wrote says that the program's memory will be overwritten."""
    host = link_program(tmp_path, "bfd")
    (tmp_path / "patch.c").write_text("static __thread long mine = 5; long patch_main(void) { return ++mine; }")
    for options, sound in ((["-fPIC"], True), (["-fPIE", "-ftls-model=local-exec"], False)):
        patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o", *options)
        run([need("aarch64-linux-gnu-gcc"), "-shared", patch, "-o", tmp_path / "patch.so"])
        findings = check_patch(tmp_path / "patch.so", host.path, objects=[patch]).findings
        messages = [finding.message for finding in findings if finding.check == "thread-locals"]
        assert bool(messages) is not sound
    assert re.match(r".*/patch\.o: \.text\+0x4: R_AARCH64_TLSLE_ADD_TPREL_HI12 against \S* and 1 more: ", messages[0])


@pytest.fixture(scope="module", params=["bfd", "lld", "mold"])
def rust_library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a library in Rust, of a program that loads it, and of the record of the library's link."""
    folder = tmp_path_factory.mktemp(f"rust-library-{request.param}")
    options = ["--edition", "2024", "--crate-type", "cdylib", "-C", "opt-level=1"]
    options += ["-C", f"linker={capture_executable(folder)}", "-C", f"link-arg=-fuse-ld={request.param}"]
    options += ["-C", f"link-arg=-B{linker_folder(folder / 'linkers')}", "-o", str(folder / "libhost.so")]
    environment = capturing(folder / "captured", str(need("aarch64-linux-gnu-gcc")))
    run([*rustc(), *options, PROGRAMS / "thread_library.rs"], env=environment, cwd=folder)
    loader = compile_c(PROGRAMS / "thread_loader.c", folder / "loader.o", f'-DLIBRARY="{folder / "libhost.so"}"')
    run([need("aarch64-linux-gnu-gcc"), loader, "-o", folder / "host"])
    return folder


@pytest.mark.parametrize("level", ["0", "1", "3", "s"])
def test_thread_locals_of_a_library_in_rust_are_shared(rust_library: Path, level: str, tmp_path: Path) -> None:
    """``HashMap::new()`` and ``thread_local!`` of a host for Android: a patch counted in copies, or was refused."""
    captured = newest_capture(rust_library / "captured", "libhost.so")
    options = ["--edition", "2024", "--crate-type", "cdylib", "--cfg", "edited", "--emit=obj", "-C", "codegen-units=1"]
    with LiveHost(rust_library / "host") as live:
        assert live.tell("again") == "hits 6 seen 1 mapped 10 added 0"
        for generation in range(2):
            patch, output = tmp_path / f"{generation}.o", tmp_path / f"{generation}.so"
            run([*rustc(), *options, "-C", f"opt-level={level}", PROGRAMS / "thread_library.rs", "-o", patch])
            linking = (StubBuilder(rust_library / "libhost.so"), captured, [patch], output, live.anchor)
            link_patch(*linking, anchor="library_main", exports=["answer"])
            first = 2 + 4 * generation
            assert live.patch(output) == f"hits {5 + first} seen {first} mapped 10 added 71"
            assert live.tell("old") == f"hits {6 + first} seen {first + 1} mapped 10 added 0"
            assert live.tell("again") == f"hits {7 + first} seen {first + 2} mapped 10 added 72"
            for _ in range(3):
                assert live.tell("thread") == "hits 7 seen 2 mapped 10 added 71"
            assert live.tell("old") == f"hits {8 + first} seen {first + 3} mapped 10 added 0"
        live.end()
