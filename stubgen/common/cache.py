"""The user's cache folder: where it is, and files in it that only their owner is believed about.

What is in it saves time and answers nothing: what cannot be read is made anew, and what cannot be written is lost.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from stubgen.common.arguments import StrPath

FOLDER_VARIABLE = "STUBGEN_CACHE_DIR"

_NOBODY_WAITS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def cache_folder() -> str | None:
    """``STUBGEN_CACHE_DIR``, else the platform's cache folder; None if there is none.

    An empty ``STUBGEN_CACHE_DIR`` means no cache.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return os.path.abspath(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # XDG Base Directory Specification: a relative one is ignored
        home = os.path.expanduser("~")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, "Library/Caches" if sys.platform == "darwin" else ".cache")
    return os.path.join(base, "hotpatch-stubgen")


def read_private(path: StrPath, size: int) -> bytes | None:
    """The *size* bytes of the file at *path*; None unless it is this user's alone and of exactly that size.

    A symbolic link, a folder, a named pipe, another user's file and one that others may write are none: whoever may
    write a file decides what is believed.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _NOBODY_WAITS)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(handle)
        foreign = status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(status.st_mode) or foreign or status.st_size != size:
            return None
        content = os.read(handle, size + 1)
    except OSError:
        return None
    finally:
        os.close(handle)
    return content if len(content) == size else None


def write_private(path: StrPath, content: bytes) -> bool:
    """Put *content* at *path*, whole and for this user alone; False where that is impossible.

    What stood there is replaced, be it a symbolic link: what that leads to is left alone.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}")  # named as write_output names its own
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOBODY_WAITS, 0o600), "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.unlink(temporary)
        return False
    return True


def finished_name(name: str) -> str:
    """What the temporary file called *name* was to become, from here or from ``write_output``; any other, itself."""
    start, _, mark = name.rpartition(".")
    is_temporary = start.startswith(".") and len(mark) == 8 and not mark.strip("0123456789abcdef")
    return start[1:] if is_temporary else name
