"""What the pointers of a linked ELF image hold once the dynamic loader has relocated it: AAELF64, "Relocation types".

Twin of ``macho.fixups``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

from stubgen.common.columns import column
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

    def holders(self, wanted: Collection[int], names: Collection[bytes] = ()) -> Iterator[tuple[int, int | bytes]]:
        """Virtual address of each pointer that will hold one of the addresses *wanted*, and which.

        A program that is linked to one address has no relocation for them: there every aligned word counts. A name
        among *names* stands for a symbol that the loader looks up in other images.
        """
        table = self.file.dynamic_symbols
        values = [] if table is None else list(table.st_value)
        defined = [] if table is None else [shndx != c.SHN_UNDEF for shndx in table.st_shndx]
        bound = set() if table is None or not names else set(table.find_indexes(names, ()))
        for relocations in self.file.dynamic_relocations():
            rows = zip(relocations.r_offset, relocations.kind, relocations.symbol, relocations.r_addend, strict=True)
            for place, kind, symbol, addend in rows:
                if kind == r.R_AARCH64_RELATIVE:
                    if addend in wanted:
                        yield place, addend
                elif kind in _SYMBOLIC and symbol < len(values):
                    if defined[symbol] and values[symbol] + addend in wanted:
                        yield place, values[symbol] + addend
                    elif table is not None and symbol in bound and not defined[symbol] and not addend:
                        yield place, table.name(symbol)
        if self.file.header.e_type == c.ET_EXEC:
            for start, content in self._loaded:
                words = column("Q", content[: len(content) & ~7])
                yield from ((start + 8 * index, word) for index, word in enumerate(words) if word in wanted)

    @property
    def _loaded(self) -> Iterator[tuple[int, memoryview]]:
        """Virtual address and bytes of each section that is loaded, or segment where sections are stripped."""
        for section in self.file.sections:
            header = section.header
            if header.sh_flags & c.SHF_ALLOC and header.sh_type != c.SHT_NOBITS:
                skipped = -header.sh_addr % 8
                yield header.sh_addr + skipped, self.file.content(section)[skipped:]
        for segment in () if self.file.sections else self.file.segments:
            if segment.p_type == c.PT_LOAD:
                skipped = -segment.p_vaddr % 8
                raw = self.file.view.bytes(segment.p_offset, segment.p_filesz, "a segment")
                yield segment.p_vaddr + skipped, raw[skipped:]

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
