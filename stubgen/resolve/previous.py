"""What earlier patches of the process define, and which definition of several a new reference means.

Of functions the newest definition counts: new code calls what the program's text now says. So it is with constants,
but for C++ type information, which is told by its address and must stay one.

Of global variables the oldest counts that has the size and, where debug information says it, the type of the newest:
there the state is that all code before went on with. A patch that was linked without ``--keep-state`` started a copy of
its own, which it shares with nobody; one that changed the size or the type of a variable, or could not keep it although
it keeps others, holds the state from then on, also where a later patch has the host's form again. Of static ones the
newest counts that a patch began: nobody but their file, which that patch replaced, went on with any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from stubgen.common.row import Row
from stubgen.image import Candidate, Image, Kind, Variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host.previous import EarlierPatch

_TYPE_INFORMATION = (b"_ZTI", b"_ZTS", b"__ZTI", b"__ZTS")
"""Itanium C++ ABI 5.1.4.1; with Mach-O's underscore."""
_PLAIN = ".rodata"
"""How ELF's sections of constants without pointers are called."""
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
            own = next((each for each in reversed(found) if not each.patch.uses_anothers(name)), None)
            return None if own is None else _oldest_alike(own, found, pool, host)
        if newest.patch.keeps_state and newest.patch.may_have_begun(name) and writable:
            return newest
        if any(_holds_state_of(newest, candidate, host) for candidate in pool):
            return None
        holders = (
            each
            for each in found
            if _holds_state_of(newest, each.candidate, each.patch.image) and not _goes_on(each, name)
        )
        is_hosts = writable and len(newest.patch.find(name)) == 1  # nobody holds it, so that the newest goes on
        return next(holders, None if is_hosts else newest)

    def began(self, variable: Variable, pool: Sequence[Candidate], host: Image) -> Iterator[Earlier]:
        """Those that began a variable of their own that is the patch's *variable*, the newest first.

        Of a static one that is each that does not use another's. A global one is what the *host*'s code, or an earlier
        patch's, goes on with where that has it in the same form: in *pool* is what the host has.

        Args:
            variable: the patch's, which it can write.
            pool: the host's variables that it may be.
            host: the program.
        """
        held = [(candidate, host) for candidate in pool]
        found: list[Earlier] = []
        for patch in self.patches:
            for candidate in patch.find(variable.name) if patch.may_have_begun(variable.name) else ():
                if not _is_state(candidate) or not _may_be(variable, candidate):
                    continue
                earlier = Earlier(patch, candidate)
                no_form = patch.knows_own and not candidate.size  # Mach-O: its form tells nothing
                if no_form or (candidate.local and not candidate.hidden):
                    found.append(earlier)
                elif not any(_holds_state_of(earlier, other, image) for other, image in held):
                    found.append(earlier)
                    held = [(candidate, patch.image)]
        return reversed(found)

    def left_behind(self, variable: Variable) -> EarlierPatch | None:
        """The newest that began a variable of its own that is the patch's *variable*, whoever else goes on with it."""
        for patch in reversed(self.patches):
            if patch.surely_began(variable.name) and any(
                _is_state(each) and _may_be(variable, each) for each in patch.find(variable.name)
            ):
                return patch
        return None

    def without(self, variable: Variable) -> EarlierPatch | None:
        """The newest that has the file of *variable*, if that one does not have the variable."""
        for patch in reversed(self.patches):
            if any(_is_state(each) and _may_be(variable, each) for each in patch.find(variable.name)):
                return None
            if variable.file and patch.image.files_called(variable.file):
                return patch
        return None

    def _visible(self, name: bytes) -> Iterator[Earlier]:
        """The definitions that other files see, the oldest first."""
        for patch in self.patches:
            for candidate in patch.find(name):
                if not candidate.local or candidate.hidden:
                    yield Earlier(patch, candidate)


def _is_state(candidate: Candidate) -> bool:
    return candidate.kind is Kind.THREAD_LOCAL or (candidate.kind is Kind.DATA and candidate.writable)


def _goes_on(earlier: Earlier, name: bytes) -> bool:
    """Whether what the patch defines is a copy that nobody uses; of several of that name, whether one of them is."""
    if not earlier.candidate.writable or len(earlier.patch.find(name)) > 1:
        return earlier.patch.uses_anothers(name)
    return not earlier.patch.may_have_begun(name)


def _may_be(variable: Variable, candidate: Candidate) -> bool:
    """Whether nothing says that an earlier patch's *candidate* is another file's than *variable*."""
    from stubgen.symbols.rust import is_rust_name

    if is_rust_name(variable.name):
        return True
    if not candidate.local or candidate.hidden:
        return not variable.local
    return candidate.file == variable.file or not candidate.file


def _oldest_alike(own: Earlier, found: Sequence[Earlier], pool: Sequence[Candidate], host: Image) -> Earlier | None:
    """Of the definitions *found* of a constant the first that is as *own*; None where one of the *host*'s *pool* is."""
    if any(_is_alike(own, candidate, host) for candidate in pool):
        return None
    return next(each for each in found if each is own or _is_alike(own, each.candidate, each.patch.image))


def _is_alike(newest: Earlier, candidate: Candidate, image: Image) -> bool:
    """Whether *image*'s constant *candidate* is the *newest* one, whose patch shares it then.

    An address is an identity; where nothing but data reaches the constant no code tells of that. Of constants with
    pointers, and of Mach-O's, which have no sizes, nothing is said.
    """
    own, size = newest.candidate, newest.candidate.size
    plain = all(each.kind is Kind.DATA and each.section.startswith(_PLAIN) for each in (own, candidate))
    if not plain or not size or candidate.size != size:
        return False
    mine = newest.patch.image.read_at(own.address, size, "a constant")
    return mine == image.read_at(candidate.address, size, "a constant")


def _holds_state_of(newest: Earlier, candidate: Candidate, image: Image) -> bool:
    """Whether code that was compiled for *newest* can use *image*'s *candidate*; Mach-O says no sizes."""
    own = newest.candidate
    same = candidate.kind is own.kind and candidate.writable is own.writable
    same = same and (candidate.size == own.size or not candidate.size or not own.size)
    if not same or image is newest.patch.image or not own.writable or own.kind is not Kind.DATA:
        return same
    from stubgen.image.dwarf_differences import difference
    from stubgen.image.dwarf_types import type_of_variable
    from stubgen.resolve.described import described

    home, address = described(newest.patch, own)
    mine = type_of_variable(home.debug_info, address)
    theirs = None if mine is None else type_of_variable(image.debug_info, candidate.address)
    return mine is None or theirs is None or not difference(mine, theirs)


NO_PATCHES = Previous()
