"""Local-exec accesses to a thread-local whose offset from the thread pointer no linker can know.

Local-exec code adds a constant to the thread pointer. Only the main program's block lies at one; in a shared library
GNU ld writes an offset into the main program's block without a word, and other linkers end with an error. So the
instruction that opens such an access becomes a branch to code behind its section, a *detour*, which asks a TLS
descriptor for the offset and branches back, all other registers and the flags as they were. In place there is no
register to spare for that: the thread pointer is often gone with the first addition.

Nothing needs to be known about what stands around an access. The opening leaves the variable's own address, plus whole
4 KiB pages of the addend, and what follows adds the rest of its own addend, whichever opening it follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stubgen.common.aarch64 import WORD
from stubgen.common.row import Row
from stubgen.elf import relocations as r

if TYPE_CHECKING:
    from stubgen.elf.editor import ObjectEditor, Table

PAGE = 12  # bits below a page's address
PAGES_LIMIT = 1 << 12  # the immediate of an addition of whole pages
NO_REGISTER = 31  # sp in an addition, xzr in a move


class Shape(Row):
    """How an instruction is told, its registers and immediate aside."""

    mask: int
    bits: int

    def fits(self, word: int) -> bool:
        """Whether *word* is that instruction."""
        return word & self.mask == self.bits


ADD_PAGES = Shape(0xFFC00000, 0x91400000)  # add xd, xn, #imm, lsl #12 (Arm ARM, ADD (immediate))
ADD_LOW = Shape(0xFFC00000, 0x91000000)  # add xd, xn, #imm
ACCESS = Shape(0x3B000000, 0x39000000)  # a load or store at [xn, #imm] (Arm ARM, unsigned immediate)
MOVE = Shape(0xBF800000, 0x92800000)  # movz or movn xd, #imm, lsl #n
KEEP = Shape(0xFF800000, 0xF2800000)  # movk xd, #imm, lsl #n
LOAD = Shape(0xFFC00000, 0xF9400000)  # ldr xd, [xn, #imm]
LITERAL = Shape(0xFF000000, 0x58000000)  # ldr xd, label


class Opening(Row):
    """An instruction that opens an access."""

    shape: Shape
    adds: bool = False  # to the thread pointer, in a register; else it leaves the offset alone
    whole: bool = False  # nothing that follows adds the low bits


class Rest(Row):
    """An instruction that follows one."""

    openings: tuple[int, ...]  # those that it may follow
    shape: Shape
    scale: int = 0  # log2 bytes of the access


OPENINGS = {
    r.R_AARCH64_TLSLE_ADD_TPREL_HI12: Opening(ADD_PAGES, adds=True),
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12: Opening(ADD_LOW, adds=True, whole=True),  # -mtls-size=12
    r.R_AARCH64_TLSLE_MOVW_TPREL_G2: Opening(MOVE),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G1: Opening(MOVE),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G0: Opening(MOVE, whole=True),
}
_BEHIND_PAGES = (r.R_AARCH64_TLSLE_ADD_TPREL_HI12,)
_BEHIND_G2, _BEHIND_G1 = (r.R_AARCH64_TLSLE_MOVW_TPREL_G2,), (r.R_AARCH64_TLSLE_MOVW_TPREL_G1,)
RESTS = {
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC: Rest(_BEHIND_PAGES, ADD_LOW),
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC: Rest(_BEHIND_PAGES, ACCESS),
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC: Rest(_BEHIND_PAGES, ACCESS, 1),
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC: Rest(_BEHIND_PAGES, ACCESS, 2),
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC: Rest(_BEHIND_PAGES, ACCESS, 3),
    r.R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC: Rest(_BEHIND_PAGES, ACCESS, 4),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G1_NC: Rest(_BEHIND_G2, KEEP),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC: Rest(_BEHIND_G2 + _BEHIND_G1, KEEP),
}
INITIAL_EXEC = {
    r.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: LOAD,
    r.R_AARCH64_TLSIE_LD_GOTTPREL_PREL19: LITERAL,
}
"""Initial-exec: the load of the offset. The page of the GOT entry that it reads means nothing behind a detour."""

FALLING_THROUGH = frozenset({".init", ".fini"})
"""Sections of which each object has a piece, run one into the next: no code can stand behind one."""

OF_LINKER = (
    r.R_AARCH64_TLSDESC_ADR_PAGE21,
    r.R_AARCH64_TLSDESC_LD64_LO12,
    r.R_AARCH64_TLSDESC_ADD_LO12,
    r.R_AARCH64_TLSDESC_CALL,
)
"""The relocations of a detour that asks a descriptor of the linker's making, one a word."""
OF_SLOT = (
    r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_LDST64_ABS_LO12_NC,
    r.R_AARCH64_ADD_ABS_LO12_NC,
)
"""Likewise, of one that asks a slot."""

_SAVE = (
    0xA9BE07E0,  # stp x0, x1, [sp, #-32]!
    0xA9017BE2,  # stp x2, x30, [sp, #16]
    0xD53B4202,  # mrs x2, nzcv: a resolver may change x0, x30 and the flags
)
_ASK = (
    0x90000000,  # adrp x0, descriptor
    0xF9400001,  # ldr x1, [x0, descriptor]
    0x91000000,  # add x0, x0, descriptor
    0xD63F0020,  # blr x1
    0xD51B4202,  # msr nzcv, x2
)
_RESTORE = (
    0xA9417BE2,  # ldp x2, x30, [sp, #16]
    0xA8C207E0,  # ldp x0, x1, [sp], #32
)
_SAVED_AT = {0: 0, 1: 1, 2: 2, 30: 3}
"""Register -> where it is saved, in 8-byte words from sp."""
_RELOAD_X1, _STORE_X0 = 0xF94003E1, 0xF90003E0  # ldr x1, [sp, #imm]; str x0, [sp, #imm]
_ADD_X0, _MOVE_X0 = 0x8B000000, 0xAA0003E0  # add x0, xn, x0; mov xd, x0
_ADD, _ADD_WHOLE_PAGES, _SUBTRACT_PAGES = 0x91000000, 0x91400000, 0xD1400000  # x0, x0, #imm
_BRANCH, _BRANCH_LIMIT = 0x14000000, 1 << 25  # words
_NOP = 0xD503201F


def detour(destination: int, source: int | None, addend: int) -> list[int]:
    """Instructions that leave in register *destination* the offset that a descriptor tells.

    Args:
        destination: the number of an X register.
        source: that of one to add to the offset; None for none.
        addend: bytes to add besides; less than 16 MiB from 0.
    """
    words = [*_SAVE, *_ASK]
    if source in _SAVED_AT:
        words += [_RELOAD_X1 | _SAVED_AT[source] << 10, _ADD_X0 | 1 << 5]
    elif source is not None:
        words.append(_ADD_X0 | source << 5)
    pages, low = divmod(addend, 1 << PAGE)
    if pages:
        words.append((_ADD_WHOLE_PAGES if pages > 0 else _SUBTRACT_PAGES) | abs(pages) << 10)
    if low:
        words.append(_ADD | low << 10)
    there = destination in _SAVED_AT
    words.append(_STORE_X0 | _SAVED_AT[destination] << 10 if there else _MOVE_X0 | destination)
    return [*words, *_RESTORE]


def opening_detour(word: int, kind: int, addend: int) -> list[int] | None:
    """What stands for instruction *word*, which opens an access; None where nothing can."""
    opening = OPENINGS[kind]
    kept = addend if opening.whole else addend & -(1 << PAGE)
    destination, source = word & 0x1F, word >> 5 & 0x1F if opening.adds else None
    possible = opening.shape.fits(word) and -PAGES_LIMIT < kept >> PAGE < PAGES_LIMIT
    return detour(destination, source, kept) if possible and NO_REGISTER not in (destination, source) else None


def rest_word(word: int, kind: int, addend: int) -> int | None:
    """What becomes of instruction *word*, which follows an opening; None where nothing can."""
    rest = RESTS[kind]
    low = addend % (1 << PAGE)
    if not rest.shape.fits(word) or low % (1 << rest.scale):
        return None
    if rest.shape is not KEEP:
        return word & ~(0xFFF << 10) | low >> rest.scale << 10
    if kind != r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC:
        return _NOP  # the opening left those bits too
    destination = word & 0x1F
    return None if destination == NO_REGISTER else _ADD | low << 10 | destination << 5 | destination


class Descriptor(Row):
    """The TLS descriptor that a detour asks."""

    symbol: int  # index of the variable, or of the slot
    relocations: Sequence[int]


class Detours:
    """Writes the detours of one object."""

    def __init__(self, editor: ObjectEditor) -> None:
        self._editor = editor
        self._opened: set[tuple[int, int, int]] = set()
        """(symbol, relocation, page of the addend) of each access in the object."""
        for table in editor.tables:
            if not r.LOCAL_EXEC.isdisjoint(table.kind):
                self._opened.update(
                    (table.symbol[index], kind, table.r_addend[index] >> PAGE) for index, kind in enumerate(table.kind)
                )

    def rewrite(self, table: Table, index: int, descriptor: Descriptor) -> bool:
        """Rewrite local-exec relocation *index*; whether that could be done."""
        symbol, kind, addend = table.symbol[index], table.kind[index], table.r_addend[index]
        word = self._editor.word(table.target, table.r_offset[index])
        if kind in OPENINGS:
            lone = kind == r.R_AARCH64_TLSLE_ADD_TPREL_LO12
            if lone and any(opened[:2] == (symbol, _BEHIND_PAGES[0]) for opened in self._opened):
                return False  # which of the two it is, only the code around it tells
            return self.replace(table, index, opening_detour(word, kind, addend), descriptor)
        if kind not in RESTS or not any((symbol, o, addend >> PAGE) in self._opened for o in RESTS[kind].openings):
            return False
        changed = rest_word(word, kind, addend)
        if changed is not None:
            self._editor.overwrite(table.target, table.r_offset[index], changed.to_bytes(WORD, "little"))
            table.drop(index)
        return changed is not None

    def load(self, table: Table, index: int, descriptor: Descriptor) -> bool:
        """Leave the offset where relocation *index*, one of :data:`INITIAL_EXEC`, loads it; whether that could be."""
        word = self._editor.word(table.target, table.r_offset[index])
        destination = word & 0x1F
        possible = INITIAL_EXEC[table.kind[index]].fits(word) and destination != NO_REGISTER
        return self.replace(table, index, detour(destination, None, 0) if possible else None, descriptor)

    def replace(self, table: Table, index: int, words: list[int] | None, descriptor: Descriptor) -> bool:
        """Put *words* behind the section, and a branch to them in place of the instruction; whether that could be."""
        section, offset = table.target, table.r_offset[index]
        start = self._editor.end_of(section)
        if words is None or section.name in FALLING_THROUGH or start + WORD * len(words) >= WORD * _BRANCH_LIMIT:
            return False
        there, back = (start - offset) // WORD, (offset - start) // WORD + 1 - len(words)
        code = [*words, _branch(back)]
        self._editor.overwrite(section, offset, _branch(there).to_bytes(WORD, "little"))
        self._editor.grow(section, b"".join(word.to_bytes(WORD, "little") for word in code))
        for position, kind in enumerate(descriptor.relocations, start=len(_SAVE)):
            table.add(start + WORD * position, kind=kind, symbol=descriptor.symbol)
        table.drop(index)
        return True


def _branch(words: int) -> int:
    """A branch to the instruction *words* further on."""
    return _BRANCH | words % (1 << 26)
