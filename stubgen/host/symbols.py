"""The host's symbols where they are apart from it: in a debug file, or a dSYM.

Distributions and release builds strip programs, and keep what they strip in a file of its own, which debuggers find
by the build id, by the name in ``.gnu_debuglink``, or beside the program. It is used only if it is of the same build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from zlib import crc32

from stubgen.common.files import open_input, read_input
from stubgen.errors import BuildIdRefusal, InputError, UsageError
from stubgen.image import FileType, Image
from stubgen.image.opening import open_image

DEBUG_FOLDER = "/usr/lib/debug"
"""Where distributions put debug files (GDB, "Debugging Information in Separate Files")."""
BUNDLE = ("Contents", "Resources", "DWARF")
"""Where in a ``.dSYM`` folder its file is."""

HINT = "give the unstripped file of the same build, or its debug file with --symbols"


class OpenedHost:
    """A host's file, opened, with its symbols.

    Args:
        path: the host.
        symbols: the file that has its symbols; None where debuggers look.
        copied: hold both in memory.

    Raises:
        InputError: a file is not what it must be.
        BuildIdRefusal: the symbols are another build's.
    """

    def __init__(self, path: str, symbols: str | None = None, *, copied: bool = False) -> None:
        data, self.status = open_input(path, copied=copied)
        self.image = open_image(data, path)
        if self.image.is_debug_file:
            raise InputError(
                f"{path}: is a debug file, without the program's code and data: give the program itself as the host, "
                f"and this file with --symbols"
            )
        if self.image.file_type is FileType.OBJECT:
            raise InputError(f"{path}: is a relocatable object; the host must be a linked program or library")
        self.symbols = _file_in(symbols, path) if symbols is not None else None
        if self.symbols is not None:
            use_symbols(self.image, self.symbols, copied=copied)
        elif self.image.lost_local_symbols:
            self.symbols = _found(self.image, path, copied=copied)
        elif not self.image.has_debug_info:
            _found(self.image, path, names=False, copied=copied)
        if self.symbols is not None:
            self.status = os.stat(self.symbols)  # which file has most of what is looked up


def use_symbols(image: Image, path: str, *, names: bool = True, copied: bool = False) -> None:
    """Have *image* look its *names* up in the file at *path*, and what debug information says.

    Raises:
        InputError: that is no file with symbols.
        BuildIdRefusal: it is another build's, or nothing tells.
    """
    content = read_input(path, copied=copied)
    other = open_image(content, path)
    if other.format != image.format:
        raise InputError(f"{path}: is in another format than the host {image.name}")
    if not other.has_full_symbols:
        raise InputError(
            f"{path}: has no symbol table: --symbols names an unstripped file of the host's build, or its debug file"
        )
    if image.build_id is None or other.build_id is None:
        link = image.debug_link
        if link is None or link[1] != crc32(content):
            raise BuildIdRefusal(
                f"{path}: nothing says that it is of the same build as {image.name}: link the host with --build-id"
            )
    elif image.build_id != other.build_id:
        raise BuildIdRefusal(
            f"{path}: is of build {other.build_id.hex()}, and {image.name} is build {image.build_id.hex()}"
        )
    image.use_symbols(other, names=names)


def _file_in(path: str, host: str) -> str:
    """The file at *path*, or in the ``.dSYM`` folder there."""
    if not os.path.isdir(path):
        return path
    folder = os.path.join(path, *BUNDLE)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    own = [name for name in names if name == os.path.basename(host)] or names
    if len(own) != 1:
        raise UsageError(f"{path}: is a folder with {len(own)} files of symbols: name the one of {host}")
    return os.path.join(folder, own[0])


def _found(image: Image, path: str, *, names: bool = True, copied: bool) -> str | None:
    """The debug file that lies where debuggers look for it; *image* uses it then, its *names* or debug info alone."""
    for place in _places(image, path):
        if os.path.isfile(place):
            try:
                use_symbols(image, place, names=names, copied=copied)
            except (InputError, BuildIdRefusal) as error:  # another build's, which somebody left there
                image.passed_over = image.passed_over or str(error)
                continue
            return place
    return None


def _places(image: Image, path: str) -> Iterator[str]:
    folder, name = os.path.split(os.path.abspath(path))
    if image.format == "macho":
        yield os.path.join(f"{os.path.join(folder, name)}.dSYM", *BUNDLE, name)
        return
    if image.build_id is not None and len(image.build_id) > 1:
        digits = image.build_id.hex()
        yield os.path.join(DEBUG_FOLDER, ".build-id", digits[:2], f"{digits[2:]}.debug")
    if image.debug_link is not None and os.path.basename(image.debug_link[0]) == image.debug_link[0]:
        link = image.debug_link[0]
        yield from (os.path.join(folder, link), os.path.join(folder, ".debug", link))
        yield os.path.join(DEBUG_FOLDER, folder.lstrip(os.sep), link)
