"""How each ARM64 Mach-O relocation to a host symbol is bound. Twin of ``bind_elf``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from macho import constants as c
from macho import relocations as r
from macho.editor import ObjectEditor, Table
from stubgen.image import Image, Kind
from stubgen.image_macho import MachOImage
from stubgen.slots import Binder, BoundObject
from stubgen.verdicts import Form, Target

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

_ADD = 0x91000000  # add xd, xn, #0 (Arm ARM, ADD (immediate), 64-bit)
_LOAD = 0xF9400000  # ldr xd, [xn] (Arm ARM, LDR (immediate), 64-bit, unsigned offset)
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


class _Run:
    """Binding one object."""

    def __init__(self, editor: ObjectEditor, binder: Binder, bindable: dict[int, tuple[bytes, Target]]) -> None:
        self.editor = editor
        self.binder = binder
        self.bindable = bindable
        self.slot_symbols: dict[bytes, int] = {}
        self.paired: set[bytes] = set()
        self.rules: dict[Kind, Callable[[_Place], bool]] = {
            Kind.FUNCTION: self._function,
            Kind.DATA: self._address,
            Kind.THREAD_LOCAL: self._thread_local,
        }

    def walk(self, table: Table) -> None:
        """Bind every relocation of one section."""
        self.paired = self._paired(table)
        debug = table.target.header.flags & c.S_ATTR_DEBUG and table.target.name not in UNWIND_SECTIONS
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
                code = place.modifier if place.modifier == r.ARM64_RELOC_SUBTRACTOR else place.kind
                reason = ADVICE.get(code, "no rule binds this relocation")
                where = f"{self.editor.file.name}: {table.target.name}+{place.offset:#x}"
                self.binder.refuse(where, r.NAMES.get(place.kind, f"relocation {place.kind}"), name, reason)

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
            return False
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
            return False
        return True

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
