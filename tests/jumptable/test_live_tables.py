"""A running program that redirects by a jump table takes the patch's functions, and keeps what did not change."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, stubgen
from live.test_elf import LINKERS, link_host
from tools import PROGRAMS, need, run

from examples.driver import EXAMPLES, Runtime

GCC = "aarch64-linux-gnu-gcc"
RUNTIME = EXAMPLES / "runtime_c"
EXPORTED = "-Wl,--export-dynamic-symbol=main"


class Program(NamedTuple):
    """A linked host, the record of its link, and a folder for patches."""

    host: Path
    captured: Path
    folder: Path

    def edited(self, before: str, after: str) -> Path:
        """The object of the program's file with *before* changed to *after*."""
        text = (PROGRAMS / "table_app.c").read_text()
        assert before in text
        source = self.folder / "edit" / "table_app.c"
        source.parent.mkdir(exist_ok=True)
        source.write_text(text.replace(before, after))
        run([str(need(GCC)), "-c", "-O1", "-fPIC", "-ffunction-sections", source, "-o", source.with_suffix(".o")])
        return source.with_suffix(".o")

    def link(self, patch: Path, output: str, anchor: int, *options: object) -> dict[str, object]:
        """Link a patch with its jump table; the command's JSON document."""
        done = stubgen(
            *("link", "--json", "--host", self.host, "--captured", self.captured, "--aslr-reference", hex(anchor)),
            *("--keep-state", "--jump-table", self.folder / "table.json", "--table-format", "pairs", *options),
            *("-o", self.folder / output, patch),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document


def compile_objects(folder: Path, *options: str) -> dict[str, Path]:
    """The objects of the program, of the examples' runtime and of what connects them."""
    sources = {name: PROGRAMS / f"{name}.c" for name in ("hot_runtime", "table_app")} | {"hot": RUNTIME / "hot.c"}
    objects = {name: folder / f"{name}.o" for name in sources}
    for name, source in sources.items():
        always = ["-c", "-O1", "-fPIC", "-ffunction-sections", "-I", RUNTIME]
        run([str(need(GCC)), *always, *options, source, "-o", objects[name]])
    return objects


@pytest.fixture(params=LINKERS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """The runtime and the program, linked by each linker in turn."""
    return Program(*link_host(tmp_path, compile_objects(tmp_path), request.param, EXPORTED), tmp_path)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """The socket of programs that are started from now on."""
    with tempfile.TemporaryDirectory(prefix="hot-") as folder:
        monkeypatch.setenv("HOT_SOCKET", f"{folder}/socket")
        yield Runtime(f"{folder}/socket")


def test_the_edited_function_is_reached_through_its_callers(program: Program, runtime: Runtime) -> None:
    """The runtime looks ``step`` up; what was edited lies two calls below it."""
    with LiveHost(program.host) as live:
        assert live.tell("call 1") == "1107"
        document = program.link(program.edited("n < 3 ? 2 : 3", "n < 3 ? 20 : 3"), "patch.so", live.anchor)
        assert document["status"] == 0, document
        assert runtime.anchor() == hex(live.anchor)
        assert int(runtime.take((program.folder / "table.json").read_bytes()), 16)
        assert live.tell("call 1") == "2125"  # the counter went on, and 20 is the new rate
        live.end()
    changes = {name: row for row in document["changes"] for name in row["names"]}  # type: ignore[attr-defined]
    assert changes["unrelated"]["change"] == "unchanged"
    assert not changes["unrelated"]["leads_to_change"]
    assert changes["step"]["leads_to_change"]
    assert {entry["name"] for entry in document["jump_table"]} == {"tax", "price", "step"}  # type: ignore[attr-defined]


def test_formats(program: Program) -> None:
    """Each runtime finds the same addresses in its own form."""
    patch, tables = program.edited("+ 100", "+ 300"), {}
    with LiveHost(program.host) as live:
        anchor = live.anchor
        live.end()
    for name in ("subsecond", "pairs", "whisker", "devserver", "whisker-frame"):
        options = [
            "--table-format",
            name,
            "--lib",
            "/data/patch-1.so",
            *(["--pid", "77"] if name == "devserver" else []),
        ]
        assert program.link(patch, "patch.so", anchor, *options)["status"] == 0
        tables[name] = (program.folder / "table.json").read_bytes()
    first = json.loads(tables["subsecond"])
    assert list(first) == ["lib", "map", "aslr_reference", "new_base_address", "ifunc_count"]
    assert first["lib"] == "/data/patch-1.so"
    pairs = sorted([int(old), new] for old, new in first["map"].items())
    assert sorted(json.loads(tables["whisker"])["map"]) == pairs
    functions = json.loads(tables["pairs"])["functions"]
    assert sorted([row["old"], row["new"]] for row in functions) == pairs
    message = json.loads(tables["devserver"])["HotReload"]
    assert message["for_pid"] == 77
    assert message["jump_table"] == first
    (length,) = struct.unpack(">Q", tables["whisker-frame"][:8])
    header = json.loads(tables["whisker-frame"][8 : 8 + length])
    assert header["kind"] == "patch"
    assert header["table"] == json.loads(tables["whisker"])
    assert tables["whisker-frame"][8 + length :] == (program.folder / "patch.so").read_bytes()


def test_a_patch_that_exists_gets_the_same_table(program: Program) -> None:
    """Who linked a patch earlier need not link it again for its table."""
    patch = program.edited("+ 100", "+ 300")
    with LiveHost(program.host) as live:
        document = program.link(patch, "patch.so", live.anchor, "--stub", program.folder / "stub.o")
        live.end()
    assert document["status"] == 0, document
    done = stubgen(
        *("jumptable", "--host", program.host, program.folder / "patch.so", "--object", patch),
        *("--stub", program.folder / "stub.o", "--table-format", "pairs", "-o", program.folder / "again.json"),
    )
    assert done.returncode == 0, done.stderr
    assert (program.folder / "again.json").read_text() == (program.folder / "table.json").read_text()


def test_a_host_without_the_anchor_is_refused(tmp_path: Path) -> None:
    """Its runtime would report address 0; the option that helps is in the message."""
    program = Program(*link_host(tmp_path, compile_objects(tmp_path), next(iter(LINKERS))), tmp_path)
    with LiveHost(program.host) as live:
        document = program.link(program.edited("+ 100", "+ 300"), "patch.so", live.anchor)
        live.end()
    assert document["status"] == 1
    assert "--export-dynamic-symbol=main" in str(document)
    assert not (tmp_path / "patch.so").exists()
    assert not (tmp_path / "table.json").exists()


def test_a_strict_table_is_whole_or_refused(tmp_path: Path) -> None:
    """Two files of the host have the edited function's name, and nothing says which is meant: it would stay old."""
    twin = tmp_path / "twin" / "table_app.c"
    twin.parent.mkdir()
    twin.write_text("__attribute__((noinline, used)) static int tax(int n) { return -n; }\n")
    objects = {**compile_objects(tmp_path), "twin": tmp_path / "twin.o"}
    run([str(need(GCC)), "-c", "-O1", "-fPIC", twin, "-o", objects["twin"]])
    program = Program(*link_host(tmp_path, objects, next(iter(LINKERS)), EXPORTED, "-Wl,--no-gc-sections"), tmp_path)
    patch = program.edited("n < 3 ? 2 : 3", "n < 3 ? 20 : 3")
    with LiveHost(program.host) as live:
        refused = program.link(patch, "patch.so", live.anchor, "--strict")
        written = [name for name in ("patch.so", "table.json") if (tmp_path / name).exists()]
        told = program.link(patch, "patch.so", live.anchor)
        live.end()
    assert refused["status"] == 1
    assert "tax" in str(refused["error"])
    assert written == []
    assert [row["name"] for row in told["left_out"]] == ["tax"]  # type: ignore[attr-defined]
