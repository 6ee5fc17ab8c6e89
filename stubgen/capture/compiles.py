"""Records compiles: an executable to put in front of a build's compilers, and the records that it leaves.

``hotpatch-stubgen-compiler COMPILER ARG...`` is a launcher, which is what cargo's ``RUSTC_WORKSPACE_WRAPPER``, CMake's
``CMAKE_<LANG>_COMPILER_LAUNCHER``, make's ``CC`` and Meson's ``c`` take. It writes one JSON file a compile into
``STUBGEN_CAPTURE_DIR``, beside the records of links, and then becomes the compiler. Where the compiler is called to
link, as make and Meson do, it records that link. Nothing that goes wrong with recording stops the build: it warns and
compiles.
"""

from __future__ import annotations

import os
import sys

from stubgen.capture.compile_words import compiled, is_rustc, tries
from stubgen.capture.links import ENVIRONMENT, run_link
from stubgen.capture.process import Wrapper
from stubgen.capture.records import Kind, add_record, read_folder, read_record, text, timestamp, variable
from stubgen.capture.words import links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, NoReturn

COMPILE = Kind("compile", ".compile.json", 1, "hotpatch-stubgen-compiler")

WRAPPER = Wrapper("hotpatch-stubgen-compiler", "compiler", "its first argument must be the real compiler")

VARIABLES = frozenset(
    {
        *ENVIRONMENT,
        *("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "OBJCPLUS_INCLUDE_PATH"),
        *("GCC_COMPARE_DEBUG_OFF", "CL", "_CL_", "INCLUDE", "CCACHE_DIR", "CCACHE_CONFIGPATH"),
        *("CARGO", "CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"),
        *("CARGO_MANIFEST_LINKS", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "CARGO_RUSTC_CURRENT_DIR"),
        *("OUT_DIR", "RUSTC_BOOTSTRAP", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUST_TARGET_PATH", "RUST_MIN_STACK"),
    }
)
"""Variables that change what is compiled: those that a link's record has, GCC's and clang's folders of headers, what
cargo tells rustc and macros. What build scripts set besides is in rustc's dep-info, where code reads it. Passwords
and tokens (``CARGO_REGISTRY_TOKEN``) are in nothing of this, nor is the jobserver (``CARGO_MAKEFLAGS``), which is gone
after the build."""

PREFIXES = ("CARGO_PKG_", "CARGO_BIN_EXE_", "CARGO_FEATURE_")
"""Beginnings of names of more such variables."""


class Compile:
    """One recorded compile."""

    __slots__ = ("argv", "directory", "environment", "output", "path", "source", "time")

    argv: list[str]
    """The compiler's command, program first, without response files."""
    directory: Path
    """Where it ran."""
    environment: dict[str, str]
    """Those of its variables that change what is compiled."""
    time: float
    """Seconds since 1970."""
    output: str
    """What it writes; of a crate, folder and name without an ending."""
    source: str
    """What it reads first, as the command has it."""
    path: Path | None
    """The record's own file."""

    def __init__(
        self,
        argv: Sequence[str],
        directory: str | Path,
        environment: Mapping[str, str],
        time: float = 0.0,
        output: str = "",
        source: str = "",
        path: Path | None = None,
    ) -> None:
        """Keep what is given.

        Raises:
            UsageError: one of them is not what it must be.
        """
        from pathlib import Path as PathType

        from stubgen.common import arguments as check

        self.argv = list(check.listed("argv", argv, "word", check.word))
        self.directory = PathType(check.path("directory", directory))
        self.environment = check.mapping("environment", environment, "texts", check.word)
        self.time = check.seconds("time", time)
        self.output = check.word("output", output)
        self.source = check.word("source", source)
        self.path = None if path is None else PathType(check.path("path", path))

    @classmethod
    def load(cls, path: str | Path) -> Compile:
        """The record in the file *path*: what is believed of a link's record is believed of it.

        Raises:
            UnreadableInput: there is no such file, or whose it is forbids to believe it.
            MalformedInput: the file holds no record, or another version's.
        """
        return read_record(path, COMPILE, cls._of)

    @classmethod
    def _of(cls, file: Path, record: dict[str, Any]) -> Compile:
        return cls(
            argv=[text(word) for word in record["argv"]],
            directory=text(record["directory"]),
            environment={
                variable(file, COMPILE, name, keeps): text(value) for name, value in record["environment"].items()
            },
            time=timestamp(record["time"]),
            output=text(record["output"]),
            source=text(record["source"]),
            path=file,
        )


def keeps(name: str) -> bool:
    """Whether a record keeps the variable *name*."""
    return name in VARIABLES or name.startswith(PREFIXES)


def read_compiles(directory: str | Path) -> list[Compile]:
    """Every sound record of a compile in *directory*, oldest first.

    Raises:
        UnreadableInput: there is no such folder.
        UsageError: *directory* is no path.
    """
    compiles, _ = read_folder(directory, COMPILE, Compile.load)
    return sorted(compiles, key=lambda each: each.time)


def record_compile(
    argv: Sequence[str],
    capture_directory: str | Path,
    *,
    directory: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Write the record of the compile *argv* in place of the last one of its output; the path of its file.

    None: the command compiles nothing, or only tries the compiler out.

    Raises:
        OSError: the folder cannot be written.
    """
    here = directory or os.getcwd()
    found = compiled(argv, here)
    if found is None:
        return None
    variables = os.environ if environment is None else environment
    document: dict[str, object] = {
        "argv": found.argv,
        "directory": here,
        "environment": {name: variables[name] for name in sorted(variables) if keeps(name)},
        "output": found.output,
        "source": found.source,
    }
    output = os.path.join(here, found.output)
    return add_record(os.fspath(capture_directory), COMPILE, output, document, kept=1).path


def compiler_main(argv: Sequence[str] | None = None) -> NoReturn:
    """Record the command and become the compiler: the console script ``hotpatch-stubgen-compiler``."""
    WRAPPER.run(lambda: _record_and_become(argv))


def _record_and_become(argv: Sequence[str] | None) -> NoReturn:
    command = sys.argv[1:] if argv is None else list(argv)
    if command and WRAPPER.is_self(command[0]):  # a wrapper of all crates and one of the workspace's
        del command[0]
    if not command:
        WRAPPER.exit_with_error("give the compiler and its arguments, as a launcher is given them")
    folder = os.environ.get("STUBGEN_CAPTURE_DIR", "")
    try:
        if folder:
            record_compile(command, folder)
        elif compiled(command, os.getcwd()) is not None:
            WRAPPER.print_error("warning: STUBGEN_CAPTURE_DIR is not set, so this compile is not recorded")
    except Exception as error:  # recording must never break the user's build, whatever fails
        WRAPPER.print_error(f"warning: this compile is not recorded: {error}")
    if folder and _links(command):
        run_link(WRAPPER, command, folder)
    WRAPPER.become(command)


def _links(command: Sequence[str]) -> bool:
    """Whether the compiler's *command* links: rustc runs a linker of its own for that."""
    inputs = [word for word in command[1:] if not word.startswith("-")]
    return bool(inputs) and links(command) and not is_rustc(command) and not any(map(tries, inputs))
