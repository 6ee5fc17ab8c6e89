"""Each rule of what dyld and Apple's kernels ask of a library, on files that differ in one field."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from decoded import macho_commands
from linked import MachOSym, macho_linked

from stubgen.finding import Finding
from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.loading import loading_findings

SEGMENT, BUILD = 32, 32 + 72 + 2 * 80
"""Where the load commands of a segment and of the platform begin."""
ADDRESS, SIZE, OFFSET, STORED, PROTECTION = ((24, "Q"), (32, "Q"), (40, "Q"), (48, "Q"), (60, "I"))
"""Fields of segment_command_64: where, and how wide."""
PLATFORM, MINIMUM = BUILD + 8, BUILD + 12
RX, RWX = 5, 7
PAGE = 4096
UNSIGNED = "it has no code signature, and Apple's ARM64 kernels load no code without one: codesign -s - PATCH"


def written(*changes: tuple[tuple[int, str], int], platform: int = 1, minimum: int = 0xD0000) -> bytes:
    """A dylib of one segment that begins at a page, with some of its fields changed."""
    content = bytearray(macho_linked([MachOSym("_f", 0)]))
    plain = ((ADDRESS, 16384), (OFFSET, 0), (PROTECTION, RX))
    for (at, width), value in (*plain, *changes):
        struct.pack_into(f"<{width}", content, SEGMENT + at, value)
    struct.pack_into("<II", content, PLATFORM, platform, minimum)
    return bytes(content)


def signed(
    content: bytes, *, page: int = 12, width: int = 32, kind: int = 2, wrong: tuple[int, ...] = (), spare: int = 0
) -> bytes:
    """*content* with a code signature of its pages; the hashes of *wrong* are others, *spare* of them too many."""
    limit = -(-len(content) // 16) * 16
    count, size = struct.unpack_from("<II", content, 16)
    whole = bytearray(content.ljust(limit, b"\0"))
    struct.pack_into("<IIII", whole, 32 + size, 0x1D, 16, limit, 4096)
    struct.pack_into("<II", whole, 16, count + 1, size + 16)
    step = 1 << page if page else limit
    name = {1: "sha1", 4: "sha384"}.get(kind, "sha256")
    hashes = [hashlib.new(name, whole[at : at + step]).digest()[:width] for at in range(0, limit, step)]
    hashes = [bytes(width) if number in wrong else each for number, each in enumerate(hashes)]
    hashes = hashes[:spare] if spare < 0 else hashes + [bytes(width)] * spare
    head = struct.pack(
        ">IIIIIIIIIBBBBI", 0xFADE0C02, 0, 0x20100, 0, 44, 0, 0, len(hashes), limit, width, kind, 0, page, 0
    )
    blob = struct.pack(">IIIII", 0xFADE0CC0, 0, 1, 0, 20) + head + b"".join(hashes)
    return bytes(whole) + blob.ljust(4096, b"\0")


def image(content: bytes) -> Image:
    """It, opened."""
    return open_image(content, "patch.dylib")


def said(content: bytes, host: bytes | None = None) -> list[tuple[str, str]]:
    """What speaks against loading it."""
    found = list(loading_findings(image(content), image(host or written()), {}))
    if found[-1] == Finding("loading", True, "its segments, and what it asks of the loader, are as the host's"):
        assert len(found) == 1
        return []
    assert not any(finding.ok or finding.note or finding.names for finding in found)
    return [(finding.check, finding.message) for finding in found]


def test_an_ordinary_patch() -> None:
    """A complaint about every patch would be switched off."""
    assert 0x1D in dict(macho_commands(signed(written())))
    assert said(signed(written())) == []
    assert said(written()) == [("signature", UNSIGNED)]


def test_writable_code() -> None:
    """No Apple kernel maps it, but where the host has such a segment by that name."""
    message = "segment  is writable and executable, which no Apple kernel maps"
    assert said(signed(written((PROTECTION, RWX)))) == [("segments", message)]
    assert said(signed(written((PROTECTION, RWX))), written((PROTECTION, RWX))) == []
    for protection in (1, 3, RX):
        assert said(signed(written((PROTECTION, protection)))) == []
    named = signed(written((PROTECTION, RWX)))
    named = named[: SEGMENT + 8] + b"__X".ljust(16, b"\0") + named[SEGMENT + 24 :]
    texts = [text for check, text in said(named, written((PROTECTION, RWX))) if check == "segments"]
    assert texts == ["segment __X is writable and executable, which no Apple kernel maps"]


ALIGNED: dict[str, tuple[list[Any], tuple[int, int] | None]] = {
    "a page": ([], None),
    "between pages": ([(ADDRESS, 0x5000)], (0x5000, 0)),
    "between pages of the file": ([(OFFSET, 0x1000)], (0x4000, 0x1000)),
    "both": ([(ADDRESS, 0x4800), (OFFSET, 0x1000)], (0x4800, 0x1000)),
    "nothing of the file": ([(OFFSET, 0x1000), (STORED, 0)], None),
    "nothing": ([(ADDRESS, 0x5000), (SIZE, 0)], None),
}


@pytest.mark.parametrize(("changes", "place"), ALIGNED.values(), ids=[*ALIGNED])
def test_segments_between_pages(changes: list[Any], place: tuple[int, int] | None) -> None:
    """Dyld cannot map them."""
    expected = []
    if place:
        where = f"segment  begins at {place[0]:#x}, byte {place[1]:#x} of the file, and not on a page of 16384 bytes"
        expected = [("alignment", f"{where}: it cannot be mapped")]
    assert said(signed(written(*changes))) == expected


MINIMA = {
    "the same": (1, 0xD0000, ""),
    "an older": (1, 0xC0000, ""),
    "a newer": (1, 0xE0000, "it asks for macOS 14.0, the host for 13.0 or newer"),
    "a newer fix": (1, 0xD0102, "it asks for macOS 13.1.2, the host for 13.0 or newer"),
    "another platform": (7, 0xD0000, "it is for iOS simulator, the host for macOS: dyld would not load it"),
    "one that nobody knows": (99, 0xE0000, "it is for platform 99, the host for macOS: dyld would not load it"),
}


@pytest.mark.parametrize(("platform", "minimum", "message"), MINIMA.values(), ids=[*MINIMA])
def test_the_minimum_os(platform: int, minimum: int, message: str) -> None:
    """Where the host runs and the patch must not, its symbols may be missing."""
    found = said(signed(written(platform=platform, minimum=minimum)))
    assert found == ([("minimum OS", message)] if message else [])


def test_a_host_of_another_platform_or_of_none() -> None:
    """What neither file says speaks against nothing."""
    message = "it is for macOS, the host for platform 99: dyld would not load it"
    assert said(signed(written()), written(platform=99)) == [("minimum OS", message)]
    silent = bytearray(written())
    struct.pack_into("<I", silent, BUILD, 0x7F)
    assert said(signed(written()), bytes(silent)) == []
    assert said(signed(bytes(silent))) == []


def wrong_pages(count: str, first: int) -> list[tuple[str, str]]:
    """The complaint."""
    message = (
        f"its signature is of other bytes ({count}, the first at byte {first:#x}): the kernel would end the process; "
        "sign it again: codesign -f -s - PATCH"
    )
    return [("signature", message)]


def test_bytes_that_were_changed_after_signing() -> None:
    """The kernel ends the process at the first access to the page, without a word of the patch."""
    content = written()
    assert said(signed(content, wrong=(1,))) == wrong_pages("1 page", 0x1000)
    assert said(signed(content, wrong=(0, 2))) == wrong_pages("2 pages", 0)
    turned = bytearray(signed(content))
    turned[0x1FFF] ^= 1
    assert said(bytes(turned)) == wrong_pages("1 page", 0x1000)
    assert said(signed(content, spare=1)) == []
    pages = -(-len(content) // PAGE)
    assert said(signed(content, spare=-1)) == wrong_pages("1 page", (pages - 1) * PAGE)


@pytest.mark.parametrize(("kind", "width"), [(1, 20), (2, 32), (3, 20), (4, 48)])
def test_every_kind_of_hash(kind: int, width: int) -> None:
    """Apple's tools sign with several; of one that nobody knows nothing is said."""
    content = written()
    assert said(signed(content, kind=kind, width=width)) == []
    assert said(signed(content, kind=kind, width=width, wrong=(1,))) == wrong_pages("1 page", 0x1000)
    assert said(signed(content, kind=9, width=width, wrong=(1,))) == []


def test_a_signature_of_one_page() -> None:
    """With no page size all that is signed has one hash."""
    content = written()
    assert said(signed(content, page=0)) == []
    assert [check for check, _ in said(signed(content, page=0, wrong=(0,)))] == ["signature"]
    assert said(signed(content, page=14, wrong=(0,))) == wrong_pages("1 page", 0)
