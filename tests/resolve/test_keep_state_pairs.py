"""What is asked of a variable of the patch and the host's of its name: files, types, alignment, constants."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolve.test_keep_state_rules import AT, HostImage, candidate, defining, pair, variable
from synthetic import BASE, DATA, Sym, elf_host, elf_object, macho_host, macho_object, put, undefined
from tools import need, run

from stubgen.elf import constants as e
from stubgen.errors import InputError
from stubgen.host import open_host
from stubgen.host.slide import Slide
from stubgen.image import Candidate, Variable
from stubgen.image.elf import ElfImage
from stubgen.macho import constants as m
from stubgen.resolve.keep_state import Pair, reason_not_kept, reason_own_constant, reasons_not_kept
from stubgen.resolve.needed import read_needed
from stubgen.resolve.resolver import resolve
from stubgen.resolve.same_file import Files
from stubgen.resolve.verdicts import Verdict

LOCAL = {"local": True}
RUST = b"_ZN4shop5count17h0123456789abcdefE"
BY_FILE = {
    "a global one": (variable(), candidate(), False),
    "a static one": (variable(**LOCAL), candidate(**LOCAL), True),
    "a static one here": (variable(**LOCAL), candidate(), True),
    "a static one there": (variable(), candidate(**LOCAL), True),
    "one that the linker made local": (variable(), candidate(local=True, hidden=True), False),
    "a type's name, of which mold made a local one": (variable(name=b"_ZTS1A"), candidate(**LOCAL), False),
    "a type's information": (variable(name=b"_ZTI1A"), candidate(**LOCAL), False),
    "a table of virtual functions": (variable(name=b"_ZTV1A"), candidate(**LOCAL), True),
    "the name of a file's own type": (variable(name=b"_ZTSN12_GLOBAL__N_11AE", **LOCAL), candidate(**LOCAL), True),
    "Rust's": (variable(name=RUST, **LOCAL), candidate(**LOCAL), False),
}
"""A variable, the host's, and whether nothing but the file tells that they are one."""


@pytest.mark.parametrize("name", BY_FILE)
def test_what_a_file_alone_tells(name: str) -> None:
    """Two files may each have a static of one name; a name that a program has once is told by itself."""
    own, theirs, expected = BY_FILE[name]
    assert pair([own], [theirs]).is_by_file is expected


CONSTANTS = {
    "the host's is a variable": (variable(), candidate(), "the host's is a variable"),
    "alike": (variable(), candidate(writable=False), ""),
    "another file's": (
        variable(**LOCAL),
        candidate(file=b"b.c", writable=False, **LOCAL),
        "the host's is from another file, b.c",
    ),
    "a file of that name alone": (
        variable(file=b"/a.c", **LOCAL),
        candidate(file=b"/a.c", writable=False, **LOCAL),
        "",
    ),
    "no static one, of whatever file": (variable(), candidate(file=b"b.c", writable=False), ""),
    "of another size": (variable(size=8), candidate(writable=False), "its size changed from 4 to 8 bytes"),
    "of another size, in the same file": (
        variable(file=b"/a.c", size=8, **LOCAL),
        candidate(file=b"/a.c", writable=False, **LOCAL),
        "its size changed from 4 to 8 bytes",
    ),
    "of two at once": (
        variable(has_several_names=True, size=8),
        candidate(writable=False),
        "it has several names",
    ),
    "with addresses of labels": (variable(place=0x8000), candidate(writable=False), ""),
    "set when the patch is loaded": (variable(place=0x7000), candidate(writable=False), ""),
}
"""A constant, the host's, and why that is not the patch's one."""


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_the_hosts_by_its_name(name: str) -> None:
    """What is alike in both may be either; what speaks against variables alone does not count."""
    own, theirs, expected = CONSTANTS[name]
    assert reason_own_constant(pair([own._replace(writable=False)], [theirs])) == expected


def test_all_reasons_are_given_to_who_asks_for_them() -> None:
    """The deciding one first: to remove the first and be told of the next takes a build each."""
    asked = pair([variable(size=8, has_several_names=True, is_kept_apart=False)], [candidate(address=AT + 2)])
    assert [
        reason.partition(" ")[0] + " " + reason.partition(" ")[2].partition(" ")[0]
        for reason in (reasons_not_kept(asked))
    ] == ["it has", "its object", "its size", "the patch"]
    assert reasons_not_kept(asked)[0] == reason_not_kept(asked) == "it has several names"
    assert reasons_not_kept(pair([variable()], [candidate()])) == []


NO_REASON = {
    "a guard of the file's thread-locals": (variable(defined_in=defining(b"__tls_guard")), candidate()),
    "a thread-local without one": (variable(name=b"n", thread_local=True, defined_in=defining(b"n")), candidate()),
    "as large as the host's can be": (variable(minimum_size=4), candidate()),
    "smaller": (variable(minimum_size=1), candidate()),
    "no size on either side": (variable(size=0), candidate(size=8)),
    "a size here alone": (variable(size=8), candidate(size=0)),
    "no file on either side": (variable(file=b""), candidate()),
    "a global one, and the host's names a file": (variable(file=b""), candidate(file=b"a.c")),
    "Rust's byte": (variable(name=RUST, size=1, alignment=1, **LOCAL), candidate(size=1, **LOCAL)),
    "Rust's that its crate made visible": (variable(name=RUST, **LOCAL), candidate()),
    "several variables under a like name": (variable(name=b"_MergedGlobalsOfShop"), candidate()),
    "a byte that other files see": (variable(size=1, alignment=1), candidate(size=1)),
}


@pytest.mark.parametrize("name", NO_REASON)
def test_nothing_speaks_against_it(name: str) -> None:
    """A variable that is refused for no reason starts afresh."""
    own, theirs = NO_REASON[name]
    assert reasons_not_kept(pair([own], [theirs._replace(name=own.name)])) == []


def test_a_threads_initialiser_is_a_guard() -> None:
    """C++ calls it before each use in another file."""
    own = variable(name=b"depth", thread_local=True, defined_in=defining(b"_ZTH5depth"))
    reason = "thread-locals of its file are initialised at first use, under a guard"
    assert reason_not_kept(pair([own], [candidate()._replace(name=b"depth")])) == reason


def test_what_is_merged_is_told_by_its_name() -> None:
    """LLVM numbers the second and later ones of a file."""
    for name in (b"_MergedGlobals", b"_MergedGlobals.5"):
        reason = "it is several variables under one name; compile with -mno-global-merge"
        assert reason_not_kept(pair([variable(name=name)], [candidate()._replace(name=name)])) == reason


def test_one_of_several_that_is_set_again_speaks_for_all() -> None:
    """Two objects define it weakly, and the second one's initialiser would run."""
    asked = pair([variable(), variable(place=0x7000)], [candidate()])
    assert reason_not_kept(asked) == "begin, which runs when the patch is loaded, may set it again"


def test_a_guard_of_no_file_may_be_any_files() -> None:
    """Nothing says whose it is."""
    own = variable(name=b"depth", thread_local=True)
    asked = pair([own], [candidate(file=b"a.c")._replace(name=b"depth")])
    asked.files.guards = {b"__tls_guard": [candidate()]}
    assert reason_not_kept(asked) == "the host initialises it at first use, under a guard"


class Aligned(HostImage):
    """A host whose thread-locals begin 16 bytes behind the thread pointer, and that knows one variable's room."""

    room: int | None = 4

    def maximum_size(self, address: int) -> int | None:
        """Bytes."""
        return self.room

    def thread_offset(self, value: int) -> int | None:
        """Behind the thread pointer."""
        return value + 16


def aligned(own: list[Variable], theirs: Candidate, room: int | None = 4, sizes: dict[int, int] | None = None) -> Pair:
    """The two, in such a host; *sizes*: a variable's place -> what debug information says of its size."""
    host = Aligned(elf_host([Sym("count", AT, e.STT_OBJECT, section=DATA)]), "host")
    host.room = room
    files = Files(host)
    files.storage.small_size = lambda variable: (sizes or {}).get(variable.place, 0)  # type: ignore[method-assign]  # what it says
    return Pair(own, [theirs], files)


ALIGNMENT = {
    "at its alignment": ([16], AT, 0, 4, {}, 16),
    "where the size is known": ([16], AT + 4, 8, 4, {}, 16),
    "as much as there is room": ([16], AT + 4, 0, 8, {}, 8),
    "less than a power of two": ([16], AT + 4, 0, 7, {}, 4),
    "more room than that": ([4], AT + 2, 0, 64, {}, 4),
    "no room known": ([16], AT + 4, 0, None, {}, 16),
    "debug information's size": ([16], AT + 4, 0, 64, {0: 4}, 4),
    "two that say the same": ([16, 16], AT + 4, 0, 64, {0: 4, 1: 4}, 4),
    "two that do not": ([16, 16], AT + 4, 0, 64, {0: 4, 1: 8}, 16),
    "the larger of two": ([4, 16], AT + 4, 8, 64, {}, 16),
}
"""Alignments of the patch's, address and size of the host's, its room, sizes -> what the patch may rely on."""


@pytest.mark.parametrize("name", ALIGNMENT)
def test_what_the_patch_may_rely_on(name: str) -> None:
    """Code that an object aligned to 16 bytes may use is a fault at 4; what cannot be so large is not aligned so."""
    alignments, address, size, room, sizes, expected = ALIGNMENT[name]
    own = [variable(alignment=alignment, place=place) for place, alignment in enumerate(alignments)]
    assert aligned(own, candidate(address=address, size=size), room, sizes).alignment == expected


def test_what_has_no_known_room_has_not_grown() -> None:
    """The last variable of a section is followed by nothing."""
    assert reasons_not_kept(aligned([variable(minimum_size=9)], candidate(), room=None)) == []
    (reason,) = reasons_not_kept(aligned([variable(minimum_size=9)], candidate(), room=8))
    assert reason == "it has grown: the patch's has 9 bytes or more, and the host's at most 8"


def test_a_thread_local_lies_at_an_offset() -> None:
    """Its symbol's value is an offset in a block that begins behind the thread's own."""
    assert aligned([variable(thread_local=True)], candidate(address=8)).position == 24
    assert aligned([variable()], candidate(address=8)).position == 8


DEBUGGED = "static {0} count; __thread {1} depth; {2} other; {0} *use(void) {{ depth++; return &count; }}"


def compiled(folder: Path, name: str, *types: str) -> ElfImage:
    """An object with debug information."""
    (folder / "a.c").write_text(DEBUGGED.format(*types))
    gcc = need("aarch64-linux-gnu-gcc")
    run([gcc, "-g", "-fdata-sections", "-c", "a.c", "-o", name], cwd=folder)
    return ElfImage((folder / name).read_bytes(), name)


@pytest.mark.parametrize("name", ["count", "depth", "other"])
@pytest.mark.parametrize("changed", ["count", "depth", "other", ""])
def test_a_type_that_differs_is_told_by_debug_information(tmp_path: Path, name: str, changed: str) -> None:
    """Where an ``int`` was a ``float`` is, of the same size, the patch would read bits that mean something else."""
    names = ("count", "depth", "other")
    own = compiled(tmp_path, "patch.o", *("int" for _ in names))
    host = compiled(tmp_path, "host.o", *("float" if each == changed else "int" for each in names))
    (patch,) = (each for each in own.variables() if each.name == name.encode())
    (there,) = (each for each in host.variables() if each.name == name.encode())
    asked = Pair([patch], [candidate(address=there.place)._replace(name=patch.name)], Files(host))
    assert asked.why_laid_out_otherwise == ("int where the host has float" if name == changed else "")
    bare = ElfImage(elf_object([]), "bare.o")
    assert Pair([patch], [candidate(address=there.place)], Files(bare)).why_laid_out_otherwise == ""


def test_a_caller_need_not_say_how_symbols_are_answered(tmp_path: Path) -> None:
    """The usual ways are the library's own."""
    host = put(tmp_path, "host", elf_host([Sym("v", AT, e.STT_OBJECT, section=DATA)]))
    needed = read_needed([put(tmp_path, "patch.o", elf_object([undefined("v")]))])
    (decision,) = resolve(needed, open_host(host), Slide(0, None, 0, 0)).decisions()
    assert decision.verdict is Verdict.ABSOLUTE


def test_what_an_earlier_patch_replaced_is_called_there(tmp_path: Path) -> None:
    """The host's own would be called again, the old one."""
    host = put(tmp_path, "host", elf_host([Sym("f", BASE)]))
    needed = read_needed([put(tmp_path, "patch.o", elf_object([undefined("f")]))])
    resolution = resolve(needed, open_host(host), Slide(0, None, 0, 0), overrides={b"f": 0x7000_0000})
    assert list(resolution.stubs.addresses) == [0x7000_0000]


@pytest.mark.parametrize(("platform", "named", "refused"), [(1, True, False), (2, True, True), (2, False, False)])
def test_a_patch_is_for_its_hosts_platform(platform: int, named: bool, refused: bool, tmp_path: Path) -> None:
    """A linker mixes macOS and iOS without a word; a host that names no platform says nothing against any."""
    content = macho_host({"_f": 0x1000})
    command = m.LC_BUILD_VERSION.to_bytes(4, "little") + (24).to_bytes(4, "little")
    assert content.count(command) == 1
    if not named:
        content = content.replace(command, (0x2A).to_bytes(4, "little") + command[4:])  # LC_SOURCE_VERSION
    host = open_host(put(tmp_path, "host", content))
    needed = read_needed([put(tmp_path, "patch.o", macho_object({}, ["_f"], platform=platform))])
    if refused:
        with pytest.raises(InputError, match=r"a patch object is for iOS, but the host .* is for macOS"):
            resolve(needed, host, Slide(0, None, 0, 0))
    else:
        resolve(needed, host, Slide(0, None, 0, 0))
