"""The index says where a name is faster than a search, never otherwise than one; and it is never in the way."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import BASE, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined
from tools import need, run

from stubgen import image
from stubgen.build import StubBuilder
from stubgen.cli import main
from stubgen.common import cache as cache_module
from stubgen.elf import constants as e
from stubgen.host import index, open_host
from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.macho import constants as m

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0
"""Seconds until an index that nobody made is a failure: what makes it gives way to all that runs beside this test."""


def host(*names: str) -> bytes:
    """A program that defines *names*, one instruction each."""
    return elf_host([Sym(name, BASE + 4 * number) for number, name in enumerate(names)])


def is_used(path: str) -> bool:
    """Whether a host's index was found when it was opened."""
    return open_host(path).image.index is not None


PARTS = st.sampled_from(["f", "g", "ff", "gf", "_ZN1fE"])
SUFFIXES = st.sampled_from(["", "", "", "@V1", "@@V2", ".llvm.1", ".llvm.22", ".llvm.x", "@", ".llvm.1@@V2"])
NAMES = st.builds(str.__add__, PARTS, SUFFIXES)


class Whole:
    """An index in memory, of what ``build_index`` would write."""

    def __init__(self, image: Image, folder: Path) -> None:
        digest = index._digest(image)
        path = folder / f"none-{digest.hex()}.index"
        path.write_bytes(index._index_content(image, digest))
        opened = index._opened(path, image)
        assert opened is not None
        self.index = opened


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(defined=st.lists(NAMES, min_size=1, max_size=12), wanted=st.lists(NAMES, min_size=1, max_size=6))
def test_an_index_finds_what_a_search_finds(tmp_path: Path, defined: list[str], wanted: list[str]) -> None:
    """A verdict must not depend on whether somebody has been here before: versions, suffixes and doubles included."""
    symbols = [
        Sym(name, BASE + 4 * number, bind=e.STB_LOCAL if number % 2 else e.STB_GLOBAL)
        for number, name in enumerate(defined)
    ]
    for content in (elf_host(symbols), macho_host({"_" + s.name: s.value for s in symbols})):
        names = [name.encode() for name in wanted] + [b"_" + name.encode() for name in wanted]
        searched, indexed = open_image(content, "host"), open_image(content, "host")
        indexed.index = Whole(indexed, tmp_path).index
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image, "INDEX_PAYS", 0)
            assert indexed.find(names) == searched.find(names)


def test_the_first_command_makes_it_and_the_second_uses_it(cache: Path, tmp_path: Path) -> None:
    """From the user's end: nothing to set up, and nothing to wait for."""
    names = [f"function_{number}" for number in range(25_000)]
    program = put(tmp_path, "host", host(*names))
    patch = put(tmp_path, "patch.o", elf_object([undefined("function_7"), undefined("function_4999")]))
    environment = {**os.environ, cache_module.FOLDER_VARIABLE: str(cache.parent)}
    command = [sys.executable, "-m", "stubgen", "build", "--host", program, "--slide", "0x1000"]
    run([*command, "-o", tmp_path / "first.o", patch], cwd=ROOT, env=environment)
    deadline = time.monotonic() + PATIENCE
    while not list(cache.glob("*.host")) and time.monotonic() < deadline:  # the process in the background
        time.sleep(0.05)
    assert len(list(cache.glob("*.index"))) == 1
    assert is_used(program)
    run([*command, "-o", tmp_path / "second.o", patch], cwd=ROOT, env=environment)
    assert (tmp_path / "first.o").read_bytes() == (tmp_path / "second.o").read_bytes()


def test_the_background_runs_nothing_from_the_working_directory(cache: Path, tmp_path: Path) -> None:
    """A command must not run what lies in the folder that it was called in, not even after it has answered."""
    program = put(tmp_path, "host", host(*(f"function_{number}" for number in range(25_000))))
    patch = put(tmp_path, "patch.o", elf_object([undefined("function_7")]))
    trap = tmp_path / "folder"
    (trap / "stubgen/host").mkdir(parents=True)
    for name in ("stubgen/__init__.py", "stubgen/host/__init__.py", "stubgen/host/index.py", "mmap.py", "tempfile.py"):
        (trap / name).write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    environment = {**os.environ, cache_module.FOLDER_VARIABLE: str(cache.parent), "PYTHONPATH": str(ROOT)}
    call = f"import sys; sys.argv[0] = 'stubgen'; sys.path.insert(0, {str(ROOT)!r}); import stubgen.cli as c; c.run()"
    options = ["build", "--host", program, "--slide", "0x1000", "-o", str(tmp_path / "stub.o"), patch]
    run([sys.executable, "-P", "-c", call, *options], cwd=trap, env=environment)
    deadline = time.monotonic() + PATIENCE
    while not list(cache.glob("*.host")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(cache.glob("*.host"))
    assert not (tmp_path / "sprung").exists()


def test_a_record_of_another_build_is_not_believed(cache: Path, tmp_path: Path) -> None:
    """On images with clamped times two builds of one size may share device, inode and times; their ids differ."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    source = tmp_path / "host.c"
    source.write_text("int visible(void) { return 1; }\n")
    library = tmp_path / "host.so"
    run([compiler, "-shared", "-fPIC", "-Wl,--build-id", source, "-o", library])
    index.build_index(library)
    assert is_used(str(library))
    (record,) = cache.glob("*.host")
    (made,) = cache.glob("*.index")
    other = made.with_name("0" * 40 + made.name[40:])
    made.rename(other)
    record.write_text(record.read_text().replace(made.name, other.name))
    assert not is_used(str(library))


def test_small_hosts_have_none(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of a few thousand names takes no longer than to open an index; the cache is for the others."""
    monkeypatch.setattr(index, "SMALLEST", 20_000)
    program = put(tmp_path, "host", host("main"))
    assert index.build_index(program) is None
    assert not is_used(program)
    assert not index._missing
    assert not cache.exists()


@pytest.mark.parametrize("how", ["replaced", "in place", "in place, same size, times set back"])
def test_a_changed_host_is_not_taken_for_the_old_one(cache: Path, tmp_path: Path, how: str) -> None:
    """The index of an older build would send the patch's calls into the middle of other functions."""
    program = put(tmp_path, "host", host("main", "first"))
    index.build_index(program)
    assert is_used(program)
    before = os.stat(program)
    changed = host("main", "extra", "second") if how != "in place, same size, times set back" else host("main", "other")
    if how == "replaced":
        os.replace(put(tmp_path, "new", changed), program)
    else:
        Path(program).write_bytes(changed)
        os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    opened = open_host(program).image
    assert opened.index is None
    assert opened.find([b"first"]) == {}
    index.build_index(program)
    assert is_used(program)
    assert len(list(cache.glob("*.index"))) == 2


def test_a_host_that_changes_while_it_is_read_is_not_vouched_for(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A linker may still be writing: what was read must not be recorded as what the file is."""
    program = put(tmp_path, "host", host("main", "first"))
    content = index._index_content

    def meanwhile(image: Image, digest: bytes) -> bytes:
        os.replace(put(tmp_path, "new", host("main", "second")), program)
        return content(image, digest)

    monkeypatch.setattr(index, "_index_content", meanwhile)
    index.build_index(program)
    assert not is_used(program)
    assert not list(cache.glob("*.host"))


def test_a_fresh_file_is_vouched_for_only_when_its_clock_has_moved(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes within one tick of the file system's clock have the same times."""
    monkeypatch.setattr(index, "SETTLED", 0.4)
    program = put(tmp_path, "host", host("main"))
    index.build_index(program)
    assert time.time() - os.stat(program).st_ctime >= 0.4


def test_a_stripped_copy_is_another_host(cache: Path, tmp_path: Path) -> None:
    """Strip keeps the build id: by that alone the stripped file would be searched at the full one's places."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    source = tmp_path / "host.c"
    source.write_text(
        "int visible(void) { return 1; }\nstatic int hidden(void) { return 2; }\nint (*p)(void) = hidden;\n"
    )
    full, bare = tmp_path / "full.so", tmp_path / "bare.so"
    run([compiler, "-shared", "-fPIC", "-Wl,--build-id", source, "-o", full])
    run([str(need("llvm-strip-19")), "-x", full, "-o", bare])
    assert open_host(full).image.build_id == open_host(bare).image.build_id
    for path in (full, bare):
        index.build_index(path)
        assert is_used(str(path))
    assert set(open_host(full).image.find([b"hidden", b"visible"])) == {b"hidden", b"visible"}
    assert set(open_host(bare).image.find([b"hidden", b"visible"])) == {b"visible"}


def test_a_copy_shares_the_index(cache: Path, tmp_path: Path) -> None:
    """Deploying the host somewhere else costs one reading of it, not another index."""
    content = host("main", "first")
    index.build_index(put(tmp_path, "host", content))
    copy = put(tmp_path, "copy", content)
    assert not is_used(copy)
    index.build_index(copy)
    assert is_used(copy)
    assert len(list(cache.glob("*.index"))) == 1


def spoilt(content: bytes) -> dict[str, bytes]:
    """An index, broken in every way that a disk or a person might."""
    head = index.HEADER.size
    return {
        "empty": b"",
        "one byte": content[:1],
        "cut in the header": content[: head - 1],
        "cut in the tables": content[: head + 3],
        "cut in the entries": content[:-8],
        "longer": content + bytes(8),
        "zeros": bytes(len(content)),
        "another version": content[:8] + struct.pack("=I", 99) + content[12:],
        "another magic": b"x" + content[1:],
        "more tables": content[:12] + struct.pack("=I", 1 << 30) + content[16:],
        "more symbols": content[:head] + struct.pack("=Q", 1 << 40) + content[head + 8 :],
        "more entries": content[: head + 8] + struct.pack("=Q", 1 << 60) + content[head + 16 :],
        "entries are zeros": content[: head + index.TABLE.size] + bytes(len(content) - head - index.TABLE.size),
        "entries lead beyond the table": content[: head + index.TABLE.size]
        + b"".join(
            struct.pack("=Q", word | 0xFFFFFFFF)
            for (word,) in struct.iter_unpack("=Q", content[head + index.TABLE.size :])
        ),
    }


def built(program: str) -> Path:
    """The index of *program*, made now."""
    path = index.build_index(program)
    assert path is not None
    return Path(path)


@pytest.mark.parametrize("damage", list(spoilt(bytes(64))))
def test_a_broken_index_is_as_good_as_none(cache: Path, tmp_path: Path, damage: str) -> None:
    """Whatever became of the cache, the answer is the one without it, and never an error."""
    program = put(tmp_path, "host", host("main", "first", "second"))
    path = built(program)
    path.write_bytes(spoilt(path.read_bytes())[damage])
    image = open_host(program).image
    assert image.index is None
    assert {name: found[0].address for name, found in image.find([b"main", b"second", b"third"]).items()} == {
        b"main": BASE,
        b"second": BASE + 8,
    }


def test_a_broken_index_heals(cache: Path, tmp_path: Path) -> None:
    """A disk that was full once must not make every later command search the host."""
    program = put(tmp_path, "host", host("main", "first"))
    path = built(program)
    path.write_bytes(path.read_bytes()[:-3])
    assert not is_used(program)
    index.build_index(program)
    assert is_used(program)


@pytest.mark.parametrize("way", ["a bit of the wanted block", "cut while it is open"])
def test_a_block_that_is_damaged_is_told_when_it_is_read(cache: Path, tmp_path: Path, way: str) -> None:
    """One flipped bit hid a function from the search, or one of two of a name: the patch then called the other."""
    names = [f"function_{number}" for number in range(1_000)]
    program = put(tmp_path, "host", host(*names, "function_7"))
    path = built(program)
    content = bytearray(path.read_bytes())
    wanted = [name.encode() for name in names[:60]]
    if way == "a bit of the wanted block":
        column = len(content) - index.ENTRY * (len(names) + 1)
        keys = [word >> 32 for (word,) in struct.iter_unpack("=Q", content[column:])]
        content[column + index.ENTRY * keys.index(index._key(b"function_7")) + 7] ^= 1
        path.write_bytes(content)
        opened = open_host(program)
        assert opened.image.index is not None
    else:
        opened = open_host(program)
        path.write_bytes(content[:-9_000])
    assert not index._missing
    searched = open_host(program, cache=False)
    assert opened.find(wanted) == searched.find(wanted)
    assert len(opened.find([b"function_7"])[b"function_7"]) == 2
    assert opened.image.index is None
    assert index._missing == {program: ""}
    index.build_index(program)
    assert path.read_bytes() != content or way == "cut while it is open"
    healed = open_host(program)
    assert healed.find(wanted) == searched.find(wanted)
    assert healed.image.index is not None


def test_a_name_whose_symbols_go_on_in_the_next_block_has_them_all(cache: Path, tmp_path: Path) -> None:
    """A static function that two hundred files have was called as if there were one of it."""
    names = ["a", *["many"] * 200, *(f"f{number}" for number in range(50)), *["many"] * 100]
    program = put(tmp_path, "host", host(*names))
    built(program)
    opened = open_host(program)
    assert len(opened.find([b"many"])[b"many"]) == 300
    assert opened.image.index is not None


@pytest.mark.parametrize("record", [b"", b"\0\xff", b"1", b"1 2 3 4 5 6 ../../etc/passwd\n", b"x" * 10_000])
def test_a_broken_record_is_as_good_as_none(cache: Path, tmp_path: Path, record: bytes) -> None:
    """The same for the small file that leads to the index."""
    program = put(tmp_path, "host", host("main"))
    index.build_index(program)
    (path,) = cache.glob("*.host")
    path.write_bytes(record)
    assert not is_used(program)


def test_a_record_leads_nowhere_outside_the_folder(cache: Path, tmp_path: Path) -> None:
    """A path in a record is a name in the cache folder, wherever it points."""
    program = put(tmp_path, "host", host("main"))
    target = built(program)
    outside = tmp_path / "outside.index"
    target.rename(outside)
    (path,) = cache.glob("*.host")
    words = path.read_text().split()
    path.write_text(" ".join([*words[:-1], str(outside)]))
    assert not is_used(program)


@pytest.mark.parametrize("place", ["a file", "no permission", "nowhere"])
def test_without_a_place_there_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sandbox without a home folder builds patches like any other."""
    if place == "a file":
        cache.parent.rmdir()
        cache.parent.write_text("")
    elif place == "no permission":
        monkeypatch.setenv(cache_module.FOLDER_VARIABLE, "/proc/cache")  # where nobody can make a folder
    else:
        monkeypatch.setenv(cache_module.FOLDER_VARIABLE, "")
    program = put(tmp_path, "host", host("main", "first"))
    patch = put(tmp_path, "patch.o", elf_object([undefined("first")]))
    assert main(["build", "--host", program, "--slide", "0", "-o", str(tmp_path / "stub.o"), patch]) == 0
    assert main(["cache", "--build", program]) == 2
    complaint = capsys.readouterr().err
    assert "cannot be written" in complaint or "there is no cache folder" in complaint
    assert "Traceback" not in complaint


def test_the_platforms_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative XDG_CACHE_HOME is ignored, as its specification asks; so is a home that is none."""
    monkeypatch.delenv(cache_module.FOLDER_VARIABLE)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/user")
    for variable, expected in (
        ("", "/home/user/.cache"),
        ("relative", "/home/user/.cache"),
        ("/var/cache/user", "/var/cache/user"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", variable)
        assert cache_module.cache_folder() == str(Path(expected, "hotpatch-stubgen"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_module.cache_folder() == "/home/user/Library/Caches/hotpatch-stubgen"


def test_no_cache_neither_reads_nor_makes_one(cache: Path, tmp_path: Path) -> None:
    """``--no-cache`` is what a build farm asks for; no process may be left behind then."""
    program = put(tmp_path, "host", host("main", "first"))
    patch = put(tmp_path, "patch.o", elf_object([undefined("first")]))
    assert main(["build", "--no-cache", "--host", program, "--slide", "0", "-o", str(tmp_path / "stub.o"), patch]) == 0
    assert not index._missing
    assert StubBuilder(program, cache=False).host.image.index is None
    assert not cache.exists()


def test_the_cache_is_bounded(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every build of a large program leaves an index; without a bound they would fill the disk."""
    programs = [put(tmp_path, f"host{number}", host("main", f"only_in_{number}")) for number in range(4)]
    first = built(programs[0])
    assert first is not None
    monkeypatch.setattr(index, "LIMIT", 3 * first.stat().st_size)
    for program in programs[1:3]:
        index.build_index(program)
    os.utime(first, (1, 1))
    assert is_used(programs[0])  # which makes it the most recently used
    index.build_index(programs[3])
    assert [is_used(program) for program in programs] == [True, False, True, True]
    assert len(list(cache.glob("*.index"))) == len(list(cache.glob("*.host"))) == 3


def test_what_killed_writers_left_goes(cache: Path, tmp_path: Path) -> None:
    """A writer that was killed leaves its temporary file; another one's that still writes must stay."""
    cache.mkdir()
    old, fresh = (cache / f".none-{digit * 40}.index.{digit * 8}" for digit in "ab")
    old.write_text("")
    fresh.write_text("")
    os.utime(old, (1, 1))
    index.build_index(put(tmp_path, "host", host("main")))
    assert not old.exists()
    assert fresh.exists()


def test_a_folder_that_is_cleared_while_an_index_is_written(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cache --clear`` removes what another process has half written; that one writes it again."""
    program, replace, cleared = put(tmp_path, "host", host("main", "first")), os.replace, list[str]()

    def clear_before(old: str, new: str) -> None:
        if new not in cleared:
            cleared.append(new)
            index.clear(cache)
        replace(old, new)

    monkeypatch.setattr(index, "SMALLEST", 0)
    monkeypatch.setattr(os, "replace", clear_before)
    built(program)
    assert len(cleared) == 2  # the index, and the record that leads to it
    monkeypatch.setattr(os, "replace", replace)
    index.build_index(program)
    assert is_used(program)


def test_a_folder_that_stays_away(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried for ever."""

    def vanish(old: str, new: str) -> None:
        raise FileNotFoundError(2, "No such file or directory", old)

    monkeypatch.setattr(os, "replace", vanish)
    with pytest.raises(FileNotFoundError):
        cache_module.write_private(cache / "some", b"content")
    assert not list(cache.iterdir())


def test_an_index_that_is_cleared_before_anybody_looks(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``cache --build`` says what became of it, and does not fail."""
    monkeypatch.setattr(index, "SMALLEST", 0)
    monkeypatch.setattr(index, "prune", lambda folder, keep: index.clear(folder))
    assert main(["cache", "--build", put(tmp_path, "host", host("main"))]) == 0
    assert "another command has cleared" in capsys.readouterr().out


def test_several_processes_at_once(cache: Path, tmp_path: Path) -> None:
    """A parallel build starts many patches together; each must get a whole index or none."""
    names = [f"function_{number}" for number in range(25_000)]
    program = put(tmp_path, "host", host(*names))
    environment = {**os.environ, cache_module.FOLDER_VARIABLE: str(cache.parent)}
    commands: Sequence[Sequence[str]] = (
        [sys.executable, "-m", "stubgen", "cache", "--build", program],
        [sys.executable, "-m", "stubgen.host.index", program, ""],
        [sys.executable, "-m", "stubgen", "cache", "--clear"],
        [sys.executable, "-m", "stubgen", "cache", "--build", program],
        [sys.executable, "-m", "stubgen", "cache", "--json"],
    )
    running = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) for command in commands]
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(commands)
    json.loads(outputs[-1])
    image = open_host(program).image
    assert image.find([b"function_24999"])[b"function_24999"][0].address == BASE + 4 * 24_999
    index.build_index(program)
    assert is_used(program)


def test_the_command_shows_fills_and_clears(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is on somebody's disk must be theirs to see and to remove."""
    program = put(tmp_path, "host", host("main"))
    assert main(["cache"]) == 0
    assert "0 indexes" in capsys.readouterr().out
    assert main(["cache", "--build", program]) == 0
    assert "indexed" in capsys.readouterr().out
    assert main(["cache", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert [entry["name"] for entry in document["indexes"]] == [path.name for path in cache.glob("*.index")]
    assert main(["cache", "--clear"]) == 0
    assert "removed 1 index" in capsys.readouterr().out
    assert not list(cache.iterdir())
    assert main(["cache", "--build", str(tmp_path / "nothing")]) == 3
    assert "no such file" in capsys.readouterr().err


def foreign(folder: Path) -> list[Path]:
    """Files of other programs in *folder*, old ones, some of which are called much as the tool's own."""
    names = [".env", "Cargo.lock", "my.host", "search.index", "1-2.host", "1-2.lock", f"none-{'0' * 40}.index"]
    for name in names:
        (folder / name).write_text("mine")
        os.utime(folder / name, (1, 1))
    return sorted(folder.iterdir())


def test_files_of_others_stay_whatever_folder_is_named(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``STUBGEN_CACHE_DIR=.`` or ``~/.cache`` cost people their files, in the background and without a word."""
    project = tmp_path / "project"
    project.mkdir()
    others = foreign(project)
    monkeypatch.setenv(cache_module.FOLDER_VARIABLE, str(project))
    monkeypatch.setattr(index, "LIMIT", 0)
    program = put(tmp_path, "host", host("main", "first"))
    assert built(program).parent == project / cache_module.OWN_FOLDER
    assert main(["cache", "--clear"]) == 0
    assert "removed 1 index" in capsys.readouterr().out
    assert sorted(path for path in project.iterdir() if path.is_file()) == others
    assert not cache.exists()


@pytest.mark.parametrize("what", ["another user's", "others may write", "a symbolic link"])
def test_a_folder_that_is_not_ones_own_is_not_used(
    cache: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may write to the folder decides where the patch's calls land.

    An index that lacks one of two local functions of a name made the other the only one.
    """
    program = put(tmp_path, "host", host("main", "first"))
    patch = put(tmp_path, "patch.o", elf_object([undefined("first")]))
    index.build_index(program)
    assert is_used(program)
    if what == "another user's":
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    elif what == "others may write":
        cache.chmod(0o777)
    else:
        cache.rename(tmp_path / "elsewhere")
        cache.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(cache_module, "_refused", {})
    assert not is_used(program)
    monkeypatch.setattr(cache_module, "_refused", {})
    command = ["build", "--host", program, "--slide", "0", "-o", str(tmp_path / "stub.o"), patch]
    assert main(command) == main(command) == 0
    assert capsys.readouterr().err.count("nothing is kept between commands") == 1
    assert main(["cache", "--build", program]) == main(["cache", "--clear"]) == 2
    assert len(list(cache.glob("*.index"))) == 1


@pytest.mark.parametrize("kind", ["fifo", "symbolic link", "sparse", "folder", "others may write"])
@pytest.mark.parametrize("which", ["*.index", "*.host"])
def test_what_is_no_file_of_ones_own_is_not_read(cache: Path, tmp_path: Path, kind: str, which: str) -> None:
    """A named pipe hung every later command, a file of 2 GiB without content filled the memory."""
    program = put(tmp_path, "host", host("main", "first"))
    index.build_index(program)
    (path,) = cache.glob(which)
    if kind == "sparse":
        os.truncate(path, 1 << 40)
    elif kind == "others may write":
        path.chmod(0o666)
    else:
        moved = path.rename(tmp_path / "moved")
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "symbolic link":
            path.symlink_to(moved)
        else:
            path.mkdir()
    assert not is_used(program)
    index.prune(cache)
    index.clear(cache)
    assert path.exists() == (kind in ("fifo", "symbolic link", "folder"))


def test_an_index_is_believed_about_its_own_tables_alone(cache: Path, tmp_path: Path) -> None:
    """Two hosts of one size and one name fewer: under the other's name the index would hide one of two functions."""
    programs = [put(tmp_path, f"host{number}", host("main", "first", name)) for number, name in enumerate(("f", "g"))]
    one, other = map(built, programs)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    assert not is_used(programs[0])
    digest = content[HEADER_DIGEST]
    one.write_bytes(other.read_bytes()[: HEADER_DIGEST.start] + digest + other.read_bytes()[HEADER_DIGEST.stop :])
    assert not is_used(programs[0])
    one.write_bytes(content)
    assert is_used(programs[0])


HEADER_DIGEST = slice(16, 16 + index.DIGEST)


def test_a_sample_sees_every_part_of_a_large_table(tmp_path: Path) -> None:
    """A rebuilt host that keeps its size and times has other addresses, nearly everywhere."""
    names = [f"function_{number:05}" for number in range(30_000)]
    first, second = (
        open_image(elf_host([Sym(name, BASE + 4 * n + shift) for n, name in enumerate(names)]), "host")
        for shift in (0, 4)
    )
    assert index._sample(first.symbol_tables[0]) != index._sample(second.symbol_tables[0])


def test_a_lock_that_is_a_link_leaves_the_file_alone(cache: Path, tmp_path: Path) -> None:
    """The process in the background emptied what a link of the lock's name led to."""
    program = put(tmp_path, "host", host("main"))
    precious = tmp_path / "precious"
    precious.write_text("mine")
    cache.mkdir()
    status = os.stat(program)
    (cache / f"{status.st_dev:x}-{status.st_ino:x}.lock").symlink_to(precious)
    run([sys.executable, "-m", "stubgen.host.index", program, ""], cwd=ROOT)
    assert precious.read_text() == "mine"


def test_a_command_with_an_index_reads_no_column_of_the_table(cache: Path, tmp_path: Path) -> None:
    """A host of a million symbols was gone through for the one that says whether it is stripped: twice as slow."""
    names = [f"_f{number}" for number in range(200)]
    contents = {"elf": host(*names), "macho": with_a_static(macho_host({name: 4 * n for n, name in enumerate(names)}))}
    for title, content in contents.items():
        path = put(tmp_path, title, content)
        index.build_index(path)
        assert is_used(path)
        opened = open_host(path)
        assert opened.find([b"_f3"])
        made = opened.image.symbol_tables[0].__dict__.keys()
        assert not [each for each in made if each.startswith(("st_", "n_")) or each == "files"]


def with_a_static(content: bytes) -> bytes:
    """A Mach-O host whose first symbol is one that one file alone sees, as nearly every program has them."""
    symoff = struct.unpack_from("<I", content, content.index(struct.pack("<II", m.LC_SYMTAB, 24)) + 8)[0]
    return content[: symoff + 4] + bytes([m.N_SECT]) + content[symoff + 5 :]


def test_nothing_reads_the_dwarf_that_a_host_does_not_have(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reads it takes as long to load as a small patch: Mach-O programs have theirs elsewhere."""
    names = [f"__Z1f{number}v" for number in range(200)]
    path = put(tmp_path, "host", with_a_static(macho_host({name: 4 * n + 16 for n, name in enumerate(names)})))
    index.build_index(path)
    monkeypatch.setattr(image, "INDEX_PAYS", 0)
    monkeypatch.setattr(Image, "debug_info", None)
    builder = StubBuilder(path)
    assert builder.host.image.index is not None
    judged = builder.judge([put(tmp_path, "patch.o", macho_object(needed=names[1:4]))], slide=0x5500000000)
    assert len(judged.stubs.spellings) == 3
    assert builder.host.image.compiled_by_gcc
