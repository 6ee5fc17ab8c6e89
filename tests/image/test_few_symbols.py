"""What of a large host's symbols is looked at one by one: those that may be meant."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from origin.bench import tools
from tools import need, run

from stubgen.elf.reader import Symbols
from stubgen.image import Image
from stubgen.image.opening import open_image

NAMES = "rate.llvm.5 prorate.llvm.5 other.llvm.5 held.lto_priv.0"


@pytest.fixture
def renamed(tmp_path: Path) -> Image:
    """Functions that link-time optimisation renamed; GNU's linkers put one's name into another's."""
    (tmp_path / "a.s").write_text("".join(f".type {name}, %function\n{name}: ret\n" for name in NAMES.split()))
    run([need("aarch64-linux-gnu-gcc"), "-shared", "-nostdlib", "a.s", "-o", "a.so"], cwd=tmp_path)
    return open_image(tmp_path / "a.so")


def test_names_behind_others(renamed: Image) -> None:
    """The renamed static of that name is found, also where its name is the end of another one in the string table."""
    marks = [b".llvm.", b".lto_priv."]
    assert set(renamed.names_with(marks, behind={b"rate", b"gone"})) == {b"rate.llvm.5", b"prorate.llvm.5"}
    assert renamed.names_with(marks, behind={b"held"}) == [b"held.lto_priv.0"]


def test_names_of_which_none_is_there(renamed: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each link whose edit has a new function went through all symbols, and through all that Rust's have so."""
    asked: list[object] = []
    monkeypatch.setattr(Symbols, "find_indexes", lambda *given: iter(asked.append(given) or ()))
    assert renamed.names_with([b".llvm.", b".lto_priv."], behind={b"fresh", b"ratio"}) == []
    assert asked == []


SOURCE = """
static const int limits[2] = {1, 2};
static volatile int taken = 4, seen;
int main(void) { return limits[taken & 1] + seen; }
"""


@pytest.mark.parametrize("linker", ["gnu", "ld64.lld"])
def test_static_variables_by_their_sections(linker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand static constants each cost every link 8 microseconds."""
    kit = tools(linker, tmp_path)
    (tmp_path / "a.c").write_text(SOURCE.replace("limits[taken", "*(volatile int *)&limits[taken"))
    run([*kit.compile, "a.c", "-o", "a.o"], cwd=tmp_path)
    run([*kit.executable, "a.o", "-o", "a"], cwd=tmp_path)
    image = open_image(tmp_path / "a")
    made: list[int] = []
    candidates = type(image).candidates

    def counted(self: Image, number: int, indexes: Iterable[int], keep: object) -> object:
        made.extend(wanted := list(indexes))
        return candidates(self, number, wanted, keep)  # type: ignore[arg-type]  # as it was given

    monkeypatch.setattr(type(image), "candidates", counted)
    sections = (".data", ".bss", "__DATA,__data", "__DATA,__bss", "__DATA,__common")
    found = image.static_variables(lambda name: name.lstrip(b"_") in (b"limits", b"taken", b"seen"), sections)
    assert {each.name.lstrip(b"_") for each in found} == {b"taken", b"seen"}
    assert len(made) == 2
