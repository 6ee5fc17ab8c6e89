"""Calls that the assembler filled in: they have no relocation, and the caller's bytes stay as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from origin.bench import SLIDE, tools
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.compare.fields import Form
from stubgen.compare.near import filled_in
from stubgen.jumptable import TableOptions
from stubgen.link import link_patch

SOURCE = """
static __attribute__((noinline)) long rate(long n); long beside(long n);
__attribute__((noinline)) long step(long n) { return rate(n) + 1; }
__attribute__((noinline)) long tail(long n) { return rate(n); }
static __attribute__((noinline)) long rate(long n) { return n * EDIT; }
long beside(long n) { return n; }
int main(void) { return (int)(step(1) + tail(2) + beside(3)); }
"""
COMPILERS = {
    "gcc": (["aarch64-linux-gnu-gcc"], "gnu"),
    "clang": (["clang-19", "--target=aarch64-linux-gnu"], "gnu"),
    "clang, Mach-O": (["clang-19", "--target=arm64-apple-macos13.0"], "ld64.lld"),
}


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("name", COMPILERS)
def test_callers_in_the_section_go_into_the_table(name: str, level: str, tmp_path: Path) -> None:
    """``rate`` is static: whoever looks ``step`` up went on with the old one, and with the old ``rate``."""
    (program, *options), linker = COMPILERS[name]
    kit = tools(linker, tmp_path)
    (tmp_path / "a.c").write_text(SOURCE)
    for edit, output in ((200, "host.o"), (300, "patch.o")):
        words = [str(need(program)), *options, level, "-fPIC", f"-DEDIT={edit}", "-c", "a.c", "-o", output]
        run(words, cwd=tmp_path)
    command = [*kit.executable, *(["-rdynamic"] if linker == "gnu" else []), "host.o", "-o", "host"]
    run(command, cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", cache=False)
    main = b"_main" if builder.host.image.format == "macho" else b"main"
    anchor = builder.host.find({main})[main][0].address + SLIDE
    captured = Capture(command, tmp_path, {}, output="host")
    output = tmp_path / "patch.out"
    linked = link_patch(builder, captured, [tmp_path / "patch.o"], output, anchor, jump_table=TableOptions())
    assert linked.jump_table is not None
    in_table = {entry.name.lstrip("_") for entry in linked.jump_table.entries}
    assert in_table - {"rate"} == {"step", "tail", "main"}, "rate's own place is not known without -g on Mach-O"


WORDS = {
    0x97FFFFFF: (Form.BRANCH26, -4),  # bl
    0x14000002: (Form.BRANCH26, 8),  # b
    0x54000041: (Form.BRANCH19, 8),  # b.ne
    0xB4000040: (Form.BRANCH19, 8),  # cbz x0
    0x37000040: (Form.BRANCH14, 8),  # tbnz w0, #0
    0x10000040: (Form.ADR, 8),  # adr x0
    0x58000040: (Form.LITERAL, 8),  # ldr x0
}


@pytest.mark.parametrize("word", WORDS, ids=hex)
def test_what_counts_words_from_itself(word: int) -> None:
    """One that is not read hides what its function leads to; data that looks like one is none."""
    content = memoryview(b"".join(each.to_bytes(4, "little") for each in (0xD503201F, word, word)))
    form, distance = WORDS[word]
    assert list(filled_in(content)) == [(4, form, 4 + distance), (8, form, 8 + distance)]
    assert list(filled_in(content, [(0, 2), (4, 8)])) == [(8, form, 8 + distance)]
    assert list(filled_in(content, [(4, 12)])) == []
