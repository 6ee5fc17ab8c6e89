"""AArch64 relocation codes (AAELF64, "Relocation types") and tables of relocations as columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from elf.records import RELA
from stubgen.binary import BytesLike, column, column_bytes

R_AARCH64_ABS64 = 257
R_AARCH64_PREL32 = 261
R_AARCH64_ADR_PREL_PG_HI21 = 275
R_AARCH64_ADD_ABS_LO12_NC = 277
R_AARCH64_JUMP26 = 282
R_AARCH64_CALL26 = 283
R_AARCH64_LDST64_ABS_LO12_NC = 286
R_AARCH64_ADR_GOT_PAGE = 311
R_AARCH64_LD64_GOT_LO12_NC = 312
R_AARCH64_COPY = 1024
R_AARCH64_GLOB_DAT = 1025
R_AARCH64_JUMP_SLOT = 1026
R_AARCH64_RELATIVE = 1027
R_AARCH64_TLS_DTPMOD64 = 1028
R_AARCH64_TLS_DTPREL64 = 1029
R_AARCH64_TLS_TPREL64 = 1030
R_AARCH64_TLSDESC = 1031
R_AARCH64_IRELATIVE = 1032

NAMES = {code: name for name, code in globals().items() if name.startswith("R_AARCH64_")}
"""Code -> name, for messages."""


@dataclass(frozen=True, slots=True)
class Relocations:
    """A relocation table as columns of equal length."""

    r_offset: Sequence[int]  # ET_REL: byte offset into the section; else virtual address
    symbol: Sequence[int]  # index into the symbol table; 0 = none
    kind: Sequence[int]  # R_AARCH64_*
    r_addend: Sequence[int]  # bytes, signed

    def __len__(self) -> int:
        return len(self.r_offset)


def read_relocations(raw: BytesLike) -> Relocations:
    """The ``Elf64_Rela`` records of *raw*; a partial record at the end is ignored."""
    raw = raw[: len(raw) // RELA.size * RELA.size]
    words = column("I", raw)
    return Relocations(
        r_offset=column("Q", raw)[0::3], symbol=words[3::6], kind=words[2::6], r_addend=column("q", raw)[2::3]
    )


def write_relocations(relocations: Relocations) -> bytes:
    """The table as ``Elf64_Rela`` records."""
    words = array("Q", bytes(RELA.size * len(relocations)))
    words[0::3] = array("Q", relocations.r_offset)
    words[1::3] = array("Q", [s << 32 | k for s, k in zip(relocations.symbol, relocations.kind, strict=True)])
    words[2::3] = array("Q", [addend & 0xFFFFFFFFFFFFFFFF for addend in relocations.r_addend])
    return column_bytes(words)
