"""Hosts that other compilers than C's made, or that are in other files than usual, live."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_bound_elf import LINKERS, compile_c, link_host
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.errors import SymbolRefusal

SLIDE = 0x40_0000_0000

HASKELL_HOST = """
__asm__(".text\\n.p2align 3\\n.quad 77\\n.globl base_add_info\\n.type base_add_info, %object\\nbase_add_info:\\n"
        " add w0, w0, #30\\n ret\\n.size base_add_info, 8");
"""
"""What GHC makes of a function: a table, its code, and a symbol between them of a datum's type."""

HASKELL_PATCH = """
__asm__(".text\\n.globl call\\ncall: stp x29, x30, [sp, #-16]!\\n bl base_add_info\\n ldp x29, x30, [sp], #16\\n ret\\n"
        ".globl jump\\njump: b base_add_info\\n"
        ".data\\n.p2align 3\\nclosure: .quad base_add_info\\n.text");
extern const long base_add_info[]; extern int (*closure)(int) __asm__("closure"); int call(int), jump(int);
const char *patch_main(void) {
  return call(1) == 31 && jump(2) == 32 && closure(3) == 33 && base_add_info[-1] == 77
    && (long)closure == (long)base_add_info ? "right" : "wrong";
}
"""


def patch_of(folder: Path, text: str, *options: str) -> Path:
    """The object of a patch with *text* as its source."""
    (folder / "patch.c").write_text(text)
    return compile_c(folder / "patch.c", folder / "patch.o", *options)


@pytest.mark.parametrize("linker", LINKERS)
def test_code_that_is_typed_as_data(linker: str, tmp_path: Path) -> None:
    """GHC's patches branch to such symbols, and read the table in front of them by their address."""
    (tmp_path / "info.c").write_text(HASKELL_HOST)
    program = link_host(tmp_path, linker, more=[compile_c(tmp_path / "info.c", tmp_path / "info.o")])
    patch = patch_of(tmp_path, HASKELL_PATCH)
    with LiveHost(program.path) as live:
        linked = program.link(live, patch, tmp_path / "patch.so")
        (decision,) = [d for d in linked.built.resolution.decisions() if d.name == "base_add_info"]
        assert decision.verdict.value == "trampoline"
        assert decision.reason == "the host's code there, whose symbol has a datum's type"
        assert live.patch(tmp_path / "patch.so") == "right"
        live.end()
    with pytest.raises(
        SymbolRefusal, match="base_add_info: refused: it is code whose symbol has a datum's type: bound"
    ):
        StubBuilder(program.path).build([patch], slide=0x40_0000_0000)


TABLES = {
    "a distance": ('__asm__(".data\\n.quad base_add_info - .\\n.text\\n b base_add_info");', "R_AARCH64_PREL64"),
    "a branch to data": ('__asm__("b counter");', "R_AARCH64_JUMP26 against counter: the host's is no code"),
}
"""What it is -> (source, how its refusal reads)."""


@pytest.mark.parametrize("name", TABLES)
def test_what_is_neither_code_nor_data_is_refused(name: str, tmp_path: Path) -> None:
    """A distance to a trampoline leads to no table, and a branch to data faults."""
    (tmp_path / "info.c").write_text(HASKELL_HOST)
    program = link_host(tmp_path, "lld", more=[compile_c(tmp_path / "info.c", tmp_path / "info.o")])
    text, pattern = TABLES[name]
    with pytest.raises(SymbolRefusal, match=pattern):
        StubBuilder(program.path).build([patch_of(tmp_path, text)], slide=0x40_0000_0000, bind=True)


TAGGING = ("-fsanitize=hwaddress", "-mllvm", "-hwasan-globals=1", "-mllvm", "-hwasan-instrument-stack=0")
TAGGING += ("-mllvm", "-hwasan-instrument-reads=0", "-mllvm", "-hwasan-instrument-writes=0")
"""HWASan's tags without its checks, whose run-time library is not here."""

TAGGED = """
int tagged = 5; static volatile int unit = 4; long row[4] = {1, 2, 3, 4};
__attribute__((visibility("hidden"))) int secret = 9; __attribute__((visibility("hidden"))) char far[9000];
int *where_tagged(void) { return &tagged; } int *where_secret(void) { return &secret; }
int sum(void) { return tagged + unit + (int)row[2] + secret + far[8000]; }
"""

TAGGED_AGAIN = """
int tagged = 5; __attribute__((visibility("hidden"))) int secret = 9;
int *where_tagged(void), *where_secret(void);
int *own_tagged(void) { return &tagged; } int *own_secret(void) { return &secret; }
const char *patch_main(void) {
  return tagged == 15 && ++secret == 20 && own_tagged() == where_tagged() && own_secret() == where_secret()
    && *where_secret() == 20 ? "kept" : "new";
}
"""

TAGGED_PATCH = """
extern int tagged; extern volatile int unit; extern long row[4]; long *third = &row[2]; static int own = 1;
int seen = 2;
#pragma GCC visibility push(hidden)
extern int secret; extern char far[9000]; char *last(void) { return &far[8999]; }
#pragma GCC visibility pop
int *where_tagged(void), *where_secret(void), sum(void); int snprintf(char *, unsigned long, const char *, ...);
__attribute__((noinline)) int *own_secret(void) { return &secret; }
__attribute__((noinline)) int *own_count(void) { return &own; }
const char *patch_main(void) {
  static char text[64];
  tagged += 10, unit += 10, *third += 10, secret += 10, far[8000] = 10, *own_count() += seen, last()[-1] = 1;
  snprintf(text, sizeof text, "%d %d %d %d %d", sum(), &tagged == where_tagged(), own_secret() == where_secret(), own,
           (int)((unsigned long)&tagged >> 56 != 0));
  return text;
}
"""


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("options", [(), TAGGING], ids=["plain", "tagging"])
def test_tagged_variables(options: tuple[str, ...], level: str, tmp_path: Path) -> None:
    """HWASan faults over every pointer to a variable without the tag that the linker put into the symbol's address.

    Of the linkers only lld knows what it takes: GNU ld 2.40 makes no instruction of R_AARCH64_MOVW_PREL_G3, and
    mold 1.10 rejects it.
    """
    (tmp_path / "tagged.c").write_text(TAGGED)
    (tmp_path / "rt.c").write_text("void __hwasan_init(void) {}")
    objects = [
        compile_c(tmp_path / "tagged.c", tmp_path / "tagged.o", *TAGGING, compiler="clang"),
        compile_c(tmp_path / "rt.c", tmp_path / "rt.o"),
    ]
    program = link_host(tmp_path, "lld", more=objects)
    (tmp_path / "patch.c").write_text(TAGGED_PATCH)
    patch = compile_c(tmp_path / "patch.c", tmp_path / "patch.o", level, *options, compiler="clang")
    (tmp_path / "tagged.c").write_text(TAGGED_AGAIN)
    again = compile_c(tmp_path / "tagged.c", tmp_path / "again.o", level, "-fdata-sections", *options, compiler="clang")
    with LiveHost(program.path) as live:
        linked = program.link(live, patch, tmp_path / "patch.so")
        assert linked.checked.ok
        assert live.patch(tmp_path / "patch.so") == "71 1 1 3 1"
        linked = program.link(live, again, tmp_path / "again.so", keep_state=True)
        kept = {d.name: d.forwarded for d in linked.built.resolution.shared_variables}
        assert kept == {"tagged": True, "secret": True}
        assert live.patch(tmp_path / "again.so") == "kept"
        live.end()


SANITIZERS = {
    "address": ("asan_globals", ()),
    "hwaddress": ("hwasan_globals", ("-mllvm", "-hwasan-globals=1")),
}
"""Sanitizer -> where it lists an image's variables, and its options. On Mach-O such a variable is not kept."""


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_sanitizers_list_an_images_own_variables(sanitizer: str, tmp_path: Path) -> None:
    """The host's variable, listed by the patch as well, is one that two images define: the program is ended."""
    section, options = SANITIZERS[sanitizer]
    source = "int counter = 5; int bump(void) { return ++counter; } int main(void) { return 0; }"
    (tmp_path / "near.c").write_text(source)
    clang = [str(need("clang-19")), "--target=aarch64-linux-gnu", "-O1", "-fPIC", "-fdata-sections", "-c", "near.c"]
    for name in ("near.o", "patch.o"):
        run([*clang, f"-fsanitize={sanitizer}", *options, "-o", name], cwd=tmp_path)
    lld = [str(need("ld.lld-19")), "-pie", "-e", "main", "--unresolved-symbols=ignore-all"]
    run([*lld, "near.o", "-o", "host"], cwd=tmp_path)
    built = StubBuilder(tmp_path / "host").build(
        [tmp_path / "patch.o"], slide=SLIDE, bind=True, keep_state=True, allow_missing=True
    )
    bounds = {d.name: d.verdict.value for d in built.resolution.decisions() if d.name.endswith(section)}
    assert bounds == dict.fromkeys((f"__start_{section}", f"__stop_{section}"), "linker")
    (kept,) = [variable for variable in built.resolution.shared_variables if variable.name == "counter"]
    assert kept.forwarded, kept.reason_not_kept
    assert built.bound is not None
    (tmp_path / "copy.o").write_bytes(built.bound.objects[0].content)
    listed = [relocations_of(tmp_path / name, section) for name in ("patch.o", "copy.o")]
    assert listed[0] == listed[1]
    assert any("counter" in line for line in listed[0]), "the sanitizer lists nothing"


def relocations_of(path: Path, section: str) -> list[str]:
    """The relocations of *section*, by llvm-objdump."""
    shown = run([need("llvm-objdump-19"), "-r", path])
    block = shown.partition(f"RELOCATION RECORDS FOR [{section}]:")[2].partition("RELOCATION RECORDS")[0]
    return [line for line in block.splitlines() if line[:1] == "0"]
