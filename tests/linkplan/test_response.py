"""Response files, by the rules of their readers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import need

from stubgen.errors import MalformedInput, UnreadableInput
from stubgen.linkplan import Action, build_link_plan
from stubgen.linkplan.response import expand, quote_gnu, quote_windows, read, split_gnu, split_windows

WORDS = st.lists(st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)), max_size=12))


@given(WORDS)
def test_gnu_quoting_round_trips(words: list[str]) -> None:
    """A plan written to a response file must link exactly what it says."""
    assert split_gnu("\n".join(quote_gnu(word) for word in words)) == words


@given(WORDS)
def test_windows_quoting_round_trips(words: list[str]) -> None:
    """The same for Windows-style tools, where backslashes are folders."""
    assert split_windows("\n".join(quote_windows(word) for word in words)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"a\ b", ["a b"]),
        (r"C:\\x", [r"C:\x"]),
        (r"'a\'b'", ["a'b"]),  # libiberty: a backslash quotes inside single quotes as well
        ("'a'\"b\"c", ["abc"]),
        ("'' \"\"", ["", ""]),
        ("a\u00a0b", ["a\u00a0b"]),
        ("a\x1fb \u2028", ["a\x1fb", "\u2028"]),
        ("a\r\n\tb\f", ["a", "b"]),
        ("a\\\n", ["a\n"]),
        ("'open", ["open"]),
        ("a\\", ["a\\"]),
    ],
)
def test_gnu_splitting(text: str, words: list[str]) -> None:
    """One misread quote shifts every argument after it."""
    assert split_gnu(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"C:\a\b \\srv\x", [r"C:\a\b", r"\\srv\x"]),
        (r'"C:\a b\\" c', ["C:\\a b\\", "c"]),
        (r"a\\\"b", [r"a\"b"]),
        ('"a""b"', ['a"b']),
        ('""', [""]),
        ("'a b'", ["'a", "b'"]),
        ('"""a b""" c', ['"a b"', "c"]),
        ('"""" c', ['"', "c"]),
        ('"""""a b" c', ['""a b', "c"]),
        ('a"b c"d e', ["ab cd", "e"]),
        (r'"a\" b\\" c', ['a" b\\', "c"]),
    ],
)
def test_windows_splitting(text: str, words: list[str]) -> None:
    """CMake and rustc write such files for link.exe."""
    assert split_windows(text) == words


@pytest.mark.parametrize(
    ("word", "gnu", "windows"),
    [
        ("", '""', '""'),
        ("a1", "a1", "a1"),
        ("ax,b!", "ax,b!", "ax,b!"),
        ("a b", "a\\ b", '"a b"'),
        ("it's", "it\\'s", "it's"),
        ('say"x"', 'say\\"x\\"', '"say\\"x\\""'),
        ("C:\\x", "C:\\\\x", "C:\\x"),
        ("C:\\a b\\\\", "C:\\\\a\\ b\\\\\\\\", '"C:\\a b\\\\\\\\"'),
        ('a\\\\"b', 'a\\\\\\\\\\"b', '"a\\\\\\\\\\"b"'),
    ],
)
def test_how_words_are_written(word: str, gnu: str, windows: str) -> None:
    """As little is quoted as the readers need: people read such files, and paste them."""
    assert quote_gnu(word) == gnu
    assert quote_windows(word) == windows
    assert (split_gnu(gnu), split_windows(windows)) == ([word], [word])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a.o é.o".encode("utf-16"), ["a.o", "é.o"]),
        (b"\xfe\xff" + "a.o é.o".encode("utf-16-be"), ["a.o", "é.o"]),
        (b"\xff\xfe" + "a.o".encode("utf-16-le") + b"x", ["a.o\ufffd"]),
        (b"\xef\xbb\xbfa.o \xc3\xa9.o", ["a.o", "é.o"]),
        (b"a.o \xef\xbb\xbf", ["a.o", "\ufeff"]),
        (b"\xff.o a.o", ["\udcff.o", "a.o"]),
    ],
)
def test_how_letters_are_written(tmp_path: Path, content: bytes, words: list[str]) -> None:
    """Windows tools mark their files' encoding, and the mark is no part of the first name."""
    (tmp_path / "f.rsp").write_bytes(content)
    assert expand(["cc", "@f.rsp"], directory=tmp_path).arguments == ["cc", *words]


NASTY = ["a b", "it's", 'say "x"', "back\\slash", "", "$HOME", "@rpath/x", "-Wl,-rpath,$ORIGIN", "é", "tab\there"]


@pytest.mark.parametrize("tool", ["ld.lld-19", "aarch64-linux-gnu-ld", "clang-19", "gcc"])
def test_the_real_readers_agree(tmp_path: Path, tool: str) -> None:
    """Our quoting is right if each program that reads the file finds the same names in it."""
    program = str(need(tool))
    names = [f"no/such/{word}.o".replace("/x.o", "-x.o") for word in NASTY]
    (tmp_path / "args.rsp").write_text("\n".join(quote_gnu(name) for name in names))
    done = subprocess.run(
        [program, "@args.rsp"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    for name in names:
        assert name in done.stderr


def write(folder: Path, **files: str) -> None:
    """Write *files* as ``NAME.rsp``."""
    for name, text in files.items():
        (folder / f"{name}.rsp").write_text(text)


def test_nested_files_are_read_from_the_working_directory(tmp_path: Path) -> None:
    """GCC and clang look up every name from where they run, also a name inside a file elsewhere."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "outer.rsp").write_text("a.o @inner.rsp b.o")
    write(tmp_path, inner="'in ner.o'")
    expansion = expand(["cc", "@sub/outer.rsp", "-lm"], directory=tmp_path)
    assert expansion.arguments == ["cc", "a.o", "in ner.o", "b.o", "-lm"]
    assert expansion.file_of == [-1, 0, 0, 0, -1]


def test_a_cycle_is_reported_with_its_way(tmp_path: Path) -> None:
    """A build script that includes itself must not hang the builder."""
    write(tmp_path, one="@two.rsp", two="x.o @one.rsp")
    said = r"\Aone.rsp: the response file includes itself \(one.rsp -> two.rsp -> one.rsp\)"
    for word in ("@one.rsp", "-Wl,-x,@one.rsp"):
        with pytest.raises(MalformedInput, match=said):
            expand(["cc", word], directory=tmp_path)


def test_which_words_come_from_which_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan leaves a file where it is if nothing of it goes, and unfolds another one."""
    write(tmp_path, one="a.o -x", two="b.o", kept="c.o")
    copies = {"old.rsp": tmp_path / "kept.rsp"}
    words = [
        "cc",
        "x.o",
        "-Wl,@one.rsp,-z,@gone.rsp",
        "@two.rsp",
        "@old.rsp",
        "-Wl,@old.rsp",
        "-Wl,-z,@lost.rsp",
        "@",
        "-Wl,@",
    ]
    words += ["lib/@two.rsp", "-Wl,now"]
    monkeypatch.chdir(tmp_path)
    for directory in (tmp_path, None):
        found = expand(words, directory=directory, copies=copies)
        assert found.arguments == [
            *("cc", "x.o", "-Xlinker", "a.o", "-Xlinker", "-x", "-Xlinker", "-z", "-Xlinker", "@gone.rsp"),
            *("b.o", "c.o", "-Xlinker", "c.o", "-Wl,-z,@lost.rsp", "@", "-Wl,@", "lib/@two.rsp", "-Wl,now"),
        ]
        assert found.file_of == [-1, -1, *[0] * 8, 1, 2, 3, 3, *[-1] * 5]
        assert [(file.text, file.copied) for file in found.files] == [
            *(("-Wl,@one.rsp,-z,@gone.rsp", False), ("@two.rsp", False), ("@old.rsp", True), ("-Wl,@old.rsp", True)),
        ]
        assert found.missing == ["@gone.rsp", "-Wl,-z,@lost.rsp"]
    plain = expand(["cc", "x.o"])
    assert (plain.arguments, plain.file_of, plain.files, plain.missing) == (["cc", "x.o"], [-1, -1], [], [])


def test_a_response_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A sentence that names it, not a traceback."""
    with pytest.raises(UnreadableInput, match="no/such: the response file cannot be read: No such file"):
        read(f"{tmp_path}/no/such", split_gnu)


def test_the_same_file_twice_is_no_cycle(tmp_path: Path) -> None:
    """CMake names one library list twice for circular archives."""
    write(tmp_path, libs="-la -lb")
    assert expand(["cc", "@libs.rsp", "@libs.rsp"], directory=tmp_path).arguments == ["cc", *["-la", "-lb"] * 2]


def test_a_missing_file_is_kept_and_reported(tmp_path: Path) -> None:
    """What it held cannot be known; the user must hear of it before the linker fails."""
    for name in ("@gone.rsp", "@./gone.so.rsp"):
        plan = build_link_plan(["gcc", "-o", "a", name], objects=["p.o"], output="p.so", directory=tmp_path)
        assert name in plan.args
        assert any(f"{name}: no such response file" in warning for warning in plan.warnings)
    write(tmp_path, outer="x.o @gone.rsp @rpath/x.dylib @")
    assert expand(["cc", "@outer.rsp"], directory=tmp_path).missing == ["@gone.rsp"]
    for word in ("@outer.rsp", "-Wl,@outer.rsp", "-Wl,@outer.rsp,@gone.rsp"):
        plan = build_link_plan(["gcc", "-o", "a", word], objects=["p.o"], output="p.so", directory=tmp_path)
        assert "@gone.rsp" in plan.args
        assert any("@gone.rsp: no such response file" in warning for warning in plan.warnings)


def test_loader_variables_are_no_missing_files() -> None:
    """``@rpath/x`` starts with the same character and is no file."""
    plan = build_link_plan(
        ["clang", "-target", "arm64-apple-macos12", "-rpath", "@loader_path/..", "x.o"], objects=["p.o"], output="p"
    )
    assert "@loader_path/.." in plan.args
    assert plan.warnings == ()


@pytest.mark.parametrize(
    ("content", "after", "action"),
    [
        ("-lm -L/x", ("@f.rsp",), Action.KEPT),
        ("x.o y.o", (), Action.DROPPED),
        ("x.o -lm 'a b.o' -o out", ("-lm",), Action.REPLACED),
    ],
)
def test_a_file_stays_only_if_nothing_in_it_goes(
    tmp_path: Path, content: str, after: tuple[str, ...], action: Action
) -> None:
    """Objects hidden in a response file are objects all the same."""
    write(tmp_path, f=content)
    plan = build_link_plan(["gcc", "@f.rsp"], objects=["p.o"], output="p.so", directory=tmp_path)
    (edit,) = [edit for edit in plan.edits if edit.before == ("@f.rsp",)]
    assert (edit.after, edit.action) == (after, action)


def test_a_copy_is_preferred_and_unfolded(tmp_path: Path) -> None:
    """The file itself may hold the next link's arguments by now, and vanishes before the patch is linked."""
    write(tmp_path, f="wrong.o -lwrong", copy="-lright")
    plan = build_link_plan(
        ["gcc", "@f.rsp"],
        objects=["p.o"],
        output="p.so",
        directory=tmp_path,
        response_files={"f.rsp": tmp_path / "copy.rsp"},
    )
    assert "-lright" in plan.args
    assert not [argument for argument in plan.args if "wrong" in argument or argument == "@f.rsp"]


def test_a_file_for_the_linker_is_opened_too(tmp_path: Path) -> None:
    """``-Wl,@objects`` is expanded by the linker, not the driver."""
    write(tmp_path, f="x.o -rpath /a,b")
    plan = build_link_plan(["gcc", "-Wl,@f.rsp"], objects=["p.o"], output="p.so", directory=tmp_path)
    assert plan.args[1:5] == ("-Xlinker", "-rpath", "-Xlinker", "/a,b")


def test_options_may_span_a_file_and_the_command_line(tmp_path: Path) -> None:
    """The driver joins everything before it reads options."""
    write(tmp_path, f="x.o -o")
    plan = build_link_plan(["gcc", "@f.rsp", "out", "-lm"], objects=["p.o"], output="p.so", directory=tmp_path)
    assert "out" not in plan.args
    assert "-lm" in plan.args


def test_a_command_that_is_too_long_goes_through_a_file(tmp_path: Path) -> None:
    """Linux refuses to start a process with more arguments than fit; the file must say the same."""
    argv = ["ccache", "aarch64-linux-gnu-gcc", "-o", "a", *[f"-L/long/folder/name/{n}/it's" for n in range(2000)]]
    plan = build_link_plan(argv, objects=["p.o"], output=tmp_path / "p.so")
    assert plan.command(tmp_path) == list(plan.args)
    command = plan.command(tmp_path, limit=10_000)
    assert command == ["ccache", "aarch64-linux-gnu-gcc", f"@{tmp_path / 'p.so.rsp'}"]
    assert expand(command).arguments == list(plan.args)


def test_windows_files_for_windows_tools(tmp_path: Path) -> None:
    """A backslash in a link.exe file is a folder, not a quote."""
    write(tmp_path, f=r'C:\x\a.obj "C:\b b\c.obj" /DEBUG')
    plan = build_link_plan(["link.exe", "@f.rsp", "/OUT:a.dll"], objects=["p.obj"], output="p.dll", directory=tmp_path)
    assert plan.args[1] == "/DEBUG"
    assert len(plan.args) == 4


def nest(folder: Path, depth: int, each: int) -> None:
    """``r0`` names ``r1`` *each* times, and so on; the last one names an object."""
    for number in range(depth):
        (folder / f"r{number}").write_text(f"@r{number + 1}\n" * each)
    (folder / f"r{depth}").write_text("x.o\n")


def test_response_files_that_multiply_are_malformed(tmp_path: Path) -> None:
    """A few hundred bytes of them took all memory, in ``plan`` and in front of every link of a build."""
    nest(tmp_path, 60, 2)
    with pytest.raises(MalformedInput, match="names more than 2000 response files, nested ones too"):
        expand(["cc", "@r0"], directory=tmp_path)


def test_a_deep_chain_of_response_files_is_read(tmp_path: Path) -> None:
    """A driver follows 2,000 of them; Python's own limit of calls is half of that."""
    nest(tmp_path, 1_999, 1)
    assert expand(["cc", "@r0", "-lm"], directory=tmp_path).arguments == ["cc", "x.o", "-lm"]
    nest(tmp_path, 2_000, 1)
    with pytest.raises(MalformedInput, match="names more than 2000 response files"):
        expand(["cc", "@r0"], directory=tmp_path)
