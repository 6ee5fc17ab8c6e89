"""The checks of a Mach-O patch."""

from __future__ import annotations

from typing import Any

import pytest
from check.bench import FOUND, GIVEN, LEFT, NOWHERE, READ, SLIDE, SUPPLIED, TAKEN, Case, code, words
from linked import CODE, MachOSym, macho_imported, macho_linked
from synthetic import put

from stubgen.macho import constants as m

MACHO_F, SYSTEM = 0x40, "/usr/lib/libSystem.B.dylib"


def macho_host(*more: MachOSym, **options: Any) -> bytes:
    """A program with _f, _g and _counter, and *more*."""
    symbols = [MachOSym("_f", MACHO_F), MachOSym("_g", 0x80), MachOSym("_counter", CODE + 8, section=2), *more]
    return macho_linked(symbols, **{"needed": [SYSTEM], "program": True, **options})


def macho_patch(*more: MachOSym, **options: Any) -> bytes:
    """A dylib with a function of its own, and *more*."""
    return macho_linked([MachOSym("_patch_main", 0x400), *more], **{"needed": [SYSTEM], **options})


MACHO_TAKEN = TAKEN.format("_f", SYSTEM)


MACHO_UNDEFINED = {
    "a library's": ([], [macho_imported("_puts", library=1)], (True, SUPPLIED.format("1 symbol"))),
    "the host's from a library": ([], [macho_imported("_f", library=1)], (False, MACHO_TAKEN)),
    "the host's from wherever": ([], [macho_imported("_f")], (False, LEFT.format("_f"))),
    "nobody's": ([], [macho_imported("_typo")], (False, NOWHERE.format("_typo"))),
    "nobody's, weakly": ([], [macho_imported("_typo", weak=True)], (True, SUPPLIED.format("1 symbol"))),
    "the host imports it": (
        [macho_imported("_puts", library=1)],
        [macho_imported("_puts")],
        (True, SUPPLIED.format("1 symbol")),
    ),
}


@pytest.mark.parametrize(("hosts", "own", "expected"), MACHO_UNDEFINED.values(), ids=[*MACHO_UNDEFINED])
def test_what_a_dylib_leaves_to_dyld(
    case: Case, hosts: list[MachOSym], own: list[MachOSym], expected: tuple[bool, str]
) -> None:
    """The linker of zig prefers what a dylib exports to the stub: the host's own function is never called."""
    assert case.about("undefined", macho_host(*hosts), macho_patch(*own)) == [expected]


def test_a_dylib_that_is_needed_by_its_path_is_nothing_new(case: Case) -> None:
    """All of them are; on ELF it means that there is no soname."""
    assert case.about("undefined", macho_host(), macho_patch()) == [(True, "nothing is left undefined")]
    library = put(case.folder, "libx.dylib", macho_linked([MachOSym("_f", 0)], install_name="@rpath/libx.dylib"))
    needed = [SYSTEM, "@rpath/libx.dylib"]
    own = macho_patch(macho_imported("_f"), needed=needed)
    fine = [(True, SUPPLIED.format("1 symbol"))]
    assert case.about("undefined", None, own, libraries=[library]) == fine
    options: dict[str, Any] = {"libraries": [library], "linked": True}
    assert case.linked("undefined", **options) == fine
    own = macho_patch(macho_imported("_f", library=2), needed=needed)
    assert case.about("undefined", None, own, libraries=[library]) == fine


def test_the_names_of_a_macho_host(case: Case) -> None:
    """A bundle that is loaded by its path is found by its last part as well."""
    own = macho_patch(needed=[SYSTEM, "@rpath/libhost.dylib"])
    hosts = macho_host(program=False, install_name="/usr/local/lib/libhost.dylib")
    message = "it loads the host itself: it needs @rpath/libhost.dylib; drop that from the link"
    assert case.about("back-edge", hosts, own) == [(False, message)]
    assert case.about("own name", None, macho_patch(install_name="/usr/local/lib/libhost.dylib"))[0][0] is False


def test_the_stubs_and_exports_of_a_dylib(case: Case) -> None:
    """People leave out the underscore, which dlsym adds by itself."""
    private = m.N_SECT | m.N_EXT | m.N_PEXT
    own = macho_patch(MachOSym("_f", 0, private), MachOSym("_g", 20, private), code=code(SLIDE + MACHO_F, SLIDE + 0x80))
    assert case.about("stubs", macho_host(), own) == [(True, "2 stubs found and decoded, all for slide 0x5500000000")]
    assert case.about("exports", exports=["patch_main"]) == [(True, "_patch_main can be found by dlsym")]
    assert case.about("exports", exports=["f"]) == [(False, "f cannot be found by dlsym: the patch does not export it")]
    assert case.about("bti") == []
    own = macho_patch(MachOSym("_f", 0, private), code=code(0x4000 + 0x1000 + MACHO_F))
    message = "they agree on slide 0x5000, which is not a multiple of the page size"
    assert case.about("stubs", None, own) == [(False, message)]


def test_the_slots_of_a_dylib(case: Case) -> None:
    """A thread-local's descriptor on Mach-O is a place in the host like any other."""
    slot = MachOSym("__stubgen_slot._counter", CODE, m.N_SECT | m.N_EXT | m.N_PEXT, 2)
    own = macho_patch(slot, constants=words(SLIDE + CODE + 8))
    assert case.about("slots", macho_host(), own, slide=GIVEN) == [(True, FOUND)]
    own = macho_patch(slot, constants=words(SLIDE + CODE))
    read = READ.format("_counter", f"{SLIDE + CODE:#x}", f"{SLIDE + CODE + 8:#x}")
    assert case.about("slots", None, own, slide=GIVEN) == [(False, read)]


def test_only_an_elf_host_can_keep_its_libraries_to_itself(case: Case) -> None:
    """The two-level namespace names the library that each reference is for."""
    hosts = macho_host(macho_imported("_inflate", library=2), program=False, needed=[SYSTEM, "libz.dylib"])
    assert case.about("undefined", hosts, macho_patch(macho_imported("_inflate"))) == [
        (True, SUPPLIED.format("1 symbol"))
    ]


def test_the_thread_locals_of_a_macho_host(case: Case) -> None:
    """Their slot holds the address of the descriptor that dyld fills in: no distance, as on ELF."""
    hosts = macho_host(constants_flags=m.S_THREAD_LOCAL_VARIABLES)
    slot = MachOSym("__stubgen_slot._counter", CODE, m.N_SECT | m.N_EXT | m.N_PEXT, 2)
    own = macho_patch(slot, constants=words(SLIDE + CODE + 8))
    assert case.about("slots", hosts, own, slide=GIVEN) == [(True, FOUND)]
    own = macho_patch(slot, constants=words(8))
    assert [ok for ok, _ in case.about("slots", None, own, slide=GIVEN)] == [False]


def test_landing_pads_are_no_matter_of_a_dylib(case: Case) -> None:
    """It has no property that a linker could lose."""
    own = macho_patch(MachOSym("_f", 0, m.N_SECT | m.N_EXT | m.N_PEXT), code=code(SLIDE + MACHO_F, bti=True))
    assert case.about("bti", macho_host(), own) == []
    assert [stub.bti for stub in case.check().stubs] == [True]
