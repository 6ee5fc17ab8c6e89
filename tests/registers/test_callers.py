"""Which callers rely on registers: assembly of one caller at a time, in both formats, by real linkers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import need, run

from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.registers import Redirected, relying_callers, without_ipa_ra


class Case(NamedTuple):
    """A caller of ``old``, and the registers in which it relies on it."""

    caller: str
    sure: str = ""
    perhaps: str = ""
    old: str = ""  # before its ret
    new: str = "bl elsewhere"
    more: str = ""  # other functions


CASES = {
    "it reads one": Case("bl old; add x0, x9, x9", "x9"),
    "it writes it first": Case("bl old; mov x9, 1; add x0, x9, x9"),
    "on one way": Case("bl old; cbz x19, 1f; mov x10, 1; 1: add x0, x10, x10", "x10"),
    "in a loop": Case("1: add x11, x11, 1; bl old; cmp x11, 9; b.ne 1b", "x11"),
    "the old one changes it": Case("bl old; add x0, x9, x9", old="mov x9, 5"),
    "the old one jumps by what is no table": Case(
        "bl old; add x0, x9, x9", "x9", old="adr x1, 1f; br x1; 1: mov x8, 1"
    ),
    "the old one calls another by its pointer's stub": Case("bl old; add x0, x9, x9", old="br x16"),
    "the new one does not": Case("bl old; add x0, x9, x9", new="mov x8, 5"),
    "the new one does by another": Case("bl old; add x0, x9, x9", "x9", new="bl helper", more="helper: mov x9, 1; ret"),
    "the new one does by a jump": Case("bl old; add x0, x9, x9", "x9", new="b helper", more="helper: mov x9, 1; ret"),
    "the new one calls a pointer": Case("bl old; add x0, x9, x9", "x9", new="blr x1"),
    "the new one jumps by a pointer": Case("bl old; add x0, x9, x9", "x9", new="br x1"),
    "the new one jumps by a pointer after arithmetic": Case(
        "bl old; add x0, x9, x9", "x9", new="add x2, x1, w0, sxtb 2; br x1"
    ),
    "the new one has a switch": Case(
        "bl old; add x0, x9, x9; add x0, x0, x10", "x9", new="adr x1, 1f; add x1, x1, w0, sxtb 2; br x1; 1: mov x9, 1"
    ),
    "what a veneer uses": Case("bl old; add x0, x16, x17"),
    "far behind": Case("bl old; .rept 9000; nop; .endr; add x0, x9, x9", "x9"),
    "too far behind": Case("bl old; .rept 16500; nop; .endr; add x0, x9, x9", perhaps="x0"),
    "a vector": Case("bl old; fadd d0, d17, d17", "v17"),
    "the lower half of v8": Case("bl old; fadd d0, d8, d8"),
    "all of v8": Case("bl old; add v0.4s, v8.4s, v8.4s", "upper half of v8"),
    "flags": Case("cmp x0, 1; bl old; cset x0, eq", "flags"),
    "an argument, set for it": Case("mov x1, 5; bl old; mov x0, 1; bl elsewhere", "x1"),
    "an argument, used before": Case("mov x1, 5; add x19, x1, x1; bl old; mov x0, 1; bl elsewhere", perhaps="x1"),
    "an argument of the old one": Case("mov x1, 5; bl old; mov x0, 1; bl elsewhere", perhaps="x1", old="str x1, [x1]"),
    "none, as it was before a call": Case("mov x1, 5; bl elsewhere; bl old; mov x0, 1; bl elsewhere"),
    "none, as nobody set it": Case("bl old; mov x0, 1; bl elsewhere"),
    "the first argument, passed on": Case("mov x0, 5; bl old; b elsewhere", "x0", old="str x0, [x0]"),
    "its own, passed on": Case("bl old; b elsewhere", "x0", old="str x0, [x0]"),
    "perhaps its own, passed on": Case("bl old; b elsewhere", perhaps="x0"),
    "its own, passed on to a pointer": Case("bl old; br x19", "x0", old="str x0, [x0]"),
    "an argument of a known one": Case("mov x3, 1; bl old; bl takes", "x3", more="takes: add x0, x3, x3; ret"),
    "what a known one does not take": Case("mov x3, 1; bl old; bl takes", more="takes: mov x3, 1; ret"),
    "an argument of two that call each other": Case(
        "mov x3, 1; bl old; cbz x21, 2f; mov x3, 2; bl takes; ret; 2: bl helper",
        "x3",
        more="takes: cbz x19, 1f; bl helper; 1: add x0, x3, x3; ret\nhelper: cbz x20, 1f; bl takes; 1: mov x0, 1; ret",
    ),
    "behind one that leaves it alone": Case("bl old; bl idle; add x0, x9, x9", "x9", more="idle: mov x8, 1; ret"),
    "behind one that does not": Case("bl old; bl busy; add x0, x9, x9", more="busy: mov x9, 1; ret"),
    "behind one that nobody knows": Case("bl old; mov x0, 1; bl elsewhere; add x0, x9, x9"),
    "its caller, through it": Case("bl middle; add x0, x9, x9", "x9", more="middle: b old"),
    "its caller, through a call": Case("bl middle; add x0, x9, x9", "x9", more="middle: bl old; ret"),
    "its caller, but it changes it": Case("bl middle; add x0, x9, x9", more="middle: bl old; mov x9, 1; ret"),
    "what it returns": Case("mov x0, 5; bl old", "x0"),
    "what it perhaps returns": Case("mov x0, 5; add x2, x0, x0; bl old", perhaps="x0"),
    "in a switch": Case("bl old; adr x1, 1f; add x1, x1, w19, sxtb 2; br x1; 1: mov x0, 1; ret; add x0, x9, x9", "x9"),
    "all arguments saved, as printf does": Case(
        "mov x5, 1; add x6, x5, x5; bl old; bl saves", perhaps="x5", more="saves: stp x4, x5, [sp, 16]; ret"
    ),
}
TARGETS = {"elf": "aarch64-linux-gnu", "macho": "arm64-apple-macos13.0"}
LINKERS = {
    "elf": ["ld.lld-19", "-shared"],
    "macho": [
        *["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13", "13"],
        *["-dylib", "-undefined", "dynamic_lookup"],
    ],
}
OWN = re.compile(r"\b(caller|old|new|helper|takes|idle|busy|middle|saves)\b")
"""What each case has for itself; ``elsewhere`` is in another library."""


def function(name: str, form: str, body: str) -> str:
    """A function of that name, in whose place no other library has one."""
    kind = f".type {name}, %function" if form == "elf" else ""
    shown = ".hidden" if form == "elf" else ".private_extern"
    lines = [".text", ".p2align 2", f".globl {name}", f"{shown} {name}", kind, f"{name}:"]
    return "\n".join([*lines, *(part.strip() for part in body.split(";")), ""])


def library(folder: Path, form: str, title: str, functions: list[str]) -> Image:
    """What a real linker makes of them."""
    text = "".join(functions).replace("elsewhere", "_elsewhere" if form == "macho" else "elsewhere")
    (folder / f"{title}.s").write_text(text)
    run([need("clang-19"), f"--target={TARGETS[form]}", "-c", f"{title}.s", "-o", f"{title}.o"], cwd=folder)
    linker, *options = LINKERS[form]
    run([need(linker), *options, f"{title}.o", "-o", title], cwd=folder)
    return open_image((folder / title).read_bytes(), title)


@pytest.fixture(scope="module", params=TARGETS)
def images(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, Image]:
    """Host and patch of all cases, in one format."""
    form, folder = str(request.param), tmp_path_factory.mktemp("callers")
    host, patch = list[str](), list[str]()
    for number, case in enumerate(CASES.values()):
        functions = {"caller": case.caller + "; ret", "old": case.old + "; ret"}
        others = {part.partition(":")[0]: part.partition(":")[2] for part in case.more.splitlines()}
        for texts, bodies in ((host, {**functions, **others}), (patch, {"new": case.new + "; ret", **others})):
            named = OWN.sub(
                rf"{'_' * (form == 'macho')}\1_{number}", "\n".join(function(n, form, b) for n, b in bodies.items())
            )
            texts.append(named + "\n")
    return library(folder, form, "host", host), library(folder, form, "patch", patch)


def address(image: Image, name: str) -> int:
    """Where the function is."""
    symbol = (b"_" if image.format == "macho" else b"") + name.encode()
    return image.find({symbol})[symbol][0].address


@pytest.mark.parametrize("name", CASES)
def test_a_caller_relies_on(images: tuple[Image, Image], name: str) -> None:
    """What it finds in a register after the call, though any function may change that."""
    case, number, (host, patch) = CASES[name], list(CASES).index(name), images
    pair = Redirected(address(host, f"old_{number}"), address(patch, f"new_{number}"), patch, [])
    found = relying_callers(host, [pair])
    registers = case.sure or case.perhaps
    told = host.format == "elf" or registers not in ("x0", "x1")  # LLVM's arguments, which a dSYM alone tells
    expected = [(bool(case.sure) and told, registers)] if registers else []
    assert [(one.sure, ", ".join(one.registers)) for one in found] == expected
    assert all(one.caller.lstrip("_").startswith(("caller", "middle")) for one in found)


def test_of_several_functions(images: tuple[Image, Image]) -> None:
    """All at once, as a patch replaces them: what is found of one is not another's."""
    host, patch = images
    olds = [address(host, f"old_{number}") for number in range(len(CASES))]
    pairs = [Redirected(old, address(patch, f"new_{n}"), patch, []) for n, old in enumerate(olds)]
    told = [one.old for one in relying_callers(host, pairs)]
    assert told == [old for old, case in zip(olds, CASES.values(), strict=True) if case.sure or case.perhaps]


NAKED = """
#define NAKED __attribute__((naked, noinline, visibility("hidden")))
NAKED void old(void) { __asm__("ret"); }
NAKED void caller(void) { __asm__("bl old; add x0, x9, x9; ret"); }
NAKED void passes_on(void) { __asm__("bl old; mov x0, 1; bl elsewhere; ret"); }
NAKED void new(void) { __asm__("bl elsewhere; ret"); }
"""
DECLARING = "long elsewhere(long, long); long user(long n) { return elsewhere(n, 2) + n; }"


def compiled(folder: Path, title: str, text: str, compiler: str, *options: str) -> Image:
    """The object of *text*."""
    (folder / f"{title}.c").write_text(text)
    driver = {"gcc": ["aarch64-linux-gnu-gcc"], "clang": ["clang-19", f"--target={TARGETS['elf']}"]}[compiler]
    run([need(driver[0]), *driver[1:], "-O1", "-fPIC", *options, "-c", f"{title}.c", "-o", f"{title}.o"], cwd=folder)
    return open_image((folder / f"{title}.o").read_bytes(), title)


def linked(folder: Path, title: str) -> Image:
    """The library of that object alone."""
    linker, *options = LINKERS["elf"]
    run([need(linker), *options, f"{title}.o", "-o", title], cwd=folder)
    return open_image((folder / title).read_bytes(), title)


@pytest.mark.parametrize("options", [(), ("-g",)])
def test_callers_of_llvm_rely_on_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Debug information says who compiled a function; the code alone might be GCC's."""
    compiled(tmp_path, "host", NAKED, "clang", *options)
    host = linked(tmp_path, "host")
    rows = relying_callers(host, [Redirected(address(host, "old"), address(host, "new"), host, [])])
    assert bool(rows) is not bool(options)


@pytest.mark.parametrize("options", [(), ("-g",)])
def test_what_a_declared_function_takes(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A caller hands its own second argument on, which it never touched: a declaration alone tells."""
    compiled(tmp_path, "host", NAKED.replace("bl old; add x0, x9, x9", "nop"), "clang")
    host = linked(tmp_path, "host")
    declaring = compiled(tmp_path, "declaring", DECLARING, "gcc", *options)
    rows = relying_callers(host, [Redirected(address(host, "old"), address(host, "new"), host, [declaring])])
    assert [(one.sure, one.registers) for one in rows] == ([(False, ("x1",))] if options else [])


RETURNING = """
#define KEPT __attribute__((noipa, visibility("hidden")))
KEPT long old(long n) { __asm__ volatile("" : "+r"(n)); return n; }
KEPT long new(long n) { return n * 3; }
long caller(long n) { return old(n) + 1; }
"""


def test_what_a_function_returns(tmp_path: Path) -> None:
    """One that hands its argument back leaves the register alone, and whoever reads it there means the result."""
    compiled(tmp_path, "host", RETURNING, "gcc", "-g")
    host = linked(tmp_path, "host")
    assert not relying_callers(host, [Redirected(address(host, "old"), address(host, "new"), host, [])])


KEEPING = """
#define KEPT __attribute__((noipa, visibility("hidden")))
KEPT void old(void) { __asm__ volatile(""); }
KEPT void new(void) { __asm__ volatile("mov x9, 1" ::: "x9"); }
KEPT long caller(void) { long n; __asm__ volatile("bl old; add %0, x9, x9" : "=r"(n) :: "x30"); return n; }
"""


@pytest.mark.parametrize(
    ("options", "relies"),
    [
        ("-g", True),
        ("-fno-ipa-ra", True),
        ("-g -fno-ipa-ra", False),
        ("-g -fno-ipa-ra -fipa-ra", True),
        ("-g -fpatchable-function-entry=2", False),
        ("-g -fpatchable-function-entry=0", True),
        ("-g -O0", False),
        ("-g -fno-ipa-ra -gno-record-gcc-switches", True),
    ],
)
def test_debug_information_says_that_callers_rely_on_nothing(tmp_path: Path, options: str, relies: bool) -> None:
    """Redis was told to use -fno-ipa-ra, with which it was compiled; what is behind a call reads v0 to v7 perhaps."""
    compiled(tmp_path, "host", KEEPING, "gcc", *options.split())
    host = linked(tmp_path, "host")
    rows = relying_callers(host, [Redirected(address(host, "old"), address(host, "new"), host, [])])
    assert bool(rows) is relies


@pytest.mark.parametrize(
    ("producer", "says"),
    [
        (b"GNU C11 12.2.0 -O1 -fno-ipa-ra", True),
        (b"GNU GIMPLE 12.2.0 -O1 -fno-ipa-ra", False),
        (b"clang version 19.1.7 -fno-ipa-ra", False),
        (b"", False),
    ],
)
def test_whose_options_count(producer: bytes, says: bool) -> None:
    """A linker's options are not those of each function; another compiler's mean something else."""
    assert without_ipa_ra(producer) is says
