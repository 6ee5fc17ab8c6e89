"""Records compiles: an executable to put in front of a build's compilers, and the records that it leaves.

``hotpatch-stubgen-compiler COMPILER ARG...`` is a launcher, which is what cargo's ``RUSTC_WORKSPACE_WRAPPER``, CMake's
``CMAKE_<LANG>_COMPILER_LAUNCHER``, make's ``CC`` and Meson's ``c`` take. It writes one JSON file a compile into
``STUBGEN_CAPTURE_DIR``, beside the records of links, runs the compiler and ends as that did. Where the compiler is
called to link, as make and Meson do, it records that link. Nothing that goes wrong with recording stops the build: it
warns and compiles.

Once a C or C++ compile has ended, its record has what tells the object from other files, as a build may move it, and
what was in the files that it read, as one may be written anew and be as it was.
"""

from __future__ import annotations

import os
import sys

from stubgen.capture.compile_words import Compiled, compiled, depfile_of, is_rustc, tries
from stubgen.capture.links import ENVIRONMENT, run_link
from stubgen.capture.process import Wrapper
from stubgen.capture.records import (
    Kind,
    Recorded,
    add_record,
    file_identity,
    identity_of,
    read_folder,
    read_record,
    text,
    timestamp,
    variable,
    write_record,
)
from stubgen.capture.words import links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, NoReturn

    from stubgen.capture.records import FileIdentity

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

    __slots__ = ("argv", "directory", "environment", "made", "output", "path", "read", "source", "time")

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
    made: FileIdentity | None
    """What tells the output from other files, wherever it is moved; None where that is not known."""
    read: dict[str, str]
    """Path of a file that it reads -> digest of what was in it; of others that is not known."""

    def __init__(
        self,
        argv: Sequence[str],
        directory: str | Path,
        environment: Mapping[str, str],
        time: float = 0.0,
        output: str = "",
        source: str = "",
        path: Path | None = None,
        made: FileIdentity | None = None,
        read: Mapping[str, str] | None = None,
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
        self.made = made
        self.read = check.mapping("read", {} if read is None else read, "texts", check.word)

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
            made=file_identity(record.get("made")),
            read={text(name): text(digest) for name, digest in (record.get("read") or {}).items()},
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
    return None if found is None else _begin_record(found, capture_directory, here, environment).path


def _begin_record(
    found: Compiled, capture_directory: str | Path, here: str, environment: Mapping[str, str] | None = None
) -> Recorded:
    """:func:`record_compile`, for :func:`_complete` once the compile has ended."""
    variables = os.environ if environment is None else environment
    document: dict[str, object] = {
        "argv": found.argv,
        "directory": here,
        "environment": {name: variables[name] for name in sorted(variables) if keeps(name)},
        "output": found.output,
        "source": found.source,
    }
    output = os.path.join(here, found.output)
    return add_record(os.fspath(capture_directory), COMPILE, output, document, kept=1)


def _complete(recorded: Recorded, found: Compiled) -> None:
    """Add to the record what the compile made, and what was in what it read."""
    try:
        document = recorded.document
        here, began = str(document["directory"]), document["time"]
        made = identity_of(os.path.join(here, found.output))
        read = contents_read(found, here, began) if isinstance(began, float) else {}
        os.stat(recorded.path)  # a later compile of that output may have taken its place
        write_record(recorded.path, {**document, "made": made, "read": read})
    except Exception as error:  # recording must never break the user's build, whatever fails
        WRAPPER.print_error(f"warning: what this compile made is not recorded: {error}")


def contents_read(found: Compiled, directory: str, began: float) -> dict[str, str]:
    """Path of each file that the compile has read -> digest of what is in it; it began at *began*.

    That is the source, and what the dependency file lists. What may have been written since is left out.
    """
    names = [found.source]
    depfile = depfile_of(found.argv, found.output)
    if depfile is not None:
        from stubgen.capture.depfile import prerequisites

        try:
            with open(os.path.join(directory, depfile), encoding="utf-8", errors="surrogateescape") as file:
                names += prerequisites(file.read())
        except OSError:  # the compiler wrote none
            pass
    digests = {}
    for name in dict.fromkeys(names):
        digest = "" if name.startswith(SYSTEM) else content_digest(os.path.join(directory, name), began - TICK)
        if digest:
            digests[name] = digest
    return digests


SYSTEM = "/usr/"
"""Where headers are that nobody edits."""
TICK = 0.02
"""Seconds by which a file system's clock may be behind, at least."""


def content_digest(path: str, before: float | None = None) -> str:
    """Digest of what is in the file *path*, in hex; ``""`` where it is no file, or was written after *before*.

    ``hashlib`` loads OpenSSL, which takes as long as the rest of a launcher.
    """
    from _blake2 import blake2b

    try:
        with open(path, "rb") as file:
            if before is not None and os.fstat(file.fileno()).st_mtime > before:
                return ""
            return blake2b(file.read(), digest_size=DIGEST_SIZE).hexdigest()
    except OSError:
        return ""


DIGEST_SIZE = 16
"""Bytes of the BLAKE2b digest of a file that a compile reads."""


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
    found = recorded = None
    try:
        found = compiled(command, os.getcwd())
        if found is not None and folder:
            recorded = _begin_record(found, folder, os.getcwd())
        elif found is not None:
            WRAPPER.print_error("warning: STUBGEN_CAPTURE_DIR is not set, so this compile is not recorded")
    except Exception as error:  # recording must never break the user's build, whatever fails
        WRAPPER.print_error(f"warning: this compile is not recorded: {error}")
    if folder and _links(command):
        run_link(WRAPPER, command, folder)
    if recorded is None or found is None or found.rust or os.name != "posix":
        WRAPPER.become(command)
    status = WRAPPER.attend(command)
    if not status:
        _complete(recorded, found)
    WRAPPER.end_like(status)


def _links(command: Sequence[str]) -> bool:
    """Whether the compiler's *command* links: rustc runs a linker of its own for that."""
    inputs = [word for word in command[1:] if not word.startswith("-")]
    return bool(inputs) and links(command) and not is_rustc(command) and not any(map(tries, inputs))
