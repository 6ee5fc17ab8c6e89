"""Which option has a program export its anchor, and which links are left alone."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from stubgen.errors import UsageError
from stubgen.linkplan import CapturedCommand, PatchRequest, plan_link
from stubgen.linkplan.anchor import (
    ALL_EXPORTED,
    ALREADY,
    BUNDLE,
    HIDDEN,
    NO_PROGRAM,
    UNKNOWN_FAMILY,
    export_anchor,
)
from stubgen.linkplan.options import Role

MACOS = "-arch arm64 -platform_version macos 13 13"
GCC, LLD, MAC, LD64 = (
    "aarch64-linux-gnu-gcc a.o",
    "ld.lld a.o",
    "clang --target=arm64-apple-macos13 a.o",
    "ld64.lld a.o",
)
ZIG = "zig cc -target aarch64"

ADDED = {
    f"{GCC} -pie -o app": "-Wl,--export-dynamic-symbol=main",
    f"{GCC} -Wl,--version-script=v.map -o app": "-Wl,--export-dynamic-symbol=main",
    "ccache aarch64-linux-android21-clang a.o -o app": "-Wl,--export-dynamic-symbol=main",
    f"{LLD} -pie -o app": "--export-dynamic-symbol=main",
    "mold a.o -o app": "--export-dynamic-symbol=main",
    "ld.gold a.o -o app": "--export-dynamic-symbol=main",
    "swiftc -target aarch64-unknown-linux-gnu a.o -o app": "-Xlinker --export-dynamic-symbol=main",
    f"{GCC} -Wl,--export-dynamic-symbol=other -o app": "-Wl,--export-dynamic-symbol=main",
    f"{GCC} -Wl,--defsym,main -Wl,-z,main -o app": "-Wl,--export-dynamic-symbol=main",
    f"{ZIG}-linux-gnu a.o -o app": "-rdynamic",
    f"{ZIG}-linux-musl -dynamic a.o -o app": "-rdynamic",
    "zig ld.lld a.o -o app": "--export-dynamic-symbol=main",
    f"{MAC} -Wl,-exported_symbols_list,l -o app": "-Wl,-exported_symbol,_main",
    f"{MAC} -exported_symbol _other -o app": "-Wl,-exported_symbol,_main",
    f"{LD64} {MACOS} -exported_symbols_list l -o app": "-exported_symbol _main",
}
"""Command -> what is appended to it."""

LEFT_ALONE = {
    f"{GCC} -shared -o lib.so": NO_PROGRAM[Role.SHARED],
    f"{MAC} -dynamiclib -o lib.dylib": NO_PROGRAM[Role.SHARED],
    f"{LD64} {MACOS} -dylib -exported_symbols_list l -o lib.dylib": NO_PROGRAM[Role.SHARED],
    f"{MAC} -bundle -o plugin": BUNDLE,
    f"{LD64} {MACOS} -bundle -exported_symbols_list l -o plugin": BUNDLE,
    f"{GCC} -static -o app": NO_PROGRAM[Role.STATIC],
    f"{GCC} -static-pie -o app": NO_PROGRAM[Role.STATIC],
    f"{LLD} -static -o app": NO_PROGRAM[Role.STATIC],
    f"{GCC} -r -o all.o": NO_PROGRAM[Role.RELOCATABLE],
    f"{LLD} --relocatable -o all.o": NO_PROGRAM[Role.RELOCATABLE],
    "gcc -c a.c -o a.o": NO_PROGRAM[Role.COMPILE],
    f"{GCC} -rdynamic -o app": ALL_EXPORTED,
    f"{GCC} -Wl,-E -o app": ALL_EXPORTED,
    f"{LLD} --export-dynamic -o app": ALL_EXPORTED,
    f"{MAC} -o app": ALL_EXPORTED,
    f"{LD64} {MACOS} -dead_strip -o app": ALL_EXPORTED,
    f"{ZIG}-macos a.o -o app": ALL_EXPORTED,
    f"{GCC} -Wl,--export-dynamic-symbol,main -o app": ALREADY,
    f"{MAC} -Wl,-exported_symbol,_main -o app": ALREADY,
    f"{MAC} -Wl,-unexported_symbol,_main -o app": HIDDEN,
    f"{MAC} -Wl,-no_exported_symbols -o app": HIDDEN,
    f"{LD64} {MACOS} -unexported_symbols_list l -o app": HIDDEN,
    "link.exe a.obj /OUT:app.exe": UNKNOWN_FAMILY,
}
"""Command -> why nothing is."""


@pytest.mark.parametrize("command", ADDED)
def test_what_is_appended(command: str) -> None:
    """Another option breaks the build, or exports nothing: a runtime then reports address 0."""
    exporting = export_anchor(CapturedCommand(shlex.split(command)), "main")
    assert (shlex.join(exporting.words), exporting.reason) == (ADDED[command], "")


@pytest.mark.parametrize("command", LEFT_ALONE)
def test_what_is_left_alone(command: str) -> None:
    """A list with one symbol hides all others, and a library or an object has no need of a program's option."""
    assert export_anchor(CapturedCommand(shlex.split(command)), "main") == ((), LEFT_ALONE[command])


@pytest.mark.parametrize("command", [command for command in ADDED if "zig ld" not in command])
def test_a_patch_goes_without(command: str) -> None:
    """The patch's own exports are asked for by name; an export list would hide them."""
    words = shlex.split(command)
    added = export_anchor(CapturedCommand(words), "main").words
    request = PatchRequest(objects=["p.o"], output="p.so")
    captured = CapturedCommand([*words, *added], "/", environment={"SDKROOT": "/sdk"}, added=added)
    plan = plan_link(captured, request)
    dropped = [edit for edit in plan.edits if edit.why == "the capture added it, for the host to export its anchor"]
    assert tuple(word for edit in dropped for word in edit.before) == added
    assert added[-1] not in plan.args
    assert [word for edit in plan.edits for word in edit.before] == [*words, *added]
    again = plan_link(captured, PatchRequest(objects=["p.o"], output="p.so", exports=["_main"]))
    assert "main" in shlex.join(again.args) or "zig" in command


def test_response_files_are_read(tmp_path: Path) -> None:
    """Rustc hands long links over in a file; whether it is a library stands in there."""
    (tmp_path / "args").write_text("-shared a.o")
    captured = CapturedCommand(["cc", "--target=aarch64-linux-gnu", "@args", "-o", "x"], tmp_path)
    assert export_anchor(captured, "main").reason == NO_PROGRAM[Role.SHARED]


@pytest.mark.parametrize("anchor", ["", "ma*n", "a,b", "a b", "-x", "m\u00e4in"])
def test_an_anchor_is_one_name(anchor: str) -> None:
    """The linkers' options take patterns, and commas would begin another option."""
    with pytest.raises(UsageError, match="give one symbol's name"):
        export_anchor(CapturedCommand(["gcc", "a.o"]), anchor)


def test_apples_names_have_an_underscore() -> None:
    """People write main on every platform, or what nm shows."""
    captured = CapturedCommand(shlex.split(f"{LD64} {MACOS} -exported_symbol _x"))
    assert export_anchor(captured, "anchor").words == export_anchor(captured, "_anchor").words
