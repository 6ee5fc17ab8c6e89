"""Which symbols of a Mach-O object are the host's, which are the patch's own, and how data and tables reach them."""

from __future__ import annotations

from pathlib import Path

import pytest
from bind import crafted, executed
from bind.crafted import HOST, MachPart, MachSym, MachUse, data, function
from bind.test_macho_rows import ADD_X0_X1, ADRP_X1, GOT_HIGH, GOT_LOW, HIGH, LDR_X0_X1, LOW, NOP, linked
from tools import need, need_module, run

from stubgen.bind.macho import bind_object
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as m
from stubgen.macho import relocations as r
from stubgen.macho.reader import optimisation_hints
from stubgen.resolve.verdicts import Target
from stubgen.stub.slots import Binder

CODE, DEBUG = m.S_ATTR_PURE_INSTRUCTIONS, m.S_ATTR_DEBUG
TEXT, DATA, FRAMES, UNWIND = "__TEXT,__text", "__DATA,__data", "__TEXT,__eh_frame", "__LD,__compact_unwind"
UNSIGNED, SUBTRACTOR, BRANCH = r.ARM64_RELOC_UNSIGNED, r.ARM64_RELOC_SUBTRACTOR, r.ARM64_RELOC_BRANCH26
TO_GOT, ADDEND = r.ARM64_RELOC_POINTER_TO_GOT, r.ARM64_RELOC_ADDEND
SEEN = m.N_SECT | m.N_EXT


def code(words: tuple[int, ...], uses: tuple[MachUse, ...]) -> MachPart:
    """A section of instructions."""
    return MachPart(TEXT, CODE, executed.words_to_bytes([*words, NOP]), uses)


def pair(symbol: str, high: int = HIGH, low: int = LOW) -> tuple[MachUse, MachUse]:
    """The relocations of ``adrp`` and what follows it."""
    return MachUse(0, symbol, high, pcrel=True), MachUse(4, symbol, low)


@pytest.mark.parametrize(
    ("n_type", "n_desc", "exported", "becomes"),
    [
        (SEEN, m.N_WEAK_DEF, False, (SEEN | m.N_PEXT, m.N_WEAK_DEF)),
        (SEEN, m.N_WEAK_DEF | m.N_NO_DEAD_STRIP, True, (SEEN, m.N_NO_DEAD_STRIP)),
        (SEEN | m.N_PEXT, m.N_WEAK_DEF, True, (SEEN | m.N_PEXT, m.N_WEAK_DEF)),
        (SEEN, 0, False, (SEEN, 0)),
        (SEEN, 0, True, (SEEN, 0)),
        (m.N_SECT, m.N_WEAK_DEF, False, (m.N_SECT, m.N_WEAK_DEF)),
        (m.N_FUN, m.N_WEAK_DEF, False, (m.N_FUN, m.N_WEAK_DEF)),
        (m.N_ABS | m.N_EXT, m.N_WEAK_DEF, False, (m.N_ABS | m.N_EXT, m.N_WEAK_DEF)),
    ],
)
def test_weak_definitions_become_the_patchs_own(
    n_type: int, n_desc: int, exported: bool, becomes: tuple[int, int]
) -> None:
    """The loader would give the patch the host's old one; one that is looked up by name must go on being seen."""
    copy = crafted.macho_bound(
        [code((NOP,), ())], [MachSym("_f", 1, 0, n_type, n_desc)], {}, [b"_f"] if exported else []
    )
    assert copy.symbols() == {"_f": becomes}
    assert bool(copy.binder.exported) is (exported and becomes != (SEEN, m.N_NO_DEAD_STRIP))


@pytest.mark.parametrize("weak", [False, True])
def test_another_objects_weak_definition_is_reached_without_the_got(weak: bool) -> None:
    """The linker of zig binds the GOT's entries by name: the host's definition would come first."""
    part = code(
        (ADRP_X1, LDR_X0_X1, ADRP_X1, LDR_X0_X1),
        (
            *pair("_v", GOT_HIGH, GOT_LOW),
            MachUse(8, "_w", GOT_HIGH, pcrel=True),
            MachUse(12, "_w", GOT_LOW),
        ),
    )
    symbols = [MachSym("_f", 1, 0), MachSym("_v"), MachSym("_w")]
    copy = crafted.macho_bound([part], symbols, {}, weak=[b"_v", b"_f"] if weak else [])
    kinds = [(symbol, kind) for _, symbol, kind in copy.uses(TEXT)]
    first = [("_v", HIGH), ("_v", LOW)] if weak else [("_v", GOT_HIGH), ("_v", GOT_LOW)]
    assert kinds == [*first, ("_w", GOT_HIGH), ("_w", GOT_LOW)]
    assert copy.word(TEXT, 4, 4) == (ADD_X0_X1 if weak else LDR_X0_X1)


def test_a_weak_definition_that_is_also_the_hosts_is_the_hosts() -> None:
    """A kept variable of a template is reached at the host's address, whatever the patch's definition is."""
    need_module("unicorn", "unicorn")
    symbols = [MachSym("_v", 2, 0, SEEN, m.N_WEAK_DEF)]
    parts = [code((ADRP_X1, LDR_X0_X1), pair("_v", GOT_HIGH, GOT_LOW)), MachPart(DATA)]
    copy = crafted.macho_bound(parts, symbols, {"_v": data(kept=True)})
    assert not copy.refusals
    assert executed.x0_after(linked(copy.image, copy.binder), 2, copy.binder.slots) == HOST


SYMBOLS = {
    "undefined": (MachSym("_v"), False, True),
    "a common": (MachSym("_v", 0, 8), False, False),
    "a common that is kept": (MachSym("_v", 0, 8), True, True),
    "a definition": (MachSym("_v", 2), False, False),
    "a definition that is kept": (MachSym("_v", 2), True, True),
}
"""A symbol, whether it is kept, whether it is the host's."""


@pytest.mark.parametrize("name", SYMBOLS)
def test_only_undefined_and_kept_symbols_are_the_hosts(name: str) -> None:
    """A variable of the patch's own that is bound all the same would be two variables' values in one."""
    symbol, kept, bound = SYMBOLS[name]
    parts = [MachPart(DATA, 0, bytes(16), (MachUse(8, "_v", UNSIGNED, 3),)), MachPart("__DATA,__own")]
    copy = crafted.macho_bound(parts, [symbol, MachSym("", 1, 0, m.N_FUN)], {"_v": data(kept=kept)})
    assert not copy.refusals
    assert copy.uses(DATA) == ([] if bound else [(8, "_v", UNSIGNED)])
    assert copy.word(DATA, 8) == (HOST if bound else 0)


def test_a_debuggers_entry_is_no_symbol() -> None:
    """It has the variable's name, and nobody's relocation: renamed it would name what a debugger does not know."""
    global_variable = 0x20  # N_GSYM of <mach-o/stab.h>
    copy = crafted.macho_bound([MachPart(DATA)], [MachSym("_v", 0, 0, global_variable)], {"_v": data(kept=True)})
    assert copy.symbols() == {"_v": (global_variable, 0)}
    assert not copy.binder.slots


@pytest.mark.parametrize("added", [0, 24, -8])
def test_a_pointer_holds_the_hosts_address(added: int) -> None:
    """What is added to it stands in place: without that ``&array[3]`` is ``array``."""
    content = bytes(16) + (added % (1 << 64)).to_bytes(8, "little")
    uses = (MachUse(16, "_v", UNSIGNED, 3),)
    copy = crafted.macho_bound([MachPart(DATA, 0, content, uses)], [MachSym("_v")], {"_v": data()})
    assert not copy.refusals
    assert copy.uses(DATA) == []
    assert [copy.word(DATA, at) for at in (0, 8, 16)] == [0, 0, HOST + added]


def test_a_short_pointer_is_refused() -> None:
    """Half of an address is another address."""
    parts = [MachPart(DATA, 0, bytes(16), (MachUse(8, "_v", UNSIGNED, 2),))]
    (refusal,) = crafted.macho_bound(parts, [MachSym("_v")], {"_v": data()}).refusals
    assert refusal == (
        f"patch.o: {DATA}+0x8: ARM64_RELOC_UNSIGNED against _v: a runtime address does not fit its field; "
        "use a pointer-sized word"
    )


DISTANCE = (MachUse(8, "_base", SUBTRACTOR, 3), MachUse(8, "_f", UNSIGNED, 3))


@pytest.mark.parametrize("home", [DATA, FRAMES])
def test_a_distance_to_a_function_leads_to_its_trampoline(home: str) -> None:
    """Swift and unwind tables have distances, which only the linker can know; data has no trampoline."""
    for uses in (DISTANCE, (DISTANCE[0]._replace(symbol="_f"), DISTANCE[1]._replace(symbol="_base"))):
        parts = [MachPart(home, 0, bytes(32), uses)]
        symbols = [MachSym("_base", 1), MachSym("_f")]
        copy = crafted.macho_bound(parts, symbols, {"_f": function()})
        assert not copy.refusals
        assert not copy.binder.slots
        assert copy.content(home) == bytes(32)
        assert [use[1:] for use in copy.uses(home)] == [use[1:3] for use in uses]
        (refusal,) = crafted.macho_bound(parts, symbols, {"_f": data()}).refusals
        assert "how far the host's data is from the patch is not known before it is loaded" in refusal


TRAMPOLINES = {
    "a branch": (TEXT, MachUse(0, "_f", BRANCH, pcrel=True)),
    "a pointer to a GOT entry": (DATA, MachUse(0, "_f", TO_GOT, pcrel=True)),
    "a personality function": (UNWIND, MachUse(16, "_f", UNSIGNED, 3)),
    "a personality function of an entry": (FRAMES, MachUse(16, "_f", TO_GOT, pcrel=True)),
    "a pointer in an entry": (FRAMES, MachUse(16, "_f", UNSIGNED, 3)),
}


@pytest.mark.parametrize("name", TRAMPOLINES)
def test_what_only_branches_is_left_to_the_trampoline(name: str) -> None:
    """The linker gives unwind sections a meaning: an address in place would be no function to it."""
    home, use = TRAMPOLINES[name]
    flags = CODE if home == TEXT else DEBUG if home == UNWIND else 0
    copy = crafted.macho_bound([MachPart(home, flags, bytes(64), (use,))], [MachSym("_f")], {"_f": function()})
    assert not copy.refusals
    assert not copy.binder.slots
    assert copy.uses(home) == [(use.offset, "_f", use.kind)]
    assert copy.content(home) == bytes(64)


def test_unwind_entries_are_no_debug_information() -> None:
    """They have its attribute, and are in the patch all the same."""
    part = MachPart(UNWIND, DEBUG, bytes(64), (MachUse(16, "_v", UNSIGNED, 3),))
    copy = crafted.macho_bound([part], [MachSym("_v")], {"_v": data()})
    assert not copy.refusals
    assert copy.word(UNWIND, 16) == HOST


def test_a_pointer_to_a_function_is_its_own_address() -> None:
    """Two addresses of one function compare unequal."""
    uses = (MachUse(0, "_f", UNSIGNED, 3),)
    copy = crafted.macho_bound([MachPart(DATA, 0, bytes(8), uses)], [MachSym("_f")], {"_f": function(HOST + 4)})
    assert copy.word(DATA, 0) == HOST + 4
    assert copy.symbols() == {"_f": (m.N_UNDF | m.N_EXT, 0)}


def test_debug_information_names_no_variable_of_the_hosts() -> None:
    """A linker would look for it and fail; what is said of functions stays."""
    home = "__DWARF,__debug_info"
    uses = (MachUse(0, "_v", UNSIGNED, 3), MachUse(8, "_f", UNSIGNED, 3))
    part = MachPart(home, DEBUG, bytes(16), uses)
    copy = crafted.macho_bound([part], [MachSym("_v"), MachSym("_f")], {"_v": data(), "_f": function()})
    assert not copy.refusals
    assert copy.uses(home) == [(8, "_f", UNSIGNED)]
    assert copy.content(home) == bytes(16)


OTHER_NAMES = {
    "another name at its begin": ([MachSym("_w", 2, 8)], "_w", "another name of it is used"),
    "a place inside it": ([MachSym("_w", 2, 12, m.N_SECT, m.N_ALT_ENTRY)], "_w", "another name of it is used"),
    "the second place inside it": (
        [MachSym("_w", 2, 12, m.N_SECT, m.N_ALT_ENTRY), MachSym("_x", 2, 16, m.N_SECT, m.N_ALT_ENTRY)],
        "_x",
        "another name of it is used",
    ),
    "its section": ([], 2, "its section alone is used"),
    "what is behind it": ([MachSym("_w", 2, 16)], "_w", ""),
    "a place inside what is behind it": (
        [MachSym("_w", 2, 16), MachSym("_x", 2, 20, m.N_SECT, m.N_ALT_ENTRY)],
        "_x",
        "",
    ),
    "what is in front of it": ([MachSym("_w", 2, 0)], "_w", ""),
    "the same address of another section": ([MachSym("_w", 3, 0)], "_w", ""),
    "another section": ([], 3, ""),
    "an absolute symbol": ([MachSym("_w", 2, 8, m.N_ABS)], "_w", ""),
}
"""Other symbols than ``_v``, which is at 8 of section 2 and kept; what is used; what is said of that."""


@pytest.mark.parametrize("home", [DATA, FRAMES, "__DWARF,__debug_info", UNWIND])
@pytest.mark.parametrize("name", OTHER_NAMES)
def test_what_may_mean_a_kept_variable_is_refused(name: str, home: str) -> None:
    """The patch would read its own copy of a variable, by a name that nobody bound."""
    others, used, said = OTHER_NAMES[name]
    flags = DEBUG if home in ("__DWARF,__debug_info", UNWIND) else 0
    part = MachPart(home, flags, bytes(64), (MachUse(24, used, UNSIGNED, 3),))
    parts = [part, MachPart("__DATA,__own"), MachPart("__DATA,__other")]
    copy = crafted.macho_bound(parts, [MachSym("_v", 2, 8), *others], {"_v": data(kept=True)})
    if said and home == DATA:
        assert copy.refusals == [
            f"patch.o: {DATA}+0x18: ARM64_RELOC_UNSIGNED against _v: {said}, so that other variables may be meant; "
            "compile with -mno-global-merge"
        ]
    else:
        assert not copy.refusals
    assert copy.uses(home) == [(24, used, UNSIGNED)]


def test_two_kept_variables_at_one_place_are_both_bound() -> None:
    """Neither is another name of the other that nobody knows of."""
    uses = (MachUse(0, "_v", UNSIGNED, 3), MachUse(8, "_w", UNSIGNED, 3))
    parts = [MachPart(DATA, 0, bytes(16), uses), MachPart("__DATA,__own")]
    targets = {"_v": data(kept=True), "_w": data(HOST + 8, kept=True)}
    copy = crafted.macho_bound(parts, [MachSym("_v", 2), MachSym("_w", 2)], targets)
    assert not copy.refusals
    assert [copy.word(DATA, at) for at in (0, 8)] == [HOST, HOST + 8]


def test_a_kept_common_is_in_no_section() -> None:
    """Its record's section is a number like any other: what counts from section 1 is not meant."""
    part = MachPart(DATA, 0, bytes(16), (MachUse(0, 1, UNSIGNED, 3), MachUse(8, "_v", UNSIGNED, 3)))
    copy = crafted.macho_bound([part], [MachSym("_v", 0, 8)], {"_v": data(kept=True)})
    assert not copy.refusals
    assert copy.uses(DATA) == [(0, 1, UNSIGNED)]
    assert copy.word(DATA, 8) == HOST


COUNTED = b"".join((n + 1).to_bytes(8, "little") for n in range(0x100))


def x0_after(copy: crafted.MachBound, count: int) -> int:
    """What x0 holds after the first *count* instructions of the copy."""
    need_module("unicorn", "unicorn")
    assert not copy.refusals
    return executed.x0_after(linked(copy.image, copy.binder), count, copy.binder.slots, COUNTED)


def test_what_another_image_may_have_is_read_through_the_hosts_got() -> None:
    """The address of the host's GOT entry, not of its own variable of that name."""
    part = code((ADRP_X1, LDR_X0_X1), pair("_v", GOT_HIGH, GOT_LOW))
    copy = crafted.macho_bound([part], [MachSym("_v")], {"_v": data(HOST + 8, indirect=True)})
    assert x0_after(copy, 2) == 2
    assert copy.uses(TEXT) == []
    uses = (MachUse(4, "_v", GOT_HIGH, pcrel=True), MachUse(8, "_v", GOT_LOW))
    copy = crafted.macho_bound(
        [code((NOP, ADRP_X1, LDR_X0_X1), uses)], [MachSym("_v")], {"_v": data(HOST + 8, indirect=True)}
    )
    assert x0_after(copy, 3) == 2


@pytest.mark.parametrize(
    ("word", "kind", "addend"),
    [
        (0x10000001, GOT_HIGH, 0),
        (ADRP_X1, GOT_HIGH, 8),
        (LDR_X0_X1, GOT_LOW, 8),
        (0xF9400420, GOT_LOW, 0),
        (0xB9400020, GOT_LOW, 0),
        (ADD_X0_X1, GOT_LOW, 0),
        (ADRP_X1, HIGH, 0),
        (ADD_X0_X1, LOW, 0),
        (LDR_X0_X1, LOW, 0),
        (0, UNSIGNED, 0),
    ],
)
def test_what_another_image_may_have_is_reached_in_no_other_way(word: int, kind: int, addend: int) -> None:
    """The word of the host's that holds the address would be taken for the variable."""
    front = (MachUse(0, addend, ADDEND),) if addend else ()
    use = MachUse(0, "_v", kind, 3 if kind == UNSIGNED else 2, pcrel=kind in (HIGH, GOT_HIGH))
    part = code((word, 0), (*front, use))
    (refusal,) = crafted.macho_bound([part], [MachSym("_v")], {"_v": data(indirect=True)}).refusals
    assert "another image may have the one that the process uses, and only a load through the GOT" in refusal


REACH = 1 << 20


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("size", [REACH - 8, REACH - 4, REACH, REACH + 4])
def test_a_constant_is_within_reach_of_its_load(size: int, indirect: bool) -> None:
    """Imm19 counts words with a sign: just beyond, the load reads in front of the code."""
    high, low = (GOT_HIGH, GOT_LOW) if indirect else (HIGH, LOW)
    content = executed.words_to_bytes([ADRP_X1, LDR_X0_X1]).ljust(size, b"\0")
    part = MachPart(TEXT, CODE, content, pair("_v", high, low))
    copy = crafted.macho_bound([part], [MachSym("_v")], {"_v": data(indirect=indirect)})
    assert bool(copy.refusals) is (size >= REACH)
    if size < REACH:
        assert copy.word(TEXT, 0, 4) == 0x58000001 | size // 4 << 5
        assert copy.word(TEXT, size) == HOST
    elif not indirect:
        assert (
            "the code is more than 1 MiB, too far from a constant behind it; compile with -mcmodel=large"
            in (copy.refusals[0])
        )


def test_where_no_constant_fits_the_obstacle_is_named() -> None:
    """Nothing that a user can change but the code model: and that only where it helps."""
    uses = (*pair("_v"), MachUse(8, 2, HIGH, pcrel=True))
    parts = [code((ADRP_X1, LDR_X0_X1, ADRP_X1), uses), MachPart(DATA)]
    said = f"no constant can be put behind the code: {TEXT}+0x8 counts from a section; compile with -mcmodel=large"
    copy = crafted.macho_bound(parts, [MachSym("_v")], {"_v": data()})
    assert len(copy.refusals) == 2
    assert all(said in refusal for refusal in copy.refusals)
    got = [code((ADRP_X1, LDR_X0_X1, ADRP_X1), (*pair("_v", GOT_HIGH, GOT_LOW), uses[2])), parts[1]]
    assert len(crafted.macho_bound(got, [MachSym("_v")], {"_v": data(indirect=True)}).refusals) == 2
    assert not crafted.macho_bound(got, [MachSym("_v")], {"_v": data()}).refusals


SAID = {
    TO_GOT: (0, "it needs a GOT entry of its own, which only the linker can make"),
    BRANCH: (0x94000000, "no rule binds this relocation"),
    11: (0, "no rule binds this relocation"),
}


def test_a_refusal_says_what_helps() -> None:
    """A number alone would send people to Apple's headers."""
    odd = code(
        (ADRP_X1, LDR_X0_X1, LDR_X0_X1),
        (
            MachUse(0, "_v", HIGH, pcrel=True),
            MachUse(4, 0x8001, ADDEND),
            MachUse(4, "_v", LOW),
            MachUse(8, "_v", LOW),
        ),
    )
    (refusal,) = crafted.macho_bound([odd], [MachSym("_v")], {"_v": data()}).refusals
    assert "+0x4: ARM64_RELOC_PAGEOFF12 against _v: no one instruction reaches so far into the variable" in refusal
    for kind, (word, said) in SAID.items():
        part = code((word,), (MachUse(0, "_v", kind, pcrel=kind != 11),))
        (refusal,) = crafted.macho_bound([part], [MachSym("_v")], {"_v": data()}).refusals
        assert f"+0x0: {r.NAMES.get(kind, f'relocation {kind}')} against _v: {said}" in refusal


def test_a_relocation_that_belongs_to_none_is_not_the_first_ones() -> None:
    """The table's last one is not in front of its first, whatever an object may end with."""
    part = code((ADRP_X1, ADD_X0_X1), (*pair("_v"), MachUse(8, 24, ADDEND)))
    copy = crafted.macho_bound([part], [MachSym("_v")], {"_v": data()})
    assert not copy.refusals
    assert [use[2] for use in copy.uses(TEXT)] == [HIGH, LOW, ADDEND]


def test_a_page_alone_is_the_variables_own() -> None:
    """Assembly takes what begins a page by ``adrp`` alone: the page of a slot holds other things."""
    part = code((0x90000000,), (MachUse(0, "_v", HIGH, pcrel=True),))
    copy = crafted.macho_bound([part], [MachSym("_v")], {"_v": data()})
    assert x0_after(copy, 1) == HOST


def test_an_address_and_a_load_of_one_symbol_are_both_right() -> None:
    """Were the ``adrp`` made a slot's page, the load behind it would read the slot's neighbourhood."""
    uses = (*pair("_v"), MachUse(8, 24, ADDEND), MachUse(8, "_v", LOW))
    copy = crafted.macho_bound([code((ADRP_X1, ADD_X0_X1, LDR_X0_X1), uses)], [MachSym("_v")], {"_v": data(HOST + 8)})
    assert x0_after(copy, 2) == HOST + 8
    assert x0_after(copy, 3) == 5
    assert copy.uses(TEXT) == []


def test_pairs_of_different_symbols_do_not_disturb_each_other() -> None:
    """One variable that is loaded from directly is no reason to reach the others in another way."""
    uses = (*pair("_v"), MachUse(8, "_w", HIGH, pcrel=True), MachUse(12, "_w", LOW))
    words = (ADRP_X1, 0xF9400024, ADRP_X1, ADD_X0_X1)
    copy = crafted.macho_bound(
        [code(words, uses)], [MachSym("_v"), MachSym("_w")], {"_v": data(), "_w": data(HOST + 8)}
    )
    assert x0_after(copy, 4) == HOST + 8
    assert [use[2] for use in copy.uses(TEXT)] == [HIGH, LOW]
    assert set(copy.binder.slots) == {b"__stubgen_slot._v", b"__stubgen_slot._w"}


def test_constants_of_two_variables_and_places_are_told_apart() -> None:
    """One constant behind the code for each, under a name that says whose it is."""
    uses = (
        MachUse(0, "_v", HIGH, pcrel=True),
        MachUse(4, 0x8000, ADDEND),
        MachUse(4, "_v", LOW),
        MachUse(8, "_w", HIGH, pcrel=True),
        MachUse(12, "_w", LOW),
    )
    words = (ADRP_X1, 0xF9400024, ADRP_X1, LDR_X0_X1)
    copy = crafted.macho_bound(
        [code(words, uses)], [MachSym("_v"), MachSym("_w")], {"_v": data(), "_w": data(HOST + 8)}
    )
    assert x0_after(copy, 4) == 2
    assert [copy.word(TEXT, at) for at in (20, 28)] == [HOST + 0x8000, HOST + 8]
    assert {"__stubgen_literal._v+32768", "__stubgen_literal._w"} <= copy.symbols().keys()


def test_a_constant_reached_directly_is_the_patchs_own() -> None:
    """It is alike in both, and its own copy needs no edit."""
    for front in ((), (MachUse(0, 8, ADDEND),)):
        part = code((ADRP_X1, LDR_X0_X1), (*front, *pair("_v")))
        target: dict[str, Target] = {"_v": data(kept=True, constant=True)}
        copy = crafted.macho_bound([part, MachPart(DATA)], [MachSym("_v", 2)], target)
        assert copy.binder.own_constants == {b"_v"}
        assert not copy.refusals
        assert [use[2] for use in copy.uses(TEXT) if use[2] != ADDEND] == [HIGH, LOW]


HINTED = """
.globl _f
_f: L1: adrp x1, {0}@{1}PAGE
L2: {2} x0, {4}x1, {0}@{1}PAGEOFF{3}
L3: adrp x2, _other@GOTPAGE
L4: ldr x0, [x2, _other@GOTPAGEOFF]
ret
.loh {5} L1, L2
.loh AdrpLdrGot L3, L4
.data
_kept: .quad 1
"""
ACCESSES = {
    "a slot": ("_v", "GOT", "ldr", "]", "[", "AdrpLdrGot"),
    "a slot, of a pair": ("_v", "", "add", "", "", "AdrpAdd"),
    "near": ("_v", "", "ldr", "]", "[", "AdrpLdr"),
    "the patch's own": ("_weak", "GOT", "ldr", "]", "[", "AdrpLdrGot"),
    "through the host's GOT": ("_indirect", "GOT", "ldr", "]", "[", "AdrpLdrGot"),
    "left alone": ("_other", "GOT", "ldr", "]", "[", "AdrpLdrGot"),
}


@pytest.mark.parametrize("name", ACCESSES)
def test_hints_about_edited_instructions_go(name: str, tmp_path: Path) -> None:
    """ld64 follows them: it would turn an edited load back into what it was compiled as."""
    (tmp_path / "patch.s").write_text(HINTED.format(*ACCESSES[name]))
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "patch.s", "-o", "patch.o"], cwd=tmp_path)
    image = MachOImage((tmp_path / "patch.o").read_bytes(), "patch.o")
    binder = Binder({b"_v": data(), b"_indirect": data(indirect=True)}, weak=[b"_weak"])
    copy = MachOImage(bind_object(image, binder).content, "bound.o")
    assert not binder.refusals
    hints = list(hints_of(copy))
    assert [8, 12] in hints
    assert ([0, 4] in hints) is (name == "left alone")


def hints_of(image: MachOImage) -> list[list[int]]:
    """The addresses of each linker optimisation hint."""
    for command in image.file.commands:
        if command.cmd == m.LC_LINKER_OPTIMIZATION_HINT:
            raw = image.file.view.bytes(command.offset + 8, 8, "the command")
            start, size = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4))
            content = bytes(image.file.view.bytes(start, size, "the hints"))
            return [addresses for _, addresses in optimisation_hints(content, "hints")]
    return []
