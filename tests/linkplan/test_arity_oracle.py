"""The option tables against the programs themselves: how many arguments each option takes.

Every option is given to every program that knows it, followed by names of files that do not exist. The first of
them that the program misses as an input is the first that it did not take as an operand.
"""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import need

from stubgen.linkplan import driver_options, gnu_options, ld64_options
from stubgen.linkplan.options import Grammar


class Program(NamedTuple):
    """One program that can be asked."""

    tool: str
    arguments: list[str]
    missed: str
    """What it says of an input that is not there; the name is the group."""
    grammar: Grammar
    differs: set[str]
    """Options of which it takes another number of operands than the program that the table follows."""


GNU, LD64, DRIVER = gnu_options.grammar(), ld64_options.grammar(), driver_options.grammar()
PROGRAMS = [
    Program(
        "ld.lld-19", ["-o", "out"], r"cannot open no/(\d)", GNU, {"--threads", "-Tldata-segment", "-Trodata-segment"}
    ),
    Program(
        "aarch64-linux-gnu-ld",
        ["-o", "out"],
        r"cannot find no/(\d)",
        GNU,
        {"-G", "-library", "-library-path", "-remap-inputs"},
    ),
    Program(
        "ld64.lld-19",
        ["-arch", "arm64", "-platform_version", "macos", "11", "11", "-o", "out"],
        r"cannot open no/(\d)",
        LD64,
        # Options of Apple's ld that it takes for flags, by mistake or because it ignores them.
        {
            "-O",
            "-add_linker_option",
            "-executable_path",
            "-l",  # misses it as a library
            "-force_symbol_not_weak",
            "-force_symbol_weak",
            "-force_symbols_coalesce_list",
            "-kext_objects_dir",
            "-non_global_symbols_no_strip_list",
            "-non_global_symbols_strip_list",
            "-snapshot_dir",
            "-source_version",
        },
    ),
    Program(
        "clang-19",
        ["-###", "-target", "aarch64-linux-gnu"],
        r"no such file or directory: 'no/(\d)'",
        DRIVER,
        # gcc's: -dumpbase X, -R X; Apple gcc's and swiftc's: -dependency_info X, -lto_library X and their like.
        {"-R", "-Tbss", "-Tdata", "-Ttext", "-dumpbase", "-dumpbase-ext", "-order_file", "-upward_library"}
        | {"-dependency_info", "-lto_library", "-objc_abi_version", "-object_path_lto", "-output-file-map"}
        | {"-unexported_symbol", "-gcc-toolchain", "-user-module-version"},
    ),
]

FILE_OPENED_FIRST = re.compile(r"list|script|filelist|load|library|order|loader|file|sect|seg|reproduce|symbols|remap")
"""Options that open their operand: the missing file may be the operand's, which the probe cannot tell apart."""


def operands(program: Program, option: str, folder: Path) -> int | None:
    """How many arguments *option* takes; None: the program does not say."""
    command = [str(need(program.tool)), *program.arguments, option, *(f"no/{n}" for n in range(6))]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", cwd=folder, stdin=subprocess.DEVNULL
    )
    shown = done.stdout + done.stderr
    if re.search(r"unknown (argument|option|command)|unrecognized|unsupported option", shown):
        return None
    missed = {int(number) for number in re.findall(program.missed, shown)}
    return min(missed) if missed else None


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.tool for program in PROGRAMS])
def test_operand_counts_are_the_programs_own(program: Program, tmp_path: Path) -> None:
    """An option with one operand too few in the table leaves an orphan that the linker opens as an input."""
    need(program.tool)
    options = [option for option in program.grammar.options() if option.name not in program.differs]
    with ThreadPoolExecutor(2) as pool:
        asked = list(pool.map(lambda option: operands(program, option.name, tmp_path), options))
    wrong = {
        option.name: (option.form.separate, count)
        for option, count in zip(options, asked, strict=True)
        if count is not None
        and count != option.form.separate
        and not (count < option.form.separate and FILE_OPENED_FIRST.search(option.name))
        and not option.form.optional
    }
    assert wrong == {}
    assert sum(count is not None for count in asked) > len(options) // 4


@pytest.mark.parametrize("module", [gnu_options, ld64_options, driver_options], ids=lambda module: module.__name__)
def test_no_option_is_listed_twice(module: object) -> None:
    """Of two rows the later would win, and a reader who edits the first would change nothing."""
    rows = [*module.ROWS, *getattr(module, "TWO_DASH_ROWS", ())]  # type: ignore[attr-defined]
    names = [name for _, _, text in rows for name in text.split()]
    assert sorted(names) == sorted(set(names))
