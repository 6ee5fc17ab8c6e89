"""What the pointers of a linked ELF image hold once the dynamic loader has relocated it: AAELF64, "Relocation types".

Twin of ``macho.fixups``.
"""

from __future__ import annotations

from functools import cached_property

from stubgen.common.row import Row
from stubgen.elf import constants as c
from stubgen.elf import relocations as r
from stubgen.elf.reader import ElfFile

_SYMBOLIC = frozenset({r.R_AARCH64_GLOB_DAT, r.R_AARCH64_JUMP_SLOT, r.R_AARCH64_ABS64})
_THREAD_LOCAL = frozenset({r.R_AARCH64_TLSDESC, r.R_AARCH64_TLS_TPREL64})


class Bound(Row):
    """A symbol that the loader looks up in other images."""

    name: bytes  # without its version
    addend: int = 0  # bytes


class Fixups:
    """The pointers of one image."""

    def __init__(self, file: ElfFile) -> None:
        self.file = file

    @cached_property
    def _written(self) -> dict[int, tuple[int, int, int]]:
        """Virtual address -> (R_AARCH64_*, dynamic symbol, addend) of what the loader writes there."""
        return {
            place: (kind, symbol, addend)
            for table in self.file.dynamic_relocations()
            for place, kind, symbol, addend in zip(
                table.r_offset, table.kind, table.symbol, table.r_addend, strict=True
            )
        }

    def pointer(self, address: int) -> int | Bound | None:
        """What the pointer at virtual *address* holds: a virtual address or a symbol; None where the file has none."""
        written = self._written.get(address)
        if written is None:
            offset = self.file.offset_of(address)
            return None if offset is None else int.from_bytes(self.file.view.bytes(offset, 8, "a pointer"), "little")
        kind, symbol, addend = written
        if kind == r.R_AARCH64_RELATIVE:
            return addend
        return self._symbol(symbol, addend) if kind in _SYMBOLIC else None

    def thread_local(self, address: int) -> int | Bound | None:
        """The symbol value of the thread-local whose descriptor or distance the loader writes at virtual *address*."""
        kind, symbol, addend = self._written.get(address, (0, 0, 0))
        if kind not in _THREAD_LOCAL:
            return None
        return self._symbol(symbol, addend) if symbol else addend

    def _symbol(self, index: int, addend: int) -> int | Bound | None:
        table = self.file.dynamic_symbols
        if table is None:
            return None
        entry = table.entry(index)
        return Bound(table.name(index), addend) if entry.st_shndx == c.SHN_UNDEF else entry.st_value + addend
