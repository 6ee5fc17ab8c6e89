"""The whole path, file to file, as a person's build runs it: a host, a patch, one command, a stub object."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benches.equal_work import Work, work_in
from benches.harness import (
    OURS,
    Bench,
    Case,
    ChildFailedError,
    Command,
    Contender,
    Step,
    shown,
    whole_process,
)
from benches.hosts import SLIDE, Host, host
from benches.peers import rust

IMPORT = "import keystone, capstone"
UNIT = Step("python", IMPORT)
FRESH, PRESENT, OFF = "no index yet", "index present", "index off"
NO_INDEX = {"STUBGEN_CACHE_DIR": ""}
_INDEXED = 20_000  # symbols from which a host gets an index
STUB, LEAN = "the same steps", "the same, borrowing names"


def cases(bench: Bench) -> Iterator[Case]:
    """Hosts of growing size; one patch needs every function there is."""
    sizes = [(2_000, 50)] if bench.quick else [(200_000, 500), (1_000_000, 1_000)]
    for format_name in ("elf", "macho"):
        for functions, needed in sizes:
            yield case(bench, "whole path", made(bench, format_name, functions, needed), f"{needed:,} needed")
        if format_name == "elf" and not bench.quick:
            given = made(bench, format_name, 1_000_000, 1_000_000)
            yield case(bench, "whole path", given, f"{given.needed:,} needed", slow=True)


def made(bench: Bench, format_name: str, functions: int, needed: int) -> Host:
    """The synthetic host, from the scratch folder or made now."""
    bench.progress.say(f"whole path: making a host of {functions:,} functions, {format_name}")
    return host(bench.scratch, format_name, functions, needed)


def title(given: Host, what: str) -> str:
    """How a case on this host is called."""
    return f"{'ELF' if given.format == 'elf' else 'Mach-O'} host of {given.symbols:,} symbols, {what}"


def case(bench: Bench, workload: str, given: Host, what: str, *, slow: bool = False) -> Case:
    """One host: with and without its index, beside the imports alone and beside the object crate."""
    folder = bench.scratch / "whole path"
    folder.mkdir(parents=True, exist_ok=True)
    contenders = [imports(bench)]
    steps = (FRESH, PRESENT) if slow else (FRESH, PRESENT, OFF)
    contenders += [_ours(bench, given, folder, step, slow) for step in steps]
    if rust.found():
        for step, options in ((STUB, ()), (LEAN, ("--lean",))):
            out = folder / "rust.o"
            command = rust_command(given, out, *options)
            contenders.append(
                Contender(
                    rust.NAME,
                    whole_process(bench, step, command),
                    work=partial(_read, out),
                    size=partial(_size, out),
                    command=shown(bench, command),
                    slow=slow,
                )
            )
    return Case(
        workload=workload,
        title=title(given, what),
        format=given.format,
        symbols=given.symbols,
        unit=UNIT,
        contenders=contenders,
        stubs=given.needed,
    )


def imports(bench: Bench) -> Contender:
    """Python with the two libraries that any stub object needs."""
    return Contender(
        "python", whole_process(bench, IMPORT, [bench.python, "-c", IMPORT]), command=f'python -c "{IMPORT}"'
    )


def rust_command(given: Host, out: Path, *options: str) -> Command:
    """The Rust peer's command that does the same."""
    return [rust.build(), "stub", "--slide", hex(SLIDE), *options, given.path, given.patch, out]


def build_command(bench: Bench, given: Host, out: Path) -> Command:
    """The command that makes the stub object."""
    options: Command = ["--host", given.path, "--slide", hex(SLIDE), "-o", out]
    if given.format == "macho":  # whose static functions are LLVM's, and whose debug information is in no linked file
        options.append("--allow-static")
    return [bench.python, "-m", "stubgen", "build", *options, given.patch]


def _ours(bench: Bench, given: Host, folder: Path, step: str, slow: bool) -> Contender:
    out = folder / "ours.o"
    options: Command = ["--no-cache"] if step == OFF else []
    contender = with_index(bench, given, step, build_command(bench, given, out) + options)
    contender.work, contender.size, contender.slow = partial(_read, out), partial(_size, out), slow
    return contender


def with_index(bench: Bench, given: Host, step: str, command: Command, label: str = "") -> Contender:
    """*command* where the index of *given* is absent or present; at another step it looks where it always does."""
    environment = {"STUBGEN_CACHE_DIR": str(index_folder(bench, step))} if step in (FRESH, PRESENT) else {}
    contender = Contender(
        OURS, whole_process(bench, label + step, command, environment), command=shown(bench, command, environment)
    )
    if step == FRESH:
        contender.prepare = partial(_forget, bench, given)
        contender.settle = partial(_wait_for_index, given, index_folder(bench, FRESH))
    elif step == PRESENT:
        contender.prepare = partial(warm_index, bench, given)
    return contender


def index_folder(bench: Bench, step: str) -> Path:
    """Where the commands of such a step have their indexes."""
    return bench.scratch / ("cache-warm" if step == PRESENT else "cache-cold")


def warm_index(bench: Bench, given: Host) -> None:
    """Let the host's index be there, from a run that is not measured."""
    folder = index_folder(bench, PRESENT)
    if bench.indexed[-1:] != [given.path]:
        shutil.rmtree(folder, ignore_errors=True)
        _let_age(given.path)
        bench.children.run(build_command(bench, given, bench.scratch / "warm.o"), {"STUBGEN_CACHE_DIR": str(folder)})
        _wait_for_index(given, folder)
        bench.indexed.append(given.path)


def _forget(bench: Bench, given: Host) -> None:
    shutil.rmtree(index_folder(bench, FRESH), ignore_errors=True)
    _let_age(given.path)


def _let_age(path: Path) -> None:
    """Only a file whose last change is some seconds ago is told apart by its times."""
    time.sleep(max(0, 3 - (time.time() - path.stat().st_ctime)))


def _wait_for_index(given: Host, folder: Path) -> None:
    """The command writes the index of a large host in the background; nothing is measured beside that."""
    if given.symbols < _INDEXED:
        return
    deadline = time.monotonic() + max(600, given.symbols / 25_000)  # it gives way to all else
    while True:
        before = _listing(folder)
        time.sleep(0.05)
        kinds = {Path(name).suffix for name, _ in before}
        if kinds >= {".index", ".host"} and before == _listing(folder):
            return
        if time.monotonic() > deadline:
            raise ChildFailedError(f"no index of {given.path.name} was written in time")


def _listing(folder: Path) -> set[tuple[str, int]]:
    """Name and size of each file."""
    try:
        return {(path.name, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}
    except FileNotFoundError:  # not there yet, or just moved
        return set()


def _read(path: Path) -> Work:
    return work_in(path.read_bytes())


def _size(path: Path) -> int:
    return path.stat().st_size
