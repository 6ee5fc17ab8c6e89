"""What the threads of a server share is whole: who asks while another one reads is told the same as it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live.test_macho import toolchain
from resolve.test_same_file import Workshop
from tools import run

from stubgen.image import Image, dwarf_units
from stubgen.image.dwarf import DebugInfo, Entries
from stubgen.image.opening import open_image
from stubgen.image.reach_elf import ElfReach
from stubgen.image.reach_macho import MachOReach

SOURCE = "".join(
    f"int v{n} = {n}; int f{n}(int a, int b) {{ return v{n} += a - b; }} int g{n}(int a) {{ return f{n}(a, v{n}); }}"
    for n in range(4)
)

FORMATS = ("elf", "macho")


def object_of(folder: Path, format_: str) -> Image:
    """An object with functions, variables and debug information."""
    if format_ == "elf":
        path = Workshop(folder).compile("a.c", SOURCE, "-g", "-O0")
    else:
        ((compiler, *options), _), path = toolchain("lld"), folder / "a.o"
        (folder / "a.c").write_text(SOURCE)
        run([compiler, *options, "-g", "-O0", "-c", "a.c", "-o", path], cwd=folder)
    return open_image(path.read_bytes(), "a.o")


def ask_in(patch: pytest.MonkeyPatch, owner: type, name: str, ask: Callable[[], object]) -> list[object]:
    """Have *ask* called once in the middle of the method *name*, as another thread would; what it says is returned."""
    answers: list[object] = []
    real = getattr(owner, name)

    def once() -> None:
        patch.setattr(owner, name, real)
        answers.append(ask())

    def rows(answer: Iterator[object]) -> Iterator[object]:
        yield next(answer)
        once()
        yield from answer

    def interrupted(*arguments: Any) -> object:
        answer = real(*arguments)
        if isinstance(answer, Iterator):
            return rows(answer)
        once()
        return answer

    patch.setattr(owner, name, interrupted)
    return answers


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("what", ["variables", "functions", "subprograms"])
def test_debug_information(tmp_path: Path, what: str, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable whose type seemed to be unknown was kept whatever had become of it."""
    image = object_of(tmp_path, format_)
    expected = getattr(image.debug_info, what)(image.debug_info.units[0])
    debug = DebugInfo(image.debug_section)
    (unit,) = debug.units
    answers = ask_in(monkeypatch, Entries, what, lambda: set(getattr(debug, what)(unit)))
    assert getattr(debug, what)(unit) == expected
    assert answers == [set(expected)]
    assert len(expected) > 3


@pytest.mark.parametrize("format_", FORMATS)
def test_what_the_units_place(tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the search after the last one on, an address seemed to be in no unit."""
    monkeypatch.setattr(dwarf_units, "SEARCHES", 0)
    image = object_of(tmp_path, format_)
    debug = DebugInfo(image.debug_section)
    (unit,) = debug.units
    (address, *_) = debug.functions(unit)
    answers = ask_in(monkeypatch, Entries, "addresses", lambda: list(dwarf_units.units_with(debug, address)))
    assert list(dwarf_units.units_with(debug, address)) == [unit]
    assert answers == [[unit]]


@pytest.mark.parametrize("format_", FORMATS)
def test_what_refers_to_what(tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function seemed to use nothing, and what it uses counted as unused."""
    expected, reach = object_of(tmp_path, format_).reach, object_of(tmp_path, format_).reach
    assert expected is not None
    assert reach is not None
    pieces = sorted(expected.functions())
    known = {piece: expected.targets(piece) for piece in pieces}
    owner = ElfReach if format_ == "elf" else MachOReach
    answers = ask_in(monkeypatch, owner, "_meant", lambda: [reach.targets(piece) for piece in pieces])
    assert {piece: reach.targets(piece) for piece in pieces} == known
    assert answers == [list(known.values())]
    assert sum(map(bool, known.values())) > 3
