"""Programs that nobody wrote, and edits of them: the patched process says what the edited program would say."""

from __future__ import annotations

from pathlib import Path

import pytest
from adversary.interpret import Machine
from adversary.model import Call, CallVirtual, decode, encode, parts
from adversary.plans import Plan, load_plan, plan_of_seed, plans_of_seed
from adversary.rust_names import symbol_path
from adversary.shrink import shrink, size
from adversary.trial import attempt, attempt_each
from tools import need, rustc

FOUND = Path(__file__).parent / "found"
"""Programs that went wrong once, reduced; each file has a sentence on what it shows."""

KINDS = ("c", "c++", "c macho")


@pytest.fixture(autouse=True)
def _tools() -> None:
    need(
        "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "clang-19", "qemu-aarch64", "mold", "ld.lld-19", "llvm-nm-19"
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in FOUND.glob("*.json")))
def test_what_went_wrong_once(name: str) -> None:
    """Each was a patch that linked with status 0 and was wrong, or a note that was."""
    outcome = attempt(load_plan(FOUND / f"{name}.json"))
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_seeds(kind: str, seed: int) -> None:
    """A process that goes on after a patch as neither the old nor the new program would corrupts what it works on."""
    outcome = attempt(plan_of_seed(seed, kind))
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("kind", ["c lto", "c++ lto", "c++ lto-classes"])
def test_hosts_that_the_linker_optimised(kind: str, seed: int) -> None:
    """A linker that saw the whole program gave its functions and variables other names, files and forms."""
    outcome = attempt(plan_of_seed(seed, kind))
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["c weak", "c++ weak"])
def test_names_that_several_files_define(kind: str, seed: int) -> None:
    """A patch that has a file's weak definition alone must go on with the one that the linker took for the host."""
    outcome = attempt(plan_of_seed(seed, kind))
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(3))
def test_cxx_on_macho(seed: int) -> None:
    """Templates and variables of headers are weak definitions in Mach-O, and names have another underscore."""
    outcome = attempt(plan_of_seed(seed, "c++ macho"))
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["c++ classes", "c++ macho-classes"])
def test_classes_with_virtual_functions(kind: str, seed: int) -> None:
    """Objects of the process have the host's tables, those that the patch makes its own: calls go by what they have."""
    plans = plans_of_seed(seed, kind, 2)
    assert any(type(part) is CallVirtual for part in parts(plans[0].versions))
    outcomes = attempt_each(plans)
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["c macho-threads", "c++ macho-threads"])
def test_thread_locals_on_macho(kind: str, seed: int) -> None:
    """A thread-local's symbol is a descriptor there, which each image has for its own."""
    plans = plans_of_seed(seed, kind, 2)
    outcomes = attempt_each(plans)
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c patch", "c++ patch", "c macho-patch", "c++ macho-patch"])
def test_patches_that_the_command_makes(kind: str, seed: int) -> None:
    """People save a file and type ``patch``: what it takes for changed, and its compiles, must be the right ones."""
    plans = plans_of_seed(seed, kind, 2)
    assert {plan.build.way for plan in plans} <= {"newer", "named"}
    outcomes = attempt_each(plans)
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c shared", "c++ shared"])
def test_hosts_with_a_shared_library(kind: str, seed: int) -> None:
    """The program has copies of a library's variables, and the library calls the program's functions."""
    plans = plans_of_seed(seed, kind, 2)
    assert all(plan.versions[0].shared for plan in plans)
    outcomes = attempt_each(plans)
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c library", "c++ library"])
def test_hosts_that_are_a_shared_library(kind: str, seed: int) -> None:
    """Another image may have a library's names first, and its anchor is not the program's."""
    outcomes = attempt_each(plans_of_seed(seed, kind, 2))
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize(("kind", "seed"), [("c options", 0), ("c options", 1), ("c++ options", 45)])
def test_options_that_builds_have(kind: str, seed: int) -> None:
    """What is in an object, its names too, is as much the options' as the source's."""
    outcome = attempt(plan_of_seed(seed, kind), whole=False)
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c folders", "c++ folders", "c macho-folders", "c++ macho-folders"])
def test_files_of_one_name(kind: str, seed: int) -> None:
    """Objects, members of archives and static names that are called alike are told by more than their name."""
    plans = plans_of_seed(seed, kind, 1)
    assert all(plan.build.folders for plan in plans)
    outcomes = attempt_each(plans, whole=False)
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c inline", "c++ inline", "c macho-inline", "c++ macho-inline"])
def test_statics_of_a_headers_functions(kind: str, seed: int) -> None:
    """In C each file has its own, in C++ the program has one, whichever of its files a patch has."""
    outcome = attempt(plan_of_seed(seed, kind), whole=False)
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c names", "c++ names", "c macho-names", "c++ macho-names"])
def test_other_names(kind: str, seed: int) -> None:
    """Two names of a function have one address, which a table can lead to one place alone."""
    outcome = attempt(plan_of_seed(seed, kind), whole=False)
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("kind", ["c start", "c++ start", "c macho-start", "c++ macho-start"])
def test_constructors(kind: str) -> None:
    """What runs when a patch is loaded sets variables that the process has worked on."""
    outcome = attempt(plan_of_seed(0, kind), whole=False)
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("kind", ["c forms", "c++ forms", "c macho-forms", "c++ macho-forms"])
def test_forms_of_c(kind: str) -> None:
    """A table of labels leads into a function, a bit-field has no byte of its own, an array ends behind its type."""
    outcome = attempt(plan_of_seed(0, kind), whole=False)
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["c common", "c macho-common"])
def test_tentative_definitions(kind: str, seed: int) -> None:
    """Several files define one variable, of several sizes, and it lies in none of their sections."""
    outcome = attempt(plan_of_seed(seed, kind), whole=False)
    assert outcome.kind in ("same", "refused", "excused"), outcome


@pytest.mark.parametrize("seed", range(4))
def test_crates_of_rust(seed: int) -> None:
    """A crate's statics have a hash, an edit moves code between its units, and a panic crosses host and patch."""
    rustc()
    outcomes = attempt_each(plans_of_seed(seed, "rust", 2))
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("kind", ["rust crates", "rust patch"])
def test_programs_of_two_crates(kind: str, seed: int) -> None:
    """A library's generic functions are compiled into its users, which an edit of the library alone leaves old."""
    rustc()
    plans = plans_of_seed(seed, kind, 2)
    assert all(plan.versions[0].library for plan in plans)
    outcomes = attempt_each(plans)
    assert {outcome.kind for outcome in outcomes} <= {"same", "refused", "excused"}, outcomes


SYMBOLS = {
    "_ZN4prog1a2v217hf9918c7e3b03e4eaE": ["prog", "a", "v2"],
    "_ZN4prog1a2f11n17ha5d84c5ade96a6a2E.0": ["prog", "a", "f1", "n"],
    "_RNvNtCshAYImzgROYg_4prog1a3v11": ["prog", "a", "v11"],
    "_RNvNvNtCshAYImzg92fROYg_4prog1c2f62s6.0.llvm.8910482947891184193": ["prog", "c", "f6", "s6"],
    "_RNvNCNKNvNtCsW6vxcFiGhU_4prog1b3v12s_0s_023___RUST_STD_INTERNAL_VAL": ["prog", "b", "v12", "", ""],
    "_RINvNtCs9CcfNtdN6fb_5parts1h2f0mECsW6vxcFiGhU_4prog": ["parts", "h", "f0"],
    "_RNvNtCs8EjvGJSkyPt_3std5panic13resume_unwind": [],
    "step_a": [],
}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_of_rust_tells_file_and_function(symbol: str) -> None:
    """An oracle that takes one static for another believes what is wrong."""
    assert symbol_path(symbol)[:5] == SYMBOLS[symbol]


@pytest.mark.parametrize("kind", [*KINDS, "rust", "rust crates"])
def test_a_seed_is_one_program(kind: str) -> None:
    """A finding that cannot be tried again is none."""
    plan = plan_of_seed(3, kind)
    assert plan == plan_of_seed(3, kind)
    assert plan != plan_of_seed(4, kind)
    assert decode(encode(plan.versions)) == plan.versions


def test_a_program_is_built_once_for_several_edits() -> None:
    """A patch's objects take the place of the host's: what the next process is patched with must be its own."""
    plans = plans_of_seed(6, "c", 3)
    assert plans[0] == plan_of_seed(6, "c")
    assert len({plan.versions for plan in plans}) == 3
    assert len({plan.versions[0] for plan in plans}) == 1
    assert attempt_each(plans) == [attempt(plan, whole=False) for plan in plans]


def test_a_wrong_claim_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle that believes whatever it sees finds nothing."""
    plan = next(plan for plan in (plan_of_seed(seed, "c") for seed in range(100)) if attempt(plan).kind == "same")
    right = Machine.call
    monkeypatch.setattr(Machine, "call", lambda self, *words: right(self, *words) + (len(self.generations) > 1))
    assert attempt(plan).kind == "differs"


def test_a_finding_gets_small() -> None:
    """A program of two hundred lines says nothing to who has to mend it."""
    plan = plan_of_seed(3, "c")

    def still(each: Plan) -> bool:
        return any(type(part) is Call for version in each.versions for part in parts(version))

    small = shrink(plan, still)
    assert still(small)
    assert size(small) < size(plan) / 4
