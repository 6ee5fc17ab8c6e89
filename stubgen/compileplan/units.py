"""What a build compiled: one unit for each command, and the files that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache
from pathlib import Path

from stubgen.capture.compile_words import depfile_of, is_rustc
from stubgen.capture.compiles import Compile, content_digest, keeps, read_compiles
from stubgen.capture.depfile import forget_paths, prerequisites, real_paths, rule, variables
from stubgen.common.cancellation import beside, run
from stubgen.common.files import system_failure
from stubgen.common.scratch import scratch_folder
from stubgen.common.text import as_text
from stubgen.compileplan import c_command, rust_command
from stubgen.compileplan.ninja_deps import dependencies_of
from stubgen.errors import CompilerFailed, MalformedInput, UnreadableInput

LOADER_VARIABLES = ("LD_", "DYLD_")
"""Beginnings of variables that choose what a loader loads: not believed of a dependency file."""


def title_of(name: str, directory: str) -> str:
    """What tells a unit from others in a session: :attr:`Unit.name`, and where it is compiled."""
    return f"{name} in {directory}"


class Unit:
    """One compile of the build's."""

    def __init__(self, compile_: Compile) -> None:
        self.compile = compile_
        self.directory = str(compile_.directory)
        self.argv = compile_.argv
        self.rust = is_rustc(compile_.argv)
        self.output = os.path.realpath(os.path.join(self.directory, compile_.output))
        """Real path of what the build made, where the host's link has it; of a crate, without an ending."""
        self.among_compiled_headers = False
        """The build compiled headers by themselves, and any first ``#include`` may mean one."""
        self.may_be_patched = False
        """An earlier patch of the process may have been made of it, with an edit that is undone by now."""
        self.built = compile_.time
        """Sources that were written later are not in what the host has of it; seconds since 1970."""

    @cached_property
    def crate(self) -> rust_command.Crate:
        """What rustc's command says of its crate."""
        return rust_command.read_crate(self.argv)

    @property
    def is_macro(self) -> bool:
        """Whether it is a crate of macros: a part of the compiler, not of the program."""
        return "proc-macro" in self.crate.types

    @property
    def is_build_script(self) -> bool:
        """Whether cargo compiled it as a package's build script."""
        return self.crate.name.startswith("build_script_")

    @property
    def package(self) -> str:
        """The folder of cargo's package that it is of; ``""``: of none."""
        return self.compile.environment.get("CARGO_MANIFEST_DIR", "")

    @cached_property
    def made_files(self) -> frozenset[str]:
        """Real paths by which other crates are given this one."""
        folder = os.path.realpath(os.path.join(self.directory, self.crate.folder))
        return frozenset(os.path.join(folder, name) for name in self.crate.files())

    @cached_property
    def extern_files(self) -> frozenset[str]:
        """Real paths of the crates that the command names."""
        return frozenset(real_paths([path for _, path in self.crate.externs], self.directory))

    def may_find(self, other: Unit) -> bool:
        """Whether rustc may have found the crate of *other* by its name in a folder, which no option says."""
        folders = real_paths(list(self.crate.folders), self.directory)
        return (
            other is not self
            and not other.made_files.isdisjoint(
                os.path.join(folder, name) for folder in folders for name in other.crate.files()
            )
            and other.made_files.isdisjoint(self.extern_files)
        )

    @property
    def name(self) -> str:
        """The crate, or the source, for people."""
        return f"crate {self.crate.name}" if self.rust else self.compile.source

    @property
    def title(self) -> str:
        """What tells it from others in a session."""
        return title_of(self.name, self.directory)

    @cached_property
    def sources(self) -> frozenset[str]:
        """Real paths of what the command itself names."""
        named = [self.compile.source] if self.rust else c_command.inputs_of(self.argv)
        return frozenset(real_paths(named, self.directory))

    @cached_property
    def dependencies(self) -> str | None:
        """The text of the dependency file that the build's compiler wrote; None where there is none (any more)."""
        path = rust_command.depfile_of(self.argv) if self.rust else depfile_of(self.argv, self.compile.output)
        try:
            return None if path is None else as_text(Path(self.directory, path).read_bytes())
        except OSError:
            kept = dependencies_of(self.compile.output, self.directory)
            return rule(self.compile.output, kept) if kept else None

    @cached_property
    def precompiled(self) -> bool:
        """Whether it may read a header that was compiled before: the build's list does not say what is in that."""
        return not self.rust and (
            self.among_compiled_headers or c_command.takes_compiled_header(self.argv, self.directory)
        )

    def first_header(self, folder: str) -> str:
        """A header in *folder* that keeps GCC from what it compiled before; ``""`` where there is no such thing."""
        if not self.precompiled:
            return ""
        path = os.path.join(folder, "first.h")
        Path(path).write_text(c_command.NO_COMPILED_HEADER)
        return path

    def asked_dependencies(self) -> str:
        """The same, of the source as it is now; the compiler is asked where the build left nothing.

        Raises:
            CompilerFailed: it does not say.
        """
        if self.dependencies is not None and not self.precompiled:
            return self.dependencies
        return self.present_dependencies()

    def present_dependencies(self) -> str:
        """What the compiler says that it reads now, in the form of a dependency file.

        Raises:
            CompilerFailed: it does not say.
        """
        with scratch_folder() as folder:
            if not self.rust:
                first = self.first_header(folder)
                return self.run(c_command.dependency_command(self.argv, self.directory, first), errors=False)
            file = Path(folder, "crate.d")
            self.run(rust_command.dependency_command(self.argv, str(file)))
            return as_text(file.read_bytes())

    def reads(self, *, ask: bool) -> frozenset[str]:
        """Real paths of what it is compiled from; *ask* the compiler where the build left no list of them."""
        return self._reads_if_asked if ask else self._listed_reads

    def reads_now(self) -> frozenset[str]:
        """The same, as the compiler says now: what the build did not know is in it."""
        return self._read_from(self.present_dependencies())

    @cached_property
    def _listed_reads(self) -> frozenset[str]:
        return self._read_from(self.dependencies or "")

    @cached_property
    def _reads_if_asked(self) -> frozenset[str]:
        return self._read_from(self.asked_dependencies())

    def _read_from(self, text: str) -> frozenset[str]:
        try:
            names = prerequisites(text)
        except MalformedInput as error:
            raise MalformedInput(f"{self.output}: {error}") from None
        return self.sources | real_paths(names, self.directory)

    def edited(self, *, ask: bool) -> bool:
        """Whether a file that it is compiled from :meth:`is_edited`; *ask* as for :meth:`reads`."""
        return any(self.is_edited(path) for path in self.reads(ask=ask))

    def is_edited(self, path: str) -> bool:
        """Whether the file holds something else than the host was made of; where nobody knows, whether it is newer.

        A file that ``mv``, ``cp -p``, ``tar`` or ``rsync -t`` brought has an old time; that of its status is new.
        """
        try:
            status = os.stat(path)
        except OSError:
            return False
        newer = status.st_mtime > self.built
        if not newer and status.st_ctime <= self.built:
            return False
        digest = self._digests.get(path)
        return newer if digest is None else _digest(path, status.st_mtime_ns, status.st_ctime_ns) != digest

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Real path -> digest of what was in the file when the host's object was made of it.

        Nothing where that is another compile: it may have been of an edit. Nor where the process may have more than
        the host: what is as the host was made of it takes the place of a patch's.
        """
        if self.built < self.compile.time or self.may_be_patched:
            return {}
        named = self.compile.read.items()
        return {next(iter(real_paths([name], self.directory))): digest for name, digest in named}

    def environment(self) -> dict[str, str]:
        """The variables to compile it with: those of the record over the present ones, and those that ``env!`` read."""
        found = {**os.environ}
        if self.compile.environment:  # a record has all that it keeps; what it has not was not set
            found = {name: value for name, value in found.items() if not keeps(name)} | self.compile.environment
        for name, value in variables(self.dependencies or "").items() if self.rust else ():
            if value is None:
                found.pop(name, None)
            elif not name.startswith(LOADER_VARIABLES):
                found[name] = value
        return found

    @contextmanager
    def beside(self, command: list[str] | None) -> Iterator[None]:
        """Run *command*, if there is one, beside what is done while this is entered; when it is left it has ended well.

        Raises:
            CompilerFailed: it cannot be run, or ended with an error, which nobody else has come upon.
        """
        if command is None:
            yield
            return
        with ExitStack() as stack:
            try:
                status = stack.enter_context(beside(command, self.directory, self.environment()))
            except OSError:
                self.run(command)  # it says why
                raise
            yield
            ended = status()
        if ended:
            self.run(command)

    def run(self, command: list[str], *, errors: bool = True) -> str:
        """What *command* prints, run as the build ran its own.

        Raises:
            CompilerFailed: it cannot be run, or ended with an error.
        """
        try:
            done = run(command, self.directory, self.environment(), errors=errors)
            if done.returncode and not errors:  # what it said went where nobody reads
                done = run(command, self.directory, self.environment())
        except OSError as error:
            failure = system_failure(error)
            if failure is not None:
                raise failure from error
            where = "" if os.path.isdir(self.directory) else f" in {self.directory}, which is gone"
            raise CompilerFailed(f"{command[0]}: cannot be run{where}: {error.strerror}", command=command) from error
        printed = as_text(bytes(done.stdout)) if not errors else done.stdout.decode("utf-8", "replace")
        if done.returncode:
            status = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            said = printed.strip() or "\n".join(f"{path}: no such file" for path in sorted(self._gone()))
            message = f"{command[0]}: ended with {status} over {self.name}\n{said}".rstrip()
            raise CompilerFailed(message, command=command, status=done.returncode, output=printed)
        return printed

    def _gone(self) -> list[str]:
        """What the command names and is not there: with ``-M -MG`` GCC ends with an error and says nothing of it."""
        return [path for path in self.sources if not os.path.exists(path)]


@lru_cache(10_000)
def _digest(path: str, _modified: int, _changed: int) -> str:
    """Of what is in the file, which a thousand units may read; times in nanoseconds tell it from what was there."""
    return content_digest(path)


def modified(path: str) -> float:
    """When the file was written, in seconds since 1970; 0 where it is gone."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def read_units(captured: str | os.PathLike[str], databases: Iterable[str | os.PathLike[str]] = ()) -> list[Unit]:
    """What was compiled, by the records in the folder *captured*, and by compilation databases for what has none.

    Raises:
        UnreadableInput: there is no such folder, or nothing is recorded there.
        InputError: a database cannot be read.
    """
    from stubgen.compileplan.compile_commands import read_compile_commands

    forget_paths()
    folder = os.fspath(captured)
    if not os.path.exists(folder):
        raise UnreadableInput(f"{folder}: no such folder; nothing was captured there")
    folder = folder if os.path.isdir(folder) else os.path.dirname(folder) or "."
    compiles = read_compiles(folder)
    listed = [each for database in databases for each in read_compile_commands(database)]
    units: dict[str, Unit] = {}
    for unit in map(Unit, (*listed, *compiles)):
        units[unit.output] = unit  # the newest record of an output is the last one
    if not units:
        raise UnreadableInput(
            f"{folder}: no compile is recorded there: build with hotpatch-stubgen-compiler in front of the compilers, "
            "or give --compile-commands compile_commands.json"
        )
    found = [unit for unit in units.values() if unit.rust or not unit.output.endswith(c_command.COMPILED_HEADERS)]
    for unit in found:
        unit.among_compiled_headers = len(found) < len(units)
    return found
