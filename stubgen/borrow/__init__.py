"""The borrow phase: what the patch needs and the host lacks, taken from the archives of the host's link.

A function that ``--gc-sections`` took away, or a template that nobody instantiated, is still in the archive that the
host was linked with. The linker must not look for it there: it would take the whole member, with a second copy of
what the host has of it. Here each member becomes an object of what the host lacks, and what refers to the rest of it
refers to the host: its state, its counters and the identity of its constants are the host's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stubgen.borrow.elf import HostSymbols, Member
from stubgen.common.cancellation import checkpoint
from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.common.text import as_text, counted
from stubgen.errors import MalformedInput, SymbolRefusal, UnsupportedInput
from stubgen.host import Host
from stubgen.image import FileType, Image
from stubgen.image.archive import is_archive, members, members_at, symbol_index
from stubgen.image.elf import ElfImage
from stubgen.image.opening import arm64_slice, has_object_magic, open_image
from stubgen.resolve.candidates import meaning
from stubgen.resolve.needed import Borrowed, Needed, needed_of
from stubgen.resolve.verdicts import IMAGE_NAMES, LINKER_PREFIXES, PROVIDED_NAMES


class Home(Row):
    """Where a name is defined."""

    member: Image | None  # None: in a shared library
    title: str  # libfoo.a(foo.o)


def borrow(
    needed: Needed, host: Host, archives: Sequence[str], *, supplied: Mapping[bytes, str] | None = None
) -> Needed:
    """*needed* with the members of archives that have what the host lacks.

    Args:
        needed: what the patch needs.
        host: the running program.
        archives: those of the host's link, in its order: of two that define a name the first one counts. A shared
            library among them keeps what it exports to itself.
        supplied: names that shared libraries have, as for the resolve phase.

    Raises:
        SymbolRefusal: a member cannot be had without a second copy of something of the host's; a line for each
            says which and why.
        InputError: an archive cannot be used.
    """
    found = host.find({reference.name for reference in needed.references} | {v.name for v in needed.variables})
    lacking = [
        reference.name
        for reference in needed.references
        if not reference.weak
        and reference.name not in (supplied or {})
        and not _is_linkers_own(needed.format, reference.name)
        and not meaning(reference, found.get(reference.name, [])).candidates
    ]
    if not lacking or not archives or not host.image.has_full_symbols:  # stripped: all seems to be lacking
        return needed
    if needed.format != "elf":
        return _without_macho(needed, lacking, archives)
    return _Borrowing(needed, host, archives, supplied or {}).run(lacking)


def _is_linkers_own(format_: str, name: bytes) -> bool:
    return name in IMAGE_NAMES[format_] or name in PROVIDED_NAMES[format_] or name.startswith(LINKER_PREFIXES[format_])


class _Borrowing:
    """One run of the phase over ELF members."""

    def __init__(self, needed: Needed, host: Host, archives: Sequence[str], supplied: Mapping[bytes, str]) -> None:
        self.needed = needed
        self.symbols = HostSymbols(host)
        self.supplied = supplied
        self.homes = Homes(archives)
        self.defined = {name for image in needed.images for name in image.definitions()}
        self.members: dict[int, Member] = {}  # by the identity of its image

    def run(self, lacking: Iterable[bytes]) -> Needed:
        waiting = list(lacking)
        asked: set[bytes] = set()
        while waiting:
            name = waiting.pop(0)
            if name in asked:
                continue
            asked.add(name)
            home = self.homes.find(name)
            if home is None or not isinstance(home.member, ElfImage):
                continue
            checkpoint()
            member = self.members.get(id(home.member))
            if member is None:
                refuse_intermediate(home.member, home.title, name)
                member = Member(home.member, home.title, self.symbols, self.defined)
                self.members[id(home.member)] = member
            member.want(name)
            meanings = self.needed.meanings
            new = [meanings.get(n, n) for n, weak in member.undefined.items() if not weak and n not in member.located]
            self.symbols.learn(new)
            waiting += [n for n in new if n not in asked and self._is_lacking(n)]
        refusals = [line for member in self.members.values() for line in member.refusals]
        if refusals:
            lines = [f"{counted(len(refusals), 'reference')} of archive members cannot be the host's", *refusals]
            raise SymbolRefusal("\n  ".join(lines))
        return self._joined()

    def _is_lacking(self, name: bytes) -> bool:
        return not (
            name in self.defined
            or name in self.supplied
            or self.symbols.has(name)
            or _is_linkers_own(self.needed.format, name)
        )

    def _joined(self) -> Needed:
        if not self.members:
            return self.needed
        images = list(self.needed.images)
        borrowed = []
        located = {}
        for member in self.members.values():
            images.append(open_image(member.content(), member.title))
            borrowed.append(
                Borrowed(
                    member.title,
                    member.image.name,
                    tuple(map(as_text, member.wanted)),
                    tuple(as_text(name) for name in sorted(member.stepped_back)),
                )
            )
            located.update(member.located)
        return needed_of(images, self.needed.meanings)._replace(borrowed=tuple(borrowed), located=located)


def refuse_intermediate(image: ElfImage, title: str, name: bytes) -> None:
    """Refuse a member that the host's linker compiled anew: what is in it is not what is in the host.

    Raises:
        SymbolRefusal: it holds code for link-time optimisation.
    """
    if image.intermediate_code or image.file.section(".llvm.lto") is not None:
        raise SymbolRefusal(
            f"{as_text(name)}: {title} has it, but was compiled with -flto, so that the host has other code of it: "
            f"build the library without -flto"
        )


class Homes:
    """Which file has a name first."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._waiting = list(paths)
        self._homes: dict[bytes, Home | tuple[str, Any, int]] = {}  # an archive that was read by its index: where in it
        self._opened: dict[tuple[str, int], Home] = {}

    def find(self, name: bytes) -> Home | None:
        """Where *name* is defined first; files are read until one does."""
        while name not in self._homes and self._waiting:
            self._read(self._waiting.pop(0))
        home = self._homes.get(name)
        return self._open(*home) if isinstance(home, tuple) and not isinstance(home, Home) else home

    def _read(self, path: str) -> None:
        data = arm64_slice(read_input(path), path)
        index = symbol_index(data, path) if is_archive(data) else None
        if index is not None:
            for name, position in index.items():
                self._homes.setdefault(name, (path, data, position))
            return
        for image, title in objects_in(path):
            is_object = image.file_type is FileType.OBJECT
            home = Home(image if is_object else None, title)
            for name in image.definitions() if is_object else image.exports():
                self._homes.setdefault(name, home)

    def _open(self, path: str, data: Any, position: int) -> Home:
        known = self._opened.get((path, position))
        if known is None:
            member = members_at(data, path, (position,)).get(position)
            if member is None:
                raise MalformedInput(f"{path}: its index of symbols names a member that is not there")
            title = f"{os.path.basename(path)}({member.name})"
            image = open_image(member.content, f"{path}({member.name})")
            known = self._opened[path, position] = Home(image, title)
        return known


def objects_in(path: str) -> Iterator[tuple[Image, str]]:
    """The objects in the archive at *path*, each with what it is called, ``libfoo.a(foo.o)``; or the file itself.

    Raises:
        InputError: the archive is broken, or the file is none and no object and no library either.
    """
    data = arm64_slice(read_input(path), path)
    if not is_archive(data):
        yield open_image(data, path), os.path.basename(path)
        return
    for member in members(data, path):
        if is_archive(member.content):
            inner = f"{path}({member.name})"
            nested = [item for item in members(member.content, inner) if has_object_magic(item.content)]
        else:
            nested = [member] if has_object_magic(member.content) else []
        for item in nested:
            try:
                image = open_image(item.content, f"{path}({item.name})")
            except UnsupportedInput:
                continue  # another machine's: linkers pass over it
            yield image, f"{os.path.basename(path)}({item.name})"


def _without_macho(needed: Needed, lacking: Sequence[bytes], archives: Sequence[str]) -> Needed:
    """Refuse what only an archive has: members of Mach-O archives are not borrowed."""
    homes = Homes(archives)
    found = {name: homes.find(name) for name in lacking}
    lines = [
        f"  {as_text(name)}: {home.title} has it, and the host was linked without it"
        for name, home in found.items()
        if home is not None and home.member is not None
    ]
    if lines:
        text = f"{counted(len(lines), 'needed symbol')} would come from Mach-O archives, which are not taken apart"
        advice = "  keep them in the host: link it without -dead_strip, or with -u NAME"
        raise SymbolRefusal("\n".join([text, *lines, advice]))
    return needed
