"""A copy of an object file under edit: what the editors of both formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from stubgen.common.fields import align_up, narrow
from stubgen.common.view import BytesLike, View

SectionT = TypeVar("SectionT")


class ObjectCopy(ABC, Generic[SectionT]):
    """A copy of an object file under edit: what the editors of both formats share."""

    def __init__(self, view: View, strings: bytes) -> None:
        self.name = view.name
        self.content = bytearray(view.data)
        self.strings = bytearray(strings)
        self.strings_grew = False

    @abstractmethod
    def file_offset(self, section: SectionT, offset: int, size: int) -> int:
        """Byte offset in the file of the *size* bytes at byte *offset* of *section*.

        Raises:
            MalformedInput: not in the section.
        """

    def read(self, section: SectionT, offset: int, size: int) -> bytes:
        """*size* bytes at byte *offset* of *section*, as edited so far."""
        start = self.file_offset(section, offset, size)
        return bytes(self.content[start : start + size])

    def word(self, section: SectionT, offset: int) -> int:
        """The instruction at byte *offset* of *section*."""
        return int.from_bytes(self.read(section, offset, 4), "little")

    def overwrite(self, section: SectionT, offset: int, content: bytes) -> None:
        """Overwrite bytes at byte *offset* of *section*."""
        start = self.file_offset(section, offset, len(content))
        self.content[start : start + len(content)] = content

    def add_string(self, text: bytes) -> int:
        """Byte offset of *text*, appended to the string table."""
        self.strings_grew = True
        offset = narrow(len(self.strings), 32, "a name's offset", self.name)
        self.strings += text + b"\0"
        return offset

    def append(self, content: BytesLike, alignment: int) -> int:
        """Byte offset of *content*, appended to the file."""
        self.content += bytes(align_up(len(self.content), alignment) - len(self.content))
        offset = len(self.content)
        self.content += content
        return offset
