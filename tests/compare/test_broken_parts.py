"""Objects that are broken in their parts: what was found by changing sound ones at random."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from stubgen.compare import object_parts
from stubgen.elf.reader import ElfFile
from stubgen.elf.records import RELA, SHDR
from stubgen.errors import MalformedInput
from stubgen.image.macho import MachOImage
from stubgen.image.opening import open_image
from stubgen.macho.reader import MachOFile
from stubgen.macho.relocations import r_word

FINDINGS = Path(__file__).parent.parent / "fuzz" / "findings"
SEEDS = FINDINGS.parent / "seeds"


def test_parts_of_code_without_mapping_symbols() -> None:
    """Code in which no mapping symbol says where it begins was a traceback."""
    name = "bind-elf/code-without-marks"
    (parts,) = object_parts([open_image((FINDINGS / name).read_bytes(), name)])
    assert [parts.uses(part) for part in parts.all()]


BROKEN = {
    "bind-macho/symbol-of-no-section": r" is in section 0, and there are 15",
    "bind-macho/relocation-of-no-symbol": r" is of symbol 16711680, and there are 29",
    "bind-elf/relocations-of-no-section": r" changes section 256, and there are 22",
    "borrow/relocation-of-a-debuggers-entry": r": a relocation of __TEXT,__text is of a debugger's entry",
    "borrow/section-aligned-to-2-to-the-4294967294": r"__cstring is aligned to 2\^4294967294; linkers take 2\^15",
    "borrow/section-aligned-to-no-power-of-two": r": \.text is aligned to 18446744073709551615, which",
}


@pytest.mark.parametrize(("name", "sentence"), BROKEN.items(), ids=list(BROKEN))
def test_objects_are_refused_that_name_sections_they_have_not(name: str, sentence: str) -> None:
    """Each phase that looked such a section up ended in a traceback of its own."""
    with pytest.raises(MalformedInput, match=sentence):
        open_image((FINDINGS / name).read_bytes(), name)


def test_an_elf_relocation_of_no_symbol_is_refused() -> None:
    """Whoever takes a column of the symbols by it has to find it there: compare, bind, borrow, inspect."""
    content = bytearray((SEEDS / "elf-object" / "gcc.o").read_bytes())
    section, relocations = next(ElfFile(content, "x.o").relocations())
    struct.pack_into("<I", content, section.header.sh_offset + RELA.offset("r_info") + 4, 999)
    with pytest.raises(MalformedInput, match=r"x\.o: a relocation of \.rela\.text is of symbol 999, and there are 41"):
        list(ElfFile(content, "x.o").relocations())
    assert len(relocations)


@pytest.mark.parametrize(("size", "sentence"), [(11, "a whole number"), (12, "has section 999, and there are 46")])
def test_a_group_of_no_section_is_refused(size: int, sentence: str) -> None:
    """A member of the host's link with such a group was a traceback when it was borrowed."""
    content = bytearray((FINDINGS / "borrow" / "group-of-half-a-word").read_bytes())
    file = ElfFile(content, "x.o")
    group = next(section for section in file.sections if section.name == ".group")
    struct.pack_into("<Q", content, file.header.e_shoff + SHDR.size * group.number + SHDR.offset("sh_size"), size)
    struct.pack_into("<I", content, group.header.sh_offset + 8, 999)
    with pytest.raises(MalformedInput, match=sentence):
        list(open_image(content, "x.o").weak_definitions())


def test_a_mach_o_relocation_of_no_section_is_refused() -> None:
    """A copy of the object was made and given to the linker as if nothing were wrong."""
    name = "bind-macho/symbol-of-no-section"
    content = bytearray((FINDINGS / name).read_bytes())
    section, relocations = next(MachOFile(content, name).relocations())
    word = relocations.r_word[0] & ~r_word(0xFFFFFF, pcrel=False, length=0, extern=True, kind=0)
    struct.pack_into("<I", content, section.header.reloff + 4, word | 16)
    with pytest.raises(MalformedInput, match=f": a relocation of {section.name} is of section 16, and there are 15"):
        open_image(content, name)


def test_what_sections_of_a_linked_mach_o_file_say_of_relocations_is_nobodys() -> None:
    """Its own are in LC_DYSYMTAB's tables; one whose sections had some of symbols that it has not was a traceback."""
    name = "image/dylib-with-an-objects-relocations"
    image = open_image((FINDINGS / name).read_bytes(), name)
    assert isinstance(image, MachOImage)
    assert any(section.header.nreloc for section in image.file.sections)
    assert not list(image.file.relocations())
    assert {variable.name for variable in image.variables() if variable.thread_local}
