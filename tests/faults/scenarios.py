"""The commands that write, each with every option that writes something, and the files that it is given.

A command is in :data:`SCENARIOS` or in :data:`READERS`; the tests hold both against the command line's own table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from synthetic import BASE, Sym, elf_host, put
from tools import need, run

ROOT = Path(__file__).parents[2]
REFERENCE = 0x5500000000
HOST = "int data = 3; int helper(int n) { return n + data; } int main(void) { return helper(0); }\n"
PART = "int data = 3; int helper(int n) { return n + data; }\n"
PATCH = "int helper(int); extern int data; int main(void) { return helper(1) + data; }\n"


class Scenario(NamedTuple):
    """A command that writes."""

    words: str
    program: str = "stubgen"  # the module that is run, and a function in it
    first: str = ""  # the output that appears last, whose presence means that the others are there
    records: bool = False  # each record is complete by itself, before and after its link
    needs: str = "small"  # the kind of folder that it is run in
    input: str = ""  # file for standard input


LINK = "--host host --aslr-reference {reference} --captured captured"
SCENARIOS = {
    "build": Scenario(
        "build --host host --aslr-reference {reference} --bound-dir bound --report r.html -o stub.o patch.o",
        first="stub.o",
    ),
    "link": Scenario(
        f"link {LINK} --stub stub.o --bound-dir bound --map map.json --report r.html --override-map over.json "
        "--jump-table table.json -o patch.so patch.o",
        first="patch.so",
    ),
    "link keep-temps": Scenario(f"link {LINK} --keep-temps -o patch.so patch.o", first="patch.so"),
    "link session": Scenario(
        f"link {LINK} --session session --jump-table table-{{{{generation}}}}.json --relink-earlier "
        "-o patch-{{generation}}.so patch.o",
    ),
    "session loaded": Scenario("session session loaded 1 {loaded}", first="session"),
    "session not-loaded": Scenario("session session not-loaded 1", first="session"),
    "session undo": Scenario("session session undo --to 0 --stub undo.o --jump-table table-2.json -o patch-2.so"),
    "recompile": Scenario("recompile --captured captured -o objects patch.c"),
    "patch": Scenario(f"patch {LINK} --changed patch.c --objects objects --map map.json -o patch.so", first="patch.so"),
    "link Mach-O session": Scenario(
        f"link {LINK} --session session --loaded {{loaded}} --bound-dir bound -o patch-{{{{generation}}}}.dylib new.o",
        needs="Mach-O",
    ),
    "jumptable": Scenario("jumptable --host host --object patch.o -o table.json old/patch-1.so", first="table.json"),
    "check": Scenario("check --host host --object patch.o --map map.json old/patch-1.so", first="map.json"),
    "capture": Scenario("capture --dir records --export-anchor main -- ./ld @words -o linked", records=True),
    "linker": Scenario("@words -o linked", program="stubgen.capture:linker_main", records=True),
    "compiler": Scenario("./gcc -c patch.c -o linked", program="stubgen.capture:compiler_main", records=True),
    "cache build": Scenario("cache --build many", needs="many"),
    "cache clear": Scenario("cache --clear", needs="many"),
    "index": Scenario("{folder}/many ", program="stubgen.host.index", needs="many"),
    "serve": Scenario("serve", first="served.so", input="requests"),
}
"""Name, the command first -> the command."""

READERS = {
    "plan": "plan --captured captured/{record} --object patch.o -o patch.so",
    "explain": "explain helper --host host --aslr-reference {reference} patch.o",
    "reach": "reach --host host helper",
    "inspect": "inspect patch.o",
    "verify": "verify old/stub.o",
    "captures": "captures captured",
    "completion": "completion bash",
}
"""The commands that write nothing but the cache -> one of each."""


def environment(folder: Path) -> dict[str, str]:
    """Variables that keep everything in *folder*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STUBGEN_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # the nth operation, and the nth call, is the same one each time
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "STUBGEN_CACHE_DIR": str(folder / "cache"),
        "STUBGEN_CAPTURE_DIR": str(folder / "records"),
        "STUBGEN_REAL_LINKER": str(folder / "ld"),
        "COLUMNS": "200",
    }


def prepare(folder: Path, kind: str) -> None:
    """Make the files of a *kind* of folder."""
    for name in ("tmp", "home"):
        (folder / name).mkdir(parents=True)
    if kind == "many":
        put(folder, "many", elf_host([Sym("main", BASE), *(Sym(f"f{n}", BASE + 4 * n) for n in range(1, 20_100))]))
        moment = (folder / "many").stat().st_mtime_ns - 10**11
        os.utime(folder / "many", ns=(moment, moment))
        _stubgen(folder, "cache", "--build", "many")
        shutil.copytree(folder / "cache", folder / "full")
        return
    if kind == "Mach-O":
        _prepare_macho(folder)
        shutil.rmtree(folder / "cache", ignore_errors=True)
        return
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (folder / "host.c").write_text(HOST)
    (folder / "patch.c").write_text(PATCH)
    variables = environment(folder) | {"STUBGEN_CAPTURE_DIR": str(folder / "captured"), "STUBGEN_REAL_LINKER": gcc}
    options = ["-g", "-fPIC", "-fdata-sections"]
    compiler = [sys.executable, "-c", "from stubgen.capture import compiler_main as m; m()", gcc]
    subprocess.run([*compiler, *options, "-c", "patch.c", "-o", "patch.o"], cwd=folder, env=variables, check=True)
    run([gcc, *options, "-c", "host.c", "-o", "host.o"], cwd=folder)
    shutil.copy(folder / "patch.o", folder / "main.o")
    (folder / "part.c").write_text(PART)
    run([gcc, *options, "-c", "part.c", "-o", "part.o"], cwd=folder)
    linker = [sys.executable, "-c", "from stubgen.capture import linker_main as m; m()"]
    words = ["-Wl,--export-dynamic-symbol=main", "patch.o", "part.o", "-o", "host"]
    subprocess.run([*linker, *words], cwd=folder, env=variables, check=True)
    _write_stand_ins(folder, gcc)
    (folder / "old").mkdir()
    first = ["--session", "session", "--relink-earlier", "--stub", "old/stub.o", "-o", "old/patch-1.so", "patch.o"]
    _stubgen(folder, "link", *_words(LINK, folder), *first)
    requests = [
        ("build", {"host": "host", "objects": ["patch.o"], "aslr_reference": _reference(folder), "output": "served.o"}),
        (
            "link",
            {
                **{"host": "host", "objects": ["patch.o"], "aslr_reference": _reference(folder)},
                **{"captured": "captured", "output": "served.so", "map": "served.map"},
            },
        ),
        ("shutdown", {}),
    ]
    frames = b""
    for number, (method, parameters) in enumerate(requests):
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        content = json.dumps(message).encode()
        frames += b"Content-Length: %d\r\n\r\n" % len(content) + content
    (folder / "requests").write_bytes(frames)
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _prepare_macho(folder: Path) -> None:
    """A host, its first patch, and an object of another one; no times of objects are in what is linked."""
    from live.test_macho import toolchain  # which loads what no other kind needs

    (compiler, *options), (linker, *words) = toolchain("lld")
    for name, source in {"patch": PATCH, "new": PATCH.replace("helper(1)", "helper(2)"), "part": PART}.items():
        (folder / f"{name}.c").write_text(source)
        run([compiler, *options, "-g", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=folder)
    variables = environment(folder) | {"STUBGEN_CAPTURE_DIR": str(folder / "captured"), "STUBGEN_REAL_LINKER": linker}
    capture = [sys.executable, "-c", "from stubgen.capture import linker_main as m; m()"]
    subprocess.run(
        [*capture, *words, "-reproducible", "patch.o", "part.o", "-o", "host"], cwd=folder, env=variables, check=True
    )
    (folder / "old").mkdir()
    first = ["--session", "session", "-o", "old/patch-1.so", "patch.o"]
    _stubgen(folder, "link", *_words(LINK, folder), *first)


def _write_stand_ins(folder: Path, gcc: str) -> None:
    """A linker and a compiler that do at once what takes the real ones long, and are whole in what they write."""
    for name, made in (("ld", "host"), ("gcc", "patch.o")):  # two at once have a file each until it is whole
        (folder / name).write_text(f"#!/bin/sh\ncp {made} .l$$ && mv .l$$ linked\n")
    for name in ("ld", "gcc"):
        (folder / name).chmod(0o755)
    (folder / "words").write_text("patch.o part.o\n")


def _address(folder: Path, file: str) -> int:
    """Where *file* has ``main``, which a symbol of Mach-O's calls ``_main``."""
    symbols = run([str(need("llvm-nm-19")), file], cwd=folder)
    return int(next(line.split()[0] for line in symbols.splitlines() if line.endswith((" T main", " T _main"))), 16)


def _reference(folder: Path) -> int:
    return REFERENCE + _address(folder, "host")


def _words(text: str, folder: Path) -> list[str]:
    known = {"reference": "", "folder": str(folder), "record": "", "loaded": ""}
    if "{reference}" in text:
        known["reference"] = hex(_reference(folder))
    if "{loaded}" in text:
        known["loaded"] = hex(0x7F00000000 + _address(folder, "old/patch-1.so"))
    if "{record}" in text:
        known["record"] = next(
            path.name for path in (folder / "captured").iterdir() if path.name.endswith(".link.json")
        )
    return text.format(**known).split(" ")


def _stubgen(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "stubgen", *words]
    done = subprocess.run(command, cwd=folder, env=environment(folder), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def named(name: str) -> Scenario:
    """The scenario, or the reader, called *name*."""
    return SCENARIOS.get(name) or Scenario(READERS[name])


def command(name: str, folder: Path) -> list[str]:
    """The program and the words of the scenario called *name*."""
    scenario = named(name)
    return [scenario.program, *_words(scenario.words, folder)]
