"""Opens a file of either format; only the format that the file has is imported."""

from __future__ import annotations

import os

from stubgen.common.arguments import path
from stubgen.common.files import read_input
from stubgen.common.view import View
from stubgen.errors import MalformedInput, UnsupportedInput, UsageError
from stubgen.image import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MACHO_MAGICS = frozenset(
    bytes.fromhex(magic) for magic in ["cffaedfe", "feedfacf", "cefaedfe", "feedface", "cafebabe", "cafebabf"]
)
_UNIVERSAL_MAGICS = (bytes.fromhex("cafebabe"), bytes.fromhex("cafebabf"))
_OTHER_MAGICS = (
    (b"BC\xc0\xde", "LLVM bitcode (an LTO object): recompile it without -flto"),
    (b"\xde\xc0\x17\x0b", "LLVM bitcode (an LTO object): recompile it without -flto"),
    (b"!<arch>\n", "an archive, not a linked program or library"),
    (b"!<thin>\n", "an archive, not a linked program or library"),
    (b"MZ", "a Windows program; Windows is not handled"),
    (b"\0asm", "WebAssembly, whose code cannot be patched by address"),
)

SOURCES = {
    **dict.fromkeys((".c", ".i"), "C"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".C", ".ii"), "C++"),
    **dict.fromkeys((".s", ".S", ".asm"), "assembly"),
    ".m": "Objective-C",
    ".mm": "Objective-C++",
    ".rs": "Rust",
    ".swift": "Swift",
    ".zig": "Zig",
}
"""A file's ending -> the language of its source, for who gives that instead of the object."""


def has_object_magic(data: Any) -> bool:
    """Whether *data* begins like a file of either format."""
    magic = bytes(data[:4])
    return magic == b"\x7fELF" or magic in _MACHO_MAGICS


def arm64_slice(data: Any, name: str) -> Any:
    """The ARM64 part of a universal file, which may be an archive; any other file as it is."""
    if bytes(data[:4]) not in _UNIVERSAL_MAGICS:
        return data
    from stubgen.macho.reader import thin

    return thin(View(data, name)).data


def open_image(source: Any, name: str | None = None, *, check_places: bool = True) -> Image:
    """What is in a program, library, bundle or object of either format.

    Args:
        source: the file's path (``str`` or ``os.PathLike``), or its content: anything with the buffer protocol.
        name: what complaints call it; by default the path.
        check_places: of an object, see that it has the sections that its symbols and relocations are of.

    Raises:
        UnreadableInput: there is no such file, or it may not be read.
        MalformedInput: it is empty, cut off, of no known format, or an object without sections that it names.
        UnsupportedInput: it is a file of another machine or kind; the message says which.
        UsageError: *source* is neither.
    """
    if isinstance(source, str | os.PathLike):
        file = path("source", source)
        data, name = read_input(file), name or file
    else:
        data, name = source, name or "the file"
    try:
        magic = bytes(memoryview(data)[:8])
    except TypeError as error:
        raise UsageError(f"{name}: {source!r} is neither a path nor a file's content") from error
    if not magic:
        raise MalformedInput(f"{name}: is empty")
    if magic[:4] == b"\x7fELF":
        from stubgen.image.elf import ElfImage

        elf = ElfImage(data, name)
        if check_places:
            elf.file.check_places()
        return elf
    if magic[:4] in _UNIVERSAL_MAGICS:
        half = arm64_slice(data, name)
        magic = bytes(memoryview(half)[:8])
        data = half if magic[:4] not in _MACHO_MAGICS else data
    if magic[:4] in _MACHO_MAGICS:
        from stubgen.image.macho import MachOImage

        macho = MachOImage(data, name)
        if check_places:
            macho.file.check_places()
        return macho
    for prefix, what in _OTHER_MAGICS:
        if magic.startswith(prefix):
            raise UnsupportedInput(f"{name}: is {what}")
    language = SOURCES.get(os.path.splitext(name)[1])
    if language:
        raise UnsupportedInput(f"{name}: is {language} source: compile it first, and give the object")
    raise MalformedInput(f"{name}: is neither an ELF nor a Mach-O file")
