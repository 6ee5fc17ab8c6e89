"""Writes a relocatable ELF object of some sections of another one."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

from stubgen.common.columns import column_bytes
from stubgen.common.fields import align_up, narrow
from stubgen.common.row import Row
from stubgen.common.view import BytesLike
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile
from stubgen.elf.records import EHDR, SHDR, SYM, Shdr, Sym
from stubgen.elf.relocations import Relocations, write_relocations
from stubgen.errors import UnsupportedInput

Relocation = tuple[int, int, int, bytes, int]
"""(byte offset, R_AARCH64_*, symbol of the source, name where it is undefined instead, addend)."""

SHF_GROUP = 0x200
SHF_LINK_ORDER = 0x80


class Piece(Row):
    """A section to write."""

    number: int  # of the source
    name: str
    header: Shdr  # the source's
    content: BytesLike
    relocations: Sequence[Relocation]


class PieceSymbol(Row):
    """A symbol to write."""

    number: int  # of the source
    name: bytes
    record: Sym


class _Symbols:
    """The new symbol table: local symbols first, as gABI has it."""

    def __init__(self) -> None:
        self.strings = bytearray(b"\0")
        self.records = [Sym(0, 0, 0, 0, 0, 0)]
        self.of_source: dict[int, int] = {}
        self.by_name: dict[bytes, int] = {}
        self.of_group: dict[int, int] = {}
        self.locals = 1

    def add(self, name: bytes, info: int, other: int, shndx: int, value: int, size: int) -> int:
        start = 0
        if name:
            start = len(self.strings)
            self.strings += name + b"\0"
        self.records.append(Sym(start, info, other, shndx, value, size))
        return len(self.records) - 1


def write_object(
    file: ElfFile,
    pieces: Sequence[Piece],
    symbols: Sequence[PieceSymbol],
    undefined: Mapping[bytes, bool],
    groups: Mapping[int, tuple[int, bytes]],
) -> bytes:
    """An object of *pieces* of *file*.

    Args:
        file: where they are from.
        pieces: its sections.
        symbols: those that it defines; global ones become hidden, for they are this patch's alone.
        undefined: names that are left to others -> whether that is weak.
        groups: section -> (group, signature) of those that are in a COMDAT group.
    """
    present = sorted({groups[piece.number][0] for piece in pieces if piece.number in groups})
    numbers = {piece.number: 1 + len(present) + place for place, piece in enumerate(pieces)}
    count = 1 + len(present) + len(pieces) + sum(bool(piece.relocations) for piece in pieces) + 3
    if count >= c.SHN_LORESERVE:
        raise UnsupportedInput(f"{file.name}: {count} sections of it are needed, more than a small object can have")
    signatures = {group: signature for group, signature in groups.values() if group in present}
    table = _symbol_table(len(file.sections), symbols, undefined, numbers, signatures)
    headers: list[tuple[str, tuple[int, ...]]] = [("", (0,) * 9)]
    content = bytearray(EHDR.size)

    def put(name: str, sh_type: int, flags: int, raw: BytesLike, size: int, *rest: int) -> None:
        link, info, align, entsize = rest
        content.extend(bytes(align_up(len(content), max(min(align, c.PADDED_TO), 1)) - len(content)))
        headers.append((name, (sh_type, flags, 0, len(content), size, link, info, align, entsize)))
        content.extend(raw)

    symtab = count - 3
    for group in present:
        members = [numbers[number] for number in numbers if number in groups and groups[number][0] == group]
        words = column_bytes(array("I", [c.GRP_COMDAT, *members]))
        put(".group", c.SHT_GROUP, 0, words, len(words), symtab, table.of_group[group], 4, 4)
    for piece in pieces:
        header = piece.header
        flags = header.sh_flags & ~SHF_LINK_ORDER
        if piece.number not in groups:
            flags &= ~SHF_GROUP
        size = header.sh_size if header.sh_type == c.SHT_NOBITS else len(piece.content)
        put(piece.name, header.sh_type, flags, piece.content, size, 0, 0, header.sh_addralign, header.sh_entsize)
    for piece in pieces:
        if piece.relocations:
            rows = piece.relocations
            rela = write_relocations(
                Relocations(
                    [row[0] for row in rows],
                    [table.by_name[row[3]] if row[3] else table.of_source[row[2]] for row in rows],
                    [row[1] for row in rows],
                    [row[4] for row in rows],
                )
            )
            home = numbers[piece.number]
            put(f".rela{piece.name}", c.SHT_RELA, c.SHF_INFO_LINK, rela, len(rela), symtab, home, 8, 24)
    records = b"".join(SYM.pack(record, file.name) for record in table.records)
    put(".symtab", c.SHT_SYMTAB, 0, records, len(records), symtab + 1, table.locals, 8, SYM.size)
    put(".strtab", c.SHT_STRTAB, 0, table.strings, len(table.strings), 0, 0, 1, 0)
    names, starts = bytearray(b"\0"), []
    for name, _ in [*headers[1:], (".shstrtab", ())]:
        starts.append(len(names))
        names += name.encode("utf-8", "surrogateescape") + b"\0"
    put(".shstrtab", c.SHT_STRTAB, 0, names, len(names), 0, 0, 1, 0)
    content.extend(bytes(align_up(len(content), 8) - len(content)))
    start = len(content)
    for name_at, (_, fields) in zip([0, *starts], headers, strict=True):
        content += SHDR.pack(Shdr(name_at, *fields), file.name)
    ehdr = file.header._replace(
        e_shoff=start, e_shnum=narrow(len(headers), 16, "sections", file.name), e_shstrndx=len(headers) - 1, e_phoff=0
    )
    content[: EHDR.size] = EHDR.pack(ehdr, file.name)
    return bytes(content)


def _symbol_table(
    count: int,
    symbols: Sequence[PieceSymbol],
    undefined: Mapping[bytes, bool],
    numbers: Mapping[int, int],
    signatures: Mapping[int, bytes],
) -> _Symbols:
    """The symbols of an object whose source had *count* sections."""
    table = _Symbols()
    table.of_source[0] = 0

    def place(record: Sym) -> int:
        if record.st_shndx < count:
            return numbers[record.st_shndx]
        return record.st_shndx & 0xFFFF  # SHN_ABS, SHN_COMMON

    for index, name, record in symbols:
        if record.st_info >> 4 == c.STB_LOCAL:
            at = table.add(name, record.st_info, record.st_other, place(record), record.st_value, record.st_size)
            table.of_source[index] = at
    for group, signature in signatures.items():
        table.of_group[group] = table.add(signature, c.STB_LOCAL << 4 | c.STT_NOTYPE, 0, c.SHN_ABS, 0, 0)
    table.locals = len(table.records)
    for index, name, record in symbols:
        if record.st_info >> 4 != c.STB_LOCAL:
            other = record.st_other & ~3 | c.STV_HIDDEN
            at = table.add(name, record.st_info, other, place(record), record.st_value, record.st_size)
            table.of_source[index] = table.by_name[name] = at
    for name, weak in undefined.items():
        if name not in table.by_name:
            info = (c.STB_WEAK if weak else c.STB_GLOBAL) << 4 | c.STT_NOTYPE
            table.by_name[name] = table.add(name, info, 0, c.SHN_UNDEF, 0, 0)
    return table
