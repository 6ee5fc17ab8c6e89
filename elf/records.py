"""The fixed-size records of ELF64, little-endian, with the specification's field names."""

from __future__ import annotations

from stubgen.common.record import I64, U8, U16, U32, U64, Bytes16, Record
from stubgen.common.row import Row


class Ehdr(Row):
    """Elf64_Ehdr, gABI chapter 4 "ELF Header", 64 bytes."""

    e_ident: Bytes16
    e_type: U16  # ET_*
    e_machine: U16  # EM_*
    e_version: U32
    e_entry: U64  # virtual address
    e_phoff: U64  # byte offset in the file
    e_shoff: U64  # byte offset in the file
    e_flags: U32
    e_ehsize: U16  # bytes
    e_phentsize: U16  # bytes
    e_phnum: U16  # PN_XNUM: see section 0's sh_info
    e_shentsize: U16  # bytes
    e_shnum: U16  # 0: see section 0's sh_size
    e_shstrndx: U16  # SHN_XINDEX: see section 0's sh_link


class Shdr(Row):
    """Elf64_Shdr, gABI chapter 4 "Section Header", 64 bytes."""

    sh_name: U32  # byte offset into .shstrtab
    sh_type: U32  # SHT_*
    sh_flags: U64  # SHF_*
    sh_addr: U64  # virtual address
    sh_offset: U64  # byte offset in the file
    sh_size: U64  # bytes
    sh_link: U32  # section index
    sh_info: U32  # symbol tables: index of the first non-local symbol; relocations: index of the section
    sh_addralign: U64  # bytes
    sh_entsize: U64  # bytes


class Phdr(Row):
    """Elf64_Phdr, gABI chapter 5 "Program Header", 56 bytes."""

    p_type: U32  # PT_*
    p_flags: U32  # PF_*
    p_offset: U64  # byte offset in the file
    p_vaddr: U64  # virtual address
    p_paddr: U64
    p_filesz: U64  # bytes
    p_memsz: U64  # bytes
    p_align: U64  # bytes


class Sym(Row):
    """Elf64_Sym, gABI chapter 4 "Symbol Table", 24 bytes."""

    st_name: U32  # byte offset into .strtab; 0 = unnamed
    st_info: U8  # bind << 4 | type
    st_other: U8  # visibility, low 2 bits
    st_shndx: U16  # section index or SHN_*
    st_value: U64  # ET_REL: byte offset into the section; else virtual address
    st_size: U64  # bytes


class Rela(Row):
    """Elf64_Rela, gABI chapter 4 "Relocation", 24 bytes."""

    r_offset: U64  # ET_REL: byte offset into the section; else virtual address
    r_info: U64  # index into the symbol table << 32 | R_AARCH64_*
    r_addend: I64  # bytes


class Dyn(Row):
    """Elf64_Dyn, gABI chapter 5 "Dynamic Section", 16 bytes."""

    d_tag: I64  # DT_*
    d_un: U64  # a value or a virtual address, as the tag has it


class Nhdr(Row):
    """Elf64_Nhdr, gABI chapter 5 "Note Section", 12 bytes, its name and content behind it."""

    n_namesz: U32  # bytes, the NUL included
    n_descsz: U32  # bytes
    n_type: U32  # NT_*, in the owner's name space


class Verdef(Row):
    """Elf64_Verdef, LSB Core "Version Definitions", 20 bytes."""

    vd_version: U16
    vd_flags: U16  # VER_FLG_*
    vd_ndx: U16  # version index
    vd_cnt: U16  # number of entries
    vd_hash: U32
    vd_aux: U32  # bytes from here to the first entry
    vd_next: U32  # bytes from here to the next definition; 0 = the last


class Verdaux(Row):
    """Elf64_Verdaux, LSB Core "Version Definition Auxiliary Entries", 8 bytes."""

    vda_name: U32  # byte offset into the dynamic strings
    vda_next: U32  # bytes from here to the next entry; 0 = the last


class Verneed(Row):
    """Elf64_Verneed, LSB Core "Version Requirements", 16 bytes."""

    vn_version: U16
    vn_cnt: U16  # number of entries
    vn_file: U32  # byte offset into the dynamic strings: the library
    vn_aux: U32  # bytes from here to the first entry
    vn_next: U32  # bytes from here to the next need; 0 = the last


class Vernaux(Row):
    """Elf64_Vernaux, LSB Core "Version Needs Auxiliary Entries", 16 bytes."""

    vna_hash: U32
    vna_flags: U16
    vna_other: U16  # version index
    vna_name: U32  # byte offset into the dynamic strings
    vna_next: U32  # bytes from here to the next entry; 0 = the last


EHDR = Record(Ehdr)
SHDR = Record(Shdr)
PHDR = Record(Phdr)
SYM = Record(Sym)
RELA = Record(Rela)
DYN = Record(Dyn)
NHDR = Record(Nhdr)
VERDEF = Record(Verdef)
VERDAUX = Record(Verdaux)
VERNEED = Record(Verneed)
VERNAUX = Record(Vernaux)
