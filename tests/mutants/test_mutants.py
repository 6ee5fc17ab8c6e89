"""The runner of mutants finds what it must, and what is said to be harmless is still there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from mutants import changes, engine, survivors
from mutants.__main__ import main
from mutants.parts import PARTS, Part

SAMPLE = Part(("tests/mutants/sample/price.py",), ("tests/mutants/sample/price_cases.py",))

UNSEEN = [
    "11 price: value < 1 -> value <= 1  (survived)",
    "11 price: 1 -> 2  (survived)",
    "16 unseen: return amount + 1 -> return None  (never run)",
    "16 unseen: amount + 1 -> amount - 1  (never run)",
    "16 unseen: 1 -> 2  (never run)",
    "16 unseen: 1 -> 0  (never run)",
]


def test_the_runner_finds_what_no_test_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that calls everything killed would vouch for tests that see nothing; a second run asks for what is left."""
    monkeypatch.setattr(engine, "GRACE", 0.3)
    assert main(["sample", "--show", "--keep", str(tmp_path)], {"sample": SAMPLE}) == 1
    _, row, *left = capsys.readouterr().out.splitlines()
    assert [line.partition("price.py:")[2] for line in left] == UNSEEN
    assert row.split()[:3] == ["sample", "36", "30"]
    assert main(["sample", "--keep", str(tmp_path)], {"sample": SAMPLE}) == 1
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == row.split()[:3]


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
