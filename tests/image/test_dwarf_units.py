"""Which units say what lies at an address: a search for it and all that the units place say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolve.test_same_file import Workshop

from stubgen.image.dwarf import DebugInfo
from stubgen.image.dwarf_types import signature_of, type_of_variable
from stubgen.image.dwarf_units import SEARCHES, subprogram, units_with
from stubgen.image.inlined import InlinedCopies
from stubgen.image.opening import open_image

FEW, MANY = 2 * SEARCHES, 6 * SEARCHES


class Searched(bytes):
    """A section that counts how much of it is searched through."""

    total = 0

    def find(self, sought: bytes, start: int = 0) -> int:  # type: ignore[override]  # what is called
        """Where *sought* is; what is searched for it is counted."""
        at = super().find(sought, start)
        Searched.total += (len(self) if at < 0 else at) - start
        return at


def host_of(folder: Path, compiler: str, number: int) -> tuple[DebugInfo, list[int], list[int]]:
    """Debug information of a program of three files; where its variables and functions are."""
    folder.mkdir()
    shop = Workshop(folder, compiler)
    functions = [f"static int n{n}; int f{n}(int a) {{ return n{n} += a; }}" for n in range(number)]
    enter = "int enter(void) { return 0; }"
    objects = [
        shop.compile(f"{part}.c", "\n".join([*functions[part::3], enter * (not part)]), "-g") for part in range(3)
    ]
    image = open_image(shop.link(*objects).read_bytes(), "program")
    debug = DebugInfo(lambda name: Searched(image.debug_section(name)))
    assert len(debug.units) == 3
    found = image.find({b"%c%d" % (kind, n) for kind in b"fn" for n in range(number)})
    return debug, *([found[b"%c%d" % (kind, n)][0].address for n in range(number)] for kind in b"nf")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_many_addresses_are_not_searched_for_one_by_one(tmp_path: Path, compiler: str) -> None:
    """Statics of 20,000 functions took 25 seconds: all debug information was searched for each of their addresses."""
    searched = []
    for number in (FEW, MANY):
        debug, variables, functions = host_of(tmp_path / str(number), compiler, number)
        Searched.total = 0
        assert all(type_of_variable(debug, address) for address in variables)
        assert all(signature_of(debug, address) for address in functions)
        assert all(subprogram(debug, address) for address in functions)
        searched.append(Searched.total)
    assert 0 < searched[1] < 1.2 * MANY / FEW * searched[0]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_both_ways_find_the_same_units(tmp_path: Path, compiler: str) -> None:
    """How many variables a patch has would decide whether the type of one is known, and so whether it is kept."""
    debug, variables, functions = host_of(tmp_path / "program", compiler, FEW)
    sought = [*variables, *functions, 1 << 40]
    for address in sought * 2:
        alone = DebugInfo(debug.section)
        assert list(units_with(debug, address)) == list(units_with(alone, address)), hex(address)
    assert not list(units_with(debug, 1 << 40))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_many_functions_are_not_searched_for_one_by_one(tmp_path: Path, compiler: str) -> None:
    """What still leads to 15,000 functions took minutes: each was looked for in all debug information."""
    searched = []
    for number in (FEW, MANY):
        debug, _, functions = host_of(tmp_path / str(number), compiler, number)
        Searched.total = 0
        wanted = {b"f%d" % n: {address} for n, address in enumerate(functions)}
        assert not InlinedCopies(debug.section, debug.units).find(wanted, lambda _: False)
        searched.append(Searched.total)
    assert searched[1] <= 1.2 * MANY / FEW * searched[0]
