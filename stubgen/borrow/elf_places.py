"""What an ELF host's relocated fields say: see ``borrow.places``."""

from __future__ import annotations

from collections.abc import Iterator

from stubgen.borrow.places import Field, FieldKind, Places
from stubgen.elf import relocations as r
from stubgen.elf.reader import ElfFile
from stubgen.elf.relocations import Relocations

FIELDS = {
    r.R_AARCH64_ADR_PREL_PG_HI21: FieldKind.PAGE,
    r.R_AARCH64_ADR_PREL_PG_HI21_NC: FieldKind.PAGE,
    r.R_AARCH64_ADR_PREL_LO21: FieldKind.PAGE,
    r.R_AARCH64_ADD_ABS_LO12_NC: FieldKind.OFFSET,
    r.R_AARCH64_LDST8_ABS_LO12_NC: FieldKind.OFFSET,
    r.R_AARCH64_LDST16_ABS_LO12_NC: FieldKind.OFFSET,
    r.R_AARCH64_LDST32_ABS_LO12_NC: FieldKind.OFFSET,
    r.R_AARCH64_LDST64_ABS_LO12_NC: FieldKind.OFFSET,
    r.R_AARCH64_LDST128_ABS_LO12_NC: FieldKind.OFFSET,
    r.R_AARCH64_ADR_GOT_PAGE: FieldKind.POINTERS_PAGE,
    r.R_AARCH64_LD64_GOT_LO12_NC: FieldKind.POINTERS_OFFSET,
    r.R_AARCH64_CALL26: FieldKind.BRANCH,
    r.R_AARCH64_JUMP26: FieldKind.BRANCH,
}
"""Relocation -> what its field is for. Pointers in data are left out: RELA keeps them in the table of relocations."""


class ElfPlaces(Places):
    """Of an ELF host."""

    def __init__(self, file: ElfFile) -> None:
        self.file = file

    def memory_at(self, address: int, size: int) -> bytes | None:
        start = self.file.offset_of(address)
        if start is None or start + size > len(self.file.view):
            return None
        return bytes(self.file.view.bytes(start, size, "the host's code"))

    def pointer_at(self, address: int) -> int | None:  # RELA: the loader fills it in
        return None

    def is_among_pointers(self, address: int) -> bool:
        return any(
            section.name.startswith(".got") and 0 <= address - section.header.sh_addr < section.header.sh_size
            for section in self.file.sections
        )


def fields_of(table: Relocations) -> Iterator[Field]:
    """The fields that say an address; *table* is of one section."""
    for offset, symbol, kind, addend in zip(table.r_offset, table.symbol, table.kind, table.r_addend, strict=True):
        if kind in FIELDS:
            yield Field(offset, FIELDS[kind], symbol, addend)
