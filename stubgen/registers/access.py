"""Which registers an instruction reads and writes (Arm ARM C4.1, "A64 instruction set encoding").

Capstone 5 is not asked: it says of ``cmp x0, x1`` that it writes x0, and of ``ld1`` that it reads what it loads.
"""

from __future__ import annotations

from functools import lru_cache

from stubgen.common.row import Row

SP = 1 << 31
VECTOR = 32
FLAGS = 1 << 64
UPPER = 65
EVERYTHING = (1 << 73) - 1
"""A set of registers is a number: bits 0 to 30 are x0 to x30, then sp, from ``VECTOR`` v0 to v31, ``FLAGS``, and from
``UPPER`` the upper halves of v8 to v15, which calls destroy though they keep the lower ones (AAPCS64 6.1.2)."""

LR = 1 << 30
SVC_READS = 0x1FF
"""x0 to x7 and x8: what a system call may take (Linux' syscall(2))."""


class Access(Row):
    """Instructions that read and write by the same fields.

    A register is a letter for what it is and one for its field: ``x`` general with 31 for zero, ``s`` general with 31
    for the stack pointer, ``v`` a vector, ``w`` a whole one of 128 bits; ``t`` what a load or store moves; ``d``,
    ``n``, ``a``, ``m`` are the fields at bits 0, 5, 10, 16. ``*`` behind them: the next register as well.
    """

    mask: int
    word: int
    reads: str
    writes: str


IMMEDIATE = (
    Access(0x1F000000, 0x10000000, "", "xd"),  # adr, adrp
    Access(0x3F800000, 0x31000000, "sn", "xd flags"),  # adds, subs
    Access(0x1F000000, 0x11000000, "sn", "sd"),  # add, sub, addg
    Access(0x7F800000, 0x72000000, "xn", "xd flags"),  # ands
    Access(0x1F800000, 0x12000000, "xn", "sd"),  # and, orr, eor
    Access(0x7F800000, 0x72800000, "xd", "xd"),  # movk
    Access(0x1F800000, 0x12800000, "", "xd"),  # movz, movn
    Access(0x7F800000, 0x33000000, "xd xn", "xd"),  # bfm
    Access(0x1F800000, 0x13000000, "xn", "xd"),  # sbfm, ubfm
    Access(0x1F800000, 0x13800000, "xn xm", "xd"),  # extr
)
BRANCHES = (
    Access(0xFC000000, 0x94000000, "", "lr"),  # bl
    Access(0xFC000000, 0x14000000, "", ""),  # b
    Access(0xFF000000, 0x54000000, "flags", ""),  # b.cond
    Access(0x7C000000, 0x34000000, "xd", ""),  # cbz, tbz and their opposites
    Access(0xFFFFFC00, 0xD63F0000, "xn", "lr"),  # blr
    Access(0xFFFFF000, 0xD63F0000, "xn sd", "lr"),  # blraaz, blrabz
    Access(0xFFFFF000, 0xD73F0000, "xn sd", "lr"),  # blraa, blrab
    Access(0xFFFFFC00, 0xD61F0000, "xn", ""),  # br
    Access(0xFEFFF000, 0xD61F0000, "xn sd", ""),  # braa, braaz and so on
    Access(0xFEFFFC00, 0xD65F0000, "xn", ""),  # ret
    Access(0xFE000000, 0xD6000000, "lr", ""),  # retaa, eret
    Access(0xFFE0001F, 0xD4000001, "svc", "svc"),
    Access(0xFF000000, 0xD4000000, "", ""),  # brk and other exceptions
    Access(0xFFFFFFE0, 0xD53B4200, "flags", "xd"),  # mrs xt, nzcv
    Access(0xFFFFFFE0, 0xD51B4200, "xd", "flags"),  # msr nzcv, xt
    Access(0xFFF00000, 0xD5300000, "", "xd"),  # mrs
    Access(0xFFF00000, 0xD5100000, "xd", ""),  # msr
    Access(0xFFF80000, 0xD5280000, "", "xd"),  # sysl
    Access(0xFFF80000, 0xD5080000, "xd", ""),  # sys
    Access(0xFFFFFF1F, 0xD500401F, "flags", "flags"),  # cfinv, axflag, xaflag
    Access(0xFFFFE01F, 0xD503201F, "", ""),  # hints and barriers
    Access(0xFFF8F01F, 0xD500401F, "", ""),  # msr (immediate)
)
MEMORY = (
    Access(0xBFFF0000, 0x0C000000, "list sn", ""),  # st1 to st4
    Access(0xBFFF0000, 0x0C400000, "sn", "list"),  # ld1 to ld4
    Access(0xBFE00000, 0x0C800000, "list sn xm", "sn"),  # and with the address moved on
    Access(0xBFE00000, 0x0CC00000, "sn xm", "list sn"),
    Access(0xBFDF0000, 0x0D000000, "list sn", ""),  # of one lane
    Access(0xBFDFC000, 0x0D40C000, "sn", "list"),  # ld1r
    Access(0xBFDF0000, 0x0D400000, "list sn", "list"),
    Access(0xBFC00000, 0x0D800000, "list sn xm", "sn"),
    Access(0xBFC0C000, 0x0DC0C000, "sn xm", "list sn"),
    Access(0xBFC00000, 0x0DC00000, "list sn xm", "list sn"),
    Access(0xBFA07C00, 0x08207C00, "xm* xd* sn", "xm*"),  # casp
    Access(0x3FA07C00, 0x08A07C00, "xm xd sn", "xm"),  # cas
    Access(0x3FE07C00, 0x08007C00, "xd sn", "xm"),  # stxr
    Access(0x3FE00000, 0x08200000, "xd xa sn", "xm"),  # stxp
    Access(0x3FFF7C00, 0x085F7C00, "sn", "xd"),  # ldxr
    Access(0x3FFF0000, 0x087F0000, "sn", "xd xa"),  # ldxp
    Access(0x3FFF7C00, 0x089F7C00, "xd sn", ""),  # stlr
    Access(0x3FFF7C00, 0x08DF7C00, "sn", "xd"),  # ldar
    Access(0xFF000000, 0xD8000000, "", ""),  # prfm (literal)
    Access(0x3F000000, 0x18000000, "", "xd"),  # ldr (literal)
    Access(0x3F000000, 0x1C000000, "", "vd"),
    Access(0x3FE00C00, 0x19000000, "xd sn", ""),  # stlur
    Access(0x3F200C00, 0x19000000, "sn", "xd"),  # ldapur
    Access(0x3B200C00, 0x19000400, "xd xn xm flags", "xd xn xm flags"),  # cpyp, setp and so on
    Access(0xFFC00000, 0x68800000, "xd xa sn", "sn"),  # stgp, address after or before moved on
    Access(0xFFC00000, 0x69800000, "xd xa sn", "sn"),
    Access(0x3BC00000, 0x28000000, "td ta sn", ""),  # stnp
    Access(0x3BC00000, 0x29000000, "td ta sn", ""),  # stp
    Access(0x3A400000, 0x28000000, "td ta sn", "sn"),  # stp, address moved on
    Access(0x3BC00000, 0x28400000, "sn", "td ta"),  # ldnp
    Access(0x3BC00000, 0x29400000, "sn", "td ta"),  # ldp
    Access(0x3A400000, 0x28400000, "sn", "td ta sn"),  # ldp, address moved on
    Access(0xFF200C00, 0xD9200000, "sd sn", "xd"),  # ldg, stzgm and so on
    Access(0xFF200000, 0xD9200000, "sd sn", "sn"),  # stg
    Access(0xFFC00000, 0xF9800000, "sn", ""),  # prfm
    Access(0xFFE00C00, 0xF8A00800, "sn xm", ""),
    Access(0xFFE00C00, 0xF8800000, "sn", ""),  # prfum
    Access(0x3F200C00, 0x38200000, "xm sn", "xd"),  # ldadd, swp and other atomic operations; ldapr
    Access(0xFF200C00, 0xF8200400, "sn", "xd"),  # ldraa
    Access(0xFF200C00, 0xF8200C00, "sn", "xd sn"),  # ldraa, address moved on
    Access(0x3F400000, 0x3D000000, "td sn", ""),  # str of a vector
    Access(0x3F400000, 0x3D400000, "sn", "td"),
    Access(0x3FC00000, 0x39000000, "td sn", ""),  # str
    Access(0x3F000000, 0x39000000, "sn", "td"),  # ldr
    Access(0x3F600C00, 0x3C200800, "td sn xm", ""),  # by a register's distance
    Access(0x3F600C00, 0x3C600800, "sn xm", "td"),
    Access(0x3FE00C00, 0x38200800, "td sn xm", ""),
    Access(0x3F200C00, 0x38200800, "sn xm", "td"),
    Access(0x3F600400, 0x3C000000, "td sn", ""),  # stur
    Access(0x3F600400, 0x3C400000, "sn", "td"),
    Access(0x3F600400, 0x3C000400, "td sn", "sn"),  # address moved on
    Access(0x3F600400, 0x3C400400, "sn", "td sn"),
    Access(0x3FE00400, 0x38000000, "td sn", ""),
    Access(0x3F200400, 0x38000000, "sn", "td"),
    Access(0x3FE00400, 0x38000400, "td sn", "sn"),
    Access(0x3F200400, 0x38000400, "sn", "td sn"),
)
ARITHMETIC = (
    Access(0x7F000000, 0x6A000000, "xn xm", "xd flags"),  # ands, bics
    Access(0x1F000000, 0x0A000000, "xn xm", "xd"),  # and, orr, eor and their opposites
    Access(0x3F200000, 0x2B000000, "xn xm", "xd flags"),  # adds, subs (shifted register)
    Access(0x3F200000, 0x2B200000, "sn xm", "xd flags"),  # (extended register)
    Access(0x1F200000, 0x0B000000, "xn xm", "xd"),  # add, sub
    Access(0x1F200000, 0x0B200000, "sn xm", "sd"),
    Access(0x3FE0FC00, 0x3A000000, "xn xm flags", "xd flags"),  # adcs, sbcs
    Access(0x1FE0FC00, 0x1A000000, "xn xm flags", "xd"),  # adc, sbc
    Access(0x1FE00000, 0x1A000000, "xn flags", "flags"),  # rmif, setf8
    Access(0x1FE00800, 0x1A400000, "xn xm flags", "flags"),  # ccmp, ccmn
    Access(0x1FE00800, 0x1A400800, "xn flags", "flags"),
    Access(0x1FE00000, 0x1A800000, "xn xm flags", "xd"),  # csel, csinc, csinv, csneg
    Access(0xFFFF0000, 0xDAC10000, "xd sn", "xd"),  # pacia and its kin
    Access(0x7FE00000, 0x5AC00000, "xn", "xd"),  # rbit, clz, rev
    Access(0xFFE0FC00, 0xBAC00000, "sn sm", "xd flags"),  # subps
    Access(0x7FE0E800, 0x1AC00000, "sn sm", "xd"),  # subp, irg
    Access(0x7FE0FC00, 0x1AC03000, "xn sm", "xd"),  # pacga
    Access(0x1FE00000, 0x1AC00000, "xn xm", "xd"),  # udiv, lsl, crc32
    Access(0x1F000000, 0x1B000000, "xn xm xa", "xd"),  # madd, smulh
)
VECTORS = (
    Access(0xFFFFFC00, 0x1E7E0000, "vn", "xd flags"),  # fjcvtzs
    Access(0xFFFFFC00, 0x9EAE0000, "wn", "xd"),  # fmov xd, vn.d[1]
    Access(0xFFFFFC00, 0x9EAF0000, "xn vd", "vd"),  # fmov vd.d[1], xn
    Access(0x7F26FC00, 0x1E220000, "xn", "vd"),  # scvtf, ucvtf
    Access(0x7F27FC00, 0x1E270000, "xn", "vd"),  # fmov vd, xn
    Access(0x7F20FC00, 0x1E200000, "vn", "xd"),  # fmov xd, vn; fcvtns and so on
    Access(0x7F260000, 0x1E020000, "xn", "vd"),  # scvtf (fixed-point)
    Access(0x7F200000, 0x1E000000, "vn", "xd"),  # fcvtzs (fixed-point)
    Access(0xFF200C00, 0x1E200400, "vn vm flags", "flags"),  # fccmp
    Access(0xFF200C00, 0x1E200C00, "vn vm flags", "vd"),  # fcsel
    Access(0xFF200C00, 0x1E200800, "vn vm", "vd"),  # fadd
    Access(0xFF20FC08, 0x1E202000, "vn vm", "flags"),  # fcmp
    Access(0xFF20FC08, 0x1E202008, "vn", "flags"),  # fcmp with zero
    Access(0xFF201C00, 0x1E201000, "", "vd"),  # fmov (immediate)
    Access(0xFF207C00, 0x1E204000, "vn", "vd"),  # fsqrt, fcvt
    Access(0xFF000000, 0x1F000000, "vn vm va", "vd"),  # fmadd
    Access(0xFF3E0C00, 0x4E280800, "wn wd", "vd"),  # aese
    Access(0xFF3E0C00, 0x5E280800, "wn wd", "vd"),  # sha256su0
    Access(0xFF208C00, 0x5E000000, "wn wm wd", "vd"),  # sha256h
    Access(0xFF000000, 0xCE000000, "wn wm wa wd", "vd"),  # eor3, sha512h
    Access(0xBFE0FC00, 0x0E000C00, "xn", "vd"),  # dup of a general register
    Access(0xFFE0FC00, 0x4E001C00, "xn wd", "vd"),  # ins of a general register
    Access(0xBFE0EC00, 0x0E002C00, "wn", "xd"),  # smov, umov
    Access(0xFFE08400, 0x6E000400, "wn wd", "vd"),  # ins of an element
    Access(0x8FE08400, 0x0E000400, "wn", "vd"),  # dup of an element
    Access(0x9FF89400, 0x0F001400, "wd", "vd"),  # orr, bic (immediate)
    Access(0x9FF8D400, 0x0F009400, "wd", "vd"),
    Access(0x9FF80400, 0x0F000400, "", "vd"),  # movi
    Access(0x8F80DC00, 0x0F001400, "wn wd", "vd"),  # ssra, srsra
    Access(0xAF80EC00, 0x2F004400, "wn wd", "vd"),  # sri, sli
    Access(0xDF80E400, 0x4F008400, "wn wd", "vd"),  # shrn2
    Access(0x8F800400, 0x0F000400, "wn", "vd"),  # shl
    Access(0xDF3FFC00, 0x4E212800, "wn wd", "vd"),  # xtn2
    Access(0xDF3FFC00, 0x4E214800, "wn wd", "vd"),  # sqxtn2
    Access(0xDF3FFC00, 0x4E216800, "wn wd", "vd"),  # fcvtn2
    Access(0x8F3FFC00, 0x0E203800, "wn wd", "vd"),  # suqadd
    Access(0x8F3FFC00, 0x0E206800, "wn wd", "vd"),  # sadalp
    Access(0xDF3E0C00, 0x5E200800, "vn", "vd"),  # scvtf of a scalar
    Access(0x8F3E0C00, 0x0E200800, "wn", "vd"),  # abs, fcvtzs
    Access(0x8F7E0C00, 0x0E780800, "wn", "vd"),  # of half precision
    Access(0x8F3E0C00, 0x0E300800, "wn", "vd"),  # addv, and addp of a pair
    Access(0xBF208C00, 0x0E000800, "wn wm", "vd"),  # zip1
    Access(0xBFE08400, 0x2E000000, "wn wm", "vd"),  # ext
    Access(0xBFE09C00, 0x0E001000, "table wm wd", "vd"),  # tbx
    Access(0xBFE09C00, 0x0E000000, "table wm", "vd"),  # tbl
    Access(0x8F20FC00, 0x0E209400, "wn wm wd", "vd"),  # mla, mls
    Access(0x8F20FC00, 0x0E207C00, "wn wm wd", "vd"),  # saba
    Access(0x8F20FC00, 0x0E20CC00, "wn wm wd", "vd"),  # fmla, fmls
    Access(0xAF20FC00, 0x0E20EC00, "wn wm wd", "vd"),  # fmlal
    Access(0xBFE0FC00, 0x2E201C00, "wn wm", "vd"),  # eor
    Access(0xBF20FC00, 0x2E201C00, "wn wm wd", "vd"),  # bsl, bit, bif
    Access(0xDF200400, 0x5E200400, "vn vm", "vd"),  # add of scalars
    Access(0x8F200400, 0x0E200400, "wn wm", "vd"),  # add
    Access(0xBF60FC00, 0x0E400C00, "wn wm wd", "vd"),  # fmla of half precision
    Access(0x8F60C400, 0x0E400400, "wn wm", "vd"),
    Access(0x9F208400, 0x0E008400, "wn wm wd", "vd"),  # sdot, fcmla
    Access(0x8F20CC00, 0x0E208000, "wn wm wd", "vd"),  # smlal
    Access(0x8F20FC00, 0x0E205000, "wn wm wd", "vd"),  # sabal
    Access(0xDF20DC00, 0x4E204000, "wn wm wd", "vd"),  # addhn2
    Access(0x8F200C00, 0x0E200000, "wn wm", "vd"),  # smull
    Access(0xBFC0B400, 0x0F800000, "wn half wd", "vd"),  # fmlal by an element
    Access(0xBFC0B400, 0x2F808000, "wn half wd", "vd"),  # fmlal2
    Access(0xBFC0F400, 0x0FC0F000, "wn half wd", "vd"),  # bfmlalb
    Access(0xBF40F400, 0x0F00F000, "wn wm wd", "vd"),  # sudot, usdot
    Access(0xBFC0F400, 0x0F40F000, "wn wm wd", "vd"),  # bfdot
    Access(0xBF009400, 0x2F001000, "wn wm wd", "vd"),  # fcmla
    Access(0xAF00F400, 0x0F008000, "wn element", "vd"),  # mul by an element
    Access(0x8F00F400, 0x0F009000, "wn element", "vd"),  # fmul
    Access(0x8F00E400, 0x0F00A000, "wn element", "vd"),  # smull, sqdmull
    Access(0xAF00E400, 0x0F00C000, "wn element", "vd"),  # sqdmulh
    Access(0x8F000400, 0x0F000000, "wn element wd", "vd"),  # mla by an element
    Access(0x0E000000, 0x0E000000, "wn wm wd", "vd"),
)
SCALABLE = (Access(0x1E000000, 0x04000000, "xd xn xm wd wn wm wa", "xd vd flags"),)
"""SVE: each instruction reads and writes fewer."""

_GROUPS: tuple[tuple[Access, ...], ...] = tuple(
    IMMEDIATE
    if group >> 1 == 0b100
    else BRANCHES
    if group >> 1 == 0b101
    else MEMORY
    if group & 0b0101 == 0b0100
    else ARITHMETIC
    if group & 0b0111 == 0b0101
    else VECTORS
    if group & 0b0111 == 0b0111
    else SCALABLE
    for group in range(16)
)
"""By bits 25 to 28."""


@lru_cache(maxsize=1 << 14)
def accesses(word: int) -> tuple[int, int]:
    """The registers that *word* reads, and those that it writes; calls do what their callees do besides.

    What is no instruction of these tables reads and writes everything.
    """
    for row in _GROUPS[word >> 25 & 0xF]:
        if word & row.mask == row.word:
            return _all_of(row.reads, word), _all_of(row.writes, word)
    return EVERYTHING, EVERYTHING


def _all_of(names: str, word: int) -> int:
    found = 0
    for name in names.split():
        found |= _SPECIAL[name](word) if name in _SPECIAL else _named(name, word)
    return found


def _named(name: str, word: int) -> int:
    """The register in a field of *word*."""
    kind, number = name[0], word >> _FIELDS[name[1]] & 0x1F
    if kind == "t":
        kind = _transferred(word)
    if kind in "vw":
        return vector(number, whole=kind == "w")
    registers = 3 << number if name.endswith("*") else 1 << number
    return registers & ~SP if kind == "x" else registers


_FIELDS = {"d": 0, "n": 5, "a": 10, "m": 16}


def vector(number: int, *, whole: bool) -> int:
    """Vector register *number*, with its upper half where that is *whole*."""
    upper = 1 << UPPER + number - 8 if whole and 8 <= number < 16 else 0
    return 1 << VECTOR + number | upper


def _transferred(word: int) -> str:
    """What a load or store moves: a general register, a vector of up to 64 bits, or a whole one."""
    if not word >> 26 & 1:
        return "x"
    pair = word & 0x3A000000 == 0x28000000
    return "w" if (word >> 30 == 2 if pair else word >> 30 == 0 and word >> 23 & 1) else "v"


def _structure(word: int) -> int:
    """The vectors that ld1 to ld4 and st1 to st4 move, by the opcode in bits 12 to 15."""
    if word >> 24 & 1:
        count = (word >> 13 & 1) << 1 | word >> 21 & 1
    else:
        count = {0: 3, 2: 3, 4: 2, 6: 2, 7: 0, 8: 1, 10: 1}.get(word >> 12 & 0xF, 3)
    return _in_a_row(word & 0x1F, count + 1)


def _table(word: int) -> int:
    return _in_a_row(word >> 5 & 0x1F, (word >> 13 & 3) + 1)


def _in_a_row(first: int, count: int) -> int:
    found = 0
    for number in range(first, first + count):
        found |= vector(number & 0x1F, whole=True)
    return found


def _element(word: int) -> int:
    """Rm of what multiplies by an element: four bits where that has 16 of them, five otherwise."""
    return vector(word >> 16 & 0x1F, whole=True) if word >> 23 & 1 else _half(word)


def _half(word: int) -> int:
    return vector(word >> 16 & 0xF, whole=True)


_SPECIAL = {
    "flags": lambda _: FLAGS,
    "lr": lambda _: LR,
    "svc": lambda _: SVC_READS,
    "list": _structure,
    "table": _table,
    "element": _element,
    "half": _half,
}


def saves_in_frame(word: int) -> bool:
    """Whether *word* stores registers in the frame, by sp or x29: as a function of any number of arguments begins."""
    return word >> 25 & 0b0101 == 0b0100 and word >> 5 & 0x1F in (29, 31) and not accesses(word)[1] & ~SP


def names_of(registers: int) -> tuple[str, ...]:
    """What the registers of a set are called."""
    return tuple(_name(number) for number in range(EVERYTHING.bit_length()) if registers >> number & 1)


def _name(number: int) -> str:
    if 1 << number in (SP, FLAGS):
        return "sp" if 1 << number == SP else "flags"
    if number >= UPPER:
        return f"upper half of v{number - UPPER + 8}"
    return f"v{number - VECTOR}" if number >= VECTOR else f"x{number}"
