"""The equivalent of ``<mach-o/loader.h>``, ``<mach-o/nlist.h>`` and their kin: definitions only."""

# <mach-o/fat.h>: big-endian
FAT_MAGIC = 0xCAFEBABE
FAT_MAGIC_64 = 0xCAFEBABF

# <mach-o/loader.h>, mach_header_64
MH_MAGIC = 0xFEEDFACE
MH_CIGAM = 0xCEFAEDFE
MH_MAGIC_64 = 0xFEEDFACF
MH_CIGAM_64 = 0xCFFAEDFE
MH_OBJECT = 1
MH_EXECUTE = 2
MH_DYLIB = 6
MH_BUNDLE = 8
MH_DYLIB_STUB = 9
MH_DSYM = 10
MH_SUBSECTIONS_VIA_SYMBOLS = 0x2000
MH_PIE = 0x200000

# <mach/machine.h>
CPU_ARCH_ABI64 = 0x01000000
CPU_ARCH_ABI64_32 = 0x02000000
CPU_TYPE_X86_64 = 7 | CPU_ARCH_ABI64
CPU_TYPE_ARM = 12
CPU_TYPE_ARM64 = 12 | CPU_ARCH_ABI64
CPU_TYPE_ARM64_32 = 12 | CPU_ARCH_ABI64_32
CPU_SUBTYPE_ARM64_ALL = 0
CPU_SUBTYPE_ARM64E = 2
CPU_SUBTYPE_MASK = 0xFF000000

CPU_NAMES = {7: "i386", CPU_TYPE_X86_64: "x86-64", CPU_TYPE_ARM: "32-bit ARM", CPU_TYPE_ARM64_32: "arm64_32"}

# <mach-o/loader.h>, load commands
LC_REQ_DYLD = 0x80000000
LC_SYMTAB = 0x2
LC_DYSYMTAB = 0xB
LC_LOAD_DYLIB = 0xC
LC_ID_DYLIB = 0xD
LC_LOAD_WEAK_DYLIB = 0x18 | LC_REQ_DYLD
LC_SEGMENT_64 = 0x19
LC_UUID = 0x1B
LC_REEXPORT_DYLIB = 0x1F | LC_REQ_DYLD
LC_LAZY_LOAD_DYLIB = 0x20
LC_DYLD_INFO = 0x22
LC_DYLD_INFO_ONLY = 0x22 | LC_REQ_DYLD
LC_LOAD_UPWARD_DYLIB = 0x23 | LC_REQ_DYLD
LC_VERSION_MIN_MACOSX = 0x24
LC_VERSION_MIN_IPHONEOS = 0x25
LC_VERSION_MIN_TVOS = 0x2F
LC_VERSION_MIN_WATCHOS = 0x30
LC_CODE_SIGNATURE = 0x1D
LC_SEGMENT_SPLIT_INFO = 0x1E
LC_FUNCTION_STARTS = 0x26
LC_DATA_IN_CODE = 0x29
LC_DYLIB_CODE_SIGN_DRS = 0x2B
LC_LINKER_OPTIMIZATION_HINT = 0x2E
LC_BUILD_VERSION = 0x32
LC_DYLD_CHAINED_FIXUPS = 0x34 | LC_REQ_DYLD

LOAD_DYLIB_COMMANDS = frozenset(
    {LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB, LC_LAZY_LOAD_DYLIB, LC_LOAD_UPWARD_DYLIB}
)
"""The commands that name a library to load; their order gives the two-level namespace's ordinals."""

LINKEDIT_DATA_COMMANDS = frozenset(
    {
        LC_CODE_SIGNATURE,
        LC_SEGMENT_SPLIT_INFO,
        LC_FUNCTION_STARTS,
        LC_DATA_IN_CODE,
        LC_DYLIB_CODE_SIGN_DRS,
        LC_LINKER_OPTIMIZATION_HINT,
    }
)
"""The commands of an object that hold a linkedit_data_command: where something lies in the file."""

# <mach-o/loader.h>, platforms of LC_BUILD_VERSION
PLATFORM_MACOS = 1
PLATFORM_IOS = 2
PLATFORM_TVOS = 3
PLATFORM_WATCHOS = 4
PLATFORM_MACCATALYST = 6
PLATFORM_IOSSIMULATOR = 7
PLATFORM_TVOSSIMULATOR = 8
PLATFORM_WATCHOSSIMULATOR = 9
PLATFORM_DRIVERKIT = 10
PLATFORM_VISIONOS = 11
PLATFORM_VISIONOSSIMULATOR = 12

PLATFORM_NAMES = {
    PLATFORM_MACOS: "macOS",
    PLATFORM_IOS: "iOS",
    PLATFORM_TVOS: "tvOS",
    PLATFORM_WATCHOS: "watchOS",
    PLATFORM_MACCATALYST: "Mac Catalyst",
    PLATFORM_IOSSIMULATOR: "iOS simulator",
    PLATFORM_TVOSSIMULATOR: "tvOS simulator",
    PLATFORM_WATCHOSSIMULATOR: "watchOS simulator",
    PLATFORM_DRIVERKIT: "DriverKit",
    PLATFORM_VISIONOS: "visionOS",
    PLATFORM_VISIONOSSIMULATOR: "visionOS simulator",
}
VERSION_MIN_PLATFORMS = {
    LC_VERSION_MIN_MACOSX: PLATFORM_MACOS,
    LC_VERSION_MIN_IPHONEOS: PLATFORM_IOS,
    LC_VERSION_MIN_TVOS: PLATFORM_TVOS,
    LC_VERSION_MIN_WATCHOS: PLATFORM_WATCHOS,
}
"""What the commands that LC_BUILD_VERSION replaced say of the platform."""

# <mach-o/loader.h>, sections
MAX_SECTION_ALIGN = 15  # log2 bytes, <mach-o/loader.h> and ld64: MAXSECTALIGN
SECTION_TYPE = 0x000000FF
S_REGULAR = 0x0
S_ZEROFILL = 0x1
S_NON_LAZY_SYMBOL_POINTERS = 0x6  # the GOT: reserved1 is where its symbols begin in the indirect symbol table
S_SYMBOL_STUBS = 0x8  # likewise, with the bytes of each in reserved2
S_GB_ZEROFILL = 0xC
S_MOD_INIT_FUNC_POINTERS = 0x9  # pointers to functions that dyld calls when it loads the file
S_MOD_TERM_FUNC_POINTERS = 0xA  # likewise, when it unloads it
S_THREAD_LOCAL_REGULAR = 0x11
S_THREAD_LOCAL_ZEROFILL = 0x12
S_THREAD_LOCAL_VARIABLES = 0x13
S_THREAD_LOCAL_VARIABLE_POINTERS = 0x14  # of a linked image: addresses of descriptors
S_THREAD_LOCAL_INIT_FUNCTION_POINTERS = 0x15
S_INIT_FUNC_OFFSETS = 0x16  # like S_MOD_INIT_FUNC_POINTERS, 32-bit offsets from the header
S_ATTR_PURE_INSTRUCTIONS = 0x80000000
S_ATTR_SOME_INSTRUCTIONS = 0x00000400
S_ATTR_DEBUG = 0x02000000
S_ATTR_NO_DEAD_STRIP = 0x10000000
VM_PROT_READ = 1
VM_PROT_WRITE = 2
VM_PROT_EXECUTE = 4
SG_READ_ONLY = 0x10  # a segment that dyld makes read-only once it has bound it

ZEROFILL_TYPES = frozenset({S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL})
"""Section types that occupy memory and no bytes of the file."""
LITERAL_TYPES = frozenset({0x2, 0x3, 0x4, 0x5, 0xE})
"""Section types whose equal entries linkers merge: strings, pointers to them, and constants of 4, 8 and 16 bytes."""
THREAD_LOCAL_TYPES = frozenset({S_THREAD_LOCAL_REGULAR, S_THREAD_LOCAL_ZEROFILL, S_THREAD_LOCAL_VARIABLES})

# <mach-o/nlist.h>
N_STAB = 0xE0  # any of these bits: a debugger's entry
N_FUN = 0x24  # <mach-o/stab.h>: a function, its name and address; without a name, its size
N_GSYM = 0x20  # <mach-o/stab.h>: a variable that all files see, its name alone
N_STSYM = 0x26  # <mach-o/stab.h>: a static variable, its name and address
N_LCSYM = 0x28  # likewise
N_SO = 0x64  # the source file of the entries that follow; without a name, their end
N_OSO = 0x66  # likewise the object, with the time of its last change
N_PEXT = 0x10
N_TYPE = 0x0E
N_EXT = 0x01
N_UNDF = 0x0
N_ABS = 0x2
N_SECT = 0xE
N_PBUD = 0xC
N_INDR = 0xA
N_NO_DEAD_STRIP = 0x20
N_WEAK_REF = 0x40
N_WEAK_DEF = 0x80
N_ALT_ENTRY = 0x200
COMMON_ALIGN_SHIFT = 8  # GET_COMM_ALIGN: a common's n_desc holds log2 bytes in bits 8 to 11

# <mach-o/loader.h>, the indirect symbol table
INDIRECT_SYMBOL_LOCAL = 0x80000000  # these two bits: no symbol's index
INDIRECT_SYMBOL_ABS = 0x40000000

# <mach-o/compact_unwind_encoding.h>
COMPACT_UNWIND_LSDA = 24  # byte offset in it of the language-specific data area's address; 0 without a relocation: none
UNWIND_ARM64_MODE_MASK = 0x0F000000
UNWIND_ARM64_MODE_DWARF = 0x03000000  # the entry in __eh_frame counts
UNWIND_ARM64_MODE_FRAMELESS = 0x02000000  # stack size in 16-byte units, bits 12-23; return address in lr

# <mach-o/loader.h>, the binding opcodes of LC_DYLD_INFO: operation in the high nibble
BIND_OPCODE_SET_SYMBOL_TRAILING_FLAGS_IMM = 0x40  # a NUL-terminated name follows
BIND_OPCODE_SET_ADDEND_SLEB = 0x60
BIND_OPCODE_SET_SEGMENT_AND_OFFSET_ULEB = 0x70
BIND_OPCODE_ADD_ADDR_ULEB = 0x80
BIND_OPCODE_DO_BIND = 0x90
BIND_OPCODE_DO_BIND_ADD_ADDR_ULEB = 0xA0
BIND_OPCODE_DO_BIND_ADD_ADDR_IMM_SCALED = 0xB0
BIND_OPCODE_DO_BIND_ULEB_TIMES_SKIPPING_ULEB = 0xC0
BIND_DO_OPCODES = frozenset({0x90, 0xA0, 0xB0, 0xC0})
BIND_OPCODE_THREADED = 0xD0
BIND_OPERAND_COUNTS = {0x20: 1, 0x60: 1, 0x70: 1, 0x80: 1, 0xA0: 1, 0xC0: 2}
"""Operation -> how many LEB128 operands follow; those not listed have none."""
BIND_SYMBOL_FLAGS_NON_WEAK_DEFINITION = 0x8  # the image has a strong definition: nothing is bound

# <mach-o/fixup-chains.h>
BIND_SPECIAL_DYLIB_WEAK_LOOKUP = -3  # <mach-o/loader.h>: whichever image's weak definition comes first
CHAINED_IMPORT_FORMATS = {1: (4, 9, 0x7FFFFF), 2: (8, 9, 0x7FFFFF), 3: (16, 32, 0xFFFFFFFF)}
"""imports_format -> (bytes an import, first bit of its name's offset, mask of that offset)."""

DYLD_CHAINED_PTR_64 = 2  # a pointer not yet bound holds 36 bits of its target and, above, that one's top byte
DYLD_CHAINED_PTR_64_OFFSET = 6  # likewise, counted from the header
CHAINED_START_NONE = 0xFFFF  # DYLD_CHAINED_PTR_START_NONE: a page without a chain
CHAINED_POINTER_BIND = 1 << 63  # dyld looks a name up instead
CHAINED_POINTER_TARGET = (1 << 36) - 1

# <mach-o/arm64/reloc.h>, LC_LINKER_OPTIMIZATION_HINT
LOH_ARM64_ADRP_ADRP = 1  # the second may go where both are about one page
LOH_THREE = frozenset({3, 4, 5, 6})
"""adrp, add or ldr of a GOT entry, ldr or str: the third instruction may hold what the first two said."""

# <kern/cs_blobs.h>: code signatures, big-endian
CSMAGIC_EMBEDDED_SIGNATURE = 0xFADE0CC0
CSMAGIC_CODEDIRECTORY = 0xFADE0C02
CS_SUPPORTSCODELIMIT64 = 0x20300  # the first version of a code directory that has codeLimit64
CS_HASHTYPES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}
"""hashType -> (what hashlib calls it, bytes of it that count)."""

TLV_DESCRIPTOR, TLV_OFFSET = 24, 16
"""Bytes of a thread-local's descriptor, and where in it its template's offset stands (``<mach-o/loader.h>``)."""
OBJECTIVE_C = (b"_OBJC_", b"__OBJC_", b"l_OBJC")
"""How compilers call Objective-C's metadata, which lies in __data and of which each image has its own."""
