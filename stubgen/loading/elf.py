"""What glibc, musl and bionic ask of a shared library before they load it. Twin of ``macho``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stubgen.common.text import counted
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile
from stubgen.elf.relocations import R_AARCH64_NONE, R_AARCH64_TLS_TPREL64
from stubgen.finding import Finding
from stubgen.image import Image
from stubgen.image.elf import ElfImage

LARGE_PAGE = 16384
"""Bytes: Android's larger page. A library with less alignment is not loaded on a device that has it."""


def findings(patch: Image, host: Image, libraries: Mapping[str, Image]) -> Iterator[Finding]:
    """What speaks against loading *patch* beside *host*; see ``stubgen.loading``."""
    assert isinstance(patch, ElfImage)  # noqa: S101  # for mypy: loading_findings() asks for the format
    assert isinstance(host, ElfImage)  # noqa: S101  # check_patch() refuses other formats
    yield from _stack(patch.file, host)
    yield from _segments(patch.file, host.file)
    yield from _alignment(patch.file, host)
    yield from _text_relocations(patch)
    yield from _static_tls(patch.file, host)
    yield from _versions(patch.file, host.file, libraries)


def _stack(patch: ElfFile, host: ElfImage) -> Iterator[Finding]:
    """Glibc makes every stack executable for such a library, or since 2.41 refuses it; bionic and musl do not look."""
    if _wants_executable_stack(patch) and not _wants_executable_stack(host.file):
        header = any(segment.p_type == c.PT_GNU_STACK for segment in patch.segments)
        cause = "PT_GNU_STACK is executable" if header else "it has no PT_GNU_STACK"
        message = f"{cause}: glibc would make the stacks of the whole process executable, or refuse it; -z noexecstack"
        lenient = host.libc in ("android", "musl")
        yield Finding("stack", lenient, message, note=lenient)


def _wants_executable_stack(file: ElfFile) -> bool:
    for segment in file.segments:
        if segment.p_type == c.PT_GNU_STACK:
            return bool(segment.p_flags & c.PF_X)
    return True  # glibc's DEFAULT_STACK_PERMS for AArch64


def _segments(patch: ElfFile, host: ElfFile) -> Iterator[Finding]:
    """Systems that forbid writable code (SELinux's execmem) refuse such a segment."""

    def mixed(file: ElfFile) -> list[int]:
        both = c.PF_W | c.PF_X
        return [s.p_vaddr for s in file.segments if s.p_type == c.PT_LOAD and s.p_flags & both == both]

    if mixed(patch) and not mixed(host):
        for address in mixed(patch):
            message = f"the segment at {address:#x} is writable and executable, which hardened systems do not load"
            yield Finding("segments", False, message)


def _alignment(patch: ElfFile, host: ElfImage) -> Iterator[Finding]:
    def least(file: ElfFile) -> int:
        return min((max(s.p_align, 1) for s in file.segments if s.p_type == c.PT_LOAD), default=1)

    own, theirs = least(patch), least(host.file)
    if own < theirs:
        message = (
            f"its segments are aligned to {own} bytes, the host's to {theirs}: where pages are larger it is not "
            f"loaded; link with -z max-page-size={theirs}"
        )
        yield Finding("alignment", False, message)
    elif own < LARGE_PAGE and host.libc == "android":
        message = (
            f"its segments are aligned to {own} bytes, as the host's: a device with pages of {LARGE_PAGE} loads neither"
        )
        yield Finding("alignment", True, message, note=True)


def _text_relocations(patch: ElfImage) -> Iterator[Finding]:
    """Where the loader would write to memory that is not writable; DT_TEXTREL only announces it."""
    file = patch.file
    ranges = [
        (s.p_vaddr, s.p_vaddr + s.p_memsz)
        for s in file.segments
        if s.p_type == c.PT_LOAD and not s.p_flags & c.PF_W and s.p_memsz
    ]
    places: list[int] = []
    for relocations in file.dynamic_relocations():
        for place, kind in zip(relocations.r_offset, relocations.kind, strict=True):
            if kind != R_AARCH64_NONE and any(start <= place < end for start, end in ranges):
                places.append(place)
    if patch.has_text_relocations or places:
        what = "DT_TEXTREL" if patch.has_text_relocations else "relocations of memory that is not writable"
        if places:
            what += f" ({counted(len(places), 'place')}, the first at {_title(file, min(places))})"
        message = f"it has {what}: loaders refuse to write to code; compile the patch with -fPIC"
        yield Finding("text relocations", False, message)


def _title(file: ElfFile, address: int) -> str:
    """*address*, with its section."""
    for section in file.sections:
        start, size = section.header.sh_addr, section.header.sh_size
        if section.header.sh_flags & c.SHF_ALLOC and start <= address < start + size:
            return f"{address:#x} in {section.name}"
    return f"{address:#x}"


def _static_tls(patch: ElfFile, host: ElfImage) -> Iterator[Finding]:
    size = sum(segment.p_memsz for segment in patch.segments if segment.p_type == c.PT_TLS)
    if not size or not _wants_static_tls(patch):
        return
    what = f"it needs {counted(size, 'byte')} of static TLS (-ftls-model=initial-exec)"
    if host.libc in ("android", "musl"):
        message = f"{what}, which {host.libc} gives to no library that is loaded later"
        yield Finding("static TLS", False, message)
    else:
        message = f"{what}: glibc keeps some for libraries that are loaded later, and fails when that is used up"
        yield Finding("static TLS", True, message, note=True)


def _wants_static_tls(patch: ElfFile) -> bool:
    """Whether the patch's own block must lie at a constant distance from the thread pointer.

    lld and mold say so by DF_STATIC_TLS; GNU ld 2.40 leaves the flag out, so the relocations are asked.
    """
    tags, table = patch.dynamic.tags if patch.dynamic else {}, patch.dynamic_symbols
    if tags.get(c.DT_FLAGS, 0) & c.DF_STATIC_TLS:
        return True
    for relocations in patch.dynamic_relocations():
        for kind, symbol in zip(relocations.kind, relocations.symbol, strict=True):
            if kind == R_AARCH64_TLS_TPREL64:
                own = not symbol or table is None or table.entry(symbol).st_shndx != c.SHN_UNDEF
                if own:
                    return True
    return False


def _versions(patch: ElfFile, host: ElfFile, libraries: Mapping[str, Image]) -> Iterator[Finding]:
    """Versions of libraries' symbols that the host's machine may not have: what host and given libraries tell."""
    wanted = sorted(set(patch.dynamic.version_needs.values())) if patch.dynamic else []
    known = set(host.dynamic.version_needs.values()) if host.dynamic else set()
    for library, version in wanted:
        given = libraries.get(library)
        if given is not None and isinstance(given, ElfImage):
            dynamic = given.file.dynamic
            if dynamic is None or version not in dynamic.version_definitions.values():
                message = f"it needs version {version} of {library}, and {given.name} has none of that name"
                yield Finding("versions", False, message)
            continue
        if (library, version) in known:
            continue
        newest = max(
            (v for name, v in known if name == library and _series(v) == _series(version)), key=_number, default=""
        )
        if not newest or _number(newest) < _number(version):
            theirs = f"the host asks for no newer one than {newest}" if newest else "the host asks for none of these"
            message = f"it needs version {version} of {library}, and {theirs}: an older {library} does not have it"
            yield Finding("versions", True, message, note=True)


def _series(version: str) -> str:
    """``GLIBC`` of ``GLIBC_2.34``."""
    return re.sub(r"[\d.]+\Z", "", version)


def _number(version: str) -> tuple[int, ...]:
    """``(2, 34)`` of ``GLIBC_2.34``."""
    return tuple(int(part) for part in version[len(_series(version)) :].split(".") if part)
