"""The fixed-size records of ELF64, little-endian, with the specification's field names."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

EHDR = Struct("<16sHHIQQQIHHHHHH")
SHDR = Struct("<IIQQQQIIQQ")
PHDR = Struct("<IIQQQQQQ")
SYM = Struct("<IBBHQQ")
RELA = Struct("<QQq")
DYN = Struct("<qQ")
NHDR = Struct("<III")
VERDEF = Struct("<HHHHIII")
VERDAUX = Struct("<II")
VERNEED = Struct("<HHIII")
VERNAUX = Struct("<IHHII")


class Ehdr(NamedTuple):
    """Elf64_Ehdr, gABI chapter 4 "ELF Header", 64 bytes."""

    e_ident: bytes
    e_type: int  # ET_*
    e_machine: int  # EM_*
    e_version: int
    e_entry: int  # virtual address
    e_phoff: int  # byte offset in the file
    e_shoff: int  # byte offset in the file
    e_flags: int
    e_ehsize: int  # bytes
    e_phentsize: int  # bytes
    e_phnum: int  # PN_XNUM: see section 0's sh_info
    e_shentsize: int  # bytes
    e_shnum: int  # 0: see section 0's sh_size
    e_shstrndx: int  # SHN_XINDEX: see section 0's sh_link


class Shdr(NamedTuple):
    """Elf64_Shdr, gABI chapter 4 "Section Header", 64 bytes."""

    sh_name: int  # byte offset into .shstrtab
    sh_type: int  # SHT_*
    sh_flags: int  # SHF_*
    sh_addr: int  # virtual address
    sh_offset: int  # byte offset in the file
    sh_size: int  # bytes
    sh_link: int  # section index
    sh_info: int  # symbol tables: index of the first non-local symbol
    sh_addralign: int  # bytes
    sh_entsize: int  # bytes


class Phdr(NamedTuple):
    """Elf64_Phdr, gABI chapter 5 "Program Header", 56 bytes."""

    p_type: int  # PT_*
    p_flags: int  # PF_*
    p_offset: int  # byte offset in the file
    p_vaddr: int  # virtual address
    p_paddr: int
    p_filesz: int  # bytes
    p_memsz: int  # bytes
    p_align: int  # bytes


class Sym(NamedTuple):
    """Elf64_Sym, gABI chapter 4 "Symbol Table", 24 bytes."""

    st_name: int  # byte offset into .strtab; 0 = unnamed
    st_info: int  # bind << 4 | type
    st_other: int  # visibility, low 2 bits
    st_shndx: int  # section index or SHN_*
    st_value: int  # ET_REL: byte offset into the section; else virtual address
    st_size: int  # bytes
