"""Statics that compilers call otherwise after an edit beside them: each that begins anew is named."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from live.test_other_forms import WAYS, notes_of_patch, tools_of
from tools import run

PARAMETERS = "its function has other parameters than in the host, which calls it "
NUMBER = "nothing tells whether it is the host's "
KEPT = "__attribute__((noinline)) "
BODY = "{ static int n = 3; return n += x; }"


class Edit(NamedTuple):
    """A file before and after, without ``a_next``; and what that returns."""

    old: str
    new: str
    before: str
    after: str
    source: str = "a.cc"

    def written(self, path: Path, *, edited: bool) -> None:
        """Write the file."""
        text, value = (self.new, self.after) if edited else (self.old, self.before)
        language = 'extern "C" ' if self.source.endswith("cc") else ""
        path.write_text(f"{text} {language}long a_next(long by) {{ return {value}; }}")


def notes(folder: Path, way: str, edit: Edit) -> list[str]:
    """What a patch of the edited file is told."""
    compiling, _ = tools_of(way)
    for output, edited in (("a.o", False), ("patch.o", True)):
        edit.written(folder / edit.source, edited=edited)
        run([*compiling, "-O2", "-g0", "-c", edit.source, "-o", output], cwd=folder)
    return notes_of_patch(folder, way)


FUNCTIONS = {
    "parameters": (
        Edit(f"{KEPT}int f(int x) {BODY}", f"{KEPT}int f(long x) {BODY}", "f(by)", "f((long)by)"),
        "_ZZ1flE1n",
        "_ZZ1fiE1n",
    ),
    "a member's": (
        Edit(
            f"namespace m {{ struct S {{ int f(int) const; }}; int S::f(int x) const {BODY} }}",
            f"namespace m {{ struct S {{ int f(long) const; }}; int S::f(long x) const {BODY} }}",
            "m::S().f(by)",
            "m::S().f((long)by)",
        ),
        "_ZZNK1m1S1fElE1n",
        "_ZZNK1m1S1fEiE1n",
    ),
    "a static function's": (
        Edit(f"{KEPT}static int f(int x) {BODY}", f"{KEPT}static int f(long x) {BODY}", "f(by)", "f((long)by)"),
        "_ZZL1flE1n",
        "_ZZL1fiE1n",
    ),
}


@pytest.mark.parametrize("way", [*WAYS, "lld", "zig"])
@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_function_of_other_parameters(way: str, case: str, tmp_path: Path) -> None:
    """In C++ it is another function with other statics: what was counted in them was lost without a word."""
    edit, name, old = FUNCTIONS[case]
    (note,) = notes(tmp_path, way, edit)
    assert note.startswith(f"note: {name}: the patch has its own copy")
    assert note.endswith(PARAMETERS + old) or note.endswith(f"{PARAMETERS}_{old}"), note


def test_a_static_that_gcc_numbers_otherwise(tmp_path: Path) -> None:
    """Where the functions that use them are inlined nothing tells which is which, and ``n.1`` began anew in silence."""
    old = f"static inline int f(int x) {BODY}"
    new = f"static inline int g(int x) {BODY} {old}"
    first, second = notes(tmp_path, "gcc", Edit(old, new, "f(by)", "f(by) + g(by)", "a.c"))
    assert first.startswith("note: n.0: the patch has its own copy")
    assert second.startswith("note: n.1: the patch has its own copy")
    assert second.endswith(f"{NUMBER}n.0")


@pytest.mark.parametrize("way", ["clang", "lld"])
def test_parts_of_a_structure(way: str, tmp_path: Path) -> None:
    """LLVM splits a structure whose address nobody takes any more: its parts have names that the host lacks."""
    structure = "static struct { int a, b; } s;"
    value = "(s.a += by, s.b += by + 1, s.a * s.b)"
    edit = Edit(f"{structure} int *address(void) {{ return &s.a; }}", structure, value, value, "a.c")
    (note,) = notes(tmp_path, way, edit)
    subject = note.removeprefix("note: each of ").partition(":")[0]
    assert sorted(name.lstrip("_") for name in subject.split(", ")) == ["s.0", "s.1"]
    assert note.endswith((f"{NUMBER}s", f"{NUMBER}_s"))


QUIET = {
    "another static": Edit(
        f"{KEPT}int f(int x) {BODY}",
        f"{KEPT}int f(int x) {{ static int m; static int n = 3; return m++, n += x; }}",
        "f(by)",
        "f(by)",
    ),
    "an overload": Edit(
        f"{KEPT}int f(int x) {BODY}", f"{KEPT}int f(int x) {BODY} {KEPT}int f(long x) {BODY}", "f(by)", "f(1) + f(by)"
    ),
    "a function's beside the file's": Edit(
        "static int n; int *address(void) { return &n; }",
        f"static int n; int *address(void) {{ return &n; }} {KEPT}int f(int x) {BODY}",
        "n += by",
        "f(n += by)",
        "a.c",
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("edit", QUIET.values(), ids=QUIET)
def test_a_new_static_is_told_nothing(edit: Edit, way: str, tmp_path: Path) -> None:
    """A note about each counter that is added would soon be read by nobody."""
    assert notes(tmp_path, way, edit) == []
