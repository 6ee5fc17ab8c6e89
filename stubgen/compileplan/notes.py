"""What a person should know of a choice of compiles: what it cannot see, and what it leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from stubgen.capture.depfile import prerequisites
from stubgen.common.files import read_input
from stubgen.common.text import as_text
from stubgen.compileplan.host_link import HostLink, content_digest
from stubgen.compileplan.units import Unit, modified
from stubgen.errors import CompilerFailed, InputError

START_UP = re.compile(r"\w*crt[\w.-]*\.o|rs(?:begin|end)\.o|swift\w*\.o")
"""Objects of compilers and C libraries, which a link without a driver names: ``crt1.o``, ``crtbeginS.o``."""
_FIXED = (b"/registry/src/", b"/git/checkouts/")
"""The folders of cargo's in which nobody edits."""
SHOWN = 5
"""Names that a note lists."""


def unrecorded(units: Sequence[Unit], link: HostLink) -> list[str]:
    """Objects of the *link*, and members of its archives that others were compiled into, without a compile of *units*.

    Archives of which no member was compiled here are other people's.
    """
    outputs = {unit.output for unit in units if not unit.rust}
    names = {os.path.basename(output) for output in outputs}
    crates = tuple(unit.crate.units for unit in units if unit.rust)
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


def edited_elsewhere(units: Sequence[Unit], link: HostLink) -> list[str]:
    """That sources of Rust crates changed of whose compile there is no record: cargo's path dependencies elsewhere.

    ``RUSTC_WORKSPACE_WRAPPER`` stands before the workspace's own crates alone. What rustc read is listed beside what it
    made.
    """
    crates = [unit for unit in units if unit.rust]
    made = {name for unit in crates for name in unit.made_files}
    used = {name for unit in crates for name in unit.extern_files} | (link.files if crates else frozenset())
    found: dict[str, set[str]] = {}
    for path in sorted(used - made):
        stem, ending = os.path.splitext(os.path.basename(path))
        if ending in (".rlib", ".rmeta") and stem.startswith("lib"):
            built = min(modified(path) or link.time, link.time)
            newer = {each for each in _read_by(path, stem[3:]) if modified(each) > built}
            found.setdefault(stem[3:].rpartition("-")[0] or stem[3:], set()).update(newer)
    return [
        f"{listed(sorted(map(os.path.basename, newer)))}: changed since crate {name} was built, and not in this patch: "
        "nothing recorded that compile, as of all that is outside of the workspace: make it a member, or build and "
        "start the host anew"
        for name, newer in found.items()
        if newer
    ]


def _read_by(library: str, crate: str) -> list[str]:
    """The sources from which rustc made the *library* of a *crate*, by the list beside it; none of a registry's."""
    path = os.path.join(os.path.dirname(library), f"{crate}.d")
    try:
        text = bytes(read_input(path)) if os.path.isfile(path) else b""
        if any(folder in text for folder in _FIXED):
            return []
        return [name for name in prerequisites(as_text(text)) if os.path.isabs(name)]
    except InputError:
        return []


def left_behind(chosen: Sequence[Unit], others: Sequence[Unit], taken: Callable[[Unit], bool]) -> list[str]:
    """That files which *chosen* read changed since those of *others* that are *taken* were compiled from them too.

    A compiler is asked where the build left no list of what it read: for *chosen*, and for others only where a header
    of *chosen* is newer than they are, which costs a run of the preprocessor each.
    """
    shared = {path: modified(path) for path in {path for unit in chosen for path in _asked(unit) or unit.sources}}
    headers = shared.keys() - {path for unit in chosen for path in unit.sources}
    newest = max((shared[path] for path in headers), default=0.0)
    readers: dict[str, list[Unit]] = {}
    silent: list[Unit] = []
    for unit in others:
        old = newest > unit.built
        read = _asked(unit) if old else unit.reads(ask=False)
        if read is None and taken(unit):
            silent.append(unit)
        newer = [path for path in (read or frozenset()) & shared.keys() if unit.is_edited(path)]
        for path in newer if newer and taken(unit) else ():
            readers.setdefault(path, []).append(unit)
    return [
        *(
            f"{os.path.basename(path)}: changed since {_were(units)} compiled, and not in this patch: unless an "
            f"earlier one has that, name {os.path.basename(path)} with --changed, or leave --changed out"
            for path, units in sorted(readers.items())
        ),
        *_unknown(silent, [path for path in sorted(headers) if shared[path] == newest]),
    ]


def _asked(unit: Unit) -> frozenset[str] | None:
    """What *unit* reads; None where neither the build nor the compiler says it."""
    try:
        return unit.reads(ask=True)
    except CompilerFailed:  # a compile of it says it better
        return None


def _unknown(silent: Sequence[Unit], newest: Sequence[str]) -> list[str]:
    if not silent:
        return []
    return [
        f"{os.path.basename(newest[0])}: changed since {_were(silent)} compiled, and the compiler does not say whether "
        f"{'that reads' if len(silent) == 1 else 'those read'} it, because of an error: mend that, or leave --changed "
        "out"
    ]


def _were(units: Sequence[Unit]) -> str:
    return f"{listed(sorted(map(shown, units)))} {'was' if len(units) == 1 else 'were'}"


def not_taken(left_out: Sequence[Unit]) -> list[str]:
    """That *left_out* read what changed, and are no part of the host."""
    if not left_out:
        return []
    return [
        f"{listed([unit.name for unit in left_out])}: not compiled again, because the host has nothing of "
        f"{listed([shown(unit) for unit in left_out])}, which the archives of its link have"
    ]


def not_of_host(chosen: Sequence[Unit]) -> list[str]:
    """That calls of *chosen*, of which the host has nothing, come from patches alone."""
    if not chosen:
        return []
    return [
        f"{listed([unit.name for unit in chosen])}: the host has nothing of {listed(list(map(shown, chosen)))}, only "
        "patches call it: direct calls in an earlier one go on as they were, so name the files of its callers too, or "
        "leave --changed out"
    ]


def shown(unit: Unit) -> str:
    """The object, or the crate, for people."""
    return unit.name if unit.rust else os.path.basename(unit.output)


def listed(names: Sequence[str]) -> str:
    """The first of *names*, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
