"""The pip-installable toolchain as the demo's user has it: a C compiler for both targets, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.demo.screen import Screen

COMPILER = (sys.executable, "-m", "ziglang", "cc")
PROGRAMS = Path(__file__).with_name("programs")


class DemoFailed(Exception):
    """A step did not do what the story says; the message is for the person who reads it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A system to build for, and where its loader puts things."""

    title: str
    triple: str
    patch_name: str
    compile_options: tuple[str, ...]
    link_options: tuple[str, ...]  # they come before the object
    libraries: tuple[str, ...]  # these behind it
    host_slides: range  # bytes, whole pages
    patch_slides: range


LINUX = Target(
    title="aarch64 Linux",
    triple="aarch64-linux-gnu",
    patch_name="patch.so",
    compile_options=("-fPIC",),
    link_options=("-pie",),
    libraries=("-ldl",),
    host_slides=range(0xAAAA_0000_0000, 0xAAAB_0000_0000, 0x1000),
    patch_slides=range(0xFFFF_8000_0000, 0xFFFF_F000_0000, 0x1000),
)
MACOS = Target(
    title="arm64 macOS",
    triple="aarch64-macos",
    patch_name="patch.dylib",
    compile_options=(),
    link_options=(),
    libraries=(),
    host_slides=range(0x4000, 0x800_0000, 0x4000),  # a program's static addresses begin at 4 GiB
    patch_slides=range(0x1_4000_0000, 0x1_8000_0000, 0x4000),
)


def compile_c(target: Target, source: str, folder: Path) -> Path:
    """Compile program *source* into *folder*; the object."""
    output = folder / source.replace(".c", ".o")
    told = ("-O0", "-g", "-fno-sanitize=all")  # it says of each static function what it takes
    options = ("-target", target.triple, *told, *target.compile_options)
    done = subprocess.run(
        [*COMPILER, *options, "-c", PROGRAMS / source, "-o", output], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoFailed(f"{source} does not compile:\n{done.stderr}")
    return output


def link_command(target: Target, program: str) -> list[str]:
    """The command that links *program* from its object, to run in its folder."""
    # -O1: the toolchain builds its runtime at the same level, once, and that is four times faster than at -O0
    options = ("-target", target.triple, "-O1", *target.link_options)
    return [*COMPILER, *options, f"{program}.o", *target.libraries, "-o", program]


def run_patiently(command: Sequence[str], folder: Path, screen: Screen, label: str, reason: str) -> None:
    """Run *command* in *folder*, and say *reason* if it takes long."""
    with tempfile.TemporaryFile() as output, screen.waiting(label, reason) as waiting:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        while True:
            try:
                status = process.wait(timeout=0.25)
                break
            except subprocess.TimeoutExpired:
                waiting.tick()
            except BaseException:
                process.kill()
                raise
        output.seek(0)
        messages = output.read().decode(errors="replace")
    if status:
        raise DemoFailed(f"{' '.join(command)}\nended with status {status}:\n{messages}")
