"""The registers that a call changes, of those that a call may change."""

from __future__ import annotations

from stubgen.common.aarch64 import WORD
from stubgen.registers.access import FLAGS, UPPER, VECTOR, accesses
from stubgen.registers.program import SOMEWHERE, Program

CHANGEABLE = (1 << 19) - 1 | (0xFF | 0xFFFF << 16) << VECTOR | FLAGS | 0xFF << UPPER
"""What a function may change (AAPCS64 6.1): x0 to x18, v0 to v7, v16 to v31, flags, the upper halves of v8 to v15."""
VENEER = 3 << 16
"""x16 and x17, which a linker may use on the way to any function (AAPCS64 6.1.1): nobody keeps anything there."""
_MOST = 1 << 16
"""Instructions that are followed."""


class Changes:
    """What calls of a program's functions change.

    Args:
        program: the code.
        at_most: what is not certain counts as changed: for code that shall not change too much. Without it, it does
            not count: for what the compiler of a caller may have known.
    """

    def __init__(self, program: Program, *, at_most: bool) -> None:
        self.program = program
        self.at_most = at_most
        self._known: dict[int, int] = {}

    def of(self, function: int) -> int:
        """What a call of the function at that virtual address changes, in ``CHANGEABLE``; of an unknown one, all."""
        if function not in self._known:
            self._known[function] = self._followed(function) & CHANGEABLE | VENEER
        return self._known[function]

    def _followed(self, function: int) -> int:
        """All that the code writes to which *function* leads, whatever it returns from or calls."""
        changed, waiting, seen = 0, [function], set[int]()
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            word = self.program.word(at)
            if word is None or len(seen) > _MOST:
                return CHANGEABLE
            changed |= accesses(word)[1]
            step = self.program.step(at, word)
            if step.called == SOMEWHERE or (step.register is not None and self._leaves(at, step.register)):
                return CHANGEABLE
            waiting += self.program.body(at) if step.register is not None else ()
            then = (at + WORD if step.goes_on else None, step.jump, step.called)  # what is called answers soonest
            waiting += (each for each in then if each is not None)
        return changed

    def _leaves(self, at: int, register: int) -> bool:
        """Whether the jump by *register* is a call: of a PLT's entry or a stub, or of a pointer."""
        if self.at_most:
            return not self.program.jumps_by_table(at, register)
        return register in (16, 17)
