"""``link --map`` and ``check --map``: where everything in a patch comes from, for people and programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools import need, run

from stubgen.capture import record

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host, a patch object and the record of the host's link, in the working directory."""
    compiler = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "host.c").write_text("int helper(void) { return 1; } int main(void) { return helper(); }\n")
    (tmp_path / "patch.c").write_text("int helper(void); int changed(void) { return helper(); }\n")
    run([compiler, "-fPIE", "-pie", tmp_path / "host.c", "-o", tmp_path / "host"])
    run([compiler, "-fPIC", "-c", tmp_path / "patch.c", "-o", tmp_path / "patch.o"])
    record([compiler, "host.o", "-o", "host"], tmp_path / "captured", directory=str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stubgen(*words: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "stubgen", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def link(*options: str, captured: str = "captured") -> subprocess.CompletedProcess[str]:
    """A link of the project's patch."""
    return stubgen(
        *("link", "--host", "host", "--slide", "0x5500000000", "--captured", captured, "-o", "patch.so", "patch.o"),
        *options,
    )


def origins(document: dict[str, object]) -> dict[str, str]:
    """Name -> file or kind of its origin, of the definitions in an account."""
    definitions = document["definitions"]
    assert isinstance(definitions, list)
    return {item["name"]: item["origin"]["file"] or item["origin"]["kind"] for item in definitions}


def test_the_map_names_every_definition(project: Path) -> None:
    """A builder shows its user which of two functions of one name is in the patch."""
    done = link("--map", "map.json")
    assert done.returncode == 0, done.stderr
    document = json.loads((project / "map.json").read_text())
    assert (document["schema"], document["command"], document["patch"]) == (1, "link", "patch.so")
    assert document["from_link_map"] is True
    named = origins(document)
    assert named["changed"] == "patch.o"
    assert named["helper"] == "stub.o"
    assert os.path.basename(named["frame_dummy"]) == "crtbeginS.o"
    (helper,) = (item for item in document["definitions"] if item["name"] == "helper")
    assert [(candidate["kind"], candidate["local"]) for candidate in helper["host"]] == [("function", False)]
    text = next(section for section in document["sections"] if section["name"] == ".text")
    assert sum(part["size"] for part in text["parts"]) <= text["size"]


def test_the_json_documents_have_the_same_account(project: Path) -> None:
    """One reader serves the file, the command's document and the server's answer."""
    done = link("--map", "map.json", "--json")
    account = json.loads(done.stdout)["check"]["account"]
    written = json.loads((project / "map.json").read_text())
    assert account == {name: value for name, value in written.items() if name in account}
    findings = json.loads(done.stdout)["check"]["findings"]
    assert {"check", "ok", "note", "message", "names"} == set(findings[0])


def test_the_plan_and_the_command_show_no_map_option(project: Path) -> None:
    """What people paste into a shell must not write into a temporary folder that is gone."""
    document = json.loads(link("--json").stdout)
    assert not [word for word in document["link_command"] if "map" in word.lower()]
    assert sorted(os.listdir(project)) == sorted(["captured", "host", "host.c", "patch.c", "patch.o", "patch.so"])


def test_a_linker_that_knows_no_map_file(project: Path) -> None:
    """A wrapper that rejects -Map links as before, and the inputs tell instead."""
    wrapper = project / "linker" / "gcc"
    wrapper.parent.mkdir()
    real = shutil.which("aarch64-linux-gnu-gcc")
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *-Map*) echo "gcc: unrecognized option -Map" >&2; exit 1;; esac\nexec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    record([str(wrapper), "host.o", "-o", "host"], project / "wrapped", directory=str(project))
    done = link("--map", "map.json", captured="wrapped")
    assert done.returncode == 0, done.stderr
    document = json.loads((project / "map.json").read_text())
    assert document["from_link_map"] is False
    assert origins(document)["changed"] == "patch.o"


@pytest.mark.parametrize("output", ["host", "patch.o", "patch.so"])
def test_link_writes_no_map_over_another_file(project: Path, output: str) -> None:
    """A slip of the finger must not cost the host its file."""
    before = (project / "host").read_bytes(), (project / "patch.o").read_bytes()
    done = link("--map", output)
    assert done.returncode == 2
    assert "name another file" in done.stderr or "would overwrite" in done.stderr
    assert before == ((project / "host").read_bytes(), (project / "patch.o").read_bytes())
    assert not (project / "patch.so").exists()


@pytest.mark.parametrize("output", ["host", "patch.so", "patch.o", "stub.o", "link.map"])
def test_check_writes_no_map_over_an_input(project: Path, output: str) -> None:
    """The linker's own map and ours are two files."""
    assert link("--stub", "stub.o").returncode == 0
    (project / "link.map").write_text("")
    inputs = ["--object", "patch.o", "--stub", "stub.o", "--link-map", "link.map"]
    before = (project / output).read_bytes()
    done = stubgen("check", "patch.so", "--host", "host", *inputs, "--map", output)
    assert done.returncode == 2
    assert f"--map {output} would overwrite the input {output}" in done.stderr
    assert (project / output).read_bytes() == before


def test_check_takes_the_inputs(project: Path) -> None:
    """A patch that somebody else linked is held against its objects."""
    assert link("--stub", "stub.o").returncode == 0
    done = stubgen(
        *("check", "patch.so", "--host", "host", "--object", "patch.o", "--stub", "stub.o", "--map", "map.json")
    )
    assert done.returncode == 0, done.stdout
    named = origins(json.loads((project / "map.json").read_text()))
    assert named["changed"] == "patch.o"
    assert named["helper"] == "stub.o"
    done = stubgen("check", "patch.so", "--host", "host", "--object", "host.c")
    assert done.returncode == 3
    assert "host.c: is C source: compile it first" in done.stderr


@pytest.mark.parametrize("content", ["", "no map at all\n", "VMA LMA Size Align Out In Symbol\n"])
def test_a_file_that_is_no_map_is_said_so(project: Path, content: str) -> None:
    """With a wrong file for the linker's map every definition seemed to come from nowhere, and the patch was blamed."""
    assert link("--stub", "stub.o").returncode == 0
    (project / "other.map").write_text(content)
    done = stubgen(*("check", "patch.so", "--host", "host", "--object", "patch.o", "--link-map", "other.map"))
    assert done.returncode == 3
    assert "other.map: is no map file of this patch's link: it names no input of it" in done.stderr


def test_a_map_that_cannot_be_written_leaves_nothing(project: Path) -> None:
    """Half a document would be read as a whole one."""
    done = link("--map", "/dev/full")
    assert done.returncode == 5
    assert "No space left on device" in done.stderr
