"""How each ARM64 Mach-O relocation to a host symbol is bound. Twin of ``bind.elf``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cached_property
from typing import NamedTuple

from stubgen.bind.run import Bindable, Run, Site
from stubgen.common.aarch64 import ADD, DESTINATION, LITERAL, LITERAL_REACH, LOAD, PAGE, PAGE_MASK, REGISTERS
from stubgen.image import Image
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.editor import ObjectEditor, Table
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder, BoundObject
from stubgen.symbols.placed import LITERAL_PREFIX

SLOT_LOADS = {
    r.ARM64_RELOC_GOT_LOAD_PAGE21: r.ARM64_RELOC_PAGE21,
    r.ARM64_RELOC_GOT_LOAD_PAGEOFF12: r.ARM64_RELOC_PAGEOFF12,
}
"""A reference to the symbol's GOT entry -> the same to its slot."""

DIRECT = SLOT_LOADS
"""Likewise, to the same of the symbol itself, with an ``add`` for the ``ldr``."""

THREAD_LOADS = {
    r.ARM64_RELOC_TLVP_LOAD_PAGE21: r.ARM64_RELOC_PAGE21,
    r.ARM64_RELOC_TLVP_LOAD_PAGEOFF12: r.ARM64_RELOC_PAGEOFF12,
}
"""A load of a thread-local's descriptor -> the same from a slot that holds the host's own descriptor's address."""

UNWIND_SECTIONS = frozenset({"__LD,__compact_unwind", "__TEXT,__eh_frame"})
"""Linkers give these a meaning of their own; a personality function is reached through its trampoline."""

PAIRS = {
    r.ARM64_RELOC_PAGE21: r.ARM64_RELOC_PAGE21,
    r.ARM64_RELOC_PAGEOFF12: r.ARM64_RELOC_PAGEOFF12,
}
"""``adrp``+``add``, the address itself -> ``adrp``+``ldr`` of the slot."""

INDIRECT = (
    "another image may have the one that the process uses, and only a load through the GOT, from a constant behind the "
    "code, can be led to where dyld put its address; give it hidden visibility in the host"
)

LARGE = "compile with -mcmodel=large (rustc: -C code-model=large)"
"""What lets code load each variable's address from the GOT."""

ADVICE = {
    r.ARM64_RELOC_PAGE21: f"the code is more than 1 MiB, too far from a constant behind it; {LARGE}",
    r.ARM64_RELOC_PAGEOFF12: "no one instruction reaches so far into the variable, or at a place that is no multiple "
    f"of the access's size; {LARGE}",
    r.ARM64_RELOC_UNSIGNED: "a runtime address does not fit its field; use a pointer-sized word",
    r.ARM64_RELOC_SUBTRACTOR: "how far the host's data is from the patch is not known before it is loaded",
    r.ARM64_RELOC_POINTER_TO_GOT: "it needs a GOT entry of its own, which only the linker can make",
}
"""Codes that cannot be bound, or not everywhere -> why, and what helps."""


def bind_object(image: Image, binder: Binder) -> BoundObject:
    """The bound copy of one object."""
    assert isinstance(image, MachOImage)  # noqa: S101  # bind() pairs them
    if image.file.symbols is None:  # some members of C libraries have neither code nor symbols
        return BoundObject(image.name, bytes(image.file.view.data), changed=False)
    editor = ObjectEditor(image.file)
    bindable = _bindable(editor, binder.targets)
    own = _make_own(editor, binder) | _anothers_own(editor, binder)
    _reach_own(editor, own - bindable.keys())
    if bindable:
        MachORun(editor, binder, bindable).bind(editor.tables)
    content = editor.finish()
    return BoundObject(image.name, content, content != bytes(image.file.view.data))


def _make_own(editor: ObjectEditor, binder: Binder) -> set[int]:
    """Make the object's weak definitions the patch's own; their symbols.

    dyld gives all images one of each weak definition that they export, the first that was loaded: the host's old one.
    One that the caller will look up becomes strong, in the first object that has it.
    """
    symbols, own = editor.symbols, set()
    for index, n_type in enumerate(symbols.n_type):
        if n_type & c.N_STAB or n_type & c.N_TYPE != c.N_SECT or not symbols.n_desc[index] & c.N_WEAK_DEF:
            continue
        if not n_type & c.N_EXT:
            continue
        own.add(index)
        name = symbols.name(index)
        if name in binder.exported and not n_type & c.N_PEXT:
            binder.exported.remove(name)
            editor.make_strong(index)
        else:
            editor.make_private(index)
    return own


def _anothers_own(editor: ObjectEditor, binder: Binder) -> set[int]:
    """The object's references to the weak definitions of other objects of the patch, which are the patch's own too."""
    undefined = range(len(editor.symbols.n_type)) if binder.weak else ()
    return {i for i in undefined if _is_undefined(editor, i) and editor.symbols.name(i) in binder.weak}


def _reach_own(editor: ObjectEditor, own: Set[int]) -> None:
    """Take the addresses of the symbols *own* without the GOT, whose entries zig's linker binds by name."""
    loads = [
        (table, index)
        for table in editor.tables
        for index in range(len(table))
        if table.kind(index) in DIRECT and table.symbol(index) in own
    ]
    words = {(id(table), index): editor.word(table.target, table.r_address[index]) for table, index in loads}
    others = {
        table.symbol(index)
        for table, index in loads
        if words[id(table), index] & ~REGISTERS != LOAD and table.kind(index) == r.ARM64_RELOC_GOT_LOAD_PAGEOFF12
    }
    for table, index in loads:
        symbol, kind, offset = table.symbol(index), table.kind(index), table.r_address[index]
        if symbol in others:
            continue
        if kind == r.ARM64_RELOC_GOT_LOAD_PAGEOFF12:
            word = ADD | words[id(table), index] & REGISTERS
            editor.overwrite(table.target, offset, word.to_bytes(4, "little"))
        table.change(index, kind=DIRECT[kind], symbol=symbol)
        editor.forget_hints(table.target, offset)


def _bindable(editor: ObjectEditor, targets: Mapping[bytes, Target]) -> dict[int, Bindable]:
    """Symbol index -> what it stands for, for the object's references to the host."""
    found = {}
    for index, n_type in enumerate(editor.symbols.n_type):
        if n_type & c.N_STAB:
            continue
        name = editor.symbols.name(index)
        target = targets.get(name)
        if target is not None and (_is_undefined(editor, index) or target.kept):
            found[index] = Bindable(name, target)
    return found


def _is_undefined(editor: ObjectEditor, index: int) -> bool:
    return editor.symbols.n_type[index] & c.N_TYPE == c.N_UNDF and not editor.symbols.n_value[index]


def _is_debug(table: Table) -> bool:
    return bool(table.target.header.flags & c.S_ATTR_DEBUG) and table.target.name not in UNWIND_SECTIONS


class _OtherNames(NamedTuple):
    """What else than its own symbol may mean a kept variable -> the variable."""

    symbols: dict[int, bytes]  # that begin at or inside it
    sections: dict[int, bytes]  # ordinals


def _other_names(editor: ObjectEditor, bindable: Mapping[int, Bindable]) -> _OtherNames:
    symbols = editor.symbols
    found = _OtherNames({}, {})
    kept = {
        index: name  # a common is in no section, whatever its n_sect says
        for index, (name, target, _) in bindable.items()
        if target.kept and symbols.n_type[index] & c.N_TYPE == c.N_SECT
    }
    if not kept:
        return found
    defined = sorted(
        (symbols.n_sect[index], symbols.n_value[index], index)
        for index, n_type in enumerate(symbols.n_type)
        if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT
    )
    positions = {index: position for position, (_, _, index) in enumerate(defined)}
    for owner, name in kept.items():
        section, start, _ = defined[positions[owner]]
        found.sections[section] = name
        position = bisect_left(defined, (section, start, 0))
        while position < len(defined):
            home, address, index = defined[position]
            if home != section or (address > start and not symbols.n_desc[index] & c.N_ALT_ENTRY):
                break
            if index not in bindable:
                found.symbols[index] = name
            position += 1
    return found


class MachORun(Run[ObjectEditor, Table]):
    """Binding one Mach-O object."""

    slot_loads = SLOT_LOADS
    pairs = PAIRS
    addition = r.ARM64_RELOC_PAGEOFF12
    kinds = r.NAMES

    def __init__(self, editor: ObjectEditor, binder: Binder, bindable: Mapping[int, Bindable]) -> None:
        super().__init__(editor, binder, bindable)
        self.literals: dict[tuple[int, bytes], int] = {}
        self.other_names = _other_names(editor, bindable)

    @cached_property
    def why_not_grown(self) -> str:
        """Why no constant can be put behind the object's code; empty if one can."""
        return self.editor.growth_obstacle()

    def symbols_of(self, table: Table) -> Iterator[int]:
        return map(table.symbol, range(len(table)))

    def site(self, table: Table, index: int, symbol: int, known: Bindable) -> Site[Table]:
        name, target, _ = known
        modifier = _modifier(table, index)
        addend = table.addend(index - 1) if modifier == r.ARM64_RELOC_ADDEND else 0
        offset, kind = table.r_address[index], table.kind(index)
        return Site(table, index, offset, symbol, name, target, kind, addend, modifier)

    def is_loaded(self, table: Table) -> bool:
        return not _is_debug(table)

    def is_undefined(self, symbol: int) -> bool:
        return _is_undefined(self.editor, symbol)

    def is_pointer(self, site: Site[Table]) -> bool:
        return site.kind == r.ARM64_RELOC_UNSIGNED and site.table.length(site.number) == 3

    def write_pointer(self, site: Site[Table]) -> None:
        """What is added to the address stands in place."""
        addend = int.from_bytes(self.editor.read(site.table.target, site.offset, 8), "little")
        self.write_address(site, addend)

    def reaches_trampoline(self, site: Site[Table]) -> bool:
        return (
            site.kind in (r.ARM64_RELOC_BRANCH26, r.ARM64_RELOC_POINTER_TO_GOT, r.ARM64_RELOC_SUBTRACTOR)
            or site.modifier == r.ARM64_RELOC_SUBTRACTOR
            or site.table.target.name in UNWIND_SECTIONS
        )

    def bind_address(self, site: Site[Table]) -> bool:
        if site.target.indirect:
            return self._bind_indirect(site)
        if site.modifier:
            return not site.target.constant and self.bind_near(site)
        return super().bind_address(site)

    def _bind_indirect(self, site: Site[Table]) -> bool:
        """Make a load through the patch's GOT one through the host's, from a constant behind the code."""
        word = self.word(site)
        if site.modifier or self.why_not_grown:
            return False
        if site.kind == r.ARM64_RELOC_GOT_LOAD_PAGE21 and word & PAGE_MASK == PAGE:
            distance = self._literal(site) - site.offset
            if distance >= LITERAL_REACH:
                return False
            self.write_word(site, LITERAL | distance // 4 << 5 | word & DESTINATION)
        elif site.kind != r.ARM64_RELOC_GOT_LOAD_PAGEOFF12 or word & ~REGISTERS != LOAD:
            return False
        site.table.drop(site.number)
        self.editor.forget_hints(site.table.target, site.offset)
        return True

    def bind_thread_local(self, site: Site[Table]) -> bool:
        if site.kind not in THREAD_LOADS or site.modifier:
            return False
        self.to_slot(site, THREAD_LOADS[site.kind])
        return True

    def to_slot(
        self, site: Site[Table], kind: int, slot_kind: SlotKind = SlotKind.ADDRESS, addend: int | None = None
    ) -> None:
        """Likewise; hints about the instruction no longer hold."""
        super().to_slot(site, kind, slot_kind, addend)
        self.editor.forget_hints(site.table.target, site.offset)

    def refuse_unproven(self, table: Table) -> None:
        """Refuse what may reach a kept variable under another name, or by its section alone.

        An object's symbols keep its variables apart, unless one lies inside another (N_ALT_ENTRY) or two share an
        address; which one an access means cannot be proven then.
        """
        if not self.other_names.sections or _is_debug(table) or table.target.name in UNWIND_SECTIONS:
            return
        for index in range(len(table)):
            by_symbol = self.other_names.symbols.get(table.symbol(index))
            kept = by_symbol or self.other_names.sections.get(table.section(index))
            if kept is not None:
                by = "another name of it" if by_symbol else "its section alone"
                reason = f"{by} is used, so that other variables may be meant; compile with -mno-global-merge"
                self.refuse(table, table.r_address[index], table.kind(index), kept, reason)

    def why_not(self, site: Site[Table]) -> str:
        if site.target.indirect:
            return INDIRECT
        if site.modifier == r.ARM64_RELOC_SUBTRACTOR:
            return ADVICE[site.modifier]
        if site.kind in PAIRS and self.why_not_grown:
            return f"no constant can be put behind the code: {self.why_not_grown}; {LARGE}"
        return ADVICE.get(site.kind, "no rule binds this relocation")

    def bind_near(self, site: Site[Table]) -> bool:
        """Likewise; Mach-O has no relocation for a literal load.

        So the constant lies at the end of the same section, which the linker then keeps whole.
        """
        word = self._near_word(site)
        if word is None:
            return False
        self.write_word(site, word)
        site.table.drop(site.number)
        if site.modifier:
            site.table.drop(site.number - 1)
        self.editor.forget_hints(site.table.target, site.offset)
        return True

    def _near_word(self, site: Site[Table]) -> int | None:
        """The instruction that reaches the host's instead; None where there is none."""
        word = self.word(site)
        if site.modifier == r.ARM64_RELOC_SUBTRACTOR or self.why_not_grown:
            return None
        if site.kind == r.ARM64_RELOC_PAGE21 and word & PAGE_MASK == PAGE:
            distance = self._literal(site) - site.offset
            return LITERAL | distance // 4 << 5 | word & DESTINATION if distance < LITERAL_REACH else None
        return self.with_offset(site) if site.kind == r.ARM64_RELOC_PAGEOFF12 else None

    def _literal(self, site: Site[Table]) -> int:
        """Byte offset, in the section of *site*, of a constant that holds its symbol's address, or one in it."""
        section = site.table.target
        if (section.ordinal, site.name) not in self.literals:
            base = self.bases.get(site.name, 0)
            value = (site.target.value + base) % (1 << 64)
            offset = self.editor.grow(section, value.to_bytes(8, "little"))
            mark = b"%+d" % base if base else b""
            self.editor.add_local(LITERAL_PREFIX + site.name + mark, section, offset)
            self.literals[section.ordinal, site.name] = offset
        return self.literals[section.ordinal, site.name]

    def find_pairs(self, tables: Iterable[Table]) -> set[bytes]:
        """Nor is a page that nothing is added to: it is meant itself."""
        found: dict[int, set[bytes]] = {kind: set() for kind in PAIRS}
        others: set[bytes] = set()
        for table in tables:
            for index, symbol in enumerate(self.symbols_of(table)):
                kind = table.kind(index)
                if symbol in self.bindable and kind in PAIRS:
                    plain = kind == r.ARM64_RELOC_PAGE21 or self.is_addition(table, table.r_address[index])
                    names = found[kind] if plain and not _modifier(table, index) else others
                    names.add(self.bindable[symbol].name)
        return set.intersection(*found.values()) - others

    def find_offsets(self, tables: Iterable[Table]) -> Iterator[tuple[bytes, tuple[int, int]]]:
        for table in tables:
            for index, symbol in enumerate(self.symbols_of(table)):
                if symbol in self.bindable and table.kind(index) == r.ARM64_RELOC_PAGEOFF12:
                    site = self.site(table, index, symbol, self.bindable[symbol])
                    yield site.name, (self.word(site), site.addend)


def _modifier(table: Table, index: int) -> int:
    """The kind of the relocation in front when it belongs to this one (ADDEND, SUBTRACTOR), else 0."""
    if index and table.kind(index - 1) in (r.ARM64_RELOC_ADDEND, r.ARM64_RELOC_SUBTRACTOR):
        return table.kind(index - 1)
    return 0
