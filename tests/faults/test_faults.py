"""What a fault leaves behind: nothing half written, one sentence, and a next run that does not know of it."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from faults import engine, scenarios
from faults.__main__ import THREADED, main
from faults.__main__ import _order as order
from faults.engine import Bench, Trial, parse
from faults.linkers import IGNORED, LINKERS, ignoring, misbehave
from tools import need

from stubgen.cli import full_parser
from stubgen.cli import main as stubgen_main
from stubgen.commands import COMMANDS

PAST = (
    ("session loaded", "EROFS+", "flock", 0),  # "another command is linking", where the file system has no locks
    ("link", "SIGTERM", "rename", -1),
    ("recompile", "EIO", "unlink patch.o", 0),  # a temporary folder with a file that cannot be removed: the rest stayed
    ("recompile", "EACCES", "mkdir stubgen-objects", 0),  # a traceback, where no temporary folder can be made
    ("build", "SIGTERM", "mkdir bound", 0),  # a file beside its place stayed
    ("check", "SIGTERM", "write", -1),
    ("jumptable", "SIGTERM", "write", -1),
    ("capture", "ENOSPC", "write", -1),  # a temporary record stayed
    ("linker", "SIGTERM", "write", 0),
    ("compiler", "SIGTERM", "write", 0),
    ("index", "SIGTERM", "write", -1),
    ("cache build", "SIGTERM", "write", 0),  # a file as large as the index stayed in the cache
    ("verify", "SIGTERM", "write", 0),
    ("link keep-temps", "EROFS+", "rename .stub.o", 0),  # the next run did not know the folder, and refused
    ("link keep-temps", "SIGKILL", "write", 2),
)
"""Scenario and fault of what were findings once; how the operation begins that it came at, and which of those it is."""

PAST_READS = (
    ("session loaded", "open patch-1.so", 0),  # "is gone", of a file that cannot be read
    ("session undo", "read patch.o", 0),
)
"""Scenario, the read that failed, and which of those it is."""

QUICK = (
    "build:ENOSPC+:op:11",
    "build:SIGKILL:op:18",
    "link:short:op:12",
    "link:EIO:op:19",
    "link:SIGINT:wall:9000",
    "build:EIO:read:1",
)

WRITES = re.compile(r"\bwrite\b(?!s nothing)|\bkeep the\b|\bkeep what\b|\bfolder for\b|what was patched before")
"""How the help of an option begins to speak of a file that it writes."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Folders for trials."""
    need("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-nm")
    made = Bench(tmp_path_factory.mktemp("faults"))
    yield made
    made.end()


def test_every_command_is_known() -> None:
    """A new command that writes would be tried by nobody."""
    tried = {name.split()[0] for name in scenarios.SCENARIOS} - {"index", "linker", "compiler"}
    assert tried | set(scenarios.READERS) == set(COMMANDS)
    assert not tried & set(scenarios.READERS)


def test_every_option_that_writes_is_tried() -> None:
    """So would a new option."""
    (commands,) = [action for action in full_parser()._actions if hasattr(action, "choices") and action.choices]
    forgotten = []
    for name, parser in commands.choices.items():
        given = " ".join(each.words for key, each in scenarios.SCENARIOS.items() if key.split()[0] == name)
        if name == "patch":  # which is link's other half, with the same code for the same options
            given += " ".join(each.words for key, each in scenarios.SCENARIOS.items() if key.startswith("link"))
        for action in parser._actions:
            writes = action.option_strings and action.help and WRITES.search(action.help)
            if writes and not set(action.option_strings) & set(given.split()):
                forgotten.append((name, action.option_strings[0], action.help))
    assert [each for each in forgotten if each[:2] not in (("plan", "-o"), ("explain", "--report"))] == []


@pytest.mark.parametrize("name", scenarios.READERS)
def test_a_command_that_writes_nothing(name: str, bench: Bench) -> None:
    """One that has begun to write belongs among the others."""
    before = engine.state_of(bench.fresh(name))
    done = bench.execute(name)
    assert done.status == 0, done.errors
    after = engine.state_of(bench.work)
    assert {each for each in after if not each.startswith("cache")} == set(before)


@pytest.mark.parametrize(("scenario", "fault", "operation", "which"), PAST)
def test_past_faults(scenario: str, fault: str, operation: str, which: int, bench: Bench) -> None:
    """Each left half a file, a temporary one, a traceback or the wrong sentence."""
    operations = enumerate(bench.undisturbed(scenario).operations)
    at = [number for number, name in operations if name.startswith(operation)][which]
    assert not bench.failures(Trial(scenario, fault, at))


@pytest.mark.parametrize(("scenario", "operation", "which"), PAST_READS)
def test_past_reads(scenario: str, operation: str, which: int, bench: Bench) -> None:
    """Who is told that a file is gone makes another one, and loses what a disk or a share has only for the moment."""
    at = [number for number, name in enumerate(bench.undisturbed(scenario).reads) if name == operation][which]
    assert not bench.failures(Trial(scenario, "EIO", at, "read"))


def test_a_kill_while_what_was_kept_is_removed(bench: Bench) -> None:
    """The next run would take what is left of it for something of the user's, and refuse for ever."""
    expected = bench.undisturbed("link keep-temps").after
    bench.fresh("link keep-temps")
    bench.execute("link keep-temps")
    before = bench.execute("link keep-temps").operations
    for number in [number for number, name in enumerate(before) if name.startswith(("unlink", "rmdir"))]:
        assert bench.execute("link keep-temps", at=number, fault="SIGKILL").status == -signal.SIGKILL
        assert bench.execute("link keep-temps").status == 0
    assert engine.state_of(bench.work) == expected


@pytest.mark.parametrize("trial", QUICK)
def test_faults(trial: str, bench: Bench) -> None:
    """Some of each kind, with commands that write much."""
    assert not bench.failures(parse(trial))


def test_a_fault_that_is_not_seen_is_a_finding(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariants that hold whatever happens would find nothing."""
    monkeypatch.setattr(engine, "is_temporary", lambda name: False)
    assert any("is left behind" in each for each in bench.failures(parse("build:SIGKILL:op:18")))
    monkeypatch.setitem(engine.STATUSES, "ENOSPC", {0})
    assert any("status 5 after ENOSPC" in each for each in bench.failures(parse("build:ENOSPC:op:11")))


@pytest.mark.parametrize(("name", "whose"), [("tmp/ccbgE0py.cdtor.c", "GCC's"), ("tmp/ccPelTQJ", "nobody's")])
@pytest.mark.parametrize("unit", ["op", "call", "wall"])
def test_what_gcc_leaves_when_it_is_ended_is_no_finding(name: str, whose: str, unit: str, bench: Bench) -> None:
    """One of 75 runs would fail, of a linker that no other run has at just that moment."""
    expected = bench.undisturbed("link")
    state = {**expected.before, name: ("0123456789abcdef",)}
    done = engine.Done(128 + signal.SIGTERM, "", expected.operations, expected.reads, 0, 1)
    found = bench._after_fault(Trial("link", "SIGTERM", 3, unit), done, expected, state)
    assert found == ([] if whose == "GCC's" else [f"{name} is left behind"])
    failed = done._replace(status=5, errors="hotpatch-stubgen: error: x\n")
    assert bench._after_fault(Trial("link", "EIO", 3, "op"), failed, expected, state) == [f"{name} is left behind"]


@pytest.mark.parametrize("name", LINKERS)
def test_misbehaving_linkers(name: str, bench: Bench) -> None:
    """A linker that fails without saying so would leave a patch that crashes the program that loads it."""
    script, status = LINKERS[name]
    expected = bench.undisturbed("link").after["patch.so"]
    folder = bench.fresh("link")
    misbehave(folder, script)
    done = bench.execute("link")
    assert done.status == status, done.errors
    assert "Traceback" not in done.errors
    assert len(done.errors) < 1_500_000
    left = engine.state_of(folder)
    assert left.get("patch.so", expected) == expected
    assert ("patch.so" in left) == (status == 0)
    assert not [each for each in left if engine.is_temporary(each)]


def _wait_for(path: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until *path* is there; *process* must not have ended before."""
    end = time.monotonic() + engine.TIME
    while not path.exists():
        assert process is None or process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_child_in_another_session_holds_nobody_up(bench: Bench) -> None:
    """Compilers' caches start servers so: they keep the linker's output open, and are not the link's to end."""
    folder = bench.fresh("link")
    misbehave(folder, '{real} "$@"; s=$?; setsid sleep 300 & echo $! > child; exit $s')
    try:
        assert bench.execute("link").status == 0
        assert not [name for name in engine.state_of(folder) if engine.is_temporary(name)]
    finally:
        os.kill(int((folder / "child").read_text()), signal.SIGKILL)  # it is there: nobody ended it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_child_in_another_session_that_writes(number: int, bench: Bench) -> None:
    """It goes on after its linker was ended, and what it writes then must not be where a patch is looked for."""
    folder = bench.fresh("link")
    misbehave(
        folder,
        "trap 'exit 1' TERM; setsid sh -c 'exec > started 2>&1; sleep 1; echo late > \"$0\"; echo > ended' \"$out\" & "
        "while :; do sleep 0.05; done",
    )
    before = set(engine.state_of(folder))
    command = [sys.executable, str(engine.LAUNCHER), "{}", *scenarios.command("link", folder)]
    with subprocess.Popen(command, cwd=folder, env=scenarios.environment(folder), stdout=-3, stderr=-1) as process:
        _wait_for(folder / "started", process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, b"")
    _wait_for(folder / "ended")
    after = {each for each in engine.state_of(folder) if not each.startswith("cache")}
    assert after == before | {"started", "ended"}


@pytest.mark.parametrize("part", IGNORED)
def test_a_linker_that_takes_no_notice(
    part: str, bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrappers leave out what they do not know: where a word counted, no patch may come of it."""
    expected = bench.undisturbed("link").after["patch.so"]
    folder = bench.fresh("link")
    misbehave(folder, f'echo "$@" > words; {ignoring(part)}')
    monkeypatch.chdir(folder)
    for name, value in scenarios.environment(folder).items():
        monkeypatch.setenv(name, value)
    if part == "@":
        monkeypatch.setattr("stubgen.linkplan.plan.argument_limit", lambda: 0)  # as behind a very large environment
    assert stubgen_main([*scenarios.command("link", folder)[1:], "--export", "main"]) == IGNORED[part]
    assert part in (folder / "words").read_text()
    if part == "000-patch.o":
        assert (
            "main cannot be found by dlsym: patch.o defines it, and the linker left it out" in capsys.readouterr().err
        )
    left = engine.state_of(folder)
    assert ("patch.so" in left) == (IGNORED[part] == 0)
    if part not in ("-Wl,-soname", "@") and not IGNORED[part]:
        assert left["patch.so"] == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_linker_that_hangs(number: int, bench: Bench) -> None:
    """An editor ends the command, not the linker that it waits for."""
    folder = bench.fresh("link")
    misbehave(folder, 'echo half > "$out"; touch started; sleep 300')
    before = set(engine.state_of(folder))
    words = scenarios.command("link", folder)
    command = [sys.executable, str(engine.LAUNCHER), "{}", *words]
    with subprocess.Popen(
        command, cwd=folder, env=scenarios.environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        _wait_for(folder / "started", process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not errors
    after = {each for each in engine.state_of(folder) if not each.startswith("cache")}
    assert after == before | {"started"}


@pytest.mark.parametrize("name", ["build", "link", "link session", "capture", "cache build", "recompile"])
def test_two_at_once(name: str, bench: Bench) -> None:
    """Editors and build systems start a second one while the first still runs."""
    expected = bench.undisturbed(name)
    folder = bench.fresh(name)
    command = [sys.executable, str(engine.LAUNCHER), "{}", *scenarios.command(name, folder)]
    processes = [
        subprocess.Popen(command, cwd=folder, env=scenarios.environment(folder), stdout=-3, stderr=-1) for _ in range(2)
    ]
    ended = [(process.communicate(timeout=60)[1].decode(), process.returncode) for process in processes]
    assert any(status == 0 for _, status in ended)
    for errors, status in ended:
        assert "Traceback" not in errors
        assert status == 0 or (status == 1 and "another command is linking" in errors), errors
    left = engine.state_of(folder)
    if name == "link session" and all(status == 0 for _, status in ended):
        return  # one after the other: two generations
    for each, contents in expected.after.items():
        # Two links that write one file: each record says which build its link found there, half written or not yet.
        whole = bench.is_whole_record(each) if name == "capture" else bench.are_whole_facts(each)
        assert set(contents) == set(left[each]) or whole, each
    assert {each for each in left if not each.startswith("cache")} <= set(expected.after)


@pytest.mark.parametrize(
    "rude",
    [
        b"Content-Length: 100\r\n\r\n{",
        b"Content-Length: 99999999999999\r\n\r\n",
        random.Random(5000).randbytes(5000),
        b"Content-Le",
    ],
    ids=["half a request", "a huge request", "garbage", "half a header"],
)
def test_rude_clients(rude: bytes, bench: Bench) -> None:
    """What a client sent before it went wrong is done, whole, and the server ends by itself."""
    folder = bench.fresh("serve")
    sound = (folder / "requests").read_bytes()
    (folder / "requests").write_bytes(sound[: sound.rindex(b"Content-Length")] + rude)
    done = bench.execute("serve")
    assert "Traceback" not in done.errors
    assert done.status in (0, 1, 2, 3)
    left = engine.state_of(folder)
    after = bench.undisturbed("serve").after
    assert not [each for each in left if engine.is_temporary(each)]
    assert all(left[each] == after[each] for each in ("served.o", "served.so", "served.map") if each in left)


ANSWERS = 40


@pytest.mark.parametrize("read", [0, 1, 700, 20_000])
def test_a_client_that_goes_in_the_middle_of_an_answer(read: int, bench: Bench) -> None:
    """An editor that is closed leaves no server behind, no traceback in its log, and no half of a patch."""
    folder = bench.fresh("serve")
    sound = (folder / "requests").read_bytes()
    asked = b""
    for number in range(ANSWERS):
        (message,) = [text for text in re.split(rb"Content-Length: \d+\r\n\r\n", sound) if b'"link"' in text]
        message = message.replace(b"served", b"served-%d" % number).replace(b'"id": 1', b'"id": "%d"' % number)
        asked += b"Content-Length: %d\r\n\r\n%s" % (len(message), message)
    command = [sys.executable, str(engine.LAUNCHER), "{}", *scenarios.command("serve", folder)]
    with subprocess.Popen(
        command, cwd=folder, env=scenarios.environment(folder), stdin=-1, stdout=-1, stderr=-1, bufsize=0
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(asked)
        assert bool(process.stdout.read(read)) == bool(read)
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(engine.TIME) == 0
    assert b"Traceback" not in said
    left = engine.state_of(folder)
    assert not [each for each in left if engine.is_temporary(each) and not engine.is_gccs(each)]  # links were ended
    made = [each for each in left if re.fullmatch(r"served-\d+\.so", each)]
    assert all(f"{each[:-3]}.map" in left for each in made)
    for each in made:
        assert (folder / each).stat().st_size == (folder / made[0]).stat().st_size


def test_many_servers_at_once(bench: Bench) -> None:
    """Each window of an editor has one, and all write the same outputs and the same cache."""
    expected = bench.undisturbed("serve").after
    folder = bench.fresh("serve")
    command = [sys.executable, str(engine.LAUNCHER), "{}", *scenarios.command("serve", folder)]
    processes = []
    for _ in range(6):
        with open(folder / "requests", "rb") as requests:
            processes.append(
                subprocess.Popen(
                    command, cwd=folder, env=scenarios.environment(folder), stdin=requests, stdout=-1, stderr=-1
                )
            )
    for process in processes:
        answers, errors = process.communicate(timeout=engine.TIME)
        assert (process.returncode, answers.count(b'"result"'), errors) == (0, 3, b"")
    left = engine.state_of(folder)
    assert {name: left[name] for name in ("served.o", "served.so", "served.map")} == {
        name: expected[name] for name in ("served.o", "served.so", "served.map")
    }
    assert not [each for each in left if engine.is_temporary(each)]


def _mounts(folder: Path) -> bool:
    """Whether a disk of 16 KB is mounted at *folder* now: only root can, and not in each container."""
    words = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder]
    return os.geteuid() == 0 and not subprocess.run(words, check=False, capture_output=True).returncode


def _may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if not _mounts(Path(folder)):
            return False
        subprocess.run(["umount", folder], check=True)
        return True


if _may_mount():  # no tool gives it to who may not, so that nothing is skipped for want of one

    def test_a_disk_that_is_really_full(bench: Bench, tmp_path: Path) -> None:
        """Injected errors are what we think that a full disk says."""
        assert _mounts(tmp_path)
        try:
            folder = bench.fresh("build")
            stub = str(tmp_path / "stub.o")
            words = [stub if word == "stub.o" else word for word in scenarios.command("build", folder)]
            (tmp_path / "filling").write_bytes(bytes(16_000))
            done = subprocess.run(
                [sys.executable, "-m", *words],
                cwd=folder,
                env=scenarios.environment(folder),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 5, done.stderr
            assert done.stderr.count("\n") == 1
            assert "No space left on device" in done.stderr
            assert os.listdir(tmp_path) == ["filling"]
        finally:
            subprocess.run(["umount", tmp_path], check=True)


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its figures are what the evidence is written from."""
    assert main(["--only", "check:EIO:op:6", "--json", str(tmp_path / "figures")]) == 0
    assert "1 faults, 0 findings" in capsys.readouterr().out


def test_repeatable_ones_are_the_same_however_fast_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI tries what was tried before it: how long a linker takes, and how often it is looked at, changes no choice."""

    class Fast:
        linking, calls = 9_000, 1000

        def undisturbed(self, name: str) -> tuple[int, int]:
            return self.calls + len(name), self.linking

    class Slow(Fast):
        linking, calls = 5_123_456, 1010

    monkeypatch.setattr(engine, "trials", lambda _, names: [Trial(names[0], "EIO", number) for number in range(9)])
    names = list(scenarios.SCENARIOS)
    fast, slow = (list(order(kind(), names, 0, moments=False)) for kind in (Fast, Slow))  # type: ignore[arg-type]  # as far as it is asked
    assert fast == slow
    assert len(set(fast)) == len(fast) == 9 * len(names)
    for kind in (Fast, Slow):
        seen = list(islice(order(kind(), names, 0), 400))  # type: ignore[arg-type]  # likewise
        assert [trial for trial in seen if trial.unit == "op"] == fast
        assert {trial.unit for trial in seen} == {"op", "call", "wall"}


def test_so_many_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a server's threads, which come in another order each time, are not among the repeatable ones."""
    assert main(["--repeatable", "--count", "2", "--scenario", "session loaded"]) == 0
    assert "2 faults, 0 findings" in capsys.readouterr().out
    assert set(scenarios.SCENARIOS) >= THREADED == {"serve"}
