"""Where callers are led, after each generation: one function has one newest body, wherever it is called from.

A function of the program is at several addresses of the process: the host's copies, and one in each patch that defined
it anew. Code of the host looks up the host's address, code of a patch that still runs looks up its own. All of them
lead to the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stubgen.common.row import Row
from stubgen.errors import PatchRefusal
from stubgen.generations.state import Fate, Function, Generation, PatchSession, Place
from stubgen.replaced import Replaced, Replacement

WORD = 1 << 64


class Target(Row):
    """Where a function's callers are led."""

    generation: int  # 0: back to the host
    address: int  # static, in the generation's patch; of the host one of its copies


Targets = Mapping[int, Target]
"""Function of the session -> where its callers are led; one that was never replaced is not in it."""


def loaded(session: PatchSession) -> list[Generation]:
    """The generations of which it is known where they are."""
    return [generation for generation in session.generations if generation.fate is Fate.LOADED]


def counted(session: PatchSession) -> list[Generation]:
    """The generations that are taken for loaded: where each is complete, nobody need say so."""
    unsaid = (Fate.LOADED, Fate.LINKED) if session.relink_earlier else (Fate.LOADED,)
    return [generation for generation in session.generations if generation.fate in unsaid]


def holding(session: PatchSession) -> list[Generation]:
    """Those of them that count as earlier patches: what was undone is no host of new code."""
    return _not_undone(loaded(session))


def in_process(session: PatchSession) -> list[Generation]:
    """Those that are taken for loaded, and were not undone."""
    return _not_undone(counted(session))


def _not_undone(generations: Iterable[Generation]) -> list[Generation]:
    found: list[Generation] = []
    for generation in generations:
        undone = generation.undo_to
        if undone is None:
            found.append(generation)
        else:
            found = [each for each in found if each.number <= undone]
    return found


def targets_after(session: PatchSession, number: int) -> dict[int, Target]:
    """Where callers are led once generation *number* is applied; the host's own with 0."""
    found: dict[int, Target] = {}
    for generation in counted(session):
        if generation.number > number:
            break
        if generation.undo_to is not None:
            found = undone(session, found, generation.undo_to)
        else:
            own = targets_of(generation.number, generation.places)
            found = own if generation.complete else {**found, **own}
    return found


def targets_of(number: int, places: Iterable[Place]) -> dict[int, Target]:
    """Where a generation's own functions are; of several copies the first counts."""
    found: dict[int, Target] = {}
    for place in places:
        if place.redirected:
            found.setdefault(place.function, Target(number, place.address))
    return found


def undone(session: PatchSession, now: Targets, number: int) -> dict[int, Target]:
    """Where callers are led that are now led to *now*, once everything after generation *number* is undone.

    What the host has not and no earlier generation replaced stays as it is: there is nothing to lead back to.
    """
    then = targets_after(session, number)
    found = {}
    for function in now:
        host = session.functions[function].host
        if function in then:
            found[function] = then[function]
        elif host:
            found[function] = Target(0, host[0])
    return found


def runtime_address(session: PatchSession, target: Target) -> int:
    """Where *target* is in the process.

    Raises:
        PatchRefusal: nobody has said where its generation was loaded.
    """
    if target.generation == 0:
        return target.address + session.slide
    slide = session.generations[target.generation - 1].slide
    if slide is None:
        raise PatchRefusal(
            f"generation {target.generation} may be anywhere in the process: say where it was loaded, with session "
            f"FILE loaded {target.generation} ADDRESS"
        )
    return target.address + slide


def keys(session: PatchSession, targets: Targets, *, back: bool = False) -> Iterator[tuple[int, int, Target]]:
    """The addresses that are led somewhere: key of the table, function and target.

    A key is an address as if in the host's file, modulo 2**64: a consumer adds the host's slide to all of them. With
    *back* the host's own are led to the host as well, where a runtime applies again what a table has.
    """
    for function, target in targets.items():
        for address in session.functions[function].host:
            if target.generation:
                yield address, function, target
            elif back:
                yield address, function, Target(0, address)
    for generation in loaded(session):
        for address, functions in _functions_at(generation).items():
            wanted = {targets.get(function) for function in functions}
            newest = wanted.pop()
            if wanted or newest is None or newest == (generation.number, address):
                continue  # several functions were one there, and are no longer: nobody can tell which is meant
            yield key_of(session, generation, address), functions[0], newest
        for row in generation.forwarders:  # somebody may have kept what a table had
            now = targets.get(row.function)
            if now is not None and now != (row.generation, row.target):
                yield key_of(session, generation, row.address), row.function, now


def key_of(session: PatchSession, generation: Generation, address: int) -> int:
    """The table's key for the static *address* in a generation."""
    return (address + (generation.slide or 0) - session.slide) % WORD


def _functions_at(generation: Generation) -> dict[int, list[int]]:
    """Address in a patch -> the functions that begin there."""
    found: dict[int, list[int]] = {}
    for place in generation.places:
        found.setdefault(place.address, []).append(place.function)
    return found


class Registered(Row):
    """A session that knows the functions of one more patch."""

    session: PatchSession
    places: tuple[Place, ...]


def register(
    session: PatchSession,
    replaced: Replaced,
    in_earlier: Sequence[tuple[int, Replaced]],
    is_redirected: Mapping[tuple[str, str], bool],
) -> Registered:
    """Which functions of the session the functions of a new patch are.

    Args:
        session: as it is before.
        replaced: what the patch replaces in the host.
        in_earlier: number of an earlier generation, and what the patch replaces in it.
        is_redirected: object and name of a function of the patch -> whether callers are led there; those that are not
            in it are.
    """
    book = _Book(session)
    rows: dict[tuple[str, str, int], list[tuple[int, Replacement]]] = {}
    for number, found in ((0, replaced), *in_earlier):
        for item in found.functions:
            rows.setdefault((item.object, item.name, item.address), []).append((number, item))
    new = []
    for (title, name, address), items in rows.items():
        function = book.function(name, [(number, copy.static_address) for number, row in items for copy in row.copies])
        new.append((function, address, is_redirected.get((title, name), True)))
    return book.registered(new)


class _Book:
    """The functions of a session while those of one more patch are matched with them.

    Two functions of the program that are one in a patch (aliases, identical code folding) stay two: a later edit may
    part them again. What the host has at one address is one function, and the rules of ``replaced`` see to it that
    nothing is matched by an address that others share.
    """

    def __init__(self, session: PatchSession) -> None:
        self._session = session
        self._names = [function.name for function in session.functions]
        self._hosts = [dict.fromkeys(function.host) for function in session.functions]
        self._places = {generation.number: list(generation.places) for generation in session.generations}
        self._same = list(range(len(session.functions)))  # a function that turned out to be another one -> that one
        self._in_host = {address: index for index, hosts in enumerate(self._hosts) for address in hosts}
        self._in_patch: dict[tuple[int, int], list[int]] = {}
        for number, places in self._places.items():
            for place in places:
                self._in_patch.setdefault((number, place.address), []).append(place.function)

    def function(self, name: str, copies: Sequence[tuple[int, int]]) -> int:
        """The function that is at all of *copies*, generation (0: the host) and static address each."""
        hosts = [address for number, address in copies if not number]
        patches = [copy for copy in copies if copy[0]]
        index = self._of_host(hosts)
        if index is None:
            index = self._of_patches(name, patches, hosted=bool(hosts))
        if index is None:
            index = len(self._names)
            self._names.append(name)
            self._hosts.append({})
            self._same.append(index)
        self._hosts[index] |= dict.fromkeys(hosts)
        self._in_host |= dict.fromkeys(hosts, index)
        for number, address in patches:
            known = self._in_patch.setdefault((number, address), [])
            if index not in map(self._one, known):
                known.append(index)
                # Nobody replaced it before: its own generation led no caller of the host's there.
                self._places[number].append(Place(index, address, not self._hosts[index]))
        return index

    def _of_host(self, addresses: Sequence[int]) -> int | None:
        """The function that the host has at one of *addresses*; copies of one function may have come to light later."""
        found = sorted({self._one(self._in_host[address]) for address in addresses if address in self._in_host})
        for other in found[1:]:
            self._same[other] = found[0]
            self._hosts[found[0]] |= self._hosts[other]
        return found[0] if found else None

    def _of_patches(self, name: str, copies: Sequence[tuple[int, int]], *, hosted: bool) -> int | None:
        """The function that earlier patches have at *copies*; one of the host's at another address it cannot be."""
        found = {self._one(index) for copy in copies for index in self._in_patch.get(copy, ())}
        fitting = sorted(index for index in found if not (hosted and self._hosts[index]))
        if len(fitting) > 1:
            fitting = [index for index in fitting if self._names[index] == name]
        return fitting[0] if len(fitting) == 1 else None

    def _one(self, index: int) -> int:
        while self._same[index] != index:
            index = self._same[index]
        return index

    def registered(self, new: Sequence[tuple[int, int, bool]]) -> Registered:
        """The session, its functions numbered without gaps, and the new patch's: function, address, redirected."""
        kept = [index for index in range(len(self._names)) if self._same[index] == index]
        number_of = {index: number for number, index in enumerate(kept)}

        def renumbered(places: Iterable[tuple[int, int, bool]]) -> tuple[Place, ...]:
            rows = [Place(number_of[self._one(index)], address, led) for index, address, led in places]
            return tuple(dict.fromkeys(rows))

        functions = tuple(Function(self._names[index], tuple(sorted(self._hosts[index]))) for index in kept)
        generations = tuple(
            generation._replace(
                places=renumbered(self._places[generation.number]),
                forwarders=tuple(
                    row._replace(function=number_of[self._one(row.function)]) for row in generation.forwarders
                ),
            )
            for generation in self._session.generations
        )
        session = self._session._replace(functions=functions, generations=generations)
        return Registered(session, renumbered(new))
