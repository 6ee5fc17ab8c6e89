"""Whether what the patch's objects define is in the linked patch byte for byte.

A linker changes what relocations name, and instructions around them; the other bytes of data stay. The bind phase
writes host addresses into data and thread offsets into instructions, in place of relocations: where the linker read
another file than ours, a copy bound for another process, these are the bytes that tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType

from stubgen.common.text import as_text
from stubgen.finding import Finding
from stubgen.image import Image
from stubgen.origin.account import Account, Definition
from stubgen.origin.sources import Origin, Source
from stubgen.origin.symbols import Content

OWN = frozenset({Source.OBJECT, Source.BORROWED})
SHOWN = 8  # names that are listed


def content_findings(account: Account, patch: Image) -> Iterator[Finding]:
    """What differs, in one finding for each object."""
    untold = set() if account.mapped else _in_several(account)
    by_origin: dict[Origin, list[Definition]] = {}
    for definition in account.definitions:
        by_origin.setdefault(definition.origin, []).append(definition)
    for item in account.inputs.files:
        if item.source not in OWN:
            continue
        held, original = _by_name(item.image), _by_name(item.original) if item.original else {}
        differing = [
            as_text(definition.name)
            for definition in by_origin.get(item.origin, ())
            if definition.symbol.name not in untold and _differs(definition, held, original, patch, account)
        ]
        if differing:
            names = ", ".join(differing[:SHOWN]) + (" and others" if len(differing) > SHOWN else "")
            message = f"the patch has other bytes than {item.name} for {names}: the linker read another file"
            yield Finding("content", False, message, tuple(differing))


def _in_several(account: Account) -> set[bytes]:
    """The names that several objects define; which one's a static definition is, the map tells, and zig writes none."""
    seen: set[bytes] = set()
    several: set[bytes] = set()
    for item in account.inputs.files:
        names = {content.name for content in _reader(item.image).contents(item.image)}
        several |= seen & names
        seen |= names
    return several


def _differs(
    definition: Definition,
    held: Mapping[bytes, Content | None],
    original: Mapping[bytes, Content | None],
    patch: Image,
    account: Account,
) -> bool:
    """Whether *definition* has other bytes in the patch than in the object that it is from."""
    symbol = definition.symbol
    known = held.get(symbol.name)
    if known is None or known.static != symbol.static or (symbol.weak and not account.mapped):
        return False
    there = patch.read_at(symbol.address, len(known.content), as_text(symbol.name))
    before = original.get(symbol.name) if known.code else None
    if known.code and (before is None or before.content == known.content):
        return False  # the bind phase wrote no instruction of it
    linked = bytes(there)
    for start, end in known.fixed:
        if not known.code and linked[start:end] != known.content[start:end]:
            return True
        if before is not None and len(before.content) >= end:  # instructions that the bind phase wrote
            for at in range(start, end):
                if known.content[at] != before.content[at] and linked[at] != known.content[at]:
                    return True
    return False


def _by_name(image: Image) -> dict[bytes, Content | None]:
    """The contents of *image*; None for a name that several have."""
    found: dict[bytes, Content | None] = {}
    for content in _reader(image).contents(image):
        found[content.name] = None if content.name in found else content
    return found


def _reader(image: Image) -> ModuleType:
    if image.format == "elf":
        from stubgen.origin import elf

        return elf
    from stubgen.origin import macho

    return macho
