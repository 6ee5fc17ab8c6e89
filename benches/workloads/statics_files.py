"""What an object of 20,000 statics needs, and the check of a patch for a large library; beside ``llvm-nm``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benches.harness import OURS, Bench, Case, Command, Contender, Sample, Step, shown, whole_process
from benches.hosts import SLIDE
from benches.peers import LLVM_NM
from benches.workloads import large_files, statics, wheels, whole_path
from benches.workloads.emission import WHOLE, phases

INSPECT, CHECK, NEEDED = "inspect", "check of a patch for it", "what it needs"
CHECKED = wheels.WHEELS[-1]
STATICS = 20_000
UNIT = Step(LLVM_NM.name, WHOLE)


def cases(bench: Bench) -> Iterator[Case]:
    """The object, then the library."""
    if not LLVM_NM.found():
        return
    count = 500 if bench.quick else STATICS
    path = statics.object_file(bench, "elf", count)
    if path is not None:
        title = f"an object of {count:,} functions with a static each"
        needed: Command = [bench.python, "-m", "benches.ours", "needed", path]
        contenders = [_whole(bench, LLVM_NM.name, WHOLE, [LLVM_NM.program, path]), _needed(bench, needed)]
        contenders.append(_whole(bench, OURS, INSPECT, [bench.python, "-m", "stubgen", "inspect", path]))
        yield Case("files", title, "elf", count, UNIT, contenders)
    if not bench.quick and shutil.which("ld.lld-19"):
        yield from _checked(bench)


def _checked(bench: Bench) -> Iterator[Case]:
    library = wheels.fetch(bench, CHECKED)
    if library is None:  # the real hosts have said so
        return
    given = wheels.host_of(bench, library)
    stub, patch = library.with_name("stub.o"), library.with_name("patch.so")
    bench.children.run(whole_path.build_command(bench, given, stub))
    bench.children.run(["ld.lld-19", "-shared", "-o", patch, given.patch, stub])
    check: Command = ["check", patch, "--host", library, "--slide", hex(SLIDE)]
    contenders = [
        _whole(bench, LLVM_NM.name, WHOLE, [LLVM_NM.program, *large_files.table_options(library), library]),
        _whole(bench, OURS, CHECK, [bench.python, "-m", "stubgen", *check]),
    ]
    yield Case("files", str(CHECKED), given.format, given.symbols, UNIT, contenders)


def _whole(bench: Bench, tool: str, step: str, command: Command) -> Contender:
    return Contender(tool, whole_process(bench, step, command), command=shown(bench, command))


def _needed(bench: Bench, command: Command) -> Contender:
    def run() -> dict[str, Sample]:
        child = bench.children.run(command)
        return {NEEDED: Sample(phases(child.stdout)["needed"][0], child.peak)}

    return Contender(OURS, run, command=shown(bench, command))
