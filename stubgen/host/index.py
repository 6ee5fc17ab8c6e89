"""The name index: where in a large host's symbol tables a name is, without a pass over them.

A host of a million symbols takes a quarter of a second to search, on every save. So once, in the background, its
names are hashed and the hashes sorted, into a file in the user's cache folder that later commands read::

    <device>-<inode>.host              size, times and content digest of a host that was looked at
    <build id>-<digest>.index          per symbol table: crc32(base name) << 32 | symbol index, ascending, in blocks;
                                       in front of all, the first CRC-32 and the checksum of each block

An index is named for the content that it is about, and holds the same digest: BLAKE2 of the symbol tables and their
strings. The build id alone would not do, because ``strip`` and ``objcopy`` keep it. That a file still has that content
is taken from device, inode, size and times, as make and git do, and from a sample of the tables: to hash all of them
takes longer than the index saves. Where any of these differs the content is hashed again.
An index only says where to look; the host's own tables say what is there. That a name is nowhere else is believed
because the index was written by this user, and each block that is read has the checksum that was written with it:
to check them all takes as long as a small patch. Where one has not, the tables are searched, and the index is made
anew.

Every file is this user's alone (``common/cache.py``), is read and not mapped, because a mapped one that is cut short
ends the process, and is written beside its place and moved there: several processes may read, write and clear at will.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from functools import partial
from struct import Struct
from zlib import crc32

from stubgen.common.arguments import StrPath
from stubgen.common.cache import (
    ABANDONED,
    cache_folder,
    finished_name,
    make_folder,
    open_private,
    own_files,
    read_private,
    write_private,
)
from stubgen.common.row import Row
from stubgen.errors import StubgenError
from stubgen.host.symbols import OpenedHost
from stubgen.symbols.versions import base_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.common.strings import NameTable
    from stubgen.image import Image

VERSION = 3
"""Of both files' form; another version's are not read, and age out."""
MAGIC = b"STUBGENi" if sys.byteorder == "little" else b"STUBGENI"
DIGEST = 20  # bytes
HEADER = Struct(f"=8sII{DIGEST}s4x")  # magic, version, tables, digest of the host's tables
TABLE = Struct("=QQII")  # symbols in the host's table, entries in the index, the blocks' heads' CRC-32, the sample's
ENTRY = 8  # bytes: CRC-32 of the base name << 32 | symbol index
BLOCK = 64
"""Entries that are read and checked together."""
RECORD = 512  # bytes that a record has at most
SAMPLES = 128
"""Pieces of each table that a sample has."""
SAMPLE = 512  # bytes a piece
SMALLEST = 20_000
"""Symbols from which a host gets an index; to search fewer takes no longer than to open one."""
LIMIT = 1 << 30
"""Bytes that all indexes together may take; the least recently used go first."""
SETTLED = 2.0
"""Seconds after its last change from which a file's times vouch for its content: clocks of file systems are coarse."""


class Identity(Row):
    """What says that a file is still the same one, without reading it."""

    device: int
    inode: int
    size: int  # bytes
    modified: int  # nanoseconds
    changed: int  # nanoseconds: also by cp -p, touch -d and renaming

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """From ``fstat``."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class _Table(Row):
    """The index of one symbol table, but for its entries."""

    symbols: int  # in the host's table
    entries: int
    keys: memoryview  # the first CRC-32 of each block
    checksums: memoryview  # each block's
    start: int  # byte offset of the first block in the file


class _DamageError(Exception):
    """A block is not as it was written."""


class Index:
    """An open index. Its blocks are read when they are asked for."""

    def __init__(self, file: int, tables: list[_Table]) -> None:
        self._file = file  # descriptor
        self._tables = tables
        self.when_damaged: Callable[[], None] = lambda: None
        """Called when a block turns out not to be as it was written."""

    def __del__(self) -> None:
        os.close(self._file)

    def find_indexes(self, number: int, wanted: Collection[bytes]) -> Iterator[int] | None:
        """Index, in symbol table *number*, of each symbol whose base name may be that of one of *wanted*, ascending.

        None where the index is damaged.
        """
        found = self._find(number, {_key(name) for name in wanted})
        return None if found is None else iter(sorted(index for indexes in found.values() for index in indexes))

    def find_sole(self, wanted: Collection[bytes]) -> dict[bytes, int] | None:
        """Name -> index, in the first table, of the one symbol in all tables that may have it as its base name.

        None where the index is damaged. *wanted* are base names.
        """
        keys = dict(zip(wanted, map(crc32, wanted), strict=True))
        found = [self._find(number, set(keys.values())) for number in range(len(self._tables))]
        if None in found:
            return None
        first, *others = [each for each in found if each is not None]
        sole = {key: indexes[0] for key, indexes in first.items() if len(indexes) == 1}
        for other in others:
            for key in sole.keys() & other.keys():
                del sole[key]
        return {name: sole[key] for name, key in keys.items() if key in sole}

    def _find(self, number: int, keys: Collection[int]) -> dict[int, list[int]] | None:
        """CRC-32 -> index, in symbol table *number*, of each symbol that has it; None where the index is damaged."""
        try:
            return self._read(self._tables[number], keys)
        except (_DamageError, OSError):
            self.when_damaged()
            return None

    def _read(self, table: _Table, keys: Collection[int]) -> dict[int, list[int]]:
        """:meth:`_find`.

        Raises:
            _DamageError: a block is not as it was written, or leads beyond the host's table.
            OSError: one cannot be read.
        """
        found: dict[int, list[int]] = {}
        position, block, size = -1, memoryview(b"").cast("Q"), 0
        for key in sorted(keys):
            first = max(bisect_left(table.keys, key) - 1, 0)
            for at in range(first, bisect_right(table.keys, key, first)):
                if at != position:
                    position, block = at, self._block(table, at)
                    size = len(block)
                start = bisect_left(block, key << 32)
                while start < size and block[start] >> 32 == key:
                    index = block[start] & 0xFFFFFFFF
                    if index >= table.symbols:
                        raise _DamageError
                    found.setdefault(key, []).append(index)
                    start += 1
        return found

    def is_whole(self) -> bool:
        """Whether every block is as it was written."""
        try:
            for table in self._tables:
                for number in range(len(table.keys)):
                    self._block(table, number)
        except (_DamageError, OSError):
            return False
        return True

    def _block(self, table: _Table, number: int) -> memoryview:
        """The entries of block *number*.

        Raises:
            _DamageError: they are not as they were written.
            OSError: they cannot be read.
        """
        first = BLOCK * number
        raw = os.pread(self._file, ENTRY * min(BLOCK, table.entries - first), table.start + ENTRY * first)
        if crc32(raw) != table.checksums[number]:
            raise _DamageError
        return memoryview(raw).cast("Q")


def _key(name: bytes) -> int:
    """What a symbol is found by: its name without version and ThinLTO suffix."""
    return crc32(base_name(name.partition(b"@")[0] or name))


_missing: dict[str, str] = {}
"""The hosts that this process opened and found no index for -> the file with their symbols; empty for their own."""


def use_index(image: Image, path: str, symbols: str | None, identity: Identity) -> None:
    """Give *image*, the file at *path*, its index if there is a sound one; else remember that it has none.

    *identity* is that of the file with its symbols, *symbols* or its own. Never an error: an index is worth time, not
    an answer.
    """
    folder = cache_folder()
    if folder is None or sum(map(len, image.symbol_tables)) < SMALLEST:
        return
    name = _recorded(_record_path(folder, identity), identity)
    if name is not None and name.startswith(_build(image)):
        index = image.index = _opened(os.path.join(folder, name), image)
        if index is not None:
            index.when_damaged = partial(_miss, path, symbols)
    if image.index is None:
        _miss(path, symbols)


def _miss(path: str, symbols: str | None) -> None:
    """Remember that the host at *path* has no sound index."""
    _missing[os.path.abspath(path)] = os.path.abspath(symbols) if symbols else ""


def _record_path(folder: StrPath, identity: Identity) -> str:
    return os.path.join(folder, f"{identity.device:x}-{identity.inode:x}.host")


def _recorded(path: StrPath, identity: Identity) -> str | None:
    """The name of the index of the file with *identity*, if the record at *path* is about that very file."""
    words = (read_private(path, RECORD) or b"").split()
    expected = [b"%d" % part for part in (VERSION, *identity)]
    name = os.fsdecode(words[-1]) if words[:-1] == expected else ""
    return name if _is_index(name) else None


def _opened(path: StrPath, image: Image) -> Index | None:
    """The index at *path*, if its structure is sound, it holds the digest that it is named for, and fits *image*."""
    opened = open_private(path)
    if opened is None:
        return None
    file, size = opened
    tables = None
    with contextlib.suppress(OSError):
        tables = _read_tables(file, size, os.path.basename(path), image)
    if tables is None:
        os.close(file)
        return None
    with contextlib.suppress(OSError):
        os.utime(path, follow_symlinks=False)  # used just now: the last to go
    return Index(file, tables)


def _read_tables(file: int, size: int, name: str, image: Image) -> list[_Table] | None:
    """What is in front of the entries of the index called *name*, which has *size* bytes; None where it is not sound.

    Raises:
        OSError: it cannot be read.
    """
    count = len(image.symbol_tables)
    head = os.pread(file, HEADER.size + count * TABLE.size, 0)
    if len(head) < HEADER.size + count * TABLE.size:
        return None
    magic, version, tables, digest = HEADER.unpack_from(head, 0)
    named = name.partition("-")[2].removesuffix(".index")
    if magic != MAGIC or version != VERSION or tables != count or digest.hex() != named:
        return None
    read, position = [], len(head)
    for number, table in enumerate(image.symbol_tables):
        symbols, entries, checksum, sample = TABLE.unpack_from(head, HEADER.size + number * TABLE.size)
        if symbols != len(table) or entries > symbols or sample != _sample(table):
            return None
        blocks = -(-entries // BLOCK)
        raw = memoryview(os.pread(file, 8 * blocks, position))
        if len(raw) != 8 * blocks or crc32(raw) != checksum:
            return None
        words = raw.cast("I")
        read.append(_Table(symbols, entries, words[:blocks], words[blocks:], position + len(raw)))
        position += len(raw) + ENTRY * entries
    return read if position == size else None


def _sample(table: NameTable) -> int:
    """The CRC-32 of pieces of the records and of the strings of *table*: all of them where they are few."""
    checksum = 0
    for view in (table.raw, table.strings.view):
        size = view.nbytes
        step = max(size // SAMPLES, SAMPLE)
        for start in range(0, size, step):
            checksum = crc32(view[start : start + SAMPLE], checksum)
        checksum = crc32(view[-SAMPLE:], checksum)
    return checksum


def build_index(path: StrPath, symbols: StrPath | None = None) -> str | None:
    """Write the index of the host at *path*, where that is worth it, and the record that leads to it.

    Returns:
        The index's file; None where there is no cache folder, or the host has too few symbols.

    Raises:
        InputError: the host's file, or the one with its symbols, cannot be used.
        BuildIdRefusal: they are of different builds.
        OSError: the cache folder cannot be written.
    """
    folder = cache_folder()
    opened = OpenedHost(os.fspath(path), None if symbols is None else os.fspath(symbols))
    image = opened.image
    if folder is None or sum(map(len, image.symbol_tables)) < SMALLEST:
        return None
    make_folder(folder)
    digest = _digest(image)
    name = f"{_build(image)}{digest.hex()}.index"
    target = os.path.join(folder, name)
    known = _opened(target, image)
    if known is None or not known.is_whole():
        write_private(target, _index_content(image, digest))
    identity = Identity.of(opened.status)
    time.sleep(max(0.0, min(SETTLED, identity.changed / 1e9 + SETTLED - time.time())))
    if Identity.of(os.stat(opened.symbols or path)) == identity:  # else it was changed meanwhile
        record = " ".join(map(str, (VERSION, *identity, name)))
        write_private(_record_path(folder, identity), f"{record}\n".encode())
    prune(folder, keep=name)
    return target


def _digest(image: Image) -> bytes:
    """What tells the symbol tables of *image*, and their strings, from all others."""
    from hashlib import blake2b

    digest = blake2b(digest_size=DIGEST)
    for table in image.symbol_tables:
        digest.update(b"%d %d\n" % (len(table.raw), len(table.strings.view)))
        digest.update(table.raw)
        digest.update(table.strings.view)
    return digest.digest()


def _build(image: Image) -> str:
    """How the names of the indexes of such a build begin."""
    return f"{image.build_id.hex()[:40] if image.build_id else 'none'}-"


def _index_content(image: Image, digest: bytes) -> bytes:
    head, entries = [], []
    for table in image.symbol_tables:
        names = list(table.names())
        plain = b"@" not in table.strings.content and b".llvm." not in table.strings.content
        keys = map(crc32 if plain else _key, names)
        pairs = [key << 32 | index for index, (key, name) in enumerate(zip(keys, names, strict=True)) if name]
        pairs.sort()
        column = array("Q", pairs).tobytes()
        checksums = [crc32(column[at : at + ENTRY * BLOCK]) for at in range(0, len(column), ENTRY * BLOCK)]
        blocks = array("I", [*(pair >> 32 for pair in pairs[::BLOCK]), *checksums]).tobytes()
        head.append(TABLE.pack(len(table), len(pairs), crc32(blocks), _sample(table)))
        entries += [blocks, column]
    return b"".join([HEADER.pack(MAGIC, VERSION, len(head), digest), *head, *entries])


def indexes(folder: StrPath) -> list[tuple[str, os.stat_result]]:
    """The names of the indexes in *folder*, the least recently used first."""
    found = [(name, status) for name, status in own_files(folder) if _is_index(name)]
    return sorted(found, key=lambda item: (item[1].st_mtime_ns, item[0]))


def prune(folder: StrPath, keep: str = "") -> None:
    """Remove the least recently used indexes until the rest take no more than ``LIMIT``, and what leads nowhere.

    The index called *keep* stays.
    """
    held = indexes(folder)
    total = sum(status.st_size for _, status in held)
    for name, status in held:
        if total > LIMIT and name != keep:
            total -= status.st_size
            _remove(folder, name)
    left = {name for name, _ in indexes(folder)}
    for name, status in own_files(folder):
        if not _is_own(name) or name in left:
            continue
        if name.endswith(".host"):
            words = (read_private(os.path.join(folder, name), RECORD) or b"").split()
            stale = not words or os.fsdecode(words[-1]) not in left
        else:  # what a writer left behind that was killed
            stale = status.st_mtime < time.time() - ABANDONED
        if stale:
            _remove(folder, name)


def clear(folder: StrPath) -> int:
    """Remove every index and every record; the number of indexes that there were."""
    held = len(indexes(folder))
    for name, _ in own_files(folder):
        if _is_own(name):
            _remove(folder, name)
    return held


def _remove(folder: StrPath, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, name))


def _is_index(name: str) -> bool:
    """Whether *name* is one that this module gives to an index."""
    return name.endswith(".index") and _is_own(name)


def _is_own(name: str) -> bool:
    """Whether *name* is one that this module gives to a file."""
    stem, _, kind = finished_name(name).rpartition(".")
    first, _, second = stem.partition("-")
    if kind == "index":
        return (
            len(second) == 2 * DIGEST and _is_hex(second) and (first == "none" or (len(first) <= 40 and _is_hex(first)))
        )
    return kind in ("host", "lock") and _is_hex(first) and _is_hex(second)


def _is_hex(text: str) -> bool:
    return text != "" and not text.strip("0123456789abcdef")


def build_missing() -> None:
    """Start a process in the background that indexes the hosts that had no index; never an error.

    The answer is out by then, and the process gives way to others: nobody waits for it.
    """
    for child in list(_children):
        with contextlib.suppress(OSError):
            if os.waitpid(child, os.WNOHANG)[0]:
                _children.remove(child)
    if not _missing or not sys.executable or getattr(sys, "frozen", False):  # a bundle's executable is no Python
        return
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    search = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH", ""), home)))
    missing = list(_missing.items())  # others' threads may add to it from here on
    for path, _ in missing:
        del _missing[path]
    pairs = [path for pair in missing for path in pair]
    command = [sys.executable, "-P", "-m", "stubgen.host.index", *pairs]  # -P: nothing from the working directory
    nowhere = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    with contextlib.suppress(OSError, NotImplementedError):
        environment = {**os.environ, "PYTHONPATH": search}
        _children.append(os.posix_spawn(command[0], command, environment, file_actions=nowhere, setsid=True))


_children: list[int] = []
"""Process ids of such processes, still to be waited for."""


def _main(paths: list[str]) -> None:
    """What the process in the background does, at the lowest priority: one such process a host.

    *paths* are hosts, each followed by the file with its symbols.
    """
    import fcntl

    folder = cache_folder()
    if folder is None:
        return
    os.nice(19)
    for path, symbols in zip(paths[::2], paths[1::2], strict=True):
        with contextlib.suppress(OSError, StubgenError):
            make_folder(folder)
            lock = _record_path(folder, Identity.of(os.stat(symbols or path))).removesuffix(".host") + ".lock"
            with open(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                build_index(path, symbols or None)
                os.unlink(lock)


if __name__ == "__main__":
    from stubgen.common.cancellation import tidy_at_signals

    try:
        with tidy_at_signals():
            _main(sys.argv[1:])
    except KeyboardInterrupt as ended:
        os._exit(128 + int(getattr(ended, "number", 2)))
