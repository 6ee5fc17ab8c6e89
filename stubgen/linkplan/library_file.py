"""A library of a link, and what its file is."""

from __future__ import annotations

from enum import Enum

from stubgen.common.row import Row


class FileKind(Enum):
    """What a library's file is, by its first bytes."""

    ARCHIVE = "archive"
    OBJECT = "object"
    SHARED = "shared library"  # also an Apple text-based stub, which stands for one
    SCRIPT = "linker script"


class LibraryFile(Row):
    """A library of the host's link that is a file here."""

    path: str
    kind: FileKind
    """OBJECT: one between ``--start-lib`` and ``--end-lib``, which counts as a member of an archive."""
    whole: bool
    """Every member was linked, wanted or not."""
    found: str
    """How the command names it, and where that was found: ``-lfoo in build/lib``."""

    @property
    def is_archive(self) -> bool:
        """Whether members are taken from it by the names that they define."""
        return self.kind in (FileKind.ARCHIVE, FileKind.OBJECT)


def file_kind(path: str) -> FileKind | None:
    """What the file at *path* is; None where it is no library, or cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    if head[:4] in (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"):
        return _universal_kind(path)
    return _kind(head)


def _kind(head: bytes) -> FileKind | None:
    if head[:8] in (b"!<arch>\n", b"!<thin>\n"):
        return FileKind.ARCHIVE
    if head[:4] == b"\x7fELF":
        return FileKind.SHARED if head[16:18] == b"\x03\x00" else FileKind.OBJECT  # e_type: ET_DYN
    if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
        return FileKind.OBJECT if head[12:16] == b"\x01\0\0\0" else FileKind.SHARED  # filetype: MH_OBJECT
    if head[:4] in (b"BC\xc0\xde", b"\xde\xc0\x17\x0b"):
        return FileKind.OBJECT
    if head.startswith(b"--- ") or head.lstrip()[:1] == b"{":  # a text-based stub, in YAML or JSON
        return FileKind.SHARED
    return FileKind.SCRIPT if head and b"\0" not in head else None


def _universal_kind(path: str) -> FileKind | None:
    """What the ARM64 part of a universal file is."""
    from stubgen.common.files import read_input
    from stubgen.errors import StubgenError
    from stubgen.image.opening import arm64_slice

    try:
        return _kind(bytes(arm64_slice(read_input(path), path)[:4096]))
    except StubgenError:
        return None
