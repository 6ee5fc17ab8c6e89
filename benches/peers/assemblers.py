"""What a person would do by hand: a script writes assembly, and an assembler makes the object."""

from __future__ import annotations

from collections.abc import Iterable

ARGUMENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "clang-19": {
        "elf": ("clang-19", "--target=aarch64-linux-gnu", "-c"),
        "macho": ("clang-19", "--target=arm64-apple-macos13", "-c"),
    },
    "GNU as": {"elf": ("aarch64-linux-gnu-as",)},
}
"""Tool -> format -> the command up to the source's name."""

_MOVES = (
    "\tmovz x16, #{1:#x}\n\tmovk x16, #{2:#x}, lsl #16\n"
    "\tmovk x16, #{3:#x}, lsl #32\n\tmovk x16, #{4:#x}, lsl #48\n\tbr x16\n"
)
_FORMS = {
    "elf": (
        "\t.text\n",
        "\t.weak {0}\n\t.hidden {0}\n\t.type {0}, %function\n{0}:\n" + _MOVES + "\t.size {0}, 20\n",
        '\t.section .note.GNU-stack,"",%progbits\n',
    ),
    "macho": (
        "\t.section __TEXT,__text,regular,pure_instructions\n",
        "\t.weak_definition {0}\n\t.private_extern {0}\n\t.globl {0}\n\t.p2align 2\n{0}:\n\t.cfi_startproc\n"
        + _MOVES
        + "\t.cfi_endproc\n",
        ".subsections_via_symbols\n",
    ),
}
"""Format -> what the source begins with, a stub, what it ends with."""


def assembly(format_name: str, names: Iterable[bytes], addresses: Iterable[int]) -> str:
    """The stubs as a script would write them."""
    head, stub, tail = _FORMS[format_name]
    parts = [head]
    for name, address in zip(names, addresses, strict=True):
        parts.append(stub.format(name.decode(), *(address >> shift & 0xFFFF for shift in (0, 16, 32, 48))))
    return "".join([*parts, tail])
