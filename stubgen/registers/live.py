"""Which registers code reads behind a call before it writes them: what its compiler knew the callee to leave alone.

By the ABI alone nothing is read there but results, and what every function keeps.
"""

from __future__ import annotations

from collections.abc import Callable

from stubgen.common.aarch64 import WORD
from stubgen.common.row import Row
from stubgen.registers.access import VECTOR, accesses, saves_in_frame
from stubgen.registers.changed import CHANGEABLE, Changes
from stubgen.registers.program import SOMEWHERE, Program

ARGUMENTS = 0x1FF | 0xFF << VECTOR
"""x0 to x8 and v0 to v7, in which arguments are (AAPCS64 6.8)."""
RESULTS = 3 | 0xF << VECTOR
"""x0, x1 and v0 to v3, in which results are (AAPCS64 6.9)."""
_MOST = 1 << 14
"""Instructions that are followed behind one call."""
_DEEPEST = 8
"""Calls in calls that are followed."""


class Signatures(Row):
    """What is said of functions, by the virtual address that is called or in which their code is."""

    is_elsewhere: Callable[[int], bool]
    """Whether its code is in another image."""
    arguments: Callable[[int], int | None]
    """The registers in which a function takes what it is given, all of them; None where nothing says."""
    results: Callable[[int], int | None]
    """Those in which it returns something; None where nothing says."""


class Uses(Row):
    """Registers whose values are used: sets as in ``access``."""

    surely: int = 0
    """An instruction reads it, or a function that is known to take it is called."""
    forwarded: int = 0
    """An unknown function is called, with this and all before it as they were: its arguments, if it has any."""
    perhaps: int = 0
    """It may be an argument of an unknown function, or one that a function of any number of arguments saves; or a
    result."""

    def among(self, registers: int) -> Uses:
        """Those of *registers*."""
        return Uses(self.surely & registers, self.forwarded & registers, self.perhaps & registers)

    def also(self, other: Uses) -> Uses:
        """Those of both."""
        return Uses(self.surely | other.surely, self.forwarded | other.forwarded, self.perhaps | other.perhaps)


class Liveness:
    """What a program's code uses of what it finds in registers.

    Args:
        program: the code.
        changes: what its functions change at least.
        signatures: what is said of functions.
    """

    def __init__(self, program: Program, changes: Changes, signatures: Signatures) -> None:
        self.program = program
        self.changes = changes
        self.signatures = signatures
        self._taken: dict[int, Uses] = {}
        self._following: list[int] = []  # the functions whose uses are being sought, one called by the next before it

    def behind(self, call: int, registers: int) -> Uses:
        """What of *registers* is used after the call at virtual address *call* has returned."""
        return self._used_from(call + WORD, registers, in_caller=True)

    def taken_by(self, function: int) -> Uses:
        """The registers that the function at that virtual address uses of what its caller left in them."""
        if function not in self._taken:
            self._following.append(function)
            try:
                self._taken[function] = self._used_from(function, CHANGEABLE, in_caller=False)
            finally:
                self._following.pop()
        return self._taken[function]

    def _used_from(self, start: int, registers: int, *, in_caller: bool) -> Uses:
        """What of *registers* is used from *start* on before it is written; *in_caller* what is returned counts too."""
        kept_in_frame = self.program.body(start) if in_caller else ()
        found = Uses()
        waiting, followed = [(start, registers)], dict[int, int]()
        while waiting:
            at, values = waiting.pop()
            values &= ~followed.get(at, 0)
            if not values:
                continue
            followed[at] = followed.get(at, 0) | values
            word = self.program.word(at)
            if word is None or len(followed) > _MOST:
                found = found.also(self._passed(at, values))
                continue
            reads, writes = accesses(word)
            used = Uses(surely=values & reads)
            found = found.also(used if at in kept_in_frame or not saves_in_frame(word) else Uses(perhaps=used.surely))
            values &= ~writes
            step = self.program.step(at, word)
            if step.called is not None:
                found = found.also(self._taken_in_call(step.called, values))
                values &= ~self.changed_by(step.called)
            if step.register is not None:
                if not self.program.jumps_by_table(at, step.register):
                    found = found.also(self._passed(SOMEWHERE, values))
                waiting += ((each, values) for each in self.program.entered_by_register(at))
            if step.returns and in_caller:
                found = found.also(self._returned(at, values))
            if step.jump is not None and not step.goes_on and self.signatures.is_elsewhere(step.jump):
                found = found.also(self._passed(step.jump, values))
            elif step.jump is not None:
                waiting.append((step.jump, values))
            if step.goes_on:
                waiting.append((at + WORD, values))
        return found

    def _taken_in_call(self, function: int, values: int) -> Uses:
        if self._following[-1:] == [function]:
            return Uses()  # it calls itself: what it uses is being found
        is_unknown = function == SOMEWHERE or self.signatures.is_elsewhere(function)
        if is_unknown or function in self._following or len(self._following) == _DEEPEST:
            return self._passed(function, values)
        return self.taken_by(function).among(values)

    def changed_by(self, function: int) -> int:
        """What a call of the function at that virtual address changes at least; of an unknown one, all."""
        known = function != SOMEWHERE and not self.signatures.is_elsewhere(function)
        return self.changes.of(function) if known else CHANGEABLE

    def _passed(self, function: int, values: int) -> Uses:
        """What of *values* a function takes whose code is not here."""
        taken = None if function == SOMEWHERE else self.signatures.arguments(function)
        if taken is not None:
            return Uses(surely=values & taken)
        forwarded = 0
        while values >> forwarded & 1 and forwarded < 8:
            forwarded += 1
        run = (1 << forwarded) - 1
        return Uses(forwarded=run, perhaps=values & ARGUMENTS & ~run)

    def _returned(self, at: int, values: int) -> Uses:
        """What of *values* the function around *at* returns."""
        results = self.signatures.results(at)
        return Uses(perhaps=values & RESULTS) if results is None else Uses(surely=values & results)
