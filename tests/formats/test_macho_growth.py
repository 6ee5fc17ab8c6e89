"""The Mach-O editor inserts symbols and grows sections; readers that share no code with it see all in its place."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import need, need_module, run

from stubgen.macho import constants as c
from stubgen.macho.editor import ObjectEditor
from stubgen.macho.reader import MachOFile
from stubgen.macho.relocations import ARM64_RELOC_UNSIGNED, r_word

SOURCE = """
struct Guard { ~Guard(); int value; };
void thrower(int); int other(int), counter, table[4]; static int hidden = 3, *pointer = &table[1];
static const char *const names[] = {"one", "two", "three"};
int first(int x) { Guard guard; guard.value = x; counter += x; thrower(*pointer); return counter + hidden++; }
int second(int x) { try { thrower(x); } catch (int e) { counter += e; } return table[x & 3]; }
const char *third(int x) { switch (x) { case 0: return names[x]; case 1: other(1); case 2: other(4); case 3: other(7);
  case 4: return names[other(2) & 1]; default: return pointer ? 0 : names[1]; } }
__attribute__((section("__TEXT,__second"))) int fourth(int x) { return other(x) + counter; }
"""


TABLES = "ld64.lld confuses the exception tables of an object whose sections stay whole"


class Place(NamedTuple):
    """Somewhere in a section, wherever that lies."""

    section: str
    offset: int


class Facts(NamedTuple):
    """What an object says, without addresses and symbol numbers."""

    symbols: dict[str, Place | None]
    relocations: list[tuple[str, int, int, object, int]]
    contents: dict[str, bytes]
    order: str  # of the symbols: l, e and u


def facts(path: Path) -> Facts:
    """*path* as LIEF has it; relocations are read as ``<mach-o/reloc.h>`` has them."""
    need_module("lief", "lief")
    import lief

    lief.logging.disable()
    content = path.read_bytes()
    universal = lief.MachO.parse(str(path))
    image = universal.at(0)
    sections = [(f"{s.segment_name},{s.name}", s) for s in image.sections]

    def place(address: int, number: int) -> Place:
        name, section = sections[number - 1]
        assert section.virtual_address <= address <= section.virtual_address + section.size, name
        return Place(name, address - section.virtual_address)

    symtab = image.symbol_command
    strings = content[symtab.strings_offset : symtab.strings_offset + symtab.strings_size]
    raw = content[symtab.symbol_offset : symtab.symbol_offset + 16 * symtab.numberof_symbols]
    records = [
        (strings[name : strings.index(b"\0", name)].decode(), kind, number, value)
        for name, kind, number, _, value in struct.iter_unpack("<IBBHQ", raw)
    ]
    ranges = image.dynamic_symbol_command
    assert ranges.idx_local_symbol == 0
    assert ranges.idx_external_define_symbol == ranges.nb_local_symbols
    assert ranges.idx_undefined_symbol == ranges.nb_local_symbols + ranges.nb_external_define_symbols
    assert ranges.idx_undefined_symbol + ranges.nb_undefined_symbols == len(records)
    relocations = []
    for name, section in sections:
        table = content[section.relocation_offset : section.relocation_offset + 8 * section.numberof_relocations]
        for at, word in struct.iter_unpack("<II", table):
            number, extern, kind, size = word & 0xFFFFFF, word >> 27 & 1, word >> 28, 1 << (word >> 25 & 3)
            in_place = int.from_bytes(bytes(section.content)[at : at + size], "little")
            if extern:
                relocations.append((name, at, kind, records[number][0], in_place))
            elif kind == 10:
                relocations.append((name, at, kind, number, in_place))
            else:
                relocations.append((name, at, kind, place(in_place, number), 0))
    return Facts(
        symbols={name: place(value, number) if kind & 0xE == 0xE else None for name, kind, number, value in records},
        relocations=relocations,
        contents={name: bytes(section.content) for name, section in sections},
        order="".join("u" if kind & 0xE == 0 else "e" if kind & 1 else "l" for _, kind, _, _ in records),
    )


@pytest.fixture(params=["-O1", "-O2 -g", "-O1 -fexceptions -g -mno-outline"])
def compiled(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An object with exceptions, jump tables, constants and debug information."""
    (tmp_path / "a.cpp").write_text(SOURCE)
    command = [need("clang-19"), "--target=arm64-apple-macos13", *request.param.split(), "-c", "a.cpp", "-o", "a.o"]
    run(command, cwd=tmp_path)
    return tmp_path / "a.o"


@pytest.mark.parametrize("grown", [["__TEXT,__text"], ["__TEXT,__text", "__TEXT,__second"], ["__DATA,__data"]])
def test_everything_is_where_it_was_seen_from_its_section(compiled: Path, grown: list[str]) -> None:
    """A symbol, pointer or unwind entry that stays behind when its section moves means something else from then on."""
    before = facts(compiled)
    editor = ObjectEditor(MachOFile(compiled.read_bytes(), "a.o"))
    assert editor.growth_obstacle() == TABLES  # no other; how the bytes move is the same
    places = {}
    for number, name in enumerate(grown):
        section = editor.file.section(name)
        assert section is not None
        for piece in range(3):
            offset = editor.grow(section, bytes([number, piece]) * 4)
            assert offset == -(-section.header.size // 4) * 4 + 8 * piece
            editor.add_local(b"__added.%d.%d" % (number, piece), section, offset)
            places[f"__added.{number}.{piece}"] = Place(name, offset)
    (compiled.parent / "b.o").write_bytes(editor.finish())
    after = facts(compiled.parent / "b.o")
    assert {name: place for name, place in after.symbols.items() if name not in places} == before.symbols
    assert {name: after.symbols[name] for name in places} == places
    assert after.relocations == before.relocations
    assert after.order == before.order.replace("le", "l" + "l" * len(places) + "e")
    in_place = {(name, at + byte) for name, at, *_ in before.relocations for byte in range(8)}
    for name, content in before.contents.items():
        held = after.contents[name][: len(content)]
        assert [at for at in range(len(content)) if held[at] != content[at] and (name, at) not in in_place] == []
        assert (len(after.contents[name]) > len(content)) == (name in grown)
    for number, name in enumerate(grown):
        assert after.contents[name].endswith(b"".join(bytes([number, piece]) * 4 for piece in range(3)))
    flags = MachOFile((compiled.parent / "b.o").read_bytes(), "b.o").header.flags
    assert not flags & c.MH_SUBSECTIONS_VIA_SYMBOLS
    shown = run([need("llvm-objdump-19"), "--macho", "--private-headers", compiled.parent / "b.o"])
    assert shown.count("past end of file") == 0


def test_debug_lines_stay_right(tmp_path: Path) -> None:
    """A debugger that shows another line than the one that runs costs more time than one that shows none."""
    (tmp_path / "a.cpp").write_text(SOURCE.replace('__attribute__((section("__TEXT,__second")))', ""))
    run([need("clang-19"), "--target=arm64-apple-macos13", "-O1", "-g", "-c", "a.cpp", "-o", "a.o"], cwd=tmp_path)
    editor = ObjectEditor(MachOFile((tmp_path / "a.o").read_bytes(), "a.o"))
    text = editor.file.section("__TEXT,__text")
    assert text is not None
    editor.grow(text, bytes(24))
    (tmp_path / "b.o").write_bytes(editor.finish())
    dumps = [
        run([need("llvm-dwarfdump-19"), "--debug-line", tmp_path / name]).partition("\n")[2] for name in ("a.o", "b.o")
    ]
    assert dumps[0] == dumps[1]
    assert "end_sequence" in dumps[0]


def test_indirect_symbols_are_counted_on(tmp_path: Path) -> None:
    """The indirect symbol table holds numbers of symbols; behind an inserted one each means its neighbour."""
    (tmp_path / "a.s").write_text(
        ".section __DATA,__thread_ptr,thread_local_variable_pointers\n.section __DATA,__ptrs,non_lazy_symbol_pointers\n"
        "L1:\n.indirect_symbol _imported\n.quad 0\nL2:\n.indirect_symbol _other\n.quad 0\n"
        ".text\n_mine: ret\nadrp x0, L1@PAGE\n.subsections_via_symbols\n"
    )
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.s", "-o", "a.o"], cwd=tmp_path)

    def indirect(path: Path) -> list[str]:
        lines = run([need("llvm-objdump-19"), "--macho", "--indirect-symbols", path]).splitlines()
        return [line.split()[-1] for line in lines if line.startswith("0x")]

    editor = ObjectEditor(MachOFile((tmp_path / "a.o").read_bytes(), "a.o"))
    text = editor.file.section("__TEXT,__text")
    assert text is not None
    editor.add_local(b"__added", text, 0)
    (tmp_path / "b.o").write_bytes(editor.finish())
    assert indirect(tmp_path / "a.o") == indirect(tmp_path / "b.o") == ["_imported", "_other"]


def test_what_cannot_be_followed_is_told(tmp_path: Path) -> None:
    """A distance that no relocation describes would be wrong by what was inserted, and nobody would know."""
    (tmp_path / "a.s").write_text(
        ".text\n_f: ret\n.section __TEXT,__eh_frame\n.long 4\n.long 0\n.long 12\n.long 8\n.quad 0x1234\n.data\n"
        "_a: .quad 1\n.quad _f\n.subsections_via_symbols\n"
    )
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.s", "-o", "a.o"], cwd=tmp_path)
    content = (tmp_path / "a.o").read_bytes()
    editor = ObjectEditor(MachOFile(content, "a.o"))
    assert editor.growth_obstacle() == "__TEXT,__eh_frame+0x10 says without a relocation how far its function is"

    (tmp_path / "a.s").write_text(".text\n_f: ret\n.data\n_a: .quad 1\n.quad _f\n.subsections_via_symbols\n")
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.s", "-o", "a.o"], cwd=tmp_path)
    editor = ObjectEditor(MachOFile((tmp_path / "a.o").read_bytes(), "a.o"))
    assert editor.growth_obstacle() == ""
    page = r_word(1, pcrel=True, length=2, extern=False, kind=3)
    editor.tables[0].r_word[0] = page
    assert editor.growth_obstacle() == "__DATA,__data+0x8 counts from a section"
    editor.tables[0].r_word[0] = r_word(1, pcrel=False, length=3, extern=False, kind=ARM64_RELOC_UNSIGNED)
    assert editor.growth_obstacle() == ""

    entry = ".section __LD,__compact_unwind,regular,debug\n.quad _f\n.long 4\n.long 0x44000000\n.quad 0\n.quad {}\n"
    unwind = ".text\n_f: ret\n.section __TEXT,__tables\n_t: .long 1\n" + entry + ".subsections_via_symbols\n"
    for table, obstacle in (("0", ""), ("_t", TABLES)):
        (tmp_path / "a.s").write_text(unwind.format(table))
        run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.s", "-o", "a.o"], cwd=tmp_path)
        assert ObjectEditor(MachOFile((tmp_path / "a.o").read_bytes(), "a.o")).growth_obstacle() == obstacle


def test_hints_and_data_in_code_follow(tmp_path: Path) -> None:
    """A hint about another instruction makes the linker change that one; tables in code are disassembled as code."""
    (tmp_path / "a.s").write_text(
        ".text\n_f: Lone: adrp x0, _v@PAGE\nLtwo: add x0, x0, _v@PAGEOFF\nret\n.loh AdrpAdd Lone, Ltwo\n"
        ".data_region jt32\n.long 1\n.end_data_region\n"
        ".section __TEXT,__second,regular,pure_instructions\n_g: Lthree: adrp x0, _v@PAGE\n"
        "Lfour: add x0, x0, _v@PAGEOFF\nret\n.loh AdrpAdd Lthree, Lfour\n.data_region jt32\n.long 2\n.end_data_region\n"
        ".data\n_v: .quad 1\n.subsections_via_symbols\n"
    )
    run([need("clang-19"), "--target=arm64-apple-macos13", "-c", "a.s", "-o", "a.o"], cwd=tmp_path)
    editor = ObjectEditor(MachOFile((tmp_path / "a.o").read_bytes(), "a.o"))
    text = editor.file.section("__TEXT,__text")
    assert text is not None
    editor.grow(text, bytes(8))
    (tmp_path / "b.o").write_bytes(editor.finish())

    def shown(name: str, table: str) -> list[int]:
        text = run([need("llvm-objdump-19"), "--macho", table, tmp_path / name])
        return [int(value, 16) for value in re.findall(r"(?:value |^)(0x\w+)", text, re.MULTILINE)]

    second = text.header.size
    assert shown("a.o", "--link-opt-hints") == [0, 4, second, second + 4]
    assert shown("b.o", "--link-opt-hints") == [0, 4]
    assert shown("a.o", "--data-in-code") == [12, second + 12]
    assert shown("b.o", "--data-in-code") == [12, second + 8 + 12]
