"""Which members of the archives of the host's link became part of the host, or of an earlier patch."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.compileplan.host_link import HostLink, archive_members, content_digest, digest_of
from stubgen.compileplan.units import Unit
from stubgen.errors import InputError, StubgenError
from stubgen.host import Host
from stubgen.image import Image, Kind
from stubgen.image.elf import ElfImage
from stubgen.image.opening import open_image


class EarlierPatches(Row):
    """The patches that the process has."""

    files: Sequence[str] = ()
    units: Collection[str] | None = frozenset()
    """What they were compiled from, as :attr:`Unit.title` or the path of an object; None: nobody knows."""


def patches_at(files: Sequence[str]) -> EarlierPatches:
    """Those of a process without a session."""
    return EarlierPatches(files, None if files else frozenset())


class TakenMembers:
    """Tells them by their definitions: a linker takes a member for one of them, and leaves it in the symbol table.

    Args:
        link: the host's link; None: every unit may be the host's.
        host: opens the host; None: nothing is known of it.
        earlier: tells the patches that the process has.
    """

    def __init__(
        self,
        link: HostLink | None,
        host: Callable[[], Host] | None,
        earlier: Callable[[], EarlierPatches] = EarlierPatches,
    ) -> None:
        self._link = link
        self._host = host
        self._earlier = earlier
        self._known: dict[str, bool] = {}

    def has(self, unit: Unit) -> bool:
        """Whether the process has something of *unit*, or nothing tells: a patch may have borrowed what the host lacks.

        Raises:
            StubgenError: what knows the earlier patches does.
        """
        return self.host_has(unit) or self.earlier_has(unit)

    def earlier_has(self, unit: Unit) -> bool:
        """Whether an earlier patch has something of *unit*, a member of an archive."""
        if self._link is None or not self._patches:
            return False
        names = _definitions(unit, self._link)
        return any(_is_defined(image, names) for image in self._patches)

    @cached_property
    def _patches(self) -> list[Image]:
        found = []
        for path in self._earlier().files:
            try:
                found.append(open_image(read_input(path), path))
            except InputError:  # the link says it better, where it needs that
                continue
        return found

    def host_has(self, unit: Unit) -> bool:
        """Whether the host has something of *unit*, or nothing tells."""
        if self._link is None or self._host is None or unit.rust or unit.output in self._link.files:
            return True
        if unit.output not in self._known:
            self._known[unit.output] = self._is_taken(unit, self._link, self._host)
        return self._known[unit.output]

    def _is_taken(self, unit: Unit, link: HostLink, host: Callable[[], Host]) -> bool:
        names = _definitions(unit, link)
        if not names:
            return True
        try:
            opened = host()
        except StubgenError:  # the link says it better
            return True
        if opened.image.lost_local_symbols:
            return True
        return _is_defined(opened, names)


def _is_defined(image: Host | Image, names: set[bytes]) -> bool:
    return any(each.kind is not Kind.IMPORT for found in image.find(names).values() for each in found)


def _definitions(unit: Unit, link: HostLink) -> set[bytes]:
    """What the members define that may be *unit*; nothing where they are not those of the link, or hold no code yet."""
    title, names = os.path.basename(unit.output), set[bytes]()
    made = content_digest(unit.output)
    same = made if made in link.archived[title] else b""
    for archive in (path for path, titles in link.archives.items() if title in titles):
        try:
            if os.stat(archive).st_mtime > link.time:
                return set()
            for member in archive_members(archive):
                if os.path.basename(member.name) == title and (not same or digest_of(member.content) == same):
                    image = open_image(member.content, member.name)
                    if _is_compiled_at_link(image):
                        return set()
                    names.update(_defined(image))
        except (OSError, InputError):  # gone, or code for link-time optimisation by LLVM
            return set()
    return names


def _defined(image: Image) -> set[bytes]:
    return {
        *image.definitions(),
        *(function.name for function in image.functions()),
        *(variable.name for variable in image.variables()),
    }


def _is_compiled_at_link(image: Image) -> bool:
    """Whether the linker compiled it anew, and may have left none of its names."""
    return image.intermediate_code or (isinstance(image, ElfImage) and image.file.section(".llvm.lto") is not None)
