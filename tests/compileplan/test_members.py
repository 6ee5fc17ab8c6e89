"""What linkers took from an archive, told by the host's symbol table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture import newest_capture, record_compile
from stubgen.capture.links import record
from stubgen.compileplan.host_link import host_link
from stubgen.compileplan.members import TakenMembers
from stubgen.compileplan.units import read_units
from stubgen.host import open_host

SOURCES = {
    "main": "int used(int); __attribute__((noinline)) static int own(int n) { static int k; return k += n; }\n"
    "int main(void) { return used(own(3)); }\n",
    "used": "int used(int n) { return n + 1; }\nint unused(int n) { return n + 2; }\n",
    "spare": "int spare(int n) { return n + 3; }\n",
}
ELF = ["--target=aarch64-linux-gnu", "-ffunction-sections"]
LINKERS = {
    "ld": (ELF, ["aarch64-linux-gnu-ld", "-e", "main"]),
    "ld --gc-sections": (ELF, ["aarch64-linux-gnu-ld", "-e", "main", "--gc-sections"]),
    "lld": (ELF, ["ld.lld-19", "-e", "main", "--gc-sections"]),
    "mold": (ELF, ["mold", "-m", "aarch64linux", "-e", "main", "--gc-sections"]),
    "ld64.lld": (
        ["--target=arm64-apple-macos13.0"],
        ["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-e", "_main"],
    ),
    "ld64.lld -dead_strip": (
        ["--target=arm64-apple-macos13.0"],
        ["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-e", "_main", "-dead_strip"],
    ),
}
"""Options of the compiler, and a linker."""


class Build:
    """A program of one file and an archive of two members, of which the linker needs one."""

    def __init__(self, folder: Path, linker: str) -> None:
        self.folder = folder
        self.options, (tool, *words) = LINKERS[linker]
        self.link_words = [str(need(tool)), *words]
        self.compile()

    def compile(self, *options: str) -> None:
        """Compile all three, and make the archive."""
        compiler = str(need("clang-19"))
        for name, text in SOURCES.items():
            (self.folder / f"{name}.c").write_text(text)
            command = [compiler, *self.options, *options, "-O1", "-c", f"{name}.c", "-o", f"{name}.o"]
            run(command, cwd=self.folder)
            record_compile(command, self.folder / "captured", directory=str(self.folder), environment={})
        run([str(need("llvm-ar-19")), "rc", "libparts.a", "used.o", "spare.o"], cwd=self.folder)

    def link(self, *options: str) -> None:
        """Link it, with a record."""
        command = [*self.link_words, *options, "main.o", "libparts.a", "-o", "host"]
        record(command, self.folder / "captured", directory=str(self.folder), environment={})
        run(command, cwd=self.folder)

    def taken(self) -> set[str]:
        """The objects that count as the host's."""
        captured = self.folder / "captured"
        link = host_link(newest_capture(captured, "host"))
        members = TakenMembers(link, lambda: open_host(self.folder / "host", cache=False))
        return {Path(unit.output).stem for unit in read_units(captured) if link.has(unit) and members.has(unit)}


@pytest.fixture(params=LINKERS)
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """The program, compiled."""
    return Build(tmp_path, request.param)


def test_a_member_that_nothing_needs_is_none_of_the_hosts(build: Build) -> None:
    """Its code runs nowhere, and what it refers to need not be in this program."""
    build.link()
    assert build.taken() == {"main", "used"}


def test_an_archive_that_was_made_anew_tells_nothing(build: Build) -> None:
    """A function that was renamed since is not in the host by that name, and its file is the host's nevertheless."""
    build.link()
    moment = (build.folder / "host").stat().st_mtime + 5
    os.utime(build.folder / "libparts.a", (moment, moment))
    assert build.taken() == {"main", "used", "spare"}


def test_a_host_without_local_names_tells_nothing(build: Build) -> None:
    """A version script makes functions local, and ``-x`` takes their names away: the edit would be in no patch."""
    build.link("-x")
    assert build.taken() == {"main", "used", "spare"}


@pytest.mark.parametrize("build", ["lld", "ld64.lld"], indirect=True)
def test_a_host_without_names_tells_nothing(build: Build) -> None:
    """``recompile`` makes objects for it, which other tools link."""
    build.link("-x")
    run([str(need("llvm-strip-19")), build.folder / "host"], cwd=build.folder)
    assert build.taken() == {"main", "used", "spare"}


def test_members_that_are_compiled_at_the_link_count(tmp_path: Path) -> None:
    """Link-time optimisation puts a function into its callers, and leaves none of its names."""
    build = Build(tmp_path, "lld")
    build.compile("-flto")
    build.link()
    assert build.taken() == {"main", "used", "spare"}
