"""What grows with what: hosts of up to 10M symbols, the many processes of one host, builders side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benches.equal_work import Work, hold_equal, work_in
from benches.harness import OURS, Bench, Case, Command, Contender, Sample, Step
from benches.hosts import SLIDE, Host
from benches.workloads import whole_path
from benches.workloads.serving import Client
from benches.workloads.whole_path import FRESH, PRESENT

BUILDERS = 8
PROCESSES = 100
_AT_ONCE = (
    'for n in {numbers}; do "$@" -o "{output}$n" & all="$all $!"; done; for one in $all; do wait $one || exit; done'
)
_IN_TURN = 'for n in {numbers}; do "$@" -o "{output}$n" || exit; done'


def cases(bench: Bench) -> Iterator[Case]:
    """Hosts of growing size (10M symbols with ``--large``), then one of them for many."""
    needed = 50 if bench.quick else 1_000
    sizes = [2_000, 20_000] if bench.quick else [100_000, 1_000_000]
    for functions in [*sizes, 10_000_000] if bench.large else sizes:
        yield _size(bench, whole_path.made(bench, "elf", functions, needed))
    given = whole_path.made(bench, "elf", sizes[-1], needed)
    yield _processes(bench, given)
    yield _builders(bench, given)


def _size(bench: Bench, given: Host) -> Case:
    out = bench.scratch / "scaled.o"
    command = whole_path.build_command(bench, given, out)
    contenders = [whole_path.with_index(bench, given, step, command) for step in (FRESH, PRESENT)]
    contenders[1].size = partial(_kept, bench)
    for contender in contenders:
        contender.work = partial(_work, out)
    return Case("scale", whole_path.title(given, f"{given.needed:,} needed"), "elf", given.symbols, Step(OURS, FRESH),
                contenders, stubs=given.needed, rounds=3)  # fmt: skip


def _kept(bench: Bench) -> int:
    """Bytes of what the cache has for the host."""
    files = whole_path.index_folder(bench, PRESENT).rglob("*")
    return sum(path.stat().st_size for path in files if path.suffix in (".index", ".host"))


def _processes(bench: Bench, given: Host) -> Case:
    """One server; a patch for each of many processes that run the same host, each at its own slide."""
    count = 10 if bench.quick else PROCESSES
    out = bench.scratch / "scaled.o"

    def run() -> dict[str, Sample]:
        whole_path.warm_index(bench, given)
        params: dict[str, object] = {"host": str(given.path), "objects": [str(given.patch)], "output": str(out)}
        with Client(bench) as client:
            first = client.ask("build", {**params, "slide": hex(SLIDE + (count << 16))})
            held = client.held()
            others = [
                client.ask("build", {**params, "slide": hex(SLIDE + (n << 16))}) for n in range(count - 1, -1, -1)
            ]
            return {
                "the first process": Sample(first, held),
                "each of the others": Sample(statistics.median(others), client.held()),
                "all": Sample(first + sum(others)),
            }

    ours = Contender(OURS, run, work=partial(_work, out), command="python -m stubgen serve")
    title = whole_path.title(given, f"{given.needed:,} needed, {count} processes of it")
    unit = Step(OURS, "the first process")
    return Case("scale", title, "elf", given.symbols, unit, [ours], rounds=3)


def _builders(bench: Bench, given: Host) -> Case:
    """Builds of the same patch, one after another and all at once, on one cache."""
    numbers = " ".join(map(str, range(BUILDERS)))
    folder = bench.scratch / "builders"
    folder.mkdir(parents=True, exist_ok=True)
    single = whole_path.build_command(bench, given, folder / "one.o")
    at = single.index("-o")
    words = single[:at] + single[at + 2 :]
    contenders = []
    for step in (FRESH, PRESENT):
        for name, script in (("in turn", _IN_TURN), ("at once", _AT_ONCE)):
            output = folder / f"{name.replace(' ', '-')}.o."
            command: Command = ["/bin/sh", "-c", script.format(numbers=numbers, output=output), "sh", *words]
            contender = whole_path.with_index(bench, given, step, command, f"{BUILDERS} builds {name}, ")
            contender.work = partial(_works, output)
            contenders.append(contender)
    title = whole_path.title(given, f"{given.needed:,} needed, {BUILDERS} builders on one cache")
    unit = Step(OURS, f"{BUILDERS} builds in turn, {FRESH}")
    return Case("scale", title, "elf", given.symbols, unit, contenders, rounds=3)


def _works(output: Path) -> Work:
    """What each of the builders made, which is the same, byte by byte.

    Raises:
        UnequalWorkError: it is not.
    """
    contents = [Path(f"{output}{number}").read_bytes() for number in range(BUILDERS)]
    done = [(f"builder {number}", work_in(content)) for number, content in enumerate(contents)]
    if len(set(contents)) > 1:
        done.append(("what is the same byte by byte", Work(0, "")))
    return hold_equal(done)


def _work(path: Path) -> Work:
    return work_in(path.read_bytes())
