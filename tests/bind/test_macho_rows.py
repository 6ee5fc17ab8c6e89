"""Rows of the tables of ``bind.macho``: each binds instructions that are linked and executed, or is refused."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from bind import executed
from bind.executed import CODE, HOST
from tools import need_module

from stubgen.bind import macho
from stubgen.bind.macho import bind_object
from stubgen.common.aarch64 import access_scale
from stubgen.image import Kind
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as m
from stubgen.macho import relocations as r
from stubgen.macho.reader import BuildVersion
from stubgen.macho.relocations import Relocations, r_word
from stubgen.macho.writer import Object, Section, SymbolColumns, write
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder

ADRP_X1, ADRP_X9 = 0x90000001, 0x90000009
LDR_X0_X1, ADD_X0_X1, NOP = 0xF9400020, 0x91000020, 0xD503201F
OWN = 0x44_0010
"""Where the patch's own definition is linked."""
HIGH, LOW = r.ARM64_RELOC_PAGE21, r.ARM64_RELOC_PAGEOFF12
GOT_HIGH, GOT_LOW = r.ARM64_RELOC_GOT_LOAD_PAGE21, r.ARM64_RELOC_GOT_LOAD_PAGEOFF12
THREAD_HIGH, THREAD_LOW = r.ARM64_RELOC_TLVP_LOAD_PAGE21, r.ARM64_RELOC_TLVP_LOAD_PAGEOFF12


class Site(NamedTuple):
    """One instruction, its relocation, and the bytes that one in front of that adds."""

    word: int
    kind: int
    addend: int = 0


ACCESSES = {
    "ldrb": (0x39400020, 1),
    "ldrh": (0x79400020, 2),
    "ldr w": (0xB9400020, 4),
    "ldr x": (LDR_X0_X1, 8),
}
"""A load of x0 from x1 -> the word without an offset, and its bytes."""


def bound(sites: list[Site], target: Target, *, own: bool = False) -> tuple[MachOImage, Binder]:
    """The bound copy of an object whose instructions each have a relocation to ``_v``, a weak definition if *own*."""
    places, words = [], []
    for number, site in enumerate(sites):
        if site.addend:
            places.append(4 * number)
            kind = r.ARM64_RELOC_ADDEND
            words.append(r_word(site.addend & 0xFFFFFF, pcrel=False, length=2, extern=False, kind=kind))
        high = site.kind in (HIGH, GOT_HIGH, THREAD_HIGH, r.ARM64_RELOC_BRANCH26)
        places.append(4 * number)
        words.append(r_word(0, pcrel=high, length=2, extern=True, kind=site.kind))
    content = executed.words_to_bytes([*(site.word for site in sites), NOP])
    text = Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, content, 2, Relocations(places, words))
    data = Section("__DATA", "__data", 0, bytes(8), 3)
    defined = SymbolColumns([b"_v"], m.N_SECT | m.N_EXT, 2, m.N_WEAK_DEF, -len(content) % 8 + len(content))
    undefined = SymbolColumns([b"_v"], m.N_UNDF | m.N_EXT)
    obj = Object(
        [text, data],
        BuildVersion(1, 0x000D0000, 0),
        defined_symbols=[defined] if own else [],
        undefined_symbols=SymbolColumns() if own else undefined,
    )
    binder = Binder({} if own else {b"_v": target})
    copy = bind_object(MachOImage(bytes(write(obj)), "patch.o"), binder).content
    return MachOImage(copy, "bound.o"), binder


def linked(image: MachOImage, binder: Binder) -> bytes:
    """The copy's code, its slots where ``executed`` lays them (<mach-o/arm64/reloc.h>: what each kind means)."""
    symbols, text = image.file.symbols, image.file.section("__TEXT,__text")
    assert symbols is not None
    assert text is not None
    places, code, addend = {**executed.placed(binder.slots), b"_v": OWN}, bytearray(image.file.content(text)), 0
    for _, rows in image.file.relocations():
        for offset, record in zip(rows.r_address, rows.r_word, strict=True):
            kind, number = record >> 28, record & 0xFFFFFF
            if kind == r.ARM64_RELOC_ADDEND:
                addend = number
                continue
            word = int.from_bytes(code[offset : offset + 4], "little")
            target = places[symbols.name(number)] + addend
            assert kind in (HIGH, LOW), "nothing else is left to a linker"
            low = kind == LOW
            done = executed.low(word, target, access_scale(word)) if low else executed.page(word, target, CODE + offset)
            code[offset : offset + 4] = done.to_bytes(4, "little")
            addend = 0
    return bytes(code)


def data(**more: bool) -> Target:
    """A variable of the host's."""
    return Target(Kind.DATA, SlotKind.ADDRESS, HOST + 0x120, **more)


@pytest.mark.parametrize("addend", [0, 24])
@pytest.mark.parametrize("high", [GOT_HIGH, HIGH], ids=r.NAMES.get)
def test_code_has_the_address_of_the_hosts_variable(high: int, addend: int) -> None:
    """Code that has another address reads and writes something else of the host's, or nothing that is mapped."""
    need_module("unicorn", "unicorn")
    if high == GOT_HIGH:
        addend = 0  # an entry of the GOT has the symbol's own address
    low = Site(LDR_X0_X1, GOT_LOW) if high == GOT_HIGH else Site(ADD_X0_X1, LOW, addend)
    copy, binder = bound([Site(ADRP_X1, high, addend), low], data())
    assert not binder.refusals
    assert executed.x0_after(linked(copy, binder), 2, binder.slots) == HOST + 0x120 + addend


@pytest.mark.parametrize("name", ACCESSES)
def test_an_access_reads_its_place_in_the_hosts_variable(name: str) -> None:
    """With another scale ``arr[3]`` is silently ``arr[6]``, or the neighbour's."""
    need_module("unicorn", "unicorn")
    word, size = ACCESSES[name]
    host = bytes(0x120) + b"".join(n.to_bytes(size, "little") for n in range(1, 100))
    for index in (0, 3, 60):
        for first in (0, index * size):  # Clang adds it to both, or to the access alone
            copy, binder = bound([Site(ADRP_X1, HIGH, first), Site(word, LOW, index * size)], data())
            assert not binder.refusals
            assert not [row for _, rows in copy.file.relocations() for row in rows.r_word]
            assert executed.x0_after(linked(copy, binder), 2, binder.slots, host) == index + 1


def test_one_constant_serves_all_of_a_variables_accesses() -> None:
    """One for each would make the code grow by 8 bytes an access."""
    need_module("unicorn", "unicorn")
    host = bytes(0x120) + b"".join(n.to_bytes(8, "little") for n in range(1, 9))
    sites = [Site(ADRP_X9, HIGH), Site(0xF9400121, LOW, 8), Site(ADRP_X9, HIGH), Site(0xF9400120, LOW, 16)]
    copy, binder = bound(sites, data())
    assert not binder.refusals
    text = copy.file.section("__TEXT,__text")
    assert text is not None
    assert bytes(copy.file.content(text)).count((HOST + 0x120).to_bytes(8, "little")) == 1
    assert len(copy.file.content(text)) == 20 + 8
    assert executed.x0_after(linked(copy, binder), 4, binder.slots, host) == 3


def test_a_thread_local_is_reached_by_the_hosts_descriptor() -> None:
    """The patch's own descriptor would have a variable of its own in each thread."""
    need_module("unicorn", "unicorn")
    target = Target(Kind.THREAD_LOCAL, SlotKind.ADDRESS, HOST + 0x40)
    copy, binder = bound([Site(ADRP_X1, THREAD_HIGH), Site(LDR_X0_X1, THREAD_LOW)], target)
    assert not binder.refusals
    assert executed.x0_after(linked(copy, binder), 2, binder.slots) == HOST + 0x40


@pytest.mark.parametrize("kind", [HIGH, LOW, GOT_HIGH, r.ARM64_RELOC_BRANCH26], ids=r.NAMES.get)
def test_a_thread_local_is_reached_in_no_other_way(kind: int) -> None:
    """Its descriptor is no variable: what is read there would be the loader's."""
    target = Target(Kind.THREAD_LOCAL, SlotKind.ADDRESS, HOST + 0x40)
    assert bound([Site(ADRP_X1, kind)], target)[1].refusals
    assert bound([Site(ADRP_X1, THREAD_HIGH, 8)], target)[1].refusals


def test_a_load_through_the_hosts_got_has_what_dyld_put_there() -> None:
    """A variable of a third library, whose address only the host's own GOT has."""
    need_module("unicorn", "unicorn")
    copy, binder = bound([Site(ADRP_X1, GOT_HIGH), Site(LDR_X0_X1, GOT_LOW)], data(indirect=True))
    assert not binder.refusals
    host = bytes(0x120) + (0x1234_5678_9000).to_bytes(8, "little")
    assert executed.x0_after(linked(copy, binder), 2, binder.slots, host) == 0x1234_5678_9000


REFUSED_INDIRECT = {
    "no adrp": Site(ADD_X0_X1, GOT_HIGH),
    "no ldr": Site(ADD_X0_X1, GOT_LOW),
    "bytes added": Site(ADRP_X1, GOT_HIGH, 8),
    "the address itself": Site(ADRP_X1, HIGH),
    "an offset": Site(LDR_X0_X1, LOW),
}


@pytest.mark.parametrize("site", REFUSED_INDIRECT.values(), ids=list(REFUSED_INDIRECT))
def test_other_loads_do_not_go_through_the_hosts_got(site: Site) -> None:
    """Bound as if it were a load, it would have the GOT's entry for the variable."""
    _, binder = bound([site], data(indirect=True))
    assert "only a load through the GOT" in binder.refusals[0]


@pytest.mark.parametrize("word", [LDR_X0_X1, 0xB9400020], ids=["ldr x", "ldr w"])
def test_the_patchs_own_weak_definition_is_reached_without_the_got(word: int) -> None:
    """Loaders give all images the first one loaded of a weak definition: the host's old one."""
    need_module("unicorn", "unicorn")
    copy, binder = bound([Site(ADRP_X1, GOT_HIGH), Site(word, GOT_LOW)], data(), own=True)
    kinds = [record >> 28 for _, rows in copy.file.relocations() for record in rows.r_word]
    if word == LDR_X0_X1:
        assert kinds == [HIGH, LOW]
        assert executed.x0_after(linked(copy, binder), 2, binder.slots) == OWN
    else:
        assert kinds == [GOT_HIGH, GOT_LOW], "an instruction that no add can stand for"


def test_a_call_is_left_to_the_trampoline() -> None:
    """The stub object defines the name."""
    branch = 0x94000000
    copy, binder = bound([Site(branch, r.ARM64_RELOC_BRANCH26)], Target(Kind.FUNCTION, SlotKind.ADDRESS, HOST))
    assert not binder.refusals
    assert not binder.slots
    assert [record >> 28 for _, rows in copy.file.relocations() for record in rows.r_word] == [r.ARM64_RELOC_BRANCH26]


REFUSED = {
    "another instruction for the page": (Site(ADD_X0_X1, HIGH), Site(LDR_X0_X1, LOW)),
    "another access": (Site(ADRP_X1, HIGH), Site(0xF8400020, LOW)),
    "no multiple of the size": (Site(ADRP_X1, HIGH), Site(LDR_X0_X1, LOW, 0x301), Site(LDR_X0_X1, LOW, 0x600)),
    "bytes added to a GOT entry": (Site(ADRP_X1, GOT_HIGH, 8), Site(LDR_X0_X1, GOT_LOW, 8)),
    "a branch": (Site(0x94000000, r.ARM64_RELOC_BRANCH26),),
    "a pointer to a GOT entry": (Site(0, r.ARM64_RELOC_POINTER_TO_GOT),),
}


@pytest.mark.parametrize("sites", REFUSED.values(), ids=list(REFUSED))
def test_what_no_rule_binds_is_refused(sites: tuple[Site, ...]) -> None:
    """Left to the linker it is an undefined symbol; bound by a rule for something else it is a wrong address."""
    assert bound(list(sites), data())[1].refusals


def test_every_row_is_executed() -> None:
    """A row that is added and not tried is one that nobody has seen work."""
    assert set(macho.SLOT_LOADS) == set(macho.DIRECT) == {GOT_HIGH, GOT_LOW}
    assert set(macho.PAIRS) == {HIGH, LOW}
    assert set(macho.THREAD_LOADS) == {THREAD_HIGH, THREAD_LOW}


@pytest.mark.parametrize("kept", [False, True])
def test_a_static_that_is_not_kept_stays_the_patchs(kept: bool) -> None:
    """Bound to the host's of that name all the same, the patch would change a variable of another meaning."""
    records = [r_word(0, pcrel=kind == HIGH, length=2, extern=True, kind=kind) for kind in (HIGH, LOW)]
    code = executed.words_to_bytes([ADRP_X1, ADD_X0_X1])
    text = Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, code, 2, Relocations([0, 4], records))
    values = Section("__DATA", "__data", 0, bytes(8), 3)
    local = SymbolColumns([b"_v"], m.N_SECT, 2, 0, 8)
    raw = bytes(write(Object([text, values], BuildVersion(1, 0x000D0000, 0), local)))
    binder = Binder({b"_v": Target(Kind.DATA, SlotKind.ADDRESS, HOST, kept=kept)})
    copy = bind_object(MachOImage(raw, "patch.o"), binder)
    assert not binder.refusals
    assert copy.changed is kept
    assert bool(binder.slots) is kept
    assert kept or copy.content == raw
