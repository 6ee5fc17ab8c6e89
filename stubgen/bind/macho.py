"""How each ARM64 Mach-O relocation to a host symbol is bound. Twin of ``bind_elf``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from stubgen.image import Image, Kind
from stubgen.image.macho import MachOImage
from stubgen.macho import constants as c
from stubgen.macho import relocations as r
from stubgen.macho.editor import ObjectEditor, Table
from stubgen.resolve.verdicts import Form, Target
from stubgen.stub.slots import LITERAL_PREFIX, Binder, BoundObject

SLOT_LOADS = {
    r.ARM64_RELOC_GOT_LOAD_PAGE21: r.ARM64_RELOC_PAGE21,
    r.ARM64_RELOC_GOT_LOAD_PAGEOFF12: r.ARM64_RELOC_PAGEOFF12,
}
"""A reference to the symbol's GOT entry -> the same to its slot."""

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

ADVICE = {
    r.ARM64_RELOC_PAGE21: "the access is PC-relative and the host is out of its reach; compile without "
    "-fdirect-access-external-data and give the symbol default visibility",
    r.ARM64_RELOC_PAGEOFF12: "the access is PC-relative and the host is out of its reach; compile without "
    "-fdirect-access-external-data and give the symbol default visibility",
    r.ARM64_RELOC_UNSIGNED: "a runtime address does not fit its field; use a pointer-sized word",
    r.ARM64_RELOC_SUBTRACTOR: "how far the host's data is from the patch is not known before it is loaded",
    r.ARM64_RELOC_POINTER_TO_GOT: "it needs a GOT entry of its own, which only the linker can make",
}
"""Codes that cannot be bound -> why, and what helps."""

LARGE = "compile with -mcmodel=large (rustc: -C code-model=large)"
"""What lets code load each variable's address from the GOT."""

KEPT_ADVICE = {
    r.ARM64_RELOC_PAGE21: f"the code is more than 1 MiB, too far from a constant behind it; {LARGE}",
    r.ARM64_RELOC_PAGEOFF12: "what it reaches lies too far into the variable, or at a place that is no multiple of its "
    f"size; {LARGE}",
}
"""Likewise, for variables that the patch defines too (``--keep-state``)."""


class Access(NamedTuple):
    """An instruction that adds a page offset: which words are meant."""

    mask: int  # the bits that tell it
    word: int  # and what they are
    scale: int  # log2 bytes that its immediate counts in


ACCESSES = (
    Access(0xFFC00000, 0x91000000, 0),  # add xd, xn, #imm
    Access(0xFF800000, 0x3D800000, 4),  # str and ldr, 128-bit SIMD
    *(Access(0xFB000000, size << 30 | 0x39000000, size) for size in range(4)),  # loads and stores, 8 to 64 bits
)
"""Arm ARM C4.1, "Add/subtract (immediate)" and "Load/store register (unsigned immediate)"; the first match counts."""

_ADD = 0x91000000  # add xd, xn, #0 (Arm ARM, ADD (immediate), 64-bit)
_LOAD = 0xF9400000  # ldr xd, [xn] (Arm ARM, LDR (immediate), 64-bit, unsigned offset)
_LITERAL = 0x58000000  # ldr xt, label (Arm ARM, LDR (literal), 64-bit)
_PAGE = 0x90000000  # adrp xd, #0 (Arm ARM, ADRP)
_LITERAL_REACH = 1 << 20  # bytes; imm19 counts words, signed
_REGISTERS = 0x3FF  # xd and xn: the same bits in both


def bind_object(image: Image, binder: Binder) -> BoundObject:
    """The bound copy of one object."""
    assert isinstance(image, MachOImage)  # noqa: S101  # bind() pairs them
    if image.file.symbols is None:  # some members of C libraries have neither code nor symbols
        return BoundObject(image.name, bytes(image.file.view.data), changed=False)
    editor = ObjectEditor(image.file)
    bindable = _bindable(editor, binder)
    if not bindable:
        return BoundObject(image.name, bytes(image.file.view.data), changed=False)
    run = _Run(editor, binder, bindable)
    for table in editor.tables:
        run.refuse_other_names(table)
        run.walk(table)
    run.settle_symbols()
    content = editor.finish()
    return BoundObject(image.name, content, content != bytes(image.file.view.data))


def _bindable(editor: ObjectEditor, binder: Binder) -> dict[int, tuple[bytes, Target]]:
    """Symbol index -> (spelling, target) for the object's references to the host."""
    found = {}
    for index, n_type in enumerate(editor.symbols.n_type):
        if n_type & c.N_STAB:
            continue
        name = editor.symbols.name(index)
        target = binder.targets.get(name)
        if target is not None and (_is_undefined(editor, index) or target.kept):
            found[index] = (name, target)
    return found


def _is_undefined(editor: ObjectEditor, index: int) -> bool:
    return editor.symbols.n_type[index] & c.N_TYPE == c.N_UNDF and not editor.symbols.n_value[index]


def _is_debug(table: Table) -> bool:
    return bool(table.target.header.flags & c.S_ATTR_DEBUG) and table.target.name not in UNWIND_SECTIONS


class _OtherNames(NamedTuple):
    """What else than its own symbol may mean a kept variable -> the variable."""

    symbols: dict[int, bytes]  # that begin at or inside it
    sections: dict[int, bytes]  # ordinals


def _other_names(editor: ObjectEditor, bindable: dict[int, tuple[bytes, Target]]) -> _OtherNames:
    symbols = editor.symbols
    found = _OtherNames({}, {})
    kept = {i: name for i, (name, target) in bindable.items() if target.kept and symbols.n_sect[i]}
    if not kept:
        return found
    defined = sorted(
        (symbols.n_sect[index], symbols.n_value[index], index)
        for index, n_type in enumerate(symbols.n_type)
        if not n_type & c.N_STAB and n_type & c.N_TYPE == c.N_SECT
    )
    places = {index: position for position, (_, _, index) in enumerate(defined)}
    for owner, name in kept.items():
        section, start, _ = defined[places[owner]]
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


class _Run:
    """Binding one object."""

    def __init__(self, editor: ObjectEditor, binder: Binder, bindable: dict[int, tuple[bytes, Target]]) -> None:
        self.editor = editor
        self.binder = binder
        self.bindable = bindable
        self.slot_symbols: dict[bytes, int] = {}
        self.literals: dict[tuple[int, bytes], int] = {}
        self.other_names = _other_names(editor, bindable)
        self.paired: set[bytes] = set()
        self.rules: dict[Kind, Callable[[_Place], bool]] = {
            Kind.FUNCTION: self._function,
            Kind.DATA: self._address,
            Kind.THREAD_LOCAL: self._thread_local,
        }

    @cached_property
    def growth_obstacle(self) -> str:
        """Why no constant can be put behind the object's code; empty if one can."""
        return self.editor.growth_obstacle()

    def walk(self, table: Table) -> None:
        """Bind every relocation of one section."""
        self.paired = self._paired(table)
        debug = _is_debug(table)
        for index in range(len(table)):
            symbol = table.symbol(index)
            if symbol not in self.bindable:
                continue
            name, target = self.bindable[symbol]
            place = _Place(table, index, symbol, name, target, table.kind(index), self._modifier(table, index))
            if debug:
                if target.kind is Kind.DATA:  # debug information: nothing there for a linker to find
                    table.drop(index)
            elif not self.rules[target.kind](place):
                self._refuse(table, index, name, self._why_not(place))

    def refuse_other_names(self, table: Table) -> None:
        """Refuse what may reach a kept variable under another name, or by its section alone.

        An object's symbols keep its variables apart, unless one lies inside another (N_ALT_ENTRY) or two share an
        address; which one an access means cannot be proven then.
        """
        if not self.other_names.sections or _is_debug(table) or table.target.name in UNWIND_SECTIONS:
            return
        for index in range(len(table)):
            symbol = table.symbol(index)
            by_symbol = self.other_names.symbols.get(symbol)
            kept = by_symbol or self.other_names.sections.get(table.section(index))
            if kept is not None:
                by = "another name of it" if by_symbol else "its section alone"
                reason = f"{by} is used, so that other variables may be meant; compile with -mno-global-merge"
                self._refuse(table, index, kept, reason)

    def _refuse(self, table: Table, index: int, name: bytes, reason: str) -> None:
        where = f"{self.editor.file.name}: {table.target.name}+{table.r_address[index]:#x}"
        kind = table.kind(index)
        self.binder.refuse(where, r.NAMES.get(kind, f"relocation {kind}"), name, reason)

    def _why_not(self, place: _Place) -> str:
        """Why no rule binds *place*, and what helps."""
        if place.modifier == r.ARM64_RELOC_SUBTRACTOR:
            return ADVICE[place.modifier]
        if place.target.kept and place.kind in KEPT_ADVICE:
            if self.growth_obstacle:
                return f"no constant can be put behind the code: {self.growth_obstacle}; {LARGE}"
            return KEPT_ADVICE[place.kind]
        return ADVICE.get(place.kind, "no rule binds this relocation")

    def settle_symbols(self) -> None:
        """Leave no undefined symbol behind that only an address could answer; see the twin."""
        for symbol, (name, target) in self.bindable.items():
            if self._owns_slot(symbol, target):
                self.editor.rename(symbol, self.binder.slot(name, target, target.form, 0))

    @staticmethod
    def _modifier(table: Table, index: int) -> int:
        """The kind of the relocation in front when it belongs to this one (ADDEND, SUBTRACTOR), else -1."""
        if index and table.kind(index - 1) in (r.ARM64_RELOC_ADDEND, r.ARM64_RELOC_SUBTRACTOR):
            return table.kind(index - 1)
        return -1

    def _function(self, place: _Place) -> bool:
        through_trampoline = (
            place.kind in (r.ARM64_RELOC_BRANCH26, r.ARM64_RELOC_POINTER_TO_GOT, r.ARM64_RELOC_SUBTRACTOR)
            or place.modifier == r.ARM64_RELOC_SUBTRACTOR
            or place.table.target.name in UNWIND_SECTIONS
        )
        return through_trampoline or self._address(place)

    def _address(self, place: _Place) -> bool:
        """Bind a use of the symbol's address."""
        if place.modifier >= 0:
            return place.target.kept and self._kept(place)
        table, section = place.table, place.table.target
        if place.kind == r.ARM64_RELOC_UNSIGNED and table.length(place.number) == 3:
            addend = int.from_bytes(self.editor.read(section, place.offset, 8), "little")
            value = (place.target.value + addend) % (1 << 64)
            self.editor.overwrite(section, place.offset, value.to_bytes(8, "little"))
            table.drop(place.number)
        elif place.kind in SLOT_LOADS:
            self._to_slot(place, SLOT_LOADS[place.kind])
        elif place.kind in PAIRS and place.name in self.paired:
            if place.kind == r.ARM64_RELOC_PAGEOFF12:
                registers = self.editor.word(section, place.offset) & _REGISTERS
                self.editor.overwrite(section, place.offset, (_LOAD | registers).to_bytes(4, "little"))
            self._to_slot(place, PAIRS[place.kind])
        else:
            return place.target.kept and self._kept(place)
        return True

    def _kept(self, place: _Place) -> bool:
        """Bind a direct access to a variable of the patch's own to the host's.

        ``adrp`` becomes a literal load of the variable's full address, and the page offsets of the accesses behind
        it become plain offsets: no pairing has to be proven. Mach-O has no relocation for a literal load, so the
        constant lies at the end of the same section, which the linker then keeps whole.
        """
        table, section = place.table, place.table.target
        word = self.editor.word(section, place.offset)
        addend = table.addend(place.number - 1) if place.modifier == r.ARM64_RELOC_ADDEND else 0
        if place.modifier == r.ARM64_RELOC_SUBTRACTOR:
            return False
        if place.kind == r.ARM64_RELOC_PAGE21 and word & ~0x1F == _PAGE and not self.growth_obstacle:
            distance = self._literal(place) - place.offset
            if distance >= _LITERAL_REACH:
                return False
            word = _LITERAL | distance // 4 << 5 | word & 0x1F
        elif place.kind == r.ARM64_RELOC_PAGEOFF12:
            scale = next((access.scale for access in ACCESSES if word & access.mask == access.word), None)
            if scale is None or word >> 10 & 0xFFF:
                return False
            immediate, rest = divmod(addend, 1 << scale)
            if rest or not 0 <= immediate < 1 << 12:
                return False
            word |= immediate << 10
        else:
            return False
        self.editor.overwrite(section, place.offset, word.to_bytes(4, "little"))
        table.drop(place.number)
        if place.modifier >= 0:
            table.drop(place.number - 1)
        self.editor.forget_hints(section, place.offset)
        return True

    def _literal(self, place: _Place) -> int:
        """Byte offset, in the section of *place*, of a constant that holds the address of its symbol."""
        section = place.table.target
        if (section.ordinal, place.name) not in self.literals:
            offset = self.editor.grow(section, place.target.value.to_bytes(8, "little"))
            self.editor.add_local(LITERAL_PREFIX + place.name, section, offset)
            self.literals[section.ordinal, place.name] = offset
        return self.literals[section.ordinal, place.name]

    def _paired(self, table: Table) -> set[bytes]:
        """The symbols whose page this section uses for nothing but ``adrp``+``add``; see the twin."""
        paired: set[bytes] = set()
        others: set[bytes] = set()
        for index in range(len(table)):
            symbol, kind = table.symbol(index), table.kind(index)
            if symbol not in self.bindable or kind not in PAIRS:
                continue
            name = self.bindable[symbol][0]
            plain = kind == r.ARM64_RELOC_PAGE21 or (
                self.editor.word(table.target, table.r_address[index]) & ~_REGISTERS == _ADD
            )
            (paired if plain and self._modifier(table, index) < 0 else others).add(name)
        return paired - others

    def _thread_local(self, place: _Place) -> bool:
        if place.kind not in THREAD_LOADS or place.modifier >= 0:
            return False
        self._to_slot(place, THREAD_LOADS[place.kind])
        return True

    def _to_slot(self, place: _Place, kind: int) -> None:
        """Turn a relocation to the slot of its symbol; hints about the instruction no longer hold."""
        slot = self.binder.slot(place.name, place.target, Form.ADDRESS, 0)
        if self._owns_slot(place.symbol, place.target):
            self.slot_symbols.setdefault(slot, place.symbol)
        elif slot not in self.slot_symbols:
            self.slot_symbols[slot] = self.editor.add_undefined(slot)
        place.table.change(place.number, kind=kind, symbol=self.slot_symbols[slot])
        self.editor.forget_hints(place.table.target, place.offset)

    def _owns_slot(self, symbol: int, target: Target) -> bool:
        """Whether *symbol* itself is renamed to its slot: nothing else in the object can need it."""
        return target.kind is not Kind.FUNCTION and _is_undefined(self.editor, symbol)


class _Place(NamedTuple):
    """One relocation to a host symbol."""

    table: Table
    number: int  # index into the table
    symbol: int
    name: bytes
    target: Target
    kind: int  # ARM64_RELOC_*
    modifier: int  # the ADDEND or SUBTRACTOR in front of it; -1 without

    @property
    def offset(self) -> int:
        """Byte offset in the section."""
        return self.table.r_address[self.number]
