"""What stubgen put into a file: stubs, slots, the variables that are kept by them; and where the rest comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stubgen.common.row import Row
from stubgen.errors import MalformedInput
from stubgen.image import FileType, Image
from stubgen.listing.symbols import Listed
from stubgen.stub.find import Stub, find_stubs
from stubgen.stub.slots import SLOT_PREFIX, parse_symbol
from stubgen.symbols.placed import LITERAL_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.origin.sources import Source

SLOT_KINDS = {8: "constant", 16: "TLS descriptor", 24: "TLS descriptor of the host's"}
"""Bytes of a slot -> what it is; a constant is an address, or an offset from the thread pointer."""


class FoundSlot(Row):
    """A constant that bound copies read."""

    symbol: bytes
    name: bytes  # what it stands for
    addend: int  # bytes added to that
    section: str
    address: int  # as of a symbol
    size: int  # bytes
    value: int | None  # its last word: an address, an offset or a distance; None where the file has no bytes there
    kept: bool  # the patch defines a variable of that name too, and its code uses the one that this leads to


def slots(image: Image, symbols: Sequence[Listed]) -> list[FoundSlot]:
    """The slots among *symbols*, those of *image*."""
    prefixes = (SLOT_PREFIX, LITERAL_PREFIX)
    named = [symbol for symbol in symbols if symbol.name.startswith(prefixes) and symbol.traits.defined]
    if not named:
        return []
    own = {s.name for s in symbols if s.traits.defined and s.traits.kind in ("data", "thread-local", "common")}
    found = []
    for symbol in named:
        name, addend, size = parse_symbol(symbol.name)
        raw = _bytes_at(image, symbol, size)
        value = int.from_bytes(raw[-8:], "little") if raw else None
        place = symbol.address or 0
        found.append(FoundSlot(symbol.name, name, addend, symbol.traits.section, place, size, value, name in own))
    return found


def stubs(image: Image) -> list[Stub]:
    """Its stubs; the words that this Capstone has read before are not read again."""
    from stubgen.stub.facts import LibraryFacts

    return find_stubs(image, LibraryFacts.of_user())


def origins(image: Image, found: Sequence[Stub]) -> list[tuple[Source, int]]:
    """What kind of input the definitions of a linked patch come from, and how many do."""
    from stubgen.origin.account import Inputs, make_account

    account = make_account(image, Inputs(), {}, [stub.address for stub in found])
    return Counter(definition.origin.source for definition in account.definitions).most_common()


def _bytes_at(image: Image, symbol: Listed, size: int) -> bytes:
    """The bytes of a slot of *size* bytes; none where the file has none."""
    if symbol.address is None:
        return b""
    if image.format == "elf" and image.file_type is FileType.OBJECT:
        from stubgen.image.elf import ElfImage

        assert isinstance(image, ElfImage)  # noqa: S101  # by its format
        section = image.file.sections[symbol.traits.number]
        return bytes(image.file.content(section)[symbol.address : symbol.address + size])
    try:
        return bytes(image.read_at(symbol.address, size, "a slot"))
    except MalformedInput:  # of a crafted file
        return b""
