"""The fixed-size records of 64-bit Mach-O, little-endian, with the headers' field names."""

from __future__ import annotations

from stubgen.common.record import I32, U8, U16, U32, U64, Bytes16, Record
from stubgen.common.row import Row


class MachHeader64(Row):
    """mach_header_64, <mach-o/loader.h>, 32 bytes."""

    magic: U32
    cputype: U32  # CPU_TYPE_*
    cpusubtype: U32  # CPU_SUBTYPE_*, capability bits on top
    filetype: U32  # MH_*
    ncmds: U32  # number of load commands
    sizeofcmds: U32  # bytes
    flags: U32  # MH_*
    reserved: U32


class LoadCommand(Row):
    """load_command, <mach-o/loader.h>, 8 bytes: what every command begins with."""

    cmd: U32  # LC_*
    cmdsize: U32  # bytes, these included


class SegmentCommand64(Row):
    """segment_command_64, <mach-o/loader.h>, 72 bytes, its sections behind it."""

    cmd: U32
    cmdsize: U32  # bytes, sections included
    segname: Bytes16  # NUL-padded
    vmaddr: U64  # virtual address
    vmsize: U64  # bytes
    fileoff: U64  # byte offset in the file
    filesize: U64  # bytes
    maxprot: U32  # VM_PROT_*
    initprot: U32  # VM_PROT_*
    nsects: U32  # number of sections
    flags: U32


class Section64(Row):
    """section_64, <mach-o/loader.h>, 80 bytes."""

    sectname: Bytes16  # NUL-padded
    segname: Bytes16  # NUL-padded
    addr: U64  # virtual address
    size: U64  # bytes
    offset: U32  # byte offset in the file
    align: U32  # log2 bytes
    reloff: U32  # byte offset in the file
    nreloc: U32  # number of relocations
    flags: U32  # S_*
    reserved1: U32
    reserved2: U32
    reserved3: U32


class SymtabCommand(Row):
    """symtab_command, <mach-o/loader.h>, 24 bytes."""

    cmd: U32
    cmdsize: U32  # bytes
    symoff: U32  # byte offset in the file
    nsyms: U32  # number of symbols
    stroff: U32  # byte offset in the file
    strsize: U32  # bytes


class DysymtabCommand(Row):
    """dysymtab_command, <mach-o/loader.h>, 80 bytes; each ``*off`` is a byte offset in the file."""

    cmd: U32
    cmdsize: U32  # bytes
    ilocalsym: U32  # index of the first local symbol
    nlocalsym: U32
    iextdefsym: U32  # index of the first external definition
    nextdefsym: U32
    iundefsym: U32  # index of the first undefined symbol
    nundefsym: U32
    tocoff: U32
    ntoc: U32
    modtaboff: U32
    nmodtab: U32
    extrefsymoff: U32
    nextrefsyms: U32
    indirectsymoff: U32
    nindirectsyms: U32
    extreloff: U32
    nextrel: U32
    locreloff: U32
    nlocrel: U32


class BuildVersionCommand(Row):
    """build_version_command, <mach-o/loader.h>, 24 bytes, its tools behind it."""

    cmd: U32
    cmdsize: U32  # bytes, tools included
    platform: U32  # PLATFORM_*
    minos: U32  # xxxx.yy.zz in nibbles
    sdk: U32  # xxxx.yy.zz in nibbles
    ntools: U32  # number of tools


class VersionMinCommand(Row):
    """version_min_command, <mach-o/loader.h>, 16 bytes."""

    cmd: U32
    cmdsize: U32  # bytes
    version: U32  # xxxx.yy.zz in nibbles
    sdk: U32  # xxxx.yy.zz in nibbles


class UuidCommand(Row):
    """uuid_command, <mach-o/loader.h>, 24 bytes."""

    cmd: U32
    cmdsize: U32  # bytes
    uuid: Bytes16


class DylibCommand(Row):
    """dylib_command, <mach-o/loader.h>, 24 bytes, the library's name behind it."""

    cmd: U32
    cmdsize: U32  # bytes, the name included
    name: U32  # bytes from the command's start to the name
    timestamp: U32
    current_version: U32
    compatibility_version: U32


class LinkeditDataCommand(Row):
    """linkedit_data_command, <mach-o/loader.h>, 16 bytes."""

    cmd: U32
    cmdsize: U32  # bytes
    dataoff: U32  # byte offset in the file
    datasize: U32  # bytes


class DyldInfoCommand(Row):
    """dyld_info_command, <mach-o/loader.h>, 48 bytes: byte offsets in the file, and bytes."""

    cmd: U32
    cmdsize: U32  # bytes
    rebase_off: U32
    rebase_size: U32
    bind_off: U32
    bind_size: U32
    weak_bind_off: U32
    weak_bind_size: U32
    lazy_bind_off: U32
    lazy_bind_size: U32
    export_off: U32
    export_size: U32


class DataInCodeEntry(Row):
    """data_in_code_entry, <mach-o/loader.h>, 8 bytes."""

    offset: U32  # objects: virtual address
    length: U16  # bytes
    kind: U16  # DICE_KIND_*


class ChainedFixupsHeader(Row):
    """dyld_chained_fixups_header, <mach-o/fixup-chains.h>, 28 bytes; offsets count from it."""

    fixups_version: U32
    starts_offset: U32  # bytes
    imports_offset: U32  # bytes
    symbols_offset: U32  # bytes
    imports_count: U32
    imports_format: U32  # CHAINED_IMPORT_FORMATS
    symbols_format: U32  # 0: not compressed


class ChainedStartsInSegment(Row):
    """dyld_chained_starts_in_segment, <mach-o/fixup-chains.h>, up to page_start, 22 bytes."""

    size: U32  # bytes
    page_size: U16  # bytes
    pointer_format: U16  # DYLD_CHAINED_PTR_*
    segment_offset: U64  # bytes from the header's address
    max_valid_pointer: U32
    page_count: U16


class Nlist64(Row):
    """nlist_64, <mach-o/nlist.h>, 16 bytes."""

    n_strx: U32  # byte offset into the string table; 0 = unnamed
    n_type: U8  # N_STAB | N_PEXT | N_TYPE | N_EXT
    n_sect: U8  # section ordinal; 0 = none
    n_desc: U16  # N_WEAK_*; library ordinal in the high byte
    n_value: U64  # virtual address


class RelocationInfo(Row):
    """relocation_info, <mach-o/reloc.h>, 8 bytes."""

    r_address: I32  # byte offset into the section
    r_word: U32  # symbolnum | pcrel << 24 | length << 25 | extern << 27 | type << 28


class CompactUnwindEntry(Row):
    """An entry of ``__LD,__compact_unwind``, as ld64 and LLVM have it, 32 bytes."""

    function: U64  # virtual address
    length: U32  # bytes
    encoding: U32  # UNWIND_ARM64_*
    personality: U64  # virtual address
    lsda: U64  # virtual address of the language-specific data area


class CsSuperBlob(Row):
    """CS_SuperBlob, <kern/cs_blobs.h>, 12 bytes, its index behind it."""

    magic: U32  # CSMAGIC_EMBEDDED_SIGNATURE
    length: U32  # bytes
    entries: U32  # the header's "count": of the index behind it


class CsBlobIndex(Row):
    """CS_BlobIndex, <kern/cs_blobs.h>, 8 bytes."""

    type: U32  # CSSLOT_*
    offset: U32  # bytes from the CS_SuperBlob


class CsCodeDirectory(Row):
    """CS_CodeDirectory, <kern/cs_blobs.h>, up to spare2, 44 bytes; offsets count from it."""

    magic: U32  # CSMAGIC_CODEDIRECTORY
    length: U32  # bytes
    version: U32
    flags: U32
    hashOffset: U32  # bytes to the first page's hash
    identOffset: U32  # bytes
    nSpecialSlots: U32  # hashes before the first page's
    nCodeSlots: U32  # hashes of pages
    codeLimit: U32  # bytes that are signed
    hashSize: U8  # bytes
    hashType: U8  # CS_HASHTYPES
    platform: U8
    pageSize: U8  # log2 bytes; 0: one page
    spare2: U32


class CsCodeLimit64(Row):
    """The codeLimit64 of a CS_CodeDirectory, 56 bytes from its start."""

    codeLimit64: U64  # bytes; 0: codeLimit counts


class FatHeader(Row):
    """fat_header, <mach-o/fat.h>, 8 bytes."""

    magic: U32  # FAT_MAGIC or FAT_MAGIC_64
    nfat_arch: U32  # number of slices


class FatArch(Row):
    """fat_arch, <mach-o/fat.h>, 20 bytes."""

    cputype: U32  # CPU_TYPE_*
    cpusubtype: U32  # CPU_SUBTYPE_*, capability bits on top
    offset: U32  # byte offset in the file
    size: U32  # bytes
    align: U32  # log2 bytes


class FatArch64(Row):
    """fat_arch_64, <mach-o/fat.h>, 32 bytes."""

    cputype: U32  # CPU_TYPE_*
    cpusubtype: U32  # CPU_SUBTYPE_*, capability bits on top
    offset: U64  # byte offset in the file
    size: U64  # bytes
    align: U32  # log2 bytes
    reserved: U32


MACH_HEADER_64 = Record(MachHeader64)
LOAD_COMMAND = Record(LoadCommand)
SEGMENT_COMMAND_64 = Record(SegmentCommand64)
SECTION_64 = Record(Section64)
SYMTAB_COMMAND = Record(SymtabCommand)
DYSYMTAB_COMMAND = Record(DysymtabCommand)
BUILD_VERSION_COMMAND = Record(BuildVersionCommand)
VERSION_MIN_COMMAND = Record(VersionMinCommand)
UUID_COMMAND = Record(UuidCommand)
DYLIB_COMMAND = Record(DylibCommand)
LINKEDIT_DATA_COMMAND = Record(LinkeditDataCommand)
DYLD_INFO_COMMAND = Record(DyldInfoCommand)
DATA_IN_CODE_ENTRY = Record(DataInCodeEntry)
CHAINED_FIXUPS_HEADER = Record(ChainedFixupsHeader)
CHAINED_STARTS_IN_SEGMENT = Record(ChainedStartsInSegment)
NLIST_64 = Record(Nlist64)
RELOCATION_INFO = Record(RelocationInfo)
COMPACT_UNWIND_ENTRY = Record(CompactUnwindEntry)
CS_SUPER_BLOB = Record(CsSuperBlob, ">")  # signatures are big-endian
CS_BLOB_INDEX = Record(CsBlobIndex, ">")
CS_CODE_DIRECTORY = Record(CsCodeDirectory, ">")
CS_CODE_LIMIT_64 = Record(CsCodeLimit64, ">")
FAT_HEADER = Record(FatHeader, ">")  # fat headers are big-endian
FAT_ARCH = Record(FatArch, ">")
FAT_ARCH_64 = Record(FatArch64, ">")
