"""What an account says against a patch, row by row: accounts that are written down instead of read."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from linked import CODE, RODATA, elf_linked, macho_linked
from linked import Sym as LinkedSym
from synthetic import DATA, TEXT, Sym, elf_object

from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.elf.relocations import Relocations
from stubgen.finding import Finding
from stubgen.image import Candidate, Kind
from stubgen.image.opening import open_image
from stubgen.macho import constants as m
from stubgen.macho import writer as macho_writer
from stubgen.macho.reader import BuildVersion
from stubgen.origin.account import Account, Definition, Initializer, Inputs, LinkInput, SectionAccount, Share
from stubgen.origin.content import content_findings
from stubgen.origin.findings import constructor_findings, origin_findings
from stubgen.origin.sources import Origin, Source
from stubgen.origin.symbols import Constructor, Symbol
from stubgen.stub.emit import emit_elf
from stubgen.stub.find import Stub

OWN, STUB = Origin(Source.OBJECT, "patch.o"), Origin(Source.STUB, "stub.o")
MEMBER, OTHER = Origin(Source.MEMBER, "libfoo.a", "foo.o"), Origin(Source.OTHER, "other.o")
ORIGINS = {
    source: Origin(source, "x.o") if source not in (Source.UNKNOWN, Source.UNTOLD) else Origin(source)
    for source in Source
}
HARMLESS = {Source.LINKER, Source.START_UP, Source.RUNTIME}


def symbol(name: str = "f", **fields: Any) -> Symbol:
    """A function that others see."""
    plain: dict[str, Any] = {"section": ".text", "address": 0x1000, "size": 8, "kind": Kind.FUNCTION, "static": False}
    plain |= {"weak": False, "exported": True, "file": b"", "writable": True}
    return Symbol(name=name.encode(), **{**plain, **fields})


def candidate(name: str = "f", **fields: Any) -> Candidate:
    """What the host has of it."""
    plain = Candidate(name.encode(), 0x5000, Kind.FUNCTION, local=False, size=8, section=".text")
    return plain._replace(**fields)


def link_input(source: Source, name: str, content: bytes) -> LinkInput:
    """A file of the link."""
    return LinkInput(name, f"/{name}", source, open_image(content, name))


ABSOLUTE: dict[str, Any] = {"absolute_names": [b"a"], "absolute_addresses": [4]}
STUB_FILE = link_input(Source.STUB, "stub.o", emit_elf([b"f", b"g"], array("Q", [4, 8]), **ABSOLUTE).content)
PATCH_FILE = link_input(Source.OBJECT, "patch.o", elf_object([Sym("patch_main", 0)]))


def account(*definitions: Definition, files: tuple[LinkInput, ...] = (STUB_FILE, PATCH_FILE), **fields: Any) -> Account:
    """An account of these definitions, of a link of a stub object and one of the patch's."""
    own = Definition(symbol("patch_main"), OWN, ())
    plain: dict[str, Any] = {"sections": (), "initializers": (), "mapped": True, "named": True}
    return Account((own, *definitions), inputs=Inputs(files), **{**plain, **fields})


def said(account: Account, **options: Any) -> list[Finding]:
    """What the account says against the patch."""
    found = list(origin_findings(account, **{"in_host": {}, "stubs": [], "slide": None, **options}))
    assert all(finding.check == "origin" for finding in found)
    assert all(not finding.note for finding in found)
    return [finding for finding in found if not finding.ok]


def test_a_patch_that_is_accounted_for() -> None:
    """The sum says where all of it comes from, the most first."""
    more = [Definition(symbol(name), STUB, ()) for name in "fg"]
    more += [Definition(symbol("end"), ORIGINS[Source.LINKER], ()), Definition(symbol("x"), ORIGINS[Source.UNTOLD], ())]
    (finding,) = origin_findings(account(*more), {}, [], None)
    assert finding == Finding(
        "origin", True, "5 definitions: stubs 2, its objects 1, linker 1, its objects or archives 1"
    )
    (finding,) = origin_findings(account(), {}, [], None)
    assert finding.message == "1 definition: its objects 1"


def test_a_stripped_patch_tells_nothing() -> None:
    """Whatever is missing there is missing because of that."""
    message = "its symbol table is stripped: nothing says where what it defines comes from"
    lost = account(Definition(symbol(), MEMBER, ()), named=False)
    assert list(origin_findings(lost, {}, [], None)) == [Finding("origin", True, message, note=True)]


@pytest.mark.parametrize("source", Source)
def test_what_beats_a_stub(source: Source) -> None:
    """A strong definition of the stub's name is called instead of the host's."""
    findings = said(account(Definition(symbol("f", address=0x40), ORIGINS[source], ())))
    if source is Source.STUB or source in HARMLESS:
        assert findings == []
        return
    origin = ORIGINS[source]
    whose = "of unknown origin, at 0x40" if source is Source.UNKNOWN else f"that of {origin}, at 0x40"
    message = f"f has a stub, but in the patch it is {whose}, and the host's is not reached"
    assert findings[0] == Finding("origin", False, message, ("f",))
    assert [finding.message.partition(" ")[0] for finding in findings[1:]] == (
        ["nothing"] if source is Source.UNKNOWN else []
    )


def test_what_does_not_beat_a_stub() -> None:
    """A static one of that name is another file's business, and so is a name that has no stub."""
    assert said(account(Definition(symbol("f", static=True), OWN, ()))) == []
    assert said(account(Definition(symbol("h"), OWN, ()))) == []
    assert said(account(Definition(symbol("a"), OWN, ()))) == []  # an absolute symbol of the stub object is no stub
    assert len(said(account(Definition(symbol("g"), OWN, ()), Definition(symbol("f"), OWN, ())))) == 2
    assert said(account(Definition(symbol("f"), OWN, ()), files=(PATCH_FILE,))) == []
    behind = [Definition(symbol("f"), ORIGINS[Source.LINKER], ()), Definition(symbol("g"), OWN, ())]
    assert [finding.names for finding in said(account(*behind))] == [("g",)]
    behind[0] = Definition(symbol("f"), STUB, ())
    assert [finding.names for finding in said(account(*behind))] == [("g",)]


def copied(name: str, own: Symbol, *hosts: Candidate, origin: Origin = MEMBER) -> list[str]:
    """Whether a definition of an archive's member counts as the host's."""
    findings = said(account(Definition(own, origin, hosts)))
    return [finding.message for finding in findings if name in finding.names]


STATIC_OWN = {"static": True, "kind": Kind.DATA, "file": b"foo.c"}
STATIC_HOST = {"local": True, "kind": Kind.DATA, "file": b"foo.c"}
COPIES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], bool]] = {
    # the member's, the host's, whether they are one
    "a function": ({}, [{}], True),
    "nothing": ({}, [], False),
    "an import": ({}, [{"kind": Kind.IMPORT}], False),
    "a number": ({}, [{"kind": Kind.ABSOLUTE}], False),
    "an import and it": ({}, [{"kind": Kind.IMPORT}, {}], True),
    "another kind": ({}, [{"kind": Kind.DATA}], True),
    "a local one": ({}, [{"local": True}], True),
    "a local one of another kind": ({}, [{"local": True, "kind": Kind.DATA}], False),
    "a local one of another kind, and it": ({}, [{"local": True, "kind": Kind.DATA}, {}], True),
    "a static variable": (STATIC_OWN, [STATIC_HOST], True),
    "a static thread-local": (
        STATIC_OWN | {"kind": Kind.THREAD_LOCAL},
        [STATIC_HOST | {"kind": Kind.THREAD_LOCAL}],
        True,
    ),
    "a static of another file": (STATIC_OWN, [STATIC_HOST | {"file": b"bar.c"}], False),
    "a static of no file": (STATIC_OWN | {"file": b""}, [STATIC_HOST | {"file": b""}], False),
    "a static of another size": (STATIC_OWN, [STATIC_HOST | {"size": 4}], False),
    "a static of another kind": (STATIC_OWN, [STATIC_HOST | {"kind": Kind.THREAD_LOCAL}], False),
    "a static and a global": (STATIC_OWN, [STATIC_HOST | {"local": False}], False),
    "a static constant": (STATIC_OWN | {"writable": False}, [STATIC_HOST], False),
    "a static that is the host's constant": (STATIC_OWN, [STATIC_HOST | {"writable": False}], False),
    "a static function": (STATIC_OWN | {"kind": Kind.FUNCTION}, [STATIC_HOST | {"kind": Kind.FUNCTION}], False),
    "the second static": (STATIC_OWN, [STATIC_HOST | {"file": b"bar.c"}, STATIC_HOST], True),
}


@pytest.mark.parametrize(("own", "hosts", "same"), COPIES.values(), ids=[*COPIES])
def test_what_an_archive_brings_again(own: dict[str, Any], hosts: list[dict[str, Any]], same: bool) -> None:
    """The patch would count on its own fresh copy of the host's state."""
    candidates = [candidate("total", **fields) for fields in hosts]
    message = "libfoo.a(foo.o) brings total, which the host has: the patch would work on a second copy"
    assert copied("total", symbol("total", **own), *candidates) == ([message] if same else [])


@pytest.mark.parametrize("source", Source)
def test_whose_second_copies_matter(source: Source) -> None:
    """What each image has by design is there twice by design; what is the patch's own is the patch."""
    found = copied("total", symbol("total"), candidate("total"), origin=ORIGINS[source])
    assert [text for text in found if "second copy" in text] == (
        [f"{ORIGINS[source]} brings total, which the host has: the patch would work on a second copy"]
        if source in (Source.MEMBER, Source.OTHER)
        else []
    )


def test_second_copies_are_told_by_member() -> None:
    """A hundred names of one member are one sentence; what has a stub has a sentence of its own."""
    named = [f"v{number}" for number in range(9)]
    twice = [Definition(symbol(name), MEMBER, (candidate(name),)) for name in [*named, "v0"]]
    other = Definition(symbol("w"), OTHER, (candidate("w"),))
    stubbed = Definition(symbol("f"), MEMBER, (candidate("f"),))
    first, second = said(account(*twice, other))
    assert first.message.startswith(
        "libfoo.a(foo.o) brings v0, v1, v2, v3, v4, v5, v6, v7 and 1 more, which the host has"
    )
    assert first.names == tuple(named)
    assert second.message.startswith("other.o brings w, which")
    (eight,) = said(account(*twice[:8]))
    assert "v6, v7, which" in eight.message
    assert ["has a stub" in finding.message for finding in said(account(stubbed))] == [True]


def nameless(target: int, name: bytes = b"") -> Stub:
    """A trampoline that was found by its code."""
    return Stub(name, 1, 0x2000, target, bti=False, weak=True, hidden=True)


def test_a_stub_that_nobody_reaches() -> None:
    """Without the stub object only the host's address tells which name it was made for."""
    own = Definition(symbol("f", address=0x40), OWN, ())
    host = {b"f": [candidate("f", address=0x9000), candidate("f")]}
    known: dict[str, Any] = {"in_host": host, "slide": 0x7000, "stubs": [nameless(0x7000 + 0x5000)]}
    (finding,) = said(account(own, files=(PATCH_FILE,)), **known)
    assert finding.message == "the stub at 0x2000 is dead code: in the patch f is that of patch.o, at 0x40"
    assert finding.names == ("f",)
    (finding,) = said(account(own), **known)
    assert finding.message.startswith("f has a stub")
    static = Definition(symbol("f", static=True), OWN, ())
    later = Definition(symbol("g"), OWN, ())
    for definitions, changed in (
        ([own], {"slide": None}),
        ([own], {"slide": 0x6000}),
        ([own], {"stubs": [nameless(0xC000, b"f")]}),
        ([own], {"in_host": {}}),
        ([own], {"in_host": {b"f": [candidate("f", kind=Kind.DATA)]}}),
        ([static], {}),
        ([later], {}),
    ):
        assert said(account(*definitions, files=(PATCH_FILE,)), **{**known, **changed}) == []
    both = said(account(static, later, own, files=(PATCH_FILE,)), **known)
    assert [finding.names for finding in both] == [("f",)]
    twice = {"in_host": {b"f": [candidate("f"), candidate("f")]}}
    assert len(said(account(own, files=(PATCH_FILE,)), **{**known, **twice})) == 1


def test_what_has_no_origin() -> None:
    """A definition that no input has is from a file that nobody looked at."""
    unknown = ORIGINS[Source.UNKNOWN]
    advice = "; where link took it from an archive, give its bound copies (--bound-dir)"
    one = Definition(symbol("x"), unknown, ())
    (finding,) = said(account(one))
    assert (finding.message, finding.names) == ("nothing says where x comes from", ("x",))
    (finding,) = said(account(one, Definition(symbol("y"), unknown, ()), mapped=False))
    assert (finding.message, finding.names) == (f"nothing says where x, y come from{advice}", ("x", "y"))


def section(name: str, *shares: tuple[Source, int]) -> SectionAccount:
    """A section, and what of it comes from where."""
    return SectionAccount(name, 0x1000, 64, tuple(Share(ORIGINS[source], size) for source, size in shares))


def test_bytes_that_have_no_origin() -> None:
    """They may be another library's tables, which have no symbols."""
    rows = (
        section(".a", (Source.OBJECT, 8), (Source.UNKNOWN, 1)),
        section(".b", (Source.OBJECT, 8)),
        section(".c", (Source.UNKNOWN, 0)),
        section(".d", (Source.UNKNOWN, 4), (Source.UNKNOWN, 8)),
        section(".e", (Source.UNKNOWN, 4)),
    )
    told = Definition(symbol("x", section=".e"), ORIGINS[Source.UNKNOWN], ())
    findings = said(account(told, sections=rows, mapped=True))
    assert [(finding.message, finding.names) for finding in findings] == [
        ("nothing says where x comes from", ("x",)),
        ("nothing says where 1 byte of section .a come from", ()),
        ("nothing says where 12 bytes of section .d come from", ()),
    ]
    (finding,) = said(account(sections=rows[:1], mapped=False))
    assert finding.message.endswith(
        "section .a come from; where link took it from an archive, give its bound copies (--bound-dir)"
    )


def test_objects_that_are_not_in_the_patch() -> None:
    """--start-lib swallows them: the patch links, loads and does nothing."""
    second = link_input(Source.OBJECT, "second.o", elf_object([Sym("other", 0)]))
    weak = link_input(Source.OBJECT, "weak.o", elf_object([Sym("w", 0, bind=e.STB_WEAK)]))
    hidden = link_input(Source.OBJECT, "hidden.o", elf_object([Sym("h", 0, other=e.STV_HIDDEN)]))
    data = link_input(Source.OBJECT, "data.o", elf_object([Sym("d", 0, kind=e.STT_OBJECT, section=DATA)]))
    borrowed = link_input(Source.BORROWED, "b.o", elf_object([Sym("b", 0)]))
    mine = Definition(symbol("patch_main"), OWN, ())

    def of(*files: LinkInput, **fields: Any) -> list[str]:
        made = account(files=(STUB_FILE, *files), **fields)
        return [finding.message for finding in said(made)]

    assert of(PATCH_FILE, second) == ["nothing of second.o is in the patch"]
    assert of(second) == ["nothing of second.o is in the patch: it has no code of its own"]
    assert of(PATCH_FILE, second, link_input(Source.OBJECT, "c.o", elf_object([Sym("c", 0)]))) == [
        "nothing of second.o, c.o is in the patch"
    ]
    assert of(PATCH_FILE, weak, hidden, data, borrowed) == []
    bytes_alone = section(".text", (Source.LINKER, 4))._replace(shares=(Share(Origin(Source.OBJECT, "second.o"), 4),))
    assert of(PATCH_FILE, second, sections=(bytes_alone,)) == []
    no_bytes = bytes_alone._replace(shares=(Share(Origin(Source.OBJECT, "second.o"), 0),))
    assert of(PATCH_FILE, second, sections=(no_bytes,)) == ["nothing of second.o is in the patch"]
    assert mine.origin == PATCH_FILE.origin


def test_a_patch_of_nothing_but_stubs() -> None:
    """Nobody gave its objects, and what it has every image has."""
    nothing = "it defines nothing but stubs and what every image has: no code of its own"
    rows = account(files=(STUB_FILE,))
    stub, untold = Definition(symbol("f"), STUB, ()), Definition(symbol("x"), ORIGINS[Source.UNTOLD], ())
    assert [finding.message for finding in said(rows._replace(definitions=(stub,)))] == [nothing]
    assert said(rows._replace(definitions=(stub, untold))) == []
    assert said(rows._replace(definitions=())) == []


RUNS = {
    # source -> what is said of a constructor and of a destructor
    Source.STUB: ("the host's init would run again when the patch is loaded", False, True),
    Source.MEMBER: ("init of x.o would run when the patch is loaded; it is not the patch's own", False, True),
    Source.OTHER: ("init of x.o would run when the patch is loaded; it is not the patch's own", False, True),
    Source.UNKNOWN: ("init would run when the patch is loaded, and has no known origin", False, True),
    Source.OBJECT: ("init of x.o runs when the patch is loaded", True, False),
    Source.BORROWED: ("init of x.o runs when the patch is loaded", True, False),
    Source.UNTOLD: ("init runs when the patch is loaded", True, False),
    Source.LINKER: ("", True, False),
    Source.START_UP: ("", True, False),
    Source.RUNTIME: ("", True, False),
}


@pytest.mark.parametrize("source", Source)
def test_what_runs_when_the_patch_is_loaded(source: Source) -> None:
    """Code of the host's or of a library's would run a second time in the running process."""
    message, ok, at_end = RUNS[source]

    def ran(name: bytes, *, end: bool) -> list[Finding]:
        item = Initializer(Constructor(0x3000, 0x40, end), name, ORIGINS[source])
        return list(constructor_findings(account(initializers=(item,))))

    expected = [Finding("constructors", ok, message, ("init",), note=ok)] if message else []
    assert ran(b"init", end=False) == expected
    nameless = message.replace("init", "the function at 0x40")
    assert ran(b"", end=False) == ([Finding("constructors", ok, nameless, (), note=ok)] if message else [])
    unloaded = message.replace("is loaded", "is unloaded")
    assert ran(b"init", end=True) == ([Finding("constructors", ok, unloaded, ("init",))] if at_end else [])


# contents


def objects(code: bytes, data: bytes, *, weak: bool = False, local: bool = False, at: tuple[int, ...] = ()) -> bytes:
    """An object with a function f and a variable v of these bytes, of which relocations change some of the data."""
    bind = e.STB_LOCAL if local else e.STB_WEAK if weak else e.STB_GLOBAL
    table = Relocations([*at], [1] * len(at), [257] * len(at), [0] * len(at))
    sections = [
        elf_writer.Section(".text", 1, 6, code, 4),
        elf_writer.Section(".data", 1, 3, data, 8, table),
    ]
    symbols = elf_writer.SymbolColumns(
        [b"f", b"v"], [bind << 4 | e.STT_FUNC, bind << 4 | e.STT_OBJECT], 0, [1, 2], 0, [len(code), len(data)]
    )
    groups = {"local_symbols": symbols} if local else {"global_symbols": [symbols]}
    return elf_writer.write(elf_writer.Object(sections, **groups))  # type: ignore[arg-type]


CODE_BYTES, DATA_BYTES = b"\x1f\x20\x03\xd5" * 4, bytes(range(24))
VARIABLE = CODE + 0x100


def linked(code: bytes = CODE_BYTES, data: bytes = DATA_BYTES) -> Any:
    """A patch with f and v of these bytes."""
    symbols = [LinkedSym("f", CODE), LinkedSym("v", VARIABLE, e.STT_OBJECT, section=RODATA)]
    return open_image(elf_linked(symbols, code=code.ljust(0x100, b"\0") + data), "patch.so")


def contents(
    held: bytes,
    patch: Any,
    *,
    source: Source = Source.OBJECT,
    original: bytes | None = None,
    symbols: dict[str, Any] | None = None,
    origin: Origin | None = None,
    more: tuple[LinkInput, ...] = (),
    mapped: bool = True,
) -> list[str]:
    """The names whose bytes differ."""
    item = link_input(source, "patch.o", held)
    if original is not None:
        item = item._replace(original=open_image(original, "original.o"))
    fields = symbols or {}
    rows = [
        Definition(symbol("f", address=CODE, **fields), origin or item.origin, ()),
        Definition(symbol("v", address=VARIABLE, kind=Kind.DATA, **fields), origin or item.origin, ()),
    ]
    made = Account(tuple(rows), (), (), Inputs((item, *more)), mapped, named=True)
    found = list(content_findings(made, patch))
    for finding in found:
        names = ", ".join(finding.names)
        message = f"the patch has other bytes than patch.o for {names}: the linker read another file"
        assert finding == Finding("content", False, message, finding.names)
    return [name for finding in found for name in finding.names]


def changed(content: bytes, at: int) -> bytes:
    """*content* with one bit of byte *at* turned."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("at", [0, 7, 8, 15, 23])
def test_data_that_the_linker_read_elsewhere(at: int) -> None:
    """A copy that was bound for another process has that one's addresses in its data."""
    held = objects(CODE_BYTES, DATA_BYTES)
    assert contents(held, linked()) == []
    assert contents(held, linked(data=changed(DATA_BYTES, at))) == ["v"]
    relocated = objects(CODE_BYTES, DATA_BYTES, at=(8,))
    assert contents(relocated, linked(data=changed(DATA_BYTES, at))) == ([] if 8 <= at < 16 else ["v"])


def test_code_that_nobody_bound_may_be_relaxed() -> None:
    """Linkers rewrite instructions; only what the bind phase wrote must be there."""
    other = linked(code=changed(CODE_BYTES, 4))
    held = objects(CODE_BYTES, DATA_BYTES)
    assert contents(held, other) == []
    assert contents(held, other, original=held) == []
    before = objects(changed(CODE_BYTES, 4), DATA_BYTES)  # the bind phase wrote byte 4
    assert contents(held, other, original=before) == ["f"]
    assert contents(held, linked(), original=before) == []
    assert contents(held, linked(code=changed(CODE_BYTES, 5)), original=before) == []
    shorter = objects(CODE_BYTES[:12], DATA_BYTES)
    assert contents(held, other, original=shorter) == []
    assert contents(held, linked(data=changed(DATA_BYTES, 3)), original=before) == ["v"]
    assert contents(
        held, linked(data=changed(DATA_BYTES, 3)), original=objects(CODE_BYTES, changed(DATA_BYTES, 3))
    ) == ["v"]


@pytest.mark.parametrize("source", Source)
def test_whose_contents_are_looked_at(source: Source) -> None:
    """What the linker took from archives is not a file that we know."""
    found = contents(objects(CODE_BYTES, DATA_BYTES), linked(data=changed(DATA_BYTES, 0)), source=source)
    assert found == (["v"] if source in (Source.OBJECT, Source.BORROWED) else [])


def test_what_cannot_be_told_is_not_compared() -> None:
    """A weak definition may have lost to another one, and of two statics only the map tells which is which."""
    wrong = linked(data=changed(DATA_BYTES, 0))
    held = objects(CODE_BYTES, DATA_BYTES)
    assert contents(held, wrong, origin=Origin(Source.OBJECT, "another.o")) == []
    assert contents(held, wrong, symbols={"static": True}) == []
    local = objects(CODE_BYTES, DATA_BYTES, local=True)
    assert contents(local, wrong, symbols={"static": True}) == ["v"]
    assert contents(local, wrong) == []
    weak = objects(CODE_BYTES, DATA_BYTES, weak=True)
    assert contents(weak, wrong, symbols={"weak": True}) == ["v"]
    assert contents(weak, wrong, symbols={"weak": True}, mapped=False) == []
    assert contents(held, wrong, mapped=False) == ["v"]
    second = link_input(Source.OBJECT, "second.o", held)
    third = link_input(Source.OBJECT, "third.o", elf_object([Sym("x", 0, section=TEXT)]))
    assert contents(held, wrong, more=(third,), mapped=False) == ["v"]
    assert contents(held, wrong, more=(second,), mapped=False) == []
    assert contents(held, wrong, more=(second,)) == ["v"]


def test_a_name_that_an_object_has_twice_is_not_compared() -> None:
    """Two static variables of one name: nothing says which of them the patch's is."""
    symbols = elf_writer.SymbolColumns([b"v", b"v"], e.STT_OBJECT, 0, 1, [0, 8], 8)
    held = elf_writer.write(elf_writer.Object([elf_writer.Section(".data", 1, 3, bytes(16), 8)], symbols))
    assert contents(held, linked(), symbols={"static": True}) == []


def test_many_names_are_counted() -> None:
    """Eight are enough to see what it is about."""
    names = [b"v%d" % number for number in range(10)]
    symbols = elf_writer.SymbolColumns(names, 1 << 4 | e.STT_OBJECT, 0, 1, range(0, 80, 8), 8)
    held = elf_writer.write(
        elf_writer.Object([elf_writer.Section(".data", 1, 3, b"x" * 80, 8)], global_symbols=[symbols])
    )
    item = link_input(Source.OBJECT, "patch.o", held)
    for count, end in ((8, ""), (9, " and others")):
        rows = [Definition(symbol(f"v{n}", address=CODE + 8 * n), item.origin, ()) for n in range(count)]
        made = Account(tuple(rows), (), (), Inputs((item,)), True, named=True)
        (finding,) = content_findings(made, linked())
        listed = ", ".join(f"v{n}" for n in range(8)) + end
        assert f"than patch.o for {listed}: the linker" in finding.message
        assert len(finding.names) == count


def test_data_of_a_macho_object() -> None:
    """Its symbols have no sizes: a variable ends where the next begins."""
    sections = [macho_writer.Section("__DATA", "__data", 0, bytes(range(16)), 3)]
    symbols = macho_writer.SymbolColumns([b"_v", b"_w"], m.N_SECT | m.N_EXT, 1, 0, [0, 8])
    held = macho_writer.write(macho_writer.Object(sections, BuildVersion(1, 0, 0), defined_symbols=[symbols]))
    item = link_input(Source.OBJECT, "patch.o", held)
    rows = [Definition(symbol(name, address=CODE + at), item.origin, ()) for name, at in (("_v", 0), ("_w", 8))]
    made = Account(tuple(rows), (), (), Inputs((item,)), True, named=True)
    for content, names in ((bytes(range(16)), []), (changed(bytes(range(16)), 9), ["_w"])):
        patch = open_image(macho_linked(constants=content), "patch.dylib")
        assert [name for finding in content_findings(made, patch) for name in finding.names] == names
