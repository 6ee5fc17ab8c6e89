"""A cargo workspace whose crates are edited one after the other, patched in the living process by the files' names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from live.live import LiveHost, capture_executable, capturing, compiling, stubgen
from tools import PROGRAMS, RUST_TARGET, need, run, rustc

from examples.driver import Running

ROOT = Path(__file__).parents[2]


class Workspace:
    """A copy of the workspace, built by cargo with the launchers in front of rustc and of its linker."""

    host: Path
    """The program that is patched: one of two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        self.captured = self.folder / "captured"
        shutil.copytree(PROGRAMS / "patched_rust", self.folder)
        shutil.copytree(ROOT / "examples" / "runtime_rust", folder / "hot", ignore=shutil.ignore_patterns("target"))
        cargo, driver = need("cargo", "aarch64-linux-gnu-gcc")
        compiler, _, sysroot, *_ = rustc()
        flags = f"--sysroot {sysroot} -Clink-dead-code -Clink-arg=-Wl,--export-dynamic-symbol=main"
        self.environment = {
            **capturing(self.captured, str(driver)),
            "RUSTC": compiler,
            "RUSTC_WORKSPACE_WRAPPER": compiling(folder),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": str(capture_executable(folder)),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS": flags,
            "CARGO_REGISTRY_TOKEN": "a secret",
        }
        self.environment.pop("RUSTUP_TOOLCHAIN", None)
        self.command = [str(cargo), "build", "--offline", "--quiet", "--target", RUST_TARGET]
        for profile in ([], ["--release"]):
            run([*self.command, *profile], cwd=self.folder, env=self.environment)
        self._originals: dict[Path, str] = {}
        self._patches = 0

    def start(self) -> Running:
        """The program, running."""
        return Running(self.host, dict(os.environ))

    def restore(self) -> None:
        """Let the sources be as they were built."""
        for path, text in self._originals.items():
            path.write_text(text)
            os.utime(path, (0, 0))  # older than the build

    def edit(self, file: str, before: str, after: str) -> Path:
        """Change *file* in place."""
        path = self.folder / file
        text = path.read_text()
        self._originals.setdefault(path, text)
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
        return path

    def patch(self, anchor: str, *changed: Path, options: Sequence[object] = ()) -> dict[str, object]:
        """Link a patch with its jump table; the command's JSON document."""
        self._patches += 1
        done = stubgen(
            *("patch", "--json", "--captured", self.captured, "--host", self.host, "--aslr-reference", anchor),
            *("--keep-state", "--jump-table", self.folder / "table.json"),
            *(word for path in changed for word in ("--changed", path)),
            *(*options, "-o", self.folder / f"patch-{self._patches}.so"),
        )
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def apply(self, running: Running, *changed: Path) -> list[str]:
        """Patch the living process; the crates that were compiled, in order."""
        document = self.patch(running.runtime.anchor(), *changed)
        assert document["status"] == 0, document
        assert document["notes"] == []
        running.runtime.take((self.folder / "table.json").read_bytes())
        return [unit["name"].removeprefix("crate ") for unit in document["recompiled"]]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace, built with opt-level 0 and with 3, the records of both in one folder."""
    need("qemu-aarch64")
    return Workspace(tmp_path_factory.mktemp("rust"))


@pytest.fixture(params=["debug", "release"])
def workspace(request: pytest.FixtureRequest, built: Workspace) -> Workspace:
    """The workspace, with the program of either profile; its sources are as they were built."""
    built.host = built.folder / "target" / RUST_TARGET / request.param / "app"
    built.restore()
    return built


def test_the_programs_own_file_is_edited(workspace: Workspace) -> None:
    """A module of the binary: what a build script and cargo told the compiler is told to it again."""
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        changed = workspace.edit("app/src/cart.rs", "+ 5", "+ 6")
        assert workspace.apply(running, changed) == ["app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 21 2202 1 2006"
        assert running.ask("x") == "3 caught"
        changed = workspace.edit("app/src/cart.rs", "caught", "was caught")
        assert workspace.apply(running, changed) == ["app"]
        assert running.ask("x") == "4 was caught"


EDITS = {
    "plain": ("n + 200", "n + 300", "2 plain 0.1.0 7 model 21 2302 1 2005"),
    "generic": ("* 1000", "* 2000", "2 plain 0.1.0 7 model 21 4202 1 4005"),
    "inlined": ("n + 10", "n + 20", "2 plain 0.1.0 7 model 41 2202 1 2005"),
}
"""An edit of the library that all others use, and the program's second answer with it."""


@pytest.mark.parametrize("edit", EDITS)
def test_a_library_is_edited_that_others_have_parts_of(workspace: Workspace, edit: str) -> None:
    """Instances of its generics, and its inline functions, lie in its users' crates, and in theirs."""
    before, after, answer = EDITS[edit]
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        assert workspace.apply(running, workspace.edit("price/src/lib.rs", before, after)) == ["price", "model", "app"]
        assert running.ask("2") == answer
        assert running.ask("x") == "3 caught"


def test_two_libraries_are_edited_at_once(workspace: Workspace) -> None:
    """The second is compiled with the first as it is now: by the old one its calls would not even fit."""
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        one = workspace.edit(
            "price/src/lib.rs",
            "pub fn plain(n: u64) -> u64 {\n    n",
            "pub fn plain(n: u64, m: u64) -> u64 {\n    m + n",
        )
        two = workspace.edit("model/src/lib.rs", "hot!(price::plain, n)", "hot!(price::plain, n, 1)")
        assert workspace.apply(running, two, one) == ["price", "model", "app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 21 2203 1 2005"


def test_an_edit_of_an_earlier_patch_stays(workspace: Workspace) -> None:
    """The second patch has an inline function of a library that was edited for the first: it was as before the edit."""
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        one = workspace.edit("price/src/lib.rs", "n + 10", "n + 20")
        assert workspace.apply(running, one) == ["price", "model", "app"]
        two = workspace.edit("model/src/lib.rs", "% 2", "% 3")
        two = workspace.edit("model/src/lib.rs", "{sum} {}", "{sum}, {}")
        assert workspace.apply(running, two) == ["price", "model", "app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 41, 2202 1 2005"


def test_what_changed_need_not_be_named(workspace: Workspace) -> None:
    """Whoever saves a dozen files does not list them: those that are newer than what they were compiled into count."""
    document = workspace.patch("0x5500000000")
    assert document["status"] == 2
    assert "nothing that" in document["error"]["message"]  # type: ignore[index]
    with workspace.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        workspace.edit("app/src/cart.rs", "+ 5", "+ 6")
        assert workspace.apply(running) == ["app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 21 2202 1 2006"


def test_a_crate_outside_of_the_workspace(built: Workspace) -> None:
    """No launcher stands before its compile: its edit was in no patch, and nothing said so."""
    built.host = built.folder / "target" / RUST_TARGET / "debug" / "app"
    built.restore()
    with built.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        anchor = running.runtime.anchor()
        assert built.patch(anchor, built.edit("app/src/cart.rs", "+ 5", "+ 6"))["notes"] == []
        built.edit("../hot/src/lib.rs", "mod identity;", "mod identity; // edited")
        document = built.patch(anchor)
        (note,) = document["notes"]  # type: ignore[misc]
        assert note.startswith("lib.rs: changed since crate hot was built, and not in this patch")
        os.utime(built.folder / "app/src/cart.rs", (0, 0))
        refused = built.patch(anchor)
        assert refused["status"] == 2
        assert "lib.rs: changed since crate hot was built" in json.dumps(refused)
    built.restore()


def test_a_crate_that_was_compiled_again_and_not_linked_is_no_less_edited(built: Workspace) -> None:
    """A build fails over the program: the library's edit, newer than nothing any more, was left out in silence."""
    built.host = built.folder / "target" / RUST_TARGET / "debug" / "app"
    built.restore()
    with built.start() as running:
        library = built.edit("price/src/lib.rs", "n + 200", "n + 300")
        program = built.edit("app/src/cart.rs", "+ 5", "+ five")
        with pytest.raises(AssertionError, match="five"):
            run(built.command, cwd=built.folder, env=built.environment)
        built.edit("app/src/cart.rs", "+ five", "+ 6")
        try:
            assert built.apply(running) == ["price", "model", "app"]
            assert running.ask("2") == "1 plain 0.1.0 7 model 21 2302 0 2006"
        finally:  # the tests have one build
            built.restore()
            for path in (library, program):
                os.utime(path)
            run(built.command, cwd=built.folder, env=built.environment)


def test_a_module_that_the_build_did_not_know(built: Workspace) -> None:
    """A module is added, and used by a file that is edited: an editor names both."""
    built.host = built.folder / "target" / RUST_TARGET / "debug" / "app"
    built.restore()
    new = built.folder / "app" / "src" / "added.rs"
    new.write_text("pub fn more(n: u64) -> u64 {\n    n + 9\n}\n")
    with built.start() as running:
        assert running.ask("2") == "1 plain 0.1.0 7 model 21 2202 0 2005"
        edited = built.edit("app/src/cart.rs", "price::generic(n as u32) + 5", "added::more(price::generic(n as u32))")
        edited = built.edit("app/src/cart.rs", "use hot::hot;", '#[path = "added.rs"]\nmod added;\nuse hot::hot;')
        assert built.apply(running, new, edited) == ["app"]
        assert running.ask("2") == "2 plain 0.1.0 7 model 21 2202 1 2009"


REFUSED = {
    "macros/src/lib.rs": "(proc-macro), which the link of",
    "app/build.rs": "(bin), which the link of",
    "app/Cargo.toml": "no recorded compile reads it",
}
"""A file that the program is not compiled from, and why no patch can have its edit."""


@pytest.mark.parametrize("file", REFUSED)
def test_what_makes_other_code_is_refused(built: Workspace, file: str) -> None:
    """A macro's code, or a build script's, runs in the build: a patch of it would link, and change nothing."""
    built.host = built.folder / "target" / RUST_TARGET / "debug" / "app"
    built.restore()
    document = built.patch("0x5500000000", built.folder / file)
    assert document["status"] == 2
    assert REFUSED[file] in document["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize("helper", ["macros/src/lib.rs", "app/build.rs"])
def test_an_edit_whose_helpers_were_edited_as_well_is_refused(built: Workspace, helper: str) -> None:
    """The crate would be compiled with the macros, or what the script wrote, of before: a patch of old code."""
    built.host = built.folder / "target" / RUST_TARGET / "debug" / "app"
    built.restore()
    before, user = {
        "macros/src/lib.rs": ("TokenStream) -> TokenStream", "model/src/lib.rs"),
        "app/build.rs": ("u64 = 7", "app/src/cart.rs"),
    }[helper]
    built.edit(helper, before, f"{before} ")
    document = built.patch("0x5500000000", built.folder / user)
    assert document["status"] == 2
    assert f"{helper}: was edited since the build" in document["error"]["message"]  # type: ignore[index]


def test_rustc_explains_an_error_to_people(built: Workspace) -> None:
    """Cargo asks for JSON; who edits a file reads what rustc says."""
    built.host = built.folder / "target" / RUST_TARGET / "debug" / "app"
    built.restore()
    document = built.patch("0x5500000000", built.edit("model/src/lib.rs", "seen.get() + 1", "seen.got() + 1"))
    assert (document["status"], document["error"]["kind"]) == (4, "CompilerFailed")  # type: ignore[index]
    message = document["error"]["message"]  # type: ignore[index]
    assert "crate model\nerror[E0599]: no method named `got`" in message
    assert "--> model/src/lib.rs:16:" in message


def test_records_hold_no_secrets(built: Workspace) -> None:
    """Records lie in build folders, which are cached, uploaded and shown."""
    texts = [path.read_text() for path in built.captured.glob("*.compile.json")]
    assert len(texts) > 5
    assert not [text for text in texts if "a secret" in text or "CARGO_REGISTRY_TOKEN" in text]


def test_recompile_of_a_crate_by_name(built: Workspace, tmp_path: Path) -> None:
    """Of two profiles one is meant; a builder that says which gets objects of it, and of its users."""
    built.restore()
    words = ["recompile", "--captured", built.captured, "--crate", "price", "-o", tmp_path]
    done = stubgen(*words)
    assert done.returncode == 2
    assert "crate price: was compiled into" in done.stderr
    assert "say by --output-name which program's link is meant" in done.stderr
    folder = built.folder / "target" / RUST_TARGET / "release" / "deps"
    (release,) = (path for path in folder.glob("app-*") if not path.suffix)
    done = stubgen(*words, "--output-name", f"release/deps/{release.name}")
    assert done.returncode == 0, done.stderr
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"price", "model", "app"}
    assert not any(".debug_info" in run([str(need("readelf")), "-SW", path]) for path in tmp_path.iterdir())


@pytest.mark.parametrize("named", ["--extern price=libprice.rlib", "--extern price -L .", "-L crate=."])
def test_a_crate_that_is_found_in_a_folder(tmp_path: Path, named: str) -> None:
    """Its users have parts of it as well, and without a file on their command line nobody knows: they stayed old."""
    environment = {**os.environ, "STUBGEN_CAPTURE_DIR": str(tmp_path / "captured")}
    (tmp_path / "price.rs").write_text("#[inline]\npub fn price(n: u64) -> u64 {\n    n + 1\n}\n")
    (tmp_path / "app.rs").write_text('extern crate price;\nfn main() {\n    println!("{}", price::price(1));\n}\n')
    linker = ["-C", f"linker={need('aarch64-linux-gnu-gcc')}"]
    for command in (["--crate-type", "lib", "price.rs"], [*linker, *named.split(), "app.rs"]):
        run([compiling(tmp_path), *rustc(), *command], cwd=tmp_path, env=environment)
    words = ["recompile", "--captured", tmp_path / "captured", "-o", tmp_path / "objects", tmp_path / "price.rs"]
    done = stubgen(*words)
    if "=libprice" in named:
        assert done.returncode == 0, done.stderr
        assert {path.name.partition(".")[0] for path in (tmp_path / "objects").iterdir()} == {"price", "app"}
    else:
        assert done.returncode == 2
        assert "crate app: may use crate price, which was edited" in done.stderr
        assert "without --extern price=FILE" in done.stderr


def test_a_static_library_in_a_program_of_c(tmp_path: Path) -> None:
    """Rustc's units lie in an archive there, and no dependency file says what they were made of."""
    gcc, launcher = str(need("aarch64-linux-gnu-gcc")), compiling(tmp_path)
    environment = {**os.environ, "STUBGEN_CAPTURE_DIR": str(tmp_path / "captured")}
    shutil.copy(PROGRAMS / "table_runtime.c", tmp_path)
    shutil.copy(PROGRAMS / "patched_staticlib.rs", tmp_path / "price.rs")
    library = [*rustc(), "--edition", "2024", "--crate-type", "staticlib", "-O", "price.rs"]
    program = [gcc, "table_runtime.c", "libprice.a", "-lm", "-Wl,--export-dynamic-symbol=main", "-o", "host"]
    for command in (library, program):
        run([launcher, *command], cwd=tmp_path, env=environment)
    text = (tmp_path / "price.rs").read_text()
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call 1") == "1102"
        (tmp_path / "price.rs").write_text(text.replace("* 2 + 100", "* 2 + 200"))
        done = stubgen(
            *("patch", "--captured", tmp_path / "captured", "--host", tmp_path / "host", "--keep-state"),
            *("--aslr-reference", hex(live.anchor), "--jump-table", tmp_path / "table.json"),
            *("--changed", tmp_path / "price.rs", "-o", tmp_path / "patch.so"),
        )
        assert done.returncode == 0, done.stderr
        assert live.tell(f"apply {tmp_path / 'table.json'}") == "applied"
        assert live.tell("call 1") == "2202"
        live.end()


def test_crates_whose_files_are_called_otherwise(tmp_path: Path) -> None:
    """As Meson and make call rustc: ``-o shop`` of the crate ``main``, of which no edit was in the host."""
    environment = capturing(tmp_path / "captured", str(need("aarch64-linux-gnu-gcc")))
    (tmp_path / "price.rs").write_text("#[inline]\npub fn price(n: u64) -> u64 {\n    n + 1\n}\n")
    (tmp_path / "main.rs").write_text('fn main() {\n    println!("{}", price::price(1));\n}\n')
    linker = f"-Clinker={capture_executable(tmp_path)}"
    program = [linker, "--edition=2024", "--extern", "price=libcost.rlib", "main.rs"]
    for command in (
        ["--crate-type", "rlib", "-o", "libcost.rlib", "price.rs"],
        [*program, "-o", "shop"],
        [*program, "-Cdebug-assertions", "-o", "other.bin"],
    ):
        run([compiling(tmp_path), *rustc(), *command], cwd=tmp_path, env=environment)
    for output, option in (("shop", []), ("other.bin", ["-Cdebug-assertions"])):
        words = ["recompile", "--json", "--captured", tmp_path / "captured", "--output-name", output]
        done = stubgen(*words, "-o", tmp_path / f"of-{output}", tmp_path / "price.rs")
        assert done.returncode == 0, done.stdout + done.stderr
        units = {unit["name"]: unit for unit in json.loads(done.stdout)["recompiled"]}
        assert sorted(units) == ["crate main", "crate price"]
        assert [word for word in units["crate main"]["command"] if word.startswith("-Cdebug")] == option
