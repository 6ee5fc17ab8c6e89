"""Objects with a static variable in each of thousands of functions, all kept: the times grow as the counts do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benches.harness import OURS, Bench, Case, Command, Contender, shown, whole_process
from benches.hosts import SLIDE
from benches.workloads import whole_path

_COMPILER, _LINKER = "clang-19", "ld64.lld-19"
_PLATFORM = ["-arch", "arm64", "-platform_version", "macos", "13", "13"]
_COMPILED = {
    "elf": ["--target=aarch64-linux-gnu", "-fPIC", "-fdata-sections"],
    "macho": ["--target=arm64-apple-macos13"],
}
_LINKED = {"elf": ["ld.lld-19", "-pie", "-e", "main"], "macho": [_LINKER, *_PLATFORM, "-undefined", "dynamic_lookup"]}


def cases(bench: Bench) -> Iterator[Case]:
    """A case a format and count."""
    counts = (500, 1_000) if bench.quick else (5_000, 10_000, 20_000)
    for format_name, linker in _LINKED.items():
        if not shutil.which(_COMPILER) or not shutil.which(linker[0]):
            bench.absent.append(f"statics of functions, {format_name}: no {_COMPILER} or {linker[0]}")
            continue
        for count in counts:
            yield _case(bench, format_name, count)


def object_file(bench: Bench, format_name: str, count: int) -> Path | None:
    """The object with *count* statics; None where it cannot be compiled."""
    if not shutil.which(_COMPILER) or not shutil.which(_LINKED[format_name][0]):
        return None
    folder = bench.scratch / "statics" / f"{format_name}-{count}"
    if not (folder / "host").exists():
        _make(folder, format_name, count)
    return folder / "a.o"


def _case(bench: Bench, format_name: str, count: int) -> Case:
    folder = bench.scratch / "statics" / f"{format_name}-{count}"
    if not (folder / "host").exists():
        _make(folder, format_name, count)
    options: Command = ["--host", folder / "host", "--slide", hex(SLIDE), "--keep-state"]
    outputs: Command = ["--bound-dir", folder / "bound", "-o", folder / "stub.o"]
    command: Command = [bench.python, "-m", "stubgen", "build", *options, *outputs, folder / "a.o"]
    ours = Contender(OURS, whole_process(bench, "build --keep-state", command), command=shown(bench, command))
    title = f"{'ELF' if format_name == 'elf' else 'Mach-O'}, {count:,} functions with a static each"
    return Case("statics", title, format_name, count, whole_path.UNIT, [whole_path.imports(bench), ours])


def _make(folder: Path, format_name: str, count: int) -> None:
    """The object, which is host and patch at once."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"int f{n}(void) {{ static int n = {n + 1}; return ++n; }}" for n in range(count)]
    (folder / "a.c").write_text("\n".join([*lines, "int main(void) { return f0(); }"]))
    subprocess.run([_COMPILER, *_COMPILED[format_name], "-O1", "-g", "-c", "a.c", "-o", "a.o"], cwd=folder, check=True)
    subprocess.run([*_LINKED[format_name], "a.o", "-o", "host"], cwd=folder, check=True)
