"""What a plan is: the command that links the patch, and what became of every captured argument."""

from __future__ import annotations

import os
from enum import Enum

from stubgen.common.arguments import StrPath, number, path
from stubgen.common.row import Row
from stubgen.common.text import as_bytes
from stubgen.linkplan import response
from stubgen.linkplan.library_file import LibraryFile
from stubgen.linkplan.options import Role


class LinkerOs(Enum):
    """The system that the patch is linked for, as far as a linker command depends on it."""

    MACOS = "macos"
    """macOS and the iOS simulator: ld64-style linkers."""
    LINUX = "linux"
    """Linux and Android: GNU-style linkers."""
    OTHER = "other"
    """Windows-style commands: inputs and output are stripped, nothing is added but the new ones."""


def linker_os_for_host(host: StrPath) -> LinkerOs:
    """The :class:`LinkerOs` of the host file *host*, from its first bytes.

    Raises:
        UnreadableInput: the file cannot be read.
    """
    from stubgen.common.files import read_input

    magic = bytes(read_input(path("host", host))[:4])
    if magic == b"\x7fELF":
        return LinkerOs.LINUX
    if magic in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"):
        return LinkerOs.MACOS
    return LinkerOs.OTHER


class Action(Enum):
    """What became of some arguments."""

    KEPT = "kept"
    """It stays as it was."""
    DROPPED = "dropped"
    """It is gone."""
    REPLACED = "replaced"
    """Something else stands there."""
    ADDED = "added"
    """It was not there before."""


class Edit(Row):
    """What became of some consecutive arguments, and why.

    All ``before`` in order are the captured command; all ``after`` in order are the planned one.
    """

    action: Action
    """What became of them."""
    before: tuple[str, ...]
    """The captured arguments; empty when added."""
    after: tuple[str, ...]
    """The planned arguments; empty when dropped."""
    why: str
    """For people; empty: no rule names it."""
    dropped_roles: tuple[Role, ...] = ()
    """Roles for which something of it went."""


class LinkPlan(Row):
    """A command that links a patch."""

    args: tuple[str, ...]
    """The command, program first."""
    output: str
    """The patch."""
    edits: tuple[Edit, ...]
    """What became of every captured argument, and every added one."""
    directory: str | None
    """Where the command must run: where the captured one ran."""
    warnings: tuple[str, ...]
    """Sentences about what could not be known."""
    os: LinkerOs
    """What the patch is linked for."""
    fixed: int
    """Leading arguments that cannot move into a response file: wrappers, the program, ``-flavor gnu``."""
    localize: tuple[str, ...] = ()
    """After a relocatable link, run this too: it keeps only chosen symbols global. Empty: nothing to run."""
    wrapped: tuple[str, ...] = ()
    """What ``--wrap`` names: a reference to ``f`` means ``__wrap_f``, and one to ``__real_f`` means ``f``."""
    libraries: tuple[LibraryFile, ...] = ()
    """The libraries of the captured command that are files here, in order, but those that every image has."""

    @property
    def archives(self) -> tuple[LibraryFile, ...]:
        """Those that are no part of the patch's link: what the host lacks is taken from them before."""
        return tuple(library for library in self.libraries if library.is_archive)

    def command(self, temporary_directory: StrPath, *, limit: int | None = None) -> list[str]:
        """:attr:`args`, behind a response file in *temporary_directory* when they exceed the system's limit.

        *limit* is in bytes; None asks the system.

        Raises:
            UsageError: the folder may not be written, or the limit is no number.
            OutputFailure: the disk is full, or failed.
        """
        most = argument_limit() if limit is None else number("limit", limit)
        size = sum(len(as_bytes(argument)) + 9 for argument in self.args)
        if size <= most:
            return list(self.args)
        folder = path("temporary_directory", temporary_directory)
        file = os.path.join(folder, f"{os.path.basename(self.output)}.rsp")
        try:
            response.write(file, self.args[self.fixed :], windows=self.os is LinkerOs.OTHER)
        except OSError as error:
            from stubgen.common.files import cannot_be_written

            raise cannot_be_written(file, error) from error
        return [*self.args[: self.fixed], f"@{file}"]


def argument_limit() -> int:
    """Bytes of arguments that a new process may get here, its environment and pointers taken off."""
    try:
        limit = os.sysconf("SC_ARG_MAX")
    except (AttributeError, OSError, ValueError):
        return 30_000  # Windows: 32,767 characters
    environment = sum(len(name) + len(value) + 10 for name, value in os.environ.items())
    return max(limit - environment - 4096, 4096)


def document(plan: LinkPlan) -> dict[str, object]:
    """The plan as a JSON document."""
    return {
        "args": list(plan.args),
        "output": str(plan.output),
        "os": plan.os.value,
        "directory": None if plan.directory is None else str(plan.directory),
        "localize": list(plan.localize),
        "wrapped": list(plan.wrapped),
        "archives": [
            {"path": archive.path, "whole": archive.whole, "found": archive.found} for archive in plan.archives
        ],
        "warnings": list(plan.warnings),
        "edits": [
            {
                "action": edit.action.value,
                "before": list(edit.before),
                "after": list(edit.after),
                "why": edit.why,
            }
            for edit in plan.edits
        ],
    }
