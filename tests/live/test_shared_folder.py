"""Two links at a time that keep their bound copies in one folder, and a linker that reads something else than ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tools import linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture, record
from stubgen.errors import PatchRefusal
from stubgen.image.opening import open_image
from stubgen.link import link_patch

ROOT = Path(__file__).parents[2]
HOST = """
int data[4] = {1, 2, 3, 4}; __thread int thread_local_count = 5;
int helper(int x) { return x + data[1] + thread_local_count; } int main(void) { return helper(1); }
"""
PATCH = """
extern int data[4]; extern __thread int thread_local_count; int helper(int);
int *pd = &data[1]; int (*const table[2])(int) = {helper, helper}; static int constant[3] = {7, 8, 9};
int changed(int x) { return *pd + table[x & 1](x) + constant[x & 1]; }
int *counted(void) { return &thread_local_count; }
"""
FIRST, SECOND = 0x5500000000, 0x7700000000

LINKERS = {
    "gnu": ["aarch64-linux-gnu-gcc"],
    "lld": ["aarch64-linux-gnu-gcc", "-fuse-ld=lld"],
    "mold": ["aarch64-linux-gnu-gcc", "-fuse-ld=mold"],
    "ld64.lld": ["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0"],
}


class Project:
    """A host, a patch object, and the record of a link whose linker does something first."""

    def __init__(self, folder: Path, linker: str) -> None:
        self.folder = folder
        self.apple = linker == "ld64.lld"
        program, *options = LINKERS[linker]
        self.linker = [str(need(program)), *options]
        if "-fuse-ld" in " ".join(options):
            self.linker.append(f"-B{linker_folder(folder / 'linkers')}")
        target = ["--target=arm64-apple-macos13"] if self.apple else []
        compiler = str(need("clang-19" if self.apple else "aarch64-linux-gnu-gcc"))
        own = PATCH.replace("extern __thread int thread_local_count;", "").replace(
            "return &thread_local_count", "return pd"
        )
        sources = {"host": HOST, "patch": own if self.apple else PATCH}
        for name, text in sources.items():
            (folder / f"{name}.c").write_text(text.replace("__thread", "") if self.apple else text)
            style = "-fPIC" if name == "patch" else "-fPIE"
            model = [] if self.apple else ["-ftls-model=local-exec"]
            run([compiler, *target, "-O1", style, *model, "-c", folder / f"{name}.c", "-o", folder / f"{name}.o"])
        run([*self.linker, *([] if self.apple else ["-pie"]), "host.o", "-o", "host"], cwd=folder)
        self.output = "patch.dylib" if self.apple else "patch.so"

    def capture(self, meanwhile: str) -> Capture:
        """The record of a link whose linker runs *meanwhile* of the shell, where it links the patch."""
        script = self.folder / Path(self.linker[0]).name
        script.write_text(f'#!/bin/sh\ncase "$*" in *stub.o*) {meanwhile};; esac\nexec {self.linker[0]} "$@"\n')
        script.chmod(0o755)
        path = record(
            [str(script), *self.linker[1:], "host.o", "-o", "host"], self.folder / "slow", directory=str(self.folder)
        )
        return Capture.load(path)

    def value(self, patch: str, symbol: bytes) -> int:
        """The eight bytes at *symbol* of a linked patch."""
        image = open_image(self.folder / patch)
        (found,) = image.find([b"_" + symbol if self.apple else symbol]).values()
        return int.from_bytes(image.read_at(found[0].address, 8, "the pointer"), "little")

    def in_host(self) -> int:
        """The static address of ``data``."""
        (found,) = StubBuilder(self.folder / "host").host.find([b"_data" if self.apple else b"data"]).values()
        return found[0].address


@pytest.mark.parametrize("linker", ["gnu", "ld64.lld"])
def test_two_links_that_share_a_folder_are_for_their_own_process(tmp_path: Path, linker: str) -> None:
    """Two devices that run one program: the patch for the one had the other's addresses, and was called sound."""
    project = Project(tmp_path, linker)
    plain = record([*project.linker, "host.o", "-o", "host"], tmp_path / "plain", directory=str(tmp_path))
    other = f"{sys.executable} -m stubgen link --captured {plain} --host host --slide {SECOND:#x} patch.o"
    other += " --bound-dir shared --stub shared/stub.o -o other.so >other.log 2>&1"
    slow = project.capture(f"(cd {tmp_path}; PYTHONPATH={ROOT} {other})")
    (tmp_path / "shared").mkdir()
    builder = StubBuilder(tmp_path / "host")
    linked = link_patch(
        builder,
        slow,
        [tmp_path / "patch.o"],
        tmp_path / project.output,
        slide=FIRST,
        stub=tmp_path / "shared" / "stub.o",
        bound_dir=tmp_path / "shared",
    )
    data = project.in_host()
    assert project.value("other.so", b"pd") == data + 4 + SECOND, (tmp_path / "other.log").read_text()
    assert project.value(project.output, b"pd") == data + 4 + FIRST
    assert linked.built.bound is not None
    assert (tmp_path / "shared" / "000-patch.o").read_bytes() == linked.built.bound.objects[0].content
    assert (tmp_path / "shared" / "stub.o").read_bytes() == linked.built.stub.content
    assert sorted(os.listdir(tmp_path / "shared")) == ["000-patch.o", "stub.o"]


IN_CODE = "a thread offset in code"
SPOILT = [(linker, what) for linker in LINKERS for what in ("a pointer in data", "a constant", IN_CODE)]
SPOILT.remove(("ld64.lld", IN_CODE))  # there are none in Mach-O


@pytest.mark.parametrize(("linker", "what"), SPOILT)
def test_a_linker_that_read_something_else_is_found_out(tmp_path: Path, linker: str, what: str) -> None:
    """Addresses of another process in the patch's data: nothing but the bytes of the linked patch tell."""
    project = Project(tmp_path, linker)
    builder = StubBuilder(tmp_path / "host")
    judged = builder.judge([tmp_path / "patch.o"], slide=FIRST, bind=True)
    (tmp_path / "spoil.py").write_text(
        "import sys\n"
        "for path in sys.argv[1:]:\n"
        "    if path.endswith('patch.o'):\n"
        "        content = open(path, 'rb').read()\n"
        f"        before, after = {spoilt(project, what)!r}\n"
        "        assert before in content\n"
        "        open(path, 'wb').write(content.replace(before, after))\n"
    )
    assert judged.slide.value == FIRST
    slow = project.capture(f'{sys.executable} {tmp_path}/spoil.py "$@" || exit 9')
    with pytest.raises(
        PatchRefusal, match=r"content: the patch has other bytes than .*patch.o for \w+: the linker read"
    ):
        link_patch(builder, slow, [tmp_path / "patch.o"], tmp_path / project.output, slide=FIRST)
    assert not (tmp_path / project.output).exists()


def spoilt(project: Project, what: str) -> tuple[bytes, bytes]:
    """Bytes of the bound copy, and others."""
    if what == "a constant":
        return (7).to_bytes(4, "little") + (8).to_bytes(4, "little"), bytes(8)
    if what == "a pointer in data":
        address = project.in_host() + 4
        return (address + FIRST).to_bytes(8, "little"), (address + SECOND).to_bytes(8, "little")
    builder = StubBuilder(project.folder / "host")
    bound = builder.build([project.folder / "patch.o"], slide=FIRST, bind=True).bound
    assert bound is not None
    (project.folder / "bound.o").write_bytes(bound.objects[0].content)
    shown = run([str(need("llvm-objdump-19")), "-d", "--disassemble-symbols=counted", project.folder / "bound.o"])
    (word,) = (
        line.split()[1] for line in shown.splitlines() if "add" in line and "lsl #12" not in line and "mrs" not in line
    )
    before = bytes.fromhex(word)[::-1]
    return before, (int.from_bytes(before, "little") + (16 << 10)).to_bytes(4, "little")
