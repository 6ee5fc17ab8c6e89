"""Reads inputs and writes outputs: one sentence when it fails, and never half a file."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from stubgen.errors import OutputFailure, StubgenError, UnreadableInput, UsageError

Buffer = bytes | mmap.mmap

_DESCRIPTORS = ("/dev/std", "/dev/fd/", "/proc/")
"""Paths that stand for an open file: written to, never replaced."""


_mapping = True


def stop_mapping() -> None:
    """Copy every input from now on, in this process: a mapped file that somebody truncates ends it with SIGBUS."""
    global _mapping  # noqa: PLW0603  # a signal that ends the process is the process's business
    _mapping = False


def read_input(path: str | os.PathLike[str], *, copied: bool = False) -> Buffer:
    """The bytes of *path*, memory-mapped where the file system allows it.

    Args:
        path: the file.
        copied: read them into memory instead, so that they stay what they are whatever happens to the file.

    Raises:
        UnreadableInput: the file is missing, is none (a directory, a device, a named pipe), may not be read, or
            changes while it is copied.
    """
    return open_input(path, copied=copied)[0]


def open_input(path: str | os.PathLike[str], *, copied: bool = False) -> tuple[Buffer, os.stat_result]:
    """The bytes of *path*, as :func:`read_input` has them, and the status of that very file.

    Raises:
        UnreadableInput: as there.
    """
    try:
        with _opened(os.fspath(path)) as file:
            status = os.fstat(file.fileno())
            if copied or not _mapping:
                return _copy(file, path), status
            try:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), status
            except ValueError:  # an empty file cannot be mapped
                return b"", status
            except OSError:  # a pipe, or a file system without mmap
                return file.read(), status
    except FileNotFoundError as error:
        raise UnreadableInput(f"{os.fspath(path)}: no such file") from error
    except IsADirectoryError as error:
        raise UnreadableInput(f"{os.fspath(path)}: is a directory, not a file") from error
    except OSError as error:
        raise UnreadableInput(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error


def _opened(path: str) -> BinaryIO:
    """The file at *path*, opened without waiting for anybody; what has no end is refused."""
    if not path:
        raise UnreadableInput("an empty file name was given")
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)), "rb")
    mode = os.fstat(file.fileno()).st_mode
    inherited = os.path.abspath(path).startswith(_DESCRIPTORS)
    if not (stat.S_ISREG(mode) or (stat.S_ISFIFO(mode) and inherited) or path == os.devnull):
        file.close()
        raise UnreadableInput(f"{path}: is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
    os.set_blocking(file.fileno(), True)
    return file


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def _copy(file: BinaryIO, path: str | os.PathLike[str]) -> bytes:
    """What is in *file*, if it was the same from the first byte to the last."""
    before = os.fstat(file.fileno())
    content = file.read()
    after = os.fstat(file.fileno())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed and stat.S_ISREG(after.st_mode):
        raise UnreadableInput(f"{os.fspath(path)}: changes while it is read: give it when it is complete")
    return content


def keep_apart(outputs: Mapping[str, str | os.PathLike[str] | None], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse outputs that would overwrite an input or each other, or that cannot be written.

    Args:
        outputs: option -> file; None where it was not asked for.
        inputs: the files that are read.

    Raises:
        UsageError: they would; the message names both.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError("the folder that this was started in is gone: start it in another one") from error
    taken = {os.path.realpath(path): f"the input {os.fspath(path)}" for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        if not os.fspath(path):
            raise UsageError(f"{option} is empty; name a file to write")
        real = os.path.realpath(path)
        if os.path.isdir(real):
            raise UsageError(f"{os.fspath(path)}: is a directory; name a file for {option} to write")
        folder = os.path.dirname(real)
        special = os.path.exists(real) and not os.path.isfile(real)  # written to, not replaced: no folder is changed
        if not special and (not os.path.isdir(folder) or not os.access(folder, os.W_OK)):
            why = "may not be written" if os.path.isdir(folder) else "does not exist"
            raise UsageError(f"{os.fspath(path)}: cannot be written: the folder {folder} {why}")
        if real in taken and not real.startswith("/dev/"):
            raise UsageError(f"{option} {os.fspath(path)} would overwrite {taken[real]}; name another file")
        taken[real] = f"what {option} writes"


_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What the machine says when it cannot; the others say that the path is wrong, or somebody else's."""


def cannot_be_written(path: str | os.PathLike[str], error: OSError) -> StubgenError:
    """The error for an output that the system refused to write, to be raised from *error*.

    A full disk is nobody's mistake on the command line: :class:`OutputFailure`; a folder that is missing or that may
    not be written is: :class:`UsageError`.
    """
    kind = OutputFailure if error.errno in _FAILED else UsageError
    return kind(f"{os.fspath(path)}: cannot be written: {error.strerror}")


def write_output(path: str | os.PathLike[str], content: bytes | bytearray | memoryview) -> None:
    """Write *content* to *path* so that the file is either complete or as it was before.

    A symbolic link stays one: what it leads to is written.

    Raises:
        UsageError: the folder is missing or may not be written.
        OutputFailure: the disk is full, or failed.
    """
    target = os.fspath(path)
    try:
        special = os.path.abspath(target).startswith(_DESCRIPTORS) or not os.path.isfile(target)
        if special and os.path.exists(target):  # /dev/stdout, a named pipe
            if os.path.isdir(target):
                raise UsageError(f"{target}: is a directory; name a file to write")
            _write_special(target, content)
            return
        final = os.path.realpath(target)
        folder, name = os.path.split(final)
        temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}")
        try:
            with open(temporary, "xb") as file:  # the umask decides on its mode
                file.write(content)
            os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise cannot_be_written(target, error) from error


def _write_special(target: str, content: bytes | bytearray | memoryview) -> None:
    """Write to a device or a pipe, without waiting for somebody to read from a pipe that nobody reads."""
    try:
        handle = os.open(target, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise UsageError(f"{target}: is a named pipe that nobody reads") from error
        raise
    with os.fdopen(handle, "wb") as file:
        os.set_blocking(handle, True)
        file.write(content)
