"""What dyld and Apple's kernels would refuse about a linked patch is said before anybody loads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tools import need, run, zig

from stubgen.check import Checked, check_patch
from stubgen.finding import Finding
from stubgen.macho import constants as c
from stubgen.macho.reader import MachOFile
from stubgen.macho.records import SEGMENT_COMMAND_64, SegmentCommand64

HOST = "int host_f(int x) { return x + 1; } int main(void) { return host_f(1); }"
PATCH = "int patch_main(int x) { return x * 3; } int state = 4;"


class Bench:
    """A folder with a host, in which patches are linked by ld64.lld or by zig."""

    def __init__(self, folder: Path, linker: str) -> None:
        self.folder, self.linker = folder, linker
        (folder / "host.c").write_text(HOST)
        (folder / "patch.c").write_text(PATCH)
        self.link("host", "13.0", executable=True)

    def link(self, name: str, version: str, *words: str, executable: bool = False) -> Path:
        """Link *name*, for a minimum OS of *version*."""
        output = self.folder / (name if executable else f"{name}.dylib")
        if self.linker == "zig":
            driver = [*zig(), "cc", "-target", f"aarch64-macos.{version}", *([] if executable else ["-shared"])]
            run([*driver, *words, f"{name}.c", "-o", output], cwd=self.folder)
            return output
        clang, linker = need("clang-19", "ld64.lld-19")
        run([clang, f"--target=arm64-apple-macos{version}", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=self.folder)
        platform = ["-arch", "arm64", "-platform_version", "macos", version, version]
        kind = "-execute" if executable else "-dylib"
        run([linker, *platform, kind, *words, f"{name}.o", "-o", output], cwd=self.folder)
        return output

    def check(self) -> Checked:
        """The check of the patch as it lies there."""
        return check_patch(self.folder / "patch.dylib", self.folder / "host")


@pytest.fixture(params=["ld64.lld", "zig"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """A fresh one."""
    return Bench(tmp_path, request.param)


def about(checked: Checked, check: str) -> list[Finding]:
    """The findings of one check."""
    return [finding for finding in checked.findings if finding.check == check]


def test_an_ordinary_patch_loads(bench: Bench) -> None:
    """Both linkers sign what they link; the hashes are of the bytes that they wrote."""
    bench.link("patch", "13.0")
    checked = bench.check()
    assert checked.ok
    assert len(about(checked, "loading")) == 1


def test_bytes_that_were_changed_after_signing(bench: Bench) -> None:
    """The kernel ends the process at the first access to the page, without a word of the patch."""
    path = bench.link("patch", "13.0")
    content = bytearray(path.read_bytes())
    text = MachOFile(content, "patch").section("__TEXT,__text")
    assert text is not None
    content[text.header.offset] ^= 1
    path.write_bytes(content)
    (finding,) = about(bench.check(), "signature")
    assert not finding.ok
    assert finding.message.startswith("its signature is of other bytes (1 page, the first at byte 0x")


def test_a_patch_without_a_signature(tmp_path: Path) -> None:
    """Apple's ARM64 kernels load no unsigned code at all."""
    bench = Bench(tmp_path, "ld64.lld")
    bench.link("patch", "13.0", "-no_adhoc_codesign")
    (finding,) = about(bench.check(), "signature")
    assert not finding.ok
    assert "it has no code signature" in finding.message


def test_a_newer_minimum_os_than_the_hosts(bench: Bench) -> None:
    """Where the host runs and the patch must not, its symbols may be missing."""
    bench.link("patch", "14.0")
    (finding,) = about(bench.check(), "minimum OS")
    assert not finding.ok
    assert finding.message == "it asks for macOS 14.0, the host for 13.0 or newer"


def test_an_older_minimum_os_is_fine(bench: Bench) -> None:
    """It runs wherever the host does."""
    bench.link("patch", "12.0")
    assert bench.check().ok


def spoil(path: Path, change: Callable[[SegmentCommand64], SegmentCommand64]) -> None:
    """Rewrite the text segment's command."""
    content = bytearray(path.read_bytes())
    file = MachOFile(content, "patch")
    for command in file.commands:
        if command.cmd == c.LC_SEGMENT_64:
            segment = SEGMENT_COMMAND_64.read(content, command.offset)
            if segment.segname.startswith(b"__TEXT"):
                SEGMENT_COMMAND_64.write_into(content, command.offset, change(segment), "the patch")
    path.write_bytes(content)


def test_a_segment_that_is_writable_and_executable(bench: Bench) -> None:
    """No Apple kernel maps it."""
    spoil(bench.link("patch", "13.0"), lambda segment: segment._replace(initprot=7))
    (finding,) = about(bench.check(), "segments")
    assert not finding.ok
    assert finding.message.startswith("segment __TEXT is writable and executable")


def test_a_segment_between_pages(bench: Bench) -> None:
    """It cannot be mapped: dyld gives up."""
    spoil(bench.link("patch", "13.0"), lambda segment: segment._replace(vmaddr=segment.vmaddr + 4096))
    (finding,) = about(bench.check(), "alignment")
    assert not finding.ok
    assert "not on a page of 16384 bytes" in finding.message
