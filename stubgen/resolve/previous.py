"""What earlier patches of the process define, and which definition of several a new reference means.

Of functions the newest definition counts: new code calls what the program's text now says. So it is with constants,
but for C++ type information, which is told by its address and must stay one.

Of variables the oldest counts that has the size and, where debug information says it, the type of the newest: there the
state is that all code before went on with. A patch that was linked without ``--keep-state`` started a copy of its own,
which it shares with nobody; one that changed the size or the type of a variable, or could not keep it although it keeps
others, holds the state from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from stubgen.common.row import Row
from stubgen.image import Candidate, Image, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch

_TYPE_INFORMATION = (b"_ZTI", b"_ZTS", b"__ZTI", b"__ZTS")
"""Itanium C++ ABI 5.1.4.1; with Mach-O's underscore."""
_STATE = (Kind.DATA, Kind.THREAD_LOCAL)


class Earlier(Row):
    """A definition in an earlier patch."""

    patch: EarlierPatch
    candidate: Candidate


class Previous:
    """The earlier patches of one process, in the order in which they were loaded."""

    def __init__(self, patches: Sequence[EarlierPatch] = ()) -> None:
        self.patches = tuple(patches)

    def __bool__(self) -> bool:
        return bool(self.patches)

    def learn(self, names: Collection[bytes]) -> None:
        """Look *names* up, each patch's symbols gone through once."""
        for patch in self.patches:
            patch.learn(names)

    def has(self, name: bytes) -> bool:
        """Whether any of them defines *name* for other files."""
        return any(True for _ in self._visible(name))

    def answer(self, name: bytes, pool: Sequence[Candidate], host: Image) -> Earlier | None:
        """What a reference to *name* means of them; None where it means the *host*'s, which are *pool*."""
        found = list(self._visible(name))
        if not found:
            return None
        newest = found[-1]
        kind, writable = newest.candidate.kind, newest.candidate.writable
        if kind not in _STATE:
            return newest
        if not (writable or kind is Kind.THREAD_LOCAL or name.startswith(_TYPE_INFORMATION)):
            return next((each for each in reversed(found) if not each.patch.uses_anothers(name)), None)
        if newest.patch.keeps_state and not newest.patch.uses_anothers(name) and kind in _STATE and writable:
            return newest
        if any(_holds_state_of(newest, candidate, host) for candidate in pool):
            return None
        holders = (
            each
            for each in found
            if _holds_state_of(newest, each.candidate, each.patch.image) and not each.patch.uses_anothers(name)
        )
        return next(holders, newest)

    def _visible(self, name: bytes) -> Iterator[Earlier]:
        """The definitions that other files see, the oldest first."""
        for patch in self.patches:
            for candidate in patch.find(name):
                if not candidate.local or candidate.hidden:
                    yield Earlier(patch, candidate)


def _holds_state_of(newest: Earlier, candidate: Candidate, image: Image) -> bool:
    """Whether code that was compiled for *newest* can use *image*'s *candidate*; Mach-O says no sizes."""
    own = newest.candidate
    same = candidate.kind is own.kind and candidate.writable is own.writable
    same = same and (candidate.size == own.size or not candidate.size or not own.size)
    if not same or candidate == own or not own.writable or own.kind is not Kind.DATA:
        return same
    from stubgen.image.dwarf_types import difference, type_of_variable

    mine = type_of_variable(newest.patch.image.debug_info, own.address)
    theirs = None if mine is None else type_of_variable(image.debug_info, candidate.address)
    return mine is None or theirs is None or not difference(mine, theirs)


NO_PATCHES = Previous()
