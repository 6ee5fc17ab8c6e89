"""Opens whatever somebody wants to see: a patch, a stub object, a host, an object, an archive with its members."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from stubgen.common.files import read_input
from stubgen.errors import StubgenError, UnsupportedInput
from stubgen.image import FileType, Image
from stubgen.image.archive import is_archive, members
from stubgen.image.opening import arm64_slice, has_object_magic, open_image
from stubgen.listing import patch
from stubgen.listing.symbols import Listed
from stubgen.stub.find import Stub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OTHERS = (
    (b"BC\xc0\xde", "LLVM bitcode"),
    (b"\xde\xc0\x17\x0b", "LLVM bitcode"),
    (b"rust\0\0\0", "Rust metadata"),
)
"""How members begin that are no objects."""


def symbols_of(image: Image) -> list[Listed]:
    """The symbols of *image*, in the file's order."""
    if image.format == "elf":
        from stubgen.image.elf import ElfImage
        from stubgen.listing import elf

        assert isinstance(image, ElfImage)  # noqa: S101  # by its format
        return elf.symbols(image)
    from stubgen.image.macho import MachOImage
    from stubgen.listing import macho

    assert isinstance(image, MachOImage)  # noqa: S101  # there is no third format
    return macho.symbols(image)


class Opened:
    """One file, or one member of an archive, and what is in it; each part is found where somebody asks."""

    def __init__(self, image: Image, size: int) -> None:
        self.image = image
        self.size = size  # bytes

    @cached_property
    def symbols(self) -> list[Listed]:
        """Its symbols, in the file's order."""
        return symbols_of(self.image)

    @cached_property
    def stubs(self) -> list[Stub]:
        """Its stubs; those of a debug file are in the program."""
        return [] if self.image.is_debug_file else patch.stubs(self.image)

    @cached_property
    def slots(self) -> list[patch.FoundSlot]:
        """Its slots."""
        return patch.slots(self.image, self.symbols)

    @cached_property
    def role(self) -> str:
        """What kind of file it is."""
        return "debug file" if self.image.is_debug_file else self.image.file_type.value

    @property
    def needed_libraries(self) -> tuple[str, ...]:
        """What the loader loads with it; a debug file has no content there."""
        return () if self.image.is_debug_file else self.image.needed_libraries

    @property
    def install_name(self) -> str | None:
        """What the loader knows it by, likewise."""
        return None if self.image.is_debug_file else self.image.install_name

    @property
    def libc(self) -> str:
        """The C library that it runs on, likewise."""
        return "" if self.image.is_debug_file else self.image.libc

    @cached_property
    def is_patch(self) -> bool:
        """Whether it is a library that was linked with a stub object."""
        library = not self.image.is_debug_file and self.image.file_type in (FileType.LIBRARY, FileType.BUNDLE)
        return library and bool(self.stubs or self.slots)

    @cached_property
    def is_stub_object(self) -> bool:
        """Whether it is a stub object, or was merged with one."""
        return self.role == FileType.OBJECT.value and bool(self.stubs or self.slots)

    @cached_property
    def title(self) -> str:
        """What people call it."""
        if self.is_patch:
            return f"patch ({self.role})"
        return "stub object" if self.is_stub_object else self.role


class Member:
    """A member of an archive: opened, or why it is not."""

    def __init__(self, name: str, size: int, opened: Opened | None, why_not: str = "") -> None:
        self.name = name
        self.size = size
        self.opened = opened
        self.why_not = why_not


class Archive:
    """An archive, an ``.rlib`` among them, and its members."""

    def __init__(self, name: str, size: int, found: list[Member]) -> None:
        self.name = name
        self.size = size
        self.members = found


def open_any(path: str) -> Opened | Archive:
    """What is at *path*.

    Raises:
        UnreadableInput: there is no such file, or it may not be read.
        MalformedInput: it is empty, cut off or of no known format.
        UnsupportedInput: it is a file of another machine or kind.
    """
    content = read_input(path)
    data = arm64_slice(content, path)
    if not is_archive(data):
        return Opened(open_image(data, path), len(data))
    return Archive(path, len(data), list(_members(data, path)))


def _members(data: Any, path: str) -> Iterator[Member]:
    for member in members(data, path):
        content, size = member.content, len(member.content)
        other = next((what for magic, what in _OTHERS if bytes(content[: len(magic)]) == magic), "")
        if not other and not has_object_magic(content):
            other = "no object"
        if other:
            yield Member(member.name, size, None, other)
            continue
        name = f"{path}({member.name})"
        try:
            yield Member(member.name, size, Opened(open_image(content, name), size))
        except UnsupportedInput as error:
            yield Member(member.name, size, None, _reason(error, name))


def _reason(error: StubgenError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ").removeprefix("is ")
