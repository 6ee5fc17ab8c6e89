"""The command that compiles a crate for a patch, from the one that compiled it for the host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from stubgen.capture.compile_words import codegen_value, crate_of, is_rustc, value_of
from stubgen.common.row import Row
from stubgen.compileplan.rust_options import (
    CODEGEN_DROPPED,
    DEFAULT_UNITS,
    DROPPED,
    INCREMENTAL_UNITS,
    WITH_OPERAND,
)

CRATE_FOLDERS = ("crate", "all")
"""Kinds of ``-L`` that are for crates that a source names; without a kind it is ``all``."""

STATE_OPTIONS = ("-C", "llvm-args=-enable-global-merge=false")
"""What ``--keep-state`` needs of LLVM: it puts statics together under one name where code is optimised."""


class Crate(Row):
    """What a command of rustc's says of its crate."""

    name: str
    stem: str
    """Name and ``extra-filename``: what its files are called, unless the command says it (:attr:`output`)."""
    folder: str
    """Where they are, relative to the command's own folder."""
    types: tuple[str, ...]
    externs: tuple[tuple[str, str], ...]
    """(name, file) of each crate that the command names."""
    folders: tuple[str, ...]
    """Where rustc looks for crates that are named without a file, or in the source alone."""
    output: str
    """What ``-o`` names, without its folder; empty where it is left out."""

    def files(self) -> tuple[str, ...]:
        """The names under which the command's crate is given to other crates."""
        given = f"{os.path.splitext(self.output)[0]}" if self.output else f"lib{self.stem}"
        return tuple(f"{given}.{ending}" for ending in ("rmeta", "rlib", "so", "dylib"))

    @property
    def units(self) -> str:
        """How the names of its codegen units begin: ``-o host`` of the crate ``a`` makes ``host.a.HASH.rcgu.o``."""
        return f"{os.path.splitext(self.output)[0] or self.stem}."


class Option(Row):
    """One option of rustc's with its operand, or its one input."""

    name: str
    """The option without its operand; ``""``: an input."""
    value: str
    texts: tuple[str, ...]


def options_of(arguments: Sequence[str]) -> Iterator[Option]:
    """*arguments*, behind the compiler's name, taken apart."""
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if not argument.startswith("-") or argument == "-":
            yield Option("", argument, (argument,))
        elif argument in WITH_OPERAND and position < len(arguments):
            yield Option(argument, arguments[position], (argument, arguments[position]))
            position += 1
        elif argument.startswith("--"):
            name, _, value = argument.partition("=")
            yield Option(name, value, (argument,))
        elif argument[:2] in WITH_OPERAND:
            yield Option(argument[:2], argument[2:].removeprefix("="), (argument,))
        else:
            yield Option(argument, "", (argument,))


def read_crate(argv: Sequence[str]) -> Crate:
    """What the command *argv* says of its crate."""
    name, extra, folder = crate_of(argv)
    options = list(options_of(_split(argv)[1]))
    types = [kind for option in options if option.name == "--crate-type" for kind in option.value.split(",")]
    externs = []
    for option in options:
        if option.name == "--extern":
            named, equals, path = option.value.partition("=")
            if equals:
                externs.append((named.rpartition(":")[2], path))
    searched = [option.value.partition("=") for option in options if option.name == "-L"]
    folders = [
        path if kind in CRATE_FOLDERS else kind
        for kind, equals, path in searched
        if kind in CRATE_FOLDERS or not equals
    ]
    return Crate(
        name,
        name + extra,
        folder,
        tuple(types or ["bin"]),
        tuple(externs),
        tuple(folders),
        os.path.basename(value_of(argv, "-o")),
    )


def depfile_of(argv: Sequence[str]) -> str | None:
    """The file into which *argv* writes what it reads, relative to its folder; None where it writes none."""
    for kind in value_of(argv, "--emit").split(","):
        name, equals, path = kind.partition("=")
        if name == "dep-info":
            crate = read_crate(argv)
            output = value_of(argv, "-o")
            beside = f"{os.path.splitext(output)[0]}.d" if output else os.path.join(crate.folder, f"{crate.stem}.d")
            return path if equals else beside
    return None


def patch_command(
    argv: Sequence[str],
    folder: str,
    incremental: str,
    externs: Mapping[str, str],
    *,
    metadata: bool,
    keep_state: bool,
) -> list[str]:
    """The command that compiles the crate into objects in *folder*.

    Args:
        argv: the build's command.
        folder: a folder of its own, absolute.
        incremental: the folder for what rustc keeps from one time to the next.
        externs: name of a file that other crates are given under -> the one that was made for the patch.
        metadata: make what dependents are compiled with as well.
        keep_state: add what ``--keep-state`` tells variables by.
    """
    compiler, arguments = _split(argv)
    kept = list(compiler)
    moved = [*externs.values()]
    for folder_of_new in dict.fromkeys(os.path.dirname(path) for path in moved):
        kept += ["-L", f"dependency={folder_of_new}"]  # for what the crates it names name in turn
    for option in options_of(arguments):
        kept += _kept(option, externs)
    kept += [f"--emit={'obj,metadata' if metadata else 'obj'}", "--out-dir", folder, "-C", "relocation-model=pic"]
    kept += ["-C", "embed-bitcode=no", "-C", f"codegen-units={_units(argv)}"]
    if codegen_value(argv, "incremental"):
        kept += ["-C", f"incremental={incremental}"]
    return [*kept, *(STATE_OPTIONS if keep_state else ())]


def dependency_command(argv: Sequence[str], output: str) -> list[str]:
    """The command that writes what *argv* reads into *output*, as a rule for make."""
    compiler, arguments = _split(argv)
    kept = list(compiler)
    for option in options_of(arguments):
        kept += _kept(option, {})
    return [*kept, f"--emit=dep-info={output}"]


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The compiler with the launchers in front of it, and its arguments."""
    for position in range(min(4, len(argv))):
        if is_rustc(argv[position : position + 1]):
            return argv[: position + 1], argv[position + 1 :]
    return argv[:1], argv[1:]


def _kept(option: Option, externs: Mapping[str, str]) -> Sequence[str]:
    """What stays of *option*."""
    if option.name in DROPPED:
        return ()
    if option.name in ("-C", "--codegen"):
        return () if option.value.partition("=")[0].replace("_", "-") in CODEGEN_DROPPED else option.texts
    if option.name == "--extern":
        named, equals, path = option.value.partition("=")
        new = externs.get(os.path.basename(path)) if equals else None
        return ("--extern", f"{named}={new}") if new else option.texts
    return option.texts


def _units(argv: Sequence[str]) -> int:
    """How many codegen units the build made of the crate, at most."""
    named = codegen_value(argv, "codegen-units")
    if named.isdecimal():
        return int(named)
    return INCREMENTAL_UNITS if codegen_value(argv, "incremental") else DEFAULT_UNITS
