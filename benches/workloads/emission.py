"""Emission alone: from names and addresses to an object, held against the object crate and two assemblers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benches.equal_work import Work, digest, work_in
from benches.harness import BASELINE, OURS, Bench, Case, Command, Contender, Sample, Step, shown, whole_process
from benches.names import mangled, places
from benches.peers import CLANG, GNU_AS, assemblers, rust

FORMATS = {"elf": "ELF", "macho": "Mach-O"}
EMIT, WRITE, VERIFY = "emit", "write", "verify"
ALL = "emit + write + verify"
FIRST, KNOWN = f"{ALL}, the first time", f"{ALL}, words known"
INPUT, PEAK_EMIT, PEAK = "with names", "with the object", "and verified"
WHOLE = "whole process"


def cases(bench: Bench) -> Iterator[Case]:
    """A case for each number of stubs and format, and one that holds 4M against 1M."""
    counts = [100, 500] if bench.quick else [1_000, 10_000, 100_000, 1_000_000]
    for format_name in FORMATS:
        for count in counts:
            yield _case(bench, format_name, count)
        if bench.large or bench.quick:
            small = 1_000_000 if bench.large else 200
            yield _growth(bench, format_name, small, 4 * small)


def _repeats(count: int) -> int:
    """How often a process emits: the first time is not counted, the median of the others is."""
    return 2 if count >= 1_000_000 else 4 if count >= 100_000 else 8


def phases(text: str) -> dict[str, list[float]]:
    """``name value`` lines as lists."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in text.splitlines():
        name, value = line.split()
        found[name].append(float(value))
    return found


def _warm(values: list[float]) -> float:
    return statistics.median(values[1:] or values)


def _ours(bench: Bench, format_name: str, count: int, out: Path, label: str = "") -> Contender:
    command: Command = [bench.python, "-m", "benches.ours", "emit", format_name, str(count), str(_repeats(count)), out]

    def run() -> dict[str, Sample]:
        found = phases(bench.children.run(command).stdout)
        took = {step: _warm(found[step]) for step in (EMIT, WRITE, VERIFY)}
        took[ALL] = sum(took.values())
        took[FIRST] = sum(found[step][0] for step in (EMIT, WRITE, VERIFY))
        return {step + label: Sample(seconds) for step, seconds in took.items()}

    return Contender(OURS, run, work=partial(_read, out), size=partial(_size, out), command=shown(bench, command))


def _known(bench: Bench, format_name: str, count: int, out: Path) -> Contender:
    """What one more patch takes in a process that runs: Capstone has read its words for an earlier one."""
    command: Command = [bench.python, "-m", "benches.ours", "known", format_name, str(count), str(_repeats(count)), out]

    def run() -> dict[str, Sample]:
        return {KNOWN: Sample(_warm(phases(bench.children.run(command).stdout)["all"]))}

    return Contender(OURS, run, work=partial(_read, out), size=partial(_size, out), command=shown(bench, command))


def _memory(bench: Bench, format_name: str, count: int, out: Path) -> Contender:
    """Peaks of a child that emits and verifies once; every figure includes the ones before it."""
    command: Command = [bench.python, "-m", "benches.ours", "emit", format_name, str(count), "1", out]

    def run() -> dict[str, Sample]:
        idle = bench.children.run([bench.python, "-m", "benches.ours", "import"])
        child = bench.children.run(command)
        found = phases(child.stdout)
        return {
            BASELINE: Sample(None, idle.peak),
            INPUT: Sample(None, int(found["peak_input"][0])),
            PEAK_EMIT: Sample(None, int(found["peak_emit"][0])),
            PEAK: Sample(None, child.peak),
        }

    return Contender(f"{OURS}, memory", run, size=partial(_size, out), command=shown(bench, command), slow=True)


def _read(path: Path) -> Work:
    return work_in(path.read_bytes())


def _case(bench: Bench, format_name: str, count: int) -> Case:
    bench.progress.say(f"emission, {FORMATS[format_name]}, {count:,} stubs: writing the peers' input")
    folder = bench.scratch / "emission"
    folder.mkdir(parents=True, exist_ok=True)
    names = mangled(count, underscore=format_name == "macho")
    addresses, _ = places(count)
    slow = count >= 1_000_000
    contenders = [_ours(bench, format_name, count, folder / "ours.o")]
    contenders.append(_known(bench, format_name, count, folder / "known.o"))
    if rust.found():
        listed = folder / f"{format_name}-{count}.names"
        lines = [f"{name.decode()} {address:x}\n" for name, address in zip(names, addresses, strict=True)]
        listed.write_text("".join(lines))
        contenders += _rust(bench, format_name, count, listed, folder / "rust.o")
    source = folder / f"{format_name}-{count}.s"
    usable = [tool for tool in (CLANG, GNU_AS) if tool.found() and format_name in assemblers.ARGUMENTS[tool.name]]
    if usable:
        source.write_text(assemblers.assembly(format_name, names, addresses))
    for tool in usable:
        out = folder / f"{tool.program}.o"
        command: Command = [*assemblers.ARGUMENTS[tool.name][format_name], source, "-o", out]
        contenders.append(
            Contender(
                tool.name,
                whole_process(bench, WHOLE, command),
                work=partial(_read, out),
                size=partial(_size, out),
                command=shown(bench, command),
                slow=slow,
                units={WHOLE: Step(OURS, ALL)},
            )
        )
    contenders.append(_memory(bench, format_name, count, folder / "memory.o"))
    return Case(
        workload="emission",
        title=f"{FORMATS[format_name]}, {count:,} stubs",
        format=format_name,
        symbols=count,
        unit=Step(OURS, EMIT),
        contenders=contenders,
        stubs=count,
        expected=digest(zip(names, addresses, strict=True)),
        rounds=3 if slow else None,
    )


def _size(path: Path) -> int:
    return path.stat().st_size


def _rust(bench: Bench, format_name: str, count: int, listed: Path, out: Path) -> list[Contender]:
    program = rust.build()
    warm: Command = [program, "emit", "--format", format_name, "--repeat", str(_repeats(count)), listed, out]
    once: Command = [program, "emit", "--format", format_name, listed, out]

    def run() -> dict[str, Sample]:
        found = phases(bench.children.run(warm).stdout)
        return {EMIT: Sample(_warm(found[EMIT])), WRITE: Sample(found[WRITE][0])}

    return [
        Contender(
            rust.NAME,
            run,
            work=partial(_read, out),
            size=partial(_size, out),
            command=shown(bench, warm),
            units={WRITE: Step(OURS, WRITE)},
        ),
        Contender(
            rust.NAME,
            whole_process(bench, WHOLE, once),
            command=shown(bench, once),
            units={WHOLE: Step(OURS, ALL)},
            size=partial(_size, out),
        ),
    ]


def _growth(bench: Bench, format_name: str, small: int, large: int) -> Case:
    """Time and memory of *large* in units of *small*, in the same rounds."""
    folder = bench.scratch / "emission"
    folder.mkdir(parents=True, exist_ok=True)
    contenders = []
    for count in (small, large):
        contender = _ours(bench, format_name, count, folder / f"growth-{count}.o", f", {count:,}")
        contender.work = None
        contender.units = {
            f"{step}, {large:,}": Step(OURS, f"{step}, {small:,}") for step in (WRITE, VERIFY, ALL, FIRST)
        }
        contenders.append(contender)
    memory = _memory(bench, format_name, large, folder / f"growth-{large}.o")
    return Case(
        workload="emission",
        title=f"{FORMATS[format_name]}, {large:,} stubs beside {small:,}",
        format=format_name,
        symbols=large,
        unit=Step(OURS, f"{EMIT}, {small:,}"),
        contenders=[*contenders, memory],
        rounds=3,
    )
