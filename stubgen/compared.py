"""Functions and constants whose address a patch's code compares: what the process has is another one.

``slot == on_click`` means the patch's ``on_click`` where its file defines it, and the host registered its own. Calls by
either address are right, where a runtime redirects; the comparison is not. Often another function makes it:
``unsubscribe(on_click)``. What is handed to one in the patch, the host or an earlier patch is followed there.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from stubgen.common.aarch64 import (
    ADD,
    IMMEDIATE_AT,
    IMMEDIATE_LIMIT,
    INDIRECT_MASK,
    LOAD,
    PAGE_MASK,
    PAGE_SIZE,
    REGISTERS,
    WORD,
    page_of,
    writes,
)
from stubgen.common.columns import column
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text
from stubgen.image import Code, Image, Kind
from stubgen.stub.find import find_stubs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.host import Host
    from stubgen.replaced import Replaced
    from stubgen.resolve.resolution import Resolution

_PAGES = re.compile(rb"[\x10\x30\x50\x70\x90\xb0\xd0\xf0]")
"""The top byte of ``adr`` and ``adrp``."""
_COMPARISONS = ((0xFFE0FC00, 0xEB000000), (0xFFE00C10, 0xFA400000))
"""``subs xd, xn, xm``, which ``cmp`` is, and ``ccmp xn, xm`` (Arm ARM C6.2): mask and word."""
_ADR = 0x10000000
_TABLES = (b"_ZTV", b"_ZTC", b"__ZTV", b"__ZTC")
"""How names of virtual tables begin (Itanium C++ ABI 5.1.4.1), in ELF and in Mach-O."""
_OF_LIBRARY = re.compile(r"_?_ZN[VKRO]*S[tabsiod](?!.*(?:_S_|_M_manager))")
"""How the names of member functions of C++'s library begin (Itanium C++ ABI 5.1.4.1): nobody may take the address of
one ([namespace.std]), and GCC compares those of virtual ones, such as the one that ``std::endl`` calls. GCC's library
itself compares static ones, which it calls ``_S_...`` (``std::any_cast``) and ``_M_manager``
(``std::function::target``), with ``-fno-rtti`` by that alone."""
_AHEAD = 24
"""Words behind ``adrp`` in which what uses its page is looked for."""
_FOLLOWED = 256
"""Words through which an address is followed from where it is made, or from where a function begins."""
_DEEPEST = 4
"""Functions that hand it on to one another."""
_ARGUMENTS = range(8)  # x0 to x7 (AAPCS64, 6.8.2)
_CALLED = frozenset((*range(19), 30))
"""The registers that a call may change (AAPCS64, 6.1.1)."""
_COPY, _COPY_MASK = 0xAA0003E0, 0xFFE0FFE0  # mov xd, xm (Arm ARM C6.2, ORR (shifted register))
_SPILLS = ((0xFFC00000, 0xF9000000, 10, 12), (0xFFE00C00, 0xF8000000, 12, 9))
"""``str xt, [xn, #imm]`` and ``stur``: mask, word, where the offset is and its bits."""
_RELOAD = 1 << 22  # which makes a load of a store
_FRAME = (29, 31)  # x29 and sp
_BRANCH, _CALL = 0x14000000, 0x94000000  # b and bl
_BRANCH_MASK = 0xFC000000
_JUMPS = (
    (_BRANCH_MASK, _BRANCH, 0, 26),
    (0xFF000000, 0x54000000, 5, 19),  # b.cond
    (0x7E000000, 0x34000000, 5, 19),  # cbz, cbnz
    (0x7E000000, 0x36000000, 5, 14),  # tbz, tbnz
)
"""Mask, word, where the distance in words is, and how many bits it has."""
_RET = 0xD65F0000
_BY_REGISTER = (0xD63F0000, 0xD61F0000, _RET)  # blr, br, ret


def names_compared(
    patch: Image,
    host: Image,
    replaced: Sequence[Replaced],
    judged: Resolution,
    idle: Callable[[], Mapping[bytes, int]] = dict,
) -> tuple[str, ...]:
    """The functions and constants of both whose address the linked *patch* compares with another value.

    So are told the functions that an earlier patch has, and the host has not.

    What is kept in memory meanwhile, or handed to a library's function or by a pointer, is not seen. Virtual functions
    are left out: C++ compares none by its address, and GCC does (``-fdevirtualize-speculatively``) to call or inline
    the likeliest one, and calls by the table where it is another.

    Args:
        patch: the linked patch.
        host: as its symbols are read.
        replaced: the functions of both, and of each earlier patch and this one.
        judged: the verdicts: the variables and constants of both, the earlier patches, and where the process has all.
        idle: tells the patch's functions that never run, and how many bytes each has.
    """
    known = [item for each in replaced for item in (*each.functions, *each.undecided)]
    names = {item.address: item.name for item in known if not _OF_LIBRARY.match(item.name)}
    constants = {as_bytes(each.name) for each in judged.shared_variables if not (each.writable or each.forwarded)}
    for pool in patch.find(constants).values() if constants else ():
        names.update({each.address: as_text(each.name) for each in pool if each.kind is Kind.DATA})
    if not names:
        return ()
    held = dict(_pointers(patch, names.keys(), {as_bytes(name): address for address, name in names.items()}))
    callees = _Callees(patch, host, judged)
    found = {pair for section in patch.code() for pair in _operands(section, names.keys(), held, callees)}
    compared = _without_idle(found, patch, idle()) if found else set[int]()
    compared -= _virtual(patch, compared)
    copies = {
        item.address: {copy.static_address for copy in item.copies}
        for item in (*replaced[0].functions, *replaced[0].undecided)
        if item.address in compared and item.copies
    }
    virtual = _virtual(host, set().union(*copies.values()))
    compared -= {address for address, found in copies.items() if found <= virtual}
    return tuple(sorted({names[address] for address in compared}))


def runs_no_more(host: Host, name: str) -> bool:
    """Whether *name* is the program's ``main``, which only start-up code has called, and nobody else can call.

    That it has its own address itself, to report it, leads nowhere; that it calls itself does.

    Raises:
        MalformedInput: the host is broken.
    """
    if name not in _MAIN:
        return False
    from stubgen.reach import find_reach

    (found,) = find_reach(host, [name]).functions
    own = as_bytes(name)
    loaded = {taken.slot for taken in found.taken}
    if found.inlined or any(place.address not in loaded for place in found.pointers):
        return False
    callers = {caller.place.symbol for caller in found.callers}
    takers = {taken.place.symbol for taken in found.taken}
    wrapped = host.find({_WRAPPED_MAIN})[_WRAPPED_MAIN] if _WRAPPED_MAIN in callers | takers else ()
    start_up = {_START, *(() if any(each.size for each in wrapped) else (_WRAPPED_MAIN,))}
    return callers <= start_up and takers <= {*start_up, own}


_MAIN = ("main", "_main")
_START, _WRAPPED_MAIN = b"_start", b"__wrap_main"
"""Who has the address of ``main`` in each program, of glibc's and musl's start-up objects. The second is a label of no
size there; a function of that name stands for ``main`` by ``--wrap=main``, and may call the program's many times."""


def _without_idle(found: Iterable[tuple[int, int]], patch: Image, idle: Mapping[bytes, int]) -> set[int]:
    """The addresses *found* whose places are not all in functions that are *idle*.

    A Mach-O symbol does not say how far its function goes.
    """
    if not idle:
        return {address for address, _ in found}
    from stubgen.reach.labels import Labels

    labels = Labels(patch)
    places = ((address, labels.at(place)) for address, place in found)
    return {address for address, place in places if place.offset >= idle.get(place.symbol, 0)}


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


def _operands(
    code: Code, sought: Collection[int], held: Mapping[int, int], callees: _Callees
) -> Iterator[tuple[int, int]]:
    """Those of the addresses *sought* that *code* makes, or loads from where they are *held*, and that are compared.

    With each, where that instruction is.
    """
    content = bytes(code.content[: len(code.content) & ~3])
    words = column("I", content)
    pages = {place & -PAGE_SIZE for place in (*sought, *held)}
    for index in (match.start() for match in _PAGES.finditer(content[3::4])):
        word, place = words[index], code.address + WORD * index
        register = word & 0x1F
        if word & PAGE_MASK == _ADR:
            count = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            address = place + count - (count >> 20 << 21)
            if address in sought and callees.compare(code.address, words, index, register):
                yield address, place
            continue
        page = page_of(word, place)
        for user, kind, immediate in _uses(words, index, register) if page in pages else ():
            address = page + immediate if kind == ADD else held.get(page + 8 * immediate, -1)
            if address in sought and callees.compare(code.address, words, user, words[user] & 0x1F):
                yield address, place


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


class _Fate(Row):
    """What becomes of an address that code has in a register."""

    compared: bool
    handed: tuple[tuple[int, int], ...] = ()  # virtual address of a function, and in which register it has it


def _fate(start: int, words: Sequence[int], index: int, register: int) -> _Fate:
    """What the code at virtual address *start* does behind the word at *index* with what that leaves in *register*.

    It is followed in the order of the words, and to where they jump ahead, through other registers and through the
    stack.
    """
    registers, slots, handed = {register}, set[tuple[int, int]](), list[tuple[int, int]]()
    ahead: dict[int, tuple[set[int], set[tuple[int, int]]]] = {}
    for at in range(index + 1, min(index + 1 + _FOLLOWED, len(words))):
        word = words[at]
        if at in ahead:
            more, places = ahead.pop(at)
            registers |= more
            slots |= places
        first, second = word >> 5 & 0x1F, word >> 16 & 0x1F
        if not registers.isdisjoint((first, second)) and any(word & mask == wanted for mask, wanted in _COMPARISONS):
            return _Fate(True)
        if (registers or slots) and (target := _ahead(word, at)) > at:
            there = ahead.setdefault(target, (set(), set()))
            there[0].update(registers)
            there[1].update(slots)
        branch = word & _BRANCH_MASK
        if branch in (_BRANCH, _CALL):
            distance = (word & 0x3FFFFFF) - ((word & 0x2000000) << 1)
            handed += [(start + WORD * (at + distance), each) for each in _ARGUMENTS if each in registers]
        if branch == _CALL or word & INDIRECT_MASK in _BY_REGISTER:
            registers -= _CALLED
            if word & INDIRECT_MASK == _RET:
                slots.clear()
        elif word & _COPY_MASK == _COPY and second in registers:
            registers.add(word & 0x1F)
        else:
            _through_stack(word, registers, slots)
        if not registers and not slots and not ahead:
            break
    return _Fate(False, tuple(handed))


def _ahead(word: int, at: int) -> int:
    """Where the *word* at index *at* jumps to, as an index; *at* itself where it does not jump ahead."""
    for mask, jump, first, bits in _JUMPS:
        if word & mask == jump:
            distance = word >> first & (1 << bits) - 1
            return at + distance if distance < 1 << bits - 1 else at
    return at


def _through_stack(word: int, registers: set[int], slots: set[tuple[int, int]]) -> None:
    """Change *registers* and *slots*, by base register and offset, in which an address is, as *word* does."""
    target = word & 0x1F
    for mask, store, at, bits in _SPILLS:
        slot = word >> 5 & 0x1F, word >> at & (1 << bits) - 1 | bits << 16
        if slot[0] in _FRAME and word & mask == store:
            (slots.add if target in registers else slots.discard)(slot)
            return
        if slot[0] in _FRAME and word & mask == store | _RELOAD and slot in slots:
            registers.add(target)
            return
    registers.difference_update([each for each in registers if writes(word, each)])


class _Callees:
    """The functions to which a linked patch's code may hand an address: its own, the host's, earlier patches'.

    Args:
        patch: the linked patch.
        host: the program.
        judged: where the process has that, and the earlier patches.
    """

    def __init__(self, patch: Image, host: Image, judged: Resolution) -> None:
        self._patch = patch
        others = [(each.image, each.slide) for each in judged.needed.previous.patches]
        self._others = [(host, judged.slide.value), *others]
        self._fates: dict[tuple[int, int, int], _Fate] = {}
        self._known: dict[tuple[int, int, int, int], bool] = {}
        self._stubs: dict[int, dict[int, int]] = {}
        self._code: dict[int, list[Code]] = {}

    def compare(self, start: int, words: Sequence[int], index: int, register: int) -> bool:
        """Whether the patch's code compares what the word at *index* leaves in *register*, or has it compared.

        Args:
            start: virtual address of the first word.
            words: the code.
            index: where it is made.
            register: the number of the register.
        """
        return self._is_compared(self._patch, _fate(start, words, index, register), _DEEPEST)

    def _is_compared(self, image: Image, fate: _Fate, deepest: int) -> bool:
        handed = fate.handed if deepest else ()
        return fate.compared or any(self._compares(image, place, number, deepest - 1) for place, number in handed)

    def _compares(self, image: Image, place: int, register: int, deepest: int) -> bool:
        """Whether the function at virtual *place*, or the one to which the stub there leads, compares its argument."""
        target = self._stubs_of(image).get(place)
        if target is not None:
            found = [(other, target - slide) for other, slide in self._others if self._words(other, target - slide)]
            return any(self._compares(other, at, register, deepest) for other, at in found if other is not image)
        key = id(image), place, register, deepest  # what is not found in so many calls may be in more
        if key not in self._known:
            self._known[key] = self._is_compared(image, self._fate_in(image, place, register), deepest)
        return self._known[key]

    def _fate_in(self, image: Image, place: int, register: int) -> _Fate:
        """What the function at virtual *place* does with what it gets in *register*."""
        key = id(image), place, register
        if key not in self._fates:
            words = self._words(image, place)
            self._fates[key] = _fate(place, words, -1, register) if words else _Fate(False)
        return self._fates[key]

    def _stubs_of(self, image: Image) -> dict[int, int]:
        """Virtual address of each stub of a patch -> where it leads in the process."""
        if id(image) not in self._stubs:
            is_host = image is self._others[0][0]
            self._stubs[id(image)] = {} if is_host else {each.address: each.target for each in find_stubs(image)}
        return self._stubs[id(image)]

    def _words(self, image: Image, place: int) -> Sequence[int]:
        """The instructions from virtual *place* on; none where there is no code."""
        if id(image) not in self._code:
            self._code[id(image)] = list(image.code())
        for code in self._code[id(image)]:
            at = place - code.address
            if 0 <= at < len(code.content) and not at % WORD:
                return column("I", bytes(code.content[at : at + WORD * _FOLLOWED]))
        return ()
