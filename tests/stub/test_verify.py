"""Verification starts from the finished bytes and overlooks nothing."""

from __future__ import annotations

import struct
from array import array

import pytest
from synthetic import BASE, Sym, elf_host, elf_object

from stubgen.elf.reader import ElfFile
from stubgen.errors import InputError, MalformedInput, VerificationRefusal
from stubgen.image.identity import BUILD_ID, HostIdentity, PatchIdentity
from stubgen.macho.reader import BuildVersion, MachOFile
from stubgen.resolve.verdicts import SlotKind
from stubgen.stub.emit import StubObject, emit_elf, emit_macho
from stubgen.stub.slots import Slot
from stubgen.stub.verify import verify, verify_object

NAMES = [b"_alpha", b"_beta"]
ADDRESSES = array("Q", [0x1000, 0x7B4091FF2C00])


def stub_objects() -> dict[str, StubObject]:
    """One of each shape."""
    return {
        "elf": emit_elf(NAMES, ADDRESSES),
        "elf with bti": emit_elf(NAMES, ADDRESSES, features=1),
        "elf with absolutes": emit_elf(NAMES, ADDRESSES, absolute_names=[b"x"], absolute_addresses=[4]),
        "macho": emit_macho(NAMES, ADDRESSES, BuildVersion(1, 0, 0)),
    }


SHAPES = list(stub_objects())


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_emitted_verifies(shape: str) -> None:
    """Names and targets come back from the bytes alone."""
    stub = stub_objects()[shape]
    verified = verify(stub)
    assert (verified.names, verified.targets) == (NAMES, ADDRESSES)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_bit_of_the_code_counts(shape: str) -> None:
    """Whichever bit of a stub flips, verification against what was meant must notice."""
    stub = stub_objects()[shape]
    start = bytes(stub.content).find(emit_elf([b"x"], ADDRESSES[:1], features=int(stub.bti)).content[64:84])
    for bit in range(8 * 40):
        content = bytearray(stub.content)
        content[start + bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationRefusal):
            verify(StubObject(content, stub.format, stub.names, stub.addresses, stub.bti))


def test_swapped_names_are_noticed() -> None:
    """Two stubs under each other's name would call the wrong function."""
    stub = emit_elf(NAMES, ADDRESSES)
    with pytest.raises(VerificationRefusal, match="other names"):
        verify(StubObject(stub.content, "elf", NAMES[::-1], ADDRESSES, bti=False))


def test_swapped_addresses_are_named() -> None:
    """The message says which stub goes where."""
    stub = emit_elf(NAMES, ADDRESSES)
    with pytest.raises(VerificationRefusal, match="_alpha branches to 0x1000, not to 0x7b4091ff2c00"):
        verify(StubObject(stub.content, "elf", NAMES, ADDRESSES[::-1], bti=False))


def test_other_objects_are_not_stub_objects() -> None:
    """``verify`` on a compiler's object or a linked file says what it is instead of "sound"."""
    with pytest.raises(VerificationRefusal):
        verify_object(elf_object([Sym("f", 0)]), "patch.o")
    with pytest.raises(VerificationRefusal, match="linked executable, not a stub object"):
        verify_object(elf_host([Sym("f", BASE)]), "host")


@pytest.mark.parametrize("shape", SHAPES)
def test_truncation_anywhere_is_an_error(shape: str) -> None:
    """A half-copied object must never verify, wherever the copy stopped."""
    content = stub_objects()[shape].content
    for size in range(len(content) - 1):
        with pytest.raises((MalformedInput, VerificationRefusal)):
            verify_object(content[:size], "stub.o")


def elf_regions(content: bytes) -> dict[str, tuple[int, int]]:
    """What decides, in an ELF stub object, what a linker makes of it -> its bytes."""
    file = ElfFile(content, "stub.o")
    headers, regions = file.header.e_shoff, {}
    relocated = [section for section in file.sections if section.name.startswith(".rela")]
    contents = [
        ".text",
        ".eh_frame",
        ".rodata",
        ".text.tlsdesc",
        ".note.stubgen",
        *(section.name for section in relocated),
    ]
    for section in file.sections:
        at = headers + 64 * section.number
        if section.name in contents:
            start = section.header.sh_offset
            regions[f"{section.name}"] = (start, start + section.header.sh_size)
            regions[f"type of {section.name}"] = (at + 4, at + 8)
        if section.name in (".text", ".eh_frame", ".rodata", ".text.tlsdesc", ".data.rel.ro", ".note.stubgen"):
            regions[f"flags of {section.name}"] = (at + 8, at + 16)
            regions[f"alignment of {section.name}"] = (at + 48, at + 56)
        if section in relocated:
            regions[f"link and target of {section.name}"] = (at + 40, at + 48)
    symtab = file.section(".symtab")
    assert symtab is not None
    for index in range(1, 3):  # the sections that relocations count from: type, visibility, section, place
        regions[f"section symbol {index}"] = tuple(symtab.header.sh_offset + 24 * index + n for n in (4, 16))
    first = symtab.header.sh_info
    regions["stubs and slots"] = (symtab.header.sh_offset + 24 * first, symtab.header.sh_offset + symtab.header.sh_size)
    return regions


def macho_regions(content: bytes) -> dict[str, tuple[int, int]]:
    """The same of a Mach-O stub object."""
    file = MachOFile(content, "stub.o")
    (segment,) = (command for command in file.commands if command.cmd == 0x19)
    regions = {}
    for section in file.sections:
        at = segment.offset + 72 + 80 * (section.ordinal - 1)
        regions[f"names of {section.name}"] = (at, at + len(section.header.sectname.rstrip(b"\0")))
        regions[f"alignment of {section.name}"] = (at + 52, at + 56)
        regions[f"relocations of {section.name}"] = (at + 60, at + 64)
        regions[f"flags of {section.name}"] = (at + 64, at + 68)
        regions[section.name] = (section.header.offset, section.header.offset + section.header.size)
        if section.header.nreloc:
            regions[f"relocations in {section.name}"] = (
                section.header.reloff,
                section.header.reloff + 8 * section.header.nreloc,
            )
    text = segment.offset + 72
    regions["address of the code"] = (text + 32, text + 40)
    (symtab,) = (command for command in file.commands if command.cmd == 0x2)
    symoff, nsyms = struct.unpack_from("<II", content, symtab.offset + 8)
    regions["symbols"] = (symoff, symoff + 16 * nsyms)
    return regions


SLOTS = [
    Slot(b"__stubgen_slot.a", SlotKind.ADDRESS, 0x123456789ABC, b"a"),
    Slot(b"__stubgen_slot.b+8", SlotKind.THREAD_OFFSET, 24, b"b"),
]
DESCRIPTOR = Slot(b"__stubgen_slot.c.tlsdesc", SlotKind.DESCRIPTOR, 40, b"c")
IDENTITY = PatchIdentity(0x5500000000, HostIdentity(BUILD_ID, bytes(range(20))), 7, bytes(range(16)), "1.2.3")
WHOLE = {
    "elf": (emit_elf(NAMES, ADDRESSES, slots=[*SLOTS, DESCRIPTOR], features=1, identity=IDENTITY), elf_regions),
    "macho": (emit_macho(NAMES, ADDRESSES, BuildVersion(1, 0, 0), slots=SLOTS, identity=IDENTITY), macho_regions),
}


@pytest.mark.parametrize(
    ("shape", "region"), [(shape, region) for shape, (stub, find) in WHOLE.items() for region in find(stub.content)]
)
def test_whatever_decides_about_the_link_counts(shape: str, region: str) -> None:
    """A relocation into the code, code that is not executable, a constant that others may preempt: all link."""
    stub, find = WHOLE[shape]
    verify(stub)
    start, stop = find(stub.content)[region]
    assert stop > start
    for place in range(start, stop):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            content = bytearray(stub.content)
            content[place] ^= flip
            changed = stub._replace(content=bytes(content))
            with pytest.raises((VerificationRefusal, InputError)):
                verify(changed)


@pytest.mark.parametrize("target", [1 << 47 | 2, 0x1001])
def test_a_target_where_no_instruction_can_be(target: int) -> None:
    """``verify`` on a file knows no addresses to hold the stubs against, but these are nobody's."""
    with pytest.raises(VerificationRefusal, match=f"branches to {target:#x}, where no instruction can be"):
        verify_object(emit_elf([b"f"], array("Q", [target])).content, "stub.o")
