"""Where what a linked patch defines comes from: patches and maps that are written down instead of linked."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from linked import CODE, CONSTANTS, DATA, RODATA, VARIABLES, MachOSym, Sym, elf_linked, macho_linked
from synthetic import ar_member, put

from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.elf.relocations import Relocations
from stubgen.image import Candidate, Image, Kind
from stubgen.image.opening import open_image
from stubgen.macho import constants as m
from stubgen.origin.account import Account, Inputs, LinkInput, Share, make_account, names_of
from stubgen.origin.sources import LINKER, Origin, Source
from stubgen.stub.emit import emit_elf

NOP, B = 0xD503201F, 0x14000000
OWN, STUB = Origin(Source.OBJECT, "patch.o"), Origin(Source.STUB, "stub.o")
UNKNOWN, UNTOLD = Origin(Source.UNKNOWN), Origin(Source.UNTOLD)


def words(*instructions: int) -> bytes:
    """Code."""
    return struct.pack(f"<{len(instructions)}I", *instructions)


def elf_input(
    *symbols: Sym, code: bytes = words(NOP, NOP, NOP, NOP), calls: Sequence[int] = (), section: str = ".text"
) -> bytes:
    """An object of these symbols in one section of code and one of data, with calls at these byte offsets."""
    table = Relocations([*calls], [1] * len(calls), [283] * len(calls), [0] * len(calls))
    sections = [
        elf_writer.Section(section, 1, e.SHF_ALLOC | e.SHF_EXECINSTR, code, 4, table),
        elf_writer.Section(".data", 1, e.SHF_ALLOC | e.SHF_WRITE, bytes(16), 8),
    ]

    def columns(rows: Sequence[Sym]) -> elf_writer.SymbolColumns:
        return elf_writer.SymbolColumns(
            [row.name.encode() for row in rows],
            [row.bind << 4 | row.kind for row in rows],
            [row.other for row in rows],
            [row.section for row in rows],
            [row.value for row in rows],
            [row.size for row in rows],
        )

    local = [row for row in symbols if row.bind == e.STB_LOCAL]
    others = [row for row in symbols if row.bind != e.STB_LOCAL]
    return bytes(elf_writer.write(elf_writer.Object(sections, columns(local), [columns(others)])))


def file(content: bytes, name: str = "patch.o", source: Source = Source.OBJECT, folder: str = "/bound") -> LinkInput:
    """A file that our command gave to the linker."""
    return LinkInput(name, f"{folder}/{name}", source, open_image(content, name))


STUB_FILE = file(bytes(emit_elf([b"host_f"], array("Q", [4])).content), "stub.o", Source.STUB)


def patch(*symbols: Sym, **options: Any) -> Image:
    """A linked patch."""
    return open_image(elf_linked(symbols, **options), "patch.so")


def account(image: Image, *files: LinkInput, stubs: Sequence[int] = (), **fields: Any) -> Account:
    """The account of *image* when these files were linked."""
    return make_account(image, Inputs(files, **fields), {}, stubs)


def origins(image: Image, *files: LinkInput, **fields: Any) -> dict[str, Origin]:
    """Definition -> its origin."""
    return {item.name.decode(): item.origin for item in account(image, *files, **fields).definitions}


def lld_map(*rows: tuple[int, int, int, str]) -> str:
    """A map file as lld writes it: address, size, how far a row is indented, and what it names."""
    lines = [f"{at:16x} {at:16x} {size:8x}     4 {' ' * (8 * depth)}{name}\n" for at, size, depth, name in rows]
    return "             VMA              LMA     Size Align Out     In      Symbol\n" + "".join(lines)


TEXT_MAP = lld_map(
    (CODE, 0x100, 0, ".text"),
    (CODE, 0x10, 1, "000-patch.o:(.text)"),
    (CODE + 0x10, 0x10, 1, "stub.o:(.text)"),
    (CODE + 0x20, 0x10, 1, "/lib/libfoo.a(foo.o):(.text)"),
    (CODE + 0x30, 0x10, 1, "/lib/crti.o:(.text)"),
    (CODE + 0x40, 0x10, 1, "/lib/libgcc.a(lse.o):(.text)"),
    (CODE + 0x50, 0x10, 1, "other.o:(.text)"),
    (CODE + 0x60, 0x10, 1, "<internal>:(.text.thunk)"),
    (CODE + 0x70, 0, 1, "empty.o:(.text)"),
    (VARIABLES, 0x10, 0, ".data"),
    (VARIABLES, 0x10, 1, "members.a(one.o):(.data)"),
)
MAPPED = {
    "own": (CODE, OWN),
    "own_end": (CODE + 0xC, OWN),
    "in_stub": (CODE + 0x10, STUB),
    "member": (CODE + 0x20, Origin(Source.MEMBER, "/lib/libfoo.a", "foo.o")),
    "started": (CODE + 0x30, Origin(Source.START_UP, "/lib/crti.o")),
    "arithmetic": (CODE + 0x4F, Origin(Source.RUNTIME, "/lib/libgcc.a", "lse.o")),
    "foreign": (CODE + 0x50, Origin(Source.OTHER, "other.o")),
    "far": (CODE + 0x60, LINKER),
    "behind": (CODE + 0x70, UNKNOWN),
    "before": (CODE - 4, UNKNOWN),
}


def test_a_map_says_whose_each_address_is() -> None:
    """One address off, and a member's second copy of the host's state counts as the patch's own function."""
    image = patch(*(Sym(name, at, size=0) for name, (at, _) in MAPPED.items()), Sym("v", VARIABLES, 1, section=DATA))
    files = [file(elf_input(), "patch.o")._replace(path="/bound/000-patch.o"), STUB_FILE]
    members = Origin(Source.OBJECT, "libmembers.a", "one.o")
    files.append(file(elf_input(), "libmembers.a")._replace(path="/bound/members.a"))
    found = origins(image, *files, link_map=TEXT_MAP, directory="/bound")
    assert found == {name: origin for name, (_, origin) in MAPPED.items()} | {"v": members}
    elsewhere = origins(image, *files, link_map=TEXT_MAP, directory="/other")
    assert elsewhere["own"] == Origin(Source.OTHER, "000-patch.o")
    assert elsewhere["v"] == Origin(Source.MEMBER, "members.a", "one.o")
    made = account(image, *files, link_map=TEXT_MAP, directory="/bound")
    assert (made.mapped, made.named) == (True, True)
    assert not account(image, *files, link_map="nothing").mapped
    assert not account(patch(stripped=True), *files).named


def test_the_shares_of_a_mapped_section() -> None:
    """What nobody named in the user's own files is what they look for first."""
    files = [file(elf_input(), "patch.o")._replace(path="/bound/000-patch.o"), STUB_FILE]
    made = account(patch(), *files, link_map=TEXT_MAP, directory="/bound")
    text, data = (section for section in made.sections if section.name in (".text", ".data"))
    assert (data.address, data.size) == (VARIABLES, 0x1000)
    assert {share.origin: share.size for share in text.shares} == {
        origin: 0x10 for name, (_, origin) in MAPPED.items() if name not in ("own_end", "behind", "before")
    }
    assert text.shares[0] == Share(OWN, 0x10)


def test_the_shares_without_a_map() -> None:
    """Aliases count once; the largest comes first; sections of the linker's are its own."""
    image = patch(
        *(Sym("f", CODE, size=8), Sym("alias", CODE, size=8), Sym("g", CODE + 8, size=8)),
        *(Sym("whose", CODE + 16, size=40), Sym("v", VARIABLES, e.STT_OBJECT, section=DATA)),
        notes=[(".note.stubgen.host", b"\4\0\0\0\4\0\0\0\1\0\0\0abc\0abcd")],
    )
    inputs = file(elf_input(Sym("f"), Sym("alias"), Sym("g"), Sym("v", 0, e.STT_OBJECT, section=2)))
    shares = {section.name: section.shares for section in account(image, inputs, STUB_FILE).sections}
    assert shares[".text"] == (Share(UNKNOWN, 40), Share(OWN, 16))
    assert shares[".data"] == (Share(OWN, 8),)
    assert shares[".dynsym"] == (Share(LINKER, 0x90),)
    assert shares[".rodata"] == (Share(UNKNOWN, 0x1000),)
    shares = {section.name: section.shares for section in account(patch()).sections}
    assert shares[".rodata"] == (Share(UNTOLD, 0x1000),)


def test_who_has_a_section_of_that_name() -> None:
    """Constants without names: the section's title says whose they may be."""
    inputs = file(elf_input(section=".rodata.str1.8"))
    other = file(elf_input(section=".tdata.x"), "other.o")
    shares = {section.name: section.shares for section in account(patch(), inputs, other).sections}
    assert shares[".rodata"] == (Share(OWN, 0),)
    assert shares[".tdata"] == (Share(Origin(Source.OBJECT, "other.o"), 0),)
    assert shares[".data"] == (Share(OWN, 0), Share(Origin(Source.OBJECT, "other.o"), 0))


def test_stubs_and_slots_are_the_stub_objects() -> None:
    """A slot of another name would be a variable of the patch's that nothing set."""
    slot = Sym("__stubgen_slot.x", CONSTANTS, e.STT_OBJECT, section=RODATA)
    stub, datum = Sym("host_f", CODE + 8), Sym("datum", CODE + 8, e.STT_OBJECT, section=RODATA)
    found = origins(patch(slot, stub, datum), STUB_FILE, file(elf_input()), stubs=[CODE + 8])
    assert found == {"__stubgen_slot.x": STUB, "host_f": STUB, "datum": UNKNOWN}
    assert origins(patch(stub), stubs=[CODE + 8]) == {"host_f": Origin(Source.STUB)}
    assert origins(patch(stub), STUB_FILE, file(elf_input())) == {"host_f": UNKNOWN}
    other = file(elf_input(Sym("host_f")), "other.o")
    assert origins(patch(stub), STUB_FILE, other) == {"host_f": other.origin}  # what won over the stub


def test_a_stub_that_lost_is_not_what_is_there() -> None:
    """The map says that nothing of the stub object lies there: what the patch calls is not the host's."""
    stub = Sym("host_f", CODE + 0x80, size=20)
    inputs = file(elf_input())
    found = origins(patch(stub), STUB_FILE, inputs, link_map=TEXT_MAP, directory="/bound")
    assert found == {"host_f": UNKNOWN}


def test_a_definition_in_a_section_of_the_linkers() -> None:
    """Its own tables may have names of the user's beside them."""
    image = patch(Sym("mine", VARIABLES, e.STT_OBJECT, section=DATA), sections={".data": ".got"})
    assert origins(image, file(elf_input(Sym("mine")))) == {"mine": LINKER}


MARKS: dict[str, tuple[Sym, Origin]] = {
    # what a map says to be a member's begins where the linker's mark is
    "a mark": (Sym("__bss_start", VARIABLES, e.STT_NOTYPE, section=DATA, size=0), LINKER),
    "a variable": (
        Sym("__bss_start", VARIABLES, e.STT_OBJECT, section=DATA, size=4),
        Origin(Source.MEMBER, "members.a", "one.o"),
    ),
    "a static": (
        Sym("end", VARIABLES, e.STT_NOTYPE, e.STB_LOCAL, DATA, size=0),
        Origin(Source.MEMBER, "members.a", "one.o"),
    ),
    "another name": (
        Sym("ending", VARIABLES, e.STT_NOTYPE, section=DATA, size=0),
        Origin(Source.MEMBER, "members.a", "one.o"),
    ),
    "a name of the patch's": (
        Sym("etext", VARIABLES, e.STT_NOTYPE, section=DATA, size=0),
        Origin(Source.MEMBER, "members.a", "one.o"),
    ),
    "a function": (Sym("end", CODE + 0x20, size=0), Origin(Source.MEMBER, "/lib/libfoo.a", "foo.o")),
    "the begin of a section": (Sym("__start_rows", VARIABLES, e.STT_NOTYPE, section=DATA, size=0), LINKER),
    "the end of a section": (Sym("__stop_rows", VARIABLES, e.STT_NOTYPE, section=DATA, size=0), LINKER),
    "a section of several words": (Sym("__stop_my_rows", VARIABLES, e.STT_NOTYPE, section=DATA, size=0), LINKER),
    "the begin of no section": (
        Sym("__start_time", VARIABLES, e.STT_NOTYPE, section=DATA, size=0),
        Origin(Source.MEMBER, "members.a", "one.o"),
    ),
    "start-up code's": (Sym("__data_start", CODE + 0x34, e.STT_NOTYPE, section=DATA, size=0), LINKER),
}


@pytest.mark.parametrize(("symbol", "origin"), MARKS.values(), ids=[*MARKS])
def test_marks_of_the_linkers(symbol: Sym, origin: Origin) -> None:
    """A mark stands where anybody's next piece may begin; a function that is called ``end`` is no mark."""
    image = patch(symbol, sections={".tdata": "rows", ".rodata": "my_rows"})
    found = origins(image, file(elf_input(Sym("etext"))), link_map=TEXT_MAP, directory="/bound")
    assert found == {symbol.name: origin}


def test_a_mark_in_start_up_code_is_that_codes() -> None:
    """crti.o has names that linkers have too."""
    text = lld_map((VARIABLES, 0x10, 0, ".data"), (VARIABLES, 0x10, 1, "/lib/crt1.o:(.data)"))
    text = text.replace("crt1.o", "crtbegin.o")
    image = patch(Sym("__data_start", VARIABLES, e.STT_NOTYPE, section=DATA, size=0))
    assert origins(image, link_map=text) == {"__data_start": Origin(Source.START_UP, "/lib/crtbegin.o")}


TABLES: dict[str, tuple[Sym, Origin]] = {
    "of a linker": (Sym("__far_veneer", CODE), LINKER),
    "of start-up code": (Sym("frame_dummy", CODE), Origin(Source.START_UP)),
    "of a run-time library": (Sym("__addtf3", CODE), Origin(Source.RUNTIME)),
    "of nobody": (Sym("f", CODE), UNKNOWN),
}


@pytest.mark.parametrize(("symbol", "origin"), TABLES.values(), ids=[*TABLES])
def test_names_that_tell_where_nothing_else_does(symbol: Sym, origin: Origin) -> None:
    """Behind a linker that writes no map, what is in every image would be of unknown origin."""
    assert origins(patch(symbol), file(elf_input())) == {symbol.name: origin}
    assert origins(patch(symbol)) == {symbol.name: UNTOLD if origin == UNKNOWN else origin}


def in_file(name: str, *symbols: Sym) -> list[Sym]:
    """Local symbols of a source file."""
    rows = [symbol._replace(bind=e.STB_LOCAL) for symbol in symbols]
    return [Sym(name, 0, e.STT_FILE, e.STB_LOCAL, e.SHN_ABS, size=0), *rows]


def test_files_that_tell_where_nothing_else_does() -> None:
    """Local symbols of objects that every image has."""
    rows = [*in_file("crtstuff.c", Sym("own", CODE)), *in_file("compiler_rt", Sym("sum", CODE + 8))]
    found = origins(patch(*rows), file(elf_input()))
    assert found == {"own": Origin(Source.START_UP), "sum": Origin(Source.RUNTIME)}


def test_statics_are_told_by_their_file() -> None:
    """Two files each have a static of that name; the first object is not both."""
    one = file(elf_input(*in_file("one.c", Sym("helper"))), "one.o")
    two = file(elf_input(*in_file("two.c", Sym("helper"))), "two.o")
    image = patch(*in_file("two.c", Sym("helper", CODE)))
    assert origins(image, one, two) == {"helper": two.origin}
    assert origins(image, one) == {"helper": UNKNOWN}
    assert origins(patch(Sym("helper", CODE, bind=e.STB_LOCAL)), one) == {"helper": one.origin}
    nameless = file(elf_input(Sym("helper", bind=e.STB_LOCAL)), "nameless.o")
    assert origins(image, nameless) == {"helper": nameless.origin}
    shown = file(elf_input(Sym("helper")), "shown.o")
    assert origins(image, shown, two) == {"helper": two.origin}
    assert origins(image, shown) == {"helper": UNKNOWN}
    assert origins(patch(Sym("helper", CODE)), two, shown) == {"helper": shown.origin}
    assert origins(patch(Sym("helper", CODE)), two) == {"helper": UNKNOWN}


SAME: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    # what the object's weak function has, what the patch's has, whether they are one
    "the same": ({}, {}, True),
    "another word": ({}, {"code": words(NOP, NOP, NOP + 1, NOP)}, False),
    "its last": ({}, {"code": words(NOP, NOP, NOP, NOP + 1)}, False),
    "its first": ({}, {"code": words(NOP + 1, NOP, NOP, NOP)}, False),
    "a word that is relocated": ({"calls": [8]}, {"code": words(NOP, NOP, NOP + 1, NOP)}, True),
    "a word beside one": ({"calls": [4]}, {"code": words(NOP, NOP, NOP + 1, NOP)}, False),
    "a veneer": ({}, {"code": words(NOP, NOP, B | 0x3FFFFFF, NOP)}, True),
    "a call": ({}, {"code": words(NOP, NOP, 0x94000004, NOP)}, False),
    "what is behind it": ({}, {"code": words(NOP, NOP, NOP, NOP, NOP + 1)}, True),
    "a longer one": ({}, {"size": 20}, False),
    "one of no size": ({}, {"size": 0}, True),
}


@pytest.mark.parametrize(("held", "seen", "same"), SAME.values(), ids=[*SAME])
def test_a_weak_function_is_told_by_its_code(held: dict[str, Any], seen: dict[str, Any], same: bool) -> None:
    """Another file's inline function of that name may have won, and is not what the user wrote."""
    inputs = file(elf_input(Sym("f", bind=e.STB_WEAK, size=16), **held))
    code = seen.get("code", words(NOP, NOP, NOP, NOP))
    image = patch(Sym("f", CODE, size=seen.get("size", 16)), code=code)
    assert origins(image, inputs) == {"f": OWN if same else UNKNOWN}
    strong = file(elf_input(Sym("f", size=16), **held))
    assert origins(image, strong) == {"f": OWN}
    assert origins(image, inputs, strong._replace(name="b.o")) == {"f": OWN if same else Origin(Source.OBJECT, "b.o")}
    text = lld_map((CODE + 0x40, 0x10, 0, ".text"), (CODE + 0x40, 0x10, 1, "x.o:(.text)"))
    assert origins(image, inputs, link_map=text) == {"f": OWN}  # the map would have named another file


def test_a_weak_variable_is_one() -> None:
    """Its bytes are no code to compare."""
    inputs = file(elf_input(Sym("v", 0, e.STT_OBJECT, e.STB_WEAK, 2)))
    image = patch(Sym("v", VARIABLES, e.STT_OBJECT, section=DATA), data=b"other bytes")
    assert origins(image, inputs) == {"v": OWN}


def test_archives_tell_where_there_is_no_map(tmp_path: Path) -> None:
    """What the linker took from them: the first member that has the name, and of statics the one of that file."""
    one = elf_input(Sym("f"), *in_file("one.c", Sym("helper")), section=".data.one")
    two = elf_input(Sym("f"), Sym("g"), *in_file("two.c", Sym("helper")))
    body = ar_member(b"one.o/", one) + ar_member(b"lib.rmeta/", b"rust") + ar_member(b"two.o/", two)
    path = put(tmp_path, "libfoo.a", b"!<arch>\n" + body)
    rows = [*in_file("two.c", Sym("helper", CODE)), Sym("f", CODE), Sym("g", CODE), Sym("helper", CODE)]
    image = patch(*rows, Sym("x", CODE))
    first, second = Origin(Source.MEMBER, path, "one.o"), Origin(Source.MEMBER, path, "two.o")
    inputs = file(elf_input(section=".bound"))
    made = account(image, inputs, archives=(path,))
    assert [item.origin for item in made.definitions] == [second, first, second, UNKNOWN, UNKNOWN]
    shares = {section.name: section.shares for section in made.sections}
    assert shares[".data"] == (Share(OWN, 0), Share(second, 0), Share(first, 0))
    assert origins(patch(Sym("f", CODE)), archives=(path,)) == {"f": UNTOLD}
    made = account(patch(Sym("x", CODE)), inputs, archives=(path,))  # none was taken
    assert {section.name: section.shares for section in made.sections}[".tdata"] == (Share(UNKNOWN, 64),)


def test_what_linkers_merge() -> None:
    """The map does not say whose an entry of a merged section is; without a map nothing says that it was merged."""
    text = lld_map((CODE, 0x10, 0, ".text"), (CODE, 0x10, 1, "x.o:(.text)"))
    entry = Sym("entry", CONSTANTS, e.STT_OBJECT, section=RODATA)
    image, inputs = patch(entry, sections={".rodata": ".eh_frame"}), file(elf_input())
    assert origins(image, inputs) == {"entry": UNKNOWN}
    assert origins(image, inputs, link_map=text) == {"entry": LINKER}
    assert origins(patch(entry), inputs, link_map=text) == {"entry": UNKNOWN}

    def shares(image: Image, **fields: Any) -> tuple[Share, ...]:
        return {section.name: section.shares for section in account(image, inputs, **fields).sections}[".eh_frame"]

    assert shares(image, link_map=text) == (Share(LINKER, 8),)
    own = patch(entry._replace(name="known"), sections={".rodata": ".eh_frame"})
    known = file(elf_input(Sym("known", 0, e.STT_OBJECT, section=2)))
    made = account(own, known, link_map=text)
    assert {section.name: section.shares for section in made.sections}[".eh_frame"] == (Share(OWN, 8),)
    nobodys = patch(sections={".rodata": ".eh_frame"})
    assert shares(nobodys, link_map=text) == (Share(LINKER, 0x1000),)
    assert shares(nobodys) == (Share(UNKNOWN, 0x1000),)


def test_a_member_is_said_with_its_archive() -> None:
    """A borrowed member's bound copy is called as the archive has it."""
    borrowed = file(elf_input(Sym("f")), "libfoo.a(foo.o)", Source.BORROWED)
    assert origins(patch(Sym("f", CODE)), borrowed) == {"f": Origin(Source.BORROWED, "libfoo.a", "foo.o")}
    odd = file(elf_input(Sym("f")), "lib(1).a(foo.o)", Source.BORROWED)
    assert origins(patch(Sym("f", CODE)), odd) == {"f": Origin(Source.BORROWED, "lib(1).a", "foo.o")}


def test_what_runs_when_it_is_loaded_has_an_origin() -> None:
    """By the symbol there, by the map, or by neither."""
    tags = [(e.DT_INIT_ARRAY, VARIABLES), (e.DT_INIT_ARRAYSZ, 16)]
    data = struct.pack("<2Q", CODE, CODE + 0x20)
    image = patch(Sym("start", CODE), Sym("datum", CODE + 0x20, e.STT_OBJECT, section=RODATA), data=data, tags=tags)
    inputs = file(elf_input(Sym("start")))
    first, second = account(image, inputs).initializers
    assert (first.name, first.origin, first.constructor.place) == (b"start", OWN, VARIABLES)
    assert (second.name, second.origin, second.constructor.place) == (b"", UNKNOWN, VARIABLES + 8)
    assert account(image).initializers[1].origin == UNTOLD
    _, mapped = account(image, inputs, link_map=TEXT_MAP).initializers
    assert mapped.origin == Origin(Source.MEMBER, "/lib/libfoo.a", "foo.o")
    nameless = patch(data=data, tags=tags)
    assert [item.origin for item in account(nameless, link_map=TEXT_MAP).initializers] == [
        Origin(Source.OTHER, "000-patch.o"),
        mapped.origin,
    ]
    shares = {section.name: section.shares for section in account(image, inputs).sections}
    assert shares[".data"] == (Share(OWN, 0), Share(UNKNOWN, 0))
    text = lld_map((CONSTANTS, 8, 0, ".rodata"), (CONSTANTS, 8, 1, "x.o:(.rodata)"))
    data = struct.pack("<2Q", CONSTANTS, CONSTANTS - 8)
    made = account(patch(data=data, tags=tags), link_map=text)  # what begins where the code's section ends
    assert [item.origin for item in made.initializers] == [Origin(Source.OTHER, "x.o"), UNTOLD]


def test_what_the_host_has_of_each_name() -> None:
    """A pinned name is asked for without its version."""
    pinned = "__stubgen_pinned.1.f.V1"
    image = patch(Sym(pinned, CODE), Sym("g", CODE))
    known = Candidate(b"f", 0x5000, Kind.FUNCTION, local=False, size=8, section=".text")
    made = make_account(image, Inputs(), {b"f": [known]}, [])
    assert [(item.name, item.host) for item in made.definitions] == [(b"f@V1", (known,)), (b"g", ())]
    assert names_of(item.symbol for item in made.definitions) == {b"f", b"g"}
    given = make_account(image, Inputs(), {}, [], [made.definitions[1].symbol])
    assert [item.name for item in given.definitions] == [b"g"]


LD64_MAP = """# Path: patch.dylib
# Object files:
[  0] linker synthesized
[  1] /bound/patch.o
[  2] /lib/libfoo.a(foo.o)
# Symbols:
0x00000000\t0x00000008\t[  1] _f
0x00000008\t0x00000008\t[  2] _g
0x00001000\t0x00000008\t[  0] _h
"""


def test_a_macho_patch() -> None:
    """Its map names no sections, and its symbols have no sizes."""
    symbols = [MachOSym("_f", 0), MachOSym("_g", 8), MachOSym("_h", 0x1000, section=2), MachOSym("_x", 16)]
    image = open_image(macho_linked([*symbols, MachOSym("___dso_handle", 0)]), "patch.dylib")
    inputs = LinkInput("patch.o", "/bound/patch.o", Source.OBJECT, open_image(macho_linked([symbols[3]]), "patch.o"))
    found = origins(image, inputs, link_map=LD64_MAP)
    assert found == {
        "_f": OWN,
        "_g": Origin(Source.MEMBER, "/lib/libfoo.a", "foo.o"),
        "_h": LINKER,
        "_x": OWN,  # no piece of the map's, but an input has the name
        "___dso_handle": LINKER,
    }
    marked = open_image(macho_linked([MachOSym("__mh_dylib_header", 0, m.N_SECT | m.N_EXT)]), "patch.dylib")
    assert origins(marked, inputs, link_map=LD64_MAP) == {"__mh_dylib_header": LINKER}
    shares = {section.name: section.shares for section in account(image, inputs).sections}
    assert shares["__TEXT,__text"] == (Share(UNKNOWN, 0), Share(OWN, 0), Share(LINKER, 0))
    shares = {section.name: section.shares for section in account(image, inputs, link_map=LD64_MAP).sections}
    assert {share.origin for share in shares["__TEXT,__text"]} == {
        *(OWN, LINKER, Origin(Source.MEMBER, "/lib/libfoo.a", "foo.o"))
    }
