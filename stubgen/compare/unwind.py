"""Where functions' exception tables are: in an ELF object by its ``.eh_frame``, in a linked image by its sorted table.

LSB Core, "Exception Frames": ``.eh_frame_hdr`` has the address of each function and its frame description entry,
ascending; the entry has a pointer to the language-specific data in the form that its common entry says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property

from stubgen.borrow.unwind import frames
from stubgen.common.columns import column
from stubgen.common.row import Row
from stubgen.common.view import sleb128, uleb128
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile, Symbols
from stubgen.elf.relocations import Relocations
from stubgen.errors import MalformedInput

_SORTED = 0x3B  # DW_EH_PE_datarel | DW_EH_PE_sdata4, the one form of the table that linkers write
_COUNT = 0x03  # DW_EH_PE_udata4, likewise
_OMIT = 0xFF  # DW_EH_PE_omit
_RELATIVE = 0x10  # DW_EH_PE_pcrel
_POINTER_SIZES = {0x00: 8, 0x02: 2, 0x03: 4, 0x04: 8, 0x0A: 2, 0x0B: 4, 0x0C: 8}
"""Low four bits of DW_EH_PE_* -> bytes."""


def exception_tables(
    file: ElfFile, symbols: Symbols, tables: Mapping[int, Relocations]
) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Function of an object (section, byte offset) -> its language-specific data (section, byte offset, bytes)."""
    pointers: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for section in file.sections:
        if section.name != ".eh_frame" or section.number not in tables:
            continue
        table = tables[section.number]
        for frame in frames(file.content(section), section.number, table, file.name):
            function = _place(symbols, table, frame.code)
            within = (i for i in frame.relocations if frame.start <= table.r_offset[i] < frame.end)
            pointers += [(function, _place(symbols, table, index)) for index in within if index != frame.code]
    starts: dict[int, list[int]] = {}
    for _, (shndx, offset) in pointers:
        starts.setdefault(shndx, []).append(offset)
    ordered = {shndx: sorted(set(offsets)) for shndx, offsets in starts.items()}
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for function, (shndx, offset) in pointers:
        place = bisect_right(ordered[shndx], offset)
        last = place == len(ordered[shndx])
        end = file.sections[shndx].header.sh_size if last else ordered[shndx][place]
        found.setdefault(function, []).append((shndx, offset, end - offset))
    return found


def _place(symbols: Symbols, table: Relocations, index: int) -> tuple[int, int]:
    symbol = symbols.entry(table.symbol[index])
    return symbol.st_shndx, symbol.st_value + table.r_addend[index]


class _Common(Row):
    """What a common information entry says of the pointers in its frame description entries."""

    has_data: bool  # the entries have augmentation data
    code: int  # DW_EH_PE_* of the function's address
    table: int  # DW_EH_PE_* of the language-specific data's; DW_EH_PE_omit without any


class LinkedFrames:
    """The frame description entries of a linked image, by their function."""

    def __init__(self, file: ElfFile) -> None:
        self.file = file
        self._common: dict[int, _Common] = {}

    @cached_property
    def _entries(self) -> dict[int, int]:
        """Address of a function -> address of its entry."""
        header = next((s for s in self.file.segments if s.p_type == c.PT_GNU_EH_FRAME), None)
        if header is None:
            return {}
        start = header.p_vaddr
        raw = bytes(self.file.read_at(start, header.p_filesz, "PT_GNU_EH_FRAME"))
        if raw[:1] + raw[2:4] != bytes([1, _COUNT, _SORTED]) or _POINTER_SIZES.get(raw[1] & 0xF) != 4:
            return {}
        count = int.from_bytes(raw[8:12], "little")
        words = column("i", raw[12 : 12 + 8 * count])
        return {start + code: start + entry for code, entry in zip(words[0::2], words[1::2], strict=False)}

    def table_of(self, function: int) -> int | None:
        """Virtual address of the language-specific data of the function at *function*, if it has any."""
        entry = self._entries.get(function)
        if entry is None:
            return None
        length, back = column("I", self.file.read_at(entry, 8, "an exception frame"))
        raw = bytes(self.file.read_at(entry, 4 + length, "an exception frame"))
        common = self._common_at(entry + 4 - back)
        size = _POINTER_SIZES.get(common.code & 0xF)
        table_size = _POINTER_SIZES.get(common.table & 0xF)
        if not common.has_data or common.table == _OMIT or size is None or table_size is None:
            return None
        _, position = uleb128(raw, 8 + 2 * size, self.file.name)
        value = int.from_bytes(raw[position : position + table_size], "little", signed=True)
        if not value:
            return None
        return value + (entry + position if common.table & 0x70 == _RELATIVE else 0)

    def _common_at(self, address: int) -> _Common:
        if address not in self._common:
            length = column("I", self.file.read_at(address, 4, "a common exception frame"))[0]
            self._common[address] = self._read_common(
                bytes(self.file.read_at(address, 4 + length, "an exception frame"))
            )
        return self._common[address]

    def _read_common(self, raw: bytes) -> _Common:
        name = self.file.name
        end = raw.find(b"\0", 9)
        if end < 0:
            raise MalformedInput(f"{name}: an exception frame is cut off")
        augmentation, version = raw[9:end], raw[8]
        _, position = uleb128(raw, end + 1, name)
        _, position = sleb128(raw, position, name)
        position = position + 1 if version == 1 else uleb128(raw, position, name)[1]
        if not augmentation.startswith(b"z"):
            return _Common(False, 0, _OMIT)
        _, position = uleb128(raw, position, name)
        code, table = 0, _OMIT
        for letter in augmentation[1:]:
            if letter == ord("R"):
                code = raw[position]
            elif letter == ord("L"):
                table = raw[position]
            elif letter == ord("P"):
                position += _POINTER_SIZES.get(raw[position] & 0xF, 8)
            else:
                continue  # S: a signal's frame; B: the other key signs return addresses
            position += 1
        return _Common(True, code, table)
