"""Pinned symbol versions, live: a patch that asks for an old version gets it, with GNU ld, lld and mold."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, stubgen
from tools import linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_patch
from stubgen.errors import PatchRefusal, SymbolRefusal
from stubgen.host.slide import slide_from_value
from stubgen.link import link_patch

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}

HOST = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int rate_old(int x) { return x + 1; }
int rate_new(int x) { return x * 100; }
int limit_old = 11, limit_new = 22;
__asm__(".symver rate_old,rate@V1.0\n.symver rate_new,rate@@V2");
__asm__(".symver limit_old,limit@V1.0\n.symver limit_new,limit@@V2");
int (*imports[])() = {(int (*)())memcpy, (int (*)())snprintf};
int (*registered)(int) = rate_old;
int main(void) {
  char line[4096];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("anchor %p\n", (void *)&main);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    void *patch = strncmp(line, "patch ", 6) ? NULL : dlopen(line + 6, RTLD_NOW);
    char *(*answer)(void) = patch ? (char *(*)(void))dlsym(patch, "patch_main") : NULL;
    puts(answer ? answer() : !strcmp(line, "quit") ? "bye" : dlerror());
    if (!strcmp(line, "quit")) return limit_new != 22;
  }
  return 1;
}
"""

VERSIONS = "V1.0 { global: rate; limit; };\nV2 { global: rate; limit; registered; main; local: *; } V1.0;\n"

PATCH = r"""
#include <stdio.h>
#include <string.h>
int rate_one(int), rate(int); extern int limit_one, limit, (*registered)(int);
__asm__(".symver rate_one,rate@V1.0\n.symver limit_one,limit@V1.0");
int (*table[])(int) = {rate_one, rate};
int *limits[] = {&limit_one, &limit};
char *patch_main(void) {
  static char text[200];
  snprintf(text, sizeof text, "%d %d %d %d %d %d %d %d %d", rate_one(5), rate(5), table[0](5), table[1](5),
           limit_one, limit, *limits[0], *limits[1], registered == rate_one);
  limit_one++;
  return text;
}
"""

ANSWER = "6 500 6 500 11 22 11 22 1"


class Program(NamedTuple):
    """A host, the record of a link with one linker, and a patch."""

    host: Path
    captured: Capture
    patch: Path


@pytest.fixture(params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """GNU ld links the host, for mold 1.10 drops the versions of executables; the patch is linked by each."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    for name, text in (("host.c", HOST), ("host.map", VERSIONS), ("patch.c", PATCH)):
        (tmp_path / name).write_text(text)
    for name in ("host", "patch"):
        run([gcc, "-O1", "-fPIC", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path)
    argv = [gcc, "-B", str(linker_folder(tmp_path / "linkers")), "-fuse-ld=bfd", "-pie", "-rdynamic"]
    argv += ["-Wl,--version-script=host.map", "host.o", "-o", "host"]
    run(argv, cwd=tmp_path)
    argv[3] = f"-fuse-ld={LINKERS[request.param]}"
    return Program(tmp_path / "host", Capture(argv, tmp_path, {}), tmp_path / "patch.o")


def test_a_pinned_version_is_the_one_that_runs(program: Program, tmp_path: Path) -> None:
    """The old version of a function often takes other arguments than the new one."""
    builder = StubBuilder(program.host)
    with LiveHost(program.host) as live:
        linked = link_patch(
            builder, program.captured, [program.patch], tmp_path / "patch.so", live.anchor, exports=["patch_main"]
        )
        assert live.patch(tmp_path / "patch.so") == ANSWER
        assert live.patch(tmp_path / "patch.so") == ANSWER.replace("11", "12"), "the host's own variable is written"
        live.end()
    reported = {decision.name: decision.verdict.value for decision in linked.built.resolution.decisions()}
    assert reported.items() >= {
        ("rate@V1.0", "trampoline"),
        ("rate", "trampoline"),
        ("limit@V1.0", "slot"),
        ("limit", "slot"),
    }
    listed = stubgen("inspect", "--json", tmp_path / "patch.so")
    assert {stub["name"] for stub in json.loads(listed.stdout)["stubs"]} == {"main", "rate", "rate@V1.0"}


def test_the_check_holds_each_version_to_its_own_address(program: Program, tmp_path: Path) -> None:
    """A check that takes any version's address lets a patch through that calls the wrong one."""
    builder = StubBuilder(program.host)
    slide = slide_from_value(builder.host, 0x5500000000)
    link_patch(
        builder, program.captured, [program.patch], tmp_path / "patch.so", slide=slide.value, exports=["patch_main"]
    )
    assert check_patch(tmp_path / "patch.so", builder.host, slide=slide).ok
    lines = [line.split() for line in run([need("readelf"), "-sW", program.host]).splitlines()]
    places = {words[7]: int(words[1], 16) for words in lines if len(words) == 8 and words[0] != "Num:"}
    content = (tmp_path / "patch.so").read_bytes()
    for old, new, checks in (("rate_old", "rate_new", {"stubs", "slots"}), ("limit_old", "limit_new", {"slots"})):
        there, other = (places[symbol] + slide.value for symbol in (old, new))
        changed = swap(content, there, other)
        assert changed != content
        (tmp_path / "wrong.so").write_bytes(changed)
        bad = [f for f in check_patch(tmp_path / "wrong.so", builder.host, slide=slide).findings if not f.ok]
        assert {finding.check for finding in bad} == checks
        assert any(f"{old.partition('_')[0]}@V1.0" in finding.message for finding in bad)


def swap(content: bytes, there: int, other: int) -> bytes:
    """*content* with *other* in slots and stubs that hold *there*."""
    import capstone  # noqa: F401  # the words below are what it reads as movz x16

    words = [address.to_bytes(8, "little") for address in (there, other)]
    moves = [
        b"".join(
            (base | (address >> 16 * half & 0xFFFF) << 5).to_bytes(4, "little")
            for half, base in enumerate((0xD2800010, 0xF2A00010, 0xF2C00010, 0xF2E00010))
        )
        for address in (there, other)
    ]
    return content.replace(*words).replace(*moves)


def test_without_bound_copies_it_is_refused(program: Program, tmp_path: Path) -> None:
    """A stub object that no linker takes is no answer; the reason must come before the link does."""
    with pytest.raises(SymbolRefusal, match=r"rate@V1.0: refused: it pins version V1.0, .* bound copies"):
        StubBuilder(program.host).build([program.patch], slide=0x5500000000)
    built = StubBuilder(program.host).build([program.patch], slide=0x5500000000, bind=True)
    assert built.bound is not None
    (tmp_path / "copy.o").write_bytes(built.bound.objects[0].content)
    (tmp_path / "stub.o").write_bytes(built.stub.content)
    names = run([need("readelf"), "-sW", tmp_path / "stub.o", tmp_path / "copy.o"])
    assert "@" not in names
    driver = [*program.captured.argv[:4], "-shared", "copy.o", "stub.o", "-o", "patch.so"]
    assert subprocess.run(driver, cwd=tmp_path, check=False).returncode == 0


LIBRARY = """
#include <stdio.h>
void *copy(void *, const void *, unsigned long);
__asm__(".symver copy,memcpy@GLIBC_2.17");
char *patch_main(void) {
  static char text[8], word[8];
  static volatile int number = 123456;
  snprintf(text, sizeof text, "%d", number);
  return copy(word, text, 7);
}
"""


def test_a_librarys_version_is_left_to_the_loader(program: Program, tmp_path: Path) -> None:
    """The loader knows the library's versions; a linker that loses the name leaves a call to address 0."""
    (tmp_path / "patch.c").write_text(LIBRARY)
    run([need("aarch64-linux-gnu-gcc"), "-O1", "-fPIC", "-c", "patch.c", "-o", "patch.o"], cwd=tmp_path)
    builder, output = StubBuilder(program.host), tmp_path / "patch.so"
    with LiveHost(program.host) as live:
        if "mold" in program.captured.argv[3]:
            with pytest.raises(PatchRefusal, match=r"memcpy@GLIBC_2\.17 is not left to the loader: the linker lost it"):
                link_patch(builder, program.captured, [program.patch], output, live.anchor, exports=["patch_main"])
            return
        link_patch(builder, program.captured, [program.patch], output, live.anchor, exports=["patch_main"])
        assert live.patch(output) == "123456"
        live.end()
    assert "memcpy@GLIBC_2.17" in run([need("readelf"), "--dyn-syms", "-W", output])
