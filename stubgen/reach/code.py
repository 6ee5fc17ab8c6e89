"""Where code of a linked image leads to given addresses: branches, and address arithmetic.

Words are looked at by the column: an immediate that counts words from its own place, with that place's number added,
is the same for all branches to one target, whatever the instruction.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

from stubgen.common.aarch64 import ADD, IMMEDIATE_AT, IMMEDIATE_LIMIT, LOAD, PAGE, PAGE_MASK, REGISTERS, page_of, writes
from stubgen.common.columns import column, column_bytes
from stubgen.common.row import Row
from stubgen.compare.fields import PAGE as PAGE_BYTES
from stubgen.compare.fields import signed
from stubgen.image import Code

WORDS_AT_ONCE = 1 << 14
"""Words of a column looked at together: many enough for whole-column arithmetic, few enough for the cache."""


class Instruction(Row):
    """One that counts words from itself: Arm ARM C4.1."""

    mask: int
    word: int
    name: str
    first: int  # bit of the count
    bits: int
    calls: bool  # it goes there; otherwise it makes or loads an address


RELATIVE = (
    Instruction(0xFC000000, 0x94000000, "bl", 0, 26, True),
    Instruction(0xFC000000, 0x14000000, "b", 0, 26, True),
    Instruction(0xFF000000, 0x54000000, "b.cond", 5, 19, True),
    Instruction(0x7F000000, 0x34000000, "cbz", 5, 19, True),
    Instruction(0x7F000000, 0x35000000, "cbnz", 5, 19, True),
    Instruction(0xFF000000, 0x10000000, "adr", 5, 19, False),  # of a multiple of 4: immlo is 0
    Instruction(0xFF000000, 0x58000000, "ldr", 5, 19, False),  # literal, 64-bit
    Instruction(0x7F000000, 0x36000000, "tbz", 5, 14, True),
    Instruction(0x7F000000, 0x37000000, "tbnz", 5, 14, True),
)
_FIELDS = sorted({(instruction.first, instruction.bits) for instruction in RELATIVE})
_GOT_PAGES = 8  # ldr's scaled immediate reaches 32 KiB: GCC's -fpic counts from the GOT's first page
_NO_REGISTERS = 0xFFFFFFFF & ~REGISTERS
_WINDOW = 1 << 15  # bytes before an access in which its page may be loaded, at least


class Hit(Row):
    """An instruction that leads to an address."""

    address: int  # of the instruction
    instruction: str
    target: int
    calls: bool


def branches(code: Code, targets: Collection[int]) -> Iterator[Hit]:
    """What in *code* names one of *targets* by its distance in words."""
    content = code.content[: len(code.content) & ~3]
    for start in range(0, len(content), 4 * WORDS_AT_ONCE):
        piece = bytes(content[start : start + 4 * WORDS_AT_ONCE])
        address = code.address + start
        for first, bits in _FIELDS:
            near = _near(targets, address, len(piece), bits)
            if near:
                yield from _branches_in(piece, address, near, first, bits)


def _near(targets: Collection[int], address: int, size: int, bits: int) -> list[int]:
    """Those within the reach of an immediate of *bits* bits in the *size* bytes at *address*."""
    far = 4 << bits - 1
    return [target for target in targets if address - far <= target < address + size + far and not target & 3]


def _branches_in(piece: bytes, address: int, targets: Collection[int], first: int, bits: int) -> Iterator[Hit]:
    limit = (1 << bits) - 1
    wanted = {(target - address >> 2) & limit: target for target in targets}
    values = _counted_from_start(piece, first, bits)
    if wanted.keys().isdisjoint(values):
        return
    words = column("I", piece)
    for index in [index for index, value in enumerate(values) if value in wanted]:
        for one in RELATIVE:
            if (one.first, one.bits) == (first, bits) and words[index] & one.mask == one.word:
                place = address + 4 * index
                target = place + 4 * signed(words[index] >> first, bits)
                if target in targets:
                    yield Hit(place, one.name, target, one.calls)


def _counted_from_start(piece: bytes, first: int, bits: int) -> array[int]:
    """What each word's immediate leads to, in words from the start of *piece*, modulo 1 << *bits*."""
    count = len(piece) // 4
    ones, places = _lanes(count)
    limits = ones * ((1 << bits) - 1)
    raw = int.from_bytes(piece, "little")
    values = (((raw >> first) & limits) + (places & limits)) & limits
    return column("I", values.to_bytes(len(piece), "little"))


@lru_cache(maxsize=4)
def _lanes(count: int) -> tuple[int, int]:
    """A number whose 32-bit digits are all 1, and one whose digits count from 0; *count* of them."""
    columns = array("I", [1]) * count, array("I", range(count))
    ones, places = (int.from_bytes(column_bytes(values), "little") for values in columns)
    return ones, places


class Accesses:
    """Where code adds to a page what makes one of some addresses, or loads from one."""

    def __init__(self, functions: Collection[int], words: Collection[int]) -> None:
        self._wanted: dict[int, dict[int, int]] = {}  # instruction, less its registers -> page -> target
        for target in functions:
            self._want(ADD, 0, target, target & -PAGE_BYTES)
        for word in words:
            for page in range(word & -PAGE_BYTES, (word & -PAGE_BYTES) - _GOT_PAGES * PAGE_BYTES, -PAGE_BYTES):
                self._want(LOAD, 3, word, page)
        self._pages = {page for pages in self._wanted.values() for page in pages}

    def _want(self, instruction: int, scale: int, target: int, page: int) -> None:
        immediate = target - page >> scale
        if immediate < IMMEDIATE_LIMIT and not (target - page) & (1 << scale) - 1:
            self._wanted.setdefault(instruction | immediate << IMMEDIATE_AT, {})[page] = target

    def find(self, code: Code, bounds: Callable[[int], tuple[int, int]]) -> Iterator[Hit]:
        """Those in *code*; *bounds* gives the first and one-past-last address of the function around one."""
        content = code.content[: len(code.content) & ~3]
        pages = _pages_loaded(content, code.address, self._pages)
        if not pages:
            return
        places = [place for place, _, _ in pages]
        flows: dict[int, _Flow] = {}
        for place, word in self._additions(content, code.address):
            targets, base = self._wanted[word & _NO_REGISTERS], word >> 5 & 0x1F
            first, last = _window(place, *bounds(place))
            first = max(first, code.address)
            loaded = pages[bisect_left(places, first) : bisect_left(places, last)]
            for page in {page for _, register, page in loaded if register == base and page in targets}:
                flow = flows.get(first)
                if flow is None:
                    raw = content[first - code.address : max(last, place + 4) - code.address]
                    flow = flows[first] = _Flow(first, column("I", raw[: len(raw) & ~3]))
                if flow.has_page(place, base, page):
                    yield Hit(place, "ldr" if word & LOAD == LOAD else "add", targets[page], False)

    def _additions(self, content: memoryview, address: int) -> Iterator[tuple[int, int]]:
        """Address and word of each instruction that, after the right page, would be one that is sought."""
        wanted = self._wanted.keys()
        for start in range(0, len(content), 4 * WORDS_AT_ONCE):
            piece = bytes(content[start : start + 4 * WORDS_AT_ONCE])
            masked = int.from_bytes(piece, "little") & _lanes(len(piece) // 4)[0] * _NO_REGISTERS
            values = column("I", masked.to_bytes(len(piece), "little"))
            if not wanted.isdisjoint(values):
                words = column("I", piece)
                for index in [index for index, value in enumerate(values) if value in wanted]:
                    yield address + start + 4 * index, words[index]


def _pages_loaded(content: memoryview, address: int, wanted: Collection[int]) -> list[tuple[int, int, int]]:
    """Each ``adrp`` of one of the pages *wanted*: (its address, its register, the page), ascending."""
    words = column("I", content)
    found = []
    for index in [match.start() for match in _ADRP.finditer(bytes(content[3::4]))]:
        page = page_of(words[index], address + 4 * index)
        if page in wanted:
            found.append((address + 4 * index, words[index] & 0x1F, page))
    return found


_ADRP = re.compile(rb"[\x90\xb0\xd0\xf0]")  # the top byte


def _window(place: int, first: int, last: int) -> tuple[int, int]:
    """The part of a function, from *first* to *last*, in which a page for what is at *place* is looked for.

    Large ones are cut into a few parts, so that what is found out of one serves many places in it.
    """
    start = first + max((place - first) // _WINDOW - 1, 0) * _WINDOW
    return start, min(last, start + 3 * _WINDOW)


class _Flow:
    """The ways through one function."""

    def __init__(self, address: int, words: array[int]) -> None:
        self.address = address
        self.words = words
        self._jumps: dict[int, list[int]] = {}  # index of a word -> the branches to it
        self._indirect: list[int] = []  # branches that may lead anywhere
        tops = bytes(column_bytes(words)[3::4])
        for index in (match.start() for match in _BRANCH.finditer(tops)):
            word = words[index]
            if word & _INDIRECT_MASK == _BR:
                self._indirect.append(index)
            for one in RELATIVE:
                if one.calls and one.name != "bl" and word & one.mask == one.word:
                    self._jumps.setdefault(index + signed(word >> one.first, one.bits), []).append(index)

    def _before(self, index: int) -> Sequence[int]:
        """The words after which the one at *index* may run; where nothing names it, all indirect branches."""
        before = self._jumps.get(index, [])
        if index and not _ends(self.words[index - 1]):
            return [*before, index - 1]
        return before or self._indirect

    def has_page(self, place: int, register: int, page: int) -> bool:
        """Whether, on some way to the word at *place*, *register* holds *page*."""
        waiting, seen = [(place - self.address) // 4], set()
        while waiting:
            for index in self._before(waiting.pop()):
                if index in seen or index >= len(self.words):
                    continue
                seen.add(index)
                word = self.words[index]
                if word & PAGE_MASK == PAGE and word & 0x1F == register:
                    if page_of(word, self.address + 4 * index) == page:
                        return True
                elif not writes(word, register):
                    waiting.append(index)
        return False


_BR, _RET, _INDIRECT_MASK = 0xD61F0000, 0xD65F0000, 0xFFFFFC1F
_BRANCH = re.compile(rb"[\x14-\x17\x34-\x37\x54\xb4-\xb7\xd6]")  # the top byte of b, cbz, tbz, b.cond, br


def _ends(word: int) -> bool:
    """Whether what follows *word* runs only if something leads there: b, br, ret, udf, brk."""
    return (
        word & 0xFC000000 == 0x14000000 or word & _INDIRECT_MASK in (_BR, _RET) or word >> 21 == 0x6A1 or not word >> 16
    )
