"""What the tables say an instruction reads and writes is what a processor does, register by register."""

from __future__ import annotations

import random
from functools import lru_cache

import pytest

from stubgen.registers import access
from stubgen.registers.access import UPPER, VECTOR, Access, accesses, saves_in_frame

WORDS_OF_A_ROW = 40
CODE, MEMORY, MEMORY_SIZE = 0x40_0000, 0x4000_0000, 0x4_0000
LITERALS = 1 << 20
"""Bytes that ldr (literal) reaches, on both sides."""
NOT_EXECUTED = {
    "svc": {(0xFFE0001F, 0xD4000001)},
    "exceptions": {(0xFF000000, 0xD4000000)},
    "msr (immediate), sysl": {(0xFFF8F01F, 0xD500401F), (0xFFF80000, 0xD5280000)},
    "signed pointers": {
        (0xFE000000, 0xD6000000),
        (0xFEFFF000, 0xD61F0000),
        (0xFFFFF000, 0xD63F0000),
        (0xFFFFF000, 0xD73F0000),
        (0xFF200C00, 0xF8200400),
        (0xFF200C00, 0xF8200C00),
        (0x7FE0FC00, 0x1AC03000),
    },
    "flag operations": {(0xFFFFFF1F, 0xD500401F)},
    "memory tags": {
        (0xFFC00000, 0x68800000),
        (0xFFC00000, 0x69800000),
        (0xFF200C00, 0xD9200000),
        (0xFF200000, 0xD9200000),
        (0xFFE0FC00, 0xBAC00000),
        (0x7FE0E800, 0x1AC00000),
    },
    "memory copies": {(0x3B200C00, 0x19000400)},
    "bfloat16, and dot products by an element": {
        (0xBFC0F400, 0x0FC0F000),
        (0xBF40F400, 0x0F00F000),
        (0xBFC0F400, 0x0F40F000),
    },
}
"""What the emulator has not, or an ordinary program may not do: mask and word of its rows."""
GROUPS = ("IMMEDIATE", "BRANCHES", "MEMORY", "ARITHMETIC", "VECTORS")


class Processor:
    """A CPU emulator that executes one instruction from a given state."""

    def __init__(self) -> None:
        from unicorn import UC_ARCH_ARM64, UC_HOOK_MEM_WRITE, UC_MODE_ARM, Uc
        from unicorn import arm64_const as reg

        self.cpu = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        self.cpu.ctl_set_cpu_model(reg.UC_CPU_ARM64_MAX)
        self.cpu.mem_map(CODE - LITERALS, 2 * LITERALS)
        self.cpu.mem_map(MEMORY, MEMORY_SIZE)
        self.content = random.Random(1).randbytes(MEMORY_SIZE)
        self.cpu.mem_write(MEMORY, self.content)
        general = [getattr(reg, f"UC_ARM64_REG_X{n}") for n in range(31)]
        vectors = [getattr(reg, f"UC_ARM64_REG_V{n}") for n in range(32)]
        self.registers = [*general, reg.UC_ARM64_REG_SP, *vectors, reg.UC_ARM64_REG_NZCV]
        self.cpu.reg_write(reg.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        self.stores: list[tuple[int, int, int]] = []
        self.cpu.hook_add(UC_HOOK_MEM_WRITE, lambda _cpu, _kind, *store: self.stores.append(store[:3]))

    def execute(self, word: int, state: list[int]) -> tuple[list[int], list[tuple[int, int, int]]]:
        """Registers after *word*, and what it stored where.

        Raises:
            UcError: it is no instruction, or reaches beyond the memory.
        """
        self.stores.clear()
        self.cpu.mem_write(CODE, word.to_bytes(4, "little"))
        self.cpu.ctl_remove_cache(CODE, CODE + 4)
        for register, value in zip(self.registers, state, strict=True):
            self.cpu.reg_write(register, value)
        self.cpu.emu_start(CODE, CODE + 0x1000, count=1)
        after = [self.cpu.reg_read(register) for register in self.registers]
        for place, size, _ in self.stores:
            self.cpu.mem_write(place, self.content[place - MEMORY : place - MEMORY + size])
        return after, list(self.stores)


@lru_cache(maxsize=1)
def processor() -> Processor:
    """The one that all rows are executed by."""
    return Processor()


def a_state(source: random.Random, word: int) -> list[int]:
    """Random registers; where *word* goes to memory, all addresses in it, and its Rm a small distance."""
    general = [source.getrandbits(64) for _ in range(31)]
    if word >> 25 & 0b0101 == 0b0100:
        general = [MEMORY + 0x8000 + 64 * source.randrange(256) for _ in range(31)]
        if (word >> 16 & 0x1F) < 31:
            general[word >> 16 & 0x1F] = 16 * source.randrange(64)
    elif word >> 25 == 0b1101011:
        general = [CODE] * 31
    sp = MEMORY + 0x8000 + 64 * source.randrange(256)
    return [*general, sp, *(source.getrandbits(128) for _ in range(32)), source.randrange(16) << 28]


def other_than(state: list[int], kept: int, source: random.Random, word: int) -> list[int]:
    """*state* with other values in all registers but those of *kept*."""
    other = a_state(source, word)
    mixed = [old if kept >> number & 1 else new for number, (old, new) in enumerate(zip(state, other, strict=True))]
    for number in range(8, 16):
        at = VECTOR + number
        if kept >> at & 1 and not kept >> UPPER + number - 8 & 1:
            mixed[at] = state[at] & (1 << 64) - 1 | other[at] >> 64 << 64
    return mixed


def words_of(group: tuple[Access, ...], row: Access, source: random.Random) -> list[int]:
    """Random instructions for which *row* is the first that speaks; unallocated ones make the emulator abort."""
    from capstone import CS_ARCH_ARM64, CS_MODE_ARM, Cs

    decoder = Cs(CS_ARCH_ARM64, CS_MODE_ARM)
    found = []
    for _ in range(40 * WORDS_OF_A_ROW):
        word = source.getrandbits(32) & ~row.mask | row.word
        first = next(each for each in group if word & each.mask == each.word)
        if first is row and any(decoder.disasm_lite(word.to_bytes(4, "little"), CODE)):
            found.append(word)
    return found


ROWS = [
    pytest.param(getattr(access, name), row, id=f"{name.lower()}-{row.word:08x}")
    for name in GROUPS
    for row in getattr(access, name)
    if not any((row.mask, row.word) in rows for rows in NOT_EXECUTED.values())
]


@pytest.mark.parametrize(("group", "row"), ROWS)
def test_a_row_is_what_a_processor_does(group: tuple[Access, ...], row: Access) -> None:
    """Nothing but what it writes changes, and what it reads alone decides what it writes.

    A register that is read and not named here would be one whose loss nobody sees.
    """
    from unicorn import UcError

    source = random.Random(row.word)
    executed = 0
    for word in words_of(group, row, source):
        reads, writes = accesses(word)
        state = a_state(source, word)
        try:
            after, stores = processor().execute(word, state)
            other = other_than(state, reads, source, word)
            again, stored = processor().execute(word, other)
        except UcError:
            continue
        executed += 1
        assert stores == stored, f"{word:08x} stores something else"
        for number, (first, second) in enumerate(zip(after, again, strict=True)):
            if writes >> number & 1:
                assert first == second, f"{word:08x}: register {number} depends on what is not read"
            else:
                assert (first, second) == (state[number], other[number]), f"{word:08x}: register {number} is written"
        if executed == WORDS_OF_A_ROW:
            break
    assert executed, "no word of this row was executed"


SAVING = {
    "str x1, [sp, 8]": (0xF90007E1, True),
    "stp x0, x1, [sp, -16]!": (0xA9BF07E0, True),
    "stp q0, q1, [sp, 32]": (0xAD0107E0, True),
    "str x1, [x29, 8]": (0xF90007A1, True),
    "str x1, [x2, 8]": (0xF9000441, False),
    "ldr x1, [sp, 8]": (0xF94007E1, False),
    "ldp x0, x1, [sp], 16": (0xA8C107E0, False),
    "add x0, sp, 8": (0x910023E0, False),
}


@pytest.mark.parametrize("text", SAVING)
def test_what_saves_in_the_frame(text: str) -> None:
    """A function of any number of arguments begins so, whatever it was given; a load does not."""
    word, expected = SAVING[text]
    assert saves_in_frame(word) is expected
