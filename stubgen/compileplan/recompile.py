"""Compiles what changed again, as the build did, into objects that a patch can be made of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stubgen.capture.links import Capture, newest_capture
from stubgen.capture.outputs import host_identity_of_file
from stubgen.common.arguments import StrPath, path, path_list
from stubgen.common.files import Outputs, cannot_be_written, read_input
from stubgen.common.phases import phase
from stubgen.common.scratch import scratch_folder
from stubgen.compileplan import c_command, rust_command
from stubgen.compileplan.host_link import host_link
from stubgen.compileplan.members import EarlierPatches
from stubgen.compileplan.selection import Selection
from stubgen.compileplan.units import Unit, read_units
from stubgen.errors import CompilerFailed
from stubgen.host import Host, open_host

INCREMENTAL = "incremental"
"""Beside the records: what rustc keeps from one patch to the next. The build's own folder stays as it is."""


class RecompiledUnit(NamedTuple):
    """One file or crate that was compiled again."""

    name: str
    """The source as the build's command has it, or the crate."""
    rust: bool
    """Whether it is a crate."""
    command: tuple[str, ...]
    """What was run, in *directory*."""
    directory: str
    """Where that was run."""
    objects: tuple[str, ...]
    """What it made."""
    messages: str
    """What the compiler printed: warnings."""
    as_built: tuple[tuple[str, str], ...] = ()
    """One of *objects*, and what the host's own options make of its source: what changed is told by that."""


class Recompiled(NamedTuple):
    """What was compiled again."""

    units: tuple[RecompiledUnit, ...]
    """Each file or crate, in order."""
    notes: tuple[str, ...] = ()
    """What of the choice is to be known: objects of the host of which it is not known what they read."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(object, source) of what reads what changed, and of which the host has nothing."""

    @property
    def objects(self) -> list[str]:
        """All objects, for ``link``."""
        return [each for unit in self.units for each in unit.objects]

    @property
    def as_built(self) -> list[tuple[str, str]]:
        """What the host's own options make of the same sources: :attr:`TableOptions.as_built`."""
        return [each for unit in self.units for each in unit.as_built]

    @property
    def messages(self) -> str:
        """What the compilers printed."""
        return "".join(unit.messages for unit in self.units)

    @property
    def _names(self) -> list[tuple[str, str]]:
        """Path of an object, and what people know it as; behind those, the folders."""
        names = Counter(map(os.path.basename, self.objects))
        sources = [
            (each, unit.name) for unit in self.units for each in unit.objects if names[os.path.basename(each)] > 1
        ]
        named = [(each, f"{os.path.basename(each)} of {source}") for each, source in sources]
        return [*named, *((f"{os.path.dirname(each)}{os.sep}", "") for each in self.objects)]

    def told(self, value: Any) -> Any:
        """*value*, a text or texts in lists and dictionaries, without the folders of objects, which will be gone.

        Of several objects of one name each has its source with it: ``util.o of net/util.c``.
        """
        if isinstance(value, str):
            for object_, name in self._names:
                value = value.replace(object_, name)
            return value
        if isinstance(value, list):
            return [self.told(item) for item in value]
        return {key: self.told(item) for key, item in value.items()} if isinstance(value, dict) else value


def recompile(
    captured: StrPath,
    output: StrPath,
    changed: Sequence[StrPath] = (),
    *,
    crates: Sequence[str] = (),
    output_name: StrPath | None = None,
    compile_commands: Sequence[StrPath] = (),
    keep_state: bool = False,
) -> Recompiled:
    """Compile again whatever of a build reads the files *changed*, into objects in the folder *output*.

    A library crate's users among the recorded crates are compiled again with it. Either all objects appear, or none.

    Args:
        captured: the folder of the records of the build's links and compiles.
        output: a folder for the objects; made if need be.
        changed: source files, headers too; neither these nor crates: whatever of the host is older than its sources.
        crates: crates by name, instead or besides.
        output_name: what the host's link wrote; of several compiles of a file the host's are taken then.
        compile_commands: compilation databases, for C and C++ files that have no record.
        keep_state: add the options that ``keep_state`` tells variables by.

    Raises:
        CompilerFailed: a compiler could not be run or ended with an error; ``output`` has what it printed.
        UsageError: nothing that was compiled reads a file, or nothing of the host.
        UnreadableInput: nothing is recorded.
        StubgenError: the host's link cannot be read.
    """
    folder = path("captured", captured)
    link = None if output_name is None else newest_capture(folder, path("output_name", output_name))
    with Outputs() as outputs:
        with recompiled(
            folder,
            changed,
            link=link,
            crates=crates,
            compile_commands=compile_commands,
            keep_state=keep_state,
            host=None if link is None else written_host(link),
        ) as made:
            kept = stage_objects(made, output, outputs)
        outputs.commit()
    return kept


def written_host(link: Capture) -> Callable[[], Host] | None:
    """Opens what *link* wrote; None where that is gone, or another build's."""
    path = os.path.join(link.directory, link.output)
    identity = host_identity_of_file(path)
    return None if identity is None or identity != link.identity else partial(open_host, path)


@contextmanager
def recompiled(
    captured: StrPath,
    changed: Sequence[StrPath],
    *,
    link: Capture | None,
    crates: Sequence[str] = (),
    compile_commands: Sequence[StrPath] = (),
    keep_state: bool = False,
    host: Callable[[], Host] | None = None,
    earlier: Callable[[], EarlierPatches] = EarlierPatches,
    as_built: bool = False,
    also: Collection[str] = (),
) -> Iterator[Recompiled]:
    """As :func:`recompile`, into a folder that is there as long as this is entered.

    *host* opens the host, *earlier* tells the patches that the process has. *as_built*: let the host's own
    options make objects of C and C++ files as well. *also*: members of archives to compile although the process has
    nothing of them, where they read what changed (:func:`old_members`).
    """
    names, databases = path_list("changed", changed), path_list("compile_commands", compile_commands)
    phase("looks up how the host was compiled")
    captured_link = None if link is None else host_link(link)
    selection = Selection(read_units(captured, databases), captured_link, host, earlier, also)
    chosen = selection.changed(names, crates) if names or crates else selection.edited()
    with scratch_folder("stubgen-objects.") as folder:
        run = _Run(os.path.realpath(folder), _incremental(captured), keep_state=keep_state, as_built=as_built)
        left_out = tuple((os.path.basename(unit.output), unit.name) for unit in selection.left_out)
        yield Recompiled(tuple([run.compile(unit, chosen) for unit in chosen]), tuple(selection.notes), left_out)


def old_members(made: Recompiled, borrowed: Iterable[str]) -> frozenset[str]:
    """Those of *borrowed*, members of archives, that are as they were before the edits that *made* has.

    The patch has to be made again with them (``also`` of :func:`recompiled`).

    Args:
        made: what was compiled.
        borrowed: what the link took: ``libfoo.a(foo.o)``.
    """
    members = {member.rpartition("(")[2].removesuffix(")") for member in borrowed}
    return frozenset(members & {output for output, _ in made.left_out})


def stage_objects(made: Recompiled, output: StrPath, outputs: Outputs) -> Recompiled:
    """Let the objects *made* be among the *outputs*, in the folder *output*; what is there then."""
    kept = kept_objects(made, output)
    outputs.add_folder(output)
    for unit, after in zip(made.units, kept.units, strict=True):
        for each, place in zip(unit.objects, after.objects, strict=True):
            outputs.add(place, bytes(read_input(each)))
    return kept


def kept_objects(made: Recompiled, output: StrPath) -> Recompiled:
    """What *made* is once its objects are in the folder *output*."""
    folder = path("output", output)
    taken: set[str] = set()
    return made._replace(
        units=tuple(
            unit._replace(
                objects=tuple(os.path.join(folder, _free_name(os.path.basename(each), taken)) for each in unit.objects)
            )
            for unit in made.units
        )
    )


def _free_name(name: str, taken: set[str]) -> str:
    stem, dot, ending = name.rpartition(".")
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{stem}.{number}{dot}{ending}"
    taken.add(free)
    return free


def _incremental(captured: StrPath) -> str:
    folder = os.fspath(captured)
    folder = folder if os.path.isdir(folder) else os.path.dirname(folder)
    return os.path.join(os.path.abspath(folder), INCREMENTAL)


class _Run:
    """One run over the chosen units."""

    def __init__(self, folder: str, incremental: str, *, keep_state: bool, as_built: bool) -> None:
        self._folder = folder
        self._incremental = incremental
        self._keep_state = keep_state
        self._as_built = as_built
        self._made = 0
        self._metadata: dict[str, str] = {}  # the file that crates are given -> the one made now

    def compile(self, unit: Unit, chosen: Sequence[Unit]) -> RecompiledUnit:
        """Compile *unit*, before those of *chosen* that use it."""
        phase(f"compiles {unit.name}")
        self._made += 1
        folder = os.path.join(self._folder, str(self._made))
        try:
            os.mkdir(folder)
        except OSError as error:
            raise cannot_be_written(folder, error) from error
        made = self._crate(unit, folder, chosen) if unit.rust else self._file(unit, folder)
        if not made.objects:
            raise CompilerFailed(
                f"{made.command[0]}: said nothing was wrong, but wrote no object of {made.name}", command=made.command
            )
        return made

    def _file(self, unit: Unit, folder: str) -> RecompiledUnit:
        objects: list[str] = []
        printed: list[str] = []
        command: list[str] = []
        twins: list[tuple[str, str]] = []
        named = c_command.inputs_of(unit.argv)
        for source in named:
            name = os.path.basename(unit.output if len(named) == 1 else source)
            name = name if name.endswith(".o") else f"{os.path.splitext(name)[0]}.o"
            objects.append(os.path.join(folder, name))
            twin = os.path.join(folder, "as-built", name)
            how = (unit.directory, unit.first_header(folder))
            command = c_command.patch_command(unit.argv, source, objects[-1], *how, keep_state=self._keep_state)
            other = c_command.as_built_command(unit.argv, source, twin, *how, keep_state=self._keep_state)
            other = other if self._as_built else None
            os.makedirs(os.path.dirname(twin), exist_ok=True)
            with unit.beside(other):
                printed.append(unit.run(command))
            twins += [(objects[-1], twin)] if other else []
        there = tuple(each for each in objects if os.path.isfile(each))
        twins = [each for each in twins if all(map(os.path.isfile, each))]
        return RecompiledUnit(unit.name, False, tuple(command), unit.directory, there, "".join(printed), tuple(twins))

    def _crate(self, unit: Unit, folder: str, chosen: Sequence[Unit]) -> RecompiledUnit:
        crate = unit.crate
        used = {name for other in chosen if other.rust and other is not unit for _, name in other.crate.externs}
        needed = not {os.path.basename(name) for name in used}.isdisjoint(crate.files())
        command = rust_command.patch_command(
            unit.argv,
            folder,
            os.path.join(self._incremental, crate.stem),
            self._metadata,
            metadata=needed,
            keep_state=self._keep_state,
        )
        printed = unit.run(command)
        if needed:
            new = os.path.join(folder, f"lib{crate.stem}.rmeta")
            self._metadata |= {name: new for name in crate.files() if not name.endswith((".so", ".dylib"))}
        return RecompiledUnit(unit.name, True, tuple(command), unit.directory, _crate_objects(folder), printed)


def _crate_objects(folder: str) -> tuple[str, ...]:
    """The objects that rustc made in *folder*: one for each codegen unit; where there is one, a copy lies beside it."""
    made = sorted(str(each) for each in Path(folder).glob("*.o"))
    return tuple([each for each in made if each.endswith(".rcgu.o")] or made)
