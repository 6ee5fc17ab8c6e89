"""The code of a linked image, instruction by instruction: where each goes on, and what it calls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from functools import cached_property
from itertools import compress, count

from stubgen.common.aarch64 import WORD
from stubgen.common.columns import column
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
        for code, indexes, words in self._branches:
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


def _traps(word: int) -> bool:
    """Whether nothing runs behind *word*: udf, brk."""
    return not word >> 16 or word & 0xFFE0001F == 0xD4200000
