"""Bound copies on Mach-O: the patch works on the slid host's own data, thread-locals and function addresses.

Clang's and zig's objects, linked by ld64.lld (chained fixups, and dyld's older opcodes) and by zig's own linker, run
side by side with the host in an emulated processor.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from live.test_macho import PATCH_SLIDE, SLIDE, Toolchain, named_by_the_loader, objdump, read, symbols, toolchain
from tools import need, need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.errors import SymbolRefusal
from stubgen.link import Linked, link_patch

SHARED = """
typedef struct { int (*area)(int); const char *name; } Shape;
extern int counter, array[8]; extern const int limit; extern Shape square; extern int (*registered)(int);
extern _Thread_local int tls_value, tls_second; int area(int);
"""

HOST = f"""{SHARED}
int counter = 41, array[8] = {{0, 10, 20, 30, 40, 50, 60, 70}}; const int limit = 7; _Thread_local int tls_pad = 5;
_Thread_local int tls_value = 100, tls_second;
__attribute__((used)) static volatile int unit_count = 5;
__attribute__((noinline)) int area(int side) {{ return side * side + counter; }}
Shape square = {{area, "square"}};
int (*registered)(int) = area;
int host_tls(void) {{ return tls_value; }}
int host_registered(int x) {{ return registered(x); }}
/* Stands in for what dyld puts into descriptors: a descriptor's variable, all registers but x0 kept. */
long thread_storage[512];
__asm__(".globl _stand_in\\n_stand_in:\\n"
        "ldr x0, [x0, #16]\\n stp x1, x30, [sp, #-16]!\\n"
        "adrp x1, _thread_storage@PAGE\\n add x1, x1, _thread_storage@PAGEOFF\\n add x0, x0, x1\\n"
        "ldp x1, x30, [sp], #16\\n ret\\n");
int main(void) {{ return host_tls() + host_registered(1) + square.area(limit) + array[3] + tls_second + tls_pad; }}
"""

PATCH = f"""{SHARED}
extern volatile int unit_count;
int *third = &array[3];
int *past = array + 8;
int (*functions[])(int) = {{area}};
Shape *shapes[] = {{&square}};
int bump(void) {{ return ++counter; }}
int read_limit(void) {{ return limit; }}
int bump_unit(void) {{ return unit_count += 2; }}
int write_third(int x) {{ int old = *third; *third = x; past[-3] = x + 1; return old; }}
int same(void) {{ return (registered == area) + 10 * (functions[0] == registered) + 100 * (shapes[0]->area == area); }}
int call_area(int x) {{ return area(x); }}
int new_area(int x) {{ return area(x) + 1000; }}
int replace(void) {{ registered = new_area; return 1; }}
int bump_tls(void) {{ tls_second = 9; return ++tls_value; }}
"""


class Patched(NamedTuple):
    """A host, and a patch that was linked against it."""

    host: Path
    linked: Linked
    object: Path


def link_host(folder: Path, tools: Toolchain) -> tuple[Path, Capture]:
    """The host, and the record of its link."""
    undefined = [] if tools.link[1:] == tools.compile[1:] else ["-undefined", "dynamic_lookup"]  # zig has libSystem
    command = [*tools.link, *undefined, "-o", "host", tools.object(folder, "host-object", HOST).name]
    run(command, cwd=folder)
    return folder / "host", Capture(command, folder, {}, output="host")


def make_patch(folder: Path, tools: Toolchain, source: str = PATCH, *options: str) -> Patched:
    """Link the host, and the patch *source* for it, slid by :data:`SLIDE`."""
    host, captured = link_host(folder, tools)
    compiled = tools._replace(compile=[*tools.compile, *options]).object(folder, "patch", source)
    anchor = symbols(host)["_main"] + SLIDE
    return Patched(host, link_patch(StubBuilder(host), captured, [compiled], folder / "patch.dylib", anchor), compiled)


@pytest.fixture(scope="module", params=["lld", "lld-opcodes", "zig", "ios-simulator"])
def patched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Patched:
    """A host and a patch, made with each toolchain."""
    need_module("lief", "lief")
    return make_patch(tmp_path_factory.mktemp(request.param), toolchain(request.param))


class Running(NamedTuple):
    """Host and patch in the emulator."""

    emulator: Any
    host: Any
    patch: Any

    def call(self, name: str, *arguments: int) -> int:
        """What function *name* of the patch, or else of the host, returns."""
        image = self.patch if name in self.patch.image.symbols else self.host
        return int(self.emulator.call(image.address(name), *arguments).signed)

    def word(self, name: str, index: int = 0) -> int:
        """The 32-bit word *index* at the host's variable *name*."""
        return int(self.emulator.read_word(self.host.address(name) + 4 * index) & 0xFFFFFFFF)


def run_both(patched: Patched) -> Running:
    """Map host and patch; the thread's storage begins with what dyld copies there."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    emulator = Emulator()
    host = emulator.load(patched.host, slide=SLIDE)
    patch = emulator.load(patched.linked.output, slide=PATCH_SLIDE)
    for name in ("tls_pad", "tls_value", "tls_second"):
        emulator.write_word(host.address(name), host.address("stand_in"))
    emulator.write_word(thread_variable(emulator, host, "tls_value"), 100)
    return Running(emulator, host, patch)


def thread_variable(emulator: Any, host: Any, name: str) -> int:
    """Where the stand-in for dyld keeps the host's thread-local *name*: its descriptor's third word is the offset."""
    return int(host.address("thread_storage") + emulator.read_word(host.address(name) + 16))


def test_the_hosts_data_is_read_and_written(patched: Patched) -> None:
    """A patch with a copy of a global, or with the patch's own slide added to its address, changes nothing or dies."""
    running = run_both(patched)
    assert (running.call("bump"), running.word("counter")) == (42, 42)
    assert running.call("read_limit") == 7
    assert (running.call("bump_unit"), running.word("unit_count")) == (7, 7)
    assert running.call("call_area", 3) == 9 + 42
    assert running.call("write_third", 33) == 30
    assert (running.word("array", 3), running.word("array", 5)) == (33, 34)


def test_function_addresses_are_the_hosts_own(patched: Patched) -> None:
    """A handler that compares equal in the host and unequal in the patch is registered twice or never removed."""
    running = run_both(patched)
    assert running.call("same") == 111
    assert running.emulator.read_word(running.patch.address("functions")) == running.host.address("area")
    assert running.call("replace") == 1
    assert running.call("host_registered", 2) == 4 + 41 + 1000


def test_thread_locals_are_shared(patched: Patched) -> None:
    """A patch with a descriptor of its own counts in a second variable, which no thread of the host ever reads."""
    running = run_both(patched)
    assert running.call("host_tls") == 100
    assert running.call("bump_tls") == 101
    assert running.call("host_tls") == 101
    second = thread_variable(running.emulator, running.host, "tls_second")
    assert running.emulator.read_word(second) & 0xFFFFFFFF == 9


OWN = f"""{SHARED}
static _Thread_local int own = 1000;
_Thread_local int tls_second;
int bump_own(void) {{ return ++own; }}
int bump_tls(void) {{ tls_second = 9; return ++tls_value; }}
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_a_thread_local_of_the_patchs_own_is_beside_the_hosts(name: str, tmp_path: Path) -> None:
    """Each image has descriptors that dyld sets up: a new one is the patch's; one that the host has is the host's."""
    running = run_both(make_patch(tmp_path, toolchain(name), OWN))
    descriptor, storage = running.patch.address("own"), running.host.address("thread_storage")
    beside = 1024  # bytes into the stand-in's storage, where the host has nothing
    running.emulator.write_word(descriptor, running.host.address("stand_in"))
    running.emulator.write_word(descriptor + 16, beside)
    running.emulator.write_word(storage + beside, 1000)
    assert (running.call("bump_own"), running.call("bump_tls"), running.call("bump_own")) == (1001, 101, 1002)
    assert running.call("host_tls") == 101
    second = thread_variable(running.emulator, running.host, "tls_second")
    assert running.emulator.read_word(second) & 0xFFFFFFFF == 9


def test_nothing_of_the_host_is_rebased_or_bound(patched: Patched) -> None:
    """A rebase adds the patch's slide to a host address; a bind finds another library's symbol or none."""
    in_host = set(symbols(patched.host))
    facts = read(patched.linked.output)
    assert not facts.rebased
    assert not re.findall(r"^__\w+\s+__\w+\s+0x", objdump(patched.linked.output, "--rebase"), re.MULTILINE)
    assert not facts.bound & in_host
    assert not named_by_the_loader(patched.linked.output) & in_host
    needed = run(["llvm-nm-19", "--undefined-only", patched.object]).split()
    assert {"_counter", "_array", "_square", "_tls_value"} <= set(needed) & in_host


def test_addresses_formed_in_code_are_the_hosts(tmp_path: Path) -> None:
    """Code that takes a hidden symbol's address by page and offset would take one beside the patch."""
    text = f"""{SHARED.replace("extern", "extern __attribute__((visibility('hidden')))".replace("'", chr(34)))}
    __attribute__((visibility("hidden"))) int area(int);
    long function(void) {{ return (long)area; }}
    long data(void) {{ return (long)array; }}
    """
    patched = make_patch(tmp_path, toolchain("lld"), text, "-O2")
    shown = objdump(patched.object, "--reloc")
    assert re.search(r"PAGOF12 False +_area", shown), "the compiler formed no address"
    assert re.search(r"PAGOF12 False +_array", shown)
    running = run_both(patched)
    for name, host_name in (("function", "area"), ("data", "array")):
        result = running.emulator.call(running.patch.address(name)).result
        assert result == running.host.address(host_name)


REFUSALS = {
    "32-bit distance": (
        '__asm__(".data\\n_here: .long _counter - _here"); extern int counter;',
        r"__DATA,__data\+0x0: ARM64_RELOC_(SUBTRACTOR|UNSIGNED) against _counter: how far the host's data is",
    ),
    "GOT pointer": (
        '__asm__(".data\\n.long _counter@GOT - ."); extern int counter;',
        r"__DATA,__data\+0x0: ARM64_RELOC_POINTER_TO_GOT against _counter: it needs a GOT entry of its own",
    ),
}
"""What it is -> (source, how its refusal reads)."""


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_expressed_is_refused_with_particulars(name: str, tmp_path: Path) -> None:
    """A user must learn which access in which object is in the way; a patch linked all the same reads nonsense."""
    source, pattern = REFUSALS[name]
    tools = toolchain("lld")
    host, _ = link_host(tmp_path, tools)
    patch = tools.object(tmp_path, "patch", source)
    with pytest.raises(SymbolRefusal, match=rf"patch\.o: {pattern}"):
        StubBuilder(host).build([patch], slide=SLIDE, bind=True)


def hints(path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """The linker optimisation hints of an object (kind, addresses), as llvm-objdump prints them."""
    shown = objdump(path, "--link-opt-hints")
    blocks = re.findall(r"identifier \d+ (Adrp\w+)\s+narguments \d+\s+((?:value 0x\w+\s+)+)", shown)
    return [(kind, tuple(int(value, 16) for value in re.findall(r"0x\w+", values))) for kind, values in blocks]


def places(path: Path) -> dict[int, tuple[str, str]]:
    """Address in ``__text`` -> (relocation, symbol), as llvm-objdump prints them."""
    text = objdump(path, "--reloc").partition("(__TEXT,__text)")[2].partition("Relocation information")[0]
    return {
        int(address, 16): (kind, symbol)
        for address, kind, symbol in re.findall(r"^(\w{8}) \w+ +\w+ +True +(\w+?) *False +(\w+)$", text, re.MULTILINE)
    }


def test_hints_about_changed_instructions_are_gone(tmp_path: Path) -> None:
    """The linker would follow such a hint and turn the slot's load into arithmetic; the other hints stay."""
    text = f"""{SHARED}
    static int own[64]; static volatile int sum;
    int read_mine(int x) {{ own[x & 63] += x; return own[x & 31] + sum++; }}
    int read_hosts(int x) {{ return counter + array[x & 7] + tls_value; }}
    int both(int x) {{ return counter + sum + (registered == area); }}
    """
    patched = make_patch(tmp_path, toolchain("lld"), text, "-O2")
    folder = tmp_path / "copies"
    folder.mkdir()
    built = StubBuilder(patched.host).build([patched.object], slide=SLIDE, bind=True)
    assert built.bound is not None
    copy = folder / "copy.o"
    copy.write_bytes(built.bound.objects[0].content)
    before, after = places(patched.object), places(copy)
    changed = {address for address in before if before[address] != after.get(address)}
    assert {symbol for address, (_, symbol) in before.items() if address in changed} >= {"_counter", "_array", "_area"}
    gone = [hint for hint in hints(patched.object) if changed.intersection(hint[1])]
    kept = [hint for hint in hints(patched.object) if not changed.intersection(hint[1])]
    assert gone
    assert kept
    assert hints(copy) == kept
    running = run_both(patched)
    assert running.call("read_hosts", 3) == 41 + 30 + 100
    assert running.call("read_mine", 4) == 4
    assert running.call("both", 0) == 41 + 1 + 1


def test_bound_copies_can_be_kept_for_a_debugger(tmp_path: Path) -> None:
    """A Mach-O patch with debug information names its objects: in a folder that is gone, a debugger finds nothing."""
    clang = str(need("clang-19"))
    source = tmp_path / "patch.c"
    source.write_text("int host(int); int patch_main(int x) { return host(x) + 1; }")
    (tmp_path / "host.c").write_text("int host(int x) { return x; } int main(void) { return host(0); }")
    target = "--target=arm64-apple-macos13"
    for name in ("patch", "host"):
        run([clang, target, "-g", "-O1", "-c", tmp_path / f"{name}.c", "-o", tmp_path / f"{name}.o"])
    linker = str(need("ld64.lld-19"))
    argv = [linker, "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "host.o", "-o", "host"]
    run(argv, cwd=tmp_path)
    contents = []
    for _ in range(2):
        link_patch(
            StubBuilder(tmp_path / "host"),
            Capture(argv, tmp_path, {}),
            [tmp_path / "patch.o"],
            tmp_path / "patch.dylib",
            slide=0x4000,
            bound_dir=tmp_path / "bound",
        )
        contents.append((tmp_path / "patch.dylib").read_bytes())
    assert contents[0] == contents[1]
    shown = run([str(need("llvm-objdump-19")), "--syms", tmp_path / "patch.dylib"])
    assert str(tmp_path / "bound" / "000-patch.o") in shown
    assert (tmp_path / "bound" / "000-patch.o").is_file()
