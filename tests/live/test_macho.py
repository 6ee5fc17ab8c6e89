"""A Mach-O host is patched at a slid address and run, with ld64.lld and with the pip toolchain's own linker.

The host's link command is edited by the link plan and run again, so nothing here knows how to link a patch. LIEF
reads the addresses that the emulated run is held against; no reader of this project has a say in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import need, need_module, run, zig

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.errors import LinkerFailed, UnsupportedInput
from stubgen.link import Linked, link_patch

SLIDE = 0x1_2345 * 0x4000
"""Where the host lies, in bytes above its static addresses: a multiple of Apple's page."""

PATCH_SLIDE = 0x74B4_0000_0000
"""Where the patch lies: too far from the host for any direct branch."""

HOST = """
typedef struct { long v[6]; } Wide;
static int calls;
__attribute__((noinline)) int add(int a, int b) { calls++; return a + b; }
__attribute__((noinline)) double scale(double x, float y) { return x * y; }
__attribute__((noinline)) int sum(int count, ...) {
  __builtin_va_list list; int total = 0;
  __builtin_va_start(list, count);
  while (count-- > 0) total += __builtin_va_arg(list, int);
  __builtin_va_end(list);
  return total;
}
__attribute__((noinline)) Wide wide(long seed) { Wide w; for (int i = 0; i < 6; i++) w.v[i] = seed + i; return w; }
__attribute__((noinline, used)) static int seven_times(int x) { return x * 7; }
__attribute__((noinline)) int apply(int (*function)(int, int), int x) { return function(x, 1); }
int old_step(int x) { return add(x, 1); }
int (*step)(int) = old_step;
int call_step(int x) { return step(x); }
int count_calls(void) { return calls; }
int main(void) { return call_step(1) + seven_times(count_calls()); }
"""

PATCH = """
typedef struct { long v[6]; } Wide;
int add(int, int); double scale(double, float); int sum(int, ...); Wide wide(long); int seven_times(int);
int new_step(int x) { return add(x, 100); }
int use_scale(int x) { return (int)scale(x, 2.5f); }
int use_sum(int x) { return sum(6, x, 2, 3, 4, 5, 6) + 1; }
int use_wide(int x) { return (int)wide(x).v[5]; }
int use_static(int x) { return seven_times(x) + 1; }
"""

CALLS = {  # patch function -> (host function that it calls, its answer to 8)
    "new_step": ("add", 108),
    "use_scale": ("scale", 20),
    "use_sum": ("sum", 29),
    "use_wide": ("wide", 13),
    "use_static": ("seven_times", 57),
}

POINTERS = """
int add(int, int); int apply(int (*)(int, int), int);
int use_pointer(int x) { return apply(add, x); }
int (*const table[])(int, int) = { add };
int use_table(int x) { return table[x & 0](x, 10); }
"""
"""A patch that takes a host function's address, in code and in data."""


class Toolchain(NamedTuple):
    """How to compile for one Apple platform and to link an executable."""

    compile: Sequence[str]
    link: Sequence[str]

    def object(self, folder: Path, name: str, source: str) -> Path:
        """Compile C *source*."""
        path = folder / f"{name}.c"
        path.write_text(source)
        run([*self.compile, "-O1", "-c", path.name, "-o", f"{name}.o"], cwd=folder)
        return folder / f"{name}.o"

    def host(self, folder: Path) -> tuple[Path, Capture]:
        """Link the host; and the record of that link."""
        command = [*self.link, "-o", "host", self.object(folder, "host-object", HOST).name]
        run(command, cwd=folder)
        return folder / "host", Capture(command, folder, {}, output="host")


def lld(target: str, version: Sequence[str], *options: str) -> Toolchain:
    """Clang and LLVM's linker for Apple's platforms."""
    clang, linker = need("clang-19", "ld64.lld-19")
    architecture = target.partition("-")[0]
    linking = [linker, "-arch", architecture, "-platform_version", *version, "-execute", *options]
    return Toolchain([clang, f"--target={target}", "-fno-stack-protector"], linking)


def toolchain(name: str) -> Toolchain:
    """The toolchain that a test calls *name*."""
    if name == "zig":
        driver = [*zig(), "cc", "-target", "aarch64-macos"]
        return Toolchain(driver, driver)
    if name == "ios-simulator":
        return lld("arm64-apple-ios17.0-simulator", ["ios-simulator", "17.0", "17.0"])
    opcodes = ["-no_fixup_chains"] if name == "lld-opcodes" else []
    return lld("arm64-apple-macos13.0", ["macos", "13.0", "13.0"], *opcodes)


TOOLCHAINS = ("lld", "lld-opcodes", "zig", "ios-simulator")
"""``lld`` writes chained fixups, ``lld-opcodes`` and ``zig`` dyld's older opcodes."""


class Patched(NamedTuple):
    """A host, and a patch that was linked against it."""

    host: Path
    linked: Linked

    @property
    def patch(self) -> Path:
        """The patch's file."""
        return self.linked.output


def make_patch(folder: Path, tools: Toolchain, source: str) -> Patched:
    """Link the host, and the patch *source* for a host whose ``main`` lies :data:`SLIDE` above its static address."""
    host, captured = tools.host(folder)
    anchor = symbols(host)["_main"] + SLIDE
    patch = tools.object(folder, "patch", source)
    linked = link_patch(StubBuilder(host), captured, [patch], folder / "patch.dylib", anchor, allow_static=True)
    return Patched(host, linked)


@pytest.fixture(scope="module", params=TOOLCHAINS)
def patched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Patched:
    """A host and a patch, linked with each toolchain."""
    need_module("lief", "lief")
    return make_patch(tmp_path_factory.mktemp(request.param), toolchain(request.param), PATCH)


class Facts(NamedTuple):
    """What LIEF reads in a linked image."""

    symbols: dict[str, int]  # name -> static address
    bound: set[str]  # names that dyld looks up
    imported: set[str]
    rebased: set[int]  # static addresses of the words that dyld slides


def read(path: Path) -> Facts:
    """Read *path* with LIEF."""
    import lief

    lief.logging.disable()  # it reports empty tables on standard error
    universal = lief.MachO.parse(str(path))  # owns what it hands out: it must outlive the lines below
    image = universal.at(0)
    return Facts(
        symbols={symbol.name: symbol.value for symbol in image.symbols if symbol.value},
        bound={binding.symbol.name for binding in image.bindings},
        imported={symbol.name for symbol in image.imported_symbols},
        rebased={relocation.address for relocation in image.relocations},
    )


def symbols(path: Path) -> dict[str, int]:
    """Name -> static address of what *path* defines, as LIEF reads it."""
    return read(path).symbols


def running(patched: Patched):
    """An emulator with both images, the emulated host and patch; all host functions and stubs are watched."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    emulator = Emulator()
    host = emulator.load(patched.host, slide=SLIDE)
    patch = emulator.load(patched.patch, slide=PATCH_SLIDE)
    in_host, in_patch = symbols(patched.host), symbols(patched.patch)
    for name in patched.linked.built.stub.names:
        plain = name.decode()
        emulator.watch(in_patch[plain] + PATCH_SLIDE, f"stub of {plain[1:]}")
        emulator.watch(in_host[plain] + SLIDE, f"host's {plain[1:]}")
    return emulator, host, patch


def objdump(path: Path, *tables: str) -> str:
    """What llvm-objdump prints about *path*."""
    return run([need("llvm-objdump-19"), "--macho", *tables, path])


def test_every_stub_is_executed_and_lands_on_its_target(patched: Patched) -> None:
    """A stub that lands anywhere else crashes the user's app, or quietly calls another function."""
    emulator, _, patch = running(patched)
    assert {"_main", *(f"_{function}" for function, _ in CALLS.values())} == {
        name.decode() for name in patched.linked.built.stub.names
    }
    for caller, (function, _) in CALLS.items():
        stub, landing = emulator.call(patch.address(caller), 8).entered
        assert (stub.name, landing.name) == (f"stub of {function}", f"host's {function}")
        assert landing.caller == stub.caller, "the return address must pass through the stub untouched"
        assert patch.holds(stub.address)
        assert landing.address == symbols(patched.host)[f"_{function}"] + SLIDE


def test_patch_results_are_right(patched: Patched) -> None:
    """Doubles, variadic arguments on the stack and structures through x8 must pass through a stub unharmed."""
    emulator, _, patch = running(patched)
    answers = {caller: emulator.call(patch.address(caller), 8).signed for caller in CALLS}
    assert answers == {caller: answer for caller, (_, answer) in CALLS.items()}


def test_host_goes_on_with_the_new_function_and_its_old_state(patched: Patched) -> None:
    """A patch must change the one function and share all state: a second copy of the host's data loses the user's."""
    emulator, host, patch = running(patched)
    assert emulator.call(host.address("call_step"), 5).signed == 6
    assert emulator.read_word(host.address("step")) == host.address("old_step")
    emulator.write_word(host.address("step"), patch.address("new_step"))
    assert emulator.call(host.address("call_step"), 5).signed == 105
    assert emulator.call(host.address("count_calls")).signed == 2


def named_by_the_loader(path: Path) -> set[str]:
    """Every name in the tables that tell the loader what to look up, as llvm-objdump prints them."""
    tables = objdump(path, "--bind", "--weak-bind", "--lazy-bind", "--chained-fixups")
    return set(re.findall(r"(?:\s|\()(_\w+|dyld_stub_binder)\)?$", tables, re.MULTILINE))


def test_loader_looks_no_host_symbol_up(patched: Patched) -> None:
    """A bind for a host symbol makes dyld search for it: it fails to load, or finds some other library's function."""
    from macholib.MachO import MachO
    from macholib.SymbolTable import SymbolTable

    in_host = set(symbols(patched.host))
    facts = read(patched.patch)
    assert not named_by_the_loader(patched.patch) & in_host
    assert not facts.bound & in_host
    assert not {name for name in facts.imported if name not in facts.symbols} & in_host
    undefined = SymbolTable(MachO(str(patched.patch))).undefsyms
    assert not {name.decode() for _, name in undefined} & in_host


def test_nothing_of_the_host_is_rebased(patched: Patched) -> None:
    """A pointer that the loader moves with the patch cannot be a host address: it would be off by the patch's slide."""
    assert not re.findall(r"^__\w+\s+__\w+\s+0x", objdump(patched.patch, "--rebase"), re.MULTILINE)
    assert not read(patched.patch).rebased
    assert symbols(patched.host)["_step"] in read(patched.host).rebased, "LIEF must see a rebase where there is one"


def test_bind_reading_finds_binds(tmp_path: Path) -> None:
    """The test above passes for nothing when its pattern finds no bind in a patch that has one."""
    tools = toolchain("lld-opcodes")
    unstubbed = tools.object(tmp_path, "patch", PATCH)
    command = [word if word != "-execute" else "-dylib" for word in tools.link]
    run([*command, "-undefined", "dynamic_lookup", unstubbed, "-o", tmp_path / "patch.dylib"])
    assert {"_add", "_wide"} <= named_by_the_loader(tmp_path / "patch.dylib")


def test_profilers_unwind_from_inside_a_stub(patched: Patched) -> None:
    """Without compact unwind a crash report or a profile taken in a stub loses every frame below it."""
    text = run([need("llvm-objdump-19"), "--unwind-info", patched.patch])
    common = {int(n): int(code, 16) for n, code in re.findall(r"^    encoding\[(\d+)\]: (0x\w+)", text, re.MULTILINE)}
    entries = re.findall(r"^ +\[\d+\]: function offset=(0x\w+), encoding\[\d+\]=(0x\w+)", text, re.MULTILINE)
    assert entries, f"no unwind entry was understood; common encodings are {common}"
    ranges = [(int(offset, 16), int(encoding, 16)) for offset, encoding in entries]
    for name in patched.linked.built.stub.names:
        at = symbols(patched.patch)[name.decode()]
        encoding = [code for offset, code in ranges if offset <= at][-1]
        assert encoding == 0x02000000, f"{name.decode()}: {encoding:#x} is not frameless with the return address in lr"


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_pointers_to_host_functions_can_be_called(name: str, tmp_path: Path) -> None:
    """A callback that the patch hands to the host is the host's own function, not a stub that looks like another."""
    need_module("lief", "lief")
    emulator, _, patch = running(make_patch(tmp_path, toolchain(name), POINTERS))
    called = emulator.call(patch.address("use_pointer"), 8)
    assert called.signed == 9
    assert called.names == ["stub of apply", "host's apply", "host's add"]
    assert emulator.call(patch.address("use_table"), 8).signed == 18


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_loader_looks_no_address_taken_function_up(name: str, tmp_path: Path) -> None:
    """A weak bind for a callback lets another library's function of that name replace the host's.

    zig's linker binds a private weak definition by name where code loads its address through the GOT; bound
    copies leave it nothing to bind.
    """
    patched = make_patch(tmp_path, toolchain(name), POINTERS)
    in_host = set(symbols(patched.host))
    assert not named_by_the_loader(patched.patch) & in_host
    assert not read(patched.patch).bound & in_host


def test_stub_carries_the_simulators_platform(tmp_path: Path) -> None:
    """The linker refuses a stub for macOS in a patch for the simulator: the user could never link."""
    tools = toolchain("ios-simulator")
    host, captured = tools.host(tmp_path)
    mac_host, _ = toolchain("lld").host(folder(tmp_path, "mac"))
    patch = tools.object(tmp_path, "patch", PATCH)
    linked = link_patch(
        StubBuilder(host),
        captured,
        [patch],
        tmp_path / "patch.dylib",
        slide=SLIDE,
        allow_static=True,
        stub=tmp_path / "stub.o",
    )
    assert linked.output.is_file()
    shown = objdump(tmp_path / "stub.o", "--private-headers")
    assert re.search(r"platform iossimulator\s+sdk 17.0\s+minos 17.0", shown), shown

    mac_patch = toolchain("lld").object(tmp_path / "mac", "patch", PATCH)
    mac_stub = StubBuilder(mac_host).build([mac_patch], slide=SLIDE, allow_static=True).stub.content
    (tmp_path / "mac-stub.o").write_bytes(mac_stub)
    with pytest.raises(LinkerFailed, match="platform macOS"):
        link_patch(
            StubBuilder(host),
            captured,
            [patch],
            tmp_path / "wrong.dylib",
            slide=SLIDE,
            allow_static=True,
            extra=[tmp_path / "mac-stub.o"],
        )


def folder(parent: Path, name: str) -> Path:
    """A new folder."""
    (parent / name).mkdir()
    return parent / name


@pytest.mark.parametrize("order", [("arm64", "x86_64"), ("x86_64", "arm64")])
def test_universal_host_gives_the_same_stub_as_its_arm64_half(order: tuple[str, str], tmp_path: Path) -> None:
    """Most macOS programs are universal: reading the wrong half would send every call astray."""
    arm64 = toolchain("lld")
    x86_64 = lld("x86_64-apple-macos13.0", ["macos", "13.0", "13.0"])
    thin = {"arm64": arm64.host(folder(tmp_path, "arm64"))[0], "x86_64": x86_64.host(folder(tmp_path, "x86_64"))[0]}
    universal = tmp_path / "universal"
    run([need("llvm-lipo-19"), "-create", *(thin[name] for name in order), "-output", universal])
    patch = arm64.object(tmp_path, "patch", PATCH)
    builders = [StubBuilder(host) for host in (thin["arm64"], universal)]
    stubs = [bytes(each.build([patch], slide=SLIDE, allow_static=True).stub.content) for each in builders]
    assert stubs[0] == stubs[1]
    assert symbols(thin["arm64"])["_add"] != 0


@pytest.mark.parametrize("archiver", [["llvm-ar-19", "rc"], ["llvm-libtool-darwin-19", "-static", "-o"]])
def test_a_universal_archive_gives_its_arm64_half(archiver: list[str], tmp_path: Path) -> None:
    """Xcode's static libraries are universal archives; the other half's objects are of no use here."""
    for target in ("arm64", "x86_64"):
        tools = lld(f"{target}-apple-macos13.0", ["macos", "13.0", "13.0"])
        patch = tools.object(folder(tmp_path, target), "patch", PATCH)
        run([need(archiver[0]), *archiver[1:], tmp_path / target / "patch.a", patch])
    universal = tmp_path / "patch.a"
    halves = [tmp_path / target / "patch.a" for target in ("x86_64", "arm64")]
    run([need("llvm-lipo-19"), "-create", *halves, "-output", universal])
    host, _ = toolchain("lld").host(tmp_path)
    builder = StubBuilder(host)
    options = {"slide": SLIDE, "bind": True, "allow_static": True, "exports": ["_new_step", "_use_wide"]}
    thin, whole = (builder.build([path], **options) for path in (tmp_path / "arm64" / "patch.a", universal))
    assert bytes(thin.stub.content) == bytes(whole.stub.content)
    assert len(thin.stub.names) == len(CALLS)
    assert thin.bound is not None
    assert whole.bound is not None
    assert [item.content for item in thin.bound.objects] == [item.content for item in whole.bound.objects]
    run([need("llvm-lipo-19"), "-create", halves[0], "-output", tmp_path / "other.a"])
    with pytest.raises(UnsupportedInput, match=r"is a universal file without an ARM64 slice .it holds x86-64."):
        builder.build([tmp_path / "other.a"], **options)
