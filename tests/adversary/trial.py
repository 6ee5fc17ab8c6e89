"""One program, its edits, and the process that gets them as patches: whether it says what it must."""

from __future__ import annotations

import copy
import itertools
import shutil
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from adversary.archives import archived
from adversary.c_source import PRINTERS
from adversary.claims import Claims, Split, Untold
from adversary.emulated import EmulatedHost
from adversary.interpret import HEADER, Generation, Machine, WrongCallError
from adversary.model import Program
from adversary.names import defined_by_linker, mangled
from adversary.objects import WrongObjectError
from adversary.plans import ARGUMENTS, Plan, changed_files, entries, text_of
from adversary.rust_build import RECORDED_GUARD, build_recorded, compile_crates, libraries, write_crates
from adversary.rust_claims import RustClaims
from adversary.rust_crates import CRATE
from adversary.toolchains import anchor_object, entries_object, library_command, runtime_objects
from adversary.ways import WAYS, Commands, Failed, Library, Refused, Said, Wanted, compile_host, link_host
from live.live import LiveHost
from tools import need, run


class Outcome(NamedTuple):
    """What came of it."""

    kind: str
    """"same", "refused" (exit status 1), "excused" (nobody can say what is right), "unusable" (the program itself
    cannot be built or run), or a finding: "differs", "died", "internal", "failed" (other exit statuses), "untold"."""
    detail: str = ""
    patches: int = 0
    """Patches that were loaded and compared."""
    excuses: tuple[str, ...] = ()
    """What stubgen said of differences that it cannot avoid: a reason, once for each variable or function."""

    @property
    def is_finding(self) -> bool:
        """Whether stubgen did something wrong."""
        return self.kind in FINDINGS


INCLUDED = ("b", "c")
"""The files that only include their text, where patches are made by commands: what is edited is a header then."""

FINDINGS = ("differs", "died", "internal", "failed", "untold")


def attempt(plan: Plan, folder: Path | None = None, *, whole: bool = True) -> Outcome:
    """Build, run, patch and compare; everything is in *folder*, or gone afterwards.

    *whole*: and see that the edited program, built as a whole and started anew, says what the oracle says of it.
    """
    return attempt_each([plan], folder, whole=whole)[0]


def attempt_each(plans: Sequence[Plan], folder: Path | None = None, *, whole: bool = True) -> list[Outcome]:
    """Likewise several plans that begin with the same program, which is built once and started for each.

    *whole* holds for the first of them.
    """
    made = Path(tempfile.mkdtemp(prefix="adversary-")) if folder is None else folder
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    host = BuiltHost(made)
    try:
        return [Trial(plan, host).run(whole=whole and not number) for number, plan in enumerate(plans)]
    finally:
        if folder is None:
            shutil.rmtree(made, ignore_errors=True)


class _Stop(Exception):
    """The trial has its outcome."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class BuiltHost:
    """A folder with a program that was built once, for the plans that begin with it.

    Args:
        folder: where it is built, empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.captured: list[str] | None = None
        self._as_built = folder / "as-built"

    def keep(self, captured: list[str]) -> None:
        """It is built, by the link *captured*: remember the folder's files."""
        self.captured = captured
        shutil.copytree(self.folder, self._as_built)

    def restore(self) -> None:
        """Make the folder what it was when the program had been built: a patch's objects replace the host's."""
        for path in self.folder.iterdir():
            if path.is_dir() and path != self._as_built:
                shutil.rmtree(path)
            elif not path.is_dir():
                path.unlink()
        shutil.copytree(self._as_built, self.folder, dirs_exist_ok=True)


class Trial:
    """One plan on its way.

    Args:
        plan: what is tried.
        host: where, and the program as far as it was built.
    """

    def __init__(self, plan: Plan, host: BuiltHost) -> None:
        self.plan = plan
        self.host = host
        self.folder = host.folder
        self.build = plan.build
        self.excuses: list[str] = []
        self.machines = [
            Machine(
                plan.versions[0],
                complete_tables=plan.build.session == "loaded",
                mangled=plan.build.mangles_parameters,
                paths=self._is_crate,
            )
        ]
        self.entries = entries(plan.versions[0])
        self.loaded: int | None = None
        self.patches = 0

    def run(self, *, whole: bool) -> Outcome:
        """All of it."""
        try:
            if whole:
                self._whole_programs()
            captured = self._host()
            with self._started("host", self.plan.versions[0]) as live:
                self._compare(live, "before any patch", "unusable")
                way = WAYS[self.build.way](self.build, self.folder, self._symbols)
                for number in range(1, len(self.plan.versions)):
                    self._patch(live, way, captured, number)
                    self._compare(live, f"after patch {number}", "differs")
                    self.patches += 1
                self._end(live)
        except _Stop as stop:
            return Outcome(stop.kind, str(stop), self.patches, tuple(self.excuses))
        return Outcome("same", "", self.patches, tuple(self.excuses))

    def _started(self, name: str, program: Program) -> LiveHost | EmulatedHost:
        """A process of a linked program."""
        if not self.build.is_macho:
            libraries = [self.folder] if program.shared or self.build.library else ()
            return LiveHost(self.folder / (f"{name}-program" if self.build.library else name), libraries=libraries)
        return EmulatedHost(self.folder / name, [mangled(each, self.build.language) for each in entries(program)])

    @property
    def _symbols(self) -> Path | None:
        """The dSYM of a Mach-O host with debug information."""
        return self.folder / "host.dSYM" if self.build.is_macho and self.build.debug else None

    def _write(self, program: Program, file: str) -> str:
        """Write a file of a version; what people edit of it."""
        source = self._source(file)
        edited = source
        (self.folder / source).parent.mkdir(exist_ok=True)
        if self.build.way != "library" and file in INCLUDED:
            edited = self.build.path(file, ".inc")
            if not (self.folder / edited).exists():
                (self.folder / source).write_text(f'#include "{Path(edited).name}"\n')
        (self.folder / edited).write_text(text_of(program, file, self.build.language))
        return edited

    def _source(self, file: str) -> str:
        return self.build.path(file, PRINTERS[self.build.language][0])

    def _compiled(self, program: Program) -> list[str]:
        """Write and compile all files of a version as the host's; their objects."""
        if self._is_crate:
            return [str(path.relative_to(self.folder)) for path in self._crates(program)]
        files = [file.name for file in program.files if file.name != HEADER]
        for file in files:
            self._write(program, file)
            try:
                output = self.build.path(file, ".o")
                compile_host(self.build, self.folder, self._source(file), output, shared=file in program.shared)
            except AssertionError as error:
                raise _Stop("unusable", f"does not compile: {error}") from error
        return [self.build.path(file, ".o") for file in files]

    @property
    def _is_crate(self) -> bool:
        return self.build.language == "rust"

    def _crates(self, program: Program) -> list[Path]:
        """Write and compile a version's crates; their objects."""
        try:
            return compile_crates(self.build, self.folder, program)
        except AssertionError as error:
            raise _Stop("unusable", f"does not compile: {error}") from error

    def _recompiled(self, files: list[str]) -> None:
        """Compile files for a patch, as whoever uses the library does for himself."""
        for file in files:
            words = self.build.compile_command(self._source(file), self.build.path(file, ".o"), patch=True)
            try:
                run(words, cwd=self.folder)
            except AssertionError as error:
                raise _Stop("unusable", f"does not compile: {error}") from error

    def _link(self, program: Program, output: str, objects: list[str]) -> list[str]:
        symbols = tuple(mangled(function, self.build.language) for function in entries(program))
        table = entries_object(symbols, macho=self.build.is_macho)
        build = self.build
        runtime = [str(path) for path in runtime_objects(build.language, build.anchor, macho=build.is_macho)]
        shared = [build.path(file, ".o") for file in program.shared]
        apart = (*(build.path(file, ".o") for file in program.archived), *shared)
        direct = [path for path in objects if path not in apart]
        program_inputs = [*runtime, str(table)]
        inputs = [str(anchor_object()), *direct] if build.library else [*program_inputs, *direct]
        inputs += defined_by_linker(program, build.language)
        if program.archived:
            inputs += archived(build, self.folder, program.archived)
        if self._is_crate:
            inputs += libraries()
        try:
            if shared:
                link_host(build, self.folder, library_command(build, shared, "libshared.so"))
                inputs += ["-L.", "-lshared"]
            command = library_command(build, inputs, output) if build.library else build.link_command(inputs, output)
            link_host(build, self.folder, command)
            if build.library:
                program_inputs += ["-L.", f"-l:{output}"]
                link_host(build, self.folder, build.link_command(program_inputs, f"{output}-program"))
        except AssertionError as error:
            raise _Stop("unusable", f"does not link: {error}") from error
        return command

    def _whole_programs(self) -> None:
        """The last version, built as a whole and started anew: the program run as a value must say the same."""
        program = self.plan.versions[-1]
        objects = self._compiled(program)
        self._link(program, "whole", objects)
        machine = Machine(program, complete_tables=True)
        with self._started("whole", program) as live:
            for argument in ARGUMENTS:
                wanted = [f"{machine.call(entry.name, argument):x}" for entry in entries(program)]
                if live.tell(f"run {argument}").split() != wanted:
                    raise _Stop("unusable", "the edited program as a whole is not what the oracle says")
        for path in objects:
            (self.folder / path).unlink()

    def _host(self) -> list[str]:
        if self.host.captured is not None:
            self.host.restore()
            return self.host.captured
        program = self.plan.versions[0]
        captured: list[str] = []
        if self._is_crate and self.build.way != "library":
            symbols = tuple(each.name for each in entries(program))
            build_recorded(self.build, self.folder, program, entries_object(symbols, macho=False))
        else:
            captured = self._link(program, "host", self._compiled(program))
        if self._symbols:
            run([str(need("dsymutil-19")), "host"], cwd=self.folder)
        self.host.keep(captured)
        return captured

    def _compare(self, live: LiveHost | EmulatedHost, when: str, kind: str) -> None:
        for argument in ARGUMENTS:
            try:
                answer = live.tell(f"run {argument}").split()
            except AssertionError as error:
                raise _Stop("died" if kind == "differs" else kind, f"{when}: {error}") from error
            wanted = []
            for machine in list(self.machines):
                try:
                    said = [f"{machine.call(entry.name, argument):x}" for entry in self.entries]
                except (WrongCallError, WrongObjectError) as wrong:  # nobody can say what a process does that calls so
                    said = [f"undefined, by {wrong}"] * len(self.entries)
                wanted.append(said)
                if said != answer:
                    self.machines.remove(machine)
            if not self.machines:
                rows = [
                    f"{entry.name}: {got} instead of {' or '.join(sorted({each[at] for each in wanted}))}"
                    for at, (entry, got) in enumerate(itertools.zip_longest(self.entries, answer))
                    if all(each[at] != got for each in wanted)
                ]
                raise _Stop(kind, f"{when}, run {argument}: {'; '.join(rows) or 'no one possibility holds for all'}")

    def _patch(self, live: LiveHost | EmulatedHost, way: Library | Commands, captured: list[str], number: int) -> None:
        """Link the next patch, load it, and tell the oracle."""
        language, versions = self.build.language, self.plan.versions
        since = 0 if self.build.session == "none" else number - 1
        files = changed_files(versions[since], versions[number], language)
        fresh = changed_files(versions[number - 1], versions[number], language)
        if self._is_crate:
            objects, sources = self._crates_of_patch(versions[number], files, fresh)
        else:
            edited = {file: self._write(versions[number], file) for file in dict.fromkeys((*files, *fresh))}
            objects = [self.folder / self.build.path(file, ".o") for file in files]
            sources = [edited[file] for file in files]
            if self.build.way == "library":
                self._recompiled(fresh)
        said = self._said(way, Wanted(number, objects, sources, live.anchor, self.loaded), captured)
        lines = [f"{a:x} {b:x}" for a, b in (said.anchors, *said.entries)]
        (self.folder / f"table{number}").write_text("\n".join(lines))
        answer = self._told(live, f"apply {self.folder / f'table{number}'} {self.folder / f'patch{number}.so'}")
        if not answer.startswith("loaded "):
            raise _Stop("differs", f"patch {number} does not load: {answer}")
        self.loaded = int(answer.split()[1], 16)
        self._learn(said, number)

    def _crates_of_patch(
        self, program: Program, files: list[str], fresh: list[str]
    ) -> tuple[Sequence[Path], list[str]]:
        """The objects of crates with *files* in them, and of their users; what was edited, *fresh* of it now."""
        sources = [f"{file}.rs" for file in files]
        if self.build.way != "library":
            write_crates(self.folder, program, fresh, RECORDED_GUARD)
            return (), sources
        objects = self._crates(program)
        if not set(files) & set(program.library):
            objects = [path for path in objects if path.name.partition(".")[0] == CRATE]
        return objects, sources

    def _said(self, way: Library | Commands, wanted: Wanted, captured: list[str]) -> Said:
        try:
            return way.link(wanted, captured)
        except Refused as error:
            raise _Stop("refused", f"patch {wanted.number}: {error}") from error
        except Failed as error:
            raise _Stop("failed", f"patch {wanted.number}: {error}") from error
        except Exception as error:
            raise _Stop("internal", f"patch {wanted.number}: {traceback.format_exc()}") from error

    def _told(self, live: LiveHost | EmulatedHost, order: str) -> str:
        try:
            return live.tell(order)
        except AssertionError as error:
            raise _Stop("died", f"{order}: {error}") from error

    def _end(self, live: LiveHost | EmulatedHost) -> None:
        try:
            live.end()
        except AssertionError as error:
            raise _Stop("died", f"at its end: {error}") from error

    def _learn(self, said: Said, number: int) -> None:
        """Tell the oracle what stubgen said of this patch; where that has two meanings, there are two oracles."""
        try:
            claims = (RustClaims if self._is_crate else Claims)(self.plan, self.folder, said, number)
        except Split as error:
            raise _Stop("excused", f"patch {number}: {error} was split") from error
        except Untold as error:
            raise _Stop("untold", f"patch {number}: {error}") from error
        self.excuses += claims.excuses
        machines = []
        for machine, kept in itertools.product(self.machines, claims.kept):
            twin = machine if len(claims.kept) == 1 else copy.deepcopy(machine)
            twin.load(Generation(claims.program, claims.files, claims.inline, kept, claims.left_out))
            machines.append(twin)
        self.machines = machines
