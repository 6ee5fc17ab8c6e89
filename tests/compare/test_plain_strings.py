"""Strings of GCC's at ``-O0``, which stand without names in one section of an object, among other constants."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare.test_equality import changed, opened
from tools import need, run

from stubgen.compare import host_places

SOURCE = r"""
#include <string.h>
int puts(const char *);
long write(int, const void *, unsigned long);
void use(const int *, const char *);
static const char table[] = "named";
int first(void) { return puts("one"); }
int second(void) { return puts("two"); }
long third(void) { return write(1, "ab\0cd", 6); }
void fourth(void) { int numbers[] = {1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}; use(numbers, table); }
int fifth(void) { return puts("twenty" + 2); }
int sixth(int n) {
  switch (n) { case 0: return 9; case 1: return 4; case 2: return 7; case 3: return 5; default: return 2; } }
void use(const int *numbers, const char *names) { puts(names + *numbers); }
int main(void) { return first() + second() + (int)third() + fifth() + sixth(1); }
"""


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "", set()),
        ('"one"', '"oxe"', {"first"}),
        ('"one"', '"a longer one, behind which all others lie elsewhere"', {"first"}),
        (r"\0cd", r"\0ce", {"third"}),
        ("0, 5, 0", "0, 6, 0", {"fourth"}),
        ('"twenty"', '"twelve"', {"fifth"}),
        ('"twenty"', '"eighty"', {"fifth"}),
        ("return 7", "return 8", {"sixth"}),
    ],
)
@pytest.mark.parametrize("separate", [True, False], ids=["data-sections", "one section"])
def test_an_edited_string_changes_who_uses_it(
    before: str, after: str, told: set[str], separate: bool, tmp_path: Path
) -> None:
    """All functions that use a string counted as changed, and were replaced, once the section was another one.

    What reaches beyond a zero byte is compared as a whole.
    """
    gcc, path = str(need("aarch64-linux-gnu-gcc")), tmp_path / "a.c"
    path.write_text(SOURCE)
    run([gcc, "-O0", "-c", "a.c", "-o", "host.o"], cwd=tmp_path)
    run([gcc, "host.o", "-o", "host"], cwd=tmp_path)
    assert before in SOURCE
    path.write_text(SOURCE.replace(before, after) if before else SOURCE)
    options = ["-fPIC", *(["-fdata-sections"] if separate else [])]
    run([gcc, "-O0", *options, "-c", "a.c", "-o", "patch.o"], cwd=tmp_path)
    found = set(changed(tmp_path / "patch.o", host_places(opened(tmp_path / "host")))[0])
    assert told <= found
    if separate or len(before) == len(after):  # else what has a name lies elsewhere beside the strings
        assert "second" not in found, "a string that nobody edited"
