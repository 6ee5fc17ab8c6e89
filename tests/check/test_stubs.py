"""Where the stubs of a linked patch go, and whose patch its note says that it is."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import pytest
from check.bench import GIVEN, LOCAL, MAIN, SLIDE, Case, F, G, host, patch, stubs
from linked import CODE, VARIABLES, Relocation, Sym, imported
from synthetic import put

from stubgen.elf import constants as e
from stubgen.elf import writer as elf_writer
from stubgen.host.slide import Slide
from stubgen.image.identity import BUILD_ID, CODE_DIGEST, HostIdentity, PatchIdentity, encode_identity
from stubgen.stub.emit import emit_elf

RIGHT = "{} found and decoded, all for slide 0x5500000000"
FORWARDER = "__stubgen_forward.0x7000"
WHERE: dict[str, tuple[dict[str, int], dict[str, Any], str, bool]] = {
    # stub -> where it goes, what else is given, what is said, whether that is well
    "none": ({}, {}, "0 stubs found and decoded", True),
    "none, with a slide": ({}, {"slide": GIVEN}, "0 stubs found and decoded", True),
    "one": ({"f": SLIDE + F}, {}, RIGHT.format("1 stub"), True),
    "two": ({"f": SLIDE + F, "g": SLIDE + G}, {"slide": GIVEN}, RIGHT.format("2 stubs"), True),
    "slide 0": ({"f": F}, {}, "1 stub found and decoded, all for slide 0x0", True),
    "off": (
        {"f": SLIDE + F + 4},
        {"slide": GIVEN},
        "f branches to 0x5500001044, but the host's is at 0x5500001040",
        False,
    ),
    "a page off": (
        {"f": SLIDE + F, "g": SLIDE + G, "main": SLIDE + MAIN + 0x1000},
        {},
        "main branches to 0x5500002100, but the host's is at 0x5500001100",
        False,
    ),
    "nobody's": (
        {"f": SLIDE + F, "gone": SLIDE + G},
        {},
        "gone is a stub, but the host has no symbol of that name",
        False,
    ),
    "nobody's alone": ({"gone": SLIDE + G}, {}, "gone is a stub, but the host has no symbol of that name", False),
    "what the host imports": (
        {"f": SLIDE + F, "puts": SLIDE},
        {},
        "puts is a stub, but the host has no symbol of that name",
        False,
    ),
    "replaced": ({"f": 0x9000}, {"overrides": {"f": 0x9000}}, "1 stub found and decoded", True),
    "replaced, beside another": (
        {"f": 0x9000, "g": SLIDE + G},
        {"overrides": {"f": 0x9000}, "slide": GIVEN},
        RIGHT.format("2 stubs"),
        True,
    ),
    "the one before": (
        {"f": SLIDE + F},
        {"overrides": {"f": 0x9000}},
        "f branches to 0x5500001040, not to 0x9000, where an earlier patch replaced it",
        False,
    ),
    "between pages": (
        {"f": SLIDE + F + 1, "g": SLIDE + G + 1},
        {},
        "they agree on slide 0x5500000001, which is not a multiple of the page size",
        False,
    ),
    "a forwarder": ({FORWARDER: 0x7000, "f": SLIDE + F}, {}, RIGHT.format("2 stubs"), True),
    "a forwarder that is off": (
        {FORWARDER: 0x7004},
        {},
        f"{FORWARDER} is a stub, but the host has no symbol of that name",
        False,
    ),
}


@pytest.mark.parametrize(("targets", "options", "message", "ok"), WHERE.values(), ids=[*WHERE])
def test_where_the_stubs_go(
    case: Case, targets: dict[str, int], options: dict[str, Any], message: str, ok: bool
) -> None:
    """A trampoline that is one instruction off, or of the process before, is a crash without a word."""
    assert case.about("stubs", host(imported("puts")), patch(**stubs(**targets)), **options) == [(ok, message)]


def test_most_stubs_tell_the_slide(case: Case) -> None:
    """The odd one is the wrong one, wherever in the file it is."""
    for targets in ({"f": F, "g": SLIDE + G, "main": SLIDE + MAIN}, {"main": SLIDE + MAIN, "f": SLIDE + F, "g": G}):
        findings = case.about("stubs", None, patch(**stubs(**targets)))
        assert [ok for ok, _ in findings] == [False]
        assert case.check().slide == SLIDE
    assert case.about("stubs", None, patch(), slide=GIVEN) == [(True, "0 stubs found and decoded")]
    assert case.check(slide=GIVEN).slide is None
    overridden = case.check(overrides={"f": 4, "g": 8, "main": 12})
    assert overridden.slide is None
    put(case.folder, "patch.so", patch(**stubs(f=0x9000, g=SLIDE + G)))
    assert case.check(overrides={"f": 0x9000}).slide == SLIDE


def test_a_stub_may_go_to_any_of_the_hosts_of_its_name(case: Case) -> None:
    """Which of two static functions is meant, the resolve phase judged."""
    hosts = host(Sym("twin", CODE + 0x200, bind=LOCAL), Sym("twin", CODE + 0x300, bind=LOCAL))
    for place in (CODE + 0x200, CODE + 0x300):
        own = patch(**stubs(twin=SLIDE + place))
        assert case.about("stubs", hosts, own, slide=GIVEN) == [
            (True, "1 stub found and decoded, all for slide 0x5500000000")
        ]
    own = patch(**stubs(twin=SLIDE + F))
    message = "twin branches to 0x5500001040, but the host's is at 0x5500001200, 0x5500001300"
    assert case.about("stubs", hosts, own, slide=GIVEN) == [(False, message)]


def test_stubs_without_a_name_speak_for_nothing(case: Case) -> None:
    """A stripped patch has its stubs found by their code alone."""
    own = patch(**stubs(f=SLIDE + F + 8), stripped=True)
    assert case.about("stubs", None, own, slide=GIVEN) == [
        (True, "1 stub found and decoded, all for slide 0x5500000000")
    ]
    assert case.check().slide is None


def test_the_anchors_stub_is_the_hosts_whatever_replaced_it(case: Case) -> None:
    """The loader asks it for the slide: an earlier patch's main would tell another one."""
    anchored = Slide(SLIDE, "main", MAIN, SLIDE + MAIN)
    own = patch(**stubs(main=SLIDE + MAIN))
    fine = [(True, "1 stub found and decoded, all for slide 0x5500000000")]
    replaced = {"overrides": {"main": 0x9000}}
    assert case.about("stubs", None, own, slide=anchored, **replaced) == fine
    wanted = "0x9000, where an earlier patch replaced it"
    wrong = [(False, f"main branches to {SLIDE + MAIN:#x}, not to {wanted}")]
    assert case.about("stubs", slide=GIVEN, **replaced) == wrong
    assert case.about("stubs", slide=anchored._replace(anchor="g"), **replaced) == wrong
    assert case.about("stubs", slide=anchored._replace(runtime_address=0x9000), **replaced) == wrong


def test_a_stub_of_a_version(case: Case) -> None:
    """foo@V1 means that version alone; the stub is called otherwise in the patch."""
    own = patch(**stubs(**{"__stubgen_pinned.1.f.V1": SLIDE + F}))
    versions = [Sym("f@V1", F), Sym("f@@V2", CODE + 0x300)]
    hosts = host(*versions, without=["f"])
    fine = [(True, "1 stub found and decoded, all for slide 0x5500000000")]
    assert case.about("stubs", hosts, own, slide=GIVEN) == fine
    own = patch(**stubs(**{"__stubgen_pinned.1.f.V1": SLIDE + CODE + 0x300}))
    message = "f@V1 branches to 0x5500001300, but the host's is at 0x5500001040"
    assert case.about("stubs", hosts, own, slide=GIVEN) == [(False, message)]


def test_the_stub_of_what_a_library_lets_others_replace(case: Case) -> None:
    """The host's own calls go by its PLT entry, where the loader puts whichever definition came first."""
    place, entry = VARIABLES + 0x80, CODE + 0x300
    page = 0x90000010 | ((place >> 12) - (entry >> 12) & 3) << 29 | ((place >> 12) - (entry >> 12)) >> 2 << 5
    plt = struct.pack("<4I", page, 0xF9400211 | (place & 0xFFF) // 8 << 10, 0x91000210, 0xD61F0220)
    library: dict[str, Any] = {
        "program": False,
        "relocations": [Relocation(place, "f", 1026)],  # R_AARCH64_JUMP_SLOT
        "code": bytes(0x300) + plt,
        "sections": {".text": ".plt"},
    }
    for target in (SLIDE + entry, SLIDE + F):
        own = patch(**stubs(f=target, g=SLIDE + G))
        assert case.about("stubs", host(**library), own) == [
            (True, "2 stubs found and decoded, all for slide 0x5500000000")
        ], hex(target)
    symbolic = host(tags=[(e.DT_SYMBOLIC, 0)], **library)
    own = patch(**stubs(f=SLIDE + entry, g=SLIDE + G))
    message = "f branches to 0x5500001300, but the host's is at 0x5500001040"
    assert case.about("stubs", symbolic, own, slide=GIVEN) == [(False, message)]
    own = patch(**stubs(f=SLIDE + G, g=SLIDE + G))
    message = "f branches to 0x5500001080, but the host's is at 0x5500001300, 0x5500001040"
    assert case.about("stubs", host(**library), own, slide=GIVEN) == [(False, message)]


def test_each_stub_has_one_vote(case: Case) -> None:
    """What the loader can find is in two tables of the host: its stale stub would outvote two that are right."""
    hosts = host(Sym("one", CODE + 0x200, bind=LOCAL), Sym("two", CODE + 0x300, bind=LOCAL))
    own = patch(**stubs(f=F, one=SLIDE + CODE + 0x200, two=SLIDE + CODE + 0x300))
    message = "f branches to 0x1040, but the host's is at 0x5500001040"
    assert case.about("stubs", hosts, own) == [(False, message)]


BUILD, OTHER = HostIdentity(BUILD_ID, b"\1" * 20), HostIdentity(BUILD_ID, b"\2" * 20)


IDENTITY = PatchIdentity(SLIDE, BUILD, 1, b"s" * 16, "1")


def note_of(identity: PatchIdentity) -> tuple[str, bytes]:
    """A section with its note."""
    return ".note.stubgen", elf_writer.note(b"stubgen", 1, encode_identity(identity), "note")


def build_id(value: bytes) -> tuple[str, bytes]:
    """A section with the note that tells one build from others."""
    return ".note.gnu.build-id", elf_writer.note(b"GNU", 3, value, "note")


def without_code(content: bytes) -> bytes:
    """*content* with no section of instructions, so that nothing tells it from other builds."""
    changed = bytearray(content)
    (headers,) = struct.unpack_from("<Q", content, 40)
    struct.pack_into("<Q", changed, headers + 64 + 8, e.SHF_ALLOC)
    return bytes(changed)


THIS = host(notes=[build_id(b"\1" * 20)])


IDENTITIES: dict[str, tuple[bytes, PatchIdentity | None, dict[str, Any], list[tuple[bool, str]]]] = {
    "none": (THIS, None, {}, []),
    "this host's": (THIS, IDENTITY, {}, [(True, f"it says that it is for this host, {BUILD}")]),
    "this process's": (THIS, IDENTITY, {"slide": GIVEN}, [(True, f"it says that it is for this host, {BUILD}")]),
    "another build's": (
        THIS,
        IDENTITY._replace(host=OTHER),
        {},
        [(False, f"it was linked for another build of the host ({OTHER}), and this is {BUILD}")],
    ),
    "another process's": (
        THIS,
        IDENTITY,
        {"slide": Slide(0x4000, None, 0, 0)},
        [(False, "it was linked for slide 0x5500000000, and the process has its host at slide 0x4000")],
    ),
    "nothing tells the host": (
        without_code(host()),
        IDENTITY,
        {},
        [(True, "nothing tells this build of the host from others: link it with --build-id")],
    ),
    "told in another way": (
        THIS,
        IDENTITY._replace(host=HostIdentity(CODE_DIGEST, b"\3" * 32)),
        {},
        [
            (
                True,
                f"nobody can tell whether it is for this host: it says code digest {'03' * 8}..., and this is {BUILD}",
            )
        ],
    ),
}


@pytest.mark.parametrize(("hosts", "identity", "options", "expected"), IDENTITIES.values(), ids=[*IDENTITIES])
def test_whose_patch_it_says_that_it_is(
    case: Case, hosts: bytes, identity: PatchIdentity | None, options: dict[str, Any], expected: list[tuple[bool, str]]
) -> None:
    """A patch for the build of yesterday jumps into the middle of today's functions."""
    notes = [] if identity is None else [note_of(identity)]
    assert case.about("identity", hosts, patch(notes=notes), **options) == expected
    noted = [finding.note for finding in case.check(**options).findings if finding.check == "identity"]
    assert noted == [ok and "it says that" not in message for ok, message in expected]


def test_a_note_that_contradicts_the_stubs(case: Case) -> None:
    """Without the process's slide the stubs tell it: a note of another link is stale."""
    own = patch(notes=[note_of(IDENTITY)], **stubs(f=0x4000 + F))
    said = "it was linked for slide 0x5500000000, and the process has its host at slide 0x4000"
    assert case.about("identity", THIS, own) == [(False, said)]


def test_the_note_of_the_stub_object(case: Case) -> None:
    """A linker that drops it, or hands over what it linked before, leaves a patch that nobody can tell from others."""
    stub = put(case.folder, "stub.o", emit_elf([b"f"], array("Q", [SLIDE + F]), identity=IDENTITY).content)
    dropped = "the linker dropped its identity note: a runtime that looks for one will refuse the patch"
    assert case.about("identity", THIS, patch(), stub=stub) == [(True, dropped)]
    assert [finding.note for finding in case.check(stub=stub).findings if finding.check == "identity"] == [True]
    assert case.about("identity", None, patch(notes=[note_of(IDENTITY)]), stub=stub) == [
        (True, f"it says that it is for this host, {BUILD}")
    ]
    other = patch(notes=[note_of(IDENTITY._replace(generation=2))])
    stale = "its identity note is not the stub object's: the linker handed over another link's output"
    assert case.about("identity", None, other, stub=stub) == [(False, stale)]
    plain = put(case.folder, "plain.o", emit_elf([b"f"], array("Q", [SLIDE + F])).content)
    assert case.about("identity", None, patch(), stub=plain) == []
    assert [ok for ok, _ in case.about("identity", None, other, stub=plain)] == [True]
    assert case.about("identity", None, patch(), objects=[stub]) == []  # no stub object: nobody's note is missed
