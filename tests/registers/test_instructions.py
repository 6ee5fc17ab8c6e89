"""Which registers single instructions read and write, by their encodings (Arm ARM C4.1)."""

from __future__ import annotations

import pytest

from stubgen.registers.access import EVERYTHING, accesses, names_of

INSTRUCTIONS = {
    "adr x3, .": (0x10000003, "", "x3"),
    "adds x1, x2, 1": (0xB1000441, "x2", "x1 flags"),
    "cmp sp, 1": (0xF10007FF, "sp", "flags"),
    "add sp, x2, 1": (0x9100045F, "x2", "sp"),
    "ands x1, x2, 1": (0xF2400041, "x2", "x1 flags"),
    "movk x1, 2": (0xF2800041, "x1", "x1"),
    "movz x1, 2": (0xD2800041, "", "x1"),
    "bfi w1, w2, 0, 1": (0x33000041, "x1 x2", "x1"),
    "ubfx x1, x2, 0, 1": (0xD3400041, "x2", "x1"),
    "extr x1, x2, x3, 4": (0x93C31041, "x2 x3", "x1"),
    "bl .": (0x94000000, "", "x30"),
    "b.eq .": (0x54000000, "flags", ""),
    "cbz x5, .": (0xB4000005, "x5", ""),
    "blr x6": (0xD63F00C0, "x6", "x30"),
    "ret": (0xD65F03C0, "x30", ""),
    "svc 0": (0xD4000001, "x0 x1 x2 x3 x4 x5 x6 x7 x8", "x0 x1 x2 x3 x4 x5 x6 x7 x8"),
    "ldr x1, [x2, 8]": (0xF9400441, "x2", "x1"),
    "str d1, [sp]": (0xFD0003E1, "sp v1", ""),
    "str q9, [x2]": (0x3D800049, "x2 v9 upper half of v9", ""),
    "ldr q9, [x2]": (0x3DC00049, "x2", "v9 upper half of v9"),
    "ldr d9, [x2]": (0xFD400049, "x2", "v9"),
    "ldp x1, x4, [x2], 16": (0xA8C11041, "x2", "x1 x2 x4"),
    "stp x1, x4, [x2]": (0xA9001041, "x1 x2 x4", ""),
    "stp q8, q9, [x2]": (0xAD002448, "x2 v8 v9 upper half of v8 upper half of v9", ""),
    "ldr x1, [x2, x3]": (0xF8636841, "x2 x3", "x1"),
    "ldr x1, [x2], 8": (0xF8408441, "x2", "x1 x2"),
    "ldur x1, [x2, 8]": (0xF8408041, "x2", "x1"),
    "ldxr x1, [x2]": (0xC85F7C41, "x2", "x1"),
    "stxr w3, x1, [x2]": (0xC8037C41, "x1 x2", "x3"),
    "cas x3, x1, [x2]": (0xC8A37C41, "x1 x2 x3", "x3"),
    "casp x4, x5, x6, x7, [x2]": (0x48247C46, "x2 x4 x5 x6 x7", "x4 x5"),
    "ldadd x3, x1, [x2]": (0xF8230041, "x2 x3", "x1"),
    "ld1 {v1.16b}, [x2]": (0x4C407041, "x2", "v1"),
    "ld1 {v1.16b, v2.16b}, [x2]": (0x4C40A041, "x2", "v1 v2"),
    "ld1 {v1.16b-v3.16b}, [x2]": (0x4C406041, "x2", "v1 v2 v3"),
    "ld1 {v1.16b-v4.16b}, [x2]": (0x4C402041, "x2", "v1 v2 v3 v4"),
    "ld2 {v1.16b, v2.16b}, [x2]": (0x4C408041, "x2", "v1 v2"),
    "ld3 {v1.16b-v3.16b}, [x2]": (0x4C404041, "x2", "v1 v2 v3"),
    "ld4 {v30.16b-v1.16b}, [x2]": (0x4C40005E, "x2", "v0 v1 v30 v31"),
    "nobody's, of four at most": (0x4C401041, "x2", "v1 v2 v3 v4"),
    "st1 {v1.16b}, [x2], x3": (0x4C837041, "x2 x3 v1", "x2"),
    "ld1 {v1.b}[0], [x2]": (0x0D400041, "x2 v1", "v1"),
    "ld2 {v1.b, v2.b}[0], [x2]": (0x0D600041, "x2 v1 v2", "v1 v2"),
    "ld3 {v1.b-v3.b}[0], [x2]": (0x0D402041, "x2 v1 v2 v3", "v1 v2 v3"),
    "ld4 {v1.b-v4.b}[0], [x2]": (0x0D602041, "x2 v1 v2 v3 v4", "v1 v2 v3 v4"),
    "ld1r {v1.8b}, [x2]": (0x0D40C041, "x2", "v1"),
    "tbl v0.16b, {v1.16b}, v5.16b": (0x4E050020, "v1 v5", "v0"),
    "tbl v0.16b, {v1.16b-v3.16b}, v5.16b": (0x4E054020, "v1 v2 v3 v5", "v0"),
    "tbx v0.16b, {v1.16b-v4.16b}, v5.16b": (0x4E057020, "v0 v1 v2 v3 v4 v5", "v0"),
    "add x1, x2, x3": (0x8B030041, "x2 x3", "x1"),
    "adcs x1, x2, x3": (0xBA030041, "x2 x3 flags", "x1 flags"),
    "ccmp x2, x3, 0, eq": (0xFA430040, "x2 x3 flags", "flags"),
    "csel x1, x2, x3, eq": (0x9A830041, "x2 x3 flags", "x1"),
    "udiv x1, x2, x3": (0x9AC30841, "x2 x3", "x1"),
    "madd x1, x2, x3, x4": (0x9B031041, "x2 x3 x4", "x1"),
    "fmov x1, d2": (0x9E660041, "v2", "x1"),
    "fmov d1, x2": (0x9E670041, "x2", "v1"),
    "scvtf d1, x2": (0x9E620041, "x2", "v1"),
    "fcvtzs x1, d2": (0x9E780041, "v2", "x1"),
    "fcmp d2, d3": (0x1E632040, "v2 v3", "flags"),
    "fcsel d1, d2, d3, eq": (0x1E630C41, "v2 v3 flags", "v1"),
    "fmadd d1, d2, d3, d4": (0x1F431041, "v2 v3 v4", "v1"),
    "movi v1.16b, 0": (0x4F00E401, "", "v1"),
    "umov w1, v2.b[0]": (0x0E013C41, "v2", "x1"),
    "mul v1.4h, v2.4h, v19.h[0]": (0x0F438041, "v2 v3", "v1"),
    "fmla v1.2d, v2.2d, v19.d[0]": (0x4FD31041, "v1 v2 v19", "v1"),
    "mrs x1, nzcv": (0xD53B4201, "flags", "x1"),
    "nop": (0xD503201F, "", ""),
}
"""Instruction -> word, what it reads and what it writes."""


@pytest.mark.parametrize("text", INSTRUCTIONS)
def test_what_an_instruction_reads_and_writes(text: str) -> None:
    """One register too few is a value that a caller keeps and nobody tells of."""
    word, reads, writes = INSTRUCTIONS[text]
    assert tuple(" ".join(names_of(registers)) for registers in accesses(word)) == (reads, writes)


def test_what_is_no_instruction() -> None:
    """What nobody knows may do anything."""
    assert accesses(0x00000007) == (EVERYTHING, EVERYTHING)
    assert names_of(EVERYTHING)[31:33] == ("sp", "v0")
