"""AArch64 relocation codes (AAELF64, "Relocation types") and tables of relocations as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from stubgen.common.columns import checked_array, column, column_bytes
from stubgen.common.view import BytesLike, sleb128
from stubgen.elf import constants as c
from stubgen.elf.records import RELA
from stubgen.errors import MalformedInput

R_AARCH64_NONE = 0
R_AARCH64_ABS64 = 257
R_AARCH64_ABS32 = 258
R_AARCH64_ABS16 = 259
R_AARCH64_PREL64 = 260
R_AARCH64_PREL32 = 261
R_AARCH64_PREL16 = 262
R_AARCH64_MOVW_UABS_G0 = 263
R_AARCH64_MOVW_UABS_G0_NC = 264
R_AARCH64_MOVW_UABS_G1 = 265
R_AARCH64_MOVW_UABS_G1_NC = 266
R_AARCH64_MOVW_UABS_G2 = 267
R_AARCH64_MOVW_UABS_G2_NC = 268
R_AARCH64_MOVW_UABS_G3 = 269
R_AARCH64_MOVW_SABS_G0 = 270
R_AARCH64_MOVW_SABS_G1 = 271
R_AARCH64_MOVW_SABS_G2 = 272
R_AARCH64_LD_PREL_LO19 = 273
R_AARCH64_ADR_PREL_LO21 = 274
R_AARCH64_ADR_PREL_PG_HI21 = 275
R_AARCH64_ADR_PREL_PG_HI21_NC = 276
R_AARCH64_ADD_ABS_LO12_NC = 277
R_AARCH64_LDST8_ABS_LO12_NC = 278
R_AARCH64_TSTBR14 = 279
R_AARCH64_CONDBR19 = 280
R_AARCH64_JUMP26 = 282
R_AARCH64_CALL26 = 283
R_AARCH64_LDST16_ABS_LO12_NC = 284
R_AARCH64_LDST32_ABS_LO12_NC = 285
R_AARCH64_LDST64_ABS_LO12_NC = 286
R_AARCH64_MOVW_PREL_G0 = 287
R_AARCH64_MOVW_PREL_G0_NC = 288
R_AARCH64_MOVW_PREL_G1 = 289
R_AARCH64_MOVW_PREL_G1_NC = 290
R_AARCH64_MOVW_PREL_G2 = 291
R_AARCH64_MOVW_PREL_G2_NC = 292
R_AARCH64_MOVW_PREL_G3 = 293
R_AARCH64_LDST128_ABS_LO12_NC = 299
R_AARCH64_GOTREL64 = 307
R_AARCH64_GOTREL32 = 308
R_AARCH64_GOT_LD_PREL19 = 309
R_AARCH64_LD64_GOTOFF_LO15 = 310
R_AARCH64_ADR_GOT_PAGE = 311
R_AARCH64_LD64_GOT_LO12_NC = 312
R_AARCH64_LD64_GOTPAGE_LO15 = 313
R_AARCH64_PLT32 = 314
R_AARCH64_GOTPCREL32 = 315
R_AARCH64_TLSGD_ADR_PREL21 = 512
R_AARCH64_TLSGD_ADR_PAGE21 = 513
R_AARCH64_TLSGD_ADD_LO12_NC = 514
R_AARCH64_TLSLD_ADR_PREL21 = 517
R_AARCH64_TLSLD_ADR_PAGE21 = 518
R_AARCH64_TLSLD_ADD_LO12_NC = 519
R_AARCH64_TLSLD_MOVW_DTPREL_G2 = 523
R_AARCH64_TLSLD_MOVW_DTPREL_G1 = 524
R_AARCH64_TLSLD_MOVW_DTPREL_G1_NC = 525
R_AARCH64_TLSLD_MOVW_DTPREL_G0 = 526
R_AARCH64_TLSLD_MOVW_DTPREL_G0_NC = 527
R_AARCH64_TLSLD_ADD_DTPREL_HI12 = 528
R_AARCH64_TLSLD_ADD_DTPREL_LO12 = 529
R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC = 530
R_AARCH64_TLSLD_LDST8_DTPREL_LO12 = 531
R_AARCH64_TLSLD_LDST8_DTPREL_LO12_NC = 532
R_AARCH64_TLSLD_LDST16_DTPREL_LO12 = 533
R_AARCH64_TLSLD_LDST16_DTPREL_LO12_NC = 534
R_AARCH64_TLSLD_LDST32_DTPREL_LO12 = 535
R_AARCH64_TLSLD_LDST32_DTPREL_LO12_NC = 536
R_AARCH64_TLSLD_LDST64_DTPREL_LO12 = 537
R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC = 538
R_AARCH64_TLSIE_MOVW_GOTTPREL_G1 = 539
R_AARCH64_TLSIE_MOVW_GOTTPREL_G0_NC = 540
R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21 = 541
R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC = 542
R_AARCH64_TLSIE_LD_GOTTPREL_PREL19 = 543
R_AARCH64_TLSLE_MOVW_TPREL_G2 = 544
R_AARCH64_TLSLE_MOVW_TPREL_G1 = 545
R_AARCH64_TLSLE_MOVW_TPREL_G1_NC = 546
R_AARCH64_TLSLE_MOVW_TPREL_G0 = 547
R_AARCH64_TLSLE_MOVW_TPREL_G0_NC = 548
R_AARCH64_TLSLE_ADD_TPREL_HI12 = 549
R_AARCH64_TLSLE_ADD_TPREL_LO12 = 550
R_AARCH64_TLSLE_ADD_TPREL_LO12_NC = 551
R_AARCH64_TLSLE_LDST8_TPREL_LO12 = 552
R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC = 553
R_AARCH64_TLSLE_LDST16_TPREL_LO12 = 554
R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC = 555
R_AARCH64_TLSLE_LDST32_TPREL_LO12 = 556
R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC = 557
R_AARCH64_TLSLE_LDST64_TPREL_LO12 = 558
R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC = 559
R_AARCH64_TLSDESC_LD_PREL19 = 560
R_AARCH64_TLSDESC_ADR_PREL21 = 561
R_AARCH64_TLSDESC_ADR_PAGE21 = 562
R_AARCH64_TLSDESC_LD64_LO12 = 563
R_AARCH64_TLSDESC_ADD_LO12 = 564
R_AARCH64_TLSDESC_CALL = 569
R_AARCH64_TLSLE_LDST128_TPREL_LO12 = 570
R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC = 571
R_AARCH64_COPY = 1024
R_AARCH64_GLOB_DAT = 1025
R_AARCH64_JUMP_SLOT = 1026
R_AARCH64_RELATIVE = 1027
R_AARCH64_TLS_DTPMOD64 = 1028
R_AARCH64_TLS_DTPREL64 = 1029
R_AARCH64_TLS_TPREL64 = 1030
R_AARCH64_TLSDESC = 1031
R_AARCH64_IRELATIVE = 1032

BRANCHES = frozenset({R_AARCH64_CALL26, R_AARCH64_JUMP26, R_AARCH64_PLT32, R_AARCH64_CONDBR19, R_AARCH64_TSTBR14})
"""What only goes to a place, and cannot tell it from a trampoline to it."""

NAMES = {code: name for name, code in globals().items() if name.startswith("R_AARCH64_")}
"""Code -> name, for messages."""

LOCAL_EXEC = frozenset(code for code, name in NAMES.items() if name.startswith("R_AARCH64_TLSLE_"))
"""Those that hold a distance from the thread pointer, which a linker knows for the main program alone."""


class Relocations:
    """A relocation table as columns of equal length."""

    __slots__ = ("kind", "r_addend", "r_offset", "symbol")

    def __init__(
        self, r_offset: Sequence[int], symbol: Sequence[int], kind: Sequence[int], r_addend: Sequence[int]
    ) -> None:
        self.r_offset = r_offset  # ET_REL: byte offset into the section; else virtual address
        self.symbol = symbol  # index into the symbol table; 0 = none
        self.kind = kind  # R_AARCH64_*
        self.r_addend = r_addend  # bytes, signed

    def __len__(self) -> int:
        return len(self.r_offset)

    def rows(self) -> Iterator[tuple[int, int, int, int]]:
        """Each relocation: r_offset, symbol, kind, r_addend."""
        return zip(self.r_offset, self.symbol, self.kind, self.r_addend, strict=True)


def read_relocations(raw: BytesLike) -> Relocations:
    """The ``Elf64_Rela`` records of *raw*; a partial record at the end is ignored."""
    raw = raw[: len(raw) // RELA.size * RELA.size]
    words = column("I", raw)
    return Relocations(
        r_offset=column("Q", raw)[0::3], symbol=words[3::6], kind=words[2::6], r_addend=column("q", raw)[2::3]
    )


def write_relocations(relocations: Relocations, where: str = "a relocation table") -> BytesLike:
    """The table as ``Elf64_Rela`` records; *where* names it in complaints.

    Raises:
        FieldOverflow: a value does not fit its field.
    """

    def label(index: int) -> str:
        return f"{where}: relocation {index}"

    symbols = checked_array("I", relocations.symbol, "the symbol of r_info", label)
    kinds = checked_array("I", relocations.kind, "the type of r_info", label)
    addends = checked_array("q", relocations.r_addend, "r_addend", label)
    words = array("Q", bytes(RELA.size * len(relocations)))
    words[0::3] = checked_array("Q", relocations.r_offset, "r_offset", label)
    words[1::3] = array("Q", [s << 32 | k for s, k in zip(symbols, kinds, strict=True)])
    words[2::3] = array("Q", addends.tobytes())
    return column_bytes(words)


def read_relr(raw: BytesLike) -> list[int]:
    """The addresses that the words of DT_RELR relocate, gABI "Relative Relocation Table".

    An even word is an address; an odd one is a bitmap of the 63 words behind the last one.
    """
    addresses: list[int] = []
    following = 0
    for word in column("Q", raw[: len(raw) // 8 * 8]):
        if word & 1:
            addresses += [following + 8 * bit for bit in range(63) if word >> (bit + 1) & 1]
            following += 8 * 63
        else:
            addresses.append(word)
            following = word + 8
    return addresses


def read_android_packed(raw: BytesLike, limit: int, where: str) -> Relocations:
    """The relocations that Android's packer wrote (DT_ANDROID_REL, DT_ANDROID_RELA): bionic's packed_reloc_iterator.

    Args:
        raw: the table, magic included.
        limit: how many there may be at most: a group of equal steps takes no bytes for each.
        where: what complaints call the table.

    Raises:
        MalformedInput: it is in another form, is cut off, or has more than *limit*.
    """
    if bytes(raw[:4]) != c.APS2_MAGIC:
        raise MalformedInput(f"{where}: do not begin with APS2")
    count, position = sleb128(raw, 4, where)
    offset, position = sleb128(raw, position, where)
    if not 0 <= count <= limit:
        raise MalformedInput(f"{where}: claim to be {count}, more than the file has room for")
    addend = 0
    offsets: list[int] = []
    infos: list[int] = []
    addends: list[int] = []
    while len(offsets) < count:
        size, position = sleb128(raw, position, where)
        flags, position = sleb128(raw, position, where)
        if not 0 < size <= count - len(offsets):
            raise MalformedInput(f"{where}: a group of {size} does not fit the {count} in all")
        step = info = 0
        if flags & c.RELOCATION_GROUPED_BY_OFFSET_DELTA_FLAG:
            step, position = sleb128(raw, position, where)
        if flags & c.RELOCATION_GROUPED_BY_INFO_FLAG:
            info, position = sleb128(raw, position, where)
        own_addends = bool(flags & c.RELOCATION_GROUP_HAS_ADDEND_FLAG)
        if not own_addends:
            addend = 0
        elif flags & c.RELOCATION_GROUPED_BY_ADDEND_FLAG:
            change, position = sleb128(raw, position, where)
            addend += change
            own_addends = False
        for _ in range(size):
            if not flags & c.RELOCATION_GROUPED_BY_OFFSET_DELTA_FLAG:
                step, position = sleb128(raw, position, where)
            if not flags & c.RELOCATION_GROUPED_BY_INFO_FLAG:
                info, position = sleb128(raw, position, where)
            if own_addends:
                change, position = sleb128(raw, position, where)
                addend += change
            offset += step
            offsets.append(offset & 0xFFFFFFFFFFFFFFFF)
            infos.append(info)
            addends.append(addend)
    symbols = [info >> 32 & 0xFFFFFFFF for info in infos]
    return Relocations(offsets, symbols, [info & 0xFFFFFFFF for info in infos], addends)
