"""Patches of one living process, one after another: tables are complete, state stays, and all of it can be undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from generations.program import OPTIONS, A, Program, started
from live.live import LiveHost
from live.test_elf import LINKERS
from tools import need, run


@pytest.fixture(params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The program, linked by each linker in turn."""
    return started(tmp_path, request.param)


@pytest.fixture
def live(program: Program) -> Iterator[LiveHost]:
    """Its process, which has to end soundly."""
    with LiveHost(program.host) as process:
        yield process
        process.end()


ONE_LINKER = pytest.mark.parametrize("program", ["gnu"], indirect=True)


def answer(price: int, count: int) -> str:
    """What ``step`` says: a price, a global, a static of its file and a thread-local, which count together."""
    return str(price * 1000000 + count * 10101)


def test_three_generations_and_back(program: Program, live: LiveHost) -> None:
    """A loop of the first patch goes on through all of it; what any later patch or undo forgot would be old there."""
    assert live.tell("call 1") == answer(10, 2)
    assert program.link(live, program.object("a", P=1))["status"] == 0
    first = program.apply(live, 1)
    assert live.tell("call 1") == answer(11, 3)
    assert live.tell("loop") == "looping"
    assert live.tell("call 1") == answer(11, 4)
    document = program.link(live, "--loaded", hex(first), program.object("b", Q=2))
    assert document["status"] == 0, document
    second = program.apply(live, 2)
    assert live.tell("call 2") == answer(21, 5)
    assert live.tell("other 1") == "101102", "price and level of the first patch, which still holds"
    assert live.tell("hold") == "held"
    document = program.link(live, "--loaded", hex(second), program.object("a", P=3))
    assert document["status"] == 0, document
    third = program.apply(live, 3)
    assert live.tell("call 1") == answer(13, 6), "the loop of the first patch found the third one's step and price"
    assert live.tell("held 1") == answer(13, 7), "so did who kept what the second table had"
    assert live.tell("other 1") == "101302", "so did the second one's function, but for what it calls directly"
    assert program.ask("loaded", hex(third))["status"] == 0
    document = program.undo(2, 4)
    assert document["status"] == 0, document
    fourth = program.apply(live, 4)
    assert live.tell("call 1") == answer(11, 8)
    assert live.tell("other 1") == "101102"
    assert program.ask("loaded", hex(fourth))["status"] == 0
    document = program.undo(0, 5)
    assert document["status"] == 0, document
    fifth = program.apply(live, 5)
    assert live.tell("call 1") == answer(10, 9), "the loop of the first patch is led to the host"
    assert live.tell("other 1") == "1000"
    document = program.link(live, "--loaded", hex(fifth), program.object("b", Q=7))
    assert document["status"] == 0, document
    program.apply(live, 6)
    assert live.tell("call 1") == answer(10, 10)
    assert live.tell("other 1") == "1007", "the host's price and level, which new code means by their names again"
    assert live.tell("leave") == "left"
    assert live.tell("call 1") == answer(10, 11)
    table = json.loads((program.folder / "6.json").read_text())
    assert all(0 <= int(old) < 1 << 64 for old in table["map"])


def test_who_calls_what_an_earlier_patch_replaced(program: Program, live: LiveHost) -> None:
    """A later patch has a function as it was, which calls the earlier patch's; who looks it up got the host's."""
    assert program.link(live, program.object("a", P=1))["status"] == 0
    first = program.apply(live, 1)
    assert live.tell("other 1") == "1100", "the host's, which looks price up, and calls the host's level directly"
    document = program.link(live, "--loaded", hex(first), program.object("b", Q=0))
    assert document["status"] == 0, document
    program.apply(live, 2)
    assert live.tell("other 1") == "101100", "price and level of the first patch"


@ONE_LINKER
def test_who_calls_what_an_earlier_patch_has_unchanged(program: Program, live: LiveHost) -> None:
    """A table of unchanged functions makes a runtime reset what it need not."""
    assert program.link(live, program.object("a", P=0, MORE=1))["status"] == 0
    first = program.apply(live, 1)
    assert live.tell("table") == "0"
    assert program.link(live, "--loaded", hex(first), program.object("b", Q=0))["status"] == 0
    program.apply(live, 2)
    assert live.tell("table") == "0"


def test_relinked_without_addresses(program: Program, live: LiveHost) -> None:
    """Upstream's client never says where it loaded a patch: one that is not complete by itself brings old code back."""
    more = "long added = 7; long more(void) { return ++added; }"
    assert live.tell("call 1") == answer(10, 2)
    assert program.link(live, program.object("a", more, P=1))["status"] == 0
    program.apply(live, 1)
    assert live.tell("call 1") == answer(11, 3)
    refused = program.link(live, program.object("b", Q=2))
    assert refused["status"] == 1
    assert "--loaded" in str(refused["error"])
    assert "--relink-earlier" in str(refused["error"])
    document = program.link(live, program.folder / "b.o", "--relink-earlier")
    assert document["status"] == 0, document
    assert document["relinked"] == [str(program.folder / "a.o")]
    assert document["afresh"] == ["added", "pricing"]
    program.apply(live, 2)
    assert live.tell("call 1") == answer(11, 4), "the first patch's price, on the host's state"
    assert live.tell("other 1") == "101102"
    document = program.link(live, program.object("a", P=3))
    assert document["status"] == 0, document
    assert document["relinked"] == [str(program.folder / "b.o")]
    program.apply(live, 3)
    assert live.tell("call 1") == answer(13, 5)
    assert live.tell("other 1") == "301302"
    document = program.undo(0, 4)
    assert document["status"] == 0, document
    program.apply(live, 4)
    assert live.tell("call 1") == answer(10, 6)
    assert live.tell("other 1") == "1000"
    refused = program.undo(2, 5)
    assert refused["status"] == 1
    assert "session FILE loaded 2 ADDRESS" in str(refused["error"])


@ONE_LINKER
def test_an_edit_that_is_taken_back(program: Program, live: LiveHost) -> None:
    """What is as in the host again was left out as unchanged, and callers stayed with the patch before."""
    assert program.link(live, program.object("a", P=1))["status"] == 0
    first = program.apply(live, 1)
    assert live.tell("call 1") == answer(11, 2)
    document = program.link(live, "--loaded", hex(first), program.object("a", P=0))
    assert document["status"] == 0, document
    program.apply(live, 2)
    assert live.tell("call 1") == answer(10, 3)


MOVED = "__attribute__((noinline)) long price(long n) { return rate(n); }"


@pytest.mark.parametrize("program", ["mold"], indirect=True)
def test_a_function_that_moves_to_another_file(program: Program, live: LiveHost) -> None:
    """With mold it is local under its old file: it was said to be left out of the table, and callers were led to it."""
    assert program.link(live, program.object("a", P=1))["status"] == 0
    first = program.apply(live, 1)
    assert live.tell("call 1") == answer(11, 2)
    (program.folder / "a.c").write_text(A.replace(MOVED, "long price(long);"))
    options = ["-O1", "-g", "-fPIC", "-ffunction-sections", "-fdata-sections", "-DP=1"]
    run([str(need("aarch64-linux-gnu-gcc")), "-c", *options, "a.c", "-o", "a.o"], cwd=program.folder)
    moved = program.object("b", MOVED.replace("rate(n)", "n * 10 + 7"), Q=0)
    document = program.link(live, "--loaded", hex(first), program.folder / "a.o", moved)
    assert document["status"] == 0, document
    program.apply(live, 2)
    assert live.tell("call 1") == answer(17, 3)
    assert [row["name"] for row in document["undecided"]] == []  # type: ignore[attr-defined]  # JSON


@ONE_LINKER
def test_a_path_twice_is_the_library_before(program: Program, live: LiveHost) -> None:
    """Loaders return what they have for a path: the first patch's library would be called by the second one's table."""
    assert program.link(live, program.object("a", P=1))["status"] == 0
    first = program.apply(live, 1)
    refused = program.link(live, "--loaded", hex(first), program.object("a", P=2), "-o", program.folder / "patch-1.so")
    assert refused["status"] == 1
    assert "{generation}" in str(refused["error"])
    assert program.link(live, "--loaded", hex(first), program.folder / "a.o")["status"] == 0
    table = json.loads((program.folder / "2.json").read_text())
    (program.folder / "patch-1.so").unlink()
    (program.folder / "patch-1.so").write_bytes(Path(table["lib"]).read_bytes())
    (program.folder / "wrong.json").write_text(
        json.dumps({**table, "lib": str(program.folder / "patch-1.so")}, indent=2)
    )
    assert live.tell(f"apply {program.folder / 'wrong.json'}") == "applied"
    assert int(live.tell("where"), 16) == first, "the loader returned what it had"
    assert program.apply(live, 2) != first
    assert live.tell("call 1") == answer(12, 2)


ADDED = """
static long on_click(long n) { return n; }
long (*slot)(long);
__attribute__((noinline)) long ask(long n) { if (!slot) slot = on_click; return slot == on_click ? n : -n; }
"""


@ONE_LINKER
def test_what_an_earlier_patch_registered_is_told(program: Program, live: LiveHost) -> None:
    """The host has nothing of what the first patch added; the second one has its own of it, and its variables."""
    compared, answers, words = [], [], list[str]()
    for generation in (1, 2):
        (program.folder / "a.c").write_text(ADDED + A.replace("+ P; }", f"+ ask({generation}); }}"))
        run([need("aarch64-linux-gnu-gcc"), *OPTIONS, "-DP=0", "-c", "a.c", "-o", "a.o"], cwd=program.folder)
        document = program.link(live, *words, program.folder / "a.o")
        assert document["status"] == 0, document
        compared.append("on_click" in document["compared"])  # type: ignore[operator]
        words = ["--loaded", hex(program.apply(live, generation))]
        answers.append(live.tell("call 1"))
    assert answers == [answer(11, 2), answer(8, 3)], "what the note is about"
    assert compared == [False, True]
