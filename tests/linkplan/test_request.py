"""What a plan is made from is checked at once: a wrong value would give a plan that looks right."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from stubgen.capture import Capture
from stubgen.errors import UsageError
from stubgen.linkplan import CapturedCommand, LinkerOs, PatchRequest, build_link_plan, plan_link

GCC = ["aarch64-linux-gnu-gcc", "x.o", "-lm"]
LINUX_CLANG = ["clang", "-target", "aarch64-linux-gnu"]


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"objects": "p.o"}, "objects is the one path p.o; give a list of paths"),
        ({"objects": Path("p.o")}, "objects is the one path p.o; give a list of paths"),
        ({"objects": []}, "a patch needs at least one object; name the rebuilt ones"),
        ({"objects": ["p.o", 5]}, "objects: 5 is no path"),
        ({"objects": [b"p.o"]}, "objects: b'p.o' is no path"),
        ({"objects": [""]}, "objects: '' is no path"),
        ({"objects": None}, "objects is None; give a list of paths"),
        ({"objects": {"p.o": "q.o"}}, "objects is {'p.o': 'q.o'}; give a list of paths"),
        ({"output": ["p.so"]}, "output: ['p.so'] is no path"),
        ({"output": ""}, "output: '' is no path"),
        ({"extra": "stub.o"}, "extra is the one path stub.o; give a list of paths"),
        ({"exports": "f"}, "exports is the one name f; give a list of names"),
        ({"exports": b"f"}, "exports is b'f'; give a list of names"),
        ({"exports": [b"f"]}, "exports: b'f' is no name"),
        ({"os": "windows"}, "os is 'windows'; it is one of macos, linux, other"),
        ({"os": 1}, "os is 1; it is one of macos, linux, other"),
        ({"host": ["app"]}, "host: ['app'] is no path"),
        ({"soname": ""}, "soname: '' is no name"),
        ({"soname": 1.5}, "soname: 1.5 is no name"),
        ({"relocatable": "no"}, "relocatable is 'no'; give True or False"),
        ({"relocatable": True, "keep_global": "f"}, "keep_global is the one name f; give a list of names"),
        (
            {"keep_global": ["f"]},
            "keep_global is for relocatable; a shared library's symbols are chosen with exports",
        ),
        ({"objcopy": None}, "objcopy: None is no path"),
        ({"export": ["f"]}, "export: no keyword of build_link_plan; did you mean exports?"),
        ({"response_file": {}}, "response_file: no keyword of build_link_plan; did you mean response_files?"),
        ({"directory": 3}, "directory: 3 is no path"),
        ({"directory": ""}, "directory: '' is no path"),
        ({"response_files": ["a.rsp"]}, "response_files is ['a.rsp']; give a mapping from names to paths"),
        ({"response_files": []}, "response_files is []; give a mapping from names to paths"),
        ({"response_files": {"a.rsp": 1}}, "response_files['a.rsp']: 1 is no path"),
        ({"environment": [("A", "B")]}, "environment is [('A', 'B')]; give a mapping from names to texts"),
        ({"environment": {"A": 1}}, "environment['A']: 1 is no text"),
        ({"environment": {1: "A"}}, "environment: 1 is no name"),
    ],
)
def test_wrong_wishes_are_refused_in_one_sentence(wishes: dict[str, Any], sentence: str) -> None:
    """``exports="main"`` exported m, a, i and n, ``os="macos"`` planned for Linux, ``relocatable="no"`` merged."""
    with pytest.raises(UsageError) as caught:
        build_link_plan(GCC, **{"objects": ["p.o"], "output": "p.so", **wishes})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("gcc x.o", "argv is the one word gcc x.o; give a list of words"),
        (b"gcc", "argv is b'gcc'; give a list of words"),
        (["gcc", b"x.o"], "argv: b'x.o' is no text"),
        (["gcc", 5], "argv: 5 is no text"),
        (None, "argv is None; give a list of words"),
    ],
)
def test_a_command_that_is_no_list_of_words_is_refused(argv: Any, sentence: str) -> None:
    """A shell line taken for a list would be planned letter by letter."""
    with pytest.raises(UsageError) as caught:
        build_link_plan(argv, objects=["p.o"], output="p.so")
    assert str(caught.value) == sentence


def test_what_is_needed_is_asked_for() -> None:
    """A caller who forgets the output is told so as everywhere else, not by a traceback."""
    wishes: dict[str, Any] = {"objects": ["p.o"]}
    with pytest.raises(UsageError, match=r"^output is missing; build_link_plan needs objects and output$"):
        build_link_plan(GCC, **wishes)
    with pytest.raises(UsageError, match=r"^output is missing; a patch request needs objects and output$"):
        PatchRequest(**wishes)
    with pytest.raises(UsageError, match=r"^zzz: no keyword of a patch request; it knows objects, output, extra"):
        PatchRequest(**wishes, output="p.so", zzz=1)


@pytest.mark.parametrize("system", list(LinkerOs))
def test_a_systems_value_is_as_good_as_the_system(system: LinkerOs) -> None:
    """Builders keep it in their configuration, as text; taken for no system at all it gave a plan for another one."""
    plans = {build_link_plan(["cc", "x.o"], objects=["p.o"], output="p.so", os=os) for os in (system, system.value)}
    assert [plan.os for plan in plans] == [system]


def test_both_ways_to_call_are_one() -> None:
    """The keywords are how people call it; the objects are how a program passes them on."""
    request = PatchRequest(objects=iter([Path("p.o")]), output=Path("p.so"), exports=("f",), extra=["stub.o"])  # type: ignore[typeddict-item]
    captured = CapturedCommand(GCC, directory=Path("/build"), environment={})
    plan = plan_link(captured, request)
    assert plan == build_link_plan(
        argv=GCC,
        objects=["p.o"],
        output="p.so",
        exports=["f"],
        extra=["stub.o"],
        directory="/build",
        environment={},
    )


def test_requests_can_be_copied_and_sent() -> None:
    """A build system hands them to its worker processes."""
    request = PatchRequest(objects=["p.o"], output="p.so", os="linux")
    captured = CapturedCommand(LINUX_CLANG, response_files={"a.rsp": "copy.rsp"})
    for value in (request, captured):
        assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == value
    assert type(copy.copy(request)) is PatchRequest


def test_a_record_is_a_captured_command(tmp_path: Path) -> None:
    """What the capture kept reaches the plan: its folder, its copies of response files, its environment."""
    copied = tmp_path / "copy.rsp"
    copied.write_text("x.o -lkept")
    record = Capture(["gcc", "@gone.rsp"], tmp_path, {"PATH": "/bin"}, response_files={"gone.rsp": copied})
    captured = record.command()
    assert captured == (("gcc", "@gone.rsp"), str(tmp_path), {"gone.rsp": str(copied)}, {"PATH": "/bin"}, ())
    plan = plan_link(captured, PatchRequest(objects=["p.o"], output="p.so", os="linux"))
    assert "-lkept" in plan.args
    assert plan.directory == str(tmp_path)
