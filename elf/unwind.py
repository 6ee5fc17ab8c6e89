"""``.eh_frame`` for code that never touches the stack, or once (LSB Core, "Exception Frames"; AADWARF64)."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack

from stubgen.common.fields import narrow
from stubgen.common.row import Row
from stubgen.elf import constants as c
from stubgen.elf.relocations import R_AARCH64_PREL32, Relocations

_CIE = bytes(
    [
        *(0, 0, 0, 0),  # CIE id
        1,  # version
        *b"zR\0",  # augmentation: FDE pointers have the encoding below
        4,  # code alignment factor, bytes
        0x78,  # data alignment factor, -8
        c.DWARF_LR,  # return address register
        1,  # bytes of augmentation data
        c.DW_EH_PE_PCREL_SDATA4,
        *(c.DW_CFA_DEF_CFA, c.DWARF_SP, 0),  # CFA = sp + 0; x30 keeps the return address
    ]
)


class Frame(Row):
    """Where code has put its return address aside."""

    start: int  # index of the first instruction after it did
    stop: int  # of the first after it took it back
    size: int  # bytes of stack meanwhile, less than 128
    link_at: int  # of the return address, in bytes from sp


def leaf_frames(code_sizes: Mapping[int, int], frames: Mapping[int, Frame] | None = None) -> tuple[bytes, Relocations]:
    """One CIE, and an FDE for each run of code that holds at every instruction of it.

    Profilers and signal handlers that interrupt such code find its caller in x30.

    Args:
        code_sizes: symbol index of the code's section -> bytes of code from its start; 0 is left out.
        frames: symbol index -> where that code, unlike the others, has a frame.

    Raises:
        FieldOverflow: a size does not fit the FDE's signed 32 bits.
    """
    entries = [_entry(_CIE)]
    offsets, symbols = [], []
    for symbol, code_size in code_sizes.items():
        if not code_size:
            continue
        start = sum(map(len, entries))
        offsets.append(start + 8)  # byte offset of pc_begin
        symbols.append(symbol)
        cie_pointer = start + 4  # from this field back to the CIE
        size = narrow(code_size, 31, "the FDE's address range", ".eh_frame")
        frame = (frames or {}).get(symbol)
        entries.append(_entry(pack("<IiIB", cie_pointer, 0, size, 0) + (_instructions(frame) if frame else b"")))
    count = len(offsets)
    return b"".join(entries), Relocations(offsets, symbols, [R_AARCH64_PREL32] * count, [0] * count)


def _instructions(frame: Frame) -> bytes:
    """The call frame instructions of code that has *frame* (DWARF 5, 6.4.2)."""
    below = (frame.size - frame.link_at) // 8  # in units of the data alignment factor
    return bytes(
        [
            *(c.DW_CFA_ADVANCE_LOC | frame.start, c.DW_CFA_DEF_CFA_OFFSET, frame.size),
            *(c.DW_CFA_OFFSET | c.DWARF_LR, below),
            *(c.DW_CFA_ADVANCE_LOC | frame.stop - frame.start, c.DW_CFA_DEF_CFA_OFFSET, 0),
            c.DW_CFA_RESTORE | c.DWARF_LR,
        ]
    )


def _entry(body: bytes) -> bytes:
    """*body* with its length in front, padded with DW_CFA_nop to whole 8-byte words."""
    padded = body + bytes([c.DW_CFA_NOP]) * (-(4 + len(body)) % 8)
    return pack("<I", len(padded)) + padded
