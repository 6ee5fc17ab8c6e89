"""Variables of which LLVM made a byte that stands for one of two numbers: which two, differs from build to build."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolve.test_same_file import LINKERS, Workshop
from tools import need, run

from stubgen.image.elf import ElfImage
from stubgen.resolve.storage import SHRUNK, UNSURE

USE = """
static {0} mode{1}; void on(void) {{ mode = {2}; }} int get(void) {{ return (int)mode; }}
"""
WHOLE = """
static {0} mode{1}; void on(void) {{ mode = {2}; }} int get(void) {{ return (int)mode; }}
void let(int to) {{ mode = ({0})to; }}
"""

KINDS = {
    "a number": ("int", "", "5", "9", SHRUNK),
    "the same number": ("int", "", "5", "5", ""),
    "a large number": ("long", " = 3", "70000", "70001", SHRUNK),
    "a letter": ("char", "", "'x'", "'y'", SHRUNK),
    "an enumeration": ("enum { A, B, C }", "", "B", "C", SHRUNK),
    "a truth": ("_Bool", "", "1", "1", ""),
    "a truth that begins as one": ("_Bool", " = 1", "0", "0", ""),
}
"""What it is -> its type, its initial value, the other one in the host and in the patch, why it is not kept."""


def verdict(folder: Path, host: str, patch: str, *options: str, compiler: str = "clang", linker: str = "bfd") -> str:
    """Why ``mode`` is not kept; empty if it is."""
    shop = Workshop(folder, compiler, linker)
    program = shop.link(shop.compile("a.c", f"{host} int enter(void) {{ on(); return get(); }}", *options))
    (mode,) = (v for n, v in shop.judge(program, shop.compile("a.c", patch, *options)).items() if n == "mode")
    assert mode.forwarded is not bool(mode.reason_not_kept)
    return mode.reason_not_kept


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("debug", ["-gdwarf-4", "-gdwarf-5"])
def test_a_byte_that_stands_for_other_numbers_is_not_kept(tmp_path: Path, kind: str, debug: str) -> None:
    """The patch would read its own second number where the host wrote its own."""
    of, initial, host, patch, reason = KINDS[kind]
    assert verdict(tmp_path, USE.format(of, initial, host), USE.format(of, initial, patch), debug) == reason


@pytest.mark.parametrize("linker", LINKERS)
def test_a_truth_that_the_host_has_turned_round(tmp_path: Path, linker: str) -> None:
    """``static bool running = true`` that is only ever made false is stored as its opposite; one that is set is not."""
    host, patch = (text.format("_Bool", " = 1", "0") for text in (USE, WHOLE))
    assert verdict(tmp_path, host, patch, "-g", linker=linker) == SHRUNK
    assert verdict(tmp_path, patch, host, "-g", linker=linker) == SHRUNK
    assert verdict(tmp_path, patch, patch, "-g", linker=linker) == ""


def test_without_debug_information(tmp_path: Path) -> None:
    """What clang made of a byte nothing says then; of more than a byte it made none, and GCC never does."""
    for text in (USE, WHOLE):
        byte, number = text.format("char", "", "5"), text.format("int", "", "5")
        assert verdict(tmp_path, byte, byte) == UNSURE
        assert verdict(tmp_path, number, number) == (UNSURE if text == USE else "")
        assert verdict(tmp_path, byte, byte, compiler="gcc") == ""


@pytest.mark.parametrize(
    ("text", "by_llvm"),
    [("GCC: (Debian) 12.2.0", False), ("clang version 19", True), ("rustc version 1.96", True), ("", True)],
)
def test_signatures(tmp_path: Path, text: str, by_llvm: bool) -> None:
    """Linkers sign as well, and say nothing of the code."""
    source = f'.ident "{text}"\n.ident "Linker: LLD 19"\n.ident "mold 1.10"\n' if text else ".text\n"
    (tmp_path / "a.s").write_text(source)
    run([str(need("aarch64-linux-gnu-as")), "a.s", "-o", "a.o"], cwd=tmp_path)
    assert ElfImage((tmp_path / "a.o").read_bytes(), "a.o").may_be_by_llvm is by_llvm


def test_thread_locals_are_left_alone(tmp_path: Path) -> None:
    """A thread's own flag that starts afresh in the patch is what people would have to look for."""
    text = "static __thread {} mode; void on(void) {{ mode = {}; }} int get(void) {{ return (int)mode; }}"
    for kind in ("int", "char"):
        assert verdict(tmp_path, text.format(kind, 5), text.format(kind, 9)) == ""
    lines = run([need("llvm-readelf-19"), "-sW", Workshop(tmp_path, "clang").compile("a.c", text.format("int", 9))])
    assert [line.split()[2] for line in lines.splitlines() if line.endswith(" mode")] == ["4"]


TAKEN_APART = "static struct {{ int a, b; }} pair = {{1, 2}}; int next(int x) {{ pair.a += x; return pair.b ^= {}; }}"


def test_what_is_taken_apart_goes_by_other_names(tmp_path: Path) -> None:
    """Clang makes ``pair.0`` and ``pair.1`` of it, numbered anew in each build."""
    shop = Workshop(tmp_path, "clang")
    text = TAKEN_APART.format("x") + " int enter(void) { return next(3); }"
    program = shop.link(shop.compile("a.c", text, "-g"))
    found = shop.judge(program, shop.compile("a.c", TAKEN_APART.format("x + 1"), "-g"))
    assert set(found) == {"pair.0", "pair.1"}
    assert not any(variable.forwarded for variable in found.values())
