"""Static functions of a host that LLVM compiled: which of them still take the arguments of their source."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from counting import count_calls
from synthetic import put
from tools import linker_folder, need, run, rustc

from stubgen.borrow.homes import LinkFiles
from stubgen.build import StubBuilder
from stubgen.resolve.convention import DROPPED, UNKNOWN, UNKNOWN_WITHOUT_DSYM
from stubgen.resolve.verdicts import Decision

HOST = """
struct pair { int a, b; };
__attribute__((noinline)) static int dropped(const int *p, int scale) { return *p * scale; }
__attribute__((noinline)) static int result(int *o, int x) { *o = x; return x * 7; }
__attribute__((noinline)) static int promoted(const struct pair *p) { return p->a + p->b; }
__attribute__((noinline)) static int plain(int x, int y) { return x * y + 3; }
__attribute__((noinline)) static int none(void) { static int n; return ++n; }
__attribute__((noinline, visibility("hidden"))) int hidden(const int *p, int scale) { return *p * scale; }
int main(int count, char **words) {
  struct pair p = {count, **words};
  int v = count, o;
  __asm__("" : "+m"(v));
  result(&o, count);
  return dropped(&v, 10) + hidden(&v, 10) + promoted(&p) + plain(count, v) + none() + o;
}
"""

PATCH = """
int dropped(const int *, int), result(int *, int), promoted(const void *), plain(int, int), none(void);
int hidden(const int *, int);
int patch(int *p) { return dropped(p, 1) + result(p, 2) + promoted(p) + plain(1, 2) + none() + hidden(p, 4); }
"""

STATIC = ("dropped", "result", "promoted", "plain", "none")
CLANG = ("clang-19", "--target=aarch64-linux-gnu")
GCC = ("aarch64-linux-gnu-gcc",)


class Case(NamedTuple):
    """How the host is made, and what is refused then."""

    compiler: tuple[str, ...]
    options: tuple[str, ...]
    linker: str
    dropped: frozenset[str]  # what its debug information says
    unknown: frozenset[str]  # nobody can tell


def case(compiler: tuple[str, ...], options: str, linker: str, dropped: str = "", unknown: str = "") -> Case:
    """The same of words."""
    return Case(compiler, tuple(options.split()), linker, frozenset(dropped.split()), frozenset(unknown.split()))


CASES = {
    "clang -O0 -g": case(CLANG, "-O0 -g", "bfd"),
    "clang -O0 -g4": case(CLANG, "-O0 -gdwarf-4", "lld"),
    "clang -O0": case(CLANG, "-O0", "bfd", unknown=" ".join(STATIC)),
    "clang -O0 -g1": case(CLANG, "-O0 -g1", "bfd", unknown=" ".join(STATIC)),
    "clang -O3 -g": case(CLANG, "-O3 -g", "bfd", dropped="dropped result", unknown="promoted plain"),
    "clang -O3 -g4": case(CLANG, "-O3 -gdwarf-4", "lld", dropped="dropped result", unknown="promoted plain"),
    "clang -O3": case(CLANG, "-O3", "lld", unknown=" ".join(STATIC)),
    "clang, mold": case(CLANG, "-O3", "mold"),
    "clang -g, mold": case(CLANG, "-O3 -g", "mold", dropped="dropped result"),
    "gcc -g": case(GCC, "-O1 -fno-ipa-cp -fno-ipa-sra -g", "bfd"),
    "gcc": case(GCC, "-O1 -fno-ipa-cp -fno-ipa-sra", "lld"),
}


def compiled(folder: Path, compiler: tuple[str, ...], name: str, text: str, *options: str) -> Path:
    """The object of *text*."""
    (folder / f"{name}.c").write_text(text)
    run(
        [
            str(need(compiler[0])),
            *compiler[1:],
            "-fPIC",
            *options,
            "-c",
            folder / f"{name}.c",
            "-o",
            folder / f"{name}.o",
        ]
    )
    return folder / f"{name}.o"


def linked(folder: Path, linker: str, *objects: Path | str) -> Path:
    """The program of *objects*."""
    driver = [str(need("aarch64-linux-gnu-gcc")), "-B", str(linker_folder(folder / "linkers")), f"-fuse-ld={linker}"]
    run([*driver, "-pie", *objects, "-o", folder / "host"])
    return folder / "host"


def refused(decisions: list[Decision]) -> dict[str, str]:
    """What gets no trampoline -> why."""
    return {d.name: d.reason.partition(" (the host has")[0] for d in decisions if d.verdict.value != "trampoline"}


@pytest.mark.parametrize("bind", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_static_functions_of_hosts_that_llvm_compiled(name: str, bind: bool, tmp_path: Path) -> None:
    """A function that lost its second argument takes the first for it, or garbage: wrong numbers, and no message."""
    made = CASES[name]
    host = linked(tmp_path, made.linker, compiled(tmp_path, made.compiler, "host", HOST, *made.options))
    patch = compiled(tmp_path, GCC, "patch", PATCH, "-O1")
    builder = StubBuilder(host)
    expected = dict.fromkeys(made.dropped, DROPPED) | dict.fromkeys(made.unknown, UNKNOWN)
    assert refused(list(builder.judge([patch], slide=0x5500000000, bind=bind).decisions())) == expected
    allowed = builder.judge([patch], slide=0x5500000000, bind=bind, allow_static=True)
    assert refused(list(allowed.decisions())) == dict.fromkeys(made.dropped, DROPPED)


@pytest.mark.parametrize("seen", [True, False], ids=["the objects are there", "one is gone"])
@pytest.mark.parametrize("linker", ["mold", "lld"])
def test_where_the_linker_makes_globals_local_the_objects_tell_what_is_static(
    tmp_path: Path, linker: str, *, seen: bool
) -> None:
    """A static function looked like a global one, and got the arguments that it had lost: wrong numbers."""
    visible = HOST.replace("__attribute__((noinline)) static int plain", "__attribute__((noinline)) int plain")
    host_object = compiled(tmp_path, CLANG, "host", visible, "-O3")
    script = put(tmp_path, "script", b"{ local: *; };")
    options = () if linker == "mold" else (f"-Wl,--version-script={script},--export-dynamic",)
    host = linked(tmp_path, linker, host_object, *options)
    patch = compiled(tmp_path, GCC, "patch", PATCH, "-O1")
    files = LinkFiles(objects=(str(host_object),), gone=() if seen else ("other.o",))
    builder = StubBuilder(host)
    judged = builder.judge([patch], slide=0x5500000000, bind=True, link=lambda: files)
    static = set(STATIC) - {"plain"}
    assert refused(list(judged.decisions())) == (dict.fromkeys(static, UNKNOWN) if seen else {})
    allowed = builder.judge([patch], slide=0x5500000000, bind=True, allow_static=True, link=lambda: files)
    assert not refused(list(allowed.decisions()))
    again = compiled(tmp_path, GCC, "host", PATCH, "-O1")  # what was global there may be so no longer
    judged = builder.judge([again], slide=0x5500000000, bind=True, link=lambda: files)
    assert not refused(list(judged.decisions()))


@pytest.mark.parametrize("bind", [False, True])
@pytest.mark.parametrize("options", ["-O3", "-O3 -g", "-O0 -g"])
def test_macho_hosts(tmp_path: Path, options: str, *, bind: bool) -> None:
    """Nothing in the linked file says who compiled it: arguments that LLVM had dropped were passed all the same."""
    apple = ("clang-19", "--target=arm64-apple-macos13")
    host_object = compiled(tmp_path, apple, "host", HOST, *options.split())
    linking = [need("ld64.lld-19"), "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0"]
    run([*linking, host_object, "-o", tmp_path / "host"])
    patch = compiled(tmp_path, apple, "patch", PATCH, "-O1")
    if "-g" in options:
        run([need("dsymutil-19"), "host", "-o", "apart.dSYM"], cwd=tmp_path)
        host_object.unlink()
    builder = StubBuilder(tmp_path / "host")
    reasons = refused(list(builder.judge([patch], slide=0x4000, bind=bind).decisions()))
    why = f"{host_object} is gone" if "-g" in options else "the host names no object that it was linked from"
    assert reasons == {f"_{name}": f"{UNKNOWN_WITHOUT_DSYM}; {why}" for name in STATIC}
    allowed = builder.judge([patch], slide=0x4000, bind=bind, allow_static=True)
    assert not refused(list(allowed.decisions()))
    if "-g" in options:
        builder = StubBuilder(tmp_path / "host", symbols=tmp_path / "apart.dSYM")
        told = refused(list(builder.judge([patch], slide=0x4000, bind=bind).decisions()))
        dropped = {"_dropped": DROPPED, "_result": DROPPED, "_promoted": UNKNOWN, "_plain": UNKNOWN}
        assert told == (dropped if options == "-O3 -g" else {})


RUST = """
#[inline(never)] fn local(x: &u32, scale: u32) -> u32 { std::hint::black_box(*x) * scale }
fn main() { let x = std::env::args().count() as u32; println!("{}", local(&x, 10)); }
"""


@pytest.mark.parametrize(("options", "kept"), [("", False), ("-g", True), ("-g -C opt-level=3", False)])
def test_rust(options: str, kept: bool, tmp_path: Path) -> None:
    """A development build is what people patch: its private functions can be called, because it says that they can."""
    (tmp_path / "host.rs").write_text(RUST)
    driver = str(need("aarch64-linux-gnu-gcc"))
    host = tmp_path / "host"
    command = [*rustc(), *options.split(), "-C", f"linker={driver}", "-C", "codegen-units=1", tmp_path / "host.rs"]
    run([*command, "-o", host])
    shown = run([need("llvm-nm-19"), host]).splitlines()
    (name,) = [words.split()[2] for words in shown if words.split()[1:2] == ["t"] and "5local" in words]
    patch = compiled(
        tmp_path, GCC, "patch", f"int {name}(unsigned *, unsigned); int p(void) {{ return {name}(0, 1); }}"
    )
    reasons = refused(list(StubBuilder(host).judge([patch], slide=0x5500000000, bind=True).decisions()))
    assert (name not in reasons) == kept, reasons


def test_work_grows_with_the_functions_alone(tmp_path: Path) -> None:
    """A development build in Rust, linked by mold, took minutes: its unit was read again for each function."""

    def calls(count: int) -> int:
        numbers = range(count)
        statics = "".join(f"__attribute__((used)) static int f{n}(int x) {{ return x + {n}; }}\n" for n in numbers)
        uses = "".join(f"int f{n}(int); int p{n}(void) {{ return f{n}(1); }}\n" for n in numbers)
        host = linked(tmp_path, "mold", compiled(tmp_path, CLANG, "host", statics + "int main(void) {return 0;}", "-g"))
        patch = compiled(tmp_path, GCC, "patch", uses, "-O1")
        return count_calls(lambda: StubBuilder(host).judge([patch], slide=0x5500000000, bind=True))

    few, many = calls(40), calls(160)
    assert many < 6 * few
