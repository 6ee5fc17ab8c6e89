"""What becomes of each option and input, rule by rule, and what the captured command says of the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stubgen.linkplan import CapturedCommand, LinkerOs, PatchRequest, decisions
from stubgen.linkplan.decisions import Context, decide_all, make_context
from stubgen.linkplan.edits import Verdict
from stubgen.linkplan.library_file import FileKind
from stubgen.linkplan.options import Grammar, Role
from stubgen.linkplan.tokens import Item, Tokens, tokenize
from stubgen.linkplan.toolchain import CommandLine, read_command

GCC, CLANG = "aarch64-linux-gnu-gcc", "clang -target arm64-apple-macos12"
LD, LD64 = "ld.lld", "ld64.lld -arch arm64"
SHARED = b"\x7fELF" + bytes(12) + b"\3\0"
OBJECT = b"\x7fELF" + bytes(12) + b"\1\0"
ARCHIVE = b"!<arch>\n"


def read(
    command: str, directory: Path | None = None, environment: dict[str, str] | None = None
) -> tuple[CommandLine, Tokens]:
    """A captured command, taken apart."""
    line = read_command(CapturedCommand(command.split(), directory=directory, environment=environment), None)
    driver = line.toolchain.driver_grammar() if line.toolchain.driver else None
    return line, tokenize(line.arguments, driver, line.toolchain.linker_grammar())


def context_of(command: str, directory: Path | None = None, **wishes: Any) -> Context:
    """What the rules go by."""
    environment = wishes.pop("environment", {})
    line, tokens = read(command, directory, environment)
    return make_context(tokens, line, PatchRequest(**{"objects": ["p.o"], "output": "p.so", **wishes}))


def decided(command: str, directory: Path | None = None, **wishes: Any) -> list[tuple[str, Verdict]]:
    """The words of each option and input, and what becomes of them."""
    line, tokens = read(command, directory, {})
    context = make_context(tokens, line, PatchRequest(**{"objects": ["p.o"], "output": "p.so", **wishes}))
    verdicts = decide_all(tokens.items, context)
    texts = (" ".join(tokens.words[word] for word in item.words) for item in tokens.items)
    return list(zip(texts, verdicts, strict=True))


def verdict(command: str, directory: Path | None = None, **wishes: Any) -> Verdict:
    """What becomes of the last one."""
    return decided(command, directory, **wishes)[-1][1]


GOES = {  # role -> a word of the reason that people read
    "input": "rebuilt",
    "output": "names the host's file",
    "mode": "contradicts",
    "shared": "given once",
    "static": "contradicts",
    "relocatable": "contradicts",
    "unresolved": "directive",
    "symbol list": "does not define",
    "strip": "unreferenced",
    "identity": "return the loaded host",
    "side output": "overwrite",
    "executable": "executable only",
    "not loadable": "how a patch is loaded",
    "end of options": "inputs of the patch's own",
    "language": "as source",
    "layout": "lays out",
    "folding": "would have one alone",
    "initialiser": "start-up or shut-down",
    "definition": "defines a name",
    "root": "contain it again",
    "symbol": "names a symbol",
    "no export": "hides",
    "versions": "versions",
    "binding": "look up what the patch defines",
    "merged": "merged",
    "grouping": "must all be linked",
    "input format": "inputs are read",
    "report": "reports",
    "libtool": "libtool",
    "archives": "no archive",
}
MERGED = {
    "library": "the final link does",
    "library file": "the final link does",
    "framework": "the final link does",
    "final": "beside -r",
    "start-up": "start-up code",
}
ASKED = {"library", "library file", "framework", "export", "build id", "wrap", "symbols file", "keyword"}
"""Roles where the operand or the request decides."""
STAYS = {"plain", "target", "search", "final", "output format"}
NO_VERDICT = {"forward list", "forward next", "compile", "no link", "start-up"}
"""Roles that no item of a link has: start-up code is no option."""


def grammars() -> list[tuple[str, bool, Grammar]]:
    """A command that is read by each table, and whether the linker's own options are meant."""
    found = []
    for command in (GCC, CLANG, LD, LD64, f"libtool --mode=link {GCC} x.lo -o x.la"):
        toolchain = read(command)[0].toolchain
        if toolchain.driver:
            found.append((command, False, toolchain.driver_grammar()))
        found.append((command, True, toolchain.linker_grammar()))
    return found


def items_of(role: Role) -> list[tuple[str, Item]]:
    """An item for each option of that role, in each grammar, behind the command that it is of."""
    return [
        (command, Item(option, [0], ["x"], linker, False))
        for command, linker, grammar in grammars()
        for option in grammar.options()
        if option.role is role
    ]


def test_every_role_is_somewhere_here() -> None:
    """A new role that no rule knows stays in the patch's command by accident."""
    assert {role.value for role in Role} == {*GOES, *ASKED, *STAYS, *NO_VERDICT}


@pytest.mark.parametrize("role", GOES)
def test_a_role_that_goes(role: str) -> None:
    """The host's own, kept, ends in a patch that is no library, overwrites the host or runs its start-up again."""
    items = items_of(Role(role))
    assert items
    for command, item in items:
        (said,) = decide_all([item], context_of(command))
        assert (said.stays, said.dropped_roles, said.instead) == (False, (Role(role),), "")
        assert GOES[role] in said.why


@pytest.mark.parametrize("role", sorted(STAYS - {"final"}))
def test_a_role_that_stays(role: str) -> None:
    """Without the target, the folders or the flags the patch is linked for something else."""
    for relocatable in (False, True):
        for command, item in items_of(Role(role)):
            assert decide_all([item], context_of(command, relocatable=relocatable)) == [Verdict(True, "")]


@pytest.mark.parametrize("role", MERGED)
def test_a_role_that_goes_from_a_merged_object(role: str) -> None:
    """A merged object that names libraries is refused by the linker, or links them twice."""
    for command, item in items_of(Role(role)):
        (said,) = decide_all([item], context_of(command, relocatable=True))
        assert (said.stays, said.dropped_roles) == (False, (Role(role),))
        assert MERGED[role] in said.why
        if role != "start-up":
            assert decide_all([item], context_of(command))[0].stays
    assert {role.value for role in decisions.RELOCATABLE_DROPS} == {*MERGED}


def test_what_stays_in_a_merged_object() -> None:
    """Roles that always go, go there as well; the others' rules are asked."""
    assert verdict(f"{GCC} -o out", relocatable=True).dropped_roles == (Role.OUTPUT,)
    assert verdict(f"{GCC} -Wl,--export-dynamic-symbol=f", relocatable=True, exports=["f"]) == decisions.ALSO_EXPORTED
    assert verdict(f"{GCC} libx.so", relocatable=True).dropped_roles == (Role.LIBRARY_FILE,)
    assert verdict(f"{GCC} crti.o", relocatable=True).dropped_roles == (Role.START_UP,)
    assert verdict(f"{GCC} crtbegin.o", relocatable=True).dropped_roles == (Role.START_UP,)
    assert verdict(f"{GCC} x.o", relocatable=True) is decisions.HOST_INPUT


def test_an_option_without_its_operand() -> None:
    """It would take the patch's first argument for it."""
    assert verdict(f"{GCC} -L") is decisions.INCOMPLETE
    assert verdict(f"{GCC} -Wl,-rpath") is decisions.INCOMPLETE
    assert verdict(f"{GCC} -o") is decisions.INCOMPLETE
    kept, cut = decided(f"{GCC} -L x -L")
    assert (kept[1], cut[1]) == (Verdict(True, ""), decisions.INCOMPLETE)
    assert not decisions.INCOMPLETE.stays
    assert decisions.INCOMPLETE.dropped_roles == ()


def test_options_of_one_name_are_not_taken_for_each_other() -> None:
    """-h is help to a driver and a soname to the linker, and -s -x and -S are each read once."""
    said = decided(f"{GCC} -h a -Wl,-h,libx.so -lm -Wl,-h,liby.so -h b -lhost", host="libhost.so")
    assert [one.stays for _, one in said] == [True, False, True, False, True, False]


UNLISTED = {
    # what stands there -> what becomes of it: in an empty folder, but for a file called "plain"
    "x.o": decisions.HOST_INPUT,
    "dir/x.a": decisions.HOST_INPUT,
    "x.OBJ": decisions.HOST_INPUT,
    "x.c": decisions.HOST_INPUT,
    "x.d": decisions.HOST_INPUT,
    "x.la": decisions.HOST_INPUT,
    "x.lo": decisions.HOST_INPUT,
    "a@@b.o": decisions.HOST_INPUT,
    "plain": decisions.HOST_INPUT,
    "sub/other": decisions.HOST_INPUT,
    "sub\\other": decisions.HOST_INPUT,
    "other": decisions.NO_INPUT_NAME,
    "name.unknown": decisions.NO_INPUT_NAME,
    "o": decisions.NO_INPUT_NAME,
    "@gone.rsp": decisions.NO_RESPONSE_FILE,
    "libx.so": decisions.SUPPLIER,
    "dir/libx.so.1.2": decisions.SUPPLIER,
    "libX.SO.1": decisions.SUPPLIER,
    "libx.dylib": decisions.SUPPLIER,
    "libx.tbd": decisions.SUPPLIER,
    "x.so.": decisions.NO_INPUT_NAME,
    "x.so.1!": decisions.NO_INPUT_NAME,
    "x.dll": decisions.HOST_INPUT,
    "libhost.so": decisions.BACK_EDGE,
    "out/libhost.so": decisions.BACK_EDGE,
    "libhost.so.1": decisions.BACK_EDGE,
    "libhost.dylib": decisions.BACK_EDGE,
    "libhost.so.o": decisions.HOST_INPUT,
    "libhosts.so": decisions.SUPPLIER,
    "crti.o": Verdict(True, "every image has its own: the prologues of the image's own _init and _fini"),
    "gcc/libgcc.a": Verdict(
        True, "every image has its own: arithmetic that the compiler calls; hidden, and without state"
    ),
    "crtbegin.o": decisions.EXECUTABLE_START_UP,
    "crtend.o": decisions.HOST_INPUT,
    "crtbegin_static.o": decisions.EXECUTABLE_START_UP,
    "crtend_android.o": decisions.HOST_INPUT,
}


@pytest.mark.parametrize("text", UNLISTED)
@pytest.mark.parametrize("program", [GCC, LD])
def test_inputs_by_their_names(tmp_path: Path, program: str, text: str) -> None:
    """An object of the host's that stays is linked again: the patch works on a second copy of its state."""
    (tmp_path / "plain").write_text("a linker script without an ending")
    assert verdict(f"{program} -lm {text}", tmp_path, host="libhost.so") == UNLISTED[text]


ENDINGS = (
    "o obj a lib rlib rmeta lo la bc tbd dylib so dll sl bundle res def ld lds lnk ltrans "
    "c cc cpp cxx m mm s asm swift f f90 d"
)


@pytest.mark.parametrize("ending", ENDINGS.split())
def test_every_ending_of_an_input(tmp_path: Path, ending: str) -> None:
    """One that is not known as an input is passed on, and links the host's code into the patch."""
    for text in (f"x.{ending}", f"x.{ending.upper()}"):
        assert verdict(f"{GCC} {text}", tmp_path) in (decisions.HOST_INPUT, decisions.SUPPLIER)
    assert set(ENDINGS.split()) == decisions.INPUT_ENDINGS


def test_words_that_are_handed_to_the_linker(tmp_path: Path) -> None:
    """Behind -Wl, a slash does not make an input: it may be the operand of an option that no table has."""
    (tmp_path / "plain").write_text("")
    assert verdict(f"{GCC} -Wl,sub/other", tmp_path) is decisions.NO_INPUT_NAME
    assert verdict(f"{LD} sub/other", tmp_path) is decisions.HOST_INPUT
    assert verdict(f"{GCC} -Wl,plain", tmp_path) is decisions.HOST_INPUT
    assert verdict(f"{GCC} -Wl,sub/x.o", tmp_path) is decisions.HOST_INPUT
    assert verdict(f"{GCC} --frobnicate", tmp_path) == Verdict(True, "")


def test_start_up_code_of_a_library_is_taken_where_it_lies(tmp_path: Path) -> None:
    """With an executable's, static destructors of the patch run when dlclose has unmapped them."""
    (tmp_path / "lib").mkdir()
    rows = {"crtbegin.o": "crtbeginS.o", "crtbeginT.o": "crtbeginS.o", "crtend.o": "crtendS.o"}
    rows |= {
        "crtbegin_dynamic.o": "crtbegin_so.o",
        "crtbegin_static.o": "crtbegin_so.o",
        "crtend_android.o": "crtend_so.o",
    }
    for name in rows.values():
        (tmp_path / "lib" / name).write_bytes(OBJECT)
    for name, other in rows.items():
        expected = Verdict(True, "an executable's; a shared library has the other", instead=f"lib/{other}")
        assert verdict(f"{GCC} lib/{name}", tmp_path) == expected
    assert verdict(f"{GCC} lib/crtbeginS.o", tmp_path).stays
    assert verdict(f"{GCC} lib/crtbegin.o", tmp_path, relocatable=True).dropped_roles == (Role.START_UP,)
    assert decisions.EXECUTABLE_START_UP.dropped_roles == (Role.START_UP,)


def test_libtools_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libx.la is read by libtool alone; what it describes may be what the host is supplied by."""
    (tmp_path / "sub" / ".libs").mkdir(parents=True)
    (tmp_path / "sub" / ".libs" / "libx.so.1").write_bytes(SHARED)
    described = {
        "libx.la": "# a\nx='y'\ndlname='libx.so.1'\n",
        "gone.la": "dlname='libgone.so'\n",
        "static.la": "dlname=''\n",
        "other.la": "old_library='libx.a'\n",
        "late.la": " dlname='libx.so.1'\n",
    }
    for name, text in described.items():
        (tmp_path / "sub" / name).write_text(text)
    found = Verdict(True, "the shared library that it describes", instead="sub/.libs/libx.so.1")
    assert verdict(f"{GCC} sub/libx.la", tmp_path) == found
    for name in ("gone", "static", "other", "late", "missing"):
        assert verdict(f"{GCC} sub/{name}.la", tmp_path) is decisions.HOST_INPUT, name
    assert verdict(f"{GCC} sub/libx.la", tmp_path, host="libx.so") is decisions.BACK_EDGE
    (tmp_path / "libx.la").write_bytes(b"\xff\ndlname='libx.so.1'\n")
    assert verdict(f"{GCC} libx.la", tmp_path) is decisions.HOST_INPUT
    (tmp_path / "sub" / "near.la").write_text("#" + "x" * (1 << 15) + "\ndlname='libx.so.1'\n")
    assert verdict(f"{GCC} sub/near.la", tmp_path) == found
    monkeypatch.chdir(tmp_path)
    assert verdict(f"{GCC} sub/libx.la") == found
    assert verdict("ld.bfd -R sub/libx.la") is decisions.HOST_SYMBOLS
    (tmp_path / "sub" / "far.la").write_text("#" + "x" * (1 << 16) + "\ndlname='libx.so.1'\n")
    assert verdict(f"{GCC} sub/far.la", tmp_path) is decisions.HOST_INPUT


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """A build's folder with ``lib``, and a system's beside it."""
    for folder in ("build/lib", "system"):
        (tmp_path / folder).mkdir(parents=True)
    for name, content in {
        "build/lib/libmine.a": ARCHIVE,
        "build/lib/libmine.so": SHARED,
        "build/lib/libonly.a": ARCHIVE,
        "build/lib/libboth.so": SHARED,
        "build/lib/odd.o": OBJECT,
        "build/lib/libscript.so": b"INPUT ( libonly.a libboth.so )",
        "system/libsys.a": ARCHIVE,
        "system/libshared.so": SHARED,
        "system/odd.o": OBJECT,
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


LIBRARIES = {
    # -l words -> what becomes of the last, with -Llib and -L../system
    "-lm": Verdict(True, ""),
    "-lhost": decisions.BACK_EDGE,
    "-l host": decisions.BACK_EDGE,
    "-lmine": Verdict(True, ""),
    "-lonly": decisions.HOST_ARCHIVE,
    "-lsys": decisions.HOST_ARCHIVE,
    "-lshared": Verdict(True, ""),
    "-lscript": decisions.HOST_ARCHIVE,
    "-Wl,-Bstatic -lmine": decisions.HOST_ARCHIVE,
    "-l:libmine.so": Verdict(True, ""),
    "-l:libmine.a": decisions.HOST_INPUT,
    "-l:odd.o": decisions.HOST_INPUT,
    "-l:libsys.a": decisions.HOST_ARCHIVE,
    "-l:libshared.so": Verdict(True, ""),
    "-l:libgone.a": Verdict(True, ""),
    "-l:libhost.so": decisions.BACK_EDGE,
    "-l:libscript.so": decisions.HOST_INPUT,
}


@pytest.mark.parametrize("words", LIBRARIES)
def test_libraries_by_name(libraries: Path, words: str) -> None:
    """An archive that stays is linked a second time; a back-edge loads the host a second time."""
    command = f"{GCC} -Llib -L{libraries}/system {words}"
    assert verdict(command, libraries / "build", host="out/libhost.so") == LIBRARIES[words]


@pytest.mark.parametrize("name", sorted(decisions.ZIG_ARCHIVES))
@pytest.mark.parametrize("target", ["aarch64-linux-gnu", "aarch64-macos"])
def test_zigs_own_archives_have_a_reason_of_their_own(target: str, name: str) -> None:
    """It was said that what the host lacks of one is taken from it, and no file of that name is ever read."""
    said = verdict(f"zig cc -target {target} -l{name}")
    assert said is decisions.ZIG_ARCHIVE
    assert (said.stays, said.dropped_roles) == (False, (Role.LIBRARY,))
    assert said.why.startswith("zig links its own archive of it, which the host has in it")
    assert "taken from it" not in said.why
    assert verdict(f"{GCC} -l{name}") == Verdict(True, "")
    assert verdict(f"zig cc -target {target} -lm") == Verdict(True, "")


def test_the_first_folder_that_has_the_file_counts(libraries: Path) -> None:
    """The linker stops there; a file of that name in the build's own folder says nothing then."""
    build = libraries / "build"
    system = f"-L{libraries}/system"
    assert verdict(f"{GCC} {system} -Llib -l:odd.o", build) == Verdict(True, "")
    assert verdict(f"{GCC} -Llib {system} -l:odd.o", build) is decisions.HOST_INPUT
    assert verdict(f"{GCC} -L{build}/lib {system} -l:odd.o", build) is decisions.HOST_INPUT
    assert verdict(f"{GCC} -Lgone {system} -l:odd.o", build) == Verdict(True, "")
    assert verdict(f"{GCC} -Llib -l:odd.o", build / "lib" / "..") is decisions.HOST_INPUT
    assert verdict(f"{GCC} -L{build}/lib -l:odd.o").stays  # where it ran is not known
    assert verdict(f"{LD} --library-path=lib -l:odd.o", build) is decisions.HOST_INPUT
    assert verdict(f"{LD} --library-path lib -l:odd.o", build) is decisions.HOST_INPUT
    assert verdict(f"{GCC} --library-directory=lib -l:odd.o", build) is decisions.HOST_INPUT
    (build / "linked").symlink_to(libraries / "system")
    assert verdict(f"{GCC} -Llinked -l:odd.o", build) == Verdict(True, "")


def test_names_that_ld64_reads_otherwise(tmp_path: Path) -> None:
    """-lcrt1.o is an object to it, which holds the start-up code of a program."""
    assert verdict(f"{LD64} -lcrt1.o", tmp_path) is decisions.HOST_INPUT
    assert verdict(f"{CLANG} -lcrt1.o", tmp_path) is decisions.HOST_INPUT
    assert verdict(f"{LD64} -lSystem", tmp_path) == Verdict(True, "")
    assert verdict(f"{GCC} -lcrt1.o", tmp_path) == Verdict(True, "")


def test_library_files_and_frameworks(tmp_path: Path) -> None:
    """-weak_library and -framework name what -l names otherwise."""
    (tmp_path / "lib.a").write_bytes(ARCHIVE)
    (tmp_path / "X.framework").mkdir()
    (tmp_path / "X.framework" / "X").write_bytes(ARCHIVE)
    host = {"host": "/app/Host"}
    assert verdict(f"{LD64} -weak_library /x/Host", tmp_path, **host) is decisions.BACK_EDGE
    assert verdict(f"{LD64} -weak_library /x/other", tmp_path, **host) == Verdict(True, "")
    assert verdict(f"{LD64} -weak_library lib.a", tmp_path, **host) is decisions.HOST_ARCHIVE
    assert verdict(f"{LD64} -framework Host", tmp_path, **host) is decisions.BACK_EDGE
    assert verdict(f"{LD64} -framework Host,_debug", tmp_path, **host) is decisions.BACK_EDGE
    assert verdict(f"{LD64} -framework Cocoa", tmp_path, **host) == Verdict(True, "")
    assert verdict(f"{LD64} -F. -framework X", tmp_path, **host) is decisions.HOST_ARCHIVE


def test_what_is_exported() -> None:
    """A name of the host's that the patch exports as well is found twice."""
    words = f"{GCC} -Wl,--export-dynamic-symbol=f"
    assert verdict(words) is decisions.NOT_EXPORTED
    assert verdict(words, exports=["g"]) is decisions.NOT_EXPORTED
    assert verdict(words, exports=["g", "f"]) is decisions.ALSO_EXPORTED
    assert (decisions.NOT_EXPORTED.stays, decisions.NOT_EXPORTED.dropped_roles) == (False, (Role.EXPORT,))
    assert (decisions.ALSO_EXPORTED.stays, decisions.ALSO_EXPORTED.dropped_roles) == (True, ())


@pytest.mark.parametrize(
    ("word", "stays"),
    [
        ("", True),
        ("=sha1", True),
        ("=uuid", True),
        ("=0x12ab", False),
        ("=0X12", False),
        ("=x0", True),
        ("=none", True),
    ],
)
def test_the_build_id(word: str, stays: bool) -> None:
    """A patch with the host's build id is taken for the host by debuggers and symbol servers."""
    said = verdict(f"{LD} --build-id{word}")
    assert said == (Verdict(True, "") if stays else decisions.SAME_BUILD)
    assert not decisions.SAME_BUILD.stays


def test_wraps_stay_and_are_known() -> None:
    """The host's calls of malloc go to __wrap_malloc, and so do the patch's."""
    command = f"{GCC} -Wl,--wrap=malloc -Wl,--wrap,free -Wl,--wrap=malloc"
    assert verdict(command) is decisions.WRAPPED
    assert decisions.WRAPPED.stays
    assert context_of(command).wrapped == ("malloc", "free")


def test_a_symbols_file_is_the_hosts(tmp_path: Path) -> None:
    """-R FILE gives link-time addresses, -R FOLDER a run path."""
    (tmp_path / "host.sym").write_bytes(OBJECT)
    (tmp_path / "folder").mkdir()
    assert verdict("ld.bfd -R host.sym", tmp_path) is decisions.HOST_SYMBOLS
    assert verdict("ld.bfd -R folder", tmp_path) == Verdict(True, "")
    assert verdict("ld.bfd -R gone", tmp_path) == Verdict(True, "")
    assert (decisions.HOST_SYMBOLS.stays, decisions.HOST_SYMBOLS.dropped_roles) == (False, ())


@pytest.mark.parametrize(
    ("words", "stays"),
    [
        ("-z now", True),
        ("-z defs", False),
        ("-z nodlopen", False),
        ("-z max-page-size=4096", True),
        ("-z stack-size=65536", False),
        ("-z undefs", False),
    ],
)
@pytest.mark.parametrize("form", ["linker", "driver", "handed on"])
def test_keywords_have_roles_of_their_own(words: str, stays: bool, form: str) -> None:
    """-z defs has the link fail over what the running host supplies, -z nodlopen the load."""
    command = {
        "linker": f"{LD} {words}",
        "driver": f"{GCC} {words}",
        "handed on": f"{GCC} -Wl,{words.replace(' ', ',')}",
    }
    said = verdict(command[form])
    assert said.stays is stays
    assert bool(said.dropped_roles) is not stays


def test_keywords_are_of_the_table_that_the_option_is_of() -> None:
    """ld64 has none, and clang reads -z defs for whichever linker it calls."""
    assert verdict(f"{CLANG} -z defs").dropped_roles == (Role.UNRESOLVED,)
    assert verdict(f"{CLANG} -z now").stays


HOST_NAMES: dict[str, tuple[str, dict[str, Any], set[str], set[str]]] = {
    # command, wishes, file names, names behind -l
    "none": (GCC, {}, set(), set()),
    "given": (GCC, {"host": "/app/libhost.so.1"}, {"libhost.so.1"}, {"host"}),
    "output": (f"{GCC} -o out/libx.so", {}, {"libx.so"}, {"x"}),
    "soname": (f"{GCC} -Wl,-soname,dir/liby.so.2", {}, {"liby.so.2"}, {"y"}),
    "several": (f"{GCC} -o libx.so -Wl,-soname=liby.so", {"host": "z"}, {"libx.so", "liby.so", "z"}, {"x", "y"}),
    "dylib": (f"{CLANG} -install_name @rpath/libx.1.dylib", {}, {"libx.1.dylib"}, {"x", "x.1"}),
    "archive": (GCC, {"host": "libx.a"}, {"libx.a"}, {"x"}),
    "stub": (GCC, {"host": "libx.y.tbd"}, {"libx.y.tbd"}, {"x.y"}),
    "versions": (GCC, {"host": "libx-1.2.so.3.4"}, {"libx-1.2.so.3.4"}, {"x-1.2"}),
    "called like an ending": (GCC, {"host": "libsomething.so"}, {"libsomething.so"}, {"something"}),
    "versions of a dylib": (CLANG, {"host": "libx.1.2.dylib"}, {"libx.1.2.dylib"}, {"x", "x.1.2"}),
    "no library": (GCC, {"host": "x.so"}, {"x.so"}, set()),
    "no ending": (GCC, {"host": "libx"}, {"libx"}, set()),
    "a folder": (f"{GCC} -o out/", {}, set(), set()),
}


@pytest.mark.parametrize(("command", "wishes", "files", "behind"), HOST_NAMES.values(), ids=[*HOST_NAMES])
def test_the_names_that_the_host_has(command: str, wishes: dict[str, Any], files: set[str], behind: set[str]) -> None:
    """A patch that links one of them loads the host a second time."""
    context = context_of(command, **wishes)
    assert (set(context.host_names), set(context.host_libraries)) == (files, behind)


def test_what_the_captured_command_says(tmp_path: Path) -> None:
    """Each of it decides something later on: what is added, and what a library means."""
    plain = context_of(GCC)
    assert not plain.captured_shared
    assert not plain.no_cxx_library
    assert not plain.no_default_libraries
    assert (plain.search, plain.static_runtimes, plain.runtimes) == ((), frozenset(), ())
    assert (plain.directory, plain.wrapped) == (None, ())
    command = f"{GCC} -shared -L a -Lb -nostdlib++ -static-libstdc++ -static-libgcc x.o"
    context = context_of(command, tmp_path, os=LinkerOs.OTHER)
    assert context.captured_shared
    assert context.search == ("a", "b")
    assert context.no_cxx_library
    assert context.static_runtimes == {"-static-libstdc++", "-static-libgcc"}
    assert (context.os, context.directory) == (LinkerOs.OTHER, str(tmp_path))
    assert context.request.objects == (str(Path.cwd() / "p.o"),)
    assert plain.request.objects == ("p.o",)
    assert plain.os is LinkerOs.LINUX
    for option in ("-nodefaultlibs", "-nostdlib"):
        assert context_of(f"{GCC} {option}").no_default_libraries
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "libstdc++.a").write_bytes(ARCHIVE)
    (tmp_path / "a" / "liby.so").write_bytes(SHARED)
    context = context_of(f"{command} -ly", tmp_path)
    assert [[file.path for file in meaning.files] for meaning in context.runtimes] == [
        [str(tmp_path / "a/libstdc++.a")]
    ]
    assert [meaning.files[0].kind for meaning in context.libraries.values()] == [FileKind.SHARED]


def test_the_environment_of_the_capture() -> None:
    """LIBRARY_PATH of the build chooses libraries; this process's would choose others."""
    line, tokens = read(GCC, None, {"LIBRARY_PATH": "/x"})
    request = PatchRequest(objects=["p.o"], output="p.so")
    assert make_context(tokens, line, request).environment == {"LIBRARY_PATH": "/x"}
    line, tokens = read(GCC)
    assert make_context(tokens, line, request).environment is os.environ


APPLE = "/System/Library/Frameworks"
SEARCHED: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # command, folders, frameworks
    "plain": (f"{GCC} -L/a -L b", ("/a", "b", "own"), (APPLE,)),
    "long": (
        f"{LD} --library-path=/a --library-path /b -L /c",
        ("/a", "/b", "/c", "own"),
        (APPLE,),
    ),
    "longer": (f"{GCC} --library-directory=/a --library-directory /b", ("/a", "/b", "own"), (APPLE,)),
    "rooted": (
        f"{GCC} --sysroot=/r/ -L=/a -L$SYSROOT/b -L/c",
        ("/r/a", "/r/b", "/c", "own"),
        ("/r/System/Library/Frameworks", APPLE),
    ),
    "no root": (f"{GCC} -L=/a -L$SYSROOT/b", ("/a", "/b", "own"), (APPLE,)),
    "apple": (
        f"{LD64} -L/a -Lb -F/f -Fg",
        ("/a", "b", "own", "/usr/lib", "/usr/local/lib"),
        ("/f", "g", APPLE),
    ),
    "an SDK": (
        f"{LD64} -syslibroot /r -L/a -Lb -F/f -Fg",
        ("/r/a", "/a", "b", "own", "/r/usr/lib", "/usr/lib", "/r/usr/local/lib", "/usr/local/lib"),
        ("/r/f", "/f", "g", "/r/System/Library/Frameworks", APPLE),
    ),
    "two roots": (
        f"{LD64} -syslibroot /r -syslibroot /s -L/a",
        (
            *("/r/a", "/s/a", "/a", "own", "/r/usr/lib", "/s/usr/lib", "/usr/lib"),
            *("/r/usr/local/lib", "/s/usr/local/lib", "/usr/local/lib"),
        ),
        ("/r/System/Library/Frameworks", "/s/System/Library/Frameworks", APPLE),
    ),
    "clang's root": (
        f"{CLANG} -isysroot /r -L/a",
        ("/r/a", "/a", "own", "/r/usr/lib", "/usr/lib", "/r/usr/local/lib", "/usr/local/lib"),
        ("/r/System/Library/Frameworks", APPLE),
    ),
    "cut off": (f"{GCC} -L/a -L", ("/a", "own"), (APPLE,)),
}


@pytest.mark.parametrize(("command", "folders", "frameworks"), SEARCHED.values(), ids=[*SEARCHED])
def test_where_libraries_are_looked_for(command: str, folders: tuple[str, ...], frameworks: tuple[str, ...]) -> None:
    """In another order another libx is found: an archive where the linker took a shared library."""
    line, tokens = read(command, Path("/build"))
    search = decisions.search_of(tokens.items, line, ["own"])
    assert (search.folders, search.frameworks) == (folders, frameworks)
    assert (search.directory, search.family) == ("/build", line.toolchain.family)
    assert decisions.search_of(tokens.items, line).folders == tuple(folder for folder in folders if folder != "own")
    line, tokens = read(command)
    assert decisions.search_of(tokens.items, line).directory == ""


def test_the_requests_own_folders_are_searched(tmp_path: Path) -> None:
    """What a driver searches by itself is asked of it, and given."""
    (tmp_path / "libx.a").write_bytes(ARCHIVE)
    assert verdict(f"{GCC} -lx", search=[str(tmp_path)]) is decisions.HOST_ARCHIVE
    assert verdict(f"{GCC} -lx") == Verdict(True, "")


def added(command: str, *words: str) -> list[tuple[str, bool]]:
    """What goes of a command to which the capture appended *words*."""
    line, tokens = read(command)
    context = make_context(tokens, line, PatchRequest(objects=["p.o"], output="p.so"))
    verdicts = decisions.without_added(tokens, decide_all(tokens.items, context), words)
    texts = [" ".join(tokens.words[word] for word in item.words) for item in tokens.items]
    return [(text, one is decisions.ADDED_BY_CAPTURE) for text, one in zip(texts, verdicts, strict=True)]


def test_what_the_capture_appended_goes() -> None:
    """The host exports its anchor by it; the patch would export one too, and the loader finds either."""
    export = "-Wl,--export-dynamic-symbol=main"
    piece = "--export-dynamic-symbol=main"
    assert added(f"{GCC} x.o -lm {export}", export) == [("x.o", False), ("-lm", False), (piece, True)]
    assert added(f"{GCC} {export} x.o {export}", export) == [(piece, False), ("x.o", False), (piece, True)]
    assert added(f"{GCC} x.o {export}") == [("x.o", False), (piece, False)]
    assert added(f"{GCC} x.o {export}", "-lm") == [("x.o", False), (piece, False)]
    two = ["-Xlinker", "-exported_symbol"]
    assert [gone for _, gone in added(f"{GCC} -lm {' '.join(two)}", *two)] == [False, True]
    assert added(f"{GCC} x.o -lm", "y.o", "x.o", "-lm") == [("x.o", False), ("-lm", False)]
    assert (decisions.ADDED_BY_CAPTURE.stays, decisions.ADDED_BY_CAPTURE.dropped_roles) == (False, (Role.EXPORT,))


def test_the_verdicts_that_are_no_roles() -> None:
    """A program goes by whether something stays, and for which role it went."""
    stay = ("NO_RESPONSE_FILE", "NO_INPUT_NAME", "SUPPLIER", "WRAPPED", "ALSO_EXPORTED")
    for name in stay:
        said = getattr(decisions, name)
        assert (said.stays, said.dropped_roles, said.instead) == (True, (), "")
    assert (decisions.BACK_EDGE.stays, decisions.BACK_EDGE.dropped_roles) == (False, ())
    assert (decisions.HOST_ARCHIVE.stays, decisions.HOST_ARCHIVE.dropped_roles) == (False, (Role.LIBRARY,))
    assert (decisions.HOST_INPUT.stays, decisions.HOST_INPUT.dropped_roles) == (False, (Role.INPUT,))


def test_an_option_is_looked_at_once_where_its_role_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fat build has ten thousand options, and a rule that is asked for each takes a quarter of a second."""
    asked: list[str] = []
    decide = decisions._decide

    def counted(item: Item, context: Context) -> Verdict:
        asked.append(item.option.name if item.option else "")
        return decide(item, context)

    monkeypatch.setattr(decisions, "_decide", counted)
    said = decided(f"{GCC} -s -s -la -lb -s x.o x.o")
    assert [one.stays for _, one in said] == [False, False, True, True, False, False, False]
    assert asked == ["-s", "-l", "-l", "", ""]
