"""The emission workload, and the peers: what a user would do by hand, through an assembler."""

from __future__ import annotations

import shutil
import subprocess
from array import array
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from macho.reader import BuildVersion
from stubgen.emit import StubObject, emit_elf, emit_macho
from stubgen.images import open_image
from stubgen.verify import verify

FORMATS = ("elf", "macho")
_FIRST = 0x7B4091FF2C00
_STEP = 52  # bytes between two functions of the imagined host


@dataclass(frozen=True)
class Peer:
    """An assembler that makes the same object from generated assembly."""

    name: str
    program: str
    arguments: dict[str, tuple[str, ...]]  # format -> arguments before the source
    hint: str

    def found(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.program) is not None

    def supports(self, format_name: str) -> bool:
        """Whether it writes the format."""
        return format_name in self.arguments

    def command(self, source: str, output: str, format_name: str) -> list[str]:
        """The command that assembles *source*."""
        return [self.program, *self.arguments[format_name], source, "-o", output]

    def version(self) -> str:
        """Its first line about itself."""
        done = subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True)
        return done.stdout.splitlines()[0]


PEERS = (
    Peer(
        "clang-19",
        "clang-19",
        {"elf": ("--target=aarch64-linux-gnu", "-c"), "macho": ("--target=arm64-apple-macos13", "-c")},
        "Debian: apt-get install clang-19",
    ),
    Peer("GNU as", "aarch64-linux-gnu-as", {"elf": ()}, "Debian: apt-get install binutils-aarch64-linux-gnu"),
)


class Workload:
    """*count* stubs with names like a Rust program's."""

    def __init__(self, format_name: str, count: int) -> None:
        prefix = "_" if format_name == "macho" else ""
        self.format = format_name
        self.names = [
            f"{prefix}_ZN4core3fmt9Formatter{number:07d}17h{number:016x}E".encode() for number in range(count)
        ]
        self.addresses = array("Q", range(_FIRST, _FIRST + _STEP * count, _STEP))
        self.emit = partial(emit_elf, self.names, self.addresses)
        if format_name == "macho":
            self.emit = partial(emit_macho, self.names, self.addresses, BuildVersion(1, 0x000D0000, 0))

    def verify(self, stub: StubObject) -> None:
        """Decode every stub of the finished object."""
        verify(stub)

    def assembly(self) -> str:
        """The same stubs as a person's script would write them."""
        if self.format == "elf":
            attributes = "\t.weak {0}\n\t.hidden {0}\n\t.type {0}, %function\n{0}:\n"
            end = "\t.size {0}, 20\n"
            head, tail = "\t.text\n", '\t.section .note.GNU-stack,"",%progbits\n'
        else:
            attributes = (
                "\t.weak_definition {0}\n\t.private_extern {0}\n\t.globl {0}\n\t.p2align 2\n{0}:\n\t.cfi_startproc\n"
            )
            end = "\t.cfi_endproc\n"
            head, tail = "\t.section __TEXT,__text,regular,pure_instructions\n", ".subsections_via_symbols\n"
        moves = (
            "\tmovz x16, #{1:#x}\n\tmovk x16, #{2:#x}, lsl #16\n"
            "\tmovk x16, #{3:#x}, lsl #32\n\tmovk x16, #{4:#x}, lsl #48\n\tbr x16\n"
        )
        stub = (attributes + moves + end).format
        parts = [head]
        for name, address in zip(self.names, self.addresses, strict=True):
            parts.append(stub(name.decode(), *(address >> shift & 0xFFFF for shift in (0, 16, 32, 48))))
        return "".join([*parts, tail])

    def check_equal_work(self, stub: StubObject, peer: Path | None) -> None:
        """Both objects define the same names; a peer that did less work would not be a peer."""
        if peer is None:
            return
        image = open_image(peer.read_bytes(), str(peer))
        theirs = set(image.definitions())
        if theirs != set(stub.names):
            raise RuntimeError(f"{peer}: defines other names than ours")
