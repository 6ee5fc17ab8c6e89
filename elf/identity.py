"""What tells a linked file from other builds of it, read from a few of its bytes.

A captured link reads it of each output, so this module imports next to nothing; the reader is for everything else.
Twin of ``macho/identity.py``.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]
    """Byte offset and size -> so many bytes of the file, or fewer at its end."""

MAGIC = b"\x7fELF\x02\x01"  # ELFCLASS64, ELFDATA2LSB
_ET_REL, _PT_LOAD, _PT_NOTE, _PF_X = 1, 1, 4, 1
_SHT_PROGBITS, _SHF_ALLOC_EXECINSTR = 1, 6
_NT_GNU_BUILD_ID = 3


def build_id(read: Read) -> bytes | None:
    """The content of ``.note.gnu.build-id``, found by the note segments."""
    for p_type, _, offset, _, size, alignment in _segments(read):
        if p_type == _PT_NOTE:
            raw, position, step = read(offset, size), 0, max(alignment, 4)
            while position + 12 <= len(raw):
                n_namesz, n_descsz, n_type = struct.unpack_from("<III", raw, position)
                content = position + 12 + _up(n_namesz, 4)
                content = _up(content, step)
                if n_type == _NT_GNU_BUILD_ID and raw[position + 12 : position + 12 + n_namesz] == b"GNU\0":
                    return raw[content : content + n_descsz]
                position = _up(content + n_descsz, step)
    return None


def code_ranges(read: Read) -> list[tuple[int, int, int]]:
    """Virtual address, byte offset in the file and size of each section with instructions, by address.

    Only of those that a segment loads, so none of a relocatable object; none where the section headers are stripped.
    """
    header = read(0, 64)
    if len(header) < 64 or struct.unpack_from("<H", header, 16) == (_ET_REL,):
        return []
    (e_shoff,) = struct.unpack_from("<Q", header, 40)
    e_shentsize, e_shnum = struct.unpack_from("<HH", header, 58)
    table = read(e_shoff, e_shentsize * e_shnum) if e_shoff and e_shentsize == 64 else b""
    loaded = [
        (p_vaddr, p_vaddr + p_filesz)
        for p_type, p_flags, _, p_vaddr, p_filesz, _ in _segments(read)
        if p_type == _PT_LOAD and p_flags & _PF_X
    ]
    ranges = []
    for at in range(0, len(table) // 64 * 64, 64):
        sh_type, sh_flags, address, offset, size = struct.unpack_from("<IQQQQ", table, at + 4)
        code = sh_type == _SHT_PROGBITS and sh_flags & _SHF_ALLOC_EXECINSTR == _SHF_ALLOC_EXECINSTR
        if code and any(start <= address and address + size <= end for start, end in loaded):
            ranges.append((address, offset, size))
    return sorted(ranges)


def _segments(read: Read) -> Iterator[tuple[int, int, int, int, int, int]]:
    """p_type, p_flags, p_offset, p_vaddr, p_filesz, p_align of each program header."""
    header = read(0, 64)
    if len(header) < 64 or not header.startswith(MAGIC):
        return
    (e_phoff,) = struct.unpack_from("<Q", header, 32)
    e_phentsize, e_phnum = struct.unpack_from("<HH", header, 54)
    table = read(e_phoff, e_phentsize * e_phnum) if e_phentsize == 56 else b""
    for at in range(0, len(table) // 56 * 56, 56):
        p_type, p_flags, offset, vaddr, _, filesz, _, align = struct.unpack_from("<IIQQQQQQ", table, at)
        yield p_type, p_flags, offset, vaddr, filesz, align


def _up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
