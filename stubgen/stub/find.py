"""Finds stubs again: in a stub object, in what ``ld -r`` made of it, or in a linked patch.

The search starts from the code, not from the symbol table, so it also finds stubs whose names are stripped.
"""

from __future__ import annotations

from collections.abc import Iterator

from stubgen.common.aarch64 import WORD
from stubgen.common.arguments import instance
from stubgen.common.columns import TABLE_AT_ONCE, column
from stubgen.common.row import Row
from stubgen.image import Code, Image
from stubgen.stub.decoding import decode
from stubgen.stub.facts import LibraryFacts, known_facts
from stubgen.stub.trampoline import IMMEDIATE_SHIFT, template
from stubgen.symbols.versions import known_name


class Stub(Row):
    """One trampoline in a file."""

    name: bytes
    """Empty where the symbol table has none; foo@V1 where it pins a version."""
    section: int
    """Number or ordinal."""
    address: int
    """Virtual address; in an ELF object, byte offset into the section."""
    target: int
    """Runtime address that it branches to."""
    bti: bool
    """Whether it begins with a landing pad."""
    weak: bool
    """Whether its symbol is weak."""
    hidden: bool
    """Whether its symbol is hidden (ELF) or private extern (Mach-O)."""


def find_stubs(image: Image, facts: LibraryFacts | None = None) -> list[Stub]:
    """Every trampoline in *image*, by section and address.

    Args:
        image: the file.
        facts: what is known about Capstone from earlier commands; None: what the user's cache folder has.

    Raises:
        BrokenLibrary: there are trampolines, and Capstone must read them and cannot.
        UsageError: an argument is not what it must be.
    """
    instance(Image, "open_image", "image", image)  # type: ignore[type-abstract]  # none is made of it
    facts = known_facts(facts)
    found = [(code, *one) for code in image.code() for one in _decoded(code, facts)]
    places = {(code.section, code.address + start) for code, start, _, _ in found}
    named = ((function.section, function.address, function) for function in image.functions()) if found else ()
    functions = {(section, address): function for section, address, function in named if (section, address) in places}
    stubs = []
    for code, start, bti, target in found:
        function = functions.get((code.section, code.address + start))
        stubs.append(
            Stub(
                name=known_name(function.name) if function else b"",
                section=code.section,
                address=code.address + start,
                target=target,
                bti=bti,
                weak=bool(function and function.weak),
                hidden=bool(function and function.hidden),
            )
        )
    return stubs


def _decoded(code: Code, facts: LibraryFacts | None) -> list[tuple[int, bool, int]]:
    """Byte offset, landing pad and target of each trampoline in *code*; Capstone runs once, not once a stub."""
    found, matches = [], list(_matches(code))
    for bti in (False, True):
        starts = [start for start, padded in matches if padded is bti]
        size = len(template(bti).code)
        targets = decode(b"".join([code.content[start : start + size] for start in starts]), bti=bti, facts=facts)
        found += [(start, bti, target) for start, target in zip(starts, targets, strict=True)]
    return sorted(found)


def _matches(code: Code) -> Iterator[tuple[int, bool]]:
    """Byte offset of each trampoline in *code*, in no order, and whether a landing pad begins it.

    The code is searched in pieces, each as long as the processor's cache likes it, for the branch that ends one. The
    byte before it is the last move's, whatever that moves: with it, and backwards, two thirds of the time are enough.
    """
    shape = template(bti=True)
    words = [int.from_bytes(shape.code[at : at + WORD], "little") for at in range(0, len(shape.code), WORD)]
    pad, moves, end = words[0], words[1:5], shape.code[-WORD - 1 :]
    fixed = ~(0xFFFF << IMMEDIATE_SHIFT)
    for first in range(0, len(code.content), TABLE_AT_ONCE):
        start = max(first - 1, 0)
        piece = bytes(code.content[start : first + TABLE_AT_ONCE])
        position = piece.rfind(end)
        while position >= 0:
            index, within = divmod(start + position + 1, WORD)
            if not within and index >= 4:
                held = column("I", code.content[WORD * max(index - 5, 0) : WORD * index])
                if all(word & fixed == move for word, move in zip(held[-4:], moves, strict=True)):
                    padded = index >= 5 and held[0] == pad
                    yield (index - (5 if padded else 4)) * WORD, padded
            position = piece.rfind(end, 0, position + len(end) - 1)
