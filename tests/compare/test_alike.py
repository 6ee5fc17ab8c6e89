"""Whether two objects define a weak default alike: then nobody needs to know whose counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import need, run

from stubgen.compare.alike import are_alike, refuse_untold_defaults
from stubgen.errors import SymbolRefusal
from stubgen.image.opening import open_image
from stubgen.resolve.needed import needed_of

WEAK = "__attribute__((weak)) "
COMPILERS = {
    "gcc": ["aarch64-linux-gnu-gcc", "-fPIC"],
    "gcc, one section": ["aarch64-linux-gnu-gcc", "-fPIC", "-O0"],
    "clang": ["clang-19", "--target=aarch64-linux-gnu", "-fPIC", "-ffunction-sections"],
    "macho": ["clang-19", "--target=arm64-apple-macos13"],
}
CASES = {
    "the same": (f"{WEAK}int f(int x) {{ return x + 1; }}", f"int g; {WEAK}int f(int x) {{ return x + 1; }}", True),
    "another number": (f"{WEAK}int f(int x) {{ return x + 1; }}", f"{WEAK}int f(int x) {{ return x + 2; }}", False),
    "another size": (f"{WEAK}int f(int x) {{ return x; }}", f"{WEAK}int f(int x) {{ return x * x * x + 9; }}", False),
    "the same calls": (
        f'int puts(const char *); {WEAK}int f(int x) {{ return puts("one") + x; }}',
        f'int puts(const char *); int g(void) {{ return puts("zero"); }} '
        f'{WEAK}int f(int x) {{ return puts("one") + x; }}',
        True,
    ),
    "another string": (
        f'int puts(const char *); {WEAK}int f(int x) {{ return puts("one") + x; }}',
        f'int puts(const char *); {WEAK}int f(int x) {{ return puts("two") + x; }}',
        False,
    ),
    "another function": (
        f"int a(int); {WEAK}int f(int x) {{ return a(x) + 1; }}",
        f"int b(int); {WEAK}int f(int x) {{ return b(x) + 1; }}",
        False,
    ),
    "a static function of each": (
        f"__attribute__((noinline)) static int g(int x) {{ return x * 3; }} {WEAK}int f(int x) {{ return g(x) + 1; }}",
        f"__attribute__((noinline)) static int g(int x) {{ return x * 5; }} {WEAK}int f(int x) {{ return g(x) + 1; }}",
        False,
    ),
    "a static variable of each": (
        f"static int n; int g(void) {{ return n++; }} {WEAK}int f(int x) {{ return x + n++; }}",
        f"static int n; int g(void) {{ return n++; }} {WEAK}int f(int x) {{ return x + n++; }}",
        False,
    ),
    "variables": (f"{WEAK}int f = 3;", f"{WEAK}int f = 3;", True),
    "other variables": (f"{WEAK}int f = 3;", f"{WEAK}int f = 4;", False),
    "pointers": (f"int a(int); {WEAK}int (*f)(int) = a;", f"int b(int); {WEAK}int (*f)(int) = b;", False),
}


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("case", CASES)
def test_what_two_objects_define_by_a_name(tmp_path: Path, compiler: str, case: str) -> None:
    """A wrong yes takes one definition for another, silently; a wrong no refuses a header's function."""
    *texts, alike = CASES[case]
    images = []
    for name, text in zip(("one", "two"), texts, strict=True):
        (tmp_path / f"{name}.c").write_text(text)
        words = COMPILERS[compiler]
        run([need(words[0]), "-O1", *words[1:], "-c", f"{name}.c"], cwd=tmp_path)
        images.append(open_image((tmp_path / f"{name}.o").read_bytes(), f"{name}.o"))
    name = b"_f" if compiler == "macho" else b"f"
    assert are_alike(images, name) is alike
    needed = needed_of(images)._replace(untold={name: [0, 1]})
    if alike:
        refuse_untold_defaults(needed)
    else:
        with pytest.raises(SymbolRefusal, match=r"f: one.o and two.o define it, each otherwise; .* with -g"):
            refuse_untold_defaults(needed)
    assert not are_alike(images, b"nowhere")
