"""Maps ARM64 images side by side into one Unicorn instance, as a loader would, and calls their functions.

There is no operating system: an import that nothing supplies becomes an address that stops the program with the
import's name as soon as it is called.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unicorn import UC_ARCH_ARM64, UC_HOOK_CODE, UC_MODE_ARM
from unicorn import arm64_const as reg
from unicorn.unicorn import Uc, UcError

from examples.demo.images import Loadable, Pointer, read_image

PAGE = 0x4000  # bytes: Apple's page, and a multiple of Linux's
STACK = 0x7FF0_0000_0000
STACK_SIZE = 0x10_0000
THREAD = 0x7FE0_0000_0000  # what the thread pointer points to
IMPORTS = 0x7FD0_0000_0000  # one word an import that nothing supplies
IMPORTS_SIZE = 0x1_0000
RETURN = IMPORTS + IMPORTS_SIZE - 4  # where a called function returns to


class EmulationError(Exception):
    """The program did something that it must not: the message says what, and where it was."""


class Mapped(NamedTuple):
    """An image in memory."""

    name: str
    slide: int  # bytes added to static addresses
    image: Loadable

    def address(self, name: str) -> int:
        """The runtime address of what C calls *name*."""
        return self.image.symbols[name] + self.slide

    def holds(self, address: int) -> bool:
        """Whether runtime *address* lies in the image."""
        static = address - self.slide
        return any(s.address <= static < s.address + s.size for s in self.image.segments)


class Entry(NamedTuple):
    """Execution reached a watched address."""

    address: int
    name: str  # as it was watched
    caller: int  # lr: the instruction after the call, also when a trampoline lies between


class Call(NamedTuple):
    """What one call did."""

    result: int  # x0, 64 bits unsigned
    entered: tuple[Entry, ...]  # in the order of execution

    @property
    def signed(self) -> int:
        """The result as C's ``int``."""
        low = self.result & 0xFFFFFFFF
        return low - (1 << 32) if low >> 31 else low

    @property
    def names(self) -> list[str]:
        """The watched names that execution reached."""
        return [entry.name for entry in self.entered]


class Emulator:
    """An ARM64 processor with memory and nothing else."""

    def __init__(self) -> None:
        self.cpu = _processor()
        self.images: list[Mapped] = []
        self._entered: list[Entry] = []
        self._missing: dict[str, int] = {}
        self.cpu.mem_map(STACK - STACK_SIZE, STACK_SIZE)
        self.cpu.mem_map(THREAD - PAGE, 2 * PAGE)
        self.cpu.mem_map(IMPORTS, IMPORTS_SIZE)
        self.cpu.reg_write(reg.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # floating point and vectors do not trap
        self.cpu.reg_write(reg.UC_ARM64_REG_TPIDR_EL0, THREAD)

    def load(self, path: str | os.PathLike[str], *, slide: int) -> Mapped:
        """Map the image at *path* so that each of its static addresses moves up by *slide* bytes."""
        name = os.fspath(path)
        image = read_image(Path(path).read_bytes(), name)
        mapped = Mapped(name, slide, image)
        for first, size in _pages([(s.address + slide, s.size) for s in image.segments]):
            self.cpu.mem_map(first, size)
        for segment in image.segments:
            self.cpu.mem_write(segment.address + slide, segment.content)
        for pointer in image.pointers:
            value = pointer.target + (self._named(mapped, pointer) if pointer.name else slide)
            self.write_word(pointer.place + slide, value)
        self.images.append(mapped)
        return mapped

    def _named(self, image: Mapped, pointer: Pointer) -> int:
        """The address that the loader finds for a name: the image's own, or one that stops the program.

        dyld gives all images one of each weak definition, the one that was loaded first.
        """
        name = pointer.name
        for earlier in self.images if pointer.coalesced else ():
            if name in earlier.image.external:
                return earlier.address(name)
        if name in image.image.symbols:
            return image.address(name)
        if pointer.weak:
            return 0
        return self._missing.setdefault(name, IMPORTS + 4 * len(self._missing))

    def watch(self, address: int, name: str) -> None:
        """Record as *name* whenever execution reaches *address*."""

        def reached(cpu: Any, _address: int, _size: int, _data: object) -> None:
            self._entered.append(Entry(address, name, cpu.reg_read(reg.UC_ARM64_REG_LR)))

        self.cpu.hook_add(UC_HOOK_CODE, reached, begin=address, end=address)

    def call(self, address: int, *arguments: int, limit: int = 1_000_000) -> Call:
        """Call the function at *address* with up to eight integers, as AAPCS64 passes them.

        Raises:
            EmulationError: it leaves mapped memory, calls an import that nothing supplies, or takes more than
                *limit* instructions.
        """
        self._entered = []
        for number, value in enumerate(arguments):
            self.cpu.reg_write(reg.UC_ARM64_REG_X0 + number, value % (1 << 64))
        self.cpu.reg_write(reg.UC_ARM64_REG_SP, STACK - PAGE)
        self.cpu.reg_write(reg.UC_ARM64_REG_LR, RETURN)
        try:
            self.cpu.emu_start(address, RETURN, count=limit)
        except UcError as error:
            raise EmulationError(f"{error} at {self.describe(self.pc)}") from error
        if self.pc != RETURN:
            raise EmulationError(f"still running after {limit} instructions, at {self.describe(self.pc)}")
        return Call(self.cpu.reg_read(reg.UC_ARM64_REG_X0), tuple(self._entered))

    @property
    def pc(self) -> int:
        """The program counter."""
        return int(self.cpu.reg_read(reg.UC_ARM64_REG_PC))

    def describe(self, address: int) -> str:
        """*address* with what is there."""
        missing = next((name for name, place in self._missing.items() if place == address), None)
        if missing:
            return f"{address:#x}, which stands for {missing}: nothing supplies it here"
        holder = next((image for image in self.images if image.holds(address)), None)
        return f"{address:#x} ({holder.name}+{address - holder.slide:#x})" if holder else f"{address:#x}"

    def read_word(self, address: int) -> int:
        """The 8-byte word at *address*."""
        return int.from_bytes(self.cpu.mem_read(address, 8), "little")

    def write_word(self, address: int, value: int) -> None:
        """Set the 8-byte word at *address*."""
        self.cpu.mem_write(address, (value % (1 << 64)).to_bytes(8, "little"))


def _processor() -> Any:  # Unicorn's methods carry no types
    return Uc(UC_ARCH_ARM64, UC_MODE_ARM)  # type: ignore[no-untyped-call]  # unicorn is typed only in part


def _pages(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """First address and size of the whole pages that *ranges* (first address, size) touch, those that meet merged."""
    merged: list[tuple[int, int]] = []
    for first, size in sorted(ranges):
        start, end = first // PAGE * PAGE, (first + size + PAGE - 1) // PAGE * PAGE
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return [(start, end - start) for start, end in merged]
