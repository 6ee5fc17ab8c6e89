"""Runs the captured linker for a patch: in a folder of its own, and with answers that name the user's files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stubgen.capture import Capture
from stubgen.common.cancellation import run
from stubgen.common.files import cannot_be_written, fitting, is_special, system_failure
from stubgen.common.phases import phase
from stubgen.common.scratch import scratch_folder
from stubgen.errors import LinkerFailed, UsageError
from stubgen.linkplan import LinkPlan
from stubgen.linkplan.map_option import (
    ZIG_VERBOSE,
    library_folders,
    library_query,
    map_option,
    prefix_option,
    told_by_zig,
)


class LinkFolder:
    """A folder for what one link reads and writes, which is gone afterwards unless it is kept.

    Args:
        path: its real path.
        kept: it stays, so that its paths may be told.
    """

    def __init__(self, path: str, *, kept: bool) -> None:
        self.path = path
        self.kept = kept
        self._names: dict[str, str] = {}

    def join(self, *names: str) -> str:
        """A path in it."""
        return os.path.join(self.path, *names)

    def stands_for(self, path: str, name: str) -> str:
        """*path*, in it, which people know as *name*."""
        self._names[path] = name
        return path

    def told(self, text: str) -> str:
        """*text*, from the linker or for it, with people's names in the place of paths that are gone afterwards."""
        if self.kept or self.path not in text:
            return text
        for path in sorted(self._names, key=len, reverse=True):
            text = text.replace(path, self._names[path])
        return text.replace(f"{self.path}{os.sep}", "").replace(self.path, ".")


@contextmanager
def link_folder(target: Path, *, keep: bool = False) -> Iterator[LinkFolder]:
    """A folder beside *target*, so that the patch can be moved there; *keep*: ``TARGET.temps``, which stays.

    Raises:
        OutputFailure: it cannot be made.
        UsageError: there is something else of that name.
    """
    if keep:
        try:
            kept = _kept_folder(target)
        except OSError as error:
            raise cannot_be_written(target, error) from error
        yield LinkFolder(kept, kept=True)
        return
    beside = None if is_special(str(target)) else target.parent
    with scratch_folder(f".{fitting(target.name, 10)}.", beside) as folder:
        yield LinkFolder(os.path.realpath(folder), kept=False)


MARK = "stub.o"
"""What every such folder has, from its beginning to its end: whoever is killed meanwhile leaves one that is known."""


def _kept_folder(target: Path) -> str:
    folder = target.with_name(f"{fitting(target.name, 6)}.temps")
    known = not folder.is_symlink() and (folder / MARK).is_file()
    if not known and os.path.lexists(folder) and not (folder.is_dir() and not os.listdir(folder)):
        raise UsageError(f"{folder}: is not what an earlier link kept: move it away, or give the patch another name")
    folder.mkdir(exist_ok=True)
    (folder / MARK).touch()
    for earlier in list(folder.iterdir()):
        if earlier.is_dir() and not earlier.is_symlink():
            shutil.rmtree(earlier)
        elif earlier.name != MARK:
            earlier.unlink()
    return os.path.realpath(folder)


class LinkerRun(NamedTuple):
    """What a linker left."""

    messages: str  # what it printed
    link_map: str | None  # its map file's text; None where it writes none
    archives: tuple[str, ...]  # those that zig adds


def run_linker(
    command: Sequence[str], plan: LinkPlan, captured: Capture, folder: LinkFolder, output: Path, *, named: bool
) -> LinkerRun:
    """Run *command*, with a map file where the linker writes one.

    Args:
        command: what *plan* came to, the program first.
        plan: the link.
        captured: the host's link, for its folder and environment.
        folder: where the linker's inputs are.
        output: the patch, in *folder*.
        named: the patch names its objects, without *folder* in front of them.

    Raises:
        LinkerFailed: it could not be run, ended with an error, or wrote no *output*.
    """
    phase("runs the linker")
    map_file = Path(folder.path, "link.map")
    option = map_option(plan.args, plan.os, str(map_file))
    option += prefix_option(plan.args, plan.os, folder.path) if named and option else []
    try:
        printed = _run([*command, *option], captured, folder, {} if option else ZIG_VERBOSE)
    except LinkerFailed as error:
        if not option or not re.search(rf"-[Mm]ap\b|-oso_prefix|{re.escape(str(map_file))}", error.output):
            raise
        printed = _run(command, captured, folder)  # a linker that knows no map file, or no prefix, said so
    messages, archives = (printed, ()) if option else told_by_zig(printed)
    if not output.is_file():
        message = f"{command[0]}: said nothing was wrong, but wrote no {output.name}\n{messages}".rstrip()
        raise _failure(message, command, 0, messages, captured, folder)
    try:
        return LinkerRun(folder.told(messages), map_file.read_text("utf-8", "surrogateescape"), archives)
    except FileNotFoundError:
        return LinkerRun(folder.told(messages), None, archives)


def library_finder(plan: LinkPlan, captured: Capture, link: LinkFolder) -> Callable[[str], str | None]:
    """Finds the file of a library that the patch needs, where the linker or the driver looks for it."""

    def find(name: str) -> str | None:
        directory = plan.directory or os.getcwd()
        if os.path.isabs(name) and os.path.isfile(name):
            return name
        base = os.path.basename(name)
        stem = base.partition(".so")[0] + ".so"
        for folder in library_folders(plan.args, directory):
            for candidate in dict.fromkeys((base, stem)):
                if os.path.isfile(os.path.join(folder, candidate)):
                    return os.path.join(folder, candidate)
        query = library_query(plan.args, plan.os, base)
        try:
            found = _run(query, captured, link).splitlines()[-1:] if query else []
        except LinkerFailed:
            found = []
        return found[0] if found and os.path.isfile(found[0]) else None

    return find


ADVICE = {
    "R_AARCH64_LD_PREL_LO19": "the patch's code is more than 1 MiB from the constants that direct accesses to the "
    "host's data read: make the patch of fewer objects, or declare that data with default visibility and use -fPIC",
}
"""What linkers complain about where a bound copy cannot be linked -> what helps."""


def _run(
    command: Sequence[str], captured: Capture, folder: LinkFolder, variables: Mapping[str, str] | None = None
) -> str:
    """What the linker prints; *variables* are set besides.

    The captured variables are laid over the present ones and nothing is cleared: drivers look for their linker
    through ``PATH`` ("collect2: cannot find 'ld'").
    """
    try:
        done = run(command, captured.directory, {**os.environ, **captured.environment, **(variables or {})})
    except OSError as error:
        failure = system_failure(error)
        if failure is not None:
            raise failure from error
        where = "" if captured.directory.is_dir() else f" in {captured.directory}, which is gone"
        raise LinkerFailed(f"{command[0]}: cannot be run{where}: {error.strerror}", command=command) from error
    messages = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        messages = told_by_zig(messages)[0] if variables else messages
        status = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        message = f"{command[0]}: ended with {status}\n{messages}".rstrip()
        message += "".join(f"\n{advice}" for word, advice in ADVICE.items() if word in messages)
        raise _failure(message, command, done.returncode, messages, captured, folder)
    return messages


def _failure(
    message: str, command: Sequence[str], status: int, messages: str, captured: Capture, folder: LinkFolder
) -> LinkerFailed:
    told, words = folder.told(messages), [folder.told(word) for word in command]
    text = folder.told(f"{message}\n{_how_to_repeat(command, captured, folder)}")
    return LinkerFailed(text, command=words, status=status, output=told)


def _how_to_repeat(command: Sequence[str], captured: Capture, folder: LinkFolder) -> str:
    if folder.kept:
        return f"to repeat it: cd {shlex.quote(str(captured.directory))} && {shlex.join(command)}"
    return f"it was: {shlex.join(command)}\n--keep-temps keeps what it read, so that it can be repeated"
