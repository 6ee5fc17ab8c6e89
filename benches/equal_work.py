"""What a tool's object really defines: read back without this project's readers, and digested.

Two tools did the same work when the same names lead to the same addresses. A digest over all (name, address) pairs
says so in a dozen letters; who wrote fewer stubs, other names or other targets has another one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_STUB = struct.Struct("<5I")
_FIXED = (0xD2800010, 0xF2A00010, 0xF2C00010, 0xF2E00010, 0xD61F0200)  # movz, movk, movk, movk x16; br x16
_IMMEDIATE = 0xFFFF << 5


class UnequalWorkError(RuntimeError):
    """Tools that are compared did not do the same."""


class Work(NamedTuple):
    """What an object defines."""

    names: int
    digest: str


def digest(pairs: Iterable[tuple[bytes, int]]) -> Work:
    """The pairs' number and digest, in whatever order they come."""
    lines = sorted([b"%b %x\n" % pair for pair in pairs])
    return Work(len(lines), hashlib.sha256(b"".join(lines)).hexdigest()[:12])


def work_in(content: bytes | bytearray) -> Work:
    """What the object *content* defines: each weak hidden symbol, and where the code at it branches to.

    Raises:
        UnequalWorkError: the code at one of them is no trampoline.
    """
    view = memoryview(content)
    return digest(_elf(view) if bytes(view[:4]) == b"\x7fELF" else _macho(view))


def hold_equal(done: Sequence[tuple[str, Work]]) -> Work:
    """The one work that all tools did.

    Raises:
        UnequalWorkError: they did not; the message says who did what.
    """
    if len({work for _, work in done}) != 1:
        listed = "; ".join(f"{tool}: {work.names} names, {work.digest}" for tool, work in done)
        raise UnequalWorkError(f"the tools did not do the same work: {listed}")
    return done[0][1]


def _target(code: memoryview, offset: int) -> int:
    words = _STUB.unpack_from(code, offset)
    if (
        any(word & ~_IMMEDIATE != fixed for word, fixed in zip(words[:4], _FIXED, strict=False))
        or words[4] != _FIXED[4]
    ):
        raise UnequalWorkError(f"what stands at offset {offset:#x} of the code is no trampoline")
    return sum((word >> 5 & 0xFFFF) << 16 * half for half, word in enumerate(words[:4]))


def _elf(view: memoryview) -> Iterator[tuple[bytes, int]]:
    (table_at,) = struct.unpack_from("<Q", view, 40)
    size, count = struct.unpack_from("<HH", view, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", view, table_at + size * number) for number in range(count)]
    symtab = next(section for section in sections if section[1] == 2)
    strings_at, strings_size = sections[symtab[6]][4:6]
    strings = bytes(view[strings_at : strings_at + strings_size])
    contents = [view[section[4] : section[4] + section[5]] for section in sections]
    records = struct.iter_unpack("<IBBHQQ", view[symtab[4] : symtab[4] + symtab[5]])
    for st_name, st_info, st_other, st_shndx, st_value, _ in records:
        if st_info == 0x22 and st_other & 3 == 2:  # weak function, hidden
            yield strings[st_name : strings.index(b"\0", st_name)], _target(contents[st_shndx], st_value)


def _macho(view: memoryview) -> Iterator[tuple[bytes, int]]:
    commands = struct.unpack_from("<I", view, 16)[0]
    at = 32
    sections: list[tuple[int, memoryview]] = []  # (address, content)
    symbols = strings = memoryview(b"")
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", view, at)
        if kind == 0x19:
            for number in range(struct.unpack_from("<I", view, at + 64)[0]):
                address, length, offset = struct.unpack_from("<QQI", view, at + 72 + 80 * number + 32)
                sections.append((address, view[offset : offset + length]))
        elif kind == 0x02:
            symbols_at, count, strings_at, length = struct.unpack_from("<4I", view, at + 8)
            symbols, strings = view[symbols_at : symbols_at + 16 * count], view[strings_at : strings_at + length]
        at += size
    text = bytes(strings)
    for n_strx, n_type, n_sect, n_desc, n_value in struct.iter_unpack("<IBBHQ", symbols):
        if n_type == 0x1F and n_desc & 0x80:  # external and private, in a section; N_WEAK_DEF
            address, content = sections[n_sect - 1]
            yield text[n_strx : text.index(b"\0", n_strx)], _target(content, n_value - address)
