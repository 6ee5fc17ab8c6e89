"""Binding one object: what both formats do alike. Their tables say what becomes of each relocation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from stubgen.common.aarch64 import ADDITION, IMMEDIATE_LIMIT, LOAD, REGISTERS, access_of, with_offset
from stubgen.image import Kind
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder

BASES = 32
"""Offsets into a variable that are tried as the place that its slot points to."""


class Table(Protocol):
    """The relocations of one section, under edit."""

    target: Any  # the section that they change

    def __len__(self) -> int: ...

    def change(self, index: int, *, kind: int, symbol: int) -> None: ...

    def drop(self, index: int) -> None: ...


class Editor(Protocol):
    """A copy of an object, under edit."""

    name: str

    def word(self, section: Any, offset: int) -> int: ...

    def overwrite(self, section: Any, offset: int, content: bytes) -> None: ...

    def rename(self, symbol: int, name: bytes) -> None: ...

    def add_undefined(self, name: bytes) -> int: ...


TableT = TypeVar("TableT", bound=Table)
EditorT = TypeVar("EditorT", bound=Editor)


class Bindable(NamedTuple):
    """What a symbol of the object stands for."""

    name: bytes
    target: Target
    base: int = 0  # bytes from the target's start to where the symbol points


class Site(NamedTuple, Generic[TableT]):
    """One relocation to a host symbol, and the bytes that it changes."""

    table: TableT
    number: int  # index into the table
    offset: int  # in the section, in bytes
    symbol: int
    name: bytes
    target: Target
    kind: int  # R_AARCH64_* or ARM64_RELOC_*
    addend: int  # bytes, from the target's start
    modifier: int = 0  # Mach-O: the ADDEND or SUBTRACTOR in front of it; 0 without


def _base(accesses: Sequence[tuple[int, int]]) -> int:
    """The place in a variable, in bytes, from which all of (instruction, offset) can be expressed; 0 if none is."""
    distinct = set(accesses)
    offsets = sorted({offset for _, offset in distinct})[:BASES]
    pages = sorted({offset & -IMMEDIATE_LIMIT for offset in offsets})  # additions and subtractions count in these too
    for base in (0, *pages, *offsets):
        if all(with_offset(word, offset - base) is not None for word, offset in distinct):
            return base
    return 0


class Run(ABC, Generic[EditorT, TableT]):
    """Binding one object."""

    slot_loads: Mapping[int, int]
    """A reference to the symbol's GOT entry -> the same to its slot."""
    pairs: Mapping[int, int]
    """``adrp``+``add``, the address itself -> ``adrp``+``ldr`` of the slot."""
    addition: int
    """Of those, the relocation of the ``add``."""
    kinds: Mapping[int, str]
    """How relocations are called."""

    def __init__(self, editor: EditorT, binder: Binder, bindable: Mapping[int, Bindable]) -> None:
        self.editor = editor
        self.binder = binder
        self.bindable = bindable
        self.slot_symbols: dict[bytes, int] = {}
        self.paired: set[bytes] = set()
        """The names that the object uses directly for nothing but :attr:`pairs`."""
        self.bases: dict[bytes, int] = {}
        """Name -> bytes from its start to where its slot for direct accesses points; 0 where it is not here."""
        self.rules: dict[Kind, Callable[[Site[TableT]], bool]] = {
            Kind.FUNCTION: self.bind_function,
            Kind.DATA: self.bind_address,
            Kind.THREAD_LOCAL: self.bind_thread_local,
        }

    def bind(self, tables: Sequence[TableT]) -> None:
        """Bind every relocation, and leave no undefined symbol behind that only an address could answer."""
        self.survey(tables)
        for table in tables:
            self.refuse_unproven(table)
            self.walk(table)
        self.settle_symbols()

    def survey(self, tables: Sequence[TableT]) -> None:
        """Find out how the object as a whole reaches each symbol directly.

        An ``adrp`` in one section may serve an access in another: GCC moves what rarely runs to a section of its own.
        """
        loaded = [table for table in tables if self.is_loaded(table)]
        self.paired = self.find_pairs(loaded)
        offsets: dict[bytes, list[tuple[int, int]]] = {}
        for name, access in self.find_offsets(loaded):
            offsets.setdefault(name, []).append(access)
        self.bases = {name: _base(accesses) for name, accesses in offsets.items() if name not in self.paired}

    def walk(self, table: TableT) -> None:
        """Bind every relocation of one section."""
        loaded = self.is_loaded(table)
        for index, symbol in enumerate(self.symbols_of(table)):
            known = self.bindable.get(symbol)
            if known is None:
                continue
            if not loaded:
                if known.target.kind is Kind.DATA:  # debug information: nothing there for a linker to find
                    table.drop(index)
                continue
            site = self.site(table, index, symbol, known)
            if not self.rules[known.target.kind](site):
                self.refuse(table, site.offset, site.kind, site.name, self.why_not(site))

    def refuse(self, table: TableT, offset: int, kind: int, name: bytes, reason: str, more: str = "") -> None:
        """Note a relocation of *kind* at byte *offset* that cannot be bound."""
        where = f"{self.editor.name}: {table.target.name}+{offset:#x}{more}"
        self.binder.refuse(where, self.kinds.get(kind, f"relocation {kind}"), name, reason)

    def settle_symbols(self) -> None:
        """Rename the undefined symbols that are bound.

        An undefined symbol that no relocation names is still looked for in archives and still listed in
        the patch's dynamic symbols; under the name of its slot it is found in the stub object. Nothing reads that slot
        where each use adds bytes and so has a slot of its own: the stub object has 8 bytes too many then.
        """
        for symbol, (name, target, _) in self.bindable.items():
            if self.owns_slot(symbol, target):
                self.editor.rename(symbol, self.binder.slot(name, target, target.slot_kind, 0))
            elif target.kind is Kind.FUNCTION and self.function_name(name) != name:
                self.editor.rename(symbol, self.function_name(name))

    def bind_function(self, site: Site[TableT]) -> bool:
        """Bind a use of a function: its trampoline answers what only branches there."""
        return self.reaches_trampoline(site) or self.bind_address(site)

    def bind_address(self, site: Site[TableT]) -> bool:
        """Bind a use of the symbol's address."""
        if self.is_pointer(site):
            self.write_pointer(site)
        elif site.kind in self.slot_loads:
            self.to_slot(site, self.slot_loads[site.kind])
        elif site.kind in self.pairs and site.name in self.paired:
            if site.kind == self.addition:
                self.write_word(site, LOAD | self.word(site) & REGISTERS)
            self.to_slot(site, self.pairs[site.kind])
        else:
            return not site.target.constant and self.bind_near(site)
        return True

    def to_slot(
        self, site: Site[TableT], kind: int, slot_kind: SlotKind = SlotKind.ADDRESS, addend: int | None = None
    ) -> None:
        """Turn a relocation to the slot of its symbol plus *addend* bytes (by default the relocation's own)."""
        addend = site.addend if addend is None else addend
        site.table.change(site.number, kind=kind, symbol=self.slot_symbol(site, slot_kind, addend))

    def slot_symbol(self, site: Site[TableT], slot_kind: SlotKind, addend: int) -> int:
        """Index of the symbol of the slot for *site*'s symbol plus *addend* bytes."""
        slot = self.binder.slot(site.name, site.target, slot_kind, addend)
        if slot_kind is site.target.slot_kind and not addend and self.owns_slot(site.symbol, site.target):
            self.slot_symbols.setdefault(slot, site.symbol)
        elif slot not in self.slot_symbols:
            self.slot_symbols[slot] = self.editor.add_undefined(slot)
        return self.slot_symbols[slot]

    def owns_slot(self, symbol: int, target: Target) -> bool:
        """Whether *symbol* itself is renamed to its slot: nothing else in the object can need it."""
        return target.kind is not Kind.FUNCTION and self.is_undefined(symbol)

    def write_address(self, site: Site[TableT], addend: int) -> None:
        """Write the target's address plus *addend* bytes in place of a pointer; the relocation goes."""
        self.write_number(site.table, site.number, site.offset, site.target.value + addend)

    def write_number(self, table: TableT, number: int, offset: int, value: int) -> None:
        """Write *value* at byte *offset*, where relocation *number* wants a pointer; that goes."""
        self.editor.overwrite(table.target, offset, (value % (1 << 64)).to_bytes(8, "little"))
        table.drop(number)

    def word(self, site: Site[TableT]) -> int:
        """The instruction there."""
        return self.editor.word(site.table.target, site.offset)

    def write_word(self, site: Site[TableT], word: int) -> None:
        """Put another instruction there."""
        self.editor.overwrite(site.table.target, site.offset, word.to_bytes(4, "little"))

    def is_addition(self, table: TableT, offset: int) -> bool:
        """Whether the instruction at byte *offset* is an ``add`` that the linker fills in, and nothing else."""
        return access_of(self.editor.word(table.target, offset)) is ADDITION

    def with_offset(self, site: Site[TableT]) -> int | None:
        """The instruction there with a plain offset from what its symbol's slot holds; None where there is none."""
        return with_offset(self.word(site), site.addend - self.bases[site.name])

    def function_name(self, name: bytes) -> bytes:
        """What the stub object calls the trampoline of *name*."""
        return name

    @abstractmethod
    def symbols_of(self, table: TableT) -> Iterable[int]:
        """The symbol of each relocation."""

    @abstractmethod
    def site(self, table: TableT, index: int, symbol: int, known: Bindable) -> Site[TableT]:
        """Relocation *index*, which names *symbol*."""

    @abstractmethod
    def is_loaded(self, table: TableT) -> bool:
        """Whether the section will be in memory; debug information will not."""

    @abstractmethod
    def is_undefined(self, symbol: int) -> bool:
        """Whether the object uses *symbol* and does not define it."""

    @abstractmethod
    def is_pointer(self, site: Site[TableT]) -> bool:
        """Whether a pointer-sized word of data holds the address."""

    @abstractmethod
    def write_pointer(self, site: Site[TableT]) -> None:
        """Write that word in place."""

    @abstractmethod
    def reaches_trampoline(self, site: Site[TableT]) -> bool:
        """Whether a function's trampoline will do there."""

    @abstractmethod
    def bind_near(self, site: Site[TableT]) -> bool:
        """Bind a direct access, made as if the host were near; whether that could be done.

        ``adrp`` becomes a literal load of one address, the same for all of the object's direct accesses to the symbol,
        and the page offsets of what is behind it become plain offsets from there: no pairing has to be proven.
        """

    @abstractmethod
    def bind_thread_local(self, site: Site[TableT]) -> bool:
        """Bind a use of a thread-local; whether that could be done."""

    @abstractmethod
    def find_pairs(self, tables: Iterable[TableT]) -> set[bytes]:
        """The names whose page the object uses for nothing but ``adrp``+``add``.

        One ``adrp`` may serve several instructions: were one of them a load or store with the symbol's page
        offset in it, that one would read the slot's neighbourhood.
        """

    @abstractmethod
    def find_offsets(self, tables: Iterable[TableT]) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Name, and (instruction, bytes from the name's start), of what adds the page offset of a host symbol."""

    @abstractmethod
    def refuse_unproven(self, table: TableT) -> None:
        """Refuse what may mean a kept variable or another one beside it."""

    @abstractmethod
    def why_not(self, site: Site[TableT]) -> str:
        """Why no rule binds the relocation, and what helps."""
