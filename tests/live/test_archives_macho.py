"""Mach-O hosts linked from archives: the patch has no second copy of a library's state or of an Objective-C class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from live.test_macho import PATCH_SLIDE, SLIDE, Patched, symbols, toolchain
from tools import need, need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.link import link_patch

LIBRARY = """
static int count;
__attribute__((noinline)) int foo_add(int by) { count += by; return count; }
__attribute__((noinline)) int foo_get(void) { return count; }
"""

POD = """
__attribute__((objc_root_class)) @interface Pod
+ (int)number;
@end
@implementation Pod
+ (int)number { return 7; }
@end
static int made;
__attribute__((noinline)) int foo_add(int by) { made += by; return made; }
"""

HOST = """
int foo_add(int);
int call(int by) { return foo_add(by); }
int main(void) { return call(0); }
"""

PATCH = "int foo_add(int); int patch_main(int by) { return foo_add(by); }"


def make(folder: Path, options: Sequence[str], library: str, patch: str, *, ending: str = "c") -> Patched:
    """A host linked with *options* from an archive ``libfoo.a`` of *library*, and *patch* linked against it."""
    tools = toolchain("lld")
    source = folder / f"foo.{ending}"
    source.write_text(library)
    run([*tools.compile, "-O1", "-c", source.name, "-o", "foo.o"], cwd=folder)
    run([need("llvm-libtool-darwin-19"), "-static", "-o", "libfoo.a", "foo.o"], cwd=folder)
    host = tools.object(folder, "host-object", HOST)
    command = [*tools.link, "-o", "host", host.name, "-undefined", "dynamic_lookup", *options]
    run(command, cwd=folder)
    captured = Capture(command, folder, {}, output="host")
    anchor = symbols(folder / "host")["_main"] + SLIDE
    output = folder / "patch.dylib"
    object_ = tools.object(folder, "patch", patch)
    return Patched(
        folder / "host", link_patch(StubBuilder(folder / "host"), captured, [object_], output, anchor, exports=[])
    )


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        (["-force_load", "libfoo.a"], False),
        (["-all_load", "libfoo.a"], False),
        (["-L.", "-lfoo"], False),
        (["-ObjC", "-L.", "-lfoo"], True),
    ],
    ids=["force_load", "all_load", "l", "ObjC"],
)
def test_a_librarys_state_goes_on_in_the_patch(tmp_path: Path, options: list[str], *, objective: bool) -> None:
    """-force_load, -all_load and CocoaPods' -ObjC linked the library again: fresh state, and its classes twice."""
    need_module("lief", "lief")
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    patched = make(tmp_path, options, POD if objective else LIBRARY, PATCH, ending="m" if objective else "c")
    defined = symbols(patched.patch)
    assert not {"_foo_get", "_count", "_made", "_OBJC_CLASS_$_Pod"} & defined.keys()
    emulator = Emulator()
    host = emulator.load(patched.host, slide=SLIDE)
    patch = emulator.load(patched.patch, slide=PATCH_SLIDE)
    assert emulator.call(host.address("call"), 3).signed == 3
    assert emulator.call(patch.address("patch_main"), 100).signed == 103
    assert emulator.call(host.address("call"), 3).signed == 106
