"""The code of a linked image, instruction by instruction: where each goes on, and what it calls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from functools import cached_property
from itertools import compress, count

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import column, column_bytes
from stubgen.common.row import Row
from stubgen.compare.fields import signed
from stubgen.image import Code, Image
from stubgen.reach.code import RELATIVE
from stubgen.reach.labels import Labels

SOMEWHERE = -1
"""The address that a call by a register goes to."""
_BY_REGISTER = 0xFEFF0000
"""The bits that tell br, blr and ret, and with signed addresses braa, blraa and retaa (Arm ARM C4.1.95)."""
_BR, _BLR, _RET = 0xD61F0000, 0xD63F0000, 0xD65F0000
_TABLE_MASK, _TABLE = 0xFFE09C00, 0x8B208800
"""add xd, xn, wm, sxtb #2 (or sxth, sxtw): the last word before the jump of GCC's switch, whose table counts words."""


_FAR, _SIGN = 0x3FFFFFF, 0x2000000
"""The distance in words of b and bl, and its sign (Arm ARM C4.1.95)."""
_TOP_OF_BRANCH = bytes(top & 0x7C == 0x14 for top in range(256))
"""The last byte of such a word -> 1."""
FEW = 64
"""Targets up to which most branches are seen to lead elsewhere by 16 bits of theirs, with no object an instruction."""
_AT_ONCE = 1 << 16
"""Instructions after which the last 16 bits of their indexes begin again."""


class Branch(Row):
    """A b or bl."""

    address: int  # virtual address
    target: int  # virtual address
    is_call: bool  # it comes back


class Step(Row):
    """Where code goes on behind an instruction."""

    jump: int | None = None  # virtual address that it may go to
    goes_on: bool = True  # the next instruction may run
    called: int | None = None  # virtual address of the function that it calls, or ``SOMEWHERE``
    register: int | None = None  # number of the one that it jumps by
    returns: bool = False


class Program:
    """A linked image's code.

    Raises:
        MalformedInput: its symbols or sections are broken.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.labels = Labels(image)

    @cached_property
    def _code(self) -> list[Code]:
        return sorted(self.image.code(), key=lambda code: code.address)

    @cached_property
    def _starts(self) -> list[int]:
        return [code.address for code in self._code]

    def word(self, address: int) -> int | None:
        """The instruction at virtual *address*; None where there is no code."""
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address & WORD - 1:
            return None
        at = address - self._starts[place]
        raw = self._code[place].content[at : at + WORD]
        return int.from_bytes(raw, "little") if len(raw) == WORD else None

    def step(self, address: int, word: int) -> Step:
        """Where *word* at virtual *address* goes on."""
        for one in RELATIVE:
            if one.calls and word & one.mask == one.word:
                target = address + WORD * signed(word >> one.first, one.bits)
                return Step(called=target) if one.name == "bl" else Step(target, one.name != "b")
        kind = word & _BY_REGISTER
        if kind == _BLR:
            return Step(called=SOMEWHERE)
        if kind == _BR:
            return Step(goes_on=False, register=word >> 5 & 0x1F)
        return Step(goes_on=not _traps(word) and kind != _RET, returns=kind == _RET)

    def body(self, address: int) -> range:
        """The addresses of all instructions of the function around *address*."""
        first, last = self.labels.function_bounds(address)
        return range(first, last, WORD)

    def jumps_by_table(self, address: int, register: int) -> bool:
        """Whether what is before the ``br`` at *address* is the end of a switch's arithmetic."""
        before = self.word(address - WORD)
        return before is not None and before & _TABLE_MASK == _TABLE and before & 0x1F == register

    def entered_by_register(self, address: int) -> Iterator[int]:
        """The addresses in the function around *address* to which nothing leads but a jump by a register."""
        body = self.body(address)
        words = [(at, word) for at in body if (word := self.word(at)) is not None]
        steps = {at: self.step(at, word) for at, word in words}
        led = {step.jump for step in steps.values()}
        for at in body[1:]:
            before = steps.get(at - WORD)
            if before is not None and not before.goes_on and at not in led:
                yield at

    def branches_to(self, targets: Collection[int]) -> Iterator[Branch]:
        """The branches to *targets*, in the order of the code."""
        for code, indexes, words in self._branches if len(targets) > FEW else self._likely(targets):
            for index, word in zip(indexes, words, strict=True):
                target = code.address + WORD * (index + (word & _FAR) - ((word & _SIGN) << 1))
                if target in targets:
                    yield Branch(code.address + WORD * index, target, bool(word >> 31))

    @cached_property
    def _branches(self) -> list[tuple[Code, list[int], list[int]]]:
        """Index and word of each b and bl; by columns, for callers and their callers are sought."""
        found = []
        for code in self._code:
            content = bytes(code.content[: len(code.content) & -WORD])
            is_branch = content[3::WORD].translate(_TOP_OF_BRANCH)
            words = column("I", content)
            found.append((code, list(compress(count(), is_branch)), list(compress(words, is_branch))))
        return found

    def _likely(self, targets: Collection[int]) -> Iterator[tuple[Code, list[int], list[int]]]:
        """Index and word of each b and bl of which the last 16 bits of what it leads to are those of a target."""
        for code, is_branch, low, high in self._ends:
            ends = {(target - code.address) // WORD for target in targets}
            lows, highs = ({end >> shift & 0xFF for end in ends} for shift in (0, 8))
            is_low, is_high = (bytes(byte in each for byte in range(256)) for each in (lows, highs))
            columns = (is_branch, low.translate(is_low), high.translate(is_high))
            one, two, three = (int.from_bytes(each, "little") for each in columns)
            indexes = list(_ones((one & two & three).to_bytes(len(low), "little")))
            raw = [code.content[WORD * index : WORD * index + WORD] for index in indexes]
            yield code, indexes, [int.from_bytes(word, "little") for word in raw]

    @cached_property
    def _ends(self) -> list[tuple[Code, bytes, bytes, bytes]]:
        """Of each word whether it is a b or bl, and the last two bytes of the index of the word that it leads to."""
        found, step = [], WORD * _AT_ONCE
        lanes = _Lanes()
        for code in self._code:
            content = bytes(code.content[: len(code.content) & -WORD])
            ends = b"".join([lanes.ends(content[at : at + step]) for at in range(0, len(content), step)])
            found.append((code, content[3::WORD].translate(_TOP_OF_BRANCH), ends[::2], ends[1::2]))
        return found


class _Lanes:
    """Adds indexes to the last 16 bits of up to ``_AT_ONCE`` words at a time, as one number of 16 bits a word."""

    def __init__(self) -> None:
        indexes = bytearray(2 * _AT_ONCE)
        indexes[::2] = bytes(range(256)) * 256
        indexes[1::2] = b"".join([bytes([high]) * 256 for high in range(256)])
        masks = (b"\xff\x7f" * _AT_ONCE, b"\x00\x80" * _AT_ONCE)
        self._indexes, self._low, self._top = (int.from_bytes(each, "little") for each in (indexes, *masks))

    def ends(self, content: bytes) -> bytes:
        """The sums, 2 bytes a word of *content*, each without its carry."""
        halves = column_bytes(column("H", content)[::2])
        words = int.from_bytes(halves, "little")
        sums = (words & self._low) + (self._indexes & self._low)  # no lane's highest bit can carry into the next one
        return (sums ^ (words ^ self._indexes) & self._top).to_bytes(2 * _AT_ONCE, "little")[: len(halves)]


def _ones(flags: bytes) -> Iterator[int]:
    """Where 1 is in *flags*."""
    at = flags.find(1)
    while at >= 0:
        yield at
        at = flags.find(1, at + 1)


def _traps(word: int) -> bool:
    """Whether nothing runs behind *word*: udf, brk."""
    return not word >> 16 or word & 0xFFE0001F == 0xD4200000
