"""``--keep-state`` on Mach-O: a patch that defines the host's variables too goes on with the host's values.

Compilers reach a patch's own variables by ``adrp`` and page offset. Linked by ld64.lld and by zig's linker, the patch
runs beside the host in an emulated processor; the host's side is read from the host's memory.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

import pytest
from adversary.toolchains import SYSTEM
from live.test_bound_macho import Patched, Running, hints
from live.test_macho import PATCH_SLIDE, SLIDE, Toolchain, objdump, read, symbols, toolchain
from tools import need, need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_patch
from stubgen.errors import SymbolRefusal
from stubgen.link import link_patch
from stubgen.macho.constants import MH_SUBSECTIONS_VIA_SYMBOLS
from stubgen.macho.reader import MachOFile
from stubgen.macho.relocations import ARM64_RELOC_UNSIGNED, r_word
from stubgen.resolve.storage import SHRUNK, UNSURE

VARIABLES = """
struct Fields { char a; short b; int c; long d; float f; double g; unsigned char h[3]; };
int counter = 41, zeroed, array[8] = {0, 10, 20, 30, 40, 50, 60, 70};
struct Fields fields = {1, 2, 3, 4, 5, 6, {7, 8, 9}};
unsigned char bytes[5] = {1, 2, 3, 4, 5}; signed char small = -3; __int128 wide = 1; int *pointer = &counter;
__attribute__((visibility("hidden"))) int secret = 7;
"""

HIDDEN = """
#pragma GCC visibility push(hidden)
struct Fields { char a; short b; int c; long d; float f; double g; unsigned char h[3]; };
extern int counter, zeroed, array[8], secret, *pointer; extern struct Fields fields; extern unsigned char bytes[5];
extern signed char small; extern __int128 wide;
#pragma GCC visibility pop
"""
"""The same, not defined: what the linker would find in the same image is reached without the GOT as well."""

FUNCTIONS = """
int bump(void) { return ++counter + ++zeroed; }
int bump_array(int i) { array[3] += 5; return array[i & 7]++; }
int bump_fields(void) { fields.a++; fields.b--; fields.c += 3; fields.d += 4; fields.f += 1; fields.g += 1;
                        fields.h[2]++; return (int)fields.d; }
int bump_bytes(void) { bytes[4] += 10; return bytes[2]; }
int bump_small(void) { return small -= 2; }
int bump_wide(void) { wide <<= 70; return (int)(wide >> 64); }
int bump_through_pointer(void) { return ++*pointer; }
int bump_secret(void) { return secret *= 2; }
"""

HOST = f"{VARIABLES} int main(void) {{ return counter + array[1] + fields.c + bytes[0] + small + (int)wide + secret; }}"

NAMES = ("counter", "zeroed", "array", "fields", "bytes", "small", "wide", "pointer", "secret")


class Kept(NamedTuple):
    """A host and its patch, running."""

    patched: Patched
    running: Running


def make(folder: Path, tools: Toolchain, source: str, *options: str, host: str = HOST, suffix: str = "c") -> Patched:
    """Link *host*, and the patch *source* for it with ``--keep-state``."""
    undefined = [] if tools.link[1:] == tools.compile[1:] else ["-undefined", "dynamic_lookup"]
    command = [*tools.link, *undefined, "-o", "host", tools.object(folder, "host-object", host).name]
    run(command, cwd=folder)
    compiled = compile_patch(folder, tools, source, *options, suffix=suffix)
    captured = Capture(command, folder, {}, output="host")
    anchor = symbols(folder / "host")["_main"] + SLIDE
    builder = StubBuilder(folder / "host")
    linked = link_patch(
        builder, captured, [compiled], folder / "patch.dylib", anchor, keep_state=True, bound_dir=folder / "bound"
    )
    return Patched(folder / "host", linked, compiled)


def compile_patch(folder: Path, tools: Toolchain, source: str, *options: str, suffix: str = "c") -> Path:
    """Compile *source* with *options* alone."""
    path = folder / f"patch.{suffix}"
    path.write_text(source)
    run([*tools.compile, *options, "-c", path.name, "-o", "patch.o"], cwd=folder)
    return folder / "patch.o"


def start(patched: Patched) -> Running:
    """Host and patch in an emulator; the host has no thread-locals that dyld would have to set up."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    emulator = Emulator()
    host = emulator.load(patched.host, slide=SLIDE)
    return Running(emulator, host, emulator.load(patched.linked.output, slide=PATCH_SLIDE))


TOOLS = ("lld -O0", "lld -O1", "lld-opcodes -O2", "zig -O1", "zig -O2")


@pytest.fixture(scope="module", params=[*TOOLS, *(f"{tools} hidden" for tools in TOOLS)])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Host and patch, made with each toolchain."""
    need_module("lief", "lief")
    name, option, *hidden = request.param.split()
    source = (HIDDEN if hidden else VARIABLES) + FUNCTIONS
    patched = make(tmp_path_factory.mktemp(name), toolchain(name), source, option)
    return Kept(patched, start(patched))


def memory(kept: Kept, name: str, size: int) -> bytes:
    """*size* bytes of the host's variable *name*."""
    emulator, host = kept.running.emulator, kept.running.host
    words = (emulator.read_word(host.address(name) + at) for at in range(0, size, 8))
    return b"".join(word.to_bytes(8, "little") for word in words)[:size]


def test_direct_accesses_reach_the_hosts_variables(kept: Kept) -> None:
    """A patch that counts in a variable of its own shows the user a program that forgot everything."""
    running = kept.running
    assert running.call("bump") == 42 + 1
    assert (running.word("counter"), running.word("zeroed")) == (42, 1)
    assert running.call("bump_array", 3) == 35
    assert (running.word("array", 3), running.word("array", 4)) == (36, 40)
    assert running.call("bump_fields") == 8
    assert struct.unpack("<bxhiqfxxxxd3B", memory(kept, "fields", 35)) == (2, 1, 6, 8, 6, 7, 7, 8, 10)
    assert running.call("bump_bytes") == 3
    assert memory(kept, "bytes", 5) == bytes([1, 2, 3, 4, 15])
    assert running.call("bump_small") == -5
    assert running.call("bump_wide") == 1 << 6
    assert int.from_bytes(memory(kept, "wide", 16), "little") == 1 << 70
    assert running.call("bump_through_pointer") == running.word("counter") == 43
    assert running.call("bump_secret") == running.word("secret") == 14


def test_nothing_of_the_host_is_left_to_the_loader(kept: Kept) -> None:
    """A rebase adds the patch's slide to a kept variable's address; a bind may find another library's variable."""
    facts = read(kept.patched.linked.output)
    assert not facts.rebased
    assert not re.findall(r"^__\w+\s+__\w+\s+0x", objdump(kept.patched.linked.output, "--rebase"), re.MULTILINE)
    assert not facts.bound & {f"_{name}" for name in NAMES}
    assert kept.patched.linked.checked.ok
    slots = [finding for finding in kept.patched.linked.checked.findings if finding.check == "slots"]
    assert slots
    assert int(slots[0].message.split()[0]) >= len(NAMES)


def instructions(code: bytes) -> list[tuple[int, str, str]]:
    """Every word of *code* as Capstone reads it."""
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.skipdata = True
    return [(at, mnemonic, operands) for at, _, mnemonic, operands in disassembler.disasm_lite(code, 0)]


def test_each_access_is_one_instruction_as_before(kept: Kept) -> None:
    """Another register touched, or code that moved, breaks a function in ways that no call of it need show at once."""
    import lief

    before = lief.MachO.parse(str(kept.patched.object)).at(0)
    after = lief.MachO.parse(str(kept.patched.linked.output)).at(0)
    starts = sorted(s.value for s in before.symbols if s.name.startswith("_bump"))
    end = before.get_section("__text").size
    in_host = {value + SLIDE: name for name, value in symbols(kept.patched.host).items()}
    literals = 0
    for name in (s.name for s in before.symbols if s.name.startswith("_bump")):
        start = next(s.value for s in before.symbols if s.name == name)
        size = min([other for other in starts if other > start], default=end) - start
        there = next(s.value for s in after.symbols if s.name == name)
        old = instructions(bytes(before.get_section("__text").content)[start : start + size])
        new = instructions(bytes(after.get_content_from_virtual_address(there, size)))
        assert len(old) == len(new)
        for (_, was, operands), (_, now, changed) in zip(old, new, strict=True):
            register = operands.partition(",")[0]
            assert changed.partition(",")[0] == register
            if was == "adrp" and now == "ldr":
                literals += 1
                place = there + int(changed.partition("#")[2], 0)
                value = int.from_bytes(bytes(after.get_content_from_virtual_address(place, 8)), "little")
                assert in_host[value].removeprefix("_") in NAMES
            elif was not in ("adrp", "add", "b.", "cbz"):
                assert now == was
    assert literals >= 4


LIVE_REGISTERS = r"""
__asm__(".text\n.globl _mixed\n.p2align 2\n_mixed:\n"
        " mov x16, #7\n mov x17, #9\n mov x9, #11\n"
        " adrp x8, _counter@PAGE\n ldr w0, [x8, _counter@PAGEOFF]\n"
        " adrp x1, _array@PAGE+12\n ldr w2, [x1, _array@PAGEOFF+12]\n"
        " ldrsw x3, [x1, _array@PAGEOFF+16]\n"
        " adrp x4, _wide@PAGE\n ldr q0, [x4, _wide@PAGEOFF]\n fmov x4, d0\n"
        " adrp x5, _small@PAGE\n ldrsb w5, [x5, _small@PAGEOFF]\n"
        " add x0, x0, x2\n add x0, x0, x3\n add x0, x0, x4\n add w0, w0, w5\n"
        " add x0, x0, x16\n add x0, x0, x17\n add x0, x0, x9\n ret\n");
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_scratch_registers_live_across_an_access(name: str, tmp_path: Path) -> None:
    """Compilers keep values in x16 and x17 in mid-function: whatever replaces an ``adrp`` must not touch them."""
    source = VARIABLES + LIVE_REGISTERS
    running = start(make(tmp_path, toolchain(name), source, "-O1"))
    expected = 41 + 30 + 40 + 1 - 3 + 7 + 9 + 11
    assert running.call("mixed") == expected
    running.emulator.write_word(running.host.address("counter"), 0x14_0000_0000 + 1041)  # and zeroed or what lies there
    assert running.call("mixed") == expected + 1000


THROWING = """
extern "C" { %s int counter; void thrower(int); }
struct Guard { ~Guard() { counter += 100; } int value; };
extern "C" int first(int x) { Guard guard; guard.value = x; counter += x; thrower(x); return counter; }
extern "C" int second(int x) { try { thrower(x); } catch (int e) { counter += e; } return counter; }
extern "C" int third(int n) { int a[n]; a[0] = counter; thrower(a[n - 1]); return a[0]; }
extern "C" int fourth(int x) { try { thrower(x); thrower(2); } catch (long e) { counter -= e; } return counter; }
"""

PASSING = """
extern "C" { int counter; void thrower(int); }
extern "C" int fifth(int x) { counter += x; thrower(x); return counter; }
extern "C" int sixth(int n) { int a[n]; a[0] = counter; thrower(a[n - 1]); return a[0]; }
"""
"""Functions that exceptions pass through without a table."""

FUNCTIONS_UNWOUND = ("first", "second", "third", "fourth", "fifth", "sixth")


def unwinding(image: Path) -> tuple[dict[str, int], dict[str, bytes]]:
    """Function -> its compact encoding, less which personality it is; and -> its exception table."""
    text = run([need("llvm-objdump-19"), "--macho", "--unwind-info", image])
    starts = symbols(image)
    entries = re.findall(r"^ +\[\d+\]: function offset=(0x\w+), encoding(?:\[\d+\])?=(0x\w+)", text, re.MULTILINE)
    ranges = sorted((int(offset, 16), int(encoding, 16)) for offset, encoding in entries)
    places = {starts[f"_{name}"]: name for name in FUNCTIONS_UNWOUND if f"_{name}" in starts}
    dwarf = 0x03000000  # the rest says where in __eh_frame
    encodings = {}
    for place, name in places.items():
        code = next(code for at, code in reversed(ranges) if at <= place)  # neighbours may share an entry
        encodings[name] = code & (0x4F000000 if code & 0x0F000000 == dwarf else 0x4FFFFFFF)
    inside = [at for at, _ in ranges if at not in starts.values() and min(places) < at <= max(places)]
    assert not inside, "a function is cut in two"
    tables = re.findall(r"function offset=(0x\w+), LSDA offset=(0x\w+)", text)
    return encodings, {places[int(at, 16)]: exception_table(image, int(table, 16)) for at, table in tables}


def exception_table(image: Path, address: int) -> bytes:
    """The table at *address*: all but the types, whose distances depend on the layout (Itanium C++ ABI, LSDA)."""
    import lief

    universal = lief.MachO.parse(str(image))
    raw = bytes(universal.at(0).get_content_from_virtual_address(address, 128))
    assert raw[0] == 0xFF, "landing pads count from the function"
    end = 2
    if raw[1] != 0xFF:  # there are types, whose end is given
        assert raw[2] < 0x80
        end = 3
    assert raw[end] == 1, "the call sites are ULEB128"
    assert raw[end + 1] < 0x80
    return raw[: end + 2 + raw[end + 1]]


def link_both_ways(folder: Path, tools: Toolchain, objects: dict[str, str], *options: str) -> list[str]:
    """Link *objects* (name -> C++) as they are and as bound copies; the names of those that grew."""
    host = "int counter = 1; void thrower(int x) { counter += x; } int main(void) { thrower(1); return counter; }"
    zig = tools.link[1:] == tools.compile[1:]
    undefined = [] if zig else ["-undefined", "dynamic_lookup"]
    run([*tools.link, *undefined, "-o", "host", tools.object(folder, "host-object", host).name], cwd=folder)
    paths = []
    for name, text in objects.items():
        compile_patch(folder, tools, text, *options, suffix="cpp").rename(folder / f"{name}.o")
        paths.append(folder / f"{name}.o")
    built = StubBuilder(folder / "host").build(paths, slide=SLIDE, bind=True, keep_state=True, allow_missing=True)
    assert built.bound is not None
    assert {d.name for d in built.resolution.shared_variables if d.forwarded} == {"_counter"}
    (folder / "stub.o").write_bytes(built.stub.content)
    copies = []
    for path, bound in zip(paths, built.bound.objects, strict=True):
        copies.append(path.with_suffix(".copy.o"))
        copies[-1].write_bytes(bound.content)
        assert "_counter" not in places_of(copies[-1])
    linking = [word if word != "-execute" else "-dylib" for word in tools.link]
    linking += ["-shared", "-Wl,-undefined,dynamic_lookup"] if zig else undefined
    run([*linking, *paths, "-o", "before.dylib"], cwd=folder)
    run([*linking, *copies, "stub.o", "-o", "after.dylib"], cwd=folder)
    flags = [MachOFile(copy.read_bytes(), copy.name).header.flags for copy in copies]
    return [name for name, bits in zip(objects, flags, strict=True) if not bits & MH_SUBSECTIONS_VIA_SYMBOLS]


UNWOUND = {
    "with -mcmodel=large": ({"throwing": THROWING % ""}, ["-mcmodel=large"], []),
    "with a grown object": ({"passing": PASSING, "throwing": THROWING % "extern"}, [], ["passing"]),
    "with a grown object behind": ({"throwing": THROWING % "extern", "passing": PASSING}, [], ["passing"]),
}
"""What it is -> (objects, options, which of them grow)."""


@pytest.mark.parametrize("case", UNWOUND)
@pytest.mark.parametrize("name", ["lld", "zig"])
def test_functions_with_kept_variables_unwind_as_before(name: str, case: str, tmp_path: Path) -> None:
    """An exception that meets a function without its table, or with another's, ends the program or skips handlers."""
    need_module("lief", "lief")
    objects, options, grown = UNWOUND[case]
    assert link_both_ways(tmp_path, toolchain(name), objects, "-O1", "-g", *options) == grown
    before, after = unwinding(tmp_path / "before.dylib"), unwinding(tmp_path / "after.dylib")
    assert before == after
    assert len(before[0]) == (6 if grown else 4)
    assert before[1].keys() == {"first", "second", "fourth"}
    assert len(set(before[1].values())) == 3


def test_ld64_lld_confuses_exception_tables(tmp_path: Path) -> None:
    """Once it does not, objects with such tables need no -mcmodel=large."""
    need_module("lief", "lief")
    tools = toolchain("lld")
    content = bytearray(compile_patch(tmp_path, tools, THROWING % "", "-O1", suffix="cpp").read_bytes())
    flags = int.from_bytes(content[24:28], "little")
    content[24:28] = (flags & ~MH_SUBSECTIONS_VIA_SYMBOLS).to_bytes(4, "little")
    (tmp_path / "whole.o").write_bytes(content)
    linking = [word if word != "-execute" else "-dylib" for word in tools.link]
    for name in ("patch", "whole"):
        run([*linking, "-undefined", "dynamic_lookup", f"{name}.o", "-o", f"{name}.dylib"], cwd=tmp_path)
    before, after = unwinding(tmp_path / "patch.dylib"), unwinding(tmp_path / "whole.dylib")
    assert before[0] == after[0]
    assert before[1].keys() == after[1].keys()
    assert before[1] != after[1]


def places_of(path: Path) -> set[str]:
    """The symbols that relocations of the code name."""
    text = objdump(path, "--reloc").partition("(__TEXT,__text)")[2].partition("Relocation information")[0]
    return set(re.findall(r"(?<=\s)(_[\w.]+)$", text, re.MULTILINE))


CLASSES = """
__attribute__((objc_root_class)) @interface %s { @public int x; } - (int)val; @end
int counter = 41;
@implementation Foo - (int)val { return %scounter + x; } @end
int work(Foo *it) { return [it val]; }
"""
"""An Objective-C class; with its name, and what its method does with ``counter``."""

REFUSALS = {
    "too far into it": (
        "int array[9000]; int f(void) { return array[8000]++; } int *g(void) { return array + 3; }",
        r"__TEXT,__text\+0x\w+: ARM64_RELOC_PAGEOFF12 against _array: no one instruction reaches.*-mcmodel=large",
    ),
    "two places far apart": (
        '__asm__(".text\\nadrp x0, _array@PAGE+1\\nldr w0, [x0, _array@PAGEOFF+1]\\n"'
        '"adrp x0, _array@PAGE+603\\nldr w0, [x0, _array@PAGEOFF+603]"); int array[9000];',
        r"__TEXT,__text\+0xc: ARM64_RELOC_PAGEOFF12 against _array: .* no multiple of the access's size",
    ),
    "a distance": (
        '__asm__(".data\\n_here: .long _counter - _here"); int counter;',
        r"__DATA,__data\+0x0: ARM64_RELOC_(SUBTRACTOR|UNSIGNED) against _counter: how far the host's data is",
    ),
    "a part of it by another name": (
        '__asm__(".data\\n.globl _counter\\n_counter: .long 1\\n.alt_entry _inner\\n_inner: .long 2\\n"'
        '".text\\nadrp x0, _inner@PAGE\\nldr w0, [x0, _inner@PAGEOFF]\\n");',
        r"__TEXT,__text\+0x\w+: \w+ against _counter: another name of it is used.*-mno-global-merge",
    ),
}
"""What it is -> (source, how its refusal reads)."""


REFUSED_GROWTH = {
    "exception tables": ("cpp", THROWING % "", "ld64.lld confuses the exception tables"),
    "an Objective-C class": ("m", CLASSES % ("Foo", "++"), "ld64.lld crashes over the Objective-C classes"),
}
"""What it is -> (suffix, source, why no constant can be put behind its code)."""


@pytest.mark.parametrize("name", REFUSED_GROWTH)
def test_what_cannot_grow_is_refused(name: str, tmp_path: Path) -> None:
    """A linker that misunderstands an object says nothing: the patch fails when an exception is thrown."""
    suffix, source, reason = REFUSED_GROWTH[name]
    tools = toolchain("lld")
    host = "int counter = 1; void thrower(int x) { counter += x; } int main(void) { return counter; }"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "host-object", host).name], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host")
    patch = compile_patch(tmp_path, tools, source, "-O1", suffix=suffix)
    pattern = rf"ARM64_RELOC_PAGE21 against _counter: no constant can be put .*{reason}.*; compile with -mcmodel=large"
    with pytest.raises(SymbolRefusal, match=pattern):
        builder.build([patch], slide=SLIDE, bind=True, keep_state=True, allow_missing=True)
    patch = compile_patch(tmp_path, tools, source, "-O1", "-mcmodel=large", suffix=suffix)
    assert builder.build([patch], slide=SLIDE, bind=True, keep_state=True, allow_missing=True).bound is not None


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_kept_is_refused_with_particulars(name: str, tmp_path: Path) -> None:
    """An access left as it was would work on a second copy of a variable that the rest keeps: no crash, no sense."""
    source, pattern = REFUSALS[name]
    tools = toolchain("lld")
    host = "int counter = 1, array[9000]; int main(void) { return counter + array[1]; }"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "host-object", host).name], cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, source, "-O1")
    with pytest.raises(SymbolRefusal, match=rf"patch\.o: {pattern}"):
        StubBuilder(tmp_path / "host").build([patch], slide=SLIDE, bind=True, keep_state=True)


@pytest.mark.parametrize("option", ["-mcmodel=large", "-mno-global-merge"])
def test_the_advised_options_help(option: str, tmp_path: Path) -> None:
    """Advice that does not help costs the user a build, and trust."""
    source = "int array[9000]; int f(void) { return array[8000]++ + array[1]; }"
    host = "int array[9000]; int main(void) { return array[1]; }"
    if option == "-mcmodel=large":
        running = start(make(tmp_path, toolchain("lld"), source, "-O1", option, host=host))
        assert running.call("f") == 0
        assert running.word("array", 8000) == 1
    else:
        merged = "static int one = 1, two = 2; int f(void) { return ++one + ++two; }"
        assert "__MergedGlobals" in places_of(compile_patch(tmp_path, toolchain("lld"), merged, "-O3"))
        assert "__MergedGlobals" not in places_of(compile_patch(tmp_path, toolchain("lld"), merged, "-O3", option))


def test_a_pointer_by_section_alone_is_refused(tmp_path: Path) -> None:
    """Older assemblers name a place by its section; whether it lies in a kept variable cannot be told for sure."""
    tools = toolchain("lld")
    host = "int counter = 1; int main(void) { return counter; }"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "host-object", host).name], cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, "int counter = 1, other = 2; int *where = &other;", "-O1")
    content = bytearray(patch.read_bytes())
    file = MachOFile(bytes(content), "patch.o")
    (section, table) = next(item for item in file.relocations() if item[0].name == "__DATA,__data")
    assert len(table) == 1
    word = r_word(section.ordinal, pcrel=False, length=3, extern=False, kind=ARM64_RELOC_UNSIGNED)
    struct.pack_into("<I", content, section.header.reloff + 4, word)
    struct.pack_into("<Q", content, section.header.offset + table.r_address[0], section.header.addr + 4)
    patch.write_bytes(content)
    reason = r"__DATA,__data\+0x8: ARM64_RELOC_UNSIGNED against _counter: its section alone is used.*-mno-global-merge"
    with pytest.raises(SymbolRefusal, match=reason):
        StubBuilder(tmp_path / "host").build([patch], slide=SLIDE, bind=True, keep_state=True)
    StubBuilder(tmp_path / "host").build([patch], slide=SLIDE, bind=True)


STATICS = """
static int count = 41; static long table[4] = {1, 2, 3, 4};
int bump_static(int i) { table[i & 3] += 10; return (int)table[i & 3] + ++count; }
"""


def statics(
    folder: Path, tools: Toolchain, *, name: str = "state.c", host: str = "-g", patch: str = "-g"
) -> StubBuilder:
    """A host and the object of a patch for it, from the same file unless *name* says otherwise."""
    (folder / "state.c").write_text(
        f"{STATICS} int read_count(void) {{ return count; }} int main(void) {{ return 0; }}"
    )
    run([*tools.compile, "-O0", host, "-c", "state.c", "-o", "host.o"], cwd=folder)
    undefined = [] if tools.link[1:] == tools.compile[1:] else ["-undefined", "dynamic_lookup"]
    run([*tools.link, *undefined, "-o", "host", "host.o"], cwd=folder)
    (folder / name).write_text(STATICS)
    run([*tools.compile, "-O1", patch, "-fno-sanitize=all", "-c", name, "-o", "patch.o"], cwd=folder)
    return StubBuilder(folder / "host")


@pytest.mark.parametrize("dwarf", ["-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("name", ["lld", "zig"])
def test_static_variables_are_kept_where_debug_information_names_their_file(
    name: str, dwarf: str, tmp_path: Path
) -> None:
    """A static counter is what people watch; only its file tells it from another file's."""
    tools = toolchain(name)
    builder = statics(tmp_path, tools, patch=dwarf)
    command = [*tools.link, *([] if name == "zig" else ["-undefined", "dynamic_lookup"]), "-o", "host", "host.o"]
    captured = Capture(command, tmp_path, {}, output="host")
    anchor = symbols(tmp_path / "host")["_main"] + SLIDE
    patch = tmp_path / "patch.o"
    linked = link_patch(builder, captured, [patch], tmp_path / "patch.dylib", anchor, keep_state=True)
    assert {d.name for d in linked.built.resolution.shared_variables if d.forwarded} == {"_count", "_table"}
    running = start(Patched(tmp_path / "host", linked, patch))
    assert running.call("bump_static", 2) == 13 + 42
    assert running.call("read_count") == 42
    assert running.word("table", 4) == 13


UNKNOWN_ORIGIN = {
    "another file": ({"name": "other.c"}, r"the host's is from another file, /.*/state\.c$"),
    "a patch without": ({"patch": "-g0"}, r"the host's is from /.*/state\.c, and the patch's object names no file"),
    "a host without": (
        {"host": "-g0"},
        r"from a file that its symbol table does not name \(compile the host with -g\)",
    ),
    "neither": ({"host": "-g0", "patch": "-g0"}, r"not name \(compile host and patch with -g\)$"),
}


@pytest.mark.parametrize("case", UNKNOWN_ORIGIN)
def test_a_static_variable_of_unknown_origin_is_not_kept(case: str, tmp_path: Path) -> None:
    """Two files may each have their ``static int count``: writing to the wrong one ruins a stranger's state."""
    options, reason = UNKNOWN_ORIGIN[case]
    builder = statics(tmp_path, toolchain("lld"), **options)
    judged = builder.judge([tmp_path / "patch.o"], slide=SLIDE, bind=True, keep_state=True)
    found = {variable.name: variable for variable in judged.shared_variables}
    assert not found["_count"].forwarded
    assert re.search(reason, found["_count"].reason_not_kept)


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_a_static_is_not_what_all_files_see(name: str, tmp_path: Path) -> None:
    """A patch's hidden or plain global would count in another file's static, which looks local as a hidden one does."""
    tools = toolchain(name)
    host = STATICS + '__attribute__((visibility("hidden"))) int level = 1; int main(void) { return ++level + count; }'
    undefined = [] if name == "zig" else ["-undefined", "dynamic_lookup"]
    (tmp_path / "state.c").write_text(host)
    run([*tools.compile, "-g", "-c", "state.c", "-o", "host.o"], cwd=tmp_path)
    run([*tools.link, *undefined, "-o", "host", "host.o"], cwd=tmp_path)
    hidden = '__attribute__((visibility("hidden"))) int'
    patch = f"{hidden} count = 5, level = 5; long table[4]; int f(void) {{ return ++count + ++level + ++table[1]; }}"
    compiled = compile_patch(tmp_path, tools, patch, "-g", "-fno-sanitize=all")
    judged = StubBuilder(tmp_path / "host").judge([compiled], slide=SLIDE, bind=True, keep_state=True)
    found = {variable.name: variable for variable in judged.shared_variables}
    assert found["_level"].forwarded
    for own in ("_count", "_table"):
        assert re.search(
            r"^the host's is from another file, /.*, and not visible to others$", found[own].reason_not_kept
        )


def test_a_file_that_was_compiled_twice_has_each_static_twice(tmp_path: Path) -> None:
    """Two objects of one source each have their ``static int count``; which one a patch's is, its path does not say."""
    tools = toolchain("lld")
    (tmp_path / "state.c").write_text(
        f"#ifdef ONE\n{STATICS} int main(void) {{ return count; }}\n#else\nint second(void) {{ return 2; }}\n#endif\n"
    )
    for output, options in (("one.o", ["-DONE"]), ("two.o", [])):
        run([*tools.compile, "-g", *options, "-c", "state.c", "-o", output], cwd=tmp_path)
    run([*tools.link, "-undefined", "dynamic_lookup", "-o", "host", "one.o", "two.o"], cwd=tmp_path)
    (tmp_path / "state.c").write_text(STATICS)
    run([*tools.compile, "-g", "-c", "state.c", "-o", "patch.o"], cwd=tmp_path)
    judged = StubBuilder(tmp_path / "host").judge([tmp_path / "patch.o"], slide=SLIDE, bind=True, keep_state=True)
    (count,) = (variable for variable in judged.shared_variables if variable.name == "_count")
    assert re.search(r"^the host was linked from 2 objects of /.*/state\.c$", count.reason_not_kept)


TWO_NUMBERS = """
static int mode, level; static long whole; static _Bool run = 1;
__attribute__((noinline)) void on(void) { mode = %d; level = 4; run = 0; }
__attribute__((noinline)) int get(void) { return mode; }
__attribute__((noinline)) int get_level(void) { return level; }
__attribute__((noinline)) long add(long x) { return whole += x + run; }
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_a_byte_that_stands_for_other_numbers_is_not_kept(name: str, tmp_path: Path) -> None:
    """Of a variable that holds two numbers clang makes a byte; the patch would read other numbers there."""
    tools = toolchain(name)
    (tmp_path / "a.c").write_text(TWO_NUMBERS % 5 + "int main(void) { on(); return get(); }")
    common = ["-O2", "-g", "-fno-sanitize=all", "-c", "a.c", "-o"]
    run([*tools.compile, *common, "host.o"], cwd=tmp_path)
    command = [*tools.link, *([] if name == "zig" else ["-undefined", "dynamic_lookup"]), "-o", "host", "host.o"]
    run(command, cwd=tmp_path)
    raised = (TWO_NUMBERS % 9).replace("return level", "return level++").replace("return mode", "return mode + 1")
    (tmp_path / "a.c").write_text(raised)
    run([*tools.compile, *common, "patch.o"], cwd=tmp_path)
    builder, captured = StubBuilder(tmp_path / "host"), Capture(command, tmp_path, {}, output="host")
    anchor = symbols(tmp_path / "host")["_main"] + SLIDE
    patch = tmp_path / "patch.o"
    linked = link_patch(builder, captured, [patch], tmp_path / "patch.dylib", anchor, keep_state=True)
    found = {variable.name: variable.reason_not_kept for variable in linked.built.resolution.shared_variables}
    assert found == {"_mode": SHRUNK, "_run": SHRUNK, "_level": UNSURE, "_whole": ""}
    running = start(Patched(tmp_path / "host", linked, patch))
    assert running.call("add", 3) == 4
    assert running.call("add", 3) == 8
    assert running.word("whole") == 8
    assert running.call("get") == 1


ZEROES = """
static int count, total; static char names[8]; static int grid[2][3]; static _Atomic int seen;
int add(int x) { return total += x; }
int look(void) { return ++seen; }
int bump(int x) { names[x & 7] += 2; grid[x & 1][1] += 3; count += 4; return count + names[x & 7] + grid[x & 1][1]; }
"""


@pytest.mark.parametrize("options", [["-O0"], ["-O1", "-mcmodel=large"], ["-O2"]], ids=" ".join)
@pytest.mark.parametrize("name", ["lld", "zig"])
def test_what_the_hosts_code_moves_is_kept(name: str, options: list[str], tmp_path: Path) -> None:
    """Arrays, which clang leaves whole, and counters started at 0 again, and ``-g``, that was advised, was there."""
    tools = toolchain(name)
    common = ["-g", "-mno-global-merge", "-fno-sanitize=all", *options, "-c", "a.c", "-o"]
    (tmp_path / "a.c").write_text(ZEROES + "int main(void) { return bump(1); }")
    run([*tools.compile, *common, "host.o"], cwd=tmp_path)
    command = [*tools.link, *([] if name == "zig" else ["-undefined", "dynamic_lookup"]), "-o", "host", "host.o"]
    run(command, cwd=tmp_path)
    (tmp_path / "a.c").write_text(ZEROES + "int twice(int x) { bump(x); return bump(x); }")
    run([*tools.compile, *common, "patch.o"], cwd=tmp_path)
    builder, captured, patch = StubBuilder(tmp_path / "host"), Capture(command, tmp_path, {}), tmp_path / "patch.o"
    linked = link_patch(builder, captured, [patch], tmp_path / "patch.dylib", slide=SLIDE, keep_state=True)
    assert {v.name: v.reason_not_kept for v in linked.built.resolution.shared_variables if not v.forwarded} == {}
    running = start(Patched(tmp_path / "host", linked, patch))
    assert running.emulator.call(running.host.address("bump"), 1).signed == 9
    assert running.call("twice", 1) == 27


def test_a_dsym_says_how_the_host_stores_a_number(tmp_path: Path) -> None:
    """A linked Mach-O host has no DWARF; its dSYM, which names the file with its whole path, was not understood."""
    tools = toolchain("lld")
    (tmp_path / "a.c").write_text(TWO_NUMBERS % 5 + "int main(void) { on(); return get(); }")
    run([*tools.compile, "-O2", "-g", "-c", "a.c", "-o", "host.o"], cwd=tmp_path)
    run([*tools.link, "-undefined", "dynamic_lookup", "-o", "host", "host.o"], cwd=tmp_path)
    run([need("dsymutil-19"), "host"], cwd=tmp_path)
    raised = (TWO_NUMBERS % 9).replace("return level", "return level++").replace("return mode", "return mode + 1")
    (tmp_path / "a.c").write_text(raised)
    run([*tools.compile, "-O2", "-g", "-c", "a.c", "-o", "patch.o"], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host", symbols=tmp_path / "host.dSYM")
    judged = builder.judge([tmp_path / "patch.o"], slide=SLIDE, bind=True, keep_state=True)
    found = {variable.name: variable.reason_not_kept for variable in judged.shared_variables}
    assert found == {"_mode": SHRUNK, "_run": "", "_level": SHRUNK, "_whole": ""}


SHARED = """
extern "C" int counter; template <int step> int add(int x) { counter += step; return counter + x; }
inline int both(int x) { return counter++ + x; }
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_inline_functions_of_several_objects_agree(name: str, tmp_path: Path) -> None:
    """Linkers keep one copy of an inline function; what its copies were changed to must fit together."""
    tools = toolchain(name)
    host = "int counter = 41; int main(void) { return counter; }"
    undefined = [] if name == "zig" else ["-undefined", "dynamic_lookup"]
    command = [*tools.link, *undefined, "-o", "host", tools.object(tmp_path, "host-object", host).name]
    run(command, cwd=tmp_path)
    sources = {
        "first": SHARED + 'extern "C" { int counter = 41; int one(int x) { return both(x) + add<3>(x); } }',
        "second": SHARED + 'extern "C" int two(int x) { return both(x) - add<3>(x); }',
    }
    objects = []
    for source, text in sources.items():
        (tmp_path / f"{source}.cpp").write_text(text)
        options = ["-O1", "-fno-inline", "-fno-exceptions", "-fno-sanitize=all"]
        run([*tools.compile, *options, "-c", f"{source}.cpp", "-o", f"{source}.o"], cwd=tmp_path)
        objects.append(tmp_path / f"{source}.o")
    assert "__Z4bothi" in symbols_named(objects[0]) & symbols_named(objects[1])
    captured = Capture(command, tmp_path, {}, output="host")
    for order in (objects, objects[::-1]):
        anchor = symbols(tmp_path / "host")["_main"] + SLIDE
        linked = link_patch(
            StubBuilder(tmp_path / "host"), captured, order, tmp_path / "patch.dylib", anchor, keep_state=True
        )
        running = start(Patched(tmp_path / "host", linked, objects[0]))
        assert running.call("one", 1) == 42 + 46
        assert running.call("two", 1) == 46 - 50
        assert running.word("counter") == 41 + 2 * 4


def symbols_named(path: Path) -> set[str]:
    """The weak definitions of the object at *path*."""
    shown = run([need("llvm-objdump-19"), "--macho", "--syms", path])
    return {line.split()[-1] for line in shown.splitlines() if " weak " in line or " w " in line[17:26]}


def test_code_too_large_for_a_constant_behind_it_is_refused(tmp_path: Path) -> None:
    """A literal load reaches 1 MiB; one that wrapped would read whatever lies there."""
    tools = toolchain("lld")
    host = "int counter = 1; int main(void) { return counter; }"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "host-object", host).name], cwd=tmp_path)
    text = 'int counter = 1; int f(void) {{ return counter++; }} void g(void) {{ __asm__(".zero {0}"); }}'
    size = len(compile_patch(tmp_path, tools, text.format(0), "-O1").read_bytes())
    assert size < 4096
    builder = StubBuilder(tmp_path / "host")
    code = 24  # bytes without the padding; the first instruction is the adrp
    for padding, fits in (((1 << 20) - code - 4, True), ((1 << 20) - code, False)):
        patch = compile_patch(tmp_path, tools, text.format(padding), "-O1")
        (section,) = (s for s in MachOFile(patch.read_bytes(), "patch.o").sections if s.name == "__TEXT,__text")
        assert section.header.size == code + padding
        if fits:
            assert builder.build([patch], slide=SLIDE, bind=True, keep_state=True).bound is not None
        else:
            with pytest.raises(SymbolRefusal, match=r"__text\+0x0: ARM64_RELOC_PAGE21 .* more than 1 MiB.*mcmodel"):
                builder.build([patch], slide=SLIDE, bind=True, keep_state=True)


def test_merged_variables_are_told(tmp_path: Path) -> None:
    """Variables that the compiler merged have no names left: the user must hear why nothing is kept."""
    tools = toolchain("lld")
    source = "static volatile int one = 1, two = 2; int f(void) { return ++one + ++two; }"
    host = compile_patch(tmp_path, tools, source + "int main(void) { return f(); }", "-O3").rename(tmp_path / "host.o")
    run([*tools.link, "-o", "host", host], cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, source, "-O3")
    judged = StubBuilder(tmp_path / "host").judge([patch], slide=SLIDE, bind=True, keep_state=True)
    (merged,) = (variable for variable in judged.shared_variables if "Merged" in variable.name)
    assert merged.reason_not_kept == "it is several variables under one name; compile with -mno-global-merge"


OTHER_STATE = "static volatile int three = 1, four = 2; int g(void) { return ++three + ++four; }"


@pytest.mark.parametrize("debug", ["-g", "-g0"])
def test_a_variable_that_the_host_has_in_a_merged_one_is_told(tmp_path: Path, debug: str) -> None:
    """Compiled with ``-mno-global-merge``, as the note says, the patch counted as new what the host has under no name.

    Of a file whose own variables the host's compiler left alone nothing is said, where files are known.
    """
    tools = toolchain("lld")
    source = "static volatile int one, two; int f(void) { static volatile int own; return ++one + ++two + ++own; }"
    main = source + "int g(void); int main(void) { return f() + g(); }"
    host = compile_patch(tmp_path, tools, main, "-O3", debug).rename(tmp_path / "host.o")
    other = compile_patch(tmp_path, tools, OTHER_STATE, "-O1", debug, suffix="m").rename(tmp_path / "other.o")
    run([*tools.link, "-o", "host", host, other], cwd=tmp_path)
    builder = StubBuilder(tmp_path / "host")

    def told(suffix: str, source: str) -> dict[str, str]:
        patch = compile_patch(tmp_path, tools, source, "-O3", debug, "-mno-global-merge", suffix=suffix)
        judged = builder.judge([patch], slide=SLIDE, bind=True, keep_state=True)
        return {each.name: each.reason_not_kept for each in judged.shared_variables}

    merged = "the host may have it in __MergedGlobals, several variables under one name; "
    merged += "compile the host with -mno-global-merge"
    assert told("c", source) == dict.fromkeys(("_one", "_two", "_f.own"), merged)
    added = told("m", OTHER_STATE.replace("four = 2;", "four = 2, five;").replace("return", "five++; return"))
    assert added.get("_five") == (merged if debug == "-g0" else None)


CXX = """
namespace { int hidden = 3; } struct K { static int member; static inline int inlined = 5; }; int K::member = 4;
template <class T> struct V { static T value; }; template <class T> T V<T>::value = 9;
extern "C" int bump_all() { return ++hidden + ++K::member + ++K::inlined + ++V<int>::value; }
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_variables_of_cxx_classes_and_templates_are_kept(name: str, tmp_path: Path) -> None:
    """They are weak, hidden or in no class at all; each is the host's where the host has it."""
    tools = toolchain(name)
    options = ["-O1", "-g", "-fno-exceptions", "-fno-sanitize=all"]
    host = compile_patch(tmp_path, tools, CXX + "int main() { return bump_all(); }", *options, suffix="cpp")
    host = host.rename(tmp_path / "host.o")
    command = [*tools.link, *([] if name == "zig" else ["-undefined", "dynamic_lookup"]), "-o", "host", str(host)]
    run(command, cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, CXX, *options, suffix="cpp")
    captured = Capture(command, tmp_path, {}, output="host")
    anchor = symbols(tmp_path / "host")["_main"] + SLIDE
    linked = link_patch(
        StubBuilder(tmp_path / "host"), captured, [patch], tmp_path / "patch.dylib", anchor, keep_state=True
    )
    running = start(Patched(tmp_path / "host", linked, patch))
    assert running.call("bump_all") == 4 + 5 + 6 + 10
    words = ("_ZN12_GLOBAL__N_16hiddenE", "_ZN1K6memberE", "_ZN1K7inlinedE", "_ZN1VIiE5valueE")
    assert [running.word(word) for word in words] == [4, 5, 6, 10]


def test_commons_are_kept(tmp_path: Path) -> None:
    """With ``-fcommon`` a variable without a value lies in no section until the link."""
    text = "int common, *where = &common; int bump_common(void) { return ++common + ++*where; }"
    host = "int common; int main(void) { return common; }"
    running = start(make(tmp_path, toolchain("lld"), text, "-O1", "-fcommon", host=host))
    assert running.call("bump_common") == 1 + 2
    assert running.word("common") == 2


GROWN = {
    "int": ("int thing[8]", "int thing[16]", False),
    "as it was": ("int thing[8]", "int thing[8]", True),
    "smaller": ("int thing[8]", "int thing[5]", True),
    "a common": ("int thing[8]", "int thing[40]", False),
    "a byte more": ("char thing[64]", "char thing[65]", False),
    "a thread-local": ("__thread int thing[8]", "__thread int thing[16]", False),
    "a thread-local as it was": ("__thread int thing[8]", "__thread int thing[8]", True),
    "a thread-local of zeroes": ("__thread int thing[8]", "__thread int thing[9]", False),
    "a thread-local of zeroes as it was": ("__thread int thing[8]", "__thread int thing[8]", True),
}
"""What it is -> (the host's variable, the patch's, whether it is kept)."""


@pytest.mark.parametrize("neighbours", ["", "int before = 1, after = 2;", "__int128 before = 1, after = 2;"])
@pytest.mark.parametrize("case", GROWN)
def test_a_variable_that_outgrew_the_hosts_is_not_kept(case: str, neighbours: str, tmp_path: Path) -> None:
    """Mach-O says no sizes: the patch would write behind the end of the host's variable, into another."""
    there, here, expected = GROWN[case]
    tools = toolchain("lld")
    begin = "" if "zeroes" in case else " = {1}"
    host = f"{there}{begin}; int other = 5; int main(void) {{ return thing[0] + other; }}"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "host-object", host).name, str(SYSTEM)], cwd=tmp_path)
    first, _, second = neighbours.partition(",")
    kind = first.partition(" before")[0]
    value = ";" if case == "a common" else f"{begin};"
    before, after = (f"{first};", kind + second) if first else ("", "")
    text = f"{before} {here}{value} {after} int f(void) {{ return thing[1]++; }}"
    patch = compile_patch(tmp_path, tools, text, "-O1", *(["-fcommon"] if case == "a common" else []))
    judged = StubBuilder(tmp_path / "host").judge([patch], slide=SLIDE, bind=True, keep_state=True)
    (found,) = (variable for variable in judged.shared_variables if variable.name == "_thing")
    assert found.forwarded is expected, found.reason_not_kept
    assert found.reason_not_kept.startswith("it has grown: the patch's has ") is not expected


NAMELESS = """
.section __DATA,__thread_data,thread_local_regular
Lbefore: .long 7
Lthing: .space {size}, 1
Lafter: .long 7
.section __DATA,__thread_vars,thread_local_variables
.globl _thing
.quad __tlv_bootstrap, 0, Lbefore
_thing: .quad __tlv_bootstrap, 0, Lthing
.quad __tlv_bootstrap, 0, Lafter
.subsections_via_symbols
"""


@pytest.mark.parametrize(("size", "kept"), [(32, True), (33, False)])
def test_the_template_of_a_thread_local_needs_no_symbol(size: int, kept: bool, tmp_path: Path) -> None:
    """The descriptor's relocation tells it from its neighbours; the symbol that compilers add is a local one."""
    tools = toolchain("lld")
    host = "__thread int thing[8] = {1}; __thread int other = 5; int main(void) { return thing[0] + other; }"
    run([*tools.link, "-o", "host", tools.object(tmp_path, "host-object", host).name, str(SYSTEM)], cwd=tmp_path)
    source = tmp_path / "patch.s"
    source.write_text(NAMELESS.format(size=size))
    run([*tools.compile, "-c", source.name, "-o", "patch.o"], cwd=tmp_path)
    assert b"$tlv$init" not in (tmp_path / "patch.o").read_bytes()
    judged = StubBuilder(tmp_path / "host").judge([tmp_path / "patch.o"], slide=SLIDE, bind=True, keep_state=True)
    (found,) = (variable for variable in judged.shared_variables if variable.name == "_thing")
    assert found.forwarded is kept, found.reason_not_kept
    assert found.reason_not_kept.startswith("it has grown: the patch's has 33 bytes or more") is not kept


def test_hints_about_kept_variables_are_gone(kept: Kept) -> None:
    """The linker would follow such a hint and turn the literal load into an address beside the patch."""
    before, copy = kept.patched.object, next(kept.patched.object.parent.glob("bound/000-*"))
    texts = []
    for path in (before, copy):
        file = MachOFile(path.read_bytes(), path.name)
        (section,) = (section for section in file.sections if section.name == "__TEXT,__text")
        texts.append(instructions(bytes(file.content(section))))
    changed = {old[0] for old, new in zip(*texts, strict=False) if old != new}
    gone = [hint for hint in hints(before) if changed.intersection(hint[1])]
    assert hints(copy) == [hint for hint in hints(before) if hint not in gone]
    assert bool(gone) is bool(hints(before))


def test_the_check_reads_every_constant_back(kept: Kept, tmp_path: Path) -> None:
    """A patch that was linked for another slide works on whatever lies at the old addresses."""
    import lief

    host, output = kept.patched.host, kept.patched.linked.output
    universal = lief.MachO.parse(str(output))
    image = universal.at(0)
    constants = {symbol.name: symbol.value for symbol in image.symbols if symbol.name.startswith("__stubgen_")}
    assert {name.rpartition("._")[2] for name in constants} == set(NAMES)
    assert any(name.startswith("__stubgen_literal._") for name in constants)
    for name, address in constants.items():
        content = bytearray(output.read_bytes())
        content[image.virtual_address_to_offset(address)] ^= 8
        (tmp_path / "patch.dylib").write_bytes(content)
        checked = check_patch(tmp_path / "patch.dylib", host, slide=kept.patched.linked.built.resolution.slide)
        spoilt = [finding for finding in checked.findings if not finding.ok]
        (bad,) = (finding for finding in spoilt if finding.check != "signature")
        assert len(spoilt) == 2  # the page is no longer the one that was signed
        assert bad.check == "slots"
        assert bad.message.startswith(f"_{name.rpartition('._')[2]} is read at ")


OBJECTIVE_C = """
__attribute__((objc_root_class)) @interface Foo { @public int x; } - (int)val; - (int)other; @end
__attribute__((objc_root_class)) @interface Zed + (int)make; @end
@protocol Able - (int)val; @end
@interface Foo (More) <Able> @property(readonly) int more; @end
int counter = 41;
"""

HOST_CLASSES = """
@implementation Foo - (int)val { return counter + x; } - (int)other { return 1; } @end
@implementation Foo (More) - (int)more { return 2; } @end
@implementation Zed + (int)make { return 3; } @end
int work(Foo *it) { return [it val] + it.more + [Zed make] + (@protocol(Able) != 0); }
int main(void) { return work(0); }
"""

PATCH_CLASSES = """
@implementation Foo - (int)val { return ++counter + x; } - (int)other { return 4; } @end
@implementation Foo (More) - (int)more { return 5; } @end
int work(Foo *it) { return [it other] + it.more + [Zed make] + (@protocol(Able) != 0); }
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_objective_c_metadata_is_the_patchs_own(name: str, tmp_path: Path) -> None:
    """A selector or class that is taken from the host's tables is another one: the wrong method runs."""
    tools = toolchain(name)
    options = ["-O1", "-g", "-fno-objc-arc", "-fno-sanitize=all", "-mcmodel=large"]
    host = compile_patch(tmp_path, tools, OBJECTIVE_C + HOST_CLASSES, *options, suffix="m").rename(tmp_path / "host.o")
    undefined = ["-Wl,-undefined,dynamic_lookup"] if name == "zig" else ["-undefined", "dynamic_lookup"]
    run([*tools.link, *undefined, "-o", "host", host.name], cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, OBJECTIVE_C + PATCH_CLASSES, *options, suffix="m")
    builder = StubBuilder(tmp_path / "host")
    fresh, kept = (
        builder.build([patch], slide=SLIDE, bind=True, keep_state=keep, allow_missing=True) for keep in (False, True)
    )
    assert [d.name for d in kept.resolution.shared_variables] == ["_counter"]
    assert kept.resolution.shared_variables[0].forwarded
    assert list(kept.resolution.decisions()) == list(fresh.resolution.decisions())
    assert b"_OBJC_CLASS_$_Zed" in kept.resolution.bound_targets
    assert fresh.bound is not None
    assert kept.bound is not None
    files = [MachOFile(built.bound.objects[0].content, "patch.o") for built in (fresh, kept) if built.bound]
    metadata = [
        [
            (section.name, bytes(file.content(section)), list(table.r_address))
            for section, table in file.relocations()
            if "__objc_" in section.name
        ]
        for file in files
    ]
    assert metadata[0] == metadata[1]
    assert {"__DATA,__objc_selrefs", "__DATA,__objc_classlist", "__DATA,__objc_const"} <= {n for n, *_ in metadata[0]}
    copy = tmp_path / "copy.o"
    copy.write_bytes(kept.bound.objects[0].content)
    assert "_counter" not in places_of(copy)


SECTIONS = {
    "a section of one's own": ('__attribute__((section("__DATA,mine"))) int thing = 1;', True),
    "a constructor": ('__attribute__((section("__DATA,__mod_init_func,mod_init_funcs"))) void *thing = 0;', False),
    "a replacement": ('__attribute__((section("__DATA,__interpose"))) void *thing[2] = {0, 0};', False),
    "a profile's counter": ('__attribute__((section("__DATA,__llvm_prf_cnts"))) long thing = 0;', False),
    "a thread-local": ("__thread int thing = 1;", True),
}
"""What it is -> (its definition, whether it is somebody's variable)."""


@pytest.mark.parametrize("case", SECTIONS)
def test_only_variables_are_variables(case: str, tmp_path: Path) -> None:
    """Runtimes read such tables image by image; the host's entry in the place of the patch's is read twice or never."""
    definition, expected = SECTIONS[case]
    tools = toolchain("lld")
    host = compile_patch(tmp_path, tools, f"{definition} int main(void) {{ return 0; }}").rename(tmp_path / "host.o")
    run([*tools.link, "-undefined", "dynamic_lookup", "-o", "host", host], cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, definition)
    judged = StubBuilder(tmp_path / "host").judge([patch], slide=SLIDE, bind=True, keep_state=True)
    assert [(d.name, d.forwarded) for d in judged.shared_variables] == ([("_thing", True)] if expected else [])


@pytest.mark.parametrize("suffix", ["c", "cpp"])
@pytest.mark.parametrize("name", ["lld", "zig"])
def test_a_function_that_got_another_static(name: str, suffix: str, tmp_path: Path) -> None:
    """The new static takes the old one's name; both would begin with what the other was."""
    source = "int f(int c) { %s if (c) { static int n = 5; return n++; } return 0; }"
    if suffix == "cpp":
        source = f'extern "C" {source}'
    tools, options = toolchain(name), ["-O1", "-g", "-fno-sanitize=all"]
    old = compile_patch(tmp_path, tools, source % "" + "int main(void) { return f(1); }", *options, suffix=suffix)
    old.rename(tmp_path / "host.o")
    command = [*tools.link, *([] if name == "zig" else ["-undefined", "dynamic_lookup"]), "-o", "host", "host.o"]
    run(command, cwd=tmp_path)
    added = source % "if (c > 5) { static int n = 100; return n++; }"
    captured, anchor = Capture(command, tmp_path, {}, output="host"), symbols(tmp_path / "host")["_main"] + SLIDE
    for text, kept, expected in ((source % "", True, [5, 6]), (added, False, [100, 5])):
        patch = compile_patch(tmp_path, tools, text, *options, suffix=suffix)
        output = tmp_path / f"{kept}.dylib"
        linked = link_patch(StubBuilder(tmp_path / "host"), captured, [patch], output, anchor, keep_state=True)
        (found,) = linked.built.resolution.shared_variables
        assert found.forwarded is kept
        running = start(Patched(tmp_path / "host", linked, patch))
        assert [running.call("f", 9), running.call("f", 1)] == expected


CONSTANTS = {
    "lld": ([], "__DATA_CONST,__const"),
    "lld-opcodes": (["-no_data_const"], "__DATA,__const"),
    "zig": ([], ""),
}
"""Toolchain -> (how the host is linked, where constants lie then that hold addresses, if that matters)."""


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_hosts_constants_are_not_written(name: str, tmp_path: Path) -> None:
    """A variable that is bound to a constant of the host faults at the first write."""
    tools, (options, section) = toolchain(name), CONSTANTS[name]
    source = "int count = 1; const int limit = 7; int *const where = &count; int main(void) { return 0; }"
    run([*tools.link, *options, "-o", "host", tools.object(tmp_path, "host-object", source).name], cwd=tmp_path)
    patch = compile_patch(tmp_path, tools, "int count = 1, limit = 7, *where = &count;")
    judged = StubBuilder(tmp_path / "host").judge([patch], slide=SLIDE, bind=True, keep_state=True)
    constant = "the host's is constant"
    assert {d.name: d.reason_not_kept for d in judged.shared_variables} == {
        "_count": "",
        "_limit": constant,
        "_where": constant,
    }
    assert not section or MachOFile((tmp_path / "host").read_bytes(), "host").section(section)


PAIR = "__attribute__((aligned(8))) int before = 1; struct { int a, b; } thing = {1}; int behind = 3;"

ALIGNED = {
    "an atomic for a structure": (PAIR, "_Atomic long thing = 1;", 8),
    "where it always was": (PAIR, PAIR, 0),
    "elsewhere": (PAIR, "int other = 1; struct { int a, b; } thing = {1};", 0),
    "a common": (PAIR, "_Atomic long thing;", 8),
    "an int": (
        "__attribute__((aligned(8))) int before = 1, thing = 2, behind = 3;",
        "int thing = 1; long other = 2;",
        0,
    ),
    "aligned": ("__attribute__((aligned(8))) struct { int a, b; } thing = {1};", "_Atomic long thing = 1;", 0),
    "wide": ("long before __attribute__((aligned(16))) = 1, thing[2] = {2, 3};", "__int128 thing = 1;", 16),
}
"""What it is -> (the host's, the patch's, what the patch may rely on and the host does not keep)."""


@pytest.mark.parametrize("case", ALIGNED)
def test_alignment(case: str, tmp_path: Path) -> None:
    """An atomic access to an address that is not a multiple of its size faults."""
    host, source, align = ALIGNED[case]
    tools = toolchain("lld")
    run(
        [
            *tools.link,
            "-o",
            "host",
            tools.object(tmp_path, "host-object", f"{host} int main(void) {{ return 0; }}").name,
        ],
        cwd=tmp_path,
    )
    patch = compile_patch(tmp_path, tools, source, "-O1", *(["-fcommon"] if case == "a common" else []))
    judged = StubBuilder(tmp_path / "host").judge([patch], slide=SLIDE, bind=True, keep_state=True)
    (found,) = (variable for variable in judged.shared_variables if variable.name == "_thing")
    assert found.forwarded is not bool(align)
    expected = f"the patch may rely on its being at a multiple of {align} bytes, and the host's is at 0x"
    assert found.reason_not_kept.startswith(expected) if align else not found.reason_not_kept


INTERPRETER = """
int total = 5;
int (*handler)(int);
int interpret(int op) {{
  static void *table[] = {{&&add, &&twice}};
  volatile int more[{size}];
  more[0] = {edit};
  goto *table[op & 1];
add:
  return total += 1 + more[0];
twice:
  return total *= 2;
}}
"""


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_a_table_of_labels_is_the_functions_own(name: str, tmp_path: Path) -> None:
    """An interpreter's ``goto *table[op]`` went on in the host's old function, with the new one's stack."""
    tools, objects = toolchain(name), []
    main = "int main(void) { return interpret(0) + (handler != 0); }"
    for size, edit in ((2, 0), (40, 10)):
        (tmp_path / "app.c").write_text(INTERPRETER.format(size=size, edit=edit) + (main if not objects else ""))
        objects.append(tmp_path / f"app{size}.o")
        run([*tools.compile, "-O0", "-g", "-c", "app.c", "-o", objects[-1].name], cwd=tmp_path)
    undefined = [] if name == "zig" else ["-undefined", "dynamic_lookup"]
    command = [*tools.link, *undefined, "-o", "host", objects[0].name]
    run(command, cwd=tmp_path)
    captured, anchor = Capture(command, tmp_path, {}, output="host"), symbols(tmp_path / "host")["_main"] + SLIDE
    linked = link_patch(
        StubBuilder(tmp_path / "host"), captured, [objects[1]], tmp_path / "patch.dylib", anchor, keep_state=True
    )
    assert start(Patched(tmp_path / "host", linked, objects[1])).call("interpret", 0) == 16
    kept = {v.name: v.forwarded for v in linked.built.resolution.shared_variables}
    assert kept["_total"]
    assert not kept["_interpret.table"]
