"""The real drivers, asked with ``-###`` what they would run for a captured command and for its plan."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from linkplan.public_commands import UNIX, Command
from tools import need

from stubgen.linkplan import Action, LinkPlan, build_link_plan

FOREIGN = {
    "ndk-aidlab": "clang 19 has no -gcc-toolchain DIR any more",
    "ndk-r17-breakpad": "clang 19 has no -gcc-toolchain DIR any more",
    "libtool-pgcc-openmpi-dangling": "pgcc is not free",
    "xctool-octest-bundle-i386": "clang 19 knows no 32-bit simulator of that age",
    "chromium-libcxx-linkerdriver": "starts with a path relative to Chromium's build folder",
}
"""Commands whose driver has no stand-in, and why."""

DRIVERS = [command for command in UNIX if command.driver and command.complete and command.id not in FOREIGN]


def stand_in(command: Command, arguments: tuple[str, ...] | list[str]) -> list[str]:
    """*arguments* of *command*'s driver for the driver at hand: clang 19, or gcc of this machine."""
    name = command.argv[0].replace("\\", "/").rpartition("/")[2]
    words = list(arguments)
    if command.flavor == "darwin":
        target = [] if "-target" in words else ["-target", command.target]
        return [str(need("clang-19")), "-mlinker-version=700", *target, *words]
    if "clang" in name:
        target = [] if any("target" in word for word in words) else ["-target", command.target]
        return [str(need("clang-19")), *target, *words]
    return [str(need("gcc")), *words]


def linker_words(command: list[str], directory: Path) -> list[str]:
    """The linker invocation that *command* would make."""
    done = subprocess.run([*command, "-###"], check=False, capture_output=True, text=True, cwd=directory)
    lines = [line for line in done.stderr.splitlines() if re.match(r' "?\S*(ld|collect2|lld)"? ', line)]
    assert lines, f"{shlex.join(command)}: {done.stderr}"
    return shlex.split(lines[-1])


def move_into(tree: Path, argv: list[str]) -> list[str]:
    """*argv* with every absolute folder inside *tree*, and empty files where it has inputs."""
    moved = []
    for word in argv:
        word = re.sub(r"(?:(?<=^)|(?<=[=,:])|(?<=^-[LFBIR]))/(?=[A-Za-z])", f"{tree}/", word)  # noqa: PLW2901
        moved.append(word)
        if re.search(r"\.(o|a|so|dylib|rlib|rmeta)(\.[\d.]+)?$", word) and not word.startswith("-"):
            path = tree / word
            if path.is_relative_to(tree) and ".." not in path.parts:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return moved


def flat(argv: tuple[str, ...]) -> list[str]:
    """The words of *argv* as the linker sees them."""
    words: list[str] = []
    for word in argv:
        if word.startswith("-Wl,"):
            words += word[4:].split(",")
        elif word != "-Xlinker":
            words.append(word)
    return words


KIND = re.compile(
    r"-(pie|shared|dynamic-linker|no-dynamic-linker|dylib|bundle|static|export-dynamic|export_dynamic|no_pie)$|"
    r"--no-dynamic-linker$|/lib\S*ld\S*\.so|(.*/)?(S|g|M)?crt\w*\.o$|.*/ld\.so|/system/bin/linker|-l(crt|gcrt|bundle|dylib1)|"
    r"-lto_library|-dylib_|-headerpad|.*\.dylib$|-z$|(no)?text|-plugin-opt=-fresolution="
)
"""What a driver changes by itself between an executable and a library."""


def changed_words(plan: LinkPlan) -> tuple[Counter[str], Counter[str]]:
    """(gone, new) by the plan's own account."""
    gone: Counter[str] = Counter()
    new: Counter[str] = Counter()
    for edit in plan.edits:
        if edit.action is not Action.KEPT:
            before, after = Counter(flat(edit.before)), Counter(flat(edit.after))
            gone += before - after
            new += after - before
    return gone, new


@pytest.mark.parametrize("command", DRIVERS, ids=[command.id for command in DRIVERS])
def test_the_linker_sees_the_plans_changes_and_no_others(command: Command, tmp_path: Path) -> None:
    """An argument that the plan thinks it keeps, and that the driver reads as an operand, is lost without a trace."""
    argv = [command.argv[0], *move_into(tmp_path, command.argv[1:])]
    for name in ("patch.o", "stub.o"):
        (tmp_path / name).touch()
    plan = build_link_plan(argv, objects=["patch.o"], extra=["stub.o"], output="patch.so")
    captured = linker_words(stand_in(command, argv[1:]), tmp_path)
    planned = linker_words(stand_in(command, plan.args[1:]), tmp_path)
    gone, new = changed_words(plan)
    missing = [word for word in Counter(captured) - Counter(planned) if not KIND.match(word)]
    extra = [word for word in Counter(planned) - Counter(captured) if not KIND.match(word)]
    assert [word for word in missing if word not in gone] == []
    assert [word for word in extra if word not in new] == []
    assert {"stub.o", "patch.o", "patch.so"} <= set(planned)
    if command.flavor == "darwin":
        assert planned[planned.index("-undefined") + 1] == "dynamic_lookup"
    else:
        assert "--unresolved-symbols=ignore-all" in planned
        assert "-shared" in planned
