"""People patch on every save: planning must not show beside the link."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from stubgen.linkplan import CapturedCommand, LinkPlan, PatchRequest, plan_link

COMPARISONS = ("__eq__", "__hash__")


class Word(str):
    """A word whose comparisons run as Python code, so that a search through a list of words is counted as well."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


@contextmanager
def counted_steps() -> Iterator[Callable[[], int]]:
    """Count what Python executes: every bytecode instruction, in whichever function."""
    steps = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object]:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: steps
    finally:
        sys.settrace(before)


def gcc(count: int, folder: Path) -> list[str]:
    """What rustc gives to a driver for a fat build: objects, search folders, libraries, lists for the linker."""
    del folder
    words = ["aarch64-linux-gnu-gcc", "-o", "full"]
    for number in range(count):
        words += [f"{number}.o", f"-Lfolder{number}", f"-l{number}", f"-Wl,-z,now,--defsym=s{number}=0,lib{number}.a"]
        words += ["-Xlinker", "-rpath", "-Xlinker", f"/x{number}", "-Wl,-soname", f"-Wl,n{number}", "-z", "defs"]
    return words


def one_list(count: int, folder: Path) -> list[str]:
    """One ``-Wl,`` with all of them, and one option whose operands never come."""
    return ["clang", "-Xlinker", "-rpath", *["-O2"] * count, f"-Wl,{','.join(gcc(count, folder)[1:])}"]


def ld64(count: int, folder: Path) -> list[str]:
    """Apple's linker, run by itself."""
    del folder
    words = ["ld64.lld", "-arch", "arm64", "-o", "full"]
    for number in range(count):
        words += [f"{number}.o", "-force_load", f"{number}.a", "-sectcreate", "A", "B", f"{number}", f"-l{number}"]
    return words


def windows(count: int, folder: Path) -> list[str]:
    """A command that is only stripped."""
    del folder
    return ["link.exe", "/OUT:full.dll", *[f"{number}.obj" for number in range(count)], *["/nologo"] * count]


def response_files(count: int, folder: Path) -> list[str]:
    """All of it in one file, and as many files that are not there."""
    (folder / "all.rsp").write_text("\n".join(gcc(count, folder)[1:]))
    return ["gcc", "@all.rsp", *[f"@{number}.rsp" for number in range(count)]]


def steps_of(command: list[str], folder: Path) -> tuple[int, LinkPlan]:
    """Instructions that planning *command* takes, and the plan."""
    captured = CapturedCommand([Word(word) for word in command], directory=folder, environment={})
    objects = [Word(f"{number}.o") for number in range(len(command) // 10)]
    request = PatchRequest(objects=objects, output="p.so", exports=[Word(name) for name in objects])
    with counted_steps() as steps:
        plan = plan_link(captured, request)
    return steps(), plan


@pytest.mark.parametrize("command", [gcc, one_list, ld64, windows, response_files])
def test_twice_the_arguments_are_twice_the_work(command: Callable[[int, Path], list[str]], tmp_path: Path) -> None:
    """A fat build's command has 20,000 arguments; if each looked at all others, a patch would take minutes."""
    steps_of(command(20, tmp_path), tmp_path)  # tables are read, and Python 3.13 has prepared itself to count
    single, _ = steps_of(command(60, tmp_path), tmp_path)
    double, plan = steps_of(command(120, tmp_path), tmp_path)
    assert len(plan.edits) > 120 or command is response_files
    assert single > 60 * 20, "the work was not counted"
    assert double / single < 2.2
