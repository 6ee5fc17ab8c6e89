"""``explain`` and ``--explain``, held against what readelf, llvm-readobj and the commands themselves say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined
from tools import need, run

from stubgen.capture import record
from stubgen.cli import main
from stubgen.resolve.verdicts import CONSEQUENCES, Verdict

HOST = """
#include <stdio.h>
int total = 7; static int seen; __thread int depth;
int price(int n) { seen++; return n + total; }
int checkout(int n) { return price(n) + depth; }
int main(int c, char **v) { printf("%d", checkout(c)); return 0; }
"""
HELPER = "static int helper(int n) { return n + 1; } int other(int n) { return helper(n); }"
PATCH = """
extern int price(int), total, gone_total(void), other(int); extern __thread int depth;
extern int maybe(void) __attribute__((weak)); static int helper(int);
static int seen;
int checkout(int n) { seen++; if (maybe) maybe(); int (*p)(int) = price; return p(n) / 2 + price(1) + total + depth; }
"""
GROWN = "static long seen; long checkout(int n) { return seen += n; }"
BAD = "extern int helper(int), prise(int); int checkout(int n) { return helper(n) + prise(n); }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host of three files, two patches and the record of the host's link."""
    compiler, folder = str(need("aarch64-linux-gnu-gcc")), tmp_path_factory.mktemp("explained")
    sources = {
        "host": HOST,
        "two": HELPER,
        "three": HELPER.replace("other", "third"),
        "patch": PATCH,
        "bad": BAD,
        "grown": GROWN,
    }
    for name, text in sources.items():
        (folder / f"{name}.c").write_text(text)
        options = ["-g", "-O1", "-fno-inline", "-fPIC", "-fdata-sections", "-Wno-unused-function"]
        run([compiler, *options, "-c", f"{name}.c"], cwd=folder)
    link = [compiler, "host.o", "two.o", "three.o", "-Wl,--export-dynamic-symbol=main", "-o", "host"]
    run(link, cwd=folder)
    record(link, folder / "captured", directory=str(folder))
    return folder


Explain = Callable[..., dict]


@pytest.fixture
def explain(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Explain:
    """The explanation of one symbol, as ``--json`` has it."""
    monkeypatch.chdir(folder)

    def explained(symbol: str, *words: str, patch: str = "patch.o") -> dict:
        capsys.readouterr()
        assert main(["explain", symbol, "--host", "host", "--captured", "captured", patch, *words, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["explanations"]
        return found

    return explained


def relocations(path: Path, symbol: str) -> set[tuple[str, int, str]]:
    """Section, offset and relocation of each reference to *symbol*, by llvm-readobj."""
    found, section = set(), ""
    for line in run([need("llvm-readobj-19"), "--elf-output-style=GNU", "--relocations", path]).splitlines():
        if heading := re.match(r"Relocation section '\.rela(.*)' at", line):
            section = heading[1]
        elif (words := line.split())[4:5] == [symbol]:
            found.add((section, int(words[0], 16), words[2]))
    return found


def test_every_verdict_says_what_it_comes_to() -> None:
    """A verdict without its row would be explained by a traceback."""
    assert CONSEQUENCES.keys() == set(Verdict)


@pytest.mark.parametrize(
    ("symbol", "verdict", "standing"),
    [
        ("price", "trampoline", "chosen"),
        ("total", "slot", "chosen"),
        ("depth", "tls", "chosen"),
        ("maybe", "weak-null", None),
    ],
)
def test_the_verdict_and_where_it_is_referred_to(
    folder: Path, explain: Explain, symbol: str, verdict: str, standing: str | None
) -> None:
    """Whoever asks wants the very places: a call that nobody sees is the one that jumps elsewhere."""
    found = explain(symbol)
    assert (found["verdict"], found["problem"]) == (verdict, False)
    assert [each["standing"] for each in found["candidates"]] == ([standing] if standing else [])
    places = {(use["section"], use["offset"], use["relocation"]) for use in found["uses"]}
    assert places == {place for place in relocations(folder / "patch.o", symbol) if "debug" not in place[0]}
    assert {use["function"] for use in found["uses"]} == {"checkout"}
    for candidate in found["candidates"]:
        lines = run([need("llvm-nm-19"), folder / "host"]).splitlines()
        assert f"{candidate['address']:016x}" in next(line for line in lines if line.endswith(f" {symbol}"))


def test_two_statics_of_one_name(explain: Explain) -> None:
    """Ambiguous: by their files one sees which is which."""
    found = explain("helper", patch="bad.o")
    assert (found["verdict"], found["problem"]) == ("ambiguous", True)
    assert {(each["file"], each["standing"]) for each in found["candidates"]} == {
        ("two.c", "one of several"),
        ("three.c", "one of several"),
    }
    assert found["advice"]


def test_what_is_missing_and_close(explain: Explain) -> None:
    """A typo is answered with what it is close to."""
    found = explain("prise", patch="bad.o")
    assert (found["verdict"], found["candidates"]) == ("missing", [])
    assert "price" in found["close_names"]


def test_a_variable_that_is_not_kept(folder: Path, explain: Explain) -> None:
    """Every reason against it, not the first alone: who mends one would run into the next."""
    found = explain("seen")
    assert found["verdict"] == "the patch's own variable"
    assert found["reason"] == found["against"][0] == "the host's is from another file, host.c"
    assert len(set(found["against"])) == len(found["against"])
    assert explain("seen", patch="grown.o")["against"] == [
        "its size changed from 4 to 8 bytes",
        "the host's is from another file, host.c",
        "its type is another one: long int where the host has int",
    ]
    (definition,) = found["definitions"]
    assert (definition["section"], definition["size"], definition["binding"]) == (".bss.seen", 4, "local")
    assert {use["relocation"] for use in found["uses"]} >= {"R_AARCH64_ADR_PREL_PG_HI21"}
    kept = explain("seen", "--keep-state", patch="host.o")
    assert (kept["verdict"], kept["against"]) == ("the host's variable", [])
    assert [each["standing"] for each in kept["candidates"]] == ["chosen"]


def test_what_the_patch_defines(explain: Explain) -> None:
    """``Why is the old one still called?``: the host's is not asked."""
    found = explain("checkout")
    assert found["verdict"] == "the patch's own"
    assert [each["standing"] for each in found["candidates"]] == ["not asked"]
    assert [each["object"] for each in found["definitions"]] == ["patch.o"]
    assert found["uses"] == [], "its entry for unwinding is no use of it"


def test_without_and_with_a_place_in_memory(folder: Path, explain: Explain) -> None:
    """No verdict goes by the slide, so nobody has to start the program to ask."""
    assert explain("price")["runtime_address"] is None
    placed = explain("price", "--slide", "0x5500000000")
    assert placed["runtime_address"] == placed["static_address"] + 0x5500000000


def test_a_symbol_that_the_patch_does_not_have(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An explanation of nothing would read like one."""
    monkeypatch.chdir(folder)
    assert main(["explain", "pricee", "--host", "host", "patch.o"]) == 1
    assert capsys.readouterr().err == (
        "hotpatch-stubgen: error: pricee: no object of the patch refers to it or defines it; close names: price\n"
    )


def test_stubs_alone_answer_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``build`` without bound copies refuses what ``link`` answers."""
    monkeypatch.chdir(folder)
    assert main(["explain", "depth", "--host", "host", "--unbound", "patch.o"]) == 0
    shown = capsys.readouterr().out
    assert "meant, and refused" in shown
    assert "bound copies (link, --bound-dir) reach it" in shown


VERSIONS = """
__asm__(".symver old,rate@V1"); __asm__(".symver new,rate@@V2");
int old(void) { return 1; } int new(void) { return 2; }
"""


def test_the_version_that_is_not_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two versions the one that is passed over is named, with the rule."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "host.c").write_text(VERSIONS)
    (tmp_path / "patch.c").write_text("int rate(void); int f(void) { return rate(); }")
    (tmp_path / "map").write_text("V1 { local: old; new; }; V2 { } V1;")
    run([compiler, "-fPIC", "-c", "patch.c"], cwd=tmp_path)
    run([compiler, "-fPIC", "-shared", "host.c", "-Wl,--version-script=map", "-o", "host"], cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "rate", "--host", "host", "patch.o", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["explanations"]
    standings = {(each["version"], each["standing"]): each["reason"] for each in found["candidates"]}
    assert ("V2", "chosen") in standings
    assert "names no version means the default one" in standings["V1", "not meant"]


def test_mach_o_and_its_underscore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twin: people type the name without the underscore; llvm-readobj has the places."""
    clang, linker = (str(need(tool)) for tool in ("clang-19", "ld64.lld-19"))
    target = [clang, "--target=arm64-apple-macos13", "-O1", "-c"]
    (tmp_path / "host.c").write_text(
        "int total = 3; int price(int n) { return n + total; } int main(void) { return price(1); }"
    )
    (tmp_path / "patch.c").write_text(
        "extern int total, price(int); int checkout(int n) { return 1 + price(n) + total; }"
    )
    run([*target, "host.c", "patch.c"], cwd=tmp_path)
    platform = ["-arch", "arm64", "-platform_version", "macos", "13", "13", "-undefined", "dynamic_lookup"]
    run([linker, *platform, "host.o", "-o", "host"], cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    told = run([need("llvm-readobj-19"), "--relocations", "patch.o"], cwd=tmp_path)
    for symbol, kinds in (("price", {"ARM64_RELOC_BRANCH26"}), ("total", {"ARM64_RELOC_GOT_LOAD_PAGE21"})):
        assert main(["explain", symbol, "--host", "host", "patch.o", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["explanations"]
        assert found["symbol"] == f"_{symbol}"
        assert {use["relocation"] for use in found["uses"]} >= kinds
        for use in found["uses"]:
            assert use["function"] == "_checkout"
            assert re.search(rf"0x{use['offset']:X} \d \d \d {use['relocation']} .*_{symbol}\b", told), told


def test_a_refused_link_explains_itself(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``--explain`` nobody has to ask again, symbol by symbol."""
    monkeypatch.chdir(folder)
    words = ["--host", "host", "--slide", "0x5500000000", "--captured", "captured", "-o", "p.so", "bad.o"]
    assert main(["link", "--explain", *words]) == 1
    shown = capsys.readouterr()
    assert "helper: ambiguous\n" in shown.out
    assert "bad.o  .text+" in shown.out
    assert "helper: ambiguous: the host has 2 of them" in shown.err
    assert not Path("p.so").exists()


def test_a_refused_link_of_a_session_leaves_it_to_the_next(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Explained or not: no lock stays, and no file."""
    monkeypatch.chdir(folder)
    symbols = run([need("llvm-nm-19"), "host"], cwd=folder)
    main_at = int(next(line for line in symbols.splitlines() if line.endswith(" main")).split()[0], 16)
    where = ["--host", "host", "--aslr-reference", hex(0x5500000000 + main_at), "--captured", "captured"]
    words = ["link", *where, "--session", "session.json", "-o", "patch-{generation}.so"]
    before = sorted(path.name for path in folder.iterdir())
    assert main([*words, "--explain", "bad.o"]) == 1
    assert "helper: ambiguous\n" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == before
    assert main([*words, "--explain", "--export", "checkout", "patch.o"]) == 0
    assert (folder / "patch-1.so").exists()


def test_a_link_explains_verdicts_and_arguments(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each reason, however many share it, and no name of a file that is gone."""
    monkeypatch.chdir(folder)
    words = ["--host", "host", "--slide", "0x5500000000", "--captured", "captured", "-o", "p.so", "patch.o"]
    assert main(["link", "--explain", "--export", "checkout", *words]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"trampoline +1  the host has one function of that name: price\n", shown)
    assert re.search(r"- dropped +3 arguments: host.o two.o three.o +the patch links only what was rebuilt", shown)
    assert re.search(r"\+ added +-o p.so", shown)
    assert ".p.so." not in shown


def test_many_refused_symbols_are_not_a_page_each(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patch for another host lacks everything; the first twenty tell that as well."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "many.o", elf_object([undefined(f"gone_{number}") for number in range(25)]))
    words = ["--host", str(folder / "host"), "--slide", "0", "-o", "stub.o", "many.o"]
    assert main(["build", "--explain", *words]) == 1
    shown = capsys.readouterr().out
    assert shown.count(": missing\n") == 20
    assert shown.endswith("and 5 symbols more: ask with explain\n")


def test_a_name_as_people_write_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody types a mangled name; and the answer has the readable one."""
    need("c++filt")
    monkeypatch.chdir(tmp_path)
    name = "_ZN4shop5totalEv"
    put(tmp_path, "host", elf_host([Sym("main", BASE + 0x100), Sym(name, BASE + 0x140)]))
    put(tmp_path, "a.o", elf_object([undefined(name)]))
    assert main(["explain", "shop::total()", "--host", "host", "a.o"]) == 0
    assert capsys.readouterr().out.startswith("shop::total(): trampoline\n")
    assert main(["explain", "shop::total()", "--host", "host", "a.o", "--mangled"]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: trampoline\n")


def test_a_build_explains_what_it_refuses(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``build`` likewise: the refusal's sentences, and all about each symbol."""
    monkeypatch.chdir(folder)
    words = ["--host", "host", "--slide", "0", "-o", "stub.o", "bad.o"]
    assert main(["build", "--explain", *words]) == 1
    shown = capsys.readouterr().out
    assert "helper: ambiguous\n" in shown
    assert "prise: missing\n" in shown
    assert "the host has price: is that meant?" in shown
