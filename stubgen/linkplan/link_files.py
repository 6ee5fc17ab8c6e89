"""The files of the host's link in which a name may be defined: objects, archives, shared libraries.

Those that the driver links by itself count as well: a C name that the host has as a static function is the C
library's for every other file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from stubgen.borrow.homes import LinkFiles
from stubgen.linkplan.decisions import search_of, static_runtimes
from stubgen.linkplan.every_image import of_every_image
from stubgen.linkplan.libraries import (
    implied_libraries,
    libraries_in,
    listed,
    read_libraries,
    runtime_archives,
)
from stubgen.linkplan.library_file import FileKind, file_kind
from stubgen.linkplan.options import Role
from stubgen.linkplan.own_folders import own_folders
from stubgen.linkplan.plan import LinkerOs
from stubgen.linkplan.request import CapturedCommand
from stubgen.linkplan.tokens import Item, Tokens, tokenize
from stubgen.linkplan.toolchain import CommandLine, Family, read_command

NO_DEFAULTS = frozenset(("-nostdlib", "-nodefaultlibs", "-nolibc"))
COMPILED = (".c", ".cc", ".cpp", ".cxx", ".m", ".mm", ".s", ".S", ".asm", ".swift", ".f", ".f90", ".d", ".rs")
"""Endings of sources that a driver compiles and links in one go: their objects are gone afterwards."""


def link_files(captured: CapturedCommand, system: LinkerOs | None = None) -> LinkFiles:
    """The files that the captured command links, as its linker finds them.

    The driver is asked where it looks, for the C library at least.

    Raises:
        PlanRefusal, UsageError, InputError: as for :func:`~stubgen.linkplan.plan_link`.
    """
    line = read_command(captured, system)
    if line.toolchain.family is Family.MSVC:
        return LinkFiles()
    toolchain = line.toolchain
    driver = toolchain.driver_grammar() if toolchain.driver else None
    tokens = tokenize(line.arguments, driver, toolchain.linker_grammar())
    search = search_of(tokens.items, line, own_folders(captured, system, always=True))
    libraries = libraries_in(
        [
            *read_libraries(tokens.items, search).values(),
            *runtime_archives(static_runtimes(tokens), search),
            *implied_libraries(_implied(line, tokens), search),
        ]
    )
    known = {library.path for library in libraries}
    objects, gone, order = [], [], []
    for path in map(search.path, _inputs(tokens.items, search.directory)):
        if path in known or of_every_image(path) is not None:
            continue
        if path.endswith(COMPILED) or (path.endswith(".o") and not os.path.isfile(path)):
            gone.append(path)
            order.append(path)
        elif path.endswith(".o") or file_kind(path) is FileKind.OBJECT:
            objects.append(path)
            order.append(path)
    return LinkFiles(tuple(objects), tuple(library.path for library in libraries), tuple(gone), tuple(order))


def _inputs(items: Sequence[Item], directory: str) -> Iterator[str]:
    """The names of all files that are linked as they are; not those between ``--start-lib`` and ``--end-lib``."""
    lazy = False
    for item in items:
        option = item.option
        if option is None:
            if item.values and not lazy and not item.values[0].startswith(("@", "-")):
                yield item.values[0]
        elif option.name.lstrip("-") in ("start-lib", "end-lib"):
            lazy = option.name.lstrip("-") == "start-lib"
        elif option.name == "-filelist" and item.values:
            yield from listed(os.path.join(directory, item.values[0]))
        elif option.role is Role.INPUT and item.values:
            yield item.values[0]


def _implied(line: CommandLine, tokens: Tokens) -> tuple[str, ...]:
    """The libraries that the driver links by itself, by name."""
    toolchain = line.toolchain
    if not toolchain.driver or not NO_DEFAULTS.isdisjoint(line.arguments):
        return ()
    static = static_runtimes(tokens)
    cxx = toolchain.cxx and "-static-libstdc++" not in static and "-nostdlib++" not in line.arguments
    if toolchain.family is Family.LD64:
        return (*(("c++",) if cxx else ()), "System")
    return (*(("stdc++", "c++") if cxx else ()), *(("m",) if toolchain.cxx else ()), "gcc_s", "c")
