"""What a session refuses: another process, a rebuilt host, files that have changed, a session file that is broken."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest
from generations.program import Program, compiled, started
from live.live import LiveHost, stubgen
from live.test_elf import LINKERS
from tools import need, run

from stubgen.common.placeholders import expand
from stubgen.errors import MalformedInput, UsageError
from stubgen.generations.state import encode_session, read_session


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, int, int]:
    """A program of which one patch was linked and loaded: also its anchor, and the patch's."""
    program = started(tmp_path_factory.mktemp("patched"), next(iter(LINKERS)))
    with LiveHost(program.host) as live:
        assert program.link(live, program.object("a", P=1), "--pid", "77")["status"] == 0
        place = program.apply(live, 1)
        live.end()
        return program, live.anchor, place


@pytest.fixture
def again(patched: tuple[Program, int, int], tmp_path: Path) -> Again:
    """The next link of that session, in a copy of its file."""
    program, anchor, place = patched
    session = tmp_path / "session.json"
    session.write_bytes(program.session.read_bytes())
    return Again(program, anchor, place, session)


class Again:
    """The next link of a session."""

    def __init__(self, program: Program, anchor: int, place: int, session: Path) -> None:
        self.program, self.anchor, self.place, self.session = program, anchor, place, session

    def link(self, *words: object, anchor: int | None = None, host: Path | None = None) -> dict[str, object]:
        """The document of one more link; nothing but the session file is written where it is refused."""
        done = stubgen(
            *("link", "--json", "--host", host or self.program.host, "--captured", self.program.captured),
            *("--session", self.session, "--aslr-reference", hex(anchor or self.anchor), "--output-name", "host"),
            *("-o", self.session.parent / "patch-{generation}.so", self.program.folder / "b.o", *words),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def refused(self, *words: object, anchor: int | None = None, host: Path | None = None) -> str:
        """What is said of a link that must be refused, and that leaves everything as it was."""
        before = self.session.read_bytes()
        files = sorted(os.listdir(self.session.parent))
        document = self.link(*words, anchor=anchor, host=host)
        assert document["status"] in (1, 2, 3), document
        assert self.session.read_bytes() == before
        assert sorted(os.listdir(self.session.parent)) == files
        message = str(document["error"]["message"])  # type: ignore[index]
        assert "\n" not in message
        return message

    def loaded(self) -> list[str]:
        """The option that says where the first patch is."""
        return ["--loaded", hex(self.place)]


def test_nobody_said_what_became_of_the_last_patch(again: Again) -> None:
    """Functions of a patch that may be anywhere cannot be called, and a table without them forgets them."""
    message = again.refused()
    assert "--loaded" in message
    assert "--relink-earlier" in message


def test_a_patch_that_the_process_refused(again: Again) -> None:
    """It is no host of the next one; its number and its path are not used again."""
    assert stubgen("session", again.session, "not-loaded").returncode == 0
    document = again.link()
    assert (document["status"], document["generation"]) == (0, 2)
    assert "not loaded" in stubgen("session", again.session).stdout
    assert stubgen("session", again.session, "loaded", "1", hex(again.place)).returncode == 0
    assert "was said to be loaded" in stubgen("session", again.session, "not-loaded", "1").stderr


def test_another_process(again: Again) -> None:
    """A process that was started again has none of the patches, at whichever address it is."""
    assert "--new-session" in again.refused(*again.loaded(), anchor=again.anchor + 0x10000)
    assert "process 77, not of 78" in again.refused(*again.loaded(), "--pid", "78")
    document = again.link("--new-session", "--pid", "78", anchor=again.anchor + 0x10000)
    assert (document["status"], document["generation"]) == (0, 1)


def test_a_first_patch_that_nobody_has_does_not_hold_the_session(again: Again) -> None:
    """A wrong anchor began a session, the process refused its patch, and the right anchor was refused for ever."""
    document = again.link(anchor=again.anchor + 0x10000)
    assert (document["status"], document["generation"]) == (0, 1)
    assert "--new-session" in again.refused(anchor=again.anchor + 0x10000)
    assert stubgen("session", again.session, "not-loaded").returncode == 0
    assert again.link("--pid", "78")["generation"] == 1
    assert again.link("--pid", "79")["generation"] == 1
    assert "--new-session" in again.refused("--pid", "79")


def test_an_anchor_that_the_process_has_elsewhere(again: Again) -> None:
    """Off by whole pages, it gives a good slide, and each call of the patch lands pages beside its function."""
    with LiveHost(again.program.host) as live:
        words = ["--new-session", "--pid", live.pid]
        for wrong in (live.anchor + 0x10000, live.anchor - 0x1000):
            message = again.refused(*words, anchor=wrong)
            assert f"process {live.pid} has main at {live.anchor:#x}, not at {wrong:#x}" in message
        assert again.link(*words, anchor=live.anchor)["status"] == 0
        live.end()
    assert again.link("--new-session", "--pid", 1 << 30, anchor=live.anchor + 0x10000)["status"] == 0


def test_a_host_that_was_rebuilt(again: Again, tmp_path: Path) -> None:
    """Its functions lie elsewhere: the patch calls whatever is there now."""
    objects = [again.program.folder / f"{name}.o" for name in ("table_runtime", "b")]
    changed = compiled(tmp_path, "a", "long more(void) { return 5; }", P=0)
    host = tmp_path / "host"
    gcc = str(need("aarch64-linux-gnu-gcc"))
    run([gcc, "-pie", "-Wl,--export-dynamic-symbol=main", *objects, changed, "-o", host])
    anchor = again.anchor - main_of(again.program.host) + main_of(host)
    assert "rebuilt" in again.refused(*again.loaded(), anchor=anchor, host=host)


def main_of(program: Path) -> int:
    """The static address of ``main``."""
    lines = run([need("llvm-nm-19"), program]).splitlines()
    return next(int(line.split()[0], 16) for line in lines if line.endswith(" T main"))


@pytest.mark.parametrize("said", ["now", "before"])
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_an_earlier_patch_whose_file_is_another(again: Again, change: str, said: str, tmp_path: Path) -> None:
    """Addresses of another patch than the one that is loaded lead anywhere."""
    copy = tmp_path / "copy.so"
    if said == "before":
        assert stubgen("session", again.session, "loaded", hex(again.place)).returncode == 0
    known = read_session(str(again.session))
    (first,) = known.generations
    if change == "changed":
        copy.write_bytes(Path(first.patch).read_bytes() + b"\0")
    again.session.write_bytes(encode_session(known._replace(generations=(first._replace(patch=str(copy)),))))
    message = again.refused(*(again.loaded() if said == "now" else ()))
    assert "generation 1" in message
    assert ("has changed" if change == "changed" else "is gone") in message


def test_from_addresses_to_objects(again: Again) -> None:
    """A runtime that stops to say where it loads patches: all objects so far are linked again, not the last ones."""
    assert again.link(*again.loaded())["relinked"] == []
    assert again.link("--relink-earlier")["relinked"] == [str(again.program.folder / "a.o")]


def test_an_object_that_has_changed_since(again: Again) -> None:
    """Its edit was never compiled into a patch that anybody chose to load."""
    path = again.program.folder / "a.o"
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"\0")
        assert "give the new one among the objects" in again.refused("--relink-earlier")
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (lambda again: again.place + 8, "a whole number of pages"),
        (lambda again: again.anchor, "cannot be at"),
        (lambda again: 0x1000, "cannot be at"),
        (lambda again: 1 << 52, "cannot be at"),
    ],
)
def test_an_address_where_the_patch_cannot_be(again: Again, address: object, told: str) -> None:
    """The anchor of the host, or of another patch, is the usual slip; calls would go to the middle of something."""
    assert told in again.refused("--loaded", hex(address(again)))  # type: ignore[operator]


def test_what_the_session_knows_better(again: Again) -> None:
    """Two answers to one question: one of them is wrong."""
    patch = again.program.folder / "patch-1.so"
    assert "--previous" in again.refused(*again.loaded(), "--previous", f"{patch}@{again.place:#x}")
    done = stubgen("link", "--host", "h", "--captured", "c", "--loaded", "0x1000", "-o", "p.so", "x.o")
    assert done.returncode == 2
    assert "--session" in done.stderr


def test_two_links_at_a_time(again: Again) -> None:
    """Both would be generation 2, and the process would get two tables of which one forgets the other."""
    lock = again.session.with_name(f".{again.session.name}.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another command" in again.refused(*again.loaded())
    lock.unlink()
    assert again.link(*again.loaded())["status"] == 0
    assert not lock.exists()


BROKEN = {
    "nothing": b"",
    "no json": b"{",
    "a list": b"[]",
    "another schema": b'{"schema": 2}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=list(BROKEN))
def test_a_file_that_is_none(again: Again, content: bytes) -> None:
    """Half a session is none; and no traceback."""
    again.session.write_bytes(content)
    with pytest.raises(MalformedInput, match="--new-session"):
        read_session(str(again.session))


CHANGES = [
    ("session", "0" * 31),
    ("pid", -1),
    ("pid", True),
    ("relink_earlier", 1),
    ("functions", [["f", [1 << 64]]]),
    ("functions", []),
    ("anchor", {"name": "main", "static_address": 5, "runtime_address": 4}),
    ("extra", 1),
    ("generations", [{}]),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_a_file_with_something_wrong_in_it(again: Again, key: str, value: object) -> None:
    """What it says decides where calls go; a number out of its range is nobody's address."""
    document = json.loads(again.session.read_bytes())
    again.session.write_text(json.dumps({**document, key: value}))
    with pytest.raises(MalformedInput, match="no session file"):
        read_session(str(again.session))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generation", 2),
        ("state", "maybe"),
        ("slide", 5),
        ("digest", "x"),
        ("functions", [[99, 0, True]]),
        ("undo_to", 1),
        ("time", -1),
        ("patch", "a\0b"),
    ],
)
def test_a_generation_with_something_wrong_in_it(again: Again, key: str, value: object) -> None:
    """Likewise."""
    document = json.loads(again.session.read_bytes())
    document["generations"][0][key] = value
    again.session.write_text(json.dumps(document))
    with pytest.raises(MalformedInput, match="no session file"):
        read_session(str(again.session))


def test_a_file_that_anybody_may_write(again: Again) -> None:
    """Whoever writes it chooses where calls of the process go."""
    again.session.chmod(0o666)
    assert "anybody may write it" in again.refused()


def test_the_file_is_what_was_read(again: Again) -> None:
    """What is lost on the way is forgotten by the next table."""
    known = read_session(str(again.session))
    assert encode_session(known) == again.session.read_bytes()
    assert {function.name for function in known.functions} >= {"step", "price", "loop", "rate"}


def test_placeholders() -> None:
    """A name that means something else to somebody must not become a file called ``patch-{generaton}.so``."""
    assert expand("a{{b}}-{generation}.{digest}{", {"generation": "3", "digest": "ab"}) == "a{b}-3.ab{"
    for text, told in (
        ("{generaton}", "is no placeholder"),
        ("{generation}", "--session"),
        ("{}", "is no placeholder"),
    ):
        with pytest.raises(UsageError, match=told):
            expand(text, {"digest": "ab"})


def test_digests_in_names(again: Again) -> None:
    """Each content has a path of its own, whoever counts."""
    folder = again.session.parent
    done = stubgen(
        *("link", "--json", "--host", again.program.host, "--captured", again.program.captured),
        *("--aslr-reference", hex(again.anchor), "-o", folder / "p-{digest}.so", again.program.folder / "b.o"),
        *("--jump-table", folder / "t-{digest}.json", "--lib", "/data/p-{digest}.so", "--stub", folder / "{digest}.o"),
    )
    document = json.loads(done.stdout)
    assert document["status"] == 0, document
    patch = Path(document["output"])
    digest = run(["sha256sum", patch])[:12]
    assert patch.name == f"p-{digest}.so"
    assert json.loads((folder / f"t-{digest}.json").read_text())["lib"] == f"/data/p-{digest}.so"
    assert (folder / f"{digest}.o").exists()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["undo", "--to", "9", "-o", "u-{generation}.so", "--jump-table", "u.json"], 2, "generation 9"),
        (["undo", "--to", "1", "-o", "u-{generation}.so", "--jump-table", "u.json"], 2, "generation 1"),
        (["undo", "-o", "u.so"], 2, "--jump-table"),
        (["loaded"], 2, "takes [N] ADDR"),
        (["not-loaded", "1", "2"], 2, "takes [N]"),
        (["loaded", "7", "0x7f0000000000"], 2, "and no 7"),
        (["show", "-o", "x.so"], 2, "of undo"),
    ],
)
def test_what_cannot_be_asked(again: Again, words: list[str], status: int, told: str) -> None:
    """A slip of the keyboard is told, and changes nothing: the session is all that is known of the process."""
    assert stubgen("session", again.session, "loaded", hex(again.place)).returncode == 0
    before = again.session.read_bytes()
    place = [str(again.session.parent / word) if word.startswith("u") and "." in word else word for word in words]
    done = stubgen("session", again.session, *place)
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    assert again.session.read_bytes() == before
    assert os.listdir(again.session.parent) == [again.session.name]


def test_a_host_that_is_always_at_one_address(tmp_path: Path) -> None:
    """Its process that was started again has the anchor where it was, and none of the patches: the number tells."""
    program = started(tmp_path, next(iter(LINKERS)), "-no-pie")
    words = [
        *("link", "--host", program.host, "--captured", program.captured, "--session", program.session),
        *("--aslr-reference", hex(main_of(program.host)), "-o", tmp_path / "{generation}.so", tmp_path / "b.o"),
    ]
    done = stubgen(*words)
    assert done.returncode == 0, done.stderr
    assert "give --pid" in done.stderr
    table = tmp_path / "2.json"
    more = ["--new-session", "--pid", "77", "--jump-table", table, "--table-format", "devserver"]
    assert "give --pid" not in stubgen(*words, *more).stderr
    assert json.loads(table.read_text())["HotReload"]["for_pid"] == 77
