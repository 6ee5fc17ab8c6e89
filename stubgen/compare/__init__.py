"""The compare phase: which of a patch's functions differ from what the host has, by content and by meaning."""

from __future__ import annotations

from collections.abc import Sequence

from stubgen.compare.equality import Equality
from stubgen.compare.parts import HostPlaces, ObjectParts
from stubgen.image import Image
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage

__all__ = ["Equality", "host_places", "object_parts"]


def object_parts(images: Sequence[Image]) -> list[ObjectParts]:
    """The objects *images*, all of one format, by the part."""
    return [_object_parts(number, image) for number, image in enumerate(images)]


def _object_parts(number: int, image: Image) -> ObjectParts:
    if isinstance(image, ElfImage):
        from stubgen.compare.elf import ElfParts

        return ElfParts(number, image)
    from stubgen.compare.macho import MachOParts

    assert isinstance(image, MachOImage)  # noqa: S101  # there is no third format
    return MachOParts(number, image)


def host_places(image: Image) -> HostPlaces:
    """The linked *image*, as far as its fields lead."""
    if isinstance(image, ElfImage):
        from stubgen.compare.elf import ElfPlaces

        return ElfPlaces(image)
    from stubgen.compare.macho import MachOPlaces

    assert isinstance(image, MachOImage)  # noqa: S101  # there is no third format
    return MachOPlaces(image)
