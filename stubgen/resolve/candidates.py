"""Which of the host's symbols of a name a reference can mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stubgen.common.text import as_text
from stubgen.image import Candidate, Kind, Reference, Variable


class Meaning(NamedTuple):
    """What a reference can mean."""

    candidates: list[Candidate]
    remark: str = ""  # what was done to find them, where it was not the obvious


def meaning(reference: Reference, found: Sequence[Candidate]) -> Meaning:
    """Those of *found*, the host's symbols of the reference's name, that it can mean."""
    named = _of_that_name(reference, found)
    if len(named.candidates) <= 1 and not reference.version:
        return named
    distinct = _without_aliases_of_versions(named.candidates)
    if reference.version:
        matching = [candidate for candidate in distinct if candidate.version in (reference.version, "")]
        return Meaning(_visible_first(matching), f"version {reference.version}")
    return _default_version(Meaning(_visible_first(distinct), named.remark))


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


def _of_that_name(reference: Reference, found: Sequence[Candidate]) -> Meaning:
    """The symbols of exactly that name; where there is none, those that differ in LLVM's ThinLTO suffix."""
    exact = [candidate for candidate in found if candidate.name == reference.name]
    if exact or not found:
        return Meaning(exact)
    return Meaning(list(found), f"matched {as_text(found[0].name)} once LLVM's ThinLTO suffix is dropped")


def _without_aliases_of_versions(pool: Sequence[Candidate]) -> list[Candidate]:
    """*pool* less the symbols without a version that are where one with a version is: another table's same symbol."""
    versioned = {candidate.address for candidate in pool if candidate.version}
    return [candidate for candidate in pool if candidate.version or candidate.address not in versioned]


def _visible_first(pool: list[Candidate]) -> list[Candidate]:
    """The symbols that other units see; where there is none, all."""
    return [candidate for candidate in pool if not candidate.local] or pool


def _default_version(found: Meaning) -> Meaning:
    """What a reference without a version means: the default versions; without one, what the host imports."""
    pool, remark = found
    imports = [candidate for candidate in pool if candidate.kind is Kind.IMPORT]
    default = [candidate for candidate in pool if candidate.kind is not Kind.IMPORT and candidate.default]
    if default and default[0].version and len(_addresses(pool)) > len(_addresses(default)):
        remark = remark or f"the default version, {default[0].version}"
    return Meaning(default or imports or pool, remark)


def _addresses(pool: Sequence[Candidate]) -> set[int]:
    return {candidate.address for candidate in pool}
