"""The real linkers, given the planned options of every public command, a real stub and a real patch.

Libraries, frameworks and start files of machines that are not here get empty stand-ins; every option is the plan's.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from linkplan.public_commands import UNIX, Command
from linkplan.test_driver_oracle import FOREIGN, linker_words, move_into, stand_in
from tools import need

from stubgen.linkplan import build_link_plan

PATCH = "int helper(int); int entry(int x) { return helper(x) * 2; }"
STUB = ".weak {0}\n.hidden {0}\n{0}:\n .long 0\n.section .note.GNU-stack\n"
STUB_MACHO = ".private_extern {0}\n.weak_definition {0}\n{0}:\n .long 0\n.subsections_via_symbols\n"

MACHINES = re.compile(r"x86_64|aarch64|arm64|armv7|i686|powerpc64le|riscv64")
SKIPPED = {
    **FOREIGN,
    "cmake-mingw-collect2": "links for Windows",
    "cmake-mingw-objects": "links for Windows",
    "bazel-dummydata-params-only": "everything is in a response file that is gone",
    "bazel-riscv-params-only": "everything is in a response file that is gone",
    "rustlld-sgx": "exports symbols that only the enclave's own objects define",
    "cmake-ld-dreal-noundefined": "has an option that no Apple linker takes",
    "xcode-iossim-dylib-wrap": "names response files that are gone",
    "xcode-iossim-x86_64-dylib-wrap": "names response files that are gone",
    "swiftbuild-linux-r-linkfilelist": "names a response file that is gone",
    "xctool-framework-asan": "needs the sanitizer's runtime",
    "cmake-netbsd-ld": "has options of NetBSD's ld",
    "cmake-xlc-ppc64le-ld": "has options that lld does not take",
    "cmaketest-sunstudio-linux-ld": "has options of Sun's ld",
    "kernel-vdso-bfd": "needs the kernel's linker script",
    "rustc-i686-dylib-rmeta": "needs 32-bit start files",
    "rustc-android-cdylib-nix": "needs an Android gcc, which has been gone for years",
}


def usable(command: Command) -> bool:
    """Say whether a compiler and a linker for *command*'s machine are here."""
    return bool(command.complete and command.id not in SKIPPED and MACHINES.match(command.target))


COMMANDS = [command for command in UNIX if usable(command)]


@cache
def objects(target: str) -> tuple[bytes, bytes]:
    """(stub.o, patch.o) for *target*."""
    clang = str(need("clang-19"))
    macho = "apple" in target
    name = "_helper" if macho else "helper"

    def compiled(language: str, text: str) -> bytes:
        command = [clang, "-target", target, "-fPIC", "-ffreestanding", "-x", language, "-c", "-o", "-", "-"]
        return subprocess.run(command, input=text.encode(), check=True, capture_output=True).stdout

    return compiled("assembler", (STUB_MACHO if macho else STUB).format(name)), compiled("c", PATCH)


def stand_ins(words: list[str], folder: Path) -> list[str]:
    """*words*, with an empty library, framework or object wherever they name one that is not here."""
    here = []
    frameworks = re.compile(r"-(weak_|needed_|reexport_)?framework")
    for position, word in enumerate(words):
        previous = words[position - 1] if position else ""
        if frameworks.fullmatch(previous):
            path = folder / f"{word}.framework" / f"{word}.tbd"
            path.parent.mkdir(exist_ok=True)
            path.write_text(TBD.format(word))
        elif word in ("-ldylib1.o", "-ldylib1.10.5.o", "-lbundle1.o"):
            continue
        elif re.match(r"-l[^:]", word) and not previous.startswith(("-u", "-framework")):
            (folder / f"lib{word[2:]}.a").write_bytes(b"!<arch>\n")
        elif word == "-macosx_version_min":
            here += ["-platform_version", "macos", "11.0"]
            continue
        elif words[position - 3 : position - 2] == ["-sectcreate"]:
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
        elif word.startswith("-l:"):
            word = "-l:empty.a"  # noqa: PLW2901
            (folder / "empty.a").write_bytes(b"!<arch>\n")
        elif re.search(r"(crt\w*\.o|\.a)$", word) and not Path(word).exists() and not word.startswith("-"):
            continue
        elif re.search(r"\.so[.\d]*$|\.dylib$", word) and previous in ("-lto_library", "-plugin"):
            here.pop()
            continue
        elif word.startswith("-plugin-opt=") or (
            not word.startswith("-")
            and previous not in ("-o", "-soname", "-install_name")
            and FOREIGN_FILE.search(word)
        ):
            continue
        here.append(word)
    return here


FOREIGN_FILE = re.compile(r"\.so[.\d]*$|\.dylib$|\.tbd$|(crt\w*|clang_rt\.crt[\w-]+|swiftrt)\.o$|clang_rt\.[\w.-]+\.a$")
"""Shared libraries, start-up and run-time code by path, of machines that are not here."""

TBD = """--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos, x86_64-macos, arm64-ios-simulator, x86_64-ios-simulator, i386-macos ]
install-name: '/{0}'
...
"""


def linkers(command: Command) -> list[str]:
    """The linkers here that can link for *command*'s machine."""
    if command.flavor == "darwin":
        return ["ld64.lld-19"]
    gnu = {"x86_64": "x86_64-linux-gnu-ld", "aarch64": "aarch64-linux-gnu-ld"}
    own = gnu.get(command.target.partition("-")[0])
    if own is None:
        return ["ld.lld-19"]
    if any("--no-rosegment" in word for word in command.argv):  # lld's and mold's
        return ["ld.lld-19", "mold"]
    return ["ld.lld-19", own, "mold"]


CASES = [(command, linker) for command in COMMANDS for linker in linkers(command)]


@pytest.mark.parametrize(("command", "linker"), CASES, ids=[f"{command.id}-{linker}" for command, linker in CASES])
def test_the_linker_accepts_the_planned_options(command: Command, linker: str, tmp_path: Path) -> None:
    """A plan that the linker rejects is worth nothing, however well it explains itself."""
    argv = [command.argv[0], *move_into(tmp_path, command.argv[1:])]
    stub, patch = objects(command.target)
    plan = build_link_plan(argv, objects=["patch.o"], extra=["stub.o"], output="patch.so")
    for name in ("stub.o", "patch.o"):
        (tmp_path / name).write_bytes(b"")
    words = list(plan.args[plan.fixed :])
    if command.driver:
        words = linker_words(stand_in(command, words), tmp_path)[1:]
    (tmp_path / "stub.o").write_bytes(stub)
    (tmp_path / "patch.o").write_bytes(patch)
    libraries = tmp_path / "stand-ins"
    libraries.mkdir()
    for folder in re.findall(r"(?:--sysroot=|-syslibroot |-isysroot )(\S+)", " ".join(words)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for path in tmp_path.rglob("*.so*"):  # the driver wanted them to be there; a linker wants more
        path.unlink()
    words = [*stand_ins(words, libraries), f"-L{libraries}"]
    if command.flavor == "darwin":
        words.append(f"-F{libraries}")
    done = subprocess.run([str(need(linker)), *words], check=False, capture_output=True, text=True, cwd=tmp_path)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert (done.returncode, errors) == (0, []), done.stderr[:400]
    assert (tmp_path / "patch.so").stat().st_size > 0
