"""Functions of two objects of a patch that the linker folds into one keep their objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from origin.bench import Bench

HOST = "int first(int x) { return x; } int second(int x) { return -x; } int main(void) { return first(second(0)); }"
UNIT = """
int NAME(int x) { return x * 3 + 1; }
static __attribute__((noinline)) int own(int x) { return x * 5 + 2; }
int calls_NAME(int x) { return own(x) + 1; }
"""
FOLDING = {
    "lld": "-Wl,--icf=all",
    "gold": "-Wl,--icf=all",
    "mold": "-Wl,--icf=all",
    "ld64.lld": "--icf=all",
}


@pytest.mark.parametrize("linker", FOLDING)
def test_each_of_two_functions_at_one_address_is_its_objects(linker: str, tmp_path: Path) -> None:
    """The second was taken for the first one's object's, which has none of that name: no caller was led to it."""
    bench = Bench(tmp_path, linker, HOST, "")
    bench.tools = bench.tools._replace(compile=[*bench.tools.compile, "-ffunction-sections"])
    units = [bench.object(name, UNIT.replace("NAME", name)) for name in ("first", "second")]
    bench.link(*bench.bind(units), FOLDING[linker])
    checked = bench.check()
    assert checked.account is not None
    found: dict[str, set[str]] = {}
    for each in checked.account.definitions:
        found.setdefault(each.name.decode().lstrip("_"), set()).add(each.origin.file.rpartition("-")[2])
    statics = {"first.o"} if linker == "gold" else {"first.o", "second.o"}  # it leaves no name of the second
    expected = {"first": {"first.o"}, "second": {"second.o"}, "own": statics}
    assert {name: found[name] for name in expected} == expected
    names = (b"first", b"second", b"_first", b"_second")
    assert len({each.symbol.address for each in checked.account.definitions if each.name in names}) == 1
