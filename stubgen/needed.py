"""The needed phase: what the patch's objects refer to and none of them defines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stubgen.archive import is_archive, members
from stubgen.errors import InputError, UsageError
from stubgen.files import read_input
from stubgen.images import Image, Reference, Role, has_object_magic, open_image

if TYPE_CHECKING:
    from macho.reader import BuildVersion


@dataclass(frozen=True, slots=True)
class Needed:
    """The names that something outside the patch must supply."""

    format: str  # "elf" or "macho"
    references: tuple[Reference, ...]
    """In order of first use; weak only where every use is."""
    users: dict[bytes, list[int]]
    """Spelling -> indexes into ``inputs`` of the objects that use it."""
    inputs: tuple[str, ...]
    """The objects that were read, an archive's member as ``archive(member)``."""
    features: int
    """ELF: GNU_PROPERTY_AARCH64_FEATURE_1_* bits that any object carries."""
    platforms: tuple[BuildVersion, ...]
    """Mach-O: the objects' distinct platforms and minimum OS versions."""


def read_needed(paths: Sequence[str | os.PathLike[str]]) -> Needed:
    """What the objects and archives at *paths* need, all taken as one set.

    An ``.rlib``'s metadata and other members that are not objects are skipped.

    Raises:
        UsageError: there is no object.
        InputError: a file is not a relocatable ARM64 object or archive, or the formats are mixed.
    """
    if not paths:
        raise UsageError("no patch object was given")
    return needed_of(image for path in paths for image in _open_objects(path))


def needed_of(images: Iterable[Image]) -> Needed:
    """What already opened objects need."""
    first: dict[bytes, Reference] = {}
    users: dict[bytes, list[int]] = {}
    defined: set[bytes] = set()
    inputs: list[str] = []
    formats: dict[str, str] = {}
    platforms: dict[BuildVersion, None] = {}
    features = 0
    for number, image in enumerate(images):
        inputs.append(image.name)
        formats.setdefault(image.format, image.name)
        features |= image.features
        if image.build_version is not None:
            platforms[image.build_version] = None
        defined.update(image.definitions())
        for reference in image.references():
            known = first.get(reference.spelling)
            if known is None or (known.weak and not reference.weak):
                first[reference.spelling] = reference
            users.setdefault(reference.spelling, []).append(number)
    if not inputs:
        raise InputError("the archives hold no object")
    if len(formats) > 1:
        elf, macho = formats["elf"], formats["macho"]
        raise InputError(f"{macho}: is a Mach-O object, but {elf} is an ELF object: they cannot be linked together")
    return Needed(
        format=next(iter(formats)),
        references=tuple(r for r in first.values() if r.name not in defined),
        users=users,
        inputs=tuple(inputs),
        features=features,
        platforms=tuple(platforms),
    )


def _open_objects(path: str | os.PathLike[str]) -> Iterator[Image]:
    name = os.fspath(path)
    data = read_input(path)
    if not is_archive(data):
        yield _checked(open_image(data, name))
        return
    for member in members(data, name):
        if has_object_magic(member.content):
            yield _checked(open_image(member.content, f"{name}({member.name})"))
        elif bytes(member.content[:4]) in (b"BC\xc0\xde", b"\xde\xc0\x17\x0b"):
            open_image(member.content, f"{name}({member.name})")  # raises: bitcode hides what it refers to


def _checked(image: Image) -> Image:
    if image.role is not Role.OBJECT:
        raise InputError(f"{image.name}: is a linked {image.role.value}; a patch is made of relocatable objects")
    return image
