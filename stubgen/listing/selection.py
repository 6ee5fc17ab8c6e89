"""What of a file somebody asks for: by name, by address, by kind; in which order."""

from __future__ import annotations

from functools import cached_property

from stubgen.common.text import as_text
from stubgen.listing.files import Opened
from stubgen.listing.patch import FoundSlot
from stubgen.listing.symbols import KINDS, Listed, Wanted, chosen, ordered
from stubgen.stub.find import Stub
from stubgen.stub.trampoline import template

CHOICES = (*KINDS, "stub", "slot")
"""What ``--kind`` takes."""


class Selection:
    """What of one file is wanted.

    Args:
        opened: the file.
        wanted: what is asked for; empty: everything.
        order: a key of :data:`~stubgen.listing.symbols.ORDERS`; None for the file's.
    """

    def __init__(self, opened: Opened, wanted: Wanted, order: str | None) -> None:
        self.opened = opened
        self.wanted = wanted
        self.order = order

    @cached_property
    def symbols(self) -> list[Listed]:
        """The symbols, those of stubs and slots too."""
        if self.wanted.kinds and not set(self.wanted.kinds) & set(KINDS):
            return []
        found = chosen(self.opened.symbols, self.wanted) if self.wanted else self.opened.symbols
        return ordered(found, self.order)

    @cached_property
    def stubs(self) -> list[Stub]:
        """The stubs; an address may be a stub's own, or the one that it branches to."""
        if self.wanted.kinds and "stub" not in self.wanted.kinds:
            return []
        address, found = self.wanted.address, self.opened.stubs
        if self.wanted.glob is not None:
            matches = self.wanted.matcher()
            found = [stub for stub in found if matches(as_text(stub.name))]
        if address is not None:
            found = [s for s in found if s.target == address or 0 <= address - s.address < len(template(s.bti).code)]
        return sorted(found, key=lambda stub: stub.name) if self.order == "name" else found

    @cached_property
    def slots(self) -> list[FoundSlot]:
        """The slots, likewise."""
        if self.wanted.kinds and "slot" not in self.wanted.kinds:
            return []
        address, found = self.wanted.address, self.opened.slots
        if self.wanted.glob is not None:
            matches = self.wanted.matcher()
            found = [slot for slot in found if matches(as_text(slot.name))]
        if address is not None:
            found = [slot for slot in found if slot.value == address or 0 <= address - slot.address < slot.size]
        return sorted(found, key=lambda slot: slot.name) if self.order == "name" else found

    @cached_property
    def others(self) -> list[Listed]:
        """The symbols, but for those of stubs and slots."""
        stubs = {stub.address for stub in self.opened.stubs}
        slots = {slot.symbol for slot in self.opened.slots}
        if not stubs and not slots:
            return self.symbols
        return [
            symbol
            for symbol in self.symbols
            if not (symbol.traits.kind == "function" and symbol.address in stubs) and symbol.name not in slots
        ]

    def __bool__(self) -> bool:
        return bool(self.symbols or self.stubs or self.slots)
