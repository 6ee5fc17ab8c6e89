"""What a patch leaves to the loader, and by which name the host is needed."""

from __future__ import annotations

from typing import Any

import pytest
from check.bench import HIDDEN, IFUNC, LEFT, LOCAL, NOWHERE, SUPPLIED, TAKEN, TLS, Case, host, patch, said
from linked import CODE, THREAD, Sym, elf_linked, imported
from synthetic import put

from stubgen.check import check_linked
from stubgen.origin.account import Inputs
from stubgen.resolve.previous import NO_PATCHES

HOSTS_NAMES = {
    "no library": ([], "", (True, "it needs no library")),
    "a folder": (["lib/"], "", (True, "it needs lib/, not the host")),
    "one called x": (["x"], "", (True, "it needs x, not the host")),
    "others": (["libc.so.6", "libm.so.6"], "libx.so", (True, "it needs libc.so.6, libm.so.6, not the host")),
    "the file": (
        ["libc.so.6", "host"],
        "",
        (False, "it loads the host itself: it needs host; drop that from the link"),
    ),
    "the file elsewhere": (
        ["/x/host"],
        "",
        (False, "it loads the host itself: it needs /x/host; drop that from the link"),
    ),
    "the soname": (
        ["libx.so"],
        "libx.so",
        (False, "it loads the host itself: it needs libx.so; drop that from the link"),
    ),
    "the soname's file": (
        ["x.so"],
        "@rpath/x.so",
        (False, "it loads the host itself: it needs x.so; drop that from the link"),
    ),
    "the whole soname": (
        ["r/x.so"],
        "r/x.so",
        (False, "it loads the host itself: it needs r/x.so; drop that from the link"),
    ),
    "twice": (
        ["host", "libx.so"],
        "libx.so",
        (False, "it loads the host itself: it needs host; drop that from the link"),
    ),
}


@pytest.mark.parametrize(("needed", "soname", "expected"), HOSTS_NAMES.values(), ids=[*HOSTS_NAMES])
def test_the_host_under_each_of_its_names(
    case: Case, needed: list[str], soname: str, expected: tuple[bool, str]
) -> None:
    """Whichever name it is needed by, the loader would load a second host."""
    assert case.about("back-edge", host(soname=soname), patch(needed=needed)) == [expected]


OWN_NAMES = {
    "the host's": ("libx.so", "libx.so", False),
    "another": ("patch.so", "libx.so", True),
    "none": ("", "libx.so", True),
    "neither has one": ("", "", True),
}


@pytest.mark.parametrize(("own", "hosts", "ok"), OWN_NAMES.values(), ids=[*OWN_NAMES])
def test_the_patchs_own_name(case: Case, own: str, hosts: str, ok: bool) -> None:
    """Under the host's name the loader returns the host, and nothing changes."""
    message = f"its name, {own}, is not the host's" if own else "it has no name of its own"
    if not ok:
        message = f"its soname is the host's, {own}: the loader would return the host instead of the patch"
    assert case.about("own name", host(soname=hosts), patch(soname=own)) == [(ok, message)]


ALONE = (
    "{} is in {}, which the host loads for itself alone: a library's own libraries are invisible to a patch that does "
    "not need them; link the patch with it"
)


STATIC = Sym("helper", CODE + 0x200, bind=LOCAL)


UNDEFINED: dict[str, tuple[list[Sym], list[Sym], list[tuple[bool, str]]]] = {
    # of the host, of the patch, what is said
    "nothing": ([], [], [(True, "nothing is left undefined")]),
    "the host's": ([], [imported("f")], [(False, LEFT.format("f"))]),
    "the host's, weakly": ([], [imported("f", weak=True)], [(False, LEFT.format("f"))]),
    "the host's variable": ([], [imported("counter")], [(False, LEFT.format("counter"))]),
    "two": ([], [imported("g"), imported("f")], [(False, LEFT.format("g")), (False, LEFT.format("f"))]),
    "nobody's": ([], [imported("typo")], [(False, NOWHERE.format("typo"))]),
    "nobody's, weakly": ([], [imported("typo", weak=True)], [(True, SUPPLIED.format("1 symbol"))]),
    "a static one's": ([STATIC], [imported("helper")], [(False, LEFT.format("helper"))]),
    "a hidden one's": ([STATIC._replace(other=HIDDEN)], [imported("helper")], [(False, LEFT.format("helper"))]),
    "a library's by version": ([], [imported("sin", library="libm.so.6")], [(True, SUPPLIED.format("1 symbol"))]),
    "the host imports it": (
        [imported("puts")],
        [imported("puts"), imported("sin", library="libm.so.6")],
        [(True, SUPPLIED.format("2 symbols"))],
    ),
    "the host's, from a library": (
        [],
        [imported("f", library="libm.so.6")],
        [(False, TAKEN.format("f", "libm.so.6"))],
    ),
    "a library's, which the host imports": (
        [imported("puts")],
        [imported("puts", library="libc.so.6")],
        [(True, SUPPLIED.format("1 symbol"))],
    ),
    "a library's, of which the host has a static one": (
        [STATIC],
        [imported("helper", library="libm.so.6")],
        [(True, SUPPLIED.format("1 symbol"))],
    ),
    "a library's, of which the host has a thread-local": (
        [Sym("level", 8, TLS, section=THREAD)],
        [imported("level", library="libm.so.6")],
        [(True, SUPPLIED.format("1 symbol"))],
    ),
    "start-up code's": (
        [Sym("__gmon_start__", CODE + 0x200)],
        [imported("__gmon_start__", weak=True)],
        [(True, SUPPLIED.format("1 symbol"))],
    ),
    "not start-up code's": (
        [Sym("__gmon_start__", CODE + 0x200)],
        [imported("__gmon_start__")],
        [(False, LEFT.format("__gmon_start__"))],
    ),
    "behind start-up code's": (
        [Sym("__gmon_start__", CODE + 0x200)],
        [imported("__gmon_start__", weak=True), imported("typo")],
        [(False, NOWHERE.format("typo"))],
    ),
    "an ifunc of the host": (
        [Sym("fast", CODE + 0x200, IFUNC)],
        [imported("fast")],
        [(True, SUPPLIED.format("1 symbol"))],
    ),
    "an ifunc that it keeps to itself": (
        [Sym("fast", CODE + 0x200, IFUNC, other=HIDDEN)],
        [imported("fast")],
        [(False, LEFT.format("fast"))],
    ),
    "a thread-local of the host": (
        [Sym("level", 8, TLS, section=THREAD)],
        [imported("level")],
        [(True, SUPPLIED.format("1 symbol"))],
    ),
    "a thread-local that it keeps to itself": (
        [Sym("level", 8, TLS, section=THREAD, other=HIDDEN)],
        [imported("level")],
        [(False, LEFT.format("level"))],
    ),
    "the host's behind a library's": (
        [],
        [imported("sin", library="libm.so.6"), imported("f")],
        [(False, LEFT.format("f"))],
    ),
    "the host's behind an imported one": (
        [imported("puts")],
        [imported("puts"), imported("f")],
        [(False, LEFT.format("f"))],
    ),
}


@pytest.mark.parametrize(("hosts", "own", "expected"), UNDEFINED.values(), ids=[*UNDEFINED])
def test_what_is_left_undefined(case: Case, hosts: list[Sym], own: list[Sym], expected: list[tuple[bool, str]]) -> None:
    """A typo or a forgotten stub links with status 0, and fails or means something else on the device."""
    assert case.about("undefined", host(*hosts), patch(*own)) == expected


START_UP = [
    *("__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "_Jv_RegisterClasses"),
    *("__cxa_finalize", "__deregister_frame_info", "__register_frame_info"),
]


@pytest.mark.parametrize("name", START_UP)
def test_start_up_code_of_each_image(case: Case, name: str) -> None:
    """A host linked with -pg would make every patch be refused, for a reference that each image has."""
    own = patch(imported(name, weak=True))
    assert case.about("undefined", host(Sym(name, CODE + 0x200)), own) == [(True, SUPPLIED.format("1 symbol"))]


@pytest.mark.parametrize("name", ["typo", "f"])
def test_a_library_that_the_caller_will_load(case: Case, name: str) -> None:
    """What it exports is not missing, even where the host has that name too."""
    library = case.given("libextra.so", Sym(name, CODE))
    expected = [(True, SUPPLIED.format("1 symbol"))]
    assert case.about("undefined", None, patch(imported(name)), libraries=[library]) == expected
    own = patch(imported(name, library="libextra.so"))
    assert case.about("undefined", None, own, libraries=[library]) == expected
    other = case.given("libother.so", Sym("other", CODE))
    ok = {"typo": NOWHERE, "f": LEFT}[name].format(name)
    assert case.about("undefined", None, patch(imported(name)), libraries=[other]) == [(False, ok)]


LINKED = {
    "needed by its file": (["libextra.so"], [], "", {}, True),
    "needed by its name": (["libx.so.1"], [], "libx.so.1", {}, True),
    "needed by the host": ([], ["libextra.so"], "", {}, True),
    "needed by a library that is found": (["liba.so"], [], "", {"liba.so": elf_linked(needed=["libextra.so"])}, True),
    "needed two steps away": (
        ["liba.so"],
        [],
        "",
        {"liba.so": elf_linked(needed=["libb.so"]), "libb.so": elf_linked(needed=["liba.so", "libextra.so"])},
        True,
    ),
    "needed by a library that was given": (["libgiven.so"], [], "", {}, True),
    "not needed": (["libm.so.6"], ["libc.so.6"], "", {}, False),
    "needed by a library that is not found": (["liba.so"], [], "", {}, False),
    "needed by what is no library": (["liba.so"], [], "", {"liba.so": b"GROUP ( libextra.so )"}, False),
}


@pytest.mark.parametrize(("own", "hosts", "soname", "found", "ok"), LINKED.values(), ids=[*LINKED])
def test_a_library_that_the_link_took(
    case: Case, own: list[str], hosts: list[str], soname: str, found: dict[str, bytes], ok: bool
) -> None:
    """One that stood on the line and that nobody needs is not loaded: --as-needed drops it."""
    libraries = [case.given("libextra.so", Sym("extra", CODE), soname=soname)]
    libraries.append(case.given("libgiven.so", needed=["libextra.so"]))
    put(case.folder, "host", host(needed=hosts))
    put(case.folder, "patch.so", patch(imported("extra"), needed=own))
    expected = (True, SUPPLIED.format("1 symbol")) if ok else (False, NOWHERE.format("extra"))
    assert case.linked("undefined", found, libraries=libraries, linked=True) == [expected]


def test_a_library_that_is_found_where_the_linker_looks(case: Case) -> None:
    """Without versions, as mold and zig write none, only the library itself says what it has."""
    put(case.folder, "patch.so", patch(imported("extra"), needed=["liba.so", "libx.so"]))
    library = elf_linked([Sym("extra", CODE)])
    fine = [(True, SUPPLIED.format("1 symbol"))]
    assert case.linked("undefined", {"libx.so": library}) == fine
    assert case.linked("undefined", {"libx.so": library, "liba.so": elf_linked([Sym("other", CODE)])}) == fine
    assert case.linked("undefined", {"liby.so": library}) == [(False, NOWHERE.format("extra"))]
    put(case.folder, "host", host(Sym("extra", CODE + 0x200, bind=LOCAL)))
    assert case.linked("undefined", {"libx.so": library}) == fine
    put(case.folder, "host", host(Sym("extra", CODE + 0x200, bind=LOCAL, other=HIDDEN)))
    assert case.linked("undefined", {"libx.so": library}) == [(False, LEFT.format("extra"))]


def test_a_library_is_looked_for_once(case: Case) -> None:
    """Each of a hundred references would have every library opened again."""
    put(case.folder, "patch.so", patch(imported("a"), imported("b"), needed=["libx.so", "liby.so"]))
    asked: list[str] = []
    options: dict[str, Any] = {"slide": None, "exports": [], "libraries": [], "overrides": None, "pinned": []}
    checked = check_linked(case.patch, case.host, Inputs, asked.append, previous=NO_PATCHES, facts=None, **options)
    assert [ok for ok, _ in said(checked, "undefined")] == [False, False]
    assert sorted(asked) == ["libx.so", "liby.so"]


PLUGIN: dict[str, tuple[Sym, list[str], list[str], list[tuple[bool, str]]]] = {
    # what the host imports, what it needs, what the patch needs, what is said
    "for itself alone": (
        imported("inflate", library="libz.so.1"),
        ["libz.so.1"],
        [],
        [(False, ALONE.format("inflate", "libz.so.1"))],
    ),
    "for both": (imported("inflate", library="libz.so.1"), ["libz.so.1"], ["libz.so.1"], []),
    "nobody says whose": (imported("inflate"), ["liba.so", "libz.so.1"], [], []),
    "another's of its libraries": (imported("inflate", library="libc.so.6"), ["libc.so.6", "libz.so.1"], [], []),
    "one that it does not name": (imported("inflate", library="libq.so"), ["libz.so.1"], [], []),
    "everybody's": (imported("inflate", library="libc.so.6"), ["libc.so.6"], [], []),
}


@pytest.mark.parametrize(("item", "hosts", "own", "expected"), PLUGIN.values(), ids=[*PLUGIN])
def test_what_a_library_that_is_a_host_loads_for_itself(
    case: Case, item: Sym, hosts: list[str], own: list[str], expected: list[tuple[bool, str]]
) -> None:
    """RTLD_LOCAL keeps a plug-in's libraries from its patches: they do not load."""
    fine = [(True, SUPPLIED.format("1 symbol"))]
    library = host(imported("puts", library="libc.so.6"), item, program=False, needed=hosts, soname="libhost.so")
    assert case.about("undefined", library, patch(imported("inflate"), needed=own)) == (expected or fine)
    assert case.about("undefined", host(item, needed=hosts)) == fine
    assert case.about("undefined", library, patch(imported("inflate", weak=True), needed=own)) == (expected or fine)


def test_who_has_it_is_asked_of_the_libraries_themselves(case: Case) -> None:
    """Without versions, as on Android, the library says what it has."""
    library, own = elf_linked([Sym("inflate", CODE)]), patch(imported("inflate"), needed=["libq.so"])
    put(case.folder, "patch.so", own)
    put(case.folder, "host", host(imported("inflate"), program=False, needed=["liba.so", "libz.so"]))
    alone = [(False, ALONE.format("inflate", "libz.so"))]
    fine = [(True, SUPPLIED.format("1 symbol"))]
    assert case.linked("undefined", {"libz.so": library}) == alone
    assert case.linked("undefined", {"liba.so": elf_linked([Sym("other", CODE)]), "libz.so": library}) == alone
    assert case.linked("undefined", {"libz.so": library, "libq.so": library}) == fine
    assert case.linked("undefined", {}) == fine


@pytest.mark.parametrize(
    "name", ["libc.so", "ld-linux-aarch64.so.1", "ld-musl-aarch64.so.1", "libdl.so", "libpthread.so.0"]
)
def test_what_every_program_loads_everybody_sees(case: Case, name: str) -> None:
    """A plug-in's patch that calls memcpy would be refused."""
    library = host(imported("memcpy", library=name), program=False, needed=[name])
    own = patch(imported("memcpy"), needed=[])
    assert case.about("undefined", library, own) == [(True, SUPPLIED.format("1 symbol"))]


def test_a_library_that_is_needed_by_its_path(case: Case) -> None:
    """It was linked without a soname, and is looked for at that path on the device."""
    message = "it needs ./lib/y.so by that path, for the library has no soname: it has to be there at run time too"
    findings = case.about("undefined", None, patch(needed=["libc.so.6", "./lib/y.so"]))
    assert findings == [(True, message), (True, "nothing is left undefined")]
    assert [finding.note for finding in case.check().findings if finding.check == "undefined"] == [True, False]


def test_a_pinned_name_that_the_linker_lost(case: Case) -> None:
    """With mold 1.10 address 0 is made of foo@V1, without a word."""
    own = patch(imported("sin", library="libm.so.6"))
    lost = "{} is not left to the loader: the linker lost it, and a call to it would go to address 0"
    fine = (True, SUPPLIED.format("1 symbol"))
    assert case.about("undefined", None, own, pinned=["sin@V1"]) == [fine]
    assert case.about("undefined", None, own, pinned=["cos@V1"]) == [(False, lost.format("cos@V1"))]
    both = case.about("undefined", None, own, pinned=["cos@V1", "sin@V1", "tan@V2"])
    assert both == [(False, lost.format("cos@V1")), (False, lost.format("tan@V2"))]
