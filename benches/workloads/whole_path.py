"""The whole path, file to file, as a person's build runs it: a host, a patch, one command, a stub object."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from benches.equal_work import Work, work_in
from benches.harness import OURS, PYTHON, ROOT, Bench, Case, Command, Contender, Step, shown, whole_process
from benches.hosts import SLIDE, Host, host
from benches.peers import rust

IMPORT = "import keystone, capstone"
UNIT = Step("python", IMPORT)
FRESH, PRESENT, OFF = "no index yet", "index present", "index off"
COMMAND = "command"
STUB, LEAN = "the same steps", "the same, borrowing names"


def cases(bench: Bench) -> Iterator[Case]:
    """Hosts of growing size; the last patch needs every function there is."""
    sizes = [(2_000, 50)] if bench.quick else [(200_000, 500), (1_000_000, 1_000)]
    for format_name in ("elf", "macho"):
        for functions, needed in sizes:
            yield case(bench, "whole path", made(bench, format_name, functions, needed), f"{needed:,} needed")
    if not bench.quick:
        yield case(bench, "whole path", made(bench, "elf", 1_000_000, 1_000_000), "1,000,000 needed", slow=True)


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
    steps = (FRESH, PRESENT, OFF) if has_index() else (COMMAND,)
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
    return Contender("python", whole_process(bench, IMPORT, [PYTHON, "-c", IMPORT]), command=f'python -c "{IMPORT}"')


def rust_command(given: Host, out: Path, *options: str) -> Command:
    """The Rust peer's command that does the same."""
    return [rust.build(), "stub", "--slide", hex(SLIDE), *options, given.path, given.patch, out]


def build_command(given: Host, out: Path) -> Command:
    """The command that makes the stub object."""
    options: Command = ["--host", given.path, "--slide", hex(SLIDE), "-o", out]
    return [PYTHON, "-m", "stubgen", "build", *options, given.patch]


def _ours(bench: Bench, given: Host, folder: Path, step: str, slow: bool) -> Contender:
    cache_folder = bench.scratch / f"index, {step}"
    environment = {"STUBGEN_CACHE_DIR": str(cache_folder)} if step in (FRESH, PRESENT) else {}
    out = folder / "ours.o"
    command = build_command(given, out) + (["--no-cache"] if step == OFF else [])

    def prepare() -> None:
        if step == FRESH:
            shutil.rmtree(cache_folder, ignore_errors=True)
        elif step == PRESENT:
            warm_index(bench, given, cache_folder)

    return Contender(
        OURS,
        whole_process(bench, step, command, environment),
        prepare=prepare,
        work=partial(_read, out),
        size=partial(_size, out),
        command=shown(bench, command, environment),
        slow=slow,
    )


def warm_index(bench: Bench, given: Host, cache_folder: Path) -> None:
    """Let the host's index be there, from a run that is not measured."""
    marker = cache_folder / f"made for {given.path.name} {given.path.stat().st_size}"
    if not marker.exists():
        command = build_command(given, bench.scratch / "warm.o")
        bench.children.run(command, {"STUBGEN_CACHE_DIR": str(cache_folder)})
        cache_folder.mkdir(parents=True, exist_ok=True)
        marker.touch()


@cache
def has_index() -> bool:
    """Whether this version keeps an index of the host."""
    command: Command = [PYTHON, "-m", "stubgen", "build", "--help"]
    return "--no-cache" in subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def _read(path: Path) -> Work:
    return work_in(path.read_bytes())


def _size(path: Path) -> int:
    return path.stat().st_size
