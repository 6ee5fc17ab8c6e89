"""Which objects of earlier generations a patch has to have as well, to be complete by itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence

from stubgen.common.files import read_input
from stubgen.common.placeholders import GENERATION, expand
from stubgen.common.row import Row
from stubgen.errors import InputError, PatchRefusal, UsageError
from stubgen.generations.redirections import counted
from stubgen.generations.state import Generation, PatchSession, Unit
from stubgen.image import Image
from stubgen.origin.account import symbols_of
from stubgen.resolve.objects import open_objects


class KeptObject(Row):
    """Where an object will be after the link, which reads it elsewhere."""

    path: str  # may have {generation} in it; empty: nowhere
    unit: str  # what it was compiled from, which tells an object from others better than its path


def units_of(objects: Sequence[str], kept: Mapping[str, KeptObject], number: int) -> tuple[Unit, ...]:
    """The *objects* of generation *number*, for the session; *kept* says of some where they will be.

    Raises:
        UnreadableInput: one cannot be read.
    """
    units = []
    for path in objects:
        real = os.path.realpath(path)
        place = kept.get(path, KeptObject(real, real))
        there = os.path.realpath(expand(place.path, {GENERATION: str(number)})) if place.path else ""
        units.append(Unit(there, digest_of(path), place.unit))
    return tuple(units)


def digest_of(path: str) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        UnreadableInput: it cannot be read.
    """
    return hashlib.sha256(read_input(path)).hexdigest()


def relinked_units(
    session: PatchSession, objects: Sequence[str], kept: Mapping[str, KeptObject], number: int
) -> tuple[tuple[Unit, ...], tuple[Unit, ...]]:
    """The given *objects* of generation *number*, and those of earlier ones that still hold beside them.

    An object takes the place of those of its unit, and of one from a source file of the same name that defines
    something for other files that it defines too.

    Raises:
        UsageError: an object will not be there for the next patch, or in the place of another unit's.
        PatchRefusal: an object has changed since it was linked, or is gone.
    """
    given = units_of(objects, kept, number)
    names = {unit.name for unit in given}
    held = [
        (unit, generation)
        for of_unit in units_after(session, len(session.generations)).values()
        for unit, generation in of_unit
        if unit.name not in names
    ]
    new = [image for path in objects for image in _images(path)] if held else []
    again = []
    for unit, generation in held:
        _refuse_changed(unit, generation)
        if not any(_takes_place_of(image, old) for old in _images(unit.path) for image in new):
            again.append(unit)
    places = {unit.path: unit.name for unit in again}
    for unit in given:
        if not unit.path:
            raise UsageError(
                f"{unit.name}: its object is linked into the next patch as well: keep it, with --objects DIR"
            )
        if unit.path in places:
            raise UsageError(
                f"{unit.path}: is the object of {places[unit.path]}, which is linked again: keep those of {unit.name} "
                f"elsewhere, as --objects 'objects-{{generation}}' does"
            )
    return given, tuple(again)


def units_after(session: PatchSession, number: int) -> dict[str, list[tuple[Unit, Generation]]]:
    """Name of a unit -> its newest objects that count once generation *number* is applied, each with its generation."""
    found: dict[str, list[tuple[Unit, Generation]]] = {}
    for generation in counted(session):
        if generation.number > number:
            break
        if generation.undo_to is not None:
            found = units_after(session, generation.undo_to)
        own: dict[str, list[tuple[Unit, Generation]]] = {}
        for unit in generation.units:
            own.setdefault(unit.name, []).append((unit, generation))
        found = own if generation.complete and generation.undo_to is None else {**found, **own}
    return found


def _refuse_changed(unit: Unit, generation: Generation) -> None:
    """Refuse an object that is no longer what was linked."""
    why = "was not kept"
    if unit.path:
        try:
            if digest_of(unit.path) == unit.digest:
                return
            why = "has changed since"
        except InputError:
            if os.path.exists(unit.path):
                raise
            why = "is gone"
    raise PatchRefusal(
        f"{unit.path or unit.name}: the object that was linked into generation {generation.number} {why}: give the new "
        f"one among the objects, or restore it"
    )


def _images(path: str) -> Iterable[Image]:
    return open_objects(path).images


def _takes_place_of(new: Image, old: Image) -> bool:
    return bool(new.source_file) and new.source_file == old.source_file and bool(_strong(new) & _strong(old))


def _strong(image: Image) -> set[bytes]:
    """The names of which a link may have but one definition: this object's."""
    return {symbol.name for symbol in symbols_of(image) if not symbol.static and not symbol.weak}
