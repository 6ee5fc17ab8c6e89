"""Records of commands: one JSON file each, written whole beside the others of a build, and read with suspicion.

A build writes one for every link and compile, so this module imports next to nothing.
"""

from __future__ import annotations

import os

from stubgen.capture.json_text import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Any, TypeVar

    T = TypeVar("T")
    FileIdentity = tuple[int, int, int, int]
    import signal
else:
    import _signal as signal  # as in stubgen.capture.process

MAX_TIME = 253_370_764_800  # seconds since 1970
"""The year 9999 begins: no record is from later."""


class Kind:
    """What a record is of."""

    __slots__ = ("name", "schema", "suffix", "writer")

    def __init__(self, name: str, suffix: str, schema: int, writer: str) -> None:
        self.name = name
        """``link`` or ``compile``."""
        self.suffix = suffix
        """What the names of its files end in."""
        self.schema = schema
        """Version of the record; a field that changes its meaning raises it."""
        self.writer = writer
        """The executable that writes it."""


class Recorded:
    """A record that this process has written."""

    __slots__ = ("document", "path")

    def __init__(self, path: str, document: dict[str, object]) -> None:
        self.path = path
        """Its file."""
        self.document = document
        """What is in it."""


def read_record(path: str | Path, kind: Kind, build: Callable[[Path, dict[str, Any]], T]) -> T:
    """What *build* makes of the record in the file *path*.

    A record says what a link runs, so another user's is not believed, nor is one that anybody may write.

    Raises:
        UnreadableInput: there is no such file, or whose it is forbids to believe it.
        MalformedInput: the file holds no record, or another version's.
    """
    import json
    from pathlib import Path as PathType

    from stubgen.common.arguments import path as checked_path
    from stubgen.common.files import open_input
    from stubgen.errors import MalformedInput, UsageError

    file = PathType(checked_path("path", path))
    content, status = open_input(file)
    _refuse_foreign(file, kind, status)
    try:
        content = bytes(content)
        record = json.loads(content)
        schema = number(record["schema"])
        if schema != kind.schema:
            raise MalformedInput(
                f"{file}: is a captured {kind.name} of schema {schema}, and this version reads schema {kind.schema}: "
                f"capture the {kind.name} again"
            )
        return build(file, record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError) as error:
        raise MalformedInput(
            f"{file}: not a captured {kind.name}; give a *{kind.suffix} file that {kind.writer} wrote"
        ) from error


def _refuse_foreign(file: Path, kind: Kind, status: os.stat_result) -> None:
    """Refuse the record *file* where somebody else chose what it says; root could choose what this program is.

    Raises:
        UnreadableInput: somebody did, or could.
    """
    from stubgen.errors import UnreadableInput

    if status.st_uid not in (os.geteuid(), 0):
        raise UnreadableInput(
            f"{file}: is another user's record, and says which programs a {kind.name} runs: "
            f"capture the {kind.name} yourself, or make the file yours"
        )
    if status.st_mode & 0o002:
        raise UnreadableInput(
            f"{file}: anybody may write this record, which says what programs a {kind.name} runs: "
            "look at it, and chmod o-w it"
        )


def text(value: object) -> str:
    """A text that can be a command's argument, a path or a variable's value."""
    if not isinstance(value, str):
        raise TypeError(value)
    if "\0" in value:
        raise ValueError(value)
    value.encode("utf-8", "surrogateescape")
    return value


def variable(file: Path, kind: Kind, value: object, kept: Callable[[str], bool]) -> str:
    """The name of an environment variable that the record *file* sets.

    Raises:
        MalformedInput: it is none that a capture keeps: ``LD_PRELOAD`` would run what its value names.
    """
    from stubgen.errors import MalformedInput

    name = text(value)
    if not name or "=" in name:
        raise ValueError(name)
    if not kept(name):
        raise MalformedInput(f"{file}: sets {name}, which no capture keeps: capture the {kind.name} again")
    return name


def number(value: object) -> int | float:
    """A number of a record's."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value


def identity_of(path: str) -> FileIdentity | None:
    """What tells the regular file *path* from others, and stays when it is renamed; None where there is none.

    Device, inode, bytes and time of its last change in nanoseconds.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    regular = found.st_mode & 0o170000 == 0o100000  # S_IFREG
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if regular else None


def file_identity(value: Any) -> FileIdentity | None:
    """The same, as a record has it."""
    if value is None:
        return None
    device, inode, size, modified = map(int, map(number, value))
    return device, inode, size, modified


def timestamp(value: object) -> float:
    """Seconds since 1970 that a calendar has a date for; NaN is none."""
    seconds = number(value)
    if not 0 <= seconds < MAX_TIME:
        raise ValueError(seconds)
    return float(seconds)


def read_folder(directory: str | Path, kind: Kind, load: Callable[[Path], T]) -> tuple[list[T], str]:
    """Every sound record of *kind* in *directory*, in the order of their names, and why another one is none.

    Raises:
        UnreadableInput: there is no such folder.
        UsageError: *directory* is no path.
    """
    from pathlib import Path as PathType

    from stubgen.common.arguments import path
    from stubgen.errors import InputError, UnreadableInput

    folder = PathType(path("directory", directory))
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: no such folder; nothing was captured there")
    found, refused = [], ""
    for file in sorted(folder.glob(f"*{kind.suffix}")):
        try:
            found.append(load(file))
        except InputError as error:  # another version's, or one that is being written right now
            refused = str(error)
    return found, refused


def add_record(
    folder: str,
    kind: Kind,
    output: str,
    document: dict[str, object],
    *,
    kept: int,
    copy: Callable[[str], Mapping[str, object]] | None = None,
) -> Recorded:
    """Write *document*, the record of the command that writes *output*.

    The file appears at once and whole, under a name that no other command of the build has, or not at all. Of the
    records of one output the newest *kept* stay.

    Args:
        folder: where; made if need be.
        kind: what it is of.
        output: the output's absolute path.
        document: what to write; ``schema`` and ``time`` are added.
        kept: how many.
        copy: makes files beside it whose names begin with its argument, and returns more of the document.

    Raises:
        OSError: the folder cannot be written.
    """
    with _signals_blocked():
        return _added(folder, kind, output, document, kept, copy)


def _added(
    folder: str,
    kind: Kind,
    output: str,
    document: dict[str, object],
    kept: int,
    copy: Callable[[str], Mapping[str, object]] | None,
) -> Recorded:
    import time
    from binascii import crc32

    os.makedirs(folder, exist_ok=True)
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in os.path.basename(output))[:80]
    series = f"{stem or kind.name}.{crc32(os.fsencode(output)):08x}."
    name = f"{series}{time.time_ns():x}.{os.getpid():x}"
    path = os.path.join(folder, name + kind.suffix)
    whole = {"schema": kind.schema, **document, "time": time.time()}
    try:
        if copy is not None:
            whole |= copy(name)
        write_record(path, whole)
    except BaseException:
        _remove_files(folder, [file for file in os.listdir(folder) if file.startswith(f"{name}.")])
        raise
    _prune(folder, kind, series, kept)
    return Recorded(path, whole)


def write_record(path: str, document: dict[str, object]) -> None:
    """Write *document* at *path*, whole.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    temporary = f"{path}.tmp"
    with _signals_blocked():
        try:
            with open(temporary, "wb") as file:
                file.write(json_text(document).encode())
            os.replace(temporary, path)
        except BaseException:
            _remove_files("", [temporary])
            raise


class _signals_blocked:  # noqa: N801  # contextlib is a tenth of this program's start
    """While it is entered, signals that end a build wait: each would leave half a record behind."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING) if _ENDING else None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} if os.name == "posix" else set()


def _prune(folder: str, kind: Kind, series: str, kept: int) -> None:
    """Remove the oldest records whose names begin with *series*, with their response files, beyond *kept*."""
    times = {}
    for file in os.listdir(folder):
        if file.startswith(series) and file.endswith(kind.suffix):
            moment, _, process = file[len(series) : -len(kind.suffix)].partition(".")
            if _is_hexadecimal(moment) and _is_hexadecimal(process):
                times[f"{series}{moment}.{process}"] = int(moment, 16)
    old = sorted(times, key=lambda name: times[name])[:-kept]
    if old:
        copies = [file for file in os.listdir(folder) if file.endswith(".rsp") and file.startswith(series)]
        of = {name: [copy for copy in copies if copy.startswith(f"{name}.")] for name in old}
        _remove_files(folder, [file for name in old for file in (name + kind.suffix, *of[name])])


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and not text.strip("0123456789abcdef")


def _remove_files(folder: str, names: Iterable[str]) -> None:
    for name in names:
        try:
            os.unlink(os.path.join(folder, name))
        except OSError:  # another link of the build was faster
            continue
