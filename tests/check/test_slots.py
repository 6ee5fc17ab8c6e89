"""What the slots of a linked patch hold."""

from __future__ import annotations

from typing import Any

import pytest
from check.bench import (
    COUNTER,
    FOUND,
    GIVEN,
    HIDDEN,
    LOCAL,
    OBJECT,
    READ,
    SLIDE,
    SLOT,
    TLS,
    Case,
    F,
    G,
    counter,
    host,
    patch,
    slots,
    stubs,
    words,
)
from linked import CODE, CONSTANTS, RODATA, THREAD, VARIABLES, Relocation, Sym, elf_linked
from synthetic import put

from stubgen.check import check_patch
from stubgen.elf import constants as e
from stubgen.errors import UsageError
from stubgen.host import open_host
from stubgen.host.previous import PreviousPatch
from stubgen.host.slide import Slide

NO_SYMBOL = "nowhere: the host has no such symbol"


LEVEL = Sym("level", 0x18, TLS, section=THREAD)


SLOTS: dict[str, tuple[list[Sym], str, bytes, dict[str, Any], str]] = {
    # more of the host's, the slot's name, its bytes, what else is given, the complaint
    "right": ([], "counter", words(SLIDE + COUNTER), {}, ""),
    "with a slide": ([], "counter", words(SLIDE + COUNTER), {"slide": GIVEN}, ""),
    "a function's": ([], "f", words(SLIDE + F), {}, ""),
    "behind it": ([], "counter+16", words(SLIDE + COUNTER + 16), {}, ""),
    "before it": ([], "counter-4", words(SLIDE + COUNTER - 4), {}, ""),
    "at the other end of memory": (
        [Sym("edge", 0x420000, OBJECT, section=e.SHN_ABS)],
        "edge-4325377",
        words(-1),
        {},
        "",
    ),
    "off": (
        [],
        "counter",
        words(SLIDE + COUNTER + 8),
        {},
        READ.format("counter", f"{SLIDE + COUNTER + 8:#x}", f"{SLIDE + COUNTER:#x}"),
    ),
    "of another process": (
        [],
        "counter",
        words(SLIDE + COUNTER),
        {"slide": Slide(0x4000, None, 0, 0)},
        READ.format("counter", f"{SLIDE + COUNTER:#x}", f"{0x4000 + COUNTER:#x}"),
    ),
    "nobody's": ([], "gone", words(SLIDE), {}, READ.format("gone", f"{SLIDE:#x}", NO_SYMBOL)),
    "replaced": ([], "f", words(0x9000), {"overrides": {"f": 0x9000}}, ""),
    "replaced, and the host's": ([], "f", words(SLIDE + F), {"overrides": {"f": 0x9000}}, ""),
    "a number": ([Sym("limit", 0x420000, OBJECT, section=e.SHN_ABS)], "limit", words(0x420000), {}, ""),
    "a number with the slide": (
        [Sym("limit", 0x420000, OBJECT, section=e.SHN_ABS)],
        "limit",
        words(SLIDE + 0x420000),
        {},
        READ.format("limit", f"{SLIDE + 0x420000:#x}", "0x420000"),
    ),
    "tagged": ([counter("tagged", COUNTER | 0x7F << 56)], "tagged", words(SLIDE + COUNTER | 0x7F << 56), {}, ""),
    "a tag lost": (
        [counter("tagged", COUNTER | 0x7F << 56)],
        "tagged",
        words(SLIDE + COUNTER),
        {},
        READ.format("tagged", f"{SLIDE + COUNTER:#x}", f"{SLIDE + COUNTER | 0x7F << 56:#x}"),
    ),
    "a thread-local's offset": ([LEVEL], "level", words(16 + 0x18), {}, ""),
    "a thread-local's offset and more": ([LEVEL], "level+8", words(16 + 0x20), {}, ""),
    "a thread-local's descriptor": ([LEVEL], "level.tlsdesc", words(0xDEAD, 16 + 0x18), {}, ""),
    "a descriptor that is off": (
        [LEVEL],
        "level.tlsdesc",
        words(16 + 0x18, 16 + 0x20),
        {},
        READ.format("level", "0x30", "0x28"),
    ),
    "numbered by the compiler": ([counter("count.0", bind=LOCAL)], "count.1", words(SLIDE + COUNTER), {}, ""),
    "renamed by LTO": ([counter("count.lto_priv.0", bind=LOCAL)], "count", words(SLIDE + COUNTER), {}, ""),
    "numbered, and global": (
        [counter("count.0")],
        "count.1",
        words(SLIDE + COUNTER),
        {},
        READ.format("count.1", f"{SLIDE + COUNTER:#x}", NO_SYMBOL),
    ),
    "numbered, and another": (
        [counter("count.other", bind=LOCAL)],
        "count.1",
        words(SLIDE + COUNTER),
        {},
        READ.format("count.1", f"{SLIDE + COUNTER:#x}", NO_SYMBOL),
    ),
    "numbered, and a function": (
        [Sym("count.0", F, bind=LOCAL)],
        "count.1",
        words(SLIDE + F),
        {},
        READ.format("count.1", f"{SLIDE + F:#x}", NO_SYMBOL),
    ),
    "numbered, and off": (
        [counter("count.0", bind=LOCAL)],
        "count.1",
        words(SLIDE + F),
        {},
        READ.format("count.1", f"{SLIDE + F:#x}", f"{SLIDE + COUNTER:#x}"),
    ),
    "numbered, and more": ([counter("count.0", bind=LOCAL)], "count.1+8", words(SLIDE + COUNTER + 8), {}, ""),
    "two of a name": (
        [counter("twin", 0x3100, bind=LOCAL), counter("twin", 0x3200, bind=LOCAL)],
        "twin",
        words(SLIDE + 0x3300),
        {},
        READ.format("twin", f"{SLIDE + 0x3300:#x}", f"{SLIDE + 0x3100:#x}, {SLIDE + 0x3200:#x}"),
    ),
    "a place": ([], "libfoo.a(foo.o):count#0x3010", words(SLIDE + 0x3010), {}, ""),
    "a place that is off": (
        [],
        "libfoo.a(foo.o):count#0x3010",
        words(SLIDE + 0x3018),
        {},
        READ.format("libfoo.a(foo.o):count#0x3010", f"{SLIDE + 0x3018:#x}", f"{SLIDE + 0x3010:#x}"),
    ),
    "a thread-local's place": ([], "foo.o:level#tls0x20", words(16 + 0x20), {}, ""),
    "a section's start": ([], "__start_table", words(SLIDE + VARIABLES), {"table": True}, ""),
    "a section's end": ([], "__stop_table", words(SLIDE + VARIABLES + 0x1000), {"table": True}, ""),
    "two symbols of a section's name": (
        [counter("__start_table", 0x3100, bind=LOCAL), counter("__start_table", 0x3200, bind=LOCAL)],
        "__start_table",
        words(SLIDE + 0x3200),
        {"table": True},
        "",
    ),
    "a symbol of a section's name": (
        [counter("__start_table")],
        "__start_table",
        words(SLIDE + COUNTER),
        {"table": True},
        "",
    ),
}


@pytest.mark.parametrize(("hosts", "name", "raw", "options", "complaint"), SLOTS.values(), ids=[*SLOTS])
def test_what_the_slots_hold(
    case: Case, hosts: list[Sym], name: str, raw: bytes, options: dict[str, Any], complaint: str
) -> None:
    """A slot that is off by a field reads and writes another variable of the running process."""
    table = {"sections": {".data": "table"}} if options.pop("table", False) else {}
    own = patch(**slots((name, raw)))
    expected = [(False, complaint)] if complaint else [(True, FOUND)]
    assert case.about("slots", host(*hosts, **table), own, **options) == expected


def test_slots_without_a_slide_say_nothing(case: Case) -> None:
    """Nothing tells where the host is: a complaint would be made up."""
    own = patch(Sym(SLOT + "counter", CONSTANTS, OBJECT, section=RODATA, other=HIDDEN), constants=words(0x1234))
    assert case.about("slots", None, own) == [(True, FOUND)]
    assert [ok for ok, _ in case.about("slots", slide=GIVEN)] == [False]
    assert case.about("slots", None, patch()) == []


def test_each_slot_is_looked_at(case: Case) -> None:
    """One that is wrong behind one that is right is as wrong."""
    right, wrong = ("counter", words(SLIDE + COUNTER)), ("f", words(SLIDE))
    complaint = (False, READ.format("f", f"{SLIDE:#x}", f"{SLIDE + F:#x}"))
    assert case.about("slots", None, patch(**slots(right, wrong))) == [complaint]
    assert case.about("slots", None, patch(**slots(wrong, right))) == [complaint]
    assert case.about("slots", None, patch(**slots(right, right))) == [
        (True, "2 slots found, each with what the host has there")
    ]


def thread_host(**options: Any) -> bytes:
    """A library with a thread-local and the descriptor that the loader filled in for it."""
    descriptor = Relocation(VARIABLES + 0x40, "", 1031, 0x18)  # R_AARCH64_TLSDESC of its own block
    return host(LEVEL._replace(other=HIDDEN), program=False, soname="libhost.so", relocations=[descriptor], **options)


def test_the_descriptors_of_a_host_that_is_a_library(case: Case) -> None:
    """The loader alone knows where its block is: the slot leads to the host's own descriptor."""
    at = SLIDE + VARIABLES + 0x40
    for name, distance in (("level.tlshost", 0), ("level.tlshost+8", 8)):
        own = patch(**slots((name, words(0xDEAD, distance, at))))
        assert case.about("slots", thread_host(), own) == [(True, FOUND)]
    own = patch(**slots(("level.tlshost", words(0xDEAD, 0, at + 16))))
    read = READ.format("level", f"0x0 from the descriptor at {at + 16:#x}", f"0x0 from the descriptor at {at:#x}")
    assert case.about("slots", thread_host(), own) == [(False, read)]
    own = patch(**slots(("level.tlshost", words(0xDEAD, 4, at))))
    read = READ.format("level", f"0x4 from the descriptor at {at:#x}", f"0x0 from the descriptor at {at:#x}")
    assert case.about("slots", thread_host(), own) == [(False, read)]
    nowhere = READ.format("level", f"0x0 from the descriptor at {at:#x}", NO_SYMBOL)
    own = patch(**slots(("level.tlshost", words(0xDEAD, 0, at))))
    bare = host(LEVEL._replace(other=HIDDEN), program=False, soname="libhost.so")
    assert case.about("slots", bare, own) == [(False, nowhere)]


def test_the_slot_of_what_a_library_lets_others_replace(case: Case) -> None:
    """The host's code reads it where the loader put it: the slot may lead there."""
    place = VARIABLES + 0x80
    library = host(program=False, relocations=[Relocation(place, "counter", 1025)])  # R_AARCH64_GLOB_DAT
    for value in (place, COUNTER):
        assert case.about("slots", library, patch(**slots(("counter", words(SLIDE + value))))) == [(True, FOUND)]
    assert case.about("slots", library, patch(**slots(("counter+8", words(SLIDE + place + 8))))) == [(True, FOUND)]
    symbolic = host(program=False, relocations=[Relocation(place, "counter", 1025)], tags=[(e.DT_SYMBOLIC, 0)])
    assert [ok for ok, _ in case.about("slots", symbolic, patch(**slots(("counter", words(SLIDE + place)))))] == [False]
    hidden = host(counter("own", 0x3100, other=HIDDEN), program=False, relocations=[Relocation(place, "own", 1025)])
    assert [ok for ok, _ in case.about("slots", hidden, patch(**slots(("own", words(SLIDE + place)))))] == [False]


def test_an_earlier_patchs_variable(case: Case) -> None:
    """State that an earlier patch began is where that one is, whatever the host has of the name."""
    put(case.folder, "host", host())
    first = put(case.folder, "p1.so", elf_linked([counter("fresh", 0x3100), Sym("f", CODE + 0x80)], soname="p1.so"))
    base = 0x7F00000000
    earlier = {"previous": [PreviousPatch(first, base)], "slide": GIVEN}
    own = patch(**slots(("fresh", words(base + 0x3100))))
    assert case.about("slots", None, own, **earlier) == [(True, FOUND)]
    own = patch(**slots(("fresh", words(base + 0x3108))))
    complaint = READ.format("fresh", f"{base + 0x3108:#x}", f"{base + 0x3100:#x}")
    assert case.about("slots", None, own, **earlier) == [(False, complaint)]
    assert case.about("slots", slide=GIVEN)[0][0] is False


def test_an_earlier_patchs_function(case: Case) -> None:
    """A stub that goes on to the host's runs what was replaced two saves ago."""
    first = put(case.folder, "p1.so", elf_linked([Sym("f", CODE + 0x80), counter("g", 0x3100)], soname="p1.so"))
    base = 0x7F00000000
    earlier = {"previous": [PreviousPatch(first, base)], "slide": GIVEN}
    fine = [(True, "1 stub found and decoded, all for slide 0x5500000000")]
    assert case.about("stubs", None, patch(**stubs(f=base + CODE + 0x80)), **earlier) == fine
    old = f"f branches to {SLIDE + F:#x}, not to {base + CODE + 0x80:#x}, where an earlier patch replaced it"
    assert case.about("stubs", None, patch(**stubs(f=SLIDE + F)), **earlier) == [(False, old)]
    assert case.about("stubs", None, patch(**stubs(g=SLIDE + G)), **earlier) == fine
    assert case.about("stubs", None, patch(**stubs(f=0x9000)), **earlier, overrides={"f": 0x9000}) == fine
    pinned = host(Sym("f@V1", F), without=["f"])
    own = patch(**stubs(**{"__stubgen_pinned.1.f.V1": SLIDE + F}))
    assert case.about("stubs", pinned, own, **earlier) == fine
    with pytest.raises(UsageError, match="previous is about one process: give its slide as well"):
        case.check(previous=earlier["previous"])
    opened = open_host(case.host)
    assert check_patch(case.patch, opened, **earlier).ok
