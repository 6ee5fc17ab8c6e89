"""Rows of the tables of ``bind.elf`` that lead to slots, and of moves: what they write is linked and executed."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from bind import executed
from bind.executed import CODE, HOST
from tools import need_module

from stubgen.bind import elf
from stubgen.bind.elf import bind_object
from stubgen.elf import constants as e
from stubgen.elf import relocations as r
from stubgen.elf.relocations import Relocations
from stubgen.elf.writer import Object, Section, SymbolColumns, write
from stubgen.image import Kind
from stubgen.image.elf import ElfImage
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder

LINKED = {
    r.R_AARCH64_ADR_PREL_PG_HI21: executed.page,
    r.R_AARCH64_LDST64_ABS_LO12_NC: lambda word, target, _: executed.low(word, target, 3),
    r.R_AARCH64_ADD_ABS_LO12_NC: lambda word, target, _: executed.low(word, target, 0),
    r.R_AARCH64_LD_PREL_LO19: executed.literal,
    r.R_AARCH64_ADR_PREL_LO21: executed.near,
    r.R_AARCH64_PREL32: lambda _, target, place: (target - place) % (1 << 32),
}
"""AAELF64 5.7, "Relocation": what a linker writes, of the word, S + A and P."""

ADRP_X1, ADRP_X0 = 0x90000001, 0x90000000
LDR_X0_X1, LDR_X1_X0, ADD_X0_X1, ADD_X0_X0 = 0xF9400020, 0xF9400001, 0x91000020, 0x91000000
LITERAL_X0, LITERAL_X1, ADR_X0, BLR_X1 = 0x58000000, 0x58000001, 0x10000000, 0xD63F0020
DISTANCE = (0x10000082, 0xB9800041, 0x8B010042, 0xF9400040)
"""adr x2, . + 16; ldrsw x1, [x2]; add x2, x2, x1; ldr x0, [x2]: a load from where the word behind it says."""
MOVZ_X0, MOVN_X0, MOVK_X0 = 0xD2800000, 0x92800000, 0xF2800000
NOP, MOV_X0_X3 = 0xD503201F, 0xAA0303E0
SHIFTED = 1 << 21  # a move of the next 16 bits


class Case(NamedTuple):
    """Instructions that leave something in x0, and the relocation of each; 0 where one has none."""

    words: tuple[int, ...]
    kinds: tuple[int, ...]


ADDRESSES = [
    Case((ADRP_X1, LDR_X0_X1), (r.R_AARCH64_ADR_GOT_PAGE, r.R_AARCH64_LD64_GOT_LO12_NC)),
    Case((LITERAL_X0,), (r.R_AARCH64_GOT_LD_PREL19,)),
    Case((*DISTANCE, 0), (0, 0, 0, 0, r.R_AARCH64_GOTPCREL32)),
    Case((ADR_X0,), (r.R_AARCH64_ADR_PREL_LO21,)),
    Case((LDR_X0_X1,), (r.R_AARCH64_LD64_GOTPAGE_LO15,)),
    Case((LDR_X0_X1,), (r.R_AARCH64_LD64_GOTOFF_LO15,)),
    Case((ADRP_X1, ADD_X0_X1), (r.R_AARCH64_ADR_PREL_PG_HI21, r.R_AARCH64_ADD_ABS_LO12_NC)),
    Case((ADRP_X1, ADD_X0_X1), (r.R_AARCH64_ADR_PREL_PG_HI21_NC, r.R_AARCH64_ADD_ABS_LO12_NC)),
    Case(
        (MOVZ_X0 | 3 * SHIFTED, *(MOVK_X0 | n * SHIFTED for n in (2, 1, 0))),
        (
            r.R_AARCH64_MOVW_UABS_G3,
            r.R_AARCH64_MOVW_UABS_G2_NC,
            r.R_AARCH64_MOVW_UABS_G1_NC,
            r.R_AARCH64_MOVW_UABS_G0_NC,
        ),
    ),
]
"""What leaves the variable's address in x0."""
OFFSETS = [
    Case((ADRP_X1, LDR_X0_X1), (r.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21, r.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC)),
    Case((LITERAL_X0,), (r.R_AARCH64_TLSIE_LD_GOTTPREL_PREL19,)),
    Case((LITERAL_X0 | 3, MOV_X0_X3), (r.R_AARCH64_TLSIE_LD_GOTTPREL_PREL19, 0)),
    Case(
        (ADRP_X0, LDR_X1_X0, ADD_X0_X0, BLR_X1),
        (
            r.R_AARCH64_TLSDESC_ADR_PAGE21,
            r.R_AARCH64_TLSDESC_LD64_LO12,
            r.R_AARCH64_TLSDESC_ADD_LO12,
            r.R_AARCH64_TLSDESC_CALL,
        ),
    ),
    Case(
        (LITERAL_X1, ADR_X0, BLR_X1),
        (r.R_AARCH64_TLSDESC_LD_PREL19, r.R_AARCH64_TLSDESC_ADR_PREL21, r.R_AARCH64_TLSDESC_CALL),
    ),
]
"""What leaves the thread-local's offset in x0."""
MOVES = {
    r.R_AARCH64_TLSLE_MOVW_TPREL_G2: (r.R_AARCH64_TLSLE_MOVW_TPREL_G1_NC, r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G1: (r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC,),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G0: (),
}
"""The move that begins an offset -> those that go on."""


def bound(case: Case, target: Target, addend: int = 0) -> tuple[ElfImage, Binder]:
    """The bound copy of an object that has *case*, of a variable ``v``."""
    found = [(4 * n, kind) for n, kind in enumerate(case.kinds) if kind]
    count = len(found)
    table = Relocations([at for at, _ in found], [1] * count, [kind for _, kind in found], [addend] * count)
    text = executed.words_to_bytes([*case.words, NOP])
    section = Section(".text", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_EXECINSTR, text, 4, table)
    return executed.elf_copy(section, target)


def linked(image: ElfImage, binder: Binder) -> bytes:
    """The copy's code with its slots where ``executed`` lays them; whatever it leaves undefined is one."""
    symbols, text = image.file.symbols, image.file.section(".text")
    assert symbols is not None
    assert text is not None
    undefined = [name for name, shndx in zip(symbols.names(), symbols.st_shndx, strict=True) if name and not shndx]
    assert set(undefined) <= binder.slots.keys()
    places, code = executed.placed(binder.slots), bytearray(image.file.content(text))
    for section, rows in image.file.relocations():
        assert section.name == ".rela.text"
        for offset, symbol, kind, addend in rows.rows():
            word = int.from_bytes(code[offset : offset + 4], "little")
            value = LINKED[kind](word, places[symbols.name(symbol)] + addend, CODE + offset)
            code[offset : offset + 4] = value.to_bytes(4, "little")
    return bytes(code)


def named(case: Case) -> str:
    """The case by its relocations."""
    return "+".join(r.NAMES[kind].removeprefix("R_AARCH64_") for kind in case.kinds if kind)


@pytest.mark.parametrize("addend", [0, 24])
@pytest.mark.parametrize("case", ADDRESSES, ids=named)
def test_code_has_the_address_of_the_hosts_variable(case: Case, addend: int) -> None:
    """Code that has another address reads and writes something else of the host's, or nothing that is mapped."""
    need_module("unicorn", "unicorn")
    target = Target(Kind.DATA, SlotKind.ADDRESS, HOST + 0x120)
    copy, binder = bound(case, target, addend)
    assert not binder.refusals
    count = len(case.words) - case.words.count(0)
    assert executed.x0_after(linked(copy, binder), count, binder.slots) == target.value + addend


@pytest.mark.parametrize("kind", [SlotKind.THREAD_OFFSET, SlotKind.DESCRIPTOR, SlotKind.HOST_DESCRIPTOR], ids=str)
@pytest.mark.parametrize("addend", [0, 24])
@pytest.mark.parametrize("case", OFFSETS, ids=named)
def test_code_has_the_offset_of_the_hosts_thread_local(case: Case, addend: int, kind: SlotKind) -> None:
    """A load that a descriptor answers would take a resolver's address for an offset, and the other way round."""
    need_module("unicorn", "unicorn")
    descriptor = HOST + 0x200 if kind is SlotKind.HOST_DESCRIPTOR else 0
    target = Target(Kind.THREAD_LOCAL, kind, 0x1230, descriptor=descriptor)
    copy, binder = bound(case, target, addend)
    assert not binder.refusals
    assert executed.x0_after(linked(copy, binder), len(case.words), binder.slots) == target.value + addend


@pytest.mark.parametrize("opening", [MOVZ_X0, MOVN_X0], ids=["movz", "movn"])
@pytest.mark.parametrize("first", MOVES, ids=r.NAMES.get)
def test_moves_hold_the_offset_of_the_hosts_thread_local(first: int, opening: int) -> None:
    """Compilers leave ``movz`` or ``movn`` to the linker: the wrong one makes the offset its complement."""
    need_module("unicorn", "unicorn")
    rest = MOVES[first]
    words = (opening | len(rest) * SHIFTED, *(MOVK_X0 | n * SHIFTED for n in reversed(range(len(rest)))))
    limit = 1 << 16 * len(words)
    for offset in (16, 0xFFFF & ~15, limit - 16, limit >> 1 | 0x10, limit):
        target = Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, offset - 8)
        copy, binder = bound(Case(words, (first, *rest)), target, 8)
        assert bool(binder.refusals) is (offset >= limit)
        if offset < limit:
            assert executed.x0_after(linked(copy, binder), len(words), binder.slots) == offset


@pytest.mark.parametrize("kind", elf.THREAD_MOVES, ids=r.NAMES.get)
def test_a_move_of_the_other_kind_is_refused(kind: int) -> None:
    """``movk`` as the first move would keep what was in the register, ``movz`` as a later one would drop the rest."""
    other = MOVZ_X0 if r.NAMES[kind].endswith("_NC") else MOVK_X0
    target = Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, 16)
    for word in (other, 0x91000000):
        assert bound(Case((word,), (kind,)), target)[1].refusals


def test_every_row_is_executed() -> None:
    """A row that is added and not tried is one that nobody has seen work."""
    tried = {kind for case in (*ADDRESSES, *OFFSETS) for kind in case.kinds}
    tried |= {kind for first, rest in MOVES.items() for kind in (first, *rest)}
    for table in (elf.SLOT_LOADS, elf.THREAD_LOADS, elf.LITERAL_LOADS, elf.PAIRS, elf.THREAD_MOVES):
        assert set(table) <= tried


@pytest.mark.parametrize("kind", elf.LITERAL_LOADS, ids=r.NAMES.get)
def test_another_instruction_is_no_literal_load(kind: int) -> None:
    """Its destination would be loaded with an address that it never asked for."""
    target = Target(Kind.DATA, SlotKind.ADDRESS, HOST)
    assert bound(Case((ADD_X0_X1,), (kind,)), target)[1].refusals


def test_a_load_through_the_hosts_got_has_what_the_loader_put_there() -> None:
    """A variable of a third library, whose address only the host's own GOT has."""
    need_module("unicorn", "unicorn")
    target = Target(Kind.DATA, SlotKind.ADDRESS, HOST + 8, indirect=True)
    copy, binder = bound(ADDRESSES[0], target)
    host = bytes(8) + (0x1234_5678_9000).to_bytes(8, "little")
    assert executed.x0_after(linked(copy, binder), 2, binder.slots, host) == 0x1234_5678_9000
    for case in ADDRESSES[1:3]:
        assert bound(case, target)[1].refusals
    assert bound(ADDRESSES[0], target, 8)[1].refusals


def test_an_address_with_bytes_added_reads_one_slot() -> None:
    """``adrp`` and ``add`` of ``v + 16`` read a slot for that; the one of ``v`` is there because the symbol is.

    An undefined symbol that no relocation names is looked for in archives all the same, so it must be a slot's.
    """
    target = Target(Kind.DATA, SlotKind.ADDRESS, HOST)
    copy, binder = bound(ADDRESSES[6], target, 16)
    ((_, rows),) = copy.file.relocations()
    symbols = copy.file.symbols
    assert symbols is not None
    assert {symbols.name(index) for index in rows.symbol} == {b"__stubgen_slot.v+16"}
    assert {addend for *_, addend in rows.rows()} == {0}
    assert {slot.symbol: slot.value for slot in binder.slots.values()} == {
        b"__stubgen_slot.v+16": HOST + 16,
        b"__stubgen_slot.v": HOST,
    }


@pytest.mark.parametrize("tag", [0, 0xB4])
def test_a_tag_is_the_addresss_own(tag: int) -> None:
    """LLVM's HWASan takes the top bits of a global's address, not of the distance to it."""
    need_module("unicorn", "unicorn")
    kinds = (r.R_AARCH64_ADR_PREL_PG_HI21_NC, r.R_AARCH64_MOVW_PREL_G3, r.R_AARCH64_ADD_ABS_LO12_NC)
    target = Target(Kind.DATA, SlotKind.ADDRESS, tag << 56 | HOST)
    copy, binder = bound(Case((ADRP_X0, MOVK_X0 | 3 * SHIFTED, ADD_X0_X0), kinds), target)
    assert not binder.refusals
    assert executed.x0_after(linked(copy, binder), 3, binder.slots) == target.value


@pytest.mark.parametrize("kept", [False, True])
def test_a_static_that_is_not_kept_stays_the_patchs(kept: bool) -> None:
    """Bound to the host's of that name all the same, the patch would change a variable of another meaning."""
    table = Relocations([0, 4], [1, 1], [r.R_AARCH64_ADR_PREL_PG_HI21, r.R_AARCH64_ADD_ABS_LO12_NC], [0, 0])
    code = executed.words_to_bytes([ADRP_X1, ADD_X0_X1])
    text = Section(".text", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_EXECINSTR, code, 4, table)
    data = Section(".data.v", e.SHT_PROGBITS, e.SHF_ALLOC | e.SHF_WRITE, bytes(8), 8)
    symbol = SymbolColumns([b"v"], e.STB_LOCAL << 4 | e.STT_OBJECT, 0, 2, 0, 8)
    raw = bytes(write(Object([text, data], symbol)))
    binder = Binder({b"v": Target(Kind.DATA, SlotKind.ADDRESS, HOST, kept=kept)})
    copy = bind_object(ElfImage(raw, "patch.o"), binder)
    assert not binder.refusals
    assert copy.changed is kept
    assert bool(binder.slots) is kept
    assert kept or copy.content == raw
