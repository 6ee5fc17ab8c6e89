"""Who still reaches a replaced function, in what real compilers and linkers make of whole programs.

Other readers (binutils' and LLVM's) list every branch, every pointer and every inlined copy. One that is missing here
is an edit that was applied and did nothing, without a word why.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumptable.test_live_tables import EXPORTED, Program, compile_objects
from live.live import stubgen
from live.test_elf import link_host
from live.test_macho import toolchain
from tools import PROGRAMS, linker_folder, need, need_module, run, rustc, zig

from stubgen import find_reach, open_host
from stubgen.image.dwarf import DebugInfo
from stubgen.image.inlined import InlinedCopies
from stubgen.image.opening import open_image
from stubgen.reach import Reach, Reached

FUNCTIONS = ("price", "rate", "_Z3taxi", "_Z6scaledi", "_Z5twiceIiET_S0_", "_ZNK5Shape4areaEi", "_ZNK6Square4areaEi")
SOURCES = ("reached.cc", "reached_main.cc")
COMPILERS = {
    "gcc": ("aarch64-linux-gnu-g++", ()),
    "clang": ("clang-19", ("--target=aarch64-linux-gnu",)),
}
LINKERS = ("bfd", "gold", "lld", "mold")
SHAPES: dict[str, tuple[list[str], list[str]]] = {
    "pie": (["-fPIE"], ["-pie"]),
    "fixed": (["-fno-pie"], ["-no-pie"]),
    "shared": (["-fPIC"], ["-shared"]),
    "got": (["-fpic"], ["-shared", "-Wl,-z,now"]),
}
"""How a host is compiled and linked: addresses by page or through the GOT; calls direct or through a PLT."""


class Branch(NamedTuple):
    """What a disassembler shows of one."""

    place: int
    instruction: str
    target: int


def disassembled(host: Path) -> list[Branch]:
    """Every branch to an address in the file, by ``llvm-objdump``."""
    text = run([need("llvm-objdump-19"), "-d", "--no-show-raw-insn", host])
    shown = re.finditer(r"^ *([0-9a-f]+):\s+(bl|b|b\.\w+|cbn?z|tbn?z)\s+(?:\S+, )*0x([0-9a-f]+) <", text, re.MULTILINE)
    return [Branch(int(m[1], 16), m[2].partition(".")[0], int(m[3], 16)) for m in shown]


@cache
def bounds(host: Path) -> dict[str, tuple[int, int]]:
    """First and one-past-last address of each function, by ``llvm-nm``."""
    rows = [line.split() for line in run([need("llvm-nm-19"), "-n", host]).splitlines()]
    defined = [(int(row[0], 16), row[-1]) for row in rows if len(row) == 3]
    found = {}
    for address, name in defined:
        found[name] = address, min((other for other, _ in defined if other > address), default=address + 4096)
    return found


def check_callers(host: Path, reach: Reach, entries: Mapping[str, Collection[int]]) -> int:
    """Hold the callers of each function against the disassembler's branches; how many there are.

    *entries*: the addresses of PLT entries, stubs and veneers of a function.
    """
    branches, total = disassembled(host), 0
    for one in reach.functions:
        ends = {*one.addresses, *entries.get(one.name, ())}
        first, last = bounds(host)[one.name]
        shown = {
            branch.place
            for branch in branches
            if branch.target in ends and branch.place not in entries.get(one.name, ())
        }
        loops = {b.place for b in branches if b.instruction != "bl" and first <= b.place < last}
        found = {caller.place.address for caller in one.callers}
        assert found == shown - loops, (host.name, one.name, found ^ (shown - loops))
        for caller in one.callers:
            begin, end = bounds(host)[as_symbol(caller.place.symbol)]
            assert begin <= caller.place.address < end
            assert caller.place.offset == caller.place.address - begin
        total += len(found)
    return total


def as_symbol(name: bytes) -> str:
    """A name as the other readers print it."""
    return name.decode()


def plt_entries(host: Path) -> dict[str, set[int]]:
    """The PLT's entries by the names that ``llvm-objdump`` gives them, their landing pads included."""
    text = run([need("llvm-objdump-19"), "-d", "--no-show-raw-insn", host])
    found: dict[str, set[int]] = {}
    for match in re.finditer(r"^([0-9a-f]+) <([^>@$]+)(?:@plt|\$pltgot)>:", text, re.MULTILINE):
        found.setdefault(match[2], set()).add(int(match[1], 16))
    return found


def relocated_pointers(host: Path, one: Reached) -> set[int]:
    """The places of dynamic relocations that make the address of *one*, by ``llvm-readobj``."""
    text = run([need("llvm-readobj-19"), "-r", "--expand-relocs", "--elf-output-style=LLVM", host])
    found = set()
    for block in text.split("Relocation {")[1:]:
        fields = dict(re.findall(r"(\w+): (\S+)", block))
        if fields["Type"] == "R_AARCH64_RELATIVE":
            if int(fields["Addend"], 16) in one.addresses:
                found.add(int(fields["Offset"], 16))
        elif fields.get("Symbol") == one.name:
            found.add(int(fields["Offset"], 16))
    return found


def shown_inlined(file: Path) -> dict[str, Counter[str]]:
    """Name of a function -> how often each other one has a copy of it, by ``llvm-dwarfdump``."""
    found: dict[str, Counter[str]] = {}
    owners: list[tuple[int, str]] = []
    for indent, tag, name in dies(run([need("llvm-dwarfdump-19"), "--debug-info", file])):
        while owners and owners[-1][0] >= indent:
            owners.pop()
        if tag == "DW_TAG_subprogram":
            owners.append((indent, name))
        elif tag == "DW_TAG_inlined_subroutine" and owners:
            found.setdefault(name, Counter())[owners[-1][1]] += 1
    return found


def dies(text: str) -> Iterator[tuple[int, str, str]]:
    """Indentation, tag and name of each entry that ``llvm-dwarfdump`` shows."""
    for block in re.split(r"\n\n", text):
        head = re.match(r"0x[0-9a-f]+:( +)(DW_TAG_\w+)", block.strip("\n"))
        if head is not None:
            names = [
                re.search(rf'DW_AT_{attribute}\s+\((?:0x[0-9a-f]+ )?"(.*)"\)', block)
                for attribute in ("linkage_name", "abstract_origin", "specification", "name")
            ]
            yield len(head[1]), head[2], next((name[1] for name in names if name is not None), "")


def link(folder: Path, compiler: str, shape: str, linker: str, *options: str) -> Path:
    """The program of two files."""
    name, target = COMPILERS[compiler]
    compiling, linking = SHAPES[shape]
    objects = [folder.parent / f"{compiler}-{shape}-{source}.o" for source in SOURCES]  # each linker's, compiled once
    for source, path in zip(SOURCES, objects, strict=True):
        if not path.exists():
            run([need(name), *target, "-O2", "-g", *compiling, "-c", PROGRAMS / source, "-o", path])
    driver, host = need("aarch64-linux-gnu-g++"), folder / "host"
    linkers = linker_folder(folder / "bin")
    run([driver, f"-B{linkers}", f"-fuse-ld={linker}", *linking, *options, *objects, "-o", host])
    return host


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_elf(compiler: str, linker: str, shape: str, tmp_path: Path) -> None:
    """Direct calls, tail calls, PLTs, vtables, tables, addresses in code and inlined copies, each as others list it."""
    host = link(tmp_path, compiler, shape, linker)
    reach = find_reach(open_host(host, cache=False), FUNCTIONS)
    assert reach.has_debug_information
    assert check_callers(host, reach, plt_entries(host)) >= 6
    inlined = shown_inlined(host)
    for one in reach.functions:
        pointers = {place.address for place in one.pointers}
        if shape != "fixed":
            assert pointers == relocated_pointers(host, one), one.name
        shown = inlined.get(one.name, Counter())
        assert Counter({row.function: row.copies for row in one.inlined}) == shown, one.name
    by_name = {one.name: one for one in reach.functions}
    assert {"table", "_ZTV6Square", "_ZTV5Shape", "constants"} <= {
        as_symbol(place.symbol) for one in reach.functions for place in one.pointers
    }
    assert {as_symbol(row.place.symbol) for row in by_name["price"].taken} >= {
        "_Z11use_addressi",
        "_Z7use_farPFiPFiiEEi",
    }
    assert by_name["_Z3taxi"].inlined
    assert any(caller.through is not None for caller in by_name["price"].callers) == (shape in ("shared", "got"))


@pytest.mark.parametrize(("linker", "option"), [("lld", "--pack-dyn-relocs=relr"), ("mold", "--pack-dyn-relocs=relr")])
def test_relative_relocations_that_are_packed(linker: str, option: str, tmp_path: Path) -> None:
    """The pointer's own word has the address; the table has only its place."""
    host = link(tmp_path, "gcc", "pie", linker, f"-Wl,{option}")
    assert "RELR" in run([need("readelf"), "-SW", host]).upper()
    one = find_reach(open_host(host, cache=False), ["price"]).functions[0]
    assert {as_symbol(place.symbol) for place in one.pointers} >= {"table"}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_static_function_is_its_own_files(compiler: str, tmp_path: Path) -> None:
    """Two files have an ``own``; the copies of one are not the other's."""
    host = link(tmp_path, compiler, "pie", "lld")
    address = bounds(host)["_ZL3owni"][0]
    (one,) = find_reach(open_host(host, cache=False), ["_ZL3owni"]).functions
    assert one.addresses == (address,)
    assert {row.function for row in one.inlined} == {"_Z7use_owni"}
    assert all(row.file.endswith("/reached.cc") for row in one.inlined)
    assert [as_symbol(place.symbol) for place in one.pointers] == ["table"]


@pytest.mark.parametrize("options", [["-gdwarf-4"], ["-flto"], ["-gdwarf-5", "-O3"]], ids=["dwarf4", "lto", "dwarf5"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_is_inlined_is_found_in_every_form(compiler: str, options: list[str], tmp_path: Path) -> None:
    """Link-time optimisation has a function in one unit and its copies in another."""
    name, target = COMPILERS[compiler]
    sources, linkers = [PROGRAMS / source for source in SOURCES], linker_folder(tmp_path / "bin")
    words = [need(name), *target, "-O2", "-g", *options, "-fPIE", "-pie", *sources, "-o", tmp_path / "host"]
    driver = ["-xc++", f"-B{linkers}", "-fuse-ld=lld"] if compiler == "clang" else []
    run([*words[: 1 + len(target)], *driver, *words[1 + len(target) :], *(["-lstdc++"] if driver else [])])
    shown = shown_inlined(tmp_path / "host")
    reach = find_reach(open_host(tmp_path / "host", cache=False), ["_Z3taxi", "_Z6scaledi"])
    for one in reach.functions:
        found = Counter({row.function: row.copies for row in one.inlined})
        assert found == shown[one.name]
        assert found


def test_a_rust_program(tmp_path: Path) -> None:
    """Rust's functions are their crate's own, and inlined all over it."""
    driver = str(need("aarch64-linux-gnu-gcc"))
    run(
        [
            *rustc(),
            "--edition",
            "2021",
            f"-Clinker={driver}",
            "-Copt-level=2",
            "-g",
            PROGRAMS / "reached.rs",
            "-o",
            "host",
        ],
        cwd=tmp_path,
    )
    names = [name for name in bounds(tmp_path / "host") if re.search("4shop(3tax|5price)", name)]
    reach = find_reach(open_host(tmp_path / "host", cache=False), names)
    assert check_callers(tmp_path / "host", reach, {}) >= 1
    shown = shown_inlined(tmp_path / "host")
    for one in reach.functions:
        assert Counter({row.function: row.copies for row in one.inlined}) == shown.get(one.name, Counter())
    assert any(one.inlined for one in reach.functions)


MACHO = ("lld", "lld-opcodes", "zig")


def link_macho(folder: Path, name: str) -> Path:
    """The program for macOS: with chained fixups, or with the older opcodes."""
    tools, host = toolchain(name), folder / "host"
    driver = [*zig(), "c++", "-target", "aarch64-macos"]
    compiling = driver if name == "zig" else tools.compile
    for source in SOURCES:
        run([*compiling, "-O2", "-g", "-fno-exceptions", "-c", PROGRAMS / source, "-o", f"{source}.o"], cwd=folder)
    linking = driver if name == "zig" else [*tools.link, "-undefined", "dynamic_lookup"]
    run([*linking, "-o", host, *(f"{source}.o" for source in SOURCES)], cwd=folder)
    return host


def macho_pointers(host: Path, one: Reached) -> set[int]:
    """The places of pointers to *one*, by ``llvm-objdump``, and by LIEF where it shows no values."""
    objdump = [need("llvm-objdump-19"), "--macho"]
    found = set()
    for line in run([*objdump, "--dyld-info", host]).splitlines():
        words = line.split()
        target = int(words[-1], 16) if words and re.fullmatch("0x[0-9A-F]+", words[-1]) else None
        if len(words) > 4 and (words[-1] == one.name or target in one.addresses):
            found.add(int(words[2], 16))
    if found:
        return found
    import lief

    binary = lief.MachO.parse(str(host)).at(0)
    for line in run([*objdump, "--rebase", "--bind", "--weak-bind", "--lazy-bind", host]).splitlines():
        words = line.split()
        if len(words) < 4 or not words[2].startswith("0x"):
            continue
        place = int(words[2], 16)
        raw = bytes(binary.get_content_from_virtual_address(place, 8))
        if words[-1] == one.name or (len(words) == 4 and int.from_bytes(raw, "little") in one.addresses):
            found.add(place)
    return found


@pytest.mark.parametrize("name", MACHO)
def test_macho(name: str, tmp_path: Path) -> None:
    """Calls, dyld's pointers and copies of a program for macOS; its debug information is in a dSYM."""
    need_module("lief", "lief")
    host = link_macho(tmp_path, name)
    run([need("dsymutil-19"), host, "-o", tmp_path / "host.dSYM"])
    names = [f"_{function}" for function in FUNCTIONS]
    reach = find_reach(open_host(host, symbols=tmp_path / "host.dSYM", cache=False), names)
    assert check_callers(host, reach, {one.name: stubs_of(host, one.name) for one in reach.functions}) >= 6
    shown = shown_inlined(tmp_path / "host.dSYM")
    for one in reach.functions:
        assert {place.address for place in one.pointers} == macho_pointers(host, one), one.name
        assert Counter({row.function: row.copies for row in one.inlined}) == shown.get(one.name[1:], Counter())
    by_name = {one.name: one for one in reach.functions}
    assert {as_symbol(row.place.symbol) for row in by_name["_price"].taken} >= {
        "__Z11use_addressi",
        "__Z7use_farPFiPFiiEEi",
    }
    assert by_name["__Z3taxi"].inlined


def stubs_of(host: Path, name: str) -> set[int]:
    """The stubs of *name*, by ``llvm-objdump --indirect-symbols``."""
    text = run([need("llvm-objdump-19"), "--macho", "--indirect-symbols", host])
    section = text.partition("__stubs) ")[2].partition("Indirect symbols")[0]
    rows = (line.split() for line in section.splitlines())
    return {int(row[0], 16) for row in rows if len(row) == 3 and row[2] == name}


SCRIPT = "SECTIONS { .text 0x10000 : { *(.text .text.*) } .far 0x20000000 : { *(.far) } }"


@pytest.mark.parametrize("linker", ["bfd", "lld"])
def test_calls_through_veneers(linker: str, tmp_path: Path) -> None:
    """In a large program a call goes to the linker's veneer, and no branch names the function itself."""
    (tmp_path / "far.ld").write_text(SCRIPT)
    (tmp_path / "far.c").write_text(
        '__attribute__((section(".far"), noinline)) int price(int n) { return n + 7; }\n'
        "int use(int n) { return price(n) * 2; } int tail(int n) { return price(n + 1); }\n"
        "int main(void) { return use(1) + tail(2); }\n"
    )
    gcc, linkers = need("aarch64-linux-gnu-gcc"), linker_folder(tmp_path / "bin")
    options = ["-static", "-nostdlib", "-Wl,-e,main", f"-Wl,-T,{tmp_path / 'far.ld'}", "-O2", "-fno-inline"]
    run([gcc, f"-B{linkers}", f"-fuse-ld={linker}", *options, tmp_path / "far.c", "-o", tmp_path / "host"])
    (one,) = find_reach(open_host(tmp_path / "host", cache=False), ["price"]).functions
    assert {as_symbol(caller.place.symbol) for caller in one.callers} == {"use", "tail"}
    assert all(caller.through is not None for caller in one.callers)


SPECIALISED = """
struct lot { int a[40]; };
__attribute__((noinline)) int price(struct lot *b, int mode, int (*f)(int)) {
    int n = 0;
    for (int i = 0; i < 40; i++) {
        n += f(b->a[i]);
        if (mode == 3) n *= 5; else if (mode == 4) n -= f(i); else n ^= mode;
    }
    return n;
}
static int id(int x) { return x + 1; }
int main(int n, char **v) {
    struct lot b = {{n}};
    int r = 0;
    for (int i = 0; i < n; i++) r += price(&b, 3, id) + price(&b, 3, id);
    return r;
}
"""


def test_a_specialised_copy_is_named(tmp_path: Path) -> None:
    """GCC's callers go to ``price.constprop.0``, which no table of ``price`` redirects."""
    (tmp_path / "a.c").write_text(SPECIALISED)
    run([need("aarch64-linux-gnu-gcc"), "-O3", "a.c", "-o", "host"], cwd=tmp_path)
    clones = [name for name in bounds(tmp_path / "host") if name.startswith("price.")]
    assert clones
    (one,) = find_reach(open_host(tmp_path / "host", cache=False), ["price"]).functions
    assert not one.callers
    assert [name for name, _ in one.clones] == clones


def test_link_and_the_command_say_the_same(tmp_path: Path) -> None:
    """Who links asks with ``--reach``; who has a patch names it."""
    program = Program(*link_host(tmp_path, compile_objects(tmp_path, "-g"), "lld", EXPORTED), tmp_path)
    patch, stub = program.edited("n < 3 ? 2 : 3", "n < 3 ? 20 : 3"), tmp_path / "stub.o"
    anchor = bounds(program.host)["main"][0] + 0x5500000000
    document = program.link(patch, "patch.so", anchor, "--reach", "--stub", stub)
    assert document["status"] == 0, document
    command = ["reach", "--host", program.host, "--patch", tmp_path / "patch.so", "--object", patch, "--stub", stub]
    again = json.loads(stubgen(*command, "--json").stdout)
    assert again["reach"] == document["reach"]
    rows = {row["name"]: row for row in again["reach"]}
    assert {caller["function"] for caller in rows["price"]["callers"]} == {"step"}
    text = stubgen(*command).stdout
    assert "called by step" in text
    assert max(map(len, text.splitlines()[1:])) <= 100


@pytest.mark.parametrize("spelling", ["Square::area(int) const", "Square::area"])
def test_names_are_taken_as_they_are_shown(spelling: str, tmp_path: Path) -> None:
    """The answer shows them demangled, and the next question was refused with what it had shown."""
    host = link(tmp_path, "gcc", "pie", "bfd")
    shown = [stubgen("reach", "--host", host, name).stdout for name in (spelling, "_ZNK6Square4areaEi")]
    assert shown[0] == shown[1]
    assert "Square::area(int) const (0x" in shown[0]


def test_a_name_that_the_host_has_not_is_refused(tmp_path: Path) -> None:
    """An empty list would say that nobody calls it."""
    host = link(tmp_path, "gcc", "pie", "bfd")
    done = stubgen("reach", "--host", host, "prize")
    assert done.returncode == 1
    assert "has no function called prize, and no inlined copy" in done.stderr
    done = stubgen("reach", "--host", host, "prize", "price", "Shape::prize(int)")
    assert "has no function called prize, Shape::prize(int), and no inlined copy" in done.stderr
    assert stubgen("reach", "--host", host).returncode == 2


@pytest.fixture(scope="module")
def debugged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with debug information."""
    return link(tmp_path_factory.mktemp("debugged"), "clang", "pie", "lld")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_broken_debug_information_says_nothing(debugged: Path, data: st.DataObject) -> None:
    """Somebody else's post-processor wrote it; the rest of the answer is right all the same."""
    image = open_image(debugged.read_bytes(), "host")
    names = ("debug_info", "debug_abbrev", "debug_str_offs")
    sections = {name: bytearray(image.debug_section(name)) for name in names}
    for _ in range(data.draw(st.integers(1, 8))):
        raw = sections[data.draw(st.sampled_from(names))]
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    read = lambda name: bytes(sections[name]) if name in sections else image.debug_section(name)  # noqa: E731
    InlinedCopies(read, DebugInfo(read).units).find({b"_Z3taxi": {1}}, lambda name: False)


def test_a_symbol_of_debug_information_is_no_copy(tmp_path: Path) -> None:
    """GCC's ``price.c.1234`` in ``.debug_info``, with -flto -g: ``price`` was said to be specialised as that."""
    gcc = str(need("aarch64-linux-gnu-gcc"))
    (tmp_path / "price.c").write_text("__attribute__((noipa)) int price(int x) { return x; }\n")
    (tmp_path / "main.c").write_text("int price(int); int main(int n, char **v) { return price(n + !v); }\n")
    for name in ("price.c", "main.c"):
        run([gcc, "-g", "-O1", "-flto", "-c", name], cwd=tmp_path)
    run([gcc, "-g", "-O1", "-flto", "price.o", "main.o", "-o", "host"], cwd=tmp_path)
    host = open_host(tmp_path / "host", cache=False)
    assert any(name.startswith(b"price.c.") for name in host.image.names()), "GCC refers to it otherwise"
    one = find_reach(host, ["price"]).functions[0]
    assert [caller.place.name for caller in one.callers] == ["main"]
    assert not one.clones
