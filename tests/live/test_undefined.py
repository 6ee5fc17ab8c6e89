"""What the loader finds or misses for a living host's patch is what the check says of its undefined symbols."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from live.live import LiveHost, libraries_of
from live.test_macho import SLIDE, symbols, toolchain
from tools import SYSROOT, linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_linked
from stubgen.errors import PatchRefusal
from stubgen.image.opening import open_image
from stubgen.link import Linked, link_patch
from stubgen.origin.account import Inputs
from stubgen.policies import Policy
from stubgen.resolve.previous import NO_PATCHES

RUNNER = """
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
long host_entry(long);
int main(void) {
  char line[4096];
  printf("anchor %p\\n", (void *)main);
  for (fflush(stdout); fgets(line, sizeof line, stdin); fflush(stdout)) {
    line[strcspn(line, "\\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW);
      long (*run)(void) = patch ? (long (*)(void))dlsym(patch, "patch_main") : 0;
      if (run) printf("%ld\\n", run()); else printf("%s\\n", dlerror());
    } else printf("%ld\\n", host_entry(3));
  }
  return 0;
}
"""

LINKERS = {"gnu": "bfd", "lld": "lld", "mold": "mold"}


class Program:
    """A host that answers, and the record of its link."""

    def __init__(self, folder: Path, linker: str, host: str, *words: str) -> None:
        self.folder, self.gcc = folder, str(need("aarch64-linux-gnu-gcc"))
        choice = [] if linker == "gnu" else [f"-fuse-ld={LINKERS[linker]}", f"-B{linker_folder(folder / 'linkers')}"]
        self.object("runner", RUNNER, *words)
        self.object("host", host, *words)
        libraries = [word for word in words if word.startswith("-l")]
        options = [word for word in words if not word.startswith("-l")]
        command = [self.gcc, "-pie", *choice, *options, "runner.o", "host.o", "-L.", *libraries, "-ldl", "-o", "host"]
        run(command, cwd=folder)
        self.captured = Capture(command, folder, {}, output="host")

    def object(self, name: str, source: str, *words: str) -> Path:
        """C *source*, compiled."""
        (self.folder / f"{name}.c").write_text(source)
        options = [word for word in words if not word.startswith("-l")]
        run([self.gcc, "-O1", "-fPIC", *options, "-c", f"{name}.c"], cwd=self.folder)
        return self.folder / f"{name}.o"

    def start(self) -> LiveHost:
        """A process of it, which finds libraries in the folder."""
        return LiveHost(self.folder / "host", libraries=[self.folder])

    def link(self, live: LiveHost, source: str, **options: Any) -> Linked:
        """The patch made from C *source*."""
        patch = self.object("patch", source)
        builder = StubBuilder(self.folder / "host", cache=False)
        output = self.folder / "patch.so"
        return link_patch(builder, self.captured, [patch], output, live.anchor, exports=["patch_main"], **options)


@pytest.mark.parametrize("linker", LINKERS)
def test_a_profiled_host_takes_patches(linker: str, tmp_path: Path) -> None:
    """-pg gives the host __gmon_start__, which every image's start-up code asks for: each patch was refused over it."""
    host = "static int n; __attribute__((noinline)) long bump(int k) { return n += k; } "
    program = Program(tmp_path, linker, host + "long host_entry(long a) { return bump(a); }", "-pg")
    with program.start() as live:
        assert live.tell("call") == "3"
        linked = program.link(live, "long bump(int); long patch_main(void) { return bump(100); }")
        assert live.patch(linked.output) == "103"
        assert live.tell("call") == "106"


@pytest.mark.parametrize("linker", LINKERS)
def test_a_library_without_versions_supplies_what_only_the_patch_uses(linker: str, tmp_path: Path) -> None:
    """Dlopen finds the name in a library that the patch needs; it was called missing, for the host never used it."""
    source = "long foo_a(long a) { return a + 1; } long foo_b(long a) { return a + 2; }"
    (tmp_path / "foo.c").write_text(source)
    gcc = str(need("aarch64-linux-gnu-gcc"))
    run([gcc, "-shared", "-fPIC", "foo.c", "-o", "libfoo.so"], cwd=tmp_path)
    host = "long foo_a(long); long host_entry(long a) { return foo_a(a); }"
    program = Program(tmp_path, linker, host, "-lfoo")
    with program.start() as live:
        linked = program.link(live, "long foo_b(long); long patch_main(void) { return foo_b(10); }")
        assert live.patch(linked.output) == "12"
        with pytest.raises(PatchRefusal, match="undefined: foo_c is in no library"):
            program.link(live, "long foo_c(long); long patch_main(void) { return foo_c(10); }")


POWER = "double pow(double, double); volatile double two = 2; long patch_main(void) { return pow(two, 10); }"


@pytest.mark.parametrize("keyword", ["libraries", "extra"])
@pytest.mark.parametrize("linker", LINKERS)
def test_a_library_that_the_host_lacks_is_linked(linker: str, keyword: str, tmp_path: Path) -> None:
    """The patch linked, was called sound, and dlopen said: undefined symbol: pow."""
    program = Program(tmp_path, linker, "long host_entry(long a) { return a; }", "-Wl,--as-needed")
    library = SYSROOT / "lib/libm.so.6"
    assert library.name not in libraries_of(tmp_path / "host")
    with program.start() as live:
        with pytest.raises(PatchRefusal, match="pow"):
            program.link(live, POWER)
        linked = program.link(live, POWER, **{keyword: [library]})
        assert libraries_of(linked.output).count(library.name) == 1
        assert live.patch(linked.output) == "1024"


@pytest.mark.parametrize("linker", LINKERS)
def test_a_library_without_a_soname_is_needed_by_its_path(linker: str, tmp_path: Path) -> None:
    """Linkers write the path that they were given, and dlopen looks nowhere else: on a device that is another one."""
    program = Program(tmp_path, linker, "long host_entry(long a) { return a; }", "-Wl,--as-needed")
    (tmp_path / "foo.c").write_text("long foo(long a) { return a + 1; }")
    run([program.gcc, "-shared", "-fPIC", "foo.c", "-o", "libfoo.so"], cwd=tmp_path)
    with program.start() as live:
        source = "long foo(long); long patch_main(void) { return foo(10); }"
        linked = program.link(live, source, libraries=[tmp_path / "libfoo.so"])
        notes = [finding.message for finding in linked.checked.findings if finding.note]
        assert live.patch(linked.output) == "11"
    assert any(note.startswith(f"it needs {tmp_path / 'libfoo.so'} by that path") for note in notes), notes


class WithoutLibrary(Policy):
    """Rules of a build that takes a library out of the command again."""

    def link(self, command: Sequence[str]) -> Sequence[str]:
        """The command without it."""
        return [word for word in command if "/libm.so" not in word and "/libpower." not in word]


def test_a_library_that_the_link_left_out_supplies_nothing(tmp_path: Path) -> None:
    """An option of the build may keep a library out of the patch; that it was named does not make dlopen load it."""
    program = Program(tmp_path, "gnu", "long host_entry(long a) { return a; }", "-Wl,--as-needed")
    with program.start() as live, pytest.raises(PatchRefusal, match="undefined: pow is in no library"):
        program.link(live, POWER, libraries=[SYSROOT / "lib/libm.so.6"], policies=[WithoutLibrary()])


POWER_STUB = """--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '/usr/lib/libpower.dylib'
exports:
  - targets: [ arm64-macos ]
    symbols: [ _power ]
...
"""


@pytest.mark.parametrize("library", ["libpower.dylib", "libpower.tbd"])
@pytest.mark.parametrize("linker", ["lld", "zig"])
def test_a_macho_library_that_the_host_lacks_is_linked(linker: str, library: str, tmp_path: Path) -> None:
    """Looked up in all images instead, the name is in none, and dyld ends the load; an SDK has stubs of libraries."""
    tools = toolchain(linker)
    shared = [] if linker == "zig" else ["-undefined", "dynamic_lookup"]
    run(
        [*tools.link, *shared, "-o", "host", tools.object(tmp_path, "main", "int main(void) { return 0; }")],
        cwd=tmp_path,
    )
    power = tools.object(tmp_path, "power", "int power(int x) { return x * x; }")
    dylib = ["-shared"] if linker == "zig" else ["-dylib"]
    words = [word for word in tools.link if word != "-execute"]
    run([*words, *dylib, power, "-install_name", "/usr/lib/libpower.dylib", "-o", "libpower.dylib"], cwd=tmp_path)
    (tmp_path / "libpower.tbd").write_text(POWER_STUB)
    patch = tools.object(tmp_path, "patch", "int power(int); int patch_main(void) { return power(3); }")
    captured = Capture([*tools.link, *shared, "-o", "host", "main.o"], tmp_path, {}, output="host")
    anchor = symbols(tmp_path / "host")["_main"] + SLIDE

    def link(**options: Any) -> Linked:
        return link_patch(
            StubBuilder(tmp_path / "host", cache=False), captured, [patch], tmp_path / "patch.dylib", anchor, **options
        )

    with pytest.raises(PatchRefusal, match="_power is in no library"):
        link()
    linked = link(libraries=[tmp_path / library])
    assert "/usr/lib/libpower.dylib" in open_image(linked.output.read_bytes(), "patch.dylib").needed_libraries
    with pytest.raises(PatchRefusal, match="_power is in no library"):
        link(libraries=[tmp_path / library], policies=[WithoutLibrary()])


LAUNCHER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *host = dlopen("./libhost.so", RTLD_NOW | RTLD_LOCAL);
  void *anchor = host ? dlsym(host, "host_anchor") : 0;
  void *patch = dlopen(argv[1], RTLD_NOW);
  puts(!anchor ? "no host" : patch ? "loaded" : dlerror());
  return argc != 2;
}
"""


@pytest.mark.parametrize("needs", [False, True])
def test_a_library_hosts_own_libraries_are_invisible_to_the_patch(tmp_path: Path, *, needs: bool) -> None:
    """A plug-in or an Android app loads its own libraries RTLD_LOCAL: a patch that relies on them fails in dlopen."""
    gcc, qemu = (str(need(tool)) for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64"))
    for name, source in (
        ("dep", "int dep(int a) { return a + 5; }"),
        ("host", "int dep(int); void host_anchor(void) {} int work(int a) { return dep(a); }"),
        ("patch", "int dep(int); int patch_main(int a) { return dep(a) + 2; }"),
        ("launcher", LAUNCHER),
    ):
        (tmp_path / f"{name}.c").write_text(source)
    shared = [gcc, "-shared", "-fPIC"]
    run([*shared, "dep.c", "-Wl,-soname,libdep.so", "-o", "libdep.so"], cwd=tmp_path)
    run([*shared, "host.c", "-L.", "-ldep", "-Wl,-rpath,.", "-Wl,-soname,libhost.so", "-o", "libhost.so"], cwd=tmp_path)
    run([*shared, "patch.c", *(["-L.", "-ldep"] if needs else []), "-o", "patch.so"], cwd=tmp_path)
    run([gcc, "launcher.c", "-ldl", "-o", "launcher"], cwd=tmp_path)
    command = [qemu, "-L", str(SYSROOT), "-E", f"LD_LIBRARY_PATH={tmp_path}", "./launcher", "./patch.so"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout.strip()

    def find(name: str) -> str | None:
        return str(tmp_path / name) if (tmp_path / name).exists() else None

    nothing: dict[str, Any] = {
        "slide": None,
        "exports": (),
        "libraries": (),
        "overrides": None,
        "pinned": (),
        "previous": NO_PATCHES,
        "facts": None,
    }
    checked = check_linked(tmp_path / "patch.so", tmp_path / "libhost.so", Inputs, find, **nothing)
    bad = [finding.message for finding in checked.findings if not finding.ok]
    if needs:
        assert said == "loaded"
        assert bad == []
    else:
        assert "undefined symbol: dep" in said
        (message,) = bad
        assert message.startswith("dep is in libdep.so, which the host loads for itself alone")
