"""Host data and functions that the patch's code reaches without the GOT, as if they were near.

That is how code for programs reaches everything, and how any code reaches what has hidden visibility: so do statics of
Rust's other codegen units.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_bound_elf import ANSWER, COMPILERS, LINKERS, STATE, Program, compile_c, link_host
from tools import PROGRAMS, need, run

from stubgen.build import StubBuilder
from stubgen.errors import LinkerFailed
from stubgen.link import link_patch

AFTER = "-4 401 50 1099511627777 43 6:6 1.5 44 Head810 Text 2 3"
"""What the host's variables hold once the patch has changed every one of them."""

MODELS = {
    "hidden": ("-fPIC",),
    "program": ("-fno-pic",),
    "small GOT": ("-fpic",),
    "sections": ("-fPIC", "-ffunction-sections"),
}
"""How code is compiled -> the options for it."""

LEVELS = ("-O0", "-O1", "-O2", "-Os", "-O3")

CASES = [
    *itertools.product(("lld",), COMPILERS, LEVELS, MODELS),
    *itertools.product(("gnu", "mold"), COMPILERS, ("-O2",), ("hidden",)),
]
"""Linker, compiler, level, model: linkers differ in nothing but whether they know a relocation."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Program]:
    """The host as a linker makes it, for each that is asked for once."""

    @cache
    def linked(linker: str) -> Program:
        folder = tmp_path_factory.mktemp(f"near-{linker}")
        return link_host(folder, linker, more=[compile_c(PROGRAMS / "near_host.c", folder / "near.o")])

    return linked


def relocations(patch: Path) -> set[str]:
    """The kinds of the relocations of *patch* that name the host's variables, by ``readelf``."""
    return set(re.findall(r"R_AARCH64_(\w+) +\w+ +near_", run([need("readelf"), "-rW", patch])))


@pytest.mark.parametrize(("linker", "compiler", "level", "model"), CASES)
def test_direct_accesses_are_the_hosts(
    hosts: Callable[[str], Program], tmp_path: Path, linker: str, compiler: str, level: str, model: str
) -> None:
    """Every Rust static, and every hidden C variable, is reached so: one wrong offset corrupts the host's memory."""
    program = hosts(linker)
    patch = compile_c(PROGRAMS / "near_patch.c", tmp_path / "patch.o", level, *MODELS[model], compiler=compiler)
    wanted = {"ADD_ABS_LO12_NC"} if level == "-O0" else {"ADR_PREL_PG_HI21", "LDST32_ABS_LO12_NC"}
    assert wanted <= relocations(patch), "the compiler used the GOT"
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == f"50 42 {AFTER}"
        live.end()


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("linker", LINKERS)
def test_the_small_got(hosts: Callable[[str], Program], tmp_path: Path, linker: str, level: str) -> None:
    """``-fpic`` counts from the GOT, where no slot can be: each load must find its slot by itself."""
    program = hosts(linker)
    patch = compile_c(PROGRAMS / "bound_patch.c", tmp_path / "patch.o", level, "-fpic")
    assert "R_AARCH64_LD64_GOTPAGE_LO15" in run([need("readelf"), "-rW", patch])
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == ANSWER
        assert live.tell("state") == STATE
        live.end()


MOVED = """
__asm__(".text\\nmoved:\\n movz x0, #:abs_g0_nc:near_row+8\\n movk x0, #:abs_g1_nc:near_row+8\\n"
        " movk x0, #:abs_g2_nc:near_row+8\\n movk x0, #:abs_g3:near_row+8\\n ret\\n"
        "short:\\n movz x0, #:abs_g2:near_row\\n movk x0, #:abs_g1_nc:near_row\\n"
        " movk x0, #:abs_g0_nc:near_row\\n ret");
long *moved(void), *short_way(void) __asm__("short");
const char *patch_main(void) { return moved()[0] == 2 && short_way()[1] == 2 ? "right" : "wrong"; }
"""


@pytest.mark.parametrize("linker", LINKERS)
def test_addresses_in_moves(hosts: Callable[[str], Program], tmp_path: Path, linker: str) -> None:
    """The large code model has an address 16 bits at a time; the linker alone would make each a text relocation."""
    program = hosts(linker)
    (tmp_path / "patch.c").write_text(MOVED)
    patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o")
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == "right"
        live.end()


TINY = """
#pragma GCC visibility push(hidden)
extern int near_function(int), near_row[8];
#pragma GCC visibility pop
int near_tiny(void) { int (*volatile function)(int) = near_function; int *volatile row = near_row + 4;
                      return function(row[0]); }
const char *patch_main(void) { return near_tiny() == 2 * 3 ? "right" : "wrong"; }
"""


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("linker", LINKERS)
def test_addresses_in_the_tiny_code_model(
    hosts: Callable[[str], Program], tmp_path: Path, linker: str, compiler: str
) -> None:
    """One ``adr`` forms an address there, which reaches 1 MiB: a host that is farther away needs the whole of it."""
    program = hosts(linker)
    (tmp_path / "patch.c").write_text(TINY)
    patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o", "-mcmodel=tiny", compiler=compiler)
    assert "ADR_PREL_LO21" in relocations(patch)
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so") == "right"
        live.end()


PARTED = """
extern __attribute__((visibility("hidden"))) long near_long;
__attribute__((noipa)) void peek(long *p) { __asm__ volatile("" ::"r"(p) : "memory"); }
__attribute__((noipa, cold)) void note(long v) { __asm__ volatile("" ::"r"(v) : "memory"); }
__attribute__((noipa)) long step(int x) {
  peek(&near_long);
  if (__builtin_expect(x < 0, 0)) { note(1); near_long++; note(near_long); peek(0); near_long += 2; return near_long; }
  return 0;
}
__attribute__((visibility("hidden"))) const char *near_look(void);
const char *patch_main(void) { return step(-1) == (1l << 40) + 3 ? near_look() : "wrong"; }
"""
"""Only the cold part of ``step`` has a load in it: the other section forms nothing but the address."""


@pytest.mark.parametrize("linker", LINKERS)
def test_one_page_serves_two_sections(hosts: Callable[[str], Program], tmp_path: Path, linker: str) -> None:
    """GCC moves what rarely runs away, registers and all: judged section by section, it writes beside the slot."""
    program = hosts(linker)
    (tmp_path / "patch.c").write_text(PARTED)
    patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o", "-O2", "-freorder-blocks-and-partition")
    shown = run([need("readelf"), "-rW", patch])
    cold = shown.partition(".rela.text.unlikely")[2].partition("Relocation section")[0]
    assert "near_long" in cold, "the compiler moved nothing"
    assert "PG_HI21" not in cold, "the other section loads the page by itself"
    with LiveHost(program.path) as live:
        program.link(live, patch, tmp_path / "patch.so")
        assert live.patch(tmp_path / "patch.so").split()[3] == str((1 << 40) + 3)
        live.end()


@pytest.mark.parametrize("linker", LINKERS)
def test_code_that_is_too_long(hosts: Callable[[str], Program], tmp_path: Path, linker: str) -> None:
    """A literal load reaches 1 MiB: no linker makes a wrong one, and its complaint alone helps nobody."""
    program = hosts(linker)
    text = """
    extern __attribute__((visibility("hidden"))) int near_int;
    __asm__(".text\\n.space 1100000"); int look(void) { return near_int; }
    const char *patch_main(void) { return look() ? "right" : "wrong"; } __asm__(".text\\n.space 1100000");
    """
    (tmp_path / "patch.c").write_text(text)
    patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o", "-fno-toplevel-reorder")
    with pytest.raises(LinkerFailed, match=r"R_AARCH64_LD_PREL_LO19[^$]*\nthe patch's code is more than 1 MiB from"):
        link_patch(
            *(StubBuilder(program.path), program.captured, [patch], tmp_path / "patch.so"),
            slide=0x40_0000_0000,
            exports=["patch_main"],
        )
    assert not (tmp_path / "patch.so").exists()


FAR = """
#pragma GCC visibility push(hidden)
extern char near_text[9000];
#pragma GCC visibility pop
__attribute__((noinline)) int get(void) { return near_text[8001]; }
__attribute__((noinline)) void set(char c) { near_text[8004] = c; }
__attribute__((noinline)) char *where(void) { return near_text; }
const char *patch_main(void) { char *text = where(); text[8001] = 7, set(8);
                               return get() + text[8004] == 15 ? "right" : "wrong"; }
"""


@pytest.mark.parametrize("level", ["-O1", "-O2"])
@pytest.mark.parametrize("linker", LINKERS)
def test_far_into_a_variable(hosts: Callable[[str], Program], tmp_path: Path, linker: str, level: str) -> None:
    """A byte load reaches 4 KiB by itself: the slot has to point to a place near what all accesses reach."""
    program = hosts(linker)
    (tmp_path / "patch.c").write_text(FAR)
    patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o", level, compiler="clang")
    assert re.search("LDST8_ABS_LO12_NC .* near_text . 1f4[14]", run([need("readelf"), "-rW", patch])), (
        "another way there"
    )
    with LiveHost(program.path) as live:
        linked = program.link(live, patch, tmp_path / "patch.so")
        assert [slot.symbol for slot in linked.built.bound.slots if b"text+" in slot.symbol]
        assert live.patch(tmp_path / "patch.so") == "right"
        live.end()
