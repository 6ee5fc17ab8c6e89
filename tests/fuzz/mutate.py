"""Changes a sound input where it counts: in the fields that say how large, how many and where.

Bytes that are changed at random rarely get past a magic number. Here the fields of headers, section, symbol, relocation
and dynamic tables, of load commands and archive members are found first, and one of them becomes another of the
values that such fields have, or one at an edge.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator

EDGES = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0xFFF, 0x7FFF, 0xFFFF, 0x10000, 1 << 20, (1 << 31) - 1, 1 << 31)
LARGE_EDGES = ((1 << 32) - 1, 1 << 32, (1 << 47) - 1, 1 << 48, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
Place = tuple[int, int]
"""Where a field is, and how many bytes it has."""


def _u(content: bytes, at: int, size: int) -> int:
    return int.from_bytes(content[at : at + size], "little")


def elf_places(content: bytes) -> list[Place]:
    """Fields of an ELF64 file: of its header, its section and program headers, and of the tables that these name."""
    places: list[Place] = [
        (16, 2),
        (18, 2),
        (20, 4),
        (24, 8),
        (32, 8),
        (40, 8),
        (48, 4),
        *((at, 2) for at in range(52, 64, 2)),
    ]
    headers, segments = _u(content, 40, 8), _u(content, 32, 8)
    for number in range(min(_u(content, 60, 2), 64)):
        at = headers + 64 * number
        places += [
            (at, 4),
            (at + 4, 4),
            *((at + 8 * n, 8) for n in range(1, 5)),
            (at + 40, 4),
            (at + 44, 4),
            (at + 48, 8),
            (at + 56, 8),
        ]
        kind, start, size = _u(content, at + 4, 4), _u(content, at + 24, 8), _u(content, at + 32, 8)
        places += list(_table(kind, start, min(size, len(content))))
    for number in range(min(_u(content, 56, 2), 32)):
        at = segments + 56 * number
        places += [(at, 4), (at + 4, 4), *((at + 8 * n, 8) for n in range(1, 7))]
    return places


ENTRIES: dict[int, tuple[int, tuple[Place, ...]]] = {
    2: (24, ((0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8))),  # SHT_SYMTAB
    11: (24, ((0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8))),  # SHT_DYNSYM
    4: (24, ((0, 8), (8, 4), (12, 4), (16, 8))),  # SHT_RELA
    6: (16, ((0, 8), (8, 8))),  # SHT_DYNAMIC
    7: (4, ((0, 4),)),  # SHT_NOTE
    17: (4, ((0, 4),)),  # SHT_GROUP
    5: (4, ((0, 4),)),  # SHT_HASH
    0x6FFFFFF6: (4, ((0, 4),)),  # SHT_GNU_HASH
    0x6FFFFFFD: (4, ((0, 4),)),  # SHT_GNU_verdef
    0x6FFFFFFE: (4, ((0, 4),)),  # SHT_GNU_verneed
    0x6FFFFFFF: (2, ((0, 2),)),  # SHT_GNU_versym
    19: (8, ((0, 8),)),  # SHT_RELR
    0x60000002: (1, ((0, 1),)),  # SHT_ANDROID_RELA
}
"""Section type -> bytes of an entry, and its fields."""
MOST_ENTRIES = 1000
"""Of a table whose fields are changed; of a longer one some."""


def _table(kind: int, start: int, size: int) -> Iterator[Place]:
    entry, fields = ENTRIES.get(kind, (0, ()))
    apart = max(size // (entry or 1) // MOST_ENTRIES, 1)  # entries; the places of a broken file are to fit in memory
    for at in range(start, start + size - entry + 1, apart * entry or size + 1):
        for offset, width in fields:
            yield at + offset, width


def macho_places(content: bytes) -> list[Place]:
    """Fields of a 64-bit Mach-O file: of its header, its load commands, and of the tables that these name."""
    places: list[Place] = [(at, 4) for at in range(4, 32, 4)]
    at = 32
    for _ in range(min(_u(content, 16, 4), 64)):
        command, size = _u(content, at, 4), _u(content, at + 4, 4)
        places += [(at + n, 4) for n in range(0, min(size, 1024), 4)]
        if command == 0x19:  # LC_SEGMENT_64
            places += [(at + n, 8) for n in range(24, 56, 8)]
            for section in range(at + 72, min(at + size, len(content)), 80):
                places += [(section + 32, 8), (section + 40, 8)]
                first, count = _u(content, section + 56, 4), min(_u(content, section + 60, 4), 256)
                places += [(first + 4 * n, 4) for n in range(2 * count)]
        elif command == 0x2:  # LC_SYMTAB
            first, count = _u(content, at + 8, 4), min(_u(content, at + 12, 4), 512)
            for n in range(count):
                places += [
                    (first + 16 * n + offset, width) for offset, width in ((0, 4), (4, 1), (5, 1), (6, 2), (8, 8))
                ]
        elif command & 0xFF in (0x22, 0x26, 0x29, 0x2E, 0x33, 0x34):  # tables in __LINKEDIT
            for first, count in (
                (_u(content, at + n, 4), _u(content, at + n + 4, 4)) for n in range(8, min(size, 48), 8)
            ):
                places += [(first + n, width) for n in range(min(count, 512)) for width in (1, 4)]
        at += max(size, 8)
    return places


def archive_places(content: bytes) -> list[Place]:
    """The decimal fields of an archive's headers, and its first member, which is the index."""
    places: list[Place] = [(at, 4) for at in range(68, 160, 4)]
    for found in re.finditer(b"`\n", content):
        places += [(found.start() - 10, 10), (found.start() - 58, 16)]
    return places


PLACES: dict[bytes, Callable[[bytes], list[Place]]] = {
    b"\x7fELF": elf_places,
    b"\xcf\xfa\xed\xfe": macho_places,
    b"!<ar": archive_places,
    b"!<th": archive_places,
}
"""How a file begins -> what finds its fields."""

TEXTS = (
    b"-", b"0", b"-1", b"99999999999999999999", b"1e999", b"null", b"[]", b"{}", b'""', b"true", b"\\", b"'", b'"',
    b"\n", b"\0", b"@", b"=", b",", b":", b" ", b"\xff", b"\xc3\x28", b"-Wl,", b"-Xlinker", b"-o", b"--", b"(",
    b"[" * 2000, b'{"a":' * 500,
)  # fmt: skip
"""What is put among the words of a text."""


def mutate(content: bytes, seed: int, other: bytes = b"", *, largest: int = 1 << 16) -> bytes:
    """*content* with one to four changes, the same for the same *seed*; pieces of *other* may come into it."""
    rng = random.Random(seed)  # a fuzzer
    out = bytearray(content)
    finder = PLACES.get(content[:4])
    places = finder(content) if finder and rng.random() < 0.85 else []
    changes = BINARY if finder or b"\0" in content[:64] else TEXT  # words are looked for in texts alone: it takes long
    for _ in range(rng.randint(1, 4)):
        if places:
            _change_field(out, rng, places)
        else:
            rng.choice(changes)(out, rng, other)
    return bytes(out[:largest])


def _change_field(out: bytearray, rng: random.Random, places: list[Place]) -> None:
    at, size = rng.choice(places)
    if at + size > len(out):
        return
    old = _u(out, at, size)
    if size in (10, 16):  # decimal, in text
        value = rng.choice(
            (b"0", b"-1", b"%d" % len(out), b"9999999999", b"#1/8", b"/0", b"/9999", b"//", b"/SYM64/", b" ")
        )
        out[at : at + size] = value.ljust(size)[:size]
        return
    choices: tuple[Callable[[], int], ...] = (
        lambda: rng.choice(EDGES),
        lambda: rng.choice(LARGE_EDGES),
        lambda: old + rng.choice((-8, -1, 1, 8, 16)),
        lambda: old ^ 1 << rng.randrange(8 * size),
        lambda: _u(out, *rng.choice(places)),
        lambda: len(out) + rng.choice((-8, -1, 0, 1)),
    )
    out[at : at + size] = (rng.choice(choices)() & (1 << 8 * size) - 1).to_bytes(size, "little")


def _flip(out: bytearray, rng: random.Random, _: bytes) -> None:
    if out:
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)


def _word(out: bytearray, rng: random.Random, _: bytes) -> None:
    if len(out) >= 8:
        struct.pack_into("<Q", out, rng.randrange(len(out) - 7), rng.choice(EDGES + LARGE_EDGES))


def _cut(out: bytearray, rng: random.Random, _: bytes) -> None:
    del out[rng.randrange(len(out) + 1) :]


def _remove(out: bytearray, rng: random.Random, _: bytes) -> None:
    start = rng.randrange(len(out) + 1)
    del out[start : start + rng.choice((1, 2, 8, 64))]


def _repeat(out: bytearray, rng: random.Random, _: bytes) -> None:
    start = rng.randrange(len(out) + 1)
    piece = out[start : start + rng.choice((1, 4, 24, 64))]
    out[start:start] = piece * rng.choice((1, 2, 100))


def _splice(out: bytearray, rng: random.Random, other: bytes) -> None:
    if other and out:
        start, size = rng.randrange(len(other)), rng.choice((4, 24, 64, 400))
        at = rng.randrange(len(out) + 1)
        out[at : at + rng.choice((0, size))] = other[start : start + size]


def _insert(out: bytearray, rng: random.Random, _: bytes) -> None:
    at = rng.randrange(len(out) + 1)
    out[at:at] = rng.choice(TEXTS)


def _replace(out: bytearray, rng: random.Random, other: bytes) -> None:
    """One word or number becomes another."""
    words = list(re.finditer(rb"\w+|\"[^\"]*\"", out))
    if words:
        word = rng.choice(words)
        others = re.findall(rb"\w+", other) or [b"0"]
        out[word.start() : word.end()] = rng.choice((rng.choice(TEXTS), rng.choice(others)))


BINARY = (_flip, _word, _cut, _remove, _repeat, _splice)
TEXT = (_flip, _cut, _remove, _repeat, _splice, _insert, _replace, _replace)
