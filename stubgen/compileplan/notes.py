"""What a person should know of a choice of compiles: what it cannot see, and what it leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence

from stubgen.compileplan.host_link import HostLink, content_digest
from stubgen.compileplan.units import Unit, modified

START_UP = re.compile(r"\w*crt[\w.-]*\.o|rs(?:begin|end)\.o|swift\w*\.o")
"""Objects of compilers and C libraries, which a link without a driver names: ``crt1.o``, ``crtbeginS.o``."""
SHOWN = 5
"""Names that a note lists."""


def unrecorded(units: Sequence[Unit], link: HostLink) -> list[str]:
    """Objects of the *link*, and members of its archives that others were compiled into, without a compile of *units*.

    Archives of which no member was compiled here are other people's.
    """
    outputs = {unit.output for unit in units if not unit.rust}
    names = {os.path.basename(output) for output in outputs}
    crates = tuple(f"{unit.crate.stem}." for unit in units if unit.rust)
    found = [
        os.path.basename(path)
        for path in sorted(link.files - outputs)
        if path.endswith((".o", ".obj")) and os.path.isfile(path)
    ]
    for members in link.archives.values():
        if any(
            content_digest(each) in link.archived[os.path.basename(each)]
            for each in sorted(outputs)
            if os.path.basename(each) in members
        ):
            found += sorted(members - names)
    return [name for name in dict.fromkeys(found) if not START_UP.fullmatch(name) and not name.startswith(crates)]


def unrecorded_note(units: Sequence[Unit], link: HostLink) -> list[str]:
    """That nobody knows what some objects read, if there are any."""
    found = unrecorded(units, link)
    if not found:
        return []
    return [
        f"{listed(found)}: in the link of {link.output} without a record of a compile, so that it is not known whether "
        "what changed is in there: build with hotpatch-stubgen-compiler, or give --compile-commands"
    ]


def left_behind(chosen: Sequence[Unit], others: Iterable[Unit], taken: Callable[[Unit], bool]) -> list[str]:
    """That files which *chosen* read changed since those of *others* that are *taken* were compiled from them too."""
    readers: dict[str, list[Unit]] = {}
    shared = {path: modified(path) for path in {path for unit in chosen for path in unit.reads(ask=False)}}
    for unit in others:
        newer = [path for path in unit.reads(ask=False) & shared.keys() if shared[path] > unit.built]
        for path in newer if newer and taken(unit) else ():
            readers.setdefault(path, []).append(unit)
    return [
        f"{os.path.basename(path)}: changed since {listed(sorted(map(shown, units)))} "
        f"{'was' if len(units) == 1 else 'were'} compiled, and not in this patch: unless an earlier one has that, "
        f"name {os.path.basename(path)} with --changed, or leave --changed out"
        for path, units in sorted(readers.items())
    ]


def not_taken(left_out: Sequence[Unit]) -> list[str]:
    """That *left_out* read what changed, and are no part of the host."""
    if not left_out:
        return []
    return [
        f"{listed([unit.name for unit in left_out])}: not compiled again, because the host has nothing of "
        f"{listed([shown(unit) for unit in left_out])}, which the archives of its link have"
    ]


def shown(unit: Unit) -> str:
    """The object, or the crate, for people."""
    return unit.name if unit.rust else os.path.basename(unit.output)


def listed(names: Sequence[str]) -> str:
    """The first of *names*, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
