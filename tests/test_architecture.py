"""The tree keeps its shape: arrows point one way, and elf/ and macho/ stay twins."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOOR = {"binary", "errors", "files", "strings"}
PHASES = [
    "host",
    "names",
    "slide",
    "needed",
    "verdicts",
    "resolve",
    "slots",
    "bind_elf",
    "bind_macho",
    "bind",
    "emit",
    "structure",
    "verify_elf",
    "verify_macho",
    "verify",
    "workshop",
    "build",
    "linkplan",
    "capture",
    "check",
    "link",
]
"""In the order of the path; a phase may import earlier ones, never later ones."""


def imports(path: Path) -> set[str]:
    """The dotted names of the project's own modules that *path* imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {name for name in found if name.split(".")[0] in {"stubgen", "elf", "macho"}}


@pytest.mark.parametrize("package", ["elf", "macho"])
def test_formats_know_nothing_about_stubs(package: str) -> None:
    """elf/ and macho/ stand on the floor alone, so that they can be understood and reused alone."""
    allowed = {f"stubgen.{name}" for name in FLOOR}
    for path in (ROOT / package).glob("*.py"):
        strangers = {name for name in imports(path) if not name.startswith(package)} - allowed
        assert not strangers, f"{path.name} imports {strangers}"


def test_the_floor_imports_nothing_above_it() -> None:
    """A floor that reaches up is a cycle."""
    for name in FLOOR:
        assert imports(ROOT / "stubgen" / f"{name}.py") <= {"stubgen.errors", "stubgen.binary"} - {f"stubgen.{name}"}


def test_phases_reach_only_backwards() -> None:
    """Each phase takes what the one before returned; nothing reaches forward, and nothing reaches commands."""
    for number, phase in enumerate(PHASES):
        home = ROOT / "stubgen" / phase
        for path in home.glob("*.py") if home.is_dir() else [home.with_suffix(".py")]:
            used = {name.split(".")[1] for name in imports(path) if name.startswith("stubgen.")}
            assert not used & set(PHASES[number + 1 :]), f"{path} reaches forward"
            assert not used & {"commands", "cli", "serve"}, f"{path} reaches the command line"


def test_formats_are_twins() -> None:
    """Who knows one knows the other: same modules, and the same public functions in the same order."""
    assert modules("elf") == modules("macho")
    for module in ("reader.py", "writer.py", "relocations.py", "unwind.py"):
        elf, macho = functions(ROOT / "elf" / module), functions(ROOT / "macho" / module)
        common = [name for name in elf if name in macho]
        assert common == [name for name in macho if name in elf], module
        assert len(common) >= {"reader.py": 12, "writer.py": 2, "relocations.py": 3, "unwind.py": 1}[module], common


def modules(package: str) -> set[str]:
    """File names in *package*."""
    return {path.name for path in (ROOT / package).glob("*.py")}


def functions(path: Path) -> list[str]:
    """Public functions, methods and classes of *path*, in its order."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        if isinstance(node, ast.ClassDef):
            names += [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
    return [name for name in names if not name.startswith("_")]


def test_the_tree_names_no_machine() -> None:
    """A path of whoever wrote a file means nothing to whoever reads it."""
    for path in ROOT.rglob("*.py"):
        if not any(part.startswith(".") or part == "build" for part in path.relative_to(ROOT).parts):
            text = path.read_text()
            assert "/ro" + "ot/" not in text, path
            assert "/wo" + "rk/" not in text, path
