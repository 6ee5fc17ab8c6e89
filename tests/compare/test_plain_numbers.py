"""Numbers of GCC's at ``-O0``, which stand without names in one section of an object, among strings."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare.test_equality import changed, opened
from tools import need, run

from stubgen.compare import host_places

SOURCE = r"""
int puts(const char *);
void use(const double *);
int first(void) { return puts("one"); }
double second(double n) { return n * 3.141592653589793; }
float third(float n) { return n + 0.1f; }
long double fourth(void) { return 0.1L; }
void fifth(void) { double numbers[] = {1.1, 2.2, 3.3, 4.4}; use(numbers); }
void use(const double *numbers) { puts(numbers[0] > 1 ? "more" : "less"); }
int main(void) { return first() + (int)second(1) + (int)third(2) + (int)fourth(); }
"""


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "", set()),
        ('"one"', '"a longer one, behind which all others lie elsewhere"', {"first"}),
        ("3.141592653589793", "2.718281828459045", {"second"}),
        ("0.1f", "0.3f", {"third"}),
        ("0.1L", "0.3L", {"fourth"}),
        ("4.4}", "5.5}", {"fifth"}),
    ],
)
def test_an_edited_string_changes_no_user_of_a_number(before: str, after: str, told: set[str], tmp_path: Path) -> None:
    """Each function that has a number counted as changed once a string before it was a longer one.

    What code has the address of, an array's numbers and a ``long double``, is compared with all that lies behind it.
    """
    gcc, path = str(need("aarch64-linux-gnu-gcc")), tmp_path / "a.c"
    path.write_text(SOURCE)
    run([gcc, "-O0", "-c", "a.c", "-o", "host.o"], cwd=tmp_path)
    run([gcc, "host.o", "-o", "host"], cwd=tmp_path)
    assert before in SOURCE
    path.write_text(SOURCE.replace(before, after) if before else SOURCE)
    run([gcc, "-O0", "-fPIC", "-c", "a.c", "-o", "patch.o"], cwd=tmp_path)
    found = set(changed(tmp_path / "patch.o", host_places(opened(tmp_path / "host")))[0])
    assert told <= found
    assert not found & {"second", "third"} - told, "numbers that nobody edited"
