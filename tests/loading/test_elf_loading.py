"""What glibc, musl and bionic would refuse about a linked patch is said before anybody loads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import linker_folder, need, run

from stubgen.check import Checked, check_patch
from stubgen.elf import constants as c
from stubgen.elf.reader import ElfFile
from stubgen.elf.records import EHDR, PHDR
from stubgen.finding import Finding

HOST = """
#include <stdlib.h>
int host_f(int x) { return x + 1; }
int main(void) { return host_f(atoi("1")); }
"""


class Bench:
    """A folder with a host, in which patches are linked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gcc = folder, str(need("aarch64-linux-gnu-gcc"))
        (folder / "host.c").write_text(HOST)
        self.host()

    def host(self, *words: str) -> None:
        """Link the host with *words*."""
        run([self.gcc, "-pie", "-O1", "host.c", *words, "-o", "host"], cwd=self.folder)

    def host_for(self, loader: str) -> None:
        """Link the host for another C library's *loader*."""
        (self.folder / "host.c").write_text("int host_f(int x) { return x + 1; } int main(void) { return host_f(1); }")
        self.host("-nostdlib", "-Wl,-e,main", f"-Wl,--dynamic-linker={loader}", "-Wl,-z,noexecstack")

    def check(self, source: str, *words: str, libraries: tuple[str, ...] = ()) -> Checked:
        """The check of a patch made from C *source*."""
        (self.folder / "patch.c").write_text(source)
        run([self.gcc, "-shared", "-fPIC", "-O1", "patch.c", *words, "-o", "patch.so"], cwd=self.folder)
        return self.again(libraries)

    def again(self, libraries: tuple[str, ...] = ()) -> Checked:
        """The check of the patch as it lies there."""
        beside = [self.folder / library for library in libraries]
        return check_patch(self.folder / "patch.so", self.folder / "host", libraries=beside)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh one."""
    return Bench(tmp_path)


def about(checked: Checked, check: str) -> list[Finding]:
    """The findings of one check."""
    return [finding for finding in checked.findings if finding.check == check]


PLAIN = "int patch_main(int x) { return x * 3; }"


def test_an_ordinary_patch_loads(bench: Bench) -> None:
    """A complaint about every patch would be switched off."""
    checked = bench.check(PLAIN)
    assert checked.ok
    assert [finding.message for finding in about(checked, "loading")] == [
        "its segments, and what it asks of the loader, are as the host's"
    ]
    assert not any(finding.note for finding in checked.findings)


def test_an_executable_stack(bench: Bench) -> None:
    """Glibc makes all stacks of the process executable for one such library; since 2.41 it refuses it."""
    (finding,) = about(bench.check(PLAIN, "-Wl,-z,execstack"), "stack")
    assert not finding.ok
    assert finding.message.startswith("PT_GNU_STACK is executable: glibc would make the stacks")


def test_a_host_that_has_one_already(bench: Bench) -> None:
    """Nothing gets worse: the process has executable stacks since its start."""
    bench.host("-Wl,-z,execstack")
    assert about(bench.check(PLAIN, "-Wl,-z,execstack"), "stack") == []


def test_musl_does_not_look_at_the_stack(bench: Bench) -> None:
    """There it is worth a note, and no reason to refuse."""
    bench.host_for("/lib/ld-musl-aarch64.so.1")
    (finding,) = about(bench.check(PLAIN, "-Wl,-z,execstack"), "stack")
    assert finding.ok
    assert finding.note


def test_segments_that_are_less_aligned_than_the_hosts(bench: Bench) -> None:
    """On a kernel with 16 or 64 KiB pages dlopen fails, where the host itself runs."""
    (finding,) = about(bench.check(PLAIN, "-Wl,-z,max-page-size=4096"), "alignment")
    assert not finding.ok
    assert "aligned to 4096 bytes, the host's to 65536" in finding.message
    assert "-z max-page-size=65536" in finding.message


def test_an_android_host_of_small_pages(bench: Bench) -> None:
    """A device with 16 KiB pages loads neither host nor patch: the author should know, and may go on."""
    bench.host("-Wl,-z,max-page-size=4096", "-Wl,--dynamic-linker=/system/bin/linker64")
    (finding,) = about(bench.check(PLAIN, "-Wl,-z,max-page-size=4096"), "alignment")
    assert finding.note
    assert "pages of 16384" in finding.message


def test_a_segment_that_is_writable_and_executable(bench: Bench) -> None:
    """SELinux and Android's loader refuse it; it would load on the author's own machine."""
    bench.check(PLAIN)
    path = bench.folder / "patch.so"
    content = bytearray(path.read_bytes())
    header = EHDR.read(content)
    for number in range(header.e_phnum):
        at = header.e_phoff + number * PHDR.size
        segment = PHDR.read(content, at)
        if segment.p_type == c.PT_LOAD and segment.p_flags & c.PF_X:
            PHDR.write_into(content, at, segment._replace(p_flags=segment.p_flags | c.PF_W), "the patch")
    path.write_bytes(content)
    (finding,) = about(bench.again(), "segments")
    assert not finding.ok
    assert "is writable and executable" in finding.message


@pytest.mark.parametrize(
    ("loader", "ok"),
    [("/lib/ld-linux-aarch64.so.1", True), ("/lib/ld-musl-aarch64.so.1", False), ("/system/bin/linker64", False)],
)
def test_static_thread_local_storage(bench: Bench, loader: str, *, ok: bool) -> None:
    """Glibc has a little of it for libraries that come later, musl and bionic have none."""
    bench.host_for(loader)
    source = '__attribute__((tls_model("initial-exec"))) __thread int own = 3; int patch_main(void) { return own++; }'
    (finding,) = about(bench.check(source), "static TLS")
    assert finding.ok is ok
    assert finding.note is ok
    assert "4 bytes of static TLS" in finding.message


def test_a_version_that_the_host_does_not_ask_for(bench: Bench) -> None:
    """Where the host runs with an older C library the patch fails to load; here nobody knows, so it is a note."""
    (finding,) = about(
        bench.check("unsigned arc4random(void); unsigned patch_main(void) { return arc4random(); }"), "versions"
    )
    assert finding.note
    assert finding.message.startswith(
        "it needs version GLIBC_2.36 of libc.so.6, and the host asks for no newer one than "
    )


def test_a_version_that_the_given_library_lacks(bench: Bench) -> None:
    """The library that will be there is known, and dlopen would say "version V2 not found"."""
    for name, versions in (("old", "V1 { global: f; };"), ("new", "V1 { global: f; }; V2 { global: g; } V1;")):
        (bench.folder / name).mkdir()
        (bench.folder / name / "map").write_text(versions)
        (bench.folder / name / "v.c").write_text("int f(void) { return 1; } int g(void) { return 2; }")
        script = f"-Wl,--version-script={name}/map"
        words = ["-shared", "-fPIC", f"{name}/v.c", script, "-Wl,-soname,libv.so"]
        run([bench.gcc, *words, "-o", f"{name}/libv.so"], cwd=bench.folder)
    source = "int g(void); int patch_main(void) { return g(); }"
    (finding,) = about(bench.check(source, "new/libv.so", libraries=("old/libv.so",)), "versions")
    assert not finding.ok
    assert "it needs version V2 of libv.so, and " in finding.message
    assert about(bench.again(("new/libv.so",)), "versions") == []


def test_text_relocations_are_located(bench: Bench) -> None:
    """The section says which object was compiled without -fPIC."""
    (bench.folder / "abs.S").write_text(".text\n.globl where\nwhere: .quad patch_main\n.quad patch_main\n")
    (finding,) = about(bench.check(PLAIN, "abs.S", "-Wl,-z,notext"), "text relocations")
    assert not finding.ok
    assert "DT_TEXTREL (2 places, the first at 0x" in finding.message
    assert " in .text)" in finding.message


@pytest.mark.parametrize("packing", ["none", "android", "relr", "android+relr"])
def test_a_constructor_is_found_in_every_packing(bench: Bench, packing: str) -> None:
    """Its pointer is in a table that the loader unpacks: unread, the patch would run code that nobody heard of."""
    source = PLAIN + "volatile int made; __attribute__((constructor)) static void born(void) { made++; }"
    flags = ["-fuse-ld=lld", f"-B{linker_folder(bench.folder / 'linkers')}", f"-Wl,--pack-dyn-relocs={packing}"]
    (finding,) = about(bench.check(source, *flags), "constructors")
    assert finding.note
    assert finding.message == "born runs when the patch is loaded"


def test_a_look_up_in_a_packed_table(bench: Bench) -> None:
    """The loader would look the name up, wherever the linker put the request."""
    source = "extern int elsewhere; int *where = &elsewhere;"
    flags = ["-fuse-ld=lld", f"-B{linker_folder(bench.folder / 'linkers')}", "-Wl,--pack-dyn-relocs=android"]
    bench.check(source, *flags, "-Wl,--unresolved-symbols=ignore-all")
    assert b"elsewhere" in ElfFile((bench.folder / "patch.so").read_bytes(), "patch").bound_names()
