"""What dyld and Apple's kernels ask of a library before they load it. Twin of ``elf``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stubgen.common.text import as_text, counted
from stubgen.finding import Finding
from stubgen.image import Image
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho.reader import CodeDirectory, MachOFile


def findings(patch: Image, host: Image, libraries: Mapping[str, Image]) -> Iterator[Finding]:
    """What speaks against loading *patch* beside *host*; see ``stubgen.loading``."""
    assert isinstance(patch, MachOImage)  # noqa: S101  # for mypy: loading_findings() asks for the format
    assert isinstance(host, MachOImage)  # noqa: S101  # check_patch() refuses other formats
    del libraries  # Mach-O has no symbol versions
    yield from _segments(patch.file, host.file)
    yield from _alignment(patch)
    yield from _minimum_os(patch, host)
    yield from _signature(patch.file)


def _segments(patch: MachOFile, host: MachOFile) -> Iterator[Finding]:
    """Apple's ARM64 kernels map no page writable and executable without MAP_JIT."""
    both = c.VM_PROT_WRITE | c.VM_PROT_EXECUTE
    allowed = {segment.segname for segment in host.segments if segment.initprot & both == both}
    for segment in patch.segments:
        if segment.initprot & both == both and segment.segname not in allowed:
            name = as_text(segment.segname.rstrip(b"\0"))
            yield Finding("segments", False, f"segment {name} is writable and executable, which no Apple kernel maps")


def _alignment(patch: MachOImage) -> Iterator[Finding]:
    for segment in patch.file.segments:
        start = segment.vmaddr | (segment.fileoff if segment.filesize else 0)
        if start % patch.page_size and segment.vmsize:
            name = as_text(segment.segname.rstrip(b"\0"))
            message = (
                f"segment {name} begins at {segment.vmaddr:#x}, byte {segment.fileoff:#x} of the file, and not on a "
                f"page of {patch.page_size} bytes: it cannot be mapped"
            )
            yield Finding("alignment", False, message)


def _minimum_os(patch: MachOImage, host: MachOImage) -> Iterator[Finding]:
    own, theirs = patch.build_version, host.build_version
    if own is None or theirs is None:
        return
    platform = c.PLATFORM_NAMES.get(own.platform, f"platform {own.platform}")
    if own.platform != theirs.platform:
        other = c.PLATFORM_NAMES.get(theirs.platform, f"platform {theirs.platform}")
        yield Finding("minimum OS", False, f"it is for {platform}, the host for {other}: dyld would not load it")
    elif own.minos > theirs.minos:
        message = f"it asks for {platform} {_version(own.minos)}, the host for {_version(theirs.minos)} or newer"
        yield Finding("minimum OS", False, message)


def _version(packed: int) -> str:
    """``13.0`` of xxxx.yy.zz in nibbles."""
    return f"{packed >> 16}.{packed >> 8 & 0xFF}" + (f".{packed & 0xFF}" if packed & 0xFF else "")


def _signature(patch: MachOFile) -> Iterator[Finding]:
    """Apple's ARM64 kernels map only signed code, and end the process at the first page that is not what was signed."""
    directories = patch.code_directories
    if not directories:
        message = "it has no code signature, and Apple's ARM64 kernels load no code without one: codesign -s - PATCH"
        yield Finding("signature", False, message)
        return
    for directory in directories:
        wrong = _wrong_pages(patch, directory)
        if wrong:
            where = f"the first at byte {wrong[0] * directory.page_size:#x}"
            message = (
                f"its signature is of other bytes ({counted(len(wrong), 'page')}, {where}): the kernel would end the "
                f"process; sign it again: codesign -f -s - PATCH"
            )
            yield Finding("signature", False, message)
            return


def _wrong_pages(patch: MachOFile, directory: CodeDirectory) -> list[int]:
    """The pages whose hash is not the signed one."""
    if directory.hash_type not in c.CS_HASHTYPES:
        return []
    import hashlib

    algorithm, width = c.CS_HASHTYPES[directory.hash_type]
    size = directory.page_size or max(directory.limit, 1)
    pages = max(-(-directory.limit // size), 1)
    content = patch.view.bytes(0, directory.limit, "what the code signature is of")
    wrong = [
        number
        for number in range(min(pages, len(directory.hashes)))
        if hashlib.new(algorithm, content[number * size : (number + 1) * size]).digest()[:width]
        != directory.hashes[number][:width]
    ]
    return wrong if pages <= len(directory.hashes) else [*wrong, len(directory.hashes)]
