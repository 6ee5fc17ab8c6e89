"""Which variables of the patch what runs at its load may set: those that an initialiser refers to, by whatever way."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.image import Image, Variable


class Initialisers:
    """What the initialisers of all objects of a patch reach."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._reaches = {id(image): image.reach for image in images}
        self._reached: dict[tuple[int, int], bytes] = {}  # object and piece of it -> an initialiser that reaches it
        self._reached_names: dict[bytes, bytes] = {}
        self._walk()

    def reaching(self, variable: Variable) -> bytes:
        """The name of an initialiser that may set *variable*; empty if none does."""
        if not variable.local and variable.name in self._reached_names:  # a common has no place
            return self._reached_names[variable.name]
        owner = id(variable.defined_in.image)
        reach = self._reaches.get(owner)
        return self._reached.get((owner, reach.piece_at(variable.place)), b"") if reach is not None else b""

    def _walk(self) -> None:
        """Follow every reference, beginning with the initialisers."""
        waiting = [
            ((owner, piece), name)
            for owner, reach in self._reaches.items()
            if reach is not None
            for piece, name in reach.initialisers()
        ]
        followed: set[int] = set()  # objects of which all that any piece refers to is waiting
        while waiting:
            at, name = waiting.pop()
            if at in self._reached:
                continue
            self._reached[at] = name
            owner, piece = at
            reach = self._reaches[owner]
            if reach is None or owner in followed:
                continue
            if reach.undivided:
                followed.add(owner)
            for target in reach.targets(piece):
                if isinstance(target, int):
                    waiting.append(((owner, target), name))
                elif target not in self._reached_names:
                    self._reached_names[target] = name
                    waiting += [(definition, name) for definition in self._defining(target)]

    def _defining(self, name: bytes) -> list[tuple[int, int]]:
        """Where the objects define *name*."""
        found = []
        for owner, reach in self._reaches.items():
            piece = None if reach is None else reach.definition(name)
            if piece is not None:
                found.append((owner, piece))
        return found
