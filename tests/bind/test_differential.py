"""Bound copies of real objects, thousands of them: nothing changes but what was meant to.

Every object of Rust's standard library, of the C and C++ libraries and of gcc's own is bound against a made-up host
that has everything that the object leaves undefined. What must become of each relocation is written down here once
more, in the words of the ABI; binutils' readelf reads both objects and Capstone the instructions. Away from CI a
sample is taken.
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import REQUIRED, SYSROOT, need, need_module, run, rustc, zig

from stubgen.bind.elf import bind_object
from stubgen.bind.macho import bind_object as bind_macho
from stubgen.image import Kind
from stubgen.image.archive import members
from stubgen.image.elf import ElfImage
from stubgen.image.macho import MachOImage
from stubgen.resolve.verdicts import SlotKind, Target
from stubgen.stub.slots import Binder

BATCH = 24
"""Objects that one run of readelf reads."""


class Section(NamedTuple):
    """One section, as readelf prints it."""

    number: int
    name: str
    kind: str
    offset: int  # byte offset in the file
    size: int  # bytes
    rest: tuple[str, ...]  # entry size, flags, link, info, alignment

    @property
    def allocated(self) -> bool:
        return "A" in self.rest[1]

    @property
    def info(self) -> int:
        return int(self.rest[3])


class Facts(NamedTuple):
    """One object, as readelf prints it."""

    sections: list[Section]
    symbols: list[tuple[str, ...]]  # value, size, type, bind, visibility, section, name
    groups: list[str]


class Relocation(NamedTuple):
    """One record of an ``SHT_RELA`` section."""

    offset: int
    kind: int
    symbol: int
    addend: int


SECTION = re.compile(r"\s*\[\s*(\d+)\] (.*?)\s+([A-Z_0-9+:.]+)\s+[0-9a-f]{16} ([0-9a-f]+) ([0-9a-f]+) (.*)")


def facts(paths: list[Path]) -> list[Facts]:
    """What readelf says of each object."""
    listing = run([need("readelf"), "-SsgW", "--sym-base=10", *paths])
    parts = re.split(r"^File: .*$", listing, flags=re.MULTILINE)[1:] if len(paths) > 1 else [listing]
    assert len(parts) == len(paths)
    return [_facts(part) for part in parts]


def _facts(listing: str) -> Facts:
    sections, symbols, groups = [], [], []
    for line in listing.splitlines():
        if "COMDAT" in line or line.startswith("   ["):
            groups.append(line)
        elif line.startswith("  [") and (found := SECTION.match(line)):
            number, name, kind, offset, size, rest = found.groups()
            entry, *words = rest.split()
            flags = words[0] if len(words) == 4 else ""
            fields = (entry, flags, *words[-3:])
            sections.append(Section(int(number), name, kind, int(offset, 16), int(size, 16), fields))
        elif line[6:8] == ": " and line[:6].strip().isdigit():
            words = line.split(None, 7)
            symbols.append((*words[1:7], words[7] if len(words) > 7 else ""))
    return Facts(sections, symbols, groups)


def relocations(content: bytes, section: Section) -> list[Relocation]:
    """The records of an ``SHT_RELA`` section."""
    raw = content[section.offset : section.offset + section.size]
    return [
        Relocation(offset, kind, symbol, addend) for offset, kind, symbol, addend in struct.iter_unpack("<QIIq", raw)
    ]


CALLS = {279: "TSTBR14", 280: "CONDBR19", 282: "JUMP26", 283: "CALL26", 314: "PLT32"}
DISTANCES = {260: "PREL64", 261: "PREL32", 262: "PREL16"}
THREAD = range(512, 574)
ABSOLUTE_WORD, ADD_LOW, PAGE, LOAD_LOW, LOAD_LITERAL, ADDRESS_NEAR = 257, 277, 275, 286, 273, 274
PAGES = {275: "ADR_PREL_PG_HI21", 276: "ADR_PREL_PG_HI21_NC"}
DIRECT = {277: 1, 278: 1, 284: 2, 285: 4, 286: 8, 299: 16}
"""What adds the page offset of a symbol -> bytes of the access; of an addition 1."""
MOVES = {263: 0, 264: 0, 265: 16, 266: 16, 267: 32, 268: 32, 269: 48}
"""A move of the large code model -> the first bit of the address that it holds."""
TO_SLOT = {
    311: PAGE,
    312: LOAD_LOW,
    309: LOAD_LITERAL,
    315: 261,
    274: LOAD_LITERAL,
    313: LOAD_LITERAL,
    310: LOAD_LITERAL,
}
TO_THREAD_SLOT = {541: PAGE, 542: LOAD_LOW, 543: LOAD_LITERAL}
TO_DESCRIPTOR = {562: PAGE, 563: LOAD_LOW, 564: ADD_LOW, 560: LOAD_LITERAL, 561: ADDRESS_NEAR}
LOCAL_EXEC = {549: 12, 551: 0, 553: 0, 555: 0, 557: 0, 559: 0, 571: 0, 550: 0, 552: 0, 554: 0, 556: 0, 558: 0, 570: 0}
"""Local-exec -> the first bit of the offset that the instruction holds."""
CHECKED = {550, 552, 554, 556, 558, 570}
"""Those that say that the offset fits into 12 bits."""
DESCRIPTOR_CALL = 569
OPENING = 549
"""Local-exec: what begins an access to a thread-local of the object's own."""
ASKED = {12: 562, 16: 563, 20: 564, 24: 569}
"""Byte offset in a detour -> the relocation that makes and asks a TLS descriptor."""


class Fate(NamedTuple):
    """What must become of one relocation."""

    name: str  # kept, slot, written, offset, dropped or refused
    kind: int = 0  # slot: the relocation that is left
    slot_kind: SlotKind = SlotKind.ADDRESS
    value: int = 0  # slot, written, offset: the number


KEPT, DROPPED, REFUSED = Fate("kept"), Fate("dropped"), Fate("refused")


class Original(NamedTuple):
    """An object under test, and the host that is made up for it."""

    name: str
    content: bytes
    facts: Facts
    tables: dict[int, list[Relocation]]  # number of the SHT_RELA section -> its records
    targets: dict[bytes, Target]
    bound_symbols: dict[int, Target]  # index -> what it means


def original(name: str, content: bytes, facts: Facts) -> Original:
    """Make up a host: each undefined symbol becomes what the object's relocations take it for."""
    tables = {section.number: relocations(content, section) for section in facts.sections if section.kind == "RELA"}
    kinds: dict[int, set[int]] = defaultdict(set)
    for table in tables.values():
        for relocation in table:
            kinds[relocation.symbol].add(relocation.kind)
    targets: dict[bytes, Target] = {}
    bound = {}
    # GCC's anchor of several variables stands or falls with all of them; the live tests see to those.
    anchored = any(symbol[2] == "TLS" and symbol[6].startswith(".LANCHOR") for symbol in facts.symbols)
    for index, symbol in enumerate(facts.symbols):
        spelling = symbol[6]
        number = zlib.crc32(spelling.encode())
        thread_local = symbol[2] == "TLS" or any(kind in THREAD for kind in kinds[index])
        if symbol[5] != "UND" and (anchored or symbol[2] != "TLS" or not number % 2):
            continue  # of the object's own symbols, only half of the thread-locals are the host's too
        if not index or not spelling or spelling == "_GLOBAL_OFFSET_TABLE_":
            continue
        if thread_local:
            own = symbol[5] != "UND"
            target = Target(Kind.THREAD_LOCAL, SlotKind.THREAD_OFFSET, 16 + number % 0x1000 * 16, kept=own)
        elif kinds[index] & CALLS.keys() or number % 3 == 0:
            target = Target(Kind.FUNCTION, SlotKind.ADDRESS, 0x5500_0000_0000 + number * 4)
        else:
            target = Target(Kind.DATA, SlotKind.ADDRESS, 0x7F00_0000_0000 + number)
        name_of = spelling.encode()
        if targets.setdefault(name_of, target) is target:
            bound[index] = target
    return Original(name, content, facts, tables, targets, bound)


def fate(original: Original, section: Section, relocation: Relocation, reached: Reached) -> Fate:
    """What must become of *relocation*, which changes *section* and names something of the host."""
    target = original.bound_symbols[relocation.symbol]
    kind, value = relocation.kind, target.value + relocation.addend
    if not section.allocated:
        return DROPPED if target.kind is Kind.DATA else KEPT
    if target.kind is Kind.THREAD_LOCAL:
        if kind in TO_THREAD_SLOT:
            return Fate("slot", TO_THREAD_SLOT[kind], SlotKind.THREAD_OFFSET, value)
        if kind in TO_DESCRIPTOR:
            return Fate("slot", TO_DESCRIPTOR[kind], SlotKind.DESCRIPTOR, value)
        if kind in LOCAL_EXEC and not (kind in CHECKED and value >> 12):
            return Fate("written", value=value)
        return DROPPED if kind == DESCRIPTOR_CALL else REFUSED
    if target.kind is Kind.FUNCTION and (kind in CALLS or kind in DISTANCES or section.name == ".eh_frame"):
        return KEPT
    if kind == ABSOLUTE_WORD or kind in MOVES:
        return Fate("written", value=value % (1 << 64))
    if kind in TO_SLOT:
        return Fate("slot", TO_SLOT[kind], SlotKind.ADDRESS, value)
    if relocation.symbol in reached.pairs and kind in PAGES:
        return Fate("slot", PAGE, SlotKind.ADDRESS, value)
    if relocation.symbol in reached.pairs and kind == ADD_LOW:
        return Fate("slot", LOAD_LOW, SlotKind.ADDRESS, value)
    base = reached.bases.get(relocation.symbol, 0)
    if kind in PAGES:
        return Fate("slot", LOAD_LITERAL, SlotKind.ADDRESS, target.value + base)
    if kind in DIRECT and expressible(kind, relocation.addend - base):
        return Fate("offset", value=relocation.addend - base)
    return REFUSED


def expressible(kind: int, offset: int) -> bool:
    """Whether one instruction adds *offset* bytes, in the place of one with a page offset (Arm ARM C6.2)."""
    if kind == ADD_LOW:
        return abs(offset) < 4096 or (abs(offset) < 1 << 24 and not offset % 4096)
    return (0 <= offset < 4096 * DIRECT[kind] and not offset % DIRECT[kind]) or -256 <= offset < 256


class Reached(NamedTuple):
    """How an object reaches symbols without the GOT."""

    pairs: set[int]  # the symbols for which it uses nothing but ``adrp`` and ``add xd, xn, #0``
    bases: dict[int, int]  # symbol -> the place in it, in bytes, from which all accesses can be expressed


def reached(original: Original) -> Reached:
    """How *original* reaches the host's symbols without the GOT, all its sections taken together."""
    only, others = set(), set()
    pages, uses = defaultdict(set), defaultdict(set)
    for number, table in original.tables.items():
        section = original.facts.sections[original.facts.sections[number].info]
        for relocation in table if section.allocated else ():
            if relocation.symbol not in original.bound_symbols:
                continue
            if relocation.kind in PAGES:
                only.add(relocation.symbol)
                pages[relocation.symbol].add(relocation.addend)
            elif relocation.kind in DIRECT:
                uses[relocation.symbol].add((relocation.kind, relocation.addend))
                shown = disassembled(original.content, section, relocation.offset)
                plain = relocation.kind == ADD_LOW and re.fullmatch(r"add x\d+, x\d+, #0", shown)
                (only if plain else others).add(relocation.symbol)
    pairs = only - others
    for symbol in pairs:  # no page of one place for the low bits of another
        assert {addend for _, addend in uses[symbol]} <= pages[symbol], f"{original.name}: symbol {symbol}"
    bases = {}
    for symbol, found in uses.items():
        places = sorted({addend for _, addend in found})
        tried = (0, *(place // 4096 * 4096 for place in places), *places)
        fitting = [base for base in tried if all(expressible(kind, addend - base) for kind, addend in found)]
        bases[symbol] = fitting[0] if fitting else 0
    return Reached(pairs, bases)


@cache
def disassembly(word: bytes) -> str:
    """One instruction, as Capstone prints it."""
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    return next((f"{mnemonic} {text}" for _, _, mnemonic, text in disassembler.disasm_lite(word, 0)), "unknown")


def disassembled(content: bytes, section: Section, offset: int) -> str:
    """The instruction at byte *offset* of *section*."""
    start = section.offset + offset
    return disassembly(bytes(content[start : start + 4]))


def compare(original: Original, copy: bytes, copied: Facts, binder: Binder) -> Counter[str]:
    """Hold a bound copy against its original; the number of relocations that had each fate."""
    changes: dict[int, dict[int, bytes]] = defaultdict(dict)  # section -> byte offset -> new bytes
    counts: Counter[str] = Counter()
    refused = []
    slot_names = {}  # index of a symbol in the copy -> the slot that must be its
    direct = reached(original)
    grown: dict[int, int] = {}  # section -> bytes
    for number, table in original.tables.items():
        section = original.facts.sections[original.facts.sections[number].info]
        after = relocations(copy, copied.sections[number])
        if not any(
            relocation.symbol in original.bound_symbols or relocation.kind in LOCAL_EXEC for relocation in table
        ):
            assert after == table
            counts["of no host symbol"] += len(table)
            continue
        left = iter(after)
        opened = []
        for relocation in table:
            place = f"{original.name}: {section.name}+{relocation.offset:#x}: {relocation}"
            if relocation.symbol not in original.bound_symbols and relocation.kind in LOCAL_EXEC:
                start = section.offset + relocation.offset
                word = changes[section.number][relocation.offset] = copy[start : start + 4]
                before = disassembled(original.content, section, relocation.offset)
                if relocation.kind == OPENING:
                    opened.append((relocation, before, place))
                else:
                    assert_holds_offset(before, disassembly(word), relocation.addend % 4096, relocation.kind, place)
                counts[f"own {relocation.kind}"] += 1
                continue
            if relocation.symbol not in original.bound_symbols:
                assert next(left) == relocation, place
                counts["of no host symbol"] += 1
                continue
            found = fate(original, section, relocation, direct)
            target = original.bound_symbols[relocation.symbol]
            counts[f"{target.kind.value} {relocation.kind} {found.name}"] += 1
            if found.name in ("kept", "refused"):
                assert next(left) == relocation, place
                if found is REFUSED:
                    refused.append(f"{original.name}: {section.name}+{relocation.offset:#x}")
            elif found.name == "slot":
                new = next(left)
                assert new[:2] == (relocation.offset, found.kind), place
                assert new.addend == 0, place
                slot = binder.slots[copied.symbols[new.symbol][6].encode()]
                assert (slot.kind, slot.value) == (found.slot_kind, found.value), place
                slot_names[new.symbol] = slot.symbol
                before = disassembled(original.content, section, relocation.offset)
                shown = disassembled(copy, section, relocation.offset)
                assert_reads_slot(before, shown, new.kind, place)
                if before != shown:
                    start = section.offset + relocation.offset
                    changes[section.number][relocation.offset] = copy[start : start + 4]
            elif found.name in ("written", "offset"):
                size = 8 if relocation.kind == ABSOLUTE_WORD else 4
                start = section.offset + relocation.offset
                changes[section.number][relocation.offset] = written = copy[start : start + size]
                before = disassembled(original.content, section, relocation.offset)
                if size == 8:
                    assert int.from_bytes(written, "little") == found.value, place
                elif found.name == "offset":
                    assert_adds_offset(before, disassembly(written), found.value, place)
                elif relocation.kind in MOVES:
                    assert f"#{found.value >> MOVES[relocation.kind] & 0xFFFF:#x}" in disassembly(written), place
                else:
                    assert_holds_offset(before, disassembly(written), found.value, relocation.kind, place)
        for relocation, before, place in opened:
            grown.setdefault(section.number, section.size + -section.size % 4)
            size = assert_detours(
                copy, copied.sections[section.number], relocation, before, grown[section.number], place
            )
            asked = [next(left) for _ in ASKED]
            assert asked == [
                Relocation(grown[section.number] + at, kind, relocation.symbol, 0) for at, kind in ASKED.items()
            ], place
            grown[section.number] += size
        assert next(left, None) is None
    assert sorted(line.partition(": R_")[0].partition(": relocation ")[0] for line in binder.refusals) == sorted(
        refused
    )
    assert_sections(original, copy, copied, changes, grown)
    assert_symbols(original, copied, slot_names)
    return counts


def assert_reads_slot(before: str, shown: str, kind: int, place: str) -> None:
    """The instruction still goes to the same registers, and it is one that the new relocation is for."""
    expected = before
    if before.startswith("add ") and kind == LOAD_LOW:
        destination, base, _ = before.removeprefix("add ").split(", ")
        expected = f"ldr {destination}, [{base}]"
    elif kind == LOAD_LITERAL:
        expected = f"ldr {re.split('[ ,]+', before)[1]}, #0"
    assert shown == expected, place
    pattern = {PAGE: r"adrp x\d+, #0", LOAD_LOW: r"ldr x\d+, \[x\d+\]", ADD_LOW: r"add x\d+, x\d+, #0"}
    assert re.fullmatch(pattern.get(kind, ".*"), shown), f"{place}: {shown}"


def assert_adds_offset(before: str, shown: str, offset: int, place: str) -> None:
    """The instruction is the one it was, but that it adds *offset* bytes to the same base register."""
    name, _, operands = before.partition(" ")
    if name == "add":
        name, operands, offset = "sub" if offset < 0 else name, operands.removesuffix(", #0"), abs(offset)
        found = re.fullmatch(rf"{name} {operands}, #(\w+)(, lsl #12)?", shown)
        assert found, f"{place}: {before}, {shown}"
        assert int(found[1], 0) << (12 if found[2] else 0) == offset, f"{place}: {shown}"
        return
    unscaled = re.sub("^(ld|st|prf)", r"\1u", name)  # ldur, sturb, ldursw; in Capstone, ldurb is one word
    names = {name, unscaled, name.replace("ldr", "ldur").replace("str", "stur")}
    found = re.fullmatch(rf"({'|'.join(names)}) {re.escape(operands[:-1])}(?:, #(-?\w+))?\]", shown)
    assert found, f"{place}: {before}, {shown}"
    assert int(found[2] or "0", 0) == offset, f"{place}: {shown}"


def assert_holds_offset(before: str, shown: str, offset: int, kind: int, place: str) -> None:
    """The instruction holds its part of the thread offset, and is the same otherwise."""
    numbers = [int(number, 0) for number in re.findall(r"#(\w+)", shown)]
    part = offset >> LOCAL_EXEC[kind] & 0xFFF
    assert numbers[:1] == [part] or (not numbers and not part), f"{place}: {shown}"
    assert numbers[1:] == ([12] if kind == 549 else []), f"{place}: {shown}"
    assert before.partition("#")[0].rstrip(", []") == shown.partition("#")[0].rstrip(", []"), (
        f"{place}: {before}, {shown}"
    )


def assert_detours(copy: bytes, section: Section, site: Relocation, before: str, at: int, place: str) -> int:
    """The instruction at *site* branches to byte *at* of the section, where a descriptor is asked; the size of that."""
    assert disassembled(copy, section, site.offset) == f"b #{at - site.offset:#x}", place
    destination, base = re.split("[ ,]+", before)[1:3]
    code = []
    while not code or not code[-1].startswith("b #"):
        code.append(disassembled(copy, section, at + 4 * len(code)))
    saved = {"x0": "[sp]", "x1": "[sp, #8]", "x2": "[sp, #0x10]", "x30": "[sp, #0x18]"}
    added = ([f"ldr x1, {saved[base]}", "add x0, x1, x0"]) if base in saved else [f"add x0, {base}, x0"]
    pages = site.addend >> 12
    added += [f"add x0, x0, #{pages:#x}, lsl #12"] if pages else []
    assert code == [
        "stp x0, x1, [sp, #-0x20]!",
        "stp x2, x30, [sp, #0x10]",
        "mrs x2, nzcv",
        "adrp x0, #0",
        "ldr x1, [x0]",
        "add x0, x0, #0",
        "blr x1",
        "msr nzcv, x2",
        *added,
        f"str x0, {saved[destination]}" if destination in saved else f"mov {destination}, x0",
        "ldp x2, x30, [sp, #0x10]",
        "ldp x0, x1, [sp], #0x20",
        f"b #{(site.offset + 8 - at - 4 * len(code)) % (1 << 64):#x}",
    ], place
    return 4 * len(code)


def assert_sections(
    original: Original, copy: bytes, copied: Facts, changes: dict[int, dict[int, bytes]], grown: dict[int, int]
) -> None:
    """Same sections and groups, and the same bytes but for *changes* and what is behind the code of those *grown*."""
    assert copy[:64] == original.content[:64], "the ELF header"
    assert copied.groups == original.facts.groups
    assert len(copied.sections) == len(original.facts.sections)
    tables = {int(s.rest[2]) for s in original.facts.sections if s.kind == "SYMTAB"}  # the symbols' strings
    for before, after in zip(original.facts.sections, copied.sections, strict=True):
        assert (before.name, before.kind, before.rest) == (after.name, after.kind, after.rest)
        if before.kind in ("RELA", "SYMTAB", "SYMTAB SECTION INDICES") or before.number in tables:
            continue
        if before.number in grown:
            assert after.size == grown[before.number]
        else:
            assert (before.offset, before.size) == (after.offset, after.size)
        if before.kind == "NOBITS":
            continue
        expected = bytearray(original.content[before.offset : before.offset + before.size])
        for offset, content in changes.get(before.number, {}).items():
            expected[offset : offset + len(content)] = content
        assert copy[after.offset : after.offset + before.size] == expected, f"{original.name}: {before.name}"


def assert_symbols(original: Original, copied: Facts, slot_names: dict[int, bytes]) -> None:
    """Same symbols, but that those that only an address can answer have become their slots."""
    for index, (before, after) in enumerate(zip(original.facts.symbols, copied.symbols, strict=False)):
        target = original.bound_symbols.get(index)
        if target is None or target.kind is Kind.FUNCTION or before[5] != "UND":
            own = before[3] in ("GLOBAL", "WEAK", "UNIQUE") and before[4] == "DEFAULT" and before[5] != "UND"
            visibility = "PROTECTED" if own else before[4]  # what the patch defines, it means
            scope = "WEAK" if own and before[3] == "UNIQUE" else before[3]  # and not the first of the process
            assert after == (*before[:3], scope, visibility, *before[5:]), f"{original.name}: symbol {index}"
        else:
            assert after[:6] == ("0000000000000000", "0", "NOTYPE", "GLOBAL", "HIDDEN", "UND"), after
            assert slot_names.setdefault(index, after[6].encode()) == after[6].encode()
    for index in range(len(original.facts.symbols), len(copied.symbols)):
        assert copied.symbols[index] == (
            *("0000000000000000", "0", "NOTYPE", "GLOBAL", "HIDDEN", "UND"),
            slot_names[index].decode(),
        )


def libraries(name: str) -> list[Path]:
    """The archives of one library."""
    if name == "rust":
        command = rustc()
        sysroot = Path(command[command.index("--sysroot") + 1])
        return sorted(sysroot.glob("lib/rustlib/aarch64-unknown-linux-gnu/lib/*.rlib"))
    if name == "c":
        return sorted((SYSROOT / "lib").glob("*.a"))
    driver = need({"gcc": "aarch64-linux-gnu-gcc", "c++": "aarch64-linux-gnu-g++"}[name])
    names = {"gcc": ("libgcc.a", "libgcc_eh.a", "libatomic.a"), "c++": ("libstdc++.a",)}[name]
    return [Path(run([driver, f"-print-file-name={archive}"]).strip()) for archive in names]


def objects(name: str) -> Iterator[tuple[str, bytes]]:
    """Every object of a library: name and content."""
    for archive in libraries(name):
        for member in members(archive.read_bytes(), str(archive)) if archive.read_bytes()[:1] == b"!" else ():
            content = bytes(member.content)
            if content[:4] == b"\x7fELF" and content[16:20] == b"\x01\x00\xb7\x00":
                yield f"{archive}({member.name})", content


SAMPLE = {"rust": 2, "c": 4, "gcc": 2, "c++": 2}
"""Away from CI one object of so many is bound."""

WITH_OWN = "(cxa_thread_atexit_impl.o)"
"""glibc's, with a thread-local that the made-up host does not have."""

EXPECTED = {
    "rust": ("function 283 kept", "data 257 written", "function 257 written", "data 311 slot"),
    "c": ("function 283 kept", "thread-local 541 slot", "thread-local 542 slot", "data 313 slot", "own 549", "own 551"),
    "gcc": ("function 283 kept",),
    "c++": ("function 283 kept", "data 311 slot", "function 311 slot", "data 257 written"),
}
"""What must occur in a library, or the test has read nothing."""


@pytest.mark.parametrize("library", SAMPLE)
def test_only_what_was_meant_changes(library: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One byte too many in one object of a thousand is a crash that nobody finds; here every byte has a reason."""
    chosen = [
        (name, content)
        for name, content in objects(library)
        if REQUIRED or zlib.crc32(name.rpartition("/")[2].encode()) % SAMPLE[library] == 0 or WITH_OWN in name
    ]
    assert chosen
    counts: Counter[str] = Counter()
    for start in range(0, len(chosen), BATCH):
        counts += compare_batch(chosen[start : start + BATCH], tmp_path)
    request.node.user_properties += [("objects", len(chosen)), ("relocations", dict(counts.most_common()))]
    assert not set(EXPECTED[library]) - counts.keys(), counts


def compare_batch(batch: list[tuple[str, bytes]], folder: Path) -> Counter[str]:
    """Bind the objects of *batch* and compare each with its copy."""
    paths = []
    for number, (_, content) in enumerate(batch):
        paths.append(folder / f"{number}.o")
        paths[-1].write_bytes(content)
    originals = [original(name, content, read) for (name, content), read in zip(batch, facts(paths), strict=True)]
    binders, copies = [], []
    for number, one in enumerate(originals):
        binders.append(Binder(one.targets))
        bound = bind_object(ElfImage(one.content, one.name), binders[-1])
        assert bound.changed == (bound.content != one.content)
        copies.append(bytes(bound.content))
        paths[number].write_bytes(copies[-1])
    counts: Counter[str] = Counter()
    for one, copy, read, binder in zip(originals, copies, facts(paths), binders, strict=True):
        counts += compare(one, copy, read, binder)
    return counts


class MachSection(NamedTuple):
    """One section of a Mach-O object, as LIEF reads it."""

    name: str  # segment,section
    address: int
    offset: int  # byte offset in the file
    size: int  # bytes
    flags: int
    fixed: tuple[int, ...]  # alignment and where the relocations are
    count: int  # relocations

    @property
    def debug(self) -> bool:
        return bool(self.flags & 0x02000000) and self.name not in UNWIND


UNWIND = ("__LD,__compact_unwind", "__TEXT,__eh_frame")
UNSIGNED, SUBTRACTOR, BRANCH, MACH_PAGE, MACH_LOW, TO_GOT, MACH_ADDEND = 0, 1, 2, 3, 4, 7, 10
GOT_LOADS = {5: MACH_PAGE, 6: MACH_LOW}
DESCRIPTOR_LOADS = {8: MACH_PAGE, 9: MACH_LOW}


class MachRelocation(NamedTuple):
    """One ``relocation_info``."""

    address: int
    symbol: int
    pcrel: int
    length: int  # log2 bytes
    extern: int
    kind: int


class MachFacts(NamedTuple):
    """One Mach-O object, as LIEF reads it."""

    sections: list[MachSection]
    symbols: list[tuple[int, int, int, int, bytes]]  # type, section, description, value, name
    tables: list[list[MachRelocation]]  # one a section
    hints: list[tuple[int, ...]]  # kind and addresses
    undefined_end: int  # index after the last undefined symbol, by LC_DYSYMTAB


def mach_facts(content: bytes) -> MachFacts:
    """What LIEF says of an object; its relocations' records are read as ``<mach-o/reloc.h>`` has them."""
    import lief

    lief.logging.disable()
    universal = lief.MachO.parse(list(content))
    image = universal.at(0)
    sections, tables = [], []
    for section in image.sections:
        fixed = (section.alignment, section.relocation_offset)
        names = f"{section.segment_name},{section.name}"
        count = section.numberof_relocations
        found = MachSection(
            names, section.virtual_address, section.offset, section.size, int(section.flags), fixed, count
        )
        sections.append(found)
        raw = content[section.relocation_offset : section.relocation_offset + 8 * count]
        tables.append(
            [
                MachRelocation(at, word & 0xFFFFFF, word >> 24 & 1, word >> 25 & 3, word >> 27 & 1, word >> 28)
                for at, word in struct.iter_unpack("<II", raw)
            ]
        )
    symtab, dysymtab = image.symbol_command, image.dynamic_symbol_command
    strings = content[symtab.strings_offset : symtab.strings_offset + symtab.strings_size]
    raw = content[symtab.symbol_offset : symtab.symbol_offset + 16 * symtab.numberof_symbols]
    symbols = [
        (kind, number, description, value, strings[name : strings.index(b"\0", name)])
        for name, kind, number, description, value in struct.iter_unpack("<IBBHQ", raw)
    ]
    hints = []
    for command in image.commands:
        if command.command == lief.MachO.LoadCommand.TYPE.LINKER_OPTIMIZATION_HINT:
            hints = decode_hints(content[command.data_offset : command.data_offset + command.data_size])
    end = dysymtab.idx_undefined_symbol + dysymtab.nb_undefined_symbols
    return MachFacts(sections, symbols, tables, hints, end)


def decode_hints(raw: bytes) -> list[tuple[int, ...]]:
    """Each hint's kind and addresses: ULEB128 numbers, the second of which counts the addresses."""
    numbers, value, shift = [], 0, 0
    for octet in raw:
        value, shift = value | (octet & 0x7F) << shift, shift + 7
        if octet < 0x80:
            numbers.append(value)
            value = shift = 0
    hints = []
    while numbers and numbers[0]:
        count = numbers[1]
        hints.append((numbers[0], *numbers[2 : 2 + count]))
        del numbers[: 2 + count]
    return hints


def mach_near(facts: MachFacts, content: bytes) -> set[int]:
    """The symbols that code reaches directly by more than ``adrp`` and ``add xd, xn, #0``.

    A constant is put behind such code, and everything else moves: ``live.test_state_macho`` sees to that.
    """
    near = set()
    for section, table in zip(facts.sections, facts.tables, strict=True):
        for index, relocation in enumerate(table):
            start = section.offset + relocation.address
            shown = disassembly(content[start : start + 4]) if relocation.kind == MACH_LOW else "add x0, x0, #0"
            added = index and table[index - 1].kind == MACH_ADDEND
            if relocation.kind in (MACH_PAGE, MACH_LOW) and (added or not re.fullmatch(r"add x\d+, x\d+, #0", shown)):
                near.add(relocation.symbol)
    return near


def mach_host(facts: MachFacts, near: set[int]) -> tuple[dict[bytes, Target], dict[int, Target]]:
    """Make up a host, as :func:`original` does: targets by name and by symbol index; *near* ones it does not have."""
    kinds: dict[int, set[int]] = defaultdict(set)
    for section, table in zip(facts.sections, facts.tables, strict=True):
        for relocation in table:
            if relocation.extern and not section.debug:
                kinds[relocation.symbol].add(relocation.kind)
    bound: dict[int, Target] = {}
    for index, (kind, _, _, value, name) in enumerate(facts.symbols):
        number = zlib.crc32(name)
        if kind & 0xEF != 1 or value or index in near:  # an external undefined symbol, which is no common
            continue
        if kinds[index] & DESCRIPTOR_LOADS.keys():
            bound[index] = Target(Kind.THREAD_LOCAL, SlotKind.ADDRESS, 0x1_0000_0000 + number * 8)
        elif BRANCH in kinds[index] or number % 3 == 0:
            bound[index] = Target(Kind.FUNCTION, SlotKind.ADDRESS, 0x1_0000_0000 + number * 4)
        else:
            bound[index] = Target(Kind.DATA, SlotKind.ADDRESS, 0x1_0000_0000 + number)
    return {facts.symbols[index][4]: target for index, target in bound.items()}, bound


def mach_fate(
    target: Target, section: MachSection, relocation: MachRelocation, before: int, in_place: int, forms_address: bool
) -> Fate:
    """What must become of *relocation*; *before* is the kind of the one in front where it belongs to this, else -1."""
    kind = relocation.kind
    if section.debug:
        return DROPPED if target.kind is Kind.DATA else KEPT
    if target.kind is Kind.THREAD_LOCAL:
        return Fate("slot", DESCRIPTOR_LOADS[kind], value=target.value) if kind in DESCRIPTOR_LOADS else REFUSED
    reached = kind in (BRANCH, TO_GOT, SUBTRACTOR) or before == SUBTRACTOR or section.name in UNWIND
    if target.kind is Kind.FUNCTION and reached:
        return KEPT
    if before >= 0:
        return REFUSED
    if kind == UNSIGNED and relocation.length == 3:
        return Fate("written", value=(target.value + in_place) % (1 << 64))
    if kind in GOT_LOADS:
        return Fate("slot", GOT_LOADS[kind], value=target.value)
    if kind in (MACH_PAGE, MACH_LOW) and forms_address:
        return Fate("slot", kind, value=target.value)
    return REFUSED


def is_weak(n_type: int, n_desc: int) -> bool:
    """Whether a symbol is a weak definition that other objects see: ``<mach-o/nlist.h>``."""
    return not n_type & 0xE0 and n_type & 0x0F == 0x0F and bool(n_desc & 0x80)


def mach_compare(name: str, content: bytes) -> Counter[str]:
    """Bind one Mach-O object and hold the copy against it; the number of relocations that had each fate."""
    facts = mach_facts(content)
    targets, bound = mach_host(facts, mach_near(facts, content))
    binder = Binder(targets)
    copy = bytes(bind_macho(MachOImage(content, name), binder).content)
    copied = mach_facts(copy)
    counts: Counter[str] = Counter()
    refused, changed_addresses, slot_names = [], set(), {}
    weak = {index for index, (kind, _, flags, _, _) in enumerate(facts.symbols) if is_weak(kind, flags)}
    for number, (section, table) in enumerate(zip(facts.sections, facts.tables, strict=True)):
        expected = bytearray(content[section.offset : section.offset + section.size])
        direct: dict[int, set[bool]] = defaultdict(set)
        for index, relocation in enumerate(table):
            if relocation.extern and relocation.kind in (MACH_PAGE, MACH_LOW):
                word = disassembly(bytes(expected[relocation.address : relocation.address + 4]))
                plain = relocation.kind == MACH_PAGE or bool(re.fullmatch(r"add x\d+, x\d+, #0", word))
                alone = not index or table[index - 1].kind != MACH_ADDEND
                direct[relocation.symbol].add(plain and alone)
        left = iter(copied.tables[number])
        for index, relocation in enumerate(table):
            place = f"{name}: {section.name}+{relocation.address:#x}"
            if relocation.extern and relocation.symbol in weak and relocation.kind in GOT_LOADS:
                assert next(left) == relocation._replace(kind=GOT_LOADS[relocation.kind]), place
                counts["of an own weak definition"] += 1
                if GOT_LOADS[relocation.kind] == MACH_LOW:
                    old_word = bytes(expected[relocation.address : relocation.address + 4])
                    found_word = copy[section.offset + relocation.address : section.offset + relocation.address + 4]
                    wanted = re.fullmatch(r"ldr (x\d+), \[(x\d+|sp)\]", disassembly(old_word))
                    assert wanted, place
                    assert disassembly(found_word) == f"add {wanted[1]}, {wanted[2]}, #0", place
                    expected[relocation.address : relocation.address + 4] = found_word
                changed_addresses.add(section.address + relocation.address)
                continue
            if not relocation.extern or relocation.symbol not in bound:
                assert next(left) == relocation, place
                counts["of no host symbol"] += 1
                continue
            target = bound[relocation.symbol]
            before = table[index - 1].kind if index and table[index - 1].kind in (SUBTRACTOR, MACH_ADDEND) else -1
            at = relocation.address
            in_place = int.from_bytes(expected[at : at + 8], "little")
            forms_address = direct[relocation.symbol] == {True}
            found = mach_fate(target, section, relocation, before, in_place, forms_address)
            counts[f"{target.kind.value} {relocation.kind} {found.name}"] += 1
            if found.name in ("kept", "refused"):
                assert next(left) == relocation, place
                if found is REFUSED:
                    refused.append(place)
            elif found.name == "slot":
                new = next(left)
                assert new == relocation._replace(symbol=new.symbol, kind=found.kind), place
                slot = binder.slots[copied.symbols[new.symbol][4]]
                assert (slot.kind, slot.value) == (SlotKind.ADDRESS, found.value), place
                slot_names[new.symbol] = slot.symbol
                old_word = disassembly(bytes(expected[at : at + 4]))
                expected[at : at + 4] = copy[section.offset + at : section.offset + at + 4]
                new_word = disassembly(bytes(expected[at : at + 4]))
                assert_reads_slot(old_word, new_word, {MACH_PAGE: PAGE, MACH_LOW: LOAD_LOW}[found.kind], place)
                changed_addresses.add(section.address + at)
            elif found.name == "written":
                expected[at : at + 8] = found.value.to_bytes(8, "little")
        assert next(left, None) is None, f"{name}: {section.name}"
        after = copied.sections[number]
        assert after[:6] == section[:6]
        if section.offset:  # else zero-fill
            assert copy[after.offset : after.offset + after.size] == expected, f"{name}: {section.name}"
    assert sorted(line.partition(": ARM64_")[0] for line in binder.refusals) == sorted(refused)
    assert copied.hints == [hint for hint in facts.hints if not changed_addresses.intersection(hint[1:])]
    counts["hints kept"], counts["hints gone"] = len(copied.hints), len(facts.hints) - len(copied.hints)
    assert_mach_symbols(name, facts, copied, bound, slot_names)
    return counts


def assert_mach_symbols(
    name: str, facts: MachFacts, copied: MachFacts, bound: dict[int, Target], slot_names: dict[int, bytes]
) -> None:
    """Same symbols, but that those that only an address can answer have become their slots."""
    assert copied.undefined_end == len(copied.symbols)
    for index, (before, after) in enumerate(zip(facts.symbols, copied.symbols, strict=False)):
        if index in bound and bound[index].kind is not Kind.FUNCTION:
            assert after == (1, 0, 0, 0, slot_names.get(index, after[4])), f"{name}: {before}"
            assert after[4] != before[4]
        else:  # no other image sees the patch's weak definitions
            kind = before[0] | 0x10 if is_weak(before[0], before[2]) else before[0]
            assert after == (kind, *before[1:]), f"{name}: symbol {index}"
    for index in range(len(facts.symbols), len(copied.symbols)):
        assert copied.symbols[index] == (1, 0, 0, 0, slot_names[index])


MACH_SOURCES = {
    "library.cc": """
    #include <functional>
    #include <map>
    #include <memory>
    #include <stdexcept>
    #include <string>
    #include <vector>
    struct Shape { virtual ~Shape(); virtual int area() const; };
    struct Square : Shape { int area() const override; int side = 3; };
    extern std::map<std::string, std::vector<int>> table; extern thread_local int depth; extern int counter, array[9];
    int *middle = &array[4]; int (Square::*method)() const = &Square::area; extern void hook();
    void (*hooks[])() = {hook};
    int Square::area() const { return side * counter; }
    int use(const std::string &name, std::function<int(int)> f) {
      try {
        if (name.empty()) throw std::out_of_range("name");
        depth++;
        for (int value : table.at(name)) counter += f(value);
        return std::make_unique<Square>()->area() + array[name.size()] + (hooks[0] == hook);
      } catch (const std::exception &error) { return error.what()[0] + depth; }
    }
    """,
    "plain.cc": """
    struct Shape { virtual ~Shape(); virtual int area() const; };
    struct Square : Shape { int area() const override; int side = 3; };
    struct Error { Error(int); virtual ~Error(); int code; };
    extern thread_local int depth; extern int counter, array[9]; extern void hook(); void (*hooks[])() = {hook};
    int *middle = &array[4]; inline int twice(int x) { static int sum = counter; return sum += x; }
    int Square::area() const { return side * counter; }
    int use(int x, Shape *shape) {
      try {
        depth++;
        if (x > counter) throw Error(x);
        return (new Square)->area() + array[x] + (hooks[0] == hook) + (dynamic_cast<Square *>(shape) != nullptr);
      } catch (const Error &error) { return error.code + depth + twice(x); }
    }
    """,
    "hidden.c": """
    #pragma GCC visibility push(hidden)
    extern int array[9], value; int function(int); extern long table[4];
    #pragma GCC visibility pop
    static int own[64]; extern int near(void); extern _Thread_local int local;
    int *address(void) { return array; }
    long element(int x) { return table[x & 3] + (long)&table[2]; }
    int direct(void) { return value + near(); }
    int (*taken(void))(int) { return function; }
    int mine(int x) { own[x & 63] += local; return own[x & 31]; }
    __asm__(".data\\n.long _near - .\\n.quad _near + 8\\n.long _far@GOT - .\\n");
    """,
}
"""Programs with every kind of reference."""


@pytest.mark.parametrize("compiler", ["clang", "zig"])
def test_only_what_was_meant_changes_in_mach_objects(
    compiler: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One byte too many in an object with C++ exceptions, debug information or hints is a crash that nobody finds."""
    need_module("lief", "lief")
    clang = [need("clang-19"), "--target=arm64-apple-macos13"]
    counts: Counter[str] = Counter()
    for (source, text), level in itertools.product(MACH_SOURCES.items(), (["-O0", "-g"], ["-O2"], ["-O2", "-g"])):
        if compiler == "clang" and "#include" in text:
            continue  # only zig has a C++ library for it
        driver = [*zig(), "c++" if source.endswith("cc") else "cc", "-target", "aarch64-macos"]
        (tmp_path / source).write_text(text)
        command = [*(clang if compiler == "clang" else driver), "-w", *level, "-c", tmp_path / source]
        run([*command, "-o", tmp_path / "source.o"])
        counts += mach_compare(f"{source} {level}", (tmp_path / "source.o").read_bytes())
    request.node.user_properties.append(("relocations", dict(counts.most_common())))
    wanted = {"function 2 kept", "data 5 slot", "data 6 slot", "data 0 written", "thread-local 8 slot", "hints gone"}
    wanted |= {"hints kept", "function 0 kept", "function 0 written", "data 3 slot", "data 4 slot"}
    assert not wanted - counts.keys(), counts
