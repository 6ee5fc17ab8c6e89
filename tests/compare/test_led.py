"""Which functions of a patch never run: the table leads elsewhere, and nothing that runs leads to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from compare.test_near_calls import COMPILERS
from origin.bench import SLIDE, tools
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.compare.led import never_led_to
from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.jumptable import TableOptions
from stubgen.link import Linked, link_patch

OTHERS = "long (*slot)(long); int main(void) { long step(long); return (int)step(1); }"
ASKING = """
extern long (*slot)(long);
static long on_click(long n) { return n; }
__attribute__((noinline)) long ask(long by) { if (!slot) slot = on_click; return slot == on_click ? by : -1; }
"""
"""``ask`` compares, and no edit changes it."""


class Way(NamedTuple):
    """How the edited ``step`` may have ``ask`` run."""

    text: str
    told: bool = True
    exports: tuple[str, ...] = ()


WAYS = {
    "none": Way("long step(long n) { return n * EDIT; }", told=False),
    "one that never runs calls it": Way(
        "__attribute__((noinline)) long idle(long n) { return ask(n) + 1; } long step(long n) { return n * EDIT; }",
        told=False,
    ),
    "it is called": Way("long step(long n) { return ask(n) * EDIT; }"),
    "what it calls calls it": Way(
        "static __attribute__((noinline)) long via(long n) { return ask(n) + 1; }"
        "long step(long n) { return via(n) * EDIT; }"
    ),
    "its address is taken": Way(
        "long (*volatile kept)(long); long step(long n) { kept = ask; return kept(n) * EDIT; }"
    ),
    "a table has it": Way(
        "long (*const table[])(long) = {on_click, ask}; long step(long n) { return table[n & 1](n) * EDIT; }"
    ),
    "a constructor calls it": Way(
        "static __attribute__((constructor)) void begin(void) { ask(1); } long step(long n) { return n * EDIT; }"
    ),
    "it is exported": Way("long step(long n) { return n * EDIT; }", exports=("ask",)),
}


def compiled(name: str, folder: Path, source: str, output: str, *more: str) -> Path:
    """The object *output* of C *source*."""
    (program, *options), _ = COMPILERS[name]
    (folder / "a.c").write_text(source)
    run([str(need(program)), *options, "-O2", "-fPIC", *more, "-c", "a.c", "-o", output], cwd=folder)
    return folder / output


def patched(name: str, folder: Path, way: Way, *, everything: bool = False) -> Linked:
    """A patch of the file in which ``step`` was edited."""
    return linked_again(name, folder, OTHERS, ASKING + way.text, everything=everything, exports=way.exports)


def linked_again(
    name: str,
    folder: Path,
    others: str,
    text: str,
    *,
    everything: bool = False,
    exports: tuple[str, ...] = (),
    options: Sequence[str] = (),
) -> Linked:
    """A patch of the file *text*, in which ``EDIT`` is another number than in the program; *others* is the rest.

    *options* are the program's link's.
    """
    kit = tools(COMPILERS[name][1], folder)
    compiled(name, folder, others, "others.o")
    compiled(name, folder, text, "host.o", "-DEDIT=2")
    patch = compiled(name, folder, text, "patch.o", "-DEDIT=3")
    command = [
        *kit.executable,
        *(["-rdynamic"] if COMPILERS[name][1] == "gnu" else []),
        *options,
        "others.o",
        "host.o",
        "-o",
        "host",
    ]
    run(command, cwd=folder)
    builder = StubBuilder(folder / "host", cache=False)
    main = b"_main" if builder.host.image.format == "macho" else b"main"
    anchor = builder.host.find({main})[main][0].address + SLIDE
    captured = Capture(command, folder, {}, output="host")
    wanted = TableOptions(everything=everything)
    return link_patch(builder, captured, [patch], folder / "p.out", anchor, jump_table=wanted, exports=exports)


@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("way", WAYS)
def test_what_never_runs_compares_nothing(way: str, name: str, tmp_path: Path) -> None:
    """A note on each edit of a file in which something else compares addresses hides the one that is meant."""
    linked = patched(name, tmp_path, WAYS[way])
    assert [each.lstrip("_") for each in linked.compared] == (["on_click"] if WAYS[way].told else [])


@pytest.mark.parametrize("name", COMPILERS)
def test_where_all_functions_are_led_to_all_count(name: str, tmp_path: Path) -> None:
    """``--all`` leads to those that did not change, too."""
    assert patched(name, tmp_path, WAYS["none"], everything=True).compared


REGISTERING = """
void subscribe(long (*)(long)); long step(long); long other(long);
static long on_click(long n) { return n; }
int main(void) { subscribe(on_click); HERE return (int)step(1); }
__attribute__((noinline)) long step(long n) { return n * EDIT; }
MORE
"""
BUS = """
static long (*all[4])(long); static int count; int main(void); const void *volatile anchor;
void subscribe(long (*f)(long)) { for (int i = 0; i < count; i++) if (all[i] == f) return; all[count++] = f; }
THERE
"""
MAINS = {  # in main, behind it, in the other file -> whether main may run again
    "start-up code calls it": ("", "", "", False),
    "it reports its address": ("extern const void *volatile anchor; anchor = (void *)main;", "", "", False),
    "it calls itself": ("static volatile int depth; if (depth++ < 3) step(main());", "", "", True),
    "another function calls it": ("", "", "long other(long n) { return main() + n; }", True),
    "another function has its address": ("", "", "long other(long n) { anchor = (void *)main; return n; }", True),
    "a table has it": ("", "int (*const mains[])(void) = {main};", "", True),
}


@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("way", MAINS)
def test_main_runs_once(way: str, name: str, tmp_path: Path) -> None:
    """It registers what the program calls back, and calls what was edited: each such patch had the note."""
    here, more, there, told = MAINS[way]
    linked = linked_again(
        name, tmp_path, BUS.replace("THERE", there), REGISTERING.replace("HERE", here).replace("MORE", more)
    )
    assert linked.jump_table is not None
    assert "main" in {entry.name.lstrip("_") for entry in linked.jump_table.entries}
    assert [each.lstrip("_") for each in linked.compared] == (["on_click"] if told else [])


WRAPPING = "int __real_main(void); int __wrap_main(void) { return __real_main() + __real_main(); }"


def test_main_that_another_one_stands_for_runs_again(tmp_path: Path) -> None:
    """Start-up code has a label ``__wrap_main``; what ``--wrap=main`` begins the program with is called so, too."""
    linked = linked_again(
        "gcc",
        tmp_path,
        BUS.replace("THERE", WRAPPING),
        REGISTERING.replace("HERE", "").replace("MORE", ""),
        options=["-Wl,--wrap=main"],
    )
    assert linked.compared == ("on_click",)


def image(name: str, folder: Path, source: str, output: str = "one.o", *more: str) -> Image:
    """The object of C *source*."""
    return open_image(str(compiled(name, folder, source, output, *more)))


def plain(found: dict[bytes, int]) -> set[str]:
    """Names without Mach-O's underscore."""
    assert all(found.values()), "each function has bytes"
    return {name.decode().removeprefix("_") for name in found}


ENTRY = {"elf": "set", "macho": "__DATA,set"}


@pytest.mark.parametrize("name", COMPILERS)
def test_a_linker_sets_entry_counts(name: str, tmp_path: Path) -> None:
    """Nothing refers to it, and whoever walks the set calls what it has."""
    text = (
        "long hidden(long n) { return n; } long entered(long n) { return n; } long step(long n) { return n + 9; }"
        '__attribute__((section("SET"), used)) static long (*const entry)(long) = entered;'
    )
    where = ENTRY["macho" if "Mach-O" in name else "elf"]
    found = image(name, tmp_path, text.replace("SET", where))
    step = "_step" if found.format == "macho" else "step"
    assert plain(never_led_to([("one.o", found)], [], {("one.o", step)}, ())) == {"hidden"}


def test_what_is_borrowed_may_run(tmp_path: Path) -> None:
    """A member of an archive calls back what the patch has."""
    own = image("gcc", tmp_path, "long back(long n) { return n; } long hidden(long n) { return n; } long step(void);")
    other = image("gcc", tmp_path, "long back(long); long member(long n) { return back(n) + 1; }", "two.o")
    assert plain(never_led_to([("one.o", own)], [other], (), ())) == {"hidden"}


def test_a_wrapped_function_is_led_to_by_both_names(tmp_path: Path) -> None:
    """``--wrap`` gives a call another end than its object says."""
    text = (
        "long pay(long); long __real_pay(long); long __wrap_pay(long n) { return __real_pay(n) + 1; }"
        "long step(long n) { return pay(n) + 2; } long hidden(void) { return 1; }"
    )
    own = image("gcc", tmp_path, text)
    other = image("gcc", tmp_path, "long pay(long n) { return n; } long idle(void) { return 1; }", "two.o")
    objects = [("one.o", own), ("two.o", other)]
    assert plain(never_led_to(objects, [], {("one.o", "step")}, ())) == {"hidden", "idle"}


def test_one_that_has_the_name_of_another_is_not_told(tmp_path: Path) -> None:
    """A linked patch says by a symbol's name alone which one its code is of."""
    text = "static __attribute__((noinline)) long same(long n) { return n / 3; } long NAME(long n) { return same(n); }"
    objects = [
        (f"{each}.o", image("gcc", tmp_path, text.replace("NAME", each), f"{each}.o")) for each in ("step", "hidden")
    ]
    assert plain(never_led_to(objects, [], {("step.o", "step")}, ())) == {"hidden"}


def test_where_the_table_is_of_other_objects_nothing_is_known(tmp_path: Path) -> None:
    """Then all may run; where it leads nowhere, nothing does."""
    own = image("gcc", tmp_path, "long step(long n) { return n + 9; }")
    assert not never_led_to([("one.o", own)], [], {("two.o", "step")}, ())
    assert plain(never_led_to([("one.o", own)], [], (), ())) == {"step"}
