"""The account of a captured command, edit by edit: what ``plan --explain`` and a report show of each argument."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stubgen.errors import UnreadableInput, UsageError
from stubgen.linkplan import Action, LinkerOs, LinkPlan, build_link_plan, linker_os_for_host, plan
from stubgen.linkplan.library_file import FileKind, LibraryFile
from stubgen.linkplan.options import Role

KEPT, DROPPED, REPLACED = Action.KEPT, Action.DROPPED, Action.REPLACED
ONLY_REBUILT = "the patch links only what was rebuilt"
HOSTS_NAME = "names the host's file"
IDENTITY = "the loader would return the loaded host instead of the patch"
NOTHING = "a response file with nothing to change"
COPIED = "the file may be gone when the patch is linked; these are its arguments"
EXECUTABLE = "means something for an executable only"
WRAPPED = "what the patch calls goes where the host's calls went"
Row = tuple[Action, str, str, str, tuple[Role, ...]]

FILES = {
    "stays.rsp": "-lm -lz",
    "partly.rsp": "-lm main.o -o app",
    "goes.rsp": "main.o -o app",
    "wrap.rsp": "-Wl,--wrap,f main.o",
    "list.rsp": "-Wl,-soname,x,-z,now",
}
ACCOUNTS: dict[str, list[Row]] = {
    # a captured command, and what became of its arguments: before, after, why, the roles for which something went
    "-lm main.o": [(KEPT, "-lm", "-lm", "", ()), (DROPPED, "main.o", "", ONLY_REBUILT, (Role.INPUT,))],
    "@stays.rsp -lc main.o": [
        (KEPT, "@stays.rsp", "@stays.rsp", NOTHING, ()),
        (KEPT, "-lc", "-lc", "", ()),
        (DROPPED, "main.o", "", ONLY_REBUILT, (Role.INPUT,)),
    ],
    "@stays.rsp @stays.rsp": [(KEPT, "@stays.rsp", "@stays.rsp", NOTHING, ())] * 2,
    "@partly.rsp -lc": [
        (
            REPLACED,
            "@partly.rsp",
            "-lm",
            f"3 of its 4 arguments go: {ONLY_REBUILT}; {HOSTS_NAME}",
            (Role.INPUT, Role.OUTPUT),
        ),
        (KEPT, "-lc", "-lc", "", ()),
    ],
    "@goes.rsp": [(DROPPED, "@goes.rsp", "", f"{ONLY_REBUILT}; {HOSTS_NAME}", (Role.INPUT, Role.OUTPUT))],
    "@list.rsp": [(REPLACED, "@list.rsp", "-Wl,-z,now", f"parts of its arguments go: {IDENTITY}", (Role.IDENTITY,))],
    "@copied.rsp": [(REPLACED, "@copied.rsp", "-lm -lz", COPIED, ())],
    "-o app -lm": [(DROPPED, "-o app", "", HOSTS_NAME, (Role.OUTPUT,)), (KEPT, "-lm", "-lm", "", ())],
    "-Wl,-soname,x,-o,y,-z,now": [
        (
            REPLACED,
            "-Wl,-soname,x,-o,y,-z,now",
            "-Wl,-z,now",
            f"{IDENTITY}; {HOSTS_NAME}",
            (Role.IDENTITY, Role.OUTPUT),
        )
    ],
    "-Wl,-z,now,-rpath,/x": [(KEPT, "-Wl,-z,now,-rpath,/x", "-Wl,-z,now,-rpath,/x", "", ())],
    "-Wl,-e,main,--entry=f": [(DROPPED, "-Wl,-e,main,--entry=f", "", EXECUTABLE, (Role.EXECUTABLE,))],
    "-Wl,-soname -Wl,x -lm": [
        (DROPPED, "-Wl,-soname -Wl,x", "", IDENTITY, (Role.IDENTITY,)),
        (KEPT, "-lm", "-lm", "", ()),
    ],
    "-Xlinker -rpath -Xlinker /x -lm": [
        (KEPT, "-Xlinker -rpath -Xlinker /x", "-Xlinker -rpath -Xlinker /x", "", ()),
        (KEPT, "-lm", "-lm", "", ()),
    ],
    "-Xlinker -rpath -Wl,/x,-soname,y -lm": [
        (KEPT, "-Xlinker -rpath", "-Xlinker -rpath", "", ()),
        (REPLACED, "-Wl,/x,-soname,y", "-Wl,/x", IDENTITY, (Role.IDENTITY,)),
        (KEPT, "-lm", "-lm", "", ()),
    ],
    "-Wl,--wrap,f,-z,now": [(KEPT, "-Wl,--wrap,f,-z,now", "-Wl,--wrap,f,-z,now", WRAPPED, ())],
    "-Wl,--wrap,f,-soname,x": [
        (REPLACED, "-Wl,--wrap,f,-soname,x", "-Wl,--wrap,f", IDENTITY, (Role.IDENTITY,)),
    ],
    "@wrap.rsp": [(REPLACED, "@wrap.rsp", "-Wl,--wrap,f", f"1 of its 2 arguments go: {ONLY_REBUILT}", (Role.INPUT,))],
    "-lm @gone.rsp": [
        (KEPT, "-lm", "-lm", "", ()),
        (KEPT, "@gone.rsp", "@gone.rsp", "a response file that is not there", ()),
    ],
}


@pytest.mark.parametrize("captured", ACCOUNTS)
def test_what_became_of_each_argument(captured: str, tmp_path: Path) -> None:
    """Whoever asks why an argument is gone is told of that one, with its own reason."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    made = build_link_plan(
        ["gcc", *captured.split()],
        objects=["p.o"],
        output="p.so",
        directory=tmp_path,
        response_files={"copied.rsp": str(tmp_path / "stays.rsp")},
    )
    program, *edits = (edit for edit in made.edits if edit.action is not Action.ADDED)
    assert program[:4] == (KEPT, ("gcc",), ("gcc",), "the program that links")
    assert [(e.action, " ".join(e.before), " ".join(e.after), e.why, e.dropped_roles) for e in edits] == ACCOUNTS[
        captured
    ]


def test_what_takes_an_arguments_place(tmp_path: Path) -> None:
    """A program's start-up object becomes a library's: with the program's the patch looks for a ``main``."""
    for name in ("crtbegin.o", "crtbeginS.o"):
        (tmp_path / name).touch()
    begin, other = (str(tmp_path / name) for name in ("crtbegin.o", "crtbeginS.o"))
    why = "an executable's; a shared library has the other"
    (tmp_path / "a.rsp").write_text(f"{begin} -lm")
    alone = ("ld.bfd", begin, "-lm"), (REPLACED, (begin,), (other,), why, ())
    listed = (
        ("gcc", "-nostdlib", f"-Wl,{begin},-z,now"),
        (
            REPLACED,
            (f"-Wl,{begin},-z,now",),
            (f"-Wl,{other},-z,now",),
            why,
            (),
        ),
    )
    unfolded = (
        ("ld.bfd", f"@{tmp_path}/a.rsp"),
        (
            REPLACED,
            (f"@{tmp_path}/a.rsp",),
            (other, "-lm"),
            f"parts of its arguments go: {why}",
            (),
        ),
    )
    for command, edit in (alone, listed, unfolded):
        made = build_link_plan(command, objects=["p.o"], output="p.so")
        assert edit in made.edits, made.edits


@pytest.mark.parametrize(
    "command",
    ["x86_64-w64-mingw32-gcc main.o", "clang --target=aarch64-pc-windows-gnu main.o"],
)
def test_windows_is_a_guess(command: str) -> None:
    """Nobody has seen a patch there work."""
    (warning,) = build_link_plan(command.split(), objects=["p.o"], output="p.so").warnings
    assert warning.endswith(": hot patches for Windows are not supported; the plan is a guess")
    assert build_link_plan(["gcc", "main.o"], objects=["p.o"], output="p.so").warnings == ()


def test_a_relocatable_links_second_command() -> None:
    """The tool that the caller names makes the other symbols local."""
    wishes: dict[str, Any] = {"objects": ["p.o"], "output": "p.o.all", "relocatable": True, "keep_global": ["f"]}
    made = build_link_plan(["gcc", "main.o"], objcopy="/opt/objcopy", **wishes)
    assert made.localize == ("/opt/objcopy", "--keep-global-symbol=f", "p.o.all")


def test_the_system_is_the_commands_unless_the_caller_says_so() -> None:
    """The form of a stub object follows from it."""
    wishes: dict[str, Any] = {"objects": ["p.o"], "output": "p.so"}
    assert build_link_plan(["aarch64-linux-gnu-gcc", "main.o"], **wishes).os is LinkerOs.LINUX
    assert build_link_plan(["clang", "-target", "arm64-apple-macos13", "main.o"], **wishes).os is LinkerOs.MACOS
    assert build_link_plan(["clang", "main.o"], os=LinkerOs.MACOS, **wishes).os is LinkerOs.MACOS


# the plan as a record


def a_plan(args: Sequence[str], *, fixed: int = 1, system: LinkerOs = LinkerOs.LINUX) -> LinkPlan:
    """A plan of nothing but arguments."""
    return LinkPlan(tuple(args), "out/p.so", (), None, (), system, fixed)


def test_a_command_goes_behind_a_file_where_the_system_would_refuse_it(tmp_path: Path) -> None:
    """The system counts each argument, its end and a pointer: 9 bytes beside its own."""
    args = ["cc", "-shared", "größe.o"]
    size = 2 + 7 + 9 + 3 * 9
    made = a_plan(args)
    assert made.command(tmp_path, limit=size) == args
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "p.so.rsp"
    assert made.command(tmp_path, limit=size - 1) == ["cc", f"@{file}"]
    assert file.read_text().split() == ["-shared", "größe.o"]
    assert a_plan(args, fixed=2).command(tmp_path, limit=0) == ["cc", "-shared", f"@{file}"]
    assert file.read_text().split() == ["größe.o"]


def test_each_system_reads_its_own_response_files(tmp_path: Path) -> None:
    """A backslash is a letter to Windows' programs, and takes the next one's meaning to others."""
    a_plan(["link", r"a\b c.obj"], system=LinkerOs.OTHER).command(tmp_path, limit=0)
    windows = (tmp_path / "p.so.rsp").read_text()
    a_plan(["link", r"a\b c.obj"]).command(tmp_path, limit=0)
    assert r"a\b c.obj" in windows
    assert r"a\\b" in (tmp_path / "p.so.rsp").read_text()


def test_a_response_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The folder is named, by an error of ours."""
    with pytest.raises(UsageError, match=r"p\.so\.rsp: cannot be written"):
        a_plan(["cc", "a.o"]).command(tmp_path / "nowhere", limit=0)
    with pytest.raises(UsageError, match=r"temporary_directory\b"):
        a_plan(["cc", "a.o"]).command(5, limit=0)  # type: ignore[arg-type]  # a wrong one
    with pytest.raises(UsageError, match=r"limit\b"):
        a_plan(["cc", "a.o"]).command(tmp_path, limit="many")  # type: ignore[arg-type]  # likewise


def test_what_a_new_process_may_get(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is a few bytes too long fails with E2BIG after minutes of compiling."""

    def says(limit: int) -> Callable[[str], int]:
        return lambda name: limit if name == "SC_ARG_MAX" else -1

    monkeypatch.setattr(os, "environ", {"A": "bc", "DE": "f"})
    monkeypatch.setattr(os, "sysconf", says(100_000))
    assert plan.argument_limit() == 100_000 - (3 + 10) - (3 + 10) - 4096
    monkeypatch.setattr(os, "sysconf", says(5000))
    assert plan.argument_limit() == 4096
    monkeypatch.setattr(os, "sysconf", says(4096 + 26 + 4096))
    assert plan.argument_limit() == 4096
    monkeypatch.setattr(os, "sysconf", says(4096 + 26 + 4097))
    assert plan.argument_limit() == 4097
    monkeypatch.delattr(os, "sysconf")
    assert plan.argument_limit() == 30_000


MAGICS = {
    b"\x7fELF": LinkerOs.LINUX,
    b"\xcf\xfa\xed\xfe": LinkerOs.MACOS,
    b"\xce\xfa\xed\xfe": LinkerOs.MACOS,
    b"\xca\xfe\xba\xbe": LinkerOs.MACOS,
    b"\xca\xfe\xba\xbf": LinkerOs.MACOS,
    b"MZ\x90\x00": LinkerOs.OTHER,
    b"": LinkerOs.OTHER,
}


@pytest.mark.parametrize("magic", MAGICS)
def test_a_hosts_system(magic: bytes, tmp_path: Path) -> None:
    """A plan for another system links nothing that the host's loader takes."""
    file = tmp_path / "host"
    file.write_bytes(magic + (b"rest" if magic else b""))
    assert linker_os_for_host(file) is MAGICS[magic]


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    """It is named, and so is what is wrong with an argument that is no path."""
    with pytest.raises(UnreadableInput, match="nowhere"):
        linker_os_for_host(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"host\b"):
        linker_os_for_host(5)  # type: ignore[arg-type]  # a wrong one


def test_the_document_of_a_plan() -> None:
    """Programs read it by its keys; one that is renamed is gone for them."""
    shared = LibraryFile("/lib/libm.so", FileKind.SHARED, False, "-lm in /lib")
    archive = LibraryFile("/lib/libx.a", FileKind.ARCHIVE, True, "-lx in /lib")
    edit = plan.Edit(DROPPED, ("main.o",), ("p.o",), "because", (Role.INPUT,))
    made = LinkPlan(("cc", "p.o"), "p.so", (edit,), "/build", ("careful",), LinkerOs.LINUX, 1, ("objcopy",), ("f",))
    made = made._replace(libraries=(shared, archive))
    assert plan.document(made) == {
        "args": ["cc", "p.o"],
        "output": "p.so",
        "os": "linux",
        "directory": "/build",
        "localize": ["objcopy"],
        "wrapped": ["f"],
        "archives": [{"path": "/lib/libx.a", "whole": True, "found": "-lx in /lib"}],
        "warnings": ["careful"],
        "edits": [{"action": "dropped", "before": ["main.o"], "after": ["p.o"], "why": "because"}],
    }
    assert plan.document(made._replace(directory=None))["directory"] is None
