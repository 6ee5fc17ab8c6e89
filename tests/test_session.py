"""What a session keeps is what would be made anew: for every verdict, slide and change of a file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from counting import count_calls
from serve.serving import REFERENCE, age, write_files
from synthetic import BASE, DATA, SIZE, THREAD, Sym, elf_host, elf_object, put, undefined

from stubgen import Session, StubBuilder
from stubgen import session as module
from stubgen.common.cancellation import Cancellation, checkpoint
from stubgen.common.files import read_input
from stubgen.elf import constants as e
from stubgen.errors import AnchorRefusal, BuildIdRefusal, Cancelled, UnreadableInput
from stubgen.host.index import Identity
from stubgen.resolve.resolution import Resolution
from stubgen.session import COARSE_TICK, FileCache, is_settled

HOST = [
    Sym("main", BASE + 0x100),
    Sym("f", BASE + 0x140),
    Sym("datum", BASE + SIZE + 8, e.STT_OBJECT, section=DATA),
    Sym("thread", 4, e.STT_TLS, section=THREAD),
    Sym("fixed", 0x1234, e.STT_NOTYPE, section=e.SHN_ABS),
    Sym("two", BASE + 0x180, bind=e.STB_LOCAL),
    Sym("two", BASE + 0x1C0, bind=e.STB_LOCAL),
    Sym("mine", BASE + SIZE + 16, e.STT_OBJECT, section=DATA),
]
PATCH = [
    *map(undefined, ("f", "main", "datum", "thread", "fixed", "two", "gone", "__dso_handle")),
    undefined("perhaps", weak=True),
    Sym("mine", 8, e.STT_OBJECT, section=DATA),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A host and a patch that need every kind of verdict."""
    put(tmp_path, "host", elf_host(HOST))
    put(tmp_path, "patch.o", elf_object(PATCH))
    for name in ("host", "patch.o"):
        age(tmp_path / name)
    return tmp_path


def told(resolution: Resolution) -> tuple[object, ...]:
    """Everything that a resolution says."""
    stubs = resolution.stubs
    columns = (stubs.spellings, stubs.names, list(stubs.addresses), stubs.remarks)
    absolutes = (stubs.absolute_names, list(stubs.absolute_addresses), stubs.absolute_visibility)
    rest = (resolution.bound_targets, resolution.shared_variables, resolution.slide)
    return (list(resolution.decisions()), *columns, *absolutes, *rest)


OPTIONS: dict[str, dict[str, object]] = {
    "plain": {},
    "bound": {"bind": True},
    "keeping state": {"bind": True, "keep_state": True},
    "absolute": {"data": "absolute"},
    "none": {"data": "none"},
    "overridden": {"overrides": {"f": 0x7000001000}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_moved_verdicts_are_those_that_would_be_judged(files: Path, options: dict[str, object]) -> None:
    """Only addresses that slide may move: an absolute value or another patch's function that moves is a crash."""
    session = Session()
    for slide in (0x5500000000, 0, 0x7F0000000000, 4096):
        kept = StubBuilder(files / "host", session=session).judge([files / "patch.o"], slide=slide, **options)  # type: ignore[arg-type]
        alone = StubBuilder(files / "host").judge([files / "patch.o"], slide=slide, **options)  # type: ignore[arg-type]
        assert told(kept) == told(alone)


def test_another_question_has_an_answer_of_its_own(files: Path) -> None:
    """A server is asked for one patch with and without its state: the other's answer is another patch."""
    session = Session()
    for options in (*OPTIONS.values(), *OPTIONS.values()):
        judged = StubBuilder(files / "host", session=session).judge([files / "patch.o"], slide=4096, **options)  # type: ignore[arg-type]
        fresh = StubBuilder(files / "host").judge([files / "patch.o"], slide=4096, **options)  # type: ignore[arg-type]
        assert told(judged) == told(fresh)
        addresses = {decision.name: decision.runtime_address for decision in judged.decisions()}
        assert addresses["f"] == (0x7000001000 if options.get("overrides") else BASE + 0x140 + 4096)


def test_an_address_beyond_user_space_is_refused_as_ever(files: Path) -> None:
    """A slide that is wrong for one symbol alone is found for what is kept, too, with the same words."""
    session = Session()
    builder = StubBuilder(files / "host", session=session)
    builder.judge([files / "patch.o"], slide=0)
    with pytest.raises(AnchorRefusal, match="2\\^48"):
        builder.judge([files / "patch.o"], slide=(1 << 48) - 0x10000)


def test_what_is_unchanged_is_not_read_again(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process must not pay for the first one's parsing."""
    session = Session()
    first = StubBuilder(files / "host", session=session).judge([files / "patch.o"], slide=0)
    monkeypatch.setattr("stubgen.session.open_host", _refuse)
    monkeypatch.setattr("stubgen.session.open_objects", _refuse)
    monkeypatch.setattr("stubgen.session.resolve", _refuse)
    second = StubBuilder(files / "host", session=session).judge([files / "patch.o"], slide=4096)
    assert second.needed is first.needed


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("read again")


def test_one_changed_object_is_read_and_the_others_are_not(files: Path) -> None:
    """A patch of fifty objects of which one changes is the usual save."""
    put(files, "other.o", elf_object([undefined("main")]))
    age(files / "other.o")
    session, paths = Session(), [files / "patch.o", files / "other.o"]
    before = session.needed(paths)
    put(files, "other.o", elf_object([undefined("new")]))
    after = session.needed(paths)
    assert after.images[0] is before.images[0]
    assert [reference.name for reference in after.references][-1] == b"new"


def _replace(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(copy, path)


def _same_time(path: Path) -> None:
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=times)


CHANGES: dict[str, Callable[[Path], object]] = {
    "written anew": lambda path: path.write_bytes(path.read_bytes()),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "replaced by one of the same size and time": _replace,
    "another content under the same time": _same_time,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_is_noticed(files: Path, change: Callable[[Path], object]) -> None:
    """Build tools copy, touch and replace files in every way; stubs from the old host jump into nowhere."""
    session = Session()
    before = session.host(files / "host")
    assert session.host(files / "host") is before
    change(files / "host")
    assert session.host(files / "host") is not before


def test_what_was_just_written_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writes in one tick of the file system's clock bear one time: the second would go unnoticed."""
    session, path = Session(), tmp_path / "host"
    put(tmp_path, "host", elf_host(HOST))
    later = 0
    monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=lambda: path.stat().st_ctime_ns + later))
    assert session.host(path) is not session.host(path)
    later = COARSE_TICK + 1
    assert session.host(path) is session.host(path)
    coarse = time.time_ns() // 1_000_000_000 * 1_000_000_000
    stamped = Identity.of(path.stat())._replace(modified=coarse, changed=coarse)
    assert not is_settled(stamped, coarse + 1_900_000_000)
    assert is_settled(stamped, coarse + 2_100_000_000)


def test_hosts_are_bounded_and_so_is_what_hangs_on_them(files: Path) -> None:
    """A server that runs for weeks sees hundreds of hosts; the longest unused one goes, with its verdicts."""
    session = Session(hosts=2)
    for name in "abc":
        (files / name).write_bytes((files / "host").read_bytes())
        age(files / name)
    time.sleep(0.1)
    for name in "abac":
        StubBuilder(files / name, session=session).judge([files / "patch.o"], slide=0)
    assert len(session._hosts) == 2
    a, c = session.host(files / "a"), session.host(files / "c")
    assert (a, c) == (session.host(files / "a"), session.host(files / "c"))
    assert {known.host.path for known in session._resolutions} == {str(files / "a"), str(files / "c")}


def test_nothing_is_left_of_a_question_that_is_answered(files: Path) -> None:
    """A lock for every path that was ever asked for would grow for weeks."""
    session = Session()
    for _ in range(2):
        StubBuilder(files / "host", session=session).judge([files / "patch.o"], slide=0)
    with pytest.raises(UnreadableInput):
        session.host(files / "nothing")
    assert [len(cache._in_flight) for cache in (session._hosts, session._objects, session._needed)] == [0, 0, 0]


def test_objects_are_bounded_by_their_size(files: Path) -> None:
    """Archives of a hundred megabytes are not kept by the dozen."""
    size = (files / "patch.o").stat().st_size
    session = Session(object_bytes=3 * size)
    for number in range(10):
        (files / f"{number}.o").write_bytes((files / "patch.o").read_bytes())
    time.sleep(0.1)
    for number in range(10):
        session.needed([files / f"{number}.o"])
    assert len(session._objects) == 3
    assert len(session._needed) == 3


def test_a_thin_archives_members_are_looked_at_each_time(files: Path) -> None:
    """A thin archive stays as it is when its members are compiled anew."""
    name = b"patch.o/\n"
    header = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n"
    content = b"!<thin>\n" + header % (b"//", 0, 0, 0, 0, len(name)) + name + b"\n" * (len(name) % 2)
    content += header % (b"/0", 0, 0, 0, 0o644, (files / "patch.o").stat().st_size)
    put(files, "thin.a", content)
    age(files / "thin.a")
    time.sleep(0.1)
    session = Session()
    before = session.needed([files / "thin.a"], whole_archive=True)
    put(files, "patch.o", elf_object([undefined("new")]))
    after = session.needed([files / "thin.a"], whole_archive=True)
    assert len(before.references) > 1
    assert [reference.name for reference in after.references] == [b"new"]


def test_a_host_without_the_cache_is_another_one(files: Path) -> None:
    """``--no-cache`` in a server searches the host itself, though another request had its index opened."""
    session = Session()
    indexed = session.host(files / "host")
    assert session.host(files / "host", cache=False) is not indexed
    assert session.host(files / "host") is indexed
    assert session.facts(cache=False) is not session.facts()
    assert session.facts() is session.facts()


def test_a_build_id_is_checked_each_time(files: Path) -> None:
    """A kept host is no proof that this request's process runs it."""
    session = Session()
    session.host(files / "host")
    with pytest.raises(BuildIdRefusal):
        session.host(files / "host", build_id="00")


def test_many_threads_open_a_host_once(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten requests at the start of a day would parse the same gigabyte ten times."""
    from stubgen import session as module

    opened, real = [], module.open_host
    time.sleep(0.1)

    def slow(*arguments: object, **options: object) -> object:
        opened.append(1)
        time.sleep(0.1)
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "open_host", slow)
    session = Session()
    threads = [threading.Thread(target=session.host, args=[files / "host"]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_a_file_that_changes_while_it_is_copied_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the old host and half of the new one is no host, and may parse."""
    path, real, asked = files / "host", os.fstat, []

    def fstat(number: int) -> os.stat_result:
        asked.append(number)
        if len(asked) > 1:
            path.write_bytes(b"other")
        return real(number)

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(UnreadableInput, match="changes while it is read"):
        read_input(path, copied=True)


def test_a_cancelled_build_stops_and_writes_nothing(files: Path) -> None:
    """What nobody wants any more must not appear after what was wanted instead."""
    with Cancellation() as cancellation:
        checkpoint()
        cancellation.cancel()
        with pytest.raises(Cancelled):
            StubBuilder(files / "host").judge([files / "patch.o"], slide=0)
    StubBuilder(files / "host").judge([files / "patch.o"], slide=0)


def test_another_process_is_near_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process of a thousand symbols must not cost what a host of a hundred thousand does."""
    write_files(tmp_path)
    count = 100_000
    symbols = [Sym("main", BASE + 0x100), *(Sym(f"function_{n}", BASE + 0x200 + n % 4096 * 4) for n in range(count))]
    put(tmp_path, "host", elf_host(symbols))
    put(tmp_path, "patch.o", elf_object([undefined(f"function_{n * 97}") for n in range(1000)]))
    for name in ("host", "patch.o"):
        age(tmp_path / name)
    time.sleep(0.1)
    made = Counter[str]()

    def counted(name: str) -> Callable[..., object]:
        real = getattr(module, name)

        def call(*given: object, **named: object) -> object:
            made[name] += 1
            return real(*given, **named)

        return call

    for name in ("open_host", "open_objects", "read_needed", "resolve"):
        monkeypatch.setattr(module, name, counted(name))
    session = Session()

    def build(process: int) -> None:
        builder = StubBuilder(tmp_path / "host", session=session)
        built = builder.build([tmp_path / "patch.o"], REFERENCE + process * 0x123000)
        assert len(built.stub.names) == 1000

    first, *others = [count_calls(partial(build, process)) for process in range(4)]
    assert made == {"open_host": 1, "open_objects": 1, "read_needed": 1, "resolve": 1}
    assert max(others) < first / 3


SURVIVORS = {
    "a kept host": "host = Session().host(path); take = lambda: (host.find([b'f']), host.image.read_at(65856, 4, ''))",
    "an input of the server": "stop_mapping(); data = read_input(path); take = lambda: bytes(data)",
}


@pytest.mark.parametrize("program", SURVIVORS.values(), ids=list(SURVIVORS))
def test_a_file_truncated_under_a_request_kills_nobody(files: Path, program: str) -> None:
    """Linkers truncate their output in place: a mapped file would end a process of many requests with SIGBUS."""
    lines = [
        "import os, sys",
        "from stubgen.common.files import read_input, stop_mapping",
        "from stubgen.session import Session",
        "path = sys.argv[1]",
        program,
        "os.truncate(path, 0)",
        "take()",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(files / "host")]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parent.parent).returncode == 0


def test_keeping_many_files_takes_time_as_they_are_many(tmp_path: Path) -> None:
    """A link of thousands of objects added up the sizes of all that were kept, with each one more."""
    work = []
    for number in (100, 300):
        paths = [tmp_path / f"{number}-{n}" for n in range(number)]
        for path in paths:
            path.write_bytes(b"x")
        time.sleep(0.1)  # what was written within the clock's last tick is not kept
        cache: FileCache[object] = FileCache(number, most_bytes=number)

        def keep(cache: FileCache[object] = cache, paths: Sequence[Path] = paths) -> None:
            for path in paths:
                cache.get(path, [path], lambda: (object(), True))

        work.append(count_calls(keep))
        assert len(cache) == number
        paths[0].write_bytes(b"y" * 11)
        time.sleep(0.1)
        cache.get(paths[0], [paths[0]], lambda: (object(), True))
        assert len(cache) == number - 10
    assert work[1] < 1.2 * 3 * work[0]
