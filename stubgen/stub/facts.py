"""What is known about the installed Keystone and Capstone from earlier commands: one small file in the cache folder.

::

    libraries.facts    magic, version, the recorded instructions
                       the Keystone that assembled them so: its identity, zeros if none did
                       the Capstone that has read words: its identity, zeros if none did
                       the words that it has read as they must be read: a bit for each word number
                       CRC-32 of all that

Which words there are is a matter of :mod:`stubgen.stub.trampoline`. A library is known by version, inode, size and
times (:func:`stubgen.stub.libraries.identity`): of another one, or in another Python environment, nothing is believed.
Nor is a file that is damaged, or that somebody else could have written. Nothing here is ever an error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from _thread import allocate_lock
from binascii import crc32
from struct import Struct

from stubgen.common.arguments import StrPath, flag, instance, optional, path
from stubgen.common.cache import cache_folder, finished_name, own_files, read_private, remove_abandoned, write_private
from stubgen.stub.libraries import CAPSTONE, IDENTITY, KEYSTONE, Library, identity
from stubgen.stub.trampoline import RECORDED, WORD_NUMBERS

NAME = "libraries.facts"
VERSION = 1
"""Of the file's form; another version's is not believed, and is written over."""
MAGIC = b"STUBGENf" if sys.byteorder == "little" else b"STUBGENF"
HEADER = Struct(f"=8sI{len(RECORDED)}s{IDENTITY.size}s{IDENTITY.size}s")
CHECKSUM = Struct("=I")
BITMAP_SIZE = -(-WORD_NUMBERS // 8)  # bytes
SIZE = HEADER.size + BITMAP_SIZE + CHECKSUM.size

_NOBODY = bytes(IDENTITY.size)
_CHANGING = allocate_lock()
"""Held from the reading of the file to its writing: what one thread adds, another one's writing does not lose.

Two processes may: what is lost is learned anew.
"""


class LibraryFacts:
    """What is known about Keystone and Capstone, and where what is learned is kept.

    Args:
        folder: the cache folder; None: nothing is known, and nothing is kept.
        fresh: believe nothing, not even what the libraries answered in this process; what they answer now is kept.
    """

    def __init__(self, folder: StrPath | None, *, fresh: bool = False) -> None:
        self.fresh = flag("fresh", fresh)
        home = optional(path, "folder", folder)
        self._path = None if home is None else os.path.join(home, NAME)
        self._identities: dict[Library, bytes | None] = {}
        self._content: tuple[bytes, bytes, bytes] | None = None

    @classmethod
    def of_user(cls, *, cache: bool = True, fresh: bool = False) -> LibraryFacts:
        """Those in the user's cache folder; with *cache* off, none."""
        return cls(cache_folder() if flag("cache", cache) else None, fresh=fresh)

    def keystone_agrees(self) -> bool:
        """Whether the installed Keystone is known to assemble the recorded instructions."""
        agrees = self._identity(KEYSTONE) == self._read()[0]
        return agrees and not self.fresh

    def read_words(self) -> bytes:
        """The words that the installed Capstone is known to read as they must be read: bit *n* for word number *n*."""
        _, capstone, bitmap = self._read()
        return bitmap if self._identity(CAPSTONE) == capstone and not self.fresh else bytes(BITMAP_SIZE)

    def keystone_agreed(self) -> None:
        """Keep that the installed Keystone assembles the recorded instructions."""
        known = self._unchanged(KEYSTONE)
        if known is not None:
            with _CHANGING:
                _, capstone, bitmap = self._anew()
                self._write(known, capstone, bitmap)

    def words_were_read(self, words: bytes) -> None:
        """Keep that the installed Capstone reads *words*, a bitmap, as they must be read."""
        known = self._unchanged(CAPSTONE)
        if known is not None:
            with _CHANGING:
                keystone, capstone, bitmap = self._anew()
                self._write(keystone, known, either(words, bitmap) if capstone == known else words)

    def summary(self) -> tuple[bool, int]:
        """Whether the installed Keystone is known to agree, and how many words the installed Capstone has read."""
        return self.keystone_agrees(), int.from_bytes(self.read_words(), "little").bit_count()

    def forget(self) -> None:
        """Remove the file: a library does not do what it says."""
        with _CHANGING:
            self._content = None
            if self._path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)

    def _identity(self, library: Library) -> bytes | None:
        """Found once, before the library is loaded; None without a file, and where it cannot be told."""
        if library not in self._identities:
            self._identities[library] = None if self._path is None else identity(library)
        return self._identities[library]

    def _unchanged(self, library: Library) -> bytes | None:
        """The identity of *library*, if it was the same before and after it answered."""
        known = self._identity(library)
        return known if known is not None and known == identity(library) else None

    def _read(self) -> tuple[bytes, bytes, bytes]:
        if self._content is None:
            self._content = self._anew()
        return self._content

    def _anew(self) -> tuple[bytes, bytes, bytes]:
        """Keystone's identity, Capstone's, and the bitmap, as the file has them now."""
        content = None if self._path is None else read_private(self._path, SIZE)
        if content is not None and len(content) == SIZE:
            (checksum,) = CHECKSUM.unpack(content[-CHECKSUM.size :])
            magic, version, recorded, keystone, capstone = HEADER.unpack_from(content)
            known = (magic, version, recorded) == (MAGIC, VERSION, RECORDED)
            if known and checksum == crc32(content[: -CHECKSUM.size]):
                return keystone, capstone, content[HEADER.size : -CHECKSUM.size]
        return _NOBODY, _NOBODY, bytes(BITMAP_SIZE)

    def _write(self, keystone: bytes, capstone: bytes, bitmap: bytes) -> None:
        if self._path is not None:
            self._content = keystone, capstone, bitmap
            content = HEADER.pack(MAGIC, VERSION, RECORDED, keystone, capstone) + bitmap
            with contextlib.suppress(OSError, ValueError):  # lost, and learned anew
                write_private(self._path, content + CHECKSUM.pack(crc32(content)))
                remove_abandoned(os.path.dirname(self._path), NAME.__eq__)


def known_facts(facts: LibraryFacts | None) -> LibraryFacts:
    """*facts*; those in the user's cache folder for None.

    Raises:
        UsageError: it is something else.
    """
    return LibraryFacts.of_user() if facts is None else instance(LibraryFacts, "LibraryFacts.of_user", "facts", facts)


def size_of(folder: StrPath) -> int | None:
    """Bytes that such facts take in *folder*; None where there are none."""
    return dict(_files(folder)).get(NAME)


def _files(folder: StrPath) -> list[tuple[str, int]]:
    """The names of the facts in *folder*, and of what a writer left behind that was killed, with their sizes."""
    return [(name, status.st_size) for name, status in own_files(folder) if finished_name(name) == NAME]


def clear(folder: StrPath) -> bool:
    """Remove the facts, and what a writer left behind that was killed; whether there were any."""
    found = _files(folder)
    for name, _ in found:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
    return NAME in dict(found)


def either(one: bytes | bytearray, other: bytes | bytearray) -> bytes:
    """The bits that are set in at least one of two bitmaps of the same size."""
    both = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return both.to_bytes(len(one), "little")
