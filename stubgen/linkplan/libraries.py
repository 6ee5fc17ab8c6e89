"""Which files the libraries of a link command are, as its linker finds them.

A name alone does not say whether it is an archive: that depends on the folders, on the options in front of it and on
what is there. Archives must not reach the patch's linker; shared libraries are what supplies the patch's imports.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from stubgen.common.row import Row
from stubgen.common.text import BLANK
from stubgen.linkplan.every_image import of_every_image
from stubgen.linkplan.library_file import FileKind, LibraryFile, file_kind
from stubgen.linkplan.options import Role
from stubgen.linkplan.tokens import Item
from stubgen.linkplan.toolchain import Family


class Meaning(Row):
    """What an argument that names a library stands for."""

    files: tuple[LibraryFile, ...]
    """All that were found, a linker script's too, in order."""
    archive: bool
    """It is an archive that is the host's alone."""
    shared: tuple[str, ...] | None = None
    """Of a script that names such archives: the arguments for what it names besides."""


class Search:
    """Where a linker looks for libraries.

    Args:
        folders: the command's ``-L`` first, then those of driver and linker, in order.
        frameworks: the same for frameworks.
        directory: where the command ran.
        roots: ``--sysroot``, ``-syslibroot``.
        family: the linker's.
    """

    def __init__(
        self,
        *,
        folders: tuple[str, ...],
        frameworks: tuple[str, ...],
        directory: str,
        roots: tuple[str, ...],
        family: Family,
    ) -> None:
        self.folders, self.frameworks = folders, frameworks
        self.directory, self.roots, self.family = directory, roots, family

    def path(self, name: str) -> str:
        """*name* as a path here."""
        return os.path.join(self.directory, name)

    def library(self, name: str, *, static: bool) -> tuple[str, str] | None:
        """The file that ``-lNAME`` means, and the folder that it was found in."""
        if name.startswith(":"):
            file, place = name[1:], next(iter(self._folders_of(name[1:])), None)
        elif self.family is Family.LD64 and name.endswith(".o"):
            file, place = name, next(iter(self._folders_of(name)), None)
        else:
            endings = (".a",) if static else (".tbd", ".dylib", ".so", ".a") if self._is_apple else (".so", ".a")
            found = [(place, f"lib{name}{end}") for end in endings for place in self._folders_of(f"lib{name}{end}")[:1]]
            place, file = min(found, key=lambda item: item[0]) if found else (None, "")  # the first of a folder stays
        if place is None:
            return None
        return self.path(os.path.join(self.folders[place], file)), self.folders[place]

    @property
    def _is_apple(self) -> bool:
        return self.family is Family.LD64

    def _folders_of(self, file: str) -> list[int]:
        """The numbers of the folders that *file* is in, ascending."""
        return self._files.get(file, [])

    @cached_property
    def _files(self) -> dict[str, list[int]]:
        """File name -> the numbers of the folders that it is in: each folder is listed once."""
        found: dict[str, list[int]] = {}
        listed: dict[str, list[str]] = {}
        for number, folder in enumerate(self.folders):
            if folder not in listed:
                try:
                    listed[folder] = os.listdir(self.path(folder) or ".")
                except OSError:
                    listed[folder] = []
                for file in listed[folder]:
                    found.setdefault(file, []).append(number)
        return found

    def framework(self, name: str) -> str | None:
        """The binary of framework *name*."""
        for folder in self.frameworks:
            for file in (f"{name}.tbd", name):
                path = self.path(os.path.join(folder, f"{name}.framework", file))
                if os.path.isfile(path):
                    return path
        return None


def read_libraries(items: Sequence[Item], search: Search) -> dict[int, Meaning]:
    """Index of each item that names a library -> what it stands for; those that were not found are left out."""
    return dict(_Reader(search).read(items))


def named_objects(items: Sequence[Item], directory: str) -> Iterator[str]:
    """The paths of the inputs that are called like objects, *directory* in front, without a look at any file."""
    for item in items:
        if item.option is None and item.values and item.values[0].endswith((".o", ".obj", ".lo")):
            yield os.path.join(directory, item.values[0])
        elif item.option is not None and item.option.name == "-filelist" and item.values:
            yield from (os.path.join(directory, name) for name in listed(os.path.join(directory, item.values[0])))


STATIC = frozenset({"Bstatic", "dn", "non_shared", "static"})
DYNAMIC = frozenset({"Bdynamic", "dy", "call_shared"})
"""Options, without their dashes, behind which ``-lNAME`` means archives alone, or both again."""


def listed(operand: str) -> list[str]:
    """The names in ``-filelist FILE[,FOLDER]``; none where it cannot be read."""
    name, _, folder = operand.partition(",")
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            return [os.path.join(folder, line.strip(BLANK)) for line in file if line.strip(BLANK)]
    except OSError:
        return []


class _State(Row):
    """What options in front of a library say of it."""

    static: bool = False
    whole: bool = False


class _Reader:
    """One pass over a command's items."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.state = _State()
        self.stack: list[_State] = []
        self.lazy = False
        self.scripts: list[str] = []  # those that are being read, the innermost last

    def read(self, items: Sequence[Item]) -> Iterator[tuple[int, Meaning]]:
        apple = self.search.family is Family.LD64
        everything = apple and any(item.option and item.option.name in ("-all_load", "-ObjC") for item in items)
        for index, item in enumerate(items):
            option = item.option
            if option is None:
                name = item.values[0] if item.values else "-"
                if self._may_be_a_library(name) and not name.startswith(("@", "-")):
                    yield from self._numbered(index, self._input(name, whole=everything))
                continue
            self._note(option.name.lstrip("-"))
            if item.incomplete or not item.values:
                continue
            value = item.values[0]
            if option.role is Role.LIBRARY:
                static = self.state.static or (option.name == "-hidden-l")
                whole = self.state.whole or everything
                meaning = self.library(value, option.name, static=static, whole=whole)
                if meaning is None and static and of_every_image(f"lib{value}.a") is None:
                    meaning = Meaning((), archive=True)  # found elsewhere or not, it can be nothing else
                yield from self._numbered(index, meaning)
            elif option.role is Role.FRAMEWORK:
                path = self.search.framework(value.partition(",")[0])
                if path is not None:
                    yield from self._numbered(index, self._file(path, f"{option.name} {value}", whole=everything))
            elif option.role is Role.LIBRARY_FILE:
                yield from self._numbered(index, self._input(value, whole=everything))
            elif option.name == "-filelist":
                yield from self._numbered(index, self._list(value, whole=everything))
            elif option.role is Role.INPUT:
                whole = everything or option.name == "-force_load"
                yield from self._numbered(index, self._input(value, whole=whole))

    @staticmethod
    def _numbered(index: int, meaning: Meaning | None) -> Iterator[tuple[int, Meaning]]:
        if meaning is not None:
            yield index, meaning

    def _note(self, name: str) -> None:
        """Take over what an option says of the libraries behind it."""
        if name in STATIC:
            self.state = self.state._replace(static=True)
        elif name in DYNAMIC:
            self.state = self.state._replace(static=False)
        elif name in ("whole-archive", "no-whole-archive"):
            self.state = self.state._replace(whole=name == "whole-archive")
        elif name in ("start-lib", "end-lib"):
            self.lazy = name == "start-lib"
        elif name == "push-state":
            self.stack.append(self.state)
        elif name == "pop-state" and self.stack:
            self.state = self.stack.pop()

    def library(self, name: str, option: str, *, static: bool, whole: bool) -> Meaning | None:
        """What ``-lNAME`` stands for."""
        found = self.search.library(name, static=static)
        if found is None:
            return None
        path, folder = found
        return self._file(path, f"{option if option.startswith('-') else '-l'}{name} in {folder}", whole=whole)

    def _may_be_a_library(self, name: str) -> bool:
        """Whether to look at the input *name*: nearly every one is an object, 20,000 of them in a fat build."""
        return self.lazy or not name.endswith(".o")

    def _input(self, name: str, *, whole: bool) -> Meaning | None:
        if not self._may_be_a_library(name):
            return None
        path = self.search.path(name)
        if not os.path.isfile(path):
            return None
        meaning = self._file(path, name, whole=whole or self.state.whole)
        if meaning is None or meaning.files[0].kind is not FileKind.OBJECT:
            return meaning
        return meaning if self.lazy else None

    def _list(self, operand: str, *, whole: bool) -> Meaning | None:
        """``-filelist FILE[,FOLDER]``: a file of names, one a line."""
        meanings = [self._input(name, whole=whole) for name in listed(self.search.path(operand))]
        files = tuple(file for meaning in meanings if meaning is not None for file in meaning.files)
        return Meaning(files, archive=False) if files else None

    def _file(self, path: str, found: str, *, whole: bool) -> Meaning | None:
        kind = file_kind(path)
        if kind is None:
            return None
        if kind is not FileKind.SCRIPT:
            file = LibraryFile(path, kind, whole, found)
            return Meaning((file,), archive=kind is FileKind.ARCHIVE and of_every_image(path) is None)
        if self.search.family is Family.LD64 or path in self.scripts:  # one that names itself has nothing more to say
            return None
        self.scripts.append(path)
        meaning = self._script(path, whole=whole)
        self.scripts.pop()
        return meaning

    def _script(self, path: str, *, whole: bool) -> Meaning | None:
        """What the linker script at *path* adds to the link."""
        files, shared, archive = list[LibraryFile](), list[str](), False
        for word in script_words(path):
            meaning = self._script_word(word, path, whole=whole)
            if meaning is None:
                shared.append(word)
                continue
            files += meaning.files
            if meaning.archive or meaning.shared is not None:
                archive = True
                shared += meaning.shared or ()
            else:
                shared.append(word if word.startswith("-l") else meaning.files[0].path)
        return Meaning(tuple(files), archive=False, shared=tuple(shared) if archive else None) if files else None

    def _script_word(self, word: str, script: str, *, whole: bool) -> Meaning | None:
        """What *word* of a linker script names: ``-lNAME``, or a file (GNU ld manual, "File Commands")."""
        if word.startswith("-l"):
            return self.library(word[2:], "-l", static=self.state.static, whole=whole)
        rooted = word.lstrip("=") if word.startswith("=") else word.removeprefix("$SYSROOT")
        candidates = [root + rooted for root in self.search.roots if os.path.isabs(rooted)]
        inside = any(os.path.realpath(script).startswith(os.path.realpath(root) + os.sep) for root in self.search.roots)
        if not inside and rooted == word:
            candidates = []
        if os.path.isabs(rooted):
            candidates.append(rooted)
        else:
            candidates.append(os.path.join(os.path.dirname(script), rooted))
            candidates += [self.search.path(os.path.join(folder, rooted)) for folder in self.search.folders]
        for path in candidates:
            if os.path.isfile(path):
                return self._file(path, f"{word} in {script}", whole=whole)
        return None


_COMMENT = r"(?s)/\*.*?\*/"
_FILES = r"\b(?:INPUT|GROUP)\s*\("


def script_words(path: str) -> list[str]:
    """The files and libraries that the linker script at *path* adds to the link, in order."""
    import re

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = re.sub(_COMMENT, " ", file.read(1 << 20))
    except OSError:
        return []
    words: list[str] = []
    for match in re.finditer(_FILES, text):
        depth, position = 1, match.end()
        while position < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[position], 0)
            position += 1
        inside = text[match.end() : position - 1].replace("AS_NEEDED", " ")
        words += [word.strip('"') for word in re.split(r"(?a:[\s,()]+)", inside) if word]
    return words


RUNTIMES = {"-static-libstdc++": ("stdc++", "c++"), "-static-libgcc": ("gcc_eh",)}
"""Driver's option -> the libraries that it links as archives; clang has its own C++ library or GCC's."""


def runtime_archives(options: Iterable[str], search: Search) -> list[Meaning]:
    """The archives that the driver's *options* bring into the host."""
    reader = _Reader(search)
    names = [name for option in options for name in RUNTIMES.get(option, (option.removeprefix("-static-lib"),))]
    found = (reader.library(name, "-l", static=True, whole=False) for name in names)
    return [meaning for meaning in found if meaning is not None]


def implied_libraries(names: Iterable[str], search: Search) -> list[Meaning]:
    """What the driver links by itself, by *names*; what is not there is left out."""
    reader = _Reader(search)
    found = (reader.library(name, "-l", static=False, whole=False) for name in names)
    return [meaning for meaning in found if meaning is not None]


def libraries_in(meanings: Iterable[Meaning]) -> tuple[LibraryFile, ...]:
    """The libraries, each once, in the order in which the linker comes to them; those of every image are left out."""
    found: dict[str, LibraryFile] = {}
    for meaning in meanings:
        for file in meaning.files:
            if of_every_image(file.path) is None:
                known = found.get(file.path)
                found[file.path] = file if known is None else known._replace(whole=known.whole or file.whole)
    return tuple(found.values())
