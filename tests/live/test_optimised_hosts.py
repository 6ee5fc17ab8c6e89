"""Hosts that the linker optimised as a whole: one file made of several says nothing of whose a variable is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live.live import LiveHost
from live.test_renamed_variables import NOINLINE, Program, make, shared
from live.test_undefined import RUNNER
from tools import need, run

from stubgen import StubBuilder, SymbolRefusal, link_patch
from stubgen.borrow.homes import LinkFiles
from stubgen.capture import Capture, record
from stubgen.cli import main
from stubgen.compare.changes import Change
from stubgen.errors import StubgenError
from stubgen.explain import explain_symbols
from stubgen.host.previous import PreviousPatch
from stubgen.jumptable import JumpTable, TableOptions
from stubgen.linkplan.link_files import link_files
from stubgen.without_code import HostsLink, without_code

OPTIMISED = {
    "gcc bfd": ("gcc", "-flto", "bfd"),
    "gcc gold": ("gcc", "-flto", "gold"),
    "gcc mold": ("gcc", "-flto", "mold"),
    "clang full": ("clang", "-flto", "lld"),
    "clang thin": ("clang", "-flto=thin", "lld"),
}
"""Compiler, how it leaves the code to the link, linker."""

OWN = f"""
static volatile int calls = 5;
{NOINLINE} static long add(long by) {{ return calls += by; }}
long (*volatile shown)(long) = add;
long a_next(long by) {{ return shown(by) + add(by); }}
"""
OTHER = "long a_next(long); long host_entry(long by) { return a_next(by); }"


@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("way", OPTIMISED)
def test_an_edited_static_function_is_replaced_or_named(tmp_path: Path, way: str, debug: str) -> None:
    """Its file was taken for another one, ``<artificial>`` or ``ld-temp.o``: the edit did nothing, without a word."""
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": OWN, "b.c": OTHER})
    assert " add" in run([str(need("llvm-nm-19")), tmp_path / "host"])
    table = table_of(program, OWN.replace("+= by", "+= 2 * by"))
    assert "add" in {each.name for each in (*table.entries, *table.undecided)}


ALIKE = f"""
static volatile int counted = 70;
{NOINLINE} static long add(long by) {{ return counted -= by; }}
long (*volatile seen)(long) = add;
long a_next(long);
long host_entry(long by) {{ return a_next(by) * 1000 + seen(by); }}
"""


@pytest.mark.parametrize(
    ("way", "debug"),
    [
        *((way, debug) for way in OPTIMISED for debug in ("-g", "-g0")),
        *((way, "-g -flto-partition=max") for way in OPTIMISED if way.startswith("gcc")),
    ],
)
def test_a_static_function_that_the_link_renamed_is_replaced_or_named(tmp_path: Path, way: str, debug: str) -> None:
    """``add.lto_priv.0``: 26 of Lua's counted as new, and edits of what it calls by tables did nothing, without a word.

    Debug information tells which is which, also where GCC compiles each function apart and makes it hidden.
    """
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": OWN, "b.c": ALIKE})
    edited = OWN.replace("+= by", "+= 2 * by")
    for text in (edited, edited.replace(f"{NOINLINE} static long add", f"{NOINLINE} long add")):
        table = table_of(program, text)
        led = [entry.old for entry in table.entries if entry.name == "add"]
        assert led or "add" in {each.name for each in table.undecided}
        for place in led:
            options = [f"--start-address={place}", f"--stop-address={place + 24}", "--no-show-raw-insn"]
            listing = run([str(need("llvm-objdump-19")), "-d", *options, tmp_path / "host"])
            assert "\tsub\t" not in listing, "it is the other file's"
        if debug != "-g0" and "gcc" in way:
            assert len(led) == 1


def table_of(program: Program, edited: str) -> JumpTable:
    """The table of a patch whose a.c is *edited*."""
    folder, patch = program.folder, program.recompiled("a.c", edited)
    builder, options = StubBuilder(folder / "host", cache=False), TableOptions()
    with LiveHost(folder / "host") as live:
        output = folder / "patch.so"
        table = link_patch(builder, program.captured, [patch], output, live.anchor, jump_table=options).jump_table
    assert table is not None
    return table


FOLDED = """
int rate = 3;
long a_next(long by) { return by * 3; }
"""
STRANGER = f"""
static int rate = 50;
{NOINLINE} long b_next(long by) {{ return rate += by; }}
long a_next(long);
long host_entry(long by) {{ return a_next(by) * 1000 + b_next(by); }}
"""
COUNTING = "int rate = 3; long a_next(long by) { return by * rate; } long patch_main(void) { return ++rate; }"


@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("way", OPTIMISED)
def test_another_files_static_is_not_taken_for_a_global(tmp_path: Path, way: str, debug: str) -> None:
    """Nobody uses ``rate`` of a.c, so it is gone: the patch counted in the ``static int rate`` of b.c, 51 for 4."""
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": FOLDED, "b.c": STRANGER})
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call") == f"{9 * 1000 + 53}"
        linked = program.link(live, program.recompiled("a.c", COUNTING))
        assert live.patch(linked.output) == "4"
        assert live.tell("call") == f"{9 * 1000 + 56}"
        assert not any(kept for kept, _ in shared(linked).values())


WRITTEN = "int rate = 3; long a_next(long by) { rate++; return by * rate; }"
ALONE = "long a_next(long); long host_entry(long by) { return a_next(by); }"


@pytest.mark.parametrize("way", OPTIMISED)
def test_a_global_that_became_static_is_kept_by_debug_information(tmp_path: Path, way: str) -> None:
    """Its name alone does not tell it from another file's: with ``-g`` on both sides it goes on counting."""
    program = make(tmp_path, OPTIMISED[way], files={"a.c": WRITTEN, "b.c": ALONE})
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call") == "12"
        linked = program.link(live, program.recompiled("a.c", WRITTEN + "long patch_main(void) { return ++rate; }"))
        assert shared(linked) == {"rate": (True, "")}
        assert live.patch(linked.output) == "5"
        assert live.tell("call") == "18"


INLINED = "long price(long by) { return by; }\nlong a_next(long by) { return by * 3; }\n"
HOMONYM = f"""
{NOINLINE} static long price(long by) {{ return 50 + by; }}
long (*volatile shown)(long) = price;
long a_next(long);
long host_entry(long by) {{ return a_next(by) * 1000 + shown(by); }}
"""


@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("way", [way for way in OPTIMISED if way.startswith("gcc")])
def test_another_files_static_function_is_not_replaced(tmp_path: Path, way: str, debug: str) -> None:
    """``price`` of a.c is gone: a table led callers of the ``static`` one of b.c to the new ``price`` of a.c."""
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": INLINED, "b.c": HOMONYM})
    table = table_of(program, INLINED.replace("return by;", "return by + 1;"))
    assert "price" not in {each.name for each in table.entries}


@pytest.mark.parametrize("way", [way for way in OPTIMISED if way.startswith("gcc")])
def test_debug_information_tells_whose_functions_are(tmp_path: Path, way: str) -> None:
    """What was global became local at link, and a patch replaced nothing but what the program exports."""
    program = make(
        tmp_path,
        OPTIMISED[way],
        files={"a.c": OWN.replace("long a_next", "__attribute__((noipa)) long a_next"), "b.c": OTHER},
    )
    table = table_of(program, OWN.replace("+= by", "+= 2 * by").replace("+ add", "- add"))
    assert {"add", "a_next"} <= {each.name for each in table.entries}


OF_ANOTHER = f"{NOINLINE} __attribute__((noclone)) static long price(long x) {{ return x * 100; }}"
LEFT_OUT = {
    "gcc": ("gcc bfd", f"{OF_ANOTHER} long a_next(long by) {{ return price(by); }}", ""),
    "thin": ("clang thin", f"{OF_ANOTHER} {NOINLINE} long a_next(long by) {{ return price(by); }}", " + price(by)"),
    "thin, renamed": ("clang thin", f"{OF_ANOTHER} long a_next(long by) {{ return price(by); }}", " + price(by)"),
}
"""How the host is optimised, the file with the static function, and what calls the other one."""
PRICE = "long price(long x) { return x + 1; } long a_next(long); "
CALLER = "long price(long); long patch_main(void) { return price(5); }"


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_name_of_which_nothing_is_left_is_not_another_files_static_one(tmp_path: Path, case: str) -> None:
    """Calls of ``price`` are inlined and it is gone: the patch called another file's static one, 500 for 6."""
    way, static, use = LEFT_OUT[case]
    entry = f"{PRICE}long host_entry(long by) {{ return a_next(by) * 1000{use}; }}"
    debug = "-g0 -ffunction-sections -Wl,--gc-sections"
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": static, "b.c": entry})
    (tmp_path / "p.c").write_text(CALLER)
    plainly = [word for word in program.compile if word != "-Wl,--gc-sections"]
    run([*plainly, "p.c", "-o", "p.o"], cwd=tmp_path)
    with LiveHost(tmp_path / "host") as live:
        with pytest.raises(
            SymbolRefusal, match=r"may be static in another file; .*b\.o has the one that all files see"
        ):
            program.link(live, tmp_path / "p.o")
        own = program.recompiled("b.c", PRICE + CALLER)
        assert live.patch(program.link(live, own).output) == "6"


@pytest.mark.parametrize("case", ["gcc", "thin"])
def test_what_was_left_out_of_an_archive_is_not_another_files_static_one(tmp_path: Path, case: str) -> None:
    """Likewise where the file is a member: libraries of the build's own are linked so, by CMake for one."""
    way, static, use = LEFT_OUT[case]
    entry = f"{PRICE}long host_entry(long by) {{ return a_next(by) * 1000{use}; }}"
    debug = "-g0 -ffunction-sections -Wl,--gc-sections"
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": static, "b.c": entry})
    tool = "aarch64-linux-gnu-gcc-ar" if way.startswith("gcc") else "llvm-ar-19"
    run([need(tool), "rc", "libb.a", "b.o"], cwd=tmp_path)
    command = [word if Path(word).name != "b.o" else "libb.a" for word in map(str, program.captured.argv)]
    assert "libb.a" in command
    run(command, cwd=tmp_path)
    captured = Capture(command, tmp_path, {}, output="host")
    (tmp_path / "p.c").write_text(CALLER)
    plainly = [word for word in program.compile if word != "-Wl,--gc-sections"]
    run([*plainly, "p.c", "-o", "p.o"], cwd=tmp_path)
    with (
        LiveHost(tmp_path / "host") as live,
        pytest.raises(
            StubgenError, match=r"may be static in another file; libb\.a\(b\.o\) has the one that all files see"
        ),
    ):
        program._replace(captured=captured).link(live, tmp_path / "p.o")


def test_a_name_of_which_nothing_is_left_in_a_macho_file(tmp_path: Path) -> None:
    """Bitcode for Apple's systems begins with a header of its own, and nobody knew what was in it."""
    apple = [need("clang-19"), "--target=arm64-apple-macos13", "-O2", "-c"]
    texts = {"a.c": LEFT_OUT["thin, renamed"][1].replace(" __attribute__((noclone))", ""), "p.c": CALLER}
    texts["b.c"] = f"{PRICE}int main(int count, char **words) {{ return a_next(count) + price(count); }}"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    run([*apple, "-flto=thin", "a.c", "b.c"], cwd=tmp_path)
    run([*apple, "p.c"], cwd=tmp_path)
    linking = [need("ld64.lld-19"), "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-dead_strip"]
    run([*linking, "a.o", "b.o", "-o", "host"], cwd=tmp_path)
    assert "_price.llvm." in run([need("llvm-nm-19"), "host"], cwd=tmp_path)
    linked = [str(tmp_path / name) for name in ("a.o", "b.o")]
    builder = StubBuilder(tmp_path / "host", cache=False)
    judged = builder.judge([tmp_path / "p.o"], slide=0x4000, bind=True, linked=linked)
    assert [decision.name for decision in judged.problems] == ["_price"]
    assert "b.o has the one that all files see" in judged.problems[0].reason
    assert not builder.judge([tmp_path / "p.o"], slide=0x4000, bind=True, linked=[linked[0]]).problems


@pytest.mark.parametrize(("debug", "twice"), [("-g0", True), ("-g", False)])
def test_a_global_that_stayed_is_meant_beside_a_static(tmp_path: Path, debug: str, *, twice: bool) -> None:
    """GCC makes it local and calls the static one ``price.lto_priv.0``; of its clones alone ``-g`` tells them apart."""
    entry = f"{NOINLINE} {PRICE}long host_entry(long by) {{ return a_next(by) + price(by) + price(by + 1); }}"
    static = LEFT_OUT["gcc"][1] if twice else LEFT_OUT["gcc"][1].replace("__attribute__((noclone)) ", "")
    program = make(tmp_path, OPTIMISED["gcc bfd"], debug, files={"a.c": static, "b.c": entry})
    (tmp_path / "p.c").write_text(CALLER)
    run([*program.compile, "p.c", "-o", "p.o"], cwd=tmp_path)
    with LiveHost(tmp_path / "host") as live:
        assert live.patch(program.link(live, tmp_path / "p.o").output) == "6"


COUNTED = f"long count = 1; {NOINLINE} long a_next(long by) {{ return count += by; }}\n"
READING = (
    "extern long count; long a_next(long); long host_entry(long by) { long a = a_next(by); return a * 1000 + count; }"
)
PLACE = "long patch_main(void) { return (long)patch_main; }"
LATER = "extern long count; long patch_main(void) { return ++count; }"
KEPT = {
    "used": (COUNTED.replace("+= by", "+= 10 * by"), ()),
    "used, by its code": (COUNTED.replace("+= by", "+= 10 * by"), None),
    "not used": ("long count = 1; long a_next(long by) { return by; }\n", ()),
    "not used, by its slot": ("long count = 1; long a_next(long by) { return by; }\n", None),
}
"""What the earlier patch makes of a.c, and what was written down of the variables that it began."""


@pytest.mark.parametrize("case", KEPT)
@pytest.mark.parametrize("way", OPTIMISED)
def test_what_an_earlier_patch_kept_is_the_hosts_for_the_next(tmp_path: Path, way: str, case: str) -> None:
    """The linker made ``count`` local, the earlier patch has a global one that nobody uses: the next counted there."""
    edited, began = KEPT[case]
    program = make(tmp_path, OPTIMISED[way], files={"a.c": COUNTED, "b.c": READING})
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call") == "4004"
        first = program.link(live, program.recompiled("a.c", edited + PLACE))
        assert shared(first)["count"] == (True, "")
        earlier = PreviousPatch(
            tmp_path / "1.so", int(live.patch(first.output.rename(tmp_path / "1.so"))), "patch_main"
        )
        second = program.link(live, program.recompiled("b.c", LATER), previous=[earlier._replace(variables=began)])
        assert live.patch(second.output) == "5"
        assert live.tell("call") == "8008"


@pytest.mark.parametrize("way", [way for way in OPTIMISED if way != "clang thin"])  # which leaves it, as a static one
def test_an_edited_function_that_the_link_inlined_everywhere_is_named(tmp_path: Path, way: str) -> None:
    """Nothing is left of it by its name: it counted as added, and its edit did nothing, without a word."""
    hidden = '__attribute__((visibility("hidden")))'  # else the host exports it
    price = f"static volatile int rate = 7; {hidden} long price(long by) {{ return by * rate + 40; }}"
    user = f"{hidden} long price(long); {NOINLINE} long total(long by) {{ return price(by) * 2; }}"
    user += "long host_entry(long by) { return total(by) + 1; }"
    program = make(tmp_path, OPTIMISED[way], "-g", files={"a.c": price, "b.c": user})
    assert " price" not in run([str(need("llvm-nm-19")), tmp_path / "host"])
    for name in ("a.o", "b.o", "runner.o"):  # which say it without -g as well
        (tmp_path / name).unlink()
    table = table_of(program, price.replace("40", "50") + "long is_new(long by) { return by; }")
    (told,) = table.undecided
    assert told.name == "price"
    assert "inlined alone, in " in told.reason


HIDDEN = '__attribute__((visibility("hidden")))'  # else the host exports it
WORKED_OUT = f"""
static volatile int rate = 7;
{HIDDEN} long scale(long by) {{ return by * 3; }}
{HIDDEN} long dead(long by) {{ return by * rate; }}
{NOINLINE} {HIDDEN} long stays(long by) {{ return by - rate; }}
"""
USER = f"""
{HIDDEN} long scale(long);
{HIDDEN} long stays(long);
{NOINLINE} {HIDDEN} long total(long by) {{ return scale(2) + by; }}
long host_entry(long by) {{ return total(by) + stays(by); }}
"""
SCALED = WORKED_OUT.replace("by * 3", "by * 4") + "long is_new(long by) { return by; }"
NOT_THIN = [way for way in OPTIMISED if way != "clang thin"]  # which leaves it, as a static one


@pytest.mark.parametrize("debug", ["-g", "-g0"])
@pytest.mark.parametrize("way", NOT_THIN)
def test_an_edited_function_that_the_link_worked_out_is_named(tmp_path: Path, way: str, debug: str) -> None:
    """``scale(2)`` became 6, and nothing has a copy of it: it counted as added, and its edit did nothing."""
    program = make(tmp_path, OPTIMISED[way], debug, files={"a.c": WORKED_OUT, "b.c": USER})
    told = {each.name: each.reason for each in table_of(program, SCALED).undecided}
    assert "nothing of that name, and b.o, which used it, goes on with" in told["scale"]
    assert "dead" not in told, "no other file used it"
    assert "is_new" not in told
    if "gcc" in way:  # stays.constprop.0 is all that is left
        assert "stays" in told


@pytest.mark.parametrize("way", NOT_THIN)
def test_an_edited_function_has_its_effect_with_the_files_that_used_it(tmp_path: Path, way: str) -> None:
    """What the reason says helps does: the patch has the new value, where the process goes on with the old one."""
    program = make(tmp_path, OPTIMISED[way], "-g0", files={"a.c": WORKED_OUT, "b.c": USER})
    with LiveHost(tmp_path / "host") as live:
        before = int(live.tell("call"))
        both = SCALED + USER.replace("host_entry", "patch_entry") + "long patch_main(void) { return patch_entry(4); }"
        linked = program.link(live, program.recompiled("a.c", both))
        assert int(live.patch(linked.output)) == 8 + 4 + 4 - 7
        assert int(live.tell("call")) == before
        assert not {each.name for each in linked.replaced.undecided}.intersection(["scale", "total"])


def test_debug_information_tells_of_what_is_left_out_where_the_objects_are_gone(tmp_path: Path) -> None:
    """GCC describes what the source has before the link: nobody needs the objects for it. LLVM forgets it."""
    program = make(tmp_path, OPTIMISED["gcc bfd"], "-g", files={"a.c": WORKED_OUT, "b.c": USER})
    for name in ("a.o", "b.o", "runner.o"):
        (tmp_path / name).unlink()
    told = {each.name: each.reason for each in table_of(program, SCALED).undecided}
    assert "debug information says that the host had it" in told["scale"]
    assert "debug information says that the host had it" in told["stays"]
    assert "is_new" not in told


@pytest.mark.parametrize("way", ["gcc bfd", "clang full"])
def test_a_function_worked_out_of_an_archive_is_named(tmp_path: Path, way: str) -> None:
    """Libraries of the build's own are linked so, and what they are linked with need not be optimised at link."""
    program = make(tmp_path, OPTIMISED[way], "-g0", files={"a.c": WORKED_OUT, "b.c": USER})
    tool = "aarch64-linux-gnu-gcc-ar" if "gcc" in way else "llvm-ar-19"
    run([need(tool), "rc", "libboth.a", "a.o", "b.o"], cwd=tmp_path)
    command = [word for word in map(str, program.captured.argv) if Path(word).name != "a.o"]
    command[command.index("b.o")] = "libboth.a"
    run([*program.compile, "-fno-lto", "runner.c"], cwd=tmp_path)
    run(command, cwd=tmp_path)
    assert " scale" not in run([str(need("llvm-nm-19")), tmp_path / "host"])
    program = program._replace(captured=Capture(command, tmp_path, {}, output="host"))
    told = {each.name: each.reason for each in table_of(program, SCALED).undecided}
    assert "libboth.a(b.o), which used it" in told["scale"]
    assert "dead" not in told


FAT = {
    "gcc": ("gcc bfd", "-ffat-lto-objects", ""),
    "clang": ("clang full", "-ffat-lto-objects", "-Wl,--fat-lto-objects"),
}


@pytest.mark.parametrize("case", FAT)
def test_a_function_worked_out_of_an_object_with_code_is_named(tmp_path: Path, case: str) -> None:
    """``-ffat-lto-objects``: what the linker compiles is in sections of an ordinary object."""
    way, fat, linking = FAT[case]
    program = make(tmp_path, OPTIMISED[way], f"-g0 {fat}", files={"a.c": WORKED_OUT, "b.c": USER})
    command = [*map(str, program.captured.argv), *linking.split()]
    run(command, cwd=tmp_path)
    assert " scale" not in run([str(need("llvm-nm-19")), tmp_path / "host"])
    program = program._replace(captured=Capture(command, tmp_path, {}, output="host"))
    told = {each.name: each.reason for each in table_of(program, SCALED).undecided}
    assert "b.o, which used it" in told["scale"]
    patch = program.recompiled("b.c", USER + "long patch_main(void) { return (long)patch_main; }")
    with (
        LiveHost(tmp_path / "host") as live,
        pytest.raises(SymbolRefusal, match=r"scale.*: missing: link-time optimisation left .* compiled again: a\.o"),
    ):
        program.link(live, patch)


def test_what_collection_took_from_a_host_that_was_not_optimised_at_link_is_new(tmp_path: Path) -> None:
    """Nobody called ``dead``, so nothing goes on with it: a line about it would be noise. Its old unit has it at 0."""
    debug = "-g -ffunction-sections -Wl,--gc-sections"
    program = make(tmp_path, ("gcc", "-fno-lto", "bfd"), debug, files={"a.c": WORKED_OUT, "b.c": USER})
    assert " dead" not in run([str(need("llvm-nm-19")), tmp_path / "host"])
    program = program._replace(compile=tuple(word for word in program.compile if word != "-Wl,--gc-sections"))
    table = table_of(program, SCALED.replace("by * rate", "by + rate"))
    assert "scale" in {each.name for each in table.entries}
    assert not table.undecided


def test_what_was_folded_and_collected_is_new(tmp_path: Path) -> None:
    """GCC gives ``also_dead`` the code of ``dead``, and its entry in debug information none, ``-flto`` or not."""
    debug = "-g -ffunction-sections -Wl,--gc-sections"
    alike = "".join(
        f"{HIDDEN} long {name}(long by) {{ return by * rate + by / rate; }}\n" for name in ("dead", "also_dead")
    )
    text = f"static volatile int rate = 7;\n{alike}long a_next(long by) {{ return by * rate; }}\n"
    program = make(tmp_path, ("gcc", "-fno-lto", "bfd"), debug, files={"a.c": text, "b.c": ALONE})
    assert "dead" not in run([str(need("llvm-nm-19")), tmp_path / "host"])
    (tmp_path / "a.o").unlink()
    program = program._replace(compile=tuple(word for word in program.compile if word != "-Wl,--gc-sections"))
    table = table_of(program, text.replace("by / rate", "by - rate"))
    assert "also_dead" in {row.names[0] for row in table.changed(Change.ADDED)}
    assert not table.undecided


def test_a_function_worked_out_of_a_cxx_host_is_named_and_inline_ones_are_not(tmp_path: Path) -> None:
    """Other files have what a header defines inline, and templates, anew: of those no line is due."""
    header = "inline long twice(long by) { return by * 2; } template <class T> T thrice(T by) { return by * 3; }"
    texts = {
        "a.cc": f"{header} {HIDDEN} long scale(long by) {{ return thrice(by) + twice(by); }}",
        "b.cc": (
            f"{header} {HIDDEN} long scale(long); "
            'extern "C" long host_entry(long by) { return scale(2) + by + twice(4) + thrice(4); }'
        ),
    }
    program = make(
        tmp_path, OPTIMISED["gcc bfd"], "-g", files={"a.c": "", "b.c": "long host_entry(long by) { return by; }"}
    )
    driver = str(need("aarch64-linux-gnu-g++"))
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        run([driver, "-O2", "-g", "-fPIC", "-flto", "-c", name, "-o", f"{name[0]}.o"], cwd=tmp_path)
    command = [driver, *map(str, program.captured.argv[1:])]
    run(command, cwd=tmp_path)
    (tmp_path / "a.cc").write_text(texts["a.cc"].replace("by * 2", "by * 5"))
    run([driver, "-O0", "-g", "-fPIC", "-c", "a.cc", "-o", "patch.o"], cwd=tmp_path)
    builder, captured = StubBuilder(tmp_path / "host", cache=False), Capture(command, tmp_path, {}, output="host")
    with LiveHost(tmp_path / "host") as live:
        options = TableOptions()
        linked = link_patch(
            builder, captured, [tmp_path / "patch.o"], tmp_path / "patch.so", live.anchor, jump_table=options
        )
    assert linked.jump_table is not None
    assert [each.name for each in linked.jump_table.undecided] == ["_Z5scalel"]


OWN_RANDOM = f"{HIDDEN} long lrand48(void) {{ return 4; }}"
RANDOM_USER = f"long lrand48(void); {NOINLINE} long a_next(long by) {{ return lrand48() + by; }}"


@pytest.mark.parametrize("option", [{}, {"libraries": ["libc.so.6"]}], ids=["", "--library"])
@pytest.mark.parametrize("way", NOT_THIN)
def test_what_the_link_inlined_is_no_librarys(tmp_path: Path, way: str, option: dict[str, list[str]]) -> None:
    """The program has a function that the C library has too, inlined: the patch called the library's, 0 for 4."""
    program = make(tmp_path, OPTIMISED[way], "-g0", files={"a.c": RANDOM_USER, "b.c": OWN_RANDOM + OTHER})
    where = {key: [libc(program)] for key in option}
    edited = RANDOM_USER + "long patch_main(void) { return a_next(0); }"
    builder, patch = StubBuilder(tmp_path / "host", cache=False), program.recompiled("a.c", edited)
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call") == "7"
        options = {"exports": ["patch_main"], **where}
        with pytest.raises(SymbolRefusal, match=r"lrand48: missing: .*\n?.*compiled again: b\.o"):
            link_patch(builder, program.captured, [patch], tmp_path / "patch.so", live.anchor, **options)  # type: ignore[arg-type]
        (tmp_path / "b.c").write_text(OWN_RANDOM)
        run([*program.compile, "b.c", "-o", "b2.o"], cwd=tmp_path)
        objects = [patch, tmp_path / "b2.o"]
        linked = link_patch(builder, program.captured, objects, tmp_path / "patch.so", live.anchor, **options)  # type: ignore[arg-type]
        assert live.patch(linked.output) == "4"


def libc(program: Program) -> str:
    """The C library that the program's compiler links."""
    driver = need("aarch64-linux-gnu-gcc")
    return str(Path(run([driver, "-print-file-name=libc.so.6"], cwd=program.folder).strip()).resolve())


def test_a_weak_reference_to_what_the_link_inlined_is_not_null(tmp_path: Path) -> None:
    """``if (hook)`` holds in the process, and did not in the patch. GCC leaves it."""
    user = (
        f"__attribute__((weak)) long hook(void); {NOINLINE} long a_next(long by) {{ return hook ? hook() + by : -1; }}"
    )
    files = {"a.c": user, "b.c": f"{HIDDEN} long hook(void) {{ return 4; }}" + OTHER}
    program = make(tmp_path, OPTIMISED["clang full"], "-g0", files=files)
    with LiveHost(tmp_path / "host") as live:
        assert live.tell("call") == "7"
        with pytest.raises(SymbolRefusal, match="hook: missing: link-time optimisation left the host nothing"):
            program.link(live, program.recompiled("a.c", user + PLACE))


MANY = range(6)
OF_B = f"{HIDDEN} long deep(long); " + " ".join(
    f"{HIDDEN} long h{n}(long x) {{ return x * {n} + deep(x); }}" for n in MANY
)
OF_C = f"{HIDDEN} long deep(long x) {{ return x + 1; }} {HIDDEN} long rate = 3;"
OF_A = (
    f"{HIDDEN} extern long rate; "
    + " ".join(f"{HIDDEN} long h{n}(long);" for n in MANY)
    + f"{NOINLINE} long host_entry(long by) {{ return rate + {' + '.join(f'h{n}(by)' for n in MANY)}; }}"
)


@pytest.mark.parametrize("archive", [False, True], ids=["", "archive"])
@pytest.mark.parametrize("way", NOT_THIN)
def test_all_that_the_link_left_out_is_one_line_with_the_files_that_help(
    tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str], *, archive: bool
) -> None:
    """One edited file of Lua's gave 75 lines and no file's name; and what that file needs came to light later."""
    texts = {"a.c": OF_A, "b.c": OF_B, "runner.c": RUNNER + OF_C}
    program = make(tmp_path, OPTIMISED[way], "-g0", files=texts)
    b_file = "b.o"
    if archive:
        tool = "aarch64-linux-gnu-gcc-ar" if "gcc" in way else "llvm-ar-19"
        run([need(tool), "rc", "libb.a", "b.o"], cwd=tmp_path)
        command = ["libb.a" if word == "b.o" else word for word in map(str, program.captured.argv)]
        run(command, cwd=tmp_path)
        program, b_file = program._replace(captured=Capture(command, tmp_path, {}, output="host")), "libb.a(b.o)"
    builder, patch = StubBuilder(tmp_path / "host", cache=False), program.recompiled("a.c", OF_A)
    with LiveHost(tmp_path / "host") as live:
        with pytest.raises(SymbolRefusal) as refused:
            link_patch(builder, program.captured, [patch], tmp_path / "patch.so", live.anchor)
        head, told = str(refused.value).splitlines()
        missing = {decision.name: decision.reason for decision in refused.value.decisions}
        assert head == f"{len(missing)} needed symbols cannot be stubbed"
        assert {"h0", "h5"} <= set(missing)
        assert f"{b_file} has it" in missing["h5"]
        assert " more: missing: link-time optimisation left the host nothing called so" in told
        assert b_file in told
        assert "runner.o" in told, "what is needed with it is told at once"
        assert "a.o" not in told.replace(".a(", "").split("compiled again")[1]
        record([str(word) for word in program.captured.argv], tmp_path / "captured", directory=str(tmp_path))
        options = ["--captured", tmp_path / "captured", "--allow-rebuilt", "--no-cache", "-o", tmp_path / "patch.so"]
        words = ["link", "--json", "--host", tmp_path / "host", "--aslr-reference", hex(live.anchor), *options, patch]
        assert main([str(word) for word in words]) == 1
        document = json.loads(capsys.readouterr().out)
        assert {each["name"] for each in document["decisions"]} == set(missing)
        judged = builder.judge([patch], live.anchor, link=lambda: link_files(program.captured.command()))
        (explained,) = explain_symbols(judged, builder.host, ["h5"])
        assert "compiled again without -flto" in explained.consequence.advice[0]


@pytest.mark.parametrize("option", ["-flto", "-flto=thin"])
def test_what_the_link_left_nothing_of_in_a_macho_file(tmp_path: Path, option: str) -> None:
    """Likewise there: what calls it is refused before the link, and an edit of it is named as left out."""
    apple = [need("clang-19"), "--target=arm64-apple-macos13", "-O2", "-c"]
    texts = {
        "a.c": f"{HIDDEN} long scale(long by) {{ return by * 3; }} {HIDDEN} long dead(long by) {{ return by; }}",
        "b.c": f"{HIDDEN} long scale(long); int main(void) {{ return (int)scale(2); }}",
        "p.c": f"{HIDDEN} long scale(long); long other(long by) {{ return scale(by); }}",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    run([*apple, option, "a.c", "b.c"], cwd=tmp_path)
    run([*apple, "p.c"], cwd=tmp_path)
    linking = [need("ld64.lld-19"), "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-dead_strip"]
    run([*linking, "a.o", "b.o", "-o", "host"], cwd=tmp_path)
    assert "_scale" not in run([need("llvm-nm-19"), "host"], cwd=tmp_path)
    files = LinkFiles(objects=(str(tmp_path / "a.o"), str(tmp_path / "b.o")))
    builder = StubBuilder(tmp_path / "host", cache=False)
    judged = builder.judge([tmp_path / "p.o"], slide=0x4000, bind=True, link=lambda: files)
    assert [decision.name for decision in judged.problems] == ["_scale"]
    assert "link-time optimisation left nothing called so; a.o has it" in judged.problems[0].reason
    link = HostsLink(files.objects, lambda: files)
    own = [b"_scale", b"_dead"]
    told = without_code(own, builder.host.image, link, own, own)
    assert list(told) == [b"_scale"]
    assert told[b"_scale"].users == ("b.o",)
