"""In which registers real compilers' functions take and return values, by their debug information."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.image.dwarf_types import signature_of
from stubgen.image.opening import open_image
from stubgen.registers.access import VECTOR
from stubgen.registers.live import RESULTS
from stubgen.registers.signatures import Results, arguments_of, results_of

SOURCE = """
struct Small { long n; };
enum Kind { ONE };
struct Shop { long n; long get(long by); void put(double); static double rate(); };
long Shop::get(long by) { return n + by; }
void Shop::put(double by) { n = (long)by; }
double Shop::rate() { return 1.5; }
extern "C" {
long mixed(int a, double b, const char *c, float d, Kind e, bool f) { return a + (long)b + *c + (long)d + e + f; }
void nothing() {}
Small structure(Small given) { return given; }
_Complex float complex_number(_Complex float given) { return given; }
long any_number(const char *form, ...) { return *form; }
__int128 wide(__int128 given) { return given; }
}
"""
V0 = 1 << VECTOR
UNTOLD = Results(0, RESULTS)
FUNCTIONS = {
    "_ZN4Shop3getEl": (0b11, Results(1, 1)),
    "_ZN4Shop3putEd": (1 | V0, Results(0, 0)),
    "_ZN4Shop4rateEv": (0, Results(V0, V0)),
    "mixed": (0b1111 | 0b11 << VECTOR, Results(1, 1)),
    "nothing": (0, Results(0, 0)),
    "structure": (None, UNTOLD),
    "complex_number": (None, UNTOLD),
    "any_number": (None, Results(1, 1)),
    "wide": (None, UNTOLD),
}
"""Symbol -> registers of the arguments, None where they are not followed, and of the result (AAPCS64 6.8, 6.9)."""


COMPILERS = {"gcc": ["aarch64-linux-gnu-g++"], "clang": ["clang-19", "--target=aarch64-linux-gnu"]}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_registers_of_arguments_and_results(compiler: str, tmp_path: Path) -> None:
    """One too few is a value that a caller keeps and nobody tells of."""
    driver, *target = COMPILERS[compiler]
    (tmp_path / "a.cc").write_text(SOURCE)
    run([need(driver), *target, "-g", "-O2", "-c", "a.cc", "-ffunction-sections", "-o", "a.o"], cwd=tmp_path)
    image = open_image((tmp_path / "a.o").read_bytes(), "a.o")
    places = {function.name.decode(): image.place_of(function) for function in image.functions()}
    signatures = {name: signature_of(image.debug_info, places[name]) for name in FUNCTIONS}
    assert None not in signatures.values()
    assert {name: (arguments_of(one), results_of(one)) for name, one in signatures.items()} == FUNCTIONS
