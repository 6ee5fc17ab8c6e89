"""What every other check says of a patch, and of one that is like it but for one thing."""

from __future__ import annotations

import re
import struct
from array import array
from pathlib import Path
from typing import Any

import pytest
from check.bench import (
    COUNTER,
    FOUND,
    GIVEN,
    HIDDEN,
    NOWHERE,
    OBJECT,
    SLIDE,
    WEAK,
    Case,
    F,
    G,
    code,
    host,
    patch,
    said,
    slots,
    stubs,
    words,
)
from linked import CODE, CONSTANTS, DATA, RODATA, VARIABLES, Relocation, Sym, elf_linked, imported, macho_linked
from synthetic import Sym as ObjectSym
from synthetic import elf_host, elf_object, put

from stubgen.check import CHECKS, refuse_findings
from stubgen.common.phases import listen, unlisten
from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.elf.relocations import Relocations
from stubgen.errors import InputError, MalformedInput, PatchRefusal, UsageError
from stubgen.host.previous import PreviousPatch
from stubgen.origin.sources import Source
from stubgen.stub.emit import emit_elf
from stubgen.stub.facts import LibraryFacts


def test_a_sound_patch_is_asked_everything(case: Case) -> None:
    """A check that is left out says nothing, and nobody misses it."""
    put(case.folder, "patch.so", patch(Sym("__stubgen_slot.counter", CONSTANTS, OBJECT, section=RODATA, other=HIDDEN),
        constants=struct.pack("<Q", SLIDE + COUNTER), **stubs(f=SLIDE + F, g=SLIDE + G)))  # fmt: skip
    checked = case.check(slide=GIVEN, exports=["patch_main"])
    assert [(finding.check, finding.message) for finding in checked.findings] == [
        ("back-edge", "it needs libc.so.6, not the host"),
        ("own name", "its name, patch.so, is not the host's"),
        ("undefined", "nothing is left undefined"),
        ("stubs", "2 stubs found and decoded, all for slide 0x5500000000"),
        ("slots", "1 slot found, each with what the host has there"),
        ("lookups", "the loader looks no stub up"),
        ("exports", "patch_main can be found by dlsym"),
        ("origin", "4 definitions: stubs 3, its objects or archives 1"),
        ("loading", "its segments, and what it asks of the loader, are as the host's"),
    ]
    assert checked.ok
    assert checked.patch == case.patch
    assert [(stub.name, stub.target) for stub in checked.stubs] == [(b"f", SLIDE + F), (b"g", SLIDE + G)]
    assert checked.slide == SLIDE
    assert checked.account is not None
    assert [definition.name for definition in checked.account.definitions if definition.host] == [b"f", b"g"]
    refuse_findings(checked)


def relocated_object(kind: int, *names: str) -> bytes:
    """An object whose code refers to each of *names* by a relocation of *kind*."""
    table = Relocations(
        [4 * n for n in range(len(names))], [n + 1 for n in range(len(names))], [kind] * len(names), [0] * len(names)
    )
    text = elf_writer.Section(".text", 1, 6, bytes(4 * len(names)), 4, table)
    symbols = elf_writer.SymbolColumns([name.encode() for name in names], st_info=e.STB_GLOBAL << 4)
    return elf_writer.write(elf_writer.Object([text], global_symbols=[symbols]))


def test_code_for_the_main_program(case: Case) -> None:
    """Compiled with -fPIE, it reaches the program's thread-locals instead of the patch's, and GNU ld links it."""
    message = (
        "one.o: .text+0x0: R_AARCH64_TLSLE_ADD_TPREL_HI12 against a{}: code for the main program, which in a library "
        "reaches the program's thread-locals instead of the patch's; link bound copies, or compile with -fPIC "
        "(rustc: -C relocation-model=pic)"
    )
    plain = put(case.folder, "plain.o", elf_object([ObjectSym("x", 0)]))
    assert case.about("thread-locals", objects=[plain]) == []
    for names, more in ((["a"], ""), (["a", "b"], " and 1 more"), (["a", "b", "c"], " and 2 more")):
        path = put(case.folder, "one.o", relocated_object(549, *names))
        text = f"{case.folder}/{message.format(more)}"
        assert case.about("thread-locals", objects=[plain, path]) == [(False, text)]


def test_a_slot_that_gold_reads_wrongly(case: Case) -> None:
    """Gold encodes R_AARCH64_LD_PREL_LO19 wrongly: the load reads what lies elsewhere."""
    right = ("counter", words(SLIDE + COUNTER))
    by_literal = put(case.folder, "literal.o", relocated_object(273, "x", "y"))
    plain = put(case.folder, "plain.o", relocated_object(283, "x"))
    gold = (".note.gnu.gold-version", elf_writer.note(b"GNU", 4, b"gold", "note"))
    message = "gold encodes a load of an address (R_AARCH64_LD_PREL_LO19) wrongly: link with GNU ld, lld or mold"
    put(case.folder, "patch.so", patch(notes=[gold], **slots(right)))
    unnamed = [finding for finding in case.check(objects=[plain, by_literal]).findings if finding.check == "slots"]
    assert [(finding.ok, finding.message) for finding in unnamed] == [(False, message)]
    assert case.about("slots", objects=[plain]) == [(True, FOUND)]
    assert case.about("slots", None, patch(**slots(right)), objects=[by_literal]) == [(True, FOUND)]
    assert case.about("slots", None, patch(notes=[gold]), objects=[by_literal]) == []


def test_a_stub_that_the_loader_looks_up(case: Case) -> None:
    """It finds the host's own, or somebody else's: not what the stub leads to."""
    known = stubs(f=SLIDE + F, g=SLIDE + G)
    known["symbols"] = [symbol._replace(other=0) for symbol in known["symbols"]]
    own = patch(relocations=[Relocation(VARIABLES, "g", 1026), Relocation(VARIABLES + 8, "f", 1026)], **known)
    message = "{} is looked up by the loader although it has a stub"
    assert case.about("lookups", None, own) == [(False, message.format("f")), (False, message.format("g"))]
    own = patch(relocations=[Relocation(VARIABLES, "patch_main", 1026)], **known)
    assert case.about("lookups", None, own) == [(True, "the loader looks no stub up")]
    nameless = {**known, "symbols": [Sym("", CODE, bind=WEAK), *known["symbols"][1:]]}
    own = patch(relocations=[Relocation(VARIABLES, "", 1026)], **nameless)
    assert case.about("lookups", None, own) == [(True, "the loader looks no stub up")]


def test_a_definition_that_the_hosts_old_one_takes_the_place_of(case: Case) -> None:
    """The program's comes first in the loader's search: the patch's new code calls the old one."""
    message = (
        "{} is defined in it, and the loader takes the host's old one instead: link bound copies of the patch's "
        "objects (link, or build --bound-dir)"
    )
    own = [Sym("g", CODE + 0x100), Sym("f", CODE + 0x200), Sym("fresh", CODE + 0x300)]
    lookups = [Relocation(VARIABLES + 8 * number, symbol.name, 1026) for number, symbol in enumerate(own)]
    taken = [(False, message.format("f")), (False, message.format("g"))]
    assert case.about("own definitions", None, patch(*own, relocations=lookups)) == taken
    assert case.about("own definitions", None, patch(*own)) == []
    hidden = host(Sym("f", F, other=HIDDEN), Sym("g", G, other=HIDDEN), without=["f", "g"])
    assert case.about("own definitions", hidden, patch(*own, relocations=lookups)) == []


def test_what_the_builder_will_look_up(case: Case) -> None:
    """A name that is hidden or not there is null for dlsym."""
    own = patch(Sym("shown", CODE + 0x500), Sym("hid", CODE + 0x600, other=HIDDEN))
    nowhere = "{} cannot be found by dlsym: the patch does not export it"
    assert case.about("exports", None, own) == []
    assert case.about("exports", None, own, exports=["patch_main", "shown"]) == [
        (True, "patch_main, shown can be found by dlsym")
    ]
    assert case.about("exports", None, own, exports=["hid", "shown", "typo"]) == [
        (False, nowhere.format("hid")),
        (False, nowhere.format("typo")),
    ]
    path = put(case.folder, "one.o", elf_object([ObjectSym("hid", 0, other=HIDDEN)]))
    why = f"hid cannot be found by dlsym: it is hidden in {path}: give it default visibility"
    assert case.about("exports", None, own, exports=["hid"], objects=[path]) == [(False, why)]


BTI_NOTE = (".note.gnu.property", elf_writer.property_note(1))


PROTECTED = {
    "kept": ([], [BTI_NOTE], True, (True, "the patch keeps the BTI property")),
    "kept for a host with it": ([BTI_NOTE], [BTI_NOTE], True, (True, "the patch keeps the BTI property")),
    "lost": (
        [BTI_NOTE],
        [],
        True,
        (False, "the host has BTI, but the linked patch lost it: some input lacks the property"),
    ),
    "not asked for": ([], [], True, (True, "the stubs have landing pads; the host does not ask for BTI")),
    "without landing pads": ([BTI_NOTE], [BTI_NOTE], False, None),
}


@pytest.mark.parametrize(("hosts", "own", "pads", "expected"), PROTECTED.values(), ids=[*PROTECTED])
def test_branch_protection(
    case: Case, hosts: list[Any], own: list[Any], pads: bool, expected: tuple[bool, str] | None
) -> None:
    """Without the property the patch's pages are not guarded: whoever wanted BTI has lost it."""
    known = {**stubs(f=SLIDE + F, g=SLIDE + G), "code": code(SLIDE + F) + code(SLIDE + G, bti=pads)}
    known["symbols"] = [known["symbols"][0], known["symbols"][1]._replace(size=24), *known["symbols"][2:]]
    found = case.about("bti", host(notes=hosts), patch(notes=own, **known))
    assert found == ([] if expected is None else [expected])
    if pads:
        assert case.about("bti", None, patch(notes=own)) == []


def test_the_slide_tells_which_nameless_stub_is_dead(case: Case) -> None:
    """A library's definition that took the name of a stub is the one that is called."""
    known = stubs(f=SLIDE + F)
    known["symbols"] = [Sym("f", CODE + 0x300), Sym("patch_main", CODE + 0x400)]
    put(case.folder, "patch.so", patch(**known))
    dead = [text for _, text in said(case.check(slide=GIVEN), "origin") if "dead code" in text]
    assert [text.partition(" is ")[0] for text in dead] == ["the stub at 0x1000"]
    assert not [text for _, text in said(case.check(), "origin") if "dead code" in text]


def test_versions_that_a_given_library_lacks(case: Case) -> None:
    """The loader refuses the patch for a version that the library beside it does not have."""
    own = patch(imported("sin", library="libm.so.6"))
    library = case.given("libm.so.6", Sym("sin", CODE))
    assert case.about("versions", None, own, libraries=[library]) == [
        (False, f"it needs version V1 of libm.so.6, and {library} has none of that name")
    ]
    named = case.given("other.so", Sym("sin", CODE), soname="libm.so.6")
    assert [ok for ok, _ in case.about("versions", None, own, libraries=[named])] == [False]


def test_what_is_no_patch_of_this_host(case: Case) -> None:
    """Two files mixed up must not end in "sound"."""
    cases: list[tuple[bytes, type[Exception], str]] = [
        (
            elf_object([ObjectSym("x", 0)]),
            InputError,
            "is a relocatable object; check takes the linked patch, a shared",
        ),
        (elf_host([ObjectSym("x", 0x10100)]), InputError, "is an executable; check takes the linked patch, a shared"),
        (macho_linked(), InputError, r"is of another format \(macho\) than the host \(elf\)"),
    ]
    for content, kind, message in cases:
        put(case.folder, "patch.so", content)
        with pytest.raises(kind, match=message):
            case.check()
    put(case.folder, "patch.so", patch())
    with pytest.raises(UsageError, match=r"slide is 16384; give a Slide"):
        case.check(slide=0x4000)
    stubs_at_link_time = put(case.folder, "libx.tbd", b"--- !tapi-tbd")
    assert case.check(libraries=[stubs_at_link_time]).ok
    with pytest.raises(InputError):
        case.check(libraries=[put(case.folder, "libx.txt", b"--- !tapi-tbd")])


def test_objects_archives_and_the_map_are_read(case: Case) -> None:
    """What is known of the link is what the account is made of."""
    (case.folder / "one.a").write_bytes(b"!<arch>\n")
    one = put(case.folder, "one.o", elf_object([ObjectSym("patch_main", 0)]))
    stub = put(case.folder, "stub.o", emit_elf([b"f"], array("Q", [SLIDE + F])).content)
    checked = case.check(objects=[one, case.folder / "one.a"], stub=Path(stub))
    assert checked.account is not None
    inputs = checked.account.inputs
    assert [(item.name, item.path, item.source) for item in inputs.files] == [
        (one, one, Source.OBJECT),
        (stub, stub, Source.STUB),
    ]
    assert inputs.archives == (str(case.folder / "one.a"),)
    assert (inputs.link_map, Path(inputs.directory)) == (None, Path.cwd())
    link_map = case.folder / "link.map"
    link_map.write_bytes(b"no map at all \xff\n")
    with pytest.raises(MalformedInput, match=r"link\.map: is no map file of this patch's link: it names no"):
        case.check(objects=[one], link_map=link_map)
    assert not checked.account.mapped


def test_a_refusal_names_what_speaks_against_it(case: Case) -> None:
    """Only that: people look for the wrong among twenty lines that are right."""
    put(case.folder, "patch.so", patch(imported("typo"), needed=["host"]))
    checked = case.check()
    assert not checked.ok
    with pytest.raises(PatchRefusal) as caught:
        refuse_findings(checked)
    assert str(caught.value).splitlines() == [
        f"{case.patch}: the linked patch is not sound",
        "  back-edge: it loads the host itself: it needs host; drop that from the link",
        f"  undefined: {NOWHERE.format('typo')}",
    ]
    assert caught.value.findings == checked.findings


def test_there_are_thirteen_checks() -> None:
    """The report has their order; one that is called twice says everything twice."""
    assert len(set(CHECKS)) == len(CHECKS) == 13


WRONG: dict[str, object] = {
    "previous": "p1.so",
    "objects": "one.o",
    "exports": "patch_main",
    "libraries": "libx.so",
    "overrides": [4],
    "pinned": "f@V1",
}


@pytest.mark.parametrize("keyword", WRONG)
def test_an_argument_that_is_wrong_is_named(case: Case, keyword: str) -> None:
    """The single name ``"f"`` for a list of names asks for every letter of it."""
    with pytest.raises(UsageError, match=f"^{keyword}\\b"):
        case.check(**{keyword: WRONG[keyword]})


def test_a_file_that_is_no_patch_is_named(case: Case) -> None:
    """Its path is what the user can look at."""
    put(case.folder, "patch.so", b"no patch")
    with pytest.raises(MalformedInput, match=f"^{re.escape(case.patch)}: is neither"):
        case.check()


def test_what_is_known_of_capstone_is_used(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each further check of a session would have it loaded again, which takes longer than the rest."""
    first = put(case.folder, "p1.so", elf_linked([Sym("f", CODE + 0x80)], soname="p1.so"))
    monkeypatch.setattr(LibraryFacts, "of_user", lambda: pytest.fail("asked for others"))
    earlier = [PreviousPatch(first, 0x7F00000000)]
    assert case.check(previous=earlier, slide=GIVEN, facts=LibraryFacts(None)).ok


def test_a_check_says_that_it_begins(case: Case) -> None:
    """A client of serve shows it, and may cancel there."""
    phases: list[str] = []
    listen(phases.append)
    try:
        case.check()
    finally:
        unlisten(phases.append)
    assert phases == ["checks the patch"]


def test_a_map_of_the_link_is_believed(case: Case) -> None:
    """It tells what comes from where, also where two inputs define one name."""
    one = put(case.folder, "one.o", elf_object([ObjectSym("patch_main", 0)]))
    link_map = case.folder / "link.map"
    link_map.write_text(
        "             VMA              LMA     Size Align Out     In      Symbol\n"
        f"            {CODE:x}             {CODE:x}     1000     4 .text\n"
        f"            {CODE:x}             {CODE:x}     1000     4         {one}:(.text)\n"
    )
    checked = case.check(objects=[one], link_map=link_map)
    assert checked.account is not None
    assert checked.account.mapped
    (origin,) = (each.origin for each in checked.account.definitions if each.name == b"patch_main")
    assert (origin.source, origin.file) == (Source.OBJECT, one)


def test_what_runs_when_the_patch_is_loaded_is_said(case: Case) -> None:
    """A static initialiser runs again with each patch: its author wants to know."""
    own = patch(tags=[(e.DT_INIT, CODE + 0x400)])
    assert case.about("constructors", None, own) == [(True, "patch_main runs when the patch is loaded")]
    assert case.about("constructors", None, patch()) == []


def test_another_file_than_the_object_that_was_given(case: Case) -> None:
    """A copy that was bound for another process has that one's addresses in its data."""
    data = elf_writer.Section(".data", 1, 3, bytes(range(8)), 8)
    symbols = elf_writer.SymbolColumns([b"value"], 1 << 4 | e.STT_OBJECT, 0, 1, 0, 8)
    one = put(case.folder, "one.o", elf_writer.write(elf_writer.Object([data], global_symbols=[symbols])))
    value = Sym("value", VARIABLES, e.STT_OBJECT, section=DATA)
    assert case.about("content", None, patch(value, data=bytes(range(8))), objects=[one]) == []
    message = f"the patch has other bytes than {one} for value: the linker read another file"
    assert case.about("content", None, patch(value, data=bytes(8)), objects=[one]) == [(False, message)]
