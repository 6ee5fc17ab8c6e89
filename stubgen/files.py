"""Reads inputs and writes outputs: one sentence when it fails, and never half a file."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from stubgen.errors import UnreadableInput, UsageError

Buffer = bytes | mmap.mmap

_DESCRIPTORS = ("/dev/std", "/dev/fd/", "/proc/")
"""Paths that stand for an open file: written to, never replaced."""


def read_input(path: str | os.PathLike[str]) -> Buffer:
    """The bytes of *path*, memory-mapped where the file system allows it.

    Raises:
        UnreadableInput: the file is missing, is a directory, or may not be read.
    """
    return open_input(path)[0]


def open_input(path: str | os.PathLike[str]) -> tuple[Buffer, os.stat_result]:
    """The bytes of *path*, as :func:`read_input` has them, and the status of that very file.

    Raises:
        UnreadableInput: the file is missing, is a directory, or may not be read.
    """
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
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


def keep_apart(outputs: Mapping[str, str | os.PathLike[str] | None], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse outputs that would overwrite an input or each other, or that cannot be written.

    Args:
        outputs: option -> file; None where it was not asked for.
        inputs: the files that are read.

    Raises:
        UsageError: they would; the message names both.
    """
    taken = {os.path.realpath(path): f"the input {os.fspath(path)}" for path in inputs}
    for option, path in outputs.items():
        if path is None or not os.fspath(path):
            continue
        real = os.path.realpath(path)
        if os.path.isdir(real):
            raise UsageError(f"{os.fspath(path)}: is a directory; name a file for {option} to write")
        folder = os.path.dirname(real)
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            why = "may not be written" if os.path.isdir(folder) else "does not exist"
            raise UsageError(f"{os.fspath(path)}: cannot be written: the folder {folder} {why}")
        if real in taken and not real.startswith("/dev/"):
            raise UsageError(f"{option} {os.fspath(path)} would overwrite {taken[real]}; name another file")
        taken[real] = f"what {option} writes"


def write_output(path: str | os.PathLike[str], content: bytes | bytearray | memoryview) -> None:
    """Write *content* to *path* so that the file is either complete or as it was before.

    A symbolic link stays one: what it leads to is written.

    Raises:
        UsageError: the folder is missing or may not be written.
    """
    target = Path(path)
    try:
        special = os.path.abspath(target).startswith(_DESCRIPTORS) or not target.is_file()
        if target.exists() and special:  # /dev/stdout, a named pipe
            if target.is_dir():
                raise UsageError(f"{target}: is a directory; name a file to write")
            target.write_bytes(content)
            return
        final = Path(os.path.realpath(target))
        handle, temporary = tempfile.mkstemp(prefix=f".{final.name}.", dir=final.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error


def _umask() -> int:
    """The process's umask; reading it means setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
