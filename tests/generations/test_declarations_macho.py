"""A later Mach-O patch's calls of an earlier one's functions, held against what that one's objects say of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from generations.test_declarations import CASES
from generations.test_generations_macho import Process
from live.test_macho import toolchain
from tools import need_module, run

from stubgen.errors import SymbolRefusal
from stubgen.generations.linking import link_generation
from stubgen.generations.opening import mark_not_loaded
from stubgen.generations.state import encode_session, read_session

COUNTED = ("parameters", "a number of another size", "a layout")
"""Those of functions: clang describes no variable of another file."""


def compiled(process: Process, name: str, source: str) -> Path:
    """The object of C *source*, which describes what it calls."""
    (process.folder / f"{name}.c").write_text(source)
    run([*process.tools.compile, "-O1", "-g", "-c", f"{name}.c", "-o", f"{name}-new.o"], cwd=process.folder)
    return process.folder / f"{name}-new.o"


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("case", COUNTED)
def test_what_an_earlier_patch_takes_otherwise(name: str, case: str, tmp_path: Path) -> None:
    """The patch has no debug information, its objects do: a call with another layout linked, and read anything."""
    need_module("unicorn", "unicorn")
    defined, declared, (old, new), reason = CASES[case]
    reason = reason.replace("long int", "long")  # what clang calls it
    process = Process(tmp_path, toolchain(name))
    process.patch(compiled(process, "first", defined))
    with pytest.raises(SymbolRefusal, match=f"{reason}; compile the file that defines it again"):
        process.patch(compiled(process, "second", declared))
    made = process.patch(compiled(process, "second", declared.replace(old, new)))
    assert made.number == 2


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("now", ["compiled again", "gone"])
def test_an_object_that_is_no_longer_there(now: str, name: str, tmp_path: Path) -> None:
    """``patch`` removes its objects and a build overwrites them: what the process has was held against nothing."""
    need_module("unicorn", "unicorn")
    defined, declared, (old, new), reason = CASES["parameters"]
    process = Process(tmp_path, toolchain(name))
    first = compiled(process, "first", defined)
    process.patch(first)
    if now == "gone":
        first.unlink()
    else:
        compiled(process, "first", defined.replace("int more", "int more, int most"))
    with pytest.raises(SymbolRefusal, match=f"{reason}; compile the file that defines it again"):
        process.patch(compiled(process, "second", declared))
    made = process.patch(compiled(process, "second", declared.replace(old, new)))
    assert made.number == 2


@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("storage", ["", "static "])
def test_a_variable_whose_type_changed_since_an_earlier_patch_begins_anew(
    storage: str, name: str, tmp_path: Path
) -> None:
    """The process went on with the old object, and the new code read its fields in each other's place."""
    need_module("unicorn", "unicorn")
    source = f"{storage}struct s {{ int FIRST; int SECOND; }} thing = {{3, 5}};"
    source += " struct s *where(void) { return &thing; } int take(void) { return thing.a++; }"
    before = source.replace("FIRST", "a").replace("SECOND", "b")
    after = source.replace("FIRST", "b").replace("SECOND", "a")
    process = Process(tmp_path, toolchain(name))
    reasons = []
    for text in (before, before.replace("a++", "a--"), after):
        made = process.patch(compiled(process, "unit", text))
        reasons += [each.reason_not_kept for each in made.linked.built.resolution.shared_variables]
    kept, afresh = reasons
    assert (kept, "p1.dylib has one of its own, and its type is another one: " in afresh) == ("", True), afresh


def test_what_is_kept_is_not_what_was_linked(tmp_path: Path) -> None:
    """A copy that a full disk or a hand changed speaks neither for the call nor against it."""
    need_module("unicorn", "unicorn")
    defined, declared, _, _ = CASES["parameters"]
    process = Process(tmp_path, toolchain("lld"))
    first = compiled(process, "first", defined)
    process.patch(first)
    (kept,) = (tmp_path / "session.objects").iterdir()
    assert kept.read_bytes() == first.read_bytes()
    first.unlink()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert process.patch(compiled(process, "second", declared)).number == 2


def test_only_what_the_session_names_is_kept(tmp_path: Path) -> None:
    """Each process would add to the folder, and a program would find its own files gone that lie there."""
    need_module("unicorn", "unicorn")
    process = Process(tmp_path, toolchain("lld"))
    folder = tmp_path / "session.objects"
    defined = CASES["parameters"][0]
    process.patch(compiled(process, "first", defined))
    (old,) = folder.iterdir()
    (folder / "notes").write_text("the user's")
    (folder / ("F" * 64)).write_text("the user's")
    process.loaded = None
    begun = process.session._replace(new=True)
    other = compiled(process, "other", defined.replace("+ more", "- more"))
    output = tmp_path / "n{generation}.dylib"
    made = link_generation(begun, process.builder, process.captured, [other], output, process.anchor)
    (unit,) = made.session.generations[0].units
    assert {each.name for each in folder.iterdir()} == {old.name, unit.digest, "notes", "F" * 64}
    mark_not_loaded_in(tmp_path / "session")
    link_generation(process.session, process.builder, process.captured, [other], output, process.anchor)
    assert {each.name for each in folder.iterdir()} == {unit.digest, "notes", "F" * 64}


def mark_not_loaded_in(path: Path) -> None:
    """Say that the process never got the newest patch."""
    path.write_bytes(encode_session(mark_not_loaded(str(path), read_session(str(path)))))
