"""Archives are found where the real linkers find them, and none of them reaches the patch's link."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tools import linker_folder, need, run

from stubgen.linkplan import Action, CapturedCommand, build_link_plan
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.own_folders import own_folders

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """``main.o``; folders ``a`` to ``c`` with libraries of several kinds called ``x``, ``y`` and ``z``."""
    gcc, ar = need("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ar")
    (tmp_path / "main.c").write_text("int x(void), y(void), z(void); int main(void) { return x() + y() + z(); }")
    run([gcc, "-c", "-fPIC", "main.c"], cwd=tmp_path)
    for folder, names in (("a", "x.a"), ("b", "x.so x.a y.a"), ("c", "x.a y.so y.a z.a z.so")):
        (tmp_path / folder).mkdir()
        for name in names.split():
            stem, _, kind = name.partition(".")
            (tmp_path / f"{stem}.c").write_text(f"int {stem}(void) {{ return 1; }}")
            run([gcc, "-c", "-fPIC", f"{stem}.c"], cwd=tmp_path)
            if kind == "so":
                run([gcc, "-shared", f"{stem}.o", "-o", f"{folder}/lib{stem}.so"], cwd=tmp_path)
            else:
                run([ar, "rcs", f"{folder}/lib{stem}.a", f"{stem}.o"], cwd=tmp_path)
    (tmp_path / "s").mkdir()
    (tmp_path / "s/libx.so").write_text(f"/* GNU ld script */ INPUT ( {tmp_path}/c/liby.so AS_NEEDED ( -lz ) libx.a )")
    run([ar, "rcs", "s/libx.a", "x.o"], cwd=tmp_path)
    (tmp_path / "n").mkdir()
    (tmp_path / "n/libw.so").write_text("INPUT ( -lx )")
    return tmp_path


ARRANGEMENTS = {
    "order of folders": "-La -Lb -Lc main.o -lx -ly -lz",
    "folders behind": "main.o -lx -ly -lz -Lc -Lb -La",
    "Bstatic": "-Lb -Lc main.o -Wl,-Bstatic -lx -ly -Wl,-Bdynamic -lz",
    "states": "-Lb -Lc main.o -Wl,--push-state,-Bstatic -lx -Wl,--pop-state -ly -lz",
    "by file": "-Lb -Lc main.o -l:libx.a -l:liby.so c/libz.a",
    "separate": "-L b -L c main.o -l x -Wl,-l,y -Xlinker -lz",
    "whole": "-Lb -Lc main.o -Wl,--whole-archive b/libx.a -Wl,--no-whole-archive -ly -lz",
    "script": "-Ls -Lc main.o -lx -ly -lz",
    "script of a script": "-Ln -Ls -Lc main.o -lw -ly -lz",
}


# mold 1.10 goes on with -Bstatic behind --pop-state
@pytest.mark.parametrize(
    ("arrangement", "linker"),
    [(name, linker) for name in ARRANGEMENTS for linker in LINKERS if (name, linker) != ("states", "mold")],
)
def test_the_real_linker_opens_the_same_files(tree: Path, arrangement: str, linker: str) -> None:
    """A library that is an archive to the linker and a shared one to us would be linked a second time."""
    words = [f"-fuse-ld={LINKERS[linker]}", f"-B{linker_folder(tree / 'linkers')}", *ARRANGEMENTS[arrangement].split()]
    command = [str(need("aarch64-linux-gnu-gcc")), *words, "-o", "host"]
    traced = run([*command, "-Wl,--trace,--no-as-needed"], cwd=tree)
    opened = {
        os.path.realpath(os.path.join(tree, name))
        for name in re.findall(r"^(?:\w+: )?\(?([^\s(]+?\.(?:a|so))(?=[\s()]|$)", traced, re.MULTILINE)
        if "/" in name
    }
    ours = {os.path.realpath(path) for path in link_files(CapturedCommand(command, directory=tree)).libraries}
    inside = {
        path
        for path in opened
        if path.startswith(str(tree.resolve())) and not path.endswith(("s/libx.so", "n/libw.so"))
    }
    assert inside
    assert inside <= ours
    plan = build_link_plan(command, objects=["p.o"], output="patch.so", directory=tree)
    for word in plan.args:
        assert not word.endswith(".a"), word
    archives = {path for path in inside if path.endswith(".a")}
    assert archives <= {os.path.realpath(item.path) for item in plan.archives}
    assert "-lw" not in plan.args


def test_a_script_that_names_an_archive_is_replaced_by_the_rest(tree: Path) -> None:
    """libc++.so is ``INPUT(libc++.so.1 -lc++abi)``: what it names besides its archive is still needed."""
    command = ["aarch64-linux-gnu-gcc", "-Ls", "-Lc", "main.o", "-lx", "-o", "host"]
    plan = build_link_plan(command, objects=["p.o"], output="patch.so", directory=tree)
    assert "-lx" not in plan.args
    added = next(edit for edit in plan.edits if "linker script" in edit.why)
    assert added.action is Action.ADDED
    assert added.after == (f"{tree}/c/liby.so", "-lz")
    assert [os.path.relpath(item.path, tree) for item in plan.archives] == ["s/libx.a"]


def test_libraries_for_every_image_stay(tree: Path) -> None:
    """libc_nonshared.a and libgcc.a are linked into each image by design; without them the patch does not link."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    command = [gcc, "main.o", "-nodefaultlibs", "-lgcc", "-lc", "-lgcc_s", "-lm", "-o", "host"]
    captured = CapturedCommand(command, directory=tree)
    folders = own_folders(CapturedCommand([*command, "-Wl,-Bstatic"], directory=tree))
    assert any(Path(folder, "libgcc.a").exists() for folder in folders)
    plan = build_link_plan(command, objects=["p.o"], output="patch.so", directory=tree, search=folders)
    assert [word for word in plan.args if word.startswith("-l")] == ["-lgcc", "-lc", "-lgcc_s", "-lm"]
    assert not plan.archives
    assert {Path(path).name for path in link_files(captured).libraries} >= {"libc.so.6", "libm.so", "libgcc_s.so.1"}


def test_the_driver_is_asked_only_where_that_matters(tree: Path) -> None:
    """A process more on every save, for libraries that everybody has as shared ones, is time for nothing."""
    need("aarch64-linux-gnu-gcc")
    usual = ["aarch64-linux-gnu-gcc", "main.o", "-lm", "-lc", "-ldl", "-lpthread", "-o", "host"]
    assert own_folders(CapturedCommand(usual, directory=tree)) == ()
    assert own_folders(CapturedCommand([*usual, "-lstdc++"], directory=tree))
    assert own_folders(CapturedCommand(["no-such-gcc", "main.o", "-lfoo", "-o", "host"], directory=tree)) == ()


def test_an_archive_that_is_not_here_goes_all_the_same() -> None:
    """Behind -Bstatic nothing but an archive can be meant."""
    command = ["gcc", "main.o", "-Wl,-Bstatic", "-lnowhere", "-Wl,-Bdynamic", "-lelsewhere", "-o", "host"]
    plan = build_link_plan(command, objects=["p.o"], output="patch.so", os="linux")
    assert "-lnowhere" not in plan.args
    assert "-lelsewhere" in plan.args


def test_objects_between_start_lib_and_end_lib_are_archives_members(tree: Path) -> None:
    """They count only when something refers to them; what the host lacks of them can be had."""
    command = ["aarch64-linux-gnu-gcc", "-fuse-ld=lld", "main.o", "-Wl,--start-lib", "x.o", "-Wl,--end-lib", "y.o"]
    (tree / "y.o").write_bytes((tree / "main.o").read_bytes())
    files = link_files(CapturedCommand([*command, "-o", "host"], directory=tree))
    assert "x.o" in {Path(path).name for path in files.libraries}
    assert [Path(path).name for path in files.objects] == ["main.o", "y.o"]
    assert not files.gone


def test_the_objects_of_a_link_are_those_that_are_still_there(tree: Path) -> None:
    """What a driver compiled and linked in one go, and rustc's objects, are gone: nobody can ask them."""
    (tree / "list").write_text("main.o\nlost.o\n")
    need("aarch64-linux-gnu-gcc")
    words = ["aarch64-linux-gnu-gcc", "more.c", "main.o", "gone.o", "crti.o", "c/libz.a", "-o", "host"]
    files = link_files(CapturedCommand(words, directory=tree))
    assert [Path(path).name for path in files.objects] == ["main.o"]
    assert [Path(path).name for path in files.gone] == ["more.c", "gone.o"]
    apple = ["ld64.lld", "-arch", "arm64", "-filelist", "list", "-o", "host"]
    files = link_files(CapturedCommand(apple, directory=tree))
    assert ([Path(path).name for path in files.objects], [Path(path).name for path in files.gone]) == (
        ["main.o"],
        ["lost.o"],
    )


def test_apples_linker_prefers_what_is_shared(tmp_path: Path) -> None:
    """ld64: .tbd, .dylib and .a by folder, in the SDK too; a static framework is an archive."""
    sdk = tmp_path / "sdk"
    for path, content in {
        "sdk/usr/lib/libz.tbd": b"--- !tapi-tbd\n",
        "near/libz.a": b"!<arch>\n",
        "near/libq.a": b"!<arch>\n",
        "near/libq.dylib": b"\xcf\xfa\xed\xfe" + bytes(8) + b"\x06\0\0\0",
        "near/Pod.framework/Pod": b"!<arch>\n",
        "near/Dyn.framework/Dyn": b"\xcf\xfa\xed\xfe" + bytes(8) + b"\x06\0\0\0",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    words = ["-lz", "-lq", "-framework", "Pod", "-framework", "Dyn", "-force_load", "near/libz.a"]
    command = ["ld64.lld", "-arch", "arm64", "-syslibroot", str(sdk), "-Lnear", "-Fnear", *words, "-o", "host"]
    plan = build_link_plan(command, objects=["p.o"], output="patch.dylib", directory=tmp_path)
    shown = [(os.path.relpath(item.path, tmp_path), item.whole) for item in plan.archives]
    assert shown == [("near/libz.a", True), ("near/Pod.framework/Pod", False)]
    assert plan.args.count("-framework") == 1
    assert "-lq" in plan.args
    assert "-lz" not in plan.args
    plan = build_link_plan([word for word in command if word != "-Lnear"], objects=["p.o"], output="patch.dylib")
    assert "-lz" in plan.args
