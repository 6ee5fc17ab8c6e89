"""The verify phase: from the finished bytes, every stub is where it should be and branches where it should."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stubgen.binary import StringTable, progression
from stubgen.errors import VerificationRefusal
from stubgen.image import Image, Role
from stubgen.images import open_image
from stubgen.trampoline import decode, template

if TYPE_CHECKING:
    from stubgen.emit import StubObject


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in a sound stub object."""

    names: Sequence[bytes]
    targets: array[int]  # runtime addresses that the stubs branch to, as Capstone reads them
    bti: bool
    slots: dict[bytes, int]
    """Slot's symbol -> the constant in it."""


def verify(stub: StubObject) -> Verified:
    """Read *stub*'s bytes back and hold them against what it should define.

    Raises:
        VerificationRefusal: a name or a target differs; the message says which.
        MalformedInput: the object's structure is broken.
    """
    found = _read(stub.content, "the stub object")
    if not found.strings.holds(found.starts, stub.names):
        raise VerificationRefusal("the stub object defines other names than it should")
    verified = Verified(stub.names, _targets(found, "the stub object"), found.bti, found.slots)
    if verified.targets != stub.addresses:
        pairs = zip(verified.names, verified.targets, stub.addresses, strict=True)
        name, target, address = next(pair for pair in pairs if pair[1] != pair[2])
        raise VerificationRefusal(f"{name.decode(errors='replace')} branches to {target:#x}, not to {address:#x}")
    if verified.slots != {slot.symbol: slot.value for slot in stub.slots}:
        raise VerificationRefusal("the stub object holds other constants than it should")
    return verified


def verify_object(data: Any, name: str) -> Verified:
    """Check the structure of a stub object and decode every stub in it.

    Raises:
        VerificationRefusal: something is not as a stub object has it; the message says what.
        MalformedInput: the object's structure is broken.
    """
    found = _read(data, name)
    names = found.strings.read(found.starts)
    if len(set(names)) != len(names):
        raise VerificationRefusal(f"{name}: defines a name twice")
    return Verified(names, _targets(found, name), found.bti, found.slots)


class _Found(NamedTuple):
    """What a stub object holds, its names and its code still unread."""

    strings: StringTable
    starts: array[int]  # byte offset of each stub's name
    values: array[int]  # byte offset of each stub in the code
    code: memoryview
    bti: bool
    slots: dict[bytes, int]


def _read(data: Any, name: str) -> _Found:
    """The structure of a stub object, checked."""
    image = open_image(data, name)
    if image.role is not Role.OBJECT:
        raise VerificationRefusal(f"{name}: is a linked {image.role.value}, not a stub object; try inspect or check")
    return _READERS[image.format](image, name)


def _read_elf(image: Image, name: str) -> _Found:
    from elf import constants as c
    from stubgen.image_elf import ElfImage

    assert isinstance(image, ElfImage)  # noqa: S101  # the table below pairs them
    text, symtab = image.file.section(".text"), image.file.section_of_type(c.SHT_SYMTAB)
    symbols = image.file.symbols
    if text is None or symtab is None or symbols is None:
        raise VerificationRefusal(f"{name}: has no .text or no symbol table: it is not a stub object")
    if not image.file.section(".note.GNU-stack"):
        raise VerificationRefusal(f"{name}: has no .note.GNU-stack: the patch would get an executable stack")
    first = symtab.header.sh_info
    bti = bool(image.features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    stride = len(template(bti).code)
    stub = (c.STB_WEAK << 4 | c.STT_FUNC, c.STV_HIDDEN, text.number, stride)
    stop = len(symbols)
    while stop > first and symbols.st_shndx[stop - 1] != text.number:
        stop -= 1
    columns = (symbols.st_info, symbols.st_other, symbols.st_shndx, symbols.st_size)
    stray = _first_stray(columns, first, stop, stub)
    if stray is not None:
        what = f"{_name(symbols, stray)} is not a weak hidden function of {stride} bytes"
        raise VerificationRefusal(f"{name}: is not a stub object: {what}")
    slots: dict[bytes, int] = {}
    for index in range(stop, len(symbols)):
        section = symbols.st_shndx[index]
        if section == symbols.absolute:
            continue
        if not 0 < section < len(image.file.sections) or symbols.st_info[index] >> 4 != c.STB_GLOBAL:
            raise VerificationRefusal(f"{name}: {_name(symbols, index)} is neither a stub nor a slot")
        content = image.file.content(image.file.sections[section])
        end = symbols.st_value[index] + symbols.st_size[index]  # a descriptor's offset is its second half
        if symbols.st_size[index] not in (8, 16) or end > len(content):
            raise VerificationRefusal(f"{name}: slot {_name(symbols, index)} is not 8 or 16 bytes of its section")
        slots[symbols.name(index)] = int.from_bytes(content[end - 8 : end], "little")
    starts, values = symbols.st_name[first:stop], symbols.st_value[first:stop]
    return _Found(symbols.strings, starts, values, image.file.content(text), bti, slots)


def _read_macho(image: Image, name: str) -> _Found:
    from macho import constants as c
    from stubgen.image_macho import MachOImage

    assert isinstance(image, MachOImage)  # noqa: S101  # the table below pairs them
    text, symbols, ranges = image.file.section("__TEXT,__text"), image.file.symbols, image.file.dysymtab
    if text is None or symbols is None or ranges is None:
        raise VerificationRefusal(f"{name}: has no __TEXT,__text or no symbol table: it is not a stub object")
    if not image.file.header.flags & c.MH_SUBSECTIONS_VIA_SYMBOLS:
        raise VerificationRefusal(f"{name}: lacks MH_SUBSECTIONS_VIA_SYMBOLS")
    first, count = ranges[2], ranges[3]
    if first + count > len(symbols):
        raise VerificationRefusal(f"{name}: LC_DYSYMTAB counts more symbols than LC_SYMTAB")
    stop = first + count
    while stop > first and symbols.n_sect[stop - 1] != text.ordinal:
        stop -= 1
    stub = (c.N_SECT | c.N_EXT | c.N_PEXT, text.ordinal, c.N_WEAK_DEF)
    stray = _first_stray((symbols.n_type, symbols.n_sect, symbols.n_desc), first, stop, stub)
    if stray is not None:
        raise VerificationRefusal(
            f"{name}: is not a stub object: {_name(symbols, stray)} is not a weak private function in __text"
        )
    slots: dict[bytes, int] = {}
    for index in range(stop, first + count):
        ordinal = symbols.n_sect[index]
        if not 0 < ordinal <= len(image.file.sections) or symbols.n_type[index] != c.N_SECT | c.N_EXT | c.N_PEXT:
            raise VerificationRefusal(f"{name}: {_name(symbols, index)} is neither a stub nor a slot")
        section = image.file.sections[ordinal - 1]
        start = symbols.n_value[index] - section.header.addr
        if not 0 <= start <= section.header.size - 8:
            raise VerificationRefusal(f"{name}: slot {_name(symbols, index)} is not 8 bytes of its section")
        slots[symbols.name(index)] = int.from_bytes(image.file.content(section)[start : start + 8], "little")
    starts, values = symbols.n_strx[first:stop], symbols.n_value[first:stop]
    return _Found(symbols.strings, starts, values, image.file.content(text), False, slots)


_READERS = {"elf": _read_elf, "macho": _read_macho}


def _first_stray(columns: Sequence[Sequence[int]], first: int, stop: int, expected: Sequence[int]) -> int | None:
    """Index of the first symbol whose fields are not *expected*; whole columns are compared at once."""
    strays = []
    for column, value in zip(columns, expected, strict=True):
        held = column[first:stop]
        if isinstance(held, array):
            same = held == array(held.typecode, [value]) * len(held)
        else:
            same = held.count(value) == len(held)
        if not same:
            strays += [index for index, field in enumerate(held, start=first) if field != value][:1]
    return min(strays, default=None)


def _targets(found: _Found, name: str) -> array[int]:
    """Where the stubs go: one symbol a stub, in order, nothing between them; and every stub decodes."""
    stride, count = len(template(found.bti).code), len(found.starts)
    if found.values != progression("Q", count, stride) or len(found.code) != stride * count:
        raise VerificationRefusal(f"{name}: its symbols and its code do not pair up one stub to one name")
    return decode(found.code, bti=found.bti)


def _name(symbols: Any, index: int) -> str:
    return str(symbols.name(index).decode("utf-8", "replace"))
