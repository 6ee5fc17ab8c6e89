"""A whole cargo build, captured as it happens, and a patch linked from one of its records into the living program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from live.live import LiveHost, capture_executable, capturing, stubgen
from tools import PROGRAMS, need, run, rustc

from stubgen.capture import newest_capture, read_captures

TARGET = "aarch64-unknown-linux-gnu"
USES = {"engine": [], "feature": ["engine"], "host": ["engine", "feature", "report"], "report": ["engine"]}
REPORT = "//! A dependency that the patch does not touch.\npub fn lines(text: &str) -> usize { text.lines().count() }\n"


def write_workspace(folder: Path) -> None:
    """The live test's crates as a cargo workspace: two binaries, three libraries, a build script."""
    members = []
    for name, uses in USES.items():
        package = folder / name
        source = package / "src" / ("main.rs" if name == "host" else "lib.rs")
        source.parent.mkdir(parents=True)
        program = PROGRAMS / "rust" / f"{name}.rs"
        source.write_text(program.read_text() if program.exists() else REPORT)
        dependencies = "".join(f'{use} = {{ path = "../{use}" }}\n' for use in uses)
        (package / "Cargo.toml").write_text(
            f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n{dependencies}'
        )
        members.append(f'"{name}"')
    (folder / "report" / "build.rs").write_text('fn main() { println!("cargo::rerun-if-changed=build.rs"); }\n')
    other = folder / "host" / "src" / "bin" / "other.rs"
    other.parent.mkdir()
    other.write_text('fn main() { println!("{}", report::lines("a b")); }\n')
    (folder / "Cargo.toml").write_text(
        f'[workspace]\nresolver = "2"\nmembers = [{", ".join(members)}]\n[profile.dev]\nopt-level = 1\n'
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, built by cargo with the capture executable as the linker."""
    folder = tmp_path_factory.mktemp("workspace")
    cargo, driver = need("cargo", "aarch64-linux-gnu-gcc")
    compiler, _, sysroot, *_ = rustc()
    write_workspace(folder)
    environment = {
        **capturing(folder / "captured", driver),
        "RUSTC": compiler,
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": str(capture_executable(folder)),
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS": f"--sysroot {sysroot}",
        "CARGO_TARGET_DIR": str(folder / "target"),
    }
    environment.pop("RUSTUP_TOOLCHAIN", None)
    run([cargo, "build", "--offline", "--target", TARGET, "--bins"], cwd=folder, env=environment)
    return folder


def test_every_link_of_the_build_is_recorded(workspace: Path) -> None:
    """A workspace links many programs; the builder needs the record of the one that runs."""
    captures = read_captures(workspace / "captured")
    names = sorted(os.path.basename(capture.output).partition("-")[0] for capture in captures)
    assert names == ["host", "other"]
    host = newest_capture(workspace / "captured", "host")
    assert host.output.endswith(tuple("0123456789abcdef"))
    assert any(argument.endswith(".rlib") for argument in host.argv)


def test_a_patch_from_a_cargo_record_runs_in_the_living_program(workspace: Path, tmp_path: Path) -> None:
    """The whole way of a hot-reload tool: build with cargo, edit, compile one crate, link with the record, load."""
    build = workspace / "target" / TARGET / "debug"
    source = tmp_path / "feature.rs"
    text = (workspace / "feature" / "src" / "lib.rs").read_text()
    assert '"before:"' in text
    source.write_text(text.replace('"before:"', '"after:"'))
    engine = next((build / "deps").glob("libengine-*.rlib"))
    options = ["--edition", "2024", "-C", "opt-level=1", "-C", "codegen-units=1", "--crate-name", "feature"]
    crate = ["--crate-type", "dylib", "--emit=obj", "--extern", f"engine={engine}", "-L", build / "deps"]
    run([*rustc(), *options, *crate, source, "-o", tmp_path / "feature.o"])
    patch = tmp_path / "patch.so"
    capture = newest_capture(workspace / "captured", "host")
    with LiveHost(build / "host") as live:
        assert live.tell("answer a b a").startswith("before:")
        done = stubgen(
            *("link", "--host", build / "host", "--captured", capture.path, "--aslr-reference", hex(live.anchor)),
            *("--export", "answer", "--export", "number", "-o", patch, tmp_path / "feature.o"),
        )
        assert done.returncode == 0, done.stderr
        assert live.patch(patch) == "loaded"
        assert live.tell("answer a b a").startswith("after:")
        live.end()
