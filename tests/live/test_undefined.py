"""What the loader finds or misses for a living host's patch is what the check says of its undefined symbols."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from live.live import LiveHost
from tools import SYSROOT, linker_folder, need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_linked
from stubgen.errors import PatchRefusal
from stubgen.link import Linked, link_patch
from stubgen.origin.account import Inputs
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

    def link(self, live: LiveHost, source: str) -> Linked:
        """The patch made from C *source*."""
        patch = self.object("patch", source)
        builder = StubBuilder(self.folder / "host", cache=False)
        output = self.folder / "patch.so"
        return link_patch(builder, self.captured, [patch], output, live.anchor, exports=["patch_main"])


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
