"""What a link wrote: which build it is. A captured link asks for it, so this module imports next to nothing."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.image.identity import HostIdentity

BUILD_ID, UUID, CODE_DIGEST = "build id", "UUID", "code digest"
"""How a record says what tells a build from others, as ``stubgen.image.identity`` does."""


def identity_of_file(path: str | os.PathLike[str]) -> tuple[str, str] | None:
    """How the linked file at *path* is told from other builds, and its identity in hex; None where nothing tells it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _identity(file)
    except (OSError, ValueError, OverflowError):  # no regular file, or a broken one
        return None
    finally:
        os.close(file)


def host_identity_of_file(path: str | os.PathLike[str]) -> HostIdentity | None:
    """The same for who compares it."""
    from stubgen.image.identity import named_identity

    found = identity_of_file(path)
    return None if found is None else named_identity(found[0], bytes.fromhex(found[1]))


def identity_of_host(path: str | os.PathLike[str]) -> HostIdentity | None:
    """The same of a host, by whose name its link is looked for.

    Raises:
        UnreadableInput: there is no such file.
    """
    found = host_identity_of_file(path)
    if found is None and not os.path.lexists(path):
        from stubgen.errors import UnreadableInput

        raise UnreadableInput(f"{os.fspath(path)}: no such file")
    return found


def _identity(file: int) -> tuple[str, str] | None:
    size = os.fstat(file).st_size

    def read(offset: int, count: int) -> bytes:
        return os.pread(file, min(count, max(size - offset, 0)), offset)

    from stubgen.elf import identity as elf

    magic = read(0, 6)
    if magic == elf.MAGIC:
        build_id, ranges, kind = elf.build_id, elf.code_ranges, BUILD_ID
    else:
        from stubgen.macho import identity as macho

        if magic[:4] != macho.MAGIC:
            return None
        build_id, ranges, kind = macho.build_id, macho.code_ranges, UUID
    value = build_id(read)
    if value:
        return kind, value.hex()
    from stubgen.common.code_digest import code_digest

    digest = code_digest(ranges(read), read)
    return None if digest is None else (CODE_DIGEST, digest.hex())
