"""What an image of either format defines, what runs when it is loaded, and what of its code a linker may change."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from linked import CODE, CONSTANTS, DATA, THREAD, THREADS, VARIABLES, Relocation, Sym, elf_linked

from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.elf.relocations import R_AARCH64_ABS64, R_AARCH64_PREL64, R_AARCH64_RELATIVE, Relocations
from stubgen.image import Kind
from stubgen.image.opening import open_image
from stubgen.macho import constants as m
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion
from stubgen.macho.relocations import Relocations as MachORelocations
from stubgen.origin import elf, macho
from stubgen.origin.symbols import Constructor, Symbol

PLAIN = Symbol(b"", ".text", CODE, 8, Kind.FUNCTION, False, False, True, b"", False)
NOBODYS = {"static": True, "exported": False}


def opened(content: bytes) -> Any:
    """An image of either format."""
    return open_image(content, "patch")


def local(name: str, value: int = CODE, kind: int = e.STT_FUNC, **fields: int) -> Sym:
    """A symbol that no other object sees."""
    return Sym(name, value, kind, e.STB_LOCAL, **fields)


def source(name: str) -> Sym:
    """The file of the local symbols that follow."""
    return local(name, 0, e.STT_FILE, section=e.SHN_ABS, size=0)


ELF: list[tuple[Sym, dict[str, Any] | None]] = [
    # what the table has, and what is said of it; None: nothing
    (local("early"), NOBODYS),
    (source("a.c"), None),
    (local("mine", CODE + 8, size=4), {**NOBODYS, "address": CODE + 8, "size": 4, "file": b"a.c"}),
    (local("$x"), None),
    (local("$d.7"), None),
    (local("$x.text"), None),
    (local("$xy"), {**NOBODYS, "file": b"a.c"}),
    (local(""), None),
    (local(".text", CODE, e.STT_SECTION), None),
    (local("inner", other=e.STV_HIDDEN), {"exported": False, "file": b"a.c"}),
    (source(""), None),
    (local("was_hidden"), {"exported": False}),
    (source("b.c"), None),
    (local("again"), {**NOBODYS, "file": b"b.c"}),
    (Sym("pinned@V1", CODE), {"name": b"pinned"}),
    (Sym("@odd", CODE), {"name": b"@odd"}),
    (Sym("hidden", CODE, other=e.STV_HIDDEN), {"exported": False}),
    (Sym("internal", CODE, other=e.STV_INTERNAL), {"exported": False}),
    (Sym("protected", CODE, other=e.STV_PROTECTED), {}),
    (Sym("weak", CODE, bind=e.STB_WEAK), {"weak": True}),
    (Sym("chosen", CODE, kind=e.STT_GNU_IFUNC), {"kind": Kind.IFUNC}),
    (Sym("assembled", CODE, kind=e.STT_NOTYPE), {}),
    (Sym("word", 5, e.STT_NOTYPE, section=e.SHN_ABS), {"kind": Kind.ABSOLUTE, "section": "", "address": 5}),
    (
        Sym("variable", VARIABLES, e.STT_OBJECT, section=DATA),
        {"kind": Kind.DATA, "section": ".data", "address": VARIABLES, "writable": True},
    ),
    (
        Sym("tagged", 0xAB << 56 | VARIABLES, e.STT_OBJECT, section=DATA),
        {"kind": Kind.DATA, "section": ".data", "address": VARIABLES, "writable": True},
    ),
    (
        Sym("per_thread", 8, e.STT_TLS, section=THREAD),
        {"kind": Kind.THREAD_LOCAL, "section": ".tdata", "address": THREADS + 8, "writable": True},
    ),
    (Sym("missing", 0, e.STT_NOTYPE, section=e.SHN_UNDEF), None),
]


def test_what_an_elf_patch_defines() -> None:
    """A static that counts as a global is looked for among the wrong things of the host's."""
    image = opened(elf_linked([row for row, _ in ELF]))
    found = list(elf.symbols(image))
    expected = [PLAIN._replace(**{"name": row.name.encode(), **said}) for row, said in ELF if said is not None]
    assert found == expected
    stripped = opened(elf_linked([row for row, _ in ELF], stripped=True))
    seen = [symbol for symbol in expected if symbol.exported and symbol.name != b"protected"]  # as elf_linked has it
    assert list(elf.symbols(stripped)) == seen


def test_data_that_is_only_relocated_is_not_written() -> None:
    """A table of pointers is a constant, which may be there twice."""
    content = elf_linked(
        [Sym("table", VARIABLES, e.STT_OBJECT, section=DATA)], sections={".data": ".data.rel.ro.local"}
    )
    (symbol,) = elf.symbols(opened(content))
    assert (symbol.section, symbol.writable) == (".data.rel.ro.local", False)


def test_sections_of_an_elf_patch() -> None:
    """Only what is in memory counts, and what linkers merge is nobody's."""
    image = opened(elf_linked(sections={".rodata": ".eh_frame"}))
    found = {name: (address, size, merged) for name, address, size, merged in elf.sections(image)}
    assert found[".text"] == (CODE, 0x1000, False)
    assert found[".eh_frame"] == (CONSTANTS, 0x1000, True)
    assert found[".data"] == (VARIABLES, 0x1000, False)
    assert ".symtab" not in found
    assert ".gnu.version_r" not in found  # empty
    assert {*elf.object_sections(image)} == {*found}
    merged = elf_writer.Section(".rodata.str1.1", 1, e.SHF_ALLOC | e.SHF_MERGE | e.SHF_STRINGS, b"a\0")
    image = opened(elf_writer.write(elf_writer.Object([merged])))
    assert list(elf.sections(image)) == [(".rodata.str1.1", 0, 2, True)]


def test_what_the_loader_calls_in_an_elf_patch() -> None:
    """A constructor that is not read is code of the host's that runs a second time, and nobody says so."""
    words = [7, 0, (1 << 64) - 1, 7, 7, 7]
    data = struct.pack("<6Q", *words) + struct.pack("<2Q", CODE + 0x40, 0)
    relocations = [
        Relocation(VARIABLES, "", R_AARCH64_RELATIVE, CODE + 16),
        Relocation(VARIABLES + 24, "", R_AARCH64_RELATIVE, CODE + 0x20),
        Relocation(VARIABLES + 32, "named", R_AARCH64_ABS64, 4),
        Relocation(VARIABLES + 40, "named", R_AARCH64_PREL64, 4),
        Relocation(VARIABLES + 56, "named", R_AARCH64_ABS64, 12),
        Relocation(VARIABLES + 64, "", R_AARCH64_RELATIVE, CODE + 0x60),
    ]
    tags = [(e.DT_INIT, CODE), (e.DT_INIT_ARRAY, VARIABLES), (e.DT_INIT_ARRAYSZ, 52)]
    tags += [(e.DT_FINI, CODE + 4), (e.DT_FINI_ARRAY, VARIABLES + 48), (e.DT_FINI_ARRAYSZ, 16)]
    symbols = [Sym("named", CODE + 0x30)]
    image = opened(elf_linked(symbols, data=data, relocations=relocations, tags=tags))
    assert list(elf.constructors(image)) == [
        Constructor(CODE, CODE),
        Constructor(VARIABLES, CODE + 16),
        Constructor(VARIABLES + 24, CODE + 0x20),
        Constructor(VARIABLES + 32, CODE + 0x34),
        Constructor(VARIABLES + 40, 7),
        Constructor(CODE + 4, CODE + 4, at_end=True),
        Constructor(VARIABLES + 48, CODE + 0x40, at_end=True),
        Constructor(VARIABLES + 56, CODE + 0x3C, at_end=True),
    ]
    assert list(elf.constructors(opened(elf_linked()))) == []


CODE_WORDS = struct.pack("<8I", *range(0x11000000, 0x11000008))


def elf_code(*relocations: tuple[int, int], kind: int = e.SHT_PROGBITS, flags: int = e.SHF_EXECINSTR) -> Any:
    """An object of two functions of 16 bytes, and relocations (offset, kind)."""
    table = Relocations(
        [at for at, _ in relocations], [1] * len(relocations), [k for _, k in relocations], [0] * len(relocations)
    )
    sections = [
        elf_writer.Section(".data", 1, e.SHF_ALLOC | e.SHF_WRITE, bytes(32), 8),
        elf_writer.Section(".text", kind, e.SHF_ALLOC | flags, CODE_WORDS, 4, table),
    ]
    symbols = elf_writer.SymbolColumns([b"f", b"g"], 1 << 4 | e.STT_FUNC, 0, 2, [0, 16], 16)
    return opened(elf_writer.write(elf_writer.Object(sections, global_symbols=[symbols])))


def test_what_a_linker_may_change_of_an_elf_function() -> None:
    """A word that counts as the linker's hides another file's function; one that does not refuses a good patch."""
    call = 283  # R_AARCH64_CALL26
    image = elf_code((4, call), (16, call), (24, call), (28, R_AARCH64_ABS64))
    first, second = elf.symbols(image)
    assert elf.target(image, first) == elf.Target(CODE_WORDS[:16], frozenset({4, 16, 24, 28, 32}))
    assert elf.target(image, second) == elf.Target(CODE_WORDS[16:], frozenset({-12, 0, 8, 12, 16}))
    for place in (1, 2, 3):
        image = elf_code((place, call), (8, R_AARCH64_PREL64))
        assert elf.target(image, first) == elf.Target(CODE_WORDS[:16], frozenset({0, 4, 8, 12}))
    for other in (first._replace(size=0), first._replace(section=".data"), first._replace(address=24)):
        assert elf.target(image, other) is None
    for image in (elf_code(flags=0), elf_code(kind=14)):
        assert elf.target(image, first) is None
    assert elf.target(elf_code(), first) == elf.Target(CODE_WORDS[:16], frozenset())


def test_a_symbol_of_no_section_that_there_is() -> None:
    """A number that no section has: the table's own, or one that a broken file has."""
    count = len(opened(elf_linked()).file.sections)
    for number in (count, count + 1):
        (symbol,) = elf.symbols(opened(elf_linked([Sym("beyond", 5, section=number)])))
        assert symbol == PLAIN._replace(name=b"beyond", section="", address=5)


def test_the_bytes_of_an_elf_objects_definitions() -> None:
    """What is not all there cannot be held against the patch."""
    sections = [
        elf_writer.Section(".text", 1, e.SHF_ALLOC | e.SHF_EXECINSTR, CODE_WORDS, 4),
        elf_writer.Section(
            ".data", 1, e.SHF_ALLOC | e.SHF_WRITE, bytes(range(16)), 8, Relocations([8], [1], [257], [0])
        ),
        elf_writer.Section(".note", 1, 0, bytes(16), 8),
    ]
    rows = [("f", 1, 4, 8, e.STT_FUNC), ("v", 2, 0, 16, e.STT_OBJECT), ("empty", 2, 0, 0, e.STT_OBJECT)]
    rows += [("beyond", 2, 8, 16, e.STT_OBJECT), ("noted", 3, 0, 8, e.STT_OBJECT), ("label", 2, 0, 8, e.STT_NOTYPE)]
    rows += [("nowhere", 0, 0, 8, e.STT_OBJECT), ("number", e.SHN_ABS, 0, 8, e.STT_OBJECT)]
    names, numbers, values, sizes, kinds = zip(*rows, strict=True)
    columns = elf_writer.SymbolColumns(
        [name.encode() for name in names], [1 << 4 | kind for kind in kinds], 0, [*numbers], [*values], [*sizes]
    )
    image = opened(elf_writer.write(elf_writer.Object(sections, global_symbols=[columns])))
    found = {item.name: item for item in elf.contents(image)}
    assert found.keys() == {b"f", b"v"}
    code, data = found[b"f"], found[b"v"]
    assert (code.content, code.start, code.code, code.static) == (CODE_WORDS[4:12], 4, True, False)
    assert (data.content, data.start, data.code, [*data.relocated()]) == (bytes(range(16)), 0, False, [8])


# Mach-O

MACHO_PLAIN = Symbol(b"", "__TEXT,__text", 0, 0, Kind.FUNCTION, False, False, True, b"", False)
BEGIN = 0x2E  # N_BNSYM of <mach-o/stab.h>, whose low bits are those of a definition
MACHO_SECTIONS = [
    macho_writer.Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, bytes(64), 2),
    macho_writer.Section("__TEXT", "__other", m.S_ATTR_SOME_INSTRUCTIONS, bytes(16), 2),
    macho_writer.Section("__DATA", "__data", m.S_REGULAR, bytes(16), 3),
    macho_writer.Section("__DATA", "__const", m.S_REGULAR, bytes(16), 3),
    macho_writer.Section("__DATA", "__thread_vars", m.S_THREAD_LOCAL_VARIABLES, bytes(24), 3),
    macho_writer.Section("__TEXT", "__cstring", 2, b"text\0\0\0\0"),
    macho_writer.Section("__TEXT", "__eh_frame", m.S_REGULAR, bytes(8), 3),
    macho_writer.Section("__DWARF", "__debug_info", m.S_ATTR_DEBUG, bytes(8)),
    macho_writer.Section("__DATA", "__empty", m.S_REGULAR, b""),
]
STARTS = macho_writer.section_addresses(MACHO_SECTIONS)
SECT, EXT, PEXT = m.N_SECT, m.N_EXT, m.N_PEXT
MACHO: list[tuple[tuple[str, int, int, int, int], dict[str, Any] | None]] = [
    # name, n_type, n_sect, n_desc, n_value, and what is said of it
    (("_static", SECT, 1, 0, 4), {**NOBODYS, "address": 4}),
    (("ltmp0", SECT, 1, 0, 0), None),
    (("l_.str", SECT, 6, 0, STARTS[5]), None),
    (("Lpart", SECT, 1, 0, 0), None),
    (("", SECT, 1, 0, 0), None),
    (("_said", BEGIN, 1, 0, 0), None),
    (("_f", SECT | EXT, 1, 0, 8), {"address": 8}),
    (("_hidden", SECT | EXT | PEXT, 1, 0, 8), {"address": 8, "exported": False}),
    (("_was_hidden", SECT | PEXT, 1, 0, 8), {"address": 8, "exported": False}),
    (("_weak", SECT | EXT, 1, m.N_WEAK_DEF, 8), {"address": 8, "weak": True}),
    (("_some", SECT | EXT, 2, 0, STARTS[1]), {"section": "__TEXT,__other", "address": STARTS[1]}),
    (
        ("_v", SECT | EXT, 3, 0, STARTS[2]),
        {"section": "__DATA,__data", "address": STARTS[2], "kind": Kind.DATA, "writable": True},
    ),
    (("_c", SECT | EXT, 4, 0, STARTS[3]), {"section": "__DATA,__const", "address": STARTS[3], "kind": Kind.DATA}),
    (
        ("_t", SECT | EXT, 5, 0, STARTS[4]),
        {"section": "__DATA,__thread_vars", "address": STARTS[4], "kind": Kind.THREAD_LOCAL, "writable": True},
    ),
    (("_number", m.N_ABS | EXT, 0, 0, 5), {"section": "", "address": 5, "kind": Kind.ABSOLUTE}),
    (("_numbered", m.N_ABS | EXT, 1, 0, 5), {"section": "", "address": 5, "kind": Kind.ABSOLUTE}),
    (("_common", m.N_UNDF | EXT, 0, 0, 24), {"section": "", "kind": Kind.DATA, "writable": True}),
    (("_missing", m.N_UNDF | EXT, 0, 0, 0), None),
    (("_last", SECT | EXT, 9, 0, 7), {"section": "__DATA,__empty", "address": 7, "kind": Kind.DATA, "writable": True}),
]


def macho_image(*, commands: Sequence[bytes] = (), sections: list[Any] | None = None, rows: Any = None) -> Any:
    """An object of these sections and symbols, with further load commands."""
    groups = [
        macho_writer.SymbolColumns([name.encode()], n_type, n_sect, n_desc, n_value)
        for name, n_type, n_sect, n_desc, n_value in (rows if rows is not None else [row for row, _ in MACHO])
    ]
    held = MACHO_SECTIONS if sections is None else sections
    obj = macho_writer.Object(held, BuildVersion(1, 0xD0000, 0), defined_symbols=groups)
    content = bytearray(macho_writer.write(obj))
    raw = b"".join(commands)
    count, size = struct.unpack_from("<II", content, 16)
    content[32 + size : 32 + size + len(raw)] = raw  # the first section's alignment has left room for them
    struct.pack_into("<II", content, 16, count + len(commands), size + len(raw))
    return opened(bytes(content))


def test_what_a_macho_patch_defines() -> None:
    """As of an ELF patch."""
    found = list(macho.symbols(macho_image()))
    assert found == [
        MACHO_PLAIN._replace(**{"name": row[0].encode(), **said}) for row, said in MACHO if said is not None
    ]


def test_sections_of_a_macho_patch() -> None:
    """Debug information is not in memory, and linkers put literals elsewhere."""
    found = list(macho.sections(macho_image()))
    names = ["__TEXT,__text", "__TEXT,__other", "__DATA,__data", "__DATA,__const", "__DATA,__thread_vars"]
    names += ["__TEXT,__cstring", "__TEXT,__eh_frame", "__DWARF,__debug_info"]
    assert [name for name, *_ in found] == names
    assert [(address, size) for _, address, size, _ in found] == [
        (start, section.size) for start, section in zip(STARTS, MACHO_SECTIONS, strict=True) if section.size
    ]
    assert [name for name, _, _, merged in found if merged] == ["__TEXT,__cstring", "__TEXT,__eh_frame"]
    assert list(macho.object_sections(macho_image())) == [
        *names[:6],
        *("__TEXT,__literals", "__TEXT,__const"),
        "__TEXT,__eh_frame",
    ]


BASE = 0x1_0000_0000
SEGMENT = struct.pack("<II16sQQQQiiII", m.LC_SEGMENT_64, 72, b"__TEXT", BASE, 0x1000, 0, 0, 5, 5, 0, 0)
CHAINS = struct.pack("<4I", m.LC_DYLD_CHAINED_FIXUPS, 16, 0, 0)


def test_what_dyld_calls() -> None:
    """Pointers, pointers that dyld's chains go through, and offsets from the image's begin."""
    pointers = (0x40, BASE + 0x50, 0x8010_0000_0000_0060)
    sections = [
        macho_writer.Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, bytes(64), 10),
        macho_writer.Section("__DATA", "__mod_init_func", m.S_MOD_INIT_FUNC_POINTERS, struct.pack("<3Q", *pointers), 3),
        macho_writer.Section("__TEXT", "__init_offsets", m.S_INIT_FUNC_OFFSETS, struct.pack("<2I", 0x10, 0x20), 2),
    ]
    rows = [("_f", SECT | EXT, 1, 0, 0)]
    places = (64, 72, 80, 88, 92)

    def called(*commands: bytes) -> list[int]:
        found = list(macho.constructors(macho_image(commands=commands, sections=sections, rows=rows)))
        assert found == [Constructor(place, item.address) for place, item in zip(places, found, strict=True)]
        return [item.address for item in found]

    assert called() == [*pointers, 0x10, 0x20]
    assert called(SEGMENT) == [*pointers, BASE + 0x10, BASE + 0x20]
    assert called(SEGMENT, CHAINS) == [BASE + 0x40, BASE + 0x50, BASE + 0x60, BASE + 0x10, BASE + 0x20]
    assert called(SEGMENT.replace(b"__TEXT\0", b"__TEXT_"), CHAINS) == [0x40, BASE + 0x50, 0x60, 0x10, 0x20]


def macho_code(*relocations: int, hints: bytes = b"", flags: int = m.S_ATTR_PURE_INSTRUCTIONS) -> Any:
    """An object of two functions of 16 bytes behind data, relocations of these offsets, and the linker's hints."""
    table = MachORelocations([*relocations], [1 << 27 | 2 << 28] * len(relocations))
    sections = [
        macho_writer.Section("__DATA", "__data", 0, bytes(1024), 10, MachORelocations([4], [1 << 27])),
        macho_writer.Section("__TEXT", "__text", flags, CODE_WORDS, 2, table),
    ]
    rows = [("_f", SECT | EXT, 2, 0, 1024), ("_g", SECT | EXT, 2, 0, 1040)]
    image = macho_image(sections=sections, rows=rows)
    if not hints:
        return image
    where = len(image.file.view.data)
    command = struct.pack("<4I", m.LC_LINKER_OPTIMIZATION_HINT, 16, where, len(hints))
    made = macho_image(commands=(command,), sections=sections, rows=rows)
    return opened(bytes(made.file.view.data) + hints)


def test_what_a_linker_may_change_of_a_macho_function() -> None:
    """As of an ELF function, and what the compiler's hints let it rewrite: adrp, add becomes adr, nop."""
    image = macho_code(4, 18, 28)
    first, second = macho.symbols(image)
    assert macho.target(image, first) == macho.Target(CODE_WORDS[:16], frozenset({4, 16, 28}))
    assert macho.target(image, second) == macho.Target(CODE_WORDS[16:], frozenset({-12, 0, 12}))
    hints = bytes([7, 2, *uleb(1024), *uleb(1028), 1, 1, *uleb(1052), 0, 3, 1, *uleb(1032)])
    assert macho.target(macho_code(hints=hints), first) == macho.Target(CODE_WORDS[:16], frozenset({0, 4, 28}))
    assert macho.target(macho_code(hints=hints[:10]), first) == macho.Target(CODE_WORDS[:16], frozenset({0, 4, 28}))
    assert macho.target(image, first._replace(section="__TEXT,__gone")) is None
    assert macho.target(macho_code(flags=m.S_REGULAR), first) is None
    assert macho.target(image, second._replace(address=1042)) == macho.Target(CODE_WORDS[18:30], frozenset({-16, 0, 8}))


def test_a_macho_function_ends_with_its_section() -> None:
    """Symbols have no sizes, and the next one may lie in another section."""
    sections = [
        macho_writer.Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, CODE_WORDS, 10),
        macho_writer.Section("__DATA", "__data", 0, bytes(16), 10),
    ]
    rows = [("_f", SECT | EXT, 1, 0, 8), ("_v", SECT | EXT, 2, 0, 1024)]
    image = macho_image(sections=sections, rows=rows)
    function, _ = macho.symbols(image)
    assert macho.target(image, function) == macho.Target(CODE_WORDS[8:], frozenset())


def test_the_bytes_of_a_macho_objects_definitions() -> None:
    """Up to the next symbol or the section's end; of literals and of what the linker writes anew, none."""
    sections = [
        macho_writer.Section("__TEXT", "__text", m.S_ATTR_PURE_INSTRUCTIONS, CODE_WORDS, 10),
        macho_writer.Section("__DATA", "__data", 0, bytes(range(16)), 10, MachORelocations([4], [1 << 27])),
        macho_writer.Section("__TEXT", "__cstring", 2, b"text\0\0\0\0", 10),
        macho_writer.Section("__DATA", "__objc_const", 0, bytes(8), 10),
        macho_writer.Section("__DATA", "__last", 0, b"lastlast", 10),
    ]
    rows = [
        *(("_f", SECT | EXT, 1, 0, 4), ("_g", SECT, 1, 0, 12), ("_said", BEGIN, 1, 0, 4)),
        *(("_v", SECT | EXT | PEXT, 2, 0, 1024), ("_w", SECT | EXT, 2, 0, 1032)),
        *(("_text", SECT, 3, 0, 2048), ("_class", SECT | EXT, 4, 0, 3072), ("_last", SECT | EXT, 5, 0, 4096)),
        *(("_end", SECT | EXT, 5, 0, 4104), ("_number", m.N_ABS | EXT, 1, 0, 4)),
    ]
    found = {item.name: item for item in macho.contents(macho_image(sections=sections, rows=rows))}
    assert {name: (item.content, item.start) for name, item in found.items()} == {
        b"_f": (CODE_WORDS[4:12], 4),
        b"_g": (CODE_WORDS[12:], 12),
        b"_v": (bytes(range(8)), 0),
        b"_w": (bytes(range(8, 16)), 8),
        b"_last": (b"lastlast", 0),
    }
    assert {name for name, item in found.items() if item.static} == {b"_g"}
    assert {name for name, item in found.items() if item.code} == {b"_f", b"_g"}
    assert [*found[b"_v"].relocated()] == [4]
    assert [*found[b"_f"].relocated()] == []


def uleb(value: int) -> bytes:
    """A number of two bytes."""
    return bytes([value & 0x7F | 0x80, value >> 7])
