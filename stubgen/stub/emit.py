"""The emit phase: the stub object's bytes.

Each stub is weak, so that a library kept on the link line may define the same name and win, and hidden
(private extern), so that calls bind at link time and nothing is left for the dynamic loader.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import partial

from stubgen.common.columns import column_bytes, progression
from stubgen.common.row import Row
from stubgen.errors import InputError
from stubgen.image.identity import MACHO_SECTION, PatchIdentity, encode_identity
from stubgen.resolve.verdicts import SlotKind
from stubgen.stub.assembler import confirm_encoding
from stubgen.stub.trampoline import encode, template
from stubgen.symbols.forwarded import forwarder_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.macho.reader import BuildVersion
    from stubgen.resolve.needed import Needed
    from stubgen.resolve.resolution import StubColumns
    from stubgen.stub.facts import LibraryFacts
    from stubgen.stub.slots import Slot


class StubObject(Row):
    """A relocatable object that defines the stubs."""

    content: bytes
    format: str  # "elf" or "macho"
    names: Sequence[bytes]
    addresses: array[int]  # runtime, one a name
    bti: bool
    slots: Sequence[Slot] = ()
    identity: PatchIdentity | None = None  # what its note says


class Anchor(Row):
    """A function of the host's that the loader shall find by name in the patch, so that its slide is known."""

    name: bytes
    address: int  # runtime address in the host


def emit(
    stubs: StubColumns,
    needed: Needed,
    *,
    slots: Sequence[Slot] = (),
    host_features: int = 0,
    bti: str = "auto",
    build_version: BuildVersion | None = None,
    anchor: Anchor | None = None,
    identity: PatchIdentity | None = None,
    forwarded: Sequence[int] = (),
    facts: LibraryFacts | None = None,
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
        anchor: what the loader shall find by name in the patch.
        identity: what its note says; it has none without.
        forwarded: addresses in the process that get a forwarder each (:mod:`stubgen.symbols.forwarded`).
        facts: what is known about Keystone from earlier commands.

    Raises:
        BrokenLibrary: Keystone is installed and does not assemble the stubs' instructions.
        InputError: neither host nor patch says which Apple platform they are for.
        FieldOverflow: the object outgrows its format.
    """
    names, addresses = stubs.names, stubs.addresses
    if anchor is not None and anchor.name in names:
        others = [index for index, name in enumerate(names) if name != anchor.name]
        names, addresses = [names[index] for index in others], array("Q", [addresses[index] for index in others])
    if forwarded:
        names = [*names, *map(forwarder_name, forwarded)]
        addresses = addresses + array("Q", forwarded)
    if needed.format == "macho":
        platform = _platform(needed, build_version)
        return emit_macho(names, addresses, platform, slots=slots, anchor=anchor, identity=identity, facts=facts)
    from stubgen.elf.constants import GNU_PROPERTY_AARCH64_FEATURE_1_BTI as BTI

    features = host_features | needed.features
    wanted = {"auto": bool(features & BTI), "on": True, "off": False}[bti]
    return emit_elf(
        names,
        addresses,
        slots=slots,
        features=needed.features & ~BTI | (BTI if wanted else 0),
        absolute_names=stubs.absolute_names,
        absolute_addresses=stubs.absolute_addresses,
        absolute_hidden=stubs.absolute_visibility == "hidden",
        anchor=anchor,
        identity=identity,
        facts=facts,
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
    anchor: Anchor | None = None,
    identity: PatchIdentity | None = None,
    facts: LibraryFacts | None = None,
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
        anchor: a further trampoline, which the loader finds by name.
        identity: what ``.note.stubgen`` says; linkers keep notes, ``--gc-sections`` or not, in a PT_NOTE segment.
        facts: what is known about Keystone from earlier commands.

    Raises:
        BrokenLibrary: Keystone is installed and does not assemble the stubs' instructions.
    """
    from stubgen.elf import constants as c
    from stubgen.stub.contents_elf import ElfContents
    from stubgen.stub.sections_elf import DESCRIPTORS, HOST_DESCRIPTORS

    confirm_encoding(facts)
    descriptor_sections = {SlotKind.DESCRIPTOR: DESCRIPTORS, SlotKind.HOST_DESCRIPTOR: HOST_DESCRIPTORS}
    bti = bool(features & c.GNU_PROPERTY_AARCH64_FEATURE_1_BTI)
    constants = [slot for slot in slots if slot.kind not in descriptor_sections]
    descriptors = {
        title: of_kind
        for kind, title in descriptor_sections.items()
        if (of_kind := [slot for slot in slots if slot.kind is kind])
    }
    code, stride = encode(_with(addresses, anchor), bti=bti), len(template(bti).code)
    contents = ElfContents(code, list(descriptors), features)
    contents.add_stubs(names, stride)
    if anchor is not None:
        contents.add_anchor(anchor.name, stride * len(names), stride)
    if constants:
        contents.add_constants(_columns(constants))
    for title, of_kind in descriptors.items():
        contents.add_descriptors(title, _columns(of_kind))
    if identity is not None:
        contents.add_identity(encode_identity(identity))
    contents.add_absolutes(absolute_names, absolute_addresses, c.STV_HIDDEN if absolute_hidden else c.STV_DEFAULT)
    names, addresses = _with_name(names, anchor), _with(addresses, anchor)
    return StubObject(contents.written(), "elf", names, addresses, bti, tuple(slots), identity)


def _with(addresses: array[int], anchor: Anchor | None) -> array[int]:
    return addresses if anchor is None else addresses + array("Q", [anchor.address])


def _with_name(names: Sequence[bytes], anchor: Anchor | None) -> Sequence[bytes]:
    return names if anchor is None else [*names, anchor.name]


def _columns(slots: Sequence[Slot]) -> tuple[list[bytes], list[int]]:
    """Symbols and values of *slots*."""
    return [slot.symbol for slot in slots], [slot.value for slot in slots]


def emit_macho(
    names: Sequence[bytes],
    addresses: array[int],
    build_version: BuildVersion,
    *,
    slots: Sequence[Slot] = (),
    anchor: Anchor | None = None,
    identity: PatchIdentity | None = None,
    facts: LibraryFacts | None = None,
) -> StubObject:
    """A Mach-O object with one trampoline for each name.

    Args:
        names: symbol names with their leading underscore, without duplicates.
        addresses: array ``Q`` of runtime addresses.
        build_version: platform and minimum OS; a simulator link fails without the right platform.
        slots: constants to define beside them, in ``__TEXT,__const``.
        anchor: a further trampoline, which the loader finds by name.
        identity: what ``__TEXT,__stubgen_id`` says, which ``-dead_strip`` keeps.
        facts: what is known about Keystone from earlier commands.

    Raises:
        BrokenLibrary: Keystone is installed and does not assemble the stubs' instructions.
    """
    from stubgen.macho import constants as c
    from stubgen.macho.unwind import leaf_frames
    from stubgen.macho.writer import Object, SymbolColumns, section_addresses, write
    from stubgen.stub.sections_macho import CONSTANTS, SECTIONS, TEXT, UNWIND, section

    confirm_encoding(facts)
    stride = len(template(bti=False).code)
    names, addresses = _with_name(names, anchor), _with(addresses, anchor)
    code = encode(addresses)
    starts = progression("Q", len(names), stride)
    entries, entry_relocations = leaf_frames(starts, stride, text_ordinal=1)
    sections = [section(TEXT, code)]
    if names:
        sections.append(section(UNWIND, entries, entry_relocations))
    private = partial(SymbolColumns, n_type=c.N_SECT | c.N_EXT | c.N_PEXT)
    weak = partial(private, n_sect=1, n_desc=c.N_WEAK_DEF)
    if anchor is None:
        groups = [weak(names=names, n_value=starts)]
    else:
        groups = [weak(names=names[:-1], n_value=starts[:-1])]
        groups.append(SymbolColumns(names=names[-1:], n_type=c.N_SECT | c.N_EXT, n_sect=1, n_value=starts[-1:]))
    if slots:
        symbols, values = _columns(slots)
        sections.append(section(CONSTANTS, column_bytes(array("Q", values))))
        start, size = section_addresses(sections)[-1], SECTIONS[CONSTANTS].slot_size
        homes = range(start, start + size * len(slots), size)
        groups.append(private(names=symbols, n_sect=len(sections), n_value=homes))
    if identity is not None:
        sections.append(section(MACHO_SECTION, encode_identity(identity)))
    content = write(Object(sections, build_version, defined_symbols=groups), "the stub object")
    return StubObject(content, "macho", names, addresses, False, tuple(slots), identity)
