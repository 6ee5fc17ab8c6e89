"""The archives that some of a program's files are in, and the words that link them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adversary.toolchains import Build
from tools import need, run

ARCHIVES = {
    "": "one, found by -l",
    "each": "one for each file, and all have one name",
    "group": "likewise, in a group",
    "whole": "one, of which every member is linked",
    "thin": "one that has the members' paths",
}
"""What :attr:`Build.archives` can be."""


def archived(build: Build, folder: Path, files: Sequence[str]) -> list[str]:
    """Put the objects of *files* into archives; the words that link those."""
    objects = [build.path(file, ".o") for file in files]
    if build.archives in ("each", "group"):
        made = [_archive(build, folder, path.replace("part.o", "libpart.a"), [path]) for path in objects]
        return ["-Wl,--start-group", *made, "-Wl,--end-group"] if build.archives == "group" else made
    made = [_archive(build, folder, "libparts.a", objects)]
    if build.archives == "whole" and not build.is_macho:
        return ["-Wl,--whole-archive", *made, "-Wl,--no-whole-archive"]
    if build.archives == "whole" and build.linker == "ld64.lld":
        return ["-force_load", *made]
    return made if build.is_macho else ["-L.", "-lparts"]


def _archive(build: Build, folder: Path, name: str, objects: list[str]) -> str:
    """Make an archive; members of one name stay side by side in it."""
    (folder / name).unlink(missing_ok=True)
    how = ["--format=darwin"] if build.is_macho else ["--thin"] if build.archives == "thin" else []
    run([str(need("llvm-ar-19")), *how, "qcs", name, *objects], cwd=folder)
    return name
