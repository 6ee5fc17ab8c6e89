"""What we write, others read: binutils, LLVM, pyelftools, macholib and LIEF agree with each other and with the plan.

And what they merge (``ld -r``) stays a stub object: builders fold ``stub.o`` into larger objects.
"""

from __future__ import annotations

import io
import re
import subprocess
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import need, need_module, run, zig

from stubgen.image.opening import open_image
from stubgen.macho.reader import BuildVersion
from stubgen.stub.emit import StubObject, emit_elf, emit_macho
from stubgen.stub.find import find_stubs

BTI, PAC = 1, 2  # GNU_PROPERTY_AARCH64_FEATURE_1_*
MACOS_13 = BuildVersion(1, 13 << 16, 14 << 16)
ABSOLUTES = {b"counter": 0x7B40_0001_0008, b"limit": 0x10}

ELF_FORMS = {  # what a test calls it -> (features, whether there are absolute symbols, whether those are hidden)
    "plain": (0, False, False),
    "bti": (BTI, False, False),
    "bti-pac": (BTI | PAC, False, False),
    "absolute": (0, True, False),
    "absolute-hidden": (BTI, True, True),
}
ELF_CASES = [*((form, count) for form in ELF_FORMS for count in (0, 1, 3)), ("bti", 70_000)]
"""70,000 is beyond what 16 bits count."""

MACHO_COUNTS = [0, 1, 3, 70_000]


def addresses(count: int) -> array[int]:
    """As many runtime addresses, all different."""
    return array("Q", [0x7B40_0000_0000 + 0x1_0004 * n for n in range(count)])


def elf_stub(form: str, count: int, prefix: bytes = b"function") -> StubObject:
    """An ELF stub object of one of the :data:`ELF_FORMS`."""
    features, absolute, hidden = ELF_FORMS[form]
    return emit_elf(
        [b"%s_%d" % (prefix, n) for n in range(count)],
        addresses(count),
        features=features,
        absolute_names=list(ABSOLUTES) if absolute else [],
        absolute_addresses=list(ABSOLUTES.values()) if absolute else [],
        absolute_hidden=hidden,
    )


def macho_stub(count: int, prefix: bytes = b"function") -> StubObject:
    """A Mach-O stub object."""
    return emit_macho([b"_%s_%d" % (prefix, n) for n in range(count)], addresses(count), MACOS_13)


class ElfSymbol(NamedTuple):
    """A symbol as every reader can tell it."""

    name: str  # empty for a section's
    value: int
    size: int
    kind: str
    bind: str
    visibility: str
    section: str  # index, UND or ABS


class ElfSection(NamedTuple):
    """A section header as every reader can tell it."""

    name: str
    kind: str
    flags: str  # readelf's letters
    size: int
    link: int
    info: int
    align: int
    entry_size: int


class ElfRelocation(NamedTuple):
    """A relocation as every reader can tell it."""

    offset: int
    kind: str
    symbol: int
    addend: int


class ElfFacts(NamedTuple):
    """An ELF object as one reader sees it."""

    symbols: list[ElfSymbol]
    sections: list[ElfSection]
    relocations: list[ElfRelocation]
    features: set[str]


def quietly(*command: object) -> str:
    """Standard output of a reader that has nothing to complain about."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "warning" not in done.stdout.lower()
    return done.stdout


def readelf_text(path: Path, tool: str) -> ElfFacts:
    """What GNU readelf, or LLVM's that prints the same, says."""
    text = quietly(tool, "-W", "--sections", "--syms", "--relocs", "--notes", path)
    symbol = re.compile(r"^ *\d+: ([0-9a-f]{16}) +(\d+) (\w+) +(\w+) +(\w+) +(\w+) ?(.*)$", re.MULTILINE)
    section = re.compile(
        r"^ *\[ *\d+\] (\S*) +(\w+) +[0-9a-f]{16} [0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) +([A-Z]*) +(\d+) +(\d+) +(\d+)$",
        re.MULTILINE,
    )
    relocation = re.compile(
        r"^([0-9a-f]{16}) +([0-9a-f]{16}) (R_\w+) +[0-9a-f]{16} \S+ ([+-]) ([0-9a-f]+)$", re.MULTILINE
    )
    features = re.search(r"aarch64 feature: (.*)", text, re.IGNORECASE)
    return ElfFacts(
        symbols=[
            ElfSymbol("" if kind == "SECTION" else name, int(value, 16), int(size), kind, bind, visibility, index)
            for value, size, kind, bind, visibility, index, name in symbol.findall(text)
        ],
        sections=[
            ElfSection(name, kind, flags, int(size, 16), int(link), int(info), int(align), int(entry_size, 16))
            for name, kind, size, entry_size, flags, link, info, align in section.findall(text)
        ],
        relocations=[
            ElfRelocation(int(offset, 16), kind, int(info, 16) >> 32, int(sign + addend, 16))
            for offset, info, kind, sign, addend in relocation.findall(text)
        ],
        features=set(features[1].split(", ")) if features else set(),
    )


def flag_letters(flags: int) -> str:
    """SHF_* bits as readelf's letters."""
    return "".join(letter for bit, letter in ((1, "W"), (2, "A"), (4, "X"), (0x40, "I")) if flags & bit)


def feature_names(properties: bytes) -> set[str]:
    """The content of one ``.note.gnu.property`` with one property, in readelf's words."""
    assert properties[:8] == bytes.fromhex("000000c0 04000000")
    return {name for bit, name in ((BTI, "BTI"), (PAC, "PAC")) if properties[8] & bit}


def pyelftools(path: Path) -> ElfFacts:
    """What pyelftools says."""
    from elftools.elf.descriptions import describe_reloc_type
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import NoteSection

    file = ELFFile(io.BytesIO(path.read_bytes()))
    sections = list(file.iter_sections())
    notes = [note for section in sections if isinstance(section, NoteSection) for note in section.iter_notes()]
    return ElfFacts(
        symbols=[
            ElfSymbol(
                "" if symbol["st_info"]["type"] == "STT_SECTION" else symbol.name,
                symbol["st_value"],
                symbol["st_size"],
                symbol["st_info"]["type"].removeprefix("STT_"),
                symbol["st_info"]["bind"].removeprefix("STB_"),
                symbol["st_other"]["visibility"].removeprefix("STV_"),
                str(symbol["st_shndx"]).replace("SHN_UNDEF", "UND").replace("SHN_ABS", "ABS"),
            )
            for symbol in file.get_section_by_name(".symtab").iter_symbols()
        ],
        sections=[
            ElfSection(
                section.name,
                section["sh_type"].removeprefix("SHT_"),
                flag_letters(section["sh_flags"]),
                section["sh_size"],
                section["sh_link"],
                section["sh_info"],
                section["sh_addralign"],
                section["sh_entsize"],
            )
            for section in sections
        ],
        relocations=[
            ElfRelocation(
                relocation["r_offset"],
                describe_reloc_type(relocation["r_info_type"], file),
                relocation["r_info_sym"],
                relocation["r_addend"],
            )
            for section in sections
            if section["sh_type"] == "SHT_RELA"
            for relocation in section.iter_relocations()
        ],
        features={feature for note in notes for feature in feature_names(note["n_descdata"])},
    )


def lief_elf(path: Path) -> ElfFacts:
    """What LIEF says."""
    import lief

    lief.logging.disable()  # standard error is for what the tests find
    file = lief.ELF.parse(str(path))
    special = {0: "UND", 0xFFF1: "ABS"}
    return ElfFacts(
        symbols=[
            ElfSymbol(
                "" if symbol.type.name == "SECTION" else symbol.name,
                symbol.value,
                symbol.size,
                symbol.type.name,
                symbol.binding.name,
                symbol.visibility.name,
                special.get(symbol.shndx, str(symbol.shndx)),
            )
            for symbol in file.symtab_symbols
        ],
        sections=[
            ElfSection(
                section.name,
                section.type.name.removeprefix("SHT_").rstrip("_"),
                flag_letters(int(section.flags)),
                section.size,
                section.link,
                section.information,
                section.alignment,
                section.entry_size,
            )
            for section in file.sections
        ],
        relocations=[ElfRelocation(r.address, f"R_{r.type.name}", r.info, r.addend) for r in file.object_relocations],
        features={feature for note in file.notes for feature in feature_names(bytes(note.description))},
    )


ELF_READERS: dict[str, Callable[[Path], ElfFacts]] = {
    "readelf": lambda path: readelf_text(path, str(need("readelf"))),
    "llvm-readelf": lambda path: readelf_text(
        path, str(Path(str(need("llvm-readobj-19"))).with_name("llvm-readelf-19"))
    ),
    "pyelftools": pyelftools,
    "lief": lief_elf,
}


@pytest.mark.parametrize(("form", "count"), ELF_CASES)
def test_every_reader_sees_the_same_elf_object(form: str, count: int, tmp_path: Path) -> None:
    """A field that only our reader understands breaks in some linker or debugger of the user's."""
    need_module("elftools", "pyelftools")
    need_module("lief", "lief")
    stub = elf_stub(form, count)
    path = tmp_path / "stub.o"
    path.write_bytes(stub.content)
    facts = {name: read(path) for name, read in ELF_READERS.items()}
    reference = facts["readelf"]
    assert all(other == reference for other in facts.values()), {
        name: [
            (field, a, b)
            for field, ours, theirs in zip(ElfFacts._fields, reference, other, strict=True)
            for a, b in zip(ours, theirs, strict=False)
            if a != b
        ][:3]
        for name, other in facts.items()
    }

    features, absolute, hidden = ELF_FORMS[form]
    stride = 24 if features & BTI else 20
    names = [section.name for section in reference.sections]
    text = str(names.index(".text"))
    defined = [symbol for symbol in reference.symbols if symbol.bind != "LOCAL"]
    assert defined[:count] == [
        ElfSymbol(f"function_{n}", stride * n, stride, "FUNC", "WEAK", "HIDDEN", text) for n in range(count)
    ]
    visibility = "HIDDEN" if hidden else "DEFAULT"
    assert defined[count:] == [
        ElfSymbol(name.decode(), value, 0, "OBJECT", "WEAK", visibility, "ABS")
        for name, value in (ABSOLUTES.items() if absolute else ())
    ]
    assert [(s.name, s.section) for s in reference.symbols if s.name.startswith("$")] == [
        ("$x", text),
        ("$d", str(names.index(".eh_frame"))),
    ]
    first_global = next(s.info for s in reference.sections if s.name == ".symtab")
    assert {symbol.bind for symbol in reference.symbols[:first_global]} == {"LOCAL"}
    assert len(reference.symbols) == first_global + len(defined)
    assert reference.sections[int(text)][1:4] == ("PROGBITS", "AX", stride * count)
    assert ("PROGBITS", "", 0) in [s[1:4] for s in reference.sections if s.name == ".note.GNU-stack"]
    assert reference.features == feature_names(bytes.fromhex("000000c0 04000000") + bytes([features]))
    if count:
        assert [r.kind for r in reference.relocations] == ["R_AARCH64_PREL32"]


@pytest.mark.parametrize("count", [1, 3, 70_000])
def test_debuggers_unwind_from_inside_a_stub(count: int, tmp_path: Path) -> None:
    """Without its frame a profile taken in a stub, or a signal handler, loses every frame below it."""
    path = tmp_path / "stub.o"
    path.write_bytes(elf_stub("plain", count).content)
    text = quietly(need("readelf"), "--debug-dump=frames", path)
    assert re.findall(r"FDE cie=\w+ pc=([0-9a-f]+)\.\.([0-9a-f]+)", text) == [(f"{0:016x}", f"{20 * count:016x}")]
    assert re.search(r"Return address column: +30\b", text)
    assert re.findall(r"DW_CFA_(?!nop)\w+: .*", text) == ["DW_CFA_def_cfa: r31 (sp) ofs 0"]


@pytest.mark.parametrize("linker", ["aarch64-linux-gnu-ld", "ld.lld-19"])
@pytest.mark.parametrize(("form", "count"), ELF_CASES)
def test_merged_elf_object_keeps_every_stub(linker: str, form: str, count: int, tmp_path: Path) -> None:
    """Builders merge objects with `ld -r`: a stub lost or changed there is a call to nowhere."""
    stubs = [elf_stub(form, 2, b"other"), elf_stub(form, count)]
    merged = tmp_path / "merged.o"
    quietly(need(linker), "-r", "-o", merged, *written(stubs, tmp_path))
    quietly(need("readelf"), "-aW", merged)
    features, absolute, _ = ELF_FORMS[form]
    assert found_in(merged) == expected(stubs)
    facts = readelf_text(merged, str(need("readelf")))
    assert facts.features == feature_names(bytes.fromhex("000000c0 04000000") + bytes([features]))
    kept = {
        symbol.name: symbol.value for symbol in facts.symbols if symbol.section == "ABS" and symbol.kind == "OBJECT"
    }
    assert kept == ({name.decode(): value for name, value in ABSOLUTES.items()} if absolute else {})


def found_in(path: Path) -> dict[bytes, tuple[int, bool, bool, bool]]:
    """Name -> (target, landing pad, weak, hidden) of every stub in the object at *path*."""
    stubs = find_stubs(open_image(path.read_bytes(), str(path)))
    found = {stub.name: (stub.target, stub.bti, stub.weak, stub.hidden) for stub in stubs}
    assert len(found) == len(stubs)
    return found


def expected(stubs: list[StubObject]) -> dict[bytes, tuple[int, bool, bool, bool]]:
    """What :func:`found_in` must find in an object merged from *stubs*."""
    return {
        name: (address, stub.bti, True, True)
        for stub in stubs
        for name, address in zip(stub.names, stub.addresses, strict=True)
    }


def written(stubs: list[StubObject], folder: Path) -> list[Path]:
    """*stubs* as files."""
    paths = [folder / f"stub{number}.o" for number in range(len(stubs))]
    for path, stub in zip(paths, stubs, strict=True):
        path.write_bytes(stub.content)
    return paths


class MachOSymbol(NamedTuple):
    """A symbol as every reader can tell it."""

    name: str
    n_value: int
    n_type: int
    n_sect: int
    n_desc: int


class MachOSection(NamedTuple):
    """A section header as every reader can tell it."""

    name: str
    address: int
    size: int
    align: int  # log2 bytes
    flags: int
    relocations: int


class MachOFacts(NamedTuple):
    """A Mach-O object as one reader sees it."""

    symbols: list[MachOSymbol]
    sections: list[MachOSection]
    platform: int
    minos: int
    sdk: int


PLATFORMS = {"macos": 1}
"""llvm-objdump's word -> PLATFORM_*."""


def llvm_macho(path: Path) -> MachOFacts:
    """What LLVM's tools say."""
    readobj, objdump = need("llvm-readobj-19", "llvm-objdump-19")
    text = quietly(readobj, "--sections", "--symbols", path)
    headers = quietly(objdump, "--macho", "--private-headers", path)
    platform, sdk, minos = re.search(r"platform (\w+)\s+sdk (\S+)\s+minos (\S+)", headers).groups()
    section = re.compile(
        r"Name: (\S+) .*\n +Segment: (\S+) .*\n +Address: (\w+)\n +Size: (\w+)\n +Offset: .*\n +Alignment: (\d+)\n"
        r" +RelocationOffset: .*\n +RelocationCount: (\d+)\n +Type: \w+ \((\w+)\)\n +Attributes \[ \((\w+)\)"
    )
    sections = [
        MachOSection(
            f"{segment},{name}",
            int(address, 16),
            int(size, 16),
            int(align),
            int(kind, 16) | int(attributes, 16) << 8,
            int(count),
        )
        for name, segment, address, size, align, count, kind, attributes in section.findall(text)
    ]
    symbol = re.compile(
        r"Symbol \{\n +Name: (\S+) .*\n(?P<scope>(?: +\w+\n)*) +Type: \w+ \((\w+)\)\n +Section: \S* ?\((\w+)\)\n"
        r" +RefType: \w+ \((\w+)\)\n +Flags \[ \((\w+)\)\n(?:.*\n)*? +Value: (\w+)"
    )
    bits = {"PrivateExtern": 0x10, "Extern": 1}
    return MachOFacts(
        symbols=[
            MachOSymbol(
                name,
                int(value, 16),
                int(kind, 16) | sum(bits[word] for word in scope.split()),
                int(number, 16),
                int(reference, 16) | int(flags, 16),
            )
            for name, scope, kind, number, reference, flags, value in symbol.findall(text)
        ],
        sections=sections,
        platform=PLATFORMS[platform],
        minos=packed(int(part) for part in minos.split(".")),
        sdk=packed(int(part) for part in sdk.split(".")),
    )


def packed(parts: object) -> int:
    """A version as Mach-O packs it: xxxx.yy.zz."""
    major, minor, patch = [*parts, 0, 0][:3]
    return major << 16 | minor << 8 | patch


def macholib_macho(path: Path) -> MachOFacts:
    """What macholib says."""
    from macholib.mach_o import LC_BUILD_VERSION
    from macholib.MachO import MachO
    from macholib.SymbolTable import SymbolTable

    file = MachO(str(path))
    sections, version = [], None
    for load, command, content in file.headers[0].commands:
        if load.cmd == LC_BUILD_VERSION:
            version = command
        elif isinstance(content, list):
            sections += content
    return MachOFacts(
        symbols=[
            MachOSymbol(name.decode(), nlist.n_value, nlist.n_type, nlist.n_sect, nlist.n_desc)
            for nlist, name in SymbolTable(file).nlists
        ],
        sections=[
            MachOSection(
                f"{section.segname.rstrip(bytes(1)).decode()},{section.sectname.rstrip(bytes(1)).decode()}",
                section.addr,
                section.size,
                section.align,
                section.flags,
                section.nreloc,
            )
            for section in sections
        ],
        platform=version.platform,
        minos=int(version.minos),
        sdk=int(version.sdk),
    )


def lief_macho(path: Path) -> MachOFacts:
    """What LIEF says."""
    import lief

    lief.logging.disable()  # it reads 65,535 relocations at most, and says so
    universal = lief.MachO.parse(str(path))  # owns what it hands out: it must outlive the lines below
    file = universal.at(0)
    return MachOFacts(
        symbols=[MachOSymbol(s.name, s.value, s.raw_type, s.numberof_sections, s.description) for s in file.symbols],
        sections=[
            MachOSection(
                f"{section.segment_name},{section.name}",
                section.virtual_address,
                section.size,
                section.alignment,
                int(section.flags) | int(section.type),
                section.numberof_relocations,
            )
            for section in file.sections
        ],
        platform=int(file.build_version.platform),
        minos=packed(file.build_version.minos),
        sdk=packed(file.build_version.sdk),
    )


MACHO_READERS: dict[str, Callable[[Path], MachOFacts]] = {
    "llvm": llvm_macho,
    "macholib": macholib_macho,
    "lief": lief_macho,
}


@pytest.mark.parametrize("count", MACHO_COUNTS)
def test_every_reader_sees_the_same_macho_object(count: int, tmp_path: Path) -> None:
    """A field that only our reader understands breaks in some linker or debugger of the user's."""
    need_module("macholib", "macholib")
    need_module("lief", "lief")
    path = tmp_path / "stub.o"
    path.write_bytes(macho_stub(count).content)
    facts = {name: read(path) for name, read in MACHO_READERS.items()}
    reference = facts["llvm"]
    assert all(other == reference for other in facts.values()), {
        name: [
            (field, ours, theirs) if isinstance(ours, int) else (field, ours[:3], theirs[:3])
            for field, ours, theirs in zip(MachOFacts._fields, reference, other, strict=True)
            if ours != theirs
        ]
        for name, other in facts.items()
    }
    assert reference.symbols == [MachOSymbol(f"_function_{n}", 20 * n, 0x1F, 1, 0x80) for n in range(count)]
    assert reference.sections[0] == MachOSection("__TEXT,__text", 0, 20 * count, 2, 0x8000_0400, 0)
    assert [s.name for s in reference.sections[1:]] == (["__LD,__compact_unwind"] if count else [])
    assert (reference.platform, reference.minos, reference.sdk) == MACOS_13


def test_readers_see_one_unwind_entry_for_each_stub(tmp_path: Path) -> None:
    """Linkers move each function alone: one that shares its neighbour's entry cannot be unwound."""
    count = 3
    path = tmp_path / "stub.o"
    path.write_bytes(macho_stub(count).content)
    text = quietly(need("llvm-objdump-19"), "--unwind-info", path)
    entries = re.findall(r"start: +0x(\w+) (\S+)\s+length: +0x(\w+)\s+compact encoding: +0x(\w+)", text)
    assert [(int(start, 16), name, int(size, 16), int(code, 16)) for start, name, size, code in entries] == [
        (20 * n, f"_function_{n}", 20, 0x0200_0000) for n in range(count)
    ]
    relocations = quietly(need("llvm-readobj-19"), "--relocs", path)
    assert re.findall(r"0x(\w+) 0 3 0 ARM64_RELOC_UNSIGNED 0 __text", relocations) == ["0", "20", "40"]


@pytest.mark.parametrize("count", MACHO_COUNTS)
def test_merged_macho_object_keeps_every_stub(count: int, tmp_path: Path) -> None:
    """Builders merge objects with `ld -r`: a stub lost or changed there is a call to nowhere.

    The pip toolchain's linker makes weak private definitions strong when it merges, whoever wrote them; ld64.lld
    cannot merge at all.
    """
    stubs = [macho_stub(2, b"other"), macho_stub(count)]
    merged = tmp_path / "merged.o"
    run([*zig(), "cc", "-target", "aarch64-macos", "-r", "-o", merged, *written(stubs, tmp_path)])
    quietly(need("llvm-objdump-19"), "--macho", "--private-headers", merged)
    strong = {name: (target, bti, False, hidden) for name, (target, bti, _, hidden) in expected(stubs).items()}
    assert found_in(merged) == strong
