"""Statics of C functions, which GCC numbers anew in each build: the functions that use them tell which is which."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolve.test_same_file import LINKERS, Workshop
from tools import need, run

from stubgen.resolve.statics import base_of
from stubgen.symbols.numbering import NUMBERED

HOST = """
int f(int x) { static int count = 5; count += x; return count; }
int g(int x) { static int count = 100; count += x; return count; }
int enter(void) { return f(1) + g(1); }
"""
MORE_IN_FRONT = """
int f(int x) { static int more = 3; static int count = 5; more++; count += 2 * x; return count + more; }
int g(int x) { static int other; static int count = 100; count += 3 * x; return count + ++other; }
"""
TURNED = """
int g(int x) { static int count = 100; count += 3 * x; return count; }
int f(int x) { static int count = 5; count += 2 * x; return count; }
"""
ONE_ALONE = "int g(int x) { static int count = 100; count += 3 * x; return count; }"

TOLD = {
    "the same": (HOST, HOST, {5: 5, 100: 100}),
    "more in front": (HOST, MORE_IN_FRONT, {5: 5, 100: 100, 3: None, 0: None}),
    "in another order": (HOST, TURNED, {5: 5, 100: 100}),
    "one of them": (HOST, ONE_ALONE, {100: 100}),
    "a function has two": (
        HOST,
        "int f(int x) { static int count = 5; if (x) { static int count = 6; return ++count; } return ++count; }",
        {5: None, 6: None},
    ),
    "the host's function had two": (
        "int f(int x) { static int count = 5; if (x) { static int count = 6; return ++count; } return ++count; }"
        "int enter(void) { return f(1); }",
        "int f(int x) { static int count = 5; return count += x; }",
        {5: None},
    ),
    "a new function has one": (HOST, TURNED + "int k(void) { static int count = 9; return ++count; }", None),
    "inlined in the host": (
        "static inline __attribute__((always_inline)) int h(void) { static int count = 7; return ++count; }"
        "int f(int x) { return h() + x; } int enter(void) { return f(1); }",
        "static __attribute__((noinline)) int h(void) { static int count = 7; return ++count; }"
        "int f(int x) { static int count = 8; count += x; return count; } int k(void); int k(void) { return h(); }",
        {7: None, 8: None},
    ),
    "it was a file's own": (
        "static int count = 5; int f(int x) { return count += x; } int enter(void) { return f(1); }",
        "int f(int x) { static int count = 5; return count += x; }",
        {5: None},
    ),
}
"""What was edited -> host, patch, initial value of each of the patch's -> that of the host's which it is, if told."""


def values(shop: Workshop, program: Path, patch: Path) -> dict[int, int | None]:
    """Initial value of each static of the patch -> of the host's that it is, None if it is nobody's."""
    from stubgen.build import StubBuilder

    builder = StubBuilder(program)
    judged = builder.judge([patch], slide=0x10000, bind=True, keep_state=True)
    found: dict[int, int | None] = {}
    image = judged.needed.images[0]
    symbols, file = image.file.symbols, image.file  # type: ignore[attr-defined]  # an ELF image
    for variable in judged.needed.variables:
        index = next(i for i in range(len(symbols)) if symbols.name(i) == variable.name)
        raw = file.content(file.sections[symbols.st_shndx[index]])
        target = (judged.bound_targets or {}).get(variable.name)
        there = None
        if target is not None:
            there = int.from_bytes(builder.host.image.read_at(target.value - 0x10000, 4, "a variable"), "little")
        found[int.from_bytes(raw[:4], "little")] = there
    return found


@pytest.mark.parametrize("case", TOLD)
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2"])
def test_which_static_is_which(tmp_path: Path, case: str, level: str) -> None:
    """A function's counter restarted with every save; by its number alone it would go on with another one's value."""
    host, patch, expected = TOLD[case]
    shop = Workshop(tmp_path)
    program = shop.link(shop.compile("a.c", host, level))
    found = values(shop, program, shop.compile("a.c", patch, level))
    if expected is None:
        assert not any(found.values())
    else:
        assert found == expected


ADDRESSES = """
int *f(int x) { static int count = 5; return &count + x; }
int *g(int x) { static int count = 100; return &count + x; }
int enter(void) { return *f(0) + *g(0); }
"""
DESCRIBED = {
    **{case: TOLD[case] for case in ("the same", "in another order", "one of them", "it was a file's own")},
    **{case: TOLD[case] for case in ("a function has two", "the host's function had two")},
    "a new function has one": (*TOLD["a new function has one"][:2], {5: 5, 100: 100, 9: None}),
    "inlined in the host": (*TOLD["inlined in the host"][:2], {7: 7, 8: None}),
    "its address alone": (
        ADDRESSES,
        "int *k(void) { static int count = 3; return &count; }\n" + ADDRESSES.replace("count + x", "count + 2 * x"),
        {5: 5, 100: 100, 3: None},
    ),
    "a local variable of that name as well": (
        ADDRESSES,
        ADDRESSES.replace(
            "{ static int count = 5;", "{ if (x) { volatile int count = x; x = count; } static int count = 5;"
        ),
        {5: None, 100: 100},
    ),
    "within a block": (
        ADDRESSES,
        ADDRESSES.replace("{ static int count = 5;", "{ if (x) { static int count = 5; return &count; }").replace(
            "&count + x; }", "0; }", 1
        ),
        {5: 5, 100: 100},
    ),
    "of another function": (ADDRESSES, ADDRESSES.replace("*f(", "*h("), {5: None, 100: 100}),
}
"""The same, where debug information describes both."""


@pytest.mark.parametrize("case", DESCRIBED)
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2"])
def test_debug_information_says_which_static_is_which(tmp_path: Path, case: str, level: str) -> None:
    """A lock that a function hands out was another one in the patch: two threads were in what it guards."""
    host, patch, expected = DESCRIBED[case]
    assert expected is not None
    shop = Workshop(tmp_path)
    program = shop.link(shop.compile("a.c", host, level, "-g"))
    assert values(shop, program, shop.compile("a.c", patch, level, "-g")) == expected


@pytest.mark.parametrize("linker", LINKERS)
def test_files_of_one_name_with_debug_information(tmp_path: Path, linker: str) -> None:
    """Each has a function ``f`` with a ``count``."""
    shop = Workshop(tmp_path, linker=linker)
    text = (
        "static __attribute__((noinline)) int *f(void) {{ static int count = {}; return &count; }}"
        "int {}(void) {{ return *f(); }}"
    )
    objects = [
        shop.compile(f"{folder}/a.c", text.format(count, name), "-g")
        for folder, count, name in (("one", 5, "enter"), ("two", 50, "second"), ("three", 500, "third"))
    ]
    program = shop.link(*objects)
    assert values(shop, program, shop.compile("two/a.c", text.format(50, "second") + "int more;", "-g")) == {
        50: 50,
        0: None,
    }


@pytest.mark.parametrize("options", ["", "-DTWO"], ids=["once", "twice"])
def test_a_source_that_was_compiled_twice(tmp_path: Path, options: str) -> None:
    """Which of the two the patch's is nobody says."""
    shop = Workshop(tmp_path)
    text = (
        "#ifdef TWO\n#define enter second\n#endif\n"
        "static int *f(void) { static int count = 5; return &count; } int enter(void) { return *f(); }"
    )
    objects = [shop.compile("a.c", text, "-g", *word.split(), output=f"a{word}.o") for word in {"", options}]
    program = shop.link(*objects)
    assert values(shop, program, shop.compile("a.c", text, "-g")) == {5: None if options else 5}


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("anchors", ["-fsection-anchors", "-fno-section-anchors"])
def test_whichever_way_the_host_reaches_them(tmp_path: Path, linker: str, anchors: str) -> None:
    """One anchor serves several variables: what lies at it is not what is used."""
    shop = Workshop(tmp_path, linker=linker)
    program = shop.link(shop.compile("a.c", HOST, "-O2", "-fno-data-sections", anchors))
    assert values(shop, program, shop.compile("a.c", MORE_IN_FRONT)) == {5: 5, 100: 100, 3: None, 0: None}


def test_another_files_statics(tmp_path: Path) -> None:
    """A function of that name may be another file's static one, with a counter of its own."""
    shop = Workshop(tmp_path)
    hidden = "static __attribute__((noinline)) int f(int x) {{ static int count = {}; return count += x; }}"
    others = shop.compile("b.c", hidden.format(50) + "int get(void) { return f(2); }")
    program = shop.link(shop.compile("a.c", hidden.format(5) + "int enter(void) { return f(1); }"), others)
    patch = shop.compile("a.c", hidden.format(5) + "int enter(void) { return f(3); }")
    assert values(shop, program, patch) == {5: 5}


NAMES = {b"count.0": b"count", b"count.12": b"count", b"f.n": b"", b"f.n.1": b"", b"count": b"", b"_ZZ1fvE1n_0": b""}


PARTS = """
static unsigned long table[3] = {{700, 800, 900}};
__attribute__((noinline)) unsigned long step(unsigned long n) {{
  table[{0}] += n;
  return table[{0}] * 100 + table[{1}];
}}
int enter(void) {{ return step(1); }}
"""


@pytest.mark.parametrize("options", [("-g",), (), ("-Qn",)], ids=["debug information", "none", "no compiler named"])
def test_parts_that_clang_makes_of_an_array(tmp_path: Path, options: tuple[str, ...]) -> None:
    """``table.1`` is ``table[2]`` in the host and ``table[1]`` in the patch: each went on with the other's value."""
    shop = Workshop(tmp_path, "clang")
    program = shop.link(shop.compile("a.c", PARTS.format(2, 1), "-O2", *options))
    patch = shop.compile("a.c", PARTS.format(1, 0), "-O2", *options)
    for file in (program, patch):
        assert " table.1\n" in run([need("llvm-nm-19"), file])
    (row,) = shop.judge(program, patch).values()
    assert (row.name, row.forwarded, row.reason_not_kept) == ("table.1", False, NUMBERED)


def test_what_gcc_numbers() -> None:
    """Clang's have their function's name in front, and C++ its mangling."""
    assert {name: base_of(name) for name in NAMES} == NAMES
