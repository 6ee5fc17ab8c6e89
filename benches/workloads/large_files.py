"""``inspect`` of large files, beside ``llvm-nm`` of the same: names as they are, and as people wrote them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benches.harness import OURS, Bench, Case, Command, Contender, Step, shown, whole_process
from benches.peers import LLVM_NM
from benches.workloads import wheels
from stubgen.image.opening import open_image

RAW, DEMANGLED = Step(LLVM_NM.name, "names"), Step(LLVM_NM.name, "names, demangled")
LISTED = {RAW: (["inspect", "--all", "--mangled"], []), DEMANGLED: (["inspect", "--all"], ["-C"])}
"""What ``llvm-nm`` does -> our words, and its options: the same work in both."""
PACKAGES = {
    "libllvm19:arm64": ["usr/lib/aarch64-linux-gnu/libLLVM.so.19.1"],
    "libstd-rust-1.63:arm64": ["usr/lib/aarch64-linux-gnu/librustc_driver-*.so"],
    "ghc:arm64": ["usr/lib/ghc/base-*/libHSbase-*-ghc*.so", "usr/lib/ghc/base-*/HSbase-*.o"],
}
"""Debian's package -> the files of it that are read."""


def cases(bench: Bench) -> Iterator[Case]:
    """A case for each file that could be had; nothing of a quick run."""
    if bench.quick or not LLVM_NM.found():
        return
    for package, patterns in PACKAGES.items():
        folder = _unpacked(bench, package)
        files = [path for pattern in patterns for path in folder.glob(pattern)] if folder else []
        if not files:
            bench.absent.append(f"large files: apt-get does not give {package}")
        for path in files:
            yield _case(bench, path, path.name)
    for wheel in wheels.WHEELS:
        library = wheels.fetch(bench, wheel)
        if library is None:
            bench.absent.append(f"large files: the package index does not give {wheel}")
        else:
            yield _case(bench, library, str(wheel))


def _case(bench: Bench, path: Path, title: str) -> Case:
    dynamic = table_options(path)
    contenders = []
    for step, (words, options) in LISTED.items():
        theirs: Command = [LLVM_NM.program, *options, *dynamic, path]
        ours: Command = [bench.python, "-m", "stubgen", *words, path]
        contenders.append(
            Contender(LLVM_NM.name, whole_process(bench, step.step, theirs), command=shown(bench, theirs))
        )
        contender = Contender(OURS, whole_process(bench, step.step, ours), command=shown(bench, ours))
        contender.units = {step.step: step}
        contenders.append(contender)
    size = path.stat().st_size >> 20
    return Case("large files", f"{title}, {size} MB", "", path.stat().st_size, RAW, contenders, rounds=3)


def table_options(path: Path) -> list[str]:
    """Options with which ``llvm-nm`` lists the symbols that *path* has: a stripped ELF file has dynamic ones."""
    image = open_image(path.read_bytes(), path.name)
    return ["-D"] if image.format == "elf" and not image.has_full_symbols else []


def _unpacked(bench: Bench, package: str) -> Path | None:
    """What is in Debian's *package*, from the scratch folder or the archive; None where neither has it."""
    folder = bench.scratch / "packages" / package.partition(":")[0]
    if folder.exists():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    bench.progress.say(f"large files: downloading {package}")
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["apt-get", "download", package], cwd=part, check=False, capture_output=True)
    for archive in part.glob("*.deb"):
        subprocess.run(["dpkg", "--extract", archive.name, "."], cwd=part, check=True, capture_output=True)
        archive.unlink()
    if done.returncode:
        return None
    part.rename(folder)
    return folder
