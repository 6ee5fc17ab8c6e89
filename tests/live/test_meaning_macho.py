"""Which of several definitions of one name a Mach-O patch means. Twin of ``test_meaning``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from live.test_macho import PATCH_SLIDE, SLIDE, symbols, toolchain
from live.test_meaning import decision
from tools import need, need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.errors import PatchRefusal
from stubgen.link import Linked, link_patch
from stubgen.resolve.verdicts import Verdict

ENTRY = "int main(void) { return 0; }"
STATIC = f"__attribute__((used)) static int area(int x) {{ return -1; }} {ENTRY}"
PATCH = "int area(int); int patch_main(int x) { return area(x); }"

STUB = """--- !tapi-tbd
tbd-version:     4
targets:         [ x86_64-macos, arm64-macos ]
install-name:    '/usr/lib/libown.dylib'
exports:
  - targets:         [ x86_64-macos ]
    symbols:         [ _volume ]
  - targets:         [ x86_64-macos, arm64-macos ]
    symbols:         [ '_other$X', _area,
                       _width ]
...
"""


def link(folder: Path, tools: str, source: str, patch: str, options: Sequence[str]) -> Linked:
    """A host of *source*, linked with *options*, and *patch* linked for it."""
    need_module("lief", "lief")
    made = toolchain(tools)
    undefined = [] if tools == "zig" else ["-undefined", "dynamic_lookup"]
    object_ = made.object(folder, "host-object", source)
    command = [*made.link, *undefined, "-o", "host", object_.name, *options]
    run(command, cwd=folder)
    captured = Capture(command, folder, {}, output="host")
    anchor = symbols(folder / "host")["_main"] + SLIDE
    compiled = made.object(folder, "patch", patch)
    builder = StubBuilder(folder / "host")
    return link_patch(builder, captured, [compiled], folder / "patch.dylib", anchor, allow_static=True)


def own_library(folder: Path, kind: str) -> list[str]:
    """The arguments that link a library with ``area``, which is made: a dylib, or an SDK's stub of one."""
    if kind == "stub":
        (folder / "libown.tbd").write_text(STUB)
        return ["-L.", "-lown"]
    tools = toolchain("lld")
    object_ = tools.object(folder, "own", "int area(int x) { return x * x; }")
    words = [word for word in tools.link if word != "-execute"]
    run([*words, "-dylib", "-undefined", "dynamic_lookup", object_.name, "-o", "libown.dylib"], cwd=folder)
    return ["libown.dylib"]


@pytest.mark.parametrize("kind", ["dylib", "stub"])
@pytest.mark.parametrize("tools", ["lld", "zig"])
def test_an_unrelated_static_of_the_host_does_not_answer_for_a_library(tmp_path: Path, tools: str, kind: str) -> None:
    """The patch calls a library's function; a static one of another file has its name, and got the call."""
    found = decision(link(tmp_path, tools, STATIC, PATCH, own_library(tmp_path, kind)), "_area")
    assert found.verdict is Verdict.LOADER
    assert "supplies it; the host's own, at 0x" in found.reason


def test_a_stub_for_another_machine_exports_nothing(tmp_path: Path) -> None:
    """SDKs list what only x86 has in the same file: there the host's static function is the only meaning."""
    source = STATIC.replace("area", "volume")
    linked = link(tmp_path, "lld", source, PATCH.replace("area", "volume"), own_library(tmp_path, "stub"))
    assert decision(linked, "_volume").verdict is Verdict.TRAMPOLINE
    assert "a local symbol that is static in" in decision(linked, "_volume").reason


def test_macos_own_library_is_asked_too(tmp_path: Path) -> None:
    """Nothing in the command names libSystem, which each driver links by itself."""
    source = f"__attribute__((used)) static int cbrt(int x) {{ return -1; }} {ENTRY}"
    patch = "double cbrt(double); int patch_main(int x) { return (int)(cbrt(x) + 0.5); }"
    found = decision(link(tmp_path, "zig", source, patch, ["-fno-builtin"]), "_cbrt")
    assert found.verdict is Verdict.LOADER
    assert "libSystem" in found.reason


@pytest.mark.parametrize("tools", ["lld", "zig"])
@pytest.mark.parametrize("attribute", ["", '__attribute__((visibility("hidden"))) '], ids=["global", "hidden"])
def test_the_hosts_own_function_is_meant_before_a_librarys_of_that_name(
    tmp_path: Path, tools: str, attribute: str
) -> None:
    """Hidden functions become private in the link; they are the host's all the same, before any library's.

    zig's linker prefers what a dylib exports to the stub, and the check after the link says so.
    """
    source = f"{attribute}__attribute__((used)) int area(int x) {{ return x + 1000; }} {ENTRY}"
    if tools == "zig":
        with pytest.raises(PatchRefusal, match="_area comes from libown"):
            link(tmp_path, tools, source, PATCH, own_library(tmp_path, "dylib"))
        return
    linked = link(tmp_path, tools, source, PATCH, own_library(tmp_path, "dylib"))
    assert decision(linked, "_area").verdict is Verdict.TRAMPOLINE


def test_an_archives_function_is_meant_before_an_unrelated_static(tmp_path: Path) -> None:
    """The member that has the name was not linked: its function is the one that other files mean."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    object_ = toolchain("lld").object(tmp_path, "foo", "int area(int x) { return x * x; }")
    run([need("llvm-libtool-darwin-19"), "-static", "-o", "libfoo.a", object_.name], cwd=tmp_path)
    linked = link(tmp_path, "lld", STATIC, PATCH, ["-L.", "-lfoo"])
    assert [member.name for member in linked.built.resolution.needed.borrowed] == ["libfoo.a(foo.o)"]
    emulator = Emulator()
    emulator.load(tmp_path / "host", slide=SLIDE)
    patch = emulator.load(tmp_path / "patch.dylib", slide=PATCH_SLIDE)
    assert emulator.call(patch.address("patch_main"), 5).signed == 25


BOARD = """
%s int rate(void) { return 500; }
%s int level = 5;
"""
PRICE = """
__attribute__((weak)) int rate(void) { return 1; }
__attribute__((weak)) int level = 1;
int (*const table[])(void) = { rate };
int *const levels[] = { &level };
int (*taken(void))(void) { return rate; }
int price(int n) { return n * (rate() + table[0]()) + level * 100000 + *levels[0] * 1000000
                          + (taken() == table[0]) * 10000000; }
"""


@pytest.mark.parametrize("attribute", ["", '__attribute__((visibility("hidden")))'], ids=["global", "hidden"])
@pytest.mark.parametrize("tools", ["lld", "lld-opcodes", "zig"])
def test_the_hosts_definition_is_meant_before_a_weak_default_of_the_patch(
    tmp_path: Path, tools: str, attribute: str
) -> None:
    """A board's own rate won over the default in the host; the patched file would go back to the default."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    made = toolchain(tools)
    board = made.object(tmp_path, "board", BOARD % (attribute, attribute))
    source = PRICE + "int main(void) { return price(1) > 0; }"
    linked = link(tmp_path, tools, source, PRICE.replace("int price", "int patched"), [board.name])
    emulator = Emulator()
    host = emulator.load(tmp_path / "host", slide=SLIDE)
    patch = emulator.load(tmp_path / "patch.dylib", slide=PATCH_SLIDE)
    assert emulator.call(host.address("price"), 3).signed == 3 * 1000 + 500000 + 5000000 + 10000000
    assert emulator.call(patch.address("patched"), 3).signed == 3 * 1000 + 500000 + 5000000 + 10000000
    for name in ("_rate", "_level"):
        assert "a weak default, which gives way to the host's definition" in decision(linked, name).reason


@pytest.mark.parametrize("tools", ["lld", "zig"])
def test_a_weak_default_that_the_host_has_as_well_is_the_patchs_to_change(tmp_path: Path, tools: str) -> None:
    """No other file defines it: the edited default is what the patch is about."""
    source = PRICE + "int main(void) { return price(1) > 0; }"
    assert not link(tmp_path, tools, source, PRICE, []).built.resolution.needed.gave_way


def test_an_inline_function_of_a_header_stays_the_patchs(tmp_path: Path) -> None:
    """C++ emits inline functions weakly on both sides, and Mach-O marks them as it does defaults."""
    source = "__attribute__((noinline)) inline int rate() { return 1; } %s { return rate(); }"
    need_module("lief", "lief")
    made = toolchain("lld")
    for name, head in (("host", "int main()"), ("patch", "int patched()")):
        (tmp_path / f"{name}.cc").write_text(source % head)
        run([*made.compile, "-O1", "-c", f"{name}.cc", "-o", f"{name}.o"], cwd=tmp_path)
    command = [*made.link, "-undefined", "dynamic_lookup", "-o", "host", "host.o"]
    run(command, cwd=tmp_path)
    captured = Capture(command, tmp_path, {}, output="host")
    anchor = symbols(tmp_path / "host")["_main"] + SLIDE
    output = tmp_path / "patch.dylib"
    linked = link_patch(StubBuilder(tmp_path / "host"), captured, [tmp_path / "patch.o"], output, anchor)
    assert not linked.built.resolution.needed.gave_way


OWN_NAME = f"__attribute__((used)) int usleep(int x) {{ return x + 1000; }} {ENTRY}"
CALLS_OWN_NAME = "int usleep(int); int patch_main(int x) { return usleep(x); }"


@pytest.mark.parametrize("tools", ["lld", "lld library", "zig"])
def test_a_function_of_the_host_called_like_one_of_a_library(tools: str, tmp_path: Path) -> None:
    """The library's ran in its place: zig's linker prefers what a dylib exports to the stub, ld64.lld does not."""
    options = []
    if tools == "lld library":
        words = [word for word in toolchain("lld").link if word != "-execute"]
        library = toolchain("lld").object(tmp_path, "own", "int usleep(int x) { return x < 0 ? -x : x; }")
        run([*words, "-dylib", library.name, "-o", "libown.dylib"], cwd=tmp_path)
        options = ["libown.dylib"]
    if tools == "zig":
        with pytest.raises(PatchRefusal, match="_usleep comes from /usr/lib/libSystem"):
            link(tmp_path, "zig", OWN_NAME, CALLS_OWN_NAME, options)
        return
    linked = link(tmp_path, "lld", OWN_NAME, CALLS_OWN_NAME, options)
    from examples.demo.emulator import Emulator

    patch, emulator = symbols(linked.output), Emulator()
    emulator.load(tmp_path / "host", slide=SLIDE)
    emulator.load(linked.output, slide=PATCH_SLIDE)
    assert emulator.call(patch["_patch_main"] + PATCH_SLIDE, -3).signed == 997
