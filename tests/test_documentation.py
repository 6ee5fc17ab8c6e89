"""What the documents name is there: modules, functions, tests and other documents."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_architecture import LEVELS, MODULES

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def defined(path: Path) -> set[str]:
    """Names of the classes and functions of a module, methods as ``Class.method``."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return names


ENDINGS = ("py", "o")
PACKAGES = {f"stubgen.{name}" for name in MODULES}
EVERYTHING = {name for path in MODULES.values() for name in defined(path)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_in_documents_exist(document: Path) -> None:
    """A page that sends the reader to a file that is gone is believed in nothing else."""
    text = document.read_text()
    homes = [ROOT, ROOT / "stubgen", ROOT / "stubgen/linkplan", document.parent]
    for name in re.findall(r"`([\w/.-]+\.(?:py|md|toml))`|\]\(([\w/.-]+)\)", text):
        path = name[0] or name[1]
        assert any((home / path).exists() for home in homes), f"{document.name}: {path}"


def test_the_architecture_page_names_what_is_there() -> None:
    """A walk through functions that were renamed leads nowhere."""
    text = (ROOT / "docs/architecture.md").read_text()
    named = {word for word in re.findall(r"`(\w+(?:\.\w+)?)`", text) if re.match(r"[A-Z]\w+(\.\w+)?$", word)}
    shouted = {word for word in named if word.isupper()}  # an enum's members
    dotted = [word.rpartition(".") for word in re.findall(r"`(\w+\.\w+)`", text)]
    functions = [(module, name) for module, _, name in dotted if module in MODULES and name not in ENDINGS]
    assert len(named) > 15
    assert not {word for word in named - shouted if word not in EVERYTHING}
    for module, name in functions:
        assert name in defined(MODULES[module]) or f"{module}.{name}" in PACKAGES, f"{module}.{name}"


def test_the_architecture_page_has_every_level() -> None:
    """The table of levels is for people; the one in the tests is held to the code."""
    text = (ROOT / "docs/architecture.md").read_text()
    named = [name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    level_of = {name: number for number, level in enumerate(LEVELS) for name in level if name != "__main__"}
    assert sorted(named) == sorted(level_of)
    levels = [level_of[name] for name in named]
    assert levels == sorted(levels)
