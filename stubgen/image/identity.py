"""Whose a patch is: a note in the stub object, and so in every patch that is linked with it.

A runtime, a debugger and the commands hold it against the process. docs/identity.md has its bytes for readers in other
languages.
"""

from __future__ import annotations

from stubgen.common.fields import align_up
from stubgen.common.record import U32, U64, Bytes16, Record
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.errors import MalformedInput, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.common.arguments import StrPath
    from stubgen.image import Image

ELF_OWNER, ELF_KIND, ELF_SECTION = b"stubgen", 1, ".note.stubgen"
MACHO_SECTION = "__TEXT,__stubgen_id"

LAYOUT = 1
"""Version of the note's layout."""
NO_SESSION = bytes(16)

BUILD_ID, UUID, CODE_DIGEST = 1, 2, 3
"""How a host is told from others: ``.note.gnu.build-id``, LC_UUID, or SHA-256 of its code."""
_KINDS = {BUILD_ID: "build id", UUID: "UUID", CODE_DIGEST: "code digest"}


class HostIdentity(Row):
    """What tells one build of a program from others, stripped or not."""

    kind: int
    """How it is told: 1 build id, 2 UUID, 3 digest of its code; 0: nothing tells."""
    value: bytes
    """The build id, UUID or digest."""

    def __str__(self) -> str:
        """``build id 0123abcd``, as people compare it with ``readelf -n``."""
        if self.kind == CODE_DIGEST:  # nobody compares it with anything
            return f"{_KINDS[self.kind]} {self.value[:8].hex()}..."
        return f"{_KINDS[self.kind]} {self.value.hex()}" if self.kind else "unknown build"

    @property
    def kind_name(self) -> str | None:
        """The kind in words."""
        return _KINDS.get(self.kind)

    def contradicts(self, other: HostIdentity) -> bool:
        """Whether both are known, in the same way, and are not the same."""
        return bool(self.kind) and self.kind == other.kind and self.value != other.value


class PatchIdentity(Row):
    """What a patch's note says."""

    slide: int
    """Runtime address less address in the file, of the host, in bytes."""
    host: HostIdentity
    """Which build of the host it was linked for."""
    generation: int = 0
    """Number of the patch in its session; 0: it is in none."""
    session: bytes = NO_SESSION
    """16 bytes that tell one session from others."""
    tool: str = ""
    """Version of stubgen."""

    def contradiction(self, host: HostIdentity, slide: int | None = None) -> str | None:
        """Why it is no patch for a process of *host*, which is at *slide* if that is known; None if nothing says so."""
        if self.host.contradicts(host):
            return f"was linked for another build of the host ({self.host}), and this is {host}"
        if slide is not None and slide != self.slide:
            return f"was linked for slide {self.slide:#x}, and the process has its host at slide {slide:#x}"
        return None


class _Note(Row):
    """The note's fixed part; ``host_size`` bytes of the host's identity follow, and zeroes up to 4 bytes."""

    layout: U32
    generation: U32
    slide: U64
    session: Bytes16
    tool: Bytes16  # ASCII, padded with NUL
    host_kind: U32
    host_size: U32  # bytes


_NOTE = Record(_Note)


def identity_of(image: Image) -> HostIdentity:
    """What tells the linked program *image* from other builds of it.

    ``strip`` keeps build id, UUID and code alike. The digest is of the sections with instructions: in the segments
    around them ``strip`` changes the file's header, and ``patchelf`` the loader's tables.
    """
    if image.build_id:
        return HostIdentity(BUILD_ID if image.format == "elf" else UUID, image.build_id)
    digest = image.code_digest
    return HostIdentity(0, b"") if digest is None else HostIdentity(CODE_DIGEST, digest)


def named_identity(kind_name: str, value: bytes) -> HostIdentity:
    """An identity whose kind is given in words; of a kind that this version does not know: nothing tells."""
    kinds = {name: kind for kind, name in _KINDS.items()}
    return HostIdentity(kinds[kind_name], value) if kind_name in kinds else HostIdentity(0, b"")


def encode_identity(identity: PatchIdentity) -> bytes:
    """The content of the note.

    Raises:
        UsageError: a session is not 16 bytes.
        FieldOverflow: a value does not fit its field.
    """
    if len(identity.session) != len(NO_SESSION):
        raise UsageError(f"a session's identity has {len(NO_SESSION)} bytes, not {len(identity.session)}")
    host = identity.host
    fixed = _Note(
        layout=LAYOUT,
        generation=identity.generation,
        slide=identity.slide,
        session=identity.session,
        tool=identity.tool.encode()[:16],
        host_kind=host.kind,
        host_size=len(host.value),
    )
    content = _NOTE.pack(fixed, "the identity note") + host.value
    return content.ljust(align_up(len(content), 4), b"\0")


def identity_in(image: Image) -> PatchIdentity | None:
    """What the note in *image*, a linked patch or a stub object, says; None where it has none.

    Raises:
        MalformedInput: its note is broken or of a layout that this version does not know, or it has several.
    """
    notes = image.notes_of(ELF_OWNER, ELF_KIND, MACHO_SECTION)
    if not notes:
        return None
    content, name = notes[0], image.name
    if len(notes) > 1:
        raise MalformedInput(f"{name}: has {len(notes)} identity notes; a patch is linked with one stub object")
    if len(content) < _NOTE.size:
        raise MalformedInput(f"{name}: its identity note has {len(content)} bytes, and needs at least {_NOTE.size}")
    fixed = _NOTE.read(content)
    if fixed.layout != LAYOUT:
        raise MalformedInput(
            f"{name}: its identity note has layout {fixed.layout}, and this version reads layout {LAYOUT}: use the "
            f"stubgen that linked it"
        )
    size = align_up(_NOTE.size + fixed.host_size, 4)
    if fixed.host_kind not in (0, *_KINDS) or size != len(content):
        raise MalformedInput(f"{name}: its identity note says nothing sound of the host")
    host = HostIdentity(fixed.host_kind, bytes(content[_NOTE.size : _NOTE.size + fixed.host_size]))
    return PatchIdentity(
        slide=fixed.slide,
        host=host,
        generation=fixed.generation,
        session=fixed.session,
        tool=as_text(fixed.tool.rstrip(b"\0")),
    )


def read_identity(patch: StrPath) -> PatchIdentity | None:
    """What the note of the linked *patch* says; None where it has none: ``link`` writes it, ``build`` does not.

    Raises:
        InputError: the file cannot be read, or its note is broken.
        UsageError: *patch* is no path.
    """
    from stubgen.common.arguments import path
    from stubgen.common.files import read_input
    from stubgen.image.opening import open_image

    name = path("patch", patch)
    return identity_in(open_image(read_input(name), name))
