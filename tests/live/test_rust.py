"""A living Rust program is patched: real standard library, real rustc link command, panics across the patch.

The program is three crates: ``engine`` stays, ``feature`` is edited while ``host`` runs. The patch is the edited
crate, recompiled to one object.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, capture_executable, capturing, defined_by, libraries_of, looked_up_by, stubgen
from tools import PROGRAMS, linker_folder, need, run, rustc

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}
SOURCES = PROGRAMS / "rust"
PANIC = 'cannot parse "ten": invalid digit found in string'
TAIL = "sum 6 doubled 12 shape 3.14 [2.0]"


class Crates(NamedTuple):
    """The compiled crates that every host is linked from."""

    folder: Path
    options: list[str]

    def extern(self, *names: str) -> list[str]:
        """The options that name compiled crates."""
        return [word for name in names for word in ("--extern", f"{name}={self.folder / f'lib{name}.rlib'}")]

    def edited(self, folder: Path, before: str, after: str, crate: str = "feature") -> Path:
        """The object of *crate* with *before* in its source changed to *after*."""
        source = (SOURCES / f"{crate}.rs").read_text()
        assert before in source
        (folder / f"{crate}.rs").write_text(source.replace(before, after))
        return self.object(folder / f"{crate}.rs")

    def object(self, source: Path) -> Path:
        """The object that *source* compiles to, as the program's build compiles it."""
        kind, uses = {"feature": ("rlib", ["engine"]), "host": ("bin", ["engine", "feature"])}[source.stem]
        options = ["--crate-name", source.stem, "--crate-type", kind, "--emit=obj", "-C", "codegen-units=1"]
        output = source.with_suffix(".o")
        run([*rustc(), *self.options, *options, "-L", self.folder, *self.extern(*uses), source, "-o", output])
        return output


class Program(NamedTuple):
    """A linked host and the record of its link."""

    path: Path
    captured: Path
    crates: Crates

    def patch(self, live: LiveHost, patch: Path, output: Path, *options: str) -> None:
        """Link the object *patch* for *live* and load it."""
        done = stubgen(
            *("link", "--json", "--host", self.path, "--captured", self.captured, "--aslr-reference", hex(live.anchor)),
            *(*options, "-o", output, patch),
        )
        assert done.returncode == 0, done.stderr
        # Found by default: the anchor is Whisker's, not main, which Rust's start-up code has too.
        assert json.loads(done.stdout)["anchor"] == "whisker_aslr_anchor"
        assert live.patch(output) == "loaded"


@pytest.fixture(scope="module")
def crates(tmp_path_factory: pytest.TempPathFactory) -> Crates:
    """The crates that do not change."""
    folder = tmp_path_factory.mktemp("crates")
    crates = Crates(folder, ["--edition", "2024", "-C", "opt-level=1"])
    for name, uses in (("engine", []), ("feature", ["engine"])):
        options = [*crates.options, "--crate-type", "rlib", *crates.extern(*uses), "--out-dir", folder]
        run([*rustc(), *options, SOURCES / f"{name}.rs"])
    return crates


def link_host(folder: Path, crates: Crates, linker: str, driver: Path) -> Program:
    """The host as rustc links it through *driver*, with *linker*."""
    host = folder / "host"
    linking = [
        *("-C", f"linker={capture_executable(folder)}", "-C", f"link-arg=-fuse-ld={LINKERS[linker]}"),
        *("-C", f"link-arg=-B{linker_folder(folder / 'linkers')}", "-L", crates.folder),
    ]
    run(
        [*rustc(), *crates.options, *linking, *crates.extern("engine", "feature"), SOURCES / "host.rs", "-o", host],
        env=capturing(folder / "captured", str(driver)),
        cwd=folder,
    )
    return Program(host, next((folder / "captured").glob("*.json")), crates)


@pytest.fixture(scope="module", params=LINKERS)
def program(request: pytest.FixtureRequest, crates: Crates, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The host, with each linker."""
    folder = tmp_path_factory.mktemp(request.param)
    return link_host(folder, crates, request.param, Path(str(need("aarch64-linux-gnu-gcc"))))


FULL_LINK = """#!/bin/sh
# What a hot-patch builder's full link does: all of every library, so that patches find what the host never used.
for word do
  shift
  case $word in
    -Wl,-Bstatic) set -- "$@" "$word" -Wl,--whole-archive ;;
    -Wl,-Bdynamic) set -- "$@" -Wl,--no-whole-archive "$word" ;;
    -Wl,--gc-sections) ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec aarch64-linux-gnu-gcc "$@"
"""


@pytest.fixture(scope="module", params=LINKERS)
def full_program(request: pytest.FixtureRequest, crates: Crates, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The host with the whole standard library in it, with each linker."""
    folder = tmp_path_factory.mktemp(f"full-{request.param}")
    need("aarch64-linux-gnu-gcc")
    driver = folder / "gcc"
    driver.write_text(FULL_LINK)
    driver.chmod(0o755)
    return link_host(folder, crates, request.param, driver)


def test_an_edited_function_runs_in_the_living_program(program: Program, tmp_path: Path) -> None:
    """The main job: the edit shows, the program's state stays, and it goes on, on every thread."""
    with LiveHost(program.path) as live:
        assert live.tell("answer a b a") == f"before: a= 2 b= 1 {TAIL} tallies 1"
        program.patch(live, program.crates.edited(tmp_path, '"before:"', '"after:"'), tmp_path / "patch.so")
        assert live.tell("answer a b a") == f"after: a= 2 b= 1 {TAIL} tallies 2"
        assert live.tell("thread c c") == f"after: c= 2 {TAIL}"
        live.end()


def test_edits_follow_each_other(program: Program, tmp_path: Path) -> None:
    """Each save must show, not only the first one."""
    with LiveHost(program.path) as live:
        for number, edit in enumerate(("first:", "second:", "third:")):
            patch = program.crates.edited(tmp_path, "before:", edit)
            program.patch(live, patch, tmp_path / f"patch{number}.so")
            assert live.tell("answer a").startswith(f"{edit} a= 1")
        live.end()


def test_a_panic_crosses_the_patch(program: Program, tmp_path: Path) -> None:
    """A host function panics behind a trampoline: the patch's guard is dropped and the host catches it, or it dies."""
    with LiveHost(program.path) as live:
        assert [live.tell("number ten"), live.next_line()] == ["dropped before", f"caught {PANIC}"]
        program.patch(live, program.crates.edited(tmp_path, '"before"', '"after"'), tmp_path / "patch.so")
        assert [live.tell("number 9"), live.next_line()] == ["dropped after", "number 10"]
        assert [live.tell("number ten"), live.next_line()] == ["dropped after", f"caught {PANIC}"]
        assert live.tell("answer a").endswith("tallies 1")
        live.end()


def test_state_of_the_host_is_shared(program: Program, tmp_path: Path) -> None:
    """A patch that counts with a counter of its own applies and changes nothing."""
    edit = "engine::TALLIES.fetch_add(100, std::sync::atomic::Ordering::SeqCst);\n    let tally = engine::tally(line);"
    patch = program.crates.edited(tmp_path, "let tally = engine::tally(line);", edit)
    with LiveHost(program.path) as live:
        assert live.tell("answer a").endswith("tallies 1")
        program.patch(live, patch, tmp_path / "patch.so")
        assert live.tell("answer a").endswith("tallies 102")
        live.end()


@pytest.mark.parametrize(
    ("options", "answer"),
    [((), "welcome Bob (number 2 of 1)"), (("--keep-state",), "welcome Ada and Bob (number 2 of 2)")],
    ids=["fresh", "keep-state"],
)
def test_the_program_crate_itself_is_edited(program: Program, tmp_path: Path, options, answer: str) -> None:
    """Small programs are one crate, whose code is for an executable: it has thread-locals at fixed offsets.

    Those are always the program's own; other statics start afresh unless they are asked to stay.
    """
    patch = program.crates.edited(tmp_path, "hello", "welcome", crate="host")
    with LiveHost(program.path) as live:
        assert live.tell("greet Ada") == "hello Ada (number 1 of 1)"
        program.patch(live, patch, tmp_path / "patch.so", "--export", "greet", *options)
        assert live.tell("greet Bob") == answer
        assert live.tell("answer a").startswith("before: a= 1")
        live.end()


def test_an_edit_may_use_what_the_host_never_used(full_program: Program, tmp_path: Path) -> None:
    """Real edits pull in other parts of the standard library: maps, threads, thread-locals, locks, parsing."""
    source = tmp_path / "feature.rs"
    source.write_text((SOURCES / "feature_rich.rs").read_text())
    patch = full_program.crates.object(source)
    with LiveHost(full_program.path) as live:
        full_program.patch(live, patch, tmp_path / "patch.so")
        answer = 'rich: {"a": [1.0, 1.0], "bc": [2.0]} calls 1 lines 1 of 1 total 4 shape 9.00 panicked true'
        assert live.tell("answer a bc a") == f"{answer} tallies 10"
        # Another thread has thread-locals of its own, but the same program-wide state.
        assert live.tell("thread d") == 'rich: {"d": [1.0]} calls 1 lines 1 of 2 total 4 shape 9.00 panicked true'
        assert live.tell("number 2500") == "2.5e3"
        assert live.tell("number x") == "invalid float literal"
        live.end()


def test_an_edit_may_use_what_the_hosts_link_dropped(program: Program, tmp_path: Path) -> None:
    """With --gc-sections, Rust's default, hardly an edit linked: what it adds comes from the captured rlibs.

    The standard library is there once: its panic counters, its canary and the seed of its maps are the host's.
    """
    source = tmp_path / "feature.rs"
    boom = """    let number = line.len();
    assert!(line != "boom", "{line} and {number}");
    line.parse"""
    source.write_text((SOURCES / "feature_rich.rs").read_text().replace("    line.parse", boom))
    patch = program.crates.object(source)
    with LiveHost(program.path) as live:
        program.patch(live, patch, tmp_path / "patch.so")
        answer = 'rich: {"a": [1.0, 1.0], "bc": [2.0]} calls 1 lines 1 of 1 total 4 shape 9.00 panicked true'
        assert live.tell("answer a bc a") == f"{answer} tallies 10"
        assert live.tell("thread d") == 'rich: {"d": [1.0]} calls 1 lines 1 of 2 total 4 shape 9.00 panicked true'
        assert live.tell("number 2500") == "2.5e3"
        assert live.tell("number boom") == "caught boom and 4"
        assert live.tell("number x") == "invalid float literal"
        assert live.tell("greet you") == "hello you (number 1 of 1)"
        live.end()
    twice = {name for name in defined_by(tmp_path / "patch.so") if "panic_count" in name and "stubgen" not in name}
    functions = {name for name in twice if "COUNT" not in name}
    assert twice == functions, "the patch has panic counters of its own"


def test_what_nobody_has_is_named(program: Program, tmp_path: Path) -> None:
    """A patch that needs what is nowhere must not be loaded: the message names each symbol."""
    extern = 'unsafe extern "C" {\n    fn nobody_has_it();\n}\n\nstruct Dropped'
    program.crates.edited(tmp_path, "struct Dropped", extern)
    source = (tmp_path / "feature.rs").read_text()
    (tmp_path / "feature.rs").write_text(
        source.replace("let tally =", "unsafe { nobody_has_it() };\n    let tally =", 1)
    )
    patch = program.crates.object(tmp_path / "feature.rs")
    done = stubgen(
        *("link", "--host", program.path, "--captured", program.captured, "--slide", "0x5500000000"),
        *("-o", tmp_path / "patch.so", patch),
    )
    assert done.returncode == 1
    assert "nobody_has_it: missing: the host has no such symbol" in done.stderr
    assert not (tmp_path / "patch.so").exists()


def test_nothing_about_the_host_is_looked_up_at_load_time(program: Program, tmp_path: Path) -> None:
    """A patch that names the host needs the loader to find it, which Android's namespaces and RTLD_LOCAL forbid."""
    patch = program.crates.edited(tmp_path, "before:", "after:")
    with LiveHost(program.path) as live:
        program.patch(live, patch, tmp_path / "patch.so")
    needed = {line.split()[-1] for line in run([need("llvm-nm-19"), "--undefined-only", patch]).splitlines()}
    looked_up = looked_up_by(tmp_path / "patch.so")
    assert "memcpy" in looked_up, "the relocations were not read"
    assert not looked_up & defined_by(program.path) & needed
    assert not [name for name in libraries_of(tmp_path / "patch.so") if "host" in name or "stub" in name]
