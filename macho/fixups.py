"""What the pointers of a linked Mach-O image hold once dyld has loaded it.

``<mach-o/fixup-chains.h>`` for chained fixups, ``<mach-o/loader.h>`` for the older opcodes. Twin of
``elf.fixups``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

from stubgen.common.columns import column
from stubgen.common.row import Row
from stubgen.common.strings import string_at
from stubgen.common.view import View, sleb128, uleb128
from stubgen.macho import constants as c
from stubgen.macho.reader import MachOFile
from stubgen.macho.records import (
    CHAINED_FIXUPS_HEADER,
    CHAINED_STARTS_IN_SEGMENT,
    DYLD_INFO_COMMAND,
    LINKEDIT_DATA_COMMAND,
)

_BIND = 1 << 63  # dyld_chained_ptr_64_bind.bind
_ORDINAL = (1 << 24) - 1
_TARGET = (1 << 36) - 1


class Bound(Row):
    """A symbol that dyld looks up."""

    name: bytes
    addend: int = 0  # bytes


class Fixups:
    """The pointers of one image."""

    def __init__(self, file: MachOFile) -> None:
        self.file = file
        self.base = next((s.vmaddr for s in file.segments if s.segname.startswith(b"__TEXT\0")), 0)

    def pointer(self, address: int) -> int | Bound | None:
        """What the pointer at virtual *address* holds: a virtual address or a symbol; None where the file has none."""
        offset = self.file.offset_of(address)
        if offset is None:
            return None
        raw = int.from_bytes(self.file.view.bytes(offset, 8, "a pointer"), "little")
        if self._chained is None:
            return self._bound.get(address, raw)
        if raw & _BIND:
            ordinal, addend = raw & _ORDINAL, raw >> 24 & 0xFF
            if ordinal >= len(self._chained):
                return None
            name, more = self._chained[ordinal]
            return Bound(name, more + addend)
        target, top = raw & _TARGET, raw >> 36 & 0xFF
        return target + (self.base if 0 < target < self.base else 0) | top << 56

    def holders(self, wanted: Collection[int], names: Collection[bytes] = ()) -> Iterator[tuple[int, int | bytes]]:
        """Virtual address of each pointer that will hold one of the addresses *wanted*, and which.

        Chains are followed; where an image has the older opcodes every aligned word of its data counts. A name among
        *names* stands for a symbol that dyld looks up: the image's own too, where another may take its place.
        """
        places = self._in_chains() if self._chained is not None else self._in_data(wanted)
        for address in places:
            found = self.pointer(address)
            if isinstance(found, Bound):
                if found.name in names and not found.addend:
                    yield address, found.name
            elif found is not None and found in wanted:
                yield address, found

    def _in_data(self, wanted: Collection[int]) -> Iterator[int]:
        """The aligned words that hold one of the addresses *wanted*, and those that the binding opcodes fill."""
        yield from sorted(self._bound)
        for segment in self.file.segments:
            if not segment.initprot & c.VM_PROT_EXECUTE and not segment.segname.startswith(b"__LINKEDIT\0"):
                content = self.file.view.bytes(segment.fileoff, segment.filesize, "a segment")
                words = column("Q", content[: len(content) & ~7])
                for index, word in enumerate(words):
                    if word in wanted and segment.vmaddr + 8 * index not in self._bound:
                        yield segment.vmaddr + 8 * index

    def _in_chains(self) -> Iterator[int]:
        """The pointers of all chains of a form that is known: dyld_chained_starts_in_segment, page by page."""
        for command in self.file.commands:
            if command.cmd == c.LC_DYLD_CHAINED_FIXUPS:
                data = self.file.read_command(LINKEDIT_DATA_COMMAND, command, "LC_DYLD_CHAINED_FIXUPS")
                view = self.file.view.slice(data.dataoff, data.datasize, "the chained fixups")
                start = CHAINED_FIXUPS_HEADER.read_from(view, 0, "their header").starts_offset
                count = int.from_bytes(view.bytes(start, 4, "the chained starts"), "little")
                starts = column("I", view.bytes(start + 4, 4 * count, "the chained starts"))
                for offset in starts[: len(self.file.segments)]:
                    if offset:
                        yield from self._in_segment(view, start + offset)

    def _in_segment(self, view: View, at: int) -> Iterator[int]:
        starts = CHAINED_STARTS_IN_SEGMENT.read_from(view, at, "the chained starts of a segment")
        if starts.pointer_format not in (c.DYLD_CHAINED_PTR_64, c.DYLD_CHAINED_PTR_64_OFFSET):
            return
        pages = view.bytes(at + CHAINED_STARTS_IN_SEGMENT.size, 2 * starts.page_count, "the chained starts of pages")
        for page, first in enumerate(column("H", pages)):
            if first == c.CHAINED_START_NONE:
                continue
            page_address = self.file.base_address + starts.segment_offset + page * starts.page_size
            address = page_address + first
            while address < page_address + starts.page_size:
                yield address
                raw = int.from_bytes(self.file.read_at(address, 8, "a chained pointer"), "little")
                step = raw >> 51 & 0xFFF  # dyld_chained_ptr_64_bind.next, in units of 4 bytes
                if not step:
                    break
                address += 4 * step

    @cached_property
    def _chained(self) -> list[Bound] | None:
        """The imports of chained fixups, in order; None where the image has the older binding opcodes."""
        for command in self.file.commands:
            if command.cmd == c.LC_DYLD_CHAINED_FIXUPS:
                data = self.file.read_command(LINKEDIT_DATA_COMMAND, command, "LC_DYLD_CHAINED_FIXUPS")
                view = self.file.view.slice(data.dataoff, data.datasize, "the chained fixups")
                header = self.file.chains_header(view)
                size, shift, mask = c.CHAINED_IMPORT_FORMATS[header.imports_format]
                strings = view.bytes(header.symbols_offset, len(view) - header.symbols_offset, "their names")
                raw = view.bytes(header.imports_offset, size * header.imports_count, "their imports")
                return [_import(raw[at : at + size], shift, mask, strings) for at in range(0, len(raw), size)]
        return None

    @cached_property
    def _bound(self) -> dict[int, Bound]:
        """Virtual address -> the symbol that the binding opcodes put there."""
        found: dict[int, Bound] = {}
        for command in self.file.commands:
            if command.cmd in (c.LC_DYLD_INFO, c.LC_DYLD_INFO_ONLY):
                info = self.file.read_command(DYLD_INFO_COMMAND, command, "LC_DYLD_INFO")
                for offset, size in (
                    (info.weak_bind_off, info.weak_bind_size),
                    (info.lazy_bind_off, info.lazy_bind_size),
                    (info.bind_off, info.bind_size),
                ):
                    found.update(self._run(bytes(self.file.view.bytes(offset, size, "the binding opcodes"))))
        return found

    def _run(self, raw: bytes) -> Iterator[tuple[int, Bound]]:
        """What one stream of binding opcodes binds: no more than the pointers that the file has room for."""
        where, room = f"{self.file.name}: the binding opcodes", len(self.file.view) // 8
        address, bound, position = 0, Bound(b""), 0
        while position < len(raw):
            operation, immediate = raw[position] & 0xF0, raw[position] & 0x0F
            position += 1
            operands = []
            if operation == c.BIND_OPCODE_SET_SYMBOL_TRAILING_FLAGS_IMM:
                name = string_at(raw, position)
                position += len(name) + 1
                bound = Bound(name)
            elif operation == c.BIND_OPCODE_SET_ADDEND_SLEB:
                addend, position = sleb128(raw, position, where)
                bound = bound._replace(addend=addend)
            else:
                for _ in range(c.BIND_OPERAND_COUNTS.get(operation, 0)):
                    operand, position = uleb128(raw, position, where)
                    operands.append(operand)
            if operation == c.BIND_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB:
                segments = self.file.segments
                address = (segments[immediate].vmaddr if immediate < len(segments) else 0) + operands[0]
            elif operation == c.BIND_OPCODE_ADD_ADDR_ULEB:
                address = address + operands[0] & 0xFFFFFFFFFFFFFFFF
            elif operation in c.BIND_DO_OPCODES:
                count = operands[0] if operation == c.BIND_OPCODE_DO_BIND_ULEB_TIMES_SKIPPING_ULEB else 1
                count = min(count, room)
                room -= count
                for _ in range(count):
                    yield address, bound
                    address = address + 8 + _skipped(operation, immediate, operands) & 0xFFFFFFFFFFFFFFFF


def _skipped(operation: int, immediate: int, operands: list[int]) -> int:
    """Bytes between one pointer that is bound and the next."""
    if operation == c.BIND_OPCODE_DO_BIND_ADD_ADDR_ULEB:
        return operands[0]
    if operation == c.BIND_OPCODE_DO_BIND_ADD_ADDR_IMM_SCALED:
        return 8 * immediate
    return operands[1] if operation == c.BIND_OPCODE_DO_BIND_ULEB_TIMES_SKIPPING_ULEB else 0


def _import(raw: memoryview, shift: int, mask: int, strings: memoryview) -> Bound:
    """One entry of the imports: 4 bytes, or with an addend of 4 or 8 bytes behind."""
    first = {4: 4, 8: 4, 16: 8}[len(raw)]
    word, addend = int.from_bytes(raw[:first], "little"), int.from_bytes(raw[first:], "little", signed=True)
    return Bound(string_at(strings, word >> shift & mask), addend)
