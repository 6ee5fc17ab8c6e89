"""The benchmarks run, agree with themselves, and cannot call unequal work equal."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tools import need, need_module, run, rust_peer

from benches import against, equal_work, goals, machine, page
from benches.commandlines import fat_link
from benches.equal_work import UnequalWorkError, Work, digest, work_in
from benches.goal_plot import goal_plot
from benches.harness import OURS, ROOT, Bench, Case, Children, Contender, Sample, Step, measure, ratio
from benches.history import Run, row_of, runs
from benches.hosts import host, tables_size
from benches.names import mangled, places
from benches.peers import rust
from benches.progress import Progress
from benches.workloads import whole_path
from stubgen.macho.reader import BuildVersion
from stubgen.stub.emit import emit_elf, emit_macho

SVG = "{http://www.w3.org/2000/svg}"
TARGETS = array("Q", [0x7B4091FF2C00, 0x7B4091FF2C48, 0x1234_5678_9ABC])
NAMES = [b"alpha", b"beta", b"gamma"]


def suite(*arguments: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """``python -m benches`` with *arguments*, and *path* as the place of programs."""
    command = [sys.executable, "-m", "benches", *map(str, arguments)]
    environment = {**os.environ, **({} if path is None else {"PATH": path})}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_a_quick_run(tmp_path: Path) -> None:
    """Numbers that nobody can make again are worth nothing: every workload runs, and its files say the same."""
    need("clang-19", "aarch64-linux-gnu-as", "llvm-nm-19", "ld.lld-19", "ld64.lld-19")
    for module, package in (("elftools", "pyelftools"), ("macholib", "macholib"), ("lief", "lief")):
        need_module(module, package)
    rust_peer()
    results, scratch = tmp_path / "results", tmp_path / "scratch"
    done = suite("--quick", "--results", results, "--scratch", scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((results / "results.json").read_text())
    lines = list(csv.DictReader(io.StringIO((results / "results.csv").read_text())))
    rows = document["rows"]
    assert len(rows) == len(lines) > 50
    for row, line in zip(rows, lines, strict=True):
        for name, text in line.items():
            assert text == ("" if row[name] is None else str(row[name]))
        assert (row["median_seconds"] is None) == (not row["rounds"])
    measured = {"emission", "whole path", "commands", "planning", "reading", "serve", "statics", "capturing"}
    assert {row["workload"] for row in rows} == measured | {"files", "linking", "scale"}
    assert {goal["verdict"] for goal in document["goals"]} == {"not measured"}  # they are about other sizes
    for name in ("results.json", "results.csv", "tables.md", "emission.svg", "goals.svg"):
        content = (results / name).read_text()
        for place in (tmp_path, ROOT, Path.home(), Path(sys.executable)):
            assert str(place) not in content, f"{name} names {place}"

    tools = {row["tool"] for row in rows if row["workload"] == "emission" and row["format"] == "elf"}
    assert tools == {OURS, f"{OURS}, memory", "object crate", "clang-19", "GNU as"}
    drawn = ElementTree.fromstring((results / "emission.svg").read_text())  # we wrote it
    words = {text.text for text in drawn.iter(f"{SVG}text")}
    assert {"ELF", "Mach-O", "stubs", "1,000", "100", "1 ms", "stubgen, emit", "generated assembly, GNU as"} <= words
    tips = [title.text or "" for title in drawn.iter(f"{SVG}title")]
    points = [row for row in rows if row["workload"] == "emission" and row["tool"] == "clang-19"]
    assert sum("clang" in tip for tip in tips) == len(points) == 4

    for case in {row["case"] for row in rows if row["workload"] in ("emission", "whole path", "serve")}:
        made = {row["work_digest"] for row in rows if row["case"] == case} - {None}
        assert len(made) == (0 if "beside" in case else 1), case


def elf(names: list[bytes], targets: array[int]) -> bytearray:
    """A stub object of ours."""
    return bytearray(emit_elf(names, targets).content)


def macho(names: list[bytes], targets: array[int]) -> bytearray:
    """A stub object of ours."""
    return bytearray(emit_macho(names, targets, BuildVersion(1, 0x000D0000, 0)).content)


FORMATS = pytest.mark.parametrize("emit", [elf, macho])


@FORMATS
def test_equal_work_is_seen(emit: Callable[[list[bytes], array[int]], bytearray]) -> None:
    """The same pairs in another order are the same work."""
    expected = digest(zip(NAMES, TARGETS, strict=True))
    assert expected.names == 3
    assert work_in(emit(NAMES, TARGETS)) == expected
    assert work_in(emit(NAMES[::-1], TARGETS[::-1])) == expected


@FORMATS
def test_lesser_work_is_seen(emit: Callable[[list[bytes], array[int]], bytearray]) -> None:
    """A peer that leaves out a stub, swaps two targets or branches elsewhere is no yardstick."""
    expected = digest(zip(NAMES, TARGETS, strict=True))
    assert work_in(emit(NAMES[:2], TARGETS[:2])) != expected
    assert work_in(emit(NAMES, array("Q", [TARGETS[1], TARGETS[0], TARGETS[2]]))) != expected
    assert work_in(emit(NAMES, array("Q", [*TARGETS[:2], TARGETS[2] + 4]))) != expected
    assert work_in(emit([b"alpha", b"beta", b"delta"], TARGETS)) != expected
    broken = emit(NAMES, TARGETS)
    at = broken.index(bytes.fromhex("00021fd6"))
    broken[at : at + 4] = bytes.fromhex("c0035fd6")  # ret
    with pytest.raises(UnequalWorkError, match="no trampoline"):
        work_in(broken)


@pytest.fixture
def bench(tmp_path: Path) -> object:
    """What workloads are given, in a folder of its own."""
    with Children() as children:
        yield Bench(children, Progress(io.StringIO()), tmp_path, rounds=3, quick=True)


def contender(tool: str, seconds: list[float], work: Work | None = None, **options: object) -> Contender:
    """A tool that takes *seconds*, one round after another; the first is the warm-up."""
    left = iter(seconds)
    return Contender(
        tool,
        lambda: {"step": Sample(next(left), 1 << 20)},
        work=None if work is None else lambda: work,
        **options,  # type: ignore[arg-type]  # any of its fields, each of its own type
    )


def test_a_peer_that_did_less_ends_the_run(bench: Bench) -> None:
    """A ratio to a tool that did something else would be published without anybody knowing."""
    right, wrong = Work(3, "aaaa"), Work(2, "bbbb")
    takers = [contender(OURS, [1.0] * 4, right), contender("peer", [2.0] * 4, wrong)]
    with pytest.raises(UnequalWorkError, match="peer: 2 names, bbbb"):
        measure(bench, Case("w", "t", "elf", 3, Step(OURS, "step"), takers))
    both_wrong = [contender(OURS, [1.0] * 4, wrong), contender("peer", [2.0] * 4, wrong)]
    with pytest.raises(UnequalWorkError, match="asked for: 3 names"):
        measure(bench, Case("w", "t", "elf", 3, Step(OURS, "step"), both_wrong, expected=right))


def test_ratios_are_taken_round_by_round(bench: Bench) -> None:
    """On a machine that becomes slower while it measures, a ratio of medians says something else than the tools do."""
    takers = [contender(OURS, [9, 1, 2, 40]), contender("peer", [9, 3, 6, 120]), contender("slow", [8], slow=True)]
    ours, peer, slow = measure(bench, Case("w", "t", "", 3, Step(OURS, "step"), takers, stubs=6))
    assert (ours.ratio, peer.ratio, slow.ratio) == (1, 3, 0.2)
    assert (ours.median, ours.spread, ours.rate) == (2, 39 / 2 / 2, 3)
    assert slow.spread is None
    assert slow.times == {3: 8}
    assert ratio({1: 2.0}, {2: 1.0}) is None


def test_a_child_that_fails_ends_the_run(bench: Bench) -> None:
    """A command that failed was quick; its time must not become a number."""
    with pytest.raises(RuntimeError, match=r"(?s)exit status 3.*it says why"):
        bench.children.run([sys.executable, "-c", "import sys; sys.stderr.write('it says why'); sys.exit(3)"])


def test_a_childs_memory_is_its_own(bench: Bench) -> None:
    """Linux counts what a process was before it became another program: children of a large one would look large."""
    held = bytearray(b"x" * (256 << 20))
    small = bench.children.run([sys.executable, "-S", "-c", "pass"])
    large = bench.children.run([sys.executable, "-S", "-c", "x = b'x' * (64 << 20)"])
    assert small.peak < 64 << 20 < large.peak < len(held)


def test_the_index_is_there_when_it_is_said_to_be(bench: Bench) -> None:
    """Called cold and found warm, or indexed in the background while another tool is timed: both would be false."""
    given = host(bench.scratch, "elf", 20_000, 10)
    case = whole_path.case(bench, "whole path", given, "")
    fresh, present, off = [contender for contender in case.contenders if contender.tool == OURS]

    def indexes(step: str) -> list[Path]:
        return list(whole_path.index_folder(bench, step).rglob("*.index"))

    for _ in range(2):
        fresh.prepare()
        assert not indexes(whole_path.FRESH)
        assert whole_path.FRESH in fresh.run()
        fresh.settle()
        assert len(indexes(whole_path.FRESH)) == 1
    present.prepare()
    (index,) = indexes(whole_path.PRESENT)
    made = index.stat().st_ino
    present.run()
    present.prepare()
    assert index.stat().st_ino == made
    shutil.rmtree(index.parent)
    off.prepare()
    off.run()
    assert not indexes(whole_path.PRESENT)
    assert present.command.startswith("STUBGEN_CACHE_DIR=SCRATCH/cache-warm python -m stubgen build --host SCRATCH/")
    assert off.command.endswith(" --no-cache")


def test_absent_peers_are_named(tmp_path: Path) -> None:
    """Who sees a table without a tool must know that it is missing here, and how to get it."""
    done = suite("--quick", "--only", "emission", "--results", tmp_path / "r", "--scratch", tmp_path / "s", path="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "absent: clang-19 (Debian: apt-get install clang-19)" in done.stdout
    assert "absent: GNU as (Debian: apt-get install binutils-aarch64-linux-gnu)" in done.stdout
    document = json.loads((tmp_path / "r" / "results.json").read_text())
    assert "clang-19 (Debian: apt-get install clang-19)" in document["absent"]
    assert "clang-19" not in document["versions"]
    assert not any(row["tool"] == "clang-19" for row in document["rows"])


def test_an_absent_rust_peer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its three packages are not what anybody would guess."""
    monkeypatch.setattr(rust, "_CRATES", tmp_path)
    assert f"object crate ({rust.HINT})" in machine.absent()
    assert "object crate" not in machine.versions()


@pytest.mark.parametrize("format_name", ["elf", "macho"])
def test_other_readers_know_the_hosts(format_name: str, tmp_path: Path) -> None:
    """A host that only our reader understands would measure a case that nobody has."""
    nm = str(need("llvm-nm-19"))
    given = host(tmp_path, format_name, 500, 20)
    listed = run([nm, "--special-syms", given.path]).splitlines()
    functions = [line.split() for line in listed if line.split()[1] in "tT"]
    names = {words[2].encode() for words in functions}
    wanted = mangled(500, underscore=format_name == "macho")
    assert names - {b"$x"} == set(wanted)
    assert len(listed) + (1 if format_name == "elf" else 0) >= given.symbols - given.symbols // 50
    needed = {line.split()[-1].encode() for line in run([nm, "--undefined-only", given.patch]).splitlines()}
    assert len(needed) == 20
    assert needed <= names
    if format_name == "elf":
        command = [str(need("readelf")), "-a", "-W", given.path]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stderr == ""  # no warning
        assert done.stdout.count(" FUNC ") == 500


def test_names_are_like_a_rust_programs() -> None:
    """Short or equal names would flatter string tables and hash maps."""
    names = mangled(20_000)
    assert len(set(names)) == 20_000
    assert 40 <= min(map(len, names)) <= max(map(len, names)) <= 130
    assert {name[:2] for name in names} == {b"_Z", b"_R"}
    assert names[100:] == mangled(19_900, start=100)
    addresses, sizes = places(1_000)
    assert all(a + size == b for a, size, b in zip(addresses, sizes, addresses[1:], strict=False))


@pytest.mark.parametrize("tokens", [100, 1_000])
def test_commands_have_their_length(tokens: int) -> None:
    """A plan's time is told by the number of tokens."""
    assert len(fat_link(tokens)) == tokens


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_progress() -> None:
    """Minutes without a word look like a hang; a log of every round would bury the tables."""
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        progress = Progress(stream)
        for number in range(3):
            progress.say(f"emission: ours, round {number} of 2")
            progress.say(f"emission: peer, round {number} of 2")
    assert [line.partition("] ")[2] for line in log.getvalue().splitlines()] == ["emission: ours", "emission: peer"]
    assert terminal.getvalue().count("\r") == 6
    assert "\n" not in terminal.getvalue()


def test_a_missed_goal_is_called_missed() -> None:
    """A table that only knows success is an advertisement."""
    goal = goals.Goal("this", "that", 1.5, lambda rows: None)
    verdicts = [goals.Outcome(goal, measured).verdict for measured in (1.5, 1.51, None)]
    assert verdicts == ["reached", "MISSED", "not measured"]
    assert {outcome.measured for outcome in goals.outcomes([])} == {None}
    assert equal_work.hold_equal([("a", Work(1, "x")), ("b", Work(1, "x"))]) == Work(1, "x")


def test_the_page_has_the_newest_run() -> None:
    """A table of goals that somebody copied once is soon another run's, or about goals of last year."""
    for path, content in page.files().items():
        assert path.read_text() == content, f"{path.name}: run python -m benches.page"


def test_earlier_runs_are_read_as_they_were_measured() -> None:
    """A history that is copied from old tables shows old goals; that of the rows shows today's."""
    known = runs()
    assert [run.name for run in known] == sorted(run.name for run in known)
    document = json.loads((ROOT / "benches" / "results" / known[0].name / "results.json").read_text())
    rows = [row_of(record) for record in document["rows"]]
    assert [row.median for row in rows] == [record["median_seconds"] for record in document["rows"]]
    assert [row.spread for row in rows] == [record["spread"] for record in document["rows"]]
    told = {goal["goal"]: goal["measured"] for goal in document["goals"]}
    today = {str(outcome.goal): outcome.measured for outcome in known[0].outcomes if str(outcome.goal) in told}
    assert len(today) > 5
    assert today == {name: told[name] for name in today}


def test_the_plot_of_the_goals() -> None:
    """Who reached a number and who missed it must not look alike, nor may what nobody measured look reached."""
    reached, missed, unknown = (goals.Goal(what, "that", 2.0, lambda rows: None) for what in ("one", "other", "none"))
    measured = ((4.0, 1.0, None), (1.0, 8.0, None))
    told = [
        Run(
            name,
            name,
            "1.0",
            [goals.Outcome(goal, value) for goal, value in zip((reached, missed, unknown), values, strict=True)],
        )
        for name, values in zip(("2026-01-01", "2026-02-01"), measured, strict=True)
    ]
    drawn = ElementTree.fromstring(goal_plot(told))  # we wrote it
    assert [mark.get("class") for mark in drawn.iter(f"{SVG}circle")] == ["bad", "good", "good", "bad"]
    heights = [float(mark.get("cy", "")) for mark in drawn.iter(f"{SVG}circle")]
    assert heights[0] < heights[1]
    assert heights[2] > heights[3]
    limits = [
        float(str(path.get("d")).split("H")[0].split()[1])
        for path in drawn.iter(f"{SVG}path")
        if path.get("class") == "limit"
    ]
    assert heights[0] < limits[0] < heights[1]
    texts = {text.text for text in drawn.iter(f"{SVG}text")}
    assert {"one", "other", "beside that", "2026-01-01", "2026-02-01"} <= texts
    assert "none" not in texts
    assert ElementTree.fromstring(goal_plot([])).tag == f"{SVG}svg"


@pytest.mark.parametrize("format_name", ["elf", "macho"])
def test_the_size_of_a_hosts_tables(format_name: str, tmp_path: Path) -> None:
    """A server's memory is told in units of them; a wrong one would make any memory look small."""
    small, large = (tables_size(host(tmp_path, format_name, count, 10).path) for count in (1_000, 2_000))
    names = sum(len(name) + 1 for name in mangled(1_000, underscore=format_name == "macho"))
    assert names < small < 2 * names
    assert 1.9 * small < large < 2.1 * small


def revision(folder: Path, edit: Callable[[str], str]) -> str:
    """A commit that nothing leads to, like HEAD but for ``stubgen/commands/plan.py``, which *edit* has changed."""
    path = "stubgen/commands/plan.py"
    environment = {**os.environ, "GIT_INDEX_FILE": str(folder / "index")}
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")

    def git(*words: str, text: str | None = None) -> str:
        command = ["git", *identity, *words]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment, input=text
        )
        return done.stdout.strip()

    blob = git("hash-object", "-w", "--stdin", text=edit(git("show", f"HEAD:{path}") + "\n"))
    git("read-tree", "HEAD")
    git("update-index", "--cacheinfo", f"100644,{blob},{path}")
    return git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", "for a test")


def test_two_revisions_are_measured_in_turn(tmp_path: Path) -> None:
    """Runs of different days differ by more than most changes do: what a change brought is told in one run."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    ran = tmp_path / "ran"
    telling = revision(tmp_path, lambda text: f"{text}\nwith open({str(ran)!r}, 'a') as file:\n    file.write('.')\n")
    options = ("--quick", "--rounds", "3", "--scratch", tmp_path / "s", "--results", tmp_path / "r")
    done = suite(*options, "--only", "planning", "--against", telling)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"there: {telling[:12]}" in done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("plan, the command")]
    assert len(told) == 2
    assert all(line.endswith(("faster", "slower", "same within noise")) for line in told)
    assert len(ran.read_text()) == 2 * (1 + 1 + 3)  # is it there at all, the round that is not counted, the others
    assert done.stdout.count("build_link_plan, the call") == 2
    assert not (tmp_path / "r").exists()


def test_what_the_other_revision_has_not(tmp_path: Path) -> None:
    """A command that is new fails there: that is no failure of this tree, and no number either."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    broken = revision(tmp_path, lambda text: f"{text}\nraise SystemExit('no such command')\n")
    done = suite("--quick", "--scratch", tmp_path / "s", "--only", "planning", "--against", broken)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("plan, the command")]
    assert len(told) == 2
    assert all(line.endswith("not there") for line in told)
    done = suite("--quick", "--scratch", tmp_path / "s", "--against", "no-such-revision")
    assert done.returncode == 2
    assert "git knows no revision 'no-such-revision'" in done.stderr


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([0.5, 0.9], "too few rounds"),
        ([0.7, 0.8, 0.9], "faster"),
        ([1.1, 1.2, 1.3], "slower"),
        ([0.97, 0.99, 1.2], "same within noise"),
        ([0.985, 0.99, 0.995], "same within noise"),  # in every round, and too little to matter
        ([*[0.9] * 8, 1.4], "faster"),
        ([*[0.9] * 7, 1.4, 1.5], "same within noise"),
        ([0.6, *[1.1] * 8], "slower"),
    ],
)
def test_a_difference_is_more_than_noise(ratios: list[float], said: str) -> None:
    """A verdict that the next run turns round sends somebody to look for what is not there."""
    assert against.verdict(ratios) == said
