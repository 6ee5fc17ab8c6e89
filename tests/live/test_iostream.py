"""What ``<iostream>`` has each C++ file do when it is loaded is nothing that anybody need be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_archives import every_linker, make
from live.test_other_forms import HOST
from live.test_state_names import link, recompiled

TEXT = """
#include <iostream>
BEFORE
static long sum;
extern "C" long a_next(long by) { sum += by; std::cerr << sum << std::endl; return sum; }
"""
PATCH_MAIN = 'extern "C" long patch_main() { return a_next(9); }'
WAYS = {  # what stands in the file besides -> what is said of constructors
    "nothing": ("", False),
    "a constructor of its own": (
        "volatile int begun; __attribute__((constructor)) static void begin() { begun++; }",
        True,
    ),
    "a variable that is computed": ("extern long start; long compute(); long start = compute();", True),
    "an object": ("#include <string>\nstd::string title = std::string(30, 'x');", True),
}


@every_linker
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("way", WAYS)
def test_only_what_somebody_wrote_is_told(way: str, level: str, linker: str, tmp_path: Path) -> None:
    """Each patch of each file with streams had a note that its initialiser runs."""
    before, told = WAYS[way]
    flags = f"{level} -g -fPIC -fdata-sections"
    text = TEXT.replace("BEFORE", before)
    sources = {"a.cc": text, "b.c": HOST, "c.cc": "long compute(); long compute() { return 3; }"}
    program = make(tmp_path, sources, {}, "a.o b.o c.o", linker=linker, flags=flags)
    patch = recompiled(tmp_path, "a.cc", text + PATCH_MAIN, "gcc", flags)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = link(program, live, patch)
        assert [finding.ok for finding in linked.checked.findings if finding.check == "constructors"] == [True] * told
        assert live.patch(linked.output).startswith("patch ")


TICKS = """
static inline unsigned long ticks() { unsigned long t; __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t)); return t; }
static unsigned long begun = ticks();
extern "C" void restart() { begun = ticks(); }
extern "C" unsigned long since() { return ticks() - begun; }
"""


CALL = """
static int enter() { register long number __asm__("x8") = 172, id __asm__("x0"); // getpid
  __asm__ volatile("svc #0" : "=r"(id) : "r"(number) : "memory"); return 0; }
static int entered = enter();
"""
HIDDEN = {  # what no name tells -> what stands in the file besides, whether it is told
    "a store to what clang merged": (TICKS, True),
    "none": (TICKS.replace("= ticks();", ";", 1), False),
    "a system call": (CALL, True),
    "none, with landing pads": ("", False),
}


@pytest.mark.parametrize("what", HIDDEN)
def test_what_the_initialiser_does_without_a_name_is_told(what: str, tmp_path: Path) -> None:
    """With ``-O3`` clang merges a file's variables: its initialiser stores to one, and has the address of another."""
    before, told = HIDDEN[what]
    flags = "-O3 -g -fPIC -fdata-sections -mbranch-protection=standard"
    text = TEXT.replace("BEFORE", before)
    program = make(tmp_path, {"a.cc": text, "b.c": HOST}, {}, "a.o b.o", flags=flags)
    patch = recompiled(tmp_path, "a.cc", text + PATCH_MAIN, "clang", flags)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 3"
        linked = link(program, live, patch)
        assert [finding.ok for finding in linked.checked.findings if finding.check == "constructors"] == [True] * told
        assert live.patch(linked.output).startswith("patch ")
