"""A later patch's calls of an earlier patch's functions, held against what debug information says of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generations.program import Program, started
from live.live import LiveHost
from tools import need, run

CASES = {
    "parameters": (
        "long fee(long n, int more) { return n + more; }",
        "long fee(long n); long asked(long n) { return fee(n); }",
        (
            "long fee(long n); long asked(long n) { return fee(n); }",
            "long fee(long, int); long asked(long n) { return fee(n, 1); }",
        ),
        "a function of 1 arguments, in the earlier patch of 2",
    ),
    "a number of another size": (
        "long fee(long n) { return n; }",
        "long fee(int n); long asked(long n) { return fee((int)n); }",
        ("fee(int n)", "fee(long n)"),
        "int where the earlier patch has long int",
    ),
    "a layout": (
        "struct s { long y, x; }; long fee(struct s *p) { return p->x; }",
        "struct s { long x, y; }; long fee(struct s *p); long asked(long n) { struct s s = {n, 1}; return fee(&s); }",
        ("long x, y;", "long y, x;"),
        "s.x is at byte 0, and in the earlier patch at byte 8",
    ),
    "a variable": (
        "struct s { long y, x; } fee = {1, 2};",
        "extern struct s { long x, y; } fee; long asked(void) { return fee.x; }",
        ("long x, y;", "long y, x;"),
        "s.x is at byte 0, and in the earlier patch at byte 8",
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_what_an_earlier_patch_takes_otherwise(program: Program, live: LiveHost, case: str) -> None:
    """A call with another layout or other arguments linked, and read what nobody had passed."""
    defined, declared, (old, new), reason = CASES[case]
    document = program.link(live, program.object("a", defined, P=1))
    assert document["status"] == 0, document
    loaded = hex(program.apply(live, 1))
    document = program.link(live, "--loaded", loaded, program.object("b", declared, Q=1))
    told = json.dumps(document)
    assert document["status"] == 1, told
    assert f"{reason}; compile the file that defines it again" in told, told
    document = program.link(live, "--loaded", loaded, program.object("b", declared.replace(old, new), Q=1))
    assert document["status"] == 0, document
    program.apply(live, 2)


def test_a_declaration_without_parameters_says_nothing(program: Program, live: LiveHost) -> None:
    """C's ``f()`` is called with whatever the function takes: refused, old sources could not be patched."""
    document = program.link(live, program.object("a", "long fee(long n) { return n; }", P=1))
    assert document["status"] == 0, document
    loaded = hex(program.apply(live, 1))
    document = program.link(
        live, "--loaded", loaded, program.object("b", "long fee(); long asked(long n) { return fee(n); }", Q=1)
    )
    assert document["status"] == 0, document


def test_clang_says_of_what_it_calls(program: Program, live: LiveHost) -> None:
    """Clang describes functions alone, and only where it optimises; what it does say counts."""
    defined, declared, _, reason = CASES["a layout"]
    document = program.link(live, program.object("a", defined, P=1))
    assert document["status"] == 0, document
    loaded = hex(program.apply(live, 1))
    (program.folder / "b.c").write_text(declared)
    clang = [str(need("clang-19")), "--target=aarch64-linux-gnu", "-O1", "-g", "-fPIC", "-c", "b.c", "-o", "b.o"]
    run(clang, cwd=program.folder)
    document = program.link(live, "--loaded", loaded, program.folder / "b.o")
    assert document["status"] == 1, document
    assert reason in json.dumps(document)


@pytest.mark.parametrize("option", ["-Wl,-S", "-Wl,-T,no_debug.ld"])
def test_a_host_without_debug_information(option: str, tmp_path: Path) -> None:
    """What leaves it out of the host goes from the patch's link, whose own file has to tell of its functions."""
    (tmp_path / "no_debug.ld").write_text("SECTIONS { /DISCARD/ : { *(.debug*) } } INSERT AFTER .comment;")
    program = started(tmp_path, "gnu", option.replace("no_debug.ld", f"{tmp_path}/no_debug.ld"))
    with LiveHost(program.host) as live:
        defined, declared, _, reason = CASES["parameters"]
        first = program.object("a", defined, P=1)
        assert program.link(live, first)["status"] == 0
        first.unlink()
        loaded = hex(program.apply(live, 1))
        document = program.link(live, "--loaded", loaded, program.object("b", declared, Q=1))
        assert document["status"] == 1, document
        assert reason in json.dumps(document)
        live.end()
    assert not list(program.folder.glob("*.objects"))
