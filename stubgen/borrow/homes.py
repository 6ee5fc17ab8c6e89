"""Which file of the host's link has a name first."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.common.text import told_apart
from stubgen.errors import InputError, MalformedInput, UnsupportedInput
from stubgen.image import FileType, Image
from stubgen.image.archive import is_archive, members, members_at, symbol_index
from stubgen.image.intermediate import IntermediateNames, intermediate_names, is_compiled_at_link, names_in_members
from stubgen.image.opening import arm64_slice, has_object_magic, open_image
from stubgen.image.text_stub import is_text_stub, text_stub_exports


class LinkFiles(Row):
    """The files of the host's link in which a name may be defined."""

    objects: tuple[str, ...] = ()
    """All of them were linked, so what they define comes first."""
    libraries: tuple[str, ...] = ()
    """Archives and shared libraries in the link's order: of two that define a name the first one counts."""
    gone: tuple[str, ...] = ()
    """Objects that are no longer there."""
    order: tuple[str, ...] = ()
    """Both, as the link has them; a source that was compiled and linked at once stands for its object."""


class Home(Row):
    """Where a name is defined."""

    member: Image | None  # None: in a shared library, or the linker compiled it
    title: str  # libfoo.a(foo.o)
    compiled_at_link: bool = False


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


class Homes:
    """Which file has a name first.

    Args:
        files: where to look.
        without: paths of objects that are the patch's own, whose old selves count no longer.
    """

    def __init__(self, files: LinkFiles, without: Collection[str] = ()) -> None:
        own = {os.path.realpath(path) for path in without}
        called = {os.path.basename(path) for path in without}  # of 20,000 objects few are looked at
        self._objects = [
            path for path in files.objects if os.path.basename(path) not in called or os.path.realpath(path) not in own
        ]
        self._libraries = files.libraries
        self._waiting = list(files.libraries)
        self._homes: dict[bytes, Home | tuple[str, Any, int]] = {}  # an archive that was read by its index: where in it
        self._opened: dict[tuple[str, int], Home] = {}
        self._looked_for: set[bytes] = set()
        self._in_objects: dict[bytes, Home] = {}
        self._opened_objects: dict[str, Image] = {}  # who takes one for two names takes it once
        self._in_order = files.order or files.objects
        self.knows_link = bool(self._in_order)
        """Whether anything is known of the link."""
        self._weak: set[bytes] = set()  # of those, what is nothing but a default
        self._uncompiled: dict[str, IntermediateNames] = {}  # by path: objects that the linker has compiled
        self.sees_all_objects = bool(files.objects) and not files.gone
        """Whether no object of the link can have a name unseen."""

    def learn(self, names: Collection[bytes]) -> None:
        """Look for *names* in the objects, all in one pass."""
        wanted = {name + b"\0": name for name in names if name not in self._looked_for}
        self._looked_for.update(wanted.values())
        for path in self._objects if wanted else ():
            try:
                data = read_input(path)
                if self._is_compiled_at_link(path, data) and not has_object_magic(data):
                    continue
                if any(data.find(text) >= 0 for text in wanted) or not has_object_magic(data):
                    image = self._opened_objects.get(path)
                    if image is None:
                        image = self._opened_objects[path] = open_image(data, path)
                    home = Home(image, os.path.basename(path))
                    weak = set(image.weak_definitions())
                    for name in self._looked_for.intersection(image.definitions()):
                        self._take(name, home, weak=name in weak)
            except InputError:  # a file that somebody else has written since
                self.sees_all_objects = False

    def mentioning(self, names: Collection[bytes]) -> Iterator[Image]:
        """The objects, and archives' members, whose bytes have one of *names* in them, and perhaps others.

        Not those of which the linker compiled what is in them.
        """
        self.learn(names)
        yield from self._opened_objects.values()
        texts = [name + b"\0" for name in names]
        for path in self._libraries:
            data = arm64_slice(read_input(path), path)
            if is_archive(data) and any(data.find(text) >= 0 for text in texts):
                yield from (image for image, _ in objects_in(path) if image.file_type is FileType.OBJECT)

    def _is_compiled_at_link(self, path: str, data: Any) -> bool:
        """Whether the linker compiled what is in *data*, the object at *path*; its names are known then."""
        if path not in self._uncompiled and is_compiled_at_link(data):
            names = intermediate_names(memoryview(data), path)
            if names is not None:
                self._uncompiled[path] = names
        return path in self._uncompiled

    def _take(self, name: bytes, home: Home, *, weak: bool) -> None:
        """Note that an object defines *name*: the first one that does, or the first that does so strongly."""
        if name not in self._in_objects or (name in self._weak and not weak):
            self._in_objects[name] = home
            (self._weak.add if weak else self._weak.discard)(name)

    def first_default(self, name: bytes, own: Collection[str]) -> Image | None:
        """The first object that defines *name*, as a default, if the link has it before those of the paths *own*."""
        self.learn([name])
        home = self._in_objects.get(name) if name in self._weak else None
        member = home.member if home is not None else None
        return member if member is not None and member.name in self._before(own) else None

    def first_of(self, paths: Sequence[str]) -> int | None:
        """Which of *paths* is of the object that the link has first; None where nothing tells."""
        places = [self._places(path) for path in paths]
        for number, own in enumerate(places):
            others = [at for each in (*places[:number], *places[number + 1 :]) for at in each]
            if all(places) and max(own) < min(others):
                return number
        return None

    def _places(self, path: str) -> list[int]:
        """Where in the link the old self of the object at *path* may be: the same file, else all that are called so."""
        called = [at for at, each in enumerate(self._in_order) if _stem(each) == _stem(path)]
        same = [at for at in called if os.path.realpath(self._in_order[at]) == os.path.realpath(path)]
        return same or called

    @cached_property
    def members_compiled_at_link(self) -> Mapping[str, IntermediateNames]:
        """Title -> the names of each archive's member that the linker compiled, if it took the member."""
        return {title: names for title, names in names_in_members(self._libraries).items() if names is not None}

    @property
    def compiled_at_link(self) -> bool:
        """Whether an object that was looked at holds what the linker has compiled."""
        return bool(self._uncompiled) or any(home.compiled_at_link for home in self._opened.values())

    def left_out(self, names: Collection[bytes], dispensable: Collection[bytes]) -> dict[bytes, str]:
        """Those of *names* that the linker compiled, and of what; of *dispensable* ones not what archives have.

        No linker takes an archive's member for those.
        """
        self.learn((*names, *dispensable))
        titles = told_apart(list(self._uncompiled))
        last_first = reversed(self._uncompiled.items())
        of_objects = {name: titles[path] for path, said in last_first for name in said.seen}
        found = {name: of_objects[name] for name in dispensable if name in of_objects}
        for name in names:
            has_code = self._in_objects.get(name)
            if name in of_objects and (has_code is None or self._has_code_too(has_code)):
                found[name] = of_objects[name]
            elif (home := self.find(name)) is not None and home.compiled_at_link:
                found[name] = home.title
        return found

    def _has_code_too(self, home: Home) -> bool:
        """Whether the linker compiled the object *home*, which has code all the same (``-ffat-lto-objects``)."""
        return home.member is not None and home.member.name in self._uncompiled

    def needed_with(
        self, titles: Collection[str], lacks: Callable[[Collection[bytes]], Collection[bytes]]
    ) -> list[str]:
        """What else the linker compiled that is needed with what is called *titles*, however indirectly; in order.

        *lacks* says which names the host does not have.
        """
        known = told_apart(list(self._uncompiled))
        compiled = {known[path]: said for path, said in self._uncompiled.items()}
        compiled.update(self.members_compiled_at_link)
        homes: dict[bytes, str] = {}
        for title, said in compiled.items():
            for name in said.seen:
                homes.setdefault(name, title)
        found, waiting = dict.fromkeys(titles), list(titles)
        while waiting:
            used = compiled[waiting.pop()].used.intersection(homes)
            new = dict.fromkeys(homes[name] for name in sorted(lacks(used)))
            waiting += [title for title in new if title not in found]
            found |= new
        return [title for title in compiled if title in found and title not in titles]

    def is_in_objects(self, name: bytes) -> bool:
        """Whether an object of the link defines *name* for other files."""
        self.learn([name])
        return name in self._in_objects or any(name in names.seen for names in self._uncompiled.values())

    def is_strongly_in_objects(self, name: bytes) -> bool:
        """Whether an object of the link defines *name*, and not as a default."""
        self.learn([name])
        return (name in self._in_objects and name not in self._weak) or any(
            name in names.seen - names.weak for names in self._uncompiled.values()
        )

    def is_default_of_uncompiled(self, name: bytes, own: Collection[str]) -> bool:
        """Whether, before those of the paths *own*, the link has an object with a default that the linker compiled."""
        self.learn([name])
        return any(path in self._uncompiled and name in self._uncompiled[path].weak for path in self._before(own))

    def _before(self, own: Collection[str]) -> Sequence[str]:
        """The objects that the link has before the first that is called like one of the paths *own*."""
        called = {os.path.basename(path) for path in own}
        return self._in_order[
            : next((at for at, each in enumerate(self._in_order) if os.path.basename(each) in called), 0)
        ]

    def find(self, name: bytes) -> Home | None:
        """Where *name* is defined first; libraries are read until one does."""
        self.learn([name])
        if name in self._in_objects:
            return self._in_objects[name]
        while name not in self._homes and self._waiting:
            self._read(self._waiting.pop(0))
        home = self._homes.get(name)
        return self._open(*home) if isinstance(home, tuple) and not isinstance(home, Home) else home

    def strongly_in_libraries(self, name: bytes) -> Iterator[Image]:
        """Members that define *name*, and not as a default.

        No linker looks for a strong definition once it has a weak one; but a member that it takes for another name
        brings its own, which wins.
        """
        for path in self._libraries:
            for image, _ in objects_in(path):
                strong = image.file_type is FileType.OBJECT and name in set(image.definitions())
                if strong and name not in set(image.weak_definitions()):
                    yield image

    def _read(self, path: str) -> None:
        data = arm64_slice(read_input(path), path)
        if is_text_stub(data):
            for name in text_stub_exports(data):
                self._homes.setdefault(name, Home(None, os.path.basename(path)))
            return
        index = symbol_index(data, path) if is_archive(data) else None
        if index is not None:
            for name, position in index.items():
                self._homes.setdefault(name, (path, data, position))
            return
        for image, title in objects_in(path):
            is_object = image.file_type is FileType.OBJECT
            home = Home(image, title) if is_object else Home(None, image.install_name or title)
            for name in image.definitions() if is_object else image.exports():
                self._homes.setdefault(name, home)

    def _open(self, path: str, data: Any, position: int) -> Home:
        known = self._opened.get((path, position))
        if known is None:
            member = members_at(data, path, (position,)).get(position)
            if member is None:
                raise MalformedInput(f"{path}: its index of symbols names a member that is not there")
            title = f"{os.path.basename(path)}({member.name})"
            if is_compiled_at_link(member.content) and intermediate_names(member.content, title) is not None:
                known = Home(None, title, compiled_at_link=True)
            else:
                known = Home(open_image(member.content, f"{path}({member.name})"), title)
            self._opened[path, position] = known
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
