"""Which objects of earlier generations a patch has to have as well, to be complete by itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence

from stubgen.common.files import read_input
from stubgen.errors import InputError, PatchRefusal
from stubgen.generations.redirections import counted
from stubgen.generations.state import Generation, PatchSession, Unit
from stubgen.image import Image
from stubgen.origin.account import symbols_of
from stubgen.resolve.needed import open_objects


def units_after(session: PatchSession, number: int) -> dict[str, tuple[Unit, Generation]]:
    """Path -> the newest object there that counts once generation *number* is applied, and its generation."""
    found: dict[str, tuple[Unit, Generation]] = {}
    for generation in counted(session):
        if generation.number > number:
            break
        if generation.undo_to is not None:
            found = units_after(session, generation.undo_to)
        found |= {unit.path: (unit, generation) for unit in generation.units}
    return found


def objects_to_relink(session: PatchSession, given: Sequence[str]) -> tuple[str, ...]:
    """The objects of earlier generations that still hold beside the *given* ones.

    An object takes the place of one of the same path, and of one from a source file of the same name that defines
    something for other files that it defines too.

    Raises:
        PatchRefusal: an object has changed since it was linked, or is gone.
    """
    units = units_after(session, len(session.generations))
    for path in given:
        units.pop(os.path.realpath(path), None)
    if not units:
        return ()
    new = [image for path in given for image in _images(path)]
    found = []
    for unit, generation in units.values():
        try:
            content = read_input(unit.path)
        except InputError:
            content = b""
        if hashlib.sha256(content).hexdigest() == unit.digest:
            if not any(_takes_place_of(image, old) for old in _images(unit.path) for image in new):
                found.append(unit.path)
            continue
        raise PatchRefusal(
            f"{unit.path}: was linked into generation {generation.number} and has {'changed' if content else 'gone'} "
            f"since: give the new one among the objects, or restore it"
        )
    return tuple(found)


def _images(path: str) -> Iterable[Image]:
    return open_objects(path).images


def _takes_place_of(new: Image, old: Image) -> bool:
    return bool(new.source_file) and new.source_file == old.source_file and bool(_strong(new) & _strong(old))


def _strong(image: Image) -> set[bytes]:
    """The names of which a link may have but one definition: this object's."""
    return {symbol.name for symbol in symbols_of(image) if not symbol.static and not symbol.weak}
