"""The tree keeps its shape: every module has its place, arrows point one way, and elf/ and macho/ stay twins."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LEVELS: tuple[dict[str, str], ...] = (
    {"errors": ""},
    {
        "common": (
            "text arguments row generic cache aarch64 fields view differences record columns layout object_copy "
            "strings kept_copy cancellation files scratch placeholders phases code_digest"
        )
    },
    {"terminal": "screen names sheet", "finding": ""},
    {
        "elf": "identity constants records relocations unwind reader writer editor fixups",
        "macho": "identity constants records relocations unwind reader writer editor fixups",
        "symbols": "versions similar rust cxx numbering placed wrapped forwarded",
    },
    {
        "image": (
            "dwarf_entries dwarf dwarf_units dwarf_members dwarf_types dwarf_files dwarf_definitions dwarf_differences "
            "dwarf_declarations dwarf_places inlined unit_ranges sole static_code . archive reach_elf reach_macho "
            "variables_elf variables_macho "
            "elf macho opening text_stub identity intermediate static_arguments"
        )
    },
    {"host": "symbols index . slide mappings previous"},
    {
        "resolve": (
            "objects described deleted previous needed declared rulings verdicts candidates convention linker_names "
            "unanswered storage initialisers same_file statics renamed other_forms renumbered keep_state constants "
            "resolution plain answering by_kind linker_places shared_variables left_out "
            "judging for_objects for_copies resolver"
        )
    },
    {
        "borrow": (
            "object unwind places elf_places elf atoms presence macho_object macho_unwind macho homes told defaults ."
        )
    },
    {"compare": "fields near parts unwind equality elf macho . alike removed changes values led"},
    {
        "stub": (
            "trampoline libraries facts assembler disassembler decoding slots sections_elf sections_macho contents_elf "
            "emit find structure verify_elf verify_macho verify"
        )
    },
    {"bind": "held run local_exec elf macho ."},
    {"policies": ""},
    {"keywords": "", "options": ""},
    {"session": ""},
    {"build": ""},
    {
        "linkplan": (
            "every_image options gnu_options ld64_options driver_options library_file tokens response plan "
            "wishes request toolchain libraries relocatable edits decisions refusals own_folders link_files additions "
            "anchor windows explain map_option ."
        ),
    },
    {
        "capture": "process json_text records words outputs links depfile compile_words compiles . __main__",
        "origin": "symbols sources link_map elf macho account findings content exports",
        "loading": "elf macho .",
    },
    {"without_code": ""},
    {"check": "", "replaced": "", "listing": "symbols elf macho uses_elf uses_macho patch files selection"},
    {
        "reach": "labels code .",
        "explain": "",
        "compileplan": (
            "c_options rust_options ninja_deps c_command rust_command compile_commands units host_link "
            "members notes selection recompile"
        ),
    },
    {"compared": ""},
    {"abandoned": ""},
    {"registers": "access program changed live past signatures ."},
    {"jumptable": ". formats"},
    {"linker": ""},
    {"kept_files": ""},
    {"link_steps": ""},
    {"link": ""},
    {
        "generations": "state lock redirections relinking telling opening relying tables linking undoing",
        "patching": "",
        "report": ".",
    },
    {
        "commands": (
            ". options explained build plan check jumptable reach sessions link session explain recompile patch "
            "contents inspect verify capture captures cache"
        )
    },
    {"serve": ". frames messages methods server command"},
    {"parsing": "", "plain_parsing": "", "progress": ""},
    {"cli": ""},
    {"completion": ""},
    {"__main__": ""},
)
"""From the bottom up: the packages and modules of ``stubgen/``, and each package's modules in their own order.

A module imports from lower levels and, in its own package, what stands before it. ``.`` is the package's own
``__init__``, where it imports anything; two packages on one level do not know each other.
"""

ROOT_MODULE = "stubgen"
"""``stubgen/__init__.py``: imports any public module when its name is asked for; of it, others import this alone."""
ROOT_NAMES = frozenset({"__version__"})


def modules() -> dict[str, Path]:
    """Dotted name, without ``stubgen.`` -> file; a package is called by its own name."""
    found = {}
    for folder, folders, files in os.walk(ROOT / "stubgen", followlinks=True):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for file in files:
            if file.endswith(".py"):
                parts = Path(folder, file).relative_to(ROOT / "stubgen").with_suffix("").parts
                found[".".join(parts).removesuffix("__init__").rstrip(".") or ROOT_MODULE] = Path(folder, file)
    return found


MODULES = modules()


def places() -> dict[str, tuple[int, str, int]]:
    """Module -> its level, its package, and where in the package it stands."""
    found: dict[str, tuple[int, str, int]] = {}
    for level, packages in enumerate(LEVELS):
        for package, listed in packages.items():
            found[package] = (level, package, -1)  # an __init__ that imports nothing
            for position, name in enumerate(listed.split()):
                found[package if name == "." else f"{package}.{name}"] = (level, package, position)
    return found


def imports(path: Path) -> Iterator[str]:
    """The project's own modules that *path* imports, anywhere in it: in functions and for type checkers as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import, which this test does not read"
            base = node.module or ""
            if base.partition(".")[0] == "stubgen":
                for alias in node.names:
                    full = f"{base}.{alias.name}".removeprefix("stubgen.")
                    if full in MODULES:
                        yield full
                    elif base != "stubgen":
                        yield base.removeprefix("stubgen.")
                    elif alias.name not in ROOT_NAMES:
                        yield ROOT_MODULE
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "stubgen":
                    yield alias.name.removeprefix("stubgen.")


def test_every_module_has_its_place() -> None:
    """A module that nobody placed may import anything, and soon does."""
    assert set(places()) == set(MODULES) - {ROOT_MODULE}


def reaches_up(importer: str, imported: str) -> bool:
    """Whether an arrow from *importer* to *imported* points up, or across."""
    known = places()
    if imported not in known:
        return True
    level, package, position = known[importer]
    other_level, other_package, other_position = known[imported]
    if package == other_package:
        return other_position >= position
    return other_level >= level


@pytest.mark.parametrize("module", sorted(set(MODULES) - {ROOT_MODULE}))
def test_arrows_point_down(module: str) -> None:
    """Each part takes what lies below it; an arrow up makes a circle that nobody can understand in pieces."""
    wrong = sorted({other for other in imports(MODULES[module]) if reaches_up(module, other)})
    assert not wrong, f"{module} reaches up, or across, to {wrong}"


def test_the_test_sees_arrows_that_point_up(tmp_path: Path) -> None:
    """An import in a function, for type checkers or of a whole package is an arrow like any other."""
    path = tmp_path / "module.py"
    for text, module in (
        ("def f():\n    from stubgen.serve.server import Server\n", "serve.server"),
        ("def f():\n    import stubgen.commands.link\n", "commands.link"),
        ("if TYPE_CHECKING:\n    from stubgen import link\n", "link"),
        ("from stubgen.serve import server as s\n", "serve.server"),
        ("from stubgen import link_patch\n", ROOT_MODULE),
    ):
        path.write_text(text)
        assert list(imports(path)) == [module]
        assert reaches_up("stub.trampoline", module)
    assert not reaches_up("stub.emit", "stub.trampoline")
    assert reaches_up("stub.trampoline", "stub.emit")
    assert reaches_up("elf.reader", "macho.reader")


IMPORTERS = {
    ROOT_MODULE: "its public names",
    "cli": "the command that was asked for",
    "policies": "a builder's policy",
    "serve.methods": "the commands",
    "stub.libraries": "Keystone and Capstone",
}
"""Who imports by a name that is made as it runs, which no arrow shows: module -> what."""


def test_few_import_what_no_arrow_shows() -> None:
    """An import whose name is a value is one that this file cannot hold to its level."""
    found = set()
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in ("import_module", "__import__", "exec", "eval", "run_module"):
                found.add(module)
    assert found == set(IMPORTERS)


def test_names_are_judged_in_one_place() -> None:
    """A second place that judges names lets a variable be kept here and refused there: the patch then has two of it."""
    judges = {module for module, path in MODULES.items() if "symbols.numbering" in imports(path)}
    # of variables, of functions, of what functions that are compared refer to, of functions and variables that are gone
    assert judges == {"resolve.keep_state", "replaced", "compare.equality", "compare.removed", "resolve.renamed"}


def test_the_formats_have_one_import_name() -> None:
    """PyPI has a package called elf: whatever of ours were called so would break it, or be broken by it."""
    for folder in ("stubgen", "elf", "macho", "tests", "benches", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert not {name.partition(".")[0] for name in names} & {"elf", "macho"}, path


def test_formats_are_twins() -> None:
    """Who knows one knows the other: same modules, and the same public functions in the same order."""
    assert {path.name for path in (ROOT / "stubgen/elf").glob("*.py")} == {
        path.name for path in (ROOT / "stubgen/macho").glob("*.py")
    }
    for module in ("reader.py", "writer.py", "relocations.py", "unwind.py"):
        elf, macho = functions(ROOT / "stubgen/elf" / module), functions(ROOT / "stubgen/macho" / module)
        common = [name for name in elf if name in macho]
        assert common == [name for name in macho if name in elf], module
        assert len(common) >= {"reader.py": 12, "writer.py": 2, "relocations.py": 3, "unwind.py": 1}[module], common


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


CLOCKS = {"perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "thread_time", "timeit", "getrusage"}


def test_no_test_measures_time() -> None:
    """On a busy machine such a test fails for nobody's fault, and on a fast one it lets anything through."""
    for path in (ROOT / "tests").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        used |= {alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
        assert not used & CLOCKS, f"{path.name}: count calls or steps instead (counting.py)"
