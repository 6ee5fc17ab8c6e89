"""Functions and constants whose address a patch's code compares: what the process has is another one.

``slot == on_click`` means the patch's ``on_click`` where its file defines it, and the host registered its own. Calls by
either address are right, where a runtime redirects; the comparison is not.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence

from stubgen.common.aarch64 import (
    ADD,
    IMMEDIATE_AT,
    IMMEDIATE_LIMIT,
    LOAD,
    PAGE_MASK,
    PAGE_SIZE,
    REGISTERS,
    WORD,
    page_of,
    writes,
)
from stubgen.common.columns import column
from stubgen.common.text import as_bytes, as_text
from stubgen.image import Code, Image, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.replaced import Replaced
    from stubgen.resolve.verdicts import SharedVariable

_PAGES = re.compile(rb"[\x10\x30\x50\x70\x90\xb0\xd0\xf0]")
"""The top byte of ``adr`` and ``adrp``."""
_COMPARISONS = ((0xFFE0FC1F, 0xEB00001F), (0xFFE00C10, 0xFA400000))
"""``cmp xn, xm`` and ``ccmp xn, xm`` (Arm ARM C6.2, SUBS (shifted register), CCMP (register)): mask and word."""
_ADR = 0x10000000
_TABLES = (b"_ZTV", b"_ZTC", b"__ZTV", b"__ZTC")
"""How names of virtual tables begin (Itanium C++ ABI 5.1.4.1), in ELF and in Mach-O."""
_AHEAD = 24
"""Words behind an instruction in which what it made is looked for."""


def names_compared(
    patch: Image, host: Image, replaced: Replaced, variables: Sequence[SharedVariable]
) -> tuple[str, ...]:
    """The functions and constants of both whose address the linked *patch* compares with another value.

    What is made far in front of the comparison, or elsewhere than in its function, is not seen. Virtual functions are
    left out: C++ compares none by its address, and GCC does (``-fdevirtualize-speculatively``) to call or inline the
    likeliest one, and calls by the table where it is another.

    Args:
        patch: the linked patch.
        host: as its symbols are read.
        replaced: the functions of both.
        variables: the variables and constants of both.
    """
    names = {item.address: item.name for item in (*replaced.functions, *replaced.undecided)}
    constants = {as_bytes(each.name) for each in variables if not (each.writable or each.forwarded)}
    for pool in patch.find(constants).values() if constants else ():
        names.update({each.address: as_text(each.name) for each in pool if each.kind is Kind.DATA})
    if not names:
        return ()
    held = dict(_pointers(patch, names.keys(), {as_bytes(name): address for address, name in names.items()}))
    compared = {address for section in patch.code() for address in _operands(section, names.keys(), held)}
    compared -= _virtual(patch, compared)
    copies = {
        item.address: {copy.static_address for copy in item.copies}
        for item in (*replaced.functions, *replaced.undecided)
        if item.address in compared and item.copies
    }
    virtual = _virtual(host, set().union(*copies.values()))
    compared -= {address for address, found in copies.items() if found <= virtual}
    return tuple(sorted({names[address] for address in compared}))


def _virtual(image: Image, functions: Collection[int]) -> set[int]:
    """Those of the *functions*, virtual addresses of the linked *image*, that its virtual tables hold."""
    names = image.names_with(_TABLES) if functions else []
    tables = {name for name in names if name.startswith(_TABLES)}
    if not tables:
        return set()
    spans = sorted(
        (each.address, each.address + (each.size or image.maximum_size(each.address) or 0))
        for found in image.find(tables).values()
        for each in found
    )
    starts = [start for start, _ in spans]
    bound = {name: address for address, found in image.names_at(functions).items() for name in found}
    return {address for place, address in _pointers(image, functions, bound) if _is_in(place, starts, spans)}


def _is_in(place: int, starts: Sequence[int], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether *place* is in one of the *spans*, which begin at *starts*, ascending."""
    index = bisect_right(starts, place) - 1
    return index >= 0 and place < spans[index][1]


def _pointers(image: Image, addresses: Collection[int], bound: Mapping[bytes, int]) -> Iterator[tuple[int, int]]:
    """Where pointers hold one of *addresses*, or are *bound* to one by its name; and which."""
    from stubgen.compare import host_places

    for place, held in host_places(image).holders(set(addresses), bound.keys()):
        yield place, bound[held] if isinstance(held, bytes) else held


def _operands(code: Code, sought: Collection[int], held: Mapping[int, int]) -> Iterator[int]:
    """Those of the addresses *sought* that *code* makes and compares, or loads from where they are *held*."""
    content = bytes(code.content[: len(code.content) & ~3])
    words = column("I", content)
    pages = {place & -PAGE_SIZE for place in (*sought, *held)}
    for index in (match.start() for match in _PAGES.finditer(content[3::4])):
        word, place = words[index], code.address + WORD * index
        register = word & 0x1F
        if word & PAGE_MASK == _ADR:
            count = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            address = place + count - (count >> 20 << 21)
            if address in sought and _is_compared(words, index, register):
                yield address
            continue
        page = page_of(word, place)
        for user, kind, immediate in _uses(words, index, register) if page in pages else ():
            address = page + immediate if kind == ADD else held.get(page + 8 * immediate, -1)
            if address in sought and _is_compared(words, user, words[user] & 0x1F):
                yield address


def _uses(words: Sequence[int], index: int, register: int) -> Iterator[tuple[int, int, int]]:
    """What adds to the page that the word at *index* leaves in *register*, or loads from it.

    Its index, whether it is an addition or a load, and its immediate.
    """
    for user in range(index + 1, min(index + 1 + _AHEAD, len(words))):
        word = words[user]
        kind = word & ~REGISTERS & ~(IMMEDIATE_LIMIT - 1 << IMMEDIATE_AT)
        if word >> 5 & 0x1F == register and kind in (ADD, LOAD):
            yield user, kind, word >> IMMEDIATE_AT & IMMEDIATE_LIMIT - 1
        if writes(word, register):
            return


def _is_compared(words: Sequence[int], index: int, register: int) -> bool:
    """Whether a comparison behind the word at *index* has what that leaves in *register* for an operand."""
    for word in words[index + 1 : index + 1 + _AHEAD]:
        is_operand = register in (word >> 5 & 0x1F, word >> 16 & 0x1F)
        if is_operand and any(word & mask == wanted for mask, wanted in _COMPARISONS):
            return True
        if writes(word, register):
            return False
    return False
