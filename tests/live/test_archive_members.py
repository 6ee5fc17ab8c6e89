"""A hundred members of real archives, bound against a host that has half of their names, and linked.

Whatever the host defines is in the linked patch once at most, as a trampoline: pyelftools says so, which shares no code
with this project.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from elftools.elf.elffile import ELFFile
from tools import linker_folder, need, need_archive, run, rustc, zig

from stubgen.bind import write_bound
from stubgen.borrow.homes import objects_in
from stubgen.build import Built, StubBuilder
from stubgen.errors import SymbolRefusal
from stubgen.linkplan import build_link_plan

SLIDE = 0x5500000000
MEMBERS = 100
LINKERS = ("gnu", "lld", "mold", "zig")


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


def symbols(content: bytes) -> dict[str, tuple[int, int, str]]:
    """Defined name -> (value, size, binding) by pyelftools; mapping symbols, files and sections are left out."""
    found = {}
    for symbol in ELFFile(io.BytesIO(content)).get_section_by_name(".symtab").iter_symbols():
        kind = symbol["st_info"]["type"]
        if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name and kind not in ("STT_FILE", "STT_SECTION"):
            found[symbol.name] = (symbol["st_value"], symbol["st_size"], symbol["st_info"]["bind"])
    return found


def functions(content: bytes) -> list[str]:
    """The functions that an object defines for others, by pyelftools."""
    table = ELFFile(io.BytesIO(content)).get_section_by_name(".symtab")
    return [
        symbol.name
        for symbol in table.iter_symbols()
        if symbol["st_info"]["bind"] != "STB_LOCAL"
        and symbol["st_info"]["type"] == "STT_FUNC"
        and symbol["st_shndx"] != "SHN_UNDEF"
    ]


def pointers(path: Path, entry: str, names: Sequence[str]) -> Path:
    """An object with a table of pointers to *names* and a function *entry* that uses it."""
    lines = [
        f".text\n.globl {entry}\n.type {entry}, %function\n{entry}: adrp x0, table\nret\n.size {entry}, .-{entry}",
        f".globl __dso_handle\n.hidden __dso_handle\n.set __dso_handle, {entry}\n.data\ntable:",
        *(f'.quad "{name}"' for name in names),
    ]
    path.write_text("\n".join(lines) + "\n")
    run([need("aarch64-linux-gnu-as"), path, "-o", path.with_suffix(".o")])
    return path.with_suffix(".o")


def archive_of(name: str) -> Path:
    """A real archive for aarch64."""
    if name == "std":
        command = rustc()
        libraries = Path(command[command.index("--sysroot") + 1], "lib/rustlib/aarch64-unknown-linux-gnu/lib")
        return max(libraries.glob("lib*.rlib"), key=lambda path: path.stat().st_size if "libcore" in path.name else 0)
    return need_archive(name)


@pytest.fixture(scope="module", params=["libc.a", "libstdc++.a", "libcrypto.a", "std"])
def half(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Half:
    """A host of every third function of every second member."""
    archive, folder = archive_of(request.param), tmp_path_factory.mktemp("half")
    members = []
    for image, title in objects_in(str(archive)):
        defined = functions(bytes(image.file.view.data)) if image.has_symbols else []
        if defined:
            members.append((title, defined))
    members = members[:: max(len(members) // MEMBERS, 1)][:MEMBERS]
    kept = [name for _, names in members[::2] for name in names[::3]]
    command = [
        need("aarch64-linux-gnu-ld"),
        "-pie",
        "--gc-sections",
        "--unresolved-symbols=ignore-all",
        "-z",
        "muldefs",
    ]
    command += ["-e", "main", pointers(folder / "main.s", "main", kept), archive, "-o", folder / "host"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    have = symbols((folder / "host").read_bytes())
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
    patch = pointers(half.folder / "patch.s", "patch_main", half.names)
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
    driver = [*zig(), "cc", "-target", "aarch64-linux-gnu"] if linker == "zig" else [str(need("aarch64-linux-gnu-gcc"))]
    if linker in ("lld", "mold"):
        driver += [f"-fuse-ld={linker}", f"-B{linker_folder(tmp_path / 'linkers')}"]
    plan = build_link_plan(
        [*driver, "-nostdlib", "-o", "host", "main.o", str(half.archive)],
        objects=copies,
        extra=[tmp_path / "stub.o"],
        output=tmp_path / "patch.so",
    )
    assert str(half.archive) not in plan.args
    assert [item.path for item in plan.archives] == [str(half.archive)]
    run(plan.args, cwd=tmp_path)
    host = symbols(half.host.read_bytes())
    patch = symbols((tmp_path / "patch.so").read_bytes())
    stubs = symbols(bytes(built.stub.content))
    own = {"main", "patch_main", "table", "__dso_handle", "_DYNAMIC", "_GLOBAL_OFFSET_TABLE_"}
    shared = {
        name
        for name in patch.keys() & host.keys()
        if not name.startswith(("DW.ref.", "$")) and name not in own and patch[name][1]
    }
    twice = {name for name in shared if name not in stubs and host[name][2] != "STB_LOCAL"}
    assert not twice, f"{len(twice)} definitions of the host's are in the patch as well"
    text = ELFFile(io.BytesIO((tmp_path / "patch.so").read_bytes()))
    for name in shared & stubs.keys():
        assert patch[name][1] == stubs[name][1], f"{name} is not the trampoline"
    assert text.num_sections() > 5


def test_what_cannot_be_borrowed_says_why(half: Half) -> None:
    """A refusal without member and symbol leaves nobody a way on."""
    for line in half.refused:
        assert half.archive.name in line, line
        assert line.count(": ") >= 2, line
    assert len(half.refused) < MEMBERS
