"""Names and addresses like a Rust program's: mangled, 40 to 120 bytes, with prefixes that thousands share."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator

_CRATES = (
    "core alloc std hashbrown serde serde_json tokio hyper http bytes futures_util tracing "
    "regex_automata rayon_core polars_core polars_arrow arrow_array parquet_format regex_syntax memchr "
    "dioxus_core dioxus_rsx wgpu_core winit"
)
_MODULES = "fmt iter slice str vec collections sync io net task runtime expr physical_plan chunked_array de ser"
_TYPES = (
    "Formatter IntoIter Vec HashMap BTreeMap Arc Mutex Scheduler TaskCell Connection Deserializer "
    "MapAccess Visitor ChunkedArray SeriesTrait PrimitiveArray MutableBitmap LazyFrame VirtualDom "
    "ScopeState Element RenderPass"
)
_FUNCTIONS = (
    "new drop_in_place poll call_once fmt next clone from_iter deserialize visit_map extend_with "
    "try_fold grow_one render diff_node reserve_rehash filter_map spawn_unchecked"
)
"""Words, with a space between them."""
_ODD = 0x9E3779B97F4A7C15
"""An odd multiplier makes different numbers out of different ones (modulo 2^64): hashes that cannot collide."""

FIRST = 0x7B4091FF2C00
"""Where the first function of the imagined process lies."""


def mangled(count: int, *, start: int = 0, underscore: bool = False) -> list[bytes]:
    """*count* different names, from number *start* on; with Mach-O's underscore in front, if asked for."""
    before = "_" if underscore else ""
    return [f"{before}{name}".encode() for name in _mangled(start, start + count)]


def _mangled(start: int, stop: int) -> Iterator[str]:
    legacy, modern = _prefixes()
    for number in range(start, stop):
        hashed = (number + 1) * _ODD & 0xFFFF_FFFF_FFFF_FFFF
        where = hashed >> 20 & 1023
        if hashed >> 40 & 3:  # three in four are of the older scheme, which is still rustc's default
            yield f"{legacy[where]}17h{hashed:016x}E"
        else:
            yield f"{modern[where]}s{number:x}_0B{hashed >> 48:x}_"


def _prefixes() -> tuple[list[str], list[str]]:
    """1,024 beginnings of each mangling scheme."""
    chance = random.Random(1024)
    crates, all_modules, kinds, functions = (words.split() for words in (_CRATES, _MODULES, _TYPES, _FUNCTIONS))
    legacy, modern = [], []
    for _ in range(1024):
        crate, kind, function = chance.choice(crates), chance.choice(kinds), chance.choice(functions)
        modules = chance.sample(all_modules, chance.randint(1, 3))
        path = "".join(f"{len(word)}{word}" for word in (crate, *modules, kind, function))
        legacy.append(f"_ZN{path}")
        inner = "".join(f"{len(word)}{word}" for word in (*modules, kind, function))
        modern.append(f"_RNvM{'Nt' * len(modules)}Cs{chance.getrandbits(62):x}_{len(crate)}{crate}{inner}")
    return legacy, modern


def places(count: int, first: int = FIRST) -> tuple[array[int], array[int]]:
    """Addresses and sizes of *count* functions, one after another, 16 to 188 bytes each."""
    chance = random.Random(188)
    cycle = [4 * chance.randint(4, 47) for _ in range(4096)]
    sizes = array("Q", (cycle * (count // len(cycle) + 1))[:count])
    addresses = array("Q", bytes(8 * count))
    at = first
    for number, size in enumerate(sizes):
        addresses[number] = at
        at += size
    return addresses, sizes
