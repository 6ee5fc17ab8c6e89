"""Which of a build's compiles the host's link takes in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stubgen.capture.links import Capture
from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.compileplan.units import Unit
from stubgen.errors import InputError
from stubgen.image.archive import Member, is_archive, members
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.toolchain import read_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.capture.records import FileIdentity


class HostLink(Row):
    """What the host's link names, as far as it tells whose a compile is."""

    output: str
    """Of the link, for people."""
    files: frozenset[str]
    """Real paths of all files among its words."""
    folders: frozenset[tuple[str, str]]
    """(folder, name) of the same, for files that are gone."""
    archived: Mapping[str, frozenset[bytes]]
    """Name of a member of its archives -> digests of those of that name."""
    archives: Mapping[str, frozenset[str]]
    """Path of each of its archives -> names of its members."""
    identities: Mapping[FileIdentity, str]
    """What told a file among its words from others -> its real path."""
    time: float
    """When it began, in seconds since 1970: what was compiled later is not in the host."""

    def has(self, unit: Unit) -> bool:
        """Whether the link names what *unit* makes."""
        if unit.rust:
            return self._has_crate(unit)
        return unit.output in self.files or os.path.basename(unit.output) in self.archived

    def _has_crate(self, unit: Unit) -> bool:
        crate = unit.crate
        folder = os.path.realpath(os.path.join(unit.directory, crate.folder))
        if any(os.path.join(folder, name) in self.files for name in crate.files() if name.endswith(".rlib")):
            return True
        if any(where == folder and _is_unit_of(name, crate.units) for where, name in self.folders):
            return True
        return any(_is_unit_of(name, crate.units) for name in self.archived)  # of a staticlib


def _is_unit_of(name: str, begins: str) -> bool:
    """Whether the object *name* is a codegen unit of the crate whose files begin with *begins*."""
    return name.startswith(begins) and name.endswith(".o")


def host_link(captured: Capture) -> HostLink:
    """What the link *captured* names.

    Raises:
        PlanRefusal, UsageError, InputError: as for :func:`~stubgen.linkplan.plan_link`.
    """
    command = captured.command()
    line = read_command(command)
    directory = str(captured.directory)
    words = [word for word in line.arguments if not word.startswith("-")]
    paths = [os.path.realpath(os.path.join(directory, word)) for word in words]
    archived: dict[str, set[bytes]] = {}
    archives: dict[str, frozenset[str]] = {}
    for path in dict.fromkeys((*paths, *link_files(command).libraries)):
        found = _members(path)
        for name, digest in found:
            archived.setdefault(name, set()).add(digest)
        archives[path] = frozenset(name for name, _ in found)
    pairs = frozenset(os.path.split(path) for path in paths)
    return HostLink(
        captured.output,
        frozenset(paths),
        pairs,
        {name: frozenset(digests) for name, digests in archived.items()},
        {path: names for path, names in archives.items() if names},
        {found: os.path.realpath(os.path.join(directory, word)) for word, found in captured.inputs.items()},
        captured.time,
    )


def _members(path: str) -> list[tuple[str, bytes]]:
    """(name, digest) of each member of the archive *path*."""
    if not path.endswith((".a", ".lib")) or not os.path.isfile(path):
        return []
    try:
        return [(os.path.basename(member.name), digest_of(member.content)) for member in archive_members(path)]
    except InputError:  # the link says it better
        return []


def archive_members(path: str) -> Iterator[Member]:
    """The members of the archive *path*; of another file there are none.

    Raises:
        InputError: it cannot be read.
    """
    content = read_input(path)
    return members(content, path) if is_archive(content) else iter(())


def digest_of(content: Any) -> bytes:
    """Digest of *content*, a buffer."""
    return hashlib.sha256(content).digest()


def content_digest(path: str) -> bytes:
    """Digest of the file *path*; ``b""`` where it is gone."""
    try:
        return digest_of(read_input(path))
    except InputError:
        return b""


def follow_moves(units: Sequence[Unit], link: HostLink) -> None:
    """Let those of *units* whose objects the build moved before the *link* have their outputs where that found them.

    A rename keeps what tells a file from others; a copy does not, and nothing is guessed by names.
    """
    outputs = {unit.output for unit in units}
    found: dict[str, list[Unit]] = {}
    for unit in units:
        path = link.identities.get(unit.compile.made) if unit.compile.made else None
        if path is not None and unit.output not in link.files and path not in outputs:
            found.setdefault(path, []).append(unit)
    for path, moved in found.items():
        if len(moved) == 1:
            moved[0].output = path


def units_of_host(units: Sequence[Unit], link: HostLink) -> list[Unit]:
    """Those of *units* that the link takes in: files that it names, and crates that those were compiled with.

    Link-time optimisation of rustc's takes crates into the program that the linker does not see. What a macro's crate
    uses is none of the program's.
    """
    found = {id(unit): unit for unit in units if link.has(unit)}
    waiting = [unit for unit in found.values() if unit.rust]
    while waiting:
        used = waiting.pop().extern_files
        for unit in units:
            if unit.rust and id(unit) not in found and not unit.is_macro and not used.isdisjoint(unit.made_files):
                found[id(unit)] = unit
                waiting.append(unit)
    return list(found.values())
