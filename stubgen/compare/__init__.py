"""The compare phase: which of a patch's functions differ from what the host has, by content and by meaning."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.compare.equality import Equality
from stubgen.compare.parts import HostPlaces, ObjectParts
from stubgen.image import Image
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage

__all__ = ["Equality", "host_places", "object_parts"]


def object_parts(images: Sequence[Image], patch: Sequence[Image] | None = None) -> list[ObjectParts]:
    """The objects *images*, all of one format, by the part; *patch* are all objects of the patch, if that is more.

    A name that one of them defines weakly, and another one not, means the other's in both.
    """
    given_up = _given_up(images, images if patch is None else patch)
    return [_object_parts(number, image, given_up[number]) for number, image in enumerate(images)]


def _given_up(images: Sequence[Image], patch: Sequence[Image]) -> list[frozenset[bytes]]:
    """The weak definitions of each image that give way to another object's of the patch."""
    weak = [frozenset(image.weak_definitions()) for image in images]
    every = frozenset[bytes]().union(*weak)
    if not every:
        return weak
    strong = {name for image in patch for name in every.intersection(image.definitions()) - {*image.weak_definitions()}}
    return [names & strong for names in weak]


def _object_parts(number: int, image: Image, given_up: frozenset[bytes]) -> ObjectParts:
    if isinstance(image, ElfImage):
        from stubgen.compare.elf import ElfParts

        return ElfParts(number, image, given_up)
    from stubgen.compare.macho import MachOParts

    assert isinstance(image, MachOImage)  # noqa: S101  # there is no third format
    return MachOParts(number, image, given_up)


def host_places(image: Image) -> HostPlaces:
    """The linked *image*, as far as its fields lead."""
    if isinstance(image, ElfImage):
        from stubgen.compare.elf import ElfPlaces

        return ElfPlaces(image)
    from stubgen.compare.macho import MachOPlaces

    assert isinstance(image, MachOImage)  # noqa: S101  # there is no third format
    return MachOPlaces(image)
