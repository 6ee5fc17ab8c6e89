"""How code of an ELF object reaches the host's variables directly: executed, or refused with what helps."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from bind import crafted, executed
from bind.crafted import CODE, DATA, HOST, THREAD, Part, Use, data, function, local, thread_local, undefined
from bind.test_slot_rows import LINKED
from tools import need_module

from stubgen.bind.run import BASES, _base
from stubgen.common import aarch64
from stubgen.elf import constants as e
from stubgen.elf import relocations as r
from stubgen.stub.slots import Slot

PAGE, PAGE_NC, ADD = r.R_AARCH64_ADR_PREL_PG_HI21, r.R_AARCH64_ADR_PREL_PG_HI21_NC, r.R_AARCH64_ADD_ABS_LO12_NC
LOW8, LOW64 = r.R_AARCH64_LDST8_ABS_LO12_NC, r.R_AARCH64_LDST64_ABS_LO12_NC
ADRP_X1, ADRP_X2, ADD_X0_X1, ADD_X2_X2 = 0x90000001, 0x90000002, 0x91000020, 0x91000042
LDR_X0_X1, LDR_X0_X2, LDRB_W0_X1, ADD_X0_X0_X2 = 0xF9400020, 0xF9400040, 0x39400020, 0x8B020000
LDR_X1_X1, LDR_X0_AT_X0, NOP = 0xF9400021, 0xF9400000, 0xD503201F


def code(words: Iterable[int], uses: Iterable[Use], flags: int = CODE) -> Part:
    """A section of instructions."""
    return Part(".text", flags, executed.words_to_bytes([*words, NOP]), tuple(uses))


def linked(copy: crafted.Bound, own: dict[bytes, Slot] | None = None) -> bytes:
    """The copy's code with its slots, and descriptors of its *own*, where ``executed`` lays them."""
    places, text = executed.placed({**copy.binder.slots, **(own or {})}), bytearray(copy.content(".text"))
    for offset, symbol, kind, addend in copy.uses(".text"):
        word = int.from_bytes(text[offset : offset + 4], "little")
        value = LINKED[kind](word, places[symbol] + addend, executed.CODE + offset)
        text[offset : offset + 4] = value.to_bytes(4, "little")
    return bytes(text)


def x0_after(copy: crafted.Bound, count: int, host: bytes = b"") -> int:
    """What x0 holds after the first *count* instructions of the copy."""
    need_module("unicorn", "unicorn")
    assert not copy.refusals
    return executed.x0_after(linked(copy), count, copy.binder.slots, host)


COUNTED = b"".join((n + 1).to_bytes(8, "little") for n in range(0x2000))
"""A page and more of the host's, in which each word has its number."""


def test_an_address_and_a_load_of_one_symbol_are_both_right() -> None:
    """Were the ``adrp`` made a slot's page, the load behind it would read the slot's neighbourhood."""
    uses = (Use(0, "v", PAGE), Use(4, "v", ADD), Use(8, "v", LOW64, 24))
    for last, expected in ((0, HOST + 8), (LDR_X0_X1, 5)):
        words = (ADRP_X1, ADD_X0_X1, LDR_X0_X1) if last else (ADRP_X1, ADD_X0_X1, 0xF9400024)  # ldr x4
        copy = crafted.bound([code(words, uses)], [undefined("v")], {"v": data(HOST + 8)})
        assert x0_after(copy, 3, COUNTED) == expected
        assert not [kind for _, _, kind, _ in copy.uses(".text") if kind != r.R_AARCH64_LD_PREL_LO19]


@pytest.mark.parametrize("addends", [(0, 8), (4096, 8), (8, 8), (0, 4096), (-8, -8)])
def test_an_address_in_two_parts_may_add_different_bytes(addends: tuple[int, int]) -> None:
    """The page of another part of a variable means another slot, which lies in another page."""
    uses = (Use(0, "v", PAGE, addends[0]), Use(4, "v", ADD, addends[1]))
    copy = crafted.bound([code((ADRP_X1, ADD_X0_X1), uses)], [undefined("v")], {"v": data(HOST + 0x800)})
    assert x0_after(copy, 2) == HOST + 0x800 + addends[1]
    slots = {slot.value for slot in copy.binder.slots.values()}
    assert HOST + 0x800 in slots


def test_two_addresses_of_one_symbol_are_two_slots() -> None:
    """The second pair's ``adrp`` is the first's: both pages have to be of the same slot, or of none."""
    uses = (Use(0, "v", PAGE), Use(4, "v", ADD), Use(8, "v", ADD, 16))
    copy = crafted.bound([code((ADRP_X1, 0x91000024, ADD_X0_X1), uses)], [undefined("v")], {"v": data()})
    assert x0_after(copy, 3) == HOST + 16
    uses = (Use(0, "v", PAGE), Use(4, "v", ADD), Use(8, "v", PAGE, 16), Use(12, "v", ADD, 16))
    copy = crafted.bound([code((ADRP_X1, 0x91000024, ADRP_X1, ADD_X0_X1), uses)], [undefined("v")], {"v": data()})
    assert x0_after(copy, 4) == HOST + 16
    assert {kind for _, _, kind, _ in copy.uses(".text")} == {PAGE, LOW64}


def test_a_page_alone_is_the_variables_own() -> None:
    """Assembly takes what begins a page by ``adrp`` alone: the page of a slot holds other things."""
    copy = crafted.bound([code((0x90000000,), (Use(0, "v", PAGE),))], [undefined("v")], {"v": data()})
    assert x0_after(copy, 1) == HOST


def test_two_names_of_a_kept_variable_pair_by_what_they_mean() -> None:
    """``v`` lies 8 bytes behind its section's begin: equal additions to both are different places, in two slots."""
    for first, second, wanted in (
        ((".home", 0), ("v", 0), 0),
        ((".home", 8), ("v", 0), 0),
        (("v", -8), (".home", 0), -8),
    ):
        uses = (Use(0, first[0], PAGE, first[1]), Use(4, second[0], ADD, second[1]))
        parts = [code((ADRP_X1, ADD_X0_X1), uses), Part(".home", DATA)]
        copy = crafted.bound(parts, [local("v", 2, 8)], {"v": data(HOST + 32, kept=True)})
        assert x0_after(copy, 2) == HOST + 32 + wanted


def test_pairs_of_different_symbols_do_not_disturb_each_other() -> None:
    """One variable that is loaded from directly is no reason to reach the others in another way."""
    uses = (Use(0, "v", PAGE), Use(4, "v", LOW64, 8), Use(8, "w", PAGE), Use(12, "w", ADD))
    words = (ADRP_X1, 0xF9400024, ADRP_X1, ADD_X0_X1)
    copy = crafted.bound([code(words, uses)], [undefined("v"), undefined("w")], {"v": data(), "w": data(HOST + 64)})
    assert x0_after(copy, 4) == HOST + 64
    kinds = [kind for _, symbol, kind, _ in copy.uses(".text") if symbol == b"__stubgen_slot.w"]
    assert kinds == [PAGE, LOW64]


def test_what_is_no_pair_is_refused_beside_one() -> None:
    """A variable whose address is taken may also be meant in a way that nothing answers."""
    uses = (Use(0, "v", PAGE), Use(4, "v", ADD), Use(8, "v", r.R_AARCH64_ABS32))
    copy = crafted.bound([code((ADRP_X1, ADD_X0_X1, 0), uses)], [undefined("v")], {"v": data()})
    (refusal,) = copy.refusals
    assert ".text+0x8: R_AARCH64_ABS32 against v: " in refusal


def test_an_addition_that_is_none_pairs_with_nothing() -> None:
    """Only ``add`` becomes ``ldr``: the immediate of ``adds`` or of a 32-bit ``add`` is added to something else."""
    uses = (Use(0, "v", PAGE), Use(4, "v", ADD))
    for word in (0xB1000020, 0x11000020, 0x91000420):
        copy = crafted.bound([code((ADRP_X1, word), uses)], [undefined("v")], {"v": data()})
        (refusal,) = copy.refusals
        assert ".text+0x4: R_AARCH64_ADD_ABS_LO12_NC against v: no one instruction reaches so far" in refusal
        assert copy.word(".text", 4, 4) == word
        more = (*uses, Use(8, "v", ADD))
        copy = crafted.bound([code((ADRP_X1, word, ADD_X0_X1), more)], [undefined("v")], {"v": data()})
        assert len(copy.refusals) == 1
        assert copy.word(".text", 8, 4) == ADD_X0_X1, "the other addition has the variable's address"


@pytest.mark.parametrize("kind", [PAGE, PAGE_NC], ids=r.NAMES.get)
def test_a_page_of_another_instruction_is_refused(kind: int) -> None:
    """``adr`` has the same relocation's bits and no page."""
    uses = (Use(0, "v", kind), Use(4, "v", LOW64))
    copy = crafted.bound([code((0x10000001, LDR_X0_X1), uses)], [undefined("v")], {"v": data()})
    assert len(copy.refusals) == 1
    assert f".text+0x0: {r.NAMES[kind]} against v: no one instruction" in copy.refusals[0]


FAR = {
    "near the begin": ([8, 16], 0),
    "far": ([0x8000, 0x8008], 0x8000),
    "at both ends": ([0, 0x7FF8], 0),
    "off by a bit": ([4, 12], 0),
    "at an odd place far off": ([0x8204, 0x820C], 0x8204),
}
"""Where loads of 8 bytes read -> the place that their slot points to."""


@pytest.mark.parametrize("name", FAR)
def test_one_place_in_the_variable_serves_all_its_accesses(name: str) -> None:
    """The offsets of an array's far elements do not fit; from a place beside them they do, for all of them."""
    offsets, base = FAR[name]
    for offset in offsets:
        order = (*(other for other in offsets if other != offset), offset)
        uses = [
            use for n, at in enumerate(order) for use in (Use(8 * n, "v", PAGE, at), Use(8 * n + 4, "v", LOW64, at))
        ]
        copy = crafted.bound([code((ADRP_X1, LDR_X0_X1) * len(order), uses)], [undefined("v")], {"v": data()})
        host = b"".join((n & 0xFF).to_bytes(1, "little") for n in range(0x8300))
        assert x0_after(copy, 2 * len(order), host) == int.from_bytes(host[offset : offset + 8], "little")
        assert {slot.value for slot in copy.binder.slots.values()} == {HOST, HOST + base}


def test_a_base_is_a_place_that_all_accesses_reach() -> None:
    """The first that does, so that two runs write the same bytes; none where there is none."""
    far = [(LDR_X0_X1, 0x10000 + 8 * n) for n in range(4)]
    assert _base(far) == 0x10000
    assert _base([(ADD_X0_X1, 0x12340)]) == 0x12000
    assert _base([(LDR_X0_X1, 0x8004), (LDR_X0_X1, 0x8000 + 0x7FF8 + 4)]) == 0x8004
    assert _base([*far, (LDR_X0_X1, 4)]) == 0
    assert _base([]) == 0
    assert _base([(LDR_X0_X1, 8)]) == 0


@pytest.mark.parametrize("others", [BASES - 1, BASES])
def test_not_every_access_is_tried_for_a_base(others: int) -> None:
    """A table of thousands of accesses would take minutes: what is not found among the first is refused."""
    places = [0x8000 + at for at in range(0x110, 0x180) if at % 8 != 5][:others]  # bytes, of which none will do
    accesses = [*((LDRB_W0_X1, at) for at in places), (LDR_X0_X1, 0x8205), (LDR_X0_X1, 0x840D)]
    assert _base(accesses) == (0x8205 if others < BASES else 0)


def test_what_no_instruction_reaches_is_refused() -> None:
    """The offset's upper bits would be cut off, and the access would be to another place of the host's."""
    uses = (Use(0, "v", PAGE), Use(4, "v", LOW64, 0x1_0000), Use(8, "v", LOW64, 4))
    copy = crafted.bound([code((ADRP_X1, LDR_X0_X1, LDR_X0_X1), uses)], [undefined("v")], {"v": data()})
    (refusal,) = copy.refusals
    assert "patch.o: .text+0x4: R_AARCH64_LDST64_ABS_LO12_NC against v: no one instruction reaches so far" in refusal


def test_a_kept_variable_is_reached_by_its_section_too() -> None:
    """Each by its own distance: ``v`` lies 8 bytes behind its section's begin, and the host's anywhere."""
    for label, at in (("v", 16), (".home", 24)):
        uses = (Use(0, label, PAGE, at), Use(4, label, LOW64, at))
        parts = [code((ADRP_X1, LDR_X0_X1), uses), Part(".home", DATA)]
        copy = crafted.bound(parts, [local("v", 2, 8)], {"v": data(HOST + 32, kept=True)})
        assert x0_after(copy, 2, COUNTED) == 7


def test_a_constant_reached_directly_is_the_patchs_own() -> None:
    """It is alike in both, and its own copy needs no edit."""
    uses = (Use(0, "v", PAGE), Use(4, "v", LOW64))
    copy = crafted.bound([code((ADRP_X1, LDR_X0_X1), uses)], [local("v", 1, 8)], {"v": data(kept=True, constant=True)})
    assert copy.binder.own_constants == {b"v"}
    assert not copy.refusals
    assert [use[2:] for use in copy.uses(".text")] == [(PAGE, 0), (LOW64, 0)]


SHIFT = 1 << 21  # a move of the next 16 bits
WRONG_MOVES = {
    "movn": (0x92800000, r.R_AARCH64_MOVW_UABS_G0, HOST & 0xFFFF, 0),
    "a move of 32 bits": (0x52800000, r.R_AARCH64_MOVW_UABS_G0, 8, 0),
    "of other bits": (0xD2800000 | SHIFT, r.R_AARCH64_MOVW_UABS_G0, 8, 0),
    "of fewer bits": (0xF2800000, r.R_AARCH64_MOVW_UABS_G1, 8, 0),
    "below 0": (0xD2800000, r.R_AARCH64_MOVW_UABS_G0_NC, 8, -16),
    "just too much": (0xD2800000, r.R_AARCH64_MOVW_UABS_G0, 0xFFFF, 1),
}


@pytest.mark.parametrize("name", WRONG_MOVES)
def test_a_move_that_cannot_hold_its_bits_is_refused(name: str) -> None:
    """It would make another address of the other moves' bits."""
    word, kind, value, addend = WRONG_MOVES[name]
    copy = crafted.bound([code((word,), (Use(0, "v", kind, addend),))], [undefined("v")], {"v": data(value)})
    (refusal,) = copy.refusals
    assert "the move there is another one, or does not hold the whole address; compile with -mcmodel=small" in refusal
    assert copy.word(".text", 0, 4) == word


@pytest.mark.parametrize("addend", [-16, 0, 16])
def test_a_move_adds_what_its_relocation_says(addend: int) -> None:
    """An element of an array of the host's; its first byte may be where the program's addresses begin."""
    for value in (16, 0x1234):
        use = Use(0, "v", r.R_AARCH64_MOVW_UABS_G0, addend)
        copy = crafted.bound([code((0xD2800000 | 0xFFFF << 5,), (use,))], [undefined("v")], {"v": data(value)})
        assert x0_after(copy, 1) == value + addend


INDIRECT = "another image may have the one that the process uses, and only a load through the GOT can be led"
GOT_PAGE, GOT_LOW = r.R_AARCH64_ADR_GOT_PAGE, r.R_AARCH64_LD64_GOT_LO12_NC


def test_what_another_image_may_have_is_read_through_the_hosts_got() -> None:
    """The address of the host's GOT entry, not of its own variable of that name."""
    uses = (Use(0, "v", GOT_PAGE), Use(4, "v", GOT_LOW))
    copy = crafted.bound([code((ADRP_X1, LDR_X0_X1), uses)], [undefined("v")], {"v": data(HOST + 8, indirect=True)})
    assert x0_after(copy, 2, COUNTED) == 2
    assert [kind for _, _, kind, _ in copy.uses(".text")] == [r.R_AARCH64_LD_PREL_LO19]


@pytest.mark.parametrize(
    ("word", "kind", "addend"),
    [
        (0x10000001, GOT_PAGE, 0),
        (ADRP_X1, GOT_PAGE, 8),
        (LDR_X0_X1, GOT_LOW, 8),
        (0xF9400420, GOT_LOW, 0),
        (0xB9400020, GOT_LOW, 0),
        (ADRP_X1, PAGE, 0),
        (ADD_X0_X1, ADD, 0),
        (LDR_X0_X1, LOW64, 0),
        (0, r.R_AARCH64_ABS64, 0),
        (0xD2800000, r.R_AARCH64_MOVW_UABS_G0_NC, 0),
        (0x58000000, r.R_AARCH64_GOT_LD_PREL19, 0),
    ],
)
def test_what_another_image_may_have_is_reached_in_no_other_way(word: int, kind: int, addend: int) -> None:
    """The word of the host's that holds the address would be taken for the variable."""
    part = code((word, 0), (Use(0, "v", kind, addend),))
    (refusal,) = crafted.bound([part], [undefined("v")], {"v": data(indirect=True)}).refusals
    assert INDIRECT in refusal


SMALL, SIGNED = "compile with -mcmodel=small", "compile with -fPIC -mcmodel=small"
ADVICE = {
    range(258, 260): "a runtime address does not fit its field; use a pointer-sized word",
    range(260, 263): "how far the host's data is from the patch is not known before it is loaded; use its address",
    range(263, 270): SMALL,
    range(270, 273): SIGNED,
    range(273, 274): SMALL,
    range(274, 275): "the instruction there is no adr",
    range(275, 279): "no one instruction reaches so far into the variable",
    range(279, 281): "the host's is no code",
    range(282, 284): "the host's is no code",
    range(284, 287): "no one instruction reaches so far into the variable",
    range(287, 293): "how far the host's data is from the patch is not known",
    range(293, 294): SMALL,
    range(299, 300): "no one instruction reaches so far into the variable",
    range(307, 309): "it counts from the GOT, where a slot cannot be",
    range(314, 315): "the host's is no code",
    range(512, 520): "calls __tls_get_addr; compile with -mtls-dialect=desc",
    range(523, 539): "counts from the patch's own thread-locals; compile with -ftls-model=global-dynamic",
    range(310, 311): "no rule binds this relocation",
    range(313, 314): "no rule binds this relocation",
    range(1000, 1001): "no rule binds this relocation",
}
"""AAELF64's codes -> what helps where the host's variable cannot be reached so."""


@pytest.mark.parametrize("code_", [code for codes in ADVICE for code in codes], ids=str)
def test_a_refusal_says_what_helps(code_: int) -> None:
    """A number alone would send people to the ABI's tables; another flag would make them compile in vain."""
    advice = next(said for codes, said in ADVICE.items() if code_ in codes)
    target = thread_local() if 512 <= code_ < 600 else data()
    copy = crafted.bound([code((NOP, NOP), (Use(4, "v", code_),))], [undefined("v")], {"v": target})
    (refusal,) = copy.refusals
    title = r.NAMES.get(code_, f"relocation {code_}")
    assert refusal.startswith(f"patch.o: .text+0x4: {title} against v: ")
    assert advice in refusal


ADDITIONS = 0xFF000000
OPENERS = {
    "pages, then an addition": (
        (0x91400000, 0x91000000),
        (r.R_AARCH64_TLSLE_ADD_TPREL_HI12, r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC),
    ),
    "an addition": ((0x91000000,), (r.R_AARCH64_TLSLE_ADD_TPREL_LO12,)),
    "one move": ((0xD2800000,), (r.R_AARCH64_TLSLE_MOVW_TPREL_G0,)),
    "two moves": (
        (0xD2800000 | SHIFT, 0xF2800000),
        (r.R_AARCH64_TLSLE_MOVW_TPREL_G1, r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC),
    ),
    "three moves": (
        (0xD2800000 | 2 * SHIFT, 0xF2800000 | SHIFT, 0xF2800000),
        (r.R_AARCH64_TLSLE_MOVW_TPREL_G2, r.R_AARCH64_TLSLE_MOVW_TPREL_G1_NC, r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC),
    ),
}
"""Code that adds a thread-local's offset to x0, which is the thread pointer, or puts it there."""
DESCRIPTOR = {
    r.R_AARCH64_TLSDESC_ADR_PAGE21: executed.page,
    r.R_AARCH64_TLSDESC_LD64_LO12: LINKED[LOW64],
    r.R_AARCH64_TLSDESC_ADD_LO12: LINKED[ADD],
    r.R_AARCH64_TLSDESC_CALL: lambda word, *_: word,
}
"""What a linker writes for a descriptor of its own making."""


@pytest.mark.parametrize("addend", [0, 24, 0x1018, -0x1000])
@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("register", [0, 7])
@pytest.mark.parametrize("whose", ["own", "host"])
def test_an_offset_that_no_linker_knows_is_asked_for(whose: str, register: int, name: str, addend: int) -> None:
    """GNU ld would write one into the main program's block, and the program's memory is overwritten."""
    need_module("unicorn", "unicorn")
    words, kinds = OPENERS[name]
    words = tuple(word | register * (0x21 if word & ADDITIONS == 0x91000000 else 1) for word in words)
    words = (*words, 0xAA0003E0 | register << 16)  # mov x0, it
    uses = [Use(4 * n, "v", kind, addend) for n, kind in enumerate(kinds)]
    if whose == "own":
        call = Use(4 * len(words) + 4, "f", r.R_AARCH64_CALL26)
        parts = [code((*words, NOP, 0x94000000), (*uses, call)), Part(".tdata", THREAD)]
        copy = crafted.bound(parts, [local("v", 2, 0, e.STT_TLS), undefined("f")], {})
        assert (call.offset, b"f", call.kind, 0) in copy.uses(".text")
        mark = Slot(b"__stubgen_slot.v.tlsdesc", crafted.SlotKind.DESCRIPTOR, 0x1230, b"v")
        slots = {b"v": mark}
    else:
        target = thread_local(0x1230)._replace(slot_kind=crafted.SlotKind.HOST_DESCRIPTOR, descriptor=HOST + 0x200)
        copy = crafted.bound([code(words, uses)], [undefined("v", e.STT_TLS)], {"v": target})
        slots = dict(copy.binder.slots)
    assert not copy.refusals
    places, text = executed.placed(slots), bytearray(copy.content(".text"))
    for offset, symbol, kind, more in copy.uses(".text"):
        if kind == r.R_AARCH64_CALL26:
            continue
        word = int.from_bytes(text[offset : offset + 4], "little")
        value = {**LINKED, **DESCRIPTOR}[kind](word, places[symbol] + more, executed.CODE + offset)
        text[offset : offset + 4] = value.to_bytes(4, "little")
    assert executed.x0_after(bytes(text), len(words), slots) == 0x1230 + addend


def test_low_bits_are_read_by_each_access_behind_an_opening() -> None:
    """The opening leaves the variable's page; what is added behind it differs from access to access."""
    need_module("capstone", "capstone")
    opening = r.R_AARCH64_TLSLE_ADD_TPREL_HI12
    rests = {
        r.R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC: (0x39400000, 1),
        r.R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC: (0x79400000, 2),
        r.R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC: (0xB9400000, 4),
        r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC: (0xF9400000, 8),
        r.R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC: (0x3DC00000, 16),
    }
    for kind, (word, size) in rests.items():
        uses = (Use(0, "v", opening), Use(4, "v", kind, 3 * size))
        parts = [code((0x91400000, word | 0xFFF << 10), uses), Part(".tdata", THREAD)]
        copy = crafted.bound(parts, [local("v", 2, 0, e.STT_TLS)], {})
        assert not copy.refusals
        assert copy.word(".text", 4, 4) == word | 3 << 10
        copy = crafted.bound(
            [parts[0]._replace(uses=(uses[0], uses[1]._replace(addend=size // 2))), parts[1]],
            [local("v", 2, 0, e.STT_TLS)],
            {},
        )
        assert bool(copy.refusals) is (size > 1)


@pytest.mark.parametrize("kind", [r.R_AARCH64_TLSLE_ADD_TPREL_LO12, r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC])
def test_a_refused_thread_local_is_named(kind: int) -> None:
    """By its own name; one that its compiler names by section, by that of the section."""
    for symbol, title in (("v", "v"), (".tdata", ".tdata")):
        parts = [Part(".text", CODE, bytes(8), (Use(4, symbol, kind),)), Part(".tdata", THREAD)]
        (refusal,) = crafted.bound(parts, [local("v", 2, 0, e.STT_TLS)], {}).refusals
        assert refusal.startswith(f"patch.o: .text+0x4: {r.NAMES[kind]} against {title}: a library's thread-locals")


@pytest.mark.parametrize("kind", [r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC, r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC])
def test_a_thread_offset_below_the_thread_pointer_is_refused(kind: int) -> None:
    """On AArch64 what lies there is the C library's own block of the thread."""
    word = 0x91000000 if kind == r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC else 0xF2800000
    for value, addend, refused in ((8, -16, True), (16, -16, False)):
        part = code((word,), (Use(0, "v", kind, addend),))
        copy = crafted.bound([part], [undefined("v", e.STT_TLS)], {"v": thread_local(value)})
        assert bool(copy.refusals) is refused
        assert copy.word(".text", 0, 4) == word


def test_a_thread_offset_of_no_multiple_is_refused() -> None:
    """The access's immediate counts in units of its size: the rest would be cut off."""
    kind = r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC
    copy = crafted.bound([code((LDR_X0_X1,), (Use(0, "v", kind, 4),))], [undefined("v")], {"v": thread_local(16)})
    assert len(copy.refusals) == 1


def test_a_thread_local_is_reached_in_no_way_of_a_variable() -> None:
    """Its offset is no address."""
    for kind in (r.R_AARCH64_ABS64, PAGE, GOT_PAGE, r.R_AARCH64_CALL26):
        copy = crafted.bound([code((ADRP_X1, 0), (Use(0, "v", kind),))], [undefined("v")], {"v": thread_local()})
        assert len(copy.refusals) == 1, r.NAMES[kind]
        assert copy.uses(".text")[0][2] == kind


WORDS = {
    "add": (0x91001020, 4),
    "ldrb": (0x39401020, 4),
    "ldrh": (0x79401020, 8),
    "ldr w": (0xB9401020, 16),
    "ldr x": (0xF9401020, 32),
    "ldr q": (0x3DC01020, 64),
    "ldr x, the last": (0xF97FFC20, 0xFFF * 8),
    "adrp": (ADRP_X1, None),
    "ldur": (0xF8404020, None),
    "a branch": (0x14000004, None),
}


@pytest.mark.parametrize("name", WORDS)
def test_the_bytes_that_an_instruction_adds(name: str) -> None:
    """What reads a host's code by them would see another variable."""
    word, offset = WORDS[name]
    assert aarch64.page_offset(word) == offset
    assert (aarch64.access_of(word) is None) is (
        aarch64.page_offset(word & ~(0xFFF << 10)) is None or word != word & ~(0xFFF << 10)
    )


def test_a_function_that_the_object_takes_the_address_of_has_the_hosts_own() -> None:
    """Two addresses of one function compare unequal: a callback would never be found again."""
    uses = (Use(0, "f", PAGE), Use(4, "f", ADD), Use(8, "f", r.R_AARCH64_CALL26))
    words = (ADRP_X1, ADD_X0_X1, 0x94000000)
    copy = crafted.bound([code(words, uses)], [undefined("f", e.STT_NOTYPE)], {"f": function(HOST + 0x40)})
    assert not copy.refusals
    assert (8, b"f", r.R_AARCH64_CALL26, 0) in copy.uses(".text")
    slots = [use for use in copy.uses(".text") if use[1] != b"f"]
    assert [use[1] for use in slots] == [b"__stubgen_slot.f"] * 2
    assert {slot.value for slot in copy.binder.slots.values()} == {HOST + 0x40}
