"""What is installed: one top-level name, complete and beside others, from a wheel, an sdist or a bare clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from email import message_from_string
from pathlib import Path

import pytest
from synthetic import BASE, Sym, elf_host, elf_object, put, undefined
from test_architecture import MODULES, ROOT_MODULE
from tools import REQUIRED, need_pip_for, other_pythons

import stubgen

ROOT = Path(__file__).parent.parent
MADE = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".*_cache",
    ".hypothesis",
    ".demo",
    ".bench",
    "__pycache__",
    "build",
    "dist",
    "*.egg-info",
    "target",
)
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
BUILD = ["build", "--host", "host", "--slide", "0x1000", "-o", "stub.o", "patch.o"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run(command: Sequence[str | os.PathLike[str]], cwd: Path) -> subprocess.CompletedProcess[str]:
    """What *command* prints, in an environment that knows nothing of this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels from the package index: PyPI's ``elf``, and what builds and runs ours."""
    folder = tmp_path_factory.mktemp("index")
    wanted = ["elf", "capstone>=5.0", "setuptools>=77"]
    command = [*PIP, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, *wanted]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        assert not REQUIRED, done.stderr
        pytest.skip("no package index can be reached, or there is no pip here")
    return folder


@pytest.fixture(scope="module")
def built(index: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Our wheel and sdist, made from a copy of the checkout, and what their making said."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "clone", symlinks=True, ignore=MADE)
    python = environment(folder / "venv")
    run([*PIP, "--python", python, "install", "--quiet", "--no-index", "--find-links", index, "setuptools"], folder)
    said = ""
    for kind in ("sdist", "wheel"):
        program = f"from setuptools import build_meta as b; b.build_{kind}({str(folder)!r})"
        done = run([python, "-W", "default", "-c", program], folder / "clone")
        said += done.stdout + done.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist, said


def environment(folder: Path) -> Path:
    """The interpreter of a new, empty virtual environment."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
    return folder / "bin/python"


def install(python: Path, index: Path, *packages: str | os.PathLike[str]) -> None:
    """Install *packages* and nothing that they depend on."""
    run(
        [*PIP, "--python", python, "install", "--quiet", "--no-deps", "--no-index", "--find-links", index, *packages],
        ROOT,
    )


def files(folder: Path) -> Path:
    """A host and an object that calls it, in *folder*."""
    put(folder, "host", elf_host([Sym("main", BASE + 0x100), Sym("f", BASE + 0x140)]))
    put(folder, "patch.o", elf_object([undefined("f")]))
    return folder


def stub(folder: Path) -> bytes:
    """What this checkout writes for them."""
    return stubgen.create_undefined_symbol_stub(folder / "host", [folder / "patch.o"], slide=0x1000)


def test_the_wheel_has_one_name_and_every_module(built: tuple[Path, Path, str]) -> None:
    """A second top-level name overwrites somebody else's package; a module left out is found missing by a user."""
    with zipfile.ZipFile(built[0]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in names} == {"stubgen"}
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".").removeprefix("stubgen.")
        for name in names
        if name.endswith(".py")
    }
    assert modules == set(MODULES) | {ROOT_MODULE}
    assert "stubgen/py.typed" in names


def test_the_metadata_is_what_indexes_take(built: tuple[Path, Path, str]) -> None:
    """Indexes refuse what they deprecated, on the day of the release."""
    assert "eprecat" not in built[2]
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(wheel.read(name).decode())
    assert metadata["License-Expression"] == "MIT"
    assert not [value for value in metadata.get_all("Classifier", []) if value.startswith("License")]
    assert {value.partition(",")[0] for value in metadata.get_all("Project-URL", [])} >= {"Source", "Changelog"}
    assert metadata["Version"] == stubgen.__version__


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_beside_the_package_called_elf(built: tuple[Path, Path, str], index: Path, tmp_path: Path, first: str) -> None:
    """Whichever of the two was installed last used to break the other, without a word."""
    python = environment(tmp_path / "venv")
    packages: list[str | os.PathLike[str]] = ["elf", built[0]]
    for package in packages if first == "theirs" else packages[::-1]:
        install(python, index, package)
    install(python, index, "capstone")
    where = (
        "import importlib.util as u; print(u.find_spec('elf').origin, u.find_spec('macho'), u.find_spec('stubgen.elf'))"
    )
    origin, macho, ours = run([python, "-c", where], tmp_path).stdout.split(" ", 2)
    assert (Path(origin).parent.name, macho) == ("elf", "None")
    assert "stubgen/elf" in ours
    with zipfile.ZipFile(next(index.glob("elf-*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith("elf/"):
                assert (Path(origin).parent.parent / name).read_bytes() == wheel.read(name)
    run([tmp_path / "venv/bin/hotpatch-stubgen", *BUILD], files(tmp_path))
    assert (tmp_path / "stub.o").read_bytes() == stub(tmp_path)


@pytest.mark.parametrize("version", other_pythons())
def test_the_wheel_on_other_pythons(built: tuple[Path, Path, str], index: Path, tmp_path: Path, version: str) -> None:
    """Syntax or a library that one of them lacks is found by whoever runs that one; the source is not in reach."""
    need_pip_for(version)
    run([other_pythons()[version], "-W", "error", "-m", "venv", "--without-pip", tmp_path / "venv"], tmp_path)
    python = tmp_path / "venv/bin/python"
    install(python, index, built[0], "capstone")
    assert run([python, "-c", "import sys; print(sys.version_info[1])"], tmp_path).stdout.strip() == version[2:]
    run([python, "-W", "error", "-I", "-m", "stubgen", *BUILD], files(tmp_path))
    assert (tmp_path / "stub.o").read_bytes() == stub(tmp_path)
    told = run([python, "-W", "error", "-I", "-m", "stubgen", "inspect", "stub.o"], tmp_path).stdout
    assert "0x" in told
    run([python, "-W", "error", "-I", "-c", "import stubgen; [getattr(stubgen, n) for n in dir(stubgen)]"], tmp_path)


def files_of_tests(folder: Path) -> set[Path]:
    """The files of the tests in *folder*, relative to it."""
    found = (path for path in (folder / "tests").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder) for path in found}


def test_an_sdist_runs_its_tests(built: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Distributions build from the sdist and run its tests; a file that it lacks stops them."""
    run(["tar", "-xf", built[1]], tmp_path)
    (folder,) = tmp_path.iterdir()
    for name in ("Makefile", "docs/protocol.md", "examples/demo/__main__.py", "benches/__main__.py", ".ci/run"):
        assert (folder / name).is_file(), name
    assert files_of_tests(ROOT) == files_of_tests(folder)
    chosen = ["test_architecture.py", "test_bytes_stay.py", "test_cli.py", "formats/test_writers.py"]
    tests = [f"tests/{name}" for name in chosen]
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], folder)
    assert " passed" in done.stdout


def test_a_bare_clone_on_the_path(index: Path, tmp_path: Path) -> None:
    """Vendored and submodule use: no install, only a folder on sys.path."""
    python = environment(tmp_path / "venv")
    install(python, index, "capstone")
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from stubgen.cli import main; sys.exit(main({BUILD!r}))"
    run([python, "-I", "-c", program], files(tmp_path))
    assert (tmp_path / "stub.o").read_bytes() == stub(tmp_path)
