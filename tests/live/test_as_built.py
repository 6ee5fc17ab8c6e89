"""What changed is told by what the host's own options make of the edited file: a patch's ``-fPIC`` changes all code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from live.live import LiveHost, compiling, stubgen
from tools import PROGRAMS, need, run

from stubgen.image.opening import open_image

SHAPES = """
struct shape { virtual long area(long n) const; virtual ~shape(); long sides = 3; };
struct square : shape { square(); long area(long n) const override; };
extern long taken, *last;
long rate(long n);
long scaled(long n);
long total(long n);
"""
SOURCE = """
#include "shapes.hh"
long taken = 5, *last = &taken;
static long seen;
long shape::area(long n) const { return n * sides; }
shape::~shape() { ++seen; }
square::square() { sides = 4; }
[[gnu::noinline, gnu::noipa]] long square::area(long n) const { return n * n + sides; }
long rate(long n) { return n + 7; }
long scaled(long n) { return rate(n) * 2 + *last; }
long total(long n) {
  square made;
  const shape *one = &made;
  taken += 1;
  return one->area(n) + scaled(n) + taken + seen;
}
extern "C" long step(long n) { return total(n); }
"""
BUILDS = {
    "g++ O2": ("aarch64-linux-gnu-g++", "-O2"),
    "g++ O2 no pie": ("aarch64-linux-gnu-g++", "-O2 -fno-pie -no-pie"),
    "g++ O0": ("aarch64-linux-gnu-g++", "-O0"),
    "clang++ O2": ("clang++-19", "-O2"),
}

MERGING = {"clang++ O3": ("clang++-19", "-O3")}
"""Where the compiler makes one variable of several."""


class Program:
    """A program of C++ with its compiles and its link recorded."""

    def __init__(self, folder: Path, build: str, source: str = SOURCE) -> None:
        """Build it in *folder*."""
        self.folder = folder
        compiler, options = {**BUILDS, **MERGING}[build]
        driver = [str(need(compiler)), *(["--target=aarch64-linux-gnu"] if "clang" in compiler else [])]
        environment = {**os.environ, "STUBGEN_CAPTURE_DIR": str(folder / "captured")}
        shutil.copy(PROGRAMS / "table_runtime.c", folder)
        for name, text in {"shapes.hh": SHAPES, "shapes.cc": source}.items():
            (folder / name).write_text(text)
        gcc = str(need("aarch64-linux-gnu-gcc"))
        run([gcc, "-O1", *options.split(), "-c", "table_runtime.c"], cwd=folder)
        flags = [*options.split(), "-g", "-w", "-DPLACE=here"]
        run([*compiling(folder).split(), *driver, *flags, "-c", "shapes.cc"], cwd=folder, env=environment)
        objects = ["table_runtime.o", "shapes.o", "-Wl,--export-dynamic-symbol=main", "-ldl"]
        run([*compiling(folder).split(), *driver, *flags, *objects, "-o", "host"], cwd=folder, env=environment)

    def patch(self, anchor: int, text: str, options: Sequence[str] = ()) -> dict[str, object]:
        """A patch with shapes.cc as *text*; the command's JSON document."""
        (self.folder / "shapes.cc").write_text(text)
        done = stubgen(
            *("patch", "--json", "--host", self.folder / "host", "--captured", self.folder / "captured"),
            *("--aslr-reference", hex(anchor), "--keep-state", "--jump-table", self.folder / "table.json", *options),
            *("--changed", self.folder / "shapes.cc", "-o", self.folder / "patch.so"),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document


def anchor_of(host: Path) -> int:
    """The static address of its ``main``."""
    return open_image(host).find([b"main"])[b"main"][0].address


def changed(document: dict[str, object]) -> set[str]:
    """The functions of which a patch's document says so."""
    assert document["status"] == 0, document
    rows: Sequence[dict[str, object]] = document["changes"]  # type: ignore[assignment]
    return {row["names"][0] for row in rows if row["change"] == "changed"}  # type: ignore[index]


@pytest.mark.parametrize("build", BUILDS)
def test_one_edited_function_of_a_program_at_fixed_or_relative_addresses(tmp_path: Path, build: str) -> None:
    """``-fPIE`` is what compilers do by themselves: an edit of one function was one of each with a virtual table.

    What calls that function is led to the patch, and nothing else: not who has the address of a variable there.
    """
    program = Program(tmp_path, build)
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call 3") == str(9 + 4 + 2 * 10 + 6 + 6)
        document = program.patch(live.anchor, SOURCE.replace("n * n + sides", "n * n * n + sides"))
        assert changed(document) == {"_ZNK6square4areaEl"}
        assert live.tell(f"apply {tmp_path / 'table.json'}") == "applied"
        assert live.tell("call 3") == str(27 + 4 + 2 * 10 + 7 + 7 + 1)
        table: Sequence[dict[str, object]] = document["jump_table"]  # type: ignore[assignment]
        assert {"_ZN5shapeD1Ev", "_Z4ratel", "_Z6scaledl"}.isdisjoint(str(row["name"]) for row in table)
        live.end()


HIDDEN = """
namespace {
struct held : shape { long area(long n) const override { return n; } };
struct halved : shape { long area(long n) const override { return n / 2; } };
}
long keep(long n) { held made; const shape *volatile one = &made; return one->area(n); }
long halve(long n) { halved made; const shape *volatile one = &made; return one->area(n); }
"""


def test_a_virtual_table_beside_that_of_an_edited_class(tmp_path: Path) -> None:
    """Clang names local tables by their section: whoever makes an object of any class of the file was replaced."""
    program = Program(tmp_path, "clang++ O2", SOURCE + HIDDEN)
    document = program.patch(0x5500000000 + anchor_of(tmp_path / "host"), SOURCE + HIDDEN.replace("n / 2", "n / 3"))
    assert changed(document) == {"_ZNK12_GLOBAL__N_16halved4areaEl"}
    table: Sequence[dict[str, object]] = document["jump_table"]  # type: ignore[assignment]
    names = {str(row["name"]) for row in table}
    assert "_Z5halvel" in names
    assert "_Z4keepl" not in names


@pytest.mark.parametrize("build", BUILDS)
def test_who_has_the_edited_function_inlined_in_the_host_alone(tmp_path: Path, build: str) -> None:
    """With ``-fPIC`` GCC calls what ``-fPIE`` copies into its callers: those changed too, and had to be told."""
    program = Program(tmp_path, build)
    with LiveHost(tmp_path / "host") as live:
        before = 9 + 4 + 2 * 10 + 6 + 6
        assert live.tell("call 3") == str(before)
        found = changed(program.patch(live.anchor, SOURCE.replace("n + 7", "n + 8")))
        assert "_Z4ratel" in found
        assert "_ZNK5shape4areaEl" not in found
        assert ("_Z6scaledl" in found) is ("O2" in build)
        assert live.tell(f"apply {tmp_path / 'table.json'}") == "applied"
        assert live.tell("call 3") == str(before + 2 + 2 + 1)
        live.end()


def test_nothing_is_compiled_twice_where_nobody_asks_what_changed(tmp_path: Path) -> None:
    """All functions go into a table with ``--all``: to compile the file a second time is for nothing."""
    program = Program(tmp_path, "g++ O2")
    log = tmp_path / "compiles"
    for record in (tmp_path / "captured").glob("*.compile.json"):
        record.write_text(record.read_text().replace('"-DPLACE=here"', f'"-wrapper", "{counting(tmp_path, log)}"'))
    with LiveHost(tmp_path / "host") as live:
        counts = []
        for options in ((), ("--all",)):
            log.write_text("")
            assert program.patch(live.anchor, SOURCE.replace("n + 7", "n + 8"), options)["status"] == 0
            counts.append(log.read_text().count("cc1plus"))
    assert counts[0] == counts[1] + 1


HANDLERS = """
static long adding(long n) { taken += n; return taken; }
static long taking(long n) { taken -= n; return *last; }
static long (*handlers[])(long) = {adding, taking};
extern "C" long handled(long n) { long (*one)(long) = handlers[n & 1]; handlers[n & 1] = adding; return one(n); }
"""


@pytest.mark.parametrize("build", ["g++ O2", "clang++ O2"])
def test_a_kept_table_leads_to_what_was_edited_alone(tmp_path: Path, build: str) -> None:
    """Without a jump table nobody compiled as for the host: each handler of a kept table was told to be edited."""
    program = Program(tmp_path, build, SOURCE + HANDLERS)
    (tmp_path / "shapes.cc").write_text(SOURCE + HANDLERS.replace("return *last", "return *last + 1"))
    done = stubgen(
        *("patch", "--host", tmp_path / "host", "--captured", tmp_path / "captured", "--keep-state"),
        *("--aslr-reference", hex(0x5500000000 + anchor_of(program.folder / "host"))),
        *("--changed", tmp_path / "shapes.cc", "-o", tmp_path / "patch.so"),
    )
    told = [line for line in done.stdout.splitlines() if "leads to the host's" in line]
    assert len(told) == 1, done.stdout
    assert "taking" in told[0]


SEVERAL = """
static long hits, misses, places[8];
extern "C" long step(long n) {
  if (n < 8) { hits += 1; places[n] += n; return places[n] + hits; }
  return hits * 1000 + ++misses;
}
"""


def test_variables_of_which_the_compiler_makes_one_are_kept(tmp_path: Path) -> None:
    """What clang merges with -O3 was refused, with the advice to compile otherwise what `patch` itself compiles."""
    program = Program(tmp_path, "clang++ O3", SEVERAL)
    clang = [str(need("clang++-19")), "--target=aarch64-linux-gnu", "-O3", "-S", "-o", "-", "shapes.cc"]
    assert "_MergedGlobals" in run(clang, cwd=tmp_path), "clang has merged nothing"
    with LiveHost(tmp_path / "host") as live:
        assert [live.tell("call 3") for _ in range(2)] == ["4", "8"]
        document = program.patch(live.anchor, SEVERAL.replace("* 1000", "* 2000"))
        assert changed(document) == {"step"}
        assert live.tell(f"apply {tmp_path / 'table.json'}") == "applied"
        assert live.tell("call 9") == "4001"
        live.end()


def counting(folder: Path, log: Path) -> Path:
    """What GCC runs its own programs by, and which notes them."""
    script = folder / "wrapper"
    script.write_text(f'#!/bin/sh\necho "$1" >> {log}\nexec "$@"\n')
    script.chmod(0o755)
    return script


def test_a_compile_that_fails_as_the_hosts_alone_is_told(tmp_path: Path) -> None:
    """What changed is not guessed: the compiler's words are shown, and nothing is written."""
    program = Program(tmp_path, "g++ O2")
    refused = (
        SOURCE
        + "\n#ifndef __PIC__\n#error not so\n#elif __PIC__ == 2 && defined __PIE__\n#error no such code\n#endif\n"
    )
    document = program.patch(0x5500000000, refused)
    assert document["status"] == 4
    assert "no such code" in document["error"]["message"]  # type: ignore[index]
    assert not (tmp_path / "patch.so").exists()
