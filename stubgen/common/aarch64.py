"""The processor, as far as more than one part needs to know it: words, user space, landing pads."""

from __future__ import annotations

WORD = 4  # bytes an instruction
ADDRESS_LIMIT = 1 << 48  # user space ends below it (TASK_SIZE with 48-bit virtual addresses)

UNTAGGED = (1 << 56) - 1
"""Mask of an address without its top byte, which the processor ignores and in which Android tags pointers."""

LANDING_PADS = frozenset(
    word.to_bytes(WORD, "little") for word in (0xD503245F, 0xD503249F, 0xD50324DF, 0xD503233F, 0xD503237F)
)
"""bti c, bti j, bti jc, paciasp, pacibsp: where ``br x16`` may land under BTI (Arm ARM, BTypeCompatible).

Compilers leave them out of static functions whose address nobody takes.
"""
