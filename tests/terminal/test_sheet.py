"""What is printed fits the terminal, stays whole in a pipe, and has the names that people wrote."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from synthetic import Sym, elf_object, put, undefined
from tools import need

from stubgen.cli import main
from stubgen.terminal import names
from stubgen.terminal.screen import Screen, screen_of, terminal_width
from stubgen.terminal.sheet import RED, Columns, Entries, Table, Text, cut, render, wrapped

ROOT = Path(__file__).parents[2]
SENTENCE = (
    "the patch has its own copy of 4 bytes, which starts afresh: --keep-state may use the host's variable instead"
)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [40, 80, 140])
def test_lines_fit_the_terminal(width: int) -> None:
    """A terminal breaks a long line in the middle of a word, and the table is one no longer."""
    table = Table([("ok", "short", "done"), ("NO", "identity", SENTENCE)])
    shown = render([Text(f"note: {SENTENCE}"), table], Screen(width=width))
    assert max(map(len, shown.splitlines())) <= width
    assert " ".join(shown.split()) == " ".join(f"note: {SENTENCE} ok short done NO identity {SENTENCE}".split())
    assert render([table], Screen()).splitlines()[1] == f"NO  identity  {SENTENCE}"


def test_a_cell_goes_on_below_itself() -> None:
    """Under the first column it would read like another row; where there is no room beside, it has lines apart."""
    table = Table([("NO", "identity", SENTENCE)])
    first, second, *_ = render([table], Screen(width=80)).splitlines()
    assert first.startswith("NO  identity  the patch has")
    assert second[:14].isspace()
    assert not second[14].isspace()
    narrow = render([table], Screen(width=36)).splitlines()
    assert (narrow[0], narrow[1][:5]) == ("NO  identity", "    t")


def test_a_word_is_never_cut() -> None:
    """Half a path cannot be opened."""
    path = "/a" * 60
    assert path in wrapped(f"  left out: {path} is gone", 40)[1]


def test_a_long_list_is_not_dumped_on_a_terminal() -> None:
    """A host has a million symbols; in a pipe, and where somebody asked, they are all there."""
    names = [f"name{number}" for number in range(300)]
    rows = Columns(("  PROVIDES", "SECTION", "SYMBOL"), ["  0x0"] * 300, [".text"] * 300, names, [""] * 300)
    many = Entries(lambda: rows, len(names), "symbols", most=100, hint="use --all")
    asked = Entries(lambda: rows, len(names), "symbols", most=None, hint="")
    assert render([many], Screen(width=80)) == "  300 symbols: use --all"
    for shown in (render([many], Screen()), render([asked], Screen(width=80))):
        assert len(shown.splitlines()) == 301


def test_a_list_has_one_line_an_entry() -> None:
    """A C++ name of 300 characters over four lines hides its neighbours; its end says more than its middle."""
    name = "shop::" + "a" * 100 + "::total()"
    rows = Columns(("  A", "S", "N"), ["  0x10"], [".text._ZN" + "x" * 40], [name], [""])
    shown = render([Entries(lambda: rows, 1, "rows", most=None, hint="")], Screen(width=80))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.endswith("::total()")
    assert cut("abcdefghijklmnop", 10) == "abc...mnop"


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"CLICOLOR": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_by_the_conventions(
    variables: dict[str, str], terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs full of escape codes, and editors that ask for colours in a pipe: both have a variable for it."""
    for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = screen_of(Terminal() if terminal else io.StringIO())
    assert screen.coloured is coloured
    assert render([Table([("a", "b")], colours=[RED])], screen) == ("\x1b[31ma  b\x1b[0m" if coloured else "a  b")


def test_the_width_is_the_environments_or_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """``COLUMNS=140 hotpatch-stubgen ... | less`` stays whole: only a terminal has a width."""
    monkeypatch.setenv("COLUMNS", "140")
    assert screen_of(Terminal()).width == 140
    assert screen_of(io.StringIO()).width is None
    for nonsense in ("0", "-3", "wide"):
        monkeypatch.setenv("COLUMNS", nonsense)
        assert terminal_width(Terminal()) == 80


MANGLED = {
    "_ZN4shop5totalEv": "shop::total()",
    "__ZN4shop5totalEv": "shop::total()",
    "_RNvCs1234_4shop5total": "shop::total",
    "_ZN4shop5total17h0123456789abcdefE": "shop::total",
    "_Z5totalRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE": "total(std::string const&)",
    "_Z5totalNSt3__112basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEEE": "total(std::string)",
}


@pytest.mark.parametrize("tool", ["c++filt", "llvm-cxxfilt-19"])
def test_every_mangling(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C++, Rust's two manglings and Mach-O's underscore, by GNU's demangler and by LLVM's."""
    need(tool)
    monkeypatch.setattr(names, "_TOOLS", (tool,))
    assert names.demangled(MANGLED) == MANGLED
    text = f"'{next(iter(MANGLED))}@@V1' and main, _Z, _R and _Zeta; {ROOT}/_ZN4shop5totalEv.o"
    assert names.replaced(text, names.demangled_in(text)).startswith("'shop::total()@@V1' and main, _Z, _R and _Zeta; ")


def test_what_a_trait_is_implemented_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dots are Rust's ``::`` there: of an edited ``Display`` the user was shown the name as the file has it."""
    need("c++filt")
    monkeypatch.setattr(names, "_TOOLS", ("c++filt",))
    name = "_ZN49_$LT$shop..Item$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE"
    told = "<shop::Item as core::fmt::Display>::fmt"
    assert names.demangled([name]) == {name: told}
    text = f"1 changed ({name}), {name}.llvm.12, main..."
    assert names.replaced(text, names.demangled_in(text)) == f"1 changed ({told}), {told}, main..."


def test_one_process_for_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process a name would take a minute for a thousand of them."""
    started = []
    popen = subprocess.Popen

    class Counted(popen):  # type: ignore[misc, valid-type]  # a class that is a variable
        def __init__(self, *arguments: object, **options: object) -> None:
            started.append(arguments)
            super().__init__(*arguments, **options)

    need("c++filt")
    monkeypatch.setattr(subprocess, "Popen", Counted)
    blocks = [Text(f"_ZN{len(str(n)) + 1}f{n}Ev is missing") for n in range(500)]
    assert render(blocks, Screen()).count("()") == 500
    assert len(started) == 1


def test_the_demangler_gets_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """GNU's writes what it has after each line end: a line a name takes twice the time for 100,000 names."""
    given: list[bytes] = []
    run = subprocess.run

    def noted(*arguments: Any, **options: Any) -> Any:
        given.append(options["input"])
        return run(*arguments, **options)

    need("c++filt")
    monkeypatch.setattr(subprocess, "run", noted)
    mangled = [form.format(n) for form in ("_ZN4shop3f{}Ev", "_RNvCs1234_4shop3f{}") for n in range(10, 60)]
    told = names.demangled(mangled)
    assert [told[name].removesuffix("()") for name in mangled] == 2 * [f"shop::f{n}" for n in range(10, 60)]
    assert [text.count(b"\n") for text in given] == [2]


@pytest.mark.parametrize("script", [None, "exit 1", "head -1"], ids=["none", "fails", "stops early"])
def test_without_a_demangler(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names stay as they are where nobody can read them, and none gets another one's reading."""
    if script is not None:
        (tmp_path / "c++filt").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (tmp_path / "c++filt").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    path = put(tmp_path, "a.o", elf_object([Sym("_ZN4shop5totalEv", 0), undefined("_ZN4shop4restEv")]))
    assert main(["inspect", path]) == 0
    shown = capsys.readouterr().out
    assert "_ZN4shop5totalEv" in shown
    assert "_ZN4shop4restEv" in shown


def test_a_long_document_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A host's million symbols, indented, took longer than to find them."""
    for count, lines in ((10, None), (10_001, 1)):
        path = put(tmp_path, "a.o", elf_object([undefined(f"f{number}") for number in range(count)]))
        assert main(["inspect", "--json", path]) == 0
        shown = capsys.readouterr().out
        assert len(json.loads(shown)["symbols"]) == count
        assert lines is None or shown.count("\n") == lines


def test_on_a_real_terminal(tmp_path: Path) -> None:
    """Width and colours as a person gets them."""
    put(
        tmp_path,
        "a.o",
        elf_object([undefined(f"a_name_that_is_rather_long_and_goes_on_{number}") for number in range(9)]),
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "stubgen", "inspect", "a.o"]
    subprocess.run(command, cwd=tmp_path, stdout=child, check=True, env=environment)
    os.close(child)
    shown = os.read(parent, 65536).decode().replace("\r\n", "\n")
    os.close(parent)
    assert "\x1b[1m  REQUIRES" in shown
    assert all(
        len(line.replace("\x1b[1m", "").replace("\x1b[36m", "").replace("\x1b[0m", "")) <= 60
        for line in shown.splitlines()
    )
