"""Asks the real driver, or linker, in which folders it looks for libraries by itself."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache

from stubgen.common.cancellation import run
from stubgen.common.text import as_text
from stubgen.linkplan.decisions import search_of
from stubgen.linkplan.libraries import read_libraries
from stubgen.linkplan.options import Role
from stubgen.linkplan.plan import LinkerOs
from stubgen.linkplan.request import CapturedCommand
from stubgen.linkplan.tokens import Tokens, tokenize
from stubgen.linkplan.toolchain import PATIENCE, CommandLine, Dialect, Family, read_command

SHARED = frozenset(["c", "m", "dl", "pthread", "rt", "util", "resolv", "gcc", "gcc_s", "System", "objc"])
"""Libraries that everybody has as shared ones, or for every image: nothing hangs on where they are found."""
SAYS_WHERE = frozenset(
    ["--sysroot", "-B", "--prefix", "-target", "--target", "-gcc-toolchain", "--gcc-toolchain", "-specs", "--specs"]
)
"""Options on which a driver's own folders depend, as do those that begin with ``-m``."""


def own_folders(captured: CapturedCommand, system: LinkerOs | None = None, *, always: bool = False) -> tuple[str, ...]:
    """The folders in which the captured command's linker looks besides those that the command names.

    It is run only where a library was found in none of those, or *always*.
    """
    line = read_command(captured, system)
    toolchain = line.toolchain
    if toolchain.dialect is Dialect.ZIG and toolchain.family is Family.LD64 and always:
        return _zigs_folder(line)
    if toolchain.family is Family.MSVC or toolchain.dialect is not Dialect.COMMON:
        return ()
    tokens = tokenize(
        line.arguments, toolchain.driver_grammar() if toolchain.driver else None, toolchain.linker_grammar()
    )
    if not always and not _lacks_a_library(tokens, line):
        return ()
    program = [argument for edit in toolchain.edits for argument in edit.after]
    if toolchain.driver:
        text = _ask(
            (*program, *_words_that_say_where(tokens), "-print-search-dirs"), captured.directory, _path_of(captured)
        )
        found = re.search(r"^libraries: =?(.*)$", text, re.MULTILINE)
        return tuple(found[1].split(os.pathsep)) if found else ()
    text = _ask((*program, "--verbose"), captured.directory, _path_of(captured))
    return tuple(re.findall(r'SEARCH_DIR\("([^"]+)"\)', text))


def _zigs_folder(line: CommandLine) -> tuple[str, ...]:
    """Where zig has its stub of macOS's system library; its stubs of Linux's are made anew for each link."""
    program = [argument for edit in line.toolchain.edits for argument in edit.after]
    text = _ask((*program[:-1], "env"), line.captured.directory, _path_of(line.captured))
    found = re.search(r'\blib_dir"?\s*[=:]\s*"([^"]+)"', text)
    return (os.path.join(found[1], "libc", "darwin"),) if found else ()


def _lacks_a_library(tokens: Tokens, line: CommandLine) -> bool:
    found = read_libraries(tokens.items, search_of(tokens.items, line))
    return any(
        item.option is not None
        and item.option.role is Role.LIBRARY
        and index not in found
        and item.values[0] not in SHARED
        for index, item in enumerate(tokens.items)
        if item.values
    ) or any(item.option is not None and item.option.role is Role.ARCHIVES for item in tokens.items)


def _words_that_say_where(tokens: Tokens) -> Sequence[str]:
    return [
        tokens.words[word]
        for item in tokens.items
        if item.option is not None and not item.linker and item.option.name in SAYS_WHERE
        for word in item.words
    ] + [argument for argument in tokens.arguments if argument.startswith(("-mabi=", "-march=", "-mcpu=", "-m64"))]


def _path_of(captured: CapturedCommand) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((captured.environment or {}).items()))


@cache
def _ask(command: tuple[str, ...], directory: str | None, environment: tuple[tuple[str, str], ...]) -> str:
    """What *command* prints; nothing where it cannot be run."""
    try:
        done = run(command, directory, {**os.environ, **dict(environment)}, errors=False, timeout=PATIENCE)
    except OSError:
        return ""
    return as_text(done.stdout)
