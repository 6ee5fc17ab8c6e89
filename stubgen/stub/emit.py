"""The emit phase: the stub object's bytes.

Each stub is weak, so that a library kept on the link line may define the same name and win, and hidden
(private extern), so that calls bind at link time and nothing is left for the dynamic loader.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stubgen.common.columns import column_bytes, progression
from stubgen.errors import InputError
from stubgen.resolve.verdicts import SlotKind
from stubgen.stub.trampoline import descriptor_resolver, encode, template

if TYPE_CHECKING:
    from stubgen.macho.reader import BuildVersion
    from stubgen.resolve.needed import Needed
    from stubgen.resolve.resolution import StubColumns
    from stubgen.stub.slots import Slot

_TEXT, _RESOLVER = 1, 2
"""Symbol indexes of the ELF stub object's section symbols: the stubs' code, the TLS descriptors' resolver."""


@dataclass(frozen=True, slots=True)
class StubObject:
    """A relocatable object that defines the stubs."""

    content: bytes
    format: str  # "elf" or "macho"
    names: Sequence[bytes]
    addresses: array[int]  # runtime, one a name
    bti: bool
    slots: Sequence[Slot] = ()


def emit(
    stubs: StubColumns,
    needed: Needed,
    *,
    slots: Sequence[Slot] = (),
    host_features: int = 0,
    bti: str = "auto",
    build_version: BuildVersion | None = None,
) -> StubObject:
    """The object that defines *stubs*.

    Args:
        stubs: what it defines beside slots.
        needed: the patch's objects: their format, what they ask of the linker, their platforms.
        slots: the constants that bound copies read.
        host_features: GNU_PROPERTY_AARCH64_FEATURE_1_* bits of the host (ELF).
        bti: "auto" begins each stub with ``bti c`` when the host or a patch object carries the property;
            "on" and "off" decide.
        build_version: the host's platform and minimum OS (Mach-O); else the patch objects' own is copied.

    Raises:
        InputError: neither host nor patch says which Apple platform they are for.
        FieldOverflow: the object outgrows its format.
    """
    if needed.format == "macho":
        platform = _platform(needed, build_version)
        return emit_macho(stubs.names, stubs.addresses, platform, slots=slots)
    from stubgen.elf.constants import GNU_PROPERTY_AARCH64_FEATURE_1_BTI as BTI

    features = host_features | needed.features
    wanted = {"auto": bool(features & BTI), "on": True, "off": False}[bti]
    return emit_elf(
        stubs.names,
        stubs.addresses,
        slots=slots,
        features=needed.features & ~BTI | (BTI if wanted else 0),
        absolute_names=stubs.absolute_names,
        absolute_addresses=stubs.absolute_addresses,
        absolute_hidden=stubs.absolute_visibility == "hidden",
    )


def _platform(needed: Needed, host: BuildVersion | None) -> BuildVersion:
    """The host's platform with the lowest minimum OS around: a higher one makes linkers warn."""
    known = [*([host] if host else []), *needed.platforms]
    if not known:
        raise InputError(
            f"{needed.inputs[0]}: neither the host nor the patch says which Apple platform it is for "
            f"(LC_BUILD_VERSION), and the linker needs to know"
        )
    return min(known, key=lambda version: version.minos)


def emit_elf(
    names: Sequence[bytes],
    addresses: array[int],
    *,
    slots: Sequence[Slot] = (),
    features: int = 0,
    absolute_names: Sequence[bytes] = (),
    absolute_addresses: Sequence[int] = (),
    absolute_hidden: bool = False,
) -> StubObject:
    """An ELF object with one trampoline for each name.

    Args:
        names: symbol names, without duplicates.
        addresses: array ``Q`` of runtime addresses.
        slots: constants to define beside them: addresses and thread offsets in ``.rodata``, TLS descriptors,
            which need a RELATIVE relocation for their resolver, in ``.data.rel.ro``.
        features: GNU_PROPERTY_AARCH64_FEATURE_1_* bits for ``.note.gnu.property``; with BTI each stub begins
            with ``bti c``. The linker ANDs the bits of all its inputs, so an object without the note
            silently strips them from the patch.
        absolute_names: names of SHN_ABS symbols to define beside them.
        absolute_addresses: their values.
        absolute_hidden: give those hidden visibility instead of default.
    """
    from stubgen.elf import constants as c
    from stubgen.elf.relocations import R_AARCH64_ABS64, Relocations
    from stubgen.elf.unwind import leaf_frames
    from stubgen.elf.writer import Object, Section, SymbolColumns, property_note, write

    bti = bool(features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    stride = len(template(bti).code)
    code = encode(addresses, bti=bti)
    constants = [slot for slot in slots if slot.kind is not SlotKind.DESCRIPTOR]
    descriptors = [slot for slot in slots if slot.kind is SlotKind.DESCRIPTOR]
    resolver = descriptor_resolver(bti) if descriptors else b""
    frames, frame_relocations = leaf_frames({_TEXT: len(code), _RESOLVER: len(resolver)})
    sections = [
        Section(".text", c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_EXECINSTR, code, 4),
        Section(".eh_frame", c.SHT_PROGBITS, c.SHF_ALLOC, frames, 8, frame_relocations),
        Section(".note.GNU-stack", c.SHT_PROGBITS, 0, b""),
    ]
    if features:
        sections.append(Section(".note.gnu.property", c.SHT_NOTE, c.SHF_ALLOC, property_note(features), 8))
    # The code's sections, and where code and data start (AAELF64, "Mapping symbols").
    local = [(b"", c.STT_SECTION, 1), (b"$x", c.STT_NOTYPE, 1), (b"$d", c.STT_NOTYPE, 2)]
    hidden = partial(SymbolColumns, st_info=c.STB_GLOBAL << 4 | c.STT_OBJECT, st_other=c.STV_HIDDEN)
    groups = [
        SymbolColumns(
            names=names,
            st_info=c.STB_WEAK << 4 | c.STT_FUNC,
            st_other=c.STV_HIDDEN,
            st_shndx=1,
            st_value=progression("Q", len(names), stride),
            st_size=stride,
        )
    ]
    if constants:
        values = column_bytes(array("Q", [slot.value for slot in constants]))
        sections.append(Section(".rodata", c.SHT_PROGBITS, c.SHF_ALLOC, values, 8))
        local.append((b"$d", c.STT_NOTYPE, len(sections)))
        places = range(0, 8 * len(constants), 8)
        symbols = [slot.symbol for slot in constants]
        groups.append(hidden(names=symbols, st_shndx=len(sections), st_value=places, st_size=8))
    if descriptors:
        count = len(descriptors)
        values = column_bytes(array("Q", [word for slot in descriptors for word in (0, slot.value)]))
        places = range(0, 16 * count, 16)
        to_resolver = Relocations(places, [_RESOLVER] * count, [R_AARCH64_ABS64] * count, [0] * count)
        writable = c.SHF_ALLOC | c.SHF_WRITE
        sections.append(Section(".data.rel.ro", c.SHT_PROGBITS, writable, values, 16, to_resolver))
        local.append((b"$d", c.STT_NOTYPE, len(sections)))
        symbols = [slot.symbol for slot in descriptors]
        groups.append(hidden(names=symbols, st_shndx=len(sections), st_value=places, st_size=16))
        sections.append(Section(".text.tlsdesc", c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_EXECINSTR, resolver, 4))
        local.insert(_RESOLVER - 1, (b"", c.STT_SECTION, len(sections)))
        local.append((b"$x", c.STT_NOTYPE, len(sections)))
    groups.append(
        SymbolColumns(
            names=absolute_names,
            st_info=c.STB_WEAK << 4 | c.STT_OBJECT,
            st_other=c.STV_HIDDEN if absolute_hidden else c.STV_DEFAULT,
            st_shndx=c.SHN_ABS,
            st_value=absolute_addresses,
        )
    )
    columns = SymbolColumns(
        names=[name for name, _, _ in local],
        st_info=[kind for _, kind, _ in local],
        st_shndx=[section for _, _, section in local],
    )
    content = write(Object(sections, columns, groups), "the stub object")
    return StubObject(content, "elf", names, addresses, bti, tuple(slots))


def emit_macho(
    names: Sequence[bytes],
    addresses: array[int],
    build_version: BuildVersion,
    *,
    slots: Sequence[Slot] = (),
) -> StubObject:
    """A Mach-O object with one trampoline for each name.

    Args:
        names: symbol names with their leading underscore, without duplicates.
        addresses: array ``Q`` of runtime addresses.
        build_version: platform and minimum OS; a simulator link fails without the right platform.
        slots: constants to define beside them, in ``__TEXT,__const``.
    """
    from stubgen.macho import constants as c
    from stubgen.macho.unwind import leaf_frames
    from stubgen.macho.writer import Object, Section, SymbolColumns, section_addresses, write

    stride = len(template(bti=False).code)
    code = encode(addresses)
    places = progression("Q", len(names), stride)
    entries, entry_relocations = leaf_frames(places, stride, text_ordinal=1)
    instructions = c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS
    sections = [Section("__TEXT", "__text", instructions, code, 2)]
    if names:
        sections.append(Section("__LD", "__compact_unwind", c.S_ATTR_DEBUG, entries, 3, entry_relocations))
    private = partial(SymbolColumns, n_type=c.N_SECT | c.N_EXT | c.N_PEXT)
    groups = [private(names=names, n_sect=1, n_desc=c.N_WEAK_DEF, n_value=places)]
    if slots:
        values = column_bytes(array("Q", [slot.value for slot in slots]))
        sections.append(Section("__TEXT", "__const", c.S_REGULAR, values, 3))
        start = section_addresses(sections)[-1]
        homes = range(start, start + 8 * len(slots), 8)
        groups.append(private(names=[slot.symbol for slot in slots], n_sect=len(sections), n_value=homes))
    content = write(Object(sections, build_version, defined_symbols=groups), "the stub object")
    return StubObject(content, "macho", names, addresses, bti=False, slots=tuple(slots))
