"""Everything in a linked patch has an origin, with each linker, and what the host has is not there twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from origin.bench import ELF, LINKERS, SLIDE, Bench, complaints, definition
from tools import need, run

from stubgen.build import StubBuilder
from stubgen.capture import Capture
from stubgen.check import check_patch
from stubgen.link import link_patch
from stubgen.origin.sources import Source

HOST = """
static int state;
int counter = 4;
int foo_add(int k) { state += k; return state; }
int host_entry(int a) { return foo_add(a) + counter; }
int main(void) { return host_entry(1); }
"""
PATCH = """
int foo_add(int); extern int counter;
static int mine[8];
static const char *const words[] = { "alpha", "beta", "gamma" };
int fresh = 5;
__attribute__((noinline)) static int help(int x) { return mine[x & 7]++ + words[x & 1][0]; }
__attribute__((weak)) int tunable(int x) { return x * 3 + fresh; }
int patch_main(int x) { return foo_add(x) + help(x) + tunable(x) + counter; }
"""
UNNAMED = """
__attribute__((common)) int tentative;
int *volatile seen;
int patch_main(int x) { int four[4] = {11, 22, 33, 44}; seen = four; return seen[x & 3] + tentative++; }
"""
"""A constant of 16 bytes that has no name, and a variable that no section of the object has."""
ARCHIVE = """
static int state;
int foo_add(int k) { state += k; return state; }
int foo_get(void) { return state; }
"""
USES_THE_ARCHIVE = """
int foo_add(int), foo_get(void);
int patch_main(void) { foo_add(100); return foo_get(); }
"""


@pytest.mark.parametrize("linker", LINKERS)
def test_an_ordinary_patch_is_accounted_for(linker: str, tmp_path: Path) -> None:
    """A false alarm on a good patch would turn every save into a refused link."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.link(*bench.bind())
    checked = bench.check()
    assert complaints(checked) == []
    assert checked.account is not None
    assert checked.account.mapped == bool(bench.tools.map)
    for name in ("patch_main", "help", "tunable", "mine", "fresh"):
        origin = definition(checked, name).origin
        assert origin.source is Source.OBJECT, name
        assert os.path.basename(origin.file) == "000-patch.o"
    assert definition(checked, "foo_add").origin.source is Source.STUB
    assert {item.origin.source for item in checked.account.definitions} <= {
        *(Source.OBJECT, Source.STUB, Source.START_UP, Source.RUNTIME, Source.LINKER)
    }


@pytest.mark.parametrize("linker", LINKERS)
def test_constants_without_a_name_and_tentative_definitions_are_accounted_for(linker: str, tmp_path: Path) -> None:
    """A patch with a constant array was refused behind ld64.lld, and one with a common variable behind zig's linker."""
    bench = Bench(tmp_path, linker, HOST, UNNAMED)
    bench.link(*bench.bind())
    checked = bench.check()
    assert complaints(checked) == []
    assert definition(checked, "tentative").origin.source is Source.OBJECT
    assert checked.account is not None
    if linker == "ld64.lld":
        (shares,) = (section.shares for section in checked.account.sections if section.name == "__TEXT,__literals")
        assert [share.origin.source for share in shares] == [Source.OBJECT]


@pytest.mark.parametrize("linker", LINKERS)
def test_the_account_says_what_the_host_has(linker: str, tmp_path: Path) -> None:
    """Whoever reads the account sees which of the host's things a stub leads to."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.link(*bench.bind())
    checked = bench.check()
    assert [candidate.kind.value for candidate in definition(checked, "foo_add").host] == ["function"]
    assert definition(checked, "patch_main").host == ()


@pytest.mark.parametrize("linker", LINKERS)
def test_every_section_is_accounted_for(linker: str, tmp_path: Path) -> None:
    """Bytes without a symbol, a constructor's pointer or a merged string, come from somewhere too."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.link(*bench.bind())
    account = bench.check().account
    assert account is not None
    for section in account.sections:
        assert section.shares, section.name
        for share in section.shares:
            assert share.origin.source not in (Source.UNKNOWN, Source.UNTOLD), section.name
            assert share.size <= section.size


@pytest.mark.parametrize("linker", LINKERS)
def test_an_archives_definition_that_beats_a_stub(linker: str, tmp_path: Path) -> None:
    """The patch would count on its own fresh state, link and load without a word, and answer wrong."""
    bench = Bench(tmp_path, linker, HOST, USES_THE_ARCHIVE)
    archive = bench.archive("libfoo.a", foo=ARCHIVE)
    bench.link(*bench.bind(), "libfoo.a")
    text = "\n".join(complaints(bench.check(archive)))
    assert "foo_add has a stub, but in the patch it is that of " in text
    assert "libfoo.a(foo.o), at 0x" in text
    assert "foo_get" not in text


@pytest.mark.parametrize("linker", LINKERS)
def test_an_archives_member_that_the_host_lacks(linker: str, tmp_path: Path) -> None:
    """What only the archive has is nobody's second copy."""
    bench = Bench(tmp_path, linker, HOST, "int foo_new(void); int patch_main(void) { return foo_new(); }")
    archive = bench.archive("libfoo.a", foo="static int state; int foo_new(void) { return ++state; }")
    bench.link(*bench.bind(), "libfoo.a")
    checked = bench.check(archive)
    assert complaints(checked) == []
    origin = definition(checked, "foo_new").origin
    assert (origin.source, os.path.basename(origin.file), origin.member) == (Source.MEMBER, "libfoo.a", "foo.o")


@pytest.mark.parametrize("linker", ELF)
def test_a_second_copy_that_has_no_stub(linker: str, tmp_path: Path) -> None:
    """A member that the patch needs brings the host's variable along, and its constructor counts anew."""
    host = HOST.replace("int main", "int total = 7; int main")
    bench = Bench(tmp_path, linker, host, "int foo_new(void); int patch_main(void) { return foo_new(); }")
    member = "int total; int foo_new(void) { return total++; }"
    archive = bench.archive("libfoo.a", foo=member)
    bench.link(*bench.bind(), "libfoo.a")
    (text,) = complaints(bench.check(archive))
    assert text.startswith("origin: ")
    assert text.endswith("libfoo.a(foo.o) brings total, which the host has: the patch would work on a second copy")


@pytest.mark.parametrize("linker", ELF)
def test_a_static_of_the_same_file_is_the_hosts_state(linker: str, tmp_path: Path) -> None:
    """Where the host's linker collected one function of a file, the file's static state is the host's all the same."""
    host = "static int state; int foo_add(int k) { state += k; return state; }"
    bench = Bench(tmp_path, linker, "int foo_add(int); int main(void) { return foo_add(1); }" + host, PATCH)
    bench.object("foo", host)
    run([*bench.tools.compile, "host.c", "-Dfoo_add=foo_other", "-o", "main.o"], cwd=tmp_path)
    run([*bench.tools.executable, "host.o", "-o", "host"], cwd=tmp_path)
    bench.patch = bench.object("patch", "int foo_get(void); int patch_main(void) { return foo_get(); }")
    (tmp_path / "member").mkdir()
    (tmp_path / "member" / "host.c").write_text("static int state; int foo_get(void) { return ++state; }")
    run([*bench.tools.compile, "host.c", "-o", "foo.o"], cwd=tmp_path / "member")
    run([bench.tools.archiver, "rc", "libfoo.a", "member/foo.o"], cwd=tmp_path)
    bench.link(*bench.bind(), "libfoo.a")
    (text,) = complaints(bench.check(tmp_path / "libfoo.a"))
    assert "brings state, which the host has" in text


@pytest.mark.parametrize("linker", LINKERS)
def test_a_constructor_of_an_archive(linker: str, tmp_path: Path) -> None:
    """A library that registers itself would do so a second time, in the host's running process."""
    bench = Bench(tmp_path, linker, HOST, "int foo_new(void); int patch_main(void) { return foo_new(); }")
    register = "volatile int made; __attribute__((constructor)) static void reg(void) { made++; }"
    member = f"{register} int foo_new(void) {{ return made; }}"
    archive = bench.archive("libfoo.a", foo=member)
    bench.link(*bench.bind(), "libfoo.a")
    (text,) = complaints(bench.check(archive))
    assert text.startswith("constructors: ")
    assert "libfoo.a(foo.o) would run when the patch is loaded; it is not the patch's own" in text


@pytest.mark.parametrize("linker", LINKERS)
def test_the_patchs_own_constructor_is_named(linker: str, tmp_path: Path) -> None:
    """A static initialiser runs again with each patch: its author wants to know, and may load the patch."""
    source = PATCH + "void keep(int *); __attribute__((constructor)) static void born(void) { fresh = foo_add(0); }"
    bench = Bench(tmp_path, linker, HOST, source)
    bench.link(*bench.bind())
    checked = bench.check()
    assert complaints(checked) == []
    (note,) = (finding for finding in checked.findings if finding.check == "constructors")
    assert note.note
    assert note.ok
    assert "born of " in note.message
    assert note.message.endswith("000-patch.o runs when the patch is loaded")


@pytest.mark.parametrize("linker", ["gnu", "lld", "mold"])
def test_the_hosts_start_up_function_does_not_run_again(linker: str, tmp_path: Path) -> None:
    """-init of the host's link makes the loader call the host's own start-up through its stub."""
    host = HOST + "int started; void app_init(void) { started++; }"
    bench = Bench(tmp_path, linker, host, "void app_init(void); int patch_main(void) { app_init(); return 1; }")
    bench.link(*bench.bind(), "-Wl,-init,app_init")
    assert complaints(bench.check()) == ["constructors: the host's app_init would run again when the patch is loaded"]
    bench.link(*bench.bind(), "-Wl,-fini,app_init")
    assert complaints(bench.check()) == ["constructors: the host's app_init would run again when the patch is unloaded"]


@pytest.mark.parametrize("linker", LINKERS)
def test_a_patch_without_its_own_code(linker: str, tmp_path: Path) -> None:
    """--start-lib swallows the patch: it links, loads, and does nothing."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    stub, _ = bench.bind()
    bench.object("other", "int foo_add(int); int unrelated(void) { return foo_add(1); }")
    bench.link(stub, "other.o")
    text = "\n".join(complaints(bench.check()))
    assert "000-patch.o is in the patch: it has no code of its own" in text


@pytest.mark.parametrize("linker", ["lld", "mold"])
def test_one_object_of_two_is_left_out(linker: str, tmp_path: Path) -> None:
    """A changed function that nothing refers to is what the builder looks for by name."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    second = bench.object("second", "int second_main(void) { return 2; }")
    stub, first, other = bench.bind([bench.patch, second])
    bench.link(stub, first, "-Wl,--start-lib", other, "-Wl,--end-lib")
    (text,) = complaints(bench.check())
    assert text.startswith("origin: nothing of ")
    assert text.endswith("001-second.o is in the patch")


@pytest.mark.parametrize("linker", ["zig", "zig-macho"])
def test_without_a_map_nothing_unknown_passes(linker: str, tmp_path: Path) -> None:
    """Where the linker does not tell, a definition that no input has is a finding."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.object("stranger", "int stranger(void) { return 2; }")
    bench.link(*bench.bind(), "stranger.o")
    (text,) = complaints(bench.check())
    assert text.partition(";")[0] in (
        f"origin: nothing says where {name} comes from" for name in ("stranger", "_stranger")
    )


@pytest.mark.parametrize("linker", ["zig", "zig-macho"])
def test_without_a_map_a_weak_function_is_told_by_its_code(linker: str, tmp_path: Path) -> None:
    """A strong definition that beats the patch's weak one has the same name, and other instructions."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.object("stranger", "int tunable(int x) { return x * 11 - 5; }")
    bench.link(*bench.bind(), "stranger.o")
    text = "\n".join(complaints(bench.check()))
    assert "tunable comes from" in text


@pytest.mark.parametrize("linker", ["gnu", "lld", "mold"])
def test_a_map_names_a_foreign_object(linker: str, tmp_path: Path) -> None:
    """An object of the host's link that stayed on the line is named, and what of the host's is in it."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.object("stranger", "int host_entry(int x) { return x; }")
    bench.link(*bench.bind(), "stranger.o")
    (text,) = complaints(bench.check())
    assert text == "origin: stranger.o brings host_entry, which the host has: the patch would work on a second copy"


@pytest.mark.parametrize("linker", LINKERS)
def test_a_patch_alone(linker: str, tmp_path: Path) -> None:
    """Without the inputs a good patch is not called bad, and what can be told is told."""
    bench = Bench(tmp_path, linker, HOST, PATCH)
    bench.link(*bench.bind())
    checked = check_patch(bench.folder / "patch.so", bench.folder / "host")
    assert complaints(checked) == []
    assert definition(checked, "patch_main").origin.source is Source.UNTOLD
    assert definition(checked, "foo_add").origin.source is Source.STUB


@pytest.mark.parametrize("linker", ["gnu", "lld", "mold"])
def test_a_dead_stub_is_seen_without_the_inputs(linker: str, tmp_path: Path) -> None:
    """A stub that lost its name to another definition is still in the code, and says that something else won."""
    bench = Bench(tmp_path, linker, HOST, USES_THE_ARCHIVE)
    bench.archive("libfoo.a", foo=ARCHIVE)
    patch = bench.link(*bench.bind(), "libfoo.a")
    checked = check_patch(patch, bench.folder / "host", slide=None)
    assert not complaints(checked)  # no named stub says what the slide is
    from stubgen.host import open_host
    from stubgen.host.slide import slide_from_value

    host = open_host(bench.folder / "host")
    (text,) = complaints(check_patch(patch, host, slide=slide_from_value(host, SLIDE)))
    assert "is dead code: in the patch foo_add is that of an input, at 0x" in text


@pytest.mark.parametrize("linker", ["gnu", "lld", "mold"])
def test_a_borrowed_member_is_named(linker: str, tmp_path: Path) -> None:
    """What comes from an archive of the host's link is told apart from the patch's own; the host's stays the host's."""
    bench = Bench(tmp_path, linker, "int main(void) { return 0; }", USES_THE_ARCHIVE)
    bench.archive("libfoo.a", foo=ARCHIVE)
    run([*bench.tools.compile, "-ffunction-sections", "foo.c", "-o", "foo.o"], cwd=tmp_path)
    run([bench.tools.archiver, "rc", "libfoo.a", "foo.o"], cwd=tmp_path)
    bench.object("host", "int foo_add(int); int main(void) { return foo_add(1); }")
    command = [*bench.tools.executable, "-Wl,--gc-sections", "host.o", "-L.", "-lfoo", "-o", "host"]
    run(command, cwd=tmp_path)
    builder, captured = StubBuilder(tmp_path / "host", cache=False), Capture(command, tmp_path, {}, output="host")
    linked = link_patch(builder, captured, [bench.patch], tmp_path / "patch.so", slide=SLIDE)
    origin = definition(linked.checked, "foo_get").origin
    assert (origin.source, os.path.basename(origin.file), origin.member) == (Source.BORROWED, "libfoo.a", "foo.o")
    assert definition(linked.checked, "foo_add").origin.source is Source.STUB
    assert definition(linked.checked, "patch_main").origin.source is Source.OBJECT


def test_a_stripped_patch_is_no_false_alarm(tmp_path: Path) -> None:
    """Nothing can be told of it, and that is said instead of "sound"."""
    bench = Bench(tmp_path, "gnu", HOST, PATCH)
    patch = bench.link(*bench.bind())
    run([need("llvm-strip-19"), patch])
    checked = bench.check()
    assert complaints(checked) == []
    (note,) = (finding for finding in checked.findings if finding.check == "origin")
    assert note.note
    assert "its symbol table is stripped" in note.message
