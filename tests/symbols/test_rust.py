"""Rust's names, taken apart by the grammar: held against LLVM's demangler, over real names and made ones."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symbols.test_numbering import table
from tools import RUST_TARGET, need, run, rustc

from stubgen.symbols.numbering import NUMBERED, has_sibling, numbering
from stubgen.symbols.rust import is_rust_name, legacy_hash, v0_name

CRATES_WITH_AN_S = (
    b"_RNvCs8EjvGJSkyPt_3app1N",
    b"_RNvCselQUdYhhsJw_3app1N",
    b"_RNvNtCsMSpAx6s9yL_5alloc3raw1N",
    b"_RNvCshsEBq0wuwOD_3app6ORDERS",
    b"_RNvCslDE3fHF0RGI_3app6ORDERS",
    b"_RNvCss_3app1N",
    b"_RNvNtCs1s0_3app1s1N",
    b"_RNvNCNKNvCshsEBq0wuwOD_3app3LOC0s_023___RUST_STD_INTERNAL_VAL",
)


@pytest.mark.parametrize("name", CRATES_WITH_AN_S)
@pytest.mark.parametrize("underscore", [b"", b"_"])
def test_a_crates_hash_is_its_identity(name: bytes, underscore: bytes) -> None:
    """One crate in seven has an ``s`` in its hash: none of its statics and thread-locals would be the host's."""
    assert numbering(underscore + name) == ""
    assert not has_sibling(underscore + name, table([underscore + name, underscore + name.replace(b"Cs", b"CsZ", 1)]))


NUMBERS = {
    "_RNvNvCs1_1t3run5COUNT": False,
    "_RNvNvCs1_1t3runs_5COUNT": True,
    "_RNvNvCs1_1ts_3run5COUNT": True,
    "_RNvNCNvCs1_1t3run05COUNT": False,
    "_RNvNCNvCs1_1t3runs_05COUNT": True,
    "_RNvNSNvCs1_1t3runs0_4shim5COUNT": True,
    "_RINvNvCs1_1t3run5COUNTNCB2_s_0E": True,
    "_RNvXs_Cs1_1tNtB3_1SNtB3_1T4drop": False,  # there is but one implementation of it for S
    "_RNvNvMs1_Cs1_1tNtB4_1S1f5COUNT": False,
    "_RNvNvMCs1_1tNtB2_s_1S1f5COUNT": True,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_a_number(name: str) -> None:
    """A closure that somebody puts in front of another takes its number, and the static in it."""
    found = v0_name(name.encode())
    assert found is not None
    assert found.is_numbered is NUMBERS[name]
    assert numbering(name.encode()) == (NUMBERED if NUMBERS[name] else "")


OTHERS = [
    *("_Reset", "_R", "_RN", "_RNvC1a", "_RNvC1ab1cx", "_RNvC9a1b", "_RNvC1a1bB9_", "_RC01a", "_RNvC1a1b.", "__RC1"),
    *("17h0123456789abcdefE", "x17h0123456789abcdefE", "_ZN17h0123456789abcdefEx", "_ZN1a17h0123456789abcdeE"),
    *("_ZN99a17h0123456789abcdefE", "_ZN0a17h0123456789abcdefE", "_ZN1aE", "_Z1fv", "_ZN"),
]


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_looks_like_one_is_a_name_like_any_other(name: str) -> None:
    """A C static called ``_Reset`` would be any file's, since rustc's names are one in a program."""
    expected = name == "_RNvC1a1b."
    assert is_rust_name(name.encode()) is expected
    assert isinstance(has_sibling(name.encode(), table([name.encode(), b"before", name.encode() + b"x"])), bool)


def test_a_legacy_names_hash_is_its_last_identifier() -> None:
    """An identifier that looks like a hash is one like any other."""
    assert legacy_hash(b"_ZN1t17h0123456789abcdef17h5f1e7ec8bd2e2163E") == (24, 44)
    assert legacy_hash(b"__ZN1t3run17h5f1e7ec8bd2e2163E.llvm.12") == (10, 30)
    assert legacy_hash(b"_ZN21a17h5f1e7ec8bd2e2163E17h5f1e7ec8bd2e2163E") == (26, 46)


def demangled(names: Sequence[str]) -> list[bool]:
    """Which of *names* LLVM's demangler takes apart."""
    done = subprocess.run(
        [str(need("llvm-cxxfilt-19")), "-n"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return [line != name for line, name in zip(done.stdout.splitlines(), names, strict=True)]


def test_every_name_of_the_standard_library() -> None:
    """What rustc writes and this cannot read would be a stranger's name, and its state be lost."""
    command = rustc()
    folder = Path(command[command.index("--sysroot") + 1]) / f"lib/rustlib/{RUST_TARGET}/lib"
    names: set[str] = set()
    for archive in folder.glob("*.rlib"):
        listed = run([need("llvm-nm-19"), "--just-symbol-name", "--quiet", archive]).splitlines()
        names.update(name for name in listed if name.startswith("_R"))
    assert len(names) > 2000
    every = sorted(names)
    assert [v0_name(name.encode()) is not None for name in every] == demangled(every)
    assert all(demangled(every))
    items = [name for name in every if (found := v0_name(name.encode())) is not None and found.is_item]
    assert any("s" in name.partition("Cs")[2].partition("_")[0] for name in items)
    assert {numbering(name.encode()) for name in items if "." not in name} == {""}  # LLVM takes some apart: N.0, N.1


IDENTIFIERS = st.sampled_from(["1a", "3run", "5COUNT", "0", "u3n_1", "2_7x", "s_1b", "s1Zs_4deep", "10_0123456789"])
LEAVES = st.sampled_from(["Cs1_1t", "C1c", "CshsEBq0wuwOD_3app"])
BASICS = st.sampled_from(list("abcdefhijlmnopstuvxyz"))
NUMERALS = st.sampled_from(["h7b_", "an1_", "b1_", "c61_", "j0_", "p", "e61_"])


def bigger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Paths of smaller ones."""
    types = st.one_of(
        BASICS,
        inner,
        st.builds("R{}".format, BASICS),
        st.builds("QL_{}".format, inner),
        st.builds("A{}{}".format, inner, NUMERALS),
        st.builds("T{}{}E".format, inner, BASICS),
        st.builds("FUKC{}E{}".format, inner, BASICS),
        st.builds("DG_{}p4Item{}EL_".format, inner, BASICS),
        st.builds("S{}".format, inner),
    )
    return st.one_of(
        st.builds("Nv{}{}".format, inner, IDENTIFIERS),
        st.builds("NC{}{}".format, inner, IDENTIFIERS),
        st.builds("Nt{}{}".format, inner, IDENTIFIERS),
        st.builds("M{}{}".format, inner, types),
        st.builds("Xs3_{}{}{}".format, inner, types, inner),
        st.builds("Y{}{}".format, types, inner),
        st.builds("I{}{}K{}L_E".format, inner, types, NUMERALS),
    )


PATHS = st.recursive(LEAVES, bigger, max_leaves=6)


@settings(max_examples=40)
@given(st.lists(st.builds("_R{}".format, PATHS), min_size=10, max_size=20))
def test_names_of_the_grammar(names: list[str]) -> None:
    """Each rule of the grammar is one that rustc uses for something."""
    assert [v0_name(name.encode()) is not None for name in names] == [True] * len(names)
    for name in names:
        found = v0_name(name.encode() + b".llvm.7")
        assert found is not None
        assert found.marker in name.encode()


@given(st.builds("_R{}{}".format, PATHS, st.text("BCEIKLMNRSTsv_0123", max_size=8)), st.integers(0, 40))
def test_names_that_are_nearly_of_the_grammar(name: str, cut: int) -> None:
    """What is broken is no name of rustc's, and never an error."""
    for broken in (name, name[:cut], name[cut:], "_R" + name[cut:]):
        raw = broken.encode()
        assert isinstance(is_rust_name(raw), bool)
        assert isinstance(numbering(raw), str)
        has_sibling(raw, table([raw, raw + b"s_", b"_R" + raw]))


@given(st.text("_RZNvCsB0123456789abhE17.$u", max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    """Symbol tables hold whatever an assembler was given."""
    raw = text.encode()
    for name in (raw, b"_R" + raw, b"_ZN" + raw, b"17h0123456789abcdefE" + raw, raw + b"17h0123456789abcdefE"):
        numbering(name)
        is_rust_name(name)
        has_sibling(name, table([name, name + b".1", raw]))


DEEP = {
    "paths": "_R" + "Nv" * 20_000 + "C1a" + "1b" * 20_000,
    "types": "_RINvC1a1b" + "R" * 20_000 + "hE",
    "lists": "_RINvC1a1b" + "T" * 20_000 + "E" * 20_001,
    "an end that is missing": "_RINvC1a1b" + "T" * 20_000,
    "constants": "_RINvC1a1bK" + "A" * 20_000 + "E" * 20_001,
    "numbers": "_RNvC1as" + "9" * 20_000 + "_1b",
    "back references": "_RINvC1a1b" + "B_" * 20_000 + "E",
    "legacy": "_ZN" + "1a" * 20_000 + "17h0123456789abcdefE",
}


@pytest.mark.parametrize("case", DEEP)
def test_deep_names_end(case: str) -> None:
    """A name in an object from elsewhere would end the command with a traceback, or never."""
    name = DEEP[case].encode()
    assert is_rust_name(name) is (case not in ("an end that is missing", "numbers"))
    assert isinstance(numbering(name), str)
    assert not has_sibling(name, table([name, b"other"]))


def test_a_name_is_read_once() -> None:
    """A string of a megabyte, of names that begin in one another, would take hours."""
    from stubgen.symbols import rust

    begun = []

    class Counting(rust._Parser):
        def __init__(self, text: bytes, start: int) -> None:
            begun.append(start)
            super().__init__(text, start)

    ordinary = rust._Parser
    name = b"_RNvNvCs1_1t3runs_5COUNT"
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(rust, "_Parser", Counting)
        assert has_sibling(name, table([b"_R_" * 1000 + name.replace(b"s_5", b"5"), name, name.replace(b"s_5", b"5")]))
    assert rust._Parser is ordinary
    assert len(begun) < 2000
