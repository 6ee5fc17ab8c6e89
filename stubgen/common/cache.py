"""The user's cache folder: where it is, and files in it that only their owner is believed about.

What is in it saves time and answers nothing: what cannot be read is made anew, and what cannot be written is lost.
Whoever may write there decides what is believed, so the folder is its user's alone, and so is each file in it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator

from stubgen.common.arguments import StrPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # which ``signal`` is, less its enumerations

FOLDER_VARIABLE = "STUBGEN_CACHE_DIR"
OWN_FOLDER = "hotpatch-stubgen"
"""The folder in the named one: nothing else's files are ever in it, whatever folder somebody named."""

_NOBODY_WAITS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> str | None:
    """The tool's own folder in ``STUBGEN_CACHE_DIR``, else in the platform's cache folder; None if there is none.

    An empty ``STUBGEN_CACHE_DIR`` means no cache, and a folder that others may write to is none.
    """
    folder = _own_folder()
    why = refusal()
    if folder is None or not why:
        return folder
    _refused.setdefault(folder, why)
    return None


def refusal() -> str:
    """Why the folder that is there is not used; empty where it is."""
    try:
        status = os.lstat(_own_folder() or "")
    except (OSError, ValueError):  # not there yet, or not to be reached
        return ""
    if not stat.S_ISDIR(status.st_mode):
        why = "it is no folder"
    elif status.st_uid != os.geteuid():
        why = "it belongs to another user"
    elif status.st_mode & _OTHERS_WRITE:
        why = "others may write to it: chmod 700 would do"
    else:
        return ""
    return f"{_own_folder()}: nothing is kept between commands, because {why}"


_refused: dict[str, str] = {}
"""Folder -> :func:`refusal`; empty once somebody was told."""


def untold_refusal() -> str:
    """:func:`refusal`, where :func:`cache_folder` met one and nobody was told; the next time it is empty."""
    for folder, why in _refused.items():
        if why:
            _refused[folder] = ""
            return why
    return ""


def _own_folder() -> str | None:
    base = os.environ.get(FOLDER_VARIABLE)
    if base is None:
        base = _platform_folder()
    return os.path.join(os.path.abspath(base), OWN_FOLDER) if base else None


def _platform_folder() -> str | None:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # XDG Base Directory Specification: a relative one is ignored
        return base
    home = os.path.expanduser("~")
    return (
        os.path.join(home, "Library/Caches" if sys.platform == "darwin" else ".cache") if os.path.isabs(home) else None
    )


def make_folder(folder: StrPath) -> None:
    """Make the cache folder *folder*, for this user alone.

    Raises:
        OSError: it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        os.mkdir(folder, 0o700)


def open_private(path: StrPath) -> tuple[int, int] | None:
    """Descriptor and size, in bytes, of the file at *path*, open for reading; None unless it is this user's alone.

    A symbolic link, a folder, a named pipe, another user's file and one that others may write are none: whoever may
    write a file decides what is believed.
    """
    try:
        file = os.open(path, os.O_RDONLY | _NOBODY_WAITS)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE:
            return file, status.st_size
    except OSError:
        pass
    os.close(file)
    return None


def read_private(path: StrPath, most: int) -> bytes | None:
    """What is in the file at *path*, as :func:`open_private` opens it; None if it has more than *most* bytes."""
    opened = open_private(path)
    if opened is None:
        return None
    try:
        with open(opened[0], "rb", buffering=0) as file:
            content = file.read(opened[1] + 1) if opened[1] <= most else None
    except OSError:
        return None
    return content if content is not None and len(content) == opened[1] else None


def write_private(path: StrPath, content: bytes) -> None:
    """Put *content* at *path*, whole and for this user alone.

    What stood there is replaced, be it a symbolic link: what that leads to is left alone. Where somebody clears the
    folder meanwhile, it is written again.

    Raises:
        OSError: it cannot be written.
    """
    for attempt in range(ATTEMPTS):
        try:
            _write_private(path, content)
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return


ATTEMPTS = 10
"""How often a file is written whose folder is cleared each time while it is being written."""


def _write_private(path: StrPath, content: bytes) -> None:
    folder, name = os.path.split(path)
    make_folder(folder)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}")
    with _signals_blocked():  # not every command that learns something to keep tidies up at signals
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOBODY_WAITS, 0o600), "wb") as file:
                file.write(content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Signals that end a command wait in this thread, also those that have no handler of Python's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def finished_name(name: str) -> str:
    """What the temporary file called *name* was to become; any other, itself."""
    start, _, mark = name.rpartition(".")
    is_temporary = start.startswith(".") and len(mark) == 8 and not mark.strip("0123456789abcdef")
    return start[1:] if is_temporary else name


ABANDONED = 3600
"""Seconds after which a temporary file is one that a killed writer left behind: writing takes less than one."""


def remove_abandoned(folder: StrPath, is_own: Callable[[str], bool]) -> None:
    """Remove what killed writers left in *folder* of the files whose finished names *is_own* knows; never an error."""
    for name, status in own_files(folder):
        finished = finished_name(name)
        if finished != name and is_own(finished) and status.st_mtime < time.time() - ABANDONED:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def own_files(folder: StrPath) -> list[tuple[str, os.stat_result]]:
    """The names of the regular files in *folder*, with their status; nothing where it is not there."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):  # cleared meanwhile
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found.append((entry.name, status))
    return found
