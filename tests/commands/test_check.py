"""``check`` on the command line: what the stubs are held against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.cli import main
from stubgen.host import open_host

SLIDE = 0x5500000000
HOST = "int host_f(int x) { return x + 1; } int main(void) { return host_f(1); }"
PATCH = "int host_f(int); int patch_main(int x) { return host_f(x); }"


class Program:
    """A host and a linked patch whose stub branches into the host, or into an earlier patch."""

    def __init__(self, folder: Path) -> None:
        gcc = str(need("aarch64-linux-gnu-gcc"))
        (folder / "host.c").write_text(HOST)
        (folder / "patch.c").write_text(PATCH)
        run([gcc, "-pie", "-o", "host", "host.c"], cwd=folder)
        run([gcc, "-O1", "-fPIC", "-c", "patch.c"], cwd=folder)
        self.folder, self.host, self.gcc = folder, str(folder / "host"), gcc
        image = open_host(self.host).image
        self.main = image.find([b"main"])[b"main"][0].address

    def patch(self, **options: object) -> str:
        """The patch, linked for *options*."""
        built = StubBuilder(self.host).build([self.folder / "patch.o"], slide=SLIDE, **options)  # type: ignore[arg-type]
        (self.folder / "stub.o").write_bytes(built.stub.content)
        run([self.gcc, "-shared", "-o", "patch.so", "patch.o", "stub.o"], cwd=self.folder)
        return str(self.folder / "patch.so")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A fresh one."""
    return Program(tmp_path)


@pytest.mark.parametrize(("slide", "status"), [(SLIDE, 0), (SLIDE + 0x1000, 1)])
def test_a_given_slide(program: Program, slide: int, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Who builds with ``--slide`` has no anchor's address to check with, and must not lose the check of the slide."""
    assert main(["check", program.patch(), "--host", program.host, "--slide", hex(slide)]) == status
    assert ("branches to" in capsys.readouterr().out) is bool(status)


def test_an_earlier_patch(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """A patch of a patched program calls the earlier patch: the check must not call that wrong, or miss a wrong one."""
    base = 0x7F12340000
    (program.folder / "map.json").write_text(json.dumps({"schema": 1, "functions": {"host_f": 0x640}}))
    patch = program.patch(overrides={"host_f": base + 0x640})
    check = ["check", patch, "--host", program.host, "--aslr-reference", hex(SLIDE + program.main)]
    assert main([*check, "--override", f"{program.folder / 'map.json'}@{base:#x}"]) == 0
    assert main([*check, "--override", f"{program.folder / 'map.json'}@{base + 0x1000:#x}"]) == 1
    assert "where an earlier patch replaced it" in capsys.readouterr().out
    assert main(check) == 1


WRONG = {
    "anchor alone": (["--anchor", "main"], "--anchor says nothing without the address"),
    "anchor and slide": (["--anchor", "main", "--slide", "0"], "--anchor says nothing without the address"),
    "both": (["--aslr-reference", "0x1000", "--slide", "0"], "or the slide (--slide), not both"),
    "override without base": (["--override", "map.json"], "give the map and where that patch is loaded"),
}


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=list(WRONG))
def test_wrong_options(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that would be ignored makes people believe that something was checked."""
    assert main(["check", "patch.so", "--host", "host", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_an_export_that_is_no_text(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """Symbol names are bytes; one that is not UTF-8 is missing, not a traceback."""
    assert main(["check", program.patch(), "--host", program.host, "--export", "f\udcff"]) == 1
    assert "cannot be found by dlsym" in capsys.readouterr().out
