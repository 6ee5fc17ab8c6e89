"""Which units are read for a type that a file only declares: those that may describe it, until one is alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

import stubgen
from stubgen.common.text import as_bytes
from stubgen.image import dwarf_types
from stubgen.image.dwarf_definitions import definitions
from stubgen.image.dwarf_types import CLASS, DECLARATION, STRUCTURE, UNION, entries_of
from stubgen.image.dwarf_units import Called, units_naming

RECORDS = (CLASS, STRUCTURE, UNION)

USER = """
struct Item; struct V; Item *item; V *v; namespace n { struct Item; Item *other; }
int main() { return 0; }
"""
SHARED = """
struct Item { virtual long price(); long tax; };
struct V { int a; } v{N};
union Number { int a; float b; } number{N};
namespace n { struct Item { int a; struct Inner { int b; } inner; } item{N}; class K { int a; public: K(); } k{N}; }
long ask{N}(Item *item) { return item->price(); }
"""

COMPILERS = {
    "gcc": lambda: [str(need("aarch64-linux-gnu-g++"))],
    "clang": lambda: [str(need("clang-19")), "--target=aarch64-linux-gnu"],
}


@pytest.fixture(params=[(name, version) for name in COMPILERS for version in (2, 4, 5)], ids=str)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """USER, two files that have SHARED, and the one that has the virtual table."""
    name, version = request.param
    shared = {f"shared{number}.cc": SHARED.replace("{N}", str(number)) for number in (1, 2)}
    item = SHARED.replace("{N}", "3") + "long Item::price() { return tax; } n::K::K() { a = 1; }\n"
    sources = {"user.cc": USER, **shared, "item.cc": item}
    for file, text in sources.items():
        (tmp_path / file).write_text(text)
    run([*COMPILERS[name](), f"-gdwarf-{version}", "-c", *sources], cwd=tmp_path)
    objects = [Path(file).with_suffix(".o").name for file in sources]
    run([str(need("aarch64-linux-gnu-g++")), *objects, "-o", "app"], cwd=tmp_path)
    return tmp_path / "app"


def test_units_that_describe_a_type_are_told_by_the_bytes_around_its_name(program: Path) -> None:
    """A unit that was passed over would have left a type unknown, and what one build wrote to another's reading."""
    debug = stubgen.open_image(program).debug_info
    units = {number: entries_of(debug, unit) for number, unit in enumerate(debug.units)}
    names = {name for entries in units.values() if entries for name in entries.described if name}
    assert names >= {"Item", "V", "Number", "Inner", "K"}
    passed_over = 0
    for name in names:
        called = Called(debug.section, as_bytes(name), RECORDS, DECLARATION)
        naming = units_naming(debug.section, debug.units, [as_bytes(name)])
        may = {number for number in naming if called.may_be_in(debug.units[number])}
        assert may >= {number for number, entries in units.items() if entries and name in entries.described}
        passed_over += len(naming - may)
    indexed = any(b"clang" in unit.producer for unit in debug.units) and debug.section("debug_str_offs")
    assert passed_over or indexed


def test_units_are_read_until_one_describes_the_type(program: Path) -> None:
    """A link held the entries of each unit that named a type: in a large program seconds, and hundreds of megabytes."""
    debug = stubgen.open_image(program).debug_info
    user = entries_of(debug, debug.units[0])
    assert user is not None
    declared = next(
        at for at in user.entries.tagged(*RECORDS, having=DECLARATION) if user.text(user.entries[at]) == "V"
    )
    described = definitions(user, declared)
    first, _ = next(described)
    assert first.unit.path.endswith(b"shared1.cc")
    assert set(debug.made(dwarf_types._entries)) == {unit.start for unit in debug.units[:2]}
    assert len(list(described)) == 2
