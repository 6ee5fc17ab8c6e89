"""What was in a register before a call: where a value comes from that may be kept, or left over."""

from __future__ import annotations

from collections.abc import Iterator

from stubgen.common.aarch64 import WORD
from stubgen.common.row import Row
from stubgen.registers.access import accesses
from stubgen.registers.live import Liveness
from stubgen.registers.program import SOMEWHERE, Branch, Program


class _Origin(Row):
    """Where what is in a register before a call comes from."""

    is_set: bool = False  # the caller put it there, or uses what it found there
    is_used: bool = False  # it has been read since, or the function that is called reads it
    is_callers_own: bool = False  # it is there from the caller's beginning


class Past:
    """The code before a call, from its function's beginning, in the order in which it lies there.

    Args:
        program: the code.
        liveness: what that uses.
        call: of the function that is called.
    """

    def __init__(self, program: Program, liveness: Liveness, call: Branch) -> None:
        self.program = program
        self.liveness = liveness
        self.call = call

    def defined(self, registers: int) -> int:
        """Those of *registers* that hold a value of the caller's."""
        return _union(each for each in _each(registers) if self._origin(each).is_set)

    def unused(self, registers: int) -> int:
        """Those of *registers* with a value that nobody has used yet: compilers make none in vain."""
        origins = ((each, self._origin(each)) for each in _each(registers))
        return _union(each for each, origin in origins if origin.is_set and not origin.is_used)

    def first_argument(self, registers: int) -> int:
        """x0, if it is one of *registers* and the caller may have found its own first argument there."""
        return registers & 1 if registers & 1 and self._origin(1).is_callers_own else 0

    def _origin(self, register: int) -> _Origin:
        taken = self.liveness.taken_by(self.call.target)
        used = bool((taken.surely | taken.forwarded) & register)
        body = self.program.body(self.call.address)
        for at in range(self.call.address - WORD, body.start - WORD, -WORD):
            word = self.program.word(at)
            if word is None:
                return _Origin()
            reads, writes = accesses(word)
            if writes & register:
                return _Origin(is_set=True, is_used=used)
            called = self.program.step(at, word).called
            if called is not None and self.liveness.changed_by(called) & register:
                return _Origin(is_set=bool(register & self._results(called)), is_used=used)
            used |= bool(reads & register)
        return _Origin(bool(self.liveness.taken_by(body.start).surely & register), used, is_callers_own=True)

    def _results(self, called: int) -> int:
        """Where the function at that virtual address returns something; x0 where nothing says."""
        known = None if called == SOMEWHERE else self.liveness.signatures.results(called)
        return 1 if known is None else known


def _each(registers: int) -> Iterator[int]:
    """The registers of a set, each as a set."""
    while registers:
        lowest = registers & -registers
        yield lowest
        registers &= ~lowest


def _union(registers: Iterator[int]) -> int:
    return sum(registers)
