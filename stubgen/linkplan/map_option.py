"""How a linker is asked what it takes from where, and where a planned command's libraries are found.

This is for the link that runs, and in no plan that anybody reads: a map goes into a temporary folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from stubgen.linkplan.additions import through_driver
from stubgen.linkplan.options import LIBRARY_FOLDERS
from stubgen.linkplan.plan import LinkerOs
from stubgen.linkplan.toolchain import Dialect, Family, find_toolchain, program_name

WITHOUT_MAP = frozenset({"wild", "ld.wild"})
"""Linkers that write none."""


def map_option(args: Sequence[str], linker_os: LinkerOs, path: str) -> list[str]:
    """What makes the command *args* write a map file to *path*; nothing where its linker writes none.

    zig's driver takes no such option: ``-Map`` is unknown to it, for ELF and for Mach-O.
    """
    if linker_os is LinkerOs.OTHER:
        return []
    toolchain = find_toolchain(args, os=linker_os)
    zig = toolchain.driver and toolchain.dialect is Dialect.ZIG
    if zig or program_name(args[toolchain.arguments - 1]) in WITHOUT_MAP:
        return []
    words = ["-map", path] if toolchain.family is Family.LD64 else [f"-Map={path}"]
    return through_driver(words, toolchain.dialect) if toolchain.driver else words


def prefix_option(args: Sequence[str], linker_os: LinkerOs, folder: str) -> list[str]:
    """What makes a Mach-O linker leave *folder* out where it names its objects for debuggers (N_OSO).

    Of the others none names its objects. zig's driver knows no such option.
    """
    toolchain = find_toolchain(args, os=linker_os)
    if toolchain.family is not Family.LD64 or toolchain.dialect is Dialect.ZIG:
        return []
    words = ["-oso_prefix", folder]
    return through_driver(words, toolchain.dialect) if toolchain.driver else words


ZIG_VERBOSE = {"ZIG_VERBOSE_LINK": "1"}
"""What makes zig's driver print the linker's command, which is the one thing that it tells of its own archives."""


def told_by_zig(messages: str) -> tuple[str, tuple[str, ...]]:
    """What zig's driver printed without the linker's command, and the archives that this names."""
    rest, archives = [], []
    for line in messages.splitlines():
        if line.startswith(("ld.lld ", "zig ld ", "lld ")):
            archives += re.findall(r"(?:\A|(?<= ))(/\S+\.a)(?= |\Z)", line)
        else:
            rest.append(line)
    return "\n".join(rest), tuple(archives)


def library_folders(args: Sequence[str], directory: str) -> Iterator[str]:
    """The folders in which the linker looks, or found, a library: ``-L``, and those of libraries given by path."""
    following = False
    for argument in args:
        for word in argument.removeprefix("-Wl,").split(","):
            folder = None
            if following:
                folder = word
            elif word.startswith("-L") and len(word) > 2:
                folder = word[2:]
            elif word.partition("=")[0] in LIBRARY_FOLDERS:
                folder = word.partition("=")[2] or None
            elif re.search(r"\.so(\.[\d.]+)?\Z", word) and not word.startswith("-"):
                folder = os.path.dirname(word)
            following = word in LIBRARY_FOLDERS
            if folder is not None:
                yield os.path.join(directory, folder)


def library_query(args: Sequence[str], linker_os: LinkerOs, name: str) -> list[str]:
    """A command that prints where a compiler driver has the library *name*; empty for anything but gcc and clang."""
    if linker_os is not LinkerOs.LINUX:
        return []
    toolchain = find_toolchain(args)
    if not toolchain.driver or toolchain.dialect is not Dialect.COMMON:
        return []
    target = [word for word in args if word.startswith(("--target=", "--sysroot="))]
    for option in ("-target", "--sysroot"):
        if option in args[:-1]:
            target += [option, args[args.index(option) + 1]]
    return [*args[: toolchain.arguments], *target, f"-print-file-name={name}"]
