"""Slots: the constants in the stub object that bound copies read, and the book that is kept of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.symbols.placed import LITERAL_PREFIX
from stubgen.symbols.versions import known_name, plain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.image import Image

SLOT_PREFIX = b"__stubgen_slot."

_SYMBOL = rb"(?s)__stubgen_(?:slot|literal)\.(?P<name>.*?)(?P<mark>\.tlsdesc|\.tlshost)?(?P<addend>[+-]\d+)?\Z"


MARKS = {SlotKind.DESCRIPTOR: b".tlsdesc", SlotKind.HOST_DESCRIPTOR: b".tlshost"}
"""What the symbols of TLS descriptors have behind the name."""
SIZES = {b"": 8, b".tlsdesc": 16, b".tlshost": 24}
"""Mark -> bytes of the slot."""


def parse_symbol(symbol: bytes) -> tuple[bytes, int, int]:
    """What the symbol of a slot says: the host symbol, the bytes added to it, the slot's size in bytes."""
    import re

    match = re.match(_SYMBOL, symbol)
    if match is None:
        return symbol, 0, 8
    return known_name(match["name"]), int(match["addend"] or 0), SIZES[match["mark"] or b""]


class Slot(Row):
    """A constant in the stub object."""

    symbol: bytes
    kind: SlotKind
    value: int  # bytes; a descriptor's words but the first, as one number
    name: bytes  # the host symbol that it stands for


def slots_of(image: Image) -> Iterator[tuple[bytes, int]]:
    """Symbol and virtual address of every constant that bound copies read, in a linked patch."""
    yield from image.named(SLOT_PREFIX)
    yield from image.named(LITERAL_PREFIX)


class BoundObject(Row):
    """One object of the patch."""

    name: str  # the file, an archive's member as archive(member)
    content: bytes
    changed: bool  # whether it differs from the original
    image: Image | None = None  # the content, once it was read back
    wrote_code: bool = False  # whether sections of code differ


class Binder:
    """What one run of the bind phase collects: the slots, and the references that cannot be expressed."""

    def __init__(
        self,
        targets: Mapping[bytes, Target],
        meanings: Mapping[bytes, bytes] | None = None,
        exported: Collection[bytes] = (),
        weak: Collection[bytes] = (),
    ) -> None:
        self.targets = targets
        self.weak = weak
        """Mach-O: the names of the weak definitions of all objects."""
        self.exported = set(exported)
        """What the caller will look up in the patch and no object so far defines."""
        self.meanings = meanings or {}
        """Undefined symbol -> the one that the linker looks for instead."""
        self.slots: dict[bytes, Slot] = {}
        self.refusals: list[str] = []
        self.own_constants: set[bytes] = set()
        """Constants that the host has alike, and that some reference could only mean as the patch's own."""

    def slot(self, name: bytes, target: Target, kind: SlotKind, addend: int) -> bytes:
        """The symbol of the slot for *name* plus *addend* bytes, which will be in the stub object."""
        mark = MARKS.get(kind, b"")
        symbol = SLOT_PREFIX + plain_name(name) + mark + (b"%+d" % addend if addend else b"")
        value = (target.value + addend) % (1 << 64) | target.descriptor << 64
        slot = Slot(symbol, kind, value, name)
        if self.slots.setdefault(symbol, slot) != slot:  # a symbol that is spelled like another one's slot
            self.refuse("the stub object", "the slot's name", name, f"it is also {self.slots[symbol].name!r}'s")
        return symbol

    def refuse(self, where: str, relocation: str, name: bytes, reason: str) -> None:
        """Note a reference that cannot be expressed."""
        target = self.targets.get(name)
        if target is not None and target.constant:
            self.own_constants.add(name)
            return
        symbol = as_text(name)
        self.refusals.append(f"{where}: {relocation} against {symbol}: {reason}")
