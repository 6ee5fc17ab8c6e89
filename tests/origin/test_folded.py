"""Functions of two objects of a patch that the linker folds into one keep their objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from origin.bench import Bench

from stubgen.origin.sources import Source

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


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ("575", ["first.o", "second.o", "third.o"]),
        ("557", ["first.o", "second.o", "third.o"]),
        ("7557", ["first.o", "fourth.o", "second.o", "third.o"]),
        ("1551", ["first.o", "fourth.o", "second.o", "third.o"]),
        ("5555", ["first.o", "fourth.o", "second.o", "third.o"]),
    ],
)
@pytest.mark.parametrize("linker", ["lld", "mold", "ld64.lld"])
def test_static_functions_of_one_name_are_each_another_objects(
    linker: str, factors: str, expected: list[str], tmp_path: Path
) -> None:
    """Mach-O tells no file: the third was taken for the second one's, which lies elsewhere and does something else."""
    names = ("first", "second", "third", "fourth")[: len(factors)]
    host = "".join([f"int {name}(int x) {{ return x; }} " for name in names]) + "int main(void) { return 0; }"
    bench = Bench(tmp_path, linker, host, "")
    bench.tools = bench.tools._replace(compile=[*bench.tools.compile, "-ffunction-sections"])
    texts = [UNIT.replace("NAME", name).replace("5", digit) for name, digit in zip(names, factors, strict=True)]
    units = [bench.object(name, text) for name, text in zip(names, texts, strict=True)]
    bench.link(*bench.bind(units), FOLDING[linker])
    checked = bench.check()
    assert checked.account is not None
    own = [each for each in checked.account.definitions if each.name.decode().lstrip("_") == "own"]
    origins = {each.origin.file.rpartition("-")[2]: each.symbol.address for each in own}
    assert sorted(origins) == expected
    assert len(own) == len(expected)
    for one, name in zip(factors, names, strict=True):
        alike = {origins[f"{other}.o"] for digit, other in zip(factors, names, strict=True) if digit == one}
        assert alike == {origins[f"{name}.o"]}


def test_what_two_folded_functions_do_not_tell_is_of_no_known_origin(tmp_path: Path) -> None:
    """Of four in two places the instructions differ in what they call alone: a guess would lead callers elsewhere."""
    calls = UNIT.replace("x * 5 + 2", "CALLED(x) + 2")
    names = ("first", "second", "third", "fourth")
    host = "".join([f"int {name}(int x) {{ return x; }} " for name in (*names, "one", "other")])
    bench = Bench(tmp_path, "ld64.lld", host + "int main(void) { return 0; }", "")
    declared = "int one(int); int other(int);"
    pairs = zip(names, ("one", "one", "other", "other"), strict=True)
    texts = [(name, declared + calls.replace("NAME", name).replace("CALLED", called)) for name, called in pairs]
    bench.link(*bench.bind([bench.object(name, text) for name, text in texts]), FOLDING["ld64.lld"])
    checked = bench.check()
    assert checked.account is not None
    own = [each for each in checked.account.definitions if each.name == b"_own"]
    assert sorted(each.origin.source is Source.UNKNOWN for each in own) == [False, False, True, True]
    assert not checked.ok
