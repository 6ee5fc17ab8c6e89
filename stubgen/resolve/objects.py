"""Opens the objects that are in one file: an object, or an archive of them."""

from __future__ import annotations

import os

from stubgen.common.files import read_input
from stubgen.common.row import Row
from stubgen.errors import InputError
from stubgen.image import FileType, Image
from stubgen.image.archive import is_archive, is_thin, members
from stubgen.image.opening import arm64_slice, has_object_magic, open_image


class Opened(Row):
    """The objects in one file."""

    images: list[Image]
    optional: bool  # members of an archive, which count only when something refers to them
    whole: bool  # all of them lie in the file itself; a thin archive only names other files


def open_objects(path: str | os.PathLike[str], *, copied: bool = False) -> Opened:
    """The objects at *path*; *copied* into memory, for a process that outlives what others do to the file."""
    name = os.fspath(path)
    data = arm64_slice(read_input(path, copied=copied), name)
    if not is_archive(data):
        return Opened([_checked(open_image(data, name))], optional=False, whole=True)
    images = []
    for member in members(data, name):
        if has_object_magic(member.content):
            images.append(_checked(open_image(member.content, f"{name}({member.name})")))
        elif bytes(member.content[:4]) in (b"BC\xc0\xde", b"\xde\xc0\x17\x0b"):
            open_image(member.content, f"{name}({member.name})")  # raises: bitcode hides what it refers to
    return Opened(images, optional=True, whole=not is_thin(data))


def _checked(image: Image) -> Image:
    if image.file_type is not FileType.OBJECT:
        raise InputError(f"{image.name}: is a linked {image.file_type.value}; a patch is made of relocatable objects")
    return image
