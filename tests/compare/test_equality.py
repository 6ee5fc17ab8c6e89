"""What an edit changed is told from what it did not, in what real compilers and linkers make of whole programs.

A function that changed and is taken for unchanged is left out of a jump table: the patch is applied and does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.test_macho import toolchain
from tools import PROGRAMS, linker_folder, need, run, rustc, zig

from stubgen.compare import Equality, host_places, object_parts
from stubgen.compare.parts import HostPlaces
from stubgen.image import Image
from stubgen.image.opening import open_image


class Edit(NamedTuple):
    """A change to a source file, and a part of the name of each function that is another one by it."""

    before: str
    after: str
    changes: tuple[str, ...]


C_EDITS = [
    Edit("hello %d", "hallo %d", ("use_string",)),
    Edit("helper(x) + outside(x)", "outside(x) + helper(x)", ("use_calls",)),
    Edit("helper(x) + outside", "use_string(x) + outside", ("use_calls",)),
    Edit("4, 5, 6", "4, 5, 5", ("use_table",)),
    Edit("case 4: return 12", "case 4: return 13", ("use_switch",)),
    Edit("case 2: return 77;\n    case 3", "case 3: return 77;\n    case 2", ("use_switch",)),
    Edit('puts("six")', 'puts("sex")', ("use_switch",)),
    Edit('"two"', '"tow"', ("use_names",)),
    Edit("depth += i; level += 2", "level += i; depth += 2", ("use_threads",)),
    Edit("m = 8", "m = 9", ("use_statics",)),
    Edit("++n + ++m", "++m + ++n", ("use_statics",)),
    Edit("3.25", "3.5", ("use_doubles",)),
    Edit("(void *)helper", "(void *)use_calls", ("use_address",)),
    Edit("return ++shared", "return ++counter", ("use_shared",)),
    Edit("return ++shared", "return ++other", ("use_shared",)),
    Edit("counter * other", "counter + other", ("helper",)),
]
CC_EDITS = [
    Edit("n > 10", "n > 11", ("fails",)),
    Edit("more than ten", "more then ten", ("fails",)),
    Edit("catch (const First &)", "catch (const std::logic_error &)", ("use_catch",)),
    Edit(
        "const First &) { return 1; } catch (const Second",
        "const Second &) { return 1; } catch (const First",
        ("use_catch",),
    ),
    Edit("side * side", "side + side", ("Square4area",)),
    Edit("return 0; }\n};", "return 1; }\n};", ("Disc5sides",)),
    Edit("shape.area() + shape.sides()", "shape.sides() + shape.area()", ("use_virtual",)),
    Edit("if (n) return", "if (!n) return", ("use_new",)),
    Edit("value + value", "value + value + value", ("use_template",)),
    Edit("twice(2.5)", "twice(3.5)", ("use_template",)),
    Edit("value = 3", "value = 4", ("use_inline",)),
    Edit("x + n;", "x - n;", ("use_lambda",)),
    Edit("dear ", "Dear ", ("use_string",)),
    Edit("i * 3", "i * 4", ("use_vector",)),
]
RUST_EDITS = [
    Edit("i % 3", "i % 4", ("f_map",)),
    Edit("d.get() + n", "d.get() + 2 * n", ("f_depth",)),
    Edit("fetch_add", "fetch_sub", ("f_count",)),
    Edit("3, 4, 5]", "3, 4, 6]", ("f_table",)),
    Edit("self.0 * self.0", "self.0 + self.0", ("Sq",)),
    Edit("3.25", "3.5", ("Ci",)),
    Edit("square {}", "sqvare {}", ("Sq",)),
    Edit("too many", "too much", ("f_panic",)),
    Edit("unwrap_or(7)", "unwrap_or(8)", ("f_catch",)),
    Edit('"two" => 2', '"tow" => 2', ("f_match",)),
    Edit("b.cmp(a)", "a.cmp(b)", ("f_sort",)),
    Edit('"shape"', '"shap"', ("name",)),
]
GCC = ["aarch64-linux-gnu-gcc"]
CLANG = ["clang-19", "--target=aarch64-linux-gnu"]
SEPARATE = ["-fPIC", "-ffunction-sections", "-fdata-sections"]
LINKERS = ["bfd", "gold", "lld", "mold"]


def opened(path: Path) -> Image:
    """The file at *path*."""
    return open_image(path.read_bytes(), path.name)


def changed(obj: Path, places: HostPlaces) -> tuple[list[str], int]:
    """The functions of *obj* that the host has not, or has not so; and how many there are."""
    parts = object_parts([opened(obj)])
    functions = parts[0].functions()
    places.learn({name for function in functions for name in function.names})
    equality = Equality(parts, places)
    found = [
        name.decode()
        for function in functions
        for name in function.names
        if all(equality.difference(function, address) for address, _ in places.addresses(name))
    ]
    return found, sum(len(function.names) for function in functions)


def check_edits(
    folder: Path, source: str, edits: list[Edit], command: list[str], hosts: list[Path], unread: Sequence[str] = ()
) -> None:
    """Compile *source* with each of *edits* as the hosts' was; what each changes is told, and not most of the rest.

    *unread*: parts of the names of functions that always count as changed.
    """
    places = [host_places(opened(host)) for host in hosts]
    text = (PROGRAMS / source).read_text()
    for edit in [Edit("", "", ()), *edits]:
        assert edit.before in text
        (folder / source).write_text(text.replace(edit.before, edit.after) if edit.before else text)
        run([*command, source, "-o", "edited.o"], cwd=folder)
        for place, host in zip(places, hosts, strict=True):
            found, total = changed(folder / "edited.o", place)
            for name in edit.changes:
                assert any(name in one for one in found), (host.name, edit, found)
            others = [one for one in found if not any(name in one for name in unread)]
            assert len(others) <= (2 * total // 3 if edit.before else 0), (host.name, edit, found)


@pytest.mark.parametrize("compiler", [GCC, CLANG], ids=["gcc", "clang"])
@pytest.mark.parametrize("options", [["-O0"], ["-O2"], ["-O2", *SEPARATE]], ids=["O0", "O2", "separate"])
def test_every_edited_function_of_a_c_program_is_told(options: list[str], compiler: list[str], tmp_path: Path) -> None:
    """A string, a table, a switch, a static or a callee is another one: whoever uses it is not left out."""
    need(compiler[0])
    command = [*compiler, *options, "-w", "-c"]
    hosts = link_hosts(tmp_path, command, str(need("aarch64-linux-gnu-gcc")), "c")
    check_edits(tmp_path, "compared.c", C_EDITS, command, hosts)


@pytest.mark.parametrize("compiler", ["aarch64-linux-gnu-g++", "clang-19"])
def test_every_edited_function_of_a_cc_program_is_told(compiler: str, tmp_path: Path) -> None:
    """The types that a function catches are in its exception table alone; a virtual function is in a table too."""
    need(compiler)
    command = [compiler, *(CLANG[1:] if compiler == CLANG[0] else []), "-O1", *SEPARATE, "-c"]
    hosts = link_hosts(tmp_path, command, str(need("aarch64-linux-gnu-g++")), "cc")
    check_edits(tmp_path, "compared.cc", CC_EDITS, command, hosts)


def test_every_edited_function_of_a_mach_o_cc_program_is_told(tmp_path: Path) -> None:
    """Where a frame is described by DWARF alone its exception table is not read: such a function counts as changed."""
    driver = [*zig(), "c++", "-target", "aarch64-macos"]
    command = [*driver, "-O1", "-c"]
    for source in ("compared.cc", "compared_main.cc"):
        (tmp_path / source).write_text((PROGRAMS / source).read_text())
        run([*command, source, "-o", f"{source}.o"], cwd=tmp_path)
    run([*driver, "-o", "host", "compared.cc.o", "compared_main.cc.o"], cwd=tmp_path)
    unread = ("fails", "use_catch", "use_vector")
    check_edits(tmp_path, "compared.cc", CC_EDITS, command, [tmp_path / "host"], unread)


@pytest.mark.parametrize("level", ["1"])
def test_every_edited_function_of_a_rust_program_is_told(level: str, tmp_path: Path) -> None:
    """Rust's constants have names of their content; closures and generic instances are functions too."""
    compiler = [*rustc(), "--edition", "2021", f"-Copt-level={level}", "-Ccodegen-units=1", "-Clink-dead-code"]
    driver, linkers = str(need("aarch64-linux-gnu-gcc")), linker_folder(tmp_path / "bin")
    (tmp_path / "compared.rs").write_text((PROGRAMS / "compared.rs").read_text())
    for linker in ("bfd", "lld"):
        options = [f"-Clinker={driver}", f"-Clink-arg=-B{linkers}", f"-Clink-arg=-fuse-ld={linker}"]
        run([*compiler, *options, "compared.rs", "-o", linker], cwd=tmp_path)
    command = [*compiler, "--crate-name", "compared", "--emit=obj"]
    check_edits(tmp_path, "compared.rs", RUST_EDITS, command, [tmp_path / "bfd", tmp_path / "lld"])


def link_hosts(folder: Path, command: list[str], driver: str, suffix: str) -> list[Path]:
    """The program of two files as each linker links it."""
    linkers, source = linker_folder(folder / "bin"), f"compared.{suffix}"
    (folder / source).write_text((PROGRAMS / source).read_text())
    run([*command, source, "-o", "compared.o"], cwd=folder)
    run([*command, PROGRAMS / f"compared_main.{suffix}", "-o", "main.o"], cwd=folder)
    for linker in LINKERS:
        run([driver, f"-B{linkers}", f"-fuse-ld={linker}", "compared.o", "main.o", "-o", linker], cwd=folder)
    return [folder / linker for linker in LINKERS]


@pytest.mark.parametrize("name", ["lld", "lld-opcodes", "zig"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_every_edited_function_of_a_mach_o_program_is_told(level: str, name: str, tmp_path: Path) -> None:
    """Apple's linker names no sections; what is compared is told by symbols, and strings by their content."""
    tools = toolchain(name)
    command = [*tools.compile, level, "-w", "-c"]
    for source in ("compared.c", "compared_main.c"):
        (tmp_path / source).write_text((PROGRAMS / source).read_text())
        run([*command, source, "-o", f"{source}.o"], cwd=tmp_path)
    undefined = [] if name == "zig" else ["-undefined", "dynamic_lookup"]
    run([*tools.link, *undefined, "-o", "host", "compared.c.o", "compared_main.c.o"], cwd=tmp_path)
    check_edits(tmp_path, "compared.c", C_EDITS, command, [tmp_path / "host"])
