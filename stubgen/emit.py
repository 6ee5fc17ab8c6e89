"""The emit phase: the stub object's bytes.

Each stub is weak, so that a library kept on the link line may define the same name and win, and hidden
(private extern), so that calls bind at link time and nothing is left for the dynamic loader.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stubgen.errors import InputError
from stubgen.trampoline import encode, template

if TYPE_CHECKING:
    from macho.reader import BuildVersion
    from stubgen.resolve import Resolution


@dataclass(frozen=True, slots=True)
class StubObject:
    """A relocatable object that defines the stubs."""

    content: bytearray
    format: str  # "elf" or "macho"
    names: Sequence[bytes]
    addresses: array[int]  # runtime, one a name
    bti: bool


def emit(
    resolution: Resolution,
    *,
    host_features: int = 0,
    bti: str = "auto",
    build_version: BuildVersion | None = None,
) -> StubObject:
    """The stub object for *resolution*.

    Args:
        resolution: the verdicts.
        host_features: GNU_PROPERTY_AARCH64_FEATURE_1_* bits of the host (ELF).
        bti: "auto" begins each stub with ``bti c`` when the host or a patch object carries the property;
            "on" and "off" decide.
        build_version: the host's platform and minimum OS (Mach-O); else the patch objects' own is copied.

    Raises:
        InputError: neither host nor patch says which Apple platform they are for.
        FieldOverflow: the object outgrows its format.
    """
    needed = resolution.needed
    if needed.format == "macho":
        return emit_macho(resolution.names, resolution.addresses, _platform(resolution, build_version))
    from elf.constants import GNU_PROPERTY_AARCH64_FEATURE_1_BTI as BTI

    features = host_features | needed.features
    wanted = {"auto": bool(features & BTI), "on": True, "off": False}[bti]
    return emit_elf(
        resolution.names,
        resolution.addresses,
        features=needed.features & ~BTI | (BTI if wanted else 0),
        absolute_names=resolution.absolute_names,
        absolute_addresses=resolution.absolute_addresses,
        absolute_hidden=resolution.absolute_visibility == "hidden",
    )


def _platform(resolution: Resolution, host: BuildVersion | None) -> BuildVersion:
    """The host's platform with the lowest minimum OS around: a higher one makes linkers warn."""
    known = [*([host] if host else []), *resolution.needed.platforms]
    if not known:
        raise InputError(
            f"{resolution.needed.inputs[0]}: neither the host nor the patch says which Apple platform it is for "
            f"(LC_BUILD_VERSION), and the linker needs to know"
        )
    return min(known, key=lambda version: version.minos)


def emit_elf(
    names: Sequence[bytes],
    addresses: array[int],
    *,
    features: int = 0,
    absolute_names: Sequence[bytes] = (),
    absolute_addresses: Sequence[int] = (),
    absolute_hidden: bool = False,
) -> StubObject:
    """An ELF object with one trampoline for each name.

    Args:
        names: symbol names, without duplicates.
        addresses: array ``Q`` of runtime addresses.
        features: GNU_PROPERTY_AARCH64_FEATURE_1_* bits for ``.note.gnu.property``; with BTI each stub begins
            with ``bti c``. The linker ANDs the bits of all its inputs, so an object without the note
            silently strips them from the patch.
        absolute_names: names of SHN_ABS symbols to define beside them.
        absolute_addresses: their values.
        absolute_hidden: give those hidden visibility instead of default.
    """
    from elf import constants as c
    from elf.unwind import leaf_frames
    from elf.writer import Object, Section, SymbolColumns, property_note, write

    bti = bool(features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    stride = len(template(bti).code)
    code = encode(addresses, bti=bti)
    frame, frame_relocations = leaf_frames(len(code), text_symbol=1)
    sections = [
        Section(".text", c.SHT_PROGBITS, c.SHF_ALLOC | c.SHF_EXECINSTR, code, 4),
        Section(".eh_frame", c.SHT_PROGBITS, c.SHF_ALLOC, frame, 8, frame_relocations),
        Section(".note.GNU-stack", c.SHT_PROGBITS, 0, b""),
    ]
    if features:
        sections.append(Section(".note.gnu.property", c.SHT_NOTE, c.SHF_ALLOC, property_note(features), 8))
    stubs = SymbolColumns(
        names=names,
        st_info=c.STB_WEAK << 4 | c.STT_FUNC,
        st_other=c.STV_HIDDEN,
        st_shndx=1,
        st_value=range(0, stride * len(names), stride),
        st_size=stride,
    )
    absolutes = SymbolColumns(
        names=absolute_names,
        st_info=c.STB_WEAK << 4 | c.STT_OBJECT,
        st_other=c.STV_HIDDEN if absolute_hidden else c.STV_DEFAULT,
        st_shndx=c.SHN_ABS,
        st_value=absolute_addresses,
    )
    local = SymbolColumns(  # the code's section, and where code and data start (AAELF64, "Mapping symbols")
        names=[b"", b"$x", b"$d"], st_info=[c.STT_SECTION, c.STT_NOTYPE, c.STT_NOTYPE], st_shndx=[1, 1, 2]
    )
    content = write(Object(sections, local, (stubs, absolutes)), "the stub object")
    return StubObject(content, "elf", names, addresses, bti)


def emit_macho(names: Sequence[bytes], addresses: array[int], build_version: BuildVersion) -> StubObject:
    """A Mach-O object with one trampoline for each name.

    Args:
        names: symbol names with their leading underscore, without duplicates.
        addresses: array ``Q`` of runtime addresses.
        build_version: platform and minimum OS; a simulator link fails without the right platform.
    """
    from macho import constants as c
    from macho.unwind import leaf_frames
    from macho.writer import Object, Section, SymbolColumns, write

    stride = len(template(bti=False).code)
    code = encode(addresses)
    entries, entry_relocations = leaf_frames(len(names), stride, text_ordinal=1)
    instructions = c.S_ATTR_PURE_INSTRUCTIONS | c.S_ATTR_SOME_INSTRUCTIONS
    sections = [Section("__TEXT", "__text", instructions, code, 2)]
    if names:
        sections.append(Section("__LD", "__compact_unwind", c.S_ATTR_DEBUG, entries, 3, entry_relocations))
    stubs = SymbolColumns(
        names=names,
        n_type=c.N_SECT | c.N_EXT | c.N_PEXT,
        n_sect=1,
        n_desc=c.N_WEAK_DEF,
        n_value=range(0, stride * len(names), stride),
    )
    content = write(Object(sections, build_version, defined_symbols=stubs), "the stub object")
    return StubObject(content, "macho", names, addresses, bti=False)
