"""Which files the libraries of a command are, and how its words hang together; no linker is asked.

That linkers open the same files, test_libraries.py proves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from stubgen.linkplan import CapturedCommand, build_link_plan, driver_options, gnu_options, ld64_options
from stubgen.linkplan.additions import links_a_library
from stubgen.linkplan.libraries import (
    Meaning,
    Search,
    implied_libraries,
    libraries_in,
    listed,
    named_objects,
    read_libraries,
    runtime_archives,
    script_words,
)
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.plan import Action, Edit
from stubgen.linkplan.tokens import render, tokenize
from stubgen.linkplan.toolchain import Family

ARCHIVE = b"!<arch>\n"
SHARED = b"\x7fELF" + bytes(12) + b"\x03\0" + bytes(46)
OBJECT = b"\x7fELF" + bytes(12) + b"\x01\0" + bytes(46)
DYLIB = b"\xcf\xfa\xed\xfe" + bytes(8) + b"\x06\0\0\0" + bytes(16)
FILES = {
    "a/libx.a": ARCHIVE,
    "b/libx.so": SHARED,
    "b/libx.a": ARCHIVE,
    "b/liby.a": ARCHIVE,
    "b/libq.a": ARCHIVE,
    "b/libgcc.a": ARCHIVE,
    "b/libstdc++.a": ARCHIVE,
    "b/libgcc_eh.a": ARCHIVE,
    "b/libasan.a": ARCHIVE,
    "c/libx.a": ARCHIVE,
    "c/liby.so": SHARED,
    "c/odd.a": ARCHIVE,
    "c/libz.tbd": b"--- !tapi-tbd\n",
    "c/libz.dylib": DYLIB,
    "c/libw.dylib": DYLIB,
    "c/libw.so": DYLIB,
    "c/crt1.o": OBJECT,
    "main.o": OBJECT,
    "more.o": OBJECT,
    "text.a": bytes(8),
    "list": b"main.o\n\n  more.o \nb/libx.a\nb/liby.a\n",
    "F/Pod.framework/Pod": ARCHIVE,
    "G/Pod.framework/Pod.tbd": b"--- !tapi-tbd\n",
    "G/Kit.framework/Kit": DYLIB,
    "s/libx.so": b'/* INPUT(-ly) */ INPUT ( libx.so.1 AS_NEEDED ( -lq ) "odd.a", libgcc.a )',
    "s/libx.so.1": SHARED,
    "s/odd.a": ARCHIVE,
    "s/libgcc.a": ARCHIVE,
    "s/liby.so": b"GROUP(-ly -lnowhere) INPUT(nowhere.so)",
    "s/libshared.so": b"OUTPUT_FORMAT(elf64-littleaarch64) GROUP(libx.so.1 -lx)",
    "s/libalone.so": b"GROUP(libx.so.1 ../b/libx.so)",
    "s/libempty.so": b"OUTPUT_FORMAT(elf64-littleaarch64)",
    "root/usr/lib/libr.so": b"INPUT(/usr/lib/libin.a)",
    "root/usr/lib/libe.so": b"INPUT(=/usr/lib/libin.a $SYSROOT/usr/lib/libin.a)",
    "root/usr/lib/libin.a": ARCHIVE,
    "rootlibin.a": ARCHIVE,
    "root/usr/lib/libl.so": b"INPUT(libin.a)",
    "out/libr.so": b"INPUT(/usr/lib/libin.a)",
    "out/libe.so": b"INPUT(=/usr/lib/libin.a)",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of those kinds."""
    folder = tmp_path_factory.mktemp("tree")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def search(tree: Path, folders: str = "", family: Family = Family.GNU, roots: Sequence[str] = ()) -> Search:
    """Where a linker looks."""
    return Search(
        folders=tuple(folders.split()),
        frameworks=("F", "G"),
        directory=str(tree),
        roots=tuple(str(tree / root) for root in roots),
        family=family,
    )


def short(tree: Path, meaning: Meaning) -> str:
    """A meaning in few letters: its files, a star behind those linked whole; whether it is an archive; the rest."""
    files = " ".join(
        file.path.removeprefix(f"{tree}/") + "*" * file.whole + f"({file.kind.value[0]})" for file in meaning.files
    )
    rest = "" if meaning.shared is None else " + " + " ".join(word.removeprefix(f"{tree}/") for word in meaning.shared)
    return files + " archive" * meaning.archive + rest


def read(tree: Path, command: str, where: Search) -> dict[str, str]:
    """What each word of a linker's command stands for."""
    grammar = ld64_options.grammar() if where.family is Family.LD64 else gnu_options.grammar()
    tokens = tokenize(command.split(), None, grammar)
    found = read_libraries(tokens.items, where)
    return {" ".join(tokens.words[word] for word in tokens.items[n].words): short(tree, m) for n, m in found.items()}


GNU: dict[str, tuple[str, str, dict[str, str]]] = {
    # folders, the command, what its words stand for
    "the first folder that has either": ("a b c", "-lx", {"-lx": "a/libx.a(a) archive"}),
    "shared before static in a folder": ("b a", "-lx", {"-lx": "b/libx.so(s)"}),
    "in no folder": ("a", "-ly", {}),
    "a folder twice": ("none b none b", "-lx", {"-lx": "b/libx.so(s)"}),
    "archives alone": ("b c", "-Bstatic -lx -ly", {"-lx": "b/libx.a(a) archive", "-ly": "b/liby.a(a) archive"}),
    "archives alone, and none there": ("a", "-dn -ly -lgcc", {"-ly": " archive"}),
    "both again": ("b", "-non_shared -call_shared -lx", {"-lx": "b/libx.so(s)"}),
    "by its file's name": ("a c", "-l:odd.a -l:none.a", {"-l:odd.a": "c/odd.a(a) archive"}),
    "of every image": ("b", "-lgcc", {"-lgcc": "b/libgcc.a(a)"}),
    "whole": (
        "a b",
        "--whole-archive -lx c/odd.a --no-whole-archive -ly",
        {"-lx": "a/libx.a*(a) archive", "c/odd.a": "c/odd.a*(a) archive", "-ly": "b/liby.a(a) archive"},
    ),
    "states": (
        "b",
        "--push-state -Bstatic --whole-archive --pop-state -lx --pop-state -ly",
        {"-lx": "b/libx.so(s)", "-ly": "b/liby.a(a) archive"},
    ),
    "inputs": (
        "",
        "main.o b/libx.so b/libx.a text.a gone.a @rpath/x.a",
        {"b/libx.so": "b/libx.so(s)", "b/libx.a": "b/libx.a(a) archive"},
    ),
    "objects that are members": (
        "",
        "--start-lib main.o --end-lib more.o",
        {"main.o": "main.o(o)"},
    ),
    "a script": (
        "s b",
        "-lx",
        {"-lx": "s/libx.so.1(s) b/libq.a(a) s/odd.a(a) s/libgcc.a(a) + s/libx.so.1 s/libgcc.a"},
    ),
    "a script that names itself": ("s b", "-ly", {}),
    "a script of archives alone": ("b s", "s/liby.so", {"s/liby.so": "b/liby.a(a) + -lnowhere nowhere.so"}),
    "a script of scripts": (
        "s b",
        "-lshared",
        {
            "-lshared": "s/libx.so.1(s) s/libx.so.1(s) b/libq.a(a) s/odd.a(a) s/libgcc.a(a)"
            " + s/libx.so.1 s/libx.so.1 s/libgcc.a"
        },
    ),
    "a script of what is shared": ("s b", "-lalone", {"-lalone": "s/libx.so.1(s) s/../b/libx.so(s)"}),
    "a script that adds nothing": ("s", "-lempty", {}),
    "an option without its operand": ("b", "b/libx.a -l", {"b/libx.a": "b/libx.a(a) archive"}),
}


@pytest.mark.parametrize(("folders", "command", "expected"), GNU.values(), ids=[*GNU])
def test_libraries_of_gnu_commands(tree: Path, folders: str, command: str, expected: dict[str, str]) -> None:
    """An archive that counts as shared is linked a second time; a shared one that counts as an archive is missing."""
    assert read(tree, command, search(tree, folders)) == expected


APPLE: dict[str, tuple[str, dict[str, str]]] = {
    "stubs before dylibs": ("-lz", {"-lz": "c/libz.tbd(s)"}),
    "dylibs before others": ("-lw", {"-lw": "c/libw.dylib(s)"}),
    "an object": ("-lcrt1.o", {"-lcrt1.o": "c/crt1.o(o)"}),
    "archives alone": ("-hidden-lx -hidden-lz", {"-hidden-lx": "c/libx.a(a) archive", "-hidden-lz": " archive"}),
    "whole": ("-lx -force_load c/odd.a", {"-lx": "c/libx.a(a) archive", "-force_load c/odd.a": "c/odd.a*(a) archive"}),
    "all whole": (
        "-lx -all_load c/odd.a -framework Pod",
        {
            "-lx": "c/libx.a*(a) archive",
            "c/odd.a": "c/odd.a*(a) archive",
            "-framework Pod": "F/Pod.framework/Pod*(a) archive",
        },
    ),
    "frameworks": (
        "-framework Pod -framework Kit,Suffix -framework None",
        {"-framework Pod": "F/Pod.framework/Pod(a) archive", "-framework Kit,Suffix": "G/Kit.framework/Kit(s)"},
    ),
    "a list": ("-filelist list", {"-filelist list": "b/libx.a(a) b/liby.a(a)"}),
    "a list in a folder": ("-filelist list,b -filelist gone", {}),
    "a list, all whole": ("-ObjC -filelist list", {"-filelist list": "b/libx.a*(a) b/liby.a*(a)"}),
    "no scripts": ("s/libx.so", {}),
}


@pytest.mark.parametrize(("command", "expected"), APPLE.values(), ids=[*APPLE])
def test_libraries_of_apples_commands(tree: Path, command: str, expected: dict[str, str]) -> None:
    """As of GNU ld's."""
    assert read(tree, command, search(tree, "c", Family.LD64)) == expected


def test_apples_options_mean_nothing_to_gnu_linkers(tree: Path) -> None:
    """There ``-ObjC`` is no option of that meaning."""
    found = read(tree, "-all_load -la", search(tree, "a"))
    assert found == {}
    assert read(tree, "-ObjC b/libx.a", search(tree)) == {"b/libx.a": "b/libx.a(a) archive"}


@pytest.mark.parametrize(
    ("command", "roots", "expected"),
    [
        ("root/usr/lib/libr.so", ["root"], "root/usr/lib/libin.a(a) + "),
        ("out/libr.so", ["root"], None),
        ("root/usr/lib/libl.so", ["root"], "root/usr/lib/libin.a(a) + "),
        ("out/libe.so", ["root"], "root/usr/lib/libin.a(a) + "),
        ("root/usr/lib/libe.so", ["root"], "root/usr/lib/libin.a(a) root/usr/lib/libin.a(a) + "),
        ("root/usr/lib/libr.so", [], None),
        ("root/usr/lib/libr.so", ["none", "root"], "root/usr/lib/libin.a(a) + "),
    ],
)
def test_scripts_inside_a_system_root(tree: Path, command: str, roots: list[str], expected: str | None) -> None:
    """An absolute name in a script of the sysroot's is of the sysroot; ``=`` says so of any."""
    assert read(tree, command, search(tree, roots=roots)).get(command) == expected


def test_where_a_library_was_found(tree: Path) -> None:
    """What a user reads beside an archive's name."""
    tokens = tokenize(["-lx", "--library=y", "b/libgcc.a", "-l:odd.a"], None, gnu_options.grammar())
    found = read_libraries(tokens.items, search(tree, "a b c"))
    assert [file.found for meaning in found.values() for file in meaning.files] == [
        *("-lx in a", "--libraryy in b", "b/libgcc.a", "-l:odd.a in c"),
    ]
    (script,) = read_libraries(tokens.items[:1], search(tree, "s b")).values()
    path = tree / "s/libx.so"
    assert [file.found for file in script.files] == [
        *(f"libx.so.1 in {path}", "-lq in b", f"odd.a in {path}", f"libgcc.a in {path}"),
    ]


def test_libraries_by_name(tree: Path) -> None:
    """What a driver links by itself, and what its options make archives."""
    where = search(tree, "b")
    assert [short(tree, one) for one in implied_libraries(["x", "none", "y"], where)] == [
        "b/libx.so(s)",
        "b/liby.a(a) archive",
    ]
    options = ["-static-libstdc++", "-static-libgcc", "-static-libasan", "-static-libx"]
    found = runtime_archives(options, where)
    assert [short(tree, one) for one in found] == [
        f"b/lib{name}.a(a) archive" for name in ("stdc++", "gcc_eh", "asan", "x")
    ]
    twice = [*found, *implied_libraries(["x", "gcc"], where)]
    whole = Meaning((found[0].files[0]._replace(whole=True),), archive=True)
    shown = [(file.path.removeprefix(f"{tree}/b/"), file.whole) for file in libraries_in([*twice, whole])]
    assert shown == [
        *(("libstdc++.a", True), ("libgcc_eh.a", False), ("libasan.a", False), ("libx.a", False), ("libx.so", False)),
    ]
    assert [file.is_archive for file in found[0].files] == [True]


def test_words_of_a_script(tree: Path) -> None:
    """GNU ld manual, "File Commands"."""
    assert script_words(str(tree / "s/libx.so")) == ["libx.so.1", "-lq", "odd.a", "libgcc.a"]
    assert script_words(str(tree / "s/liby.so")) == ["-ly", "-lnowhere", "nowhere.so"]
    assert script_words(str(tree / "gone")) == []
    (tree / "nested").write_text("INPUT(a.o AS_NEEDED(b.o) c.o) SECTIONS { } GROUP(d.o)")
    assert script_words(str(tree / "nested")) == ["a.o", "b.o", "c.o", "d.o"]
    (tree / "open").write_text("INPUT(a.o b.o")
    assert script_words(str(tree / "open"))[:1] == ["a.o"]


def test_names_in_a_list(tree: Path) -> None:
    """``-filelist FILE,FOLDER``: each name is seen from the folder."""
    assert listed(f"{tree}/list") == ["main.o", "more.o", "b/libx.a", "b/liby.a"]
    assert listed(f"{tree}/list,/x") == ["/x/main.o", "/x/more.o", "/x/b/libx.a", "/x/b/liby.a"]
    assert listed(f"{tree}/gone") == []
    tokens = tokenize(
        ["main.o", "x.obj", "y.lo", "z.a", "-filelist", "list", "-o", "a.o"], None, ld64_options.grammar()
    )
    names = ["main.o", "x.obj", "y.lo", "main.o", "more.o", "b/libx.a", "b/liby.a"]
    assert [*named_objects(tokens.items, str(tree))] == [str(tree / name) for name in names]
    (tree / "odd").write_bytes(b"\xff.o\n")
    assert listed(f"{tree}/odd") == ["\udcff.o"]


def test_a_plan_without_what_scripts_bring_again(tree: Path) -> None:
    """What a script names besides its archives is added, unless the patch is one object."""
    command = ["ld.lld", "-Ls", "-Lb", "main.o", "-lx", "-o", "host"]
    plan = build_link_plan(command, objects=["p.o"], output="patch.so", directory=tree)
    (added,) = (edit for edit in plan.edits if edit.why == "what the linker script names besides archives")
    assert (added.action, added.before) == (Action.ADDED, ())
    assert added.after == (f"{tree}/s/libx.so.1", f"{tree}/s/libgcc.a")
    assert [Path(item.path).name for item in plan.archives] == ["libq.a", "odd.a"]
    for program in ("ld.lld", "gcc"):
        merged = build_link_plan(
            [program, *command[1:]], objects=["p.o"], output="p.o", directory=tree, relocatable=True
        )
        options = [edit.after for edit in merged.edits if edit.why == "merge everything into one object"]
        assert options == [("-r",) if program == "ld.lld" else ("-r", "-nostdlib")]
        assert not [word for word in merged.args if word.endswith((".so", ".a", ".so.1"))]


def test_objects_of_a_link(tree: Path) -> None:
    """Those in a list, too."""
    files = link_files(CapturedCommand(["ld64.lld", "-arch", "arm64", "-filelist", "list", "-o", "a"], directory=tree))
    assert [Path(path).name for path in files.objects] == ["main.o", "more.o"]


@pytest.mark.parametrize(
    ("program", "options", "added"),
    [
        ("g++", "-static-libstdc++ -static-libgcc", "-nodefaultlibs -lm -lgcc -lc"),
        ("g++", "-static-libgcc", "-nodefaultlibs -lstdc++ -lm -lgcc -lc"),
        ("gcc", "-static-libgcc", "-nodefaultlibs -lgcc -lc"),
        ("clang++", "-static-libstdc++", "-nostdlib++"),
        ("zig c++", "", "-nostdlib++"),
        ("zig cc", "", ""),
        ("cargo-zigbuild zig c++ --", "", "-nostdlib++"),
        ("zigcxx-aarch64-unknown-linux-gnu-3b2c.sh", "", "-nostdlib++"),
        ("zig cc", "-lc++ -lm", "-lm"),
        ("zig c++", "-lstdc++ -lgcc_s -lunwind", "-nostdlib++"),
        ("mpicxx", "-static-libgcc", "-nodefaultlibs -lstdc++ -lm -lgcc -lc"),
        ("g++", "-nodefaultlibs -static-libstdc++", "-nodefaultlibs"),
        ("g++", "-static-libstdc++", "-nodefaultlibs -lm -lgcc_s -lgcc -lc"),
        ("gcc", "-static-libstdc++", "-nodefaultlibs -lgcc_s -lgcc -lc"),
        ("clang++", "-nostdlib++ -static-libstdc++", "-nostdlib++"),
        ("clang++", "-static-libgcc", ""),
        ("clang++", "", ""),
        ("g++", "", ""),
        ("zig c++", "-nostdlib++", "-nostdlib++"),
        ("zig cc", "-static-libgcc", ""),
        ("arm64-apple-darwin20-gcc", "-static-libgcc", ""),
        ("ld.lld", "", ""),
    ],
)
def test_a_static_runtime_is_not_linked_again(program: str, options: str, added: str) -> None:
    """The driver links its runtime by itself: the patch had a second one, or needed a library that nobody loaded."""
    targets = ["aarch64-linux-gnu"] + (["aarch64-macos"] if "zig" in program else [])
    for target in targets:
        named = ["-target", target] if "zig" in program or "clang" in program else []
        command = [*program.split(), *named, "main.o", *options.split(), "-o", "host"]
        plan = build_link_plan(command, objects=["p.o"], output="patch.so")
        words = [word for word in plan.args if word.startswith(("-l", "-nodefault", "-nostdlib"))]
        assert sorted(words) == sorted(added.split())
        assert not [word for word in plan.args if word.startswith("-static-lib")]
        if "apple" not in program:
            merged = build_link_plan(command, objects=["p.o"], output="p.o", relocatable=True)
            assert not {"-nodefaultlibs", "-lgcc", "-lm"} & {*merged.args} - {*options.split()}


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        *((word, True) for word in ("libz.a", "a/libz.so", "libz.so.1", "-lm", "-l", "--library=m", "--library")),
        *((word, True) for word in ("-Wl,-lm", "-Wl,-z,now,-lm", "-Wl,--library=m", "-Wl,-z,now,--library")),
        *((word, False) for word in ("x.o", "-L.", "-Wl,x.o", "-Wl,--library,m", "-Wl,-z,now", "--libraries")),
    ],
)
def test_an_argument_that_names_a_library(argument: str, names: bool) -> None:
    """Behind it, under ``--as-needed``, the patch's objects would get nothing from it."""
    assert links_a_library(Edit(Action.KEPT, (argument,), (argument,), "")) is names


def test_what_is_exported_is_asked_for_once() -> None:
    """A word of another option that is called like the symbol exports nothing."""
    command = ["gcc", "-Wl,-z,now", "-Wl,--export-dynamic-symbol=step", "main.o"]
    plan = build_link_plan(command, objects=["p.o"], output="p.so", os="linux", exports=["now", "step", "fresh"])
    found = [word for argument in plan.args for word in argument.split(",") if word.startswith("--export-dynamic")]
    assert sorted(found) == [f"--export-dynamic-symbol={name}" for name in ("fresh", "now", "step")]


# words


DRIVER = driver_options.grammar()
TAKEN_APART: dict[str, tuple[str, list[tuple[str, str, bool, bool]]]] = {
    # the driver's command, and of each item: its words, its values, whether it is the linker's, whether it is cut off
    "the driver's": (
        "x.o -o a -lm",
        [("x.o", "x.o", False, False), ("-o a", "a", False, False), ("-lm", "m", False, False)],
    ),
    "a list": (
        "-Wl,-z,now,x.o",
        [("-z now", "now", True, False), ("x.o", "x.o", True, False)],
    ),
    "over two lists": ("-Wl,-soname -Wl,a", [("-soname a", "a", True, False)]),
    "over words": ("-Xlinker -soname -Xlinker a", [("-soname a", "a", True, False)]),
    "cut off": ("-Wl,-soname", [("-soname", "", True, True)]),
    "cut off in the driver": ("x.o -o", [("x.o", "x.o", False, False), ("-o", "", False, True)]),
    "an input between": ("-Wl,-soname x.o y.o", [("-soname x.o", "x.o", True, False), ("y.o", "y.o", False, False)]),
    "no word behind": ("-Xlinker", [("-Xlinker", "", False, True)]),
    "a lone dash": ("- x.o", [("-", "-", False, False), ("x.o", "x.o", False, False)]),
}


@pytest.mark.parametrize(("command", "expected"), TAKEN_APART.values(), ids=[*TAKEN_APART])
def test_how_words_hang_together(command: str, expected: list[tuple[str, str, bool, bool]]) -> None:
    """An operand that is read as an input of the host's is dropped, and its option takes what comes next."""
    arguments = command.split()
    tokens = tokenize(arguments, DRIVER, gnu_options.grammar())
    assert [
        (" ".join(tokens.words[word] for word in item.words), " ".join(item.values), item.linker, item.incomplete)
        for item in tokens.items
    ] == expected
    assert [tokens.items[number] for number in tokens.owner] == [
        item for word in range(len(tokens.words)) for item in tokens.items if word in item.words
    ]


@pytest.mark.parametrize(
    ("command", "dropped", "instead", "expected"),
    [
        ("a.o b.o", "a.o", {}, [(), ("b.o",)]),
        ("-Wl,-x,a.o,-y", "a.o", {}, [("-Wl,-x,-y",)]),
        ("-Wl,-x,-y", "-x -y", {}, [()]),
        ("-Xlinker a.o b.o", "a.o", {}, [(), (), ("b.o",)]),
        ("-Xlinker a.o b.o", "b.o", {}, [("-Xlinker",), ("a.o",), ()]),
        ("a.o -Wl,-x,c.o,-y d.o", "", {"a.o": "q.o", "c.o": "r.o"}, [("q.o",), ("-Wl,-x,r.o,-y",), ("d.o",)]),
        ("a.o -Wl,-x,c.o,-y -Wl,-z", "-x", {"c.o": "r.o"}, [("a.o",), ("-Wl,r.o,-y",), ("-Wl,-z",)]),
        ("-Xlinker a.o -Xlinker b.o", "", {"b.o": "q.o"}, [("-Xlinker",), ("a.o",), ("-Xlinker",), ("q.o",)]),
    ],
)
def test_what_is_left_of_each_argument(
    command: str, dropped: str, instead: dict[str, str], expected: list[tuple[str, ...]]
) -> None:
    """A word that is dropped beside its neighbour's leaves the patch's link with an option cut in two."""
    tokens = tokenize(command.split(), DRIVER, gnu_options.grammar())
    kept = [word not in dropped.split() for word in tokens.words]
    texts = {number: instead[word] for number, word in enumerate(tokens.words) if word in instead}
    assert render(tokens, kept, texts) == expected
