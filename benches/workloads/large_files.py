"""Commands on large real files: libraries that people install, and an object of 20,000 statics; beside ``llvm-nm``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benches.harness import OURS, Bench, Case, Command, Contender, Sample, Step, shown, whole_process
from benches.hosts import SLIDE, Host
from benches.peers import LLVM_NM
from benches.workloads import statics, wheels, whole_path
from benches.workloads.emission import WHOLE, phases

INSPECT, CHECK, NEEDED = "inspect", "check of a patch for it", "what it needs"
STATICS = 20_000
UNIT = Step(LLVM_NM.name, WHOLE)


def cases(bench: Bench) -> Iterator[Case]:
    """A case a file."""
    if not LLVM_NM.found():
        return
    count = 500 if bench.quick else STATICS
    path = statics.object_file(bench, "elf", count)
    if path is not None:
        title = f"an object of {count:,} functions with a static each"
        contenders = [_nm(bench, path), _command(bench, INSPECT, [INSPECT, path]), _needed(bench, path)]
        yield Case("large files", title, "elf", count, UNIT, contenders)
    if bench.quick:
        return
    for wheel in wheels.WHEELS:
        library = wheels.fetch(bench, wheel)
        if library is not None:  # else the real hosts have said so
            yield _library(bench, wheels.host_of(bench, library), str(wheel))


def _library(bench: Bench, given: Host, title: str) -> Case:
    contenders = [_nm(bench, given.path), _command(bench, INSPECT, [INSPECT, given.path])]
    if given.format == "elf" and shutil.which("ld.lld-19"):
        stub, patch = given.path.with_name("stub.o"), given.path.with_name("patch.so")
        bench.children.run(whole_path.build_command(bench, given, stub))
        bench.children.run(["ld.lld-19", "-shared", "-o", patch, given.patch, stub])
        contenders.append(_command(bench, CHECK, ["check", patch, "--host", given.path, "--slide", hex(SLIDE)]))
    return Case("large files", title, given.format, given.symbols, UNIT, contenders, rounds=3)


def _nm(bench: Bench, path: Path) -> Contender:
    command: Command = [LLVM_NM.program, path]
    return Contender(LLVM_NM.name, whole_process(bench, WHOLE, command), command=shown(bench, command))


def _command(bench: Bench, step: str, words: Command) -> Contender:
    command: Command = [bench.python, "-m", "stubgen", *words]
    return Contender(OURS, whole_process(bench, step, command), command=shown(bench, command))


def _needed(bench: Bench, path: Path) -> Contender:
    command: Command = [bench.python, "-m", "benches.ours", "needed", path]

    def run() -> dict[str, Sample]:
        child = bench.children.run(command)
        return {NEEDED: Sample(phases(child.stdout)["needed"][0], child.peak)}

    return Contender(OURS, run, command=shown(bench, command))
