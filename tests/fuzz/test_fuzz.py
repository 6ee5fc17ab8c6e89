"""What fuzzing found stays found, and the fuzzer itself finds what it must."""

from __future__ import annotations

import gc
import json
from contextlib import suppress
from pathlib import Path

import pytest
from fuzz import engine, mutate, seeds
from fuzz.__main__ import main
from fuzz.targets import TARGETS, Target

from stubgen.errors import StubgenError

PAST = sorted(seeds.FINDINGS.glob("*/*"))


@pytest.mark.parametrize("path", PAST, ids=[f"{path.parent.name}/{path.name}" for path in PAST])
def test_past_findings(path: Path) -> None:
    """Each was a traceback, or took more memory or time than its size allows."""
    assert not engine.failure_of(TARGETS[path.parent.name].run, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str) -> None:
    """A target that refuses every seed fuzzes its first refusal and nothing behind it."""
    target = TARGETS[name]
    accepted = 0
    for content in seeds.of_target(name):
        assert not engine.failure_of(target.run, content)
        accepted += not _refused(target, content)
    assert accepted


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_stay_what_they_are(name: str) -> None:
    """What an input leaves behind would be the seed of the next run, and its inputs others than the first one's."""
    before = seeds.of_target(name)
    for content in before[:1]:
        with suppress(StubgenError):
            TARGETS[name].run(mutate.mutate(content, 1, content))
    assert seeds.of_target(name) == before


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_stays_in_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that reads a program's debug information a hundred times a day would grow by all of it each time."""
    # Whether a file is kept goes by how long ago it was written: on a busy machine some would be after the last run.
    monkeypatch.setattr("stubgen.session.is_settled", lambda identity, now: False)
    target = TARGETS[name]
    contents = seeds.of_target(name)

    def run_all(times: int) -> int:
        for _ in range(times):
            for content in contents:
                with suppress(StubgenError):
                    target.run(content)
        gc.collect()
        return len(gc.get_objects())

    run_all(24)  # what is kept once, and caches until they are full
    before = run_all(2)
    assert run_all(8) - before < 8 * len(contents) + 50  # the test runner makes some of its own


def _refused(target: Target, content: bytes) -> bool:
    try:
        target.run(content)
    except StubgenError:
        return True
    return False


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_changed_inputs(name: str) -> None:
    """The same few hundred on every machine; `make fuzz` tries millions."""
    pool = seeds.of_target(name)
    for number in range(60):
        content = mutate.mutate(pool[number % len(pool)], number, pool[-1])
        assert not engine.failure_of(TARGETS[name].run, content), number


def broken(content: bytes) -> None:
    """Fails where a field that counts has become very large."""
    if b"\xff\xff\xff\x7f" in content:
        raise IndexError


def hungry(content: bytes) -> None:
    """Takes a gigabyte for a few bytes."""
    if content:
        bytearray(1 << 30)


def sound(content: bytes) -> None:
    """Takes all."""


@pytest.mark.parametrize("run", [broken, hungry])
def test_the_fuzzer_finds(run: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that finds nothing in broken code would find nothing anywhere."""
    monkeypatch.setattr(engine, "atheris", None)  # the one that instruments must be alone in its process
    found = engine.fuzz(run, seeds.of_kind("elf"), tmp_path, 5, 0)  # type: ignore[arg-type]  # either of the two
    assert found.inputs
    assert len(found.failures) == 1


def test_runs_are_repeatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told of a finding tries what found it: the inputs are the same, and a long run begins as a short one."""
    monkeypatch.setattr(engine, "atheris", None)  # likewise; docs/trust.md has what was measured with it
    runs = [
        engine.fuzz(sound, seeds.of_kind("stub"), tmp_path / str(number), 1 + number, seed).sequence
        for number, seed in enumerate((3, 3, 4))
    ]
    common = max(set(runs[0]) & set(runs[1]) & set(runs[2]))
    assert common >= 16
    assert runs[0][common] == runs[1][common] != runs[2][common]


def test_findings_get_small() -> None:
    """A reader of a finding has to see what matters in it."""
    content = seeds.of_kind("elf")[0] + b"\xff\xff\xff\x7f" + bytes(100)
    assert engine.reduced(broken, content) == b"\xff\xff\xff\x7f"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures are what the evidence is written from."""
    monkeypatch.setattr(engine, "atheris", None)
    assert main(["--time", "1", "--target", "depfile", "--keep", str(tmp_path), "--json", str(tmp_path / "f")]) == 0
    assert "0 findings" in capsys.readouterr().out
    monkeypatch.setitem(TARGETS, "depfile", Target(lambda content: 1 // 0, ("depfile",)))
    assert main(["--time", "1", "--target", "depfile", "--keep", str(tmp_path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert list(tmp_path.glob("findings/depfile/*"))


def test_so_many_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """CI tries what was tried before it: on a faster machine as many inputs in less time, and not more of them."""
    monkeypatch.setattr(engine, "atheris", None)
    figures = []
    for seconds in ("60", "600"):
        words = ["--unguided", "--time", seconds, "--inputs", "40", "--target", "depfile", "--target", "facts"]
        assert main([*words, "--keep", str(tmp_path / seconds), "--json", str(tmp_path / "f")]) == 0
        figures.append(json.loads((tmp_path / "f").read_text())["targets"])
    assert capsys.readouterr().out.count("80 inputs, 0 findings") == 2
    assert figures[0] == figures[1]
    assert [(one["inputs"], max(map(int, one["sequence"]))) for one in figures[0].values()] == [(40, 32)] * 2


def test_changes_are_repeatable() -> None:
    """The same number makes the same input."""
    for content in (seeds.of_kind("elf")[0], seeds.of_kind("map")[0]):
        changed = {mutate.mutate(content, number) for number in range(50)}
        assert changed == {mutate.mutate(content, number) for number in range(50)}
        assert len(changed) > 40
