"""What dyld coalesces, and types that are compared by address: weak definitions of the patch are its own on Mach-O.

Linked by ld64.lld and by zig's linker; the emulator gives weak binds the first image's definition, as dyld does.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from live.test_bound_macho import Patched, Running
from live.test_macho import PATCH_SLIDE, SLIDE, Toolchain, objdump, symbols, toolchain
from tools import need_module, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_patch
from stubgen.link import link_patch

TOOLCHAINS = ("lld", "lld-opcodes", "zig")

WEAK = """
template <class T> struct Price {
  static int calls;
  __attribute__((noinline)) int of(T n) { ++calls; return RATE * n; }
};
template <class T> int Price<T>::calls = 0;
template struct Price<int>;
inline __attribute__((noinline)) int added(int n) { return RATE + n; }
inline int *area() { static int words[SIZE]; return words; }
inline int plain __attribute__((used)) = 3;
struct Rated { virtual int rate(); };
inline __attribute__((noinline)) int Rated::rate() { return RATE; }
int (*volatile pointer)(int);
extern "C" int checkout(int n) { Price<int> price; return price.of(n); }
extern "C" int through(int n) { pointer = added; return pointer(n); }
extern "C" int bump() { return ++plain; }
extern "C" int fill(int v) { for (int i = 0; i < SIZE; i++) area()[i] = v; return area()[0]; }
extern "C" int calls() { return Price<int>::calls; }
extern "C" int virtually() { Rated rated; Rated *volatile p = &rated; return p->rate(); }
#ifdef HOST
namespace __cxxabiv1 { struct __class_type_info { virtual void f(); }; void __class_type_info::f() {} }
int behind[64];
extern "C" int look() { int sum = 0; for (int v : behind) sum += v; return sum; }
int main() { return checkout(1) + through(1) + bump() + fill(1) + look() + virtually(); }
#endif
"""

SMALL, LARGE = ("-DRATE=2", "-DSIZE=1", "-DHOST"), ("-DRATE=1000", "-DSIZE=64")


def compile_cxx(folder: Path, tools: Toolchain, name: str, source: str, *options: str) -> Path:
    """Compile C++ *source*, in a file that is called the same each time."""
    path = folder / "unit.cc"
    path.write_text(source)
    run([*tools.compile, "-O1", "-std=c++17", "-fno-exceptions", *options, "-c", path, "-o", f"{name}.o"], cwd=folder)
    return folder / f"{name}.o"


def link_host(folder: Path, tools: Toolchain, compiled: Path) -> Capture:
    """The host, and the record of its link."""
    undefined = [] if tools.link[1:] == tools.compile[1:] else ["-undefined", "dynamic_lookup"]
    command = [*tools.link, *undefined, "-o", "host", compiled.name]
    run(command, cwd=folder)
    return Capture(command, folder, {}, output="host")


def make(
    folder: Path,
    name: str,
    host: tuple[str, tuple[str, ...]],
    *patches: tuple[str, tuple[str, ...]],
    **options: object,
) -> Patched:
    """Host and patch, each object from a source and compiler options."""
    need_module("lief", "lief")
    tools = toolchain(name)
    captured = link_host(folder, tools, compile_cxx(folder, tools, "host-object", host[0], *host[1]))
    objects = [compile_cxx(folder, tools, f"patch{at}", *(text, *flags)) for at, (text, flags) in enumerate(patches)]
    anchor = symbols(folder / "host")["_main"] + SLIDE
    builder = StubBuilder(folder / "host")
    linked = link_patch(builder, captured, objects, folder / "patch.dylib", anchor, **options)
    return Patched(folder / "host", linked, objects[0])


def start(host: Path, patch: Path) -> Running:
    """Host and patch in an emulator."""
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    emulator = Emulator()
    mapped = emulator.load(host, slide=SLIDE)
    return Running(emulator, mapped, emulator.load(patch, slide=PATCH_SLIDE))


def on_host(running: Running, name: str, *arguments: int) -> int:
    """What function *name* of the host returns."""
    return int(running.emulator.call(running.host.address(name), *arguments).signed)


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_weak_definitions_are_the_patchs(name: str, tmp_path: Path) -> None:
    """The patch got the host's old template, and a grown static of an inline function wrote over its neighbours."""
    patched = make(tmp_path, name, (WEAK, SMALL), (WEAK, LARGE))
    running = start(patched.host, patched.linked.output)
    assert on_host(running, "checkout", 2) == 4
    assert running.call("checkout", 2) == 2000
    assert (running.call("calls"), on_host(running, "calls")) == (1, 1)
    assert running.call("through", 1) == 1001
    assert running.call("virtually") == 1000
    assert (on_host(running, "bump"), running.call("bump")) == (4, 4)
    assert running.call("fill", 9) == 9
    assert on_host(running, "look") == 0
    assert "WEAK_DEFINES" not in objdump(patched.linked.output, "--private-header")
    assert "own definitions" not in {finding.check for finding in patched.linked.checked.findings}


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_weak_variables_are_kept_all_the_same(name: str, tmp_path: Path) -> None:
    """``--keep-state`` means the host's static of a template and its inline variable, and not the array that grew."""
    running_patch = make(tmp_path, name, (WEAK, SMALL), (WEAK, LARGE), keep_state=True)
    running = start(running_patch.host, running_patch.linked.output)
    assert on_host(running, "checkout", 2) == 4
    assert running.call("checkout", 2) == 2000
    assert (running.call("calls"), on_host(running, "calls")) == (2, 2)
    assert (on_host(running, "bump"), running.call("bump")) == (4, 5)
    assert running.call("fill", 9) == 9
    assert on_host(running, "look") == 0


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_two_objects_have_one_weak_definition(name: str, tmp_path: Path) -> None:
    """Two copies of a template's counter in one patch, or a duplicate symbol, were the price of cutting them off."""
    second = 'extern "C" int second() { return ++plain; }'
    cut = WEAK.partition("int (*volatile")[0]
    patched = make(tmp_path, name, (WEAK, SMALL), (WEAK, LARGE), (cut + second, LARGE))
    running = start(patched.host, patched.linked.output)
    assert (running.call("bump"), running.call("second"), running.call("bump")) == (4, 5, 6)
    assert on_host(running, "bump") == 4


@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("name", TOOLCHAINS)
def test_another_objects_weak_definition_is_the_patchs(name: str, model: str, tmp_path: Path) -> None:
    """Behind zig's linker each patch of two objects was refused of which one takes the address of the other's."""
    weak = "__attribute__((weak)) int hook(int x) { return RATE + x; } __attribute__((weak)) int level = RATE;"
    user = 'extern "C" int use(int x) { int (*volatile f)(int) = hook; return f(x) + level; } int (*kept)(int) = hook;'
    declared = "int hook(int); extern int level;"
    flags = (f"-mcmodel={model}",)
    host = (f"{weak} {user} int main() {{ return use(1) + kept(2); }}", (*flags, "-DRATE=2"))
    edited = (f"{weak} int unused;", (*flags, "-DRATE=1000"))
    patched = make(tmp_path, name, host, (declared + user, flags), edited)
    assert start(patched.host, patched.linked.output).call("use", 5) == 2005


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_a_weak_function_can_be_exported(name: str, tmp_path: Path) -> None:
    """A builder that looks a template's function up by its name must find it, and it must be the new one."""
    export = "__ZN5PriceIiE2ofEi"
    patched = make(tmp_path, name, (WEAK, SMALL), (WEAK, LARGE), exports=[export])
    assert export in run(["llvm-nm-19", "--extern-only", "--defined-only", patched.linked.output])
    assert start(patched.host, patched.linked.output).call("checkout", 2) == 2000


@pytest.mark.parametrize("name", ["lld", "lld-opcodes"])
def test_a_link_without_bound_copies_is_found_out(name: str, tmp_path: Path) -> None:
    """Such a patch runs the host's old functions: the emulator shows it, and ``check`` has to say it."""
    tools = toolchain(name)
    link_host(tmp_path, tools, compile_cxx(tmp_path, tools, "host-object", WEAK, *SMALL))
    patch = compile_cxx(tmp_path, tools, "patch", WEAK, *LARGE)
    words = [word for word in tools.link if word != "-execute"]
    run([*words, "-dylib", "-undefined", "dynamic_lookup", "-o", "patch.dylib", patch.name], cwd=tmp_path)
    running = start(tmp_path / "host", tmp_path / "patch.dylib")
    assert running.call("checkout", 2) == 4, "the emulator does not coalesce"
    checked = check_patch(tmp_path / "patch.dylib", tmp_path / "host")
    taken = {name for finding in checked.findings if finding.check == "own definitions" for name in finding.names}
    assert not checked.ok
    assert {"__ZN5PriceIiE2ofEi", "__Z5addedi", "_plain", "__ZZ4areavE5words"} <= taken


TYPES = """
namespace std { struct type_info { virtual ~type_info(); const char *__name; }; }
struct Shape { virtual int corners(); };
namespace { struct Secret : Shape { int corners() override { return CORNERS + 1; } }; }
int Shape::corners() { return CORNERS; }
extern "C" Shape *host_shape(); extern "C" Shape *host_secret();
extern "C" int corners_of(Shape *shape);
#ifdef HOST
namespace __cxxabiv1 {
struct __class_type_info { virtual void f(); }; void __class_type_info::f() {}
struct __si_class_type_info { virtual void f(); }; void __si_class_type_info::f() {}
}
std::type_info::~type_info() {}
void operator delete(void *, unsigned long) noexcept {}
static Shape shape; static Secret secret;
Shape *host_shape() { return &shape; }
Shape *host_secret() { return &secret; }
__attribute__((noinline)) int corners_of(Shape *shape) { return shape->corners(); }
extern "C" void __cxa_bad_typeid() {}
int main() { return corners_of(host_shape()) + corners_of(host_secret()); }
#else
extern "C" int same() { return typeid(*host_shape()).__name == typeid(Shape).__name; }
extern "C" int same_secret() { return typeid(*host_secret()).__name == typeid(Secret).__name; }
extern "C" int theirs() { return host_shape()->corners(); }
extern "C" int own() { Shape shape; return corners_of(&shape); }
#endif
"""


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_types_are_compared_by_address(name: str, tmp_path: Path) -> None:
    """Apple's libc++ compares names by address: the patch's catch and dynamic_cast missed the host's objects."""
    options = ("-g", "-O1")
    patched = make(tmp_path, name, (TYPES, ("-DHOST", "-DCORNERS=4", *options)), (TYPES, ("-DCORNERS=40", *options)))
    running = start(patched.host, patched.linked.output)
    assert (running.call("same"), running.call("same_secret")) == (1, 1)
    assert (running.call("theirs"), running.call("own")) == (4, 40)


SHARED = """
inline int total = 5;
template <class T> struct Seen { static int count; };
template <class T> int Seen<T>::count = 3;
inline __attribute__((noinline)) int twice(int x) { return FACTOR * x; }
extern "C" int look() { return total + 100 * Seen<int>::count + 10000 * twice(2); }
int (*volatile pointer)(int) = twice;
#ifdef HOST
int main() { return look(); }
#endif
"""
SHARED_PATCH = """
extern int total; template <class T> struct Seen { static int count; }; extern template int Seen<int>::count;
int twice(int x);
extern "C" int go() { total++; Seen<int>::count++; return total + 100 * Seen<int>::count + 10000 * twice(2); }
extern "C" long address() { return (long)twice; }
"""


@pytest.mark.parametrize("name", ["lld", "lld-opcodes"])
def test_what_dyld_gave_a_dylib_is_meant(name: str, tmp_path: Path) -> None:
    """The program has the dylib's inline variables too, and comes first: the patch counted in the dylib's dead ones."""
    tools = toolchain(name)
    link_host(tmp_path, tools, compile_cxx(tmp_path, tools, "main", SHARED, "-DHOST", "-DFACTOR=3"))
    engine = compile_cxx(tmp_path, tools, "engine", SHARED, "-DFACTOR=2")
    words = [word for word in tools.link if word != "-execute"]
    command = [*words, "-dylib", "-undefined", "dynamic_lookup", "-o", "engine.dylib", engine.name]
    run(command, cwd=tmp_path)
    captured = Capture(command, tmp_path, {}, output="engine.dylib")
    patch = compile_cxx(tmp_path, tools, "patch", SHARED_PATCH)
    anchor = symbols(tmp_path / "engine.dylib")["_look"] + 2 * SLIDE
    builder = StubBuilder(tmp_path / "engine.dylib")
    linked = link_patch(builder, captured, [patch], tmp_path / "patch.dylib", anchor, anchor="_look")
    need_module("unicorn", "unicorn")
    from examples.demo.emulator import Emulator

    emulator = Emulator()
    program = emulator.load(tmp_path / "host", slide=SLIDE)
    host = emulator.load(tmp_path / "engine.dylib", slide=2 * SLIDE)
    running = Running(emulator, host, emulator.load(linked.output, slide=PATCH_SLIDE))
    assert on_host(running, "look") == 5 + 300 + 60000, "the emulator does not coalesce"
    assert running.call("go") == 6 + 400 + 60000
    assert on_host(running, "look") == 6 + 400 + 60000
    # the next patch knows this one's stubs for this process's
    previous = [(tmp_path / "patch.dylib", PATCH_SLIDE)]
    builder.judge([patch], slide=2 * SLIDE, bind=True, previous=previous)
    if name == "lld":  # the dylib's GOT has it
        assert emulator.call(running.patch.address("address")).result == program.address("_Z5twicei")
