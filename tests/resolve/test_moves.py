"""What a host's code says of its variables: which it moves, how many bytes at once, and whose statics they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from resolve.test_keep_state_rules import candidate, defining, variable
from synthetic import BASE, DATA, SIZE, Sym, elf_host

from stubgen.elf import constants as e
from stubgen.image import Candidate, DefiningObject, FunctionSymbol, Image, Reach, Variable
from stubgen.image.dwarf import DebugInfo, Stored
from stubgen.image.elf import ElfImage
from stubgen.resolve.statics import base_of, counterparts
from stubgen.resolve.storage import SHRUNK, UNSURE, Storage, moves

AT = BASE + SIZE + 0x120
"""A variable of the host's; what lies at GOT is the address of another."""
GOT, BEHIND = BASE + SIZE + 0x200, BASE + SIZE + 0x300
NOP, RET = 0xD503201F, 0xD65F03C0


def adrp(register: int, target: int, place: int) -> int:
    """``adrp`` of the page of *target*."""
    pages = ((target >> 12) - (place >> 12)) & 0x1FFFFF
    return 0x90000000 | (pages & 3) << 29 | pages >> 2 << 5 | register


def adr(register: int, target: int, place: int) -> int:
    """``adr`` of *target*."""
    distance = (target - place) & 0x1FFFFF
    return 0x10000000 | (distance & 3) << 29 | distance >> 2 << 5 | register


def low(word: int, target: int, scale: int = 0) -> int:
    """An addition, load or store with the offset of *target* in its page."""
    return word | (target & 0xFFF) >> scale << 10


class Host(ElfImage):
    """A host with code at its functions, one slot in its GOT, and what debug information says of its variables."""

    code: Mapping[int, Sequence[int]] = {}
    debug: object = DebugInfo(lambda name: b"")
    by_llvm = False
    zero_filled = True
    asked: list[int]

    @property
    def may_be_by_llvm(self) -> bool:  # type: ignore[override]  # a cached property otherwise
        """Whether clang may have made some of it."""
        return self.by_llvm

    @property
    def debug_info(self) -> object:  # type: ignore[override]  # likewise
        """Of its variables."""
        return self.debug

    def is_zero_filled(self, candidate: Candidate) -> bool:
        """Whether the variable is all zeroes in the file."""
        return self.zero_filled

    def read_at(self, address: int, size: int, what: str) -> memoryview:
        """The code at *address*."""
        words = [*self.code[address], *[RET] * (size // 4)]
        return memoryview(b"".join(word.to_bytes(4, "little") for word in words)[:size])

    def got_address(self, place: int) -> int | None:
        """What the slot holds."""
        return BEHIND if place == GOT else None

    def maximum_size(self, address: int) -> int | None:
        """Of a function."""
        return 4 * len(self.code[address]) or None

    def functions(self) -> list[FunctionSymbol]:  # type: ignore[override]  # an iterator otherwise
        """As an object of the patch's: one."""
        return [FunctionSymbol(name, 1, 0, weak=False, hidden=False) for name in (b"f", b"end")]


def host(code: Mapping[int, Sequence[int]], *symbols: Sym) -> Host:
    """A host with *code* at its functions."""
    made = Host(elf_host(symbols), "host")
    made.code = code
    return made


def moved(*words: int, size: int | None = None) -> set[tuple[int, int]]:
    """The places that a function moves, as offsets from the variable."""
    found = moves(host({BASE: words}), BASE, 4 * len(words) if size is None else size)
    return {(address - AT, count) for address, count in found}


P1, P2 = adrp(1, AT, BASE), adrp(2, AT, BASE)
FORMS = {
    "ldrb": ((P1, low(0x39400020, AT)), {(0, 1)}),
    "ldrh": ((P1, low(0x79400020, AT, 1)), {(0, 2)}),
    "ldr w": ((P1, low(0xB9400020, AT, 2)), {(0, 4)}),
    "ldr x": ((P1, low(0xF9400020, AT, 3)), {(0, 8)}),
    "strb": ((P1, low(0x39000020, AT)), {(0, 1)}),
    "str x": ((P1, low(0xF9000020, AT, 3)), {(0, 8)}),
    "str s, which GCC and clang use for no number": ((P1, low(0xBD000020, AT, 2)), set()),
    "ldrsw": ((P1, low(0xB9800020, AT, 2)), {(0, 4)}),
    "by an addition": ((P1, low(0x91000022, AT), 0xB9400440), {(4, 4)}),
    "by an addition, an odd place": ((P1, low(0x91000022, AT + 1), 0x39400040), {(1, 1)}),
    "an addition to an unknown base": ((0x91000422, 0x39400040), set()),
    "two additions": ((P1, low(0x91000022, AT), 0x91002043, 0xB9400060), {(8, 4)}),
    "by adr": ((adr(1, AT + 1, BASE), 0x39400020), {(1, 1)}),
    "by adr, backwards": ((NOP, adr(1, AT - 0x20000, BASE + 4), 0x39400020), {(-0x20000, 1)}),
    "in another register": ((P1, low(0x39400040, AT)), set()),
    "of a page further": ((adrp(1, AT + 0x1000, BASE), low(0x39400020, AT)), {(0x1000, 1)}),
    "of a page before": ((adrp(1, AT - 0x5000, BASE), low(0x39400020, AT)), {(-0x5000, 1)}),
    "a literal, 4 bytes": ((0x18000000 | (AT - BASE) // 4 << 5,), {(0, 4)}),
    "a literal, 8 bytes": ((0x58000000 | (AT - BASE) // 4 << 5,), {(0, 8)}),
    "a literal before": ((NOP, 0x58000000 | (-2 & 0x7FFFF) << 5), {(BASE - 4 - AT, 8)}),
    "through the GOT": (
        (P1, low(0xF9400021, GOT, 3), 0xB9400020),
        {(GOT - AT, 8), (BEHIND - AT, 4)},
    ),
    "through the GOT, by a literal": (
        (0x58000001 | (GOT - BASE) // 4 << 5, 0xB9400820),
        {(GOT - AT, 8), (BEHIND + 8 - AT, 4)},
    ),
    "half of what the GOT holds": ((0x18000001 | (GOT - BASE) // 4 << 5, 0xB9400020), {(GOT - AT, 4)}),
    "a load of half of it": ((P1, low(0xB9400021, GOT, 2), 0xB9400020), {(GOT - AT, 4)}),
    "what was loaded is no address": ((P1, low(0xF9400021, AT, 3), 0xB9400020), {(0, 8)}),
    "a store leaves the register": ((P1, low(0xF9000021, AT, 3), low(0x39400020, AT)), {(0, 8), (0, 1)}),
    "an unknown base": ((0x39400020,), set()),
    "a load from nowhere into it": ((P1, 0x39400041, low(0x39400020, AT)), set()),
    "exclusive": ((P1, low(0x91000021, AT), 0x885F7C20), {(0, 4)}),
    "exclusive, into an odd register": ((P1, low(0x91000022, AT), 0x885F7C41), {(0, 4)}),
    "moved on behind a store": ((P2, 0xF8008440, low(0x39400040, AT)), set()),
    "ordered": ((P1, low(0x91000021, AT), 0x08DFFC20), {(0, 1)}),
    "atomic": ((P1, low(0x91000021, AT), 0xF8220020), {(0, 8)}),
    "a pair": ((P1, low(0x91000021, AT), 0xA9400020), set()),
    "a nop between": ((P1, NOP, low(0x39400020, AT)), {(0, 1)}),
    "a move into its base": ((P1, 0xAA0203E1, low(0x39400020, AT)), set()),
    "a move from its base": ((P1, 0xAA0103E2, low(0x39400020, AT)), {(0, 1)}),
    "a third register": ((P1, 0xAA0203E3, low(0x39400020, AT)), {(0, 1)}),
    "a pair loaded into it": ((P1, 0xA9400440, low(0x39400020, AT)), set()),
    "a call between": ((P1, 0x94000000, low(0x39400020, AT)), set()),
    "a call backwards between": ((P1, 0x97FFFFFF, low(0x39400020, AT)), set()),
    "a branch between": ((P1, 0x17FFFFFF, low(0x39400020, AT)), {(0, 1)}),
    "a call by register between": ((P1, 0xD63F0040, low(0x39400020, AT)), set()),
    "a saved register across a call": ((adrp(19, AT, BASE), 0x94000000, low(0x39400260, AT)), {(0, 1)}),
    "x18 across a call": ((adrp(18, AT, BASE), 0x94000000, low(0x39400240, AT)), set()),
    "x30 across a call": ((adrp(30, AT, BASE), 0xD63F0040, low(0x394003C0, AT)), set()),
    "an addition of whole pages": ((P1, 0x91400422, 0x39400040), set()),
    "a subtraction": ((P1, 0xD1000422, 0x39400040), set()),
    "two of them": ((P1, P2, low(0x39400020, AT), low(0x39400440, AT)), {(0, 1), (1, 1)}),
}
"""Instructions -> the offsets from the variable that they move, and how many bytes (Arm ARM C4.1)."""


@pytest.mark.parametrize("name", FORMS)
def test_what_a_function_moves(name: str) -> None:
    """A byte that LLVM made of a number is told by it: what is missed, or seen where it is not, is a wrong value."""
    words, expected = FORMS[name]
    assert moved(*words) == expected


def test_no_more_of_a_function_is_read_than_it_has() -> None:
    """What is behind it is another function's."""
    words = (P1, low(0x39400020, AT))
    assert moved(*words, size=7) == set()
    assert moved(*words, size=8) == {(0, 1)}
    assert moved(*words, size=0) == set()
    long = [NOP] * ((1 << 14) - 2)
    assert moved(P1, *long, low(0x39400020, AT)) == {(0, 1)}
    assert moved(P1, *long, NOP, low(0x39400020, AT)) == set()


class Unit:
    """Variables of one unit, by address."""

    def __init__(self, variables: Mapping[int, Stored]) -> None:
        self.of = variables


class Debug:
    """Debug information with one unit for each file."""

    def __init__(self, files: Mapping[bytes, Mapping[int, Stored]]) -> None:
        self._files = {name: Unit(variables) for name, variables in files.items()}
        self.units = list(self._files.values())

    def called(self, name: bytes) -> list[Unit]:
        """Those of a file's base name."""
        return [self._files[name]] if name in self._files else []

    def variables(self, unit: Unit) -> Mapping[int, Stored]:
        """Where each is."""
        return unit.of


NUMBER, BYTE, FIVE, NINE = Stored(4, b"", True), Stored(1, b"", True), Stored(4, b"5", True), Stored(4, b"9", True)
PLACE = 7


def stored(
    own: Stored | None,
    theirs: Stored | None,
    *,
    zero_filled: bool = True,
    whole: int = 0,
    llvm: tuple[bool, bool] = (True, True),
    file: bytes = b"",
    **facts: object,
) -> str:
    """Why the host may hold the variable otherwise; *whole*: bytes that its code moves at once."""
    patch = Host(elf_host([]), "patch.o")
    patch.debug = Debug({b"a.c": {} if own is None else {PLACE: own}})
    patch.by_llvm = llvm[0]
    words = {1: low(0x39400020, AT), 2: low(0x79400020, AT, 1), 4: low(0xB9400020, AT, 2), 8: low(0xF9400020, AT, 3)}
    code = [P1, words[whole]] if whole else [RET]
    datum = Sym("f", BASE + 12, e.STT_OBJECT)
    image = host({BASE: code, BASE + 8: []}, Sym("f", BASE), Sym("g", BASE + 4), Sym("end", BASE + 8), datum)
    image.debug = Debug({b"b.c": {AT: NINE}, b"a.c": {} if theirs is None else {AT: theirs}})
    if not file:
        image.debug.units.reverse()  # type: ignore[attr-defined]  # as it was set
    image.by_llvm, image.zero_filled = llvm[1], zero_filled
    usual = {"local": True, "size": 1, "place": PLACE, "defined_in": DefiningObject(patch, defining().symbols, b"")}
    return Storage(image).why_otherwise(variable(**{**usual, **facts}), candidate(local=True, address=AT, file=file))


STORED = {
    "the same two numbers": (lambda: stored(FIVE, FIVE), ""),
    "other numbers": (lambda: stored(FIVE, NINE), SHRUNK),
    "a byte here, a number there": (lambda: stored(FIVE, NUMBER), SHRUNK),
    "a number here, a byte there": (lambda: stored(NUMBER, FIVE), SHRUNK),
    "both whole": (lambda: stored(NUMBER, NUMBER), ""),
    "nothing known of the patch's": (lambda: stored(None, FIVE), UNSURE),
    "of the wrong size": (lambda: stored(Stored(0, b"", True), FIVE), UNSURE),
    "a byte here, nothing known there": (lambda: stored(FIVE, None, file=b"src/a.c"), SHRUNK),
    "no number": (lambda: stored(Stored(4, b"", False), None, file=b"a.c"), ""),
    "not all zeroes": (lambda: stored(NUMBER, None, file=b"a.c", zero_filled=False), ""),
    "moved whole": (lambda: stored(NUMBER, None, file=b"a.c", whole=4), ""),
    "moved as two bytes": (lambda: stored(NUMBER, None, file=b"a.c", whole=2), ""),
    "moved as eight": (lambda: stored(NUMBER, None, file=b"a.c", whole=8), ""),
    "moved as a byte": (lambda: stored(NUMBER, None, file=b"a.c", whole=1), UNSURE),
    "not moved": (lambda: stored(NUMBER, None, file=b"a.c"), UNSURE),
    "a byte is always moved whole": (lambda: stored(BYTE, None, file=b"a.c", whole=4), UNSURE),
    "another file's variable": (lambda: stored(NUMBER, NUMBER, file=b"c.c"), UNSURE),
    "GCC on both sides": (lambda: stored(FIVE, NINE, llvm=(False, False)), ""),
    "clang's host": (lambda: stored(FIVE, NINE, llvm=(False, True)), SHRUNK),
    "clang's patch": (lambda: stored(FIVE, NINE, llvm=(True, False)), SHRUNK),
    "a global one": (lambda: stored(FIVE, NINE, local=False), SHRUNK),
    "four bytes of ELF": (lambda: stored(FIVE, NINE, size=4), ""),
    "a thread-local": (lambda: stored(FIVE, NINE, thread_local=True), ""),
}
"""What is known of both -> why the value may be another one."""


@pytest.mark.parametrize("name", STORED)
def test_a_byte_may_stand_for_other_numbers(name: str) -> None:
    """The patch would read its own second number where the host wrote another."""
    found, expected = STORED[name]
    assert found() == expected


def test_what_other_files_see_is_left_whole() -> None:
    """LLVM makes a byte only of what its own file alone sees."""
    image = host({}, Sym("f", BASE))
    image.by_llvm = True
    image.debug = Debug({b"a.c": {PLACE: FIVE, AT: NINE}})
    own = variable(size=1, place=PLACE, defined_in=DefiningObject(image, defining().symbols, b""))
    judged = Storage(image)
    assert judged.why_otherwise(own, candidate(address=AT)) == ""
    assert judged.why_otherwise(own, candidate(address=AT, local=True, hidden=True)) == ""
    assert judged.why_otherwise(own, candidate(address=AT, local=True)) == SHRUNK
    assert judged.why_otherwise(own._replace(local=True), candidate(address=AT)) == SHRUNK


@pytest.mark.parametrize(
    ("size", "said", "expected"),
    [(0, 1, 1), (0, 2, 2), (0, 4, 4), (0, 8, 8), (0, 3, 0), (0, 16, 0), (4, 4, 0), (0, None, 0)],
)
def test_what_is_small_needs_no_more_alignment(size: int, said: int | None, expected: int) -> None:
    """Where the format says no size, debug information does."""
    image = host({})
    image.debug = Debug({b"a.c": {} if said is None else {PLACE: Stored(said, b"", True)}})
    own = variable(size=size, place=PLACE, defined_in=DefiningObject(image, defining().symbols, b""))
    assert Storage(image).small_size(own) == expected


class Users(Reach):
    """Which function of the patch's refers to which variable; functions and variables are pieces by their place."""

    def __init__(self, users: Mapping[bytes, Sequence[int | bytes]], together: bool) -> None:
        self._users = list(users.items())
        self._together = together

    def initialisers(self) -> list[tuple[int, bytes]]:
        """None."""
        return []

    def functions(self) -> Mapping[int, bytes]:
        """By number."""
        return {number: name for number, (name, _) in enumerate(self._users)}

    def targets(self, piece: int) -> Sequence[int | bytes]:
        """The places of the variables."""
        return self._users[piece][1]

    def piece_at(self, place: int) -> int:
        """The variable's."""
        return 1000 if self._together else place

    def definition(self, name: bytes) -> int | None:
        """Nobody asks."""
        return None


def static(name: str, place: int, users: Mapping[bytes, Sequence[int | bytes]], **facts: object) -> Variable:
    """A static of a function, of an object whose functions refer to statics as *users* says."""
    image = Host(elf_host([]), "patch.o")
    image.__dict__["reach"] = Users(users, bool(facts.pop("together", False)))
    of = DefiningObject(image, defining().symbols, b"")
    return variable(**{"name": name.encode(), "place": place, "local": True, "defined_in": of, **facts})


THERE = BASE + SIZE
"""Where the host's statics are, eight bytes each."""


def reads(*numbers: int) -> list[int]:
    """A function that reads these of the host's statics."""
    words = [adrp(1, THERE, BASE)]
    return [*words, *(low(0xF9400020, THERE + 8 * number, 3) for number in numbers), RET]


def told(
    users: Mapping[bytes, Sequence[int | bytes]],
    theirs: Mapping[str, Sequence[int]],
    names: Sequence[str] = ("count.1", "count.2"),
    statics: Sequence[str] = ("count.7", "count.8"),
    more: Sequence[Sym] = (),
    bind: int = e.STB_GLOBAL,
    **facts: object,
) -> dict[str, int]:
    """Which of the host's each of the patch's statics is, by number; *users* name theirs by their place."""
    shared = static("x", 0, users, **dict(facts)).defined_in
    own = [
        static(name, number, users, **{key: fact for key, fact in facts.items() if key != "together"})._replace(
            defined_in=shared
        )
        for number, name in enumerate(names, 1)
    ]
    file = Sym("a.c", 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS)
    local = [Sym(name, THERE + 8 * number, e.STT_OBJECT, e.STB_LOCAL, DATA) for number, name in enumerate(statics)]
    functions = {name: BASE + 0x100 * number for number, name in enumerate(theirs)}
    symbols = [file, *local, *(Sym(name, address, bind=bind, size=0x100) for name, address in functions.items()), *more]
    image = host({functions[name]: reads(*uses) for name, uses in theirs.items()}, *symbols)
    made = counterparts(image, own)
    return {name.decode(): (found.address - THERE) // 8 for name, found in made.items()}


AGREED = {
    "each has its function": (lambda: told({b"f": [1], b"g": [2]}, {"f": [0], "g": [1]}), {"count.1": 0, "count.2": 1}),
    "in another order": (lambda: told({b"f": [1], b"g": [2]}, {"f": [1], "g": [0]}), {"count.1": 1, "count.2": 0}),
    "a part of the function": (
        lambda: told({b"f.cold": [1], b"g": [2]}, {"f": [0], "g": [1]}),
        {"count.1": 0, "count.2": 1},
    ),
    "two functions that agree": (lambda: told({b"f": [1], b"g": [1]}, {"f": [1], "g": [1]}), {"count.1": 1}),
    "two functions that do not": (lambda: told({b"f": [1], b"g": [1]}, {"f": [0], "g": [1]}), {}),
    "two of the patch's are one there": (lambda: told({b"f": [1], b"g": [2]}, {"f": [0], "g": [0]}), {}),
    "what is no static is used too": (lambda: told({b"f": [1, 55, b"g"]}, {"f": [0]}, ("count.1",)), {"count.1": 0}),
    "a global called like a static, of no file": (
        lambda: told(
            {b"f": [1]},
            {"f": [2]},
            ("count.1",),
            more=[Sym("count.9", THERE + 16, e.STT_OBJECT, section=DATA)],
            file=b"",
        ),
        {},
    ),
    "a function uses both": (lambda: told({b"f": [1, 2]}, {"f": [0, 1]}), {}),
    "the host's function uses both": (lambda: told({b"f": [1], b"g": [2]}, {"f": [0, 1], "g": [1]}), {"count.2": 1}),
    "the host's uses none": (lambda: told({b"f": [1], b"g": [2]}, {"f": [], "g": [1]}), {"count.2": 1}),
    "a function is not there": (lambda: told({b"f": [1], b"h": [2]}, {"f": [0]}), {}),
    "nobody uses it": (lambda: told({b"f": [1]}, {"f": [0]}), {"count.1": 0}),
    "other families apart": (
        lambda: told({b"f": [1], b"h": [2]}, {"f": [0]}, ("count.1", "sum.2"), ("count.7", "sum.8")),
        {"count.1": 0},
    ),
    "another family's is none": (lambda: told({b"f": [1]}, {"f": [1]}, ("count.1",), ("count.7", "sum.8")), {}),
    "in one section": (lambda: told({b"f": [1], b"g": [2]}, {"f": [0], "g": [1]}, together=True), {}),
    "no static": (lambda: told({b"f": [1]}, {"f": [0]}, local=False), {}),
    "a constant": (lambda: told({b"f": [1]}, {"f": [0]}, writable=False), {}),
    "a thread-local": (lambda: told({b"f": [1]}, {"f": [0]}, thread_local=True), {}),
    "of no function": (lambda: told({b"f": [1]}, {"f": [0]}, ("count",), ("count",)), {}),
    "of another file": (lambda: told({b"f": [1]}, {"f": [0]}, file=b"b.c"), {}),
    "many names": (
        lambda: told(
            {b"f%d" % n: [n] for n in range(1, 11)},
            {f"f{n}": [n - 1] for n in range(1, 11)},
            [f"v{n}.0" for n in range(1, 11)],
            [f"v{n}.1" for n in range(1, 11)],
        ),
        {f"v{n}.0": n - 1 for n in range(1, 11)},
    ),
    "a function of that name twice": (
        lambda: told({b"f": [1]}, {"f": [0]}, more=[Sym("f", BASE + 0x800)]),
        {},
    ),
    "another file's function of that name": (
        lambda: told(
            {b"f": [1]},
            {"f": [0]},
            more=[Sym("b.c", 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS), Sym("f", BASE + 0x800, bind=e.STB_LOCAL)],
        ),
        {"count.1": 0},
    ),
    "static functions": (
        lambda: told({b"f": [1]}, {"f": [0]}, ("count.1",), bind=e.STB_LOCAL),
        {"count.1": 0},
    ),
    "a function uses both, and another one cannot tell": (
        lambda: told({b"f": [1, 2], b"g": [2]}, {"f": [0], "g": [0, 1]}),
        {},
    ),
    "a datum of that name": (
        lambda: told({b"f": [1]}, {"f": [0]}, more=[Sym("f", THERE + 64, e.STT_OBJECT, section=DATA)]),
        {"count.1": 0},
    ),
    "a function called like a static": (
        lambda: told({b"f": [1]}, {"f": [0]}, more=[Sym("count.9", THERE, e.STT_FUNC, e.STB_LOCAL)]),
        {"count.1": 0},
    ),
    "a global called like a static": (
        lambda: told({b"f": [1]}, {"f": [2]}, more=[Sym("count.9", THERE + 16, e.STT_OBJECT, section=DATA)]),
        {},
    ),
}
"""What uses what in patch and host -> which of the host's each of the patch's is."""


@pytest.mark.parametrize("name", AGREED)
def test_the_functions_tell_which_static_is_which(name: str) -> None:
    """By its number alone a counter would go on with another one's value."""
    found, expected = AGREED[name]
    assert found() == expected


def test_a_static_is_used_by_what_moves_any_of_its_bytes() -> None:
    """A field of a structure is the structure's; one byte behind it is the next one's."""
    users = {b"f": [1], b"g": [2]}
    for at, expected in ((0, 0), (7, 0), (8, 1), (15, 1), (16, None), (-1, None)):
        own = [static("count.1", 1, users), static("count.2", 2, users)]
        own[1] = own[1]._replace(defined_in=own[0].defined_in)
        symbols = [
            Sym("a.c", 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS),
            *(Sym(f"count.{n}", THERE + 8 * n, e.STT_OBJECT, e.STB_LOCAL, DATA) for n in (0, 1)),
            Sym("f", BASE),
            Sym("g", BASE + 64),
        ]
        code = [adrp(1, THERE + at, BASE), low(0x39400020, THERE + at), RET]
        made = counterparts(host({BASE: code, BASE + 64: [RET]}, *symbols), own)
        assert {name: (found.address - THERE) // 8 for name, found in made.items()} == (
            {} if expected is None else {b"count.1": expected}
        )


def test_what_gcc_numbers() -> None:
    """A name without a number is no family's."""
    names = {b"count.0": b"count", b"count.12": b"count", b"f.n": b"", b"count": b"", b"_ZZ1fvE1n_0": b"", b".0": b""}
    assert {name: base_of(name) for name in names} == names


def test_mach_objects_statics_are_not_numbered() -> None:
    """Clang puts the function's name in front."""
    own = static("count.1", 1, {b"f": [1]})
    image: Image = host({})
    image.__dict__["format"] = "macho"
    assert counterparts(image, [own]) == {}
