"""Earlier patches are hosts too: generations of patches in one living process call each other and share their state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost, stubgen
from live.test_elf import LINKERS
from live.test_macho import PATCH_SLIDE, SLIDE, toolchain
from live.test_replaced import COMPILERS, Program, linked_host
from tools import linker_folder, need, need_module, run, rustc

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_patch
from stubgen.host.previous import PreviousPatch
from stubgen.link import Linked, link_patch
from stubgen.session import Session

A = "long count = 1; static long hidden_count = 10; const long limit = 5;\n"
"""What the program's a.c begins with; each generation is an edit of it, or of b.c."""
HOST_A = A + "long bump(long x) { hidden_count += x; return count += x; } long top(long x) { return limit + x; }"
HOST_B = "long count_of_b(long x) { return x; }"
FIRST_A = (
    A.replace("5", "50")
    + """long added = 100; static long own = 1000; __attribute__((visibility("hidden"))) long secret = 7;
    long bump(long x) { hidden_count += x; return count += 1000 * x; } long top(long x) { return limit + x; }
    long add(long x) { return added += x; } long next(long x) { return (own += x) + secret; }
    __attribute__((visibility("hidden"))) long hidden(long x) { return x + 3; }"""
)
SECOND_B = """extern long added, count; extern const long limit; long add(long); long bump(long);
    __attribute__((visibility("hidden"))) long hidden(long); extern __attribute__((visibility("hidden"))) long secret;
    long count_of_b(long x) { added += x; secret++; return add(x) * 10 + hidden(0); }
    long through_b(long x) { return bump(x); } long limit_of_b(long x) { return limit + x; }"""
THIRD_A = FIRST_A.replace("x + 3", "x + 4") + "long count_of_b(long); long three(long x) { return count_of_b(x); }"


class Generations(NamedTuple):
    """A living process, and the patches that it loaded: path -> load base."""

    program: Program
    live: LiveHost
    loaded: dict[Path, int]

    def link(self, objects: Sequence[Path], output: str, *options: object) -> dict[str, object]:
        """Link a patch that knows all earlier ones; its JSON document."""
        previous = [word for path, base in self.loaded.items() for word in ("--previous", f"{path}@{base:#x}")]
        return self.program.link(self.live, objects, output, *previous, *options)

    def load(self, objects: Sequence[Path], output: str, *options: object) -> dict[str, object]:
        """Link such a patch and load it."""
        document = self.link(objects, output, *options)
        path = self.program.folder / output
        self.loaded[path] = int(self.live.tell(f"patch {path}"), 16)
        return document

    def call(self, generation: int, function: str, argument: int) -> int:
        """What *function* of a generation answers, of the host's own with 0."""
        path = self.program.host
        base = self.live.anchor - address_of(path, "main")
        if generation:
            path, base = list(self.loaded.items())[generation - 1]
        return int(self.live.tell(f"call {base + address_of(path, function):x} {argument}"))


def address_of(path: Path, name: str) -> int:
    """The address of a symbol in its file, by ``nm``."""
    (line,) = [line for line in run([need("llvm-nm-19"), path]).splitlines() if line.split()[-1] == name]
    return int(line.split()[0], 16)


def edited(folder: Path, name: str, source: str, compiler: str = "gcc", *options: str) -> Path:
    """The object of a source that is called *name*, whatever the edit."""
    program, *target = COMPILERS[compiler]
    program = program.replace("gcc", "g++") if name.endswith(".cc") else program
    (folder / name).write_text(source)
    output = folder / f"{name}.o"
    run(
        [str(need(program)), *target, "-c", "-O1", "-fPIC", "-fdata-sections", *options, name, "-o", output], cwd=folder
    )
    return output


def started(folder: Path, sources: dict[str, str], linker: str = "gnu", compiler: str = "gcc", *more: str) -> Program:
    """A linked host of *sources*, and of what *more* names."""
    objects = {name: edited(folder, name, text, compiler) for name, text in sources.items()}
    return linked_host(folder, {**objects, **{word: Path(word) for word in more}}, linker)


HIDDEN = '__attribute__((visibility("hidden"))) long'
PROMOTED = f"""extern {HIDDEN} held __asm__("_RNvNtCshQ9_1t5inner4HELD.llvm.UNIT");
extern {HIDDEN} fresh __asm__("_RNvNtCshQ9_1t5inner5FRESH.llvm.UNIT");
{HIDDEN} held = 1;
{HIDDEN} step(long x) __asm__("_RNvNtCshQ9_1t5inner4step.llvm.UNIT");
__attribute__((noinline, used)) {HIDDEN} step(long x) {{ return held += x * STEP; }}
"""
"""A codegen unit of which ThinLTO promoted some: their names end in a hash of the unit, another one after each edit."""
FRESH = f"{HIDDEN} fresh = 100; long next(long x) {{ return fresh += x; }} long shown(long x) {{ return held + x; }}"


@pytest.mark.parametrize("linker", LINKERS)
def test_what_thinlto_renames_in_each_generation(linker: str, tmp_path: Path) -> None:
    """Rustc's release profile: state began anew with each patch, and functions were left out of the jump table."""
    text = [PROMOTED.replace("UNIT", str(unit)).replace("STEP", str(unit)) for unit in range(1, 4)]
    program = started(tmp_path, {"a.c": text[0]}, linker)
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        names = [f"_RNvNtCshQ9_1t5inner4step.llvm.{unit}" for unit in range(1, 4)]
        assert run_.call(0, names[0], 1) == 2
        for generation, answers in ((1, [4, 101, 4]), (2, [7, 102, 7])):
            patch = edited(tmp_path, "a.c", text[generation] + FRESH)
            document = run_.load([patch], f"{generation}.so", "--keep-state")
            asked = [(names[generation], 1), ("next", 1), ("shown", 0)]
            assert [run_.call(generation, *call) for call in asked] == answers
            replaced = {row["name"]: row["host"] for row in document["replaced"]}  # type: ignore[attr-defined]
            assert [copy["static_address"] for copy in replaced[names[generation]]] == [
                address_of(program.host, names[0])
            ]
        live.end()


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("linker", LINKERS)
def test_three_generations_in_c(linker: str, compiler: str, tmp_path: Path) -> None:
    """After three saves the program must be what its text says: the newest functions on the state of the first run."""
    program = started(tmp_path, {"a.c": HOST_A, "b.c": HOST_B}, linker, compiler)
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        assert run_.call(0, "bump", 1) == 2
        run_.load([edited(tmp_path, "a.c", FIRST_A, compiler)], "1.so", "--keep-state")
        assert [run_.call(1, "bump", 1), run_.call(1, "next", 1), run_.call(1, "add", 1)] == [1002, 1008, 101]
        document = run_.load([edited(tmp_path, "b.c", SECOND_B, compiler)], "2.so")
        decisions = {d["name"]: d for d in document["decisions"]}  # type: ignore[attr-defined]
        first = str(tmp_path / "1.so")
        assert {name for name, d in decisions.items() if d["patch"] == first} == {
            *("added", "add", "bump", "hidden", "secret", "limit"),
        }
        assert decisions["add"]["static_address"] == address_of(tmp_path / "1.so", "add")
        assert decisions["add"]["runtime_address"] == run_.loaded[tmp_path / "1.so"] + address_of(
            tmp_path / "1.so", "add"
        )
        assert run_.call(2, "count_of_b", 2) == (101 + 2 + 2) * 10 + 3
        assert run_.call(2, "through_b", 1) == 2002, "the first patch's function, on the host's count"
        assert run_.call(2, "limit_of_b", 0) == 50, "the constant as the first patch has it"
        assert run_.call(0, "bump", 0) == 2002
        document = run_.load([edited(tmp_path, "a.c", THIRD_A, compiler)], "3.so", "--keep-state")
        kept = {d["name"]: d["patch"] for d in document["duplicates"] if d["forwarded"]}  # type: ignore[attr-defined]
        assert kept == {
            "count": None,
            "hidden_count": None,
            "added": first,
            "own": first,
            "secret": first,
            "limit": first,
        }
        olds = {row["patch"]: row for row in document["previous"]}  # type: ignore[attr-defined]
        assert olds[str(tmp_path / "2.so")]["replaced"] == []
        places = {row["name"]: row["copies"] for row in olds[first]["replaced"]}
        assert places.keys() == {"bump", "top", "add", "next", "hidden"}
        for name, copies in places.items():
            (copy,) = copies
            assert copy["runtime_address"] == run_.loaded[tmp_path / "1.so"] + address_of(tmp_path / "1.so", name)
        assert run_.call(3, "next", 1) == 1002 + 7 + 1, "own as the first left it, secret as the second did"
        assert run_.call(3, "add", 1) == 106
        assert run_.call(3, "three", 1) == (106 + 1 + 1) * 10 + 3, "the second patch's function, with the first's in it"
        document = run_.link([edited(tmp_path, "b.c", SECOND_B, compiler)], "4.so")
        assert {d["name"]: d["patch"] for d in document["decisions"] if d["patch"]} == {  # type: ignore[attr-defined]
            **dict.fromkeys(("added", "secret", "limit"), first),
            **dict.fromkeys(("add", "bump", "hidden"), str(tmp_path / "3.so")),
        }
        live.end()


SHAPES = """
struct Base { virtual long f(long x); virtual ~Base(); };
inline long shared = 1;
template <class T> __attribute__((noinline)) long generic(long x) { return x + sizeof(T); }
"""
NEW = """
struct New : Base { long side = 3; long f(long x) override; };
struct Trouble { long what; };
Base *make(); long guarded(long (*function)(long), long x); long counted(long x);
"""
BASE = "long Base::f(long x) { return x + 1; } Base::~Base() {} "
HOST_A_CC = SHAPES + BASE + "long state(long x) { return shared += x; } long of_int(long x) { return generic<int>(x); }"
HOST_B_CC = "long b(long x) { return x; }"
FIRST_A_CC = (
    SHAPES
    + NEW
    + BASE.replace("x + 1", "x + 2")
    + """long state(long x) { return shared += 10 * x; } long of_int(long x) { return generic<int>(x); }
    long New::f(long x) { return side + x; } Base *make() { return new New; }
    long guarded(long (*function)(long), long x) { try { return function(x); } catch (Trouble &t) { return t.what; } }
    namespace { long own = 500; } long counted(long x) { return own += x; }"""
)
SECOND_B_CC = (
    SHAPES
    + NEW
    + """static long trouble(long x) { throw Trouble{x + 9}; } long b(long x) { return guarded(trouble, x); }
    long make_here(long x) { New here; here.side = 4; Base *base = &here; return base->f(x); }
    long cast(long x) { New *made = dynamic_cast<New *>(make()); return made ? made->f(x) + shared : -1; }
    long count_on(long x) { return counted(x) + generic<char[64]>(0); }"""
)
THIRD_A_CC = FIRST_A_CC + "long b(long x); long three(long x) { return b(x) + counted(1); }"


@pytest.mark.parametrize("compiler", COMPILERS)
def test_three_generations_in_cxx(compiler: str, tmp_path: Path) -> None:
    """A class that the first patch added is one class in the second: its functions, its type, its exceptions."""
    program = started(tmp_path, {"a.cc": HOST_A_CC, "b.cc": HOST_B_CC}, "gnu", compiler, "-lstdc++")
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        assert run_.call(0, "_Z5statel", 1) == 2
        run_.load([edited(tmp_path, "a.cc", FIRST_A_CC, compiler)], "1.so", "--keep-state")
        assert run_.call(1, "_Z5statel", 1) == 12
        assert run_.call(1, "_Z7countedl", 1) == 501
        run_.load([edited(tmp_path, "b.cc", SECOND_B_CC, compiler)], "2.so", "--keep-state")
        assert run_.call(2, "_Z1bl", 5) == 14, "thrown in the second patch, caught in the first"
        assert run_.call(2, "_Z9make_herel", 1) == 5
        assert run_.call(2, "_Z4castl", 1) == 3 + 1 + 12
        assert run_.call(2, "_Z8count_onl", 1) == 502 + 64
        run_.load([edited(tmp_path, "a.cc", THIRD_A_CC, compiler)], "3.so", "--keep-state")
        assert run_.call(3, "_Z5threel", 1) == 10 + 503
        assert run_.call(3, "_Z5statel", 1) == 22
        live.end()


RUST = {
    "lower": """#![no_std]
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
static COUNT: AtomicI64 = AtomicI64::new(1);
#[unsafe(no_mangle)]
pub extern "C" fn rust_count(x: i64) -> i64 { COUNT.fetch_add(x, Relaxed) + x }
""",
    "upper": """#![no_std]
#[unsafe(no_mangle)]
pub extern "C" fn rust_upper(x: i64) -> i64 { lower::rust_count(x) }
""",
}
RUST_ADDED = """
pub static ADDED: AtomicI64 = AtomicI64::new(100);
static OWN: AtomicI64 = AtomicI64::new(1000);
pub trait Scale { #[inline(never)] fn scale(x: i64) -> i64 { core::hint::black_box(x) * 7 } }
pub struct Seven;
impl Scale for Seven {}
#[inline(never)]
pub fn add(x: i64) -> i64 { ADDED.fetch_add(x, Relaxed) + x + Seven::scale(0) }
#[unsafe(no_mangle)]
pub extern "C" fn rust_own(x: i64) -> i64 { OWN.fetch_add(x, Relaxed) + x }
"""
RUST_USES = """
#[unsafe(no_mangle)]
pub extern "C" fn rust_new(x: i64) -> i64 {
    use lower::Scale;
    lower::ADDED.fetch_add(x, core::sync::atomic::Ordering::Relaxed);
    lower::add(x) * 1000 + lower::Seven::scale(1) + lower::rust_own(0)
}
"""


def rust_object(folder: Path, crate: str, more: str = "") -> Path:
    """The object of a crate, with *more* at its end; the other crate finds its metadata."""
    (folder / f"{crate}.rs").write_text(RUST[crate] + more)
    command = [
        *rustc(),
        "--edition",
        "2024",
        "-C",
        "panic=abort",
        "-C",
        "opt-level=1",
        "-C",
        "codegen-units=1",
        "-L",
        ".",
    ]
    uses = ["--extern", "lower=liblower.rlib"] if crate == "upper" else []
    run([*command, *uses, "--crate-type", "rlib", "--emit=obj,link", f"{crate}.rs"], cwd=folder)
    return folder / f"{crate}.o"


@pytest.mark.parametrize("linker", LINKERS)
def test_three_generations_in_rust(linker: str, tmp_path: Path) -> None:
    """A crate is edited, then one that uses what was new in it, then the first again: counters must not start anew."""
    program = linked_host(tmp_path, {crate: rust_object(tmp_path, crate) for crate in RUST}, linker)
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        assert run_.call(0, "rust_upper", 1) == 2
        run_.load([rust_object(tmp_path, "lower", RUST_ADDED)], "1.so", "--keep-state")
        assert [run_.call(1, "rust_count", 1), run_.call(1, "rust_own", 1)] == [3, 1001]
        document = run_.load([rust_object(tmp_path, "upper", RUST_USES)], "2.so", "--keep-state")
        assert sum(d["patch"] is not None for d in document["decisions"]) >= 4  # type: ignore[attr-defined]
        assert run_.call(2, "rust_new", 1) == 102 * 1000 + 7 + 1001
        run_.load([rust_object(tmp_path, "lower", RUST_ADDED.replace("x * 7", "x * 8"))], "3.so", "--keep-state")
        assert [run_.call(3, "rust_count", 1), run_.call(3, "rust_own", 1)] == [4, 1002]
        assert run_.call(2, "rust_new", 1) == 104 * 1000 + 7 + 1002
        live.end()


@pytest.mark.parametrize("name", ["lld", "zig"])
def test_three_generations_in_macho(name: str, tmp_path: Path) -> None:
    """Earlier patches are hosts on Apple's platforms too: told by their mach_header, as dladdr gives it."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    tools = toolchain(name)
    emulator, loaded = Emulator(), dict[Path, int]()

    def compile_(file: str, source: str) -> Path:
        (tmp_path / file).write_text(source)
        run([*tools.compile, "-g", "-O1", "-c", file, "-o", f"{file}.o"], cwd=tmp_path)
        return tmp_path / f"{file}.o"

    main = "long bump(long); long count_of_b(long); int main(void) { return (int)(bump(1) + count_of_b(1)); }"
    objects = [compile_(*source) for source in (("a.c", HOST_A), ("b.c", HOST_B), ("main.c", main))]
    command = [*tools.link, "-o", "host", *(path.name for path in objects)]
    run(command, cwd=tmp_path)
    images = [emulator.load(tmp_path / "host", slide=SLIDE)]

    def load(patch: Path, output: str) -> Linked:
        previous = [PreviousPatch(path, address) for path, address in loaded.items()]
        linked = link_patch(
            StubBuilder(tmp_path / "host"),
            Capture(command, tmp_path, {}, output="host"),
            [patch],
            tmp_path / output,
            slide=SLIDE,
            keep_state=True,
            previous=previous,
            bound_dir=tmp_path / f"{output}.bound",
        )
        loaded[linked.output] = PATCH_SLIDE + len(loaded) * (1 << 32)
        images.append(emulator.load(linked.output, slide=loaded[linked.output]))
        return linked

    def call(generation: int, function: str, argument: int) -> int:
        return emulator.call(images[generation].address(function), argument).signed

    load(compile_("a.c", FIRST_A), "1.dylib")
    assert [call(1, "bump", 1), call(1, "next", 1), call(1, "add", 1)] == [1001, 1008, 101]
    linked = load(compile_("b.c", SECOND_B), "2.dylib")
    answers = {d.name for d in linked.built.resolution.decisions() if d.patch == str(tmp_path / "1.dylib")}
    assert answers == {"_added", "_add", "_bump", "_hidden", "_secret", "_limit"}
    assert call(2, "count_of_b", 2) == (101 + 2 + 2) * 10 + 3
    assert call(2, "through_b", 1) == 2001
    assert call(2, "limit_of_b", 0) == 50
    linked = load(compile_("a.c", THIRD_A), "3.dylib")
    kept = {v.name: Path(v.patch).name for v in linked.built.resolution.shared_variables if v.forwarded}
    assert kept.items() >= {"_count": "", "_hidden_count": "", "_added": "1.dylib", "_own": "1.dylib"}.items()
    assert [call(3, "next", 1), call(3, "add", 1), call(3, "bump", 0)] == [1002 + 7 + 1, 106, 2001]
    assert call(3, "three", 1) == (106 + 1 + 1) * 10 + 3
    checked = check_patch(linked.output, tmp_path / "host", slide=linked.built.resolution.slide)
    assert not checked.ok, "it calls earlier patches, which nobody named"


MEMBER = """static long state = 40; static __attribute__((noinline)) long step(long x) { return state += x; }
long foo_next(long x) { return step(x); } long foo_other(long x) { return state + x; }
long foo_pure(long x) { return x + 5; }"""


def test_a_member_of_an_archive_is_borrowed_once(tmp_path: Path) -> None:
    """Two patches that take the same member of an archive would each count in a state of their own."""
    archive = tmp_path / "libfoo.a"
    run([need("aarch64-linux-gnu-ar"), "rc", archive, edited(tmp_path, "foo.c", MEMBER, "gcc", "-ffunction-sections")])
    program = started(tmp_path, {"a.c": HOST_A, "b.c": HOST_B}, "gnu", "gcc", str(archive))
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        document = run_.load(
            [edited(tmp_path, "p.c", "long foo_next(long); long p(long x) { return foo_next(x); }")], "1.so"
        )
        assert [member["member"] for member in document["borrowed"]] == ["libfoo.a(foo.c.o)"]  # type: ignore[attr-defined]
        assert run_.call(1, "p", 1) == 41
        source = "long foo_next(long), foo_pure(long); long p(long x) { return foo_next(x) * 100 + foo_pure(0); }"
        document = run_.load([edited(tmp_path, "p.c", source)], "2.so")
        assert run_.call(2, "p", 1) == 42 * 100 + 5
        other = edited(tmp_path, "p.c", "long foo_other(long); long p(long x) { return foo_other(x); }")
        with pytest.raises(AssertionError, match="an earlier patch has foo_next, foo_pure of that member: a second"):
            run_.link([other], "3.so")
        live.end()


def test_what_came_along_calls_a_static_function_of_the_host(tmp_path: Path) -> None:
    """It has no name of the host's to call that by, and the patch was no earlier one of the process for the next."""
    member = edited(
        tmp_path, "foo.c", MEMBER.replace("return state + x", "return step(0) + x"), "gcc", "-ffunction-sections"
    )
    archive = tmp_path / "libfoo.a"
    run([need("aarch64-linux-gnu-ar"), "rc", archive, member])
    user = edited(tmp_path, "b.c", "long foo_next(long); long count_of_b(long x) { return foo_next(x); }")
    objects = {"a.c": edited(tmp_path, "a.c", HOST_A), "b.c": user, "libfoo.a": archive}
    program = linked_host(tmp_path, objects, "gnu", "-Wl,--gc-sections,-u,count_of_b")
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        assert run_.call(0, "count_of_b", 1) == 41
        source = "long foo_other(long); long p(long x) { return foo_other(x); }"
        run_.load([edited(tmp_path, "p.c", source)], "1.so")
        assert b":step#0x" in (tmp_path / "1.so").read_bytes()
        assert run_.call(1, "p", 1) == 42
        run_.load([edited(tmp_path, "p.c", source.replace("foo_other(x)", "foo_other(x) + 100"))], "2.so")
        assert run_.call(2, "p", 1) == 142
        live.end()


def test_the_state_of_a_resized_variable(tmp_path: Path) -> None:
    """Code that was compiled for the new size must not run over the end of the host's variable."""
    host = "long table[2] = {1, 2}; long use(long x) { return table[x & 1]++; }"
    first = "long table[4] = {1, 2, 3, 4}; long use(long x) { return table[x & 3]++; }"
    program = started(tmp_path, {"a.c": host, "b.c": HOST_B})
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        run_.load([edited(tmp_path, "a.c", first)], "1.so", "--keep-state")
        assert run_.call(1, "use", 3) == 4
        run_.load([edited(tmp_path, "b.c", "extern long table[4]; long b(long x) { return table[x]; }")], "2.so")
        assert run_.call(2, "b", 3) == 5
        run_.load([edited(tmp_path, "a.c", first.replace("++", "--"))], "3.so", "--keep-state")
        assert run_.call(3, "use", 3) == 5
        assert run_.call(2, "b", 3) == 4
        live.end()


def test_a_functions_newest_definition_counts(tmp_path: Path) -> None:
    """Between two earlier patches that define a function, new code means the later one, whatever order people like."""
    program = started(tmp_path, {"a.c": "long f(long x) { return x; }", "b.c": HOST_B})
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        for number in (1, 2):
            run_.load([edited(tmp_path, "a.c", f"long f(long x) {{ return x + {number}; }}")], f"{number}.so")
        run_.load([edited(tmp_path, "b.c", "long f(long); long b(long x) { return f(x) * 10; }")], "3.so")
        assert run_.call(3, "b", 1) == 30
        check = ["check", tmp_path / "3.so", "--host", program.host, "--aslr-reference", hex(live.anchor)]
        document = run_.link([edited(tmp_path, "c.c", "long f(long); long c(long x) { return f(x); }")], "4.so")
        (decision,) = document["decisions"]  # type: ignore[misc]
        assert decision["patch"] == str(tmp_path / "2.so"), "the third has a stub of it, and no function"
        words = [("--previous", f"{path}@{base:#x}") for path, base in run_.loaded.items()][:2]
        live.end()
    done = stubgen(*check, *words[0], *words[1])
    assert done.returncode == 0, done.stdout
    for fewer in ((), words[0]):
        done = stubgen(*check, *fewer)
        assert done.returncode == 1, "it calls a patch that was not named"
        assert "f branches to" in done.stdout
    assert "add --aslr-reference or --slide" in stubgen(*check[:4], *words[0]).stderr


TABLE = """long f(long), g(long); long (*const table[])(long) = {f, g}; const long sentinel[2] = {7, 8};
long through(long x) { return table[x & 1](x); } const void *place(long x) { return &sentinel[x]; }"""


def test_constants(tmp_path: Path) -> None:
    """A table that the patch has as the host does holds the host's functions no longer; a sentinel has one address."""
    functions = "long f(long x) { return x + 1; } long g(long x) { return x + 2; }"
    program = started(tmp_path, {"a.c": functions, "t.c": TABLE, "b.c": HOST_B})
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        run_.load([edited(tmp_path, "a.c", functions.replace("x +", "x + 10 *"))], "1.so")
        run_.load([edited(tmp_path, "t.c", TABLE)], "2.so")
        assert [run_.call(2, "through", 0), run_.call(2, "through", 1)] == [10, 21]
        source = "extern const long sentinel[2]; const void *b(long x) { return &sentinel[x]; }"
        run_.load([edited(tmp_path, "b.c", source)], "3.so")
        assert run_.call(3, "b", 1) == run_.call(2, "place", 1) == run_.call(0, "place", 1)
        live.end()


SENTINEL = """const long none[2] = {1, 2}; const void *held; const long *const pair[] = {none, none + 1};
long hold(long x) { held = pair[x]; return 0; } long is_held(long x) { return held == pair[x]; }"""
TROUBLE = """namespace { struct Trouble { long what; }; } long (*thrown)(long);
__attribute__((noinline)) long thrower(long x) { throw Trouble{x + 1}; } long hold(long) { thrown = thrower; return 0; }
long caught(long x) { try { return thrown(x); } catch (const Trouble &t) { return t.what; }
catch (...) { return -1; } }"""


def test_constants_of_an_earlier_patch(tmp_path: Path) -> None:
    """A sentinel that one generation stored is compared by its address in the next; a type is told by its address."""
    program = started(tmp_path, {"a.c": HOST_A, "b.cc": "long b(long x) { return x; }"}, "gnu", "gcc", "-lstdc++")
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        run_.load([edited(tmp_path, "a.c", SENTINEL)], "1.so", "--keep-state")
        assert [run_.call(1, "hold", 1), run_.call(1, "is_held", 1)] == [0, 1]
        run_.load([edited(tmp_path, "a.c", SENTINEL + "long more(void) { return 1; }")], "2.so", "--keep-state")
        assert [run_.call(2, "is_held", 1), run_.call(2, "is_held", 0)] == [1, 0]
        run_.load([edited(tmp_path, "b.cc", TROUBLE)], "3.so", "--keep-state")
        assert [run_.call(3, "_Z4holdl", 0), run_.call(3, "_Z6caughtl", 5)] == [0, 6]
        run_.load([edited(tmp_path, "b.cc", TROUBLE + "long more() { return 1; }")], "4.so", "--keep-state")
        assert run_.call(4, "_Z6caughtl", 5) == 6
        live.end()


@pytest.mark.parametrize("linker", LINKERS)
def test_a_librarys_table_of_a_replaced_function(linker: str, tmp_path: Path) -> None:
    """A library's table names what it exports; the loader's answer to that name is the function that was replaced."""
    objects = [edited(tmp_path, "t.c", TABLE), edited(tmp_path, "a.c", "long f(long x) { return x; }")]
    gcc, choice = str(need("aarch64-linux-gnu-gcc")), ["-B", linker_folder(tmp_path), f"-fuse-ld={LINKERS[linker]}"]
    run([gcc, *choice, "-shared", *objects, "-o", tmp_path / "libhost.so"])
    for overrides, forwarded in ({}, True), ({"f": 0x7000001000}, False):
        builder = StubBuilder(tmp_path / "libhost.so")
        judged = builder.judge([objects[0]], slide=0x5500000000, bind=True, overrides=overrides)
        kept = {variable.name: variable.forwarded for variable in judged.shared_variables}
        assert kept == {"table": forwarded, "sentinel": True}


class Earlier(NamedTuple):
    """A host and one earlier patch of it, of which only the files matter."""

    host: Path
    first: Path
    second: Path  # an object

    def words(self, *more: object) -> tuple[object, ...]:
        """A ``build`` of the second patch."""
        return (
            "build",
            "--host",
            self.host,
            "--slide",
            hex(0x5500000000),
            "--bound-dir",
            self.host.with_name("bound"),
            *more,
            "-o",
            self.host.with_name("stub.o"),
            self.second,
        )


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    """One that calls the host, and whose thread-local the second uses."""
    folder = tmp_path_factory.mktemp("earlier")
    program = started(folder, {"a.c": HOST_A, "b.c": HOST_B})
    source = "long bump(long); __thread long per_thread; long first(long x) { return bump(x) + per_thread; }"
    patch = edited(folder, "first.c", source, "gcc", "-ftls-model=initial-exec")
    done = stubgen(
        "link",
        "--host",
        program.host,
        "--captured",
        program.captured,
        "--slide",
        hex(0x5500000000),
        "-o",
        folder / "1.so",
        patch,
    )
    assert done.returncode == 0, done.stderr
    second = edited(
        folder, "second.c", "long first(long); extern __thread long per_thread; long b(long x) { return first(x); }"
    )
    return Earlier(program.host, folder / "1.so", second)


BASE = 0x7F12340000
WRONG_ADDRESSES = {
    "no address": ("{}", 2, "give the patch and where it is loaded, as PATCH@0x7f12340000"),
    "between pages": ("{}@0x7f12340010", 1, "its first byte cannot be at 0x7f12340010"),
    "no number": ("{}@first=here", 2, "'here' is not an address"),
    "an unknown symbol": ("{}@second=0x7f12340000", 1, "defines 0 symbols called second"),
    "another symbol's": ("{}@first=0x7f12340001", 1, "first cannot be at 0x7f12340001"),
    "a stub's": ("{}@bump=0x7f12340000", 1, "defines 0 symbols called bump"),
    "above user space": ("{}@0x1000000000000", 1, "cannot be at 0x1000000000000"),
}


@pytest.mark.parametrize(("argument", "status", "sentence"), WRONG_ADDRESSES.values(), ids=list(WRONG_ADDRESSES))
def test_a_wrong_address(earlier: Earlier, argument: str, status: int, sentence: str) -> None:
    """A wrong address sends every call of the earlier patch into nowhere."""
    done = stubgen(*earlier.words("--previous", argument.format(earlier.first)))
    assert (done.returncode, sentence in done.stderr) == (status, True), done.stderr


def test_an_anchor_in_the_patch(earlier: Earlier) -> None:
    """A runtime that has nothing but dlsym knows where a symbol is, and not where the file begins."""
    place = address_of(earlier.first, "first")
    stubs = []
    for where in (f"{BASE:#x}", f"first={BASE + place:#x}", f"first={0xB4 << 56 | BASE + place:#x}"):
        done = stubgen(
            *earlier.words("--previous", f"{earlier.first}@{where}", "--tls", "loader", "--allow-missing", "--json")
        )
        decisions = json.loads(done.stdout)["decisions"]
        stubs += [d["runtime_address"] for d in decisions if d["name"] == "first"]
    assert stubs == [BASE + place] * 3


@pytest.mark.parametrize("linker", LINKERS)
def test_thread_locals_of_an_earlier_patch_go_on(linker: str, tmp_path: Path) -> None:
    """A second copy of what the first patch added would begin anew on every thread."""
    program = started(tmp_path, {"a.c": HOST_A, "b.c": HOST_B}, linker)
    first = "__thread long per_thread = 5; long first(long x) {{ return per_thread += {} * x; }}"
    with LiveHost(program.host) as live:
        run_ = Generations(program, live, {})
        run_.load([edited(tmp_path, "first.c", first.format(1))], "1.so")
        assert run_.call(1, "first", 1) == 6
        source = "extern __thread long per_thread; long second(long x) { return per_thread += 10 * x; }"
        run_.load([edited(tmp_path, "second.c", source)], "2.so")
        assert (run_.call(2, "second", 1), run_.call(1, "first", 0)) == (16, 16)
        document = run_.load([edited(tmp_path, "first.c", first.format(2))], "3.so")
        kept = {d["name"]: d["patch"] for d in document["duplicates"] if d["forwarded"]}  # type: ignore[attr-defined]
        assert kept == {"per_thread": str(tmp_path / "1.so")}
        assert (run_.call(3, "first", 1), run_.call(2, "second", 0), run_.call(1, "first", 0)) == (18, 18, 18)
        live.end()


def test_thread_locals_of_an_earlier_patch_may_have_no_descriptor(earlier: Earlier) -> None:
    """A patch is a library: initial-exec code alone knows where its thread-locals lie, which differs every time."""
    compiled_ = edited(
        earlier.second.parent, "tls.c", "extern __thread long per_thread; long b(void) { return per_thread; }"
    )
    done = stubgen(*earlier._replace(second=compiled_).words("--previous", f"{earlier.first}@{BASE:#x}"))
    assert done.returncode == 1
    assert "per_thread: tls: it is thread-local in an earlier patch that has no TLS descriptor" in done.stderr
    assert "1.so has it" in done.stderr


def test_a_patch_of_another_process(earlier: Earlier) -> None:
    """After a restart the earlier patches are gone: the new process must not be patched to call them."""
    words = [word if word != hex(0x5500000000) else hex(0x5600000000) for word in earlier.words()]
    done = stubgen(*words[:-1], "--previous", f"{earlier.first}@{BASE:#x}", words[-1])
    assert done.returncode == 1
    assert "is no earlier patch of this process: it was linked for slide 0x5500000000" in done.stderr
    bare = earlier.first.with_name("bare.so")  # as one that was linked with build's stub object
    run([need("llvm-objcopy-19"), "--remove-section=.note.stubgen", earlier.first, bare])
    done = stubgen(*words[:-1], "--previous", f"{bare}@{BASE:#x}", words[-1])
    assert done.returncode == 1
    assert "is no earlier patch of this process: its stub of bump branches to 0x55000" in done.stderr


def test_a_session_keeps_processes_apart(earlier: Earlier) -> None:
    """A server builds for many processes, of which each has its patches elsewhere, or none."""
    session, place = Session(), address_of(earlier.first, "first")
    for base in (BASE, None, BASE + 0x10000):
        previous = [] if base is None else [PreviousPatch(earlier.first, base)]
        judged = StubBuilder(earlier.host, session=session).judge(
            [earlier.second], slide=0x5500000000, bind=True, previous=previous
        )
        decisions = {decision.name: decision for decision in judged.decisions()}
        assert decisions["first"].runtime_address == (None if base is None else base + place)
        assert decisions["first"].patch == (str(earlier.first) if base else "")


def test_a_stripped_patch(earlier: Earlier, tmp_path: Path) -> None:
    """Without its symbol table a stub looks like a function of the patch's own, and what is hidden in it is lost."""
    run([need("llvm-strip-19"), "-o", tmp_path / "stripped.so", earlier.first])
    done = stubgen(*earlier.words("--previous", f"{tmp_path / 'stripped.so'}@{BASE:#x}"))
    assert done.returncode == 3
    assert "its symbol table is stripped" in done.stderr
    done = stubgen(*earlier.words("--previous", f"{earlier.second}@{BASE:#x}"))
    assert done.returncode == 3
    assert "is of another kind (object); an earlier patch is a linked shared library" in done.stderr
