"""The fixed-size records of 64-bit Mach-O, little-endian, with the headers' field names."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

MACH_HEADER_64 = Struct("<IIIIIIII")
LOAD_COMMAND = Struct("<II")
SEGMENT_COMMAND_64 = Struct("<II16sQQQQIIII")
SECTION_64 = Struct("<16s16sQQIIIIIIII")
SYMTAB_COMMAND = Struct("<IIIIII")
DYSYMTAB_COMMAND = Struct("<20I")
BUILD_VERSION_COMMAND = Struct("<IIIIII")
VERSION_MIN_COMMAND = Struct("<IIII")
UUID_COMMAND = Struct("<II16s")
DYLIB_COMMAND = Struct("<IIIIII")
LINKEDIT_DATA_COMMAND = Struct("<IIII")
DATA_IN_CODE_ENTRY = Struct("<IHH")
DYLD_INFO_COMMAND = Struct("<12I")
CHAINED_FIXUPS_HEADER = Struct("<7I")
NLIST_64 = Struct("<IBBHQ")
RELOCATION_INFO = Struct("<iI")
COMPACT_UNWIND_ENTRY = Struct("<QIIQQ")
CS_SUPER_BLOB = Struct(">III")  # signatures are big-endian
CS_BLOB_INDEX = Struct(">II")
CS_CODE_DIRECTORY = Struct(">9I4BI")
CODE_LIMIT_64 = Struct(">Q")  # 56 bytes into a code directory
FAT_HEADER = Struct(">II")  # fat headers are big-endian
FAT_ARCH = Struct(">IIIII")
FAT_ARCH_64 = Struct(">IIQQII")


class MachHeader64(NamedTuple):
    """mach_header_64, 32 bytes."""

    magic: int
    cputype: int  # CPU_TYPE_*
    cpusubtype: int  # CPU_SUBTYPE_*, capability bits on top
    filetype: int  # MH_*
    ncmds: int  # number of load commands
    sizeofcmds: int  # bytes
    flags: int  # MH_*
    reserved: int


class SegmentCommand64(NamedTuple):
    """segment_command_64, 72 bytes, its sections behind it."""

    cmd: int
    cmdsize: int  # bytes, sections included
    segname: bytes  # NUL-padded
    vmaddr: int  # virtual address
    vmsize: int  # bytes
    fileoff: int  # byte offset in the file
    filesize: int  # bytes
    maxprot: int  # VM_PROT_*
    initprot: int  # VM_PROT_*
    nsects: int  # number of sections
    flags: int


class Section64(NamedTuple):
    """section_64, 80 bytes."""

    sectname: bytes  # NUL-padded
    segname: bytes  # NUL-padded
    addr: int  # virtual address
    size: int  # bytes
    offset: int  # byte offset in the file
    align: int  # log2 bytes
    reloff: int  # byte offset in the file
    nreloc: int  # number of relocations
    flags: int  # S_*
    reserved1: int
    reserved2: int
    reserved3: int


class Nlist64(NamedTuple):
    """nlist_64, 16 bytes."""

    n_strx: int  # byte offset into the string table; 0 = unnamed
    n_type: int  # N_STAB | N_PEXT | N_TYPE | N_EXT
    n_sect: int  # section ordinal; 0 = none
    n_desc: int  # N_WEAK_*; library ordinal in the high byte
    n_value: int  # virtual address
