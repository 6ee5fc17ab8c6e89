"""One command at a time changes a session file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable

from stubgen.common.files import cannot_be_written, fitting
from stubgen.errors import OutputFailure, PatchRefusal


def lock_session(path: str) -> Callable[[], None]:
    """Lock the session file at *path*, which need not be there; the function that gives it free.

    A file beside it is locked (``flock``), because the session file itself is replaced when it is written. The system
    gives it free when the process ends.

    Raises:
        PatchRefusal: another command has it.
        UsageError, OutputFailure: nothing can be written there.
    """
    folder, name = os.path.split(os.path.realpath(path))
    beside = os.path.join(folder, f".{fitting(name, 6)}.lock")
    while True:
        try:
            handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise cannot_be_written(path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EAGAIN, errno.EACCES):  # what POSIX has for a lock that somebody holds
                raise OutputFailure(f"{path}: cannot be locked: {error.strerror}") from error
            raise PatchRefusal(
                f"{path}: another command is linking a patch of this session: link again when it is done"
            ) from error
        if _is_at(handle, beside):
            return lambda: _unlock(handle, beside)
        os.close(handle)  # whoever had it has removed it meanwhile


def _is_at(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _unlock(handle: int, path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
    os.close(handle)
