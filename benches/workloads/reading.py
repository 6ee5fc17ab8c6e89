"""Reading a host: other readers list all its symbols; ours finds the thousand that a patch needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from benches.harness import OURS, PYTHON, Bench, Case, Command, Contender, Sample, Step, shown, whole_process
from benches.hosts import Host, host, needed_names
from benches.peers import LIEF, LLVM_NM, MACHOLIB, PYELFTOOLS, Module, rust
from benches.workloads import whole_path
from benches.workloads.emission import FORMATS, WHOLE, phases

LIST = "list all symbols"


def cases(bench: Bench) -> Iterator[Case]:
    """A case a format."""
    functions, needed = (2_000, 50) if bench.quick else (200_000, 1_000)
    for format_name in FORMATS:
        given = host(bench.scratch, format_name, functions, needed)
        names = bench.scratch / "hosts" / f"{given.patch.stem}.names"
        names.write_bytes(b"\n".join(needed_names(format_name, functions, needed)))
        yield _case(bench, given, names)


def _case(bench: Bench, given: Host, names: Path) -> Case:
    find = f"find {given.needed:,} names"
    command: Command = [bench.python, "-m", "benches.ours", "find", given.path, names]
    contenders = [_timed(bench, OURS, command, "find", find, environment=whole_path.NO_INDEX)]
    environment = {"STUBGEN_CACHE_DIR": str(whole_path.index_folder(bench, whole_path.PRESENT))}
    indexed = _timed(bench, OURS, command, "find", f"{find}, {whole_path.PRESENT}", environment=environment)
    indexed.prepare = partial(whole_path.warm_index, bench, given)
    contenders.append(indexed)
    if rust.found():
        contenders.append(_timed(bench, rust.NAME, [rust.build(), "list", given.path], "list", LIST, other="read"))
    if LLVM_NM.found():
        command = [LLVM_NM.program, given.path]
        contenders.append(Contender(LLVM_NM.name, whole_process(bench, WHOLE, command), command=shown(bench, command)))
    modules = (PYELFTOOLS if given.format == "elf" else MACHOLIB, LIEF)
    contenders += [_reader(bench, module, given.path) for module in modules if module.found()]
    return Case(
        workload="reading",
        title=f"{FORMATS[given.format]} host of {given.symbols:,} symbols",
        format=given.format,
        symbols=given.symbols,
        unit=Step(OURS, find),
        contenders=contenders,
    )


def _reader(bench: Bench, module: Module, path: Path) -> Contender:
    command: Command = [PYTHON, "-m", "benches.peers.readers", module.name, path]
    contender = _timed(bench, module.name, command, "list", LIST)
    contender.slow = not bench.quick
    return contender


def _timed(
    bench: Bench,
    tool: str,
    command: Command,
    phase: str,
    step: str,
    *,
    other: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Contender:
    """*command* prints how long *phase*, and *other* before it, took without its start."""

    def run() -> dict[str, Sample]:
        child = bench.children.run(command, environment)
        found = phases(child.stdout)
        return {step: Sample(sum(found[phase]) + sum(found[other] if other else []), child.peak)}

    return Contender(tool, run, command=shown(bench, command, environment))
