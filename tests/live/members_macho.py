"""Mach-O programs linked from archives, and patches for them, run in an emulated processor."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from live.test_macho import PATCH_SLIDE, SLIDE, symbols, toolchain
from tools import need, need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import Linked, link_patch

THROUGH_THE_DRIVER = frozenset({"-dead_strip", "-x", "-all_load", "-ObjC"})
"""Options of ld64's that zig's driver takes behind ``-Wl,`` alone."""


class Program(NamedTuple):
    """A linked host, the record of its link, and the folder with the objects."""

    folder: Path
    captured: Capture

    @property
    def path(self) -> Path:
        """The host's file."""
        return self.folder / "host"

    def link(self, **options: object) -> Linked:
        """The patch, linked for a host that lies :data:`SLIDE` above its static addresses."""
        anchor = symbols(self.path)["_main"] + SLIDE
        output = self.folder / "patch.dylib"
        objects = [self.folder / "patch.o"]
        return link_patch(StubBuilder(self.path), self.captured, objects, output, anchor, **options)  # type: ignore[arg-type]  # a test's own

    def start(self) -> Running:
        """The host in the emulator."""
        need_module("unicorn", "unicorn")
        from examples.demo.emulator import Emulator

        emulator = Emulator()
        return Running(emulator, [emulator.load(self.path, slide=SLIDE)])


class Running(NamedTuple):
    """Images in the emulator, the host first."""

    emulator: Any
    images: list[Any]

    def load(self, patch: Path) -> None:
        """Map a patch."""
        self.images.append(self.emulator.load(patch, slide=PATCH_SLIDE))

    def call(self, name: str, *arguments: int) -> int:
        """What function *name* of the newest image that has it returns."""
        return int(self.emulator.call(self.address(name), *arguments).signed)

    def address(self, name: str) -> int:
        """Where *name* is in the newest image that has it."""
        image = next(image for image in reversed(self.images) if name in image.image.symbols)
        return int(image.address(name))


def make(
    folder: Path,
    sources: Mapping[str, str],
    archives: Mapping[str, str],
    link: str,
    *,
    linker: str = "lld",
    flags: str = "-O1",
    thin: bool = False,
) -> Program:
    """Compile *sources* (name -> text), make *archives* (name -> members) and link the host with *link*'s arguments."""
    need_module("lief", "lief")
    tools = toolchain(linker)
    for name, text in sources.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        quiet = ["-fno-sanitize=all", "-fno-objc-arc"] if path.suffix != ".s" else []
        language = ["-x", "c++"] if path.suffix == ".cc" else []
        words = [word for word in flags.split() if path.suffix == ".cc" or not word.startswith("-std=c++")]
        run([*tools.compile, *words, *quiet, *language, "-c", name, "-o", path.with_suffix(".o")], cwd=folder)
    for name, members in archives.items():
        kind = ["-T"] if thin else []
        run(
            [
                need("llvm-ar-19"),
                "--format=darwin" if not thin else "--format=gnu",
                "rcs",
                *kind,
                name,
                *members.split(),
            ],
            cwd=folder,
        )
    zig = linker == "zig"
    words = [f"-Wl,{word}" if zig and word in THROUGH_THE_DRIVER else word for word in shlex.split(link)]
    lookup = ["-Wl,-undefined,dynamic_lookup"] if zig else ["-undefined", "dynamic_lookup"]
    command = [*tools.link, *lookup, *words, "-o", "host"]
    run(command, cwd=folder)
    return Program(folder, Capture(command, folder, {}, output="host"))


def borrowed(linked: Linked) -> dict[str, tuple[str, ...]]:
    """The members that became part of the patch -> the names for which."""
    return {member.name: member.wanted for member in linked.built.resolution.needed.borrowed}
