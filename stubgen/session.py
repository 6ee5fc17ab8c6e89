"""Caches what several builds have in common: open hosts, parsed objects, resolutions.

A cached value is used only while the files that it was made from have the identities they had then, so a build
from a session is the build that would be made without one. A further process with the same program differs by its
slide alone: its resolution is the known one, moved. Threads may share a session.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

from stubgen.common.arguments import StrPath, a_raw_name, flag, limit, listed, optional, path_list
from stubgen.common.arguments import path as checked_path
from stubgen.common.files import read_input
from stubgen.common.generic import Generic
from stubgen.common.row import Row
from stubgen.host import Host, check_build_id, open_host
from stubgen.host.index import Identity
from stubgen.host.slide import Slide
from stubgen.image.opening import open_image
from stubgen.resolve.needed import Needed, read_needed
from stubgen.resolve.objects import Opened, open_objects
from stubgen.resolve.previous import NO_PATCHES, Previous
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.resolver import resolve
from stubgen.resolve.verdicts import Answers, BoundAnswers
from stubgen.stub.facts import LibraryFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from stubgen.borrow.homes import LinkFiles
    from stubgen.host.previous import EarlierPatch, OpenedPatch, PreviousPatch
    from stubgen.resolve.rulings import Ruled

    Value = TypeVar("Value")
else:
    Value = object

TICK = 20_000_000  # nanoseconds
"""File systems stamp files by a clock that ticks, at most this slowly; two writes in one tick look like one."""
COARSE_TICK = 2_000_000_000  # nanoseconds: file systems that stamp whole seconds, or every second one
SETS = 16  # needed sets, sets of supplied names, resolutions: as many as there are objects being edited in turn


def _identity(path: StrPath) -> tuple[str, Identity] | None:
    """The real path of the file at *path* and what tells it from others; None where there is none."""
    try:
        return os.path.realpath(path), Identity.of(os.stat(path))
    except (OSError, ValueError):
        return None


def is_settled(identity: Identity, now: int) -> bool:
    """Whether a write after *now* (nanoseconds since 1970) is sure to change *identity*."""
    last = max(identity.modified, identity.changed)
    return now - last > (TICK if identity.modified % 1_000_000_000 else COARSE_TICK)


class FileCache(Generic[Value]):
    """Values made from files, each valid while its files have the identities that it was made from.

    The least recently used ones go first. Threads that ask for one value at a time wait for one of them to make it.

    Args:
        most: how many values are kept.
        most_bytes: how many bytes the files of all of them have, the newest one's apart; None for no limit.
    """

    def __init__(self, most: int, most_bytes: int | None = None) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lock = allocate_lock()  # guards everything below
        self._in_flight: dict[Hashable, _InFlight] = {}
        self._kept: dict[Hashable, tuple[Hashable, Value, int]] = {}  # the last used at the end
        self._bytes = 0  # of the files of all that is kept

    def get(self, key: Hashable, paths: Sequence[StrPath], make: Callable[[], tuple[Value, bool]]) -> Value:
        """The value of *key*, made once where several threads ask.

        Args:
            key: what tells it from others.
            paths: the files that it is made from.
            make: makes it, and says whether it may be kept.
        """
        with self._lock:
            in_flight = self._in_flight.setdefault(key, _InFlight())
            in_flight.threads += 1
        try:
            with in_flight.lock:
                return self._get(key, paths, make)
        finally:
            with self._lock:
                in_flight.threads -= 1
                if not in_flight.threads:
                    self._in_flight.pop(key, None)

    def _get(self, key: Hashable, paths: Sequence[StrPath], make: Callable[[], tuple[Value, bool]]) -> Value:
        now = time.time_ns()
        identities = tuple(_identity(path) for path in paths)
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is not None and kept[0] == identities:
                self._kept[key] = kept
                return kept[1]
            self._bytes -= kept[2] if kept is not None else 0
        value, keep = make()
        known = [identity[1] for identity in identities if identity is not None]
        if keep and len(known) == len(paths) and all(is_settled(identity, now) for identity in known):
            size = sum(identity.size for identity in known)
            with self._lock:
                self._kept[key] = (identities, value, size)
                self._bytes += size
                self._evict()
        return value

    def _evict(self) -> None:
        """Drop the least recently used values beyond the limits; the newest one stays."""
        most_bytes = self._bytes if self._most_bytes is None else self._most_bytes
        while len(self._kept) > 1 and (len(self._kept) > self._most or self._bytes > most_bytes):
            self._bytes -= self._kept.pop(next(iter(self._kept)))[2]

    def __contains__(self, value: object) -> bool:
        """Whether this very object is cached."""
        return any(kept is value for _, kept, _ in list(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)


class _InFlight:
    """A value that threads ask for: one has the lock and makes it, the others wait."""

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.threads = 0


class _KnownResolution(Row):
    """A resolution, and everything but the slide that it depends on."""

    needed: Needed
    host: Host
    answers: Answers | BoundAnswers
    supplied: Mapping[bytes, str]
    resolution: Resolution


class Session:
    """A cache of hosts, objects, needed symbols and resolutions, which one or more builders share.

    Args:
        hosts: how many hosts are cached.
        object_bytes: how many bytes of objects, archives and libraries are cached, by their size on disk.
        mapped: map files instead of copying them. A mapped file that somebody truncates ends the process, so
            this is for a process that is over before anybody could.

    Raises:
        UsageError: an argument is not what it must be, here and in the methods.
    """

    def __init__(self, *, hosts: int = 4, object_bytes: int = 1 << 28, mapped: bool = False) -> None:
        self._copied = not flag("mapped", mapped)
        most_bytes = limit("object_bytes", object_bytes)
        self._hosts = FileCache[Host](limit("hosts", hosts))
        self._objects = FileCache[Opened](1 << 12, most_bytes)
        self._needed = FileCache[Needed](SETS, most_bytes)
        self._borrowed = FileCache[tuple[Needed, object]](SETS, most_bytes)
        self._supplied = FileCache[Mapping[bytes, str]](SETS, most_bytes)
        self._patches = FileCache["OpenedPatch"](SETS, most_bytes)
        self._resolutions: list[_KnownResolution] = []  # the last used at the end
        self._facts: dict[bool, LibraryFacts] = {}

    def host(
        self, path: StrPath, *, symbols: StrPath | None = None, build_id: str | None = None, cache: bool = True
    ) -> Host:
        """The host at *path*, as :func:`~stubgen.host.open_host` opens it."""
        name, apart = checked_path("host", path), optional(checked_path, "symbols", symbols)

        def opened() -> tuple[Host, bool]:
            return open_host(name, symbols=apart, cache=cache, copied=self._copied), True

        files = [name, *([] if apart is None else [apart])]
        host = self._hosts.get((name, apart, flag("cache", cache)), files, opened)
        if build_id is not None:
            check_build_id(host.image, build_id)
        return host

    def facts(self, *, cache: bool = True) -> LibraryFacts:
        """What is known about Keystone and Capstone; with *cache* off, from this session alone."""
        known = self._facts.get(flag("cache", cache))
        return known or self._facts.setdefault(cache, LibraryFacts.of_user(cache=cache))

    def needed(
        self,
        paths: Sequence[StrPath],
        *,
        whole_archive: bool = False,
        roots: Collection[bytes] = (),
        wrapped: Collection[bytes] = (),
    ) -> Needed:
        """What the objects and archives at *paths* need, as :func:`~stubgen.resolve.needed.read_needed` says."""
        names, wanted = path_list("objects", paths), listed("roots", roots, "name", a_raw_name)
        members, wrapping = flag("whole_archive", whole_archive), listed("wrapped", wrapped, "name", a_raw_name)

        def read() -> tuple[Needed, bool]:
            read: list[Opened] = []

            def opener(path: StrPath) -> Opened:
                read.append(self._opened(path))
                return read[-1]

            needed = read_needed(names, whole_archive=members, roots=wanted, wrapped=wrapping, opener=opener)
            return needed, all(opened.whole for opened in read)

        return self._needed.get((names, members, wanted, wrapping), names, read)

    def _opened(self, path: StrPath) -> Opened:
        def read() -> tuple[Opened, bool]:
            opened = open_objects(path, copied=self._copied)
            return opened, opened.whole

        return self._objects.get(os.fspath(path), [path], read)

    def borrowed(
        self,
        needed: Needed,
        host: Host,
        supplied: Mapping[bytes, str],
        archives: Sequence[StrPath] = (),
        link: Callable[[], LinkFiles] | None = None,
    ) -> Needed:
        """*needed* with what other files of the host's link have, as :func:`~stubgen.borrow.borrow` says.

        *link* says which files those are; it is asked only where the host leaves a name unanswered. *archives* come
        before them.
        """
        from stubgen.resolve.unanswered import unanswered, weak_defaults

        weak = weak_defaults(needed)
        if not archives and not supplied and link is None and not weak:
            return needed
        names = unanswered(needed, host, supplied)
        if not names.need_link and not weak:
            return needed
        from stubgen.borrow import borrow
        from stubgen.borrow.homes import LinkFiles

        files = LinkFiles() if link is None else link()
        files = files._replace(libraries=(*(os.fspath(path) for path in archives), *files.libraries))

        def take() -> tuple[tuple[Needed, object], bool]:
            answer = borrow(needed, host, files, supplied=supplied, names=names)
            return (answer, (needed, host, supplied)), True  # held, so that their identities stay theirs

        key = (id(needed), id(host), id(supplied), files)
        return self._borrowed.get(key, (*files.objects, *files.libraries), take)[0]

    def supplied(self, libraries: Sequence[StrPath]) -> Mapping[bytes, str]:
        """The names that *libraries* export, each with its library; of two, the last one."""
        names = path_list("libraries", libraries)

        def read() -> tuple[Mapping[bytes, str], bool]:
            return {export: name for name in names for export in self._exports_of(name)}, True

        return self._supplied.get(names, names, read)

    def _exports_of(self, library: str) -> Iterable[bytes]:
        """The names that a shared library, or the text-based stub of one, exports."""
        data = read_input(library, copied=self._copied)
        if library.endswith(".tbd"):
            from stubgen.image.text_stub import text_stub_exports

            return text_stub_exports(data)
        return open_image(data, library).exports()

    def previous(self, patches: Sequence[PreviousPatch], host: Host, slide: Slide, facts: LibraryFacts) -> Previous:
        """The earlier *patches* of the process in which *host* is at *slide*, in the order in which they were loaded.

        Raises:
            InputError: a file is no linked patch, or its symbol table is stripped.
            AnchorRefusal: an address cannot be right.
            PatchRefusal: a patch was linked for another process or another host.
        """
        if not patches:
            return NO_PATCHES
        from stubgen.host.previous import open_earlier

        opened: list[EarlierPatch] = []
        for patch in patches:
            content = self._opened_patch(os.fspath(patch.path), facts)
            opened.append(open_earlier(patch, content, host, slide.value, opened))
        return Previous(opened)

    def _opened_patch(self, path: str, facts: LibraryFacts) -> OpenedPatch:
        def read() -> tuple[OpenedPatch, bool]:
            from stubgen.host.previous import OpenedPatch
            from stubgen.image.identity import identity_in
            from stubgen.stub.find import find_stubs
            from stubgen.stub.slots import parse_symbol, slots_of
            from stubgen.symbols.versions import base_name

            image = open_image(read_input(path, copied=self._copied), path)
            stubs = {stub.address: (stub.name, stub.target) for stub in find_stubs(image, facts)}
            read_from_slots = frozenset(base_name(parse_symbol(symbol)[0]) for symbol, _ in slots_of(image))
            return OpenedPatch(image, stubs, read_from_slots, identity_in(image)), True

        return self._patches.get(path, [path], read)

    def resolve(
        self,
        needed: Needed,
        host: Host,
        slide: Slide,
        answers: Answers | BoundAnswers,
        *,
        supplied: Mapping[bytes, str],
        overrides: Mapping[bytes, int],
        rulings: Mapping[bytes, Ruled] | None = None,
    ) -> Resolution:
        """The resolution that :func:`~stubgen.resolve.resolver.resolve` makes; a known one is moved to *slide*."""
        if overrides or needed.previous or rulings:  # addresses of one process
            return resolve(needed, host, slide, answers, supplied=supplied, overrides=overrides, rulings=rulings)
        question = (needed, host, supplied)
        for earlier in self._resolutions[::-1]:
            known = (earlier.needed, earlier.host, earlier.supplied)
            if earlier.answers == answers and all(a is b for a, b in zip(known, question, strict=True)):
                moved = earlier.resolution.moved(slide)
                if moved is not None:
                    return moved
        resolution = resolve(needed, host, slide, answers, supplied=supplied)
        if self._copied:
            from stubgen.common.kept_copy import let_go_of_pages

            let_go_of_pages()
        if needed in self._needed and host in self._hosts:
            cached = [r for r in self._resolutions if r.needed in self._needed and r.host in self._hosts]
            self._resolutions = [*cached[1 - SETS :], _KnownResolution(needed, host, answers, supplied, resolution)]
        return resolution
