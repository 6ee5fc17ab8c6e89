"""A Mach-O program of the adversary's in an emulated processor, which answers as a living one does."""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tools import need_module

from stubgen.macho import constants as c
from stubgen.macho.reader import MachOFile

if TYPE_CHECKING:
    from examples.demo.emulator import Emulator

SLIDE = 0x1_2345 * 0x4000
"""Where the program lies, in bytes above its static addresses: a multiple of Apple's page."""
PATCH_SLIDE, PATCH_STEP = 0x74B4_0000_0000, 0x1000_0000
"""Where the first patch lies, and each later one above the one before."""


GET_THREAD_LOCAL = (
    0xF9400411,  # ldr x17, [x0, #8]    the image's block
    0xF9400800,  # ldr x0, [x0, #16]    bytes from its start
    0x8B110000,  # add x0, x0, x17
    0xD65F03C0,  # ret
)
"""dyld's ``tlv_get_addr`` for the one thread that there is; x0 has a descriptor, and x16 and x17 may change as well."""
GETTER = 0x74A0_0000_0000
"""Where that is."""


class EmulatedHost:
    """The program, mapped as dyld would; entries are called one by one, by the table of the newest patch.

    Args:
        program: the executable.
        entries: the symbols of its entries, without Mach-O's underscore.
    """

    anchor: int
    """Where ``main`` is."""

    def __init__(self, program: Path, entries: list[str]) -> None:
        need_module("unicorn", "unicorn")
        from examples.demo.emulator import Emulator

        self._emulator = Emulator()
        self._emulator.cpu.mem_map(GETTER, 0x4000)
        self._emulator.cpu.mem_write(GETTER, struct.pack("<4I", *GET_THREAD_LOCAL))
        self._host = self._emulator.load(program, slide=SLIDE)
        _set_descriptors(self._emulator, program, SLIDE)
        _initialise(self._emulator, program, SLIDE)
        self._entries = [self._host.address(name) for name in entries]
        self._patches = 0
        self._table: dict[int, int] = {}
        self.anchor = self._host.address("main")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to end."""

    def tell(self, order: str) -> str:
        """The answer to ``run N`` or ``apply TABLE LIBRARY``, as ``runtime.c`` gives them."""
        from examples.demo.emulator import EmulationError

        word, *rest = order.split()
        try:
            return self._run(int(rest[0])) if word == "run" else self._apply(*map(Path, rest))
        except EmulationError as error:
            raise AssertionError(f"the program died of {order!r}: {error}") from error

    def end(self) -> None:
        """It has no end of its own."""

    def _run(self, argument: int) -> str:
        return " ".join(
            f"{self._emulator.call(self._table.get(entry, entry), argument).result:x}" for entry in self._entries
        )

    def _apply(self, table: Path, library: Path) -> str:
        numbers = [int(word, 16) for word in table.read_text().split()]
        slide = PATCH_SLIDE + PATCH_STEP * self._patches
        self._patches += 1
        self._emulator.load(library, slide=slide)
        _set_descriptors(self._emulator, library, slide)
        _initialise(self._emulator, library, slide)
        pairs = zip(numbers[2::2], numbers[3::2], strict=True)
        self._table = {(old + SLIDE) % (1 << 64): new + slide for old, new in pairs}
        place = self._host.address("table")
        for number, pair in enumerate(self._table.items()):
            for word, value in enumerate(pair):
                self._emulator.write_word(place + 16 * number + 8 * word, value)
        self._emulator.write_word(self._host.address("count"), len(self._table))
        return f"loaded {numbers[1] + slide:#x}"


def _initialise(emulator: Emulator, path: Path, slide: int) -> None:
    """Run the constructors of an image, as dyld does."""
    file = MachOFile(path.read_bytes(), path.name)
    for section in file.sections:
        header, kind = section.header, section.header.flags & c.SECTION_TYPE
        if kind == c.S_MOD_INIT_FUNC_POINTERS:
            for place in range(header.addr + slide, header.addr + slide + header.size, 8):
                emulator.call(emulator.read_word(place))
        elif kind == c.S_INIT_FUNC_OFFSETS:
            content = file.content(section)
            base = next(each.vmaddr for each in file.segments if each.fileoff == 0 and each.filesize)
            for at in range(0, header.size, 4):
                emulator.call(base + slide + int.from_bytes(content[at : at + 4], "little"))


def _set_descriptors(emulator: Emulator, path: Path, slide: int) -> None:
    """Give the thread-locals' descriptors of an image what dyld gives them; the one thread's block is the template."""
    file = MachOFile(path.read_bytes(), path.name)
    sections = [(section.header.flags & c.SECTION_TYPE, section.header) for section in file.sections]
    templates = (c.S_THREAD_LOCAL_REGULAR, c.S_THREAD_LOCAL_ZEROFILL)
    block = min((header.addr for kind, header in sections if kind in templates), default=0)
    for kind, header in sections:
        if kind == c.S_THREAD_LOCAL_VARIABLES:
            for place in range(header.addr + slide, header.addr + slide + header.size, 24):
                emulator.write_word(place, GETTER)
                emulator.write_word(place + 8, block + slide)
