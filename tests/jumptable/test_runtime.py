"""The examples' runtime in C: what it refuses, and that tables change while code is called through them."""

from __future__ import annotations

import json
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jumptable.test_live_tables import EXPORTED, Program, compile_objects, runtime
from live.live import LiveHost
from live.test_elf import link_host
from tools import need, run, rustc

from examples.driver import EXAMPLES, Runtime
from stubgen.host import open_host

__all__ = ["runtime"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program, linked once."""
    folder = tmp_path_factory.mktemp("program")
    return Program(*link_host(folder, compile_objects(folder), "lld", EXPORTED), folder)


def test_threads_see_the_old_function_or_the_new_one(program: Program, runtime: Runtime) -> None:
    """A table that is changed where it lies sends a thread to an address of half a pair."""
    with LiveHost(program.host) as live:
        tables = []
        for number in (1, 2):
            patch = program.edited("+ 100;", "+ 300;")
            assert program.link(patch, f"patch-{number}.so", live.anchor)["status"] == 0
            tables.append((program.folder / "table.json").read_bytes())
        empty = json.dumps(json.loads(tables[0]) | {"functions": []}).encode()
        assert live.tell("spin") == "spinning"
        for _ in range(10):
            for table in (*tables, empty):
                runtime.take(table)
                time.sleep(0.01)
        assert live.tell("spun") == "0 wrong"
        runtime.take(tables[1])
        assert live.tell("call 1") == "1307"
        live.end()


def test_what_is_refused(program: Program, runtime: Runtime, tmp_path: Path) -> None:
    """The program goes on as it was, and the sender is told why."""
    with LiveHost(program.host) as live:
        assert program.link(program.edited("+ 100;", "+ 300;"), "patch.so", live.anchor)["status"] == 0
        table = json.loads((program.folder / "table.json").read_bytes())
        gone = {**table, "library": str(tmp_path / "gone.so")}
        other = {**table, "anchor": {**table["anchor"], "name": "step"}}  # neither exports it
        for message, reason in (
            (json.dumps(gone).encode(), r"gone\.so: No such file or directory"),
            (json.dumps(other).encode(), "the program does not export step"),
            (b"{}", "this is no table"),
            (b'{"library": "\\"\\\\', "this is no table"),
            (b'{"functions": [' + b'{"new": 1}, ' * 9 + b'{"new": 1, 2, 3}]}', "this is no table"),
            (b"\0" * 5000 + b'"', "this is no table"),
        ):
            with pytest.raises(SystemExit, match=reason):
                runtime.take(message)
        assert live.tell("call 1") == "1107"
        runtime.take(json.dumps(table, indent=None).encode())
        assert live.tell("call 1") == "2307"
        live.end()


RUST_PROGRAM = """
fn main() {
    hot::start(&std::env::var("HOT_SOCKET").unwrap()).unwrap();
    println!("anchor 0x0"); // the runtime knows it
    std::io::stdin().read_line(&mut String::new()).unwrap();
    println!("bye");
}
"""


@pytest.fixture(scope="module")
def rust_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with the runtime in Rust."""
    need("aarch64-linux-gnu-gcc")
    folder = tmp_path_factory.mktemp("rust")
    options = ["--edition=2021", "-Dwarnings", "-Clinker=aarch64-linux-gnu-gcc", f"-Clink-arg={EXPORTED}"]
    options += ["-Clink-arg=-Wl,--build-id"]
    (folder / "main.rs").write_text(RUST_PROGRAM)
    library = EXAMPLES / "runtime_rust" / "src" / "lib.rs"
    run([*rustc(), *options, "--crate-type=rlib", "--crate-name=hot", library, "--out-dir", folder])
    run([*rustc(), *options, "-L", folder, "--extern", "hot", folder / "main.rs", "-o", folder / "host"])
    return folder / "host"


def subsecond(table: dict[str, object], host_anchor: int, library: Path) -> dict[str, object]:
    """That table in the other form."""
    patch = table["anchor"]["patch"]  # type: ignore[index]
    return {"lib": str(library), "map": {}, "aslr_reference": host_anchor, "new_base_address": patch}


def pairs(table: dict[str, object], host_anchor: int, library: Path) -> dict[str, object]:
    """That table for a host with another anchor."""
    anchor = {**table["anchor"], "host": host_anchor}  # type: ignore[dict-item]
    return {**table, "anchor": anchor, "functions": [], "library": str(library)}


@pytest.mark.parametrize("form", [pairs, subsecond], ids=["c", "rust"])
def test_whose_a_patch_is(
    form: Callable[..., dict[str, object]],
    request: pytest.FixtureRequest,
    runtime: Runtime,
    tmp_path: Path,
    program: Program,
) -> None:
    """A patch for another process, build or session calls into the middle of functions.

    A later one of a session leads to earlier ones, which a process that was started again does not have.
    The build is the one that was started, whatever has its name since: a build that goes on beside it links it anew.
    """
    host = program.host if form is pairs else request.getfixturevalue("rust_host")
    with LiveHost(program.host) as live:
        assert program.link(program.edited("+ 100;", "+ 300;"), "patch.so", live.anchor)["status"] == 0
        live.end()
    table = json.loads((program.folder / "table.json").read_bytes())
    patch = (program.folder / "patch.so").read_bytes()
    note = patch.index(b"stubgen\0") + 8
    image = open_host(host, cache=False).image
    host_anchor, build = image.find({b"main"})[b"main"][0].address, image.build_id or b""

    def send(
        number: int,
        *,
        slide: int,
        build: bytes = build,
        session: bytes = bytes(16),
        layout: int = 1,
        generation: int = 0,
    ) -> str:
        library = tmp_path / f"patch-{number}.so"
        fixed = struct.pack("<IIQ16s16sII", layout, generation, slide, session, b"", 1, len(build))
        library.write_bytes(patch[:note] + fixed + build + patch[note + len(fixed + build) :])
        return runtime.take(json.dumps(form(table, host_anchor, library)).encode())

    running = Path(shutil.copy(host, tmp_path / "running"))
    with LiveHost(running) as live:
        (tmp_path / "anew").write_bytes(running.read_bytes().replace(build, build[::-1]))
        shutil.copymode(running, tmp_path / "anew")
        (tmp_path / "anew").replace(running)
        slide = int(runtime.anchor(), 16) - host_anchor
        assert int(send(1, slide=slide), 16) > slide
        for what, reason in (
            ({"slide": slide + 0x1000}, "for another process"),
            ({"slide": slide, "build": build[::-1]}, "for another build"),
            ({"slide": slide, "layout": 2}, "in a newer way"),
            ({"slide": slide, "session": b"1" * 16, "generation": 3}, "has taken none of its session: .*--new-session"),
        ):
            with pytest.raises(SystemExit, match=f"the program refused the patch .*{reason}"):
                send(2, **what)  # type: ignore[arg-type]
        send(3, slide=slide, session=b"1" * 16, generation=1)
        send(4, slide=slide, session=b"1" * 16, generation=2)
        with pytest.raises(SystemExit, match="of another session"):
            send(5, slide=slide, session=b"2" * 16)
        (tmp_path / "none.so").write_bytes(patch.replace(b"stubgen\0", b"another\0"))
        with pytest.raises(SystemExit, match="has no identity"):
            runtime.take(json.dumps(form(table, host_anchor, tmp_path / "none.so")).encode())
        live.end()


def test_a_path_with_quotes(program: Program, runtime: Runtime, tmp_path: Path) -> None:
    """A folder may be called anything that JSON quotes."""
    library = tmp_path / 'a "quoted" \\ name' / "patch.so"
    library.parent.mkdir()
    with LiveHost(program.host) as live:
        assert (
            program.link(program.edited("+ 100;", "+ 300;"), "patch.so", live.anchor, "--lib", library)["status"] == 0
        )
        (program.folder / "patch.so").rename(library)
        runtime.take((program.folder / "table.json").read_bytes())
        assert live.tell("call 1") == "1307"
        live.end()
