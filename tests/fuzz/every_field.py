"""Tries every field of the seeds with every value, in each target that takes such a file: ``make fuzz FUZZ=--fields``.

Once as the file is, and once, with fewer values, where the header says another type: a linked file's of an object, an
object's of a linked file. Nothing of it depends on chance or time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from typing import NamedTuple

from fuzz import fields_archive, fields_elf, fields_macho, seeds
from fuzz.fields import Place
from fuzz.targets import TARGETS

KINDS = ("stub", "universal", "archive", "elf-object", "macho-object", "elf", "macho", "debug")
"""Folders of seeds that have fields; of objects with debug information those of its sections are tried."""
OTHERS = {"elf": "elf-object", "elf-object": "elf", "debug": "elf", "macho": "macho-object", "macho-object": "macho"}
"""Folder -> that of what a file of it may be taken for."""
READERS = {b"\x7fELF": fields_elf, b"!<ar": fields_archive, b"!<th": fields_archive}
"""How a file begins -> what finds its fields; others are Mach-O."""


class Input(NamedTuple):
    """One input."""

    seed: str
    """Its folder and name."""
    change: str
    """What was done to it."""
    content: bytes
    targets: tuple[str, ...]
    """Those that take such files."""


def inputs(first: int = 0, every: int = 1) -> Iterator[Input]:
    """All of them; with *every* that many apart, from the *first*."""
    numbers = count()
    for kind in KINDS:
        for path in sorted((seeds.SEEDS / kind).iterdir()):
            content, seed = path.read_bytes(), f"{kind}/{path.name}"
            fields = READERS.get(content[:4], fields_macho)
            found = [place for place in fields.places(content) if kind != "debug" or "debug_" in place.of]
            for change, changed in _changes(found, content):
                if next(numbers) % every == first:
                    yield Input(seed, change, changed, targets_of(kind))
            for said, other in fields.of_other_types(content) if kind in OTHERS else ():
                for change, changed in _changes(found, other, few=True):
                    if next(numbers) % every == first:
                        both = dict.fromkeys((*targets_of(kind), *targets_of(OTHERS[kind])))
                        yield Input(seed, f"{said}; {change}", changed, tuple(both))


def _changes(places: Sequence[Place], content: bytes, *, few: bool = False) -> Iterator[tuple[str, bytes]]:
    """All of them."""
    for place in places:
        yield from place.changes(content, few=few)


@cache
def targets_of(kind: str) -> tuple[str, ...]:
    """The targets that start from seeds of the folder *kind*."""
    return tuple(
        name for name, target in TARGETS.items() if any(kind in seeds.UNIONS.get(one, (one,)) for one in target.seeds)
    )
