"""Copies of large files on disk for a process that stays: it holds the pages that it reads, not the files.

A mapping of the file itself would end the process if somebody cut the file short, and bytes in memory are as large as
the file. A copy in the user's cache folder, which never has a name or has lost it, is nobody else's to change, and is
gone with the process.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from _thread import allocate_lock

from stubgen.common.cache import cache_folder, make_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from weakref import WeakSet

_mapped: list[WeakSet[mmap.mmap]] = []  # of one, made when there is anything to be in it
_CHANGING = allocate_lock()  # held while one is added, or all are listed


def copy_on_disk(source: int, size: int) -> mmap.mmap | None:
    """A mapping of a copy of the open file *source*, of *size* bytes; None where the system or the folder has none.

    ``copy_file_range`` of Linux copies within the kernel, or only notes that two files have the same blocks.
    """
    folder = cache_folder()
    if folder is None or not hasattr(os, "copy_file_range"):
        return None
    try:
        make_folder(folder)
        copy = _nameless(folder)
    except OSError:
        return None
    try:
        at = 0
        while at < size:
            copied = os.copy_file_range(source, copy, size - at, at, at)
            if not copied:  # it is shorter by now
                return None
            at += copied
        return _noted(mmap.mmap(copy, size, access=mmap.ACCESS_READ))
    except OSError:  # a full disk, or a file system that does not copy to this one
        return None
    finally:
        os.close(copy)


def _noted(mapping: mmap.mmap) -> mmap.mmap:
    from weakref import WeakSet

    with _CHANGING:
        if not _mapped:
            _mapped.append(WeakSet())
        _mapped[0].add(mapping)
    return mapping


def let_go_of_pages() -> None:
    """Have no page of the copies in this process's memory; whatever is read again comes from the system's cache.

    Linux maps sixteen pages for each that is read: a thousand names of a host bring in most of its string table.
    """
    with _CHANGING:
        mapped = list(_mapped[0]) if _mapped else []
    for mapping in mapped:
        with contextlib.suppress(OSError, ValueError):  # locked in memory; closed by now
            mapping.madvise(mmap.MADV_DONTNEED)


def _nameless(folder: str) -> int:
    """A new file without a name on the file system of *folder*, open.

    Raises:
        OSError: there can be none.
    """
    with contextlib.suppress(OSError):  # not each file system has them
        return os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    path = os.path.join(folder, f".copy.{os.urandom(4).hex()}")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return file
