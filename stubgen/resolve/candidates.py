"""Which of the host's symbols of a name a reference can mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.image import Candidate, Kind, Reference, Variable


class Meaning(Row):
    """What a reference can mean."""

    candidates: list[Candidate]
    remark: str = ""  # what was done to find them, where it was not the obvious


class Sift(Row):
    """One step by which the symbols that a reference can mean become fewer."""

    keep: Callable[[Reference, Meaning], Meaning]
    reason: str  # why what it drops is not meant


def meaning(reference: Reference, found: Sequence[Candidate]) -> Meaning:
    """Those of *found*, the host's symbols of the reference's name, that it can mean."""
    meant = Meaning(list(found))
    for sift in _sifts(reference, meant):
        meant = sift.keep(reference, meant)
    return meant


def not_meant(reference: Reference, found: Sequence[Candidate]) -> list[tuple[Candidate, str]]:
    """The others, each with the reason why not."""
    meant, dropped = Meaning(list(found)), []
    for sift in _sifts(reference, meant):
        before, meant = meant, sift.keep(reference, meant)
        dropped += [(candidate, sift.reason) for candidate in before.candidates if candidate not in meant.candidates]
    return dropped


def _sifts(reference: Reference, found: Meaning) -> Sequence[Sift]:
    """The steps that can make a difference; for nearly every name that is none but the first."""
    return SIFTS if len(found.candidates) > 1 or reference.version else SIFTS[:1]


def first_choice(pool: Sequence[Candidate]) -> Candidate:
    """Which of *pool*, symbols at one address, stands for all of them."""
    return next((candidate for candidate in pool if candidate.exported), pool[0])


def counterparts_of(variable: Variable, found: Sequence[Candidate]) -> Sequence[Candidate]:
    """Those of *found*, the host's variables of the name of the patch's *variable*, that it can be.

    A program has one global of a name, and any number of files may each have a static one beside it. So where several
    have the name, a static variable is among those of its own file, and a global one is what other files see.
    """
    if len({candidate.address for candidate in found}) <= 1:
        return found
    if not variable.local and (seen := [c for c in found if not c.local or c.hidden]):
        return seen
    return [c for c in found if _may_be_of(variable, c)] or found


def _may_be_of(variable: Variable, candidate: Candidate) -> bool:
    """Whether nothing says that a local symbol of the host is from another file than *variable*."""
    return candidate.local and not candidate.hidden and candidate.file in {variable.file, b""}


def _of_that_name(reference: Reference, found: Meaning) -> Meaning:
    """The symbols of exactly that name; where there is none, those that differ in LLVM's ThinLTO suffix."""
    pool = found.candidates
    exact = [candidate for candidate in pool if candidate.name == reference.name]
    if exact or not pool:
        return Meaning(exact)
    return Meaning(pool, f"matched {as_text(pool[0].name)} once LLVM's ThinLTO suffix is dropped")


def _without_aliases_of_versions(_: Reference, found: Meaning) -> Meaning:
    """Less the symbols without a version that are where one with a version is: another table's same symbol."""
    pool = found.candidates
    versioned = {candidate.address for candidate in pool if candidate.version}
    return found._replace(candidates=[c for c in pool if c.version or c.address not in versioned])


def _of_pinned_version(reference: Reference, found: Meaning) -> Meaning:
    """Where the object pins a version, the symbols of that one, and those that have none."""
    if not reference.version:
        return found
    same = [candidate for candidate in found.candidates if candidate.version in (reference.version, "")]
    return Meaning(same, f"version {reference.version}")


def _visible_first(_: Reference, found: Meaning) -> Meaning:
    """The symbols that other units see; where there is none, all."""
    pool = found.candidates
    return found._replace(candidates=[candidate for candidate in pool if not candidate.local] or pool)


def _default_version(reference: Reference, found: Meaning) -> Meaning:
    """What a reference without a version means: the default versions; without one, what the host imports."""
    if reference.version:
        return found
    pool, remark = found
    imports = [candidate for candidate in pool if candidate.kind is Kind.IMPORT]
    default = [candidate for candidate in pool if candidate.kind is not Kind.IMPORT and candidate.default]
    if default and default[0].version and len(_addresses(pool)) > len(_addresses(default)):
        remark = remark or f"the default version, {default[0].version}"
    return Meaning(default or imports or pool, remark)


def _addresses(pool: Sequence[Candidate]) -> set[int]:
    return {candidate.address for candidate in pool}


SIFTS = (
    Sift(_of_that_name, "it differs in LLVM's ThinLTO suffix, and another one has exactly that name"),
    Sift(
        _without_aliases_of_versions, "it is another table's entry of the symbol with a version that is at its address"
    ),
    Sift(_of_pinned_version, "the object pins another version"),
    Sift(_visible_first, "it is its file's own, and there is one that other files see"),
    Sift(_default_version, "a reference that names no version means the default one, and what the host defines"),
)
"""In this order; the first is for every name, the others for those of which the host has several."""
