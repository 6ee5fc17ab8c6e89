"""Which of the host's symbols of a name a reference means, and why the others are not meant."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from stubgen.image import Candidate, Kind, Reference
from stubgen.resolve.candidates import first_choice, meaning, not_meant
from stubgen.resolve.verdicts import Decision, Verdict


def symbol(address: int, name: bytes = b"f", **facts: object) -> Candidate:
    """A global function of the host's, but for *facts*."""
    usual: dict[str, object] = {"kind": Kind.FUNCTION, "local": False, "size": 8, "section": ".text"}
    return Candidate(name=name, address=address, **{**usual, **facts})  # type: ignore[arg-type]  # each has its own type


def reference(version: str = "") -> Reference:
    """To ``f``, of a version if one is pinned."""
    return Reference(b"f", b"f", version, weak=False)


SUFFIX = "it differs in LLVM's ThinLTO suffix, and another one has exactly that name"
ALIAS = "it is another table's entry of the symbol with a version that is at its address"
PINNED = "the object pins another version"
OWN = "it is its file's own, and there is one that other files see"
DEFAULT = "a reference that names no version means the default one, and what the host defines"


class Case(NamedTuple):
    """What the host has, and what a reference makes of it."""

    found: list[Candidate]
    meant: list[int]  # addresses
    remark: str = ""
    why_not: dict[int, str] | None = None
    version: str = ""


IMPORT = symbol(0, kind=Kind.IMPORT)
CASES = {
    "one": Case([symbol(4)], [4]),
    "none": Case([], []),
    "a static one": Case([symbol(4, local=True)], [4]),
    "one with a suffix": Case([symbol(4, b"f.llvm.1")], [4], "matched f.llvm.1 once LLVM's ThinLTO suffix is dropped"),
    "two with suffixes": Case(
        [symbol(4, b"f.llvm.1"), symbol(8, b"f.llvm.2")],
        [4, 8],
        "matched f.llvm.1 once LLVM's ThinLTO suffix is dropped",
    ),
    "one with and one without": Case([symbol(4, b"f.llvm.1"), symbol(8)], [8], why_not={4: SUFFIX}),
    "a global and a static one": Case([symbol(4, local=True), symbol(8)], [8], why_not={4: OWN}),
    "two static ones": Case([symbol(4, local=True), symbol(8, local=True)], [4, 8]),
    "two versions": Case(
        [symbol(4, version="V1", default=False), symbol(8, version="V2")],
        [8],
        "the default version, V2",
        {4: DEFAULT},
    ),
    "two versions, one of them pinned": Case(
        [symbol(4, version="V1", default=False), symbol(8, version="V2")], [4], "version V1", {8: PINNED}, "V1"
    ),
    "a pinned one, of which there is another without a version": Case(
        [symbol(4), symbol(8, version="V2")], [4], "version V1", {8: PINNED}, "V1"
    ),
    "a pinned one that is the only one": Case([symbol(4, version="V1")], [4], "version V1", version="V1"),
    "a pinned one that is not there": Case([symbol(4, version="V2")], [], "version V1", {4: PINNED}, "V1"),
    "two tables have it": Case([symbol(4, version="V2"), symbol(4)], [4]),
    "two tables have it, and another version": Case(
        [symbol(4, version="V1", default=False), symbol(4), symbol(8, version="V2")],
        [8],
        "the default version, V2",
        {4: DEFAULT},
    ),
    "no default": Case([symbol(4, version="V1", default=False), symbol(8, version="V2", default=False)], [4, 8]),
    "an import and a version that is no default": Case(
        [symbol(4, version="V1", default=False), IMPORT], [0], why_not={4: DEFAULT}
    ),
    "an import and a definition": Case([symbol(4), IMPORT], [4], why_not={0: DEFAULT}),
    "two defaults": Case([symbol(4, version="V1"), symbol(8, version="V2")], [4, 8]),
    "a default without a version": Case([symbol(4), symbol(8, version="V1", default=False)], [4], why_not={8: DEFAULT}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_reference_means(name: str) -> None:
    """Another version, another file's own or another part of a program is another function."""
    case = CASES[name]
    asked = reference(case.version)
    meant = meaning(asked, case.found)
    assert [each.address for each in meant.candidates] == case.meant
    assert meant.remark == case.remark
    assert not any(each in meant.candidates for each, _ in not_meant(asked, case.found))
    reasons = {each.address: reason for each, reason in not_meant(asked, case.found) if each.address not in case.meant}
    assert reasons == (case.why_not or {})


def test_of_several_at_one_address_the_exported_one_is_named() -> None:
    """A loader finds that one."""
    plain, exported = symbol(4), symbol(4, exported=True)
    assert first_choice([plain, exported]) is exported
    assert first_choice([plain]) is plain
    assert first_choice([exported, plain]) is exported


PROBLEMS = {Verdict.REFUSED, Verdict.AMBIGUOUS, Verdict.MISSING}


@pytest.mark.parametrize("forwarded", [False, True])
@pytest.mark.parametrize("verdict", Verdict)
def test_with_what_a_patch_cannot_work(verdict: Verdict, forwarded: bool) -> None:
    """A problem that is none stops the link; one that is not seen is a crash."""
    decision = Decision("f", verdict, "", None, None, (), (), forwarded=forwarded)
    assert decision.is_problem is (verdict in PROBLEMS or (verdict is Verdict.TLS and not forwarded))
