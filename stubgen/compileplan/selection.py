"""Which compiles a patch needs again: those of the host that read what changed, and crates that use those."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stubgen.capture.links import Capture
from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.compileplan.units import Unit
from stubgen.errors import InputError, UsageError
from stubgen.image.archive import is_archive, members
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.toolchain import read_command


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

    def has(self, unit: Unit) -> bool:
        """Whether the link takes in what *unit* makes."""
        if unit.rust:
            return self._has_crate(unit)
        return unit.output in self.files or os.path.basename(unit.output) in self.archived

    def _has_crate(self, unit: Unit) -> bool:
        crate = unit.crate
        folder = os.path.realpath(os.path.join(unit.directory, crate.folder))
        if os.path.join(folder, f"lib{crate.stem}.rlib") in self.files:
            return True
        begins = f"{crate.stem}."
        if any(where == folder and _is_unit_of(name, begins) for where, name in self.folders):
            return True
        return any(_is_unit_of(name, begins) for name in self.archived)  # of a staticlib


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
    for path in dict.fromkeys((*paths, *link_files(command).libraries)):
        for name, digest in _members(path):
            archived.setdefault(name, set()).add(digest)
    pairs = frozenset(os.path.split(path) for path in paths)
    return HostLink(
        captured.output, frozenset(paths), pairs, {name: frozenset(digests) for name, digests in archived.items()}
    )


def _members(path: str) -> Iterable[tuple[str, bytes]]:
    """(name, digest) of each member of the archive *path*."""
    if not path.endswith((".a", ".lib")) or not os.path.isfile(path):
        return ()
    try:
        content = read_input(path)
        if not is_archive(content):
            return ()
        return [(os.path.basename(member.name), _digest(member.content)) for member in members(content, path)]
    except InputError:  # the link says it better
        return ()


def _digest(content: Any) -> bytes:
    return hashlib.sha256(content).digest()


def select_changed(units: Sequence[Unit], changed: Sequence[str], link: HostLink | None) -> list[Unit]:
    """The units to compile again because the files *changed* did, dependencies before their users.

    Raises:
        UsageError: a file is not there; nothing that was compiled reads it; nothing of the host does; or, without
            *link*, several outputs do.
        CompilerFailed: the compiler does not say what a unit reads.
    """
    chosen: dict[int, Unit] = {}
    for name in changed:
        for unit in _readers(units, name, link):
            chosen[id(unit)] = unit
    return with_dependents(units, list(chosen.values()), link)


def select_crates(units: Sequence[Unit], crates: Sequence[str], link: HostLink | None) -> list[Unit]:
    """The units of the crates called *crates*, and of the crates that use them, dependencies before their users.

    Raises:
        UsageError: nothing of that name was compiled, or is the host's; or several are.
    """
    chosen = []
    for name in crates:
        wanted = name.replace("-", "_")
        found = [unit for unit in units if unit.rust and unit.crate.name == wanted]
        if not found:
            known = ", ".join(sorted({unit.crate.name for unit in units if unit.rust})) or "none"
            raise UsageError(f"no recorded compile is of a crate {name}; those that were recorded: {known}")
        chosen += _of_host(found, f"crate {name}", link)
    return with_dependents(units, chosen, link)


def _readers(units: Sequence[Unit], name: str, link: HostLink | None) -> list[Unit]:
    path = os.path.realpath(name)
    if not os.path.isfile(path):
        raise UsageError(f"{name}: no such file; give the path of a source file that changed")
    found = [unit for unit in units if path in unit.reads(ask=False)]
    if not any(path in unit.sources for unit in found):  # a header: those that the build left no whole list of
        silent = [unit for unit in units if unit.dependencies is None or unit.precompiled]
        asked = [unit for unit in silent if unit not in found and (link is None or link.has(unit))]
        found += [unit for unit in asked if path in unit.reads(ask=True)]
    if not found:
        raise UsageError(
            f"{name}: no recorded compile reads it; was it compiled with hotpatch-stubgen-compiler, into this folder?"
        )
    return _of_host(found, name, link)


def _of_host(found: list[Unit], what: str, link: HostLink | None) -> list[Unit]:
    """Those of *found* that are the host's."""
    if link is None:
        if len(found) > 1 and len({unit.output for unit in found}) > 1 and _rivals(found):
            listed = ", ".join(sorted(unit.output for unit in found))
            raise UsageError(f"{what}: was compiled into {listed}: say by --output-name which program's link is meant")
        return found
    named = [unit for unit in found if link.has(unit)]
    if not named:
        listed = ", ".join(sorted({_shown(unit) for unit in found}))
        raise UsageError(
            f"{what}: is compiled into {listed}, which the link of {link.output} does not name: what that makes "
            "reaches the host by another way; build and start the host anew"
        )
    return _told_apart(named, what, link)


def _told_apart(named: list[Unit], what: str, link: HostLink) -> list[Unit]:
    """*named* without objects of other programs that are called like a member of one of the link's archives.

    Raises:
        UsageError: nothing tells which of them became the member.
    """
    chosen: dict[str, Unit] = {}
    for each in named:
        unit, name = each, os.path.basename(each.output)
        direct = unit.rust or unit.output in link.files
        rivals = [other for other in named if not other.rust and os.path.basename(other.output) == name]
        if len(rivals) > 1 and not direct:  # equal ones are one, whichever is compiled again
            same = [other for other in rivals if _content_digest(other.output) in link.archived[name]]
            if not same:
                listed = ", ".join(sorted(other.output for other in rivals))
                raise UsageError(
                    f"{what}: was compiled into {listed}, and nothing tells which of them is in an archive of the link "
                    f"of {link.output}: build anew, so that the objects are there"
                )
            unit = same[0]
        chosen[unit.output] = unit
    return list(chosen.values())


def _content_digest(path: str) -> bytes:
    try:
        return _digest(read_input(path))
    except InputError:
        return b""


def _rivals(found: Sequence[Unit]) -> bool:
    """Whether two of *found* compile the same, so that only one can be meant."""
    keys = [(unit.crate.name if unit.rust else tuple(sorted(unit.sources))) for unit in found]
    return len(set(keys)) < len(keys)


def _shown(unit: Unit) -> str:
    if not unit.rust:
        return unit.output
    return f"{unit.output} ({', '.join(unit.crate.types)})"


def with_dependents(units: Sequence[Unit], chosen: list[Unit], link: HostLink | None) -> list[Unit]:
    """*chosen*, and the crates of the host that were compiled against one of them, dependencies before their users.

    A crate has instances of the generic and inline functions of those that it names.
    """
    wanted = {id(unit) for unit in chosen}
    crates = [unit for unit in units if unit.rust and (id(unit) in wanted or link is None or link.has(unit))]
    while True:
        made = {name for unit in crates if id(unit) in wanted for name in _made_files(unit)}
        more = {id(unit) for unit in crates if not made.isdisjoint(_extern_files(unit))} - wanted
        if not more:
            break
        wanted |= more
    return [unit for unit in chosen if not unit.rust] + _in_order([unit for unit in crates if id(unit) in wanted])


def _in_order(crates: list[Unit]) -> list[Unit]:
    ordered: list[Unit] = []
    waiting = list(crates)
    while waiting:
        for unit in waiting:
            others = {name for other in waiting if other is not unit for name in _made_files(other)}
            if others.isdisjoint(_extern_files(unit)):
                break
        ordered.append(unit)
        waiting.remove(unit)
    return ordered


def _made_files(unit: Unit) -> set[str]:
    folder = os.path.realpath(os.path.join(unit.directory, unit.crate.folder))
    return {os.path.join(folder, name) for name in unit.crate.files()}


def _extern_files(unit: Unit) -> set[str]:
    return {os.path.realpath(os.path.join(unit.directory, path)) for _, path in unit.crate.externs}
