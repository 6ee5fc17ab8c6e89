"""What each command loads: modules, which are the same on a busy machine, instead of milliseconds.

``tests/import_budget.txt`` names for each command the modules that it may load beside those that Python itself has
loaded when it starts. ``python tests/test_import_budget.py`` writes it anew, for whoever has a reason for more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import capstone
import pytest
from tools import need, run

ROOT = Path(__file__).parent.parent
BUDGET = Path(__file__).with_name("import_budget.txt")
HOST = ["--host", "host", "--slide", "0x5500000000"]
PACKAGES = os.pathsep.join([str(ROOT), str(Path(capstone.__file__).parents[1])])

COMMANDS = {
    "plan": ["plan", "--object", "patch.o", "-o", "p.so", "--", "aarch64-linux-gnu-gcc", "host.o", "-lm", "-o", "host"],
    "capture": ["capture", "--dir", "records", "--", "true", "-o", "host"],
    "build": ["build", *HOST, "-o", "stub.o", "patch.o"],
    "link": ["link", *HOST, "--captured", "captured", "-o", "linked.so", "patch.o"],
    "check": ["check", "patch.so", "--host", "host"],
    "verify": ["verify", "known.o"],
    "inspect": ["inspect", "known.o"],
    "recompile": ["recompile", "--captured", "captured", "-o", "new", "patch.c"],
    "patch": ["patch", *HOST, "--captured", "captured", "--changed", "patch.c", "-o", "patched.so"],
    "serve": ["serve"],
}
"""Command -> its words, in the folder that :func:`project` makes."""

SPY = """
import builtins, os, sys
sys.path[:0] = {paths!r}
known, importers, load = set(sys.modules), dict(), builtins.__import__
def spy(name, scope=None, locals=None, names=(), level=0):
    scope = scope or dict()
    above = scope.get("__package__", "").rsplit(".", level - 1)[0] + "." if level else ""
    module = (above + name).rstrip(".")
    for wanted in (module.partition(".")[0], module, *[f"{{module}}.{{each}}" for each in names or ()]):
        if wanted not in sys.modules:
            importers.setdefault(wanted, scope.get("__name__", "?"))
    return load(name, scope, locals, names, level)
def end(status):
    builtins.__import__ = load
    with open({report!r}, "w") as file:
        file.writelines(f"{{name}} {{importers.get(name, 'importlib')}}\\n" for name in set(sys.modules) - known)
    leave(status)
leave, os._exit, builtins.__import__ = os._exit, end, spy
sys.argv = ["hotpatch-stubgen", *{words!r}]
from stubgen.__main__ import run
run()
"""
"""Notes which module was first imported by which, and runs a command as the console script does."""


def project(folder: Path) -> None:
    """A host whose compile and link were captured, an edited object of it, and what the commands read."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    (folder / "host.c").write_text(
        "int helper(void) { return 1; }\nint changed(void);\nint main(void) { return changed(); }\n"
    )
    (folder / "patch.c").write_text("int helper(void);\nint changed(void) { return helper(); }\n")
    environment = {**os.environ, "STUBGEN_CAPTURE_DIR": str(folder / "captured"), "PYTHONPATH": str(ROOT)}
    launcher = [sys.executable, "-c", "from stubgen.capture import compiler_main; compiler_main()", compiler]
    for words in (["-fPIE", "-c", "host.c"], ["-fPIE", "-c", "patch.c"], ["-pie", "host.o", "patch.o", "-o", "host"]):
        subprocess.run([*launcher, *words], check=True, cwd=folder, env=environment)
    run([compiler, "-fPIC", "-c", "patch.c", "-o", "patch.o"], cwd=folder)
    for words in (["build", *HOST, "-o", "known.o", "patch.o"], COMMANDS["link"]):
        modules(folder, words)  # from here on the instructions of its stubs are known
    (folder / "linked.so").rename(folder / "patch.so")


def modules(folder: Path, words: list[str]) -> Mapping[str, str]:
    """The modules that the command *words* loads -> the one that imported each first."""
    report = folder / "modules"
    program = SPY.format(paths=PACKAGES.split(os.pathsep), report=str(report), words=words)
    environment = {**os.environ, "STUBGEN_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        # -S: the import hook of an editable install has imports of its own
        [sys.executable, "-IS", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        input="",
        cwd=folder,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pairs = [line.split(" ") for line in report.read_text().splitlines()]
    return {short(module): short(importer) for module, importer in pairs if not is_internal(module)}


def short(module: str) -> str:
    """*module*, ours as ``.linkplan.tokens``."""
    return "." + module.removeprefix("stubgen").removeprefix(".") if module.partition(".")[0] == "stubgen" else module


def is_internal(module: str) -> bool:
    """Whether *module* is an implementation's detail: what is written in C behind another one, codecs."""
    return any(part.startswith("_") and part != "__future__" for part in module.split(".")) or "encodings" in module


def budget() -> dict[str, list[str]]:
    """Command -> the modules that it may load."""
    paragraphs = [paragraph.split() for paragraph in BUDGET.read_text().split("\n\n")]
    return {command.removesuffix(":"): names for command, *names in paragraphs}


def beyond(loaded: Mapping[str, str], allowed: Iterable[str]) -> list[str]:
    """A sentence for each module that is *loaded* and not *allowed*; Pythons differ in what theirs load."""
    more = set(loaded) - set(allowed)
    if sys.version_info[:2] != (3, 11):
        more = {name for name in more if name.startswith(".")}
    return [f"{name} is new, and {loaded[name]} imports it" for name in sorted(more)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the commands run."""
    path = tmp_path_factory.mktemp("budget")
    project(path)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_loads_what_its_budget_names(folder: Path, command: str) -> None:
    """People run this on every save: an import that a command does not use is paid each time."""
    assert not beyond(modules(folder, COMMANDS[command]), budget()[command])


def test_what_is_new_is_named_with_its_importer(folder: Path) -> None:
    """A module that crept in is found by who asked for it: there are hundreds, and most are not ours."""
    loaded = modules(folder, COMMANDS["plan"])
    allowed = set(budget()["plan"]) - {"zlib"}
    assert beyond(loaded, allowed) == ["zlib is new, and .linkplan.additions imports it"]


def write_budget() -> None:
    """Have the budget be what the commands load now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder)
        loaded = {command: sorted(modules(folder, words)) for command, words in COMMANDS.items()}
    wrapped = [
        textwrap.fill(f"{command}: {' '.join(names)}", 120, subsequent_indent="  ", break_on_hyphens=False)
        for command, names in loaded.items()
    ]
    BUDGET.write_text("\n\n".join(wrapped) + "\n")


if __name__ == "__main__":
    write_budget()
