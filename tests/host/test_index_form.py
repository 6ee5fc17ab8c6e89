"""The index file by its bytes, and what becomes of it: read with the formulas of its form, not with its own code."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest
from synthetic import BASE, Sym, elf_host, macho_host, put
from tools import need, run

from stubgen.common import cache as cache_module
from stubgen.host import index, open_host
from stubgen.image import Image
from stubgen.image.opening import open_image

COLLIDING = b"plumless", b"buckeroo"
"""Two names of one CRC-32."""


def program(folder: Path, *names: str, name: str = "host") -> str:
    """A program that defines *names*."""
    return put(folder, name, elf_host([Sym(each, BASE + 4 * number) for number, each in enumerate(names)]))


class Table(NamedTuple):
    """One table of an index, read by hand."""

    symbols: int
    entries: list[int]
    heads: int  # the checksum of what is in front of the entries
    sample: int
    keys: list[int]
    checksums: list[int]


def tables(content: bytes) -> tuple[bytes, list[Table]]:
    """The digest in an index, and its tables; all of its bytes have a meaning."""
    magic, version, count, digest = struct.unpack_from("=8sII20s", content)
    assert (magic, version) == (b"STUBGENi" if sys.byteorder == "little" else b"STUBGENI", 3)
    assert content[36:40] == bytes(4)
    at, found = 40 + 24 * count, []
    for number in range(count):
        symbols, entries, heads, sample = struct.unpack_from("=QQII", content, 40 + 24 * number)
        blocks = (entries + 63) // 64
        assert crc32(content[at : at + 8 * blocks]) == heads
        words = struct.unpack_from(f"={2 * blocks}I", content, at)
        at += 8 * blocks
        found.append(
            Table(
                symbols,
                list(struct.unpack_from(f"={entries}Q", content, at)),
                heads,
                sample,
                list(words[:blocks]),
                list(words[blocks:]),
            )
        )
        for block, checksum in enumerate(words[blocks:]):
            assert crc32(content[at + 512 * block : min(at + 512 * block + 512, at + 8 * entries)]) == checksum
        at += 8 * entries
    assert at == len(content)
    return digest, found


def pack(digest: bytes, found: list[Table]) -> bytes:
    """An index of these tables, whose checksums are right."""
    heads, rest = [], []
    for table in found:
        column = struct.pack(f"={len(table.entries)}Q", *table.entries)
        checksums = [crc32(column[at : at + 512]) for at in range(0, len(column), 512)]
        front = struct.pack(f"={2 * len(checksums)}I", *table.keys, *checksums)
        heads.append(struct.pack("=QQII", table.symbols, len(table.entries), crc32(front), table.sample))
        rest += [front, column]
    magic = b"STUBGENi" if sys.byteorder == "little" else b"STUBGENI"
    return b"".join([struct.pack("=8sII20s4x", magic, 3, len(found), digest), *heads, *rest])


@pytest.mark.parametrize("count", [1, 62, 63, 64, 65, 127, 128, 200])
def test_the_file_has_the_form_that_is_said(count: int, cache: Path, tmp_path: Path) -> None:
    """A later version that reads it otherwise would find other functions."""
    names = [f"function_{number}" for number in range(count)]
    path = index.build_index(program(tmp_path, *names))
    assert path is not None
    digest, (table,) = tables(Path(path).read_bytes())
    assert Path(path).name == f"none-{digest.hex()}.index"
    assert table.symbols == count + 1
    assert table.entries == sorted(crc32(name.encode()) << 32 | number for number, name in enumerate(names, 1))
    assert table.keys == [entry >> 32 for entry in table.entries[::64]]
    assert pack(digest, [table]) == Path(path).read_bytes()
    assert open_host(tmp_path / "host").image.index is not None


@pytest.mark.parametrize(
    ("name", "base"),
    [("f@V1", b"f"), ("f@@V2", b"f"), ("g.llvm.12", b"g"), ("g.llvm.12@V", b"g"), ("@odd", b"@odd"), ("h", b"h")],
)
def test_a_symbol_is_found_by_its_name_without_version_and_suffix(
    name: str, base: bytes, cache: Path, tmp_path: Path
) -> None:
    """A reference has neither: under its whole name the host's function would never be looked for."""
    path = index.build_index(program(tmp_path, "other", name))
    assert path is not None
    _, (table,) = tables(Path(path).read_bytes())
    assert crc32(base) << 32 | 2 in table.entries


Change = Callable[[bytes, list[Table]], bytes]


def edited(**fields: object) -> Change:
    """Other fields of the first table, with checksums that are right."""
    return lambda digest, found: pack(digest, [found[0]._replace(**fields), *found[1:]])


UNSOUND: dict[str, Change] = {
    "fewer symbols": lambda digest, found: edited(symbols=found[0].symbols - 1)(digest, found),
    "more symbols": lambda digest, found: edited(symbols=found[0].symbols + 1)(digest, found),
    "another sample": lambda digest, found: edited(sample=found[0].sample ^ 1)(digest, found),
    "another digest": lambda digest, found: pack(digest[:-1] + b"\0", found),
    "a table more": lambda digest, found: pack(digest, [*found, found[0]]),
    "no table": lambda digest, found: pack(digest, []),
    "an entry more than symbols": lambda digest, found: edited(entries=[*found[0].entries, *found[0].entries[:2]])(
        digest, found
    ),
    "a byte more": lambda digest, found: pack(digest, found) + b"\0",
    "a byte less": lambda digest, found: pack(digest, found)[:-1],
    "cut in the heads": lambda digest, found: pack(digest, found)[:67],
    "cut in the header": lambda digest, found: pack(digest, found)[:63],
    "another key": lambda digest, found: bytes(byte ^ (at == 64) for at, byte in enumerate(pack(digest, found))),
}
"""What makes an index one of other tables, or none."""


@pytest.mark.parametrize("name", UNSOUND)
def test_an_index_that_is_not_sound_is_not_opened(name: str, cache: Path, tmp_path: Path) -> None:
    """With right checksums too: a fault of the writer's must not be believed."""
    host = program(tmp_path, *(f"f{number}" for number in range(100)))
    path = Path(index.build_index(host) or "")
    digest, found = tables(path.read_bytes())
    path.write_bytes(pack(digest, found))
    assert open_host(host).image.index is not None
    path.write_bytes(UNSOUND[name](digest, found))
    image = open_host(host, cache=False).image
    before = len(os.listdir("/dev/fd"))
    assert index._opened(path, image) is None
    assert len(os.listdir("/dev/fd")) == before, "the file is closed"
    assert open_host(host).image.index is None
    assert open_host(host).find([b"f7"])[b"f7"][0].address == BASE + 28


def opened(folder: Path, *names: str) -> tuple[Image, index.Index]:
    """A program that defines *names*, and its index."""
    path = program(folder, *names)
    index.build_index(path)
    host = open_host(path)
    assert isinstance(host.image.index, index.Index)
    return host.image, host.image.index


def test_every_name_is_found_where_it_is_and_no_other(cache: Path, tmp_path: Path) -> None:
    """At the ends of blocks, in the middle of many of one name, behind what is not there."""
    names = [f"f{number // (1 + number % 3)}" for number in range(250)] + ["many"] * 140
    _, found = opened(tmp_path, *names)
    wanted = {name.encode() for name in names}
    absent = {b"absent%d" % number for number in range(40)}
    for name in (*wanted, *absent):
        expected = [number for number, each in enumerate(names, 1) if each.encode() == name]
        assert list(found.find_indexes(0, [name]) or []) == expected
    assert list(found.find_indexes(0, wanted | absent) or []) == list(range(1, len(names) + 1))
    assert list(found.find_indexes(0, [b"f7@V1", b"f7"]) or []) == list(found.find_indexes(0, [b"f7"]) or [])
    sole = {name: names.index(name.decode()) + 1 for name in wanted if names.count(name.decode()) == 1}
    assert found.find_sole(wanted | absent) == sole
    assert len(sole) > 50


def test_names_of_one_checksum_are_not_sole(cache: Path, tmp_path: Path) -> None:
    """By its CRC-32 alone one function would be taken for another."""
    assert crc32(COLLIDING[0]) == crc32(COLLIDING[1])
    _, found = opened(tmp_path, "f", *(name.decode() for name in COLLIDING))
    assert found.find_sole([COLLIDING[0], b"f"]) == {b"f": 1}
    assert list(found.find_indexes(0, [COLLIDING[1]]) or []) == [2, 3]


def test_a_name_of_two_tables_is_not_sole(cache: Path, tmp_path: Path) -> None:
    """A library has two tables; what both have may be two functions."""
    content: list[bytes] = []
    first = [b"f", b"g", *(b"other%d" % number for number in range(64))]
    columns = [sorted(crc32(name) << 32 | at for at, name in enumerate(table)) for table in (first, [b"x", b"g"])]
    path = tmp_path / "entries"
    at, found = 0, []
    for column in columns:
        raw = struct.pack(f"={len(column)}Q", *column)
        content.append(raw)
        blocks = [raw[start : start + 512] for start in range(0, len(raw), 512)]
        keys = memoryview(struct.pack(f"={len(blocks)}I", *(entry >> 32 for entry in column[::64]))).cast("I")
        checksums = memoryview(struct.pack(f"={len(blocks)}I", *map(crc32, blocks))).cast("I")
        found.append(index._Table(len(column), len(column), keys, checksums, at))
        at += len(raw)
    path.write_bytes(b"".join(content))
    whole = index.Index(os.open(path, os.O_RDONLY), found)
    assert whole.find_sole([b"f", b"g", b"x"]) == {b"f": 0}
    assert whole.is_whole()
    damaged = index.Index(os.open(path, os.O_RDONLY), [found[0], found[1]._replace(start=8)])
    assert damaged.find_sole([b"g", b"x"]) is None
    assert not damaged.is_whole()


def test_an_entry_beyond_the_table_is_damage(cache: Path, tmp_path: Path) -> None:
    """Its checksum is right, and what it leads to is another table's symbol, or none."""
    host = program(tmp_path, "f", "g")
    path = Path(index.build_index(host) or "")
    digest, (table,) = tables(path.read_bytes())
    for beyond, sound in ((table.symbols - 1, True), (table.symbols, False)):
        entries = [entry & ~0xFFFFFFFF | beyond for entry in table.entries]
        path.write_bytes(pack(digest, [table._replace(entries=entries)]))
        found = open_host(host).image.index
        assert isinstance(found, index.Index)
        told: list[str] = []
        found.when_damaged = lambda told=told: told.append("damaged")  # type: ignore[misc]  # bound now
        assert (found.find_indexes(0, [b"f"]) is not None) is sound
        assert told == ([] if sound else ["damaged"])


def test_every_byte_of_a_block_is_checked(cache: Path, tmp_path: Path) -> None:
    """One flipped bit hides a function."""
    names = [f"f{number}" for number in range(130)]
    host = program(tmp_path, *names)
    path = Path(index.build_index(host) or "")
    content = path.read_bytes()
    start = len(content) - 8 * len(names)
    for at in (start, start + 511, start + 512, start + 1024, len(content) - 1):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        found = open_host(host).image.index
        assert isinstance(found, index.Index)
        assert not found.is_whole()
        index.build_index(host)
        assert path.read_bytes() == content, "it is made anew"


class Strings(NamedTuple):
    """The strings of a table, as a sample reads them."""

    view: memoryview


class Raw(NamedTuple):
    """The records and strings of a table."""

    raw: memoryview
    strings: Strings


@pytest.mark.parametrize("size", [1, 511, 512, 513, 128 * 512 - 1, 128 * 512, 128 * 513, 128 * 2048 + 77])
def test_a_sample_sees_each_of_its_pieces(size: int) -> None:
    """A host that is rebuilt within a tick of the clock is told by these bytes alone."""
    step = max(size // 128, 512)
    inside = {at for start in range(0, size, step) for at in (start, min(start + 511, size - 1))} | {
        size - 1,
        max(size - 512, 0),
    }
    outside = {at + 1 for at in inside if at + 1 < size - 512 and (at + 1) % step >= 512}
    for which in (0, 1):
        columns = [bytearray(size), bytearray(size)]

        def sample(columns: list[bytearray] = columns) -> int:
            return index._sample(Raw(memoryview(columns[0]), Strings(memoryview(columns[1]))))  # type: ignore[arg-type]  # what it reads of one

        before = sample()
        for places, seen in ((inside, True), (outside, False)):
            for at in places:
                columns[which][at] = 1
                assert (sample() != before) is seen, at
                columns[which][at] = 0


def test_a_table_without_a_nameless_symbol_has_an_index(cache: Path, tmp_path: Path) -> None:
    """Of Mach-O every symbol has a name: as many entries as symbols."""
    host = put(tmp_path, "host", macho_host({"_f": 0x1000, "_g": 0x1004}))
    path = Path(index.build_index(host) or "")
    _, (table,) = tables(path.read_bytes())
    assert len(table.entries) == table.symbols == 2
    assert open_host(host).image.index is not None


@pytest.mark.parametrize("background", [False, True])
def test_the_file_with_the_symbols_is_the_one_that_is_indexed(
    background: bool, cache: Path, tmp_path: Path, nice: list[int]
) -> None:
    """A stripped host is found by the file that its developer kept; the record is about that one."""
    (tmp_path / "host.c").write_text("int f(void) { return 1; }\n")
    bare, full = str(tmp_path / "bare.so"), str(tmp_path / "full.so")
    gcc, strip = need("aarch64-linux-gnu-gcc"), need("llvm-strip-19")
    run([gcc, "-shared", "-nostdlib", "-Wl,--build-id", "host.c", "-o", full], cwd=tmp_path)
    run([strip, "--strip-all", full, "-o", bare])
    if background:
        index._main([bare, full])
    else:
        index.build_index(bare, full)
    assert open_host(bare, symbols=full).image.index is not None
    assert open_host(full).image.index is not None
    assert open_host(bare).image.index is None
    os.utime(full, (1, 1))
    assert open_host(bare, symbols=full).image.index is None


def test_a_record_is_about_one_file_at_one_time(cache: Path, tmp_path: Path) -> None:
    """Device, inode, size and times; whatever of them differs, the index is another build's."""
    host = program(tmp_path, "f")
    path = Path(index.build_index(host) or "")
    (record,) = cache.glob("*.host")
    status = os.stat(host)
    words = [3, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, path.name]
    assert record.name == f"{status.st_dev:x}-{status.st_ino:x}.host"
    assert record.read_text() == " ".join(map(str, words)) + "\n"
    for number in range(6):
        other = [word if at != number else int(word) + 1 for at, word in enumerate(words)]
        record.write_text(" ".join(map(str, other)))
        assert open_host(host).image.index is None
    text = " ".join(map(str, words))
    for content, sound in ((text.ljust(512), True), (text.ljust(513), False), (text + " more", False)):
        record.write_text(content)
        assert (open_host(host).image.index is not None) is sound


def test_a_host_is_worth_an_index_from_a_number_of_symbols(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One symbol fewer, and to open the index takes longer than to search."""
    host = program(tmp_path, "f", "g")  # and the symbol without a name
    for smallest, worth in ((3, True), (4, False)):
        monkeypatch.setattr(index, "SMALLEST", smallest)
        monkeypatch.setattr(index, "_missing", {})
        assert (index.build_index(host) is not None) is worth
        assert (open_host(host).image.index is not None) is worth
        monkeypatch.setenv(cache_module.FOLDER_VARIABLE, str(tmp_path / str(smallest)))
        assert open_host(host).image.index is None
        assert index._missing == ({host: ""} if worth else {})


def test_an_index_of_another_build_is_not_opened(cache: Path, tmp_path: Path) -> None:
    """The record's name must begin with this very build's id."""
    host = program(tmp_path, "f")
    path = Path(index.build_index(host) or "")
    (record,) = cache.glob("*.host")
    other = path.with_name("ab" + path.name[path.name.index("-") :])
    path.rename(other)
    record.write_text(record.read_text().replace(path.name, other.name))
    assert open_host(host).image.index is None


def test_a_use_makes_an_index_the_last_to_go(cache: Path, tmp_path: Path) -> None:
    """What is used every day must not go for what was made yesterday."""
    host = program(tmp_path, "f")
    path = Path(index.build_index(host) or "")
    os.utime(path, (1, 1))
    assert open_host(host).image.index is not None
    assert path.stat().st_mtime > 1


@pytest.mark.parametrize(
    ("settled", "age", "waits"), [(5.0, 100.0, 0.0), (5.0, 2.0, 3.0), (5.0, -100.0, 5.0), (0.0, 0.0, 0.0)]
)
def test_times_vouch_only_once_their_clock_has_moved(
    settled: float, age: float, waits: float, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes within a tick have the same times; a clock that goes ahead must not be waited for."""
    host = program(tmp_path, "f")
    slept: list[float] = []
    monkeypatch.setattr(index, "SETTLED", settled)
    monkeypatch.setattr(index.time, "sleep", slept.append)
    monkeypatch.setattr(index.time, "time", lambda: os.stat(host).st_ctime_ns / 1e9 + age)
    index.build_index(host)
    assert slept == [pytest.approx(waits, abs=1e-3)]


OWN = {
    f"none-{'0' * 40}.index": (True, True),
    f"{'ab' * 20}-{'0' * 40}.index": (True, True),
    f"ab-{'f' * 40}.index": (True, True),
    f".none-{'0' * 40}.index.12345678": (True, False),
    f"none-{'0' * 39}.index": (False, False),
    f"none-{'0' * 41}.index": (False, False),
    f"none-{'g' * 40}.index": (False, False),
    f"none-{'0' * 40}-{'0' * 40}.index": (False, False),
    f"{'a' * 41}-{'0' * 40}.index": (False, False),
    f"x-{'0' * 40}.index": (False, False),
    f"-{'0' * 40}.index": (False, False),
    f"none-{'0' * 40}.host": (False, False),
    "12-ab.host": (True, False),
    "12-ab.lock": (True, False),
    ".12-ab.host.12345678": (True, False),
    "12.host": (False, False),
    "-12.host": (False, False),
    "12-.host": (False, False),
    "12-xy.host": (False, False),
    "xy-12.host": (False, False),
    "12-ab.json": (False, False),
    "12-ab": (False, False),
    ".index": (False, False),
}
"""A file's name -> whether it is one of the cache's, whether it is a finished index."""


@pytest.mark.parametrize("name", OWN)
def test_only_names_that_the_cache_gives_are_its_own(name: str) -> None:
    """Another program's file of the folder would be removed without a word."""
    assert (index._is_own(name), index._is_index(name)) == OWN[name]


def held(folder: Path, number: int, size: int) -> str:
    """An index of *size* bytes, the older the smaller its number, with the record that leads to it."""
    name = f"none-{number:040x}.index"
    (folder / name).write_bytes(bytes(size))
    os.utime(folder / name, (1000 + number, 1000 + number))
    (folder / f"{number:x}-1.host").write_text(f"3 0 0 0 0 0 {name}\n")
    return name


@pytest.mark.parametrize(
    ("limit", "left"), [(60, [1, 2, 3]), (59, [2, 3]), (50, [2, 3]), (49, [3]), (30, [3]), (29, []), (0, [])]
)
def test_the_least_recently_used_go_until_the_rest_fits(
    limit: int, left: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly as many as must, and the records that led to them."""
    cache.mkdir()
    names = {number: held(cache, number, 10 * number) for number in (1, 2, 3)}
    monkeypatch.setattr(index, "LIMIT", limit)
    index.prune(cache)
    assert [name for name, _ in index.indexes(cache)] == [names[number] for number in left]
    assert sorted(path.name for path in cache.glob("*.host")) == [f"{number}-1.host" for number in left]
    held(cache, 1, 10)
    monkeypatch.setattr(index, "LIMIT", 0)
    index.prune(cache, keep=names[1])
    assert [name for name, _ in index.indexes(cache)] == [names[1]]


def test_what_leads_nowhere_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of indexes that are gone, empty ones, and what killed writers left an hour ago."""
    cache.mkdir()
    kept = held(cache, 1, 10)
    stale = {"2-1.host": f"3 0 none-{'2' * 40}.index", "3-1.host": "", "4-1.lock": "", ".5-1.host.12345678": ""}
    for name, text in stale.items():
        (cache / name).write_text(text)
        os.utime(cache / name, (1, 1))
    for name in ("6-1.lock", ".7-1.host.12345678"):
        (cache / name).write_text("")
    (cache / "other").write_text("")
    os.utime(cache / "other", (1, 1))
    for name in ("8-1.lock", "9-1.lock"):
        (cache / name).write_text("")
    now = int(index.time.time())
    os.utime(cache / "8-1.lock", (now - 3600, now - 3600))
    os.utime(cache / "9-1.lock", (now - 3601, now - 3601))
    monkeypatch.setattr(index.time, "time", lambda: now)
    index.prune(cache)
    expected = {kept, "1-1.host", "6-1.lock", ".7-1.host.12345678", "other", "8-1.lock"}
    assert {path.name for path in cache.iterdir()} == expected
    assert index.clear(cache) == 1
    assert {path.name for path in cache.iterdir()} == {"other"}
    assert index.clear(cache) == 0


class Spawned(NamedTuple):
    """A process that would have been started."""

    path: str
    words: list[str]
    environment: dict[str, str]
    options: dict[str, object]


@pytest.fixture
def spawned(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[Spawned]:
    """What is started in the background; none of it runs."""
    found: list[Spawned] = []

    def spawn(path: str, words: list[str], environment: dict[str, str], **options: object) -> int:
        found.append(Spawned(path, words, environment, options))
        return 0

    monkeypatch.setattr(os, "posix_spawn", spawn)
    monkeypatch.setattr(index, "_children", [])
    return found


def test_a_process_in_the_background_gets_the_hosts_without_an_index(
    spawned: list[Spawned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each; cut off from the terminal, its working directory and what the command has open."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setattr(index, "_missing", {"/host": "", "/other": "/symbols"})
    index.build_missing()
    ((path, words, environment, options),) = spawned
    assert path == sys.executable
    assert words == [sys.executable, "-P", "-m", "stubgen.host.index", "/host", "", "/other", "/symbols"]
    elsewhere, home = environment["PYTHONPATH"].split(os.pathsep)
    assert (elsewhere, Path(home, "stubgen/host/index.py").samefile(index.__file__)) == ("/elsewhere", True)
    assert environment["PATH"] == os.environ["PATH"]
    nowhere = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    assert options == {"file_actions": nowhere, "setsid": True}
    assert index._missing == {}
    assert index._children == [0]
    index.build_missing()
    assert len(spawned) == 1
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setattr(index, "_missing", {"/host": ""})
    index.build_missing()
    assert spawned[1].environment["PYTHONPATH"] == home


def test_a_host_that_is_met_meanwhile_is_the_next_ones(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's threads open hosts at any moment: one that was met while the process began never got an index."""
    started: list[list[str]] = []

    def spawn(_path: str, words: list[str], _environment: object, **_: object) -> int:
        started.append(words[-2:])
        if len(started) == 1:
            index._miss("/other", "/symbols")
        return 0

    monkeypatch.setattr(os, "posix_spawn", spawn)
    monkeypatch.setattr(index, "_children", [])
    monkeypatch.setattr(index, "_missing", {"/host": ""})
    for _ in range(3):
        index.build_missing()
    assert started == [["/host", ""], ["/other", "/symbols"]]


@pytest.mark.parametrize("why", ["no interpreter", "frozen"])
def test_nothing_is_started_where_there_is_no_python(
    why: str, spawned: list[Spawned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle's executable would run the command again, for ever."""
    monkeypatch.setattr(index, "_missing", {"/host": ""})
    if why == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", "")
    index.build_missing()
    assert not spawned


def test_what_could_not_be_started_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is out by then."""

    def refused(*words: object, **options: object) -> int:
        raise OSError("no more processes")

    monkeypatch.setattr(os, "posix_spawn", refused)
    monkeypatch.setattr(index, "_missing", {"/host": ""})
    index.build_missing()
    assert index._missing == {}


def test_processes_that_have_ended_are_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs for days would gather zombies."""
    ended = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
    reader, writer = os.pipe()
    waits = os.posix_spawn(
        "/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writer)]
    )
    os.close(reader)
    monkeypatch.setattr(index, "_children", [ended, waits])
    index.build_missing()
    assert index._children == [waits]
    os.close(writer)
    os.waitpid(waits, 0)
    index.build_missing()  # somebody else waited for it
    with pytest.raises(ChildProcessError):
        os.waitpid(ended, 0)


@pytest.fixture
def nice(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The priorities that were asked for."""
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    return asked


def test_the_process_in_the_background_indexes_each_host(cache: Path, tmp_path: Path, nice: list[int]) -> None:
    """One that is broken, or that another process is at, does not keep the others waiting."""
    hosts = [program(tmp_path, f"f{number}", name=f"host{number}") for number in range(3)]
    broken = put(tmp_path, "broken", b"\x7fELF")
    status = os.stat(hosts[1])
    cache.mkdir()
    lock = cache / f"{status.st_dev:x}-{status.st_ino:x}.lock"
    with open(lock, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        index._main([broken, "", hosts[0], "", hosts[1], "", hosts[2], ""])
        assert [open_host(host).image.index is not None for host in hosts] == [True, False, True]
        assert lock.exists()
    assert nice == [19]
    status = os.stat(broken)
    (left,) = (path for path in cache.glob("*.lock") if path != lock)
    assert left.name == f"{status.st_dev:x}-{status.st_ino:x}.lock"
    assert left.stat().st_mode & 0o777 == 0o600
    index._main([hosts[1], ""])
    assert open_host(hosts[1]).image.index is not None
    assert not lock.exists()


def test_without_a_cache_folder_the_background_does_nothing(
    cache: Path, tmp_path: Path, nice: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable turns it off."""
    host = program(tmp_path, "f")
    monkeypatch.setenv(cache_module.FOLDER_VARIABLE, "")
    index._main([host, ""])
    assert not nice
    assert not cache.exists()
    assert index.build_index(host) is None


def test_two_tables_are_told_by_their_bytes(tmp_path: Path) -> None:
    """Records and strings, and where the ones end and the others begin."""
    contents = [elf_host([Sym(name, BASE + shift)]) for name, shift in (("f", 0), ("g", 0), ("f", 4))]
    digests = {index._digest(open_image(content, "host")) for content in contents}
    assert len(digests) == 3
    assert {len(digest) for digest in digests} == {20}
    assert index._build(open_image(contents[0], "host")) == "none-"
