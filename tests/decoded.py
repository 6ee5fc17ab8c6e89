"""Object files decoded with ``struct`` alone, by the offsets of gABI, <mach-o/loader.h> and <mach-o/nlist.h>.

A wrong constant or record of the project's is wrong in its writers and readers alike; here it shows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator


def text(raw: bytes, start: int) -> bytes:
    """The string that ends with the first NUL byte behind *start*."""
    return raw[start : raw.index(b"\0", start)]


def rows(form: str, raw: bytes) -> list[tuple[int, ...]]:
    """Records of one form, one behind the other."""
    return list(struct.iter_unpack(form, raw))


def elf_sections(raw: bytes) -> list[tuple[bytes, tuple[int, ...], bytes]]:
    """Name, ``Elf64_Shdr`` and bytes in the file of each section."""
    (start,), (size, count, names) = struct.unpack_from("<Q", raw, 40), struct.unpack_from("<3H", raw, 58)
    headers = rows("<IIQQQQIIQQ", raw[start : start + size * count])
    return [
        (text(raw, headers[names][4] + row[0]), row, raw[row[4] : row[4] + (0 if row[1] == 8 else row[5])])
        for row in headers
    ]


def elf_symbols(raw: bytes) -> list[tuple[bytes | int, ...]]:
    """Name, st_info, st_other, st_shndx, st_value and st_size of each symbol."""
    contents = {name: content for name, _, content in elf_sections(raw)}
    return [(text(contents[b".strtab"], row[0]), *row[1:]) for row in rows("<IBBHQQ", contents[b".symtab"])]


def macho_commands(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each load command."""
    count, start = struct.unpack_from("<I", raw, 16)[0], 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", raw, start)
        yield command, raw[start : start + size]
        start += size


def macho_sections(raw: bytes) -> list[tuple[bytes, tuple[int, ...], bytes]]:
    """Segment and section, the ``section_64`` behind the names, and bytes in the file of each section."""
    segment = dict(macho_commands(raw))[0x19]
    found = []
    for at in range(72, len(segment), 80):
        section, title, *fields = struct.unpack_from("<16s16sQQ8I", segment, at)
        _, size, start = fields[:3]
        name = title.rstrip(b"\0") + b"," + section.rstrip(b"\0")
        found.append((name, tuple(fields), raw[start : start + size] if start else b""))
    return found


def macho_symbols(raw: bytes) -> list[tuple[bytes | int, ...]]:
    """Name, n_type, n_sect, n_desc and n_value of each symbol."""
    start, count, strings, size = struct.unpack_from("<4I", dict(macho_commands(raw))[2], 8)
    names = raw[strings : strings + size]
    return [(text(names, row[0]), *row[1:]) for row in rows("<IBBHQ", raw[start : start + 16 * count])]
