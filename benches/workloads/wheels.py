"""Real hosts: libraries that people install, from the package index."""

from __future__ import annotations

import random
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benches.harness import PYTHON, Bench, Case
from benches.hosts import Host, patch_object
from benches.workloads import whole_path
from stubgen.image import Candidate, Image, Kind
from stubgen.image.opening import open_image

NEEDED = 500
_CODE = (".text", "__TEXT,__text")
"""Where functions are chosen: the object crate takes those of ``__TEXT,__text_cold`` for data."""


class Wheel(NamedTuple):
    """A pinned release for a platform that is not this one."""

    name: str
    version: str
    platform: str
    python: str
    suffix: str  # of the library in it

    @property
    def format(self) -> str:
        """The library's."""
        return "macho" if self.platform.startswith("macosx") else "elf"

    def __str__(self) -> str:
        return f"{self.name}=={self.version} ({self.platform})"


WHEELS = (
    Wheel("libclang", "18.1.1", "macosx_11_0_arm64", "3.11", ".dylib"),
    Wheel("polars-runtime-32", "2.1.0", "macosx_11_0_arm64", "3.11", ".so"),
    Wheel("duckdb", "2.0.1", "manylinux_2_28_aarch64", "3.11", ".so"),
)


def cases(bench: Bench) -> Iterator[Case]:
    """A case for each library that could be had."""
    if bench.quick:
        return
    for wheel in WHEELS:
        library = fetch(bench, wheel)
        if library is None:
            bench.absent.append(f"real host {wheel}: the package index does not give it")
            continue
        given = host_of(bench, library)
        yield whole_path.case(bench, "real hosts", given, f"{given.needed:,} needed, {wheel}")


def fetch(bench: Bench, wheel: Wheel) -> Path | None:
    """The wheel's largest library, from the scratch folder or the package index; None where neither has it."""
    folder = bench.scratch / "wheels" / f"{wheel.name}-{wheel.version}-{wheel.platform}"
    kept = folder / "library"
    if kept.exists():
        return kept
    bench.progress.say(f"real hosts: downloading {wheel}")
    command = [PYTHON, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--platform", wheel.platform, "--python-version", wheel.python]
    command += ["-d", str(folder), f"{wheel.name}=={wheel.version}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    archives = sorted(folder.glob("*.whl")) if folder.exists() else []
    if done.returncode or not archives:
        return None
    with zipfile.ZipFile(archives[0]) as archive:
        members = [member for member in archive.infolist() if wheel.suffix in member.filename]
        largest = max(members, key=lambda member: member.file_size)
        part = folder / "part"
        part.write_bytes(archive.read(largest))
    part.replace(kept)
    archives[0].unlink()
    return kept


def host_of(bench: Bench, library: Path) -> Host:
    """The library, and a patch that calls functions of it that were picked with a fixed seed."""
    bench.progress.say(f"real hosts: choosing functions of {library.parent.name}")
    image = open_image(library.read_bytes(), library.parent.name)
    names = sorted(set(image.names()) - {b""})
    some = random.Random(NEEDED).sample(names, min(8 * NEEDED, len(names)))
    found = image.find(some)
    usable = [
        name
        for name in some
        if all(_is_plain(image, candidate) for candidate in found.get(name, ()))
        and len({candidate.address for candidate in found.get(name, ())}) == 1
    ]
    chosen = usable[:NEEDED]
    patch = library.with_name("patch.o")
    patch.write_bytes(patch_object(image.format, chosen))
    return Host(image.format, len(names), len(chosen), library, patch, len(names))


def _is_plain(image: Image, candidate: Candidate) -> bool:
    """Whether it is a function whose calls go where its symbol is, and not by the PLT, as a library's own may."""
    if candidate.kind is not Kind.FUNCTION or candidate.section not in _CODE:
        return False
    return not candidate.replaceable or image.found_by_loader(candidate).entry is None
