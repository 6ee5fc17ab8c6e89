"""Which bytes a bound copy may have others of: changed one by one."""

from __future__ import annotations

import pytest
from bind import crafted
from bind.crafted import CODE, DATA, MachPart, MachSym, MachUse, Part, Use, undefined

from stubgen.bind.held import hold_against
from stubgen.elf import constants as e
from stubgen.elf import relocations as r
from stubgen.elf.records import SHDR
from stubgen.errors import MalformedInput
from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.macho import constants as m
from stubgen.macho import relocations as mr

PATTERN = bytes(range(1, 65))
ABS64 = r.R_AARCH64_ABS64


FAR = 3 << 12
"""Bytes between sections that differ and those that are the original's: more than blocks that are compared."""


def edited(image: Image, where: str, at: int) -> bytes:
    """*image* with another byte at byte *at* of a section."""
    file = image.file  # type: ignore[attr-defined]  # of either format
    header = file.section(where).header
    content = bytearray(file.view.data)
    content[(header.sh_offset if image.format == "elf" else header.offset) + at] ^= 0xFF
    return bytes(content)


def accepted(image: Image, where: str) -> set[int]:
    """The bytes of a section that may be others."""
    found = set()
    for at in range(64):
        try:
            hold_against(image, edited(image, where, at))
            found.add(at)
        except MalformedInput as error:
            if f"its bound copy has other bytes in {where}: the object cannot be edited" not in str(error):
                raise
    return found


RELOCATED = {
    (): set(),
    (8,): set(range(8, 16)),
    (0,): set(range(8)),
    (40, 8): {*range(8, 16), *range(40, 48)},
    (8, 12): set(range(8, 20)),
    (8, 8): set(range(8, 16)),
    (8, 16): set(range(8, 24)),
    (8, 17): {*range(8, 16), *range(17, 25)},
    (60,): set(range(60, 64)),
}
"""Where relocations are -> the bytes that may be others."""


@pytest.mark.parametrize("places", RELOCATED, ids=str)
def test_data_may_differ_where_a_relocation_was(places: tuple[int, ...]) -> None:
    """One byte beside it is another constant, another pointer's half, another string."""
    uses = tuple(Use(at, "v", ABS64) for at in places)
    image = crafted.elf_object([Part(".data", DATA, PATTERN, uses), Part(".more", DATA)], [undefined("v")])
    assert accepted(image, ".data") == RELOCATED[places]
    records = tuple(MachUse(at, "_v", mr.ARM64_RELOC_UNSIGNED, 3) for at in places)
    parts = [MachPart("__DATA,__data", 0, PATTERN, records), MachPart("__DATA,__more")]
    assert accepted(crafted.macho_object(parts, [MachSym("_v")]), "__DATA,__data") == RELOCATED[places]


ELF = {
    "constants": (Part(".rodata", e.SHF_ALLOC, PATTERN), False),
    "code": (Part(".text", CODE, PATTERN), True),
    "writable code": (Part(".text", CODE | e.SHF_WRITE, PATTERN), True),
    "debug information": (Part(".debug_info", 0, PATTERN), True),
    "code that is not loaded": (Part(".text", e.SHF_EXECINSTR, PATTERN), True),
    "a table of functions": (Part(".init_array", DATA, PATTERN, (), 14), True),  # SHT_INIT_ARRAY
}
MACHO = {
    "constants": (MachPart("__TEXT,__const", 0, PATTERN), False),
    "code": (MachPart("__TEXT,__text", m.S_ATTR_PURE_INSTRUCTIONS, PATTERN), True),
    "some code": (MachPart("__TEXT,__text", m.S_ATTR_SOME_INSTRUCTIONS, PATTERN), True),
    "debug information": (MachPart("__DWARF,__debug_info", m.S_ATTR_DEBUG, PATTERN), True),
}
"""Sections, and whether their bytes may be others: code is edited, and what nobody loads harms nobody."""


@pytest.mark.parametrize("name", [*ELF])
def test_only_data_in_memory_is_held(name: str) -> None:
    """What is edited on purpose must not be a reason to refuse."""
    part, free = ELF[name]
    assert accepted(crafted.elf_object([part], []), part.name) == (set(range(64)) if free else set())


@pytest.mark.parametrize("name", [*MACHO])
def test_only_data_in_memory_is_held_in_mach_objects(name: str) -> None:
    """Likewise."""
    part, free = MACHO[name]
    image = crafted.macho_object([part], [MachSym("_v")])
    assert accepted(image, part.name) == (set(range(64)) if free else set())


@pytest.mark.parametrize("at", [8, 63])
def test_a_relocation_that_moves_is_seen_beside_sections_that_stay(at: int) -> None:
    """What is the original's is not read again: only what is that in its table and in its bytes."""
    parts = [
        Part(".data.first", DATA, PATTERN, (Use(8, "v", ABS64),)),
        Part(".gap", DATA, bytes(FAR)),
        Part(".data", DATA, PATTERN, (Use(at, "v", ABS64),)),
    ]
    image = crafted.elf_object(parts, [undefined("v")])
    for where in (".data.first", ".data"):
        found = accepted(image, where)
        assert found == (set(range(8, 16)) if where == ".data.first" or at == 8 else {63})
    content = bytearray(image.file.view.data)
    table = image.file.section(".rela.data")
    assert table is not None
    content[table.header.sh_offset : table.header.sh_offset + 8] = (64).to_bytes(8, "little")
    with pytest.raises(MalformedInput, match=r"a relocation at 0x40 lies outside \.data"):
        hold_against(image, bytes(content))
    shrunk = bytearray(image.file.view.data)
    number = image.file.section(".data.first")
    assert number is not None
    size = image.file.header.e_shoff + SHDR.size * number.number + SHDR.offset("sh_size")
    shrunk[size : size + 8] = (8).to_bytes(8, "little")
    with pytest.raises(MalformedInput, match=r"a relocation at 0x8 lies outside \.data\.first"):
        hold_against(image, bytes(shrunk))


WROTE = {"code": ("__TEXT,__text", True), "data": ("__DATA,__data", False)}


@pytest.mark.parametrize("changed", [True, False])
@pytest.mark.parametrize("what", WROTE)
def test_whether_code_was_written_is_told(what: str, changed: bool) -> None:
    """What reads the host's code by its instructions must read the original's where a copy has others."""
    name, code = WROTE[what]
    uses = tuple(Use(8, "v", ABS64) for _ in range(not code))
    elf = crafted.elf_object([Part(name, CODE if code else DATA, PATTERN, uses), Part(".gap")], [undefined("v")])
    records = tuple(MachUse(8, "_v", mr.ARM64_RELOC_UNSIGNED, 3) for _ in range(not code))
    flags = m.S_ATTR_PURE_INSTRUCTIONS if code else 0
    macho = crafted.macho_object([MachPart(name, flags, PATTERN, records)], [MachSym("_v")])
    for image in (elf, macho):
        content = edited(image, name, 8) if changed else bytes(image.file.view.data)  # type: ignore[attr-defined]  # of either format
        assert hold_against(image, content).wrote_code is (code and changed)


def test_a_section_may_grow_and_not_shrink() -> None:
    """What is put behind the code lies in a section; what is lost is lost."""
    short, long = (crafted.elf_object([Part(".data", DATA, PATTERN[:size])], []) for size in (32, 40))
    copy = hold_against(short, bytes(long.file.view.data)).image
    assert copy.name == "patch.o"
    for original, content in ((long, short), (short, crafted.elf_object([Part(".dato", DATA, PATTERN[:32])], []))):
        with pytest.raises(MalformedInput, match=r"patch\.o: its bound copy has other (bytes in \.data|sections)"):
            hold_against(original, bytes(content.file.view.data))


@pytest.mark.parametrize("at", [63, 64])
@pytest.mark.parametrize("flags", [DATA, CODE, 0, e.SHF_COMPRESSED])
def test_a_relocation_lies_in_its_section(at: int, flags: int) -> None:
    """One outside of it changes what the linker puts behind; offsets into what is compressed are of the unpacked."""
    image = crafted.elf_object([Part(".data", flags, PATTERN, (Use(at, "v", ABS64),))], [undefined("v")])
    content = bytes(image.file.view.data)
    if at == 64 and not flags & e.SHF_COMPRESSED:
        with pytest.raises(MalformedInput, match=r"patch\.o: a relocation at 0x40 lies outside \.data"):
            hold_against(image, content)
    else:
        hold_against(image, content)


@pytest.mark.parametrize("at", [63, 64])
def test_a_relocation_lies_in_its_section_of_a_mach_object(at: int) -> None:
    """Likewise."""
    uses = (MachUse(at, "_v", mr.ARM64_RELOC_UNSIGNED, 3),)
    image = crafted.macho_object([MachPart("__DATA,__data", 0, PATTERN, uses)], [MachSym("_v")])
    content = bytes(image.file.view.data)
    if at == 64:
        with pytest.raises(MalformedInput, match=r"patch\.o: a relocation at 0x40 lies outside __DATA,__data"):
            hold_against(image, content)
    else:
        hold_against(image, content)


def test_relocations_of_no_section_are_refused() -> None:
    """What they were to change is not there; ld.lld refuses such an object as well."""
    image = crafted.elf_object([Part(".data", DATA, PATTERN, (Use(8, "v", ABS64),))], [undefined("v")])
    raw = bytearray(image.file.view.data)
    table = image.file.section(".rela.data")
    assert table is not None
    at = image.file.header.e_shoff + SHDR.size * table.number + SHDR.offset("sh_info")
    raw[at : at + 4] = (99).to_bytes(4, "little")
    with pytest.raises(MalformedInput, match=r"patch\.o: \.rela\.data changes section 99, and there are"):
        open_image(bytes(raw), "patch.o")


def test_a_broken_copy_of_a_sound_object_is_refused() -> None:
    """The copy is held to its own sections, not to the original's."""
    part = Part(".data", DATA, PATTERN, (Use(8, "v", ABS64),))
    original = crafted.elf_object([part], [undefined("v")])
    broken = crafted.elf_object([part._replace(uses=(Use(64, "v", ABS64),))], [undefined("v")])
    with pytest.raises(MalformedInput, match="a relocation at 0x40 lies outside"):
        hold_against(original, bytes(broken.file.view.data))
