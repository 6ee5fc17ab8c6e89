"""Reads inputs and writes outputs: one sentence when it fails, and never half a file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping

from stubgen.errors import OutputFailure, StubgenError, SystemFailure, UnreadableInput, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from types import TracebackType
    from typing import BinaryIO, Self

    Buffer = bytes | mmap

_DESCRIPTORS = ("/dev/std", "/dev/fd/", "/proc/")
"""Paths that stand for an open file: written to, never replaced."""


_mapping = True


def stop_mapping() -> None:
    """Copy every input from now on, in this process: a mapped file that somebody truncates ends it with SIGBUS."""
    global _mapping  # noqa: PLW0603  # a signal that ends the process is the process's business
    _mapping = False


_leasing = False

SMALL = 1 << 18  # bytes up to which a file is copied in no more time than it is mapped
LARGE = 1 << 24  # bytes from which a copy is made on disk, where one is wanted


def lease_mapped() -> None:
    """Let nobody cut an input short while this process has it mapped: it is to be over soon.

    Linux has whoever would write to a leased file wait for its reader, or for ``/proc/sys/fs/lease-break-time``
    (45 seconds). The caller's own files on local file systems can be leased; macOS has no leases.
    """
    global _leasing  # noqa: PLW0603  # as above
    _leasing = True


def read_input(path: str | os.PathLike[str], *, copied: bool = False) -> Buffer:
    """The bytes of *path*, memory-mapped where the file system allows it.

    Args:
        path: the file.
        copied: copy them instead, large files on disk, so that they stay what they are whatever happens to the file.

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
            if copied or not _mapping or status.st_size <= SMALL or (_leasing and _is_written(file)):
                return _copy(file, path), status
            from mmap import ACCESS_READ
            from mmap import mmap as mapped

            try:
                return mapped(file.fileno(), 0, access=ACCESS_READ), status
            except ValueError:  # an empty file cannot be mapped
                return b"", status
            except OSError:  # a pipe, or a file system without mmap
                return file.read(), status
    except FileNotFoundError as error:
        raise UnreadableInput(f"{os.fspath(path)}: no such file") from error
    except IsADirectoryError as error:
        raise UnreadableInput(f"{os.fspath(path)}: is a directory, not a file") from error
    except OSError as error:
        kind = SystemFailure if error.errno in _EXHAUSTED else UnreadableInput
        raise kind(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error


def _is_written(file: BinaryIO) -> bool:
    """Whether somebody has *file* open for writing; if not, it is leased until it is closed, and so is its mapping."""
    import fcntl

    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETOWN, 0)  # no signal when somebody waits
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


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


def _copy(file: BinaryIO, path: str | os.PathLike[str]) -> Buffer:
    """What is in *file*, if it was the same from the first byte to the last."""
    before = os.fstat(file.fileno())
    content: Buffer | None = None
    if before.st_size >= LARGE and stat.S_ISREG(before.st_mode):
        from stubgen.common.kept_copy import copy_on_disk

        content = copy_on_disk(file.fileno(), before.st_size)
    if content is None:
        content = file.read()
    after = os.fstat(file.fileno())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed and stat.S_ISREG(after.st_mode):
        raise UnreadableInput(f"{os.fspath(path)}: changes while it is read: give it when it is complete")
    return content


class RealPaths:
    """What ``os.path.realpath`` says of many files, each folder looked at once: a link has hundreds of one folder's.

    It knows nothing of what changes meanwhile.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str | os.PathLike[str]) -> str:
        """The real path of *path*, whether there is such a file or not."""
        folder, name = os.path.split(os.fspath(path))
        if name in ("", os.curdir, os.pardir):
            return os.path.realpath(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        found = os.path.join(self._folders[folder], name)
        return os.path.realpath(found) if os.path.islink(found) else found


def keep_apart(
    outputs: Mapping[str, str | os.PathLike[str] | None],
    inputs: Iterable[str | os.PathLike[str]],
    copies: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Refuse outputs that would overwrite an input or each other, or that cannot be written.

    Args:
        outputs: option -> file; None where it was not asked for.
        inputs: the files that are read.
        copies: bound copies, in a folder that may not be there yet.

    Raises:
        UsageError: they would; the message names both.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError("the folder that this was started in is gone: start it in another one") from error
    real_paths = RealPaths()
    taken = {file: f"the input {os.fspath(path)}" for path in inputs for file in _files_of(path, real_paths)}
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
        _claim(path, f"{option} {os.fspath(path)}", f"what {option} writes", "file", taken, real_paths)
    for path in copies:
        _claim(path, f"the bound copy {os.fspath(path)}", "another bound copy", "folder", taken, real_paths)


def _claim(
    path: str | os.PathLike[str],
    title: str,
    written: str,
    other: str,
    taken: dict[str | tuple[int, int], str],
    real_paths: RealPaths,
) -> None:
    """Note in *taken* that the file at *path* is an output; what was *taken* before is refused."""
    files = _files_of(path, real_paths)
    victim = next((taken[file] for file in files if file in taken), None)
    if victim is not None and not os.path.realpath(path).startswith("/dev/"):
        raise UsageError(f"{title} would overwrite {victim}; name another {other}")
    taken.update(dict.fromkeys(files, written))


def _files_of(path: str | os.PathLike[str], real_paths: RealPaths) -> list[str | tuple[int, int]]:
    """What tells the file at *path* from others: its real path, and where it is there, its device and inode.

    A file system may take names that differ in case for one.
    """
    real = real_paths.of(path)
    try:
        status = os.stat(real)
    except (OSError, ValueError):
        return [real]
    return [real, (status.st_dev, status.st_ino)]


_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""What the machine says when too much is open or runs."""
_FAILED = _EXHAUSTED | {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
"""What the machine says when it cannot; the others say that the path is wrong, or somebody else's."""


def system_failure(error: OSError | MemoryError) -> SystemFailure | None:
    """The error for what the system refused anywhere, if the machine has run out of something; else None."""
    if isinstance(error, MemoryError):
        return SystemFailure("the machine has too little memory for this")
    if error.errno not in _FAILED:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return SystemFailure(f"{where}the machine cannot: {error.strerror}")


def cannot_be_written(path: str | os.PathLike[str], error: OSError) -> StubgenError:
    """The error for an output that the system refused to write, to be raised from *error*.

    A full disk is nobody's mistake on the command line: :class:`OutputFailure`; a folder that is missing or that may
    not be written is: :class:`UsageError`.
    """
    kind = OutputFailure if error.errno in _FAILED else UsageError
    return kind(f"{os.fspath(path)}: cannot be written: {error.strerror}")


def _remove(remove: Callable[[str], None], path: str) -> None:
    """Remove what is at *path*, if that can be."""
    try:
        remove(path)
    except OSError:
        return


_open: list[Outputs] = []
"""Those with something staged, for :func:`discard_outputs`."""


def discard_outputs() -> None:
    """Remove what is staged anywhere in this process, which is about to end."""
    while _open:
        _open[-1].discard()


class Outputs:
    """Files that appear together once everything is known to be right, or not at all.

    Each is written beside its place; :meth:`commit` moves them there, the first one last, so that whoever sees it
    finds the others. What is open already, a device or a pipe, is written at once: nothing can be taken back from it.
    """

    def __init__(self) -> None:
        self._staged: list[tuple[str, str]] = []  # the file beside its place, and the place
        self._folders: list[str] = []  # that were made for them, outermost first
        self._held: list[Callable[[], None]] = []

    def until_done(self, release: Callable[[], None]) -> None:
        """Call *release* once all are in their places, or thrown away: a lock is held for as long."""
        self._held.append(release)

    def add_folder(self, path: str | os.PathLike[str]) -> None:
        """Make the folder *path*, and those around it, where they are not there.

        Raises:
            UsageError, OutputFailure: as for :meth:`add`.
        """
        missing = []
        folder = os.path.abspath(path)
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        try:
            for folder in reversed(missing):
                os.mkdir(folder)
                self._folders.append(folder)
        except FileExistsError:  # somebody else was faster
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise cannot_be_written(path, error) from error

    def add(
        self, path: str | os.PathLike[str], content: bytes | bytearray | memoryview, *, modified: int | None = None
    ) -> None:
        """Let *path* have *content*; a symbolic link stays one: what it leads to is written.

        *modified* is its time of modification, in nanoseconds since 1970; None: now.

        Raises:
            UsageError: the folder is missing or may not be written.
            OutputFailure: the disk is full, or failed.
        """
        target = os.fspath(path)
        try:
            if is_special(target):
                _write_special(target, content)
                return
            temporary = self._beside(target)
            with open(temporary, "xb") as file:  # the umask decides on its mode
                file.write(content)
            if modified is not None:
                os.utime(temporary, ns=(modified, modified))
        except OSError as error:
            raise cannot_be_written(target, error) from error

    def move(self, source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
        """Let *path* have the file *source*, which lies in the same file system and may be gone afterwards.

        Raises:
            UsageError, OutputFailure: as for :meth:`add`.
        """
        target = os.fspath(path)
        try:
            if is_special(target):
                _write_special(target, read_input(source))
            else:
                os.replace(source, self._beside(target))
        except OSError as error:
            raise cannot_be_written(target, error) from error

    def _beside(self, target: str) -> str:
        """Where *target* is staged."""
        if self not in _open:
            _open.append(self)
        final = os.path.realpath(target)
        folder, name = os.path.split(final)
        temporary = os.path.join(folder, f".{fitting(name, 9 + 1)}.{os.urandom(4).hex()}")
        self._staged.append((temporary, final))
        return temporary

    def commit(self) -> None:
        """Put all in their places; no signal comes between two of them.

        Raises:
            UsageError, OutputFailure: as for :meth:`add`; what could not be put there is gone.
        """
        from stubgen.common.cancellation import signals_held  # which only what writes loads

        with signals_held():
            while self._staged:
                temporary, final = self._staged[-1]
                try:
                    os.replace(temporary, final)
                except OSError as error:
                    self.discard()
                    raise cannot_be_written(final, error) from error
                del self._staged[-1]
            self._folders.clear()
            self._release()

    def discard(self) -> None:
        """Remove what is staged."""
        from stubgen.common.cancellation import signals_held  # which only what writes loads

        with signals_held():
            while self._staged:
                _remove(os.unlink, self._staged[0][0])
                del self._staged[0]
            while self._folders:
                _remove(os.rmdir, self._folders[-1])  # it stays where somebody put something there
                del self._folders[-1]
            self._release()

    def _release(self) -> None:
        if self in _open:
            _open.remove(self)
        while self._held:
            self._held.pop()()

    def __enter__(self) -> Self:
        """While it is entered, an error discards what is staged."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.discard()


NAME_LIMIT = 255  # bytes that a file's name has at most (NAME_MAX)


def fitting(name: str, more: int) -> str:
    """*name*, cut off where *more* bytes around it would make it too long for a file's."""
    room = NAME_LIMIT - more
    raw = os.fsencode(name)
    return name if len(raw) <= room else raw[:room].decode("utf-8", "ignore")


def is_special(target: str) -> bool:
    """Whether the path *target* is one of an open file, a device or a pipe: written to, never replaced.

    Raises:
        UsageError: it is a folder.
    """
    if not os.path.exists(target) or not (
        os.path.abspath(target).startswith(_DESCRIPTORS) or not os.path.isfile(target)
    ):
        return False
    if os.path.isdir(target):
        raise UsageError(f"{target}: is a directory; name a file to write")
    return True


def write_output(path: str | os.PathLike[str], content: bytes | bytearray | memoryview) -> None:
    """Write *content* to *path* so that the file is either complete or as it was before.

    Raises:
        UsageError, OutputFailure: as for :meth:`Outputs.add`.
    """
    with Outputs() as outputs:
        outputs.add(path, content)
        outputs.commit()


def _write_special(target: str, content: Buffer | bytearray | memoryview) -> None:
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
