"""Variables that the old code of a patch's functions uses, and of which the patch has nothing.

An edit deleted them; or nobody writes them any more, and the compiler put what they began with into the code: then the
patch's functions go on with that, and what the process has is lost. A static variable that code reaches directly is of
that code's file, whatever symbols say. Debug information of the patch's object goes on describing the latter kind;
without it nothing tells the two apart.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from stubgen.common.aarch64 import (
    ADD,
    IMMEDIATE_AT,
    IMMEDIATE_LIMIT,
    PAGE_MASK,
    REGISTERS,
    page_of,
    page_offset,
    writes,
)
from stubgen.common.columns import column
from stubgen.common.text import as_bytes, as_text
from stubgen.host import Host
from stubgen.image import Candidate, Image
from stubgen.resolve.verdicts import SharedVariable
from stubgen.symbols.rust import crate_of, is_rust_name, rust_parts
from stubgen.symbols.versions import base_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.replaced import Replaced
    from stubgen.resolve.resolution import Resolution

ABANDONED = (
    "the old code of its file uses it, and the patch has none: if no code writes it any more, the compiler put its "
    "first value into the code, and what the process has in it is lost (compile with -g: it is told then from one that "
    "the edit deleted)"
)
UNPLACED = (
    "the old code uses it, and the patch has none: it may be another file's, if the host was linked with -flto; else, "
    "if no code writes it any more, the compiler put its first value into the code, and what the process has in it is "
    "lost (compile with -g: it is told then)"
)
"""The same where the host does not say the variable's file: its functions may have code of others in them."""

_PAGES = re.compile(rb"[\x10\x30\x50\x70\x90\xb0\xd0\xf0]")
"""The top byte of ``adr`` and ``adrp``."""
_ADR = 0x10000000
_AHEAD = 24
"""Words behind an instruction in which what it made is looked for."""
_LONGEST = 1 << 16
"""Bytes of a function that are looked at."""
_STATE = (".data", ".bss", *(f"__DATA,{name}" for name in ("__data", "__bss", "__common", "__thread_vars")))
"""The sections of a linked image in which variables lie that code writes; of Mach-O's thread-locals the descriptors."""
_OF_FUNCTION = re.compile(rb"_ZZ.*E(\d+)([A-Za-z_]\w*)")
"""A static of a C++ function (Itanium C++ ABI 5.1.6), and a number behind it."""
_MADE = re.compile(rb"_?(_ZGV|_MergedGlobals|__compound_literal|__prof|__llvm|__tls_guard|_ZTH)|\$")
"""How names of variables begin that nobody wrote."""


def variables_abandoned(
    host: Host, replaced: Replaced, judged: Resolution, objects: Mapping[str, Image]
) -> tuple[SharedVariable, ...]:
    """The static variables of the *host*'s that its functions use, and of which the patch that replaces those has none.

    Args:
        host: the program.
        replaced: the functions of both.
        judged: the verdicts.
        objects: name -> image, of the patch's own objects.

    Raises:
        MalformedInput: an object or the host is broken.
    """
    image = host.image
    found = _unknown(image, judged, objects.values())
    if not found:  # as nearly always: no code needs to be read
        return ()
    sizes = {each: each.size or image.maximum_size(each.address) or 1 for each in found}
    used = _used(host, replaced, _Ranges((each.address, each.address + size) for each, size in sizes.items()))
    places = sorted(used)
    told: dict[str, SharedVariable] = {}
    for each, size in sizes.items():
        inside = places[bisect_left(places, each.address) : bisect_left(places, each.address + size)]
        users = [objects[title] for title in {title for place in inside for title in used[place]} if title in objects]
        row = _told(each, users) if _may_be_of(each, _sources(users)) else None
        if row is not None:
            told.setdefault(row.name, row)
    return tuple(told.values())


def _told(candidate: Candidate, users: Iterable[Image]) -> SharedVariable | None:
    """What is to be said of a variable that functions in *users* have used; None where nothing is known of it."""
    from stubgen.resolve.other_forms import FOLDED

    described = [_is_described(candidate, user) for user in users]
    if not any(described) and None not in described:
        return None
    without = ABANDONED if candidate.file else UNPLACED
    reason, there = (FOLDED, False) if any(described) else (without, True)
    name = as_text(candidate.name)
    return SharedVariable(name, 0, writable=True, forwarded=False, reason_not_kept=reason, only_in_host=there)


def _unknown(image: Image, judged: Resolution, objects: Collection[Image]) -> list[Candidate]:
    """The static variables of a linked image that may be of the files of *objects*, which do not know them."""
    prefix = b"_" if image.format == "macho" else b""
    known = {*_known(judged), *(as_bytes(row.name) for row in judged.shared_variables)}
    kept = _Ranges(
        (row.static_address, row.static_address + max(row.size, 1))
        for row in judged.shared_variables
        if row.static_address is not None and not row.patch
    )

    sources = _sources(objects)

    def may_be_unknown(name: bytes) -> bool:
        return name not in known and name.startswith(prefix) and not _MADE.match(name) and b".llvm." not in name

    found = [
        each
        for each in image.static_variables(may_be_unknown, _STATE)
        if each.writable
        and (not each.hidden or is_rust_name(each.name))
        and each.address not in kept
        and _may_be_of(each, sources)
    ]
    return _without_other_forms(found, known, judged, prefix) if found else []


def _without_other_forms(
    found: Iterable[Candidate], known: Iterable[bytes], judged: Resolution, prefix: bytes
) -> list[Candidate]:
    """Those of *found* that no object has in another build's form: renumbered, of another linkage or compiler."""
    from stubgen.symbols.cxx import other_linkages

    plain = {_plain(name) for name in known}
    written = {_written(each.name.removeprefix(prefix))[0] for each in judged.needed.variables}
    return [
        each
        for each in found
        if _plain(each.name) not in plain
        and plain.isdisjoint(other_linkages(each.name))
        and _written(each.name.removeprefix(prefix))[0] not in written
    ]


class _Ranges:
    """Ranges of addresses, each from its first to one past its last."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last in sorted(pairs):
            if self._ends and first <= self._ends[-1]:
                self._ends[-1] = max(last, self._ends[-1])
            else:
                self._starts.append(first)
                self._ends.append(last)

    def __contains__(self, address: int) -> bool:
        before = bisect_right(self._starts, address) - 1
        return before >= 0 and address < self._ends[before]

    def pages(self) -> _Ranges:
        """The same, each from the beginning of its page on."""
        return _Ranges((first & -IMMEDIATE_LIMIT, last) for first, last in zip(self._starts, self._ends, strict=True))


def _known(judged: Resolution) -> Iterator[bytes]:
    """The names that the patch's objects define or use."""
    yield from judged.needed.references.names
    for image in judged.needed.images:
        yield from image.definitions()
    yield from (variable.name for variable in judged.needed.variables)


def _plain(name: bytes) -> bytes:
    """What stays of a variable's name in each build: statics of functions and LTO's renamed ones have a number."""
    from stubgen.resolve.renamed import plain_of

    return plain_of(base_name(name))


def _used(host: Host, replaced: Replaced, ranges: _Ranges) -> dict[int, set[str]]:
    """Virtual address of what the host's old functions reach in *ranges* -> the patch's objects that replace them."""
    names = {as_bytes(item.name) for item in replaced.functions}
    sizes = {one.address: one.size for pool in host.find_again(names).values() for one in pool} if names else {}
    code = sorted(host.image.code(), key=lambda each: each.address)
    pages = ranges.pages()
    found: dict[int, set[str]] = {}
    for item in replaced.functions:
        for copy in item.copies:
            start = copy.static_address
            size = min(sizes.get(start) or host.image.maximum_size(start) or 0, _LONGEST) & ~3
            home = next((each for each in code if 0 <= start - each.address < len(each.content)), None)
            if size and home is not None:
                at = start - home.address
                for place in _reached(bytes(home.content[at : at + size]), start, pages):
                    if place in ranges:
                        found.setdefault(place, set()).add(item.object)
    return found


def _reached(content: bytes, start: int, pages: _Ranges) -> set[int]:
    """The virtual addresses that the code at *start* forms, loads from or stores to, of those near *pages*."""
    words = column("I", content)
    found = set[int]()
    for index in (match.start() for match in _PAGES.finditer(content[3::4])):
        word, place = words[index], start + 4 * index
        if word & PAGE_MASK == _ADR:
            count = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            base = place + count - (count >> 20 << 21)
            found.add(base)
        else:
            base = page_of(word, place)
        if base in pages:
            found.update(_offsets(words, index, word & 0x1F, base, deeper=True))
    return found


def _offsets(words: Sequence[int], index: int, register: int, base: int, *, deeper: bool) -> Iterator[int]:
    """The addresses that the code behind the word at *index*, which left *base* in *register*, makes of that."""
    for user in range(index + 1, min(index + 1 + _AHEAD, len(words))):
        word = words[user]
        offset = page_offset(word) if word >> 5 & 0x1F == register else None
        if offset is not None:
            yield base + offset
            if deeper and word & ~REGISTERS & ~(IMMEDIATE_LIMIT - 1 << IMMEDIATE_AT) == ADD:
                yield from _offsets(words, user, word & 0x1F, base + offset, deeper=False)
        if writes(word, register):
            return


def _sources(objects: Iterable[Image]) -> set[bytes]:
    """What the source files of *objects* are called, without their folders; nothing for one that does not say."""
    return {image.source_file.rpartition(b"/")[2] for image in objects}


def _may_be_of(candidate: Candidate, sources: Collection[bytes]) -> bool:
    """Whether nothing says that the host's variable is of another file than *sources*, or of another crate."""
    if is_rust_name(candidate.name):
        crate = crate_of(rust_parts(candidate.name))
        return any(source.partition(b".")[0] == crate for source in sources)
    return not candidate.file or b"" in sources or candidate.file.rpartition(b"/")[2] in sources


def _is_described(candidate: Candidate, image: Image) -> bool | None:
    """Whether debug information of the patch's object has a variable called so; None where it has none."""
    from stubgen.image.dwarf_places import described_in

    if not image.debug_section("debug_info"):
        return None
    name, of_function = _written(candidate.name.removeprefix(b"_" if image.format == "macho" else b""))
    return name in described_in(image.debug_info, functions=of_function)


def _written(name: bytes) -> tuple[bytes, bool]:
    """What people call the variable that compilers call *name*, and whether it is a function's."""
    from stubgen.symbols.cxx import cxx_name

    if is_rust_name(name):  # of which debug information has a namespace for each function
        return next((part for part in reversed(rust_parts(name)) if part), name), False
    static = _OF_FUNCTION.fullmatch(name)
    if static is not None:
        return static[2][: int(static[1])], True
    parts = cxx_name(name) if name.startswith(b"_Z") else None
    if parts is not None:
        return parts.identifier, False
    plain = _plain(name)
    return plain.rpartition(b".")[2], b"." in plain or (plain != name and b".lto_priv" not in name)
