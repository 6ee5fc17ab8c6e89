"""The host phase: the running program's file, checked to be one and to be the right one."""

from __future__ import annotations

import os
from dataclasses import dataclass

from stubgen.errors import BuildIdRefusal, InputError, UsageError
from stubgen.files import open_input
from stubgen.image import Image, Role
from stubgen.images import open_image
from stubgen.index import Identity, use_index


@dataclass(frozen=True, slots=True)
class Host:
    """The program that the patch is loaded into."""

    path: str
    image: Image


def open_host(path: str | os.PathLike[str], *, build_id: str | None = None, cache: bool = True) -> Host:
    """Open the host's file.

    Args:
        path: an executable, shared library or bundle.
        build_id: the build id (ELF) or UUID (Mach-O) that the running process reports, in hex; dashes and
            case do not matter.
        cache: use the host's name index from the user's cache folder, if it is there.

    Raises:
        InputError: the file is no such thing, or has no symbols to look in.
        BuildIdRefusal: it is another build than the one that runs.
        UsageError: *build_id* is not hexadecimal.
    """
    name = os.fspath(path)
    data, status = open_input(path)
    image = open_image(data, name)
    if image.role is Role.OBJECT:
        raise InputError(f"{name}: is a relocatable object; the host must be a linked program or library")
    if not image.has_symbols:
        raise InputError(f"{name}: is stripped: it has no symbols; give the unstripped file of the same build")
    if build_id is not None:
        _check_build_id(image, build_id)
    if cache:
        use_index(image, name, Identity.of(status))
    return Host(name, image)


def _check_build_id(image: Image, expected: str) -> None:
    try:
        wanted = bytes.fromhex(expected.replace("-", ""))
    except ValueError as error:
        raise UsageError(f"build id '{expected}' is not hexadecimal") from error
    if image.build_id is None:
        raise BuildIdRefusal(f"{image.name}: has no build id, so it cannot be told to be build {wanted.hex()}")
    if image.build_id != wanted:
        raise BuildIdRefusal(
            f"{image.name}: is build {image.build_id.hex()}, but the process runs build {wanted.hex()}"
        )
