"""Whose ``util.c`` the host's is: two folders may each have one, and a linked file's symbol table holds base names."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import linker_folder, need, run, rustc

from stubgen.build import StubBuilder
from stubgen.resolve.verdicts import SharedVariable

COMPILERS = {
    "gcc": ("aarch64-linux-gnu-gcc",),
    "clang": ("clang-19", "--target=aarch64-linux-gnu"),
}
LINKERS = {"bfd": (), "lld": ("-fuse-ld=lld",), "mold": ("-fuse-ld=mold",), "gold": ("-fuse-ld=gold",)}

STATICS = "static __thread int depth = 3; static int count = 5;"
HOSTS = f"{STATICS} int enter(void) {{ return ++depth + ++count; }}"
PATCHS = f"{STATICS} int changed(void) {{ return depth += 5 + (count += 5); }}"
EDITED = f"{HOSTS} int changed(void) {{ return enter() + 1; }}"


class Workshop:
    """A folder with a program of several files, and patches for it."""

    def __init__(self, folder: Path, compiler: str = "gcc", linker: str = "bfd") -> None:
        self.folder = folder
        self.compiler = COMPILERS[compiler]
        self.linker = LINKERS[linker]

    def compile(self, source: str, text: str, *options: str, output: str = "") -> Path:
        """The object of *source*, beside it unless *output* says otherwise."""
        path = self.folder / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        made = self.folder / output if output else path.with_suffix(".o")
        made.parent.mkdir(parents=True, exist_ok=True)
        program, *target = self.compiler
        common = ["-c", "-O1", "-fPIC", "-fdata-sections"]
        run([str(need(program)), *target, *common, *options, path, "-o", made], cwd=path.parent)
        return made

    def link(self, *objects: Path, options: tuple[str, ...] = ()) -> Path:
        """The program."""
        main = self.compile("main.c", "int enter(void); int main(void) { return enter(); }")
        program = self.folder / "program"
        gcc = str(need("aarch64-linux-gnu-gcc"))
        folder = linker_folder(self.folder / "linkers")
        run([gcc, *self.linker, f"-B{folder}", *options, main, *objects, "-o", program])
        return program

    def judge(self, program: Path, patch: Path, *linked: Path) -> dict[str, SharedVariable]:
        """What becomes of the patch's variables, by name."""
        options = {"slide": 0x1000, "bind": True, "keep_state": True, "linked": linked}
        return {v.name: v for v in StubBuilder(program).judge([patch], **options).shared_variables}  # type: ignore[arg-type]


def kept(found: dict[str, SharedVariable]) -> bool:
    """Whether both variables are the host's; the test fails where one is and the other is not."""
    assert found.keys() == {"depth", "count"}
    assert found["depth"].reason_not_kept == found["count"].reason_not_kept
    assert all(variable.forwarded is not bool(variable.reason_not_kept) for variable in found.values())
    return not found["count"].reason_not_kept


NOTHING_SAYS = "the host's is from a file util.c, and nothing says that it is this one; compile host and patch with -g"


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("debug", ["-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -gz", "-g1"])
def test_paths_tell_files_apart(tmp_path: Path, compiler: str, linker: str, debug: str) -> None:
    """A patch of another folder's util.c would count in a stranger's variable; one of this util.c goes on counting."""
    shop = Workshop(tmp_path, compiler, linker)
    options = debug.split()
    program = shop.link(shop.compile("b/util.c", HOSTS, *options))
    other = shop.judge(program, shop.compile("a/util.c", PATCHS, *options))
    assert not kept(other)
    assert other["count"].reason_not_kept == f"the host's is from another file, {tmp_path}/b/util.c"
    assert kept(shop.judge(program, shop.compile("b/util.c", PATCHS, *options, output="elsewhere/new.o")))


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_where_the_variable_lies_tells_which_of_two_files(tmp_path: Path, compiler: str, linker: str) -> None:
    """Of two files of a name the one that has the variable is meant, and debug information says which has it."""
    shop = Workshop(tmp_path, compiler, linker)
    others = shop.compile("a/util.c", "static int more = 1; int get(void) { return ++more; }", "-g")
    program = shop.link(shop.compile("b/util.c", HOSTS, "-g"), others)
    names = {name: kept_of(shop, program, name) for name in ("a/util.c", "b/util.c")}
    assert names == {"a/util.c": False, "b/util.c": True}


def kept_of(shop: Workshop, program: Path, source: str) -> bool:
    """Whether ``count`` of a patch compiled from *source* is the host's; gcc says nowhere where a thread-local is."""
    return shop.judge(program, shop.compile(source, PATCHS, "-g"))["count"].forwarded


def test_a_path_that_is_not_whole_does_not_make_files_one(tmp_path: Path) -> None:
    """Builds that can be repeated write ``./util.c`` for the util.c of whichever folder they were started in."""
    shop = Workshop(tmp_path)
    program = shop.link(shop.compile("b/util.c", HOSTS, "-g", f"-fdebug-prefix-map={tmp_path}/b=."))
    found = shop.judge(program, shop.compile("a/util.c", PATCHS, "-g", f"-fdebug-prefix-map={tmp_path}/a=."))
    assert not kept(found)
    assert found["count"].reason_not_kept == NOTHING_SAYS


def test_a_file_that_was_compiled_twice_has_each_variable_twice(tmp_path: Path) -> None:
    """One source with two sets of -D makes two objects: which of them the patch's is, its path does not say."""
    shop = Workshop(tmp_path)
    text = f"#ifdef ONE\n{HOSTS}\n#else\nint second(void) {{ return 2; }}\n#endif\n"
    first = shop.compile("util.c", text, "-g", "-DONE", output="one.o")
    program = shop.link(first, shop.compile("util.c", text, "-g", output="two.o"))
    found = shop.judge(program, shop.compile("util.c", PATCHS, "-g", output="patch.o"))
    assert not found["count"].forwarded
    assert found["count"].reason_not_kept == f"the host was linked from 2 objects of {tmp_path}/util.c"


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_without_debug_information(tmp_path: Path, compiler: str, linker: str) -> None:
    """The object that the host's link named, or one with a function of the program's, is that file; no other is."""
    shop = Workshop(tmp_path, compiler, linker)
    linked = shop.compile("b/util.c", HOSTS)
    program = shop.link(linked)
    stranger = shop.compile("a/util.c", PATCHS)
    for named in ((), (linked,)):
        found = shop.judge(program, stranger, *named)
        assert not kept(found)
        assert found["count"].reason_not_kept == NOTHING_SAYS
    assert kept(shop.judge(program, shop.compile("b/util.c", EDITED, output="elsewhere/new.o")))
    recompiled = shop.compile("b/util.c", PATCHS)
    assert kept(shop.judge(program, recompiled, recompiled))
    assert not kept(shop.judge(program, recompiled, recompiled, stranger)), "the one file may be the other's"


@pytest.mark.parametrize("linker", LINKERS)
def test_two_files_without_debug_information(tmp_path: Path, linker: str) -> None:
    """Whose variable it is nothing says then, whatever the host's link named."""
    shop = Workshop(tmp_path, linker=linker)
    other = shop.compile("a/util.c", "int get(void) { return 1; }")
    linked = shop.compile("b/util.c", HOSTS)
    program = shop.link(linked, other)
    patch = shop.compile("a/util.c", PATCHS + " int get(void) { return 2; }")
    assert not kept(shop.judge(program, patch, linked, other))


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("shared", [False, True])
def test_a_static_is_nobody_elses(tmp_path: Path, linker: str, shared: bool) -> None:
    """A patch's hidden counter would count in another file's static one; the host's hidden one it is, of any file."""
    shop = Workshop(tmp_path, linker=linker)
    options = ("-shared", "-fPIC") if shared else ()
    hidden = '__attribute__((visibility("hidden"))) int {} = 1;'
    text = f"{hidden.format('level')} static int count = 5; int enter(void) {{ return ++level + ++count; }}"
    program = shop.link(shop.compile("util.c", text), options=options)
    uses = "int changed(void) { return ++level + ++count; }"
    patch = shop.compile("other.c", hidden.format("level") + hidden.format("count") + uses)
    found = shop.judge(program, patch)
    assert found["level"].forwarded
    assert found["count"].reason_not_kept == ("the host's is from another file, util.c, and not visible to others")
    own = shop.judge(program, shop.compile("other.c", f"static int level = 1, count = 5; {uses}"))
    assert own["level"].reason_not_kept == ("the host's is visible to other files")


CRATE = """#![no_std]
#[panic_handler] fn panicked(_: &core::panic::PanicInfo) -> ! {{ loop {{}} }}
mod a {{
    #[unsafe(no_mangle)] pub static mut CALLS: u64 = 1;
    #[unsafe(no_mangle)] #[inline(never)]
    pub extern "C" fn enter() -> u64 {{ unsafe {{ CALLS += 1; CALLS * 3 - CALLS * 5 }} }}
}}
mod b {{
    #[unsafe(no_mangle)] #[inline(never)] pub extern "C" fn leave() -> u64 {{ let mut n = 1; {} n }}
}}
"""


@pytest.mark.parametrize("debug", [0, 2])
def test_codegen_units_are_numbered_anew(tmp_path: Path, debug: int) -> None:
    """An edit makes one unit larger than the other: a static of the crate's was said to be another file's, and lost."""
    shop = Workshop(tmp_path, linker="mold")
    options = ["--edition=2024", "--crate-name=shop", "--crate-type=rlib", "-Ccodegen-units=2", f"-Cdebuginfo={debug}"]

    def crate(times: int) -> list[Path]:
        (tmp_path / "shop.rs").write_text(CRATE.format("n += core::hint::black_box(n + 1);" * times))
        run([*rustc(), *options, "-Cpanic=abort", "-Cdebug-assertions=no", "--emit=obj", "shop.rs"], cwd=tmp_path)
        return sorted(tmp_path.glob("shop.*.rcgu.o"))

    def unit_of_calls(units: list[Path]) -> str:
        return next(unit.name for unit in units if " CALLS" in run([str(need("llvm-nm-19")), "--defined-only", unit]))

    units = crate(0)
    before, program = unit_of_calls(units), shop.link(*units)
    units = crate(60)
    assert unit_of_calls(units) != before, "the edit moved nothing"
    options = {"slide": 0x1000, "bind": True, "keep_state": True}
    (row,) = StubBuilder(program).judge(units, **options).shared_variables  # type: ignore[arg-type]  # of several types
    assert (row.name, row.forwarded, row.reason_not_kept) == ("CALLS", True, "")
