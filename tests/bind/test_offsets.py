"""Instructions that add a page offset, with a plain offset instead, as Capstone reads them."""

from __future__ import annotations

import pytest
from tools import need_module

from stubgen.common.aarch64 import with_offset

INSTRUCTIONS = {
    "add x3, x1": 0x91000023,
    "ldrb w3, [x1]": 0x39400023,
    "ldrsb x3, [x1]": 0x39800023,
    "strh w3, [x1]": 0x79000023,
    "ldrsh w3, [x1]": 0x79C00023,
    "ldr w3, [x1]": 0xB9400023,
    "ldrsw x3, [x1]": 0xB9800023,
    "str x3, [x1]": 0xF9000023,
    "ldr b3, [x1]": 0x3D400023,
    "ldr h3, [x1]": 0x7D400023,
    "str s3, [x1]": 0xBD000023,
    "ldr d3, [x1]": 0xFD400023,
    "str q3, [x1]": 0x3D800023,
    "ldr q3, [x1]": 0x3DC00023,
}
"""Text -> word, without an offset; the register is 3 and the base 1."""

SIZES = {"b": 1, "h": 2, "s": 4, "w": 4, "d": 8, "x": 8, "q": 16}
OFFSETS = (0, 1, 2, 7, 8, 255, 256, 257, 4095, 4096, 5000, 8190, 16380, 32760, 65520, 65536, 0xFFF000, 0x1000000)


def size_of(text: str) -> int:
    """Bytes that the instruction accesses; of an addition 1."""
    name, register = text.split()[:2]
    if name == "add":
        return 1
    return {"ldrb": 1, "ldrsb": 1, "ldrh": 2, "strh": 2, "ldrsh": 2, "ldrsw": 4}.get(name) or SIZES[register[0]]


def holds(text: str, offset: int) -> bool:
    """Whether one instruction can do it (Arm ARM C6.2: LDR (immediate), LDUR, ADD (immediate))."""
    size = size_of(text)
    if text.startswith("add"):
        return abs(offset) < 4096 or (abs(offset) <= 0xFFF000 and offset % 4096 == 0)
    return (0 <= offset < 4096 * size and offset % size == 0) or -256 <= offset <= 255


@pytest.mark.parametrize("text", INSTRUCTIONS)
def test_the_offset_is_added_and_nothing_else_changes(text: str) -> None:
    """A scaled immediate that is taken for bytes, or a sign that is lost, writes into the host's next variable."""
    need_module("capstone", "capstone")
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    (before,) = disassembler.disasm(INSTRUCTIONS[text].to_bytes(4, "little"), 0)
    for offset in [*OFFSETS, *(-offset for offset in OFFSETS)]:
        word = with_offset(INSTRUCTIONS[text], offset)
        assert (word is not None) == holds(text, offset), (text, offset)
        if word is None:
            continue
        (after,) = disassembler.disasm(word.to_bytes(4, "little"), 0)
        assert after.mnemonic.replace("ldur", "ldr").replace("stur", "str") in (
            before.mnemonic,
            "sub" if text.startswith("add") and offset < 0 else before.mnemonic,
        )
        first, *_, last = after.operands
        assert first.reg == before.operands[0].reg
        if text.startswith("add"):
            assert after.operands[1].reg == before.operands[1].reg
            assert (last.imm << last.shift.value) * (-1 if after.mnemonic == "sub" else 1) == offset
        else:
            assert (last.mem.base, last.mem.index) == (before.operands[-1].mem.base, 0)
            assert last.mem.disp == offset


@pytest.mark.parametrize("word", [0x91000423, 0xB1000023, 0x11000023, 0xB9400423, 0xF8400023, 0x58000003, 0xF94004A3])
def test_other_instructions_are_left_alone(word: int) -> None:
    """An instruction that has an immediate already, or adds 32 bits, is not what the relocation is for."""
    assert with_offset(word, 8) is None
