"""Objects and archives that somebody crafted: one sentence, and no corrupt copy, no traceback, no work without end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import Sym, elf_host, elf_object, macho_host, macho_object, put, undefined
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.cli import main
from stubgen.common.view import sleb128, uleb128
from stubgen.elf.editor import ObjectEditor as ElfEditor
from stubgen.elf.reader import ElfFile
from stubgen.elf.records import EHDR, PHDR, SHDR, SYM
from stubgen.errors import MalformedInput
from stubgen.image import dwarf
from stubgen.image.archive import members
from stubgen.macho import constants as m
from stubgen.macho.editor import ObjectEditor as MachOEditor
from stubgen.macho.reader import MachOFile

LONG = 1 << 20  # bytes of one string


def edited(content: bytes, layout: str, offset: int, value: int) -> bytes:
    """*content* with another value in one field."""
    changed = bytearray(content)
    struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def command(content: bytes, wanted: int) -> int:
    """Byte offset of the load command *wanted*."""
    return next(item.offset for item in MachOFile(content, "x").commands if item.cmd == wanted)


MACHO = macho_object({"_f": 0}, ["_g"])
SECTION = 32 + 72  # byte offset of the one section's header
DYSYMTAB = command(MACHO, m.LC_DYSYMTAB)
(SYMOFF,) = struct.unpack_from("<I", MACHO, command(MACHO, m.LC_SYMTAB) + 8)
CRAFTED_MACHO = {
    "aligned to 2^16": (edited(MACHO, "<I", SECTION + 52, 16), "is aligned to 2\\^16; linkers take 2\\^15"),
    "aligned to 2^(2^32)": (edited(MACHO, "<I", SECTION + 52, 0xFFFFFFFF), "is aligned to"),
    "over the headers": (edited(MACHO, "<I", SECTION + 48, 40), "overlaps the file's headers"),
    "at the last address": (edited(MACHO, "<Q", SECTION + 32, (1 << 64) - 4), "ends beyond the last address"),
    "symbol of no section": (edited(MACHO, "B", SYMOFF + 5, 200), "in section 200, which is not there"),
    "too many undefined": (edited(MACHO, "<I", DYSYMTAB + 28, 0xFFFFFFFF), "counts symbols that are not there"),
    "defined ones elsewhere": (edited(MACHO, "<I", DYSYMTAB + 16, 0xFFFFFFFF), "counts symbols that are not there"),
}


@pytest.mark.parametrize(("content", "sentence"), CRAFTED_MACHO.values(), ids=list(CRAFTED_MACHO))
def test_crafted_macho_objects_are_not_edited(content: bytes, sentence: str) -> None:
    """An alignment of 2^31 bytes took gigabytes; a section over the headers gave a corrupt copy, with status 0."""
    MachOEditor(MachOFile(MACHO, "x"))
    with pytest.raises(MalformedInput, match=sentence):
        MachOEditor(MachOFile(content, "x"))


@pytest.mark.parametrize("where", ["header", "section headers"])
def test_an_elf_section_over_the_headers_is_not_edited(where: str) -> None:
    """A pointer written there is written over the copy's section headers: it linked, into anything."""
    content = elf_object([Sym("f"), undefined("g")])
    (start,) = struct.unpack_from("<Q", content, 40)
    ElfEditor(ElfFile(content, "x"))
    offset = 0 if where == "header" else start + 8
    with pytest.raises(MalformedInput, match=r"\.data overlaps the file's headers"):
        ElfEditor(ElfFile(edited(content, "<Q", start + 2 * SHDR.size + 24, offset), "x"))


def test_a_common_with_a_section_is_a_common(tmp_path: Path) -> None:
    """A common symbol has no section; what stands in that field led beyond the list of them."""
    from stubgen.image.opening import open_image

    changed = bytearray(macho_object({}, ["_g"]))
    (at,) = struct.unpack_from("<I", changed, command(bytes(changed), m.LC_SYMTAB) + 8)
    struct.pack_into("<BBHQ", changed, at + 4, m.N_UNDF | m.N_EXT, 200, 0, 8)
    (variable,) = open_image(put(tmp_path, "x.o", bytes(changed))).variables()
    assert (variable.name, variable.thread_local) == (b"_g", False)


def test_numbers_of_more_than_64_bits_are_malformed() -> None:
    """Ten bytes hold 70 bits; what did not fit ended in a traceback, and so did the least of all numbers."""
    unsigned, signed = 0x0F, 0x0D  # DW_FORM_udata, DW_FORM_sdata
    assert dwarf.read_value(b"\xff" * 9 + b"\x01", 0, unsigned) == (b"\xff" * 8, 10)
    assert dwarf.read_value(b"\x80" * 9 + b"\x7f", 0, signed) == (bytes(7) + b"\x80", 10)
    with pytest.raises(MalformedInput, match="more than 64 bits"):
        dwarf.read_value(b"\xff" * 9 + b"\x7f", 0, unsigned)


def sections(*rows: tuple[int, int, bytes, int, int, int]) -> bytes:
    """An ELF object with sections of (name's offset, type, content, link, info, record's size)."""
    content, headers = b"", [bytes(SHDR.size)]
    for name, kind, raw, link, info, size in rows:
        headers.append(SHDR.struct.pack(name, kind, 0, 0, 64 + len(content), len(raw), link, info, 8, size))
        content += raw + bytes(-len(raw) % 8)
    identity = b"\x7fELF\2\1\1" + bytes(9)
    strings = next(number for number, row in enumerate(rows, 1) if row[1] == 3)
    header = EHDR.struct.pack(identity, 1, 183, 1, 0, 0, 64 + len(content), 0, 64, 56, 0, 64, len(headers), strings)
    return header + content + b"".join(headers)


def overlapping_symbols() -> bytes:
    """Thousands of undefined symbols whose names begin inside one long string."""
    table = bytes(24) + b"".join(SYM.struct.pack(1 + number, 0x10, 0, 0, 0, 0) for number in range(3000))
    return sections((0, 2, table, 2, 1, 24), (0, 3, b"\0" + b"A" * LONG + b"\0", 0, 0, 0))


def overlapping_sections() -> bytes:
    """The same of sections' names."""
    return sections(
        (0, 3, b"\0" + b"A" * LONG + b"\0", 0, 0, 0), *((1 + number, 1, b"", 0, 0, 0) for number in range(3000))
    )


def overlapping_macho() -> bytes:
    """The same of a Mach-O object's symbols."""
    table = b"".join(struct.pack("<IBBHQ", 1 + number, 1, 0, 0, 0) for number in range(3000))
    strings = b"\0" + b"A" * LONG + b"\0"
    symtab = struct.pack("<IIIIII", 2, 24, 56, 3000, 56 + len(table), len(strings))
    header = struct.pack("<IIIIIIII", 0xFEEDFACF, 0x100000C, 0, 1, 1, len(symtab), 0x2000, 0)
    return header + symtab + table + strings


def read_symbols(content: bytes) -> object:
    """Every name of an object."""
    table = (ElfFile if content[:4] == b"\x7fELF" else MachOFile)(content, "x").symbols
    return table and list(table.names())


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (overlapping_symbols, read_symbols),
        (overlapping_sections, lambda content: ElfFile(content, "x")),
        (overlapping_macho, read_symbols),
    ],
)
def test_names_that_overlap_again_and_again_are_malformed(
    make: Callable[[], bytes], read: Callable[[bytes], object]
) -> None:
    """A file of a megabyte took three gigabytes, a larger one the machine."""
    with pytest.raises(MalformedInput, match="names overlap again and again"):
        read(make())


def test_a_patch_of_such_names_is_refused(tmp_path: Path) -> None:
    """The way of a patch's own references, which are cut out one by one."""
    host = put(tmp_path, "host", elf_host([Sym("main", 0x10100)]))
    with pytest.raises(MalformedInput, match="names overlap again and again"):
        StubBuilder(host).judge([put(tmp_path, "p.o", overlapping_symbols())], slide=0x1000)


def test_long_names_are_read() -> None:
    """Templates have names of thousands of letters: those are names like any other."""
    names = [f"{'t' * 20_000}{number}" for number in range(50)]
    table = ElfFile(elf_object([undefined(name) for name in names]), "x").symbols
    assert table is not None
    assert [name.decode() for name in table.names() if name] == names


def member(name: bytes, content: bytes) -> bytes:
    """One member of an archive."""
    size = str(len(content)).encode()
    fields = (name, 16), (b"0", 12), (b"0", 6), (b"0", 6), (b"644", 8), (size, 10)
    return b"".join(text.ljust(width) for text, width in fields) + b"`\n" + content + b"\n" * (len(content) & 1)


def test_a_members_name_without_an_end_is_malformed() -> None:
    """Each of 30,000 members was called by the same two megabytes."""
    archive = b"!<arch>\n" + member(b"//", b"A" * (2 << 20)) + member(b"/0", b"") * 30_000
    with pytest.raises(MalformedInput, match="a member's name has no end"):
        list(members(archive, "x.a"))
    named = b"!<arch>\n" + member(b"//", b"a" * 300 + b".o/\nb.o/\n") + member(b"/0", b"1") + member(b"/304", b"2")
    assert [(each.name, bytes(each.content)) for each in members(named, "x.a")] == [
        ("a" * 300 + ".o", b"1"),
        ("b.o", b"2"),
    ]


def library(segments: int, chain: int, *, ends: bool) -> bytes:
    """A library without section headers, whose DT_GNU_HASH chain has so many entries."""
    base = 0x10000
    strings, symbol = b"\0main\0\0\0", bytes(24) + SYM.struct.pack(1, 0x12, 0, 1, base, 4)
    entries = struct.pack("<I", 2) * (chain - 1) + struct.pack("<I", 3 if ends else 2)
    hashed = struct.pack("<IIII", 1, 1, 1, 0) + bytes(8) + struct.pack("<I", 1) + entries
    body = strings + symbol + hashed
    body += bytes(-len(body) % 8)
    at, dynamic_at = 64 + 56 * segments, base + len(body)
    tags = ((5, base), (10, len(strings)), (6, base + 8), (0x6FFFFEF5, base + 56), (0, 0))
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    table = PHDR.struct.pack(1, 4, 0, 1 << 40, 0, 1, 1, 1) * (segments - 2)
    table += PHDR.struct.pack(2, 4, at + len(body), dynamic_at, 0, len(dynamic), len(dynamic), 8)
    table += PHDR.struct.pack(1, 5, at, base, 0, len(body) + len(dynamic), len(body) + len(dynamic), 1)
    identity = b"\x7fELF\2\1\1" + bytes(9)
    return EHDR.struct.pack(identity, 3, 183, 1, 0, 64, 0, 0, 64, 56, segments, 64, 0, 0) + table + body + dynamic


def test_a_hash_chain_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry of a chain was looked up among all segments: 20,000 of one and 100,000 of the other took minutes."""
    looked_up = []
    offset_of = ElfFile.offset_of

    def counted(file: ElfFile, address: int) -> int | None:
        looked_up.append(address)
        return offset_of(file, address)

    monkeypatch.setattr(ElfFile, "offset_of", counted)
    with pytest.raises(MalformedInput, match=r"ends at|needs bytes|which no segment holds"):
        _ = ElfFile(library(10, 5000, ends=True), "x").dynamic_symbols
    assert len(looked_up) < 50
    with pytest.raises(MalformedInput):
        _ = ElfFile(library(10, 5000, ends=False), "x").dynamic_symbols
    with pytest.raises(MalformedInput, match="has 20000 segments"):
        ElfFile(library(20_000, 10, ends=True), "x")


COUNTS = """
int first; int second; static int own;
int changed(int x) { own += x; first += x; second += first; return second + own; }
"""


def commons(folder: Path, name: str) -> tuple[Path, Path]:
    """A program with two commons, and a patch of the same file."""
    (folder / "a.c").write_text(f"{COUNTS} int main(void) {{ return changed(1); }}")
    target = {"elf": "aarch64-linux-gnu", "macho": "arm64-apple-macos13"}[name]
    run(
        [need("clang-19"), f"--target={target}", "-O1", "-g", "-fPIC", "-fcommon", "-c", "a.c", "-o", "a.o"], cwd=folder
    )
    if name == "elf":
        run([need("aarch64-linux-gnu-gcc"), "a.o", "-o", "program"], cwd=folder)
    else:
        words = ["-arch", "arm64", "-platform_version", "macos", "13", "13", "-undefined", "dynamic_lookup"]
        run([need("ld64.lld-19"), *words, "a.o", "-o", "program"], cwd=folder)
    return folder / "program", folder / "a.o"


def with_sections(content: bytes) -> bytes:
    """A Mach-O object whose commons name a section, which has no meaning."""
    changed = bytearray(content)
    at, count = struct.unpack_from("<II", content, command(content, m.LC_SYMTAB) + 8)
    for entry in range(at, at + 16 * count, 16):
        if content[entry + 4] == m.N_UNDF | m.N_EXT and content[entry + 8 : entry + 16] != bytes(8):
            changed[entry + 5] = 1
    assert changed != content
    return bytes(changed)


@pytest.mark.parametrize("case", ["elf", "macho", "macho, of a section"])
def test_several_commons_are_kept(tmp_path: Path, case: str) -> None:
    """Each is the host's, where an object has several; one with a section's number ended in a KeyError."""
    program, patch = commons(tmp_path, case.partition(",")[0])
    if "section" in case:
        patch.write_bytes(with_sections(patch.read_bytes()))
    builder = StubBuilder(program)
    judged = builder.judge([patch], slide=0x10000, bind=True, keep_state=True)
    assert [variable.forwarded for variable in judged.shared_variables] == [True] * 3
    assert builder.emit(judged).bound is not None


def test_data_in_code_beyond_the_file(tmp_path: Path) -> None:
    """Where sections move the table of data in code moves with them; one that is not there ended in a traceback."""
    program, patch = commons(tmp_path, "macho")
    content = patch.read_bytes()
    patch.write_bytes(edited(content, "<I", command(content, m.LC_BUILD_VERSION), m.LC_DATA_IN_CODE))
    builder = StubBuilder(program)
    judged = builder.judge([patch], slide=0x10000, bind=True, keep_state=True)
    with pytest.raises(MalformedInput, match="data in code needs bytes"):
        builder.emit(judged)


@pytest.mark.parametrize("read", [uleb128, sleb128])
def test_a_number_without_an_end_is_malformed(read: Callable[[bytes, int, str], tuple[int, int]]) -> None:
    """All readers of such numbers share these two."""
    assert read(b"\xff" * 9 + b"\x01", 0, "it")[1] == 10
    for raw, sentence in ((b"\x80" * 10 + b"\x00", "more than 64 bits"), (b"\x80\x80", "in the middle of a number")):
        with pytest.raises(MalformedInput, match=sentence):
            read(raw, 0, "it")


TOP = (1 << 64) - 8


@pytest.mark.parametrize("format_name", ["elf", "macho"])
def test_symbols_near_the_last_address(format_name: str, tmp_path: Path) -> None:
    """A slide added to such an address has more than 64 bits: one sentence, and nothing written."""
    make = {
        "elf": (elf_host([Sym("main", 0x10100), Sym("f", TOP)]), elf_object([undefined("f")])),
        "macho": (edited_value(macho_host({"_main": 0, "_f": 8}), TOP), macho_object({}, ["_f"])),
    }[format_name]
    host, patch = put(tmp_path, "host", make[0]), put(tmp_path, "p.o", make[1])
    words = ["build", "--host", host, "--slide", "0x5500000000", patch, "-o", str(tmp_path / "stub.o")]
    assert main([*words, "--bound-dir", str(tmp_path / "bound")]) in (1, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "p.o"]


def edited_value(content: bytes, value: int) -> bytes:
    """A Mach-O file whose last symbol is elsewhere."""
    at, count = struct.unpack_from("<II", content, command(content, m.LC_SYMTAB) + 8)
    return edited(content, "<Q", at + 16 * count - 8, value)


def test_an_object_without_sections_grows() -> None:
    """There is no section to move, and its table of symbols still has room for one more."""
    bare = edited(edited(macho_object({}, ["_g"]), "<I", 32 + 64, 0), "<I", 32 + 4, 152)
    editor = MachOEditor(MachOFile(bare, "x"))
    editor.add_undefined(b"_h")
    symbols = MachOFile(bytes(editor.finish()), "y").symbols
    assert symbols is not None
    assert list(symbols.names()) == [b"_g", b"_h"]
