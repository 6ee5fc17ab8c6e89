"""The bind phase as a whole: several objects, what they share, and the folder that the copies are written to."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from bind import crafted
from bind.crafted import DATA, HOST, MachPart, MachSym, MachUse, Part, Use, data, local, undefined
from synthetic import Sym, put

from stubgen.bind import Bound, bind, bound_paths, stage_bound, write_bound
from stubgen.common.files import Outputs
from stubgen.elf import constants as e
from stubgen.elf import relocations as r
from stubgen.elf.records import SHDR
from stubgen.errors import SymbolRefusal
from stubgen.host.slide import Slide
from stubgen.image import Image, References
from stubgen.image.elf import ElfImage
from stubgen.macho import constants as m
from stubgen.macho import relocations as mr
from stubgen.resolve.needed import Needed
from stubgen.resolve.resolution import Resolution, StubColumns
from stubgen.resolve.verdicts import Target
from stubgen.stub.slots import BoundObject

ABS64 = r.R_AARCH64_ABS64


def judged(
    images: Sequence[Image],
    targets: Mapping[str, Target] | None,
    stubs: Mapping[str, int] | None = None,
    **more: object,
) -> Resolution:
    """What the resolve phase says of a patch of *images*; *stubs* are the trampolines' names and addresses."""
    spellings = [name.encode() for name in stubs or {}]
    columns = StubColumns(spellings, spellings, array("Q", (stubs or {}).values()), {}, [], array("Q"), "hidden")
    needed = Needed(images[0].format, References(), {}, tuple(images), 0, (), ())._replace(**more)
    bound = None if targets is None else {name.encode(): target for name, target in targets.items()}
    return Resolution(Slide(0, None, 0, 0), needed, columns, (), bound, (), frozenset())


def pointer(name: str, symbol: Sym, addend: int = 0) -> Image:
    """An object with a pointer to a symbol."""
    return crafted.elf_object([Part(".data", DATA, bytes(8), (Use(0, symbol.name, ABS64, addend),))], [symbol], name)


def word(bound: Bound, number: int) -> int:
    """The pointer of a copy."""
    image = bound.objects[number].image
    assert image is not None
    section = image.file.section(".data")  # type: ignore[attr-defined]  # of ELF
    return int.from_bytes(bytes(image.file.content(section)), "little")  # type: ignore[attr-defined]  # of ELF


def test_all_objects_share_their_slots() -> None:
    """A trampoline's function and a variable, each in the object that uses it; the copies are read back."""
    images = [pointer("a.o", undefined("v")), pointer("b.o", undefined("f")), pointer("c.o", local("own", 1))]
    bound = bind(judged(images, {"v": data(HOST + 8)}, {"f": 0x5500_0000}))
    assert [word(bound, number) for number in range(3)] == [HOST + 8, 0x5500_0000, 0]
    assert [(item.name, item.changed) for item in bound.objects] == [("a.o", True), ("b.o", True), ("c.o", False)]
    assert bound.objects[2].image is images[2]
    assert [slot.symbol for slot in bound.slots] == [b"__stubgen_slot.v"]
    assert bound.own_constants == frozenset()
    assert not bind(judged([images[2]], None)).slots


def test_what_a_name_means_holds_in_every_object() -> None:
    """``--wrap`` is an option of the link, not of an object."""
    bound = bind(judged([pointer("a.o", undefined("v"))], {"w": data(HOST + 16)}, meanings={b"v": b"w"}))
    assert word(bound, 0) == HOST + 16


def test_a_constant_is_the_hosts_everywhere_or_nowhere() -> None:
    """Two addresses of one constant compare unequal: an object that cannot use the host's decides for all."""
    parts = [Part(".data", DATA, bytes(8), (Use(0, "v", ABS64),)), Part(".rodata", e.SHF_ALLOC)]
    sound = crafted.elf_object(parts, [local("v", 2), local("w", 2, 8)], "a.o")
    by_section = [parts[0]._replace(uses=(Use(0, ".rodata", ABS64),)), parts[1]]
    unsound = crafted.elf_object(by_section, [local("v", 2), local("w", 2, 8)], "b.o")
    targets = {"v": data(kept=True, constant=True), "w": data(HOST + 8, kept=True, constant=True)}
    assert word(bind(judged([sound], targets)), 0) == HOST
    bound = bind(judged([sound, unsound], {**targets, "x": data()}))
    assert bound.own_constants == {b"v", b"w"}
    assert word(bound, 0) == 0
    assert [item.changed for item in bound.objects] == [False, False]
    bound = bind(judged([sound, unsound], {"v": targets["v"]}))
    assert bound.own_constants == {b"v"}


def test_every_refusal_is_said_at_once() -> None:
    """To be told of one reference, compile, and be told of the next would take the day."""
    uses = (Use(0, "v", r.R_AARCH64_ABS32), Use(8, "v", r.R_AARCH64_ABS16))
    image = crafted.elf_object([Part(".data", DATA, bytes(16), uses)], [undefined("v")], "a.o")
    with pytest.raises(SymbolRefusal) as caught:
        bind(judged([image], {"v": data()}))
    first, *rest = str(caught.value).splitlines()
    assert first == "2 references cannot be bound"
    assert [line.partition(" against")[0] for line in rest] == [
        "  a.o: .data+0x0: R_AARCH64_ABS32",
        "  a.o: .data+0x8: R_AARCH64_ABS16",
    ]


def test_one_of_a_weak_definitions_copies_is_seen() -> None:
    """What the caller looks up is exported once, and all objects mean that one."""
    seen = m.N_SECT | m.N_EXT
    text = "__TEXT,__text"
    images = [
        crafted.macho_object([MachPart(text)], [MachSym("_f", 1, 0, seen, m.N_WEAK_DEF)], f"{number}.o")
        for number in range(2)
    ]
    load = (MachUse(0, "_f", mr.ARM64_RELOC_GOT_LOAD_PAGE21, pcrel=True),)
    user = crafted.macho_object([MachPart(text, m.S_ATTR_PURE_INSTRUCTIONS, bytes(8), load)], [MachSym("_f")], "u.o")
    other = crafted.macho_object([MachPart(text)], [MachSym("_g", 1, 0, seen, m.N_WEAK_DEF)], "g.o")
    bound = bind(judged([*images, user, other], {}, roots=frozenset({b"_f"})))
    found = []
    for item in bound.objects:
        assert item.image is not None
        symbols = item.image.file.symbols  # type: ignore[attr-defined]  # of Mach-O
        found.append((symbols.n_type[0], symbols.n_desc[0]))
    private = (seen | m.N_PEXT, m.N_WEAK_DEF)
    assert found == [(seen, 0), private, (m.N_EXT, 0), private]
    ((_, rows),) = bound.objects[2].image.file.relocations()  # type: ignore[union-attr]  # read back
    assert [record >> 28 for record in rows.r_word] == [mr.ARM64_RELOC_PAGE21]


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("build/a.o", "007-a.o"),
        ("lib/libx.a(member.cpp.o)", "007-libx.a_member.cpp.o"),
        ("a b+c-d.o", "007-a_b+c-d.o"),
        ("object", "007-object"),
        ("x" * 300 + ".o", "007-" + "x" * 249 + ".o"),
        ("x" * 300, "007-" + "x" * 251),
    ],
)
def test_copies_are_called_like_their_originals(name: str, copy: str) -> None:
    """In link order, each its own, whatever their folders are; as long as a file's name may be."""
    assert bound_paths(["first.o"] * 7 + [name], "out")[7] == os.path.join("out", copy)
    assert bound_paths(["a.o", "a.o"], "out") == ["out/000-a.o", "out/001-a.o"]


def test_copies_are_written_in_link_order(tmp_path: Path) -> None:
    """The originals stay; a build that goes by times sees the originals' where that is asked for."""
    images = [pointer("lib.a(a.o)", undefined("v")), pointer("b.o", undefined("v"))]
    bound = bind(judged(images, {"v": data()}))
    copies = write_bound(bound, tmp_path / "made")
    assert copies == [
        ("lib.a(a.o)", str(tmp_path / "made/000-lib.a_a.o")),
        ("b.o", str(tmp_path / "made/001-b.o")),
    ]
    for (_, path), item in zip(copies, bound.objects, strict=True):
        assert Path(path).read_bytes() == item.content
        assert Path(path).stat().st_mtime > 1_500_000_000
    like = [put(tmp_path, name, b"") for name in ("a.o", "b.o")]
    for number, path in enumerate(like):
        os.utime(path, (0, 1_000_000 + number))
    with Outputs() as outputs:
        copies = stage_bound(bound, tmp_path / "like", outputs, like=like)
        outputs.commit()
    assert [Path(path).stat().st_mtime for _, path in copies] == [1_000_000, 1_000_001]


def test_an_object_without_symbols_is_left_alone() -> None:
    """Some members of C libraries have neither code nor symbols; nothing of theirs can be the host's."""
    sound = crafted.elf_object([Part(".data", DATA)], [])
    raw = bytearray(sound.file.view.data)
    table = sound.file.section_of_type(e.SHT_SYMTAB)
    assert table is not None
    at = sound.file.header.e_shoff + SHDR.size * table.number + SHDR.offset("sh_type")
    raw[at : at + 4] = e.SHT_PROGBITS.to_bytes(4, "little")
    bare = ElfImage(bytes(raw), "bare.o")
    assert bare.file.symbols is None
    (item,) = bind(judged([bare], {"v": data()})).objects
    assert item == BoundObject("bare.o", bytes(raw), changed=False, image=bare)
