"""Writes an ``ET_REL`` object from sections, symbols and relocations: layout first, bytes second."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import pack

from stubgen.common.columns import Column, Content, Pieces, joined, records, symbol_labels
from stubgen.common.fields import align_up, narrow
from stubgen.common.layout import Layout, LayoutWriter, Span
from stubgen.common.row import Row
from stubgen.common.strings import name_table
from stubgen.common.text import as_bytes
from stubgen.elf import constants as c
from stubgen.elf.records import EHDR, NHDR, RELA, SHDR, SYM, Ehdr, Nhdr, Shdr
from stubgen.elf.relocations import Relocations, write_relocations
from stubgen.errors import FieldOverflow


class Section(Row):
    """A section to write; ``.symtab``, ``.strtab``, ``.shstrtab`` and ``.rela*`` are the writer's own."""

    name: str
    sh_type: int  # SHT_*
    sh_flags: int  # SHF_*
    content: Content
    sh_addralign: int = 1  # bytes
    relocations: Relocations | None = None


class SymbolColumns:
    """Symbols to write, as columns as long as ``names``."""

    __slots__ = ("names", "st_info", "st_other", "st_shndx", "st_size", "st_value")

    def __init__(
        self,
        names: Sequence[bytes] = (),
        st_info: Column = 0,
        st_other: Column = 0,
        st_shndx: Column = 0,
        st_value: Column = 0,
        st_size: Column = 0,
    ) -> None:
        self.names = names
        self.st_info = st_info  # bind << 4 | type
        self.st_other = st_other  # visibility
        self.st_shndx = st_shndx  # section index, 1 for the first of the object's sections, or SHN_*
        self.st_value = st_value  # byte offset into the section
        self.st_size = st_size  # bytes

    def __len__(self) -> int:
        return len(self.names)


class Object(Row):
    """A relocatable object: section *n* of ``sections`` has section index *n* + 1."""

    sections: Sequence[Section]
    local_symbols: SymbolColumns = SymbolColumns()
    global_symbols: Sequence[SymbolColumns] = ()
    """Groups written one after another, after the locals (gABI: sh_info is the first non-local)."""


def property_note(features: int) -> bytes:
    """``.note.gnu.property`` that says which GNU_PROPERTY_AARCH64_FEATURE_1_* the object's code has."""
    narrow(features, 32, "the property", ".note.gnu.property")
    content = pack("<IIII", c.GNU_PROPERTY_AARCH64_FEATURE_1_AND, 4, features, 0)
    return note(b"GNU", c.NT_GNU_PROPERTY_TYPE_0, content, ".note.gnu.property")


def note(owner: bytes, n_type: int, content: bytes, name: str) -> bytes:
    """One entry of the note section called *name*; *content* is aligned to 4 bytes in it."""
    n_name = owner + b"\0"
    header = Nhdr(n_namesz=len(n_name), n_descsz=len(content), n_type=n_type)
    return NHDR.pack(header, name) + n_name.ljust(align_up(len(n_name), 4), b"\0") + content


class _Region(Row):
    """A section as it will be written: its header lacks only sh_name, sh_offset and sh_size."""

    title: str
    header: Shdr
    content: Content


def write(obj: Object, name: str = "object") -> bytes:
    """The bytes of *obj*; *name* stands for it in complaints.

    Raises:
        FieldOverflow: a value, size, offset or count does not fit its field; fewer than SHN_LORESERVE sections
            keep every ``st_shndx`` short.
    """
    groups = [obj.local_symbols, *obj.global_symbols]
    strings, st_names = name_table([group.names for group in groups], name)
    regions = _regions(obj, _symbols(groups, st_names, name), strings, name)
    titles = [as_bytes(region.title) for region in regions] + [b".shstrtab"]
    shstrtab, (sh_names,) = name_table([titles], name)
    regions.append(_Region(".shstrtab", _shdr(sh_type=c.SHT_STRTAB), shstrtab))
    if len(regions) + 1 >= c.SHN_LORESERVE:
        raise FieldOverflow(f"{name}: {len(regions) + 1} sections reach SHN_LORESERVE ({c.SHN_LORESERVE:#x})")

    layout = Layout(
        [
            ("header", Span(EHDR.size)),
            *(
                (f"section {number}", Span(_file_size(region), region.header.sh_addralign))
                for number, region in enumerate(regions, start=1)
            ),
            ("section headers", Span(SHDR.size * (len(regions) + 1), 8)),
        ],
        name,
        offset_bits=64,
    )

    file = LayoutWriter(layout, name)
    file.put("header", _header(layout, len(regions), name))
    for number, region in enumerate(regions, start=1):
        file.put(f"section {number}", region.content if _file_size(region) else b"")
    file.put("section headers", _section_headers(regions, sh_names, layout, name))
    return file.finish()


def _regions(obj: Object, symtab: Content, strtab: Content, name: str) -> list[_Region]:
    """The sections in file order: the caller's, their relocations, the symbol table and its strings."""
    regions = [
        _Region(s.name, _shdr(sh_type=s.sh_type, sh_flags=s.sh_flags, sh_addralign=s.sh_addralign), s.content)
        for s in obj.sections
    ]
    relocated = [(number, s.name, s.relocations) for number, s in enumerate(obj.sections, start=1) if s.relocations]
    symtab_number = len(obj.sections) + len(relocated) + 1
    for number, title, relocations in relocated:
        header = _shdr(
            sh_type=c.SHT_RELA,
            sh_flags=c.SHF_INFO_LINK,
            sh_link=symtab_number,
            sh_info=number,
            sh_addralign=8,
            sh_entsize=RELA.size,
        )
        regions.append(_Region(f".rela{title}", header, write_relocations(relocations, f"{name}: {title}")))
    header = _shdr(
        sh_type=c.SHT_SYMTAB,
        sh_link=symtab_number + 1,
        sh_info=1 + len(obj.local_symbols),
        sh_addralign=8,
        sh_entsize=SYM.size,
    )
    regions.append(_Region(".symtab", header, symtab))
    regions.append(_Region(".strtab", _shdr(sh_type=c.SHT_STRTAB), strtab))
    return regions


def _file_size(region: _Region) -> int:
    """Bytes that *region* takes in the file."""
    return 0 if region.header.sh_type == c.SHT_NOBITS else len(region.content)


def _shdr(
    *,
    sh_type: int,
    sh_flags: int = 0,
    sh_link: int = 0,
    sh_info: int = 0,
    sh_addralign: int = 1,
    sh_entsize: int = 0,
) -> Shdr:
    """A section header that lacks sh_name, sh_offset and sh_size."""
    return Shdr(0, sh_type, sh_flags, 0, 0, 0, sh_link, sh_info, sh_addralign, sh_entsize)


def _header(layout: Layout, section_count: int, name: str) -> bytes:
    header = Ehdr(
        e_ident=c.ELFMAG + bytes([c.ELFCLASS64, c.ELFDATA2LSB, c.EV_CURRENT]),
        e_type=c.ET_REL,
        e_machine=c.EM_AARCH64,
        e_version=c.EV_CURRENT,
        e_entry=0,
        e_phoff=0,
        e_shoff=layout.offset("section headers"),
        e_flags=0,
        e_ehsize=EHDR.size,
        e_phentsize=0,
        e_phnum=0,
        e_shentsize=SHDR.size,
        e_shnum=section_count + 1,
        e_shstrndx=section_count,
    )
    return EHDR.pack(header, name)


def _section_headers(regions: Sequence[_Region], sh_names: Sequence[int], layout: Layout, name: str) -> bytes:
    rows = [bytes(SHDR.size)]  # gABI: section 0 is all zero
    for number, (region, sh_name) in enumerate(zip(regions, sh_names, strict=True), start=1):
        offset = layout.offset(f"section {number}")
        header = region.header._replace(sh_name=sh_name, sh_offset=offset, sh_size=len(region.content))
        rows.append(SHDR.pack(header, f"{name}: section {number} ({region.title})"))
    return b"".join(rows)


def _symbols(groups: Sequence[SymbolColumns], st_names: Sequence[array[int]], name: str) -> Pieces:
    """*groups* as ``Elf64_Sym`` records, behind the null symbol."""
    tables = []
    first = 1  # index of the group's first symbol
    for group, starts in zip(groups, st_names, strict=True):
        columns = (group.st_info, group.st_other, group.st_shndx, group.st_value, group.st_size)
        tables.append(records(SYM, starts, columns, symbol_labels(group.names, first, name)))
        first += len(group)
    return joined([bytes(SYM.size), *tables])
