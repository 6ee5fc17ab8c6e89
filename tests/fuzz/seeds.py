"""The inputs that a run starts from: sound files of each kind, and what once went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz import targets

SEEDS = Path(__file__).parent / "seeds"
"""A folder a kind; ``fuzz.make_seeds`` wrote them."""
FINDINGS = Path(__file__).parent / "findings"
"""A folder a target; each file was a finding, and is none any more."""

UNIONS = {
    "any-elf": ("elf", "elf-object", "debug", "stub"),
    "any-macho": ("macho", "macho-object", "stub", "universal"),
    "elf-object": ("elf-object", "debug"),
}
"""Kind -> the folders whose files are of it, where it has not one of its own name."""
MADE: dict[str, Callable[[], tuple[Path, bytes]]] = {"index": targets.index_made, "facts": targets.facts_made}
"""Kind -> what makes its seed, which is good for one machine alone; the file is the inputs', the seed stays."""


def of_kind(kind: str) -> list[bytes]:
    """The seeds of *kind*."""
    if kind in MADE:
        return [MADE[kind]()[1]]
    folders = [SEEDS / name for name in UNIONS.get(kind, (kind,))]
    return [path.read_bytes() for folder in folders for path in sorted(folder.iterdir())]


def of_target(name: str) -> list[bytes]:
    """The seeds of the target *name*, with its past findings."""
    past = FINDINGS / name
    found = [content for kind in targets.TARGETS[name].seeds for content in of_kind(kind)]
    return found + [path.read_bytes() for path in sorted(past.iterdir() if past.is_dir() else ())]
