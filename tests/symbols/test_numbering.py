"""Names that compilers number anew in each build: whose variable they mean cannot be told from the name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from counting import count_calls
from tools import need, run, rustc

from stubgen.common.strings import StringTable
from stubgen.macho.reader import Symbols
from stubgen.macho.records import NLIST_64
from stubgen.symbols.numbering import LAMBDA, NESTED, NUMBERED, Siblings, has_sibling, numbering, with_siblings

ALONE = {
    "count": "",
    "_ZL5count": "",
    "f.n": "",
    "_f.n": "",
    "f.n.1": NUMBERED,
    "n.0": NUMBERED,
    "f.__uniq.215834133817723143233859405521266354170": "",  # clang, of the file's path
    "_ZL2f4m.__uniq.215834133817723143233859405521266354170": "",
    "f.__uniq.215834133817723143233859405521266354170.1": NUMBERED,
    "___f_block_invoke.n": LAMBDA,
    "___f_block_invoke_2.n": LAMBDA,
    "my_block_invoked": "",
    "_ZZ1fiE1n": "",
    "__ZZ1fiE1n": "",
    "_ZZ1fiE1n_0": NUMBERED,
    "__ZZ1fiE1n_0": NUMBERED,
    "_ZZ1fiE1n__12_": NUMBERED,
    "_ZZ1fiE7count_1": "",
    "_ZZ1fILi5EEvvE1n": "",
    "_ZZ1fRA5_iE1n": "",
    "_ZZ1fSt6vectorIS0_SaIS1_EEE1n": "",
    "_ZZN12_GLOBAL__N_11fEvE1n": "",
    "_ZN12_GLOBAL__N_16hiddenE": "",
    "_ZN1AIXadL_Z1fvEEE1xE": "",
    "_ZN1VIiE5valueE": "",
    "_ZZNK3$_0clEvE1q": LAMBDA,
    "__ZZNK3$_0clEvE1q": LAMBDA,
    "_ZZNKUlvE_clEvE1q": LAMBDA,
    "_ZZZ1gvENKUlvE0_clEvE1q": LAMBDA,
    "_ZN1VIUlvE_E5valueE": LAMBDA,
    "_ZZN1gMUt_1fEvE1n": LAMBDA,
    "_ZZN3$_01fEvE1n": LAMBDA,
    "_ZZN8._anon_01fEvE1n": LAMBDA,  # GCC
    "_ZZ1tI8._anon_3EiT_E1k": LAMBDA,
    "_ZZZ1fvEN1A1gEvE1n": NESTED,
    "_ZN1VIZ1gvE1AE5valueE": NESTED,
    "_RNvNvCshQ9zqyQK4ah_1t3run5COUNT": "",
    "_RNvNvCshQ9zqyQK4ah_1t3runs_5COUNT": NUMBERED,
    "__RNvNvCshQ9zqyQK4ah_1t3runs0_5COUNT": NUMBERED,
    "_RNvNCNvCshQ9zqyQK4ah_1t3run05INNER": "",
    "_RNvNCNvCshQ9zqyQK4ah_1t3runs_05INNER": NUMBERED,
    "_RNvNvXs_CshQ9zqyQK4ah_1tNtB6_1SNtNtNtCscSuVdRmqwCT_4core3ops4drop4Drop4drop1M": "",
    "_RNvCshQ9zqyQK4ah_1t6runs_X": "",
    "_RNvNCNKNvCshQ9zqyQK4ah_1t3LOC0s_023___RUST_STD_INTERNAL_VAL": "",
    "_RNvNCNKNvNvCshQ9zqyQK4ah_1t3runs_3LOC0023___RUST_STD_INTERNAL_VAL": NUMBERED,
    "_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E": "",
    "_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E.0": NUMBERED,
    "_RNvNtCshQ9zqyQK4ah_1t5inner4HELD.llvm.14916382777049527377": "",
    "_RNvNvCshQ9zqyQK4ah_1t3runs_5COUNT.llvm.14916382777049527377": NUMBERED,
    "n.0.llvm.14916382777049527377": NUMBERED,
}
"""Name -> what it says alone."""


@pytest.mark.parametrize("name", ALONE)
def test_what_a_name_says_alone(name: str) -> None:
    """The second ``static int n`` of a function is the first once somebody deletes the one before it."""
    assert numbering(name.encode()) == ALONE[name]


FAMILIES = [
    ("f.n", "f.n.1"),
    ("_f.n", "_f.n.37"),
    ("_ZZ1fiE1n", "_ZZ1fiE1n_0"),
    ("__ZZ1fiE1n", "__ZZ1fiE1n__10_"),
    ("_RNvNvCshQ9_1t3run5COUNT", "_RNvNvCshQ9_1t3runs_5COUNT"),
    ("__RNvNCNvCshQ9_1t3run05INNER", "__RNvNCNvCshQ9_1t3runs0_05INNER"),
    ("_RNvNvMNvCshQ9_1t3runNtB5_1S1f5COUNT", "_RNvNvMNvCshQ9_1t3runNtB5_s_1S1f5COUNT"),
    (
        "_RNvNCNKNvNvCshQ9_1t3run3LOC0s_023___RUST_STD_INTERNAL_VAL",
        "_RNvNCNKNvNvCshQ9_1t3runs_3LOC0s_023___RUST_STD_INTERNAL_VAL",
    ),
    ("_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E", "_ZN1t3run5COUNT17h2fd7f7dd4c4b01b3E"),
    ("_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E.llvm.5", "_ZN1t3run5COUNT17h2fd7f7dd4c4b01b3E.llvm.6"),
    ("_RNvNvCshQ9_1t3run5COUNT.llvm.5", "_RNvNvCshQ9_1t3runs_5COUNT"),
    ("_RNvNvCshQ9_1t3run5COUNT", "_RNvNvCshQ9_1t3runs_5COUNT.llvm.5"),
]

STRANGERS = [
    ("_RNvNtCshQ9_1t3run5COUNT", "_RNvNtCshQ9_1t3runs_5COUNT"),  # a module has but one
    ("_RNvNvCshQ9_1t3run5COUNT", "_RNvNvCshQ9_1t3run5COUNT.llvm.5"),  # ThinLTO's name of the same one
    ("_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E.llvm.6", "_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E.llvm.5"),
    ("f.n", "f.next"),
    ("f.n", "g.n.1"),
    ("n", "n.1"),  # GCC's static of a file, and of a function
    ("_ZL1n", "_ZL1n.1"),
    ("_ZZ1fiE1n", "_ZZ1fiE1m_0"),
    ("_ZZ1fiE1n", "_ZZ1fiE1n"),
    ("_ZZ1fiE1n", "_ZZ1fiE3n_0"),
    ("_RNvNvCshQ9_1t3run5COUNT", "_RNvNvCshQ8_1t3run5COUNT"),  # another crate of that name
    ("_RNvNvCshQ9_1t3run5COUNT", "_RNvNvCshQ9_1t3run4COUN"),
    (
        "_RNvNCNKNvCshQ9_1t3LOC0s_023___RUST_STD_INTERNAL_VAL",  # thread_local! makes both, and uses one
        "_RNvNCNKNvCshQ9_1t3LOC0023___RUST_STD_INTERNAL_VAL",
    ),
    ("_ZN1t3run5COUNT17h5f1e7ec8bd2e2163E", "_ZN1t3ran5COUNT17h2fd7f7dd4c4b01b3E"),
    (
        "_ZN1t3LOC23__RUST_STD_INTERNAL_VAL17h725163d864440a9aE",
        "_ZN1t3LOC23__RUST_STD_INTERNAL_VAL17ha3c8a9a007a13aa9E",
    ),
]


CASES = [(*pair, True) for pair in FAMILIES] + [(*pair, False) for pair in STRANGERS]


def table(names: list[bytes], *, merged: bytes = b"") -> Symbols:
    """A symbol table of *names*; the one called *merged* begins inside a longer string, as linkers have it."""
    strings, raw = b"\0", b""
    for name in names:
        if name == merged:
            strings += b"more." + merged + b"\0"
            raw += NLIST_64.struct.pack(len(strings) - len(merged) - 1, 0, 0, 0, 0)
        else:
            raw += NLIST_64.struct.pack(len(strings), 0, 0, 0, 0)
            strings += name + b"\0"
    return Symbols(memoryview(raw), StringTable(memoryview(strings), "a table"))


@pytest.mark.parametrize(("name", "other", "expected"), CASES)
def test_siblings(name: str, other: str, expected: bool) -> None:
    """The first of a family is called like the only one: the others alone show that it may be another's."""
    asked, there = name.encode(), other.encode()
    for names in ([b"before", asked, there, b"behind"], [b"before", there, asked, b"behind"]):
        assert has_sibling(asked, table(names)) is expected
        assert has_sibling(asked, table(names, merged=there)) is expected
        assert not has_sibling(asked, table([b"more." + n if n == there else n for n in names]))
    assert not has_sibling(asked, table([b"before", asked]))


MANY = [f"f{number}.n".encode() for number in range(20)]
"""So many that they are looked for in one pass."""


@pytest.mark.parametrize(("name", "other", "expected"), CASES)
def test_siblings_of_many(name: str, other: str, expected: bool) -> None:
    """Each variable of a patch was a pass over the host's names: 20,000 took minutes. One pass says the same."""
    asked, there = name.encode(), other.encode()
    siblings = Siblings([asked, *MANY])
    for names in ([b"before", asked, there, b"behind"], [b"before", there, asked, b"behind"]):
        assert siblings.has(asked, table(names)) is expected
        assert siblings.has(asked, table(names, merged=there)) is expected
        assert not siblings.has(asked, table([b"more." + n if n == there else n for n in names]))
        assert siblings.has(b"g.n", table([*names, b"g.n.1"]))  # nobody said that it would be asked about
    assert not siblings.has(asked, table([b"before", asked, asked + b"x", asked + b"_x1", asked + b".x"]))


def test_no_other_kind_of_number_makes_a_sibling() -> None:
    """A suffix is a C static's number, and a discriminator is C++'s."""
    siblings = Siblings([b"_ZZ1fvE1n", b"f.n", *MANY])
    strangers = table([b"_ZZ1fvE1n.1", b"f.n_1", b"_f.n.1"])
    assert not siblings.has(b"_ZZ1fvE1n", strangers)
    assert not siblings.has(b"f.n", strangers)


@pytest.mark.parametrize(
    "naming", ["f{}.n", "_ZZ1f{:07}vE1n", "_RNvNvCs_1t8f{:07}1n", "_ZN8f{:07}1n17h5f1e7ec8bd2e2163E"]
)
def test_names_are_read_once_however_many_are_asked(naming: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many statics of functions are twice the work, not four times."""
    monkeypatch.setattr("stubgen.symbols.numbering.has_sibling", lambda *_: pytest.fail("a search for one name"))

    def ask(number: int) -> None:
        names = [naming.format(each).encode() for each in range(number)]
        host, siblings = table(names), Siblings(names)
        assert [name for name in names if siblings.has(name, host)] == []

    few, many = (count_calls(partial(ask, number)) for number in (500, 1000))
    assert many < 2.2 * few


CLOSURES = [
    ("_RNCNvCshQ9_1t3run0B3_", "_RNCNvCshQ9_1t3runs_0B3_", True),
    ("_RNCNvCshQ9_1t4runs0B3_", "_RNCNvCshQ9_1t4runss_0B3_", True),
    ("_RNCNvCshQ9_1t3run0B3_", "_RNCNvCshQ9_1t3rons_0B3_", False),
    ("_RNvCshQ9_1t3run", "_RNvCshQ9_1t3runs_", False),
    ("_ZN1t3run17h5f1e7ec8bd2e2163E", "_ZN1t3run17h2fd7f7dd4c4b01b3E", True),
    ("_ZN1t3run17h5f1e7ec8bd2e2163E", "_ZN1t3ran17h2fd7f7dd4c4b01b3E", False),
]


@pytest.mark.parametrize(("name", "other", "expected"), CLOSURES)
def test_siblings_of_functions(name: str, other: str, expected: bool) -> None:
    """The second closure of ``runs`` was no sibling of its first, and jump tables took the one for the other."""
    asked, there = name.encode(), other.encode()
    for given in (there, there + b".llvm.123"):
        assert (asked in with_siblings([asked], [table([asked, given])])) is expected
        assert with_siblings([asked, given], [table([asked, given])]) == ({asked, given} if expected else set())
    assert not with_siblings([asked], [table([asked, asked + b".llvm.123"])])


RUST = """
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
#[inline(never)] pub fn run(deep: bool) -> u32 {
    if deep { static COUNT: AtomicU32 = AtomicU32::new(7); return COUNT.fetch_add(1, SeqCst); }
    static COUNT: AtomicU32 = AtomicU32::new(9);
    static ALONE: AtomicU32 = AtomicU32::new(9);
    let one = || { static INNER: AtomicU32 = AtomicU32::new(1); INNER.fetch_add(1, SeqCst) };
    let two = || { static INNER: AtomicU32 = AtomicU32::new(2); INNER.fetch_add(1, SeqCst) };
    COUNT.fetch_add(1, SeqCst) + one() + two() + ALONE.fetch_add(1, SeqCst)
}
thread_local! { static DEPTH: std::cell::Cell<u32> = std::cell::Cell::new(5); }
#[inline(never)] pub fn deep() -> u32 { DEPTH.with(|depth| { depth.set(depth.get() + 1); depth.get() }) }
"""


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("mangling", ["v0", "legacy"])
def test_rusts_statics(mangling: str, level: int, tmp_path: Path) -> None:
    """Closures and blocks are numbered in Rust too; a crate's other statics and thread-locals are the host's."""
    (tmp_path / "t.rs").write_text(RUST)
    options = ["-Zunstable-options", f"-Csymbol-mangling-version={mangling}", f"-Copt-level={level}", "--emit=obj"]
    command = [*rustc(), "--edition", "2021", "--crate-type", "rlib", *options, "t.rs", "-o", "t.o"]
    run(command, cwd=tmp_path, env={"RUSTC_BOOTSTRAP": "1", "PATH": "/usr/bin:/bin"})
    lines = run([need("llvm-readelf-19"), "-sW", tmp_path / "t.o"]).splitlines()
    names = [line.split()[-1].encode() for line in lines if " OBJECT " in line or " TLS " in line]
    unsure = {name for name in names if numbering(name) or has_sibling(name, table(names))}
    assert len([name for name in unsure if b"COUNT" in name]) == 2
    assert len([name for name in unsure if b"INNER" in name]) == 2
    assert len(unsure) == 4
    assert {b"ALONE", b"DEPTH"} == {word for word in (b"ALONE", b"DEPTH") for name in names if word in name}
