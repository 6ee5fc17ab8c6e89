"""How each AArch64 ELF relocation to a host symbol is bound. Twin of ``bind.macho``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import NamedTuple

from stubgen.bind.local_exec import INITIAL_EXEC, KEEP, MOVE, OF_LINKER, OF_SLOT, Descriptor, Detours
from stubgen.bind.run import Bindable, Run, Site
from stubgen.common.aarch64 import (
    DESTINATION,
    IMMEDIATE_AT,
    IMMEDIATE_LIMIT,
    LITERAL,
    LOAD,
    PAGE,
    PAGE_MASK,
    REGISTERS,
    UNTAGGED,
    access_scale,
)
from stubgen.common.fields import align_up
from stubgen.common.text import as_text
from stubgen.elf import constants as c
from stubgen.elf import relocations as r
from stubgen.elf.editor import ObjectEditor, Table
from stubgen.elf.reader import Symbols
from stubgen.image import Image, Kind
from stubgen.image.elf import ElfImage
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder, BoundObject
from stubgen.symbols.versions import plain_name

SLOT_LOADS = {
    r.R_AARCH64_ADR_GOT_PAGE: r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_LD64_GOT_LO12_NC: r.R_AARCH64_LDST64_ABS_LO12_NC,
    r.R_AARCH64_GOT_LD_PREL19: r.R_AARCH64_LD_PREL_LO19,
    r.R_AARCH64_GOTPCREL32: r.R_AARCH64_PREL32,
}
"""A reference to the symbol's GOT entry -> the same to its slot."""

THREAD_LOADS = {
    r.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21: (SlotKind.THREAD_OFFSET, r.R_AARCH64_ADR_PREL_PG_HI21),
    r.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: (SlotKind.THREAD_OFFSET, r.R_AARCH64_LDST64_ABS_LO12_NC),
    r.R_AARCH64_TLSIE_LD_GOTTPREL_PREL19: (SlotKind.THREAD_OFFSET, r.R_AARCH64_LD_PREL_LO19),
    r.R_AARCH64_TLSDESC_ADR_PAGE21: (SlotKind.DESCRIPTOR, r.R_AARCH64_ADR_PREL_PG_HI21),
    r.R_AARCH64_TLSDESC_LD64_LO12: (SlotKind.DESCRIPTOR, r.R_AARCH64_LDST64_ABS_LO12_NC),
    r.R_AARCH64_TLSDESC_ADD_LO12: (SlotKind.DESCRIPTOR, r.R_AARCH64_ADD_ABS_LO12_NC),
    r.R_AARCH64_TLSDESC_LD_PREL19: (SlotKind.DESCRIPTOR, r.R_AARCH64_LD_PREL_LO19),
    r.R_AARCH64_TLSDESC_ADR_PREL21: (SlotKind.DESCRIPTOR, r.R_AARCH64_ADR_PREL_LO21),
}
"""A reference to a thread-local's GOT entry or descriptor -> (what the slot holds, the same to the slot)."""


NEAR_PAGES = frozenset({r.R_AARCH64_ADR_PREL_PG_HI21, r.R_AARCH64_ADR_PREL_PG_HI21_NC})
"""``adrp`` of a symbol, as if it were near -> ``ldr`` of an address, from a slot within 1 MiB."""

NEAR_OFFSETS = {
    r.R_AARCH64_ADD_ABS_LO12_NC: 0,
    r.R_AARCH64_LDST8_ABS_LO12_NC: 0,
    r.R_AARCH64_LDST16_ABS_LO12_NC: 1,
    r.R_AARCH64_LDST32_ABS_LO12_NC: 2,
    r.R_AARCH64_LDST64_ABS_LO12_NC: 3,
    r.R_AARCH64_LDST128_ABS_LO12_NC: 4,
}
"""The accesses that follow -> log2 bytes; their immediate becomes a plain offset, whichever ``adrp`` they follow."""


class LiteralLoad(NamedTuple):
    """An instruction that becomes ``ldr xd, slot``, from within 1 MiB: which words are meant."""

    mask: int  # the bits that tell it
    word: int  # and what they are


LITERAL_LOADS = {
    r.R_AARCH64_ADR_PREL_LO21: LiteralLoad(0x9F000000, 0x10000000),  # adr xd, label: the tiny code model
    r.R_AARCH64_LD64_GOTPAGE_LO15: LiteralLoad(0xFFC00000, LOAD),  # ldr xd, [xn, #offset], behind adrp of the GOT
    r.R_AARCH64_LD64_GOTOFF_LO15: LiteralLoad(0xFFC00000, LOAD),
}
"""One instruction that has the whole address by itself, whatever is in its base register."""


class Move(NamedTuple):
    """Which 16 bits of an address a move of the large code model holds."""

    shift: int  # of the first bit
    checked: bool  # the bits above must be 0


MOVES = {
    r.R_AARCH64_MOVW_UABS_G0: Move(0, checked=True),
    r.R_AARCH64_MOVW_UABS_G0_NC: Move(0, checked=False),
    r.R_AARCH64_MOVW_UABS_G1: Move(16, checked=True),
    r.R_AARCH64_MOVW_UABS_G1_NC: Move(16, checked=False),
    r.R_AARCH64_MOVW_UABS_G2: Move(32, checked=True),
    r.R_AARCH64_MOVW_UABS_G2_NC: Move(32, checked=False),
    r.R_AARCH64_MOVW_UABS_G3: Move(48, checked=True),
}
"""``movz`` and ``movk``: the address's bits are written in place."""
_TAG = Move(48, checked=False)  # movk of the bits above a distance's 48: LLVM's way to a tagged address (HWASan)
_MOVE_MASK, _MOVE, _MOVE_AT = 0xDF800000, 0xD2800000, 5  # movz and movk, 64-bit (Arm ARM, MOVZ, MOVK); of imm16
_HALFWORD_AT = 21  # the first bit of hw: how many times 16 bits imm16 is shifted


class Immediate(NamedTuple):
    """Which bits of the thread offset a local-exec instruction holds in its 12-bit immediate."""

    shift: int  # of the offset's first bit
    scale: int  # log2 bytes of the access
    limit: int  # the offset must be below; 0: unchecked


THREAD_IMMEDIATES = {
    r.R_AARCH64_TLSLE_ADD_TPREL_HI12: Immediate(12, 0, 1 << 24),
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12: Immediate(0, 0, 1 << 12),
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC: Immediate(0, 0, 0),
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12: Immediate(0, 0, 1 << 12),
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC: Immediate(0, 0, 0),
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12: Immediate(0, 1, 1 << 12),
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC: Immediate(0, 1, 0),
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12: Immediate(0, 2, 1 << 12),
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC: Immediate(0, 2, 0),
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12: Immediate(0, 3, 1 << 12),
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC: Immediate(0, 3, 0),
    r.R_AARCH64_TLSLE_LDST128_TPREL_LO12: Immediate(0, 4, 1 << 12),
    r.R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC: Immediate(0, 4, 0),
}
"""Local-exec: the offset's bits are written in place, which also takes away what ``-shared`` rejects."""

THREAD_MOVES = {
    r.R_AARCH64_TLSLE_MOVW_TPREL_G2: Immediate(32, 0, 1 << 48),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G1: Immediate(16, 0, 1 << 32),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G1_NC: Immediate(16, 0, 0),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G0: Immediate(0, 0, 1 << 16),
    r.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC: Immediate(0, 0, 0),
}
"""Likewise of moves, whose immediate has 16 bits. Whether the first is ``movn`` or ``movz``, compilers leave open."""

MOVED_AT, MOVZ = 5, 1 << 30  # the first bit of a move's immediate; what movz has and movn has not

IMAGE_TABLES = frozenset({"asan_globals", "hwasan_globals"})
"""Sections in which a run-time library finds what an image itself defines: of a kept variable, the patch's own copy."""

PC_RELATIVE = frozenset({r.R_AARCH64_PREL64, r.R_AARCH64_PREL32, r.R_AARCH64_PREL16})
"""A distance to the symbol, as unwind tables have it: to a function, its trampoline will do."""

PAIRS = {
    r.R_AARCH64_ADR_PREL_PG_HI21: r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_ADR_PREL_PG_HI21_NC: r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_ADD_ABS_LO12_NC: r.R_AARCH64_LDST64_ABS_LO12_NC,
}
"""``adrp``+``add``, the address itself -> ``adrp``+``ldr`` of the slot."""

INDIRECT = (
    "another image may have the one that the process uses, and only a load through the GOT can be led to where the "
    "loader put its address; compile with -fPIC and take it in code, or link the host with -Bsymbolic"
)

UNREACHED = (
    "no one instruction reaches so far into the variable, or at a place that is no multiple of the access's size; "
    "declare it with default visibility and compile with -fPIC (clang: also -fno-direct-access-external-data)"
)

ADVICE = {
    **dict.fromkeys(r.BRANCHES, "the host's is no code: declare it in the patch as the host has it"),
    **dict.fromkeys((*NEAR_PAGES, *NEAR_OFFSETS), UNREACHED),
    r.R_AARCH64_ADR_PREL_LO21: "the instruction there is no adr",
    r.R_AARCH64_LD_PREL_LO19: "the tiny code model loads it from within 1 MiB, and the host is out of its reach; "
    "compile with -mcmodel=small",
    **dict.fromkeys((r.R_AARCH64_GOTREL64, r.R_AARCH64_GOTREL32), "it counts from the GOT, where a slot cannot be"),
    **dict.fromkeys(
        range(r.R_AARCH64_MOVW_SABS_G0, r.R_AARCH64_MOVW_SABS_G2 + 1),
        "a runtime address has 48 bits, of which these signed moves hold less; compile with -fPIC -mcmodel=small",
    ),
    **dict.fromkeys(
        (*MOVES, r.R_AARCH64_MOVW_PREL_G3),
        "the move there is another one, or does not hold the whole address; compile with -mcmodel=small",
    ),
    **dict.fromkeys(
        (
            *(r.R_AARCH64_PREL64, r.R_AARCH64_PREL32, r.R_AARCH64_PREL16),
            *range(r.R_AARCH64_MOVW_PREL_G0, r.R_AARCH64_MOVW_PREL_G2_NC + 1),
        ),
        "how far the host's data is from the patch is not known before it is loaded; use its address",
    ),
    **dict.fromkeys(
        (r.R_AARCH64_ABS32, r.R_AARCH64_ABS16), "a runtime address does not fit its field; use a pointer-sized word"
    ),
    **dict.fromkeys(
        range(r.R_AARCH64_TLSGD_ADR_PREL21, r.R_AARCH64_TLSLD_ADD_LO12_NC + 1),
        "this general- or local-dynamic form calls __tls_get_addr; compile with -mtls-dialect=desc",
    ),
    **dict.fromkeys(
        range(r.R_AARCH64_TLSLD_MOVW_DTPREL_G2, r.R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC + 1),
        "this local-dynamic form counts from the patch's own thread-locals; compile with -ftls-model=global-dynamic",
    ),
}
"""Codes that cannot be bound, or not everywhere -> why, and the compiler flag that helps."""

OWN_THREAD_LOCAL = (
    "a library's thread-locals lie at no constant distance from the thread pointer, and this access cannot be "
    "rewritten; compile with -fPIC (rustc: -C relocation-model=pic)"
)


MERGED = "_MergedGlobals"
"""What LLVM calls several variables that it laid together; -fdata-sections gives them one section."""
TYPE_INFO, TYPE_NAME = b"_ZTI", b"_ZTS"
"""Itanium C++ ABI 5.1.4.1: how the names of a type's information and of its name's string begin."""
GRANULE = 16
"""HWASan: bytes that have one tag; a variable has whole ones to itself."""
TYPE_NAME_AT = 8
"""Itanium C++ ABI 2.9.5: byte offset in a type's information of the pointer to its name."""


def bind_object(image: Image, binder: Binder) -> BoundObject:
    """The bound copy of one object."""
    assert isinstance(image, ElfImage)  # noqa: S101  # bind() pairs them
    if image.file.symbols is None:  # some members of C libraries have neither code nor symbols
        return BoundObject(image.name, bytes(image.file.view.data), changed=False)
    editor = ObjectEditor(image.file)
    _protect_own(editor)
    run = ElfRun(editor, binder, _bindable(editor, binder))
    if run.bindable:
        run.bind(editor.tables)
    run.rewrite_own()
    content = editor.finish()
    return BoundObject(image.name, content, content != bytes(image.file.view.data))


_SEEN = frozenset({c.STB_GLOBAL, c.STB_WEAK, c.STB_GNU_UNIQUE})
"""Bindings of symbols that others see."""


def _protect_own(editor: ObjectEditor) -> None:
    """Bind what the object defines to itself.

    A host that exports the old version of a changed function would be found first by the loader, and the patch
    would go on calling it. A unique one, as g++ makes of every static variable of an inline function, is one for the
    whole process: the first that was loaded. Nor can code made for an executable (-fPIE) name a symbol that may bind
    elsewhere.
    """
    symbols = editor.symbols
    columns = zip(symbols.st_shndx, symbols.st_info, symbols.st_other, strict=True)
    for index, (shndx, info, other) in enumerate(columns):
        if info >> 4 in _SEEN and shndx != c.SHN_UNDEF and not other & 3:
            editor.protect(index)


def _bindable(editor: ObjectEditor, binder: Binder) -> dict[int, Bindable]:
    """Symbol index -> what it stands for, for the object's references to the host."""
    symbols = editor.symbols
    undefined, kept = _undefined(symbols, binder), _kept(symbols, binder.targets)
    return undefined | kept | (_section_labels(editor, kept) if kept else {})


def _undefined(symbols: Symbols, binder: Binder) -> dict[int, Bindable]:
    """The symbols that the object leaves to the host."""
    found = {}
    targets, meanings = binder.targets, binder.meanings
    for index, shndx in enumerate(symbols.st_shndx):
        if shndx == c.SHN_UNDEF and index:
            spelling = symbols.name(index)
            name = meanings.get(spelling, spelling)
            target = targets.get(name)
            if target is not None:
                found[index] = Bindable(name, target)
    return found


def _kept(symbols: Symbols, targets: Mapping[bytes, Target]) -> dict[int, Bindable]:
    """The object's own variables that are the host's."""
    found: dict[int, Bindable] = {}
    kept = {name for name, target in targets.items() if target.kept}
    if not kept:
        return found
    for index, (name, shndx) in enumerate(zip(symbols.names(), symbols.st_shndx, strict=True)):
        if name in kept and shndx != c.SHN_UNDEF and _is_variable(symbols, index):
            target = targets.get(name)
            if target is not None:
                found[index] = Bindable(name, target)
    return found


def _section_labels(editor: ObjectEditor, kept: Mapping[int, Bindable]) -> dict[int, Bindable]:
    """The labels of sections in which all variables are kept, and lie as they do in the host.

    A variable that has its section to itself is also meant by that section's symbol, which is how compilers name
    local variables. So are thread-locals that lie in their section as they do in the host: GCC reaches several from
    one anchor. What has no name may lie beside a variable: tables of jumps, vectors (``.rodata.cst16``), literals.
    """
    symbols = editor.symbols
    owners: dict[int, int] = {}
    for index in kept:
        owners.setdefault(symbols.st_shndx[index], index)
    offsets = _variable_offsets(symbols, owners)
    distances: dict[int, dict[int, int]] = {section: {} for section in owners}
    for index, known in kept.items():
        offset = symbols.st_value[index] & UNTAGGED
        distances[symbols.st_shndx[index]][offset] = known.target.value - offset
    alike = {
        section: owner
        for section, owner in owners.items()
        if _is_laid_out_alike(kept[owner].target.kind, offsets[section], distances[section])
        and (kept[owner].target.kind is Kind.THREAD_LOCAL or _fills_section(editor, owner))
    }
    return {
        index: kept[alike[shndx]]._replace(base=symbols.st_value[index] - (symbols.st_value[alike[shndx]] & UNTAGGED))
        for index, shndx in enumerate(symbols.st_shndx)
        if shndx in alike and _is_label(symbols, index)
    }


def _fills_section(editor: ObjectEditor, index: int) -> bool:
    """Whether a variable is all that its section has, or is of assembly that says no size; a common has none.

    HWASan fills a variable that it tags up to whole granules.
    """
    symbols = editor.symbols
    value, size = symbols.st_value[index], symbols.st_size[index]
    is_tagged = value != value & UNTAGGED
    number = symbols.st_shndx[index]
    if number == symbols.common:
        return False
    length = editor.file.sections[number].header.sh_size
    return not size or (not value & UNTAGGED and length == (align_up(size, GRANULE) if is_tagged else size))


def _variable_offsets(symbols: Symbols, sections: Collection[int]) -> dict[int, set[int]]:
    """Section -> the byte offsets of the variables in it."""
    found: dict[int, set[int]] = {section: set() for section in sections}
    for index, shndx in enumerate(symbols.st_shndx):
        if shndx in found and _is_variable(symbols, index):
            found[shndx].add(symbols.st_value[index] & UNTAGGED)
    return found


def _is_laid_out_alike(kind: Kind, offsets: Set[int], distances: Mapping[int, int]) -> bool:
    """Whether the variables at *offsets* of a section all lie in the host as they do there.

    *distances*: offset -> how far off the host's is, in bytes, for those that are kept. Only thread-locals of one
    object lie side by side in the host for sure.
    """
    alone = len(offsets) == 1 or kind is Kind.THREAD_LOCAL
    return alone and offsets <= distances.keys() and len(set(distances.values())) == 1


def _is_variable(symbols: Symbols, index: int) -> bool:
    kind = symbols.st_info[index] & 0xF
    return kind in (c.STT_OBJECT, c.STT_COMMON, c.STT_TLS) and not _is_label(symbols, index)


def _is_label(symbols: Symbols, index: int) -> bool:
    """Whether a symbol stands for a section, or a position in it, and not for a variable: ``.LANCHOR0``, ``$d``."""
    kind = symbols.st_info[index] & 0xF
    local_label = kind == c.STT_TLS and symbols.name(index).startswith((b".L", b"$"))
    return kind in (c.STT_SECTION, c.STT_NOTYPE) or local_label


class ElfRun(Run[ObjectEditor, Table]):
    """Binding one ELF object."""

    slot_loads = SLOT_LOADS
    pairs = PAIRS
    addition = r.R_AARCH64_ADD_ABS_LO12_NC
    kinds = r.NAMES

    @cached_property
    def detours(self) -> Detours:
        """What local-exec accesses become where no constant answers them."""
        return Detours(self.editor)

    def symbols_of(self, table: Table) -> Sequence[int]:
        """Likewise, without those that are added meanwhile: the relocations of a detour mean a slot already."""
        return table.symbol[:]

    def site(self, table: Table, index: int, symbol: int, known: Bindable) -> Site[Table]:
        name, target, base = known
        addend = table.r_addend[index] + base
        return Site(table, index, table.r_offset[index], symbol, name, target, table.kind[index], addend)

    def is_loaded(self, table: Table) -> bool:
        return bool(table.target.header.sh_flags & c.SHF_ALLOC)

    def is_undefined(self, symbol: int) -> bool:
        return self.editor.symbols.st_shndx[symbol] == c.SHN_UNDEF

    def is_pointer(self, site: Site[Table]) -> bool:
        return site.kind == r.R_AARCH64_ABS64

    def write_pointer(self, site: Site[Table]) -> None:
        self.write_address(site, site.addend)

    def reaches_trampoline(self, site: Site[Table]) -> bool:
        if site.kind in PC_RELATIVE:
            return not site.target.has_table
        return site.kind in r.BRANCHES or site.table.target.name == ".eh_frame"

    def function_name(self, name: bytes) -> bytes:
        return plain_name(name)

    def why_not(self, site: Site[Table]) -> str:
        if site.target.indirect:
            return INDIRECT
        return ADVICE.get(site.kind, "no rule binds this relocation")

    @cached_property
    def _kept(self) -> dict[int, dict[bytes, None]]:
        """Section -> the variables that are kept of it."""
        kept: dict[int, dict[bytes, None]] = {}
        for symbol, (name, target, _) in self.bindable.items():
            if target.kept and not self.is_undefined(symbol) and not name.startswith(TYPE_NAME):
                kept.setdefault(self.editor.symbols.st_shndx[symbol], {})[name] = None
        return kept

    def refuse_unproven(self, table: Table) -> None:
        """Refuse what reaches a kept variable by way of a section that it shares with others.

        Compilers name local variables by section and offset. GCC's section anchors and LLVM's merged globals
        then reach several variables from one address, and which one an access means cannot be proven.
        """
        kept = self._kept
        if not kept or not self.is_loaded(table):
            return
        unproven: dict[int, list[int]] = {}  # section -> the relocations that count from it
        for index, symbol in enumerate(table.symbol):
            home = self.editor.symbols.st_shndx[symbol]
            if symbol not in self.bindable and home in kept and _is_label(self.editor.symbols, symbol):
                unproven.setdefault(home, []).append(index)
        for home, indexes in unproven.items():
            more = f" and {len(indexes) - 1} more" if len(indexes) > 1 else ""
            first = indexes[0]
            constant = {name: self.binder.targets[name].constant for name in kept[home]}
            variables = [name for name in kept[home] if not constant[name]]
            for name in (*filter(constant.get, constant), *variables[-1:]):
                self.refuse(table, table.r_offset[first], table.kind[first], name, self._why_unproven(home), more)

    def walk(self, table: Table) -> None:
        """Likewise, and let types have the host's names: what points to one is known by where it lies."""
        self._refuse_folded_names(table)
        for number, known in self._type_names(table):
            self.write_number(table, number, table.r_offset[number], known.target.value)
        if not self.bindable.keys().isdisjoint(table.symbol):
            super().walk(table)

    @cached_property
    def _names_of_types(self) -> dict[tuple[int, int], Bindable]:
        """Section and byte offset of the object's names of types that are the host's -> what they stand for."""
        symbols = self.editor.symbols
        return {
            (symbols.st_shndx[index], symbols.st_value[index]): known
            for index, known in self.bindable.items()
            if known.name.startswith(TYPE_NAME) and not self.is_undefined(index) and not _is_label(symbols, index)
        }

    def _refuse_folded_names(self, table: Table) -> None:
        """Refuse code that takes a type's name by its section: compilers fold ``typeid(T)`` where they know T.

        The name would be the patch's own there, and the host's wherever run-time type information says it.
        """
        if not self._names_of_types or not table.target.header.sh_flags & c.SHF_EXECINSTR:
            return
        symbols = self.editor.symbols
        for number, symbol in enumerate(table.symbol):
            if symbol in self.bindable or not _is_label(symbols, symbol) or table.kind[number] not in PAIRS:
                continue
            offset = symbols.st_value[symbol] + table.r_addend[number]
            known = self._names_of_types.get((symbols.st_shndx[symbol], offset)) or self._names_of_types.get(
                (symbols.st_shndx[symbol], offset - 1)  # behind the asterisk of GCC's local types
            )
            if known is not None:
                where = f"{self.editor.name}: {table.target.name}+{table.r_offset[number]:#x}"
                reason = "a type is told by the address of its name, and this is not the host's; compile with"
                self.binder.refusals.append(
                    f"{where}: {r.NAMES[table.kind[number]]} against {as_text(known.name)}: {reason} -fdata-sections"
                )

    def _type_names(self, table: Table) -> Iterator[tuple[int, Bindable]]:
        """The relocations by which types point to names that are the host's, and those names.

        A local name has a label for its section where it shares it with others.
        """
        symbols, home, places = self.editor.symbols, table.target.number, self._names_of_types
        if not places:
            return
        infos = {
            symbols.st_value[index] + TYPE_NAME_AT
            for index, shndx in enumerate(symbols.st_shndx)
            if shndx == home and symbols.name(index).startswith(TYPE_INFO)
        }
        for number, symbol in enumerate(table.symbol):
            if symbol in self.bindable or table.r_offset[number] not in infos or number in table.dropped:
                continue
            place = symbols.st_shndx[symbol], symbols.st_value[symbol] + table.r_addend[number]
            if table.kind[number] == r.R_AARCH64_ABS64 and _is_label(symbols, symbol) and place in places:
                yield number, places[place]

    def _why_unproven(self, home: int) -> str:
        """Why no label of section *home* tells which variable is meant."""
        section = self.editor.file.sections[home]
        if section.header.sh_flags & c.SHF_TLS:
            return (
                f"it counts from {section.name}, which is laid out otherwise in the host; compile with "
                f"-fno-section-anchors"
            )
        option = "-fdata-sections"
        if MERGED in section.name:
            option = "-mno-global-merge (rustc: -C llvm-args=-enable-global-merge=false)"
        return f"it counts from {section.name}, which holds more than this variable; compile with {option}"

    def bind_address(self, site: Site[Table]) -> bool:
        if site.table.target.name in IMAGE_TABLES and site.target.kept and not self.is_undefined(site.symbol):
            return True
        if site.target.indirect:
            return self._bind_indirect(site)
        if site.kind in MOVES:
            return self._bind_move(site, MOVES[site.kind], site.addend)
        if site.kind == r.R_AARCH64_MOVW_PREL_G3:
            return self._bind_move(site, _TAG, 0)
        if site.kind in LITERAL_LOADS:
            return self._bind_literal(site)
        return super().bind_address(site)

    def bind_near(self, site: Site[Table]) -> bool:
        if site.kind in NEAR_PAGES and self.word(site) & PAGE_MASK == PAGE:
            self.write_word(site, LITERAL | self.word(site) & DESTINATION)
            self.to_slot(site, r.R_AARCH64_LD_PREL_LO19, addend=self.bases.get(site.name, 0))
            return True
        if site.kind not in NEAR_OFFSETS or access_scale(self.word(site)) != NEAR_OFFSETS[site.kind]:
            return False
        word = self.with_offset(site)
        if word is None:
            return False
        self.write_word(site, word)
        site.table.drop(site.number)
        return True

    def _bind_indirect(self, site: Site[Table]) -> bool:
        """Make a load through the patch's GOT one through the host's, by the address of the word there.

        ``adrp`` loads that whole address from a slot within 1 MiB, so what follows needs no offset, whichever ``adrp``
        it follows.
        """
        word = self.word(site)
        if site.kind == r.R_AARCH64_ADR_GOT_PAGE and word & PAGE_MASK == PAGE and not site.addend:
            self.write_word(site, LITERAL | word & DESTINATION)
            self.to_slot(site, r.R_AARCH64_LD_PREL_LO19)
            return True
        if site.kind == r.R_AARCH64_LD64_GOT_LO12_NC and word & ~REGISTERS == LOAD and not site.addend:
            site.table.drop(site.number)
            return True
        return False

    def _bind_literal(self, site: Site[Table]) -> bool:
        """Make an instruction that has the whole address by itself load it from a slot."""
        known = LITERAL_LOADS[site.kind]
        if self.word(site) & known.mask != known.word:
            return False
        self.write_word(site, LITERAL | self.word(site) & DESTINATION)
        self.to_slot(site, r.R_AARCH64_LD_PREL_LO19)
        return True

    def _bind_move(self, site: Site[Table], move: Move, addend: int) -> bool:
        """Write 16 bits of the address plus *addend* bytes into a move."""
        word, address = self.word(site), site.target.value + addend
        wanted = _MOVE | move.shift // 16 << _HALFWORD_AT
        if (
            word & (_MOVE_MASK | 3 << _HALFWORD_AT) != wanted
            or address < 0
            or (move.checked and address >> move.shift + 16)
        ):
            return False
        self.write_word(site, word & ~(0xFFFF << _MOVE_AT) | (address >> move.shift & 0xFFFF) << _MOVE_AT)
        site.table.drop(site.number)
        return True

    def find_pairs(self, tables: Iterable[Table]) -> set[bytes]:
        """Nor may one ``adrp`` go with the page of another part of the same symbol, whose slot may lie elsewhere.

        A page that nothing is added to is meant itself, as assembly has it of what begins a page.
        """
        paired: set[bytes] = set()
        others: set[bytes] = set()
        pages: dict[bytes, set[int]] = {}
        additions: dict[bytes, set[int]] = {}
        for table in tables:
            if self.bindable.keys().isdisjoint(table.symbol):
                continue
            for index, symbol in enumerate(table.symbol):
                if symbol not in self.bindable:
                    continue
                (name, _, base), kind = self.bindable[symbol], table.kind[index]
                if kind == self.addition and not self.is_addition(table, table.r_offset[index]):
                    others.add(name)
                elif kind in PAIRS:
                    paired.add(name)
                    addends = additions if kind == self.addition else pages
                    addends.setdefault(name, set()).add(table.r_addend[index] + base)
                elif kind in NEAR_OFFSETS or kind == r.R_AARCH64_MOVW_PREL_G3:
                    others.add(name)
        others.update(name for name in paired if not set() < additions.get(name, set()) <= pages.get(name, set()))
        return paired - others

    def find_offsets(self, tables: Iterable[Table]) -> Iterator[tuple[bytes, tuple[int, int]]]:
        for table in tables:
            if NEAR_OFFSETS.keys().isdisjoint(table.kind):
                continue
            for index, symbol in enumerate(table.symbol):
                if symbol in self.bindable and table.kind[index] in NEAR_OFFSETS:
                    name, _, base = self.bindable[symbol]
                    word = self.editor.word(table.target, table.r_offset[index])
                    yield name, (word, table.r_addend[index] + base)

    def bind_thread_local(self, site: Site[Table]) -> bool:
        through_host = site.target.slot_kind is SlotKind.HOST_DESCRIPTOR
        if site.kind == r.R_AARCH64_TLSDESC_CALL:
            site.table.drop(site.number)
        elif site.kind in THREAD_LOADS:
            slot_kind, kind = THREAD_LOADS[site.kind]
            if through_host and slot_kind is SlotKind.THREAD_OFFSET:
                return self._load_from_host(site)
            self.to_slot(site, kind, SlotKind.HOST_DESCRIPTOR if through_host else slot_kind)
        elif site.kind not in r.LOCAL_EXEC:
            return False
        elif through_host:
            base = site.addend - site.table.r_addend[site.number]
            return self.detours.rewrite(site.table, site.number, self._descriptor(site, base))
        else:
            return self._bind_thread_move(site) if site.kind in THREAD_MOVES else self._bind_thread_immediate(site)
        return True

    def _load_from_host(self, site: Site[Table]) -> bool:
        """Bind an initial-exec load, for which no constant holds the offset."""
        if site.kind in INITIAL_EXEC:
            return self.detours.load(site.table, site.number, self._descriptor(site, site.addend))
        site.table.drop(site.number)
        return True

    def _descriptor(self, site: Site[Table], addend: int) -> Descriptor:
        """The slot with a descriptor of the host's variable plus *addend* bytes."""
        return Descriptor(self.slot_symbol(site, site.target.slot_kind, addend), OF_SLOT)

    def rewrite_own(self) -> None:
        """Rewrite local-exec accesses to thread-locals of the patch's own, in whichever object they are."""
        for table in self.editor.tables:
            if r.LOCAL_EXEC.isdisjoint(table.kind):
                continue
            for index, symbol in enumerate(list(table.symbol)):
                if table.kind[index] not in r.LOCAL_EXEC or symbol in self.bindable:
                    continue
                if not self.detours.rewrite(table, index, Descriptor(symbol, OF_LINKER)):
                    name = self._title(symbol)
                    self.refuse(table, table.r_offset[index], table.kind[index], name, OWN_THREAD_LOCAL)

    def _title(self, symbol: int) -> bytes:
        """The name of *symbol*; of one that stands for a section, the section's."""
        name = self.editor.symbols.name(symbol)
        home = self.editor.symbols.st_shndx[symbol]
        return name or (self.editor.file.sections[home].name.encode() if home < len(self.editor.file.sections) else b"")

    def _bind_thread_immediate(self, site: Site[Table]) -> bool:
        """Write the thread offset's bits into a local-exec instruction."""
        shift, scale, limit = THREAD_IMMEDIATES[site.kind]
        offset = site.target.value + site.addend
        if offset < 0 or (limit and offset >= limit) or (offset >> shift) % (1 << scale):
            return False
        self._write_immediate(site, (offset >> shift) % IMMEDIATE_LIMIT >> scale)
        return True

    def _bind_thread_move(self, site: Site[Table]) -> bool:
        """Write 16 bits of the thread offset into an instruction that moves them into a register."""
        shift, _, limit = THREAD_MOVES[site.kind]
        offset, word = site.target.value + site.addend, self.word(site)
        opens = MOVE.fits(word)
        if offset < 0 or (limit and offset >= limit) or opens is not bool(limit) or not (opens or KEEP.fits(word)):
            return False
        word = word & ~(0xFFFF << MOVED_AT) | (offset >> shift & 0xFFFF) << MOVED_AT
        self.write_word(site, word | MOVZ if opens else word)
        site.table.drop(site.number)
        return True

    def _write_immediate(self, site: Site[Table], immediate: int) -> None:
        """Put *immediate* into the instruction; nothing is left for the linker to do there."""
        self.write_word(site, self.word(site) & ~((IMMEDIATE_LIMIT - 1) << IMMEDIATE_AT) | immediate << IMMEDIATE_AT)
        site.table.drop(site.number)
