"""Static variables that nobody writes any more: compilers put what they began with into the code, with a note."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost
from live.test_archives import LINKERS, make
from live.test_macho import SLIDE, toolchain
from live.test_other_forms import FOLDED, HOST
from live.test_state import COMPILERS
from live.test_state_names import recompiled
from tools import need, run, rustc

from stubgen import Linked, StubBuilder, link_patch
from stubgen.capture import Capture
from stubgen.commands.options import shared_variable_notes

DOUBT = "if no code writes it any more, the compiler put its first value into the code"


class Edit(NamedTuple):
    """A file before and after, and which of its variables is concerned."""

    old: str
    new: str
    name: str
    source: str = "a.c"
    deleted: bool = False


FILE = "static int v = 7; long a_next(long by) { return v += by; }"
FUNCTION = "long a_next(long by) { static int v = 7; return v += by; }"
FIELD = "static struct { long a, b; } v = {1, 7}; long a_next(long by) { return v.b += by; }"
NAMESPACE = 'namespace n { static int v = 7; } extern "C" long a_next(long by) { return n::v += by; }'
EDITS = {
    "of the file": Edit(FILE, FILE.replace("+=", "+"), "v"),
    "a constant now": Edit(FILE, FILE.replace("+=", "+").replace("int v", "const int v"), "v"),
    "of a function": Edit(FUNCTION, FUNCTION.replace("+=", "+"), "v"),
    "a structure": Edit(FIELD, FIELD.replace("+=", "+"), "v"),
    "C++": Edit(NAMESPACE, NAMESPACE.replace("+=", "+"), "_ZN1nL1vE", "a.cc"),
    "C++, of a function": Edit(
        f'extern "C" {FUNCTION}', f'extern "C" {FUNCTION}'.replace("+=", "+"), "_ZZ6a_nextE1v", "a.cc"
    ),
    "deleted": Edit(FILE, "long a_next(long by) { return 7 + by; }", "v", deleted=True),
}


def notes_of(linked: Linked) -> list[str]:
    """What is said of the patch's variables."""
    return shared_variable_notes(linked.built.resolution.shared_variables)


@pytest.mark.parametrize("keep_state", [True, False], ids=["kept", "afresh"])
@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_the_process_has_is_lost_with_a_note(
    edit: Edit,
    compiler: str,
    debug: str,
    keep_state: bool,
    tmp_path: Path,
) -> None:
    """A counter that an edit stops was 7 again, and nobody said so without ``-g``, or ``--keep-state``."""
    flags = f"-O2 -fPIC -fdata-sections {debug}"
    program = make(tmp_path, {edit.source: edit.old, "b.c": HOST}, {}, "a.o b.o", flags=flags)
    linkage = 'extern "C" ' if edit.source == "a.cc" else ""
    text = edit.new + f" {linkage}long patch_main(void) {{ return a_next(0); }}"
    patch = recompiled(tmp_path, edit.source, text, compiler, flags)
    with LiveHost(program.path) as live:
        assert live.tell("call 3") == "call 10"
        options = {"exports": ["patch_main"], "keep_state": keep_state}
        linked = link_patch(
            StubBuilder(program.path),
            program.captured,
            [patch],
            tmp_path / "patch.so",
            live.anchor,
            **options,  # type: ignore[arg-type]
        )
        assert live.patch(linked.output) == "patch 7"
    notes = notes_of(linked)
    if edit.deleted and debug == "-g":
        assert notes == []
        return
    (note,) = notes
    assert note.startswith(f"note: {edit.name}")
    assert (FOLDED if debug == "-g" else DOUBT) in note


@pytest.mark.parametrize("linker", ["lld", "mold"])
@pytest.mark.parametrize("flags", ["-O2 -fPIC", "-O2", "-O0 -fPIC"])
def test_by_any_linker_and_from_an_anchor_of_several(linker: str, flags: str, tmp_path: Path) -> None:
    """GCC reaches a file's variables from one address, and linkers make other instructions of loads from the GOT."""
    old = "static int u, v = 7, w; int g; long a_next(long by) { u++; w++; g++; return (v += by) + by * (u == w); }"
    new = old.replace("(v += by)", "7 + by").replace(" v = 7,", "")
    program = make(tmp_path, {"a.c": old, "b.c": HOST}, {}, "a.o b.o", linker=linker, flags=flags)
    with LiveHost(program.path) as live:
        again = recompiled(tmp_path, "a.c", new, "gcc", "-O2 -fPIC")
        linked = link_patch(StubBuilder(program.path), program.captured, [again], tmp_path / "patch.so", live.anchor)
    (note,) = [note for note in notes_of(linked) if DOUBT in note]
    assert note.startswith("note: v:")


OTHERS = "int other = 3; static int own; int b_next(void) { return own += other; }"


@pytest.mark.parametrize("linker", LINKERS)
def test_what_other_files_have_is_not_gone(linker: str, tmp_path: Path) -> None:
    """An edit that no longer uses another file's variable, or what a function of another file does, loses nothing."""
    old = "extern int other; int b_next(void); static int v; long a_next(long by) { v += other; return b_next() + by; }"
    new = "static int v; long a_next(long by) { return v += by; }"
    program = make(
        tmp_path, {"a.c": old, "b.c": HOST, "c.c": OTHERS}, {}, "a.o b.o c.o", linker=linker, flags="-O2 -fPIC"
    )
    with LiveHost(program.path) as live:
        again = recompiled(tmp_path, "a.c", new, "gcc", "-O2 -fPIC")
        linked = link_patch(StubBuilder(program.path), program.captured, [again], tmp_path / "patch.so", live.anchor)
    assert [note for note in notes_of(linked) if DOUBT in note or FOLDED in note] == []


SEVERAL = "static long seen; long bump(long by) { return seen += by; } long twice(long by) { return seen *= by; }"
USER = "long bump(long); long a_next(long by) { return bump(by) + %d; }"


@pytest.mark.parametrize("debug", ["-g", "-g0"])
def test_another_files_that_the_link_put_there(debug: str, tmp_path: Path) -> None:
    """Link-time optimisation had inlined who uses it: the note said that it is the edited file's."""
    sources = {"a.c": USER % 1, "b.c": HOST, "c.c": SEVERAL}
    flags = f"-O2 -fPIC -flto {debug}"
    program = make(tmp_path, sources, {}, f"{flags} -rdynamic a.o b.o c.o", flags=flags)
    patch = recompiled(tmp_path, "a.c", USER % 2, "gcc", f"-O2 -fPIC {debug}")
    with LiveHost(program.path) as live:
        linked = link_patch(StubBuilder(program.path), program.captured, [patch], tmp_path / "patch.so", live.anchor)
    told = [note for note in notes_of(linked) if "seen: " in note]
    assert ["it may be another file's" in note for note in told] == ([] if debug == "-g" else [True]), told


@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("name", ["lld", "zig"])
@pytest.mark.parametrize("storage", ["static", "static _Thread_local"])
def test_in_macho_files_as_well(name: str, debug: str, storage: str, tmp_path: Path) -> None:
    """Their symbols name no file: that the file's own code reaches the variable tells whose it is."""
    tools = toolchain(name)
    old = f"{storage} int v = 7; long a_next(long by) {{ return v += by; }}"
    (tmp_path / "m.c").write_text("long a_next(long); int main(void) { return (int)a_next(1); }")
    for output, text in (("a.o", old), ("patch.o", old.replace("+=", "+"))):
        (tmp_path / "a.c").write_text(text)
        run([*tools.compile, "-O2", debug, "-c", "a.c", "-o", output], cwd=tmp_path)
    run([*tools.compile, "-c", "m.c", "-o", "m.o"], cwd=tmp_path)
    command = [*tools.link, *([] if name == "zig" else ["-undefined", "dynamic_lookup"]), "-o", "host", "m.o", "a.o"]
    run(command, cwd=tmp_path)
    captured = Capture(command, tmp_path, {}, output="host")
    output, bound = tmp_path / "p.dylib", tmp_path / "bound"
    patch = [tmp_path / "patch.o"]
    linked = link_patch(StubBuilder(tmp_path / "host"), captured, patch, output, slide=SLIDE, bound_dir=bound)
    (note,) = notes_of(linked)
    assert note.startswith("note: _v:")
    assert (FOLDED if debug == "-g" else DOUBT) in note


RUST = """
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
static V: AtomicU32 = AtomicU32::new(7);
#[no_mangle] #[inline(never)] pub extern "C" fn a_next(by: u32) -> u32 { V.fetch_add(by, Relaxed) + by }
fn main() { println!("{}", a_next(std::env::args().count() as u32)); }
"""


@pytest.mark.parametrize("debug", ["-Cdebuginfo=2", "-Cdebuginfo=0"])
@pytest.mark.parametrize("mangling", ["v0", "legacy"])
def test_a_static_of_rust(debug: str, mangling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM folds an atomic that nobody writes likewise; names tell the crate, and no file."""
    monkeypatch.setenv("RUSTC_BOOTSTRAP", "1")  # or this compiler takes no legacy mangling
    options = [*rustc(), "-Zunstable-options", f"-Csymbol-mangling-version={mangling}", "-Copt-level=2", debug]
    options += ["-Ccodegen-units=1", "-Crelocation-model=pic"]
    (tmp_path / "a.rs").write_text(RUST)
    run([*options, f"-Clinker={need('aarch64-linux-gnu-gcc')}", "--emit=link,obj", "a.rs", "-o", "host"], cwd=tmp_path)
    command = [str(need("aarch64-linux-gnu-gcc")), "a.o", "-o", "host"]
    (tmp_path / "a.rs").write_text(RUST.replace("V.fetch_add(by, Relaxed)", "V.load(Relaxed)"))
    run([*options, "--emit=obj", "a.rs", "-o", "patch.o"], cwd=tmp_path)
    captured = Capture(command, tmp_path, {}, output="host")
    builder = StubBuilder(tmp_path / "host", cache=False)
    linked = link_patch(builder, captured, [tmp_path / "patch.o"], tmp_path / "p.so", slide=0x5500000000)
    (note,) = [note for note in notes_of(linked) if "V" in note.partition(":")[2]]
    assert (FOLDED if debug.endswith("2") else DOUBT) in note
