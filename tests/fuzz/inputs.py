"""The files that targets are given, and the sound ones beside them."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from synthetic import BASE, Sym, elf_host, elf_object, macho_host, macho_object, undefined

from stubgen.build import StubBuilder
from stubgen.host.index import SMALLEST


@cache
def folder() -> str:
    """Where inputs that are read as files lie: in memory where the system has such a folder.

    The first one that no other process holds: what the code sees of a path is to be the same in each run.
    """
    above = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
    for number in itertools.count():
        path = os.path.join(above, f"stubgen-fuzz-{os.getuid()}-{number}")
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # and locked until the process ends
        with suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(held).st_uid == os.getuid():
                for entry in os.scandir(path):
                    (shutil.rmtree if entry.is_dir(follow_symlinks=False) else os.remove)(entry.path)
                return path
        os.close(held)
    raise AssertionError


def file(name: str, content: bytes) -> str:
    """The path of a file of *name* with *content*."""
    path = os.path.join(folder(), name)
    with open(path, "wb", opener=_private) as out:
        out.write(content)
    return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@cache
def fixture(name: str) -> str:
    """The path of a sound file that the fuzzed one is used with."""
    return file(name, FIXTURES[name]())


MAIN = BASE + 0x100
FIXTURES: dict[str, Callable[[], bytes]] = {
    "sound-elf-host": lambda: elf_host([Sym("main", MAIN), Sym("f", MAIN + 0x40)]),
    "sound-elf-patch.o": lambda: elf_object([undefined("f")]),
    "sound-elf-large-host": lambda: elf_host([Sym(f"f{n}", MAIN + 4 * n) for n in range(SMALLEST)]),
    "sound-macho-host": lambda: macho_host({"_main": 0x100, "_f": 0x140}),
    "sound-macho-patch.o": lambda: macho_object({"_g": 0}, ["_f"]),
}
"""Name -> its content."""


@cache
def builder(host: str) -> StubBuilder:
    """Of a sound host; opened once."""
    return StubBuilder(fixture(host), cache=False)
