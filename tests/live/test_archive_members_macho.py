"""A hundred members of real Mach-O archives, bound against a host that has half of their names, and linked.

Whatever the host defines is in the linked patch once at most, as a trampoline: llvm-nm says so, which shares no code
with this project.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.test_macho import Toolchain, toolchain
from tools import need, need_module, run, zig

from stubgen.bind import write_bound
from stubgen.borrow.homes import objects_in
from stubgen.build import Built, StubBuilder
from stubgen.errors import SymbolRefusal
from stubgen.linkplan import LinkerOs, build_link_plan

SLIDE = 0x1_2345 * 0x4000
MEMBERS = 100
LINKERS = ("lld", "zig")
USES_ALL = """
#include <vector>
#include <string>
#include <iostream>
int main() { std::vector<std::string> all{"x"}; std::cout << all[0]; return 0; }
"""


class Half(NamedTuple):
    """A host that has half of an archive's names, and what of the other half can be borrowed."""

    folder: Path
    archive: Path
    names: tuple[str, ...]
    """Functions that the host lacks and whose members can be taken."""
    refused: tuple[str, ...]
    """Why some cannot."""

    @property
    def host(self) -> Path:
        """The host's file."""
        return self.folder / "host"


class Symbol(NamedTuple):
    """What llvm-nm says of one."""

    kind: str  # "(__TEXT,__text)"
    external: bool  # other objects of the program could mean it


def symbols(path: Path) -> dict[str, Symbol]:
    """Defined name -> what it is, by llvm-nm."""
    found = {}
    for line in run([need("llvm-nm-19"), "-m", "--defined-only", path]).splitlines():
        match = re.match(r"[0-9a-f]{16} (\([^)]*\)) (.*?)(\S+)$", line)
        if match is not None:
            found[match[3]] = Symbol(match[1], "non-external" not in match[2] or "private" in match[2])
    return found


def functions(content: bytes, path: Path) -> list[str]:
    """The functions that an object defines for others, by llvm-nm."""
    path.write_bytes(content)
    text = run([need("llvm-nm-19"), "--defined-only", "--extern-only", path])
    return [line.split()[2] for line in text.splitlines() if len(line.split()) == 3 and line.split()[1] == "T"]


def pointers(tools: Toolchain, path: Path, entry: str, names: Sequence[str]) -> Path:
    """An object with a table of pointers to *names* and a function *entry* that uses it."""
    lines = [
        f".text\n.globl {entry}\n{entry}: adrp x0, table@PAGE\nret\n.data\n.p2align 3\ntable:",
        *(f'.quad "{name}"' for name in names),
        ".subsections_via_symbols",
    ]
    path.write_text("\n".join(lines) + "\n")
    run([*tools.compile, "-c", path, "-o", path.with_suffix(".o")])
    return path.with_suffix(".o")


def archive_of(name: str, folder: Path) -> Path:
    """One of the archives that zig builds for macOS."""
    (folder / "all.cc").write_text(USES_ALL)
    done = subprocess.run(
        [*zig(), "c++", "-target", "aarch64-macos", "all.cc", "-o", "all"],
        cwd=folder,
        env={**os.environ, "ZIG_VERBOSE_LINK": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(rf"\S+/{re.escape(name)}", done.stdout + done.stderr)
    assert found is not None, f"zig did not link {name}"
    return Path(found[0])


@pytest.fixture(scope="module", params=["libc++.a", "libc++abi.a", "libcompiler_rt.a"])
def half(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Half:
    """A host of every third function of every second member."""
    need_module("lief", "lief")
    folder = tmp_path_factory.mktemp("half")
    archive, tools = archive_of(request.param, folder), toolchain("lld")
    members = []
    for image, title in objects_in(str(archive)):
        defined = functions(bytes(image.file.view.data), folder / "member.o") if image.has_symbols else []
        if defined:
            members.append((title, defined))
    members = members[:: max(len(members) // MEMBERS, 1)][:MEMBERS]
    kept = [name for _, names in members[::2] for name in names[::3]]
    main = pointers(tools, folder / "main.s", "_main", kept)
    command = [*tools.link, "-dead_strip", "-undefined", "dynamic_lookup", main, archive, "-o", folder / "host"]
    run(list(map(str, command)))
    have = symbols(folder / "host")
    names, refused = [], []
    for _, defined in members:
        lacking = [name for name in defined if name not in have][:200]
        if lacking:
            try:
                build(Half(folder, archive, tuple(lacking), ()))
            except SymbolRefusal as error:
                refused += str(error).splitlines()[1:]
            else:
                names += lacking
    return Half(folder, archive, tuple(dict.fromkeys(names)), tuple(refused))


def build(half: Half) -> Built:
    """The stub object and the bound copies of a patch that uses all of the names."""
    patch = pointers(toolchain("lld"), half.folder / "patch.s", "_patch_main", half.names)
    builder = StubBuilder(half.host)
    return builder.build([patch], slide=SLIDE, bind=True, archives=[half.archive], allow_missing=True)


@pytest.mark.parametrize("linker", LINKERS)
def test_nothing_of_the_hosts_is_in_the_patch_twice(half: Half, tmp_path: Path, linker: str) -> None:
    """A second copy has a fresh state of its own, and the program goes on with two halves of a library."""
    built = build(half)
    assert built.bound is not None
    assert len(half.names) > 20
    (tmp_path / "stub.o").write_bytes(built.stub.content)
    copies = [copy for _, copy in write_bound(built.bound, tmp_path / "bound")]
    undefined = ["-nostdlib", "-Wl,-undefined,dynamic_lookup"] if linker == "zig" else ["-undefined", "dynamic_lookup"]
    command = [*toolchain(linker).link, *undefined, "-o", "host", "main.o"]
    output = tmp_path / "patch.dylib"
    extra = [tmp_path / "stub.o"]
    plan = build_link_plan(list(map(str, command)), objects=copies, extra=extra, output=output, os=LinkerOs.MACOS)
    run(plan.args, cwd=tmp_path)
    host, patch = symbols(half.host), symbols(tmp_path / "patch.dylib")
    stubs = symbols(tmp_path / "stub.o")
    shared = {name for name in patch.keys() & host.keys() if host[name].external} - {"__mh_execute_header"}
    assert not shared - stubs.keys(), f"{len(shared - stubs.keys())} definitions of the host's are in the patch as well"
    assert not stubs.keys() & {name for item in built.bound.objects for name in defined_by(item.content, tmp_path)}
    assert set(half.names) <= patch.keys()


def defined_by(content: bytes, folder: Path) -> set[str]:
    """The names that an object defines for others, by llvm-nm."""
    (folder / "object.o").write_bytes(content)
    text = run([need("llvm-nm-19"), "--defined-only", "--extern-only", folder / "object.o"])
    return {line.split()[-1] for line in text.splitlines() if line}


def test_what_cannot_be_borrowed_says_why(half: Half) -> None:
    """A refusal without member and symbol leaves nobody a way on."""
    for line in half.refused:
        assert half.archive.name in line, line
        assert line.count(": ") >= 2, line
    assert len(half.refused) < MEMBERS
