"""docs/protocol.md and the example clients, held against the server."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from serve.serving import REFERENCE, ROOT, serving, write_files
from tools import need, need_crate, run

from stubgen.capture import record
from stubgen.serve.messages import ERRORS
from stubgen.serve.methods import METHODS

PAGE = (ROOT / "docs" / "protocol.md").read_text()
TURNS = re.findall(r"^```text (client|server)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


def wire(turn: str) -> bytes:
    """The bytes that a block of the page stands for."""
    header, _, content = turn.partition("\n\n")
    return header.replace("\n", "\r\n").encode() + b"\r\n\r\n" + content.encode()


def test_the_conversation_of_the_page(tmp_path: Path) -> None:
    """People write clients from the page: every byte of it is what the server takes and gives."""
    assert [who for who, _ in TURNS] == ["client", "server"] * (len(TURNS) // 2)
    assert len(TURNS) >= 8
    with serving(cwd=write_files(tmp_path)) as talk:
        for who, turn in TURNS:
            if who == "client":
                talk.input.write(wire(turn))
                talk.input.flush()
            else:
                expected = wire(turn)
                assert talk.output.read(len(expected)) == expected


def test_the_page_names_every_method_and_error() -> None:
    """What the page leaves out, nobody handles."""
    for method in METHODS:
        assert f"`{method}`" in PAGE
    for code in ERRORS:
        assert f"| {code} |" in PAGE


@pytest.fixture(scope="module")
def rust_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Rust client, built by Debian's cargo from Debian's copy of its one crate."""
    cargo, _ = need("cargo", "gcc")
    registry = need_crate("serde_json", "librust-serde-json-dev")
    source = tmp_path_factory.mktemp("client") / "client"
    shutil.copytree(ROOT / "examples" / "clients" / "rust", source, ignore=shutil.ignore_patterns("target"))
    settings = ['source.crates-io.replace-with="debian"', f'source.debian.directory="{registry}"']
    words = [word for setting in settings for word in ("--config", setting)]
    compiler = Path(cargo).with_name("rustc")
    environment = {**os.environ, "RUSTC": str(compiler), "RUSTFLAGS": "-D warnings"}
    run([cargo, "build", "--offline", *words], cwd=source, env=environment)
    return source / "target" / "debug" / "stubgen-client"


SERVER = f"{sys.executable} -m stubgen"
ADDRESSES = [hex(REFERENCE), hex(REFERENCE + 0x1000000)]


def python_client(
    folder: Path, captured: str | None = None, patience: str = "60", addresses: Sequence[str] = ADDRESSES
) -> str:
    """What the Python client prints."""
    words = [sys.executable, str(ROOT / "examples" / "clients" / "client.py"), "--server", SERVER, "--host", "host"]
    words += [word for address in addresses for word in ("--address", address)]
    words += ["--output", "out.so", "--patience", patience, "patch.o"]
    return run([*words, *(["--captured", captured] if captured else [])], cwd=folder, env=environment())


def environment(**more: str) -> dict[str, str]:
    """Variables under which a client's server finds this tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture(params=["python", "rust"])
def client(request: pytest.FixtureRequest) -> Callable[..., str]:
    """A function that runs one of the clients."""
    if request.param == "python":
        return python_client
    binary = request.getfixturevalue("rust_client")

    def rust(
        folder: Path, captured: str | None = None, patience: str = "60", addresses: Sequence[str] = ADDRESSES
    ) -> str:
        more = {"CAPTURED": captured} if captured else {}
        variables = environment(STUBGEN=SERVER, PATIENCE=patience, **more)
        return run([binary, "host", ",".join(addresses), "out.so", "patch.o"], cwd=folder, env=variables)

    return rust


def test_a_client_builds_refuses_and_cancels(client: Callable[..., str], tmp_path: Path) -> None:
    """The clients are what people copy: each part of the protocol works in them."""
    lines = client(write_files(tmp_path)).splitlines()
    assert lines[0].startswith("hotpatch-stubgen ")
    assert "captures" in lines[0]
    assert lines[1].startswith("slide 0x5500000000: 1 stubs in ")
    assert lines[2].startswith("slide 0x5501000000: 1 stubs in ")
    assert lines[3].startswith("error -32001, VerificationRefusal: ")
    assert lines[4] == "cancelled" or lines[4].startswith("done: ")
    assert (tmp_path / "out.so.0.stub.o").read_bytes() != (tmp_path / "out.so.1.stub.o").read_bytes()


def test_a_client_gives_up_a_slow_link(client: Callable[..., str], tmp_path: Path) -> None:
    """A person who saves again does not want the link of before."""
    folder = write_files(tmp_path)
    linker = folder / "ld"
    linker.write_text("#!/bin/sh\nsleep 60\n")
    linker.chmod(linker.stat().st_mode | stat.S_IXUSR)
    captured = str(record([str(linker), "-o", "host", "main.o"], folder / "captured"))
    assert client(folder, captured, "0.5").splitlines()[-1] == "cancelled"
    assert not (folder / "out.so").exists()


def test_a_client_links(client: Callable[..., str], tmp_path: Path) -> None:
    """The whole way, with a real linker."""
    compiler = need("aarch64-linux-gnu-gcc")
    (tmp_path / "host.c").write_text("int f(int x) { return x + 1; }\nint main(void) { return f(1); }\n")
    (tmp_path / "patch.c").write_text("int f(int x);\nint g(int x) { return f(x) * 2; }\n")
    run([compiler, "-fPIC", "-c", "host.c", "-o", "host.o"], cwd=tmp_path)
    run([compiler, "-fPIC", "-c", "patch.c", "-o", "patch.o"], cwd=tmp_path)
    capture = [sys.executable, "-m", "stubgen", "capture", "--dir", "captured", "--"]
    run([*capture, compiler, "-pie", "host.o", "-o", "host"], cwd=tmp_path, env=environment())
    rows = [line.split() for line in run(["nm", "host"], cwd=tmp_path).splitlines()]
    main = next(int(row[0], 16) for row in rows if row[-1] == "main")
    addresses = [hex(0x5500000000 + main), hex(0x5501000000 + main)]
    assert client(tmp_path, "captured", addresses=addresses).splitlines()[-1].startswith("done: ")
    assert (tmp_path / "out.so").stat().st_size > 0
