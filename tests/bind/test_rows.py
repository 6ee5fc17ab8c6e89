"""Rows of the tables of ``bind.elf`` that write an immediate: each binds one instruction, which Capstone reads back."""

from __future__ import annotations

import pytest
from bind import executed
from tools import need_module

from stubgen.bind import elf
from stubgen.elf import constants as e
from stubgen.elf import relocations as r
from stubgen.elf.relocations import Relocations
from stubgen.elf.writer import Section
from stubgen.image import Kind
from stubgen.image.elf import ElfImage
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder, parse_symbol

ADRP = 0x90000001  # adrp x1
ACCESSES = {
    "ADD": (0x91000023, 1),
    "LDST8": (0x39400023, 1),
    "LDST16": (0x79400023, 2),
    "LDST32": (0xB9400023, 4),
    "LDST64": (0xF9400023, 8),
    "LDST128": (0x3DC00023, 16),
}
"""What a relocation's name says of the instruction -> one without an offset, from x1 to register 3; its bytes."""


def access_of(kind: int) -> tuple[int, int]:
    """The instruction that a relocation is for, by the relocation's name, and its bytes."""
    return next(row for word, row in ACCESSES.items() if f"_{word}_" in r.NAMES[kind])


def bound(words: list[int], kinds: list[int], addend: int, target: Target) -> tuple[ElfImage, Binder]:
    """The bound copy of an object whose instructions each have a relocation to ``v``."""
    text = executed.words_to_bytes(words)
    count = len(words)
    table = Relocations([4 * n for n in range(count)], [1] * count, kinds, [addend] * count)
    section = Section(".text", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_EXECINSTR, text, 4, table)
    return executed.elf_copy(section, target)


def words_of(image: ElfImage) -> list[int]:
    """The instructions of the copy."""
    text = image.file.section(".text")
    assert text is not None
    raw = bytes(image.file.content(text))
    return [int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)]


def offset_read(word: int) -> int:
    """The bytes that one instruction adds to x1, as Capstone reads it."""
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    (instruction,) = disassembler.disasm(word.to_bytes(4, "little"), 0)
    last = instruction.operands[-1]
    if instruction.mnemonic == "add":
        return int(last.imm << last.shift.value)
    return int(last.mem.disp)


@pytest.mark.parametrize("kind", sorted(elf.NEAR_OFFSETS.keys() - elf.PAIRS.keys()), ids=r.NAMES.get)
def test_an_access_reaches_its_place_in_the_variable(kind: int) -> None:
    """With another scale ``arr[3]`` is silently ``arr[6]``, or the neighbour's."""
    need_module("capstone", "capstone")
    word, size = access_of(kind)
    for addend in (0, 3 * size, 255 * size, 300 * size):
        target = Target(Kind.DATA, SlotKind.ADDRESS, 0x7F12_3456_7000)
        copy, binder = bound([ADRP, word], [r.R_AARCH64_ADR_PREL_PG_HI21, kind], addend, target)
        assert not binder.refusals
        first, second = words_of(copy)
        ((_, rows),) = copy.file.relocations()
        (slot,) = binder.slots.values()
        assert first == 0x58000001, "ldr x1, slot"
        assert list(rows.kind) == [r.R_AARCH64_LD_PREL_LO19]
        assert slot.value + offset_read(second) == target.value + addend
        assert second & 0x3FF == word & 0x3FF
        assert parse_symbol(slot.symbol)[0] == b"v"


@pytest.mark.parametrize("kind", elf.NEAR_OFFSETS, ids=r.NAMES.get)
def test_another_access_than_the_relocation_says_is_refused(kind: int) -> None:
    """Its immediate would count in other units than the linker's."""
    _, size = access_of(kind)
    other = 0x79400023 if size != 2 else 0xB9400023
    if kind == r.R_AARCH64_ADD_ABS_LO12_NC:
        other = 0xF8400023
    target = Target(Kind.DATA, SlotKind.ADDRESS, 0x7F12_3456_7000)
    _, binder = bound([ADRP, other], [r.R_AARCH64_ADR_PREL_PG_HI21, kind], 0, target)
    assert binder.refusals


@pytest.mark.parametrize("kind", elf.THREAD_IMMEDIATES, ids=r.NAMES.get)
def test_a_thread_offset_is_written_in_place(kind: int) -> None:
    """A bit off, and the patch reads another thread-local, or the thread's own control block."""
    need_module("capstone", "capstone")
    name = r.NAMES[kind]
    word, _ = access_of(kind)
    high, unchecked = name.endswith("HI12"), name.endswith("_NC")
    for offset in (16, 0xFF0, 0x1000, 0x12_3450, 0xFF_FFF0, 0x100_0000):
        target = Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, offset)
        copy, binder = bound([word | (1 << 22 if high else 0)], [kind], 0, target)
        fits = offset < (1 << 24 if high else 1 << 12) or unchecked
        assert bool(binder.refusals) is not fits, offset
        if fits:
            (written,) = words_of(copy)
            assert offset_read(written) == (offset & 0xFF_F000 if high else offset & 0xFFF)
            assert written & 0x3FF == word & 0x3FF
            assert not [row for _, rows in copy.file.relocations() for row in rows.rows()]


@pytest.mark.parametrize("kind", elf.MOVES, ids=r.NAMES.get)
def test_a_move_holds_its_16_bits_of_the_address(kind: int) -> None:
    """The large code model: four moves make an address, and one wrong part of it is another address."""
    group = int(r.NAMES[kind].partition("_UABS_G")[2][0])
    unchecked = r.NAMES[kind].endswith("_NC")
    for value in (0x1234, 0xFFFF, 0x1_0000, 0x5678_1234, 0x1_0000_0000, 0x9ABC_5678_1234):
        target = Target(Kind.DATA, SlotKind.ADDRESS, value)
        copy, binder = bound([0xF2800003 | group << 21], [kind], 0, target)
        fits = unchecked or not value >> 16 * (group + 1)
        assert bool(binder.refusals) is not fits, hex(value)
        if fits:
            assert words_of(copy) == [0xF2800003 | group << 21 | (value >> 16 * group & 0xFFFF) << 5]
