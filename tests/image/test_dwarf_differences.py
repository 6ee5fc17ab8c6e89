"""Types are compared once, and what is known of one comparison is true in the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolve.test_same_file import Workshop
from tools import need, run

from stubgen.image import dwarf_differences
from stubgen.image.dwarf_differences import Run, difference, signature_difference
from stubgen.image.dwarf_types import VariableType, signature_of, type_of_variable
from stubgen.image.opening import open_image

ENTER = "int enter(void) { return 0; }"
LENGTH = 40  # of a chain of structures: each is two types further, with the pointer to it


def types_of(folder: Path, compiler: str, last: str) -> dict[bytes, VariableType]:
    """The types of variables that point to each structure of a chain whose last one has a *last*."""
    folder.mkdir()
    chain = [f"struct s{LENGTH} {{ {last} end; }};"]
    chain += [f"struct s{n} {{ struct s{n + 1} *next; }};" for n in reversed(range(LENGTH))]
    chain += [f"struct s{n} *v{n};" for n in range(LENGTH + 1)]
    shop = Workshop(folder, compiler)
    image = open_image(shop.link(shop.compile("a.c", "\n".join([*chain, ENTER]), "-g")).read_bytes(), "program")
    there = image.find([b"v%d" % n for n in range(LENGTH + 1)])
    found = {name: type_of_variable(image.debug_info, one.address) for name, (one,) in there.items()}
    return {name: kind for name, kind in found.items() if kind is not None}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_what_was_too_deep_to_be_seen_is_looked_at_from_nearer(tmp_path: Path, compiler: str) -> None:
    """Two comparisons of one chain: the first ends before the difference, and the second one may not believe it."""
    mine, theirs = (types_of(tmp_path / last, compiler, last) for last in ("int", "long"))
    assert len(mine) == LENGTH + 1
    assert not difference(mine[b"v0"], theirs[b"v0"])
    for name in (b"v20", b"v0", b"v%d" % LENGTH, b"v30"):
        assert bool(difference(mine[name], theirs[name])) == (name != b"v0"), name


def test_types_that_are_alike_are_not_compared_again(tmp_path: Path) -> None:
    """Each of thousands of variables of one large type was held against the host's, member by member."""
    mine, theirs = (types_of(tmp_path / folder, "gcc", "int") for folder in ("mine", "theirs"))
    assert not difference(mine[b"v20"], theirs[b"v20"])
    entries, other = mine[b"v20"][0], theirs[b"v20"][0]
    known = set(entries.alike[other])
    assert len(known) > LENGTH - 20
    assert not any(difference(mine[b"v%d" % n], theirs[b"v%d" % n]) for n in range(20, LENGTH + 1))
    assert len(entries.alike[other] - known) <= LENGTH - 20 + 1  # the pointers that the other variables are


SHARED = """
struct hidden;
struct inner { TYPE one; struct hidden *what; };
struct outer { struct inner in; struct outer *next; };
int enter(void) { return 0; }
int f0(struct outer *o) { return o->in.one == 1; }
int f1(struct outer *o) { return o->in.one == 2; }
int f2(struct inner *i) { return i->one == 3; }
int f3(struct outer *o, struct inner *i) { return o->in.one == i->one; }
"""


def signatures_of(folder: Path, kind: str) -> list[VariableType]:
    """The functions' types of a program of SHARED."""
    folder.mkdir()
    shop = Workshop(folder, "gcc")
    program = shop.link(shop.compile("a.c", SHARED.replace("TYPE", kind), "-g"))
    image = open_image(program.read_bytes(), "program")
    there = image.find([b"f0", b"f1", b"f2", b"f3"])
    found = [signature_of(image.debug_info, one.address) for _, (one,) in sorted(there.items())]
    return [each for each in found if each is not None]


def test_a_run_compares_each_structure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A type that is only declared kept a comparison from being remembered: SQLite's functions took 42 s, now 0.6.

    What differs is told of each function, and the next run begins anew, as its patch may have other files.
    """
    compared: list[int] = []
    original = dwarf_differences._Comparison._records

    def counting(self: dwarf_differences._Comparison, first: int, second: int, depth: int) -> str:
        compared.append(first)
        return original(self, first, second, depth)

    monkeypatch.setattr(dwarf_differences._Comparison, "_records", counting)
    mine, theirs, other = (signatures_of(tmp_path / name, kind) for name, kind in TYPES.items())
    for _ in range(2):
        compared.clear()
        known: Run = {}
        assert not any(signature_difference(own, each, run=known) for own, each in zip(mine, theirs, strict=True))
        assert len(compared) == len(set(compared)) == 2
    known = {}
    assert all(signature_difference(own, each, run=known) for own, each in zip(mine, other, strict=True))


TYPES = {"mine": "int", "theirs": "int", "other": "long"}


def test_what_differs_far_within_is_told_with_the_first_step(tmp_path: Path) -> None:
    """A vector's element was told by six members of the library's, each with its type's whole name."""
    mine, theirs = (types_of(tmp_path / last, "gcc", last) for last in ("int", "long"))
    told = difference(mine[b"v%d" % (LENGTH - 3)], theirs[b"v%d" % (LENGTH - 3)])
    assert told == f"s{LENGTH - 3}.next: s{LENGTH} has 4 bytes, and in the host 8"


DESTROYED = """
struct base { long held; virtual ~base(); };
struct all : virtual base { all(long by); ~all() override; };
base::~base() { held += 1; }
all::all(long by) { held = by; }
all::~all() { held += NUMBER; }
"""


def test_a_destructor_takes_no_number_that_gcc_lists(tmp_path: Path) -> None:
    """Each edited destructor of a host of GCC's link-time optimisation was left out of the table, for its arguments.

    GCC lists what no body takes where it describes all bodies, and the optimised host's bodies are in another unit.
    """
    (tmp_path / "a.cc").write_text(DESTROYED)
    command = [str(need("aarch64-linux-gnu-g++")), "-g", "-O2", "-fPIC", "-shared", "-nostdlib", "a.cc"]
    run([*command, "-flto", "-DNUMBER=2", "-o", "host.so"], cwd=tmp_path)
    run([*command, "-DNUMBER=3", "-o", "edited.so"], cwd=tmp_path)
    edited, host = (open_image((tmp_path / name).read_bytes(), name) for name in ("edited.so", "host.so"))
    for name in (b"_ZN3allD0Ev", b"_ZN3allD1Ev", b"_ZN3allD2Ev", b"_ZN4baseD2Ev", b"_ZN3allC1El", b"_ZN3allC2El"):
        places = [image.find([name])[name][0].address for image in (edited, host)]
        mine, theirs = signature_of(edited.debug_info, places[0]), signature_of(host.debug_info, places[1])
        assert mine is not None
        assert theirs is not None
        assert not signature_difference(mine, theirs), name
