"""The equivalent of ``elf.h``: definitions only, under the section of the specification that makes them.

gABI: System V ABI, chapters 4 and 5. AAELF64: ELF for the Arm 64-bit Architecture.
"""

# gABI chapter 4, "ELF Identification"
ELFMAG = b"\x7fELF"
EI_CLASS = 4
EI_DATA = 5
ELFCLASS32 = 1
ELFCLASS64 = 2
ELFDATA2LSB = 1
ELFDATA2MSB = 2
EV_CURRENT = 1

# gABI chapter 4, "ELF Header"
ET_REL = 1
ET_EXEC = 2
ET_DYN = 3
ET_CORE = 4
EM_386 = 3
EM_ARM = 40
EM_X86_64 = 62
EM_AARCH64 = 183
EM_RISCV = 243
PN_XNUM = 0xFFFF  # the real count is in section 0's sh_info

MACHINE_NAMES = {EM_386: "i386", EM_ARM: "32-bit ARM", EM_X86_64: "x86-64", EM_RISCV: "RISC-V"}

# gABI chapter 4, "Sections": special indexes
SHN_UNDEF = 0
SHN_LORESERVE = 0xFF00
SHN_ABS = 0xFFF1
SHN_COMMON = 0xFFF2
SHN_XINDEX = 0xFFFF  # the real index is in .symtab_shndx (symbols) or section 0 (header)

PADDED_TO = 0x10000  # bytes: how far a section of an object is aligned in the file; gABI aligns sh_addr alone

# gABI chapter 4, "Sections": sh_type
SHT_PROGBITS = 1
SHT_SYMTAB = 2
SHT_STRTAB = 3
SHT_RELA = 4
SHT_NOTE = 7
SHT_NOBITS = 8
SHT_REL = 9
SHT_DYNSYM = 11
SHT_GROUP = 17
SHT_SYMTAB_SHNDX = 18
SHT_CREL = 0x40000014  # LLVM: compact relocations
SHT_GNU_VERSYM = 0x6FFFFFFF
GRP_COMDAT = 1  # the first word of an SHT_GROUP section: of several such groups a linker keeps one

# gABI chapter 4, "Sections": sh_flags
SHF_WRITE = 0x1
SHF_ALLOC = 0x2
SHF_EXECINSTR = 0x4
SHF_MERGE = 0x10
SHF_STRINGS = 0x20
SHF_INFO_LINK = 0x40
SHF_TLS = 0x400
SHF_COMPRESSED = 0x800

# gABI chapter 4, "Symbol Table"
STB_LOCAL = 0
STB_GLOBAL = 1
STB_WEAK = 2
STB_GNU_UNIQUE = 10
STT_NOTYPE = 0
STT_OBJECT = 1
STT_FUNC = 2
STT_SECTION = 3
STT_FILE = 4
STT_COMMON = 5
STT_TLS = 6
STT_GNU_IFUNC = 10
STV_DEFAULT = 0
STV_INTERNAL = 1
STV_HIDDEN = 2
STV_PROTECTED = 3

# gABI chapter 5, "Program Header"
PT_LOAD = 1
PT_DYNAMIC = 2
PT_INTERP = 3
PT_NOTE = 4
PT_TLS = 7
PT_GNU_EH_FRAME = 0x6474E550  # GNU: .eh_frame_hdr
PT_GNU_STACK = 0x6474E551  # GNU: with PF_X, the loader makes every thread's stack executable
PT_GNU_RELRO = 0x6474E552  # GNU: read-only once the loader has relocated it
PF_X = 1
PF_W = 2
PF_R = 4

# gABI chapter 5, "Dynamic Section"
DT_NULL = 0
DT_NEEDED = 1
DT_PLTRELSZ = 2
DT_HASH = 4
DT_STRTAB = 5
DT_SYMTAB = 6
DT_RELA = 7
DT_RELASZ = 8
DT_STRSZ = 10
DT_INIT = 12
DT_FINI = 13
DT_SONAME = 14
DT_SYMBOLIC = 16
DT_DEBUG = 21
DT_TEXTREL = 22
DT_JMPREL = 23
DT_INIT_ARRAY = 25
DT_FINI_ARRAY = 26
DT_INIT_ARRAYSZ = 27  # bytes
DT_FINI_ARRAYSZ = 28  # bytes
DT_FLAGS = 30
DT_RELRSZ = 35  # bytes
DT_RELR = 36
DT_GNU_HASH = 0x6FFFFEF5
DT_VERSYM = 0x6FFFFFF0
DT_FLAGS_1 = 0x6FFFFFFB
DT_VERDEF = 0x6FFFFFFC
DT_VERDEFNUM = 0x6FFFFFFD
DT_VERNEED = 0x6FFFFFFE
DT_VERNEEDNUM = 0x6FFFFFFF
DT_ANDROID_REL = 0x6000000F
DT_ANDROID_RELSZ = 0x60000010  # bytes
DT_ANDROID_RELA = 0x60000011
DT_ANDROID_RELASZ = 0x60000012  # bytes
DT_ANDROID_RELR = 0x6FFFE000
DT_ANDROID_RELRSZ = 0x6FFFE001  # bytes
DF_SYMBOLIC = 0x2
DF_TEXTREL = 0x4
DF_STATIC_TLS = 0x10
DF_1_PIE = 0x08000000

# bionic's linker_reloc_iterators.h: the packed relocations of DT_ANDROID_REL and DT_ANDROID_RELA
APS2_MAGIC = b"APS2"
RELOCATION_GROUPED_BY_INFO_FLAG = 1
RELOCATION_GROUPED_BY_OFFSET_DELTA_FLAG = 2
RELOCATION_GROUPED_BY_ADDEND_FLAG = 4
RELOCATION_GROUP_HAS_ADDEND_FLAG = 8

# Symbol versioning (LSB Core, "Symbol Versioning")
VERSYM_HIDDEN = 0x8000  # not the default version: name@V rather than name@@V
VER_FLG_BASE = 0x1

# Linux extensions to gABI: notes
NT_GNU_BUILD_ID = 3
NT_GNU_PROPERTY_TYPE_0 = 5
NT_ANDROID_TYPE_IDENT = 1
GNU_PROPERTY_AARCH64_FEATURE_1_AND = 0xC0000000
GNU_PROPERTY_AARCH64_FEATURE_1_BTI = 0x1
GNU_PROPERTY_AARCH64_FEATURE_1_PAC = 0x2

# DWARF exception header encodings (LSB Core, "DWARF Extensions")
DW_EH_PE_PCREL_SDATA4 = 0x1B
DW_CFA_NOP = 0x00
DW_CFA_DEF_CFA = 0x0C
DW_CFA_DEF_CFA_OFFSET = 0x0E
DW_CFA_ADVANCE_LOC = 0x40  # | steps of the code alignment factor
DW_CFA_OFFSET = 0x80  # | register
DW_CFA_RESTORE = 0xC0  # | register
DWARF_SP = 31  # AADWARF64, "DWARF register names"
DWARF_LR = 30
