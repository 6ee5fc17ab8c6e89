"""The runner of mutants finds what it must, and what is said to be harmless is still there."""

from __future__ import annotations

import ast
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mutants import changes, engine, survivors
from mutants.__main__ import _tests, main
from mutants.parts import PARTS, Part

SAMPLE = Part(("tests/mutants/sample/price.py",), ("tests/mutants/sample/price_cases.py",))

UNSEEN = [
    "6 : ('third', 'tenth') -> elts: ['tenth']  (survived)",
    "6 : ('third', 'tenth') -> elts: ['third']  (survived)",
    "6 : 'third' -> 'thirdx'  (survived)",
    "12 price: value < 1 -> value <= 1  (survived)",
    "12 price: 1 -> 2  (survived)",
    "17 unseen: return amount + 1 -> return None  (never run)",
    "17 unseen: amount + 1 -> amount - 1  (never run)",
    "17 unseen: 1 -> 2  (never run)",
    "17 unseen: 1 -> 0  (never run)",
]


def test_the_runner_finds_what_no_test_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that calls everything killed would vouch for tests that see nothing; a second run asks for what is left.

    A row of a table whose test goes with it is no row that a test holds.
    """
    assert main(["sample", "--show", "--keep", str(tmp_path)], {"sample": SAMPLE}) == 1
    _, row, *left = capsys.readouterr().out.splitlines()
    assert [line.partition("price.py:")[2] for line in left] == UNSEEN
    assert row.split()[:3] == ["sample", "40", "31"]
    assert main(["sample", "--keep", str(tmp_path)], {"sample": SAMPLE}) == 1
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == row.split()[:3]


def test_a_run_that_is_cut_off_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part takes an hour; killed after half of it, the next run begins where that one was."""
    tried = engine._tried
    calls = 0

    def cut_off(*arguments: Any, **options: Any) -> tuple[str, str]:
        nonlocal calls
        calls += 1
        if calls > 5:
            os._exit(1)
        return tried(*arguments, **options)

    monkeypatch.setattr(engine, "_tried", cut_off)
    with pytest.raises(RuntimeError, match="ended with status 1"):
        main(["sample", "--keep", str(tmp_path)], {"sample": SAMPLE})
    (kept,) = tmp_path.iterdir()
    known = kept.read_text().splitlines()
    assert len([line for line in known[1:] if "never run" not in line]) == 5
    kept.write_text("\n".join([*known, known[-1][:7]]))  # the write was cut off as well
    asked = []
    monkeypatch.setattr(engine, "_tried", tried)
    monkeypatch.setattr(engine, "try_all", lambda works, *_: asked.extend(work.number for work in works))
    main(["sample", "--keep", str(tmp_path)], {"sample": SAMPLE})
    assert not {json.loads(line)[0] for line in known[1:] if "killed" in line or "slow" in line} & set(asked)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_mutant_that_survives_does_not_take_all_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that every test runs would have all of them run for each of its survivors."""
    monkeypatch.setattr(engine, "LONGEST", 2.0)
    source = engine.path_of(SAMPLE.modules[0]).read_text()
    mutant = next(one for one in changes.mutants_of(ast.parse(source), source) if one.function)
    seconds = {"slow": 1.95, "quick": 0.1, "quicker": 0.05, "last": 2.4, "left out": 2.6}
    trace = engine.Trace(seconds, {"m": {mutant.line: [*seconds]}}, {}, [])
    assert _tests(mutant, "m", trace, "") == ["quicker", "quick", "slow"]
    monkeypatch.setattr(engine, "LONGEST", 0.1)
    assert _tests(mutant, "m", trace, "") == ["quicker", "quick"]
    assert _tests(mutant, "m", trace, "last") == ["last"]


def sources() -> list[str]:
    """Every module that is changed."""
    return [module for part in PARTS.values() for module in part.modules]


@cache
def keys(module: str) -> frozenset[tuple[str, str, str]]:
    """What tells the mutants of *module* from each other."""
    source = engine.path_of(module).read_text()
    return frozenset(mutant.key for mutant in changes.mutants_of(ast.parse(source), source))


@pytest.mark.parametrize("module", sources())
def test_every_mutant_is_code(module: str) -> None:
    """One that does not compile is killed by nobody, and counts all the same."""
    source = engine.path_of(module).read_text()
    tree = ast.parse(source)
    before = ast.dump(tree)
    mutants = changes.mutants_of(tree, source)
    for mutant in mutants[:: max(1, len(mutants) // 60)]:
        with changes.applied(mutant):
            compile(tree, module, "exec")
            assert ast.dump(tree) != before
    assert ast.dump(tree) == before


def test_what_is_harmless_is_there() -> None:
    """An explanation of code that has gone hides the next fault that is written like it."""
    for (module, *key), reason in survivors.explained().items():
        assert tuple(key) in keys(module), (module, *key)
        assert len(reason.split()) > 3
