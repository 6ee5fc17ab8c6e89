"""Keystone: where it is installed, it assembles what the recorded encoding says."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Iterable
from functools import cache

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import column
from stubgen.errors import BrokenLibrary
from stubgen.stub.libraries import KEYSTONE, broken, is_installed, load
from stubgen.stub.trampoline import INSTRUCTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stubgen.stub.facts import LibraryFacts

_KEYSTONE = allocate_lock()
"""Keystone 0.9.2 registers LLVM's targets whenever it is opened: two threads at once end the process with SIGSEGV."""

TRIES = 3
"""Keystone 0.9.2 fails now and then, with error 560, for which it has no words; in other memory it assembles that text.

What it assembles is never asked for twice: only an error is.
"""


def confirm_encoding(facts: LibraryFacts | None = None) -> None:
    """Have Keystone assemble the recorded instructions, unless it is known to do so, or is not installed.

    There are no wheels of it for Apple Silicon, aarch64 Linux and musl, and the encoding is the same there.

    Args:
        facts: what is known from earlier commands; None: what Keystone did in this process counts.

    Raises:
        BrokenLibrary: it is installed and cannot be loaded, or assembles other words.
    """
    if facts is None:
        _agrees()
    elif not facts.keystone_agrees():
        agrees = _agrees.__wrapped__() if facts.fresh else _agrees()
        if agrees:
            facts.keystone_agreed()


@cache
def _agrees() -> bool:
    """Whether Keystone assembles the recorded instructions; False where it is not installed.

    Raises:
        BrokenLibrary: it does not.
    """
    if not is_installed(KEYSTONE):
        return False
    words = assemble([instruction.assembly for instruction in INSTRUCTIONS])
    for word, instruction in zip(words, INSTRUCTIONS, strict=True):
        if word != instruction.word:
            raise BrokenLibrary(
                f"Keystone assembles '{instruction.assembly}' to {word:#010x}, not to {instruction.word:#010x}: "
                f"{KEYSTONE.advice}"
            )
    return True


def _encoded(keystone: Any, text: str) -> list[int]:
    """The bytes of *text*; an engine that fails is kept meanwhile, so that the next one has other memory."""
    failed = []
    while True:
        assembler = keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)
        try:
            encoded: list[int] = assembler.asm(text)[0]
        except keystone.KsError:
            failed.append(assembler)
            if len(failed) == TRIES:
                raise
        else:
            return encoded


def assemble(lines: Iterable[str]) -> list[int]:
    """The word of each instruction, one a line, as Keystone encodes it.

    Raises:
        BrokenLibrary: it cannot be loaded, or makes anything but one word of each.
    """
    wanted = list(lines)
    keystone = load(KEYSTONE)
    with broken(KEYSTONE, "does not assemble"), _KEYSTONE:
        words = list(column("I", bytes(_encoded(keystone, "\n".join(wanted)))))
        if len(words) != len(wanted):
            raise BrokenLibrary(
                f"Keystone makes {len(words) * WORD} bytes of {len(wanted)} instructions: {KEYSTONE.advice}"
            )
    return words
