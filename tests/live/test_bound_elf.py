"""Bound copies, live: a C patch works on the host's own data, thread-locals and function addresses.

Each host is linked by GNU ld, lld and mold; its link is edited by the link plan and run again for the patch.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, defined_by, looked_up_by
from tools import PROGRAMS, linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.errors import SymbolRefusal
from stubgen.link import Linked, link_patch

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}
"""What tests call a linker -> what ``-fuse-ld`` does."""

COMPILERS = {"gcc": ["aarch64-linux-gnu-gcc"], "clang": ["clang-19", "--target=aarch64-linux-gnu"]}
"""What tests call a compiler -> its command."""

MODELS = ("global-dynamic", "initial-exec", "local-exec")
"""``-ftls-model``; the first is TLS descriptors on AArch64."""

ANSWER = "counter 41 zeroed 0 limit 7 unit 5 array 30 50 same 111 calls 42 12 square tls 100 9 9 0"
"""What bound_patch.c reads of a fresh host when every reference is right."""

STATE = "counter 42 zeroed 3 unit 7 array 33 55 tls 101 10 10 4 registered 1051"
"""What the host sees after that: the patch's writes, and the patch's function called through a pointer."""

SECOND_THREAD = "tls 100 9 9 0 host 101 10 10 4"
"""How another thread's first answer ends: its own thread-locals, which host and patch share."""


class Program(NamedTuple):
    """A linked host, and how it was linked."""

    path: Path
    captured: Capture
    cpu: str | None = None

    def link(self, live: LiveHost, patch: Path, output: Path, **options: object) -> Linked:
        """The patch, linked for *live*."""
        builder = StubBuilder(self.path)
        return link_patch(builder, self.captured, [patch], output, live.anchor, exports=["patch_main"], **options)


def compile_c(source: Path, output: Path, *options: str, compiler: str = "gcc") -> Path:
    """Compile *source* as position-independent code, unless *options* say otherwise."""
    command, *target = COMPILERS[compiler]
    run([need(command), *target, "-O1", "-fPIC", "-I", PROGRAMS, *options, "-c", source, "-o", output])
    return output


def patch_of(folder: Path, text: str, *options: str, compiler: str = "gcc", name: str = "source.c") -> Path:
    """The object of a patch with *text* as its source, in a file called *name*."""
    source = folder / "patch" / name
    source.parent.mkdir(exist_ok=True)
    source.write_text(f'#include "bound.h"\n{text}\n')
    return compile_c(source, folder / "patch.o", *options, compiler=compiler)


def link_host(folder: Path, linker: str, *options: str, compile_options: tuple[str, ...] = (), more=()) -> Program:
    """``bound_host.c`` as an executable, and the record of its link."""
    compiled = compile_c(PROGRAMS / "bound_host.c", folder / "host.o", *compile_options)
    driver = str(need("aarch64-linux-gnu-gcc"))
    argv = [driver, "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={LINKERS[linker]}", "-pie", *options]
    argv += [str(compiled), *map(str, more), "-o", str(folder / "host")]
    run(argv)
    return Program(folder / "host", Capture(argv, folder, {}))


@pytest.fixture(scope="module", params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The host, linked by each linker in turn; its thread-local segment is aligned to 64 bytes."""
    return link_host(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def running(program: Program):
    """The host, living for the tests that set it back."""
    with LiveHost(program.path) as live:
        yield live
        live.end()


def dynamic_relocations(patch: Path) -> list[str]:
    """The kinds of the dynamic relocations of *patch*, by ``readelf``."""
    return re.findall(r"R_AARCH64_\w+", run([need("readelf"), "-rW", patch]))


def undefined_in(patch: Path) -> set[str]:
    """The undefined dynamic symbols of *patch*, by ``readelf``."""
    lines = [line.split() for line in run([need("readelf"), "--dyn-syms", "-W", patch]).splitlines()]
    return {words[7].partition("@")[0] for words in lines if len(words) > 7 and words[6] == "UND"}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("compiler", "level"), [*itertools.product(COMPILERS, ("-O0", "-O2"))])
def test_host_and_patch_share_everything(
    program: Program, running: LiveHost, tmp_path: Path, model: str, compiler: str, level: str
) -> None:
    """A patch that works on copies of the host's variables, or on none of its own memory, loses the user's state."""
    options = ["-Wno-ignored-optimization-argument", level, f"-ftls-model={model}"]
    options = [option for option in options if compiler == "clang" or not option.startswith("-Wno-i")]
    patch = compile_c(PROGRAMS / "bound_patch.c", tmp_path / "patch.o", *options, compiler=compiler)
    program.link(running, patch, tmp_path / "patch.so")
    assert running.patch(tmp_path / "patch.so") == ANSWER
    assert running.tell("state") == STATE
    assert running.tell("again") == ANSWER, "the host set everything back, and the patch sees it"
    assert running.tell("thread").endswith(SECOND_THREAD)
    assert running.tell("state").startswith("counter 43 zeroed 3 unit 9 array 33 55 tls 101 10 10 4")

    assert not looked_up_by(tmp_path / "patch.so") & defined_by(program.path)
    assert not undefined_in(tmp_path / "patch.so") & defined_by(program.path)
    assert "snprintf" in undefined_in(tmp_path / "patch.so"), "the symbols were not read"
    kinds = dynamic_relocations(tmp_path / "patch.so")
    assert "R_AARCH64_JUMP_SLOT" in kinds, "the relocations were not read"
    assert not [kind for kind in kinds if "TLS" in kind or "ABS" in kind]


@pytest.mark.parametrize("alignment", [8, 16, 32, 4096])
@pytest.mark.parametrize("linker", LINKERS)
def test_alignment_of_thread_locals_is_obeyed(linker: str, alignment: int, tmp_path: Path) -> None:
    """An over-aligned variable anywhere in the host shifts all of them; off by that much is another variable."""
    program = link_host(tmp_path, linker, compile_options=(f"-DALIGNMENT={alignment}",))
    headers = run([need("readelf"), "-lW", program.path])
    assert int(re.findall(r"^ +TLS .* (0x\w+)$", headers, re.MULTILINE)[0], 16) == alignment
    patch = compile_c(PROGRAMS / "bound_patch.c", tmp_path / "patch.o")
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == ANSWER
        assert live.tell("thread").endswith(SECOND_THREAD)
        assert live.tell("state").startswith("counter 43 zeroed 3 unit 9 array 33 55 tls 101 10 10 4")
        live.end()


@pytest.mark.parametrize("size", ["-mtls-size=24", "-mtls-size=32"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_large_thread_offset_is_split_over_instructions(compiler: str, size: str, tmp_path: Path) -> None:
    """Local-exec has the offset's bits in two instructions: one that drops the upper half hits the TCB."""
    host = link_host(tmp_path, "lld", compile_options=("-DALIGNMENT=65536",))
    options = ["-O2", "-ftls-model=local-exec", size]
    patch = compile_c(PROGRAMS / "bound_patch.c", tmp_path / "patch.o", *options, compiler=compiler)
    with LiveHost(host.path) as live:
        linked = host.link(live, patch, tmp_path / "patch.so")
        offsets = [d.reason for d in linked.built.resolution.decisions() if d.name == "tls_aligned"]
        assert int(re.findall(r"0x\w+", offsets[0])[0], 16) >= 65536
        assert live.patch(tmp_path / "patch.so") == ANSWER
        live.end()


@pytest.mark.parametrize(("compiler", "level"), [*itertools.product(COMPILERS, ("-O0", "-O2"))])
def test_addresses_in_code_without_pic(
    program: Program, running: LiveHost, tmp_path: Path, compiler: str, level: str
) -> None:
    """Code for an executable forms addresses by adrp and add; expressed by a slot, they are the host's own."""
    text = """
    const char *patch_main(void) {
      int (*volatile own)(int) = host_area;
      int (**volatile hosts)(int) = &registered;
      int *volatile kept = array;
      return own == *hosts && kept[3] == 30 ? "right" : "wrong";
    }
    """
    patch = patch_of(tmp_path, text, level, "-fno-pic", compiler=compiler)
    kinds = run([need("llvm-readobj-19"), "--relocations", patch])
    assert re.search(r"R_AARCH64_ADR_PREL_PG_HI21 host_area", kinds), "the compiler formed no address"
    assert re.search(r"R_AARCH64_ADD_ABS_LO12_NC array", kinds)
    program.link(running, patch, tmp_path / "patch.so")
    assert running.patch(tmp_path / "patch.so") == "right"
    assert not looked_up_by(tmp_path / "patch.so") & defined_by(program.path)


@pytest.fixture(scope="module", params=LINKERS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The host as a shared library that a small program loads at its start."""
    folder = tmp_path_factory.mktemp(f"library-{request.param}")
    host = compile_c(PROGRAMS / "bound_host.c", folder / "host.o", "-DMAIN=host_main")
    driver = str(need("aarch64-linux-gnu-gcc"))
    argv = [driver, "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={LINKERS[request.param]}"]
    argv += ["-shared", str(host), "-o", str(folder / "libhost.so")]
    run(argv)
    run([driver, PROGRAMS / "bound_loader.c", folder / "libhost.so", "-Wl,-rpath,$ORIGIN", "-o", folder / "host"])
    return Program(folder / "libhost.so", Capture(argv, folder, {}))


THREADED = """
const char *patch_main(void) {
  tls_value += 1, tls_aligned[2] += 1, counter += 1;
  return tls_value == 101 && tls_aligned[2] == 10 && host_area(1) == 43 ? "shared" : "apart";
}
"""


def test_thread_locals_of_a_library_can_be_left_to_the_loader(library: Program, tmp_path: Path) -> None:
    """``--tls loader`` is the only way to them: the loader must find the host's variable, not make another."""
    patch = patch_of(tmp_path, THREADED)
    with LiveHost(library.path.with_name("host")) as live:
        linked = link_patch(
            *(StubBuilder(library.path), library.captured, [patch], tmp_path / "patch.so", live.anchor),
            anchor="host_main",
            exports=["patch_main"],
            tls="loader",
        )
        verdicts = {decision.name: decision.verdict.value for decision in linked.built.resolution.decisions()}
        assert verdicts["tls_value"] == "loader"
        assert verdicts["counter"] == "slot"
        assert live.patch(tmp_path / "patch.so") == "shared"
        assert live.tell("state").startswith("counter 42 ")
        assert live.tell("thread").startswith("shared host 101 9 10 0")
        live.end()
    assert looked_up_by(tmp_path / "patch.so") & defined_by(library.path) == {"tls_value", "tls_aligned"}


@pytest.fixture(scope="module", params=LINKERS)
def protected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The host with branch protection, for a processor that enforces it; mold 1.10 drops the property."""
    folder = tmp_path_factory.mktemp(f"bti-{request.param}")
    protection = "-mbranch-protection=standard"
    start = compile_c(PROGRAMS / "start_bti.S", folder / "start.o")
    options = ["-nostartfiles", *(["-Wl,-z,force-bti"] if request.param != "mold" else [])]
    program = link_host(folder, request.param, *options, compile_options=(protection,), more=[start])
    return program._replace(cpu="max")


@pytest.mark.parametrize("model", MODELS)
def test_descriptors_have_landing_pads(protected: Program, tmp_path: Path, model: str) -> None:
    """The descriptor's resolver is called through a register: without its ``bti c`` each access faults."""
    options = ["-mbranch-protection=standard", f"-ftls-model={model}"]
    patch = compile_c(PROGRAMS / "bound_patch.c", tmp_path / "patch.o", *options)
    with LiveHost(protected.path, cpu=protected.cpu) as live:
        linked = protected.link(live, patch, tmp_path / "patch.so")
        assert "force-bti" not in linked.messages, "it names inputs without the property"
        assert live.patch(tmp_path / "patch.so") == ANSWER
        assert live.tell("thread").endswith(SECOND_THREAD)
        live.end()
    notes = {file: "BTI" in run([need("readelf"), "-nW", file]) for file in (protected.path, tmp_path / "patch.so")}
    assert notes[tmp_path / "patch.so"] == notes[protected.path]
    assert notes[protected.path] == ("-Wl,-z,force-bti" in protected.captured.argv)


class Refused(NamedTuple):
    """A reference that a bound copy cannot express, and what the user must be told."""

    text: str
    options: tuple[str, ...]
    symbol: str
    relocation: str
    advice: str
    compiler: str = "gcc"


REFUSALS = {
    "too far apart": Refused(
        """
        __asm__("adrp x0, wide+20000\\nldrb w1, [x0, :lo12:wide+20000]\\n"
                "adrp x0, wide+70001\\nldrb w0, [x0, :lo12:wide+70001]");
        int patch_main(void) { return 0; }
        """,
        (),
        "wide",
        "R_AARCH64_LDST8_ABS_LO12_NC",
        "compile with -fPIC (clang: also -fno-direct-access-external-data)",
    ),
    "an access of another size": Refused(
        """
        __asm__("adrp x0, counter\\n.reloc ., R_AARCH64_LDST64_ABS_LO12_NC, counter\\n ldr w0, [x0]");
        int patch_main(void) { return 0; }
        """,
        (),
        "counter",
        "R_AARCH64_LDST64_ABS_LO12_NC",
        "no one instruction reaches",
    ),
    "tiny code model": Refused(
        '__asm__("ldr w0, counter"); int patch_main(void) { return 0; }',
        (),
        "counter",
        "R_AARCH64_LD_PREL_LO19",
        "compile with -mcmodel=small",
    ),
    "signed moves": Refused(
        '__asm__("movz x0, #:abs_g2_s:counter"); int patch_main(void) { return 0; }',
        (),
        "counter",
        "R_AARCH64_MOVW_SABS_G2",
        "compile with -fPIC -mcmodel=small",
    ),
    "a move that holds too little": Refused(
        '__asm__("movz x0, #:abs_g1:counter"); int patch_main(void) { return 0; }',
        (),
        "counter",
        "R_AARCH64_MOVW_UABS_G1",
        "does not hold the whole address",
    ),
    "32-bit word": Refused(
        '__asm__(".data\\n.word 0\\n.word counter"); int patch_main(void) { return 0; }',
        (),
        "counter",
        "R_AARCH64_ABS32",
        "a runtime address does not fit its field",
    ),
    "distance to data": Refused(
        '__asm__(".data\\n.word counter - ."); int patch_main(void) { return 0; }',
        (),
        "counter",
        "R_AARCH64_PREL32",
        "how far the host's data is from the patch is not known",
    ),
    "general dynamic": Refused(
        "int patch_main(void) { return tls_value; }",
        ("-mtls-dialect=trad",),
        "tls_value",
        "R_AARCH64_TLSGD_ADR_PAGE21",
        "compile with -mtls-dialect=desc",
    ),
    "local-exec, too far": Refused(
        "extern __thread int tls_far; int patch_main(void) { return tls_far; }",
        ("-ftls-model=local-exec", "-mtls-size=12"),
        "tls_far",
        "R_AARCH64_TLSLE_ADD_TPREL_LO12",
        "",
    ),
}
"""What it is -> the source and how it is refused."""


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A host with a few variables more."""
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "more.c").write_text("char wide[99999]; __thread int far_away[2000] = {1}; __thread int tls_far;")
    return link_host(folder, "lld", more=[compile_c(folder / "more.c", folder / "more.o")])


def places(patch: Path, symbol: str) -> dict[str, str]:
    """Where *patch* refers to *symbol* (``section+offset``) -> relocation, as readelf prints them."""
    found, section = {}, ""
    for line in run([need("readelf"), "-rW", patch]).splitlines():
        words = line.split()
        if line.startswith("Relocation section"):
            section = words[2].strip("'").removeprefix(".rela")
        elif len(words) > 4 and words[4].partition("+")[0] == symbol:
            found[f"{section}+{int(words[0], 16):#x}"] = words[2]
    return found


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_expressed_is_refused_with_particulars(refusing: Program, tmp_path: Path, name: str) -> None:
    """A user must learn which access in which object is in the way, and which compiler option removes it."""
    case = REFUSALS[name]
    patch = patch_of(tmp_path, case.text, *case.options, compiler=case.compiler)
    with pytest.raises(SymbolRefusal) as refused:
        StubBuilder(refusing.path).build([patch], slide=0x40_0000_0000, bind=True, allow_missing=True)
    lines = [line for line in str(refused.value).splitlines() if case.relocation in line]
    where = [place for place, kind in places(patch, case.symbol).items() if kind == case.relocation]
    assert where, "the compiler emitted another relocation"
    for place, line in zip(where, lines, strict=True):
        assert line.startswith(f"  {patch}: {place}: {case.relocation} against {case.symbol}: ")
        assert case.advice in line


def index_of(patch: Path, name: str) -> int:
    """The index of symbol *name* in *patch*."""
    lines = [line.split() for line in run([need("readelf"), "-sW", patch]).splitlines()]
    return next(int(words[0].rstrip(":")) for words in lines if words[-1:] == [name])


@pytest.mark.parametrize("code", [200, 281, 0x7FFFFFFF, 1027])
def test_an_unknown_relocation_is_refused_by_number(refusing: Program, tmp_path: Path, code: int) -> None:
    """Newer compilers bring new relocations: a guess about one would be a wrong address, without a word."""
    patch = patch_of(tmp_path, "int *patch_data = &counter; int patch_main(void) { return 0; }")
    content = bytearray(patch.read_bytes())
    at = content.index((257).to_bytes(4, "little") + index_of(patch, "counter").to_bytes(4, "little"))
    content[at : at + 4] = code.to_bytes(4, "little")
    patch.write_bytes(content)
    shown = {1027: "R_AARCH64_RELATIVE"}.get(code, f"relocation {code}")
    with pytest.raises(SymbolRefusal, match=rf"patch.o: \.data\S*\+0x0: {shown} against counter: no rule binds"):
        StubBuilder(refusing.path).build([patch], slide=0x40_0000_0000, bind=True)


def test_a_refusal_leaves_no_output(refusing: Program, tmp_path: Path) -> None:
    """A patch left behind would be loaded by the next step of the user's script."""
    patch = patch_of(tmp_path, REFUSALS["tiny code model"].text)
    with pytest.raises(SymbolRefusal):
        link_patch(StubBuilder(refusing.path), refusing.captured, [patch], tmp_path / "patch.so", slide=0x40_0000_0000)
    assert not (tmp_path / "patch.so").exists()


@pytest.mark.parametrize("linker", LINKERS)
def test_the_hosts_libraries_serve_the_patch(linker: str, tmp_path: Path) -> None:
    """An edit calls what the host never did, out of a library on its link line: the patch must link, and load it."""
    (tmp_path / "extra.c").write_text("int extra(int x) { return x + 1; }")
    run([need("llvm-ar-19"), "rc", tmp_path / "libextra.a", compile_c(tmp_path / "extra.c", tmp_path / "extra.o")])
    program = link_host(tmp_path, linker, more=["-L", tmp_path, "-lextra", "-Wl,--as-needed", "-lm"])
    text = """
    #include <stdio.h>
    int extra(int); double cbrt(double);
    const char *patch_main(void) {
      static char text[64];
      sprintf(text, "%d %.0f", extra(counter), cbrt(counter + 23));
      return text;
    }
    """
    patch = patch_of(tmp_path, text)
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == "42 4"
        live.end()


def test_a_profiled_object_is_bound(program: Program, running: LiveHost, tmp_path: Path) -> None:
    """Clang with a profile, or asked for it, lists calls in a section with SHT_REL: no reason to refuse the patch."""
    text = """
    const char *patch_main(void) { return host_twice(counter) == 82 ? "right" : "wrong"; }
    __asm__(".cg_profile patch_main, host_twice, 10");
    """
    patch = patch_of(tmp_path, text, compiler="clang")
    assert ".rel.llvm.call-graph-profile" in run([need("readelf"), "-SW", patch])
    program.link(running, patch, tmp_path / "patch.so")
    assert running.patch(tmp_path / "patch.so") == "right"


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("model", MODELS)
def test_static_thread_locals_are_forwarded_together(tmp_path: Path, compiler: str, model: str) -> None:
    """Two variables that GCC reaches from one anchor: the patch would count in copies, although it says otherwise."""
    host = tmp_path / "more.c"
    variables = "static __thread int first[3] = {1, 2, 3}; static __thread int second = 4;"
    code = "int {0}(int i) {{ second += i; return first[i] * 100 + second; }}"
    host.write_text(f"{variables} {code.format('host_sum')} int host_again(int i) {{ return host_sum(i); }}")
    more = compile_c(host, tmp_path / "more.o", "-O2")
    own = link_host(tmp_path, "lld", more=[more])
    text = f"""
    #include <stdio.h>
    int host_again(int); {variables} {code.format("host_sum")}
    const char *patch_main(void) {{
      static char text[64];
      int host = host_again(1), own = host_sum(2);
      snprintf(text, sizeof text, "%d %d %d", host, own, host_again(0));
      return text;
    }}
    """
    patch = patch_of(tmp_path, text, "-O2", f"-ftls-model={model}", compiler=compiler, name="more.c")
    with LiveHost(own.path) as live:
        own.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == "205 307 107"
        live.end()


def test_an_anchor_of_new_and_old_thread_locals_is_refused(refusing: Program, tmp_path: Path) -> None:
    """GCC reaches a new thread-local and the host's from one anchor: one of the two would be another variable."""
    text = """
    static __thread int tls_unit = 9, tls_added = 4;
    int host_twice(int x) { return x + x; }
    int *patch_main(int i) { tls_unit += i; return tls_added++ ? &tls_unit : &tls_added; }
    """
    patch = patch_of(tmp_path, text, "-O2", name="bound_host.c")
    assert places(patch, ".LANCHOR0"), "GCC made no anchor"
    with pytest.raises(
        SymbolRefusal, match=r"against tls_unit: it counts from \.tdata.*; compile with -fno-section-anc"
    ):
        StubBuilder(refusing.path).build([patch], slide=0x40_0000_0000, bind=True)
    apart = patch_of(tmp_path, text, "-O2", "-fno-section-anchors")
    assert StubBuilder(refusing.path).build([apart], slide=0x40_0000_0000, bind=True).bound
