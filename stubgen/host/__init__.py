"""The host phase: the running program's file, checked to be one and to be the right one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from stubgen.common.arguments import StrPath, flag
from stubgen.common.arguments import path as checked_path
from stubgen.errors import BuildIdRefusal, InputError, UsageError
from stubgen.host.index import Identity, use_index
from stubgen.host.symbols import HINT, OpenedHost
from stubgen.image import Candidate, Image
from stubgen.image.identity import HostIdentity, identity_of

REMEMBERED = 16
"""Sets of names whose candidates a host remembers; a link asks for four: the anchor's, the patch's own, two checks'."""


class Host:
    """The program that the patch is loaded into."""

    def __init__(self, path: str, image: Image) -> None:
        self.path = path
        self.image = image
        self._found: dict[frozenset[bytes], Mapping[bytes, list[Candidate]]] = {}

    @cached_property
    def identity(self) -> HostIdentity:
        """What tells this build of it from others."""
        return identity_of(self.image)

    def knows(self, bases: Collection[bytes]) -> bool:
        """Whether :meth:`find` has an answer for just these names already."""
        return frozenset(bases) in self._found

    def find(self, bases: Collection[bytes]) -> Mapping[bytes, list[Candidate]]:
        """What :meth:`Image.find` finds; the same question is asked again for every further process."""
        question = frozenset(bases)
        found = self._found.get(question)
        if found is None:
            found = self.image.find(question)
            for oldest in list(self._found)[: 1 - REMEMBERED]:  # several threads may be here
                self._found.pop(oldest, None)
            self._found[question] = found
        return found

    def find_again(self, bases: Collection[bytes]) -> Mapping[bytes, list[Candidate]]:
        """As :meth:`find`, in any order of the names; those that were asked for before are not looked for again."""
        wanted, found = frozenset(bases), dict[bytes, list[Candidate]]()
        for question, answer in list(self._found.items()):
            known = wanted & question
            found.update((name, answer[name]) for name in known if name in answer)
            wanted -= known
        return {**found, **self.find(wanted)} if wanted else found


def open_host(
    path: StrPath,
    *,
    symbols: StrPath | None = None,
    build_id: str | None = None,
    cache: bool = True,
    copied: bool = False,
) -> Host:
    """Open the host's file.

    Args:
        path: an executable, shared library or bundle.
        symbols: the file that has its symbols, where it is stripped: a debug file or a dSYM of the same build. By
            default it is looked for where debuggers do, as is debug information that the host lacks.
        build_id: the build id (ELF) or UUID (Mach-O) that the running process reports, in hex; dashes and
            case do not matter.
        cache: use the host's name index from the user's cache folder, if it is there.
        copied: hold it in memory, for a process that outlives what others do to the file.

    Raises:
        InputError: the file is no such thing, or has no symbols to look in.
        BuildIdRefusal: it is another build than the one that runs, or *symbols* are.
        UsageError: *build_id* is not hexadecimal, or an argument is not what it must be.
    """
    name, indexed = checked_path("host", path), flag("cache", cache)
    apart = None if symbols is None else checked_path("symbols", symbols)
    opened = OpenedHost(name, apart, copied=flag("copied", copied))
    image = opened.image
    if not image.has_symbols:
        raise InputError(f"{name}: is stripped: it has no symbols; {HINT}")
    if build_id is not None:
        check_build_id(image, build_id)
    if indexed:
        use_index(image, name, opened.symbols, Identity.of(opened.status))
    return Host(name, image)


def check_build_id(image: Image, expected: str) -> None:
    """Refuse *image* unless it is the build that runs; see :func:`open_host`."""
    try:
        wanted = bytes.fromhex(expected.replace("-", ""))
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"build id {expected!r} is not hexadecimal") from error
    if not wanted:
        raise UsageError("the build id is empty: the process did not report it")
    if image.build_id is None:
        raise BuildIdRefusal(f"{image.name}: has no build id, so it cannot be told to be build {wanted.hex()}")
    if image.build_id != wanted:
        raise BuildIdRefusal(
            f"{image.name}: is build {image.build_id.hex()}, but the process runs build {wanted.hex()}"
        )
